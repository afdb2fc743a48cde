//! Operating: is the server alive and ready, what does it count, and what holds for every answer.
//!
//! The layers around all routes live here: limits of size and time, panics, and the headers that keep a browser from doing more than it should.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use engine::ports::ListQuery;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tower_http::catch_panic::CatchPanicLayer;

use crate::events::MOST_LISTENERS;
use crate::extract::MOST_BYTES;
use crate::guard::guard;
use crate::problem::Problem;
use crate::{Shared, api};

/// The most time until an answer begins.
const MOST_TIME: Duration = Duration::from_secs(30);
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the server counts of itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    micros: Family<Route, Counter>,
    listeners: Gauge<i64, std::sync::atomic::AtomicI64>,
    panics: Counter<u64, AtomicU64>,
    strangers: Family<Why, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: String,
    /// `2xx` to `5xx`: each status of its own would tell no more and cost more.
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("clearway_http");
        let (requests, micros) = (Family::default(), Family::default());
        let (listeners, panics, strangers) = (Gauge::default(), Counter::default(), Family::default());
        registry.register("requests", "Requests by route, method and class of status", requests.clone());
        registry.register("busy_microseconds", "Time until answers began, by route", micros.clone());
        registry.register("listeners", "Listeners to events now", listeners.clone());
        registry.register("panics", "Handlers that panicked", panics.clone());
        registry.register("strangers", "Requests of somebody who was not identified, by why", strangers.clone());
        Self { registry, requests, micros, listeners, panics, strangers }
    }
}

impl Metrics {
    // Routes and methods are those of the router, so there are few: a path that nobody serves counts as `none`.
    fn count(&self, route: Option<&str>, method: &str, status: StatusCode, took: Duration) {
        let route = route.unwrap_or("none").to_owned();
        let known = ["GET", "HEAD", "POST"].into_iter().find(|m| *m == method).unwrap_or("other");
        self.micros.get_or_create(&Route { route: route.clone() }).inc_by(u64::try_from(took.as_micros()).unwrap_or(0));
        let status = format!("{}xx", status.as_u16() / 100);
        self.requests.get_or_create(&Answered { route, method: known.to_owned(), status }).inc();
    }

    /// Counts somebody who was not identified; `why` is one of few words.
    pub(crate) fn turn_away(&self, why: &'static str) {
        self.strangers.get_or_create(&Why { why: why.to_owned() }).inc();
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // INVARIANT: writing into a string can't fail.
        encode(&mut text, &self.registry).expect("metrics have a text form");
        text
    }
}

/// Says that the server runs.
#[utoipa::path(get, path = "/livez", operation_id = "isAlive", tag = "operating",
    responses((status = 200, description = "It runs.", content_type = "text/plain", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Says whether the server can do its work.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "operating",
    responses((status = 200, description = "The store answers.", content_type = "text/plain", body = String),
        (status = 503, description = "It does not.", content_type = "application/problem+json", body = crate::problem::ProblemDetails)))]
pub(crate) async fn readyz(State(server): State<Shared>) -> Result<String, Problem> {
    if !server.handle.is_writable() {
        return Err(Problem::busy("the store can't be written any more: a restart checks it"));
    }
    let query = ListQuery { limit: 1, ..ListQuery::default() };
    match tokio::time::timeout(READY_WITHIN, server.handle.list(&query)).await {
        Ok(Ok(_)) => Ok(ready(&server)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store fails");
            Err(Problem::busy("the store fails"))
        }
        Err(_) => Err(Problem::busy("the store does not answer in time")),
    }
}

/// It works by the governance that it has. That a later one was refused is said in words alone, without its reason: whoever may read the files asks
/// `/api/v1/governance`.
fn ready(server: &Shared) -> String {
    match server.handle.loads().refused {
        None => "ready\n".into(),
        Some(refused) => format!(
            "ready\nthe governance that was to be loaded at {} was refused; the one before is in force\n",
            refused.at
        ),
    }
}

/// Shows what the server counts of itself.
#[utoipa::path(get, path = "/metrics", operation_id = "showMetrics", tag = "operating",
    responses((status = 200, description = "OpenMetrics text.", content_type = "application/openmetrics-text", body = String)))]
pub(crate) async fn metrics(State(server): State<Shared>) -> Response {
    let free = server.listeners.available_permits();
    server.metrics.listeners.set(i64::try_from(MOST_LISTENERS.saturating_sub(free)).unwrap_or(0));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], server.metrics.text()).into_response()
}

/// Shows this description.
#[utoipa::path(get, path = "/openapi.json", operation_id = "showDescription", tag = "operating",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object)))]
pub(crate) async fn openapi_json() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api::document::json()).into_response()
}

/// Everything that holds for every answer.
pub(crate) fn around(routes: Router<Shared>, server: &Shared) -> Router<Shared> {
    let of_panics = server.clone();
    let caught = CatchPanicLayer::custom(move |_| {
        of_panics.metrics.panics.inc();
        Problem::internal().into_response()
    });
    routes
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(in_time))
        .layer(caught)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn_with_state(server.clone(), guard))
        .layer(middleware::from_fn_with_state(server.clone(), count))
        .layer(middleware::from_fn(dress))
}

async fn nothing_there(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", request.uri().path())).help("what there is stands at /api")
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("`{}` is not answered at `{}`", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Lets what changes something come to its end, even if the asker hangs up or the answer takes too long: a command that is dropped between its entry
/// in the log and the wake-up of its change would leave the change asleep.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|error| {
        tracing::error!(%error, "a command panicked");
        Problem::internal()
    })
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(MOST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

async fn count(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (method, began) = (request.method().clone(), tokio::time::Instant::now());
    let response = next.run(request).await;
    server.metrics.count(route.as_deref(), method.as_str(), response.status(), began.elapsed());
    response
}

/// No script and no style but our own files, no frame, no form and no connection to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

async fn dress(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let always = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_never_by_path() {
        let metrics = Metrics::default();
        for method in ["GET", "BREW", "MKCOL"] {
            metrics.count(Some("/api/v1/changes/{id}"), method, StatusCode::OK, Duration::from_micros(5));
        }
        metrics.count(None, "GET", StatusCode::NOT_FOUND, Duration::ZERO);
        let text = metrics.text();
        assert!(
            text.contains(
                r#"clearway_http_requests_total{route="/api/v1/changes/{id}",method="other",status="2xx"} 2"#
            ),
            "{text}"
        );
        assert!(text.contains(r#"clearway_http_requests_total{route="none",method="GET",status="4xx"} 1"#), "{text}");
        assert!(text.contains(r#"clearway_http_busy_microseconds_total{route="/api/v1/changes/{id}"} 15"#), "{text}");
    }
}
