//! Outside: what a pipeline that deploys by itself asks and reports: may I begin, and this is how it ended.

use axum::extract::State;
use change::ChangeId;
use change::lifecycle::outside::{Ended, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Shared;
use crate::api::changes;
use crate::extract::{Id, Json};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::ChangeView;

/// Beginning the step that is next.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {}

/// How it ended.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finish {
    pub outcome: Ended,
    /// In the pipeline's own words.
    pub note: Option<String>,
    /// The step that it speaks of, from 1; the present one if absent.
    #[schemars(range(min = 1))]
    pub step: Option<usize>,
    /// The attempt that it speaks of; the present one if absent.
    pub attempt: Option<u32>,
}

documented!(Begin, Finish);

impl Finish {
    fn report(self) -> Result<Report, Problem> {
        let Self { outcome: ended, note, step, attempt } = self;
        let step = match step {
            Some(step) => Some(step.checked_sub(1).ok_or_else(|| Problem::malformed("steps are counted from 1"))?),
            None => None,
        };
        Ok(Report { ended, note, step, attempt })
    }
}

async fn allowed(server: &Shared, caller: &Caller, id: ChangeId, action: &'static str) -> Result<(), Problem> {
    let change = changes::load(server, caller, id).await?;
    caller.token_leaves(server, action, Some(id), &change.proposal).await
}

/// Begins the step that is next, for a pipeline that performs it itself.
///
/// Refused with the reasons while a gate is closed. The step and its attempt stand in `change.stage`.
#[utoipa::path(post, path = "/changes/{id}/begin", operation_id = "beginStep", tag = "commands", request_body = Begin,
    params(("id" = String, Path, description = "`CHG-7` or `7`.")), responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
pub(crate) async fn begin(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(Begin {}): Json<Begin>,
) -> Result<axum::Json<ChangeView>, Problem> {
    allowed(&server, &caller, id, "begin").await?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    to_its_end(async move { handle.begin(&actor, id).await }).await??;
    changes::show(&server, &caller, id).await.map(axum::Json)
}

/// Reports how a step of a pipeline ended, or its rollback.
///
/// What succeeded is judged like any other step.
#[utoipa::path(post, path = "/changes/{id}/finish", operation_id = "finishStep", tag = "commands", request_body = Finish,
    params(("id" = String, Path, description = "`CHG-7` or `7`.")), responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
pub(crate) async fn finish(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(given): Json<Finish>,
) -> Result<axum::Json<ChangeView>, Problem> {
    allowed(&server, &caller, id, "finish").await?;
    let report = given.report()?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    to_its_end(async move { handle.finish(&actor, id, report).await }).await??;
    changes::show(&server, &caller, id).await.map(axum::Json)
}
