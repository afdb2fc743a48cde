//! The log as entries: what happened on this server, and the proof of each.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use change::ChangeId;
use change::rollout::Plan;
use engine::ports::Recorded;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Shared;
use crate::extract::{self, Query};
use crate::identity::{Auditor, Caller, Reader};
use crate::problem::Problem;
use crate::view::{Log, LogEntry, no_plan};

/// Which entries are shown.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogParams {
    /// From this position on, 0 by default.
    pub from: Option<u64>,
    /// From 1 to 500; 100 by default.
    pub limit: Option<usize>,
}

/// Shows the log of all changes, for auditors.
#[utoipa::path(get, path = "/log", operation_id = "showLog", tag = "log", params(LogParams),
    responses((status = 200, description = "Entries in order.", body = Log)))]
pub(crate) async fn entries(
    State(server): State<Shared>,
    _: Auditor,
    Query(params): Query<LogParams>,
) -> Result<axum::Json<Log>, Problem> {
    let limit = extract::limit(params.limit, 100, 500)?;
    let mut recorded = server.handle.log(params.from.unwrap_or(0), limit + 1).await?;
    let more = recorded.len() > limit;
    recorded.truncate(limit);
    let next = recorded.last().filter(|_| more).map(|r| r.position + 1);
    Ok(axum::Json(Log { entries: in_words(&server, &recorded).await?, next }))
}

/// Entries in the words of the plans that they are about.
pub(crate) async fn in_words(server: &Shared, recorded: &[Recorded]) -> Result<Vec<LogEntry>, Problem> {
    let mut plans: BTreeMap<ChangeId, Plan> = BTreeMap::new();
    for id in recorded.iter().filter_map(|r| ChangeId::of_stream(&r.stream)) {
        if !plans.contains_key(&id) {
            let change = server.handle.change(id).await?;
            plans.extend(change.map(|c| (id, c.proposal.plan)));
        }
    }
    let none = no_plan();
    let plan = |r: &Recorded| ChangeId::of_stream(&r.stream).and_then(|id| plans.get(&id)).unwrap_or(&none).clone();
    Ok(recorded.iter().map(|r| LogEntry::of(r, &plan(r))).collect())
}

/// Proves that an entry is in the log.
///
/// A file that `clearway audit verify` and other tools check offline.
#[utoipa::path(get, path = "/log/{position}/proof", operation_id = "proveEntry", tag = "log",
    params(("position" = u64, Path, description = "The position of the entry, from 0.")),
    responses((status = 200, description = "A `.tlog-proof` file.", content_type = "text/plain", body = String)))]
pub(crate) async fn proof(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Path(position): Path<String>,
) -> Result<Response, Problem> {
    let malformed = || Problem::malformed(format!("`{position}` is not the position of an entry"));
    let number: u64 = position.parse().map_err(|_| malformed())?;
    let proof = server.handle.proof(number).await?;
    let is_seen = sees_entry(&server, &caller, number).await?;
    let proof = proof.filter(|_| is_seen);
    let proof = proof.ok_or_else(|| Problem::not_found(format!("the log has no entry `{number}`")))?;
    let file = format!("inline; filename=\"{number}.tlog-proof\"");
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, proof).into_response())
}

/// Whether somebody sees an entry: it is of a change that they see, or they see everything.
async fn sees_entry(server: &Shared, caller: &Caller, position: u64) -> Result<bool, Problem> {
    if caller.reach(server).is_everything() {
        return Ok(true);
    }
    let recorded = server.handle.log(position, 1).await?.into_iter().find(|recorded| recorded.position == position);
    let Some(id) = recorded.and_then(|recorded| recorded.change) else { return Ok(false) };
    Ok(server.handle.change(id).await?.is_some_and(|change| caller.sees(server, &change)))
}
