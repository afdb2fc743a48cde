//! LC4, A2: freezes that begin and windows that end in mid-rollout, and changes that wait for a window, in a world in which hours pass.

use change::calendar::OnClose;
use change::rollout::PauseReason;
use change::{Event, Phase, Timestamp};
use sim::world::{ALL_TRAFFIC, Behaviour, NOBODY, World, change_file};

use crate::govern::{pass, rules};
use crate::support::*;

/// The first step is under way three quarters of a minute after nine; the second can't be.
const STEPS: [(&str, &str); 2] = [("25%", "60s"), ("100%", "60s")];

fn calendar(text: &str) -> change::governance::Governance {
    rules(NOBODY, &[("calendar.yaml", text)])
}

/// A freeze that begins in the first step and lasts an hour.
fn freeze(more: &str) -> String {
    format!(
        "freezes: [{{name: closing, start: \"2026-09-29T09:00:45\", end: \"2026-09-29T10:00:00\", tz: UTC, reason: the books, owner: sre{more}}}]"
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

// LC4
#[test]
fn a_freeze_that_begins_in_mid_rollout_holds_the_next_step_and_lets_it_go_when_it_ends() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&freeze(""))).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let held = until(&handle, id, |p| p == Phase::Held { step: Some(1) }).await;
        assert!(
            change::explain::status(&held).contains("the freeze `closing` covers `shop` until `2026-09-29T10:00:00Z`")
        );
        assert_eq!(world.weight(), 2_500, "the step that had begun was finished, and stands");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let log = log(&store, id).await;
        check_history(&log, &world);
        let begun = log.iter().filter(|r| matches!(r.event, Event::StepBegun { .. })).map(|r| r.time);
        let begun: Vec<Timestamp> = begun.collect();
        assert!(begun[0] < at("2026-09-29T09:00:45Z"), "{begun:?}");
        let late = change::time::between(at("2026-09-29T10:00:00Z"), begun[1]);
        assert!(begun[1] >= at("2026-09-29T10:00:00Z") && late < change::Span::secs(2), "on the minute: {begun:?}");
    });
}

// LC4: what a change does when its calendar closes is its policy's, and happens at that moment.
#[test]
fn a_change_whose_freeze_says_so_pauses_when_it_begins_and_goes_on_by_a_person() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let short = freeze(", on_close: pause").replace("T10:00:00", "T09:02:00");
        let handle = start(&world, &store, calendar(&short)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let paused = until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        let pause = paused.rollout().and_then(|r| r.pause.clone()).expect("it is paused");
        assert_eq!(pause.why, PauseReason::Calendar);
        let late = change::time::between(at("2026-09-29T09:00:45Z"), pause.since);
        assert!(pause.since >= at("2026-09-29T09:00:45Z") && late < change::Span::secs(2), "{}", pause.since);
        pass(2).await;
        assert_eq!(
            state(&handle, id).await.phase(),
            Phase::Paused { step: 0 },
            "the end of the freeze resumes nothing"
        );
        let resume = change::Command::Resume { found: None };
        handle.command(&user("bob"), id, resume).await.expect("bob may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let closed =
            log(&store, id).await.into_iter().filter(|r| matches!(r.event, Event::CalendarClosed { .. })).count();
        assert_eq!(closed, 1, "it closes once");
    });
}

// LC4: whoever resumes within the freeze is not paused again, and the next step waits all the same.
#[test]
fn a_pause_by_the_calendar_that_somebody_ends_is_not_repeated_and_the_gate_still_holds() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&freeze(", on_close: pause"))).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        handle.command(&user("bob"), id, change::Command::Resume { found: None }).await.expect("bob may");
        until(&handle, id, |p| p == Phase::Held { step: Some(1) }).await;
        assert_eq!(world.weight(), 2_500);
    });
}

// LC4: the stricter of the calendar and the change file counts.
#[test]
fn a_window_that_ends_rolls_back_a_change_that_wants_to_be_done_by_then() {
    paused().block_on(async {
        let window = "windows: [{name: mornings, rrule: \"FREQ=DAILY;BYHOUR=8\", duration: 3645s, tz: UTC, owner: sre, on_close: pause}]";
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(window)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "on_close: roll-back\n")).await;
        let back = until_ended(&handle, id).await;
        assert_eq!((back.phase(), world.weight()), (Phase::RolledBack, 0));
        let log = log(&store, id).await;
        let closed = log.iter().find_map(|r| match &r.event {
            Event::CalendarClosed { names, then, reason, until } => Some((names.clone(), *then, reason.clone(), *until)),
            _ => None,
        });
        let (names, then, reason, until) = closed.expect("it is in the log");
        assert_eq!((names.as_slice(), then), (["mornings".to_owned()].as_slice(), OnClose::RollBack));
        assert_eq!(until, Some(at("2026-09-30T08:00:00Z")));
        assert!(reason.contains("begin only in the window `mornings`"), "{reason}");
    });
}

// LC4: a change that waits holds no lane.
#[test]
fn a_change_that_waits_for_its_window_begins_in_it_and_is_in_nobodys_way_until_then() {
    paused().block_on(async {
        let window = "windows: [{name: nights, kinds: [config], rrule: \"FREQ=DAILY;BYHOUR=22\", duration: 2h, tz: Europe/Berlin, owner: sre}]";
        let (world, store) = (World::new(5, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(window)).await;
        let waits = propose(&handle, &change_file("a", &STEPS, "when: next-window\n")).await;
        let scheduled = until(&handle, waits, |p| p == Phase::Scheduled).await;
        assert_eq!(scheduled.not_before(), Some(at("2026-09-29T20:00:00Z")));
        let other = change_file("b", &STEPS, "").replace("kind: config", "kind: code");
        let other = propose(&handle, &other).await;
        assert_eq!(until_ended(&handle, other).await.phase(), Phase::Completed, "the same target, and free");
        pass(12).await;
        assert_eq!((state(&handle, waits).await.phase(), world.weight()), (Phase::Completed, ALL_TRAFFIC));
        let log = log(&store, waits).await;
        let begun = log.iter().find(|r| matches!(r.event, Event::StepBegun { .. })).map(|r| r.time).expect("it began");
        assert!(begun >= at("2026-09-29T20:00:00Z"), "{begun}");
    });
}
