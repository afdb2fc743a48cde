//! Gauge: the evidence on one SLI that is measured, not counted: memory, CPU per request, queue length.
//!
//! What is judged is `d = ln(canary / baseline)`, so that everything common to both cohorts and every unit cancels. Samples of a gauge hang together,
//! so `d` is averaged over blocks of looks, freed of its memory with a coefficient that was learned before the rollout, and held against the spread that
//! was learned with it. Outliers are cut off at four spreads. Then the same bets as elsewhere: one wealth process per tilt, paid out of a fund, an
//! e-process as far as the learned noise is not below the true one; the spread is raised when the run itself is noisier.
//! Must never learn from the block that it bets on. Next room: [`slope`](crate::slope).

use serde::{Deserialize, Serialize};

use crate::counted::GapWindow;
use crate::effect::{Effect, radius};
use crate::exact;
use crate::harm::{Instalments, MOST_WEALTH, Period};
use crate::look::{Counts, Gap, Gaps, Reading};
use crate::safety::ln_mean;
use crate::settings::{Comparison, Direction, Profile};
use crate::slope::{self, Slope};

/// Looks in a block.
const BLOCK: u32 = 3;
/// Standardised shifts to bet on; each gets a quarter of the wealth.
const TILTS: [f64; 4] = [0.3, 0.6, 1.2, 2.4];
/// Samples beyond this many spreads are cut off.
const CUT: f64 = 4.0;
/// The part of the fund that is staked at the first block after the warm-up.
const AT_OPENING: f64 = 0.6;
/// The part of the wealth that is bet on slopes.
const ON_SLOPES: f64 = 0.3;
/// No gauge is steadier than this.
const LEAST_SPREAD: f64 = 0.01;
/// How many blocks the learned spread is worth beside what the run shows.
const PRIOR_BLOCKS: f64 = 40.0;
const MOST_MEMORY: f64 = 0.95;

/// How a gauge varies when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noise {
    /// First-order autocorrelation of block means.
    #[serde(with = "exact")]
    memory: f64,
    /// Standard deviation of a block mean that is freed of its memory.
    #[serde(with = "exact")]
    spread: f64,
    /// Standard deviation of a block mean as it is: by it goes the first bet, which has no block before it.
    #[serde(with = "exact")]
    whole_spread: f64,
}

/// How far a learned value is kept on the safe side, as it was learned from a finite history of this many blocks.
struct Caution {
    /// Added to the memory.
    memory: f64,
    /// Times the spread.
    spread: f64,
}

impl Caution {
    fn of(profile: Profile, blocks: f64) -> Self {
        match profile {
            Profile::Reference => Caution { memory: 0.5 / blocks.sqrt(), spread: 1.25 },
            // the longer the history, the less: two hours of looks every ten seconds give a tenth
            Profile::Default => Caution { memory: 0.25 / blocks.sqrt(), spread: 1.0 + 1.55 / blocks.sqrt() },
        }
    }
}

impl Noise {
    /// What is assumed without a history: a memory of minutes, and 15 %.
    const ASSUMED: Noise = Noise { memory: 0.7, spread: 0.15, whole_spread: 0.15 };

    /// Learned from A/A looks: `None` for a look without a sample. Nothing is learned from fewer than ten blocks.
    pub(crate) fn learned(history: &[Option<f64>], profile: Profile) -> Option<Self> {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        let whole = history.len() / BLOCK as usize * BLOCK as usize;
        let blocks: Vec<Option<f64>> =
            history[..whole].chunks(BLOCK as usize).map(|b| mean(&mut b.iter().copied().flatten())).collect();
        let centre = mean(&mut blocks.iter().copied().flatten())?;
        let centred: Vec<Option<f64>> = blocks.iter().map(|b| b.map(|b| b - centre)).collect();
        let pairs = || centred.windows(2).filter_map(|w| Some((w[0]?, w[1]?)));
        if pairs().count() < 10 {
            return None;
        }
        let products: f64 = pairs().map(|(before, now)| now * before).sum();
        let squares: f64 = centred.iter().flatten().map(|b| b * b).sum();
        let (r, n) = (products / squares.max(1e-12), centred.len() as f64);
        let caution = Caution::of(profile, n);
        // with the bias of the least-squares estimate (Kendall 1954)
        let memory = (r + (1.0 + 3.0 * r) / n + caution.memory).clamp(0.0, MOST_MEMORY);
        let freed = |(before, now): (f64, f64)| ((now - memory * before) / (1.0 - memory)).powi(2);
        let spread = caution.spread * mean(&mut pairs().map(freed))?.sqrt();
        let whole_spread = caution.spread * (squares / n).sqrt();
        Some(Noise { memory, spread: spread.max(LEAST_SPREAD), whole_spread: whole_spread.max(LEAST_SPREAD) })
    }
}

/// The margins of a gauge, as logarithms of factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Margins {
    pub(crate) harm: f64,
    pub(crate) safe: f64,
}

impl Margins {
    pub(crate) fn of(harm: f64, safe: f64, comparison: Comparison) -> Self {
        let wider = comparison.widening().ln();
        Margins { harm: harm.ln_1p() + wider, safe: safe.ln_1p() + wider }
    }
}

/// How one look may change the stakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Terms {
    pub(crate) period: Period,
    pub(crate) margins: Margins,
    pub(crate) horizon_looks: u32,
    /// Whether something of the fund is kept for what comes after the horizon.
    pub(crate) endless: bool,
    /// The most that `ln` of one block's factor may be.
    pub(crate) ceiling: f64,
}

/// Both cohorts' values in one look; the baseline's is the limit in a step against the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) baseline: f64,
    pub(crate) canary: f64,
}

impl Sample {
    pub(crate) fn read(limit: Option<f64>, comparison: Comparison, reading: &Reading) -> Result<Self, Gaps> {
        let Reading::Seen { baseline, canary } = reading else {
            return Err(Gaps::of([Gap::Unreachable]));
        };
        let value = |counts: &Option<Counts>, missing: Gap| match counts {
            None => Err(missing),
            Some(Counts::Gauge { value }) if *value > 0.0 && value.is_finite() => Ok(*value),
            Some(Counts::Gauge { .. }) => Err(Gap::Invalid),
            Some(_) => Err(Gap::Schema),
        };
        let canary = value(canary, Gap::NoCanary);
        let baseline = match comparison {
            Comparison::Objective => limit.ok_or(Gap::NoBaseline),
            Comparison::Concurrent | Comparison::Before => value(baseline, Gap::NoBaseline),
        };
        match (baseline, canary) {
            (Ok(baseline), Ok(canary)) => Ok(Sample { baseline, canary }),
            (baseline, canary) => Err(Gaps::of(baseline.err().into_iter().chain(canary.err()))),
        }
    }

    /// `ln` of the factor by which the canary is worse.
    pub(crate) fn worse_by(self, worse: Direction) -> f64 {
        match worse {
            Direction::Up => (self.canary / self.baseline).ln(),
            Direction::Down => (self.baseline / self.canary).ln(),
        }
    }
}

/// The state of one gauge. Constant in size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gauge {
    noise: Noise,
    is_calibrated: bool,
    block: Block,
    /// The block mean before, and what it was freed of its memory.
    before: Kept,
    freed_before: Kept,
    #[serde(with = "exact")]
    reserve: f64,
    /// Bets made so far.
    bets: u32,
    #[serde(with = "exact")]
    stakes: [f64; 4],
    #[serde(with = "exact")]
    safety: [f64; 4],
    /// Squared differences of freed blocks, and how many: the run's own noise.
    #[serde(with = "exact")]
    squares: f64,
    differences: u32,
    /// Not in the reference design.
    slope: Option<Slope>,
    step: StepTally,
    gaps: GapWindow,
}

/// The block at hand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Block {
    looks: u32,
    samples: u32,
    #[serde(with = "exact")]
    sum: f64,
}

/// A number that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Kept {
    is_there: bool,
    #[serde(with = "exact")]
    value: f64,
}

impl Kept {
    fn of(value: Option<f64>) -> Self {
        Kept { is_there: value.is_some(), value: value.unwrap_or(0.0) }
    }

    fn get(self) -> Option<f64> {
        self.is_there.then_some(self.value)
    }
}

/// What the step at hand saw, for people.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct StepTally {
    samples: u32,
    #[serde(with = "exact")]
    baseline: f64,
    #[serde(with = "exact")]
    canary: f64,
    #[serde(with = "exact")]
    worse_by: f64,
}

impl Gauge {
    pub(crate) fn new(noise: Option<Noise>, profile: Profile) -> Self {
        Gauge {
            is_calibrated: noise.is_some(),
            noise: noise.unwrap_or(Noise::ASSUMED),
            block: Block::default(),
            before: Kept::default(),
            freed_before: Kept::default(),
            reserve: 1.0,
            bets: 0,
            stakes: [0.0; 4],
            safety: [0.0; 4],
            squares: 0.0,
            differences: 0,
            slope: (profile == Profile::Default).then(Slope::new),
            step: StepTally::default(),
            gaps: GapWindow::default(),
        }
    }

    /// Harm evidence and the noise that the run showed carry on; all else starts anew.
    pub(crate) fn begin_step(&mut self) {
        (self.before, self.freed_before) = (Kept::default(), Kept::default());
        self.block = Block::default();
        self.safety = [0.0; 4];
        if let Some(slope) = &mut self.slope {
            slope.begin_step();
        }
        self.step = StepTally::default();
        self.gaps = GapWindow::default();
    }

    pub(crate) fn miss(&mut self, gaps: Gaps, terms: Terms) {
        self.gaps.push(gaps);
        self.take(None, terms);
    }

    pub(crate) fn look(&mut self, sample: Sample, worse: Direction, terms: Terms) {
        self.gaps.push(Gaps::default());
        let worse_by = sample.worse_by(worse);
        if terms.period == Period::Open {
            self.step.samples = self.step.samples.saturating_add(1);
            self.step.baseline += sample.baseline;
            self.step.canary += sample.canary;
            self.step.worse_by += worse_by;
        }
        self.take(Some(worse_by).filter(|_| terms.period == Period::Open), terms);
    }

    fn take(&mut self, worse_by: Option<f64>, terms: Terms) {
        self.block.looks += 1;
        if let Some(worse_by) = worse_by {
            self.block.samples += 1;
            self.block.sum += worse_by;
        }
        if self.block.looks == BLOCK {
            self.close(terms);
        }
    }

    fn close(&mut self, terms: Terms) {
        let Block { samples, sum, .. } = std::mem::take(&mut self.block);
        let mean = (samples >= BLOCK.div_ceil(2)).then(|| sum / f64::from(samples));
        let freed = mean
            .zip(self.before.get())
            .map(|(now, before)| (now - self.noise.memory * before) / (1.0 - self.noise.memory));
        if let (false, true, Some(mean), Some(_)) = (self.bets > 0, self.is_calibrated, mean, &self.slope) {
            self.bet(mean, self.noise.whole_spread, terms);
        }
        self.before = Kept::of(mean);
        if let Some(mean) = mean {
            self.bet_on_slopes(mean, freed, terms);
        }
        let Some(freed) = freed else {
            self.freed_before = Kept::default();
            return;
        };
        self.bet(freed, self.spread(), terms);
        if let Some(before) = self.freed_before.get() {
            self.squares += (freed - before).powi(2) / 2.0;
            self.differences = self.differences.saturating_add(1);
        }
        self.freed_before = Kept::of(Some(freed));
    }

    fn bet_on_slopes(&mut self, mean: f64, freed: Option<f64>, terms: Terms) {
        let spread = self.spread();
        let per_block = 1.0 / f64::from((terms.horizon_looks / BLOCK).max(1));
        if let Some(slope) = &mut self.slope {
            let terms = slope::Terms { harm: terms.margins.harm, spread, per_block, ceiling: terms.ceiling };
            slope.take(mean, freed, terms);
        }
    }

    fn bet(&mut self, freed: f64, spread: f64, terms: Terms) {
        let instalments = Instalments { horizon: terms.horizon_looks / BLOCK, endless: terms.endless };
        let due = if self.bets > 0 { instalments.due(1.0 - AT_OPENING, self.bets) } else { AT_OPENING };
        self.bets = self.bets.saturating_add(1);
        let instalment = due.min(self.reserve);
        self.reserve -= instalment;
        let harm = ((freed - terms.margins.harm) / spread).clamp(-CUT, CUT);
        for (stake, tilt) in self.stakes.iter_mut().zip(TILTS) {
            let ln_factor = (tilt * harm - tilt * tilt / 2.0).min(terms.ceiling);
            *stake = (ln_factor.exp() * (*stake + instalment)).min(MOST_WEALTH);
        }
        let safe = ((terms.margins.safe - freed) / spread).clamp(-CUT, CUT);
        for (ln, tilt) in self.safety.iter_mut().zip(TILTS) {
            *ln += tilt * safe - tilt * tilt / 2.0;
        }
    }

    /// The spread that the next bet goes by: the learned one, or the run's own where that is wider.
    fn spread(&self) -> f64 {
        let learned = self.noise.spread;
        let pooled = (PRIOR_BLOCKS * learned * learned + self.squares) / (PRIOR_BLOCKS + f64::from(self.differences));
        learned.max(pooled.sqrt())
    }

    pub(crate) fn evidence(&self) -> f64 {
        let of_level = self.reserve + self.stakes.iter().sum::<f64>() / self.stakes.len() as f64;
        match &self.slope {
            Some(slope) => (1.0 - ON_SLOPES) * of_level + ON_SLOPES * slope.evidence(),
            None => of_level,
        }
    }

    pub(crate) fn ln_safety(&self) -> f64 {
        ln_mean(&self.safety)
    }

    pub(crate) fn is_calibrated(&self) -> bool {
        self.is_calibrated
    }

    pub(crate) fn samples(&self) -> u32 {
        self.step.samples
    }

    /// How far the run's own noise is beyond the learned one, at least 1.
    pub(crate) fn noise(&self) -> f64 {
        self.spread() / self.noise.spread
    }

    /// The means of the step, baseline first.
    pub(crate) fn means(&self) -> Option<[f64; 2]> {
        let samples = f64::from(self.step.samples);
        (self.step.samples > 0).then(|| [self.step.baseline / samples, self.step.canary / samples])
    }

    /// The factor by which the canary is worse.
    pub(crate) fn effect(&self) -> Option<Effect> {
        let blocks = f64::from(self.step.samples) / f64::from(BLOCK);
        (self.step.samples > 0).then(|| {
            let ratio = (self.step.worse_by / f64::from(self.step.samples)).exp();
            let width = radius(blocks / self.spread().powi(2)).exp();
            Effect { ratio, interval: [ratio / width, ratio * width] }
        })
    }

    pub(crate) fn gaps(&self) -> &GapWindow {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGINS: Margins = Margins { harm: 0.0953, safe: 0.2231 };

    fn open() -> Terms {
        Terms { period: Period::Open, margins: MARGINS, horizon_looks: 360, endless: true, ceiling: 5.0 }
    }

    fn after(looks: usize, factor: impl Fn(usize) -> f64) -> Gauge {
        let history: Vec<Option<f64>> = (0..720).map(|i| Some([0.02, -0.01, 0.015, -0.025][(i / 3) % 4])).collect();
        let mut gauge = Gauge::new(Noise::learned(&history, Profile::Default), Profile::Default);
        for i in 0..looks {
            gauge.look(Sample { baseline: 5e6, canary: 5e6 * factor(i) }, Direction::Up, open());
        }
        gauge
    }

    #[test]
    fn a_gauge_that_rises_by_a_quarter_is_harm_and_an_equal_one_is_safe() {
        let (equal, worse) = (after(90, |_| 1.0), after(90, |_| 1.35));
        assert!(equal.evidence() < 1.0 && equal.ln_safety() > 20f64.ln(), "{equal:?}");
        assert!(worse.evidence() > 1000.0 && worse.ln_safety() < 0.0, "{worse:?}");
        assert!((worse.effect().expect("samples").ratio - 1.35).abs() < 1e-9);
    }

    #[test]
    fn a_value_that_is_not_above_zero_is_no_sample() {
        let gauge = |value| Reading::Seen {
            baseline: Some(Counts::Gauge { value: 1.0 }),
            canary: Some(Counts::Gauge { value }),
        };
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let gaps = Sample::read(None, Comparison::Concurrent, &gauge(value)).expect_err("no sample");
            assert!(gaps.contains(Gap::Invalid), "{value}");
        }
    }

    #[test]
    fn nothing_is_learned_from_a_short_history() {
        assert_eq!(Noise::learned(&[Some(0.1); 30], Profile::Default), None);
        assert_eq!(Noise::learned(&[], Profile::Default), None);
        assert!(Noise::learned(&[Some(0.1); 60], Profile::Default).is_some());
    }
}
