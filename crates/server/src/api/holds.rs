//! Holds and vetoes: people on call stop the line of services, or one change, over the API.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use change::calendar::Passage;
use change::holds::ServiceHold;
use change::{Command, Span, Timestamp};
use engine::holds::HoldRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::commands::{Because, ask, end};
use crate::extract::{Id, Json};
use crate::identity::Reader;
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::ChangeView;

/// What is to be held.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldServices {
    #[serde(default)]
    pub services: BTreeSet<String>,
    /// All services that this team owns.
    pub team: Option<String>,
    /// In this environment; in all if absent.
    pub environment: Option<String>,
    /// Until when.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// For how long, in place of `until`.
    pub lasts: Option<Span>,
    /// Whether emergencies pass it.
    #[serde(default)]
    pub emergency: Passage,
    /// Whether what rolls out is paused at once.
    #[serde(default)]
    pub pause: bool,
    pub reason: String,
}

/// What is held.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Holds {
    /// In the order in which they were set.
    pub holds: Vec<ServiceHold>,
}

/// A veto.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VetoChange {
    /// Until when.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// For how long, in place of `until`.
    pub lasts: Option<Span>,
    pub reason: String,
}

documented!(HoldServices, Holds, VetoChange);

/// Lists the holds of services that last now.
#[utoipa::path(get, path = "/holds", operation_id = "listHolds", tag = "people",
    responses((status = 200, description = "Those that last now.", body = Holds)))]
pub(crate) async fn list(State(server): State<Shared>, _: Reader) -> Result<axum::Json<Holds>, Problem> {
    Ok(axum::Json(Holds { holds: server.handle.holds().await? }))
}

/// Holds the rollouts of services until an end. Rollbacks pass.
#[utoipa::path(post, path = "/holds", operation_id = "holdServices", tag = "people", request_body = HoldServices,
    responses((status = 200, description = "Those that last now.", body = Holds)))]
pub(crate) async fn hold(
    state: State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<HoldServices>,
) -> Result<axum::Json<Holds>, Problem> {
    let until = end(&state, "hold", given.until, given.lasts)?;
    caller.token_leaves_everywhere(&state, "hold").await?;
    let HoldServices { services, team, environment, emergency, pause, reason, .. } = given;
    let asked = HoldRequest { services, team, environment, until, emergency, pause, reason };
    let (handle, actor) = (state.handle.clone(), caller.actor());
    to_its_end(async move { handle.hold(&actor, asked).await }).await??;
    list(state, Reader(caller)).await
}

/// Releases a hold before its end.
#[utoipa::path(post, path = "/holds/{hold}/release", operation_id = "releaseHold", tag = "people", request_body = Because,
    params(("hold" = String, Path, description = "`HOLD-3`.")),
    responses((status = 200, description = "Those that last now.", body = Holds)))]
pub(crate) async fn release(
    state: State<Shared>,
    Reader(caller): Reader,
    Path(hold): Path<String>,
    Json(given): Json<Because>,
) -> Result<axum::Json<Holds>, Problem> {
    caller.token_leaves_everywhere(&state, "hold").await?;
    let (handle, actor) = (state.handle.clone(), caller.actor());
    to_its_end(async move { handle.release_hold(&actor, &hold, &given.reason).await }).await??;
    list(state, Reader(caller)).await
}

/// Closes the gate of a change until an end.
#[utoipa::path(post, path = "/changes/{id}/veto", operation_id = "vetoChange", tag = "commands", request_body = VetoChange,
    params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
pub(crate) async fn veto(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(given): Json<VetoChange>,
) -> Result<axum::Json<ChangeView>, Problem> {
    let until = end(&server, "veto", given.until, given.lasts)?;
    ask(&server, &caller, id, "veto", Command::Veto { reason: given.reason, until }).await
}

/// Lifts the veto of a change.
#[utoipa::path(post, path = "/changes/{id}/lift-veto", operation_id = "liftVeto", tag = "commands", request_body = Because,
    params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
pub(crate) async fn lift_veto(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(given): Json<Because>,
) -> Result<axum::Json<ChangeView>, Problem> {
    ask(&server, &caller, id, "veto", Command::LiftVeto { reason: given.reason }).await
}
