//! Releases: U1 and U9 with real processes: a router that moves traffic, visitors, a server, and what people type and read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{House, text};

fn write(house: &House, name: &str, text: &str) -> String {
    let path = house.dir.path().join(name);
    std::fs::write(&path, text).expect("is written");
    path.display().to_string()
}

fn build(backends: usize, behaviour: &str) -> House {
    let mut house = House::build(backends, behaviour);
    (0..backends).for_each(|backend| house.send_visitors(backend, 120.0));
    house.start_server();
    house
}

/// What the router sends to the new version of a backend, in basis points.
fn weight(house: &House, backend: usize) -> Option<u64> {
    let url = format!("http://{}/backends/b{backend}", house.router_admin);
    let answer: Value = std::thread::spawn(move || reqwest::blocking::get(url).ok()?.json().ok()).join().ok()??;
    let versions = answer["versions"].as_array()?.iter();
    versions.filter(|version| version["name"] == "v2").find_map(|version| version["weight"].as_u64())
}

/// Where in a text each of these stands; they have to be there, in this order.
fn in_order(text: &str, wanted: &[&str]) {
    let mut from = 0;
    for one in wanted {
        let at = text[from..].find(one);
        assert!(at.is_some(), "`{one}` is not there, or comes too early:\n{text}");
        from += at.unwrap_or(0) + one.len();
    }
}

const API: &str = "title: A new tax API and its callers
owner: ada
changes:
  - {name: api, change: api.yaml}
  - {name: web, change: web.yaml, after: [api]}
  - {name: app, change: app.yaml, after: [api]}
";

// U1: an API change over two services that call it. One of them fails, and all three go back, the API last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_goes_back_with_its_callers_when_one_of_them_fails() {
    let house = build(3, "failing");
    house.change_file("app.yaml", 2, "");
    // The others count redirections, of which there are none.
    for (backend, name) in ["api.yaml", "web.yaml"].into_iter().enumerate() {
        let file = house.change_file(name, backend, "");
        let blind = std::fs::read_to_string(&file).expect("the file").replace("5xx", "3xx");
        std::fs::write(&file, blind).expect("is written");
    }
    let file = write(&house, "release.yaml", API);
    let checked = house.run(&["check", &file]);
    assert!(checked.status.success(), "{}", text(&checked));

    let proposed = text(&house.run(&["release", "propose", &file]));
    assert!(proposed.contains("REL-1 was proposed; follow it with `clearway release watch REL-1`"), "{proposed}");
    let watched = house.run(&["release", "watch", "REL-1"]);
    assert_eq!(watched.status.code(), Some(7), "{}\n{}", text(&watched), house.server_log());
    in_order(
        &text(&watched),
        &[
            "`CHG-1` is under way",
            "`CHG-1` is passed",
            "`CHG-3` is going back",
            "the release `REL-1` was stopped, what was rolled out goes back: `app` (CHG-3) is going back",
            "`CHG-1` is going back",
            "`CHG-1` is rolled back",
            "REL-1 ended as rolled back",
        ],
    );
    let view = house.json(&["release", "show", "REL-1"]);
    assert_eq!((&view["phase"], &view["stopped"]["cause"]), (&json!("rolled_back"), &json!("CHG-3")));
    let shown = text(&house.run(&["release", "show", "REL-1"]));
    in_order(&shown, &["REL-1  A new tax API and its callers", "on a failure all goes back, the last first", "WAVE"]);
    in_order(&shown, &["api", "CHG-1", "rolled back", "Change api.yaml", "web", "CHG-2", "api", "app", "fail", "api"]);
    assert_eq!([0, 1, 2].map(|backend| weight(&house, backend)), [Some(0); 3]);
    let why = text(&house.run(&["log", "CHG-1"]));
    assert!(why.contains("rollback began: `REL-1` is rolled back: `app` (CHG-3) is going back"), "{why}");
}

const CELL: &str = "cell.yaml";

fn waves(house: &House) -> String {
    let first = house.change_file(CELL, 0, "");
    let template = std::fs::read_to_string(&first).expect("the file").replace("b0", "{{each}}");
    std::fs::write(&first, template).expect("is written");
    let text = "title: Raise the TLS library\nowner: ada\nwaves:\n  - {name: first, bake: 3s, each: [b0], change: cell.yaml}\n  - {name: rest, at_once: 1, each: [b1, b2], change: cell.yaml}\n";
    write(house, "waves.yaml", text)
}

// U9: one dependency staged over three services in waves: one file for all, a bake after the first, and one at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_is_raised_in_waves_with_one_file_for_all() {
    let house = build(3, "good");
    let file = waves(&house);
    let proposed = house.json(&["release", "propose", &file, "--key", "tls"]);
    assert_eq!(proposed["layers"], json!([[0], [1, 2]]));
    assert_eq!(house.json(&["release", "propose", &file, "--key", "tls"])["id"], "REL-1", "asked twice it is one");
    let patience = Instant::now() + Duration::from_secs(60);
    let why = loop {
        let why = text(&house.run(&["why", "CHG-2"]));
        if why.contains("is left alone until") || Instant::now() > patience {
            break why;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(why.contains("closed  conflicts: in `REL-1` the wave `first` is left alone until"), "{why}");
    let watched = house.run(&["release", "watch", "REL-1"]);
    assert!(watched.status.success(), "{}\n{}", text(&watched), house.server_log());
    in_order(&text(&watched), &["`CHG-1` is passed", "the release `REL-1` has passed as a whole"]);
    one_at_a_time(&text(&watched));
    assert_eq!([0, 1, 2].map(|backend| weight(&house, backend)), [Some(10_000); 3]);
    let listed = text(&house.run(&["release", "list"]));
    in_order(&listed, &["REL-1", "completed", "3", "Raise the TLS library", "all 3 passed"]);
    house.wait_for("CHG-1", &["completed"]);
}

/// No two changes of a log were under way at once.
fn one_at_a_time(log: &str) {
    let mut under_way = 0;
    for line in log.lines() {
        under_way += i32::from(line.contains("is under way"));
        under_way -= i32::from(line.contains("is passed"));
        assert!(under_way <= 1, "{log}");
    }
}

// U9: a person stops a release in its first wave: what is out goes back, and the rest is withdrawn. The server dies in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_rolls_a_release_back_and_the_server_dies_in_between() {
    let mut house = build(3, "good");
    let file = waves(&house);
    house.json(&["release", "propose", &file]);
    house.wait_for("CHG-1", &["rolling_out", "watching"]);
    let withdrawn = house.run(&["release", "withdraw", "REL-1", "--reason", "too late"]);
    assert!(text(&withdrawn).contains("roll it back instead"), "{}", text(&withdrawn));
    house.json(&["release", "rollback", "REL-1", "--reason", "customers can not pay"]);
    house.kill_server();
    house.start_server();
    let watched = house.run(&["release", "watch", "REL-1"]);
    in_order(&text(&watched), &["REL-1 ended as rolled back: rolled back: customers can not pay"]);
    house.wait_for("CHG-1", &["rolled_back"]);
    for id in ["CHG-2", "CHG-3"] {
        house.wait_for(id, &["withdrawn"]);
    }
    assert_eq!([0, 1, 2].map(|backend| weight(&house, backend)), [Some(0); 3]);
}

// U1: what can't be is said with its place, and nothing of it is proposed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_can_not_be_is_refused_with_its_lines_and_leaves_nothing_behind() {
    let mut house = House::build(1, "good");
    house.start_server();
    house.change_file("api.yaml", 0, "");
    house.change_file("web.yaml", 0, "");
    let circle = write(&house, "circle.yaml", &API.replace("api.yaml}", "api.yaml, after: [web]}"));
    let refused = house.run(&["release", "propose", &circle]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(text(&refused).contains("4:35: `changes[0].after`: none of these can be the first"), "{}", text(&refused));
    let both =
        "title: Twice\nowner: ada\nchanges:\n  - {name: api, change: api.yaml}\n  - {name: web, change: web.yaml}\n";
    let both = write(&house, "both.yaml", both);
    let refused = house.run(&["release", "propose", &both]);
    let said = text(&refused);
    assert!(said.contains("`changes[1]`: `web` and `api` both change `router:"), "{said}");
    assert!(said.contains("let one come `after` the other"), "{said}");
    write(&house, "web.yaml", "title: no change\n");
    let refused = text(&house.run(&["check", &both]));
    assert!(refused.contains("`changes[1]`: its change file: 1:1: `kind` is missing"), "{refused}");
    assert_eq!(house.json(&["list"])["changes"], json!([]));
    assert_eq!(house.json(&["release", "list"])["releases"], json!([]));
    let unknown = text(&house.run(&["release", "show", "REL-9"]));
    assert!(unknown.contains("there is no release `REL-9`"), "{unknown}");
}
