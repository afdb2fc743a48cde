//! The four lanes of the built-in policies, each from a real git repository to a real server with the governance of the examples.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::examples::Server;
use crate::from_git::{commit, git, json as json_of, run, write};
use crate::house::text;

/// A repository with a change file on `main`, and a branch `topic` with one commit of these files.
fn repository(change: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    git(folder.path(), &["init", "-q", "-b", "main"]);
    write(folder.path(), ".clearway/change.yaml", change);
    commit(folder.path());
    git(folder.path(), &["checkout", "-q", "-b", "topic"]);
    files.iter().for_each(|(path, text)| write(folder.path(), path, text));
    commit(folder.path());
    write(
        folder.path(),
        "junit.xml",
        "<testsuite tests=\"1\"><testcase classname=\"words\" name=\"read\" time=\"0.1\"/></testsuite>",
    );
    folder
}

/// A change of this kind by a command that does nothing, verified by another.
fn change(kind: &str, services: &str) -> String {
    format!(
        "title: A change of {kind}
kind: {kind}
owner: team-checkout
services: [{services}]
environment: production
plan:
  strategy: all-at-once
  target: {{driver: exec, apply: 'true', check: 'true', undo: 'true', observe: 'true', resource: lanes}}
  steps: [{{weight: 100%, bake: 1s, deadline: 1m}}]
verify: {{commands: [{{run: 'true', timeout: 10s}}], every: 1s, watch: 1s}}
rollback: {{automatic: true, runbook: https://runbooks.shop.example/back}}
"
    )
}

/// A server whose people have a group `security`, may declare emergencies, and are on call.
fn server() -> (Server, tempfile::TempDir) {
    let copy = tempfile::tempdir().expect("a scratch folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let copied = std::process::Command::new("cp").arg("-R").arg(from).arg(copy.path()).status().expect("cp runs");
    assert!(copied.success());
    let examples = copy.path().join("examples");
    let access = examples.join("governance/access.yaml");
    let people = std::fs::read_to_string(&access).expect("the file");
    let people = people
        .replace("groups:\n", "groups:\n  - {id: security, members: [cem]}\n")
        .replace("may: [approve, pause,", "may: [approve, emergency, pause,");
    std::fs::write(&access, people).expect("is written");
    (Server::on(&examples), copy)
}

/// What policy said of a change, once it has.
fn assessed(server: &Server, folder: &Path, change: &str) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let view = json_of(&run(server, folder, &["--json", "show", change]));
        let said = &view["change"]["assessment"];
        if said.is_object() {
            return said.clone();
        }
        assert!(Instant::now() < patience, "{view:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn propose(server: &Server, folder: &Path) -> Value {
    json_of(&run(server, folder, &["--json", "propose", "--git", "main..HEAD", "--tests", "junit.xml"]));
    assessed(server, folder, "CHG-1")
}

fn asked(said: &Value, field: &str) -> Vec<String> {
    let all = said[field].as_array().into_iter().flatten();
    all.map(|r| format!("{} of {}", r["count"], r["by"].as_str().unwrap_or_default())).collect()
}

fn why(server: &Server, folder: &Path) -> String {
    text(&run(server, folder, &["why", "CHG-1"]))
}

// PR3, the first lane; PR5: nobody is asked, and it completes.
#[test]
fn a_text_of_one_file_with_green_tests_is_rolled_out_with_no_human_step() {
    let (server, _copy) = server();
    let folder = repository(&change("docs", "handbook"), &[("handbook/words.txt", "better\n")]);
    let done = run(&server, folder.path(), &["propose", "--watch", "--git", "main..HEAD", "--tests", "junit.xml"]);
    assert!(done.status.success(), "{}", text(&done));
    let said = assessed(&server, folder.path(), "CHG-1");
    assert_eq!((&said["level"], &said["requires"]), (&json!("low"), &json!([])), "{said:#}");
}

// PR3, the first lane: a text in the code goes the same way, on an important service, as long as its first step is small.
#[test]
fn a_text_in_the_code_of_an_important_service_asks_for_nobody() {
    let (server, _copy) = server();
    let canary =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/changes/checkout-v2.yaml"));
    let folder = repository(&canary.expect("the example"), &[("src/words.rs", "pub const HELLO: &str = \"Hello\";\n")]);
    let said = propose(&server, folder.path());
    assert_eq!(
        (&said["level"], &said["requires"], &said["checklist"]),
        (&json!("low"), &json!([]), &Value::Null),
        "{said:#}"
    );
    let by_hand = json_of(&run(&server, folder.path(), &["--json", "log", "CHG-1"]));
    let approved = by_hand["entries"].as_array().into_iter().flatten().find(|e| e["type"] == "Approved");
    assert_eq!(approved.map(|e| &e["actor"]), Some(&json!("clearway:policy")), "{by_hand:#}");
}

// PR3, the second lane: what the files say counts, though the change file says `config`.
#[test]
fn a_change_of_access_needs_security_and_a_planned_time() {
    let (server, _copy) = server();
    let limits = [("payments/limits/cards.yaml", "limit: 100\n")];
    let folder = repository(&change("config", "payments"), &limits);
    let said = propose(&server, folder.path());
    assert!(asked(&said, "requires").contains(&"1 of security".to_owned()), "{said:#}");
    assert_eq!(said["window"], "required");
    assert!(why(&server, folder.path()).contains("security"), "{}", why(&server, folder.path()));
}

// PR3, the third lane
#[test]
fn several_services_of_importance_take_the_whole_path() {
    let (server, _copy) = server();
    let files = [("src/cart.rs", "fn a() {}\n"), ("src/pay.rs", "fn b() {}\n")];
    let folder = repository(&change("code", "checkout, payments"), &files);
    let said = propose(&server, folder.path());
    let asked = asked(&said, "requires");
    // Each owner of the changed services is asked for itself.
    assert_eq!(asked.iter().filter(|one| one.starts_with("1 of service-owners/")).count(), 2, "{said:#}");
    assert!(asked.contains(&"1 of approvers".to_owned()), "{said:#}");
    assert_eq!(said["window"], "required");
    let lists: std::collections::BTreeSet<_> =
        said["checklist"].as_array().into_iter().flatten().filter_map(|item| item["list"].as_str()).collect();
    assert_eq!(lists, ["before-production", "production-readiness"].into(), "{said:#}");
    let tests = said["checklist"].as_array().into_iter().flatten().find(|item| item["code"] == "tests");
    assert_eq!(tests.map(|item| &item["evidence"]), Some(&json!("1 passed, none failed")), "{said:#}");
}

// PR3, the fourth lane; LC3: the quorum now, the approvals of the other lanes afterwards, and no window or list.
#[test]
fn an_emergency_owes_what_the_other_lanes_ask_before() {
    let (server, _copy) = server();
    let folder = repository(&change("code", "checkout, payments"), &[("src/cart.rs", "fn a() {}\n")]);
    let file = ".clearway/change.yaml";
    let declared = ["--json", "emergency", file, "--incident", "INC-7", "--reason", "checkout is down"];
    json_of(&run(&server, folder.path(), &declared));
    let said = assessed(&server, folder.path(), "CHG-1");
    assert_eq!(asked(&said, "requires"), ["1 of on-call"], "{said:#}");
    assert_eq!(
        asked(&said, "owed").iter().filter(|one| one.starts_with("1 of service-owners/")).count(),
        2,
        "{said:#}"
    );
    assert_eq!((&said["window"], &said["checklist"]), (&json!("free"), &Value::Null), "{said:#}");
    let warned = said["warnings"].to_string();
    assert!(warned.contains("the emergency lane for INC-7"), "{warned}");
}
