//! Reading only: a store's log as files, for an audit on the machine that holds it.
//!
//! Takes no lock and changes no entry, so it works while a server runs and after one has crashed. All answers are of the moment at which it was opened.
//! Beside the log it checks that the rows which people see are what their events say: [`SqliteLog::verify`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use audit::Envelope;
use audit::verify::{LogSource, Progress, Report, Trust, VerifyError, verify_with};
use change::{Change, ChangeId};
use engine::ports::{ListQuery, StoreError};
use engine::project::{self, ChangeRow};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::open::{self, OpenError};
use super::schema;
use super::tables::Tables;
use crate::{entry, files};

/// Rows that are read at a time.
const PAGE: usize = 256;

/// A store's log and rows, as they were when it was opened.
pub struct SqliteLog {
    path: PathBuf,
    db: Connection,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Log(#[from] VerifyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{0}` has events but no row: rebuild the projections")]
    NoRow(ChangeId),
    #[error("`{0}` has a row but no events: rebuild the projections")]
    NoEvents(ChangeId),
    #[error(
        "the row of `{change}` says `{found}` as its {what}, but its events make it `{expected}`: rebuild the projections"
    )]
    OtherRow { change: ChangeId, what: &'static str, found: String, expected: String },
}

impl SqliteLog {
    /// Opens the store in a directory, or a copy of its file, for reading. Blocks.
    ///
    /// # Errors
    /// The file is missing, not ours, newer or damaged.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let path = open::file_at(path)?;
        open::check_header(&path)?;
        let db = match begin(open::connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY), &path) {
            // Beside the file, SQLite keeps an index of the write-ahead log, which it can't make in a directory that is not ours to write. Where
            // that log is empty nothing is lost by reading the file alone.
            Err(error) if is_refused(&error) => match has_writes_ahead(&path) {
                true => return Err(OpenError::Unfinished { path }),
                false => begin(alone(&path), &path)?,
            },
            other => other?,
        };
        open::identify(&db, &path)?;
        Ok(Self { path, db })
    }

    /// The verifier key that the store was made with. Believe a key that you have from elsewhere instead, where you have one.
    ///
    /// # Errors
    /// If the store is damaged.
    pub fn verifier_key(&self) -> Result<String, StoreError> {
        let missing = || entry::damaged("it does not say what its `key` is");
        Tables(&self.db).meta("key")?.ok_or_else(missing)
    }

    /// One file of the log in the tlog-tiles layout.
    ///
    /// # Errors
    /// If the store can't be read or is damaged.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        files::file(&Tables(&self.db), path)
    }

    /// Rows of the change list, newest first.
    ///
    /// # Errors
    /// If the store can't be read or is damaged.
    pub fn rows(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        Tables(&self.db).list(query)
    }

    /// Checks the whole log, folds it, and compares the state of every change with its row.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, trust: &Trust<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Report, CheckError> {
        let mut changes = BTreeMap::new();
        let report = verify_with(self, trust, progress, &mut |envelope, _| fold(&mut changes, envelope))?;
        let mut before = None;
        loop {
            let page = self.rows(&ListQuery { before, limit: PAGE, ..ListQuery::default() })?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            page.iter().try_for_each(|row| compare(row, changes.remove(&row.id)))?;
        }
        match changes.into_keys().next() {
            Some(id) => Err(CheckError::NoRow(id)),
            None => Ok(report),
        }
    }
}

impl LogSource for SqliteLog {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.file(path).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Begins to read, so that everything read later is of this moment.
fn begin(db: Result<Connection, OpenError>, path: &Path) -> Result<Connection, OpenError> {
    let db = db?;
    let begun = schema::set_up_reader(&db)
        .and_then(|()| db.execute_batch("BEGIN"))
        .and_then(|()| db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
    begun.map_err(|error| OpenError::sql(path, error))?;
    Ok(db)
}

fn is_refused(error: &OpenError) -> bool {
    match error {
        OpenError::Sql { source, .. } => source.sqlite_error_code() == Some(ErrorCode::CannotOpen),
        OpenError::NotWritable { .. } => true,
        _ => false,
    }
}

fn has_writes_ahead(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0)
}

/// The file by itself, as one that nobody writes.
fn alone(path: &Path) -> Result<Connection, OpenError> {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    open::connect(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

fn fold(changes: &mut BTreeMap<ChangeId, Change>, envelope: &Envelope) -> Result<(), String> {
    let recorded = entry::recorded(envelope)?;
    if let Some(id) = entry::change_of(&recorded.stream)
        && let Some(after) = project::fold(changes.remove(&id), &recorded)
    {
        changes.insert(id, after);
    }
    Ok(())
}

fn compare(row: &ChangeRow, folded: Option<Change>) -> Result<(), CheckError> {
    let change = row.id;
    let expected = ChangeRow::of(&folded.ok_or(CheckError::NoEvents(change))?);
    let differs = |what, found: &str, expected: &str| {
        let (found, expected) = (found.to_owned(), expected.to_owned());
        Err(CheckError::OtherRow { change, what, found, expected })
    };
    match () {
        () if *row == expected => Ok(()),
        () if row.phase != expected.phase => differs("phase", &row.phase, &expected.phase),
        () if row.status != expected.status => differs("status", &row.status, &expected.status),
        () if row.state != expected.state => differs("state", &row.state, &expected.state),
        () => differs("columns", &format!("{row:?}"), &format!("{expected:?}")),
    }
}

#[cfg(test)]
mod tests {
    use audit::SigningKey;

    use super::*;
    use crate::SqliteStore;

    #[test]
    fn a_store_that_nobody_writes_is_read_from_its_file_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let strange = dir.path().join("50%? #1");
        drop(
            SqliteStore::open(&strange, SigningKey::from_seed("log.example", [1; 32]).expect("a name"))
                .expect("it opens"),
        );
        let path = strange.join("clearway.db");
        let db = begin(alone(&path), &path).expect("it opens");
        assert!(files::file(&Tables(&db), "checkpoint").expect("it reads").is_some());
        assert!(!has_writes_ahead(&path));
    }
}
