//! People: what is said beside the changes: who stands in for whom, that everything stops, that a standard change counts again.
//!
//! Each is an event in a stream of its own; what follows for a change is the core's to say. Who may is asked here of the table in access.yaml, because
//! there is no change to ask it of; a refusal is recorded like any other.

use change::actor::Access;
use change::approval::{APPROVERS, ON_CALL, SERVICE_OWNERS};
use change::batch::BATCHES;
use change::circumstances::{Circumstances, Delegation, PEOPLE, STOPS, standard_stream};
use change::document::nearest;
use change::lifecycle::Rejection;
use change::{Actor, Event, Permission, Span, Timestamp};

use crate::handle::{CommandError, Handle};
use crate::ports::StoreError;

/// The longest that somebody's place is given: who is gone for longer has left, which access.yaml says.
const LONGEST: Span = Span::secs(90 * 86_400);
/// The groups that nobody lists, because a role or a service makes their members.
const BY_ROLE: [&str; 3] = [APPROVERS, SERVICE_OWNERS, ON_CALL];

impl Handle {
    /// What is true beside the changes, as far as the log goes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn circumstances<T>(&self, read: impl FnOnce(&Circumstances) -> T) -> Result<T, StoreError> {
        self.engine.with_folds(|folds| read(&folds.circumstances)).await
    }

    /// Puts somebody in another's place for a while, or says that they are away. People do so for themselves, those who govern for anybody.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn delegate(&self, actor: &Actor, delegation: Delegation) -> Result<(), CommandError> {
        self.allow(actor, "delegate", actor.user() == Some(delegation.from.as_str()), Permission::Govern).await?;
        possible(actor, &delegation, &self.in_force().governance.access, self.now())
            .map_err(CommandError::Impossible)?;
        self.note(PEOPLE, Event::Delegated(delegation), actor).await
    }

    /// Ends the delegations of a user, or one of them.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn end_delegation(&self, actor: &Actor, from: &str, to: Option<&str>) -> Result<(), CommandError> {
        self.allow(actor, "back", actor.user() == Some(from), Permission::Govern).await?;
        let event = Event::DelegationEnded { from: from.to_owned(), to: to.map(str::to_owned) };
        self.note(PEOPLE, event, actor).await
    }

    /// Stops everything: no step begins until it is released. What was begun is finished and judged, and rollbacks pass.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn stop_all(&self, actor: &Actor, reason: &str) -> Result<(), CommandError> {
        self.allow(actor, "stop-all", false, Permission::Freeze).await?;
        let reason = given(reason)?;
        if let Some(stopped) = self.circumstances(|c| c.stopped().cloned()).await? {
            // Sent twice by one person it is one stop; another one would hide who stopped first, and why.
            if stopped.by == *actor && stopped.reason == reason {
                return Ok(());
            }
            let message = format!(
                "everything is stopped already, by {} since `{}`: {}",
                stopped.by, stopped.since, stopped.reason
            );
            return Err(CommandError::Impossible(message));
        }
        self.note(STOPS, Event::AllStopped { reason }, actor).await
    }

    /// Releases a stop.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn release_all(&self, actor: &Actor, reason: &str) -> Result<(), CommandError> {
        self.allow(actor, "stop-all --release", false, Permission::Freeze).await?;
        if self.circumstances(|c| c.stopped().is_none()).await? {
            return Err(CommandError::Impossible("nothing is stopped".into()));
        }
        self.note(STOPS, Event::StopReleased { reason: given(reason)? }, actor).await
    }

    /// Lets the rest of a batch go on, of which one has failed.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn release_batch(&self, actor: &Actor, batch: &str, reason: &str) -> Result<(), CommandError> {
        self.allow(actor, "batch release", false, Permission::Freeze).await?;
        let in_force = self.in_force();
        let names = || in_force.governance.calendar.batches.iter().map(|one| one.name.as_str());
        if !names().any(|name| name == batch) {
            let why = format!("there is no batch `{batch}`; calendar.yaml has: {}", change::document::all(names()));
            return Err(CommandError::Impossible(why));
        }
        if self.circumstances(|c| c.batch_stopped(batch).is_none()).await? {
            return Err(CommandError::Impossible(format!("the batch `{batch}` is not stopped")));
        }
        let event = Event::BatchReleased { batch: batch.to_owned(), reason: given(reason)? };
        self.note(BATCHES, event, actor).await
    }

    /// Lets a suspended standard change count again.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn reinstate(&self, actor: &Actor, standard: &str, reason: &str) -> Result<(), CommandError> {
        self.allow(actor, "standard reinstate", false, Permission::Govern).await?;
        if self.circumstances(|c| c.standard(standard).suspended.is_none()).await? {
            return Err(CommandError::Impossible(format!("the standard change `{standard}` is not suspended")));
        }
        let event = Event::StandardReinstated { standard: standard.to_owned(), reason: given(reason)? };
        self.note(&standard_stream(standard), event, actor).await
    }

    /// When a delegation that lasts so long from now ends.
    pub fn until(&self, span: change::Span) -> Timestamp {
        change::time::after(change::time::to_millis(self.now()), span)
    }

    async fn allow(&self, actor: &Actor, what: &str, own: bool, needed: Permission) -> Result<(), CommandError> {
        let everywhere =
            actor.user().is_some_and(|user| self.in_force().governance.access.may_everywhere(user, needed));
        if own || everywhere {
            return Ok(());
        }
        let rejection = Rejection::NotAllowed { actor: actor.clone(), permission: needed };
        self.engine.record_refusal_of(actor, what, &rejection).await;
        Err(rejection.into())
    }

    async fn note(&self, stream: &str, event: Event, actor: &Actor) -> Result<(), CommandError> {
        Ok(self.engine.note(stream, event, actor).await?)
    }
}

/// Whether a delegation can be. Must not let anybody give themselves another's seat: only whose seat it is can offer it.
fn possible(actor: &Actor, delegation: &Delegation, access: &Access, now: Timestamp) -> Result<(), String> {
    let Delegation { from, to, groups, until, .. } = delegation;
    if let Some(stranger) = [Some(from), to.as_ref()].into_iter().flatten().find(|user| !access.is_active(user)) {
        return Err(format!("no active user `{stranger}` is in access.yaml"));
    }
    if to.as_ref() == Some(from) {
        return Err("nobody stands in for themselves".into());
    }
    if to.as_deref().is_some_and(|to| actor.user() == Some(to)) {
        return Err(format!(
            "nobody takes the place of `{from}` themselves: `{from}`, or somebody else who governs, can give it"
        ));
    }
    let is_known = |group: &str| access.groups.iter().any(|known| known.id == group) || BY_ROLE.contains(&group);
    if let Some(unknown) = groups.iter().find(|group| !is_known(group)) {
        let known = access.groups.iter().map(|group| group.id.as_str()).chain(BY_ROLE);
        let near = nearest(unknown, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(format!("there is no group `{unknown}` in access.yaml{near}"));
    }
    if *until <= now {
        return Err(format!("`{until}` is over already"));
    }
    if *until > change::time::after(change::time::to_millis(now), LONGEST) {
        return Err(format!("`{until}` is too far: a place is given for at most {LONGEST}, and then anew"));
    }
    Ok(())
}

fn given(reason: &str) -> Result<String, CommandError> {
    Ok(change::lifecycle::reason(reason)?)
}
