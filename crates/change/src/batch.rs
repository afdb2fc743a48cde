//! Batches: which changes of low risk go together in the next opening of a window, and what holds the rest when one of them fails?
//!
//! A batch is a rule of `calendar.yaml`, not a change: each of its members keeps its own gates, verdict and rollback, and nothing is rolled back because
//! another was. Who has said `when`, an emergency and a member of a release go their own way. Must never let anything begin: it only holds. Asked by
//! [`gate`](crate::gate); that one went with a batch stands in the log, so that a failure is known whatever the rules say later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assessment::Risk;
use crate::calendar::Almanac;
use crate::circumstances::Circumstances;
use crate::gate::{GateState, closed};
use crate::governance::{Asks, Governance, Match};
use crate::id::ChangeId;
use crate::lifecycle::{Change, Event, Given};
use crate::rollout::PauseReason;
use crate::schedule::When;
use crate::time::Timestamp;

/// The code of a gate that is closed until the window of a batch opens.
pub const BATCH: &str = "batch";
/// The code of a gate that is closed because one of the batch has failed.
pub const STOPPED: &str = "batch_stopped";
/// The stream of what holds batches, and of what people decide about them: no member begins while it moves.
pub const BATCHES: &str = "batches";

/// Changes that go together: those that match, up to a risk, and whose author has not said `when`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// The window of this file in whose next opening they go.
    pub window: String,
    /// The highest risk that goes with it.
    #[serde(default = "low")]
    pub up_to: Risk,
    /// When one of them fails, those that have not begun wait until a person releases them.
    #[serde(default)]
    pub stop_on_failure: bool,
}

fn low() -> Risk {
    Risk::Low
}

/// One of a batch has failed, and nobody has released the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchStopped {
    pub by: ChangeId,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// The batch with which a change goes, as it is at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStanding {
    pub name: String,
    pub window: String,
    pub is_open: bool,
    /// When its window opens next; nothing where it does not within ten years.
    pub opens_at: Option<Timestamp>,
    pub stopped: Option<BatchStopped>,
}

/// The first batch of the calendar with which a change goes.
pub fn of<'a>(change: &Change, governance: &'a Governance) -> Option<&'a Batch> {
    let proposal = &change.proposal;
    let own_way = proposal.when != When::Now || proposal.course.emergency().is_some() || change.release.is_some();
    let risk = change.assessment.as_ref()?.assessment.level;
    let asked = Asks::of(proposal, risk);
    let fits = |batch: &&Batch| risk <= batch.up_to && batch.matches.fits(&asked);
    governance.calendar.batches.iter().filter(|_| !own_way).find(fits)
}

/// Whether one of a batch has failed by this: a verdict that leaves the rollback to people is as much a failure.
pub(crate) fn is_failure(event: &Event) -> bool {
    matches!(event, Event::RollbackBegun { .. } | Event::Paused { why: PauseReason::Verdict, .. })
}

/// What the stream of batches says of one that fails: by the same append as the failure, so that no other of its batch begins in between.
pub fn follow(change: ChangeId, given: &Given, events: &[Event]) -> Option<Event> {
    let batch = given.went_with.clone().filter(|_| events.iter().any(is_failure))?;
    Some(Event::BatchStopped { batch, by: change })
}

/// How the batch of a change stands at an instant; nothing where it goes with none.
pub fn standing(
    change: &Change,
    governance: &Governance,
    calendar: &Almanac,
    circumstances: &Circumstances,
    at: Timestamp,
) -> Option<BatchStanding> {
    let batch = of(change, governance)?;
    let stopped = circumstances.batch_stopped(&batch.name).filter(|_| batch.stop_on_failure).cloned();
    Some(
        BatchStanding {
            name: batch.name.clone(),
            window: batch.window.clone(),
            is_open: false,
            opens_at: None,
            stopped,
        }
        .at(calendar, at),
    )
}

impl BatchStanding {
    /// The same at another instant.
    #[must_use]
    pub fn at(self, calendar: &Almanac, at: Timestamp) -> Self {
        let is_open = calendar.window_is_open(&self.window, at);
        Self { is_open, opens_at: calendar.window_opens(&self.window, at), ..self }
    }
}

/// Why its batch does not let a change begin.
pub(crate) fn shut(change: &Change, given: &Given) -> Option<GateState> {
    let batch = given.batch.as_ref().filter(|_| change.rollout().is_none())?;
    let (name, window) = (&batch.name, &batch.window);
    if let Some(stopped) = &batch.stopped {
        let reason =
            format!("`{}` of the batch `{name}` has failed at `{}`: the rest waits", stopped.by, stopped.since);
        let who = format!(
            "somebody who may freeze, with `clearway batch release {name} --reason ...`; or the author, by amending `when`"
        );
        return Some(closed(STOPPED, reason, None, Some(who)));
    }
    if batch.is_open {
        return None;
    }
    let opens = match batch.opens_at {
        Some(at) => format!("it opens at `{at}`"),
        None => "it does not open within ten years".to_owned(),
    };
    let reason = format!("it goes with the batch `{name}` in the window `{window}`; {opens}");
    let who = "nobody: it opens by itself; or the author, by saying `when`".to_owned();
    Some(closed(BATCH, reason, batch.opens_at, Some(who)))
}
