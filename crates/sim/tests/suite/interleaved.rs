//! What somebody else does in the very moment in which a step begins: it holds the step, or it has come too late, and never both.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use change::circumstances::STOPS;
use change::{ChangeId, Event, Phase, Span};
use engine::ports::{Appended, Batch, NewEvent, Store, StoreError, StreamWrite};
use sim::world::{Behaviour, NOBODY, World, bob, change_file, epoch, governance};

use crate::support::*;

/// An event of another stream is appended right before the first step that begins.
pub(crate) struct Interleaved(Mutex<Option<(String, Event)>>);

impl Interleaved {
    pub(crate) fn with(stream: &str, event: Event) -> (Arc<dyn Store>, Arc<dyn Store>) {
        let store = memory();
        let first = Mutex::new(Some((stream.to_owned(), event)));
        (store.clone(), Hooked::around(store, Self(first)))
    }
}

#[async_trait]
impl Hooks for Interleaved {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        let begins = |write: &StreamWrite| write.events.iter().any(|e| matches!(e.event, Event::StepBegun { .. }));
        let first = if batch.writes.iter().any(begins) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else {
            None
        };
        if let Some((stream, event)) = first {
            let events = vec![NewEvent { event, actor: bob(), change: None, time: epoch() }];
            let writes = vec![StreamWrite { stream, expected: 0, events }];
            store.append(Batch { writes, ..Batch::default() }).await?;
        }
        store.append(batch).await
    }
}

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

// X20: once a stop is acknowledged, no step begins, not even one that was decided a moment before.
#[test]
fn no_step_follows_a_stop_of_everything_in_the_log() {
    paused().block_on(async {
        let world = World::new(1, Behaviour::GOOD);
        let (store, interleaved) = Interleaved::with(STOPS, Event::AllStopped { reason: "an outage".into() });
        let handle = start(&world, &interleaved, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(world.deeds().is_empty(), "no driver was called");
        assert!(!story(&log(&store, id).await).contains(&"StepBegun".to_owned()));
    });
}

// LC4: two changes of one service that begin in the same moment: the later finds the other under way.
#[test]
fn no_step_begins_beside_a_change_of_the_same_service_that_was_faster() {
    paused().block_on(async {
        let world = World::new(5, Behaviour::GOOD);
        let taken = Event::LaneTaken { change: ChangeId::new(99) };
        let (store, interleaved) = Interleaved::with("sector/production/shop", taken);
        let handle = start(&world, &interleaved, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(change::explain::status(&held).contains("`CHG-99` is changing `shop` in `production`"));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(world.deeds().is_empty() && !story(&log(&store, id).await).contains(&"StepBegun".to_owned()));
    });
}

// LC4: the same for a service that it calls, where the rules let them queue.
#[test]
fn no_step_begins_beside_a_change_of_a_dependency_that_was_faster() {
    paused().block_on(async {
        let world = World::new(6, Behaviour::GOOD);
        let taken = Event::LaneTaken { change: ChangeId::new(99) };
        let (_, interleaved) = Interleaved::with("sector/production/store", taken);
        let files = [
            ("services/store.yaml", "name: store\nowner: sre\ntier: 3\ndepends_on: [shop]\n"),
            ("conflicts.yaml", "rules: [{between: dependency, then: queue}]"),
        ];
        let handle = start(&world, &interleaved, sim::world::governed(NOBODY, &files)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(change::explain::status(&held).contains("`CHG-99` is changing `store` in `production`, one call away"));
        assert!(world.deeds().is_empty(), "no driver was called");
    });
}

// X12: the same for a standard change that is suspended in that moment.
#[test]
fn no_instance_follows_the_suspension_of_its_standard_change_in_the_log() {
    paused().block_on(async {
        let world = World::new(2, Behaviour::GOOD);
        let reason = "it was used for something else".to_owned();
        let suspended = Event::StandardSuspended { standard: "roll-shop".into(), failures: 2, reason };
        let (store, interleaved) = Interleaved::with("standard/roll-shop", suspended);
        let handle = start(&world, &interleaved, crate::standards::governed(crate::standards::template("", ""))).await;
        let id = crate::standards::propose_named(&handle, "a").await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(change::explain::status(&held).contains("it was used for something else"));
        assert!(world.deeds().is_empty() && !story(&log(&store, id).await).contains(&"StepBegun".to_owned()));
    });
}

// X12: whether a template counts is asked when the step begins, not before the target was asked whether it is ready.
#[test]
fn a_template_that_is_amended_while_the_target_is_asked_begins_nothing() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, crate::standards::governed(crate::standards::template("", ""))).await;
        world.set_ready_takes(Span::secs(60));
        let id = crate::standards::propose_named(&handle, "a").await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let wider = crate::standards::governed(crate::standards::template("links: ['https://a.example/1']\n", ""));
        handle.govern(engine::InForce::new(wider).expect("no policies")).await.expect("the store answers");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        let gates = &held.hold.as_ref().expect("it is held").gates;
        let codes: Vec<_> = gates.iter().map(|gate| (gate.gate, gate.code())).collect();
        assert_eq!(codes[0], (change::gate::GateName::Approvals, Some("standard_lost")), "{codes:?}");
        assert!(world.deeds().is_empty(), "no driver was called");
    });
}
