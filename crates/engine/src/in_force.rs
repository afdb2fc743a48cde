//! In force: the governance that decides now, with its policies compiled, and the names that a change file may use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::actor::Access;
use change::calendar::{Almanac, Lost, Opening, Passes, Standing, Subject};
use change::catalog::Gating;
use change::gate;
use change::governance::Governance;
use change::lifecycle::Given;
use change::proposal::{Claims, Surroundings};
use change::rollout::{PartProblem, Plan};
use change::time::TimeZone;
use change::verification::Sli;
use change::{Change, Timestamp};
use policy::{Bundle, Launch, PolicyError};

use crate::edits::Edits;
use crate::ports::{Driver, Eyes};

/// The governance in force and its compiled policies.
#[derive(Clone)]
pub struct InForce {
    pub governance: Governance,
    pub bundle: Bundle,
    /// Its calendar, made ready to be asked.
    pub calendar: Arc<Almanac>,
    /// When the access table is another one by itself: somebody leaves, or a grant ends.
    ends: Option<Timestamp>,
    /// The access table as it was loaded, which each instant begins from.
    loaded: Option<Arc<Access>>,
    /// The zone of `input.now`.
    pub zone: TimeZone,
    /// How policies are evaluated in a process of their own; in this one if absent.
    pub launch: Option<Launch>,
    /// What its repository says of it; nothing where it lies in none.
    pub edits: Option<Edits>,
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").field("governance", &self.governance.digest).finish_non_exhaustive()
    }
}

impl InForce {
    /// Compiles the policies of a governance.
    ///
    /// # Errors
    /// The file, line and message of a policy that can't be compiled.
    pub fn new(governance: Governance) -> Result<Self, PolicyError> {
        let bundle = Bundle::compile(&governance.policies)?;
        let unknown = |message| PolicyError { file: "settings.yaml".into(), line: 1, message };
        let zone = governance.settings.zone().map_err(unknown)?;
        let calendar = Arc::new(Almanac::of(&governance.calendar));
        Ok(Self { governance, bundle, calendar, zone, launch: None, edits: None, ends: None, loaded: None })
    }

    /// The same, with its policies evaluated in a process of their own.
    #[must_use]
    pub fn in_child(self, launch: Launch) -> Self {
        Self { bundle: self.bundle.in_child(&launch), launch: Some(launch), ..self }
    }

    /// The same with what other tools said of the schedules that the one before had from them too.
    #[must_use]
    pub(crate) fn with_copies_of(mut self, before: &Self) -> Self {
        let (roster, known) = (&mut self.governance.roster, &before.governance.roster);
        for schedule in roster.schedules.iter().filter(|schedule| schedule.source.is_some()) {
            let same = known.schedule(&schedule.name).is_some_and(|other| other.source == schedule.source);
            if let Some(copy) = known.copies.get(&schedule.name).filter(|_| same) {
                roster.copies.insert(schedule.name.clone(), copy.clone());
            }
        }
        self
    }

    /// The same, as its repository says that it was edited.
    #[must_use]
    pub fn edited(self, edits: Option<Edits>) -> Self {
        Self { edits, ..self }
    }

    /// The same as it is at an instant, with the administrators who were recovered on the machine itself.
    #[must_use]
    pub(crate) fn at(mut self, now: Timestamp, recovered: &[Recovered]) -> Self {
        let loaded = self.loaded.get_or_insert_with(|| Arc::new(self.governance.access.clone()));
        let access = (**loaded).clone().at(now);
        let still = recovered.iter().filter(|one| one.until > now);
        let access = still.fold(access, |access, one| access.with_recovered(&one.user, one.until));
        self.ends = access.next_end();
        self.governance.access = access;
        self
    }

    /// What the calendar says at an instant of a change, some of whose exceptions may not count any more.
    pub(crate) fn calendar_for(&self, change: &Change, lost: &BTreeSet<Lost>, now: Timestamp) -> Standing {
        let owners = self.governance.catalog.owners(&change.proposal.services);
        self.calendar.standing(&Subject::of(change, &owners), &Passes::of(change, lost), now)
    }

    /// When the calendar lets a change go once all else is over that holds it at this time.
    pub(crate) fn reopening_for(&self, change: &Change, given: &Given) -> Option<Opening> {
        let end = gate::end_beside_calendar(change, given)?;
        let owners = self.governance.catalog.owners(&change.proposal.services);
        let passes = Passes::of(change, &given.grants_lost);
        Some(self.calendar.opening(&Subject::of(change, &owners), &passes, end))
    }

    /// The owner of each freeze that covers a change at some time.
    pub(crate) fn freezes_of(&self, change: &Change) -> BTreeMap<String, String> {
        let owners = self.governance.catalog.owners(&change.proposal.services);
        let covering = self.calendar.freezes(&Subject::of(change, &owners)).into_iter();
        covering.map(|freeze| (freeze.name.clone(), freeze.owner.clone())).collect()
    }

    /// When its access table is another one by itself.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// Whether the schedules that other tools keep have the same turns as in another one.
    pub(crate) fn has_turns_of(&self, other: &Self) -> bool {
        let (own, others) = (&self.governance.roster.copies, &other.governance.roster.copies);
        own.len() == others.len()
            && own.iter().all(|(name, copy)| others.get(name).is_some_and(|o| o.watches == copy.watches))
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }
}

/// Somebody who was made an administrator for a time, on the machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub user: String,
    pub until: Timestamp,
}

/// The drivers of a server, by name.
pub type Drivers = BTreeMap<String, Arc<dyn Driver>>;

/// What a change file is resolved against on this server.
pub(crate) struct Here<'a> {
    pub in_force: &'a InForce,
    pub drivers: &'a Drivers,
    pub eyes: &'a dyn Eyes,
}

impl Surroundings for Here<'_> {
    fn downstream(&self, services: &BTreeSet<String>, hops: usize) -> Vec<(String, Sli)> {
        let governance = &self.in_force.governance;
        let catalog = &governance.catalog;
        let near = catalog.dependents_within(services, hops);
        let slis = near.iter().filter_map(|name| catalog.service(name)).flat_map(|service| {
            let named = governance
                .slis
                .iter()
                .filter(|sli| sli.has_objective() && service.indicators().any(|name| name == sli.name));
            named.map(|sli| (service.name.clone(), sli.clone()))
        });
        slis.collect()
    }

    fn gating(&self, services: &BTreeSet<String>) -> Gating {
        self.in_force.governance.catalog.gating(services)
    }

    fn environments(&self, service: &str) -> Vec<String> {
        self.in_force.governance.catalog.service(service).map(|known| known.environments.clone()).unwrap_or_default()
    }

    fn holders(&self, resource: &str) -> Vec<String> {
        self.in_force.governance.catalog.holders(resource).into_iter().map(str::to_owned).collect()
    }

    fn sli(&self, name: &str) -> Option<Sli> {
        self.in_force.governance.slis.iter().find(|s| s.name == name).cloned()
    }

    fn sli_names(&self) -> Vec<String> {
        self.in_force.governance.slis.iter().map(|s| s.name.clone()).collect()
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        // A driver that does not exist is named by the caller, who knows the place in the file.
        self.drivers.get(&plan.target.driver).map_or_else(|| Err(vec![]), |driver| driver.claims(plan))
    }

    fn drivers(&self) -> Vec<String> {
        self.drivers.keys().cloned().collect()
    }

    fn sources(&self) -> Vec<String> {
        self.eyes.sources()
    }

    fn query_problems(&self, sli: &Sli) -> Vec<PartProblem> {
        self.eyes.query_problems(sli)
    }

    fn may_run_commands(&self) -> bool {
        self.eyes.may_run_commands()
    }

    fn is_principal(&self, id: &str) -> bool {
        self.in_force.governance.access.is_principal(id)
    }

    fn principals(&self) -> Vec<String> {
        self.in_force.governance.access.principals().into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    // X21
    #[test]
    fn who_was_recovered_governs_until_the_end_and_leaves_no_trace_after_it() {
        let mut governance = Governance::embedded("ada");
        governance.access.users[0].deactivated = true;
        let until = instant("2026-09-01T01:00:00Z");
        let recovered = [Recovered { user: "ada".into(), until }];
        let loaded = InForce::new(governance).expect("no policy, so none that fails");
        let during = loaded.at(instant("2026-09-01T00:00:00Z"), &recovered);
        assert_eq!(during.governance.access.governors(), ["ada"]);
        assert!(!during.is_over(instant("2026-09-01T00:59:59Z")) && during.is_over(until));
        let twice = during.at(instant("2026-09-01T00:30:00Z"), &recovered);
        assert_eq!(twice.governance.access.users[0].roles.len(), 1);
        let after = twice.at(until, &recovered);
        assert!(!after.governance.access.is_active("ada") && !after.is_over(Timestamp::MAX));
    }
}
