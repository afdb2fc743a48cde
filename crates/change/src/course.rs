//! Course: by which way does a change go: the regular one, a standard change, an emergency, or is it put on record afterwards?
//!
//! What differs is written into the proposal when it is made, so that everybody who looks at it sees it. Must never open a gate by itself: an
//! emergency has a smaller quorum and a clock, a standard change was approved as a template; both are verified like any other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assessment::{Assessment, Requirement};
use crate::id::Digest;
use crate::rollout::Plan;
use crate::time::{Span, Timestamp};
use crate::verification::Verify;

/// The way that a change goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Course {
    #[default]
    Regular,
    Standard(Standard),
    Emergency(Emergency),
    Afterwards(Afterwards),
}

impl Course {
    pub fn is_regular(&self) -> bool {
        *self == Self::Regular
    }

    pub fn emergency(&self) -> Option<&Emergency> {
        match self {
            Self::Emergency(emergency) => Some(emergency),
            _ => None,
        }
    }

    pub fn standard(&self) -> Option<&Standard> {
        match self {
            Self::Standard(standard) => Some(standard),
            _ => None,
        }
    }

    pub fn afterwards(&self) -> Option<&Afterwards> {
        match self {
            Self::Afterwards(afterwards) => Some(afterwards),
            _ => None,
        }
    }

    /// `regular`, `standard`, `emergency` or `afterwards`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Standard(_) => "standard",
            Self::Emergency(_) => "emergency",
            Self::Afterwards(_) => "afterwards",
        }
    }
}

/// An instance of a standard change: a template that was approved once, for parameters within its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standard {
    /// The id of the template.
    pub id: String,
    /// The digest of the template that it was made from.
    pub template: Digest,
    pub parameters: std::collections::BTreeMap<String, serde_json::Value>,
}

/// A change in the fast lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Emergency {
    /// The incident that it ends: a reference that people can look up.
    pub incident: String,
    pub reason: String,
    /// No step begins after it, unless what is owed has been approved by then.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Who has to agree before it starts; the others are owed.
    pub quorum: Vec<Requirement>,
    /// From the first step.
    pub approval_within: Span,
    /// From the first step.
    pub review_within: Span,
}

/// A deployment that has happened without the product, put on record with a debt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Afterwards {
    #[schemars(with = "String")]
    pub deployed_at: Timestamp,
    /// Why it went by.
    pub reason: String,
    pub approval_within: Span,
    pub review_within: Span,
}

/// `emergency` in approvals.yaml: the rules of the fast lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencyRules {
    /// Who has to agree before it starts: by default one other person on call.
    pub quorum: Vec<crate::governance::RuleRequirement>,
    /// How long it may last, from its proposal.
    pub lasts: Span,
    /// By when the full approval is owed, from the first step.
    pub approval_within: Span,
    /// By when the review is owed, from the first step.
    pub review_within: Span,
    /// The longest bake of a step.
    pub bake: Span,
    /// The longest watch after the last step.
    pub watch: Span,
    /// The most services that one emergency may change.
    #[schemars(range(min = 1, max = 100))]
    pub services: usize,
    /// Who is told when a debt is long overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate: Option<String>,
}

impl Default for EmergencyRules {
    fn default() -> Self {
        let on_call = crate::governance::RuleRequirement::of(crate::approval::ON_CALL, 1, Span::secs(1_800));
        Self {
            quorum: vec![on_call],
            lasts: Span::secs(4 * 3_600),
            approval_within: Span::secs(86_400),
            review_within: crate::aftermath::REVIEW_WITHIN,
            bake: Span::secs(60),
            watch: Span::secs(300),
            services: 3,
            escalate: None,
        }
    }
}

impl EmergencyRules {
    /// An emergency that is declared at `now`.
    pub fn declare(&self, incident: &str, reason: &str, now: Timestamp) -> Emergency {
        Emergency {
            incident: incident.to_owned(),
            reason: reason.to_owned(),
            until: crate::time::after(now, self.lasts),
            quorum: self.quorum.iter().map(crate::governance::RuleRequirement::requirement).collect(),
            approval_within: self.approval_within,
            review_within: self.review_within,
        }
    }

    /// Cuts the times of a plan: its steps stay, and each is verified, for less long. The deadline of a step stays what it was.
    pub fn shorten(&self, plan: &mut Plan, verify: &mut Verify) {
        for step in &mut plan.steps {
            step.bake = step.bake.min(self.bake);
        }
        verify.watch = verify.watch.min(self.watch);
    }
}

impl Assessment {
    /// The same in an emergency: a small quorum now, and what is required otherwise is owed.
    #[must_use]
    pub fn in_emergency(mut self, emergency: &Emergency) -> Self {
        self.owed = std::mem::replace(&mut self.requires, emergency.quorum.clone());
        self.window = crate::assessment::Window::Free;
        self
    }

    /// The same for what has happened already: nobody is asked before, and at least one approver is owed.
    #[must_use]
    pub fn afterwards(mut self) -> Self {
        self.owed = std::mem::take(&mut self.requires);
        if self.owed.is_empty() {
            self.owed.push(Requirement::of(crate::approval::APPROVERS, 1, Span::secs(86_400)));
        }
        self
    }

    /// The same for an instance of a standard change: its template was approved.
    #[must_use]
    pub fn pre_approved(mut self, standard: &Standard) -> Self {
        self.requires.clear();
        self.pre_approved = true;
        self.window = crate::assessment::Window::Free;
        self.warnings.push(format!("approved in advance as the standard change `{}`", standard.id));
        self
    }
}
