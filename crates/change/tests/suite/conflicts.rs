//! Conflicts as the core sees them: what a gate says of each, and the fold by which others are known.

use std::collections::{BTreeMap, BTreeSet};

use change::actor::Part;
use change::calendar::Passage;
use change::catalog::{Catalog, Gating, Service};
use change::conflict::traffic::{News, Traffic};
use change::conflict::{Conflict, ConflictRule, ConflictRules, Stands, Then, stream};
use change::course::{Course, Emergency};
use change::gate::{self, Gate, GateName, GateState};
use change::lifecycle::{Command, Event, Given};
use change::precedence::{First, Moment, PATIENCE};
use change::proposal::Proposal;
use change::time::{Span, after};
use change::{Actor, ChangeId, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::world::{DAY, ID, Life, OTHER, lane_of, open, proposal, sealed, start};

fn found(stands: Stands, hops: usize, then: Then) -> Conflict {
    Conflict { with: OTHER, service: Some("shop".into()), hops, stands, then, first: None }
}

fn given(conflicts: Vec<Conflict>) -> Given {
    Given { conflicts, ..open(Actor::Clearway(Part::Rollout), start()) }
}

fn of(life: &Life, given: &Given) -> Gate {
    gate::ask(&life.change, given).remove(2)
}

// LC4
#[test]
fn the_gate_names_the_change_in_the_way_and_where_they_meet() {
    let life = Life::begin(ID, proposal("shop@1")).scheduled();
    for (conflict, code, reason) in [
        (found(Stands::UnderWay, 0, Then::Queue), "conflict", "`CHG-8` is changing `shop` in `production`"),
        (
            found(Stands::UnderWay, 1, Then::Refuse),
            "conflict",
            "`CHG-8` is changing `shop` in `production`, one call away",
        ),
        (
            found(Stands::UnderWay, 3, Then::Queue),
            "conflict",
            "`CHG-8` is changing `shop` in `production`, 3 calls away",
        ),
        (
            found(Stands::Ahead, 0, Then::Queue),
            "queue",
            "`CHG-8` waits for the same, was approved before, and goes first",
        ),
    ] {
        let gate = of(&life, &given(vec![conflict]));
        assert_eq!((gate.code(), gate.behind), (Some(code), Some(OTHER)));
        assert_eq!(gate.why(), Some(format!("conflicts: {reason}")));
    }
    let beside = of(&life, &given(vec![found(Stands::UnderWay, 0, Then::Allow)]));
    assert!(beside.is_open() && beside.warnings == ["`CHG-8` is changing `shop`, and goes on beside it"], "{beside:?}");
}

// LC4, LC7: what has begun is finished, and what goes back goes back.
#[test]
fn a_conflict_holds_no_step_of_what_has_begun_and_no_rollback() {
    let rolling = Life::begin(ID, proposal("shop@1")).watching();
    let met = given(vec![found(Stands::UnderWay, 0, Then::Queue), found(Stands::Ahead, 0, Then::Queue)]);
    assert!(of(&rolling, &met).is_open());
    let mut back = rolling.then(Command::Rollback { reason: "odd".into() });
    let met = Given { now: back.now, ..met };
    let events = back.ask(Command::BeginUndo, &met).expect("nothing holds it");
    assert!(matches!(events.as_slice(), [Event::UndoBegun { .. }]), "{events:?}");
}

// Where services are only observed, meeting on a service reports and meeting on a target holds.
#[test]
fn an_observed_service_reports_a_conflict_and_still_guards_its_target() {
    let observed = sealed(Proposal { gating: Gating::Observe, ..proposal("shop@1") });
    let life = Life::begin(ID, observed).scheduled();
    let met = Given { gating: Gating::Observe, ..given(vec![found(Stands::UnderWay, 0, Then::Queue)]) };
    assert!(of(&life, &met).observed && !of(&life, &met).holds());
    let taken = Given { lanes: vec![lane_of(OTHER)], ..met };
    assert!(of(&life, &taken).holds());
}

// LC4: nobody stands in line for what they can't use yet.
#[test]
fn what_comes_after_something_says_so_before_it_says_who_is_in_the_way() {
    let third = ChangeId::new(3);
    let life = Life::begin(ID, sealed(Proposal { after: [third].into(), ..proposal("shop@1") })).scheduled();
    let met = given(vec![found(Stands::Ahead, 0, Then::Queue)]);
    let gate = of(&life, &met);
    assert_eq!((gate.code(), gate.behind), (Some("after"), Some(third)));
    let over = Given { stranded: [(third, change::Phase::RolledBack)].into(), ..met.clone() };
    let gate = of(&life, &over);
    let GateState::Closed { code, reason, who_can, .. } = &gate.state else { panic!("{gate:?}") };
    assert_eq!(
        (code.as_str(), reason.as_str()),
        ("after_stranded", "it comes after `CHG-3`, which is rolled back, and can't be completed any more")
    );
    assert!(who_can.as_ref().is_some_and(|who| who.contains("amending `after`")));
    let done = Given { completed: [third].into(), ..met };
    assert_eq!(of(&life, &done).code(), Some("queue"));
}

/// A log of several changes, as a store would tell of it.
struct Log {
    traffic: Traffic,
    versions: BTreeMap<String, u64>,
    position: u64,
    now: Timestamp,
}

impl Default for Log {
    fn default() -> Self {
        Self { traffic: Traffic::default(), versions: BTreeMap::new(), position: 0, now: start() }
    }
}

impl Log {
    fn moment(&self) -> Moment {
        Moment { now: self.now, patience: PATIENCE }
    }

    fn tell(&mut self, stream: &str, event: &Event) {
        let version = self.versions.entry(stream.to_owned()).or_default();
        *version += 1;
        self.traffic.add(News { stream, version: *version, position: self.position, time: self.now, event });
        self.position += 1;
    }

    fn propose(&mut self, id: ChangeId, proposal: Proposal) -> Life {
        let life = Life::begin(id, proposal).scheduled();
        life.log.iter().for_each(|(event, _, _)| self.tell(&id.stream(), event));
        life
    }

    fn begin(&mut self, life: &Life) {
        let effect = life.change.proposal.effect_digest;
        let weight = life.change.proposal.plan.steps[0].weight;
        let begun = Event::StepBegun { step: 0, attempt: 1, weight, effect, observed: json!(null) };
        self.tell(&life.change.id.stream(), &begun);
        for service in &life.change.proposal.services {
            self.tell(&stream("production", service), &Event::LaneTaken { change: life.change.id });
        }
    }

    fn leave(&mut self, life: &Life) {
        for service in &life.change.proposal.services {
            self.tell(&stream("production", service), &Event::LaneFreed { change: life.change.id });
        }
        self.tell(&life.change.id.stream(), &Event::Completed);
    }

    /// Held by another change and nothing else.
    fn queue(&mut self, life: &Life) {
        self.hold(life, GateName::Conflicts, "conflict", None);
    }

    fn hold(&mut self, life: &Life, gate: GateName, code: &str, opens_at: Option<Timestamp>) {
        let state = GateState::Closed { code: code.into(), reason: String::new(), opens_at, who_can: None };
        let gates = vec![Gate::new(gate, state)];
        self.tell(&life.change.id.stream(), &Event::Held { gates });
    }

    /// Who goes before a change that waits, and why.
    fn ahead(&self, life: &Life) -> Option<(u64, First)> {
        let found = self.traffic.conflicts(&life.change, &ConflictRules::default(), &Catalog::default(), self.moment());
        let ahead = found.into_iter().find(|found| found.stands == Stands::Ahead)?;
        Some((ahead.with.number(), ahead.first.expect("who waits has a reason")))
    }

    /// Those that nobody goes before, of those that wait.
    fn free<'a>(&self, waiting: impl IntoIterator<Item = &'a Life>) -> Vec<u64> {
        let free = waiting.into_iter().filter(|life| self.ahead(life).is_none());
        free.map(|life| life.change.id.number()).collect()
    }

    fn pass(&mut self, span: Span) {
        self.now = after(self.now, span);
    }

    fn met(&self, life: &Life, rules: &ConflictRules, catalog: &Catalog) -> Vec<(u64, Stands, Then)> {
        let found = self.traffic.conflicts(&life.change, rules, catalog, self.moment());
        found.into_iter().map(|found| (found.with.number(), found.stands, found.then)).collect()
    }
}

fn on(services: &[&str], resource: &str) -> Proposal {
    let mut proposal = proposal("shop@1");
    proposal.services = services.iter().map(|name| (*name).to_owned()).collect();
    proposal.claims.resources = [resource.to_owned()].into();
    sealed(proposal)
}

/// For a day.
fn emergency() -> Emergency {
    Emergency {
        incident: "INC-1".into(),
        reason: "the shop is down".into(),
        until: after(start(), DAY),
        quorum: vec![],
        approval_within: DAY,
        review_within: Span::secs(60),
    }
}

fn rules(rules: &[serde_json::Value]) -> ConflictRules {
    let rules: Vec<ConflictRule> =
        rules.iter().map(|rule| serde_json::from_value(rule.clone()).expect("a rule")).collect();
    ConflictRules { rules }
}

fn catalog() -> Catalog {
    let calls = |name: &str, to: &[&str]| Service {
        depends_on: to.iter().map(|name| (*name).to_owned()).collect(),
        ..Service::named(name, "sre")
    };
    Catalog::new(vec![calls("till", &["shop"]), calls("shop", &["stock"]), calls("stock", &[])])
}

// LC4: the stricter of what the rules say of either holds, so that it does not matter who comes first.
#[test]
fn the_stricter_word_of_the_two_holds() {
    let docs_go = rules(&[json!({"match": {"kind": "docs"}, "between": "service", "then": "allow"})]);
    let mut log = Log::default();
    let first = log.propose(ChangeId::new(1), on(&["shop"], "a"));
    let docs =
        log.propose(ChangeId::new(2), sealed(Proposal { kind: change::proposal::Kind::Docs, ..on(&["shop"], "b") }));
    log.begin(&first);
    assert_eq!(log.met(&docs, &docs_go, &catalog()), [(1, Stands::UnderWay, Then::Queue)]);
    log.leave(&first);
    assert_eq!(log.met(&docs, &docs_go, &catalog()), []);
}

// LC4: two changes of one service of which one also changes a caller of it meet in both ways.
#[test]
fn the_strictest_of_all_ways_in_which_two_changes_meet_holds() {
    let rules = rules(&[
        json!({"between": "service", "then": "allow"}),
        json!({"between": "dependency", "hops": 1, "then": "queue"}),
    ]);
    for (begun, waiting) in [(["shop"].as_slice(), ["shop", "till"].as_slice()), (&["shop", "till"], &["shop"])] {
        let mut log = Log::default();
        let first = log.propose(ChangeId::new(1), on(begun, "a"));
        let second = log.propose(ChangeId::new(2), on(waiting, "b"));
        log.begin(&first);
        assert_eq!(log.met(&second, &rules, &catalog()), [(1, Stands::UnderWay, Then::Queue)], "{begun:?}");
    }
}

// LC4, PA6
#[test]
fn an_emergency_passes_where_no_rule_forbids_it() {
    let lasts = emergency();
    let mut log = Log::default();
    let first = log.propose(ChangeId::new(1), on(&["shop"], "a"));
    let waits = log.propose(ChangeId::new(2), on(&["shop"], "b"));
    let emergency = Proposal { course: Course::Emergency(lasts), ..on(&["shop"], "b") };
    let emergency = log.propose(ChangeId::new(3), sealed(emergency));
    log.begin(&first);
    log.queue(&waits);
    let built_in = ConflictRules::default();
    assert_eq!(log.met(&emergency, &built_in, &catalog()), [(1, Stands::UnderWay, Then::Allow)]);
    let mut strict = rules(&[json!({"between": "service", "then": "queue"})]);
    strict.rules[0].emergency = Passage::Forbid;
    assert_eq!(log.met(&emergency, &strict, &catalog())[0], (1, Stands::UnderWay, Then::Queue));
}

// LC4: calls are followed in both directions, as far as the rule says.
#[test]
fn a_rule_about_dependencies_looks_up_and_down_and_no_farther_than_it_says() {
    for (hops, wanted) in [(1, vec![]), (2, vec![(1, Stands::UnderWay, Then::Queue)])] {
        let near = rules(&[json!({"between": "dependency", "hops": hops, "then": "queue"})]);
        for (first, second) in [("till", "stock"), ("stock", "till")] {
            let mut log = Log::default();
            let first = log.propose(ChangeId::new(1), on(&[first], "a"));
            let second = log.propose(ChangeId::new(2), on(&[second], "b"));
            log.begin(&first);
            assert_eq!(log.met(&second, &near, &catalog()), wanted, "{hops}");
        }
    }
}

// LC4: who waits behind many waits for the one right before it, so that each end wakes one.
#[test]
fn the_one_right_before_is_in_the_way_and_leaves_the_line_when_it_waits_for_something_else() {
    let (mut log, none) = (Log::default(), ConflictRules::default());
    let lives: Vec<Life> = (1..=4).map(|n| log.propose(ChangeId::new(n), on(&["shop"], &format!("t{n}")))).collect();
    log.begin(&lives[0]);
    lives[1..].iter().for_each(|life| log.queue(life));
    let ahead = |log: &Log, life: &Life| {
        let met = log.met(life, &none, &catalog());
        met.into_iter().find(|(_, stands, _)| *stands == Stands::Ahead).map(|(with, _, _)| with)
    };
    assert_eq!([1, 2, 3].map(|i| ahead(&log, &lives[i])), [None, Some(2), Some(3)]);
    let frozen = GateState::Closed { code: "freeze".into(), reason: String::new(), opens_at: None, who_can: None };
    log.tell(&ChangeId::new(3).stream(), &Event::Held { gates: vec![Gate::new(GateName::Windows, frozen)] });
    assert_eq!(ahead(&log, &lives[3]), Some(2));
    log.tell(&ChangeId::new(2).stream(), &Event::Withdrawn { reason: "no".into() });
    assert_eq!(ahead(&log, &lives[3]), None);
}

// LC4: other services would be lost, another owner's change is not ours, and what comes after a change does not replace it.
#[test]
fn only_a_change_of_the_same_owner_and_of_all_services_takes_a_place() {
    let replace = rules(&[json!({"between": "service", "then": "supersede"})]);
    let of_bob = sealed(Proposal { owner: "bob".into(), ..on(&["shop"], "b") });
    let after_it = sealed(Proposal { after: [ChangeId::new(1)].into(), ..on(&["shop"], "b") });
    for (old, new, wanted) in [
        (on(&["shop"], "a"), on(&["shop"], "b"), true),
        (on(&["shop"], "a"), on(&["shop", "till"], "b"), true),
        (on(&["shop", "till"], "a"), on(&["shop"], "b"), false),
        (on(&["shop"], "a"), of_bob, false),
        (on(&["shop"], "a"), after_it, false),
    ] {
        let mut log = Log::default();
        let old = log.propose(ChangeId::new(1), old);
        log.propose(ChangeId::new(2), new);
        let by = log.traffic.superseded_by(&old.change, &replace);
        assert_eq!(by, wanted.then_some(ChangeId::new(2)));
        assert_eq!(log.traffic.superseded_by(&old.change, &ConflictRules::default()), None);
    }
}

// LC4: whatever begins and ends in whatever order, what the fold says is what a slow look at everything says; and somebody can always go.
#[test]
fn the_index_says_what_a_look_at_every_change_would_say_and_never_holds_everybody() {
    let services = [vec!["shop"], vec!["till"], vec!["stock"], vec!["shop", "till"], vec!["stock", "till"]];
    let moves = proptest::collection::vec((0..6_usize, 0..4_u8), 1..40);
    let near = rules(&[json!({"between": "dependency", "hops": 1, "then": "queue"})]);
    let catalog = catalog();
    let meet = |a: &Life, b: &Life| {
        let calls = |x: &str, y: &str| matches!((x, y), ("till", "shop") | ("shop", "stock"));
        let (a, b): (&BTreeSet<String>, &BTreeSet<String>) = (&a.change.proposal.services, &b.change.proposal.services);
        a.iter().any(|x| b.iter().any(|y| x == y || calls(x, y) || calls(y, x)))
    };
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let strategy = (proptest::collection::vec(0..services.len(), 6), moves);
    runner
        .run(&strategy, |(which, moves)| {
            let mut log = Log::default();
            let lives: Vec<Life> = (0..6)
                .map(|i| log.propose(ChangeId::new(i as u64 + 1), on(&services[which[i]], &format!("t{i}"))))
                .collect();
            let (mut running, mut done): (BTreeSet<usize>, BTreeSet<usize>) = Default::default();
            for (i, what) in moves {
                match what {
                    0 if running.remove(&i) => {
                        log.leave(&lives[i]);
                        done.insert(i);
                    }
                    1 | 2 if !running.contains(&i) && !done.contains(&i) => {
                        let met = log.met(&lives[i], &near, &catalog);
                        let slow: BTreeSet<u64> =
                            running.iter().filter(|j| meet(&lives[i], &lives[**j])).map(|j| *j as u64 + 1).collect();
                        let said =
                            met.iter().filter(|(_, stands, _)| *stands == Stands::UnderWay).map(|(id, _, _)| *id);
                        prop_assert_eq!(said.collect::<BTreeSet<u64>>(), slow);
                        if met.is_empty() {
                            log.begin(&lives[i]);
                            running.insert(i);
                        } else {
                            log.queue(&lives[i]);
                        }
                    }
                    _ => {}
                }
            }
            for i in running {
                log.leave(&lives[i]);
                done.insert(i);
            }
            let waits: Vec<usize> = (0..6).filter(|i| !done.contains(i)).collect();
            let free = waits.iter().filter(|i| log.met(&lives[**i], &near, &catalog).is_empty()).count();
            prop_assert!(waits.is_empty() || free > 0, "everybody waits for somebody");
            Ok(())
        })
        .expect("the property holds");
}

const HOUR: Span = Span::secs(3_600);

/// A change of a team at services, on a target of its own.
fn of_team(number: u64, team: &str, services: &[&str]) -> Proposal {
    sealed(Proposal { owner: team.into(), ..on(services, &format!("t{number}")) })
}

/// Several changes of teams at one service, all in the line.
fn line(log: &mut Log, teams: &[&str]) -> BTreeMap<u64, Life> {
    let mut lives = BTreeMap::new();
    for (number, team) in (1..).zip(teams) {
        let life = log.propose(ChangeId::new(number), of_team(number, team, &["shop"]));
        log.queue(&life);
        lives.insert(number, life);
        log.pass(Span::secs(1));
    }
    lives
}

/// In which order they go if nothing else happens.
fn played(log: &mut Log, mut lives: BTreeMap<u64, Life>, each: Span) -> Vec<u64> {
    let mut order = Vec::new();
    while !lives.is_empty() {
        let free = log.free(lives.values());
        let [first] = free.as_slice() else { panic!("one goes first: {free:?}") };
        let life = lives.remove(first).expect("it waits");
        log.begin(&life);
        log.pass(each);
        log.leave(&life);
        order.push(*first);
    }
    order
}

// PR5
#[test]
fn a_team_that_approves_many_goes_every_other_time_and_its_own_in_their_order() {
    let mut log = Log::default();
    let lives = line(&mut log, &["a", "a", "a", "a", "a", "b", "b", "c"]);
    let theirs = First::Turn { team: "b".into(), last: None };
    assert_eq!(log.ahead(&lives[&6]), Some((5, First::Approved)), "nobody has had a turn");
    log.begin(&lives[&1]);
    assert_eq!(log.ahead(&lives[&6]), None);
    assert_eq!(log.ahead(&lives[&2]), Some((8, First::Turn { team: "c".into(), last: None })));
    log.leave(&lives[&1]);
    let c = log.traffic.clone();
    log.tell(&ChangeId::new(8).stream(), &Event::Withdrawn { reason: "no".into() });
    assert_eq!(log.ahead(&lives[&2]), Some((7, theirs)));
    log.traffic = c;
    let rest = lives.into_iter().filter(|(number, _)| *number != 1).collect();
    assert_eq!(played(&mut log, rest, HOUR), [6, 8, 2, 7, 3, 4, 5]);
}

// PR5
#[test]
fn who_has_waited_longer_than_the_patience_goes_first_whatever_the_turns() {
    let mut log = Log::default();
    let mut lives = line(&mut log, &["a", "a"]);
    let began = lives.remove(&1).expect("the first");
    log.begin(&began);
    log.leave(&began);
    log.pass(PATIENCE);
    let newcomer = log.propose(ChangeId::new(3), of_team(3, "b", &["shop"]));
    let since = after(start(), Span::secs(1));
    assert_eq!(log.ahead(&newcomer), Some((2, First::Waited { since })));
    assert_eq!(log.ahead(&lives[&2]), None);
}

// PR5, LC3
#[test]
fn an_emergency_goes_before_all_that_wait_even_where_it_may_not_pass() {
    let mut log = Log::default();
    let lives = line(&mut log, &["a", "a"]);
    let lasts = emergency();
    let urgent = sealed(Proposal { course: Course::Emergency(lasts), ..of_team(3, "a", &["shop"]) });
    let urgent = log.propose(ChangeId::new(3), urgent);
    log.queue(&urgent);
    let mut strict = rules(&[json!({"between": "service", "then": "queue"})]);
    strict.rules[0].emergency = Passage::Forbid;
    assert_eq!(log.met(&urgent, &strict, &catalog()), []);
    let found = log.traffic.conflicts(&lives[&1].change, &strict, &catalog(), log.moment());
    assert_eq!((found[0].with.number(), found[0].first.clone()), (3, Some(First::Emergency)));
}

// PR5: when a window opens, whoever is asked first does not take the place of whoever goes first.
#[test]
fn who_only_waits_for_a_time_keeps_its_place_until_it_was_asked() {
    let mut log = Log::default();
    let opens = after(start(), DAY);
    let lives = line(&mut log, &["a", "a", "b"]);
    lives.values().for_each(|life| log.hold(life, GateName::Windows, "outside_window", Some(opens)));
    assert_eq!(log.free(lives.values()), [1, 2, 3], "before it opens nobody waits for another");
    log.now = opens;
    assert_eq!(log.free(lives.values()), [1]);
    log.begin(&lives[&1]);
    log.leave(&lives[&1]);
    assert_eq!(log.ahead(&lives[&2]).map(|(with, _)| with), Some(3));
    log.pass(HOUR);
    assert_eq!(log.free([&lives[&2], &lives[&3]]), [2, 3], "whom nobody has asked since holds nobody for ever");
}

// A2, PR5
#[test]
fn a_place_in_the_rate_of_a_budget_goes_to_whoever_goes_first() {
    let mut log = Log::default();
    let free = after(start(), DAY);
    let elsewhere = sealed(Proposal { environment: "staging".into(), ..of_team(3, "b", &["shop"]) });
    let lives = [
        log.propose(ChangeId::new(1), of_team(1, "a", &["shop"])),
        log.propose(ChangeId::new(2), of_team(2, "a", &["shop"])),
        log.propose(ChangeId::new(3), elsewhere),
    ];
    lives.iter().for_each(|life| log.hold(life, GateName::Windows, "budget_rate", Some(free)));
    let before = |log: &Log, i: usize| {
        log.traffic.before_at_rate(&lives[i].change, "shop", log.moment()).map(|(with, _)| with.number())
    };
    assert_eq!([0, 1, 2].map(|i| before(&log, i)), [None; 3]);
    log.now = free;
    assert_eq!([0, 1, 2].map(|i| before(&log, i)), [None, Some(1), Some(2)]);
    log.hold(&lives[0], GateName::Conflicts, "lane_taken", None);
    assert_eq!([1, 2].map(|i| before(&log, i)), [None, Some(2)], "who can't take the place keeps nobody from it");
}

// PR5: a start says who is first now, whoever they wait for by what they were told before.
#[test]
fn a_start_names_who_is_first_now_and_not_all_that_wait() {
    let mut log = Log::default();
    let teams: Vec<&str> = std::iter::repeat_n("a", 200).chain(["b", "b", "c"]).collect();
    let lives = line(&mut log, &teams);
    log.begin(&lives[&1]);
    let next = |log: &Log, began: &Life| {
        let (rules, catalog) = (ConflictRules::default(), Catalog::default());
        let next = log.traffic.next_ones(&began.change, &rules, &catalog, log.moment());
        next.into_iter().map(ChangeId::number).collect::<Vec<_>>()
    };
    assert_eq!(next(&log, &lives[&1]), [201]);
    log.begin(&lives[&201]);
    assert_eq!(next(&log, &lives[&201]), [203]);
}

// PR5: whatever comes after a change, it begins after what waited when it came and what begins within the patience.
#[test]
fn no_stream_of_new_changes_keeps_an_approved_one_waiting_for_ever() {
    let arrivals = proptest::collection::vec(proptest::collection::vec(0..4_usize, 0..4), 40..80);
    let mut runner = TestRunner::new(Config { cases: 25, failure_persistence: None, ..Config::default() });
    runner
        .run(&arrivals, |arrivals| {
            let (mut log, mut waiting) = (Log::default(), BTreeMap::<u64, (Life, usize, usize)>::new());
            let (mut number, mut begun) = (0, 0);
            for teams in arrivals {
                for team in teams {
                    number += 1;
                    let team = ["a", "b", "c", "d"][team];
                    let life = log.propose(ChangeId::new(number), of_team(number, team, &["shop"]));
                    log.queue(&life);
                    waiting.insert(number, (life, begun, waiting.len()));
                }
                let free = log.free(waiting.values().map(|(life, _, _)| life));
                prop_assert_eq!(free.len(), usize::from(!waiting.is_empty()), "one goes first: {:?}", free);
                if let Some((life, begun_before, ahead)) = free.first().and_then(|first| waiting.remove(first)) {
                    log.begin(&life);
                    log.pass(HOUR);
                    log.leave(&life);
                    // 24 begin within the patience, and no more than waited when it came go before it then.
                    prop_assert!(begun - begun_before <= ahead + 25, "{} waited too long", life.change.id);
                    begun += 1;
                } else {
                    log.pass(HOUR);
                }
            }
            Ok(())
        })
        .expect("the property holds");
}

// PR5, LC4: of any two that meet and wait, one goes first, in whatever places, teams and ages: no circle, and two that are free never meet.
#[test]
fn those_that_wait_stand_in_one_order_at_every_moment() {
    let services: [&[&str]; 6] =
        [&["shop"], &["till"], &["stock"], &["shop", "till"], &["stock", "till"], &["shop", "stock"]];
    let each = (0..services.len(), 0..3_usize, 0..40_u64, 0..4_u8);
    let strategy = proptest::collection::vec(each, 2..25);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |changes| {
            let (mut log, mut waiting) = (Log::default(), BTreeMap::<u64, Life>::new());
            for (number, (which, team, hours, what)) in (1..).zip(changes) {
                let proposal = of_team(number, ["a", "b", "c"][team], services[which]);
                let life = log.propose(ChangeId::new(number), proposal);
                log.pass(Span::secs(hours * 1_800));
                log.queue(&life);
                waiting.insert(number, life);
                let first = log.free(waiting.values()).first().copied();
                if let Some(life) = first.filter(|_| what == 0).and_then(|first| waiting.remove(&first)) {
                    log.begin(&life);
                    log.leave(&life);
                }
                for life in waiting.values() {
                    let (mut at, mut steps) = (life, 0);
                    while let Some((with, _)) = log.ahead(at) {
                        (at, steps) = (&waiting[&with], steps + 1);
                        prop_assert!(steps <= waiting.len(), "a circle of those that wait for one another");
                    }
                }
                let free = log.free(waiting.values());
                prop_assert!(waiting.is_empty() || !free.is_empty());
                for (i, one) in free.iter().enumerate() {
                    let of = |n: &u64| &waiting[n].change.proposal.services;
                    prop_assert!(free[i + 1..].iter().all(|other| of(one).is_disjoint(of(other))));
                }
            }
            Ok(())
        })
        .expect("the property holds");
}
