//! F8: the engine dies at any instant, and what it had begun ends as it would have ended.

use std::time::Duration;

use change::Phase;
use sim::world::{Behaviour, Fault, NOBODY, World, change_file, governance};

use crate::support::*;

/// How many seeds to play: `CLEARWAY_SIM_SEEDS` for more than the usual few.
fn seeds() -> u64 {
    std::env::var("CLEARWAY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// Lives of the engine until a change has ended; each but the last is cut off at a seeded moment.
fn live_and_die(seed: u64, behaviour: Behaviour, faults: &[Fault]) -> Phase {
    let (world, store) = (World::new(seed, behaviour), memory());
    world.plan_faults(faults, &[]);
    let mut id = None;
    for life in 0..400 {
        let ended = paused().block_on(async {
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = match id {
                Some(id) => id,
                None => *id.insert(propose(&handle, &change_file("a", &[("25%", "10s"), ("100%", "10s")], "")).await),
            };
            let left = Duration::from_millis(world.roll(if life < 60 { 4_000 } else { 60_000 }));
            tokio::time::timeout(left, until_ended(&handle, id)).await.ok().map(|change| change.phase())
        });
        // The runtime is gone, and every task of the engine with it: in mid-step, in mid-append, wherever it was.
        if let Some(phase) = ended {
            paused().block_on(async { check_history(&log(&store, id.expect("proposed")).await, &world) });
            return phase;
        }
    }
    panic!("seed {seed}: the change never ended");
}

// F8, F9: one effect, once; the same end as without a crash.
#[test]
fn a_rollout_that_is_cut_off_again_and_again_ends_as_it_would_have() {
    for seed in 0..seeds() {
        assert_eq!(live_and_die(seed, Behaviour::GOOD, &[]), Phase::Completed, "seed {seed}");
        assert_eq!(live_and_die(1_000 + seed, Behaviour::FAILING, &[]), Phase::RolledBack, "seed {seed}");
    }
}

// F8: the target did it, and the engine died before it heard so.
#[test]
fn a_reply_that_is_lost_with_the_engine_is_asked_for_again() {
    for seed in 0..seeds() {
        let faults = [Fault::LoseReply, Fault::LoseReply];
        assert_eq!(live_and_die(2_000 + seed, Behaviour::GOOD, &faults), Phase::Completed, "seed {seed}");
    }
}
