//! Deciding: each command against each state, as events or a rejection.
//!
//! Straight dispatch. Who may is asked first, then whether the phase allows it, then the room decides.

use std::collections::BTreeSet;

use super::{Change, Command, Event, Found, Given, Phase, Rejection, Stage};
use crate::actor::{Actor, Permission};
use crate::aftermath;
use crate::approval::{self, Signature, Signed, Voided, Vote};
use crate::assessment::{Assessment, Signing};
use crate::decision;
use crate::document::list;
use crate::gate;
use crate::id::{ChangeId, Digest};
use crate::proposal::{self, Carry, Proposal};
use crate::rollout::{BackState, Failure, MOST_ATTEMPTS, PauseReason, Rollout, StepState};
use crate::verification::{Answer, EvidenceTaken, Judgement};

type Decision = Result<Vec<Event>, Rejection>;

/// What follows from a command. An empty list means that it is true already.
///
/// # Errors
/// A [`Rejection`] that carries the facts, where a rule says no. Nothing has happened then.
pub fn decide(change: &Change, command: Command, given: &Given) -> Decision {
    authorise(change, &command, given)?;
    match command {
        Command::Amend { proposal } => amend(change, *proposal),
        Command::Withdraw { reason } => withdraw(change, reason),
        Command::Assess(assessment) => assess(change, *assessment),
        Command::Approve { effect, comment, signature } => approve(change, given, effect, comment, signature),
        Command::Refuse { reason } => refuse(change, reason),
        Command::LapseVotes => Ok(lapse_votes(change, given)),
        Command::Lapse => lapse(change, given),
        Command::Schedule => schedule(change, given),
        Command::BeginStep { observed } => begin_step(change, given, observed),
        Command::ReportApplied { step, attempt, actual } => {
            begun(change, step, attempt).map(|_| vec![Event::StepApplied { step, attempt, actual }])
        }
        Command::ReportFailed { step, attempt, failure, error } => report_failed(change, step, attempt, failure, error),
        Command::Judge { judgement, evidence } => judge(change, given, *judgement, evidence),
        Command::Pause { reason } => pause(change, reason),
        Command::Resume { found } => resume(change, found),
        Command::Promote { reason } => promote(change, reason),
        Command::Rollback { reason } => roll_back(change, given, reason),
        Command::BeginUndo => begin_undo(change, given),
        Command::ReportUndone { observed } => report_undone(change, given, observed),
        Command::ReportUndoFailed { attempt, failure, error } => report_undo_failed(change, attempt, failure, error),
        Command::CompleteByHand { evidence } => complete_by_hand(change, given, evidence),
        Command::SupersedeWatch { by } => supersede_watch(change, by),
        Command::ReportPaged { key, channel } => Ok(report_paged(change, key, channel)),
        Command::Review { summary } => review(change, summary),
    }
}

/// Who may ask: people need the permission, and what Clearway does by itself is not for people.
fn authorise(change: &Change, command: &Command, given: &Given) -> Result<(), Rejection> {
    let needed = match command {
        Command::Amend { .. } | Command::Withdraw { .. } if given.actor == change.author => return Ok(()),
        Command::Amend { .. } | Command::Withdraw { .. } | Command::Review { .. } => Permission::Propose,
        Command::Approve { .. } | Command::Refuse { .. } => Permission::Approve,
        Command::Pause { .. } => Permission::Pause,
        Command::Resume { .. } => Permission::Resume,
        Command::Promote { .. } => Permission::Promote,
        Command::Rollback { .. } | Command::CompleteByHand { .. } => Permission::Rollback,
        _ if matches!(given.actor, Actor::Clearway(_)) => return Ok(()),
        _ => return Err(Rejection::NotForPeople),
    };
    if given.may.contains(&needed) {
        Ok(())
    } else {
        Err(Rejection::NotAllowed { actor: given.actor.clone(), permission: needed })
    }
}

fn wrong_phase(change: &Change, why: &str) -> Rejection {
    Rejection::WrongPhase { change: change.id, phase: change.phase(), why: why.to_owned() }
}

fn before_rollout(change: &Change, why: &str) -> Result<(), Rejection> {
    match change.stage {
        Stage::Waiting | Stage::Scheduled { .. } => Ok(()),
        Stage::Rolling(_) | Stage::Ended { .. } => Err(wrong_phase(change, why)),
    }
}

fn rolling<'a>(change: &'a Change, why: &str) -> Result<&'a Rollout, Rejection> {
    change.rollout().ok_or_else(|| wrong_phase(change, why))
}

fn with_reason(reason: String) -> Result<String, Rejection> {
    if reason.trim().is_empty() { Err(Rejection::ReasonNeeded) } else { Ok(reason) }
}

fn amend(change: &Change, proposal: Proposal) -> Decision {
    before_rollout(change, "it can be amended only before its rollout begins; propose another change")?;
    if proposal == change.proposal {
        return Ok(vec![]);
    }
    let votes = proposal::carry(&change.proposal, &proposal);
    let voters: Vec<Actor> = change.votes.iter().map(|v| v.voter.clone()).collect();
    let mut events = vec![Event::Amended { proposal: Box::new(proposal), votes }];
    if votes == Carry::Void && !voters.is_empty() {
        events.push(Event::VotesVoided { voters, why: Voided::Amended });
    }
    Ok(events)
}

fn withdraw(change: &Change, reason: String) -> Decision {
    before_rollout(change, "it can be withdrawn only before its rollout begins; roll it back instead")?;
    Ok(vec![Event::Withdrawn { reason }])
}

fn assess(change: &Change, assessment: Assessment) -> Decision {
    if change.phase() != Phase::Proposed {
        return Err(wrong_phase(change, "it is assessed already"));
    }
    if assessment.effect != change.proposal.effect_digest {
        return Err(Rejection::Stale { change: change.id, what: format!("the effect {}", assessment.effect.short()) });
    }
    let needs_nobody = assessment.allows() && assessment.requires.is_empty();
    let effect = assessment.effect;
    let mut events = vec![Event::Assessed(Box::new(assessment))];
    if needs_nobody && change.votes.is_empty() {
        let comment = Some("approved by automation: the policy asks for nobody".to_owned());
        events.push(Event::Approved { effect, groups: [].into(), comment, signature: None });
    }
    Ok(events)
}

fn approve(
    change: &Change,
    given: &Given,
    effect: Digest,
    comment: Option<String>,
    signed: Option<Signed>,
) -> Decision {
    before_rollout(change, "votes are cast before the rollout begins")?;
    let Some(assessed) = &change.assessment else {
        return Err(wrong_phase(change, "what it needs is known once policy has answered"));
    };
    let actor = given.actor.clone();
    if effect != change.proposal.effect_digest {
        return Err(Rejection::StaleEffect {
            change: change.id,
            given: effect.short(),
            now: change.proposal.effect_digest.short(),
        });
    }
    if actor == change.author || change.amended_by.contains(&actor) {
        return Err(Rejection::OwnChange { actor, change: change.id });
    }
    // A signed vote may take the place of one that was not signed.
    let as_good = |v: &Vote| v.signature.is_some() || signed.is_none();
    if change.votes.iter().any(|v| v.voter == actor && v.counts(effect, given.now) && as_good(v)) {
        return Err(Rejection::AlreadyVoted { actor });
    }
    let asked: Vec<&str> = assessed.assessment.requires.iter().map(|r| r.by.as_str()).collect();
    if !asked.iter().any(|group| given.groups.contains(*group)) {
        return Err(Rejection::NotEntitled { actor, asked: list(asked) });
    }
    let signature = signature(change, given, signed)?;
    if signature.is_none() {
        signature_is_free(change, &assessed.assessment, &given.groups)?;
    }
    Ok(vec![Event::Approved { effect, groups: given.groups.clone(), comment, signature }])
}

/// The signature as it goes into the log. One that the shell could not verify is a refusal, never an unsigned vote.
fn signature(change: &Change, given: &Given, signed: Option<Signed>) -> Result<Option<Signature>, Rejection> {
    let Some(Signed { statement, armored }) = signed else { return Ok(None) };
    match &given.signer {
        Ok(key) => Ok(Some(Signature { key: key.clone(), statement, armored })),
        Err(why) => Err(Rejection::BadSignature { change: change.id, why: why.clone() }),
    }
}

/// A vote that can't count for anything is refused: it would look like consent.
fn signature_is_free(change: &Change, assessment: &Assessment, groups: &BTreeSet<String>) -> Result<(), Rejection> {
    let asked = || assessment.requires.iter().filter(|r| groups.contains(&r.by));
    if asked().any(|r| r.signature == Signing::Free) || asked().next().is_none() {
        return Ok(());
    }
    Err(Rejection::SignatureNeeded { change: change.id, asked: list(asked().map(|r| r.by.as_str())) })
}

fn refuse(change: &Change, reason: String) -> Decision {
    before_rollout(change, "it can be refused only before its rollout begins; pause it or roll it back")?;
    Ok(vec![Event::Refused { reason: with_reason(reason)? }])
}

fn lapse_votes(change: &Change, given: &Given) -> Vec<Event> {
    if change.rollout().is_some() || change.phase().is_terminal() {
        return vec![];
    }
    let old = change.votes.iter().filter(|v| v.until <= given.now);
    let voters: Vec<Actor> = old.map(|v| v.voter.clone()).collect();
    if voters.is_empty() { vec![] } else { vec![Event::VotesVoided { voters, why: Voided::Lapsed }] }
}

fn lapse(change: &Change, given: &Given) -> Decision {
    let assessed = change.assessment.as_ref().filter(|_| change.phase() == Phase::Assessed);
    let Some(assessed) = assessed else {
        return Err(wrong_phase(change, "only a change that waits for approval lapses"));
    };
    if approval::lapses_at(&assessed.assessment, assessed.at) > given.now {
        return Ok(vec![]);
    }
    let gates = gate::closed_ones(gate::ask(change, given));
    let missing = gates.first().map_or_else(String::new, |g| format!(": the gate `{}` stayed closed", g.gate));
    Ok(vec![Event::Lapsed { reason: format!("nobody decided in time{missing}") }])
}

fn schedule(change: &Change, given: &Given) -> Decision {
    if change.phase() != Phase::Approved {
        return Err(wrong_phase(change, "only an approved change is scheduled"));
    }
    Ok(vec![Event::Scheduled { not_before: change.proposal.when.not_before(given.now) }])
}

fn begin_step(change: &Change, given: &Given, observed: serde_json::Value) -> Decision {
    let (step, attempt) = match &change.stage {
        Stage::Scheduled { .. } => (0, 1),
        Stage::Rolling(rollout) => next_step(change, rollout)?,
        Stage::Waiting | Stage::Ended { .. } => return Err(wrong_phase(change, "no step is next")),
    };
    let to_come = |r: &Rollout| matches!(r.state, StepState::Retrying { at, .. } if at > given.now);
    if change.rollout().is_some_and(to_come) {
        return Ok(vec![]);
    }
    let closed = gate::closed_ones(gate::ask(change, given));
    if !closed.is_empty() {
        let known = change.hold.as_ref().is_some_and(|hold| hold.gates == closed);
        return Ok(if known { vec![] } else { vec![Event::Held { gates: closed }] });
    }
    let weight = change.proposal.plan.steps[step].weight;
    let effect = change.proposal.effect_digest;
    let released = change.hold.as_ref().map(|_| Event::Released);
    Ok(released.into_iter().chain([Event::StepBegun { step, attempt, weight, effect, observed }]).collect())
}

fn next_step(change: &Change, rollout: &Rollout) -> Result<(usize, u32), Rejection> {
    let waits = rollout.pause.is_some() || rollout.back.is_some();
    match rollout.state {
        StepState::Ready | StepState::Retrying { .. } if !waits && rollout.step < change.proposal.plan.steps.len() => {
            Ok((rollout.step, rollout.attempt + 1))
        }
        _ => Err(wrong_phase(change, "no step is next")),
    }
}

/// The rollout, if this very attempt is under way.
fn begun(change: &Change, step: usize, attempt: u32) -> Result<&Rollout, Rejection> {
    let current = change.rollout().filter(|r| r.step == step && r.attempt == attempt && r.back.is_none());
    let current = current.filter(|r| matches!(r.state, StepState::Begun { .. }));
    current
        .ok_or_else(|| Rejection::Stale { change: change.id, what: format!("attempt {attempt} at step {}", step + 1) })
}

fn report_failed(change: &Change, step: usize, attempt: u32, failure: Failure, error: String) -> Decision {
    let rollout = begun(change, step, attempt)?;
    let reason = format!("{} failed: {error}", change.step_name(step));
    let mut events = vec![Event::StepFailed { step, attempt, failure, error }];
    match failure {
        Failure::Retry if attempt < MOST_ATTEMPTS => {}
        Failure::Retry | Failure::Final => events.push(Event::RollbackBegun { reason }),
        Failure::Unknown => {
            let reason = format!("nobody can say whether {} happened; look at the target", change.step_name(step));
            events.push(Event::Paused { why: PauseReason::UnknownOutcome, reason: reason.clone() });
            events.push(decision::page(change, rollout, "unknown", reason));
        }
    }
    Ok(events)
}

fn judge(change: &Change, given: &Given, judgement: Judgement, evidence: EvidenceTaken) -> Decision {
    let stale = || Rejection::Stale {
        change: change.id,
        what: format!("the verdict of attempt {} at step {}", judgement.attempt, judgement.step + 1),
    };
    let rollout =
        change.rollout().filter(|r| r.step == judgement.step && r.attempt == judgement.attempt && r.back.is_none());
    let rollout = rollout.filter(|r| matches!(r.state, StepState::Applied { .. })).ok_or_else(stale)?;
    Ok(decision::on_judgement(change, rollout, given, judgement, evidence))
}

fn pause(change: &Change, reason: String) -> Decision {
    let rollout = rolling(change, "only a rollout can be paused")?;
    if rollout.pause.is_some() {
        return Ok(vec![]);
    }
    if change.phase() == Phase::RollbackFailed {
        return Err(wrong_phase(change, "its rollback has stopped already"));
    }
    Ok(vec![Event::Paused { why: PauseReason::Person, reason: with_reason(reason)? }])
}

fn resume(change: &Change, found: Option<Found>) -> Decision {
    let rollout = rolling(change, "only a paused rollout can be resumed")?;
    if rollout.pause.is_none() {
        return Err(wrong_phase(change, "it is not paused"));
    }
    match (&rollout.state, found) {
        (StepState::Unknown { .. }, None) if rollout.back.is_none() => {
            Err(Rejection::OutcomeNeeded { step: change.step_name(rollout.step) })
        }
        (StepState::Unknown { .. }, found) => Ok(vec![Event::Resumed { found }]),
        _ => Ok(vec![Event::Resumed { found: None }]),
    }
}

fn promote(change: &Change, reason: String) -> Decision {
    let why = "only a step that is being verified can be promoted";
    let rollout = rolling(change, why)?;
    if rollout.back.is_some() || !matches!(rollout.state, StepState::Applied { .. }) {
        return Err(wrong_phase(change, why));
    }
    if rollout.judgement.as_ref().is_some_and(|j| j.answer == Answer::Fail) {
        return Err(Rejection::VerdictIsFail { step: change.step_name(rollout.step) });
    }
    let (step, effect) = (rollout.step, rollout.effect);
    let resumed = rollout.pause.as_ref().map(|_| Event::Resumed { found: None });
    let overridden = Event::Overridden { gate: "verification".into(), step, effect, reason: with_reason(reason)? };
    Ok(resumed.into_iter().chain([overridden]).chain(decision::advance(change, rollout)).collect())
}

fn roll_back(change: &Change, given: &Given, reason: String) -> Decision {
    if matches!(change.stage, Stage::Waiting | Stage::Scheduled { .. }) {
        return Err(Rejection::NothingToRollBack { change: change.id });
    }
    let rollout = rolling(change, "its rollout is over; propose a change that undoes it")?;
    let under_way = rollout.back.as_ref().is_some_and(|back| !matches!(back.state, BackState::Failed { .. }));
    if under_way {
        return Ok(rollout.pause.iter().map(|_| Event::Resumed { found: None }).collect());
    }
    if let Some(holder) = rollout.superseded_by {
        let resource = change.proposal.claims.resources.first().cloned().unwrap_or_default();
        return Err(Rejection::LaneTaken { holder, resource });
    }
    if let Some((lane, holder)) = given.lanes.iter().find_map(|l| l.holder.filter(|h| *h != change.id).map(|h| (l, h)))
    {
        return Err(Rejection::LaneTaken { holder, resource: lane.resource.clone() });
    }
    Ok(vec![Event::RollbackBegun { reason: with_reason(reason)? }])
}

fn begin_undo(change: &Change, given: &Given) -> Decision {
    let back = change.rollout().filter(|r| r.pause.is_none()).and_then(|r| r.back.as_ref());
    match back.map(|b| (b.attempt, &b.state)) {
        Some((attempt, BackState::Waiting { at })) if *at <= given.now => {
            Ok(vec![Event::UndoBegun { attempt: attempt + 1 }])
        }
        Some((_, BackState::Waiting { .. })) => Ok(vec![]),
        _ => Err(wrong_phase(change, "no rollback is waiting to begin")),
    }
}

fn undoing(change: &Change) -> Result<(&Rollout, u32), Rejection> {
    let rollout = rolling(change, "it is not rolling back")?;
    match &rollout.back {
        Some(back) if matches!(back.state, BackState::Begun { .. }) => Ok((rollout, back.attempt)),
        _ => Err(Rejection::Stale { change: change.id, what: "a rollback".into() }),
    }
}

fn report_undone(change: &Change, given: &Given, observed: serde_json::Value) -> Decision {
    let (rollout, _) = undoing(change)?;
    let reason = rollout.back.as_ref().map_or_else(String::new, |b| b.reason.clone());
    Ok(vec![Event::RolledBack { observed }, Event::ReviewOwed { reason, due: aftermath::review_due(given.now) }])
}

fn report_undo_failed(change: &Change, attempt: u32, failure: Failure, error: String) -> Decision {
    let (rollout, under_way) = undoing(change)?;
    if attempt != under_way {
        return Err(Rejection::Stale { change: change.id, what: format!("attempt {attempt} at rolling back") });
    }
    let failed = Event::UndoFailed { attempt, error: error.clone() };
    if failure != Failure::Final && attempt < MOST_ATTEMPTS {
        return Ok(vec![failed]);
    }
    let runbook = change.proposal.rollback.runbook.as_ref().map_or_else(String::new, |r| format!("; follow {r}"));
    let page = decision::page(change, rollout, "rollback", format!("the rollback failed: {error}{runbook}"));
    Ok(vec![failed, Event::RollbackFailed { error }, page])
}

fn complete_by_hand(change: &Change, given: &Given, evidence: String) -> Decision {
    let superseded = change.rollout().is_some_and(|r| r.superseded_by.is_some());
    if change.phase() != Phase::RollbackFailed && !superseded {
        return Err(wrong_phase(
            change,
            "only a failed rollback, or a watch that another change has cut short, is completed by hand",
        ));
    }
    let due = aftermath::review_due(given.now);
    let reason = "what the verdict could not undo was completed by hand".to_owned();
    Ok(vec![Event::CompletedByHand { evidence: with_reason(evidence)? }, Event::ReviewOwed { reason, due }])
}

fn supersede_watch(change: &Change, by: ChangeId) -> Decision {
    let watching = change.rollout().filter(|r| r.step >= change.proposal.plan.steps.len() && r.back.is_none());
    match watching {
        Some(rollout) if rollout.superseded_by == Some(by) => Ok(vec![]),
        Some(_) => Ok(vec![Event::WatchSuperseded { by }]),
        None => Err(wrong_phase(change, "it has no watch to supersede")),
    }
}

fn report_paged(change: &Change, key: String, channel: String) -> Vec<Event> {
    let owed = change.pages.get(&key).is_some_and(|page| page.sent_at.is_none());
    if owed { vec![Event::Paged { key, channel }] } else { vec![] }
}

fn review(change: &Change, summary: String) -> Decision {
    match &change.review {
        Some(review) if review.done.is_none() => Ok(vec![Event::ReviewDone { summary: with_reason(summary)? }]),
        Some(_) => Ok(vec![]),
        None => Err(wrong_phase(change, "it owes no review")),
    }
}
