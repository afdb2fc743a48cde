//! Decision: advance, hold or roll back, because of what?
//!
//! The one place where a judgement becomes a move. No answer but `pass` advances; a deadline leads to what the plan chose, never to a pass.
//! Next room: [`aftermath`](crate::aftermath).

use crate::calendar::OnClose;
use crate::gate::{self, Closing};
use crate::lifecycle::{Change, Event, Given, Urgency, people};
use crate::rollout::{PauseReason, Rollout, StepState};
use crate::time::{Span, Timestamp, after};
use crate::verification::{Answer, EvidenceTaken, Judgement, OnDoubt};

/// Evidence is put into the log at least this often, however long the answer stays the same.
pub const EVIDENCE_EVERY: Span = Span::secs(300);

/// What follows from a judgement of the step that is being verified.
pub fn on_judgement(
    change: &Change,
    rollout: &Rollout,
    given: &Given,
    judgement: Judgement,
    evidence: EvidenceTaken,
) -> Vec<Event> {
    let next = move_for(change, rollout, given, &judgement);
    let changed = rollout.judgement.as_ref().is_none_or(|last| last.answer != judgement.answer);
    let stale = rollout.evidence_at.is_none_or(|last| after(last, EVIDENCE_EVERY) <= given.now);
    if next.is_empty() && !changed && !stale {
        return vec![];
    }
    let mut events = vec![Event::EvidenceTaken(evidence), Event::Judged(Box::new(judgement))];
    events.extend(next);
    events
}

fn move_for(change: &Change, rollout: &Rollout, given: &Given, judgement: &Judgement) -> Vec<Event> {
    let paused = rollout.pause.is_some();
    match judgement.answer {
        Answer::Pass if paused => vec![],
        Answer::Pass => advance(change, rollout),
        Answer::Fail => on_failure(change, rollout, given, &judgement.why),
        // What has passed waits for the rest of its release; only a failure takes that back.
        Answer::Insufficient | Answer::Unreachable if paused || rollout.passed_at.is_some() => vec![],
        doubt => match deadline(change, rollout) {
            Some(at) if at <= given.now => on_deadline(change, rollout, given, doubt, judgement),
            _ => vec![],
        },
    }
}

/// The next step opens; after the watch the change is complete, or waits until its release has passed too.
pub fn advance(change: &Change, rollout: &Rollout) -> Vec<Event> {
    let advanced = Event::Advanced { step: rollout.step };
    match rollout.step >= change.proposal.plan.steps.len() {
        true if rollout.passed_at.is_some() => vec![],
        true if change.release.is_none() => vec![advanced, Event::Completed],
        _ => vec![advanced],
    }
}

fn on_failure(change: &Change, rollout: &Rollout, given: &Given, why: &str) -> Vec<Event> {
    let goes_back_later = given.release.as_ref().is_some_and(|release| release.goes_back_later(change.id));
    if may_roll_back_alone(change, rollout, given) && !goes_back_later {
        return vec![Event::RollbackBegun { reason: why.to_owned() }];
    }
    if rollout.pause.as_ref().is_some_and(|p| p.why == PauseReason::Verdict) {
        return vec![];
    }
    let hint = if rollout.superseded_by.is_some() {
        "a later change has the target now"
    } else if goes_back_later {
        "its release rolls it back, after what came after it"
    } else {
        "its rollback is not automatic"
    };
    let reason = format!("{why}; {hint}");
    vec![Event::Paused { why: PauseReason::Verdict, reason: reason.clone() }, page(change, rollout, "verdict", reason)]
}

fn may_roll_back_alone(change: &Change, rollout: &Rollout, given: &Given) -> bool {
    let taken = given.lanes.iter().any(|lane| lane.is_held_by_another(change.id));
    change.proposal.rollback.automatic && rollout.superseded_by.is_none() && !taken
}

fn on_deadline(change: &Change, rollout: &Rollout, given: &Given, doubt: Answer, judgement: &Judgement) -> Vec<Event> {
    let verify = &change.proposal.verify;
    let choice = if doubt == Answer::Unreachable { verify.on_unreachable } else { verify.on_insufficient };
    let reason = format!(
        "the deadline of {} passed while the verdict was `{doubt}`: {}",
        change.step_name(rollout.step),
        judgement.why
    );
    let paused = Event::Paused { why: PauseReason::Deadline, reason: reason.clone() };
    match choice {
        OnDoubt::Hold => vec![paused],
        // What nobody named may stop a change, and only a person may undo it for that.
        OnDoubt::Rollback if !judgement.is_held_by_scan_alone() && may_roll_back_alone(change, rollout, given) => {
            vec![Event::RollbackBegun { reason }]
        }
        OnDoubt::Page | OnDoubt::Rollback => vec![paused, page(change, rollout, "deadline", reason)],
    }
}

/// What follows from a calendar that has closed in mid-rollout: once for each time that it closes, and once more where something stricter is asked; nothing
/// where the step is to be finished. That it is open again is put on record.
pub fn on_close(change: &Change, given: &Given) -> Vec<Event> {
    // All is rolled out in the watch: nothing is left that a window could end.
    let is_under_way = |r: &&Rollout| r.back.is_none() && r.step < change.proposal.plan.steps.len();
    let Some(rollout) = change.rollout().filter(is_under_way) else { return vec![] };
    match gate::closing(change, given) {
        None => rollout.closed.iter().map(|_| Event::CalendarOpened).collect(),
        Some(closing) if is_due(rollout, &closing, given.now) => closed(change, rollout, given, closing),
        Some(_) => vec![],
    }
}

fn is_due(rollout: &Rollout, closing: &Closing, now: Timestamp) -> bool {
    if rollout.closed.is_some_and(|closed| closed.is_done(closing.then, now)) {
        return false;
    }
    let paused = rollout.pause.as_ref().map(|pause| pause.why);
    match closing.then {
        OnClose::FinishStep => false,
        OnClose::Pause => paused.is_none(),
        // What nobody knows the outcome of, nobody but a person undoes.
        OnClose::RollBack => paused != Some(PauseReason::UnknownOutcome),
    }
}

fn closed(change: &Change, rollout: &Rollout, given: &Given, closing: Closing) -> Vec<Event> {
    let Closing { names, then, reason, until } = closing;
    let closed = Event::CalendarClosed { names, then, reason: reason.clone(), until };
    if then == OnClose::RollBack && may_roll_back_alone(change, rollout, given) {
        return vec![closed, Event::RollbackBegun { reason }];
    }
    let paused = Event::Paused { why: PauseReason::Calendar, reason: reason.clone() };
    // Who wants it rolled back, and can't have that by itself, has to come; a pause is only told, since the end of a freeze resumes nothing.
    let told = match then {
        OnClose::RollBack => page(change, rollout, "calendar", reason),
        _ => {
            let reason = format!("it is paused: {reason}; `clearway resume {}` goes on", change.id);
            people::notice(
                change,
                &format!("{}/{}/calendar", rollout.step, rollout.attempt),
                reason,
                people::owner(change),
            )
        }
    };
    vec![closed, paused, told]
}

/// A page about this step: the key makes it one page however often it is owed before it is sent.
pub fn page(change: &Change, rollout: &Rollout, about: &str, reason: String) -> Event {
    let key = format!("{}/{}/{}/{about}", change.id, rollout.step, rollout.attempt);
    Event::PageOwed { key, reason, to: [].into(), urgency: Urgency::Page, at: None }
}

/// When the step that is being verified runs out of time.
pub fn deadline(change: &Change, rollout: &Rollout) -> Option<Timestamp> {
    let StepState::Applied { deadline_from, .. } = &rollout.state else { return None };
    let own = match change.proposal.plan.steps.get(rollout.step) {
        Some(step) => change.proposal.verify.deadline.unwrap_or(step.deadline),
        None => change.proposal.verify.watch.times(6),
    };
    Some(after(*deadline_from, own))
}
