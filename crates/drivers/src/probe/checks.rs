//! Synthetic checks: one try of one check, over the network or as a command, and what became of it in words of our own.
//!
//! The address stands in a change file, so its author chose it: nothing is asked unless the operator allowed the host, and then the very address that was
//! checked is connected to. What a service answers never reaches a reason but for a scrubbed scrap; a secret never does. What could not be asked is not
//! run, which is neither good nor bad. Start with [`allow`], then [`dial`].

mod allow;
mod dial;
mod dns;
mod http;
mod scrap;
mod tcp;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use change::Span;
use change::verification::synthetic::{CheckKind, SyntheticCheck};
use engine::ports::{Act, Probed};

use crate::process::{self, CommandSettings, NOT_ALLOWED, Order};
pub use allow::{Allowed, Rule};
use dial::Dialer;
pub use dial::{Resolve, SystemResolver};
use tls::Trust;

/// What synthetic checks may do, as an operator configures it. By default nothing.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// The hosts and addresses that may be asked.
    pub allow: Allowed,
    /// The secrets that headers may hold, by the name of their variable.
    pub secrets: Secrets,
    /// The folder of the certificate authorities that checks may name.
    pub ca_dir: Option<PathBuf>,
    /// How names become addresses.
    pub resolver: Arc<dyn Resolve>,
    /// The file that names the system's resolver, for records other than addresses.
    pub resolv_conf: PathBuf,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            allow: Allowed::default(),
            secrets: Secrets::default(),
            ca_dir: None,
            resolver: Arc::new(SystemResolver),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// Secrets by name; their `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

/// Shorter values are no secrets, and hiding each of their occurrences would spoil every sentence.
const SHORTEST_SECRET: usize = 4;

impl Secrets {
    pub fn new(by_name: BTreeMap<String, String>) -> Self {
        Self(by_name)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A text without any of the secrets.
    fn hide(&self, text: &str) -> String {
        let values = self.0.values().filter(|value| value.len() >= SHORTEST_SECRET);
        values.fold(text.to_owned(), |text, value| text.replace(value.as_str(), "…"))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a try is no pass.
#[derive(Debug, PartialEq, Eq)]
enum Miss {
    /// What was asked did not do well.
    Failed(String),
    /// It could not be asked.
    NotRun(String),
}

fn failed<T>(why: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::Failed(why.into()))
}

fn not_run<T>(why: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::NotRun(why.into()))
}

/// The longest reason, in characters.
const LONGEST_WHY: usize = 300;

/// All that runs checks.
#[derive(Debug)]
pub(crate) struct Checks {
    settings: CheckSettings,
    trust: Trust,
}

impl Checks {
    pub(crate) fn new(settings: CheckSettings) -> Self {
        let trust = Trust::new(settings.ca_dir.clone());
        Self { settings, trust }
    }

    /// One try.
    pub(crate) async fn probe(
        &self,
        commands: &CommandSettings,
        act: &Act,
        check: &SyntheticCheck,
        cohort: &str,
        limit: Span,
    ) -> Probed {
        let done = match check.kind() {
            Some(CheckKind::Command(command)) => run(commands, act, &command.run, limit).await,
            Some(kind) => self.ask(kind, cohort, limit).await,
            None => not_run(format!("the check `{}` does not say what it does", check.name)),
        };
        match done {
            Ok(()) => Probed::Passed,
            Err(Miss::Failed(why)) => Probed::Failed { why: self.sayable(&why) },
            Err(Miss::NotRun(why)) => Probed::NotRun { why: self.sayable(&why) },
        }
    }

    async fn ask(&self, kind: CheckKind<'_>, cohort: &str, limit: Span) -> Result<(), Miss> {
        let dialer = Dialer::new(&self.settings);
        let ask = async {
            match kind {
                CheckKind::Http(check) => {
                    http::probe(check, cohort, &dialer, &self.trust, &self.settings.secrets).await
                }
                CheckKind::Tcp(check) => tcp::probe(check, cohort, &dialer).await,
                CheckKind::Dns(check) => dns::probe(check, cohort, &dialer, &self.settings.resolv_conf).await,
                CheckKind::Tls(check) => tls::probe(check, cohort, &dialer, &self.trust).await,
                CheckKind::Command(_) => Ok(()),
            }
        };
        match tokio::time::timeout(Duration::from_millis(limit.as_millis()), ask).await {
            Ok(done) => done,
            // Nothing of the service was asked yet: the time went by with our own resolver.
            Err(_) if dialer.is_resolving() => not_run(format!("its name could not be resolved within {limit}")),
            Err(_) => failed(format!("no answer within {limit}")),
        }
    }

    fn sayable(&self, why: &str) -> String {
        let why = self.settings.secrets.hide(why);
        match why.char_indices().nth(LONGEST_WHY) {
            Some(_) => why.chars().take(LONGEST_WHY - 1).chain(['…']).collect(),
            None => why,
        }
    }
}

/// A command. The end of its output is told without what looks like a secret.
async fn run(settings: &CommandSettings, act: &Act, line: &str, limit: Span) -> Result<(), Miss> {
    if !settings.allow {
        return not_run(NOT_ALLOWED);
    }
    process::unchanged(settings, line, &act.files).await.map_err(Miss::NotRun)?;
    let limit = Duration::from_millis(limit.as_millis());
    let order = Order { line, env: &process::act_env(act), limit, stdin: std::process::Stdio::null() };
    let not_started = |error| Miss::NotRun(format!("the command could not be started: {error}"));
    let finished = process::run(settings, order).await.map_err(not_started)?;
    if finished.is_success() { Ok(()) } else { failed(finished.brief()) }
}

#[cfg(test)]
mod tests;
