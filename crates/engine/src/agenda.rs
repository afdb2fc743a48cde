//! Agenda: gathers what the core plays the next days from, and nothing more.
//!
//! Reads the changes that have not ended, those that go first where there are too many, with what is given of each now, and hands them over. The play
//! itself runs beside the engine, one at a time, and keeps nobody from changing anything: whoever asks meanwhile waits for the same answer. Nothing is
//! written: a question about a change that was not proposed leaves no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::actor::Part;
use change::agenda::choice::{self, Choice};
use change::agenda::{self, Agenda, Asking, Known};
use change::assessment::Risk;
use change::batch::{Batch, BatchStopped};
use change::gate::{Gate, GateName, GateState, Readiness};
use change::precedence::Moment;
use change::proposal::Files;
use change::time::TimeZone;
use change::{Actor, Change, ChangeId, Digest, Event, Span, Timestamp, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::{Engine, Handle, ProposeError};
use crate::ports::StoreError;

/// The most changes that are played, beside those under way.
const MOST_CHANGES: usize = 2_000;
/// The number of a change that was not proposed: behind all others.
const SUPPOSED: ChangeId = ChangeId::new(u64::MAX / 2);

/// How long a plan is told again, while nothing is added to the log.
const LASTS: Span = Span::secs(60);

/// How long a part of a rollout takes.
pub type Takes = Arc<dyn Fn(&Change, agenda::Part) -> Span + Send + Sync>;

/// How far a plan goes.
#[derive(Clone)]
pub struct Asked {
    pub until: Timestamp,
    /// The plan's own word where nothing else is known.
    pub takes: Option<Takes>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Asked {
    pub fn until(until: Timestamp) -> Self {
        Self { until, takes: None }
    }
}

/// The plan that was made last, for whoever asks next.
pub(crate) type LastPlan = Arc<tokio::sync::Mutex<Option<Kept>>>;

pub(crate) struct Kept {
    /// Where the log ended.
    position: u64,
    governance: Digest,
    agenda: Agenda,
}

impl Kept {
    fn answers(&self, position: u64, governance: Digest, until: Timestamp, now: Timestamp) -> bool {
        let Agenda { now: made, until: kept, .. } = self.agenda;
        let is_fresh = made <= now && now < time::after(made, LASTS);
        is_fresh && (self.position, self.governance, kept) == (position, governance, until)
    }
}

impl Handle {
    /// What is expected of every change until then.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agenda(&self, asked: Asked) -> Result<Agenda, StoreError> {
        self.engine.play(asked, None).await
    }

    /// The same, with a change that nobody has proposed, as if it were approved at a moment.
    ///
    /// # Errors
    /// Every problem of the file, or the store's failure.
    pub async fn agenda_with(
        &self,
        actor: &Actor,
        file: &str,
        files: &Files,
        at: Timestamp,
        asked: Asked,
    ) -> Result<Agenda, ProposeError> {
        let proposal = self.check(file, files).map_err(ProposeError::Invalid)?;
        let now = time::to_millis(self.now());
        let event: Event = self.engine.proposed(actor, &proposal, now)?;
        // INVARIANT: a `Proposed` on nothing always makes a change.
        let change = change::evolve(None, SUPPOSED, &event, actor, now).expect("a proposal makes a change");
        Ok(self.engine.play(asked, Some((change, at))).await?)
    }
}

/// A batch of the calendar as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchNow {
    pub name: String,
    pub window: String,
    pub up_to: Risk,
    pub is_open: bool,
    /// When its window opens next; absent where it does not within ten years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub opens_at: Option<Timestamp>,
    /// Who has failed of it, where the rest waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<BatchStopped>,
}

impl BatchNow {
    /// In one sentence, with times as a zone shows them.
    pub fn in_words(&self, zone: &TimeZone) -> String {
        let Self { name, window, up_to, .. } = self;
        let opens = match self.opens_at {
            _ if self.is_open => "is open now".to_owned(),
            Some(at) => format!("opens at {}", agenda::days::shows(at, zone)),
            None => "does not open within ten years".to_owned(),
        };
        let says =
            format!("`{name}` goes in the window `{window}`, which {opens}, with changes up to the risk {up_to}");
        match &self.stopped {
            Some(stopped) => format!(
                "{says}; `{}` has failed, and the rest waits for `clearway batch release {name} --reason ...`",
                stopped.by
            ),
            None => says,
        }
    }
}

impl Handle {
    /// The batches of the calendar, in its order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn batches(&self) -> Result<Vec<BatchNow>, StoreError> {
        let in_force = self.in_force();
        let now = time::to_millis(self.now());
        let one = |batch: &Batch, stopped: Option<BatchStopped>| BatchNow {
            name: batch.name.clone(),
            window: batch.window.clone(),
            up_to: batch.up_to,
            is_open: in_force.calendar.window_is_open(&batch.window, now),
            opens_at: in_force.calendar.window_opens(&batch.window, now),
            stopped: stopped.filter(|_| batch.stop_on_failure),
        };
        let batches = &in_force.governance.calendar.batches;
        self.circumstances(|known| {
            batches.iter().map(|batch| one(batch, known.batch_stopped(&batch.name).cloned())).collect()
        })
        .await
    }

    /// Which share of the changes of each service has failed so far; nothing where none has ended.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn failure_rates(
        &self,
        services: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Option<f64>>, StoreError> {
        let rate = |measures: &measure::Fold, service: &String| (service.clone(), measures.failure_rate(service));
        self.engine.with_folds(|folds| services.iter().map(|one| rate(&folds.measures, one)).collect()).await
    }
}

impl Engine {
    async fn play(&self, asked: Asked, supposed: Option<(Change, Timestamp)>) -> Result<Agenda, StoreError> {
        let mut kept = self.last_plan.clone().lock_owned().await;
        let in_force = self.in_force();
        let now = time::to_millis(self.clock.now());
        let position = self.with_folds(|folds| folds.next).await?;
        let (governance, until) = (in_force.governance.digest, asked.until);
        let for_everybody = asked.takes.is_none() && supposed.is_none();
        let known = kept.as_ref().filter(|kept| for_everybody && kept.answers(position, governance, until, now));
        if let Some(known) = known {
            return Ok(known.agenda.clone());
        }
        let moment = Moment { now, patience: in_force.governance.settings.patience };
        let everybody = self.with_folds(|folds| folds.traffic.everybody(now)).await?;
        let Choice { played, mut places, left_out } = choice::choose(everybody, MOST_CHANGES, moment);
        let mut all = Vec::new();
        for id in played {
            if let Some(change) = self.load(id).await?.filter(|change| !change.phase().is_terminal()) {
                all.push(self.asking(change, None).await?);
            }
        }
        if let Some((change, at)) = supposed {
            let place = self.with_folds(|folds| folds.traffic.place_of(&change, now)).await?;
            places.insert(change.id, place);
            all.push(self.asking(change, Some(at)).await?);
        }
        // Whoever leaves meanwhile leaves the play to its end: the next one begins after it.
        let played = tokio::task::spawn_blocking(move || {
            let (governance, calendar) = (&in_force.governance, &*in_force.calendar);
            let takes = asked.takes.unwrap_or_else(|| Arc::new(agenda::as_planned));
            let (places, changes, left_out) = (&places, &all, &left_out);
            let known = Known { now, until, governance, calendar, places, left_out, changes, takes: &*takes };
            let mut agenda = agenda::plan(&known);
            agenda.cut = agenda.cut.or(left_out.in_words(MOST_CHANGES));
            if for_everybody {
                *kept = Some(Kept { position, governance: governance.digest, agenda: agenda.clone() });
            }
            agenda
        });
        played.await.map_err(|error| StoreError::Failed(format!("the play broke off: {error}")))
    }

    async fn asking(&self, change: Change, supposed_at: Option<Timestamp>) -> Result<Asking, StoreError> {
        let mut given = self.given(&change, &Actor::Clearway(Part::Clock)).await?;
        if let Some(hold) = change.hold.as_ref().filter(|_| change.rollout().is_none()) {
            given.readiness = readiness(&hold.gates);
        }
        Ok(Asking { change, given, supposed_at })
    }
}

/// What was found at the target when it was asked last: what nobody has asked is open until it is. Where another gate holds too, the target is asked anew
/// once that one opens, and what it said counts no more.
fn readiness(gates: &[Gate]) -> Readiness {
    let is_last = gates.iter().filter(|gate| gate.holds()).all(|gate| gate.gate == GateName::Readiness);
    let mut not_ready = gates.iter().filter(|gate| is_last && gate.code() == Some("not_ready") && gate.holds());
    let reason = not_ready.find_map(|gate| match &gate.state {
        GateState::Closed { reason, .. } => Some(reason.clone()),
        GateState::Open => None,
    });
    reason.map_or(Readiness::Ready, |reason| Readiness::NotReady { problems: vec![reason] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(gate: GateName, code: &str) -> Gate {
        let state = GateState::Closed { code: code.into(), reason: "no answer".into(), opens_at: None, who_can: None };
        Gate::new(gate, state)
    }

    // PR5: a target that could not be seen on Friday keeps nobody from being planned for Monday.
    #[test]
    fn what_a_target_said_counts_while_nothing_else_holds_the_change() {
        let not_ready = closed(GateName::Readiness, "not_ready");
        let said = Readiness::NotReady { problems: vec!["no answer".into()] };
        assert_eq!(readiness(std::slice::from_ref(&not_ready)), said);
        let shut = closed(GateName::Windows, "outside_window");
        assert_eq!(readiness(&[shut, not_ready]), Readiness::Ready);
        assert_eq!(readiness(&[closed(GateName::Readiness, "readiness_unknown")]), Readiness::Ready);
    }
}
