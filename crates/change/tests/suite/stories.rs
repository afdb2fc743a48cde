//! Plain stories of governance, told from the people's side: ways around a rule that were once open, or that the small world does not come to.
//!
//! The orders of such moves are checked in [`model_governance`](crate::model_governance); here one move after the other can be read.

use change::aftermath::Debt;
use change::assessment::{Assessment, Requirement};
use change::course::{Course, EmergencyRules};
use change::lifecycle::{Command, Event, Given, Intent, Phase};
use change::proposal::Proposal;
use change::time::after;
use change::{Actor, due};
use serde_json::json;

use crate::world::{DAY, GROUP, ID, Life, allowed, denied, event_type, listed, open, proposal, softly_denied, user};

fn because() -> String {
    "because".into()
}

fn person(life: &Life, name: &str) -> Given {
    open(user(name), life.now)
}

fn yes(life: &Life) -> Command {
    Command::Approve { effect: life.effect(), comment: None, signature: None }
}

/// An emergency that `bob` has agreed to; two of the group are owed afterwards.
fn emergency() -> Life {
    let rules = EmergencyRules {
        quorum: vec![change::governance::RuleRequirement::of(GROUP, 1, DAY)],
        ..EmergencyRules::default()
    };
    let begun = Life::begin(ID, proposal("shop@sha256:aa"));
    let course = Course::Emergency(rules.declare("INC-1", "it burns", begun.now));
    let life = Life::begin(ID, Proposal { course, ..proposal("shop@sha256:aa") });
    let full = Assessment { requires: vec![Requirement::of(GROUP, 2, DAY)], ..allowed(life.effect(), 1) };
    let answer = full.in_emergency(life.change.proposal.course.emergency().expect("is an emergency"));
    let life = life.then(Command::Assess(Box::new(answer)));
    let vote = yes(&life);
    life.then(vote).then(Command::Schedule)
}

fn begin(life: &mut Life) -> Vec<String> {
    let given = open(Actor::Clearway(change::actor::Part::Rollout), life.now);
    let events = life.ask(Command::BeginStep { observed: json!(null) }, &given);
    events.map(|events| events.iter().map(event_type).collect()).unwrap_or_default()
}

fn gate(life: &Life) -> Option<String> {
    life.change.hold.iter().flat_map(|hold| &hold.gates).find_map(|gate| gate.code().map(str::to_owned))
}

// LC3 PA6
#[test]
fn a_second_vote_of_the_same_person_does_not_count_twice_for_what_is_owed() {
    let mut life = emergency().step_begun().later(DAY.times(8));
    let again = life.ask(yes(&life), &person(&life, "bob")).expect("the first vote has lapsed");
    assert_eq!(again.iter().map(event_type).collect::<Vec<_>>(), ["Approved"]);
    assert!(life.change.owes(Debt::Approval));
    let second = life.ask(yes(&life), &person(&life, "cyd")).expect("another person may");
    assert!(second.iter().any(|e| matches!(e, Event::DebtPaid { debt: Debt::Approval, .. })));
}

// LC3 PA6
#[test]
fn the_vote_of_somebody_who_has_left_does_not_pay_what_is_owed() {
    let mut life = emergency().step_begun();
    let given = Given { revoked: [user("bob")].into(), ..person(&life, "cyd") };
    life.ask(yes(&life), &given).expect("somebody else may");
    assert!(life.change.owes(Debt::Approval), "one of two is missing");
}

// LC3 PA6
#[test]
fn who_has_left_before_it_began_is_missing_in_what_is_owed() {
    let mut life = emergency();
    life.ask(yes(&life), &person(&life, "cyd")).expect("more may agree than have to");
    let given =
        Given { revoked: [user("bob")].into(), ..open(Actor::Clearway(change::actor::Part::Rollout), life.now) };
    life.ask(Command::BeginStep { observed: json!(null) }, &given).expect("one has agreed");
    assert!(life.change.rollout().is_some() && life.change.owes(Debt::Approval), "one of two is missing");
}

// LC3 PA6
#[test]
fn a_no_that_is_taken_back_does_not_count_who_has_left_since() {
    let mut life = emergency().step_begun();
    life.ask(Command::Refuse { reason: because() }, &person(&life, "dan")).expect("the approval is owed");
    life.ask(yes(&life), &person(&life, "cyd")).expect("another person may");
    let given = Given { revoked: [user("bob")].into(), ..person(&life, "dan") };
    life.ask(Command::TakeBack { reason: because() }, &given).expect("it is theirs");
    assert!(life.change.owes(Debt::Approval), "one of two is missing");
}

// PA6
#[test]
fn what_is_refused_afterwards_begins_no_further_step() {
    let mut life = emergency().step_begun();
    life.ask(Command::Refuse { reason: because() }, &person(&life, "cyd")).expect("the approval is owed");
    let life = life.then(Command::Resume { found: None });
    let mut life = life.step_applied().judged(change::verification::Answer::Pass);
    assert_eq!((begin(&mut life), gate(&life).as_deref()), (vec!["Held".to_owned()], Some("approval_refused")));
}

// PA6
#[test]
fn an_approval_that_was_owed_is_owed_again_when_it_is_taken_back() {
    let mut life = emergency().step_begun();
    life.ask(yes(&life), &person(&life, "cyd")).expect("the approval is owed");
    assert!(!life.change.owes(Debt::Approval));
    life.ask(Command::TakeBack { reason: because() }, &person(&life, "cyd")).expect("it is theirs");
    assert!(life.change.owes(Debt::Approval));
}

// PA6
#[test]
fn an_approval_that_was_complete_before_it_began_is_owed_when_it_is_taken_back() {
    let mut life = emergency();
    life.ask(yes(&life), &person(&life, "cyd")).expect("more may agree than have to");
    let mut life = life.step_begun();
    assert!(!life.change.owes(Debt::Approval), "everybody has agreed");
    life.ask(Command::TakeBack { reason: because() }, &person(&life, "cyd")).expect("it is theirs");
    assert!(life.change.owes(Debt::Approval));
}

// F4
#[test]
fn who_has_committed_to_a_change_overrides_no_rule_against_it() {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = softly_denied(life.effect());
    let mut life = life.then(Command::Assess(Box::new(answer)));
    let given = Given { excluded: Some("they have committed to it".into()), ..person(&life, "bob") };
    let command = Command::Override { code: "no_runbook".into(), reason: because() };
    assert_eq!(life.ask(command.clone(), &given).map_err(|r| r.code()), Err("excluded"));
    assert!(life.ask(command, &person(&life, "cyd")).is_ok());
}

fn touched() -> Life {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = denied(life.effect());
    life.then(Command::Assess(Box::new(answer))).then(Command::BreakGlass { reason: because() })
}

/// What follows when this person is the second, and these are true of the first.
fn second_hand(name: &str, insiders: &[&str], hands_off: &[&str]) -> Result<String, &'static str> {
    let mut life = touched();
    let of = |names: &[&str]| names.iter().map(|name| user(name)).collect();
    let given = Given { insiders: of(insiders), hands_off: of(hands_off), ..person(&life, name) };
    let events = life.ask(Command::BreakGlass { reason: because() }, &given);
    events.map(|events| event_type(&events[0])).map_err(|r| r.code())
}

// F4
#[test]
fn an_author_and_a_committer_do_not_break_the_glass_together_in_either_order() {
    assert_eq!(second_hand("ada", &["bob"], &[]), Err("own_change"));
    assert_eq!(second_hand("cyd", &["bob"], &[]), Ok("GlassBroken".into()));
    assert_eq!(second_hand("ada", &[], &[]), Ok("GlassBroken".into()));
}

// F4
#[test]
fn the_hand_of_somebody_who_may_no_longer_override_has_fallen_from_the_glass() {
    assert_eq!(second_hand("cyd", &[], &["bob"]), Ok("GlassTouched".into()));
}

// F4 F2
#[test]
fn a_hand_falls_from_the_glass_with_the_effect_even_if_that_comes_back() {
    let mut life = touched();
    for artifact in ["shop@sha256:bb", "shop@sha256:aa"] {
        let amended = Command::Amend { proposal: Box::new(proposal(artifact)), revision: None };
        life.ask(amended, &person(&life, "ada")).expect("the author may");
    }
    let answer = denied(life.effect());
    let mut life = life.then(Command::Assess(Box::new(answer)));
    let second = life.ask(Command::BreakGlass { reason: because() }, &person(&life, "cyd")).expect("it is the first");
    assert_eq!(event_type(&second[0]), "GlassTouched");
}

/// Does what is due until nothing changes it any more, as the product would if nobody came.
fn left_alone(mut life: Life, answer: &Assessment) -> Phase {
    for _ in 0..30 {
        let next = due(&life.change, life.now);
        let command = next.intents.iter().find_map(|intent| match intent {
            Intent::Assess => Some(Command::Assess(Box::new(answer.clone()))),
            Intent::LapseVotes => Some(Command::LapseVotes),
            Intent::Lapse => Some(Command::Lapse),
            Intent::ApproveByAutomation => Some(Command::ApproveByAutomation),
            Intent::Schedule => Some(Command::Schedule),
            _ => None,
        });
        if next.intents.contains(&Intent::BeginStep) {
            begin(&mut life);
        }
        life = match command {
            Some(command) => life.then(command),
            None => Life { now: next.wake_at.unwrap_or_else(|| after(life.now, DAY)), ..life },
        };
        if life.change.phase().is_terminal() {
            break;
        }
    }
    life.change.phase()
}

// LC3
#[test]
fn a_request_that_nobody_answers_ends_in_a_lapse_though_nobody_has_to_approve() {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = allowed(life.effect(), 0);
    let mut life = life.then(Command::Assess(Box::new(answer.clone()))).later(DAY.times(3));
    life.ask(Command::RequestChanges { reason: because() }, &person(&life, "bob")).expect("it has not begun");
    let given = Given::bare(after(life.now, DAY.times(5)), Actor::Clearway(change::actor::Part::Clock));
    let lapsed = life.clone().ask(Command::Lapse, &given);
    assert_eq!(lapsed.map(|events| events.iter().map(event_type).collect()), Ok(vec!["Lapsed".to_owned()]));
    assert_eq!(left_alone(life, &answer), Phase::Lapsed);
}

// LC3 X16
#[test]
fn a_point_that_nobody_ticks_ends_in_a_lapse_though_nobody_has_to_approve() {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = listed(life.effect());
    let life = life.then(Command::Assess(Box::new(answer.clone()))).then(Command::Schedule);
    assert_eq!(left_alone(life, &answer), Phase::Lapsed);
}

// LC3 F4
#[test]
fn a_change_whose_rule_stands_again_because_who_set_it_aside_has_left_lapses_too() {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = softly_denied(life.effect());
    let life = life.then(Command::Assess(Box::new(answer)));
    let life = life.then(Command::Override { code: "no_runbook".into(), reason: because() });
    let mut life = life.then(Command::ApproveByAutomation).then(Command::Schedule).later(DAY.times(8));
    let clock = Actor::Clearway(change::actor::Part::Clock);
    let given = Given { hands_off: [user("bob")].into(), ..open(clock, life.now) };
    life.ask(Command::LapseVotes, &given).expect("its vote is old");
    assert_eq!(life.change.phase(), Phase::Lapsed);
}

// LC3
#[test]
fn an_automatic_vote_that_waits_for_no_person_is_given_anew() {
    let life = Life::begin(ID, proposal("shop@sha256:aa"));
    let answer = allowed(life.effect(), 0);
    let life = life.then(Command::Assess(Box::new(answer))).then(Command::Schedule);
    let life = life.later(DAY.times(8)).then(Command::LapseVotes);
    assert_eq!(life.change.phase(), Phase::Proposed, "it is assessed anew");
}
