//! Holds: people on call stop the line of services, and let it go on.
//!
//! Each is an event in a stream of its own; what follows for a change is the core's to say. Who may is asked here of the governance in force, because
//! there is no change to ask it of. A step that begins depends on the stream, so that none begins after a hold is in the log. What a hold pauses, each
//! change derives for itself: next, [`reconcile`](crate::reconcile).

use std::collections::BTreeSet;

use change::calendar::Passage;
use change::holds::{HOLDS, HoldOrder, ServiceHold};
use change::lifecycle::Rejection;
use change::{Actor, Event, Permission, Timestamp};

use crate::handle::{CommandError, Handle};
use crate::ports::StoreError;

/// What somebody asks to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    pub services: BTreeSet<String>,
    pub team: Option<String>,
    pub environment: Option<String>,
    pub until: Timestamp,
    pub emergency: Passage,
    /// Whether it pauses what rolls out.
    pub pause: bool,
    pub reason: String,
}

impl Handle {
    /// The holds that last now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn holds(&self) -> Result<Vec<ServiceHold>, StoreError> {
        let now = change::time::to_millis(self.now());
        self.circumstances(|c| c.holds(now).cloned().collect()).await
    }

    /// Holds the rollouts of services: no step begins before the hold ends. Rollbacks pass.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn hold(&self, actor: &Actor, asked: HoldRequest) -> Result<ServiceHold, CommandError> {
        change::lifecycle::reason(&asked.reason)?;
        loop {
            let events = self.engine.store.read(HOLDS, 0).await?;
            let set = events.iter().filter(|recorded| matches!(recorded.event, Event::HoldSet(_))).count();
            let expected = events.last().map_or(0, |last| last.version);
            let order = order(&asked, format!("HOLD-{}", set + 1));
            let now = change::time::to_millis(self.now());
            order.possible(&self.in_force().governance, now).map_err(CommandError::Impossible)?;
            self.allow_hold(actor, "hold", &order).await?;
            let event = Event::HoldSet(Box::new(order.clone()));
            match self.engine.note_at(HOLDS, expected, event, actor).await {
                Ok(()) => {}
                // Somebody else took the number in the meantime.
                Err(StoreError::Conflict { .. }) => continue,
                Err(other) => return Err(other.into()),
            }
            return Ok(ServiceHold { order, by: actor.clone(), since: now });
        }
    }

    /// Releases a hold before its end.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn release_hold(&self, actor: &Actor, hold: &str, reason: &str) -> Result<(), CommandError> {
        let known = self.holds().await?.into_iter().find(|known| known.order.hold == hold);
        let Some(known) = known else {
            return Err(CommandError::Impossible(format!(
                "no hold `{hold}` lasts now; `clearway holds` lists those that do"
            )));
        };
        if known.by != *actor {
            self.allow_hold(actor, "hold --release", &known.order).await?;
        }
        let reason = change::lifecycle::reason(reason)?;
        let event = Event::HoldReleased { hold: hold.to_owned(), reason };
        Ok(self.engine.note(HOLDS, event, actor).await?)
    }

    /// Whether somebody may hold this, and release it: whoever is on call for every service of it, and who may freeze them all.
    pub fn may_hold(&self, actor: &Actor, order: &HoldOrder) -> bool {
        let in_force = self.in_force();
        let governance = &in_force.governance;
        let services = order.covered(&governance.catalog);
        let now = change::time::to_millis(self.now());
        let may_freeze = |user: &str| {
            let environments = environments(order, &services, governance);
            environments.iter().all(|at| governance.access.may(user, Permission::Freeze, &services, at))
        };
        let may = |user: &str| governance.is_on_call_for_all(user, &services, now) || may_freeze(user);
        actor.user().is_some_and(may)
    }

    async fn allow_hold(&self, actor: &Actor, what: &str, order: &HoldOrder) -> Result<(), CommandError> {
        if self.may_hold(actor, order) {
            return Ok(());
        }
        let rejection = Rejection::NotAllowed { actor: actor.clone(), permission: Permission::Freeze };
        self.engine.record_refusal_of(actor, what, &rejection).await;
        Err(rejection.into())
    }
}

fn order(asked: &HoldRequest, hold: String) -> HoldOrder {
    let HoldRequest { services, team, environment, until, emergency, pause, reason } = asked.clone();
    HoldOrder { hold, services, team, environment, until, emergency, pause, reason }
}

/// The environments in which the right has to hold: the one that is named, or each in which one of the services runs.
fn environments(
    order: &HoldOrder,
    services: &BTreeSet<String>,
    governance: &change::governance::Governance,
) -> BTreeSet<String> {
    if let Some(environment) = &order.environment {
        return [environment.clone()].into();
    }
    let known = services.iter().filter_map(|name| governance.catalog.service(name));
    let named: BTreeSet<String> = known.flat_map(|service| service.environments.iter().cloned()).collect();
    // Where the catalog says nothing, a right that is limited to environments must not reach all of them.
    if named.is_empty() { [String::new()].into() } else { named }
}
