//! Lanes: one change at a time on one resource.
//!
//! A lane is a stream of its own in the log, `lane/<resource>`, and is taken in the same append as the first step: two starts can't race.
//! It is freed when the watch begins, or when the rollback is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ChangeId;
use crate::lifecycle::{Change, Event, Phase};

/// The stream of a resource's lane.
pub fn stream(resource: &str) -> String {
    format!("lane/{resource}")
}

/// A lane as its stream tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    pub resource: String,
    pub holder: Option<ChangeId>,
}

impl Lane {
    pub fn free(resource: &str) -> Self {
        Self { resource: resource.to_owned(), holder: None }
    }

    pub fn is_held_by_another(&self, change: ChangeId) -> bool {
        self.holder.is_some_and(|holder| holder != change)
    }

    /// The lane after one more event of its stream.
    #[must_use]
    pub fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::LaneTaken { change } => self.holder = Some(*change),
            Event::LaneFreed { .. } => self.holder = None,
            _ => {}
        }
        self
    }
}

fn holds(change: &Change) -> bool {
    match change.phase() {
        Phase::RollingOut { .. } | Phase::RollingBack | Phase::RollbackFailed => true,
        Phase::Held { step } => step.is_some(),
        Phase::Paused { step } => step < change.proposal.plan.steps.len() || change.is_rolling_back(),
        _ => false,
    }
}

/// What happens to the lanes when a change moves: the events to append to each of its lanes' streams.
pub fn moves(before: &Change, after: &Change) -> Option<Event> {
    match (holds(before), holds(after)) {
        (false, true) => Some(Event::LaneTaken { change: after.id }),
        (true, false) => Some(Event::LaneFreed { change: after.id }),
        _ => None,
    }
}
