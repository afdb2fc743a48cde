//! Releases: several changes as one: proposing them, seeing how they stand, withdrawing and rolling them back.
//!
//! Who sees one of its changes sees a release; of changes that they don't see, they see the name and how it stands. No rule is here: the core has them.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::actor::Reach;
use change::document::Problem as FileProblem;
use change::release::{Command, OnFailure, Release, Standing, Stopped, Wave};
use change::{Actor, Change, ChangeId, ReleaseId, Timestamp, explain};
use engine::ProposeError;
use engine::releases::{ReleaseDraft, ReleaseNow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::changes::{self, Proposed};
use crate::api::commands::Because;
use crate::extract::{Idempotency, Json};
use crate::identity::{Caller, Reader};
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;
use crate::view::{Log, LogEntry, no_plan};

/// A release file, and the change files of its members.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProposedRelease {
    /// The release file as text: YAML or JSON.
    pub file: String,
    /// The change of each member that is not proposed already, by its name in the release; with `{{each}}` filled in.
    #[serde(default)]
    pub changes: BTreeMap<String, Proposed>,
}

/// What this server says of a release file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CheckedRelease {
    pub valid: bool,
    pub problems: Vec<FileProblem>,
}

/// A release as it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReleaseView {
    pub id: ReleaseId,
    pub title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub owner: String,
    pub author: Actor,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
    /// The name of its phase.
    pub phase: String,
    /// Whether nothing more will happen by itself.
    pub ended: bool,
    /// How it stands, in a sentence.
    pub status: String,
    /// Its page.
    pub url: String,
    pub on_failure: OnFailure,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// The members in layers, from 0: each comes after some of the layer before it.
    pub layers: Vec<Vec<usize>>,
    pub members: Vec<MemberView>,
}

/// A member of a release.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MemberView {
    pub name: String,
    pub change: ChangeId,
    /// The members that it comes directly after, by their number from 0.
    pub after: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    pub standing: Standing,
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Why the release can't roll it back, where it can't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// What the reader sees of its change, if they see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// A change of a release in short.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Seen {
    pub title: String,
    pub phase: String,
    pub status: String,
    /// The newest verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<change::verification::Answer>,
}

/// A row of the list of releases.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReleaseRow {
    pub id: ReleaseId,
    pub title: String,
    pub owner: String,
    pub phase: String,
    pub status: String,
    pub changes: usize,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
}

/// Releases, the newest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReleaseList {
    pub releases: Vec<ReleaseRow>,
}

documented!(ProposedRelease, CheckedRelease, ReleaseView, ReleaseList);

/// The most releases that are listed.
const MOST_LISTED: usize = 200;

impl ProposedRelease {
    fn draft(self) -> Result<ReleaseDraft, Problem> {
        let one_way = |(name, change): (String, Proposed)| {
            if change.emergency.is_some() || change.afterwards.is_some() || change.revision.is_some() {
                return Err(Problem::malformed(format!("`{name}`: a member of a release goes the regular way")));
            }
            Ok((name, change.draft()?))
        };
        let changes = self.changes.into_iter().map(one_way).collect::<Result<_, _>>()?;
        Ok(ReleaseDraft { text: self.file, changes })
    }
}

impl ReleaseView {
    /// A release as a reader sees it who sees changes by this rule.
    pub(crate) fn of(now: &ReleaseNow, base_url: &str, sees: impl Fn(&Change) -> bool) -> Self {
        let ReleaseNow { release, changes } = now;
        let (plan, order) = (&release.plan, release.order());
        let member = |(i, member): (usize, &change::release::Member)| {
            let stands = &release.standing[i];
            let change = changes.iter().find(|change| change.id == member.change).filter(|change| sees(change));
            MemberView {
                name: member.name.clone(),
                change: member.change,
                after: order.before(i).collect(),
                wave: member.wave.and_then(|wave| plan.waves.get(wave)).map(|wave| wave.name.clone()),
                standing: stands.is,
                since: stands.since,
                stuck: stands.stuck.clone().filter(|_| change.is_some()),
                seen: change.map(Seen::of),
            }
        };
        Self {
            id: release.id,
            title: plan.title.clone(),
            description: plan.description.clone(),
            owner: plan.owner.clone(),
            author: release.author.clone(),
            proposed_at: release.proposed_at,
            phase: release.phase().name().to_owned(),
            ended: release.phase().is_terminal(),
            status: explain::release(release),
            url: format!("{base_url}/releases/{}", release.id),
            on_failure: plan.on_failure,
            stopped: release.stopped.clone(),
            waves: plan.waves.clone(),
            layers: order.layers(),
            members: plan.members.iter().enumerate().map(member).collect(),
        }
    }
}

impl Seen {
    fn of(change: &Change) -> Self {
        Self {
            title: change.proposal.title.clone(),
            phase: change.phase().name().to_owned(),
            status: explain::status(change),
            verdict: change.any_rollout().and_then(|r| r.judgement.as_ref()).map(|judgement| judgement.answer),
        }
    }
}

/// The id of a release in a path.
pub(crate) fn id_of(text: &str) -> Result<ReleaseId, Problem> {
    text.parse().map_err(Problem::malformed)
}

/// A release and its members. One of which the caller sees no change is as one that does not exist.
pub(crate) async fn load(server: &Shared, caller: &Caller, id: ReleaseId) -> Result<ReleaseNow, Problem> {
    let now = server.handle.release(id).await?;
    let seen = now.filter(|now| now.changes.iter().any(|change| caller.sees(server, change)));
    seen.ok_or_else(|| Problem::not_found(format!("there is no release `{id}`")).help("see `clearway release list`"))
}

pub(crate) async fn show(server: &Shared, caller: &Caller, id: ReleaseId) -> Result<ReleaseView, Problem> {
    let now = load(server, caller, id).await?;
    Ok(ReleaseView::of(&now, &server.base_url, |change| caller.sees(server, change)))
}

/// Checks a release file and the change files of its members without proposing them.
///
/// Answers with every problem at once.
#[utoipa::path(post, path = "/releases/check", operation_id = "checkRelease", tag = "releases", request_body = ProposedRelease,
    responses((status = 200, description = "What this server says of the files.", body = CheckedRelease)))]
pub(crate) async fn check(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Json(given): Json<ProposedRelease>,
) -> Result<axum::Json<CheckedRelease>, Problem> {
    let draft = given.draft()?;
    sees_members(&server, &caller, &draft, None).await?;
    match server.handle.check_release(&draft).await {
        Ok(()) => Ok(axum::Json(CheckedRelease { valid: true, problems: vec![] })),
        Err(ProposeError::Invalid(problems)) => Ok(axum::Json(CheckedRelease { valid: false, problems })),
        Err(other) => Err(other.into()),
    }
}

/// Proposes a release with all of its changes, at once or not at all.
///
/// The same request with the same key answers with the same release.
#[utoipa::path(post, path = "/releases", operation_id = "proposeRelease", tag = "releases", request_body = ProposedRelease,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters by which the request may be repeated.")),
    responses((status = 201, description = "The release, new or proposed before with this key.", body = ReleaseView)))]
pub(crate) async fn propose(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Idempotency(key): Idempotency,
    Json(given): Json<ProposedRelease>,
) -> Result<Response, Problem> {
    for change in given.changes.values() {
        changes::token_leaves(&server, &caller, "propose", None, change).await?;
    }
    let (handle, actor) = (server.handle.clone(), caller.actor());
    let draft = given.draft()?;
    sees_members(&server, &caller, &draft, Some("propose")).await?;
    let proposed = async move { handle.propose_release(&actor, &draft, key.as_deref()).await };
    let release = to_its_end(proposed).await??;
    let location = format!("/api/v1/releases/{}", release.id);
    let view = show(&server, &caller, release.id).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(view)).into_response())
}

/// Changes that are proposed already are brought in by those who see them, and whose token leaves them so.
async fn sees_members(
    server: &Shared,
    caller: &Caller,
    draft: &ReleaseDraft,
    action: Option<&str>,
) -> Result<(), Problem> {
    let Ok(outline) = change::release::file::read(&draft.text) else { return Ok(()) };
    for sketch in outline.members {
        if let change::release::file::Origin::Existing(id) = sketch.from {
            let change = changes::load(server, caller, id).await?;
            if let Some(action) = action {
                caller.token_leaves(server, action, Some(id), &change.proposal).await?;
            }
        }
    }
    Ok(())
}

/// Lists releases, the newest first.
#[utoipa::path(get, path = "/releases", operation_id = "listReleases", tag = "releases",
    responses((status = 200, description = "At most 200 of those that the caller sees.", body = ReleaseList)))]
pub(crate) async fn list(
    State(server): State<Shared>,
    Reader(caller): Reader,
) -> Result<axum::Json<ReleaseList>, Problem> {
    let (releases, _) = seen(&server, &caller, MOST_LISTED).await?;
    let row = |release: Release| ReleaseRow {
        id: release.id,
        title: release.plan.title.clone(),
        owner: release.plan.owner.clone(),
        phase: release.phase().name().to_owned(),
        status: explain::release(&release),
        changes: release.plan.members.len(),
        proposed_at: release.proposed_at,
    };
    Ok(axum::Json(ReleaseList { releases: releases.into_iter().map(row).collect() }))
}

/// The newest releases of which the caller sees a change, and whether there are more.
pub(crate) async fn seen(server: &Shared, caller: &Caller, most: usize) -> Result<(Vec<Release>, bool), Problem> {
    let (mut found, reach) = (Vec::new(), caller.reach(server));
    for release in server.handle.releases().await? {
        if is_seen(server, &reach, &release).await? {
            if found.len() == most {
                return Ok((found, true));
            }
            found.push(release);
        }
    }
    Ok((found, false))
}

async fn is_seen(server: &Shared, reach: &Reach, release: &Release) -> Result<bool, Problem> {
    for member in &release.plan.members {
        let row = server.handle.row(member.change).await?;
        if row.is_some_and(|row| reach.sees(&row.services, &row.environment)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Shows a release: its members in their order, and how each stands.
#[utoipa::path(get, path = "/releases/{id}", operation_id = "showRelease", tag = "releases",
    params(("id" = String, Path, description = "`REL-7` or `7`.")),
    responses((status = 200, description = "The release as it stands.", body = ReleaseView)))]
pub(crate) async fn one(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<axum::Json<ReleaseView>, Problem> {
    show(&server, &caller, id_of(&id)?).await.map(axum::Json)
}

/// Shows the log of a release.
#[utoipa::path(get, path = "/releases/{id}/log", operation_id = "showReleaseLog", tag = "releases",
    params(("id" = String, Path, description = "`REL-7` or `7`.")),
    responses((status = 200, description = "Everything that happened to it, in order.", body = Log)))]
pub(crate) async fn log(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<axum::Json<Log>, Problem> {
    let id = id_of(&id)?;
    load(&server, &caller, id).await?;
    Ok(axum::Json(Log { entries: entries(&server, id).await?, next: None }))
}

pub(crate) async fn entries(server: &Shared, id: ReleaseId) -> Result<Vec<LogEntry>, Problem> {
    let log = server.handle.release_log(id).await?;
    Ok(log.iter().map(|recorded| LogEntry::of(recorded, &no_plan())).collect())
}

/// Withdraws a release before anything of it has begun, and its changes with it.
#[utoipa::path(post, path = "/releases/{id}/withdraw", operation_id = "withdrawRelease", tag = "releases", request_body = Because,
    params(("id" = String, Path, description = "`REL-7` or `7`.")),
    responses((status = 200, description = "The release as it is now.", body = ReleaseView)))]
pub(crate) async fn withdraw(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Json(given): Json<Because>,
) -> Result<axum::Json<ReleaseView>, Problem> {
    let command = Command::Withdraw { reason: given.reason };
    ask(&server, &caller, &id, "withdraw", command).await.map(axum::Json)
}

/// Rolls a release back: what was rolled out, the last first.
#[utoipa::path(post, path = "/releases/{id}/rollback", operation_id = "rollBackRelease", tag = "releases", request_body = Because,
    params(("id" = String, Path, description = "`REL-7` or `7`.")),
    responses((status = 200, description = "The release as it is now.", body = ReleaseView)))]
pub(crate) async fn rollback(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Json(given): Json<Because>,
) -> Result<axum::Json<ReleaseView>, Problem> {
    let command = Command::RollBack { reason: given.reason };
    ask(&server, &caller, &id, "rollback", command).await.map(axum::Json)
}

/// Asks something of a release, if the token leaves it on every one of its changes.
pub(crate) async fn ask(
    server: &Shared,
    caller: &Caller,
    id: &str,
    action: &str,
    command: Command,
) -> Result<ReleaseView, Problem> {
    let id = id_of(id)?;
    for change in load(server, caller, id).await?.changes {
        caller.token_leaves(server, action, Some(change.id), &change.proposal).await?;
    }
    let (handle, actor) = (server.handle.clone(), caller.actor());
    to_its_end(async move { handle.command_release(&actor, id, command).await }).await??;
    show(server, caller, id).await
}
