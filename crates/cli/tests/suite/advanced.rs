//! LC4, A2, A4, F9: a freeze, a veto, a hold and a burn that begin in mid-rollout, and clocks that jump, on a real server whose time is advanced.
//!
//! HTTP over a socket, SQLite in a file, governance in a directory; people act with tokens, and what is asserted is what they read: the answers of the
//! API and the words of the pages. Made up are the targets, their telemetry, the tokens, and the clock: it stands still, whatever is asked and written,
//! and moves only when a test [advances](Port::advance) it. What needs days in which nothing happens is in `waiting.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use audit::SigningKey;
use change::governance::Governance;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use sim::fleet::{Fleet, member_file};
use store::SqliteStore;

use crate::pages::{self, Reader};
use crate::waiting::Names;

const ACCESS: &str = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: eve, roles: [{role: reader}]}
groups: [{id: sre, members: [bob]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, rollback, read]}
  - {id: reader, may: [read]}
";
const APPROVALS: &str = "rules: [{require: [{by: sre, count: 1, within: 4h}]}]\n";
/// Four services with a target each, so that nothing meets; eve is on call for all of them.
const SERVICES: [&str; 4] = ["shop", "cart", "till", "store"];
/// The first instant is 2026-09-29T09:00:00Z.
const FREEZE: &str = "freezes: [{name: closing, start: '2026-09-29T11:00:45', end: '2026-09-29T12:00:00', tz: Europe/Berlin, reason: the books are closed, owner: sre}]\n";

/// A server at a port of this machine, its world, and the lever of its time.
struct Port {
    fleet: Fleet,
    url: String,
    folder: tempfile::TempDir,
}

impl Port {
    /// Plays a scene; with more files of the governance directory. The server ends with the runtime.
    fn play(files: &[(&str, &str)], scene: impl AsyncFnOnce(&Self)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            // Paused time runs ahead whenever nothing is to be done, also while the disk or a socket is waited for: not while somebody is at work on a
            // thread of its own. This one is at work until the scene is over.
            let (over, until_over) = mpsc::channel::<()>();
            let anchor = tokio::task::spawn_blocking(move || until_over.recv());
            let port = Self::open(files).await;
            scene(&port).await;
            drop(over);
            let _ = anchor.await;
        });
    }

    async fn open(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let governance = folder.path().join("governance");
        write_governance(&governance, more);
        let files = read_governance(&governance);
        let governance = Governance::read(&files).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let key = SigningKey::from_seed("port.test/log", [7; 32]).expect("a key");
        let store = SqliteStore::open(folder.path(), key).expect("a store");
        let fleet = Fleet::default();
        let handle = fleet.start(Arc::new(store), governance).await.expect("the engine starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("is bound"));
        let app = server::App { handle, identify: Arc::new(Names), base_url: url.clone(), public_log: false };
        tokio::spawn(server::serve(listener, app, std::future::pending()));
        Self { fleet, url, folder }
    }

    /// Moves time on by so many seconds, one after another: after each, disk and sockets have a moment to follow.
    async fn advance(&self, secs: u64) {
        for _ in 0..secs {
            tokio::time::advance(Duration::from_secs(1)).await;
            settle().await;
        }
    }

    /// Moves time on in strides, where nothing is looked at in the meantime.
    async fn stride(&self, minutes: u64) {
        for _ in 0..minutes * 3 {
            tokio::time::advance(Duration::from_secs(20)).await;
            settle().await;
        }
    }

    /// Asks the API as a user; the status and the answer.
    async fn ask(&self, user: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (url, token) = (format!("{}/api/v1{path}", self.url), format!("token-of-{user}"));
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let asked = tokio::task::spawn_blocking(move || {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let request = Client::new().request(method.clone(), url).bearer_auth(token);
            let request = if method == reqwest::Method::GET { request } else { request.json(&body) };
            let answer = request.send().expect("the server answers");
            (answer.status().as_u16(), answer.json().unwrap_or_default())
        });
        asked.await.expect("no panic")
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("ada", "GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer:#}");
        answer
    }

    async fn post(&self, user: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(user, "POST", path, body).await;
        assert!((200..300).contains(&status), "{user} {path}: {status} {answer:#}");
        answer
    }

    async fn page(&self, path: &str) -> String {
        let (url, path) = (self.url.clone(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || Reader::log_in(&url, "token-of-bob").read(&path));
        pages::words(&read.await.expect("no panic"))
    }

    /// The same, and lets its first step begin: it is a minute long.
    async fn begin(&self, service: &str, more: &str) -> String {
        let id = self.propose(service, more).await;
        self.until(&id, "rolling_out").await;
        id
    }

    /// Proposes a change of a service on its own target as ada, approves it as bob; its id.
    async fn propose(&self, service: &str, more: &str) -> String {
        let file = member_file(service).replace("services: [shop]", &format!("services: [{service}]"));
        // Time is advanced without asking whether every look was taken: on a slow machine a step takes more of it.
        let file = file.replace("bake: 30s", "bake: 60s").replace("verify:\n", "verify:\n  deadline: 1h\n") + more;
        let proposed = self.post("ada", "/changes", json!({"file": file})).await;
        let id = proposed["change"]["id"].as_str().expect("an id").to_owned();
        self.until(&id, "assessed").await;
        let effect = proposed["change"]["proposal"]["effect_digest"].clone();
        self.post("bob", &format!("/changes/{id}/approve"), json!({"effect": effect})).await;
        id
    }

    async fn phase(&self, id: &str) -> String {
        self.get(&format!("/changes/{id}")).await["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Lets time pass, second by second, until a change is in this phase.
    async fn until(&self, id: &str, phase: &str) -> Value {
        for _ in 0..900 {
            let view = self.get(&format!("/changes/{id}")).await;
            if view["phase"] == phase {
                return view;
            }
            self.advance(1).await;
        }
        let (stands, gates) =
            (self.get(&format!("/changes/{id}")).await, self.get(&format!("/changes/{id}/gates")).await);
        panic!("{id} does not become {phase}: {}: {gates:#}", stands["status"]);
    }

    /// The gates that hold a change: their names, codes, reasons, and when they open.
    async fn closed(&self, id: &str) -> Vec<[String; 4]> {
        let answer = self.get(&format!("/changes/{id}/gates")).await;
        let gates = answer["gates"].as_array().or(answer.as_array()).expect("gates").clone();
        let text = |gate: &Value, field: &str| gate[field].as_str().unwrap_or_default().to_owned();
        let closed = gates.iter().filter(|gate| gate["state"] == "closed");
        closed.map(|gate| ["gate", "code", "reason", "opens_at"].map(|field| text(gate, field))).collect()
    }

    async fn roll_back(&self, id: &str) {
        self.post("ada", &format!("/changes/{id}/rollback"), json!({"reason": "to be sure"})).await;
        self.until(id, "rolled_back").await;
    }

    /// How often each step had an effect on its target.
    fn effects(&self, id: &str) -> BTreeMap<String, usize> {
        let mut effects = BTreeMap::new();
        for call in self.fleet.calls().into_iter().filter(|call| call.change.to_string() == id && call.is_effect) {
            *effects.entry(call.key).or_default() += 1;
        }
        effects
    }

    fn was_told(&self, words: &str) {
        let told = self.fleet.told();
        assert!(told.iter().any(|said| said.contains(words)), "nobody was told `{words}`, but {told:#?}");
    }
}

/// Waits a moment of real time: what was set off by an instant goes over disk and sockets.
async fn settle() {
    let moment = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(4)));
    moment.await.expect("no panic");
}

fn write_governance(folder: &Path, more: &[(&str, &str)]) {
    std::fs::create_dir_all(folder.join("services")).expect("folders");
    for name in SERVICES {
        let service = format!("name: {name}\nowner: sre\non_call: eve\ntier: 3\nslis: [errors]\n");
        std::fs::write(folder.join(format!("services/{name}.yaml")), service).expect("a file");
    }
    let slis = "slis:\n  - {name: errors, source: fleet, ratio: {bad: 'bad{v=\"$cohort\"}', total: 'all{v=\"$cohort\"}'}, objective: 99%}\n";
    let files = [("access.yaml", ACCESS), ("approvals.yaml", APPROVALS), ("slis.yaml", slis)];
    for (name, text) in files.iter().chain(more) {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}

fn read_governance(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for below in ["", "services/"] {
        for entry in std::fs::read_dir(folder.join(below)).expect("a folder").flatten() {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.path().is_file() {
                files.insert(name, std::fs::read_to_string(entry.path()).expect("text"));
            }
        }
    }
    files
}

fn has(text: &str, wanted: &[&str]) {
    wanted.iter().for_each(|part| assert!(text.contains(part), "`{part}` is missing in:\n{text}"));
}

// LC4: each change that is under way does what it is to do when a freeze begins; people read why and until when; a rollback passes; it ends by itself.
#[test]
fn a_freeze_in_mid_rollout_is_told_and_passed_by_a_rollback_and_ends_by_itself() {
    Port::play(&[("calendar.yaml", FREEZE)], async |port| {
        let finishes = port.begin("shop", "").await;
        let pauses = port.begin("cart", "on_close: pause\n").await;
        let goes_back = port.begin("till", "on_close: roll-back\n").await;
        let rolled_back_by_hand = port.begin("store", "").await;
        port.until(&finishes, "held").await;
        assert_eq!(port.phase(&pauses).await, "paused");
        port.until(&goes_back, "rolled_back").await;
        assert_eq!(["shop", "cart", "till"].map(|target| port.fleet.weight(target)), [2_500, 2_500, 0]);
        let closed = port.closed(&finishes).await;
        assert_eq!(closed.len(), 1, "{closed:?}");
        let [gate, code, reason, opens_at] = &closed[0];
        assert_eq!((gate.as_str(), opens_at.as_str()), ("windows", "2026-09-29T10:00:00Z"), "{code}");
        has(reason, &["the freeze `closing` covers `shop` until `2026-09-29T10:00:00Z`", "the books are closed"]);
        has(
            &port.page(&format!("/changes/{finishes}")).await,
            &["closing", "2026-09-29T10:00:00Z", "the books are closed"],
        );
        port.roll_back(&rolled_back_by_hand).await;
        assert_eq!(port.fleet.weight("store"), 0, "in the freeze");
        port.stride(58).await;
        assert_eq!(port.phase(&finishes).await, "held", "a minute before its end");
        port.stride(2).await;
        port.until(&finishes, "completed").await;
        assert_eq!(port.phase(&pauses).await, "paused", "what a freeze has paused waits for a person");
        port.post("bob", &format!("/changes/{pauses}/resume"), json!({})).await;
        port.until(&pauses, "completed").await;
        assert!(port.effects(&finishes).values().all(|times| *times == 1), "{:?}", port.effects(&finishes));
        assert!(port.folder.path().join("clearway.db").exists(), "the log is in a file");
    });
}

// A4: who is on call stops one change, and a whole service, in mid-rollout; others can't; each ends by itself, and a rollback passes.
#[test]
fn a_veto_and_a_hold_in_mid_rollout_are_told_and_end_by_themselves() {
    Port::play(&[], async |port| {
        let vetoed = port.begin("shop", "").await;
        let held = port.begin("cart", "").await;
        let back = port.propose("cart", "links: [https://tickets.example/1]\n").await;
        let veto = json!({"reason": "not during the incident", "lasts": "30m"});
        let (status, refused) = port.ask("ada", "POST", &format!("/changes/{vetoed}/veto"), veto.clone()).await;
        assert_eq!(status, 403, "{refused:#}");
        port.post("eve", &format!("/changes/{vetoed}/veto"), veto).await;
        let hold = json!({"services": ["cart"], "lasts": "20m", "reason": "customers can't pay"});
        port.post("eve", "/holds", hold).await;
        port.until(&vetoed, "held").await;
        port.until(&held, "held").await;
        let [gate, code, reason, opens_at] = &port.closed(&vetoed).await[0];
        assert_eq!((gate.as_str(), code.as_str()), ("windows", "vetoed"));
        has(reason, &["eve has vetoed it until", "not during the incident", opens_at]);
        has(&port.page(&format!("/changes/{vetoed}")).await, &["eve has vetoed it until", "not during the incident"]);
        let of_hold = port.closed(&held).await;
        assert_eq!(of_hold[0][1], "service_hold", "{of_hold:?}");
        has(&of_hold[0][2], &["eve holds `cart` until `", "customers can't pay"]);
        has(&port.page(&format!("/changes/{held}")).await, &["eve holds", "customers can't pay"]);
        assert_eq!(port.phase(&back).await, "held", "it waits for the other on its target");
        port.roll_back(&held).await;
        assert_eq!(port.fleet.weight("cart"), 0, "under the hold");
        port.stride(21).await;
        port.until(&back, "completed").await;
        assert_eq!(port.phase(&vetoed).await, "held", "the veto lasts longer");
        port.stride(10).await;
        port.until(&vetoed, "completed").await;
        assert!(port.effects(&vetoed).values().all(|times| *times == 1), "{:?}", port.effects(&vetoed));
    });
}

// A2: a burn that begins in mid-rollout pauses it, tells people, holds what would begin, lets a rollback through, and what it paused goes on by itself.
#[test]
fn a_burn_in_mid_rollout_pauses_tells_and_lets_go_on() {
    let policy = "every: 20s\nwindows: [{long: 4m, short: 2m, factor: 2}]\nbands: []\n";
    Port::play(&[("error_budget.yaml", policy)], async |port| {
        let goes_on = port.begin("shop", "").await;
        let back = port.begin("cart", "").await;
        port.fleet.set_burn(0.2);
        let paused = port.until(&goes_on, "paused").await;
        has(paused["status"].as_str().unwrap_or_default(), &["the error budget of `shop` burns"]);
        has(&port.page(&format!("/changes/{goes_on}")).await, &["the error budget of shop burns"]);
        port.advance(30).await;
        port.was_told("times as fast as expected");
        let budgets = port.get("/budgets?service=shop").await;
        assert!(
            budgets["budgets"][0]["state"]["burning"]["rate"].as_f64().is_some_and(|rate| rate > 2.0),
            "{budgets:#}"
        );
        let waits = port.propose("till", "").await;
        port.until(&waits, "held").await;
        let closed = port.closed(&waits).await;
        assert_eq!((closed[0][0].as_str(), closed[0][1].as_str()), ("windows", "budget_burns"), "{closed:?}");
        port.roll_back(&back).await;
        assert_eq!(port.fleet.weight("cart"), 0, "in the burn");
        port.fleet.set_burn(0.0);
        port.stride(12).await;
        port.until(&goes_on, "completed").await;
        port.until(&waits, "completed").await;
        assert!(port.effects(&goes_on).values().all(|times| *times == 1), "{:?}", port.effects(&goes_on));
    });
}

// F9: the clock is set back an hour in mid-rollout, and forward by a day: nothing is lost, begins before its time, or is done twice.
#[test]
fn a_clock_that_jumps_back_an_hour_and_forward_a_day_loses_and_repeats_nothing() {
    Port::play(&[("calendar.yaml", FREEZE)], async |port| {
        let rolls = port.begin("shop", "").await;
        let timed = port.propose("cart", "when: '2026-09-29T09:30:00Z'\n").await;
        port.until(&rolls, "held").await;
        port.fleet.set_clock(-3_600_000);
        // By the clock it is eight: the freeze is to begin in an hour, and nothing stands in the way.
        port.advance(90).await;
        port.until(&rolls, "completed").await;
        port.stride(40).await;
        assert_eq!(port.phase(&timed).await, "scheduled", "by the clock it is not time yet");
        port.fleet.set_clock(86_400_000);
        port.advance(15).await;
        port.until(&timed, "completed").await;
        for id in [&rolls, &timed] {
            let effects = port.effects(id);
            assert!(effects.len() == 2 && effects.values().all(|times| *times == 1), "{effects:?}");
        }
        let log = port.get(&format!("/changes/{timed}/log")).await;
        let begun = log["entries"]
            .as_array()
            .or(log.as_array())
            .expect("a log")
            .iter()
            .filter(|entry| entry["type"] == "StepBegun");
        assert_eq!(begun.count(), 2, "{log:#}");
    });
}
