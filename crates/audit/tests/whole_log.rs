//! Shows LC8: a whole log as files, read by our own auditor; each alteration is noticed and named.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use audit::verify::{Earlier, LogSource, Progress, Report, Trust, VerifyError, verify, verify_with};
use audit::{Checkpoint, Edge, EntriesId, Envelope, Hash, SigningKey, VerifierKey, hash, tile};
use expect_test::expect;
use serde_json::json;

const ORIGIN: &str = "log.example/prod";

/// The files of an exported log.
#[derive(Clone, PartialEq)]
struct Export(BTreeMap<String, Vec<u8>>);

impl LogSource for Export {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(path).cloned())
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [42; 32]).unwrap()
}

fn envelope(position: u64) -> Envelope {
    Envelope {
        position,
        stream: format!("change/{}", position % 3),
        version: position / 3 + 1,
        kind: "Approved".into(),
        time: "2026-10-02T06:00:00Z".into(),
        actor: "user:7f3a".into(),
        change: None,
        body: json!({"n": position}),
    }
}

fn entries(size: u64) -> Vec<Vec<u8>> {
    (0..size).map(|position| envelope(position).to_bytes().unwrap()).collect()
}

/// What a log with these entries publishes, whatever the entries are.
fn export(entries: &[Vec<u8>]) -> Export {
    let mut files = BTreeMap::new();
    let mut edge = Edge::new();
    for entry in entries {
        for full in edge.push(hash::leaf(entry)) {
            files.insert(full.id().path(), tile::encode_hashes(&full.hashes));
        }
    }
    for (id, hashes) in edge.partial_tiles() {
        files.insert(id.path(), tile::encode_hashes(hashes));
    }
    for (index, bundle) in (0..).zip(entries.chunks(256)) {
        let id = EntriesId::at(index, edge.size()).unwrap();
        files.insert(id.path(), tile::encode_entries(bundle).unwrap());
    }
    files.insert(
        "checkpoint".into(),
        Checkpoint::new(ORIGIN, edge.size(), edge.root()).sign(&key()).unwrap().into_bytes(),
    );
    Export(files)
}

fn root_of(entries: &[Vec<u8>]) -> Hash {
    let mut edge = Edge::new();
    entries.iter().for_each(|entry| drop(edge.push(hash::leaf(entry))));
    edge.root()
}

fn keys() -> &'static [VerifierKey] {
    static KEYS: OnceLock<Vec<VerifierKey>> = OnceLock::new();
    KEYS.get_or_init(|| vec![key().verifier()])
}

fn audit(log: &dyn LogSource, earlier: Option<Earlier>) -> Result<Report, VerifyError> {
    verify(log, &Trust { origin: ORIGIN, keys: keys(), earlier }, &mut |_| ())
}

fn error(log: &dyn LogSource) -> String {
    audit(log, None).unwrap_err().to_string()
}

fn flipped(log: &Export, path: &str, at: usize, bit: usize) -> Export {
    let mut damaged = log.clone();
    damaged.0.get_mut(path).unwrap()[at] ^= 1 << bit;
    damaged
}

#[test]
fn an_honest_log_of_any_size_is_found_right() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, 700] {
        let entries = entries(size);
        let log = export(&entries);
        let report = Report {
            origin: ORIGIN.into(),
            size,
            root: root_of(&entries),
            streams: size.min(3),
            entries_bytes: entries.iter().map(|entry| entry.len() as u64).sum(),
            tiles: tile::tiles_for_size(size).count() as u64,
        };
        assert_eq!(audit(&log, None).unwrap(), report, "size {size}");
        let published: Vec<String> = tile::paths_for_size(size).chain(["checkpoint".into()]).collect();
        assert_eq!(log.0.len(), published.len(), "size {size}");
        assert!(published.iter().all(|path| log.0.contains_key(path)), "size {size}");
    }
}

#[test]
fn the_caller_sees_every_entry_in_order_and_how_far_it_is() {
    let entries = entries(300);
    let (mut seen, mut progress) = (Vec::new(), Vec::new());
    let trust = Trust { origin: ORIGIN, keys: keys(), earlier: None };
    verify_with(&export(&entries), &trust, &mut |step| progress.push(step), &mut |envelope, bytes| {
        assert_eq!(envelope, &self::envelope(envelope.position));
        seen.push(bytes.to_vec());
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, entries);
    assert_eq!(progress, [Progress { entries: 256, size: 300 }, Progress { entries: 300, size: 300 }]);
}

#[test]
fn the_caller_can_refuse_an_entry() {
    let trust = Trust { origin: ORIGIN, keys: keys(), earlier: None };
    let refusal = verify_with(&export(&entries(20)), &trust, &mut |_| (), &mut |envelope, _| match envelope.position {
        17 => Err("a change was completed before it was approved".into()),
        _ => Ok(()),
    });
    expect!["entry 17: a change was completed before it was approved"].assert_eq(&refusal.unwrap_err().to_string());
}

#[test]
fn a_flipped_bit_anywhere_in_the_export_is_noticed() {
    let good = export(&entries(300));
    assert!(audit(&good, None).is_ok());
    let mut flips = 0;
    for (path, bytes) in &good.0 {
        // Every byte of the checkpoint; of the long files, bytes at a stride that meets every place within a hash and an entry.
        let stride = if path == "checkpoint" { 1 } else { 211 };
        for at in (0..bytes.len()).step_by(stride) {
            flips += 1;
            assert!(
                audit(&flipped(&good, path, at, flips % 8), None).is_err(),
                "bit {} of byte {at} of {path}",
                flips % 8
            );
        }
    }
    assert!(flips > 400, "{flips}");
}

#[test]
fn a_flipped_bit_in_any_byte_of_a_log_of_two_entries_is_noticed() {
    let good = export(&entries(2));
    for (path, bytes) in good.0.iter().filter(|(path, _)| *path != "checkpoint") {
        for at in 0..bytes.len() {
            assert!(audit(&flipped(&good, path, at, at % 8), None).is_err(), "bit {} of byte {at} of {path}", at % 8);
        }
    }
}

#[test]
fn a_file_that_is_cut_lengthened_or_gone_is_noticed() {
    let good = export(&entries(300));
    for path in good.0.keys() {
        let mut damaged = good.clone();
        damaged.0.get_mut(path).unwrap().pop();
        assert!(audit(&damaged, None).is_err(), "{path} cut");
        damaged.0.get_mut(path).unwrap().clear();
        assert!(audit(&damaged, None).is_err(), "{path} emptied");
        let mut damaged = good.clone();
        damaged.0.get_mut(path).unwrap().extend([0, 0]);
        assert!(audit(&damaged, None).is_err(), "{path} lengthened");
        let mut damaged = good.clone();
        damaged.0.remove(path);
        assert_eq!(error(&damaged), format!("`{path}` is missing: export the log again, or check the address"));
    }
}

#[test]
fn a_log_that_grew_meanwhile_may_have_only_the_full_files() {
    let mut log = export(&entries(300));
    let later = export(&entries(520));
    for path in ["tile/0/001", "tile/entries/001"] {
        log.0.insert(path.into(), later.0[path].clone());
        assert!(log.0.remove(&format!("{path}.p/44")).is_some());
    }
    assert_eq!(audit(&log, None).unwrap().tiles, 3);
    log.0.get_mut("tile/0/001").unwrap()[40] ^= 1;
    assert!(error(&log).starts_with("entry 257: its hash is "));
}

#[test]
fn an_altered_entry_is_named() {
    let mut log = export(&entries(20));
    let mut altered = entries(20);
    altered[17] = Envelope { actor: "user:0000".into(), ..envelope(17) }.to_bytes().unwrap();
    log.0.insert("tile/entries/000.p/20".into(), tile::encode_entries(&altered).unwrap());
    let (computed, found) = (hash::leaf(&altered[17]), hash::leaf(&entries(20)[17]));
    assert_eq!(
        error(&log),
        format!(
            "entry 17: its hash is `{computed}`, but `tile/0/000.p/20` has `{found}` for it: the entry or the tile was altered"
        )
    );
}

#[test]
fn a_log_rewritten_with_all_its_tiles_does_not_fit_its_checkpoint() {
    let good = export(&entries(20));
    let mut altered = entries(20);
    altered[17] = Envelope { actor: "user:0000".into(), ..envelope(17) }.to_bytes().unwrap();
    let mut rewritten = export(&altered);
    rewritten.0.insert("checkpoint".into(), good.0["checkpoint"].clone());
    let (computed, found) = (root_of(&altered), root_of(&entries(20)));
    assert_eq!(
        error(&rewritten),
        format!("the `20` entries have the root `{computed}`, but the checkpoint says `{found}`: entries were altered")
    );
}

#[test]
fn a_log_rewritten_by_its_own_key_does_not_fit_an_earlier_checkpoint() {
    let (old, mut altered) = (entries(10), entries(20));
    let earlier = Some(Earlier { size: 10, root: root_of(&old) });
    assert!(audit(&export(&altered), earlier).is_ok());
    altered[3] = Envelope { actor: "user:0000".into(), ..envelope(3) }.to_bytes().unwrap();
    let (expected, found) = (root_of(&old), root_of(&altered[..10]));
    assert_eq!(
        audit(&export(&altered), earlier).unwrap_err().to_string(),
        format!(
            "the root of the first `10` entries is `{found}`, but your earlier checkpoint says `{expected}`: history was rewritten"
        )
    );
    assert!(audit(&export(&entries(10)), earlier).is_ok());
    expect!["the log has `9` entries, fewer than the `10` of your earlier checkpoint: its end was cut off"]
        .assert_eq(&audit(&export(&entries(9)), earlier).unwrap_err().to_string());
    let empty = |root| audit(&export(&entries(3)), Some(Earlier { size: 0, root }));
    assert!(empty(hash::empty_root()).is_ok());
    assert!(empty(root_of(&old)).is_err());
}

#[test]
fn entries_out_of_order_are_named() {
    let written = |change: fn(&mut Envelope)| {
        let mut moved = envelope(5);
        change(&mut moved);
        let mut all = entries(9);
        all[5] = moved.to_bytes().unwrap();
        error(&export(&all))
    };
    expect!["entry 5: it says that it is entry `6`: entries were moved or left out"]
        .assert_eq(&written(|e| e.position = 6));
    expect!["entry 5: version `3` of stream `change/2`, expected `2`: entries were moved or left out"]
        .assert_eq(&written(|e| e.version = 3));
    expect!["entry 5: version `0` of stream `change/2`, expected `2`: entries were moved or left out"]
        .assert_eq(&written(|e| e.version = 0));
    expect!["entry 5: version `2` of stream `new`, expected `1`: entries were moved or left out"]
        .assert_eq(&written(|e| e.stream = "new".into()));
}

#[test]
fn entries_in_another_form_are_named() {
    let written = |bytes: &[u8]| {
        let mut all = entries(9);
        all[5] = bytes.to_vec();
        error(&export(&all))
    };
    let text = String::from_utf8(entries(9)[5].clone()).unwrap();
    expect!["entry 5: the entry is not the JSON of an envelope"].assert_eq(&written(b""));
    expect!["entry 5: the entry is not in canonical form from byte `33` on"]
        .assert_eq(&written(text.replace("\"n\":5", "\"n\": 5").as_bytes()));
    expect!["entry 5: the entry's time `` is not an RFC 3339 time such as `2026-10-02T06:00:00Z`"]
        .assert_eq(&written(text.replace("2026-10-02T06:00:00Z", "").as_bytes()));
}

#[test]
fn an_altered_tile_above_the_leaves_is_named() {
    let mut log = export(&entries(300));
    log.0.get_mut("tile/1/000.p/1").unwrap()[0] ^= 1;
    assert!(error(&log).starts_with("`tile/1/000.p/1`: hash 0 is `"), "{}", error(&log));
}

#[test]
fn a_strangers_log_is_refused_before_it_is_read() {
    let stranger = SigningKey::from_seed(ORIGIN, [1; 32]).unwrap().verifier();
    let trust = Trust { origin: ORIGIN, keys: &[stranger], earlier: None };
    let refused = verify_with(&export(&entries(3)), &trust, &mut |_| (), &mut |_, _| panic!("an entry was read"));
    expect!["`checkpoint` is refused: the checkpoint's note is refused: none of the known keys signed the note; it has signatures by `log.example/prod`"]
        .assert_eq(&refused.unwrap_err().to_string());
    let mut log = export(&entries(3));
    log.0.insert("checkpoint".into(), vec![0xff; 9]);
    expect!["`checkpoint` is not text in UTF-8: it was altered or is another kind of file"].assert_eq(&error(&log));
}

#[test]
fn a_checkpoint_over_more_entries_than_there_are_is_refused_at_once() {
    for size in [21, u64::MAX] {
        let mut log = export(&entries(20));
        let boast = Checkpoint::new(ORIGIN, size, hash::empty_root()).sign(&key()).unwrap();
        log.0.insert("checkpoint".into(), boast.into_bytes());
        let first = if size == 21 { "tile/entries/000.p/21" } else { "tile/entries/000" };
        assert_eq!(error(&log), format!("`{first}` is missing: export the log again, or check the address"));
    }
}

#[test]
fn a_source_that_fails_is_not_taken_for_a_missing_file() {
    struct Broken;
    impl LogSource for Broken {
        fn read(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
            Err("connection refused".into())
        }
    }
    expect!["`checkpoint` cannot be read: connection refused"].assert_eq(&error(&Broken));
}
