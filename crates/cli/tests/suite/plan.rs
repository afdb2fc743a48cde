//! The command `plan`: what a rollout will be able to see, before it begins.

use crate::house::{House, program, text};

const FILE: &str = "title: Checkout 2.4
kind: code
owner: sre
services: [checkout]
environment: production
artifact: checkout@sha256:4f2c
plan:
  strategy: canary
  target: {driver: router, router: edge, backend: shop, stable: v1, canary: v2}
  steps: [{weight: 5%, bake: 5m}, {weight: 100%, bake: 5m}]
verify:
  slis:
    - {name: errors, source: edge, ratio: {bad: 'bad{version=\"$cohort\"}', total: 'all{version=\"$cohort\"}'}, objective: 99%}
  every: 10s
rollback: {automatic: true, runbook: docs/back.md}
";

fn planned(arguments: &[&str]) -> std::process::Output {
    let dir = tempfile::tempdir().expect("a scratch folder");
    std::fs::write(dir.path().join("change.yaml"), FILE).expect("a file");
    let mut command = program();
    command.current_dir(dir.path()).args(["plan", "change.yaml", "--runs", "20"]).args(arguments);
    command.output().expect("the program runs")
}

// X8: a what-if needs neither server nor telemetry.
#[test]
fn traffic_can_be_supposed_without_a_server() {
    let enough = planned(&["--traffic", "500/s", "--bad", "0.2%", "--strict"]);
    assert!(enough.status.success(), "{}", text(&enough));
    let said = text(&enough);
    assert!(said.contains("Present: errors 500 requests/s, 0.2 % bad"), "{said}");
    assert!(said.contains("step 1 of 2 (5%)") && said.contains("decides") && !said.contains("never"), "{said}");

    let thin = planned(&["--traffic", "1/min"]);
    assert!(thin.status.success(), "a warning is no error: {}", text(&thin));
    assert!(text(&thin).contains("can't be seen within 30 min"), "{}", text(&thin));
    let strict = planned(&["--traffic", "1/min", "--strict", "--json"]);
    assert_eq!(strict.status.code(), Some(12), "{}", text(&strict));
    let plan: serde_json::Value = serde_json::from_slice(&strict.stdout).expect("JSON");
    assert_eq!(plan["plan"]["steps"][0]["answer"], "never");
}

#[test]
fn steps_that_decide_are_printed_for_the_change_file() {
    let suggested = planned(&["--traffic", "30/s", "--bad", "0.5%", "--suggest"]);
    let said = text(&suggested);
    let (_, yaml) = said.split_once("without the watch:\n").expect("a suggestion");
    let file: serde_json::Value = change::document::Document::from_yaml(yaml).expect("YAML").value().clone();
    let steps = file["plan"]["steps"].as_array().expect("steps");
    assert_eq!(steps.last().expect("a step")["weight"], "100%", "{said}");
    assert_ne!((&steps[0]["weight"], &steps[0]["bake"]), (&"5%".into(), &"5m".into()), "{said}");
}

#[test]
fn traffic_that_is_none_is_refused_in_the_users_words() {
    let refused = planned(&["--traffic", "lots"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused).contains("`lots` is no traffic; write for example `100/s` or `30/min`"),
        "{}",
        text(&refused)
    );
}

// X8: the plan of a file and of a change, from the telemetry of a real router.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_made_from_the_routers_own_counters() {
    let mut house = House::build(1, "good");
    house.send_visitors(0, 200.0);
    house.start_server();
    let file = house.change_file("plan.yaml", 0, "");
    let plan = house.json(&["plan", &file, "--runs", "10"]);
    let rate = plan["present"][0]["requests_per_second"].as_f64().expect("a rate");
    assert!((100.0..300.0).contains(&rate), "{plan:#}");
    assert_eq!(plan["plan"]["steps"][0]["answer"], "decides", "{plan:#}");
    let missing = house.run(&["plan", "CHG-9"]);
    assert_eq!(missing.status.code(), Some(5), "{}", text(&missing));
}
