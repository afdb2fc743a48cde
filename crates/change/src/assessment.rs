//! Assessment: how risky is it, may it happen, and what must happen first?
//!
//! Policy answers; this room keeps the answer as a value, with the digests by which it can be given again. Next room: [`approval`](crate::approval).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::time::Span;

/// The risk of a change, from its score: low below 25, medium below 50, high below 75, then critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl Risk {
    /// The level of a score from 0 to 100.
    pub fn of_score(score: u8) -> Self {
        match score {
            0..25 => Self::Low,
            25..50 => Self::Medium,
            50..75 => Self::High,
            _ => Self::Critical,
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// One reason for the score.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Factor {
    pub code: String,
    /// What it adds to the score, 0 to 100.
    pub points: u8,
    /// In words, with the figures.
    pub reason: String,
}

/// One rule that says no.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    pub code: String,
    pub reason: String,
}

/// Approvals that are needed before the change may start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// The group that may give them; `service-owners` and `approvers` are known without being listed.
    pub by: String,
    /// How many different people of it.
    pub count: u8,
    /// How long they have, from the assessment; the change lapses then.
    pub within: Span,
}

/// What policy said of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    /// 0 to 100.
    pub score: u8,
    pub level: Risk,
    pub factors: Vec<Factor>,
    /// Why it may not happen; empty where it may.
    pub denials: Vec<Denial>,
    pub warnings: Vec<String>,
    /// Approvals that it needs; none where automation approves.
    pub requires: Vec<Requirement>,
    /// The digest of the policy bundle that answered.
    pub policy: Digest,
    /// The digest of the whole input it was given, which is kept beside the log.
    pub input: Digest,
    /// The effect that was assessed.
    pub effect: Digest,
}

impl Assessment {
    pub fn allows(&self) -> bool {
        self.denials.is_empty()
    }
}
