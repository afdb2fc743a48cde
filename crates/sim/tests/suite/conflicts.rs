//! LC4: changes that meet on a service or near it: who waits, who goes, who is refused, and that nobody waits for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use change::conflict::outlook::Role;
use change::gate::{Gate, GateName};
use change::lifecycle::Rejection;
use change::{ChangeId, Command, Event, Phase};
use engine::ports::{Recorded, Store};
use engine::{Handle, ProposeError};
use sim::world::{Behaviour, NOBODY, ONE_OF_SRE, World, ada, bob, change_file, governance, governed};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];
const TILL: (&str, &str) = ("services/till.yaml", "name: till\nowner: sre\ntier: 3\ndepends_on: [shop]\n");
const CART: (&str, &str) = ("services/cart.yaml", "name: cart\nowner: sre\ntier: 3\n");

/// A change of these services on a target of its own.
fn on(services: &str, target: &str, more: &str) -> String {
    let file = change_file(target, &STEPS, more);
    file.replace("services: [shop]", &format!("services: [{services}]"))
        .replace("resource: shop", &format!("resource: {target}"))
}

async fn approve(handle: &Handle, id: ChangeId) {
    let effect = state(handle, id).await.proposal.effect_digest;
    let vote = Command::Approve { effect, comment: None, signature: None };
    handle.command(&bob(), id, vote).await.expect("bob may");
}

async fn conflicts(handle: &Handle, id: ChangeId) -> Gate {
    let gates = handle.gates_of(&state(handle, id).await).await.expect("the store answers");
    gates.into_iter().find(|gate| gate.gate == GateName::Conflicts).expect("there is such a gate")
}

fn begun(log: &[Recorded]) -> Vec<ChangeId> {
    let first = |r: &Recorded| match &r.event {
        Event::StepBegun { step: 0, attempt: 1, .. } => ChangeId::of_stream(&r.stream),
        _ => None,
    };
    log.iter().filter_map(first).collect()
}

async fn whole(store: &std::sync::Arc<dyn Store>) -> Vec<Recorded> {
    store.read_all(0, 1_000_000).await.expect("the store answers")
}

/// The changes under way on each service, by the events of the changes alone: no two at once begin where they must queue.
fn check_that_no_two_meet(log: &[Recorded]) -> usize {
    let mut services: BTreeMap<ChangeId, BTreeSet<String>> = BTreeMap::new();
    let mut last: BTreeMap<ChangeId, usize> = BTreeMap::new();
    let mut under_way: BTreeSet<ChangeId> = BTreeSet::new();
    let mut begun = 0;
    for recorded in log {
        let Some(id) = ChangeId::of_stream(&recorded.stream) else { continue };
        match &recorded.event {
            Event::Proposed(proposed) => {
                services.insert(id, proposed.proposal.services.clone());
                last.insert(id, proposed.proposal.plan.steps.len() - 1);
            }
            Event::StepBegun { step: 0, attempt: 1, .. } => {
                begun += 1;
                for other in &under_way {
                    let shared: Vec<_> = services[&id].intersection(&services[other]).collect();
                    assert!(shared.is_empty(), "{id} began on {shared:?} while {other} was under way");
                }
                under_way.insert(id);
            }
            Event::Advanced { step } if *step == last[&id] => {
                under_way.remove(&id);
            }
            Event::RollbackBegun { .. } => {
                under_way.insert(id);
            }
            Event::RolledBack { .. } | Event::CompletedByHand { .. } => {
                under_way.remove(&id);
            }
            _ => {}
        }
    }
    begun
}

// LC4: one service, two targets: the later waits, is told for whom and how long, and goes in the order of approval.
#[test]
fn changes_of_one_service_queue_in_the_order_in_which_they_were_approved() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let mut ids = Vec::new();
        for target in ["a", "b", "c"] {
            ids.push(propose(&handle, &on("shop", target, "")).await);
        }
        for id in &ids {
            until(&handle, *id, |p| p == Phase::Assessed).await;
        }
        for i in [0, 2, 1] {
            approve(&handle, ids[i]).await;
            let wanted =
                |p: Phase| if i == 0 { matches!(p, Phase::RollingOut { .. }) } else { matches!(p, Phase::Held { .. }) };
            until(&handle, ids[i], wanted).await;
        }
        let second = conflicts(&handle, ids[2]).await;
        assert_eq!((second.code(), second.behind), (Some("conflict"), Some(ids[0])), "{second:?}");
        assert!(
            second.why().is_some_and(|why| why.contains("`CHG-1` is changing `shop` in `production`")),
            "{second:?}"
        );
        let first = &second.in_the_way[0];
        assert_eq!((first.change, first.role, first.phase.as_str()), (ids[0], Role::UnderWay, "rolling_out"));
        assert!(first.expected_end.is_some_and(|at| at > handle.now()), "{first:?}");
        let third = conflicts(&handle, ids[1]).await;
        assert_eq!((third.code(), third.behind), (Some("queue"), Some(ids[2])), "{third:?}");
        for id in &ids {
            assert_eq!(until_ended(&handle, *id).await.phase(), Phase::Completed);
        }
        let log = whole(&store).await;
        assert_eq!(begun(&log), [ids[0], ids[2], ids[1]]);
        assert_eq!(check_that_no_two_meet(&log), 3);
    });
}

// LC4: another service has nothing to do with it, another environment neither.
#[test]
fn changes_that_do_not_meet_go_side_by_side() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governed(NOBODY, &[CART])).await;
        let first = propose(&handle, &on("shop", "a", "")).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let other = propose(&handle, &on("cart", "b", "")).await;
        let elsewhere = on("shop", "c", "").replace("environment: production", "environment: staging");
        let elsewhere = propose(&handle, &elsewhere).await;
        for id in [other, elsewhere] {
            until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        }
        assert!(matches!(state(&handle, first).await.phase(), Phase::RollingOut { .. }));
    });
}

// LC4: a direct dependency goes with a notice, by policy it waits; up and down.
#[test]
fn a_dependency_is_noticed_and_waits_where_the_rules_say_so() {
    for (rules, waits) in [("rules: []", false), ("rules: [{between: dependency, hops: 1, then: queue}]", true)] {
        for (services, wanted) in [(["shop", "till"], "till"), (["till", "shop"], "shop")] {
            paused().block_on(async {
                let (world, store) = (World::new(3, Behaviour::GOOD), memory());
                let files = [TILL, ("conflicts.yaml", rules)];
                let handle = start(&world, &store, governed(NOBODY, &files)).await;
                let first = propose(&handle, &on(services[0], "a", "")).await;
                until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
                let second = propose(&handle, &on(wanted, "b", "")).await;
                if waits {
                    until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
                    let gate = conflicts(&handle, second).await;
                    let reason = gate.why().unwrap_or_default();
                    assert!(reason.contains(&format!("`CHG-1` is changing `{}`", services[0])), "{reason}");
                    assert!(reason.contains("one call away"), "{reason}");
                    until_ended(&handle, second).await;
                    let left =
                        log(&store, first).await.iter().position(|r| matches!(r.event, Event::Advanced { step: 1 }));
                    assert!(left.is_some());
                } else {
                    until(&handle, second, |p| matches!(p, Phase::RollingOut { .. })).await;
                    assert!(matches!(state(&handle, first).await.phase(), Phase::RollingOut { .. }));
                    let held = log(&store, second).await.iter().any(|r| matches!(r.event, Event::Held { .. }));
                    assert!(!held, "a notice holds nothing");
                }
            });
        }
    }
}

// LC4: the notice says what goes on beside.
#[test]
fn a_notice_stands_with_the_gate_of_a_change_that_has_not_begun() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governed(ONE_OF_SRE, &[TILL])).await;
        let first = propose(&handle, &on("shop", "a", "")).await;
        until(&handle, first, |p| p == Phase::Assessed).await;
        approve(&handle, first).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let second = propose(&handle, &on("till", "b", "")).await;
        until(&handle, second, |p| p == Phase::Assessed).await;
        let gate = conflicts(&handle, second).await;
        assert!(gate.is_open());
        assert_eq!(gate.warnings, ["`CHG-1` is changing `shop`, one call away, and goes on beside it"]);
        assert_eq!(gate.in_the_way[0].role, Role::Beside);
    });
}

// LC4: nothing is proposed beside what is under way, where the rules refuse it; afterwards it is.
#[test]
fn a_proposal_is_refused_while_another_is_under_way_where_the_rules_say_so() {
    paused().block_on(async {
        let (world, store) = (World::new(5, Behaviour::GOOD), memory());
        let files = [("conflicts.yaml", "rules: [{between: service, then: refuse}]")];
        let handle = start(&world, &store, governed(NOBODY, &files)).await;
        let first = propose(&handle, &on("shop", "a", "")).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let refused = handle.propose(&ada(), &on("shop", "b", ""), &BTreeMap::new(), None).await;
        let said = match refused {
            Err(ProposeError::Rejected(rejection @ Rejection::InTheWay { .. })) => rejection,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            said.to_string(),
            "`CHG-1` is changing `shop` in `production` now, and the rules let nothing be proposed there in the meantime"
        );
        assert!(said.help().is_some_and(|help| help.contains("clearway watch CHG-1")));
        until_ended(&handle, first).await;
        let second = propose(&handle, &on("shop", "b", "")).await;
        assert_eq!(until_ended(&handle, second).await.phase(), Phase::Completed);
    });
}

// LC4: the newest of an owner's changes goes, those that wait before it end; what runs goes on.
#[test]
fn a_newer_change_takes_the_place_of_one_that_has_not_begun() {
    paused().block_on(async {
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let files = [("conflicts.yaml", "rules: [{between: service, then: supersede}]")];
        let handle = start(&world, &store, governed(NOBODY, &files)).await;
        // Of a third team, so that neither of the others has had its turn.
        let running = propose(&handle, &on("shop", "a", "").replace("owner: ada", "owner: sre")).await;
        until(&handle, running, |p| matches!(p, Phase::RollingOut { .. })).await;
        let older = propose(&handle, &on("shop", "b", "")).await;
        until(&handle, older, |p| matches!(p, Phase::Held { .. })).await;
        let of_another = propose(&handle, &on("shop", "c", "").replace("owner: ada", "owner: bob")).await;
        until(&handle, of_another, |p| matches!(p, Phase::Held { .. })).await;
        let newest = propose(&handle, &on("shop", "d", "")).await;
        let ended = until_ended(&handle, older).await;
        assert_eq!(ended.phase(), Phase::Withdrawn);
        assert_eq!(change::explain::status(&ended), format!("withdrawn: `{newest}` took its place"));
        let told = log(&store, older).await.iter().any(|r| r.event == Event::Superseded { by: newest });
        assert!(told, "the event on the older one says by which");
        for id in [running, of_another, newest] {
            assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        }
        assert_eq!(
            begun(&whole(&store).await),
            [running, newest, of_another],
            "the newest has the place of the older one"
        );
    });
}

// LC4, LC7: what goes back goes back at once, whoever is under way on the same service by then.
#[test]
fn a_rollback_is_never_held_by_a_conflict() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let first = propose(&handle, &on("shop", "a", "").replace("watch: 10s", "watch: 10m")).await;
        until(&handle, first, |p| p == Phase::Watching).await;
        let second = propose(&handle, &on("shop", "b", "").replace("bake: 30s", "bake: 1h")).await;
        until(&handle, second, |p| matches!(p, Phase::RollingOut { .. })).await;
        let back = Command::Rollback { reason: "the shop is slow".into() };
        handle.command(&ada(), first, back).await.expect("ada may");
        assert_eq!(until_ended(&handle, first).await.phase(), Phase::RolledBack);
        assert!(matches!(state(&handle, second).await.phase(), Phase::RollingOut { .. }), "the other goes on beside");
    });
}

// LC4: who waits for something else holds nobody behind.
#[test]
fn a_change_that_waits_for_its_time_holds_nobody_behind_it() {
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let later = propose(&handle, &on("shop", "a", "when: '2026-12-24T09:00:00Z'\n")).await;
        until(&handle, later, |p| p == Phase::Scheduled).await;
        let second = propose(&handle, &on("shop", "b", "")).await;
        assert_eq!(until_ended(&handle, second).await.phase(), Phase::Completed);
    });
}

/// How many seeds to play: `CLEARWAY_SIM_SEEDS` for more than the usual few.
fn seeds() -> u64 {
    std::env::var("CLEARWAY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

// LC4, F8: many changes on few services, and an engine that dies again and again: no two that must queue run at once, and every one comes to its end.
#[test]
fn no_two_changes_that_must_queue_run_at_once_and_none_waits_for_ever_whatever_crashes() {
    let (mut begun, mut lives) = (0, 0);
    for seed in 0..seeds() {
        let (world, store) = (World::new(4_000 + seed, Behaviour::GOOD), memory());
        let files = [CART, TILL];
        let mut ids: Vec<ChangeId> = Vec::new();
        loop {
            lives += 1;
            let all_ended = paused().block_on(async {
                let handle = start(&world, &store, governed(NOBODY, &files)).await;
                if ids.is_empty() {
                    for i in 0..8 {
                        let services = ["shop", "cart", "shop, cart", "till"][world.roll(4) as usize];
                        let team = ["owner: ada", "owner: bob", "owner: sre"][world.roll(3) as usize];
                        let file = on(services, &format!("t{i}"), "").replace("owner: ada", team);
                        ids.push(propose(&handle, &file).await);
                    }
                }
                let left = Duration::from_millis(world.roll(if lives % 60 < 50 { 20_000 } else { 900_000 }));
                let ends = async {
                    for id in &ids {
                        until_ended(&handle, *id).await;
                    }
                };
                tokio::time::timeout(left, ends).await.is_ok()
            });
            if all_ended {
                break;
            }
            assert!(lives < 400 * (seed + 1), "seed {seed}: somebody waits for ever");
        }
        begun += check_that_no_two_meet(&paused().block_on(whole(&store)));
    }
    println!("{} seeds, {lives} lives, {begun} rollouts", seeds());
    assert_eq!(begun as u64, 8 * seeds());
}

// PR5, LC4: who approves many at once goes every other time, and nobody sleeps while it is their turn.
#[test]
fn a_team_with_many_changes_keeps_no_other_team_from_the_service() {
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let mut ids = Vec::new();
        for (number, team) in ["ada", "ada", "ada", "ada", "ada", "bob", "bob", "sre"].into_iter().enumerate() {
            let file = on("shop", &format!("t{number}"), "").replace("owner: ada", &format!("owner: {team}"));
            let id = propose(&handle, &file).await;
            until(&handle, id, |p| matches!(p, Phase::RollingOut { .. } | Phase::Held { .. })).await;
            ids.push(id);
        }
        let third = conflicts(&handle, ids[2]).await;
        assert_eq!((third.code(), third.behind), (Some("queue"), Some(ids[1])), "{third:?}");
        let theirs = conflicts(&handle, ids[6]).await;
        assert_eq!((theirs.code(), theirs.behind), (Some("queue"), Some(ids[5])), "{theirs:?}");
        let second = conflicts(&handle, ids[1]).await;
        assert!(second.why().is_some_and(|why| why.ends_with("`sre` has had no turn here yet")), "{second:?}");
        let began_at = handle.now();
        for id in &ids {
            assert_eq!(until_ended(&handle, *id).await.phase(), Phase::Completed);
        }
        let took = change::time::between(began_at, handle.now());
        assert!(took < change::Span::secs(8 * 120), "somebody slept in their turn: {took}");
        let log = whole(&store).await;
        let order: Vec<usize> = begun(&log).iter().filter_map(|id| ids.iter().position(|other| other == id)).collect();
        assert_eq!(order, [0, 5, 7, 1, 6, 2, 3, 4]);
        assert_eq!(check_that_no_two_meet(&log), 8);
    });
}
