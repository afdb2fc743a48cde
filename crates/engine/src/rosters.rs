//! Rosters: what other tools say of who is on call, fetched at an interval.
//!
//! The last good copy is kept with its time; what it is worth, and when it is too old, is the core's to say. Must never take a failure for an empty
//! roster. A copy is kept in memory alone: after a start the first fetch comes at once.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use change::Timestamp;
use change::on_call::Duty;
use change::roster::{RosterCopy, Schedule};
use change::time::TimeZone;
use futures::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::{Engine, Handle};

/// Sources that are asked at once.
const AT_ONCE: usize = 4;

/// Who is on call for a service, or by a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnCall {
    /// The service, or the schedule.
    pub name: String,
    #[serde(flatten)]
    pub duty: Duty,
    /// When the copy of what another tool says was fetched; nothing where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fetched_at: Option<Timestamp>,
    /// Why it could not be fetched since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Handle {
    /// Who is on call at an instant: for one service, or for every service of the catalog. Nothing where there is no such service.
    pub fn on_call(&self, service: Option<&str>, at: Timestamp) -> Option<Vec<OnCall>> {
        let in_force = self.in_force();
        let governance = &in_force.governance;
        let names: Vec<String> = match service {
            Some(name) => vec![governance.catalog.service(name)?.name.clone()],
            None => governance.catalog.services().iter().map(|service| service.name.clone()).collect(),
        };
        let one = |name: String| {
            let duty = governance.on_call([&name], at);
            let copies = duty.named.iter().filter_map(|name| governance.roster.copies.get(name));
            let copy = copies.min_by_key(|copy| copy.at);
            let failed = copy.and_then(|copy| copy.failed.as_ref()).map(|(_, why)| why.clone());
            OnCall { name, duty, fetched_at: copy.and_then(|copy| copy.at), failed }
        };
        Some(names.into_iter().map(one).collect())
    }

    /// Fetches rosters from now on, until the engine is drained or gone.
    pub(crate) fn attend_rosters(&self) {
        let engine = Arc::downgrade(&self.engine);
        let (stop, news) = (self.engine.tasks.stop.clone(), self.engine.news.clone());
        let every = Duration::from_millis(self.engine.settings.roster_every.as_millis());
        self.engine.tasks.tracker.spawn(async move {
            loop {
                // Not held while it sleeps: an engine that nobody holds any more is gone.
                let Some(engine) = engine.upgrade() else { return };
                engine.fetch_rosters().await;
                drop(engine);
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = news.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }
}

impl Engine {
    async fn fetch_rosters(&self) {
        let in_force = self.in_force();
        let sourced = in_force.governance.roster.schedules.iter().filter(|schedule| schedule.source.is_some());
        let each: Vec<_> = sourced.map(|schedule| self.fetched(schedule.clone())).collect();
        let found: Vec<_> = futures::stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        if found.is_empty() {
            return;
        }
        let now = change::time::to_millis(self.clock.now());
        let mut newest = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = (**newest).clone();
        for (schedule, answer) in found {
            // Governance may have been loaded meanwhile: what it does not ask for is not kept.
            let asked = next.governance.roster.schedule(&schedule.name).is_some_and(|s| s.source == schedule.source);
            if !asked {
                continue;
            }
            let copy = next.governance.roster.copies.entry(schedule.name.clone()).or_default();
            match answer {
                Ok(fresh) => *copy = fresh,
                Err(why) => {
                    tracing::warn!(
                        schedule = schedule.name,
                        why,
                        "a roster could not be fetched; the copy before is kept"
                    );
                    let since = copy.failed.take().map_or(now, |(since, _)| since);
                    copy.failed = Some((since, why));
                }
            }
        }
        *newest = Arc::new(next);
    }

    async fn fetched(&self, schedule: Schedule) -> (Schedule, Result<RosterCopy, String>) {
        let source = schedule.source.clone().unwrap_or_default();
        let answer = match TimeZone::get(&schedule.tz) {
            Ok(zone) => self.rosters.turns(&source, &zone).await,
            Err(_) => Err(format!("the time zone `{}` is not known", schedule.tz)),
        };
        let now = change::time::to_millis(self.clock.now());
        let copy = answer.map(|watches| RosterCopy { at: Some(now), watches, failed: None });
        (schedule, copy)
    }
}
