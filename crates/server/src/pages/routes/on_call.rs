//! The page of who is on call, and the forms that stop the line of services and let it go on.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use change::calendar::Passage;
use change::holds::{self, ServiceHold};
use change::{Actor, Permission, actor};
use engine::holds::HoldRequest;
use engine::rosters::OnCall;
use serde::Deserialize;

use super::{services, show_tried};
use crate::Shared;
use crate::extract::{Form, Query};
use crate::identity::Caller;
use crate::ops::to_its_end;
use crate::pages::form::{self, Fault, Tried, Typed};
use crate::pages::frame::Page;
use crate::pages::on_call::{Done, Held, OnCallPage, Turn, lift_form};
use crate::pages::visitor::Visitor;
use crate::problem::Problem;

const PATH: &str = "/on-call";

#[derive(Debug, Default, Deserialize)]
pub(super) struct OnCallQuery {
    service: Option<String>,
    done: Option<String>,
    fragment: Option<u8>,
}

pub(super) async fn show(State(server): State<Shared>, visitor: Visitor, Query(query): Query<OnCallQuery>) -> Response {
    let fragment = query.fragment == Some(1);
    visitor.show(page(&server, &visitor, query, None).await, fragment, PATH)
}

async fn page(server: &Shared, visitor: &Visitor, query: OnCallQuery, tried: Option<Tried>) -> Result<Page, Problem> {
    let (caller, now) = (&visitor.0.caller, change::time::to_millis(server.handle.now()));
    let service = query.service.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let on_call = server.handle.on_call(service.as_deref(), now).ok_or_else(|| {
        Problem::not_found(format!("there is no service `{}` in the catalog", service.as_deref().unwrap_or_default()))
    })?;
    let next = |one: &OnCall| {
        let then = one.duty.until.and_then(|until| server.handle.on_call(Some(&one.name), until));
        then.and_then(|found| found.into_iter().next())
    };
    let turns = on_call.into_iter().map(|one| Turn { next: next(&one), now: one }).collect();
    let held = server.handle.holds().await?.into_iter();
    let page = OnCallPage {
        turns,
        holds: held.map(|hold| Held { may_lift: may_lift(server, caller, &hold), hold }).collect(),
        budgets: server.handle.budgets(service.as_deref()).await?,
        may_hold: may_hold_somewhere(server, caller),
        services: services(server, caller),
        longest: server.handle.in_force().governance.settings.longest_hold,
        service: service.unwrap_or_default(),
        csrf: visitor.0.csrf.clone(),
        tried,
        done: query.done.as_deref().and_then(Done::of),
    };
    Ok(page.page())
}

/// Whether the token leaves holds at all: they are about no change.
fn token_leaves(caller: &Caller) -> bool {
    let needs = actor::row("hold").and_then(|row| row.needs);
    needs.is_none_or(|needs| caller.limits.gap_everywhere(needs).is_none())
}

/// Whether they may freeze something, or are on call for something: of what is asked when it is known.
fn may_hold_somewhere(server: &Shared, caller: &Caller) -> bool {
    let in_force = server.handle.in_force();
    let (governance, now) = (&in_force.governance, change::time::to_millis(server.handle.now()));
    let is_on_call = || {
        let mut all = governance.catalog.services().iter().map(|service| &service.name);
        all.any(|service| governance.on_call([service], now).users.contains(&caller.user))
    };
    token_leaves(caller) && (governance.access.held(&caller.user).contains(&Permission::Freeze) || is_on_call())
}

fn may_lift(server: &Shared, caller: &Caller, hold: &ServiceHold) -> bool {
    let is_own = hold.by == Actor::User(caller.user.clone());
    token_leaves(caller) && (is_own || server.handle.may_hold(&caller.actor(), &hold.order))
}

pub(super) async fn act(
    State(server): State<Shared>,
    visitor: Visitor,
    Path(word): Path<String>,
    sent: Result<Form<Typed>, Problem>,
) -> Response {
    let typed = match sent.and_then(|Form(typed)| visitor.sent_with(typed)) {
        Ok(typed) => typed,
        Err(problem) => return visitor.show(Err(problem), false, PATH),
    };
    let (caller, hold) = (&visitor.0.caller, typed.get("hold").cloned().unwrap_or_default());
    let (form, done) = match Done::of(&word) {
        Some(Done::Held) => ("hold".to_owned(), held(&server, caller, &typed).await),
        Some(Done::Lifted) => (lift_form(&hold), lifted(&server, caller, hold, &typed).await),
        None => {
            let problem = Problem::not_found(format!("a line can't be asked to `{word}`"));
            return visitor.show(Err(problem), false, PATH);
        }
    };
    match done {
        Ok(()) => Redirect::to(&format!("{PATH}?done={word}")).into_response(),
        Err(fault) => {
            let (status, tried) = (fault.status, Tried { form, typed, fault });
            show_tried(&visitor, status, page(&server, &visitor, OnCallQuery::default(), Some(tried)).await)
        }
    }
}

async fn held(server: &Shared, caller: &Caller, typed: &Typed) -> Result<(), Fault> {
    let asked = request(server, typed)?;
    let what = about(server, &asked);
    let fields = [("impossible", what), ("reason_needed", "reason"), ("not_allowed", what)];
    let said = |problem: Problem| Fault::said(&problem, &fields);
    caller.token_leaves_everywhere(server, "hold").await.map_err(said)?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let done = to_its_end(async move { handle.hold(&actor, asked).await }).await.map_err(said)?;
    done.map(|_| ()).map_err(|error| said(error.into()))
}

fn request(server: &Shared, typed: &Typed) -> Result<HoldRequest, Fault> {
    let services: BTreeSet<String> = form::names(form::line(typed, "services")?.as_deref()).into_iter().collect();
    let team = form::line(typed, "team")?;
    if services.is_empty() && team.is_none() {
        return Err(Fault::of("services", "name a service, or a team whose services are held"));
    }
    let now = change::time::to_millis(server.handle.now());
    let until = form::end(typed, "until", "a hold", now)?;
    let longest = server.handle.in_force().governance.settings.longest_hold;
    holds::ends_in_time("hold", until, now, longest).map_err(|why| Fault::of("until", why))?;
    let emergency = match typed.get("emergency").map(String::as_str) {
        Some("forbid") => Passage::Forbid,
        Some("allow") | None => Passage::Allow,
        Some(_) => return Err(Fault::of("emergency", "an emergency passes a hold, or it does not")),
    };
    Ok(HoldRequest {
        services,
        team,
        environment: form::line(typed, "environment")?,
        until,
        emergency,
        pause: typed.contains_key("pause"),
        reason: form::words(typed, "reason")?,
    })
}

/// The field that the core means when it says that there is no such thing: the team only where every service is known.
fn about(server: &Shared, asked: &HoldRequest) -> &'static str {
    let in_force = server.handle.in_force();
    let is_known = |name: &String| in_force.governance.catalog.service(name).is_some();
    if asked.team.is_some() && asked.services.iter().all(is_known) { "team" } else { "services" }
}

async fn lifted(server: &Shared, caller: &Caller, hold: String, typed: &Typed) -> Result<(), Fault> {
    let said = |problem: Problem| Fault::said(&problem, &[("reason_needed", "reason")]);
    let reason = form::words(typed, "reason")?;
    caller.token_leaves_everywhere(server, "hold").await.map_err(said)?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let done = to_its_end(async move { handle.release_hold(&actor, &hold, &reason).await }).await.map_err(said)?;
    done.map_err(|error| said(error.into()))
}
