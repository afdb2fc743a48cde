//! Conformance: what every store has to fulfil, whatever it keeps its rows in.
//!
//! [`run`] asks everything of new stores that the caller makes, and panics at the first answer that is not right, with a message that names it. An
//! implementation runs it in its tests; what only a disk can do is for the tests of that implementation.

pub mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::verify::{LogSource, Report, Trust, VerifyError, verify};
use audit::{Checkpoint, Note, ProofFile, VerifierKey, tile};
use change::{Actor, ChangeId, Digest, Event, Timestamp};
use engine::ports::{
    Appended, Batch, BootMillis, IdempotencyKey, Lease, ListQuery, NewEvent, Recorded, Store, StoreError,
};
use engine::project::ChangeRow;
use tokio::task::JoinSet;

use self::sample::{Going, batch, look, new, proposed, write};

type Shared = Arc<dyn Store>;

/// Runs the whole suite. `make` makes an empty store.
///
/// # Panics
/// If the store does not conform.
pub async fn run(make: impl AsyncFn() -> Shared) {
    an_empty_store_is_a_log_of_size_zero(&*make().await).await;
    what_is_appended_is_read_back(&*make().await).await;
    an_empty_batch_changes_nothing(&*make().await).await;
    another_version_is_a_conflict_and_writes_nothing(&*make().await).await;
    a_write_without_events_is_a_condition_of_the_whole_batch(&*make().await).await;
    a_batch_may_write_one_stream_twice(&*make().await).await;
    an_event_that_is_too_large_is_named_and_nothing_is_written(&*make().await).await;
    an_event_that_would_not_read_back_is_refused(&*make().await).await;
    any_name_of_a_stream_is_only_a_name(&*make().await).await;
    positions_have_no_gap_under_many_writers(make().await).await;
    conflicts_fall_alone(make().await).await;
    rows_are_listed_newest_first_and_filtered(&*make().await).await;
    looks_are_kept_in_order_and_never_replaced(&*make().await).await;
    blobs_are_kept_by_their_digest(&*make().await).await;
    a_key_is_used_once_per_actor(&*make().await).await;
    a_lease_has_one_holder_and_its_fence_grows(&*make().await).await;
    one_of_many_gets_a_lease(make().await).await;
    the_log_is_verified_and_every_alteration_noticed(&*make().await).await;
    narrower_files_are_the_beginning_of_wider_ones(&*make().await).await;
    each_entry_is_proved(&*make().await).await;
    rows_are_rebuilt_as_they_were(&*make().await).await;
}

// --------------------------------------------------------------------------------------------------------------------------------- log and streams

async fn an_empty_store_is_a_log_of_size_zero(store: &dyn Store) {
    assert_eq!((read_all(store).await, store.last_number().await.expect("it answers")), (vec![], 0));
    assert_eq!(audited(store).await.map(|r| r.size).ok(), Some(0), "an empty log is a log");
    for path in ["tile/0/000", "tile/0/000.p/1", "tile/entries/000.p/1"] {
        assert_eq!(store.log_file(path).await.expect("it answers"), None, "{path}");
    }
    assert_eq!(store.proof(0).await.expect("it answers"), None);
    assert_eq!(store.rebuild().await.expect("it answers"), 0);
}

async fn what_is_appended_is_read_back(store: &dyn Store) {
    let mut change = Going::new(7);
    let begun = Event::StepBegun {
        step: 0,
        attempt: 1,
        weight: change::rollout::Weight::percent(5),
        effect: Digest::of_bytes(b"effect"),
        observed: serde_json::json!({"weights": [0.1, 1.0, -0.0, 1e300, u64::MAX, i64::MIN, null, true, "\u{0}\n\"ü𝄞"], "": {}}),
    };
    let first = change.goes([proposed("one", &["shop"]), Event::Released]);
    let mut second = change.goes([begun]);
    second.writes.push(write("lane/router:shop", 0, 2));
    let expected = [recorded(&first, &[(0, 1), (1, 2)]), recorded(&second, &[(2, 3), (3, 1), (4, 2)])].concat();
    assert_eq!(append(store, first).await, Appended { positions: vec![0, 1], size: 2 });
    assert_eq!(append(store, second).await, Appended { positions: vec![2, 3, 4], size: 5 });

    assert_eq!(read_all(store).await, expected, "all of it, in order");
    let stream = |stream: &str| expected.iter().filter(|r| r.stream == stream).cloned().collect::<Vec<_>>();
    let read = async |stream: &str, after| store.read(stream, after).await.expect("it answers");
    assert_eq!(read("change/CHG-7", 0).await, stream("change/CHG-7"));
    assert_eq!(read("lane/router:shop", 0).await, stream("lane/router:shop"));
    assert_eq!(read("change/CHG-7", 2).await, expected[2..3], "after a version");
    for after in [3, 4, u64::MAX] {
        assert_eq!(read("change/CHG-7", after).await, [], "after `{after}`");
    }
    assert_eq!(read("change/CHG-8", 0).await, []);
    let some = async |from, limit| store.read_all(from, limit).await.expect("it answers");
    assert_eq!(some(1, 2).await, expected[1..3], "from a position, so many");
    assert_eq!((some(5, 9).await, some(u64::MAX, 9).await, some(0, 0).await), (vec![], vec![], vec![]));
    assert_eq!(some(4, usize::MAX).await, expected[4..]);
}

async fn an_empty_batch_changes_nothing(store: &dyn Store) {
    assert_eq!(append(store, Batch::default()).await, Appended { positions: vec![], size: 0 });
    append(store, batch("s", 0, 3)).await;
    assert_eq!(append(store, Batch::default()).await, Appended { positions: vec![], size: 3 });
    assert_eq!(
        append(store, batch("s", 3, 0)).await,
        Appended { positions: vec![], size: 3 },
        "a write without events"
    );
    let outdated = refusal(store, batch("s", 2, 0)).await;
    assert!(
        matches!(outdated, StoreError::Conflict { expected: 2, found: 3, .. }),
        "no events, yet a condition: {outdated}"
    );
}

async fn another_version_is_a_conflict_and_writes_nothing(store: &dyn Store) {
    append(store, batch("a", 0, 2)).await;
    let before = snapshot(store).await;
    for expected in [0, 1, 3] {
        let mut change = Going::new(1);
        let mut all = change.goes([proposed("one", &["shop"])]);
        all.writes.push(write("a", expected, 1));
        all.looks.push(look(change.id(), 1));
        all.blobs.push((Digest::of_bytes(b"x"), b"x".to_vec()));
        all.idempotency = Some(key("ada", "k", 1));
        match refusal(store, all).await {
            StoreError::Conflict { stream, expected: e, found: 2 } => assert_eq!((stream.as_str(), e), ("a", expected)),
            other => panic!("expected a conflict, got: {other}"),
        }
    }
    assert_eq!(snapshot(store).await, before, "nothing of a refused batch is there");
    assert_eq!(store.read("change/CHG-1", 0).await.expect("it answers"), [], "atomic over streams");
    assert_eq!(store.looks(ChangeId::new(1), 0).await.expect("it answers"), []);
    assert_eq!(store.blob(Digest::of_bytes(b"x")).await.expect("it answers"), None);
    assert_eq!(store.idempotency("ada", "k").await.expect("it answers"), None);
}

async fn a_write_without_events_is_a_condition_of_the_whole_batch(store: &dyn Store) {
    append(store, batch("stops", 0, 1)).await;
    let before = snapshot(store).await;
    let on = |stops| Batch { writes: vec![write("s", 0, 2), write("stops", stops, 0)], ..Batch::default() };
    for outdated in [0, 2] {
        let refused = refusal(store, on(outdated)).await;
        let expected = matches!(&refused, StoreError::Conflict { stream, found: 1, .. } if stream == "stops");
        assert!(expected, "{refused}");
    }
    assert_eq!(snapshot(store).await, before, "nothing of a refused batch is there");
    assert_eq!(append(store, on(1)).await, Appended { positions: vec![1, 2], size: 3 });
    assert_eq!(append(store, batch("stops", 1, 1)).await.positions, [3], "a condition adds nothing to its stream");
}

async fn a_batch_may_write_one_stream_twice(store: &dyn Store) {
    let twice = |second| Batch { writes: vec![write("s", 0, 2), write("s", second, 1)], ..Batch::default() };
    let refused = refusal(store, twice(0)).await;
    assert!(matches!(refused, StoreError::Conflict { expected: 0, found: 2, .. }), "{refused}");
    assert_eq!(append(store, twice(2)).await.positions, [0, 1, 2]);
    let versions: Vec<u64> = read_all(store).await.iter().map(|r| r.version).collect();
    assert_eq!(versions, [1, 2, 3]);
}

async fn an_event_that_is_too_large_is_named_and_nothing_is_written(store: &dyn Store) {
    let withdrawn = |bytes| new(Event::Withdrawn { reason: "x".repeat(bytes) }, None, 0);
    let mut large = batch("s", 0, 1);
    large.writes[0].events.push(withdrawn(70_000));
    match refusal(store, large).await {
        StoreError::TooLarge(why) => {
            for part in ["`Withdrawn`", "`s`", "`70", "`65535`"] {
                assert!(why.contains(part), "it names {part}: {why}");
            }
        }
        other => panic!("expected that it is too large, got: {other}"),
    }
    assert_eq!(read_all(store).await, []);
    let mut fits = batch("s", 0, 1);
    fits.writes[0].events.push(withdrawn(65_000));
    assert_eq!(append(store, fits).await.positions, [0, 1]);
}

async fn an_event_that_would_not_read_back_is_refused(store: &dyn Store) {
    let nameless = NewEvent { actor: Actor::User(String::new()), ..new(Event::Released, None, 0) };
    let early = NewEvent { time: Timestamp::MIN, ..new(Event::Released, None, 0) };
    for event in [nameless, early] {
        let mut refused = batch("s", 0, 1);
        refused.writes[0].events.push(event);
        let refused = refusal(store, refused).await;
        assert!(matches!(refused, StoreError::Failed(_)), "{refused}");
    }
    let unnamed = refusal(store, batch("", 0, 1)).await;
    assert!(matches!(unnamed, StoreError::Failed(_)), "a stream has a name: {unnamed}");
    let huge = refusal(store, Batch { looks: vec![look(ChangeId::new(u64::MAX), 1)], ..Batch::default() }).await;
    assert!(matches!(huge, StoreError::Failed(_)), "a number has 63 bits: {huge}");
    assert_eq!(read_all(store).await, []);
}

async fn any_name_of_a_stream_is_only_a_name(store: &dyn Store) {
    let long = "long/".repeat(2_000);
    let names = [
        "'; DROP TABLE entries; --",
        "\"",
        "`",
        "a'b",
        "%",
        "_",
        "*",
        "\\",
        "\0",
        "a\0b",
        "a",
        "A",
        " a",
        "a ",
        "\n",
        "é",
        "e\u{301}",
        "𝄞🎻",
        "\u{202e}drawkcab",
        "change/",
        "change/7",
        "change/CHG-07",
        "change0",
        "change/CHG-",
        "../clearway.db",
        long.as_str(),
    ];
    for (position, name) in (0..).zip(names) {
        assert_eq!(append(store, batch(name, 0, 1)).await.positions, [position], "{name:?}");
    }
    for name in names {
        append(store, batch(name, 1, 1)).await;
        let versions: Vec<_> =
            store.read(name, 0).await.expect("it answers").iter().map(|r| (r.stream.clone(), r.version)).collect();
        assert_eq!(versions, [(name.to_owned(), 1), (name.to_owned(), 2)]);
    }
    assert_eq!(store.rebuild().await.expect("it answers"), 0, "none of them is a change");
    assert!(audited(store).await.is_ok());
}

async fn positions_have_no_gap_under_many_writers(store: Shared) {
    const WRITERS: u64 = 32;
    const BATCHES: u64 = 8;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut positions = Vec::new();
            for i in 0..BATCHES {
                let appended = append(&*store, batch(&format!("writer/{writer}"), 2 * i, 2)).await;
                assert!(appended.positions.iter().all(|p| *p < appended.size), "what is answered is in the log");
                positions.extend(appended.positions);
            }
            assert!(positions.is_sorted(), "one after the other");
            positions
        });
    }
    let mut positions: Vec<u64> = writers.join_all().await.concat();
    positions.sort_unstable();
    assert_eq!(positions, (0..2 * WRITERS * BATCHES).collect::<Vec<_>>());
    assert_eq!(audited(&*store).await.map(|r| (r.size, r.streams)).ok(), Some((2 * WRITERS * BATCHES, WRITERS)));
}

async fn conflicts_fall_alone(store: Shared) {
    let mut writers = JoinSet::new();
    for writer in 0..24_u64 {
        let store = Arc::clone(&store);
        // Of each three, two want the same stream.
        let stream = if writer % 3 == 0 { format!("own/{writer}") } else { "contended".to_owned() };
        writers.spawn(async move { store.append(batch(&stream, 0, 1)).await.map_err(|error| error.to_string()) });
    }
    let answers = writers.join_all().await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused.len(), 15, "one of sixteen wins, and all who are alone");
    assert!(refused.iter().all(|why| *why == "the stream `contended` has 1 events, not 0"), "{refused:?}");
    assert_eq!(audited(&*store).await.map(|r| (r.size, r.streams)).ok(), Some((9, 9)));
}

// --------------------------------------------------------------------------------------------------------------------------------- beside the log

async fn rows_are_listed_newest_first_and_filtered(store: &dyn Store) {
    let mut rows = BTreeMap::new();
    for (number, services) in
        [(1, vec!["shop"]), (2, vec!["search", "shop"]), (3, vec!["cart"]), (10, vec!["shop", "s'\"\0é"])]
    {
        let mut change = Going::new(number);
        append(store, change.goes([proposed(&format!("change {number}"), &services)])).await;
        if number == 2 {
            append(store, change.goes([Event::Withdrawn { reason: "no".into() }])).await;
        }
        rows.insert(number, change.row().expect("it is proposed"));
    }
    for (number, row) in &rows {
        assert_eq!(store.row(row.id).await.expect("it answers").as_ref(), Some(row), "CHG-{number}");
    }
    assert_eq!(store.row(ChangeId::new(4)).await.expect("it answers"), None);
    assert_eq!(store.last_number().await.expect("it answers"), 10);

    let list = async |phases: &[&str], service: Option<&str>, before: Option<u64>, limit| {
        let phases = phases.iter().map(|p| (*p).to_owned()).collect();
        let query = ListQuery { phases, service: service.map(str::to_owned), before: before.map(ChangeId::new), limit };
        let found = store.list(&query).await.expect("it answers");
        found.iter().for_each(|row| assert_eq!(Some(row), rows.get(&row.id.number()), "a row is whole"));
        found.iter().map(|row| row.id.number()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[], None, None, 10).await, [10, 3, 2, 1]);
    assert_eq!(list(&[], None, None, usize::MAX).await, [10, 3, 2, 1]);
    assert_eq!((list(&[], None, None, 2).await, list(&[], None, Some(3), 2).await), (vec![10, 3], vec![2, 1]));
    assert_eq!((list(&[], None, Some(1), 2).await, list(&[], None, None, 0).await), (vec![], vec![]));
    assert_eq!(list(&[], None, Some(u64::MAX), 1).await, [10]);
    assert_eq!(list(&["withdrawn"], None, None, 10).await, [2]);
    assert_eq!(list(&["withdrawn", "proposed"], None, None, 10).await, [10, 3, 2, 1]);
    assert_eq!(list(&["completed", "' OR 1=1 --"], None, None, 10).await, Vec::<u64>::new());
    assert_eq!(list(&[], Some("shop"), None, 10).await, [10, 2, 1]);
    assert_eq!(list(&["proposed"], Some("shop"), Some(10), 10).await, [1]);
    assert_eq!(list(&[], Some("s'\"\0é"), None, 10).await, [10]);
    assert_eq!(list(&[], Some("Shop"), None, 10).await, Vec::<u64>::new());
}

async fn looks_are_kept_in_order_and_never_replaced(store: &dyn Store) {
    let (id, other) = (ChangeId::new(1), ChangeId::new(2));
    let looks =
        |id, numbers: &[u64]| Batch { looks: numbers.iter().map(|n| look(id, *n)).collect(), ..Batch::default() };
    assert_eq!(append(store, looks(id, &[1, 2])).await, Appended { positions: vec![], size: 0 }, "looks need no event");
    append(store, looks(other, &[1])).await;
    append(store, looks(id, &[3])).await;
    let read = async |from| store.looks(id, from).await.expect("it answers");
    let older = |n| engine::ports::LookRow { counters: serde_json::Value::Null, ..look(id, n) };
    assert_eq!(read(0).await, [older(1), older(2), look(id, 3)], "counters are kept with the newest alone");
    assert_eq!((read(3).await, read(4).await, read(u64::MAX).await), (vec![look(id, 3)], vec![], vec![]));

    let mut again = looks(id, &[4, 2]);
    again.looks[1].verdict = serde_json::json!({"is": "pass"});
    again.writes.push(write("s", 0, 1));
    for refused in [again, looks(id, &[5, 5])] {
        let refused = refusal(store, refused).await;
        assert!(matches!(&refused, StoreError::Conflict { stream, .. } if stream == "looks/CHG-1"), "{refused}");
    }
    assert_eq!(read(2).await, [older(2), look(id, 3)], "evidence that was taken stays as it was");
    assert_eq!(read_all(store).await, []);
}

async fn blobs_are_kept_by_their_digest(store: &dyn Store) {
    let large = vec![7_u8; 300_000];
    let blob = |bytes: &[u8]| (Digest::of_bytes(bytes), bytes.to_vec());
    for blobs in [vec![blob(b""), blob(&large)], vec![blob(&large)]] {
        append(store, Batch { blobs, ..Batch::default() }).await;
    }
    let read = async |bytes: &[u8]| store.blob(Digest::of_bytes(bytes)).await.expect("it answers");
    assert_eq!((read(b"").await, read(&large).await, read(b"never").await), (Some(vec![]), Some(large.clone()), None));
    let wrong = Batch { blobs: vec![(Digest::of_bytes(b"a"), b"b".to_vec())], ..Batch::default() };
    let refused = refusal(store, wrong).await;
    assert!(matches!(refused, StoreError::Failed(_)), "{refused}");
    assert_eq!(read(b"a").await, None);
}

async fn a_key_is_used_once_per_actor(store: &dyn Store) {
    let with = |key: &IdempotencyKey, expected| Batch { idempotency: Some(key.clone()), ..batch("s", expected, 1) };
    let (ada, bob) = (key("ada", "k'1", 1), key("bob", "k'1", 2));
    append(store, with(&ada, 0)).await;
    append(store, with(&bob, 1)).await;
    for again in [ada.clone(), key("ada", "k'1", 9)] {
        match refusal(store, with(&again, 2)).await {
            StoreError::KeyUsed(key) => assert_eq!(key, "k'1"),
            other => panic!("expected that the key is used, got: {other}"),
        }
    }
    assert_eq!(read_all(store).await.len(), 2, "nothing of the repeated batch is there");
    let read = async |actor, key| store.idempotency(actor, key).await.expect("it answers");
    assert_eq!((read("ada", "k'1").await, read("bob", "k'1").await), (Some(ada), Some(bob)));
    assert_eq!((read("ada", "k").await, read("eve", "k'1").await), (None, None));
}

async fn a_lease_has_one_holder_and_its_fence_grows(store: &dyn Store) {
    let lease = async |name: &str, holder: &str, now, until| {
        let lease = store.lease(name, holder, BootMillis(now), BootMillis(until)).await.expect("it answers");
        lease.map(|Lease { fence, until }| (fence, until.0))
    };
    assert_eq!(lease("loop", "a", 0, 100).await, Some((1, 100)));
    assert_eq!(lease("loop", "b", 50, 150).await, None, "another holds it");
    assert_eq!(lease("other", "b", 50, 150).await, Some((1, 150)), "each name is its own");
    assert_eq!(lease("loop", "a", 60, 160).await, Some((1, 160)), "renewed under the same fence");
    assert_eq!(lease("loop", "b", 120, 220).await, None, "the renewal counts");
    assert_eq!(lease("loop", "b", 160, 260).await, Some((2, 260)), "taken over when it has ended");
    assert_eq!(lease("loop", "a", 200, 300).await, None, "the earlier holder comes late");
    assert_eq!(lease("loop", "b", 210, 210).await, Some((2, 210)), "given back");
    assert_eq!(lease("loop", "a", 210, 310).await, Some((3, 310)));
    assert_eq!(read_all(store).await, [], "leases are not in the log");
}

async fn one_of_many_gets_a_lease(store: Shared) {
    let mut askers = JoinSet::new();
    for asker in 0..16 {
        let store = Arc::clone(&store);
        askers.spawn(async move {
            store.lease("loop", &format!("h{asker}"), BootMillis(1), BootMillis(9)).await.expect("it answers")
        });
    }
    let got: Vec<Lease> = askers.join_all().await.into_iter().flatten().collect();
    assert_eq!(got, [Lease { fence: 1, until: BootMillis(9) }]);
}

// --------------------------------------------------------------------------------------------------------------------------------- files and proofs

async fn the_log_is_verified_and_every_alteration_noticed(store: &dyn Store) {
    let mut size = 0;
    // Just before, at and after the end of a tile.
    for events in [1, 254, 1, 1, 43] {
        size = append(store, batch("s", size, events)).await.size;
        assert_eq!(audited(store).await.map(|r| r.size).ok(), Some(size));
    }
    let (files, key) = (files(store).await, verifier(store));
    let expected: Vec<_> = tile::paths_for_size(300).chain(["checkpoint".to_owned()]).collect();
    assert_eq!(files.0.len(), expected.len(), "{expected:?}");
    for path in expected {
        let mut altered = files.clone();
        let bytes = altered.0.get_mut(&path).unwrap_or_else(|| panic!("`{path}` is there"));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(audit(&altered, &key).is_err(), "one bit of `{path}` is altered");
    }
    assert!(audit(&files, &key).is_ok());
    assert_eq!(
        store.log_file("checkpoint").await.expect("it answers"),
        files.0.get("checkpoint").cloned(),
        "signed alike again"
    );
}

async fn narrower_files_are_the_beginning_of_wider_ones(store: &dyn Store) {
    append(store, batch("s", 0, 300)).await;
    let file = async |path: &str| store.log_file(path).await.expect("it answers");
    let (full, wide) = (file("tile/0/000").await.expect("full"), file("tile/0/001.p/44").await.expect("of this size"));
    assert_eq!((full.len(), wide.len()), (8_192, 44 * 32));
    assert_eq!(file("tile/0/000.p/255").await.as_deref(), Some(&full[..255 * 32]));
    assert_eq!(file("tile/0/001.p/1").await.as_deref(), Some(&wide[..32]));
    let (bundle, first) =
        (file("tile/entries/000").await.expect("full"), file("tile/entries/000.p/1").await.expect("one"));
    assert_eq!((tile::decode_entries(&bundle).map(|e| e.len()), bundle.starts_with(&first)), (Ok(256), true));
    for path in [
        "",
        "/",
        "checkpoint/",
        "Checkpoint",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/0/001.p/0",
        "tile/0/000.p/256",
        "tile/1/000",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/63/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/00/000",
        "tile/0/002.p/1",
        "tile/entries/001",
        "tile/entries/001.p/45",
        "tile/entries/x000/001.p/1",
        "tile/entries/x999/x999/x999/x999/x999/x999/999",
        "tile/entries/x072/x057/x594/x037/x927/936",
        "tile/0/x009/x223/x372/x036/x854/x775/808.p/1",
        "../clearway.db",
        "tile/0/000\0",
    ] {
        assert_eq!(file(path).await, None, "{path:?}");
    }
}

async fn each_entry_is_proved(store: &dyn Store) {
    let mut size = 0;
    for events in [1, 1, 5, 256, 1] {
        size = append(store, batch("s", size, events)).await.size;
        let (files, key) = (files(store).await, verifier(store));
        let entry = |position: u64| {
            let id = audit::EntriesId::at(position / 256, size).expect("it is in the log");
            let bundle = tile::decode_entries(&files.0[&id.path()]).expect("a bundle");
            bundle[(position % 256) as usize].to_vec()
        };
        for position in (0..size).step_by(37).chain([size - 1]) {
            let proof = store.proof(position).await.expect("it answers").expect("it is in the log");
            let proof: ProofFile = proof.parse().expect("a proof file");
            let proved = proof.verify(&entry(position), std::slice::from_ref(&key), key.name());
            assert_eq!((proof.index, proved.map(|c| c.size)), (position, Ok(size)));
            assert!(proof.verify(b"another entry", std::slice::from_ref(&key), key.name()).is_err());
        }
        for position in [size, size + 1, u64::MAX] {
            assert_eq!(store.proof(position).await.expect("it answers"), None);
        }
    }
}

async fn rows_are_rebuilt_as_they_were(store: &dyn Store) {
    let mut changes: Vec<Going> = (1..=5).map(Going::new).collect();
    for change in &mut changes {
        append(store, change.goes([proposed("one", &["shop", "cart"])])).await;
    }
    append(store, changes[1].goes([Event::Withdrawn { reason: "no".into() }])).await;
    append(
        store,
        changes[3].goes([
            Event::PageOwed {
                key: "k".into(),
                reason: "r".into(),
                to: [].into(),
                urgency: Default::default(),
                at: None,
            },
            Event::Released,
        ]),
    )
    .await;
    let beside = Batch {
        looks: vec![look(ChangeId::new(1), 1)],
        blobs: vec![(Digest::of_bytes(b"x"), b"x".to_vec())],
        idempotency: Some(key("ada", "k", 1)),
        ..batch("lane/x", 0, 2)
    };
    append(store, beside).await;
    store.lease("loop", "a", BootMillis(0), BootMillis(9)).await.expect("it answers").expect("it is free");
    let before = snapshot(store).await;
    assert_eq!(store.rebuild().await.expect("it answers"), 5);
    assert_eq!(snapshot(store).await, before, "byte for byte");

    // A row that lies, and one of a change that never was.
    let mut lies = changes[0].row().expect("it is proposed");
    lies.services = vec!["elsewhere".into()];
    lies.phase = "completed".into();
    let ghost = ChangeRow { id: ChangeId::new(99), ..lies.clone() };
    append(store, Batch { rows: vec![lies, ghost], ..Batch::default() }).await;
    assert_ne!(snapshot(store).await, before);
    assert_eq!(store.rebuild().await.expect("it answers"), 5);
    assert_eq!(snapshot(store).await, before, "the log knows better");
    assert_eq!(store.looks(ChangeId::new(1), 0).await.expect("it answers"), [look(ChangeId::new(1), 1)]);
    assert_eq!(store.blob(Digest::of_bytes(b"x")).await.expect("it answers"), Some(b"x".to_vec()));
    assert_eq!(store.idempotency("ada", "k").await.expect("it answers"), Some(key("ada", "k", 1)));
    assert_eq!(store.lease("loop", "b", BootMillis(1), BootMillis(9)).await.expect("it answers"), None, "leases stay");
}

// ------------------------------------------------------------------------------------------------------------------------------------------ asking

async fn append(store: &dyn Store, batch: Batch) -> Appended {
    store.append(batch).await.expect("the batch is right")
}

async fn refusal(store: &dyn Store, batch: Batch) -> StoreError {
    store.append(batch).await.expect_err("the batch is not right")
}

async fn read_all(store: &dyn Store) -> Vec<Recorded> {
    store.read_all(0, usize::MAX).await.expect("it answers")
}

/// Everything of a store that follows from its log.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub log: Vec<Recorded>,
    /// Newest first.
    pub rows: Vec<ChangeRow>,
    /// The rows of each service that a row names, by number.
    pub by_service: BTreeMap<String, Vec<ChangeId>>,
    pub last_number: u64,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What a store says now.
///
/// # Panics
/// If it does not answer.
pub async fn snapshot(store: &dyn Store) -> Snapshot {
    let all = ListQuery { limit: usize::MAX, ..ListQuery::default() };
    let rows = store.list(&all).await.expect("it answers");
    let mut by_service = BTreeMap::new();
    for service in rows.iter().flat_map(|row| &row.services) {
        let of_service = ListQuery { service: Some(service.clone()), ..all.clone() };
        let found = store.list(&of_service).await.expect("it answers");
        by_service.insert(service.clone(), found.iter().map(|row| row.id).collect());
    }
    let last_number = store.last_number().await.expect("it answers");
    Snapshot { log: read_all(store).await, rows, by_service, last_number, files: files(store).await.0 }
}

fn key(actor: &str, key: &str, number: u64) -> IdempotencyKey {
    let request = Digest::of_bytes(&number.to_be_bytes());
    IdempotencyKey { actor: actor.into(), key: key.into(), request, change: ChangeId::new(number) }
}

fn recorded(batch: &Batch, places: &[(u64, u64)]) -> Vec<Recorded> {
    let events =
        batch.writes.iter().flat_map(|write| write.events.iter().map(|new| (write.stream.clone(), new.clone())));
    let record = |((position, version), (stream, new)): (&(u64, u64), (String, NewEvent))| {
        let NewEvent { event, actor, change, time } = new;
        Recorded { position: *position, stream, version: *version, time, actor, change, event }
    };
    places.iter().zip(events).map(record).collect()
}

/// The files of a log, fetched before they are read.
#[derive(Clone)]
struct Files(BTreeMap<String, Vec<u8>>);

impl LogSource for Files {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(path).cloned())
    }
}

fn verifier(store: &dyn Store) -> VerifierKey {
    store.verifier_key().parse().expect("a verifier key")
}

async fn files(store: &dyn Store) -> Files {
    let checkpoint = store.log_file("checkpoint").await.expect("it answers").expect("there always is a checkpoint");
    let note = Note::parse(std::str::from_utf8(&checkpoint).expect("text")).expect("a note");
    let size = Checkpoint::parse(note.text()).expect("a checkpoint").size;
    let mut files = BTreeMap::from([("checkpoint".to_owned(), checkpoint)]);
    for path in tile::paths_for_size(size) {
        let file = store.log_file(&path).await.expect("it answers").unwrap_or_else(|| panic!("`{path}` is published"));
        files.insert(path, file);
    }
    Files(files)
}

fn audit(files: &Files, key: &VerifierKey) -> Result<Report, VerifyError> {
    let trust = Trust { origin: key.name(), keys: std::slice::from_ref(key), earlier: None };
    verify(files, &trust, &mut |_| ())
}

/// Audits the log of a store with its own key.
async fn audited(store: &dyn Store) -> Result<Report, VerifyError> {
    audit(&files(store).await, &verifier(store))
}
