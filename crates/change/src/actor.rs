//! Who: the actor of a command, and what each user may do.
//!
//! An [`Actor`] arrives here already identified; nothing in this crate knows of tokens or sessions. [`Access`] is `access.yaml` as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Who did it, as the log says: `user:ada`, or `clearway:policy` for a part of the product itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Actor {
    User(String),
    Clearway(Part),
}

/// The parts of the product that act by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Policy,
    Clock,
    Rollout,
    Judge,
    Notify,
    Server,
}

const PARTS: [(Part, &str); 6] = [
    (Part::Policy, "policy"),
    (Part::Clock, "clock"),
    (Part::Rollout, "rollout"),
    (Part::Judge, "judge"),
    (Part::Notify, "notify"),
    (Part::Server, "server"),
];

impl Actor {
    /// The user behind this actor, if it is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(id) => Some(id),
            Self::Clearway(_) => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Clearway(part) => {
                let name = PARTS.into_iter().find(|(p, _)| p == part).map_or("server", |(_, name)| name);
                write!(f, "clearway:{name}")
            }
        }
    }
}

impl FromStr for Actor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}` is not an actor; actors are written `user:ada` or `clearway:policy`");
        match text.split_once(':').ok_or_else(unknown)? {
            ("user", id) if !id.is_empty() => Ok(Self::User(id.to_owned())),
            ("clearway", name) => {
                PARTS.into_iter().find(|(_, n)| *n == name).map(|(p, _)| Self::Clearway(p)).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

impl TryFrom<String> for Actor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Actor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Actor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(user|clearway):.+$", "description": "Who did it.", "examples": ["user:ada"]})
    }
}

/// One thing that a role may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Propose,
    Approve,
    Pause,
    Resume,
    Rollback,
    Promote,
    Freeze,
    Override,
    Emergency,
    Govern,
    Audit,
    Read,
}

impl Permission {
    pub const ALL: [Self; 12] = [
        Self::Propose,
        Self::Approve,
        Self::Pause,
        Self::Resume,
        Self::Rollback,
        Self::Promote,
        Self::Freeze,
        Self::Override,
        Self::Emergency,
        Self::Govern,
        Self::Audit,
        Self::Read,
    ];
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Propose => "propose",
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Freeze => "freeze",
            Self::Override => "override",
            Self::Emergency => "emergency",
            Self::Govern => "govern",
            Self::Audit => "audit",
            Self::Read => "read",
        })
    }
}

/// `access.yaml`: who there is, and what each may do where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The people and machine users.
    pub users: Vec<User>,
    /// Named sets of users, which approval rules and owners refer to.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Named sets of permissions.
    #[serde(default)]
    pub roles: Vec<Role>,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Short and stable: it stands in the log.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub id: String,
    /// The name that pages show.
    #[serde(default)]
    pub name: Option<String>,
    /// The e-mail addresses that this user commits with.
    #[serde(default)]
    pub emails: Vec<String>,
    /// SSH public keys that sign approvals.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What this user may do, and where.
    #[serde(default)]
    pub roles: Vec<Grant>,
}

/// A role held by a user, everywhere or on some services and environments only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The id of the role.
    pub role: String,
    /// Where the role holds; everywhere if absent.
    #[serde(default)]
    pub on: Scope,
}

/// A set of services and environments; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    #[serde(default)]
    pub services: Vec<String>,
    #[serde(default)]
    pub environments: Vec<String>,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub id: String,
    /// The ids of its users.
    pub members: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub id: String,
    /// What it allows.
    pub may: BTreeSet<Permission>,
}

impl Access {
    /// The access table of a server without a governance directory: one administrator who may do everything.
    pub fn of_one(admin: &str) -> Self {
        let role = Role { id: "admin".into(), may: Permission::ALL.into() };
        let grant = Grant { role: "admin".into(), on: Scope::default() };
        let user = User { id: admin.into(), name: None, emails: vec![], keys: vec![], roles: vec![grant] };
        Self { users: vec![user], groups: vec![], roles: vec![role] }
    }

    /// What `user` may do to a change of these services in this environment: a grant counts only if it covers all of them.
    pub fn permissions(&self, user: &str, services: &BTreeSet<String>, environment: &str) -> BTreeSet<Permission> {
        let Some(user) = self.users.iter().find(|u| u.id == user) else { return BTreeSet::new() };
        let covers = |scope: &Scope| {
            let services_fit = scope.services.is_empty() || services.iter().all(|s| scope.services.contains(s));
            let environment_fits = scope.environments.is_empty() || scope.environments.iter().any(|e| e == environment);
            services_fit && environment_fits
        };
        let held = user.roles.iter().filter(|grant| covers(&grant.on)).map(|grant| grant.role.as_str());
        held.flat_map(|id| self.roles.iter().filter(move |role| role.id == id))
            .flat_map(|role| role.may.iter().copied())
            .collect()
    }

    /// The groups of a user, by id.
    pub fn groups_of(&self, user: &str) -> BTreeSet<String> {
        self.groups.iter().filter(|g| g.members.iter().any(|m| m == user)).map(|g| g.id.clone()).collect()
    }

    /// Whether `id` names a user or a group, who can own a service or a change.
    pub fn is_principal(&self, id: &str) -> bool {
        self.users.iter().any(|u| u.id == id) || self.groups.iter().any(|g| g.id == id)
    }

    /// Everybody who can own a service or a change, by id.
    pub fn principals(&self) -> Vec<&str> {
        self.users.iter().map(|u| u.id.as_str()).chain(self.groups.iter().map(|g| g.id.as_str())).collect()
    }

    /// References to users and roles that are not there, and ids given twice: each as a JSON pointer and a sentence.
    pub fn problems(&self) -> Vec<(String, String)> {
        let users: Vec<&str> = self.users.iter().map(|u| u.id.as_str()).collect();
        let roles: Vec<&str> = self.roles.iter().map(|r| r.id.as_str()).collect();
        let mut found = Vec::new();
        let mut seen = BTreeMap::new();
        for (i, id) in users.iter().enumerate() {
            if seen.insert(*id, i).is_some() {
                found.push((format!("/users/{i}/id"), format!("the user `{id}` is listed twice")));
            }
        }
        for (i, user) in self.users.iter().enumerate() {
            for (j, grant) in user.roles.iter().enumerate().filter(|(_, g)| !roles.contains(&g.role.as_str())) {
                found.push((format!("/users/{i}/roles/{j}/role"), format!("there is no role `{}`", grant.role)));
            }
        }
        for (i, group) in self.groups.iter().enumerate() {
            for (j, member) in group.members.iter().enumerate().filter(|(_, m)| !users.contains(&m.as_str())) {
                found.push((format!("/groups/{i}/members/{j}"), format!("there is no user `{member}`")));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        serde_json::from_value(serde_json::json!({
            "users": [
                {"id": "ada", "roles": [{"role": "operator", "on": {"services": ["checkout"]}}]},
                {"id": "bob", "roles": [{"role": "reader"}]},
            ],
            "groups": [{"id": "sre", "members": ["ada", "bob"]}],
            "roles": [{"id": "operator", "may": ["propose", "rollback"]}, {"id": "reader", "may": ["read"]}],
        }))
        .expect("the access table of the tests is valid")
    }

    #[test]
    fn a_grant_counts_only_where_it_covers_every_service_of_the_change() {
        let may = |services: &[&str]| {
            access().permissions("ada", &services.iter().map(|s| (*s).to_owned()).collect(), "production")
        };
        assert!(may(&["checkout"]).contains(&Permission::Rollback));
        assert!(may(&["checkout", "search"]).is_empty());
        assert!(access().permissions("eve", &BTreeSet::new(), "production").is_empty());
    }

    #[test]
    fn dangling_references_and_duplicates_are_named_with_their_place() {
        let mut broken = access();
        broken.users[1].id = "ada".into();
        broken.users[0].roles[0].role = "king".into();
        let places: Vec<_> = broken.problems().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["/users/1/id", "/users/0/roles/0/role", "/groups/0/members/1"]);
    }

    #[test]
    fn an_actor_reads_back_what_it_writes() {
        for text in ["user:ada", "clearway:policy", "clearway:judge"] {
            assert_eq!(text.parse::<Actor>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for bad in ["ada", "user:", "clearway:ghost", "robot:x"] {
            assert!(bad.parse::<Actor>().is_err(), "{bad}");
        }
    }
}
