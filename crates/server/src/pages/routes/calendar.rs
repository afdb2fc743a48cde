//! The page of the calendar and its forms: a month, and exceptions that are asked for, granted and ended.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use change::calendar::Exception;
use change::calendar::exception::end_problem;
use change::calendar::month::Month;
use change::{Actor, Change, ChangeId, Command, Given, Permission, decide};
use serde::Deserialize;

use super::{services, show_tried, zone};
use crate::Shared;
use crate::api::calendar::{self as calendar_api, CalendarParams};
use crate::api::commands;
use crate::extract::{Form, Query};
use crate::identity::Caller;
use crate::pages::calendar::CalendarPage;
use crate::pages::exceptions::{Done, ExceptionsCard, Row, form_of};
use crate::pages::form::{self, Fault, Tried, Typed};
use crate::pages::frame::Page;
use crate::pages::visitor::Visitor;
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
pub(super) struct CalendarQuery {
    month: Option<String>,
    service: Option<String>,
    team: Option<String>,
    /// The zone of its days and times; the server's if absent.
    tz: Option<String>,
    /// For which change an exception is to be asked.
    except: Option<ChangeId>,
    done: Option<String>,
    fragment: Option<u8>,
}

pub(super) async fn show(
    State(server): State<Shared>,
    visitor: Visitor,
    Query(query): Query<CalendarQuery>,
) -> Response {
    let fragment = query.fragment == Some(1);
    visitor.show(page(&server, &visitor, query, None).await, fragment, "/calendar")
}

async fn page(server: &Shared, visitor: &Visitor, query: CalendarQuery, tried: Option<Tried>) -> Result<Page, Problem> {
    let caller = &visitor.0.caller;
    let zone = zone(server, query.tz.as_deref())?;
    let month = match query.month.as_deref().filter(|month| !month.is_empty()) {
        Some(text) => Month::read(text, zone).map_err(Problem::malformed)?,
        None => Month::of(server.handle.now(), zone),
    };
    let given = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let ((from, to), service, team) = (month.range(), given(query.service), given(query.team));
    let params = CalendarParams { from: Some(from), to: Some(to), service: service.clone(), team: team.clone() };
    let (view, unended) = calendar_api::view_and_changes(server, caller, &params).await?;
    let held = server.handle.in_force().governance.access.held(&caller.user);
    let may_ask = [Permission::Propose, Permission::Approve].iter().any(|may| held.contains(may));
    let exceptions = ExceptionsCard {
        rows: rows(server, caller, &unended).await?,
        may_ask: may_ask && caller.limits.leave(Permission::Propose),
        about: query.except,
        freezes: server.handle.in_force().governance.calendar.freezes.iter().map(|one| one.name.clone()).collect(),
        waiting: view.backlog.iter().flat_map(|behind| behind.changes.clone()).take(50).collect(),
        csrf: visitor.0.csrf.clone(),
        tried,
        done: query.done.as_deref().and_then(Done::of),
    };
    let page = CalendarPage {
        view,
        month,
        service: service.unwrap_or_default(),
        team: team.unwrap_or_default(),
        services: services(server, caller),
        base_url: server.base_url.clone(),
        user: caller.user.clone(),
        exceptions,
    };
    Ok(page.page())
}

/// The exceptions that are asked for or count, and what the reader may do about each.
async fn rows(server: &Shared, caller: &Caller, changes: &[Change]) -> Result<Vec<Row>, Problem> {
    let (now, actor) = (change::time::to_millis(server.handle.now()), Actor::User(caller.user.clone()));
    let mut found = Vec::new();
    for change in changes {
        let effect = change.proposal.effect_digest;
        let standing: Vec<_> = change.exceptions.iter().filter(|one| one.is_for(effect, now)).collect();
        if standing.is_empty() {
            continue;
        }
        let given = server.handle.given(change, &actor).await?;
        found.extend(standing.into_iter().map(|one| {
            let grant = would(change, &given, caller, Done::Granted, one);
            let revoke = would(change, &given, caller, Done::Revoked, one);
            let is_open = one.granted.is_none();
            Row {
                change: change.id,
                title: change.proposal.title.clone(),
                exception: one.clone(),
                may_grant: is_open && grant.is_ok(),
                not_grant: grant.err().flatten().filter(|_| is_open),
                may_revoke: revoke.is_ok(),
                is_own: one.by == actor,
            }
        }));
    }
    Ok(found)
}

/// Whether the token leaves it and the core would let it pass; if the core says no because of who asks, in its words.
fn would(
    change: &Change,
    given: &Given,
    caller: &Caller,
    what: Done,
    exception: &Exception,
) -> Result<(), Option<String>> {
    use change::lifecycle::Rejection;
    let needs = change::actor::row(what.action()).and_then(|row| row.needs);
    let (services, environment) = (&change.proposal.services, &change.proposal.environment);
    if needs.is_some_and(|needs| caller.limits.gap(needs, services, environment).is_some()) {
        return Err(None);
    }
    let (freeze, reason) = (exception.freeze.clone(), "to be written".to_owned());
    let command = match what {
        Done::Granted => Command::GrantException { freeze, until: exception.until },
        Done::Asked | Done::Revoked => Command::RevokeException { freeze, reason },
    };
    match decide(change, command, given) {
        Ok(_) => Ok(()),
        Err(no @ (Rejection::OwnException { .. } | Rejection::NotFreezeOwner { .. } | Rejection::Excluded { .. })) => {
            Err(Some(no.to_string()))
        }
        Err(_) => Err(None),
    }
}

pub(super) async fn act(
    State(server): State<Shared>,
    visitor: Visitor,
    Path(word): Path<String>,
    sent: Result<Form<Typed>, Problem>,
) -> Response {
    let typed = match sent.and_then(|Form(typed)| visitor.sent_with(typed)) {
        Ok(typed) => typed,
        Err(problem) => return visitor.show(Err(problem), false, "/calendar"),
    };
    let Some(done) = Done::of(&word) else {
        let problem = Problem::not_found(format!("an exception can't be asked to `{word}`"));
        return visitor.show(Err(problem), false, "/calendar");
    };
    match acted(&server, &visitor.0.caller, done, &typed).await {
        Ok(()) => Redirect::to(&format!("/calendar?done={}#exceptions", done.word())).into_response(),
        Err(fault) => {
            let named = |field: &str| typed.get(field).cloned().unwrap_or_default();
            let form = form_of(done, &named("change"), &named("freeze"));
            let status = fault.status;
            let tried = Tried { form, typed, fault };
            show_tried(&visitor, status, page(&server, &visitor, CalendarQuery::default(), Some(tried)).await)
        }
    }
}

/// Which field a refusal is about, by its code.
const ABOUT: [(&str, &str); 5] = [
    ("not_found", "change"),
    ("no_such_freeze", "freeze"),
    ("wrong_phase", "change"),
    ("reason_needed", "reason"),
    ("bad_end", "until"),
];

async fn acted(server: &Shared, caller: &Caller, done: Done, typed: &Typed) -> Result<(), Fault> {
    let fields = if done == Done::Asked { &ABOUT[..] } else { &ABOUT[3..] };
    let change = form::line(typed, "change")?.ok_or_else(|| Fault::of("change", "name a change, such as `CHG-7`"))?;
    let id: ChangeId = change.parse().map_err(|why: String| Fault::of("change", why))?;
    let freeze = form::line(typed, "freeze")?.ok_or_else(|| Fault::of("freeze", "name a freeze of the calendar"))?;
    let command = match done {
        Done::Asked => {
            let now = change::time::to_millis(server.handle.now());
            let until = form::end(typed, "until", "an exception", now)?;
            if let Some(why) = end_problem(until, now) {
                return Err(Fault::of("until", why));
            }
            Command::AskException { freeze, until, reason: form::words(typed, "reason")? }
        }
        Done::Granted => {
            let seen = form::line(typed, "seen")?.and_then(|seen| seen.parse().ok());
            let until = seen.ok_or_else(|| Fault::of("seen", "the page did not say until when; open it again"))?;
            Command::GrantException { freeze, until }
        }
        Done::Revoked => Command::RevokeException { freeze, reason: form::words(typed, "reason")? },
    };
    let asked = commands::ask(server, caller, id, done.action(), command).await;
    asked.map(|_| ()).map_err(|problem| Fault::said(&problem, fields))
}
