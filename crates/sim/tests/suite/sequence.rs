//! LC4: what comes after what: who waits until another is completed, what can never be, and who is told.

use std::collections::BTreeMap;

use change::conflict::outlook::Role;
use change::gate::{Gate, GateName};
use change::lifecycle::Rejection;
use change::{ChangeId, Command, Event, Phase};
use engine::{CommandError, Draft, Handle, ProposeError};
use sim::world::{Behaviour, NOBODY, ONE_OF_SRE, World, ada, bob, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

fn file(title: &str, after: &str) -> String {
    let more = if after.is_empty() { String::new() } else { format!("after: [{after}]\n") };
    change_file(title, &STEPS, &more)
        .replace("services: [shop]", &format!("services: [{title}]"))
        .replace("resource: shop", &format!("resource: {title}"))
}

async fn amend(handle: &Handle, id: ChangeId, text: &str) -> Result<change::Change, CommandError> {
    let draft = Draft { text: text.to_owned(), ..Draft::default() };
    handle.amend(&ada(), id, &draft, None).await.expect("the file is valid")
}

async fn conflicts(handle: &Handle, id: ChangeId) -> Gate {
    let gates = handle.gates_of(&state(handle, id).await).await.expect("the store answers");
    gates.into_iter().find(|gate| gate.gate == GateName::Conflicts).expect("there is such a gate")
}

// LC4
#[test]
fn a_change_that_comes_after_another_waits_until_that_is_completed() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let first = propose(&handle, &file("a", "")).await;
        let second = propose(&handle, &file("b", "CHG-1")).await;
        let third = propose(&handle, &file("c", "CHG-2")).await;
        until(&handle, third, |p| matches!(p, Phase::Held { .. })).await;
        let gate = conflicts(&handle, third).await;
        assert_eq!((gate.code(), gate.behind), (Some("after"), Some(second)));
        let chain: Vec<_> = gate.in_the_way.iter().map(|other| (other.change, other.role)).collect();
        assert_eq!(chain, [(second, Role::Before), (first, Role::Before)]);
        let ends: Vec<_> = gate.in_the_way.iter().map(|other| other.expected_end.expect("can be foretold")).collect();
        assert!(ends[0] > ends[1] && ends[1] > handle.now(), "each is expected after the one before: {ends:?}");
        for id in [first, second, third] {
            assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        }
        let order: Vec<ChangeId> = store
            .read_all(0, 100_000)
            .await
            .expect("the store answers")
            .iter()
            .filter(|r| matches!(r.event, Event::StepBegun { step: 0, .. } | Event::Completed))
            .filter_map(|r| ChangeId::of_stream(&r.stream))
            .collect();
        assert_eq!(order, [first, first, second, second, third, third]);
    });
}

// LC4: the place in the file is named, and nothing is proposed.
#[test]
fn a_change_that_comes_after_one_that_there_is_not_is_refused() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let refused = handle.propose(&ada(), &file("a", "CHG-1"), &BTreeMap::new(), None).await;
        let Err(ProposeError::Invalid(problems)) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (problems[0].path.as_str(), problems[0].message.as_str()),
            ("after[0]", "there is no change `CHG-1`")
        );
        let first = propose(&handle, &file("a", "")).await;
        let amended = amend(&handle, first, &file("a", "CHG-9")).await;
        assert!(matches!(amended, Err(CommandError::Rejected(Rejection::AfterUnknown { .. }))), "{amended:?}");
    });
}

// LC4: the circle is named from the change that is amended.
#[test]
fn a_circle_is_refused_when_a_change_is_amended() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let first = propose(&handle, &file("a", "")).await;
        let second = propose(&handle, &file("b", "CHG-1")).await;
        propose(&handle, &file("c", "CHG-2")).await;
        for (after, circle) in [("CHG-1", "CHG-1 -> CHG-1"), ("CHG-3", "CHG-1 -> CHG-3 -> CHG-2 -> CHG-1")] {
            let refused = amend(&handle, first, &file("a", after)).await;
            let Err(CommandError::Rejected(rejection)) = refused else { panic!("{refused:?}") };
            assert_eq!(
                rejection.to_string(),
                format!("`CHG-1` would wait for itself: {circle}, each waits for the next")
            );
        }
        // Whoever ends is in no circle any more.
        handle.command(&ada(), second, Command::Withdraw { reason: "not now".into() }).await.expect("ada may");
        amend(&handle, first, &file("a", "CHG-3")).await.expect("the circle is broken");
    });
}

// LC4: what failed is not left out by itself; the author says what comes instead, and the votes stay.
#[test]
fn a_change_after_one_that_was_not_completed_waits_until_it_is_amended() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(ONE_OF_SRE)).await;
        let first = propose(&handle, &file("a", "")).await;
        let second = propose(&handle, &file("b", "CHG-1")).await;
        let effect = until(&handle, second, |p| p == Phase::Assessed).await.proposal.effect_digest;
        let vote = Command::Approve { effect, comment: None, signature: None };
        handle.command(&bob(), second, vote).await.expect("bob may");
        until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
        handle.command(&ada(), first, Command::Withdraw { reason: "not now".into() }).await.expect("ada may");
        let gate = conflicts(&handle, second).await;
        assert_eq!(
            (gate.code(), gate.why()),
            (
                Some("after_stranded"),
                Some("conflicts: it comes after `CHG-1`, which is withdrawn, and can't be completed any more".into())
            )
        );
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert!(world.deeds().is_empty(), "nothing begins by itself");
        amend(&handle, second, &file("b", "")).await.expect("ada may");
        assert_eq!(until_ended(&handle, second).await.phase(), Phase::Completed);
    });
}
