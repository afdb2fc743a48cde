//! The index: who may what and who is where, found by name.
//!
//! Made once of an [`Access`], at the first question; a table of some thousand users is asked a million times a second. Holds nothing that the table does
//! not say. Whoever has left holds nothing and is in no group.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Access;
use super::{Permission, Scope, UserKind};

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By id.
    users: Vec<Entry>,
    members: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    is_active: bool,
    is_machine: bool,
    grants: Vec<Held>,
    groups: BTreeSet<String>,
}

/// A grant that holds now, with what its role allows.
#[derive(Debug)]
pub(super) struct Held {
    pub may: Allowed,
    pub scope: Scope,
}

/// A set of permissions in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed(u16);

impl Allowed {
    fn of(permissions: &BTreeSet<Permission>) -> Self {
        Self(permissions.iter().fold(0, |bits, p| bits | Self::bit(*p)))
    }

    fn bit(permission: Permission) -> u16 {
        1 << permission as u16
    }

    pub(super) fn has(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn to_set(self) -> BTreeSet<Permission> {
        Permission::ALL.into_iter().filter(|p| self.has(*p)).collect()
    }
}

impl Index {
    pub(super) fn of(access: &Access) -> Self {
        let roles: BTreeMap<&str, Allowed> =
            access.roles.iter().map(|r| (r.id.as_str(), Allowed::of(&r.may))).collect();
        let entry = |user: &super::User| {
            let is_active = access.is_here(user);
            let holds = |grant: &&super::Grant| is_active && access.still_holds(grant);
            let held = |grant: &super::Grant| {
                let may = roles.get(grant.role.as_str()).copied().unwrap_or_default();
                Held { may, scope: grant.on.clone() }
            };
            let grants = user.roles.iter().filter(holds).map(held).collect();
            Entry {
                id: user.id.clone(),
                is_active,
                is_machine: user.kind == UserKind::Machine,
                grants,
                groups: BTreeSet::new(),
            }
        };
        let mut users: Vec<Entry> = access.users.iter().map(entry).collect();
        users.sort_by(|a, b| a.id.cmp(&b.id));
        let mut index = Self { users, members: BTreeMap::new() };
        access.groups.iter().for_each(|group| index.put(group));
        index
    }

    fn put(&mut self, group: &super::Group) {
        let members = self.members.entry(group.id.clone()).or_default();
        for member in &group.members {
            let Ok(at) = self.users.binary_search_by(|entry| entry.id.as_str().cmp(member)) else { continue };
            if self.users[at].is_active {
                self.users[at].groups.insert(group.id.clone());
                members.insert(member.clone());
            }
        }
    }

    fn user(&self, id: &str) -> Option<&Entry> {
        self.users.binary_search_by(|entry| entry.id.as_str().cmp(id)).ok().map(|at| &self.users[at])
    }

    pub(super) fn is_active(&self, id: &str) -> bool {
        self.user(id).is_some_and(|entry| entry.is_active)
    }

    pub(super) fn is_machine(&self, id: &str) -> bool {
        self.user(id).is_some_and(|entry| entry.is_machine)
    }

    pub(super) fn grants(&self, id: &str) -> &[Held] {
        self.user(id).map_or(&[], |entry| &entry.grants)
    }

    pub(super) fn groups_of(&self, id: &str) -> Option<&BTreeSet<String>> {
        self.user(id).map(|entry| &entry.groups)
    }

    pub(super) fn members(&self, group: &str) -> Option<&BTreeSet<String>> {
        self.members.get(group)
    }
}
