//! Waiting: what a hundred thousand changes that wait cost one server, and how soon the next one begins after an event.
//!
//! A third waits in one queue, a third for a planned time, a third for people; of a thousand rules of the calendar, most of which recur, fifty cover them.
//! They are written to the store as the engine would have written them, and taken up by an engine that starts: memory and times are those of a server
//! after a restart. Then the one under way is rolled back, again and again, and the next one begins. What a disk takes to commit is measured in the same
//! run and stands beside it. `CLEARWAY_WAITING` sets another number of changes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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
/// How many of them cover the changes that wait.
const COVERING: usize = 50;
/// How many times the next one begins.
const STARTS: u64 = 60;
/// 500 MB, in MiB.
const MOST_MIB: f64 = 500e6 / 1_048_576.0;
/// How many gates are asked, each of another change.
const GATES: u64 = 1_000;
/// How many commits are measured.
const COMMITS: u64 = 200;
/// How many changes are written at once.
const AT_ONCE: u64 = 200;
/// How long the next one may take to begin.
const A_START: Duration = Duration::from_secs(30);
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
    let store = open(dir.path())?;
    let handle = world.start(store.clone(), rules()).await?;
    let taken_up = begun.elapsed();
    until_at_rest(&handle).await?;
    let memory = (resident_kib()? - before) / 1_024.0;
    let waiting = handle.waiting().0.waiting;
    let gates = gates(&handle).await?;
    let commits = commits(&store).await?;
    let Starts { found, begun, woken } = starts(&world, &handle, &store).await?;
    let memory_after = (resident_kib()? - before) / 1_024.0;
    handle.drain().await;
    Ok(rows(&Figures { waiting, taken_up, memory, memory_after, gates, commits, found, begun, woken }))
}

struct Figures {
    waiting: usize,
    taken_up: Duration,
    memory: f64,
    memory_after: f64,
    gates: Times,
    commits: Times,
    found: Times,
    begun: Times,
    /// Of all starts.
    woken: u64,
}

/// Times in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn millis(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    }

    fn in_words(&self) -> String {
        format!("{:.2} / {:.2} ms", self.millis(50), self.millis(99))
    }
}

fn rows(figures: &Figures) -> Vec<Row> {
    let Figures { waiting, taken_up, memory, memory_after, gates, commits, found, begun, woken } = figures;
    let name = |what: &str| format!("waiting: {} changes, {what}", whole(*waiting as f64));
    let two = 2.0 * commits.millis(50);
    // Its gates are asked, and then it takes the right to act, which is a commit: what is left is how long it was looked for.
    let found = (found.millis(50) - commits.millis(50)).max(0.0);
    let row = |what: &str, figure: String, beside: String, ratio: f64, most: f64| Row {
        name: name(what),
        figure,
        beside,
        ratio: Some(ratio),
        aim: Aim::AtMost(most),
    };
    vec![
        row("gates of one", gates.in_words(), format!("1 ms; p50 / p99, {RULES} rules"), gates.millis(99), 1.0),
        row(
            "next start found",
            format!("{found:.2} ms"),
            "1 ms from the event, without the lease's commit".into(),
            found,
            1.0,
        ),
        Row {
            name: name("next step in the log"),
            figure: begun.in_words(),
            beside: format!("{two:.2} ms: two commits; p50 / p99, with policy"),
            ratio: Some(begun.millis(50) / two),
            aim: Aim::None,
        },
        row(
            "woken by one end",
            format!("{:.1}", *woken as f64 / STARTS as f64),
            "2: the next, and who stands behind it".into(),
            *woken as f64 / STARTS as f64 / 2.0,
            1.0,
        ),
        row("memory", format!("{memory:.0} MiB"), "477 MiB: 500 MB".into(), memory / MOST_MIB, 1.0),
        row(
            "memory after it all",
            format!("{memory_after:.0} MiB"),
            "477 MiB: 500 MB".into(),
            memory_after / MOST_MIB,
            1.0,
        ),
        Row {
            name: name("taken up after a start"),
            figure: format!("{:.1} s", taken_up.as_secs_f64()),
            beside: format!("{:.0} us for each change", taken_up.as_secs_f64() * 1e6 / (*waiting).max(1) as f64),
            ratio: None,
            aim: Aim::None,
        },
    ]
}

fn open(dir: &Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(SqliteStore::open(dir, crate::appends::key()?)?))
}

/// Freezes and windows, once and again; at the first instant of every world, those that cover the service are all open to it.
fn rules() -> Governance {
    let (mut freezes, mut windows) = (String::new(), String::new());
    for i in 0..RULES {
        let service = if i < COVERING { "shop".to_owned() } else { format!("other-{}", i % 100) };
        let head = format!("  - {{name: r{i}, services: [{service}], tz: Europe/Berlin, owner: ada");
        match i % 4 {
            0 => freezes.push_str(&format!(
                "{head}, start: '2026-12-20T18:00:00', end: '2027-01-03T06:00:00', reason: closing}}\n"
            )),
            1 => freezes.push_str(&format!(
                "{head}, rrule: 'FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR={}', duration: 1h, reason: weekend}}\n",
                i % 24
            )),
            2 => freezes.push_str(&format!(
                "{head}, rrule: 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR={}', duration: 2h, reason: books}}\n",
                i % 24
            )),
            _ => windows
                .push_str(&format!("{head}, rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=7', duration: 12h}}\n")),
        }
    }
    governed(NOBODY, &[("calendar.yaml", &format!("freezes:\n{freezes}windows:\n{windows}"))])
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
        // After the second one, which so is the first of the queue.
        let time = sample.last()?.time;
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

/// How long it takes to say whether one of them may begin, of changes all over the queue.
async fn gates(handle: &Handle) -> Result<Times> {
    let apart = (changes() / GATES / 3).max(1) * 3;
    let mut took = Vec::new();
    for number in (3..changes()).step_by(usize::try_from(apart)?).take(usize::try_from(GATES)?) {
        let change = handle.change(ChangeId::new(number)).await?.context("it is there")?;
        let begun = Instant::now();
        let given = handle.given(&change, &Actor::Clearway(Part::Clock)).await?;
        std::hint::black_box(gate::ask(&change, &given));
        took.push(begun.elapsed());
    }
    Ok(Times::of(took))
}

/// How long one append of a step takes, in a stream of its own.
async fn commits(store: &Arc<dyn Store>) -> Result<Times> {
    let mut took = Vec::new();
    for version in 0..COMMITS {
        let event = NewEvent { event: Event::Released, actor: ada(), change: None, time: sim::world::epoch() };
        let writes = vec![StreamWrite { stream: "bench".into(), expected: version, events: vec![event] }];
        let begun = Instant::now();
        store.append(Batch { writes, ..Batch::default() }).await?;
        took.push(begun.elapsed());
    }
    Ok(Times::of(took))
}

/// How long it takes from the end of the one under way until the next is found and its target asked, and until its first step is in the log; and how
/// many are woken by all of them.
struct Starts {
    found: Times,
    begun: Times,
    woken: u64,
}

async fn starts(world: &World, handle: &Handle, store: &Arc<dyn Store>) -> Result<Starts> {
    let woken = handle.waiting().0.woken;
    let heard = listen(handle);
    let (mut finds, mut starts) = (Vec::new(), Vec::new());
    let queue = [1, 2].into_iter().chain((1..).map(|place| 3 * place)).map(ChangeId::new);
    let most = usize::try_from(STARTS.min(changes() / 3))?;
    for (first, next) in queue.clone().zip(queue.skip(1)).take(most) {
        handle.command(&ada(), first, Command::Rollback { reason: "make way".into() }).await?;
        let begun = Instant::now();
        while handle.change(next).await?.is_none_or(|change| !matches!(change.phase(), Phase::RollingOut { .. })) {
            if begun.elapsed() > A_START {
                let (ended, waits) = (handle.change(first).await?, handle.change(next).await?);
                let says =
                    |change: Option<Change>| change.map(|change| change::explain::status(&change)).unwrap_or_default();
                bail!("`{next}` does not begin: {}; `{first}` is: {}", says(waits), says(ended));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = heard_at(&heard, position(store, first, |event| matches!(event, Event::RolledBack { .. })).await?);
        let begun = heard_at(&heard, position(store, next, |event| matches!(event, Event::StepBegun { .. })).await?);
        let found = ended.and_then(|ended| world.observed().into_iter().find(|at| *at > ended));
        finds.extend(ended.zip(found).map(|(ended, found)| found.duration_since(ended)));
        starts.extend(ended.zip(begun).map(|(ended, begun)| begun.duration_since(ended)));
        // Whoever is woken by it is asked before the next one ends.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Starts { found: Times::of(finds), begun: Times::of(starts), woken: handle.waiting().0.woken - woken })
}

/// When the log had which size.
type Heard = Arc<Mutex<Vec<(u64, Instant)>>>;

fn listen(handle: &Handle) -> Heard {
    let (heard, mut notices) = (Heard::default(), handle.subscribe());
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok(notice) = notices.recv().await {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((notice.size, Instant::now()));
        }
    });
    heard
}

fn heard_at(heard: &Heard, position: u64) -> Option<Instant> {
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.iter().find(|(size, _)| *size > position).map(|(_, at)| *at)
}

/// Where an event of a change stands in the log.
async fn position(store: &Arc<dyn Store>, id: ChangeId, is: impl Fn(&Event) -> bool) -> Result<u64> {
    let log = store.read(&id.stream(), 0).await?;
    log.iter().find(|recorded| is(&recorded.event)).map(|recorded| recorded.position).context("it is in the log")
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the system tells no `VmRSS`")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
