//! Dispersion: how much noisier are the counts than independent requests would be?
//!
//! Requests fail in clusters and instances drift, so that counts vary more than chance alone. The factor `phi` tempers every bet. It is read
//! from *successive differences* of batch residuals, so that a real level shift spoils one difference only, over batches of 1, 6 and 30 looks,
//! and is shrunk to what is assumed without history. It must use the past only: that keeps the tempered bets fair. Next room:
//! [`harm`](crate::harm).

use serde::{Deserialize, Serialize};

use crate::exact;
use crate::table::Expected;

const BATCH_LOOKS: [u32; 3] = [1, 6, 30];
/// How many batches the assumed value is worth.
const PRIOR_BATCHES: [f64; 3] = [30.0, 15.0, 8.0];
/// What is assumed of a service without history: the verdict says so (`no_calibration`).
pub(crate) const PHI_WITHOUT_HISTORY: f64 = 1.5;
/// Estimates are lowered by this many standard errors, so that nothing is corrected where nothing is wrong.
const STANDARD_ERRORS: f64 = 0.7;
/// Slow noise of a history has to stand out of chance by this many standard errors.
const SURE_ERRORS: f64 = 2.5;

/// Where the batches of one SLI stand. Common to all its bets, which see the same looks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Batches {
    filled: [u32; 3],
    primed: [bool; 3],
    pairs: [u32; 3],
}

impl Batches {
    pub(crate) fn advance(&mut self) {
        for (i, looks) in BATCH_LOOKS.into_iter().enumerate() {
            if self.closes(i) {
                self.pairs[i] = self.pairs[i].saturating_add(u32::from(self.primed[i]));
                self.primed[i] = true;
                self.filled[i] = 0;
            } else {
                self.filled[i] = (self.filled[i] + 1).min(looks);
            }
        }
    }

    /// Ends the batches at hand: differences never reach over a step's border.
    pub(crate) fn interrupt(&mut self) {
        self.filled = [0; 3];
        self.primed = [false; 3];
    }

    fn closes(&self, i: usize) -> bool {
        self.filled[i] + 1 >= BATCH_LOOKS[i]
    }
}

/// What is taken for the noise until the looks say otherwise, per batch length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prior(#[serde(with = "exact")] [f64; 3]);

impl Prior {
    /// Without a history.
    pub(crate) const ASSUMED: Prior = Prior([PHI_WITHOUT_HISTORY; 3]);
    /// Independent requests.
    pub(crate) const CHANCE: Prior = Prior([1.0; 3]);

    /// The noise of single looks.
    pub(crate) fn of_looks(self) -> f64 {
        self.0[0]
    }

    pub(crate) fn at_least_in_long_batches(self, phi: f64) -> Self {
        let Prior([short, middle, long]) = self;
        Prior([short, middle, long.max(phi)])
    }
}

/// The noise of a history, around its own level: there a shift of level is noise too, and slow noise shows that differences of neighbours hide.
#[derive(Debug, Default)]
pub(crate) struct AroundLevel {
    looks: u32,
    open: Batch,
    closed: Vec<Batch>,
}

/// Sums over one long batch.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    bad: f64,
    expected: f64,
    variance: f64,
}

/// Slow noise: what it does to the variance of long batches, and its standard deviation on the log odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SlowNoise {
    pub(crate) phi: f64,
    pub(crate) tau: f64,
}

impl AroundLevel {
    /// Takes one look in, which may have seen nothing; batches are of time.
    pub(crate) fn look(&mut self, seen: Option<(f64, Expected)>) {
        if let Some((bad, expected)) = seen {
            self.open.bad += bad;
            self.open.expected += expected.bad;
            self.open.variance += expected.variance;
        }
        self.looks += 1;
        if self.looks == BATCH_LOOKS[2] {
            self.closed.push(std::mem::take(&mut self.open));
            self.looks = 0;
        }
    }

    /// Nothing where it can't be told from chance: a false alarm here would blind the judge.
    pub(crate) fn noise(&self, prior: Prior) -> Option<SlowNoise> {
        let batches = self.closed.len() as f64;
        if batches < 6.0 {
            return None;
        }
        let sum = |part: fn(&Batch) -> f64| self.closed.iter().map(part).sum::<f64>();
        let ratio = (sum(|b| b.bad) + 2.0) / (sum(|b| b.expected) + 2.0);
        let squares: f64 = self.closed.iter().map(|b| (b.bad - ratio * b.expected).powi(2)).sum();
        let variance = sum(|b| b.variance) * ratio.clamp(0.5, 10.0);
        let per_batch = variance / batches;
        let mass = PRIOR_BATCHES[2] * per_batch.max(0.05);
        let phi = (mass + squares * batches / (batches - 1.0)) / (mass + variance);
        let of_chance = prior.0[0].max(1.0);
        // few events in a batch make its square more uncertain: the kurtosis of a Poisson count
        let error = ((2.0 + 1.0 / per_batch.max(1e-9)) / batches).sqrt();
        if phi <= of_chance * (1.0 + SURE_ERRORS * error) {
            return None;
        }
        let lowered = phi * (1.0 - STANDARD_ERRORS * error);
        let tau = ((lowered - of_chance).max(0.0) / per_batch.max(1e-9)).sqrt();
        Some(SlowNoise { phi, tau })
    }
}

/// The noise of one bet's counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Dispersion {
    #[serde(with = "exact")]
    open: [f64; 3],
    #[serde(with = "exact")]
    open_variance: [f64; 3],
    #[serde(with = "exact")]
    previous: [f64; 3],
    #[serde(with = "exact")]
    previous_variance: [f64; 3],
    #[serde(with = "exact")]
    squares: [f64; 3],
    #[serde(with = "exact")]
    variances: [f64; 3],
    #[serde(with = "exact")]
    seen: f64,
    #[serde(with = "exact")]
    expected: f64,
}

/// The range in which the level of a residual's centre is believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    least: f64,
    least_variance: f64,
}

impl Level {
    /// Two cohorts: their levels are alike.
    pub(crate) const PAIR: Level = Level { least: 0.2, least_variance: 0.5 };
    /// Against a budget a healthy canary is far below it.
    pub(crate) const SINGLE: Level = Level { least: 0.02, least_variance: 0.02 };
}

impl Dispersion {
    /// The factor that tempers the next bet, at least 1.
    pub(crate) fn phi(&self, batches: &Batches, prior: Prior) -> f64 {
        (0..3).map(|i| self.lowered(batches, prior, i)).fold(1.0, f64::max)
    }

    /// What these looks teach about looks to come.
    pub(crate) fn as_prior(&self, batches: &Batches) -> Prior {
        Prior([0, 1, 2].map(|i| self.shrunk(batches, Prior::CHANCE, i).max(1e-3)))
    }

    /// Standard deviation of slow noise on the log odds, from the long batches; 0 when it can't be told from chance.
    pub(crate) fn tau(&self, batches: &Batches, prior: Prior) -> f64 {
        let variance = self.variances[2] / f64::from(batches.pairs[2].max(1)) / 2.0;
        if variance <= 0.0 {
            return 0.0;
        }
        let excess = self.lowered(batches, prior, 2) - self.shrunk(batches, prior, 0).max(1.0);
        (excess.max(0.0) / variance.max(1e-9)).sqrt()
    }

    pub(crate) fn interrupt(&mut self) {
        (self.open, self.open_variance) = ([0.0; 3], [0.0; 3]);
        (self.seen, self.expected) = (0.0, 0.0);
    }

    /// Takes one look in; the caller advances the batches after all bets did.
    pub(crate) fn look(&mut self, batches: &Batches, bad: f64, expected: Expected, level: Level) {
        self.seen += bad;
        self.expected += expected.bad;
        let ratio = ((self.seen + 2.0) / (self.expected + 2.0)).clamp(level.least, 50.0);
        for i in 0..3 {
            self.open[i] += bad - ratio * expected.bad;
            self.open_variance[i] += expected.variance * ratio.clamp(level.least_variance, 10.0);
            if batches.closes(i) {
                self.close(i, batches.primed[i]);
            }
        }
    }

    fn close(&mut self, i: usize, primed: bool) {
        if primed {
            self.squares[i] += (self.open[i] - self.previous[i]).powi(2);
            self.variances[i] += self.open_variance[i] + self.previous_variance[i];
        }
        (self.previous[i], self.previous_variance[i]) = (self.open[i], self.open_variance[i]);
        (self.open[i], self.open_variance[i]) = (0.0, 0.0);
    }

    fn shrunk(&self, batches: &Batches, prior: Prior, i: usize) -> f64 {
        let pairs = batches.pairs[i];
        let mean_variance = if pairs > 0 { self.variances[i] / f64::from(pairs) } else { 1.0 };
        let mass = PRIOR_BATCHES[i] * mean_variance.max(0.05);
        (mass * prior.0[i] + self.squares[i]) / (mass + self.variances[i])
    }

    fn lowered(&self, batches: &Batches, prior: Prior, i: usize) -> f64 {
        let error = (2.0 / (PRIOR_BATCHES[i] + f64::from(batches.pairs[i]))).sqrt();
        self.shrunk(batches, prior, i) * (1.0 - STANDARD_ERRORS * error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: usize, bad: impl Fn(usize) -> f64) -> (Dispersion, Batches) {
        let (mut dispersion, mut batches) = (Dispersion::default(), Batches::default());
        for i in 0..looks {
            dispersion.look(&batches, bad(i), Expected { bad: 10.0, variance: 5.0 }, Level::PAIR);
            batches.advance();
        }
        (dispersion, batches)
    }

    #[test]
    fn noise_is_seen_and_a_level_shift_is_not_noise() {
        let phi = |(dispersion, batches): (Dispersion, Batches)| dispersion.phi(&batches, Prior::ASSUMED);
        let jitter = |i: usize| [1.5, -1.5][i % 2];
        let quiet = phi(after(240, |i| 10.0 + jitter(i)));
        let noisy = phi(after(240, |i| 10.0 + 6.0 * jitter(i)));
        let shifted = phi(after(240, |i| if i < 120 { 8.5 } else { 11.5 } + jitter(i)));
        let swaying = phi(after(240, |i| if (i / 30) % 2 == 0 { 8.5 } else { 11.5 } + jitter(i)));
        assert!(quiet < 1.3, "{quiet}");
        assert!(noisy > 5.0, "{noisy}");
        assert!(shifted < 2.5 && swaying > 2.0 * shifted, "{shifted} {swaying}");
    }

    #[test]
    fn slow_noise_is_told_from_fast_noise() {
        let (slow, batches) = after(600, |i| if (i / 30) % 2 == 0 { 14.0 } else { 7.0 });
        assert!(slow.tau(&batches, Prior::ASSUMED) > 0.2, "{}", slow.tau(&batches, Prior::ASSUMED));
        let (fast, batches) = after(600, |i| [14.0, 7.0][i % 2]);
        assert_eq!(fast.tau(&batches, Prior::ASSUMED), 0.0);
    }
}
