//! Recovery: an administrator for a time, made by whoever has the rights of the store's files.
//!
//! In the log before it has effect; people are told until somebody has heard, and again after each start; gone by itself. Who may ask for it is not decided here: that is the rights
//! of files, on the machine itself.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use change::actor::Part;
use change::time::{after, to_millis};
use change::{Actor, Event, Span, Timestamp};

use crate::handle::{ACCESS, Engine, Handle};
use crate::in_force::Recovered;
use crate::ports::{Recorded, StoreError};

/// The longest time for which an administrator can be recovered.
pub const LONGEST: Span = Span::secs(86_400);
/// How long after a page that nobody heard it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

impl Handle {
    /// Makes a user an administrator for a time, at most a day.
    ///
    /// # Errors
    /// If the store fails: nothing has effect then.
    pub async fn recover(&self, user: &str, lasts: Span, reason: &str) -> Result<Timestamp, StoreError> {
        let until = after(to_millis(self.now()), lasts.min(LONGEST));
        let (user, reason) = (user.to_owned(), reason.to_owned());
        let event = Event::AdministratorRecovered { user: user.clone(), until, reason: reason.clone() };
        self.engine.note(ACCESS, event, &Actor::Clearway(Part::Server)).await?;
        self.engine.take_up(Recovered { user: user.clone(), until });
        self.engine.clone().sound_alarm(told(&user, until, &reason), until);
        Ok(until)
    }

    /// Who was recovered and still may govern for it.
    pub fn recovered(&self) -> Vec<Recovered> {
        let now = self.now();
        self.engine.all_recovered().into_iter().filter(|one| one.until > now).collect()
    }

    /// Appends an event about tokens.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record_access(&self, actor: &Actor, event: Event) -> Result<(), StoreError> {
        self.engine.note(ACCESS, event, actor).await
    }

    /// What the log says of tokens and of recovered administrators.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn access_log(&self) -> Result<Vec<Recorded>, StoreError> {
        self.engine.store.read(ACCESS, 0).await
    }

    /// Takes up again, after a start, who was recovered before it. People are told once more: nobody knows whether the last alarm was heard, and one that
    /// is heard twice costs less than one that dies with a server.
    pub(crate) async fn remember_recovered(&self) -> Result<(), StoreError> {
        let now = self.now();
        for recorded in self.access_log().await? {
            match recorded.event {
                Event::AdministratorRecovered { user, until, reason } if until > now => {
                    self.engine.clone().sound_alarm(told(&user, until, &reason), until);
                    self.engine.take_up(Recovered { user, until });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn told(user: &str, until: Timestamp, reason: &str) -> String {
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("`{user}` may govern until {until}, made so on the machine itself{why}")
}

impl Engine {
    pub(crate) fn all_recovered(&self) -> Vec<Recovered> {
        self.recovered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_up(&self, one: Recovered) {
        let now = self.clock.now();
        {
            let mut recovered = self.recovered.write().unwrap_or_else(PoisonError::into_inner);
            recovered.retain(|other| other.until > now && other.user != one.user);
            recovered.push(one);
        }
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        *in_force = Arc::new((**in_force).clone().at(now, &self.all_recovered()));
    }

    /// Tells people, again and again until a channel has delivered or it is over.
    fn sound_alarm(self: Arc<Self>, reason: String, until: Timestamp) {
        let engine = Arc::downgrade(&self);
        tokio::spawn(async move {
            while let Some(engine) = engine.upgrade().filter(|engine| engine.clock.now() < until) {
                match engine.voice.alarm("An administrator was recovered", &reason).await {
                    Ok(_) => return,
                    Err(error) => tracing::warn!(error, "nobody could be told of a recovered administrator"),
                }
                drop(engine);
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}
