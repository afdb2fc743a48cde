//! Series: what a recording shows of one SLI, thinned for the eye.
//!
//! Neighbouring looks are taken together so that chance doesn't hide the course; a time without data stays empty. For people only: no figure of the
//! verdict comes from here. Next room: [`chart`](super::chart).

use judge::{Counts, Look, Reading, SliKind, SliSettings};

/// More points than these are not told apart.
const MOST_POINTS: usize = 72;

/// Both versions over time.
pub(super) struct Series {
    pub title: String,
    /// One value for each group of looks.
    pub canary: Vec<Option<f64>>,
    pub baseline: Vec<Option<f64>>,
    /// Looks in one group.
    pub group: usize,
    pub is_share: bool,
    /// What the objective allows, if it is held against it.
    pub allowed: Option<f64>,
}

impl Series {
    /// The series of the SLI at this place of the settings; of latency the share of the requests slower than an edge.
    pub(super) fn of(sli: &SliSettings, at: usize, slower_than_ms: Option<f64>, looks: &[Look]) -> Self {
        let group = looks.len().div_ceil(MOST_POINTS).max(1);
        let edge = edge(&sli.kind, slower_than_ms);
        let side = |which: Which| -> Vec<Option<f64>> {
            let value = |group: &[Look]| together(group.iter().filter_map(|look| counts(look, at, which)), edge);
            looks.chunks(group).map(value).collect()
        };
        let budget = sli.objective.map(|good| 1.0 - good);
        let (title, is_share, allowed) = match &sli.kind {
            SliKind::Ratio { .. } => ("bad requests".to_owned(), true, budget),
            SliKind::Latency { edges_ms, .. } => {
                let ms = edges_ms.get(edge).copied().unwrap_or_default();
                (format!("requests slower than {ms} ms"), true, budget)
            }
            SliKind::Gauge { limit, .. } => ("value".to_owned(), false, *limit),
            SliKind::Check => ("passed (1) or failed (0)".to_owned(), false, None),
        };
        Self {
            title,
            canary: side(Which::Canary),
            baseline: side(Which::Baseline),
            group,
            is_share,
            allowed: allowed.filter(|_| sli.against_objective),
        }
    }

    /// The largest value, or what the objective allows if that is more.
    pub(super) fn most(&self) -> f64 {
        let values = self.canary.iter().chain(&self.baseline).flatten().copied();
        values.chain(self.allowed).filter(|v| v.is_finite()).fold(0.0, f64::max)
    }

    pub(super) fn least(&self) -> f64 {
        let values = self.canary.iter().chain(&self.baseline).flatten().copied();
        values.chain(self.allowed).filter(|v| v.is_finite()).fold(f64::INFINITY, f64::min)
    }
}

#[derive(Clone, Copy)]
enum Which {
    Baseline,
    Canary,
}

fn counts(look: &Look, at: usize, which: Which) -> Option<&Counts> {
    match (look.readings.get(at)?, which) {
        (Reading::Seen { baseline, .. }, Which::Baseline) => baseline.as_ref(),
        (Reading::Seen { canary, .. }, Which::Canary) => canary.as_ref(),
        (Reading::Unreachable { .. }, _) => None,
    }
}

fn edge(kind: &SliKind, slower_than_ms: Option<f64>) -> usize {
    let SliKind::Latency { edges_ms, .. } = kind else { return 0 };
    let named = slower_than_ms.and_then(|ms| edges_ms.iter().position(|edge| *edge == ms));
    named.unwrap_or(edges_ms.len() / 2)
}

/// Several looks as one value: counts are summed, samples averaged.
fn together<'a>(all: impl Iterator<Item = &'a Counts>, edge: usize) -> Option<f64> {
    let (mut part, mut whole) = (0.0, 0.0);
    for counts in all {
        let (of, per) = match counts {
            Counts::Ratio { total, bad } => (*bad as f64, *total as f64),
            Counts::Latency { buckets } => {
                (buckets.iter().skip(edge + 1).sum::<u64>() as f64, buckets.iter().sum::<u64>() as f64)
            }
            Counts::Gauge { value } => (*value, 1.0),
            Counts::Check { passed } => (f64::from(u8::from(*passed)), 1.0),
        };
        (part, whole) = (part + of, whole + per);
    }
    (whole > 0.0).then(|| part / whole)
}

/// How many times as many requests would be slower than the edge if all of the baseline's were slower by this factor: the harm margin of latency on the
/// scale of the effect. Within a bucket requests lie evenly on the logarithm of time, as the judge takes them to.
pub(super) fn slowed(
    sli: &SliSettings,
    at: usize,
    slower_than_ms: Option<f64>,
    slowdown: f64,
    looks: &[Look],
) -> Option<f64> {
    let SliKind::Latency { edges_ms, .. } = &sli.kind else { return None };
    let edge = edge(&sli.kind, slower_than_ms);
    let (mut inside, mut beyond) = (0.0, 0.0);
    for counts in looks.iter().filter_map(|look| counts(look, at, Which::Baseline)) {
        let Counts::Latency { buckets } = counts else { continue };
        inside += buckets.get(edge).copied().unwrap_or_default() as f64;
        beyond += buckets.iter().skip(edge + 1).sum::<u64>() as f64;
    }
    let upper = edges_ms.get(edge)?;
    let lower = edge.checked_sub(1).and_then(|below| edges_ms.get(below)).copied().unwrap_or(upper / 2.0);
    let part = (slowdown.ln() / (upper / lower).ln()).min(1.0);
    (beyond > 0.0).then(|| (beyond + part * inside) / beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(buckets: &[u64]) -> Option<Counts> {
        Some(Counts::Latency { buckets: buckets.to_vec() })
    }

    #[test]
    fn looks_are_taken_together_and_a_silent_time_stays_empty() {
        let sli = SliSettings::new("errors", SliKind::ratio());
        let ratio = |bad| Some(Counts::Ratio { total: 100, bad });
        let look = |i: u64| Look {
            readings: vec![Reading::Seen { baseline: ratio(i % 2), canary: if i < 100 { ratio(4) } else { None } }],
        };
        let looks: Vec<Look> = (0..144).map(look).collect();
        let series = Series::of(&sli, 0, None, &looks);
        assert_eq!((series.group, series.canary.len()), (2, 72));
        assert_eq!((series.canary[0], series.baseline[0]), (Some(0.04), Some(0.005)));
        assert_eq!((series.canary[49], series.canary[50]), (Some(0.04), None));
        assert_eq!(series.most(), 0.04);
    }

    #[test]
    fn a_slowdown_moves_the_part_of_the_bucket_that_it_reaches() {
        let sli = SliSettings::new("latency", SliKind::latency(vec![100.0, 200.0], None));
        let looks = [Look { readings: vec![Reading::Seen { baseline: latency(&[800, 150, 50]), canary: None }] }];
        let factor = slowed(&sli, 0, Some(200.0), 2.0_f64.sqrt(), &looks).expect("there is a baseline");
        assert!((factor - (50.0 + 75.0) / 50.0).abs() < 1e-12, "{factor}");
        assert_eq!(slowed(&sli, 0, Some(200.0), 1.05, &[]), None);
    }
}
