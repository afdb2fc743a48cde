//! Properties of random lives: long sequences of commands, some of them due and some absurd, in worlds that open and close.

use std::collections::{BTreeMap, BTreeSet};

use change::approval::Vote;
use change::assessment::Level;
use change::circumstances::Stopped;
use change::gate::Readiness;
use change::lane::{self, Lane};
use change::lifecycle::{Command, Event, Found, Given, Intent, Phase, Rejection};
use change::proposal::Proposal;
use change::rollout::{BackState, Failure, MOST_ATTEMPTS, StepState};
use change::time::{Span, Timestamp, after};
use change::verification::{Answer, OnDoubt};
use change::{Actor, Change, ChangeId, decide, due, evolve};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::model::forget;
use crate::world::{
    DAY, ID, Life, OTHER, RESOURCE, VOTERS, allowed, denied, freeze, judge, lane_of, listed, open, proposal,
    right_actor, sealed, softly_denied, user,
};

/// One draw: what is asked, by whom, and in which world. The change decides what the numbers mean.
#[derive(Clone, Debug)]
struct Draw {
    what: u8,
    salt: u8,
    who: u8,
    world: u8,
    wait: u8,
}

fn draws(most: usize) -> impl Strategy<Value = Vec<Draw>> {
    let draw = (0..44_u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>())
        .prop_map(|(what, salt, who, world, wait)| Draw { what, salt, who, world, wait });
    proptest::collection::vec(draw, 1..most)
}

/// Two thirds of the time the world is open.
fn given(draw: &Draw, command: &Command, now: Timestamp) -> Given {
    let actor = match draw.who {
        0..=9 => user(VOTERS[usize::from(draw.who) % 3]),
        10..=12 => Actor::Clearway(change::actor::Part::Server),
        who => right_actor(command, VOTERS[usize::from(who) % 3]),
    };
    let mut given = open(actor, now);
    match draw.world {
        0..=19 => given.frozen = vec![freeze(after(now, Span::secs(3_600)))],
        20..=39 => given.lanes = vec![lane_of(OTHER)],
        40..=49 => given.lanes = vec![],
        50..=69 => given.readiness = Readiness::NotReady { problems: vec!["the telemetry is silent".into()] },
        70..=74 => given.readiness = Readiness::Unknown { why: "nobody has looked".into() },
        75..=79 => given.may.clear(),
        80..=84 => given.groups.clear(),
        85 => given.excluded = Some("they committed to it".into()),
        86..=88 => given.unknown_committers = ["x@example.com".to_owned()].into(),
        89..=91 => given.revoked = [user("bob")].into(),
        92..=94 => {
            let stopped = Stopped { by: user("cyd"), reason: "an outage".into(), since: now };
            given.stopped = Some(stopped);
        }
        _ => {}
    }
    given
}

fn wait(draw: &Draw) -> Span {
    match draw.wait {
        0..=3 => DAY.times(8),
        4..=7 => DAY,
        8..=31 => Span::secs(2_000),
        32..=63 => Span::secs(10),
        64..=127 => Span::secs(1),
        _ => Span::millis(300),
    }
}

fn amended(proposal: &Proposal, salt: u8) -> Proposal {
    let mut amended = proposal.clone();
    match salt % 5 {
        0 => amended.title = format!("title {salt}"),
        1 => amended.commit = Some(format!("c{salt}")),
        2 => amended.rollback.automatic = !amended.rollback.automatic,
        3 => amended.verify.on_insufficient = OnDoubt::Rollback,
        _ => amended.artifact = Some(format!("shop@sha256:{}", salt % 3)),
    }
    sealed(amended)
}

fn answer(salt: u8) -> Answer {
    match salt % 8 {
        0 => Answer::Fail,
        1 | 2 => Answer::Insufficient,
        3 => Answer::Unreachable,
        _ => Answer::Pass,
    }
}

fn failure(salt: u8) -> Failure {
    match salt % 4 {
        0 => Failure::Final,
        1 => Failure::Unknown,
        _ => Failure::Retry,
    }
}

/// What the shell does about an intent: the command that its outcome becomes.
fn carried_out(change: &Change, intent: &Intent, salt: u8, now: Timestamp) -> Command {
    let effect = change.proposal.effect_digest;
    let failing = salt.is_multiple_of(3);
    match intent {
        Intent::Assess if salt.is_multiple_of(16) => Command::Assess(Box::new(denied(effect))),
        Intent::Assess if salt % 16 == 1 => Command::Assess(Box::new(softly_denied(effect))),
        Intent::Assess if salt % 16 == 2 => Command::Assess(Box::new(listed(effect))),
        Intent::Assess => Command::Assess(Box::new(allowed(effect, salt % 3))),
        Intent::Schedule => Command::Schedule,
        Intent::LapseVotes => Command::LapseVotes,
        Intent::Lapse => Command::Lapse,
        Intent::ApproveByAutomation => Command::ApproveByAutomation,
        Intent::Call => Command::Call,
        Intent::Nag => Command::Nag,
        Intent::ReportSilence { step, attempt } => {
            Command::ReportFailed { step: *step, attempt: *attempt, failure: Failure::Unknown, error: "silence".into() }
        }
        Intent::ReportSilentUndo { attempt } => {
            Command::ReportUndoFailed { attempt: *attempt, failure: Failure::Final, error: "silence".into() }
        }
        Intent::BeginStep => Command::BeginStep { observed: json!({"weight": "0%", "salt": salt}) },
        Intent::Apply { step, attempt } if failing => Command::ReportFailed {
            step: *step,
            attempt: *attempt,
            failure: failure(salt / 3),
            error: "refused".into(),
        },
        Intent::Apply { step, attempt } => {
            Command::ReportApplied { step: *step, attempt: *attempt, actual: json!({"weight": "10%"}) }
        }
        Intent::Look { step, attempt, .. } => judge(answer(salt), *step, *attempt, now),
        Intent::BeginUndo => Command::BeginUndo,
        Intent::Undo { attempt } if failing => {
            Command::ReportUndoFailed { attempt: *attempt, failure: failure(salt / 3), error: "refused".into() }
        }
        Intent::Undo { .. } => Command::ReportUndone { observed: json!({"weight": "0%"}) },
        Intent::Page { key } => Command::ReportPaged { key: key.clone(), channel: "pager".into(), to: [].into() },
    }
}

fn command(change: &Change, draw: &Draw, now: Timestamp) -> Command {
    let intents = due(change, now).intents;
    let salt = draw.salt;
    let (step, attempt) = change.any_rollout().map_or((0, 1), |r| (r.step, r.attempt));
    let reason = || if salt == 7 { String::new() } else { "because".to_owned() };
    match draw.what {
        0 => Command::Amend { proposal: Box::new(amended(&change.proposal, salt)), revision: None },
        1 if salt < 64 => Command::Withdraw { reason: reason() },
        2 if salt < 64 => Command::Refuse { reason: reason() },
        3..=7 => Command::Approve { effect: change.proposal.effect_digest, comment: None, signature: None },
        8 => Command::Approve { effect: change.proposal.revision_digest, comment: None, signature: None },
        9 => Command::Pause { reason: reason() },
        10 | 11 => Command::Resume { found: None },
        12 => Command::Resume { found: Some(Found::Applied) },
        13 => Command::Resume { found: Some(Found::NotApplied) },
        14 => Command::Promote { reason: reason() },
        15 if salt < 128 => Command::Rollback { reason: reason() },
        16 => Command::CompleteByHand { evidence: reason() },
        17 => Command::SupersedeWatch { by: OTHER },
        18 => Command::Review { summary: reason() },
        19 => Command::ReportApplied { step, attempt: attempt.wrapping_sub(1), actual: json!(null) },
        20 => judge(answer(salt), step.saturating_sub(1), attempt, now),
        21 | 24 | 25 => Command::BeginStep { observed: json!(null) },
        22 => Command::BeginUndo,
        23 => Command::LapseVotes,
        26 if salt < 64 => Command::RequestChanges { reason: reason() },
        27 => Command::TakeBack { reason: reason() },
        28 => Command::Override { code: "no_runbook".into(), reason: reason() },
        29 => Command::BreakGlass { reason: reason() },
        30 => Command::Tick { list: "before".into(), code: "told".into(), note: reason() },
        31 => Command::RevokeVotes,
        _ => match intents.get(usize::from(salt) % intents.len().max(1)) {
            Some(intent) => carried_out(change, intent, salt, now),
            None => Command::Approve { effect: change.proposal.effect_digest, comment: None, signature: None },
        },
    }
}

/// One command that was asked, and what came of it.
#[derive(Clone, Debug)]
struct Asked {
    before: Change,
    given: Given,
    answer: Result<Vec<Event>, Rejection>,
    after: Change,
}

fn walk(draws: &[Draw]) -> (Life, Vec<Asked>) {
    let mut life = Life::begin(ID, proposal("shop@sha256:0"));
    let mut trail = Vec::new();
    for draw in draws {
        life = life.later(wait(draw));
        let command = command(&life.change, draw, life.now);
        let given = given(draw, &command, life.now);
        let before = life.change.clone();
        let answer = life.ask(command, &given);
        trail.push(Asked { before, given, answer, after: life.change.clone() });
    }
    (life, trail)
}

fn config() -> Config {
    Config { cases: 200, failure_persistence: None, ..Config::default() }
}

fn events(asked: &Asked) -> &[Event] {
    asked.answer.as_deref().unwrap_or_default()
}

/// The answer without its prose and figures.
fn shape(answer: &Result<Vec<Event>, Rejection>) -> Result<Vec<String>, &'static str> {
    answer.as_ref().map(|events| events.iter().map(crate::world::event_type).collect()).map_err(Rejection::code)
}

proptest! {
    #![proptest_config(config())]

    // F8
    #[test]
    fn replaying_the_log_gives_the_same_state_and_the_same_intents(draws in draws(80)) {
        let (life, _) = walk(&draws);
        let replayed = life.log.iter().fold(None, |state, (event, actor, at)| evolve(state, ID, event, actor, *at));
        let replayed = replayed.expect("a log has a change");
        prop_assert_eq!(&replayed, &life.change);
        prop_assert_eq!(due(&replayed, life.now), due(&life.change, life.now));
    }

    // F8
    #[test]
    fn events_and_states_survive_the_way_through_json(draws in draws(80)) {
        let (life, _) = walk(&draws);
        let mut state = None;
        for (event, actor, at) in &life.log {
            let text = serde_json::to_string(&(event, actor, at)).expect("an event has a JSON form");
            let (event, actor, at): (Event, Actor, Timestamp) = serde_json::from_str(&text).expect("and is read from it");
            state = evolve(state, ID, &event, &actor, at);
            let text = serde_json::to_string(&state).expect("a state has a JSON form");
            state = serde_json::from_str(&text).expect("and is read from it");
        }
        let state = state.expect("a log has a change");
        prop_assert_eq!(due(&state, life.now), due(&life.change, life.now));
        prop_assert_eq!(state, life.change);
    }

    #[test]
    fn the_version_of_a_change_is_the_number_of_its_events(draws in draws(80)) {
        let (life, trail) = walk(&draws);
        prop_assert_eq!(life.change.version, life.log.len() as u64);
        for asked in &trail {
            prop_assert_eq!(asked.after.version, asked.before.version + events(asked).len() as u64);
        }
    }

    #[test]
    fn what_is_terminal_stays_and_begins_nothing(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        for asked in trail.iter().filter(|asked| asked.before.phase().is_terminal()) {
            prop_assert_eq!(asked.after.phase(), asked.before.phase());
            let begins = |event: &Event| matches!(event, Event::StepBegun { .. } | Event::UndoBegun { .. });
            prop_assert!(!events(asked).iter().any(begins));
            // Debts outlive the end: people are told of them.
            let is_page = |intent: &Intent| matches!(intent, Intent::Page { .. } | Intent::Nag);
            prop_assert!(due(&asked.after, asked.given.now).intents.iter().all(is_page));
        }
    }

    // F8
    #[test]
    fn whatever_is_due_is_accepted_in_every_outcome(draws in draws(80), salt in any::<u8>()) {
        let (_, trail) = walk(&draws);
        for Asked { after: change, given, .. } in &trail {
            for intent in due(change, given.now).intents {
                let command = carried_out(change, &intent, salt, given.now);
                let given = open(right_actor(&command, "bob"), given.now);
                let answer = decide(change, command, &given);
                prop_assert!(answer.is_ok(), "{intent:?} in {}: {answer:?}", change.phase());
            }
        }
    }

    // F8
    #[test]
    fn what_is_due_later_is_due_when_its_time_has_come(draws in draws(80)) {
        let (_, trail) = walk(&draws);
        for Asked { after: change, given, .. } in &trail {
            let Some(at) = due(change, given.now).wake_at else { continue };
            prop_assert!(at > given.now);
            let (now, then) = (due(change, given.now).intents, due(change, at).intents);
            prop_assert!(then.iter().any(|intent| !now.contains(intent)), "nothing becomes due at {at}: {then:?}");
        }
    }

    // PR2
    #[test]
    fn weights_never_fall_in_a_rollout(draws in draws(120)) {
        let (life, _) = walk(&draws);
        let weight = |event: &Event| match event {
            Event::StepBegun { weight, .. } => Some(*weight),
            _ => None,
        };
        let weights: Vec<_> = life.log.iter().filter_map(|(event, ..)| weight(event)).collect();
        prop_assert!(weights.is_sorted(), "{weights:?}");
    }

    // F3
    #[test]
    fn nothing_is_tried_without_bound(draws in draws(120)) {
        let (life, _) = walk(&draws);
        let mut granted: BTreeMap<usize, u32> = BTreeMap::new();
        let mut step_now = 0;
        for (event, ..) in &life.log {
            match event {
                Event::StepBegun { step, attempt, .. } => {
                    step_now = *step;
                    // A person who has looked may grant one more attempt after an unknown outcome; nothing else does.
                    prop_assert!(*attempt <= MOST_ATTEMPTS + granted.get(step).copied().unwrap_or(0));
                }
                Event::Resumed { found: Some(Found::NotApplied) } => *granted.entry(step_now).or_default() += 1,
                Event::UndoBegun { attempt } => prop_assert!((1..=MOST_ATTEMPTS).contains(attempt)),
                _ => {}
            }
        }
    }

    // F3
    #[test]
    fn nothing_is_tried_again_before_its_time(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        let begins = |event: &Event| matches!(event, Event::StepBegun { .. } | Event::UndoBegun { .. });
        for asked in trail.iter().filter(|asked| events(asked).iter().any(begins)) {
            let Some(rollout) = asked.before.rollout() else { continue };
            if let StepState::Retrying { at, .. } = rollout.state && rollout.back.is_none() {
                prop_assert!(at <= asked.given.now);
            }
            if let Some(BackState::Waiting { at }) = rollout.back.as_ref().map(|back| &back.state) {
                prop_assert!(*at <= asked.given.now);
            }
        }
    }

    // LC4
    #[test]
    fn no_step_begins_behind_a_closed_gate(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        let begun = |asked: &&Asked| events(asked).iter().any(|e| matches!(e, Event::StepBegun { .. }));
        for Asked { before, given, .. } in trail.iter().filter(begun) {
            prop_assert!(given.frozen.is_empty() && given.stopped.is_none());
            prop_assert_eq!(&given.lanes, &vec![Lane::free(RESOURCE)]);
            prop_assert!(before.rollout().is_some() || given.readiness == Readiness::Ready);
        }
    }

    // LC3 F2
    #[test]
    fn no_first_step_begins_without_enough_fresh_votes_of_others(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        let first = |asked: &&Asked| asked.before.rollout().is_none() && asked.after.rollout().is_some();
        for Asked { before, given, .. } in trail.iter().filter(first) {
            let assessed = &before.assessment.as_ref().expect("nothing begins unassessed").assessment;
            let effect = before.proposal.compute_effect_digest();
            for denial in &assessed.denials {
                let people = before.set_aside.iter().filter(|s| s.effect == effect && s.code == denial.code);
                let people = people.flat_map(|s| &s.by).collect::<BTreeSet<_>>().len();
                prop_assert!(people >= if denial.level == Level::Soft { 1 } else { 2 }, "{denial:?}");
            }
            let by_hand: BTreeSet<&str> = before.ticked.iter().filter(|t| t.effect == effect).map(|t| t.code.as_str()).collect();
            prop_assert!(assessed.checklist.iter().all(|item| by_hand.contains(item.code.as_str())));
            prop_assert!(before.requested.is_empty());
            prop_assert!(given.unknown_committers.is_empty() || assessed.requires.is_empty());
            let fresh = |at: Timestamp| given.now < after(at, DAY.times(7));
            let counts = |v: &&Vote| v.effect == effect && fresh(v.at) && !given.revoked.contains(&v.voter);
            let voters: BTreeSet<&str> = before.votes.iter().filter(counts).filter_map(|v| v.voter.user()).collect();
            let needed: usize = assessed.requires.iter().map(|r| usize::from(r.count)).sum();
            prop_assert!(voters.len() >= needed, "{voters:?} for {needed}");
        }
    }

    // LC3
    #[test]
    fn nobody_votes_for_what_they_wrote(draws in draws(80)) {
        let (_, trail) = walk(&draws);
        let mut writers: BTreeSet<Actor> = [user("ada")].into();
        for asked in &trail {
            if asked.before.proposal.effect_digest != asked.after.proposal.effect_digest {
                writers.insert(asked.given.actor.clone());
            }
            let both: Vec<_> = asked.after.votes.iter().filter(|v| writers.contains(&v.voter)).collect();
            prop_assert!(both.is_empty(), "{both:?}");
        }
    }

    // F2
    #[test]
    fn every_vote_is_for_the_effect_of_now(draws in draws(80)) {
        let (_, trail) = walk(&draws);
        for Asked { after: change, .. } in &trail {
            prop_assert!(change.votes.iter().all(|v| v.effect == change.proposal.effect_digest));
        }
    }

    // LC6 LC7
    #[test]
    fn nothing_advances_without_a_pass_or_an_override_of_that_very_step(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        for asked in &trail {
            let Some(at) = events(asked).iter().position(|e| matches!(e, Event::Advanced { .. })) else { continue };
            let (step, attempt) = asked.before.rollout().map(|r| (r.step, r.attempt)).expect("a rollout");
            prop_assert_eq!(&events(asked)[at], &Event::Advanced { step });
            let opens = |event: &Event| match event {
                Event::Judged(j) => j.answer == Answer::Pass && (j.step, j.attempt) == (step, attempt),
                Event::Overridden { step: s, effect, .. } => *s == step && *effect == asked.before.proposal.effect_digest,
                _ => false,
            };
            prop_assert!(events(asked)[..at].iter().any(opens));
        }
    }

    #[test]
    fn a_lane_is_taken_and_freed_in_turns(draws in draws(120)) {
        let (_, trail) = walk(&draws);
        let mut holds = false;
        for asked in &trail {
            match lane::moves(&asked.before, &asked.after) {
                Some(Event::LaneTaken { change }) => prop_assert!(!std::mem::replace(&mut holds, true) && change == ID),
                Some(Event::LaneFreed { change }) => prop_assert!(std::mem::replace(&mut holds, false) && change == ID),
                Some(other) => prop_assert!(false, "{other:?} is no move of a lane"),
                None => {}
            }
            prop_assert_eq!(holds, acts(&asked.after));
        }
    }

    // LC4 F9
    #[test]
    fn at_most_one_change_acts_on_a_resource(draws in proptest::collection::vec((any::<bool>(), draws(2)), 1..200)) {
        let mut lane = Lane::free(RESOURCE);
        let mut lives = [ID, OTHER].map(|id| Life::begin(id, proposal("shop@sha256:0")));
        for (first, draw) in draws.iter().flat_map(|(first, draws)| draws.iter().map(move |d| (*first, d))) {
            let life = &mut lives[usize::from(!first)];
            *life = life.clone().later(wait(draw));
            let command = command(&life.change, draw, life.now);
            let given = Given { lanes: vec![lane.clone()], ..given(draw, &command, life.now) };
            let before = life.change.clone();
            let _refused = life.ask(command, &given);
            if let Some(moved) = lane::moves(&before, &life.change) {
                prop_assert!(lane.holder.is_none_or(|holder| holder == before.id), "{} takes it from {lane:?}", before.id);
                lane = lane.evolve(&moved);
            }
            let acting: Vec<ChangeId> = lives.iter().filter(|l| acts(&l.change)).map(|l| l.change.id).collect();
            prop_assert!(acting.len() <= 1, "{acting:?} act at once");
            prop_assert_eq!(lane.holder, acting.first().copied());
        }
    }

    // The exhaustive check leaves these parts of a state out: this is why it may.
    #[test]
    fn no_decision_depends_on_what_the_exhaustive_check_forgets(draws in draws(80), odd in draws(30)) {
        let (_, trail) = walk(&draws);
        for Asked { after: change, given: at, .. } in trail.iter().step_by(5) {
            let mut less = change.clone();
            forget(&mut less);
            prop_assert_eq!(less.phase(), change.phase());
            for draw in &odd {
                let command = command(change, draw, at.now);
                // What a page of another kind comes to depends on that page alone, and an amendment is compared with the whole proposal.
                if matches!(command, Command::ReportPaged { .. } | Command::Amend { .. }) {
                    continue;
                }
                // A hold is put into the log again when its reason in words has changed.
                if matches!(command, Command::BeginStep { .. }) && change.hold.is_some() {
                    continue;
                }
                // Votes that are taken back in a rollout have their own place in the small world of governance.
                let taken_back = change.rollout().is_some_and(|r| !r.taken_back.is_empty());
                if matches!(command, Command::TakeBack { .. }) || taken_back {
                    continue;
                }
                let given = given(draw, &command, at.now);
                let (whole, rest) = (decide(change, command.clone(), &given), decide(&less, command, &given));
                prop_assert_eq!(shape(&whole), shape(&rest));
            }
        }
    }
}

/// Whether a change acts on its target: from its first step to the watch, and from the beginning of a rollback to its end.
fn acts(change: &Change) -> bool {
    change.rollout().is_some_and(|r| r.back.is_some() || r.step < change.proposal.plan.steps.len())
}

#[test]
fn random_lives_reach_every_phase_and_every_event_of_a_change() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for _ in 0..400 {
        let tree = draws(120).new_tree(&mut runner).expect("draws have no filter");
        let (life, trail) = walk(&proptest::strategy::ValueTree::current(&tree));
        seen.extend(trail.iter().map(|asked| phase_name(asked.after.phase())));
        seen.extend(life.log.iter().map(|(event, ..)| crate::world::event_type(event)));
        seen.extend(trail.iter().filter_map(|asked| asked.answer.as_ref().err()).map(|r| format!("({})", r.code())));
    }
    let seen: Vec<String> = seen.into_iter().collect();
    expect_test::expect![[r#"
        (already_voted)
        (excluded)
        (hard_rule)
        (lane_taken)
        (no_such_denial)
        (no_such_point)
        (not_allowed)
        (not_entitled)
        (not_for_people)
        (nothing_to_roll_back)
        (outcome_needed)
        (own_change)
        (reason_needed)
        (second_person_needed)
        (stale)
        (stale_effect)
        (verdict_is_fail)
        (wrong_phase)
        <approved>
        <assessed>
        <completed>
        <held>
        <lapsed>
        <paused>
        <proposed>
        <refused>
        <rollback_failed>
        <rolled_back>
        <rolling_back>
        <rolling_out>
        <scheduled>
        <watching>
        <withdrawn>
        Advanced
        Amended
        Approved
        Assessed
        ChangesRequested
        Completed
        CompletedByHand
        DebtNagged
        DebtOwed
        DebtPaid
        DenialOverridden
        EvidenceTaken
        GlassBroken
        GlassTouched
        Held
        Judged
        Lapsed
        Overridden
        PageOwed
        Paged
        Paused
        Proposed
        Refused
        Released
        Reminded
        Resumed
        RollbackBegun
        RollbackFailed
        RolledBack
        Scheduled
        StepApplied
        StepBegun
        StepFailed
        TakenBack
        Ticked
        UndoBegun
        UndoFailed
        VotesVoided
        WatchSuperseded
        Withdrawn"#]]
    .assert_eq(&seen.join("\n"));
}

fn phase_name(phase: Phase) -> String {
    format!("<{}>", phase.name())
}
