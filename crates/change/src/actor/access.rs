//! Access: `access.yaml` as a value, and the questions that are asked of it.
//!
//! Who leaves stays listed: their id stands in the log. What has an end is over unless an instant before it was set with [`Access::at`]: a table that
//! nobody gave the time closes, it never opens. Fields are changed before the first question, never after: answers come from an index that is made once.
//! Next rooms: [`action`](super::action) for what needs which permission, [`explanation`](super::explanation) for why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::index::{Allowed, Index};
use super::{Limits, Permission, Reach, Scope};
use crate::document::{Document, Place};
use crate::time::Timestamp;

/// `access.yaml`: who there is, and what each may do where.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
    /// The instant at which it is asked.
    #[serde(skip)]
    now: Option<Timestamp>,
    /// Where its values stand in the file, by JSON pointer.
    #[serde(skip)]
    places: Arc<BTreeMap<String, Place>>,
    #[serde(skip)]
    index: OnceLock<Arc<Index>>,
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        (&self.users, &self.groups, &self.roles) == (&other.users, &other.groups, &other.roles)
    }
}

/// One user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Short and stable: it stands in the log.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub id: String,
    /// The name that pages show.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it is a person or a machine, such as a pipeline.
    #[serde(default, skip_serializing_if = "UserKind::is_person")]
    pub kind: UserKind,
    /// The e-mail addresses that this user commits with.
    #[serde(default)]
    pub emails: Vec<String>,
    /// SSH public keys that sign approvals.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What this user may do, and where.
    #[serde(default)]
    pub roles: Vec<Grant>,
    /// Has left: may nothing, and is in no group. The entry stays, because the id stands in the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deactivated: bool,
    /// The instant at which this user leaves, with its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "2026-12-31T23:00:00Z")]
    pub until: Option<Timestamp>,
}

/// What kind of user it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserKind {
    #[default]
    Person,
    Machine,
}

impl UserKind {
    fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

/// A role held by a user, everywhere or on some services and environments only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The id of the role.
    pub role: String,
    /// Where the role holds; everywhere if absent.
    #[serde(default)]
    pub on: Scope,
    /// The instant at which it ends, with its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "2026-12-31T23:00:00Z")]
    pub until: Option<Timestamp>,
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
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub id: String,
    /// What it allows.
    pub may: BTreeSet<Permission>,
}

/// The role of an administrator who was recovered on the machine itself. No file can name it: ids of files have no colon.
pub(super) const RECOVERED: &str = "clearway:recovered";

impl Access {
    /// The access table of a server without a governance directory: one administrator who may do everything.
    pub fn of_one(admin: &str) -> Self {
        let role = Role { id: "admin".into(), may: Permission::ALL.into() };
        let grant = Grant { role: "admin".into(), ..Grant::default() };
        let user = User { id: admin.into(), roles: vec![grant], ..User::default() };
        Self { users: vec![user], roles: vec![role], ..Self::default() }
    }

    /// The table as it is at an instant.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self.index = OnceLock::new();
        self
    }

    /// The table with the places of the file that it was read from.
    #[must_use]
    pub(crate) fn read_from(mut self, document: &Document) -> Self {
        let pointers = (0..self.users.len()).flat_map(|i| {
            let grants = (0..self.users[i].roles.len()).map(move |j| format!("/users/{i}/roles/{j}"));
            grants.chain([format!("/users/{i}")])
        });
        let groups = (0..self.groups.len()).map(|i| format!("/groups/{i}"));
        let roles = (0..self.roles.len()).map(|i| format!("/roles/{i}"));
        let all = pointers.chain(groups).chain(roles);
        self.places = Arc::new(all.map(|pointer| (pointer.clone(), document.place(&pointer))).collect());
        self
    }

    /// `access.yaml:12`, where that is known.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        self.places.get(pointer).map(|place| format!("access.yaml:{}", place.line))
    }

    /// The first instant after the present one at which a user leaves or a grant ends.
    pub fn next_end(&self) -> Option<Timestamp> {
        let of_users = self.users.iter().filter_map(|user| user.until);
        let of_grants = self.users.iter().flat_map(|user| &user.roles).filter_map(|grant| grant.until);
        of_users.chain(of_grants).filter(|end| self.is_to_come(*end)).min()
    }

    /// The table with one user more who may govern until an instant. Who had left gets nothing else back.
    #[must_use]
    pub fn with_recovered(mut self, id: &str, until: Timestamp) -> Self {
        let may = [Permission::Govern, Permission::Audit, Permission::Read].into();
        self.roles.retain(|role| role.id != RECOVERED);
        self.roles.push(Role { id: RECOVERED.into(), may });
        let grant = Grant { role: RECOVERED.into(), on: Scope::default(), until: Some(until) };
        let at = self.users.iter().position(|user| user.id == id).unwrap_or(self.users.len());
        if at == self.users.len() {
            self.users.push(User { id: id.into(), ..User::default() });
        }
        if !self.is_here(&self.users[at]) {
            self.users[at] = User { id: id.into(), name: self.users[at].name.clone(), ..User::default() };
            self.groups.iter_mut().for_each(|group| group.members.retain(|member| member != id));
        }
        self.users[at].roles.push(grant);
        self.index = OnceLock::new();
        self
    }

    fn is_to_come(&self, end: Timestamp) -> bool {
        self.now.is_some_and(|now| end > now)
    }

    pub(super) fn is_here(&self, user: &User) -> bool {
        !user.deactivated && user.until.is_none_or(|end| self.is_to_come(end))
    }

    pub(super) fn still_holds(&self, grant: &Grant) -> bool {
        grant.until.is_none_or(|end| self.is_to_come(end))
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Arc::new(Index::of(self)))
    }

    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Whether there is such a user who has not left.
    pub fn is_active(&self, user: &str) -> bool {
        self.index().is_active(user)
    }

    /// Whether this id is that of a machine, such as a pipeline.
    pub fn is_machine(&self, id: &str) -> bool {
        self.index().is_machine(id)
    }

    /// What `user` may do to a change of these services in this environment: a grant counts only if it covers all of them.
    pub fn permissions(&self, user: &str, services: &BTreeSet<String>, environment: &str) -> BTreeSet<Permission> {
        let held = self.index().grants(user).iter().filter(|held| held.scope.covers(services, environment));
        held.fold(Allowed::default(), |all, held| all.and(held.may)).to_set()
    }

    /// Whether `user` may do one thing to a change of these services in this environment.
    pub fn may(&self, user: &str, permission: Permission, services: &BTreeSet<String>, environment: &str) -> bool {
        let mut held = self.index().grants(user).iter();
        held.any(|held| held.may.has(permission) && held.scope.covers(services, environment))
    }

    /// Whether `user` may do what is about no change: a grant counts only if it holds everywhere.
    pub fn may_everywhere(&self, user: &str, permission: Permission) -> bool {
        self.index().grants(user).iter().any(|held| held.may.has(permission) && held.scope.is_everywhere())
    }

    /// What a user may do somewhere.
    pub fn held(&self, user: &str) -> BTreeSet<Permission> {
        self.index().grants(user).iter().fold(Allowed::default(), |all, held| all.and(held.may)).to_set()
    }

    /// The changes that a user can see within some limits: any permission allows to read where it holds.
    pub fn reach(&self, user: &str, limits: &Limits) -> Reach {
        let held = self.index().grants(user).iter().filter(|held| !held.may.is_empty());
        Reach { scopes: held.map(|held| held.scope.clone()).collect(), within: limits.on.clone() }
    }

    /// The users who may govern, by id.
    pub fn governors(&self) -> Vec<&str> {
        let ids = self.users.iter().map(|user| user.id.as_str());
        ids.filter(|id| self.may_everywhere(id, Permission::Govern)).collect()
    }

    /// The groups of a user, by id.
    pub fn groups_of(&self, user: &str) -> BTreeSet<String> {
        self.index().groups_of(user).cloned().unwrap_or_default()
    }

    /// The users of a group who have not left, by id.
    pub fn users_of_group(&self, group: &str) -> impl Iterator<Item = &str> {
        self.index().members(group).into_iter().flatten().map(String::as_str)
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
        let users: BTreeSet<&str> = self.users.iter().map(|u| u.id.as_str()).collect();
        let roles: BTreeSet<&str> = self.roles.iter().map(|r| r.id.as_str()).collect();
        let mut found = self.twice();
        for (i, user) in self.users.iter().enumerate() {
            for (j, grant) in user.roles.iter().enumerate().filter(|(_, g)| !roles.contains(g.role.as_str())) {
                found.push((format!("/users/{i}/roles/{j}/role"), format!("there is no role `{}`", grant.role)));
            }
        }
        for (i, group) in self.groups.iter().enumerate() {
            for (j, member) in group.members.iter().enumerate().filter(|(_, m)| !users.contains(m.as_str())) {
                found.push((format!("/groups/{i}/members/{j}"), format!("there is no user `{member}`")));
            }
        }
        found
    }

    fn twice(&self) -> Vec<(String, String)> {
        let users = self.users.iter().map(|u| ("users", "user", u.id.as_str()));
        let groups = self.groups.iter().map(|g| ("groups", "group", g.id.as_str()));
        let roles = self.roles.iter().map(|r| ("roles", "role", r.id.as_str()));
        let numbered = users.enumerate().chain(groups.enumerate()).chain(roles.enumerate());
        let mut seen = BTreeSet::new();
        let again = numbered.filter(|(_, (_, what, id))| !seen.insert((*what, *id)));
        again
            .map(|(i, (list, what, id))| (format!("/{list}/{i}/id"), format!("the {what} `{id}` is listed twice")))
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn access() -> Access {
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

    pub(crate) fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    pub(crate) fn instant(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_grant_counts_only_where_it_covers_every_service_of_the_change() {
        let may = |services: &[&str]| access().permissions("ada", &set(services), "production");
        assert!(may(&["checkout"]).contains(&Permission::Rollback));
        assert!(may(&["checkout", "search"]).is_empty());
        assert!(access().permissions("eve", &BTreeSet::new(), "production").is_empty());
        assert!(access().may("ada", Permission::Rollback, &set(&["checkout"]), "production"));
        assert!(!access().may("ada", Permission::Rollback, &set(&["search"]), "production"));
    }

    // I10
    #[test]
    fn what_is_about_no_change_needs_a_grant_that_holds_everywhere() {
        let mut table = access();
        table.roles[0].may.insert(Permission::Govern);
        table.roles[0].may.insert(Permission::Audit);
        assert!(table.held("ada").contains(&Permission::Audit));
        assert!(!table.may_everywhere("ada", Permission::Audit));
        assert_eq!(table.governors(), Vec::<&str>::new());
    }

    // I10: people come and go.
    #[test]
    fn who_has_left_may_nothing_and_is_in_no_group_but_stays_listed() {
        let mut gone = access();
        gone.users[1].deactivated = true;
        assert!(gone.held("bob").is_empty() && gone.groups_of("bob").is_empty() && !gone.is_active("bob"));
        assert!(gone.reach("bob", &Limits::default()).is_nothing());
        assert_eq!(gone.users_of_group("sre").collect::<Vec<_>>(), ["ada"]);
        assert!(gone.is_principal("bob") && gone.is_active("ada") && !gone.is_active("eve"));
    }

    // I10
    #[test]
    fn what_has_an_end_holds_until_then_and_without_the_time_it_is_over() {
        let mut table = access();
        table.users[1].until = Some(instant("2026-09-01T00:00:00Z"));
        table.users[0].roles[0].until = Some(instant("2026-08-01T00:00:00Z"));
        assert!(!table.is_active("bob") && table.held("ada").is_empty(), "nobody said what time it is");
        let early = table.clone().at(instant("2026-07-31T23:59:59Z"));
        assert!(early.is_active("bob") && early.held("ada").contains(&Permission::Propose));
        assert_eq!(early.next_end(), Some(instant("2026-08-01T00:00:00Z")));
        let between = early.at(instant("2026-08-01T00:00:00Z"));
        assert!(between.is_active("bob") && between.held("ada").is_empty() && between.is_active("ada"));
        let late = between.at(instant("2026-09-01T00:00:00Z"));
        assert!(!late.is_active("bob"));
        assert_eq!(late.next_end(), None);
    }

    // X21
    #[test]
    fn a_recovered_administrator_governs_for_a_time_and_gets_nothing_else_back() {
        let (now, until) = (instant("2026-09-01T00:00:00Z"), instant("2026-09-01T01:00:00Z"));
        let mut table = access();
        table.users[0].deactivated = true;
        let recovered = |id: &str| table.clone().at(now).with_recovered(id, until);
        let mine = [Permission::Govern, Permission::Audit, Permission::Read];
        assert_eq!(recovered("ada").held("ada"), mine.into(), "her old role stays away");
        assert!(recovered("ada").groups_of("ada").is_empty());
        assert_eq!(recovered("new").governors(), ["new"]);
        assert!(recovered("bob").groups_of("bob").contains("sre"), "who is here keeps what they have");
        assert!(recovered("new").at(until).held("new").is_empty());
    }

    #[test]
    fn a_user_of_one_service_sees_the_changes_that_touch_it() {
        let reach = access().reach("ada", &Limits::default());
        assert!(reach.sees(&set(&["checkout", "search"]), "production"));
        assert!(!reach.sees(&set(&["search"]), "production") && !reach.is_everything());
        assert_eq!(reach.services(), Some(["checkout"].into()));
        assert!(access().reach("bob", &Limits::default()).is_everything());
        assert!(access().reach("eve", &Limits::default()).is_nothing());
    }

    #[test]
    fn dangling_references_and_duplicates_are_named_with_their_place() {
        let mut broken = access();
        broken.users[1].id = "ada".into();
        broken.users[0].roles[0].role = "king".into();
        broken.roles[1].id = "operator".into();
        let places: Vec<_> = broken.problems().into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            places,
            ["/users/1/id", "/roles/1/id", "/users/0/roles/0/role", "/users/1/roles/0/role", "/groups/0/members/1"]
        );
    }
}
