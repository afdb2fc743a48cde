//! Harm: one wealth process per bet, against the null "the canary is at most the margin worse than what its step compares it with".
//!
//! Each look multiplies a stake by a factor whose mean is at most 1 under that null, given the past. Which comparison the look bets on (two
//! cohorts, or one against its objective) is fixed before the look, so one process may carry on over steps that compare differently: the product
//! of conditional factors stays an e-process, and one budget holds for the whole change. Tempering by a predictable `phi >= 1` and a ceiling on
//! a look's factor only lower the mean. So `P(sup E >= 1/a) <= a` (Ville 1939), at every look at once.
//! Must never use the present look's counts to choose anything about its own bet. Next room: [`safety`](crate::safety).

use serde::{Deserialize, Serialize};

use crate::exact;
use crate::table::{Table, Trials};

/// Odds multipliers to bet on, with the part of the wealth that each gets. The parts sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tilts(&'static [(f64, f64)]);

pub(crate) const ERROR_TILTS: Tilts = Tilts(&[
    (1.2, 0.10),
    (1.5, 0.15),
    (2.0, 0.20),
    (3.0, 0.15),
    (5.0, 0.15),
    (10.0, 0.10),
    (30.0, 0.08),
    (100.0, 0.07),
]);
pub(crate) const LATENCY_TILTS: Tilts =
    Tilts(&[(1.15, 0.15), (1.3, 0.20), (1.6, 0.20), (2.0, 0.15), (3.0, 0.12), (5.0, 0.10), (10.0, 0.08)]);

/// Harm may begin late: stakes are paid out of a fund over time, most of it at the first look after the warm-up.
const AT_WARM_UP: f64 = 0.1;
const AT_OPENING: f64 = 0.6;
/// What is kept of the fund for the time after the horizon: a pause, or a watch that lasts as long as a release does.
const KEPT_FOR_LATER: f64 = 0.05;
/// A single stake is held below this: far above any threshold, far below overflow.
pub(crate) const MOST_WEALTH: f64 = 1e12;

/// The part of the change in which a look falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// Caches fill, pools open: only gross harm counts.
    WarmUp,
    Open,
}

/// The wealth that is not yet staked, common to all bets of one SLI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fund {
    #[serde(with = "exact")]
    reserve: f64,
    warm_up_paid: bool,
    /// Looks after the warm-up that were paid for.
    open_looks: u32,
}

/// How the part of a fund that is not staked at once is paid out over the planned looks, and after them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Instalments {
    pub(crate) horizon: u32,
    /// Whether something is kept for what comes after the horizon. Without it a stake that is lost by then never comes back, and harm that begins
    /// later is never found.
    pub(crate) endless: bool,
}

impl Instalments {
    /// What is paid at the n-th time, from 1, of this part of a fund: the same at each time of the horizon, then as `1/(n(n-1))`, which sums to
    /// `1/horizon` over all times to come. So the whole never exceeds the part.
    pub(crate) fn due(self, part: f64, n: u32) -> f64 {
        let horizon = f64::from(self.horizon.max(1));
        let kept = if self.endless { KEPT_FOR_LATER.min(part / 2.0) } else { 0.0 };
        let n = f64::from(n.max(1));
        if n <= horizon || !self.endless { (part - kept) / horizon } else { kept * horizon / (n * (n - 1.0)) }
    }
}

impl Fund {
    pub(crate) fn new() -> Self {
        Fund { reserve: 1.0, warm_up_paid: false, open_looks: 0 }
    }

    pub(crate) fn reserve(&self) -> f64 {
        self.reserve
    }

    /// What this look adds to every stake.
    pub(crate) fn pay(&mut self, period: Period, instalments: Instalments) -> f64 {
        let due = match (period, self.warm_up_paid, self.open_looks) {
            (Period::WarmUp, false, _) => AT_WARM_UP,
            (Period::WarmUp, true, _) => 0.0,
            (Period::Open, _, 0) => AT_OPENING,
            (Period::Open, _, paid) => instalments.due(1.0 - AT_OPENING - AT_WARM_UP, paid),
        };
        self.warm_up_paid = true;
        self.open_looks = self.open_looks.saturating_add(u32::from(period == Period::Open));
        let paid = due.min(self.reserve);
        self.reserve -= paid;
        paid
    }
}

/// How one look may change the stakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Terms {
    /// Newly paid in.
    pub(crate) instalment: f64,
    /// Noise: the exponent is divided by it.
    pub(crate) phi: f64,
    /// The most that `ln` of the factor may be, so that one look never decides alone.
    pub(crate) ceiling: f64,
    /// Whether a stake that has shrunk may come back to the ceiling in one look: it was lost while nothing was wrong, and waiting for it to grow again
    /// would only delay. The stake is known before the look, so the bet stays fair.
    pub(crate) recovers: bool,
}

impl Terms {
    /// The most that `ln` of this look's factor may be for one stake.
    fn ceiling_for(self, stake: f64) -> f64 {
        if self.recovers { self.ceiling - stake.max(f64::MIN_POSITIVE).ln().min(0.0) } else { self.ceiling }
    }
}

/// The wealth that one bet has at stake, per tilt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Stakes(#[serde(with = "exact")] [f64; 8]);

impl Stakes {
    pub(crate) fn look(&mut self, tilts: Tilts, table: &Table, margin: f64, terms: Terms) {
        let null = table.harm_null(margin);
        for (stake, (tilt, _)) in self.0.iter_mut().zip(tilts.0) {
            let ln_factor = null.map_or(0.0, |null: Trials| null.ln_factor(table.canary().bad, *tilt) / terms.phi);
            let staked = *stake + terms.instalment;
            *stake = (ln_factor.min(terms.ceiling_for(staked)).exp() * staked).min(MOST_WEALTH);
        }
    }

    pub(crate) fn wealth(&self, tilts: Tilts) -> f64 {
        self.0.iter().zip(tilts.0).map(|(stake, (_, part))| stake * part).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cohort;

    /// The worst case: Hoeffding's bound is an equality, no tempering, no ceiling.
    fn crossed(threshold: f64, runs: u64, looks: u32, table: impl Fn(&mut u64) -> Table) -> f64 {
        let mut crossings = 0;
        for run in 0..runs {
            let (mut fund, mut stakes) = (Fund::new(), Stakes::default());
            let mut random = (run + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut highest = 0f64;
            for _ in 0..looks {
                let terms = Terms {
                    instalment: fund.pay(Period::Open, Instalments { horizon: looks / 2, endless: true }),
                    phi: 1.0,
                    ceiling: f64::INFINITY,
                    recovers: false,
                };
                stakes.look(ERROR_TILTS, &table(&mut random), 1.0, terms);
                highest = highest.max(fund.reserve() + stakes.wealth(ERROR_TILTS));
            }
            crossings += u64::from(highest >= threshold);
        }
        crossings as f64 / runs as f64
    }

    fn chance(random: &mut u64) -> f64 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random >> 11) as f64 / (1u64 << 53) as f64
    }

    fn binomial(random: &mut u64, count: u32, p: f64) -> f64 {
        f64::from((0..count).map(|_| u32::from(chance(random) < p)).sum::<u32>())
    }

    #[test]
    fn wealth_rarely_grows_when_two_cohorts_are_equal() {
        let pair = |random: &mut u64| {
            let bad = binomial(random, 20, 0.4);
            let of_canary = binomial(random, bad as u32, 0.25);
            Table::Pair {
                baseline: Cohort { total: 3e6, bad: bad - of_canary },
                canary: Cohort { total: 1e6, bad: of_canary },
            }
        };
        for alpha in [0.05, 0.2] {
            let rate = crossed(1.0 / alpha, 600, 120, pair);
            assert!(rate <= alpha, "{rate} of the runs crossed at alpha {alpha}");
        }
        // the bound is not idle: at a low threshold some runs do cross
        assert!(crossed(2.0, 600, 120, pair) > 0.05);
    }

    #[test]
    fn wealth_rarely_grows_when_a_canary_meets_its_objective() {
        let single = |random: &mut u64| Table::Single {
            canary: Cohort { total: 40.0, bad: binomial(random, 40, 0.05) },
            budget: 0.05,
        };
        for alpha in [0.05, 0.2] {
            let rate = crossed(1.0 / alpha, 600, 120, single);
            assert!(rate <= alpha, "{rate} of the runs crossed at alpha {alpha}");
        }
        assert!(crossed(2.0, 600, 120, single) > 0.05);
    }

    #[test]
    fn the_fund_pays_out_what_it_has_and_no_more() {
        let ends = Instalments { horizon: 10, endless: false };
        let mut fund = Fund::new();
        let paid: Vec<f64> = [Period::WarmUp, Period::WarmUp, Period::Open].map(|p| fund.pay(p, ends)).into();
        assert_eq!(paid, [0.1, 0.0, 0.6]);
        let rest: f64 = (0..1000).map(|_| fund.pay(Period::Open, ends)).sum();
        assert!((rest - 0.3).abs() < 1e-12 && fund.reserve().abs() < 1e-12, "{rest} {}", fund.reserve());
    }

    #[test]
    fn the_fund_lasts_longer_than_the_horizon() {
        let endless = Instalments { horizon: 10, endless: true };
        let mut fund = Fund::new();
        let paid: Vec<f64> = (0..100_000).map(|_| fund.pay(Period::Open, endless)).collect();
        let within: f64 = paid[1..=10].iter().sum();
        assert!((within - 0.25).abs() < 1e-12, "{within}");
        assert!(paid.windows(2).skip(1).all(|two| two[1] <= two[0] && two[1] > 0.0));
        // of the warm-up's part nothing was paid
        let left = fund.reserve() - 0.1;
        assert!(left > 0.0 && left < 0.05 * 10.0 / 99_000.0, "{left}");
    }

    #[test]
    fn the_parts_of_the_wealth_sum_to_one() {
        for tilts in [ERROR_TILTS, LATENCY_TILTS] {
            assert!((tilts.0.iter().map(|(_, part)| part).sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
