//! F4, X2: what policy said when a change was proposed is asked once more before its first step, and never more often than the hour.

use change::{ChangeId, Event, Phase};
use engine::{Handle, InForce};
use sim::world::{ALL_TRAFFIC, Behaviour, World, change_file};

use crate::govern::{approve, rules};
use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];
const ONE: &str = "rules:\n  - {require: [{by: sre, count: 1, within: 4h}]}\n";
/// The world begins on a Tuesday; this is the Friday after it.
const FRIDAY_EVENING: &str = "when: 2026-10-02T18:30Z\n";

fn friday(clock: &str) -> String {
    format!(
        "# METADATA\n# scope: package\n# title: Friday\n# custom:\n#   level: soft\npackage clearway.friday\n\
         deny contains {{\"code\": \"late_on_friday\", \"reason\": \"nobody is there on Friday night\"}} if {{\n\
         \tinput.{clock}.weekday == \"friday\"\n\tinput.{clock}.hour >= 18\n}}\n"
    )
}

async fn approved_for_friday(handle: &Handle) -> ChangeId {
    let id = propose(handle, &change_file("a", &STEPS, FRIDAY_EVENING)).await;
    until(handle, id, |p| p == Phase::Assessed).await;
    approve(handle, "bob", id).await.expect("bob may");
    until(handle, id, |p| p == Phase::Scheduled).await;
    id
}

async fn hours(hours: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(hours * 3_600)).await;
}

fn assessed(story: &[String]) -> usize {
    story.iter().filter(|name| *name == "Assessed").count()
}

// F4, X2
#[test]
fn what_was_approved_on_tuesday_is_held_on_friday_evening_and_goes_on_by_itself() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ONE, &[("policy/friday.rego", &friday("now"))])).await;
        let id = approved_for_friday(&handle).await;
        hours(24 * 3 + 10).await;
        let held = state(&handle, id).await;
        assert_eq!(held.phase(), Phase::Held { step: None }, "it is Friday, past seven in the evening");
        assert!(change::explain::status(&held).contains("nobody is there on Friday night"));
        assert_eq!((held.votes.len(), world.deeds().len()), (1, 0), "the same is required, so the vote stays");
        hours(6).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert_eq!(world.weight(), ALL_TRAFFIC);
        let story = story(&log(&store, id).await);
        assert_eq!(assessed(&story), 3, "an hour in which policy says the same adds nothing: {story:?}");
    });
}

// F4: who looks ahead says no when there is still time to plan otherwise.
#[test]
fn a_rule_sees_the_time_for_which_a_change_is_planned() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ONE, &[("policy/friday.rego", &friday("start"))])).await;
        let id = propose(&handle, &change_file("a", &STEPS, FRIDAY_EVENING)).await;
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(change::explain::status(&change).contains("nobody is there on Friday night"));
    });
}

// F4: a rule that is loaded while a change waits is asked about it.
#[test]
fn a_rule_that_was_loaded_since_holds_what_was_approved_before() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ONE, &[])).await;
        let id = approved_for_friday(&handle).await;
        let newer = rules(ONE, &[("policy/friday.rego", &friday("now"))]);
        handle.govern(InForce::new(newer).expect("it compiles")).await.expect("the store answers");
        hours(24 * 3 + 10).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Held { step: None });
        assert!(world.deeds().is_empty());
    });
}

// F4: where more is required by now, people are asked for it, and the votes that there are still count.
#[test]
fn what_needs_more_votes_by_now_asks_for_them_before_it_begins() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ONE, &[])).await;
        let id = approved_for_friday(&handle).await;
        let two = "rules:\n  - {require: [{by: sre, count: 1, within: 4h}, {by: leads, count: 1, within: 4h}]}\n";
        handle.govern(InForce::new(rules(two, &[])).expect("it compiles")).await.expect("the store answers");
        hours(24 * 3 + 10).await;
        let change = state(&handle, id).await;
        assert_eq!((change.phase(), change.votes.len(), world.deeds().len()), (Phase::Assessed, 1, 0));
        approve(&handle, "cyd", id).await.expect("a lead is asked now");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let log = log(&store, id).await;
        assert!(!log.iter().any(|r| matches!(r.event, Event::VotesVoided { .. })));
    });
}
