//! What a step is compared with: the version beside it, its objective, the week before; and the services downstream beside it.

use change::verification::Answer;
use change::{Event, Phase};
use engine::ports::Recorded;
use engine::replay::Strictness;
use sim::world::{Behaviour, NOBODY, World, change_file, governance, governance_with_downstream};

use crate::support::*;

const ALL_AT_ONCE: [(&str, &str); 1] = [("100%", "30s")];

fn reasons(log: &[Recorded]) -> Vec<String> {
    let code = |recorded: &Recorded| match &recorded.event {
        Event::Judged(judgement) => {
            Some(judgement.reasons.iter().map(|reason| reason.code.clone()).collect::<Vec<_>>())
        }
        _ => None,
    };
    log.iter().filter_map(code).flatten().collect()
}

// LC6, LC7: without a version beside it, a step passes and fails by its objective.
#[test]
fn a_step_of_all_traffic_passes_and_fails_by_its_objective() {
    for (behaviour, end) in [(Behaviour::GOOD, Phase::Completed), (Behaviour::FAILING, Phase::RolledBack)] {
        paused().block_on(async {
            let (world, store) = (World::new(31, behaviour), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &change_file("a", &ALL_AT_ONCE, "")).await;
            assert_eq!(until_ended(&handle, id).await.phase(), end);
        });
    }
}

// LC6: the same weekday and hour before the change is a baseline too, with wider margins, and marked as not exact.
#[test]
fn a_step_passes_and_fails_by_the_week_before() {
    let file = change_file("a", &ALL_AT_ONCE, "").replace("bake: 30s}", "bake: 30s, comparison: before}");
    for (behaviour, end) in [(Behaviour::GOOD, Phase::Completed), (Behaviour::FAILING, Phase::RolledBack)] {
        paused().block_on(async {
            let (world, store) = (World::new(32, behaviour), memory());
            let handle = start(&world, &store, governance(NOBODY)).await;
            let id = propose(&handle, &file).await;
            assert_eq!(until_ended(&handle, id).await.phase(), end);
            let looks = handle.looks(id, 0).await.expect("the store answers");
            let beside = looks.iter().find(|look| look.step == 0).expect("a look");
            assert!(beside.readings[0]["reading"]["seen"]["baseline"].is_object(), "{:?}", beside.readings);
            let told = reasons(&log(&store, id).await);
            assert!(end != Phase::Completed || told.contains(&"not_exact".to_owned()), "{told:?}");
        });
    }
}

// F1: a source without a history never passes such a step.
#[test]
fn a_source_that_remembers_nothing_is_unreachable_for_a_comparison_with_the_past() {
    let file =
        change_file("a", &ALL_AT_ONCE, "").replace("bake: 30s}", "bake: 30s, deadline: 60s, comparison: before}");
    paused().block_on(async {
        let (world, store) = (World::new(33, Behaviour::GOOD), memory());
        world.forget();
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file).await;
        let change = until(&handle, id, |phase| matches!(phase, Phase::Paused { .. } | Phase::Completed)).await;
        assert!(matches!(change.phase(), Phase::Paused { .. }), "{:?}", change.phase());
        assert!(reasons(&log(&store, id).await).contains(&"unreachable".to_owned()));
    });
}

// X22: a service downstream that breaks its objective holds the step; it never rolls back.
#[test]
fn a_service_downstream_that_suffers_holds_the_step() {
    let file =
        change_file("a", &[("50%", "30s"), ("100%", "10s")], "").replace("bake: 30s}", "bake: 30s, deadline: 90s}");
    for (suffers, ends_well) in [(false, true), (true, false)] {
        paused().block_on(async {
            let (world, store) = (World::new(34, Behaviour::GOOD), memory());
            let handle = start(&world, &store, governance_with_downstream(NOBODY)).await;
            if suffers {
                world.break_downstream();
            }
            let id = propose(&handle, &file).await;
            let change = until(&handle, id, |phase| {
                matches!(phase, Phase::Paused { .. } | Phase::Completed | Phase::RolledBack)
            })
            .await;
            assert_eq!(change.phase() == Phase::Completed, ends_well, "{:?}", change.phase());
            assert_ne!(change.phase(), Phase::RolledBack);
            assert_eq!(suffers, reasons(&log(&store, id).await).contains(&"downstream_unhealthy".to_owned()));
        });
    }
}

// F4: what another strictness would have said of the same evidence, and when.
#[test]
fn the_looks_of_a_change_are_replayed_under_another_strictness() {
    paused().block_on(async {
        let (world, store) = (World::new(35, Behaviour { errors: 0.006, slower: 1.0 }), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &[("50%", "60s"), ("100%", "10s")], "")).await;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::RolledBack);
        let replay = |strictness: Strictness| {
            let (handle, change) = (handle.clone(), change.clone());
            async move { handle.replay(&change, &strictness).await.expect("the store answers").expect("valid settings") }
        };
        let same = replay(Strictness::default()).await;
        assert_eq!(same.steps[0].was, same.steps[0].would, "{same:#?}");
        assert_eq!(same.steps[0].was.answer, Answer::Fail);
        let mild: Strictness = serde_json::from_value(serde_json::json!({"slis": {"errors": {"harm": "900%", "safe": "950%"}}})).expect("valid");
        let mild = replay(mild).await;
        assert_ne!(mild.steps[0].would.answer, Answer::Fail, "{mild:#?}");
        assert!(mild.summary.starts_with("step 1: "), "{}", mild.summary);
        assert_eq!(mild.looks, handle.looks(id, 0).await.expect("the store answers").len() as u64);
    });
}
