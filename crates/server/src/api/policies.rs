//! Policies: what they decided, why, what others would have decided, and which governance is in force.
//!
//! Everything is read from the log and what is kept beside it; the engine reads it, and here it is only asked for and shown.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::Digest;
use change::governance::Matrix;
use engine::policies::{PoliciesError, PolicyReplay, WhyPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::changes;
use crate::api::log::LogParams;
use crate::extract::{self, Id, Json, Query, instant};
use crate::identity::{Auditor, Caller, Reader, audits};
use crate::problem::Problem;
use crate::schema::documented;

/// Other policies for past changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToReplay {
    /// The Rego modules by path, such as `policy/shop.rego`; the built-in ones are there anyway.
    pub modules: BTreeMap<String, String>,
    /// Other approvals, as approvals.yaml has them; those in force if absent.
    #[serde(default)]
    pub approvals: Option<Matrix>,
    /// The first instant, with its zone; 90 days ago by default.
    #[serde(default)]
    pub since: Option<String>,
}

/// What other policies would have decided.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PolicyReplayView {
    pub replayed: PolicyReplay,
}

/// Why an assessment came out as it did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PolicyView {
    #[serde(flatten)]
    pub why: WhyPolicy,
}

/// The governance in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct GovernanceView {
    /// Over all of its files.
    pub digest: Digest,
    /// Of its policies, the built-in ones included.
    pub policy: Digest,
    /// The version of the time-zone database.
    pub timezones: String,
    /// The zone of `input.now`.
    pub time_zone: String,
    /// How often another one was to be put in force since the server started.
    pub tried: u64,
    /// Why the last one was refused; absent where the last one is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedView>,
}

/// A governance that was not put in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RefusedView {
    /// RFC 3339.
    pub at: String,
    pub reason: String,
}

documented!(ToReplay, PolicyReplayView, PolicyView, GovernanceView);

const A_QUARTER: change::Span = change::Span::secs(90 * 86_400);

/// Lists the decisions of policies, in the shape of OPA's decision logs.
///
/// One line of JSON for each, in the order of the log. The header `Link` with `rel="next"` names the next page, where there is one.
#[utoipa::path(get, path = "/decisions", operation_id = "listDecisions", tag = "policies", params(LogParams),
    responses((status = 200, description = "Lines of JSON.", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn decisions(
    State(server): State<Shared>,
    _: Auditor,
    Query(params): Query<LogParams>,
) -> Result<Response, Problem> {
    let limit = extract::limit(params.limit, 100, 500)?;
    let page = server.handle.decisions(params.from.unwrap_or(0), limit).await?;
    let mut lines = String::new();
    for decision in &page.decisions {
        lines.push_str(&serde_json::to_string(decision).map_err(|_| Problem::internal())?);
        lines.push('\n');
    }
    let mut response = ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response();
    let next = page.next.map(|next| format!("</api/v1/decisions?from={next}&limit={limit}>; rel=\"next\""));
    if let Some(link) = next.and_then(|next| header::HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Shows what other policies would have decided about past changes.
///
/// Each assessment is made again from the facts of its day, by the modules given. Nothing is written. Needs the right to audit: facts of all changes are
/// shown.
#[utoipa::path(post, path = "/policy/replay", operation_id = "replayPolicy", tag = "policies", request_body = ToReplay,
    responses((status = 200, description = "What would differ.", body = PolicyReplayView)))]
pub(crate) async fn replay(
    State(server): State<Shared>,
    caller: Caller,
    Json(given): Json<ToReplay>,
) -> Result<axum::Json<PolicyReplayView>, Problem> {
    audits(&server, &caller).await?;
    let since = given.since.as_deref().map(|text| instant("since", text)).transpose()?;
    let since = since.unwrap_or_else(|| change::time::before(server.handle.now(), A_QUARTER));
    let replayed = server.handle.replay_policy(&given.modules, given.approvals, since).await.map_err(problem)?;
    Ok(axum::Json(PolicyReplayView { replayed }))
}

/// Explains the newest assessment of a change: each answer with its rule.
#[utoipa::path(get, path = "/changes/{id}/policy", operation_id = "explainPolicy", tag = "policies",
    params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The assessment, its facts, and the rule behind each answer.", body = PolicyView)))]
pub(crate) async fn explain(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<PolicyView>, Problem> {
    let change = changes::load(&server, &caller, id).await?;
    let why = server.handle.explain_policy(&change).await.map_err(problem)?;
    Ok(axum::Json(PolicyView { why }))
}

/// Shows which governance is in force, and whether a later one was refused.
#[utoipa::path(get, path = "/governance", operation_id = "showGovernance", tag = "policies",
    responses((status = 200, description = "The governance in force.", body = GovernanceView)))]
pub(crate) async fn governance(State(server): State<Shared>, _: Reader) -> axum::Json<GovernanceView> {
    let (in_force, loads) = (server.handle.in_force(), server.handle.loads());
    axum::Json(GovernanceView {
        digest: in_force.governance.digest,
        policy: in_force.bundle.digest(),
        timezones: change::governance::settings::time_zone_database(),
        time_zone: in_force.governance.settings.time_zone.clone(),
        tried: loads.tried,
        refused: loads.refused.map(|refused| RefusedView { at: refused.at.to_string(), reason: refused.reason }),
    })
}

fn problem(error: PoliciesError) -> Problem {
    match error {
        PoliciesError::Store(error) => error.into(),
        PoliciesError::NotAssessed(_) | PoliciesError::Gone(_) => Problem::not_found(error.to_string()),
        PoliciesError::Busy => Problem::new(StatusCode::CONFLICT, "replay_under_way", error.to_string())
            .help("wait for its end, and ask again"),
        PoliciesError::Policy(reason) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "policy_error", reason)
            .help("`clearway policy check` says the same without a server"),
    }
}
