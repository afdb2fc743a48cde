//! The report: the figures of one period.
//!
//! Each figure says what it counts and when a change falls into the period, which runs from its start to just before its end: so the changes of two
//! periods that adjoin are those of both together. A figure that has nothing to count has no value. What is remembered of a change is in
//! [`fold`](crate::fold).

use change::assessment::Risk;
use change::time::between;
use change::{ChangeId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::fold::{Fold, Outcome, Record, Rollout};

/// One figure, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Figure {
    /// Absent where there is nothing to count: insufficient data, not zero.
    pub value: Option<f64>,
    /// How many changes were looked at.
    pub samples: u32,
    pub unit: Unit,
    /// The changes that are counted: for a share those that have the property, for a length of time all of the sample.
    pub changes: Vec<ChangeId>,
}

/// What a figure's value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// From 0 to 1.
    Ratio,
    /// The lower median: of two in the middle, the smaller.
    Seconds,
    Count,
}

/// A figure for each level of risk.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ByRisk {
    pub low: Figure,
    pub medium: Figure,
    pub high: Figure,
    pub critical: Figure,
}

/// The figures of a period.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The first instant of the period.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// The first instant after it.
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// M1. Rollouts that were rolled back, or whose rollback failed, out of those that ended in the period.
    pub change_failure_rate: Figure,
    /// M2. From the proposal to success in production, for changes that completed in the period.
    pub lead_time: Figure,
    /// M2. The part of it between the last approval and the first step: waiting for a window, a lane or a time that was asked for.
    pub queue_time: Figure,
    /// M4. From the assessment to the last approval, for changes that people approved in the period.
    pub approval_lead_time: ByRisk,
    /// M5. From the first step's effect to the first verdict `fail`, for those of the period.
    pub detection_latency: Figure,
    /// M6. Rollouts that nobody had to approve, out of those that ended in the period.
    pub automation_share: Figure,
    /// M7. Rollouts with an owner, a source, a verification and a way back, out of those that ended in the period.
    pub full_metadata: Figure,
    /// M10. Rollbacks that succeeded by themselves, out of those that ended in the period.
    pub rollback_success: Figure,
    /// M12. Gates that people overrode in the period; the sample is the changes that were alive in it.
    pub overrides: Figure,
    /// M12. Changes that policy denied for the first time in the period; the sample is the changes that were alive in it.
    pub denials: Figure,
}

impl Fold {
    /// The figures of the period from `from` to just before `to`.
    pub fn report(&self, from: Timestamp, to: Timestamp) -> Report {
        Period { fold: self, from, to }.report()
    }
}

struct Period<'a> {
    fold: &'a Fold,
    from: Timestamp,
    to: Timestamp,
}

impl<'a> Period<'a> {
    fn report(&self) -> Report {
        let rollbacks = || self.ended().filter(|(_, _, _, outcome)| *outcome != Outcome::Completed);
        let overrides = |r: &Record| r.overrides.iter().filter(|at| self.contains(**at)).count();
        Report {
            from: self.from,
            to: self.to,
            change_failure_rate: share(self.ended().map(|(id, _, _, outcome)| (id, outcome != Outcome::Completed))),
            lead_time: median(self.succeeded().map(|(id, record, _, end)| (id, record.proposed_at, end))),
            queue_time: median(self.succeeded().filter_map(|(id, record, rollout, _)| {
                record.approved.map(|approved| (id, approved.at, rollout.began_at))
            })),
            approval_lead_time: ByRisk {
                low: self.approval_lead_time(Risk::Low),
                medium: self.approval_lead_time(Risk::Medium),
                high: self.approval_lead_time(Risk::High),
                critical: self.approval_lead_time(Risk::Critical),
            },
            detection_latency: median(self.rollouts().filter_map(|(id, _, rollout)| {
                let failed_at = rollout.failed_at.filter(|at| self.contains(*at))?;
                Some((id, rollout.applied_at?, failed_at))
            })),
            automation_share: share(self.ended().map(|(id, _, rollout, _)| (id, !rollout.by_people))),
            full_metadata: share(self.ended().map(|(id, record, _, _)| (id, record.has_full_metadata))),
            rollback_success: share(rollbacks().map(|(id, _, _, outcome)| (id, outcome == Outcome::RolledBack))),
            overrides: count(self.alive().map(|(id, record)| (id, overrides(record)))),
            denials: count(
                self.alive()
                    .map(|(id, record)| (id, usize::from(record.denied_at.is_some_and(|at| self.contains(at))))),
            ),
        }
    }

    fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Changes of which anything happened between the start of the period and their last event, or that were proposed in it.
    fn alive(&self) -> impl Iterator<Item = (ChangeId, &'a Record)> {
        let all = self.fold.changes.iter().map(|(id, record)| (*id, record));
        all.filter(|(_, record)| record.proposed_at < self.to && self.from <= record.last_at)
    }

    fn rollouts(&self) -> impl Iterator<Item = (ChangeId, &'a Record, &'a Rollout)> {
        self.fold.changes.iter().filter_map(|(id, record)| Some((*id, record, record.rollout.as_ref()?)))
    }

    /// Rollouts whose first outcome falls into the period.
    fn ended(&self) -> impl Iterator<Item = (ChangeId, &'a Record, &'a Rollout, Outcome)> {
        self.rollouts().filter_map(|(id, record, rollout)| {
            let (outcome, _) = rollout.outcome.filter(|(_, at)| self.contains(*at))?;
            Some((id, record, rollout, outcome))
        })
    }

    /// Rollouts in production that completed in the period, and when.
    fn succeeded(&self) -> impl Iterator<Item = (ChangeId, &'a Record, &'a Rollout, Timestamp)> {
        self.rollouts().filter_map(|(id, record, rollout)| match rollout.outcome {
            Some((Outcome::Completed, at)) if record.is_production && self.contains(at) => {
                Some((id, record, rollout, at))
            }
            _ => None,
        })
    }

    fn approval_lead_time(&self, risk: Risk) -> Figure {
        let approved = self.fold.changes.iter().filter_map(|(id, record)| {
            let approved = record.approved.filter(|approved| self.contains(approved.at))?;
            let (asked_at, _) = approved.asked.filter(|(_, level)| *level == risk)?;
            Some((*id, asked_at, approved.at))
        });
        median(approved)
    }
}

pub(crate) fn share(sample: impl Iterator<Item = (ChangeId, bool)>) -> Figure {
    let sample: Vec<_> = sample.collect();
    let changes: Vec<ChangeId> = sample.iter().filter(|(_, has)| *has).map(|(id, _)| *id).collect();
    let ratio = |samples: usize| changes.len() as f64 / samples as f64;
    let value = (!sample.is_empty()).then(|| ratio(sample.len()));
    Figure { value, samples: size(sample.len()), unit: Unit::Ratio, changes }
}

// The largest value with a percent rank of at most one half, so that the figure is one that some change really had.
fn median(sample: impl Iterator<Item = (ChangeId, Timestamp, Timestamp)>) -> Figure {
    let sample: Vec<_> = sample.map(|(id, start, end)| (id, between(start, end))).collect();
    let mut lengths: Vec<_> = sample.iter().map(|(_, length)| *length).collect();
    lengths.sort_unstable();
    let middle = lengths.len().checked_sub(1).map(|last| lengths[last / 2]);
    Figure {
        value: middle.map(|length| length.as_millis() as f64 / 1_000.0),
        samples: size(sample.len()),
        unit: Unit::Seconds,
        changes: sample.into_iter().map(|(id, _)| id).collect(),
    }
}

fn count(sample: impl Iterator<Item = (ChangeId, usize)>) -> Figure {
    let sample: Vec<_> = sample.collect();
    let sum: usize = sample.iter().map(|(_, n)| n).sum();
    let changes = sample.iter().filter(|(_, n)| *n > 0).map(|(id, _)| *id).collect();
    let value = (!sample.is_empty()).then_some(sum as f64);
    Figure { value, samples: size(sample.len()), unit: Unit::Count, changes }
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
