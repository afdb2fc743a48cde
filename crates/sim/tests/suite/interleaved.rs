//! What somebody else does in the very moment in which a step begins: it holds the step, or it has come too late, and never both.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use change::circumstances::STOPS;
use change::{ChangeId, Command, Event, Phase, Span};
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
            let expected = store.read(&stream, 0).await?.last().map_or(0, |last| last.version);
            let writes = vec![StreamWrite { stream, expected, events }];
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

/// The first two steps that begin are decided before either of them is in the log.
#[derive(Default)]
struct Together {
    begun: std::sync::atomic::AtomicUsize,
    both: tokio::sync::Notify,
}

#[async_trait]
impl Hooks for Together {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        let begins = |write: &StreamWrite| write.events.iter().any(|e| matches!(e.event, Event::StepBegun { .. }));
        if batch.writes.iter().any(begins) {
            match self.begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => self.both.notified().await,
                1 => self.both.notify_one(),
                _ => {}
            }
        }
        store.append(batch).await
    }
}

// A2: of two that would take the last place of a day in the same moment, one begins.
#[test]
fn two_changes_at_once_take_one_place_of_a_budget_once() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        let both = Hooked::around(store.clone(), Together::default());
        let (engine, seen): (Arc<dyn Store>, _) = (both.clone(), both);
        let policy = "every: 1m\nbands: [{at_most_percent: 100, changes_per_day: 1}]\n";
        let handle = start(&world, &engine, crate::budgets::budgets(policy)).await;
        tokio::time::sleep(std::time::Duration::from_secs(180)).await;
        let file =
            |target: &str| change_file(target, &STEPS, "").replace("resource: shop", &format!("resource: {target}"));
        let elsewhere = file("b").replace("environment: production", "environment: staging");
        let ids = [propose(&handle, &file("a")).await, propose(&handle, &elsewhere).await];
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        assert!(seen.hooks.begun.load(std::sync::atomic::Ordering::SeqCst) >= 2, "both were about to begin");
        let changes = [state(&handle, ids[0]).await, state(&handle, ids[1]).await];
        let told = changes.each_ref().map(change::explain::status);
        assert_eq!(changes.iter().filter(|change| change.phase() == Phase::Completed).count(), 1, "{told:?}");
        assert!(told.iter().any(|told| told.contains("1 of 1 that may begin in a day have begun")), "{told:?}");
    });
}

// U1: a release that is stopped in the very moment in which its first member begins: nothing of it begins, and nothing of it waits for ever.
#[test]
fn no_member_begins_after_its_release_was_stopped_in_the_log() {
    paused().block_on(async {
        let world = World::new(8, Behaviour::GOOD);
        let release = change::ReleaseId::new(1);
        let (reason, then) = ("customers complain".to_owned(), change::release::OnFailure::RollBack);
        let stopped = Event::ReleaseStopped { release, cause: None, reason, then };
        let (store, interleaved) = Interleaved::with(&release.stream(), stopped);
        let handle = start(&world, &interleaved, governance(NOBODY)).await;
        let text = "title: Both\nowner: ada\nchanges:\n  - {name: one, change: a.yaml}\n  - {name: two, change: b.yaml, after: [one]}\n";
        let draft = |name: &str| engine::Draft { text: change_file(name, &STEPS, ""), ..engine::Draft::default() };
        let changes = ["one", "two"].map(|name| (name.to_owned(), draft(name))).into();
        let draft = engine::releases::ReleaseDraft { text: text.into(), changes };
        let proposed = handle.propose_release(&sim::world::ada(), &draft, None).await.expect("ada may");
        assert_eq!(proposed.id, release);
        for member in &proposed.plan.members {
            let ended = until_ended(&handle, member.change).await;
            assert_eq!(ended.phase(), Phase::Withdrawn, "{}", change::explain::status(&ended));
            assert!(!story(&log(&store, member.change).await).contains(&"StepBegun".to_owned()));
        }
        assert!(world.deeds().is_empty(), "no driver was called");
    });
}

/// Rolls the first change back right before the second one begins.
#[derive(Default)]
struct Fails {
    handle: std::sync::OnceLock<engine::Handle>,
    was_there: std::sync::OnceLock<()>,
}

#[async_trait]
impl Hooks for Fails {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        let second = ChangeId::new(2).stream();
        let begins = |write: &StreamWrite| {
            write.stream == second && write.events.iter().any(|e| matches!(e.event, Event::StepBegun { .. }))
        };
        let is_second = batch.writes.iter().any(begins);
        if let Some(handle) = self.handle.get().filter(|_| is_second && self.was_there.set(()).is_ok()) {
            let back = Command::Rollback { reason: "customers complain".into() };
            handle.command(&bob(), ChangeId::new(1), back).await.expect("bob may");
        }
        store.append(batch).await
    }
}

// PA5: nothing of a batch begins after the failure of another in the log, however close the two are.
#[test]
fn no_change_of_a_batch_begins_after_another_has_failed() {
    paused().block_on(async {
        let world = World::new(8, Behaviour::GOOD);
        let hooked = Hooked::around(memory(), Fails::default());
        let store: Arc<dyn Store> = hooked.clone();
        let calendar = "windows: [{name: days, rrule: \"FREQ=DAILY;BYHOUR=8\", duration: 10h, tz: UTC, owner: sre}]\nbatches: [{name: daily, window: days, up_to: critical, stop_on_failure: true}]\n";
        let handle = start(&world, &store, crate::govern::rules(NOBODY, &[("calendar.yaml", calendar)])).await;
        assert!(hooked.hooks.handle.set(handle.clone()).is_ok());
        let first = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let elsewhere = change_file("b", &STEPS, "").replace("resource: shop", "resource: b");
        let second = propose(&handle, &elsewhere.replace("environment: production", "environment: staging")).await;
        let held = until(&handle, second, |p| matches!(p, Phase::Held { step: None } | Phase::RollingOut { .. })).await;
        assert!(hooked.hooks.was_there.get().is_some(), "the second was about to begin");
        let why = change::explain::status(&held);
        assert!(why.contains("`CHG-1` of the batch `daily` has failed"), "{why}");
        assert!(!story(&log(&store, second).await).contains(&"StepBegun".to_owned()));
        handle.release_batch(&bob(), "daily", "it was the first one's own").await.expect("bob may");
        assert_eq!(until_ended(&handle, second).await.phase(), Phase::Completed);
    });
}
