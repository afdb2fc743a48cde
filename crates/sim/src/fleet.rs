//! A fleet: many targets, each with a version of its own and telemetry of its own, for the real engine on a real store.
//!
//! Like the [world](crate::world), but for stories of several changes at once. Its traffic is not drawn: how long a test plays decides what it counts.
//! The fleet keeps its own record of what was done to each target; checkers read that and the log. Its wall clock may jump, and several replicas of the
//! engine may live in it at once, each with a clock that is behind by so much; what is hard about it comes from a [storm](crate::storm).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use change::governance::Governance;
use change::proposal::{Claims, Closure};
use change::query::{DEFAULT_LABELS, Language};
use change::rollout::{Desired, Failure, Plan, Target};
use change::verification::CheckCommand;
use change::{ChangeId, Span, Timestamp, time};
use engine::clock::TimerClock;
use engine::handle::Parts;
use engine::ports::{
    Act, Answer, Ask, BootMillis, Clock, Cohorts, Driver, Eyes, Glance, Meaning, Message, Outcome, Scrub, Series,
    Store, Voice,
};
use engine::{Handle, InForce, Settings};
use serde_json::{Value, json};

use crate::world::epoch;

/// Requests a second on each target.
const RATE: f64 = 500.0;

/// One thing that was done to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetDeed {
    pub change: ChangeId,
    pub target: String,
    /// The new version's share, in basis points.
    pub weight: u16,
    pub at: Timestamp,
}

/// One call of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetCall {
    pub change: ChangeId,
    pub target: String,
    /// `CHG-7/2/1`, or `CHG-7/undo/1`.
    pub key: String,
    /// Whose driver was called.
    pub replica: String,
    /// By the time that no clock shows: it never jumps.
    pub at: Timestamp,
    /// Nothing while it is under way, or was cut off.
    pub ended: Option<Timestamp>,
    /// Whether it did something: a key that was heard before does nothing.
    pub is_effect: bool,
}

impl FleetCall {
    pub fn is_undo(&self) -> bool {
        self.key.contains("/undo/")
    }
}

/// How a call of a driver ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Willing,
    /// Says no, and has done nothing.
    Refusing,
    /// Has done it, and nobody hears of it.
    Silent,
}

/// How the drivers are: asked of each call, with its key and how often that key was heard before, it says how long it takes and how it ends.
pub type Moods = Arc<dyn Fn(&str, usize) -> (Span, Mood) + Send + Sync>;

/// One engine of several over one store.
#[allow(missing_debug_implementations)]
pub struct Replica {
    pub name: String,
    /// How far its wall clock is behind.
    pub behind: Span,
    pub settings: Settings,
    pub scrub: Arc<dyn Scrub>,
}

struct State {
    began: Timestamp,
    now: Timestamp,
    /// The timers of the runtime that plays now.
    timers: Option<TimerClock>,
    /// How far the wall clocks were set, in milliseconds.
    clock_set: i64,
    moods: Option<Moods>,
    calls: Vec<FleetCall>,
    heard: BTreeSet<String>,
    /// Whether each call has an effect, whatever was heard before: a driver that is broken.
    is_forgetful: bool,
    /// Whether each change claims a lane of its own: a driver that is broken.
    claims_apart: bool,
    /// Since when which share of all requests fails, as budgets count them.
    burns: Vec<(Timestamp, f64)>,
    weights: BTreeMap<String, u16>,
    /// Requests and failed requests, by target and version.
    counters: BTreeMap<(String, &'static str), (f64, f64)>,
    counted_at: Timestamp,
    /// The targets whose new version fails, and those that can't go back.
    failing: BTreeSet<String>,
    one_way: BTreeSet<String>,
    deeds: Vec<FleetDeed>,
    told: Vec<(ChangeId, String)>,
    starts: u64,
}

/// Many targets to put an engine into.
#[derive(Clone)]
pub struct Fleet {
    state: Arc<Mutex<State>>,
    /// Whose hands and eyes it is.
    replica: String,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self::at(epoch())
    }
}

impl Fleet {
    /// A fleet whose first instant is this one.
    pub fn at(began: Timestamp) -> Self {
        let state = State {
            began,
            now: began,
            timers: None,
            clock_set: 0,
            moods: None,
            calls: vec![],
            heard: BTreeSet::new(),
            is_forgetful: false,
            claims_apart: false,
            burns: vec![(Timestamp::UNIX_EPOCH, 0.0)],
            weights: BTreeMap::new(),
            counters: BTreeMap::new(),
            counted_at: began,
            failing: BTreeSet::new(),
            one_way: BTreeSet::new(),
            deeds: vec![],
            told: vec![],
            starts: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), replica: "fleet".into() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the new version on this target fails one of three requests.
    pub fn break_on(&self, target: &str) {
        self.state().failing.insert(target.to_owned());
    }

    /// From now on this target can't go back.
    pub fn block(&self, target: &str) {
        self.state().one_way.insert(target.to_owned());
    }

    /// The new version's share on a target, in basis points.
    pub fn weight(&self, target: &str) -> u16 {
        self.state().weights.get(target).copied().unwrap_or(0)
    }

    /// Everything that was done, in order.
    pub fn deeds(&self) -> Vec<FleetDeed> {
        self.state().deeds.clone()
    }

    /// What people were told.
    pub fn told(&self) -> Vec<String> {
        self.state().told.iter().map(|(change, what)| format!("{change}: {what}")).collect()
    }

    /// What this target's new version does wrong is mended.
    pub fn mend(&self, target: &str) {
        self.state().failing.remove(target);
    }

    /// How the drivers are from now on.
    pub fn set_moods(&self, moods: Option<Moods>) {
        self.state().moods = moods;
    }

    /// From now on each call of a driver has an effect, also one that was heard before.
    pub fn forget_keys(&self) {
        self.state().is_forgetful = true;
    }

    /// From now on changes of one target claim lanes of their own.
    pub fn claim_apart(&self) {
        self.state().claims_apart = true;
    }

    /// Sets all wall clocks so far forward, or back. The clock of leases goes on as before.
    pub fn set_clock(&self, millis: i64) {
        self.state().clock_set += millis;
    }

    /// From now on this share of all requests fails, as budgets count them.
    pub fn set_burn(&self, share: f64) {
        let now = self.now();
        self.state().burns.push((now, share));
    }

    /// Every call of a driver, in order.
    pub fn calls(&self) -> Vec<FleetCall> {
        self.state().calls.clone()
    }

    /// The time that no clock shows.
    pub fn now(&self) -> Timestamp {
        self.state().time()
    }

    /// The time that the wall clock of a replica shows that is behind by so much.
    pub fn wall(&self, behind: Span) -> Timestamp {
        let mut state = self.state();
        let millis = state.time().as_millisecond() + state.clock_set;
        time::before(Timestamp::from_millisecond(millis).unwrap_or(state.now), behind)
    }

    /// Ends a life of the fleet, on the runtime on which it was lived.
    pub fn rest(&self) {
        let mut state = self.state();
        state.time();
        state.timers = None;
    }

    /// Begins another life of the fleet, on the runtime that this is called on: the engines of the one before are gone.
    pub fn live(&self) {
        let mut state = self.state();
        state.timers = Some(TimerClock::starting_at(state.now));
    }

    /// Starts an engine in this fleet, at its time. It lives as long as the runtime that it is started on.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn start(&self, store: Arc<dyn Store>, governance: Governance) -> anyhow::Result<Handle> {
        self.live();
        let number = {
            let mut state = self.state();
            state.starts += 1;
            state.starts
        };
        let settings =
            Settings { lease: Span::secs(2), plan_runs: 0, elsewhere_every: Span::secs(60), ..Settings::default() };
        let scrub = Arc::new(drivers::read::secrets::Scrubber::default());
        let replica = Replica { name: format!("fleet-{number}"), behind: Span::ZERO, settings, scrub };
        self.start_replica(store, InForce::new(governance)?, replica).await
    }

    /// Starts one more engine in the life that plays now.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn start_replica(
        &self,
        store: Arc<dyn Store>,
        in_force: InForce,
        replica: Replica,
    ) -> anyhow::Result<Handle> {
        let own = Self { state: self.state.clone(), replica: replica.name.clone() };
        let parts = Parts {
            store,
            drivers: BTreeMap::from([
                ("fleet".to_owned(), Arc::new(own.clone()) as Arc<dyn Driver>),
                ("pipeline".to_owned(), Arc::new(drivers::PipelineDriver) as Arc<dyn Driver>),
            ]),
            eyes: Arc::new(own.clone()),
            voice: Arc::new(own.clone()),
            clock: Arc::new(FleetClock { fleet: own, behind: replica.behind }),
            scrub: replica.scrub,
            rosters: Arc::new(engine::ports::NoRosters),
            in_force,
            settings: Settings { replica: replica.name, ..replica.settings },
            build: "simulation".into(),
        };
        Ok(Handle::start(parts).await?)
    }
}

/// Wall time that goes on over crashes of the engine.
struct FleetClock {
    fleet: Fleet,
    behind: Span,
}

impl Clock for FleetClock {
    fn now(&self) -> Timestamp {
        self.fleet.wall(self.behind)
    }

    fn boot(&self) -> BootMillis {
        let mut state = self.fleet.state();
        let now = state.time();
        BootMillis(time::between(state.began, now).as_millis())
    }
}

impl State {
    fn time(&mut self) -> Timestamp {
        self.now = self.timers.map_or(self.now, |timers| self.now.max(timers.now()));
        self.now
    }

    /// The bad events and all events of everything in a window up to `until`.
    fn burnt(&self, window: Span, until: Timestamp) -> (f64, f64) {
        let start = time::before(until, window);
        let mut bad = 0.0;
        for (i, (since, share)) in self.burns.iter().enumerate() {
            let over = self.burns.get(i + 1).map_or(until, |(at, _)| *at).min(until);
            bad += time::between((*since).max(start), over).as_millis() as f64 / 1_000.0 * RATE * share;
        }
        (bad, window.as_millis() as f64 / 1_000.0 * RATE)
    }

    /// Lets the traffic since the last count happen on every target that was ever touched.
    fn count(&mut self) {
        self.time();
        let seconds = time::between(self.counted_at, self.now).as_millis() as f64 / 1_000.0;
        self.counted_at = self.now;
        for (target, weight) in &self.weights {
            let share = f64::from(*weight) / 10_000.0;
            let errors = if self.failing.contains(target) { 0.33 } else { 0.001 };
            for (version, share, errors) in [("old", 1.0 - share, 0.001), ("new", share, errors)] {
                let (all, bad) = self.counters.entry((target.clone(), version)).or_default();
                *all += RATE * share * seconds;
                *bad += RATE * share * seconds * errors;
            }
        }
    }

    fn answer(&self, selector: &str) -> Vec<Series> {
        let label = |name: &str| {
            let (_, rest) = selector.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let version = if label("v").as_deref() == Some("new") { "new" } else { "old" };
        let key = (label("target").unwrap_or_default(), version);
        let (all, bad) = self.counters.get(&key).copied().unwrap_or_default();
        let value = if selector.starts_with("bad") { bad } else { all };
        vec![Series { labels: BTreeMap::new(), value: value.floor(), at: None }]
    }
}

fn name_of(target: &Target) -> String {
    target.text("name").unwrap_or("one").to_owned()
}

#[async_trait]
impl Driver for Fleet {
    fn name(&self) -> &'static str {
        "fleet"
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "properties": {"name": {"type": "string"}, "of": {"type": "string"}}})
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        let apart = if self.state().claims_apart {
            format!(":{}", plan.target.text("of").unwrap_or(""))
        } else {
            String::new()
        };
        let resources = [format!("fleet:{}{apart}", name_of(&plan.target))].into();
        Ok(Claims { resources, effect: Closure::Closed, hands: Default::default() })
    }

    fn cohorts(&self, _: &Target) -> Cohorts {
        Cohorts { canary: "new".into(), stable: "old".into() }
    }

    async fn ready(&self, _: &Target) -> Result<(), Vec<String>> {
        Ok(())
    }

    async fn observe(&self, target: &Target) -> Result<Value, String> {
        let mut state = self.state();
        state.count();
        Ok(json!({"weight": state.weights.entry(name_of(target)).or_default()}))
    }

    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome {
        let weight = desired.weight.basis_points();
        match self.act(act, name_of(&desired.target), weight).await {
            Some(refused) => refused,
            None => Outcome::Applied { actual: json!({"weight": weight}) },
        }
    }

    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome {
        if self.state().one_way.contains(&name_of(target)) {
            return Outcome::Failed { failure: Failure::Final, error: "the way back is blocked".into() };
        }
        let weight = before["weight"].as_u64().and_then(|weight| u16::try_from(weight).ok()).unwrap_or(0);
        match self.act(act, name_of(target), weight).await {
            Some(refused) => refused,
            None => Outcome::Applied { actual: json!({"weight": weight}) },
        }
    }
}

impl Fleet {
    /// Does what is asked, in the mood of the drivers. The answer is another than yes, or never comes, where the mood says so.
    async fn act(&self, act: &Act, target: String, weight: u16) -> Option<Outcome> {
        let (number, takes, mood) = self.begin_call(act, &target);
        if takes > Span::ZERO {
            tokio::time::sleep(std::time::Duration::from_millis(takes.as_millis())).await;
        }
        if mood == Mood::Refusing {
            self.end_call(number, false);
            return Some(Outcome::Failed { failure: Failure::Retry, error: "the target says no".into() });
        }
        let is_effect = {
            let mut state = self.state();
            state.heard.insert(act.key()) || state.is_forgetful
        };
        if is_effect {
            self.set(act.change, target, weight);
        }
        self.end_call(number, is_effect);
        if mood == Mood::Silent {
            std::future::pending::<()>().await;
        }
        None
    }

    fn begin_call(&self, act: &Act, target: &str) -> (usize, Span, Mood) {
        let mut state = self.state();
        let (key, at) = (act.key(), state.time());
        let before = state.calls.iter().filter(|call| call.key == key).count();
        let (takes, mood) = state.moods.as_ref().map_or((Span::ZERO, Mood::Willing), |moods| moods(&key, before));
        // Who says that nothing has happened must not lie.
        let mood = if mood == Mood::Refusing && state.heard.contains(&key) { Mood::Willing } else { mood };
        let (change, target, replica) = (act.change, target.to_owned(), self.replica.clone());
        state.calls.push(FleetCall { change, target, key, replica, at, ended: None, is_effect: false });
        (state.calls.len() - 1, takes, mood)
    }

    fn end_call(&self, number: usize, is_effect: bool) {
        let mut state = self.state();
        let at = state.time();
        let call = &mut state.calls[number];
        (call.ended, call.is_effect) = (Some(at), is_effect);
    }

    fn set(&self, change: ChangeId, target: String, weight: u16) {
        let mut state = self.state();
        state.count();
        let at = state.now;
        if state.weights.insert(target.clone(), weight) != Some(weight) {
            state.deeds.push(FleetDeed { change, target, weight, at });
        }
    }
}

#[async_trait]
impl Eyes for Fleet {
    fn sources(&self) -> Vec<String> {
        vec!["fleet".into()]
    }

    async fn read(&self, _: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let mut state = self.state();
        state.count();
        let answer = |ask: &Ask| {
            let asked = ask.fill(&ask.query, DEFAULT_LABELS, glance.every, Language::Promql)?;
            Ok(Answer { series: state.answer(&asked), meaning: Meaning::Total, asked })
        };
        asks.iter().map(answer).collect()
    }

    async fn over(&self, _: &str, asks: &[Ask], window: Span, now: Timestamp) -> Result<Vec<Answer>, String> {
        let (bad, all) = self.state().burnt(window, now);
        let answer = |ask: &Ask| {
            let value = if ask.query.starts_with("bad") { bad } else { all };
            let series = vec![Series { labels: BTreeMap::new(), value, at: None }];
            Answer { asked: ask.query.clone(), meaning: Meaning::Window(window), series }
        };
        Ok(asks.iter().map(answer).collect())
    }

    fn may_run_commands(&self) -> bool {
        false
    }

    async fn check(&self, _: &Act, command: &CheckCommand) -> Result<Option<String>, String> {
        Err(format!("the fleet runs no commands: {}", command.run))
    }
}

#[async_trait]
impl Voice for Fleet {
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String> {
        self.state().told.push((change, message.reason.to_owned()));
        Ok("the fleet".into())
    }
}

/// A change file for one target of a fleet: a quarter of its traffic, then all.
pub fn member_file(target: &str) -> String {
    format!(
        "title: Roll {target}
kind: config
owner: ada
services: [shop]
environment: production
artifact: shop@sha256:{target}
plan:
  strategy: canary
  target: {{driver: fleet, name: {target}}}
  steps: [{{weight: 25%, bake: 30s}}, {{weight: 100%, bake: 30s}}]
verify:
  slis:
    - {{name: errors, source: fleet, ratio: {{bad: 'bad{{target=\"{target}\",v=\"$cohort\"}}', total: 'all{{target=\"{target}\",v=\"$cohort\"}}'}}, objective: 99%}}
  every: 1s
  watch: 10s
rollback: {{automatic: true, runbook: docs/back.md}}
"
    )
}
