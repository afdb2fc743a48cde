//! SQLite: the store of a server, one file in a directory of its own.
//!
//! All writing is done by one thread, which commits together whatever waits (`writer`); reading is done beside it on connections of its own
//! (`readers`), since in WAL mode neither waits for the other. A commit is on the disk before anyone hears of it (`synchronous=FULL`). The directory
//! belongs to one server at a time (`lock`); `log` reads it for an audit without taking part. To follow an append: [`SqliteStore`], `writer`,
//! `tables`.

pub(crate) mod log;
pub(crate) mod open;

mod lock;
mod readers;
mod schema;
mod tables;
mod writer;

#[cfg(test)]
mod faults;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use audit::SigningKey;
use change::{ChangeId, Digest};
use engine::ports::{
    Appended, Batch, BootMillis, IdempotencyKey, Lease, ListQuery, LookRow, Recorded, Store, StoreError,
};
use engine::project::ChangeRow;
use tokio::sync::{mpsc, oneshot};

use self::lock::Lock;
use self::open::OpenError;
use self::readers::Readers;
use self::tables::Tables;
use self::writer::{Disk, Group, Job, Task, Trouble, Writer};
use crate::batch::Ready;
use crate::files;

/// How many appends may wait for the writer before callers wait for a place. Four groups: a burst is taken in, a jam is felt.
const QUEUE: usize = 2_048;

/// A store in a directory.
///
/// Dropping it finishes what waits, closes the file and gives the directory free.
pub struct SqliteStore {
    path: PathBuf,
    verifier_key: String,
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    readers: Arc<Readers>,
    writer: Option<JoinHandle<()>>,
    transactions: Arc<AtomicU64>,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in a directory, and makes it where there is none. The log gets the name of the key. Blocks.
    ///
    /// # Errors
    /// Each says what to do: the directory is in use or can't be written, the file is not ours, newer, of another log, or damaged.
    pub fn open(dir: &Path, key: SigningKey) -> Result<Self, OpenError> {
        Self::open_with(dir, key, Disk::default())
    }

    fn open_with(dir: &Path, key: SigningKey, disk: Disk) -> Result<Self, OpenError> {
        let opened = open::open(dir, &key)?;
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let transactions = Arc::new(AtomicU64::new(0));
        let verifier_key = key.verifier().to_string();
        let writer = Writer::new(opened.db, opened.edge, key, disk, inbox, Arc::clone(&transactions));
        let writer = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run());
        let writer = writer.map_err(|source| OpenError::Io { path: opened.path.clone(), source })?;
        Ok(Self {
            readers: Arc::new(Readers::new(opened.path.clone())),
            path: opened.path,
            verifier_key,
            jobs: Some(jobs),
            writer: Some(writer),
            transactions,
            _lock: opened.lock,
        })
    }

    /// How many transactions have been committed since the store was opened. Fewer than appends, where several waited together.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Has the writer do something within a transaction; answers once that is on the disk, with the size of the log then.
    async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Group<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<(T, u64), StoreError> {
        let ended = || StoreError::Stopped("its writer has ended; restart the server, which checks the store".into());
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(Task::new(run, reply))).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        Arc::clone(&self.readers).ask(ask).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer's connection goes last: the last one to close folds the write-ahead log into the file.
        self.readers.close();
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the writer of the store had panicked");
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let ready = Ready::of(batch)?;
        let (positions, size) = self.write(move |group| group.append(ready)).await?;
        Ok(Appended { positions, size })
    }

    async fn read(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let stream = stream.to_owned();
        self.ask(move |tables| tables.stream(&stream, after)).await
    }

    async fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        self.ask(move |tables| tables.read_all(from, limit)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        let query = query.clone();
        self.ask(move |tables| tables.list(&query)).await
    }

    async fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        self.ask(move |tables| tables.row(change)).await
    }

    async fn last_number(&self) -> Result<u64, StoreError> {
        self.ask(|tables| tables.last_number()).await
    }

    async fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError> {
        self.ask(move |tables| tables.looks(change, from)).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(move |tables| tables.blob(digest)).await
    }

    async fn idempotency(&self, actor: &str, key: &str) -> Result<Option<IdempotencyKey>, StoreError> {
        let (actor, key) = (actor.to_owned(), key.to_owned());
        self.ask(move |tables| tables.idempotency(actor, key)).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: BootMillis,
        until: BootMillis,
    ) -> Result<Option<Lease>, StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let (lease, _) = self.write(move |group| group.lease(&name, &holder, now, until)).await?;
        Ok(lease)
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = path.to_owned();
        self.ask(move |tables| files::file(tables, &path)).await
    }

    async fn proof(&self, position: u64) -> Result<Option<String>, StoreError> {
        self.ask(move |tables| files::proof(tables, position)).await
    }

    fn verifier_key(&self) -> String {
        self.verifier_key.clone()
    }

    async fn rebuild(&self) -> Result<u64, StoreError> {
        let (changes, _) = self.write(|group| group.rebuild()).await?;
        Ok(changes)
    }
}
