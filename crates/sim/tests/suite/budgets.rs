//! A2: error budgets in a world in which hours pass: a burn that begins in mid-rollout, bands that slow changes down, and a source that falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use change::budget::stream;
use change::governance::Governance;
use change::rollout::PauseReason;
use change::{Change, Command, Event, Phase, Span};
use engine::Handle;
use engine::budgets::BudgetOverview;
use engine::ports::{BootMillis, Store, StoreError};
use sim::world::{Behaviour, Telemetry, World, ada, bob, change_file};

use crate::govern::{EMERGENCY, draft, reasons, rules};
use crate::support::*;

const SHOP: &str = "name: shop\nowner: sre\nslis: [shop-errors]\ntier: 3\n";
const SLIS: &str = "slis:\n  - {name: shop-errors, source: world, ratio: {bad: 'bad{v=\"$cohort\"}', total: 'all{v=\"$cohort\"}'}, objective: 99%}\n";
const LONG: [(&str, &str); 2] = [("25%", "8m"), ("100%", "30s")];
const SHORT: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

pub(crate) fn budgets(policy: &str) -> Governance {
    let files = [("services/shop.yaml", SHOP), ("slis.yaml", SLIS), ("error_budget.yaml", policy)];
    rules(&format!("rules: [{{require: []}}]\n{EMERGENCY}"), &files)
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

async fn budget(handle: &Handle) -> BudgetOverview {
    handle.budgets(Some("shop")).await.expect("the store answers").expect("budgets are read").remove(0)
}

fn codes(change: &Change) -> Vec<String> {
    change.hold.iter().flat_map(|hold| &hold.gates).filter_map(|gate| gate.code()).map(str::to_owned).collect()
}

fn pause_of(change: &Change) -> Option<PauseReason> {
    change.rollout().and_then(|rollout| rollout.pause.as_ref()).map(|pause| pause.why)
}

// A2: a burn that begins in mid-rollout pauses it and tells people; others don't begin; when it is over, all go on by themselves.
#[test]
fn a_burn_in_mid_rollout_pauses_and_what_was_paused_goes_on_when_it_is_over() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        world.set_rate(100.0);
        let policy = "every: 20s\nwindows: [{long: 6m, short: 2m, factor: 2}]\nbands: []\n";
        let handle = start(&world, &store, budgets(policy)).await;
        let id = propose(&handle, &change_file("a", &LONG, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        world.set_burn(0.05);
        let stopped = until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        assert_eq!(pause_of(&stopped), Some(PauseReason::Burn));
        assert!(reasons(&stopped).contains("the error budget of `shop` burns"), "{}", reasons(&stopped));
        minutes(1).await;
        assert!(
            world.pages().iter().any(|(_, reason)| reason.contains("times as fast as expected")),
            "{:?}",
            world.pages()
        );
        let burning = budget(&handle).await.state.and_then(|state| state.burning).expect("it burns");
        assert!(burning.rate > 2.0, "{burning:?}");
        world.set_burn(0.0);
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let told = story(&log(&store, id).await);
        let place = |name: &str| told.iter().position(|n| n == name).expect("it is in the log");
        assert!(place("Paused") < place("Resumed") && place("Resumed") < place("Completed"), "{told:?}");
        let moves = store.read(&stream("shop"), 0).await.expect("the store answers");
        assert_eq!(moves.len(), 3, "the first look, a beginning and an end, not every look: {moves:#?}");
    });
}

// A2: with `resume: ask` a person resumes; what is let through is neither paused nor held, and a rollback passes.
#[test]
fn what_a_burn_paused_waits_for_a_person_where_the_policy_asks_and_a_rollback_passes() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        world.set_rate(100.0);
        let policy = "every: 20s\nwindows: [{long: 6m, short: 2m, factor: 2}]\nbands: []\nresume: ask\n";
        let handle = start(&world, &store, budgets(policy)).await;
        let id = propose(&handle, &change_file("a", &LONG, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        world.set_burn(0.05);
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        handle.command(&ada(), id, Command::Resume { found: None }).await.expect("ada may");
        minutes(2).await;
        assert_eq!(pause_of(&state(&handle, id).await), None, "who resumes in a burn has decided so");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        assert_eq!(codes(&held), ["budget_burns"], "the next step waits all the same");
        handle.command(&ada(), id, Command::Rollback { reason: "to be sure".into() }).await.expect("ada may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
        world.set_burn(0.0);
        minutes(30).await;
        let next = propose(&handle, &change_file("b", &LONG, "")).await;
        until(&handle, next, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        world.set_burn(0.05);
        until(&handle, next, |p| matches!(p, Phase::Paused { .. })).await;
        world.set_burn(0.0);
        minutes(10).await;
        assert_eq!(pause_of(&state(&handle, next).await), Some(PauseReason::Burn), "it waits for a person");
        handle.command(&ada(), next, Command::Resume { found: None }).await.expect("ada may");
        assert_eq!(until_ended(&handle, next).await.phase(), Phase::Completed);
    });
}

// A2: what is left sets how many changes may begin in a day; the next one goes when a place is free.
#[test]
fn a_band_lets_so_many_changes_begin_in_a_day_and_the_next_goes_when_a_place_is_free() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        world.set_burn(0.006);
        let policy = "period: 1d\nevery: 5m\nwindows: [{long: 1h, short: 5m, factor: 5}]\nbands: [{at_most_percent: 50, changes_per_day: 1}]\n";
        let handle = start(&world, &store, budgets(policy)).await;
        minutes(60 * 24).await;
        let seen = budget(&handle).await;
        assert_eq!(seen.state.and_then(|state| state.band), Some(50));
        let left = seen.reading.and_then(|reading| reading.slis[0].left_percent).expect("enough was counted");
        assert!((left - 40.0).abs() < 1.0, "{left}");
        let first = propose(&handle, &change_file("a", &SHORT, "")).await;
        assert_eq!(until_ended(&handle, first).await.phase(), Phase::Completed);
        let second = propose(&handle, &change_file("b", &SHORT, "")).await;
        let held = until(&handle, second, |p| matches!(p, Phase::Held { step: None })).await;
        assert_eq!(codes(&held)[0], "budget_rate");
        assert!(reasons(&held).contains("1 of 1 that may begin in a day have begun"), "{}", reasons(&held));
        let done = until_ended(&handle, second).await;
        assert_eq!(done.phase(), Phase::Completed);
        let begun = |entries: Vec<engine::ports::Recorded>| {
            let first = entries.into_iter().find(|r| matches!(r.event, Event::StepBegun { .. }));
            first.expect("it began").time
        };
        let (earlier, later) = (begun(log(&store, first).await), begun(log(&store, second).await));
        assert!(change::time::after(earlier, change::budget::DAY) <= later, "{earlier} {later}");
    });
}

// A2, PA6: a spent budget closes the gate for all but what the policy lets through.
#[test]
fn a_spent_budget_closes_the_gate_for_all_but_what_is_let_through() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        world.set_burn(0.02);
        let policy =
            "period: 1d\nevery: 5m\nwindows: [{long: 1h, short: 5m, factor: 5}]\nbands: [{at_most_percent: 0}]\n";
        let handle = start(&world, &store, budgets(policy)).await;
        minutes(60 * 24).await;
        let id = propose(&handle, &change_file("a", &SHORT, "")).await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert_eq!(codes(&held)[0], "budget_spent");
        let why = reasons(&held);
        let wanted =
            "% of the error budget of `shop` is left (by `shop-errors` with the objective 99% over 1d, read at `";
        assert!(why.contains(wanted) && why.contains("nothing else may be changed"), "{why}");
        let facts = handle.facts(&ada(), &change_file("c", &SHORT, ""), &Default::default(), &Default::default()).await;
        assert_eq!(facts.ok().and_then(|facts| facts.error_budget_left), Some(0.0));
        let way = engine::Way::Emergency { incident: "INC-1".into(), reason: "the shop is down".into() };
        let fix = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
        until(&handle, fix, |p| p == Phase::Assessed).await;
        crate::govern::approve(&handle, "dan", fix).await.expect("dan may");
        assert_eq!(until_ended(&handle, fix).await.phase(), Phase::Completed);
        assert!(matches!(state(&handle, id).await.phase(), Phase::Held { .. }));
    });
}

// A2, F1: a source that falls silent is neither a full budget nor a spent one: it is said, and holds where the policy says so.
#[test]
fn a_budget_that_nobody_can_read_is_said_and_holds_where_the_policy_says_so() {
    paused().block_on(async {
        for (choice, holds) in [("warn", false), ("hold", true)] {
            let (world, store) = (World::new(5, Behaviour::GOOD), memory());
            let handle = start(&world, &store, budgets(&format!("on_unreachable: {choice}\n"))).await;
            world.set_telemetry(Telemetry::Failing);
            minutes(30).await;
            let seen = budget(&handle).await;
            let why = seen.state.and_then(|state| state.unknown).expect("nobody can read it");
            assert!(why.contains("the telemetry of the world is down"), "{why}");
            let id = propose(&handle, &change_file("a", &SHORT, "")).await;
            let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
            assert_eq!(codes(&held).contains(&"budget_unknown".to_owned()), holds, "{}", reasons(&held));
            let gates = handle.gates_of(&held).await.expect("the store answers");
            let warned =
                gates.iter().flat_map(|gate| &gate.warnings).any(|w| w.contains("nobody can say what is left"));
            assert_eq!(warned, !holds);
            world.set_telemetry(Telemetry::Honest);
            assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        }
    });
}

// A2, F1: a server that has just started knows less of a budget than the log does: a source that fails then opens nothing.
#[test]
fn a_server_that_starts_while_its_source_fails_opens_no_budget() {
    paused().block_on(async {
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        world.set_burn(0.02);
        let policy =
            "period: 1d\nevery: 1m\nwindows: [{long: 1h, short: 5m, factor: 5}]\nbands: [{at_most_percent: 0}]\n";
        let handle = start(&world, &store, budgets(policy)).await;
        minutes(60 * 24).await;
        let id = propose(&handle, &change_file("a", &SHORT, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        handle.drain().await;
        let told = store.read(&stream("shop"), 0).await.expect("the store answers").len();
        world.set_telemetry(Telemetry::Failing);
        let handle = start(&world, &store, budgets(policy)).await;
        minutes(30).await;
        let moves = store.read(&stream("shop"), 0).await.expect("the store answers");
        let [only] = &moves[told..] else { panic!("it went out of sight, and no more: {moves:#?}") };
        let Event::BudgetMoved(said) = &only.event else { panic!("{only:#?}") };
        assert_eq!((said.band, said.unknown.is_some()), (Some(0), true), "{said:#?}");
        assert!(said.left_percent.is_some_and(|left| left <= 0.0), "{said:#?}");
        assert_eq!(codes(&state(&handle, id).await)[0], "budget_spent");
        world.set_telemetry(Telemetry::Honest);
        minutes(2).await;
        let state = budget(&handle).await.state.expect("it is known");
        assert_eq!(
            (state.band, state.unknown),
            (Some(0), None),
            "a question that failed is asked again in the next round"
        );
    });
}

// A2, F1: a budget of which nothing was ever read is not full: where the policy says so, nothing begins before the first answer.
#[test]
fn a_budget_that_was_never_read_lets_nothing_begin_where_the_policy_says_so() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        world.set_telemetry(Telemetry::Failing);
        let handle = start(&world, &store, budgets("on_unreachable: hold\n")).await;
        let id = propose(&handle, &change_file("a", &SHORT, "")).await;
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(codes(&held).contains(&"budget_unknown".to_owned()), "{}", reasons(&held));
        minutes(10).await;
        let begun = story(&log(&store, id).await).contains(&"StepBegun".to_owned());
        assert!(!begun && world.deeds().is_empty(), "no driver was called");
        world.set_telemetry(Telemetry::Honest);
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// A2: a burn of what is promised no more is over: what it held begins, what it paused goes on, and the log says so.
#[test]
fn a_burn_ends_when_nothing_is_promised_any_more() {
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::GOOD), memory());
        world.set_rate(100.0);
        let policy = "every: 20s\nwindows: [{long: 6m, short: 2m, factor: 2}]\nbands: []\n";
        let handle = start(&world, &store, budgets(policy)).await;
        let id = propose(&handle, &change_file("a", &LONG, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        world.set_burn(0.05);
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        let files = [("services/shop.yaml", "name: shop\nowner: sre\ntier: 3\n"), ("error_budget.yaml", policy)];
        let without = rules(&format!("rules: [{{require: []}}]\n{EMERGENCY}"), &files);
        handle.govern(engine::InForce::new(without).expect("no policies of its own")).await.expect("the store answers");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let moves = store.read(&stream("shop"), 0).await.expect("the store answers");
        let last = moves.last().map(|recorded| &recorded.event);
        let Some(Event::BudgetMoved(said)) = last else { panic!("{last:#?}") };
        assert!(said.burning.is_none() && said.measured.starts_with("no SLI with an objective is named"), "{said:#?}");
        let told = moves.len();
        minutes(5).await;
        assert_eq!(store.read(&stream("shop"), 0).await.expect("the store answers").len(), told, "it is said once");
    });
}

// A2, F9: of two engines over one store one says how budgets fare, so that a reading near a band is not told to and fro; both read them.
#[test]
fn one_of_two_engines_says_how_budgets_fare() {
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        let taken = store.lease("budgets", "another", BootMillis(0), BootMillis(600_000)).await;
        assert!(taken.expect("the store answers").is_some());
        let handle = start(&world, &store, budgets("{}\n")).await;
        minutes(5).await;
        let seen = budget(&handle).await;
        assert_eq!((seen.reading.is_some(), seen.state), (true, None));
        minutes(10).await;
        assert!(budget(&handle).await.state.is_some(), "the other one has died");
    });
}

/// Counts the rows that are read.
struct Rows(AtomicUsize);

impl Hooks for Arc<Rows> {
    fn row(&self) -> Result<(), StoreError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

// A2, F6: a look at budgets costs nothing for the changes that wait.
#[test]
fn a_round_of_budgets_loads_no_change_that_waits() {
    paused().block_on(async {
        let world = World::new(10, Behaviour::GOOD);
        let rows = Arc::new(Rows(AtomicUsize::new(0)));
        let store: Arc<dyn Store> = Hooked::around(memory(), rows.clone());
        let handle = start(&world, &store, budgets("every: 10s\n")).await;
        let hold = crate::holds::request(&handle, Span::secs(86_400));
        handle.hold(&bob(), hold).await.expect("bob may freeze");
        for number in 0..20 {
            let id = propose(&handle, &change_file(&format!("a{number}"), &SHORT, "")).await;
            until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        }
        minutes(2).await;
        let before = rows.0.load(Ordering::Relaxed);
        minutes(10).await;
        let loaded = rows.0.load(Ordering::Relaxed) - before;
        assert!(loaded < 60, "60 rounds, 20 changes that wait, and {loaded} rows");
    });
}
