//! The catalog: its services, what there is to say about them, and one of them with its neighbours.
//!
//! Read from the governance in force; nothing is changed here. What a finding means is decided in the core.

use axum::extract::{Path, State};
use change::catalog::{At, Finding, Portrait, Service};
use change::document::nearest;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Shared;
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// The catalog in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CatalogView {
    /// In the order of the files.
    pub services: Vec<ListedService>,
    /// The weightiest first: warnings, entries that are overdue, and notes about what was taken over from other tools.
    pub findings: Vec<Finding>,
}

/// A service and the place where it is described.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ListedService {
    pub service: Service,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// A service and where it stands among the others.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceView {
    #[serde(flatten)]
    pub portrait: Portrait,
}

documented!(CatalogView, ServiceView);

fn findings(server: &Shared) -> Vec<Finding> {
    let in_force = server.handle.in_force();
    let governance = &in_force.governance;
    let mut found = governance.catalog.findings(&governance.access, &governance.slis);
    found.extend(governance.catalog.upkeep(server.handle.now()));
    change::catalog::finding::sort(&mut found);
    found
}

/// Lists the services of the catalog, with all that there is to say about them.
#[utoipa::path(get, path = "/catalog", operation_id = "showCatalog", tag = "catalog",
    responses((status = 200, description = "The catalog in force.", body = CatalogView)))]
pub(crate) async fn all(State(server): State<Shared>, _: Reader) -> axum::Json<CatalogView> {
    let in_force = server.handle.in_force();
    let catalog = &in_force.governance.catalog;
    let listed =
        |service: &Service| ListedService { at: catalog.origin(&service.name).cloned(), service: service.clone() };
    axum::Json(CatalogView { services: catalog.services().iter().map(listed).collect(), findings: findings(&server) })
}

/// Shows a service: who answers for it, what it calls, who calls it, and who notices when it fails.
#[utoipa::path(get, path = "/services/{name}", operation_id = "showService", tag = "catalog",
    params(("name" = String, Path, description = "The name of the service.")),
    responses((status = 200, description = "The service.", body = ServiceView)))]
pub(crate) async fn one(
    State(server): State<Shared>,
    _: Reader,
    Path(name): Path<String>,
) -> Result<axum::Json<ServiceView>, Problem> {
    let in_force = server.handle.in_force();
    let catalog = &in_force.governance.catalog;
    let portrait = catalog.portrait(&name, &findings(&server)).ok_or_else(|| {
        let problem = Problem::not_found(format!("there is no service `{name}` in the catalog"));
        match nearest(&name, catalog.services().iter().map(|s| s.name.as_str())) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        }
    })?;
    Ok(axum::Json(ServiceView { portrait }))
}
