//! Probes: the eyes, one file for each kind of telemetry.
//!
//! A probe reports what a source shows, or that the source failed; it judges nothing. NaN, negative and shrinking counters are values like others,
//! and a page without the series is an empty answer. What each oddity means is said in docs/reference/telemetry.md. Next: `scrape`, then the grammar of
//! a `selector`.

mod checks;
mod command;
mod file;
mod json;
mod prometheus;
mod scrape;

mod exposition;
mod native;
mod promql;
mod selector;

mod tries;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use change::document::{list, nearest};
use change::query::{self, DEFAULT_LABELS, Filling, Language};
use change::rollout::PartProblem;
use change::verification::synthetic::SyntheticCheck;
use change::verification::{CheckCommand, Query, Sli};
use change::{Span, Timestamp};
use engine::ports::{Act, Answer, Ask, Cohorts, Eyes, Glance, Part, Probed, Series, Side};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};

use crate::http::{self, SettingsError, Token};
use crate::process::CommandSettings;
use crate::read::evidence::Evidence;
use checks::Checks;
pub use checks::{Allowed, CheckSettings, Resolve, Rule, Secrets, SystemResolver};
use file::File;
use json::Json;
use prometheus::{Moment, Prometheus};
use scrape::Scrape;

/// Where telemetry comes from, as an operator configures it.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub kind: SourceKind,
    pub access: Access,
    /// What `$labels` stands for; `version="$cohort"` if absent.
    pub labels: Option<String>,
    /// The time between two samples, as far as the operator knows it; `$window` is never shorter.
    pub resolution: Span,
}

/// The kinds of telemetry.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// Metrics pages, read directly: all of the instances of a service.
    Scrape { urls: Vec<String> },
    /// A server with the HTTP API of Prometheus.
    Prometheus { url: String },
    /// An address that answers JSON. Names of queries may stand in it, but not in its host.
    Json { url: String },
    /// Recorded evidence, replayed from the first reading on.
    File { evidence: Evidence },
}

impl From<SourceKind> for Source {
    fn from(kind: SourceKind) -> Self {
        Self { kind, access: Access::default(), labels: None, resolution: Span::ZERO }
    }
}

/// By what right a source is asked: secrets that no `Debug` shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    token: Option<Token>,
    headers: HeaderMap,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(..)")
    }
}

impl Access {
    /// A bearer token, and headers by name.
    ///
    /// # Errors
    /// A sentence, if a name or value can't be that of a header. It does not show the value.
    pub fn new(token: Option<Token>, headers: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let key =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the header `{name}` has a value that can't be sent"))?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        Ok(Self { token, headers: map })
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        http::authorized(request.headers(self.headers.clone()), self.token.as_ref())
    }
}

/// What bounds one reading of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// For each page or query, with its tries; half of the time between two looks if that is shorter.
    pub timeout: Duration,
    /// The longest page or answer.
    pub bytes: usize,
    /// The most samples of a page, or series of an answer.
    pub samples: usize,
    /// How often one page or query is asked for.
    pub tries: u32,
    /// The pause before the second try; it doubles.
    pub pause: Duration,
    /// From 0 to 1: pauses are half as long to one and a half times as long. Each server has another.
    pub jitter: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            bytes: 8 << 20,
            samples: 20_000,
            tries: 3,
            pause: Duration::from_millis(100),
            jitter: 0.5,
        }
    }
}

/// The eyes: every source and the commands that check something.
#[derive(Debug)]
pub struct Probes {
    sources: BTreeMap<String, Probe>,
    commands: CommandSettings,
    checks: Checks,
    client: Client,
    limits: Limits,
}

#[derive(Debug)]
enum Probe {
    Scrape(Scrape),
    Prometheus(Prometheus),
    Json(Json),
    File(File),
}

impl Probes {
    /// # Errors
    /// If an address is none, or the labels of a source can't tell the versions apart.
    pub fn new(
        sources: BTreeMap<String, Source>,
        commands: CommandSettings,
        limits: Limits,
    ) -> Result<Self, SettingsError> {
        let mut urls = Vec::new();
        let mut probes = BTreeMap::new();
        for (name, source) in sources {
            let probe = Probe::new(&name, source, &mut urls)?;
            probes.insert(name, probe);
        }
        let checks = Checks::new(CheckSettings::default());
        Ok(Self { sources: probes, commands, checks, client: http::client(&urls)?, limits })
    }

    /// The same, with leave to run synthetic checks.
    #[must_use]
    pub fn with_checks(self, settings: CheckSettings) -> Self {
        Self { checks: Checks::new(settings), ..self }
    }

    fn probe(&self, source: &str) -> Result<&Probe, String> {
        self.sources.get(source).ok_or_else(|| self.unknown(source))
    }

    fn unknown(&self, source: &str) -> String {
        let known = || self.sources.keys().map(String::as_str);
        let hint = nearest(source, known()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        format!("there is no telemetry source `{source}`; {hint}the sources in clearway.toml: {}", list(known()))
    }
}

impl Probe {
    /// Sets up a source, and notes the addresses that it asks.
    fn new(name: &str, source: Source, asked: &mut Vec<reqwest::Url>) -> Result<Self, SettingsError> {
        let what = format!("the source `{name}`");
        let labels = labels(&what, source.labels)?;
        let (access, resolution) = (source.access, source.resolution);
        match source.kind {
            SourceKind::Scrape { urls } if urls.is_empty() => Err(SettingsError::NoUrl { what }),
            SourceKind::Scrape { urls } => {
                let urls: Vec<reqwest::Url> = urls.iter().map(|url| http::url(&what, url)).collect::<Result<_, _>>()?;
                asked.extend(urls.iter().cloned());
                Ok(Self::Scrape(Scrape { urls, access, labels, resolution }))
            }
            SourceKind::Prometheus { url } => {
                let url = http::url(&what, &url)?;
                asked.push(url.clone());
                Ok(Self::Prometheus(Prometheus { url, access, labels, resolution }))
            }
            SourceKind::Json { url } => {
                asked.push(check_template(&what, &url)?);
                Ok(Self::Json(Json { url, access, resolution }))
            }
            SourceKind::File { evidence } => Ok(Self::File(File::new(&evidence))),
        }
    }

    /// What is wrong with a query.
    fn query_problem(&self, ask: &Ask) -> Option<(String, Option<String>)> {
        match self {
            Self::Scrape(scrape) => scrape.query_problem(ask),
            Self::Prometheus(prometheus) => prometheus.query_problem(ask),
            Self::Json(_) => json::path_problem(ask).map(|message| (message, None)),
            Self::File(file) => file.problem(ask),
        }
    }

    /// Whether the source is asked for each version in a way of its own, so that a query need not name it.
    fn tells_versions_apart(&self) -> bool {
        match self {
            Self::Scrape(_) | Self::Prometheus(_) => false,
            Self::Json(json) => query::uses(&json.url, "cohort"),
            Self::File(_) => true,
        }
    }
}

/// The labels of a version, checked with a version that is none.
fn labels(what: &str, labels: Option<String>) -> Result<String, SettingsError> {
    let labels = labels.unwrap_or_else(|| DEFAULT_LABELS.to_owned());
    let bad = |why: String| SettingsError::Labels { what: what.to_owned(), labels: labels.clone(), why };
    if let Some((message, _)) = query::problems(&labels).into_iter().next() {
        return Err(bad(message));
    }
    if !query::uses(&labels, "cohort") {
        return Err(bad("they are the same for both versions: put `$cohort` where the version belongs".into()));
    }
    let filling = Filling { cohort: "v2", canary: "v2", baseline: "v1", window: Span::secs(10), labels: "" };
    let filled = query::fill(&labels, &filling, Language::Promql).map_err(bad)?;
    format!("{{{filled}}}").parse::<selector::Selector>().map_err(bad)?;
    Ok(labels)
}

/// An address in which names may stand, with a version filled in. The host is the operator's, and no version's.
fn check_template(what: &str, template: &str) -> Result<reqwest::Url, SettingsError> {
    let bad =
        |why: &str| SettingsError::Template { what: what.to_owned(), url: template.to_owned(), why: why.to_owned() };
    if let Some((message, help)) = query::problems(template).into_iter().next() {
        return Err(bad(&format!("{message}; {help}")));
    }
    let after_scheme = template.split_once("://").map_or(template, |(_, rest)| rest);
    if after_scheme.split(['/', '?', '#']).next().is_some_and(|host| host.contains('$')) {
        return Err(bad("its host has a name in it, and has to be the same always"));
    }
    if query::uses(template, "labels") {
        return Err(bad("`$labels` belongs into a query of Prometheus"));
    }
    let filling = Filling { cohort: "v2", canary: "v2", baseline: "v1", window: Span::secs(10), labels: "" };
    let filled = query::fill(template, &filling, Language::Url).map_err(|why| bad(&why))?;
    http::url(what, &filled)
}

#[async_trait]
impl Eyes for Probes {
    fn sources(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    async fn read(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let (client, limits) = (&self.client, &self.limits);
        match self.probe(source)? {
            Probe::Scrape(scrape) => scrape.read(client, limits, asks, glance).await,
            Probe::Prometheus(prometheus) => prometheus.read(client, limits, asks, glance, Moment::Now).await,
            Probe::Json(json) => json.read(client, limits, asks, glance).await,
            Probe::File(file) => file.read(asks, glance),
        }
    }

    async fn read_at(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        match self.probe(source)? {
            Probe::Prometheus(prometheus) => {
                prometheus.read(&self.client, &self.limits, asks, glance, Moment::Past).await
            }
            Probe::Scrape(_) | Probe::Json(_) | Probe::File(_) => {
                Err(format!("the source `{source}` keeps no history"))
            }
        }
    }

    async fn over(&self, source: &str, asks: &[Ask], window: Span, now: Timestamp) -> Result<Vec<Answer>, String> {
        match self.probe(source)? {
            Probe::Prometheus(prometheus) => prometheus.over(&self.client, &self.limits, asks, window, now).await,
            Probe::Scrape(_) | Probe::Json(_) | Probe::File(_) => Err(format!(
                "the source `{source}` keeps no past: it says what it counts now, and nothing of the last {window}; to read its budget, let a Prometheus scrape it, and name that as the `source` of the SLI"
            )),
        }
    }

    async fn series(&self, source: &str, matcher: &Ask, glance: &Glance, most: usize) -> Result<Vec<Series>, String> {
        let (client, limits) = (&self.client, &self.limits);
        match self.probe(source)? {
            Probe::Scrape(scrape) => scrape.series(client, limits, matcher, glance, most).await,
            Probe::Prometheus(prometheus) => prometheus.series(client, limits, matcher, glance, most).await,
            Probe::Json(_) | Probe::File(_) => Err(format!("the source `{source}` can't list its series")),
        }
    }

    fn query_problems(&self, sli: &Sli) -> Vec<PartProblem> {
        // A source that there is none of is said elsewhere.
        let Some(probe) = self.sources.get(&sli.source) else { return sli.undivided() };
        let mut found = if probe.tells_versions_apart() { vec![] } else { sli.undivided() };
        for (pointer, query) in sli.queries() {
            let part = match pointer {
                "/latency/histogram" => Part::Buckets,
                "/gauge/value" => Part::Value,
                _ => Part::Count,
            };
            for (at, text) in query.texts() {
                let problem = probe.query_problem(&sample(query, at, text, part));
                found.extend(problem.map(|(message, help)| (format!("{pointer}{at}"), message, help)));
            }
        }
        found
    }

    fn may_run_commands(&self) -> bool {
        self.commands.allow
    }

    async fn check(&self, act: &Act, command: &CheckCommand) -> Result<Option<String>, String> {
        command::check(&self.commands, act, command).await
    }

    async fn probe(&self, act: &Act, check: &SyntheticCheck, cohort: &str, limit: Span) -> Probed {
        self.checks.probe(&self.commands, act, check, cohort, limit).await
    }
}

/// A query as it would be asked of two versions that every language can write.
fn sample(query: &Query, at: &str, text: &str, part: Part) -> Ask {
    let is_baseline = matches!(query, Query::Each { .. }) && at == "/baseline";
    let side = if is_baseline { Side::Baseline } else { Side::Canary };
    Ask { query: text.to_owned(), part, side, cohorts: Cohorts { canary: "v2".into(), stable: "v1".into() } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{ask, glance, serve_answer};

    fn probes(sources: &[(&str, SourceKind)]) -> Result<Probes, SettingsError> {
        let sources = sources.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone().into())).collect();
        Probes::new(sources, CommandSettings::forbidden(), Limits::default())
    }

    fn recorded() -> SourceKind {
        let csv = b"time,cohort,sli,field,value\n0,canary,errors,bad,1\n0,canary,errors,total,9\n";
        SourceKind::File { evidence: Evidence::read(csv).expect("is evidence") }
    }

    #[tokio::test]
    async fn a_source_is_found_by_its_name() {
        let url = serve_answer(200, "text/plain", "up 1\n").await;
        let probes = probes(&[("edge", SourceKind::Scrape { urls: vec![url] })]).expect("is sound");
        assert_eq!(probes.sources(), ["edge"]);
        let read = |source: &'static str, queries: &[&str]| {
            let asks: Vec<Ask> = queries.iter().map(|query| ask(query, Part::Count)).collect();
            let probes = &probes;
            async move { probes.read(source, &asks, &glance(0)).await }
        };
        assert_eq!(
            read("edge", &["up", "down"]).await.map(|found| found[0].series.len() + found[1].series.len()),
            Ok(1)
        );
        let unknown = "there is no telemetry source `egde`; did you mean `edge`? the sources in clearway.toml: `edge`";
        assert_eq!(read("egde", &["up"]).await, Err(unknown.into()));
        assert_eq!(
            read("edge", &["up{"]).await,
            Err("`up{`, character 4: expected the name of a label, found the end".into())
        );
        assert!(!probes.may_run_commands());
        let past = probes.read_at("edge", &[ask("up", Part::Count)], &glance(0)).await;
        assert_eq!(past, Err("the source `edge` keeps no history".into()));
    }

    #[test]
    fn a_source_that_can_not_be_asked_is_refused_when_it_is_configured() {
        let refused = |kind: SourceKind, labels: Option<&str>| {
            let source = Source { labels: labels.map(str::to_owned), ..kind.into() };
            let made = Probes::new([("s".to_owned(), source)].into(), CommandSettings::forbidden(), Limits::default());
            made.unwrap_err().to_string()
        };
        let json = |url: &str| SourceKind::Json { url: url.into() };
        let prometheus = |url: &str| SourceKind::Prometheus { url: url.into() };
        assert_eq!(refused(SourceKind::Scrape { urls: vec![] }, None), "the source `s` has no address");
        assert_eq!(
            refused(prometheus("prom:9090"), None),
            "the address of the source `s` is `prom:9090`; write it as `http://host:port`"
        );
        assert_eq!(
            refused(json("https://$cohort.example/"), None),
            "the address of the source `s` is `https://$cohort.example/`: its host has a name in it, and has to be the same always"
        );
        assert!(
            refused(json("https://a/?v=$version"), None)
                .contains("`$version` in `https://a/?v=$version` stands for nothing")
        );
        assert!(refused(json("file:///etc/passwd"), None).contains("write it as `http://host:port`"));
        assert_eq!(
            refused(prometheus("http://p"), Some("a=\"b\"")),
            "the labels of the source `s` are `a=\"b\"`: they are the same for both versions: put `$cohort` where the version belongs"
        );
        assert!(refused(prometheus("http://p"), Some("a=$cohort")).contains("expected a value in quotes"));
    }

    fn sli(value: serde_json::Value) -> Sli {
        serde_json::from_value(value).expect("is an SLI")
    }

    #[test]
    fn queries_are_checked_in_the_language_of_their_source() {
        let probes = probes(&[
            ("prom", SourceKind::Prometheus { url: "http://p".into() }),
            ("stats", SourceKind::Json { url: "http://s/?v=$cohort".into() }),
            ("both", SourceKind::Json { url: "http://s/".into() }),
            ("run", recorded()),
        ])
        .expect("are sound");
        let problems = |source: &str, bad: &str, total: &str| {
            let sli = sli(json!({"name": "e", "source": source, "ratio": {"bad": bad, "total": total}}));
            let found = probes.query_problems(&sli).into_iter();
            found.map(|(pointer, message, _)| format!("{pointer}: {message}")).collect::<Vec<_>>()
        };
        assert_eq!(problems("prom", "x{$labels}", "y{$labels}"), [""; 0]);
        assert_eq!(
            problems("prom", "x", "sum(y{$labels})"),
            [
                "/ratio/bad: `x` does not tell the versions apart",
                "/ratio/total: `sum(y{$labels})` computes something, and does not say of which time",
            ]
        );
        assert_eq!(problems("stats", "$.bad", "$.all"), [""; 0], "the address tells them apart");
        assert_eq!(
            problems("both", "$['$cohort'].bad", "$.all"),
            ["/ratio/total: `$.all` does not tell the versions apart"]
        );
        let broken = problems("stats", "$.bad[", "$.all");
        assert!(broken[0].starts_with("/ratio/bad: `$.bad[` is no path in JSON"), "{broken:?}");
        assert_eq!(
            problems("run", "errors/bad", "errors/all"),
            ["/ratio/total: the file has no rows for `errors/all`"]
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let headers = BTreeMap::from([("X-Api-Key".to_owned(), "secret-1".to_owned())]);
        let access = Access::new(Some(Token::new("secret-2")), &headers).expect("is sound");
        assert!(!format!("{access:?}").contains("secret"));
        let source = Source { access, ..SourceKind::Json { url: "http://s/".into() }.into() };
        let probes = Probes::new([("s".to_owned(), source)].into(), CommandSettings::forbidden(), Limits::default());
        assert!(!format!("{probes:?}").contains("secret-"));
        let broken = Access::new(None, &BTreeMap::from([("a b".to_owned(), "c".to_owned())]));
        assert_eq!(broken, Err("`a b` is no name of a header".into()));
    }
}
