//! Ledger: which weights are in force for a backend, by which wish, and what was in force before?
//!
//! [`Ledger::judge`] is pure: it turns a wish into what must be written, into nothing, or into a refusal with its facts. The shell (`admin`) makes the result durable, enters it and only then lets traffic see it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::config::MAX_WEIGHT;

/// Enough for a checker to read every step of a long rollout, little enough to answer in one page.
const REMEMBERED: usize = 10_000;

/// Long enough for a change, a step and an attempt; keys are kept 10,000 times over.
const LONGEST_KEY: usize = 200;

pub(crate) type Weights = BTreeMap<String, u32>;

/// What somebody wants: the body of `PUT /backends/{name}/weights`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) weights: BTreeMap<String, i64>,
    /// Compare and set: refused unless this is the revision in force.
    #[serde(default)]
    pub(crate) if_revision: Option<u64>,
    /// Idempotency key: the same weights under the same key are applied once.
    #[serde(default)]
    pub(crate) key: Option<String>,
}

/// A wish that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Applied {
    pub(crate) revision: u64,
    pub(crate) key: Option<String>,
    pub(crate) weights: Weights,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The wish is in force already.
    Unchanged,
    /// Must be made durable and entered.
    Next(Applied),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "`if_revision` is `{wanted}` but the revision in force is `{actual}`; read the state again and decide anew"
    )]
    Conflict { wanted: u64, actual: u64 },
    #[error("no version `{version}`; known are {known}")]
    UnknownVersion { version: String, known: String },
    #[error("version `{version}` has no weight in the request; give every version one, 0 for none of the traffic")]
    Missing { version: String },
    #[error("the weight of `{version}` is `{weight}`; a weight is 0 to 10000 basis points")]
    Weight { version: String, weight: i64 },
    #[error("the weights sum to zero; give at least one version a share")]
    NoWeight,
    #[error("the key has `{length}` bytes; it has 1 to 200")]
    Key { length: usize },
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) revision: u64,
    pub(crate) last_key: Option<String>,
    pub(crate) weights: Weights,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    in_force: Saved,
    applied: VecDeque<Applied>,
}

impl Ledger {
    /// Starts from what was saved, if that speaks of the same versions; otherwise from `configured`, under a revision that nobody has seen yet.
    pub(crate) fn open(configured: Weights, saved: Option<&Saved>) -> Ledger {
        let in_force = match saved {
            Some(saved) if saved.weights.keys().eq(configured.keys()) => saved.clone(),
            Some(saved) => Saved { revision: saved.revision + 1, last_key: None, weights: configured },
            None => Saved { revision: 0, last_key: None, weights: configured },
        };
        Ledger { in_force, applied: VecDeque::new() }
    }

    pub(crate) fn in_force(&self) -> &Saved {
        &self.in_force
    }

    /// The latest 10,000 since the router started, oldest first.
    pub(crate) fn applied(&self) -> &VecDeque<Applied> {
        &self.applied
    }

    pub(crate) fn judge(&self, wish: Wish) -> Result<Judged, Refusal> {
        let weights = self.check(&wish)?;
        // Before the revision is compared: a repetition after a lost answer carries the revision from before its own success.
        if weights == self.in_force.weights && wish.key == self.in_force.last_key {
            return Ok(Judged::Unchanged);
        }
        let actual = self.in_force.revision;
        match wish.if_revision {
            Some(wanted) if wanted != actual => Err(Refusal::Conflict { wanted, actual }),
            _ => Ok(Judged::Next(Applied { revision: actual + 1, key: wish.key, weights })),
        }
    }

    fn check(&self, wish: &Wish) -> Result<Weights, Refusal> {
        let known = &self.in_force.weights;
        if let Some(length) = wish.key.as_ref().map(String::len).filter(|length| !(1..=LONGEST_KEY).contains(length)) {
            return Err(Refusal::Key { length });
        }
        if let Some(version) = wish.weights.keys().find(|version| !known.contains_key(*version)) {
            return Err(Refusal::UnknownVersion { version: version.clone(), known: listed(known.keys()) });
        }
        if let Some(version) = known.keys().find(|version| !wish.weights.contains_key(*version)) {
            return Err(Refusal::Missing { version: version.clone() });
        }
        let weights = wish.weights.iter().map(check_weight).collect::<Result<Weights, Refusal>>()?;
        match weights.values().any(|&weight| weight > 0) {
            true => Ok(weights),
            false => Err(Refusal::NoWeight),
        }
    }

    /// What would have to survive a restart once `next` is entered.
    pub(crate) fn after(next: &Applied) -> Saved {
        Saved { revision: next.revision, last_key: next.key.clone(), weights: next.weights.clone() }
    }

    pub(crate) fn enter(&mut self, next: Applied) {
        self.in_force = Ledger::after(&next);
        if self.applied.len() == REMEMBERED {
            self.applied.pop_front();
        }
        self.applied.push_back(next);
    }
}

fn check_weight((version, &weight): (&String, &i64)) -> Result<(String, u32), Refusal> {
    match u32::try_from(weight) {
        Ok(share) if share <= MAX_WEIGHT => Ok((version.clone(), share)),
        _ => Err(Refusal::Weight { version: version.clone(), weight }),
    }
}

/// Names for an error text: "`a`, `b`".
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(v1: u32, v2: u32) -> Weights {
        Weights::from([("v1".into(), v1), ("v2".into(), v2)])
    }

    fn wish(v1: i64, v2: i64) -> Wish {
        Wish { weights: BTreeMap::from([("v1".into(), v1), ("v2".into(), v2)]), if_revision: None, key: None }
    }

    fn grant(ledger: &mut Ledger, wish: Wish) -> u64 {
        match ledger.judge(wish).expect("is granted") {
            Judged::Next(next) => ledger.enter(next),
            Judged::Unchanged => {}
        }
        ledger.in_force().revision
    }

    #[test]
    fn a_wish_that_could_not_work_is_refused_with_its_facts() {
        let ledger = Ledger::open(weights(10_000, 0), None);
        let unknown = Wish { weights: BTreeMap::from([("v3".into(), 1)]), ..wish(0, 0) };
        let missing = Wish { weights: BTreeMap::from([("v2".into(), 1)]), ..wish(0, 0) };
        let cases = [
            (unknown, "no version `v3`; known are `v1`, `v2`"),
            (missing, "version `v1` has no weight in the request; give every version one, 0 for none of the traffic"),
            (wish(0, 0), "the weights sum to zero; give at least one version a share"),
            (wish(-1, 5), "the weight of `v1` is `-1`; a weight is 0 to 10000 basis points"),
            (wish(10_001, 0), "the weight of `v1` is `10001`; a weight is 0 to 10000 basis points"),
            (Wish { key: Some("k".repeat(201)), ..wish(1, 1) }, "the key has `201` bytes; it has 1 to 200"),
            (
                Wish { if_revision: Some(7), ..wish(1, 1) },
                "`if_revision` is `7` but the revision in force is `0`; read the state again and decide anew",
            ),
        ];
        for (wish, reason) in cases {
            assert_eq!(ledger.judge(wish).map_err(|refusal| refusal.to_string()), Err(reason.to_owned()));
        }
        assert!(ledger.applied().is_empty());
    }

    #[test]
    fn a_repetition_under_the_same_key_is_granted_once_even_with_the_old_revision() {
        let mut ledger = Ledger::open(weights(10_000, 0), None);
        let step = Wish { key: Some("chg-1/1/1".into()), if_revision: Some(0), ..wish(9_500, 500) };
        assert_eq!(grant(&mut ledger, step.clone()), 1);
        assert_eq!(grant(&mut ledger, step), 1);
        let applied = Applied { revision: 1, key: Some("chg-1/1/1".into()), weights: weights(9_500, 500) };
        assert_eq!(ledger.applied(), &[applied]);
    }

    #[test]
    fn the_same_weights_under_another_key_are_another_revision() {
        let mut ledger = Ledger::open(weights(10_000, 0), None);
        grant(&mut ledger, Wish { key: Some("a".into()), ..wish(9_500, 500) });
        assert_eq!(grant(&mut ledger, Wish { key: Some("b".into()), ..wish(9_500, 500) }), 2);
    }

    #[test]
    fn the_configured_weights_without_a_key_change_nothing() {
        let mut ledger = Ledger::open(weights(10_000, 0), None);
        assert_eq!(grant(&mut ledger, wish(10_000, 0)), 0);
    }

    #[test]
    fn the_history_is_bounded_and_drops_the_oldest() {
        let mut ledger = Ledger::open(weights(10_000, 0), None);
        for n in 0..REMEMBERED + 5 {
            grant(&mut ledger, Wish { key: Some(n.to_string()), ..wish(1, 1) });
        }
        assert_eq!(ledger.applied().len(), REMEMBERED);
        assert_eq!(ledger.applied().front().map(|applied| applied.revision), Some(6));
    }

    #[test]
    fn saved_weights_come_back_unless_the_versions_are_others() {
        let saved = Saved { revision: 7, last_key: Some("k".into()), weights: weights(9_500, 500) };
        assert_eq!(Ledger::open(weights(10_000, 0), Some(&saved)).in_force(), &saved);
        let others = Weights::from([("v2".into(), 10_000), ("v3".into(), 0)]);
        let anew = Saved { revision: 8, last_key: None, weights: others.clone() };
        assert_eq!(Ledger::open(others, Some(&saved)).in_force(), &anew);
    }
}
