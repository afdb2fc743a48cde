//! The catalog: services, who owns them, and what they depend on.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Access;

/// One service, as `services/*.yaml` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub name: String,
    /// The user or group that answers for it.
    pub owner: String,
    /// From 1, whose failure everybody notices, to 4.
    #[serde(default = "middle_tier")]
    #[schemars(range(min = 1, max = 4))]
    pub tier: u8,
    /// The services that it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The names of its SLIs in `slis.yaml`: those with an objective are watched while a service that it depends on is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slis: Vec<String>,
    /// Kinds of data that need care, such as `personal` or `payment`.
    #[serde(default)]
    pub data: Vec<String>,
    /// The user or group that is on call for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_call: Option<String>,
    /// `observe` where its gates report and hold nothing.
    #[serde(default, skip_serializing_if = "Gating::is_enforced")]
    pub gates: Gating,
}

/// Whether the gates of a service hold its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gating {
    #[default]
    Enforce,
    /// They report, and hold nothing: a team starts by looking.
    Observe,
}

impl Gating {
    pub(crate) fn is_enforced(&self) -> bool {
        *self == Self::Enforce
    }
}

fn middle_tier() -> u8 {
    3
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    pub services: Vec<Service>,
}

impl Catalog {
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.name == name)
    }

    /// The services that depend on these, directly or through others: those that notice when they fail. A cycle is walked once.
    pub fn dependents(&self, of: &BTreeSet<String>) -> BTreeSet<String> {
        self.dependents_within(of, usize::MAX)
    }

    /// Those of them that are at most so many calls away.
    pub fn dependents_within(&self, of: &BTreeSet<String>, hops: usize) -> BTreeSet<String> {
        let mut reached = of.clone();
        for _ in 0..hops.min(self.services.len()) {
            let hit = |s: &&Service| !reached.contains(&s.name) && s.depends_on.iter().any(|d| reached.contains(d));
            let more: Vec<String> = self.services.iter().filter(hit).map(|s| s.name.clone()).collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        reached.difference(of).cloned().collect()
    }

    /// Whether gates hold changes of these services: only where each of them is observed do they not.
    pub fn gating(&self, services: &BTreeSet<String>) -> Gating {
        let is_observed = |name: &String| self.service(name).is_some_and(|s| s.gates == Gating::Observe);
        if !services.is_empty() && services.iter().all(is_observed) { Gating::Observe } else { Gating::Enforce }
    }

    /// Whether a user owns one of these services, alone or through a group.
    pub fn owns(&self, access: &Access, user: &str, services: &BTreeSet<String>) -> bool {
        let groups = access.groups_of(user);
        let owners = services.iter().filter_map(|s| self.service(s)).map(|s| &s.owner);
        owners.into_iter().any(|owner| owner == user || groups.contains(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, depends_on: &[&str]) -> Service {
        let depends_on = depends_on.iter().map(|d| (*d).to_owned()).collect();
        Service {
            name: name.into(),
            owner: "ada".into(),
            tier: 2,
            depends_on,
            slis: vec![],
            data: vec![],
            on_call: None,
            gates: Gating::Enforce,
        }
    }

    #[test]
    fn dependents_are_found_through_others_and_through_a_cycle() {
        let services = vec![
            service("web", &["cart"]),
            service("cart", &["stock"]),
            service("stock", &["cart"]),
            service("mail", &[]),
        ];
        let catalog = Catalog { services };
        let found = catalog.dependents(&["stock".to_owned()].into());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["cart", "web"]);
        let near = catalog.dependents_within(&["stock".to_owned()].into(), 1);
        assert_eq!(near.into_iter().collect::<Vec<_>>(), ["cart"]);
    }
}
