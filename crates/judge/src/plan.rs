//! Plan: what will a rollout be able to see, how soon, and at whose cost?
//!
//! Foretold by playing the rollout on synthetic looks with the judge itself, so that the plan's arithmetic can't differ from the verdict's. Chance is a
//! seed, so that the same question has the same answer. A plan foretells from the present: it knows nothing of the rollout, and it must never be taken
//! for evidence. Next room: [`stream`](crate::stream).
//!
//! Reading order: what is known ([`Present`]), what would be harm ([`Harm`]), looks drawn from both, runs, and what follows from them.

mod random;

mod present;

mod harm;

mod traffic;

mod runs;

mod outlook;

mod suggest;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use harm::Harm;
pub use present::{Known, Missing, Present, present_of};
pub use suggest::{Suggestion, suggest};

use crate::judge::Judge;
use crate::look::Look;
use crate::settings::{Comparison, Role, Settings, SettingsError, SliKind};

/// As many runs as a plan is made of when nothing else is asked for.
pub const RUNS: u32 = 60;

/// What is asked of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub settings: Settings,
    /// One for each SLI, in the order of the settings.
    pub present: Vec<Present>,
    /// How often telemetry is missing.
    pub missing: Missing,
    /// The A/A looks that the judge will be calibrated with; none if it will not be.
    pub history: Vec<Look>,
    pub steps: Vec<PlannedStep>,
    /// What is asked of every step. [`Question::new`] asks of each SLI the harm that matters.
    pub cases: Vec<Case>,
    /// At least 1; the more, the finer.
    pub runs: u32,
    pub seed: u64,
}

/// One step as the judge will meet it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    /// The canary's share of the traffic, 0 to 1.
    pub share: f64,
    pub comparison: Comparison,
    pub bake_looks: u32,
    /// The most looks before doubt is decided.
    pub deadline_looks: u32,
}

/// A harmful canary to ask about.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The SLI that it is named after.
    pub sli: usize,
    /// What it does to which SLIs.
    pub harms: Vec<(usize, Harm)>,
    /// Looks from the begin of the step to the harm.
    pub onset_looks: u32,
}

impl Case {
    /// One SLI is harmed from the first look on.
    pub fn of(sli: usize, harm: Harm) -> Self {
        Case { sli, harms: vec![(sli, harm)], onset_looks: 0 }
    }
}

impl Question {
    /// Asks of each SLI that decides the harm that matters, without a history.
    pub fn new(settings: Settings, present: Vec<Present>, steps: Vec<PlannedStep>) -> Self {
        let deciding = settings.slis.iter().enumerate().filter(|(_, sli)| sli.role == Role::Decides);
        let cases = deciding.map(|(at, _)| Case::of(at, Harm::Matters)).collect();
        let (missing, history) = (Missing::default(), Vec::new());
        Question { settings, present, missing, history, steps, cases, runs: RUNS, seed: 1 }
    }

    /// The judge as it will be before the first step; refuses what makes no sense.
    fn judge(&self) -> Result<Judge, PlanError> {
        if self.present.len() != self.settings.slis.len() {
            return Err(PlanError::Count { slis: self.settings.slis.len(), presents: self.present.len() });
        }
        for (sli, present) in self.settings.slis.iter().zip(&self.present) {
            if !present.fits(&sli.kind) {
                return Err(PlanError::Unfit { name: sli.name.clone() });
            }
        }
        if let Some(step) = self.steps.iter().find(|step| !(step.share > 0.0 && step.share <= 1.0)) {
            return Err(PlanError::Share(step.share));
        }
        Ok(Judge::with_history(self.settings.clone(), &self.history)?)
    }
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("`{presents}` presents for `{slis}` SLIs: give one for each, in their order")]
    Count { slis: usize, presents: usize },
    #[error("SLI `{name}`: what is known of it is of another kind or has other buckets")]
    Unfit { name: String },
    #[error("a share of `{0}`: it must be above 0 and at most 1")]
    Share(f64),
}

/// What a rollout will be able to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExposurePlan {
    pub steps: Vec<StepOutlook>,
    /// Looks of a whole rollout of a healthy canary, of those that pass every step in time. Absent where fewer than half do.
    pub duration: Option<Times>,
    /// The share of healthy rollouts that pass every step in time.
    pub completed: f64,
    /// The share of healthy rollouts that were failed.
    pub false_rollbacks: f64,
    pub look_interval_ms: u64,
    pub runs: u32,
}

impl ExposurePlan {
    /// The steps that can never decide, from 0, each with the reason.
    pub fn never(&self) -> impl Iterator<Item = (usize, &StepOutlook)> {
        self.steps.iter().enumerate().filter(|(_, step)| step.answer == Decision::Never)
    }
}

/// What one step will be able to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepOutlook {
    pub planned: PlannedStep,
    /// Requests of the canary in a look, of the SLI that counts the most; absent where nothing is counted.
    pub canary_requests_per_look: Option<f64>,
    /// The share of healthy canaries that pass by the deadline.
    pub passes: f64,
    /// Looks to the pass of a healthy canary.
    pub pass: Times,
    /// In the order of the cases that were asked about: by default the SLIs that decide.
    pub harms: Vec<HarmOutlook>,
    pub answer: Decision,
    /// Why it does not decide in time, and what would help.
    pub why: Vec<String>,
}

/// How one harm will be seen in one step, if it is there from the step's begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HarmOutlook {
    pub sli: String,
    /// The harm in words, such as `x2 (0.2 % bad)`.
    pub harm: String,
    /// The share of harmful canaries that are failed by the deadline.
    pub detected: f64,
    /// The share that pass the step instead.
    pub passed: f64,
    /// Looks from the begin of the harm to the fail.
    pub detection: Times,
    /// Requests that are bad or slowed and would not have been, up to the median detection; to the deadline where there is none.
    pub harmed_requests: Option<f64>,
    pub answer: Decision,
    pub needs: Option<Needs>,
}

/// Nearest ranks over all runs; absent where so many runs did not come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    pub median: Option<u32>,
    pub p95: Option<u32>,
}

/// What would make a step decide; each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Needs {
    /// So many times the present traffic.
    pub traffic_times: Option<f64>,
    /// A share of the traffic, from a ladder up to a half.
    pub share: Option<f64>,
    /// A deadline of about so many looks.
    pub deadline_looks: Option<u64>,
}

/// Whether a step will answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A healthy canary passes by the deadline, and a harmful one is failed: 99 of 100, with a margin.
    Decides,
    /// More often than not it has to wait for the deadline, or may have to.
    Slow,
    /// The deadline comes first, whatever the canary is like.
    Never,
}

/// Foretells a rollout.
///
/// # Errors
/// If the settings, steps and presents do not go together.
pub fn foretell(question: &Question) -> Result<ExposurePlan, PlanError> {
    let judge = question.judge()?;
    outlook::of(question, &judge)
}

/// A median detection, where a question of one step and one case is decided by the deadline: for whoever only wants to know "could it be known?".
/// Nothing where it can't be promised.
///
/// # Errors
/// As [`foretell`].
pub fn decidable(question: &Question) -> Result<Option<u32>, PlanError> {
    let plan = outlook::played(question, &question.judge()?)?;
    let harms = plan.steps.first().and_then(|step| step.harms.first());
    Ok(harms.filter(|harm| harm.answer == Decision::Decides).and_then(|harm| harm.detection.median))
}

fn counts(kind: &SliKind) -> bool {
    matches!(kind, SliKind::Ratio { .. } | SliKind::Latency { .. })
}
