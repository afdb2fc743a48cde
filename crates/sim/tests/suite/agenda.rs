//! PR5: the plan of the next days beside what then happens, in a world in which nobody interferes.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::agenda::{Expected, Part};
use change::time::{after, between};
use change::{Change, ChangeId, Event, Phase, Span, Timestamp};
use engine::agenda::Asked;
use engine::ports::Recorded;
use sim::world::{Behaviour, NOBODY, World, change_file};

use crate::govern::rules;
use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "60s"), ("100%", "60s")];
const DAY: Span = Span::secs(86_400);
/// Verdicts come once a second: what is planned is right to the look.
const A_LOOK: Span = Span::secs(1);

fn first(log: &[Recorded], wanted: impl Fn(&Event) -> bool) -> Timestamp {
    log.iter().find(|recorded| wanted(&recorded.event)).map(|recorded| recorded.time).expect("it is in the log")
}

fn begins(log: &[Recorded], wanted: usize) -> Timestamp {
    first(log, |event| matches!(event, Event::StepBegun { step, .. } if *step == wanted))
}

fn ends(log: &[Recorded]) -> Timestamp {
    first(log, |event| matches!(event, Event::Completed))
}

/// How long each part took of a change that went alone.
fn lengths(log: &[Recorded]) -> [Span; 3] {
    let left = first(log, |event| matches!(event, Event::Advanced { step: 1 }));
    [between(begins(log, 0), begins(log, 1)), between(begins(log, 1), left), between(left, ends(log))]
}

fn apart(one: Timestamp, other: Timestamp) -> Span {
    if one < other { between(one, other) } else { between(other, one) }
}

// PR5
#[test]
fn what_is_planned_is_what_then_happens_where_nobody_interferes() {
    paused().block_on(async {
        let (world, store) = (World::new(21, Behaviour::GOOD), memory());
        let freeze = "freezes: [{name: closing, start: \"2026-09-29T09:10:00\", end: \"2026-09-29T10:00:00\", tz: UTC, reason: r, owner: sre}]";
        let cart = ("services/cart.yaml", "name: cart\nowner: sre\ntier: 3\n");
        let handle = start(&world, &store, rules(NOBODY, &[("calendar.yaml", freeze), cart])).await;
        let alone = propose(&handle, &change_file("alone", &STEPS, "")).await;
        until_ended(&handle, alone).await;
        let known = lengths(&log(&store, alone).await);

        let mut ids: Vec<ChangeId> = Vec::new();
        for (number, (team, services, more)) in [
            ("ada", "shop", String::new()),
            ("ada", "shop", String::new()),
            ("bob", "shop", String::new()),
            ("ada", "cart", "after: [CHG-3]\n".to_owned()),
            ("bob", "cart", "when: 2026-09-29T09:30:00Z\n".to_owned()),
            ("ada", "shop, cart", String::new()),
        ]
        .into_iter()
        .enumerate()
        {
            let file = change_file(&format!("t{number}"), &STEPS, &more)
                .replace("owner: ada", &format!("owner: {team}"))
                .replace("services: [shop]", &format!("services: [{services}]"))
                .replace("resource: shop", &format!("resource: t{number}"));
            let id = propose(&handle, &file).await;
            until(&handle, id, |p| !matches!(p, Phase::Proposed | Phase::Assessed | Phase::Approved)).await;
            ids.push(id);
        }
        // Each has been asked once, and stands in its line.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let takes = move |_: &Change, part: Part| match part {
            Part::Step(step) => known[step],
            Part::Watch => known[2],
        };
        let planned_at = handle.now();
        let asked = Asked { takes: Some(Arc::new(takes)), ..Asked::until(after(planned_at, DAY)) };
        let agenda = handle.agenda(asked).await.expect("the store answers");
        let planned: BTreeMap<ChangeId, _> =
            agenda.items.iter().filter_map(|item| Some((item.change?, item.clone()))).collect();

        let mut worst = Span::ZERO;
        for id in &ids {
            let item = &planned[id];
            assert_eq!(until_ended(&handle, *id).await.phase(), Phase::Completed);
            let log = log(&store, *id).await;
            if item.expected == Expected::Planned {
                worst = worst.max(apart(item.starts_at.expect("it is planned"), begins(&log, 0)));
            }
            worst = worst.max(apart(item.ends_at.expect("it ends"), ends(&log)));
            assert!(worst <= A_LOOK, "{id} was planned as {item:?}, and began at {}, ended at {}", begins(&log, 0), ends(&log));
        }
        let expected: Vec<Expected> = ids.iter().map(|id| planned[id].expected).collect();
        assert_eq!(expected.iter().filter(|is| **is == Expected::Planned).count(), 5, "{expected:?}");
        println!("{} changes, planned and begun at most {worst} apart", ids.len());
    });
}

// PR5: many who ask cost no more than one.
#[test]
fn a_plan_is_made_once_for_all_who_ask_until_something_happens_or_a_minute_is_over() {
    paused().block_on(async {
        let (world, store) = (World::new(22, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(NOBODY, &[])).await;
        let until_then = after(handle.now(), DAY);
        let made = async || handle.agenda(Asked::until(until_then)).await.expect("the store answers");
        let first = made().await;
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        assert_eq!(made().await.now, first.now, "nothing has happened: it is the same plan");
        let id = propose(&handle, &change_file("first", &STEPS, "when: 2026-12-01T09:00:00Z\n")).await;
        let second = made().await;
        assert!(second.now > first.now && second.items.iter().any(|item| item.change == Some(id)), "{second:?}");
        until(&handle, id, |p| p == Phase::Scheduled).await;
        let third = made().await;
        tokio::time::sleep(std::time::Duration::from_secs(61)).await;
        let fourth = made().await;
        assert!(fourth.now > third.now, "it is a minute old");
        assert_eq!(fourth.items, third.items);
    });
}
