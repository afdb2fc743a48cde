//! Ticks: what both cohorts showed in one scrape, in plain figures that every judge of the bench can read.
//!
//! Nothing is decided or drawn here. A side that is `None` was not scraped, which is not the same as a side that served nothing.
//! Next room: [`traffic`](crate::traffic), which makes them.

/// Gauges per side: processor time and memory.
pub(crate) const GAUGES: usize = 2;

/// What one cohort showed since the scrape before.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Side {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Requests per latency bucket, not cumulative, the last one above the last edge. Empty where the scrape carried no histogram.
    pub(crate) buckets: Vec<u64>,
    pub(crate) gauges: [f64; GAUGES],
}

/// One scrape of both cohorts.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tick {
    pub(crate) baseline: Option<Side>,
    pub(crate) canary: Option<Side>,
    /// Canary requests that were worse than the old version would have served them: the expected number, known to the generator only.
    pub(crate) worse: f64,
}

impl Tick {
    /// Canary requests that a judge can see in this scrape.
    pub(crate) fn canary_requests(&self) -> u64 {
        self.canary.as_ref().map_or(0, |side| side.requests)
    }
}
