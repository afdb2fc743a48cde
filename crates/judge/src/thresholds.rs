//! Thresholds: at which bucket edges is "slower" asked, and how much slower may the canary be there?
//!
//! Learned from the baseline's own histogram up to the look before, so that every bet is fixed before its look (predictable), which is all that
//! the bound needs: a threshold may move from look to look. Must never see the look that it will judge. Next room:
//! [`dispersion`](crate::dispersion).

use serde::{Deserialize, Serialize};

use crate::exact;

/// The quantiles of the baseline that are watched: body and tail.
pub(crate) const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
/// How many of them are the body. A pass needs safety in body and tail.
pub(crate) const IN_BODY: usize = 2;
/// A slowdown of this counts as gross: the only kind that counts in the warm-up.
const GROSS_SLOWDOWN: f64 = 3.0;
/// An edge is used once this many baseline requests were slower: with fewer, the margins there would be off by more than a quarter.
pub(crate) const LEAST_BEYOND: u64 = 20;

/// One watched edge and the odds ratios there that stand for a slowdown of the whole distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Threshold {
    pub(crate) edge: usize,
    #[serde(with = "exact")]
    pub(crate) harm: f64,
    #[serde(with = "exact")]
    pub(crate) gross: f64,
    #[serde(with = "exact")]
    pub(crate) safe: f64,
}

/// How much slower the canary may be, and how well the baseline has to be known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asked {
    pub(crate) harm: f64,
    pub(crate) safe: f64,
    pub(crate) least_beyond: u64,
}

/// For each quantile the edge nearest to it among those that the baseline knows well; `None` while it knows none.
pub(crate) fn thresholds(learned: &[u64], edges_ms: &[f64], asked: Asked) -> Option<[Threshold; 5]> {
    let Asked { harm, safe, least_beyond } = asked;
    let curve = Curve { learned, edges_ms, total: learned.iter().map(|&n| n as f64).sum() };
    let at = |quantile: f64| {
        let edge = curve.nearest(quantile, least_beyond)?;
        let harm_odds = curve.odds_of_slowdown(edge, harm);
        Some(Threshold {
            edge,
            harm: harm_odds,
            gross: curve.odds_of_slowdown(edge, GROSS_SLOWDOWN).max(harm_odds),
            safe: curve.odds_of_slowdown(edge, safe),
        })
    };
    let [a, b, c, d, e] = QUANTILES.map(at);
    Some([a?, b?, c?, d?, e?])
}

struct Curve<'a> {
    learned: &'a [u64],
    edges_ms: &'a [f64],
    total: f64,
}

impl Curve<'_> {
    /// Share of requests that are not slower than the edge; `below(0)` stands for an edge before the first.
    fn below(&self, edges: usize) -> f64 {
        self.learned.iter().take(edges).map(|&n| n as f64).sum::<f64>() / self.total.max(1.0)
    }

    fn nearest(&self, quantile: f64, least_beyond: u64) -> Option<usize> {
        let mut beyond: u64 = self.learned.iter().fold(0, |sum, &n| sum.saturating_add(n));
        let mut best: Option<(f64, usize)> = None;
        for (edge, &upto) in self.learned.iter().enumerate().take(self.edges_ms.len()) {
            beyond = beyond.saturating_sub(upto);
            if beyond < least_beyond {
                break;
            }
            let slower = (1.0 - self.below(edge + 1)).max(1e-6);
            let distance = (slower.ln() - (1.0 - quantile).ln()).abs();
            if best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, edge));
            }
        }
        best.map(|(_, edge)| edge)
    }

    /// The odds ratio at an edge that a slowdown of the baseline by this factor would make; linear in log time between edges.
    fn odds_of_slowdown(&self, edge: usize, factor: f64) -> f64 {
        let knot = |i: usize| if i == 0 { self.edges_ms[0].ln() - 1.0 } else { self.edges_ms[i - 1].ln() };
        let place = self.edges_ms[edge].ln() - factor.ln();
        let lower = (0..=self.edges_ms.len()).take_while(|&i| knot(i) < place).count();
        let lower = lower.saturating_sub(1).min(self.edges_ms.len() - 1);
        let part = ((place - knot(lower)) / (knot(lower + 1) - knot(lower))).clamp(0.0, 1.0);
        let slowed = self.below(lower) + part * (self.below(lower + 1) - self.below(lower));
        (odds_beyond(slowed) / odds_beyond(self.below(edge + 1))).max(1.0)
    }
}

fn odds_beyond(below: f64) -> f64 {
    let beyond = (1.0 - below).clamp(1e-6, 1.0 - 1e-6);
    beyond / (1.0 - beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { harm: 1.05, safe: 1.2, least_beyond: LEAST_BEYOND };

    #[test]
    fn thresholds_sit_at_the_baselines_quantiles_and_ask_more_of_a_larger_slowdown() {
        let edges = [1.0, 2.0, 4.0, 8.0, 16.0];
        let learned = [0, 5_000, 4_000, 900, 90, 10];
        let found = thresholds(&learned, &edges, ASKED).expect("ten thousand requests are enough");
        // only 10 requests lie beyond the last edge, so p99.9 makes do with the edge before
        assert_eq!(found.map(|t| edges[t.edge]), [2.0, 4.0, 4.0, 8.0, 8.0]);
        for t in found {
            assert!(1.0 < t.harm && t.harm < t.safe && t.safe < t.gross, "{t:?}");
        }
    }

    #[test]
    fn nothing_is_asked_before_the_baseline_is_known() {
        assert_eq!(thresholds(&[], &[1.0, 2.0], ASKED), None);
        assert_eq!(thresholds(&[100, 10, 9], &[1.0, 2.0], ASKED), None);
        assert!(thresholds(&[100, 10, 10], &[1.0, 2.0], ASKED).is_some());
    }
}
