//! Evolving: an event folded into the state. Total: an event that does not fit leaves the state as it is.
//!
//! Nothing is decided here, and nothing is refused: what is in the log has happened.

use std::collections::BTreeSet;

use super::{Assessed, Change, End, Event, Found, Hold, Page, Stage};
use crate::actor::Actor;
use crate::aftermath::{self, Debt, Owed};
use crate::approval::statement::time_of;
use crate::approval::{Asked, ChangesRequested, Voided, Vote, counts_until};
use crate::assessment::{Assessment, Requirement};
use crate::calendar::exception::{Exception, Granted};
use crate::exception::{Hand, SetAside, Ticked};
use crate::facts::material::names_all_committers;
use crate::holds::Veto;
use crate::id::{ChangeId, Digest};
use crate::on_call;
use crate::proposal::{Carry, Proposed};
use crate::rollout::{Back, BackState, Closed, Failure, Pause, PauseReason, Rollout, StepState, retry_at};
use crate::schedule::When;
use crate::time::Timestamp;

/// The state after one more event. The first event of a change is `Proposed`; before it there is nothing.
pub fn evolve(change: Option<Change>, id: ChangeId, event: &Event, actor: &Actor, at: Timestamp) -> Option<Change> {
    let mut change = match (change, event) {
        (None, Event::Proposed(proposed)) => begin(id, proposed, at),
        (None, _) => return None,
        (Some(change), _) => change,
    };
    change.version += 1;
    change.updated_at = at;
    fold(&mut change, event, actor, at);
    Some(change)
}

fn begin(id: ChangeId, proposed: &Proposed, at: Timestamp) -> Change {
    let mut change = Change {
        id,
        uid: proposed.uid,
        author: proposed.author.clone(),
        amended_by: Default::default(),
        committers: Default::default(),
        more_committers: false,
        proposed_at: at,
        planned_at: at,
        revision: 1,
        proposal: proposed.proposal.clone(),
        assessment: None,
        votes: vec![],
        asked: Default::default(),
        requested: vec![],
        set_aside: vec![],
        hand: None,
        ticked: vec![],
        exceptions: vec![],
        spent: Default::default(),
        stage: Stage::Waiting,
        hold: None,
        veto: None,
        other_vetoes: vec![],
        pages: Default::default(),
        debts: Default::default(),
        release: None,
        version: 0,
        updated_at: at,
    };
    keep_committers(&mut change);
    change
}

/// What people on call were still to hear of a start: it is another one now, or none.
fn forget_notices(change: &mut Change) {
    change.pages.retain(|key, page| page.sent_at.is_some() || !on_call::is_notice(key));
}

/// What one revision told of who committed to it holds for those after it, which may tell less.
fn keep_committers(change: &mut Change) {
    if let Some(material) = &change.proposal.material {
        change.committers.extend(material.range.iter().flat_map(|range| range.people.list.iter().cloned()));
        change.more_committers |= !names_all_committers(material);
    }
}

fn fold(change: &mut Change, event: &Event, actor: &Actor, at: Timestamp) {
    match event {
        Event::Amended { proposal, votes } => {
            if proposal.when != change.proposal.when {
                change.planned_at = at;
            }
            change.proposal = (**proposal).clone();
            forget_notices(change);
            change.revision += 1;
            change.assessment = None;
            wait(change);
            // What was asked for may be in it; who still wants it otherwise says so again.
            change.requested.clear();
            change.amended_by.insert(actor.clone());
            keep_committers(change);
            shorten_votes(change);
            if *votes == Carry::Void {
                change.votes.clear();
                change.set_aside.clear();
                change.hand = None;
                change.ticked.clear();
                change.exceptions.clear();
            }
        }
        Event::Assessed(assessment) => {
            assessed(change, assessment, at);
        }
        Event::Approved { effect, groups, on_behalf, comment, signature } => {
            let until = counts_until(at, change.proposal.when.not_before(at));
            if let Some(time) = signature.as_ref().and_then(|signature| time_of(&signature.statement)) {
                spend(change, actor, time);
            }
            change.votes.retain(|v| v.voter != *actor);
            change.votes.push(Vote {
                voter: actor.clone(),
                effect: *effect,
                groups: groups.clone(),
                on_behalf: on_behalf.clone(),
                comment: comment.clone(),
                signature: signature.clone(),
                at,
                until,
            });
        }
        Event::VotesVoided { voters, why } => {
            change.votes.retain(|v| !voters.contains(&v.voter));
            // A change that waited for so long is assessed anew: its risk may be another by now, and people get their time again.
            match why {
                Voided::Lapsed => change.assessment = None,
                Voided::Revoked => {
                    voters.iter().for_each(|voter| spend(change, voter, just_before(at)));
                    ask_anew(change, at);
                }
                Voided::Amended => {}
            }
            wait(change);
        }
        Event::ChangesRequested { reason } => {
            change.requested.retain(|r| r.by != *actor);
            change.requested.push(ChangesRequested { by: actor.clone(), reason: reason.clone(), at });
            wait(change);
        }
        Event::TakenBack { .. } => take_back(change, actor, at),
        Event::DenialOverridden { code, effect, reason } => {
            set_aside(change, code, &[actor.clone()].into(), *effect, reason, at);
        }
        Event::GlassTouched { effect, codes, reason } => {
            let (codes, reason) = (codes.clone(), reason.clone());
            change.hand = Some(Hand { by: actor.clone(), effect: *effect, codes, reason, at });
        }
        Event::GlassBroken { codes, by, effect, reason } => {
            codes.iter().for_each(|code| set_aside(change, code, by, *effect, reason, at));
            change.hand = None;
        }
        Event::Ticked { list, code, effect, note } => change.ticked.push(Ticked {
            list: list.clone(),
            code: code.clone(),
            effect: *effect,
            by: actor.clone(),
            note: note.clone(),
            at,
        }),
        Event::ExceptionAsked { freeze, effect, until, reason } => {
            let (freeze, by, reason) = (freeze.clone(), actor.clone(), reason.clone());
            change.exceptions.retain(|one| one.granted.is_some() || one.freeze != freeze);
            change.exceptions.push(Exception { freeze, effect: *effect, by, reason, until: *until, at, granted: None });
        }
        Event::ExceptionGranted { freeze, effect, role } => {
            let (by, role) = (actor.clone(), role.clone());
            let open = |one: &&mut Exception| one.granted.is_none() && one.freeze == *freeze && one.effect == *effect;
            if let Some(asked) = change.exceptions.iter_mut().find(open) {
                asked.granted = Some(Granted { by, role, at });
            }
        }
        Event::ExceptionRevoked { freeze, effect, .. } => {
            change.exceptions.retain(|one| one.freeze != *freeze || one.effect != *effect);
        }
        Event::Reminded { by } => {
            change.asked.entry(by.clone()).and_modify(|asked| asked.reminded = true);
        }
        Event::Escalated { by, .. } => {
            let next = |asked: &mut Asked| *asked = Asked { escalated: asked.escalated + 1, ..Asked::at(at) };
            change.asked.entry(by.clone()).and_modify(next);
        }
        Event::Superseded { by } => end(change, End::Withdrawn, &format!("`{by}` took its place")),
        Event::Withdrawn { reason } => end(change, End::Withdrawn, reason),
        Event::Refused { reason } => end(change, End::Refused, reason),
        Event::Lapsed { reason } => end(change, End::Lapsed, reason),
        Event::Scheduled { not_before } => scheduled(change, *not_before),
        Event::Rescheduled { not_before } => rescheduled(change, *not_before),
        Event::Held { gates } => change.hold = Some(Hold { gates: gates.clone(), since: at }),
        Event::Released => change.hold = None,
        Event::Vetoed { until, reason } => {
            vetoed(change, Veto { by: actor.clone(), reason: reason.clone(), since: at, until: *until });
        }
        Event::VetoLifted { .. } => {
            change.veto = None;
            change.other_vetoes.clear();
        }
        Event::StepBegun { step, attempt, effect, observed, .. } => {
            begin_step(change, *step, *attempt, *effect, observed, at);
        }
        Event::CompletedByHand { evidence } => end(change, End::RolledBack, evidence),
        Event::RolledBack { .. } => {
            let reason = change.rollout().and_then(|r| r.back.as_ref()).map_or_else(String::new, |b| b.reason.clone());
            end(change, End::RolledBack, &reason);
        }
        Event::Completed => end(change, End::Completed, "every step and the watch have passed"),
        Event::PageOwed { key, reason, to, urgency, at } => {
            // A page that is owed once more after it was sent has a new cause: it is sent once more.
            change.pages.insert(key.clone(), Page { at: *at, ..Page::owed(reason, to, *urgency) });
        }
        Event::Paged { key, .. } => {
            change.pages.entry(key.clone()).and_modify(|page| page.sent_at = Some(at));
        }
        Event::DebtOwed { debt, reason, due } => owe(change, *debt, reason, *due),
        Event::DebtPaid { debt, summary } => {
            change.debts.entry(*debt).and_modify(|owed| owed.paid = Some(summary.clone()));
        }
        Event::DebtRefused { debt, reason } => {
            change.debts.entry(*debt).and_modify(|owed| owed.refuse(actor, reason, at));
        }
        Event::DebtNagged { debt } => {
            change.debts.entry(*debt).and_modify(|owed| owed.nags += 1);
        }
        Event::JoinedRelease { release } => change.release = Some(*release),
        // The watch of a member goes on until its release has passed.
        Event::Advanced { step } if change.release.is_some() && *step >= change.proposal.plan.steps.len() => {
            if let Stage::Rolling(rollout) = &mut change.stage {
                rollout.passed_at = Some(at);
            }
        }
        in_rollout => {
            let steps = change.proposal.plan.steps.len();
            if let Stage::Rolling(rollout) = &mut change.stage {
                fold_rollout(rollout, steps, in_rollout, actor, at);
            }
            if matches!(in_rollout, Event::RollbackBegun { .. }) {
                change.hold = None;
            }
        }
    }
}

/// An answer of policy. One that is given anew asks nobody again for what it required before; what has its votes no more goes back to where people
/// decide. A rule that says no now holds what is scheduled, until it says yes or is set aside.
fn assessed(change: &mut Change, assessment: &Assessment, at: Timestamp) {
    let before = change.assessment.take().map(|assessed| assessed.assessment.requires).unwrap_or_default();
    let since = |r: &Requirement| change.asked.get(&r.by).filter(|_| before.contains(r)).copied();
    let asked = assessment.requires.iter().map(|r| (r.by.clone(), since(r).unwrap_or(Asked::at(at)))).collect();
    change.asked = asked;
    change.assessment = Some(Assessed { assessment: assessment.clone(), at });
    // What held it was asked beside another answer. It is asked anew, and says so: whoever waits behind it listens to that.
    change.hold = change.hold.take().filter(|_| change.rollout().is_some());
    if matches!(change.stage, Stage::Scheduled { .. }) && !change.has_its_votes(assessment) {
        wait(change);
    }
}

/// A yes to the next window lasts as long as one to the time at which it turned out to be.
fn scheduled(change: &mut Change, not_before: Timestamp) {
    change.stage = Stage::Scheduled { not_before };
    if change.proposal.when == When::NextWindow {
        let lasts = |vote: &mut Vote| vote.until = vote.until.max(counts_until(vote.at, not_before));
        change.votes.iter_mut().for_each(lasts);
    }
}

/// Votes last as long as if its moment had been this one from the first: one that comes earlier takes back what a later one gave.
fn rescheduled(change: &mut Change, not_before: Timestamp) {
    change.stage = Stage::Scheduled { not_before };
    change.votes.iter_mut().for_each(|vote| vote.until = counts_until(vote.at, not_before));
}

/// A vote for a later time lasts no longer, for an earlier one, than if it had been cast for that; nobody has said yes to a time after it.
fn shorten_votes(change: &mut Change) {
    let when = change.proposal.when;
    change
        .votes
        .iter_mut()
        .for_each(|vote| vote.until = vote.until.min(counts_until(vote.at, when.not_before(vote.at))));
}

/// Back to where people decide.
fn wait(change: &mut Change) {
    change.stage = Stage::Waiting;
    change.hold = None;
}

/// What a voter has signed until then gives no second vote.
fn spend(change: &mut Change, voter: &Actor, until: Timestamp) {
    let spent = change.spent.entry(voter.clone()).or_insert(until);
    *spent = until.max(*spent);
}

/// Statements name whole seconds: one that is made in the second of a word is later than it.
fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() - 1).unwrap_or(at)
}

/// Whoever is asked has their time again: a place that was filled is open once more.
fn ask_anew(change: &mut Change, at: Timestamp) {
    for asked in change.asked.values_mut() {
        *asked = Asked { escalated: asked.escalated, ..Asked::at(at) };
    }
}

/// Takes back what somebody said. In a rollout their vote was consumed; that it was taken back is kept, and closes the gate.
fn take_back(change: &mut Change, actor: &Actor, at: Timestamp) {
    let voted = change.votes.iter().any(|v| v.voter == *actor);
    change.votes.retain(|v| v.voter != *actor);
    change.requested.retain(|r| r.by != *actor);
    change.debts.values_mut().for_each(|owed| owed.take_back(actor));
    if voted {
        spend(change, actor, just_before(at));
        ask_anew(change, at);
    }
    match &mut change.stage {
        Stage::Rolling(rollout) if voted => {
            rollout.taken_back.insert(actor.clone());
        }
        Stage::Scheduled { .. } => wait(change),
        Stage::Rolling(_) | Stage::Waiting | Stage::Ended { .. } => {}
    }
}

/// Everybody has one veto, and nobody's is shortened by another's: the one that ends last counts.
fn vetoed(change: &mut Change, veto: Veto) {
    let known = change.veto.take().into_iter().chain(std::mem::take(&mut change.other_vetoes));
    let mut all: Vec<Veto> = known.filter(|known| known.by != veto.by && veto.since < known.until).collect();
    all.push(veto);
    all.sort_by_key(|veto| veto.until);
    change.veto = all.pop();
    change.other_vetoes = all;
}

fn set_aside(change: &mut Change, code: &str, by: &BTreeSet<Actor>, effect: Digest, reason: &str, at: Timestamp) {
    let (code, by, reason) = (code.to_owned(), by.clone(), reason.to_owned());
    change.set_aside.push(SetAside { code, effect, by, reason, at });
}

fn owe(change: &mut Change, debt: Debt, reason: &str, due: Timestamp) {
    match change.debts.get_mut(&debt).filter(|owed| owed.is_open()) {
        Some(owed) => aftermath::owe_more(&mut owed.reason, &mut owed.due, reason, due),
        None => {
            change.debts.insert(debt, Owed::new(reason, due));
        }
    }
}

fn end(change: &mut Change, end: End, reason: &str) {
    let rollout = match std::mem::replace(&mut change.stage, Stage::Waiting) {
        Stage::Rolling(rollout) => Some(rollout),
        _ => None,
    };
    change.stage = Stage::Ended { end, reason: reason.to_owned(), rollout };
    change.hold = None;
    forget_notices(change);
}

fn begin_step(
    change: &mut Change,
    step: usize,
    attempt: u32,
    effect: crate::id::Digest,
    observed: &serde_json::Value,
    at: Timestamp,
) {
    change.hold = None;
    if let Stage::Rolling(rollout) = &mut change.stage {
        rollout.judgement = None;
        (rollout.step, rollout.attempt, rollout.state) = (step, attempt, StepState::Begun { since: at });
        return;
    }
    change.stage = Stage::Rolling(Box::new(Rollout {
        effect,
        started_at: at,
        before: observed.clone(),
        step,
        attempt,
        state: StepState::Begun { since: at },
        judgement: None,
        evidence_at: None,
        pause: None,
        back: None,
        superseded_by: None,
        passed_at: None,
        taken_back: BTreeSet::new(),
        closed: None,
        halted_by: BTreeSet::new(),
    }));
}

fn fold_rollout(rollout: &mut Rollout, steps: usize, event: &Event, actor: &Actor, at: Timestamp) {
    match event {
        Event::StepApplied { .. } => rollout.state = StepState::Applied { since: at, deadline_from: at },
        Event::StepFailed { attempt, failure, error, .. } => {
            rollout.state = match failure {
                Failure::Unknown => StepState::Unknown { error: error.clone() },
                Failure::Retry | Failure::Final => {
                    StepState::Retrying { at: retry_at(at, *attempt), error: error.clone() }
                }
            }
        }
        Event::EvidenceTaken(_) => rollout.evidence_at = Some(at),
        Event::Judged(judgement) => rollout.judgement = Some((**judgement).clone()),
        Event::Advanced { step } => advance(rollout, steps, *step + 1, at),
        Event::Paused { why, reason } => pause(rollout, actor, *why, reason, at),
        Event::Resumed { found } => resume(rollout, *found, at),
        Event::RollbackBegun { reason } => {
            rollout.pause = None;
            let attempt = 0;
            rollout.back = Some(Back {
                by: actor.clone(),
                reason: reason.clone(),
                since: at,
                attempt,
                state: BackState::Waiting { at },
            });
        }
        Event::WatchSuperseded { by } => rollout.superseded_by = Some(*by),
        Event::CalendarClosed { then, until, .. } => rollout.closed = Some(Closed { then: *then, until: *until }),
        Event::CalendarOpened => rollout.closed = None,
        Event::Halted { by } => rollout.halted_by.clone_from(by),
        _ => fold_back(rollout, event, at),
    }
}

fn fold_back(rollout: &mut Rollout, event: &Event, at: Timestamp) {
    let Some(back) = &mut rollout.back else { return };
    match event {
        Event::UndoBegun { attempt } => (back.attempt, back.state) = (*attempt, BackState::Begun { since: at }),
        Event::UndoFailed { attempt, .. } => back.state = BackState::Waiting { at: retry_at(at, *attempt) },
        Event::RollbackFailed { error } => back.state = BackState::Failed { error: error.clone() },
        _ => {}
    }
}

// The watch is a step that begins by itself: nothing is applied, and it is judged like any other.
fn advance(rollout: &mut Rollout, steps: usize, next: usize, at: Timestamp) {
    rollout.step = next;
    rollout.attempt = 0;
    rollout.judgement = None;
    rollout.evidence_at = None;
    rollout.state = if next < steps { StepState::Ready } else { StepState::Applied { since: at, deadline_from: at } };
}

fn pause(rollout: &mut Rollout, actor: &Actor, why: PauseReason, reason: &str, at: Timestamp) {
    rollout.pause = Some(Pause { by: actor.clone(), why, reason: reason.to_owned(), since: at });
}

fn resume(rollout: &mut Rollout, found: Option<Found>, at: Timestamp) {
    rollout.pause = None;
    match (&mut rollout.state, found) {
        (StepState::Applied { deadline_from, .. }, _) => *deadline_from = at,
        (StepState::Unknown { .. }, Some(Found::Applied)) => {
            rollout.state = StepState::Applied { since: at, deadline_from: at }
        }
        (StepState::Unknown { error }, Some(Found::NotApplied)) => {
            rollout.state = StepState::Retrying { at, error: std::mem::take(error) };
        }
        _ => {}
    }
}
