//! Readers: a few connections that only read, used on threads that may wait.
//!
//! A question sees one moment of the store from its first row to its last, whatever is written meanwhile. Connections are opened when they are needed
//! and kept; more questions than connections wait.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use engine::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::tables::{Tables, failure};
use super::{open, schema};

/// Enough that a slow question doesn't hold up the others; more would only wait for the same disk.
const CONNECTIONS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, places: Arc::new(Semaphore::new(CONNECTIONS)), idle: Mutex::default() }
    }

    pub(super) async fn ask<T: Send + 'static>(
        self: Arc<Self>,
        ask: impl FnOnce(&Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Stopped("it is being closed".into());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let work = tokio::task::spawn_blocking(move || {
            let db = self.take()?;
            let answer = in_one_moment(&db, ask);
            self.put_back(db);
            drop(place);
            answer
        });
        work.await.map_err(|error| StoreError::Failed(format!("a question to the store did not end: {error}")))?
    }

    pub(super) fn close(&self) {
        self.places.close();
        self.idle().clear();
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    fn put_back(&self, db: Connection) {
        if !self.places.is_closed() {
            self.idle().push(db);
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let db = open::connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let db = db.map_err(|error| StoreError::Failed(error.to_string()))?;
        schema::set_up_reader(&db).map_err(failure)?;
        Ok(db)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_one_moment<T>(db: &Connection, ask: impl FnOnce(&Tables<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let moment = db.unchecked_transaction().map_err(failure)?;
    let answer = ask(&Tables(&moment));
    moment.finish().map_err(failure)?;
    answer
}
