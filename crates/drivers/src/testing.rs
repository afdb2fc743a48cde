//! What the tests of several files share: servers on free ports of this machine, and targets.

use std::future::{Future, IntoFuture};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use change::rollout::Target;
use change::{Span, Timestamp};
use engine::ports::{Ask, Cohorts, Glance, Part, Side};
use serde_json::Value;

/// Serves on a free port until the runtime of the test ends; returns the URL.
pub(crate) async fn serve(pages: Router) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("is bound");
    tokio::spawn(axum::serve(socket, pages).into_future());
    format!("http://{address}")
}

/// Answers every request in the same way.
pub(crate) async fn serve_answer(status: u16, content_type: &str, body: impl Into<String>) -> String {
    let (body, mut headers) = (body.into(), HeaderMap::new());
    headers.insert("content-type", content_type.parse().expect("is a header"));
    let status = StatusCode::from_u16(status).expect("is a status");
    serve(Router::new().fallback(any(move || async move { (status, headers, body) }))).await
}

/// Takes requests and never answers.
pub(crate) async fn serve_silence() -> String {
    serve(Router::new().fallback(any(|| async { std::future::pending::<()>().await }))).await
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", socket.local_addr().expect("is bound"))
}

/// The result of something, and that it took less than this many seconds.
pub(crate) async fn within<T>(secs: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(secs), what).await.expect("is bounded in time")
}

pub(crate) fn target(options: Value) -> Target {
    serde_json::from_value(options).expect("is a target")
}

/// A query of the version `v2`, beside `v1`.
pub(crate) fn ask(query: &str, part: Part) -> Ask {
    let cohorts = Cohorts { canary: "v2".into(), stable: "v1".into() };
    Ask { query: query.to_owned(), part, side: Side::Canary, cohorts }
}

/// The same of the version `v1`.
pub(crate) fn ask_baseline(query: &str, part: Part) -> Ask {
    Ask { side: Side::Baseline, ..ask(query, part) }
}

/// A look of every ten seconds.
pub(crate) fn glance(now_secs: i64) -> Glance {
    Glance { now: Timestamp::from_second(now_secs).expect("a time"), every: Span::secs(10) }
}
