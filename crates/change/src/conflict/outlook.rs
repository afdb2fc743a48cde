//! Outlook: when is a change expected to begin, to leave its targets, and to be done?
//!
//! Estimates for people, from the bakes of a plan and from where it stands: what nobody can foretell, such as an approval or a pause, has none. Must
//! never open a gate or wake anything: a change that ends late or early is noticed by its events.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Stands;
use crate::gate::GateName;
use crate::id::ChangeId;
use crate::lifecycle::{Change, Phase, Stage, bake_over};
use crate::rollout::{Rollout, StepState};
use crate::time::{Timestamp, after};

/// Another change in the way of one, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InTheWay {
    pub change: ChangeId,
    /// The name of its phase.
    pub phase: String,
    pub role: Role,
    /// An estimate, from its plan and from where it stands; absent where nobody can foretell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expected_end: Option<Timestamp>,
}

/// What another change has to do with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has begun, on the same or nearby.
    UnderWay,
    /// It waits for the same, and goes first.
    Ahead,
    /// It goes on beside, and holds nothing.
    Beside,
    /// It has to be completed first.
    Before,
}

impl Role {
    pub fn of(stands: Stands, holds: bool) -> Self {
        match (stands, holds) {
            (Stands::UnderWay, true) => Self::UnderWay,
            (Stands::UnderWay, false) => Self::Beside,
            (Stands::Ahead, _) => Self::Ahead,
        }
    }
}

impl InTheWay {
    /// One line for people.
    pub fn in_words(&self) -> String {
        let Self { change, phase, role, expected_end } = self;
        let role = match role {
            Role::UnderWay => "is under way",
            Role::Ahead => "goes first",
            Role::Beside => "goes on beside it",
            Role::Before => "has to be completed first",
        };
        let end = match (phase.as_str(), expected_end) {
            ("completed", _) => String::new(),
            (_, Some(at)) => format!(", expected to end at {at} (estimate)"),
            (_, None) => ", and nobody can say when it ends".to_owned(),
        };
        format!("{change} {role}: {}{end}", phase.replace('_', " "))
    }
}

/// When a change is expected to leave its targets to others: when its watch begins.
pub fn leaves_at(change: &Change, now: Timestamp) -> Option<Timestamp> {
    match change.phase() {
        Phase::RollingOut { .. } => change.rollout().map(|rollout| steps_over(change, rollout, now)),
        Phase::Watching | Phase::Completed => Some(now),
        _ => begins_at(change, now).map(|begin| all_steps(change, begin)),
    }
}

/// When a change is expected to be completed.
pub fn ends_at(change: &Change, now: Timestamp) -> Option<Timestamp> {
    let watch = change.proposal.verify.watch;
    match (change.phase(), change.rollout()) {
        (Phase::Watching, Some(rollout)) => Some(step_over(change, rollout, now)),
        (Phase::Completed, _) => Some(now),
        _ => leaves_at(change, now).map(|left| after(left, watch)),
    }
}

/// Those that have to be completed first, each expected after those before it; in the order given.
pub fn chain(all: &[Change], now: Timestamp) -> Vec<InTheWay> {
    let mut ends: BTreeMap<ChangeId, Option<Timestamp>> = BTreeMap::new();
    // As often as there are changes: by then the end of the longest chain is known, in whatever order they come.
    for _ in all {
        for change in all {
            let end = end_in_chain(change, &ends, now);
            ends.insert(change.id, end);
        }
    }
    let shown = |change: &Change| InTheWay {
        change: change.id,
        phase: change.phase().name().to_owned(),
        role: Role::Before,
        expected_end: ends.get(&change.id).copied().flatten().filter(|_| !change.phase().is_terminal()),
    };
    all.iter().map(shown).collect()
}

fn end_in_chain(change: &Change, ends: &BTreeMap<ChangeId, Option<Timestamp>>, now: Timestamp) -> Option<Timestamp> {
    if change.phase().is_terminal() {
        return (change.phase() == Phase::Completed).then_some(now);
    }
    if change.rollout().is_some() {
        return ends_at(change, now);
    }
    let begin = begins_at(change, now)?;
    // One of them that can't be foretold makes the rest so; one that is not followed any further counts as over.
    let before = change.proposal.after.iter().filter_map(|id| ends.get(id).copied());
    let last = before.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(now);
    Some(after(all_steps(change, begin.max(last)), change.proposal.verify.watch))
}

/// When a change that waits for nothing but the clock begins.
fn begins_at(change: &Change, now: Timestamp) -> Option<Timestamp> {
    match &change.stage {
        Stage::Scheduled { .. } if waits_for_time_or_others(change) => {
            Some(change.waits_until().unwrap_or(now).max(now))
        }
        _ => None,
    }
}

/// Whether it begins as soon as its time has come and other changes are done: any other closed gate nobody can foretell.
fn waits_for_time_or_others(change: &Change) -> bool {
    let gates = change.hold.iter().flat_map(|hold| &hold.gates);
    gates.filter(|gate| gate.holds()).all(|gate| match gate.gate {
        GateName::Conflicts => true,
        GateName::Readiness => gate.code() == Some("readiness_unknown"),
        _ => false,
    })
}

fn all_steps(change: &Change, begin: Timestamp) -> Timestamp {
    change.proposal.plan.steps.iter().fold(begin, |at, step| after(at, step.bake))
}

fn steps_over(change: &Change, rollout: &Rollout, now: Timestamp) -> Timestamp {
    let to_come = change.proposal.plan.steps.iter().skip(rollout.step + 1);
    to_come.fold(step_over(change, rollout, now), |at, step| after(at, step.bake))
}

fn step_over(change: &Change, rollout: &Rollout, now: Timestamp) -> Timestamp {
    let since = match &rollout.state {
        StepState::Applied { since, .. } => *since,
        _ => now,
    };
    now.max(bake_over(change, rollout.step, since))
}
