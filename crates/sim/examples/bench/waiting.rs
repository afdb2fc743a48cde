//! Waiting: what a hundred thousand changes that wait cost one server, and how soon the next one begins after an event.
//!
//! A third waits in one queue, a third for a planned time, a third for people; a thousand rules of the calendar speak of other services. They are written
//! to the store as the engine would have written them, and taken up by an engine that starts: memory and times are those of a server after a restart.
//! `CLEARWAY_WAITING` sets another number of changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use change::actor::Part;
use change::assessment::Requirement;
use change::gate::{self, Gate, GateState};
use change::governance::Governance;
use change::schedule::When;
use change::{Actor, Change, ChangeId, Command, Event, Phase, Span, evolve, time};
use engine::Handle;
use engine::ports::{Batch, NewEvent, Recorded, Store, StreamWrite};
use engine::project::ChangeRow;
use sim::world::{Behaviour, NOBODY, World, ada, change_file, governed};
use store::SqliteStore;

use crate::rounds::whole;
use crate::table::{Aim, Row};

const RULES: usize = 1_000;
/// How many changes are written at once.
const AT_ONCE: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run() -> Result<Vec<Row>> {
    crate::runtime()?.block_on(measure())
}

fn changes() -> u64 {
    std::env::var("CLEARWAY_WAITING").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

async fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let world = World::new(1, Behaviour::GOOD);
    let sample = sample(&world, dir.path()).await?;
    write_all(&open(dir.path())?, &sample, changes()).await?;
    let before = resident_kib()?;
    let begun = Instant::now();
    let handle = world.start(open(dir.path())?, rules()).await?;
    let taken_up = begun.elapsed();
    until_at_rest(&handle).await?;
    let memory = (resident_kib()? - before) / 1_024.0;
    let gate = one_gate(&handle).await?;
    let (next, woken) = next_start(&handle).await?;
    let waiting = handle.waiting().0.waiting;
    handle.drain().await;
    Ok(rows(waiting, taken_up, memory, gate, next, woken))
}

fn rows(waiting: usize, taken_up: Duration, memory: f64, gate: Duration, next: Duration, woken: u64) -> Vec<Row> {
    let name = |what: &str| format!("waiting: {} changes, {what}", whole(waiting as f64));
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    vec![
        Row {
            name: name("gates of one"),
            figure: format!("{:.3} ms", millis(gate)),
            beside: format!("1 ms ({RULES} rules of the calendar)"),
            ratio: Some(millis(gate)),
            aim: Aim::AtMost(1.0),
        },
        Row {
            name: name("the next step in the log"),
            figure: format!("{:.2} ms", millis(next)),
            beside: "after the end of the one before; two commits".into(),
            ratio: None,
            aim: Aim::None,
        },
        Row {
            name: name("woken by one end"),
            figure: woken.to_string(),
            beside: "2: the next, and who stands behind it".into(),
            ratio: Some(woken as f64 / 2.0),
            aim: Aim::AtMost(1.0),
        },
        Row {
            name: name("memory"),
            figure: format!("{memory:.0} MiB"),
            beside: "500 MiB".into(),
            ratio: Some(memory / 500.0),
            aim: Aim::AtMost(1.0),
        },
        Row {
            name: name("taken up after a start"),
            figure: format!("{:.1} s", taken_up.as_secs_f64()),
            beside: "-".into(),
            ratio: None,
            aim: Aim::None,
        },
    ]
}

fn open(dir: &Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(SqliteStore::open(dir, crate::appends::key()?)?))
}

fn rules() -> Governance {
    let freeze = |i: usize| {
        format!(
            "  - {{name: f{i}, services: [other-{i}], start: '2026-12-20T18:00:00', end: '2027-01-03T06:00:00', tz: Europe/Berlin, reason: closing, owner: ada}}\n"
        )
    };
    let calendar: String = std::iter::once("freezes:\n".to_owned()).chain((0..RULES).map(freeze)).collect();
    governed(NOBODY, &[("calendar.yaml", &calendar)])
}

fn file(target: &str) -> String {
    change_file(target, &[("50%", "1h"), ("100%", "1h")], "").replace("resource: shop", &format!("resource: {target}"))
}

/// One change under way, and the log of one that waits behind it.
async fn sample(world: &World, dir: &Path) -> Result<Vec<Recorded>> {
    let store = open(dir)?;
    let handle = world.start(store.clone(), rules()).await?;
    let mut ids = Vec::new();
    for (target, wanted) in [("first", "rolling_out"), ("second", "held")] {
        let change = handle.propose(&ada(), &file(target), &Default::default(), None).await?;
        ids.push(change.id);
        let begun = Instant::now();
        while handle.change(change.id).await?.is_none_or(|change| change.phase().name() != wanted) {
            if begun.elapsed() > PATIENCE {
                bail!("`{}` is not {wanted}", change.id);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let log = store.read(&ids[1].stream(), 0).await?;
    handle.drain().await;
    Ok(log)
}

/// What a change waits for.
fn events(sample: &[Recorded], number: u64) -> Vec<Event> {
    let later = time::after(sample[0].time, Span::secs(30 * 86_400));
    let change = |recorded: &Recorded| match (&recorded.event, number % 3) {
        (Event::Proposed(proposed), kind) => {
            let mut proposed = proposed.clone();
            proposed.proposal.title = format!("price list {number}");
            proposed.proposal.claims.resources = [format!("world:t{number}")].into();
            if kind == 1 {
                proposed.proposal.when = When::At(later);
            }
            proposed.proposal.effect_digest = proposed.proposal.compute_effect_digest();
            Some(Event::Proposed(proposed))
        }
        (Event::Assessed(assessment), 2) => {
            let mut assessment = assessment.clone();
            assessment.requires = vec![Requirement::of("sre", 1, Span::secs(7 * 86_400))];
            Some(Event::Assessed(assessment))
        }
        (Event::Scheduled { .. }, 1) => Some(Event::Scheduled { not_before: later }),
        (Event::Approved { .. } | Event::Scheduled { .. }, 2) | (Event::Held { .. }, 1 | 2) => None,
        (Event::Held { gates }, _) => Some(Event::Held { gates: behind(gates, number) }),
        (other, _) => Some(other.clone()),
    };
    sample.iter().filter_map(change).collect()
}

/// The same gates, behind the one before in the queue.
fn behind(gates: &[Gate], number: u64) -> Vec<Gate> {
    let before = if number == 3 { 2 } else { number - 3 };
    let before = ChangeId::new(before);
    let first = format!("`{before}`");
    let queued = GateState::Closed {
        code: "queue".into(),
        reason: format!("{first} waits for the same, was approved before, and goes first"),
        opens_at: None,
        who_can: Some(format!("nobody: it opens when {first} has gone; or whoever may withdraw {first}")),
    };
    let moved = |gate: &Gate| match gate.behind {
        Some(_) => Gate { state: queued.clone(), behind: Some(before), ..gate.clone() },
        None => gate.clone(),
    };
    gates.iter().map(moved).collect()
}

async fn write_all(store: &Arc<dyn Store>, sample: &[Recorded], count: u64) -> Result<()> {
    let mut number = 3;
    while number < count + 3 {
        let mut batch = Batch::default();
        for number in number..(number + AT_ONCE).min(count + 3) {
            let (write, change) = one(sample, number).context("the sample is a change")?;
            batch.rows.push(ChangeRow::of(&change));
            batch.writes.push(write);
        }
        store.append(batch).await?;
        number += AT_ONCE;
    }
    Ok(())
}

fn one(sample: &[Recorded], number: u64) -> Option<(StreamWrite, Change)> {
    let id = ChangeId::new(number);
    let mut change: Option<Change> = None;
    let mut written = Vec::new();
    for mut event in events(sample, number) {
        let time = sample[0].time;
        let actor = match &event {
            Event::Proposed(_) => ada(),
            _ => Actor::Clearway(Part::Policy),
        };
        let effect = change.as_ref().map(|change| change.proposal.effect_digest);
        match (&mut event, effect) {
            (Event::Assessed(assessment), Some(digest)) => assessment.effect = digest,
            (Event::Approved { effect, .. }, Some(digest)) => *effect = digest,
            _ => {}
        }
        change = evolve(change, id, &event, &actor, time);
        written.push(NewEvent { event, actor, change: Some(id), time });
    }
    Some((StreamWrite { stream: id.stream(), expected: 0, events: written }, change?))
}

async fn until_at_rest(handle: &Handle) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let (count, tasks) = handle.waiting();
        if count.in_line == 0 && tasks <= 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the changes did not come to rest: {:?}", handle.waiting())
}

/// How long it takes to say whether one of them may begin.
async fn one_gate(handle: &Handle) -> Result<Duration> {
    let change = handle.change(ChangeId::new(3)).await?.context("it is there")?;
    let rounds = 200;
    let begun = Instant::now();
    for _ in 0..rounds {
        let given = handle.given(&change, &Actor::Clearway(Part::Clock)).await?;
        std::hint::black_box(gate::ask(&change, &given));
    }
    Ok(begun.elapsed() / rounds)
}

/// How long it takes from the end of the one under way to the first step of the next, and how many are woken by it.
async fn next_start(handle: &Handle) -> Result<(Duration, u64)> {
    let (first, second) = (ChangeId::new(1), ChangeId::new(2));
    let (mut notices, before) = (handle.subscribe(), handle.waiting().0.woken);
    handle.command(&ada(), first, Command::Rollback { reason: "make way".into() }).await?;
    let mut ended = Instant::now();
    let next = loop {
        let notice = tokio::time::timeout(PATIENCE, notices.recv()).await??;
        match notice.change {
            Some(id) if id == first => ended = Instant::now(),
            Some(id) if id == second => break ended.elapsed(),
            _ => {}
        }
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let change = handle.change(second).await?.context("it is there")?;
    if !matches!(change.phase(), Phase::RollingOut { .. }) {
        bail!("`{second}` is {}", change.phase());
    }
    Ok((next, handle.waiting().0.woken - before))
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the system tells no `VmRSS`")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
