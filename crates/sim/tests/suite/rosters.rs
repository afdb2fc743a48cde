//! A4: whose turn it is by a roster that another tool keeps, and what people on call hear before a change of high risk begins.

use std::time::Duration;

use change::governance::Governance;
use change::roster::Watch;
use change::time::{after, before};
use change::{Command, Phase, Span};
use sim::world::{Behaviour, World, change_file, epoch};

use crate::govern::{STEPS, reasons, rules};
use crate::support::*;

const HOUR: Span = Span::secs(3_600);
const SHOP: &str = "name: shop\nowner: sre\non_call: primary\ntier: 3\n";
/// Whatever it is, its risk is high.
const RISKY: &str =
    "package clearway.risky\nscore contains {\"code\": \"risky\", \"points\": 60, \"reason\": \"it is risky\"}\n";
const FEED: &str = "schedules: [{name: primary, tz: UTC, source: pager}]\nunknown_after: 2h\n";

fn roster(roster: &str, more: &[(&str, &str)]) -> Governance {
    let fixed = [("services/shop.yaml", SHOP), ("roster.yaml", roster), ("policy/risky.rego", RISKY)];
    rules("rules: [{require: []}]\n", &fixed.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
}

fn on_now(who: &str) -> Vec<Watch> {
    vec![Watch {
        who: vec![who.into()],
        start: before(epoch(), HOUR),
        end: after(epoch(), HOUR.times(10)),
        again: None,
    }]
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

// A4: the last good copy is kept while the tool does not answer, and is worth nothing once it is too old.
#[test]
fn a_copy_is_kept_with_its_age_and_unknown_when_it_is_too_old() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        world.set_roster("pager", Ok(on_now("eve")));
        let handle = start(&world, &store, roster(FEED, &[])).await;
        minutes(1).await;
        let asked = || handle.on_call(Some("shop"), handle.now()).expect("a service").remove(0);
        assert_eq!(asked().duty.users, ["eve".to_owned()].into());
        world.set_roster("pager", Err("no connection".into()));
        minutes(30).await;
        let kept = asked();
        assert_eq!((kept.duty.users, kept.failed.as_deref()), (["eve".to_owned()].into(), Some("no connection")));
        assert!(kept.fetched_at.is_some_and(|at| at < after(epoch(), Span::secs(600))));
        minutes(120).await;
        let old = asked();
        assert!(old.duty.users.is_empty(), "{old:?}");
        assert!(old.duty.unknown.as_ref().is_some_and(|why| why.contains("older than 2h: no connection")), "{old:?}");
        world.set_roster("pager", Ok(on_now("eve")));
        minutes(10).await;
        assert_eq!(asked().duty.users, ["eve".to_owned()].into());
        assert!(handle.on_call(Some("ghost"), handle.now()).is_none());
    });
}

// A4: who is on call by the roster may veto; who was on call before may not.
#[test]
fn the_turn_of_a_schedule_gives_the_right_to_veto() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let rotation = "schedules: [{name: primary, tz: UTC, rotation: {users: [eve, bob], start: 2026-09-29, every: 1d, handover: '10:00'}}]\n";
        let handle = start(&world, &store, roster(rotation, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2026-12-01T00:00:00Z\n")).await;
        let veto = || Command::Veto { reason: "no".into(), until: handle.until(HOUR) };
        assert!(handle.command(&user("eve"), id, veto()).await.is_err(), "the first turn begins at ten");
        minutes(61).await;
        handle.command(&user("eve"), id, veto()).await.expect("it is the turn of eve");
        minutes(24 * 60).await;
        assert!(handle.command(&user("eve"), id, veto()).await.is_err(), "it is the turn of bob");
    });
}

// A4: people on call hear of a change of high risk when it is scheduled, and whoever is on call then once more before it begins.
#[test]
fn people_on_call_hear_of_a_change_of_high_risk_before_it_begins() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let rotation = "schedules: [{name: primary, tz: UTC, rotation: {users: [eve, bob], start: 2026-09-28, every: 1d, handover: '10:00'}}]\n";
        let handle = start(&world, &store, roster(rotation, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2026-09-29T12:00:00Z\n")).await;
        minutes(1).await;
        let told = || world.notices().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
        assert_eq!(told().len(), 1, "{:?}", told());
        assert!(told()[0].contains("a change of high risk to `shop` is scheduled and begins at `2026-09-29T12:00:00Z`"), "{:?}", told());
        minutes(60 * 2 + 25).await;
        assert_eq!(told().len(), 1, "not yet");
        minutes(10).await;
        assert_eq!(told().len(), 2, "{:?}", told());
        assert!(told()[1].contains("begins at `2026-09-29T12:00:00Z`, in 30m"), "{:?}", told());
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let entries = log(&store, id).await;
        let to = |recorded: &engine::ports::Recorded| match &recorded.event {
            change::Event::Paged { to, .. } => Some(to.iter().cloned().collect::<Vec<_>>().join(",")),
            _ => None,
        };
        let people: Vec<String> = entries.iter().filter_map(to).collect();
        assert_eq!(people, ["eve", "bob"], "each by whose turn it was then");
    });
}

// A4: also of one that begins at once they hear before its first step, and not while it is out already.
#[test]
fn people_on_call_hear_of_a_change_that_begins_at_once_before_its_first_step() {
    paused().block_on(async {
        let turn = "schedules: [{name: primary, tz: UTC, shifts: [{user: eve, start: '2026-09-01T00:00', end: '2030-01-02T00:00'}]}]\n";
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let handle = start(&world, &store, roster(turn, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let story = story(&log(&store, id).await);
        let place = |what: &str| story.iter().position(|name| name == what);
        assert!(place("Paged").is_some() && place("Paged") < place("StepBegun"), "{story:?}");
    });
}

// A4: where nobody is on call, or nobody can say who, the gate says so: it warns, or holds where settings.yaml says that.
#[test]
fn a_change_of_high_risk_of_which_nobody_on_call_hears_is_held_or_warned_of() {
    paused().block_on(async {
        let nobody = "schedules: [{name: primary, tz: UTC, shifts: [{user: eve, start: '2030-01-01T00:00', end: '2030-01-02T00:00'}]}]\n";
        let hold = "tell_on_call: {untold: hold}\n";
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, roster(nobody, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed, "it is only warned of");
        for (schedule, wanted) in [(nobody, "nobody is on call for `shop`"), (FEED, "nobody can say who is on call for `shop`")] {
            let (world, store) = (World::new(5, Behaviour::GOOD), memory());
            let handle = start(&world, &store, roster(schedule, &[("settings.yaml", hold)])).await;
            let id = propose(&handle, &change_file("a", &STEPS, "")).await;
            let held = until(&handle, id, |p| matches!(p, Phase::Held { step: None })).await;
            assert!(reasons(&held).contains(wanted), "{}", reasons(&held));
            assert!(world.deeds().is_empty(), "no driver was called");
        }
    });
}
