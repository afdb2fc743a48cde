//! Controls: how long do approvals take, whom is one waited for, what is blocked, overridden and still owed?
//!
//! A fold of its own beside [`fold`](crate::fold), over the same events: M4 by risk and by group, X2's table of who is waited for longest, what M7 finds
//! missing, and M12. A record is bounded by the people and the requirements of a change. Must never guess: a group that was not asked has no time, and
//! fewer than five times have no median. The figures of a period are made in [`control_report`](crate::control_report).

use std::collections::{BTreeMap, BTreeSet};

use change::aftermath;
use change::approval::{self, Asked, AskedFor, Vote};
use change::assessment::{Assessment, Requirement, Risk};
use change::governance::Asks;
use change::proposal::{Carry, Kind, Proposal};
use change::time::Span;
use change::{Actor, ChangeId, Digest, Event, Timestamp};

/// The records of all changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Controls {
    pub(crate) changes: BTreeMap<ChangeId, Record>,
}

/// What is remembered of one change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) environment: String,
    pub(crate) kind: Kind,
    services: BTreeSet<String>,
    owner: String,
    is_emergency: bool,
    /// Of the newest assessment, and when that was made.
    pub(crate) risk: Option<(Risk, Timestamp)>,
    effect: Digest,
    requires: Vec<Requirement>,
    asked: AskedFor,
    votes: Vec<Vote>,
    /// One for each requirement of the newest assessment that somebody had to meet.
    pub(crate) waits: Vec<Wait>,
    pub(crate) missing: BTreeSet<Part>,
    /// When each rule said no for the first time, by its code; at most as many as are kept.
    pub(crate) blocks: BTreeMap<String, Timestamp>,
    /// The gate that was overridden, and when.
    pub(crate) overrides: Vec<(String, Timestamp)>,
    /// When it went through the emergency lane, if it did.
    pub(crate) emergency: Option<Timestamp>,
    /// When each debt was owed, by when, and when it was paid.
    pub(crate) debts: BTreeMap<aftermath::Debt, Debt>,
    pub(crate) rollout_ended_at: Option<Timestamp>,
}

/// A group that was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    pub(crate) group: String,
    pub(crate) risk: Risk,
    pub(crate) asked_at: Timestamp,
    /// When its last vote came, and whose it was.
    pub(crate) met: Option<(Timestamp, Actor)>,
    /// When it was no longer asked, with or without an answer.
    pub(crate) closed_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Debt {
    pub(crate) since: Timestamp,
    pub(crate) due: Timestamp,
    pub(crate) done_at: Option<Timestamp>,
}

/// What the record of a change should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Owner,
    Source,
    Services,
    RollbackPlan,
    Verification,
    Links,
}

/// The most codes of denials that are kept of one change; more come from a policy that makes them up.
const MOST_BLOCKS: usize = 50;
/// At most one for each step and the watch, and some for rules.
const MOST_OVERRIDES: usize = 100;

impl Controls {
    pub(crate) fn add(&mut self, id: ChangeId, event: &Event, actor: &Actor, at: Timestamp) {
        if let Event::Proposed(proposed) = event {
            self.changes.entry(id).or_insert_with(|| Record::new(&proposed.proposal));
        }
        if let Some(record) = self.changes.get_mut(&id) {
            record.add(event, actor, at);
        }
    }
}

impl Record {
    fn new(proposal: &Proposal) -> Self {
        Self {
            environment: proposal.environment.clone(),
            kind: proposal.kind,
            services: proposal.services.clone(),
            owner: proposal.owner.clone(),
            is_emergency: proposal.course.emergency().is_some(),
            risk: None,
            effect: proposal.effect_digest,
            requires: vec![],
            asked: AskedFor::new(),
            votes: vec![],
            waits: vec![],
            missing: missing(proposal),
            blocks: BTreeMap::new(),
            overrides: vec![],
            emergency: None,
            debts: BTreeMap::new(),
            rollout_ended_at: None,
        }
    }

    fn add(&mut self, event: &Event, actor: &Actor, at: Timestamp) {
        match event {
            Event::Amended { proposal, votes } => self.amend(proposal, *votes, at),
            Event::Assessed(assessment) => self.assess(assessment, at),
            Event::Approved { effect, groups, on_behalf, signature, .. } => {
                let vote = Vote {
                    voter: actor.clone(),
                    effect: *effect,
                    groups: groups.clone(),
                    on_behalf: on_behalf.clone(),
                    comment: None,
                    // Only whether there is one counts here.
                    signature: signature.as_ref().map(|_| no_signature()),
                    at,
                    until: Timestamp::MAX,
                };
                self.votes.retain(|v| v.voter != *actor);
                self.votes.push(vote);
                self.settle(at, actor);
            }
            Event::VotesVoided { voters, .. } => self.votes.retain(|vote| !voters.contains(&vote.voter)),
            Event::TakenBack { .. } => self.votes.retain(|vote| vote.voter != *actor),
            Event::Escalated { by, .. } => {
                let next = |asked: &mut Asked| *asked = Asked { escalated: asked.escalated + 1, ..Asked::at(at) };
                self.asked.entry(by.clone()).and_modify(next);
            }
            Event::Refused { .. } | Event::Withdrawn { .. } | Event::Superseded { .. } | Event::Lapsed { .. } => {
                self.close(at);
            }
            Event::StepBegun { .. } => {
                if self.is_emergency {
                    self.emergency.get_or_insert(at);
                }
                self.close(at);
            }
            Event::Overridden { gate, .. } if self.overrides.len() < MOST_OVERRIDES => {
                self.overrides.push((gate.clone(), at));
            }
            Event::DenialOverridden { code, .. } if self.overrides.len() < MOST_OVERRIDES => {
                self.overrides.push((format!("policy:{code}"), at));
            }
            Event::GlassBroken { .. } if self.overrides.len() < MOST_OVERRIDES => {
                self.overrides.push(("glass".into(), at));
            }
            Event::DebtOwed { debt, due, .. } => {
                let open = self.debts.get_mut(debt).filter(|open| open.done_at.is_none());
                match open {
                    Some(open) => open.due = open.due.min(*due),
                    None => drop(self.debts.insert(*debt, Debt { since: at, due: *due, done_at: None })),
                }
            }
            Event::DebtPaid { debt, .. } => {
                self.debts.entry(*debt).and_modify(|debt| debt.done_at = debt.done_at.or(Some(at)));
            }
            Event::Completed
            | Event::RolledBack { .. }
            | Event::RollbackFailed { .. }
            | Event::CompletedByHand { .. } => {
                self.rollout_ended_at.get_or_insert(at);
            }
            _ => {}
        }
    }

    fn amend(&mut self, proposal: &Proposal, votes: Carry, at: Timestamp) {
        self.environment.clone_from(&proposal.environment);
        self.kind = proposal.kind;
        self.services.clone_from(&proposal.services);
        self.owner.clone_from(&proposal.owner);
        self.is_emergency = proposal.course.emergency().is_some();
        self.effect = proposal.effect_digest;
        self.missing = missing(proposal);
        self.risk = None;
        self.requires.clear();
        if votes == Carry::Void {
            self.votes.clear();
        }
        self.waits.iter_mut().for_each(|wait| wait.close(at));
    }

    fn assess(&mut self, assessment: &Assessment, at: Timestamp) {
        self.risk = Some((assessment.level, at));
        let before = std::mem::replace(&mut self.requires, assessment.requires.clone());
        // Whoever was asked for the same before is not asked anew.
        let since = |r: &Requirement| self.asked.get(&r.by).filter(|_| before.contains(r)).copied();
        self.asked = self.requires.iter().map(|r| (r.by.clone(), since(r).unwrap_or(Asked::at(at)))).collect();
        for denial in assessment.denials.iter().take(MOST_BLOCKS.saturating_sub(self.blocks.len())) {
            self.blocks.entry(denial.code.clone()).or_insert(at);
        }
        let earlier = std::mem::take(&mut self.waits);
        let standing = approval::standing(&self.requires, &self.asked, &self.votes, self.effect, at);
        for place in standing {
            let group = &place.requirement.by;
            // Votes that carry over have been waited for already; whoever has no vote yet is asked from now on.
            if place.missing() == 0 {
                self.waits.extend(earlier.iter().find(|wait| wait.group == *group && wait.met.is_some()).cloned());
            } else {
                let (group, risk) = (group.clone(), assessment.level);
                self.waits.push(Wait { group, risk, asked_at: at, met: None, closed_at: None });
            }
        }
    }

    /// What a row of the matrix is matched against.
    pub(crate) fn asks(&self, risk: Risk) -> Asks<'_> {
        Asks { environment: &self.environment, kind: self.kind, risk, services: &self.services, owner: &self.owner }
    }

    fn settle(&mut self, at: Timestamp, voter: &Actor) {
        let standing = approval::standing(&self.requires, &self.asked, &self.votes, self.effect, at);
        for place in standing.iter().filter(|place| place.missing() == 0) {
            let open = |wait: &&mut Wait| wait.group == place.requirement.by && wait.is_open();
            if let Some(wait) = self.waits.iter_mut().find(open) {
                wait.met = Some((at, voter.clone()));
                wait.close(at);
            }
        }
    }

    fn close(&mut self, at: Timestamp) {
        self.votes.clear();
        self.waits.iter_mut().for_each(|wait| wait.close(at));
    }
}

impl Wait {
    fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    fn close(&mut self, at: Timestamp) {
        self.closed_at.get_or_insert(at);
    }

    /// How long it has lasted by `now`.
    pub(crate) fn length(&self, now: Timestamp) -> Span {
        change::time::between(self.asked_at, self.closed_at.unwrap_or(now).min(now))
    }

    /// Whether the group is being asked at `now`.
    pub(crate) fn is_open_at(&self, now: Timestamp) -> bool {
        self.asked_at < now && self.closed_at.is_none_or(|at| now <= at)
    }
}

fn missing(proposal: &Proposal) -> BTreeSet<Part> {
    let has = [
        (Part::Owner, !proposal.owner.is_empty()),
        (Part::Source, proposal.commit.is_some() || proposal.artifact.is_some()),
        (Part::Services, !proposal.services.is_empty()),
        (Part::RollbackPlan, proposal.rollback.automatic || proposal.rollback.runbook.is_some()),
        (Part::Verification, !proposal.verify.is_empty()),
        (Part::Links, !proposal.links.is_empty()),
    ];
    has.into_iter().filter(|(_, there)| !there).map(|(part, _)| part).collect()
}

fn no_signature() -> change::approval::Signature {
    change::approval::Signature { key: String::new(), statement: String::new(), armored: String::new() }
}
