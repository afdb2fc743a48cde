//! On call: who answers for services at an instant, over the API.

use axum::extract::State;
use change::Timestamp;
use engine::rosters::OnCall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::extract::Query;
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// Whose turn is asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OnCallParams {
    /// The service; all of the catalog if absent.
    pub service: Option<String>,
    /// At this instant, in RFC 3339; now if absent.
    #[param(value_type = Option<String>)]
    pub at: Option<Timestamp>,
}

/// Who is on call.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct OnCallView {
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// In the order of the catalog.
    pub services: Vec<OnCall>,
}

documented!(OnCallView);

/// Says who is on call.
#[utoipa::path(get, path = "/on-call", operation_id = "listOnCall", tag = "people", params(OnCallParams),
    responses((status = 200, description = "For each service, who is on call by what its entry names.", body = OnCallView)))]
pub(crate) async fn all(
    State(server): State<Shared>,
    _: Reader,
    Query(params): Query<OnCallParams>,
) -> Result<axum::Json<OnCallView>, Problem> {
    let at = params.at.unwrap_or_else(|| change::time::to_millis(server.handle.now()));
    let service = params.service.as_deref();
    let services = server.handle.on_call(service, at).ok_or_else(|| {
        Problem::not_found(format!("there is no service `{}` in the catalog", service.unwrap_or_default()))
    })?;
    Ok(axum::Json(OnCallView { at, services }))
}
