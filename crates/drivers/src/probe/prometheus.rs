//! Prometheus: asks a server with its HTTP API for raw samples, or for what an expression is worth.
//!
//! A selector is read as a range, which brings samples with the times at which they were taken; an instant query would show a value of five minutes ago
//! as one of now. Series whose newest sample is old are left out. An expression is computed by Prometheus, that of a window at the end of the newest whole
//! window, so that no event is counted in two. API: prometheus.io/docs/prometheus/latest/querying/api.

use std::collections::BTreeMap;

use change::query::{Language, uses};
use change::time::{after, between};
use change::{Span, Timestamp};
use engine::ports::{Answer, Ask, Glance, Meaning, Part, Series};
use futures::future::try_join_all;
use reqwest::{Client, Url};
use serde::Deserialize;

use super::exposition::timestamp;
use super::native::Native;
use super::promql::{Shape, shape};
use super::selector::Selector;
use super::{Access, Limits, tries};
use crate::http;

#[derive(Debug)]
pub(crate) struct Prometheus {
    pub(crate) url: Url,
    pub(crate) access: Access,
    /// The label set that `$labels` stands for.
    pub(crate) labels: String,
    /// The time between two scrapes, where the operator says it.
    pub(crate) resolution: Span,
}

/// The common scrape intervals are 10 to 30 s: a minute holds at least two samples of a live series.
const LEAST_LOOKBACK: Span = Span::secs(60);

/// When a reading is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Now, by the clock of the server.
    Now,
    /// The time of the glance.
    Past,
}

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
    #[serde(default)]
    histograms: Vec<(f64, Native)>,
    /// Of an instant query.
    value: Option<(f64, String)>,
}

/// What bounds one reading.
struct Reading<'a> {
    prometheus: &'a Prometheus,
    client: &'a Client,
    limits: &'a Limits,
    glance: &'a Glance,
    moment: Moment,
}

impl Prometheus {
    pub(crate) async fn read(
        &self,
        client: &Client,
        limits: &Limits,
        asks: &[Ask],
        glance: &Glance,
        moment: Moment,
    ) -> Result<Vec<Answer>, String> {
        let reading = Reading { prometheus: self, client, limits, glance, moment };
        let answers = asks.iter().map(|ask| reading.answer(ask));
        try_join_all(answers).await.map_err(|error| self.named(&error))
    }

    /// What happened in a window up to now, as Prometheus computes it: of a counter its increase, of a histogram that of each bucket.
    pub(crate) async fn over(
        &self,
        client: &Client,
        limits: &Limits,
        asks: &[Ask],
        window: Span,
        now: Timestamp,
    ) -> Result<Vec<Answer>, String> {
        let glance = Glance { now, every: LEAST_LOOKBACK };
        let reading = Reading { prometheus: self, client, limits, glance: &glance, moment: Moment::Now };
        let answers = asks.iter().map(|ask| reading.increase(ask, window));
        try_join_all(answers).await.map_err(|error| self.named(&error))
    }

    /// All series of a matcher as an instant query has them; native histograms, which are not one number, are left out.
    pub(crate) async fn series(
        &self,
        client: &Client,
        limits: &Limits,
        matcher: &Ask,
        glance: &Glance,
        most: usize,
    ) -> Result<Vec<Series>, String> {
        let reading = Reading { prometheus: self, client, limits, glance, moment: Moment::Now };
        let found = async {
            let selector: Selector = self.filled(matcher, self.window(glance))?.parse()?;
            reading.instant(&selector.to_string(), None).await
        };
        let mut series = found.await.map_err(|error| self.named(&error))?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series.truncate(most);
        Ok(series)
    }

    fn named(&self, error: &str) -> String {
        format!("`{}` {error}", http::shown(&self.url))
    }

    /// What `$window` stands for.
    fn window(&self, glance: &Glance) -> Span {
        glance.every.max(self.resolution)
    }

    fn filled(&self, ask: &Ask, window: Span) -> Result<String, String> {
        let filled = ask.fill(&ask.query, &self.labels, window, Language::Promql);
        filled.map_err(|error| format!("can't be asked: {error}"))
    }

    /// What is wrong with a query, in which names may stand.
    pub(crate) fn query_problem(&self, ask: &Ask) -> Option<(String, Option<String>)> {
        let query = &ask.query;
        let shape = ask.fill(query, &self.labels, Span::secs(10), Language::Promql).and_then(|text| shape(&text));
        match shape {
            Err(why) => Some((format!("this is no query of Prometheus: {why}"), None)),
            Ok(Shape::Selector(selector)) if ask.part == Part::Buckets => {
                selector.buckets().err().map(|why| (why, None))
            }
            Ok(Shape::Expression) if ask.part != Part::Value && !uses(query, "window") => {
                let message = format!("`{query}` computes something, and does not say of which time");
                let help = match ask.part {
                    Part::Buckets => {
                        "name the histogram, as `name{...}`, or write `sum by (le) (increase(name_bucket{...}[$window]))`"
                    }
                    _ => {
                        "name a counter, as `name{...}`, or write `sum(increase(name{...}[$window]))`: the events of the time between two looks"
                    }
                };
                Some((message, Some(help.to_owned())))
            }
            Ok(_) => None,
        }
    }
}

impl Reading<'_> {
    async fn answer(&self, ask: &Ask) -> Result<Answer, String> {
        let window = self.prometheus.window(self.glance);
        let asked = self.prometheus.filled(ask, window)?;
        match shape(&asked)? {
            Shape::Selector(selector) if ask.part == Part::Buckets => self.histogram(&selector).await,
            Shape::Selector(selector) => self.raw(&selector).await,
            Shape::Expression if uses(&ask.query, "window") => {
                // The ends of windows are the same for all who ask, so that windows neither overlap nor leave a gap.
                let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1);
                let end = self.glance.now.as_millisecond().div_euclid(length) * length;
                let end = Timestamp::from_millisecond(end).unwrap_or(self.glance.now);
                let at = Some(end).filter(|_| ask.part != Part::Value);
                let mut series = self.instant(&asked, Some(end)).await?;
                series.iter_mut().for_each(|s| s.at = at);
                Ok(Answer { asked, meaning: Meaning::Window(window), series })
            }
            Shape::Expression => {
                let at = (self.moment == Moment::Past).then_some(self.glance.now);
                Ok(Answer { series: self.instant(&asked, at).await?, meaning: Meaning::Total, asked })
            }
        }
    }

    /// The increase over a window, asked as one query.
    async fn increase(&self, ask: &Ask, window: Span) -> Result<Answer, String> {
        let filled = self.prometheus.filled(ask, window)?;
        let asked = match shape(&filled)? {
            Shape::Selector(selector) if ask.part == Part::Buckets => {
                format!("sum by (le) (increase({}[{window}]))", selector.buckets()?)
            }
            Shape::Selector(selector) => format!("sum(increase({selector}[{window}]))"),
            Shape::Expression if uses(&ask.query, "window") => filled,
            Shape::Expression => return Err(format!("can't be asked: `{filled}` does not say of which time it is")),
        };
        let series = self.instant(&asked, None).await?;
        Ok(Answer { asked, meaning: Meaning::Window(window), series })
    }

    /// The classic buckets of a histogram, or else its native ones.
    async fn histogram(&self, selector: &Selector) -> Result<Answer, String> {
        let classic = self.raw(&selector.buckets()?).await?;
        if !classic.series.is_empty() {
            return Ok(classic);
        }
        let native = self.raw(selector).await?;
        let is_native = native.series.iter().any(|s| s.labels.contains_key("le"));
        Ok(if is_native { native } else { classic })
    }

    /// The newest samples of a selector. A native histogram is a series for each edge.
    async fn raw(&self, selector: &Selector) -> Result<Answer, String> {
        let lookback = LEAST_LOOKBACK.max(self.glance.every.times(4)).max(self.prometheus.resolution.times(4));
        let query = format!("{selector}[{lookback}]");
        let (found, date) =
            self.query(&query, (self.moment == Moment::Past).then_some(self.glance.now), "matrix").await?;
        // What is fresh is measured by the server's clock, which the samples were stamped by or close to.
        let now = match self.moment {
            Moment::Now => date.ok_or("does not say what time it is: its answer has no `Date`")?,
            Moment::Past => self.glance.now,
        };
        let mut series = Vec::new();
        for item in found {
            series.extend(self.newest(item, now)?);
        }
        Ok(Answer { asked: selector.to_string(), meaning: Meaning::Total, series })
    }

    async fn instant(&self, query: &str, at: Option<Timestamp>) -> Result<Vec<Series>, String> {
        let (found, _) = self.query(query, at, "vector").await?;
        let mut series = Vec::new();
        for item in found {
            if let Some((_, value)) = item.value {
                let value = value.parse().map_err(|_| not_prometheus(&format!("`{value}` is no value")))?;
                series.push(Series { labels: item.metric, value, at: None });
            }
        }
        Ok(series)
    }

    async fn query(
        &self,
        query: &str,
        at: Option<Timestamp>,
        kind: &str,
    ) -> Result<(Vec<Item>, Option<Timestamp>), String> {
        let mut page = http::below(&self.prometheus.url, &["api", "v1", "query"]);
        page.query_pairs_mut().append_pair("query", query);
        if let Some(at) = at {
            let millis = at.as_millisecond();
            let seconds = format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000));
            page.query_pairs_mut().append_pair("time", &seconds);
        }
        let request = || self.prometheus.access.on(self.client.get(page.clone()));
        let answer = tries::ask(request, self.limits, self.limits.budget(self.glance.every)).await;
        let answer = answer.map_err(|error| format!("can't be read: {error}"))?;
        let envelope: Result<Envelope, _> = serde_json::from_slice(&answer.body);
        let found = match envelope {
            Ok(Envelope { status, data: Some(found), .. }) if status == "success" && answer.is_success() => found,
            Ok(Envelope { error: Some(error), .. }) => return Err(format!("refused `{query}`: {error}")),
            _ if !answer.is_success() => return Err(format!("answered {}", answer.status)),
            Ok(_) => return Err("does not answer as Prometheus does".into()),
            // A scalar is no list of series, which is all that this reads.
            Err(error) => return Err(not_prometheus(&error.to_string())),
        };
        if found.result_type != kind {
            return Err(not_prometheus(&format!("it sent a {}", found.result_type)));
        }
        if found.result.len() > self.limits.samples {
            return Err(format!(
                "found more than {} series for `{query}`, the most that are read",
                self.limits.samples
            ));
        }
        Ok((found.result, answer.date))
    }

    /// The newest sample of a series, if it says something of now; each edge of a native histogram.
    fn newest(&self, item: Item, now: Timestamp) -> Result<Vec<Series>, String> {
        let times: Vec<f64> =
            item.values.iter().map(|(at, _)| *at).chain(item.histograms.iter().map(|(at, _)| *at)).collect();
        let Some(last) = times.iter().copied().reduce(f64::max) else { return Ok(vec![]) };
        let at = timestamp(last * 1_000.0).ok_or_else(|| not_prometheus(&format!("`{last}` is no time")))?;
        if between(after(at, self.freshness(times)), now) > Span::ZERO {
            return Ok(vec![]);
        }
        if let Some((_, native)) = item.histograms.last().filter(|(seconds, _)| *seconds >= last) {
            return native.series(&item.metric, Some(at)).map_err(|error| not_prometheus(&error));
        }
        let Some((seconds, text)) = item.values.last() else { return Ok(vec![]) };
        let no_sample = || not_prometheus(&format!("`{text}` at `{seconds}` is no sample"));
        let value: f64 = text.parse().map_err(|_| no_sample())?;
        Ok(vec![Series { labels: item.metric, value, at: Some(at) }])
    }

    /// How old a sample may be: two looks, or two scrapes as they are seen.
    fn freshness(&self, mut times: Vec<f64>) -> Span {
        times.sort_by(f64::total_cmp);
        let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let seen = gaps.get(gaps.len().saturating_sub(1) / 2).map_or(0.0, |gap| (gap * 1_000.0).clamp(0.0, 1e12));
        let scrape = Span::millis(seen.round() as u64).max(self.prometheus.resolution);
        self.glance.every.max(scrape).times(2)
    }
}

fn not_prometheus(what: &str) -> String {
    format!("does not answer as Prometheus does: {what}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{ask, glance, nobody, serve, serve_answer, serve_silence, within};

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOW: f64 = 784_111_777.0;

    fn source(url: &str) -> Prometheus {
        let url = http::url("a source", url).expect("is a URL");
        let labels = "deployment=\"shop-$cohort\"".to_owned();
        Prometheus { url, access: Access::default(), labels, resolution: Span::ZERO }
    }

    fn limits() -> Limits {
        let (timeout, pause) = (Duration::from_millis(500), Duration::from_millis(1));
        Limits { timeout, bytes: 100_000, samples: 10, pause, ..Limits::default() }
    }

    async fn answer(url: &str, query: &str, part: Part, moment: Moment) -> Result<Answer, String> {
        let client = http::client([]).expect("starts");
        let asks = [ask(query, part)];
        let (source, limits, glance) = (source(url), limits(), glance(NOW as i64 + 3));
        let found = within(10, source.read(&client, &limits, &asks, &glance, moment)).await?;
        Ok(found.into_iter().next().expect("one answer for each query"))
    }

    async fn read(url: &str, selector: &str) -> Result<Vec<Series>, String> {
        answer(url, selector, Part::Count, Moment::Now).await.map(|answer| answer.series)
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

    // telemetry.md: "an old sample", "NaN, infinite or negative, in a count".
    #[tokio::test]
    async fn series_whose_newest_sample_is_old_are_left_out() {
        let url = serve_matrix(json!([
            {"metric": {"i": "old"}, "values": [[NOW - 20.001, "1"]]},
            {"metric": {"i": "fresh"}, "values": [[NOW - 20.0, "-1"]]},
            {"metric": {"i": "scraped each 20 s"}, "values": [[NOW - 60.0, "1"], [NOW - 40.0, "1"]]},
            {"metric": {"i": "and gone"}, "values": [[NOW - 60.5, "1"], [NOW - 40.5, "1"]]},
            {"metric": {"i": "none"}, "values": []},
            {"metric": {"i": "no number"}, "values": [[NOW - 20.0, "1"], [NOW - 5.0, "NaN"]]},
            {"metric": {"i": "infinite"}, "values": [[NOW, "+Inf"]]},
        ]))
        .await;
        let found = read(&url, "x_total").await.expect("is an answer");
        let kept: Vec<String> = found.iter().map(|s| format!("{} {}", s.labels["i"], s.value)).collect();
        assert_eq!(kept, ["fresh -1", "scraped each 20 s 1", "no number NaN", "infinite inf"]);
        assert_eq!(read(&serve_matrix(json!([])).await, "x_total").await, Ok(vec![]));
    }

    /// What was asked, as a query of a URL, and nothing found.
    async fn asked(query: &str, part: Part, moment: Moment) -> Vec<String> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let page = move |axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>| async move {
            let said: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            heard.lock().expect("no test panics here").push(said.join(" "));
            let kind = if query["query"].ends_with("[1m]") { "matrix" } else { "vector" };
            let body = json!({"status": "success", "data": {"resultType": kind, "result": []}});
            ([("date", DATE)], axum::Json(body)).into_response()
        };
        let url = serve(Router::new().route("/api/v1/query", get(page))).await;
        let found = answer(&url, query, part, moment).await.expect("is an answer");
        assert_eq!(found.series, []);
        Arc::try_unwrap(asked).map_or_else(|a| a.lock().expect("is free").clone(), |a| a.into_inner().expect("is free"))
    }

    #[tokio::test]
    async fn a_selector_is_read_raw_and_an_expression_is_computed() {
        use Moment::{Now, Past};
        let cases = [
            ("x_total{$labels}", Part::Count, Now, vec!["query=x_total{deployment=\"shop-v2\"}[1m]"]),
            ("x_total{v=\"$cohort\"}", Part::Count, Past, vec!["query=x_total{v=\"v2\"}[1m] time=784111780.000"]),
            ("mem{$labels}", Part::Value, Now, vec!["query=mem{deployment=\"shop-v2\"}[1m]"]),
            ("max(mem{$labels})", Part::Value, Now, vec!["query=max(mem{deployment=\"shop-v2\"})"]),
            ("max(mem{$labels})", Part::Value, Past, vec!["query=max(mem{deployment=\"shop-v2\"}) time=784111780.000"]),
            // A window ends at a whole multiple of its length.
            ("sum(increase(x[$window]))", Part::Count, Now, vec!["query=sum(increase(x[10s])) time=784111780.000"]),
            (
                "h{$labels}",
                Part::Buckets,
                Now,
                vec!["query=h_bucket{deployment=\"shop-v2\"}[1m]", "query=h{deployment=\"shop-v2\"}[1m]"],
            ),
        ];
        for (query, part, moment, expected) in cases {
            assert_eq!(asked(query, part, moment).await, expected, "{query}");
        }
    }

    async fn serve_vector(result: Value) -> String {
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        let page = move || async move { ([("date", DATE)], axum::Json(body)).into_response() };
        serve(Router::new().route("/api/v1/query", get(page))).await
    }

    #[tokio::test]
    async fn what_an_expression_is_worth_is_the_increment_of_its_window() {
        let url = serve_vector(json!([{"metric": {}, "value": [NOW, "41.5"]}])).await;
        let found =
            answer(&url, "sum(increase(x{$labels}[$window]))", Part::Count, Moment::Now).await.expect("is an answer");
        let at = timestamp(784_111_780_000.0);
        let series = vec![Series { labels: BTreeMap::new(), value: 41.5, at }];
        let asked = "sum(increase(x{deployment=\"shop-v2\"}[10s]))".to_owned();
        assert_eq!(found, Answer { asked, meaning: Meaning::Window(Span::secs(10)), series });
        // A gauge that is computed has no time of its own: it makes no look new.
        let found = answer(&url, "max(x{$labels})", Part::Value, Moment::Now).await.expect("is an answer");
        assert_eq!(found.series[0].at, None);
    }

    // telemetry.md: "a native histogram". The answer is as Prometheus 2.42 gives it.
    #[tokio::test]
    async fn native_histograms_are_read_where_there_are_no_classic_ones() {
        let histogram = |count: &str| {
            json!({"count": count, "sum": "1.5", "buckets": [
                [3, "-1e-128", "1e-128", "1"], [0, "0.25", "0.2973017787506803", "4"], [0, "0.5", "0.5946035575013605", "2"]
            ]})
        };
        let page = move |axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>| async move {
            let item = json!({"metric": {"__name__": "h", "v": "v2"},
                "histograms": [[NOW - 20.0, histogram("1")], [NOW - 10.0, histogram("7")]]});
            let result = if query["query"].starts_with("h_bucket") { json!([]) } else { json!([item]) };
            let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
            ([("date", DATE)], axum::Json(body)).into_response()
        };
        let url = serve(Router::new().route("/api/v1/query", get(page))).await;
        let found = answer(&url, "h{v=\"$cohort\"}", Part::Buckets, Moment::Now).await.expect("is an answer");
        assert_eq!((found.asked.as_str(), found.meaning), ("h{v=\"v2\"}", Meaning::Total));
        let value = |le: &str| found.series.iter().find(|s| s.labels["le"] == le).map(|s| s.value);
        let values = ["0.25", "0.5", "1", "+Inf"].map(value);
        assert_eq!((found.series.len(), values), (41, [Some(1.0), Some(5.0), Some(7.0), Some(7.0)]));
    }

    #[tokio::test]
    async fn the_series_of_a_cohort_are_listed_in_order_and_no_more_than_so_many() {
        let url = serve_vector(json!([
            {"metric": {"__name__": "c"}, "value": [NOW, "3"]},
            {"metric": {"__name__": "a"}, "value": [NOW, "1"]},
            {"metric": {"__name__": "n"}, "histogram": [NOW, {"count": "1", "sum": "1", "buckets": []}]},
            {"metric": {"__name__": "b"}, "value": [NOW, "NaN"]},
        ]))
        .await;
        let client = http::client([]).expect("starts");
        let matcher = ask("{$labels}", Part::Value);
        let found =
            source(&url).series(&client, &limits(), &matcher, &glance(NOW as i64), 2).await.expect("is an answer");
        let names: Vec<&str> = found.iter().map(|s| s.labels["__name__"].as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_query_is_checked_by_what_it_is_for() {
        let problem =
            |query: &str, part| source("http://p").query_problem(&ask(query, part)).map(|(message, _)| message);
        assert_eq!(problem("x{$labels}", Part::Count), None);
        assert_eq!(problem("sum(increase(x{$labels}[$window]))", Part::Count), None);
        assert_eq!(problem("max(x{$labels})", Part::Value), None);
        assert_eq!(problem("sum by (le) (increase(h_bucket{$labels}[$window]))", Part::Buckets), None);
        let timeless = "`sum(x{$labels})` computes something, and does not say of which time";
        assert_eq!(problem("sum(x{$labels})", Part::Count).as_deref(), Some(timeless));
        let open = "this is no query of Prometheus: `sum(x` has a `(` that is not closed";
        assert_eq!(problem("sum(x", Part::Value).as_deref(), Some(open));
        let nameless = "`{deployment=\"shop-v2\"}` names no histogram: write `name{...}`";
        assert_eq!(problem("{$labels}", Part::Buckets).as_deref(), Some(nameless));
    }

    #[tokio::test]
    async fn the_server_may_lie_below_a_path() {
        let url = serve(Router::new().route("/prefix/api/v1/query", get(|| async { StatusCode::FORBIDDEN }))).await;
        let error = read(&format!("{url}/prefix/"), "x_total{ version='v2' }").await;
        assert_eq!(error, Err(format!("`{url}/prefix/` answered 403")));
    }

    #[tokio::test]
    async fn trouble_that_passes_is_tried_again() {
        for (failures, expected) in [(2, Ok(0)), (3, Err("answered 503".to_owned()))] {
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
            assert_eq!(asked.load(Ordering::SeqCst), 3);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_fails() {
        let refused = json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string();
        let vector = json!({"status": "success", "data": {"resultType": "vector", "result": []}}).to_string();
        let native = json!([{"metric": {}, "histograms": [[NOW, {"count": "one"}]]}]);
        let broken = json!([{"metric": {}, "values": [[NOW, "seven"]]}]);
        let many: Vec<Value> = (0..11).map(|_| json!({"metric": {}, "values": []})).collect();
        let cases = [
            (serve_answer(400, "application/json", refused).await, "refused `x_total[1m]`: parse error"),
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
            (serve_matrix(native).await, "does not answer as Prometheus does: `one` is no number of a histogram"),
            (serve_matrix(broken).await, "does not answer as Prometheus does: `seven` at `784111777` is no sample"),
            (serve_matrix(json!(many)).await, "found more than 10 series for `x_total[1m]`, the most that are read"),
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
