//! Scope: where a permission holds, and what is left of it in the hands of a token.
//!
//! To act on a change, a scope has to cover every service of it; to read one, any: whoever answers for a service sees what is done to it. A list that is
//! empty means all. Knows neither users nor roles; see [`access`](super::access).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Permission;
use crate::document::list;

/// A set of services and environments; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    #[serde(default)]
    pub services: Vec<String>,
    #[serde(default)]
    pub environments: Vec<String>,
}

impl Scope {
    pub fn is_everywhere(&self) -> bool {
        self.services.is_empty() && self.environments.is_empty()
    }

    /// Whether all of these services in this environment are in it. No service at all is only covered by a scope that names none.
    pub fn covers(&self, services: &BTreeSet<String>, environment: &str) -> bool {
        self.covers_services(services) && self.has_environment(environment)
    }

    fn covers_services(&self, services: &BTreeSet<String>) -> bool {
        self.services.is_empty() || !services.is_empty() && services.iter().all(|s| self.services.contains(s))
    }

    /// Whether one of these services in this environment is in it.
    pub fn touches<'a>(&self, services: impl IntoIterator<Item = &'a String>, environment: &str) -> bool {
        self.has_environment(environment)
            && (self.services.is_empty() || services.into_iter().any(|s| self.services.contains(s)))
    }

    fn has_environment(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|e| e == environment)
    }

    /// Whether everything in `other` is in this.
    pub fn contains(&self, other: &Self) -> bool {
        let holds = |all: &[String], some: &[String]| {
            all.is_empty() || !some.is_empty() && some.iter().all(|one| all.contains(one))
        };
        holds(&self.services, &other.services) && holds(&self.environments, &other.environments)
    }

    /// What it fails to cover, in words; nothing where it covers all.
    pub fn gap(&self, services: &BTreeSet<String>, environment: &str) -> Option<String> {
        let missing: Vec<&str> = services.iter().map(String::as_str).filter(|s| !self.has_service(s)).collect();
        if !missing.is_empty() {
            return Some(format!("does not cover the service {}", list(missing)));
        }
        if !self.covers_services(services) {
            return Some("covers only some services, and none is named".into());
        }
        (!self.has_environment(environment)).then(|| format!("does not cover the environment `{environment}`"))
    }

    fn has_service(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|s| s == service)
    }

    /// `everywhere`, or the services and environments by name.
    pub fn in_words(&self) -> String {
        let named = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what} {}", list(names.iter().map(String::as_str))))
        };
        let parts = [named("on", &self.services), named("in", &self.environments)];
        let words: Vec<String> = parts.into_iter().flatten().collect();
        if words.is_empty() { "everywhere".into() } else { words.join(" ") }
    }
}

/// What a token leaves of its user's permissions: nothing here ever gives more than the user has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Only these permissions; all of the user's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may: Option<BTreeSet<Permission>>,
    /// Only on these services and environments.
    #[serde(default)]
    pub on: Scope,
    /// Only for this.
    #[serde(default, rename = "for", skip_serializing_if = "Purpose::is_anything")]
    pub purpose: Purpose,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    #[default]
    Anything,
    /// The calendar feed alone: it stands in addresses, which many programs write down, and lets nobody in anywhere else.
    Feed,
}

impl Purpose {
    pub fn is_anything(&self) -> bool {
        *self == Self::Anything
    }
}

impl Limits {
    /// Whether they leave everything.
    pub fn are_none(&self) -> bool {
        self.may.is_none() && self.on.is_everywhere() && self.purpose.is_anything()
    }

    pub fn leave(&self, permission: Permission) -> bool {
        self.purpose.is_anything() && self.may.as_ref().is_none_or(|may| may.contains(&permission))
    }

    /// Why they keep a permission from being used on these services in this environment, in words; nothing where they don't.
    pub fn gap(&self, permission: Permission, services: &BTreeSet<String>, environment: &str) -> Option<String> {
        self.gap_of_permission(permission).or_else(|| self.on.gap(services, environment))
    }

    fn gap_of_permission(&self, permission: Permission) -> Option<String> {
        match self.purpose {
            Purpose::Feed => Some("is for the calendar feed alone".into()),
            Purpose::Anything => (!self.leave(permission)).then(|| format!("is not for `{permission}`")),
        }
    }

    /// The same for what is about no change: the permission has to be left everywhere.
    pub fn gap_everywhere(&self, permission: Permission) -> Option<String> {
        if let Some(gap) = self.gap_of_permission(permission) {
            return Some(gap);
        }
        (!self.on.is_everywhere()).then(|| format!("is only for changes {}", self.on.in_words()))
    }
}

/// The changes that somebody can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub(super) scopes: Vec<Scope>,
    pub(super) within: Scope,
}

impl Reach {
    pub fn is_nothing(&self) -> bool {
        self.scopes.is_empty()
    }

    pub fn is_everything(&self) -> bool {
        self.within.is_everywhere() && self.scopes.iter().any(Scope::is_everywhere)
    }

    /// Whether a change of these services in this environment can be seen: one service is enough.
    pub fn sees<'a>(&self, services: impl IntoIterator<Item = &'a String>, environment: &str) -> bool {
        let services: Vec<&String> = services.into_iter().collect();
        let touches = |scope: &Scope| scope.touches(services.iter().copied(), environment);
        touches(&self.within) && self.scopes.iter().any(touches)
    }

    /// The services of which anything can be seen; nothing where that is all of them.
    pub fn services(&self) -> Option<BTreeSet<&str>> {
        if !self.within.services.is_empty() {
            return Some(self.within.services.iter().map(String::as_str).collect());
        }
        if self.scopes.iter().any(|scope| scope.services.is_empty()) {
            return None;
        }
        Some(self.scopes.iter().flat_map(|scope| scope.services.iter().map(String::as_str)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(services: &[&str], environments: &[&str]) -> Scope {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Scope { services: owned(services), environments: owned(environments) }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn acting_needs_every_service_and_reading_needs_one() {
        let some = scope(&["cart"], &["production"]);
        assert!(some.covers(&set(&["cart"]), "production"));
        assert!(!some.covers(&set(&["cart", "mail"]), "production"));
        assert!(some.touches(&set(&["cart", "mail"]), "production"));
        assert!(!some.touches(&set(&["cart"]), "staging"));
    }

    #[test]
    fn a_change_of_no_service_is_not_covered_by_a_scope_of_some() {
        assert!(!scope(&["cart"], &[]).covers(&set(&[]), "production"));
        assert!(scope(&["cart"], &[]).gap(&set(&[]), "production").is_some());
        assert!(Scope::default().covers(&set(&[]), "production"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let some = scope(&["cart"], &["production"]);
        let gap = |services: &[&str], environment| some.gap(&set(services), environment).unwrap_or_default();
        assert_eq!(gap(&["cart", "mail"], "production"), "does not cover the service `mail`");
        assert_eq!(gap(&["cart"], "staging"), "does not cover the environment `staging`");
        assert_eq!(gap(&["cart"], "production"), "");
    }

    #[test]
    fn a_scope_holds_another_only_as_a_whole() {
        assert!(Scope::default().contains(&scope(&["cart"], &[])));
        assert!(!scope(&["cart"], &[]).contains(&Scope::default()));
        assert!(scope(&["cart", "mail"], &[]).contains(&scope(&["mail"], &["production"])));
    }

    // LC4: a token that stands in addresses is worth nothing anywhere else.
    #[test]
    fn a_token_of_a_feed_leaves_no_permission_and_one_of_before_reads_as_it_was() {
        let feed = Limits { purpose: Purpose::Feed, ..Limits::default() };
        assert!(!feed.are_none() && Permission::ALL.into_iter().all(|permission| !feed.leave(permission)));
        let gap = |permission| feed.gap(permission, &set(&["cart"]), "production");
        assert_eq!(gap(Permission::Read).as_deref(), Some("is for the calendar feed alone"));
        assert_eq!(feed.gap_everywhere(Permission::Audit).as_deref(), Some("is for the calendar feed alone"));
        let text = serde_json::to_string(&feed).expect("JSON");
        assert!(text.contains("\"for\":\"feed\""), "{text}");
        let before: Limits = serde_json::from_str("{\"may\":[\"read\"]}").expect("as it was written before");
        assert!(before.purpose.is_anything() && before.leave(Permission::Read));
        assert!(!serde_json::to_string(&before).expect("JSON").contains("for"), "it is written as it was");
    }

    #[test]
    fn a_token_reads_no_further_than_its_scope() {
        let reach = Reach { scopes: vec![Scope::default()], within: scope(&["cart"], &[]) };
        assert!(reach.sees(&set(&["cart"]), "production") && !reach.sees(&set(&["mail"]), "production"));
        assert_eq!(reach.services(), Some(["cart"].into()));
        assert!(!reach.is_everything());
    }
}
