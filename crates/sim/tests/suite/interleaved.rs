//! What somebody else does in the very moment in which a step begins: it holds the step, or it has come too late, and never both.

use change::{Phase, Span};
use sim::world::{Behaviour, World};

use crate::support::*;

// X12: whether a template counts is asked when the step begins, not before the target was asked whether it is ready.
#[test]
fn a_template_that_is_amended_while_the_target_is_asked_begins_nothing() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, crate::standards::governed(crate::standards::template("", ""))).await;
        world.set_ready_takes(Span::secs(60));
        let id = crate::standards::propose_named(&handle, "a").await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let wider = crate::standards::governed(crate::standards::template("links: ['https://a.example/1']\n", ""));
        handle.govern(engine::InForce::new(wider).expect("no policies")).await.expect("the store answers");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
        let gates = &held.hold.as_ref().expect("it is held").gates;
        let codes: Vec<_> = gates.iter().map(|gate| (gate.gate, gate.code())).collect();
        assert_eq!(codes[0], (change::gate::GateName::Approvals, Some("standard_lost")), "{codes:?}");
        assert!(world.deeds().is_empty(), "no driver was called");
    });
}
