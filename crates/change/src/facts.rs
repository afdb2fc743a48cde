//! Facts: all that policy may see of a change.
//!
//! One value, made from what the log and the governance hold; its digest is in every assessment, so that any of them can be run again. What a change is
//! made of comes from its sources as [`material`], is sorted by the rules of [`paths`], and becomes figures in [`seen`].

pub mod material;
pub mod paths;
pub mod seen;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Access;
use crate::catalog::{BlastRadius, Catalog, Service};
use crate::course::Course;
use crate::proposal::{Kind, Proposal};
use crate::schedule::When;
use crate::time::Timestamp;
use material::CostDelta;
use paths::Paths;
use seen::{Answer, Reversible, Seen};

/// The input of policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    pub change: ChangeFacts,
    /// The catalog's entries for the changed services.
    pub services: Vec<Service>,
    /// The changed services that the catalog does not know.
    pub unknown_services: Vec<String>,
    /// Whether the catalog has any service at all: one that it does not know may then be anything.
    #[serde(default)]
    pub catalog_in_use: bool,
    /// The services that notice when the changed ones fail.
    pub dependents: BTreeSet<String>,
    /// How much those weigh that notice.
    #[serde(default)]
    pub blast_radius: Blast,
    /// The groups of access.yaml that have a member: a rule that asks a group can see whether there is anybody in it.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    pub history: History,
    /// The least share of an error budget that is left among the changed services, 0 to 1; `null` where it is not known.
    #[serde(default)]
    pub error_budget_left: Option<f64>,
    /// What the change is made of; `null` where nothing was sent with the proposal.
    #[serde(default)]
    pub material: Option<Seen>,
    /// Whether it can be taken back.
    #[serde(default = "unknown")]
    pub reversible: Reversible,
    /// The difference in cost, as a cost report says; `null` without one. What the change file expects is `change.cost_per_month`.
    #[serde(default)]
    pub cost: Option<CostDelta>,
    /// The time of the assessment.
    pub now: Now,
    /// When it is planned to begin; the time of the assessment where no later time is planned.
    #[serde(default)]
    pub start: Option<Now>,
}

fn unknown() -> Reversible {
    Reversible { answer: Answer::Unknown, reasons: vec![] }
}

/// What the proposal says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeFacts {
    pub title: String,
    pub kind: Kind,
    pub environment: String,
    pub services: BTreeSet<String>,
    pub author: String,
    pub owner: String,
    pub strategy: crate::rollout::Strategy,
    pub steps: usize,
    /// The share of traffic that the first step exposes, 0 to 1.
    pub first_share: f64,
    /// How many SLIs are watched.
    pub slis: usize,
    /// How many commands check it.
    pub commands: usize,
    /// How many synthetic checks are made of it.
    pub checks: usize,
    pub automatic_rollback: bool,
    pub has_runbook: bool,
    pub has_commit: bool,
    pub has_artifact: bool,
    pub driver: String,
    /// Expected cost a month, in the currency given.
    pub cost_per_month: Option<f64>,
    /// By which way it goes: `regular`, `standard`, `emergency` or `afterwards`.
    #[serde(default = "regular")]
    #[schemars(extend("enum" = ["regular", "standard", "emergency", "afterwards"]))]
    pub course: String,
    /// The incident that an emergency ends; `null` on every other way.
    #[serde(default)]
    pub incident: Option<String>,
    /// The links under `evidence`, by the kind of evidence.
    #[serde(default)]
    pub evidence: BTreeMap<String, String>,
    /// When it may begin, as it was proposed: `now`, or an instant.
    #[serde(default)]
    pub when: When,
}

fn regular() -> String {
    Course::default().name().to_owned()
}

/// The services that notice when the changed ones fail, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blast {
    /// From 0 (nobody notices) to below 100; weighted by tier and distance.
    pub figure: f64,
    /// Those that call a changed service themselves.
    pub direct: usize,
    /// Those of tier 1, at any distance.
    pub tier_1: usize,
    /// Those of tier 2, at any distance.
    pub tier_2: usize,
}

impl Blast {
    fn of(radius: &BlastRadius) -> Self {
        let of_tier = |tier| radius.of_tier(tier);
        Self { figure: radius.figure, direct: radius.direct(), tier_1: of_tier(1), tier_2: of_tier(2) }
    }
}

/// How the changed services have fared, from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Changes of these services that ended.
    pub ended: u32,
    /// Those of them that were rolled back.
    pub rolled_back: u32,
    /// Whether this very effect was rolled back before.
    pub same_effect_rolled_back: bool,
    /// The share of the ended changes that were rolled back, 0 to 1; `null` where none has ended.
    #[serde(default)]
    pub failure_rate: Option<f64>,
    /// Days since the last change of one of these services ended; `null` where none has.
    #[serde(default)]
    pub last_change_age_days: Option<f64>,
    /// Incidents of these services on record.
    #[serde(default)]
    pub incidents: u32,
    /// How the author's own changes of these services fared.
    #[serde(default)]
    pub author: AuthorRecord,
}

/// The changes of these services by one author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorRecord {
    /// Those that ended.
    pub changes: u32,
    /// Those of them that were rolled back.
    pub failures: u32,
}

/// An instant in the zone of the organisation, taken apart so that rules need no arithmetic; the same in UTC stands in `utc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Now {
    #[serde(flatten)]
    pub local: Clock,
    /// For rules that hold everywhere at once.
    pub utc: Clock,
}

/// An instant as a clock on the wall of one zone shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// The instant, RFC 3339 in UTC.
    pub time: String,
    /// `monday` to `sunday`.
    pub weekday: String,
    pub is_weekend: bool,
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
    /// `2026-12-01`.
    pub date: String,
    /// The ISO week, 1 to 53. The first days of January may belong to the last week of the year before.
    pub week: i8,
    /// The name of the zone.
    pub tz: String,
    /// From UTC, such as `+01:00`; another one in summer where the zone changes.
    pub offset: String,
}

impl Now {
    pub fn utc(now: Timestamp) -> Self {
        Self::in_zone(now, &TimeZone::UTC)
    }

    /// The same instant as the clocks of a zone show it.
    pub fn in_zone(now: Timestamp, zone: &TimeZone) -> Self {
        Self { local: Clock::at(now, zone), utc: Clock::at(now, &TimeZone::UTC) }
    }
}

impl Clock {
    fn at(now: Timestamp, zone: &TimeZone) -> Self {
        let zoned = now.to_zoned(zone.clone());
        let weekday = format!("{:?}", zoned.weekday()).to_lowercase();
        Self {
            time: now.to_string(),
            is_weekend: ["saturday", "sunday"].contains(&weekday.as_str()),
            weekday,
            hour: zoned.hour(),
            minute: zoned.minute(),
            date: zoned.date().to_string(),
            week: zoned.date().iso_week_date().week(),
            tz: zone.iana_name().unwrap_or("UTC").to_owned(),
            offset: zoned.strftime("%:z").to_string(),
        }
    }
}

impl Facts {
    pub fn of(proposal: &Proposal, author: &str, catalog: &Catalog, history: History, now: Timestamp) -> Self {
        let (known, unknown): (Vec<&String>, Vec<&String>) =
            proposal.services.iter().partition(|s| catalog.service(s).is_some());
        let change = ChangeFacts {
            title: proposal.title.clone(),
            kind: proposal.kind,
            environment: proposal.environment.clone(),
            services: proposal.services.clone(),
            author: author.to_owned(),
            owner: proposal.owner.clone(),
            strategy: proposal.plan.strategy,
            steps: proposal.plan.steps.len(),
            first_share: proposal.plan.steps.first().map_or(1.0, |s| s.weight.share()),
            slis: proposal.verify.slis.len(),
            commands: proposal.verify.command_lines().count(),
            checks: proposal.verify.checks.len(),
            automatic_rollback: proposal.rollback.automatic,
            has_runbook: proposal.rollback.runbook.is_some(),
            has_commit: proposal.commit.is_some(),
            has_artifact: proposal.artifact.is_some(),
            driver: proposal.plan.target.driver.clone(),
            cost_per_month: proposal.effects.as_ref().and_then(|e| e.cost_per_month.as_ref()).map(|c| c.amount),
            course: proposal.course.name().to_owned(),
            incident: proposal.course.emergency().map(|e| e.incident.clone()),
            evidence: proposal.evidence.clone(),
            when: proposal.when,
        };
        Self {
            change,
            services: known.into_iter().filter_map(|s| catalog.service(s).cloned()).collect(),
            unknown_services: unknown.into_iter().cloned().collect(),
            catalog_in_use: !catalog.services().is_empty(),
            dependents: catalog.dependents(&proposal.services),
            blast_radius: Blast::of(&catalog.blast_radius(&proposal.services)),
            groups: BTreeSet::new(),
            history,
            error_budget_left: None,
            material: None,
            reversible: Reversible::of(None),
            cost: None,
            now: Now::utc(now),
            start: Some(Now::utc(proposal.when.not_before(now))),
        }
    }

    /// The same by the clocks of a zone.
    #[must_use]
    pub fn in_zone(mut self, now: Timestamp, zone: &TimeZone) -> Self {
        self.now = Now::in_zone(now, zone);
        self.start = Some(Now::in_zone(self.change.when.not_before(now), zone));
        self
    }

    /// The same with what the change is made of, sorted by these path rules, its committers and the groups that there are looked up in this access table.
    #[must_use]
    pub fn made_of(mut self, proposal: &Proposal, paths: &Paths, access: &Access) -> Self {
        let peopled = access.groups.iter().filter(|group| access.users_of_group(&group.id).next().is_some());
        self.groups = peopled.map(|group| group.id.clone()).collect();
        let material = proposal.material.as_ref();
        self.material = material.map(|m| Seen::of(m, proposal.kind, paths, access));
        self.reversible = Reversible::of(material);
        self.cost = material.and_then(|m| m.cost.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the clocks show, in short.
    fn shown(at: &str, zone: &str) -> String {
        let now: Timestamp = at.parse().expect("an instant");
        let Now { local: c, utc } = Now::in_zone(now, &TimeZone::get(zone).expect("a zone"));
        let weekend = if c.is_weekend { " weekend" } else { "" };
        let (hour, minute) = (c.hour, c.minute);
        format!(
            "{} {} {hour:02}:{minute:02} {} {} week {}{weekend}, {} {}",
            c.weekday, c.date, c.offset, c.tz, c.week, utc.hour, utc.tz
        )
    }

    #[test]
    fn the_clock_of_the_organisation_stands_beside_that_of_utc() {
        let cases = [
            (
                "2026-12-04T23:30:00Z",
                "Europe/Berlin",
                "saturday 2026-12-05 00:30 +01:00 Europe/Berlin week 49 weekend, 23 UTC",
            ),
            (
                "2026-03-29T00:59:00Z",
                "Europe/Berlin",
                "sunday 2026-03-29 01:59 +01:00 Europe/Berlin week 13 weekend, 0 UTC",
            ),
            (
                "2026-03-29T01:00:00Z",
                "Europe/Berlin",
                "sunday 2026-03-29 03:00 +02:00 Europe/Berlin week 13 weekend, 1 UTC",
            ),
            ("2027-01-01T12:00:00Z", "UTC", "friday 2027-01-01 12:00 +00:00 UTC week 53, 12 UTC"),
            ("2026-06-01T00:10:00Z", "Asia/Kathmandu", "monday 2026-06-01 05:55 +05:45 Asia/Kathmandu week 23, 0 UTC"),
        ];
        for (at, zone, expected) in cases {
            assert_eq!(shown(at, zone), expected);
        }
    }

    #[test]
    fn rules_find_the_local_time_where_it_always_was() {
        let now: Timestamp = "2026-12-01T09:05:00Z".parse().expect("an instant");
        let json =
            serde_json::to_value(Now::in_zone(now, &TimeZone::get("Europe/Berlin").expect("a zone"))).expect("JSON");
        assert_eq!((&json["hour"], &json["minute"], &json["utc"]["hour"]), (&10.into(), &5.into(), &9.into()));
        assert_eq!((&json["weekday"], &json["tz"]), (&"tuesday".into(), &"Europe/Berlin".into()));
    }
}
