//! The document: every route of the API with its OpenAPI description, side by side, so that neither can be without the other.

use std::sync::OnceLock;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder,
    SecurityRequirement,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    about, access, budgets, calendar, catalog, changes, commands, diffs, holds, log, on_call, outside, people, plans,
    policies, releases, schedule, standards, tokens, votes,
};
use crate::problem::ProblemDetails;
use crate::{Shared, events, ops, tiles};

/// The routes for programs, and what describes them.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    let v1 = OpenApiRouter::default()
        .routes(routes!(changes::check))
        .routes(routes!(changes::facts))
        .routes(routes!(changes::list, changes::propose))
        .routes(routes!(changes::one))
        .routes(routes!(changes::gates))
        .routes(routes!(changes::log))
        .routes(routes!(changes::looks))
        .routes(routes!(votes::statement))
        .routes(routes!(diffs::diff))
        .routes(routes!(plans::of_file))
        .routes(routes!(plans::of_change))
        .routes(routes!(changes::replay))
        .routes(routes!(policies::explain))
        .routes(routes!(policies::replay))
        .routes(routes!(policies::decisions))
        .routes(routes!(policies::governance))
        .routes(routes!(commands::amend))
        .routes(routes!(commands::approve))
        .routes(routes!(commands::reject))
        .routes(routes!(commands::withdraw))
        .routes(routes!(commands::pause))
        .routes(routes!(commands::resume))
        .routes(routes!(commands::promote))
        .routes(routes!(commands::rollback))
        .routes(routes!(commands::complete))
        .routes(routes!(commands::review))
        .routes(routes!(commands::request_changes))
        .routes(routes!(commands::take_back))
        .routes(routes!(commands::override_rule))
        .routes(routes!(commands::break_glass))
        .routes(routes!(commands::tick))
        .routes(routes!(commands::except))
        .routes(routes!(commands::grant_exception))
        .routes(routes!(commands::revoke_exception))
        .routes(routes!(calendar::show))
        .routes(routes!(calendar::next))
        .routes(routes!(calendar::ics))
        .routes(routes!(schedule::show, schedule::of_file))
        .routes(routes!(schedule::release_batch))
        .routes(routes!(outside::begin))
        .routes(routes!(outside::finish))
        .routes(routes!(people::delegations, people::delegate))
        .routes(routes!(people::back))
        .routes(routes!(people::stopped, people::stop))
        .routes(routes!(people::release))
        .routes(routes!(people::debts))
        .routes(routes!(on_call::all))
        .routes(routes!(budgets::all))
        .routes(routes!(holds::list, holds::hold))
        .routes(routes!(holds::release))
        .routes(routes!(holds::veto))
        .routes(routes!(holds::lift_veto))
        .routes(routes!(events::of_change))
        .routes(routes!(events::of_all))
        .routes(routes!(log::entries))
        .routes(routes!(log::proof))
        .routes(routes!(catalog::all))
        .routes(routes!(catalog::one))
        .routes(routes!(standards::list))
        .routes(routes!(standards::one))
        .routes(routes!(standards::propose))
        .routes(routes!(standards::reinstate))
        .routes(routes!(releases::check))
        .routes(routes!(releases::list, releases::propose))
        .routes(routes!(releases::one))
        .routes(routes!(releases::log))
        .routes(routes!(releases::withdraw))
        .routes(routes!(releases::rollback))
        .routes(routes!(access::all))
        .routes(routes!(access::explain))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(about::measures))
        .routes(routes!(about::whoami))
        .routes(routes!(about::drivers))
        .routes(routes!(about::secrets))
        .routes(routes!(about::schema));
    OpenApiRouter::with_openapi(head())
        .nest("/api/v1", v1)
        .routes(routes!(tiles::checkpoint))
        .routes(routes!(tiles::tile))
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::openapi_json))
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Clearway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The control plane for changes to production."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
        "clearway_session",
        "The session of the pages. What changes something also needs the header `X-CSRF-Token`.",
    )));
    let components = ComponentsBuilder::new().security_scheme("token", bearer).security_scheme("session", session);
    OpenApiBuilder::new().info(info).components(Some(components.build())).build()
}

/// The OpenAPI document.
pub fn openapi() -> OpenApi {
    let (_, mut document) = routes().split_for_parts();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(crate::schema::components::<ProblemDetails>());
    let names: Vec<String> = document.paths.paths.keys().cloned().collect();
    for name in names {
        let Some(mut item) = document.paths.paths.remove(&name) else { continue };
        let verbs = [&mut item.get, &mut item.post];
        for operation in verbs.into_iter().flatten() {
            if name.starts_with("/api/v1") {
                operation.responses.responses.insert("default".into(), problem().into());
                let either = ["token", "session"].map(|scheme| SecurityRequirement::new::<_, [&str; 0], _>(scheme, []));
                operation.security = Some(either.into());
            }
        }
        // What the router calls a rest of the path is a parameter as any other in the document.
        document.paths.paths.insert(name.replace("{*", "{"), item);
    }
    document
}

fn problem() -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDetails"))).build();
    ResponseBuilder::new()
        .description("It did not happen; why, and what to do.")
        .content("application/problem+json", content)
        .build()
}

/// The document as JSON; made once.
pub(crate) fn json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    // INVARIANT: a test serialises the document.
    JSON.get_or_init(|| openapi().to_json().expect("the document has a JSON form"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect;
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(json()).expect("JSON")
    }

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, item)| {
                let verbs = item.as_object().expect("operations").iter();
                verbs.map(move |(verb, op)| (path.clone(), verb.clone(), op.clone()))
            })
            .collect()
    }

    #[test]
    fn every_route_is_described() {
        let mut lines: Vec<String> = operations(&document())
            .into_iter()
            .map(|(path, verb, op)| format!("{verb} {path} {}", op["operationId"].as_str().unwrap_or("?")))
            .collect();
        lines.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
        expect![[r#"
            get /api/v1/access listAccess
            get /api/v1/access/explain explainAccess
            post /api/v1/batches/{batch}/release releaseBatch
            get /api/v1/budgets listBudgets
            get /api/v1/calendar showCalendar
            get /api/v1/calendar.ics showCalendarFeed
            get /api/v1/catalog showCatalog
            get /api/v1/changes listChanges
            post /api/v1/changes proposeChange
            post /api/v1/changes/check checkChange
            get /api/v1/changes/{id} showChange
            post /api/v1/changes/{id}/amend amendChange
            post /api/v1/changes/{id}/approve approveChange
            post /api/v1/changes/{id}/begin beginStep
            post /api/v1/changes/{id}/break-glass breakGlass
            get /api/v1/changes/{id}/calendar showNextOpening
            post /api/v1/changes/{id}/complete completeChange
            get /api/v1/changes/{id}/diff showDiff
            get /api/v1/changes/{id}/events listenToChange
            post /api/v1/changes/{id}/except askException
            post /api/v1/changes/{id}/finish finishStep
            get /api/v1/changes/{id}/gates askGates
            post /api/v1/changes/{id}/grant-exception grantException
            post /api/v1/changes/{id}/lift-veto liftVeto
            get /api/v1/changes/{id}/log showChangeLog
            get /api/v1/changes/{id}/looks showLooks
            post /api/v1/changes/{id}/override overrideRule
            post /api/v1/changes/{id}/pause pauseChange
            get /api/v1/changes/{id}/plan planChange
            get /api/v1/changes/{id}/policy explainPolicy
            post /api/v1/changes/{id}/promote promoteChange
            post /api/v1/changes/{id}/reject rejectChange
            post /api/v1/changes/{id}/replay replayChange
            post /api/v1/changes/{id}/request-changes requestChanges
            post /api/v1/changes/{id}/resume resumeChange
            post /api/v1/changes/{id}/review reviewChange
            post /api/v1/changes/{id}/revoke-exception revokeException
            post /api/v1/changes/{id}/rollback rollBackChange
            get /api/v1/changes/{id}/statement showStatement
            post /api/v1/changes/{id}/take-back takeBack
            post /api/v1/changes/{id}/tick tickPoint
            post /api/v1/changes/{id}/veto vetoChange
            post /api/v1/changes/{id}/withdraw withdrawChange
            get /api/v1/debts listDebts
            get /api/v1/decisions listDecisions
            get /api/v1/delegations listDelegations
            post /api/v1/delegations delegate
            post /api/v1/delegations/end endDelegations
            get /api/v1/drivers listDrivers
            get /api/v1/events listen
            post /api/v1/facts showFacts
            get /api/v1/governance showGovernance
            get /api/v1/holds listHolds
            post /api/v1/holds holdServices
            post /api/v1/holds/{hold}/release releaseHold
            get /api/v1/log showLog
            get /api/v1/log/{position}/proof proveEntry
            get /api/v1/measures measure
            get /api/v1/on-call listOnCall
            post /api/v1/plans planFile
            post /api/v1/policy/replay replayPolicy
            get /api/v1/releases listReleases
            post /api/v1/releases proposeRelease
            post /api/v1/releases/check checkRelease
            get /api/v1/releases/{id} showRelease
            get /api/v1/releases/{id}/log showReleaseLog
            post /api/v1/releases/{id}/rollback rollBackRelease
            post /api/v1/releases/{id}/withdraw withdrawRelease
            get /api/v1/schedule showSchedule
            post /api/v1/schedule scheduleFile
            get /api/v1/schemas/{kind} showSchema
            get /api/v1/secrets showAllowedSecrets
            get /api/v1/services/{name} showService
            get /api/v1/standards listStandards
            get /api/v1/standards/{id} showStandard
            post /api/v1/standards/{id}/changes proposeStandard
            post /api/v1/standards/{id}/reinstate reinstateStandard
            get /api/v1/stop getStop
            post /api/v1/stop stopAll
            post /api/v1/stop/release releaseStop
            get /api/v1/tokens listTokens
            post /api/v1/tokens makeToken
            post /api/v1/tokens/{id}/revoke revokeToken
            get /api/v1/whoami whoAmI
            get /checkpoint showCheckpoint
            get /livez isAlive
            get /metrics showMetrics
            get /openapi.json showDescription
            get /readyz isReady
            get /tile/{path} showTile"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn every_operation_has_a_summary_and_every_name_is_used_once() {
        let document = document();
        let mut seen = BTreeSet::new();
        for (path, verb, op) in operations(&document) {
            assert!(op["summary"].as_str().is_some_and(|s| s.ends_with('.')), "{verb} {path}");
            assert!(seen.insert(op["operationId"].to_string()), "{verb} {path}");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|v| references(v, found));
                }
                Value::Array(items) => items.iter().for_each(|v| references(v, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_described() {
        for (path, verb, op) in operations(&document()) {
            let in_path: Vec<&str> = path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = op["parameters"].as_array().cloned().unwrap_or_default();
            let described: Vec<&str> =
                parameters.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
            assert_eq!(described, in_path, "{verb} {path}");
        }
    }

    #[test]
    fn what_a_program_asks_of_a_change_can_be_refused_in_words() {
        let document = document();
        let refused = &document["paths"]["/api/v1/changes/{id}/approve"]["post"]["responses"]["default"];
        assert_eq!(
            refused["content"]["application/problem+json"]["schema"]["$ref"],
            "#/components/schemas/ProblemDetails"
        );
        assert_eq!(document["openapi"], "3.1.0");
    }
}
