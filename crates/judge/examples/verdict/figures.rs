//! Figures: medians, shares and differences, with how sure one can be of them.
//!
//! Everything is exact or by a fixed seed: the same runs give the same figures. Next room: [`table`](crate::table).

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

/// The value below which this share of the values lies; infinite ones (never) are the largest. NaN of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Of {
    pub(crate) hits: usize,
    pub(crate) all: usize,
}

impl Of {
    pub(crate) fn count<T>(values: &[T], is_hit: impl Fn(&T) -> bool) -> Of {
        Of { hits: values.iter().filter(|value| is_hit(value)).count(), all: values.len() }
    }

    pub(crate) fn and(self, other: Of) -> Of {
        Of { hits: self.hits + other.hits, all: self.all + other.all }
    }

    pub(crate) fn percent(self) -> f64 {
        100.0 * self.hits as f64 / self.all as f64
    }

    /// The ends of a 95 % interval of the percentage (Clopper and Pearson 1934).
    pub(crate) fn interval(self) -> [f64; 2] {
        let search = |is_below: &dyn Fn(f64) -> bool| {
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                if is_below(middle) { low = middle } else { high = middle }
            }
            100.0 * low
        };
        let low = if self.hits == 0 { 0.0 } else { search(&|p| 1.0 - self.at_most(self.hits - 1, p) < 0.025) };
        let high = if self.hits == self.all { 100.0 } else { search(&|p| self.at_most(self.hits, p) > 0.025) };
        [low, high]
    }

    /// The chance of so many hits or fewer, if each has this chance.
    fn at_most(self, hits: usize, chance: f64) -> f64 {
        let (n, mut sum) = (self.all as f64, 0.0);
        let mut ln_term = n * (1.0 - chance).ln();
        for k in 0..=hits {
            sum += ln_term.exp();
            ln_term += ((n - k as f64) / (k as f64 + 1.0)).ln() + (chance / (1.0 - chance)).ln();
        }
        sum.min(1.0)
    }
}

/// A paired comparison of two judges on the same runs: the difference of the first less the second, with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    pub(crate) by: f64,
    pub(crate) interval: [f64; 2],
}

impl Difference {
    /// Whether the first has surely more.
    pub(crate) fn is_above(self) -> bool {
        self.interval[0] > 0.0
    }

    pub(crate) fn is_below(self) -> bool {
        self.interval[1] < 0.0
    }

    /// In percentage points. Exact: of the runs in which the two differ, the first's part is binomial (McNemar 1947).
    pub(crate) fn of_shares(pairs: &[(bool, bool)]) -> Difference {
        let only_first = Of::count(pairs, |(first, second)| *first && !second);
        let only_second = Of::count(pairs, |(first, second)| !first && *second);
        let differ = only_first.hits + only_second.hits;
        let scale = 100.0 * differ as f64 / pairs.len().max(1) as f64;
        let by = 100.0 * (only_first.hits as f64 - only_second.hits as f64) / pairs.len().max(1) as f64;
        if differ == 0 {
            return Difference { by, interval: [0.0, 0.0] };
        }
        let part = Of { hits: only_first.hits, all: differ }.interval();
        Difference { by, interval: part.map(|end| scale * (2.0 * end / 100.0 - 1.0)) }
    }

    /// Of the means, by a bootstrap of the pairs with a fixed seed.
    pub(crate) fn of_means(pairs: &[(f64, f64)]) -> Difference {
        let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
        let by = mean(&differences);
        if differences.iter().all(|difference| *difference == differences[0]) {
            return Difference { by, interval: [by, by] };
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(95);
        let n = differences.len();
        let again = |_| (0..n).map(|_| differences[random.random_range(0..n)]).sum::<f64>() / n as f64;
        let means: Vec<f64> = (0..1000).map(again).collect();
        Difference { by, interval: [quantile(&means, 0.025), quantile(&means, 0.975)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_intervals_are_those_of_the_textbook() {
        let close = |seen: [f64; 2], wanted: [f64; 2]| {
            assert!(seen.iter().zip(wanted).all(|(s, w)| (s - w).abs() < 0.01), "{seen:?} is not {wanted:?}");
        };
        close(Of { hits: 0, all: 500 }.interval(), [0.0, 0.735]);
        close(Of { hits: 5, all: 500 }.interval(), [0.325, 2.318]);
        close(Of { hits: 10, all: 10 }.interval(), [69.15, 100.0]);
    }

    #[test]
    fn never_is_later_than_any_time() {
        assert_eq!(median(&[f64::INFINITY, 3.0, 1.0]), 3.0);
        assert_eq!(quantile(&[f64::INFINITY, 3.0, 1.0], 0.95), f64::INFINITY);
    }

    #[test]
    fn pairs_that_never_differ_show_no_difference_and_pairs_that_mostly_do_show_one() {
        assert!(!Difference::of_shares(&[(true, true); 50]).is_above());
        let pairs: Vec<_> = (0..50).map(|i| (true, i < 5)).collect();
        let difference = Difference::of_shares(&pairs);
        assert!(difference.is_above() && (difference.by - 90.0).abs() < 1e-9);
        let delays: Vec<_> = (0..50).map(|i| (f64::from(i), f64::from(i) + 10.0 + f64::from(i % 3))).collect();
        assert!(Difference::of_means(&delays).is_below());
    }
}
