//! Releases: stories of members that pass and fail, and the laws of random graphs, played with the lifecycle of real changes.
//!
//! The witness of the laws sees the order in which things happened, and shares no rule with the code.

use std::collections::{BTreeMap, BTreeSet};

use change::actor::Part;
use change::gate::{self, GateName, GateState};
use change::lifecycle::{Command, Event, Given, Rejection};
use change::release::{self, Begins, Due, Intent, Member, OnFailure, Phase, Proposed, Release, Standing, Wave, follow};
use change::rollout::{BackState, Failure, StepState};
use change::time::{Span, Timestamp, after};
use change::verification::Answer;
use change::{Actor, ChangeId, ReleaseId, evolve};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{Life, judge, open, proposal, sealed, start, user};

const REL: ReleaseId = ReleaseId::new(1);

/// What happened to a member, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Begun,
    FurtherBegun,
    Passed,
    Failed,
    GoesBack { by_release: bool },
    Back,
    NotBack,
    Gone,
    Completed,
    Stuck,
}

struct World {
    lives: Vec<Life>,
    release: Release,
    log: Vec<(usize, Deed)>,
    now: Timestamp,
}

fn member(i: usize, after: &[usize], wave: Option<usize>) -> Member {
    let after = after.iter().map(|i| format!("m{i}")).collect();
    Member { name: format!("m{i}"), change: ChangeId::new(i as u64 + 1), after, wave }
}

fn plan(members: Vec<Member>, waves: Vec<Wave>, on_failure: OnFailure) -> Proposed {
    let (title, owner) = ("a release".to_owned(), "team-shop".to_owned());
    Proposed { title, description: String::new(), owner, on_failure, begins: Begins::EachApproved, waves, members }
}

fn wave(name: &str, bake: u64, at_once: Option<u32>) -> Wave {
    Wave { name: name.into(), bake: Span::secs(bake), at_once }
}

impl World {
    fn new(plan: Proposed) -> Self {
        let proposed = Event::ReleaseProposed { release: REL, plan: Box::new(plan) };
        let release = release::evolve(None, &proposed, &user("ada"), start()).expect("a release");
        let lives = release.plan.members.iter().map(|member| Life::begin(member.change, proposal("a")));
        let join = |mut life: Life| {
            let joined = open(user("ada"), start());
            life.ask(Command::Join { release: REL }, &joined).expect("it may");
            life
        };
        Self { lives: lives.map(join).collect(), release, log: vec![], now: start() }
    }

    fn given(&self, actor: Actor) -> Given {
        Given { release: Some(self.release.clone()), ..open(actor, self.now) }
    }

    /// Asks a member, and lets its release follow, as one append does.
    fn ask(&mut self, i: usize, command: Command, actor: &Actor) -> Result<(), Rejection> {
        let given = self.given(actor.clone());
        let events = change::decide(&self.lives[i].change, command, &given)?;
        for event in events {
            let before = self.lives[i].change.clone();
            let next = evolve(Some(before.clone()), before.id, &event, actor, self.now).expect("a change");
            self.note(i, &event, actor);
            for moved in follow(&self.release, &before, &next) {
                self.tell(&moved, actor);
            }
            self.lives[i].change = next;
        }
        Ok(())
    }

    fn tell(&mut self, event: &Event, actor: &Actor) {
        self.release = release::evolve(Some(self.release.clone()), event, actor, self.now).expect("a release");
        if let Event::ReleaseStuck { change, .. } = event {
            self.log.push((change.number() as usize - 1, Deed::Stuck));
        }
    }

    fn note(&mut self, i: usize, event: &Event, actor: &Actor) {
        let steps = self.lives[i].change.proposal.plan.steps.len();
        let deed = match event {
            Event::StepBegun { step: 0, attempt: 1, .. } => Deed::Begun,
            Event::StepBegun { .. } => Deed::FurtherBegun,
            Event::Advanced { step } if *step >= steps => Deed::Passed,
            Event::Paused { why: change::rollout::PauseReason::Verdict, .. } => Deed::Failed,
            Event::RollbackBegun { .. } => Deed::GoesBack { by_release: *actor == Actor::Clearway(Part::Release) },
            Event::RolledBack { .. } => Deed::Back,
            Event::RollbackFailed { .. } => Deed::NotBack,
            Event::Withdrawn { .. } | Event::Refused { .. } => Deed::Gone,
            Event::Completed => Deed::Completed,
            _ => return,
        };
        self.log.push((i, deed));
    }

    fn decide(&mut self, command: release::Command, actor: &Actor) -> Result<(), release::Rejection> {
        for event in release::decide(&self.release, command, self.now)? {
            self.tell(&event, actor);
        }
        Ok(())
    }

    /// Does one thing that is due for the release, as the shell would; says whether there was one.
    fn lead(&mut self, pick: usize) -> bool {
        let Due { intents, .. } = release::due(&self.release, self.now);
        let Some(intent) = intents.get(pick % intents.len().max(1)).cloned() else { return false };
        let clearway = Actor::Clearway(Part::Release);
        let index = |change: ChangeId| change.number() as usize - 1;
        match intent {
            Intent::Pass => self.decide(release::Command::Pass, &clearway).expect("it is due"),
            Intent::Complete { change } => {
                self.ask(index(change), Command::Complete, &clearway).expect("it is let go");
            }
            Intent::Withdraw { change, reason } => {
                self.ask(index(change), Command::Withdraw { reason }, &clearway).expect("nothing of it began");
            }
            Intent::RollBack { change, reason } => {
                if let Err(rejection) = self.ask(index(change), Command::Rollback { reason }, &clearway) {
                    let why = rejection.to_string();
                    self.decide(release::Command::ReportStuck { change, why }, &clearway).expect("it is stuck");
                }
            }
            Intent::Tell { key } => {
                let channel = "pager".to_owned();
                self.decide(release::Command::ReportTold { key, channel }, &clearway).expect("it is owed");
            }
        }
        true
    }

    /// Lets a member do what is next for it; a verdict as given. What waits stays.
    fn advance(&mut self, i: usize, answer: Answer, undo: Option<Failure>) {
        let change = self.lives[i].change.clone();
        let effect = change.proposal.effect_digest;
        let rollout = change.rollout().cloned();
        let (part, command) = match (change.phase(), rollout) {
            (change::Phase::Proposed, _) => (Part::Policy, Command::Assess(Box::new(crate::world::allowed(effect, 0)))),
            (change::Phase::Approved, _) => (Part::Clock, Command::Schedule),
            (change::Phase::Scheduled | change::Phase::Held { step: None }, _) => begin(),
            (phase, _) if phase.is_terminal() => return,
            (_, Some(rollout)) => match (&rollout.back, &rollout.state) {
                (Some(back), _) => match (&back.state, undo) {
                    (BackState::Waiting { at }, _) => {
                        self.now = self.now.max(*at);
                        (Part::Rollout, Command::BeginUndo)
                    }
                    (BackState::Begun { .. }, Some(failure)) => (
                        Part::Rollout,
                        Command::ReportUndoFailed { attempt: back.attempt, failure, error: "no route".into() },
                    ),
                    (BackState::Begun { .. }, None) => (Part::Rollout, Command::ReportUndone { observed: json!(0) }),
                    (BackState::Failed { .. }, _) => return,
                },
                (None, StepState::Begun { .. }) => {
                    let (step, attempt) = (rollout.step, rollout.attempt);
                    (Part::Rollout, Command::ReportApplied { step, attempt, actual: json!(1) })
                }
                (None, StepState::Applied { .. }) => {
                    (Part::Judge, judge(answer, rollout.step, rollout.attempt, self.now))
                }
                (None, _) => begin(),
            },
            _ => return,
        };
        let _ = self.ask(i, command, &Actor::Clearway(part));
    }

    /// Whatever can go on goes on, and passes, until nothing moves.
    fn settle(&mut self) {
        for round in 0..400 {
            let before = (self.lives.iter().map(|l| l.change.version).sum::<u64>(), self.release.version);
            (0..self.lives.len()).for_each(|i| self.advance(i, Answer::Pass, None));
            while self.lead(round) {}
            self.now = after(self.now, Span::secs(120));
            let now = (self.lives.iter().map(|l| l.change.version).sum::<u64>(), self.release.version);
            if before == now && round > 40 {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.log);
    }

    /// Lets one member go on until it is as wanted.
    fn until(&mut self, i: usize, wanted: Standing) {
        for _ in 0..20 {
            if release::standing(&self.lives[i].change) == wanted {
                return;
            }
            self.advance(i, Answer::Pass, None);
        }
        panic!("m{i} is {}, not {wanted}: {:?}", release::standing(&self.lives[i].change), self.held(i));
    }

    /// What the gate says of a member's release.
    fn held(&self, i: usize) -> Option<String> {
        let gates = gate::ask(&self.lives[i].change, &self.given(Actor::Clearway(Part::Rollout)));
        gates.into_iter().find(|gate| gate.gate == GateName::Conflicts).and_then(|gate| match gate.state {
            GateState::Closed { code, reason, .. } if code == "release" => Some(reason),
            _ => None,
        })
    }

    fn at(&self, i: usize, wanted: impl Fn(&Deed) -> bool) -> Option<usize> {
        self.log.iter().position(|(who, deed)| *who == i && wanted(deed))
    }
}

fn begin() -> (Part, Command) {
    (Part::Rollout, Command::BeginStep { observed: json!(0) })
}

fn api_and_two_callers(on_failure: OnFailure) -> World {
    World::new(plan(vec![member(0, &[], None), member(1, &[0], None), member(2, &[0], None)], vec![], on_failure))
}

// U1: a member waits for those before it, says for whom, and nobody is completed before all have passed.
#[test]
fn members_go_in_their_order_and_are_complete_together() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.until(1, Standing::Waiting);
    (0..4).for_each(|_| world.advance(1, Answer::Pass, None));
    assert_eq!(world.held(1).as_deref(), Some("in `REL-1` it comes after `m0` (CHG-1), which is waiting"));
    world.until(0, Standing::Passed);
    assert_eq!(world.lives[0].change.phase(), change::Phase::Watching, "its rollback stays armed");
    assert_eq!(world.held(1), None);
    world.until(1, Standing::Passed);
    assert!(world.log.iter().all(|(_, deed)| *deed != Deed::Completed));
    world.settle();
    assert_eq!(world.release.phase(), Phase::Completed);
    assert!(world.lives.iter().all(|life| life.change.phase() == change::Phase::Completed));
}

// U1: nobody is left with half a release because the other half is refused: nothing begins before all of it is approved, unless the file says so.
#[test]
fn nothing_of_a_release_begins_before_all_of_it_is_approved() {
    let members = || vec![member(0, &[], None), member(1, &[0], None), member(2, &[0], None)];
    let plan = Proposed { begins: Begins::AllApproved, ..plan(members(), vec![], OnFailure::RollBack) };
    let mut world = World::new(plan.clone());
    world.until(0, Standing::Approved);
    assert_eq!(world.release.phase(), Phase::Waiting);
    let waits = "nothing of `REL-1` begins before all of it is approved: `m1` (CHG-2) is not yet, nor are 1 more";
    assert_eq!(world.held(0).as_deref(), Some(waits));
    world.advance(0, Answer::Pass, None);
    assert!(world.log.is_empty(), "{:?}", world.log);
    world.until(2, Standing::Approved);
    world.until(1, Standing::Approved);
    assert_eq!(world.held(0), None);
    world.until(0, Standing::UnderWay);
    // A vote that falls when it has begun holds the change that it is for, and not the others.
    let void =
        Event::ReleaseMoved { release: REL, change: ChangeId::new(3), to: Standing::Waiting, why: String::new() };
    world.tell(&void, &user("ada"));
    world.until(0, Standing::Passed);
    assert_eq!(world.held(1), None);
    // A release that was proposed before it could be said is as it was.
    let mut before = serde_json::to_value(&plan).expect("JSON");
    before.as_object_mut().expect("an object").remove("begins");
    let before: Proposed = serde_json::from_value(before).expect("a plan");
    assert_eq!(before.begins, Begins::EachApproved);
    let mut world = World::new(before);
    world.until(0, Standing::UnderWay);
}

// U1: a caller fails, and the API that had passed goes back after both callers.
#[test]
fn one_failure_takes_back_what_had_passed_in_reverse_order() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.until(0, Standing::Passed);
    world.until(1, Standing::Passed);
    world.until(2, Standing::UnderWay);
    world.advance(2, Answer::Pass, None);
    world.advance(2, Answer::Fail, None);
    let stopped = world.release.stopped.as_ref().expect("it is stopped");
    assert!(stopped.reason.contains("`m2` (CHG-3) is going back: the evidence says fail"), "{}", stopped.reason);
    assert_eq!(world.release.phase(), Phase::RollingBack);
    world.settle();
    assert_eq!(world.release.phase(), Phase::RolledBack);
    let back = |i| world.at(i, |deed| *deed == Deed::Back).expect("it went back");
    let goes = |i| world.at(i, |deed| matches!(deed, Deed::GoesBack { .. })).expect("it goes back");
    assert!(back(1) < goes(0) && back(2) < goes(0), "{:?}", world.log);
    assert!(world.lives.iter().all(|life| life.change.phase() == change::Phase::RolledBack));
}

// U1: what has passed is watched on. A failure of it waits until those that came after it are back.
#[test]
fn a_failure_of_what_had_passed_goes_back_after_those_that_came_after_it() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.until(0, Standing::Passed);
    world.until(1, Standing::UnderWay);
    world.advance(0, Answer::Fail, None);
    assert_eq!(release::standing(&world.lives[0].change), Standing::Failed);
    world.settle();
    let back = world.at(1, |deed| *deed == Deed::Back).expect("it went back");
    let goes = world.at(0, |deed| matches!(deed, Deed::GoesBack { by_release: true })).expect("it goes back");
    assert!(back < goes, "{:?}", world.log);
    assert_eq!(world.at(2, |deed| *deed == Deed::Gone).map(|_| ()), Some(()), "m2 never begins: {:?}", world.log);
}

#[test]
fn with_stop_what_has_begun_goes_on_and_the_rest_never_begins() {
    let mut world = api_and_two_callers(OnFailure::Stop);
    world.until(0, Standing::Passed);
    world.until(1, Standing::UnderWay);
    world.ask(2, Command::Refuse { reason: "not now".into() }, &user("bob")).expect("bob may");
    world.settle();
    assert_eq!(world.release.phase(), Phase::Stopped);
    let phases: Vec<change::Phase> = world.lives.iter().map(|life| life.change.phase()).collect();
    assert_eq!(phases, [change::Phase::Completed, change::Phase::Completed, change::Phase::Refused]);
}

#[test]
fn the_order_gives_way_where_a_rollback_fails() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.until(0, Standing::Passed);
    world.until(1, Standing::Passed);
    world.decide(release::Command::RollBack { reason: "odd figures".into() }, &user("bob")).expect("he may");
    while world.lead(0) {}
    while release::standing(&world.lives[1].change) != Standing::NotBack {
        world.advance(1, Answer::Pass, Some(Failure::Final));
    }
    world.settle();
    assert_eq!(world.lives[0].change.phase(), change::Phase::RolledBack);
    assert_eq!(world.release.phase(), Phase::RollbackIncomplete);
}

// A rollback that was approved as one by hand is not done by a machine, and nobody waits for it; a person may ask for it.
#[test]
fn what_does_not_roll_back_by_itself_is_left_to_people_and_not_waited_for() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.lives[1].change.proposal.rollback.automatic = false;
    world.lives[1].change.proposal = sealed(world.lives[1].change.proposal.clone());
    world.until(0, Standing::Passed);
    world.until(1, Standing::Passed);
    world.ask(2, Command::Withdraw { reason: "a typo".into() }, &user("ada")).expect("she may");
    world.settle();
    assert_eq!(world.release.phase(), Phase::RollbackIncomplete);
    assert_eq!(world.lives[0].change.phase(), change::Phase::RolledBack);
    let page = &world.release.pages["stuck/CHG-2"];
    assert!(page.reason.contains("can't roll back `m1` (CHG-2)") && page.sent_at.is_some(), "{page:?}");
    world.decide(release::Command::RollBack { reason: "by hand".into() }, &user("bob")).expect("he may");
    world.settle();
    assert_eq!(world.release.phase(), Phase::RolledBack);
}

// U9: a wave begins when the one before it has passed and was left alone, and at most so many of it go at once.
#[test]
fn a_wave_bakes_and_at_most_so_many_of_it_go_at_once() {
    let members = vec![member(0, &[], Some(0)), member(1, &[], Some(1)), member(2, &[], Some(1))];
    let waves = vec![wave("one", 600, None), wave("rest", 0, Some(1))];
    let mut world = World::new(plan(members, waves, OnFailure::RollBack));
    (1..3).for_each(|i| (0..3).for_each(|_| world.advance(i, Answer::Pass, None)));
    world.until(0, Standing::Passed);
    let until = after(world.now, Span::secs(600));
    assert_eq!(world.held(1), Some(format!("in `REL-1` the wave `one` is left alone until `{until}`")));
    world.now = until;
    world.until(1, Standing::UnderWay);
    let wanted = "in `REL-1` at most 1 of the wave `rest` go at once, and 1 are under way";
    assert_eq!(world.held(2).as_deref(), Some(wanted));
    world.until(1, Standing::Passed);
    assert_eq!(world.held(2), None);
    world.settle();
    assert_eq!(world.release.phase(), Phase::Completed);
}

#[test]
fn a_release_is_withdrawn_before_it_begins_and_its_members_with_it() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    let withdraw = || release::Command::Withdraw { reason: "not this week".into() };
    world.decide(withdraw(), &user("ada")).expect("nothing has begun");
    world.settle();
    assert!(world.lives.iter().all(|life| life.change.phase() == change::Phase::Withdrawn));
    assert_eq!(world.release.phase(), Phase::Withdrawn);
    let mut begun = api_and_two_callers(OnFailure::RollBack);
    begun.until(0, Standing::UnderWay);
    let refused = begun.decide(withdraw(), &user("ada")).expect_err("it has begun");
    assert_eq!(refused.code(), "wrong_phase");
}

#[test]
fn nothing_is_rolled_back_that_has_passed_as_a_whole() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    world.settle();
    let back = release::Command::RollBack { reason: "odd".into() };
    let refused = world.decide(back, &user("bob")).expect_err("it is over");
    assert!(refused.to_string().contains("propose a release that undoes it"), "{refused}");
}

#[test]
fn a_change_becomes_part_of_one_release_and_only_before_it_begins() {
    let mut world = api_and_two_callers(OnFailure::RollBack);
    let other = Command::Join { release: ReleaseId::new(2) };
    let refused = world.ask(0, other.clone(), &user("ada")).expect_err("it is in one");
    assert!(refused.to_string().contains("part of a release already"), "{refused}");
    let mut alone = Life::begin(ChangeId::new(9), proposal("a")).scheduled().step_begun();
    let refused = alone.ask(other, &open(user("ada"), alone.now)).expect_err("it has begun");
    assert!(refused.to_string().contains("only before its rollout begins"), "{refused}");
}

// -------------------------------------------------------------------------------------------------------------------------------- random graphs

#[derive(Clone, Debug)]
struct Drawn {
    edges: Vec<BTreeSet<usize>>,
    waves: Option<Vec<usize>>,
    at_once: u32,
    stop: bool,
    moves: Vec<(u8, u8, u8)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let size = 2..7_usize;
    size.prop_flat_map(|size| {
        let edges: Vec<_> = (0..size).map(|i| proptest::collection::btree_set(0..i.max(1), 0..=i.min(2))).collect();
        let waves = proptest::option::of(proptest::collection::vec(0..3_usize, size));
        let moves = proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 20..160);
        (edges, waves, 1..3_u32, any::<bool>(), moves)
    })
    .prop_map(|(mut edges, waves, at_once, stop, moves)| {
        edges[0].clear();
        let waves = waves.map(|mut waves| {
            waves.sort_unstable();
            waves
        });
        Drawn { edges, waves, at_once, stop, moves }
    })
}

fn played(drawn: &Drawn) -> World {
    let place = |i: usize| match &drawn.waves {
        Some(waves) => member(i, &[], Some(waves[i])),
        None => member(i, &drawn.edges[i].iter().copied().collect::<Vec<_>>(), None),
    };
    let members: Vec<Member> = (0..drawn.edges.len()).map(place).collect();
    let waves = (0..3).map(|i| wave(&format!("w{i}"), 60, Some(drawn.at_once)));
    let waves = if drawn.waves.is_some() { waves.collect() } else { vec![] };
    let on_failure = if drawn.stop { OnFailure::Stop } else { OnFailure::RollBack };
    let mut world = World::new(plan(members, waves, on_failure));
    for (who, what, salt) in &drawn.moves {
        let i = usize::from(*who) % world.lives.len();
        match what {
            0 => drop(world.ask(i, Command::Withdraw { reason: "odd".into() }, &user("ada"))),
            1 => drop(world.ask(i, Command::Rollback { reason: "odd".into() }, &user("bob"))),
            2 => drop(world.decide(release::Command::RollBack { reason: "odd".into() }, &user("bob"))),
            3..=6 => world.advance(i, Answer::Fail, Some(Failure::Final)),
            7..=59 => drop(world.lead(usize::from(*salt))),
            60..=79 => world.now = after(world.now, Span::secs(u64::from(*salt))),
            _ => world.advance(i, Answer::Pass, None),
        }
    }
    world
}

/// The order as a test would write it: before each member those of its edges, or of the waves before its own.
fn before(drawn: &Drawn, i: usize) -> BTreeSet<usize> {
    match &drawn.waves {
        Some(waves) => (0..waves.len()).filter(|j| waves[*j] < waves[i]).collect(),
        None => drawn.edges[i].clone(),
    }
}

fn comes_after(drawn: &Drawn, late: usize, early: usize) -> bool {
    before(drawn, late).iter().any(|i| *i == early || comes_after(drawn, *i, early))
}

#[derive(Default)]
struct Witness {
    out: BTreeSet<usize>,
    passed: BTreeSet<usize>,
    failed: bool,
    rolls_back: bool,
    /// It has passed as a whole, and what a person does to a member in the moment before it is completed is their own.
    whole: bool,
}

impl Witness {
    fn see(&mut self, drawn: &Drawn, i: usize, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Begun => {
                if self.failed {
                    return Err(format!("m{i} began after a failure"));
                }
                if !before(drawn, i).is_subset(&self.passed) {
                    return Err(format!("m{i} began before those before it had passed"));
                }
                self.out.insert(i);
                let waves = drawn.waves.as_deref().unwrap_or_default();
                let going = self.out.iter().filter(|j| !self.passed.contains(j) && waves.get(**j) == waves.get(i));
                if drawn.waves.is_some() && going.count() > drawn.at_once as usize {
                    return Err(format!("m{i} is one too many at once"));
                }
            }
            Deed::FurtherBegun if self.failed && self.rolls_back => {
                return Err(format!("m{i} went on after a failure"));
            }
            Deed::FurtherBegun => {}
            Deed::Passed => drop(self.passed.insert(i)),
            Deed::GoesBack { by_release: true } => {
                if let Some(late) = self.out.iter().find(|late| comes_after(drawn, **late, i)) {
                    return Err(format!("m{i} goes back while m{late}, which came after it, is out"));
                }
                self.failed = true;
            }
            Deed::Failed | Deed::GoesBack { .. } | Deed::Gone => self.failed = true,
            Deed::Back | Deed::NotBack | Deed::Stuck => drop(self.out.remove(&i)),
            Deed::Completed if self.rolls_back && self.failed && !self.whole => {
                return Err(format!("m{i} was completed though its release failed"));
            }
            Deed::Completed => {
                if !self.failed && self.passed.len() < drawn.edges.len() {
                    return Err(format!("m{i} was completed before all had passed"));
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // U1, U9: whatever happens in which order.
    #[test]
    fn random_releases_keep_their_order_forwards_and_backwards(drawn in drawn()) {
        let mut world = played(&drawn);
        let by_person = world.release.stopped.as_ref().is_some_and(|s| s.then == OnFailure::RollBack);
        let whole = matches!(world.release.ended, Some(release::Ended::Passed { .. }));
        let mut witness = Witness { rolls_back: !drawn.stop || by_person, whole, ..Witness::default() };
        let seen = world.log.len();
        for (i, deed) in world.log.clone() {
            // A person may take one member back out of its order; that order is theirs.
            if let Err(broken) = witness.see(&drawn, i, deed) {
                prop_assert!(drawn.stop && by_person, "{broken}: {:?}", world.log);
            }
        }
        world.settle();
        for (i, deed) in world.log[seen..].iter().copied() {
            if let Err(broken) = witness.see(&drawn, i, deed) {
                prop_assert!(drawn.stop && by_person, "{broken}: {:?}", world.log);
            }
        }
        let phase = world.release.phase();
        prop_assert!(phase.is_terminal() || phase == Phase::RollbackIncomplete, "{phase}: {:?}", world.log);
        if phase == Phase::RolledBack {
            prop_assert!(witness.out.is_empty(), "{:?} stayed out: {:?}", witness.out, world.log);
        }
        let stands: BTreeMap<usize, Standing> =
            world.lives.iter().map(|life| release::standing(&life.change)).enumerate().collect();
        let moving = stands.values().any(|is| matches!(is, Standing::UnderWay | Standing::Waiting | Standing::Approved | Standing::GoingBack));
        prop_assert!(!moving, "{stands:?}: {:?}", world.log);
    }

    #[test]
    fn what_is_folded_again_is_the_same_and_asks_for_the_same(drawn in drawn()) {
        let world = played(&drawn);
        let text = serde_json::to_string(&world.release).expect("JSON");
        let again: Release = serde_json::from_str(&text).expect("a release");
        prop_assert_eq!(&again, &world.release);
        prop_assert_eq!(release::due(&again, world.now), release::due(&world.release, world.now));
    }
}
