//! A4: people on call stop the line of a service, or one change, in a world in which time passes.

use std::sync::Arc;
use std::time::Duration;

use change::calendar::Passage;
use change::governance::Governance;
use change::holds::{HOLDS, HoldOrder};
use change::lifecycle::Rejection;
use change::rollout::PauseReason;
use change::time::after;
use change::{Change, ChangeId, Command, Event, Permission, Phase, Span};
use engine::holds::HoldRequest;
use engine::ports::{Batch, NewEvent, Store, StreamWrite};
use engine::{CommandError, Handle, Way};
use sim::world::{Behaviour, NOBODY, World, ada, bob, change_file};

use crate::govern::{EMERGENCY, STEPS, draft, reasons, rejection, rules};
use crate::interleaved::Interleaved;
use crate::support::*;

const HOUR: Span = Span::secs(3_600);

/// `eve` may only read, and is on call for the shop.
fn on_call(more: &str) -> Governance {
    let shop = "name: shop\nowner: sre\non_call: eve\ntier: 3\n";
    rules(&format!("rules: [{{require: []}}]\n{more}"), &[("services/shop.yaml", shop)])
}

pub(crate) fn request(handle: &Handle, lasts: Span) -> HoldRequest {
    HoldRequest {
        services: ["shop".to_owned()].into(),
        team: None,
        environment: None,
        until: handle.until(lasts),
        emergency: Passage::Allow,
        pause: false,
        reason: "customers can't pay".into(),
    }
}

fn codes(change: &Change) -> Vec<String> {
    let gates = change.hold.iter().flat_map(|hold| &hold.gates);
    gates.filter_map(|gate| gate.code()).map(str::to_owned).collect()
}

async fn veto(handle: &Handle, who: &str, id: ChangeId, lasts: Span) -> Result<Change, CommandError> {
    let veto = Command::Veto { reason: "not during the incident".into(), until: handle.until(lasts) };
    handle.command(&user(who), id, veto).await
}

// A4: a hold that begins in mid-rollout holds the next step, says who and until when, and ends by itself.
#[test]
fn a_hold_by_somebody_on_call_holds_the_next_step_and_ends_by_itself() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        let hold = handle.hold(&user("eve"), request(&handle, HOUR)).await.expect("eve is on call");
        assert_eq!(hold.order.hold, "HOLD-1");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        assert_eq!(codes(&held), ["service_hold"]);
        assert!(reasons(&held).contains("eve holds `shop` until `"), "{}", reasons(&held));
        assert!(reasons(&held).contains("customers can't pay"), "{}", reasons(&held));
        assert_eq!(world.weight(), 2_500);
        let done = until_ended(&handle, id).await;
        assert_eq!(done.phase(), Phase::Completed, "it goes on when the hold is over");
        assert!(done.updated_at >= hold.order.until);
        assert!(handle.holds().await.expect("the store answers").is_empty());
    });
}

// A4: a release before the end goes on at once; who is neither on call nor may freeze can set none and release none.
#[test]
fn a_hold_is_released_by_somebody_on_call_and_set_by_nobody_else() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let shop = "name: shop\nowner: sre\non_call: dan\ntier: 3\n";
        let handle = start(&world, &store, rules(NOBODY, &[("services/shop.yaml", shop)])).await;
        let refused = handle.hold(&user("eve"), request(&handle, HOUR)).await;
        let expected = Rejection::NotAllowed { actor: user("eve"), permission: Permission::Freeze };
        assert!(matches!(refused, Err(CommandError::Rejected(rejection)) if rejection == expected));
        handle.hold(&user("dan"), request(&handle, HOUR)).await.expect("dan is on call");
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(handle.release_hold(&user("eve"), "HOLD-1", "it is over").await.is_err());
        handle.release_hold(&bob(), "HOLD-1", "it is over").await.expect("bob may freeze");
        assert!(
            handle
                .release_hold(&bob(), "HOLD-1", "again")
                .await
                .is_err_and(|e| e.to_string().contains("no hold `HOLD-1` lasts now"))
        );
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// A4: a hold without an end can't be asked for; one that is too long, over, or of nothing is refused with what to do.
#[test]
fn a_hold_that_can_not_be_says_what_to_do() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let asked = request(&handle, HOUR);
        let refused = async |asked: HoldRequest| handle.hold(&bob(), asked).await.expect_err("it can't be").to_string();
        let too_long = refused(request(&handle, Span::secs(8 * 86_400))).await;
        assert!(too_long.contains("a hold lasts at most 7d") && too_long.contains("renew it"), "{too_long}");
        let over = refused(HoldRequest { until: handle.until(Span::ZERO), ..asked.clone() }).await;
        assert!(over.contains("is over already"), "{over}");
        let typo = refused(HoldRequest { services: ["shopp".to_owned()].into(), ..asked.clone() }).await;
        assert!(typo.contains("did you mean `shop`?"), "{typo}");
        let nothing = refused(HoldRequest { services: [].into(), ..asked.clone() }).await;
        assert!(nothing.contains("names a service or a team"), "{nothing}");
        let team = HoldRequest { services: [].into(), team: Some("oncall".into()), ..asked.clone() };
        let owns_none = refused(team).await;
        assert!(owns_none.contains("`oncall` owns no service"), "{owns_none}");
        assert_eq!(refused(HoldRequest { reason: " ".into(), ..asked }).await, "a reason is needed");
        assert!(handle.holds().await.expect("the store answers").is_empty());
    });
}

// A4: with `--pause` what rolls out is paused at once; it stays paused until a person resumes it, and a failing step is rolled back all the same.
#[test]
fn a_hold_that_pauses_stops_what_rolls_out_and_a_rollback_passes() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        let asked = HoldRequest {
            pause: true,
            team: Some("sre".into()),
            services: [].into(),
            ..request(&handle, Span::secs(120))
        };
        handle.hold(&bob(), asked).await.expect("bob may freeze");
        let stopped = until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        let why = stopped.rollout().and_then(|r| r.pause.as_ref()).map(|p| p.why);
        assert_eq!((stopped.phase(), why), (Phase::Paused { step: 0 }, Some(PauseReason::Hold)));
        tokio::time::sleep(Duration::from_secs(240)).await;
        assert!(matches!(state(&handle, id).await.phase(), Phase::Paused { .. }), "it waits for a person");
        handle.hold(&bob(), request(&handle, HOUR)).await.expect("bob may freeze");
        world.set_behaviour(Behaviour::FAILING);
        handle.command(&ada(), id, Command::Rollback { reason: "customers complain".into() }).await.expect("ada may");
        let back = until_ended(&handle, id).await;
        assert_eq!((back.phase(), world.weight()), (Phase::RolledBack, 0));
        assert_eq!(handle.holds().await.expect("the store answers").len(), 1, "the hold lasted all the while");
    });
}

// A4, PA6: an emergency passes a hold unless it is forbidden by name.
#[test]
fn an_emergency_passes_a_hold_unless_it_is_forbidden() {
    paused().block_on(async {
        for (emergency, passes) in [(Passage::Allow, true), (Passage::Forbid, false)] {
            let (world, store) = (World::new(5, Behaviour::GOOD), memory());
            let handle = start(&world, &store, on_call(EMERGENCY)).await;
            handle.hold(&bob(), HoldRequest { emergency, ..request(&handle, HOUR) }).await.expect("bob may freeze");
            let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
            let id = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
            until(&handle, id, |p| p == Phase::Assessed).await;
            crate::govern::approve(&handle, "dan", id).await.expect("dan may");
            tokio::time::sleep(Duration::from_secs(120)).await;
            let change = state(&handle, id).await;
            assert_eq!(change.rollout().is_some() || change.phase().is_terminal(), passes, "{}", reasons(&change));
            assert_eq!(codes(&change).is_empty(), passes, "{}", reasons(&change));
        }
    });
}

// A4, LC4: a hold that comes in the very moment in which a step begins holds it, or it has come too late, and never both.
#[test]
fn no_step_follows_a_hold_of_its_service_in_the_log() {
    paused().block_on(async {
        let world = World::new(6, Behaviour::GOOD);
        let order = HoldOrder {
            hold: "HOLD-1".into(),
            services: ["shop".to_owned()].into(),
            team: None,
            environment: None,
            until: after(sim::world::epoch(), HOUR),
            emergency: Passage::Allow,
            pause: false,
            reason: "customers can't pay".into(),
        };
        let (store, interleaved) = Interleaved::with(HOLDS, Event::HoldSet(Box::new(order)));
        let handle = start(&world, &interleaved, sim::world::governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert!(world.deeds().is_empty(), "no driver was called");
        assert!(!story(&log(&store, id).await).contains(&"StepBegun".to_owned()));
    });
}

// A4: who is on call vetoes one change before its start; it goes by itself when the veto ends, and others are not held.
#[test]
fn a_veto_holds_one_change_until_it_ends() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let later = "when: 2026-09-29T12:00:00Z\n";
        let id = propose(&handle, &change_file("a", &STEPS, later)).await;
        let stranger = rejection(handle.command(&user("fay"), id, Command::LiftVeto { reason: "x".into() }).await);
        assert!(matches!(stranger, Rejection::NotAllowed { permission: Permission::Freeze, .. }), "{stranger}");
        let too_long = rejection(veto(&handle, "eve", id, Span::secs(8 * 86_400)).await);
        assert!(too_long.to_string().contains("a veto lasts at most 7d"), "{too_long}");
        let other = propose(&handle, &change_file("b", &STEPS, "")).await;
        assert_eq!(until_ended(&handle, other).await.phase(), Phase::Completed);
        veto(&handle, "eve", id, Span::secs(6 * 86_400)).await.expect("eve is on call");
        let vetoed = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        assert_eq!(codes(&vetoed)[0], "vetoed");
        assert!(reasons(&vetoed).contains("eve has vetoed it until"), "{}", reasons(&vetoed));
        assert_eq!(world.weight(), 10_000, "only the other one was rolled out");
    });
}

// A4: a shorter veto of somebody else does not shorten the longer one; one's own may be shortened, and the next to end counts then.
#[test]
fn a_veto_is_not_shortened_by_that_of_somebody_else() {
    paused().block_on(async {
        let (world, store) = (World::new(12, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2026-09-29T12:00:00Z\n")).await;
        veto(&handle, "eve", id, Span::secs(86_400)).await.expect("eve is on call");
        let both = veto(&handle, "bob", id, HOUR).await.expect("and may freeze");
        assert_eq!(both.veto.map(|veto| veto.by), Some(user("eve")));
        let shortened = veto(&handle, "eve", id, Span::secs(600)).await.expect("it is eve's own");
        assert_eq!(shortened.veto.map(|veto| veto.by), Some(user("bob")));
    });
}

// A4: a veto in mid-rollout holds the next step; lifting it goes on at once.
#[test]
fn a_veto_in_mid_rollout_holds_the_next_step_until_it_is_lifted() {
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        veto(&handle, "eve", id, HOUR).await.expect("eve is on call");
        until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        let lift = Command::LiftVeto { reason: "the incident is over".into() };
        handle.command(&user("eve"), id, lift).await.expect("eve is on call");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let told = story(&log(&store, id).await);
        let place = |name: &str| told.iter().position(|n| n == name).expect("it is in the log");
        assert!(place("Vetoed") < place("Held") && place("Held") < place("VetoLifted"), "{told:?}");
    });
}

/// Puts a hold that pauses into the log, as an engine would that died right after.
async fn hold_by_another(store: &Arc<dyn Store>, handle: &Handle) {
    let HoldRequest { services, team, environment, until, emergency, reason, .. } = request(handle, HOUR);
    let hold = "HOLD-1".to_owned();
    let order = HoldOrder { hold, services, team, environment, until, emergency, pause: true, reason };
    let event = Event::HoldSet(Box::new(order));
    let events = vec![NewEvent { event, actor: bob(), change: None, time: handle.until(Span::ZERO) }];
    let writes = vec![StreamWrite { stream: HOLDS.to_owned(), expected: 0, events }];
    store.append(Batch { writes, ..Batch::default() }).await.expect("the store takes it");
}

// A4, F8: what a hold pauses is derived from the log: whoever wrote it may have died in the middle. Who resumes has decided so.
#[test]
fn a_hold_that_pauses_does_so_whoever_has_written_it_and_once() {
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        let handle = start(&world, &store, on_call("")).await;
        let id = propose(&handle, &change_file("a", &[("25%", "8m"), ("100%", "30s")], "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        hold_by_another(&store, &handle).await;
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        handle.command(&ada(), id, Command::Resume { found: None }).await.expect("ada may");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(matches!(state(&handle, id).await.phase(), Phase::RollingOut { .. }), "who resumes has decided so");
        until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        let told = story(&log(&store, id).await);
        assert_eq!(told.iter().filter(|name| *name == "Paused").count(), 1, "{told:?}");
    });
}
