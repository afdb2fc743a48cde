//! Explaining: why somebody may do something, or may not.
//!
//! Reads the same table and the same scopes as the answers do, and names each grant that counted and each that failed, with its line. What only the core
//! knows of one change (its author, the groups that are asked) is added by whoever asks it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::access::{Access, Grant, RECOVERED, User};
use super::action::{Row, Where};
use super::{Limits, Permission};
use crate::document::list;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub user: &'a str,
    pub row: &'a Row,
    /// The change that it is about; somewhere, if absent.
    pub subject: Option<Subject<'a>>,
    /// What a token leaves.
    pub limits: &'a Limits,
}

/// What a change says of itself that access depends on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub services: &'a BTreeSet<String>,
    pub environment: &'a str,
}

/// Yes or no, and because of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    pub user: String,
    pub action: String,
    pub allowed: bool,
    pub because: Vec<Because>,
}

/// One thing that speaks for it, or against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Because {
    /// Whether it speaks for it.
    pub holds: bool,
    pub sentence: String,
    /// Where that stands, such as `access.yaml:12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Because {
    pub fn new(holds: bool, sentence: impl Into<String>) -> Self {
        Self { holds, sentence: sentence.into(), place: None }
    }

    fn at(self, place: Option<String>) -> Self {
        Self { place, ..self }
    }
}

impl Explanation {
    /// The same with something more against it.
    #[must_use]
    pub fn but(mut self, sentence: impl Into<String>) -> Self {
        self.allowed = false;
        self.because.push(Because::new(false, sentence));
        self
    }

    /// The same with a remark that changes nothing.
    #[must_use]
    pub fn and(mut self, sentence: impl Into<String>) -> Self {
        self.because.push(Because::new(self.allowed, sentence));
        self
    }
}

impl Access {
    /// Whether a user may do what is asked, and why.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let answer = |allowed: bool, because| Explanation {
            user: question.user.to_owned(),
            action: question.row.action.to_owned(),
            allowed,
            because,
        };
        let Some((i, user)) = self.users.iter().enumerate().find(|(_, user)| user.id == question.user) else {
            return answer(
                false,
                vec![Because::new(false, format!("there is no user `{}` in access.yaml", question.user))],
            );
        };
        if !self.is_here(user) {
            return answer(false, vec![Because::new(false, left(user)).at(self.place(&format!("/users/{i}")))]);
        }
        let mut because: Vec<Because> =
            user.roles.iter().enumerate().flat_map(|(j, grant)| self.of_grant(question, grant, i, j)).collect();
        let granted = because.iter().any(|one| one.holds);
        if because.is_empty() {
            let sentence = match question.row.needs {
                Some(needs) => {
                    let enough = std::iter::once(needs).chain(question.row.instead).map(|one| one.to_string());
                    let enough: Vec<String> = enough.collect();
                    format!("no role of `{}` allows {}", user.id, list(enough.iter().map(String::as_str)))
                }
                None => format!("`{}` has no role", user.id),
            };
            because.push(Because::new(false, sentence).at(self.place(&format!("/users/{i}"))));
        }
        let gap = token_gap(question);
        because.extend(gap.clone().map(|gap| Because::new(false, format!("the token {gap}"))));
        answer(granted && gap.is_none(), because)
    }

    /// What a grant says to a question; nothing where its role is about something else.
    fn of_grant(&self, question: &Question<'_>, grant: &Grant, i: usize, j: usize) -> Option<Because> {
        let role = self.roles.iter().find(|role| role.id == grant.role)?;
        let is_about_it = match question.row.needs {
            Some(_) => role.may.iter().any(|permission| question.row.is_allowed_by(*permission)),
            None => !role.may.is_empty(),
        };
        if !is_about_it {
            return None;
        }
        let held = role.may.iter().find(|permission| question.row.is_allowed_by(**permission));
        let what = held.map_or_else(|| "something".to_owned(), |held| format!("`{held}`"));
        let name = if role.id == RECOVERED {
            "the recovery on the machine itself".to_owned()
        } else {
            format!("the role `{}`", role.id)
        };
        let says = format!("{name} allows {what} {}", grant.on.in_words());
        let (holds, sentence) = match self.gap_of(question, grant) {
            None => (true, says),
            Some(gap) => (false, format!("{says}, which {gap}")),
        };
        Some(Because::new(holds, sentence).at(self.place(&format!("/users/{i}/roles/{j}"))))
    }

    fn gap_of(&self, question: &Question<'_>, grant: &Grant) -> Option<String> {
        if !self.still_holds(grant) {
            return Some(grant.until.map_or_else(|| "has ended".to_owned(), |end| format!("ended at {end}")));
        }
        match (question.row.reach, question.subject) {
            (Where::Everywhere, _) => (!grant.on.is_everywhere()).then(|| "has to be everywhere".to_owned()),
            (_, None) => None,
            (Where::EveryService, Some(subject)) => grant.on.gap(subject.services, subject.environment),
            (Where::OneService, Some(subject)) => {
                let touches = grant.on.touches(subject.services, subject.environment);
                (!touches).then(|| {
                    let services = list(subject.services.iter().map(String::as_str));
                    format!("is none of {services} in `{}`", subject.environment)
                })
            }
        }
    }
}

fn left(user: &User) -> String {
    match user.until {
        _ if user.deactivated => format!("`{}` is deactivated", user.id),
        Some(end) => format!("`{}` was here until {end}", user.id),
        None => format!("`{}` has left", user.id),
    }
}

fn token_gap(question: &Question<'_>) -> Option<String> {
    let (limits, needs) = (question.limits, question.row.needs);
    let left = |needs: Permission| limits.leave(needs) || question.row.instead.is_some_and(|one| limits.leave(one));
    if needs.is_some_and(|needs| !left(needs)) {
        return needs.map(|needs: Permission| format!("is not for `{needs}`"));
    }
    match (question.row.reach, question.subject) {
        (Where::Everywhere, _) => {
            (!limits.on.is_everywhere()).then(|| format!("is only for changes {}", limits.on.in_words()))
        }
        (Where::EveryService, Some(subject)) => limits.on.gap(subject.services, subject.environment),
        (Where::OneService, Some(subject)) if !limits.on.touches(subject.services, subject.environment) => {
            limits.on.gap(subject.services, subject.environment)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::tests::{access, instant, set};
    use super::super::{Scope, row};
    use super::*;
    use crate::document::Document;

    fn ask(table: &Access, user: &str, action: &str, services: &[&str], limits: &Limits) -> String {
        let services = set(services);
        let subject = Some(Subject { services: &services, environment: "production" });
        let row = row(action).expect("an action of the table");
        let answer = table.explain(&Question { user, row, subject, limits });
        let lines = answer.because.iter().map(|one| {
            let place = one.place.as_deref().map(|place| format!(" ({place})")).unwrap_or_default();
            format!("{} {}{place}", if one.holds { "+" } else { "-" }, one.sentence)
        });
        std::iter::once(if answer.allowed { "yes".to_owned() } else { "no".to_owned() })
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    }

    // I10
    #[test]
    fn an_answer_names_the_grant_that_counted_or_the_gap_of_each() {
        let none = Limits::default();
        expect_test::expect![[r#"
            yes
            + the role `operator` allows `rollback` on `checkout`"#]]
        .assert_eq(&ask(&access(), "ada", "rollback", &["checkout"], &none));
        expect_test::expect![[r#"
            no
            - the role `operator` allows `rollback` on `checkout`, which does not cover the service `search`"#]]
        .assert_eq(&ask(&access(), "ada", "rollback", &["checkout", "search"], &none));
        expect_test::expect![[r#"
            no
            - no role of `bob` allows `rollback`"#]]
        .assert_eq(&ask(&access(), "bob", "rollback", &["checkout"], &none));
        expect_test::expect![[r#"
            no
            - there is no user `eve` in access.yaml"#]]
        .assert_eq(&ask(&access(), "eve", "read", &["checkout"], &none));
        expect_test::expect![[r#"
            no
            - the role `operator` allows something on `checkout`, which is none of `search` in `production`"#]]
        .assert_eq(&ask(&access(), "ada", "read", &["search"], &none));
    }

    #[test]
    fn what_is_about_all_changes_is_refused_to_who_has_some_services_whatever_the_permission() {
        let none = Limits::default();
        assert!(
            ask(&access(), "ada", "measure", &[], &none).starts_with("no\n- the role `operator` allows something on")
        );
        assert!(ask(&access(), "bob", "measure", &[], &none).starts_with("yes\n"));
        let some = Limits {
            may: None,
            on: Scope { services: vec!["checkout".into()], environments: vec![] },
            ..Limits::default()
        };
        assert!(
            ask(&access(), "bob", "measure", &[], &some).ends_with("- the token is only for changes on `checkout`")
        );
    }

    #[test]
    fn a_token_that_leaves_less_is_said_beside_the_grant() {
        let limits = Limits { may: Some([Permission::Propose].into()), ..Limits::default() };
        expect_test::expect![[r#"
            no
            + the role `operator` allows `rollback` on `checkout`
            - the token is not for `rollback`"#]]
        .assert_eq(&ask(&access(), "ada", "rollback", &["checkout"], &limits));
    }

    #[test]
    fn who_has_left_is_told_so_and_lines_of_the_file_are_named() {
        let text = "users:\n  - id: ada\n    roles:\n      - role: lead\n  - {id: bob, deactivated: true}\nroles:\n  - {id: lead, may: [govern]}\n";
        let document = Document::from_yaml(text).expect("YAML");
        let table: Access = document.read().expect("an access table");
        let table = table.read_from(&document).at(instant("2026-09-01T00:00:00Z"));
        let none = Limits::default();
        expect_test::expect![[r#"
            yes
            + the role `lead` allows `govern` everywhere (access.yaml:4)"#]]
        .assert_eq(&ask(&table, "ada", "govern", &[], &none));
        expect_test::expect![[r#"
            no
            - `bob` is deactivated (access.yaml:5)"#]]
        .assert_eq(&ask(&table, "bob", "read", &["checkout"], &none));
    }

    // I10: the explanation and the answer are two readings of one table.
    #[test]
    fn what_is_explained_is_what_is_decided() {
        let table = access();
        let services = [set(&["checkout"]), set(&["search"]), set(&["checkout", "search"])];
        for (user, services) in ["ada", "bob", "eve"].into_iter().flat_map(|u| services.iter().map(move |s| (u, s))) {
            for row in super::super::TABLE.iter().filter(|row| row.reach == Where::EveryService) {
                let subject = Some(Subject { services, environment: "production" });
                let explained = table.explain(&Question { user, row, subject, limits: &Limits::default() }).allowed;
                let decided = row.needs.is_some_and(|p| table.permissions(user, services, "production").contains(&p));
                assert_eq!(explained, decided, "{user} {} {services:?}", row.action);
            }
        }
    }
}
