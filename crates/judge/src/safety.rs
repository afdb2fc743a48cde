//! Safety: evidence that the canary is *not* harmful, without which no step passes.
//!
//! The mirror of harm: e-values against "the canary is worse by the safety margin". Absence of harm evidence is not safety; a canary without
//! traffic shows neither. Started anew in each step, so that what was shown at 5 % of the traffic doesn't vouch for 25 %. Next room:
//! [`effect`](crate::effect).

use serde::{Deserialize, Serialize};

use crate::exact;
use crate::table::{Cohort, Table};

/// Multipliers of the baseline's odds; each gets a fifth.
const TILTS: [f64; 5] = [1.1, 1.25, 1.5, 2.0, 4.0];
/// Shares of the absolute bound at which a harmless canary may lie; each gets a fifth.
const FRACTIONS: [f64; 5] = [0.02, 0.1, 0.25, 0.5, 0.75];

/// `ln` of the e-value per tilt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Safety(#[serde(with = "exact")] [f64; 5]);

impl Safety {
    /// Against "worse by `margin`": than the baseline for a pair, than the budget for a single cohort.
    pub(crate) fn look(&mut self, table: &Table, margin: f64, phi: f64) {
        match *table {
            Table::Pair { baseline, canary } => self.below_baseline(baseline, canary, margin, phi),
            Table::Single { canary, budget } => self.below_share(canary, budget * margin, phi),
        }
    }

    fn below_baseline(&mut self, baseline: Cohort, canary: Cohort, margin: f64, phi: f64) {
        let Some(null) = Table::safe_null(baseline, canary, margin) else { return };
        for (ln, tilt) in self.0.iter_mut().zip(TILTS) {
            *ln += null.ln_factor(baseline.bad, tilt) / phi;
        }
    }

    /// Against "the bad share is at least this": a likelihood ratio, largest in mean at the bound itself.
    pub(crate) fn below_share(&mut self, canary: Cohort, share: f64, phi: f64) {
        for (ln, fraction) in self.0.iter_mut().zip(FRACTIONS) {
            let good = ((1.0 - share * fraction) / (1.0 - share)).ln();
            *ln += (canary.bad * fraction.ln() + (canary.total - canary.bad) * good) / phi;
        }
    }

    pub(crate) fn ln_evidence(&self) -> f64 {
        ln_mean(&self.0)
    }
}

/// `ln` of the mean of the e-values whose logarithms these are: a mean of e-values is one too.
pub(crate) fn ln_mean(lns: &[f64]) -> f64 {
    let most = lns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (lns.iter().map(|ln| (ln - most).exp()).sum::<f64>() / lns.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_shows_nothing() {
        let mut safety = Safety::default();
        let idle = Cohort { total: 0.0, bad: 0.0 };
        safety.look(&Table::Single { canary: idle, budget: 0.01 }, 1.5, 1.0);
        safety.look(
            &Table::Pair { baseline: Cohort { total: 1e6, bad: 0.0 }, canary: Cohort { total: 1e6, bad: 0.0 } },
            1.5,
            1.0,
        );
        assert_eq!(safety.ln_evidence(), 0.0);
    }

    #[test]
    fn a_canary_at_the_bound_is_not_shown_safe() {
        // the mean of the e-value at the bound is exactly 1 for one request
        let share = 0.3;
        let one = |bad: f64| {
            let mut safety = Safety::default();
            safety.below_share(Cohort { total: 1.0, bad }, share, 1.0);
            safety.ln_evidence().exp()
        };
        let mean = share * one(1.0) + (1.0 - share) * one(0.0);
        assert!((mean - 1.0).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn a_canary_well_below_the_bound_is_shown_safe() {
        let mut safety = Safety::default();
        for _ in 0..10 {
            safety.below_share(Cohort { total: 100.0, bad: 1.0 }, 0.05, 1.0);
        }
        assert!(safety.ln_evidence() > 20f64.ln());
    }
}
