//! Proposing from a clone: what the guide says, word by word, on a real repository and a real server.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::examples::Server;
use crate::house::text;

const CHANGE: &str = "title: Say in the handbook how checkout is rolled back
kind: docs
owner: team-checkout
services: [handbook]
environment: production
plan:
  strategy: all-at-once
  target: {driver: exec, apply: 'true', check: 'true', undo: 'true', observe: 'true', resource: handbook}
  steps: [{weight: 100%, bake: 1s, deadline: 1m}]
verify: {commands: [{run: 'true', timeout: 10s}], every: 1s, watch: 1s}
rollback: {automatic: true}
";

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Bob", "-c", "user.email=bob@shop.example", "-c", "commit.gpgSign=false"])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with a change file, and a branch `topic` with one commit of these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    git(folder.path(), &["init", "-q", "-b", "main"]);
    write(folder.path(), ".clearway/change.yaml", CHANGE);
    commit(folder.path());
    git(folder.path(), &["checkout", "-q", "-b", "topic"]);
    files.iter().for_each(|(path, text)| write(folder.path(), path, text));
    commit(folder.path());
    folder
}

pub(crate) fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

pub(crate) fn commit(folder: &Path) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", "words"]);
}

pub(crate) fn run(server: &Server, folder: &Path, arguments: &[&str]) -> Output {
    server.command().current_dir(folder).args(arguments).output().expect("it runs")
}

pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

// LC1, LC2: a change is proposed from a range; policy sees what it is made of, by the path rules of the server.
#[test]
fn a_change_is_proposed_from_a_range_of_a_clone() {
    let server = Server::start();
    let folder = repository(&[("handbook/rollback.txt", "how\nit is done\n")]);
    let facts = json(&run(&server, folder.path(), &["--json", "facts", "--git", "main..HEAD"]));
    let material = &facts["facts"]["material"];
    assert_eq!((&material["files"]["lines"], &material["only_docs"]), (&2.into(), &true.into()), "{facts:#}");
    assert_eq!(material["kind_understated"], false);
    assert_eq!(material["commits"]["users"], serde_json::json!(["bob"]));
    let proposed = json(&run(&server, folder.path(), &["--json", "propose", "--git", "main..HEAD"]));
    let proposal = &proposed["change"]["proposal"];
    assert_eq!(proposal["commit"], git(folder.path(), &["rev-parse", "HEAD"]));
    assert_eq!(proposal["material"]["range"]["files"]["list"][0]["path"], "handbook/rollback.txt");
}

// X3, LC2: what nothing undoes is named when it is proposed, and a kind that is too light is a fact.
#[test]
fn an_irreversible_migration_is_named_at_proposal_and_the_kind_is_understated() {
    let server = Server::start();
    let folder = repository(&[("db/migrations/0042_drop.sql", "-- why\nalter table carts drop column note;\n")]);
    let asked = ["facts", "--git", "main..HEAD", "--migrations", "db/migrations"];
    let said = text(&run(&server, folder.path(), &asked));
    assert!(said.contains("not reversible: db/migrations/0042_drop.sql:2: alter table: drop column"), "{said}");
    let facts = json(&run(&server, folder.path(), &[&["--json"], &asked[..]].concat()));
    assert_eq!(facts["facts"]["reversible"]["answer"], "no", "{facts:#}");
    assert_eq!(facts["facts"]["material"]["kind_understated"], true);
    assert_eq!(facts["facts"]["material"]["migrations"]["data_loss"], 1);
}

// LC1: what is missing is said with what to do.
#[test]
fn what_is_missing_in_a_clone_is_said_with_what_to_do() {
    let server = Server::start();
    let folder = repository(&[("a", "1\n")]);
    for (arguments, wanted) in [
        (vec!["propose"], "no change file is named"),
        (vec!["propose", "--git", "ghost..HEAD"], "there is no such commit in this clone"),
        (vec!["propose", "--git", "main"], "it is no range"),
        (
            vec!["facts", "--git", "main..", "--manifests", "a", "--plan", ".clearway/change.yaml"],
            "it is not a plan as JSON",
        ),
        (vec!["facts", ".clearway/change.yaml", "--manifests", "a"], "`--manifests` needs both sides"),
    ] {
        let output = run(&server, folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(wanted), "{arguments:?}: {}", text(&output));
    }
}
