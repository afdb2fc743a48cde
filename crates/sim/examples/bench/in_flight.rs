//! In flight: what a thousand changes under verification cost one server.
//!
//! The engine, its settings, its clock and its store are those of a server; the target and the telemetry answer at once, so that what is measured is the
//! engine. Each change has a lane of its own and is looked at every ten seconds. Beside each figure stands the same process before any change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use change::query::{DEFAULT_LABELS, Language};
use change::verification::CheckCommand;
use engine::clock::SystemClock;
use engine::handle::Parts;
use engine::ports::{Act, Answer, Ask, Driver, Eyes, Glance, ListQuery, Meaning, Series, Store};
use engine::{Handle, InForce, Settings};
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use sim::world::{Behaviour, NOBODY, World, ada, governance};
use store::SqliteStore;
use tokio::time::sleep;

use crate::rounds::whole;
use crate::table::{Aim, Row};

const CHANGES: u32 = 1_000;
/// The time between two looks, in seconds.
const EVERY: u32 = 10;
const BEFORE: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(30);
/// How long the changes may take until all are under way.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run() -> Result<Vec<Row>> {
    crate::runtime()?.block_on(measure())
}

async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let handle = start(dir.path()).await?;
    let idle = Usage::over(BEFORE).await?;
    let (begun, used) = (Instant::now(), processor_seconds());
    propose_all(&handle).await?;
    until_all_are_verified(&handle).await?;
    let started = Started { time: begun.elapsed(), processor_seconds: processor_seconds() - used };
    // One interval more: the first reading of each is what its first look subtracts from.
    sleep(Duration::from_secs(u64::from(EVERY))).await;
    let before = looks(dir.path())?;
    let busy = Usage::over(MEASURED).await?;
    let looks = f64::from(looks(dir.path())? - before) / MEASURED.as_secs_f64();
    handle.drain().await;
    Ok(rows(&idle, &busy, looks, &started))
}

fn rows(idle: &Usage, busy: &Usage, looks: f64, started: &Started) -> Vec<Row> {
    let due = f64::from(CHANGES / EVERY);
    let each = (busy.resident_kib - idle.resident_kib) / f64::from(CHANGES);
    let name = |what: &str| format!("in_flight: {} changes, {what}", whole(f64::from(CHANGES)));
    vec![
        Row {
            name: name("looks"),
            figure: format!("{looks:.1}/s"),
            beside: format!("{due:.0}/s due"),
            ratio: Some(looks / due),
            aim: Aim::AtLeast(0.95),
        },
        Row {
            name: name("processor"),
            figure: format!("{:.1} %", busy.processor * 100.0),
            beside: format!("100 % of one core ({:.1} % before)", idle.processor * 100.0),
            ratio: Some(busy.processor),
            aim: Aim::AtMost(0.25),
        },
        Row {
            name: name("memory of each"),
            figure: format!("{each:.0} KiB"),
            beside: format!("64 KiB ({:.0} MiB of process before)", idle.resident_kib / 1_024.0),
            ratio: Some(each / 64.0),
            aim: Aim::AtMost(1.0),
        },
        Row {
            name: name("all begun"),
            figure: format!("{:.1} s", started.time.as_secs_f64()),
            beside: format!("{:.1} s of processor", started.processor_seconds),
            ratio: None,
            aim: Aim::None,
        },
    ]
}

async fn start(dir: &Path) -> Result<Handle> {
    let world = Arc::new(World::new(1, Behaviour::GOOD));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir, crate::appends::key()?)?);
    let parts = Parts {
        store,
        drivers: BTreeMap::from([("world".to_owned(), world.clone() as Arc<dyn Driver>)]),
        eyes: Arc::new(Steady { since: Instant::now() }),
        voice: world,
        rosters: Arc::new(engine::ports::NoRosters),
        clock: Arc::new(SystemClock),
        scrub: Arc::new(drivers::read::secrets::Scrubber::default()),
        in_force: InForce::new(governance(NOBODY))?,
        settings: Settings::default(),
        build: "bench".into(),
    };
    Ok(Handle::start(parts).await?)
}

async fn propose_all(handle: &Handle) -> Result<()> {
    for number in 1..=CHANGES {
        handle.propose(&ada(), &change_file(number), &BTreeMap::new(), None).await?;
    }
    Ok(())
}

/// Bakes for longer than the bench lasts, so that every change stays in its first step.
fn change_file(number: u32) -> String {
    format!(
        "title: price list {number}
kind: config
owner: ada
services: [shop-{number}]
environment: production
artifact: shop@sha256:{number}
plan:
  strategy: canary
  target: {{driver: world, resource: shop-{number}}}
  steps: [{{weight: 10%, bake: 30m}}, {{weight: 100%, bake: 30m}}]
verify:
  slis:
    - {{name: errors, source: world, ratio: {{bad: 'bad{{v=\"$cohort\"}}', total: 'all{{v=\"$cohort\"}}'}}, objective: 99%}}
    - {{name: latency, source: world, latency: {{histogram: 'seconds{{v=\"$cohort\"}}', below: 100ms}}, objective: 95%}}
  every: {EVERY}s
rollback: {{automatic: true, runbook: docs/back.md}}
"
    )
}

async fn until_all_are_verified(handle: &Handle) -> Result<()> {
    let begun = Instant::now();
    let query = ListQuery { limit: CHANGES as usize, ..ListQuery::default() };
    while begun.elapsed() < PATIENCE {
        let rows = handle.list(&query).await?;
        if let Some(stray) = rows.iter().find(|row| row.phase == "held" || row.phase == "refused") {
            bail!("`{}` does not begin: {}", stray.id, stray.status);
        }
        if rows.iter().all(|row| row.phase == "rolling_out") {
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
    bail!("not every change has begun within {} s", PATIENCE.as_secs())
}

/// The looks that the store has kept.
fn looks(dir: &Path) -> Result<i32> {
    let db = Connection::open(dir.join("clearway.db"))?;
    Ok(db.query_row("SELECT count(*) FROM looks", [], |row| row.get(0))?)
}

/// From the first proposal until every change was in its first step.
struct Started {
    time: Duration,
    processor_seconds: f64,
}

/// What the process has used over some time.
struct Usage {
    /// The share of one core.
    processor: f64,
    /// At its end.
    resident_kib: f64,
}

impl Usage {
    async fn over(time: Duration) -> Result<Self> {
        let (begun, before) = (Instant::now(), processor_seconds());
        sleep(time).await;
        let processor = (processor_seconds() - before) / begun.elapsed().as_secs_f64();
        Ok(Self { processor, resident_kib: resident_kib()? })
    }
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the system tells no `VmRSS`")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Telemetry of a service with even traffic: 450 requests a second to the old version, 50 to the new one, one in a thousand bad.
struct Steady {
    since: Instant,
}

/// The bucket edges in seconds, and the share of requests up to each.
const BUCKETS: [(&str, f64); 6] =
    [("0.005", 0.2), ("0.01", 0.6), ("0.02", 0.9), ("0.05", 0.99), ("0.1", 1.0), ("+Inf", 1.0)];

impl Steady {
    fn answer(&self, selector: &str) -> Vec<Series> {
        let rate = if selector.contains("\"new\"") { 50.0 } else { 450.0 };
        let total = (rate * (1.0 + self.since.elapsed().as_secs_f64())).floor();
        let plain = |value: f64| vec![Series { labels: BTreeMap::new(), value, at: None }];
        match selector.split('{').next() {
            Some("bad") => plain((total * 0.001).floor()),
            Some("all") => plain(total),
            _ => BUCKETS
                .map(|(edge, share)| Series {
                    labels: BTreeMap::from([("le".to_owned(), edge.to_owned())]),
                    value: (total * share).floor(),
                    at: None,
                })
                .to_vec(),
        }
    }
}

#[async_trait]
impl Eyes for Steady {
    fn sources(&self) -> Vec<String> {
        vec!["world".into()]
    }

    async fn read(&self, _: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let answer = |ask: &Ask| {
            let asked = ask.fill(&ask.query, DEFAULT_LABELS, glance.every, Language::Promql)?;
            Ok(Answer { series: self.answer(&asked), meaning: Meaning::Total, asked })
        };
        asks.iter().map(answer).collect()
    }

    fn may_run_commands(&self) -> bool {
        false
    }

    async fn check(&self, _: &Act, _: &CheckCommand) -> Result<Option<String>, String> {
        Err("no change of this bench has a check".into())
    }
}
