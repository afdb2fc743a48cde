//! Random: seeded chance as a value, and the draws that synthetic traffic is made of.
//!
//! The same seed gives the same numbers on every machine. Large means are drawn from the normal approximation: a plan needs to be quick, and its
//! answers carry margins far above that error. Must never be seeded from outside by anything but its caller. Next room:
//! [`present`](crate::plan::Present).

/// Means above this are drawn from the normal approximation.
const MANY: f64 = 40.0;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and every seed is a good one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Random {
    state: u64,
    /// The other half of the last pair of normal draws.
    spare: Option<f64>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random { state: seed, spare: None }
    }

    /// Another stream that has nothing to do with this one.
    pub(crate) fn fork(&mut self) -> Self {
        Random::new(self.next() ^ 0xA5A5_5A5A_C3C3_3C3C)
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box & Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > MANY {
            return self.rounded_normal(mean, mean);
        }
        let (mut chance, mut hits, at) = ((-mean).exp(), 0u64, self.unit());
        let mut below = chance;
        while at > below && chance > 0.0 {
            hits += 1;
            chance *= mean / hits as f64;
            below += chance;
        }
        hits
    }

    /// Events that come in clusters, so that their variance is `noise` times what it would be if each came alone: clusters are Poisson, their sizes
    /// geometric with mean `m`, for which the ratio is `2 m - 1`.
    pub(crate) fn clustered(&mut self, mean: f64, noise: f64) -> u64 {
        if noise <= 1.02 {
            return self.poisson(mean);
        }
        let size = f64::midpoint(noise, 1.0);
        if mean / size > MANY {
            return self.rounded_normal(mean, mean * noise);
        }
        let ln_more = (1.0 - 1.0 / size).ln();
        (0..self.poisson(mean / size)).map(|_| 1 + (self.unit().ln() / ln_more) as u64).sum()
    }

    fn rounded_normal(&mut self, mean: f64, variance: f64) -> u64 {
        (mean + variance.sqrt() * self.normal()).round().max(0.0) as u64
    }
}

/// Noise that wanders: an AR(1) walk around zero, begun where it would be after a long time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Walk {
    memory: f64,
    step: f64,
    at: f64,
}

impl Walk {
    pub(crate) fn new(spread: f64, memory: f64, random: &mut Random) -> Self {
        let at = if spread > 0.0 { spread * random.normal() } else { 0.0 };
        Walk { memory, step: spread * (1.0 - memory * memory).sqrt(), at }
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> f64 {
        if self.step > 0.0 {
            self.at = self.memory * self.at + self.step * random.normal();
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draws: impl Iterator<Item = f64>) -> (f64, f64) {
        let all: Vec<f64> = draws.collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64)
    }

    #[test]
    fn counts_have_the_mean_and_the_noise_that_were_asked_for() {
        let mut random = Random::new(7);
        for (mean, noise) in [(0.02, 1.0), (3.0, 1.0), (200.0, 1.0), (3.0, 5.0), (900.0, 5.0)] {
            let (found, variance) = moments((0..40_000).map(|_| random.clustered(mean, noise) as f64));
            assert!((found - mean).abs() < 6.0 * (mean * noise / 40_000.0).sqrt(), "mean {found} for {mean}");
            assert!((variance / (mean * noise) - 1.0).abs() < 0.15, "{variance} for {mean} times {noise}");
        }
    }

    #[test]
    fn a_walk_keeps_its_spread_and_its_memory() {
        let mut random = Random::new(3);
        let mut walk = Walk::new(0.2, 0.9, &mut random);
        let all: Vec<f64> = (0..60_000).map(|_| walk.next(&mut random)).collect();
        let (_, variance) = moments(all.iter().copied());
        let products = all.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / all.len() as f64;
        assert!((variance.sqrt() - 0.2).abs() < 0.02 && (products / variance - 0.9).abs() < 0.02);
    }
}
