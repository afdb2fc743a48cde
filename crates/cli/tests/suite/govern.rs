//! Governing: amended changes, votes that can't count, rules that are set aside and emergencies, from a real repository to a real server.
//!
//! The target is a real router, so that "nothing deploys" is read where it would have been deployed. What needs hours to pass is in `waiting.rs`.

use std::process::Output;

use serde_json::Value;

use crate::from_git::{commit, git, write};
use crate::house::{House, announced, has, program, text};
use crate::pages::{self, Reader};

const ACCESS: &str = "
users:
  - {id: ada, emails: [ada@shop.example], roles: [{role: all}]}
  - {id: bob, emails: [bob@shop.example], roles: [{role: all}]}
  - {id: cyd, emails: [cyd@shop.example], roles: [{role: all}]}
  - {id: dan, emails: [dan@shop.example], roles: [{role: all}]}
  - {id: eve, emails: [eve@shop.example], roles: [{role: reader}]}
groups: [{id: leads, members: [cyd]}, {id: callers, members: [ada, dan]}, {id: sre, members: [bob]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, rollback, promote, freeze, emergency, override, govern, audit, read]}
  - {id: reader, may: [read]}
";
const SHOP: &str = "name: shop\nowner: sre\ntier: 3\non_call: callers\n";
const ONE: &str = "rules: [{require: [{by: approvers, count: 1, within: 4h}]}]\n";
const TWO: &str = "rules: [{require: [{by: approvers, count: 2, within: 4h}]}]\n";
const NOBODY: &str = "rules: [{require: []}]\n";
const EMERGENCY: &str = "rules: [{require: [{by: sre, count: 1, within: 4h}]}]
emergency: {quorum: [{by: on-call, count: 1, within: 30m}], lasts: 4h, approval_within: 1d, bake: 1s, watch: 1s}
";
const WEEKEND: &str = r#"# METADATA
# scope: package
# title: Weekend
# custom:
#   level: soft
#   override_by: [leads]
package clearway.weekend
deny contains {"code": "weekend", "reason": "the shop is full at the weekend"} if input.change.kind == "config"
"#;

/// A house with visitors, its people, and a repository whose branch `topic` has the change.
struct Scene {
    house: House,
}

impl Scene {
    fn open(approvals: &str, policies: &[(&str, &str)]) -> Self {
        let mut house = House::build(1, "good");
        let governance = house.dir.path().join("governance");
        let files = [("access.yaml", ACCESS), ("approvals.yaml", approvals), ("services/shop.yaml", SHOP)];
        files.iter().chain(policies).for_each(|(path, text)| write(&governance, path, text));
        house.send_visitors(0, 200.0);
        house.start_server();
        let scene = Self { house };
        std::fs::create_dir_all(scene.repository().join(".clearway")).expect("a folder");
        git(&scene.repository(), &["init", "-q", "-b", "main"]);
        write(&scene.repository(), "readme.md", "the shop\n");
        commit(&scene.repository());
        git(&scene.repository(), &["checkout", "-q", "-b", "topic"]);
        scene.edit("", "");
        scene.push("ada");
        scene
    }

    fn repository(&self) -> std::path::PathBuf {
        self.house.dir.path().join("repository")
    }

    /// Writes the change file anew, with one text in the place of another.
    fn edit(&self, from: &str, to: &str) {
        let path = self.house.change_file("repository/.clearway/change.yaml", 0, "");
        let text = std::fs::read_to_string(&path).expect("the change file");
        std::fs::write(path, text.replace(from, to)).expect("the change file");
    }

    /// Commits what lies there as this user.
    fn push(&self, user: &str) {
        let email = format!("user.email={user}@shop.example");
        git(&self.repository(), &["add", "-A"]);
        git(&self.repository(), &["-c", &email, "commit", "-q", "-m", "words"]);
    }

    /// A new token of a user.
    fn token(&self, user: &str) -> String {
        let file = self.house.dir.path().join(format!("{user}.token"));
        if !file.exists() {
            let made = self.house.json(&["token", "create", user]);
            std::fs::write(&file, made["token"].as_str().expect("a token")).expect("a token file");
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, private).expect("rights");
        }
        file.display().to_string()
    }

    fn run(&self, user: &str, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("--dir").arg(self.house.store()).args(["--token-file", &self.token(user)]).args(arguments);
        command.current_dir(self.repository()).output().expect("the program runs")
    }

    fn says(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments);
        assert!(output.status.success(), "{user} {arguments:?}: {}\n{}", text(&output), self.house.server_log());
        text(&output)
    }

    fn refused(&self, user: &str, arguments: &[&str], why: &str) {
        let output = self.run(user, arguments);
        assert_eq!(output.status.code(), Some(4), "{user} {arguments:?}: {}", text(&output));
        has(&text(&output), &[why]);
    }

    /// The page of a change as a user reads it.
    fn page(&self, user: &str, change: &str) -> String {
        let url = announced(&self.house.store().join("server.json"), "url");
        let token = std::fs::read_to_string(self.token(user)).expect("a token");
        let path = format!("/changes/{change}");
        let read = std::thread::spawn(move || Reader::log_in(&url, &token).read(&path));
        pages::words(&read.join().expect("no panic"))
    }

    /// The events of a change: what happened, by whom.
    fn story(&self, change: &str) -> Vec<(String, String)> {
        let log = self.house.json(&["log", change]);
        let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = log["entries"].as_array().into_iter().flatten();
        entries.map(|entry| (field(entry, "type"), field(entry, "actor"))).collect()
    }

    /// The share of the new version at the target, in basis points.
    fn share(&self) -> u64 {
        let url = format!("http://{}/backends/b0", self.house.router_admin);
        let asked = std::thread::spawn(move || reqwest::blocking::get(url).and_then(reqwest::blocking::Response::json));
        let state: Value = asked.join().expect("no panic").expect("the router answers");
        state["versions"][1]["weight"].as_u64().expect("a weight")
    }
}

/// Where an event by somebody stands in a story for the last time.
fn last(story: &[(String, String)], event: &str, actor: &str) -> usize {
    let found = story.iter().rposition(|(kind, by)| kind == event && by.ends_with(actor));
    found.unwrap_or_else(|| panic!("`{event}` by `{actor}` is missing in {story:?}"))
}

// F2, LC3: what was approved and then amended is another effect: its vote falls, nothing of it reaches the target, and approvers are shown what is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_and_then_amended_deploys_nothing() {
    let scene = Scene::open(ONE, &[]);
    scene.says("ada", &["stop-all", "--reason", "to look at it first"]);
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.says("bob", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["held"]);
    scene.edit("weight: 50%", "weight: 75%");
    scene.push("ada");
    scene.says("ada", &["amend", "CHG-1", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.says("ada", &["stop-all", "--release", "--reason", "looked at"]);

    has(&scene.says("ada", &["why", "CHG-1"]), &["closed  approvals: approvals are missing: 1 of `approvers`"]);
    let log = scene.says("ada", &["log", "CHG-1"]);
    has(&log, &["now, votes are void", "votes of `user:bob` are void: the effect has changed"]);
    has(&scene.says("bob", &["diff", "CHG-1"]), &["revision 1 to 2: the effect was", "50% -> 75%"]);
    has(
        &scene.page("bob", "CHG-1"),
        &["Changed since revision 1", "50%", "75%", "waits for approval by 1 of approvers"],
    );
    assert_eq!(scene.share(), 0, "the target is as it was");

    scene.says("bob", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["completed"]);
    let story = scene.story("CHG-1");
    let begun = story.iter().position(|(kind, _)| kind == "StepBegun").expect("it began in the end");
    assert!(begun > last(&story, "Approved", "bob"), "nothing began before the second approval: {story:?}");
}

// F2, I10: the same effect, planned anew from another commit, keeps its votes; the log and the page say so, and nobody is asked twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_effect_planned_anew_keeps_its_votes() {
    let scene = Scene::open(ONE, &[]);
    scene.says("ada", &["stop-all", "--reason", "to look at it first"]);
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.says("bob", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["held"]);
    scene.edit("owner: ada\n", "owner: ada\nlinks: [https://tickets.shop.example/7]\n");
    write(&scene.repository(), "readme.md", "the shop, and how it is changed\n");
    scene.push("ada");
    scene.says("ada", &["amend", "CHG-1", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["held"]);

    let view = scene.house.json(&["show", "CHG-1"]);
    assert_eq!(view["change"]["proposal"]["commit"], git(&scene.repository(), &["rev-parse", "HEAD"]));
    has(&scene.says("ada", &["log", "CHG-1"]), &["now, votes are kept"]);
    has(&scene.says("bob", &["diff", "CHG-1"]), &["revision 1 to 2: the effect is the same", "words "]);
    has(&scene.page("bob", "CHG-1"), &["Changed since revision 1", "The effect is the same.", "votes are kept"]);
    scene.says("ada", &["stop-all", "--release", "--reason", "looked at"]);
    scene.house.wait_for("CHG-1", &["completed"]);
    let story = scene.story("CHG-1");
    assert_eq!(story.iter().filter(|(kind, _)| kind == "Approved").count(), 1, "{story:?}");
    assert!(!story.iter().any(|(kind, _)| kind == "VotesVoided"), "{story:?}");
}

// LC3, PA4, F2: the author, somebody who committed to it, an outsider and a duplicate are refused, each with the reason, and none of them counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_not_approve_is_told_why_and_does_not_count() {
    let scene = Scene::open(TWO, &[]);
    write(&scene.repository(), "pool.txt", "64\n");
    scene.push("bob");
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    let vote = ["approve", "CHG-1"];
    scene.refused("ada", &vote, "`user:ada` wrote `CHG-1` or a part of it; a change is approved by somebody else");
    scene.refused("bob", &vote, "`user:bob` can't vote on `CHG-1`: they have committed to it");
    scene.refused("eve", &vote, "`user:eve` may not approve changes of these services here");
    has(&scene.says("dan", &vote), &["CHG-1: waits for approval by 1 of `approvers`"]);
    scene.refused("dan", &vote, "`user:dan` has approved this effect already");

    has(&scene.says("ada", &["why", "CHG-1"]), &["closed  approvals: approvals are missing: 1 of `approvers`"]);
    has(&scene.page("bob", "CHG-1"), &["they have committed to it"]);
    has(&scene.page("dan", "CHG-1"), &["waits for approval by 1 of approvers"]);
    let log = scene.house.json(&["log", "--limit", "500"]);
    let refused = |entry: &&Value| entry["type"] == "CommandRefused";
    assert_eq!(log["entries"].as_array().into_iter().flatten().filter(refused).count(), 4, "refusals are entries");
    assert_eq!(scene.share(), 0);
    scene.says("cyd", &vote);
    scene.house.wait_for("CHG-1", &["completed"]);
}

// F2, LC3: who commits to it after their vote has written it: the vote falls though the effect is the same, and somebody else has to agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_falls_when_its_voter_commits_to_the_change() {
    let scene = Scene::open(ONE, &[]);
    scene.says("ada", &["stop-all", "--reason", "to look at it first"]);
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.says("bob", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["held"]);
    write(&scene.repository(), "readme.md", "the shop, by bob\n");
    scene.push("bob");
    scene.says("ada", &["amend", "CHG-1", "--git", "main..HEAD"]);
    scene.house.wait_until("CHG-1", |view| view["change"]["votes"] == serde_json::json!([]));
    has(&scene.says("ada", &["why", "CHG-1"]), &["closed  approvals: approvals are missing: 1 of `approvers`"]);
    has(
        &scene.says("ada", &["log", "CHG-1"]),
        &["votes of `user:bob` are void: they may not vote, or no longer for the groups"],
    );
    has(
        &scene.page("bob", "CHG-1"),
        &["You can't approve it: user:bob can't vote on CHG-1: they have committed to it"],
    );
    scene.says("ada", &["stop-all", "--release", "--reason", "looked at"]);
    scene.says("cyd", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["completed"]);
}

// LC3, I10: a committer whom nobody knows could approve under another name: the gate is closed, and names the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committer_whom_nobody_knows_closes_the_gate() {
    let scene = Scene::open(ONE, &[]);
    write(&scene.repository(), "pool.txt", "64\n");
    scene.push("stranger");
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.says("bob", &["approve", "CHG-1"]);
    let closed = "access.yaml does not know `stranger@shop.example`";
    scene.house.wait_for("CHG-1", &["held", "assessed"]);
    has(&scene.says("ada", &["why", "CHG-1"]), &[closed, "who can open it: whoever keeps access.yaml"]);
    has(&scene.page("bob", "CHG-1"), &[&closed.replace('`', "")]);
    assert_eq!(scene.share(), 0);
}

// F4, M12: a soft rule is set aside by the right person with a reason, refused to the wrong one, to the author and without a reason; both are on record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_rule_is_set_aside_by_the_right_person_alone() {
    let scene = Scene::open(NOBODY, &[("policy/weekend.rego", WEEKEND)]);
    scene.says("ada", &["propose", "--git", "main..HEAD"]);
    scene.house.wait_for("CHG-1", &["assessed"]);
    let why = scene.says("ada", &["why", "CHG-1"]);
    has(&why, &["closed  policy: the shop is full at the weekend", "`leads`, by overriding it with a reason"]);
    let aside = |reason: &'static str| ["override", "CHG-1", "--rule", "weekend", "--reason", reason];
    scene.refused(
        "bob",
        &aside("it is small"),
        "`user:bob` is in none of the groups that may override `weekend`: `leads`",
    );
    scene.refused("ada", &aside("it is mine"), "`user:ada` wrote `CHG-1` or a part of it");
    scene.refused("eve", &aside("why not"), "`user:eve` may not set rules aside for changes of these services here");
    let silent = scene.run("cyd", &aside(" "));
    assert_eq!(silent.status.code(), Some(3), "{}", text(&silent));
    has(&text(&silent), &["a reason is needed"]);
    has(&scene.page("cyd", "CHG-1"), &["denied by policy: the shop is full at the weekend"]);
    assert_eq!(scene.share(), 0);

    scene.says("cyd", &aside("the shop is closed for repairs"));
    scene.house.wait_for("CHG-1", &["completed"]);
    let set_aside = "overrode the rule `weekend`: the shop is closed for repairs";
    has(&scene.says("ada", &["log", "CHG-1"]), &[set_aside]);
    has(&scene.page("ada", "CHG-1"), &[&set_aside.replace('`', "")]);
    let story = scene.story("CHG-1");
    let begun = story.iter().position(|(kind, _)| kind == "StepBegun").expect("it began");
    assert!(begun > last(&story, "DenialOverridden", "cyd"), "{story:?}");
}

// LC3, PA6, LC9: an emergency names its incident, begins with one other person who is on call, and owes the approval and a review, which are listed and paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_begins_with_one_who_is_on_call_and_owes_the_rest() {
    let scene = Scene::open(EMERGENCY, &[]);
    let declare = ["emergency", ".clearway/change.yaml", "--incident", "INC-1", "--reason", "checkout is down"];
    scene.refused("eve", &declare, "`user:eve` may not use the emergency lane for changes of these services here");
    let bare = scene.run("ada", &["emergency", ".clearway/change.yaml", "--incident", " ", "--reason", "x"]);
    assert!(!bare.status.success());
    has(&text(&bare), &["needs the incident"]);
    scene.says("ada", &declare);
    scene.house.wait_for("CHG-1", &["assessed"]);
    scene.refused("ada", &["approve", "CHG-1"], "`user:ada` wrote `CHG-1`");
    scene.refused(
        "bob",
        &["approve", "CHG-1"],
        "`user:bob` is in none of the groups whose approval is asked for: `on-call`",
    );
    has(&scene.page("dan", "CHG-1"), &["waits for approval by 1 of on-call"]);
    scene.says("dan", &["approve", "CHG-1"]);
    scene.house.wait_for("CHG-1", &["completed"]);

    has(&scene.says("ada", &["show", "CHG-1"]), &["Owed: the approval by", "Owed: the review by", "checkout is down"]);
    let listed = scene.says("ada", &["debts"]);
    assert_eq!(listed.matches("CHG-1").count(), 2, "{listed}");
    has(&scene.says("ada", &["debts", "--overdue"]), &["nothing is owed"]);
    scene.says("bob", &["approve", "CHG-1", "--comment", "it was right"]);
    has(&scene.says("ada", &["log", "CHG-1"]), &["the approval that was owed is done: approved afterwards by"]);
    assert!(!scene.says("ada", &["show", "CHG-1"]).contains("Owed: the approval"));
    scene.says("ada", &["review", "CHG-1", "--summary", "a time-out was missing"]);
    has(&scene.page("ada", "CHG-1"), &["the review that was owed is done: a time-out was missing"]);
    has(&scene.says("ada", &["debts"]), &["nothing is owed"]);
}
