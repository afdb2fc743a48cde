//! LC1 to LC8: lives of changes in a simulated world, each to its end.

use change::rollout::Failure;
use change::{Command, Event, Phase};
use expect_test::expect;
use sim::world::{ALL_TRAFFIC, Behaviour, Fault, NOBODY, ONE_OF_SRE, World, bob, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

// LC2, LC3, LC5, LC6, LC7: low risk flows with no human step.
#[test]
fn a_good_change_is_promoted_with_no_human_step() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::Completed);
        assert_eq!(world.weight(), ALL_TRAFFIC);
        let log = log(&store, id).await;
        check_history(&log, &world);
        expect![[r#"
            [
                "Proposed",
                "Assessed",
                "Approved",
                "Scheduled",
                "StepBegun",
                "StepApplied",
                "Advanced",
                "StepBegun",
                "StepApplied",
                "Advanced",
                "Advanced",
                "Completed",
            ]
        "#]]
        .assert_debug_eq(&story(&log));
    });
}

// LC7: the reason stands in the log in words and figures, and what was there before is there again.
#[test]
fn a_failing_or_slower_change_is_rolled_back_by_the_verdict() {
    for (name, behaviour, sli) in [("failing", Behaviour::FAILING, "errors"), ("slower", Behaviour::SLOW, "latency")] {
        paused().block_on(async {
            let (world, store) = (World::new(2, behaviour), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &change_file(name, &STEPS, "")).await;
            let change = until_ended(&handle, id).await;
            assert_eq!(change.phase(), Phase::RolledBack, "{name}");
            assert_eq!(world.weight(), 0);
            assert!(change.owes(change::aftermath::Debt::Review), "a change that was rolled back owes a review");
            let log = log(&store, id).await;
            check_history(&log, &world);
            let reason = log.iter().find_map(|r| match &r.event {
                Event::RollbackBegun { reason } => Some(reason.clone()),
                _ => None,
            });
            let reason = reason.expect("a rollback began");
            assert!(reason.contains(sli) && reason.chars().any(|c| c.is_ascii_digit()), "{name}: {reason}");
        });
    }
}

// LC3: high risk needs a person, and only the right one.
#[test]
fn a_change_that_needs_approval_waits_for_it() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Assessed);
        assert!(world.deeds().is_empty(), "no driver was called");
        let effect = change.proposal.effect_digest;
        let outsider =
            handle.command(&user("eve"), id, Command::Approve { effect, comment: None, signature: None }).await;
        assert!(outsider.is_err_and(|e| e.to_string().contains("may not approve")));
        handle.command(&bob(), id, Command::Approve { effect, comment: None, signature: None }).await.expect("bob may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// LC3: approval never comes by silence.
#[test]
fn a_change_that_nobody_decides_on_lapses() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        assert_eq!(until(&handle, id, Phase::is_terminal).await.phase(), Phase::Lapsed);
        assert!(world.deeds().is_empty());
    });
}

// LC4: one change at a time on one target; the second waits and then goes by itself.
#[test]
fn two_changes_never_hold_one_lane() {
    paused().block_on(async {
        let (world, store) = (World::new(5, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let first = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, first, |p| matches!(p, Phase::RollingOut { .. })).await;
        let second = propose(&handle, &change_file("b", &STEPS, "")).await;
        let held = until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
        let reason = change::explain::status(&held);
        assert!(reason.contains("`CHG-1` is changing `world:shop`"), "{reason}");
        assert_eq!(until_ended(&handle, first).await.phase(), Phase::Completed);
        until(&handle, second, |p| !matches!(p, Phase::Held { .. })).await;
        let lane = store.read("lane/world:shop", 0).await.expect("the store answers");
        for pair in lane.chunks(2) {
            assert!(matches!(pair[0].event, Event::LaneTaken { .. }), "{pair:?}");
            assert!(pair.get(1).is_none_or(|e| matches!(e.event, Event::LaneFreed { .. })), "{pair:?}");
        }
    });
}

// LC4: in sequence after another change.
#[test]
fn a_change_waits_for_the_one_it_comes_after() {
    paused().block_on(async {
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let first = propose(&handle, &change_file("a", &STEPS, "")).await;
        let second = propose(&handle, &change_file("b", &STEPS, "after: [CHG-1]\n")).await;
        let effect = until(&handle, second, |p| p == Phase::Assessed).await.proposal.effect_digest;
        handle
            .command(&bob(), second, Command::Approve { effect, comment: None, signature: None })
            .await
            .expect("bob may");
        let held = until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
        assert!(change::explain::status(&held).contains("it comes after CHG-1"));
        handle.command(&bob(), first, Command::Refuse { reason: "not now".into() }).await.expect("bob may");
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(
            matches!(state(&handle, second).await.phase(), Phase::Held { .. }),
            "a refused change is not a completed one"
        );
    });
}

// F3: a rollback that fails is tried again in a bounded way; then people are paged, and it can be completed by hand.
#[test]
fn a_rollback_that_fails_for_good_pages_and_keeps_its_lane() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::FAILING), memory());
        world.plan_faults(&[], &[Fault::Refuse(Failure::Retry); 9]);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::RollbackFailed).await;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let pages = world.pages();
        assert_eq!(pages.len(), 1, "{pages:?}");
        assert!(pages[0].1.contains("follow docs/back.md"), "{pages:?}");
        let second = propose(&handle, &change_file("b", &STEPS, "")).await;
        until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
        handle
            .command(&bob(), id, Command::CompleteByHand { evidence: "weights are v1 100".into() })
            .await
            .expect("bob may");
        assert_eq!(state(&handle, id).await.phase(), Phase::RolledBack);
        until(&handle, second, |p| !matches!(p, Phase::Held { .. })).await;
    });
}

// F3: trying again helps where it can.
#[test]
fn a_rollback_that_fails_twice_works_at_the_third_attempt() {
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::FAILING), memory());
        world.plan_faults(&[], &[Fault::Refuse(Failure::Retry); 2]);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
        assert_eq!(world.weight(), 0);
        assert!(world.pages().is_empty());
    });
}

// F8: no half-known effect is guessed: a person says what is there.
#[test]
fn an_unknown_outcome_waits_for_a_person() {
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        world.plan_faults(&[Fault::Refuse(Failure::Unknown)], &[]);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        let bare = handle.command(&bob(), id, Command::Resume { found: None }).await;
        assert!(bare.is_err_and(|e| e.to_string().contains("say what you found")));
        let found = Some(change::lifecycle::Found::NotApplied);
        handle.command(&bob(), id, Command::Resume { found }).await.expect("bob may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        check_history(&log(&store, id).await, &world);
    });
}

// LC1: the same request with the same key is one change; with another request it is an error.
#[test]
fn an_idempotency_key_makes_one_change_of_many_requests() {
    paused().block_on(async {
        let (world, store) = (World::new(10, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let file = change_file("a", &STEPS, "");
        let files = std::collections::BTreeMap::new();
        let first = handle.propose(&bob(), &file, &files, Some("k")).await.expect("a proposal");
        let second = handle.propose(&bob(), &file, &files, Some("k")).await.expect("the same");
        assert_eq!(first.id, second.id);
        let other = handle.propose(&bob(), &change_file("b", &STEPS, ""), &files, Some("k")).await;
        assert!(matches!(other, Err(engine::ProposeError::KeyReused(_))));
    });
}
