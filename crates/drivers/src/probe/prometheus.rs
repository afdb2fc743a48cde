//! Prometheus: asks a server with its HTTP API for the newest raw samples.
//!
//! A range selector brings samples with the times at which they were taken; an instant query would show a value of five minutes ago as one of now.
//! Series whose newest sample is old, or NaN as where a series has ended, are left out. API: prometheus.io/docs/prometheus/latest/querying/api.

use std::collections::BTreeMap;
use std::time::Instant;

use change::Timestamp;
use change::time::between;
use engine::ports::Series;
use futures::future::try_join_all;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Limits;
use super::exposition::timestamp;
use super::selector::Selector;
use crate::http::{self, Answer, Bounds, Token};

#[derive(Debug)]
pub(crate) struct Prometheus {
    pub(crate) url: Url,
    pub(crate) token: Option<Token>,
}

/// The common scrape intervals are 10 to 30 s: a minute holds at least two samples of a live series.
const LOOKBACK: &str = "1m";
/// A sample that is older says nothing of now: by then an instance is gone, or its page fails.
const FRESH: change::Span = change::Span::secs(30);

/// What every answer of the API looks like.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Found>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    result_type: String,
    result: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metric: BTreeMap<String, String>,
    /// Seconds and the value as text, oldest first.
    #[serde(default)]
    values: Vec<(f64, String)>,
    histograms: Option<IgnoredAny>,
}

impl Prometheus {
    pub(crate) async fn read(
        &self,
        client: &Client,
        limits: &Limits,
        selectors: &[Selector],
    ) -> Result<Vec<Vec<Series>>, String> {
        let answers = selectors.iter().map(|selector| self.query(client, limits, selector));
        try_join_all(answers).await.map_err(|error| format!("`{}` {error}", http::shown(&self.url)))
    }

    async fn query(&self, client: &Client, limits: &Limits, selector: &Selector) -> Result<Vec<Series>, String> {
        let mut page = http::below(&self.url, &["api", "v1", "query"]);
        page.query_pairs_mut().append_pair("query", &format!("{selector}[{LOOKBACK}]"));
        let answer = self.ask(client, limits, &page).await?;
        let envelope: Result<Envelope, _> = serde_json::from_slice(&answer.body);
        let found = match envelope {
            Ok(Envelope { status, data: Some(found), .. }) if status == "success" && answer.is_success() => found,
            Ok(Envelope { error: Some(error), .. }) => return Err(format!("refused `{selector}`: {error}")),
            _ if !answer.is_success() => return Err(format!("answered {}", answer.status)),
            Ok(_) => return Err("does not answer as Prometheus does".into()),
            Err(error) => return Err(format!("does not answer as Prometheus does: {error}")),
        };
        if found.result_type != "matrix" {
            return Err(format!("does not answer as Prometheus does: it sent a {}", found.result_type));
        }
        if found.result.len() > limits.samples {
            return Err(format!("found more than {} series for `{selector}`, the most that are read", limits.samples));
        }
        // What is fresh is measured by the server's clock, which the samples were stamped by or close to.
        let now = answer.date.ok_or("does not say what time it is: its answer has no `Date`")?;
        found.result.into_iter().filter_map(|item| newest(item, now).transpose()).collect()
    }

    /// One retry, if the time allows, for what may pass in a moment.
    async fn ask(&self, client: &Client, limits: &Limits, page: &Url) -> Result<Answer, String> {
        let start = Instant::now();
        let first = http::send(client.get(page.clone()), self.token.as_ref(), limits.bounds()).await;
        let left = limits.timeout.saturating_sub(start.elapsed());
        let is_passing = first.as_ref().map_or(true, Answer::is_passing_trouble);
        if !is_passing || left.is_zero() {
            return first.map_err(|error| cannot(&error));
        }
        let bounds = Bounds { time: left, bytes: limits.bytes };
        http::send(client.get(page.clone()), self.token.as_ref(), bounds).await.map_err(|error| cannot(&error))
    }
}

fn cannot(error: &str) -> String {
    format!("can't be read: {error}")
}

/// The newest sample of a series, if it says something of now.
fn newest(item: Item, now: Timestamp) -> Result<Option<Series>, String> {
    let Some((seconds, text)) = item.values.last() else {
        let native = item.histograms.map(|_| "holds native histograms, which are not read".to_owned());
        return native.map_or(Ok(None), Err);
    };
    let no_sample = || format!("does not answer as Prometheus does: `{text}` at `{seconds}` is no sample");
    let value: f64 = text.parse().map_err(|_| no_sample())?;
    let at = timestamp(seconds * 1_000.0).ok_or_else(no_sample)?;
    let says_something = between(at, now) <= FRESH && !value.is_nan();
    Ok(says_something.then_some(Series { labels: item.metric, value, at: Some(at) }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::extract::RawQuery;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{nobody, serve, serve_answer, serve_silence, within};

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOW: f64 = 784_111_777.0;

    async fn read(url: &str, selector: &str) -> Result<Vec<Series>, String> {
        let prometheus = Prometheus { url: http::url("a source", url).expect("is a URL"), token: None };
        let limits = Limits { timeout: Duration::from_millis(500), bytes: 100_000, samples: 10 };
        let client = http::client([]).expect("starts");
        let selectors = [selector.parse().expect("is a selector")];
        let found = within(10, prometheus.read(&client, &limits, &selectors)).await?;
        Ok(found.into_iter().next().expect("one answer for each selector"))
    }

    async fn serve_matrix(result: Value) -> String {
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}, "warnings": ["slow"], "infos": []});
        let page = move || async move { ([("date", DATE)], axum::Json(body)).into_response() };
        serve(Router::new().route("/api/v1/query", get(page))).await
    }

    #[tokio::test]
    async fn the_newest_sample_of_each_series_is_read_with_its_time() {
        let url = serve_matrix(json!([
            {"metric": {"__name__": "x_total", "version": "v2"}, "values": [[NOW - 20.0, "5"], [NOW - 9.877, "7.5"]]},
        ]))
        .await;
        let labels = [("__name__", "x_total"), ("version", "v2")].map(|(l, v)| (l.to_owned(), v.to_owned()));
        let at = timestamp((NOW - 9.877) * 1_000.0);
        assert_eq!(at.map(|at| at.to_string()).as_deref(), Some("1994-11-06T08:49:27.123Z"));
        assert_eq!(read(&url, "x_total").await, Ok(vec![Series { labels: labels.into(), value: 7.5, at }]));
    }

    #[tokio::test]
    async fn series_that_say_nothing_of_now_are_left_out() {
        let url = serve_matrix(json!([
            {"metric": {"i": "old"}, "values": [[NOW - 30.001, "1"]]},
            {"metric": {"i": "ended"}, "values": [[NOW - 20.0, "1"], [NOW - 5.0, "NaN"]]},
            {"metric": {"i": "none"}, "values": []},
            {"metric": {"i": "fresh"}, "values": [[NOW - 30.0, "-1"]]},
            {"metric": {"i": "infinite"}, "values": [[NOW, "+Inf"]]},
        ]))
        .await;
        let found = read(&url, "x_total").await.expect("is an answer");
        let kept: Vec<(&str, f64)> = found.iter().map(|series| (series.labels["i"].as_str(), series.value)).collect();
        assert_eq!(kept, [("fresh", -1.0), ("infinite", f64::INFINITY)]);
        assert_eq!(read(&serve_matrix(json!([])).await, "x_total").await, Ok(vec![]));
    }

    #[tokio::test]
    async fn the_selector_is_asked_for_over_a_minute() {
        let asked = Arc::new(Mutex::new(String::new()));
        let heard = asked.clone();
        let page = move |RawQuery(query): RawQuery| async move {
            *heard.lock().expect("no test panics here") = query.unwrap_or_default();
            StatusCode::NOT_FOUND
        };
        let url = serve(Router::new().route("/prefix/api/v1/query", get(page))).await;
        let error = read(&format!("{url}/prefix/"), "x_total{ version='v2' }").await;
        assert_eq!(error, Err(format!("`{url}/prefix/` answered 404")));
        assert_eq!(*asked.lock().expect("no test panics here"), "query=x_total%7Bversion%3D%22v2%22%7D%5B1m%5D");
    }

    #[tokio::test]
    async fn trouble_that_passes_is_tried_once_more() {
        for (failures, expected) in [(1, Ok(0)), (2, Err("answered 503".to_owned()))] {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = asked.clone();
            let page = move || async move {
                if count.fetch_add(1, Ordering::SeqCst) < failures {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                let body = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
                ([("date", DATE)], axum::Json(body)).into_response()
            };
            let url = serve(Router::new().route("/api/v1/query", get(page))).await;
            let found = read(&url, "x_total").await.map(|found| found.len());
            assert_eq!(found, expected.map_err(|error| format!("`{url}/` {error}")));
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_fails() {
        let refused = json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string();
        let vector = json!({"status": "success", "data": {"resultType": "vector", "result": []}}).to_string();
        let native = json!([{"metric": {}, "histograms": [[1.0, {"count": "1"}]]}]);
        let broken = json!([{"metric": {}, "values": [[NOW, "seven"]]}]);
        let many: Vec<Value> = (0..11).map(|_| json!({"metric": {}, "values": []})).collect();
        let cases = [
            (serve_answer(400, "application/json", refused).await, "refused `x_total`: parse error"),
            (serve_answer(401, "text/plain", "no").await, "answered 401"),
            (serve_answer(302, "text/plain", "").await, "answered 302"),
            (
                serve_answer(200, "application/json", vector).await,
                "does not answer as Prometheus does: it sent a vector",
            ),
            (
                serve_answer(200, "application/json", "{\"status\":\"success\"}").await,
                "does not answer as Prometheus does",
            ),
            (serve_matrix(native).await, "holds native histograms, which are not read"),
            (serve_matrix(broken).await, "does not answer as Prometheus does: `seven` at `784111777` is no sample"),
            (serve_matrix(json!(many)).await, "found more than 10 series for `x_total`, the most that are read"),
            (serve_silence().await, "can't be read: no answer within 500ms"),
            (
                serve_answer(200, "application/json", " ".repeat(100_001)).await,
                "can't be read: the answer is longer than 100000 bytes, the most that is read",
            ),
        ];
        for (url, error) in cases {
            assert_eq!(read(&url, "x_total").await, Err(format!("`{url}/` {error}")));
        }
        let html = read(&serve_answer(200, "text/html", "<html>").await, "x_total").await.unwrap_err();
        assert!(html.contains("does not answer as Prometheus does: expected value at line 1"), "{html}");
        let gone = read(&nobody().await, "x_total").await.unwrap_err();
        assert!(gone.contains("can't be read: no connection: Connection refused"), "{gone}");
    }
}
