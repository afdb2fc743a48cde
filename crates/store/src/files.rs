//! Files: the log as the files of the tlog-tiles layout, made when they are asked for.
//!
//! Nothing is kept as a file. Tiles and bundles never change once they are published, and a narrower tile is the beginning of a wider one, so any width
//! up to the present one is served from what is there now. A path in any other spelling names nothing.

use audit::tile::{decode_hashes, encode_entries, encode_hashes};
use audit::{EntriesId, Hash, ProofFile, TileId, proof};
use engine::ports::StoreError;

use crate::entry::damaged;

/// The parts of a log that its files are made of. All of them are of one moment.
pub(crate) trait Parts {
    /// The newest checkpoint: its size and the signed note.
    fn checkpoint(&self) -> Result<(u64, String), StoreError>;
    /// The hashes that a tile has now, one after the other.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// The bytes of at most `count` entries from a position on.
    fn entries(&self, from: u64, count: u16) -> Result<Vec<Vec<u8>>, StoreError>;
}

/// The file at a path such as `checkpoint`, `tile/0/000` or `tile/entries/000.p/17`.
pub(crate) fn file(parts: &impl Parts, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if path == "checkpoint" {
        return Ok(Some(parts.checkpoint()?.1.into_bytes()));
    }
    if let Ok(id) = path.parse::<EntriesId>() {
        return bundle(parts, id);
    }
    match path.parse::<TileId>() {
        Ok(id) => Ok(hashes(parts, id)?.map(|hashes| encode_hashes(&hashes))),
        Err(_) => Ok(None),
    }
}

/// The `.tlog-proof` file of an entry, in the newest checkpoint; `None` if that does not cover it.
pub(crate) fn proof(parts: &impl Parts, position: u64) -> Result<Option<String>, StoreError> {
    let (size, checkpoint) = parts.checkpoint()?;
    if position >= size {
        return Ok(None);
    }
    let source = |id: TileId| match hashes(parts, id) {
        Ok(found) => found.ok_or_else(|| "it is not there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let proof = proof::inclusion(position, size, &source).map_err(damaged)?;
    Ok(Some(ProofFile { extra: None, index: position, proof, checkpoint }.to_string()))
}

/// The hashes of a tile in the width that is asked for.
fn hashes(parts: &impl Parts, id: TileId) -> Result<Option<Vec<Hash>>, StoreError> {
    let Some(bytes) = parts.tile(id.level, id.index)? else { return Ok(None) };
    let mut hashes = decode_hashes(&bytes).map_err(|error| damaged(format_args!("`{}`: {error}", id.path())))?;
    let width = usize::from(id.width);
    hashes.truncate(width);
    Ok(Some(hashes).filter(|hashes| hashes.len() == width))
}

fn bundle(parts: &impl Parts, id: EntriesId) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(from) = id.index.checked_mul(256).filter(|from| i64::try_from(*from).is_ok()) else { return Ok(None) };
    let entries = parts.entries(from, id.width)?;
    if entries.len() < usize::from(id.width) {
        return Ok(None);
    }
    let bundle = encode_entries(&entries);
    bundle.map(Some).map_err(|error| damaged(format_args!("`{}`: {error}", id.path())))
}
