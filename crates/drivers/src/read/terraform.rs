//! Terraform and OpenTofu: the plan as `terraform show -json plan.out` writes it.
//!
//! Keeps addresses, types, actions and the names of the attributes that change; never a value, so that nothing sensitive can leave this reader. A major
//! version of the format that is not known is refused. What types are about is in [`classes`]. The format:
//! <https://developer.hashicorp.com/terraform/internals/json-format>.

mod classes;

use std::collections::BTreeSet;

use change::facts::material::{Action, Actions, Class, InfrastructurePlan, Listed, Origin, Resource};
use serde::Deserialize;
use serde_json::Value;

use super::unread::{Unread, text};

#[derive(Deserialize)]
struct Plan {
    format_version: Option<String>,
    terraform_version: Option<String>,
    #[serde(default)]
    resource_changes: Vec<Change>,
    #[serde(default)]
    resource_drift: Vec<serde::de::IgnoredAny>,
    errored: Option<bool>,
    complete: Option<bool>,
    planned_values: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Change {
    address: String,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    provider_name: String,
    #[serde(default)]
    mode: String,
    change: Delta,
}

#[derive(Deserialize)]
struct Delta {
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
    #[serde(default)]
    before_sensitive: Value,
    #[serde(default)]
    after_sensitive: Value,
}

/// Reads a plan.
///
/// # Errors
/// If it is not JSON, not a plan, or of a format that is not known.
pub fn plan(name: &str, bytes: &[u8]) -> Result<InfrastructurePlan, Unread> {
    let show = "write it with `terraform show -json plan.out > plan.json`";
    let plan: Plan = serde_json::from_str(text(name, bytes)?).map_err(|error| {
        // The category and the place only: the words of the parser may quote a value.
        let what = format!("it is not a plan as JSON (line {}, column {})", error.line(), error.column());
        Unread::new(name, what).help(show)
    })?;
    let Some(version) = plan.format_version.as_deref() else {
        return Err(Unread::new(name, "it has no `format_version`, so it is not a plan").help(show));
    };
    if version.split('.').next() != Some("1") {
        let what =
            format!("its format is version `{}`; version 1 is known", change::facts::material::shortened(version));
        return Err(Unread::new(name, what).help("use a program that writes version 1, or a newer Clearway"));
    }
    if plan.planned_values.is_none() {
        return Err(Unread::new(name, "it has no `planned_values`: it is a state, not a plan").help(show));
    }
    let mut read = InfrastructurePlan {
        from: Origin::of_bytes("terraform", name, bytes),
        version: plan.terraform_version,
        is_complete: plan.complete != Some(false) && plan.errored != Some(true),
        actions: Actions::default(),
        classes: Default::default(),
        unknown_types: BTreeSet::new(),
        lost: 0,
        drifted: u32::try_from(plan.resource_drift.len()).unwrap_or(u32::MAX),
        resources: Listed::default(),
    };
    let mut resources = Vec::new();
    for change in &plan.resource_changes {
        read_change(change, &mut read, &mut resources);
    }
    resources.sort_by(|a, b| (b.action, b.classes.len(), &a.address).cmp(&(a.action, a.classes.len(), &b.address)));
    read.resources = Listed::of(resources);
    Ok(read)
}

fn read_change(change: &Change, plan: &mut InfrastructurePlan, resources: &mut Vec<Resource>) {
    // What a data source reads is no change, whatever it is called.
    let action = if change.mode == "data" { Action::Read } else { action(&change.change.actions) };
    *counter(&mut plan.actions, action) += 1;
    if matches!(action, Action::NoOp | Action::Read) {
        return;
    }
    let attributes = changed(&change.change);
    let known = classes::of(&change.provider_name, &change.type_name);
    if known.is_none() {
        plan.unknown_types.insert(change.type_name.clone());
    }
    let mut classes = known.unwrap_or_else(|| Class::ALL.into());
    classes.extend(attributes.iter().filter_map(|name| classes::of_attribute(name)));
    for class in &classes {
        *plan.classes.entry(*class).or_default() += 1;
    }
    let destroys = matches!(action, Action::Delete | Action::Replace | Action::Other);
    plan.lost += u32::from(destroys && classes.contains(&Class::Stateful));
    let (address, type_name) = (change.address.clone(), change.type_name.clone());
    resources.push(Resource { address, type_name, action, classes, attributes });
}

fn action(actions: &[String]) -> Action {
    let names: Vec<&str> = actions.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["no-op"] => Action::NoOp,
        ["read"] => Action::Read,
        ["create"] => Action::Create,
        ["update"] => Action::Update,
        ["delete"] => Action::Delete,
        ["forget"] => Action::Forget,
        ["delete", "create"] | ["create", "delete"] => Action::Replace,
        // The old one is left alone where it stands, and a new one made.
        ["create", "forget"] | ["forget", "create"] => Action::Replace,
        _ => Action::Other,
    }
}

fn counter(actions: &mut Actions, action: Action) -> &mut u32 {
    match action {
        Action::NoOp => &mut actions.no_op,
        Action::Read => &mut actions.read,
        Action::Create => &mut actions.create,
        Action::Update => &mut actions.update,
        Action::Forget => &mut actions.forget,
        Action::Replace => &mut actions.replace,
        Action::Delete => &mut actions.delete,
        Action::Other => &mut actions.other,
    }
}

/// The names of the attributes that differ, that are not known yet, or whose sensitivity changes.
fn changed(delta: &Delta) -> Vec<String> {
    let names: BTreeSet<&String> = [&delta.before, &delta.after, &delta.after_unknown]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|o| o.keys())
        .collect();
    let differs = |name: &str| {
        let (before, after) = (delta.before.get(name), delta.after.get(name));
        before.unwrap_or(&Value::Null) != after.unwrap_or(&Value::Null)
            || holds_true(delta.after_unknown.get(name))
            || holds_true(delta.before_sensitive.get(name)) != holds_true(delta.after_sensitive.get(name))
    };
    names.into_iter().filter(|name| differs(name)).cloned().collect()
}

fn holds_true(marks: Option<&Value>) -> bool {
    match marks {
        Some(Value::Bool(mark)) => *mark,
        Some(Value::Array(items)) => items.iter().any(|item| holds_true(Some(item))),
        Some(Value::Object(fields)) => fields.values().any(|field| holds_true(Some(field))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(type_name: &str, actions: &[&str]) -> Value {
        json!({"address": format!("{type_name}.x"), "type": type_name, "mode": "managed",
            "provider_name": "registry.terraform.io/hashicorp/aws",
            "change": {"actions": actions, "before": {"name": "a"}, "after": {"name": "b"}, "after_unknown": {}}})
    }

    fn read(changes: &[Value]) -> Result<InfrastructurePlan, Unread> {
        let plan = json!({"format_version": "1.2", "terraform_version": "1.9.0", "planned_values": {}, "resource_changes": changes});
        plan_of(&plan)
    }

    fn plan_of(value: &Value) -> Result<InfrastructurePlan, Unread> {
        plan("plan.json", value.to_string().as_bytes())
    }

    // L5, LC2: every action is counted, and what resources are about is known.
    #[test]
    fn actions_are_counted_and_resources_classified() {
        let found = read(&[
            change("aws_iam_role", &["update"]),
            change("aws_db_instance", &["delete", "create"]),
            change("aws_s3_bucket", &["delete"]),
            change("aws_instance", &["create"]),
            change("aws_security_group_rule", &["create"]),
            change("aws_kms_key", &["update"]),
            change("aws_instance", &["no-op"]),
            change("aws_instance", &["read"]),
            change("aws_instance", &["forget"]),
            change("aws_instance", &["explode"]),
        ])
        .expect("a plan");
        let a = found.actions;
        assert_eq!(
            (a.create, a.update, a.delete, a.replace, a.read, a.no_op, a.forget, a.other),
            (2, 2, 1, 1, 1, 1, 1, 1)
        );
        let classes: Vec<_> = found.classes.iter().map(|(c, n)| (*c, *n)).collect();
        assert_eq!(classes, [(Class::Iam, 1), (Class::Network, 1), (Class::Encryption, 1), (Class::Stateful, 2)]);
        assert_eq!((found.lost, found.unknown_types.len(), found.resources.total), (2, 0, 8));
    }

    #[test]
    fn a_type_that_nobody_knows_is_of_every_class_and_named() {
        let mut foreign = change("acme_widget", &["delete"]);
        foreign["provider_name"] = json!("registry.terraform.io/acme/acme");
        let mut posing = change("aws_instance", &["update"]);
        posing["provider_name"] = json!("registry.example.com/evil/aws");
        let found = read(&[foreign, posing, change("aws_brand_new_thing", &["update"])]).expect("a plan");
        assert_eq!(
            found.unknown_types.iter().map(String::as_str).collect::<Vec<_>>(),
            ["acme_widget", "aws_brand_new_thing", "aws_instance"]
        );
        assert!(Class::ALL.iter().all(|class| found.classes[class] == 3));
        assert_eq!(found.lost, 1);
    }

    // F7: no value of any attribute is kept, sensitive or not, in facts or in errors.
    #[test]
    fn no_value_leaves_the_reader() {
        let mut secret = change("aws_db_instance", &["update"]);
        secret["change"] = json!({"actions": ["update"], "before": {"password": "hunter2-old", "tags": {"a": "plain-value"}},
            "after": {"password": "hunter2-new", "tags": {"a": "plain-value"}}, "after_unknown": {"arn": true},
            "before_sensitive": {"password": true}, "after_sensitive": {"password": true}});
        let found = read(&[secret]).expect("a plan");
        assert_eq!(found.resources.list[0].attributes, ["arn", "password"]);
        let kept = format!("{found:?}");
        assert!(!kept.contains("hunter2") && !kept.contains("plain-value"), "{kept}");
        let broken = r#"{"format_version": "1.2", "resource_changes": "hunter2"}"#;
        let error = plan("p", broken.as_bytes()).expect_err("not a list");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_sensitive_attribute_alone_says_that_it_changed() {
        let mut becomes = change("aws_instance", &["update"]);
        becomes["change"] = json!({"actions": ["update"], "before": {"x": 1}, "after": {"x": 1}, "after_unknown": false,
            "before_sensitive": false, "after_sensitive": {"x": true}});
        assert_eq!(read(&[becomes]).expect("a plan").resources.list[0].attributes, ["x"]);
    }

    #[test]
    fn what_is_not_a_plan_of_a_known_format_is_refused_with_what_to_do() {
        let message = |value: Value| plan_of(&value).expect_err("no plan").to_string();
        assert_eq!(
            message(json!({"format_version": "2.0", "planned_values": {}})),
            "`plan.json`: its format is version `2.0`; version 1 is known"
        );
        assert_eq!(
            message(json!({"format_version": "1.0", "values": {}})),
            "`plan.json`: it has no `planned_values`: it is a state, not a plan"
        );
        assert_eq!(message(json!({})), "`plan.json`: it has no `format_version`, so it is not a plan");
        assert!(plan("p", b"\xff\xfe").expect_err("no text").to_string().contains("not UTF-8"));
        assert!(plan("p", b"Terraform will perform").is_err());
        let twice = br#"{"format_version": "1.0", "format_version": "1.0", "planned_values": {}}"#;
        assert!(plan("p", twice).is_err(), "a field that is there twice is no plan");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(plan("p", deep.as_bytes()).is_err());
        assert!(plan("p", &vec![b' '; super::super::unread::MOST_FILE_BYTES + 1]).is_err());
    }

    #[test]
    fn a_plan_of_ten_thousand_resources_keeps_the_heaviest() {
        let mut changes: Vec<Value> = (0..10_000).map(|_| change("aws_instance", &["update"])).collect();
        changes.push(change("aws_db_instance", &["delete"]));
        let found = read(&changes).expect("a plan");
        assert_eq!((found.resources.total, found.resources.list[0].type_name.as_str()), (10_001, "aws_db_instance"));
        assert!(found.resources.list.len() < 10_000);
    }

    #[test]
    fn a_plan_with_an_error_in_it_is_not_complete() {
        let plan = |more: Value| {
            let mut plan = json!({"format_version": "1.2", "planned_values": {}});
            plan.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            plan_of(&plan).expect("a plan").is_complete
        };
        assert!(plan(json!({})));
        assert!(!plan(json!({"errored": true})));
        assert!(!plan(json!({"complete": false})));
    }
}
