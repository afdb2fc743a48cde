//! In the way: the other changes that a change meets, for people and for those whose place is taken.
//!
//! Fetches what the core asks for and nothing more: which of them hold it is said in [`change::conflict`], when they are expected to end in its `outlook`.
//! Must never be asked on the way to a step: the gate of a step knows no estimate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::actor::Part;
use change::conflict::outlook::{self, InTheWay, Role};
use change::gate::{Gate, GateName};
use change::precedence::Moment;
use change::{Change, ChangeId, Command, Given, Timestamp};

use crate::act::Done;
use crate::handle::Engine;
use crate::ports::StoreError;

/// The most changes that are shown in the way of one, and the longest chain that is followed.
const MOST_SHOWN: usize = 20;

impl Engine {
    /// Ends a change whose place a newer one takes. Says whether something has moved.
    pub(crate) async fn is_superseded(self: &Arc<Self>, change: &Change) -> Result<bool, StoreError> {
        let in_force = self.in_force();
        let rules = &in_force.governance.conflicts;
        if !rules.supersedes() || change.rollout().is_some() || change.phase().is_terminal() {
            return Ok(false);
        }
        if self.with_folds(|folds| folds.traffic.superseded_by(change, rules)).await?.is_none() {
            return Ok(false);
        }
        Ok(matches!(self.tell(change, Part::Clock, Command::Supersede).await?, Done::Moved))
    }

    /// Wakes those whose place a change may take that was approved just now.
    pub(crate) async fn wake_older(self: &Arc<Self>, id: ChangeId) -> Result<(), StoreError> {
        if self.in_force().governance.conflicts.supersedes() {
            let older = self.with_folds(|folds| folds.traffic.older_neighbours(id)).await?;
            older.into_iter().for_each(|id| self.clone().wake(id));
        }
        Ok(())
    }

    /// Wakes those who are first now that a change has begun or has left the line: whose turn it is has changed with it, and nobody else tells them.
    pub(crate) async fn wake_next(self: &Arc<Self>, change: &Change) -> Result<(), StoreError> {
        let in_force = self.in_force();
        let (rules, catalog) = (&in_force.governance.conflicts, &in_force.governance.catalog);
        let now = change::time::to_millis(self.clock.now());
        let moment = Moment { now, patience: in_force.governance.settings.patience };
        let next = self.with_folds(|folds| folds.traffic.next_ones(change, rules, catalog, moment)).await?;
        self.waiting.line_up(next);
        Ok(())
    }

    /// When the age of a change that waits begins to count for more than turns: it is asked again then.
    pub(crate) async fn ages_at(&self, change: &Change) -> Result<Option<Timestamp>, StoreError> {
        if change.hold.is_none() || change.rollout().is_some() {
            return Ok(None);
        }
        let (patience, now) = (self.in_force().governance.settings.patience, change::time::to_millis(self.clock.now()));
        let at = self.with_folds(|folds| folds.traffic.ages_at(change.id, patience)).await?;
        Ok(at.filter(|at| *at > now))
    }

    /// The gates, with the changes in the way and when each is expected to end.
    pub(crate) async fn with_those_in_the_way(
        &self,
        change: &Change,
        given: &Given,
        mut gates: Vec<Gate>,
    ) -> Result<Vec<Gate>, StoreError> {
        let mut roles: BTreeMap<ChangeId, Role> = BTreeMap::new();
        if change.rollout().is_none() {
            let found = given.conflicts.iter().map(|found| (found.with, Role::of(found.stands, found.holds())));
            roles.extend(found);
        }
        let holders =
            given.lanes.iter().filter(|lane| lane.is_held_by_another(change.id)).filter_map(|lane| lane.holder);
        roles.extend(holders.map(|holder| (holder, Role::UnderWay)));
        let mut shown = Vec::new();
        for (id, role) in roles.into_iter().take(MOST_SHOWN) {
            shown.extend(self.shown(id, role, given.now).await?);
        }
        shown.extend(self.chain(change, given).await?);
        if let Some(gate) = gates.iter_mut().find(|gate| gate.gate == GateName::Conflicts) {
            gate.in_the_way = shown;
        }
        Ok(gates)
    }

    async fn shown(&self, id: ChangeId, role: Role, now: Timestamp) -> Result<Option<InTheWay>, StoreError> {
        let Some(other) = self.load(id).await? else { return Ok(None) };
        let leaves = if role == Role::Before { outlook::ends_at(&other, now) } else { outlook::leaves_at(&other, now) };
        let expected_end = leaves.filter(|_| !other.phase().is_terminal());
        Ok(Some(InTheWay { change: id, phase: other.phase().name().to_owned(), role, expected_end }))
    }

    /// Those that have to be completed first, and those before them, the nearest first.
    async fn chain(&self, change: &Change, given: &Given) -> Result<Vec<InTheWay>, StoreError> {
        let mut seen: BTreeSet<ChangeId> = BTreeSet::new();
        let mut near: std::collections::VecDeque<ChangeId> = change.proposal.after.iter().copied().collect();
        let mut found: Vec<Change> = Vec::new();
        while let Some(id) = near.pop_front().filter(|_| found.len() < MOST_SHOWN) {
            if let Some(before) = self.load(id).await?.filter(|_| seen.insert(id)) {
                let over = before.phase().is_terminal() || before.rollout().is_some();
                near.extend(before.proposal.after.iter().filter(|_| !over));
                found.push(before);
            }
        }
        Ok(outlook::chain(&found, given.now))
    }
}
