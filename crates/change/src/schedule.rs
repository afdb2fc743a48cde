//! Schedule: when is the first allowed moment?
//!
//! Holds what an author asked for ([`When`]). What forbids a moment is the [`calendar`](crate::calendar)'s to say. Next room:
//! [`rollout`](crate::rollout).

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::batch;
use crate::calendar::{Almanac, Obstacle, ObstacleKind, Opening, Passes, Subject};
use crate::governance::Governance;
use crate::lifecycle::{Change, Given};
use crate::time::{self, Timestamp};

/// When a change may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum When {
    /// As soon as its gates are open.
    #[default]
    Now,
    /// In the next window of its services that is open to it.
    NextWindow,
    /// Not before this instant.
    At(Timestamp),
}

/// The most openings of the window of a batch that are looked at.
const MOST_OPENINGS: usize = 1_000;
const NEXT_WINDOW: &str = "next-window";

impl When {
    /// The first moment that the author allows, for a change that is approved at `now`.
    pub fn not_before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now | Self::NextWindow => now,
            Self::At(at) => at.max(now),
        }
    }
}

/// The first moment of a change that is approved now. Where no window comes, it waits at the gate, which says so.
pub fn first(change: &Change, given: &Given) -> Timestamp {
    let asked = change.proposal.when.not_before(given.now);
    let opening = given.opening.as_ref().and_then(|opening| opening.at);
    if change.proposal.when == When::NextWindow { opening.unwrap_or(asked) } else { asked }
}

/// The moment of a change for the next window that has another one by now: the calendar, or what the change may pass of it, is not what it was.
///
/// One whose moment has come is not moved on: from then on the gate says what it waits for, and its votes last no longer.
pub fn anew(change: &Change, given: &Given) -> Option<Timestamp> {
    let known = change.not_before().filter(|known| *known > given.now)?;
    let is_meant = change.proposal.when == When::NextWindow && given.opening.is_some();
    Some(first(change, given)).filter(|first| is_meant && *first != known)
}

/// The first moment at which its own time has come and the calendar, and the batch with which it goes, let a change begin; for one under way, its next step.
pub fn opening(
    change: &Change,
    governance: &Governance,
    calendar: &Almanac,
    passes: &Passes,
    now: Timestamp,
) -> Opening {
    let has_begun = change.rollout().is_some();
    let asked = change.waits_until().unwrap_or_else(|| change.proposal.when.not_before(now));
    let owners = governance.catalog.owners(&change.proposal.services);
    let subject = Subject::of(change, &owners);
    let from = |at: Timestamp| calendar.opening(&subject, passes, at);
    let opening = from(if has_begun { now } else { asked.max(now) });
    match batch::of(change, governance).filter(|_| !has_begun) {
        Some(batch) => with_batch(opening, batch, calendar, from),
        None => opening,
    }
}

/// The first moment that is in the window of a batch too.
fn with_batch(
    mut opening: Opening,
    batch: &batch::Batch,
    calendar: &Almanac,
    from: impl Fn(Timestamp) -> Opening,
) -> Opening {
    for _ in 0..MOST_OPENINGS {
        let Some(at) = opening.at.filter(|at| !calendar.window_is_open(&batch.window, *at)) else { return opening };
        let until = calendar.window_opens(&batch.window, at);
        let (what, names) = (ObstacleKind::Batch, vec![batch.name.clone()]);
        opening.obstacles.push(Obstacle { what, names, reason: String::new(), from: at, until });
        let next = until.map(&from).unwrap_or_default();
        opening.at = next.at;
        opening.obstacles.extend(next.obstacles);
    }
    Opening { at: None, ..opening }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::NextWindow => f.write_str(NEXT_WINDOW),
            Self::At(at) => write!(f, "{at}"),
        }
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "now" => Ok(Self::Now),
            NEXT_WINDOW => Ok(Self::NextWindow),
            at => time::parse_instant(at).map(Self::At),
        }
    }
}

impl JsonSchema for When {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`now`, `next-window`, or a time with its zone.",
            "pattern": "^(now|next-window|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].+)$",
            "examples": ["2026-12-01T09:00 Europe/Berlin"]
        })
    }
}
