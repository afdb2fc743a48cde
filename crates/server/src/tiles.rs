//! Tiles: the files of the log, as the tlog-tiles format lays them out, for tools that verify it.
//!
//! A tile never changes once it is there, a partial one neither: both may be kept for ever. Only a checkpoint grows old. Nothing here knows what an
//! entry says; who may read all of them is asked first.

use audit::{EntriesId, TileId};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::Shared;
use crate::identity::Auditor;
use crate::problem::Problem;

/// Shows the newest checkpoint of the log, signed.
#[utoipa::path(get, path = "/checkpoint", operation_id = "showCheckpoint", tag = "log",
    responses((status = 200, description = "A signed note with origin, size and root.", content_type = "text/plain", body = String)))]
pub(crate) async fn checkpoint(State(server): State<Shared>, _: Auditor) -> Result<Response, Problem> {
    let keep = format!("{}, max-age=1", scope(&server));
    file(&server, "checkpoint", "text/plain; charset=utf-8", keep).await
}

/// Shows a tile of hashes, or a bundle of entries.
#[utoipa::path(get, path = "/tile/{*path}", operation_id = "showTile", tag = "log",
    params(("path" = String, Path, description = "`0/x001/x234/067`, `0/000.p/112` or `entries/000`, as C2SP tlog-tiles has it.")),
    responses((status = 200, description = "Hashes, or entries with their lengths.", content_type = "application/octet-stream", body = Vec<u8>)))]
pub(crate) async fn tile(
    State(server): State<Shared>,
    _: Auditor,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let path = format!("tile/{path}");
    // Only the names that the format has reach the store.
    if path.parse::<TileId>().is_err() && path.parse::<EntriesId>().is_err() {
        return Err(Problem::not_found(format!("`{path}` is not the path of a tile")));
    }
    let keep = format!("{}, max-age=31536000, immutable", scope(&server));
    file(&server, &path, "application/octet-stream", keep).await
}

/// Whether caches that many share may keep it.
fn scope(server: &Shared) -> &'static str {
    if server.public_log { "public" } else { "private" }
}

async fn file(server: &Shared, path: &str, content_type: &str, keep: String) -> Result<Response, Problem> {
    let bytes = server.handle.log_file(path).await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found(format!("the log has no file `{path}` yet")))?;
    Ok(([(header::CONTENT_TYPE, content_type.to_owned()), (header::CACHE_CONTROL, keep)], bytes).into_response())
}
