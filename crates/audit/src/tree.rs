//! The growing tree: what changes when one more entry is hashed in?
//!
//! An [`Edge`] is all that an appender must remember of a log of any size: the hashes of the partial tiles at its right. It never
//! holds a full tile, which it hands out once and forgets, and it never proves anything. Next room: [`proof`].

use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::hash::{self, HASH_BYTES, Hash};
use crate::proof::{self, HashSource, ProofError};
use crate::tile::{FULL_WIDTH, TileId, hashes_at};

/// Positions are stored as signed 64-bit integers in databases, so no log is longer than this.
const MAX_SIZE: u64 = i64::MAX as u64;

/// The right edge of a tree: its size and, level by level, the hashes of the partial tile there (0 to 255 of them).
///
/// A push costs two hashes on average, the root at most one for each bit of the size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredEdge", into = "StoredEdge")]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
    /// The roots of the full subtrees that make up the tree, from left to right: one for each bit that is set in `size`. They
    /// follow from `levels` and are kept so that neither a push nor a root has to hash a whole tile again.
    peaks: Vec<Hash>,
}

/// A tile that a push has filled: 256 hashes, never to change again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    pub level: u8,
    pub index: u64,
    pub hashes: Vec<Hash>,
}

/// A stored edge does not describe any tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    #[error(
        "an edge of size `{size}` has `{expected}` hashes at level `{level}`, not `{found}`: restore it from the tiles"
    )]
    Width { size: u64, level: usize, expected: u64, found: usize },
    #[error("an edge of size `{size}` is larger than any log: the largest is `{MAX_SIZE}`")]
    Size { size: u64 },
    #[error("level `{level}` of the edge is not base64 of whole hashes: restore it from the tiles")]
    Hashes { level: usize },
}

impl FullTile {
    /// Its coordinates, for its path.
    #[must_use]
    pub fn id(&self) -> TileId {
        TileId { level: self.level, index: self.index, width: FULL_WIDTH }
    }
}

impl Edge {
    /// The edge of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` entries whose tiles are in `source`: for a restart, or to check a stored edge.
    pub fn load(size: u64, source: &(impl HashSource + ?Sized)) -> Result<Self, ProofError> {
        let mut levels = Vec::new();
        for level in (0..=7_u8).take_while(|level| hashes_at(*level, size) > 0) {
            let last = hashes_at(level, size) / u64::from(FULL_WIDTH);
            let hashes = TileId::at(level, last, size).map(|id| proof::read_tile(source, id)).transpose()?;
            levels.push(hashes.unwrap_or_default());
        }
        let peaks = peaks_of(size, &levels);
        Ok(Self { size, levels, peaks })
    }

    /// How many entries are in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of the next entry. Returns the tiles that are full because of it, lowest level first: none at most times,
    /// more than one where a higher tile is filled too.
    pub fn push(&mut self, leaf: Hash) -> Vec<FullTile> {
        let mut full = Vec::new();
        self.put(0, leaf);
        let mut subtree = leaf;
        // Each trailing one of the size is a subtree as large as the one in hand, waiting at its left.
        for height in 1..=self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                subtree = hash::node(&left, &subtree);
            }
            if height.is_multiple_of(8) {
                let level = (height / 8) as usize;
                full.push(self.take_full(level - 1));
                self.put(level, subtree);
            }
        }
        self.peaks.push(subtree);
        self.size += 1;
        full
    }

    /// The root of the tree, as RFC 6962 defines it.
    #[must_use]
    pub fn root(&self) -> Hash {
        proof::fold_peaks(&self.peaks).unwrap_or_else(hash::empty_root)
    }

    /// The partial tiles that a log of this size publishes, lowest level first.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        (0_u8..).zip(&self.levels).filter_map(move |(level, hashes)| {
            let width = u16::try_from(hashes.len()).ok().filter(|width| *width > 0)?;
            let index = hashes_at(level, self.size) / u64::from(FULL_WIDTH);
            Some((TileId { level, index, width }, hashes.as_slice()))
        })
    }

    fn put(&mut self, level: usize, hash: Hash) {
        if self.levels.len() == level {
            self.levels.push(Vec::with_capacity(usize::from(FULL_WIDTH)));
        }
        self.levels[level].push(hash);
    }

    fn take_full(&mut self, level: usize) -> FullTile {
        let hashes = mem::replace(&mut self.levels[level], Vec::with_capacity(usize::from(FULL_WIDTH)));
        // INVARIANT: called while the entry that fills the tile is being added, so `size` is one short of the tile's end.
        let index = hashes_at(level as u8, self.size) / u64::from(FULL_WIDTH);
        FullTile { level: level as u8, index, hashes }
    }
}

/// The root over leaf hashes by the recursion of RFC 6962, section 2.1, word for word. Slow; the measure for everything faster.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash::empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = proof::split(leaves.len() as u64) as usize;
            hash::node(&root_of(&leaves[..split]), &root_of(&leaves[split..]))
        }
    }
}

/// The roots of the full subtrees of a tree: those of the heights `8 * level` and up to 7 more are in the tile of that level.
fn peaks_of(size: u64, levels: &[Vec<Hash>]) -> Vec<Hash> {
    let mut peaks = Vec::new();
    for (level, mut rest) in levels.iter().map(Vec::as_slice).enumerate().rev() {
        for height in (0..8).rev().filter(|height| size >> (8 * level + height) & 1 == 1) {
            let (subtree, right) = rest.split_at(1 << height);
            peaks.extend(hash::fold(subtree));
            rest = right;
        }
    }
    peaks
}

/// An edge at rest: each level is one base64 text of its hashes put together, half the size of a list of texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEdge {
    size: u64,
    levels: Vec<String>,
}

impl From<Edge> for StoredEdge {
    fn from(edge: Edge) -> Self {
        let levels = edge.levels.iter().map(|hashes| STANDARD.encode(crate::tile::encode_hashes(hashes))).collect();
        Self { size: edge.size, levels }
    }
}

impl TryFrom<StoredEdge> for Edge {
    type Error = EdgeError;

    fn try_from(stored: StoredEdge) -> Result<Self, EdgeError> {
        let size = stored.size;
        if size > MAX_SIZE {
            return Err(EdgeError::Size { size });
        }
        let levels = stored.levels.iter().enumerate().map(|(level, text)| level_of(level, text));
        let levels = levels.collect::<Result<Vec<_>, _>>()?;
        check_widths(size, &levels)?;
        let peaks = peaks_of(size, &levels);
        Ok(Self { size, levels, peaks })
    }
}

fn level_of(level: usize, text: &str) -> Result<Vec<Hash>, EdgeError> {
    let bytes = STANDARD.decode(text).map_err(|_| EdgeError::Hashes { level })?;
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if rest.is_empty() { Ok(hashes.iter().copied().map(Hash).collect()) } else { Err(EdgeError::Hashes { level }) }
}

fn check_widths(size: u64, levels: &[Vec<Hash>]) -> Result<(), EdgeError> {
    let used = (0..=7_u8).filter(|level| hashes_at(*level, size) > 0).count();
    for level in 0..used.max(levels.len()) {
        let expected = hashes_at(u8::try_from(level).unwrap_or(u8::MAX), size) % u64::from(FULL_WIDTH);
        let found = levels.get(level).map(Vec::len);
        // A level without hashes is still listed as long as the tree reaches up to it, and never above that.
        if found.is_none_or(|found| found as u64 != expected) || level >= used {
            return Err(EdgeError::Width { size, level, expected, found: found.unwrap_or(0) });
        }
    }
    Ok(())
}

// Shows LC8: whatever the size, the root commits to every entry in its place.
#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf;

    fn leaves(n: u32) -> Vec<Hash> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    fn edge_of(leaves: &[Hash]) -> Edge {
        let mut edge = Edge::new();
        leaves.iter().for_each(|leaf| drop(edge.push(*leaf)));
        edge
    }

    #[test]
    fn the_reference_tree_has_the_published_roots() {
        let entries: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let hashes: Vec<Hash> = entries.iter().map(|entry| leaf(entry)).collect();
        for (size, root) in roots.into_iter().enumerate() {
            assert_eq!(format!("{:x}", edge_of(&hashes[..size]).root()), root, "size {size}");
            assert_eq!(format!("{:x}", root_of(&hashes[..size])), root, "size {size}");
        }
    }

    #[test]
    fn an_edge_has_the_root_of_the_recursion_at_every_size_up_to_600() {
        let leaves = leaves(600);
        let mut edge = Edge::new();
        for size in 0..=600 {
            assert_eq!((edge.size(), edge.root()), (size as u64, root_of(&leaves[..size])), "size {size}");
            leaves.get(size).into_iter().for_each(|leaf| drop(edge.push(*leaf)));
        }
    }

    #[test]
    fn an_edge_crosses_65536_entries_without_losing_a_tile() {
        let leaves = leaves(65_537);
        let mut edge = Edge::new();
        let mut full = Vec::new();
        for (size, hash) in (1_usize..).zip(&leaves) {
            full.extend(edge.push(*hash));
            if size >= 65_535 {
                assert_eq!(edge.root(), root_of(&leaves[..size]), "size {size}");
            }
        }
        let last: Vec<_> = full[253..].iter().map(|tile| tile.id().path()).collect();
        assert_eq!(last, ["tile/0/253", "tile/0/254", "tile/0/255", "tile/1/000"]);
        assert_eq!(full[256].hashes[3], root_of(&leaves[768..1024]));
        let partial: Vec<_> = edge.partial_tiles().map(|(id, hashes)| (id.path(), hashes.to_vec())).collect();
        assert_eq!(
            partial,
            [
                ("tile/0/256.p/1".into(), vec![leaves[65_536]]),
                ("tile/2/000.p/1".into(), vec![root_of(&leaves[..65_536])])
            ]
        );
    }

    #[test]
    fn the_tiles_of_an_edge_are_those_that_its_size_publishes() {
        let leaves = leaves(1030);
        let mut edge = Edge::new();
        let mut published: Vec<TileId> = Vec::new();
        for size in 0..=1030_u64 {
            let mut all: Vec<TileId> =
                published.iter().copied().chain(edge.partial_tiles().map(|(id, _)| id)).collect();
            all.sort_unstable();
            assert_eq!(all, crate::tile::tiles_for_size(size).collect::<Vec<_>>(), "size {size}");
            if let Some(leaf) = leaves.get(size as usize) {
                published.extend(edge.push(*leaf).iter().map(FullTile::id));
            }
        }
    }

    #[test]
    fn an_edge_at_rest_is_its_size_and_a_text_for_each_level() {
        expect![[r#"{"size":2,"levels":["iFVQiq3hbsVz0h5qSF39CnYkCFwaFLXs3WSF3gxoOaQV8vGkM59fKjE7lQFcrYEk0FShcawvMc9Sndp8+2o4tA=="]}"#]]
            .assert_eq(&serde_json::to_string(&edge_of(&leaves(2))).unwrap());
        assert_eq!(serde_json::to_string(&Edge::new()).unwrap(), r#"{"size":0,"levels":[]}"#);
    }

    #[test]
    fn a_stored_edge_that_fits_no_tree_is_refused() {
        let one = leaf(b"").to_base64();
        let refusal = |json: String| serde_json::from_str::<Edge>(&json).unwrap_err().to_string();
        expect!["an edge of size `2` has `2` hashes at level `0`, not `1`: restore it from the tiles"]
            .assert_eq(&refusal(format!(r#"{{"size":2,"levels":["{one}"]}}"#)));
        expect!["an edge of size `1` has `0` hashes at level `1`, not `0`: restore it from the tiles"]
            .assert_eq(&refusal(format!(r#"{{"size":1,"levels":["{one}",""]}}"#)));
        expect!["an edge of size `256` has `1` hashes at level `1`, not `0`: restore it from the tiles"]
            .assert_eq(&refusal(r#"{"size":256,"levels":[""]}"#.into()));
        expect!["level `0` of the edge is not base64 of whole hashes: restore it from the tiles"]
            .assert_eq(&refusal(r#"{"size":1,"levels":["AAAA"]}"#.into()));
        expect!["an edge of size `18446744073709551615` is larger than any log: the largest is `9223372036854775807`"]
            .assert_eq(&refusal(r#"{"size":18446744073709551615,"levels":[]}"#.into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn an_edge_resumes_from_its_stored_form_at_any_size(before in 0..1500_u32, after in 0..600_u32) {
            let leaves = leaves(before + after);
            let edge = edge_of(&leaves[..before as usize]);
            let mut resumed: Edge = serde_json::from_str(&serde_json::to_string(&edge).unwrap()).unwrap();
            prop_assert_eq!(&resumed, &edge);
            leaves[before as usize..].iter().for_each(|leaf| drop(resumed.push(*leaf)));
            prop_assert_eq!(resumed.root(), root_of(&leaves));
            prop_assert_eq!(resumed, edge_of(&leaves));
        }

        #[test]
        fn no_text_makes_the_edge_reader_panic(size: u64, levels: Vec<Vec<u8>>) {
            let levels: Vec<String> = levels.iter().map(|bytes| STANDARD.encode(bytes)).collect();
            let json = serde_json::json!({"size": size, "levels": levels}).to_string();
            if let Ok(edge) = serde_json::from_str::<Edge>(&json) {
                prop_assert_eq!(edge.size(), size);
            }
        }
    }
}
