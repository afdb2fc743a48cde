//! Traffic: seeded canaries, one scrape after the other.
//!
//! Requests are Poisson, errors binomial (or in clusters), latencies multinomial over the buckets, gauges log-normal walks; the samplers are exact, so
//! that a judge that assumes too much of the counts is found out. What is common to both cohorts and what is peculiar to one are drawn apart. The same
//! seed gives the same canary. Must never know who judges it. Next room: [`peers`](crate::peers).

use libm::erfc;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Binomial, Distribution as _, Gamma, Poisson, StandardNormal};

use crate::ticks::{GAUGES, Side, Tick};

/// Seconds between two scrapes.
pub(crate) const TICK_SECONDS: f64 = 10.0;
/// One hour of scrapes.
pub(crate) const HOUR: usize = 360;
/// Two hours before the rollout, in which the baseline is split into two halves that are alike.
const BEFORE: usize = 720;
/// The last half hour of it carries histograms too.
const BEFORE_WITH_BUCKETS: usize = 180;
/// Below this many requests each one is drawn by itself.
const FEW: u64 = 24;

/// The edges, in milliseconds, that a scenario's histograms have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edges {
    /// 10 ms to 2.56 s, four to an octave, like a native histogram of schema 2.
    Fine,
    /// 10 ms to 2.56 s, two to an octave.
    Halves,
    /// No histogram: everything is in one bucket.
    None,
    /// The default edges of a Prometheus client.
    Prometheus,
}

impl Edges {
    pub(crate) fn milliseconds(self) -> Vec<f64> {
        let octaves = |per_octave: u32| {
            (0..=8 * per_octave)
                .map(|i| (1e4 * 2f64.powf(f64::from(i) / f64::from(per_octave))).round() / 1e3)
                .collect()
        };
        match self {
            Edges::None => Vec::new(),
            Edges::Fine => octaves(4),
            Edges::Halves => octaves(2),
            Edges::Prometheus => vec![5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4],
        }
    }
}

/// How the latencies of the old version are distributed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Latency {
    Lognormal {
        median_ms: f64,
        sigma: f64,
    },
    /// A body, and a small share of requests around eight medians with a wide spread.
    TwoModes {
        median_ms: f64,
        slow_share: f64,
    },
}

impl Latency {
    /// The share of requests that take at most so long.
    fn within(self, ms: f64) -> f64 {
        let ln = ms.max(1e-9).ln();
        match self {
            Latency::Lognormal { median_ms, sigma } => normal((ln - median_ms.ln()) / sigma),
            Latency::TwoModes { median_ms, slow_share } => {
                (1.0 - slow_share) * normal((ln - median_ms.ln()) / 0.5)
                    + slow_share * normal((ln - (8.0 * median_ms).ln()) / 0.9)
            }
        }
    }

    pub(crate) fn quantile(self, share: f64) -> f64 {
        let (mut low, mut high) = (1e-3f64, 1e7f64);
        for _ in 0..80 {
            let middle = (low * high).sqrt();
            if self.within(middle) < share { low = middle } else { high = middle }
        }
        (low * high).sqrt()
    }
}

fn normal(z: f64) -> f64 {
    0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// What the new version does to latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Slowness {
    None,
    /// Every request takes so much longer: 0.2 is 20 %.
    Scale(f64),
    /// The slowest tenth takes so much longer.
    Tail(f64),
    /// One in a hundred takes ten times as long.
    OneInHundred,
}

/// Who gets how much of the traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    Constant(f64),
    /// 1, 5, 25 and 50 %, fifteen minutes each.
    Ramp,
}

impl Share {
    /// The share at the start: pods, and with them the noise between cohorts, follow it.
    pub(crate) fn planned(self) -> f64 {
        match self {
            Share::Constant(share) => share,
            Share::Ramp => 0.05,
        }
    }

    fn at(self, tick: usize) -> f64 {
        match self {
            Share::Constant(share) => share,
            Share::Ramp => [0.01, 0.05, 0.25, 0.5][(4 * tick / HOUR).min(3)],
        }
    }
}

/// Noise that wanders: an AR(1) walk with this standard deviation, on a logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    pub(crate) sd: f64,
    pub(crate) memory: f64,
}

impl Noise {
    pub(crate) const NONE: Noise = Noise { sd: 0.0, memory: 0.95 };
}

/// Incidents that hit both cohorts: for a while errors are so many times as frequent, latencies the root of it as long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bursts {
    pub(crate) number: usize,
    pub(crate) factor: f64,
    pub(crate) ticks: usize,
}

/// Scrapes that are missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Missing {
    /// Each side's scrapes, each by itself.
    pub(crate) chance: f64,
    /// One gap of so many scrapes of the canary, somewhere.
    pub(crate) gap: usize,
    /// From this tick on a side is dark.
    pub(crate) canary_from: Option<usize>,
    pub(crate) baseline_from: Option<usize>,
}

/// Everything about one kind of canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) requests_per_second: f64,
    pub(crate) share: Share,
    /// The old version's share of errors.
    pub(crate) errors: f64,
    pub(crate) edges: Edges,
    pub(crate) latency: Latency,
    /// When the harm begins.
    pub(crate) onset: usize,
    pub(crate) error_factor: f64,
    pub(crate) slowness: Slowness,
    pub(crate) processor_factor: f64,
    /// Growth of memory in an hour: 0.5 is 50 %.
    pub(crate) leak_per_hour: f64,
    /// Traffic swings by this part of itself over the hour.
    pub(crate) diurnal: f64,
    /// Traffic grows by this part of itself over the hour.
    pub(crate) ramp: f64,
    pub(crate) bursts: Bursts,
    pub(crate) shared_errors: Noise,
    pub(crate) shared_latency: Noise,
    pub(crate) own_errors: Noise,
    pub(crate) own_latency: Noise,
    pub(crate) gauge_noise: Noise,
    /// Mean errors that come together.
    pub(crate) cluster: f64,
    /// How much worse the canary is in its first seconds; it fades with a time constant of 25 s, and is over after a minute.
    pub(crate) cold_start: f64,
    pub(crate) missing: Missing,
    /// The router never sends the canary anything.
    pub(crate) no_canary_traffic: bool,
}

impl Parameters {
    pub(crate) const PLAIN: Parameters = Parameters {
        requests_per_second: 100.0,
        share: Share::Constant(0.05),
        errors: 0.001,
        edges: Edges::Fine,
        latency: Latency::Lognormal { median_ms: 100.0, sigma: 0.6 },
        onset: 0,
        error_factor: 1.0,
        slowness: Slowness::None,
        processor_factor: 1.0,
        leak_per_hour: 0.0,
        diurnal: 0.0,
        ramp: 0.0,
        bursts: Bursts { number: 0, factor: 1.0, ticks: 6 },
        shared_errors: Noise::NONE,
        shared_latency: Noise::NONE,
        own_errors: Noise::NONE,
        own_latency: Noise::NONE,
        gauge_noise: Noise { sd: 0.03, memory: 0.9 },
        cluster: 1.0,
        cold_start: 0.0,
        missing: Missing { chance: 0.0, gap: 0, canary_from: None, baseline_from: None },
        no_canary_traffic: false,
    };

    /// The share of canary requests that the new version serves worse than the old one would have: `tick` counts from the start.
    fn worse_share(&self, tick: usize) -> f64 {
        if tick < self.onset {
            return 0.0;
        }
        let slow = match self.slowness {
            Slowness::None => 0.0,
            Slowness::Scale(_) => 1.0,
            Slowness::Tail(_) => 0.1,
            Slowness::OneInHundred => 0.01,
        };
        let failed = ((self.errors * self.error_factor).min(1.0) - self.errors).max(0.0);
        1.0 - (1.0 - slow) * (1.0 - failed)
    }
}

/// The looks before the rollout: the baseline, of which a part of the canary's size is cut off. Nothing of the new version is in them.
pub(crate) fn history(parameters: &Parameters, seed: u64) -> Vec<Tick> {
    let mut traffic = Traffic::new(parameters, seed, Stage::Before);
    (0..BEFORE).map(|_| traffic.tick()).collect()
}

/// The rollout itself: one hour.
pub(crate) fn hour(parameters: &Parameters, seed: u64) -> Vec<Tick> {
    let mut traffic = Traffic::during(parameters, seed);
    (0..HOUR).map(|_| traffic.tick()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    During,
}

/// One canary, scrape by scrape.
pub(crate) struct Traffic<'a> {
    parameters: &'a Parameters,
    stage: Stage,
    ticks: usize,
    tick: usize,
    /// Set by the caller where the rollout moves in steps.
    share: Option<f64>,
    random: Xoshiro256PlusPlus,
    phase: f64,
    bursts: Vec<usize>,
    gap: usize,
    shared_errors: Wander,
    shared_latency: Wander,
    own_errors: [Wander; 2],
    own_latency: [Wander; 2],
    shared_gauges: [Wander; GAUGES],
    own_gauges: [[Wander; GAUGES]; 2],
    edges: Vec<f64>,
    p90_ms: f64,
    /// The buckets of a side on which nothing acts, computed once.
    calm: Vec<f64>,
}

const BASELINE: usize = 0;
const CANARY: usize = 1;

impl<'a> Traffic<'a> {
    /// The rollout.
    pub(crate) fn during(parameters: &'a Parameters, seed: u64) -> Self {
        Traffic::new(parameters, seed, Stage::During)
    }

    fn new(parameters: &'a Parameters, seed: u64, stage: Stage) -> Self {
        let (ticks, lane) = match stage {
            Stage::Before => (BEFORE, 1),
            Stage::During => (HOUR, 2),
        };
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(4).wrapping_add(lane));
        let bursts = (0..parameters.bursts.number).map(|_| random.random_range(0..ticks - parameters.bursts.ticks));
        let bursts = bursts.collect();
        let (phase, gap) = (random.random_range(0.0..std::f64::consts::TAU), parameters.missing.gap);
        let gap = random.random_range(0..ticks - gap);
        // a cohort of many pods averages their whims: the baseline is calmer by the root of the split
        let share = parameters.share.planned();
        let calmer = (share / (1.0 - share).max(1e-9)).sqrt();
        let pair = |noise: Noise| [Wander::new(Noise { sd: noise.sd * calmer, ..noise }), Wander::new(noise)];
        let gauges = pair(parameters.gauge_noise);
        let edges = parameters.edges.milliseconds();
        let calm = buckets(&edges, |ms| parameters.latency.within(ms));
        Traffic {
            parameters,
            stage,
            ticks,
            tick: 0,
            share: None,
            random,
            phase,
            bursts,
            gap,
            shared_errors: Wander::new(parameters.shared_errors),
            shared_latency: Wander::new(parameters.shared_latency),
            own_errors: pair(parameters.own_errors),
            own_latency: pair(parameters.own_latency),
            shared_gauges: [Wander::new(Noise { sd: 0.10, memory: 0.98 }); GAUGES],
            own_gauges: gauges.map(|wander| [wander; GAUGES]),
            edges,
            p90_ms: parameters.latency.quantile(0.9),
            calm,
        }
    }

    /// From now on the canary gets this share, whatever the parameters say.
    pub(crate) fn route(&mut self, share: f64) {
        self.share = Some(share);
    }

    /// The next scrape.
    pub(crate) fn tick(&mut self) -> Tick {
        let requests = self.requests();
        let errors = self.error_shares();
        let slowness = self.latency_factors();
        let mut gauges = self.gauges();
        self.warm_gauges(&mut gauges);
        let mut side = |which: usize| Side {
            requests: requests[which],
            errors: self.errors(requests[which], errors[which]),
            buckets: self.latencies(which, requests[which], slowness[which]),
            gauges: gauges[which],
        };
        let (baseline, canary) = (side(BASELINE), side(CANARY));
        let worse =
            if self.is_rollout() { requests[CANARY] as f64 * self.parameters.worse_share(self.tick) } else { 0.0 };
        let [no_baseline, no_canary] = self.missing();
        self.tick += 1;
        Tick { baseline: (!no_baseline).then_some(baseline), canary: (!no_canary).then_some(canary), worse }
    }

    fn is_rollout(&self) -> bool {
        self.stage == Stage::During
    }

    /// Whether the harm has begun.
    fn is_on(&self) -> bool {
        self.is_rollout() && self.tick >= self.parameters.onset
    }

    /// The extra factor of a cold start.
    fn cold(&self) -> f64 {
        if self.is_rollout() && self.tick < 6 {
            self.parameters.cold_start * (-(self.tick as f64) * TICK_SECONDS / 25.0).exp()
        } else {
            0.0
        }
    }

    fn requests(&mut self) -> [u64; 2] {
        let parameters = self.parameters;
        let day = self.tick as f64 / self.ticks as f64;
        let swing = 1.0 + parameters.diurnal * (std::f64::consts::TAU * day + self.phase).sin();
        let expected = parameters.requests_per_second * TICK_SECONDS * swing * (1.0 + parameters.ramp * day);
        let share = match self.stage {
            Stage::Before => parameters.share.planned(),
            Stage::During => self.share.unwrap_or_else(|| parameters.share.at(self.tick)),
        };
        let baseline = poisson(&mut self.random, expected * (1.0 - share));
        let canary = poisson(&mut self.random, expected * share);
        [baseline, if parameters.no_canary_traffic && self.is_rollout() { 0 } else { canary }]
    }

    fn burst(&self) -> f64 {
        let bursts = self.parameters.bursts;
        let inside = self.bursts.iter().filter(|&&start| (start..start + bursts.ticks).contains(&self.tick)).count();
        bursts.factor.powi(inside as i32)
    }

    fn error_shares(&mut self) -> [f64; 2] {
        let common = self.parameters.errors * self.shared_errors.next(&mut self.random).exp() * self.burst();
        let mut own = |which: usize| {
            let wander = &mut self.own_errors[which];
            let mean_one = wander.noise.sd * wander.noise.sd / 2.0;
            (wander.next(&mut self.random) - mean_one).exp()
        };
        let (baseline, canary) = (own(BASELINE), own(CANARY));
        let harm = if self.is_on() { self.parameters.error_factor } else { 1.0 };
        [common * baseline, common * canary * harm * (1.0 + self.cold())]
    }

    fn errors(&mut self, requests: u64, share: f64) -> u64 {
        let share = share.clamp(0.0, 1.0);
        if self.parameters.cluster <= 1.0 {
            return binomial(&mut self.random, requests, share);
        }
        let clusters = poisson(&mut self.random, requests as f64 * share / self.parameters.cluster);
        (clusters + more_of_each(&mut self.random, clusters, self.parameters.cluster)).min(requests)
    }

    fn latency_factors(&mut self) -> [f64; 2] {
        let common = self.shared_latency.next(&mut self.random).exp() * self.burst().sqrt();
        let baseline = self.own_latency[BASELINE].next(&mut self.random).exp();
        let canary = self.own_latency[CANARY].next(&mut self.random).exp();
        [common * baseline, common * canary * (1.0 + self.cold() / 2.0)]
    }

    fn latencies(&mut self, which: usize, requests: u64, factor: f64) -> Vec<u64> {
        if self.stage == Stage::Before && self.tick + BEFORE_WITH_BUCKETS < BEFORE {
            return Vec::new();
        }
        let parameters = self.parameters;
        let slowness = if which == CANARY && self.is_on() { parameters.slowness } else { Slowness::None };
        if factor == 1.0 && slowness == Slowness::None {
            return multinomial(&mut self.random, requests, &self.calm);
        }
        let within = |ms: f64| slowed(parameters.latency, slowness, self.p90_ms, ms / factor);
        multinomial(&mut self.random, requests, &buckets(&self.edges, within))
    }

    fn gauges(&mut self) -> [[f64; GAUGES]; 2] {
        let share = self.parameters.share.planned();
        let calmer = (share / (1.0 - share).max(1e-9)).sqrt();
        let random = &mut self.random;
        let common = self.shared_gauges.each_mut().map(|wander| wander.next(random));
        let mut side = |which: usize, size: f64| {
            std::array::from_fn(|gauge| {
                let scatter: f64 = StandardNormal.sample(random);
                let own = self.own_gauges[which][gauge].next(random);
                0.5 * (common[gauge] + own + 0.02 * size * scatter).exp()
            })
        };
        [side(BASELINE, calmer), side(CANARY, 1.0)]
    }

    fn warm_gauges(&self, gauges: &mut [[f64; GAUGES]; 2]) {
        if !self.is_rollout() {
            return;
        }
        let [processor, memory] = &mut gauges[CANARY];
        let cold = 1.0 + self.cold() / 4.0;
        *processor *= cold * if self.is_on() { self.parameters.processor_factor } else { 1.0 };
        *memory *= cold * (1.0 + self.parameters.leak_per_hour * self.tick as f64 / HOUR as f64);
    }

    fn missing(&mut self) -> [bool; 2] {
        if !self.is_rollout() {
            return [false; 2];
        }
        let missing = self.parameters.missing;
        let lost: [bool; 2] = [self.random.random_bool(missing.chance), self.random.random_bool(missing.chance)];
        let dark = |from: Option<usize>| from.is_some_and(|from| self.tick >= from);
        let in_gap = (self.gap..self.gap + missing.gap).contains(&self.tick);
        [lost[BASELINE] || dark(missing.baseline_from), lost[CANARY] || in_gap || dark(missing.canary_from)]
    }
}

/// The share of requests within so many milliseconds, under the new version.
pub(crate) fn slowed(latency: Latency, slowness: Slowness, p90_ms: f64, ms: f64) -> f64 {
    match slowness {
        Slowness::None => latency.within(ms),
        Slowness::Scale(by) => latency.within(ms / (1.0 + by)),
        Slowness::Tail(_) if ms < p90_ms => latency.within(ms),
        Slowness::Tail(by) => latency.within(ms / (1.0 + by)).max(0.9),
        Slowness::OneInHundred => 0.99 * latency.within(ms) + 0.01 * latency.within(ms / 10.0),
    }
}

/// Cumulative shares up to each edge, and all.
fn buckets(edges: &[f64], within: impl Fn(f64) -> f64) -> Vec<f64> {
    edges.iter().map(|&ms| within(ms)).chain([1.0]).collect()
}

/// An AR(1) walk that starts in its stationary state.
#[derive(Debug, Clone, Copy)]
struct Wander {
    noise: Noise,
    now: Option<f64>,
}

impl Wander {
    fn new(noise: Noise) -> Self {
        Wander { noise, now: None }
    }

    fn next(&mut self, random: &mut Xoshiro256PlusPlus) -> f64 {
        let Noise { sd, memory } = self.noise;
        if sd == 0.0 {
            return 0.0;
        }
        let shock: f64 = StandardNormal.sample(random);
        let next = match self.now {
            None => sd * shock,
            Some(now) => memory * now + sd * (1.0 - memory * memory).sqrt() * shock,
        };
        self.now = Some(next);
        next
    }
}

fn poisson(random: &mut Xoshiro256PlusPlus, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |law| law.sample(random) as u64)
}

fn binomial(random: &mut Xoshiro256PlusPlus, n: u64, p: f64) -> u64 {
    Binomial::new(n, p).map_or(0, |law| law.sample(random))
}

/// Negative binomial: how many more than one come in so many clusters, each geometric with this mean; a Poisson whose mean is a gamma variable.
fn more_of_each(random: &mut Xoshiro256PlusPlus, clusters: u64, mean: f64) -> u64 {
    let rate = Gamma::new(clusters as f64, mean - 1.0).map_or(0.0, |law| law.sample(random));
    poisson(random, rate)
}

/// So many requests over the buckets, by conditional binomials; few of them one by one.
fn multinomial(random: &mut Xoshiro256PlusPlus, n: u64, cumulative: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; cumulative.len()];
    let last = cumulative.len() - 1;
    if n < FEW {
        for _ in 0..n {
            let u: f64 = random.random();
            counts[cumulative.partition_point(|&share| share <= u).min(last)] += 1;
        }
        return counts;
    }
    let (mut left, mut below) = (n, 0.0);
    for (count, &share) in counts.iter_mut().zip(cumulative) {
        if left == 0 {
            break;
        }
        let here = ((share - below) / (1.0 - below)).clamp(0.0, 1.0);
        *count = binomial(random, left, here);
        left -= *count;
        below = share;
    }
    // rounding may leave the last bucket a hair below certainty
    counts[last] += left;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(draws: &[f64]) -> (f64, f64) {
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        (mean, draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0))
    }

    fn close(seen: f64, wanted: f64, tolerance: f64) {
        assert!((seen - wanted).abs() <= tolerance * wanted.abs(), "{seen} is not {wanted} within {tolerance}");
    }

    #[test]
    fn the_same_seed_gives_the_same_hour_and_another_seed_another() {
        let parameters = Parameters { cluster: 4.0, diurnal: 0.3, ..Parameters::PLAIN };
        assert_eq!(hour(&parameters, 7), hour(&parameters, 7));
        assert_ne!(hour(&parameters, 7), hour(&parameters, 8));
        assert_ne!(history(&parameters, 7)[..10], hour(&parameters, 7)[..10]);
    }

    #[test]
    fn buckets_hold_every_request_in_the_shares_of_the_distribution() {
        let parameters = Parameters { requests_per_second: 400.0, share: Share::Constant(0.02), ..Parameters::PLAIN };
        let edges = parameters.edges.milliseconds();
        let mut totals = [vec![0u64; edges.len() + 1], vec![0u64; edges.len() + 1]];
        for seed in 0..40 {
            for tick in hour(&parameters, seed) {
                for (side, totals) in [tick.baseline, tick.canary].into_iter().flatten().zip(&mut totals) {
                    assert_eq!(side.buckets.iter().sum::<u64>(), side.requests);
                    side.buckets.iter().zip(totals).for_each(|(count, total)| *total += count);
                }
            }
        }
        for total in totals {
            let all = total.iter().sum::<u64>() as f64;
            let mut within = 0;
            for (count, &edge) in total.iter().zip(&edges) {
                within += count;
                let wanted = parameters.latency.within(edge);
                let error = (wanted * (1.0 - wanted) / all).sqrt();
                assert!(
                    (within as f64 / all - wanted).abs() <= 5.0 * error + 1e-6,
                    "{edge} ms: {within} of {all}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn errors_in_clusters_keep_their_mean_and_vary_as_much_as_clusters_do() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let draw = |_| {
            let clusters = poisson(&mut random, 2.0);
            (clusters + more_of_each(&mut random, clusters, 4.0)) as f64
        };
        let draws: Vec<f64> = (0..200_000).map(draw).collect();
        let (mean, variance) = mean_and_variance(&draws);
        // a compound Poisson: rate times the second moment of a geometric of mean 4, which is 28
        close(mean, 8.0, 0.02);
        close(variance, 56.0, 0.03);
    }

    #[test]
    fn harm_begins_at_its_onset_and_only_in_the_canary() {
        let parameters = Parameters {
            requests_per_second: 1000.0,
            share: Share::Constant(0.5),
            errors: 0.1,
            error_factor: 3.0,
            onset: 180,
            ..Parameters::PLAIN
        };
        let ticks = hour(&parameters, 3);
        let share = |ticks: &[Tick], side: fn(&Tick) -> &Option<Side>| {
            let sides = || ticks.iter().filter_map(|tick| side(tick).as_ref());
            sides().map(|s| s.errors).sum::<u64>() as f64 / sides().map(|s| s.requests).sum::<u64>() as f64
        };
        close(share(&ticks[..180], |tick| &tick.canary), 0.1, 0.02);
        close(share(&ticks[180..], |tick| &tick.canary), 0.3, 0.02);
        close(share(&ticks[180..], |tick| &tick.baseline), 0.1, 0.02);
        assert_eq!(ticks[..180].iter().map(|tick| tick.worse).sum::<f64>(), 0.0);
        close(ticks[200].worse, 0.2 * ticks[200].canary_requests() as f64, 1e-9);
    }

    #[test]
    fn a_side_that_goes_dark_is_missing_and_not_idle() {
        let missing = Missing { chance: 0.0, gap: 0, canary_from: Some(5), baseline_from: Some(8) };
        let ticks = hour(&Parameters { missing, ..Parameters::PLAIN }, 1);
        assert!(ticks[4].canary.is_some() && ticks[5].canary.is_none());
        assert!(ticks[7].baseline.is_some() && ticks[8].baseline.is_none());
        let idle = hour(&Parameters { no_canary_traffic: true, ..Parameters::PLAIN }, 1);
        assert!(idle.iter().all(|tick| tick.canary.as_ref().is_some_and(|side| side.requests == 0)));
    }
}
