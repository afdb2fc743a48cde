//! What only a store on a disk can do: be closed, crash, be damaged, be held by another.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::verify::Trust;
use audit::{SigningKey, VerifierKey};
use change::{ChangeId, Digest, Event};
use engine::ports::{Batch, BootMillis, ListQuery, Store, StoreError};
use rusqlite::Connection;
use store::conformance::sample::{Going, batch, look, proposed};
use store::conformance::snapshot;
use store::{OpenError, SqliteLog, SqliteStore};
use tempfile::{TempDir, tempdir};
use tokio::task::JoinSet;

use crate::{ORIGIN, key, open};

fn new_dir() -> TempDir {
    tempdir().expect("a directory")
}

fn file(dir: &Path) -> PathBuf {
    dir.join("clearway.db")
}

fn refused(dir: &Path) -> String {
    SqliteStore::open(dir, key()).expect_err("it is refused").to_string()
}

/// Something of everything.
async fn fill(store: &dyn Store) {
    for number in 1..=3 {
        let mut change = Going::new(number);
        store.append(change.goes([proposed("one", &["shop"]), Event::Released])).await.expect("it is right");
    }
    let beside = Batch {
        looks: vec![look(ChangeId::new(1), 1)],
        blobs: vec![(Digest::of_bytes(b"x"), b"x".to_vec())],
        ..batch("lane/x", 0, 300)
    };
    store.append(beside).await.expect("it is right");
}

/// Changes the file behind the store's back.
fn tamper(dir: &Path, sql: &str) {
    Connection::open(file(dir)).and_then(|db| db.execute_batch(sql)).expect("it is changed");
}

fn audited(path: &Path) -> Result<u64, String> {
    let log = SqliteLog::open_read_only(path).map_err(|error| error.to_string())?;
    let keys: [VerifierKey; 1] = [key().verifier()];
    let report = log.verify(&Trust { origin: ORIGIN, keys: &keys, earlier: None }, &mut |_| ());
    report.map(|report| report.size).map_err(|error| error.to_string())
}

// ------------------------------------------------------------------------------------------------------------------------------------- whole stores

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() {
    let dir = new_dir();
    let store = open(dir.path());
    fill(&*store).await;
    let lease = store.lease("loop", "a", BootMillis(0), BootMillis(100)).await.expect("it answers");
    let before = snapshot(&*store).await;
    drop(store);
    assert!(!dir.path().join("clearway.db-wal").exists(), "a store that was closed is one file");

    let store = open(dir.path());
    assert_eq!(snapshot(&*store).await, before);
    assert_eq!(store.looks(ChangeId::new(1), 0).await.expect("it answers"), [look(ChangeId::new(1), 1)]);
    assert_eq!(store.blob(Digest::of_bytes(b"x")).await.expect("it answers"), Some(b"x".to_vec()));
    assert_eq!(store.lease("loop", "a", BootMillis(1), BootMillis(100)).await.expect("it answers"), lease);
    assert_eq!(store.lease("loop", "b", BootMillis(1), BootMillis(100)).await.expect("it answers"), None);
    let next = store.append(batch("lane/x", 300, 1)).await.expect("it goes on");
    assert_eq!((next.positions, next.size), (vec![306], 307));
}

#[tokio::test]
async fn leases_from_before_the_machine_was_started_anew_have_ended() {
    let dir = new_dir();
    let store = open(dir.path());
    store.lease("loop", "a", BootMillis(0), BootMillis(1_000_000_000)).await.expect("it answers").expect("it is free");
    drop(store);
    tamper(dir.path(), "UPDATE meta SET value = 'another start' WHERE name = 'boot'");
    let lease = open(dir.path()).lease("loop", "b", BootMillis(5), BootMillis(10)).await.expect("it answers");
    assert_eq!(lease.map(|lease| lease.fence), Some(2), "taken over, with a fence of its own");
}

#[tokio::test]
async fn each_commit_survives_a_crash_wherever_the_write_ahead_log_is_cut() {
    let dir = new_dir();
    let store = open(dir.path());
    let mut sizes = vec![0];
    for i in 0..12 {
        sizes.push(store.append(batch("s", i * 3, 3)).await.expect("it is right").size);
    }
    // As a machine that loses its power leaves them: the file, and what had been written of the log of writes.
    let (db, wal) = (
        fs::read(file(dir.path())).expect("it reads"),
        fs::read(dir.path().join("clearway.db-wal")).expect("it reads"),
    );
    let mut found = Vec::new();
    for cut in (0..=20).map(|part| wal.len() * part / 20) {
        let crashed = new_dir();
        fs::write(file(crashed.path()), &db).expect("it writes");
        fs::write(crashed.path().join("clearway.db-wal"), &wal[..cut]).expect("it writes");
        let read_only = audited(crashed.path()).expect("what is there is whole");
        let store = open(crashed.path());
        let size = store.read_all(0, usize::MAX).await.expect("it answers").len() as u64;
        assert_eq!(read_only, size, "an audit sees what a server sees");
        assert!(sizes.contains(&size), "a commit is there or not: `{size}`");
        store.append(batch("s", size, 1)).await.expect("it goes on");
        found.push(size);
    }
    assert!(found.is_sorted());
    assert_eq!((found.first(), found.last()), (Some(&0), Some(&36)), "nothing that was answered is lost");
}

#[tokio::test]
async fn a_second_server_is_refused_and_told_by_whom() {
    let dir = new_dir();
    let first = open(dir.path());
    let expected = format!(
        "the store `{}` is in use by the process `{}`: stop it first, or give another directory",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(refused(dir.path()), expected);
    assert_eq!(refused(dir.path()), expected, "asking changes nothing");
    drop(first);
    drop(open(dir.path()));
    fs::write(dir.path().join("clearway.lock"), "4294967296 nonsense").expect("it writes");
    drop(open(dir.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_wait_together_are_committed_together() {
    const WRITERS: u64 = 64;
    const BATCHES: u64 = 8;
    let dir = new_dir();
    let store = open(dir.path());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for i in 0..BATCHES {
                store.append(batch(&format!("w/{writer}"), i, 1)).await.expect("it is right");
            }
        });
    }
    writers.join_all().await;
    let transactions = store.transactions();
    assert!(transactions < WRITERS * BATCHES / 2, "{transactions} transactions for {} appends", WRITERS * BATCHES);
    assert_eq!(audited(dir.path()), Ok(WRITERS * BATCHES));
}

#[tokio::test]
async fn a_lone_append_is_a_transaction_of_its_own() {
    let dir = new_dir();
    let store = open(dir.path());
    for i in 0..5 {
        store.append(batch("s", i, 1)).await.expect("it is right");
    }
    assert_eq!(store.transactions(), 5);
}

// ----------------------------------------------------------------------------------------------------------------------------------------- refusals

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let dir = new_dir();
    let expected = format!(
        "`{}` is not a store of Clearway: give another directory, or move that file away",
        file(dir.path()).display()
    );
    for bytes in [b"something else, and longer than the first page of a database would be".as_slice(), b"SQLite", b"\0"]
    {
        fs::write(file(dir.path()), bytes).expect("it writes");
        assert_eq!(refused(dir.path()), expected);
        assert_eq!(fs::read(file(dir.path())).expect("it reads"), bytes);
    }
    fs::remove_file(file(dir.path())).expect("it is removed");
    tamper(dir.path(), "CREATE TABLE theirs (x); PRAGMA application_id = 1");
    assert_eq!(refused(dir.path()), expected);
    assert_eq!(audited(dir.path()), Err(expected));
}

#[test]
fn a_newer_store_is_refused() {
    let dir = new_dir();
    drop(open(dir.path()));
    tamper(dir.path(), "PRAGMA user_version = 2");
    let expected = format!(
        "`{}` was written by a newer version of Clearway (format `2`, this one reads up to `1`): install that version",
        file(dir.path()).display()
    );
    assert_eq!(refused(dir.path()), expected);
    assert_eq!(audited(dir.path()), Err(expected));
}

#[test]
fn a_store_is_opened_with_its_own_key_only() {
    let dir = new_dir();
    drop(open(dir.path()));
    for other in [SigningKey::from_seed(ORIGIN, [43; 32]), SigningKey::from_seed("log.example/test", [42; 32])] {
        let refused = SqliteStore::open(dir.path(), other.expect("a name")).expect_err("it is refused");
        assert!(matches!(refused, OpenError::OtherKey { .. }), "{refused}");
        assert!(refused.to_string().ends_with("give the key that it was made with"));
    }
}

#[test]
fn a_directory_that_can_not_be_written_is_refused() {
    // A directory in which nobody can make a file, the superuser neither.
    let refused = SqliteStore::open(Path::new("/sys/clearway"), key()).expect_err("it is refused");
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "`/sys/clearway` can't be written: let the user that runs Clearway write there, or give another directory"
    );
}

#[test]
fn a_store_that_is_not_there_can_not_be_audited() {
    let dir = new_dir();
    let expected =
        format!("there is no store at `{}`: give the directory that holds `clearway.db`", file(dir.path()).display());
    assert_eq!(audited(dir.path()), Err(expected));
    assert_eq!(fs::read_dir(dir.path()).expect("it reads").count(), 0, "looking makes nothing");
}

// ------------------------------------------------------------------------------------------------------------------------------------------- damage

#[tokio::test]
async fn a_file_that_was_cut_is_damaged() {
    let dir = new_dir();
    fill(&*open(dir.path())).await;
    let whole = fs::read(file(dir.path())).expect("it reads");
    for kept in [0, 16, 90, 100, 600, 4_096, 10_000, whole.len() / 2, whole.len() - 4_096] {
        fs::write(file(dir.path()), &whole[..kept]).expect("it writes");
        let why = refused(dir.path());
        assert!(why.contains(" is damaged: "), "`{kept}` of `{}` bytes: {why}", whole.len());
        assert!(
            why.ends_with("; run `clearway audit verify` to see how far the log is right, and restore a backup"),
            "{why}"
        );
        assert!(audited(dir.path()).is_err(), "`{kept}` bytes");
    }
    fs::write(file(dir.path()), &whole).expect("it writes");
    assert_eq!(audited(dir.path()), Ok(306));
    drop(open(dir.path()));
}

#[tokio::test]
async fn an_end_that_does_not_fit_is_noticed_at_once() {
    let cases = [
        ("DELETE FROM entries WHERE position = 305", "covers `306` entries, but there are `305`"),
        ("UPDATE entries SET bytes = x'00' WHERE position = 305", "entry 305 is not the one that its tile has hashed"),
        ("DELETE FROM checkpoints WHERE size = 306", "covers `6` entries, but there are `306`"),
        ("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 306", "its tiles have the root"),
        ("UPDATE checkpoints SET root = x'00' WHERE size = 306", "Cannot read 32 byte value"),
        ("DELETE FROM checkpoints", "it has no checkpoint"),
        ("DELETE FROM tiles WHERE level = 1", "it is not there"),
        ("UPDATE tiles SET hashes = zeroblob(32 * 50) WHERE level = 0 AND idx = 1", "its tiles have the root"),
        (
            "UPDATE tiles SET hashes = zeroblob(32 * 51) WHERE level = 0 AND idx = 1",
            "it has `51` hashes, expected `50`",
        ),
        (
            "UPDATE meta SET value = replace(value, 'log.example', 'log.examples') WHERE name = 'checkpoint'",
            "none of the known keys signed the note",
        ),
        ("DELETE FROM meta WHERE name = 'checkpoint'", "it has no checkpoint"),
        ("DELETE FROM meta WHERE name = 'key'", "it does not say what its `key` is"),
        ("DROP TABLE tiles", "no such table: tiles"),
    ];
    let whole = new_dir();
    fill(&*open(whole.path())).await;
    for (sql, expected) in cases {
        let dir = new_dir();
        fs::copy(file(whole.path()), file(dir.path())).expect("it is copied");
        tamper(dir.path(), sql);
        let why = refused(dir.path());
        assert!(why.contains(" is damaged: ") && why.contains(expected), "{sql}: {why}");
    }
}

#[tokio::test]
async fn an_audit_finds_what_an_opening_does_not_look_at() {
    let cases = [
        (
            "UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE position = 1) WHERE position = 0",
            "entry 0: it says that it is entry `1`",
        ),
        ("DELETE FROM entries WHERE position = 3", "it says that it is entry `4`"),
        ("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 0", "the entry or the tile was altered"),
        (
            "UPDATE changes SET phase = 'completed' WHERE number = 2",
            "the row of `CHG-2` says `completed` as its phase, but its events make it `proposed`",
        ),
        ("UPDATE changes SET owner = 'eve' WHERE number = 2", "the row of `CHG-2` says"),
        (
            "DELETE FROM change_services; DELETE FROM changes WHERE number = 1",
            "`CHG-1` has events but no row: rebuild the projections",
        ),
        ("UPDATE changes SET number = 9 WHERE number = 3", "`CHG-9` has a row but no events: rebuild the projections"),
    ];
    let whole = new_dir();
    fill(&*open(whole.path())).await;
    for (sql, expected) in cases {
        let dir = new_dir();
        fs::copy(file(whole.path()), file(dir.path())).expect("it is copied");
        tamper(dir.path(), &format!("PRAGMA foreign_keys = off; {sql}"));
        drop(open(dir.path()));
        let why = audited(dir.path()).expect_err("it is noticed");
        assert!(why.contains(expected), "{sql}: {why}");
    }
}

#[tokio::test]
async fn what_is_read_and_is_not_ours_is_said_to_be_damaged() {
    let dir = new_dir();
    fill(&*open(dir.path())).await;
    tamper(
        dir.path(),
        "UPDATE entries SET bytes = x'7b7d' WHERE position = 2; UPDATE entries SET stream = 'lane/y' WHERE position = 10;
         UPDATE looks SET readings = '{'; UPDATE blobs SET bytes = x'00'; UPDATE changes SET proposed_at = 'once' WHERE number = 1",
    );
    let store = open(dir.path());
    let damaged = |what: &str, error: StoreError| assert!(matches!(error, StoreError::Damaged(_)), "{what}: {error}");
    damaged("an entry", store.read_all(0, 9).await.expect_err("damage"));
    damaged("a stream", store.read("change/CHG-2", 0).await.expect_err("damage"));
    damaged("a moved entry", store.read("lane/y", 0).await.expect_err("damage"));
    damaged("a gap", store.read("lane/x", 0).await.expect_err("damage"));
    damaged("a look", store.looks(ChangeId::new(1), 0).await.expect_err("damage"));
    damaged("a blob", store.blob(Digest::of_bytes(b"x")).await.expect_err("damage"));
    damaged("a row", store.row(ChangeId::new(1)).await.expect_err("damage"));
    damaged("a rebuild", store.rebuild().await.expect_err("damage"));
    let rows = ListQuery { limit: 2, ..ListQuery::default() };
    assert_eq!(store.list(&rows).await.expect("it answers").len(), 2, "a rebuild that failed has taken no row away");
    store.append(batch("other", 0, 1)).await.expect("what is whole goes on");
}

// -------------------------------------------------------------------------------------------------------------------------------------------- audit

#[tokio::test]
async fn an_audit_reads_while_a_server_writes_and_sees_one_moment() {
    let dir = new_dir();
    let store = open(dir.path());
    fill(&*store).await;
    let log = SqliteLog::open_read_only(dir.path()).expect("it opens");
    store.append(Going::new(9).goes([proposed("later", &["shop"])])).await.expect("a server goes on");
    assert_eq!(log.verifier_key().ok(), Some(store.verifier_key()));
    let keys = [key().verifier()];
    let report = log.verify(&Trust { origin: ORIGIN, keys: &keys, earlier: None }, &mut |_| ()).expect("it is whole");
    assert_eq!(report.size, 306, "as it was when the audit began");
    assert_eq!(audited(&file(dir.path())), Ok(307), "as it is now, by the name of its file");
    drop(log);
    drop(store);
    assert_eq!(audited(dir.path()), Ok(307), "and after the server has ended");
}
