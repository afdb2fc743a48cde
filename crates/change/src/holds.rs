//! Holds: who has stopped the line of a service, or vetoed one change, and until when?
//!
//! Somebody on call may hold every rollout of a service, and veto one change. Both have a reason and an end: what has none stands in the way when nobody
//! remembers why. Must never hold a rollback. Holds of services have a stream of their own; a veto stands in the log of its change. Who is on call
//! is asked of [`on_call`](crate::on_call); the answer reaches a change through [`gate`](crate::gate).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::calendar::Passage;
use crate::catalog::Catalog;
use crate::document::{all, list, nearest};
use crate::explain;
use crate::gate::{GateState, closed};
use crate::governance::Governance;
use crate::halt::Cause;
use crate::lifecycle::{Change, Given};
use crate::proposal::Proposal;
use crate::rollout::PauseReason;
use crate::time::{Span, Timestamp, after};

/// The stream of holds of services.
pub const HOLDS: &str = "holds";
/// The code of a gate that a hold of a service closes.
pub const HELD_BY_HOLD: &str = "service_hold";
/// The code of a gate that a veto closes.
pub const VETOED: &str = "vetoed";
/// How long a hold or a veto may last where settings.yaml says nothing: who needs longer has a freeze to write.
pub const LONGEST: Span = Span::secs(7 * 86_400);

/// What somebody holds: services by name, those that a team owns, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldOrder {
    /// `HOLD-3`.
    pub hold: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<String>,
    /// Whose services are held: those that it owns at the moment of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// In this environment; in all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Whether emergencies pass it.
    #[serde(default)]
    pub emergency: Passage,
    /// Whether it pauses what rolls out.
    #[serde(default)]
    pub pause: bool,
    pub reason: String,
}

/// A hold of services, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceHold {
    #[serde(flatten)]
    pub order: HoldOrder,
    pub by: Actor,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// One change that somebody does not let go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Veto {
    pub by: Actor,
    pub reason: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    #[schemars(with = "String")]
    pub until: Timestamp,
}

impl HoldOrder {
    /// Whether it covers a change: one of its services is enough.
    pub fn covers(&self, proposal: &Proposal, catalog: &Catalog) -> bool {
        let here = self.environment.as_ref().is_none_or(|environment| *environment == proposal.environment);
        let team = self.team.as_deref();
        let owned =
            || team.is_some_and(|team| proposal.owner == team || catalog.owners(&proposal.services).contains(team));
        here && (!self.services.is_disjoint(&proposal.services) || owned())
    }

    /// The services that it covers now.
    pub fn covered(&self, catalog: &Catalog) -> BTreeSet<String> {
        let owned = catalog.services().iter().filter(|service| self.team.as_deref() == Some(service.owner.as_str()));
        self.services.iter().cloned().chain(owned.map(|service| service.name.clone())).collect()
    }

    /// What it covers, in words: `shop, till in production`.
    pub fn in_words(&self) -> String {
        let mut what: Vec<String> = self.services.iter().map(|service| format!("`{service}`")).collect();
        what.extend(self.team.iter().map(|team| format!("all services of `{team}`")));
        let place = self.environment.as_ref().map_or_else(String::new, |environment| format!(" in `{environment}`"));
        format!("{}{place}", what.join(", "))
    }

    /// Why it can't be, where it can't.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn possible(&self, governance: &Governance, now: Timestamp) -> Result<(), String> {
        if self.services.is_empty() && self.team.is_none() {
            return Err("a hold names a service or a team".into());
        }
        let catalog = &governance.catalog;
        let names = || catalog.services().iter().map(|service| service.name.as_str());
        let is_unknown = |service: &&String| !catalog.services().is_empty() && catalog.service(service).is_none();
        if let Some(unknown) = self.services.iter().find(is_unknown) {
            let near = nearest(unknown, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("there is no service `{unknown}` in the catalog{near}"));
        }
        let owns = |team: &str| catalog.services().iter().any(|service| service.owner == team);
        if let Some(team) = self.team.as_ref().filter(|team| !owns(team)) {
            let owners: BTreeSet<&str> = catalog.services().iter().map(|service| service.owner.as_str()).collect();
            let known = list(owners);
            return Err(format!("`{team}` owns no service of the catalog; the teams that own one: {known}"));
        }
        self.runs_there(catalog)?;
        ends_in_time("hold", self.until, now, governance.settings.longest_hold)
    }

    /// Whether any of what it covers may run in its environment: no change of a service is taken for one that the catalog does not name for it. A service
    /// of which the catalog names none may run anywhere.
    fn runs_there(&self, catalog: &Catalog) -> Result<(), String> {
        let Some(environment) = &self.environment else { return Ok(()) };
        let covered = self.covered(catalog);
        let listed: Vec<&Vec<String>> = covered
            .iter()
            .map(|name| catalog.service(name).map(|known| &known.environments))
            .collect::<Option<_>>()
            .unwrap_or_default();
        if listed.iter().any(|names| names.is_empty() || names.contains(environment)) || listed.is_empty() {
            return Ok(());
        }
        let known: BTreeSet<&str> = listed.into_iter().flatten().map(String::as_str).collect();
        let near = nearest(environment, known.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let what = all(covered.iter().map(String::as_str));
        Err(format!("nothing of {what} runs in `{environment}`: the catalog names {}{near}", all(known)))
    }
}

/// Whether an end is one that a hold or a veto may have.
///
/// # Errors
/// A sentence that says what to do.
pub fn ends_in_time(what: &str, until: Timestamp, now: Timestamp, longest: Span) -> Result<(), String> {
    if until <= now {
        return Err(format!("`{until}` is over already; a {what} ends later than now"));
    }
    if until > after(now, longest) {
        return Err(format!(
            "`{until}` is too far: a {what} lasts at most {longest} (`longest_hold` in settings.yaml); name an earlier end and renew it, or write a freeze into calendar.yaml"
        ));
    }
    Ok(())
}

/// Why somebody on call does not let the next step of a change begin: a veto of this change, or a hold of one of its services.
pub(crate) fn shut(change: &Change, given: &Given) -> Vec<GateState> {
    vetoed(change, given.now).into_iter().chain(held(change, given)).collect()
}

fn vetoed(change: &Change, now: Timestamp) -> Option<GateState> {
    let veto = change.veto.as_ref().filter(|veto| now < veto.until)?;
    let by = explain::actor(&veto.by);
    let reason = format!("{by} has vetoed it until `{}`: {}", veto.until, veto.reason);
    let who = format!(
        "{by}, or somebody else on call or who may freeze, with `clearway veto {} --lift --reason ...`",
        change.id
    );
    Some(closed(VETOED, reason, Some(veto.until), Some(who)))
}

/// The holds that a change does not pass.
fn holding<'a>(change: &Change, given: &'a Given) -> impl Iterator<Item = &'a ServiceHold> + use<'a> {
    let is_emergency = change.proposal.course.emergency().is_some_and(|emergency| given.now < emergency.until);
    let passes = move |order: &HoldOrder| is_emergency && order.emergency == Passage::Allow;
    given.holds.iter().filter(move |hold| given.now < hold.order.until && !passes(&hold.order))
}

/// Those of them that pause what rolls out.
pub(crate) fn halting<'a>(change: &Change, given: &'a Given) -> impl Iterator<Item = Cause> + use<'a> {
    holding(change, given).filter(|hold| hold.order.pause).map(|hold| {
        let order = &hold.order;
        // It stands in the log long after the hold.
        let reason = format!("{} held {}: {}", explain::actor(&hold.by), order.in_words(), order.reason);
        Cause { name: order.hold.clone(), why: PauseReason::Hold, reason }
    })
}

fn held(change: &Change, given: &Given) -> Option<GateState> {
    // The one that ends last says when the gate opens.
    let hold = holding(change, given).max_by_key(|hold| hold.order.until)?;
    let (by, order) = (explain::actor(&hold.by), &hold.order);
    let reason = format!("{by} holds {} until `{}`: {}", order.in_words(), order.until, order.reason);
    let who = format!(
        "{by}, or somebody else on call or who may freeze, with `clearway hold --release {} --reason ...`",
        order.hold
    );
    Some(closed(HELD_BY_HOLD, reason, Some(order.until), Some(who)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(service: &str, environment: &str, now: Timestamp) -> HoldOrder {
        HoldOrder {
            hold: "HOLD-1".into(),
            services: [service.to_owned()].into(),
            team: None,
            environment: Some(environment.to_owned()),
            until: after(now, Span::secs(60)),
            emergency: Passage::Allow,
            pause: false,
            reason: "an incident".into(),
        }
    }

    // A4: a hold that would hold nothing is refused in the moment in which somebody counts on it.
    #[test]
    fn a_hold_in_an_environment_that_none_of_its_services_has_is_refused() {
        let now = Timestamp::UNIX_EPOCH;
        let access = "users: [{id: sre, roles: [{role: all}]}]\nroles: [{id: all, may: [approve]}]\n";
        let files = [
            ("access.yaml", access),
            ("approvals.yaml", "rules: [{require: []}]\n"),
            ("services/checkout.yaml", "name: checkout\nowner: sre\ntier: 3\nenvironments: [staging, production]\n"),
            ("services/till.yaml", "name: till\nowner: sre\ntier: 3\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let governance = Governance::read(&files).expect("a governance");
        let possible = |service: &str, environment: &str| order(service, environment, now).possible(&governance, now);
        assert_eq!(possible("checkout", "production"), Ok(()));
        let refused = possible("checkout", "prod").expect_err("nothing runs there");
        assert_eq!(
            refused,
            "nothing of `checkout` runs in `prod`: the catalog names `production` and `staging`; did you mean `production`?"
        );
        assert_eq!(possible("till", "prod"), Ok(()), "the catalog does not say where it runs");
        let both = HoldOrder { services: ["checkout".to_owned(), "till".to_owned()].into(), ..order("", "prod", now) };
        assert_eq!(both.possible(&governance, now), Ok(()));
    }
}
