//! Scrape: reads the metrics pages of all instances, and selects from them here.
//!
//! The source is its pages together: if one of them fails, it fails, since the sum over the others would look like a loss of traffic. Each page is
//! fetched once for all selectors, so that they are of one moment. Nothing is computed: a page knows no window.

use std::collections::BTreeSet;

use change::query::Language;
use change::time::{after, between};
use change::{Span, Timestamp};
use engine::ports::{Answer, Ask, Glance, Meaning, Part, Series};
use futures::future::join_all;
use reqwest::header::ACCEPT;
use reqwest::{Client, Url};

use super::exposition::{self, Format, Sample};
use super::selector::Selector;
use super::{Access, Limits, tries};
use crate::http;

#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) urls: Vec<Url>,
    pub(crate) access: Access,
    /// The label set that `$labels` stands for.
    pub(crate) labels: String,
    /// How often the samples of a page that have times are taken, where the operator says it.
    pub(crate) resolution: Span,
}

/// Both formats that are read, with names that need no quotes.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=underscores,text/plain;version=0.0.4;escaping=underscores;q=0.5";

impl Scrape {
    pub(crate) async fn read(
        &self,
        client: &Client,
        limits: &Limits,
        asks: &[Ask],
        glance: &Glance,
    ) -> Result<Vec<Answer>, String> {
        let selectors: Vec<Selector> =
            asks.iter().map(|ask| self.selector(ask, glance.every)).collect::<Result<_, _>>()?;
        let samples = self.samples(client, limits, glance).await?;
        let answer = |selector: &Selector| Answer {
            asked: selector.to_string(),
            meaning: Meaning::Total,
            series: select(selector, &samples),
        };
        Ok(selectors.iter().map(answer).collect())
    }

    pub(crate) async fn series(
        &self,
        client: &Client,
        limits: &Limits,
        matcher: &Ask,
        glance: &Glance,
        most: usize,
    ) -> Result<Vec<Series>, String> {
        let selector = self.selector(matcher, glance.every)?;
        let mut series = select(&selector, &self.samples(client, limits, glance).await?);
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series.truncate(most);
        Ok(series)
    }

    fn selector(&self, ask: &Ask, window: Span) -> Result<Selector, String> {
        let selector: Selector = ask.fill(&ask.query, &self.labels, window, Language::Promql)?.parse()?;
        if ask.part == Part::Buckets { selector.buckets() } else { Ok(selector) }
    }

    /// What is wrong with a query, in which names may stand.
    pub(crate) fn query_problem(&self, ask: &Ask) -> Option<(String, Option<String>)> {
        self.selector(ask, Span::secs(10)).err().map(|why| (format!("this selects nothing of a page: {why}"), None))
    }

    /// The fresh samples of all pages.
    async fn samples(&self, client: &Client, limits: &Limits, glance: &Glance) -> Result<Vec<Sample>, String> {
        let pages = join_all(self.urls.iter().map(|url| self.page(client, limits, url, glance))).await;
        let (pages, errors): (Vec<_>, Vec<_>) = pages.into_iter().partition(Result::is_ok);
        if !errors.is_empty() {
            return Err(errors.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("; "));
        }
        let samples: Vec<Sample> = pages.into_iter().flatten().flatten().collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = samples.iter().find(|sample| !seen.insert(&sample.labels)) {
            return Err(format!("two pages have the series {}", exposition::shown(&twice.labels)));
        }
        Ok(samples)
    }

    async fn page(&self, client: &Client, limits: &Limits, url: &Url, glance: &Glance) -> Result<Vec<Sample>, String> {
        let at = |error: String| format!("`{}` {error}", http::shown(url));
        let request = || self.access.on(client.get(url.clone()).header(ACCEPT, ACCEPTED));
        let answer = tries::ask(request, limits, limits.budget(glance.every)).await;
        let answer = answer.map_err(|error| at(format!("can't be read: {error}")))?;
        if answer.status != 200 {
            return Err(at(format!("answered {}", answer.status)));
        }
        let format = Format::of(&answer.content_type).map_err(at)?;
        let mut samples = exposition::parse(&answer.body, format, limits.samples).map_err(at)?;
        let (now, freshness) = (answer.date.unwrap_or(glance.now), glance.every.max(self.resolution).times(2));
        samples.retain(|sample| sample.at.is_none_or(|taken| is_fresh(taken, freshness, now)));
        if self.urls.len() > 1 {
            for sample in &mut samples {
                sample.labels.entry("instance".into()).or_insert_with(|| http::authority(url));
            }
        }
        Ok(samples)
    }
}

fn is_fresh(taken: Timestamp, freshness: Span, now: Timestamp) -> bool {
    between(after(taken, freshness), now) == Span::ZERO
}

fn select(selector: &Selector, samples: &[Sample]) -> Vec<Series> {
    let meant = samples.iter().filter(|sample| selector.matches(&sample.labels));
    meant.map(|sample| Series { labels: sample.labels.clone(), value: sample.value, at: sample.at }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::testing::{ask, glance, nobody, serve, serve_answer, serve_silence, within};

    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    async fn answer(urls: &[&str], query: &str, part: Part) -> Result<Answer, String> {
        let (timeout, pause) = (Duration::from_millis(500), Duration::from_millis(1));
        let limits = Limits { timeout, bytes: 100_000, samples: 1_000, pause, ..Limits::default() };
        let client = http::client([]).expect("starts");
        let (source, asks, glance) = (source(urls), [ask(query, part)], glance(1_000));
        let found = within(10, source.read(&client, &limits, &asks, &glance)).await?;
        Ok(found.into_iter().next().expect("one answer for each query"))
    }

    fn source(urls: &[&str]) -> Scrape {
        let urls = urls.iter().map(|url| http::url("a source", url).expect("is a URL")).collect();
        let labels = "version=\"$cohort\"".to_owned();
        Scrape { urls, access: Access::default(), labels, resolution: Span::ZERO }
    }

    async fn read(urls: &[&str], selector: &str) -> Result<Vec<Series>, String> {
        answer(urls, selector, Part::Count).await.map(|answer| answer.series)
    }

    fn values(series: &[Series]) -> Vec<String> {
        series.iter().map(|series| series.value.to_string()).collect()
    }

    #[tokio::test]
    async fn the_series_that_a_selector_means_are_found_with_all_their_labels() {
        let page = "requests_total{version=\"v1\"} 3\nrequests_total{version=\"v2\"} 4\nother 5\n";
        let found = read(&[&serve_answer(200, "text/plain", page).await], "requests_total{version=\"v2\"}").await;
        let labels = [("__name__", "requests_total"), ("version", "v2")].map(|(l, v)| (l.to_owned(), v.to_owned()));
        assert_eq!(found, Ok(vec![Series { labels: labels.into(), value: 4.0, at: None }]));
    }

    #[tokio::test]
    async fn a_page_without_the_series_is_an_empty_answer() {
        assert_eq!(read(&[&serve_answer(200, "text/plain", "").await], "requests_total").await, Ok(vec![]));
        assert_eq!(read(&[&serve_answer(200, OPEN, "other 1\n# EOF\n").await], "requests_total").await, Ok(vec![]));
    }

    #[tokio::test]
    async fn odd_values_are_reported_as_they_are() {
        let page = "x_total{i=\"1\"} NaN\nx_total{i=\"2\"} -3\nx_total{i=\"3\"} +Inf\n# EOF\n";
        let found = read(&[&serve_answer(200, OPEN, page).await], "x_total").await;
        assert_eq!(found.map(|found| values(&found)), Ok(vec!["NaN".to_owned(), "-3".into(), "inf".into()]));
    }

    #[tokio::test]
    async fn a_counter_that_was_reset_is_a_value_like_another() {
        let count = std::sync::atomic::AtomicI32::new(70);
        let count = std::sync::Arc::new(count);
        let page = move || {
            let now = count.fetch_sub(65, std::sync::atomic::Ordering::SeqCst);
            async move { format!("x_total {now}\n") }
        };
        let url = serve(Router::new().route("/", get(page))).await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.extend(values(&read(&[&url], "x_total").await.expect("is a page")));
        }
        assert_eq!(seen, ["70", "5"]);
    }

    #[tokio::test]
    async fn instances_are_told_apart_by_a_label() {
        let one = serve_answer(200, "text/plain", "x_total 1\n").await;
        let two = serve_answer(200, "text/plain", "x_total 2\nx_total{instance=\"own\"} 3\n").await;
        let found = read(&[&one, &two], "x_total").await.expect("are pages");
        let instances: Vec<&str> = found.iter().map(|series| series.labels["instance"].as_str()).collect();
        assert_eq!(instances, [&one[7..], &two[7..], "own"]);
        assert_eq!(values(&found), ["1", "2", "3"]);
        let again = read(&[&one, &one], "x_total").await;
        assert_eq!(again, Err(format!("two pages have the series `x_total{{instance={:?}}}`", &one[7..])));
    }

    #[tokio::test]
    async fn one_page_that_fails_fails_the_source_by_name() {
        let good = serve_answer(200, "text/plain", "x_total 1\n").await;
        let bad = serve_answer(503, "text/plain", "starting").await;
        assert_eq!(read(&[&good, &bad], "x_total").await, Err(format!("`{bad}/` answered 503")));
        let gone = nobody().await;
        let error = read(&[&gone, &good, &bad], "x_total").await.unwrap_err();
        assert!(error.starts_with(&format!("`{gone}/` can't be read: no connection: Connection refused")), "{error}");
        assert!(error.ends_with(&format!("; `{bad}/` answered 503")), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_metrics_page_fails() {
        let cases = [
            (200, "text/html", "<html>Sign in</html>".to_owned(), "is not a metrics page but `text/html`".to_owned()),
            (200, "text/plain", "<html>Sign in</html>\n".into(), "is not a metrics page but HTML or XML".into()),
            (200, "application/json", "{}".into(), "is not a metrics page but `application/json`".into()),
            (302, "text/plain", String::new(), "answered 302".into()),
            (204, "text/plain", String::new(), "answered 204".into()),
            (200, "text/plain", "x 1\nx 1\n".into(), "has the series `x{}` twice, the second time in line 2".into()),
            (200, OPEN, "x 1\n".into(), "is cut off: it does not end with `# EOF`".into()),
            (
                200,
                "text/plain",
                "# x\n".repeat(30_000),
                "can't be read: the answer is longer than 100000 bytes, the most that is read".into(),
            ),
            (
                200,
                "text/plain",
                (0..1_001).map(|i| format!("x{{i=\"{i}\"}} 1\n")).collect(),
                "has more than 1000 samples, the most that are read".into(),
            ),
        ];
        for (status, content_type, body, error) in cases {
            let url = serve_answer(status, content_type, body).await;
            assert_eq!(read(&[&url], "x").await, Err(format!("`{url}/` {error}")));
        }
        let silent = serve_silence().await;
        assert_eq!(read(&[&silent], "x").await, Err(format!("`{silent}/` can't be read: no answer within 500ms")));
    }

    #[tokio::test]
    async fn names_are_filled_in_and_buckets_are_found() {
        let page =
            "up{version=\"v2\"} 1\nh_bucket{version=\"v2\",le=\"0.1\"} 4\nh_bucket{version=\"v1\",le=\"0.1\"} 5\n";
        let url = serve_answer(200, "text/plain", page).await;
        assert_eq!(values(&read(&[&url], "up{$labels}").await.expect("is a page")), ["1"]);
        let found = answer(&[&url], "h{version=\"$cohort\"}", Part::Buckets).await.expect("is a page");
        assert_eq!((found.asked.as_str(), values(&found.series)), ("h_bucket{version=\"v2\"}", vec!["4".to_owned()]));
        assert_eq!(found.meaning, Meaning::Total);
        let client = http::client([]).expect("starts");
        let (matcher, limits) = (ask("{$labels}", Part::Value), Limits::default());
        for (most, expected) in [(9, vec!["h_bucket", "up"]), (1, vec!["h_bucket"])] {
            let listed = source(&[&url]).series(&client, &limits, &matcher, &glance(0), most).await.expect("is a page");
            let names: Vec<&str> = listed.iter().map(|s| s.labels["__name__"].as_str()).collect();
            assert_eq!(names, expected);
        }
        let (message, _) = source(&[&url]).query_problem(&ask("sum(x{$labels})", Part::Value)).expect("is refused");
        assert!(
            message.starts_with("this selects nothing of a page: `sum(x{version=\"v2\"})`, character 4"),
            "{message}"
        );
    }

    // telemetry.md: "an old sample".
    #[tokio::test]
    async fn samples_of_a_page_that_are_old_are_left_out() {
        let now = Timestamp::from_second(784_111_777).expect("a time");
        let page = move || async move {
            let body = "x{i=\"old\"} 1 784111756999\nx{i=\"fresh\"} 2 784111757000\nx{i=\"now\"} 3\n";
            ([("date", "Sun, 06 Nov 1994 08:49:37 GMT")], body)
        };
        let found = read(&[&serve(Router::new().route("/", get(page))).await], "x").await.expect("is a page");
        assert_eq!(
            (values(&found), found[0].at),
            (vec!["2".to_owned(), "3".into()], Some(now - std::time::Duration::from_secs(20)))
        );
    }
}
