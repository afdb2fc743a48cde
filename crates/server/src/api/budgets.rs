//! Error budgets: how much of each is left and how fast it is used up, over the API.

use axum::extract::State;
use change::Timestamp;
use engine::budgets::BudgetOverview;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::extract::Query;
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// Which budgets are asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BudgetParams {
    /// Of this service; of all with an objective if absent.
    pub service: Option<String>,
}

/// Error budgets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct BudgetsView {
    #[schemars(with = "String")]
    pub now: Timestamp,
    /// Whether budgets are read at all: the governance has an `error_budget.yaml`.
    pub is_read: bool,
    pub budgets: Vec<BudgetOverview>,
}

documented!(BudgetsView);

/// Lists error budgets: what is left, and how fast it is used up.
#[utoipa::path(get, path = "/budgets", operation_id = "listBudgets", tag = "services", params(BudgetParams),
    responses((status = 200, description = "In the order of the catalog.", body = BudgetsView)))]
pub(crate) async fn all(
    State(server): State<Shared>,
    _: Reader,
    Query(params): Query<BudgetParams>,
) -> Result<axum::Json<BudgetsView>, Problem> {
    let service = params.service.as_deref();
    let found = server.handle.budgets(service).await?;
    let (is_read, budgets) = (found.is_some(), found.unwrap_or_default());
    if let Some(name) = service.filter(|_| is_read && budgets.is_empty()) {
        let detail = format!("the service `{name}` promises nothing that a budget could be reckoned from");
        return Err(
            Problem::not_found(detail).help("name an SLI with an `objective` under `slis` or `slos` of the service")
        );
    }
    Ok(axum::Json(BudgetsView { now: change::time::to_millis(server.handle.now()), is_read, budgets }))
}
