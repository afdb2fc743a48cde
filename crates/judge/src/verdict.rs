//! Verdict: the answer, with all that a person needs to believe it.
//!
//! Values only. An `insufficient` always has a reason that stands in the way; a `pass` never has one. The sentences are for people, the codes
//! for programs; nothing may be parsed out of a sentence. Next room: none, this is what leaves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the evidence says after a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub answer: Answer,
    /// Why it is not a pass, then notes. The strongest first.
    pub reasons: Vec<Reason>,
    /// In the order of the settings.
    pub slis: Vec<SliVerdict>,
    /// `ln E / ln(1/alpha)`, 0 to 1: at 1 the change has failed.
    pub harm_progress: f64,
    /// The least of the SLIs' `ln S / ln(1/beta)`, 0 to 1: at 1 all are shown safe in this step.
    pub safety_progress: f64,
    /// 0 to 100, an always-valid statement about the answer and not a posterior: of a fail `100 (1 - 1/E)`, of a pass `100 (1 - max 1/S)`, of an
    /// insufficient 99 times the further of the two progresses, of an unreachable 0. Checks are taken at their word: 100.
    pub confidence: f64,
    /// 0 to 100: `50 + 50 safety_progress - 50 harm_progress`.
    pub health: f64,
    /// Looks in this step, and those that carried data of every counted SLI.
    pub looks: u32,
    pub useful_looks: u32,
    /// Harm evidence `E` of the change over all SLIs, steps and looks.
    pub evidence: f64,
    pub alpha: f64,
}

/// The four answers. Only `pass` opens the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Pass,
    /// Final for this judge: it takes no further evidence.
    Fail,
    /// Too little data yet, or none, or something stands in the way.
    Insufficient,
    /// The telemetry source of an SLI did not answer in the newest look.
    Unreachable,
}

/// Why a verdict is what it is, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    pub code: ReasonCode,
    /// The SLI that it is about, if it is about one.
    pub sli: Option<String>,
    /// A sentence with figures.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The evidence of harm has reached `1/alpha`.
    Harm,
    /// A check failed three times in a row.
    CheckFailed,
    /// A source did not answer in the newest look.
    Unreachable,
    /// No step has begun.
    NoStep,
    /// The SLI can't be held against an objective in this step: it has none.
    NoObjective,
    /// A check's newest result is a failure.
    CheckFailing,
    /// A check has not run in this step.
    CheckNotRun,
    /// Evidence of harm between `alpha^(-1/2)` and `1/alpha`.
    Suspicious,
    /// The router does not split the traffic as asked.
    SplitMismatch,
    /// The baseline breaks the objective itself.
    BaselineUnhealthy,
    /// An SLI that may only hold, of a service downstream, breaks its objective.
    DownstreamUnhealthy,
    NoCanaryData,
    NoBaselineData,
    /// The canary had no requests.
    NoTraffic,
    /// Counts that contradict themselves, such as more bad requests than requests.
    InvalidCounts,
    /// Counts of another kind or shape than the settings say.
    SchemaChange,
    /// Too few looks carried data, in the step or in the fresh window.
    LowCoverage,
    BakeNotOver,
    TooFewRequests,
    SafetyNotShown,
    /// At the present growth of evidence the planned looks end first.
    LowTraffic,
    /// Counts vary much more than chance: requests are worth less.
    Noisy,
    /// No history to learn the noise from: a default is assumed.
    NoCalibration,
    /// Compared with an earlier time: margins are wider, and the comparison is not exact.
    NotExact,
    /// Nothing is known of an SLI that may only hold.
    DownstreamUnknown,
}

impl ReasonCode {
    /// Whether it only informs. Every other code stands in the way of a pass.
    pub fn is_note(self) -> bool {
        matches!(
            self,
            ReasonCode::LowTraffic
                | ReasonCode::Noisy
                | ReasonCode::NoCalibration
                | ReasonCode::NotExact
                | ReasonCode::DownstreamUnknown
        )
    }
}

/// What the verdict says of one SLI. Evidence of harm is the whole change's, everything else this step's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliVerdict {
    pub name: String,
    pub kind: Kind,
    /// The canary's bad share over the baseline's, or over what the objective allows.
    pub effect: Option<f64>,
    /// An approximate (asymptotic) 95 % confidence sequence for the effect; the decision doesn't rest on it.
    pub approximate_interval: Option<[f64; 2]>,
    /// Harm evidence `E`: 1 for a check.
    pub evidence: f64,
    /// Safety evidence `S` of this step: 1 for a check.
    pub safety: f64,
    pub samples: Samples,
    /// For gauges: the means of the step, baseline (or limit) first.
    pub means: Option<[f64; 2]>,
    /// Bad canary requests if it were equal to the baseline, or exactly at the objective.
    pub expected_bad: f64,
    /// The upper edge that "slow" means in the samples, for latency.
    pub threshold_ms: Option<f64>,
    /// Noise factor `phi`, at least 1: the requests count as that many times fewer.
    pub noise: f64,
    /// Named as a cause of the fail (e-BH at level alpha; for a check: it failed).
    pub implicated: bool,
    /// One sentence or a few, for people.
    pub why: String,
}

/// What was counted in this step. For a check: its runs and failures as the canary's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Samples {
    pub baseline_total: u64,
    pub baseline_bad: u64,
    pub canary_total: u64,
    pub canary_bad: u64,
}

/// What an SLI is, without its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Ratio,
    Latency,
    Gauge,
    Check,
}
