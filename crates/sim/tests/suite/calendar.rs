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
        let told = world.notices();
        let hears =
            |(of, said): &(change::ChangeId, String)| *of == id && said.contains("`clearway resume CHG-1` goes on");
        assert!(told.iter().any(hears), "who owns it hears of it: {told:?}");
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

// LC4: a stricter freeze that begins within another is followed, although what the first one asks for is done.
#[test]
fn a_freeze_that_rolls_back_is_followed_within_one_that_pauses() {
    paused().block_on(async {
        let (world, store) = (World::new(10, Behaviour::GOOD), memory());
        let both = freeze(", on_close: pause").replace("}]", "}, {name: audit, start: \"2026-09-29T09:03:00\", end: \"2026-09-29T09:40:00\", tz: UTC, reason: an audit, owner: sre, on_close: roll-back}]");
        let handle = start(&world, &store, calendar(&both)).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
        let log = log(&store, id).await;
        let back =
            log.iter().find(|r| matches!(r.event, Event::RollbackBegun { .. })).map(|r| r.time).expect("it goes back");
        let late = change::time::between(at("2026-09-29T09:03:00Z"), back);
        assert!(back >= at("2026-09-29T09:03:00Z") && late < change::Span::secs(2), "{back}");
    });
}

// LC4: a calendar that was open for an exception closes anew when that ends, and the change does what is asked.
#[test]
fn a_change_that_was_resumed_under_an_exception_pauses_again_when_that_ends() {
    paused().block_on(async {
        let (world, store) = (World::new(11, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&freeze(", on_close: pause"))).await;
        let steps = [("25%", "60s"), ("100%", "20m")];
        let id = propose(&handle, &change_file("a", &steps, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        pass_by_exception(&handle, id, "2026-09-29T09:10:00Z").await;
        handle.command(&user("bob"), id, change::Command::Resume { found: None }).await.expect("bob may");
        until(&handle, id, |p| p == Phase::RollingOut { step: 1 }).await;
        let paused = until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        let pause = paused.rollout().and_then(|r| r.pause.clone()).expect("it is paused");
        let late = change::time::between(at("2026-09-29T09:10:00Z"), pause.since);
        assert_eq!(pause.why, PauseReason::Calendar);
        assert!(pause.since >= at("2026-09-29T09:10:00Z") && late < change::Span::secs(2), "{}", pause.since);
        let names = story(&log(&store, id).await);
        let told: Vec<_> = names.iter().filter(|name| name.starts_with("Calendar")).collect();
        assert_eq!(told, ["CalendarClosed", "CalendarOpened", "CalendarClosed"]);
    });
}

async fn pass_by_exception(handle: &engine::Handle, id: change::ChangeId, until: &str) {
    let (freeze, reason) = ("closing".to_owned(), "the tax rate changes".to_owned());
    let ask = change::Command::AskException { freeze: freeze.clone(), until: at(until), reason };
    handle.command(&user("ada"), id, ask).await.expect("ada may ask");
    handle
        .command(&user("bob"), id, change::Command::GrantException { freeze, until: at(until) })
        .await
        .expect("bob owns it");
}

// LC4: an exception that ends closes the calendar in that moment, also for a change that is paused, which nobody looks at.
#[test]
fn an_exception_that_ends_in_a_pause_rolls_back_on_the_moment() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&freeze(", on_close: roll-back"))).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        pass_by_exception(&handle, id, "2026-09-29T09:02:37Z").await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { .. })).await;
        let pause = change::Command::Pause { reason: "a look at it".into() };
        handle.command(&user("bob"), id, pause).await.expect("bob may");
        until_ended(&handle, id).await;
        let log = log(&store, id).await;
        let back =
            log.iter().find(|r| matches!(r.event, Event::RollbackBegun { .. })).map(|r| r.time).expect("it goes back");
        let late = change::time::between(at("2026-09-29T09:02:37Z"), back);
        assert!(back >= at("2026-09-29T09:02:37Z") && late < change::Span::secs(2), "{back}");
    });
}

// LC4, F4: a yes to an exception counts as a vote does: while who said it still could, and from the first step on for good.
#[test]
fn an_exception_falls_with_the_right_of_who_granted_it_until_the_change_has_begun() {
    let closing = freeze("").replace("T09:00:45", "T08:00:00");
    let without = |who: &str| {
        let rules = rules(NOBODY, &[("calendar.yaml", &closing)]);
        let mut governance = rules;
        governance.access.users.iter_mut().filter(|user| user.id == who).for_each(|user| user.deactivated = true);
        governance
    };
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&closing)).await;
        let waits = propose(&handle, &change_file("a", &STEPS, "when: '2026-09-29T09:10:00Z'\n")).await;
        pass_by_exception(&handle, waits, "2026-09-29T09:40:00Z").await;
        handle.govern(engine::InForce::new(without("bob")).expect("no policies")).await.expect("the store answers");
        let held = until(&handle, waits, |p| p == Phase::Held { step: None }).await;
        let why = change::explain::status(&held);
        assert!(why.contains("user:bob granted an exception, and could not grant it now"), "{why}");
        assert_eq!(world.weight(), 0);
    });
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&closing)).await;
        let begun = propose(&handle, &change_file("a", &STEPS, "")).await;
        pass_by_exception(&handle, begun, "2026-09-29T09:40:00Z").await;
        until(&handle, begun, |p| matches!(p, Phase::RollingOut { .. })).await;
        handle.govern(engine::InForce::new(without("bob")).expect("no policies")).await.expect("the store answers");
        let ended = until_ended(&handle, begun).await;
        assert_eq!(ended.phase(), Phase::Completed);
        assert!(ended.updated_at < at("2026-09-29T09:40:00Z"), "it was not held: {}", ended.updated_at);
    });
}

// LC4: a plan for the next window follows the calendar: later by a freeze, earlier by a window, and not for ever by either.
#[test]
fn a_change_for_the_next_window_is_scheduled_anew_when_the_calendar_changes() {
    paused().block_on(async {
        let nights = "windows: [{name: nights, rrule: \"FREQ=DAILY;BYHOUR=20\", duration: 2h, tz: UTC, owner: sre}";
        let frozen = format!(
            "{nights}]\nfreezes: [{{name: books, start: \"2026-09-29T19:00:00\", end: \"2026-09-29T21:30:00\", tz: UTC, reason: r, owner: sre}}]"
        );
        let earlier = format!(
            "{nights}, {{name: noon, rrule: \"FREQ=DAILY;BYHOUR=12\", duration: 1h, tz: UTC, owner: sre}}]"
        );
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let handle = start(&world, &store, calendar(&format!("{nights}]"))).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: next-window\n")).await;
        let mut moments = vec![until(&handle, id, |p| p == Phase::Scheduled).await.not_before()];
        for text in [frozen, earlier] {
            let rules = engine::InForce::new(calendar(&text)).expect("no policies");
            handle.govern(rules).await.expect("the store answers");
            pass(0).await;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            moments.push(state(&handle, id).await.not_before());
        }
        let wanted = ["2026-09-29T20:00:00Z", "2026-09-29T21:30:00Z", "2026-09-29T12:00:00Z"];
        assert_eq!(moments, wanted.map(|text| Some(at(text))));
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let log = log(&store, id).await;
        let anew = log.iter().filter(|r| matches!(r.event, Event::Rescheduled { .. })).count();
        let begun = log.iter().find(|r| matches!(r.event, Event::StepBegun { .. })).map(|r| r.time).expect("it began");
        assert_eq!(anew, 2, "once for each calendar");
        assert!(begun >= at("2026-09-29T12:00:00Z") && begun < at("2026-09-29T12:00:05Z"), "{begun}");
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
