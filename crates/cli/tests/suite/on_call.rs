//! A4: people on call hold services and veto changes, from the command line to a real router; each hears what becomes of it.

use std::process::Output;

use serde_json::Value;

use crate::house::{House, announced, has, program, text, token};
use crate::pages::{self, Reader};

const ACCESS: &str = "
users:
  - {id: ada, name: Ada, emails: [ada@shop.example], roles: [{role: all}]}
  - {id: bob, emails: [bob@shop.example], roles: [{role: reader}]}
  - {id: eve, roles: [{role: reader}]}
groups: [{id: sre, members: [ada]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, rollback, promote, read, audit, govern]}
  - {id: reader, may: [read]}
";
const NOBODY: &str = "rules: [{require: []}]\n";
const SHOP: &str = "name: shop\nowner: sre\non_call: bob\ntier: 3\n";

fn house(more: &[(&str, &str)]) -> House {
    let mut house = House::build(1, "good");
    let governance = house.dir.path().join("governance");
    let files = [("access.yaml", ACCESS), ("approvals.yaml", NOBODY), ("services/shop.yaml", SHOP)];
    for (path, text) in files.iter().chain(more) {
        let path = governance.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    house.send_visitors(0, 200.0);
    house.start_server();
    house
}

fn run(house: &House, user: &str, arguments: &[&str]) -> Output {
    let mut command = program();
    command.arg("--dir").arg(house.store()).args(["--token-file", &token(house, user)]).args(arguments);
    command.output().expect("the program runs")
}

fn says(house: &House, user: &str, arguments: &[&str]) -> String {
    let output = run(house, user, arguments);
    assert!(output.status.success(), "{user} {arguments:?}: {}\n{}", text(&output), house.server_log());
    text(&output)
}

fn refused(house: &House, user: &str, arguments: &[&str], why: &str) {
    let output = run(house, user, arguments);
    assert!(!output.status.success(), "{user} {arguments:?}");
    has(&text(&output), &[why]);
}

fn page(house: &House, user: &str, path: &str) -> String {
    let url = announced(&house.store().join("server.json"), "url");
    let (token, path) = (std::fs::read_to_string(token(house, user)).expect("a token"), path.to_owned());
    pages::words(&std::thread::spawn(move || Reader::log_in(&url, &token).read(&path)).join().expect("no panic"))
}

fn weight(house: &House) -> u64 {
    let url = format!("http://{}/backends/b0", house.router_admin);
    let asked = std::thread::spawn(move || reqwest::blocking::get(url).and_then(reqwest::blocking::Response::json));
    let state: Value = asked.join().expect("no panic").expect("the router answers");
    state["versions"][1]["weight"].as_u64().expect("a weight")
}

// A4: stop the line: who is on call holds a service before a start; nobody else can, it is seen everywhere, and its release lets go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_on_call_stops_the_line_of_a_service_and_lets_it_go_on() {
    let house = house(&[]);
    let reason = "customers can't pay";
    refused(&house, "eve", &["hold", "shop", "--for", "1h", "--reason", reason], "may not stop or release");
    refused(&house, "bob", &["hold", "shop", "--reason", reason], "add `--for 4h` or `--until TIME`");
    refused(&house, "bob", &["hold", "shop", "--for", "8d", "--reason", reason], "a hold lasts at most 7d");
    has(&says(&house, "bob", &["hold", "shop", "--for", "1h", "--reason", reason]), &["HOLD-1", "shop", "bob", reason]);
    let file = house.change_file("a.yaml", 0, "");
    says(&house, "ada", &["propose", &file]);
    house.wait_for("CHG-1", &["held"]);
    let why = says(&house, "eve", &["why", "CHG-1"]);
    has(&why, &["windows: bob holds `shop` until `", reason, "clearway hold --release HOLD-1"]);
    for path in ["/changes", "/changes/CHG-1"] {
        has(&page(&house, "eve", path), &["HOLD-1", "bob holds shop until", reason]);
    }
    assert_eq!(weight(&house), 0, "nothing was deployed");
    has(&says(&house, "eve", &["holds"]), &["HOLD-1", "pass"]);
    refused(&house, "eve", &["hold", "--release", "HOLD-1", "--reason", "over"], "may not stop or release");
    has(&says(&house, "bob", &["hold", "--release", "HOLD-1", "--reason", "over"]), &["no service is held"]);
    house.wait_for("CHG-1", &["completed"]);
}

// A4: a veto by who is on call begins in mid-rollout, holds the next step, and is lifted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_on_call_vetoes_a_change_in_mid_rollout() {
    let house = house(&[]);
    let file = house.change_file("a.yaml", 0, "");
    let slow =
        std::fs::read_to_string(&file).expect("the file").replace("{weight: 50%, bake: 1s", "{weight: 50%, bake: 4s");
    std::fs::write(&file, slow).expect("the file");
    says(&house, "ada", &["propose", &file]);
    house.wait_for("CHG-1", &["rolling_out"]);
    refused(&house, "eve", &["veto", "CHG-1", "--for", "1h", "--reason", "no"], "may not stop or release");
    has(&says(&house, "bob", &["veto", "CHG-1", "--for", "1h", "--reason", "an incident"]), &["CHG-1 is vetoed until"]);
    house.wait_for("CHG-1", &["held"]);
    has(&says(&house, "eve", &["why", "CHG-1"]), &["bob has vetoed it until `", "an incident", "--lift"]);
    assert_eq!(weight(&house), 5_000, "it stays where it was");
    has(&says(&house, "bob", &["veto", "CHG-1", "--lift", "--reason", "over"]), &["the veto of CHG-1 is lifted"]);
    house.wait_for("CHG-1", &["completed"]);
    has(&says(&house, "ada", &["log", "CHG-1"]), &["vetoed until", "lifted the veto: over"]);
}
