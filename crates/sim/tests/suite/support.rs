//! A world with an engine in it, and the questions that tests ask of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use audit::SigningKey;
use change::governance::Governance;
use change::{Actor, Change, ChangeId, Digest, Event, Phase};
use engine::Handle;
use engine::ports::{
    Appended, Batch, BootMillis, IdempotencyKey, Lease, ListQuery, LookRow, Recorded, Store, StoreError,
};
use engine::project::ChangeRow;
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

/// What happens around the calls of a [`Hooked`] store.
#[async_trait]
pub(crate) trait Hooks: Send + Sync + 'static {
    /// Stands in the place of an append.
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        store.append(batch).await
    }

    /// Comes before a row is read, and may fail it.
    fn row(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A store around another one: what the engine makes of what happens between two of its calls.
pub(crate) struct Hooked<H> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hooks: H,
}

impl<H: Hooks> Hooked<H> {
    pub(crate) fn around(store: Arc<dyn Store>, hooks: H) -> Arc<Self> {
        Arc::new(Self { store, hooks })
    }
}

#[async_trait]
impl<H: Hooks> Store for Hooked<H> {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        self.hooks.append(&*self.store, batch).await
    }

    async fn read(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        self.store.read(stream, after).await
    }

    async fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        self.store.read_all(from, limit).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        self.store.list(query).await
    }

    async fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        self.hooks.row()?;
        self.store.row(change).await
    }

    async fn last_number(&self) -> Result<u64, StoreError> {
        self.store.last_number().await
    }

    async fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError> {
        self.store.looks(change, from).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.blob(digest).await
    }

    async fn idempotency(&self, actor: &str, key: &str) -> Result<Option<IdempotencyKey>, StoreError> {
        self.store.idempotency(actor, key).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: BootMillis,
        until: BootMillis,
    ) -> Result<Option<Lease>, StoreError> {
        self.store.lease(name, holder, now, until).await
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.log_file(path).await
    }

    async fn proof(&self, position: u64) -> Result<Option<String>, StoreError> {
        self.store.proof(position).await
    }

    fn verifier_key(&self) -> String {
        self.store.verifier_key()
    }

    async fn rebuild(&self) -> Result<u64, StoreError> {
        self.store.rebuild().await
    }
}
