//! The lifecycle: what may happen to a change next, what has happened, and what is due.
//!
//! Three functions over values. [`decide`] answers a command with events or a rejection, [`evolve`] folds an event into the state, [`due`] tells the
//! shell what to do now and when to ask again. This room only dispatches; the rules live in the rooms before it.

mod command;
mod due;
mod evolve;
pub mod outside;
pub(crate) mod people;
mod rejection;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::decide;
pub(crate) use due::calls;
pub use due::{Due, Intent, bake_over, due};
pub use evolve::evolve;
pub use rejection::Rejection;

use crate::actor::{Actor, Permission};
use crate::aftermath::{Debt, Owed, Refused};
use crate::approval::{self, AskedFor, ChangesRequested, Signature, Signed, Standing, Voided, Vote};
use crate::assessment::Assessment;
use crate::batch::BatchStanding;
use crate::budget::{BudgetStanding, BudgetState, ResumeBy};
use crate::calendar::{self, Exception, Frozen, OnClose, Opening, Windows};
use crate::catalog::Gating;
use crate::circumstances::{Delegation, OpenDebt, Stopped};
use crate::conflict::Conflict;
use crate::exception::{self, Hand, SetAside, Ticked};
use crate::facts::material::Committer;
use crate::gate::{Gate, Readiness};
use crate::governance::settings::TellOnCall;
use crate::holds::{self, HoldOrder, ServiceHold, Veto};
use crate::id::{ChangeId, Digest, ReleaseId};
use crate::lane::Lane;
use crate::on_call::Duty;
use crate::proposal::{Carry, Hands, Proposal, Proposed};
use crate::release::{self, Release};
use crate::rollout::{BackState, Failure, PauseReason, Rollout, StepState};
use crate::schedule::When;
use crate::sequence::Sequence;
use crate::standard;
use crate::time::{Span, Timestamp};
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
    /// Those who amended it; like the author, they can't approve it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amended_by: BTreeSet<Actor>,
    /// Those who committed to any of its revisions, as far as it was told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub committers: BTreeSet<Committer>,
    /// Whether one of its revisions had more committers than were told.
    #[serde(default)]
    pub more_committers: bool,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
    /// Since when it is planned for the time for which it is planned.
    #[serde(default)]
    #[schemars(with = "String")]
    pub planned_at: Timestamp,
    /// From 1; each amendment adds one.
    pub revision: u32,
    pub proposal: Proposal,
    pub assessment: Option<Assessed>,
    pub votes: Vec<Vote>,
    /// Who is asked for each requirement, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: AskedFor,
    /// What people want to be different before they agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested: Vec<ChangesRequested>,
    /// The rules that were set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Who would break the glass, while a second person is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<Hand>,
    /// The points of checklists that people have ticked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ticked: Vec<Ticked>,
    /// The freezes that it may pass, or would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
    /// A statement of this voter counts only if its time is later: what was signed before has been used, or was taken back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub spent: BTreeMap<Actor, Timestamp>,
    pub stage: Stage,
    pub hold: Option<Hold>,
    /// Who does not let it go on, and until when: the veto that ends last; an ended one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veto: Option<Veto>,
    /// Those of others, which end before it: one of each person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_vetoes: Vec<Veto>,
    /// By key.
    pub pages: BTreeMap<String, Page>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub debts: BTreeMap<Debt, Owed>,
    /// The release that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
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
    /// The users and groups who are told; whoever is on duty if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub to: BTreeSet<String>,
    #[serde(default)]
    pub urgency: Urgency,
    /// Not before this instant; at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub sent_at: Option<Timestamp>,
}

/// How loudly people are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// At once, at any hour.
    #[default]
    Page,
    /// In its own time.
    Notice,
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
                Some(assessed) if self.is_approved(&assessed.assessment) => Phase::Approved,
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
    fn is_approved(&self, assessment: &Assessment) -> bool {
        self.proposal.gating == Gating::Observe || self.is_allowed(assessment) && self.has_its_votes(assessment)
    }

    fn has_its_votes(&self, assessment: &Assessment) -> bool {
        let effect = self.proposal.effect_digest;
        let quorate = || approval::is_quorate(&assessment.requires, &self.asked, &self.votes, effect, Timestamp::MIN);
        self.proposal.gating == Gating::Observe || self.requested.is_empty() && quorate()
    }

    /// Whether it waits behind a rule that stands against it.
    pub fn is_denied(&self) -> bool {
        let assessed = self.assessment.as_ref().filter(|_| matches!(self.stage, Stage::Waiting));
        assessed.is_some_and(|assessed| !self.is_allowed(&assessed.assessment))
    }

    /// Whether no rule stands against it that was not set aside.
    pub fn is_allowed(&self, assessment: &Assessment) -> bool {
        exception::standing(assessment, &self.set_aside, self.proposal.effect_digest).is_empty()
    }

    /// How far each requirement is met by the votes that count at `now`.
    pub fn standing(&self, now: Timestamp) -> Vec<Standing> {
        let requires = self.assessment.iter().flat_map(|a| &a.assessment.requires).cloned().collect::<Vec<_>>();
        approval::standing(&requires, &self.asked, &self.votes, self.proposal.effect_digest, now)
    }

    /// Who has refused to approve it afterwards, while that stands.
    pub fn refused_afterwards(&self) -> Option<&Refused> {
        self.debts.get(&Debt::Approval).filter(|owed| owed.is_open())?.refused.as_ref()
    }

    /// Whether this debt is open.
    pub fn owes(&self, debt: Debt) -> bool {
        self.debts.get(&debt).is_some_and(Owed::is_open)
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

    /// Since when, or from when on, it may begin: where it is scheduled.
    pub fn not_before(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Scheduled { not_before } => Some(not_before),
            _ => None,
        }
    }

    /// The moment that it is to wait for. One that begins as soon as it may waits for none, also where the clock was set back since it was scheduled.
    pub fn waits_until(&self) -> Option<Timestamp> {
        self.not_before().filter(|_| self.proposal.when != When::Now)
    }

    /// Whether its steps are performed by a pipeline outside, which begins them and says how they ended.
    pub fn is_outside(&self) -> bool {
        self.proposal.claims.hands == Hands::Pipeline
    }

    /// Whether its next step may begin as soon as every gate is open.
    pub fn waits_to_begin(&self) -> bool {
        match &self.stage {
            Stage::Scheduled { .. } => true,
            Stage::Rolling(rollout) => {
                let is_next = matches!(rollout.state, StepState::Ready | StepState::Retrying { .. });
                is_next && rollout.pause.is_none() && rollout.back.is_none()
            }
            Stage::Waiting | Stage::Ended { .. } => false,
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
        /// The revision that was edited; nothing where it does not matter which.
        revision: Option<u32>,
    },
    Withdraw {
        reason: String,
    },
    /// Ends it, as a newer change takes its place.
    Supersede,
    Assess(Box<Assessment>),
    Approve {
        effect: Digest,
        comment: Option<String>,
        /// Counts only if [`Given::signer`] says whose it is.
        signature: Option<Signed>,
    },
    Refuse {
        reason: String,
    },
    /// Asks for changes: the change does not go on before it is amended, or the request is taken back.
    RequestChanges {
        reason: String,
    },
    /// Takes back one's own vote, or one's own request for changes.
    TakeBack {
        reason: String,
    },
    /// Sets a soft rule aside.
    Override {
        code: String,
        reason: String,
    },
    /// Sets every rule aside that stands, together with a second person.
    BreakGlass {
        reason: String,
    },
    /// Ticks a point of a checklist.
    Tick {
        list: String,
        code: String,
        note: String,
    },
    /// Approves what needs nobody.
    ApproveByAutomation,
    LapseVotes,
    /// Voids the votes of people who may no longer vote.
    RevokeVotes,
    /// Reminds people, or asks the next group, where it is time.
    Call,
    /// Reminds people of a debt.
    Nag,
    Lapse,
    Schedule,
    /// Asks that a freeze let it pass.
    AskException {
        freeze: String,
        until: Timestamp,
        reason: String,
    },
    /// Lets it pass a freeze until the instant that was asked for, as who grants it has read.
    GrantException {
        freeze: String,
        until: Timestamp,
    },
    /// Ends an exception before its time, or takes back the question.
    RevokeException {
        freeze: String,
        reason: String,
    },
    /// Does what a change under way does when its calendar has closed, or is open again.
    Close,
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
    /// Pauses what rolls out because of something beside the change: a hold of its service, or a budget that burns.
    Halt {
        why: PauseReason,
        reason: String,
        /// All that would pause it now, by name.
        by: BTreeSet<String>,
    },
    /// Goes on after what halted it is over.
    GoOn {
        why: PauseReason,
    },
    /// Somebody on call does not let it go on before an instant.
    Veto {
        reason: String,
        until: Timestamp,
    },
    LiftVeto {
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
        /// The users who were on call then, where they were told by their schedule.
        to: BTreeSet<String>,
    },
    Review {
        summary: String,
    },
    /// Makes it part of a release.
    Join {
        release: ReleaseId,
    },
    /// Its release has passed as a whole.
    Complete,
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

/// The most characters of a reason: what is longer stands somewhere else, and is linked.
pub const LONGEST_REASON: usize = 4_000;

/// A reason that somebody gives, if it is one.
///
/// # Errors
/// If it is blank, or too long.
pub fn reason(text: &str) -> Result<String, Rejection> {
    let characters = text.chars().count();
    match text.trim().is_empty() {
        true => Err(Rejection::ReasonNeeded),
        false if characters > LONGEST_REASON => Err(Rejection::ReasonTooLong { characters }),
        false => Ok(text.to_owned()),
    }
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
    /// The fingerprint of the key that made the command's signature and is the actor's, or why there is none: asked by the shell, just now.
    pub signer: Result<String, String>,
    /// The lanes of the change's resources.
    pub lanes: Vec<Lane>,
    /// Those changes that it comes after, which are completed.
    pub completed: BTreeSet<ChangeId>,
    /// The freezes that cover it now.
    /// Those that ended without being completed, and how.
    pub stranded: BTreeMap<ChangeId, Phase>,
    /// What is true of those that an amendment names.
    pub sequence: Sequence,
    /// The changes in its way or beside it, before its first step.
    pub conflicts: Vec<Conflict>,
    /// The newer change that takes its place.
    pub superseded_by: Option<ChangeId>,
    pub frozen: Vec<Frozen>,
    /// The windows that cover it, now.
    pub windows: Windows,
    /// The owner of each freeze that covers it at some time.
    pub freezes: BTreeMap<String, String>,
    /// When the calendar lets it go; nothing where nobody has asked.
    pub opening: Option<Opening>,
    /// The same once all else is over that holds it at this time and has an end; nothing where nothing else does.
    pub reopening: Option<Opening>,
    pub readiness: Readiness,
    /// What was found with it that stands in nobody's way.
    pub warnings: Vec<String>,
    /// For whom the actor speaks: whose place it is, by group.
    pub on_behalf: BTreeMap<String, String>,
    /// Why a vote of this actor can't count, where it can't.
    pub excluded: Option<String>,
    /// Those who committed to the change and whom access.yaml does not know.
    pub unknown_committers: BTreeSet<String>,
    /// Whether the standard change that it is an instance of counts; nothing for any other change.
    pub standard: Option<standard::Standing>,
    /// Voters who may no longer vote, or who have a part in the change.
    pub revoked: BTreeSet<Actor>,
    /// Those who have set rules aside, or have a hand on the glass, and may do so no longer.
    pub hands_off: BTreeSet<Actor>,
    /// The exceptions that were granted by somebody who could not grant them now, before the first step.
    pub grants_lost: BTreeSet<calendar::Lost>,
    /// Those with a hand on the glass who have a part in the change.
    pub insiders: BTreeSet<Actor>,
    pub stopped: Option<Stopped>,
    /// The holds of its services by people on call.
    pub holds: Vec<ServiceHold>,
    /// How long a veto may last.
    pub longest_hold: Span,
    /// Who is on call for its services.
    pub duty: Duty,
    /// Whether and when those hear of it before it begins.
    pub tell_on_call: TellOnCall,
    /// The error budgets of its services that are read.
    pub budgets: Vec<BudgetStanding>,
    /// How what a burn has paused goes on; by a person where no budget is read.
    pub after_burn: ResumeBy,
    /// Whether gates hold changes of these services, or only report.
    pub gating: Gating,
    /// What the owner of the change owes and should have paid.
    pub overdue: Vec<OpenDebt>,
    /// Who is told when a debt is long overdue.
    pub debts_escalate_to: Option<String>,
    /// The groups of which everybody is away.
    pub away: BTreeSet<String>,
    /// Who could agree to an emergency that waits, by the groups that it asks; empty for everything else.
    pub could_agree: BTreeMap<String, BTreeSet<String>>,
    /// The release that the change is part of, as it stands.
    pub release: Option<Release>,
    /// The batch with which it goes.
    pub batch: Option<BatchStanding>,
    /// The batch with which it went, while it is under way and has not failed.
    pub went_with: Option<String>,
}

impl Given {
    /// Nothing but a time and an actor: enough for commands that ask no gate.
    pub fn bare(now: Timestamp, actor: Actor) -> Self {
        Self {
            now,
            actor,
            may: BTreeSet::new(),
            groups: BTreeSet::new(),
            signer: Err("nobody has verified it".into()),
            lanes: vec![],
            completed: BTreeSet::new(),
            stranded: BTreeMap::new(),
            sequence: Sequence::default(),
            conflicts: vec![],
            superseded_by: None,
            frozen: vec![],
            windows: Windows::None,
            freezes: BTreeMap::new(),
            opening: None,
            reopening: None,
            readiness: Readiness::Unknown { why: "nobody has looked at the target and the telemetry yet".into() },
            warnings: vec![],
            on_behalf: BTreeMap::new(),
            excluded: None,
            unknown_committers: BTreeSet::new(),
            standard: None,
            revoked: BTreeSet::new(),
            hands_off: BTreeSet::new(),
            grants_lost: BTreeSet::new(),
            insiders: BTreeSet::new(),
            stopped: None,
            holds: vec![],
            longest_hold: holds::LONGEST,
            duty: Duty::default(),
            tell_on_call: TellOnCall::default(),
            budgets: vec![],
            after_burn: ResumeBy::Ask,
            gating: Gating::Enforce,
            overdue: vec![],
            debts_escalate_to: None,
            away: BTreeSet::new(),
            could_agree: BTreeMap::new(),
            release: None,
            batch: None,
            went_with: None,
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
    /// A newer change of the same owner and services took its place before it began.
    Superseded {
        by: ChangeId,
    },
    Assessed(Box<Assessment>),
    Approved {
        effect: Digest,
        groups: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        on_behalf: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Signature>,
    },
    Refused {
        reason: String,
    },
    ChangesRequested {
        reason: String,
    },
    /// One's own vote, or one's own request for changes.
    TakenBack {
        reason: String,
    },
    /// A soft rule was set aside.
    DenialOverridden {
        code: String,
        effect: Digest,
        reason: String,
    },
    /// The first of two people would break the glass.
    GlassTouched {
        effect: Digest,
        /// The rules that they saw standing: a second hand breaks no others.
        #[serde(default)]
        codes: BTreeSet<String>,
        reason: String,
    },
    /// Two people have set these rules aside together.
    GlassBroken {
        codes: BTreeSet<String>,
        by: BTreeSet<Actor>,
        effect: Digest,
        reason: String,
    },
    Ticked {
        list: String,
        code: String,
        effect: Digest,
        note: String,
    },
    Reminded {
        by: String,
    },
    Escalated {
        by: String,
        to: String,
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
    /// The calendar has changed: a change for the next window has another moment. Its place among those that wait stays its own.
    Rescheduled {
        #[schemars(with = "String")]
        not_before: Timestamp,
    },
    Held {
        gates: Vec<Gate>,
    },
    Released,
    ExceptionAsked {
        freeze: String,
        effect: Digest,
        #[schemars(with = "String")]
        until: Timestamp,
        reason: String,
    },
    ExceptionGranted {
        freeze: String,
        effect: Digest,
        /// By virtue of what: the owner of the freeze, or the permission `freeze`.
        role: String,
    },
    /// What was asked for or granted of this freeze for this effect counts no more.
    ExceptionRevoked {
        freeze: String,
        effect: Digest,
        reason: String,
    },
    /// A freeze has begun or a window has ended in mid-rollout, and more than the next step is held by it.
    CalendarClosed {
        /// The freezes and windows.
        names: Vec<String>,
        then: OnClose,
        reason: String,
        /// Nothing where it does not open within ten years.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
    },
    /// The calendar that had closed in mid-rollout is open again: when it closes the next time, the change does what is asked then.
    CalendarOpened,
    /// Holds or burns have paused it: none of these does so again.
    Halted {
        by: BTreeSet<String>,
    },
    /// Gates were closed and held nothing, because the services are only observed.
    GatesObserved {
        gates: Vec<Gate>,
    },
    /// It was deployed without the product, and is put on record afterwards.
    DeployedBefore {
        #[schemars(with = "String")]
        at: Timestamp,
        reason: String,
    },
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
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        to: BTreeSet<String>,
        #[serde(default)]
        urgency: Urgency,
        /// Not before this instant; at once if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        at: Option<Timestamp>,
    },
    Paged {
        key: String,
        channel: String,
        /// The users who were on call then, where they were told by their schedule.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        to: BTreeSet<String>,
    },
    DebtOwed {
        debt: Debt,
        reason: String,
        #[schemars(with = "String")]
        due: Timestamp,
    },
    DebtPaid {
        debt: Debt,
        summary: String,
    },
    /// Somebody who was asked afterwards has said no. The debt stands.
    DebtRefused {
        debt: Debt,
        reason: String,
    },
    DebtNagged {
        debt: Debt,
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
        /// How many like it were not written since the last one that was.
        #[serde(default, skip_serializing_if = "is_zero")]
        unwritten: u64,
    },
    GovernanceLoaded {
        digest: Digest,
        files: BTreeMap<String, Digest>,
        /// The users who committed what is new in it, as far as its repository says.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        editors: BTreeSet<String>,
        /// The policies in force, which are kept beside the log under this digest; entries of early days name none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Digest>,
        /// The version of the time-zone database by which windows and `input.now` are reckoned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezones: Option<String>,
        /// The commit of its repository that was loaded; nothing where it lies in none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
    },
    Delegated(Delegation),
    DelegationEnded {
        from: String,
        /// One delegation; all of `from`'s if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    AllStopped {
        reason: String,
    },
    /// It has begun as one of a batch.
    WentWithBatch {
        batch: String,
    },
    /// One of a batch has failed: what has not begun waits. Stands in the stream of batches with the failure, so that none begins in between.
    BatchStopped {
        batch: String,
        by: ChangeId,
    },
    /// The rest of a batch, of which one has failed, may go on.
    BatchReleased {
        batch: String,
        reason: String,
    },
    StopReleased {
        reason: String,
    },
    /// The rollouts of services are held until an instant.
    HoldSet(Box<HoldOrder>),
    HoldReleased {
        hold: String,
        reason: String,
    },
    /// The error budget of a service has moved: into another band, into a burn or out of it, or out of sight.
    BudgetMoved(Box<BudgetState>),
    /// A change took one of the places that the budget of a service leaves in a day.
    BudgetDrawn {
        change: ChangeId,
    },
    /// Somebody on call does not let this change go on before an instant.
    Vetoed {
        #[schemars(with = "String")]
        until: Timestamp,
        reason: String,
    },
    VetoLifted {
        reason: String,
    },
    StandardSuspended {
        standard: String,
        failures: u32,
        reason: String,
    },
    StandardReinstated {
        standard: String,
        reason: String,
    },
    /// The change became part of a release.
    JoinedRelease {
        release: ReleaseId,
    },
    ReleaseProposed {
        release: ReleaseId,
        plan: Box<release::Proposed>,
    },
    /// A member of the release stands otherwise than before.
    ReleaseMoved {
        release: ReleaseId,
        change: ChangeId,
        to: release::Standing,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Nothing more of it begins.
    ReleaseStopped {
        release: ReleaseId,
        /// The change whose failure it was; nothing where a person asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<ChangeId>,
        reason: String,
        then: release::OnFailure,
    },
    /// A member can't be rolled back by the release: the others don't wait for it.
    ReleaseStuck {
        release: ReleaseId,
        change: ChangeId,
        why: String,
    },
    /// Every member has passed, and so has the whole.
    ReleasePassed {
        release: ReleaseId,
    },
    ReleaseWithdrawn {
        release: ReleaseId,
        reason: String,
    },
    /// People were told.
    ReleaseTold {
        release: ReleaseId,
        key: String,
        channel: String,
    },
    ServerStarted {
        build: String,
        timezones: String,
    },
    /// A token was made. What it is stays out of the log: only its name for people is here.
    TokenMade {
        token: String,
        user: String,
        name: String,
        limits: crate::actor::Limits,
        #[schemars(with = "Option<String>")]
        expires: Option<Timestamp>,
    },
    /// A token was used for the first time.
    TokenFirstUsed {
        token: String,
        user: String,
    },
    TokenRevoked {
        token: String,
        user: String,
    },
    /// Somebody with the rights of the store's files made a user an administrator for a time.
    AdministratorRecovered {
        user: String,
        #[schemars(with = "String")]
        until: Timestamp,
        reason: String,
    },
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
