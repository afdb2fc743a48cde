//! The lifecycle: what may happen to a change next, what has happened, and what is due.
//!
//! Three functions over values. [`decide`] answers a command with events or a rejection, [`evolve`] folds an event into the state, [`due`] tells the
//! shell what to do now and when to ask again. This room only dispatches; the rules live in the rooms before it.

mod command;
mod evolve;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::decide;
pub use evolve::evolve;

use crate::actor::{Actor, Permission};
use crate::aftermath::Review;
use crate::approval::{self, Voided, Vote};
use crate::assessment::Assessment;
use crate::gate::{Gate, Readiness};
use crate::id::{ChangeId, Digest};
use crate::lane::Lane;
use crate::proposal::{Carry, Proposal, Proposed};
use crate::rollout::{BackState, Failure, PauseReason, Rollout, StepState};
use crate::schedule::Frozen;
use crate::time::{Span, Timestamp, after};
use crate::verification::{EvidenceTaken, Judgement};

/// Where a change stands. Derived from its state, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Proposed,
    Assessed,
    Approved,
    Scheduled,
    RollingOut {
        step: usize,
    },
    Watching,
    Completed,
    /// A gate closed; reopens by itself when the gate does.
    Held {
        step: Option<usize>,
    },
    /// Needs a person.
    Paused {
        step: usize,
    },
    RollingBack,
    RolledBack,
    RollbackFailed,
    Refused,
    Withdrawn,
    Lapsed,
}

impl Phase {
    /// No step ever begins in a terminal phase.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Refused | Self::Withdrawn | Self::Lapsed)
    }

    /// The name without its step.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Assessed => "assessed",
            Self::Approved => "approved",
            Self::Scheduled => "scheduled",
            Self::RollingOut { .. } => "rolling_out",
            Self::Watching => "watching",
            Self::Completed => "completed",
            Self::Held { .. } => "held",
            Self::Paused { .. } => "paused",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::RollbackFailed => "rollback_failed",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// A change: the fold over its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub id: ChangeId,
    pub uid: Uuid,
    pub author: Actor,
    /// Those who gave it another effect than the author had; like the author, they can't approve it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amended_by: BTreeSet<Actor>,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
    /// From 1; each amendment adds one.
    pub revision: u32,
    pub proposal: Proposal,
    pub assessment: Option<Assessed>,
    pub votes: Vec<Vote>,
    pub stage: Stage,
    pub hold: Option<Hold>,
    /// By key.
    pub pages: BTreeMap<String, Page>,
    pub review: Option<Review>,
    /// The number of events in its stream.
    pub version: u64,
    #[schemars(with = "String")]
    pub updated_at: Timestamp,
}

/// How far along the line a change is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Stage {
    Waiting,
    Scheduled {
        #[schemars(with = "String")]
        not_before: Timestamp,
    },
    Rolling(Box<Rollout>),
    Ended {
        end: End,
        reason: String,
        /// The rollout that ended, if there was one.
        rollout: Option<Box<Rollout>>,
    },
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Completed,
    RolledBack,
    Refused,
    Withdrawn,
    Lapsed,
}

/// An assessment and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assessed {
    #[serde(flatten)]
    pub assessment: Assessment,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// The gates that hold a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub gates: Vec<Gate>,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// A page that is owed or sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    pub reason: String,
    #[schemars(with = "Option<String>")]
    pub sent_at: Option<Timestamp>,
}

impl Change {
    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Ended { end, .. } => match end {
                End::Completed => Phase::Completed,
                End::RolledBack => Phase::RolledBack,
                End::Refused => Phase::Refused,
                End::Withdrawn => Phase::Withdrawn,
                End::Lapsed => Phase::Lapsed,
            },
            Stage::Rolling(rollout) => self.rolling_phase(rollout),
            Stage::Scheduled { .. } if self.hold.is_some() => Phase::Held { step: None },
            Stage::Scheduled { .. } => Phase::Scheduled,
            Stage::Waiting => match &self.assessment {
                None => Phase::Proposed,
                Some(assessed) if self.is_quorate(&assessed.assessment) => Phase::Approved,
                Some(_) => Phase::Assessed,
            },
        }
    }

    fn rolling_phase(&self, rollout: &Rollout) -> Phase {
        match &rollout.back {
            Some(back) if matches!(back.state, BackState::Failed { .. }) => Phase::RollbackFailed,
            _ if rollout.pause.is_some() => Phase::Paused { step: rollout.step },
            Some(_) => Phase::RollingBack,
            None if self.hold.is_some() => Phase::Held { step: Some(rollout.step) },
            None if rollout.step >= self.proposal.plan.steps.len() => Phase::Watching,
            None => Phase::RollingOut { step: rollout.step },
        }
    }

    // Age is not asked here: votes that are too old are voided by an event first, so that the phase depends on the log alone.
    fn is_quorate(&self, assessment: &Assessment) -> bool {
        assessment.allows()
            && approval::is_quorate(assessment, &self.votes, self.proposal.effect_digest, Timestamp::MIN)
    }

    /// The rollout under way.
    pub fn rollout(&self) -> Option<&Rollout> {
        match &self.stage {
            Stage::Rolling(rollout) => Some(rollout),
            _ => None,
        }
    }

    /// The rollout under way, or the one that ended.
    pub fn any_rollout(&self) -> Option<&Rollout> {
        match &self.stage {
            Stage::Rolling(rollout) => Some(rollout),
            Stage::Ended { rollout, .. } => rollout.as_deref(),
            _ => None,
        }
    }

    pub fn not_before(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Scheduled { not_before } => Some(not_before),
            _ => None,
        }
    }

    pub fn is_rolling_back(&self) -> bool {
        self.rollout().is_some_and(|r| r.back.is_some())
    }

    /// A step as people count: `step 2 of 3 (25%)`, or `the watch`.
    pub fn step_name(&self, step: usize) -> String {
        let steps = &self.proposal.plan.steps;
        match steps.get(step) {
            Some(s) => format!("step {} of {} ({})", step + 1, steps.len(), s.weight),
            None => "the watch".into(),
        }
    }
}

/// What is asked of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Amend {
        proposal: Box<Proposal>,
    },
    Withdraw {
        reason: String,
    },
    Assess(Box<Assessment>),
    Approve {
        effect: Digest,
        comment: Option<String>,
    },
    Refuse {
        reason: String,
    },
    LapseVotes,
    Lapse,
    Schedule,
    /// Begins the step that is next, if every gate is open.
    BeginStep {
        observed: serde_json::Value,
    },
    ReportApplied {
        step: usize,
        attempt: u32,
        actual: serde_json::Value,
    },
    ReportFailed {
        step: usize,
        attempt: u32,
        failure: Failure,
        error: String,
    },
    Judge {
        judgement: Box<Judgement>,
        evidence: EvidenceTaken,
    },
    Pause {
        reason: String,
    },
    /// After an unknown outcome, says what a person found.
    Resume {
        found: Option<Found>,
    },
    Promote {
        reason: String,
    },
    Rollback {
        reason: String,
    },
    BeginUndo,
    ReportUndone {
        observed: serde_json::Value,
    },
    ReportUndoFailed {
        attempt: u32,
        failure: Failure,
        error: String,
    },
    /// A person has brought the target back by hand.
    CompleteByHand {
        evidence: String,
    },
    SupersedeWatch {
        by: ChangeId,
    },
    ReportPaged {
        key: String,
        channel: String,
    },
    Review {
        summary: String,
    },
}

/// What a person found out about a step of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It has happened.
    Applied,
    /// It has not: do it again.
    NotApplied,
}

/// What the world is like at the moment of a command, as far as the core may know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub now: Timestamp,
    pub actor: Actor,
    /// What the actor may do to this change.
    pub may: BTreeSet<Permission>,
    /// The groups that the actor can speak for.
    pub groups: BTreeSet<String>,
    /// The lanes of the change's resources.
    pub lanes: Vec<Lane>,
    /// Those changes that it comes after, which are completed.
    pub completed: BTreeSet<ChangeId>,
    pub frozen: Vec<Frozen>,
    pub readiness: Readiness,
    /// What was found with it that stands in nobody's way.
    pub warnings: Vec<String>,
}

impl Given {
    /// Nothing but a time and an actor: enough for commands that ask no gate.
    pub fn bare(now: Timestamp, actor: Actor) -> Self {
        Self {
            now,
            actor,
            may: BTreeSet::new(),
            groups: BTreeSet::new(),
            lanes: vec![],
            completed: BTreeSet::new(),
            frozen: vec![],
            readiness: Readiness::Unknown { why: "nobody has looked at the target and the telemetry yet".into() },
            warnings: vec![],
        }
    }
}

/// What happened. In the log, `type` is the name of the variant and `body` its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "body")]
pub enum Event {
    Proposed(Box<Proposed>),
    Amended {
        proposal: Box<Proposal>,
        votes: Carry,
    },
    Withdrawn {
        reason: String,
    },
    Assessed(Box<Assessment>),
    Approved {
        effect: Digest,
        groups: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    Refused {
        reason: String,
    },
    VotesVoided {
        voters: Vec<Actor>,
        why: Voided,
    },
    Lapsed {
        reason: String,
    },
    Scheduled {
        #[schemars(with = "String")]
        not_before: Timestamp,
    },
    Held {
        gates: Vec<Gate>,
    },
    Released,
    StepBegun {
        step: usize,
        attempt: u32,
        weight: crate::rollout::Weight,
        effect: Digest,
        observed: serde_json::Value,
    },
    StepApplied {
        step: usize,
        attempt: u32,
        actual: serde_json::Value,
    },
    StepFailed {
        step: usize,
        attempt: u32,
        failure: Failure,
        error: String,
    },
    EvidenceTaken(EvidenceTaken),
    Judged(Box<Judgement>),
    Overridden {
        gate: String,
        step: usize,
        effect: Digest,
        reason: String,
    },
    Advanced {
        step: usize,
    },
    Paused {
        why: PauseReason,
        reason: String,
    },
    Resumed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Found>,
    },
    RollbackBegun {
        reason: String,
    },
    UndoBegun {
        attempt: u32,
    },
    UndoFailed {
        attempt: u32,
        error: String,
    },
    RolledBack {
        observed: serde_json::Value,
    },
    RollbackFailed {
        error: String,
    },
    CompletedByHand {
        evidence: String,
    },
    WatchSuperseded {
        by: ChangeId,
    },
    Completed,
    PageOwed {
        key: String,
        reason: String,
    },
    Paged {
        key: String,
        channel: String,
    },
    ReviewOwed {
        reason: String,
        #[schemars(with = "String")]
        due: Timestamp,
    },
    ReviewDone {
        summary: String,
    },
    LaneTaken {
        change: ChangeId,
    },
    LaneFreed {
        change: ChangeId,
    },
    /// A command of an identified actor was refused.
    CommandRefused {
        command: String,
        code: String,
        reason: String,
    },
    GovernanceLoaded {
        digest: Digest,
        files: BTreeMap<String, Digest>,
        /// The policies in force, which are kept beside the log under this digest; entries of early days name none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Digest>,
        /// The version of the time-zone database by which windows and `input.now` are reckoned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezones: Option<String>,
    },
    ServerStarted {
        build: String,
        timezones: String,
    },
}

/// What a command is answered with when a rule says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("`{change}` is {phase}: {why}")]
    WrongPhase { change: ChangeId, phase: Phase, why: String },
    #[error("`{actor}` may not {permission} changes of these services here")]
    NotAllowed { actor: Actor, permission: Permission },
    #[error("only Clearway itself does this")]
    NotForPeople,
    #[error("`{actor}` wrote `{change}` or a part of it; a change is approved by somebody else")]
    OwnChange { actor: Actor, change: ChangeId },
    #[error("`{actor}` has approved this effect already")]
    AlreadyVoted { actor: Actor },
    #[error("`{actor}` is in none of the groups whose approval is asked for: {asked}")]
    NotEntitled { actor: Actor, asked: String },
    #[error("this approves the effect {given}, but `{change}` has the effect {now} now")]
    StaleEffect { change: ChangeId, given: String, now: String },
    #[error("the verdict of {step} is `fail`; a failing step can't be promoted")]
    VerdictIsFail { step: String },
    #[error("nothing of `{change}` has been rolled out yet")]
    NothingToRollBack { change: ChangeId },
    #[error("`{holder}` has the target `{resource}` now; rolling back would undo its work")]
    LaneTaken { holder: ChangeId, resource: String },
    #[error("the outcome of {step} is unknown; say what you found")]
    OutcomeNeeded { step: String },
    #[error("this is about {what}, which is not what `{change}` is doing now")]
    Stale { change: ChangeId, what: String },
    #[error("a reason is needed")]
    ReasonNeeded,
}

impl Rejection {
    /// For programs; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPhase { .. } => "wrong_phase",
            Self::NotAllowed { .. } => "not_allowed",
            Self::NotForPeople => "not_for_people",
            Self::OwnChange { .. } => "own_change",
            Self::AlreadyVoted { .. } => "already_voted",
            Self::NotEntitled { .. } => "not_entitled",
            Self::StaleEffect { .. } => "stale_effect",
            Self::VerdictIsFail { .. } => "verdict_is_fail",
            Self::NothingToRollBack { .. } => "nothing_to_roll_back",
            Self::LaneTaken { .. } => "lane_taken",
            Self::OutcomeNeeded { .. } => "outcome_needed",
            Self::Stale { .. } => "stale",
            Self::ReasonNeeded => "reason_needed",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed { permission, .. } => format!("ask for a role with `{permission}` in access.yaml"),
            Self::OwnChange { .. } => "ask somebody else to approve it".into(),
            Self::StaleEffect { change, .. } => {
                format!("look at it again with `clearway show {change}`, then approve what it is now")
            }
            Self::VerdictIsFail { .. } => "roll it back, or pause it and find out why".into(),
            Self::NothingToRollBack { change } => format!("withdraw it with `clearway withdraw {change}`"),
            Self::LaneTaken { holder, .. } => format!("roll back `{holder}` first, or propose a change that repairs"),
            Self::OutcomeNeeded { .. } => {
                "look at the target, then resume with `--found applied` or `--found not-applied`, or roll back".into()
            }
            Self::ReasonNeeded => "add `--reason \"...\"`".into(),
            _ => return None,
        })
    }
}

/// Something that the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Ask policy.
    Assess,
    Schedule,
    LapseVotes,
    Lapse,
    /// Ask the gates and, if they are open, begin the next step.
    BeginStep,
    /// Have the driver make the step true.
    Apply {
        step: usize,
        attempt: u32,
    },
    /// Look at the telemetry, and judge.
    Look {
        step: usize,
        attempt: u32,
        every: Span,
    },
    BeginUndo,
    /// Have the driver restore what was there before.
    Undo {
        attempt: u32,
    },
    Page {
        key: String,
    },
}

/// What is due now, and when to ask again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    pub intents: Vec<Intent>,
    pub wake_at: Option<Timestamp>,
}

impl Due {
    fn act(intents: Vec<Intent>) -> Self {
        Self { intents, wake_at: None }
    }

    fn at(at: Timestamp, now: Timestamp, intent: Intent) -> Self {
        if at <= now { Self::act(vec![intent]) } else { Self { intents: vec![], wake_at: Some(at) } }
    }

    fn and(mut self, other: Self) -> Self {
        self.intents.extend(other.intents);
        self.wake_at = [self.wake_at, other.wake_at].into_iter().flatten().min();
        self
    }
}

/// What is due for a change at `now`. The same state always gives the same intents: after a crash they are derived again.
pub fn due(change: &Change, now: Timestamp) -> Due {
    let unsent = change.pages.iter().filter(|(_, page)| page.sent_at.is_none());
    let pages = Due::act(unsent.map(|(key, _)| Intent::Page { key: key.clone() }).collect());
    // People are told last: a channel that does not answer must not stand in front of a rollback.
    let due = match &change.stage {
        Stage::Waiting => due_while_waiting(change, now),
        Stage::Scheduled { not_before } => due_votes(change, now).and(Due::at(*not_before, now, Intent::BeginStep)),
        Stage::Rolling(rollout) => due_in_rollout(change, rollout, now),
        Stage::Ended { .. } => Due::default(),
    };
    due.and(pages)
}

fn due_while_waiting(change: &Change, now: Timestamp) -> Due {
    match (change.phase(), &change.assessment) {
        (Phase::Approved, _) => due_votes(change, now).and(Due::act(vec![Intent::Schedule])),
        (_, Some(assessed)) => {
            let lapse = approval::lapses_at(&assessed.assessment, assessed.at);
            due_votes(change, now).and(Due::at(lapse, now, Intent::Lapse))
        }
        (_, None) => Due::act(vec![Intent::Assess]),
    }
}

fn due_votes(change: &Change, now: Timestamp) -> Due {
    change
        .votes
        .iter()
        .map(|vote| vote.until)
        .min()
        .map_or_else(Due::default, |at| Due::at(at, now, Intent::LapseVotes))
}

fn due_in_rollout(change: &Change, rollout: &Rollout, now: Timestamp) -> Due {
    let paused = rollout.pause.is_some();
    if let Some(back) = &rollout.back {
        return match &back.state {
            BackState::Begun { .. } => Due::act(vec![Intent::Undo { attempt: back.attempt }]),
            BackState::Waiting { at } if !paused => Due::at(*at, now, Intent::BeginUndo),
            BackState::Waiting { .. } | BackState::Failed { .. } => Due::default(),
        };
    }
    let (step, attempt) = (rollout.step, rollout.attempt);
    match &rollout.state {
        // What was begun is finished even in a pause: half a step is the worst place to stand.
        StepState::Begun { .. } => Due::act(vec![Intent::Apply { step, attempt }]),
        StepState::Applied { .. } => {
            Due::act(vec![Intent::Look { step, attempt, every: change.proposal.verify.every }])
        }
        StepState::Ready if !paused => Due::act(vec![Intent::BeginStep]),
        StepState::Retrying { at, .. } if !paused => Due::at(*at, now, Intent::BeginStep),
        StepState::Ready | StepState::Retrying { .. } | StepState::Unknown { .. } => Due::default(),
    }
}

/// The first instant at which a step that was applied at `since` can pass.
pub fn bake_over(change: &Change, step: usize, since: Timestamp) -> Timestamp {
    after(since, change.proposal.plan.steps.get(step).map_or(change.proposal.verify.watch, |s| s.bake))
}
