//! Deciding: each command against each state, as events or a rejection.
//!
//! Straight dispatch. Who may is asked first, then whether the phase allows it, then the room decides.

use std::collections::BTreeSet;

use super::{Assessed, Change, Command, Event, Found, Given, Phase, Rejection, Stage, people};
use crate::actor::{Actor, Part, Permission};
use crate::aftermath::{self, Debt};
use crate::approval::{ON_CALL, Voided, Vote};
use crate::assessment::{Assessment, Window};
use crate::course::Afterwards;
use crate::decision;
use crate::gate::{self, Gate};
use crate::holds::{self, Veto};
use crate::id::{ChangeId, ReleaseId};
use crate::on_call;
use crate::proposal::{self, Carry, Proposal};
use crate::release::Release;
use crate::rollout::{BackState, Failure, MOST_ATTEMPTS, PauseReason, Rollout, StepState, due_again};
use crate::schedule::{self, When};
use crate::sequence;
use crate::time::{Timestamp, after};
use crate::verification::{Answer, EvidenceTaken, Judgement};

type Decision = Result<Vec<Event>, Rejection>;

/// What follows from a command. An empty list means that it is true already.
///
/// # Errors
/// A [`Rejection`] that carries the facts, where a rule says no. Nothing has happened then.
pub fn decide(change: &Change, command: Command, given: &Given) -> Decision {
    authorise(change, &command, given)?;
    match command {
        Command::Amend { proposal, revision } => amend(change, given, *proposal, revision),
        Command::Withdraw { reason } => withdraw(change, reason),
        Command::Supersede => supersede(change, given),
        Command::Assess(assessment) => assess(change, given, *assessment),
        Command::Approve { effect, comment, signature } => people::approve(change, given, effect, comment, signature),
        Command::Refuse { reason } => people::refuse(change, given, reason),
        Command::RequestChanges { reason } => people::request_changes(change, given, reason),
        Command::TakeBack { reason } => people::take_back(change, given, reason),
        Command::Override { code, reason } => people::override_denial(change, given, code, reason),
        Command::BreakGlass { reason } => people::break_glass(change, given, reason),
        Command::Tick { list, code, note } => people::tick(change, list, code, note),
        Command::AskException { freeze, until, reason } => people::ask_exception(change, given, freeze, until, reason),
        Command::GrantException { freeze, until } => people::grant_exception(change, given, freeze, until),
        Command::RevokeException { freeze, reason } => people::revoke_exception(change, given, freeze, reason),
        Command::ApproveByAutomation => people::approve_by_automation(change),
        Command::LapseVotes => Ok(people::lapse_votes(change, given)),
        Command::RevokeVotes => Ok(people::revoke_votes(change, given)),
        Command::Call => people::call(change, given),
        Command::Nag => Ok(people::nag(change, given)),
        Command::Lapse => people::lapse(change, given),
        Command::Schedule => schedule(change, given),
        Command::Close => Ok(decision::on_close(change, given)),
        Command::BeginStep { observed } => begin_step(change, given, observed),
        Command::ReportApplied { step, attempt, actual } => {
            begun(change, step, attempt).map(|_| vec![Event::StepApplied { step, attempt, actual }])
        }
        Command::ReportFailed { step, attempt, failure, error } => report_failed(change, step, attempt, failure, error),
        Command::Judge { judgement, evidence } => judge(change, given, *judgement, evidence),
        Command::Pause { reason } => pause(change, reason),
        Command::Halt { why, reason, by } => Ok(halt(change, given, why, reason, by)),
        Command::GoOn { why } => Ok(go_on(change, why)),
        Command::Veto { reason, until } => veto(change, given, reason, until),
        Command::LiftVeto { reason } => lift_veto(change, given, reason),
        Command::Resume { found } => resume(change, found),
        Command::Promote { reason } => promote(change, reason),
        Command::Rollback { reason } => roll_back(change, given, reason),
        Command::BeginUndo => begin_undo(change, given),
        Command::ReportUndone { observed } => report_undone(change, given, observed),
        Command::ReportUndoFailed { attempt, failure, error } => report_undo_failed(change, attempt, failure, error),
        Command::CompleteByHand { evidence } => complete_by_hand(change, given, evidence),
        Command::SupersedeWatch { by } => supersede_watch(change, by),
        Command::ReportPaged { key, channel, to } => Ok(report_paged(change, key, channel, to)),
        Command::Review { summary } => people::review(change, given, summary),
        Command::Join { release } => join(change, release),
        Command::Complete => complete(change, given),
    }
}

/// Who may ask: people need the permission, and what Clearway does by itself is not for people.
fn authorise(change: &Change, command: &Command, given: &Given) -> Result<(), Rejection> {
    let needed = match command {
        // What a release does to its members follows from its own log.
        Command::Withdraw { .. } | Command::Rollback { .. } if given.actor == Actor::Clearway(Part::Release) => {
            return Ok(());
        }
        Command::Join { .. } if given.actor == change.author => return Ok(()),
        Command::Join { .. } => Permission::Propose,
        Command::Amend { .. } | Command::Withdraw { .. } if given.actor == change.author => return Ok(()),
        Command::Amend { .. } | Command::Withdraw { .. } | Command::Review { .. } => Permission::Propose,
        Command::Approve { .. } | Command::Refuse { .. } | Command::RequestChanges { .. } => Permission::Approve,
        // Whoever has a vote or a request here may take it back, whatever became of their roles.
        Command::TakeBack { .. } => return Ok(()),
        Command::Override { .. } | Command::BreakGlass { .. } => Permission::Override,
        Command::Tick { .. } if given.may.contains(&Permission::Approve) => return Ok(()),
        Command::Tick { .. } => Permission::Propose,
        Command::AskException { .. } if given.may.contains(&Permission::Approve) => return Ok(()),
        Command::AskException { .. } => Permission::Propose,
        // As the owner of the freeze, which is asked once it is known which.
        Command::GrantException { .. } | Command::RevokeException { .. }
            if given.may.contains(&Permission::Approve) =>
        {
            return Ok(());
        }
        // Whoever asked takes the question back, whatever became of their roles.
        Command::RevokeException { freeze, .. } if people::asked_for_exception(change, given, freeze) => return Ok(()),
        Command::GrantException { .. } | Command::RevokeException { .. } => Permission::Freeze,
        _ if is_report_of_pipeline(change, command) && given.actor.user().is_some() => Permission::Propose,
        Command::Pause { .. } => Permission::Pause,
        // Whoever is on call may, whatever else they may.
        Command::Veto { .. } | Command::LiftVeto { .. } if given.groups.contains(ON_CALL) => return Ok(()),
        Command::Veto { .. } | Command::LiftVeto { .. } => Permission::Freeze,
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

/// What a pipeline says of the steps that it performs itself.
fn is_report_of_pipeline(change: &Change, command: &Command) -> bool {
    let said = matches!(
        command,
        Command::BeginStep { .. }
            | Command::ReportApplied { .. }
            | Command::ReportFailed { .. }
            | Command::ReportUndone { .. }
            | Command::ReportUndoFailed { .. }
    );
    said && change.is_outside()
}

pub(super) fn wrong_phase(change: &Change, why: &str) -> Rejection {
    Rejection::WrongPhase { change: change.id, phase: change.phase(), why: why.to_owned() }
}

pub(super) fn before_rollout(change: &Change, why: &str) -> Result<(), Rejection> {
    match change.stage {
        Stage::Waiting | Stage::Scheduled { .. } => Ok(()),
        Stage::Rolling(_) | Stage::Ended { .. } => Err(wrong_phase(change, why)),
    }
}

fn rolling<'a>(change: &'a Change, why: &str) -> Result<&'a Rollout, Rejection> {
    change.rollout().ok_or_else(|| wrong_phase(change, why))
}

pub(super) fn with_reason(reason: String) -> Result<String, Rejection> {
    super::reason(&reason)?;
    Ok(reason)
}

fn amend(change: &Change, given: &Given, proposal: Proposal, edited: Option<u32>) -> Decision {
    before_rollout(change, "it can be amended only before its rollout begins; propose another change")?;
    if let Some(given) = edited.filter(|edited| *edited != change.revision) {
        return Err(Rejection::StaleRevision { change: change.id, given, now: change.revision });
    }
    if proposal == change.proposal {
        return Ok(vec![]);
    }
    if let Some(unknown) = given.sequence.unknown.first() {
        return Err(Rejection::AfterUnknown { change: change.id, unknown: *unknown });
    }
    if let Some(fellow) = given.sequence.fellow {
        return Err(Rejection::AfterFellow { change: change.id, fellow });
    }
    if let Some(circle) = &given.sequence.circle {
        return Err(Rejection::Circle { change: change.id, circle: sequence::in_words(circle) });
    }
    let window = change.assessment.as_ref().map_or(Window::Free, |assessed| assessed.assessment.window);
    let votes = proposal::carry(&change.proposal, &proposal, window);
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

fn supersede(change: &Change, given: &Given) -> Decision {
    before_rollout(change, "what has begun is not superseded: it goes on")?;
    Ok(given.superseded_by.map(|by| Event::Superseded { by }).into_iter().collect())
}

fn assess(change: &Change, given: &Given, assessment: Assessment) -> Decision {
    let known = change.assessment.as_ref().map(|known| &known.assessment);
    let again = known.is_some() && (change.not_before().is_some() || change.is_denied());
    if change.phase() != Phase::Proposed && !again {
        return Err(wrong_phase(
            change,
            "it is assessed already, and anew only where it is denied or before its first step",
        ));
    }
    if assessment.effect != change.proposal.effect_digest {
        return Err(Rejection::Stale { change: change.id, what: format!("the effect {}", assessment.effect.short()) });
    }
    if known.is_some_and(|known| known.says_the_same(&assessment)) {
        return Ok(vec![]);
    }
    let effect = assessment.effect;
    let after_the_fact = change.proposal.course.afterwards().map(|afterwards| put_on_record(afterwards, given));
    let needs_nobody = assessment.allows() && assessment.requires.is_empty() && after_the_fact.is_none();
    let automation = (needs_nobody && change.votes.is_empty()).then(|| people::by_automation(effect));
    let voided = votes_for_another_time(change, &assessment);
    let assessed = Event::Assessed(Box::new(assessment));
    Ok(std::iter::once(assessed).chain(automation).chain(voided).chain(after_the_fact.into_iter().flatten()).collect())
}

/// The votes of people who have not seen the time for which it is planned now, where it turns out that it needs one.
fn votes_for_another_time(change: &Change, assessment: &Assessment) -> Option<Event> {
    let unseen = change.votes.iter().filter(|vote| vote.at < change.planned_at && vote.voter.user().is_some());
    let voters: Vec<Actor> = unseen.map(|vote| vote.voter.clone()).collect();
    let falls = assessment.window == Window::Required && !voters.is_empty();
    falls.then_some(Event::VotesVoided { voters, why: Voided::Amended })
}

/// What went by the product is complete, and owes what it went without.
fn put_on_record(course: &Afterwards, given: &Given) -> [Event; 4] {
    let reason = format!("it was deployed without Clearway: {}", course.reason);
    let owed = |debt, within| Event::DebtOwed { debt, reason: reason.clone(), due: after(given.now, within) };
    [
        Event::DeployedBefore { at: course.deployed_at, reason: course.reason.clone() },
        owed(Debt::Approval, course.approval_within),
        owed(Debt::Review, course.review_within),
        Event::Completed,
    ]
}

fn schedule(change: &Change, given: &Given) -> Decision {
    let scheduled = match change.not_before() {
        // What is not for the next window is where it was asked to be.
        Some(_) if change.proposal.when != When::NextWindow => None,
        Some(_) => match schedule::anew(change, given) {
            Some(not_before) => Some((not_before, Event::Rescheduled { not_before })),
            None => return Ok(vec![]),
        },
        None => Some(change.phase()).filter(|phase| *phase == Phase::Approved).map(|_| {
            let not_before = schedule::first(change, given);
            (not_before, Event::Scheduled { not_before })
        }),
    };
    let (not_before, event) = scheduled.ok_or_else(|| wrong_phase(change, "only an approved change is scheduled"))?;
    Ok(std::iter::once(event).chain(on_call::notices(change, given, not_before)).collect())
}

fn begin_step(change: &Change, given: &Given, seen: serde_json::Value) -> Decision {
    let (step, attempt) = match &change.stage {
        Stage::Scheduled { .. } => (0, 1),
        Stage::Rolling(rollout) => next_step(change, rollout)?,
        Stage::Waiting | Stage::Ended { .. } => return Err(wrong_phase(change, "no step is next")),
    };
    let to_come =
        |r: &Rollout| matches!(r.state, StepState::Retrying { at, .. } if due_again(at, given.now) > given.now);
    if change.rollout().is_some_and(to_come) {
        return Ok(vec![]);
    }
    let closed = gate::closed_ones(gate::ask(change, given));
    let (holding, observed): (Vec<Gate>, Vec<Gate>) = closed.into_iter().partition(Gate::holds);
    if !holding.is_empty() {
        // Whoever asks by hand is told why not; by itself, the change is held until the gates open.
        if given.actor.user().is_some() {
            return Err(gates_closed(change, &holding));
        }
        let known = change.hold.as_ref().is_some_and(|hold| hold.gates == holding);
        return Ok(if known { vec![] } else { vec![Event::Held { gates: holding }] });
    }
    let weight = change.proposal.plan.steps[step].weight;
    let effect = change.proposal.effect_digest;
    let released = change.hold.as_ref().map(|_| Event::Released);
    let observed = (!observed.is_empty()).then_some(Event::GatesObserved { gates: observed });
    let begun = Event::StepBegun { step, attempt, weight, effect, observed: seen };
    let debts = if change.rollout().is_none() { debts_of_emergency(change, given) } else { vec![] };
    let batch = given.batch.as_ref().filter(|_| change.rollout().is_none());
    let batch = batch.map(|batch| Event::WentWithBatch { batch: batch.name.clone() });
    let told = on_call::begins(change, given);
    Ok(released.into_iter().chain(observed).chain(batch).chain([begun]).chain(debts).chain(told).collect())
}

fn gates_closed(change: &Change, gates: &[Gate]) -> Rejection {
    let reasons: Vec<String> = gates.iter().filter_map(Gate::why).collect();
    Rejection::GatesClosed { change: change.id, reasons: reasons.join("; ") }
}

/// What an emergency owes from its first step on.
fn debts_of_emergency(change: &Change, given: &Given) -> Vec<Event> {
    let Some(emergency) = change.proposal.course.emergency() else { return vec![] };
    let reason = format!("it went through the emergency lane for `{}`: {}", emergency.incident, emergency.reason);
    let owed = |debt, within| Event::DebtOwed { debt, reason: reason.clone(), due: after(given.now, within) };
    let votes: Vec<Vote> = change.votes.iter().filter(|v| !given.revoked.contains(&v.voter)).cloned().collect();
    let has_it = |a: &Assessed| a.assessment.owed.is_empty() || people::has_what_is_owed(change, a, &votes);
    let lacking = change.assessment.iter().any(|assessed| !has_it(assessed));
    let approval = lacking.then(|| owed(Debt::Approval, emergency.approval_within));
    approval.into_iter().chain([owed(Debt::Review, emergency.review_within)]).collect()
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

/// What is beside the change pauses what rolls out, and never a rollback. A pause that is there already says more.
fn halt(change: &Change, given: &Given, why: PauseReason, reason: String, by: BTreeSet<String>) -> Vec<Event> {
    // Somebody may have resumed it since this was asked.
    let is_due = |r: &&Rollout| r.pause.is_none() && r.back.is_none() && !by.is_subset(&r.halted_by);
    let Some(rollout) = change.rollout().filter(is_due) else { return vec![] };
    let told = |page: Event| match page {
        Event::PageOwed { key, reason, urgency, at, .. } => {
            Event::PageOwed { key, reason, to: given.duty.named.clone(), urgency, at }
        }
        other => other,
    };
    let page = (why == PauseReason::Burn).then(|| told(decision::page(change, rollout, "burn", reason.clone())));
    [Event::Halted { by }, Event::Paused { why, reason }].into_iter().chain(page).collect()
}

fn go_on(change: &Change, why: PauseReason) -> Vec<Event> {
    let pause = change.rollout().filter(|r| r.back.is_none()).and_then(|r| r.pause.as_ref());
    pause.filter(|pause| pause.why == why).map(|_| Event::Resumed { found: None }).into_iter().collect()
}

fn veto(change: &Change, given: &Given, reason: String, until: Timestamp) -> Decision {
    let is_rolling_back = change.rollout().is_some_and(|r| r.back.is_some());
    if change.phase().is_terminal() || is_rolling_back {
        return Err(wrong_phase(change, "a veto holds what goes on; a rollback passes, and what has ended is over"));
    }
    holds::ends_in_time("veto", until, given.now, given.longest_hold).map_err(|why| Rejection::BadEnd { why })?;
    let reason = with_reason(reason)?;
    let is_known = |veto: &Veto| veto.until == until && veto.reason == reason && veto.by == given.actor;
    let is_true_already = change.veto.iter().chain(&change.other_vetoes).any(is_known);
    Ok(if is_true_already { vec![] } else { vec![Event::Vetoed { until, reason }] })
}

fn lift_veto(change: &Change, given: &Given, reason: String) -> Decision {
    if change.veto.as_ref().is_none_or(|veto| veto.until <= given.now) {
        return Err(wrong_phase(change, "nobody has vetoed it"));
    }
    Ok(vec![Event::VetoLifted { reason: with_reason(reason)? }])
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
    if rollout.passed_at.is_some() {
        return Err(wrong_phase(change, "it has passed, and waits for the rest of its release"));
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
    if let Some(why) = left_to_people(change, given) {
        return Err(wrong_phase(change, why));
    }
    // What came after it in its release, on the same target, and is back, has left what this change made.
    let is_back = |by: &ChangeId| given.release.as_ref().is_some_and(|release| release.is_back(*by));
    if let Some(holder) = rollout.superseded_by.filter(|by| !is_back(by)) {
        let resource = change.proposal.claims.resources.first().cloned().unwrap_or_default();
        return Err(Rejection::LaneTaken { holder, resource });
    }
    if let Some((lane, holder)) = given.lanes.iter().find_map(|l| l.holder.filter(|h| *h != change.id).map(|h| (l, h)))
    {
        return Err(Rejection::LaneTaken { holder, resource: lane.resource.clone() });
    }
    Ok(vec![Event::RollbackBegun { reason: with_reason(reason)? }])
}

/// Why a release does not roll a member back by itself, if it does not: unless a person has asked for it.
fn left_to_people(change: &Change, given: &Given) -> Option<&'static str> {
    let stopped = given.release.as_ref().and_then(|release| release.stopped.as_ref());
    let by_person = stopped.is_some_and(|stopped| stopped.by.user().is_some());
    let by_release = given.actor == Actor::Clearway(Part::Release);
    (by_release && !by_person && !change.proposal.rollback.automatic)
        .then_some("its rollback is not automatic; somebody who may has to roll it back")
}

fn begin_undo(change: &Change, given: &Given) -> Decision {
    let back = change.rollout().filter(|r| r.pause.is_none()).and_then(|r| r.back.as_ref());
    match back.map(|b| (b.attempt, &b.state)) {
        Some((attempt, BackState::Waiting { at })) if due_again(*at, given.now) <= given.now => {
            let attempt = attempt + 1;
            Ok(std::iter::once(Event::UndoBegun { attempt }).chain(undo_outside(change)).collect())
        }
        Some((_, BackState::Waiting { .. })) => Ok(vec![]),
        _ => Err(wrong_phase(change, "no rollback is waiting to begin")),
    }
}

/// What a pipeline did, it has to undo: people and pipeline are told.
fn undo_outside(change: &Change) -> Option<Event> {
    let rollout = change.rollout().filter(|_| change.is_outside())?;
    let why = rollout.back.as_ref().map_or("", |back| back.reason.as_str());
    let reason = format!("the pipeline that deployed `{}` has to roll back and report it: {why}", change.id);
    Some(decision::page(change, rollout, "undo", reason))
}

fn undoing(change: &Change) -> Result<(&Rollout, u32), Rejection> {
    let rollout = rolling(change, "it is not rolling back")?;
    match &rollout.back {
        Some(back) if matches!(back.state, BackState::Begun { .. }) => Ok((rollout, back.attempt)),
        _ => Err(Rejection::Stale { change: change.id, what: "a rollback".into() }),
    }
}

fn report_undone(change: &Change, given: &Given, observed: serde_json::Value) -> Decision {
    let (before, reason) = if change.is_outside() { undone_outside(change)? } else { (vec![], asked_to_undo(change)?) };
    let owed = Event::DebtOwed { debt: Debt::Review, reason, due: aftermath::review_due(given.now) };
    Ok(before.into_iter().chain([Event::RolledBack { observed }, owed]).collect())
}

fn asked_to_undo(change: &Change) -> Result<String, Rejection> {
    let (rollout, _) = undoing(change)?;
    Ok(rollout.back.as_ref().map_or_else(String::new, |back| back.reason.clone()))
}

/// What comes before a pipeline's word that it has rolled back, and why it did: that is as true if nobody had asked it to yet.
fn undone_outside(change: &Change) -> Result<(Vec<Event>, String), Rejection> {
    let rollout = rolling(change, "nothing of it is rolled out, so nothing was rolled back")?;
    // Also after its silence was taken for a failure: that it is late makes it no less true.
    if let Some(back) = &rollout.back {
        return Ok((vec![], back.reason.clone()));
    }
    if let Some(holder) = rollout.superseded_by {
        let resource = change.proposal.claims.resources.first().cloned().unwrap_or_default();
        return Err(Rejection::LaneTaken { holder, resource });
    }
    let reason = "its pipeline has rolled it back by itself".to_owned();
    let (step, attempt, error) = (rollout.step, rollout.attempt, reason.clone());
    let was_begun = matches!(rollout.state, StepState::Begun { .. });
    let failed = was_begun.then_some(Event::StepFailed { step, attempt, failure: Failure::Final, error });
    let back = Event::RollbackBegun { reason: reason.clone() };
    Ok((failed.into_iter().chain([back]).collect(), reason))
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
    Ok(vec![
        Event::CompletedByHand { evidence: with_reason(evidence)? },
        Event::DebtOwed { debt: Debt::Review, reason, due },
    ])
}

fn supersede_watch(change: &Change, by: ChangeId) -> Decision {
    let watching = change.rollout().filter(|r| r.step >= change.proposal.plan.steps.len() && r.back.is_none());
    match watching {
        Some(rollout) if rollout.superseded_by == Some(by) => Ok(vec![]),
        Some(_) => Ok(vec![Event::WatchSuperseded { by }]),
        None => Err(wrong_phase(change, "it has no watch to supersede")),
    }
}

fn join(change: &Change, release: ReleaseId) -> Decision {
    if change.release == Some(release) {
        return Ok(vec![]);
    }
    before_rollout(change, "it can become part of a release only before its rollout begins")?;
    if change.release.is_some() {
        return Err(wrong_phase(change, "it is part of a release already"));
    }
    if change.proposal.course.afterwards().is_some() {
        return Err(wrong_phase(change, "it was deployed already, and can't become part of a release"));
    }
    Ok(vec![Event::JoinedRelease { release }])
}

fn complete(change: &Change, given: &Given) -> Decision {
    let has_passed = change.rollout().is_some_and(|r| r.passed_at.is_some() && r.back.is_none());
    let is_let_go = given.release.as_ref().is_some_and(Release::lets_go);
    if !has_passed || !is_let_go {
        return Err(wrong_phase(change, "only what has passed, in a release that has, is completed by it"));
    }
    Ok(vec![Event::Completed])
}

fn report_paged(change: &Change, key: String, channel: String, to: BTreeSet<String>) -> Vec<Event> {
    let owed = change.pages.get(&key).is_some_and(|page| page.sent_at.is_none());
    if owed { vec![Event::Paged { key, channel, to }] } else { vec![] }
}
