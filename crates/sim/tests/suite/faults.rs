//! A store that fails or waits when it is told to, around one in memory: what the engine makes of a fault between two of its reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use change::{Event, Permission, Phase, Span};
use engine::ports::*;
use engine::{CommandError, Draft, InForce, Way};
use sim::world::{Behaviour, NOBODY, World, ada, change_file, governance};
use tokio::sync::Notify;

use crate::govern;
use crate::support::*;

#[derive(Default)]
struct Faulty {
    /// The next read of a row fails, and none after it.
    row_fails: AtomicBool,
    /// The next load of governance waits to be written until it may.
    load_waits: AtomicBool,
    load_may: Notify,
}

#[async_trait]
impl Hooks for Faulty {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        let mut events = batch.writes.iter().flat_map(|write| &write.events);
        let is_load = events.any(|new| matches!(new.event, Event::GovernanceLoaded { .. }));
        if is_load && self.load_waits.swap(false, Ordering::SeqCst) {
            self.load_may.notified().await;
        }
        store.append(batch).await
    }

    fn row(&self) -> Result<(), StoreError> {
        if self.row_fails.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Failed("the disk is slow".into()));
        }
        Ok(())
    }
}

// PA6: an emergency of which the store can't say that it is one is not amended as a regular change.
#[test]
fn a_fault_of_the_store_does_not_take_an_emergency_out_of_its_lane() {
    paused().block_on(async {
        let world = World::new(30, Behaviour::GOOD);
        let faulty = Hooked::around(memory(), Faulty::default());
        let store: Arc<dyn Store> = faulty.clone();
        let handle = start(&world, &store, govern::with_emergencies()).await;
        let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let draft = Draft { text: change_file("fix", &[("100%", "30s")], ""), way, ..Draft::default() };
        let id = handle.propose_draft(&ada(), &draft, None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        faulty.hooks.row_fails.store(true, Ordering::SeqCst);
        let other = Draft { text: change_file("other", &[("100%", "30s")], ""), ..Draft::default() };
        let answer = handle.amend(&ada(), id, &other, None).await.expect("it is a change file");
        assert!(matches!(answer, Err(CommandError::Store(StoreError::Failed(_)))), "{answer:?}");
        assert!(!log(&store, id).await.iter().any(|entry| matches!(entry.event, Event::Amended { .. })));
    });
}

// I10: an administrator who is recovered while other rules are being loaded stays one.
#[test]
fn a_load_of_governance_does_not_take_back_a_recovery_of_the_same_moment() {
    paused().block_on(async {
        let world = World::new(31, Behaviour::GOOD);
        let faulty = Hooked::around(memory(), Faulty::default());
        let store: Arc<dyn Store> = faulty.clone();
        let handle = start(&world, &store, governance(NOBODY)).await;
        let governs =
            || handle.permissions("eve", &["shop".to_owned()].into(), "production").contains(&Permission::Govern);
        assert!(!governs());
        faulty.hooks.load_waits.store(true, Ordering::SeqCst);
        let other = InForce::new(govern::with_emergencies()).expect("the policies compile");
        let loading = tokio::spawn({
            let handle = handle.clone();
            async move { handle.govern(other).await }
        });
        while faulty.hooks.load_waits.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        handle.recover("eve", Span::secs(3_600), "the token was lost").await.expect("the store answers");
        assert!(governs());
        faulty.hooks.load_may.notify_one();
        loading.await.expect("it ends").expect("the store answers");
        assert!(governs(), "the load knew nothing of it");
        assert!(handle.governance().approvals.emergency.quorum.iter().any(|r| r.by == "oncall"), "and it is in force");
    });
}

// I10: an alarm does not die with the server that sounds it, and ends with what it is about.
#[test]
fn a_recovered_administrator_is_told_of_again_after_a_restart() {
    paused().block_on(async {
        let (world, store) = (World::new(32, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        handle.recover("eve", Span::secs(3_600), "the token was lost").await.expect("the store answers");
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(handle);
        let again = start(&world, &store, governance(NOBODY)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let said = world.alarms();
        assert!(said.len() == 2 && said[0] == said[1] && said[0].contains("the token was lost"), "{said:?}");
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        // The world goes on from the time that was read last.
        let _ = again.now();
        drop(again);
        let _late = start(&world, &store, governance(NOBODY)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.alarms().len(), 2, "it is over");
    });
}
