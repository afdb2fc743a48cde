//! Changes: proposing them, and reading what is known of them.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::facts::Facts;
use change::facts::material::Material;
use change::gate::Gate;
use change::proposal::Files;
use change::secret::Finding;
use change::{Change, ChangeId};
use engine::ports::ListQuery;
use engine::replay::{Replayed, Strictness};
use engine::{Draft, Overview, Way};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::events::no_change;
use crate::extract::{self, Id, Idempotency, Json, Query};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::{self, ChangeList, ChangeView, Checked, Log, LogEntry, LookView, Looks};
use crate::visible;

/// A change file and the digests of the files that it names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proposed {
    /// The change file as text: YAML or JSON.
    pub file: String,
    /// The digests of the files that the change file names, by path.
    #[serde(default)]
    pub files: Files,
    /// What a scan for secrets found in the material of the change, without the secrets. What nobody allows closes the gate.
    #[serde(default)]
    pub secrets: Vec<Finding>,
    /// What the change is made of, as its sources say; see docs/reference/facts.md.
    #[serde(default)]
    pub material: Material,
    /// In the emergency lane.
    #[serde(default)]
    pub emergency: Option<Declared>,
    /// Put on record what was deployed without Clearway.
    #[serde(default)]
    pub afterwards: Option<Passed>,
    /// For an amendment: the revision that was edited. It is refused where the change has another one by now.
    #[serde(default)]
    pub revision: Option<u32>,
}

/// An emergency.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    /// The incident that the change ends.
    pub incident: String,
    pub reason: String,
}

/// A deployment that went by.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passed {
    #[schemars(with = "String")]
    pub deployed_at: change::Timestamp,
    pub reason: String,
}

impl Proposed {
    /// The draft that it is.
    ///
    /// # Errors
    /// If it would go two ways.
    pub(crate) fn draft(self) -> Result<Draft, Problem> {
        let way = self.way()?;
        let Self { file: text, files, material, secrets, .. } = self;
        Ok(Draft { text, files, material, secrets, way })
    }

    fn way(&self) -> Result<Way, Problem> {
        match (&self.emergency, &self.afterwards) {
            (None, None) => Ok(Way::Regular),
            (Some(given), None) => {
                Ok(Way::Emergency { incident: given.incident.clone(), reason: given.reason.clone() })
            }
            (None, Some(given)) => Ok(Way::Afterwards { deployed_at: given.deployed_at, reason: given.reason.clone() }),
            (Some(_), Some(_)) => Err(Problem::malformed("a change goes one way: give `emergency` or `afterwards`")),
        }
    }
}

/// What policy would see.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct FactsView {
    pub facts: Facts,
}

/// The gates of a change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Gates {
    /// In the order in which they are asked; none once the change has ended.
    pub gates: Vec<Gate>,
    /// What else has to be known to understand them: that a newer governance was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// Another strictness for the looks of a change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// What is not given stays as it was.
    pub strictness: Strictness,
}

/// What both strictnesses say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReplayView {
    pub replayed: Replayed,
}

documented!(Proposed, Declared, Passed, FactsView, Gates, Replay, ReplayView);

/// Which changes are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Names of phases, or of the groups `active`, `waiting` and `ended`, separated by commas.
    pub phase: Option<String>,
    /// Only changes of this service.
    pub service: Option<String>,
    /// Only changes with a smaller number than this one.
    pub before: Option<String>,
    /// From 1 to 200; 50 by default.
    pub limit: Option<usize>,
}

impl ListParams {
    fn read(&self) -> Result<(ListQuery, usize), Problem> {
        let limit = extract::limit(self.limit, 50, 200)?;
        let phases = view::phases(self.phase.as_deref().unwrap_or_default()).map_err(Problem::malformed)?;
        let before = self.before.as_deref().map(str::parse::<ChangeId>).transpose().map_err(Problem::malformed)?;
        let service = self.service.clone().filter(|s| !s.is_empty());
        Ok((ListQuery { phases, service, before, limit: limit + 1 }, limit))
    }
}

/// Checks a change file without proposing it.
///
/// Answers with every problem at once, or with what would be proposed.
#[utoipa::path(post, path = "/changes/check", operation_id = "checkChange", tag = "changes", request_body = Proposed,
    responses((status = 200, description = "What this server says of the file.", body = Checked)))]
pub(crate) async fn check(State(server): State<Shared>, _: Reader, Json(given): Json<Proposed>) -> axum::Json<Checked> {
    axum::Json(Checked::of(server.handle.check_made_of(&given.file, &given.files, &given.material)))
}

/// Shows what policy would see of a change, without proposing it.
///
/// As if the caller proposed it now. Nothing is kept.
#[utoipa::path(post, path = "/facts", operation_id = "showFacts", tag = "changes", request_body = Proposed,
    responses((status = 200, description = "The input of policy.", body = FactsView)))]
pub(crate) async fn facts(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<Proposed>,
) -> Result<axum::Json<FactsView>, Problem> {
    sees_all_of(&server, &caller, "facts", &given.file, &given.files).await?;
    let facts = server.handle.facts(&caller.actor(), &given.file, &given.files, &given.material).await?;
    Ok(axum::Json(FactsView { facts }))
}

/// Whether a caller sees every service that a file names: what is known of the others is not theirs to ask. A file that can't be read is refused by
/// whoever reads it next.
pub(crate) async fn sees_all_of(
    server: &Shared,
    caller: &Caller,
    what: &str,
    file: &str,
    files: &Files,
) -> Result<(), Problem> {
    let Ok(proposal) = server.handle.check(file, files) else { return Ok(()) };
    let (reach, environment) = (caller.reach(server), &proposal.environment);
    let unseen = proposal.services.iter().find(|name| !reach.sees([*name], environment));
    let Some(service) = unseen else { return Ok(()) };
    let detail = format!("`user:{}` does not see `{service}` in `{environment}`", caller.user);
    server.handle.refused(&caller.actor(), None, what, "not_allowed", &detail).await;
    Err(Problem::not_allowed(detail).help("ask for a role on it in access.yaml"))
}

/// Proposes a change.
///
/// The same request with the same key answers with the same change.
#[utoipa::path(post, path = "/changes", operation_id = "proposeChange", tag = "changes", request_body = Proposed,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters by which the request may be repeated.")),
    responses((status = 201, description = "The change, new or proposed before with this key.", body = ChangeView)))]
pub(crate) async fn propose(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Idempotency(key): Idempotency,
    Json(given): Json<Proposed>,
) -> Result<Response, Problem> {
    if given.revision.is_some() {
        return Err(Problem::malformed("a change that is proposed has no `revision` yet: amend the one that you mean"));
    }
    let action = if given.emergency.is_some() { "emergency" } else { "propose" };
    token_leaves(&server, &caller, action, None, &given).await?;
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let draft = given.draft()?;
    let proposed = async move { handle.propose_draft(&actor, &draft, key.as_deref()).await };
    let change = to_its_end(proposed).await??;
    let location = format!("/api/v1/changes/{}", change.id);
    let view = show(&server, &caller, change.id).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(view)).into_response())
}

/// Whether a token leaves its user to propose what a file says; a file that can't be read is refused by whoever reads it next.
pub(crate) async fn token_leaves(
    server: &Shared,
    caller: &Caller,
    action: &str,
    id: Option<ChangeId>,
    given: &Proposed,
) -> Result<(), Problem> {
    if caller.limits.are_none() {
        return Ok(());
    }
    match server.handle.check(&given.file, &given.files) {
        Ok(proposal) => caller.token_leaves(server, action, id, &proposal).await,
        Err(_) => Ok(()),
    }
}

/// Lists changes, newest first.
#[utoipa::path(get, path = "/changes", operation_id = "listChanges", tag = "changes", params(ListParams),
    responses((status = 200, description = "A page of rows.", body = ChangeList)))]
pub(crate) async fn list(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Query(params): Query<ListParams>,
) -> Result<axum::Json<ChangeList>, Problem> {
    rows(&server, &caller, &params).await.map(axum::Json)
}

pub(crate) async fn rows(server: &Shared, caller: &Caller, params: &ListParams) -> Result<ChangeList, Problem> {
    let (query, limit) = params.read()?;
    visible::rows(server, &caller.reach(server), query, limit).await
}

/// Shows a change.
#[utoipa::path(get, path = "/changes/{id}", operation_id = "showChange", tag = "changes", params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The change with everything that is known of it now.", body = ChangeView)))]
pub(crate) async fn one(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<ChangeView>, Problem> {
    show(&server, &caller, id).await.map(axum::Json)
}

pub(crate) async fn show(server: &Shared, caller: &Caller, id: ChangeId) -> Result<ChangeView, Problem> {
    Ok(ChangeView::of(&overview(server, caller, id).await?, &server.base_url))
}

/// A change with everything around it. One that the caller can't see is as one that does not exist.
pub(crate) async fn overview(server: &Shared, caller: &Caller, id: ChangeId) -> Result<Overview, Problem> {
    load(server, caller, id).await?;
    server.handle.overview(id).await?.ok_or_else(|| no_change(id))
}

/// A change. One that the caller can't see is as one that does not exist.
pub(crate) async fn load(server: &Shared, caller: &Caller, id: ChangeId) -> Result<Change, Problem> {
    let change = server.handle.change(id).await?.filter(|change| caller.sees(server, change));
    change.ok_or_else(|| no_change(id))
}

/// Asks the gates of a change.
///
/// Each is open, or closed with a reason, and with when it opens and who can open it where that is known.
#[utoipa::path(get, path = "/changes/{id}/gates", operation_id = "askGates", tag = "changes", params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The gates as they are now.", body = Gates)))]
pub(crate) async fn gates(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<Gates>, Problem> {
    let change = load(&server, &caller, id).await?;
    // Readiness is asked of a target and of telemetry, which may hang.
    let gates = tokio::time::timeout(Duration::from_secs(20), server.handle.gates_of(&change)).await;
    let refused = server.handle.loads().refused;
    let notice = refused.map(|refused| {
        let reason = refused.reason;
        format!(
            "the governance that was to be loaded at {} was refused, the one before is in force: {reason}",
            refused.at
        )
    });
    Ok(axum::Json(Gates { gates: gates.map_err(|_| Problem::timeout())??, notice }))
}

/// Shows the log of a change.
#[utoipa::path(get, path = "/changes/{id}/log", operation_id = "showChangeLog", tag = "changes", params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "Everything that happened to it, in order.", body = Log)))]
pub(crate) async fn log(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<Log>, Problem> {
    let Overview { change, log, .. } = overview(&server, &caller, id).await?;
    let entries = log.iter().map(|recorded| LogEntry::of(recorded, &change.proposal.plan)).collect();
    Ok(axum::Json(Log { entries, next: None }))
}

/// Which looks are shown.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LookParams {
    /// Only looks with a greater number.
    pub after: Option<u64>,
    /// From 1 to 1000; 1000 by default.
    pub limit: Option<usize>,
}

/// Shows the looks at the telemetry of a change.
#[utoipa::path(get, path = "/changes/{id}/looks", operation_id = "showLooks", tag = "changes", params(("id" = String, Path, description = "`CHG-7` or `7`."), LookParams),
    responses((status = 200, description = "Looks in order.", body = Looks)))]
pub(crate) async fn looks(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Query(params): Query<LookParams>,
) -> Result<axum::Json<Looks>, Problem> {
    let limit = extract::limit(params.limit, 1_000, 1_000)?;
    load(&server, &caller, id).await?;
    let mut looks: Vec<LookView> =
        server.handle.looks(id, params.after.unwrap_or(0)).await?.into_iter().map(LookView::of).collect();
    let more = looks.len() > limit;
    looks.truncate(limit);
    let next = looks.last().filter(|_| more).map(|look| look.number);
    Ok(axum::Json(Looks { looks, next }))
}

/// Replays the looks of a change under another strictness.
///
/// Says for each step what was decided and what would have been, and when. Nothing is changed.
#[utoipa::path(post, path = "/changes/{id}/replay", operation_id = "replayChange", tag = "changes", params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    request_body = Replay, responses((status = 200, description = "Both decisions, step by step.", body = ReplayView)))]
pub(crate) async fn replay(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Json(Replay { strictness }): Json<Replay>,
) -> Result<axum::Json<ReplayView>, Problem> {
    let change = load(&server, &caller, id).await?;
    if let Some(unknown) = strictness.unknown_slis(&change).first() {
        return Err(Problem::malformed(format!("{id} has no SLI `{unknown}`")));
    }
    let replayed = server.handle.replay(&change, &strictness).await?.map_err(Problem::malformed)?;
    Ok(axum::Json(ReplayView { replayed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_one_row_more_than_it_shows() {
        let (query, limit) = ListParams::default().read().expect("the defaults are valid");
        assert_eq!((query.limit, limit), (51, 50));
        let params =
            ListParams { phase: Some("waiting".into()), before: Some("CHG-9".into()), ..ListParams::default() };
        let (query, _) = params.read().expect("the query is valid");
        assert_eq!(query.phases, ["assessed", "held", "paused", "rollback_failed"]);
        assert_eq!(query.before, Some(ChangeId::new(9)));
    }

    #[test]
    fn a_list_of_an_unknown_phase_is_refused() {
        let params = ListParams { phase: Some("done".into()), ..ListParams::default() };
        assert!(params.read().is_err_and(|p| p.detail.contains("`done` is no phase")));
    }

    #[test]
    fn an_unknown_field_of_a_proposal_is_named() {
        let error = serde_json::from_str::<Proposed>(r#"{"file": "", "fils": {}}"#).expect_err("a misspelt field");
        assert!(error.to_string().contains("unknown field `fils`, expected one of `file`, `files`"), "{error}");
    }
}
