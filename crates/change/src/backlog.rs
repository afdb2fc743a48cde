//! Backlog: what waits behind a freeze or in a batch, how it grows, and what it would cost to let all of it go at once.
//!
//! Waiting is not free: each change that waits makes the moment larger at which all of them go. Reads the changes that wait and what the log says of when
//! each was proposed; a failure rate that nobody knows is said to be unknown and is in no sum. Must never hold or open anything.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ChangeId;
use crate::lifecycle::Change;
use crate::time::{Timestamp, between};

const DAY_MILLIS: f64 = 86_400_000.0;

/// What things wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Behind {
    Freeze,
    Batch,
}

/// The changes that wait for one freeze to end, or for one batch to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    pub behind: Behind,
    pub name: String,
    /// When the freeze began, or the first change of the batch was proposed; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    pub changes: Vec<ChangeId>,
    pub count: usize,
    /// The sum of their risk scores, as far as they are assessed.
    pub risk: u32,
    /// How many of them policy has not assessed: their risk is in no sum.
    pub unassessed: usize,
    /// By how much it has grown a day since it began; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// The services that more than one of them changes, with how many.
    pub more_than_once: BTreeMap<String, usize>,
    /// How many would fail if all went at once, by the failure rates of their services; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_failures: Option<f64>,
    /// The services of which no change has ended: nobody knows how many of theirs fail.
    pub without_a_rate: BTreeSet<String>,
}

/// What a day has added.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    pub changes_a_day: f64,
    pub risk_a_day: f64,
}

/// Makes it up from the changes that wait.
pub fn of(
    behind: Behind,
    name: &str,
    since: Option<Timestamp>,
    waiting: &[&Change],
    rates: &BTreeMap<String, Option<f64>>,
    now: Timestamp,
) -> Backlog {
    let score = |change: &&Change| change.assessment.as_ref().map(|assessed| u32::from(assessed.assessment.score));
    let services = waiting.iter().flat_map(|change| change.proposal.services.iter().cloned());
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    services.for_each(|service| *times.entry(service).or_default() += 1);
    let known = |service: &String| rates.get(service).copied().flatten();
    let without_a_rate = times.keys().filter(|service| known(service).is_none()).cloned().collect();
    // A change of several services fails at least as often as that of the most fragile one.
    let fails = |change: &&Change| change.proposal.services.iter().filter_map(known).reduce(f64::max);
    let expected: Vec<f64> = waiting.iter().filter_map(fails).collect();
    let since = since.or_else(|| waiting.iter().map(|change| change.proposed_at).min());
    Backlog {
        behind,
        name: name.to_owned(),
        since,
        changes: waiting.iter().map(|change| change.id).collect(),
        count: waiting.len(),
        risk: waiting.iter().filter_map(score).sum(),
        unassessed: waiting.iter().filter(|change| score(change).is_none()).count(),
        growth: since.and_then(|since| growth(waiting, since, now)),
        more_than_once: times.into_iter().filter(|(_, times)| *times > 1).collect(),
        expected_failures: (!expected.is_empty()).then(|| expected.iter().sum()),
        without_a_rate,
    }
}

/// What those that were proposed since then have added; nothing before an hour has passed, out of which nobody should read a day.
fn growth(waiting: &[&Change], since: Timestamp, now: Timestamp) -> Option<Growth> {
    let days = between(since, now).as_millis() as f64 / DAY_MILLIS;
    let added = || waiting.iter().filter(|change| change.proposed_at >= since);
    let risk: u32 = added().filter_map(|change| Some(u32::from(change.assessment.as_ref()?.assessment.score))).sum();
    (days >= 1.0 / 24.0)
        .then(|| Growth { changes_a_day: added().count() as f64 / days, risk_a_day: f64::from(risk) / days })
}

impl Backlog {
    /// In sentences for people.
    pub fn in_words(&self) -> String {
        let what = match self.behind {
            Behind::Freeze => "behind the freeze",
            Behind::Batch => "for the batch",
        };
        let waits = if self.count == 1 { "1 change waits" } else { "changes wait" };
        let count = if self.count == 1 { String::new() } else { format!("{} ", self.count) };
        let mut text = format!("{count}{waits} {what} `{}`, with a risk of {} together", self.name, self.risk);
        if self.unassessed > 0 {
            text.push_str(&format!(" ({} not assessed)", self.unassessed));
        }
        if let Some(Growth { changes_a_day, risk_a_day }) = self.growth {
            text.push_str(&format!("; {changes_a_day:.1} changes and a risk of {risk_a_day:.0} more each day"));
        }
        if !self.more_than_once.is_empty() {
            let each = self.more_than_once.iter().map(|(service, times)| format!("`{service}` {times} times"));
            text.push_str(&format!("; {}", each.collect::<Vec<_>>().join(", ")));
        }
        match self.expected_failures {
            Some(failures) => text.push_str(&format!("; if all went at once, {failures:.1} would fail")),
            None => text.push_str("; how many of them would fail nobody knows"),
        }
        if self.expected_failures.is_some() && !self.without_a_rate.is_empty() {
            let names: Vec<&str> = self.without_a_rate.iter().map(String::as_str).collect();
            text.push_str(&format!(", without {}, of which nobody knows", names.join(", ")));
        }
        text
    }
}
