//! Budgets: how fast may a service be changed that has used up much of its error budget?
//!
//! Holds the policy that people write and the state that the log tells: a band of what is left, and whether it burns. Must never reckon from telemetry:
//! the shell does, with the arithmetic of `measure`, and puts into the log what has moved. A budget that nobody can read is neither full nor spent.
//! A rollback passes always. The answer reaches a change through [`gate`](crate::gate).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Service;
use crate::circumstances::Circumstances;
use crate::gate::{GateState, closed};
use crate::governance::Governance;
use crate::halt::Cause;
use crate::id::ChangeId;
use crate::lifecycle::{Change, Given};
use crate::precedence::First;
use crate::proposal::{Kind, Proposal};
use crate::rollout::PauseReason;
use crate::time::{Span, Timestamp, after};
use crate::verification::Sli;

/// The code of a gate that is closed because a budget burns.
pub const BURNS: &str = "budget_burns";
/// The code of a gate that is closed because a budget is spent.
pub const SPENT: &str = "budget_spent";
/// The code of a gate that is closed because as many changes as the band allows began in the last day.
pub const RATE: &str = "budget_rate";
/// The code of a gate that is closed because nobody can read a budget.
pub const UNKNOWN: &str = "budget_unknown";
/// The time over which changes are counted against the rate of a band.
pub const DAY: Span = Span::secs(86_400);
/// The most changes of a service that are counted within a day.
pub const MOST_A_DAY: usize = 1_000;
const WITHOUT_LIMIT: &str = "as many changes as are ready may begin";

/// The stream of the budget of a service.
pub fn stream(service: &str) -> String {
    format!("budget/{service}")
}

/// `error_budget.yaml`. Where the file is missing, no budget is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetPolicy {
    /// The time for which an objective is promised: `28d` by default.
    pub period: Span,
    /// How often the sources are asked.
    pub every: Span,
    /// A ratio of fewer events is no answer: at low traffic one error is no burn.
    pub least_events: u32,
    /// Windows in which a burn pauses the rollouts of the service.
    #[schemars(length(min = 1, max = 10))]
    pub windows: Vec<BurnWindow>,
    /// What is allowed while so much is left. The lowest band that holds counts.
    #[schemars(length(max = 20))]
    pub bands: Vec<Band>,
    /// What passes a burn.
    pub let_through: LetThrough,
    /// Whether rollouts that a burn has paused go on by themselves when it is over.
    pub resume: ResumeBy,
    /// What becomes of changes of a service whose budget nobody can read.
    pub on_unreachable: OnUnknown,
}

/// Two windows: the budget burns while both are above the factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnWindow {
    /// So that the burn matters.
    pub long: Span,
    /// So that the burn is over soon after its cause.
    pub short: Span,
    /// How many times as fast as expected.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub factor: f64,
}

/// What is allowed while so much of a budget is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// It holds while at most so much is left, in percent.
    #[schemars(range(max = 100))]
    pub at_most_percent: u8,
    /// How many changes of the service may begin within 24 hours; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_per_day: Option<u32>,
    /// What is not counted and passes.
    #[serde(default)]
    pub let_through: LetThrough,
}

/// Changes that pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LetThrough {
    /// Of these courses: `emergency` by default.
    pub courses: BTreeSet<CourseName>,
    /// Of these kinds.
    pub kinds: BTreeSet<Kind>,
}

/// A course by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CourseName {
    Regular,
    Standard,
    Emergency,
}

impl CourseName {
    fn word(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Standard => "standard",
            Self::Emergency => "emergency",
        }
    }
}

/// How rollouts go on that a burn has paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResumeBy {
    /// By themselves, when the burn is over.
    #[default]
    Automatic,
    /// When somebody resumes them.
    Ask,
}

/// What follows from not knowing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// It is said, and holds nothing.
    #[default]
    Warn,
    /// The gate is closed.
    Hold,
}

impl Default for LetThrough {
    fn default() -> Self {
        Self { courses: [CourseName::Emergency].into(), kinds: BTreeSet::new() }
    }
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        let window =
            |long: u64, short: u64| BurnWindow { long: Span::secs(long), short: Span::secs(short), factor: 2.0 };
        Self {
            period: DAY.times(28),
            every: Span::secs(60),
            least_events: 100,
            windows: vec![window(3_600, 300), window(6 * 3_600, 1_800)],
            bands: vec![
                Band { at_most_percent: 50, changes_per_day: Some(2), let_through: LetThrough::default() },
                Band { at_most_percent: 0, changes_per_day: None, let_through: LetThrough::default() },
            ],
            let_through: LetThrough::default(),
            resume: ResumeBy::default(),
            on_unreachable: OnUnknown::default(),
        }
    }
}

impl LetThrough {
    /// Whether it lets a change through.
    pub fn lets(&self, proposal: &Proposal) -> bool {
        self.kinds.contains(&proposal.kind) || self.courses.iter().any(|c| c.word() == proposal.course.name())
    }

    fn in_words(&self) -> String {
        let courses = self.courses.iter().map(|course| format!("the course `{}`", course.word()));
        let all: Vec<String> = courses.chain(self.kinds.iter().map(|kind| format!("the kind `{kind}`"))).collect();
        if all.is_empty() { "nothing".into() } else { all.join(", ") }
    }
}

impl BudgetPolicy {
    /// The lowest band that holds while so much is left, by its place. Who is in a band leaves it a percent later, so that it does not flutter.
    pub fn band(&self, left_percent: f64, before: Option<u8>) -> Option<&Band> {
        let holds = |band: &&Band| {
            let margin = if before == Some(band.at_most_percent) { 1.0 } else { 0.0 };
            left_percent <= f64::from(band.at_most_percent) + margin
        };
        self.bands.iter().filter(holds).min_by_key(|band| band.at_most_percent)
    }

    /// Every length over which its sources are asked, the shortest first.
    pub fn lengths(&self) -> BTreeSet<Span> {
        let windows = self.windows.iter().flat_map(|window| [window.long, window.short]);
        windows.chain([self.period]).collect()
    }

    /// What can't be meant: each as a JSON pointer and a sentence.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (i, window) in self.windows.iter().enumerate() {
            if window.short >= window.long || window.long > self.period || window.short == Span::ZERO {
                let message = format!(
                    "the short window `{}` has to be shorter than the long one, `{}`, and that no longer than the period, `{}`",
                    window.short, window.long, self.period
                );
                found.push((format!("/windows/{i}"), message));
            }
            if !(window.factor.is_finite() && window.factor >= 1.0) {
                found.push((format!("/windows/{i}/factor"), "a factor is a number from 1".into()));
            }
        }
        for i in (1..self.bands.len())
            .filter(|i| self.bands[..*i].iter().any(|other| other.at_most_percent == self.bands[*i].at_most_percent))
        {
            found.push((
                format!("/bands/{i}"),
                format!("there is a band of {} % already", self.bands[i].at_most_percent),
            ));
        }
        let is_too_many = |band: &Band| band.changes_per_day.is_some_and(|most| most as usize >= MOST_A_DAY);
        for i in (0..self.bands.len()).filter(|i| is_too_many(&self.bands[*i])) {
            let message =
                format!("a band leaves fewer than {MOST_A_DAY} changes in a day: write none where more are no matter");
            found.push((format!("/bands/{i}/changes_per_day"), message));
        }
        if self.every < Span::secs(1) {
            found.push(("/every".into(), "the sources are asked once a second at most".into()));
        }
        found
    }
}

/// What the log says of the budget of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetState {
    pub service: String,
    /// The SLI of which least is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sli: Option<String>,
    /// What was left when this was said, in percent of the period's budget; below 0 where it is overspent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_percent: Option<f64>,
    /// The band that holds, by what is left at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burning: Option<Burning>,
    /// Why nobody can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// When the band is expected to end, if from now on nothing bad happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expected_at: Option<Timestamp>,
    /// How it was measured, in words.
    pub measured: String,
}

/// A burn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Burning {
    pub sli: String,
    pub window: BurnWindow,
    /// How many times as fast as expected over the long window.
    pub rate: f64,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

impl BudgetState {
    /// Of a promise that nobody has looked at yet: neither full nor spent.
    pub fn unread(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            sli: None,
            left_percent: None,
            band: None,
            burning: None,
            unknown: Some("it has not been read yet".into()),
            expected_at: None,
            measured: String::new(),
        }
    }

    /// Whether two say the same, whatever has been counted meanwhile.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.band == other.band
            && self.burning.is_some() == other.burning.is_some()
            && self.unknown.is_some() == other.unknown.is_some()
    }
}

/// What has moved, in a sentence.
pub fn in_words(state: &BudgetState) -> String {
    let service = &state.service;
    let left = state.left_percent.map_or_else(|| "an unknown part".to_owned(), |left| format!("{left:.1} %"));
    match (&state.unknown, &state.burning) {
        (Some(why), _) => format!("nobody can read the error budget of `{service}`: {why}"),
        (None, Some(burning)) => format!(
            "the error budget of `{service}` burns {:.1} times as fast as expected over {} by `{}`; {left} of it is left",
            burning.rate, burning.window.long, burning.sli
        ),
        (None, None) => {
            format!("of the error budget of `{service}` {left} is left, and it does not burn ({})", state.measured)
        }
    }
}

/// What the policy makes of a budget now, in a sentence: how many changes of the service may begin, where so many began within a day.
pub fn allows(policy: &BudgetPolicy, state: &BudgetState, begun: usize) -> String {
    if state.burning.is_some() {
        return format!("it burns: nothing begins until that is over; {} passes", policy.let_through.in_words());
    }
    let known = allowed_by_band(policy, state, begun);
    match (&state.unknown, policy.on_unreachable) {
        (None, _) => known,
        (Some(_), OnUnknown::Hold) => "nobody can say what is left, and nothing begins until somebody can".into(),
        (Some(_), OnUnknown::Warn) => format!("nobody can say what is left; by what is known, {known}"),
    }
}

fn allowed_by_band(policy: &BudgetPolicy, state: &BudgetState, begun: usize) -> String {
    let Some(band) = state.left_percent.and_then(|left| policy.band(left, state.band)) else {
        return WITHOUT_LIMIT.to_owned();
    };
    let passes = format!("{} passes", band.let_through.in_words());
    match band.changes_per_day {
        Some(most) => {
            let left = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(begun);
            format!("{most} changes may begin within a day, {begun} have, {left} more may; {passes}")
        }
        None => format!("no change may begin; {passes}"),
    }
}

/// The budget of one service of a change, and what the policy in force makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetStanding {
    pub state: BudgetState,
    /// The band that holds, as the policy has it now.
    pub band: Option<Band>,
    /// What passes a burn.
    pub let_through: LetThrough,
    pub on_unreachable: OnUnknown,
    /// When other changes of the service began within the last day, the earliest first.
    pub begun: Vec<Timestamp>,
    /// Another change that nothing but the rate holds and that goes first, and why.
    pub before: Option<(ChangeId, First)>,
}

/// The SLIs with an objective that a service names, each for all versions together: what it promises.
pub fn promises<'a>(service: &'a Service, slis: &'a [Sli]) -> impl Iterator<Item = Sli> + 'a {
    let is_named = |sli: &&Sli| sli.objective.is_some() && service.indicators().any(|name| name == sli.name);
    // A query that can only be asked of one version says nothing of the service.
    slis.iter().filter(is_named).filter_map(Sli::of_all_versions)
}

/// The budgets of the services of a change; none where no budget is read. Without a promise there is none, whatever the log said while there was one.
pub fn standings(
    change: &Change,
    governance: &Governance,
    circumstances: &Circumstances,
    now: Timestamp,
) -> Vec<BudgetStanding> {
    let Some(policy) = &governance.budgets else { return vec![] };
    let one = |state: BudgetState| BudgetStanding {
        band: state.left_percent.and_then(|left| policy.band(left, state.band)).cloned(),
        let_through: policy.let_through.clone(),
        on_unreachable: policy.on_unreachable,
        begun: circumstances.begun(&state.service, change.id, now),
        before: None,
        state,
    };
    let services = change.proposal.services.iter().filter_map(|name| governance.catalog.service(name));
    let promised = services.filter(|service| promises(service, &governance.slis).next().is_some());
    let states = promised.map(|service| {
        circumstances.budget(&service.name).cloned().unwrap_or_else(|| BudgetState::unread(&service.name))
    });
    states.map(one).collect()
}

/// The streams of the budgets of which a change takes a place of the day when it begins.
pub fn drawn(given: &Given) -> Vec<String> {
    let counted =
        given.budgets.iter().filter(|budget| budget.band.as_ref().is_some_and(|b| b.changes_per_day.is_some()));
    counted.map(|budget| stream(&budget.state.service)).collect()
}

/// The change that takes the free place in the rate of a budget before this one, where that is what holds it.
pub(crate) fn behind(change: &Change, given: &Given) -> Option<ChangeId> {
    let (budget, state) = given.budgets.iter().find_map(|budget| Some((budget, budget.shut(change, given.now)?)))?;
    let is_turn = matches!(&state, GateState::Closed { code, opens_at: None, .. } if code == RATE);
    budget.before.as_ref().filter(|_| is_turn).map(|(with, _)| *with)
}

/// Why the budgets of its services do not let the next step of a change begin, one by one.
pub(crate) fn shut(change: &Change, given: &Given) -> Vec<GateState> {
    given.budgets.iter().filter_map(|budget| budget.shut(change, given.now)).collect()
}

/// The burns that pause a change which rolls out.
pub(crate) fn halting<'a>(change: &'a Change, given: &'a Given) -> impl Iterator<Item = Cause> + 'a {
    let reaching = given.budgets.iter().filter(|budget| !budget.let_through.lets(&change.proposal));
    reaching.filter_map(|budget| {
        let since = budget.state.burning.as_ref()?.since;
        let name = format!("{} since {since}", stream(&budget.state.service));
        Some(Cause { name, why: PauseReason::Burn, reason: in_words(&budget.state) })
    })
}

/// Whether what a burn has paused goes on by itself now.
pub(crate) fn go_on(given: &Given) -> bool {
    given.after_burn == ResumeBy::Automatic && given.budgets.iter().all(|budget| budget.state.burning.is_none())
}

/// What is to be known of budgets that hold nothing.
pub(crate) fn warnings(given: &Given) -> Vec<String> {
    let unread = given.budgets.iter().filter(|budget| budget.on_unreachable == OnUnknown::Warn);
    unread.filter_map(|budget| budget.state.unknown.as_ref().map(|why| budget.unreadable(why))).collect()
}

impl BudgetStanding {
    fn shut(&self, change: &Change, now: Timestamp) -> Option<GateState> {
        self.burns(change).or_else(|| {
            // What has begun is carried to its end: half a rollout spends more than a whole one.
            change.rollout().is_none().then(|| self.unread(change).or_else(|| self.limited(change, now))).flatten()
        })
    }

    fn burns(&self, change: &Change) -> Option<GateState> {
        let burning = self.state.burning.as_ref().filter(|_| !self.let_through.lets(&change.proposal))?;
        let reason = format!(
            "the error budget of `{}` burns {:.1} times as fast as expected over `{}` by `{}`, since `{}`; more than {} is too much",
            self.state.service, burning.rate, burning.window.long, burning.sli, burning.since, burning.window.factor
        );
        Some(closed(
            BURNS,
            reason,
            None,
            Some(format!("nobody: it opens when the burn is over; {}", self.passes(&self.let_through))),
        ))
    }

    fn unread(&self, change: &Change) -> Option<GateState> {
        let why = self.state.unknown.as_ref().filter(|_| self.on_unreachable == OnUnknown::Hold)?;
        if self.let_through.lets(&change.proposal) {
            return None;
        }
        let who = "whoever runs the telemetry: it is asked again by itself".to_owned();
        Some(closed(UNKNOWN, self.unreadable(why), None, Some(who)))
    }

    fn unreadable(&self, why: &str) -> String {
        format!("nobody can say what is left of the error budget of `{}`: {why}", self.state.service)
    }

    fn limited(&self, change: &Change, now: Timestamp) -> Option<GateState> {
        let band = self.band.as_ref().filter(|band| !band.let_through.lets(&change.proposal))?;
        let left = self.state.left_percent.map_or_else(String::new, |left| format!("{left:.1} % of "));
        let says = format!("{left}the error budget of `{}` is left ({})", self.state.service, self.state.measured);
        let passes = self.passes(&band.let_through);
        let expected = self.state.expected_at;
        let Some(most) = band.changes_per_day else {
            let who = format!("nobody: it opens when more than {} % is left; {passes}", band.at_most_percent);
            return Some(closed(SPENT, format!("{says}: nothing else may be changed"), expected, Some(who)));
        };
        let within: Vec<Timestamp> = self.begun.iter().copied().filter(|at| now < after(*at, DAY)).collect();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if within.len() < most {
            let (first, why) = self.before.as_ref()?;
            let reason = format!("{says}: a place of the day is free, and `{first}` {}", why.in_words());
            let who = format!("nobody: it opens when `{first}` has gone and a place is free; {passes}");
            return Some(closed(RATE, reason, None, Some(who)));
        }
        // With the one that began so long ago that only `most - 1` are left, a place is free.
        let free = within.get(within.len() - most).map(|at| after(*at, DAY));
        let reason = format!("{says}: {} of {most} that may begin in a day have begun", within.len());
        Some(closed(RATE, reason, free, Some(format!("nobody: it opens when a place is free; {passes}"))))
    }

    fn passes(&self, through: &LetThrough) -> String {
        format!("{} passes", through.in_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A2
    #[test]
    fn the_lowest_band_that_holds_counts_and_is_left_a_percent_later() {
        let policy = BudgetPolicy::default();
        let band = |left: f64, before: Option<u8>| policy.band(left, before).map(|band| band.at_most_percent);
        assert_eq!(
            [band(80.0, None), band(50.0, None), band(0.0, None), band(-20.0, None)],
            [None, Some(50), Some(0), Some(0)]
        );
        assert_eq!([band(50.5, Some(50)), band(51.5, Some(50)), band(0.5, Some(0))], [Some(50), None, Some(0)]);
        assert!(policy.problems().is_empty());
    }

    // A2: what is shown of a budget is what the gate makes of it.
    #[test]
    fn what_a_budget_allows_is_said_for_each_way_it_can_stand() {
        let policy = BudgetPolicy::default();
        let state = |left: f64| BudgetState {
            service: "shop".into(),
            sli: None,
            left_percent: Some(left),
            band: None,
            burning: None,
            unknown: None,
            expected_at: None,
            measured: String::new(),
        };
        let said = |state: &BudgetState, begun| allows(&policy, state, begun);
        let unread = BudgetState::unread("shop");
        assert!(said(&unread, 9).ends_with("by what is known, as many changes as are ready may begin"));
        assert_eq!(said(&state(80.0), 9), "as many changes as are ready may begin");
        assert_eq!(
            said(&state(40.0), 1),
            "2 changes may begin within a day, 1 have, 1 more may; the course `emergency` passes"
        );
        assert!(said(&state(40.0), 5).contains("5 have, 0 more may"));
        assert_eq!(said(&state(0.0), 0), "no change may begin; the course `emergency` passes");
        let burning = Burning { sli: "e".into(), window: policy.windows[0], rate: 3.0, since: Timestamp::UNIX_EPOCH };
        let burns = BudgetState { burning: Some(burning), ..state(80.0) };
        assert!(said(&burns, 0).starts_with("it burns: nothing begins"));
        let unknown = BudgetState { unknown: Some("`prom` is away".into()), ..state(80.0) };
        assert!(said(&unknown, 0).ends_with("by what is known, as many changes as are ready may begin"));
        let spent = BudgetState { left_percent: Some(0.0), ..unknown.clone() };
        assert!(said(&spent, 0).contains("by what is known, no change may begin"), "what nobody can read is not open");
        let strict = BudgetPolicy { on_unreachable: OnUnknown::Hold, ..policy.clone() };
        assert!(allows(&strict, &unknown, 0).contains("nothing begins until somebody can"));
        assert!(allows(&strict, &unread, 0).contains("nothing begins until somebody can"));
    }

    #[test]
    fn a_policy_that_can_not_be_meant_says_where() {
        let mut policy = BudgetPolicy::default();
        policy.windows[0].short = Span::secs(7_200);
        policy.bands.push(policy.bands[0].clone());
        policy.every = Span::ZERO;
        policy.bands[0].changes_per_day = Some(1_000);
        let places: Vec<String> = policy.problems().into_iter().map(|(at, _)| at).collect();
        assert_eq!(places, ["/windows/0", "/bands/2", "/bands/0/changes_per_day", "/every"]);
    }
}
