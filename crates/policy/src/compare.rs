//! Compare: what would other rules have decided about a change that was assessed long ago?
//!
//! Two assessments of one input, side by side. It must never say that nothing differs where something does that a person would have met: what may happen,
//! who has to approve, how risky it is. The inputs are the stored ones; who reads them is the engine.

use std::collections::BTreeSet;

use change::assessment::{Assessment, Requirement, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How two assessments differ. A pair may differ in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    NewlyDenied,
    NewlyAllowed,
    /// Denied both times, by other rules or as strictly as it was not.
    OtherDenials,
    OtherApprovers,
    OtherLevel,
    OtherChecklist,
    OtherWindow,
}

impl Way {
    pub const ALL: [Self; 7] = [
        Self::NewlyDenied,
        Self::NewlyAllowed,
        Self::OtherDenials,
        Self::OtherApprovers,
        Self::OtherLevel,
        Self::OtherChecklist,
        Self::OtherWindow,
    ];

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NewlyDenied => "newly denied",
            Self::NewlyAllowed => "newly allowed",
            Self::OtherDenials => "denied for other reasons",
            Self::OtherApprovers => "other approvers",
            Self::OtherLevel => "another level of risk",
            Self::OtherChecklist => "another checklist",
            Self::OtherWindow => "another need of a planned time",
        }
    }
}

/// What an assessment comes to, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outline {
    pub score: u8,
    pub level: String,
    /// `code (level)`.
    pub denials: BTreeSet<String>,
    /// `2 of sre within 8h`; with `, afterwards` where it is owed.
    pub approvals: BTreeSet<String>,
    /// `list/code`.
    pub checklist: BTreeSet<String>,
    pub window: Window,
    /// Codes with their points.
    pub factors: BTreeSet<String>,
    /// Why the policies failed, where they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Outline {
    pub fn of(assessment: &Assessment) -> Self {
        let failed = assessment.denials.iter().find(|d| d.code == crate::bundle::POLICY_ERROR);
        let owed = assessment.owed.iter().map(|owed| format!("{}, afterwards", approval(owed)));
        Self {
            score: assessment.score,
            level: assessment.level.to_string(),
            denials: assessment.denials.iter().map(|d| format!("{} ({})", d.code, d.level)).collect(),
            approvals: assessment.requires.iter().map(approval).chain(owed).collect(),
            checklist: assessment.checklist.iter().map(|item| format!("{}/{}", item.list, item.code)).collect(),
            window: assessment.window,
            factors: assessment.factors.iter().map(|f| format!("{} {}", f.code, f.points)).collect(),
            failure: failed.map(|d| d.reason.clone()),
        }
    }
}

fn approval(required: &Requirement) -> String {
    let Requirement { by, count, within, escalate, signature, .. } = required;
    let signed = if *signature == change::assessment::Signing::Required { ", signed" } else { "" };
    let then = if escalate.is_empty() { String::new() } else { format!(", then {}", escalate.join(", ")) };
    format!("{count} of {by} within {within}{signed}{then}")
}

/// How they differ; nothing if they come to the same.
pub fn compare(was: &Outline, would: &Outline) -> BTreeSet<Way> {
    let denials = match (was.denials.is_empty(), would.denials.is_empty()) {
        (true, false) => Some(Way::NewlyDenied),
        (false, true) => Some(Way::NewlyAllowed),
        _ => (was.denials != would.denials).then_some(Way::OtherDenials),
    };
    let others = [
        (was.approvals != would.approvals, Way::OtherApprovers),
        (was.level != would.level, Way::OtherLevel),
        (was.checklist != would.checklist, Way::OtherChecklist),
        (was.window != would.window, Way::OtherWindow),
    ];
    denials.into_iter().chain(others.into_iter().filter(|(differs, _)| *differs).map(|(_, way)| way)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline() -> Outline {
        Outline {
            score: 10,
            level: "low".into(),
            denials: BTreeSet::new(),
            approvals: BTreeSet::new(),
            checklist: BTreeSet::new(),
            window: Window::Free,
            factors: BTreeSet::new(),
            failure: None,
        }
    }

    // F4
    #[test]
    fn whatever_a_person_would_have_met_is_a_difference() {
        let set = |text: &str| BTreeSet::from([text.to_owned()]);
        let denied = Outline { denials: set("a (soft)"), ..outline() };
        let cases = [
            (denied.clone(), Way::NewlyDenied),
            (Outline { approvals: set("1 of sre within 8h"), ..outline() }, Way::OtherApprovers),
            (Outline { level: "high".into(), ..outline() }, Way::OtherLevel),
            (Outline { checklist: set("l/c"), ..outline() }, Way::OtherChecklist),
            (Outline { window: Window::Required, ..outline() }, Way::OtherWindow),
        ];
        for (would, way) in cases {
            assert_eq!(compare(&outline(), &would), BTreeSet::from([way]), "{would:?}");
        }
        assert_eq!(compare(&denied, &outline()), BTreeSet::from([Way::NewlyAllowed]));
        let harder = Outline { denials: set("a (hard)"), ..outline() };
        assert_eq!(compare(&denied, &harder), BTreeSet::from([Way::OtherDenials]));
        let more_points = Outline { score: 12, factors: set("kind 12"), ..outline() };
        assert_eq!(compare(&outline(), &more_points), BTreeSet::new());
    }
}
