//! Writer: the one thread that writes, and commits together whatever waits.
//!
//! A group is one transaction and one flush to the disk. Each batch in it is checked against what the batches before it have done, so that one that is
//! refused falls alone; nobody is answered before the commit has returned. If writing fails, the group is rolled back and the writer goes on. If a commit
//! fails in a way that leaves open whether it is on the disk, the writer stops: the next opening looks, instead of this one guessing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use audit::tile::encode_hashes;
use audit::{Checkpoint, Edge, SigningKey, hash};
use change::ChangeId;
use engine::ports::{BootMillis, Lease, StoreError};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::tables::{Tables, failure};
use crate::batch::{Entry, Present, Ready};
use crate::entry;
use crate::lease::Held;

/// The most jobs in one transaction: it bounds what one commit flushes, and how long the first of them waits for the last.
const GROUP: usize = 512;

/// Something that the writer does within a transaction.
pub(super) trait Job: Send {
    /// Does it. An error is the whole group's; what concerns this job alone is kept for its answer.
    fn run(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()>;
    /// Tells the caller how it ended; the size of the log if the group was committed.
    fn answer(self: Box<Self>, committed: Result<u64, Fault>);
}

/// Why something within a group went wrong.
pub(super) enum Trouble {
    /// It was refused; the others are not concerned.
    Alone(StoreError),
    /// Writing or reading failed.
    Group(rusqlite::Error),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Alone(error)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Group(error)
    }
}

/// How a group failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was written, and the writer goes on.
    Failed(String),
    /// The file contradicts itself.
    Damaged(String),
    /// The writer has stopped.
    Stopped(String),
}

impl Fault {
    /// Of an error before the commit, after which nothing is on the disk.
    fn of(error: rusqlite::Error) -> Self {
        match failure(error) {
            StoreError::Damaged(why) => Self::Damaged(why),
            StoreError::Failed(why) => Self::Failed(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(why) => Self::Failed(why),
            Fault::Damaged(why) => Self::Damaged(why),
            Fault::Stopped(why) => Self::Stopped(why),
        }
    }
}

/// A job made of a function and the caller who waits for it.
pub(super) struct Task<F, T> {
    run: Option<F>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<(T, u64), StoreError>>,
}

impl<F, T> Task<F, T> {
    pub(super) fn new(run: F, reply: oneshot::Sender<Result<(T, u64), StoreError>>) -> Self {
        Self { run: Some(run), done: None, reply }
    }
}

impl<T: Send, F: FnOnce(&mut Group<'_>) -> Result<T, Trouble> + Send> Job for Task<F, T> {
    fn run(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        self.done = Some(match run(group) {
            Ok(value) => Ok(value),
            Err(Trouble::Alone(error)) => Err(error),
            Err(Trouble::Group(error)) => return Err(error),
        });
        Ok(())
    }

    // A refusal too is answered only after the commit: it may rest on what another batch of the group has written.
    fn answer(self: Box<Self>, committed: Result<u64, Fault>) {
        let answer = match (committed, self.done) {
            (Err(fault), _) => Err(fault.into()),
            (Ok(size), Some(done)) => done.map(|value| (value, size)),
            (Ok(_), None) => Err(StoreError::Failed("it was not done".into())),
        };
        // Whoever no longer waits has missed the answer, not the deed.
        let _ = self.reply.send(answer);
    }
}

type Statement = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

/// How a transaction begins and ends. A seam: tests put a disk in its place that is full, or that does not say whether it has written.
pub(super) struct Disk {
    pub(super) begin: Statement,
    pub(super) commit: Statement,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            begin: Box::new(|db| db.execute_batch("BEGIN IMMEDIATE")),
            commit: Box::new(|db| db.execute_batch("COMMIT")),
        }
    }
}

pub(super) struct Writer {
    db: Connection,
    /// The right edge of what is committed.
    edge: Edge,
    key: SigningKey,
    disk: Disk,
    inbox: mpsc::Receiver<Box<dyn Job>>,
    transactions: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(
        db: Connection,
        edge: Edge,
        key: SigningKey,
        disk: Disk,
        inbox: mpsc::Receiver<Box<dyn Job>>,
        transactions: Arc<AtomicU64>,
    ) -> Self {
        Self { db, edge, key, disk, inbox, transactions }
    }

    /// Works until the store is dropped.
    pub(super) fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < GROUP
                && let Ok(job) = self.inbox.try_recv()
            {
                jobs.push(job);
            }
            let outcome = self.commit(&mut jobs);
            jobs.into_iter().for_each(|job| job.answer(outcome.clone()));
            match outcome {
                Ok(_) => {}
                Err(Fault::Failed(why)) => tracing::warn!(why, "a group of appends was rolled back"),
                Err(Fault::Damaged(why) | Fault::Stopped(why)) => return self.stop(&why),
            }
        }
    }

    /// Refuses everything from now on.
    fn stop(mut self, why: &str) {
        tracing::error!(why, "the store has stopped; restart the server, which checks it");
        while let Some(job) = self.inbox.blocking_recv() {
            job.answer(Err(Fault::Stopped(why.to_owned())));
        }
    }

    /// Does the jobs in one transaction; returns the size of the log after it.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<u64, Fault> {
        (self.disk.begin)(&self.db).map_err(Fault::of)?;
        let mut group = Group { tables: Tables(&self.db), edge: self.edge.clone(), grown: [false; 8] };
        let done = jobs.iter_mut().try_for_each(|job| job.run(&mut group)).and_then(|()| group.seal(&self.key));
        let edge = group.edge;
        if let Err(error) = done {
            return Err(self.roll_back(Fault::of(error)));
        }
        if let Err(error) = (self.disk.commit)(&self.db) {
            return Err(self.commit_failed(error));
        }
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.edge = edge;
        Ok(self.edge.size())
    }

    fn commit_failed(&self, error: rusqlite::Error) -> Fault {
        match error.sqlite_error_code() {
            // The commit's last frame did not get to the disk, so no later opening will find it.
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) if !self.db.is_autocommit() => {
                self.roll_back(Fault::of(error))
            }
            _ => Fault::Stopped(format!(
                "whether the last events were written is not known ({error}); restart the server, which checks the store"
            )),
        }
    }

    fn roll_back(&self, fault: Fault) -> Fault {
        // Some errors end the transaction by themselves.
        if self.db.is_autocommit() {
            return fault;
        }
        match self.db.execute_batch("ROLLBACK") {
            Ok(()) => fault,
            Err(error) => {
                let first = StoreError::from(fault);
                Fault::Stopped(format!(
                    "{first}, and could not be rolled back: {error}; restart the server, which checks it"
                ))
            }
        }
    }
}

/// What is written in one transaction.
pub(super) struct Group<'a> {
    tables: Tables<'a>,
    edge: Edge,
    /// The levels whose partial tile has another content than before.
    grown: [bool; 8],
}

impl Group<'_> {
    /// Appends a batch; returns the positions of its events.
    pub(super) fn append(&mut self, mut ready: Ready) -> Result<Vec<u64>, Trouble> {
        let entries = ready.place(self.edge.size(), &self.tables)?;
        for entry in &entries {
            self.push(entry)?;
        }
        ready.rows.iter().try_for_each(|row| self.tables.put_row(row))?;
        ready.looks.iter().try_for_each(|look| self.tables.put_look(look))?;
        ready.blobs.iter().try_for_each(|(digest, bytes)| self.tables.put_blob(*digest, bytes))?;
        ready.idempotency.iter().try_for_each(|key| self.tables.put_key(key))?;
        Ok(entries.iter().map(|entry| entry.position).collect())
    }

    pub(super) fn lease(
        &mut self,
        name: &str,
        holder: &str,
        now: BootMillis,
        until: BootMillis,
    ) -> Result<Option<Lease>, Trouble> {
        let before = self.tables.lease(name)?;
        let Some(held) = Held::asked(before.as_ref(), holder, now, until) else { return Ok(None) };
        self.tables.put_lease(name, &held)?;
        Ok(Some(held.lease()))
    }

    /// Folds all projections anew; returns the number of changes. An entry that can't be read leaves them as they were.
    pub(super) fn rebuild(&mut self) -> Result<u64, Trouble> {
        let db = self.tables.0;
        db.execute_batch("SAVEPOINT rebuild")?;
        match self.refold() {
            Err(Trouble::Alone(error)) => {
                db.execute_batch("ROLLBACK TO rebuild; RELEASE rebuild")?;
                Err(Trouble::Alone(error))
            }
            Err(group) => Err(group),
            Ok(changes) => {
                db.execute_batch("RELEASE rebuild")?;
                Ok(changes)
            }
        }
    }

    // Stream by stream, so that one change is in memory at a time.
    fn refold(&mut self) -> Result<u64, Trouble> {
        self.tables.clear_rows()?;
        let mut changes = 0;
        for stream in self.tables.change_streams()?.iter().filter(|stream| entry::change_of(stream).is_some()) {
            if let Some(row) = entry::row_of(&self.tables.stream(stream, 0)?) {
                self.tables.put_row(&row)?;
                changes += 1;
            }
        }
        Ok(changes)
    }

    fn push(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        self.tables.put_entry(entry)?;
        self.grown[0] = true;
        for full in self.edge.push(hash::leaf(&entry.bytes)) {
            self.tables.put_tile(full.level, full.index, &encode_hashes(&full.hashes))?;
            self.grown[usize::from(full.level) + 1] = true;
        }
        Ok(())
    }

    /// Writes the partial tiles and the checkpoint, if the log has grown.
    ///
    /// The signature is made in the same transaction as the root that it is for: it is seen by nobody unless that root is committed, and an auditor
    /// who has the file needs nothing but the public key.
    fn seal(&mut self, key: &SigningKey) -> rusqlite::Result<()> {
        if !self.grown[0] {
            return Ok(());
        }
        for (id, hashes) in self.edge.partial_tiles().filter(|(id, _)| self.grown[usize::from(id.level)]) {
            self.tables.put_tile(id.level, id.index, &encode_hashes(hashes))?;
        }
        let checkpoint = Checkpoint::new(key.name(), self.edge.size(), self.edge.root());
        let signed = checkpoint.sign(key).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        self.tables.put_checkpoint(&checkpoint, &signed)
    }
}

impl Present for Tables<'_> {
    type Error = Trouble;

    fn version(&self, stream: &str) -> Result<u64, Trouble> {
        Ok(Tables::version(self, stream)?)
    }

    fn has_key(&self, actor: &str, key: &str) -> Result<bool, Trouble> {
        Ok(Tables::has_key(self, actor, key)?)
    }

    fn has_look(&self, change: ChangeId, number: u64) -> Result<bool, Trouble> {
        Ok(Tables::has_look(self, change, number)?)
    }
}
