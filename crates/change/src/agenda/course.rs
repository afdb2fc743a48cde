//! Course: when does a rollout that begins at a moment leave its targets, and when is it completed?
//!
//! Each step begins when the calendar lets it: the gates are asked again at every step. Where the calendar closes in the middle of a step and the change
//! does not finish it by its policy, nobody can say how it goes on. Next room: `play`.

use super::{Asking, Known, Part};
use crate::calendar::{OnClose, Passes, Subject, Windows};
use crate::time::{Timestamp, after};

/// The most turns of the calendar that are looked at within one step.
const MOST_TURNS: usize = 1_000;

/// How a rollout is expected to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// When its last step is over, and others may begin where it was.
    pub leaves_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
    /// Why nobody can say.
    pub unknown: Option<String>,
}

impl Course {
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { leaves_at: None, ends_at: None, unknown: Some(why.into()) }
    }
}

/// The course of a change from a step on that begins, or may begin, at a moment.
pub fn from_step(known: &Known<'_>, asking: &Asking, step: usize, at: Timestamp) -> Course {
    let (change, mut at) = (&asking.change, at);
    for step in step..change.proposal.plan.steps.len() {
        let Some(opens) = opens_at(known, asking, at) else {
            return Course::unknown("the calendar does not open for its next step within ten years");
        };
        let over = after(opens, (known.takes)(change, Part::Step(step)));
        if let Some(why) = closes_within(known, asking, opens, over) {
            return Course::unknown(why);
        }
        at = over;
    }
    Course { leaves_at: Some(at), ends_at: Some(after(at, (known.takes)(change, Part::Watch))), unknown: None }
}

/// The first moment from `at` on at which the calendar lets a change go.
fn opens_at(known: &Known<'_>, asking: &Asking, at: Timestamp) -> Option<Timestamp> {
    if known.calendar.is_empty() {
        return Some(at);
    }
    let (change, passes) = (&asking.change, passes(asking));
    let owners = known.governance.catalog.owners(&change.proposal.services);
    known.calendar.opening(&Subject::of(change, &owners), &passes, at).at
}

fn passes(asking: &Asking) -> Passes {
    Passes::of(&asking.change, &asking.given.grants_lost)
}

/// Why the calendar does not let a step come to its end, where it closes in the middle of it.
fn closes_within(known: &Known<'_>, asking: &Asking, from: Timestamp, to: Timestamp) -> Option<String> {
    if known.calendar.is_empty() {
        return None;
    }
    let change = &asking.change;
    let owners = known.governance.catalog.owners(&change.proposal.services);
    let (subject, passes) = (Subject::of(change, &owners), passes(asking));
    let mut at = from;
    for _ in 0..MOST_TURNS {
        at = known.calendar.next_turn(&subject, at).filter(|turn| *turn > at && *turn < to)?;
        let standing = known.calendar.standing(&subject, &passes, at);
        let frozen = standing.frozen.iter().filter(|freeze| !passes.freeze(&freeze.name, freeze.emergency, at));
        let windows = match &standing.windows {
            Windows::Shut { on_close, .. } if change.proposal.course.emergency().is_none() => Some(*on_close),
            _ => None,
        };
        let closing: Vec<OnClose> = frozen.map(|freeze| freeze.on_close).chain(windows).collect();
        if closing.is_empty() {
            continue;
        }
        let strictest = closing.into_iter().chain([change.proposal.on_close]).max().unwrap_or_default();
        match strictest {
            OnClose::FinishStep => {}
            OnClose::Pause => {
                return Some(format!("the calendar closes at `{at}` in the middle of a step, and it pauses"));
            }
            OnClose::RollBack => {
                return Some(format!("the calendar closes at `{at}` in the middle of a step, and it is rolled back"));
            }
        }
    }
    None
}
