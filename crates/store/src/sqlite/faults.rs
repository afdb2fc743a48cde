//! Faults: what the writer does when the disk is full, or does not say whether it has written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use audit::SigningKey;
use engine::ports::{Batch, Store, StoreError};
use rusqlite::{Connection, Error, ffi};
use tokio::task::JoinSet;

use super::SqliteStore;
use super::writer::Disk;
use crate::conformance::sample::{batch, look};
use crate::conformance::snapshot;

fn open_with(dir: &Path, disk: Disk) -> SqliteStore {
    SqliteStore::open_with(dir, SigningKey::from_seed("log.example", [1; 32]).expect("a name"), disk).expect("it opens")
}

fn error(code: i32) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

/// A disk that has room for so many pages, as the number says at each transaction.
fn limited(pages: &Arc<AtomicU32>) -> Disk {
    let pages = Arc::clone(pages);
    let begin = move |db: &Connection| {
        db.pragma_update_and_check(None, "max_page_count", pages.load(Ordering::SeqCst), |_| Ok(()))?;
        db.execute_batch("BEGIN IMMEDIATE")
    };
    Disk { begin: Box::new(begin), ..Disk::default() }
}

fn large(expected: u64) -> Batch {
    let mut large = batch("s", expected, 50);
    large.looks.push(look(change::ChangeId::new(1), expected + 1));
    large
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let pages = Arc::new(AtomicU32::new(60));
    let store = open_with(dir.path(), limited(&pages));
    let mut size = 0;
    let refused = loop {
        match store.append(large(size)).await {
            Ok(appended) => size = appended.size,
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        refused.to_string(),
        "the store failed: the disk is full; nothing of this was written: free some space, then try again"
    );
    assert!(size > 0, "there was room for some");
    let before = snapshot(&store).await;
    assert_eq!(before.log.len() as u64, size);
    assert!(store.append(large(size)).await.is_err(), "it is still full");
    assert_eq!(snapshot(&store).await, before, "nothing of what was refused is there, nothing else is gone");

    pages.store(1_000_000, Ordering::SeqCst);
    assert_eq!(store.append(large(size)).await.expect("there is room again").positions[0], size);
    let after = snapshot(&store).await;
    drop(store);
    let store = open_with(dir.path(), Disk::default());
    assert_eq!(snapshot(&store).await, after, "the tree that was restored in memory is the one on the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_in_a_group_that_did_not_fit_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let pages = Arc::new(AtomicU32::new(1));
    let store = Arc::new(open_with(dir.path(), limited(&pages)));
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.append(batch(&format!("w/{writer}"), 0, 60)).await });
    }
    let answers = writers.join_all().await;
    let (appended, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(refused.len() >= 7, "there is room for one page of entries at most");
    assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Failed(_)))));
    assert_eq!(store.read_all(0, usize::MAX).await.expect("it answers").len(), 60 * appended.len());
}

#[tokio::test]
async fn a_commit_that_finds_the_disk_full_is_rolled_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut commits = 0;
    let commit = move |db: &Connection| {
        commits += 1;
        if commits == 2 { Err(error(ffi::SQLITE_FULL)) } else { db.execute_batch("COMMIT") }
    };
    let store = open_with(dir.path(), Disk { commit: Box::new(commit), ..Disk::default() });
    store.append(batch("s", 0, 1)).await.expect("the first");
    let refused = store.append(batch("s", 1, 1)).await.expect_err("the second");
    assert!(matches!(&refused, StoreError::Failed(why) if why.contains("the disk is full")), "{refused}");
    assert_eq!(store.append(batch("s", 1, 1)).await.expect("the third").positions, [1]);
    assert_eq!(store.transactions(), 2);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_stops_the_writer_until_the_store_is_opened_again() {
    // It happened, or it did not: both look the same from here, and the next opening finds out.
    for (happened, expected) in [(true, 2), (false, 1)] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut commits = 0;
        let commit = move |db: &Connection| {
            commits += 1;
            if commits != 2 || happened {
                db.execute_batch("COMMIT")?;
            }
            if commits == 2 { Err(error(ffi::SQLITE_IOERR_FSYNC)) } else { Ok(()) }
        };
        let store = open_with(dir.path(), Disk { commit: Box::new(commit), ..Disk::default() });
        store.append(batch("s", 0, 1)).await.expect("the first");
        let unknown = store.append(batch("s", 1, 1)).await.expect_err("the second").to_string();
        assert!(
            unknown.starts_with("the store has stopped: whether the last events were written is not known ("),
            "{unknown}"
        );
        assert!(unknown.ends_with("restart the server, which checks the store"), "{unknown}");
        for refused in [store.append(batch("s", expected, 1)).await.map(|_| 0), store.rebuild().await] {
            assert!(matches!(refused, Err(StoreError::Stopped(_))), "{refused:?}");
        }
        drop(store);
        let store = open_with(dir.path(), Disk::default());
        assert_eq!(store.read_all(0, 9).await.expect("it answers").len(), expected as usize);
        assert_eq!(store.append(batch("s", expected, 1)).await.expect("it goes on").positions, [expected]);
    }
}

#[tokio::test]
async fn a_transaction_that_can_not_begin_is_told_and_the_next_one_may() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut begins = 0;
    let begin = move |db: &Connection| {
        begins += 1;
        if begins == 1 { Err(error(ffi::SQLITE_BUSY)) } else { db.execute_batch("BEGIN IMMEDIATE") }
    };
    let store = open_with(dir.path(), Disk { begin: Box::new(begin), ..Disk::default() });
    let refused = store.append(batch("s", 0, 1)).await.expect_err("the first").to_string();
    assert!(refused.contains("another program has locked the database"), "{refused}");
    store.append(batch("s", 0, 1)).await.expect("the second");
}
