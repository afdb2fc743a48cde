//! Verification: what does the evidence say?
//!
//! Holds what is looked at ([`Sli`]), under which rules ([`Verify`]), and the answer as it stands in the log ([`Judgement`]). The statistics are
//! elsewhere; this room only knows that there are four answers and that `pass` alone opens a step. What we ask of a version ourselves is in
//! [`synthetic`]. Next room: [`decision`](crate::decision).

mod percent;
mod sli;
pub mod synthetic;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::rollout::{PartProblem, Step};
use crate::time::{Span, Timestamp};
pub use percent::{Margin, Objective};
pub use sli::{Against, Gauge, Latency, Query, Rate, Ratio, Sli, SliRef, Worse};
use synthetic::{MOST_CHECKS, SyntheticCheck};

/// What the new version is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// The stable version beside it, at the same time.
    Concurrent,
    /// The objective of each SLI.
    Objective,
    /// The stable version at the same weekday and hour before the change: not exact, so with wider margins. The source must keep history.
    Before,
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
    /// Synthetic checks: requests of our own making that have to be answered well in every step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_CHECKS))]
    pub checks: Vec<SyntheticCheck>,
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
    /// What the watch compares with: `objective` by default, or `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_against: Option<Comparison>,
    /// How far the services that depend on the changed ones are watched too, by their own SLIs: 1 hop by default, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub downstream: Option<u8>,
    /// What follows when the scan of all series finds some that move with the new version: nothing but a note by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
}

/// Whether every series that both versions expose is compared, and what its findings do. They never roll back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scan {
    Off,
    /// Findings are shown with the verdict.
    #[default]
    Note,
    /// Findings hold the step.
    Hold,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<SyntheticCheck>,
    pub every: Span,
    pub on_insufficient: OnDoubt,
    pub on_unreachable: OnDoubt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    pub watch: Span,
    #[serde(default = "by_objective")]
    pub watch_against: Comparison,
    #[serde(default)]
    pub downstream: u8,
    /// The objectives of services downstream, which may hold a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    #[serde(default)]
    pub scan: Scan,
}

/// An SLI of a service downstream, all its versions together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    pub service: String,
    pub sli: Sli,
}

impl Beside {
    /// `cart: cart-errors`, as the verdict names it.
    pub fn name(&self) -> String {
        format!("{}: {}", self.service, self.sli.name)
    }
}

fn by_objective() -> Comparison {
    Comparison::Objective
}

/// The services that depend directly on the changed ones.
const DEFAULT_DOWNSTREAM: u8 = 1;

const SHORTEST_LOOK: Span = Span::millis(100);
const LONGEST_LOOK: Span = Span::secs(3_600);

impl VerifyFile {
    /// The same with defaults and the SLIs found.
    pub fn resolve(self, slis: Vec<Sli>) -> Verify {
        Verify {
            slis,
            commands: self.commands,
            checks: self.checks,
            every: self.every.unwrap_or(Span::secs(10)),
            on_insufficient: self.on_insufficient.unwrap_or(OnDoubt::Hold),
            on_unreachable: self.on_unreachable.unwrap_or(OnDoubt::Page),
            deadline: self.deadline,
            watch: self.watch.unwrap_or(crate::proposal::DEFAULT_WATCH),
            watch_against: self.watch_against.unwrap_or(Comparison::Objective),
            downstream: self.downstream.unwrap_or(DEFAULT_DOWNSTREAM),
            beside: vec![],
            scan: self.scan.unwrap_or_default(),
        }
    }
}

impl Verify {
    /// Whether anything at all is looked at.
    pub fn is_empty(&self) -> bool {
        self.slis.is_empty() && self.commands.is_empty() && self.checks.is_empty()
    }

    /// Every command line that it runs.
    pub fn command_lines(&self) -> impl Iterator<Item = &str> {
        let checks = self.checks.iter().filter_map(|c| c.command.as_ref()).map(|c| c.run.as_str());
        self.commands.iter().map(|c| c.run.as_str()).chain(checks)
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
        for (i, check) in self.checks.iter().enumerate() {
            let problems = check.problems(self.every).into_iter();
            found.extend(problems.map(|(at, message, help)| (format!("/checks/{i}{at}"), message, help)));
            let is_taken = self.slis.iter().map(|s| &s.name).chain(self.checks[..i].iter().map(|c| &c.name));
            if is_taken.into_iter().any(|name| *name == check.name) {
                let message = format!("another check or SLI is named `{}`", check.name);
                found.push((format!("/checks/{i}/name"), message, None));
            }
        }
        let by_objective = steps.iter().any(|s| s.comparison == Comparison::Objective);
        for (i, sli) in self.slis.iter().enumerate().filter(|(_, s)| by_objective && !s.has_objective()) {
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
    /// Series that nobody named and that move with the new version, the strongest first, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A series that moves with the new version. It informs, and may hold a step; it never fails a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub name: String,
    /// The new version's value over that of the stable one.
    pub effect: f64,
    /// As a bet's winnings: how much speaks against "equal".
    pub evidence: f64,
    /// The look of the change since which it stands.
    pub since_look: u64,
    pub why: String,
}

/// The reason of a verdict that findings of the scan hold.
pub const SCAN_FINDING: &str = "scan_finding";
/// The reason of a note of the scan, which stands in nobody's way.
pub const SCAN_NOTE: &str = "scan_note";

impl Judgement {
    /// The same with what the scan of all series found. Where the plan lets findings hold, they close the way of a pass, and do nothing else.
    #[must_use]
    pub fn with_scan(mut self, findings: Vec<Finding>, notes: Vec<String>, scan: Scan) -> Self {
        let holds = scan == Scan::Hold && !findings.is_empty();
        if let Some(first) = findings.first() {
            let more = match findings.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let code = if holds { SCAN_FINDING } else { SCAN_NOTE };
            let reason = Reason { code: code.into(), sli: None, text: format!("{}{more}", first.why) };
            if holds && self.answer == Answer::Pass {
                self.answer = Answer::Insufficient;
                self.why = format!("All indicators pass; the scan of all series holds: {}", reason.text);
                self.reasons.insert(0, reason);
            } else {
                self.reasons.push(reason);
            }
        }
        self.reasons.extend(notes.into_iter().map(|text| Reason { code: SCAN_NOTE.into(), sli: None, text }));
        self.findings = findings;
        self
    }

    /// Whether nothing but the scan is in the way: that never rolls back.
    pub fn is_held_by_scan_alone(&self) -> bool {
        self.answer == Answer::Insufficient && self.reasons.first().is_some_and(|r| r.code == SCAN_FINDING)
    }
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
