//! Planning: what will a rollout be able to see, at the present traffic of the stable version?
//!
//! Reads what the stable version does now (the last half hour where the source keeps history, two readings some seconds apart elsewhere) and asks the
//! judge's own exposure plan. Nothing is decided and nothing is written: a plan is a forecast, never evidence. The same forecast warns beside the
//! readiness gate; it never closes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use change::document::Problem;
use change::proposal::{Files, Proposal};
use change::rollout::{StepFile, Weight};
use change::{Change, Digest, Span, Timestamp, time};
use judge::plan::{self, Decision, ExposurePlan, PlannedStep, Present, Question};
use judge::{Counts, Reading, SliKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::{Engine, Handle};
use crate::look::{self, Counters, Stood};
use crate::ports::{Cohorts, Glance};
use crate::slis;

/// How far back telemetry is read.
const PAST: Span = Span::secs(1_800);
/// In so many parts: of queries that answer with a window each part shows one look.
const PARTS: u64 = 6;
/// Between two readings where no history is kept.
const LEAST_PAUSE: Span = Span::secs(5);
const MOST_PAUSE: Span = Span::secs(12);
/// The most runs that a caller may ask for.
pub const MOST_RUNS: u32 = 400;
/// The most warnings of one change, and of how many changes they are kept.
const MOST_WARNINGS: usize = 3;
const MOST_KEPT: usize = 200;
/// Forecasts that may wait for their turn.
const MOST_UNDERWAY: usize = 32;
/// Latencies of a what-if: a median, and edges four to an octave.
const ASSUMED_MEDIAN_MS: f64 = 100.0;
const ASSUMED_SHAPE: f64 = 2.8;

/// How a plan is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Synthetic rollouts; the more, the finer. 60 by default.
    pub runs: u32,
    /// Whether steps that decide are looked for too.
    pub suggest: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { runs: plan::RUNS, suggest: false }
    }
}

/// Traffic that is supposed, in place of what telemetry shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    pub requests_per_second: f64,
    /// 0 to 1.
    pub bad_share: f64,
}

/// What a rollout will be able to see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    pub plan: ExposurePlan,
    /// What the steps of the plan are called, the watch last.
    pub names: Vec<String>,
    /// What the plan rests on, SLI by SLI.
    pub present: Vec<SliPresent>,
    pub suggestion: Option<Suggested>,
    /// What was supposed where telemetry did not tell.
    pub notes: Vec<String>,
}

/// What is known of one SLI of the stable version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliPresent {
    pub sli: String,
    /// Absent for gauges and checks.
    pub requests_per_second: Option<f64>,
    /// 0 to 1, for ratios.
    pub bad_share: Option<f64>,
}

/// Steps that decide, near those that were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suggested {
    /// For `plan.steps` of the change file.
    pub steps: Vec<StepFile>,
    /// What they foretell, without the watch.
    pub plan: ExposurePlan,
    /// Whether they differ from what is written.
    pub is_other: bool,
    /// What could not be helped: a sentence each.
    pub unmet: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the change file has {} problem{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Invalid(Vec<Problem>),
    #[error("this server has no driver `{0}`, so it does not know how the stable version is named in telemetry")]
    NoDriver(String),
    #[error("no plan can be made: {0}")]
    Question(#[from] plan::PlanError),
    /// Nothing could be read, which is another thing than no traffic.
    #[error("no plan can be made from telemetry that can't be read: {0}")]
    Unread(String),
    #[error("the plan broke off; ask again")]
    BrokeOff,
}

impl Handle {
    /// The plan of a change file, from present telemetry.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn plan(&self, text: &str, files: &Files, asked: Asked) -> Result<Forecast, PlanError> {
        let proposal = self.check(text, files).map_err(PlanError::Invalid)?;
        self.engine.forecast(&proposal, asked).await
    }

    /// The plan of a change as it stands, from present telemetry.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn plan_of(&self, change: &Change, asked: Asked) -> Result<Forecast, PlanError> {
        self.engine.forecast(&change.proposal, asked).await
    }
}

impl Engine {
    async fn forecast(&self, proposal: &Proposal, asked: Asked) -> Result<Forecast, PlanError> {
        let target = &proposal.plan.target;
        let driver = self.drivers.get(&target.driver).ok_or_else(|| PlanError::NoDriver(target.driver.clone()))?;
        let stable = self.stable(proposal, &driver.cohorts(target)).await;
        stable.is_read()?;
        let proposal = proposal.clone();
        let made = tokio::task::spawn_blocking(move || foretell(&proposal, &stable, asked));
        made.await.map_err(|_| PlanError::BrokeOff)?
    }

    /// What the stable version does now.
    async fn stable(&self, proposal: &Proposal, cohorts: &Cohorts) -> Stable {
        let every = proposal.verify.every;
        let (now, mut stable) = (time::to_millis(self.clock.now()), Stable::default());
        let (mut counters, mut last) = (Counters::new(), None);
        for part in (0..=PARTS).rev() {
            let at = before(now, Span::millis(PAST.as_millis() / PARTS * part));
            let glance = Glance { now: at, every };
            let Ok(stood) = look::stood_at(proposal, cohorts, &*self.eyes, glance, &counters).await else { break };
            last = stable.take(&stood, last, at, every);
            counters = stood.counters;
        }
        if !stable.has_counted() {
            stable = self.stable_by_two_readings(proposal, cohorts).await;
        }
        stable
    }

    async fn stable_by_two_readings(&self, proposal: &Proposal, cohorts: &Cohorts) -> Stable {
        let every = proposal.verify.every;
        let pause = every.times(2).max(LEAST_PAUSE).min(MOST_PAUSE);
        let (mut stable, mut counters, mut last) = (Stable::default(), Counters::new(), None);
        for reading in 0..2 {
            if reading > 0 {
                tokio::time::sleep(Duration::from_millis(pause.as_millis())).await;
            }
            let now = time::to_millis(self.clock.now());
            let stood = look::stood(proposal, cohorts, &*self.eyes, Glance { now, every }, &counters).await;
            last = stable.take(&stood, last, now, every);
            counters = stood.counters;
        }
        stable
    }

    /// Foretells a change in the background, once for each effect, for the warnings beside its readiness.
    pub(crate) fn foretell_soon(self: &Arc<Self>, change: &Change) {
        let effect = change.proposal.effect_digest;
        let runs = self.settings.plan_runs;
        if runs == 0 || change.proposal.verify.slis.is_empty() || !self.forecasts.begin(effect) {
            return;
        }
        let (engine, proposal, id) = (self.clone(), change.proposal.clone(), change.id);
        tokio::spawn(async move {
            // one at a time: forecasts never take more than one processor from what is under way
            let Ok(_permit) = engine.forecasts.turn.acquire().await else { return };
            match engine.forecast(&proposal, Asked { runs, suggest: false }).await {
                Ok(forecast) => engine.forecasts.keep(effect, warnings(&forecast)),
                Err(error) => {
                    tracing::warn!(change = %id, %error, "the exposure plan could not be made");
                    engine.forecasts.give_up(effect);
                }
            }
        });
    }
}

fn before(at: Timestamp, span: Span) -> Timestamp {
    let millis = at.as_millisecond().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MIN)
}

/// What was counted of the stable version, and over how many looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stable {
    counts: BTreeMap<String, (Counts, f64)>,
    edges_ms: BTreeMap<String, Vec<f64>>,
    /// The SLIs whose source did not answer when it was asked last, and why.
    unread: BTreeMap<String, String>,
}

impl Stable {
    fn is_read(&self) -> Result<(), PlanError> {
        let nothing = self.counts.is_empty() && !self.unread.is_empty();
        let mut why: Vec<&str> = self.unread.values().map(String::as_str).collect();
        why.dedup();
        if nothing { Err(PlanError::Unread(why.join("; "))) } else { Ok(()) }
    }

    fn has_counted(&self) -> bool {
        self.counts.values().any(|(counts, _)| !matches!(counts, Counts::Gauge { .. }))
    }

    /// Takes a reading in; answers when it was.
    fn take(&mut self, stood: &Stood, last: Option<Timestamp>, at: Timestamp, every: Span) -> Option<Timestamp> {
        let looks_between =
            last.map_or(0.0, |last| time::between(last, at).as_millis() as f64 / every.as_millis() as f64);
        for seen in &stood.seen {
            match &seen.reading {
                Reading::Unreachable { why } => drop(self.unread.insert(seen.sli.clone(), why.clone())),
                Reading::Seen { .. } => drop(self.unread.remove(&seen.sli)),
                Reading::NotDue => {}
            }
            let Reading::Seen { baseline: Some(counts), .. } = &seen.reading else { continue };
            // what was counted in a window is one look, whenever the window before was read
            let looks = if stood.windows.contains(&seen.sli) { 1.0 } else { looks_between };
            if let Some(edges) = &seen.edges_ms {
                self.edges_ms.entry(seen.sli.clone()).or_insert_with(|| edges.clone());
            }
            let sum = match self.counts.remove(&seen.sli) {
                Some((known, over)) => sum(known, counts).map(|sum| (sum, over + looks)),
                None => Some((counts.clone(), looks)),
            };
            self.counts.extend(sum.map(|sum| (seen.sli.clone(), sum)));
        }
        Some(at)
    }

    fn of_what_if(proposal: &Proposal, what_if: WhatIf) -> Self {
        let looks = 1e6;
        let requests = what_if.requests_per_second * proposal.verify.every.as_millis() as f64 / 1e3 * looks;
        let mut stable = Stable::default();
        for sli in &proposal.verify.slis {
            let counts = if sli.latency.is_some() {
                let edges_ms: Vec<f64> = (0..=32).map(|i| 10.0 * 2f64.powf(f64::from(i) / 4.0)).collect();
                let buckets = assumed_buckets(&edges_ms, requests);
                stable.edges_ms.insert(sli.name.clone(), edges_ms);
                Counts::Latency { buckets }
            } else if sli.ratio.is_some() {
                Counts::Ratio { total: requests as u64, bad: (requests * what_if.bad_share) as u64 }
            } else {
                continue;
            };
            stable.counts.insert(sli.name.clone(), (counts, looks));
        }
        stable
    }
}

/// Log-logistic: a body and a tail like those of services.
fn assumed_buckets(edges_ms: &[f64], requests: f64) -> Vec<u64> {
    let above = |ms: &f64| 1.0 / (1.0 + (ms / ASSUMED_MEDIAN_MS).powf(ASSUMED_SHAPE));
    let upper = [1.0].into_iter().chain(edges_ms.iter().map(above));
    let lower = edges_ms.iter().map(above).chain([0.0]);
    upper.zip(lower).map(|(upper, lower)| (requests * (upper - lower)) as u64).collect()
}

fn sum(known: Counts, new: &Counts) -> Option<Counts> {
    match (known, new) {
        (Counts::Ratio { total, bad }, Counts::Ratio { total: more, bad: worse }) => {
            Some(Counts::Ratio { total: total.saturating_add(*more), bad: bad.saturating_add(*worse) })
        }
        (Counts::Latency { buckets }, Counts::Latency { buckets: more }) if buckets.len() == more.len() => {
            Some(Counts::Latency { buckets: buckets.iter().zip(more).map(|(a, b)| a.saturating_add(*b)).collect() })
        }
        (Counts::Gauge { .. }, Counts::Gauge { value }) => Some(Counts::Gauge { value: *value }),
        _ => None,
    }
}

/// The plan of a proposal at supposed traffic: needs no server and no telemetry.
///
/// # Errors
/// If the SLIs make no sense together.
pub fn what_if(proposal: &Proposal, what_if: WhatIf, asked: Asked) -> Result<Forecast, PlanError> {
    let mut forecast = foretell(proposal, &Stable::of_what_if(proposal, what_if), asked)?;
    if proposal.verify.slis.iter().any(|sli| sli.latency.is_some()) {
        forecast.notes.push(format!("latencies are taken to lie around {ASSUMED_MEDIAN_MS} ms"));
    }
    Ok(forecast)
}

/// Pure: the plan of a proposal where the stable version does this.
fn foretell(proposal: &Proposal, stable: &Stable, asked: Asked) -> Result<Forecast, PlanError> {
    let judged = slis::judged(proposal, &stable.edges_ms);
    let settings = slis::settings(proposal, judged.slis);
    let (mut present, mut notes) = (Vec::new(), Vec::new());
    for (sli, reads) in settings.slis.iter().zip(&judged.reads) {
        let counted =
            stable.counts.get(reads).and_then(|(counts, looks)| Present::of_counts(&sli.kind, counts, *looks));
        let is_beside = sli.role == judge::Role::Holds;
        if counted.is_none() && !is_beside && !matches!(sli.kind, SliKind::Check) {
            notes.push(match sli.kind {
                _ if stable.unread.contains_key(reads) => {
                    format!("`{reads}` can't be read, so nothing is known of it: {}", stable.unread[reads])
                }
                SliKind::Gauge { .. } => format!("`{reads}` was not seen; it is taken to vary by a few per cent"),
                _ => format!("`{reads}`: no requests of the stable version were seen"),
            });
        }
        present.push(counted.unwrap_or_else(|| nothing(&sli.kind)));
    }
    notes.dedup();
    let per_second = 1e3 / settings.look_interval_ms as f64;
    let shown = settings.slis.iter().zip(&present).map(|(sli, present)| SliPresent {
        sli: sli.name.clone(),
        requests_per_second: present.per_look().map(|it| it * per_second),
        bad_share: if let Present::Ratio { bad_share, .. } = present { Some(*bad_share) } else { None },
    });
    let shown = shown.collect();
    let mut steps = planned_steps(proposal);
    let watch = steps.pop();
    let question = Question { runs: asked.runs.clamp(1, MOST_RUNS), ..Question::new(settings, present, steps) };
    let suggestion = if asked.suggest { Some(suggested(proposal, &question)?) } else { None };
    let whole = Question { steps: question.steps.iter().copied().chain(watch).collect(), ..question };
    Ok(Forecast { plan: plan::foretell(&whole)?, names: names(proposal), present: shown, suggestion, notes })
}

/// An SLI of which nothing is seen.
fn nothing(kind: &SliKind) -> Present {
    let (per_look, noise, drift) = (0.0, 1.0, 0.0);
    match kind {
        SliKind::Ratio { .. } => Present::Ratio { per_look, bad_share: 0.001, noise, drift },
        SliKind::Latency { edges_ms, .. } => {
            let buckets = edges_ms.len() + 1;
            Present::Latency { per_look, shares: vec![1.0 / buckets as f64; buckets], noise, drift }
        }
        SliKind::Gauge { limit, .. } => Present::gauge(limit.map_or(1.0, |limit| limit / 2.0)),
        SliKind::Check => Present::Check,
    }
}

/// The steps as the judge will meet them, the watch last.
fn planned_steps(proposal: &Proposal) -> Vec<PlannedStep> {
    let every = proposal.verify.every;
    let steps = proposal.plan.steps.iter().map(|step| PlannedStep {
        share: step.weight.share(),
        comparison: slis::comparison(step.comparison),
        bake_looks: step.bake.looks(every),
        deadline_looks: proposal.verify.deadline.unwrap_or(step.deadline).looks(every),
    });
    let watch = PlannedStep {
        share: 1.0,
        comparison: slis::comparison(proposal.verify.watch_against),
        bake_looks: proposal.verify.watch.looks(every),
        deadline_looks: proposal.verify.watch.times(6).looks(every),
    };
    steps.chain([watch]).collect()
}

fn names(proposal: &Proposal) -> Vec<String> {
    let steps = &proposal.plan.steps;
    let name =
        |(i, step): (usize, &change::rollout::Step)| format!("step {} of {} ({})", i + 1, steps.len(), step.weight);
    steps.iter().enumerate().map(name).chain(["the watch".to_owned()]).collect()
}

fn suggested(proposal: &Proposal, question: &Question) -> Result<Suggested, PlanError> {
    let plan::Suggestion { steps, plan, is_other, unmet } = plan::suggest(question)?;
    let every = proposal.verify.every;
    let looks = |looks: u32| Span::millis(every.as_millis().saturating_mul(u64::from(looks)));
    let written = |step: &PlannedStep| {
        let original = proposal.plan.steps.iter().find(|it| it.weight.share() == step.share);
        let bake = match original {
            Some(original) if original.bake.looks(every) == step.bake_looks => original.bake,
            _ => looks(step.bake_looks),
        };
        let deadline = (step.deadline_looks != step.bake_looks.saturating_mul(6)).then(|| looks(step.deadline_looks));
        let comparison = original.map(|it| it.comparison).filter(|it| slis::is_unusual(*it, step.share));
        StepFile { weight: weight(step.share), bake, deadline, comparison }
    };
    Ok(Suggested { steps: steps.iter().map(written).collect(), plan, is_other, unmet })
}

fn weight(share: f64) -> Weight {
    // INVARIANT: shares of a plan come from weights and from a ladder of whole per cents.
    format!("{:.2}%", share * 100.0).parse().unwrap_or(Weight::FULL)
}

/// What the forecast says against a plan: the steps that can never decide.
pub fn warnings(forecast: &Forecast) -> Vec<String> {
    let traffic = forecast.present.iter().filter_map(|it| it.requests_per_second).reduce(f64::max);
    let at = traffic.map_or_else(String::new, |it| format!(" at the present traffic ({} requests/s)", figure(it)));
    let never = forecast.plan.steps.iter().zip(&forecast.names).filter(|(step, _)| step.answer == Decision::Never);
    never
        .map(|(step, name)| format!("{name} can't decide within its deadline{at}: {}", step.why.join("; ")))
        .take(MOST_WARNINGS)
        .collect()
}

fn figure(value: f64) -> String {
    if value >= 10.0 { format!("{value:.0}") } else { format!("{}", (value * 100.0).round() / 100.0) }
}

/// The warnings of the changes that were foretold lately, by effect.
pub(crate) struct Forecasts {
    known: Mutex<BTreeMap<Digest, Foretold>>,
    turn: tokio::sync::Semaphore,
}

/// What is known of one effect.
enum Foretold {
    Underway,
    Warnings(Vec<String>),
}

impl Default for Forecasts {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: tokio::sync::Semaphore::new(1) }
    }
}

impl Forecasts {
    /// Whether nobody has begun this one yet.
    fn begin(&self, effect: Digest) -> bool {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let underway = known.values().filter(|it| matches!(it, Foretold::Underway)).count();
        // with so many waiting it is asked again by the next who looks at the change
        if known.contains_key(&effect) || underway >= MOST_UNDERWAY {
            return false;
        }
        if known.len() >= MOST_KEPT {
            known.retain(|_, it| matches!(it, Foretold::Underway));
        }
        known.insert(effect, Foretold::Underway);
        true
    }

    fn keep(&self, effect: Digest, warnings: Vec<String>) {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(effect, Foretold::Warnings(warnings));
    }

    fn give_up(&self, effect: Digest) {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&effect);
    }

    pub(crate) fn warnings(&self, effect: Digest) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match known.get(&effect) {
            Some(Foretold::Warnings(warnings)) => warnings.clone(),
            Some(Foretold::Underway) | None => vec![],
        }
    }
}
