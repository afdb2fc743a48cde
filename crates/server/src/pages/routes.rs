//! The routes of the pages: gather what a page shows, and hand on what a form asks for.
//!
//! Those of changes, of the log and of the login are here; what keeps changes apart has a room for each page below.

mod calendar;
mod on_call;
mod releases;
mod schedule;

use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use change::lifecycle::Rejection;
use change::time::TimeZone;
use change::{Change, Digest};
use serde::Deserialize;

use super::change::ChangePage;
use super::change::actions::form_of;
use super::form::{self, Fault, Tried, Typed};
use super::frame::Page;
use super::list::ListPage;
use super::log::LogPage;
use super::login::{LoginPage, local};
use super::visitor::{self, Visitor, is_cross_site, with_status};
use super::{api as api_page, assets};
use crate::Shared;
use crate::api::changes::{self, ListParams};
use crate::api::diffs;
use crate::api::log::in_words;
use crate::desk::{Stranger, public_id};
use crate::extract::{Form, Id, Query};
use crate::identity::{Caller, Peer, identified, may_audit, session_id};
use crate::offers::{Act, Brought, Offers};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::session;
use crate::view::{ChangeView, Group, LogEntry, LookView};

/// The routes for people.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(list))
        .route("/changes", get(list))
        .route("/changes/{id}", get(change))
        .route("/changes/{id}/{act}", post(act))
        .route("/releases", get(releases::list))
        .route("/releases/{id}", get(releases::show))
        .route("/releases/{id}/{act}", post(releases::act))
        .route("/calendar", get(calendar::show))
        .route("/calendar/{act}", post(calendar::act))
        .route("/schedule", get(schedule::show))
        .route("/on-call", get(on_call::show))
        .route("/on-call/{act}", post(on_call::act))
        .route("/log", get(log))
        .route("/api", get(api))
        .route("/login", get(login).post(log_in))
        .route("/logout", post(log_out))
        .route("/assets/app.css", get(assets::style))
        .route("/assets/app.js", get(assets::script))
        .route("/assets/icon.svg", get(assets::icon))
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    phase: Option<String>,
    service: Option<String>,
    before: Option<String>,
    fragment: Option<u8>,
}

async fn list(State(server): State<Shared>, visitor: Visitor, Query(query): Query<ListQuery>) -> Response {
    let fragment = query.fragment == Some(1);
    visitor.show(list_page(&server, &visitor.0.caller, query).await, fragment, "/changes")
}

async fn list_page(server: &Shared, caller: &Caller, query: ListQuery) -> Result<Page, Problem> {
    let service = query.service.map(|s| s.trim().to_owned()).unwrap_or_default();
    let params = ListParams {
        phase: query.phase.clone(),
        service: Some(service.clone()),
        before: query.before.clone().filter(|b| !b.is_empty()),
        limit: None,
    };
    let page = ListPage {
        list: changes::rows(server, caller, &params).await?,
        group: Group::ALL.into_iter().find(|g| query.phase.as_deref() == Some(g.name())),
        service,
        services: services(server, caller),
        is_older: params.before.is_some(),
        holds: server.handle.holds().await?,
    };
    Ok(page.page())
}

/// The zone in which a page shows its times: the one that was typed, or the server's.
fn zone(server: &Shared, typed: Option<&str>) -> Result<TimeZone, Problem> {
    match typed.map(str::trim).filter(|name| !name.is_empty()) {
        None => Ok(server.handle.in_force().zone.clone()),
        Some(name) => TimeZone::get(name).map_err(|_| {
            Problem::malformed(format!("the time zone `{name}` is not known"))
                .help("write an IANA name such as `Europe/Berlin`")
        }),
    }
}

/// The services of which somebody sees changes.
fn services(server: &Shared, caller: &Caller) -> Vec<String> {
    let reach = caller.reach(server);
    let seen = reach.services();
    let in_force = server.handle.in_force();
    let names = in_force.governance.catalog.services().iter().map(|s| &s.name);
    names.filter(|name| seen.as_ref().is_none_or(|seen| seen.contains(name.as_str()))).cloned().collect()
}

#[derive(Debug, Deserialize)]
struct ChangeQuery {
    done: Option<String>,
    fragment: Option<u8>,
}

async fn change(
    State(server): State<Shared>,
    visitor: Visitor,
    id: Result<Id, Problem>,
    Query(query): Query<ChangeQuery>,
) -> Response {
    let done = query.done.as_deref().and_then(Act::of);
    let page = match id {
        Ok(Id(id)) => change_page(&server, &visitor, id, done, None).await.map(|(page, _)| page),
        Err(problem) => Err(problem),
    };
    visitor.show(page, query.fragment == Some(1), "/changes")
}

async fn change_page(
    server: &Shared,
    visitor: &Visitor,
    id: change::ChangeId,
    done: Option<Act>,
    tried: Option<Tried>,
) -> Result<(Page, Offers), Problem> {
    let overview = changes::overview(server, &visitor.0.caller, id).await?;
    let looks = server.handle.looks(id, 0).await?;
    let plan = &overview.change.proposal.plan;
    let given = server.handle.given(&overview.change, &change::Actor::User(visitor.0.caller.user.clone())).await?;
    let page = ChangePage {
        log: overview.log.iter().map(|recorded| LogEntry::of(recorded, plan)).collect(),
        looks: looks.into_iter().map(LookView::of).collect(),
        offers: Offers::to(&visitor.0.caller.limits, &overview.change, &given),
        budgets: budgets_of(server, &overview.change).await?,
        holds: if overview.change.phase().is_terminal() { vec![] } else { given.holds },
        view: ChangeView::of(&overview, &server.base_url),
        csrf: visitor.0.csrf.clone(),
        since: diffs::since_vote(&overview, &change::Actor::User(visitor.0.caller.user.clone())),
        done,
        tried,
    };
    Ok((page.page(), page.offers))
}

/// A page with a form on it that was not taken.
fn show_tried(visitor: &Visitor, status: StatusCode, page: Result<Page, Problem>) -> Response {
    let mut response = visitor.show(page, false, "/");
    if response.status().is_success() {
        *response.status_mut() = status;
    }
    response
}

/// The budgets of the services of a change that has not ended.
async fn budgets_of(server: &Shared, change: &Change) -> Result<Vec<engine::budgets::BudgetOverview>, Problem> {
    if change.phase().is_terminal() {
        return Ok(vec![]);
    }
    let all = server.handle.budgets(None).await?.unwrap_or_default();
    Ok(all.into_iter().filter(|budget| change.proposal.services.contains(&budget.service)).collect())
}

/// What the forms of a change send, beside what was typed.
const OF_FORMS: [&str; 5] = ["effect", "text", "found", "rule", "point"];

async fn act(
    State(server): State<Shared>,
    visitor: Visitor,
    Path((id, word)): Path<(String, String)>,
    form: Result<Form<Typed>, Problem>,
) -> Response {
    let back = local(Some(&format!("/changes/{id}")));
    let typed = match form.and_then(|Form(typed)| visitor.sent_with(typed)) {
        Ok(typed) => typed,
        Err(problem) => return visitor.show(Err(problem), false, &back),
    };
    match acted(&server, &visitor, &id, &word, &typed).await {
        Ok(act) => Redirect::to(&format!("{back}?done={}", act.word())).into_response(),
        Err(Refused::Whole(problem)) => visitor.show(Err(problem), false, &back),
        Err(Refused::Typed(id, act, fault)) => {
            let (status, problem) = (fault.status, fault.problem());
            let tried = Tried { form: form_of(act), typed, fault };
            match change_page(&server, &visitor, id, None, Some(tried)).await {
                Ok((page, offers)) if offers.acts.contains(&act) => show_tried(&visitor, status, Ok(page)),
                // There is no such form any more: what was refused is all that there is to say.
                Ok(_) => visitor.show(Err(problem), false, &back),
                Err(other) => visitor.show(Err(other), false, &back),
            }
        }
    }
}

/// Why a form of a change was not taken.
enum Refused {
    /// There is nothing to go on with.
    Whole(Problem),
    /// It is mended in the form.
    Typed(change::ChangeId, Act, Fault),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Whole(problem)
    }
}

async fn acted(server: &Shared, visitor: &Visitor, id: &str, word: &str, typed: &Typed) -> Result<Act, Refused> {
    let id: change::ChangeId = id.parse().map_err(Problem::malformed)?;
    let act = Act::of(word).ok_or_else(|| Problem::not_found(format!("a change can't be asked to `{word}`")))?;
    let caller = &visitor.0.caller;
    let change = changes::load(server, caller, id).await?;
    caller.token_leaves(server, act.action(), Some(id), &change.proposal).await?;
    let refused = |fault| Refused::Typed(id, act, fault);
    let brought = brought(server, act, typed).map_err(refused)?;
    on_what_was_seen(act, &change, brought.effect)?;
    let (handle, actor, command) = (server.handle.clone(), caller.actor(), act.command(brought));
    let done = to_its_end(async move { handle.command(&actor, id, command).await }).await?;
    let fields = [("reason_needed", "text"), ("bad_end", "until")];
    done.map_err(|error| refused(Fault::said(&error.into(), &fields)))?;
    Ok(act)
}

/// What a form brings, read field by field.
fn brought(server: &Shared, act: Act, typed: &Typed) -> Result<Brought, Fault> {
    let of_form = typed.iter().filter(|(name, text)| OF_FORMS.contains(&name.as_str()) && !text.is_empty());
    let fields: serde_json::Map<String, serde_json::Value> =
        of_form.map(|(name, text)| (name.clone(), text.clone().into())).collect();
    let mut brought: Brought = serde_json::from_value(fields.into()).map_err(|error| Fault {
        status: StatusCode::BAD_REQUEST,
        field: None,
        why: format!("the form can't be read: {error}"),
        help: None,
    })?;
    if !brought.text.trim().is_empty() {
        brought.text = form::words(typed, "text")?;
    }
    if act == Act::Veto {
        brought.until = Some(form::end(typed, "until", "a veto", server.handle.now())?);
    }
    Ok(brought)
}

/// Refuses what would stand for another effect than the one that was on the page.
fn on_what_was_seen(act: Act, change: &Change, seen: Digest) -> Result<(), Problem> {
    let now = change.proposal.effect_digest;
    if act.is_for_one_effect() && seen != now {
        return Err(Rejection::StaleEffect { change: change.id, given: seen.short(), now: now.short() }.into());
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct LogQuery {
    before: Option<u64>,
    fragment: Option<u8>,
}

/// How many entries a page of the log shows.
const ENTRIES: u64 = 50;

async fn log(
    State(server): State<Shared>,
    headers: HeaderMap,
    visitor: Result<Visitor, visitor::Turned>,
    Query(query): Query<LogQuery>,
) -> Response {
    let reader = visitor::reader(&headers, &server);
    match (&reader, visitor) {
        (None, Err(turned)) if !server.public_log => return turned.into_response(),
        _ => {}
    }
    let caller = reader.as_ref().map(|r| r.caller.clone()).unwrap_or_default();
    let page = match may_audit(&server, &caller).await {
        Ok(()) => log_page(&server, query.before).await,
        Err(problem) => Err(problem),
    };
    visitor::show(page, reader.as_ref(), query.fragment == Some(1), "/changes")
}

async fn log_page(server: &Shared, before: Option<u64>) -> Result<Page, Problem> {
    let checkpoint = server.handle.log_file("checkpoint").await?.and_then(|bytes| String::from_utf8(bytes).ok());
    let size = checkpoint.as_deref().and_then(size_of).unwrap_or(0);
    let end = before.unwrap_or(size).min(size);
    let from = end.saturating_sub(ENTRIES);
    let recorded = server.handle.log(from, usize::try_from(end - from).unwrap_or(0)).await?;
    let mut entries = in_words(server, &recorded).await?;
    entries.reverse();
    let page = LogPage {
        entries,
        size,
        checkpoint,
        verifier_key: server.handle.verifier_key(),
        base_url: server.base_url.clone(),
        older: (from > 0).then_some(from),
    };
    Ok(page.page())
}

/// The size that a signed checkpoint names.
fn size_of(note: &str) -> Option<u64> {
    let note = audit::Note::parse(note).ok()?;
    audit::Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.size)
}

async fn api(State(server): State<Shared>, headers: HeaderMap) -> Response {
    let document = serde_json::from_str(crate::api::document::json()).map_err(|_| Problem::internal());
    let page = document.map(|document| api_page::page(&document));
    visitor::show(page, visitor::reader(&headers, &server).as_ref(), false, "/")
}

#[derive(Debug, Deserialize)]
struct LoginQuery {
    code: Option<String>,
    next: Option<String>,
}

async fn login(State(server): State<Shared>, peer: Peer, method: Method, Query(query): Query<LoginQuery>) -> Response {
    let next = local(query.next.as_deref());
    let Some(code) = query.code else {
        return visitor::show(Ok(LoginPage { failed: None, next }.page()), None, false, "/");
    };
    // A preview of the link must not use it up.
    if method == Method::HEAD {
        return StatusCode::OK.into_response();
    }
    if !may_try(&server, peer, None) {
        return refused(StatusCode::TOO_MANY_REQUESTS, "too many tries; wait a few seconds", &next);
    }
    match server.identify.one_time(&code) {
        Some(identity) => begin(&server, identity.into(), &next),
        None => {
            server.metrics.turn_away("used_link");
            refused(StatusCode::UNAUTHORIZED, "the link has been used, or is too old; ask for another", &next)
        }
    }
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
    next: Option<String>,
}

async fn log_in(
    State(server): State<Shared>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, Problem>,
) -> Response {
    let form = match form {
        Ok(Form(form)) if !is_cross_site(&headers) => form,
        Ok(_) => return visitor::show(Err(Problem::not_allowed("another site sent this form")), None, false, "/login"),
        Err(problem) => return visitor::show(Err(problem), None, false, "/login"),
    };
    let next = local(form.next.as_deref());
    let token = form.token.trim();
    if !may_try(&server, peer, public_id(token).and_then(|id| server.identify.owner(id))) {
        return refused(StatusCode::TOO_MANY_REQUESTS, "too many tries; wait a few seconds", &next);
    }
    match identified(&server, token).await {
        Ok(caller) => begin(&server, caller, &next),
        Err(problem) => {
            let help = problem.help.filter(|_| problem.detail != Stranger::Unknown.to_string());
            let why = help.map_or_else(|| problem.detail.clone(), |help| format!("{}; {help}", problem.detail));
            refused(problem.status, &why, &next)
        }
    }
}

/// Takes a try of this address, and of the user whose token it seems to be.
fn may_try(server: &Shared, Peer(address): Peer, user: Option<String>) -> bool {
    let address = address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    let names: Vec<String> = [address].into_iter().chain(user.map(|user| format!("user {user}"))).collect();
    let granted = server.tries.take(&names, Instant::now());
    if !granted {
        server.metrics.turn_away("too_many_tries");
    }
    granted
}

fn refused(status: StatusCode, why: &str, next: &str) -> Response {
    with_status(status, &LoginPage { failed: Some(why.to_owned()), next: next.to_owned() }.page())
}

fn begin(server: &Shared, caller: Caller, next: &str) -> Response {
    let id = server.sessions.begin(caller, Instant::now());
    ([(header::SET_COOKIE, session::set_cookie(&id, server.is_https()))], Redirect::to(next)).into_response()
}

#[derive(Debug, Deserialize)]
struct LogoutForm {
    csrf: String,
}

async fn log_out(
    State(server): State<Shared>,
    headers: HeaderMap,
    form: Result<Form<LogoutForm>, Problem>,
) -> Response {
    let Some(reader) = visitor::reader(&headers, &server) else { return Redirect::to("/login").into_response() };
    let visitor = Visitor(reader);
    if let Err(problem) = form.and_then(|Form(form)| visitor.sent(&form.csrf)) {
        return visitor.show(Err(problem), false, "/");
    }
    session_id(&headers, &server).into_iter().for_each(|id| server.sessions.end(&id));
    ([(header::SET_COOKIE, session::clear_cookie(server.is_https()))], Redirect::to("/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_log_is_read_from_its_checkpoint() {
        let key = audit::SigningKey::from_seed("clearway.example/log", [7; 32]).expect("a key");
        let checkpoint = audit::Checkpoint::new("clearway.example/log", 1_234, audit::hash::empty_root());
        assert_eq!(size_of(&checkpoint.sign(&key).expect("a note")), Some(1_234));
        assert_eq!(size_of("nonsense"), None);
    }
}
