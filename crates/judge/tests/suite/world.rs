//! A small world for tests: seeded traffic with known truth. It must never use the judge's own arithmetic.

use judge::{Comparison, Counts, Direction, Look, Reading, Settings, SliKind, SliSettings, StepSettings};

/// xorshift64*: the tests need repeatable numbers, not good ones.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.unit();
        }
        random
    }

    /// Uniform in (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Exact: the gaps between hits are geometric.
    pub(crate) fn binomial(&mut self, count: u64, p: f64) -> u64 {
        if p <= 0.0 || p >= 1.0 {
            return if p <= 0.0 { 0 } else { count };
        }
        let (mut at, mut hits) = (0.0, 0);
        loop {
            at += (self.unit().ln() / (1.0 - p).ln()).floor() + 1.0;
            if at > count as f64 {
                return hits;
            }
            hits += 1;
        }
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How one cohort behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cohort {
    pub(crate) bad_share: f64,
    pub(crate) median_ms: f64,
}

pub(crate) const SIGMA: f64 = 0.35;

impl Cohort {
    pub(crate) fn errors(bad_share: f64) -> Self {
        Cohort { bad_share, median_ms: 12.0 }
    }

    pub(crate) fn ratio(&self, random: &mut Random, total: u64) -> Counts {
        Counts::Ratio { total, bad: random.binomial(total, self.bad_share) }
    }

    pub(crate) fn latency(&self, random: &mut Random, total: u64) -> Counts {
        let mut buckets = vec![0; EDGES_MS.len() + 1];
        for _ in 0..total {
            let ms = self.median_ms * (SIGMA * random.normal()).exp();
            buckets[EDGES_MS.partition_point(|&edge| edge < ms)] += 1;
        }
        Counts::Latency { buckets }
    }
}

pub(crate) const EDGES_MS: [f64; 22] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0,
    250.0, 500.0, 1000.0,
];

pub(crate) fn errors(objective: Option<f64>) -> SliSettings {
    SliSettings { objective, ..SliSettings::new("errors", SliKind::ratio()) }
}

pub(crate) fn latency(objective: Option<f64>) -> SliSettings {
    SliSettings { objective, ..SliSettings::new("latency", SliKind::latency(EDGES_MS.into(), Some(50.0))) }
}

pub(crate) fn smoke() -> SliSettings {
    SliSettings::new("smoke", SliKind::Check)
}

/// A gauge; the limit is what its objective allows.
pub(crate) fn memory(limit: Option<f64>) -> SliSettings {
    let kind = SliKind::Gauge { harm: 0.10, safe: 0.25, worse: Direction::Up, limit };
    SliSettings::new("memory", kind)
}

pub(crate) fn gauge(value: f64) -> Option<Counts> {
    Some(Counts::Gauge { value })
}

pub(crate) fn settings(slis: Vec<SliSettings>) -> Settings {
    Settings::new(slis, 10_000, 360)
}

pub(crate) fn step(comparison: Comparison, bake_looks: u32) -> StepSettings {
    StepSettings { comparison, bake_looks, expected_share: None }
}

pub(crate) fn seen(baseline: Option<Counts>, canary: Option<Counts>) -> Reading {
    Reading::Seen { baseline, canary }
}

pub(crate) fn ratio(total: u64, bad: u64) -> Option<Counts> {
    Some(Counts::Ratio { total, bad })
}

pub(crate) fn look(reading: Reading) -> Look {
    Look { readings: vec![reading] }
}

/// One look at errors and latency of a split stream of requests.
pub(crate) fn both(random: &mut Random, requests: u64, share: f64, baseline: Cohort, canary: Cohort) -> Look {
    let of_canary = (requests as f64 * share).round() as u64;
    let of_baseline = requests - of_canary;
    let side = |counts: Counts, total: u64| (total > 0).then_some(counts);
    let ratio =
        seen(side(baseline.ratio(random, of_baseline), of_baseline), side(canary.ratio(random, of_canary), of_canary));
    let latency = seen(
        side(baseline.latency(random, of_baseline), of_baseline),
        side(canary.latency(random, of_canary), of_canary),
    );
    Look { readings: vec![ratio, latency] }
}
