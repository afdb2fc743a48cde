//! Table: what one look says about good and bad, as a bet sees it.
//!
//! A pair is a 2x2 table, conditioned on its totals, so that everything common to both cohorts cancels (daily curve, shared incident, moving
//! share). A single cohort is held against a fixed bad share. Arithmetic only: no memory, no thresholds, no decision. Next room:
//! [`thresholds`](crate::thresholds).

/// One cohort's requests in one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cohort {
    pub(crate) total: f64,
    pub(crate) bad: f64,
}

/// Each cohort has at least one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Table {
    Pair { baseline: Cohort, canary: Cohort },
    Single { canary: Cohort, budget: f64 },
}

/// The worst case of the null: the observed count is at most as spread as this many trials with this chance (Hoeffding 1956).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trials {
    pub(crate) count: f64,
    pub(crate) chance: f64,
}

impl Trials {
    /// `ln` of the bet's factor for a tilt `g`: `g^hits / (1 + p (g - 1))^m`, whose mean is at most 1 under the null.
    pub(crate) fn ln_factor(self, hits: f64, tilt: f64) -> f64 {
        hits * tilt.ln() - self.count * (self.chance * (tilt - 1.0)).ln_1p()
    }
}

/// What an equal canary would show, and how much that varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) bad: f64,
    pub(crate) variance: f64,
}

impl Table {
    pub(crate) fn canary(&self) -> Cohort {
        match *self {
            Table::Pair { canary, .. } | Table::Single { canary, .. } => canary,
        }
    }

    /// The null "the canary is at most `margin` times worse": odds against the baseline, or share against the budget.
    /// `None` when the table can't speak: nothing was bad on either side.
    pub(crate) fn harm_null(&self, margin: f64) -> Option<Trials> {
        match *self {
            Table::Pair { baseline, canary } => {
                let bad = baseline.bad + canary.bad;
                (bad > 0.0).then(|| {
                    let q = bad / (baseline.total + canary.total);
                    let of_bad = canary.total * margin / (canary.total * margin + baseline.total);
                    let of_canary = q * margin / (1.0 - q + q * margin);
                    trials((bad * of_bad).min(canary.total * of_canary), bad.min(canary.total))
                })
            }
            Table::Single { canary, budget } => {
                Some(Trials { count: canary.total, chance: (budget * margin).min(1.0) })
            }
        }
    }

    /// The mirror: what the *baseline* shows at most, if the canary's odds are `margin` times its own.
    pub(crate) fn safe_null(baseline: Cohort, canary: Cohort, margin: f64) -> Option<Trials> {
        let bad = baseline.bad + canary.bad;
        (bad > 0.0).then(|| {
            let mean = mean_given_totals(baseline.total, canary.total, bad, 1.0 / margin);
            trials(mean, bad.min(baseline.total))
        })
    }

    pub(crate) fn expected(&self) -> Expected {
        match *self {
            Table::Pair { baseline, canary } => {
                let total = baseline.total + canary.total;
                let q = (baseline.bad + canary.bad) / total;
                let bad = (baseline.bad + canary.bad) * canary.total / total;
                let variance = (bad * (baseline.total / total)).min(canary.total * q * (1.0 - q));
                Expected { bad, variance: variance.max(0.0) }
            }
            Table::Single { canary, budget } => {
                Expected { bad: canary.total * budget, variance: canary.total * budget * (1.0 - budget) }
            }
        }
    }
}

fn trials(mean: f64, most: f64) -> Trials {
    let count = most.max(1e-12);
    Trials { count, chance: (mean / count).min(1.0) }
}

/// Cornfield's mean of the bad requests in cohort `a`, given all totals, when its odds are `ratio` times those of the other.
/// Exact at 1; elsewhere the root of the quadratic that the totals imply (Cornfield 1956). Below 1 it is never less than the true mean, whose
/// quadratic has `(1 - ratio) * variance` more on its left; so a bet that uses it stays fair.
fn mean_given_totals(a: f64, other: f64, bad: f64, ratio: f64) -> f64 {
    let square = 1.0 - ratio;
    let linear = other - bad + ratio * (a + bad);
    let constant = -ratio * bad * a;
    let root = if square.abs() < 1e-12 {
        -constant / linear
    } else {
        let discriminant = (linear * linear - 4.0 * square * constant).max(0.0);
        -2.0 * constant / (linear + discriminant.sqrt())
    };
    root.clamp(0.0, bad.min(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(n: u32, k: u32) -> f64 {
        (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product()
    }

    /// The exact mean of `g^x` for the noncentral hypergeometric count of one cohort.
    fn exact_mean_of_power(own: u32, other: u32, bad: u32, odds: f64, tilt: f64) -> f64 {
        let weight = |x: u32| choose(own, x) * choose(other, bad - x) * odds.powf(f64::from(x));
        let support = bad.saturating_sub(other)..=bad.min(own);
        let sum: f64 = support.clone().map(weight).sum();
        support.map(|x| weight(x) * tilt.powf(f64::from(x))).sum::<f64>() / sum
    }

    #[test]
    fn no_bet_has_a_mean_above_one_under_its_null() {
        for (own, other, bad) in [(5, 5, 3), (3, 12, 4), (12, 3, 9), (8, 8, 16), (1, 20, 1), (6, 2, 7)] {
            for margin in [1.0, 1.1, 1.5, 5.0] {
                for tilt in [1.1, 1.5, 3.0, 30.0] {
                    let cohort = |total: u32, bad: u32| Cohort { total: f64::from(total), bad: f64::from(bad) };
                    // any split of the same totals gives the same null
                    let (mine, theirs) = (bad.min(own), bad - bad.min(own));
                    let table = Table::Pair { baseline: cohort(other, theirs), canary: cohort(own, mine) };
                    let harm = table.harm_null(margin).expect("something is bad");
                    let mean = exact_mean_of_power(own, other, bad, margin, tilt) * harm.ln_factor(0.0, tilt).exp();
                    assert!(mean <= 1.0 + 1e-9, "harm {own} {other} {bad} margin {margin} tilt {tilt}: {mean}");

                    let safe =
                        Table::safe_null(cohort(own, mine), cohort(other, theirs), margin).expect("something is bad");
                    let mean =
                        exact_mean_of_power(own, other, bad, 1.0 / margin, tilt) * safe.ln_factor(0.0, tilt).exp();
                    assert!(mean <= 1.0 + 1e-9, "safe {own} {other} {bad} margin {margin} tilt {tilt}: {mean}");
                }
            }
        }
    }

    /// Recorded from SciPy's `nchypergeom_fisher.mean`: Cornfield's mean is exact at 1, and below 1 never less, so that the bet stays fair.
    #[test]
    fn cornfields_mean_agrees_with_scipy_where_it_is_exact_and_is_never_less_where_it_is_not() {
        let recorded = [
            (50.0, 950.0, 20.0, 1.0 / 1.5, 0.682_213_082_340_361_6),
            (500.0, 9500.0, 40.0, 1.0 / 1.5, 1.357_666_282_715_513_7),
            (300.0, 300.0, 30.0, 1.0 / 1.2, 13.701_887_540_661_014),
            (20.0, 5.0, 12.0, 0.5, 8.888_848_095_456_63),
            (1000.0, 50.0, 80.0, 1.0 / 3.0, 70.697_182_666_175_8),
            (8.0, 8.0, 8.0, 1.0, 4.0),
        ];
        for (own, other, bad, odds, mean) in recorded {
            let found = mean_given_totals(own, other, bad, odds);
            assert!(
                found >= mean - 1e-9 && found <= mean * 1.02,
                "{own} {other} {bad} {odds}: {found}, {mean} recorded"
            );
            assert!(odds < 1.0 || (found - mean).abs() < 1e-9, "{own} {other} {bad}: {found}, {mean} recorded");
        }
    }

    #[test]
    fn a_canary_without_any_bad_request_bets_nothing_against_a_clean_baseline() {
        let clean = Cohort { total: 50.0, bad: 0.0 };
        assert_eq!(Table::Pair { baseline: clean, canary: clean }.harm_null(1.1), None);
        assert_eq!(Table::safe_null(clean, clean, 1.5), None);
    }
}
