//! Seeded series of two cohorts: noise that remembers, tails that are heavy, shocks that hit both, and noise that one cohort has in all its series.

use judge::{Pair, Scan, ScanBlock, ScanLook, ScanSettings, SeriesReading};

/// How the series of one world vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Of one look on the next.
    pub memory: f64,
    /// Of the logarithm, in each cohort alone.
    pub spread: f64,
    /// Of the logarithm, in all series of a cohort at once, with the same memory.
    pub of_cohort: f64,
    /// Of the logarithm, in both cohorts at once.
    pub shared: f64,
    pub heavy: bool,
    /// Canary's part of the traffic.
    pub share: f64,
}

pub(crate) const CALM: Noise =
    Noise { memory: 0.5, spread: 0.05, of_cohort: 0.02, shared: 0.2, heavy: false, share: 0.5 };

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn chance(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.chance()).ln()).sqrt() * (std::f64::consts::TAU * self.chance()).cos()
    }

    /// Three degrees of freedom, of variance 1.
    fn heavy(&mut self) -> f64 {
        let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / squares.max(1e-9).sqrt()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 40.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (mut left, mut count) = (self.chance(), 0.0);
        let mut part = (-mean).exp();
        while left > part && count < 200.0 {
            left -= part;
            count += 1.0;
            part *= mean / count;
        }
        count
    }
}

/// Series `0..count`: by their number gauges, small whole gauges, busy and rare counters.
pub(crate) struct Series {
    noise: Noise,
    dice: Dice,
    count: usize,
    own: Vec<[f64; 2]>,
    of_cohort: [f64; 2],
    shared: f64,
    /// The first series is multiplied by it in the canary, from this look on.
    pub(crate) planted: Option<(u64, f64)>,
    pub(crate) readings: Vec<SeriesReading>,
}

impl Series {
    pub(crate) fn new(seed: u64, count: usize, noise: Noise) -> Self {
        let name = |i: usize| format!("series_{i:03}{{path=\"/orders/{}\"}}", i % 7);
        let pair = Pair::Gauge { baseline: 0.0, canary: 0.0 };
        let readings = (0..count).map(|i| SeriesReading { name: name(i), pair: pair.clone() }).collect();
        let mut series = Series {
            noise,
            dice: Dice::new(seed),
            count,
            own: vec![[0.0; 2]; count],
            of_cohort: [0.0; 2],
            shared: 0.0,
            planted: None,
            readings,
        };
        // the memory is there before the first look
        let looks = (3.0 / (1.0 - noise.memory)).min(300.0) as u32;
        (0..looks).for_each(|_| series.move_on());
        series
    }

    fn move_on(&mut self) {
        let Noise { memory, spread, of_cohort, shared, heavy, .. } = self.noise;
        let fresh = (1.0 - memory * memory).sqrt();
        let dice = &mut self.dice;
        for own in self.own.iter_mut().flatten() {
            let push = if heavy { dice.heavy() } else { dice.normal() };
            *own = memory * *own + fresh * spread * push;
        }
        for factor in &mut self.of_cohort {
            *factor = memory * *factor + fresh * of_cohort * dice.normal();
        }
        let burst = if dice.chance() < 0.01 { 2.0 } else { 0.0 };
        self.shared = 0.8 * self.shared + shared * dice.normal() + burst;
    }

    pub(crate) fn next(&mut self, number: u64) {
        self.move_on();
        for i in 0..self.count {
            let loading = 1.0 - (i % 5) as f64 / 4.0;
            let planted = self.planted.filter(|(from, _)| i == 0 && number >= *from).map_or(1.0, |(_, factor)| factor);
            let at = |side: usize| (self.own[i][side] + loading * (self.of_cohort[side] + self.shared)).exp();
            let [b, c] = [at(0), at(1) * planted];
            let share = self.noise.share;
            let dice = &mut self.dice;
            self.readings[i].pair = match i % 4 {
                0 => Pair::Gauge { baseline: 1e6 * b, canary: 1e6 * c },
                1 => Pair::Gauge { baseline: dice.poisson(2.0 * b), canary: dice.poisson(2.0 * c) },
                2 => Pair::Counter {
                    baseline: dice.poisson(900.0 * b * (1.0 - share)),
                    canary: dice.poisson(900.0 * c * share),
                },
                _ => Pair::Counter {
                    baseline: dice.poisson(3.0 * b * (1.0 - share)),
                    canary: dice.poisson(3.0 * c * share),
                },
            };
        }
    }

    pub(crate) fn look<'a>(&'a self, number: u64) -> ScanLook<'a> {
        let share = self.noise.share;
        ScanLook { number, traffic: [1.0 - share, share], instances: [1.0, 1.0], readings: &self.readings }
    }
}

/// A scan over so many looks; whether and when anything was found.
pub(crate) fn first_finding(series: &mut Series, looks: u64) -> (Scan, Option<u64>, Vec<ScanBlock>) {
    let mut scan = Scan::new(ScanSettings::new(looks as u32));
    scan.begin_step();
    let (mut first, mut blocks) = (None, Vec::new());
    for number in 1..=looks {
        series.next(number);
        blocks.extend(scan.look(&series.look(number)));
        if first.is_none() && !scan.findings().is_empty() {
            first = Some(number);
        }
    }
    (scan, first, blocks)
}
