//! Commands as a rollout: real scripts on this machine, checked, undone, and cut off with the server in the middle of one.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{House, text};

/// Notes what it was told, takes its time where there is a file `slow`, and makes the share true.
const APPLY: &str = "#!/bin/sh
echo \"apply $CLEARWAY_CHANGE $CLEARWAY_STEP $CLEARWAY_ATTEMPT $CLEARWAY_KEY $CLEARWAY_WEIGHT\" >> told
if [ -e slow ]; then sleep 2; fi
echo \"$CLEARWAY_WEIGHT\" > share
";

/// Good up to the share that the file `limit` names.
const SMOKE: &str = "#!/bin/sh
echo \"smoke $CLEARWAY_CHANGE $CLEARWAY_STEP $CLEARWAY_ATTEMPT $CLEARWAY_KEY\" >> told
share=$(cat share)
if [ \"$share\" -gt \"$(cat limit)\" ]; then echo \"the shop is shut at $share\"; exit 1; fi
";

const CHECK: &str = "check: 'test \"$(cat share)\" = \"$CLEARWAY_WEIGHT\"'";

/// A house whose server runs commands in the house's folder, where the target is a file with the share.
fn house() -> House {
    let mut house = House::build(1, "good");
    house.configure("[commands]\nallow = true\n");
    lay_out(&house);
    house.start_server();
    house
}

fn lay_out(house: &House) {
    for (name, text) in [("apply.sh", APPLY), ("smoke.sh", SMOKE)] {
        let path = house.dir.path().join(name);
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("rights");
    }
    std::fs::write(house.dir.path().join("share"), "0\n").expect("a file");
    std::fs::write(house.dir.path().join("limit"), "100\n").expect("a file");
}

/// A change that raises the share by commands; with or without a way to find out whether a step has happened.
fn change_file(house: &House, check: &str) -> String {
    let text = format!(
        "title: Raise the share
kind: config
owner: ada
services: [shop]
environment: production
plan:
  strategy: canary
  target:
    driver: exec
    apply: ./apply.sh
    {check}
    undo: echo \"$CLEARWAY_BEFORE\" > share
    observe: cat share
    resource: the-share
  steps: [{{weight: 50%, bake: 500ms, deadline: 20s, comparison: objective}}, {{weight: 100%, bake: 500ms, deadline: 20s}}]
verify:
  commands: [{{run: ./smoke.sh, timeout: 5s}}]
  every: 250ms
  watch: 500ms
rollback: {{automatic: true, runbook: https://runbooks.example/back}}
"
    );
    let path = house.dir.path().join("raise.yaml");
    std::fs::write(&path, text).expect("the change file is written");
    path.display().to_string()
}

fn read(house: &House, name: &str) -> String {
    std::fs::read_to_string(house.dir.path().join(name)).unwrap_or_default()
}

/// What one script was told, in order.
fn told(house: &House, script: &str) -> Vec<String> {
    read(house, "told").lines().filter(|l| l.starts_with(script)).map(str::to_owned).collect()
}

/// The steps that events of one type speak of, from 0.
fn steps(house: &House, kind: &str) -> Vec<u64> {
    let log = house.json(&["log", "CHG-1"]);
    let events = log["entries"].as_array().expect("events").iter().filter(|e| e["type"] == kind);
    events.map(|e| e["body"]["step"].as_u64().unwrap_or(99)).collect()
}

const ONCE_EACH: [&str; 2] = ["apply CHG-1 1 1 CHG-1/1/1 50", "apply CHG-1 2 1 CHG-1/2/1 100"];

// LC5, LC6, PR1: steps are commands, each is told which change, step and attempt it is, and a smoke check passes them.
#[test]
fn commands_that_check_out_complete_a_change_and_know_which_it_is() {
    let house = house();
    let proposed = house.run(&["propose", &change_file(&house, CHECK), "--watch"]);
    assert!(proposed.status.success(), "{}\n{}", text(&proposed), house.server_log());
    assert_eq!(read(&house, "share"), "100\n");
    assert_eq!(told(&house, "apply"), ONCE_EACH);
    let mut smoke = told(&house, "smoke");
    smoke.dedup();
    assert_eq!(smoke[..2], ["smoke CHG-1 1 1 CHG-1/1/1", "smoke CHG-1 2 1 CHG-1/2/1"]);
    assert_eq!(smoke.len(), 3, "two steps and the watch: {smoke:?}");
    assert!(smoke[2].starts_with("smoke CHG-1 3 "), "{smoke:?}");
}

// LC6, LC7: a smoke check that fails rolls back, in its own words, and the target is as it was.
#[test]
fn a_failing_smoke_check_rolls_back_and_restores_the_target() {
    let house = house();
    std::fs::write(house.dir.path().join("share"), "7\n").expect("a file");
    std::fs::write(house.dir.path().join("limit"), "50\n").expect("a file");
    let proposed = house.run(&["propose", &change_file(&house, CHECK), "--watch"]);
    let said = text(&proposed);
    assert_eq!(proposed.status.code(), Some(7), "{said}\n{}", house.server_log());
    assert!(said.contains("step 1 of 2 (50%) passed"), "{said}");
    assert!(said.contains("rollback began:") && said.contains("`command: ./smoke.sh`"), "{said}");
    assert_eq!(read(&house, "share"), "7\n", "{said}");
    assert_eq!(told(&house, "apply"), ONCE_EACH);
}

// F8: killed while a command is at work, a change whose steps can be checked ends as if nothing had happened: each command ran once.
#[test]
fn a_server_killed_in_the_middle_of_a_command_with_a_check_ends_as_without() {
    let mut house = house();
    std::fs::write(house.dir.path().join("slow"), "").expect("a file");
    house.json(&["propose", &change_file(&house, CHECK)]);
    kill_in_the_middle(&mut house);
    house.wait_for("CHG-1", &["completed"]);
    assert_eq!(read(&house, "share"), "100\n");
    assert_eq!(told(&house, "apply"), ONCE_EACH);
    for kind in ["StepBegun", "StepApplied"] {
        assert_eq!(steps(&house, kind), [0, 1], "{kind}");
    }
    assert_eq!(steps(&house, "StepFailed"), [0_u64; 0]);
}

// F8: without a check nobody can say what became of the command; a person looks and says it, and the rollout goes on from there.
#[test]
fn a_server_killed_in_the_middle_of_a_command_without_a_check_asks_a_person() {
    let mut house = house();
    std::fs::write(house.dir.path().join("slow"), "").expect("a file");
    house.json(&["propose", &change_file(&house, "")]);
    kill_in_the_middle(&mut house);
    house.wait_for("CHG-1", &["paused"]);
    let shown = text(&house.run(&["show", "CHG-1"]));
    assert!(shown.contains("nobody can say whether step 1 of 2 (50%) happened; look at the target"), "{shown}");
    let log = text(&house.run(&["log", "CHG-1"]));
    assert!(
        log.contains("`apply` was begun and cut off, and there is no `check` to tell whether it happened"),
        "{log}"
    );

    let silent = house.run(&["resume", "CHG-1"]);
    assert!(!silent.status.success(), "{}", text(&silent));
    assert!(text(&silent).contains("--found applied"), "{}", text(&silent));
    assert_eq!(read(&house, "share"), "50\n", "the command came to its end by itself");
    let found = house.run(&["resume", "CHG-1", "--found", "applied"]);
    assert!(found.status.success(), "{}", text(&found));
    house.wait_for("CHG-1", &["completed"]);
    assert_eq!(read(&house, "share"), "100\n");
    assert_eq!(told(&house, "apply"), ONCE_EACH);
}

/// Kills the server while the first command sleeps, and starts it again beside that command.
fn kill_in_the_middle(house: &mut House) {
    let patience = Instant::now() + Duration::from_secs(20);
    while told(house, "apply").is_empty() {
        assert!(Instant::now() < patience, "no command was begun\n{}", house.server_log());
        std::thread::sleep(Duration::from_millis(10));
    }
    house.kill_server();
    assert_eq!(read(house, "share"), "0\n", "the command is still at work");
    house.start_server();
}

// I10: no command runs without the operator's leave, and the author is told which line gives it.
#[test]
fn a_server_without_leave_to_run_commands_says_which_line_gives_it() {
    let mut house = House::build(1, "good");
    lay_out(&house);
    house.start_server();
    let checked = house.run(&["check", &change_file(&house, CHECK)]);
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(3), "{said}");
    assert!(said.contains("`plan.target.driver`: this server does not run commands"), "{said}");
    assert!(said.contains("`verify.commands`: this server does not run commands"), "{said}");
    assert!(said.contains("set `[commands] allow = true` in clearway.toml"), "{said}");
    let proposed = house.run(&["propose", &change_file(&house, CHECK)]);
    assert_eq!(proposed.status.code(), Some(3), "{}", text(&proposed));
    assert_eq!(house.json(&["list"])["changes"], Value::Array(vec![]));
    assert_eq!(read(&house, "told"), "");
}
