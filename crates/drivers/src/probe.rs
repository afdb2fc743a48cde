//! Probes: the eyes, one file for each kind of telemetry.
//!
//! A probe reports what a source shows, or that the source failed; it judges nothing. NaN, negative and shrinking counters are values like others,
//! and a page without the series is an empty answer. Next: `scrape`, then the grammar of a `selector`.

mod checks;
mod command;
mod prometheus;
mod scrape;

mod exposition;
mod selector;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use change::Span;
use change::document::{list, nearest};
use change::verification::CheckCommand;
use change::verification::synthetic::SyntheticCheck;
use engine::ports::{Act, Eyes, Probed, Series};
use reqwest::Client;

use crate::http::{self, Bounds, SettingsError, Token};
use crate::process::CommandSettings;
use checks::Checks;
pub use checks::{Allowed, CheckSettings, Resolve, Rule, Secrets, SystemResolver};
use prometheus::Prometheus;
use scrape::Scrape;
use selector::Selector;

/// Where telemetry comes from, as an operator configures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Metrics pages, read directly: all of the instances of a service.
    Scrape { urls: Vec<String>, token: Option<Token> },
    /// A server with the HTTP API of Prometheus.
    Prometheus { url: String, token: Option<Token> },
}

/// What bounds one read of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For each page or query, with its retry.
    pub timeout: Duration,
    /// The longest page or answer.
    pub bytes: usize,
    /// The most samples of a page, or series of an answer.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), bytes: 8 << 20, samples: 20_000 }
    }
}

impl Limits {
    fn bounds(&self) -> Bounds {
        Bounds { time: self.timeout, bytes: self.bytes }
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
}

impl Probes {
    /// # Errors
    /// If an address is none.
    pub fn new(
        sources: BTreeMap<String, Source>,
        commands: CommandSettings,
        limits: Limits,
    ) -> Result<Self, SettingsError> {
        let probe = |(name, source): (String, _)| Probe::new(&name, source).map(|probe| (name, probe));
        let sources: BTreeMap<_, _> = sources.into_iter().map(probe).collect::<Result<_, _>>()?;
        let client = http::client(sources.values().flat_map(Probe::urls))?;
        Ok(Self { sources, commands, checks: Checks::new(CheckSettings::default()), client, limits })
    }

    /// The same, with leave to run synthetic checks.
    #[must_use]
    pub fn with_checks(self, settings: CheckSettings) -> Self {
        Self { checks: Checks::new(settings), ..self }
    }

    fn unknown(&self, source: &str) -> String {
        let known = || self.sources.keys().map(String::as_str);
        let hint = nearest(source, known()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        format!("there is no telemetry source `{source}`; {hint}the sources in clearway.toml: {}", list(known()))
    }
}

impl Probe {
    fn new(name: &str, source: Source) -> Result<Self, SettingsError> {
        let what = format!("the source `{name}`");
        match source {
            Source::Scrape { urls, .. } if urls.is_empty() => Err(SettingsError::NoUrl { what }),
            Source::Scrape { urls, token } => {
                let urls = urls.iter().map(|url| http::url(&what, url)).collect::<Result<_, _>>()?;
                Ok(Self::Scrape(Scrape { urls, token }))
            }
            Source::Prometheus { url, token } => {
                Ok(Self::Prometheus(Prometheus { url: http::url(&what, &url)?, token }))
            }
        }
    }

    fn urls(&self) -> &[reqwest::Url] {
        match self {
            Self::Scrape(scrape) => &scrape.urls,
            Self::Prometheus(prometheus) => std::slice::from_ref(&prometheus.url),
        }
    }
}

#[async_trait]
impl Eyes for Probes {
    fn sources(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    async fn read(&self, source: &str, selectors: &[String]) -> Result<Vec<Vec<Series>>, String> {
        let probe = self.sources.get(source).ok_or_else(|| self.unknown(source))?;
        let selectors: Vec<Selector> = selectors.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        match probe {
            Probe::Scrape(scrape) => scrape.read(&self.client, &self.limits, &selectors).await,
            Probe::Prometheus(prometheus) => prometheus.read(&self.client, &self.limits, &selectors).await,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::serve_answer;

    fn probes(sources: &[(&str, Source)]) -> Result<Probes, SettingsError> {
        let sources = sources.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect();
        Probes::new(sources, CommandSettings::forbidden(), Limits::default())
    }

    #[tokio::test]
    async fn a_source_is_found_by_its_name() {
        let url = serve_answer(200, "text/plain", "up 1\n").await;
        let probes = probes(&[("edge", Source::Scrape { urls: vec![url], token: None })]).expect("is sound");
        assert_eq!(probes.sources(), ["edge"]);
        assert_eq!(
            probes.read("edge", &["up".into(), "down".into()]).await.map(|found| found[0].len() + found[1].len()),
            Ok(1)
        );
        let unknown = "there is no telemetry source `egde`; did you mean `edge`? the sources in clearway.toml: `edge`";
        assert_eq!(probes.read("egde", &["up".into()]).await, Err(unknown.into()));
        assert_eq!(
            probes.read("edge", &["up{".into()]).await,
            Err("`up{`, character 4: expected the name of a label, found the end".into())
        );
        assert!(!probes.may_run_commands());
    }

    #[test]
    fn a_source_that_can_not_be_asked_is_refused_when_it_is_configured() {
        let empty = probes(&[("edge", Source::Scrape { urls: vec![], token: None })]);
        assert_eq!(empty.unwrap_err().to_string(), "the source `edge` has no address");
        let bad = probes(&[("prom", Source::Prometheus { url: "prom:9090".into(), token: None })]);
        assert_eq!(
            bad.unwrap_err().to_string(),
            "the address of the source `prom` is `prom:9090`; write it as `http://host:port`"
        );
    }
}
