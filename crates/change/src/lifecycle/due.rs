//! Due: what the shell has to do for a change now, and when to ask again if nothing happens before.
//!
//! A function of the state and the time alone: after a crash the same intents are derived again. Decides nothing; what an intent comes to is reported as
//! a command. Next: [`decide`](super::decide).

use super::{Assessed, Change, Page, Phase, Stage};
use crate::aftermath::Owed;
use crate::approval::{self, Call};
use crate::on_call;
use crate::rollout::{BackState, Rollout, StepState, due_again};
use crate::time::{Span, Timestamp, after};

/// Something that the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Ask policy.
    Assess,
    Schedule,
    ApproveByAutomation,
    LapseVotes,
    Lapse,
    /// Remind people, or ask the next group.
    Call,
    /// Remind people of a debt.
    Nag,
    /// A pipeline has not said in time how its step ended.
    ReportSilence {
        step: usize,
        attempt: u32,
    },
    /// A pipeline has not said in time that it has rolled back.
    ReportSilentUndo {
        attempt: u32,
    },
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

    /// What ends the change leaves nothing else to do for it, now or later.
    fn or_the_end(self) -> Self {
        if self.intents.contains(&Intent::Lapse) { Self::act(vec![Intent::Lapse]) } else { self }
    }

    fn and(mut self, other: Self) -> Self {
        self.intents.extend(other.intents);
        self.wake_at = [self.wake_at, other.wake_at].into_iter().flatten().min();
        self
    }
}

/// What is due for a change at `now`. The same state always gives the same intents: after a crash they are derived again.
pub fn due(change: &Change, now: Timestamp) -> Due {
    let (notices, others): (Vec<_>, Vec<_>) =
        change.pages.iter().filter(|(_, page)| page.sent_at.is_none()).partition(|(key, _)| on_call::is_notice(key));
    let (notices, others) = (due_pages(notices, now), due_pages(others, now));
    // People are told last: a channel that does not answer must not stand in front of a rollback. But who is on call is told of a start before it, once at
    // least: nothing is out yet that would have to go back.
    let due = match &change.stage {
        Stage::Waiting => due_while_waiting(change, now).or_the_end(),
        Stage::Scheduled { .. } => {
            // A pipeline begins when it asks to, not by itself.
            let begin = match change.is_outside() {
                true => Due::default(),
                false => Due::at(change.waits_until().unwrap_or(now), now, Intent::BeginStep),
            };
            let first = due_votes(change, now).and(due_emergency_end(change, now));
            return first.and(notices).and(begin).or_the_end().and(due_debts(change, now)).and(others);
        }
        Stage::Rolling(rollout) => due_in_rollout(change, rollout, now),
        Stage::Ended { .. } => Due::default(),
    };
    due.and(due_debts(change, now)).and(notices).and(others)
}

fn due_pages(unsent: Vec<(&String, &Page)>, now: Timestamp) -> Due {
    let each = unsent.into_iter().map(|(key, page)| match page.at {
        Some(at) => Due::at(at, now, Intent::Page { key: key.clone() }),
        None => Due::act(vec![Intent::Page { key: key.clone() }]),
    });
    each.fold(Due::default(), Due::and)
}

fn due_while_waiting(change: &Change, now: Timestamp) -> Due {
    match (change.phase(), &change.assessment) {
        (Phase::Approved, _) => due_votes(change, now).and(Due::act(vec![Intent::Schedule])),
        (_, Some(assessed)) => {
            let by_itself = change.votes.is_empty()
                && assessed.assessment.requires.is_empty()
                && change.requested.is_empty()
                && change.is_allowed(&assessed.assessment);
            if by_itself {
                return Due::act(vec![Intent::ApproveByAutomation]);
            }
            due_votes(change, now).and(due_calls(change, assessed, now)).and(due_emergency_end(change, now))
        }
        (_, None) => Due::act(vec![Intent::Assess]),
    }
}

fn due_calls(change: &Change, assessed: &Assessed, now: Timestamp) -> Due {
    let calls = calls(change, assessed, now).into_iter();
    let each = calls.map(|(at, call)| {
        let intent = if call == Call::Lapse { Intent::Lapse } else { Intent::Call };
        Due::at(at, now, intent)
    });
    let mut due = each.fold(Due::default(), Due::and);
    due.intents.dedup();
    due
}

/// What is to be done because people have not answered yet, and when.
pub(crate) fn calls(change: &Change, assessed: &Assessed, now: Timestamp) -> Vec<(Timestamp, Call)> {
    // A request that nobody answers ends the change, however often automation votes anew beside it.
    let requested = change
        .requested
        .iter()
        .map(|request| (after(request.at, approval::VOTE_LASTS), Call::Lapse))
        .min_by_key(|(at, _)| *at);
    calls_for_votes(change, assessed, now).into_iter().chain(requested).collect()
}

/// A change that a rule denies waits for its author, not for voters.
fn calls_for_votes(change: &Change, assessed: &Assessed, now: Timestamp) -> Vec<(Timestamp, Call)> {
    let calls = approval::calls(&change.standing(now), &change.asked, assessed.at, now);
    if calls.is_empty() || !change.is_allowed(&assessed.assessment) {
        return vec![(after(assessed.at, approval::VOTE_LASTS), Call::Lapse)];
    }
    calls
}

/// An emergency that has not begun in time is none.
fn due_emergency_end(change: &Change, now: Timestamp) -> Due {
    let until = change.proposal.course.emergency().map(|emergency| emergency.until);
    until.map_or_else(Due::default, |until| Due::at(until, now, Intent::Lapse))
}

fn due_debts(change: &Change, now: Timestamp) -> Due {
    let next = change.debts.values().filter_map(Owed::nag_at).min();
    next.map_or_else(Due::default, |at| Due::at(at, now, Intent::Nag))
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
            // The pipeline that did it undoes it, and says so. What waits for it, such as the rest of a release, does not wait for ever.
            BackState::Begun { since } if change.is_outside() => {
                let over = after(*since, answers_within(change, rollout));
                Due::at(over, now, Intent::ReportSilentUndo { attempt: back.attempt })
            }
            BackState::Begun { .. } => Due::act(vec![Intent::Undo { attempt: back.attempt }]),
            BackState::Waiting { at } if !paused => Due::at(due_again(*at, now), now, Intent::BeginUndo),
            BackState::Waiting { .. } | BackState::Failed { .. } => Due::default(),
        };
    }
    let (step, attempt) = (rollout.step, rollout.attempt);
    match &rollout.state {
        // What was begun is finished even in a pause: half a step is the worst place to stand.
        StepState::Begun { since } if change.is_outside() => {
            Due::at(after(*since, answers_within(change, rollout)), now, Intent::ReportSilence { step, attempt })
        }
        StepState::Begun { .. } => Due::act(vec![Intent::Apply { step, attempt }]),
        StepState::Applied { .. } => {
            Due::act(vec![Intent::Look { step, attempt, every: change.proposal.verify.every }])
        }
        StepState::Ready if !paused && !change.is_outside() => Due::act(vec![Intent::BeginStep]),
        StepState::Retrying { at, .. } if !paused && !change.is_outside() => {
            Due::at(due_again(*at, now), now, Intent::BeginStep)
        }
        StepState::Ready | StepState::Retrying { .. } | StepState::Unknown { .. } => Due::default(),
    }
}

/// How long a pipeline may be silent: as long as the step may take at which it is, or the last one.
fn answers_within(change: &Change, rollout: &Rollout) -> Span {
    let steps = &change.proposal.plan.steps;
    steps.get(rollout.step).or(steps.last()).map_or(Span::secs(0), |step| step.deadline)
}

/// The first instant at which a step that was applied at `since` can pass.
pub fn bake_over(change: &Change, step: usize, since: Timestamp) -> Timestamp {
    after(since, change.proposal.plan.steps.get(step).map_or(change.proposal.verify.watch, |s| s.bake))
}
