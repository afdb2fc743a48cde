//! Schema: the tables of version 1, and how a connection is set up.
//!
//! `entries` is the truth. `tiles` and `checkpoints` follow from it and are written with it; `changes` and `change_services` are projections that can be
//! dropped and folded anew; `looks`, `blobs` and `idempotency` are kept beside the log, and `leases` are for the moment.

use std::time::Duration;

use rusqlite::Connection;

/// Stands in the file's header, so that `file` and we can tell it from other databases: `CLWY`.
pub(super) const APPLICATION_ID: i64 = 0x434C_5759;

/// The version of the tables below. An older binary refuses a newer store.
pub(super) const VERSION: i64 = 1;

/// How long a connection waits where a backup or an operator's shell holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Pages of 4 KiB in the write-ahead log before they are folded into the file: 8 MiB, some hundred commits, so that folding costs little per commit and
/// a restart reads little.
const AUTOCHECKPOINT_PAGES: i64 = 2_000;

/// What the write-ahead log is cut to after a burst, in bytes.
const JOURNAL_LIMIT: i64 = 64 * 1024 * 1024;

/// More than there are statements here.
const STATEMENTS: usize = 64;

pub(super) const TABLES: &str = "
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (stream, version)
) STRICT;

CREATE TABLE tiles (
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT;

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL
) STRICT;

CREATE TABLE changes (
    number INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    phase TEXT NOT NULL,
    status TEXT NOT NULL,
    kind TEXT NOT NULL,
    environment TEXT NOT NULL,
    services TEXT NOT NULL,
    owner TEXT NOT NULL,
    author TEXT NOT NULL,
    risk TEXT,
    proposed_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    version INTEGER NOT NULL,
    active INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_phase ON changes (phase, number);

CREATE TABLE change_services (
    service TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES changes (number) ON DELETE CASCADE,
    PRIMARY KEY (service, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_services_by_number ON change_services (number);

CREATE TABLE looks (
    change INTEGER NOT NULL,
    number INTEGER NOT NULL,
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at TEXT NOT NULL,
    readings TEXT NOT NULL,
    counters TEXT NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (change, number)
) STRICT;

CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until_boot_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What every connection has in common.
pub(super) fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // A function or view that somebody has put into the file must not run with our rights.
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "foreign_keys", true)
}

/// A connection that reads only.
pub(super) fn set_up_reader(db: &Connection) -> rusqlite::Result<()> {
    set_up(db)?;
    db.pragma_update(None, "query_only", true)
}

/// The connection that writes. Its commits are on the disk when they return.
pub(super) fn set_up_writer(db: &Connection) -> rusqlite::Result<()> {
    set_up(db)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", JOURNAL_LIMIT, |_| Ok(()))
}
