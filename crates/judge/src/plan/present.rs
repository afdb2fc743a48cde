//! Present: what is known of each SLI before the rollout, from which synthetic looks are drawn.
//!
//! Two readings of counters give the traffic and the share of bad requests; A/A looks of a longer past give the noise too, by the judge's own
//! estimates. What is not known is taken to be calm, never to be absent. Must never see the rollout itself. Next room:
//! [`harm`](crate::plan::Harm).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counted::past_noise;
use crate::gauge::Sample;
use crate::look::{Column, Counts, Look, Past, Reading};
use crate::settings::{Comparison, Settings, SliKind};

/// Slow noise is learned from batches of thirty looks, which average a walk with this memory down to this part of its spread.
pub(crate) const DRIFT_MEMORY: f64 = 0.95;
const KEPT_BY_BATCHES: f64 = 0.8;
/// How a gauge is taken to vary where no past tells.
const GAUGE_MEMORY: f64 = 0.9;
const GAUGE_SPREAD: f64 = 0.03;
const GAUGE_JITTER: f64 = 0.02;
/// A walk is told from jitter in a past of at least so many looks.
const LEAST_SAMPLES: usize = 60;

/// What is known of one SLI: of both cohorts together, per look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Present {
    Ratio {
        /// Requests of both cohorts in a look.
        per_look: f64,
        /// 0 to 1.
        bad_share: f64,
        /// How many times as much as chance the counts of bad requests vary; 1 for chance alone.
        noise: f64,
        /// Standard deviation of one cohort's own slow noise, on the log odds.
        drift: f64,
    },
    Latency {
        per_look: f64,
        /// Shares of requests per bucket; they sum to 1.
        shares: Vec<f64>,
        noise: f64,
        drift: f64,
    },
    /// The logarithm of the factor between the cohorts: a walk, and jitter from look to look.
    Gauge {
        level: f64,
        /// Autocorrelation of the walk from look to look.
        memory: f64,
        /// Standard deviation of the walk.
        spread: f64,
        jitter: f64,
    },
    Check,
}

impl Present {
    /// From the increments (or the sample) of the version that serves everybody now, over so many looks. `None`: of another kind, or nothing was seen.
    pub fn of_counts(kind: &SliKind, counts: &Counts, looks: f64) -> Option<Self> {
        let quiet = |per_look: f64| (per_look / looks.max(1e-9), 1.0, 0.0);
        match (kind, counts) {
            (SliKind::Ratio { .. }, Counts::Ratio { total, bad }) if *total > 0 && bad <= total => {
                let (per_look, noise, drift) = quiet(*total as f64);
                Some(Present::Ratio { per_look, bad_share: bad_share(*bad as f64, *total as f64), noise, drift })
            }
            (SliKind::Latency { edges_ms, .. }, Counts::Latency { buckets }) if buckets.len() == edges_ms.len() + 1 => {
                let shares = shares(buckets)?;
                let (per_look, noise, drift) = quiet(buckets.iter().map(|&n| n as f64).sum());
                Some(Present::Latency { per_look, shares, noise, drift })
            }
            (SliKind::Gauge { .. }, Counts::Gauge { value }) if *value > 0.0 && value.is_finite() => {
                Some(Present::gauge(*value))
            }
            (SliKind::Check, _) => Some(Present::Check),
            _ => None,
        }
    }

    /// A gauge of which only the level is known.
    pub fn gauge(level: f64) -> Self {
        Present::Gauge { level, memory: GAUGE_MEMORY, spread: GAUGE_SPREAD, jitter: GAUGE_JITTER }
    }

    /// Requests of both cohorts in a look, where they are counted.
    pub fn per_look(&self) -> Option<f64> {
        match self {
            Present::Ratio { per_look, .. } | Present::Latency { per_look, .. } => Some(*per_look),
            Present::Gauge { .. } | Present::Check => None,
        }
    }

    /// The same with so many times the traffic.
    #[must_use]
    pub fn with_traffic(&self, times: f64) -> Self {
        let mut other = self.clone();
        if let Present::Ratio { per_look, .. } | Present::Latency { per_look, .. } = &mut other {
            *per_look *= times;
        }
        other
    }

    /// Whether it can be a present of such an SLI.
    pub(crate) fn fits(&self, kind: &SliKind) -> bool {
        match (self, kind) {
            (Present::Latency { shares, .. }, SliKind::Latency { edges_ms, .. }) => shares.len() == edges_ms.len() + 1,
            (Present::Ratio { .. }, SliKind::Ratio { .. })
            | (Present::Gauge { .. }, SliKind::Gauge { .. })
            | (Present::Check, SliKind::Check) => true,
            _ => false,
        }
    }
}

/// What A/A looks teach: of each SLI, in the order of the settings, and how often a side is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// `None` where the looks show nothing of an SLI.
    pub present: Vec<Option<Present>>,
    pub missing: Missing,
}

/// The chance that a look has no reading of a side.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    pub baseline: f64,
    pub canary: f64,
}

/// What looks before the rollout teach: the baseline, and a pseudo-canary cut out of it, as for [`Judge::with_history`](crate::Judge::with_history).
pub fn present_of(settings: &Settings, history: &[Look]) -> Known {
    let of = |i: usize, kind: &SliKind| {
        let readings: Vec<&Reading> = history.iter().filter_map(|look| look.readings.get(i)).collect();
        match kind {
            SliKind::Check => Some(Present::Check),
            SliKind::Gauge { worse, .. } => {
                let sample = |reading: &&Reading| Sample::read(None, Comparison::Concurrent, reading).ok();
                let samples: Vec<Option<Sample>> = readings.iter().map(sample).collect();
                let level = mean(samples.iter().flatten().map(|it| it.baseline))?;
                let worse_by: Vec<Option<f64>> = samples.iter().map(|it| it.map(|it| it.worse_by(*worse))).collect();
                Some(gauge_of(level, &worse_by))
            }
            SliKind::Ratio { .. } | SliKind::Latency { .. } => {
                let past: Vec<Past<'_>> = readings.iter().map(|reading| Past::read(kind, reading)).collect();
                counted_of(kind, &past)
            }
        }
    };
    let present = settings.slis.iter().enumerate().map(|(i, sli)| of(i, &sli.kind)).collect();
    Known { present, missing: missing(settings, history) }
}

fn missing(settings: &Settings, history: &[Look]) -> Missing {
    let watched: Vec<usize> =
        (0..settings.slis.len()).filter(|&i| !matches!(settings.slis[i].kind, SliKind::Check)).collect();
    let part = |side: fn(&Reading) -> bool| {
        let gone = |look: &&Look| watched.iter().any(|&i| look.readings.get(i).is_none_or(side));
        // of an SLI that the history does not carry at all nothing is known
        history.iter().filter(|look| look.readings.len() == settings.slis.len()).filter(gone).count() as f64
            / history.len().max(1) as f64
    };
    let of = |part: f64| if part < 0.5 { part } else { 0.0 };
    Missing {
        baseline: of(part(|it| !matches!(it, Reading::Seen { baseline: Some(_), .. }))),
        canary: of(part(|it| !matches!(it, Reading::Seen { canary: Some(_), .. }))),
    }
}

fn counted_of(kind: &SliKind, past: &[Past<'_>]) -> Option<Present> {
    let both: Vec<(Column<'_>, Column<'_>)> = past.iter().filter_map(|it| it.baseline.zip(it.canary)).collect();
    let looks = both.len() as f64;
    let columns = || both.iter().flat_map(|(a, b)| [a, b]);
    let total = columns().map(|it| it.total() as f64).sum::<f64>();
    if total <= 0.0 {
        return None;
    }
    let (noise, drift) = past_noise(kind, past).map_or((1.0, 0.0), |it| (it.phi.max(1.0), it.tau / KEPT_BY_BATCHES));
    match kind {
        SliKind::Ratio { .. } => {
            let bad = columns().map(|it| it.bad(0) as f64).sum();
            Some(Present::Ratio { per_look: total / looks, bad_share: bad_share(bad, total), noise, drift })
        }
        SliKind::Latency { edges_ms, .. } => {
            let mut sum = vec![0u64; edges_ms.len() + 1];
            for column in columns() {
                if let Column::Latency { buckets, .. } = column {
                    sum.iter_mut().zip(*buckets).for_each(|(sum, n)| *sum = sum.saturating_add(*n));
                }
            }
            Some(Present::Latency { per_look: total / looks, shares: shares(&sum)?, noise, drift })
        }
        SliKind::Gauge { .. } | SliKind::Check => None,
    }
}

/// A walk and jitter from the autocovariances: those beyond the present look hold the walk alone.
fn gauge_of(level: f64, worse_by: &[Option<f64>]) -> Present {
    let samples = worse_by.iter().flatten().count();
    let Some(centre) = mean(worse_by.iter().copied().flatten()).filter(|_| samples >= LEAST_SAMPLES) else {
        return Present::gauge(level);
    };
    let covariance = |lag: usize| {
        let pairs = worse_by.iter().zip(worse_by.iter().skip(lag)).filter_map(|(a, b)| (*a).zip(*b));
        mean(pairs.map(|(a, b)| (a - centre) * (b - centre))).unwrap_or(0.0)
    };
    let (now, one, three) = (covariance(0), covariance(1), covariance(3));
    let memory = if one > 0.0 && three > 0.0 { (three / one).sqrt().clamp(0.0, 0.98) } else { 0.0 };
    let walk = if memory > 0.0 { (one / memory).clamp(0.0, now) } else { 0.0 };
    Present::Gauge { level, memory, spread: walk.sqrt(), jitter: (now - walk).max(0.0).sqrt() }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Never 0 and never 1: that nothing bad was seen does not say that nothing bad can happen.
fn bad_share(bad: f64, total: f64) -> f64 {
    (bad + 0.5) / (total + 1.0)
}

fn shares(buckets: &[u64]) -> Option<Vec<f64>> {
    let total: f64 = buckets.iter().map(|&n| n as f64).sum();
    (total > 0.0).then(|| buckets.iter().map(|&n| n as f64 / total).collect())
}
