//! Table: the backends as traffic sees them.
//!
//! A request finds its backend by route, then its version by the split. The lock around a split is held for one pick, some tens of nanoseconds. Weights get in only through [`Backend::apply`], whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;

use crate::config::{self, Config, Route};
use crate::ledger::{Ledger, Saved, Weights};
use crate::metrics::{Metrics, Series};
use crate::pool::Pool;
use crate::split::Split;

#[derive(Debug)]
pub(crate) struct Table {
    /// The most specific route first.
    backends: Vec<Backend>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: RequestLimits,
}

/// What bounds a single request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    pub(crate) answer: Duration,
    pub(crate) body_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: String,
    route: Route,
    split: Mutex<Split>,
    versions: Vec<Arc<Version>>,
}

/// One version at run time.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) pool: Arc<Pool>,
    pub(crate) series: Series,
    /// The value of `x-clearway-version`, unless the configuration turned it off.
    pub(crate) label: Option<HeaderValue>,
}

pub(crate) type Ledgers = BTreeMap<String, Ledger>;

impl Table {
    pub(crate) fn new(config: &Config, saved: Option<&BTreeMap<String, Saved>>) -> (Table, Ledgers) {
        let metrics = Metrics::new();
        let mut ledgers = Ledgers::new();
        let mut backends = Vec::with_capacity(config.backends.len());
        for backend in &config.backends {
            let saved = saved.and_then(|saved| saved.get(&backend.name));
            let ledger = Ledger::open(configured(backend), saved);
            let versions = backend.versions.iter().map(|version| Version::new(config, backend, version, &metrics));
            let versions: Vec<Arc<Version>> = versions.map(Arc::new).collect();
            let split = Mutex::new(Split::new(&in_order(&versions, &ledger.in_force().weights)));
            let runtime = Backend { name: backend.name.clone(), route: backend.route.clone(), split, versions };
            runtime.apply(&ledger.in_force().weights);
            backends.push(runtime);
            ledgers.insert(backend.name.clone(), ledger);
        }
        backends.sort_by_key(|backend| backend.route.rank());
        let limits = RequestLimits {
            answer: Duration::from_millis(config.upstream_timeout_ms),
            body_bytes: config.max_body_bytes,
        };
        (Table { backends, metrics, limits }, ledgers)
    }

    pub(crate) fn route(&self, host: &str, path: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.route.matches(host, path))
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.backends.iter().flat_map(|backend| &backend.versions).map(|version| &*version.pool)
    }
}

impl Backend {
    /// The version that the split gives the next request to.
    pub(crate) fn next(&self) -> &Arc<Version> {
        // A poisoned split is still a whole one: `next` and `set` panic before they change anything.
        let at = self.split.lock().unwrap_or_else(PoisonError::into_inner).next();
        &self.versions[at]
    }

    /// Puts `weights`, one per version, in force for the next request on. Requests in flight stay where they are.
    pub(crate) fn apply(&self, weights: &Weights) {
        let shares = in_order(&self.versions, weights);
        self.split.lock().unwrap_or_else(PoisonError::into_inner).set(&shares);
        for (version, share) in self.versions.iter().zip(shares) {
            version.series.weight.set(i64::from(share));
        }
    }

    /// Versions in the order of the configuration.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().map(|version| &**version)
    }
}

impl Version {
    fn new(config: &Config, backend: &config::Backend, version: &config::Version, metrics: &Metrics) -> Version {
        let label = || HeaderValue::from_str(&version.name).expect("names are checked to be plain");
        Version {
            name: version.name.clone(),
            pool: Arc::new(Pool::new(version.address.clone(), Duration::from_millis(config.connect_timeout_ms))),
            series: metrics.series(&backend.name, &version.name),
            label: config.version_header.then(label),
        }
    }
}

fn configured(backend: &config::Backend) -> Weights {
    backend.versions.iter().map(|version| (version.name.clone(), version.weight)).collect()
}

fn in_order(versions: &[Arc<Version>], weights: &Weights) -> Vec<u32> {
    versions.iter().map(|version| weights[&version.name]).collect()
}
