//! Course: the wealth that is bet on one series, block by block.
//!
//! Each block's `d` is freed of its memory, which is learned from the blocks before it by the mean size of their changes over one block and over two
//! (for noise with first-order memory `r` the squared ratio is `1 + r`; sizes and not squares, so that one jump teaches little). Then
//! `wealth *= 1 + tanh(tilt * excess / spread)`, once for "more than equal" and once for "less", with the spread learned from the past. Both the memory
//! and the spread only steer the bets. Constant in size. Next room: none.

use super::SeriesKind;
use crate::harm::{Instalments, MOST_WEALTH};
use crate::settings::Direction;

/// Standardised shifts to bet on; each gets a quarter of the wealth.
const TILTS: [f64; 4] = [0.3, 0.6, 1.2, 2.4];
/// The part of the fund that is staked at the first bet.
const AT_OPENING: f64 = 0.6;
/// The memory that is assumed, and how many blocks that is worth.
const ASSUMED_MEMORY: f64 = 0.7;
const PRIOR_BLOCKS: f64 = 20.0;
const MOST_MEMORY: f64 = 0.95;
/// After so many changes, one that is so many times as large as they were in the mean is a jump, and teaches no more than that.
const JUMP_AFTER: u32 = 6;
const JUMP: f32 = 3.0;
/// The spread that is assumed, and how many blocks that is worth; no series is steadier than the least one.
const ASSUMED_SPREAD: f64 = 0.2;
const SPREAD_BLOCKS: f64 = 2.0;
const LEAST_SPREAD: f64 = 0.02;
/// The spread of a normal value over the mean size of the difference of two: `sqrt(pi) / 2`.
const SPREAD_PER_STEP: f64 = 0.886;
/// Slow noise beyond the fast one widens the margin by so many of its spreads: a series that strays for minutes, and comes back, has not moved.
const WANDER: f64 = 1.5;
/// The mean size of a deviation is the spread over this, if it is normal: `sqrt(pi / 2)`. Fast noise is taken a little larger than it was seen.
const SPREAD_PER_DEVIATION: f64 = 1.253;
const FAST_AT_MOST: f64 = 1.3;
/// After so many blocks without it a gauge is taken for gone, and a counter, which may only be rare.
const GONE_GAUGE: u8 = 2;
const GONE_COUNTER: u8 = 20;
/// The effect that is shown is the mean over about so many blocks.
const EFFECT_BLOCKS: f64 = 10.0;

/// On what terms a block is bet on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    /// Between which `d` an equal canary lies.
    pub(super) equal: [f64; 2],
    pub(super) margin: f64,
    /// Planned blocks of the whole rollout.
    pub(super) horizon: u32,
    /// Whether anything is staked yet.
    pub(super) stakes: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    kind: SeriesKind,
    /// Blocks since the last one that showed it.
    silent: u8,
    opened: bool,
    before: [Option<f32>; 2],
    freed_before: Option<f32>,
    /// The sizes of changes over one block and over two, and how many.
    steps: [f32; 2],
    pairs: u32,
    /// The sizes of changes of the freed values, and how many.
    freed_steps: f32,
    freed_pairs: u32,
    centre: f32,
    /// The sizes of deviations from the centre before, and how many.
    away: f32,
    aways: u32,
    blocks: u32,
    reserve: f64,
    more: [f64; 4],
    less: [f64; 4],
}

impl Course {
    pub(super) fn new(kind: SeriesKind) -> Self {
        Course {
            kind,
            silent: 0,
            opened: false,
            before: [None; 2],
            freed_before: None,
            steps: [0.0; 2],
            pairs: 0,
            freed_steps: 0.0,
            freed_pairs: 0,
            centre: 0.0,
            away: 0.0,
            aways: 0,
            blocks: 0,
            reserve: 1.0,
            more: [0.0; 4],
            less: [0.0; 4],
        }
    }

    pub(super) fn interrupt(&mut self) {
        self.before = [None; 2];
        self.freed_before = None;
    }

    pub(super) fn take(&mut self, d: Option<f64>, terms: Terms) {
        self.silent = if d.is_some() { 0 } else { self.silent.saturating_add(1) };
        let Some(d) = d else {
            // A counter to which little happens has no block at every turn; its blocks follow one another all the same.
            if self.kind == SeriesKind::Gauge {
                self.interrupt();
            }
            return;
        };
        if self.blocks >= 2 {
            self.away += cut((d as f32 - self.centre).abs(), self.away, self.aways);
            self.aways = self.aways.saturating_add(1);
        }
        self.blocks = self.blocks.saturating_add(1);
        self.centre += ((d - f64::from(self.centre)) / f64::from(self.blocks).min(EFFECT_BLOCKS)) as f32;
        if let Some(before) = self.before[0] {
            let memory = self.memory();
            let freed = (d - memory * f64::from(before)) / (1.0 - memory);
            if terms.stakes {
                self.bet(freed, terms);
            }
            self.learn(d, before, freed);
        }
        self.before = [Some(d as f32), self.before[0]];
    }

    fn bet(&mut self, freed: f64, terms: Terms) {
        let instalments = Instalments { horizon: terms.horizon, endless: true };
        let due = if self.opened { instalments.due(1.0 - AT_OPENING, self.blocks) } else { AT_OPENING };
        self.opened = true;
        let instalment = due.min(self.reserve);
        self.reserve -= instalment;
        let [least, most] = if self.kind == SeriesKind::Histogram { [0.0; 2] } else { terms.equal };
        let spread = self.spread();
        let grow = |stakes: &mut [f64; 4], excess: f64| {
            for (stake, tilt) in stakes.iter_mut().zip(TILTS) {
                *stake = ((1.0 + (tilt * excess / spread).tanh()) * (*stake + instalment)).min(MOST_WEALTH);
            }
        };
        let margin = terms.margin + self.wander();
        grow(&mut self.more, freed - most - margin);
        grow(&mut self.less, least - margin - freed);
    }

    fn learn(&mut self, d: f64, before: f32, freed: f64) {
        if let Some(earlier) = self.before[1] {
            let sizes = [before, earlier].map(|then| cut((d as f32 - then).abs(), self.steps[1], self.pairs));
            self.steps = [self.steps[0] + sizes[0], self.steps[1] + sizes[1]];
            self.pairs = self.pairs.saturating_add(1);
        }
        if let Some(freed_before) = self.freed_before {
            self.freed_steps += cut((freed as f32 - freed_before).abs(), self.freed_steps, self.freed_pairs);
            self.freed_pairs = self.freed_pairs.saturating_add(1);
        }
        self.freed_before = Some(freed as f32);
    }

    /// Raised by half a standard error: memory that is thought too small makes bets of one noise twice.
    fn memory(&self) -> f64 {
        let [one, two] = self.steps.map(f64::from);
        let seen = if one > 0.0 { (two / one).powi(2) - 1.0 } else { ASSUMED_MEMORY };
        let blocks = f64::from(self.pairs);
        let shrunk = (PRIOR_BLOCKS * ASSUMED_MEMORY + blocks * seen) / (PRIOR_BLOCKS + blocks);
        (shrunk + 0.5 / (PRIOR_BLOCKS + blocks).sqrt()).clamp(0.0, MOST_MEMORY)
    }

    /// By how much the series strays slowly, each cohort its own way.
    fn wander(&self) -> f64 {
        let away = SPREAD_PER_DEVIATION * f64::from(self.away) / f64::from(self.aways.max(1));
        let fast = SPREAD_PER_STEP * f64::from(self.steps[0]) / f64::from(self.pairs.max(1));
        WANDER * (away * away - FAST_AT_MOST * fast * fast).max(0.0).sqrt()
    }

    fn spread(&self) -> f64 {
        let seen = SPREAD_PER_STEP * f64::from(self.freed_steps);
        let pooled = (SPREAD_BLOCKS * ASSUMED_SPREAD + seen) / (SPREAD_BLOCKS + f64::from(self.freed_pairs));
        pooled.max(LEAST_SPREAD)
    }

    /// The mean of both directions: an e-value against "equal, up to the margin".
    pub(super) fn evidence(&self) -> f64 {
        self.reserve + (self.more.iter().sum::<f64>() + self.less.iter().sum::<f64>()) / 8.0
    }

    pub(super) fn direction(&self) -> Direction {
        if self.more.iter().sum::<f64>() >= self.less.iter().sum::<f64>() { Direction::Up } else { Direction::Down }
    }

    pub(super) fn effect(&self) -> f64 {
        f64::from(self.centre).exp()
    }

    pub(super) fn is_fresh(&self) -> bool {
        let most = if self.kind == SeriesKind::Gauge { GONE_GAUGE } else { GONE_COUNTER };
        self.silent < most
    }
}

/// The size of a change, cut off if it is a jump by what the changes before were like.
fn cut(size: f32, sum: f32, count: u32) -> f32 {
    if count < JUMP_AFTER { size } else { size.min(JUMP * sum / count as f32) }
}
