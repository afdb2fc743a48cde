//! An exhaustive check of a small world: every order of everything that can happen to one change.
//!
//! The world: two effects, three people of whom one is the author, a plan of two steps and its watch, at most two amendments, approvals by nobody,
//! one or two people, one rollback that is automatic and one that is not, at most two unknown outcomes, at most two rollbacks by hand, and time that
//! is fresh or lapsed. The laws are kept by a [`Witness`] that sees nothing but what was asked and the events that followed. What the check leaves
//! out of a state is in [`forget`], and a property elsewhere shows that no decision depends on it.

use std::hash::{Hash, Hasher};

use change::actor::Part;
use change::gate::{Gate, GateState, Readiness};
use change::lifecycle::{Command, End, Event, Found, Given, Phase, Rejection, Stage};
use change::proposal::Proposal;
use change::rollout::{Back, BackState, Failure, MOST_ATTEMPTS, PauseReason, Rollout, StepState};
use change::time::{Span, Timestamp, after};
use change::verification::{Answer, OnDoubt};
use change::{Actor, Change};
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::mutants::Mutant;
use crate::world::{
    DAY, ID, Life, OTHER, VOTERS, allowed, denied, fold, freeze, judge, lane_of, open, part, proposal, sealed, start,
    user,
};

const EFFECTS: [&str; 2] = ["shop@sha256:aa", "shop@sha256:bb"];
const TITLES: [&str; 2] = ["a title", "another title"];
const MOST_AMENDMENTS: u8 = 2;

/// What policy may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Policy {
    Needs(u8),
    Denies,
}

/// What surrounds the beginning of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Around {
    Open,
    Frozen,
    NotReady,
    LaneTaken,
}

/// Everything that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Time passes: what was fresh has lapsed, what was to come is due.
    Age,
    AmendEffect {
        by: usize,
    },
    AmendTitle,
    Withdraw,
    Assess(Policy),
    /// A yes to an effect that the voter has seen, which need not be the one of now.
    Approve {
        by: usize,
        effect: usize,
    },
    Refuse,
    LapseVotes,
    Lapse,
    Schedule,
    BeginStep(Around),
    Applied,
    Failed(Failure),
    /// The last report once more, from a process that did not hear that it had arrived.
    AppliedAgain,
    FailedAgain,
    Judge(Answer),
    /// A `pass` for the attempt before.
    JudgeLate,
    Pause,
    Resume(Option<Found>),
    Promote,
    Rollback,
    BeginUndo,
    Undone,
    UndoFailed(Failure),
    CompleteByHand,
    Supersede,
    Paged,
}

/// What must hold in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Law {
    Approvals,
    Order,
    Gates,
    Pauses,
    Attempts,
    Once,
    FailingStays,
    UndoBound,
    PageOwed,
    Superseded,
    Ended,
}

pub(crate) const LAWS: [(Law, &str); 11] = [
    (Law::Approvals, "no step begins for an effect without its approvals"),
    (Law::Order, "no step begins before the one before has passed or was overridden"),
    (Law::Gates, "no step begins behind a closed gate"),
    (Law::Pauses, "nothing begins in a pause, and no step in a rollback"),
    (Law::Attempts, "a step is tried a bounded number of times"),
    (Law::Once, "a report counts once for a step and attempt"),
    (Law::FailingStays, "a failing verdict is never overridden"),
    (Law::UndoBound, "a rollback is tried a bounded number of times"),
    (Law::PageOwed, "a rollback that failed owes a page"),
    (Law::Superseded, "a superseded watch never rolls back by itself"),
    (Law::Ended, "a change that has ended begins nothing and stays ended"),
];

/// Sees what was asked and what followed, and keeps its own account. It shares no rule with the code that it watches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// Which of the two effects is proposed.
    effect: usize,
    /// Who wrote any part of it.
    wrote: [bool; 3],
    /// The effect to which each person, and automation as the fourth, has freshly said yes since it was last amended.
    yes: [Option<usize>; 4],
    assessed: Option<Policy>,
    amendments: u8,
    rolling: Option<usize>,
    /// The last step and attempt that were begun.
    begun: Option<(usize, u32)>,
    /// Attempts that a person has asked for after an unknown outcome.
    granted: u32,
    /// The last answer for the step that is verified.
    answer: Option<Answer>,
    cleared: bool,
    /// How many steps are behind.
    passed: usize,
    reported: bool,
    paused: bool,
    back: bool,
    undos: u32,
    unknown: u8,
    by_hand: u8,
    superseded: bool,
    ended: Option<Phase>,
    broken: Option<Law>,
}

impl Witness {
    fn see(&mut self, action: Action, actor: &Actor, event: &Event, proposals: &[Proposal; 2]) {
        if self.ended.is_some() && matches!(event, Event::StepBegun { .. }) {
            return self.breaks(Law::Ended);
        }
        match event {
            Event::Amended { proposal, .. } => self.amended(action, proposal.artifact.as_deref()),
            Event::Assessed(_) => {
                if let Action::Assess(policy) = action {
                    self.assessed = Some(policy);
                }
            }
            Event::Approved { .. } => match action {
                Action::Approve { by, effect } => self.yes[by] = Some(effect),
                _ => self.yes[3] = Some(self.effect),
            },
            Event::StepBegun { step, attempt, effect, .. } => {
                let other = self.rolling.is_some_and(|rolling| rolling != self.effect);
                if other || proposals[self.effect].effect_digest != *effect {
                    self.breaks(Law::Approvals);
                }
                self.step_begun(action, *step, *attempt);
            }
            Event::StepApplied { step, attempt, .. } | Event::StepFailed { step, attempt, .. } => {
                if self.reported || self.begun != Some((*step, *attempt)) {
                    self.breaks(Law::Once);
                }
                self.reported = true;
                if matches!(event, Event::StepFailed { failure: Failure::Unknown, .. }) {
                    self.unknown += 1;
                }
            }
            Event::Judged(judgement) => {
                self.answer = Some(judgement.answer);
                self.cleared = judgement.answer == Answer::Pass;
            }
            Event::Overridden { .. } => {
                if self.answer == Some(Answer::Fail) {
                    self.breaks(Law::FailingStays);
                }
                self.cleared = true;
            }
            Event::Advanced { step } => {
                if !self.cleared || *step != self.passed {
                    self.breaks(Law::Order);
                }
                self.passed = step + 1;
                (self.cleared, self.answer, self.granted) = (false, None, 0);
            }
            Event::Paused { .. } => self.paused = true,
            Event::Resumed { found } => {
                self.paused = false;
                self.granted += u32::from(*found == Some(Found::NotApplied) && !self.back);
            }
            Event::RollbackBegun { .. } => {
                if self.superseded && action != Action::Rollback {
                    self.breaks(Law::Superseded);
                }
                self.by_hand += u8::from(matches!(actor, Actor::User(_)));
                (self.back, self.paused, self.undos) = (true, false, 0);
            }
            Event::UndoBegun { .. } => {
                self.undos += 1;
                if self.undos > MOST_ATTEMPTS {
                    self.breaks(Law::UndoBound);
                }
                if self.paused {
                    self.breaks(Law::Pauses);
                }
            }
            Event::WatchSuperseded { .. } => self.superseded = true,
            _ => {}
        }
    }

    fn breaks(&mut self, law: Law) {
        self.broken.get_or_insert(law);
    }

    fn amended(&mut self, action: Action, artifact: Option<&str>) {
        self.amendments += 1;
        self.assessed = None;
        let effect = EFFECTS.iter().position(|e| Some(*e) == artifact).expect("one of the two effects");
        if let Action::AmendEffect { by } = action {
            (self.effect, self.yes) = (effect, [None; 4]);
            self.wrote[by] = true;
        }
    }

    fn step_begun(&mut self, action: Action, step: usize, attempt: u32) {
        let Action::BeginStep(around) = action else { return self.breaks(Law::Gates) };
        let first = self.rolling.is_none();
        match around {
            Around::Frozen | Around::LaneTaken => self.breaks(Law::Gates),
            Around::NotReady if first => self.breaks(Law::Gates),
            Around::NotReady | Around::Open => {}
        }
        if self.paused || self.back {
            self.breaks(Law::Pauses);
        }
        if first && !self.is_approved() {
            self.breaks(Law::Approvals);
        }
        if step != self.passed {
            self.breaks(Law::Order);
        }
        if attempt > MOST_ATTEMPTS + self.granted {
            self.breaks(Law::Attempts);
        }
        self.rolling = Some(self.effect);
        (self.begun, self.reported, self.answer, self.cleared) = (Some((step, attempt)), false, None, false);
    }

    fn is_approved(&self) -> bool {
        let Some(Policy::Needs(needed)) = self.assessed else { return false };
        let here = |by: usize| self.yes[by] == Some(self.effect);
        let people = (0..3).filter(|by| here(*by) && !self.wrote[*by]).count();
        people >= usize::from(needed) && (people > 0 || here(3))
    }

    /// Looks at the state after a batch.
    fn look(&mut self, change: &Change, events: &[Event]) {
        let phase = change.phase();
        if self.ended.is_some_and(|ended| ended != phase) {
            self.breaks(Law::Ended);
        }
        self.ended = phase.is_terminal().then_some(phase);
        let failed = events.iter().any(|e| matches!(e, Event::RollbackFailed { .. }));
        let unsent = change.pages.iter().any(|(key, page)| is_about_rollback(key) && page.sent_at.is_none());
        if failed && !unsent {
            self.breaks(Law::PageOwed);
        }
    }

    fn age(&mut self) {
        self.yes = [None; 4];
    }

    /// What stands before a rollout does not matter in it, and nothing does after the end.
    fn forget(&mut self) {
        if self.rolling.is_some() {
            (self.wrote, self.yes, self.assessed, self.amendments) = ([true; 3], [None; 4], None, MOST_AMENDMENTS);
        }
        if self.ended.is_some() {
            *self = Self { ended: self.ended, broken: self.broken, effect: self.effect, ..Self::default() };
        }
    }
}

fn is_about_rollback(key: &str) -> bool {
    key.contains("/rollback")
}

/// A change, and what its witness has seen.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) change: Change,
    pub(crate) witness: Witness,
}

/// Takes out of a state what no decision depends on: votes that were consumed, prose, counters of the log, and everything about an end but the end.
pub(crate) fn forget(change: &mut Change) {
    change.version = 1;
    change.revision = 1;
    change.updated_at = start();
    change.pages.retain(|key, _| is_about_rollback(key));
    change.pages.values_mut().for_each(|page| page.reason.clear());
    change.votes.iter_mut().for_each(|vote| vote.comment = None);
    if let Some(hold) = &mut change.hold {
        hold.since = start();
        hold.gates.iter_mut().for_each(forget_gate);
    }
    match &mut change.stage {
        Stage::Waiting | Stage::Scheduled { .. } => return,
        Stage::Rolling(rollout) => {
            forget_rollout(rollout);
        }
        Stage::Ended { reason, rollout, .. } => {
            (*reason, *rollout) = (String::new(), None);
            change.pages.clear();
        }
    }
    change.proposal.title = TITLES[0].to_owned();
    change.votes.clear();
    change.amended_by.clear();
    change.assessment.iter_mut().for_each(|a| a.assessment.requires.clear());
}

fn forget_gate(gate: &mut Gate) {
    for state in std::iter::once(&mut gate.state).chain(&mut gate.obstacles) {
        if let GateState::Closed { reason, opens_at, who_can, .. } = state {
            (*reason, *opens_at, *who_can) = (String::new(), None, None);
        }
    }
}

fn forget_rollout(rollout: &mut Rollout) {
    (rollout.started_at, rollout.before) = (start(), json!(null));
    match &mut rollout.state {
        StepState::Ready => {}
        StepState::Begun { since } | StepState::Applied { since, .. } => *since = start(),
        StepState::Retrying { error, .. } | StepState::Unknown { error } => error.clear(),
    }
    if let Some(judgement) = &mut rollout.judgement {
        (judgement.why, judgement.at) = (String::new(), start());
        (judgement.evidence, judgement.harm, judgement.safety) = (0.0, 0.0, 0.0);
    }
    if let Some(pause) = &mut rollout.pause {
        (pause.by, pause.reason, pause.since) = (user("bob"), String::new(), start());
    }
    if let Some(back) = &mut rollout.back {
        (back.by, back.reason, back.since) = (user("bob"), String::new(), start());
        match &mut back.state {
            BackState::Waiting { .. } => {}
            BackState::Begun { since } => *since = start(),
            BackState::Failed { error } => error.clear(),
        }
    }
}

/// Times are fresh, lapsed or to come; of each there is one.
fn settle(at: &mut Timestamp, aged: bool) {
    let (fresh, lapsed, to_come) = (start(), after(Timestamp::UNIX_EPOCH, DAY), after(start(), Span::secs(1)));
    *at = match (*at <= lapsed, *at > fresh, aged) {
        (true, ..) | (_, false, true) => lapsed,
        (_, true, true) | (_, false, false) => fresh,
        (_, true, false) => to_come,
    };
    if aged && *at == fresh {
        *at = lapsed;
    }
}

fn settle_times(change: &mut Change, aged: bool) {
    for vote in &mut change.votes {
        settle(&mut vote.at, aged);
        vote.until = change::approval::counts_until(vote.at, vote.at);
    }
    change.assessment.iter_mut().for_each(|a| settle(&mut a.at, aged));
    match &mut change.stage {
        Stage::Scheduled { not_before } => settle(not_before, aged),
        Stage::Rolling(rollout) => settle_rollout(rollout, aged),
        Stage::Waiting | Stage::Ended { .. } => {}
    }
}

fn settle_rollout(rollout: &mut Rollout, aged: bool) {
    rollout.evidence_at.iter_mut().for_each(|at| settle(at, aged));
    match &mut rollout.state {
        StepState::Retrying { at, .. } => settle(at, aged),
        StepState::Applied { deadline_from, .. } => settle(deadline_from, aged),
        StepState::Ready | StepState::Begun { .. } | StepState::Unknown { .. } => {}
    }
    if let Some(Back { state: BackState::Waiting { at }, .. }) = &mut rollout.back {
        settle(at, aged);
    }
}

// Every field is named, so that a new one has to be considered: either it is part of the key, or no decision depends on it.
impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.witness.hash(into);
        let Change {
            id: _,
            uid: _,
            author: _,
            amended_by,
            committers: _,
            more_committers: _,
            proposed_at: _,
            revision: _,
            proposal,
            assessment,
            votes,
            // Governance has a small world of its own, in which these move.
            asked: _,
            requested: _,
            set_aside: _,
            hand: _,
            ticked: _,
            exceptions,
            spent: _,
            stage,
            hold,
            veto,
            other_vetoes,
            pages,
            debts,
            version: _,
            updated_at: _,
            planned_at: _,
            // Releases have a world of their own.
            release: _,
        } = &self.change;
        (&proposal.artifact, &proposal.title, proposal.rollback.automatic, amended_by).hash(into);
        assessment.as_ref().map(|a| (a.at.as_second(), a.assessment.allows(), &a.assessment.requires)).hash(into);
        votes.iter().for_each(|v| (&v.voter, v.effect, &v.groups, v.at.as_second()).hash(into));
        let closed = hold.iter().flat_map(|h| &h.gates).map(|g| (g.gate, g.code()));
        (hold.is_some(), closed.collect::<Vec<_>>()).hash(into);
        pages.iter().for_each(|(key, page)| (key, page.sent_at.is_some()).hash(into));
        (debts.is_empty(), exceptions).hash(into);
        veto.iter().chain(other_vetoes).for_each(|veto| (&veto.by, veto.until.as_second()).hash(into));
        match stage {
            Stage::Waiting => 0.hash(into),
            Stage::Scheduled { not_before } => (1, not_before.as_second()).hash(into),
            Stage::Rolling(rollout) => hash_rollout(rollout, into),
            Stage::Ended { end, reason: _, rollout } => (3, end, rollout.is_some()).hash(into),
        }
    }
}

fn hash_rollout<H: Hasher>(rollout: &Rollout, into: &mut H) {
    let Rollout {
        effect,
        started_at: _,
        before: _,
        step,
        attempt,
        state,
        judgement,
        evidence_at,
        pause,
        back,
        superseded_by,
        taken_back: _,
        passed_at: _,
        closed,
        halted_by,
    } = rollout;
    (closed, halted_by).hash(into);
    (2, effect, step, attempt, superseded_by.is_some(), pause.as_ref().map(|p| p.why)).hash(into);
    (judgement.as_ref().map(|j| j.answer), evidence_at.map(Timestamp::as_second)).hash(into);
    match state {
        StepState::Ready => 0.hash(into),
        StepState::Begun { since: _ } => 1.hash(into),
        StepState::Retrying { at, error: _ } => (2, at.as_second()).hash(into),
        StepState::Unknown { error: _ } => 3.hash(into),
        StepState::Applied { since: _, deadline_from } => (4, deadline_from.as_second()).hash(into),
    }
    match back.as_ref().map(|b| (b.attempt, &b.state)) {
        None => 0.hash(into),
        Some((attempt, BackState::Waiting { at })) => (1, attempt, at.as_second()).hash(into),
        Some((attempt, BackState::Begun { since: _ })) => (2, attempt).hash(into),
        Some((attempt, BackState::Failed { error: _ })) => (3, attempt).hash(into),
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.change == other.change && self.witness == other.witness
    }
}

/// The small world, with a lifecycle that is sound or has one fault.
#[derive(Debug)]
pub(crate) struct World {
    mutant: Option<Mutant>,
    most_amendments: u8,
    /// How many outcomes may be unknown.
    most_unknown: u8,
    /// How many rollbacks people may begin.
    most_by_hand: u8,
    people: [Given; 3],
    /// By whoever asks it, which is a part of Clearway.
    parts: [Given; 5],
    rollout: [(Around, Given); 4],
    automatic: [Proposal; 2],
    by_hand: [Proposal; 2],
}

const PARTS: [Part; 5] = [Part::Policy, Part::Clock, Part::Rollout, Part::Judge, Part::Notify];

impl World {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        let around = |around: Around| {
            let mut given = open(Actor::Clearway(Part::Rollout), start());
            match around {
                Around::Open => {}
                Around::Frozen => given.frozen = vec![freeze(after(start(), DAY))],
                Around::NotReady => given.readiness = Readiness::NotReady { problems: vec!["no telemetry".into()] },
                Around::LaneTaken => given.lanes = vec![lane_of(OTHER)],
            }
            (around, given)
        };
        Self {
            mutant,
            // No mutant needs more than this to be seen, and there are many of them.
            most_amendments: match mutant {
                None | Some(Mutant::KeepVotesOnAmend | Mutant::AmenderMayVote) => MOST_AMENDMENTS,
                Some(_) => 0,
            },
            most_unknown: if mutant.is_some() { 0 } else { 2 },
            most_by_hand: if mutant.is_some() { 1 } else { 2 },
            people: VOTERS.map(|name| open(user(name), start())),
            parts: PARTS.map(|part| open(Actor::Clearway(part), start())),
            rollout: [Around::Open, Around::Frozen, Around::NotReady, Around::LaneTaken].map(around),
            automatic: EFFECTS.map(automatic),
            by_hand: EFFECTS.map(by_hand),
        }
    }

    fn given(&self, action: Action, command: &Command) -> &Given {
        let by = match action {
            Action::AmendEffect { by } | Action::Approve { by, .. } => by,
            Action::AmendTitle | Action::Withdraw => 0,
            Action::BeginStep(around) => {
                return &self.rollout.iter().find(|(a, _)| *a == around).expect("each is listed").1;
            }
            _ => 1,
        };
        match part(command) {
            None => &self.people[by],
            Some(part) => &self.parts[PARTS.iter().position(|p| *p == part).expect("each is listed")],
        }
    }

    /// The two proposals that there are in the world of this one.
    fn proposals(&self, proposal: &Proposal) -> &[Proposal; 2] {
        if proposal.rollback.automatic { &self.automatic } else { &self.by_hand }
    }

    fn command(&self, state: &State, action: Action) -> Option<Command> {
        let (change, witness) = (&state.change, &state.witness);
        let effect = change.proposal.effect_digest;
        let reason = || "because".to_owned();
        let (step, attempt) = change.any_rollout().map_or((0, 1), |r| (r.step, r.attempt));
        let (last_step, last_attempt) = witness.begun.unwrap_or((0, 1));
        let undo = change.any_rollout().and_then(|r| r.back.as_ref()).map_or(1, |b| b.attempt);
        let failed = |step, attempt, failure| Command::ReportFailed { step, attempt, failure, error: reason() };
        Some(match action {
            Action::Age => return None,
            Action::AmendEffect { .. } => {
                Command::Amend { proposal: Box::new(self.other_effect(&change.proposal)), revision: None }
            }
            Action::AmendTitle => {
                let mut proposal = change.proposal.clone();
                proposal.title = if proposal.title == TITLES[0] { TITLES[1] } else { TITLES[0] }.to_owned();
                Command::Amend { proposal: Box::new(proposal), revision: None }
            }
            Action::Withdraw => Command::Withdraw { reason: reason() },
            Action::Assess(Policy::Needs(count)) => Command::Assess(Box::new(allowed(effect, count))),
            Action::Assess(Policy::Denies) => Command::Assess(Box::new(denied(effect))),
            Action::Approve { effect, .. } => Command::Approve {
                effect: self.proposals(&change.proposal)[effect].effect_digest,
                comment: None,
                signature: None,
            },
            Action::Refuse => Command::Refuse { reason: reason() },
            Action::LapseVotes => Command::LapseVotes,
            Action::Lapse => Command::Lapse,
            Action::Schedule => Command::Schedule,
            Action::BeginStep(_) => Command::BeginStep { observed: json!(null) },
            Action::Applied => Command::ReportApplied { step, attempt, actual: json!(null) },
            Action::Failed(failure) => failed(step, attempt, failure),
            Action::AppliedAgain => {
                Command::ReportApplied { step: last_step, attempt: last_attempt, actual: json!(null) }
            }
            Action::FailedAgain => failed(last_step, last_attempt, Failure::Retry),
            Action::Judge(answer) => judge(answer, step, attempt, start()),
            Action::JudgeLate => judge(Answer::Pass, step, attempt.saturating_sub(1), start()),
            Action::Pause => Command::Pause { reason: reason() },
            Action::Resume(found) => Command::Resume { found },
            Action::Promote => Command::Promote { reason: reason() },
            Action::Rollback => Command::Rollback { reason: reason() },
            Action::BeginUndo => Command::BeginUndo,
            Action::Undone => Command::ReportUndone { observed: json!(null) },
            Action::UndoFailed(failure) => Command::ReportUndoFailed { attempt: undo, failure, error: reason() },
            Action::CompleteByHand => Command::CompleteByHand { evidence: reason() },
            Action::Supersede => Command::SupersedeWatch { by: OTHER },
            Action::Paged => {
                let key = change.pages.keys().next().cloned()?;
                Command::ReportPaged { key, channel: "pager".into(), to: [].into() }
            }
        })
    }

    fn other_effect(&self, proposal: &Proposal) -> Proposal {
        let other = self.proposals(proposal).iter().find(|p| p.effect_digest != proposal.effect_digest);
        Proposal { title: proposal.title.clone(), ..other.expect("there are two").clone() }
    }

    fn decide(&self, change: &Change, command: Command, given: &Given) -> Result<Vec<Event>, Rejection> {
        match self.mutant {
            None => change::decide(change, command, given),
            Some(mutant) => mutant.decide(change, command, given),
        }
    }
}

fn automatic(artifact: &str) -> Proposal {
    let mut proposal = proposal(artifact);
    proposal.verify.on_insufficient = OnDoubt::Rollback;
    titled(proposal)
}

fn by_hand(artifact: &str) -> Proposal {
    let mut proposal = proposal(artifact);
    proposal.rollback.automatic = false;
    titled(proposal)
}

fn titled(proposal: Proposal) -> Proposal {
    sealed(Proposal { title: TITLES[0].to_owned(), ..proposal })
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let begin = |proposal: Proposal| {
            let mut change = Life::begin(ID, proposal).change;
            forget(&mut change);
            State { change, witness: Witness { wrote: [true, false, false], ..Witness::default() } }
        };
        vec![begin(automatic(EFFECTS[0])), begin(by_hand(EFFECTS[0]))]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let witness = &state.witness;
        if witness.broken.is_some() {
            return;
        }
        out.push(Action::Age);
        if witness.amendments < self.most_amendments {
            out.extend([Action::AmendEffect { by: 0 }, Action::AmendEffect { by: 1 }, Action::AmendTitle]);
        }
        out.extend([0, 1, 2].map(|count| Action::Assess(Policy::Needs(count))));
        out.push(Action::Assess(Policy::Denies));
        out.extend((0..VOTERS.len()).flat_map(|by| [0, 1].map(|effect| Action::Approve { by, effect })));
        out.extend([Action::Withdraw, Action::Refuse, Action::LapseVotes, Action::Lapse, Action::Schedule]);
        out.extend(self.rollout.iter().map(|(around, _)| Action::BeginStep(*around)));
        out.extend([Action::Applied, Action::AppliedAgain, Action::FailedAgain]);
        out.extend([Action::Failed(Failure::Retry), Action::Failed(Failure::Final)]);
        if witness.unknown < self.most_unknown {
            out.push(Action::Failed(Failure::Unknown));
        }
        out.extend([Answer::Pass, Answer::Fail, Answer::Insufficient, Answer::Unreachable].map(Action::Judge));
        out.extend([Action::JudgeLate, Action::Pause, Action::Promote]);
        out.extend([None, Some(Found::Applied), Some(Found::NotApplied)].map(Action::Resume));
        if witness.by_hand < self.most_by_hand {
            out.push(Action::Rollback);
        }
        out.extend([Action::BeginUndo, Action::Undone]);
        out.extend([Failure::Retry, Failure::Final].map(Action::UndoFailed));
        out.extend([Action::CompleteByHand, Action::Supersede, Action::Paged]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        if action == Action::Age {
            let mut next = last.clone();
            settle_times(&mut next.change, true);
            next.witness.age();
            return Some(next);
        }
        let command = self.command(last, action)?;
        let given = self.given(action, &command);
        let events = self.decide(&last.change, command, given).ok().filter(|events| !events.is_empty())?;
        let change = fold(&last.change, &events, &given.actor, given.now);
        let mut next = State { change, witness: last.witness.clone() };
        let proposals = self.proposals(&last.change.proposal);
        events.iter().for_each(|event| next.witness.see(action, &given.actor, event, proposals));
        next.witness.look(&next.change, &events);
        settle_times(&mut next.change, false);
        forget(&mut next.change);
        next.witness.forget();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = laws();
        if self.mutant.is_none() {
            all.extend(PLACES.iter().zip(reaches()).map(|((name, _), reached)| Property::sometimes(name, reached)));
        }
        all
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.change.any_rollout().is_none_or(|r| r.attempt <= MOST_ATTEMPTS + 2)
    }
}

fn keeps<const LAW: usize>(_: &World, state: &State) -> bool {
    state.witness.broken != Some(LAWS[LAW].0)
}

fn laws() -> Vec<Property<World>> {
    let checks: [fn(&World, &State) -> bool; LAWS.len()] = [
        keeps::<0>,
        keeps::<1>,
        keeps::<2>,
        keeps::<3>,
        keeps::<4>,
        keeps::<5>,
        keeps::<6>,
        keeps::<7>,
        keeps::<8>,
        keeps::<9>,
        keeps::<10>,
    ];
    LAWS.iter().zip(checks).map(|((_, name), check)| Property::always(name, check)).collect()
}

type Place = (&'static str, fn(&Change) -> bool);

/// Places that a check of everything has to come to; were one never reached, its laws would hold for nothing.
const PLACES: [Place; 12] = [
    ("a change is held before its rollout", |c| c.phase() == Phase::Held { step: None }),
    ("a change is held before its second step", |c| c.phase() == Phase::Held { step: Some(1) }),
    ("a change waits for a second vote", |c| c.phase() == Phase::Assessed && c.votes.len() == 1),
    ("the second step is tried for the third time", |c| c.rollout().is_some_and(|r| (r.step, r.attempt) == (1, 3))),
    ("a step is tried once more than allowed, because a person said so", |c| {
        c.rollout().is_some_and(|r| r.attempt > MOST_ATTEMPTS)
    }),
    ("a person pauses a rollback", |c| c.is_rolling_back() && matches!(c.phase(), Phase::Paused { .. })),
    ("a failed verdict waits for a person", |c| {
        c.rollout().and_then(|r| r.pause.as_ref()).is_some_and(|p| p.why == PauseReason::Verdict)
    }),
    ("a watch is superseded", |c| {
        c.phase() == Phase::Watching && c.rollout().is_some_and(|r| r.superseded_by.is_some())
    }),
    ("a rollback fails", |c| c.phase() == Phase::RollbackFailed),
    ("a change is completed", |c| c.phase() == Phase::Completed),
    ("a change is rolled back", |c| c.phase() == Phase::RolledBack),
    ("a change lapses", |c| matches!(c.stage, Stage::Ended { end: End::Lapsed, .. })),
];

fn reached<const PLACE: usize>(_: &World, state: &State) -> bool {
    PLACES[PLACE].1(&state.change)
}

fn reaches() -> [fn(&World, &State) -> bool; PLACES.len()] {
    [
        reached::<0>,
        reached::<1>,
        reached::<2>,
        reached::<3>,
        reached::<4>,
        reached::<5>,
        reached::<6>,
        reached::<7>,
        reached::<8>,
        reached::<9>,
        reached::<10>,
        reached::<11>,
    ]
}

// LC3 LC5 LC7 F2 F3 F8
#[test]
fn no_order_of_events_breaks_a_law_in_the_small_world() {
    let checker = World::new(None).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{} states, {} transitions, {} deep",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
    assert!(checker.unique_state_count() > 200_000, "the world has shrunk: a cap or a missing action hides most of it");
}
