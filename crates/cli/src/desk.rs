//! The desk: lets people in by their tokens, and sees to it that the log knows of each token before it opens anything.
//!
//! The file of tokens is where they are made, also while no server runs; the log is the truth about what happened. So what the file says and the log does
//! not is appended first, once; only then is somebody let in. In the same way an administrator is recovered: a request in the server's folder, which only
//! its owner can write, is taken up once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use change::actor::Part;
use change::{Actor, Event, Span, Timestamp};
use engine::Handle;
use engine::ports::StoreError;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use server::{Identify, Identity, Made, NewToken, Stranger, TokenView};
use tokio_util::sync::CancellationToken;

use crate::exit::Outcome;
use crate::place::{Place, read_private, write_private};
use crate::tokens::{Kept, Tokens};

const PACE: Duration = Duration::from_secs(1);

/// A request for an administrator, as a file in the server's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    pub user: String,
    pub lasts: Span,
    pub reason: String,
}

pub(crate) struct Desk {
    tokens: Arc<Tokens>,
    handle: Handle,
    place: Place,
    /// What the log says of tokens.
    logged: tokio::sync::Mutex<Logged>,
    /// The users that were last written down.
    users: Mutex<Option<Vec<String>>>,
}

#[derive(Default)]
struct Logged {
    facts: BTreeSet<(Fact, String)>,
    /// The generation of the file all of which is in the log.
    generation: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    Made,
    Used,
    Revoked,
}

impl Desk {
    /// A desk that knows what the log knows.
    pub(crate) async fn open(tokens: Arc<Tokens>, handle: Handle, place: Place) -> Result<Self, StoreError> {
        let facts = handle.access_log().await?.into_iter().filter_map(|recorded| fact_of(&recorded.event)).collect();
        let logged = tokio::sync::Mutex::new(Logged { facts, generation: None });
        let desk = Self { tokens, handle, place, logged, users: Mutex::default() };
        desk.settle().await?;
        desk.write_users();
        Ok(desk)
    }

    /// Looks at the folder until told to stop: what was made or revoked there, and who is to be recovered.
    pub(crate) async fn attend(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PACE)).await.is_some() {
            if let Err(failure) = self.tokens.refresh() {
                tracing::error!(why = failure.message, "the tokens can't be read");
            }
            if let Err(error) = self.settle().await {
                tracing::error!(%error, "the log could not be told of a token");
            }
            self.recover().await;
            self.write_users();
        }
    }

    /// Appends what the file says and the log does not.
    async fn settle(&self) -> Result<(), StoreError> {
        let generation = self.tokens.refresh().unwrap_or_default();
        let mut logged = self.logged.lock().await;
        if logged.generation == Some(generation) {
            return Ok(());
        }
        for token in self.tokens.all() {
            for (fact, actor, event) in facts_of(&token) {
                let key = (fact, token.id.clone());
                if !logged.facts.contains(&key) {
                    self.handle.record_access(&actor, event).await?;
                    logged.facts.insert(key);
                }
            }
        }
        logged.generation = Some(generation);
        Ok(())
    }

    /// Takes up a request to recover an administrator. It is put away first: one that is lost has no effect, and can be made again.
    async fn recover(&self) {
        let (asked, taken) = (self.place.recovery(), self.place.recovery().with_extension("taken"));
        if !asked.exists() {
            return;
        }
        let request = read_private(&asked).map(|bytes| serde_json::from_slice::<Recovery>(&bytes));
        if let Err(error) = std::fs::rename(&asked, &taken) {
            return tracing::error!(%error, "a request to recover an administrator can't be taken up");
        }
        match request {
            Ok(Ok(request)) => match self.handle.recover(&request.user, request.lasts, &request.reason).await {
                Ok(until) => tracing::warn!(user = request.user, %until, "an administrator was recovered"),
                Err(error) => tracing::error!(%error, "an administrator could not be recovered"),
            },
            Ok(Err(error)) => tracing::error!(%error, "a request to recover an administrator can't be read"),
            Err(failure) => {
                tracing::error!(why = failure.message, "a request to recover an administrator can't be read");
            }
        }
        let _ = std::fs::remove_file(&taken);
    }

    /// Keeps beside the store who there is, for tokens that are made on the machine itself.
    fn write_users(&self) {
        let in_force = self.handle.in_force();
        let access = &in_force.governance.access;
        let users: Vec<String> =
            access.users.iter().filter(|user| access.is_active(&user.id)).map(|user| user.id.clone()).collect();
        let mut known = self.users.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.as_ref() == Some(&users) {
            return;
        }
        match write_private(&self.place.users(), &serde_json::to_vec(&users).unwrap_or_default()) {
            Ok(()) => *known = Some(users),
            Err(failure) => tracing::error!(why = failure.message, "the list of users can't be written"),
        }
    }

    fn now(&self) -> Timestamp {
        change::time::to_millis(self.handle.now())
    }

    async fn let_in(&self, token: &str) -> Result<Identity, Stranger> {
        let kept = self.tokens.check(token, self.now())?;
        let broken = |why: String| {
            tracing::error!(why, "a token can't be used: the log could not be told");
            Stranger::Broken
        };
        self.tokens.used(&kept.id, self.now()).map_err(|failure| broken(failure.message))?;
        self.settle().await.map_err(|error| broken(error.to_string()))?;
        Ok(Identity { user: kept.user, token: Some(kept.id), limits: kept.limits })
    }
}

/// What the log has to say of a token: by whom, and what.
fn facts_of(token: &Kept) -> Vec<(Fact, Actor, Event)> {
    let (id, user) = (token.id.clone(), token.user.clone());
    let by = |who: &Option<String>| who.clone().map_or(Actor::Clearway(Part::Server), Actor::User);
    let made = Event::TokenMade {
        token: id.clone(),
        user: user.clone(),
        name: token.name.clone(),
        limits: token.limits.clone(),
        expires: token.expires,
    };
    let mut facts = vec![(Fact::Made, by(&token.made_by), made)];
    if token.last_used.is_some() {
        let used = Event::TokenFirstUsed { token: id.clone(), user: user.clone() };
        facts.push((Fact::Used, Actor::User(user.clone()), used));
    }
    if token.revoked.is_some() {
        facts.push((Fact::Revoked, by(&token.revoked_by), Event::TokenRevoked { token: id, user }));
    }
    facts
}

fn fact_of(event: &Event) -> Option<(Fact, String)> {
    match event {
        Event::TokenMade { token, .. } => Some((Fact::Made, token.clone())),
        Event::TokenFirstUsed { token, .. } => Some((Fact::Used, token.clone())),
        Event::TokenRevoked { token, .. } => Some((Fact::Revoked, token.clone())),
        _ => None,
    }
}

fn said<T>(outcome: Outcome<T>) -> Result<T, String> {
    outcome.map_err(|failure| failure.message)
}

impl Identify for Desk {
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity, Stranger>> {
        Box::pin(self.let_in(token))
    }

    fn still(&self, token: &str) -> Result<(), Stranger> {
        self.tokens.still(token, self.now())
    }

    fn one_time(&self, code: &str) -> Option<Identity> {
        self.tokens.take_code(code).map(|user| Identity { user, ..Identity::default() })
    }

    fn owner(&self, token: &str) -> Option<String> {
        self.tokens.owner(token)
    }

    fn make(&self, new: NewToken) -> BoxFuture<'_, Result<Made, String>> {
        Box::pin(async move {
            let made = said(self.tokens.create(new, self.now()))?;
            self.settle().await.map_err(|error| error.to_string())?;
            Ok(made)
        })
    }

    fn list(&self) -> Result<Vec<TokenView>, String> {
        said(self.tokens.refresh())?;
        Ok(self.tokens.all().iter().map(Kept::view).collect())
    }

    fn revoke<'a>(&'a self, token: &'a str, by: &'a str) -> BoxFuture<'a, Result<Vec<TokenView>, String>> {
        Box::pin(async move {
            let revoked = said(self.tokens.revoke(token, Some(by), self.now()))?;
            self.settle().await.map_err(|error| error.to_string())?;
            Ok(revoked)
        })
    }
}
