//! Tiles: where is a hash kept, and what does the file look like?
//!
//! The layout of C2SP tlog-tiles: runs of 256 hashes (a tile) and of 256 entries (a bundle), each a file that never changes once
//! it is full. This module names the files and reads their bytes; it never decides which hash belongs in one. Next room:
//! [`tree`](crate::tree).

use std::fmt;
use std::str::FromStr;

use crate::decimal;
use crate::entry::MAX_ENTRY_BYTES;
use crate::hash::{HASH_BYTES, Hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const FULL_WIDTH: u16 = 256;

/// The highest level that the format has a name for. A log of 64-bit size needs no more than levels 0 to 7.
pub const MAX_LEVEL: u8 = 63;

/// One tile of hashes. Hash `i` is the root over the entries `[(index*256 + i) * 256^level, (index*256 + i + 1) * 256^level)`.
/// `width` is 1..=256; less than 256 is a partial tile, which has a file of its own for each published size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileId {
    pub level: u8,
    pub index: u64,
    pub width: u16,
}

/// One bundle of entries, from entry `index * 256` on. `width` is 1..=256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntriesId {
    pub index: u64,
    pub width: u16,
}

/// Why a path or the bytes of a file are not those of a tile or a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    #[error("`{path}` is not the path of a tile such as `tile/0/x001/x234/067.p/112`")]
    TilePath { path: String },
    #[error("`{path}` is not the path of an entry bundle such as `tile/entries/x001/x234/067.p/112`")]
    EntriesPath { path: String },
    #[error("a tile has 1 to 256 hashes of 32 bytes, not `{bytes}` bytes")]
    TileBytes { bytes: usize },
    #[error("an entry of `{bytes}` bytes is longer than the `{MAX_ENTRY_BYTES}` that a bundle can hold")]
    LongEntry { bytes: usize },
    #[error(
        "the bundle ends inside its entry number `{entry}`, counted from 0: it was cut off or a length was altered"
    )]
    CutShort { entry: usize },
    #[error("the bundle has more than 256 entries")]
    TooManyEntries,
}

impl TileId {
    /// The tile at a place in the tree of `size` entries, as wide as that size makes it; `None` if it has no hash there.
    #[must_use]
    pub fn at(level: u8, index: u64, size: u64) -> Option<Self> {
        width_at(hashes_at(level, size), index).map(|width| Self { level, index, width })
    }

    /// Whether the tile has all its 256 hashes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The same place with all 256 hashes: the file that may stand in for a partial one that is gone.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: FULL_WIDTH, ..self }
    }

    /// `tile/0/x001/x234/067.p/112`, relative to the root of the log.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }
}

impl EntriesId {
    /// The bundle at a place in the log of `size` entries; `None` if it has no entry there.
    #[must_use]
    pub fn at(index: u64, size: u64) -> Option<Self> {
        width_at(size, index).map(|width| Self { index, width })
    }

    /// Whether the bundle has all its 256 entries.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The same place with all 256 entries: the file that may stand in for a partial one that is gone.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: FULL_WIDTH, ..self }
    }

    /// `tile/entries/x001/x234/067.p/112`, relative to the root of the log.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }
}

/// All tiles that a log of `size` entries publishes: level by level, each from left to right, the partial one last.
pub fn tiles_for_size(size: u64) -> impl Iterator<Item = TileId> {
    (0..=7_u8).flat_map(move |level| (0..files(hashes_at(level, size))).filter_map(move |i| TileId::at(level, i, size)))
}

/// All entry bundles that a log of `size` entries publishes, from left to right, the partial one last.
pub fn entries_for_size(size: u64) -> impl Iterator<Item = EntriesId> {
    (0..files(size)).filter_map(move |index| EntriesId::at(index, size))
}

/// The paths of all bundles and tiles that a log of `size` entries publishes, bundles first.
pub fn paths_for_size(size: u64) -> impl Iterator<Item = String> {
    entries_for_size(size).map(|id| id.path()).chain(tiles_for_size(size).map(|id| id.path()))
}

/// The file of a tile: its hashes, one after the other.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hashes.len() * HASH_BYTES);
    hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
    bytes
}

/// The hashes in the file of a tile: 1 to 256 of them.
pub fn decode_hashes(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if rest.is_empty() && (1..=usize::from(FULL_WIDTH)).contains(&hashes.len()) {
        Ok(hashes.iter().copied().map(Hash).collect())
    } else {
        Err(TileError::TileBytes { bytes: bytes.len() })
    }
}

/// Adds one entry to the bytes of a bundle: its length in two bytes, the high one first, then itself.
pub fn append_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::LongEntry { bytes: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The file of a bundle of at most 256 entries.
pub fn encode_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    if entries.len() > usize::from(FULL_WIDTH) {
        return Err(TileError::TooManyEntries);
    }
    let mut bundle = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 2).sum());
    entries.iter().try_for_each(|entry| append_entry(&mut bundle, entry.as_ref()))?;
    Ok(bundle)
}

/// The entries in the file of a bundle: at most 256 of them, borrowed from the file.
pub fn decode_entries(bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if entries.len() == usize::from(FULL_WIDTH) {
            return Err(TileError::TooManyEntries);
        }
        let (entry, after) = split_entry(rest).ok_or(TileError::CutShort { entry: entries.len() })?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// How many hashes a level has in the tree of `size` entries: floor(size / 256^level).
pub(crate) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// How many files hold that many hashes or entries.
fn files(items: u64) -> u64 {
    items.div_ceil(u64::from(FULL_WIDTH))
}

/// How many of `items` are in the file at `index`.
fn width_at(items: u64, index: u64) -> Option<u16> {
    let before = index.checked_mul(u64::from(FULL_WIDTH))?;
    match items.checked_sub(before)? {
        0 => None,
        left => Some(u16::try_from(left).unwrap_or(FULL_WIDTH).min(FULL_WIDTH)),
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(self.index, self.width, f)
    }
}

impl fmt::Display for EntriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(self.index, self.width, f)
    }
}

impl FromStr for TileId {
    type Err = TileError;

    /// Reads what [`TileId::path`] writes, and no other spelling.
    fn from_str(path: &str) -> Result<Self, TileError> {
        parse_tile(path).ok_or_else(|| TileError::TilePath { path: path.to_owned() })
    }
}

impl FromStr for EntriesId {
    type Err = TileError;

    /// Reads what [`EntriesId::path`] writes, and no other spelling.
    fn from_str(path: &str) -> Result<Self, TileError> {
        let place = path.strip_prefix("tile/entries/").and_then(parse_place);
        place
            .map(|(index, width)| Self { index, width })
            .ok_or_else(|| TileError::EntriesPath { path: path.to_owned() })
    }
}

/// `x001/x234/067`, and `.p/112` if partial: groups of three digits, so that no directory has more than a few thousand names.
fn write_place(index: u64, width: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut divisor = 1_u64;
    while index / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", index / divisor % 1000)?;
        divisor /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width < FULL_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

fn parse_tile(path: &str) -> Option<TileId> {
    let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let level = u8::try_from(decimal::parse(level)?).ok().filter(|level| *level <= MAX_LEVEL)?;
    let (index, width) = parse_place(place)?;
    Some(TileId { level, index, width })
}

fn parse_place(place: &str) -> Option<(u64, u16)> {
    let (groups, width) = match place.split_once(".p/") {
        Some((groups, width)) => (groups, u16::try_from(decimal::parse(width)?).ok()?),
        None => (place, FULL_WIDTH),
    };
    let partial = groups.len() < place.len();
    let width_fits = if partial { (1..FULL_WIDTH).contains(&width) } else { true };
    width_fits.then_some((parse_index(groups)?, width))
}

fn parse_index(groups: &str) -> Option<u64> {
    let mut index = 0_u64;
    let mut groups = groups.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        let digits = if is_last { group } else { group.strip_prefix('x')? };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // A leading group of zeros would be a second name for the same file.
        if first && !is_last && digits == "000" {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf;

    fn tile(level: u8, index: u64, width: u16) -> TileId {
        TileId { level, index, width }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        let cases = [
            (tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (tile(0, 1_234_067, 112), "tile/0/x001/x234/067.p/112"),
            (tile(0, 0, 256), "tile/0/000"),
            (tile(1, 999, 255), "tile/1/999.p/255"),
            (tile(2, 1000, 1), "tile/2/x001/000.p/1"),
            (tile(63, u64::MAX, 256), "tile/63/x018/x446/x744/x073/x709/x551/615"),
        ];
        for (id, path) in cases {
            assert_eq!(id.path(), path);
            assert_eq!(path.parse(), Ok(id));
        }
        let bundle = EntriesId { index: 1_234_067, width: 112 };
        assert_eq!(bundle.path(), "tile/entries/x001/x234/067.p/112");
        assert_eq!("tile/entries/x001/x234/067.p/112".parse(), Ok(bundle));
        assert_eq!("tile/entries/273".parse(), Ok(EntriesId { index: 273, width: 256 }));
    }

    #[test]
    fn other_spellings_of_a_path_are_refused() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "/tile/0/000",
            "tile//0/000",
            "tile/0/000/",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/x01/002",
            "tile/0/X001/002",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/007",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/+00",
            "tile/data/000",
            "tile/8/0/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            // `tile/8/0/000` would be a tile of another scheme: there the height precedes the level.
            assert_eq!(path.parse::<TileId>(), Err(TileError::TilePath { path: path.into() }));
            let bundle = path.replacen("tile/0/", "tile/entries/", 1);
            assert_eq!(bundle.parse::<EntriesId>(), Err(TileError::EntriesPath { path: bundle.clone() }));
        }
    }

    #[test]
    fn a_log_of_70000_entries_has_the_tiles_of_the_specification() {
        let tiles: Vec<TileId> = tiles_for_size(70_000).collect();
        let full_at = |level| tiles.iter().filter(|id| id.level == level && id.is_full()).count();
        assert_eq!((full_at(0), full_at(1), full_at(2), tiles.len()), (273, 1, 0, 273 + 1 + 1 + 1 + 1));
        let partial: Vec<String> = tiles.iter().filter(|id| !id.is_full()).map(TileId::path).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        let bundles: Vec<String> = entries_for_size(70_000).map(|id| id.path()).collect();
        assert_eq!(
            (bundles.len(), bundles[0].as_str(), bundles[273].as_str()),
            (274, "tile/entries/000", "tile/entries/273.p/112")
        );
        assert_eq!(paths_for_size(70_000).count(), 277 + 274);
    }

    #[test]
    fn an_empty_tile_has_no_file() {
        assert_eq!(paths_for_size(0).count(), 0);
        expect![[r#"
            [
                "tile/entries/000",
                "tile/0/000",
                "tile/1/000.p/1",
            ]
        "#]]
        .assert_debug_eq(&paths_for_size(256).collect::<Vec<_>>());
        assert_eq!((TileId::at(0, 1, 256), TileId::at(8, 0, u64::MAX), TileId::at(9, 0, u64::MAX)), (None, None, None));
        assert_eq!(TileId::at(7, 0, u64::MAX), Some(tile(7, 0, 255)));
        assert_eq!(TileId::at(0, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn a_tile_has_between_1_and_256_whole_hashes() {
        let hashes: Vec<Hash> = (0..256_u32).map(|i| leaf(&i.to_be_bytes())).collect();
        let bytes = encode_hashes(&hashes);
        assert_eq!(bytes.len(), 8192);
        assert_eq!(decode_hashes(&bytes).as_deref(), Ok(&hashes[..]));
        for bad in [0, 31, 33, 8191, 8193, 8224] {
            assert_eq!(decode_hashes(&vec![0; bad]), Err(TileError::TileBytes { bytes: bad }));
        }
        expect!["a tile has 1 to 256 hashes of 32 bytes, not `31` bytes"]
            .assert_eq(&decode_hashes(&[0; 31]).unwrap_err().to_string());
    }

    #[test]
    fn a_bundle_is_lengths_and_bytes() {
        assert_eq!(encode_entries(&[b"ab".as_slice(), b"", b"c"]).unwrap(), b"\0\x02ab\0\0\0\x01c");
        assert_eq!(decode_entries(b"\0\x02ab\0\0\0\x01c").unwrap(), [b"ab".as_slice(), b"", b"c"]);
        assert_eq!(encode_entries(&[vec![0; 65_536]]), Err(TileError::LongEntry { bytes: 65_536 }));
        assert_eq!(encode_entries(&[[0_u8; 1]; 257]), Err(TileError::TooManyEntries));
        assert_eq!(decode_entries(&[0; 514]), Err(TileError::TooManyEntries));
        expect!["the bundle ends inside its entry number `1`, counted from 0: it was cut off or a length was altered"]
            .assert_eq(&decode_entries(b"\0\x02ab\0").unwrap_err().to_string());
    }

    proptest! {
        #[test]
        fn every_place_survives_its_path(level in 0..=MAX_LEVEL, index: u64, small in 0..5000_u64, width in 1..=FULL_WIDTH) {
            for index in [index, small] {
                prop_assert_eq!(tile(level, index, width).path().parse(), Ok(tile(level, index, width)));
                let bundle = EntriesId { index, width };
                prop_assert_eq!(bundle.path().parse(), Ok(bundle));
            }
        }

        #[test]
        fn whatever_parses_as_a_path_is_written_back_the_same(
            path in "(tile/)?(entries|[0-9]{1,3})(/x?[0-9]{2,4}){0,8}(\\.p/[0-9]{0,4})?"
        ) {
            if let Ok(id) = path.parse::<TileId>() {
                prop_assert_eq!(id.path(), path.clone());
            }
            if let Ok(id) = path.parse::<EntriesId>() {
                prop_assert_eq!(id.path(), path);
            }
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes: Vec<u8>, path: String) {
            if let Ok(entries) = decode_entries(&bytes) {
                prop_assert_eq!(encode_entries(&entries).unwrap(), bytes.clone());
            }
            if let Ok(hashes) = decode_hashes(&bytes) {
                prop_assert_eq!(encode_hashes(&hashes), bytes);
            }
            prop_assert!(path.parse::<TileId>().is_err() && path.parse::<EntriesId>().is_err());
        }
    }
}
