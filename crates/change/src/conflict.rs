//! Conflict: which other change is in the way of one that would begin, and what is done about it?
//!
//! Two changes meet where they change one service in one environment, or services that call one another. What follows stands in `conflicts.yaml`; the
//! same target is never a question of policy, and is guarded by [`lane`](crate::lane). Asked before the first step alone: what has begun goes on, and a
//! rollback is never held. Must never read the state of a change beside the one that asks: [`traffic`] keeps the little that has to be known of others.
//! Next room: [`gate`](crate::gate), which says it to people.

pub mod outlook;
pub mod traffic;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assessment::Risk;
use crate::calendar::Passage;
use crate::catalog::Catalog;
use crate::governance::{Asks, Match};
use crate::id::ChangeId;
use crate::precedence::First;

/// The farthest that a rule may look along the calls of the catalog.
pub const MOST_HOPS: usize = 5;
/// How far the built-in rule looks.
const BUILT_IN_HOPS: usize = 1;
const RISKS: [Risk; 4] = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical];

/// `conflicts.yaml`: what happens where two changes meet. The first rule that matches counts.
///
/// What no rule speaks of is built in: changes of one service in one environment queue, and those of services that call one another directly go beside
/// one another with a notice. Where the rules say something else of either of the two changes, the stricter word holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictRules {
    pub rules: Vec<ConflictRule>,
}

/// What happens where a change of some sort meets another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictRule {
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// Where the two meet.
    pub between: Between,
    /// How many calls apart they may be, up or down, for `between: dependency`; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub hops: Option<usize>,
    pub then: Then,
    /// Whether emergencies pass it.
    #[serde(default)]
    pub emergency: Passage,
}

/// Where two changes meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Between {
    /// Both change one service in one environment.
    Service,
    /// They change services of which one calls the other, directly or through others.
    Dependency,
}

/// What happens to the later one. In the order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// It goes beside the other, with a notice.
    Allow,
    /// As soon as it is approved, it takes the place of an earlier change of the same owner and services that has not begun. Behind one that has, it waits.
    Supersede,
    /// It waits, in the order of [`precedence`](crate::precedence).
    Queue,
    /// It can't be proposed while the other is under way. Should they meet all the same, it waits.
    Refuse,
}

/// What the rules say of two changes that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ruling {
    then: Then,
    emergency: Passage,
}

impl Ruling {
    const fn of(then: Then) -> Self {
        Self { then, emergency: Passage::Allow }
    }

    /// The stricter of two words, with the narrower passage.
    fn stricter(self, other: Self) -> Self {
        let forbidden = self.emergency == Passage::Forbid || other.emergency == Passage::Forbid;
        let emergency = if forbidden { Passage::Forbid } else { Passage::Allow };
        Self { then: self.then.max(other.then), emergency }
    }
}

/// Another change that is in the way, or beside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    pub with: ChangeId,
    /// The service of the other at which they meet; absent where they meet at a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How many calls lie between; 0 for one service.
    pub hops: usize,
    pub stands: Stands,
    pub then: Then,
    /// Why it goes first, where both wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
}

/// Where the other stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It has begun and is not done.
    UnderWay,
    /// It waits for the same, and goes first.
    Ahead,
}

impl Conflict {
    /// Whether it holds the change that asks.
    pub fn holds(&self) -> bool {
        self.then != Then::Allow
    }
}

impl ConflictRules {
    /// How far along the calls of the catalog it has to be looked.
    pub fn hops(&self) -> usize {
        let of_rules = self.rules.iter().filter(|rule| rule.between == Between::Dependency).map(ConflictRule::hops);
        of_rules.max().unwrap_or(0).max(BUILT_IN_HOPS)
    }

    /// Whether any rule lets a newer change take the place of an older one.
    pub fn supersedes(&self) -> bool {
        self.rules.iter().any(|rule| rule.then == Then::Supersede)
    }

    /// Whether a change may have to wait for one of another service.
    pub fn hold_neighbours(&self) -> bool {
        self.rules.iter().any(|rule| rule.between == Between::Dependency && rule.then != Then::Allow)
    }

    fn ruling(&self, asked: &Asks<'_>, hops: usize) -> Option<Ruling> {
        let rule = self.rules.iter().find(|rule| rule.reaches(hops) && rule.matches.fits(asked));
        match rule {
            Some(rule) => Some(Ruling { then: rule.then, emergency: rule.emergency }),
            None if hops == 0 => Some(Ruling::of(Then::Queue)),
            None => (hops <= BUILT_IN_HOPS).then_some(Ruling::of(Then::Allow)),
        }
    }

    /// What is wrong with it: pairs of a JSON pointer and a sentence.
    pub fn problems(&self) -> Vec<(String, String)> {
        let broken = |(i, rule): (usize, &ConflictRule)| {
            let problem = match (rule.between, rule.hops, rule.then) {
                (Between::Service, Some(_), _) => {
                    ("hops", "one service is no call away: `hops` is for `between: dependency`")
                }
                (Between::Dependency, Some(hops), _) if hops == 0 || hops > MOST_HOPS => ("hops", "it is from 1 to 5"),
                (Between::Dependency, _, Then::Supersede) => (
                    "then",
                    "a change takes the place of one of the same services only: use it with `between: service`",
                ),
                _ => return None,
            };
            Some((format!("/rules/{i}/{}", problem.0), problem.1.to_owned()))
        };
        self.rules.iter().enumerate().filter_map(broken).collect()
    }
}

impl ConflictRule {
    fn hops(&self) -> usize {
        self.hops.unwrap_or(1).min(MOST_HOPS)
    }

    fn reaches(&self, hops: usize) -> bool {
        match self.between {
            Between::Service => hops == 0,
            Between::Dependency => hops > 0 && hops <= self.hops(),
        }
    }
}

/// The stream of a service in an environment, which is moved with the lanes of every change that begins there.
pub fn stream(environment: &str, service: &str) -> String {
    let plain = |name: &str| name.replace('%', "%25").replace('/', "%2F");
    format!("sector/{}/{}", plain(environment), plain(service))
}

/// The services at which a change of these can meet another, each with how many calls away it is, nearest first. One of its own stands there twice where
/// another of its own calls it: both are ways to meet, and the stricter word holds.
pub fn near(services: &BTreeSet<String>, rules: &ConflictRules, catalog: &Catalog) -> Vec<(String, usize)> {
    let hops = rules.hops();
    let mut near: Vec<(String, usize)> = services.iter().map(|service| (service.clone(), 0)).collect();
    let mut away: Vec<(usize, &str)> = Vec::new();
    for service in services {
        let one = BTreeSet::from([service.clone()]);
        let (called, callers) = (catalog.dependencies_within(&one, hops), catalog.callers_within(&one, hops));
        away.extend(called.into_iter().chain(callers).map(|(name, hops)| (hops, name)));
    }
    away.sort_unstable();
    let mut seen = BTreeSet::new();
    near.extend(away.into_iter().filter(|(_, name)| seen.insert(*name)).map(|(hops, name)| (name.to_owned(), hops)));
    near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::Kind;

    fn rules(text: &str) -> ConflictRules {
        serde_json::from_value(crate::document::Document::from_yaml(text).expect("YAML").value().clone())
            .expect("rules")
    }

    fn ruled(rules: &ConflictRules, kind: Kind, hops: usize) -> Option<Then> {
        let services = ["shop".to_owned()].into();
        let (environment, owner) = ("production".to_owned(), "ada".to_owned());
        let asked = Asks { environment: &environment, kind, risk: Risk::Low, services: &services, owner: &owner };
        rules.ruling(&asked, hops).map(|ruling| ruling.then)
    }

    // LC4
    #[test]
    fn what_no_rule_speaks_of_is_built_in() {
        let none = ConflictRules::default();
        let said = [0, 1, 2].map(|hops| ruled(&none, Kind::Code, hops));
        assert_eq!(said, [Some(Then::Queue), Some(Then::Allow), None]);
    }

    // LC4
    #[test]
    fn the_first_rule_that_matches_counts_and_the_others_stay_built_in() {
        let some = rules(
            "rules:\n  - {match: {kind: docs}, between: service, then: allow}\n  - {between: dependency, hops: 2, then: queue}\n",
        );
        assert_eq!((some.hops(), ruled(&some, Kind::Docs, 0)), (2, Some(Then::Allow)));
        let said = [0, 1, 2, 3].map(|hops| ruled(&some, Kind::Code, hops));
        assert_eq!(said, [Some(Then::Queue), Some(Then::Queue), Some(Then::Queue), None]);
    }

    #[test]
    fn what_can_not_be_meant_is_a_problem_with_its_place() {
        let wrong = rules(
            "rules:\n  - {between: service, hops: 1, then: queue}\n  - {between: dependency, hops: 9, then: queue}\n  - {between: dependency, then: supersede}\n",
        );
        let places: Vec<String> = wrong.problems().into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(places, ["/rules/0/hops", "/rules/1/hops", "/rules/2/then"]);
    }

    #[test]
    fn no_two_pairs_of_names_share_a_stream() {
        assert_ne!(stream("a/b", "c"), stream("a", "b/c"));
        assert_ne!(stream("a%2Fb", "c"), stream("a/b", "c"));
        assert_eq!(stream("production", "shop"), "sector/production/shop");
    }
}
