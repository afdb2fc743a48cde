//! People and everything: delegations, the stop of everything, and debts, over the API.

use axum::extract::State;
use change::circumstances::{Delegation, OpenDebt, Stopped};
use change::{Span, Timestamp};
use engine::CommandError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::commands::{Because, end};
use crate::extract::Json;
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;

/// Somebody in another's place.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delegate {
    /// Whose place it is; your own if absent.
    pub from: Option<String>,
    /// Who stands in; nobody where `from` is only away.
    pub to: Option<String>,
    /// For these groups; for all if empty.
    #[serde(default)]
    pub groups: std::collections::BTreeSet<String>,
    /// Until when.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// For how long, in place of `until`.
    pub lasts: Option<Span>,
    #[serde(default)]
    pub reason: String,
}

/// The end of delegations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Back {
    /// Whose place it was; your own if absent.
    pub from: Option<String>,
    /// Whose delegation ends; all if absent.
    pub to: Option<String>,
}

/// Who stands in for whom, and who is away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Delegations {
    pub delegations: Vec<Delegation>,
}

/// Whether everything is stopped.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StopView {
    pub stopped: Option<Stopped>,
}

/// What is owed, the earliest due first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Debts {
    pub debts: Vec<OpenDebt>,
    #[schemars(with = "String")]
    pub now: Timestamp,
}

documented!(Delegate, Back, Delegations, StopView, Debts);

/// Says who stands in for whom, and who is away.
#[utoipa::path(get, path = "/delegations", operation_id = "listDelegations", tag = "people",
    responses((status = 200, description = "Those that hold now.", body = Delegations)))]
pub(crate) async fn delegations(State(server): State<Shared>, _: Reader) -> Result<axum::Json<Delegations>, Problem> {
    let now = server.handle.now();
    let delegations = server.handle.circumstances(|c| c.delegations(now).cloned().collect()).await?;
    Ok(axum::Json(Delegations { delegations }))
}

/// Puts somebody in one's place for a while, or says that one is away.
#[utoipa::path(post, path = "/delegations", operation_id = "delegate", tag = "people", request_body = Delegate,
    responses((status = 200, description = "Those that hold now.", body = Delegations)))]
pub(crate) async fn delegate(
    state: State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<Delegate>,
) -> Result<axum::Json<Delegations>, Problem> {
    let until = end(&state, "delegation", given.until, given.lasts)?;
    caller.token_leaves_everywhere(&state, "delegate").await?;
    let Delegate { from, to, groups, reason, .. } = given;
    let from = from.unwrap_or_else(|| caller.user.clone());
    let delegation = Delegation { from, to, groups, until, reason };
    let (handle, actor) = (state.handle.clone(), caller.actor());
    to_its_end(async move { handle.delegate(&actor, delegation).await }).await??;
    delegations(state, Reader(caller)).await
}

/// Ends delegations: whoever was away is back.
#[utoipa::path(post, path = "/delegations/end", operation_id = "endDelegations", tag = "people", request_body = Back,
    responses((status = 200, description = "Those that hold now.", body = Delegations)))]
pub(crate) async fn back(
    state: State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<Back>,
) -> Result<axum::Json<Delegations>, Problem> {
    caller.token_leaves_everywhere(&state, "delegate").await?;
    let from = given.from.unwrap_or_else(|| caller.user.clone());
    let (handle, actor) = (state.handle.clone(), caller.actor());
    to_its_end(async move { handle.end_delegation(&actor, &from, given.to.as_deref()).await }).await??;
    delegations(state, Reader(caller)).await
}

/// Says whether everything is stopped.
#[utoipa::path(get, path = "/stop", operation_id = "getStop", tag = "people",
    responses((status = 200, description = "Who stopped it, and why.", body = StopView)))]
pub(crate) async fn stopped(State(server): State<Shared>, _: Reader) -> Result<axum::Json<StopView>, Problem> {
    let stopped = server.handle.circumstances(|c| c.stopped().cloned()).await?;
    Ok(axum::Json(StopView { stopped }))
}

/// Stops everything: no step begins until it is released. Rollbacks pass.
#[utoipa::path(post, path = "/stop", operation_id = "stopAll", tag = "people", request_body = Because,
    responses((status = 200, description = "As it is now.", body = StopView)))]
pub(crate) async fn stop(
    state: State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<Because>,
) -> Result<axum::Json<StopView>, Problem> {
    let handle = state.handle.clone();
    of_stop(&state, &caller, async move |actor| handle.stop_all(&actor, &given.reason).await).await?;
    stopped(state, Reader(caller)).await
}

/// Releases the stop of everything.
#[utoipa::path(post, path = "/stop/release", operation_id = "releaseStop", tag = "people", request_body = Because,
    responses((status = 200, description = "As it is now.", body = StopView)))]
pub(crate) async fn release(
    state: State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<Because>,
) -> Result<axum::Json<StopView>, Problem> {
    let handle = state.handle.clone();
    of_stop(&state, &caller, async move |actor| handle.release_all(&actor, &given.reason).await).await?;
    stopped(state, Reader(caller)).await
}

/// Asks something about the stop of everything, if the token leaves it.
async fn of_stop<F>(server: &Shared, caller: &Caller, ask: impl FnOnce(change::Actor) -> F) -> Result<(), Problem>
where
    F: Future<Output = Result<(), CommandError>> + Send + 'static,
{
    caller.token_leaves_everywhere(server, "stop-all").await?;
    Ok(to_its_end(ask(caller.actor())).await??)
}

/// Lists what is owed: reviews, and approvals of what began without them.
#[utoipa::path(get, path = "/debts", operation_id = "listDebts", tag = "people",
    responses((status = 200, description = "All open debts.", body = Debts)))]
pub(crate) async fn debts(State(server): State<Shared>, Reader(caller): Reader) -> Result<axum::Json<Debts>, Problem> {
    let mut debts: Vec<OpenDebt> = vec![];
    for debt in server.handle.circumstances(|c| c.debts().into_iter().cloned().collect::<Vec<_>>()).await? {
        let change = server.handle.change(debt.change).await?;
        if change.is_some_and(|change| caller.sees(&server, &change)) {
            debts.push(debt);
        }
    }
    Ok(axum::Json(Debts { debts, now: server.handle.now() }))
}
