//! Memory: a store that is gone with its process, for tests and simulations.
//!
//! It answers as the durable stores do, only without a disk: each append is its own commit, and no call ever waits. Nothing survives it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit::tile::encode_hashes;
use audit::{Checkpoint, Edge, SigningKey, hash};
use change::{ChangeId, Digest};
use engine::ports::{
    Appended, Batch, BootMillis, IdempotencyKey, Lease, ListQuery, LookRow, Recorded, Store, StoreError,
};
use engine::project::ChangeRow;

use crate::batch::{Entry, Present, Ready};
use crate::entry;
use crate::files::{self, Parts};
use crate::lease::Held;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    key: SigningKey,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Vec<u8>>,
    /// The positions of the entries of each stream.
    streams: BTreeMap<String, Vec<u64>>,
    edge: Edge,
    full_tiles: BTreeMap<(u8, u64), Vec<u8>>,
    rows: BTreeMap<ChangeId, ChangeRow>,
    looks: BTreeMap<(ChangeId, u64), LookRow>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    keys: BTreeMap<(String, String), IdempotencyKey>,
    leases: BTreeMap<String, Held>,
    /// The checkpoint that was signed last, and its size.
    signed: Option<(u64, String)>,
}

impl MemoryStore {
    /// An empty store whose log has the name of this key.
    pub fn new(key: SigningKey) -> Self {
        Self { key, kept: Mutex::default() }
    }

    // A lock is poisoned only if a caller panicked; nothing below panics between the first and the last write of an append.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Result<Moment<'_>, StoreError> {
        let mut kept = self.kept();
        let size = kept.edge.size();
        if kept.signed.as_ref().is_none_or(|(signed, _)| *signed != size) {
            let checkpoint = Checkpoint::new(self.key.name(), size, kept.edge.root());
            kept.signed = Some((size, checkpoint.sign(&self.key).map_err(|e| StoreError::Failed(e.to_string()))?));
        }
        Ok(Moment(kept))
    }
}

impl Kept {
    fn read(&self, position: u64) -> Result<Recorded, StoreError> {
        entry::decode(position, &self.entries[position as usize])
    }

    fn stream(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let positions = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        positions.iter().skip(after).map(|position| self.read(*position)).collect()
    }

    fn push(&mut self, entry: Entry) {
        for full in self.edge.push(hash::leaf(&entry.bytes)) {
            self.full_tiles.insert((full.level, full.index), encode_hashes(&full.hashes));
        }
        self.streams.entry(entry.stream).or_default().push(entry.position);
        self.entries.push(entry.bytes);
    }
}

impl Present for Kept {
    type Error = StoreError;

    fn version(&self, stream: &str) -> Result<u64, StoreError> {
        Ok(self.streams.get(stream).map_or(0, |positions| positions.len() as u64))
    }

    fn has_key(&self, actor: &str, key: &str) -> Result<bool, StoreError> {
        Ok(self.keys.contains_key(&(actor.to_owned(), key.to_owned())))
    }

    fn has_look(&self, change: ChangeId, number: u64) -> Result<bool, StoreError> {
        Ok(self.looks.contains_key(&(change, number)))
    }
}

/// The store at one moment, with a signed checkpoint of it.
struct Moment<'a>(MutexGuard<'a, Kept>);

impl Parts for Moment<'_> {
    fn checkpoint(&self) -> Result<(u64, String), StoreError> {
        self.0.signed.clone().ok_or_else(|| StoreError::Failed("the checkpoint is not signed".into()))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let partial = || self.0.edge.partial_tiles().find(|(id, _)| (id.level, id.index) == (level, index));
        let full = self.0.full_tiles.get(&(level, index)).cloned();
        Ok(full.or_else(|| partial().map(|(_, hashes)| encode_hashes(hashes))))
    }

    fn entries(&self, from: u64, count: u16) -> Result<Vec<Vec<u8>>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.0.entries.iter().skip(from).take(usize::from(count)).cloned().collect())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let mut ready = Ready::of(batch)?;
        let mut kept = self.kept();
        let entries = ready.place(kept.edge.size(), &*kept)?;
        let positions = entries.iter().map(|entry| entry.position).collect();
        entries.into_iter().for_each(|entry| kept.push(entry));
        kept.rows.extend(ready.rows.into_iter().map(|row| (row.id, row)));
        for look in ready.looks {
            // Only the newest look keeps the counters as they stood: the next one subtracts from it alone.
            if let Some(before) = kept.looks.get_mut(&(look.change, look.number.saturating_sub(1))) {
                before.counters = serde_json::Value::Null;
            }
            kept.looks.insert((look.change, look.number), look);
        }
        kept.blobs.extend(ready.blobs);
        kept.keys.extend(ready.idempotency.map(|key| ((key.actor.clone(), key.key.clone()), key)));
        Ok(Appended { positions, size: kept.edge.size() })
    }

    async fn read(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        self.kept().stream(stream, after)
    }

    async fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let kept = self.kept();
        (from..kept.entries.len() as u64).take(limit).map(|position| kept.read(position)).collect()
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        let fits = |row: &&ChangeRow| {
            (query.phases.is_empty() || query.phases.contains(&row.phase))
                && query.service.as_ref().is_none_or(|service| row.services.contains(service))
                && query.before.is_none_or(|before| row.id < before)
        };
        Ok(self.kept().rows.values().rev().filter(fits).take(query.limit).cloned().collect())
    }

    async fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        Ok(self.kept().rows.get(&change).cloned())
    }

    async fn last_number(&self) -> Result<u64, StoreError> {
        Ok(self.kept().rows.last_key_value().map_or(0, |(id, _)| id.number()))
    }

    async fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError> {
        let kept = self.kept();
        Ok(kept.looks.range((change, from)..=(change, u64::MAX)).map(|(_, look)| look.clone()).collect())
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().blobs.get(&digest).cloned())
    }

    async fn idempotency(&self, actor: &str, key: &str) -> Result<Option<IdempotencyKey>, StoreError> {
        Ok(self.kept().keys.get(&(actor.to_owned(), key.to_owned())).cloned())
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: BootMillis,
        until: BootMillis,
    ) -> Result<Option<Lease>, StoreError> {
        let mut kept = self.kept();
        let held = Held::asked(kept.leases.get(name), holder, now, until);
        let lease = held.as_ref().map(Held::lease);
        kept.leases.extend(held.map(|held| (name.to_owned(), held)));
        Ok(lease)
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        files::file(&self.moment()?, path)
    }

    async fn proof(&self, position: u64) -> Result<Option<String>, StoreError> {
        files::proof(&self.moment()?, position)
    }

    fn verifier_key(&self) -> String {
        self.key.verifier().to_string()
    }

    async fn rebuild(&self) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let changes = kept.streams.keys().filter(|stream| entry::change_of(stream).is_some());
        let rows = changes.map(|stream| Ok(entry::row_of(&kept.stream(stream, 0)?)));
        let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
        kept.rows = rows.into_iter().flatten().map(|row| (row.id, row)).collect();
        Ok(kept.rows.len() as u64)
    }
}
