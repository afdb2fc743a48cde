//! Effect: how many times as often as expected were the canary's requests bad, and how sure is that?
//!
//! For people and for plots only. The decision must never read it: the interval is approximate (asymptotic), the decision's evidence is exact.
//! Next room: [`split`](crate::split).

use serde::{Deserialize, Serialize};

use crate::exact;
use crate::table::{Cohort, Table};

const INTERVAL_ALPHA: f64 = 0.05;
/// The information, on the log scale, at which the interval is tightest: an effect of a factor e or so.
const TUNED_AT: f64 = 1.0;

/// What one bet saw in the step at hand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) baseline_bad: u64,
    pub(crate) canary_bad: u64,
    /// Bad canary requests if it were equal, or exactly at its objective.
    #[serde(with = "exact")]
    pub(crate) expected: f64,
    /// The canary's half of the Mantel-Haenszel ratio, which stays true while the traffic share moves.
    #[serde(with = "exact")]
    canary_half: f64,
}

/// A ratio with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effect {
    pub(crate) ratio: f64,
    pub(crate) interval: [f64; 2],
}

/// The step's requests on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Totals {
    pub(crate) baseline: u64,
    pub(crate) canary: u64,
}

impl Tally {
    pub(crate) fn look(&mut self, table: &Table) {
        let Cohort { bad, .. } = table.canary();
        self.canary_bad = self.canary_bad.saturating_add(bad as u64);
        self.expected += table.expected().bad;
        if let Table::Pair { baseline, canary } = table {
            self.baseline_bad = self.baseline_bad.saturating_add(baseline.bad as u64);
            self.canary_half += canary.bad * (baseline.total / (baseline.total + canary.total));
        }
    }

    /// Half a bad request is added on each side, so that zero has an answer. Noise widens the interval.
    pub(crate) fn effect(&self, totals: Totals, phi: f64) -> Option<Effect> {
        if totals.canary == 0 {
            return None;
        }
        let canary = self.canary_bad as f64 + 0.5;
        let (ratio, variance) = if totals.baseline == 0 {
            (canary / (self.expected + 0.5), 1.0 / canary)
        } else {
            let (of_canary, of_baseline) = (totals.canary as f64, totals.baseline as f64);
            let share = of_canary / (of_canary + of_baseline);
            // per look, canary half - baseline half = seen - expected
            let baseline_half = (self.canary_half - self.canary_bad as f64 + self.expected).max(0.0);
            let baseline = self.baseline_bad as f64 + 0.5;
            let ratio = (self.canary_half + 0.5 * (1.0 - share)) / (baseline_half + 0.5 * share);
            (ratio, (1.0 / canary + 1.0 / baseline - 1.0 / (of_canary + 0.5) - 1.0 / (of_baseline + 0.5)).max(1e-12))
        };
        let spread = radius(1.0 / (variance * phi)).exp();
        Some(Effect { ratio, interval: [ratio / spread, ratio * spread] })
    }
}

/// Half the width of an asymptotic confidence sequence: Robbins' normal mixture, on the log scale.
pub(crate) fn radius(information: f64) -> f64 {
    let total = information + TUNED_AT;
    (total * (total / (TUNED_AT * INTERVAL_ALPHA * INTERVAL_ALPHA)).ln()).sqrt() / information
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: usize, canary_bad: f64) -> Effect {
        let mut tally = Tally::default();
        for _ in 0..looks {
            tally.look(&Table::Pair {
                baseline: Cohort { total: 900.0, bad: 9.0 },
                canary: Cohort { total: 100.0, bad: canary_bad },
            });
        }
        let totals = Totals { baseline: 900 * looks as u64, canary: 100 * looks as u64 };
        tally.effect(totals, 1.0).expect("there was traffic")
    }

    #[test]
    fn the_effect_is_the_ratio_of_the_rates() {
        assert!((after(200, 1.0).ratio - 1.0).abs() < 0.02, "{:?}", after(200, 1.0));
        assert!((after(200, 2.0).ratio - 2.0).abs() < 0.02, "{:?}", after(200, 2.0));
    }

    #[test]
    fn the_interval_holds_the_effect_and_narrows() {
        let (few, many) = (after(20, 2.0), after(2000, 2.0));
        for effect in [few, many] {
            assert!(effect.interval[0] < 2.0 && 2.0 < effect.interval[1], "{effect:?}");
        }
        assert!(many.interval[1] / many.interval[0] < few.interval[1] / few.interval[0]);
        assert!(many.interval[0] > 1.0);
    }
}
