//! Slope: the evidence that a gauge grows away from its baseline, though it is not yet far from it: a leak.
//!
//! The null is "since the step began the factor grows by at most half the harm margin over the planned rollout". A level that both hypotheses share is
//! unknown but for a few per cent, so the bet is the ratio of two predictive densities of a Gaussian line with that level integrated out (its mean and
//! variance are all the state there is); several slopes are bet on. Bets are made only while the canary has lately been worse than its baseline: a fresh
//! process that warms up from below grows too, and is no leak. Must never use a block to choose the bet on it. Next room: [`check`](crate::check).

use serde::{Deserialize, Serialize};

use crate::exact;

/// Growth beyond the null over the planned rollout, as `ln` of the factor.
const SLOPES: [f64; 4] = [0.2, 0.35, 0.6, 1.0];
/// Two instances of one version lie this far apart, as a standard deviation of `ln` of the factor.
const OFFSET: f64 = 0.025;
/// The part of the harm margin by which growth is tolerated over the planned rollout, and by which the canary must be worse for a bet.
const TOLERATED: f64 = 0.5;
const WORSE: f64 = 1.0 / 3.0;
/// How fast "lately" forgets, per block.
const FORGETS: f64 = 0.1;
const CUT: f64 = 4.0;
/// No wealth is kept beyond this: far above any threshold, far below overflow.
const MOST_LN_WEALTH: f64 = 27.0;

/// What holds for one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Terms {
    /// `ln` of the factor by which worse is tolerated.
    pub(crate) harm: f64,
    /// Of a block that is freed of its memory.
    pub(crate) spread: f64,
    /// One block, as a part of the planned rollout.
    pub(crate) per_block: f64,
    /// The most that `ln` of one block's factor may be.
    pub(crate) ceiling: f64,
}

/// The state: one level for the null and each slope, and what they have won.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slope {
    #[serde(with = "exact")]
    ln_wealth: [f64; 4],
    #[serde(with = "exact")]
    level_of_null: f64,
    #[serde(with = "exact")]
    levels: [f64; 4],
    /// Variance of the level, common to all.
    #[serde(with = "exact")]
    unsure: f64,
    #[serde(with = "exact")]
    lately: f64,
    blocks: u32,
}

impl Slope {
    pub(crate) fn new() -> Self {
        Slope {
            ln_wealth: [0.0; 4],
            level_of_null: 0.0,
            levels: [0.0; 4],
            unsure: OFFSET * OFFSET,
            lately: 0.0,
            blocks: 0,
        }
    }

    /// A new step is a new line; what was won carries on.
    pub(crate) fn begin_step(&mut self) {
        *self = Slope { ln_wealth: self.ln_wealth, ..Slope::new() };
    }

    /// Takes a block in: `freed` is its mean freed of its memory, `None` where there is none.
    pub(crate) fn take(&mut self, mean: f64, freed: Option<f64>, terms: Terms) {
        let is_worse = self.lately > WORSE * terms.harm;
        self.lately += FORGETS * (mean - self.lately);
        let time = f64::from(self.blocks) * terms.per_block;
        self.blocks = self.blocks.saturating_add(1);
        let Some(freed) = freed else { return };
        let variance = self.unsure + terms.spread * terms.spread;
        let tolerated = TOLERATED * terms.harm;
        let residual = |level: f64, slope: f64| ((freed - level - slope * time) / variance.sqrt()).clamp(-CUT, CUT);
        let gain = self.unsure / variance * variance.sqrt();
        let null = residual(self.level_of_null, tolerated);
        for ((ln, level), slope) in self.ln_wealth.iter_mut().zip(&mut self.levels).zip(SLOPES) {
            let under = residual(*level, tolerated + slope);
            if is_worse {
                *ln = (*ln + ((null * null - under * under) / 2.0).min(terms.ceiling)).min(MOST_LN_WEALTH);
            }
            *level += gain * under;
        }
        self.level_of_null += gain * null;
        self.unsure *= terms.spread * terms.spread / variance;
    }

    /// An e-process as far as the spread is not below the true one.
    pub(crate) fn evidence(&self) -> f64 {
        self.ln_wealth.iter().map(|ln| ln.exp()).sum::<f64>() / self.ln_wealth.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { harm: 0.0953, spread: 0.06, per_block: 1.0 / 120.0, ceiling: 5.0 };

    fn after(blocks: u32, mean: impl Fn(f64) -> f64) -> f64 {
        let mut slope = Slope::new();
        for block in 0..blocks {
            let mean = mean(f64::from(block) / 120.0);
            slope.take(mean, Some(mean), TERMS);
        }
        slope.evidence()
    }

    #[test]
    fn a_leak_wins_and_a_level_does_not() {
        assert!(after(60, |hours| (0.5 * hours).ln_1p()) > 1000.0);
        assert!(after(120, |_| 0.08) < 5.0);
        assert!(after(120, |_| 0.0) < 1.5);
    }

    #[test]
    fn a_process_that_warms_up_from_below_is_no_leak() {
        assert!(after(120, |hours| -0.7 * (-4.0 * hours).exp()) < 1.5);
    }
}
