//! Plan: could anybody decide this canary in its hour, and when should it pass?
//!
//! A simple information count, to tell "missed" from "not to be known": what one look is worth on average against the margin, how much that varies, and
//! what is needed. Exact knowledge of the scenario stands in for what the product's exposure plan has to learn from traffic. Must never look at what the
//! judge did. This is the seam where the product's own plan will be asked. Next room: [`runs`](crate::runs).

use crate::catalogue::Scenario;
use crate::judging::{ERROR_FLOOR, ERROR_MARGIN};
use crate::traffic::{HOUR, Latency, Noise, Parameters, Share, Slowness, TICK_SECONDS};

/// ln(1/alpha) at 1 %.
const LN_ALPHA: f64 = 4.605;
/// ln(1/beta) at 5 %.
const LN_BETA: f64 = 2.996;
/// What it costs to spread a bet over an SLI's weight, its tilts and its starts.
const SPREAD_OF_HARM: f64 = 3.2;
/// For harm that begins late: the starts share what the first look after the warm-up leaves.
const SPREAD_OF_LATE_STARTS: f64 = 4.0;
/// Looks in which only gross harm counts.
const WARM_UP: f64 = 6.0;
/// The quantiles at which latency is counted, those of the body first.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
const OF_BODY: usize = 2;
/// Standard errors that must be to spare: 97 % of the runs, and nine in ten.
const NEARLY_ALL: f64 = 1.9;
const MOST: f64 = 1.28;

/// What one look is worth for a question: the mean of its log-likelihood ratio and the standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Worth {
    mean: f64,
    sd: f64,
}

impl Worth {
    const NOTHING: Worth = Worth { mean: 0.0, sd: 0.0 };

    /// `total` bad requests a look, of which a share `truth` lies on one side and at most `null` would.
    fn of_share(total: f64, truth: f64, null: f64) -> Worth {
        if truth <= null || !(null > 0.0 && truth < 1.0) {
            return Worth::NOTHING;
        }
        let ln_odds = (truth / null).ln() - ((1.0 - truth) / (1.0 - null)).ln();
        let mean = total * (truth * (truth / null).ln() + (1.0 - truth) * ((1.0 - truth) / (1.0 - null)).ln());
        Worth { mean, sd: ln_odds * (total * truth * (1.0 - truth)).sqrt() }
    }

    fn tempered(self, phi: f64) -> Worth {
        Worth { mean: self.mean / phi, sd: self.sd / phi.sqrt() }
    }

    /// Looks after which so much is reached with these standard errors to spare.
    fn looks(self, needed: f64, errors: f64) -> f64 {
        // mean * n - errors * sd * sqrt(n) = needed, solved for the root of n
        let root = (errors * self.sd + (errors * errors * self.sd * self.sd + 4.0 * self.mean * needed).sqrt())
            / (2.0 * self.mean);
        root * root
    }
}

/// Where harm can be decided in the hour: looks from its onset to the median detection. `None` where it can't.
pub(crate) fn decidable(scenario: &Scenario) -> Option<f64> {
    let parameters = &scenario.parameters;
    if parameters.leak_per_hour > 0.0 {
        // by half an hour a leak of half the memory has moved it by a quarter, far beyond the noise
        return (parameters.leak_per_hour >= 0.3).then_some(HOUR as f64 / 2.0);
    }
    let late = if parameters.onset > 0 { SPREAD_OF_LATE_STARTS } else { 0.0 };
    let needed = LN_ALPHA + SPREAD_OF_HARM + late;
    let latency_needed = needed + (QUANTILES.len() as f64).ln();
    let useful = useful_share(parameters);
    let left = (HOUR as f64 - (parameters.onset as f64).max(WARM_UP)) * useful;
    let questions = [
        (errors_worth(parameters), needed),
        (latency_worth(parameters), latency_needed),
        (processor_worth(parameters), needed + (1.0f64 / 0.15).ln() - (1.0f64 / 0.35).ln()),
    ];
    let decided = questions.iter().filter(|(worth, needed)| worth.looks(*needed, NEARLY_ALL) <= left);
    let warming = (WARM_UP - parameters.onset as f64).max(0.0);
    decided.map(|(worth, needed)| warming + worth.looks(*needed, 0.0) / useful).min_by(f64::total_cmp)
}

/// Looks after which nine in ten healthy canaries have shown that they are safe, in every SLI and with their scrapes; `None` if not in the hour.
pub(crate) fn passes(scenario: &Scenario) -> Option<f64> {
    let parameters = &scenario.parameters;
    let useful = useful_share(parameters);
    let hour = HOUR as f64;
    let gap = parameters.missing.gap as f64 / hour;
    let spread = MOST * (useful * (1.0 - useful) / hour).sqrt();
    let canary_requests = mean_share(parameters) * parameters.requests_per_second * hour * TICK_SECONDS;
    if useful - gap < 0.8 + spread || canary_requests < 120.0 {
        return None;
    }
    let [errors, body, tail, gauges] = safety_looks(parameters);
    let looks = WARM_UP + errors.max(body).max(tail).max(gauges) / useful;
    (looks <= hour).then_some(looks)
}

fn safety_looks(parameters: &Parameters) -> [f64; 4] {
    let tilts = 5.0f64.ln();
    let errors = errors_safety(parameters).into_iter().map(|worth| worth.looks(LN_BETA + tilts + 2.0f64.ln(), MOST));
    let latency = |quantiles: &[f64]| {
        let needed = LN_BETA + tilts + (quantiles.len() as f64).ln();
        quantiles.iter().map(|&q| slow_safety(parameters, q).looks(needed, MOST)).fold(f64::INFINITY, f64::min)
    };
    let gauges = gauge_worth(parameters.gauge_noise, 1.25f64.ln());
    [
        errors.fold(f64::INFINITY, f64::min),
        latency(&QUANTILES[..OF_BODY]),
        latency(&QUANTILES[OF_BODY..]),
        gauges.looks(LN_BETA + 4.0f64.ln(), MOST),
    ]
}

/// Looks that see both sides.
fn useful_share(parameters: &Parameters) -> f64 {
    let scraped = (1.0 - parameters.missing.chance).powi(2);
    let share = mean_share(parameters);
    let requests = parameters.requests_per_second * TICK_SECONDS;
    let served = |share: f64| 1.0 - (-requests * share).exp();
    scraped * served(share) * served(1.0 - share)
}

fn mean_share(parameters: &Parameters) -> f64 {
    match parameters.share {
        Share::Constant(share) => share,
        Share::Ramp => 0.2025,
    }
}

fn odds(share: f64) -> f64 {
    share / (1.0 - share)
}

fn share_of(odds: f64) -> f64 {
    odds / (1.0 + odds)
}

/// Bad requests of both sides in a look, and the canary's share of them.
fn table(parameters: &Parameters, baseline_bad: f64, canary_bad: f64) -> (f64, f64) {
    let share = mean_share(parameters);
    let (b, c) = ((1.0 - share) * baseline_bad, share * canary_bad);
    (parameters.requests_per_second * TICK_SECONDS * (b + c), c / (b + c))
}

/// Errors that come together count as fewer: the second moment of a cluster over its mean.
fn phi(parameters: &Parameters) -> f64 {
    2.0 * parameters.cluster.max(1.0) - 1.0
}

fn errors_worth(parameters: &Parameters) -> Worth {
    if parameters.error_factor <= 1.0 {
        return Worth::NOTHING;
    }
    let harmed = (parameters.errors * parameters.error_factor).min(0.999);
    let (total, truth) = table(parameters, parameters.errors, harmed);
    let margin = ERROR_MARGIN.max((1.5 * parameters.own_errors.sd).exp());
    let (_, null) = table(parameters, parameters.errors, share_of(margin * odds(parameters.errors)));
    Worth::of_share(total, truth, null).tempered(phi(parameters))
}

fn errors_safety(parameters: &Parameters) -> [Worth; 2] {
    let bad = parameters.errors;
    let (total, canary) = table(parameters, bad, bad);
    let (_, harmed) = table(parameters, bad, share_of(1.5 * odds(bad)));
    let relative = Worth::of_share(total, 1.0 - canary, 1.0 - harmed);
    let (requests, _) = table(parameters, 1.0, 1.0);
    let absolute = Worth::of_share(requests * mean_share(parameters), 1.0 - bad, 1.0 - ERROR_FLOOR);
    [relative.tempered(phi(parameters)), absolute.tempered(phi(parameters))]
}

/// The edge nearest to a quantile, by the logarithm of what lies above.
fn edge(parameters: &Parameters, quantile: f64) -> f64 {
    let distance = |ms: &f64| {
        let above = (1.0 - within(parameters.latency, Slowness::None, *ms)).max(1e-6);
        (above.ln() - (1.0 - quantile).ln()).abs()
    };
    let edges = parameters.edges.milliseconds();
    edges.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(1.0)
}

fn within(latency: Latency, slowness: Slowness, ms: f64) -> f64 {
    crate::traffic::slowed(latency, slowness, latency.quantile(0.9), ms)
}

/// What lies above an edge when all is so much slower.
fn above(parameters: &Parameters, slowness: Slowness, ms: f64) -> f64 {
    (1.0 - within(parameters.latency, slowness, ms)).clamp(1e-9, 1.0 - 1e-9)
}

fn latency_worth(parameters: &Parameters) -> Worth {
    let worth = |quantile: f64| {
        let ms = edge(parameters, quantile);
        let slow = |slowness| above(parameters, slowness, ms);
        let (total, truth) = table(parameters, slow(Slowness::None), slow(parameters.slowness));
        let (_, null) = table(parameters, slow(Slowness::None), slow(Slowness::Scale(0.05)));
        Worth::of_share(total, truth, null)
    };
    QUANTILES.into_iter().map(worth).max_by(|a, b| a.mean.total_cmp(&b.mean)).unwrap_or(Worth::NOTHING)
}

fn slow_safety(parameters: &Parameters, quantile: f64) -> Worth {
    let ms = edge(parameters, quantile);
    let slow = |slowness| above(parameters, slowness, ms);
    let (total, canary) = table(parameters, slow(Slowness::None), slow(Slowness::None));
    let (_, harmed) = table(parameters, slow(Slowness::None), slow(Slowness::Scale(0.2)));
    Worth::of_share(total, 1.0 - canary, 1.0 - harmed)
}

/// A shift of a gauge's logarithm, by blocks of three looks: the walk's memory makes looks alike, so that a block is worth the fewer.
fn gauge_worth(noise: Noise, shift: f64) -> Worth {
    let alike = (1.0 + noise.memory) / (1.0 - noise.memory) / 3.0;
    let sd = 1.25 * (noise.sd * noise.sd * alike + 0.02 * 0.02 / 3.0).sqrt();
    let z = (shift / sd).min(2.4);
    Worth { mean: z * z / 2.0 / 3.0, sd: z / 3.0f64.sqrt() }
}

fn processor_worth(parameters: &Parameters) -> Worth {
    let shift = (parameters.processor_factor / 1.1).ln();
    if shift <= 0.0 { Worth::NOTHING } else { gauge_worth(parameters.gauge_noise, shift) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{TUNED, catalogue};

    fn scenario(parameters: Parameters) -> Scenario {
        Scenario { parameters, ..catalogue(&TUNED)[0].clone() }
    }

    fn errors(requests_per_second: f64, error_factor: f64) -> Scenario {
        let share = Share::Constant(0.05);
        scenario(Parameters { requests_per_second, share, errors: 0.01, error_factor, ..Parameters::PLAIN })
    }

    #[test]
    fn more_traffic_and_more_harm_are_decided_sooner_and_too_little_of_either_never() {
        let looks = |rps, factor| decidable(&errors(rps, factor));
        let known = |rps, factor| looks(rps, factor).expect("it is decidable");
        assert!(known(1000.0, 2.0) < known(100.0, 2.0));
        assert!(known(100.0, 5.0) < known(100.0, 2.0));
        assert_eq!(looks(1.0, 1.5), None);
        assert_eq!(looks(1000.0, 1.04), None);
    }

    #[test]
    fn a_canary_passes_later_with_less_traffic_and_never_with_lost_scrapes_or_too_few_requests() {
        let plain = |rps| scenario(Parameters { requests_per_second: rps, ..Parameters::PLAIN });
        let known = |rps| passes(&plain(rps)).expect("it passes in the hour");
        assert!(known(1000.0) < known(100.0));
        assert_eq!(passes(&plain(0.5)), None);
        let missing = crate::traffic::Missing { chance: 0.3, ..Parameters::PLAIN.missing };
        assert_eq!(passes(&scenario(Parameters { missing, ..plain(1000.0).parameters })), None);
    }
}
