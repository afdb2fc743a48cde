//! Bare: SQLite when it does nothing but insert rows into one table.
//!
//! A process of its own, told by lines on its standard input what to do; it ends with them. Within one process the bundled SQLite shares one page cache
//! among all its connections, and the two sides would push each other's pages out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};

use crate::appends::{FILLING, FILLINGS};

/// What the first argument of the process is.
pub(crate) const PART: &str = "--part=sqlite";

/// The settings of the store's own writer (`store/src/sqlite/schema.rs`).
const PRAGMAS: &str = "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 2000;";

/// The process, as the bench holds it.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    /// Its end is the end of the process.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Bare {
    /// Begins a file in a folder.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([PART.as_ref(), dir.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the process has no output")?);
        Ok(Self { child, orders, answers })
    }

    /// Rows of `size` bytes per second over one round, with `group` rows in a transaction on average.
    pub(crate) fn insert(&mut self, round: Duration, group: f64, size: usize) -> Result<f64> {
        let orders = self.orders.as_mut().context("the process was ended")?;
        writeln!(orders, "{} {group} {size}", round.as_secs_f64())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().context("SQLite did not insert its rows")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}

// ------------------------------------------------------------------------------------------------------------------------------- in the child process

/// Inserts for a round at each line, until there is none.
pub(crate) fn play(args: &[String]) -> Result<()> {
    let dir = args.first().context("the folder is missing")?;
    let db = create(Path::new(dir))?;
    for line in std::io::stdin().lines() {
        let order: Vec<f64> = line?.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        ensure!(order.len() == 3, "an order is: seconds, rows in a transaction, bytes of a row");
        println!("{}", insert(&db, Duration::from_secs_f64(order[0]), order[1], order[2] as usize)?);
    }
    Ok(())
}

fn create(dir: &Path) -> Result<Connection> {
    let db = Connection::open(dir.join("bare.db"))?;
    db.execute_batch(PRAGMAS)?;
    db.execute_batch("CREATE TABLE rows (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT")?;
    for _ in 0..FILLINGS {
        db.execute_batch(&format!("INSERT INTO rows (bytes) VALUES (zeroblob({FILLING}))"))?;
    }
    Ok(db)
}

fn insert(db: &Connection, round: Duration, group: f64, size: usize) -> Result<f64> {
    let bytes = vec![b'x'; size];
    let mut insert = db.prepare("INSERT INTO rows (bytes) VALUES (?)")?;
    let (mut rows, mut due) = (0, 0.0);
    let begun = Instant::now();
    while begun.elapsed() < round {
        due += group;
        db.execute_batch("BEGIN IMMEDIATE")?;
        while due >= 1.0 {
            insert.execute(params![bytes])?;
            rows += 1;
            due -= 1.0;
        }
        db.execute_batch("COMMIT")?;
    }
    Ok(f64::from(rows) / begun.elapsed().as_secs_f64())
}
