//! Rollout: which step is next, and what exactly is it?
//!
//! A plan is immutable: drivers only make true what a step says, they choose nothing. A step is in the log as begun before a driver hears of it.
//! Next room: [`verification`](crate::verification).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::actor::Actor;
use crate::calendar::OnClose;
use crate::id::Digest;
use crate::time::{Span, Timestamp, after};
use crate::verification::{Comparison, Judgement};

/// How often a step is tried, and how often a rollback is, before people are asked.
pub const MOST_ATTEMPTS: u32 = 3;

/// A share of traffic in basis points, 0 to 10,000, written in percent: `5%`, `0.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Weight(u16);

impl Weight {
    pub const FULL: Self = Self(10_000);

    /// From whole percent, at most 100.
    pub const fn percent(percent: u16) -> Self {
        Self(if percent > 100 { 10_000 } else { percent * 100 })
    }

    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// From 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole}%"),
            (_, 0) => write!(f, "{whole}.{}%", rest / 10),
            _ => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a share of traffic; write for example `5%` or `0.5%`");
        let (whole, rest) = text.strip_suffix('%').map(|n| n.split_once('.').unwrap_or((n, "0"))).ok_or_else(bad)?;
        let digits = |s: &str| !s.is_empty() && s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(rest) || rest.len() > 2 {
            return Err(bad());
        }
        let hundredths = if rest.len() == 1 { 10 } else { 1 };
        let number = |s: &str| s.parse::<u32>().map_err(|_| bad());
        let points = number(whole)? * 100 + number(rest)? * hundredths;
        let points = u16::try_from(points).ok().filter(|p| *p <= Self::FULL.0);
        points.map(Self).ok_or_else(|| format!("`{text}` is more than all traffic"))
    }
}

impl From<Weight> for String {
    fn from(weight: Weight) -> Self {
        weight.to_string()
    }
}

impl TryFrom<String> for Weight {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share of traffic.",
            "pattern": "^(100(\\.0{1,2})?|[0-9]{1,2}(\\.[0-9]{1,2})?)%$",
            "examples": ["5%"]
        })
    }
}

/// How a change moves from nobody to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A growing share of traffic; by default 5 %, 25 %, 100 %.
    Canary,
    /// All traffic at once to a version that stands ready beside the old one.
    BlueGreen,
    /// Batch by batch; by default quarters.
    Rolling,
    /// One step.
    AllAtOnce,
}

impl Strategy {
    fn default_weights(self) -> &'static [u16] {
        match self {
            Self::Canary => &[5, 25, 100],
            Self::Rolling => &[25, 50, 75, 100],
            Self::BlueGreen | Self::AllAtOnce => &[100],
        }
    }
}

/// The plan as an author writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// How the change moves from nobody to everybody.
    pub strategy: Strategy,
    /// Where the steps act, and by which driver.
    pub target: Target,
    /// The steps, with rising weights up to 100 %; each strategy has its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50))]
    pub steps: Option<Vec<StepFile>>,
}

/// One step as an author writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    /// The share of traffic that the new version gets.
    pub weight: Weight,
    /// The least time before the step can pass.
    #[serde(default = "default_bake")]
    pub bake: Span,
    /// The most time it may take before `on_insufficient` decides; six bakes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// What the new version is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

fn default_bake() -> Span {
    Span::secs(300)
}

/// What a plan acts on: a driver, and the options that the driver defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The driver: see `clearway drivers`.
    pub driver: String,
    /// The options of the driver.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl Target {
    /// An option that is text.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }
}

/// The steps of a change, fixed before it is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub strategy: Strategy,
    pub target: Target,
    pub steps: Vec<Step>,
}

/// One move of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub weight: Weight,
    pub bake: Span,
    pub deadline: Span,
    pub comparison: Comparison,
}

impl StepFile {
    fn resolve(&self) -> Step {
        let beside = if self.weight == Weight::FULL { Comparison::Objective } else { Comparison::Concurrent };
        Step {
            weight: self.weight,
            bake: self.bake,
            deadline: self.deadline.unwrap_or(self.bake.times(6)),
            comparison: self.comparison.unwrap_or(beside),
        }
    }
}

/// A field below the part that is checked, what is wrong with it, and a hint.
pub type PartProblem = (String, String, Option<String>);

impl PlanFile {
    /// The steps written, or those of the strategy.
    pub fn steps_or_default(&self) -> Vec<Step> {
        let defaults = || {
            let file = |percent: &u16| StepFile {
                weight: Weight::percent(*percent),
                bake: default_bake(),
                deadline: None,
                comparison: None,
            };
            self.strategy.default_weights().iter().map(file).collect()
        };
        self.steps.clone().unwrap_or_else(defaults).iter().map(StepFile::resolve).collect()
    }

    /// The plan, and what is wrong with it.
    pub fn resolve(&self) -> (Plan, Vec<PartProblem>) {
        let steps = self.steps_or_default();
        let mut problems: Vec<PartProblem> = Vec::new();
        let mut say = |i: usize, field: &str, message: String, help: &str| {
            problems.push((format!("/steps/{i}/{field}"), message, Some(help.to_owned())));
        };
        for (i, step) in steps.iter().enumerate() {
            let before = i.checked_sub(1).map(|j| steps[j].weight);
            if step.weight.0 == 0 {
                say(
                    i,
                    "weight",
                    "a step of `0%` changes nothing and can't be verified".into(),
                    "remove the step, or give it at least `0.01%`",
                );
            } else if let Some(before) = before.filter(|b| *b >= step.weight) {
                say(
                    i,
                    "weight",
                    format!("`{}` does not rise above the `{before}` of the step before", step.weight),
                    "weights rise from step to step",
                );
            }
            if step.deadline < step.bake {
                say(
                    i,
                    "deadline",
                    format!("the deadline `{}` comes before the bake of `{}` is over", step.deadline, step.bake),
                    "make it longer than the bake",
                );
            }
            if step.weight == Weight::FULL && step.comparison == Comparison::Concurrent {
                say(i, "comparison", "at `100%` there is no other version to compare with".into(), "use `objective`");
            }
        }
        let last = steps.len().saturating_sub(1);
        if steps.last().is_some_and(|step| step.weight < Weight::FULL) {
            say(last, "weight", format!("the last step ends at `{}`", steps[last].weight), "end with a step of `100%`");
        }
        if steps.len() > 1 && matches!(self.strategy, Strategy::AllAtOnce | Strategy::BlueGreen) {
            say(1, "weight", "this strategy has one step".into(), "use `strategy: canary` for several");
        }
        (Plan { strategy: self.strategy, target: self.target.clone(), steps }, problems)
    }
}

/// The rollout of a change: where it stands between its first step and its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// The effect that is rolled out; the votes for it were consumed by the first step.
    pub effect: Digest,
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// What the driver saw before the first step: what a rollback restores.
    pub before: Value,
    /// The step that is next, under way or being verified, from 0; one past the last is the watch.
    pub step: usize,
    /// How often this step was begun.
    pub attempt: u32,
    pub state: StepState,
    /// The newest judgement of this step.
    pub judgement: Option<Judgement>,
    /// When evidence was last put into the log.
    #[schemars(with = "Option<String>")]
    pub evidence_at: Option<Timestamp>,
    pub pause: Option<Pause>,
    pub back: Option<Back>,
    /// Set when a later change took over the target during the watch.
    pub superseded_by: Option<crate::id::ChangeId>,
    /// Since when every step and the watch have passed, while its release has not: until then it is watched on, and its rollback stays armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub passed_at: Option<Timestamp>,
    /// Who has taken their vote back since it began.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub taken_back: std::collections::BTreeSet<crate::actor::Actor>,
    /// What it did when its calendar closed, while that is not open again: it does so once, and once more where something stricter is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// The holds and burns that have paused it, of those that lasted at its last pause: each does so once.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub halted_by: std::collections::BTreeSet<String>,
}

/// What a change under way did when its calendar closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    pub then: OnClose,
    /// When it was to open again; nothing where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

impl Closed {
    /// Whether what is asked at `now` is done already.
    pub(crate) fn is_done(self, then: OnClose, now: Timestamp) -> bool {
        then <= self.then && self.until.is_none_or(|until| now < until)
    }
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum StepState {
    /// Not begun: the one before has passed.
    Ready,
    /// In the log as begun; the driver is at work.
    Begun {
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// It failed and is tried again.
    Retrying {
        #[schemars(with = "String")]
        at: Timestamp,
        error: String,
    },
    /// Nobody can say whether it happened.
    Unknown { error: String },
    /// It has effect; its verification runs.
    Applied {
        #[schemars(with = "String")]
        since: Timestamp,
        /// From when its deadline counts: later than `since` after a pause.
        #[schemars(with = "String")]
        deadline_from: Timestamp,
    },
}

/// A rollout that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    pub by: Actor,
    pub why: PauseReason,
    pub reason: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// What paused a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    Person,
    /// The step's deadline passed without a `pass`.
    Deadline,
    /// The verdict is `fail` and the rollback is not automatic.
    Verdict,
    /// The outcome of a step is unknown.
    UnknownOutcome,
    /// A freeze has begun, or a window has ended.
    Calendar,
    /// Somebody on call holds the service.
    Hold,
    /// The error budget of the service burns.
    Burn,
}

/// A rollback under way, done or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Back {
    pub by: Actor,
    pub reason: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// How often the undo was begun.
    pub attempt: u32,
    pub state: BackState,
}

/// Where a rollback stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum BackState {
    /// To be begun at this time.
    Waiting {
        #[schemars(with = "String")]
        at: Timestamp,
    },
    /// In the log as begun; the driver is at work.
    Begun {
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// Tried as often as allowed; people are asked.
    Failed { error: String },
}

/// What a driver is told to make true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Desired {
    pub target: Target,
    pub weight: Weight,
}

/// What a driver says of a step that it could not make true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It did not happen; trying again may help.
    Retry,
    /// It did not happen, and won't.
    Final,
    /// Nobody can say whether it happened.
    Unknown,
}

/// The longest pause before a failed attempt is tried again.
pub const LONGEST_PAUSE: Span = Span::secs(64);

/// When a failed attempt is tried again: after 1, 2, 4, ... seconds.
pub fn retry_at(now: Timestamp, attempt: u32) -> Timestamp {
    after(now, Span::secs(1 << attempt.saturating_sub(1).min(6)).min(LONGEST_PAUSE))
}

/// When something that was to be tried again at `at` is. What is farther away than the longest pause was written before the clock was set back: a rollback
/// must not wait until the clock has caught up.
pub fn due_again(at: Timestamp, now: Timestamp) -> Timestamp {
    if at > after(now, LONGEST_PAUSE) { now } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    // F9, LC7
    #[test]
    fn what_is_tried_again_does_not_wait_for_a_clock_that_was_set_back() {
        let at = |secs: i64| Timestamp::from_second(100_000 + secs).expect("an instant");
        for attempt in 1..20 {
            let again = retry_at(at(0), attempt);
            assert_eq!(due_again(again, at(0)), again, "attempt {attempt}: by the clock that wrote it");
            assert_eq!(due_again(again, at(-3_600)), at(-3_600), "attempt {attempt}: an hour back");
        }
    }

    #[test]
    fn a_weight_is_written_as_it_is_read() {
        for (given, written) in [
            ("5%", "5%"),
            ("0.5%", "0.5%"),
            ("0.05%", "0.05%"),
            ("100%", "100%"),
            ("33.30%", "33.3%"),
            ("12.34%", "12.34%"),
        ] {
            assert_eq!(given.parse::<Weight>().map(|w| w.to_string()), Ok(written.into()));
        }
        for bad in ["5", "101%", "100.01%", "-1%", "%", "5.%", ".5%", "1e2%", "5.123%", "NaN%", "655.36%"] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
    }

    fn problems(steps: &str) -> Vec<String> {
        let file = format!("{{strategy: canary, target: {{driver: router}}, steps: {steps}}}");
        let plan: PlanFile =
            crate::document::Document::from_yaml(&file).and_then(|d| d.read()).expect("a plan of the right form");
        plan.resolve().1.into_iter().map(|(place, message, _)| format!("{place}: {message}")).collect()
    }

    #[test]
    fn weights_rise_from_above_zero_to_all_traffic() {
        assert!(problems("[{weight: 5%}, {weight: 25%}, {weight: 100%}]").is_empty());
        assert_eq!(
            problems("[{weight: 0%}, {weight: 100%}]"),
            ["/steps/0/weight: a step of `0%` changes nothing and can't be verified"]
        );
        assert_eq!(problems("[{weight: 50%}, {weight: 25%}]").len(), 2);
        assert_eq!(problems("[{weight: 100%, comparison: concurrent}]").len(), 1);
        assert_eq!(problems("[{weight: 100%, bake: 5m, deadline: 1m}]").len(), 1);
    }
}
