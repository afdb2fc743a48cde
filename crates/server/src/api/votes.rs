//! Votes: what a voter is asked to sign.
//!
//! The engine makes the statement and the core its words; nothing is decided here. The vote itself is a [command](super::commands).

use std::collections::BTreeSet;

use axum::extract::State;
use change::approval::statement::NAMESPACE;
use change::{Digest, Timestamp};
use engine::signing::ToSign;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Shared;
use crate::api::changes;
use crate::extract::Id;
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// What you sign to approve a change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StatementView {
    /// The text, to the byte. It counts for a day.
    pub statement: String,
    /// What the signature is made for: `ssh-keygen -Y sign -n` takes it.
    pub namespace: String,
    /// The effect that the statement is for.
    pub effect: Digest,
    /// The groups that you speak for.
    pub groups: BTreeSet<String>,
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Your keys that can sign it now, as their kind and base64.
    pub keys: Vec<String>,
}

documented!(StatementView);

/// Shows what you sign to approve a change as it is now.
#[utoipa::path(get, path = "/changes/{id}/statement", operation_id = "showStatement", tag = "changes",
    params(("id" = String, Path, description = "`CHG-7` or `7`.")),
    responses((status = 200, description = "The statement, and the keys that can sign it.", body = StatementView)))]
pub(crate) async fn statement(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
) -> Result<axum::Json<StatementView>, Problem> {
    let change = changes::load(&server, &caller, id).await?;
    let ToSign { statement, keys } = server.handle.to_sign(&caller.actor(), &change).await?;
    Ok(axum::Json(StatementView {
        statement: statement.text(),
        namespace: NAMESPACE.to_owned(),
        effect: statement.effect,
        groups: statement.groups,
        time: statement.time,
        keys,
    }))
}
