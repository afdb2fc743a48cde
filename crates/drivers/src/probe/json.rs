//! JSON: any endpoint that answers numbers, by a path expression (JSONPath, RFC 9535).
//!
//! The address is the operator's; a query only says where in the answer its number stands. A node that is missing or null is no data, one that is no
//! number fails the source: then the path is wrong, or the endpoint has changed. Each address is asked once for all queries of a reading.

use std::collections::BTreeMap;

use change::query::{Language, uses};
use change::{Span, Timestamp};
use engine::ports::{Answer, Ask, Glance, Meaning, Part, Series};
use futures::future::try_join_all;
use reqwest::{Client, Url};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Access, Limits, tries};
use crate::http;

#[derive(Debug)]
pub(crate) struct Json {
    /// A URL in which names of queries may stand, but not in its host.
    pub(crate) url: String,
    pub(crate) access: Access,
    pub(crate) resolution: Span,
}

impl Json {
    pub(crate) async fn read(
        &self,
        client: &Client,
        limits: &Limits,
        asks: &[Ask],
        glance: &Glance,
    ) -> Result<Vec<Answer>, String> {
        let window = glance.every.max(self.resolution);
        let urls: Vec<String> =
            asks.iter().map(|ask| ask.fill(&self.url, "", window, Language::Url)).collect::<Result<_, _>>()?;
        let mut distinct: Vec<&String> = urls.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let pages = distinct.into_iter().map(|url| async move {
            let page = self.page(client, limits, url, glance.every).await?;
            Ok::<_, String>((url, page))
        });
        let pages: BTreeMap<&String, Value> = try_join_all(pages).await?.into_iter().collect();
        let answer = |(ask, url): (&Ask, &String)| {
            let page = pages.get(url).unwrap_or(&Value::Null);
            let shown = url.parse().map_or_else(|_| String::new(), |url| http::shown(&url));
            self.answer(ask, page, window, glance.now).map_err(|error| format!("`{shown}` {error}"))
        };
        asks.iter().zip(&urls).map(answer).collect()
    }

    async fn page(&self, client: &Client, limits: &Limits, url: &str, every: Span) -> Result<Value, String> {
        let url: Url = url.parse().map_err(|_| format!("`{}` is no address once its names are filled in", self.url))?;
        let at = |error: String| format!("`{}` {error}", http::shown(&url));
        let request = || self.access.on(client.get(url.clone()).header("accept", "application/json"));
        let answer = tries::ask(request, limits, limits.budget(every)).await;
        let answer = answer.map_err(|error| at(format!("can't be read: {error}")))?;
        if answer.status != 200 {
            return Err(at(format!("answered {}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(|error| at(format!("does not answer with JSON: {error}")))
    }

    fn answer(&self, ask: &Ask, page: &Value, window: Span, now: Timestamp) -> Result<Answer, String> {
        let asked = ask.fill(&ask.query, "", window, Language::JsonPath)?;
        let path = JsonPath::parse(&asked).map_err(|error| format!("`{asked}` is no path: {error}"))?;
        let is_window = ask.part != Part::Value && (uses(&ask.query, "window") || uses(&self.url, "window"));
        let (meaning, at) =
            if is_window { (Meaning::Window(window), Some(begun(window, now))) } else { (Meaning::Total, None) };
        let mut series = Vec::new();
        for node in path.query_located(page) {
            let place = node.location().to_string();
            match (ask.part, node.node()) {
                (_, Value::Null) => {}
                (Part::Buckets, Value::Object(buckets)) => {
                    for (le, count) in buckets {
                        let labels = [("node", place.as_str()), ("le", le)];
                        series.extend(one(&labels, count, at, &place)?);
                    }
                }
                (Part::Buckets, _) => {
                    let meant =
                        "an object of cumulative counts by upper edge in seconds, such as `{\"0.1\": 7, \"+Inf\": 9}`";
                    return Err(format!("has at `{place}` no histogram: {meant} is meant"));
                }
                (_, value) => series.extend(one(&[("node", &place)], value, at, &place)?),
            }
        }
        // The address may be what tells the versions apart, and it is not shown: it may hold a secret.
        Ok(Answer { asked: format!("{asked} of {}", ask.cohort()), meaning, series })
    }
}

/// When the window of now began to be the newest: the same for all readings of it.
fn begun(window: Span, now: Timestamp) -> Timestamp {
    let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_millisecond(now.as_millisecond().div_euclid(length) * length).unwrap_or(now)
}

/// A number, or text that is one; null is no data.
fn one(labels: &[(&str, &str)], value: &Value, at: Option<Timestamp>, place: &str) -> Result<Option<Series>, String> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let value = number.ok_or_else(|| {
        let shown: String = value.to_string().chars().take(60).collect();
        format!("has at `{place}` no number but `{shown}`")
    })?;
    let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    Ok(Some(Series { labels, value, at }))
}

/// What is wrong with a path, in which names may stand.
pub(crate) fn path_problem(ask: &Ask) -> Option<String> {
    let filled = ask.fill(&ask.query, "", Span::secs(10), Language::JsonPath);
    let parsed = filled.and_then(|path| JsonPath::parse(&path).map(|_| ()).map_err(|e| e.to_string()));
    parsed.err().map(|error| format!("`{}` is no path in JSON: {error}", ask.query))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::Router;
    use axum::extract::Query;
    use axum::http::HeaderMap;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;
    use crate::testing::{ask, ask_baseline, glance, serve, serve_answer, serve_silence, within};

    async fn read(url: &str, asks: &[Ask]) -> Result<Vec<Answer>, String> {
        let (timeout, pause) = (Duration::from_millis(500), Duration::from_millis(1));
        let limits = Limits { timeout, bytes: 10_000, pause, ..Limits::default() };
        let headers = BTreeMap::from([("x-key".to_owned(), "s3cret".to_owned())]);
        let access = Access::new(None, &headers).expect("is sound");
        let source = Json { url: url.to_owned(), access, resolution: Span::secs(30) };
        within(10, source.read(&http::client([]).expect("starts"), &limits, asks, &glance(1_007))).await
    }

    fn values(answer: &Answer) -> Vec<f64> {
        answer.series.iter().map(|s| s.value).collect()
    }

    #[tokio::test]
    async fn numbers_are_found_by_their_path_and_each_version_by_its_address() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let page = move |headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>| async move {
            count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(headers["x-key"], "s3cret");
            let n = if query["v"] == "v2" { 2 } else { 1 };
            axum::Json(serde_json::json!({"pods": [{"bad": n}, {"bad": "10"}, {"bad": null}], "all": 100 * n}))
        };
        let url = format!("{}/api?v=$cohort", serve(Router::new().route("/api", get(page))).await);
        let asks = [
            ask("$.pods[*].bad", Part::Count),
            ask("$.all", Part::Count),
            ask_baseline("$.all", Part::Count),
            ask("$.none", Part::Value),
        ];
        let found = read(&url, &asks).await.expect("is an answer");
        assert_eq!(found.iter().map(values).collect::<Vec<_>>(), [vec![2.0, 10.0], vec![200.0], vec![100.0], vec![]]);
        assert_eq!((found[1].asked.as_str(), found[2].asked.as_str()), ("$.all of v2", "$.all of v1"));
        assert!(found.iter().all(|answer| answer.meaning == Meaning::Total));
        assert_eq!(found[0].series[1].labels["node"], "$['pods'][1]['bad']");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "each address once");
    }

    #[tokio::test]
    async fn what_is_of_a_window_is_whole_and_of_the_same_time_within_it() {
        let page = |Query(query): Query<BTreeMap<String, String>>| async move {
            axum::Json(serde_json::json!({"n": query["since"].len(), "h": {"0.1": 3, "+Inf": 4}}))
        };
        let url = format!("{}/?since=$window", serve(Router::new().route("/", get(page))).await);
        let found = read(&url, &[ask("$.n", Part::Count), ask("$.h", Part::Buckets)]).await.expect("is an answer");
        // 30 s, the resolution of the source, are longer than the 10 s between two looks; 990 is the last multiple of 30 before 1007.
        let at = Timestamp::from_second(990).ok();
        assert_eq!(
            (found[0].meaning, values(&found[0]), found[0].series[0].at),
            (Meaning::Window(Span::secs(30)), vec![3.0], at)
        );
        let buckets: Vec<(&str, f64)> = found[1].series.iter().map(|s| (s.labels["le"].as_str(), s.value)).collect();
        assert_eq!(buckets, [("0.1", 3.0), ("+Inf", 4.0)]);
    }

    // telemetry.md: "an answer that is something else".
    #[tokio::test]
    async fn what_is_no_number_and_no_answer_fails_the_source() {
        let json = |body: &str| serve_answer(200, "application/json", body.to_owned());
        let other = serve_answer(200, "application/json", "{\"n\": 1}").await;
        let moved = serve(Router::new().fallback(move || async move { Redirect::temporary(&other) })).await;
        let cases = [
            (json("{\"n\": \"many\"}").await, "has at `$['n']` no number but `\"many\"`"),
            (json("{\"n\": [1]}").await, "has at `$['n']` no number but `[1]`"),
            (json("{\"n\": true}").await, "has at `$['n']` no number but `true`"),
            (json("<html>").await, "does not answer with JSON: expected value at line 1 column 1"),
            (
                json(&" ".repeat(10_001)).await,
                "can't be read: the answer is longer than 10000 bytes, the most that is read",
            ),
            (serve_answer(404, "text/plain", "").await, "answered 404"),
            (moved, "answered 307"),
        ];
        for (url, error) in cases {
            assert_eq!(read(&url, &[ask("$.n", Part::Count)]).await, Err(format!("`{url}/` {error}")));
        }
        let silent = read(&serve_silence().await, &[ask("$.n", Part::Count)]).await.unwrap_err();
        assert!(silent.contains("can't be read: no answer within"), "{silent}");
        let histogram = read(&json("{\"n\": 7}").await, &[ask("$.n", Part::Buckets)]).await.unwrap_err();
        assert!(histogram.contains("has at `$['n']` no histogram"), "{histogram}");
    }
}
