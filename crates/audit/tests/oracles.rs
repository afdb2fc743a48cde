//! Shows LC8: other people's implementations of the same formats agree with ours, in both directions.

use std::collections::BTreeMap;

use audit::proof::{self, HashSource};
use audit::{Checkpoint, Edge, Hash, Note, SigningKey, TileId, VerifierKey, hash, tile};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use signed_note::{Note as OtherNote, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, Tile as OtherTile, TileHashReader, TileReader};

/// The tiles of one log, behind our trait and behind theirs.
struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

impl HashSource for Tiles {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, String> {
        self.0.get(&(id.level, id.index)).cloned().ok_or_else(|| "no such tile".into())
    }
}

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[OtherTile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let bytes = |tile: &OtherTile| {
            let hashes = &self.0[&(tile.level(), tile.level_index())];
            tile::encode_hashes(&hashes[..tile.width() as usize])
        };
        Ok(tiles.iter().map(bytes).collect())
    }

    fn save_tiles(&self, _: &[OtherTile], _: &[Vec<u8>]) {}
}

fn entry(i: u64) -> Vec<u8> {
    format!("entry {i}").into_bytes()
}

fn tiles(size: u64) -> Tiles {
    let mut edge = Edge::new();
    let mut tiles = BTreeMap::new();
    for i in 0..size {
        tiles.extend(edge.push(hash::leaf(&entry(i))).into_iter().map(|full| ((full.level, full.index), full.hashes)));
    }
    tiles.extend(edge.partial_tiles().map(|(id, hashes)| ((id.level, id.index), hashes.to_vec())));
    Tiles(tiles)
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn all_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(theirs).collect()
}

/// Their paths name the height of a tile before its level.
fn other_path(id: TileId) -> String {
    id.path().replacen("tile/", "tile/8/", 1)
}

#[test]
fn leaves_nodes_and_the_empty_root_agree() {
    let (left, right) = (hash::leaf(b"left"), hash::leaf(b""));
    assert_eq!(theirs(&left), tlog_tiles::record_hash(b"left"));
    assert_eq!(theirs(&right), tlog_tiles::record_hash(b""));
    assert_eq!(theirs(&hash::node(&left, &right)), tlog_tiles::node_hash(theirs(&left), theirs(&right)));
    assert_eq!(theirs(&hash::empty_root()), tlog_tiles::EMPTY_HASH);
    assert_eq!(left.to_base64(), theirs(&left).to_string());
}

#[test]
fn tile_lists_agree() {
    for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000] {
        let ours: Vec<String> = tile::tiles_for_size(size).map(other_path).collect();
        let others: Vec<String> = OtherTile::new_tiles(8, 0, size).iter().map(OtherTile::path).collect();
        assert_eq!(ours, others, "size {size}");
    }
}

#[test]
fn every_tile_that_they_derive_from_our_tiles_is_ours() {
    // Their reader recomputes the root from the tiles that it is given, and refuses them if it differs.
    let log = tiles(700);
    let root = proof::root_at(700, &log).unwrap();
    let reader = TileHashReader::new(700, theirs(&root), &log);
    assert_eq!(tlog_tiles::tree_hash(700, &reader).unwrap(), theirs(&root));
    for id in tile::tiles_for_size(700) {
        let other = OtherTile::new(8, id.level, id.index, u32::from(id.width), false);
        let hashes = &log.tile(id).unwrap()[..usize::from(id.width)];
        assert_eq!(other.read_data(&reader).unwrap(), tile::encode_hashes(hashes), "{id}");
    }
}

#[test]
fn proofs_agree_at_all_small_sizes() {
    let log = tiles(40);
    let roots: Vec<Hash> = (0..=40).map(|size| proof::root_at(size, &log).unwrap()).collect();
    for size in 1..=40_u64 {
        let (root, reader) = (&roots[size as usize], TileHashReader::new(size, theirs(&roots[size as usize]), &log));
        for other in 0..size {
            check_proofs(other, size, root, &roots[other as usize], &log, &reader);
        }
    }
}

/// Both sides make the same proofs, and each accepts the other's.
fn check_proofs(other: u64, size: u64, root: &Hash, other_root: &Hash, log: &Tiles, reader: &impl HashReader) {
    let leaf = hash::leaf(&entry(other));
    let inclusion = proof::inclusion(other, size, log).unwrap();
    assert_eq!(tlog_tiles::prove_record(size, other, reader).unwrap(), all_theirs(&inclusion), "{other} in {size}");
    tlog_tiles::check_record(&all_theirs(&inclusion), size, theirs(root), other, theirs(&leaf)).unwrap();
    proof::verify_inclusion(&leaf, other, size, &inclusion, root).unwrap();
    if other > 0 {
        let consistency = proof::consistency(other, size, log).unwrap();
        assert_eq!(tlog_tiles::prove_tree(size, other, reader).unwrap(), all_theirs(&consistency), "{other} to {size}");
        tlog_tiles::check_tree(&all_theirs(&consistency), size, theirs(root), other, theirs(other_root)).unwrap();
        proof::verify_consistency(other, other_root, size, root, &consistency).unwrap();
    }
}

#[test]
fn notes_and_keys_agree() {
    let (seed, text) = ([9; 32], "log.example/prod\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    let key = SigningKey::from_seed("log.example/prod", seed).unwrap();
    let verifier = key.verifier().to_string();
    let others_verifier = StandardVerifier::new(&verifier).unwrap();

    let id: String = key.verifier().key_id().iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = STANDARD.encode([&[1][..], &seed].concat());
    let others_key = StandardSigner::new(&format!("PRIVATE+KEY+log.example/prod+{id}+{secret}")).unwrap();
    let mut others_note = OtherNote::new(text.as_bytes(), &[]).unwrap();
    others_note.add_sigs(&[&others_key]).unwrap();

    let note = key.sign(text).unwrap();
    assert_eq!(note.to_string().into_bytes(), others_note.to_bytes());
    let known = VerifierList::new(vec![Box::new(others_verifier)]);
    let (verified, unknown) = OtherNote::from_bytes(note.to_string().as_bytes()).unwrap().verify(&known).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    assert_eq!(verifier.parse::<VerifierKey>().unwrap().to_string(), verifier);
}

#[test]
fn checkpoints_agree() {
    let mut checkpoint = Checkpoint::new("log.example/prod", 70_000, hash::leaf(b"root"));
    checkpoint.extensions.push("an extension".into());
    let other =
        tlog_tiles::Checkpoint::new(&checkpoint.origin, 70_000, theirs(&checkpoint.root), "an extension\n").unwrap();
    assert_eq!(checkpoint.to_string().into_bytes(), other.to_bytes());
    assert_eq!(tlog_tiles::Checkpoint::from_bytes(checkpoint.to_string().as_bytes()).unwrap(), other);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn paths_agree(level in 0..=63_u8, index: u64, small in 0..10_000_u64, width in 1..=256_u16) {
        for index in [index, small] {
            let id = TileId { level, index, width };
            prop_assert_eq!(OtherTile::new(8, level, index, u32::from(width), false).path(), other_path(id));
            prop_assert_eq!(OtherTile::from_path(&other_path(id)).unwrap().path(), other_path(id));
        }
    }

    #[test]
    fn proofs_agree_in_longer_logs(size in 257..1500_u64, other: prop::sample::Index) {
        let log = tiles(size);
        let other = other.index(size as usize) as u64;
        let (root, other_root) = (proof::root_at(size, &log).unwrap(), proof::root_at(other, &log).unwrap());
        let reader = TileHashReader::new(size, theirs(&root), &log);
        check_proofs(other, size, &root, &other_root, &log, &reader);
    }

    #[test]
    fn both_sides_read_the_same_notes(
        text in "[a-z\n]{0,8}\n", line in "(— )?(a|b c|a\\+b|)( AAAAAAA=| AAAAA==| !|)", lines in 0..3_usize
    ) {
        let note = format!("{text}\n{}", format!("{line}\n").repeat(lines));
        let (ours, others) = (Note::parse(&note), OtherNote::from_bytes(note.as_bytes()));
        prop_assert_eq!(ours.is_ok(), others.is_ok(), "{:?}", note);
        if let (Ok(ours), Ok(others)) = (ours, others) {
            prop_assert_eq!(ours.text().as_bytes(), others.text());
            prop_assert_eq!(ours.to_string().into_bytes(), others.to_bytes());
        }
    }
}
