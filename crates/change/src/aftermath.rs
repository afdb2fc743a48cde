//! Aftermath: what is owed when a change is over?
//!
//! A change that was rolled back owes a review. Debts outlive the end of a change; they begin no step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp, after};

/// How long people have for a review.
pub const REVIEW_WITHIN: Span = Span::secs(5 * 86_400);

/// A review that is owed or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    pub reason: String,
    #[schemars(with = "String")]
    pub due: Timestamp,
    /// What was learnt; nothing while it is owed.
    pub done: Option<String>,
}

/// When a review that is owed from `now` is due.
pub fn review_due(now: Timestamp) -> Timestamp {
    after(now, REVIEW_WITHIN)
}
