//! Counted: the evidence on one SLI that counts requests, a ratio or a latency histogram.
//!
//! A ratio makes one bet per look; a latency histogram makes five, "slower than the edge near this quantile of the baseline". Their mean is the
//! SLI's harm evidence. A reading with a gap changes no evidence, only the record of gaps. Must never decide: that takes all SLIs together.
//! Next room: [`check`](crate::check).

use serde::{Deserialize, Serialize};

use crate::dispersion::{AroundLevel, Batches, Dispersion, Level, Prior, SlowNoise};
use crate::effect::{Effect, Tally, Totals};
use crate::exact;
use crate::harm::{ERROR_TILTS, Fund, Instalments, LATENCY_TILTS, Period, Stakes, Terms, Tilts};
use crate::look::{Column, Gap, Gaps, Past, Sighting};
use crate::safety::{Safety, ln_mean};
use crate::settings::{Comparison, Profile, SLOW_SHARE_HARM, SLOW_SHARE_SAFE, SliKind, SliSettings};
use crate::table::{Cohort, Table};
use crate::thresholds::{Asked, IN_BODY, LEAST_BEYOND, QUANTILES, Threshold, thresholds};

/// Gross harm, the only kind that counts in the warm-up: odds or share times this.
const GROSS_ODDS: f64 = 5.0;
/// The safety evidence of one quantile counts at most e^300, so that the mean of several stays finite.
const MOST_LN_SAFETY: f64 = 300.0;
/// `ln` of the safety evidence below which a quantile speaks against safety.
const AGAINST: f64 = -2.0;
/// Recent baseline requests from which its health is told, and how many standard errors it must be off.
const HEALTH_REQUESTS: f64 = 100.0;
const HEALTH_ERRORS: f64 = 2.0;
/// Slow noise that is the cohort's own raises the harm margin to `exp` of this many of its standard deviations.
const DRIFT_MARGIN: f64 = 1.5;
/// The same for the noise of five-minute batches around the history's own level, which shows slower noise than differences do.
const SLOW_DRIFT_MARGIN: f64 = 2.5;

/// What the judge lays down for one look at one SLI.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    pub(crate) period: Period,
    pub(crate) comparison: Comparison,
    pub(crate) profile: Profile,
    pub(crate) horizon_looks: u32,
    pub(crate) fresh_looks: u32,
    /// The most that `ln` of one look's factor may be.
    pub(crate) ceiling: f64,
}

/// The state of one SLI. Constant in size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    fund: Fund,
    batches: Batches,
    bettors: Vec<Bettor>,
    /// For ratios: evidence that the bad share is below the absolute floor.
    floor: Safety,
    known: Known,
    baseline_total: u64,
    canary_total: u64,
    /// The baseline's requests and bad ones, fading out over the fresh window.
    #[serde(with = "exact")]
    recent_total: f64,
    #[serde(with = "exact")]
    recent_bad: f64,
    gaps: GapWindow,
}

/// What is known of the baseline beside this change's own looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Known {
    /// No history: for latency the baseline's histogram up to the look before.
    Learning(Vec<u64>),
    /// One calibration for each bet.
    Calibrated(Vec<Calibration>),
}

/// What a history taught one bet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Calibration {
    prior: Prior,
    /// The least harm margin that the cohorts' own slow noise allows, as an odds ratio.
    #[serde(with = "exact")]
    drift: f64,
    /// For latency.
    threshold: Option<Threshold>,
}

/// One bet with all that goes with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Bettor {
    stakes: Stakes,
    dispersion: Dispersion,
    safety: Safety,
    tally: Tally,
}

/// A table with the margins that hold on it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wager {
    table: Table,
    harm: f64,
    safe: f64,
}

/// The place of a bet in words and figures: the leading one explains the SLI.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Leading {
    pub(crate) canary_bad: u64,
    pub(crate) baseline_bad: u64,
    pub(crate) expected: f64,
    pub(crate) effect: Option<Effect>,
    pub(crate) phi: f64,
    pub(crate) tau: f64,
    /// For latency: the edge and the quantile asked about, once the baseline is known.
    pub(crate) edge: Option<Edge>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edge {
    pub(crate) ms: f64,
    pub(crate) quantile: Option<f64>,
}

impl Counted {
    pub(crate) fn new(kind: &SliKind) -> Self {
        let (bets, buckets) = match kind {
            SliKind::Latency { edges_ms, .. } => (QUANTILES.len(), edges_ms.len() + 1),
            SliKind::Ratio { .. } | SliKind::Gauge { .. } | SliKind::Check => (1, 0),
        };
        Counted {
            fund: Fund::new(),
            batches: Batches::default(),
            bettors: vec![Bettor::default(); bets],
            floor: Safety::default(),
            known: Known::Learning(vec![0; buckets]),
            baseline_total: 0,
            canary_total: 0,
            recent_total: 0.0,
            recent_bad: 0.0,
            gaps: GapWindow::default(),
        }
    }

    /// Learns noise and thresholds from A/A looks before the rollout. With too little to learn from, it stays as it was.
    pub(crate) fn calibrate(&mut self, kind: &SliKind, history: &[Past<'_>], profile: Profile) {
        let thresholds = match kind {
            SliKind::Latency { edges_ms, slowdown_harm, slowdown_safe, .. } => {
                let mut histogram = vec![0u64; edges_ms.len() + 1];
                for column in history.iter().flat_map(|past| [past.baseline, past.canary]) {
                    if let Some(Column::Latency { buckets, .. }) = column {
                        add(&mut histogram, buckets);
                    }
                }
                let least_beyond = if profile == Profile::Reference { 0 } else { LEAST_BEYOND };
                let asked = Asked { harm: *slowdown_harm, safe: *slowdown_safe, least_beyond };
                match thresholds(&histogram, edges_ms, asked) {
                    Some(found) => found.map(Some).to_vec(),
                    None => return,
                }
            }
            SliKind::Ratio { .. } => vec![None],
            SliKind::Gauge { .. } | SliKind::Check => return,
        };
        // noise shows between two cohorts: a history of one, or of other SLIs, must not pass for a quiet one
        if !history.iter().any(|past| past.baseline.is_some() && past.canary.is_some()) {
            return;
        }
        self.known = Known::Calibrated(thresholds.into_iter().map(|at| calibration(at, history, profile)).collect());
    }

    pub(crate) fn is_calibrated(&self) -> bool {
        matches!(self.known, Known::Calibrated(_))
    }

    fn prior(&self, bet: usize) -> Prior {
        match &self.known {
            Known::Calibrated(known) => known.get(bet).map_or(Prior::ASSUMED, |it| it.prior),
            Known::Learning(_) => Prior::ASSUMED,
        }
    }

    fn drift(&self, bet: usize) -> f64 {
        match &self.known {
            Known::Calibrated(known) => known.get(bet).map_or(1.0, |it| it.drift),
            Known::Learning(_) => 1.0,
        }
    }

    fn thresholds(&self, kind: &SliKind) -> Option<[Threshold; 5]> {
        let SliKind::Latency { edges_ms, slowdown_harm, slowdown_safe, .. } = kind else { return None };
        match &self.known {
            Known::Learning(learned) => {
                let asked = Asked { harm: *slowdown_harm, safe: *slowdown_safe, least_beyond: LEAST_BEYOND };
                thresholds(learned, edges_ms, asked)
            }
            Known::Calibrated(known) => {
                let at = |i: usize| known.get(i).and_then(|it| it.threshold);
                Some([at(0)?, at(1)?, at(2)?, at(3)?, at(4)?])
            }
        }
    }

    /// Harm evidence, noise and what was learned of the baseline carry on; all else starts anew.
    pub(crate) fn begin_step(&mut self) {
        self.batches.interrupt();
        for bettor in &mut self.bettors {
            bettor.dispersion.interrupt();
            bettor.safety = Safety::default();
            bettor.tally = Tally::default();
        }
        self.floor = Safety::default();
        (self.baseline_total, self.canary_total) = (0, 0);
        (self.recent_total, self.recent_bad) = (0.0, 0.0);
        self.gaps = GapWindow::default();
    }

    pub(crate) fn miss(&mut self, gaps: Gaps) {
        self.gaps.push(gaps);
    }

    pub(crate) fn look(&mut self, sli: &SliSettings, sighting: &Sighting<'_>, rules: Rules) {
        self.gaps.push(Gaps::default());
        if let Some(wagers) = self.wagers(sli, sighting, rules) {
            self.bet(sli, sighting, rules, wagers);
        }
        self.learn(sli, sighting, rules.fresh_looks);
    }

    fn bet(&mut self, sli: &SliSettings, sighting: &Sighting<'_>, rules: Rules, wagers: [Wager; 5]) {
        self.canary_total = self.canary_total.saturating_add(sighting.canary().total());
        if let Sighting::Both { baseline, .. } = sighting {
            self.baseline_total = self.baseline_total.saturating_add(baseline.total());
        }
        let recovers = rules.profile == Profile::Default;
        let instalments = Instalments { horizon: rules.horizon_looks, endless: recovers };
        let instalment = self.fund.pay(rules.period, instalments);
        if let (SliKind::Ratio { floor, .. }, Period::Open) = (&sli.kind, rules.period) {
            let phi = self.bettors.first().map_or(1.0, |bettor| bettor.dispersion.phi(&self.batches, self.prior(0)));
            self.floor.below_share(sighting.canary().cohort(0), sli.budget().unwrap_or(*floor), phi);
        }
        let priors = [0, 1, 2, 3, 4].map(|bet| self.prior(bet));
        for ((bettor, wager), prior) in self.bettors.iter_mut().zip(wagers).zip(priors) {
            let phi = bettor.dispersion.phi(&self.batches, prior);
            let terms = Terms { instalment, phi, ceiling: rules.ceiling, recovers };
            bettor.stakes.look(tilts(&sli.kind), &wager.table, wager.harm, terms);
            if rules.period == Period::Open {
                bettor.safety.look(&wager.table, wager.safe, phi);
            }
            let level = match wager.table {
                Table::Pair { .. } => Level::PAIR,
                Table::Single { .. } => Level::SINGLE,
            };
            bettor.dispersion.look(&self.batches, wager.table.canary().bad, wager.table.expected(), level);
            bettor.tally.look(&wager.table);
        }
        self.batches.advance();
    }

    /// What this look bets on, fixed by what was known before it. `None`: nothing to compare with, or too little known of the baseline yet.
    fn wagers(&self, sli: &SliSettings, sighting: &Sighting<'_>, rules: Rules) -> Option<[Wager; 5]> {
        let (in_warm_up, wider) = (rules.period == Period::WarmUp, rules.comparison.widening());
        let wager = |bet: usize, table: Table, harm: f64, gross: f64, safe: f64| {
            let harm = (harm * wider).max(self.drift(bet));
            Wager { table, harm: if in_warm_up { harm.max(gross) } else { harm }, safe: safe * wider }
        };
        match (*sighting, &sli.kind) {
            (Sighting::CanaryOnly { canary }, kind) => {
                let (edge, harm, safe) = objective_margins(kind)?;
                let table = Table::Single { canary: canary.cohort(edge), budget: sli.budget()? };
                let harm = if in_warm_up { harm.max(GROSS_ODDS) } else { harm };
                Some([Wager { table, harm, safe }; 5])
            }
            (Sighting::Both { baseline, canary }, SliKind::Ratio { harm_margin, safety_margin, .. }) => {
                let table = Table::Pair { baseline: baseline.cohort(0), canary: canary.cohort(0) };
                Some([wager(0, table, *harm_margin, GROSS_ODDS, *safety_margin); 5])
            }
            (Sighting::Both { baseline, canary }, kind @ SliKind::Latency { .. }) => {
                let thresholds = self.thresholds(kind)?;
                Some([0, 1, 2, 3, 4].map(|bet| {
                    let at = thresholds[bet];
                    let table = Table::Pair { baseline: baseline.cohort(at.edge), canary: canary.cohort(at.edge) };
                    wager(bet, table, at.harm, at.gross, at.safe)
                }))
            }
            (Sighting::Both { .. }, SliKind::Gauge { .. } | SliKind::Check) => None,
        }
    }

    /// After the bets: the baseline's histogram for the looks to come, and its health.
    fn learn(&mut self, sli: &SliSettings, sighting: &Sighting<'_>, fresh_looks: u32) {
        let Sighting::Both { baseline, .. } = sighting else { return };
        if let (Column::Latency { buckets, .. }, Known::Learning(learned)) = (baseline, &mut self.known) {
            add(learned, buckets);
        }
        if let Some((edge, ..)) = objective_margins(&sli.kind) {
            let kept = 1.0 - 1.0 / f64::from(fresh_looks.max(2));
            let cohort = baseline.cohort(edge);
            self.recent_total = self.recent_total * kept + cohort.total;
            self.recent_bad = self.recent_bad * kept + cohort.bad;
        }
    }

    pub(crate) fn evidence(&self, kind: &SliKind) -> f64 {
        let wealth: f64 = self.bettors.iter().map(|bettor| bettor.stakes.wealth(tilts(kind))).sum();
        self.fund.reserve() + wealth / self.bettors.len() as f64
    }

    /// `ln` of the evidence that the canary is safe in this step.
    pub(crate) fn ln_safety(&self, kind: &SliKind, comparison: Comparison, profile: Profile) -> f64 {
        let mut lns = [0.0; QUANTILES.len()];
        for (ln, bettor) in lns.iter_mut().zip(&self.bettors) {
            *ln = bettor.safety.ln_evidence();
        }
        match kind {
            SliKind::Ratio { .. } if comparison.has_baseline() => ln_mean(&[lns[0], self.floor.ln_evidence()]),
            SliKind::Ratio { .. } | SliKind::Gauge { .. } | SliKind::Check => lns[0],
            SliKind::Latency { .. } => {
                let (body, tail) = lns.split_at(IN_BODY);
                let shown = capped_mean(body).min(capped_mean(tail));
                // one quantile that clearly speaks against it is not outvoted by others that speak for it
                let against = lns.iter().copied().fold(f64::INFINITY, f64::min);
                if profile == Profile::Default && against < AGAINST { against } else { shown }
            }
        }
    }

    /// The requests that this step's bets were about.
    pub(crate) fn totals(&self) -> Totals {
        Totals { baseline: self.baseline_total, canary: self.canary_total }
    }

    /// The bet with the most evidence of harm: the one to show.
    pub(crate) fn leading(&self, sli: &SliSettings, comparison: Comparison) -> Leading {
        let wealth = |i: usize| self.bettors[i].stakes.wealth(tilts(&sli.kind));
        let at = (1..self.bettors.len()).fold(0, |best, i| if wealth(i) > wealth(best) { i } else { best });
        let Bettor { dispersion, tally, .. } = &self.bettors[at];
        let phi = dispersion.phi(&self.batches, self.prior(at));
        Leading {
            canary_bad: tally.canary_bad,
            baseline_bad: tally.baseline_bad,
            expected: tally.expected,
            effect: if tally.expected > 0.0 { tally.effect(self.totals(), phi) } else { None },
            phi,
            tau: dispersion.tau(&self.batches, self.prior(at)),
            edge: self.edge(&sli.kind, comparison, at),
        }
    }

    fn edge(&self, kind: &SliKind, comparison: Comparison, at: usize) -> Option<Edge> {
        let SliKind::Latency { edges_ms, objective_edge_ms, .. } = kind else { return None };
        if comparison.has_baseline() {
            let known = self.thresholds(kind)?;
            Some(Edge { ms: edges_ms[known[at].edge], quantile: Some(QUANTILES[at]) })
        } else {
            objective_edge_ms.map(|ms| Edge { ms, quantile: None })
        }
    }

    /// The bad share of the baseline's recent requests, if it clearly breaks the objective.
    pub(crate) fn unhealthy_baseline(&self, budget: f64) -> Option<f64> {
        let (total, bad) = (self.recent_total, self.recent_bad);
        let allowed = total * budget;
        let clearly = allowed + HEALTH_ERRORS * (allowed * (1.0 - budget)).sqrt();
        (total >= HEALTH_REQUESTS && bad > clearly).then(|| bad / total)
    }

    pub(crate) fn gaps(&self) -> &GapWindow {
        &self.gaps
    }
}

/// The edge, harm margin and safety margin that hold against an objective.
fn objective_margins(kind: &SliKind) -> Option<(usize, f64, f64)> {
    match kind {
        SliKind::Ratio { harm_margin, safety_margin, .. } => Some((0, *harm_margin, *safety_margin)),
        SliKind::Latency { edges_ms, objective_edge_ms, .. } => {
            let edge = objective_edge_ms.and_then(|ms| edges_ms.iter().position(|&edge| edge == ms))?;
            Some((edge, SLOW_SHARE_HARM, SLOW_SHARE_SAFE))
        }
        SliKind::Gauge { .. } | SliKind::Check => None,
    }
}

/// Whether the SLI can be held against an objective at all.
pub(crate) fn has_objective(sli: &SliSettings) -> bool {
    match sli.kind {
        SliKind::Gauge { limit, .. } => limit.is_some(),
        _ => sli.objective.is_some() && objective_margins(&sli.kind).is_some(),
    }
}

fn add(histogram: &mut [u64], buckets: &[u64]) {
    for (known, new) in histogram.iter_mut().zip(buckets) {
        *known = known.saturating_add(*new);
    }
}

/// The noise of A/A looks as such: of the noisiest bet, without any caution added. `None`: the looks teach nothing.
pub(crate) fn past_noise(kind: &SliKind, history: &[Past<'_>]) -> Option<SlowNoise> {
    let mut learned = Counted::new(kind);
    learned.calibrate(kind, history, Profile::Default);
    let Known::Calibrated(known) = &learned.known else { return None };
    let least = SlowNoise { phi: 1.0, tau: 0.0 };
    Some(known.iter().fold(least, |most, it| SlowNoise {
        phi: most.phi.max(it.prior.of_looks()),
        // of the two estimates that raise the margin the larger one, without the number of deviations that the margin takes
        tau: most.tau.max(it.drift.ln() / SLOW_DRIFT_MARGIN),
    }))
}

/// What the noise of these looks teaches a bet at one edge.
fn calibration(threshold: Option<Threshold>, history: &[Past<'_>], profile: Profile) -> Calibration {
    let (mut dispersion, mut batches) = (Dispersion::default(), Batches::default());
    let edge = threshold.map_or(0, |at| at.edge);
    let mut around = AroundLevel::default();
    for past in history {
        let bad = past.baseline.zip(past.canary).map(|(baseline, canary)| {
            let (baseline, canary): (Cohort, Cohort) = (baseline.cohort(edge), canary.cohort(edge));
            let expected = Table::Pair { baseline, canary }.expected();
            dispersion.look(&batches, canary.bad, expected, Level::PAIR);
            batches.advance();
            (canary.bad, expected)
        });
        around.look(bad);
    }
    let mut prior = dispersion.as_prior(&batches);
    let mut drift = DRIFT_MARGIN * dispersion.tau(&batches, Prior::CHANCE);
    if let (Profile::Default, Some(noise)) = (profile, around.noise(prior)) {
        prior = prior.at_least_in_long_batches(noise.phi);
        drift = drift.max(SLOW_DRIFT_MARGIN * noise.tau);
    }
    Calibration { prior, drift: drift.exp(), threshold }
}

fn tilts(kind: &SliKind) -> Tilts {
    match kind {
        SliKind::Latency { .. } => LATENCY_TILTS,
        SliKind::Ratio { .. } | SliKind::Gauge { .. } | SliKind::Check => ERROR_TILTS,
    }
}

fn capped_mean(lns: &[f64]) -> f64 {
    (lns.iter().map(|ln| ln.min(MOST_LN_SAFETY).exp()).sum::<f64>() / lns.len() as f64).ln()
}

/// Which of the step's recent looks had which gap: one bit per look, the newest lowest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct GapWindow([u32; 7]);

impl GapWindow {
    pub(crate) fn push(&mut self, gaps: Gaps) {
        for (bits, gap) in self.0.iter_mut().zip(Gap::ALL) {
            *bits = (*bits << 1) | u32::from(gaps.contains(gap));
        }
    }

    pub(crate) fn in_newest(&self, gap: Gap) -> bool {
        self.0[gap as usize] & 1 != 0
    }

    pub(crate) fn newest_has_any(&self) -> bool {
        self.0.iter().any(|bits| bits & 1 != 0)
    }

    pub(crate) fn among(&self, gap: Gap, looks: u32) -> u32 {
        recent(self.0[gap as usize], looks)
    }
}

/// How many of the newest looks have their bit set.
pub(crate) fn recent(bits: u32, looks: u32) -> u32 {
    let mask = if looks >= 32 { u32::MAX } else { (1 << looks) - 1 };
    (bits & mask).count_ones()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::MOST_EDGES;

    #[test]
    fn the_state_of_one_sli_is_below_two_kilobytes() {
        let edges = (1..=MOST_EDGES).map(|i| i as f64).collect();
        let state = Counted::new(&SliKind::latency(edges, None));
        let known = (MOST_EDGES + 1) * size_of::<u64>();
        let known = known.max(QUANTILES.len() * size_of::<Calibration>());
        let heap = state.bettors.capacity() * size_of::<Bettor>() + known;
        let bytes = size_of::<Counted>() + heap;
        assert!(bytes < 2048, "{bytes} bytes");
    }

    #[test]
    fn gaps_are_remembered_per_look() {
        let mut window = GapWindow::default();
        window.push(Gaps::of([Gap::NoCanary, Gap::NoBaseline]));
        window.push(Gaps::of([Gap::NoCanary]));
        window.push(Gaps::default());
        assert!(!window.in_newest(Gap::NoCanary));
        assert_eq!((window.among(Gap::NoCanary, 3), window.among(Gap::NoBaseline, 3)), (2, 1));
        assert_eq!(window.among(Gap::NoCanary, 1), 0);
    }
}
