//! Replay: what another strictness would have said of the kept looks of a change, and when.
//!
//! The same judge is folded twice over the same evidence: as it was, and as it might have been. Nothing is written, and nothing follows from it. The
//! evidence ends where the change did: a milder setting can't know what would have come after a rollback.

use std::collections::BTreeMap;

use change::verification::{Answer, Margin, Objective};
use change::{Change, ChangeId, Timestamp};
use judge::{Settings, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::Engine;
use crate::judging::{self, Judging};
use crate::ports::{LookRow, StoreError};
use crate::slis;

/// Another strictness. What is not given stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Strictness {
    /// The false-rollback budget of the whole change; 1 % by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Margin>,
    /// The chance of passing a step with a harmful SLI; 5 % by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<Margin>,
    /// Looks in which only gross harm counts; 6 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up_looks: Option<u32>,
    /// The window of recent looks that must carry data; 18 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub fresh_looks: Option<u32>,
    /// The least share of a step's looks that must carry data; 80 % by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Margin>,
    /// The least number of canary requests in a step; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u64>,
    /// Margins by the name of the SLI.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slis: BTreeMap<String, Margins>,
}

/// Another strictness for one SLI.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Margin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Margin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Margin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1000))]
    pub weight: Option<f64>,
}

/// What both say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    pub change: ChangeId,
    /// Looks that were replayed.
    pub looks: u64,
    /// In the order of the rollout.
    pub steps: Vec<StepReplayed>,
    /// In words.
    pub summary: String,
}

/// One step and attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepReplayed {
    /// From 1; one past the last is the watch.
    pub step: usize,
    pub attempt: u32,
    pub looks: u32,
    pub was: Decided,
    pub would: Decided,
}

/// The first pass or fail of a step, or what it came to without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    pub answer: Answer,
    /// The look of the step at which it was decided, from 1; nothing where it was not.
    pub look: Option<u32>,
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    pub why: String,
}

impl Strictness {
    /// The names of SLIs that a change doesn't have.
    pub fn unknown_slis(&self, change: &Change) -> Vec<String> {
        let known = |name: &String| change.proposal.verify.slis.iter().any(|sli| sli.name == *name);
        self.slis.keys().filter(|name| !known(name)).cloned().collect()
    }

    fn adjust(&self, mut settings: Settings) -> Settings {
        let part = |margin: Option<Margin>, otherwise: f64| margin.map_or(otherwise, Margin::part);
        settings.alpha = part(self.alpha, settings.alpha);
        settings.beta = part(self.beta, settings.beta);
        settings.coverage = part(self.coverage, settings.coverage);
        settings.warm_up_looks = self.warm_up_looks.unwrap_or(settings.warm_up_looks);
        settings.fresh_looks = self.fresh_looks.unwrap_or(settings.fresh_looks);
        settings.min_requests = self.min_requests.unwrap_or(settings.min_requests);
        for sli in &mut settings.slis {
            let Some(margins) = self.slis.get(&sli.name) else { continue };
            sli.weight = margins.weight.unwrap_or(sli.weight);
            sli.objective = margins.objective.map(Objective::share).or(sli.objective);
            sli.kind = sli.kind.clone().with(slis::margins(margins.harm, margins.safe, margins.floor));
        }
        settings
    }
}

impl Engine {
    /// Replays the kept looks of a change; the error says what is wrong with the settings.
    pub(crate) async fn replay(
        &self,
        change: &Change,
        other: &Strictness,
    ) -> Result<Result<Replayed, String>, StoreError> {
        let rows = self.store.looks(change.id, 1).await?;
        Ok(replayed(change, &rows, other))
    }
}

fn replayed(change: &Change, rows: &[LookRow], other: &Strictness) -> Result<Replayed, String> {
    let was = decided(change, rows, |settings| settings)?;
    let would = decided(change, rows, |settings| other.adjust(settings))?;
    let pairs = was.into_iter().zip(would);
    let steps: Vec<StepReplayed> = pairs
        .map(|(was, would)| StepReplayed {
            step: was.step + 1,
            attempt: was.attempt,
            looks: was.looks,
            was: was.decided,
            would: would.decided,
        })
        .collect();
    Ok(Replayed { change: change.id, looks: rows.len() as u64, summary: summary(&steps), steps })
}

struct Fold {
    step: usize,
    attempt: u32,
    looks: u32,
    decided: Decided,
}

fn decided(change: &Change, rows: &[LookRow], adjust: impl FnOnce(Settings) -> Settings) -> Result<Vec<Fold>, String> {
    let mut judging = Judging::new(change, rows, &[], adjust)?;
    let mut steps: Vec<Fold> = Vec::new();
    for row in rows {
        let verdict = judging.take_up(change, row)?;
        if steps.last().is_none_or(|last| (last.step, last.attempt) != (row.step, row.attempt)) {
            let decided = Decided { answer: Answer::Insufficient, look: None, at: None, why: String::new() };
            steps.push(Fold { step: row.step, attempt: row.attempt, looks: 0, decided });
        }
        let Some(step) = steps.last_mut() else { continue };
        step.looks += 1;
        step.decided.take(&verdict, step.looks, row.at);
    }
    Ok(steps)
}

impl Decided {
    /// The first pass or fail stands; a fail after a pass stands over it.
    fn take(&mut self, verdict: &Verdict, look: u32, at: Timestamp) {
        let answer = judging::answer(verdict.answer);
        let settles = matches!(answer, Answer::Pass | Answer::Fail);
        let settled = match self.answer {
            Answer::Fail => true,
            Answer::Pass => answer != Answer::Fail,
            Answer::Insufficient | Answer::Unreachable => false,
        };
        if settled {
            return;
        }
        *self =
            Decided { answer, look: settles.then_some(look), at: settles.then_some(at), why: judging::why(verdict) };
    }
}

fn summary(steps: &[StepReplayed]) -> String {
    let differing: Vec<String> = steps
        .iter()
        .filter(|step| (step.was.answer, step.was.look) != (step.would.answer, step.would.look))
        .map(|step| {
            let at = |decided: &Decided| match decided.look {
                Some(look) => format!("{} at look {look}", decided.answer),
                None => format!("{} to the end", decided.answer),
            };
            format!("step {}: {} instead of {}", step.step, at(&step.would), at(&step.was))
        })
        .collect();
    match (steps.is_empty(), differing.is_empty()) {
        (true, _) => "no look of this change is kept: there is nothing to replay".to_owned(),
        (false, true) => "every step would have been decided as it was, at the same look".to_owned(),
        (false, false) => format!("{}; the evidence ends where the change did", differing.join("; ")),
    }
}
