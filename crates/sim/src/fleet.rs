//! A fleet: many targets, each with a version of its own and telemetry of its own, for the real engine on a real store.
//!
//! Like the [world](crate::world), but for stories of several changes at once. Nothing in it is drawn: how long a test plays decides what it counts.
//! The fleet keeps its own record of what was done to each target; checkers read that and the log.

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
    Act, Answer, Ask, BootMillis, Clock, Cohorts, Driver, Eyes, Glance, Meaning, Message, Outcome, Series, Store, Voice,
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

#[derive(Debug)]
struct State {
    now: Timestamp,
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
#[derive(Clone, Debug)]
pub struct Fleet {
    state: Arc<Mutex<State>>,
}

impl Default for Fleet {
    fn default() -> Self {
        let state = State {
            now: epoch(),
            weights: BTreeMap::new(),
            counters: BTreeMap::new(),
            counted_at: epoch(),
            failing: BTreeSet::new(),
            one_way: BTreeSet::new(),
            deeds: vec![],
            told: vec![],
            starts: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Fleet {
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

    /// Starts an engine in this fleet, at its time. It lives as long as the runtime that it is started on.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn start(&self, store: Arc<dyn Store>, governance: Governance) -> anyhow::Result<Handle> {
        let (now, number) = {
            let mut state = self.state();
            state.starts += 1;
            (state.now, state.starts)
        };
        let settings =
            Settings { replica: format!("fleet-{number}"), lease: Span::secs(2), plan_runs: 0, ..Settings::default() };
        let parts = Parts {
            store,
            drivers: BTreeMap::from([("fleet".to_owned(), Arc::new(self.clone()) as Arc<dyn Driver>)]),
            eyes: Arc::new(self.clone()),
            voice: Arc::new(self.clone()),
            clock: Arc::new(FleetClock { timers: TimerClock::starting_at(now), fleet: self.clone() }),
            scrub: Arc::new(drivers::read::secrets::Scrubber::default()),
            rosters: Arc::new(engine::ports::NoRosters),
            in_force: InForce::new(governance)?,
            settings,
            build: "simulation".into(),
        };
        Ok(Handle::start(parts).await?)
    }
}

/// Wall time that goes on over crashes of the engine.
struct FleetClock {
    timers: TimerClock,
    fleet: Fleet,
}

impl Clock for FleetClock {
    fn now(&self) -> Timestamp {
        let now = self.timers.now();
        let mut state = self.fleet.state();
        state.now = state.now.max(now);
        now
    }

    fn boot(&self) -> BootMillis {
        BootMillis(time::between(epoch(), self.now()).as_millis())
    }
}

impl State {
    /// Lets the traffic since the last count happen on every target that was ever touched.
    fn count(&mut self) {
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
        json!({"type": "object", "properties": {"name": {"type": "string"}}})
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        let resources = [format!("fleet:{}", name_of(&plan.target))].into();
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
        self.set(act.change, name_of(&desired.target), weight);
        Outcome::Applied { actual: json!({"weight": weight}) }
    }

    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome {
        if self.state().one_way.contains(&name_of(target)) {
            return Outcome::Failed { failure: Failure::Final, error: "the way back is blocked".into() };
        }
        let weight = before["weight"].as_u64().and_then(|weight| u16::try_from(weight).ok()).unwrap_or(0);
        self.set(act.change, name_of(target), weight);
        Outcome::Applied { actual: json!({"weight": weight}) }
    }
}

impl Fleet {
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
