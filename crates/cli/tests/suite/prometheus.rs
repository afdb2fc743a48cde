//! A real Prometheus between the router and the server: what it scraped promotes, rolls back, and holds where it is silent.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{House, Owned, part, text};

/// One Prometheus that scrapes the house's router every second.
struct Prometheus {
    process: Option<Owned>,
    address: String,
    dir: std::path::PathBuf,
}

impl Prometheus {
    /// Starts it where the system picks. Nothing if it is not installed.
    fn start(house: &House) -> Option<Self> {
        let there = Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !part("prometheus", there.is_ok_and(|s| s.success())) {
            return None;
        }
        let dir = house.dir.path().join("prometheus");
        std::fs::create_dir_all(&dir).expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\nscrape_configs: [{{job_name: edge, static_configs: [{{targets: ['{}']}}]}}]\n",
            house.router_admin
        );
        std::fs::write(dir.join("prometheus.yml"), config).expect("its file is written");
        let mut prometheus = Self { process: None, address: "127.0.0.1:0".into(), dir };
        prometheus.run();
        Some(prometheus)
    }

    /// Runs it at its address, and waits until it says that it listens.
    fn run(&mut self) {
        let log_file = self.dir.join("log");
        let log = std::fs::File::create(&log_file).expect("a log file");
        let mut command = Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(self.dir.join("prometheus.yml"))
            .arg("--storage.tsdb.path")
            .arg(self.dir.join("data"));
        command
            .arg(format!("--web.listen-address={}", self.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(Owned(command.spawn().expect("Prometheus starts")));
        let patience = Instant::now() + Duration::from_secs(20);
        self.address = loop {
            let log = std::fs::read_to_string(&log_file).unwrap_or_default();
            let said = log.split_inclusive('\n').find(|l| l.contains("msg=\"Listening on\"") && l.ends_with('\n'));
            if let Some((_, address)) = said.and_then(|l| l.trim().rsplit_once("address=")) {
                break address.to_owned();
            }
            assert!(Instant::now() < patience, "Prometheus does not listen:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        };
    }

    /// Waits until it has scraped the router.
    async fn has_scraped(&self) {
        let url = format!("http://{}/api/v1/query?query=clearway_router_requests_total", self.address);
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let answer: Option<Value> = match reqwest::get(&url).await {
                Ok(response) => response.json().await.ok(),
                Err(_) => None,
            };
            let found =
                answer.as_ref().and_then(|a| a.pointer("/data/result")?.as_array()).is_some_and(|r| !r.is_empty());
            if found {
                return;
            }
            assert!(Instant::now() < patience, "Prometheus has scraped nothing: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// kill -9.
    fn kill(&mut self) {
        drop(self.process.take());
    }
}

/// A house with visitors whose server asks this Prometheus and nobody else.
fn house_and_prometheus(behaviour: &str) -> Option<(House, Prometheus)> {
    let mut house = House::build(1, behaviour);
    let prometheus = Prometheus::start(&house)?;
    house.configure(&format!("[sources.prom]\nprometheus = \"http://{}\"\n", prometheus.address));
    house.send_visitors(0, 300.0);
    house.start_server();
    Some((house, prometheus))
}

/// A change file whose SLIs are the router's counters and its histogram, as Prometheus has them.
fn change_file(house: &House, name: &str, canary: &str, stable: &str, steps: &str) -> String {
    let labels = "backend=\"b0\",version=\"$cohort\"";
    let text = format!(
        "title: Change {name}
kind: code
owner: ada
services: [shop]
environment: production
plan:
  strategy: canary
  target: {{driver: router, router: edge, backend: b0, canary: {canary}, stable: {stable}}}
  steps: [{steps}]
verify:
  slis:
    - name: errors
      source: prom
      ratio: {{bad: 'clearway_router_requests_total{{{labels},code=\"5xx\"}}', total: 'clearway_router_requests_total{{{labels}}}'}}
      objective: 95%
    - name: latency
      source: prom
      latency: {{histogram: 'clearway_router_request_seconds{{{labels}}}', below: 250ms}}
      objective: 95%
  every: 1s
  watch: 1s
  on_unreachable: hold
rollback: {{automatic: true, runbook: https://runbooks.example/back}}
"
    );
    let path = house.dir.path().join(name);
    std::fs::write(&path, text).expect("the change file is written");
    path.display().to_string()
}

/// The bodies of a change's events of one type.
fn events(house: &House, change: &str, kind: &str) -> Vec<Value> {
    let log = house.json(&["log", change]);
    let entries = log["entries"].as_array().expect("events");
    entries.iter().filter(|e| e["type"] == kind).map(|e| e["body"].clone()).collect()
}

fn share_of(house: &House, version: usize) -> u64 {
    let url = format!("http://{}/backends/b0", house.router_admin);
    let read = async { reqwest::get(url).await.expect("the router answers").json::<Value>().await.expect("JSON") };
    let state = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read));
    state["versions"][version]["weight"].as_u64().expect("a weight")
}

// I3, LC6, LC7, F1: a good version passes by what Prometheus holds; once Prometheus is gone the verdict is `unreachable`, nothing advances, and the deadline
// pauses as the plan says; once it is back, the verdict says what is missing, and the way back is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_version_passes_and_a_silent_prometheus_holds_the_next_one() {
    let Some((house, mut prometheus)) = house_and_prometheus("good") else { return };
    let steps = "{weight: 50%, bake: 2s, deadline: 40s}, {weight: 100%, bake: 2s, deadline: 40s}";
    let good = change_file(&house, "good.yaml", "v2", "v1", steps);
    let proposed = house.run(&["propose", &good, "--watch"]);
    assert!(proposed.status.success(), "{}", text(&proposed));
    assert_eq!(share_of(&house, 1), 10_000);
    let passes = events(&house, "CHG-1", "Judged").into_iter().filter(|j| j["answer"] == "pass").count();
    assert_eq!(passes, 3, "two steps and the watch: {}", text(&house.run(&["log", "CHG-1"])));

    // The bake is longer than the test waits before Prometheus is gone: the step can't have passed by then.
    let steps = "{weight: 50%, bake: 4s, deadline: 5s}, {weight: 100%, bake: 1s}";
    house.json(&["propose", &change_file(&house, "back.yaml", "v1", "v2", steps)]);
    house.wait_until("CHG-2", |view| view["change"]["stage"].to_string().contains("\"is\":\"applied\""));
    prometheus.kill();
    house.wait_for("CHG-2", &["paused"]);
    let why = text(&house.run(&["show", "CHG-2"]));
    assert!(why.contains("the deadline of step 1 of 2 (50%) passed while the verdict was `unreachable`"), "{why}");
    assert!(why.contains(&prometheus.address) && why.contains("Connection refused"), "{why}");
    assert_eq!(events(&house, "CHG-2", "Judged").last().expect("a verdict")["answer"], "unreachable");
    assert_eq!(events(&house, "CHG-2", "Advanced").len(), 0);
    assert_eq!(events(&house, "CHG-2", "PageOwed").len(), 0, "`hold` pauses and pages nobody");
    assert_eq!(share_of(&house, 0), 5_000, "it stays where it was");

    prometheus.run();
    house.wait_until("CHG-2", |view| view["change"]["stage"].to_string().contains("\"answer\":\"insufficient\""));
    assert_eq!(house.phase("CHG-2").as_deref(), Some("paused"), "a source that answers again ends no pause");
    assert!(house.run(&["rollback", "CHG-2", "--reason", "too little was seen"]).status.success());
    house.wait_for("CHG-2", &["rolled_back"]);
    assert_eq!(share_of(&house, 1), 10_000);
}

// I3, LC6, LC7, F5: a failing version is rolled back by what Prometheus holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_version_is_rolled_back_by_what_prometheus_scraped() {
    let Some((house, _prometheus)) = house_and_prometheus("failing") else { return };
    let steps = "{weight: 50%, bake: 2s, deadline: 40s}, {weight: 100%, bake: 2s, deadline: 40s}";
    let proposed = house.run(&["propose", &change_file(&house, "failing.yaml", "v2", "v1", steps), "--watch"]);
    let said = text(&proposed);
    assert_eq!(proposed.status.code(), Some(7), "{said}");
    assert!(said.contains("rollback began:") && said.contains("`errors`"), "{said}");
    assert_eq!(events(&house, "CHG-1", "Judged").last().expect("a verdict")["answer"], "fail");
    assert_eq!(share_of(&house, 1), 0);
}

// X13, F1: a query that finds nothing at Prometheus closes the gate, is named in full, and opens the gate once it is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_finds_nothing_at_prometheus_is_named_before_anything_begins() {
    let Some((house, prometheus)) = house_and_prometheus("good") else { return };
    let steps = "{weight: 50%, bake: 1s, deadline: 40s}, {weight: 100%, bake: 1s, deadline: 40s}";
    let file = change_file(&house, "typo.yaml", "v2", "v1", steps);
    let right = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, right.replace("request_seconds{backend=\"b0\"", "request_seconds{backend=\"bO\""))
        .expect("the file");
    // Before the first scrape nothing is found at all.
    prometheus.has_scraped().await;
    house.json(&["propose", &file]);
    house.wait_for("CHG-1", &["held"]);
    let why = text(&house.run(&["why", "CHG-1"]));
    let query = "`clearway_router_request_seconds_bucket{backend=\"bO\",version=\"v1\"}` finds nothing in `prom`";
    let wanted = format!("closed  readiness: the SLI `latency` has no data for the stable version: {query}\n");
    assert!(why.contains(&wanted), "{why}");
    assert_eq!(events(&house, "CHG-1", "StepBegun").len(), 0);
    assert_eq!(share_of(&house, 1), 0);
    std::fs::write(&file, right).expect("the file");
    assert!(house.run(&["amend", "CHG-1", &file]).status.success());
    house.wait_for("CHG-1", &["completed"]);
}

/// Sets the weights of both versions at the router by hand, as somebody would who goes past Clearway.
fn set_weights(house: &House, backend: &str, v1: u64, v2: u64) {
    let url = format!("http://{}/backends/{backend}", house.router_admin);
    let put = async {
        let client = reqwest::Client::new();
        let state: Value = client.get(&url).send().await.expect("the router answers").json().await.expect("JSON");
        let wish = serde_json::json!({"weights": {"v1": v1, "v2": v2}, "if_revision": state["revision"]});
        let answer = client.put(format!("{url}/weights")).json(&wish).send().await.expect("the router answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put));
}

/// Waits until the budget of the shop is as wanted.
fn budget_until(house: &House, wanted: impl Fn(&Value) -> bool) {
    let patience = Instant::now() + Duration::from_secs(90);
    loop {
        let view = house.json(&["budget", "shop"]);
        if wanted(&view["budgets"][0]) {
            return;
        }
        assert!(Instant::now() < patience, "{view:#}\n{}", house.server_log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

// A2, I3: a burn that Prometheus shows holds the rollouts of the service and lets them go when it is over; a Prometheus that is gone is no full budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burn_that_prometheus_shows_holds_the_service_until_it_is_over() {
    let mut house = House::build(1, "failing");
    let Some(mut prometheus) = Prometheus::start(&house) else { return };
    house.configure(&format!("[sources.prom]\nprometheus = \"http://{}\"\n", prometheus.address));
    let governance = house.dir.path().join("governance");
    let shop = "name: shop\nowner: ada\nslis: [shop-errors]\ntier: 3\n";
    let slis = "slis:\n  - {name: shop-errors, source: prom, ratio: {bad: 'clearway_router_requests_total{backend=\"b0\",version=\"$cohort\",code=\"5xx\"}', total: 'clearway_router_requests_total{backend=\"b0\",version=\"$cohort\"}'}, objective: 99.5%}\n";
    let policy = "period: 1h\nevery: 1s\nleast_events: 20\nwindows: [{long: 15s, short: 5s, factor: 2}]\nbands: []\n";
    std::fs::create_dir_all(governance.join("services")).expect("a folder");
    for (path, text) in [("services/shop.yaml", shop), ("slis.yaml", slis), ("error_budget.yaml", policy)] {
        std::fs::write(governance.join(path), text).expect("a file");
    }
    house.send_visitors(0, 300.0);
    house.start_server();
    budget_until(&house, |budget| budget["reading"]["slis"][0]["windows"][0]["burns"] == false);
    set_weights(&house, "b0", 2_000, 8_000);
    budget_until(&house, |budget| budget["state"]["burning"]["rate"].as_f64().is_some_and(|rate| rate > 2.0));
    let steps = "{weight: 50%, bake: 2s, deadline: 40s}, {weight: 100%, bake: 2s, deadline: 40s}";
    house.json(&["propose", &change_file(&house, "back.yaml", "v1", "v2", steps)]);
    house.wait_for("CHG-1", &["held"]);
    let why = text(&house.run(&["why", "CHG-1"]));
    assert!(why.contains("the error budget of `shop` burns") && why.contains("`shop-errors`"), "{why}");
    let said = text(&house.run(&["budget"]));
    assert!(said.contains("times as fast as expected over 15s by `shop-errors`"), "{said}");
    assert_eq!(events(&house, "CHG-1", "StepBegun").len(), 0);
    set_weights(&house, "b0", 10_000, 0);
    budget_until(&house, |budget| budget["state"]["burning"].is_null());
    house.wait_until("CHG-1", |view| {
        view["change"]["hold"].is_null() || !view["change"]["hold"].to_string().contains("budget_burns")
    });
    prometheus.kill();
    budget_until(&house, |budget| {
        budget["state"]["unknown"].as_str().is_some_and(|why| why.contains("Connection refused"))
    });
}
