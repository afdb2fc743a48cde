//! LC4 on a real server: two changes of one service, rules about it, and what comes after what, as people see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{House, text};

/// A change of the service `shop` by a command, on a target of its own, that bakes so long.
fn file(house: &House, target: &str, bake: &str, more: &str) -> String {
    let path = house.dir.path().join(format!("{target}.yaml"));
    let text = format!(
        "title: Change {target}
kind: config
owner: ada
services: [shop]
environment: production
plan:
  strategy: all-at-once
  target: {{driver: exec, apply: 'true', check: 'true', undo: 'true', observe: 'true', resource: {target}}}
  steps: [{{weight: 100%, bake: {bake}, deadline: 10m}}]
verify: {{commands: [{{run: 'true', timeout: 10s}}], every: 1s, watch: 1s}}
rollback: {{automatic: true, runbook: https://runbooks.shop.example/back}}
{more}"
    );
    std::fs::write(&path, text).expect("the change file is written");
    path.display().to_string()
}

fn house(conflicts: &str) -> House {
    let mut house = House::build(1, "good");
    house.configure("[commands]\nallow = true\n");
    std::fs::write(house.dir.path().join("governance/conflicts.yaml"), conflicts).expect("a file");
    house.start_server();
    house
}

fn conflicts_gate(house: &House, change: &str) -> Value {
    let gates = house.json(&["why", change]);
    let all = gates["gates"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|gate| gate["gate"] == "conflicts").unwrap_or_default()
}

// LC4: the later waits, API, command line and page say for whom and until when, and it goes by itself when the other is rolled back.
#[test]
fn a_second_change_of_a_service_waits_and_everybody_sees_for_whom() {
    let house = house("rules: []\n");
    house.json(&["propose", &file(&house, "one", "5m", "")]);
    house.wait_for("CHG-1", &["rolling_out"]);
    house.json(&["propose", &file(&house, "two", "1s", "")]);
    house.wait_for("CHG-2", &["held"]);
    let gate = conflicts_gate(&house, "CHG-2");
    assert_eq!((&gate["code"], &gate["behind"]), (&json!("conflict"), &json!("CHG-1")), "{gate:#}");
    assert!(gate["in_the_way"][0]["expected_end"].is_string(), "{gate:#}");
    let why = text(&house.run(&["why", "CHG-2"]));
    assert!(why.contains("closed  conflicts: `CHG-1` is changing `shop` in `production`"), "{why}");
    assert!(
        why.contains("CHG-1 is under way: rolling out, expected to end at ") && why.contains("(estimate)"),
        "{why}"
    );
    assert!(text(&house.run(&["show", "CHG-2"])).contains("CHG-1 is under way"));
    house.json(&["rollback", "CHG-1", "--reason", "make way"]);
    assert_eq!(house.wait_for("CHG-2", &["completed"]), "completed");
}

// LC4: refused at the door, with the change in the way; an unknown word in the rules is refused with its place.
#[test]
fn a_proposal_beside_a_change_under_way_is_refused_where_the_rules_say_so() {
    let house = house("rules: [{between: service, then: refuse}]\n");
    house.json(&["propose", &file(&house, "one", "5m", "")]);
    house.wait_for("CHG-1", &["rolling_out"]);
    let refused = house.run(&["propose", &file(&house, "two", "1s", "")]);
    assert!(!refused.status.success());
    let said = text(&refused);
    assert!(said.contains("`CHG-1` is changing `shop` in `production` now"), "{said}");
    assert!(said.contains("clearway watch CHG-1"), "{said}");
    let rules = house.dir.path().join("governance/conflicts.yaml");
    std::fs::write(&rules, "rules:\n  - {between: service, then: wait}\n").expect("a file");
    let checked = text(&house.run(&["check", &house.dir.path().join("governance").display().to_string()]));
    assert!(checked.contains("conflicts.yaml:2:"), "{checked}");
}

// LC4: unknown, circle, stranded: each is said with what to do.
#[test]
fn what_comes_after_what_is_checked_and_shown() {
    let house = house("rules: []\n");
    let unknown = house.run(&["propose", &file(&house, "one", "1s", "after: [CHG-7]\n")]);
    let said = text(&unknown);
    assert!(said.contains("there is no change `CHG-7`") && said.contains("12:"), "{said}");
    house.json(&["propose", &file(&house, "one", "1s", "when: '2126-01-01T00:00:00Z'\n")]);
    house.json(&["propose", &file(&house, "two", "1s", "after: [CHG-1]\n")]);
    let circle = house.run(&["amend", "CHG-1", &file(&house, "one", "1s", "after: [CHG-2]\n")]);
    let said = text(&circle);
    assert!(said.contains("`CHG-1` would wait for itself: CHG-1 -> CHG-2 -> CHG-1"), "{said}");
    house.wait_for("CHG-2", &["held"]);
    let why = text(&house.run(&["why", "CHG-2"]));
    assert!(
        why.contains("CHG-1 has to be completed first: scheduled, expected to end at 2126-01-01T00:00:02Z"),
        "{why}"
    );
    house.json(&["withdraw", "CHG-1", "--reason", "not needed"]);
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let why = text(&house.run(&["why", "CHG-2"]));
        if why.contains("`CHG-1`, which is withdrawn, and can't be completed any more")
            && why.contains("amending `after`")
        {
            break;
        }
        assert!(Instant::now() < patience, "{why}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
