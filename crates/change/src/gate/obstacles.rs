//! Obstacles: what stands in the way of a change at this time, and when the last of it is over.
//!
//! The gate `windows` asks several things at once: people who hold, the calendar, a batch, error budgets. The first decides its code, and all are said:
//! a time at which only the first is over would be taken for a promise. Must never name a time where one of them has none. Next room:
//! [`waiting`](crate::waiting).

use super::{GateState, STOPPED, by_calendar, closed, emergency_over, no_time};
use crate::budget;
use crate::catalog::Gating;
use crate::lifecycle::{Change, Given};
use crate::time::Timestamp;
use crate::{batch, holds};

/// All that stands in the way at this time; the first decides.
pub(super) fn at_this_time(change: &Change, given: &Given) -> Vec<GateState> {
    if given.stopped.is_some() {
        return stopped(given).into_iter().collect();
    }
    let people = holds::shut(change, given);
    if !people.is_empty() && is_observed(change, given) {
        // All else is only observed, and holds nothing.
        return people;
    }
    let calendar = scheduled_later(change, given).or_else(|| calendar(change, given));
    let mut all: Vec<GateState> = people.into_iter().chain(calendar).chain(batch::shut(change, given)).collect();
    all.extend(by_budgets(change, given, !all.is_empty()));
    all.extend(shut_again(&all, given));
    all
}

/// When all is over that stands in the way beside the calendar; nothing where nothing does, or where something has no end that is known.
pub fn end_beside_calendar(change: &Change, given: &Given) -> Option<Timestamp> {
    let people = holds::shut(change, given).into_iter();
    let beside = people.chain(scheduled_later(change, given)).chain(batch::shut(change, given));
    let mut all: Vec<GateState> = beside.collect();
    all.extend(by_budgets(change, given, true));
    last_end(&all)
}

/// What the budgets say. Whose turn it is matters once nothing else is in the way.
fn by_budgets(change: &Change, given: &Given, is_held: bool) -> impl Iterator<Item = GateState> {
    let is_turn =
        |state: &GateState| matches!(state, GateState::Closed { code, opens_at: None, .. } if code == budget::RATE);
    budget::shut(change, given).into_iter().filter(move |state| !is_held || !is_turn(state))
}

/// All of them as the one answer of the gate: the code and the words of the first, and the time at which the last of them is over.
pub(super) fn as_one(all: &[GateState], given: &Given) -> GateState {
    let Some(GateState::Closed { code, reason, who_can, .. }) = all.first() else { return GateState::Open };
    let opens_at = last_end(all).and_then(|end| match &given.reopening {
        Some(reopening) => reopening.at.map(|at| at.max(end)),
        None => Some(end),
    });
    GateState::Closed { code: code.clone(), reason: reason.clone(), opens_at, who_can: who_can.clone() }
}

fn last_end(all: &[GateState]) -> Option<Timestamp> {
    let ends: Option<Vec<Timestamp>> = all.iter().map(GateState::opens_at).collect();
    ends?.into_iter().max()
}

/// The calendar as it will be once all else is over, where that is not what it says of now.
fn shut_again(known: &[GateState], given: &Given) -> Option<GateState> {
    let (end, reopening) = (last_end(known)?, given.reopening.as_ref()?);
    if reopening.at.is_some_and(|at| at <= end) {
        return None;
    }
    let reason = format!("once all else is over, {}", reopening.in_words());
    Some(closed("outside_window", reason, reopening.at, Some("nobody: it opens by itself".into())))
}

fn is_observed(change: &Change, given: &Given) -> bool {
    change.proposal.gating == Gating::Observe && given.gating == Gating::Observe
}

fn stopped(given: &Given) -> Option<GateState> {
    let stopped = given.stopped.as_ref()?;
    let reason = format!("{} has stopped everything since `{}`: {}", stopped.by, stopped.since, stopped.reason);
    let who = "somebody who may freeze, with `clearway stop-all --release --reason ...`".to_owned();
    Some(closed(STOPPED, reason, None, Some(who)))
}

fn scheduled_later(change: &Change, given: &Given) -> Option<GateState> {
    let not_before = change.waits_until().filter(|at| *at > given.now)?;
    let reason = format!("it is scheduled for `{not_before}`");
    Some(closed("scheduled_later", reason, Some(not_before), Some("the author, by amending `when`".into())))
}

/// What its course and the calendar say of this time.
fn calendar(change: &Change, given: &Given) -> Option<GateState> {
    if let Some(shut) = no_time(change, given) {
        return Some(shut);
    }
    let over = change.proposal.course.emergency().filter(|emergency| emergency.until <= given.now);
    if let Some(shut) = over.and_then(|emergency| emergency_over(change, emergency)) {
        return Some(shut);
    }
    Some(by_calendar(change, given)).filter(|state| *state != GateState::Open)
}
