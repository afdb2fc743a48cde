//! F1: whatever telemetry returns, no pass is made out of no evidence.

use change::verification::Answer;
use change::{Event, Phase};
use sim::world::{Behaviour, NOBODY, Telemetry, World, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "20s"), ("100%", "20s")];

// F1: the verdict is `insufficient` or `unreachable`, never `pass`; the rollout holds, then does what the plan says.
#[test]
fn no_telemetry_makes_a_pass_out_of_no_evidence() {
    for telemetry in Telemetry::ALL.into_iter().filter(|t| *t != Telemetry::Honest) {
        for (choice, ends) in [("hold", "paused"), ("page", "paused"), ("rollback", "rolled_back")] {
            paused().block_on(async {
                let (world, store) = (World::new(11, Behaviour::GOOD), memory());
                let handle = start(&world, &store, governance(NOBODY)).await;
                let file = change_file("a", &STEPS, "").replace(
                    "  every: 1s",
                    &format!("  every: 1s\n  on_insufficient: {choice}\n  on_unreachable: {choice}"),
                );
                let id = propose(&handle, &file).await;
                until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
                world.set_telemetry(telemetry);
                let change = until(&handle, id, |p| p.is_terminal() || matches!(p, Phase::Paused { .. })).await;
                assert_eq!(
                    change.phase().name(),
                    ends,
                    "{telemetry:?}, {choice}: {}",
                    change::explain::status(&change)
                );
                let log = log(&store, id).await;
                let passed = log.iter().any(|r| matches!(&r.event, Event::Judged(j) if j.answer == Answer::Pass));
                assert!(!passed, "{telemetry:?}: a pass out of no evidence");
                assert!(!log.iter().any(|r| matches!(r.event, Event::Advanced { .. })), "{telemetry:?}");
                tokio::time::sleep(std::time::Duration::from_secs(30)).await;
                assert_eq!(world.pages().is_empty(), choice != "page", "{telemetry:?}, {choice}");
            });
        }
    }
}

// F1: a gap ends, and the rollout goes on by itself.
#[test]
fn a_gap_that_ends_before_the_deadline_only_costs_time() {
    paused().block_on(async {
        let (world, store) = (World::new(12, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        world.set_telemetry(Telemetry::Failing);
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        world.set_telemetry(Telemetry::Honest);
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let log = log(&store, id).await;
        assert!(log.iter().any(|r| matches!(&r.event, Event::Judged(j) if j.answer == Answer::Unreachable)));
    });
}

// X13: telemetry is checked before the rollout begins.
#[test]
fn nothing_begins_while_the_baseline_has_no_data() {
    for telemetry in [Telemetry::Empty, Telemetry::Failing, Telemetry::NotANumber] {
        paused().block_on(async {
            let (world, store) = (World::new(13, Behaviour::GOOD), memory());
            world.set_telemetry(telemetry);
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &change_file("a", &STEPS, "")).await;
            let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
            let reason = change::explain::status(&held);
            assert!(reason.contains("readiness"), "{telemetry:?}: {reason}");
            assert!(world.deeds().is_empty(), "no driver was called");
            world.set_telemetry(Telemetry::Honest);
            assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
            drop(store);
        });
    }
}

// DESIGN section 7: a step that takes all traffic is judged by its objective.
#[test]
fn a_full_step_passes_and_fails_by_its_objective() {
    paused().block_on(async {
        let (world, store) = (World::new(14, Behaviour::FAILING), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &[("100%", "20s")], "")).await;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::RolledBack);
        check_history(&log(&store, id).await, &world);
    });
}
