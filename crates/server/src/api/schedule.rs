//! The schedule over the API: who is expected to begin when, why not earlier, and where a change would stand that nobody has proposed.
//!
//! Played by the core from what is known now, and shown as far as the reader sees. Nothing is recorded, and nothing here decides.

use axum::extract::{Path, State};
use change::Timestamp;
use change::agenda::{Agenda, Expected, Item, LONGEST};
use change::proposal::Files;
use change::time::{self, Span};
use engine::agenda::{Asked, BatchNow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::api::changes::sees_all_of;
use crate::api::commands::Because;
use crate::extract::{Json, Query};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;

/// How many days are planned unless somebody asks for others.
const DAYS: u64 = 7;

/// Of which days, and about whom.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleParams {
    /// How many days from now, from 1 to 92; 7 if absent.
    pub days: Option<u64>,
    /// Only what is of this team: as the owner of the change or of a service.
    pub team: Option<String>,
    /// Only what changes this service.
    pub service: Option<String>,
    pub environment: Option<String>,
    /// What may begin at this instant, in RFC 3339, if nobody does anything until then.
    #[param(value_type = Option<String>)]
    pub at: Option<Timestamp>,
}

/// A change file to find a place for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToSchedule {
    /// The change file as text: YAML or JSON.
    pub file: String,
    /// The digests of the files that the change file names, by path.
    #[serde(default)]
    pub files: Files,
    /// As if it were approved at this instant; now if absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// How many days from then, from 1 to 92; 7 if absent.
    #[serde(default)]
    pub days: Option<u64>,
}

/// The plan of the next days.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ScheduleView {
    #[serde(flatten)]
    pub agenda: Agenda,
    /// The batches of the calendar.
    pub batches: Vec<BatchNow>,
    /// What may begin at the instant that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
}

/// What would be true at an instant if nobody did anything until then.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Moment {
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Those that begin then, or have begun before and are not over.
    pub goes: Vec<Item>,
    /// Those that do not begin then, each with why.
    pub waits: Vec<Item>,
}

/// The batches of the calendar.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Batches {
    pub batches: Vec<BatchNow>,
}

documented!(ScheduleView, ToSchedule, Batches);

/// Says who is expected to begin when, and why not earlier.
#[utoipa::path(get, path = "/schedule", operation_id = "showSchedule", tag = "calendar", params(ScheduleParams),
    responses((status = 200, description = "The plan of the next days.", body = ScheduleView)))]
pub(crate) async fn show(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Query(params): Query<ScheduleParams>,
) -> Result<axum::Json<ScheduleView>, Problem> {
    view(&server, &caller, &params).await.map(axum::Json)
}

/// Says where a change would stand that nobody has proposed, if it were approved. Nothing is recorded.
#[utoipa::path(post, path = "/schedule", operation_id = "scheduleFile", tag = "calendar", request_body = ToSchedule,
    responses((status = 200, description = "The plan with the change, which has no number.", body = ScheduleView)))]
pub(crate) async fn of_file(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<ToSchedule>,
) -> Result<axum::Json<ScheduleView>, Problem> {
    sees_all_of(&server, &caller, "schedule", &given.file, &given.files).await?;
    let now = time::to_millis(server.handle.now());
    let at = given.at.unwrap_or(now).max(now);
    let asked = Asked::until(time::after(at, days(given.days, at, now)?));
    let mut agenda = server.handle.agenda_with(&caller.actor(), &given.file, &given.files, at, asked).await?;
    retain(&server, &caller, &mut agenda, &ScheduleParams::default());
    let batches = server.handle.batches().await?;
    Ok(axum::Json(ScheduleView { agenda, batches, at: None }))
}

/// Lets the rest of a batch go on, of which one has failed.
#[utoipa::path(post, path = "/batches/{batch}/release", operation_id = "releaseBatch", tag = "calendar", request_body = Because,
    params(("batch" = String, Path, description = "Its name in calendar.yaml.")),
    responses((status = 200, description = "The batches as they are now.", body = Batches)))]
pub(crate) async fn release_batch(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(batch): Path<String>,
    Json(given): Json<Because>,
) -> Result<axum::Json<Batches>, Problem> {
    caller.token_leaves_everywhere(&server, "batch-release").await?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    to_its_end(async move { handle.release_batch(&actor, &batch, &given.reason).await }).await??;
    Ok(axum::Json(Batches { batches: server.handle.batches().await? }))
}

pub(crate) async fn view(server: &Shared, caller: &Caller, params: &ScheduleParams) -> Result<ScheduleView, Problem> {
    let now = time::to_millis(server.handle.now());
    let until = match params.at {
        Some(at) if at < now || time::between(now, at) > LONGEST => {
            return Err(Problem::malformed(format!("`{at}` is not within the next 92 days")));
        }
        Some(at) => at,
        // To the minute: whoever asks within it asks for the same plan.
        None => to_minutes(time::after(now, days(params.days, now, now)?)),
    };
    let mut agenda = server.handle.agenda(Asked::until(until)).await?;
    retain(server, caller, &mut agenda, params);
    let at = params.at.map(|at| moment(&agenda, at));
    Ok(ScheduleView { agenda, batches: server.handle.batches().await?, at })
}

fn to_minutes(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() - at.as_second().rem_euclid(60)).unwrap_or(at)
}

/// The length of the plan from an instant on.
fn days(asked: Option<u64>, from: Timestamp, now: Timestamp) -> Result<Span, Problem> {
    let days = asked.unwrap_or(DAYS);
    let span = Span::secs(86_400).times(days.min(1_000));
    let is_near = days > 0 && time::between(now, time::after(from, span)) <= LONGEST;
    is_near.then_some(span).ok_or_else(|| Problem::malformed(format!("`{days}` is not a number of days from 1 to 92")))
}

/// Keeps what the reader sees and asked for.
fn retain(server: &Shared, caller: &Caller, agenda: &mut Agenda, params: &ScheduleParams) {
    let (reach, in_force) = (caller.reach(server), server.handle.in_force());
    let is_of = |item: &Item, team: &str| {
        item.owner == team || in_force.governance.catalog.owners(&item.services).contains(team)
    };
    agenda.items.retain(|item| {
        reach.sees(&item.services, &item.environment)
            && params.team.as_deref().is_none_or(|team| is_of(item, team))
            && params.service.as_ref().is_none_or(|service| item.services.contains(service))
            && params.environment.as_ref().is_none_or(|environment| item.environment == *environment)
    });
}

fn moment(agenda: &Agenda, at: Timestamp) -> Moment {
    let goes = |item: &&Item| {
        let has_begun = matches!(item.expected, Expected::UnderWay | Expected::Planned);
        has_begun && item.ends_at.is_none_or(|ends| ends > at)
    };
    let waits = |item: &&Item| matches!(item.expected, Expected::Later | Expected::Unknown);
    Moment {
        at,
        goes: agenda.items.iter().filter(goes).cloned().collect(),
        waits: agenda.items.iter().filter(waits).cloned().collect(),
    }
}
