//! Acknowledgement: how long one who appends waits, beside the least that durability costs here.
//!
//! The limit is a write of the same bytes into a file of its full length in the same folder, and its flush. The two take turns, one by one, so that both
//! meet the same disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use engine::ports::Store as _;
use store::SqliteStore;

use crate::appends::{Writer, fill_the_log, key, size_of_an_entry};
use crate::rounds::quantile_us;
use crate::table::{Aim, Row};

const WARM_UP: usize = 50;
const MEASURED: Duration = Duration::from_secs(12);

/// The length of the bare file; it is written from its beginning again and again.
const WHOLE_FILE: usize = 1 << 20;

pub(crate) fn run() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let (mut ours, mut theirs) = measure(dir.path())?;
    // An append must reach the disk, so one flush is the floor; the second is for the thread that writes and for folding the write-ahead log.
    let row = |(name, share)| {
        let (ours, theirs) = (quantile_us(&mut ours, share), quantile_us(&mut theirs, share));
        Row {
            name: format!("acknowledgement: 1 writer, {name}"),
            figure: format!("{ours:.0} µs"),
            beside: format!("{theirs:.0} µs one write and fdatasync"),
            ratio: Some(ours / theirs),
            aim: Aim::AtMost(2.0),
        }
    };
    Ok([("p50", 0.5), ("p99", 0.99)].into_iter().map(row).collect())
}

fn measure(dir: &Path) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let runtime = crate::runtime()?;
    let store = SqliteStore::open(dir, key()?)?;
    runtime.block_on(fill_the_log(&store))?;
    let mut writer = Writer::alone();
    runtime.block_on(store.append(writer.batch()))?;
    let bytes = vec![b'x'; size_of_an_entry(dir)?];
    let file = File::create(dir.join("bare"))?;
    file.write_all_at(&vec![b'x'; WHOLE_FILE], 0)?;
    file.sync_all()?;
    let (mut ours, mut theirs) = (vec![], vec![]);
    let begun = Instant::now();
    for pair in 0.. {
        let at = (pair * bytes.len()) % (WHOLE_FILE - bytes.len());
        let batch = writer.batch();
        let append = Instant::now();
        runtime.block_on(store.append(batch))?;
        let append = append.elapsed();
        let flush = Instant::now();
        file.write_all_at(&bytes, at as u64)?;
        file.sync_data()?;
        let flush = flush.elapsed();
        if pair >= WARM_UP {
            ours.push(append);
            theirs.push(flush);
        }
        if begun.elapsed() > MEASURED {
            break;
        }
    }
    Ok((ours, theirs))
}
