//! Aftermath: what is owed when a change is over?
//!
//! A change that was rolled back owes a review; an emergency, and what went by the product, owe the approval that they began without and a review.
//! Debts outlive the end of a change; they begin no step. While a team's debts are overdue its fast lane is shut.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::time::{Span, Timestamp, after};

/// How long people have for a review.
pub const REVIEW_WITHIN: Span = Span::secs(5 * 86_400);
/// The time between two reminders of a debt that is overdue.
const NAG_EVERY: Span = Span::secs(86_400);
/// The most reminders of one debt: who has not heard ten of them hears no more.
const MOST_NAGS: u32 = 10;
/// From this reminder on others are told too.
const ESCALATES_AT: u32 = 3;

/// What can be owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Debt {
    /// The approval that an emergency began without.
    Approval,
    /// What was learnt.
    Review,
}

impl fmt::Display for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approval => "approval",
            Self::Review => "review",
        })
    }
}

/// A debt of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owed {
    pub reason: String,
    #[schemars(with = "String")]
    pub due: Timestamp,
    /// How it was paid: the summary of a review, or who approved. Nothing while it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<String>,
    /// Who has refused to give what is owed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// How often people were reminded of it.
    #[serde(default)]
    pub nags: u32,
}

/// A no, where a yes is owed: an approval that is asked for afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    pub by: Actor,
    pub reason: String,
}

impl Owed {
    pub fn new(reason: &str, due: Timestamp) -> Self {
        Self { reason: reason.to_owned(), due, paid: None, refused: None, nags: 0 }
    }

    /// What is refused is overdue from then on.
    pub fn refuse(&mut self, by: &Actor, reason: &str, at: Timestamp) {
        self.refused = Some(Refused { by: by.clone(), reason: reason.to_owned() });
        self.due = self.due.min(at);
    }

    /// Takes back a refusal by this person.
    pub fn take_back(&mut self, by: &Actor) {
        self.refused.take_if(|refused| refused.by == *by);
    }

    pub fn is_open(&self) -> bool {
        self.paid.is_none()
    }

    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.is_open() && self.due <= now
    }

    /// When people are reminded next: when it falls due, then daily, a bounded number of times.
    pub fn nag_at(&self) -> Option<Timestamp> {
        (self.is_open() && self.nags < MOST_NAGS).then(|| after(self.due, NAG_EVERY.times(u64::from(self.nags))))
    }

    /// Whether the next reminder goes to others than those who owe.
    pub fn escalates(&self) -> bool {
        self.nags + 1 >= ESCALATES_AT
    }
}

/// Adds a second cause to a debt that is open: it stays due when it was, or falls due earlier, and says both. Every fold of debts adds by this.
pub fn owe_more(owed_reason: &mut String, owed_due: &mut Timestamp, reason: &str, due: Timestamp) {
    *owed_due = due.min(*owed_due);
    *owed_reason = format!("{owed_reason}; {reason}");
}

/// When a review that is owed from `now` is due.
pub fn review_due(now: Timestamp) -> Timestamp {
    after(now, REVIEW_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    // LC9 LC3
    #[test]
    fn a_debt_is_nagged_from_its_due_date_daily_and_a_bounded_number_of_times() {
        let due = Timestamp::UNIX_EPOCH;
        let mut owed = Owed::new("an emergency", due);
        assert_eq!(owed.nag_at(), Some(due));
        owed.nags = 2;
        assert_eq!((owed.nag_at(), owed.escalates()), (Some(after(due, Span::secs(2 * 86_400))), true));
        owed.nags = MOST_NAGS;
        assert_eq!(owed.nag_at(), None);
        let paid = Owed { paid: Some("done".into()), nags: 0, ..owed };
        assert_eq!((paid.nag_at(), paid.is_overdue(Timestamp::MAX)), (None, false));
    }
}
