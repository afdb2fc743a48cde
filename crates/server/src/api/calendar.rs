//! The calendar over the API: what is when, which changes are planned, what waits behind each freeze, and the same as an iCalendar feed.
//!
//! Read from the governance in force and the rows of changes that the reader sees; what an entry means is the core's to say. The feed takes its token from
//! the address, because calendar programs can't send another; it takes only one that is for the feed and for nothing else.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use change::actor::Purpose;
use change::backlog::{self, Backlog, Behind};
use change::batch;
use change::calendar::almanac::Occurrence;
use change::calendar::feed::{self, Planned};
use change::calendar::{Listed, Standing, Subject};
use change::time::{self, Span};
use change::{Change, ChangeId, Timestamp};
use engine::ports::ListQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::changes;
use crate::extract::{Id, Query};
use crate::identity::{Caller, Reader, may_read, turned_away};
use crate::problem::Problem;
use crate::schema::documented;
use crate::visible;

/// The longest stretch that is shown at once.
const LONGEST: Span = Span::secs(400 * 86_400);
/// How far a feed looks back, and ahead.
const FEED_BACK: Span = Span::secs(31 * 86_400);
const FEED_AHEAD: Span = Span::secs(366 * 86_400);
/// The most stretches of time in one answer.
const MOST: usize = 5_000;
/// The most changes that are looked at.
const MOST_CHANGES: usize = 2_000;
/// The phases in which a change has yet to begin.
const WAITING: [&str; 5] = ["proposed", "assessed", "approved", "scheduled", "held"];
/// The phases in which a freeze may hold a change.
const UNENDED: [&str; 8] =
    ["proposed", "assessed", "approved", "scheduled", "held", "rolling_out", "paused", "watching"];

/// Of which days, and about whom.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct CalendarParams {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub service: Option<String>,
    pub team: Option<String>,
}

/// The calendar between two instants.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CalendarView {
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
    #[schemars(with = "String")]
    pub now: Timestamp,
    /// Freezes and windows, in the order of time.
    pub occurrences: Vec<Listed>,
    /// Changes that begin in it, the first one first.
    pub planned: Vec<PlannedView>,
    /// What waits behind each freeze that holds now, and for each batch.
    pub backlog: Vec<Backlog>,
    /// Whether there is more than is told.
    pub more: bool,
}

/// A change that is planned.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PlannedView {
    pub change: ChangeId,
    pub title: String,
    pub services: Vec<String>,
    pub owner: String,
    pub status: String,
    /// The first moment at which it can begin, as far as its time, the calendar and its batch are concerned.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// When a change could go as far as the calendar is concerned, and why not before.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct NextView {
    pub change: ChangeId,
    #[schemars(with = "String")]
    pub now: Timestamp,
    #[serde(flatten)]
    pub standing: Standing,
    /// In one sentence.
    pub says: String,
}

documented!(CalendarView, NextView);

/// Shows freezes, windows and planned changes.
#[utoipa::path(get, path = "/calendar", operation_id = "showCalendar", tag = "calendar",
    params(("from" = Option<String>, Query, description = "The first instant; now if absent."),
        ("to" = Option<String>, Query, description = "The last one; 31 days later if absent, at most 400."),
        ("service" = Option<String>, Query, description = "Only what may be about this service."),
        ("team" = Option<String>, Query, description = "Only what may be about this team.")),
    responses((status = 200, description = "The calendar in force.", body = CalendarView)))]
pub(crate) async fn show(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Query(params): Query<CalendarParams>,
) -> Result<axum::Json<CalendarView>, Problem> {
    view(&server, &caller, &params).await.map(axum::Json)
}

/// Says when a change could go, and why not before.
#[utoipa::path(get, path = "/changes/{id}/calendar", operation_id = "showNextOpening", tag = "calendar",
    params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The next opening, and what stands in the way until then.", body = NextView)))]
pub(crate) async fn next(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<NextView>, Problem> {
    let change = changes::load(&server, &caller, id).await?;
    let standing = server.handle.calendar_of(&change).await?;
    let says = standing.opening.in_words();
    Ok(axum::Json(NextView { change: id, now: server.handle.now(), standing, says }))
}

/// What a feed is of.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FeedParams {
    token: Option<String>,
    service: Option<String>,
    team: Option<String>,
}

/// Shows the calendar as an iCalendar file, for the calendars that people have.
#[utoipa::path(get, path = "/calendar.ics", operation_id = "showCalendarFeed", tag = "calendar",
    params(("token" = Option<String>, Query, description = "A token for the feed alone (`clearway token create NAME --feed`); or send another one as a bearer token."),
        ("service" = Option<String>, Query, description = "Only what may be about this service."),
        ("team" = Option<String>, Query, description = "Only what may be about this team.")),
    responses((status = 200, description = "RFC 5545.", content_type = "text/calendar", body = String)))]
pub(crate) async fn ics(
    State(server): State<Shared>,
    caller: Result<Caller, Problem>,
    Query(FeedParams { token, service, team }): Query<FeedParams>,
) -> Result<Response, Problem> {
    let caller = match token {
        Some(token) => of_feed(&server, &token).await?,
        None => caller?,
    };
    may_read(&server, &caller).await?;
    let now = server.handle.now();
    let about = [service.clone(), team.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let name = if about.is_empty() { "Clearway".to_owned() } else { format!("Clearway: {about}") };
    let params = CalendarParams {
        from: Some(time::before(now, FEED_BACK)),
        to: Some(time::after(now, FEED_AHEAD)),
        service,
        team,
    };
    let planned = planned(&server, &waiting(&server, &caller, &params).await?).await?;
    let to_feed = |one: PlannedView| {
        let url = format!("{}/changes/{}", server.base_url, one.change);
        Planned { change: one.change, title: one.title, status: one.status, at: one.at, url }
    };
    let planned: Vec<Planned> = planned.into_iter().map(to_feed).collect();
    let in_force = server.handle.in_force();
    let (from, to) = range(&params, now)?;
    let mut all = in_force.calendar.between(None, from, to);
    let of_token = &caller.limits.on.services;
    let is_left = |occurrence: &Occurrence<'_>| {
        of_token.is_empty() || of_token.iter().any(|service| occurrence.concerns(Some(service), None))
    };
    all.retain(|occurrence| {
        occurrence.concerns(params.service.as_deref(), params.team.as_deref()) && is_left(occurrence)
    });
    let told = feed::excerpt(all, MOST, now);
    let file = feed::icalendar(&name, &server.base_url, &told, &planned, now);
    let headers =
        [(header::CONTENT_TYPE, "text/calendar; charset=utf-8"), (header::CACHE_CONTROL, "private, max-age=300")];
    Ok((headers, file).into_response())
}

/// Who a token in an address is of. Addresses are written down by many programs, so that no token passes that lets anybody in elsewhere.
async fn of_feed(server: &Shared, token: &str) -> Result<Caller, Problem> {
    let known = server.identify.bearer(token).await.map_err(|stranger| turned_away(server, &stranger))?;
    let caller = Caller::from(known);
    if caller.limits.purpose == Purpose::Feed {
        return Ok(caller);
    }
    let detail = "a token in an address is one for the calendar feed and for nothing else";
    server.handle.refused(&caller.actor(), None, "read", "token_scope", detail).await;
    Err(Problem::not_allowed(detail).help("make one for it: `clearway token create NAME --name calendar --feed`"))
}

async fn view(server: &Shared, caller: &Caller, params: &CalendarParams) -> Result<CalendarView, Problem> {
    let changes = waiting(server, caller, params).await?;
    view_with(server, params, &changes).await
}

/// The view, and every change that has not ended and that the reader sees.
pub(crate) async fn view_and_changes(
    server: &Shared,
    caller: &Caller,
    params: &CalendarParams,
) -> Result<(CalendarView, Vec<Change>), Problem> {
    let all = of_phases(server, caller, params, &UNENDED).await?;
    let waiting: Vec<Change> = all.iter().filter(|change| change.rollout().is_none()).cloned().collect();
    Ok((view_with(server, params, &waiting).await?, all))
}

async fn view_with(server: &Shared, params: &CalendarParams, changes: &[Change]) -> Result<CalendarView, Problem> {
    let now = server.handle.now();
    let (from, to) = range(params, now)?;
    let in_force = server.handle.in_force();
    let mut found = in_force.calendar.between(None, from, to);
    found.retain(|occurrence| occurrence.concerns(params.service.as_deref(), params.team.as_deref()));
    let more = found.len() > MOST || changes.len() >= MOST_CHANGES;
    let occurrences = found.iter().take(MOST).map(|occurrence| occurrence.listed()).collect();
    let mut planned = planned(server, changes).await?;
    planned.retain(|planned| from <= planned.at && planned.at < to);
    let backlog = backlog(server, changes, now).await?;
    Ok(CalendarView { from, to, now, occurrences, planned, backlog, more })
}

fn range(params: &CalendarParams, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let from = params.from.unwrap_or(now);
    let to = params.to.unwrap_or_else(|| time::after(from, Span::secs(31 * 86_400)));
    if to <= from || time::between(from, to) > LONGEST {
        let detail = format!("`{from}` to `{to}` is not a stretch of at most 400 days");
        return Err(Problem::malformed(detail));
    }
    Ok((from, to))
}

/// The changes that have yet to begin, and that the reader sees.
async fn waiting(server: &Shared, caller: &Caller, params: &CalendarParams) -> Result<Vec<Change>, Problem> {
    let mut found = of_phases(server, caller, params, &WAITING).await?;
    found.retain(|change| change.rollout().is_none());
    Ok(found)
}

async fn of_phases(
    server: &Shared,
    caller: &Caller,
    params: &CalendarParams,
    phases: &[&str],
) -> Result<Vec<Change>, Problem> {
    let mut query = ListQuery {
        phases: phases.iter().map(|phase| (*phase).to_owned()).collect(),
        service: params.service.clone(),
        before: None,
        limit: 201,
    };
    let (mut found, reach) = (Vec::new(), caller.reach(server));
    loop {
        let page = visible::rows(server, &reach, query.clone(), 200).await?;
        for row in &page.changes {
            found.extend(server.handle.change(row.id).await?);
        }
        match page.next.filter(|_| found.len() < MOST_CHANGES) {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    let in_force = server.handle.in_force();
    found.retain(|change| {
        let owners = in_force.governance.catalog.owners(&change.proposal.services);
        let is_of = |team: &str| change.proposal.owner == team || owners.contains(team);
        params.team.as_deref().is_none_or(is_of)
    });
    Ok(found)
}

/// Those that are approved, with the first moment at which they can begin.
async fn planned(server: &Shared, changes: &[Change]) -> Result<Vec<PlannedView>, Problem> {
    let mut planned: Vec<PlannedView> = Vec::new();
    for change in changes {
        if change.not_before().is_none() {
            continue;
        }
        let Some(at) = server.handle.calendar_of(change).await?.opening.at else { continue };
        planned.push(PlannedView {
            change: change.id,
            title: change.proposal.title.clone(),
            services: change.proposal.services.iter().cloned().collect(),
            owner: change.proposal.owner.clone(),
            status: change::explain::status(change),
            at,
        });
    }
    planned.sort_by_key(|planned| (planned.at, planned.change));
    Ok(planned)
}

/// What waits, of what a reader sees.
pub(crate) async fn backlogs(
    server: &Shared,
    caller: &Caller,
    service: Option<String>,
    team: Option<String>,
) -> Result<Vec<Backlog>, Problem> {
    let params = CalendarParams { service, team, ..CalendarParams::default() };
    let changes = waiting(server, caller, &params).await?;
    backlog(server, &changes, time::to_millis(server.handle.now())).await
}

/// What waits behind each freeze that holds now, and for each batch.
async fn backlog(server: &Shared, changes: &[Change], now: Timestamp) -> Result<Vec<Backlog>, Problem> {
    let in_force = server.handle.in_force();
    let (governance, calendar) = (&in_force.governance, &in_force.calendar);
    let mut behind: BTreeMap<(Behind, String), Vec<&Change>> = BTreeMap::new();
    for change in changes {
        let owners = governance.catalog.owners(&change.proposal.services);
        let standing = calendar.standing(&Subject::of(change, &owners), &Default::default(), now);
        for frozen in standing.frozen {
            behind.entry((Behind::Freeze, frozen.name)).or_default().push(change);
        }
        if let Some(batch) = batch::of(change, governance) {
            behind.entry((Behind::Batch, batch.name.clone())).or_default().push(change);
        }
    }
    let waiting = behind.values().flatten().flat_map(|change| change.proposal.services.iter().cloned());
    let rates = server.handle.failure_rates(&waiting.collect()).await?;
    let one = |((what, name), changes): (&(Behind, String), &Vec<&Change>)| {
        let since = if *what == Behind::Freeze { calendar.frozen_since(name, now) } else { None };
        backlog::of(*what, name, since, changes, &rates, now)
    };
    Ok(behind.iter().map(one).collect())
}
