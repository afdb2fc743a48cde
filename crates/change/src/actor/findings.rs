//! Findings: what an access table says that nobody can have meant.
//!
//! None of it stops a load; references to what does not exist do that, in [`Access::problems`]. Each says what it is and where.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::Permission;
use super::access::{Access, UserKind};
use crate::catalog::Catalog;
use crate::document::{all, nearest};

/// Something in an access table to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    pub sentence: String,
    /// Where it stands, such as `access.yaml:12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Access {
    /// Everything to look at, in the order of the file. Services are compared with the catalog, if it has any.
    pub fn findings(&self, catalog: &Catalog) -> Vec<Finding> {
        let of_users = (0..self.users.len()).flat_map(|i| self.of_user(i, catalog));
        let of_all = self.shared().into_iter().chain(self.nobody());
        of_users.chain(self.of_groups()).chain(self.of_roles()).chain(of_all).collect()
    }

    fn finding(&self, pointer: &str, sentence: String) -> Finding {
        Finding { sentence, place: self.place(pointer) }
    }

    fn of_user(&self, i: usize, catalog: &Catalog) -> Vec<Finding> {
        let user = &self.users[i];
        let at = format!("/users/{i}");
        let mut found = Vec::new();
        if user.roles.is_empty() && self.is_here(user) {
            found.push(self.finding(&at, format!("the user `{}` has no role and can read nothing", user.id)));
        }
        if user.kind == UserKind::Machine && self.is_here(user) && self.held(&user.id).contains(&Permission::Approve) {
            found.push(self.finding(&at, format!("`{}` is a machine and may approve", user.id)));
        }
        let known: Vec<&str> = catalog.services().iter().map(|s| s.name.as_str()).collect();
        for (j, grant) in user.roles.iter().enumerate() {
            let at = format!("{at}/roles/{j}");
            if self.is_here(user) && !self.still_holds(grant) {
                let end = grant.until.map(|end| format!(" at {end}")).unwrap_or_default();
                found.push(self.finding(&at, format!("the role `{}` of `{}` has ended{end}", grant.role, user.id)));
            }
            let dead = grant.on.services.iter().filter(|s| !known.is_empty() && !known.contains(&s.as_str()));
            found.extend(dead.map(|service| {
                let near = nearest(service, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
                let sentence = format!(
                    "the role `{}` of `{}` names the service `{service}`, which the catalog does not have{}",
                    grant.role,
                    user.id,
                    near.unwrap_or_default()
                );
                self.finding(&at, sentence)
            }));
        }
        found
    }

    fn of_groups(&self) -> Vec<Finding> {
        let empty = self.groups.iter().enumerate().filter(|(_, group)| self.users_of_group(&group.id).next().is_none());
        empty
            .map(|(i, group)| {
                let why = if group.members.is_empty() { "has no members" } else { "has only members who have left" };
                self.finding(
                    &format!("/groups/{i}"),
                    format!("the group `{}` {why}: what asks for it never passes", group.id),
                )
            })
            .collect()
    }

    fn of_roles(&self) -> Vec<Finding> {
        let used: BTreeSet<&str> = self.users.iter().flat_map(|u| &u.roles).map(|grant| grant.role.as_str()).collect();
        let unused = self.roles.iter().enumerate().filter(|(_, role)| !used.contains(role.id.as_str()));
        let of_unused =
            unused.map(|(i, role)| self.finding(&format!("/roles/{i}"), format!("nobody has the role `{}`", role.id)));
        let idle = self.roles.iter().enumerate().filter(|(_, role)| role.may.is_empty());
        let of_idle = idle
            .map(|(i, role)| self.finding(&format!("/roles/{i}"), format!("the role `{}` allows nothing", role.id)));
        of_unused.chain(of_idle).collect()
    }

    /// E-mails and keys that more than one user claims: a commit or a signature would be of either.
    fn shared(&self) -> Vec<Finding> {
        let mut owners: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
        for (i, user) in self.users.iter().enumerate() {
            let emails = user.emails.iter().map(|e| ("e-mail address", e.trim().to_lowercase()));
            let keys = user.keys.iter().map(|k| ("key", k.split_whitespace().take(2).collect::<Vec<_>>().join(" ")));
            for one in emails.chain(keys).collect::<BTreeSet<_>>() {
                owners.entry(one).or_default().push(i);
            }
        }
        let several = owners.into_iter().filter(|(_, users)| users.len() > 1);
        several
            .map(|((what, value), users)| {
                let names = all(users.iter().map(|i| self.users[*i].id.as_str()));
                let short: String = value.chars().take(60).collect();
                self.finding(&format!("/users/{}", users[1]), format!("the {what} `{short}` is given to {names}"))
            })
            .collect()
    }

    fn nobody(&self) -> Option<Finding> {
        match self.governors().as_slice() {
            [] => Some(self.finding("", "nobody may `govern` everywhere".into())),
            [only] => Some(self.finding("", format!("only `{only}` may `govern` everywhere: name a second one"))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::tests::{access, instant};
    use super::*;
    use crate::catalog::Service;

    fn catalog(names: &[&str]) -> Catalog {
        let service = |name: &&str| -> Service {
            serde_json::from_value(serde_json::json!({"name": name, "owner": "ada"})).expect("a service")
        };
        Catalog::new(names.iter().map(service).collect())
    }

    #[test]
    fn what_nobody_can_have_meant_is_found() {
        let table: Access = serde_json::from_value(serde_json::json!({
            "users": [
                {"id": "ada", "emails": ["Ada@example.com"], "keys": ["ssh-ed25519 AAAA ada@home"],
                 "roles": [{"role": "lead"}, {"role": "lead", "on": {"services": ["chekout"]}}]},
                {"id": "bob", "emails": ["ada@example.com "], "keys": ["ssh-ed25519 AAAA bob@work"]},
                {"id": "robot", "kind": "machine", "roles": [{"role": "lead", "on": {"services": ["checkout"]}, "until": "2026-01-01T00:00:00Z"}, {"role": "voter"}]},
                {"id": "gone", "deactivated": true},
            ],
            "groups": [{"id": "sre", "members": ["gone"]}, {"id": "empty", "members": []}, {"id": "fine", "members": ["ada"]}],
            "roles": [{"id": "lead", "may": ["govern", "read"]}, {"id": "voter", "may": ["approve"]}, {"id": "idle", "may": []}],
        }))
        .expect("an access table");
        let found = table.at(instant("2026-09-01T00:00:00Z")).findings(&catalog(&["checkout"]));
        let lines: Vec<String> = found.into_iter().map(|f| f.sentence).collect();
        expect_test::expect![[r#"
            the role `lead` of `ada` names the service `chekout`, which the catalog does not have; did you mean `checkout`?
            the user `bob` has no role and can read nothing
            `robot` is a machine and may approve
            the role `lead` of `robot` has ended at 2026-01-01T00:00:00Z
            the group `sre` has only members who have left: what asks for it never passes
            the group `empty` has no members: what asks for it never passes
            nobody has the role `idle`
            the role `idle` allows nothing
            the e-mail address `ada@example.com` is given to `ada` and `bob`
            the key `ssh-ed25519 AAAA` is given to `ada` and `bob`
            only `ada` may `govern` everywhere: name a second one"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn without_a_catalog_no_service_is_missed() {
        let found = access().findings(&Catalog::default());
        let lines: Vec<String> = found.into_iter().map(|f| f.sentence).collect();
        assert_eq!(lines, ["nobody may `govern` everywhere"]);
    }
}
