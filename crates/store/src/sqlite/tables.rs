//! Tables: every statement that reads or writes a row.
//!
//! Nothing is decided here. A value that is not what we wrote is damage and is said to be; it is never skipped. Numbers that a query compares with are
//! held at the end of what the database counts to; those that are written have been checked before (`batch`).

use std::str::FromStr;

use audit::{Checkpoint, Hash};
use change::{ChangeId, Digest};
use engine::ports::{BootMillis, IdempotencyKey, ListQuery, LookRow, Recorded, StoreError};
use engine::project::ChangeRow;
use rusqlite::types::{Type, Value as Sql};
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension as _, Params, Result, Row, params, params_from_iter};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::batch::Entry;
use crate::entry::{self, damaged};
use crate::files::Parts;
use crate::lease::Held;

/// The tables, as a connection sees them.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a>(pub(super) &'a Connection);

/// What a failed statement means for the caller.
pub(super) fn failure(error: Error) -> StoreError {
    match (error.sqlite_error_code(), &error) {
        (Some(ErrorCode::DiskFull), _) => {
            StoreError::Failed("the disk is full; nothing of this was written: free some space, then try again".into())
        }
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => StoreError::Failed(format!(
            "another program has locked the database; nothing of this was written ({error})"
        )),
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
        | (
            None,
            Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..),
        ) => damaged(error),
        _ => StoreError::Failed(error.to_string()),
    }
}

const ROW: &str = "number, title, phase, status, kind, environment, services, owner, author, risk, proposed_at, \
                   updated_at, version, active, state";

// -------------------------------------------------------------------------------------------------------------------------------------------- log

impl Tables<'_> {
    pub(super) fn put_entry(&self, entry: &Entry) -> Result<()> {
        self.run(
            "INSERT INTO entries (position, stream, version, bytes) VALUES (?, ?, ?, ?)",
            params![int(entry.position), entry.stream, int(entry.version), entry.bytes],
        )
    }

    pub(super) fn put_tile(&self, level: u8, index: u64, hashes: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO tiles (level, idx, hashes) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
            params![level, int(index), hashes],
        )
    }

    /// Keeps the root of a size for good, and the signed checkpoint until the next one.
    pub(super) fn put_checkpoint(&self, checkpoint: &Checkpoint, signed: &str) -> Result<()> {
        self.run(
            "INSERT INTO checkpoints (size, root) VALUES (?, ?)",
            params![int(checkpoint.size), checkpoint.root.0],
        )?;
        self.put_meta("checkpoint", signed)
    }

    /// The number of entries of a stream.
    pub(super) fn version(&self, stream: &str) -> Result<u64> {
        self.one("SELECT coalesce(max(version), 0) FROM entries WHERE stream = ?", [stream], |row| count(row, 0))
    }

    /// The number of entries of the log.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        self.one("SELECT coalesce(max(position) + 1, 0) FROM entries", [], |row| count(row, 0)).map_err(failure)
    }

    pub(super) fn newest_root(&self) -> Result<Option<(u64, Hash)>, StoreError> {
        let pair = |row: &Row<'_>| Ok((count(row, 0)?, Hash(row.get(1)?)));
        self.maybe("SELECT size, root FROM checkpoints ORDER BY size DESC LIMIT 1", [], pair).map_err(failure)
    }

    pub(super) fn stream(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let sql = "SELECT position, bytes FROM entries WHERE stream = ? AND version > ? ORDER BY version";
        let found = self.recorded(sql, params![stream, int(after)])?;
        for (recorded, i) in found.iter().zip(1..) {
            check_place(recorded, stream, after + i)?;
        }
        Ok(found)
    }

    pub(super) fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let sql = "SELECT position, bytes FROM entries WHERE position >= ? ORDER BY position LIMIT ?";
        self.recorded(sql, params![int(from), int(limit as u64)])
    }

    /// The streams that may be those of changes, in the order of their names.
    pub(super) fn change_streams(&self) -> Result<Vec<String>> {
        let sql =
            "SELECT DISTINCT stream FROM entries WHERE stream >= 'change/' AND stream < 'change0' ORDER BY stream";
        self.many(sql, [], |row| row.get(0))
    }

    fn recorded(&self, sql: &str, params: impl Params) -> Result<Vec<Recorded>, StoreError> {
        let entries = self.many(sql, params, |row| Ok((count(row, 0)?, row.get::<_, Vec<u8>>(1)?))).map_err(failure)?;
        entries.iter().map(|(position, bytes)| entry::decode(*position, bytes)).collect()
    }

    pub(super) fn meta_value(&self, name: &str) -> Result<Option<String>> {
        self.maybe("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0))
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.meta_value(name).map_err(failure)
    }

    pub(super) fn put_meta(&self, name: &str, value: &str) -> Result<()> {
        self.run(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [name, value],
        )
    }
}

// The columns are only where to find an entry; what it says of itself is what the log has committed to.
fn check_place(recorded: &Recorded, stream: &str, version: u64) -> Result<(), StoreError> {
    if recorded.stream == stream && recorded.version == version {
        return Ok(());
    }
    Err(damaged(format_args!(
        "entry {} is version `{}` of `{}`, but stands as version `{version}` of `{stream}`",
        recorded.position, recorded.version, recorded.stream
    )))
}

impl Parts for Tables<'_> {
    fn checkpoint(&self) -> Result<(u64, String), StoreError> {
        let missing = || damaged("it has no checkpoint");
        let (size, _) = self.newest_root()?.ok_or_else(missing)?;
        Ok((size, self.meta("checkpoint")?.ok_or_else(missing)?))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT hashes FROM tiles WHERE level = ? AND idx = ?";
        self.maybe(sql, params![level, int(index)], |row| row.get(0)).map_err(failure)
    }

    fn entries(&self, from: u64, count: u16) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM entries WHERE position >= ? ORDER BY position LIMIT ?";
        self.many(sql, params![int(from), count], |row| row.get(0)).map_err(failure)
    }
}

// ------------------------------------------------------------------------------------------------------------------------------------ projections

impl Tables<'_> {
    pub(super) fn put_row(&self, row: &ChangeRow) -> Result<()> {
        self.run(
            "INSERT INTO changes (number, title, phase, status, kind, environment, services, owner, author, risk, proposed_at, updated_at, version, active, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET title = excluded.title, phase = excluded.phase, status = excluded.status, kind = excluded.kind,
             environment = excluded.environment, services = excluded.services, owner = excluded.owner, author = excluded.author, risk = excluded.risk,
             proposed_at = excluded.proposed_at, updated_at = excluded.updated_at, version = excluded.version, active = excluded.active,
             state = excluded.state",
            params![
                int(row.id.number()),
                row.title,
                row.phase,
                row.status,
                row.kind,
                row.environment,
                Value::from(row.services.clone()).to_string(),
                row.owner,
                row.author,
                row.risk.map(|risk| risk.to_string()),
                row.proposed_at.to_string(),
                row.updated_at.to_string(),
                int(row.version),
                row.active,
                row.state,
            ],
        )?;
        self.run("DELETE FROM change_services WHERE number = ?", [int(row.id.number())])?;
        row.services.iter().try_for_each(|service| {
            self.run(
                "INSERT OR IGNORE INTO change_services (service, number) VALUES (?, ?)",
                params![service, int(row.id.number())],
            )
        })
    }

    pub(super) fn clear_rows(&self) -> Result<()> {
        self.0.execute_batch("DELETE FROM change_services; DELETE FROM changes")
    }

    pub(super) fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        let sql = format!("SELECT {ROW} FROM changes WHERE number = ?");
        self.maybe(&sql, [int(change.number())], change_row).map_err(failure)
    }

    // The numbers are found first, in indexes alone: sorting whole rows would read the state of every change that fits, not only of those on the page.
    pub(super) fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        let before = query.before.map_or(i64::MAX, |before| int(before.number()));
        let mut params = vec![Sql::from(before)];
        let mut numbers = "SELECT number FROM changes WHERE number < ?".to_owned();
        if let Some(service) = &query.service {
            numbers = "SELECT number FROM change_services JOIN changes USING (number) WHERE number < ? AND service = ?"
                .to_owned();
            params.push(Sql::from(service.clone()));
        }
        if !query.phases.is_empty() {
            numbers.push_str(" AND phase IN (SELECT value FROM json_each(?))");
            params.push(Sql::from(Value::from(query.phases.clone()).to_string()));
        }
        numbers.push_str(" ORDER BY number DESC LIMIT ?");
        params.push(Sql::from(int(query.limit as u64)));
        let sql = format!("SELECT {ROW} FROM changes WHERE number IN ({numbers}) ORDER BY number DESC");
        self.many(&sql, params_from_iter(params), change_row).map_err(failure)
    }

    pub(super) fn last_number(&self) -> Result<u64, StoreError> {
        self.one("SELECT coalesce(max(number), 0) FROM changes", [], |row| count(row, 0)).map_err(failure)
    }
}

fn change_row(row: &Row<'_>) -> Result<ChangeRow> {
    Ok(ChangeRow {
        id: ChangeId::new(count(row, 0)?),
        title: row.get(1)?,
        phase: row.get(2)?,
        status: row.get(3)?,
        kind: row.get(4)?,
        environment: row.get(5)?,
        services: json(row, 6)?,
        owner: row.get(7)?,
        author: row.get(8)?,
        risk: row.get::<_, Option<String>>(9)?.map(|risk| from_json(9, Value::String(risk))).transpose()?,
        proposed_at: parsed(row, 10)?,
        updated_at: parsed(row, 11)?,
        version: count(row, 12)?,
        active: row.get(13)?,
        state: row.get(14)?,
    })
}

// ----------------------------------------------------------------------------------------------------------------------------------------- beside

impl Tables<'_> {
    /// Only the newest look keeps the counters as they stood: the next one subtracts from it alone.
    pub(super) fn put_look(&self, look: &LookRow) -> Result<()> {
        self.run(
            "UPDATE looks SET counters = 'null' WHERE change = ? AND number = ?",
            params![int(look.change.number()), int(look.number.saturating_sub(1))],
        )?;
        self.run(
            "INSERT INTO looks (change, number, step, attempt, at, readings, counters, verdict) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                int(look.change.number()),
                int(look.number),
                int(look.step as u64),
                look.attempt,
                look.at.to_string(),
                look.readings.to_string(),
                look.counters.to_string(),
                look.verdict.to_string(),
            ],
        )
    }

    pub(super) fn has_look(&self, change: ChangeId, number: u64) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM looks WHERE change = ? AND number = ?)";
        self.one(sql, [int(change.number()), int(number)], |row| row.get(0))
    }

    pub(super) fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError> {
        let sql = "SELECT number, step, attempt, at, readings, counters, verdict FROM looks WHERE change = ? AND number >= ? ORDER BY number";
        let look = |row: &Row<'_>| {
            Ok(LookRow {
                change,
                number: count(row, 0)?,
                step: usize::try_from(count(row, 1)?).map_err(|error| broken(1, error))?,
                attempt: row.get(2)?,
                at: parsed(row, 3)?,
                readings: json(row, 4)?,
                counters: json(row, 5)?,
                verdict: json(row, 6)?,
            })
        };
        self.many(sql, [int(change.number()), int(from)], look).map_err(failure)
    }

    pub(super) fn put_blob(&self, digest: Digest, bytes: &[u8]) -> Result<()> {
        self.run("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?, ?)", params![digest.to_string(), bytes])
    }

    pub(super) fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM blobs WHERE digest = ?";
        let bytes = self.maybe(sql, [digest.to_string()], |row| row.get::<_, Vec<u8>>(0)).map_err(failure)?;
        match bytes {
            Some(bytes) if Digest::of_bytes(&bytes) != digest => {
                Err(damaged(format_args!("what is kept as `{digest}` has another digest")))
            }
            found => Ok(found),
        }
    }

    pub(super) fn put_key(&self, key: &IdempotencyKey) -> Result<()> {
        self.run(
            "INSERT INTO idempotency (actor, key, request, change) VALUES (?, ?, ?, ?)",
            params![key.actor, key.key, key.request.to_string(), int(key.change.number())],
        )
    }

    pub(super) fn has_key(&self, actor: &str, key: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM idempotency WHERE actor = ? AND key = ?)";
        self.one(sql, [actor, key], |row| row.get(0))
    }

    pub(super) fn idempotency(&self, actor: String, key: String) -> Result<Option<IdempotencyKey>, StoreError> {
        let sql = "SELECT request, change FROM idempotency WHERE actor = ? AND key = ?";
        let found = self.maybe(sql, [&actor, &key], |row| Ok((parsed(row, 0)?, count(row, 1)?))).map_err(failure)?;
        Ok(found.map(|(request, number)| IdempotencyKey { actor, key, request, change: ChangeId::new(number) }))
    }

    pub(super) fn lease(&self, name: &str) -> Result<Option<Held>> {
        let held =
            |row: &Row<'_>| Ok(Held { holder: row.get(0)?, fence: count(row, 1)?, until: BootMillis(count(row, 2)?) });
        self.maybe("SELECT holder, fence, until_boot_ms FROM leases WHERE name = ?", [name], held)
    }

    pub(super) fn put_lease(&self, name: &str, held: &Held) -> Result<()> {
        self.run(
            "INSERT INTO leases (name, holder, fence, until_boot_ms) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET holder = excluded.holder, fence = excluded.fence, until_boot_ms = excluded.until_boot_ms",
            params![name, held.holder, int(held.fence), int(held.until.0)],
        )
    }
}

// ------------------------------------------------------------------------------------------------------------------------------ statements, values

impl Tables<'_> {
    fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.0.prepare_cached(sql)?.execute(params).map(|_| ())
    }

    fn one<T>(&self, sql: &str, params: impl Params, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        self.0.prepare_cached(sql)?.query_row(params, read)
    }

    fn maybe<T>(&self, sql: &str, params: impl Params, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
        self.one(sql, params, read).optional()
    }

    fn many<T>(&self, sql: &str, params: impl Params, read: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
        self.0.prepare_cached(sql)?.query_map(params, read)?.collect()
    }
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

fn parsed<T: FromStr<Err: ToString>>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| broken(column, error.to_string()))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| broken(column, error))
}

fn from_json<T: DeserializeOwned>(column: usize, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| broken(column, error))
}

fn broken(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
