//! The fold: what has to be remembered of each change, one small record for each.
//!
//! Takes events one by one, in the order of the log; events of different changes may come in any order between them. A record's size is bounded by the
//! plan and the number of people, not by how long a change lives. Must never judge: what counts as what is in [`report`](crate::report).

use std::collections::{BTreeMap, BTreeSet};

use change::assessment::Risk;
use change::facts::{AuthorRecord, History};
use change::proposal::{Proposal, Proposed};
use change::time::between;
use change::verification::Answer;
use change::{Actor, ChangeId, Digest, Event, Timestamp};

use crate::controls::Controls;

/// The records of all changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    pub(crate) changes: BTreeMap<ChangeId, Record>,
    pub(crate) controls: Controls,
    /// How many changes of each service have ended.
    ended: BTreeMap<String, Ended>,
}

/// How the changes of a service have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ended {
    all: u32,
    failed: u32,
}

/// What is remembered of one change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    author: Actor,
    pub(crate) services: BTreeSet<String>,
    pub(crate) is_production: bool,
    pub(crate) has_full_metadata: bool,
    pub(crate) proposed_at: Timestamp,
    /// The last event of all.
    pub(crate) last_at: Timestamp,
    assessed: Option<Assessed>,
    /// The people whose votes stand; forgotten when the first step consumes them.
    voters: BTreeSet<Actor>,
    /// When everybody had approved what was then rolled out, or waits to be.
    pub(crate) approved: Option<Approved>,
    /// The first policy that said no.
    pub(crate) denied_at: Option<Timestamp>,
    pub(crate) rollout: Option<Rollout>,
    /// At most one for each step and the watch.
    pub(crate) overrides: Vec<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Assessed {
    at: Timestamp,
    level: Risk,
    needs_people: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Approved {
    pub(crate) at: Timestamp,
    /// From when people were asked, and for which risk; nothing where nobody was.
    pub(crate) asked: Option<(Timestamp, Risk)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rollout {
    pub(crate) effect: Digest,
    pub(crate) began_at: Timestamp,
    pub(crate) by_people: bool,
    pub(crate) applied_at: Option<Timestamp>,
    pub(crate) failed_at: Option<Timestamp>,
    /// The first outcome: a rollback that failed stays one, whatever people do afterwards.
    pub(crate) outcome: Option<(Outcome, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    RolledBack,
    RollbackFailed,
}

impl Fold {
    /// Adds one event of a change. The events of one change have to come in their order; those before its `Proposed` are passed over.
    pub fn add(&mut self, id: ChangeId, event: &Event, actor: &Actor, at: Timestamp) {
        self.controls.add(id, event, actor, at);
        if let Event::Proposed(proposed) = event {
            self.changes.entry(id).or_insert_with(|| Record::new(proposed, at));
        }
        if let Some(record) = self.changes.get_mut(&id) {
            // A clock that jumps back must not make a change look finished earlier.
            record.last_at = record.last_at.max(at);
            let had_ended = record.ended().is_some();
            record.add(event, actor, at);
            if let Some((_, outcome, _)) = record.ended().filter(|_| !had_ended) {
                for service in &record.services {
                    let ended = self.ended.entry(service.clone()).or_default();
                    ended.all += 1;
                    ended.failed += u32::from(outcome != Outcome::Completed);
                }
            }
        }
    }

    /// Which share of the changes of a service that have ended has failed; nothing where none has ended.
    pub fn failure_rate(&self, service: &str) -> Option<f64> {
        self.ended.get(service).map(|ended| f64::from(ended.failed) / f64::from(ended.all))
    }

    /// How changes of these services fared up to now, in all and by this author, and whether this effect was rolled back before. A rollback that failed
    /// counts as one.
    pub fn history(&self, services: &BTreeSet<String>, effect: Digest, author: &Actor, now: Timestamp) -> History {
        let mut history = History::default();
        let mut last: Option<Timestamp> = None;
        for record in self.changes.values() {
            let Some((rollout, outcome, at)) = record.ended() else { continue };
            let failed = outcome != Outcome::Completed;
            history.same_effect_rolled_back |= failed && rollout.effect == effect;
            if record.services.is_disjoint(services) {
                continue;
            }
            history.ended += 1;
            history.rolled_back += u32::from(failed);
            if record.author == *author {
                let AuthorRecord { changes, failures } = &mut history.author;
                *changes += 1;
                *failures += u32::from(failed);
            }
            last = last.max(Some(at));
        }
        history.failure_rate = (history.ended > 0).then(|| f64::from(history.rolled_back) / f64::from(history.ended));
        history.last_change_age_days = last.map(|at| between(at, now).as_millis() as f64 / MILLIS_OF_A_DAY);
        history
    }
}

const MILLIS_OF_A_DAY: f64 = 86_400_000.0;

impl Record {
    fn new(proposed: &Proposed, at: Timestamp) -> Self {
        let mut record = Self {
            author: proposed.author.clone(),
            services: BTreeSet::new(),
            is_production: false,
            has_full_metadata: false,
            proposed_at: at,
            last_at: at,
            assessed: None,
            voters: BTreeSet::new(),
            approved: None,
            denied_at: None,
            rollout: None,
            overrides: vec![],
        };
        record.propose(&proposed.proposal);
        record
    }

    /// Its rollout and the first outcome of it, once it has one.
    fn ended(&self) -> Option<(&Rollout, Outcome, Timestamp)> {
        let rollout = self.rollout.as_ref()?;
        rollout.outcome.map(|(outcome, at)| (rollout, outcome, at))
    }

    fn propose(&mut self, proposal: &Proposal) {
        let has_source = proposal.commit.is_some() || proposal.artifact.is_some();
        let can_go_back = proposal.rollback.automatic || proposal.rollback.runbook.is_some();
        self.services.clone_from(&proposal.services);
        self.is_production = proposal.environment == "production";
        self.has_full_metadata = !proposal.owner.is_empty() && has_source && !proposal.verify.is_empty() && can_go_back;
    }

    fn add(&mut self, event: &Event, actor: &Actor, at: Timestamp) {
        match event {
            Event::Amended { proposal, votes } => {
                self.propose(proposal);
                (self.assessed, self.approved) = (None, None);
                if *votes == change::proposal::Carry::Void {
                    self.voters.clear();
                }
            }
            Event::Assessed(assessment) => {
                let needs_people = !assessment.requires.is_empty();
                self.assessed = Some(Assessed { at, level: assessment.level, needs_people });
                if !assessment.allows() {
                    self.denied_at.get_or_insert(at);
                }
            }
            Event::Approved { .. } if actor.user().is_some() => {
                self.voters.insert(actor.clone());
            }
            Event::VotesVoided { voters, .. } => {
                self.voters.retain(|voter| !voters.contains(voter));
                self.approved = None;
            }
            // The core schedules a change the moment that its last approval is in.
            Event::Scheduled { .. } => {
                let asked = self.assessed.filter(|a| a.needs_people).map(|a| (a.at, a.level));
                self.approved = Some(Approved { at, asked });
            }
            Event::StepBegun { effect, .. } if self.rollout.is_none() => {
                let by_people = !std::mem::take(&mut self.voters).is_empty();
                self.rollout = Some(Rollout {
                    effect: *effect,
                    began_at: at,
                    by_people,
                    applied_at: None,
                    failed_at: None,
                    outcome: None,
                });
            }
            Event::Overridden { .. } => self.overrides.push(at),
            in_rollout => {
                if let Some(rollout) = &mut self.rollout {
                    rollout.add(in_rollout, at);
                }
            }
        }
    }
}

impl Rollout {
    fn add(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::StepApplied { .. } => {
                self.applied_at.get_or_insert(at);
            }
            Event::Judged(judgement) if judgement.answer == Answer::Fail => {
                self.failed_at.get_or_insert(at);
            }
            Event::Completed => self.end(Outcome::Completed, at),
            Event::RolledBack { .. } => self.end(Outcome::RolledBack, at),
            Event::RollbackFailed { .. } | Event::CompletedByHand { .. } => self.end(Outcome::RollbackFailed, at),
            _ => {}
        }
    }

    fn end(&mut self, outcome: Outcome, at: Timestamp) {
        self.outcome.get_or_insert((outcome, at));
    }
}
