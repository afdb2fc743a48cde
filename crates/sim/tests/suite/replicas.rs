//! F8, F9: two engines over one store, each as good as the other: one of them acts for a change at a time, and no step is done twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use change::{ChangeId, Command, Event, Phase, Span};
use engine::ports::Store;
use engine::{Handle, InForce, Settings};
use sim::fleet::{Fleet, FleetCall, Mood, Replica, member_file};
use sim::world::{NOBODY, epoch, governance};

use crate::support::*;

/// How many seeds to play: `CLEARWAY_SIM_SEEDS` for more than the usual few.
fn seeds() -> u64 {
    std::env::var("CLEARWAY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// Leases end in two seconds, and a target takes up to thirty.
async fn replica(fleet: &Fleet, store: &Arc<dyn Store>, name: &str, behind: Span) -> Handle {
    let settings = Settings { lease: Span::secs(2), plan_runs: 0, recheck: Span::secs(1), ..Settings::default() };
    let scrub = Arc::new(drivers::read::secrets::Scrubber::default());
    let replica = Replica { name: name.to_owned(), behind, settings, scrub };
    let in_force = InForce::new(governance(NOBODY)).expect("no policies of its own");
    fleet.start_replica(store.clone(), in_force, replica).await.expect("the engine starts")
}

fn moods(seed: u64) -> sim::fleet::Moods {
    Arc::new(move |key: &str, before| {
        let dice =
            key.bytes().fold(seed + 7 * before as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let takes = [0, 300, 1_900, 2_100, 7_000, 30_000][(dice % 6) as usize];
        (Span::millis(takes), if dice % 11 == 0 { Mood::Refusing } else { Mood::Willing })
    })
}

/// From what the targets saw: what one engine does, no other does at the same time; and each step has its effect once.
fn check_calls(seed: u64, calls: &[FleetCall]) {
    let mut effects: BTreeMap<String, u32> = BTreeMap::new();
    for (i, call) in calls.iter().enumerate() {
        let (step, _) = call.key.rsplit_once('/').expect("a key");
        *effects.entry(step.to_owned()).or_default() += u32::from(call.is_effect);
        let ended = call.ended.expect("every call ended");
        let other = calls[i + 1..].iter().find(|other| other.change == call.change && other.at < ended);
        assert!(other.is_none(), "seed {seed}: {call:?} was not at its end at {other:?}");
    }
    assert!(effects.values().all(|times| *times == 1), "seed {seed}: {effects:?}");
}

/// A change of a service of its own, on one of two targets.
fn member(target: usize, service: &str) -> String {
    let file = member_file(["a", "b"][target]).replace("services: [shop]", &format!("services: [{service}]"));
    file.replace("every: 1s", "every: 2s\n  scan: off")
}

// The checker sees what it is for.
#[test]
#[should_panic(expected = "was not at its end")]
fn a_step_that_two_engines_did_at_once_is_seen() {
    let call = |replica: &str, from: u64, until: u64, is_effect| FleetCall {
        change: ChangeId::new(1),
        target: "a".into(),
        key: "CHG-1/1/1".into(),
        replica: replica.into(),
        at: change::time::after(epoch(), Span::secs(from)),
        ended: Some(change::time::after(epoch(), Span::secs(until))),
        is_effect,
    };
    check_calls(0, &[call("one", 0, 30, true), call("two", 3, 33, false)]);
}

/// Waits for all of them; what is paused is rolled back by a person.
async fn until_all_ended(handle: &Handle, ids: &[ChangeId]) {
    for _ in 0..3_600 {
        let mut under_way = 0;
        for id in ids {
            let phase = state(handle, *id).await.phase();
            under_way += u32::from(!phase.is_terminal());
            if matches!(phase, Phase::Paused { .. }) {
                let back = Command::Rollback { reason: "its time is over".into() };
                handle.command(&user("ada"), *id, back).await.expect("ada may");
            }
        }
        if under_way == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("some of {ids:?} do not end");
}

/// Four changes on two targets, proposed to one engine and the other.
async fn roll_out(seed: u64, behind: Span) -> (usize, usize) {
    let (fleet, store) = (Fleet::at(epoch()), memory());
    fleet.live();
    fleet.set_moods(Some(moods(seed)));
    let one = replica(&fleet, &store, "one", Span::ZERO).await;
    let mut ids: Vec<ChangeId> = vec![];
    for number in 0..2 {
        ids.push(propose(&one, &member(number, "s1")).await);
    }
    tokio::time::sleep(Duration::from_millis(1_700 * (seed % 5))).await;
    let two = replica(&fleet, &store, "two", behind).await;
    for number in 0..2 {
        ids.push(propose(&two, &member(number, "s2")).await);
    }
    until_all_ended(&one, &ids).await;
    for id in &ids {
        let ended = state(&one, *id).await;
        // For the engine whose clock is ahead the deadline of a step that the other has begun is over: it pauses, and somebody takes it back.
        let may_end = ended.phase() == Phase::Completed || (behind > Span::ZERO && ended.phase() == Phase::RolledBack);
        assert!(may_end, "seed {seed}: {}", change::explain::status(&ended));
        let begun = log(&store, *id).await.into_iter().filter_map(|recorded| match recorded.event {
            Event::StepBegun { step, attempt, .. } => Some((step, attempt)),
            _ => None,
        });
        let begun: Vec<_> = begun.collect();
        assert!(begun.is_sorted() && begun.windows(2).all(|two| two[0] != two[1]), "seed {seed}: {begun:?}");
    }
    let calls = fleet.calls();
    check_calls(seed, &calls);
    (calls.len(), calls.iter().filter(|call| call.replica == "two").count())
}

// F8, F9: an act takes longer than the lease of who does it, and clocks are an hour apart: still nobody else does it too.
#[test]
fn two_engines_over_one_store_never_do_one_step_twice() {
    let (mut all, mut by_second) = (0, 0);
    for seed in 0..seeds() {
        for behind in [Span::ZERO, Span::secs(3_600)] {
            let (calls, seconds) = paused().block_on(roll_out(seed, behind));
            (all, by_second) = (all + calls, by_second + seconds);
        }
    }
    println!("{} seeds, twice each: {all} calls of drivers, {by_second} by the second engine", seeds());
    assert!(by_second > 0 && by_second < all, "both have acted: {by_second} of {all}");
}
