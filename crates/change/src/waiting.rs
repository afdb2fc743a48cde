//! Waiting: what could move a change that has nothing to do now, and when is it asked again whatever happens?
//!
//! A gate names what would open it: a time, another change, people. Where several are closed, one that has to open in any case is enough to wait for, so
//! that one event wakes few. What this does not know is asked again soon: a gate that is new here is slow, and never forgotten. Must never say that
//! something may begin; it only says when to ask.

use crate::gate::{self, Gate, GateName, GateState};
use crate::id::ChangeId;
use crate::lifecycle::{Change, Event, Stage};
use crate::time::{Span, Timestamp, after};
use crate::{batch, budget, holds};

/// What is waited for by events alone is asked again after so long all the same.
pub const BACKSTOP: Span = Span::secs(6 * 3_600);
/// Rules about hours may answer otherwise after it: every zone's hours begin at one of these.
const QUARTER_MILLIS: i64 = 900_000;

/// What a change waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it is asked again in any case.
    pub at: Timestamp,
    pub needs: Needs,
}

/// What could move it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing but time, or other rules.
    Time,
    /// Another change: its end, or its place in a queue.
    Change(ChangeId),
    /// People: their votes, who stands in for whom, or what standard changes count.
    People,
    /// The end of a stop of everything.
    Stop,
    /// Whoever is on call lets go of a service.
    Hold,
    /// The error budget of a service.
    Budget,
    /// A batch goes on.
    Batch,
}

impl Needs {
    /// What an event moves that belongs to no change. The end of a change, and its place in a line, are told by those who know the line.
    pub fn moved_by(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Delegated(_)
            | Event::DelegationEnded { .. }
            | Event::StandardSuspended { .. }
            | Event::StandardReinstated { .. } => Self::People,
            Event::AllStopped { .. } | Event::StopReleased { .. } => Self::Stop,
            Event::HoldSet(_) | Event::HoldReleased { .. } => Self::Hold,
            Event::BudgetMoved(_) => Self::Budget,
            Event::BatchReleased { .. } => Self::Batch,
            _ => return None,
        })
    }
}

/// What a change without a rollout waits for, if nothing is due for it before `due_at`; what nothing is known of is asked again every `poll`.
pub fn of(change: &Change, due_at: Option<Timestamp>, now: Timestamp, poll: Span) -> Wait {
    let (needs, at) = match &change.stage {
        Stage::Waiting if change.is_denied() => (Needs::People, next_quarter(now)),
        Stage::Waiting => (Needs::People, after(now, BACKSTOP)),
        Stage::Scheduled { .. } => match &change.hold {
            Some(hold) => of_gates(&hold.gates, now, poll),
            None => (Needs::Time, after(now, BACKSTOP)),
        },
        Stage::Rolling(_) => (Needs::Time, after(now, poll)),
        Stage::Ended { .. } => (Needs::Time, after(now, BACKSTOP)),
    };
    Wait { at: due_at.map_or(at, |due| due.min(at)), needs }
}

/// What has to come in any case before these gates are open: the latest time first, then another change, then people.
fn of_gates(gates: &[Gate], now: Timestamp, poll: Span) -> (Needs, Timestamp) {
    let holding = || gates.iter().filter(|gate| gate.holds());
    let each =
        || holding().flat_map(|gate| gate.closed_by().iter().chain([&gate.state]).map(|state| (gate.gate, state)));
    let timed = each().filter_map(|(gate, state)| {
        let at = state.opens_at().filter(|at| *at > now)?;
        Some((at, slow(gate, state, now, poll).0))
    });
    if let Some((at, needs)) = timed.max() {
        // A window that is far away is asked about again on the way: somebody may have made an exception.
        return (needs, at.min(after(now, BACKSTOP)));
    }
    if let Some(behind) = holding().find_map(|gate| gate.behind) {
        return (Needs::Change(behind), after(now, BACKSTOP));
    }
    let slowest = each().map(|(gate, state)| slow(gate, state, now, poll)).max();
    slowest.unwrap_or((Needs::Time, after(now, poll)))
}

/// What opens a gate that names no change, and when to ask again if it names no time either.
fn slow(gate: GateName, state: &GateState, now: Timestamp, poll: Span) -> (Needs, Timestamp) {
    let GateState::Closed { code, .. } = state else { return (Needs::Time, after(now, poll)) };
    match (gate, code.as_str()) {
        (GateName::Windows, gate::STOPPED) => (Needs::Stop, after(now, BACKSTOP)),
        (_, holds::HELD_BY_HOLD) => (Needs::Hold, after(now, BACKSTOP)),
        (_, budget::BURNS | budget::SPENT | budget::RATE | budget::UNKNOWN) => (Needs::Budget, after(now, BACKSTOP)),
        (_, batch::STOPPED | batch::BATCH) => (Needs::Batch, after(now, BACKSTOP)),
        (GateName::Policy, "policy_denies") => (Needs::People, next_quarter(now)),
        (GateName::Validity, _)
        | (GateName::Policy, "checklist_open")
        | (GateName::Conflicts, "after_stranded")
        | (GateName::Windows, "window_required")
        | (
            GateName::Approvals,
            "approvals_missing" | "nobody_to_agree" | "changes_requested" | "unknown_committer" | "standard_lost",
        ) => (Needs::People, after(now, BACKSTOP)),
        // Asked only after the others: it holds nobody by itself.
        (GateName::Readiness, "readiness_unknown") => (Needs::Time, after(now, poll)),
        _ => (Needs::Time, after(now, poll)),
    }
}

fn next_quarter(now: Timestamp) -> Timestamp {
    let begun = now.as_millisecond().div_euclid(QUARTER_MILLIS);
    Timestamp::from_millisecond((begun + 1) * QUARTER_MILLIS).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Span = Span::secs(5);

    fn now() -> Timestamp {
        "2026-11-23T14:02:00Z".parse().expect("an instant")
    }

    fn closed(gate: GateName, code: &str, opens_at: Option<Timestamp>, behind: Option<ChangeId>) -> Gate {
        let state = GateState::Closed { code: code.into(), reason: String::new(), opens_at, who_can: None };
        Gate { behind, ..Gate::new(gate, state) }
    }

    #[test]
    fn one_thing_that_has_to_come_in_any_case_is_enough_to_wait_for() {
        let later = after(now(), Span::secs(600));
        let window = closed(GateName::Windows, "freeze", Some(later), None);
        let behind = closed(GateName::Conflicts, "queue", None, Some(ChangeId::new(3)));
        let unasked = closed(GateName::Readiness, "readiness_unknown", None, None);
        assert_eq!(of_gates(&[behind.clone(), window, unasked.clone()], now(), POLL), (Needs::Time, later));
        assert_eq!(
            of_gates(&[behind, unasked], now(), POLL),
            (Needs::Change(ChangeId::new(3)), after(now(), BACKSTOP))
        );
        let stopped = closed(GateName::Windows, "stopped", None, None);
        assert_eq!(of_gates(&[stopped], now(), POLL).0, Needs::Stop);
    }

    #[test]
    fn what_may_open_before_its_time_is_heard_of_before() {
        let (noon, evening) = (after(now(), Span::secs(600)), after(now(), Span::secs(6_000)));
        let held = closed(GateName::Windows, holds::HELD_BY_HOLD, Some(evening), None);
        let window = closed(GateName::Windows, "outside_window", Some(noon), None);
        assert_eq!(of_gates(&[window.clone(), held], now(), POLL), (Needs::Hold, evening));
        let burns = closed(GateName::Readiness, budget::BURNS, None, None);
        assert_eq!(of_gates(std::slice::from_ref(&burns), now(), POLL), (Needs::Budget, after(now(), BACKSTOP)));
        assert_eq!(of_gates(&[burns, window], now(), POLL), (Needs::Time, noon), "one that has to come is enough");
    }

    #[test]
    fn what_is_not_known_here_is_asked_again_soon() {
        let new = closed(GateName::Windows, "of_next_year", None, None);
        assert_eq!(of_gates(&[new], now(), POLL), (Needs::Time, after(now(), POLL)));
        let over = closed(GateName::Windows, "freeze", Some(now()), None);
        assert_eq!(of_gates(&[over], now(), POLL), (Needs::Time, after(now(), POLL)));
    }

    #[test]
    fn a_rule_about_hours_is_asked_again_when_an_hour_may_begin() {
        assert_eq!(next_quarter(now()).to_string(), "2026-11-23T14:15:00Z");
        assert_eq!(
            next_quarter("2026-11-23T14:15:00Z".parse().expect("an instant")).to_string(),
            "2026-11-23T14:30:00Z"
        );
    }
}
