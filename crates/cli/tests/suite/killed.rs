//! F8, F9: the server is killed at random moments of rollouts, again and again, and nothing is done twice or lost.
//!
//! The checker reads the log and the router's own record of what was applied, and nothing of the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::house::House;

/// Rollouts at a time: each has a backend of its own.
const AT_A_TIME: usize = 6;

fn waves() -> usize {
    let rollouts = std::env::var("CLEARWAY_KILL_ROLLOUTS").ok().and_then(|n| n.parse().ok());
    let usual = if std::env::var("CI").is_ok_and(|ci| ci == "true") { AT_A_TIME } else { 30 };
    rollouts.unwrap_or(usual).div_ceil(AT_A_TIME)
}

// F8: it resumes where it was; no step is done twice; no approved change is lost; no half-known effect is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_every_step_happens_once() {
    for wave in 0..waves() {
        kill_one_wave(0x5eed + wave as u64);
    }
}

fn kill_one_wave(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut house = House::build(AT_A_TIME, "good");
    for backend in 0..AT_A_TIME {
        house.send_visitors(backend, 150.0);
    }
    house.start_server();
    let changes: Vec<String> = (0..AT_A_TIME)
        .map(|backend| {
            let file = house.change_file(&format!("{backend}.yaml"), backend, "");
            let view = house.json(&["propose", &file]);
            view["change"]["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let mut kills = 0;
    let patience = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        std::thread::sleep(Duration::from_millis(rng.random_range(20..700)));
        house.kill_server();
        kills += 1;
        house.start_server();
        let open = changes.iter().filter(|c| house.phase(c).as_deref() != Some("completed")).count();
        if open == 0 {
            break;
        }
        assert!(
            std::time::Instant::now() < patience,
            "seed {seed}: {open} rollouts are not done after {kills} kills\n{}",
            house.server_log()
        );
    }
    for (backend, change) in changes.iter().enumerate() {
        check(&house, backend, change, seed);
    }
    house.kill_server();
    let verified = house.json(&["audit", "verify", "--store", &house.store().display().to_string()]);
    assert_eq!(verified["verified"], true);
    println!("seed {seed}: {} rollouts done, {kills} kills, {} entries verified", changes.len(), verified["entries"]);
}

/// Each step once in the log and once at the target, in the order of the plan, the new version's share never falling.
fn check(house: &House, backend: usize, change: &str, seed: u64) {
    let log = house.json(&["log", change]);
    let events: Vec<&Value> = log["entries"].as_array().expect("events").iter().collect();
    let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).copied().collect::<Vec<_>>();
    let steps = |kind: &str| of(kind).iter().map(|e| e["body"]["step"].as_u64().unwrap_or(99)).collect::<Vec<_>>();
    assert_eq!(steps("StepBegun"), [0, 1], "seed {seed}, {change}: each step is begun once");
    assert_eq!(steps("StepApplied"), [0, 1], "seed {seed}, {change}: each step has effect once");
    assert_eq!(of("Completed").len(), 1, "seed {seed}, {change}");
    assert_eq!(of("RollbackBegun").len(), 0, "seed {seed}, {change}");

    let url = format!("http://{}/backends/b{backend}/applied", house.router_admin);
    let applied: Vec<Value> = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current()
            .block_on(async { reqwest::get(url).await.expect("the router answers").json().await.expect("JSON") })
    });
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    let mut share = 0;
    for deed in &applied {
        *keys.entry(deed["key"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        let now = deed["weights"]["v2"].as_u64().expect("a weight");
        assert!(now >= share, "seed {seed}, {change}: the new version's share fell from {share} to {now}");
        share = now;
    }
    let wanted: BTreeMap<String, usize> = (1..=2).map(|step| (format!("{change}/{step}/1"), 1)).collect();
    assert_eq!(keys, wanted, "seed {seed}, {change}: each step is seen once at the target");
    assert_eq!(share, 10_000);
}
