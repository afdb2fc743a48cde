//! Budgets: asks the sources of the verdict how error budgets fare, at an interval, and puts into the log what has moved.
//!
//! One question for each SLI and length of time, a few at once; an answer is kept with its time. The arithmetic is `measure`'s, what follows for a change
//! is the core's to say. A source that fails is never a budget that is full: it is unknown, and said. Whom a burn pauses, and who may go on, each
//! change derives for itself: next, [`reconcile`](crate::reconcile).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use change::actor::Part;
use change::budget::{self, BudgetPolicy, BudgetState, BurnWindow, Burning};
use change::governance::Governance;
use change::time::{after, to_millis};
use change::verification::{Objective, Sli};
use change::{Actor, Event, Span, Timestamp};
use futures::StreamExt as _;
use measure::burn::{self, Counted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::{Engine, Handle};
use crate::look;
use crate::ports::{Answer, BootMillis, Cohorts, Side, StoreError};

/// Questions that are under way at once.
const AT_ONCE: usize = 8;
/// Rounds for which a source that has answered may fail before its budgets are unknown: one answer that is lost is no news.
const PATIENCE: u64 = 3;
/// A long window moves slowly: it is asked again after this part of its length, and in the next round where it has failed.
const PART_OF_WINDOW: u64 = 60;
/// And after this at the latest.
const LATEST: Span = Span::secs(300);
/// The right to say how budgets fare: of two replicas that read a little before and after one another, a budget near a band would move to and fro.
const LEASE: &str = "budgets";

/// What was read last, of all services.
#[derive(Default)]
pub(crate) struct Budgets {
    kept: Mutex<BTreeMap<Question, Kept>>,
    readings: Mutex<BTreeMap<String, BudgetReading>>,
}

/// What is asked: how many events of an SLI there were within so long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    service: String,
    sli: String,
    window: Span,
}

/// The last answer to a question.
#[derive(Clone, Debug, Default)]
struct Kept {
    good: Option<(Timestamp, Counted)>,
    /// Since when there is none.
    failed: Option<(Timestamp, String)>,
    asked_at: Option<Timestamp>,
}

impl Question {
    fn is_of(&self, service: &str, sli: &Sli) -> bool {
        self.service == service && self.sli == sli.name
    }
}

impl Kept {
    fn is_due(&self, policy: &BudgetPolicy, window: Span, now: Timestamp) -> bool {
        let slow = Span::millis(window.as_millis() / PART_OF_WINDOW).min(LATEST).max(policy.every);
        let pace = if self.failed.is_some() { policy.every } else { slow };
        self.asked_at.is_none_or(|at| after(at, pace) <= now || at > now)
    }

    /// Why it counts as unknown: it has failed for longer than can be borne, or nothing was ever heard of it.
    fn lost(self, patience: Span, now: Timestamp) -> Option<String> {
        let (since, why) = self.failed?;
        (self.good.is_none() || after(since, patience) <= now).then_some(why)
    }
}

/// How the error budget of a service fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetReading {
    pub service: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// For how long objectives are promised.
    pub period: Span,
    pub slis: Vec<SliBudget>,
}

/// How the error budget of one SLI fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliBudget {
    pub sli: String,
    pub source: String,
    /// The share of good events that is promised, such as `99.5%`.
    pub objective: Objective,
    /// What is left of the budget of the period, in percent; nothing where too little was counted, or the source did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_percent: Option<f64>,
    /// Events of the period, as its source computes them; nothing before it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_events: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_events: Option<f64>,
    pub windows: Vec<WindowBurn>,
    /// Why its source could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// How fast a budget is used up within a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowBurn {
    #[serde(flatten)]
    pub window: BurnWindow,
    /// How many times as fast as expected, over the long one; nothing where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_rate: Option<f64>,
    /// Nothing where that can't be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burns: Option<bool>,
}

/// A budget as people see it: what was read last, what the log says, and how many changes began within a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetOverview {
    pub service: String,
    /// Nothing before the first reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<BudgetReading>,
    /// Nothing before the first reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BudgetState>,
    pub begun_within_a_day: usize,
    /// What the policy allows at present, in a sentence.
    #[serde(default)]
    pub allows: String,
}

impl Budgets {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<Question, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<String, BudgetReading>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least share of a budget that is left among these services, 0 to 1, as it was read last.
    pub(crate) fn left(&self, services: &BTreeSet<String>) -> Option<f64> {
        let readings = self.readings();
        let slis = services.iter().filter_map(|service| readings.get(service)).flat_map(|reading| &reading.slis);
        let least = slis.filter_map(|sli| sli.left_percent).reduce(f64::min)?;
        Some((least / 100.0).clamp(0.0, 1.0))
    }
}

impl Handle {
    /// The budgets of one service, or of every service with an objective. Nothing where no budget is read by this governance.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn budgets(&self, service: Option<&str>) -> Result<Option<Vec<BudgetOverview>>, StoreError> {
        let in_force = self.in_force();
        let Some(policy) = &in_force.governance.budgets else { return Ok(None) };
        let mut services: Vec<String> = promises(&in_force.governance).into_iter().map(|(name, _)| name).collect();
        services.dedup();
        services.retain(|name| service.is_none_or(|wanted| wanted == name));
        let readings = self.engine.budgets.readings().clone();
        let now = to_millis(self.now());
        let nobody = change::ChangeId::new(0);
        let one = |folds: &crate::handle::Folds, service: String| {
            let state = folds.circumstances.budget(&service).cloned();
            let begun = folds.circumstances.begun(&service, nobody, now).len();
            let known = state.clone().unwrap_or_else(|| BudgetState::unread(&service));
            let allows = budget::allows(policy, &known, begun);
            BudgetOverview {
                reading: readings.get(&service).cloned(),
                state,
                begun_within_a_day: begun,
                allows,
                service,
            }
        };
        let found = self.engine.with_folds(|folds| services.into_iter().map(|name| one(folds, name)).collect()).await?;
        Ok(Some(found))
    }

    /// Reads budgets from now on, until the engine is drained or gone.
    pub(crate) fn attend_budgets(&self) {
        let engine = Arc::downgrade(&self.engine);
        let (stop, news) = (self.engine.tasks.stop.clone(), self.engine.news.clone());
        self.engine.tasks.tracker.spawn(async move {
            loop {
                let Some(engine) = engine.upgrade() else { return };
                if let Err(error) = engine.round_of_budgets().await {
                    tracing::error!(%error, "the store failed; budgets are read again later");
                }
                let every = engine.in_force().governance.budgets.as_ref().map_or(LATEST, |policy| policy.every);
                drop(engine);
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(every.as_millis())) => {}
                    () = news.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }
}

impl Engine {
    async fn round_of_budgets(self: &Arc<Self>) -> Result<(), StoreError> {
        let in_force = self.in_force();
        let Some(policy) = &in_force.governance.budgets else { return Ok(()) };
        let promises = promises(&in_force.governance);
        self.ask_sources(policy, &promises).await;
        let now = to_millis(self.clock.now());
        let says = self.may_say(policy).await?;
        let known = self.with_folds(|folds| folds.circumstances.budgets().cloned().collect::<Vec<_>>()).await?;
        let known: BTreeMap<String, BudgetState> =
            known.into_iter().map(|state| (state.service.clone(), state)).collect();
        // Of what is promised no more, the log has to say so: nobody would ever end its burn.
        let services: BTreeSet<&String> = promises.iter().map(|(service, _)| service).chain(known.keys()).collect();
        let mut readings = BTreeMap::new();
        for service in services {
            let slis: Vec<&Sli> = promises.iter().filter(|(name, _)| name == service).map(|(_, sli)| sli).collect();
            let (reading, before) = (self.reading(service, policy, &slis, now), known.get(service));
            let next = state(&reading, policy, before, now);
            readings.insert(service.clone(), reading);
            if says && before.is_none_or(|before| !before.says_the_same(&next)) {
                let clock = Actor::Clearway(Part::Clock);
                self.note(&budget::stream(service), Event::BudgetMoved(Box::new(next)), &clock).await?;
            }
        }
        *self.budgets.readings() = readings;
        Ok(())
    }

    /// Whether it is this replica that says what has moved. The right lasts for longer than a round, so that it does not change hands.
    async fn may_say(&self, policy: &BudgetPolicy) -> Result<bool, StoreError> {
        let now = self.clock.boot();
        let until = BootMillis(now.0 + policy.every.times(2).as_millis());
        Ok(self.store.lease(LEASE, &self.settings.replica, now, until).await?.is_some())
    }

    /// Asks what is due, a few questions at once, and keeps the answers.
    async fn ask_sources(&self, policy: &BudgetPolicy, promises: &[(String, Sli)]) {
        let now = to_millis(self.clock.now());
        let mut due = Vec::new();
        for (service, sli) in promises {
            for window in policy.lengths() {
                let question = Question { service: service.clone(), sli: sli.name.clone(), window };
                if self.budgets.kept().get(&question).is_none_or(|kept| kept.is_due(policy, window, now)) {
                    due.push(self.asked_of(question, sli.clone(), now));
                }
            }
        }
        let answers: Vec<(Question, Result<Counted, String>)> =
            futures::stream::iter(due).buffer_unordered(AT_ONCE).collect().await;
        let mut kept = self.budgets.kept();
        kept.retain(|question, _| promises.iter().any(|(service, sli)| question.is_of(service, sli)));
        for (question, answer) in answers {
            let entry = kept.entry(question).or_default();
            entry.asked_at = Some(now);
            match answer {
                Ok(counted) => (entry.good, entry.failed) = (Some((now, counted)), None),
                Err(why) => {
                    let since = entry.failed.take().map_or(now, |(since, _)| since);
                    entry.failed = Some((since, why));
                }
            }
        }
    }

    async fn asked_of(&self, question: Question, sli: Sli, now: Timestamp) -> (Question, Result<Counted, String>) {
        let nobody = Cohorts { canary: String::new(), stable: String::new() };
        let asks = look::asks(&sli, Side::Baseline, &nobody);
        let answers = self.eyes.over(&sli.source, &asks, question.window, now).await;
        let counted = answers.and_then(|answers| counted(&sli, &answers));
        (question, counted)
    }

    fn reading(&self, service: &str, policy: &BudgetPolicy, slis: &[&Sli], now: Timestamp) -> BudgetReading {
        let kept = self.budgets.kept();
        let patience = policy.every.times(PATIENCE);
        let of = |sli: &&Sli| {
            let question = |window| Question { service: service.to_owned(), sli: sli.name.clone(), window };
            let known = |window| kept.get(&question(window)).cloned().unwrap_or_default();
            sli_budget(sli, policy, &known, |kept| kept.lost(patience, now))
        };
        let slis = slis.iter().filter_map(of).collect();
        BudgetReading { service: service.to_owned(), at: now, period: policy.period, slis }
    }
}

/// What all services promise, in the order of the catalog.
fn promises(governance: &Governance) -> Vec<(String, Sli)> {
    let of = |service| budget::promises(service, &governance.slis).map(|sli| (service.name.clone(), sli));
    governance.catalog.services().iter().flat_map(of).collect()
}

fn sli_budget(
    sli: &Sli,
    policy: &BudgetPolicy,
    known: &dyn Fn(Span) -> Kept,
    lost: impl Fn(Kept) -> Option<String>,
) -> Option<SliBudget> {
    let objective = sli.objective?;
    let least = f64::from(policy.least_events);
    let counted = |window| known(window).good.map(|(_, counted)| counted);
    let rate = |window| burn::rate(counted(window)?, objective.share(), least);
    let windows = policy.windows.iter().map(|window| {
        let (long_rate, short_rate) = (rate(window.long), rate(window.short));
        let burns = burn::burns(long_rate, short_rate, window.factor);
        WindowBurn { window: *window, long_rate, short_rate, burns }
    });
    let of_period = counted(policy.period);
    let unreachable = policy.lengths().into_iter().find_map(|window| lost(known(window)));
    Some(SliBudget {
        sli: sli.name.clone(),
        source: sli.source.clone(),
        objective,
        left_percent: of_period.and_then(|c| burn::left(c, objective.share(), least)).map(|left| left * 100.0),
        bad_events: of_period.map(|counted| counted.bad),
        all_events: of_period.map(|counted| counted.all),
        windows: windows.collect(),
        unreachable,
    })
}

/// What the log is to say of a reading, after what it said before.
fn state(reading: &BudgetReading, policy: &BudgetPolicy, before: Option<&BudgetState>, now: Timestamp) -> BudgetState {
    let left = left(reading, policy, before, now);
    let unknown = reading.slis.iter().find_map(|sli| Some(format!("`{}`: {}", sli.sli, sli.unreachable.as_ref()?)));
    BudgetState { burning: burning(reading, before, now), unknown, ..left }
}

/// What is left. What was said of an SLI stays true until that SLI has answered: a server that has just started knows less than the log, and opens nothing.
fn left(reading: &BudgetReading, policy: &BudgetPolicy, before: Option<&BudgetState>, now: Timestamp) -> BudgetState {
    let answered = reading.slis.iter().filter_map(|sli| Some((rounded(sli.left_percent?), sli)));
    let least = answered.min_by(|(a, _), (b, _)| a.total_cmp(b));
    let is_unheard = |name: &String| reading.slis.iter().any(|sli| sli.sli == *name && sli.all_events.is_none());
    let unheard = before.filter(|before| before.sli.as_ref().is_some_and(is_unheard));
    let at_most = unheard.and_then(|before| before.left_percent);
    if let Some(before) = unheard.filter(|_| least.is_none_or(|(left, _)| at_most.is_some_and(|most| most <= left))) {
        return before.clone();
    }
    let band = least.and_then(|(left, _)| policy.band(left, before.and_then(|state| state.band)));
    let expected_in = least.zip(band).and_then(|((left, _), band)| {
        burn::recovers_in(left / 100.0, f64::from(band.at_most_percent) / 100.0 + 0.01, policy.period)
    });
    let measured = match least {
        Some((_, sli)) => {
            format!("by `{}` with the objective {} over {}, read at `{now}`", sli.sli, sli.objective, policy.period)
        }
        None if reading.slis.is_empty() => format!("no SLI with an objective is named, at `{now}`"),
        None => format!("too few events were counted over {}, at `{now}`", policy.period),
    };
    BudgetState {
        service: reading.service.clone(),
        sli: least.map(|(_, sli)| sli.sli.clone()),
        left_percent: least.map(|(left, _)| left),
        band: band.map(|band| band.at_most_percent),
        burning: None,
        unknown: None,
        expected_at: expected_in.map(|span| after(now, span)),
        measured,
    }
}

/// The worst burn. One that was is over once every window says so: what can't be said ends nothing.
fn burning(reading: &BudgetReading, before: Option<&BudgetState>, now: Timestamp) -> Option<Burning> {
    let known = before.and_then(|state| state.burning.as_ref());
    let all = || reading.slis.iter().flat_map(|sli| sli.windows.iter().map(move |window| (sli, window)));
    let burns = all().filter(|(_, window)| window.burns == Some(true));
    let worst = burns.max_by(|(_, a), (_, b)| a.long_rate.unwrap_or(0.0).total_cmp(&b.long_rate.unwrap_or(0.0)));
    if let Some((sli, window)) = worst {
        let since = known.map_or(now, |burning| burning.since);
        let rate = rounded(window.long_rate.unwrap_or(0.0));
        return Some(Burning { sli: sli.sli.clone(), window: window.window, rate, since });
    }
    let is_unsure = all().any(|(sli, window)| window.burns.is_none() && known.is_some_and(|b| b.sli == sli.sli));
    known.filter(|_| is_unsure).cloned()
}

/// To a tenth: more is noise, and the log is read by people.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The events of an answer. What is no count is a failure; no series of all events is nothing counted.
fn counted(sli: &Sli, answers: &[Answer]) -> Result<Counted, String> {
    match (&sli.ratio, &sli.latency, answers) {
        (Some(ratio), _, [part, total]) => {
            let all = sum(total)?;
            let bad = match (ratio.bad.is_some(), part.series.is_empty()) {
                (true, _) => sum(part)?,
                (false, true) if all > 0.0 => return Err(format!("`{}` finds nothing beside events", part.asked)),
                (false, _) => all - sum(part)?,
            };
            // A source that reckons increases from samples may be a little beside the whole.
            Ok(Counted { bad: bad.clamp(0.0, all), all })
        }
        (None, Some(latency), [buckets]) => {
            let below = latency.below.ok_or("an objective on latency needs `below`")?.as_millis() as f64 / 1_000.0;
            of_buckets(buckets, below)
        }
        _ => Err("it counts no events".into()),
    }
}

fn of_buckets(buckets: &Answer, below: f64) -> Result<Counted, String> {
    let mut edges = Vec::new();
    for series in &buckets.series {
        let edge = series.labels.get("le").and_then(|le| le.parse::<f64>().ok());
        edges.push((
            edge.ok_or_else(|| format!("`{}` has a series without `le`", buckets.asked))?,
            number(series.value)?,
        ));
    }
    if edges.is_empty() {
        return Ok(Counted::default());
    }
    let all = edges.iter().filter(|(edge, _)| edge.is_infinite()).map(|(_, count)| count).sum::<f64>();
    // Of a bucket that reaches above the limit nobody knows which were fast enough: they count as bad.
    let good = edges.iter().filter(|(edge, _)| *edge <= below * (1.0 + 1e-9)).max_by(|a, b| a.0.total_cmp(&b.0));
    let good = good.map_or(0.0, |(_, count)| *count);
    Ok(Counted { bad: (all - good).clamp(0.0, all.max(0.0)), all: all.max(0.0) })
}

fn sum(answer: &Answer) -> Result<f64, String> {
    answer.series.iter().try_fold(0.0, |sum, series| Ok(sum + number(series.value)?))
}

fn number(value: f64) -> Result<f64, String> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("`{value}` is no count")) }
}

#[cfg(test)]
mod tests {
    use change::document::Document;

    use super::*;
    use crate::ports::{Meaning, Series};

    fn sli(text: &str) -> Sli {
        Document::from_yaml(text).and_then(|document| document.read()).expect("an SLI")
    }

    fn answer(series: &[(&str, f64)]) -> Answer {
        let one = |(le, value): &(&str, f64)| {
            let labels = if le.is_empty() { BTreeMap::new() } else { [("le".to_owned(), (*le).to_owned())].into() };
            Series { labels, value: *value, at: None }
        };
        Answer { asked: "x".into(), meaning: Meaning::Window(Span::secs(60)), series: series.iter().map(one).collect() }
    }

    // A2, F1: what is no count is a failure; nothing counted is no zero either.
    #[test]
    fn events_are_counted_of_ratios_and_histograms_and_what_is_no_count_fails() {
        let bad = sli("name: a\nsource: s\nratio: {bad: b, total: t}\nobjective: 99%\n");
        let good = sli("name: a\nsource: s\nratio: {good: g, total: t}\nobjective: 99%\n");
        let fast = sli("name: a\nsource: s\nlatency: {histogram: h, below: 250ms}\nobjective: 99%\n");
        let of = |sli: &Sli, answers: &[Answer]| counted(sli, answers).map(|c| (c.bad, c.all));
        assert_eq!(of(&bad, &[answer(&[]), answer(&[("", 10.0)])]), Ok((0.0, 10.0)));
        assert_eq!(of(&bad, &[answer(&[("", 11.0)]), answer(&[("", 10.0)])]), Ok((10.0, 10.0)));
        assert_eq!(of(&good, &[answer(&[("", 7.0)]), answer(&[("", 10.0)])]), Ok((3.0, 10.0)));
        assert!(of(&good, &[answer(&[]), answer(&[("", 10.0)])]).is_err());
        assert_eq!(of(&bad, &[answer(&[]), answer(&[])]), Ok((0.0, 0.0)));
        assert!(of(&bad, &[answer(&[("", f64::NAN)]), answer(&[("", 10.0)])]).is_err());
        let buckets = answer(&[("0.1", 5.0), ("0.25", 8.0), ("0.5", 9.0), ("+Inf", 10.0)]);
        assert_eq!(of(&fast, &[buckets]), Ok((2.0, 10.0)));
    }

    // A2: a burn ends when every window says so; a silence ends nothing.
    #[test]
    fn a_burn_goes_on_while_nobody_can_say_that_it_is_over() {
        let window = BurnWindow { long: Span::secs(3_600), short: Span::secs(300), factor: 2.0 };
        let reading = |burns: Option<bool>| BudgetReading {
            service: "shop".into(),
            at: Timestamp::UNIX_EPOCH,
            period: Span::secs(86_400),
            slis: vec![SliBudget {
                sli: "errors".into(),
                source: "s".into(),
                objective: "99%".parse().expect("an objective"),
                left_percent: Some(40.0),
                bad_events: None,
                all_events: None,
                windows: vec![WindowBurn { window, long_rate: Some(3.0), short_rate: None, burns }],
                unreachable: None,
            }],
        };
        let policy = BudgetPolicy::default();
        let told = |burns, before: Option<&BudgetState>| state(&reading(burns), &policy, before, Timestamp::UNIX_EPOCH);
        let began = told(Some(true), None);
        assert_eq!(began.burning.as_ref().map(|burning| burning.rate), Some(3.0));
        assert!(told(None, Some(&began)).burning.is_some(), "unsure");
        assert!(told(Some(false), Some(&began)).burning.is_none());
        assert!(told(None, None).burning.is_none());
        assert_eq!((began.band, began.left_percent), (Some(50), Some(40.0)));
    }

    fn budget_of(sli: &str, left_percent: Option<f64>, is_heard: bool) -> SliBudget {
        SliBudget {
            sli: sli.into(),
            source: "s".into(),
            objective: "99%".parse().expect("an objective"),
            left_percent,
            bad_events: is_heard.then_some(1.0),
            all_events: is_heard.then_some(100.0),
            windows: vec![],
            unreachable: (!is_heard).then(|| "it is away".to_owned()),
        }
    }

    // A2, F1: what was said of an SLI ends with an answer of that SLI, and with nothing else.
    #[test]
    fn what_is_left_stays_as_it_was_said_until_its_sli_has_answered() {
        let policy = BudgetPolicy::default();
        let told = |slis: &[SliBudget], before: Option<&BudgetState>| {
            let (service, at) = ("shop".to_owned(), Timestamp::UNIX_EPOCH);
            state(&BudgetReading { service, at, period: policy.period, slis: slis.to_vec() }, &policy, before, at)
        };
        let of = |state: BudgetState| (state.sli, state.left_percent, state.band);
        let spent = told(&[budget_of("errors", Some(-3.0), true), budget_of("slow", Some(70.0), true)], None);
        assert_eq!(of(spent.clone()), (Some("errors".into()), Some(-3.0), Some(0)));
        let silent = budget_of("errors", None, false);
        for (slow, why) in [
            (budget_of("slow", None, false), "nothing was heard"),
            (budget_of("slow", Some(70.0), true), "another one was heard"),
        ] {
            let next = told(&[silent.clone(), slow], Some(&spent));
            assert_eq!(next.unknown.as_deref(), Some("`errors`: it is away"));
            assert_eq!(of(next), of(spent.clone()), "{why}");
        }
        let worse = told(&[silent.clone(), budget_of("slow", Some(-9.0), true)], Some(&spent));
        assert_eq!(of(worse), (Some("slow".into()), Some(-9.0), Some(0)));
        assert_eq!(
            of(told(&[budget_of("errors", None, true)], Some(&spent))),
            (None, None, None),
            "too few were counted"
        );
        assert_eq!(of(told(&[budget_of("slow", Some(70.0), true)], Some(&spent))).2, None, "it is promised no more");
    }

    // A2: a lost answer is no news to who has heard of it before; what has failed is asked again in the next round.
    #[test]
    fn an_answer_that_is_lost_is_borne_where_one_is_known_and_asked_for_again_soon() {
        let (policy, at) = (BudgetPolicy::default(), |secs| after(Timestamp::UNIX_EPOCH, Span::secs(secs)));
        let failed = Some((at(0), "it is away".to_owned()));
        let never = Kept { good: None, failed, asked_at: Some(at(0)) };
        let once = Kept { good: Some((at(0), Counted { bad: 0.0, all: 9.0 })), ..never.clone() };
        let patience = Span::secs(180);
        assert!(never.clone().lost(patience, at(0)).is_some());
        assert_eq!((once.clone().lost(patience, at(179)), once.lost(patience, at(180)).is_some()), (None, true));
        let fine = Kept { failed: None, ..never.clone() };
        assert_eq!(
            (never.is_due(&policy, policy.period, at(59)), never.is_due(&policy, policy.period, at(60))),
            (false, true)
        );
        assert_eq!(
            (fine.is_due(&policy, policy.period, at(299)), fine.is_due(&policy, policy.period, at(300))),
            (false, true)
        );
    }
}
