//! Rejection: what a command is answered with when a rule says no: the facts, a code for programs, and what to do about it.
//!
//! Carries no rule of its own; the rooms make them.

use super::Phase;
use crate::actor::{Actor, Permission};
use crate::id::ChangeId;
use crate::time::Timestamp;

/// What a command is answered with when a rule says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("`{change}` is {phase}: {why}")]
    WrongPhase { change: ChangeId, phase: Phase, why: String },
    #[error("`{actor}` may not {}", .permission.deed())]
    NotAllowed { actor: Actor, permission: Permission },
    #[error("only Clearway itself does this")]
    NotForPeople,
    #[error("`{actor}` wrote `{change}` or a part of it; a change is approved by somebody else")]
    OwnChange { actor: Actor, change: ChangeId },
    #[error("`{actor}` wrote `{change}` or a part of it; an exception is granted by somebody else")]
    OwnException { actor: Actor, change: ChangeId },
    #[error("{by} granted it already: `{change}` passes the freeze `{freeze}`")]
    GrantedAlready { by: Actor, change: ChangeId, freeze: String },
    #[error("`{actor}` has approved this effect already")]
    AlreadyVoted { actor: Actor },
    #[error("`{actor}` would speak in the place of {seats}, and that place has been taken")]
    SeatTaken { actor: Actor, seats: String },
    #[error("`{actor}` is in none of the groups whose approval is asked for: {asked}")]
    NotEntitled { actor: Actor, asked: String },
    #[error("the signature does not count: {why}")]
    BadSignature { change: ChangeId, why: String },
    #[error("a vote for {asked} has to be signed")]
    SignatureNeeded { change: ChangeId, asked: String },
    #[error("this approves the effect {given}, but `{change}` has the effect {now} now")]
    StaleEffect { change: ChangeId, given: String, now: String },
    #[error("revision {given} of `{change}` was edited, but it has revision {now} now")]
    StaleRevision { change: ChangeId, given: u32, now: u32 },
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
    /// Of a veto or an exception: a sentence that says what to do.
    #[error("{why}")]
    BadEnd { why: String },
    #[error("a reason is needed")]
    ReasonNeeded,
    #[error("the reason has {characters} characters, and at most {} are taken", super::LONGEST_REASON)]
    ReasonTooLong { characters: usize },
    #[error("`{actor}` can't vote on `{change}`: {why}")]
    Excluded { actor: Actor, change: ChangeId, why: String },
    #[error("no rule `{code}` stands against `{change}`")]
    NoSuchDenial { change: ChangeId, code: String, standing: String },
    #[error("the rule `{code}` is hard: nobody overrides it alone")]
    HardRule { code: String },
    #[error("`{actor}` is in none of the groups that may override `{code}`: {groups}")]
    NotAnOverrider { actor: Actor, code: String, groups: String },
    #[error("`{actor}` has one hand on the glass already; a second person has to break it")]
    SecondPersonNeeded { actor: Actor },
    #[error("no list `{list}` of `{change}` has the point `{code}`")]
    NoSuchPoint { change: ChangeId, list: String, code: String, open: String },
    #[error("the point `{code}` is ticked by evidence alone")]
    EvidenceNeeded { code: String },
    #[error("no freeze `{freeze}` covers `{change}`")]
    NoSuchFreeze { change: ChangeId, freeze: String, known: String },
    #[error("there is no such exception of `{change}`: {why}")]
    NoSuchException { change: ChangeId, why: String },
    #[error("this grants an exception of `{freeze}` until `{given}`, but `{change}` asks for one until `{asked}` now")]
    StaleException { change: ChangeId, freeze: String, given: Timestamp, asked: Timestamp },
    #[error("`{actor}` is not of those who own the freeze `{freeze}`: {owner}")]
    NotFreezeOwner { actor: Actor, freeze: String, owner: String },
    #[error("`{change}` can't come after `{unknown}`: there is no such change")]
    AfterUnknown { change: ChangeId, unknown: ChangeId },
    #[error("`{change}` can't come after `{fellow}`: both are part of one release, and are completed together")]
    AfterFellow { change: ChangeId, fellow: ChangeId },
    #[error("`{change}` would wait for itself: {circle}, each waits for the next")]
    Circle { change: ChangeId, circle: String },
    #[error("`{holder}` is changing {place} now, and the rules let nothing be proposed there in the meantime")]
    InTheWay { holder: ChangeId, place: String },
    #[error("its gates are closed: {reasons}")]
    GatesClosed { change: ChangeId, reasons: String },
}

impl Rejection {
    /// For programs; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPhase { .. } => "wrong_phase",
            Self::NotAllowed { .. } => "not_allowed",
            Self::NotForPeople => "not_for_people",
            Self::OwnChange { .. } | Self::OwnException { .. } => "own_change",
            Self::GrantedAlready { .. } => "granted_already",
            Self::AlreadyVoted { .. } => "already_voted",
            Self::SeatTaken { .. } => "seat_taken",
            Self::NotEntitled { .. } => "not_entitled",
            Self::BadSignature { .. } => "bad_signature",
            Self::SignatureNeeded { .. } => "signature_needed",
            Self::StaleEffect { .. } => "stale_effect",
            Self::StaleRevision { .. } => "stale_revision",
            Self::VerdictIsFail { .. } => "verdict_is_fail",
            Self::NothingToRollBack { .. } => "nothing_to_roll_back",
            Self::LaneTaken { .. } => "lane_taken",
            Self::OutcomeNeeded { .. } => "outcome_needed",
            Self::Stale { .. } => "stale",
            Self::BadEnd { .. } => "bad_end",
            Self::ReasonNeeded => "reason_needed",
            Self::ReasonTooLong { .. } => "reason_too_long",
            Self::Excluded { .. } => "excluded",
            Self::NoSuchDenial { .. } => "no_such_denial",
            Self::HardRule { .. } => "hard_rule",
            Self::NotAnOverrider { .. } => "not_an_overrider",
            Self::SecondPersonNeeded { .. } => "second_person_needed",
            Self::NoSuchPoint { .. } => "no_such_point",
            Self::EvidenceNeeded { .. } => "evidence_needed",
            Self::NoSuchFreeze { .. } => "no_such_freeze",
            Self::NoSuchException { .. } => "no_such_exception",
            Self::StaleException { .. } => "stale_exception",
            Self::NotFreezeOwner { .. } => "not_freeze_owner",
            Self::AfterUnknown { .. } => "after_unknown",
            Self::AfterFellow { .. } => "after_fellow",
            Self::Circle { .. } => "circle",
            Self::InTheWay { .. } => "in_the_way",
            Self::GatesClosed { .. } => "gates_closed",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed { permission, .. } => format!("ask for a role with `{permission}` in access.yaml"),
            Self::NotForPeople => "Clearway performs the steps of this change itself; `clearway begin` and `finish` are for changes whose target has `driver: pipeline`".into(),
            Self::OwnChange { .. } => "ask somebody else to approve it".into(),
            Self::OwnException { .. } => "ask the owner of the freeze, or somebody else who may freeze, to grant it".into(),
            Self::ReasonTooLong { .. } => "say it in short, and link to the rest".into(),
            Self::BadSignature { change, .. } => {
                format!(
                    "look at what you would sign with `clearway approve {change} --statement`, and sign that; keys are listed in access.yaml"
                )
            }
            Self::SignatureNeeded { change, .. } => format!("sign it: `clearway approve {change} --sign`"),
            Self::StaleEffect { change, .. } => {
                format!("look at it again with `clearway show {change}`, then approve what it is now")
            }
            Self::StaleRevision { change, given, now } => format!(
                "see what is another with `clearway diff {change} --from {given} --to {now}`, take it into your file, then amend revision {now}"
            ),
            Self::VerdictIsFail { .. } => "roll it back, or pause it and find out why".into(),
            Self::NothingToRollBack { change } => format!("withdraw it with `clearway withdraw {change}`"),
            Self::LaneTaken { holder, .. } => format!("roll back `{holder}` first, or propose a change that repairs"),
            Self::OutcomeNeeded { .. } => {
                "look at the target, then resume with `--found applied` or `--found not-applied`, or roll back".into()
            }
            Self::ReasonNeeded => "add `--reason \"...\"`".into(),
            Self::Excluded { .. } => "ask somebody else to approve it".into(),
            Self::NoSuchDenial { standing, .. } if standing.is_empty() => "no rule stands against it".into(),
            Self::NoSuchDenial { standing, .. } => format!("these stand: {standing}"),
            Self::HardRule { .. } => {
                "amend the change, or break the glass: that takes two people, pages, and owes a review".into()
            }
            Self::NotAnOverrider { groups, .. } => format!("ask somebody of {groups}"),
            Self::SecondPersonNeeded { .. } => "ask a second person who may override to run the same command".into(),
            Self::NoSuchPoint { open, .. } if open.is_empty() => "every point is ticked".into(),
            Self::NoSuchPoint { open, .. } => format!("these are open: {open}"),
            Self::EvidenceNeeded { .. } => "amend the change with a link to it under `evidence`".into(),
            Self::NoSuchFreeze { known, .. } if known.is_empty() => "no freeze ever covers it".into(),
            Self::NoSuchFreeze { known, .. } => format!("these cover it at some time: {known}"),
            Self::NoSuchException { change, .. } => format!(
                "ask for one: `clearway calendar except {change} --freeze NAME --until 2026-12-24T18:00Z --reason \"...\"`"
            ),
            Self::StaleException { change, freeze, asked, .. } => format!(
                "read what it asks for now, then grant that: `clearway calendar except {change} --freeze {freeze} --grant --until {asked}`"
            ),
            Self::NotFreezeOwner { owner, .. } => format!("ask `{owner}`, or somebody who may freeze"),
            Self::AfterUnknown { .. } => "name changes that were proposed before; see `clearway list`".into(),
            Self::AfterFellow { .. } => {
                "leave it out: the order within a release is that of its own file, which says `after` by the names of its members"
                    .into()
            }
            Self::Circle { .. } => "leave one of them out of `after`".into(),
            Self::InTheWay { holder, .. } => {
                format!("propose it when `{holder}` is done: `clearway watch {holder}`; or propose an emergency")
            }
            Self::GatesClosed { change, .. } => format!("wait for them with `clearway wait {change} --until open`"),
            _ => return None,
        })
    }
}
