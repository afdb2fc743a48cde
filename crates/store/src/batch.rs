//! Batch: what may be added to the log, and as which entries?
//!
//! Everything is checked before anything is written, so that a batch that is refused has left no trace and takes no other batch with it. The work that
//! needs no place in the log is done in [`Ready::of`], on the caller's side; [`Ready::place`] gives each event its place. Next room: `files`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use audit::Envelope;
use change::{ChangeId, Digest};
use engine::ports::{Batch, IdempotencyKey, LookRow, StoreError};
use engine::project::ChangeRow;

use crate::entry;

/// A batch that holds nothing a store could not keep.
#[derive(Debug)]
pub(crate) struct Ready {
    writes: Vec<Drafts>,
    pub(crate) rows: Vec<ChangeRow>,
    pub(crate) looks: Vec<LookRow>,
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    pub(crate) idempotency: Option<IdempotencyKey>,
}

/// Events for one stream, as envelopes without a place.
#[derive(Debug)]
struct Drafts {
    stream: String,
    expected: u64,
    envelopes: Vec<Envelope>,
}

/// An entry that has its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What is there already, as far as a batch is checked against it.
pub(crate) trait Present {
    type Error: From<StoreError>;
    /// The number of events of a stream.
    fn version(&self, stream: &str) -> Result<u64, Self::Error>;
    fn has_key(&self, actor: &str, key: &str) -> Result<bool, Self::Error>;
    fn has_look(&self, change: ChangeId, number: u64) -> Result<bool, Self::Error>;
}

impl Ready {
    /// # Errors
    /// `TooLarge` if an event is larger than an entry may be, `Failed` if a part of the batch can't be kept as it is.
    pub(crate) fn of(batch: Batch) -> Result<Self, StoreError> {
        let Batch { writes, rows, looks, blobs, idempotency } = batch;
        check_numbers(&writes.iter().map(|w| w.expected).collect::<Vec<_>>())?;
        check_numbers(&rows.iter().flat_map(|r| [r.id.number(), r.version]).collect::<Vec<_>>())?;
        check_numbers(&looks.iter().flat_map(|l| [l.change.number(), l.number, l.step as u64]).collect::<Vec<_>>())?;
        check_numbers(&idempotency.iter().map(|k| k.change.number()).collect::<Vec<_>>())?;
        if let Some((digest, _)) = blobs.iter().find(|(digest, bytes)| Digest::of_bytes(bytes) != *digest) {
            return Err(StoreError::Failed(format!("the bytes to be kept as `{digest}` have another digest")));
        }
        let drafts = |write: engine::ports::StreamWrite| {
            let envelopes =
                write.events.iter().map(|event| entry::draft(&write.stream, event)).collect::<Result<_, _>>()?;
            Ok(Drafts { stream: write.stream, expected: write.expected, envelopes })
        };
        let writes = writes.into_iter().map(drafts).collect::<Result<_, StoreError>>()?;
        Ok(Self { writes, rows, looks, blobs, idempotency })
    }

    /// The entries of the batch in a log of `size` entries.
    ///
    /// # Errors
    /// `Conflict`, `KeyUsed` or `TooLarge`: nothing of the batch may be written then.
    pub(crate) fn place<P: Present>(&mut self, size: u64, present: &P) -> Result<Vec<Entry>, P::Error> {
        if let Some(key) = &self.idempotency
            && present.has_key(&key.actor, &key.key)?
        {
            return Err(StoreError::KeyUsed(key.key.clone()).into());
        }
        self.check_looks(present)?;
        let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
        let mut entries = Vec::new();
        for write in &mut self.writes {
            let stream = write.stream.as_str();
            let found = match versions.get(stream) {
                Some(version) => *version,
                None => present.version(stream)?,
            };
            if found != write.expected {
                let conflict = StoreError::Conflict { stream: stream.to_owned(), expected: write.expected, found };
                return Err(conflict.into());
            }
            for (version, envelope) in (found + 1..).zip(&mut write.envelopes) {
                (envelope.position, envelope.version) = (size + entries.len() as u64, version);
                let (position, bytes) = (envelope.position, entry::encode(envelope)?);
                entries.push(Entry { position, stream: stream.to_owned(), version, bytes });
            }
            versions.insert(stream, found + write.envelopes.len() as u64);
        }
        Ok(entries)
    }

    // A look is evidence: one that is taken is never replaced, and whoever comes second has looked at something older.
    fn check_looks<P: Present>(&self, present: &P) -> Result<(), P::Error> {
        let mut seen = BTreeSet::new();
        for look in &self.looks {
            let (change, number) = (look.change, look.number);
            if !seen.insert((change, number)) || present.has_look(change, number)? {
                let (expected, found) = (number.saturating_sub(1), number);
                return Err(StoreError::Conflict { stream: format!("looks/{change}"), expected, found }.into());
            }
        }
        Ok(())
    }
}

// Databases count in signed 64 bits.
fn check_numbers(numbers: &[u64]) -> Result<(), StoreError> {
    match numbers.iter().find(|number| i64::try_from(**number).is_err()) {
        Some(number) => Err(StoreError::Failed(format!("the number `{number}` is larger than a store can keep"))),
        None => Ok(()),
    }
}
