//! Verification: what does the evidence say?
//!
//! Holds what is looked at ([`Sli`]), under which rules ([`Verify`]), and the answer as it stands in the log ([`Judgement`]). The statistics are
//! elsewhere; this room only knows that there are four answers and that `pass` alone opens a step. Next room: [`decision`](crate::decision).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::rollout::{PartProblem, Step};
use crate::time::{Span, Timestamp};

/// What the new version is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// The stable version beside it, at the same time.
    Concurrent,
    /// The objective of each SLI.
    Objective,
}

/// What happens when a step's deadline comes without a `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// Pause and wait for a person.
    Hold,
    /// Pause and page.
    Page,
    /// Roll back.
    Rollback,
}

/// A share of good events, above 0 % and below 100 %, kept in parts per million: `99.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Objective(u32);

impl Objective {
    /// From 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an objective; write for example `99.5%`");
        let (whole, rest) = text.strip_suffix('%').map(|n| n.split_once('.').unwrap_or((n, ""))).ok_or_else(bad)?;
        let digits = |s: &str, most: usize| s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole, 2) || !digits(rest, 4) {
            return Err(bad());
        }
        let millionths: u32 = format!("{whole}{rest:0<4}").parse().map_err(|_| bad())?;
        if millionths == 0 { Err(bad()) } else { Ok(Self(millionths)) }
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Objective {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Objective".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The share of good events that is promised.",
            "pattern": "^[0-9]{1,2}(\\.[0-9]{1,4})?%$",
            "examples": ["99.5%"]
        })
    }
}

/// How a plan is verified, as an author writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyFile {
    /// Service level indicators: names from `slis.yaml`, or written out.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub slis: Vec<SliRef>,
    /// Commands that have to succeed in every step.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub commands: Vec<CheckCommand>,
    /// The time between two looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What follows when the evidence does not suffice by the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_insufficient: Option<OnDoubt>,
    /// What follows when the telemetry source still fails at the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unreachable: Option<OnDoubt>,
    /// The deadline of every step; six bakes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// How long the rollback stays armed after the last step; 5m by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Span>,
}

/// An SLI by name or written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SliRef {
    Name(String),
    Inline(Box<Sli>),
}

/// A service level indicator: what is counted, where, and what is promised. One of `ratio` and `latency` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sli {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"), example = "checkout-availability")]
    pub name: String,
    /// The telemetry source, as clearway.toml names it.
    #[schemars(length(min = 1, max = 100))]
    pub source: String,
    /// Bad events out of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// A latency histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The share of good events that is promised; a step of 100 % is judged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
}

/// Two counters. `$cohort` stands for the version that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The counter of bad events, such as `http_requests_total{version="$cohort",code=~"5.."}`.
    pub bad: String,
    /// The counter of all events.
    pub total: String,
}

/// A cumulative histogram in seconds. `$cohort` stands for the version that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The histogram without `_bucket`, such as `http_request_duration_seconds{version="$cohort"}`.
    pub histogram: String,
    /// Requests faster than this are good, for the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
}

impl Sli {
    /// What is wrong with it, where these sources exist.
    pub fn problems(&self, sources: &[String]) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        if !sources.contains(&self.source) {
            let near = crate::document::nearest(&self.source, sources.iter().map(String::as_str))
                .map(|n| format!("did you mean `{n}`? "));
            let known = crate::document::list(sources.iter().map(String::as_str));
            let help = format!("{}the sources in clearway.toml: {known}", near.unwrap_or_default());
            found.push(("/source".into(), format!("there is no telemetry source `{}`", self.source), Some(help)));
        }
        let queries: Vec<(&str, &String)> = match (&self.ratio, &self.latency) {
            (Some(ratio), None) => vec![("/ratio/bad", &ratio.bad), ("/ratio/total", &ratio.total)],
            (None, Some(latency)) => vec![("/latency/histogram", &latency.histogram)],
            _ => {
                found.push((
                    String::new(),
                    format!("the SLI `{}` needs one of `ratio` and `latency`", self.name),
                    None,
                ));
                vec![]
            }
        };
        for (pointer, query) in queries.into_iter().filter(|(_, q)| !q.contains("$cohort")) {
            let help = "put `$cohort` where the label of the version belongs, as in `version=\"$cohort\"`".to_owned();
            found.push((pointer.into(), format!("`{query}` does not tell the versions apart"), Some(help)));
        }
        if self.objective.is_some() && self.latency.as_ref().is_some_and(|l| l.below.is_none()) {
            found.push((
                "/latency".into(),
                "an objective on latency needs `below`".into(),
                Some("add for example `below: 300ms`".into()),
            ));
        }
        found
    }
}

/// A command that checks something: exit code 0 is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckCommand {
    /// The command line, run by `sh -c` on the server's machine.
    #[schemars(length(min = 1, max = 4_000))]
    pub run: String,
    /// After this time it has failed.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

/// How a plan is verified, with every name resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verify {
    pub slis: Vec<Sli>,
    pub commands: Vec<CheckCommand>,
    pub every: Span,
    pub on_insufficient: OnDoubt,
    pub on_unreachable: OnDoubt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    pub watch: Span,
}

const SHORTEST_LOOK: Span = Span::millis(100);
const LONGEST_LOOK: Span = Span::secs(3_600);

impl VerifyFile {
    /// The same with defaults and the SLIs found.
    pub fn resolve(self, slis: Vec<Sli>) -> Verify {
        Verify {
            slis,
            commands: self.commands,
            every: self.every.unwrap_or(Span::secs(10)),
            on_insufficient: self.on_insufficient.unwrap_or(OnDoubt::Hold),
            on_unreachable: self.on_unreachable.unwrap_or(OnDoubt::Page),
            deadline: self.deadline,
            watch: self.watch.unwrap_or(crate::proposal::DEFAULT_WATCH),
        }
    }
}

impl Verify {
    /// Whether anything at all is looked at.
    pub fn is_empty(&self) -> bool {
        self.slis.is_empty() && self.commands.is_empty()
    }

    /// What is wrong with it for these steps.
    pub fn problems(&self, steps: &[Step]) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        if self.every < SHORTEST_LOOK || self.every > LONGEST_LOOK {
            found.push((
                "/every".into(),
                format!("a look every `{}` is outside of {SHORTEST_LOOK} to {LONGEST_LOOK}", self.every),
                None,
            ));
        }
        for (i, command) in self.commands.iter().enumerate() {
            if self.commands[..i].iter().any(|other| other.run == command.run) {
                found.push((format!("/commands/{i}"), format!("the command `{}` is listed twice", command.run), None));
            }
        }
        let by_objective = steps.iter().any(|s| s.comparison == Comparison::Objective);
        for (i, sli) in self.slis.iter().enumerate().filter(|(_, s)| by_objective && s.objective.is_none()) {
            let help =
                "add for example `objective: 99.5%`, so that a step that takes all traffic can be judged".to_owned();
            found.push((
                format!("/slis/{i}"),
                format!("the SLI `{}` has no objective, and a step is compared with it", sli.name),
                Some(help),
            ));
        }
        for (i, step) in steps.iter().enumerate() {
            if self.deadline.is_some_and(|d| d < step.bake) {
                let message = format!("the deadline comes before the bake of step {} (`{}`) is over", i + 1, step.bake);
                found.push(("/deadline".into(), message, None));
            }
        }
        found
    }
}

/// The four answers of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Pass,
    Fail,
    /// Too little evidence yet, or none.
    Insufficient,
    /// The telemetry source failed.
    Unreachable,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::Unreachable => "unreachable",
        })
    }
}

/// What the judge said of a step, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub answer: Answer,
    /// The step, from 0; one past the last is the watch.
    pub step: usize,
    pub attempt: u32,
    /// The reason in words and figures.
    pub why: String,
    pub reasons: Vec<Reason>,
    pub slis: Vec<SliJudgement>,
    /// Looks of this step so far.
    pub looks: u32,
    /// Evidence of harm over the whole rollout, as a bet's winnings: 100 refutes safety at 1 %.
    pub evidence: f64,
    /// From 0 to 1: how near the verdict is to `fail`.
    pub harm: f64,
    /// From 0 to 1: how near the verdict is to `pass`.
    pub safety: f64,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// One thing that a verdict rests on or that it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sli: Option<String>,
    pub text: String,
}

/// What the evidence says of one SLI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliJudgement {
    pub name: String,
    /// The rate of bad events in the new version over that of what it is compared with.
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub evidence: f64,
    pub safety: f64,
    pub canary: Sample,
    pub baseline: Sample,
    pub implicated: bool,
    pub why: String,
}

/// Events counted in one cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    pub total: u64,
    pub bad: u64,
}

/// Evidence that was recorded beside the log, and is committed to by a digest in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceTaken {
    pub step: usize,
    pub attempt: u32,
    /// How many looks of this step and attempt the digest covers.
    pub looks: u32,
    /// SHA-256 chained over the looks: each digest is over the one before and the canonical JSON of the look.
    pub digest: Digest,
}

/// The chained digest after one more look.
pub fn chain(before: Option<Digest>, look: &serde_json::Value) -> Digest {
    let mut bytes = before.map_or_else(Vec::new, |d| d.as_bytes().to_vec());
    bytes.extend_from_slice(crate::id::canonical(look).as_bytes());
    Digest::of_bytes(&bytes)
}
