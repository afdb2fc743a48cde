//! Exception: which rules that said no are set aside, by whom, for exactly what?
//!
//! A soft rule is overridden by one person who may, a hard one only by two who break the glass together, which pages and owes a review. Both are for
//! an effect digest and fall with it. A point of a checklist that no evidence ticks is ticked here, by a named person. Next room:
//! [`approval`](crate::approval).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::assessment::{Assessment, Denial, Item, Level};
use crate::id::Digest;
use crate::lifecycle::Given;
use crate::time::{Span, Timestamp, after};

/// A denial that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SetAside {
    /// The code of the denial.
    pub code: String,
    pub effect: Digest,
    /// One person for a soft rule, two for a hard one.
    pub by: BTreeSet<Actor>,
    pub reason: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// One hand on the glass: the first of two people has asked that hard rules be set aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Hand {
    pub by: Actor,
    pub effect: Digest,
    /// The rules that stood when it was laid on.
    #[serde(default)]
    pub codes: BTreeSet<String>,
    pub reason: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// How long one hand waits on the glass for a second one.
pub const HAND_LASTS: Span = Span::secs(3_600);

impl Hand {
    /// Whether a second hand may join it, over these rules: it is fresh, for this effect, by somebody who still may, and they saw all of the rules.
    pub fn can_be_joined(&self, effect: Digest, codes: &BTreeSet<String>, given: &Given) -> bool {
        let is_fresh = given.now < after(self.at, HAND_LASTS);
        is_fresh && self.effect == effect && !given.hands_off.contains(&self.by) && codes.is_subset(&self.codes)
    }
}

/// What was set aside by people all of whom still may.
pub fn still_aside(set_aside: &[SetAside], given: &Given) -> Vec<SetAside> {
    set_aside.iter().filter(|aside| aside.by.is_disjoint(&given.hands_off)).cloned().collect()
}

/// A point of a checklist that a person has ticked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Ticked {
    pub list: String,
    pub code: String,
    pub effect: Digest,
    pub by: Actor,
    /// How they know.
    pub note: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// The denials that still stand for an effect.
pub fn standing<'a>(assessment: &'a Assessment, set_aside: &[SetAside], effect: Digest) -> Vec<&'a Denial> {
    let covers = |denial: &Denial| {
        let people = set_aside.iter().filter(|s| s.effect == effect && s.code == denial.code).map(|s| s.by.len());
        people.max().unwrap_or(0) >= needed(denial.level)
    };
    assessment.denials.iter().filter(|denial| !covers(denial)).collect()
}

/// How many people it takes to set a rule aside.
pub fn needed(level: Level) -> usize {
    match level {
        Level::Advisory => 0,
        Level::Soft => 1,
        Level::Hard => 2,
    }
}

/// The points of its checklists that neither evidence nor a person has ticked.
pub fn unticked<'a>(assessment: &'a Assessment, ticked: &[Ticked], effect: Digest) -> Vec<&'a Item> {
    let by_hand = |item: &Item| {
        ticked.iter().any(|t| t.effect == effect && t.list == item.list && t.code == item.code)
            && item.tick == crate::assessment::Tick::Person
    };
    assessment.checklist.iter().filter(|item| item.evidence.is_none() && !by_hand(item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assessment::{Risk, Tick, Window};

    fn effect() -> Digest {
        Digest::of_bytes(b"effect")
    }

    fn assessment() -> Assessment {
        let item = |code: &str, evidence: Option<&str>, tick| Item {
            list: "before-production".into(),
            code: code.into(),
            title: code.into(),
            evidence: evidence.map(str::to_owned),
            tick,
        };
        Assessment {
            score: 10,
            level: Risk::Low,
            factors: vec![],
            denials: vec![
                Denial { level: Level::Soft, ..Denial::hard("soft", "a soft rule") },
                Denial::hard("hard", "a hard rule"),
            ],
            warnings: vec![],
            requires: vec![],
            checklist: vec![
                item("tests", Some("412 tests"), Tick::Evidence),
                item("load", None, Tick::Evidence),
                item("told", None, Tick::Person),
            ],
            window: Window::Free,
            pre_approved: false,
            owed: vec![],
            policy: effect(),
            input: effect(),
            effect: effect(),
        }
    }

    fn aside(code: &str, by: &[&str]) -> SetAside {
        let by = by.iter().map(|who| Actor::User((*who).to_owned())).collect();
        SetAside { code: code.into(), effect: effect(), by, reason: "r".into(), at: Timestamp::UNIX_EPOCH }
    }

    fn stands(set_aside: &[SetAside], of: Digest) -> Vec<String> {
        standing(&assessment(), set_aside, of).into_iter().map(|d| d.code.clone()).collect()
    }

    // F4
    #[test]
    fn a_soft_rule_falls_to_one_person_and_a_hard_one_only_to_two() {
        assert_eq!(stands(&[], effect()), ["soft", "hard"]);
        assert_eq!(stands(&[aside("soft", &["ada"]), aside("hard", &["ada"])], effect()), ["hard"]);
        assert!(stands(&[aside("soft", &["ada"]), aside("hard", &["ada", "bob"])], effect()).is_empty());
    }

    // F2
    #[test]
    fn what_was_set_aside_for_one_effect_stands_for_another() {
        let other = Digest::of_bytes(b"other");
        assert_eq!(stands(&[aside("soft", &["ada"]), aside("hard", &["ada", "bob"])], other), ["soft", "hard"]);
    }

    // X16
    #[test]
    fn what_only_evidence_ticks_is_not_ticked_by_a_person() {
        let ticked = |code: &str| Ticked {
            list: "before-production".into(),
            code: code.into(),
            effect: effect(),
            by: Actor::User("ada".into()),
            note: "seen".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        let open = |by_hand: &[Ticked]| -> Vec<String> {
            unticked(&assessment(), by_hand, effect()).into_iter().map(|i| i.code.clone()).collect()
        };
        assert_eq!(open(&[]), ["load", "told"]);
        assert_eq!(open(&[ticked("load"), ticked("told")]), ["load"]);
    }
}
