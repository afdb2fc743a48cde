//! Commands: what people ask of a change. The core says whether it happens.

use axum::extract::State;
use change::approval::Signed;
use change::lifecycle::Found;
use change::{ChangeId, Command, Digest, Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Shared;
use crate::api::changes::{self, Proposed};
use crate::extract::{Id, Json};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::ChangeView;

/// A yes to one effect.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approve {
    /// The effect digest that is approved: the one that was looked at.
    pub effect: Digest,
    pub comment: Option<String>,
    /// The statement of the vote and its SSH signature; the statement is that of `GET /changes/{id}/statement`.
    pub signature: Option<Signed>,
}

/// Why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Because {
    /// For those who read the log later.
    pub reason: String,
}

/// Going on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resume {
    /// After an unknown outcome: what you found at the target.
    pub found: Option<Found>,
}

/// A rollback that was completed by hand.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complete {
    /// What was done, and how it was checked.
    pub evidence: String,
}

/// A review.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// What was learnt.
    pub summary: String,
}

/// A soft rule that is set aside.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Override {
    /// The code of the rule.
    pub code: String,
    pub reason: String,
}

/// A point of a checklist that somebody answers for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TickPoint {
    /// The name of the checklist.
    pub list: String,
    /// The code of the point.
    pub code: String,
    /// How you know.
    pub note: String,
}

/// That a freeze let a change pass.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Except {
    /// The name of the freeze.
    pub freeze: String,
    /// At most 31 days ahead.
    #[schemars(with = "String")]
    pub until: Timestamp,
    pub reason: String,
}

/// The freeze that a change may pass, as was asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantOf {
    /// The name of the freeze.
    pub freeze: String,
    /// Until when, as was asked: what is asked for anew in the meantime is not granted.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// The freeze that a change passes no more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// The name of the freeze.
    pub freeze: String,
    pub reason: String,
}

documented!(Approve, Because, Resume, Complete, Review, Override, TickPoint, Except, GrantOf, Revoke);

pub(crate) async fn ask(
    server: &Shared,
    caller: &Caller,
    id: ChangeId,
    action: &'static str,
    command: Command,
) -> Result<axum::Json<ChangeView>, Problem> {
    let change = changes::load(server, caller, id).await?;
    caller.token_leaves(server, action, Some(id), &change.proposal).await?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    to_its_end(async move { handle.command(&actor, id, command).await }).await??;
    changes::show(server, caller, id).await.map(axum::Json)
}

/// The end that is asked for, by one of the two ways to say it: what holds for a time always has one.
pub(crate) fn end(
    server: &Shared,
    what: &str,
    until: Option<Timestamp>,
    lasts: Option<Span>,
) -> Result<Timestamp, Problem> {
    match (until, lasts) {
        (Some(until), None) => Ok(change::time::to_millis(until)),
        (None, Some(lasts)) => Ok(server.handle.until(lasts)),
        (None, None) => Err(Problem::malformed(format!("a {what} has an end: say until when"))
            .help("give `until`, or how long it `lasts`: what has no end stands in the way when nobody remembers why")),
        (Some(_), Some(_)) => Err(Problem::malformed("say until when with one of `until` and `lasts`")),
    }
}

/// The word of a command, as the table of actions has it.
fn word_of(path: &'static str) -> &'static str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Amends a change before its rollout.
///
/// Another effect voids its votes.
#[utoipa::path(post, path = "/changes/{id}/amend", operation_id = "amendChange", tag = "commands", request_body = Proposed,
    params(("id" = String, Path, description = "`CHG-7` or `7`.")), responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
pub(crate) async fn amend(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(given): Json<Proposed>,
) -> Result<axum::Json<ChangeView>, Problem> {
    let change = changes::load(&server, &caller, id).await?;
    caller.token_leaves(&server, "amend", Some(id), &change.proposal).await?;
    changes::token_leaves(&server, &caller, "amend", Some(id), &given).await?;
    if change.proposal.course.emergency().is_some() {
        changes::token_leaves(&server, &caller, "emergency", Some(id), &given).await?;
    }
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let revision = given.revision;
    let draft = given.draft()?;
    let amended = to_its_end(async move { handle.amend(&actor, id, &draft, revision).await }).await?;
    amended.map_err(Problem::invalid_file)??;
    changes::show(&server, &caller, id).await.map(axum::Json)
}

/// One handler for each command: its name, its path, its body, and the command that it makes.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $operation:literal, $body:ident => |$given:ident| $command:expr;)+) => {$(
        $(#[$doc])*
        #[utoipa::path(post, path = $path, operation_id = $operation, tag = "commands", request_body = $body,
            params(("id" = String, Path, description = "`CHG-7` or `7`.")),
            responses((status = 200, description = "The change as it is now.", body = ChangeView)))]
        pub(crate) async fn $name(
            State(server): State<Shared>,
            Reader(caller): Reader,
            Id(id): Id,
            Json($given): Json<$body>,
        ) -> Result<axum::Json<ChangeView>, Problem> {
            ask(&server, &caller, id, word_of($path), $command).await
        }
    )+};
}

commands! {
    /// Approves the effect of a change.
    approve, "/changes/{id}/approve", "approveChange", Approve
        => |given| Command::Approve { effect: given.effect, comment: given.comment, signature: given.signature };
    /// Refuses a change; that ends it.
    reject, "/changes/{id}/reject", "rejectChange", Because => |given| Command::Refuse { reason: given.reason };
    /// Withdraws a change before its rollout.
    withdraw, "/changes/{id}/withdraw", "withdrawChange", Because => |given| Command::Withdraw { reason: given.reason };
    /// Pauses a rollout or a rollback.
    pause, "/changes/{id}/pause", "pauseChange", Because => |given| Command::Pause { reason: given.reason };
    /// Resumes what is paused.
    resume, "/changes/{id}/resume", "resumeChange", Resume => |given| Command::Resume { found: given.found };
    /// Lets a step pass without a verdict.
    ///
    /// It stands in the log as overridden; a failing step can't be promoted.
    promote, "/changes/{id}/promote", "promoteChange", Because => |given| Command::Promote { reason: given.reason };
    /// Rolls a change back.
    rollback, "/changes/{id}/rollback", "rollBackChange", Because => |given| Command::Rollback { reason: given.reason };
    /// Records that a failed rollback was completed by hand.
    complete, "/changes/{id}/complete", "completeChange", Complete
        => |given| Command::CompleteByHand { evidence: given.evidence };
    /// Records the review that a change owes.
    review, "/changes/{id}/review", "reviewChange", Review => |given| Command::Review { summary: given.summary };
    /// Asks for changes: it does not go on before it is amended, or the request is taken back.
    request_changes, "/changes/{id}/request-changes", "requestChanges", Because
        => |given| Command::RequestChanges { reason: given.reason };
    /// Takes back one's own vote, or one's own request for changes.
    take_back, "/changes/{id}/take-back", "takeBack", Because => |given| Command::TakeBack { reason: given.reason };
    /// Sets a soft rule aside for the effect that the change has now.
    override_rule, "/changes/{id}/override", "overrideRule", Override
        => |given| Command::Override { code: given.code, reason: given.reason };
    /// Sets every rule aside that stands, once two people have asked for it. Pages, and owes a review.
    break_glass, "/changes/{id}/break-glass", "breakGlass", Because
        => |given| Command::BreakGlass { reason: given.reason };
    /// Asks that a freeze let the change pass, for a time.
    except, "/changes/{id}/except", "askException", Except
        => |given| Command::AskException { freeze: given.freeze, until: given.until, reason: given.reason };
    /// Lets the change pass a freeze, as was asked: its owner, or who may freeze, and nobody who wrote the change.
    grant_exception, "/changes/{id}/grant-exception", "grantException", GrantOf
        => |given| Command::GrantException { freeze: given.freeze, until: given.until };
    /// Ends an exception of a freeze before its time, or takes back what was asked for.
    revoke_exception, "/changes/{id}/revoke-exception", "revokeException", Revoke
        => |given| Command::RevokeException { freeze: given.freeze, reason: given.reason };
    /// Ticks a point of a checklist.
    tick, "/changes/{id}/tick", "tickPoint", TickPoint
        => |given| Command::Tick { list: given.list, code: given.code, note: given.note };
}
