//! A simulated world: a target, telemetry and people, for the real engine on a real store.
//!
//! Everything is seeded and follows the runtime's timers, so that a test with paused time plays hours in moments, and the same seed plays the same.
//! The target keeps its own record of what was done to it; checkers read that and the log, and nothing of the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use change::governance::Governance;
use change::lifecycle::Urgency;
use change::proposal::{Claims, Closure};
use change::query::{DEFAULT_LABELS, Language};
use change::rollout::{Desired, Failure, Plan, Target, Weight};
use change::roster::Watch;
use change::time::TimeZone;
use change::verification::CheckCommand;
use change::verification::synthetic::SyntheticCheck;
use change::{Actor, ChangeId, Span, Timestamp, time};
use engine::clock::TimerClock;
use engine::handle::Parts;
use engine::ports::{
    Act, Answer, Ask, Clock, Cohorts, Driver, Eyes, Glance, Meaning, Message, Outcome, Probed, Rosters, Series, Store,
    Voice,
};
use engine::{Handle, InForce, Settings};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// The latency buckets of the simulated service, in seconds.
const EDGES: [f64; 6] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25];

/// What the new version is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// The share of requests that fail, 0 to 1.
    pub errors: f64,
    /// How much slower than the old version, 1 for equal.
    pub slower: f64,
}

impl Behaviour {
    pub const GOOD: Self = Self { errors: 0.001, slower: 1.0 };
    pub const FAILING: Self = Self { errors: 0.10, slower: 1.0 };
    pub const SLOW: Self = Self { errors: 0.001, slower: 2.0 };
}

/// What telemetry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telemetry {
    /// The truth.
    Honest,
    /// No series at all.
    Empty,
    /// The source fails.
    Failing,
    /// Values that are no numbers.
    NotANumber,
    /// Counters below zero.
    Negative,
    /// The same values for ever.
    Frozen,
    /// Counters that start from zero at each read.
    Resetting,
    /// Of the new version nothing.
    OneSided,
    /// More bad events than events.
    Impossible,
}

impl Telemetry {
    pub const ALL: [Self; 9] = [
        Self::Honest,
        Self::Empty,
        Self::Failing,
        Self::NotANumber,
        Self::Negative,
        Self::Frozen,
        Self::Resetting,
        Self::OneSided,
        Self::Impossible,
    ];
}

/// What a synthetic check meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The version, with its share of errors.
    TheVersion,
    /// Whatever it asks, the new version fails for this reason.
    Failure(&'static str),
    /// Both versions fail for this reason.
    FailureOfBoth(&'static str),
    /// It can't be run, for this reason.
    Refusal(&'static str),
    /// No answer within its time.
    Silence,
}

/// One try of a synthetic check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    pub check: String,
    pub cohort: String,
    pub at: Timestamp,
    /// How many were under way, with this one.
    pub at_a_time: usize,
}

/// What the target does with the next acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says no, and has done nothing.
    Refuse(Failure),
    /// Has done it, and nobody hears of it.
    LoseReply,
}

/// One thing that was done to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// `CHG-7/2/1`.
    pub key: String,
    /// The new version's share, in basis points.
    pub weight: u16,
}

/// The world's state; all of it survives a crash of the engine, as a real world would.
#[derive(Debug)]
struct State {
    rng: StdRng,
    weight: u16,
    deeds: Vec<Deed>,
    faults: Vec<Fault>,
    undo_faults: Vec<Fault>,
    behaviour: Behaviour,
    telemetry: Telemetry,
    met: Met,
    tries: Vec<Try>,
    trying: usize,
    /// Requests a second over both versions.
    rate: f64,
    counters: BTreeMap<&'static str, Cohort>,
    unnamed: Vec<Unnamed>,
    lists: bool,
    /// A service downstream: whether it suffers, its requests and its failed ones.
    downstream: (bool, Cohort),
    /// Whether the telemetry remembers last week.
    remembers: bool,
    /// Apart from the rest, so that a world with more series has the same requests.
    jitter: StdRng,
    counted_at: Timestamp,
    pages: Vec<(ChangeId, String)>,
    alarms: Vec<String>,
    notices: Vec<(ChangeId, String)>,
    now: Timestamp,
    /// How far the wall clock was set, in milliseconds.
    clock_set: i64,
    plan_runs: u32,
    ready_takes: Span,
    rosters: BTreeMap<String, Result<Vec<Watch>, String>>,
    /// Since when which share of the whole service's requests fails, whatever the versions do.
    burns: Vec<(Timestamp, f64)>,
    observed: Vec<Instant>,
}

/// A series that no change file names.
#[derive(Clone, Debug)]
struct Unnamed {
    name: String,
    /// The new version has so many times as much of it.
    factor: f64,
    /// The running totals of a counter, of the old version and the new one.
    totals: [f64; 2],
}

#[derive(Clone, Debug, Default)]
struct Cohort {
    total: f64,
    bad: f64,
    buckets: [f64; EDGES.len() + 1],
}

/// A world to put an engine into.
#[derive(Clone, Debug)]
pub struct World {
    state: Arc<Mutex<State>>,
}

/// The first instant of every world: a Tuesday morning.
pub fn epoch() -> Timestamp {
    Timestamp::from_millisecond(1_790_672_400_000).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl World {
    pub fn new(seed: u64, behaviour: Behaviour) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            weight: 0,
            deeds: vec![],
            faults: vec![],
            undo_faults: vec![],
            behaviour,
            telemetry: Telemetry::Honest,
            met: Met::TheVersion,
            tries: vec![],
            trying: 0,
            rate: 500.0,
            counters: BTreeMap::new(),
            unnamed: vec![],
            lists: true,
            downstream: (false, Cohort::default()),
            remembers: true,
            jitter: StdRng::seed_from_u64(seed ^ 0xC1EA_25CA),
            // Visitors came before anybody looked.
            counted_at: Timestamp::from_second(epoch().as_second() - 60).unwrap_or_else(|_| epoch()),
            pages: vec![],
            alarms: vec![],
            notices: vec![],
            observed: vec![],
            now: epoch(),
            clock_set: 0,
            plan_runs: 0,
            ready_takes: Span::secs(0),
            rosters: BTreeMap::new(),
            burns: vec![(Timestamp::UNIX_EPOCH, 0.0)],
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_telemetry(&self, telemetry: Telemetry) {
        self.state().telemetry = telemetry;
    }

    /// How long the target takes to say that it is ready.
    pub fn set_ready_takes(&self, takes: Span) {
        self.state().ready_takes = takes;
    }

    /// From now on this share of the whole service's requests fails, as its budget counts them.
    pub fn set_burn(&self, share: f64) {
        let mut state = self.state();
        let now = state.now;
        state.burns.push((now, share));
    }

    /// What a source of rosters answers from now on.
    pub fn set_roster(&self, source: &str, answer: Result<Vec<Watch>, String>) {
        self.state().rosters.insert(source.to_owned(), answer);
    }

    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Sets the wall clock so far forward, or back. The clock of leases goes on as before.
    pub fn set_clock(&self, millis: i64) {
        self.state().clock_set += millis;
    }

    /// What synthetic checks meet from now on.
    pub fn set_met(&self, met: Met) {
        self.state().met = met;
    }

    /// Every try of a synthetic check, in order.
    pub fn tries(&self) -> Vec<Try> {
        self.state().tries.clone()
    }

    /// Exposes one more series, of which the new version has so many times as much. A name that ends in `_total` is a counter that follows the traffic.
    pub fn expose(&self, name: &str, factor: f64) {
        self.state().unnamed.push(Unnamed { name: name.to_owned(), factor, totals: [0.0; 2] });
    }

    /// From now on one of three requests to the service downstream fails.
    pub fn break_downstream(&self) {
        self.state().downstream.0 = true;
    }

    /// From now on the telemetry knows nothing of last week.
    pub fn forget(&self) {
        self.state().remembers = false;
    }

    /// From now on the telemetry can't list its series.
    pub fn expose_nothing(&self) {
        self.state().lists = false;
    }

    pub fn set_rate(&self, rate: f64) {
        self.state().rate = rate;
    }

    /// How many synthetic rollouts warn of a plan that can't decide, in engines that are started from now on; none by default.
    pub fn set_plan_runs(&self, runs: u32) {
        self.state().plan_runs = runs;
    }

    /// The faults of the next acts, in order.
    pub fn plan_faults(&self, faults: &[Fault], undo: &[Fault]) {
        let mut state = self.state();
        state.faults = faults.to_vec();
        state.undo_faults = undo.to_vec();
    }

    /// Everything that was done to the target, in order.
    pub fn deeds(&self) -> Vec<Deed> {
        self.state().deeds.clone()
    }

    /// The new version's share now, in basis points.
    pub fn weight(&self) -> u16 {
        self.state().weight
    }

    /// When its target was asked what is there now.
    pub fn observed(&self) -> Vec<Instant> {
        self.state().observed.clone()
    }

    /// What people were told in its own time.
    pub fn notices(&self) -> Vec<(ChangeId, String)> {
        self.state().notices.clone()
    }

    /// What people were paged about the server itself.
    pub fn alarms(&self) -> Vec<String> {
        self.state().alarms.clone()
    }

    /// What people were paged about changes.
    pub fn pages(&self) -> Vec<(ChangeId, String)> {
        self.state().pages.clone()
    }

    /// A number from 0 to `below`, from the world's own dice.
    pub fn roll(&self, below: u64) -> u64 {
        self.state().rng.random_range(0..below)
    }

    /// Starts an engine in this world, at the world's time. It lives as long as the runtime that it is started on.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn start(&self, store: Arc<dyn Store>, governance: Governance) -> anyhow::Result<Handle> {
        let clock = WorldClock { timers: TimerClock::starting_at(self.state().now), world: self.clone() };
        let in_force = InForce::new(governance)?;
        let drivers = BTreeMap::from([
            ("world".to_owned(), Arc::new(self.clone()) as Arc<dyn Driver>),
            ("pipeline".to_owned(), Arc::new(drivers::PipelineDriver) as Arc<dyn Driver>),
        ]);
        let settings = Settings {
            replica: format!("world-{}", self.roll(u64::MAX)),
            lease: Span::secs(2),
            plan_runs: self.state().plan_runs,
            ..Settings::default()
        };
        let parts = Parts {
            store,
            drivers,
            eyes: Arc::new(self.clone()),
            voice: Arc::new(self.clone()),
            rosters: Arc::new(self.clone()),
            clock: Arc::new(clock),
            scrub: Arc::new(drivers::read::secrets::Scrubber::default()),
            in_force,
            settings,
            build: "simulation".into(),
        };
        Ok(Handle::start(parts).await?)
    }
}

/// Wall time that goes on over crashes of the engine.
struct WorldClock {
    timers: TimerClock,
    world: World,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let now = self.timers.now();
        let mut state = self.world.state();
        state.now = state.now.max(now);
        let set = now.as_millisecond() + state.clock_set;
        Timestamp::from_millisecond(set).unwrap_or(now)
    }

    fn boot(&self) -> engine::ports::BootMillis {
        let since = time::between(epoch(), self.timers.now());
        engine::ports::BootMillis(since.as_millis())
    }
}

impl State {
    /// The bad events and all events of the whole service in a window up to `now`.
    fn burnt(&mut self, window: Span, now: Timestamp) -> (f64, f64) {
        let start = time::before(now, window);
        let mut bad = 0.0;
        for (i, (since, share)) in self.burns.iter().enumerate() {
            let until = self.burns.get(i + 1).map_or(now, |(at, _)| *at).min(now);
            let seconds = time::between((*since).max(start), until).as_millis() as f64 / 1_000.0;
            bad += seconds * self.rate * share;
        }
        (bad, window.as_millis() as f64 / 1_000.0 * self.rate)
    }

    /// Lets the traffic since the last count happen.
    fn count(&mut self) {
        let now = self.now;
        let seconds = time::between(self.counted_at, now).as_millis() as f64 / 1_000.0;
        self.counted_at = now;
        let share = f64::from(self.weight) / 10_000.0;
        for (name, share, behaviour) in [("old", 1.0 - share, Behaviour::GOOD), ("new", share, self.behaviour)] {
            let requests = (self.rate * share * seconds).round() as u64;
            let mut cohort = self.counters.get(name).cloned().unwrap_or_default();
            for _ in 0..requests.min(200_000) {
                let bad = self.rng.random_bool(behaviour.errors);
                // A sum of uniforms around 12 ms: wide enough for its tail to be seen, and cheap.
                let spread: f64 = (0..4).map(|_| self.rng.random_range(0.25..1.75)).product();
                let seconds = 0.012 * spread * behaviour.slower;
                cohort.total += 1.0;
                cohort.bad += f64::from(u8::from(bad));
                cohort.buckets[EDGES.iter().position(|e| seconds <= *e).unwrap_or(EDGES.len())] += 1.0;
            }
            self.counters.insert(name, cohort);
        }
        let (suffers, till) = &mut self.downstream;
        let served = (100.0 * seconds).round();
        till.total += served;
        till.bad += if *suffers { (served / 3.0).round() } else { 0.0 };
        for series in &mut self.unnamed {
            for (total, share) in series.totals.iter_mut().zip([1.0 - share, share * series.factor]) {
                *total += 40.0 * share * seconds * self.jitter.random_range(0.9..1.1);
            }
        }
    }

    /// All series of one version that no change file names.
    fn unnamed(&mut self, version: &str) -> Vec<Series> {
        let is_new = version == "new";
        let jitter = &mut self.jitter;
        let series = |of: &Unnamed| {
            let factor = if is_new { of.factor } else { 1.0 };
            let value = if of.name.ends_with("_total") {
                of.totals[usize::from(is_new)].floor()
            } else {
                60.0 * factor * jitter.random_range(0.9..1.1)
            };
            let labels = [("__name__", of.name.as_str()), ("version", version), ("instance", version)];
            Series { labels: labels.map(|(l, v)| (l.to_owned(), v.to_owned())).into(), value, at: None }
        };
        self.unnamed.iter().map(series).collect()
    }

    fn answer(&self, selector: &str) -> Vec<Series> {
        let name = if selector.contains("\"new\"") { "new" } else { "old" };
        let none = Cohort::default();
        let cohort = self.counters.get(name).unwrap_or(&none);
        let plain = |value: f64| vec![Series { labels: BTreeMap::new(), value, at: None }];
        let honest = match selector.split('{').next().unwrap_or_default() {
            "bad" => plain(cohort.bad),
            "all" => plain(cohort.total),
            "till_bad" => plain(self.downstream.1.bad),
            "till_all" => plain(self.downstream.1.total),
            _ => {
                let mut sum = 0.0;
                let edges = EDGES.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
                let bucket = |(edge, count): (String, &f64)| {
                    sum += count;
                    Series { labels: [("le".to_owned(), edge)].into(), value: sum, at: None }
                };
                edges.zip(&cohort.buckets).map(bucket).collect()
            }
        };
        let with = |change: &dyn Fn(f64) -> f64| {
            honest.iter().map(|s| Series { value: change(s.value), ..s.clone() }).collect()
        };
        match self.telemetry {
            Telemetry::Honest | Telemetry::Failing => honest,
            Telemetry::Empty => vec![],
            Telemetry::NotANumber => with(&|_| f64::NAN),
            Telemetry::Negative => with(&|v| -1.0 - v),
            Telemetry::Frozen => with(&|_| 1_000.0),
            Telemetry::Resetting => with(&|v| v % 7.0),
            Telemetry::OneSided if name == "new" => vec![],
            Telemetry::OneSided => honest,
            Telemetry::Impossible if selector.starts_with("bad") => with(&|v| v + 2.0 * cohort.total + 10.0),
            Telemetry::Impossible => honest,
        }
    }
}

#[async_trait]
impl Driver for World {
    fn name(&self) -> &'static str {
        "world"
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "properties": {"resource": {"type": "string"}}})
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        let resource = plan.target.text("resource").unwrap_or("world").to_owned();
        Ok(Claims {
            resources: [format!("world:{resource}")].into(),
            effect: Closure::Closed,
            hands: Default::default(),
        })
    }

    fn cohorts(&self, _: &Target) -> Cohorts {
        Cohorts { canary: "new".into(), stable: "old".into() }
    }

    async fn ready(&self, _: &Target) -> Result<(), Vec<String>> {
        let takes = self.state().ready_takes;
        tokio::time::sleep(std::time::Duration::from_millis(takes.as_millis())).await;
        Ok(())
    }

    async fn observe(&self, _: &Target) -> Result<Value, String> {
        let mut state = self.state();
        state.observed.push(Instant::now());
        Ok(json!({"weight": state.weight}))
    }

    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome {
        let weight = desired.weight.basis_points();
        let fault = self.step(act, weight);
        match fault {
            Some(Fault::Refuse(failure)) => Outcome::Failed { failure, error: "the world says no".into() },
            Some(Fault::LoseReply) => std::future::pending().await,
            None => Outcome::Applied { actual: json!({"weight": weight}) },
        }
    }

    async fn undo(&self, act: &Act, _: &Target, before: &Value) -> Outcome {
        let weight = before.get("weight").and_then(Value::as_u64).and_then(|w| u16::try_from(w).ok()).unwrap_or(0);
        let mut state = self.state();
        state.count();
        let fault = if state.undo_faults.is_empty() { None } else { Some(state.undo_faults.remove(0)) };
        if let Some(Fault::Refuse(failure)) = fault {
            return Outcome::Failed { failure, error: "the world won't go back".into() };
        }
        apply(&mut state, act, weight);
        Outcome::Applied { actual: json!({"weight": weight}) }
    }
}

impl World {
    /// Notes a try as begun.
    fn begin_try(&self, check: &SyntheticCheck, cohort: &str) -> Met {
        let mut state = self.state();
        state.trying += 1;
        let (at, at_a_time) = (state.now, state.trying);
        state.tries.push(Try { check: check.name.clone(), cohort: cohort.to_owned(), at, at_a_time });
        state.met
    }

    /// Does a step, unless the next fault says otherwise.
    fn step(&self, act: &Act, weight: u16) -> Option<Fault> {
        let mut state = self.state();
        state.count();
        let fault = if state.faults.is_empty() { None } else { Some(state.faults.remove(0)) };
        if !matches!(fault, Some(Fault::Refuse(_))) {
            apply(&mut state, act, weight);
        }
        fault
    }
}

/// Declared, so that twice is once: a key that was heard before changes nothing and is not recorded again.
fn apply(state: &mut State, act: &Act, weight: u16) {
    let key = act.key();
    if state.deeds.last().is_some_and(|d| d.key == key && d.weight == weight) {
        return;
    }
    state.weight = weight;
    state.deeds.push(Deed { key, weight });
}

#[async_trait]
impl Eyes for World {
    fn sources(&self) -> Vec<String> {
        vec!["world".into()]
    }

    async fn read(&self, _: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let mut state = self.state();
        state.count();
        if state.telemetry == Telemetry::Failing {
            return Err("the telemetry of the world is down".into());
        }
        let answer = |ask: &Ask| {
            let asked = ask.fill(&ask.query, DEFAULT_LABELS, glance.every, Language::Promql)?;
            Ok(Answer { series: state.answer(&asked), meaning: Meaning::Total, asked })
        };
        asks.iter().map(answer).collect()
    }

    /// Last week the old version served all the traffic, as it does now.
    async fn read_at(&self, _: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let mut state = self.state();
        state.count();
        if state.telemetry == Telemetry::Failing {
            return Err("the telemetry of the world is down".into());
        }
        if !state.remembers {
            return Err("the world keeps no history".into());
        }
        let now = state.counters.get("old").cloned().unwrap_or_default();
        let seconds = time::between(Timestamp::UNIX_EPOCH, glance.now).as_millis() as f64 / 1_000.0;
        let scale = state.rate * seconds / now.total.max(1.0);
        let scaled = |mut series: Series| {
            series.value = (series.value * scale).round();
            series
        };
        let answer = |ask: &Ask| {
            let asked = ask.fill(&ask.query, DEFAULT_LABELS, glance.every, Language::Promql)?;
            let series = state.answer(&asked).into_iter().map(scaled).collect();
            Ok(Answer { series, meaning: Meaning::Total, asked })
        };
        asks.iter().map(answer).collect()
    }

    async fn over(&self, _: &str, asks: &[Ask], window: Span, now: Timestamp) -> Result<Vec<Answer>, String> {
        let mut state = self.state();
        if state.telemetry == Telemetry::Failing {
            return Err("the telemetry of the world is down".into());
        }
        let (bad, all) = state.burnt(window, now);
        let answer = |ask: &Ask| {
            let value = if ask.query.starts_with("bad") { bad } else { all };
            Answer {
                asked: ask.query.clone(),
                meaning: Meaning::Window(window),
                series: vec![Series { labels: BTreeMap::new(), value, at: None }],
            }
        };
        Ok(asks.iter().map(answer).collect())
    }

    async fn series(&self, _: &str, matcher: &Ask, _: &Glance, most: usize) -> Result<Vec<Series>, String> {
        let mut state = self.state();
        state.count();
        if state.telemetry == Telemetry::Failing {
            return Err("the telemetry of the world is down".into());
        }
        if !state.lists {
            return Err("the world can't list its series".into());
        }
        let mut series = state.unnamed(matcher.cohort());
        series.truncate(most);
        Ok(series)
    }

    fn may_run_commands(&self) -> bool {
        false
    }

    async fn check(&self, _: &Act, command: &CheckCommand) -> Result<Option<String>, String> {
        Err(format!("the world runs no commands: {}", command.run))
    }

    async fn probe(&self, _: &Act, check: &SyntheticCheck, cohort: &str, limit: Span) -> Probed {
        let met = self.begin_try(check, cohort);
        let takes = if met == Met::Silence { limit } else { Span::millis(20) };
        tokio::time::sleep(std::time::Duration::from_millis(takes.as_millis())).await;
        let mut state = self.state();
        state.trying -= 1;
        let failed = |why: &str| Probed::Failed { why: why.to_owned() };
        match met {
            Met::Silence => failed(&format!("no answer within {limit}")),
            Met::Refusal(why) => Probed::NotRun { why: why.to_owned() },
            Met::FailureOfBoth(why) => failed(why),
            Met::Failure(why) if cohort == "new" => failed(why),
            Met::Failure(_) => Probed::Passed,
            Met::TheVersion => {
                let errors = if cohort == "new" { state.behaviour.errors } else { Behaviour::GOOD.errors };
                if state.rng.random_bool(errors) { failed("status 500 instead of 200-399") } else { Probed::Passed }
            }
        }
    }
}

#[async_trait]
impl Rosters for World {
    async fn turns(&self, source: &str, _: &TimeZone) -> Result<Vec<Watch>, String> {
        self.state().rosters.get(source).cloned().unwrap_or_else(|| Err(format!("`{source}` does not answer")))
    }
}

#[async_trait]
impl Voice for World {
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String> {
        let told = (change, message.reason.to_owned());
        match message.urgency {
            Urgency::Page => self.state().pages.push(told),
            Urgency::Notice => self.state().notices.push(told),
        }
        Ok("the world".into())
    }

    async fn alarm(&self, _: &str, reason: &str) -> Result<String, String> {
        self.state().alarms.push(reason.to_owned());
        Ok("the world".into())
    }
}

/// A change file for this world: `steps` of weight and bake, with its title and more lines at its end.
pub fn change_file(title: &str, steps: &[(&str, &str)], more: &str) -> String {
    let steps: Vec<String> = steps.iter().map(|(weight, bake)| format!("{{weight: {weight}, bake: {bake}}}")).collect();
    format!(
        "title: {title}
kind: config
owner: ada
services: [shop]
environment: production
artifact: shop@sha256:{title}
plan:
  strategy: canary
  target: {{driver: world, resource: shop}}
  steps: [{}]
verify:
  slis:
    - {{name: errors, source: world, ratio: {{bad: 'bad{{v=\"$cohort\"}}', total: 'all{{v=\"$cohort\"}}'}}, objective: 99%}}
    - {{name: latency, source: world, latency: {{histogram: 'seconds{{v=\"$cohort\"}}', below: 100ms}}, objective: 95%}}
  every: 1s
  watch: 10s
rollback: {{automatic: true, runbook: docs/back.md}}
{more}",
        steps.join(", ")
    )
}

/// A governance with three users: `ada` proposes and may do all, `bob` and `eve` approve; and who has to approve, as a rule list in YAML.
///
/// # Panics
/// If the rules are no valid approval matrix.
pub fn governance(rules: &str) -> Governance {
    governed(rules, &[])
}

/// The same with a service that depends on the one that changes, and is watched too.
///
/// # Panics
/// If the rules are no valid approval matrix.
pub fn governance_with_downstream(rules: &str) -> Governance {
    let till = "name: till\nowner: sre\ntier: 2\ndepends_on: [shop]\nslis: [till-errors]\n";
    governed(rules, &[("services/till.yaml", till), ("slis.yaml", TILL)])
}

/// The same with more files of the governance directory, each with its path.
///
/// # Panics
/// If they are no valid governance.
pub fn governed(rules: &str, more: &[(&str, &str)]) -> Governance {
    let access = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: eve, roles: [{role: reader}]}
groups: [{id: sre, members: [ada, bob]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, rollback, promote, read]}
  - {id: reader, may: [read]}
";
    let files = [
        ("access.yaml", access),
        ("approvals.yaml", rules),
        ("services/shop.yaml", "name: shop\nowner: sre\ntier: 3\n"),
    ];
    let files = files.iter().chain(more).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Governance::read(&files).unwrap_or_else(|problems| panic!("the governance of a test is valid: {problems:?}"))
}

/// The SLI of a service that depends on the one that changes.
const TILL: &str = "
slis:
  - {name: till-errors, source: world, ratio: {bad: 'till_bad{v=\"$cohort\"}', total: 'till_all{v=\"$cohort\"}'}, objective: 99%}
";

/// Rules by which nobody has to approve anything.
pub const NOBODY: &str = "rules: [{require: []}]";
/// Rules by which one of the group `sre` has to approve everything.
pub const ONE_OF_SRE: &str = "rules: [{require: [{by: sre, count: 1, within: 4h}]}]";

/// The user `ada`, who proposes.
pub fn ada() -> Actor {
    Actor::User("ada".into())
}

/// The user `bob`, who approves.
pub fn bob() -> Actor {
    Actor::User("bob".into())
}

/// A whole share, for comparisons.
pub const ALL_TRAFFIC: u16 = Weight::FULL.basis_points();
