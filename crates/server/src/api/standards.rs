//! Standards: changes that were approved once for all: what there is, how it has fared, and proposing it.
//!
//! A request names the template and its parameters; the change file is made by the engine, from what is in force.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::document::nearest;
use engine::standards::StandardNow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Shared;
use crate::api::changes;
use crate::api::commands::Because;
use crate::extract::{Idempotency, Json};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::ChangeView;

/// The standard changes in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StandardList {
    /// By id.
    pub standards: Vec<StandardNow>,
}

/// A standard change, its record, and whether it counts now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StandardView {
    pub standard: StandardNow,
}

/// What is given for the parameters of a standard change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// Texts and whole numbers by the names of the parameters; what is left out is the default.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
}

documented!(StandardList, StandardView, Given);

/// Lists the standard changes, with how each has fared.
#[utoipa::path(get, path = "/standards", operation_id = "listStandards", tag = "standards",
    responses((status = 200, description = "Those of the governance in force.", body = StandardList)))]
pub(crate) async fn list(State(server): State<Shared>, _: Reader) -> Result<axum::Json<StandardList>, Problem> {
    Ok(axum::Json(StandardList { standards: server.handle.standards().await? }))
}

/// Shows a standard change: its parameters and their bounds, its record, and whether it counts now.
#[utoipa::path(get, path = "/standards/{id}", operation_id = "showStandard", tag = "standards",
    params(("id" = String, Path, description = "The id of the standard change.")),
    responses((status = 200, description = "The standard change.", body = StandardView)))]
pub(crate) async fn one(
    State(server): State<Shared>,
    _: Reader,
    Path(id): Path<String>,
) -> Result<axum::Json<StandardView>, Problem> {
    Ok(axum::Json(StandardView { standard: found(&server, &id).await? }))
}

/// Proposes a standard change.
///
/// The same request with the same key answers with the same change.
#[utoipa::path(post, path = "/standards/{id}/changes", operation_id = "proposeStandard", tag = "standards",
    request_body = Given,
    params(
        ("id" = String, Path, description = "The id of the standard change."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters by which the request may be repeated."),
    ),
    responses((status = 201, description = "The change, new or proposed before with this key.", body = ChangeView)))]
pub(crate) async fn propose(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Idempotency(key): Idempotency,
    Json(given): Json<Given>,
) -> Result<Response, Problem> {
    found(&server, &id).await?;
    token_leaves(&server, &caller, &id, &given).await?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let proposed = async move { handle.propose_standard(&actor, &id, &given.parameters, key.as_deref()).await };
    let change = to_its_end(proposed).await??;
    let location = format!("/api/v1/changes/{}", change.id);
    let view = changes::show(&server, &caller, change.id).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(view)).into_response())
}

/// Lets a suspended standard change count again; its failures are counted anew.
#[utoipa::path(post, path = "/standards/{id}/reinstate", operation_id = "reinstateStandard", tag = "standards",
    request_body = Because,
    params(("id" = String, Path, description = "The id of the standard change.")),
    responses((status = 200, description = "As it is now.", body = StandardView)))]
pub(crate) async fn reinstate(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Json(given): Json<Because>,
) -> Result<axum::Json<StandardView>, Problem> {
    found(&server, &id).await?;
    caller.token_leaves_everywhere(&server, "reinstate").await?;
    let (handle, actor, standard) = (server.handle.clone(), caller.actor(), id.clone());
    to_its_end(async move { handle.reinstate(&actor, &standard, &given.reason).await }).await??;
    Ok(axum::Json(StandardView { standard: found(&server, &id).await? }))
}

async fn found(server: &Shared, id: &str) -> Result<StandardNow, Problem> {
    let standards = server.handle.standards().await?;
    let near = nearest(id, standards.iter().map(|one| one.template.id.as_str())).map(str::to_owned);
    standards.into_iter().find(|one| one.template.id == id).ok_or_else(|| {
        let problem = Problem::not_found("there is no such standard change");
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("see `clearway standard list`"),
        }
    })
}

/// Whether a token leaves its user to propose what the template becomes; what can't be made or read is refused by whoever does so next.
async fn token_leaves(server: &Shared, caller: &Caller, id: &str, given: &Given) -> Result<(), Problem> {
    if caller.limits.are_none() {
        return Ok(());
    }
    let Ok(draft) = server.handle.draft_standard(id, &given.parameters) else { return Ok(()) };
    match server.handle.check(&draft.text, &draft.files) {
        Ok(proposal) => caller.token_leaves(server, "propose", None, &proposal).await,
        Err(_) => Ok(()),
    }
}
