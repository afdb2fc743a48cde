//! Assessment: how risky is it, may it happen, and what must happen first?
//!
//! Policy answers; this room keeps the answer as a value, with the digests by which it can be given again. Next room: [`exception`](crate::exception).

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::{SERVICE_OWNERS, owned_by};
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

/// How strictly a rule binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It warns; nothing is held.
    Advisory,
    /// It holds until somebody who may overrides it, with a reason.
    Soft,
    /// It holds. Two people together may break the glass.
    #[default]
    Hard,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Advisory => "advisory",
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

/// The code of the denial that stands for policies that failed.
pub const POLICY_ERROR: &str = "policy_error";

/// One rule that says no. An advisory one is a warning and never stands here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    pub code: String,
    pub reason: String,
    #[serde(default)]
    pub level: Level,
    /// The groups whose members may override it where it is soft; whoever holds the permission if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub override_by: BTreeSet<String>,
}

impl Denial {
    /// One that nobody overrides alone.
    pub fn hard(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code: code.into(), reason: reason.into(), level: Level::Hard, override_by: BTreeSet::new() }
    }
}

/// One point of a checklist: ticked by evidence where there is some, by a named person where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// The name of the checklist, such as `before-production`.
    pub list: String,
    /// Unique in its list.
    pub code: String,
    /// What has to be true, in words.
    pub title: String,
    /// What shows that it is; absent where nothing does yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    #[serde(default)]
    pub tick: Tick,
}

/// What can tick a point that no evidence has ticked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tick {
    /// A person who answers for it by name.
    #[default]
    Person,
    /// Nothing but evidence: the change is amended with it.
    Evidence,
}

/// Whether a change has to be planned for a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    #[default]
    Free,
    /// It starts at a time that those who approve it have seen, never at once.
    Required,
}

/// Approvals that are needed before the change may start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// The group that may give them; `service-owners`, `approvers` and `on-call` are known without being listed.
    pub by: String,
    /// How many different people of it.
    pub count: u8,
    /// How long they have, from the assessment; then the next group is asked too, and in the end the change lapses.
    pub within: Span,
    /// The groups that are asked one after the other when time is up, each with as much time again; their votes count from then on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<String>,
    /// When those who are asked are reminded, from when they were asked; after half of their time if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<Span>,
    /// Whether a vote has to carry the signature of a key in access.yaml.
    #[serde(default)]
    pub signature: Signing,
}

impl Requirement {
    /// A requirement without escalation, signed or not.
    pub fn of(by: impl Into<String>, count: u8, within: Span) -> Self {
        Self { by: by.into(), count, within, escalate: vec![], remind: None, signature: Signing::Free }
    }

    /// Whose votes it asks for, in words: `` `security` ``, or `` `security`, signed ``.
    pub fn whose(&self) -> String {
        let signed = if self.signature == Signing::Required { ", signed" } else { "" };
        format!("`{}`{signed}", self.by)
    }
}

/// Whether votes are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signing {
    #[default]
    Free,
    Required,
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
    /// What has to be ticked before it may start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<Item>,
    #[serde(default)]
    pub window: Window,
    /// Whether nobody is asked because its template was approved: it begins only while that counts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pre_approved: bool,
    /// Approvals that are owed after the fact: those of an emergency, or of what went by the product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Requirement>,
    /// The digest of the policy bundle that answered.
    pub policy: Digest,
    /// The digest of the whole input it was given, which is kept beside the log.
    pub input: Digest,
    /// The effect that was assessed.
    pub effect: Digest,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Assessment {
    /// The same, with each of several owners asked for itself: the yes of one must not be that of another whose service changes too.
    #[must_use]
    pub fn asking_each_of(mut self, owners: &BTreeSet<&str>) -> Self {
        if owners.len() > 1 {
            self.requires = self.requires.into_iter().flat_map(|r| of_each(r, owners)).collect();
            self.owed = self.owed.into_iter().flat_map(|r| of_each(r, owners)).collect();
        }
        self
    }

    /// Whether another answer to the same question holds or frees nothing else. Its score, the reasons for it and what it warns of may differ.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let holds = self.denials == other.denials && self.checklist == other.checklist && self.window == other.window;
        let people = self.requires == other.requires && self.owed == other.owed;
        let by = self.policy == other.policy && self.pre_approved == other.pre_approved;
        self.effect == other.effect && self.level == other.level && holds && people && by
    }

    pub fn allows(&self) -> bool {
        self.denials.is_empty()
    }
}
fn of_each(requirement: Requirement, owners: &BTreeSet<&str>) -> Vec<Requirement> {
    if requirement.by != SERVICE_OWNERS {
        return vec![requirement];
    }
    owners.iter().map(|owner| Requirement { by: owned_by(owner), ..requirement.clone() }).collect()
}
