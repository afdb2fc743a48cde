//! Metrics: what became of the requests of each version?
//!
//! Every handle is looked up once, when the table is built; a request touches only the counters of its own version. The names and the edges are a contract with whoever judges a rollout.

use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds. Dense from 1 to 15 ms, where a healthy service lives and a harm margin of 10 to 25 % must be seen.
pub(crate) const EDGES: [f64; 24] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1,
    0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    backend: String,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    backend: String,
    version: String,
    code: &'static str,
}

/// All series of the router, to be read as text.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<CodeLabels, Counter>,
    seconds: Family<VersionLabels, Histogram, fn() -> Histogram>,
    weight: Family<VersionLabels, Gauge>,
    in_flight: Family<VersionLabels, Gauge>,
    reconnects: Family<VersionLabels, Counter>,
    unrouted: Counter,
}

/// The series of one version.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    requests: [Counter; 4],
    seconds: Histogram,
    pub(crate) weight: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) reconnects: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(EDGES)),
            weight: Family::default(),
            in_flight: Family::default(),
            reconnects: Family::default(),
            unrouted: Counter::default(),
        };
        let registry = metrics.registry.sub_registry_with_prefix("clearway_router");
        let help = "Requests given to a version, by the class of the status that the client saw";
        registry.register("requests", help, metrics.requests.clone());
        let help = "From the arrival of a request to the last byte of its answer";
        registry.register("request_seconds", help, metrics.seconds.clone());
        registry.register("weight", "The share of a version in basis points", metrics.weight.clone());
        registry.register("in_flight", "Requests that a version has not finished", metrics.in_flight.clone());
        let help = "Requests sent again because their idle connection had been closed";
        registry.register("reconnects", help, metrics.reconnects.clone());
        registry.register("unrouted", "Requests that were given to no version", metrics.unrouted.clone());
        metrics
    }

    /// Creates the series of a version at zero, so that a rate is known from its first request on.
    pub(crate) fn series(&self, backend: &str, version: &str) -> Series {
        let labels = VersionLabels { backend: backend.to_owned(), version: version.to_owned() };
        let by_class = |code| CodeLabels { backend: backend.to_owned(), version: version.to_owned(), code };
        Series {
            requests: CLASSES.map(|code| self.requests.get_or_create_owned(&by_class(code))),
            seconds: self.seconds.get_or_create_owned(&labels),
            weight: self.weight.get_or_create_owned(&labels),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            reconnects: self.reconnects.get_or_create_owned(&labels),
        }
    }

    pub(crate) fn count_unrouted(&self) {
        self.unrouted.inc();
    }

    pub(crate) fn text(&self) -> String {
        let mut page = String::with_capacity(8 << 10);
        text::encode(&mut page, &self.registry).expect("writing to a string does not fail");
        page
    }
}

impl Series {
    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        self.requests[class].inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
