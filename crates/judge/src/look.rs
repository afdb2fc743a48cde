//! Look: what one glance at the telemetry saw, and whether it can be used.
//!
//! Missing is not zero: an absent cohort, an idle one, counts that contradict themselves and buckets of another shape are each told apart as a
//! [`Gap`]. A gap must never become evidence, for harm or for safety. Next room: [`table`](crate::table).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::{Comparison, SliKind};
use crate::table::Cohort;

/// What one look saw: one reading for each SLI, in the order of the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    pub readings: Vec<Reading>,
}

/// One SLI's reading in one look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// The source answered. A cohort that it knows nothing of is `None`. In a step against an objective the baseline is not read.
    Seen { baseline: Option<Counts>, canary: Option<Counts> },
    /// The source did not answer.
    Unreachable { why: String },
}

/// What one cohort did since the look before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Counts {
    Ratio {
        total: u64,
        bad: u64,
    },
    Latency {
        /// Requests per bucket, not cumulative; the last bucket lies above the last edge.
        buckets: Vec<u64>,
    },
    /// A sample, above zero.
    Gauge {
        value: f64,
    },
    Check {
        passed: bool,
    },
}

/// Why a reading can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    NoCanary,
    NoBaseline,
    IdleCanary,
    IdleBaseline,
    Invalid,
    Schema,
    Unreachable,
}

impl Gap {
    pub(crate) const ALL: [Gap; 7] = [
        Gap::NoCanary,
        Gap::NoBaseline,
        Gap::IdleCanary,
        Gap::IdleBaseline,
        Gap::Invalid,
        Gap::Schema,
        Gap::Unreachable,
    ];
}

/// The gaps of one reading, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Gaps(u8);

impl Gaps {
    pub(crate) fn of(gaps: impl IntoIterator<Item = Gap>) -> Self {
        Gaps(gaps.into_iter().fold(0, |bits, gap| bits | 1 << gap as u8))
    }

    pub(crate) fn contains(self, gap: Gap) -> bool {
        self.0 & (1 << gap as u8) != 0
    }
}

/// The usable counts of one cohort: at least one request, consistent, of the shape that the settings name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Column<'a> {
    Ratio { total: u64, bad: u64 },
    Latency { total: u64, buckets: &'a [u64] },
}

impl<'a> Column<'a> {
    fn read(kind: &SliKind, counts: &'a Counts) -> Result<Self, ColumnGap> {
        match (kind, counts) {
            (SliKind::Ratio { .. }, Counts::Ratio { total, bad }) if bad > total => Err(ColumnGap::Invalid),
            (SliKind::Ratio { .. }, Counts::Ratio { total: 0, .. }) => Err(ColumnGap::Idle),
            (SliKind::Ratio { .. }, Counts::Ratio { total, bad }) => Ok(Column::Ratio { total: *total, bad: *bad }),
            (SliKind::Latency { edges_ms, .. }, Counts::Latency { buckets }) if buckets.len() == edges_ms.len() + 1 => {
                match buckets.iter().try_fold(0u64, |sum, &n| sum.checked_add(n)) {
                    None => Err(ColumnGap::Invalid),
                    Some(0) => Err(ColumnGap::Idle),
                    Some(total) => Ok(Column::Latency { total, buckets }),
                }
            }
            _ => Err(ColumnGap::Schema),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        match *self {
            Column::Ratio { total, .. } | Column::Latency { total, .. } => total,
        }
    }

    /// Bad requests: for latency those slower than the edge with this index.
    pub(crate) fn bad(&self, edge: usize) -> u64 {
        match self {
            Column::Ratio { bad, .. } => *bad,
            Column::Latency { buckets, .. } => buckets.iter().skip(edge + 1).sum(),
        }
    }

    pub(crate) fn cohort(&self, edge: usize) -> Cohort {
        Cohort { total: self.total() as f64, bad: self.bad(edge) as f64 }
    }
}

enum ColumnGap {
    Missing,
    Idle,
    Invalid,
    Schema,
}

impl ColumnGap {
    fn in_canary(self) -> Gap {
        match self {
            ColumnGap::Missing => Gap::NoCanary,
            ColumnGap::Idle => Gap::IdleCanary,
            ColumnGap::Invalid => Gap::Invalid,
            ColumnGap::Schema => Gap::Schema,
        }
    }

    fn in_baseline(self) -> Gap {
        match self {
            ColumnGap::Missing => Gap::NoBaseline,
            ColumnGap::Idle => Gap::IdleBaseline,
            ColumnGap::Invalid => Gap::Invalid,
            ColumnGap::Schema => Gap::Schema,
        }
    }
}

/// What one look before the rollout saw of both halves of the same version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Past<'a> {
    pub(crate) baseline: Option<Column<'a>>,
    pub(crate) canary: Option<Column<'a>>,
}

impl<'a> Past<'a> {
    pub(crate) fn read(kind: &SliKind, reading: &'a Reading) -> Self {
        let Reading::Seen { baseline, canary } = reading else { return Past { baseline: None, canary: None } };
        let column = |counts: &'a Option<Counts>| counts.as_ref().and_then(|it| Column::read(kind, it).ok());
        Past { baseline: column(baseline), canary: column(canary) }
    }
}

/// A usable reading of a counted SLI.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sighting<'a> {
    Both { baseline: Column<'a>, canary: Column<'a> },
    CanaryOnly { canary: Column<'a> },
}

impl<'a> Sighting<'a> {
    pub(crate) fn read(kind: &SliKind, comparison: Comparison, reading: &'a Reading) -> Result<Self, Gaps> {
        let Reading::Seen { baseline, canary } = reading else {
            return Err(Gaps::of([Gap::Unreachable]));
        };
        let column = |counts: &'a Option<Counts>| {
            counts.as_ref().ok_or(ColumnGap::Missing).and_then(|counts| Column::read(kind, counts))
        };
        let canary = column(canary).map_err(ColumnGap::in_canary);
        match comparison {
            Comparison::Objective => {
                canary.map(|canary| Sighting::CanaryOnly { canary }).map_err(|gap| Gaps::of([gap]))
            }
            Comparison::Concurrent | Comparison::Before => {
                match (column(baseline).map_err(ColumnGap::in_baseline), canary) {
                    (Ok(baseline), Ok(canary)) => Ok(Sighting::Both { baseline, canary }),
                    (baseline, canary) => Err(Gaps::of(baseline.err().into_iter().chain(canary.err()))),
                }
            }
        }
    }

    pub(crate) fn canary(&self) -> Column<'a> {
        match *self {
            Sighting::Both { canary, .. } | Sighting::CanaryOnly { canary } => canary,
        }
    }
}
