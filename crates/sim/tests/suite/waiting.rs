//! LC4, F9: what waits costs nothing while it waits, is woken by what concerns it, and is lost by no crash and no clock.

use std::time::Duration;

use change::{ChangeId, Command, Event, Phase, Span};
use engine::Handle;
use sim::world::{Behaviour, NOBODY, ONE_OF_SRE, World, ada, bob, change_file, epoch, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "10s"), ("100%", "10s")];
const HOUR: i64 = 3_600_000;

fn on(target: &str, more: &str) -> String {
    change_file(target, &STEPS, more).replace("resource: shop", &format!("resource: {target}"))
}

/// Not before so many seconds of the wall clock from the first instant.
fn at(secs: u64) -> String {
    format!("when: '{}'\n", change::time::after(epoch(), Span::secs(secs)))
}

async fn first_step(store: &std::sync::Arc<dyn engine::ports::Store>, id: ChangeId) -> Vec<change::Timestamp> {
    let log = log(store, id).await;
    log.iter().filter(|r| matches!(r.event, Event::StepBegun { step: 0, .. })).map(|r| r.time).collect()
}

/// Lets everything come to rest.
async fn settle(handle: &Handle) {
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (count, tasks) = handle.waiting();
        if count.in_line == 0 && tasks <= 1 {
            return;
        }
    }
}

// LC4: changes that wait are entries and nothing more; the end of one wakes those behind it, and not all.
#[test]
fn what_waits_has_no_task_and_an_event_wakes_those_concerned_alone() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let mut ids = vec![
            propose(&handle, &on("t0", "").replace("bake: 10s", "bake: 1h").replace("every: 1s", "every: 10s")).await,
        ];
        until(&handle, ids[0], |p| matches!(p, Phase::RollingOut { .. })).await;
        for i in 1..=10 {
            ids.push(propose(&handle, &on(&format!("t{i}"), "")).await);
            until(&handle, ids[i], |p| matches!(p, Phase::Held { .. })).await;
        }
        settle(&handle).await;
        let (before, tasks) = handle.waiting();
        assert_eq!((before.waiting, before.in_line, tasks), (10, 0, 1), "one rolls out, ten wait");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(handle.waiting().0.woken, before.woken, "nobody is asked while nothing happens");
        let hold = handle.hold(&bob(), crate::holds::request(&handle, Span::secs(3_600))).await.expect("bob may");
        handle.release_hold(&bob(), &hold.order.hold, "done").await.expect("bob may");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(handle.waiting().0.woken, before.woken, "who stands behind another waits for that one in any case");
        assert_eq!(world.observed().len(), 1, "nobody who waits asks anything of a target");
        let back = Command::Rollback { reason: "enough".into() };
        handle.command(&ada(), ids[0], back).await.expect("ada may");
        until(&handle, ids[1], |p| matches!(p, Phase::RollingOut { .. })).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let woken = handle.waiting().0.woken - before.woken;
        assert!((1..=2).contains(&woken), "{woken} were woken by the end of one and the beginning of another");
        until_ended(&handle, ids[10]).await;
        let mut begun = Vec::new();
        for id in &ids {
            begun.extend(first_step(&store, *id).await);
        }
        assert!(begun.is_sorted() && begun.len() == ids.len(), "in their order, each once");
    });
}

// F9: the wall clock is set back and forward; the step begins once, and not before its time by that clock.
#[test]
fn a_clock_that_jumps_loses_no_instant_and_begins_nothing_twice() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &on("a", &at(1_800))).await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        world.set_clock(-HOUR);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Scheduled, "by the wall clock it is not time yet");
        world.set_clock(24 * HOUR);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_ne!(state(&handle, id).await.phase(), Phase::Scheduled, "a day that is skipped is over");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert_eq!(first_step(&store, id).await.len(), 1);
    });
}

// F8, F9: an engine that dies at any moment before, at or after the instant: the step begins once, in its time.
#[test]
fn no_instant_is_lost_by_an_engine_that_dies() {
    for seed in 0..3 {
        let (world, store) = (World::new(9_000 + seed, Behaviour::GOOD), memory());
        let mut ids: Option<[ChangeId; 2]> = None;
        let mut lives = 0;
        loop {
            lives += 1;
            assert!(lives < 300, "seed {seed}: it waits for ever");
            let done = paused().block_on(async {
                let handle = start(&world, &store, governance(NOBODY)).await;
                let [timed, behind] = match ids {
                    Some(ids) => ids,
                    None => {
                        let timed = propose(&handle, &on("a", &at(60))).await;
                        let behind = propose(&handle, &on("b", &format!("after: [{timed}]\n"))).await;
                        *ids.insert([timed, behind])
                    }
                };
                let left = Duration::from_millis(world.roll(if lives < 20 { 30_000 } else { 120_000 }));
                let ended = async {
                    until_ended(&handle, timed).await;
                    until_ended(&handle, behind).await;
                };
                tokio::time::timeout(left, ended).await.is_ok()
            });
            if done {
                break;
            }
        }
        paused().block_on(async {
            let [timed, behind] = ids.expect("proposed");
            let (timed, behind) = (first_step(&store, timed).await, first_step(&store, behind).await);
            assert_eq!((timed.len(), behind.len()), (1, 1), "seed {seed}: each begins once");
            assert!(timed[0] >= change::time::after(epoch(), Span::secs(60)) && behind[0] > timed[0], "seed {seed}");
        });
    }
}

// LC4, F8: two loops over one store: the end of a change in one of them wakes who waits behind it in the other, and what waits in one that is gone is
// begun by the other.
#[test]
fn what_another_loop_writes_wakes_those_concerned_here_within_seconds() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let one = start(&world, &store, governance(NOBODY)).await;
        let other = start(&world, &store, governance(NOBODY)).await;
        let first = propose(&one, &on("a", "")).await;
        until(&one, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let behind = propose(&other, &on("b", "")).await;
        until(&other, behind, |p| matches!(p, Phase::Held { .. })).await;
        settle(&other).await;
        let timed = propose(&one, &on("c", &at(900))).await;
        let ended = until_ended(&one, first).await.updated_at;
        until_ended(&other, behind).await;
        let begun = first_step(&store, behind).await;
        let late = change::time::between(ended, begun[0]);
        assert!(begun.len() == 1 && late <= Span::secs(5), "{late} after the end of the one before it");
        one.drain().await;
        until_ended(&other, timed).await;
        let begun = first_step(&store, timed).await;
        let late = change::time::between(change::time::after(epoch(), Span::secs(900)), begun[0]);
        assert!(begun.len() == 1 && late <= Span::secs(5), "{late} after its time");
    });
}

// LC3: people are listened to: a vote, another rule and the end of a stop move what waits for them, at once.
#[test]
fn who_waits_for_people_is_moved_by_them_at_once() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let id = propose(&handle, &on("a", "")).await;
        let effect = until(&handle, id, |p| p == Phase::Assessed).await.proposal.effect_digest;
        settle(&handle).await;
        assert_eq!((handle.waiting().0.waiting, handle.waiting().1), (1, 0));
        handle.command(&bob(), id, Command::Approve { effect, comment: None, signature: None }).await.expect("bob may");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(state(&handle, id).await.rollout().is_some(), "it begins when the vote is there");
        let other = propose(&handle, &on("b", "").replace("services: [shop]", "services: [cart]")).await;
        until(&handle, other, |p| p == Phase::Assessed).await;
        settle(&handle).await;
        handle.govern(engine::InForce::new(governance(NOBODY)).expect("no policies")).await.expect("the store answers");
        let effect = state(&handle, other).await.proposal.effect_digest;
        handle
            .command(&bob(), other, Command::Approve { effect, comment: None, signature: None })
            .await
            .expect("bob may");
        assert_eq!(until_ended(&handle, other).await.phase(), Phase::Completed);
    });
}

// F9: who begins as soon as it may waits for no instant, so a clock that is set back delays it by nothing.
#[test]
fn a_clock_that_is_set_back_delays_nobody_who_was_to_begin_at_once() {
    paused().block_on(async {
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let first = propose(&handle, &on("a", "")).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let behind = propose(&handle, &on("b", &format!("after: [{first}]\n"))).await;
        until(&handle, behind, |p| p == Phase::Held { step: None }).await;
        world.set_clock(-HOUR);
        assert_eq!(until_ended(&handle, first).await.phase(), Phase::Completed);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let change = state(&handle, behind).await;
        assert!(matches!(change.phase(), Phase::RollingOut { .. }), "{}", change::explain::status(&change));
    });
}

// F9: the clock is set back in mid-rollout: the new version is looked at all the same, and a rollback does not wait for the clock to catch up.
#[test]
fn a_clock_that_is_set_back_in_mid_rollout_blinds_nobody_and_holds_no_rollback() {
    paused().block_on(async {
        let (world, store) = (World::new(5, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &on("a", "").replace("bake: 10s", "bake: 5m")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let refuses = sim::world::Fault::Refuse(change::rollout::Failure::Retry);
        world.plan_faults(&[], &[refuses]);
        world.set_clock(-HOUR);
        world.set_behaviour(Behaviour::FAILING);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let change = state(&handle, id).await;
        assert!(
            change.is_rolling_back() || change.phase() == Phase::RolledBack,
            "{}",
            change::explain::status(&change)
        );
        world.set_clock(-HOUR);
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!((state(&handle, id).await.phase(), world.weight()), (Phase::RolledBack, 0));
    });
}
