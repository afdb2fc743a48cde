//! Proofs: is this entry in that tree, and is this tree the beginning of that one?
//!
//! Making a proof reads tiles through a [`HashSource`]; checking one needs nothing but the proof. The plan of what to read is a
//! value of its own ([`tiles_for_inclusion`], [`tiles_for_consistency`]), so that a caller whose storage is asynchronous can fetch
//! first. Nothing here panics on hostile input, and nothing here asks who signed a root: that is [`note`](crate::note).
//!
//! Shapes are those of RFC 6962, section 2.1; the checks are the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use std::collections::BTreeMap;

use crate::hash::{self, Hash};
use crate::tile::TileId;

/// Where tiles are read from.
pub trait HashSource {
    /// The hashes of a tile, from its left end. More than `id.width` may be given (a wider partial tile, or the full one): the rest
    /// is ignored. Fewer are an error of the proof. An `Err` is a sentence for the operator.
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, String>;
}

impl<F: Fn(TileId) -> Result<Vec<Hash>, String>> HashSource for F {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, String> {
        self(id)
    }
}

/// Why a proof can't be made, or why one proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("entry `{index}` is not in a log of `{size}` entries: ask for a proof in a later checkpoint")]
    NotInTree { index: u64, size: u64 },
    #[error("a log of `{new}` entries can't continue one of `{old}`: it is shorter")]
    Shrunk { old: u64, new: u64 },
    #[error("`{path}` cannot be read: {reason}")]
    Source { path: String, reason: String },
    #[error("`{path}` has only `{found}` hashes: the log is damaged, restore the tile from a copy")]
    ShortTile { path: String, found: usize },
    #[error(
        "the proof has `{found}` hashes, which is not the length for these sizes: it was cut or made for other ones"
    )]
    Length { found: usize },
    #[error(
        "the proof leads to the root `{computed}`, not to `{root}`: the entry, the proof or the root is not the true one"
    )]
    Root { computed: Hash, root: Hash },
    #[error(
        "the proof leads to the earlier root `{computed}`, not to `{root}`: history was rewritten, or the proof is for another log"
    )]
    EarlierRoot { computed: Hash, root: Hash },
}

/// The hashes that lead from entry `index` to the root of the tree of `size` entries, the leaf's sibling first.
pub fn inclusion(index: u64, size: u64, source: &(impl HashSource + ?Sized)) -> Result<Vec<Hash>, ProofError> {
    hash_spans(&inclusion_spans(index, size)?, size, source)
}

/// The hashes that show that the tree of `old` entries is the beginning of the tree of `new` entries. Empty if there is nothing to
/// show: from the empty tree, or between equal sizes.
pub fn consistency(old: u64, new: u64, source: &(impl HashSource + ?Sized)) -> Result<Vec<Hash>, ProofError> {
    hash_spans(&consistency_spans(old, new)?, new, source)
}

/// The root of the tree of the first `size` entries.
pub fn root_at(size: u64, source: &(impl HashSource + ?Sized)) -> Result<Hash, ProofError> {
    let roots = hash_spans(&[Span { start: 0, end: size }], size, source)?;
    Ok(roots.first().copied().unwrap_or_else(hash::empty_root))
}

/// The tiles that [`inclusion`] will read, each once.
pub fn tiles_for_inclusion(index: u64, size: u64) -> Result<Vec<TileId>, ProofError> {
    Ok(tiles_for_spans(&inclusion_spans(index, size)?, size))
}

/// The tiles that [`consistency`] will read, each once.
pub fn tiles_for_consistency(old: u64, new: u64) -> Result<Vec<TileId>, ProofError> {
    Ok(tiles_for_spans(&consistency_spans(old, new)?, new))
}

/// Checks that the entry with the hash `leaf` is entry `index` of the tree of `size` entries with this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NotInTree { index, size });
    }
    let mut climb = Climb { place: index, last: size - 1 };
    let mut computed = *leaf;
    for sibling in proof {
        computed = match climb.step() {
            Some(Sibling::Left) => hash::node(sibling, &computed),
            Some(Sibling::Right) => hash::node(&computed, sibling),
            None => return Err(ProofError::Length { found: proof.len() }),
        };
    }
    climb.expect_top(proof)?;
    expect_root(computed, root)
}

/// Checks that the tree of `old` entries with `old_root` is the beginning of the tree of `new` entries with `new_root`.
///
/// From the empty tree, and between equal sizes, the proof must be empty and the roots must be right by themselves.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    let wrong_length = ProofError::Length { found: proof.len() };
    if old == 0 || old == new {
        let expected = if old == 0 { hash::empty_root() } else { *new_root };
        return if proof.is_empty() { expect_earlier_root(expected, old_root) } else { Err(wrong_length) };
    }
    // An old tree that is one full subtree of the new one is its own first hash, so the proof leaves it out.
    let (first, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return Err(wrong_length),
    };
    let mut climb = Climb { place: old - 1, last: new - 1 }.above((old - 1).trailing_ones());
    let (mut computed_old, mut computed_new) = (*first, *first);
    for sibling in rest {
        match climb.step() {
            Some(Sibling::Left) => {
                computed_old = hash::node(sibling, &computed_old);
                computed_new = hash::node(sibling, &computed_new);
            }
            Some(Sibling::Right) => computed_new = hash::node(&computed_new, sibling),
            None => return Err(wrong_length),
        }
    }
    climb.expect_top(proof)?;
    expect_earlier_root(computed_old, old_root)?;
    expect_root(computed_new, new_root)
}

/// The way up from a node to the root: its place in its row, and the place of the last node of that row.
struct Climb {
    place: u64,
    last: u64,
}

/// Where the next hash of a proof stands beside the node in hand.
enum Sibling {
    Left,
    Right,
}

impl Climb {
    /// The same way, begun that many rows further up.
    fn above(self, rows: u32) -> Self {
        Self { place: self.place >> rows, last: self.last >> rows }
    }

    /// One hash further up; `None` if this is the root already.
    fn step(&mut self) -> Option<Sibling> {
        if self.last == 0 {
            return None;
        }
        let is_last = self.place == self.last;
        // The last node of a row may have no sibling; such rows add nothing to a proof. `is_last` with the check above means that
        // there is a one somewhere in `place`.
        let lonely_rows = if is_last { self.place.trailing_zeros() } else { 0 };
        let sibling = if is_last || self.place & 1 == 1 { Sibling::Left } else { Sibling::Right };
        (self.place, self.last) = (self.place >> lonely_rows >> 1, self.last >> lonely_rows >> 1);
        Some(sibling)
    }

    fn expect_top(&self, proof: &[Hash]) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length { found: proof.len() }) }
    }
}

fn expect_root(computed: Hash, root: &Hash) -> Result<(), ProofError> {
    if computed == *root { Ok(()) } else { Err(ProofError::Root { computed, root: *root }) }
}

fn expect_earlier_root(computed: Hash, root: &Hash) -> Result<(), ProofError> {
    if computed == *root { Ok(()) } else { Err(ProofError::EarlierRoot { computed, root: *root }) }
}

/// The entries `[start, end)` of a tree, where RFC 6962 makes them one subtree of it. Not necessarily a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

/// A node over `2^height` entries, all of them present: the `index`-th of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    height: u32,
    index: u64,
}

impl Span {
    /// The two subtrees below: the left one is full, and the largest that leaves something for the right.
    fn halves(self) -> (Self, Self) {
        let middle = self.start + split(self.end - self.start);
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    /// The full subtrees that make up the span, from left to right: one for each bit of its length.
    fn nodes(self) -> impl Iterator<Item = Node> {
        let mut at = self.start;
        (0..64).rev().filter(move |height| (self.end - self.start) >> height & 1 == 1).map(move |height| {
            let node = Node { height, index: at >> height };
            at += 1 << height;
            node
        })
    }
}

impl Node {
    /// The tile that holds the hashes below (or at) the node in a log of `size` entries, and the places of the first and of the one
    /// after the last of them.
    fn place(self, size: u64) -> (TileId, usize, usize) {
        let in_row = self.index << (self.height % 8);
        let level = (self.height / 8) as u8;
        let index = in_row / 256;
        let width = TileId::at(level, index, size).map_or(0, |id| id.width);
        let first = (in_row % 256) as usize;
        (TileId { level, index, width }, first, first + (1 << (self.height % 8)))
    }
}

/// The largest power of two below `n`, for `n` of at least 2.
pub(crate) fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// PATH(index, D[size]) of RFC 6962, section 2.1.1, as spans.
fn inclusion_spans(index: u64, size: u64) -> Result<Vec<Span>, ProofError> {
    if index >= size {
        return Err(ProofError::NotInTree { index, size });
    }
    let mut tree = Span { start: 0, end: size };
    let mut spans = Vec::new();
    while tree.end - tree.start > 1 {
        let (left, right) = tree.halves();
        let (inside, sibling) = if index < right.start { (left, right) } else { (right, left) };
        spans.push(sibling);
        tree = inside;
    }
    spans.reverse();
    Ok(spans)
}

/// PROOF(old, D[new]) of RFC 6962, section 2.1.2, as spans.
fn consistency_spans(old: u64, new: u64) -> Result<Vec<Span>, ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut tree = Span { start: 0, end: new };
    let mut spans = Vec::new();
    while tree.end > old {
        let (left, right) = tree.halves();
        let (inside, sibling) = if old <= right.start { (left, right) } else { (right, left) };
        spans.push(sibling);
        tree = inside;
    }
    // The old tree itself is known to whoever checks; a part of it is not.
    if tree.start > 0 {
        spans.push(tree);
    }
    spans.reverse();
    Ok(spans)
}

fn tiles_for_spans(spans: &[Span], size: u64) -> Vec<TileId> {
    let mut tiles: Vec<TileId> = spans.iter().flat_map(|span| span.nodes()).map(|node| node.place(size).0).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// The root of each span, with each tile read once.
fn hash_spans(spans: &[Span], size: u64, source: &(impl HashSource + ?Sized)) -> Result<Vec<Hash>, ProofError> {
    let mut tiles = BTreeMap::new();
    for id in tiles_for_spans(spans, size) {
        tiles.insert((id.level, id.index), read_tile(source, id)?);
    }
    spans.iter().map(|span| hash_span(*span, size, &tiles)).collect()
}

fn hash_span(span: Span, size: u64, tiles: &BTreeMap<(u8, u64), Vec<Hash>>) -> Result<Hash, ProofError> {
    let peaks = span.nodes().map(|node| {
        let (id, first, after) = node.place(size);
        let hashes = tiles.get(&(id.level, id.index)).map_or(&[][..], Vec::as_slice);
        let below = hashes.get(first..after).and_then(hash::fold);
        below.ok_or_else(|| ProofError::ShortTile { path: id.path(), found: hashes.len() })
    });
    Ok(fold_peaks(&peaks.collect::<Result<Vec<_>, _>>()?).unwrap_or_else(hash::empty_root))
}

/// The root over full subtrees of falling size, from left to right; `None` over none.
pub(crate) fn fold_peaks(peaks: &[Hash]) -> Option<Hash> {
    let (last, lefts) = peaks.split_last()?;
    Some(lefts.iter().rev().fold(*last, |right, left| hash::node(left, &right)))
}

/// A tile in exactly the width that was asked for.
pub(crate) fn read_tile(source: &(impl HashSource + ?Sized), id: TileId) -> Result<Vec<Hash>, ProofError> {
    let mut hashes = source.tile(id).map_err(|reason| ProofError::Source { path: id.path(), reason })?;
    if hashes.len() < usize::from(id.width) {
        return Err(ProofError::ShortTile { path: id.path(), found: hashes.len() });
    }
    hashes.truncate(usize::from(id.width));
    Ok(hashes)
}

// Shows LC8: a proof holds for exactly one entry, place and tree.
#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf;
    use crate::tree::{Edge, root_of};

    /// All tiles of a log, as wide as they ever got.
    struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

    impl HashSource for Tiles {
        fn tile(&self, id: TileId) -> Result<Vec<Hash>, String> {
            self.0.get(&(id.level, id.index)).cloned().ok_or_else(|| "no such file".into())
        }
    }

    fn entry(i: u64) -> Hash {
        leaf(&i.to_be_bytes())
    }

    fn log(size: u64) -> (Edge, Tiles) {
        let mut edge = Edge::new();
        let mut tiles = BTreeMap::new();
        for i in 0..size {
            tiles.extend(edge.push(entry(i)).into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)));
        }
        tiles.extend(edge.partial_tiles().map(|(id, hashes)| ((id.level, id.index), hashes.to_vec())));
        (edge, Tiles(tiles))
    }

    fn long_log() -> &'static Tiles {
        static LOG: OnceLock<Tiles> = OnceLock::new();
        LOG.get_or_init(|| log(70_000).1)
    }

    fn flipped(hash: &Hash, bit: usize) -> Hash {
        let mut hash = *hash;
        hash.0[bit / 8 % 32] ^= 1 << (bit % 8);
        hash
    }

    #[test]
    fn every_entry_of_every_small_log_is_proved() {
        let tiles = log(40).1;
        for size in 1..=40 {
            let leaves: Vec<Hash> = (0..size).map(entry).collect();
            let root = root_of(&leaves);
            assert_eq!(root_at(size, &tiles), Ok(root));
            for index in 0..size {
                let proof = inclusion(index, size, &tiles).unwrap();
                assert_eq!(verify_inclusion(&entry(index), index, size, &proof, &root), Ok(()), "{index} in {size}");
                for other in (0..size).filter(|other| *other != index) {
                    assert!(verify_inclusion(&entry(index), other, size, &proof, &root).is_err(), "{index} as {other}");
                }
            }
        }
    }

    #[test]
    fn every_small_log_continues_each_shorter_one() {
        let tiles = log(40).1;
        let roots: Vec<Hash> = (0..=40).map(|size| root_at(size, &tiles).unwrap()).collect();
        for new in 0..=40 {
            for old in 0..=new {
                let proof = consistency(old, new, &tiles).unwrap();
                let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
                assert_eq!(verify_consistency(old, old_root, new, new_root, &proof), Ok(()), "{old} to {new}");
                assert!(verify_consistency(old, &flipped(old_root, 9), new, new_root, &proof).is_err());
                if old > 0 {
                    assert!(verify_consistency(old, old_root, new, &flipped(new_root, 9), &proof).is_err());
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_a_proof_is_noticed() {
        let tiles = log(23).1;
        let (root, old_root) = (root_at(23, &tiles).unwrap(), root_at(11, &tiles).unwrap());
        let included = inclusion(5, 23, &tiles).unwrap();
        let consistent = consistency(11, 23, &tiles).unwrap();
        for bit in 0..256 {
            assert!(verify_inclusion(&flipped(&entry(5), bit), 5, 23, &included, &root).is_err());
            assert!(verify_inclusion(&entry(5), 5, 23, &included, &flipped(&root, bit)).is_err());
            for at in 0..included.len() {
                let mut damaged = included.clone();
                damaged[at] = flipped(&damaged[at], bit);
                assert!(verify_inclusion(&entry(5), 5, 23, &damaged, &root).is_err());
            }
            for at in 0..consistent.len() {
                let mut damaged = consistent.clone();
                damaged[at] = flipped(&damaged[at], bit);
                assert!(verify_consistency(11, &old_root, 23, &root, &damaged).is_err());
            }
        }
    }

    #[test]
    fn a_proof_of_another_length_is_noticed() {
        let tiles = log(23).1;
        let (root, old_root) = (root_at(23, &tiles).unwrap(), root_at(11, &tiles).unwrap());
        let (included, consistent) = (inclusion(5, 23, &tiles).unwrap(), consistency(11, 23, &tiles).unwrap());
        for length in (0..included.len()).chain([included.len() + 1]) {
            let mut other = included.clone();
            other.resize(length, root);
            assert_eq!(verify_inclusion(&entry(5), 5, 23, &other, &root), Err(ProofError::Length { found: length }));
        }
        for length in (0..consistent.len()).chain([consistent.len() + 1]) {
            let mut other = consistent.clone();
            other.resize(length, root);
            assert_eq!(verify_consistency(11, &old_root, 23, &root, &other), Err(ProofError::Length { found: length }));
        }
        assert_eq!(
            verify_consistency(0, &hash::empty_root(), 23, &root, &[root]),
            Err(ProofError::Length { found: 1 })
        );
        assert_eq!(verify_consistency(23, &root, 23, &root, &[root]), Err(ProofError::Length { found: 1 }));
        assert!(verify_consistency(23, &root, 23, &old_root, &[]).is_err());
    }

    #[test]
    fn a_proof_that_cannot_be_made_says_why() {
        let tiles = log(300).1;
        expect!["entry `300` is not in a log of `300` entries: ask for a proof in a later checkpoint"]
            .assert_eq(&inclusion(300, 300, &tiles).unwrap_err().to_string());
        expect!["a log of `8` entries can't continue one of `9`: it is shorter"]
            .assert_eq(&consistency(9, 8, &tiles).unwrap_err().to_string());
        expect!["`tile/0/001.p/44` cannot be read: the disk is gone"].assert_eq(
            &inclusion(299, 300, &|id: TileId| match id.index {
                1 => Err("the disk is gone".to_owned()),
                _ => tiles.tile(id),
            })
            .unwrap_err()
            .to_string(),
        );
        expect!["`tile/0/001.p/60` has only `44` hashes: the log is damaged, restore the tile from a copy"]
            .assert_eq(&inclusion(0, 316, &tiles).unwrap_err().to_string());
        expect!["the proof leads to the earlier root `47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=`, not to `bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=`: history was rewritten, or the proof is for another log"]
            .assert_eq(&verify_consistency(0, &leaf(b""), 7, &leaf(b""), &[]).unwrap_err().to_string());
    }

    #[test]
    fn an_edge_can_be_loaded_from_tiles_of_a_longer_log() {
        for size in [0, 1, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 70_000] {
            let edge = Edge::load(size, long_log()).unwrap();
            assert_eq!((edge.size(), edge.root()), (size, root_at(size, long_log()).unwrap()), "size {size}");
        }
        assert_eq!(Edge::load(700, long_log()).unwrap(), log(700).0);
        assert!(matches!(Edge::load(80_000, long_log()), Err(ProofError::Source { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_entry_of_a_long_log_is_proved(
            size in 1..=70_000_u64, index: prop::sample::Index, at: prop::sample::Index, bit in 0..256_usize
        ) {
            let index = index.index(size as usize) as u64;
            let root = root_at(size, long_log()).unwrap();
            let mut proof = inclusion(index, size, long_log()).unwrap();
            prop_assert_eq!(verify_inclusion(&entry(index), index, size, &proof, &root), Ok(()));
            if !proof.is_empty() {
                let at = at.index(proof.len());
                proof[at] = flipped(&proof[at], bit);
                prop_assert!(verify_inclusion(&entry(index), index, size, &proof, &root).is_err());
            }
        }

        #[test]
        fn any_long_log_continues_a_shorter_one(
            new in 1..=70_000_u64, old: prop::sample::Index, at: prop::sample::Index, bit in 0..256_usize
        ) {
            let old = old.index(new as usize) as u64;
            let (old_root, new_root) = (root_at(old, long_log()).unwrap(), root_at(new, long_log()).unwrap());
            let mut proof = consistency(old, new, long_log()).unwrap();
            prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
            if !proof.is_empty() {
                let at = at.index(proof.len());
                proof[at] = flipped(&proof[at], bit);
                prop_assert!(verify_consistency(old, &old_root, new, &new_root, &proof).is_err());
            }
        }

        #[test]
        fn the_plan_names_the_tiles_that_are_read(size in 1..=70_000_u64, index: prop::sample::Index) {
            let index = index.index(size as usize) as u64;
            for plan in [tiles_for_inclusion(index, size).unwrap(), tiles_for_consistency(index, size).unwrap()] {
                let published: Vec<TileId> = crate::tile::tiles_for_size(size).collect();
                prop_assert!(plan.iter().all(|id| published.contains(id)));
            }
            let plan = tiles_for_inclusion(index, size).unwrap();
            let only_planned = |id: TileId| if plan.contains(&id) { long_log().tile(id) } else { Err("not planned".to_owned()) };
            prop_assert_eq!(inclusion(index, size, &only_planned), inclusion(index, size, long_log()));
        }

        #[test]
        fn no_sizes_make_the_checks_panic(old: u64, new: u64, proof: Vec<[u8; 32]>, root: [u8; 32]) {
            let (proof, root): (Vec<Hash>, Hash) = (proof.into_iter().map(Hash).collect(), Hash(root));
            prop_assert!(verify_inclusion(&entry(0), old, new, &proof, &root).is_err());
            prop_assert!(verify_consistency(old, &root, new, &root, &proof).is_err() || old == new);
            for (old, new) in [(old, u64::MAX), (u64::MAX - 1, u64::MAX), (new, old)] {
                let _ = (tiles_for_inclusion(old, new), tiles_for_consistency(old, new));
            }
        }
    }
}
