//! X18: a series that nobody named is found when it moves with the new version. It informs, holds where the plan says so, and never rolls back.

use change::verification::{Answer, Judgement, SCAN_FINDING};
use change::{Event, Phase};
use engine::ports::Recorded;
use sim::world::{Behaviour, NOBODY, Telemetry, World, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("50%", "90s"), ("100%", "10s")];

fn file(scan: &str, more: &str) -> String {
    change_file("a", &STEPS, "").replace("  every: 1s", &format!("  every: 1s\n  scan: {scan}{more}"))
}

fn judgements(log: &[Recorded]) -> Vec<Judgement> {
    let judged = |recorded: &Recorded| match &recorded.event {
        Event::Judged(judgement) => Some((**judgement).clone()),
        _ => None,
    };
    log.iter().filter_map(judged).collect()
}

fn exposed(seed: u64, odd: &str) -> World {
    let world = World::new(seed, Behaviour::GOOD);
    world.set_rate(150.0);
    for i in 0..10 {
        world.expose(&format!("pool_{i}_size"), 1.0);
        world.expose(&format!("calls_{i}_total"), 1.0);
    }
    world.expose(odd, 3.0);
    world
}

// X18: a gauge and a counter, as a note.
#[test]
fn a_series_that_nobody_named_is_shown_when_it_triples_and_the_change_goes_on() {
    for odd in ["goroutines", "db_pool_waits_total"] {
        paused().block_on(async {
            let (world, store) = (exposed(21, odd), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &file("note", "")).await;
            assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
            let judged = judgements(&log(&store, id).await);
            let passed = judged.iter().find(|j| j.answer == Answer::Pass).expect("a pass");
            let names: Vec<&str> = passed.findings.iter().map(|f| f.name.as_str()).collect();
            assert_eq!(names, [odd], "{passed:?}");
            assert!((2.5..3.5).contains(&passed.findings[0].effect), "{passed:?}");
            assert!(passed.findings[0].why.contains(odd), "{passed:?}");
            let looks = handle.looks(id, 0).await.expect("the store answers");
            assert!(looks.iter().any(|look| look.verdict["findings"][0]["name"] == odd), "the looks show it too");
        });
    }
}

// X18: with `hold` the step stands still; at its deadline even a plan that rolls back in doubt asks a person.
#[test]
fn a_finding_holds_where_the_plan_says_so_and_never_rolls_back_alone() {
    for choice in ["hold", "page", "rollback"] {
        paused().block_on(async {
            let (world, store) = (exposed(22, "goroutines"), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &file("hold", &format!("\n  on_insufficient: {choice}"))).await;
            let stopped = until(&handle, id, |p| p.is_terminal() || matches!(p, Phase::Paused { .. })).await;
            assert_eq!(stopped.phase().name(), "paused", "{choice}: {}", change::explain::status(&stopped));
            let log = log(&store, id).await;
            assert!(!log.iter().any(|r| matches!(r.event, Event::Advanced { .. } | Event::RollbackBegun { .. })));
            let judged = judgements(&log);
            let held = judged.iter().find(|j| j.is_held_by_scan_alone()).expect("a verdict that only the scan holds");
            assert_eq!((held.answer, held.reasons[0].code.as_str()), (Answer::Insufficient, SCAN_FINDING));
            assert!(held.why.contains("goroutines"), "{}", held.why);
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            assert_eq!(world.pages().is_empty(), choice == "hold", "{choice}");
        });
    }
}

// X18: harm is the judge's to see, whatever the scan says.
#[test]
fn a_finding_does_not_stand_in_the_way_of_a_rollback() {
    paused().block_on(async {
        let (world, store) = (exposed(23, "goroutines"), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file("hold", "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        tokio::time::sleep(std::time::Duration::from_secs(80)).await;
        world.set_behaviour(Behaviour::FAILING);
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
    });
}

// X18: what was found is folded again from what stands with the looks.
#[test]
fn a_finding_survives_the_death_of_the_engine() {
    let (world, store) = (exposed(24, "goroutines"), memory());
    let file =
        change_file("a", &[("50%", "200s"), ("100%", "10s")], "").replace("  every: 1s", "  every: 1s\n  scan: hold");
    let id = paused().block_on(async {
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file).await;
        tokio::time::sleep(std::time::Duration::from_secs(90)).await;
        id
    });
    let since = |looks: &[engine::ports::LookRow]| {
        let newest = looks.last().expect("looks").verdict.clone();
        newest["findings"][0]["since_look"].as_u64().expect("a finding")
    };
    paused().block_on(async {
        let before = store.looks(id, 1).await.expect("the store answers");
        let handle = start(&world, &store, governance(NOBODY)).await;
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let after = handle.looks(id, 0).await.expect("the store answers");
        assert!(after.len() > before.len(), "it goes on");
        assert_eq!(since(&after), since(&before));
    });
}

// X18: a scan that can't read is a note, and the change goes on; off is off.
#[test]
fn a_scan_that_fails_or_is_off_changes_nothing() {
    paused().block_on(async {
        let (world, store) = (exposed(25, "goroutines"), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file("off", "")).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert!(judgements(&log(&store, id).await).iter().all(|j| j.findings.is_empty()));

        world.set_telemetry(Telemetry::Honest);
        world.expose_nothing();
        let id =
            propose(&handle, &file("hold", "").replace("title: a", "title: b").replace("sha256:a", "sha256:b")).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let judged = judgements(&log(&store, id).await);
        let noted = judged.iter().flat_map(|j| &j.reasons).any(|r| r.text.contains("can't list its series"));
        assert!(noted, "{judged:?}");
    });
}
