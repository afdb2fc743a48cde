//! Plans: what a rollout will be able to see at the present traffic, before it begins.
//!
//! Read from telemetry and played on synthetic looks; nothing is written. The arithmetic is the judge's.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use change::proposal::Files;
use engine::planning::{Asked, Forecast, MOST_RUNS, PlanError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::api::changes::{load, sees_all_of};
use crate::extract::{Id, Json, Query};
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// Where no history is kept, telemetry is read twice with a pause between.
const LONGEST: Duration = Duration::from_secs(28);

/// A change file to plan, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToPlan {
    /// The change file as text: YAML or JSON.
    pub file: String,
    /// The digests of the files that the change file names, by path.
    #[serde(default)]
    pub files: Files,
    /// Synthetic rollouts, from 1 to 400; 60 by default.
    #[serde(default)]
    pub runs: Option<u32>,
    /// Whether steps that decide are looked for too; not by default.
    #[serde(default)]
    pub suggest: bool,
}

/// The exposure plan.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PlanView {
    #[serde(flatten)]
    pub forecast: Forecast,
}

documented!(ToPlan, PlanView);

/// How a plan of a change is asked for.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanParams {
    /// Synthetic rollouts, from 1 to 400; 60 by default.
    pub runs: Option<u32>,
    /// Whether steps that decide are looked for too; not by default.
    pub suggest: Option<bool>,
}

fn asked(runs: Option<u32>, suggest: bool) -> Result<Asked, Problem> {
    let runs = runs.unwrap_or(Asked::default().runs);
    if (1..=MOST_RUNS).contains(&runs) {
        Ok(Asked { runs, suggest })
    } else {
        Err(Problem::malformed(format!("`runs` is `{runs}`: it must be from 1 to {MOST_RUNS}")))
    }
}

/// Plans a change file without proposing it.
///
/// Answers how long each step needs to see the harm that matters at the present traffic, whom it would reach before, and where a step can never decide.
#[utoipa::path(post, path = "/plans", operation_id = "planFile", tag = "plans", request_body = ToPlan,
    responses((status = 200, description = "What the rollout will be able to see.", body = PlanView)))]
pub(crate) async fn of_file(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<ToPlan>,
) -> Result<axum::Json<PlanView>, Problem> {
    sees_all_of(&server, &caller, "plan", &given.file, &given.files).await?;
    let asked = asked(given.runs, given.suggest)?;
    answer(server.handle.plan(&given.file, &given.files, asked)).await
}

/// Plans a change as it stands.
#[utoipa::path(get, path = "/changes/{id}/plan", operation_id = "planChange", tag = "plans", params(("id" = String, Path, description = "`CHG-7` or `7`."), PlanParams),
    responses((status = 200, description = "What the rollout will be able to see.", body = PlanView)))]
pub(crate) async fn of_change(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Query(params): Query<PlanParams>,
) -> Result<axum::Json<PlanView>, Problem> {
    let asked = asked(params.runs, params.suggest.unwrap_or(false))?;
    let change = load(&server, &caller, id).await?;
    answer(server.handle.plan_of(&change, asked)).await
}

async fn answer(planning: impl Future<Output = Result<Forecast, PlanError>>) -> Result<axum::Json<PlanView>, Problem> {
    let forecast = tokio::time::timeout(LONGEST, planning).await.map_err(|_| Problem::timeout())?;
    forecast.map(|forecast| axum::Json(PlanView { forecast })).map_err(problem)
}

fn problem(error: PlanError) -> Problem {
    match error {
        PlanError::Invalid(problems) => Problem::invalid_file(problems),
        PlanError::Question(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_plan", error.to_string())
            .help("name an SLI under `verify.slis`: without one there is nothing to see"),
        PlanError::NoDriver(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_plan", error.to_string()),
        PlanError::Unread(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "telemetry_unreachable", error.to_string())
                .help("mend the source, or suppose traffic: `clearway plan change.yaml --traffic 20/s`")
        }
        PlanError::BrokeOff => Problem::internal(),
    }
}
