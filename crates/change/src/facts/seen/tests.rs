//! What policy sees: each unknown on the heavier side, and who stands behind the commits.

use super::*;
use crate::facts::material::{Actions, FileChange, Form, Hazard, How, InfrastructurePlan, Listed, Range, Statement};

fn range(paths: &[&str]) -> Range {
    let file = |path: &&str| FileChange {
        path: (*path).into(),
        was: None,
        how: How::Modified,
        form: Form::Text,
        added: 2,
        removed: 1,
        mode: None,
    };
    let id = "0".repeat(40);
    Range {
        from: Origin { tool: "git".into(), name: "a..b".into(), digest: None },
        base: id.clone(),
        head: id.clone(),
        merge_base: id,
        added: 2,
        removed: 1,
        files: Listed::of(paths.iter().map(file).collect()),
        commits: Listed::default(),
        people: Listed::default(),
        unsigned: 0,
    }
}

fn of_files(paths: &[&str]) -> Material {
    Paths::default().receive(Material { range: Some(range(paths)), ..Material::default() })
}

fn seen(material: &Material, declared: Kind) -> Seen {
    Seen::of(material, declared, &Paths::default(), &Access::default())
}

// LC2, PR5: a change of documents is known as one; a link, a list that was cut, or a plan beside it makes it another.
#[test]
fn only_documents_are_only_documents() {
    let docs = of_files(&["README.md", "docs/a.md"]);
    assert!(seen(&docs, Kind::Docs).only_docs);
    assert!(!seen(&docs, Kind::Docs).kind_understated);
    assert!(!seen(&of_files(&["README.md", "src/main.rs"]), Kind::Docs).only_docs);
    assert!(!seen(&of_files(&["README.md", "tests/a.rs"]), Kind::Docs).only_docs);
    let mut cut = docs.clone();
    let files = &mut cut.range.as_mut().expect("a range").files;
    files.total = 90;
    let cut = seen(&Paths::default().receive(cut), Kind::Docs);
    assert!(!cut.only_docs && cut.kind_understated, "a file that was not sent may be anything");
    let with_plan = Material { plan: Some(plan_of_unknown()), ..docs };
    assert!(!seen(&with_plan, Kind::Docs).only_docs);
}

#[test]
fn a_kind_lighter_than_the_heaviest_touched_is_understated() {
    let material = of_files(&["src/main.rs", "infra/iam.tf"]);
    for (declared, understated) in [(Kind::Code, true), (Kind::Infrastructure, true), (Kind::Access, false)] {
        assert_eq!(seen(&material, declared).kind_understated, understated, "{declared}");
    }
    assert_eq!(seen(&material, Kind::Code).heaviest, Some(Kind::Access));
}

fn plan_of_unknown() -> InfrastructurePlan {
    InfrastructurePlan {
        from: Origin { tool: "terraform".into(), name: "plan.json".into(), digest: None },
        version: None,
        is_complete: true,
        actions: Actions { update: 1, ..Actions::default() },
        classes: Class::ALL.into_iter().map(|class| (class, 1)).collect(),
        unknown_types: ["acme_thing".to_owned()].into(),
        lost: 0,
        drifted: 0,
        resources: Listed::default(),
    }
}

#[test]
fn a_plan_touches_the_kinds_of_its_resources_whatever_its_files_are_called() {
    let seen = seen(&Material { plan: Some(plan_of_unknown()), ..Material::default() }, Kind::Infrastructure);
    assert_eq!(seen.heaviest, Some(Kind::Access));
    assert!(seen.kind_understated);
}

// X3: what nothing undoes is found, and named with its place.
#[test]
fn a_migration_that_nothing_undoes_makes_the_change_irreversible_and_is_named() {
    let statement =
        Statement { place: "m/1.sql:3".into(), what: "drops a column".into(), risks: [Hazard::Irreversible].into() };
    let mut risky = Listed::default();
    risky.push(statement);
    let migrations = Migrations { statements: 1, irreversible: 1, risky, ..Migrations::default() };
    let found = Reversible::of(Some(&Material { migrations: Some(migrations), ..Material::default() }));
    assert_eq!(found.answer, Answer::No);
    assert_eq!(found.reasons, ["statements of migrations that nothing undoes: 1 (m/1.sql:3: drops a column)"]);
}

#[test]
fn nobody_knows_the_way_back_where_nothing_was_given_to_read() {
    assert_eq!(Reversible::of(None).answer, Answer::Unknown);
    assert_eq!(Reversible::of(Some(&of_files(&["migrations/1.sql"]))).answer, Answer::Unknown);
    assert_eq!(Reversible::of(Some(&of_files(&["main.tf"]))).answer, Answer::Unknown);
    assert_eq!(Reversible::of(Some(&of_files(&["src/main.rs"]))).answer, Answer::Yes);
}

fn access() -> Access {
    // The fingerprint of this key, by `ssh-keygen -lf`.
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f bob";
    serde_json::from_value(serde_json::json!({
        "users": [{"id": "ada", "emails": ["Ada@Example.com"]}, {"id": "bob", "keys": [key]}],
    }))
    .expect("an access table")
}

fn person(email: &str, key: Option<&str>) -> Committer {
    Committer { name: "Somebody".into(), email: email.into(), key: key.map(str::to_owned) }
}

#[test]
fn a_committer_is_known_by_key_before_the_address_that_anybody_can_write() {
    let fingerprint = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA";
    let access = access();
    assert_eq!(access.user_of_commit(&person("ada@example.com", None)), Some("ada"));
    assert_eq!(access.user_of_commit(&person("ada@example.com", Some(fingerprint))), Some("bob"));
    assert_eq!(access.user_of_commit(&person("ada@example.com", Some("SHA256:another"))), Some("ada"));
    assert_eq!(access.user_of_commit(&person("eve@example.com", None)), None);
    assert_eq!(access.user_of_commit(&person("", None)), None);
}

#[test]
fn committers_are_users_or_unknown_and_a_list_that_was_cut_says_so() {
    let mut material = of_files(&["a.md"]);
    let people = &mut material.range.as_mut().expect("a range").people;
    people.push(person("ada@example.com", None));
    people.push(person("eve@example.com", None));
    let commits = |m: &Material| Seen::of(m, Kind::Docs, &Paths::default(), &access()).commits.expect("a range");
    let all = commits(&material);
    assert_eq!((all.users, all.unknown), (["ada".to_owned()].into(), ["eve@example.com".to_owned()].into()));
    assert!(!all.all_named, "one of them is a stranger");
    let people = &mut material.range.as_mut().expect("a range").people;
    *people = Default::default();
    people.push(person("ada@example.com", None));
    assert!(commits(&material).all_named);
    material.range.as_mut().expect("a range").people.total = 3;
    assert!(!commits(&material).all_named);
}
