//! The audit: is this whole log what it claims to be?
//!
//! Reads an export (or an address) through a [`LogSource`], from the first entry to the last, and recomputes every hash in it. It
//! believes nothing but the keys in [`Trust`]: not the tiles, not the numbers in the entries, not the size. It changes nothing and
//! keeps no entry; what the entries mean is for the caller, who is handed each of them in order.
//!
//! Every error names the place, what was expected there and what was found, for somebody who has the files before them.

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::entry::{EntryError, Envelope};
use crate::hash::{self, HASH_BYTES, Hash};
use crate::note::VerifierKey;
use crate::tile::{self, EntriesId, TileError, TileId};
use crate::tree::Edge;

/// Where the files of a log are read from.
pub trait LogSource {
    /// The bytes of the file at a path such as `checkpoint` or `tile/0/000`, relative to the root of the log; `None` if there is no
    /// such file. An `Err` is a sentence for the operator.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String>;
}

/// What the auditor holds already and judges the log by.
#[derive(Debug, Clone)]
pub struct Trust<'a> {
    /// The identity of the log.
    pub origin: &'a str,
    /// The log's verifier keys, and those of witnesses if there are any.
    pub keys: &'a [VerifierKey],
    /// A checkpoint that was seen before: the log must still begin with it.
    pub earlier: Option<Earlier>,
}

/// An earlier state of the log, from a checkpoint that the auditor kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    pub size: u64,
    pub root: Hash,
}

/// How far an audit has come, told once for each bundle of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries checked so far.
    pub entries: u64,
    /// Entries that the checkpoint covers.
    pub size: u64,
}

/// What the caller does with each entry and its bytes. An `Err` is a sentence for the auditor, and ends the audit.
pub type Visit<'a> = dyn FnMut(&Envelope, &[u8]) -> Result<(), String> + 'a;

/// What a log turned out to be, once all of it was found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub origin: String,
    /// Entries in the log.
    pub size: u64,
    pub root: Hash,
    /// Distinct streams among the entries.
    pub streams: u64,
    /// Bytes of all entries together.
    pub entries_bytes: u64,
    /// Tiles compared, partial ones too; bundles not counted.
    pub tiles: u64,
}

/// What is wrong with a log. Entries and hashes are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("`{path}` is missing: export the log again, or check the address")]
    Missing { path: String },
    #[error("`{path}` cannot be read: {reason}")]
    Source { path: String, reason: String },
    #[error("`checkpoint` is not text in UTF-8: it was altered or is another kind of file")]
    CheckpointBytes,
    #[error("`checkpoint` is refused: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the log has `{size}` entries, fewer than the `{earlier}` of your earlier checkpoint: its end was cut off")]
    Shrunk { earlier: u64, size: u64 },
    #[error(
        "the root of the first `{size}` entries is `{found}`, but your earlier checkpoint says `{expected}`: history was rewritten"
    )]
    Earlier { size: u64, expected: Hash, found: Hash },
    #[error("`{path}` is damaged: {source}")]
    Bundle { path: String, source: TileError },
    #[error("`{path}` has `{found}` entries, expected `{expected}`")]
    BundleCount { path: String, expected: usize, found: usize },
    #[error("entry {position}: {source}")]
    Entry { position: u64, source: EntryError },
    #[error("entry {position}: it says that it is entry `{found}`: entries were moved or left out")]
    Position { position: u64, found: u64 },
    #[error(
        "entry {position}: version `{found}` of stream `{stream}`, expected `{expected}`: entries were moved or left out"
    )]
    Version { position: u64, stream: String, expected: u64, found: u64 },
    #[error(
        "entry {position}: its hash is `{computed}`, but `{path}` has `{found}` for it: the entry or the tile was altered"
    )]
    Leaf { position: u64, path: String, computed: Hash, found: Hash },
    #[error("`{path}`: hash {slot} is `{found}`, but the hashes below make it `{computed}`: the tile was altered")]
    Node { path: String, slot: usize, computed: Hash, found: Hash },
    #[error("`{path}` has `{found}` bytes, expected `{expected}`")]
    TileBytes { path: String, expected: usize, found: usize },
    #[error("the `{size}` entries have the root `{computed}`, but the checkpoint says `{found}`: entries were altered")]
    Root { size: u64, computed: Hash, found: Hash },
    #[error("entry {position}: {reason}")]
    Refused { position: u64, reason: String },
}

/// Checks a whole log.
pub fn verify(
    source: &dyn LogSource,
    trust: &Trust<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    verify_with(source, trust, progress, &mut |_, _| Ok(()))
}

/// Checks a whole log, and hands each entry with its bytes to `visit` in order, so that the caller can fold it.
///
/// What the caller has folded is worth something only once the audit has
/// ended well: the root is compared last.
pub fn verify_with(
    source: &dyn LogSource,
    trust: &Trust<'_>,
    progress: &mut dyn FnMut(Progress),
    visit: &mut Visit<'_>,
) -> Result<Report, VerifyError> {
    let checkpoint = open_checkpoint(source, trust)?;
    let size = checkpoint.size;
    if let Some(earlier) = trust.earlier.filter(|earlier| earlier.size > size) {
        return Err(VerifyError::Shrunk { earlier: earlier.size, size });
    }
    let mut audit = Audit {
        source,
        earlier: trust.earlier,
        edge: Edge::new(),
        streams: BTreeMap::new(),
        entries_bytes: 0,
        tiles: 0,
    };
    audit.check_earlier()?;
    for bundle in tile::entries_for_size(size) {
        audit.check_bundle(bundle, visit)?;
        progress(Progress { entries: audit.edge.size(), size });
    }
    audit.check_partial_tiles()?;
    let computed = audit.edge.root();
    if computed != checkpoint.root {
        return Err(VerifyError::Root { size, computed, found: checkpoint.root });
    }
    Ok(audit.report(checkpoint))
}

fn open_checkpoint(source: &dyn LogSource, trust: &Trust<'_>) -> Result<Checkpoint, VerifyError> {
    let bytes = read(source, "checkpoint")?;
    let note = String::from_utf8(bytes).map_err(|_| VerifyError::CheckpointBytes)?;
    Ok(Checkpoint::open(&note, trust.keys, trust.origin)?)
}

/// What has been found out about the entries read so far.
struct Audit<'a> {
    source: &'a dyn LogSource,
    earlier: Option<Earlier>,
    edge: Edge,
    /// The last version of each stream.
    streams: BTreeMap<String, u64>,
    entries_bytes: u64,
    tiles: u64,
}

impl Audit<'_> {
    fn check_bundle(&mut self, id: EntriesId, visit: &mut Visit<'_>) -> Result<(), VerifyError> {
        let full = (!id.is_full()).then(|| id.full().path());
        let (path, bytes) = read_or_full(self.source, id.path(), full)?;
        let entries =
            tile::decode_entries(&bytes).map_err(|source| VerifyError::Bundle { path: path.clone(), source })?;
        let expected = usize::from(id.width);
        let stands_in = path != id.path();
        if entries.len() < expected || entries.len() > expected && !stands_in {
            return Err(VerifyError::BundleCount { path, expected, found: entries.len() });
        }
        entries[..expected].iter().try_for_each(|bytes| self.check_entry(bytes, visit))
    }

    fn check_entry(&mut self, bytes: &[u8], visit: &mut Visit<'_>) -> Result<(), VerifyError> {
        let position = self.edge.size();
        let envelope = Envelope::from_bytes(bytes).map_err(|source| VerifyError::Entry { position, source })?;
        if envelope.position != position {
            return Err(VerifyError::Position { position, found: envelope.position });
        }
        self.check_version(&envelope)?;
        visit(&envelope, bytes).map_err(|reason| VerifyError::Refused { position, reason })?;
        self.entries_bytes += bytes.len() as u64;
        for tile in self.edge.push(hash::leaf(bytes)) {
            self.check_tile(tile.id(), &tile.hashes)?;
        }
        self.check_earlier()
    }

    fn check_version(&mut self, envelope: &Envelope) -> Result<(), VerifyError> {
        let last = match self.streams.get_mut(&envelope.stream) {
            Some(last) => last,
            None => self.streams.entry(envelope.stream.clone()).or_default(),
        };
        let (expected, found) = (*last + 1, envelope.version);
        if found != expected {
            let stream = envelope.stream.clone();
            return Err(VerifyError::Version { position: envelope.position, stream, expected, found });
        }
        *last = found;
        Ok(())
    }

    fn check_earlier(&self) -> Result<(), VerifyError> {
        let Some(earlier) = self.earlier.filter(|earlier| earlier.size == self.edge.size()) else { return Ok(()) };
        let found = self.edge.root();
        if found == earlier.root {
            return Ok(());
        }
        Err(VerifyError::Earlier { size: earlier.size, expected: earlier.root, found })
    }

    fn check_partial_tiles(&mut self) -> Result<(), VerifyError> {
        let partial: Vec<(TileId, Vec<Hash>)> =
            self.edge.partial_tiles().map(|(id, hashes)| (id, hashes.to_vec())).collect();
        partial.iter().try_for_each(|(id, hashes)| self.check_tile(*id, hashes))
    }

    /// Compares the file of a tile with the hashes that it should have.
    fn check_tile(&mut self, id: TileId, computed: &[Hash]) -> Result<(), VerifyError> {
        let full = (!id.is_full()).then(|| id.full().path());
        let (path, bytes) = read_or_full(self.source, id.path(), full)?;
        let wanted = if path == id.path() { id.width } else { id.full().width };
        let expected = usize::from(wanted) * HASH_BYTES;
        if bytes.len() != expected {
            return Err(VerifyError::TileBytes { path, expected, found: bytes.len() });
        }
        let (found, _) = bytes.as_chunks::<HASH_BYTES>();
        if let Some(slot) = computed.iter().zip(found).position(|(computed, found)| computed.0 != *found) {
            return Err(altered(id, path, slot, computed[slot], Hash(found[slot])));
        }
        self.tiles += 1;
        Ok(())
    }

    fn report(self, checkpoint: Checkpoint) -> Report {
        Report {
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root,
            streams: self.streams.len() as u64,
            entries_bytes: self.entries_bytes,
            tiles: self.tiles,
        }
    }
}

fn altered(id: TileId, path: String, slot: usize, computed: Hash, found: Hash) -> VerifyError {
    match id.level {
        0 => {
            VerifyError::Leaf { position: id.index * u64::from(tile::FULL_WIDTH) + slot as u64, path, computed, found }
        }
        _ => VerifyError::Node { path, slot, computed, found },
    }
}

/// A file and the path that it was found under. Logs may drop a partial file once the full one exists, which begins the same.
fn read_or_full(source: &dyn LogSource, path: String, full: Option<String>) -> Result<(String, Vec<u8>), VerifyError> {
    if let Some(bytes) = try_read(source, &path)? {
        return Ok((path, bytes));
    }
    let Some(full) = full else { return Err(VerifyError::Missing { path }) };
    match try_read(source, &full)? {
        Some(bytes) => Ok((full, bytes)),
        None => Err(VerifyError::Missing { path }),
    }
}

fn read(source: &dyn LogSource, path: &str) -> Result<Vec<u8>, VerifyError> {
    try_read(source, path)?.ok_or_else(|| VerifyError::Missing { path: path.to_owned() })
}

fn try_read(source: &dyn LogSource, path: &str) -> Result<Option<Vec<u8>>, VerifyError> {
    source.read(path).map_err(|reason| VerifyError::Source { path: path.to_owned(), reason })
}
