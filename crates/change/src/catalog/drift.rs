//! Drift: what the catalog says and is no longer so.
//!
//! Two questions. What is overdue or watched by nobody, from the catalog alone; and how the declared dependencies stand to those that somebody observed.
//! Observations arrive as values; where they come from is not asked here. Nothing is mended by itself: each finding is for a person.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::sort;
use super::{At, Catalog, Finding, FindingKind, Service};
use crate::time::Timestamp;

/// Calls that were seen from one service to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    pub client: String,
    pub server: String,
    /// How many, where it was counted. None at all are no observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<f64>,
}

impl Catalog {
    /// Entries past their review date (by the day in UTC), and services of which nothing is counted.
    pub fn upkeep(&self, now: Timestamp) -> Vec<Finding> {
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut found = Vec::new();
        for (at, service) in self.services.iter().enumerate() {
            found.extend(self.overdue(at, service, today));
            found.extend(self.unwatched(at, service));
        }
        sort(&mut found);
        found
    }

    fn overdue(&self, at: usize, service: &Service, today: Date) -> Option<Finding> {
        let due = service.review_by.filter(|due| *due < today)?;
        let message = format!("`{}` was to be reviewed by {due}", service.name);
        let finding = Finding::warning(FindingKind::ReviewOverdue, self.place(at, "/review_by"), message);
        Some(finding.about(&service.name).help("look whether the entry is still true, and set a later `review_by`"))
    }

    fn unwatched(&self, at: usize, service: &Service) -> Option<Finding> {
        if service.indicators().next().is_some() {
            return None;
        }
        let message = format!("nothing is counted of `{}`: it names no SLI", service.name);
        let finding = Finding::warning(FindingKind::Unwatched, self.place(at, ""), message);
        Some(finding.about(&service.name).help("name SLIs under `slis`, or promises under `slos`"))
    }

    /// Dependencies that were observed and are not declared, or declared and not observed.
    ///
    /// A name is compared as it is, and else in lower case. A service that was never seen to call anybody may just not be traced, and that is said.
    pub fn dependency_drift(&self, observed: &[Observed]) -> Vec<Finding> {
        let mut seen: BTreeMap<(String, String), f64> = BTreeMap::new();
        for edge in observed.iter().filter(|edge| edge.calls.is_none_or(|calls| calls > 0.0)) {
            let (client, server) = (self.known_as(&edge.client), self.known_as(&edge.server));
            if client != server && !client.is_empty() && !server.is_empty() {
                *seen.entry((client, server)).or_default() += edge.calls.unwrap_or(0.0);
            }
        }
        let mut found = self.undeclared(&seen);
        found.extend(self.unobserved(&seen));
        found.extend(self.strangers(&seen));
        sort(&mut found);
        found
    }

    fn known_as(&self, name: &str) -> String {
        let lower = name.trim().to_lowercase();
        if self.service(name).is_none() && self.service(&lower).is_some() { lower } else { name.trim().to_owned() }
    }

    fn undeclared(&self, seen: &BTreeMap<(String, String), f64>) -> Vec<Finding> {
        let missing = seen.iter().filter_map(|((client, server), calls)| {
            let at = self.index.service(self.index.id(client)?)?;
            let service = &self.services[at];
            if self.service(server).is_none() || service.depends_on.contains(server) {
                return None;
            }
            let count = if *calls > 0.0 { format!(" ({} calls)", calls.round()) } else { String::new() };
            let message = format!("`{client}` calls `{server}`{count} and does not declare it");
            let finding = Finding::warning(FindingKind::Undeclared, self.place(at, ""), message);
            Some(finding.about(client).help(format!("add `{server}` to its `depends_on`")))
        });
        missing.collect()
    }

    fn unobserved(&self, seen: &BTreeMap<(String, String), f64>) -> Vec<Finding> {
        let clients: BTreeSet<&str> = seen.keys().map(|(client, _)| client.as_str()).collect();
        let mut found = Vec::new();
        for (at, service) in self.services.iter().enumerate() {
            for (i, server) in service.depends_on.iter().enumerate() {
                if seen.contains_key(&(service.name.clone(), server.clone())) || *server == service.name {
                    continue;
                }
                let message = format!("`{}` declares `{server}` and was not seen to call it", service.name);
                let help = if clients.contains(service.name.as_str()) {
                    "remove it from `depends_on` if it is gone, or observe for longer"
                } else {
                    "it was not seen to call anybody: is it traced at all?"
                };
                let place = self.place(at, &format!("/depends_on/{i}"));
                found.push(Finding::warning(FindingKind::Unobserved, place, message).about(&service.name).help(help));
            }
        }
        found
    }

    fn strangers(&self, seen: &BTreeMap<(String, String), f64>) -> Vec<Finding> {
        let names: BTreeSet<&str> =
            seen.keys().flat_map(|(client, server)| [client.as_str(), server.as_str()]).collect();
        let unknown = names.into_iter().filter(|name| self.service(name).is_none());
        let say = |name: &str| {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(120).collect();
            let message = format!("`{shown}` was observed and is not in the catalog");
            Finding::warning(FindingKind::UnknownService, At::file("observed"), message)
                .help("add it to services/, or leave it if it is not yours")
        };
        unknown.map(say).collect()
    }
}
