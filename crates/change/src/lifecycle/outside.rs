//! Outside: what a pipeline that performs the steps itself says of how they ended, as a command.
//!
//! Says only which command a report is; whether it may be, and what follows, is [`decide`](super::decide)'s to say. A report names the step and attempt
//! that the state has, or that the pipeline was told when it began: a late report about something else is refused, never taken for this one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, Command, Rejection};
use crate::rollout::{BackState, Failure, Rollout};

/// How what a pipeline did has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The step has effect: it is judged.
    Succeeded,
    /// It has not worked: the step, or the rollback that was under way.
    Failed,
    /// What was there before is there again.
    RolledBack,
    /// The pipeline can't say: people are asked.
    Unknown,
}

/// What a pipeline reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub ended: Ended,
    /// In its own words.
    pub note: Option<String>,
    /// The step that it speaks of, from 0; the present one if absent.
    pub step: Option<usize>,
    /// The attempt that it speaks of; the present one if absent.
    pub attempt: Option<u32>,
}

impl Report {
    /// The command that it is for this change as it is now.
    ///
    /// # Errors
    /// If nothing has begun, or it speaks of another step or attempt.
    pub fn command(self, change: &Change) -> Result<Command, Rejection> {
        let nothing = || {
            let over = change.phase().is_terminal();
            let why = if over { "its rollout is over" } else { "nothing of it has begun, so nothing can be finished" };
            super::command::wrong_phase(change, why)
        };
        let rollout = change.rollout().ok_or_else(nothing)?;
        let (step, attempt) = (self.step.unwrap_or(rollout.step), self.attempt.unwrap_or(rollout.attempt));
        if (step, attempt) != (rollout.step, rollout.attempt) {
            let what = format!("attempt {attempt} at step {}", step + 1);
            return Err(Rejection::Stale { change: change.id, what });
        }
        let note = self.note.filter(|note| !note.trim().is_empty());
        let error = |otherwise: &str| note.clone().unwrap_or_else(|| otherwise.to_owned());
        Ok(match self.ended {
            Ended::Succeeded => Command::ReportApplied { step, attempt, actual: reported(note.as_deref()) },
            Ended::RolledBack => Command::ReportUndone { observed: reported(note.as_deref()) },
            Ended::Failed => match undoing(rollout) {
                Some(attempt) => {
                    let error = error("the pipeline could not roll back");
                    Command::ReportUndoFailed { attempt, failure: Failure::Final, error }
                }
                None => {
                    let error = error("the pipeline says that it failed");
                    Command::ReportFailed { step, attempt, failure: Failure::Final, error }
                }
            },
            Ended::Unknown => {
                let error = error("the pipeline can't say how it ended");
                Command::ReportFailed { step, attempt, failure: Failure::Unknown, error }
            }
        })
    }
}

/// The attempt at rolling back that is under way.
fn undoing(rollout: &Rollout) -> Option<u32> {
    rollout.back.as_ref().filter(|back| matches!(back.state, BackState::Begun { .. })).map(|back| back.attempt)
}

/// What is on record of a target that nobody but the pipeline has seen.
fn reported(note: Option<&str>) -> serde_json::Value {
    note.map_or(serde_json::Value::Null, |note| serde_json::json!({"note": note}))
}
