//! Precedence: of several changes that wait for one place, who goes first?
//!
//! One strict total order at every moment, by what the log says and by the clock: emergencies; then those that have waited longer than the patience of
//! the organisation, the longest first; then by turn: the team goes first that has had no turn at the service for longest. So a team that approves two
//! hundred changes at once goes every other time, and nobody is overtaken for ever. Must never depend on who asks: two that meet would else wait for one
//! another. Who waits where is kept in [`traffic`](crate::conflict::traffic), which asks this.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ChangeId;
use crate::time::{Span, Timestamp, after};

/// How long a change waits before those that came later go behind it whatever their turn: unless governance says otherwise.
pub const PATIENCE: Span = Span::secs(86_400);

/// When it is asked, and how long a change waits before its age counts for more than turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub patience: Span,
}

/// Where a change stands among those that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub is_emergency: bool,
    /// Since when it could have begun, but for other changes.
    pub since: Timestamp,
    /// The last turn of its team at its service.
    pub turn: Option<Turn>,
    /// The position in the log at which it was approved.
    pub ticket: u64,
    pub change: ChangeId,
}

/// When a team last began something somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// The position in the log.
    pub position: u64,
    pub at: Timestamp,
}

/// Why one of two goes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum First {
    Emergency,
    /// It has waited for longer than the patience.
    Waited {
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// It is its team's turn.
    Turn {
        team: String,
        /// When the team last began something here; absent where it never did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        last: Option<Timestamp>,
    },
    Approved,
}

/// What is compared, the first to go being the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    class: Class,
    turn: u64,
    since: Timestamp,
    ticket: u64,
    change: ChangeId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Emergency,
    Aged,
    ByTurn,
}

impl Moment {
    /// Who has waited since then, or longer, has waited longer than the patience.
    pub fn aged_before(&self) -> Timestamp {
        let millis = i64::try_from(self.patience.as_millis()).unwrap_or(i64::MAX);
        let at = self.now.as_millisecond().saturating_sub(millis);
        Timestamp::from_millisecond(at).unwrap_or(Timestamp::MIN)
    }
}

impl Place {
    /// Its rank at a moment: no two changes have the same.
    pub fn rank(&self, moment: Moment) -> Rank {
        let class = match () {
            () if self.is_emergency => Class::Emergency,
            () if self.since <= moment.aged_before() => Class::Aged,
            () => Class::ByTurn,
        };
        let turn = if class == Class::ByTurn { self.turn.map_or(0, |turn| turn.position + 1) } else { 0 };
        Rank { class, turn, since: self.since, ticket: self.ticket, change: self.change }
    }

    /// What decides between two of one team that count their turns at one service: since when they wait, and where they were approved.
    pub(crate) fn spot(&self) -> (Timestamp, u64, ChangeId) {
        (self.since, self.ticket, self.change)
    }

    /// When its age begins to count for more than turns.
    pub fn ages_at(&self, patience: Span) -> Timestamp {
        after(self.since, patience)
    }

    /// Why it goes before another, of `team` being its own.
    pub fn before(&self, other: &Self, team: &str, moment: Moment) -> First {
        let (mine, theirs) = (self.rank(moment), other.rank(moment));
        match (mine.class, mine.class.cmp(&theirs.class), mine.turn.cmp(&theirs.turn)) {
            (Class::Emergency, Ordering::Less, _) => First::Emergency,
            (Class::Aged, Ordering::Less, _) => First::Waited { since: self.since },
            (Class::ByTurn, _, Ordering::Less) => {
                First::Turn { team: team.to_owned(), last: self.turn.map(|turn| turn.at) }
            }
            _ => First::Approved,
        }
    }
}

impl Rank {
    /// Whether turns decide when it goes, and not its age or an emergency.
    pub(crate) fn is_by_turn(&self) -> bool {
        self.class == Class::ByTurn
    }
}

impl First {
    /// What follows the name of the change that goes first.
    pub fn in_words(&self) -> String {
        match self {
            Self::Emergency => "waits for the same, is an emergency, and goes first".into(),
            Self::Waited { since } => {
                format!("has waited for the same since `{since}`, longer than anybody should, and goes first")
            }
            Self::Turn { team, last: Some(at) } => {
                format!("waits for the same and goes first: `{team}` has had no turn here since `{at}`")
            }
            Self::Turn { team, last: None } => {
                format!("waits for the same and goes first: `{team}` has had no turn here yet")
            }
            Self::Approved => "waits for the same, was approved before, and goes first".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Span::secs(secs))
    }

    fn place(change: u64, since: u64, turn: Option<u64>) -> Place {
        Place {
            is_emergency: false,
            since: at(since),
            turn: turn.map(|position| Turn { position, at: at(position) }),
            ticket: change,
            change: ChangeId::new(change),
        }
    }

    fn first(a: &Place, b: &Place, now: u64) -> (u64, String) {
        let moment = Moment { now: at(now), patience: Span::secs(100) };
        let (one, other) = if a.rank(moment) < b.rank(moment) { (a, b) } else { (b, a) };
        (one.change.number(), one.before(other, "shop", moment).in_words())
    }

    // PR5
    #[test]
    fn an_emergency_then_age_then_turns_then_the_approval_say_who_goes_first() {
        let (older, newer) = (place(1, 0, Some(7)), place(2, 50, None));
        let by_turn = "waits for the same and goes first: `shop` has had no turn here yet";
        assert_eq!(first(&older, &newer, 60), (2, by_turn.into()));
        let (number, words) = first(&older, &newer, 100);
        assert_eq!(number, 1);
        assert!(words.starts_with("has waited for the same since `1970-01-01T00:00:00Z`"), "{words}");
        let (number, words) = first(&older, &newer, 150);
        assert_eq!((number, words.as_str()), (1, "waits for the same, was approved before, and goes first"));
        let (number, words) = first(&older, &place(3, 50, Some(2)), 60);
        assert_eq!(number, 3);
        assert!(words.ends_with("has had no turn here since `1970-01-01T00:00:02Z`"), "{words}");
        let emergency = Place { is_emergency: true, ..place(4, 140, Some(9)) };
        assert_eq!(first(&older, &emergency, 150).0, 4);
    }
}
