//! X8: before a rollout begins, the plan says what its steps will be able to see, from present telemetry.

use std::collections::BTreeMap;
use std::time::Duration;

use change::gate::GateName;
use engine::planning::{Asked, Forecast};
use judge::plan::Decision;
use sim::world::{Behaviour, NOBODY, Telemetry, World, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];
const FEW: Asked = Asked { runs: 12, suggest: false };

fn forecast(rate: f64) -> Forecast {
    paused().block_on(async {
        let (world, store) = (World::new(21, Behaviour::GOOD), memory());
        world.set_rate(rate);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let file = change_file("a", &STEPS, "");
        handle.plan(&file, &BTreeMap::new(), FEW).await.expect("a plan")
    })
}

// X8, M5: with five hundred requests a second every step decides; nothing has been proposed for that.
#[test]
fn a_plan_is_made_from_what_the_stable_version_does_now() {
    let forecast = forecast(500.0);
    assert_eq!(forecast.names, ["step 1 of 2 (25%)", "step 2 of 2 (100%)", "the watch"]);
    let errors = &forecast.present[0];
    assert!(errors.requests_per_second.is_some_and(|it| (450.0..550.0).contains(&it)), "{:?}", forecast.present);
    assert!(errors.bad_share.is_some_and(|it| it < 0.005), "{:?}", forecast.present);
    let steps = &forecast.plan.steps;
    assert_eq!(steps[0].answer, Decision::Decides, "{steps:#?}");
    assert_eq!(engine::planning::warnings(&forecast), Vec::<String>::new());
}

// X8: no answer is another thing than no traffic.
#[test]
fn telemetry_that_can_not_be_read_makes_no_plan() {
    paused().block_on(async {
        let (world, store) = (World::new(23, Behaviour::GOOD), memory());
        world.set_telemetry(Telemetry::Failing);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let made = handle.plan(&change_file("a", &STEPS, ""), &BTreeMap::new(), FEW).await;
        let error = made.expect_err("nothing can be read").to_string();
        assert!(error.contains("telemetry that can't be read"), "{error}");
    });
}

// X8: a proposal whose steps can never decide is warned beside an open gate, with what it would take.
#[test]
fn too_little_traffic_is_a_warning_and_closes_no_gate() {
    paused().block_on(async {
        let (world, store) = (World::new(22, Behaviour::GOOD), memory());
        world.set_rate(1.0);
        world.set_plan_runs(8);
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let mut said = Vec::new();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let gates = handle.gates_of(&state(&handle, id).await).await.expect("the store answers");
            let readiness = gates.into_iter().find(|it| it.gate == GateName::Readiness).expect("it is asked");
            said = readiness.warnings;
            if !said.is_empty() {
                break;
            }
        }
        let text = said.join("\n");
        assert!(text.contains("step 1 of 2 (25%) can't decide within its deadline at the present traffic ("), "{text}");
        assert!(text.contains("can't be seen within 3 min"), "{text}");
        assert!(state(&handle, id).await.rollout().is_some(), "a warning holds nothing");
    });
}
