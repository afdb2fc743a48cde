//! Events: what moves, as it moves, over server-sent events.
//!
//! Notices of the engine say that something happened, never what; so they are coalesced, at most four times a second, and what is true now is read and
//! sent if it differs from what was sent before. A listener that fell behind misses nothing that still holds. Bounded in number and in time: a browser
//! comes back by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use change::{Change, ChangeId, explain};
use engine::handle::Notice;
use engine::ports::{ListQuery, LookRow, StoreError};
use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;

use crate::Shared;
use crate::api::changes::load;
use crate::extract::Id;
use crate::identity::{Caller, Reader};
use crate::problem::Problem;
use crate::schema::documented;

/// The most listeners at once.
pub(crate) const MOST_LISTENERS: usize = 1_000;
const PACE: Duration = Duration::from_millis(250);
/// After this time a stream ends and permissions are asked anew.
const LASTS: Duration = Duration::from_secs(900);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many changes are looked through when a listener to all of them fell behind.
const MOST_CAUGHT_UP: usize = 100;

/// How a change stands, in short.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Moved {
    pub id: ChangeId,
    pub phase: String,
    pub status: String,
    pub version: u64,
    /// From 0; absent where nothing is rolled out.
    pub step: Option<usize>,
    /// From 0 to 1: how near the verdict is to `fail`.
    pub harm: Option<f64>,
    /// From 0 to 1: how near the verdict is to `pass`.
    pub safety: Option<f64>,
    /// The number of the newest look.
    pub look: u64,
}

documented!(Moved);

impl Moved {
    pub(crate) fn of(change: &Change, newest: Option<&LookRow>) -> Self {
        let rollout = change.any_rollout();
        let judgement = rollout.and_then(|r| r.judgement.as_ref());
        let here = newest.filter(|look| rollout.is_some_and(|r| (look.step, look.attempt) == (r.step, r.attempt)));
        let figure = |name: &str| here.and_then(|look| look.verdict.get(name)).and_then(Value::as_f64);
        Self {
            id: change.id,
            phase: change.phase().name().to_owned(),
            status: explain::status(change),
            version: change.version,
            step: rollout.map(|r| r.step),
            harm: figure("harm").or(judgement.map(|j| j.harm)),
            safety: figure("safety").or(judgement.map(|j| j.safety)),
            look: newest.map_or(0, |look| look.number),
        }
    }

    fn message(&self) -> Message {
        // INVARIANT: its figures are finite and its keys are strings.
        let text = serde_json::to_string(self).expect("a move has a JSON form");
        Message::default().event("change").id(format!("{}.{}", self.version, self.look)).data(text)
    }
}

/// What may have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Of(BTreeSet<ChangeId>),
    /// The listener fell behind: anything may have.
    Anything,
}

impl News {
    fn with(self, notice: Result<Notice, broadcast::error::RecvError>, only: Option<ChangeId>) -> Self {
        match (self, notice) {
            (Self::Of(mut ids), Ok(notice)) => {
                ids.extend(notice.change.filter(|id| only.is_none_or(|only| only == *id)));
                Self::Of(ids)
            }
            (Self::Anything, _) | (_, Err(_)) => Self::Anything,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::Of(BTreeSet::new())
    }
}

/// Notices gathered, about one change or about all, at most one batch in each quarter of a second; the first of them at once.
pub(crate) fn coalesced(notices: broadcast::Receiver<Notice>, only: Option<ChangeId>) -> impl Stream<Item = News> {
    futures::stream::unfold((notices, Instant::now()), move |(mut notices, next)| async move {
        let mut news = News::Of(BTreeSet::new());
        while news.is_empty() {
            news = match notices.recv().await {
                Err(broadcast::error::RecvError::Closed) => return None,
                notice => news.with(notice, only),
            };
        }
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => break,
                notice = notices.recv() => match notice {
                    Err(broadcast::error::RecvError::Closed) => break,
                    notice => news = news.with(notice, only),
                },
            }
        }
        Some((news, (notices, Instant::now() + PACE)))
    })
}

/// Reads how changes stand, and says so where it is news.
struct Teller {
    server: Shared,
    /// Who listens: asked for each message what they see by then.
    caller: Caller,
    told: BTreeMap<ChangeId, Told>,
    _permit: OwnedSemaphorePermit,
}

struct Told {
    moved: Moved,
    look: Option<LookRow>,
}

impl Teller {
    async fn moved(&mut self, id: ChangeId) -> Result<Option<Moved>, StoreError> {
        let change = self.server.handle.change(id).await?;
        let Some(change) = change.filter(|change| self.caller.sees(&self.server, change)) else { return Ok(None) };
        let before = self.told.get(&id);
        let after = before.and_then(|t| t.look.as_ref()).map_or(0, |look| look.number);
        let is_rolling = change.rollout().is_some();
        let newest = if is_rolling { self.server.handle.looks(id, after).await?.pop() } else { None };
        let look = newest.or_else(|| before.and_then(|t| t.look.clone()));
        let moved = Moved::of(&change, look.as_ref());
        if before.is_some_and(|told| told.moved == moved) {
            return Ok(None);
        }
        if change.phase().is_terminal() {
            // What has ended hardly moves again: it is not worth the memory.
            self.told.remove(&id);
        } else {
            self.told.insert(id, Told { moved: moved.clone(), look });
        }
        Ok(Some(moved))
    }

    async fn messages(&mut self, ids: BTreeSet<ChangeId>) -> Vec<Result<Message, Infallible>> {
        let mut messages = Vec::new();
        for id in ids {
            match self.moved(id).await {
                Ok(moved) => messages.extend(moved.map(|m| Ok(m.message()))),
                Err(error) => tracing::warn!(change = %id, %error, "a listener could not be told; the next move tells"),
            }
        }
        messages
    }

    async fn active(&self) -> BTreeSet<ChangeId> {
        let query = ListQuery { limit: MOST_CAUGHT_UP, ..ListQuery::default() };
        let rows = self.server.handle.list(&query).await.unwrap_or_default();
        rows.into_iter().map(|row| row.id).collect()
    }
}

fn listen(server: &Shared, caller: Caller) -> Result<Teller, Problem> {
    let permit = Arc::clone(&server.listeners).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::busy(format!("there are {MOST_LISTENERS} listeners already")))?;
    Ok(Teller { server: server.clone(), caller, told: BTreeMap::new(), _permit: permit })
}

fn respond(stream: impl Stream<Item = Result<Message, Infallible>> + Send + 'static) -> Response {
    let hello = futures::stream::once(async { Ok(Message::default().retry(Duration::from_secs(2))) });
    let stream = hello.chain(stream).take_until(tokio::time::sleep(LASTS));
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive"));
    ([("x-accel-buffering", "no")], sse).into_response()
}

/// Listens to one change.
///
/// An event `change` with how it stands at once, and whenever it moves or a look is taken, at most four times a second.
#[utoipa::path(get, path = "/changes/{id}/events", operation_id = "listenToChange", tag = "events", params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "A stream of server-sent events; the data of each is this.", content_type = "text/event-stream", body = Moved)))]
pub(crate) async fn of_change(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<Response, Problem> {
    load(&server, &caller, id).await?;
    let teller = listen(&server, caller)?;
    let now = futures::stream::once(async { News::Anything });
    let news = now.chain(coalesced(server.handle.subscribe(), Some(id)));
    let told = futures::stream::unfold((Box::pin(news), teller), move |(mut news, mut teller)| async move {
        news.next().await?;
        let messages = teller.messages([id].into()).await;
        Some((futures::stream::iter(messages), (news, teller)))
    });
    Ok(respond(told.flatten()))
}

/// Listens to all changes.
///
/// An event `change` whenever one moves or a look at one is taken, at most four times a second for each.
#[utoipa::path(get, path = "/events", operation_id = "listen", tag = "events",
    responses((status = 200, description = "A stream of server-sent events; the data of each is this.", content_type = "text/event-stream", body = Moved)))]
pub(crate) async fn of_all(State(server): State<Shared>, Reader(caller): Reader) -> Result<Response, Problem> {
    let teller = listen(&server, caller)?;
    let news = Box::pin(coalesced(server.handle.subscribe(), None));
    let told = futures::stream::unfold((news, teller), |(mut news, mut teller)| async move {
        let ids = match news.next().await? {
            News::Of(ids) => ids,
            News::Anything => teller.active().await,
        };
        let messages = teller.messages(ids).await;
        Some((futures::stream::iter(messages), (news, teller)))
    });
    Ok(respond(told.flatten()))
}

pub(crate) fn no_change(id: ChangeId) -> Problem {
    Problem::not_found(engine::CommandError::NoSuchChange(id).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn notice(number: u64) -> Notice {
        Notice { change: Some(ChangeId::new(number)), size: 0 }
    }

    fn of(numbers: &[u64]) -> Option<News> {
        Some(News::Of(numbers.iter().copied().map(ChangeId::new).collect()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_notice_is_told_at_once_and_those_after_it_together() {
        let (sender, receiver) = broadcast::channel(16);
        let mut news = Box::pin(coalesced(receiver, None));
        let began = Instant::now();
        sender.send(notice(7)).expect("a listener");
        assert_eq!(news.next().await, of(&[7]));
        assert_eq!(began.elapsed(), Duration::ZERO);
        for number in [7, 8, 7, 9, 8] {
            sender.send(notice(number)).expect("a listener");
        }
        assert_eq!(news.next().await, of(&[7, 8, 9]));
        assert_eq!(began.elapsed().as_millis() / 10, 25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_of_notices_is_told_at_most_five_times() {
        let (sender, receiver) = broadcast::channel(4_096);
        let mut news = Box::pin(coalesced(receiver, None));
        let sending = tokio::spawn(async move {
            for _ in 0..1_000 {
                sender.send(notice(7)).expect("a listener");
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        });
        let mut told = 0;
        while news.next().await.is_some() {
            told += 1;
        }
        sending.await.expect("no panic");
        assert!((4..=5).contains(&told), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fell_behind_hears_that_anything_may_have_moved() {
        let (sender, receiver) = broadcast::channel(2);
        for number in 1..=9 {
            sender.send(notice(number)).expect("a listener");
        }
        assert_eq!(Box::pin(coalesced(receiver, None)).next().await, Some(News::Anything));
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_about_no_change_is_no_news() {
        let (sender, receiver) = broadcast::channel(2);
        sender.send(Notice { change: None, size: 1 }).expect("a listener");
        drop(sender);
        assert_eq!(Box::pin(coalesced(receiver, None)).next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_to_one_change_hears_nothing_of_others() {
        let (sender, receiver) = broadcast::channel(8);
        for number in [8, 7, 9] {
            sender.send(notice(number)).expect("a listener");
        }
        let mut news = Box::pin(coalesced(receiver, Some(ChangeId::new(7))));
        assert_eq!(news.next().await, of(&[7]));
        sender.send(notice(8)).expect("a listener");
        drop(sender);
        assert_eq!(news.next().await, None);
    }

    #[test]
    fn a_look_of_the_step_under_way_gives_the_newest_figures() {
        let change = sample::change_of(&sample::log());
        let look = |step: usize| LookRow {
            change: change.id,
            number: 9,
            step,
            attempt: 1,
            at: sample::start(),
            readings: Value::Null,
            counters: Value::Null,
            verdict: serde_json::json!({"harm": 0.4, "safety": 0.5}),
        };
        let figures = |moved: Moved| (moved.step, moved.harm, moved.safety, moved.look);
        assert_eq!(figures(Moved::of(&change, Some(&look(1)))), (Some(1), Some(0.4), Some(0.5), 9));
        assert_eq!(figures(Moved::of(&change, Some(&look(0)))), (Some(1), Some(0.12), Some(0.31), 9));
        assert_eq!(figures(Moved::of(&change, None)), (Some(1), Some(0.12), Some(0.31), 0));
    }
}
