//! Agenda: who is expected to begin when in the next days, and why not earlier?
//!
//! Plays the days forward over the instants at which anything may change, with the same gates that hold steps in earnest: no start is planned that they
//! would hold. What nobody can foretell, such as a vote or the end of a pause, is said to be unknown, and so is everything that waits for it. Must never
//! open a gate, wake anything or be kept: it is what would happen if nobody did anything. Nothing is looked at minute by minute, and the play is bounded;
//! what was cut is said. Its rooms: [`choice`] (who is played where there are too many), [`course`] (how long a rollout takes through the calendar), `play`, and
//! [`days`] for readers.

pub mod choice;
pub mod course;
pub mod days;
mod play;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::choice::LeftOut;
use crate::calendar::Almanac;
use crate::governance::Governance;
use crate::id::{ChangeId, ReleaseId};
use crate::lifecycle::{Change, Given};
use crate::precedence::Place;
use crate::time::{Span, Timestamp};

pub use play::plan;

/// The most instants that are played.
pub const MOST_INSTANTS: usize = 20_000;
/// The most times that changes are asked for their gates.
pub const MOST_ASKED: usize = 200_000;
/// The farthest that may be asked about.
pub const LONGEST: Span = Span::secs(92 * 86_400);

/// What is known when the days are played.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub now: Timestamp,
    /// Nothing later is planned.
    pub until: Timestamp,
    pub governance: &'a Governance,
    pub calendar: &'a Almanac,
    /// Where those stand that have been approved, by the log.
    pub places: &'a BTreeMap<ChangeId, Place>,
    /// Those that wait and are not played: whoever stands behind one of them is not planned.
    pub left_out: &'a LeftOut,
    /// Every change that is played, with what is given of it now.
    pub changes: &'a [Asking],
    /// How long a step takes, from its beginning to the beginning of the next; the last of all is the watch.
    pub takes: &'a dyn Fn(&Change, Part) -> Span,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("now", &self.now).field("until", &self.until).finish_non_exhaustive()
    }
}

/// A part of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Step(usize),
    Watch,
}

/// How long a part takes as its plan has it: the least that it can.
pub fn as_planned(change: &Change, part: Part) -> Span {
    match part {
        Part::Step(step) => change.proposal.plan.steps.get(step).map_or(Span::ZERO, |step| step.bake),
        Part::Watch => change.proposal.verify.watch,
    }
}

/// A change and what is given of it.
#[derive(Clone, Debug)]
pub struct Asking {
    pub change: Change,
    pub given: Given,
    /// It was not proposed: it stands where it would if it were approved at this moment, without asking who would have to.
    pub supposed_at: Option<Timestamp>,
}

/// The plan of the next days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agenda {
    #[schemars(with = "String")]
    pub now: Timestamp,
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// In the order of their starts: what is under way, what is planned, what begins later than asked, and what nobody can foretell.
    pub items: Vec<Item>,
    /// What was left out, in a sentence, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// What is expected of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Absent for a change that was not proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    pub title: String,
    pub owner: String,
    pub services: BTreeSet<String>,
    pub environment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The batch with which it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    pub expected: Expected,
    /// When it began, or is expected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub starts_at: Option<Timestamp>,
    /// When it is expected to be completed; absent where nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ends_at: Option<Timestamp>,
    /// Why it is not earlier, or why nobody can say when.
    pub because: String,
    /// The change that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<ChangeId>,
}

/// What can be said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// It has begun.
    UnderWay,
    Planned,
    /// Not within the days that were asked for.
    Later,
    Unknown,
}

impl Item {
    /// The change as people call it, with what it changes.
    pub fn name(&self) -> String {
        let id = self.change.map_or_else(|| "your change".to_owned(), |id| id.to_string());
        let services: Vec<&str> = self.services.iter().map(String::as_str).collect();
        let batch = self.batch.as_ref().map_or_else(String::new, |batch| format!(", in the batch `{batch}`"));
        format!("{id} {} ({} in {}, {}{batch})", self.title, services.join(", "), self.environment, self.owner)
    }
}
