//! Standards: changes that were approved once for all: who proposes them, whether they count now, and when they are suspended.
//!
//! The server makes the change file itself, from the template in force: nobody can edit what was approved. Whether an instance goes without votes is
//! the core's to say ([`change::standard::standing`]); here it is asked with the record of the log. A suspension is derived from the record, never
//! remembered: whoever finds it missing appends it, and the version of its stream lets only one of them do so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::actor::Part;
use change::circumstances::{Record, standard_stream};
use change::course::Standard;
use change::lifecycle::{Rejection, Urgency};
use change::standard::{Standing, Template, standing};
use change::{Actor, Change, Digest, Event, Permission};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::handle::{Engine, Handle, ProposeError};
use crate::ports::{Batch, Message, NewEvent, StoreError, StreamWrite};
use crate::way::{Draft, Way};

/// A standard change as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StandardNow {
    pub template: Template,
    /// Over what was approved.
    pub digest: Digest,
    pub record: Record,
    pub standing: Standing,
}

impl Handle {
    /// The standard changes of the governance in force, by id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn standards(&self) -> Result<Vec<StandardNow>, StoreError> {
        let (in_force, now) = (self.in_force(), self.now());
        self.circumstances(|circumstances| {
            let each = in_force.governance.standards.values();
            let each = each.map(|template| {
                let record = circumstances.standard(&template.id);
                let standing = template.standing(&record, now);
                StandardNow { template: template.clone(), digest: template.digest(), record, standing }
            });
            each.collect()
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn standard(&self, id: &str) -> Result<Option<StandardNow>, StoreError> {
        Ok(self.standards().await?.into_iter().find(|standard| standard.template.id == id))
    }

    /// The change that a standard change is for these parameters, as a draft.
    ///
    /// # Errors
    /// What is wrong with the parameters, or that there is no such standard change.
    pub fn draft_standard(&self, id: &str, parameters: &BTreeMap<String, Value>) -> Result<Draft, ProposeError> {
        let in_force = self.in_force();
        let template = in_force.governance.standards.get(id);
        let template =
            template.ok_or_else(|| ProposeError::NoSuchWay(format!("there is no standard change `{id}`")))?;
        let (text, standard) = template
            .instantiate(parameters)
            .map_err(|problems| ProposeError::Parameters { standard: id.to_owned(), problems })?;
        Ok(Draft { text, way: Way::Standard(standard), ..Draft::default() })
    }

    /// Proposes a standard change. With a key, the same request made again answers with the same change.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose_standard(
        &self,
        actor: &Actor,
        id: &str,
        parameters: &BTreeMap<String, Value>,
        key: Option<&str>,
    ) -> Result<Change, ProposeError> {
        let draft = self.draft_standard(id, parameters)?;
        self.allow_standard(actor, id).await?;
        self.propose_draft(actor, &draft, key).await
    }

    /// Whether the template is for them; that they may propose changes of its services is asked after.
    async fn allow_standard(&self, actor: &Actor, id: &str) -> Result<(), ProposeError> {
        let in_force = self.in_force();
        let (governance, user) = (&in_force.governance, actor.user().unwrap_or_default());
        let Some(template) = governance.standards.get(id).filter(|t| !t.is_for(user, &governance.access)) else {
            return Ok(());
        };
        let rejection = Rejection::NotAllowed { actor: actor.clone(), permission: Permission::Propose };
        self.engine.record_refusal_of(actor, "standard propose", &rejection).await;
        let (standard, may) = (id.to_owned(), template.may.join("`, `"));
        Err(ProposeError::NotForThem { actor: actor.clone(), standard, may })
    }
}

impl Engine {
    /// Whether an instance goes without votes now. A suspension that is owed is made up for first.
    pub(crate) async fn standing_now(self: &Arc<Self>, change: &Change) -> Result<Standing, StoreError> {
        let Some(instance) = change.proposal.course.standard() else { return Ok(Standing::Counts { warning: None }) };
        self.suspend_if_owed(change).await?;
        let record = self.with_folds(|folds| folds.circumstances.standard(&instance.id)).await?;
        let in_force = self.in_force();
        Ok(standing(in_force.governance.standards.get(&instance.id), instance, &record, self.clock.now()))
    }

    /// Suspends the standard change of an instance whose failures are enough. Whoever is told hears of the change that was the last straw.
    pub(crate) async fn suspend_if_owed(self: &Arc<Self>, change: &Change) -> Result<(), StoreError> {
        let Some(Standard { id, .. }) = change.proposal.course.standard() else { return Ok(()) };
        let in_force = self.in_force();
        let Some(template) = in_force.governance.standards.get(id) else { return Ok(()) };
        if template.owes_suspension(&self.with_folds(|folds| folds.circumstances.standard(id)).await?).is_none() {
            return Ok(());
        }
        let stream = standard_stream(id);
        loop {
            // INVARIANT: the version is read before the record. Where it is older than the record, the append conflicts, and both are read again.
            let expected = self.store.read(&stream, 0).await?.last().map_or(0, |last| last.version);
            let record = self.with_folds(|folds| folds.circumstances.standard(id)).await?;
            let Some(reason) = template.owes_suspension(&record) else { return Ok(()) };
            let failures = record.failed_in_a_row;
            let event = Event::StandardSuspended { standard: id.clone(), failures, reason: reason.clone() };
            let event = NewEvent {
                event: crate::scrub::whole(&*self.scrub, event)?,
                actor: Actor::Clearway(Part::Policy),
                change: None,
                time: change::time::to_millis(self.clock.now()),
            };
            let writes = vec![StreamWrite { stream: stream.clone(), expected, events: vec![event] }];
            match self.write(Batch { writes, ..Batch::default() }).await {
                Ok(appended) => {
                    self.announce(None, appended.size);
                    self.tell_of_suspension(change, template, &reason).await;
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(other),
            }
        }
    }

    async fn tell_of_suspension(&self, change: &Change, template: &Template, reason: &str) {
        let reason = format!("the standard change `{}` is suspended: {reason}", template.id);
        let to: BTreeSet<String> = [template.owner.clone()].into();
        let message = Message { title: &change.proposal.title, reason: &reason, to: &to, urgency: Urgency::Notice };
        if let Err(error) = self.voice.tell(change.id, &message).await {
            tracing::error!(change = %change.id, %error, reason, "the owner of a standard change could not be told");
        }
    }
}
