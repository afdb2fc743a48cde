//! A world with an engine in it, and the questions that tests ask of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audit::SigningKey;
use change::governance::Governance;
use change::{Actor, Change, ChangeId, Event, Phase};
use engine::Handle;
use engine::ports::{Recorded, Store};
use sim::world::{World, ada};
use store::MemoryStore;

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(SigningKey::from_seed("sim.test/log", [7; 32]).expect("a key")))
}

/// A runtime whose time is paused: it jumps to the next timer whenever nothing else is to be done.
pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

pub(crate) async fn propose(handle: &Handle, file: &str) -> ChangeId {
    let proposed = handle.propose(&ada(), file, &BTreeMap::new(), None).await;
    match proposed {
        Ok(change) => change.id,
        Err(engine::ProposeError::Invalid(problems)) => panic!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn state(handle: &Handle, id: ChangeId) -> Change {
    handle.change(id).await.expect("the store answers").expect("there is such a change")
}

/// Lets time pass until the change is in a phase of which `wanted` is true: eight minutes closely watched, then a day from minute to minute.
pub(crate) async fn until(handle: &Handle, id: ChangeId, wanted: impl Fn(Phase) -> bool) -> Change {
    for look in 0..3_500 {
        let change = state(handle, id).await;
        if wanted(change.phase()) {
            return change;
        }
        tokio::time::sleep(if look < 2_000 { Duration::from_millis(250) } else { Duration::from_secs(60) }).await;
    }
    let change = state(handle, id).await;
    panic!("{id} stays {}: {}", change.phase(), change::explain::status(&change));
}

pub(crate) async fn until_ended(handle: &Handle, id: ChangeId) -> Change {
    until(handle, id, Phase::is_terminal).await
}

pub(crate) async fn log(store: &Arc<dyn Store>, id: ChangeId) -> Vec<Recorded> {
    store.read(&id.stream(), 0).await.expect("the store answers")
}

/// The names of the events of a change, in order, without evidence and verdicts.
pub(crate) fn story(log: &[Recorded]) -> Vec<String> {
    let name = |event: &Event| serde_json::to_value(event).expect("JSON")["type"].as_str().expect("a name").to_owned();
    log.iter().map(|r| name(&r.event)).filter(|n| n != "EvidenceTaken" && n != "Judged").collect()
}

/// What every history has to satisfy, from the log and the world's own record alone.
pub(crate) fn check_history(log: &[Recorded], world: &World) {
    let mut begun: Vec<(usize, u32)> = Vec::new();
    let mut passed = 0;
    let mut backwards = false;
    for recorded in log {
        match &recorded.event {
            Event::StepBegun { step, attempt, .. } => {
                assert!(!begun.contains(&(*step, *attempt)), "step {step}, attempt {attempt} began twice");
                assert!(!backwards, "a step began after the rollback");
                assert_eq!(*step, passed, "step {step} began before the one before it had passed");
                begun.push((*step, *attempt));
            }
            Event::Advanced { step } => passed = step + 1,
            Event::RollbackBegun { .. } => backwards = true,
            _ => {}
        }
    }
    let mut keys = BTreeMap::new();
    let mut share = 0;
    for deed in world.deeds() {
        *keys.entry(deed.key.clone()).or_insert(0) += 1;
        let undo = deed.key.contains("/undo/");
        assert!(undo || deed.weight >= share, "the new version's share fell outside of a rollback: {deed:?}");
        share = deed.weight;
    }
    let twice: Vec<_> = keys.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "the target saw an act twice: {twice:?}");
}

pub(crate) async fn start(world: &World, store: &Arc<dyn Store>, governance: Governance) -> Handle {
    world.start(store.clone(), governance).await.expect("the engine starts")
}

pub(crate) fn user(name: &str) -> Actor {
    Actor::User(name.to_owned())
}
