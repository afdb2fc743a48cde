//! Beside what exists: a pipeline that deploys by itself asks for the gate, begins, and reports; services that are only observed; who edits the rules.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::house::{House, ends_with, part, text, token};

const ACCESS: &str = "
users:
  - {id: ada, emails: [ada@example.com], roles: [{role: all}]}
  - {id: bob, emails: [bob@example.com], roles: [{role: all}]}
  - {id: cleo, emails: [cleo@example.com], roles: [{role: all}]}
roles: [{id: all, may: [propose, approve, pause, resume, rollback, promote, read, audit, govern, freeze]}]
";

/// A house without visitors, in which commands check a file that the pipeline writes.
fn house() -> House {
    let house = House::build(1, "good");
    house.configure("[commands]\nallow = true\n");
    write(&house, "governance/access.yaml", ACCESS);
    script(&house, "deploy.sh", "echo \"$WHAT\" > deployed");
    script(&house, "roll-back.sh", "echo old > deployed");
    script(&house, "smoke.sh", "grep -qv bad deployed || { echo 'the shop is shut'; exit 1; }");
    write(&house, "deployed", "old\n");
    house
}

fn write(house: &House, name: &str, text: &str) {
    let path = house.dir.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

fn script(house: &House, name: &str, text: &str) {
    write(house, name, &format!("#!/bin/sh\n{text}\n"));
    let rights = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(house.dir.path().join(name), rights).expect("rights");
}

/// A change whose one step a pipeline performs.
fn change(house: &House, kind: &str, services: &str) -> String {
    let text = format!(
        "title: Deploy the shop
kind: {kind}
owner: ada
services: [{services}]
environment: staging
plan:
  strategy: all-at-once
  target: {{driver: pipeline, name: deploy-shop, resource: shop}}
  steps: [{{weight: 100%, bake: 500ms, deadline: 20s}}]
verify:
  commands: [{{run: ./smoke.sh, timeout: 5s}}]
  every: 250ms
  watch: 500ms
rollback: {{automatic: true, runbook: docs/back.md}}
"
    );
    let path = house.dir.path().join(format!("{kind}.yaml"));
    std::fs::write(&path, text).expect("the change file is written");
    path.display().to_string()
}

fn propose(house: &House, kind: &str, services: &str) -> String {
    let view = house.json(&["propose", &change(house, kind, services)]);
    view["change"]["id"].as_str().expect("an id").to_owned()
}

/// The types of the events of a change, without evidence, verdicts and pages that were sent.
fn story(house: &House, change: &str) -> Vec<String> {
    let log = house.json(&["log", change]);
    let types = log["entries"].as_array().expect("entries").iter().filter_map(|e| e["type"].as_str());
    types.filter(|kind| !["EvidenceTaken", "Judged", "Paged"].contains(kind)).map(str::to_owned).collect()
}

/// The script of the guide, as a pipeline runs it.
fn pipeline(house: &House, change: &str, what: &str) -> Output {
    let bin = house.dir.path().join("bin");
    let _ = std::fs::create_dir(&bin);
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clearway"), bin.join("clearway"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipelines/deploy-with-clearway.sh");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(script);
    command.args([change, "./deploy.sh", "./roll-back.sh"]).current_dir(house.dir.path());
    command.env("PATH", format!("{}:{path}", bin.display())).env("CLEARWAY_DIR", house.store());
    command.env_remove("CLEARWAY_SERVER").env_remove("CLEARWAY_TOKEN_FILE");
    command.env("WHAT", what).env("GATE_TIMEOUT", "30s").env("VERDICT_TIMEOUT", "60s");
    command.output().expect("the script runs")
}

fn deployed(house: &House) -> String {
    std::fs::read_to_string(house.dir.path().join("deployed")).expect("the target")
}

// X20, I1: the recipe of the guide, run as it is: the gate, the lane, the verdict and the record are those of any change.
#[test]
fn a_pipeline_deploys_behind_the_gates_and_its_change_is_judged() {
    let mut house = house();
    house.start_server();
    let id = propose(&house, "config", "shop");
    let ran = pipeline(&house, &id, "new");
    assert!(ran.status.success(), "{}\n{}", text(&ran), house.server_log());
    assert_eq!(deployed(&house), "new\n");
    let expected = [
        "Proposed",
        "Assessed",
        "Approved",
        "Scheduled",
        "StepBegun",
        "StepApplied",
        "Advanced",
        "Advanced",
        "Completed",
    ];
    assert_eq!(story(&house, &id), expected);
    let log = house.json(&["log", &id]);
    let actor = |kind: &str| {
        let entry = log["entries"].as_array().and_then(|entries| entries.iter().find(|e| e["type"] == kind).cloned());
        entry.expect("an entry")["actor"].clone()
    };
    assert_eq!((actor("StepBegun"), actor("StepApplied")), ("user:ada".into(), "user:ada".into()));
    assert_eq!(actor("Advanced").as_str().map(|a| a.starts_with("user:")), Some(false), "the verdict is Clearway's");
}

// X20: what a pipeline broke, it rolls back itself when the verdict says so, and people are told that it has to.
#[test]
fn a_failing_verdict_has_the_pipeline_roll_back_and_report_it() {
    let mut house = house();
    house.start_server();
    let id = propose(&house, "config", "shop");
    let ran = pipeline(&house, &id, "bad");
    assert_eq!(ran.status.code(), Some(7), "{}\n{}", text(&ran), house.server_log());
    assert!(text(&ran).contains("waits for its pipeline to roll back"), "{}", text(&ran));
    assert_eq!(deployed(&house), "old\n");
    assert_eq!(house.phase(&id).as_deref(), Some("rolled_back"));
    let story = story(&house, &id);
    let after: Vec<&str> = story.iter().map(String::as_str).skip_while(|kind| *kind != "RollbackBegun").collect();
    assert_eq!(after, ["RollbackBegun", "UndoBegun", "PageOwed", "RolledBack", "DebtOwed"]);
    let log = ends_with(&house, 0, &["log", &id]);
    assert!(log.contains(&format!("the pipeline that deployed `{id}` has to roll back and report it")), "{log}");
}

// X20: a deployment that fails rolls back as a verdict does; one that undid itself is believed without being asked.
#[test]
fn a_pipeline_says_itself_that_it_failed_or_that_it_has_rolled_back() {
    let mut house = house();
    house.start_server();
    script(&house, "deploy.sh", "exit 3");
    let failed = propose(&house, "config", "shop");
    let ran = pipeline(&house, &failed, "new");
    assert_eq!(ran.status.code(), Some(7), "{}", text(&ran));
    let log = ends_with(&house, 0, &["log", &failed]);
    assert!(log.contains("the deployment ended with exit code 3"), "{log}");
    assert_eq!(house.phase(&failed).as_deref(), Some("rolled_back"));
    let undone = propose(&house, "config", "shop");
    ends_with(&house, 0, &["wait", &undone, "--until", "open", "--timeout", "30s"]);
    ends_with(&house, 0, &["begin", &undone]);
    ends_with(&house, 0, &["finish", &undone, "--outcome", "rolled-back"]);
    assert_eq!(story(&house, &undone)[4..], ["StepBegun", "StepFailed", "RollbackBegun", "RolledBack", "DebtOwed"]);
}

// X20, F2: a closed gate refuses the begin with its reasons; who waits is told in exit codes.
#[test]
fn a_pipeline_can_not_begin_before_its_gates_are_open() {
    let mut house = house();
    house.start_server();
    let bob = token(&house, "bob");
    let id = propose(&house, "access", "shop");
    house.wait_for(&id, &["assessed"]);
    let refused = ends_with(&house, 4, &["begin", &id]);
    assert!(refused.contains("no step is next"), "{refused}");
    let late = ends_with(&house, 13, &["wait", &id, "--until", "approved", "--timeout", "300ms"]);
    assert!(late.contains(&format!("{id} is not approved after 300ms: waits for approval")), "{late}");
    ends_with(&house, 4, &["finish", &id]);
    ends_with(&house, 0, &["--token-file", &bob, "approve", &id]);
    ends_with(&house, 0, &["wait", &id, "--until", "approved", "--timeout", "30s"]);
    house.wait_for(&id, &["scheduled"]);
    ends_with(&house, 0, &["stop-all", "--reason", "the network is unstable"]);
    let held = ends_with(&house, 4, &["begin", &id]);
    assert!(held.contains("its gates are closed: windows: ") && held.contains("the network is unstable"), "{held}");
    assert!(held.contains(&format!("clearway wait {id} --until open")), "{held}");
    ends_with(&house, 13, &["wait", &id, "--until", "open", "--timeout", "300ms"]);
    ends_with(&house, 0, &["stop-all", "--release", "--reason", "it is stable"]);
    ends_with(&house, 0, &["wait", &id, "--until", "open", "--timeout", "30s"]);
    let began = house.json(&["begin", &id]);
    assert_eq!(began, serde_json::json!({"change": id, "step": 1, "attempt": 1}));
    ends_with(&house, 4, &["begin", &id]);
    let second = propose(&house, "config", "shop");
    house.wait_for(&second, &["scheduled"]);
    let lane = ends_with(&house, 4, &["begin", &second]);
    assert!(lane.contains(&format!("conflicts: `{id}` is changing `pipeline:shop`")), "{lane}");
    let elsewhere = ends_with(&house, 4, &["finish", &id, "--attempt", "2"]);
    assert!(elsewhere.contains("attempt 2 at step 1"), "{elsewhere}");
    ends_with(&house, 0, &["finish", &id, "--step", "1", "--attempt", "1"]);
    ends_with(&house, 0, &["wait", &id, "--timeout", "60s"]);
    ends_with(&house, 0, &["--token-file", &bob, "reject", &second, "--reason", "not now"]);
    let over = ends_with(&house, 7, &["wait", &second, "--until", "open"]);
    assert!(over.contains("refused"), "{over}");
}

// X20: a team begins by looking: gates say what they would hold, hold nothing, and the log has it; one service that enforces is enough to hold.
#[test]
fn the_gates_of_observed_services_report_and_hold_nothing() {
    let mut house = house();
    write(&house, "governance/services/shop.yaml", "name: shop\nowner: ada\ntier: 3\ngates: observe\n");
    write(&house, "governance/services/till.yaml", "name: till\nowner: ada\ntier: 3\n");
    let freeze = "freezes: [{name: always, services: [shop, till], start: \"2020-01-01T00:00:00\", end: \"2090-01-01T00:00:00\", tz: UTC, reason: closing, owner: ada}]\n";
    write(&house, "governance/calendar.yaml", freeze);
    house.start_server();
    let id = propose(&house, "access", "shop");
    house.wait_for(&id, &["scheduled"]);
    let why = ends_with(&house, 0, &["why", &id]);
    assert!(why.contains("would be held windows: ") && why.contains("would be held approvals: "), "{why}");
    ends_with(&house, 0, &["wait", &id, "--until", "open", "--timeout", "30s"]);
    ends_with(&house, 0, &["begin", &id]);
    let log = house.json(&["log", &id]);
    let entries = log["entries"].as_array().expect("entries");
    let observed: Vec<&Value> = entries.iter().filter(|e| e["type"] == "GatesObserved").collect();
    assert_eq!(observed.len(), 1, "{log}");
    let gates = observed[0]["body"]["gates"].as_array().expect("gates");
    let codes: Vec<&str> = gates.iter().filter_map(|gate| gate["code"].as_str()).collect();
    assert_eq!(codes, ["freeze", "approvals_missing"]);
    ends_with(&house, 0, &["finish", &id]);
    ends_with(&house, 0, &["wait", &id, "--timeout", "60s"]);
    let held = propose(&house, "config", "shop, till");
    house.wait_for(&held, &["scheduled"]);
    let refused = ends_with(&house, 4, &["begin", &held]);
    assert!(refused.contains("the freeze `always`"), "{refused}");
    let why = ends_with(&house, 0, &["why", &held]);
    assert!(!why.contains("would be held") && why.contains("closed  windows: "), "{why}");
}

fn git(folder: &Path, who: &str, arguments: &[&str]) {
    let (name, email) = (format!("user.name={who}"), format!("user.email={who}@example.com"));
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", &name, "-c", &email, "-c", "commit.gpgSign=false"]).args(arguments);
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
}

// F2, DESIGN 4: who edits the rules between the proposal and the vote has no vote on it, however the edit came in.
#[test]
fn who_edits_access_yaml_between_proposal_and_vote_can_not_vote() {
    if !part("git", Command::new("git").arg("--version").output().is_ok()) {
        return;
    }
    let mut house = house();
    let folder: PathBuf = house.dir.path().join("governance");
    git(&folder, "ada", &["init", "-q", "-b", "main"]);
    let commit = |who: &str, text: &str| {
        std::fs::write(folder.join("access.yaml"), text).expect("a file");
        git(&folder, who, &["add", "-A"]);
        git(&folder, who, &["commit", "-q", "-m", "words"]);
    };
    commit("ada", ACCESS);
    house.start_server();
    let (bob, cleo) = (token(&house, "bob"), token(&house, "cleo"));
    let id = propose(&house, "access", "shop");
    house.wait_for(&id, &["assessed"]);
    // Taking one's own address out of the table in the same commit hides nothing.
    commit("bob", &ACCESS.replace("emails: [bob@example.com], ", ""));
    ends_with(&house, 0, &["governance", "reload"]);
    let refused = ends_with(&house, 4, &["--token-file", &bob, "approve", &id]);
    assert!(refused.contains("they have edited the rules since it was proposed"), "{refused}");
    let second = propose(&house, "access", "shop");
    house.wait_for(&second, &["assessed"]);
    ends_with(&house, 0, &["--token-file", &bob, "approve", &second]);
    ends_with(&house, 0, &["--token-file", &cleo, "approve", &id]);
    let log = house.json(&["log", "--limit", "500"]);
    let loads = log["entries"].as_array().expect("entries").iter().filter(|e| e["type"] == "GovernanceLoaded");
    let editors: Vec<Value> = loads.map(|e| e["body"]["editors"].clone()).collect();
    assert_eq!(editors, [Value::Null, serde_json::json!(["bob"])]);
    // What is loaded without being committed was edited by nobody knows whom.
    let third = propose(&house, "access", "shop");
    house.wait_for(&third, &["assessed"]);
    std::fs::write(folder.join("access.yaml"), ACCESS).expect("a file");
    ends_with(&house, 0, &["governance", "reload"]);
    let refused = ends_with(&house, 4, &["--token-file", &cleo, "approve", &third]);
    assert!(refused.contains("they have edited the rules"), "{refused}");
}

// F2: an address that access.yaml does not know may be anybody's, so nobody votes on what waited while it edited the rules.
#[test]
fn an_editor_of_the_rules_whom_nobody_knows_may_be_everybody() {
    if !part("git", Command::new("git").arg("--version").output().is_ok()) {
        return;
    }
    let mut house = house();
    let folder: PathBuf = house.dir.path().join("governance");
    git(&folder, "ada", &["init", "-q", "-b", "main"]);
    git(&folder, "ada", &["add", "-A"]);
    git(&folder, "ada", &["commit", "-q", "-m", "words"]);
    house.start_server();
    let bob = token(&house, "bob");
    let id = propose(&house, "access", "shop");
    house.wait_for(&id, &["assessed"]);
    std::fs::write(folder.join("access.yaml"), format!("{ACCESS}# a word\n")).expect("a file");
    git(&folder, "mallory", &["commit", "-qam", "words"]);
    ends_with(&house, 0, &["governance", "reload"]);
    let refused = ends_with(&house, 4, &["--token-file", &bob, "approve", &id]);
    assert!(refused.contains("they have edited the rules since it was proposed"), "{refused}");
    let next = propose(&house, "access", "shop");
    house.wait_for(&next, &["assessed"]);
    ends_with(&house, 0, &["--token-file", &bob, "approve", &next]);
}

// X20: docs/operate/when-clearway-is-down.md, command by command: what went by is put on record, and owes what it went without.
#[test]
fn what_was_deployed_while_clearway_was_down_is_put_on_record_with_its_debts() {
    let mut house = house();
    house.start_server();
    let bob = token(&house, "bob");
    house.kill_server();
    ends_with(&house, 6, &["list"]);
    house.start_server();
    let file = change(&house, "config", "shop");
    let reason = "Clearway was down; told Bob";
    let recorded =
        ends_with(&house, 0, &["record", &file, "--deployed-at", "2026-11-01T09:00:00Z", "--reason", reason]);
    assert!(recorded.contains("CHG-1"), "{recorded}");
    house.wait_for("CHG-1", &["completed"]);
    assert_eq!(deployed(&house), "old\n", "nothing is run");
    let owed = ends_with(&house, 0, &["debts"]);
    assert!(owed.contains("approval") && owed.contains("review"), "{owed}");
    ends_with(&house, 4, &["approve", "CHG-1"]);
    ends_with(&house, 0, &["--token-file", &bob, "approve", "CHG-1"]);
    ends_with(&house, 0, &["review", "CHG-1", "--summary", "the server had no disk left; there is an alarm now"]);
    let owed = ends_with(&house, 0, &["debts"]);
    assert!(!owed.contains("CHG-1"), "{owed}");
}

// I1: the recipes run the script that the tests run, and the change file beside them is one.
#[test]
fn the_recipes_run_the_script_and_their_change_file_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipelines");
    for (recipe, starts) in [("github-actions.yaml", "CHANGE"), ("gitlab-ci.yml", "proposed.json")] {
        let text = std::fs::read_to_string(folder.join(recipe)).expect("a recipe");
        let line = text.lines().find(|line| line.contains("deploy-with-clearway.sh")).expect("it runs the script");
        assert!(line.contains(starts) && line.ends_with("./deploy.sh ./roll-back.sh"), "{recipe}: {line}");
        assert!(text.contains("--json > proposed.json"), "{recipe}");
    }
    let file = folder.join("change.yaml").display().to_string();
    let checked = crate::house::program().args(["check", "--offline", &file]).output().expect("the program runs");
    assert!(checked.status.success(), "{}", text(&checked));
}
