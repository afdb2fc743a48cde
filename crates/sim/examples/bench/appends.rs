//! Appends: durable appends per second, beside what SQLite commits in the same folder when it does nothing else.
//!
//! The peer writes rows of the same size into one table, with the same pragmas, and puts as many of them into one transaction as the store has grouped on
//! average in the round before. What the store does beyond that (checking, hashing, signing, indexes, the row of the change) is the difference. Both sides
//! begin with a write-ahead log that has its full length, as that of a server has after its first minutes: one that still grows costs a second flush.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use audit::SigningKey;
use change::{ChangeId, Digest, Event};
use engine::ports::{Batch, Store, StreamWrite};
use engine::project::ChangeRow;
use rusqlite::Connection;
use serde_json::json;
use store::SqliteStore;
use store::conformance::sample::{self, Going};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::rounds::{median, whole};
use crate::table::{Aim, Row};

/// Many short rounds: what disturbs the machine for a second then disturbs both sides alike.
const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(400);

/// The entries of a change with two steps from its proposal to its end, as `sim/tests/suite/life.rs` has them: then its writer goes on with the next.
const ENTRIES_OF_A_CHANGE: u64 = 12;

/// Together more than the write-ahead log may hold before it is folded into the file; each small enough to leave the page cache as it was.
pub(crate) const FILLINGS: usize = 48;
pub(crate) const FILLING: usize = 256 << 10;

/// What an append carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// An event.
    Event,
    /// An event and the row of its change, as the engine appends it.
    EventAndRow,
}

pub(crate) fn run() -> Result<Vec<Row>> {
    let cases = [(1, Load::Event), (64, Load::Event), (64, Load::EventAndRow)];
    cases.into_iter().map(|(writers, load)| compare(writers, load)).collect()
}

fn compare(writers: u64, load: Load) -> Result<Row> {
    let dir = tempfile::tempdir()?;
    let runtime = crate::runtime()?;
    let store = Arc::new(SqliteStore::open(dir.path(), key()?)?);
    runtime.block_on(fill_the_log(&store))?;
    let mut writers: Vec<Writer> = (1..=writers).map(|number| Writer::new(number, writers, load)).collect();
    let mut bare = Bare::create(dir.path())?;
    let (mut ours, mut theirs, mut ratios, mut groups) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let before = store.transactions();
        let rate = append_for_a_round(&runtime, &store, &mut writers)?;
        let group = rate * ROUND.as_secs_f64() / (store.transactions() - before).max(1) as f64;
        let peer = bare.insert(ROUND, group, size_of_an_append(dir.path(), &writers[0])?)?;
        // The first round warms both sides up.
        if round > 0 {
            ours.push(rate);
            theirs.push(peer);
            ratios.push(rate / peer);
            groups.push(group);
        }
    }
    let (count, with) = (writers.len(), if load == Load::EventAndRow { ", with row" } else { "" });
    Ok(Row {
        name: format!("appends: {count} writer{}{with}", if count == 1 { "" } else { "s" }),
        figure: format!("{}/s", whole(median(ours))),
        beside: format!("{}/s bare SQLite, {:.0} a commit", whole(median(theirs)), median(groups)),
        ratio: Some(median(ratios)),
        aim: if load == Load::Event { Aim::AtLeast(0.7) } else { Aim::None },
    })
}

pub(crate) fn key() -> Result<SigningKey> {
    Ok(SigningKey::from_seed("bench.test/log", [7; 32])?)
}

/// Lets the write-ahead log come to its full length.
pub(crate) async fn fill_the_log(store: &SqliteStore) -> Result<()> {
    for filling in 0..FILLINGS {
        let bytes = vec![u8::try_from(filling)?; FILLING];
        let blobs = vec![(Digest::of_bytes(&bytes), bytes)];
        store.append(Batch { blobs, ..Batch::default() }).await?;
    }
    Ok(())
}

/// Appends per second of all writers over one round.
fn append_for_a_round(runtime: &Runtime, store: &Arc<SqliteStore>, writers: &mut Vec<Writer>) -> Result<f64> {
    runtime.block_on(async {
        let begun = Instant::now();
        let mut under_way = JoinSet::new();
        for writer in writers.drain(..) {
            under_way.spawn(writer.append_until(Arc::clone(store), begun + ROUND));
        }
        let mut appended = 0;
        while let Some(done) = under_way.join_next().await {
            let (writer, count) = done??;
            appended += count;
            writers.push(writer);
        }
        Ok(appended as f64 / begun.elapsed().as_secs_f64())
    })
}

/// One who appends for one change after the other, each append after the acknowledgement of the last.
#[derive(Debug)]
pub(crate) struct Writer {
    number: u64,
    /// How many writers there are: the numbers of changes go round among them.
    of: u64,
    version: u64,
    row: Option<ChangeRow>,
}

impl Writer {
    fn new(number: u64, of: u64, load: Load) -> Self {
        let row = (load == Load::EventAndRow).then(row).flatten();
        Self { number, of, version: 0, row }
    }

    /// The only writer, of events alone.
    pub(crate) fn alone() -> Self {
        Self::new(1, 1, Load::Event)
    }

    /// The next append.
    pub(crate) fn batch(&mut self) -> Batch {
        if self.version == ENTRIES_OF_A_CHANGE {
            (self.number, self.version) = (self.number + self.of, 0);
        }
        let (id, expected) = (ChangeId::new(self.number), self.version);
        self.version += 1;
        let rows = self.row.iter().map(|row| ChangeRow { id, version: self.version, ..row.clone() }).collect();
        let events = vec![sample::new(applied(), Some(id), expected)];
        Batch { writes: vec![StreamWrite { stream: id.stream(), expected, events }], rows, ..Batch::default() }
    }

    async fn append_until(mut self, store: Arc<SqliteStore>, end: Instant) -> Result<(Self, u64)> {
        let mut count = 0;
        while Instant::now() < end {
            store.append(self.batch()).await?;
            count += 1;
        }
        Ok((self, count))
    }
}

/// What the log says when the router has taken a step.
fn applied() -> Event {
    let actual = json!({"revision": 412, "weights": {"v1": 9_500, "v2": 500}});
    Event::StepApplied { step: 0, attempt: 1, actual }
}

/// The row of a change within its first step.
fn row() -> Option<ChangeRow> {
    let body = json!({"step": 0, "attempt": 1, "weight": "5%", "effect": Digest::of_bytes(b"effect"), "observed": {"weights": {"v1": 10_000}}});
    let begun = serde_json::from_value(json!({"type": "StepBegun", "body": body})).ok()?;
    let mut going = Going::new(1);
    going.goes([sample::proposed("new prices", &["shop"]), begun, applied()]);
    going.row()
}

/// The bytes that one append hands to SQLite: the entry, and the state in the row if there is one.
fn size_of_an_append(dir: &Path, writer: &Writer) -> Result<usize> {
    Ok(size_of_an_entry(dir)? + writer.row.as_ref().map_or(0, |row| row.state.len()))
}

/// The bytes of the newest entry.
pub(crate) fn size_of_an_entry(dir: &Path) -> Result<usize> {
    let db = Connection::open(dir.join("clearway.db"))?;
    let sql = "SELECT length(bytes) FROM entries ORDER BY position DESC LIMIT 1";
    Ok(usize::try_from(db.query_row(sql, [], |row| row.get::<_, i64>(0))?)?)
}
