//! LC6, F1: synthetic checks decide where real traffic can't, and never in a way that nobody can explain.

use change::gate::GateName;
use change::verification::{Answer, Judgement};
use change::{Event, Phase, Span, time};
use engine::ports::{LookRow, Recorded};
use serde_json::Value;
use sim::world::{Behaviour, Met, NOBODY, Try, World, change_file, governance};

use crate::support::*;

/// A change file that is verified by these checks alone.
fn by_checks(bake: &str, checks: &str) -> String {
    let file = change_file("a", &[("25%", bake), ("100%", bake)], "");
    let (head, tail) =
        (file.split("  slis:").next().expect("a head"), file.split("  every: 1s").nth(1).expect("a tail"));
    let tail = tail.replace("watch: 10s", &format!("watch: {bake}"));
    format!("{head}  checks: [{checks}]\n  every: 1s{tail}")
}

const LOGIN: &str = "{name: login, http: {url: 'http://$cohort.shop.internal/login'}}";
const COUNTED: &str = "{name: login, http: {url: 'http://$cohort.shop.internal/login'}, objective: 90%}";

fn judgements(log: &[Recorded]) -> Vec<Judgement> {
    let judged = log.iter().filter_map(|r| match &r.event {
        Event::Judged(judgement) => Some((**judgement).clone()),
        _ => None,
    });
    judged.collect()
}

fn newest(log: &[Recorded]) -> Judgement {
    judgements(log).pop().expect("a judgement")
}

/// The readings of a check, look by look.
fn readings(looks: &[LookRow], check: &str) -> Vec<Value> {
    let of = |row: &LookRow| row.readings.as_array()?.iter().find(|seen| seen["sli"] == check).cloned();
    looks.iter().filter_map(of).collect()
}

fn of_canary(tries: &[Try]) -> Vec<&Try> {
    tries.iter().filter(|t| t.cohort == "new").collect()
}

// F1: the SLIs alone can't decide a step without traffic; a check whose runs are counted fills the gap.
#[test]
fn a_canary_without_traffic_is_held_by_its_slis_and_decided_by_a_check_with_an_objective() {
    paused().block_on(async {
        let (world, store) = (World::new(31, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &[("25%", "20s"), ("100%", "20s")], "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        world.set_rate(0.0);
        let held = until(&handle, id, |p| p.is_terminal() || matches!(p, Phase::Paused { .. })).await;
        assert!(matches!(held.phase(), Phase::Paused { .. }), "{}", change::explain::status(&held));
        assert!(judgements(&log(&store, id).await).iter().all(|j| j.answer != Answer::Pass));
    });
    paused().block_on(async {
        let (world, store) = (World::new(32, Behaviour::GOOD), memory());
        world.set_rate(0.0);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &by_checks("2m", COUNTED)).await;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::Completed, "{}", change::explain::status(&change));
        let log = log(&store, id).await;
        let passes: Vec<Judgement> = judgements(&log).into_iter().filter(|j| j.answer == Answer::Pass).collect();
        let login = passes.first().and_then(|j| j.slis.first()).expect("the check is judged");
        assert_eq!(login.name, "login");
        assert!(login.canary.total >= 100, "each run is one event: {login:?}");
        assert!(login.why.contains("runs were bad"), "{}", login.why);
        check_history(&log, &world);
    });
}

// F1: the same check, counted, fails the change when the new version does.
#[test]
fn a_canary_without_traffic_is_rolled_back_by_a_check_with_an_objective() {
    paused().block_on(async {
        let (world, store) = (World::new(33, Behaviour { errors: 0.5, slower: 1.0 }), memory());
        world.set_rate(0.0);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &by_checks("2m", COUNTED)).await;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::RolledBack, "{}", change::explain::status(&change));
        let log = log(&store, id).await;
        let failed = judgements(&log).into_iter().find(|j| j.answer == Answer::Fail).expect("a fail");
        assert!(failed.why.contains("`login`") && failed.why.contains("runs were bad"), "{}", failed.why);
        assert!(failed.evidence >= 100.0, "by the statistics, not by three in a row: {failed:?}");
        check_history(&log, &world);
    });
}

// LC6: without an objective, three failures in a row fail the change, and the verdict says why.
#[test]
fn a_check_that_fails_three_times_rolls_back_and_says_why() {
    paused().block_on(async {
        let (world, store) = (World::new(34, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &by_checks("20s", LOGIN)).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        world.set_met(Met::Failure("status 503 instead of 200-399"));
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::RolledBack);
        let log = log(&store, id).await;
        let failed = judgements(&log).into_iter().find(|j| j.answer == Answer::Fail).expect("a fail");
        assert_eq!(failed.why, "`login` failed 3 times in a row (newest: status 503 instead of 200-399).");
        let kept = store.looks(id, 1).await.expect("looks");
        let last = readings(&kept, "login").pop().expect("a reading");
        assert_eq!(last["why"], "status 503 instead of 200-399", "the reason is kept with the look: {last}");
        check_history(&log, &world);
    });
}

// F1: what could not be run is neither good nor bad.
#[test]
fn a_check_that_can_not_be_run_is_unreachable_and_never_a_pass() {
    paused().block_on(async {
        let (world, store) = (World::new(35, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &by_checks("20s", LOGIN)).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        world.set_met(Met::Refusal("the name `new.shop.internal` could not be resolved: no answer"));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let held = newest(&log(&store, id).await);
        assert_eq!(
            (held.answer, held.why.as_str()),
            (
                Answer::Unreachable,
                "`login` could not be run: the name `new.shop.internal` could not be resolved: no answer"
            )
        );
        world.set_met(Met::TheVersion);
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// X13: what can't be run at all closes the gate before anything begins; what fails already is named.
#[test]
fn checks_are_rehearsed_against_the_stable_version_before_a_rollout() {
    paused().block_on(async {
        let (world, store) = (World::new(36, Behaviour::GOOD), memory());
        let refusal = "this server may not ask `old.shop.internal:80`; its operator can add it";
        world.set_met(Met::Refusal(refusal));
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &by_checks("20s", LOGIN)).await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        let reason = change::explain::status(&held);
        assert!(reason.contains(&format!("the check `login` can't be run: {refusal}")), "{reason}");
        assert!(world.deeds().is_empty(), "no driver was called");
        assert!(world.tries().iter().all(|t| t.cohort == "old"), "the stable version is asked");

        world.set_met(Met::FailureOfBoth("status 404 instead of 200-399"));
        let begun = until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        let gates = handle.gates_of(&begun).await.expect("gates");
        let readiness = gates.iter().find(|g| g.gate == GateName::Readiness).expect("a gate");
        let warning = "the check `login` fails for the stable version already: status 404 instead of 200-399";
        assert_eq!((readiness.is_open(), readiness.warnings.as_slice()), (true, &[warning.to_owned()][..]));
    });
}

// LC6: on a schedule of its own, in every step; the looks between carry nothing of it.
#[test]
fn a_check_runs_when_it_is_due_and_the_looks_between_change_nothing() {
    paused().block_on(async {
        let (world, store) = (World::new(37, Behaviour { errors: 0.0, slower: 1.0 }), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let seldom = LOGIN.replace("}}", "}, every: 7s}");
        let id = propose(&handle, &by_checks("30s", &seldom)).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let tries = world.tries();
        let canary = of_canary(&tries);
        // Two steps of 30 s and a watch as long: each begins with a run, and has one every 7 s.
        assert!((12..=16).contains(&canary.len()), "{} runs", canary.len());
        let looks = store.looks(id, 1).await.expect("looks");
        let readings = readings(&looks, "login");
        assert_eq!(readings.len(), looks.len(), "every look says something of it");
        let idle = readings.iter().filter(|r| r["reading"] == "not_due").count();
        assert_eq!(readings.len() - idle, canary.len(), "each run is told once");
        assert!(idle > readings.len() / 2);
        for step in 0..=2 {
            let first = looks.iter().find(|l| l.step == step).expect("the step has looks");
            let began = canary.iter().filter(|t| t.at >= first.at).map(|t| time::between(first.at, t.at)).min();
            assert!(
                began.is_some_and(|wait| wait <= Span::secs(1)),
                "step {step} begins with a run of its own: {began:?}"
            );
        }
    });
}

// LC6: a check that hangs holds up neither the looks nor what they find.
#[test]
fn a_check_that_hangs_does_not_delay_what_other_slis_find() {
    let takes = |checks: &str| {
        paused().block_on(async {
            let (world, store) = (World::new(38, Behaviour::FAILING), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let file = change_file("a", &[("25%", "20s"), ("100%", "20s")], "");
            let id =
                propose(&handle, &file.replace("  every: 1s", &format!("  checks: [{checks}]\n  every: 1s"))).await;
            until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
            world.set_met(Met::Silence);
            let change = until_ended(&handle, id).await;
            assert_eq!(change.phase(), Phase::RolledBack, "{}", change::explain::status(&change));
            let log = log(&store, id).await;
            let at = |wanted: fn(&Event) -> bool| {
                log.iter().find(|r| wanted(&r.event)).map(|r| r.time).expect("it happened")
            };
            let begun = at(|e| matches!(e, Event::StepApplied { .. }));
            time::between(begun, at(|e| matches!(e, Event::RollbackBegun { .. })))
        })
    };
    let slow = "{name: slow, tcp: {address: 'shop.internal:1'}, every: 1m, timeout: 50s}";
    let (without, with) = (takes(""), takes(slow));
    assert!(with <= Span::millis(without.as_millis() + 3_000), "{with} beside a hanging check, {without} without");
}

#[test]
fn at_most_eight_checks_of_a_change_run_at_a_time_and_all_get_their_turn() {
    paused().block_on(async {
        let (world, store) = (World::new(39, Behaviour { errors: 0.0, slower: 1.0 }), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let many: Vec<String> = (0..50).map(|i| LOGIN.replace("login,", &format!("login-{i},"))).collect();
        let id = propose(&handle, &by_checks("5s", &many.join(", "))).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let tries = world.tries();
        assert_eq!(tries.iter().map(|t| t.at_a_time).max(), Some(8));
        let looks = store.looks(id, 1).await.expect("looks");
        for i in 0..50 {
            let told = readings(&looks, &format!("login-{i}")).iter().filter(|r| r["reading"] != "not_due").count();
            assert!(told >= 15, "check {i} was told {told} times");
        }
    });
}

// A restart neither forgets nor repeats a run: what is due follows from the kept looks.
#[test]
fn a_restart_goes_on_with_the_schedule_of_the_checks() {
    paused().block_on(async {
        let (world, store) = (World::new(40, Behaviour { errors: 0.0, slower: 1.0 }), memory());
        let first = start(&world, &store, governance(NOBODY)).await;
        let seldom = LOGIN.replace("}}", "}, every: 1m}");
        let id = propose(&first, &by_checks("50s", &seldom)).await;
        until(&first, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        assert_eq!(of_canary(&world.tries()).len(), 1);
        first.drain().await;
        drop(first);
        let second = start(&world, &store, governance(NOBODY)).await;
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        assert_eq!(of_canary(&world.tries()).len(), 1, "it has run in this step");
        assert_eq!(until_ended(&second, id).await.phase(), Phase::Completed);
    });
}
