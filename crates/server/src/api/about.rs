//! About: who you are, what the server can do, and how it has fared.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use change::secret::AllowList;
use change::{Permission, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::IntoParams;

use crate::Shared;
use crate::extract::{Query, instant};
use crate::identity::{Caller, Reader};
use crate::problem::Problem;
use crate::schema::documented;

/// Somebody, as the server knows them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WhoAmI {
    pub user: String,
    pub name: Option<String>,
    pub groups: BTreeSet<String>,
    /// What they may do somewhere; on which services and in which environments is asked for each change.
    pub may: BTreeSet<Permission>,
}

/// The drivers of this server.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Drivers {
    pub drivers: Vec<DriverView>,
}

/// One driver.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DriverView {
    pub name: String,
    /// The JSON Schema of its options below `plan.target`.
    pub schema: Value,
}

/// How changes have fared in a period.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Measures {
    #[serde(flatten)]
    pub report: measure::Report,
    #[serde(flatten)]
    pub controls: measure::ControlReport,
}

/// What the secret scan of a client has to know.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Allowing {
    #[serde(flatten)]
    pub list: AllowList,
}

documented!(WhoAmI, Drivers, Measures, Allowing);

/// Shows which findings of the secret scan are allowed here.
///
/// With the salt of their fingerprints, and so only to those who may propose somewhere.
#[utoipa::path(get, path = "/secrets", operation_id = "showAllowedSecrets", tag = "about",
    responses((status = 200, description = "The list of `secrets.yaml`.", body = Allowing)))]
pub(crate) async fn secrets(State(server): State<Shared>, caller: Caller) -> Result<axum::Json<Allowing>, Problem> {
    let in_force = server.handle.in_force();
    if !in_force.governance.access.held(&caller.user).contains(&Permission::Propose) {
        let detail = format!("`user:{}` may propose nowhere, and so has nothing to scan for here", caller.user);
        return Err(Problem::not_allowed(detail).help("ask for a role with `propose` in access.yaml"));
    }
    if !caller.limits.leave(Permission::Propose) {
        let detail =
            format!("the token of `user:{}` is not for `propose`, and so has nothing to scan for here", caller.user);
        return Err(Problem::not_allowed(detail).help("use a token that may propose"));
    }
    Ok(axum::Json(Allowing { list: in_force.governance.secrets.clone() }))
}

/// Says who you are.
#[utoipa::path(get, path = "/whoami", operation_id = "whoAmI", tag = "about",
    responses((status = 200, description = "You, as the server knows you.", body = WhoAmI)))]
pub(crate) async fn whoami(State(server): State<Shared>, caller: Caller) -> axum::Json<WhoAmI> {
    let in_force = server.handle.in_force();
    let access = &in_force.governance.access;
    axum::Json(WhoAmI {
        name: access.user(&caller.user).and_then(|u| u.name.clone()),
        groups: access.groups_of(&caller.user),
        may: access.held(&caller.user).into_iter().filter(|p| caller.limits.leave(*p)).collect(),
        user: caller.user,
    })
}

/// Lists the drivers and the options of each.
#[utoipa::path(get, path = "/drivers", operation_id = "listDrivers", tag = "about",
    responses((status = 200, description = "The drivers by name.", body = Drivers)))]
pub(crate) async fn drivers(State(server): State<Shared>, _: Reader) -> axum::Json<Drivers> {
    let each = server.handle.drivers().iter();
    axum::Json(Drivers { drivers: each.map(|(n, d)| DriverView { name: n.clone(), schema: d.schema() }).collect() })
}

/// Shows the JSON Schema of a kind of file, for editors.
#[utoipa::path(get, path = "/schemas/{kind}", operation_id = "showSchema", tag = "about",
    params(("kind" = String, Path, description = "The kind of file: see the list in the answer to one that there is not.")),
    responses((status = 200, description = "A JSON Schema.", content_type = "application/schema+json", body = Value)))]
pub(crate) async fn schema(
    Path(kind): Path<String>,
) -> Result<([(axum::http::HeaderName, &'static str); 1], String), Problem> {
    let schema = file_schema(&kind).ok_or_else(|| {
        Problem::not_found(format!("there is no kind of file `{kind}`"))
            .help(format!("there are {}", change::document::list(KINDS)))
    })?;
    Ok(([(axum::http::header::CONTENT_TYPE, "application/schema+json")], schema.to_string()))
}

/// The kinds of files that have a schema.
pub(crate) const KINDS: [&str; 13] = [
    "change",
    "release",
    "access",
    "approvals",
    "calendar",
    "conflicts",
    "roster",
    "error-budget",
    "paths",
    "settings",
    "slis",
    "standard",
    "service",
];

fn file_schema(kind: &str) -> Option<Value> {
    let schema = match kind {
        "change" => schemars::schema_for!(change::proposal::ChangeFile),
        "release" => schemars::schema_for!(change::release::file::ReleaseFile),
        "access" => schemars::schema_for!(change::actor::Access),
        "approvals" => schemars::schema_for!(change::governance::Matrix),
        "calendar" => schemars::schema_for!(change::calendar::Calendar),
        "roster" => schemars::schema_for!(change::roster::Roster),
        "error-budget" => schemars::schema_for!(change::budget::BudgetPolicy),
        "conflicts" => schemars::schema_for!(change::conflict::ConflictRules),
        "paths" => schemars::schema_for!(change::facts::paths::PathFile),
        "slis" => schemars::schema_for!(change::governance::SliFile),
        "settings" => schemars::schema_for!(change::governance::Settings),
        "standard" => schemars::schema_for!(change::standard::Template),
        "service" => schemars::schema_for!(change::catalog::Service),
        _ => return None,
    };
    Some(schema.to_value())
}

/// The period that is measured.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// The first instant, with its zone; 30 days before `to` by default.
    pub from: Option<String>,
    /// The first instant after the period; now by default.
    pub to: Option<String>,
}

const A_MONTH: Span = Span::secs(30 * 86_400);

impl Period {
    fn read(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
        let to = self.to.as_deref().map(|text| instant("to", text)).transpose()?.unwrap_or(now);
        let month = to.as_millisecond().saturating_sub(i64::try_from(A_MONTH.as_millis()).unwrap_or(0));
        let default = Timestamp::from_millisecond(month).unwrap_or(Timestamp::MIN);
        let from = self.from.as_deref().map(|text| instant("from", text)).transpose()?.unwrap_or(default);
        if from < to { Ok((from, to)) } else { Err(Problem::malformed("`from` is not before `to`")) }
    }
}

/// Measures a period, from the log alone.
#[utoipa::path(get, path = "/measures", operation_id = "measure", tag = "about", params(Period),
    responses((status = 200, description = "How changes have fared.", body = Measures)))]
pub(crate) async fn measures(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Query(period): Query<Period>,
) -> Result<axum::Json<Measures>, Problem> {
    if !caller.reach(&server).is_everything() {
        let detail = format!("`user:{}` sees some services only, and figures are about all of them", caller.user);
        server.handle.refused(&caller.actor(), None, "measure", "not_allowed", &detail).await;
        return Err(Problem::not_allowed(detail).help("ask for a role that holds everywhere in access.yaml"));
    }
    let (from, to) = period.read(server.handle.now())?;
    let report = server.handle.measures(from, to).await?;
    let controls = server.handle.controls(from, to).await?;
    Ok(axum::Json(Measures { report, controls }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_has_a_schema_that_refuses_unknown_fields() {
        for kind in KINDS {
            let schema = file_schema(kind).expect("a schema");
            assert_eq!(schema["additionalProperties"], false, "{kind}");
        }
        assert_eq!(file_schema("novel"), None);
    }

    #[test]
    fn a_period_is_the_last_month_by_default_and_never_empty() {
        let now: Timestamp = "2026-09-01T00:00:00Z".parse().expect("an instant");
        let period = |from: Option<&str>, to: Option<&str>| {
            Period { from: from.map(str::to_owned), to: to.map(str::to_owned) }
                .read(now)
                .map(|(from, to)| (from.to_string(), to.to_string()))
        };
        assert_eq!(period(None, None), Ok(("2026-08-02T00:00:00Z".into(), "2026-09-01T00:00:00Z".into())));
        assert!(period(Some("2026-09-01T00:00:00Z"), None).is_err());
        assert!(period(Some("2026-08-01"), None).is_err_and(|p| p.detail.contains("`from`")));
    }
}
