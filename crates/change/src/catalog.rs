//! The catalog: which services there are, who answers for each, and who notices when one fails.
//!
//! Answers from an [`Index`] that is made once, so that a question costs what its answer is long, over cycles too. It never reads a file and never
//! grants anything: what a person may do stands in access.yaml alone. Next room: [`blast`], then [`finding`] and [`entry`] for what is wrong with the
//! files, and [`drift`] for what has become untrue.

pub mod blast;
pub mod drift;
pub mod entry;
pub mod finding;
pub mod portrait;

mod check;
mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use blast::{BlastRadius, Reached};
pub use drift::Observed;
pub use entry::{Edge, Entries, Entry};
pub use finding::{At, Finding, FindingKind, Severity};
use index::Index;
pub use portrait::{Neighbour, Portrait};

use crate::glob;

/// One service, as `services/*.yaml` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub name: String,
    /// What people call it; the name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// The user or group that answers for it.
    pub owner: String,
    /// The user or group that is called when it fails, or a schedule of `roster.yaml`; the owner if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_call: Option<String>,
    /// From 1, whose failure everybody notices, to 4.
    #[serde(default = "middle_tier")]
    #[schemars(range(min = 1, max = 4))]
    pub tier: u8,
    /// Where it runs, such as `staging` and `production`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// What it runs on, as `driver:resource` with `*` for any characters: a change that acts there names this service, or another that lists the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 200)), example = vec!["router:public/checkout"])]
    pub targets: Vec<String>,
    /// The services that it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The names of its SLIs in `slis.yaml`: those with an objective are watched while a service that it depends on is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slis: Vec<String>,
    /// The names of what it promises: SLIs with an objective, in `slis.yaml` or `slos/`. They are watched in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slos: Vec<String>,
    /// Kinds of data that need care, such as `personal` or `payment`.
    #[serde(default)]
    pub data: Vec<String>,
    /// Where to read on: runbooks, dashboards, source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = "^https?://[^ ]+$")))]
    pub links: Vec<String>,
    /// How far its life has come; `production` if absent.
    #[serde(default, skip_serializing_if = "Lifecycle::is_production")]
    pub lifecycle: Lifecycle,
    /// The day by which somebody looks whether this entry is still true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), example = "2027-01-31")]
    pub review_by: Option<Date>,
    /// Whether the gates of a change of this service hold it; `enforce` if absent.
    #[serde(default, skip_serializing_if = "Gating::is_enforced")]
    pub gates: Gating,
}

fn middle_tier() -> u8 {
    Service::MIDDLE_TIER
}

impl Service {
    /// The tier of a service that names none.
    pub const MIDDLE_TIER: u8 = 3;

    /// A service of which nothing is known but its name and owner.
    pub fn named(name: impl Into<String>, owner: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            title: None,
            owner: owner.into(),
            on_call: None,
            tier: Self::MIDDLE_TIER,
            environments: vec![],
            targets: vec![],
            depends_on: vec![],
            slis: vec![],
            slos: vec![],
            data: vec![],
            links: vec![],
            lifecycle: Lifecycle::Production,
            review_by: None,
            gates: Gating::Enforce,
        }
    }

    /// The names of everything that is counted of it.
    pub fn indicators(&self) -> impl Iterator<Item = &str> {
        self.slis.iter().chain(&self.slos).map(String::as_str)
    }
}

/// Whether gates hold a change, or only say that they would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gating {
    /// A closed gate holds the change.
    #[default]
    Enforce,
    /// A closed gate is reported and holds nothing: a team starts by looking.
    Observe,
}

impl Gating {
    pub(crate) fn is_enforced(&self) -> bool {
        *self == Self::Enforce
    }
}

/// How far the life of a service has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// May break or go away.
    Experimental,
    #[default]
    Production,
    /// Nobody should begin to depend on it.
    Deprecated,
}

impl Lifecycle {
    fn is_production(&self) -> bool {
        *self == Self::Production
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Experimental => "experimental",
            Self::Production => "production",
            Self::Deprecated => "deprecated",
        })
    }
}

/// All services, with an index over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct Catalog {
    services: Vec<Service>,
    index: Index,
    /// Where each service stands; empty for a catalog that was made of values.
    origins: Vec<entry::Origin>,
    /// Users and groups that another tool's files name: they can own, and may do nothing.
    owners: BTreeMap<String, At>,
    /// The schedules of the roster, which may be called like a user or a group.
    schedules: BTreeSet<String>,
    /// What was said while the files were read.
    said: Vec<Finding>,
}

/// A catalog as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listed {
    services: Vec<Service>,
}

impl From<Listed> for Catalog {
    fn from(listed: Listed) -> Self {
        Self::new(listed.services)
    }
}

impl From<Catalog> for Listed {
    fn from(catalog: Catalog) -> Self {
        Self { services: catalog.services }
    }
}

impl Catalog {
    /// Of two services of one name the first counts; what was read from files refuses the second.
    pub fn new(services: Vec<Service>) -> Self {
        let index = Index::of(&services);
        Self { services, index, ..Self::default() }
    }

    /// The same where services may name these schedules as on call.
    #[must_use]
    pub fn with_schedules(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.schedules = names.into_iter().collect();
        self
    }

    /// The services in the order of their files.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(self.index.service(self.index.id(name)?)?)
    }

    /// The services that depend on these, directly or through others: those that notice when they fail. A cycle is walked once.
    pub fn dependents(&self, of: &BTreeSet<String>) -> BTreeSet<String> {
        self.dependents_within(of, usize::MAX)
    }

    /// Those of them that are at most so many calls away.
    pub fn dependents_within(&self, of: &BTreeSet<String>, hops: usize) -> BTreeSet<String> {
        let reached = self.index.callers(self.ids(of), hops);
        reached.into_keys().map(|id| self.index.name(id).to_owned()).collect()
    }

    /// The services that these depend on within so many calls, each with its distance, nearest first.
    pub fn dependencies_within(&self, of: &BTreeSet<String>, hops: usize) -> Vec<(&str, usize)> {
        self.named(self.index.callees(self.ids(of), hops))
    }

    /// The services that call these within so many calls, each with its distance, nearest first.
    pub fn callers_within(&self, of: &BTreeSet<String>, hops: usize) -> Vec<(&str, usize)> {
        self.named(self.index.callers(self.ids(of), hops))
    }

    /// The services that call one directly, by name.
    pub fn callers(&self, name: &str) -> Vec<&str> {
        let direct = self.index.id(name).map(|id| self.index.direct_callers(id)).unwrap_or_default();
        let names: BTreeSet<&str> = direct.iter().map(|id| self.index.name(*id)).collect();
        names.into_iter().collect()
    }

    /// The services that notice when these fail, each with its distance and its tier, and one figure for them all.
    pub fn blast_radius(&self, of: &BTreeSet<String>) -> BlastRadius {
        let reached = self.callers_within(of, usize::MAX).into_iter();
        let reached = reached.filter_map(|(name, hops)| {
            let tier = self.service(name)?.tier;
            Some(Reached { service: name.to_owned(), tier, hops })
        });
        BlastRadius::of(of.clone(), reached.collect())
    }

    /// The cycles: sets of services of which each depends on each other one, in the order of their first names.
    pub fn cycles(&self) -> Vec<Vec<&str>> {
        let mut cycles: Vec<Vec<&str>> = self.index.cycles().into_iter().map(|ids| self.sorted(&ids)).collect();
        cycles.sort();
        cycles
    }

    /// Whether gates hold changes of these services: only where each of them is observed do they not.
    pub fn gating(&self, services: &BTreeSet<String>) -> Gating {
        let is_observed = |name: &String| self.service(name).is_some_and(|s| s.gates == Gating::Observe);
        if !services.is_empty() && services.iter().all(is_observed) { Gating::Observe } else { Gating::Enforce }
    }

    /// Who owns these services: users and groups of access.yaml.
    pub fn owners(&self, services: &BTreeSet<String>) -> BTreeSet<&str> {
        services.iter().filter_map(|name| self.service(name)).map(|service| service.owner.as_str()).collect()
    }

    /// The services that list what a step would act on, in the order of their names; empty where nobody does.
    pub fn holders(&self, resource: &str) -> BTreeSet<&str> {
        let lists = |service: &&Service| service.targets.iter().any(|pattern| glob::fits_name(pattern, resource));
        self.services.iter().filter(lists).map(|service| service.name.as_str()).collect()
    }

    /// Where a service stands, if it was read from a file.
    pub fn origin(&self, name: &str) -> Option<&At> {
        self.index.id(name).and_then(|id| self.origins.get(self.index.service(id)?)).map(|origin| &origin.at)
    }

    fn ids<'a>(&'a self, names: &'a BTreeSet<String>) -> impl Iterator<Item = usize> + 'a {
        names.iter().filter_map(|name| self.index.id(name))
    }

    /// Nearest first, and by name where the distance is the same.
    fn named(&self, reached: BTreeMap<usize, usize>) -> Vec<(&str, usize)> {
        let mut named: Vec<(&str, usize)> = reached.into_iter().map(|(id, hops)| (self.index.name(id), hops)).collect();
        named.sort_by_key(|(name, hops)| (*hops, *name));
        named
    }

    fn sorted(&self, ids: &[usize]) -> Vec<&str> {
        let mut names: Vec<&str> = ids.iter().map(|id| self.index.name(*id)).collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests;
