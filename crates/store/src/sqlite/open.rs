//! Opening: is this store ours, whole, and free?
//!
//! A new store is made under another name and renamed when it is complete, so that a file called `clearway.db` is never half of one. A file that is not
//! ours, newer than this program, of another log, or that contradicts itself is refused with what to do; nothing is ever mended silently. The checks look
//! at the end of the log only; `clearway audit verify` looks at all of it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use audit::hash::{self, Hash};
use audit::note::NoteError;
use audit::tile::decode_hashes;
use audit::{Checkpoint, Edge, SigningKey, TileId, VerifierKey};
use engine::ports::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::lock::Lock;
use super::schema;
use super::tables::Tables;
use crate::entry::HELP;
use crate::files::Parts as _;

const FILE: &str = "clearway.db";

/// The first bytes of every SQLite file (its file format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store `{}` is in use by {}: stop it first, or give another directory", .dir.display(), holder(*.pid))]
    InUse { dir: PathBuf, pid: Option<u32> },
    #[error("`{}` can't be written: let the user that runs Clearway write there, or give another directory", .path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("there is no store at `{}`: give the directory that holds `{FILE}`", .path.display())]
    Missing { path: PathBuf },
    #[error("`{}` is not a store of Clearway: give another directory, or move that file away", .path.display())]
    NotOurs { path: PathBuf },
    #[error(
        "`{}` was written by a newer version of Clearway (format `{found}`, this one reads up to `{}`): install that version",
        .path.display(), schema::VERSION
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("`{}` is the log of the key `{found}`, not of `{given}`: give the key that it was made with", .path.display())]
    OtherKey { path: PathBuf, found: String, given: String },
    #[error("`{}` is damaged: {why}{HELP}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error(
        "`{}` has a write-ahead log that can't be read here: copy `{FILE}` and `{FILE}-wal` together to a directory that can be written",
        .path.display()
    )]
    Unfinished { path: PathBuf },
    #[error("`{}` can't be opened", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` can't be opened", .path.display())]
    Sql { path: PathBuf, source: rusqlite::Error },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process `{pid}`"))
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(super) fn sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, source: io::Error::other(source) }
            }
            _ => Self::Sql { path, source },
        }
    }

    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

/// An open store: the directory is ours, and the end of the log has been checked.
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) path: PathBuf,
    pub(super) db: Connection,
    pub(super) edge: Edge,
}

pub(super) fn open(dir: &Path, key: &SigningKey) -> Result<Opened, OpenError> {
    // The log says who does what in production: nobody but its user needs to read it.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| OpenError::io(dir, source))?;
    let lock = Lock::take(dir)?;
    let path = dir.join(FILE);
    if !path.try_exists().map_err(|source| OpenError::io(&path, source))? {
        create(dir, key)?;
    }
    check_header(&path)?;
    let db = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    identify(&db, &path)?;
    check_writable(&db, &path)?;
    schema::set_up_writer(&db).map_err(|error| OpenError::sql(&path, error))?;
    check_key(&db, &path, key)?;
    let edge = check_end(&db).map_err(|why| OpenError::damaged(&path, why))?;
    end_leases_of_another_boot(&db).map_err(|error| OpenError::sql(&path, error))?;
    Ok(Opened { lock, path, db, edge })
}

/// The database file that a path means: itself, or the one in that directory.
pub(super) fn file_at(path: &Path) -> Result<PathBuf, OpenError> {
    let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    if path.is_file() { Ok(path) } else { Err(OpenError::Missing { path }) }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| OpenError::sql(path, error))
}

/// Makes an empty store in a directory.
fn create(dir: &Path, key: &SigningKey) -> Result<(), OpenError> {
    let unfinished = dir.join(format!("{FILE}.new"));
    for leftover in ["", "-journal"].map(|suffix| dir.join(format!("{FILE}.new{suffix}"))) {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(&leftover, error)),
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    fill(&connect(&unfinished, flags)?, key).map_err(|error| OpenError::sql(&unfinished, error))?;
    let path = dir.join(FILE);
    fs::rename(&unfinished, &path).map_err(|source| OpenError::io(&path, source))?;
    // The new name is on the disk only once the directory is.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| OpenError::io(dir, source))
}

fn fill(db: &Connection, key: &SigningKey) -> rusqlite::Result<()> {
    schema::set_up(db)?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch("BEGIN")?;
    db.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    db.pragma_update(None, "user_version", schema::VERSION)?;
    db.execute_batch(schema::TABLES)?;
    let tables = Tables(db);
    tables.put_meta("origin", key.name())?;
    tables.put_meta("key", &key.verifier().to_string())?;
    let checkpoint = Checkpoint::new(key.name(), 0, hash::empty_root());
    let signed = checkpoint.sign(key).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    tables.put_checkpoint(&checkpoint, &signed)?;
    db.execute_batch("COMMIT")
}

/// Whether the file is a database at all, before SQLite makes something of it.
pub(super) fn check_header(path: &Path) -> Result<(), OpenError> {
    let mut header = Vec::new();
    let file = File::open(path).map_err(|source| OpenError::io(path, source))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut header).map_err(|source| OpenError::io(path, source))?;
    match header.as_slice() {
        [] => Err(OpenError::damaged(path, "the file is empty")),
        found if found == MAGIC => Ok(()),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

/// Whether the database is a store of ours, and of a version that this program reads.
pub(super) fn identify(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |name: &str| {
        let value = db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.map_err(|error| OpenError::sql(path, error))
    };
    if number("application_id")? != schema::APPLICATION_ID {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    match number("user_version")? {
        schema::VERSION => Ok(()),
        found if found > schema::VERSION => Err(OpenError::Newer { path: path.to_owned(), found }),
        found => Err(OpenError::damaged(path, format!("it says that its format is `{found}`, which never was"))),
    }
}

// SQLite opens a file that it may not write without a word, and fails at the first write.
fn check_writable(db: &Connection, path: &Path) -> Result<(), OpenError> {
    match db.is_readonly("main") {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::NotWritable {
            path: path.to_owned(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        }),
        Err(error) => Err(OpenError::sql(path, error)),
    }
}

fn check_key(db: &Connection, path: &Path, key: &SigningKey) -> Result<(), OpenError> {
    let (found, given) = (meta(db, path, "key")?, key.verifier().to_string());
    if found == given { Ok(()) } else { Err(OpenError::OtherKey { path: path.to_owned(), found, given }) }
}

fn meta(db: &Connection, path: &Path, name: &str) -> Result<String, OpenError> {
    let value = Tables(db).meta(name).map_err(|error| OpenError::damaged(path, reason(error)))?;
    value.ok_or_else(|| OpenError::damaged(path, format!("it does not say what its `{name}` is")))
}

/// Whether entries, tiles and checkpoints end alike; returns the right edge of the tree. Reads a few rows, however long the log is.
fn check_end(db: &Connection) -> Result<Edge, String> {
    let tables = Tables(db);
    let (size, root) = tables.newest_root().map_err(reason)?.ok_or("it has no checkpoint")?;
    let entries = tables.size().map_err(reason)?;
    if entries != size {
        return Err(format!("its newest checkpoint covers `{size}` entries, but there are `{entries}`"));
    }
    let edge = Edge::load(size, &|id| exact_tile(&tables, id)).map_err(|error| error.to_string())?;
    if edge.root() != root {
        return Err(format!(
            "its tiles have the root `{}`, but its checkpoint of size `{size}` says `{root}`",
            edge.root()
        ));
    }
    check_last_leaf(&tables, size)?;
    let key = tables.meta("key").map_err(reason)?.ok_or("it does not say what its `key` is")?;
    let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
    let (_, note) = tables.checkpoint().map_err(reason)?;
    let signed = Checkpoint::open(&note, std::slice::from_ref(&key), key.name()).map_err(|error| error.to_string())?;
    if (signed.size, signed.root) == (size, root) {
        return Ok(edge);
    }
    Err(format!("its signed checkpoint is of size `{}`, its newest one of size `{size}`", signed.size))
}

/// What is wrong, without what to do about it: an [`OpenError`] says that itself.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Damaged(why) => why.trim_end_matches(HELP).to_owned(),
        other => other.to_string(),
    }
}

/// A tile that has as many hashes as the size of the log gives it, no more: a tile that is ahead of its checkpoint is damage too.
fn exact_tile(tables: &Tables<'_>, id: TileId) -> Result<Vec<Hash>, String> {
    let bytes = tables.tile(id.level, id.index).map_err(reason)?.ok_or("it is not there")?;
    let hashes = decode_hashes(&bytes).map_err(|error| error.to_string())?;
    let (found, expected) = (hashes.len(), usize::from(id.width));
    if found == expected { Ok(hashes) } else { Err(format!("it has `{found}` hashes, expected `{expected}`")) }
}

fn check_last_leaf(tables: &Tables<'_>, size: u64) -> Result<(), String> {
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let id = TileId::at(0, last / 256, size).ok_or("its size has no tile")?;
    let entries = tables.entries(last, 1).map_err(reason)?;
    let leaf = entries.first().map(|bytes| hash::leaf(bytes));
    let found = exact_tile(tables, id)?.last().copied();
    if leaf == found { Ok(()) } else { Err(format!("entry {last} is not the one that its tile has hashed")) }
}

/// Ends leases that were taken before the machine was started anew: their times are on a clock that is gone. Fences go on growing.
fn end_leases_of_another_boot(db: &Connection) -> rusqlite::Result<()> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let tables = Tables(db);
    // Where the system has no such number, each opening counts as a new start: the lock says that no other server holds a lease here.
    if boot.is_empty() || tables.meta_value("boot")?.as_deref() != Some(boot.trim()) {
        db.execute_batch("BEGIN IMMEDIATE")?;
        db.execute("UPDATE leases SET until_boot_ms = 0", params![])?;
        tables.put_meta("boot", boot.trim())?;
        db.execute_batch("COMMIT")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_opens_for_reading_only_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = SigningKey::from_seed("log.example", [1; 32]).expect("a name");
        create(dir.path(), &key).expect("a new store");
        let path = dir.path().join(FILE);
        let check = |flags| check_writable(&connect(&path, flags).expect("it opens"), &path);
        assert!(check(OpenFlags::SQLITE_OPEN_READ_WRITE).is_ok());
        let refused = check(OpenFlags::SQLITE_OPEN_READ_ONLY).expect_err("a file for reading").to_string();
        assert!(
            refused
                .ends_with("can't be written: let the user that runs Clearway write there, or give another directory")
        );
    }

    #[test]
    fn a_store_that_was_not_finished_is_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("clearway.db.new"), b"half").expect("it writes");
        let key = SigningKey::from_seed("log.example", [1; 32]).expect("a name");
        assert_eq!(open(dir.path(), &key).expect("a new store").edge, Edge::new());
    }
}
