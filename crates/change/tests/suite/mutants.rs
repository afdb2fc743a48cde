//! Faults that the exhaustive check has to find: each is the lifecycle with one rule broken.
//!
//! A check that finds nothing proves little unless it would have found something.

use change::gate::GateName;
use change::lifecycle::{Command, Event, Given, Rejection, Stage};
use change::proposal::Carry;
use change::rollout::{MOST_ATTEMPTS, Rollout};
use change::verification::Answer;
use change::{Change, Timestamp};
use expect_test::expect;
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model};

use crate::model::{LAWS, World};

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    SkipApprovalGate,
    SkipFreeze,
    SkipLane,
    KeepVotesOnAmend,
    KeepLapsedVotes,
    CountAnyEffect,
    AuthorMayVote,
    AmenderMayVote,
    AcceptStaleReport,
    AdvanceOnInsufficient,
    AdvanceOnUnreachable,
    PromoteOnFail,
    BeginInPause,
    RetryWithoutBound,
    UndoWithoutBound,
    ForgetPageOnRollbackFailed,
    RollBackSuperseded,
    BeginInTerminal,
}

const MUTANTS: [Mutant; 18] = [
    Mutant::SkipApprovalGate,
    Mutant::SkipFreeze,
    Mutant::SkipLane,
    Mutant::KeepVotesOnAmend,
    Mutant::KeepLapsedVotes,
    Mutant::CountAnyEffect,
    Mutant::AuthorMayVote,
    Mutant::AmenderMayVote,
    Mutant::AcceptStaleReport,
    Mutant::AdvanceOnInsufficient,
    Mutant::AdvanceOnUnreachable,
    Mutant::PromoteOnFail,
    Mutant::BeginInPause,
    Mutant::RetryWithoutBound,
    Mutant::UndoWithoutBound,
    Mutant::ForgetPageOnRollbackFailed,
    Mutant::RollBackSuperseded,
    Mutant::BeginInTerminal,
];

type Decision = Result<Vec<Event>, Rejection>;

impl Mutant {
    pub(crate) fn decide(self, change: &Change, command: Command, given: &Given) -> Decision {
        let sound = change::decide(change, command.clone(), given);
        match self {
            Self::SkipApprovalGate => open_gate(change, sound, GateName::Approvals),
            Self::SkipFreeze => open_gate(change, sound, GateName::Windows),
            Self::SkipLane => open_gate(change, sound, GateName::Conflicts),
            Self::KeepVotesOnAmend => sound.map(keep_votes),
            Self::KeepLapsedVotes => keep_lapsed_votes(change, command, given, sound),
            Self::CountAnyEffect | Self::AuthorMayVote | Self::AmenderMayVote => {
                self.vote_anyway(change, command, given, sound)
            }
            Self::AcceptStaleReport => match (command, sound) {
                (Command::ReportApplied { step, attempt, actual }, Err(Rejection::Stale { .. })) => {
                    Ok(vec![Event::StepApplied { step, attempt, actual }])
                }
                (_, sound) => sound,
            },
            Self::AdvanceOnInsufficient => advance_on(Answer::Insufficient, change, sound),
            Self::AdvanceOnUnreachable => advance_on(Answer::Unreachable, change, sound),
            Self::PromoteOnFail => match (change.rollout(), sound) {
                (Some(rollout), Err(Rejection::VerdictIsFail { .. })) => Ok(overridden(change, rollout)),
                (_, sound) => sound,
            },
            Self::BeginInPause => match command {
                Command::BeginStep { .. } => change::decide(&unpaused(change), command, given),
                _ => sound,
            },
            Self::RetryWithoutBound => {
                without(sound, |event| matches!(event, Event::RollbackBegun { .. }), &command, is_failed_step)
            }
            Self::UndoWithoutBound => without(
                sound,
                |event| matches!(event, Event::RollbackFailed { .. } | Event::PageOwed { .. }),
                &command,
                |command| matches!(command, Command::ReportUndoFailed { attempt, .. } if *attempt >= MOST_ATTEMPTS),
            ),
            Self::ForgetPageOnRollbackFailed => without(
                sound,
                |event| matches!(event, Event::PageOwed { .. }),
                &command,
                |command| matches!(command, Command::ReportUndoFailed { .. }),
            ),
            Self::RollBackSuperseded => sound.map(|events| {
                let failed = events.iter().any(|e| matches!(e, Event::Judged(j) if j.answer == Answer::Fail));
                let superseded = change.rollout().is_some_and(|r| r.superseded_by.is_some());
                let back = Event::RollbackBegun { reason: "it fails".into() };
                events.into_iter().chain((failed && superseded).then_some(back)).collect()
            }),
            Self::BeginInTerminal => match (&change.stage, command, sound) {
                (Stage::Ended { .. }, Command::BeginStep { .. }, Err(_)) => Ok(vec![begun(change, 0, 1)]),
                (_, _, sound) => sound,
            },
        }
    }

    fn vote_anyway(self, change: &Change, command: Command, given: &Given, sound: Decision) -> Decision {
        let skipped = match &sound {
            Err(Rejection::StaleEffect { .. }) => self == Self::CountAnyEffect && given.actor != change.author,
            Err(Rejection::OwnChange { actor, .. }) if *actor == change.author => self == Self::AuthorMayVote,
            Err(Rejection::OwnChange { .. }) => self == Self::AmenderMayVote,
            _ => false,
        };
        match command {
            Command::Approve { comment, .. } if skipped => {
                let effect = change.proposal.effect_digest;
                Ok(vec![Event::Approved {
                    effect,
                    groups: given.groups.clone(),
                    on_behalf: [].into(),
                    comment,
                    signature: None,
                }])
            }
            _ => sound,
        }
    }
}

fn begun(change: &Change, step: usize, attempt: u32) -> Event {
    let weight = change.proposal.plan.steps[step].weight;
    Event::StepBegun { step, attempt, weight, effect: change.proposal.effect_digest, observed: json!(null) }
}

fn unpaused(change: &Change) -> Change {
    let mut change = change.clone();
    if let Stage::Rolling(rollout) = &mut change.stage {
        rollout.pause = None;
    }
    change
}

/// Begins the step although this gate, and no other, is closed.
fn open_gate(change: &Change, sound: Decision, skipped: GateName) -> Decision {
    let events = sound?;
    match events.as_slice() {
        [Event::Held { gates }] if gates.iter().all(|g| g.gate == skipped) => {
            let (step, attempt) = change.rollout().map_or((0, 0), |r| (r.step, r.attempt));
            Ok(vec![begun(change, step, attempt + 1)])
        }
        _ => Ok(events),
    }
}

fn keep_votes(events: Vec<Event>) -> Vec<Event> {
    let kept = |event| match event {
        Event::Amended { proposal, .. } => Some(Event::Amended { proposal, votes: Carry::Kept }),
        Event::VotesVoided { .. } => None,
        other => Some(other),
    };
    events.into_iter().filter_map(kept).collect()
}

/// Votes never lapse, neither by command nor at the gate.
fn keep_lapsed_votes(change: &Change, command: Command, given: &Given, sound: Decision) -> Decision {
    match command {
        Command::LapseVotes => Ok(vec![]),
        Command::BeginStep { .. } => {
            let mut fresh = change.clone();
            fresh.votes.iter_mut().for_each(|vote| vote.until = Timestamp::MAX);
            change::decide(&fresh, command, given)
        }
        _ => sound,
    }
}

fn advance_on(answer: Answer, change: &Change, sound: Decision) -> Decision {
    let mut events = sound?;
    let judged = events.iter().any(|e| matches!(e, Event::Judged(j) if j.answer == answer));
    if let Some(rollout) = change.rollout().filter(|_| judged) {
        events.extend(change::decision::advance(change, rollout));
    }
    Ok(events)
}

fn overridden(change: &Change, rollout: &Rollout) -> Vec<Event> {
    let (step, effect) = (rollout.step, rollout.effect);
    let event = Event::Overridden { gate: "verification".into(), step, effect, reason: "we are in a hurry".into() };
    [event].into_iter().chain(change::decision::advance(change, rollout)).collect()
}

fn is_failed_step(command: &Command) -> bool {
    matches!(command, Command::ReportFailed { .. })
}

/// Drops some of the events that follow from some commands.
fn without(
    sound: Decision,
    dropped: impl Fn(&Event) -> bool,
    command: &Command,
    of: impl Fn(&Command) -> bool,
) -> Decision {
    if !of(command) {
        return sound;
    }
    sound.map(|events| events.into_iter().filter(|event| !dropped(event)).collect())
}

/// The law that a mutant breaks first.
fn caught(mutant: Mutant) -> String {
    let world = World::new(Some(mutant));
    let checker = world.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    let (_, law) =
        LAWS.iter().find(|(_, law)| found.contains_key(law)).unwrap_or_else(|| panic!("{mutant:?} survives"));
    format!("{:<27} {law}", format!("{mutant:?}"))
}

// F2 F3 F8
#[test]
fn every_mutant_of_the_lifecycle_is_caught_by_a_law() {
    let table = MUTANTS.map(caught).join("\n");
    println!("{table}");
    expect![[r#"
        SkipApprovalGate            no step begins for an effect without its approvals
        SkipFreeze                  no step begins behind a closed gate
        SkipLane                    no step begins behind a closed gate
        KeepVotesOnAmend            no step begins for an effect without its approvals
        KeepLapsedVotes             no step begins for an effect without its approvals
        CountAnyEffect              no step begins for an effect without its approvals
        AuthorMayVote               no step begins for an effect without its approvals
        AmenderMayVote              no step begins for an effect without its approvals
        AcceptStaleReport           a report counts once for a step and attempt
        AdvanceOnInsufficient       no step begins before the one before has passed or was overridden
        AdvanceOnUnreachable        no step begins before the one before has passed or was overridden
        PromoteOnFail               a failing verdict is never overridden
        BeginInPause                nothing begins in a pause, and no step in a rollback
        RetryWithoutBound           a step is tried a bounded number of times
        UndoWithoutBound            a rollback is tried a bounded number of times
        ForgetPageOnRollbackFailed  a rollback that failed owes a page
        RollBackSuperseded          a superseded watch never rolls back by itself
        BeginInTerminal             a change that has ended begins nothing and stays ended"#]]
    .assert_eq(&table);
}
