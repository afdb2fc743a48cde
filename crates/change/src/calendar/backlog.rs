//! Backlog: what waits behind a freeze, how has it grown, and what may be expected if all of it went at once?
//!
//! Arithmetic over what waits now: a change that was withdrawn or passed by an exception is in it no longer. What is not known, such as the risk of a
//! change that was not assessed, is counted as unknown and never as nothing. Reads no clock. Who asks: the calendar's page, API and command.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::month::date_in;
use crate::id::ChangeId;
use crate::time::{TimeZone, Timestamp};

/// A change that waits.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    pub change: ChangeId,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// Its risk score; nothing before it is assessed.
    pub score: Option<u8>,
    pub services: &'a BTreeSet<String>,
    pub environment: &'a str,
    /// The part of the earlier changes of its services that failed, 0 to 1; nothing where there were none.
    pub failed: Option<f64>,
}

/// The changes that wait for a freeze to end, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    pub freeze: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// When it ends, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    pub changes: Vec<ChangeId>,
    pub count: usize,
    /// The sum of their risk scores, as far as they are assessed.
    pub risk: u32,
    /// How many of them are not assessed yet.
    #[serde(default)]
    pub unassessed: usize,
    /// The days on which it grew, the first one first: what was there before the freeze stands on its first day.
    #[serde(default)]
    pub grown: Vec<Grown>,
    /// Services that more than one of them changes.
    #[serde(default)]
    pub crowded: Vec<Crowded>,
    /// How many would fail if they fared like the earlier changes of their services.
    #[serde(default)]
    pub failures: Failures,
}

/// A day on which the backlog grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grown {
    /// In the zone that was asked for.
    pub day: String,
    /// How many waited at its end, and the sum of their risk scores.
    pub count: usize,
    pub risk: u32,
}

/// A service that is changed more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Crowded {
    pub service: String,
    pub environment: String,
    pub count: usize,
}

/// Failures that may be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// The sum of the parts that failed of the earlier changes of their services.
    pub expected: f64,
    /// Changes whose services have no history: how they will fare is unknown.
    pub unknown: usize,
}

impl Backlog {
    /// What waits behind a freeze that lasts from `since` to `until`; days are those of a zone.
    pub fn of(
        freeze: &str,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
        waiting: &[Waiting<'_>],
        zone: &TimeZone,
    ) -> Self {
        let mut waiting: Vec<&Waiting<'_>> = waiting.iter().collect();
        waiting.sort_by_key(|one| (one.proposed_at, one.change));
        let risk = |of: &[&Waiting<'_>]| of.iter().filter_map(|one| one.score).map(u32::from).sum();
        Self {
            freeze: freeze.to_owned(),
            since,
            until,
            changes: waiting.iter().map(|one| one.change).collect(),
            count: waiting.len(),
            risk: risk(&waiting),
            unassessed: waiting.iter().filter(|one| one.score.is_none()).count(),
            grown: grown(&waiting, since, zone, risk),
            crowded: crowded(&waiting),
            failures: Failures {
                expected: waiting.iter().filter_map(|one| one.failed).sum(),
                unknown: waiting.iter().filter(|one| one.failed.is_none()).count(),
            },
        }
    }

    /// In sentences: how much there is, how it has grown, and what may be expected of it.
    pub fn in_words(&self) -> Vec<String> {
        let many = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
        let unassessed = match self.unassessed {
            0 => String::new(),
            some => format!(", {some} of them not assessed yet"),
        };
        let verb = if self.count == 1 { "waits" } else { "wait" };
        let mut said = vec![format!(
            "{} {verb} behind the freeze `{}`, with a risk of {} together{unassessed}",
            many(self.count, "change"),
            self.freeze,
            self.risk
        )];
        if let [first, .., last] = self.grown.as_slice() {
            said.push(format!(
                "it was {} on {} and is {} since {}",
                first.in_words(),
                first.day,
                last.in_words(),
                last.day
            ));
        }
        let crowded = self.crowded.iter().map(|one| {
            format!("{} of them change `{}` in `{}`, one after the other", one.count, one.service, one.environment)
        });
        said.extend(crowded.take(MOST_CROWDED));
        if self.count > self.failures.unknown {
            let unknown = match self.failures.unknown {
                0 => String::new(),
                some => format!("; of {some} nobody can say"),
            };
            let expected = self.failures.expected;
            said.push(format!("{expected:.1} of them would fail if they fared like the changes before them{unknown}"));
        }
        said
    }
}

/// The services that are named in a sentence each.
const MOST_CROWDED: usize = 3;

impl Grown {
    fn in_words(&self) -> String {
        format!("{} with a risk of {}", self.count, self.risk)
    }
}

fn grown(
    waiting: &[&Waiting<'_>],
    since: Option<Timestamp>,
    zone: &TimeZone,
    risk: impl Fn(&[&Waiting<'_>]) -> u32,
) -> Vec<Grown> {
    let joined = |one: &Waiting<'_>| since.map_or(one.proposed_at, |since| one.proposed_at.max(since));
    let mut days: Vec<Grown> = Vec::new();
    for (i, one) in waiting.iter().enumerate() {
        let (day, so_far) = (date_in(joined(one), zone).to_string(), &waiting[..=i]);
        let grown = Grown { day, count: so_far.len(), risk: risk(so_far) };
        match days.last_mut().filter(|last| last.day == grown.day) {
            Some(last) => *last = grown,
            None => days.push(grown),
        }
    }
    days
}

fn crowded(waiting: &[&Waiting<'_>]) -> Vec<Crowded> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for one in waiting {
        for service in one.services {
            *counts.entry((service, one.environment)).or_default() += 1;
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > 1);
    let mut crowded: Vec<Crowded> = more
        .map(|((service, environment), count)| Crowded {
            service: service.to_owned(),
            environment: environment.to_owned(),
            count,
        })
        .collect();
    crowded.sort_by_key(|one| std::cmp::Reverse(one.count));
    crowded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn services(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    // X5, M12: the backlog of a freeze and how its risk has grown, from the changes in the log alone.
    #[test]
    fn a_backlog_says_how_it_has_grown_and_what_may_be_expected_of_it() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let (shop, both) = (services(&["shop"]), services(&["shop", "till"]));
        let one = |number, proposed_at, score, services, failed| Waiting {
            change: ChangeId::new(number),
            proposed_at: at(proposed_at),
            score,
            services,
            environment: "production",
            failed,
        };
        let waiting = [
            // 23:30 UTC is the next day in Berlin
            one(9, "2026-12-21T23:30:00Z", Some(40), &both, Some(0.25)),
            one(3, "2026-12-01T09:00:00Z", Some(10), &shop, Some(0.1)),
            one(8, "2026-12-21T10:00:00Z", None, &shop, None),
            one(7, "2026-12-20T22:00:00Z", Some(20), &shop, Some(0.1)),
        ];
        let freeze = (Some(at("2026-12-20T17:00:00Z")), Some(at("2027-01-03T05:00:00Z")));
        let backlog = Backlog::of("year-end", freeze, &waiting, &zone);

        assert_eq!(backlog.changes, [3, 7, 8, 9].map(ChangeId::new));
        assert_eq!((backlog.count, backlog.risk, backlog.unassessed), (4, 70, 1));
        let day = |day: &str, count, risk| Grown { day: day.into(), count, risk };
        assert_eq!(backlog.grown, [day("2026-12-20", 2, 30), day("2026-12-21", 3, 30), day("2026-12-22", 4, 70)]);
        let crowd = Crowded { service: "shop".into(), environment: "production".into(), count: 4 };
        assert_eq!(backlog.crowded, [crowd]);
        assert!((backlog.failures.expected - 0.45).abs() < 1e-9 && backlog.failures.unknown == 1);
        assert_eq!(
            backlog.in_words(),
            [
                "4 changes wait behind the freeze `year-end`, with a risk of 70 together, 1 of them not assessed yet",
                "it was 2 with a risk of 30 on 2026-12-20 and is 4 with a risk of 70 since 2026-12-22",
                "4 of them change `shop` in `production`, one after the other",
                "0.5 of them would fail if they fared like the changes before them; of 1 nobody can say",
            ]
        );
    }

    #[test]
    fn what_nobody_knows_is_not_foretold() {
        let shop = services(&["shop"]);
        let one = Waiting {
            change: ChangeId::new(1),
            proposed_at: at("2026-12-01T09:00:00Z"),
            score: None,
            services: &shop,
            environment: "production",
            failed: None,
        };
        let backlog = Backlog::of("now", (None, None), &[one], &TimeZone::UTC);
        let said = "1 change waits behind the freeze `now`, with a risk of 0 together, 1 of them not assessed yet";
        assert_eq!(backlog.in_words(), [said]);
        assert_eq!(Backlog::of("now", (None, None), &[], &TimeZone::UTC).grown, []);
    }
}
