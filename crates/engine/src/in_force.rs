//! In force: the governance that decides now, with its policies compiled, and the names that a change file may use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::governance::Governance;
use change::proposal::{Claims, Surroundings};
use change::rollout::{PartProblem, Plan};
use change::time::TimeZone;
use change::verification::Sli;
use policy::{Bundle, Launch, PolicyError};

use crate::ports::{Driver, Eyes};

/// The governance in force and its compiled policies.
#[derive(Clone)]
pub struct InForce {
    pub governance: Governance,
    pub bundle: Bundle,
    /// The zone of `input.now`.
    pub zone: TimeZone,
    /// How policies are evaluated in a process of their own; in this one if absent.
    pub launch: Option<Launch>,
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
        Ok(Self { governance, bundle, zone, launch: None })
    }

    /// The same, with its policies evaluated in a process of their own.
    #[must_use]
    pub fn in_child(self, launch: Launch) -> Self {
        Self { bundle: self.bundle.in_child(&launch), launch: Some(launch), ..self }
    }
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
            let named = governance.slis.iter().filter(|sli| service.slis.contains(&sli.name) && sli.has_objective());
            named.map(|sli| (service.name.clone(), sli.clone()))
        });
        slis.collect()
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
