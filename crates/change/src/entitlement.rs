//! Entitlement: for which groups does a user speak on this change, and why can their vote not count?
//!
//! Pure, over the governance in force and the circumstances by the log. A delegate speaks for the groups of whoever is away, never in the place of
//! somebody who could not vote themselves: an author could otherwise approve by proxy. Asked by [`approval`](crate::approval) and the gates.

use std::collections::{BTreeMap, BTreeSet};

use crate::actor::{Actor, Permission};
use crate::approval::{APPROVERS, ON_CALL, SERVICE_OWNERS, Vote, owned_by};
use crate::calendar::Lost;
use crate::calendar::exception::{FREEZE, Granted};
use crate::catalog::Gating;
use crate::circumstances::{Circumstances, OpenDebt};
use crate::facts::material::Committer;
use crate::governance::Governance;
use crate::lifecycle::{Change, Stage};
use crate::proposal::Proposal;
use crate::time::Timestamp;

/// What is asked about people and a change: everything that the answers rest on.
#[derive(Clone, Copy, Debug)]
pub struct Entitlement<'a> {
    pub change: &'a Change,
    pub governance: &'a Governance,
    pub circumstances: &'a Circumstances,
    pub now: Timestamp,
}

/// The groups for which somebody can vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    pub groups: BTreeSet<String>,
    /// Those of them that are another's, with whose place it is.
    pub on_behalf: BTreeMap<String, String>,
}

impl Entitlement<'_> {
    fn proposal(&self) -> &Proposal {
        &self.change.proposal
    }

    /// What a user may do to this change.
    pub fn may(&self, user: &str) -> BTreeSet<Permission> {
        let proposal = self.proposal();
        self.governance.access.permissions(user, &proposal.services, &proposal.environment)
    }

    /// The groups that a user speaks for: their own, and those of people whose place they have taken.
    pub fn voice(&self, user: &str) -> Voice {
        let mut voice = Voice { groups: self.own_groups(user), on_behalf: BTreeMap::new() };
        for delegation in self.circumstances.delegated_to(user, self.now) {
            if self.excluded(&delegation.from).is_some() || !self.may_speak(&delegation.from) {
                continue;
            }
            for group in self.own_groups(&delegation.from).into_iter().filter(|g| delegation.covers(g)) {
                if voice.groups.insert(group.clone()) {
                    voice.on_behalf.insert(group, delegation.from.clone());
                }
            }
        }
        voice
    }

    fn own_groups(&self, user: &str) -> BTreeSet<String> {
        let mut groups = self.governance.access.groups_of(user);
        if self.may(user).contains(&Permission::Approve) {
            groups.insert(APPROVERS.to_owned());
        }
        let owners = self.governance.catalog.owners(&self.proposal().services);
        let own: Vec<&str> = owners.iter().filter(|o| **o == user || groups.contains(**o)).copied().collect();
        if own.len() == owners.len() && !own.is_empty() {
            groups.insert(SERVICE_OWNERS.to_owned());
        }
        if owners.len() > 1 {
            groups.extend(own.into_iter().map(owned_by));
        }
        if self.is_on_call(user, &groups) {
            groups.insert(ON_CALL.to_owned());
        }
        groups
    }

    /// Those whom the changed services name as on call; where none of them names anybody, the team that owns the change, and where that is one person
    /// whoever may approve: an emergency must not wait for somebody who does not exist.
    fn is_on_call(&self, user: &str, groups: &BTreeSet<String>) -> bool {
        if self.governance.access.is_machine(user) {
            return false;
        }
        let services = self.proposal().services.iter().filter_map(|name| self.governance.catalog.service(name));
        let named: Vec<&String> = services.filter_map(|service| service.on_call.as_ref()).collect();
        let is = |principal: &String| principal == user || groups.contains(principal);
        if !named.is_empty() {
            let has_the_turn = |name: &String| self.governance.on_call_by(name, self.now).users.contains(user);
            return named.into_iter().any(|name| is(name) || has_the_turn(name));
        }
        let owner = &self.proposal().owner;
        let is_team = self.governance.access.groups.iter().any(|group| group.id == *owner);
        if is_team { groups.contains(owner) } else { groups.contains(APPROVERS) }
    }

    fn wrote(&self, user: &str) -> bool {
        let is = |actor: &Actor| actor.user() == Some(user);
        is(&self.change.author) || self.change.amended_by.iter().any(is)
    }

    fn committed(&self, user: &str) -> bool {
        self.change.committers.iter().any(|one| self.governance.access.user_of_commit(one) == Some(user))
    }

    /// Whether somebody may approve changes of these services, and has no part in this one.
    fn may_speak(&self, user: &str) -> bool {
        self.may(user).contains(&Permission::Approve) && !self.wrote(user) && !self.committed(user)
    }

    /// Why a vote of this user can't count, beside that they wrote the change.
    pub fn excluded(&self, user: &str) -> Option<String> {
        if self.circumstances.edited_since(user, self.change.id) {
            return Some("they have edited the rules since it was proposed".into());
        }
        self.committed(user).then(|| "they have committed to it".into())
    }

    /// Those with a hand on the glass who have a part in the change: they wrote it, committed to it, or have edited the rules since.
    pub fn insiders(&self) -> BTreeSet<Actor> {
        let inside = |actor: &&Actor| actor.user().is_none_or(|u| self.wrote(u) || self.excluded(u).is_some());
        self.change.hand.iter().map(|hand| &hand.by).filter(inside).cloned().collect()
    }

    /// Those who have set rules aside, or have a hand on the glass, and may do so no longer.
    pub fn hands_off(&self) -> BTreeSet<Actor> {
        let hands = self.change.set_aside.iter().flat_map(|aside| &aside.by);
        let hands = hands.chain(self.change.hand.iter().map(|hand| &hand.by));
        let lost = |actor: &&Actor| actor.user().is_none_or(|user| !self.may(user).contains(&Permission::Override));
        hands.filter(lost).cloned().collect()
    }

    /// The exceptions of freezes whose giver has left, has lost the right by which they gave them, or turned out to have a part in the change. As votes,
    /// they are used up by the first step.
    pub fn grants_lost(&self) -> BTreeSet<Lost> {
        if self.change.rollout().is_some() {
            return BTreeSet::new();
        }
        let granted = self.change.exceptions.iter().filter_map(|one| Some((one, one.granted.as_ref()?)));
        let lost = granted.filter(|(_, granted)| !self.may_still_grant(granted));
        lost.map(|(one, granted)| (one.freeze.clone(), granted.by.clone())).collect()
    }

    fn may_still_grant(&self, granted: &Granted) -> bool {
        let Some(user) = granted.by.user() else { return false };
        let may = self.may(user);
        let may_freeze = may.contains(&Permission::Freeze);
        let may_any = may_freeze || may.contains(&Permission::Approve);
        // By the role that they gave it by: another owner of the freeze takes nothing back that the one before has given.
        let has_role = match granted.role.as_str() {
            FREEZE => may_freeze,
            owner => user == owner || self.own_groups(user).contains(owner),
        };
        may_any && has_role && !self.wrote(user) && !self.committed(user)
    }

    /// Those who committed to it and whom access.yaml does not know: nobody can say whether one of them approves it under another name.
    pub fn unknown_committers(&self) -> BTreeSet<String> {
        let is_unknown = |one: &&Committer| self.governance.access.user_of_commit(one).is_none();
        let named = self.change.committers.iter().filter(is_unknown).map(|one| one.email.clone());
        named.chain(self.change.more_committers.then(|| "more people than are listed".to_owned())).collect()
    }

    /// The voters who may no longer vote, who turned out to have a part in the change, or who no longer speak for the groups for which they voted.
    pub fn revoked(&self) -> BTreeSet<Actor> {
        let votes = self.change.votes.iter();
        votes.filter(|vote| self.is_revoked(vote)).map(|vote| vote.voter.clone()).collect()
    }

    fn is_revoked(&self, vote: &Vote) -> bool {
        let Some(user) = vote.voter.user() else { return false };
        if !self.may_speak(user) {
            return true;
        }
        let asked = self.groups_asked();
        let holds = |group: &String| {
            let holder = vote.on_behalf.get(group).map_or(user, String::as_str);
            (holder == user || self.may_speak(holder)) && self.own_groups(holder).contains(group)
        };
        !vote.groups.iter().filter(|group| asked.as_ref().is_none_or(|asked| asked.contains(*group))).all(holds)
    }

    /// The groups that this change may ask, once that is known: a seat elsewhere that a voter gives up is of no account.
    fn groups_asked(&self) -> Option<BTreeSet<&String>> {
        let assessment = &self.change.assessment.as_ref()?.assessment;
        let requirements = assessment.requires.iter().chain(&assessment.owed);
        Some(requirements.flat_map(|r| std::iter::once(&r.by).chain(&r.escalate)).collect())
    }

    /// Whom an emergency that waits could be agreed to by, at this moment: the people of each group that it asks, or may ask yet. Those who may approve
    /// are among them, whoever is asked.
    pub fn could_agree(&self) -> BTreeMap<String, BTreeSet<String>> {
        let waits = matches!(self.change.stage, Stage::Waiting) && self.change.proposal.course.emergency().is_some();
        let (Some(assessed), true) = (&self.change.assessment, waits) else { return BTreeMap::new() };
        let requires = &assessed.assessment.requires;
        let asked = requires.iter().flat_map(|r| std::iter::once(&r.by).chain(&r.escalate)).map(String::as_str);
        let asked: BTreeSet<&str> = asked.chain([APPROVERS]).collect();
        let mut could: BTreeMap<String, BTreeSet<String>> =
            asked.iter().map(|group| ((*group).to_owned(), BTreeSet::new())).collect();
        let users = self.governance.access.users.iter().map(|user| user.id.as_str());
        for user in users.filter(|user| self.may_speak(user) && self.excluded(user).is_none()) {
            for group in self.voice(user).groups {
                could.entry(group).and_modify(|users| {
                    users.insert(user.to_owned());
                });
            }
        }
        could
    }

    /// The groups of which everybody is away.
    pub fn away(&self) -> BTreeSet<String> {
        let is_away = |user: &String| self.circumstances.is_away(user, self.now);
        let groups = self.governance.access.groups.iter();
        let all_away = groups.filter(|g| !g.members.is_empty() && g.members.iter().all(is_away));
        all_away.map(|g| g.id.clone()).collect()
    }

    /// The overdue debts of those whom this change is for: its services, who owns them, who owns it, and its author with their groups. What `owner` says
    /// in a change file is free, so a debt must not hang on it alone.
    pub fn overdue(&self) -> Vec<OpenDebt> {
        let (Governance { access, catalog, .. }, proposal) = (self.governance, self.proposal());
        let owners = |services: &BTreeSet<String>| -> BTreeSet<String> {
            catalog.owners(services).into_iter().map(str::to_owned).collect()
        };
        let mut ours = owners(&proposal.services);
        ours.insert(proposal.owner.clone());
        if let Some(author) = self.change.author.user() {
            ours.extend(access.groups_of(author));
            ours.insert(author.to_owned());
        }
        let is_ours = |debt: &&OpenDebt| {
            ours.contains(&debt.owner)
                || !debt.services.is_disjoint(&proposal.services)
                || !owners(&debt.services).is_disjoint(&ours)
        };
        self.circumstances.overdue(self.now).filter(is_ours).cloned().collect()
    }

    /// Whether gates hold this change: they only report where every service is observed.
    pub fn gating(&self) -> Gating {
        self.governance.catalog.gating(&self.proposal().services)
    }
}
