//! Harm: what a harmful canary does to what an SLI shows.
//!
//! Turns the present of an SLI into what a harmed canary would show in its place. Must never know how the judge will see it. Next room:
//! [`traffic`](crate::plan::traffic).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::present::Present;
use crate::sentence::{figure, percent};
use crate::settings::{Comparison, SliKind, SliSettings};

/// Odds of bad requests, against an equal canary or against what the objective allows.
const DOUBLED: f64 = 2.0;
/// Shares are kept this far from 0 and 1, so that they have odds.
const LEAST_SHARE: f64 = 1e-9;

/// How a canary is harmful in one SLI.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Harm {
    /// What the SLI's settings call harm that matters. Beside a baseline: twice the odds of bad requests, but clearly more than what is harmless
    /// whatever the baseline does; slower by the margin that must be excluded, a gauge worse by it. Against an objective: twice the bad requests that it allows.
    /// A check: it fails.
    Matters,
    /// So many times the odds of bad requests.
    Odds { times: f64 },
    /// Every request takes so many times as long.
    Slowdown { times: f64 },
    /// This share of the requests, the slowest ones, takes so many times as long.
    SlowTail { share: f64, times: f64 },
    /// This share of the requests, any of them, takes so many times as long.
    SlowSome { share: f64, times: f64 },
    /// A gauge so many times as high; as low, where down is worse.
    Factor { times: f64 },
    /// A gauge that gets worse by so many times every hour.
    Growth { times_per_hour: f64 },
    /// A check that fails.
    Fails,
}

/// What a harmed canary shows of one SLI.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Harmed {
    pub(crate) present: Present,
    /// For a gauge: `ln` of the factor by which it is worse from the onset on, and how much it grows with each look.
    pub(crate) worse_by: f64,
    pub(crate) growth: f64,
    /// For a check.
    pub(crate) fails: bool,
    /// The part of the canary's requests that are bad or slowed and would not have been.
    pub(crate) extra_share: f64,
    pub(crate) words: String,
}

impl Harm {
    pub(crate) fn on(
        self,
        sli: &SliSettings,
        present: &Present,
        comparison: Comparison,
        look_interval_ms: u64,
    ) -> Harmed {
        let base = Harmed {
            present: present.clone(),
            worse_by: 0.0,
            growth: 0.0,
            fails: false,
            extra_share: 0.0,
            words: "no harm of this kind".to_owned(),
        };
        let comparison = sli.comparison(comparison);
        match (self, present, &sli.kind) {
            (Harm::Matters | Harm::Fails, Present::Check, _) => {
                Harmed { fails: true, words: "it fails".to_owned(), ..base }
            }
            (Harm::Matters, Present::Ratio { bad_share, .. }, SliKind::Ratio { floor, safety_margin, .. }) => {
                let (now, allowed) = (odds(*bad_share), odds(sli.budget().unwrap_or(*floor)));
                let harmed = if comparison.has_baseline() {
                    // what is allowed is harmless whatever the baseline does: harm has to stand out of it
                    (DOUBLED * now).max(safety_margin * allowed)
                } else {
                    DOUBLED * now.max(allowed)
                };
                with_bad_share(base, *bad_share, share_of(harmed))
            }
            (Harm::Odds { times }, Present::Ratio { bad_share, .. }, _) => {
                with_bad_share(base, *bad_share, share_of(times * odds(*bad_share)))
            }
            (Harm::Matters, Present::Latency { .. }, SliKind::Latency { slowdown_safe, .. })
                if comparison.has_baseline() =>
            {
                Harm::Slowdown { times: *slowdown_safe }.on(sli, present, comparison, look_interval_ms)
            }
            (Harm::Matters, Present::Latency { shares, .. }, SliKind::Latency { edges_ms, objective_edge_ms, .. }) => {
                against_objective(base, shares, edges_ms, *objective_edge_ms, sli.budget())
            }
            (_, Present::Latency { shares, .. }, SliKind::Latency { edges_ms, .. }) => {
                self.slow(base, &Curve { edges_ms, above: above(shares) })
            }
            (_, Present::Gauge { level, .. }, SliKind::Gauge { safe, limit, .. }) => {
                // against a limit the factor counts from there
                let from = if comparison.has_baseline() { 0.0 } else { limit.map_or(0.0, |it| (it / level).ln()) };
                match self {
                    Harm::Factor { times } => worse(base, times.ln(), 0.0, &format!("{} worse", parts(times))),
                    Harm::Matters => {
                        worse(base, from.max(0.0) + safe.ln_1p(), 0.0, &format!("{} worse", parts(1.0 + safe)))
                    }
                    Harm::Growth { times_per_hour } => {
                        let per_look = times_per_hour.ln() * look_interval_ms as f64 / 3.6e6;
                        worse(base, 0.0, per_look, &format!("{} worse every hour", parts(times_per_hour)))
                    }
                    _ => base,
                }
            }
            _ => base,
        }
    }

    fn slow(self, base: Harmed, curve: &Curve<'_>) -> Harmed {
        let (above, slowed, words): (Vec<f64>, f64, String) = match self {
            Harm::Slowdown { times } => (curve.slowed(times), 1.0, format!("{} slower", parts(times))),
            Harm::SlowTail { share, times } => (
                curve.slow_tail(share, times),
                share,
                format!("the slowest {} % {} slower", percent(share), parts(times)),
            ),
            Harm::SlowSome { share, times } => {
                let mixed = curve.above.iter().zip(curve.slowed(times)).map(|(a, b)| a * (1.0 - share) + b * share);
                (mixed.collect(), share, format!("{} % {} times as slow", percent(share), figure(times)))
            }
            _ => return base,
        };
        Harmed { extra_share: slowed, words, ..with_shares(base, &above) }
    }
}

fn worse(base: Harmed, worse_by: f64, growth: f64, words: &str) -> Harmed {
    Harmed { worse_by, growth, words: words.to_owned(), ..base }
}

fn parts(times: f64) -> String {
    format!("{} %", percent(times - 1.0))
}

fn with_bad_share(base: Harmed, before: f64, after: f64) -> Harmed {
    let mut harmed = base;
    if let Present::Ratio { bad_share, .. } = &mut harmed.present {
        *bad_share = after;
    }
    harmed.extra_share = (after - before).max(0.0);
    let times = figure(odds(after) / odds(before));
    harmed.words = format!("x{} ({} % bad)", times.strip_suffix(".0").unwrap_or(&times), shown(after));
    harmed
}

fn shown(share: f64) -> String {
    if share >= 0.0095 { percent(share) } else { figure(share * 100.0) }
}

fn with_shares(base: Harmed, above: &[f64]) -> Harmed {
    let mut harmed = base;
    if let Present::Latency { shares, .. } = &mut harmed.present {
        *shares = shares_of(above);
    }
    harmed
}

/// So many of the requests are held up until just beyond the objective's edge that twice what it allows is slower.
fn against_objective(
    base: Harmed,
    shares: &[f64],
    edges_ms: &[f64],
    objective_edge_ms: Option<f64>,
    budget: Option<f64>,
) -> Harmed {
    let above = above(shares);
    let at = objective_edge_ms.and_then(|ms| edges_ms.iter().position(|edge| *edge == ms));
    let (Some(at), Some(budget)) = (at.filter(|at| *at < above.len()), budget) else { return base };
    let slow = above[at];
    let doubled = share_of(DOUBLED * odds(slow.max(budget)));
    let held_up = (doubled - slow) / (1.0 - slow).max(LEAST_SHARE);
    let beyond = |(i, above): (usize, &f64)| if i <= at { above + held_up * (1.0 - above) } else { *above };
    let raised: Vec<f64> = above.iter().enumerate().map(beyond).collect();
    let (extra_share, words) = ((doubled - slow).max(0.0), format!("{} % slower than the objective", shown(doubled)));
    Harmed { extra_share, words, ..with_shares(base, &raised) }
}

/// Shares of requests slower than each edge.
pub(crate) fn above(shares: &[f64]) -> Vec<f64> {
    let mut rest = 1.0;
    let edges = shares.len().saturating_sub(1);
    let slower = |share: &f64| {
        rest -= share;
        rest.clamp(0.0, 1.0)
    };
    shares[..edges].iter().map(slower).collect()
}

/// And back.
pub(crate) fn shares_of(above: &[f64]) -> Vec<f64> {
    let upper = [1.0].into_iter().chain(above.iter().copied());
    let lower = above.iter().copied().chain([0.0]);
    upper.zip(lower).map(|(upper, lower)| (upper - lower).max(0.0)).collect()
}

/// All odds multiplied by `exp(by)`; what is certain stays so.
pub(crate) fn raised(above: &[f64], by: f64) -> Vec<f64> {
    let times = by.exp();
    let raise = |share: &f64| if *share <= 0.0 || *share >= 1.0 { *share } else { share_of(times * odds(*share)) };
    above.iter().map(raise).collect()
}

pub(crate) fn odds(share: f64) -> f64 {
    let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
    share / (1.0 - share)
}

pub(crate) fn share_of(odds: f64) -> f64 {
    odds / (1.0 + odds)
}

fn logit(share: f64) -> f64 {
    odds(share).ln()
}

/// How many requests are slower than a time: known at the edges, in between by the log odds along the logarithm of time, which tails follow better
/// than a straight line.
struct Curve<'a> {
    edges_ms: &'a [f64],
    above: Vec<f64>,
}

impl Curve<'_> {
    fn at(&self, ms: f64) -> f64 {
        let upper = self.edges_ms.iter().take_while(|edge| **edge < ms).count();
        let Some(edge) = self.edges_ms.get(upper) else { return self.above.last().copied().unwrap_or(0.0) };
        let (low_ms, low) = match upper.checked_sub(1) {
            // nothing is known below the first edge: all requests are slower than a third of it
            None => (edge / std::f64::consts::E, 1.0),
            Some(below) => (self.edges_ms[below], self.above[below]),
        };
        let part = ((ms.ln() - low_ms.ln()) / (edge.ln() - low_ms.ln())).clamp(0.0, 1.0);
        let high = self.above[upper];
        if high <= 0.0 || low >= 1.0 {
            return low + part * (high - low);
        }
        share_of((logit(low) + part * (logit(high) - logit(low))).exp())
    }

    fn slowed(&self, times: f64) -> Vec<f64> {
        self.edges_ms.iter().zip(&self.above).map(|(edge, above)| self.at(edge / times).max(*above)).collect()
    }

    /// Only requests that were slower than all but this share of them.
    fn slow_tail(&self, share: f64, times: f64) -> Vec<f64> {
        self.slowed(times).iter().zip(&self.above).map(|(slowed, above)| slowed.min(share).max(*above)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(bad_share: f64) -> Present {
        Present::Ratio { per_look: 1_000.0, bad_share, noise: 1.0, drift: 0.0 }
    }

    fn bad(harmed: &Harmed) -> f64 {
        let Present::Ratio { bad_share, .. } = harmed.present else { return f64::NAN };
        bad_share
    }

    #[test]
    fn errors_that_matter_are_twice_the_odds_but_never_below_what_is_harmless() {
        let sli = SliSettings::new("errors", SliKind::ratio());
        let on = |share, comparison| Harm::Matters.on(&sli, &ratio(share), comparison, 10_000);
        assert!((bad(&on(0.01, Comparison::Concurrent)) - 0.019_802).abs() < 1e-6);
        assert!((bad(&on(0.0001, Comparison::Concurrent)) - 0.007_481).abs() < 1e-6);
        let promised = SliSettings { objective: Some(0.98), ..sli.clone() };
        let harmed = Harm::Matters.on(&promised, &ratio(0.001), Comparison::Objective, 10_000);
        assert!((bad(&harmed) - 0.039_216).abs() < 1e-6, "{harmed:?}");
    }

    #[test]
    fn twice_what_an_objective_allows_is_slower_than_its_edge_even_where_nothing_is_now() {
        let kind = SliKind::latency(vec![10.0, 20.0, 40.0], Some(20.0));
        let sli = SliSettings { objective: Some(0.95), ..SliSettings::new("latency", kind) };
        let present = Present::Latency { per_look: 100.0, shares: vec![0.8, 0.2, 0.0, 0.0], noise: 1.0, drift: 0.0 };
        let harmed = Harm::Matters.on(&sli, &present, Comparison::Objective, 10_000);
        let Present::Latency { shares, .. } = &harmed.present else { panic!("a latency") };
        let above = above(shares);
        assert!((above[1] - 0.095_238).abs() < 1e-6 && above[0] > 0.2 && above[2] < 1e-9, "{above:?}");
    }

    #[test]
    fn a_slowdown_moves_requests_over_the_edges_and_keeps_them_all() {
        let edges = vec![10.0, 20.0, 40.0, 80.0];
        let sli = SliSettings::new("latency", SliKind::latency(edges.clone(), None));
        let present =
            Present::Latency { per_look: 100.0, shares: vec![0.2, 0.5, 0.2, 0.09, 0.01], noise: 1.0, drift: 0.0 };
        let slowed = |harm: Harm| {
            let harmed = harm.on(&sli, &present, Comparison::Concurrent, 10_000).present;
            let Present::Latency { shares, .. } = harmed else { return vec![] };
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            above(&shares)
        };
        let (all, tail) = (slowed(Harm::Slowdown { times: 2.0 }), slowed(Harm::SlowTail { share: 0.1, times: 2.0 }));
        for (found, wanted) in all.iter().zip([0.94, 0.8, 0.3, 0.1]) {
            assert!((found - wanted).abs() < 0.01, "{all:?}");
        }
        for (found, wanted) in tail.iter().zip([0.8, 0.3, 0.1, 0.1]) {
            assert!((found - wanted).abs() < 0.01, "{tail:?}");
        }
    }
}
