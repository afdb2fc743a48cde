//! Tests of standard changes: what a template refuses, what its parameters can't do, and until when it counts.

use serde_json::json;

use super::*;
use crate::governance::Governance;

const POOL: &str = r#"id: checkout-pool
title: Size the connection pool of checkout
owner: ada
parameters:
  size: {description: connections, minimum: 8, maximum: 64, default: 32}
  version: {pattern: 'v[0-9]+', example: v7}
  region: {one_of: [north, south]}
  note: {pattern: '.*', default: ''}
change:
  title: "Pool of checkout: ${size} in ${region}"
  description: "${note}, and $${not a place}"
  kind: config
  owner: ada
  services: [checkout]
  environment: production
  plan:
    strategy: canary
    target: {driver: paper, pool: "${size}", image: "shop:${version}"}
    steps: [{weight: 50%, bake: 5m}, {weight: 100%, bake: 5m}]
  rollback: {automatic: true}
review_by: 2026-12-31
"#;

fn document(text: &str) -> Document {
    Document::from_yaml(text).expect("YAML")
}

fn pool() -> Template {
    Template::read(&document(POOL)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn refused(text: &str) -> String {
    let problems = Template::read(&document(text)).expect_err("the template is refused");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn given(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let needed = [("version", json!("v7")), ("region", json!("north"))];
    needed.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn change(pairs: &[(&str, Value)]) -> Value {
    let (text, _) = pool().instantiate(&given(pairs)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    document(&text).value().clone()
}

fn refusal(pairs: &[(&str, Value)]) -> String {
    let problems = pool().instantiate(&given(pairs)).expect_err("the parameters are refused");
    problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect::<Vec<_>>().join("\n")
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

// X12
#[test]
fn parameters_go_into_their_places_with_their_type_and_defaults_fill_the_rest() {
    let made = change(&[("size", json!(16)), ("note", json!("asked for by the shop"))]);
    assert_eq!(made["title"], "Pool of checkout: 16 in north");
    assert_eq!(made["plan"]["target"], json!({"driver": "paper", "pool": 16, "image": "shop:v7"}));
    assert_eq!(made["description"], "asked for by the shop, and ${not a place}");
    assert_eq!(change(&[])["plan"]["target"]["pool"], 32);
    let (_, instance) = pool().instantiate(&given(&[])).expect("an instance");
    assert_eq!(instance.parameters["size"], 32, "what was left out is on record too");
    assert_eq!((instance.id.as_str(), instance.template), ("checkout-pool", pool().digest()));
}

// X12: what is given stays a value, whatever it looks like.
#[test]
fn a_hostile_text_stays_in_its_place() {
    let plain = change(&[("note", json!("x"))]);
    for hostile in [
        "\", \"owner\": \"eve",
        "x, owner: eve}",
        "- a\\n- b",
        "${size}",
        "${${size}}",
        "$${",
        "{{.Secret}}",
        "&anchor *alias",
        "!!python/object:os.system x",
        "# a comment",
        "'",
        "\\u0022",
        "~",
        "true",
        "--- a",
        "<<: *x",
    ] {
        let mut made = change(&[("note", json!(hostile))]);
        assert_eq!(made["description"], format!("{hostile}, and ${{not a place}}"));
        made["description"] = plain["description"].clone();
        assert_eq!(made, plain, "`{hostile}` changes nothing beside its place");
    }
}

// X12
#[test]
fn what_is_out_of_bounds_or_of_another_type_is_refused_with_its_reason() {
    for (name, value, reason) in [
        ("size", json!(65), "`65` is no whole number from 8 to 64"),
        ("size", json!("16"), "`16` is no whole number from 8 to 64"),
        ("size", json!(16.5), "a parameter is a text or a whole number"),
        ("size", json!(u64::MAX), "a parameter is a text or a whole number"),
        ("size", json!({"a": 1}), "a parameter is a text or a whole number"),
        ("size", json!([16]), "a parameter is a text or a whole number"),
        ("size", json!(null), "a parameter is a text or a whole number"),
        ("version", json!(7), "expected text, found the number `7`"),
        ("version", json!("v7; reboot"), "`v7; reboot` does not match `v[0-9]+`"),
        ("version", json!("xv7"), "`xv7` does not match `v[0-9]+`"),
        ("version", json!("v7\n"), "it holds a line break or another character that can't be seen"),
        ("region", json!("east"), "`east` is not among `north` or `south`"),
        ("note", json!("a\nowner: eve"), "it holds a line break or another character that can't be seen"),
        ("note", json!("a\u{0}"), "it holds a line break or another character that can't be seen"),
        ("note", json!("safe\u{202e}evil"), "it holds a line break or another character that can't be seen"),
        ("note", json!("x".repeat(1 << 20)), "it has more than 200 characters"),
        ("siez", json!(8), "`checkout-pool` has no such parameter"),
    ] {
        assert_eq!(refusal(&[(name, value)]), format!("parameters.{name}: {reason}"));
    }
    let all = refusal(&[("size", json!(1)), ("region", json!("east")), ("owner", json!("eve"))]);
    assert_eq!(all.lines().count(), 3, "all at once: {all}");
    let missing = pool().instantiate(&BTreeMap::new()).expect_err("two have no default");
    assert_eq!(missing.len(), 2);
}

// X12: a wide pattern in a target or a command is no way to a second command.
#[test]
fn in_a_target_or_a_command_a_text_is_one_word() {
    let wide = POOL.replace("pattern: 'v[0-9]+'", "pattern: '.+'");
    let template = Template::read(&document(&wide)).expect("a template");
    let with = |version: &str| template.instantiate(&given(&[("version", json!(version))]));
    for word in ["v7; rm -rf /", "$(id)", "`id`", "a b", "-rf", "../../etc/passwd", "a|b", "a'b", ""] {
        assert!(with(word).is_err(), "`{word}` is refused");
    }
    assert!(with("registry/shop@sha256:ab12").is_ok());
}

#[test]
fn everything_that_is_wrong_with_a_template_is_said_at_once_with_its_place() {
    let broken = POOL
        .replace("default: 32", "default: 99")
        .replace("'v[0-9]+'", "'v[0-9'")
        .replace("{one_of: [north, south]}", "{one_of: [north, south], minimum: 1}")
        .replace("in ${region}", "in ${regoin} at ${")
        .replace("  note: {pattern: '.*', default: ''}", "  note: {pattern: '.*'}\n  Idle: {minimum: 9, maximum: 1}");
    let said = refused(&broken);
    for part in [
        "5:61: `parameters.size.default`: `99` is no whole number from 8 to 64",
        "`parameters.version.pattern`: `v[0-9` is no regular expression: unclosed character class",
        "`parameters.region`: a parameter has bounds of one form",
        "`parameters.note`: a text needs a `default` or an `example`",
        "`parameters.Idle`: a parameter's name has small letters",
        "`parameters.Idle`: the minimum 9 is above the maximum 1",
        "`parameters.Idle`: the parameter `Idle` is used nowhere",
        "`change.title`: `${` is not closed",
    ] {
        assert!(said.contains(part), "{part}\n---\n{said}");
    }
    let misspelt = refused(&POOL.replace("in ${region}", "in ${regoin}"));
    assert!(misspelt.contains("there is no parameter `regoin`: did you mean `region`?"), "{misspelt}");
    let key = refused(&POOL.replace("pool: \"${size}\"", "\"${size}\": 1"));
    assert!(key.contains("`${size}` stands in a key"), "{key}");
    let form =
        refused(&POOL.replace("review_by: 2026-12-31", "review_by: some day").replace("title: Size", "titel: Size"));
    assert!(form.contains("there is no field `titel`") && form.contains("`review_by`"), "{form}");
}

#[test]
fn the_change_of_a_template_is_tried_and_its_problems_stand_at_their_places() {
    let said = refused(&POOL.replace("kind: config", "kind: confg").replace("weight: 50%", "weight: 150%"));
    assert!(
        said.contains("13:9: `change.kind`: `confg` is not known here") || said.contains("`change.kind`: `confg`"),
        "{said}"
    );
    assert!(said.contains("change.plan.steps[0].weight"), "{said}");
    let script = refused(&POOL.replace("  rollback:", "  verify: {commands: [{run: ./smoke.sh}]}\n  rollback:"));
    assert!(script.contains("`./smoke.sh`, and nobody approved what is in it"), "{script}");
}

#[test]
fn templates_are_read_with_the_governance_and_their_strangers_and_doubles_are_named() {
    let access = "users: [{id: ada, roles: [{role: all}]}]\nroles: [{id: all, may: [govern]}]\n";
    let files = |more: &[(&str, String)]| {
        let files = [("access.yaml", access.to_owned()), ("standards/pool.yaml", POOL.to_owned())];
        files.iter().chain(more).map(|(path, text)| ((*path).to_owned(), text.clone())).collect()
    };
    let read = Governance::read(&files(&[])).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(read.standards.keys().collect::<Vec<_>>(), ["checkout-pool"]);
    let twice = POOL.replacen("owner: ada", "owner: zoe", 1) + "may: [sre]\n";
    let problems = Governance::read(&files(&[("standards/twice.yml", twice)])).expect_err("three problems");
    let said: Vec<String> = problems.iter().map(|(path, p)| format!("{path}: {}", p.message)).collect();
    assert_eq!(
        said,
        [
            "standards/twice.yml: there is no user or group `zoe`",
            "standards/twice.yml: there is no user or group `sre`",
            "standards/twice.yml: there is a standard change `checkout-pool` in another file already",
        ]
    );
}

#[test]
fn it_counts_until_its_review_then_with_a_warning_and_then_no_more() {
    let (template, record) = (pool(), Record::default());
    let at = |time: &str| template.standing(&record, instant(time));
    assert_eq!(at("2026-12-31T23:59:59Z"), Standing::Counts { warning: None });
    let said = "it was to be reviewed by 2026-12-31, and counts until the end of 2027-01-14".to_owned();
    assert_eq!(at("2027-01-01T00:00:00Z"), Standing::Counts { warning: Some(said.clone()) });
    assert_eq!(at("2027-01-14T23:59:59Z"), Standing::Counts { warning: Some(said) });
    let over = Standing::CountsNot { why: "it was to be reviewed by 2026-12-31".into() };
    assert_eq!(at("2027-01-15T00:00:00Z"), over);
}

#[test]
fn only_the_very_template_in_force_counts_and_only_while_it_is_not_suspended() {
    let now = instant("2026-11-01T00:00:00Z");
    let (_, instance) = pool().instantiate(&given(&[])).expect("an instance");
    let record = Record::default();
    let counts = Standing::Counts { warning: None };
    assert_eq!(standing(Some(&pool()), &instance, &record, now), counts);
    let later = Template { review_by: "2027-06-30".parse().expect("a date"), description: "clearer".into(), ..pool() };
    assert_eq!(standing(Some(&later), &instance, &record, now), counts, "a review approves nothing new");
    let wider = Template::read(&document(&POOL.replace("maximum: 64", "maximum: 65"))).expect("a template");
    let why = |standing: Standing| match standing {
        Standing::CountsNot { why } => why,
        Standing::Counts { .. } => "it counts".into(),
    };
    assert_eq!(
        why(standing(Some(&wider), &instance, &record, now)),
        "its template is another one since it was proposed"
    );
    assert_eq!(why(standing(None, &instance, &record, now)), "there is no such template any more");
    let suspended = Record { suspended: Some("2 in a row".into()), ..Record::default() };
    assert_eq!(why(standing(Some(&pool()), &instance, &suspended, now)), "it is suspended: 2 in a row");
}

#[test]
fn a_suspension_is_owed_from_the_last_failure_on_and_only_once() {
    let failed = |failed_in_a_row| Record { failed_in_a_row, ..Record::default() };
    assert_eq!(pool().owes_suspension(&failed(1)), None);
    let reason = "2 in a row failed; after 2 it is suspended";
    assert_eq!(pool().owes_suspension(&failed(2)).as_deref(), Some(reason));
    let known = Record { suspended: Some("so it is".into()), ..failed(3) };
    assert_eq!(pool().owes_suspension(&known), None);
}

#[test]
fn what_is_written_on_a_command_line_is_a_number_where_one_is_asked_for() {
    let parameters = pool().parameters;
    assert_eq!(parameters["size"].meant("16"), Argument::Number(16));
    assert_eq!(parameters["size"].meant("many"), Argument::Text("many".into()));
    assert_eq!(parameters["version"].meant("7"), Argument::Text("7".into()));
    let mixed = Parameter { one_of: vec![Argument::Number(1), Argument::Text("2".into())], ..Parameter::default() };
    assert_eq!((mixed.meant("1"), mixed.meant("2")), (Argument::Number(1), Argument::Text("2".into())));
}

#[test]
fn it_is_for_those_whom_it_names_and_for_everybody_where_it_names_nobody() {
    let access: Access = document("users: [{id: ada}, {id: bob}]\ngroups: [{id: sre, members: [bob]}]\nroles: []\n")
        .read()
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let of = |may: &[&str]| Template { may: may.iter().map(|one| (*one).to_owned()).collect(), ..pool() };
    assert!(of(&[]).is_for("ada", &access));
    assert!(of(&["sre"]).is_for("bob", &access) && !of(&["sre"]).is_for("ada", &access));
    assert!(of(&["ada"]).is_for("ada", &access));
}
