//! By hand: what people do to changes from the command line, and what they are told.

use crate::house::{House, as_user, text};

// LC3, F2: a risky change waits for a person; its author can't be that person, nor can an outsider; a vote is for one effect and falls with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_risky_change_waits_for_the_right_person_and_exactly_this_effect() {
    let mut house = House::build(1, "good");
    house.send_visitors(0, 200.0);
    house.start_server();
    let file = house.change_file("data.yaml", 0, "");
    let risky = std::fs::read_to_string(&file).expect("the file").replace("kind: config", "kind: data");
    std::fs::write(&file, &risky).expect("the file");
    house.json(&["propose", &file]);
    house.wait_for("CHG-1", &["assessed"]);

    let own = house.run(&["approve", "CHG-1"]);
    assert_eq!(own.status.code(), Some(4), "{}", text(&own));
    assert!(text(&own).contains("a change is approved by somebody else"), "{}", text(&own));
    let outsider = as_user(&house, "eve", &["approve", "CHG-1"]);
    assert_eq!(outsider.status.code(), Some(4), "{}", text(&outsider));
    assert!(text(&outsider).contains("may not approve"), "{}", text(&outsider));
    let why = text(&house.run(&["why", "CHG-1"]));
    assert!(why.contains("closed  approvals: approvals are missing: 1 of `approvers`"), "{why}");

    // Another artifact is another effect: the vote that was meant for the old one is refused.
    let old =
        house.json(&["show", "CHG-1"])["change"]["proposal"]["effect_digest"].as_str().expect("a digest").to_owned();
    std::fs::write(&file, risky.replace("sha256:0000", "sha256:1111")).expect("the file");
    house.json(&["amend", "CHG-1", &file]);
    house.wait_for("CHG-1", &["assessed"]);
    let stale = as_user(&house, "bob", &["approve", "CHG-1", "--effect", &old]);
    assert_eq!(stale.status.code(), Some(4), "{}", text(&stale));
    assert!(text(&stale).contains("has the effect"), "{}", text(&stale));

    let yes = as_user(&house, "bob", &["approve", "CHG-1", "--comment", "looked at it"]);
    assert!(yes.status.success(), "{}", text(&yes));
    house.wait_for("CHG-1", &["completed"]);
    let refused = house.json(&["log", "--limit", "500"]);
    let refusals =
        refused["entries"].as_array().expect("events").iter().filter(|e| e["type"] == "CommandRefused").count();
    assert_eq!(refusals, 3, "each refusal of a known user is an entry");
}

// LC7: a person may pause, resume, promote or roll back by hand at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_is_paused_resumed_promoted_and_rolled_back_by_hand() {
    let mut house = House::build(1, "good");
    house.send_visitors(0, 20.0);
    house.start_server();
    let file = house.change_file("hand.yaml", 0, "");
    house.json(&["propose", &file]);
    house.wait_for("CHG-1", &["rolling_out"]);
    assert!(house.run(&["pause", "CHG-1", "--reason", "lunch"]).status.success());
    house.wait_for("CHG-1", &["paused"]);
    assert!(text(&house.run(&["show", "CHG-1"])).contains("paused by ada: lunch"));
    assert!(house.run(&["resume", "CHG-1"]).status.success());
    house.wait_for("CHG-1", &["rolling_out"]);
    // A step may have to become effective first.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !house.run(&["promote", "CHG-1", "--reason", "we have seen enough"]).status.success() {
        assert!(std::time::Instant::now() < patience);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let log = text(&house.run(&["log", "CHG-1"]));
    assert!(log.contains("was overridden: we have seen enough"), "{log}");
    let back = house.run(&["rollback", "CHG-1", "--reason", "changed our minds"]);
    assert!(back.status.success(), "{}", text(&back));
    house.wait_for("CHG-1", &["rolled_back"]);
    let ended = house.run(&["watch", "CHG-1"]);
    assert_eq!(ended.status.code(), Some(7), "{}", text(&ended));
    assert!(text(&ended).contains("rolled back: what was there before is there again"), "{}", text(&ended));
    let again = house.run(&["pause", "CHG-1", "--reason", "too late"]);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again));
}

// LC6, LC7, F5: a failing version is rolled back by the verdict, with the reason in words and figures, and the target is as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_version_is_rolled_back_by_the_verdict() {
    let mut house = House::build(1, "failing");
    house.send_visitors(0, 300.0);
    house.start_server();
    let file = house.change_file("failing.yaml", 0, "");
    let proposed = house.run(&["propose", &file, "--watch"]);
    assert_eq!(proposed.status.code(), Some(7), "{}", text(&proposed));
    let said = text(&proposed);
    assert!(said.contains("rollback began:") && said.contains("of"), "{said}");
    let state: serde_json::Value = reqwest::get(format!("http://{}/backends/b0", house.router_admin))
        .await
        .expect("the router answers")
        .json()
        .await
        .expect("JSON");
    assert_eq!(state["versions"][1]["weight"], 0, "{state}");
    let owed = text(&house.run(&["show", "CHG-1"]));
    assert!(owed.contains("Owed: the review"), "{owed}");
    assert!(house.run(&["review", "CHG-1", "--summary", "the price client has no time-out"]).status.success());
}

// F1, X13: without telemetry of the stable version nothing begins, and the gate says which query finds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_telemetry_does_not_begin() {
    let mut house = House::build(1, "good");
    house.start_server();
    let file = house.change_file("dark.yaml", 0, "");
    house.json(&["propose", &file]);
    house.wait_for("CHG-1", &["held"]);
    let why = text(&house.run(&["why", "CHG-1"]));
    assert!(why.contains("closed  readiness: the SLI `errors` has no data for the stable version"), "{why}");
    house.send_visitors(0, 200.0);
    house.wait_for("CHG-1", &["completed"]);
}

// X1: no production rollout without a verification plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nothing_verifies_is_denied_in_production() {
    let mut house = House::build(1, "good");
    house.start_server();
    let file = house.change_file("blind.yaml", 0, "");
    let text_of = std::fs::read_to_string(&file).expect("the file");
    let (before, after) = (text_of.find("verify:").expect("a part"), text_of.find("rollback:").expect("a part"));
    std::fs::write(&file, format!("{}{}", &text_of[..before], &text_of[after..])).expect("the file");
    house.json(&["propose", &file]);
    house.wait_for("CHG-1", &["assessed"]);
    let why = text(&house.run(&["why", "CHG-1"]));
    assert!(why.contains("closed  policy:"), "{why}");
}
