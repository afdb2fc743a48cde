//! The pages of releases and their forms: the list, one release, and what is asked of it as a whole.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use change::release::{Command, decide};
use change::{Change, Permission, actor};
use engine::releases::ReleaseNow;
use serde::Deserialize;

use super::show_tried;
use crate::Shared;
use crate::api::releases::{self, ReleaseView};
use crate::extract::{Form, Query};
use crate::identity::Caller;
use crate::pages::form::{self, Fault, Tried, Typed};
use crate::pages::frame::Page;
use crate::pages::login::local;
use crate::pages::release::{Act, ReleasePage};
use crate::pages::releases::ReleasesPage;
use crate::pages::visitor::Visitor;
use crate::problem::Problem;

/// How many releases the list shows.
const MOST_LISTED: usize = 50;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ReleaseQuery {
    done: Option<String>,
    fragment: Option<u8>,
}

pub(super) async fn list(
    State(server): State<Shared>,
    visitor: Visitor,
    Query(query): Query<ReleaseQuery>,
) -> Response {
    visitor.show(list_page(&server, &visitor.0.caller).await, query.fragment == Some(1), "/releases")
}

async fn list_page(server: &Shared, caller: &Caller) -> Result<Page, Problem> {
    let (seen, more) = releases::seen(server, caller, MOST_LISTED).await?;
    let mut page = ReleasesPage { more, ..ReleasesPage::default() };
    for release in seen {
        // It may have been amended away from the reader's sight meanwhile.
        match releases::show(server, caller, release.id).await {
            Ok(view) => page.releases.push(view),
            Err(problem) if problem.status == axum::http::StatusCode::NOT_FOUND => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(page.page())
}

pub(super) async fn show(
    State(server): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ReleaseQuery>,
) -> Response {
    let done = query.done.as_deref().and_then(Act::of);
    let page = page(&server, &visitor, &id, done, None).await.map(|(page, _)| page);
    visitor.show(page, query.fragment == Some(1), "/releases")
}

async fn page(
    server: &Shared,
    visitor: &Visitor,
    id: &str,
    done: Option<Act>,
    tried: Option<Tried>,
) -> Result<(Page, Vec<Act>), Problem> {
    let caller = &visitor.0.caller;
    let now = releases::load(server, caller, releases::id_of(id)?).await?;
    let acts = offered(server, caller, &now);
    let page = ReleasePage {
        view: ReleaseView::of(&now, &server.base_url, |change| caller.sees(server, change)),
        log: releases::entries(server, now.release.id).await?,
        acts: acts.clone(),
        csrf: visitor.0.csrf.clone(),
        done,
        tried,
    };
    Ok((page.page(), acts))
}

/// What the reader may ask of the release as it stands: on every one of its changes, by role and by token, as the table says.
fn offered(server: &Shared, caller: &Caller, now: &ReleaseNow) -> Vec<Act> {
    let in_force = server.handle.in_force();
    let at = change::time::to_millis(server.handle.now());
    let may = |permission: Permission, change: &Change| {
        let (services, environment) = (&change.proposal.services, &change.proposal.environment);
        in_force.governance.access.may(&caller.user, permission, services, environment)
    };
    let token_leaves = |permission: Permission, change: &Change| {
        let (services, environment) = (&change.proposal.services, &change.proposal.environment);
        caller.limits.gap(permission, services, environment).is_none()
    };
    let is_offered = |act: &Act| {
        let Some(needs) = actor::row(act.word()).and_then(|row| row.needs) else { return false };
        let is_own = *act == Act::Withdraw && now.release.author == caller.actor();
        let passes =
            decide(&now.release, act.command("to be written".into()), at).is_ok_and(|events| !events.is_empty());
        passes
            && now.changes.iter().all(|change| token_leaves(needs, change))
            && (is_own || now.changes.iter().all(|change| may(needs, change)))
    };
    Act::ALL.into_iter().filter(is_offered).collect()
}

pub(super) async fn act(
    State(server): State<Shared>,
    visitor: Visitor,
    Path((id, word)): Path<(String, String)>,
    sent: Result<Form<Typed>, Problem>,
) -> Response {
    let back = local(Some(&format!("/releases/{id}")));
    let typed = match sent.and_then(|Form(typed)| visitor.sent_with(typed)) {
        Ok(typed) => typed,
        Err(problem) => return visitor.show(Err(problem), false, &back),
    };
    let Some(act) = Act::of(&word) else {
        let problem = Problem::not_found(format!("a release can't be asked to `{word}`"));
        return visitor.show(Err(problem), false, &back);
    };
    match acted(&server, &visitor.0.caller, &id, act, &typed).await {
        Ok(()) => Redirect::to(&format!("{back}?done={}", act.word())).into_response(),
        Err(fault) => {
            let (status, problem) = (fault.status, fault.problem());
            let tried = Tried { form: act.form(), typed, fault };
            match page(&server, &visitor, &id, None, Some(tried)).await {
                Ok((page, acts)) if acts.contains(&act) => show_tried(&visitor, status, Ok(page)),
                Ok(_) => visitor.show(Err(problem), false, &back),
                Err(other) => visitor.show(Err(other), false, &back),
            }
        }
    }
}

async fn acted(server: &Shared, caller: &Caller, id: &str, act: Act, typed: &Typed) -> Result<(), Fault> {
    let command: Command = act.command(form::words(typed, "reason")?);
    let asked = releases::ask(server, caller, id, act.word(), command).await;
    asked.map(|_| ()).map_err(|problem| Fault::said(&problem, &[("reason_needed", "reason")]))
}
