//! The plan of the next days: it says when and why, never plans what a gate would hold, and says what nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use change::actor::Part;
use change::agenda::choice::{self, Choice, LeftOut};
use change::agenda::{self, Agenda, Asking, Expected, Item, Known};
use change::backlog::{self, Behind};
use change::calendar::{Almanac, Calendar};
use change::circumstances::Circumstances;
use change::conflict::traffic::{News, Traffic};
use change::document::Document;
use change::governance::Governance;
use change::lane::Lane;
use change::lifecycle::Given;
use change::precedence::{Moment, PATIENCE, Place};
use change::proposal::Proposal;
use change::rollout::PauseReason;
use change::schedule::When;
use change::time::{Span, after};
use change::{Actor, Change, ChangeId, Command, Event, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::world::{DAY, Life, open, proposal, right_actor, sealed, start};

const HOUR: Span = Span::secs(3_600);

/// Two steps of five minutes and a watch of five.
const STEPS: Span = Span::secs(600);
const WHOLE: Span = Span::secs(900);

fn on(services: &[&str], target: &str) -> Proposal {
    let mut proposal = proposal("shop@1");
    proposal.services = services.iter().map(|name| (*name).to_owned()).collect();
    proposal.claims.resources = [target.to_owned()].into();
    sealed(proposal)
}

fn approved(id: u64, proposal: Proposal) -> Change {
    Life::begin(ChangeId::new(id), proposal).scheduled().change
}

fn asking(change: Change) -> Asking {
    let lanes = change.proposal.claims.resources.iter().map(|name| Lane::free(name)).collect();
    let given = Given { lanes, ..open(Actor::Clearway(Part::Clock), start()) };
    Asking { change, given, supposed_at: None }
}

struct World {
    governance: Governance,
    calendar: Almanac,
    changes: Vec<Asking>,
}

impl World {
    fn of(calendar: &str, changes: impl IntoIterator<Item = Change>) -> Self {
        let calendar: Calendar =
            Document::from_yaml(calendar).and_then(|document| document.read()).expect("a calendar");
        let governance = Governance::embedded("ada");
        Self { governance, calendar: Almanac::of(&calendar), changes: changes.into_iter().map(asking).collect() }
    }

    fn plan(&self, days: u64) -> Agenda {
        let places = self.changes.iter().map(|asking| {
            let change = asking.change.id;
            (change, Place { is_emergency: false, since: start(), turn: None, ticket: change.number(), change })
        });
        let places: BTreeMap<ChangeId, Place> = places.collect();
        agenda::plan(&Known {
            now: start(),
            until: after(start(), DAY.times(days)),
            governance: &self.governance,
            calendar: &self.calendar,
            places: &places,
            left_out: &LeftOut::default(),
            changes: &self.changes,
            takes: &agenda::as_planned,
        })
    }
}

fn of(agenda: &Agenda, id: u64) -> &Item {
    agenda.items.iter().find(|item| item.change == Some(ChangeId::new(id))).expect("it is in the plan")
}

fn at(hours: u64, minutes: u64) -> Option<Timestamp> {
    Some(after(start(), Span::secs(hours * 3_600 + minutes * 60)))
}

// PR5
#[test]
fn those_that_meet_are_planned_one_after_the_other_each_with_its_reason() {
    let changes = [1, 2, 3].map(|id| approved(id, on(&["shop"], &format!("t{id}"))));
    let agenda = World::of("{}", changes).plan(1);
    assert_eq!([1, 2, 3].map(|id| of(&agenda, id).starts_at), [at(0, 0), at(0, 10), at(0, 20)]);
    assert_eq!(of(&agenda, 1).ends_at, at(0, 15));
    assert_eq!(of(&agenda, 1).because, "nothing holds it");
    assert_eq!(of(&agenda, 2).because, "CHG-1 is changing `shop`");
    assert_eq!((of(&agenda, 3).expected, of(&agenda, 3).behind), (Expected::Planned, Some(ChangeId::new(2))));
}

// PR5: turns are played too.
#[test]
fn a_team_that_has_many_is_planned_every_other_time() {
    let team = |id: u64, owner: &str| {
        approved(id, sealed(Proposal { owner: owner.into(), ..on(&["shop"], &format!("t{id}")) }))
    };
    let world = World::of("{}", [team(1, "a"), team(2, "a"), team(3, "a"), team(4, "b")]);
    let agenda = world.plan(1);
    let mut order: Vec<u64> = vec![1, 2, 3, 4];
    order.sort_by_key(|id| of(&agenda, *id).starts_at);
    assert_eq!(order, [1, 4, 2, 3]);
}

// LC4, X5: what begins before a freeze and would come into it goes on after it; what comes after another waits for its end.
#[test]
fn a_freeze_an_after_and_an_own_time_move_a_start() {
    let freeze = "freezes: [{name: stocktaking, start: '2026-06-01T12:02:00', end: '2026-06-01T18:00:00', tz: UTC, reason: r, owner: o}]";
    let first = approved(1, on(&["shop"], "a"));
    let second = approved(2, sealed(Proposal { after: [ChangeId::new(1)].into(), ..on(&["till"], "b") }));
    let planned = sealed(Proposal { when: When::At(after(start(), HOUR.times(10))), ..on(&["cart"], "c") });
    let agenda = World::of(freeze, [first, second, approved(3, planned)]).plan(1);
    assert_eq!((of(&agenda, 1).starts_at, of(&agenda, 1).ends_at), (at(0, 0), at(6, 10)), "its second step waits");
    assert_eq!(of(&agenda, 2).starts_at, at(6, 10));
    assert_eq!(of(&agenda, 2).because, "it comes after CHG-1");
    assert_eq!(of(&agenda, 3).starts_at, at(10, 0));
    assert!(of(&agenda, 3).because.starts_with("it is scheduled for"), "{:?}", of(&agenda, 3));
}

// PR5: a guess would be worse than nothing.
#[test]
fn what_waits_for_people_is_unknown_and_so_is_whatever_waits_for_it() {
    let unapproved = Life::begin(ChangeId::new(1), on(&["shop"], "a")).assessed().change;
    let behind = approved(2, sealed(Proposal { after: [ChangeId::new(1)].into(), ..on(&["till"], "b") }));
    let free = approved(3, on(&["cart"], "c"));
    let paused = paused(4, on(&["stock"], "d"));
    let waits = approved(5, on(&["stock"], "e"));
    let later = approved(6, sealed(Proposal { when: When::At(after(start(), DAY.times(3))), ..on(&["x"], "f") }));
    let agenda = World::of("{}", [unapproved, behind, free, paused, waits, later]).plan(1);
    let said = |id| (of(&agenda, id).expected, of(&agenda, id).because.as_str());
    assert_eq!(said(1).0, Expected::Unknown);
    assert!(said(1).1.starts_with("approvals are missing"), "{}", said(1).1);
    assert_eq!(said(2).0, Expected::Unknown);
    assert!(said(2).1.starts_with("it comes after CHG-1; of CHG-1 nobody can say more"), "{}", said(2).1);
    assert_eq!(said(3), (Expected::Planned, "nothing holds it"));
    assert_eq!((said(4).0, of(&agenda, 4).ends_at), (Expected::UnderWay, None));
    assert_eq!(said(5).0, Expected::Unknown);
    assert_eq!(said(5).1, "CHG-4 is changing `stock`; of CHG-4 nobody can say more");
    assert!(said(4).1.ends_with("it is paused, and goes on when somebody resumes it"), "{}", said(4).1);
    assert_eq!(said(6).0, Expected::Later);
}

fn paused(id: u64, proposal: Proposal) -> Change {
    let mut life = Life::begin(ChangeId::new(id), proposal).scheduled();
    let begin = Command::BeginStep { observed: json!({"weight": "0%"}) };
    let given = Given { actor: right_actor(&begin, "bob"), ..asking(life.change.clone()).given };
    life.ask(begin, &given).expect("its target is free");
    life.then(Command::Pause { reason: "odd".into() }).change
}

// PR5: the same reason, however far the plan looks ahead.
#[test]
fn votes_that_lapse_in_a_queue_later_are_not_why_it_waits_now() {
    let freeze = "freezes: [{name: closing, start: '2026-06-20T00:00:00', end: '2026-06-21T00:00:00', tz: UTC, reason: r, owner: o}]";
    let world = World::of(freeze, [paused(4, on(&["stock"], "d")), approved(5, on(&["stock"], "e"))]);
    assert_eq!(of(&world.plan(1), 5).because, "CHG-4 is changing `stock`; of CHG-4 nobody can say more");
    let far = world.plan(30);
    let (item, because) = (of(&far, 5), &of(&far, 5).because);
    assert!(because.starts_with("CHG-4 is changing `stock`; and from `2026-0"), "{because}");
    assert_eq!((item.expected, item.behind), (Expected::Unknown, Some(ChangeId::new(4))));
}

// PR5, A7: why the first of a queue stands still is said with that one alone, which not everybody may read.
#[test]
fn however_long_a_queue_is_each_says_its_own_reason_and_who_stands_at_its_head() {
    let unapproved = Life::begin(ChangeId::new(1), on(&["stock"], "a")).assessed().change;
    let behind = |id: u64| {
        let first = ChangeId::new(id - 1);
        approved(id, sealed(Proposal { after: [first].into(), ..on(&["shop"], &format!("t{id}")) }))
    };
    let mut changes = vec![unapproved];
    changes.extend((2..=40).map(behind));
    let agenda = World::of("{}", changes).plan(1);
    assert!(of(&agenda, 1).because.starts_with("approvals are missing"));
    for id in 2..=40 {
        let before = id - 1;
        assert_eq!(of(&agenda, id).because, format!("it comes after CHG-{before}; of CHG-1 nobody can say more"));
        assert_eq!(of(&agenda, id).expected, Expected::Unknown);
    }
}

// PR5: those that wait for one that goes are not asked again at each moment at which anything happens.
#[test]
fn a_long_queue_is_planned_to_its_end() {
    let changes = (1..=450).map(|id| approved(id, on(&["shop"], &format!("t{id}"))));
    let agenda = World::of("{}", changes).plan(4);
    assert_eq!(agenda.cut, None);
    assert_eq!(of(&agenda, 450).starts_at, at(74, 50), "one after the other, ten minutes each");
}

/// The log of these changes, as it is told to whoever chooses.
fn told(changes: &[Change], lives: impl Fn(&Change) -> Life) -> Traffic {
    let mut traffic = Traffic::default();
    let mut position = 0;
    for change in changes {
        for (version, (event, _, _)) in (1..).zip(&lives(change).log) {
            let stream = &change.id.stream();
            traffic.add(News { stream, version, position, time: start(), event });
            position += 1;
        }
    }
    traffic
}

// PR5: of more changes than can be played, those are that go first; and nobody is planned who stands behind one of the others.
#[test]
fn of_too_many_those_are_played_that_go_first_and_none_is_planned_behind_one_that_is_not() {
    let of_team = |owner: &str, when: When, service: &str, target: &str| {
        sealed(Proposal { owner: owner.into(), when, ..on(&[service], target) })
    };
    let mut changes: Vec<Change> =
        (1..=5).map(|id| approved(id, of_team("a", When::Now, "shop", &format!("t{id}")))).collect();
    let later = When::At(after(start(), DAY.times(2)));
    changes.push(approved(6, of_team("b", later, "shop", "t6")));
    changes.push(approved(7, of_team("b", later, "till", "t7")));
    let unapproved = Life::begin(ChangeId::new(8), of_team("c", When::Now, "cart", "t8")).assessed().change;
    changes.push(unapproved);
    let life = |change: &Change| {
        let begun = Life::begin(change.id, change.proposal.clone());
        if change.not_before().is_some() { begun.scheduled() } else { begun.assessed() }
    };
    let moment = Moment { now: start(), patience: PATIENCE };
    let everybody = told(&changes, life).everybody(start());
    let Choice { played, places, left_out } = choice::choose(everybody, 5, moment);
    let numbers: Vec<u64> = played.iter().map(|id| id.number()).collect();
    assert_eq!(numbers, [1, 6, 7, 2, 3], "the oldest of each team, then the next ones; who is not approved goes last");
    assert_eq!(
        left_out.in_words(5).as_deref(),
        Some("3 changes that wait were left out: 5 are planned at most, those that go first")
    );

    changes.retain(|change| played.contains(&change.id));
    let world = World::of("{}", changes);
    let agenda = agenda::plan(&Known {
        now: start(),
        until: after(start(), DAY.times(4)),
        governance: &world.governance,
        calendar: &world.calendar,
        places: &places,
        left_out: &left_out,
        changes: &world.changes,
        takes: &agenda::as_planned,
    });
    assert_eq!([1, 2, 3, 7].map(|id| of(&agenda, id).starts_at), [at(0, 0), at(0, 10), at(0, 20), at(48, 0)]);
    let behind = of(&agenda, 6);
    assert_eq!((behind.expected, behind.behind, behind.starts_at), (Expected::Unknown, Some(ChangeId::new(4)), None));
    assert!(behind.because.starts_with("CHG-4 waits for the same"), "{}", behind.because);
    assert!(behind.because.ends_with("and is not planned itself; of CHG-4 nobody can say more"), "{}", behind.because);
}

// PR5: who is not proposed stands behind those that are approved, and asks nobody.
#[test]
fn a_change_that_nobody_has_proposed_is_planned_as_if_it_were_approved_at_a_moment() {
    let mut world = World::of("{}", [approved(1, on(&["shop"], "a"))]);
    let change = Life::begin(ChangeId::new(99), on(&["shop"], "b")).change;
    world.changes.push(Asking { supposed_at: at(0, 5), ..asking(change) });
    let agenda = world.plan(1);
    let yours = agenda.items.iter().find(|item| item.change.is_none()).expect("it is in the plan");
    assert_eq!((yours.starts_at, yours.because.as_str()), (at(0, 10), "CHG-1 is changing `shop`"));
}

// PR5, LC4, X5: by an oracle that reads the plan alone.
#[test]
fn no_planned_start_is_in_a_freeze_on_a_place_that_is_taken_or_before_what_it_comes_after() {
    let services: [&[&str]; 4] = [&["shop"], &["till"], &["shop", "till"], &["stock"]];
    let each = (0..services.len(), 0..3_usize, 0..3_usize, proptest::option::of(0..5_u64), 0..20_u64);
    let strategy = (proptest::collection::vec(each, 1..14), 0..20_u64, 1..10_u64);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(changes, from, hours)| {
            let (from, to) = (after(start(), HOUR.times(from)), after(start(), HOUR.times(from + hours)));
            let local = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let freeze = format!(
                "freezes: [{{name: f, services: [till], start: '{}', end: '{}', tz: UTC, reason: r, owner: o}}]",
                local(from),
                local(to)
            );
            let made = (1..).zip(&changes).map(|(id, (which, target, team, after_it, hours))| {
                let when = When::At(after(start(), HOUR.times(*hours)));
                let owner = ["a", "b", "c"][*team].to_owned();
                let after = after_it.map(|n| n + 1).filter(|n| *n < id).map(ChangeId::new).into_iter().collect();
                approved(id, sealed(Proposal { when, owner, after, ..on(services[*which], &format!("t{target}")) }))
            });
            let made: Vec<Change> = made.collect();
            let agenda = World::of(&freeze, made.clone()).plan(4);
            prop_assert_eq!(&agenda, &World::of(&freeze, made.clone()).plan(4), "the same world has the same plan");
            for change in &made {
                let item = of(&agenda, change.id.number());
                prop_assert_eq!(item.expected, Expected::Planned, "{}", &item.because);
                let (Some(begins), Some(ends)) = (item.starts_at, item.ends_at) else { panic!("{item:?}") };
                let When::At(asked) = change.proposal.when else { panic!("it has a time") };
                prop_assert!(begins >= asked);
                prop_assert!(!change.proposal.services.contains("till") || begins < from || begins >= to);
                prop_assert!(ends >= after(begins, WHOLE));
                for before in &change.proposal.after {
                    prop_assert!(of(&agenda, before.number()).ends_at <= Some(begins));
                }
                let meets = |other: &&Change| {
                    let (mine, theirs) = (&change.proposal, &other.proposal);
                    let shares = |a: &BTreeSet<String>, b: &BTreeSet<String>| !a.is_disjoint(b);
                    other.id != change.id
                        && (shares(&mine.services, &theirs.services)
                            || shares(&mine.claims.resources, &theirs.claims.resources))
                };
                for other in made.iter().filter(meets) {
                    let theirs = of(&agenda, other.id.number()).starts_at.expect("it is planned");
                    prop_assert!(theirs >= after(begins, STEPS) || begins >= after(theirs, STEPS));
                }
            }
            Ok(())
        })
        .expect("the property holds");
}

const NIGHTLY: &str = "
windows: [{name: nights, kinds: [network], start: '2026-06-01T22:00:00', end: '2026-06-02T02:00:00', tz: UTC, owner: sre}]
batches: [{name: nightly, match: {kind: code}, window: nights, up_to: medium, stop_on_failure: true}]
";

/// The governance of a calendar, its almanac and a change that goes with its batch.
fn batched(id: u64, when: When) -> (Governance, Almanac, Change) {
    let calendar: Calendar = Document::from_yaml(NIGHTLY).and_then(|document| document.read()).expect("a calendar");
    let almanac = Almanac::of(&calendar);
    let change = approved(id, sealed(Proposal { when, ..on(&["shop"], &format!("t{id}")) }));
    (Governance { calendar, ..Governance::embedded("ada") }, almanac, change)
}

fn gate_of(change: &Change, given: &Given) -> (Option<String>, Option<Timestamp>) {
    let gates = change::gate::ask(change, given);
    let gate = gates.iter().find(|gate| gate.gate == change::gate::GateName::Windows).expect("there is such a gate");
    match &gate.state {
        change::gate::GateState::Open => (None, None),
        change::gate::GateState::Closed { code, opens_at, .. } => (Some(code.clone()), *opens_at),
    }
}

// PA5: who has said nothing of its time waits for the window of its batch; who has said it does not.
#[test]
fn a_change_of_a_batch_begins_in_the_window_of_the_batch_and_one_that_said_when_does_not() {
    let (governance, calendar, change) = batched(1, When::Now);
    let known = Circumstances::default();
    let opens = at(10, 0).expect("an instant");
    let given = |now: Timestamp| {
        let batch = change::batch::standing(&change, &governance, &calendar, &known, now);
        Given { batch, now, ..open(Actor::Clearway(Part::Clock), now) }
    };
    assert_eq!(gate_of(&change, &given(start())), (Some("batch".into()), Some(opens)));
    assert_eq!(gate_of(&change, &given(opens)), (None, None));
    let (_, _, own) = batched(2, When::At(after(start(), HOUR)));
    assert_eq!(change::batch::of(&own, &governance), None);
    let mut world = World::of(NIGHTLY, [change.clone(), own]);
    world.governance = governance.clone();
    world.changes[0].given.batch = given(start()).batch;
    let agenda = world.plan(1);
    assert_eq!((of(&agenda, 1).starts_at, of(&agenda, 2).starts_at), (Some(opens), at(1, 0)));
    assert_eq!(of(&agenda, 1).batch.as_deref(), Some("nightly"));
    assert!(of(&agenda, 1).because.contains("the batch `nightly`"), "{}", of(&agenda, 1).because);
}

// PA5: a failure of one takes no other back, and holds the rest until a person releases it.
#[test]
fn one_that_fails_holds_the_rest_of_its_batch_until_a_person_releases_it() {
    let (governance, calendar, rest) = batched(2, When::Now);
    let mut known = Circumstances::default();
    let (clock, first) = (Actor::Clearway(Part::Clock), Some(ChangeId::new(1)));
    let opens = at(10, 0).expect("an instant");
    known.add(first, &Event::WentWithBatch { batch: "nightly".into() }, &clock, opens);
    let standing = |known: &Circumstances| change::batch::standing(&rest, &governance, &calendar, known, opens);
    let code =
        |known: &Circumstances| gate_of(&rest, &Given { batch: standing(known), ..open(clock.clone(), opens) }).0;
    assert_eq!(code(&known), None);
    let failed = Event::Paused { why: PauseReason::Verdict, reason: "errors".into() };
    known.add(first, &failed, &clock, after(opens, HOUR));
    assert_eq!(code(&known).as_deref(), Some("batch_stopped"));
    let released = Event::BatchReleased { batch: "nightly".into(), reason: "a mistake of its own".into() };
    known.add(None, &released, &Actor::User("ada".into()), after(opens, HOUR));
    assert_eq!(code(&known), None);
}

// PA5: with which batch a change has begun is in the log.
#[test]
fn a_batch_that_names_no_window_is_refused_and_a_start_says_with_which_batch_it_went() {
    let wrong = NIGHTLY.replace("window: nights", "window: night");
    let calendar: Calendar = Document::from_yaml(&wrong).and_then(|document| document.read()).expect("a calendar");
    let problems: Vec<_> = calendar.problems().into_iter().map(|remark| (remark.pointer, remark.help)).collect();
    assert_eq!(problems, [("/batches/0/window".into(), Some("did you mean `nights`?".into()))]);
    let (governance, calendar, _) = batched(1, When::Now);
    let mut life = Life::begin(ChangeId::new(1), on(&["shop"], change_target())).scheduled();
    let opens = at(10, 0).expect("an instant");
    let batch = change::batch::standing(&life.change, &governance, &calendar, &Circumstances::default(), opens);
    let lanes = vec![Lane::free(change_target())];
    let given = Given { batch, lanes, ..open(Actor::Clearway(Part::Rollout), opens) };
    let events = life.ask(change::Command::BeginStep { observed: serde_json::Value::Null }, &given).expect("it may");
    assert!(matches!(&events[0], Event::WentWithBatch { batch } if batch == "nightly"), "{events:?}");
}

fn change_target() -> &'static str {
    "t1"
}

// X5, M12: what waits is counted with its risk and its growth, and what nobody knows is said.
#[test]
fn a_backlog_says_how_it_grows_and_what_it_would_cost_to_let_all_of_it_go_at_once() {
    let wait = |id: u64, services: &[&str], hours: u64| {
        let mut change = approved(id, on(services, &format!("t{id}")));
        change.proposed_at = after(start(), HOUR.times(hours));
        change
    };
    let changes = [wait(1, &["shop"], 0), wait(2, &["shop", "till"], 30), wait(3, &["stock"], 40)];
    let each: u32 = changes[0].assessment.as_ref().map_or(0, |assessed| assessed.assessment.score.into());
    let rates = [("shop".to_owned(), Some(0.25)), ("till".to_owned(), Some(0.5)), ("stock".to_owned(), None)].into();
    let waiting: Vec<&Change> = changes.iter().collect();
    let now = after(start(), DAY.times(2));
    let backlog = backlog::of(Behind::Freeze, "year-end", at(24, 0), &waiting, &rates, now);
    assert_eq!((backlog.count, backlog.risk, backlog.unassessed), (3, 3 * each, 0));
    let growth = backlog.growth.expect("a day has passed");
    assert!((growth.changes_a_day - 2.0).abs() < 1e-9 && (growth.risk_a_day - f64::from(2 * each)).abs() < 1e-9);
    assert_eq!(backlog.more_than_once, [("shop".to_owned(), 2)].into());
    assert_eq!((backlog.expected_failures, backlog.without_a_rate.clone()), (Some(0.75), ["stock".to_owned()].into()));
    assert_eq!(
        backlog.in_words(),
        format!(
            "3 changes wait behind the freeze `year-end`, with a risk of {} together; 2.0 changes and a risk of {} more each day; `shop` 2 times; \
             if all went at once, 0.8 would fail, without stock, of which nobody knows",
            3 * each,
            2 * each
        )
    );
    let unknown = backlog::of(Behind::Batch, "nightly", None, &waiting, &BTreeMap::new(), now);
    assert!(unknown.in_words().ends_with("how many of them would fail nobody knows"), "{}", unknown.in_words());
}
