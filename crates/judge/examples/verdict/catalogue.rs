//! Catalogue: which canaries the judges are asked about.
//!
//! Healthy ones that ought to be promoted, harmful ones that ought to be rolled back, dark ones that nobody can judge, outages, and rollouts in steps.
//! The whole list exists twice: the judge was tuned on [`TUNED`], and [`HELD_OUT`] differs in everything that has a number. Must never be fitted to a
//! judge: a scenario is added because it happens to people. Next room: [`runs`](crate::runs).

use judge::ReasonCode;

use crate::traffic::{Bursts, Edges, Latency, Missing, Noise, Parameters, Share, Slowness};

/// The figures in which the two halves of the catalogue differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lot {
    pub(crate) name: &'static str,
    /// Seeds of different lots never meet.
    pub(crate) first_seed: u64,
    /// A usual share of errors, a high one and a low one.
    errors: f64,
    many_errors: f64,
    few_errors: f64,
    /// A small share of the traffic and a large one.
    share: f64,
    large_share: f64,
    median_ms: f64,
    sigma: f64,
    slow_share: f64,
    edges: Edges,
    memory: f64,
    gauge_sd: f64,
    cluster: f64,
    missing: f64,
}

pub(crate) const TUNED: Lot = Lot {
    name: "tuned on",
    first_seed: 1_000_000,
    errors: 0.001,
    many_errors: 0.01,
    few_errors: 1e-4,
    share: 0.05,
    large_share: 0.5,
    median_ms: 100.0,
    sigma: 0.6,
    slow_share: 0.03,
    edges: Edges::Fine,
    memory: 0.95,
    gauge_sd: 0.03,
    cluster: 4.0,
    missing: 0.10,
};

pub(crate) const HELD_OUT: Lot = Lot {
    name: "held out",
    first_seed: 900_000_000,
    errors: 0.002,
    many_errors: 0.02,
    few_errors: 3e-4,
    share: 0.08,
    large_share: 0.35,
    median_ms: 45.0,
    sigma: 0.75,
    slow_share: 0.05,
    edges: Edges::Halves,
    memory: 0.90,
    gauge_sd: 0.04,
    cluster: 3.0,
    missing: 0.05,
};

/// What ought to happen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// To be promoted; noisy ones are held to a lower share.
    Healthy(Calm),
    /// To be rolled back.
    Harmful(Harm),
    /// To be rolled back within three scrapes that carry 20 requests each, and never on one.
    Outage,
    /// To be held, for one of these reasons.
    Dark(&'static [ReasonCode]),
    /// Healthy, rolled out in steps.
    Stepped(Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calm {
    Clean,
    Noisy,
}

/// How soon harm of this kind ought to be seen, against Kayenta as documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Usual,
    SlowLeak,
    /// The canary gets one request a second or fewer.
    Thin,
}

/// One step of a plan: the canary's share and the least time, in looks. At the whole traffic there is no baseline left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) share: f64,
    pub(crate) bake_looks: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) lot: &'static Lot,
    pub(crate) fate: Fate,
    pub(crate) parameters: Parameters,
}

/// All scenarios of a lot.
pub(crate) fn catalogue(lot: &'static Lot) -> Vec<Scenario> {
    let mut all = healthy(lot);
    all.extend(harmful(lot));
    all.extend(outages(lot));
    all.extend(dark(lot));
    all.extend(stepped(lot));
    all
}

impl Lot {
    fn plain(&self) -> Parameters {
        Parameters {
            share: Share::Constant(self.share),
            errors: self.errors,
            edges: self.edges,
            latency: Latency::Lognormal { median_ms: self.median_ms, sigma: self.sigma },
            gauge_noise: Noise { sd: self.gauge_sd, memory: 0.9 },
            ..Parameters::PLAIN
        }
    }

    /// So much traffic, of which the canary gets such a share.
    fn traffic(&self, requests_per_second: f64, share: f64) -> Parameters {
        Parameters { requests_per_second, share: Share::Constant(share), ..self.plain() }
    }

    fn busy(&self) -> Parameters {
        self.traffic(1000.0, self.share)
    }

    fn noise(&self, sd: f64) -> Noise {
        Noise { sd, memory: self.memory }
    }

    fn heavy(&self) -> Latency {
        Latency::TwoModes { median_ms: self.median_ms, slow_share: self.slow_share }
    }

    fn lost_scrapes(&self) -> Missing {
        Missing { chance: self.missing, ..Parameters::PLAIN.missing }
    }
}

fn healthy(lot: &'static Lot) -> Vec<Scenario> {
    let plain = lot.plain();
    let clean = |name, parameters| Scenario { name, lot, fate: Fate::Healthy(Calm::Clean), parameters };
    let noisy = |name, parameters| Scenario { name, lot, fate: Fate::Healthy(Calm::Noisy), parameters };
    let bursts = Bursts { number: 3, factor: 10.0, ticks: 6 };
    vec![
        clean("clean, 1 request/s, half each", lot.traffic(1.0, lot.large_share)),
        clean("clean, 10 requests/s, 20 %", lot.traffic(10.0, 0.2)),
        clean("clean, 100 requests/s", plain),
        clean("clean, 100 requests/s, half each", lot.traffic(100.0, lot.large_share)),
        clean("clean, 1,000 requests/s", lot.busy()),
        clean("clean, 1,000 requests/s, 1 %", lot.traffic(1000.0, 0.01)),
        clean("clean, many errors", Parameters { errors: lot.many_errors, ..plain }),
        clean("clean, few errors", Parameters { errors: lot.few_errors, ..plain }),
        noisy("diurnal", Parameters { diurnal: 0.5, ramp: 0.5, ..plain }),
        noisy("bursts on both", Parameters { bursts, ..plain }),
        noisy(
            "shared noise",
            Parameters {
                shared_errors: lot.noise(0.5),
                shared_latency: lot.noise(0.1),
                errors: lot.many_errors,
                ..plain
            },
        ),
        noisy("cohort noise 10 %", Parameters { own_errors: lot.noise(0.10), errors: lot.many_errors, ..lot.busy() }),
        noisy("cohort noise 20 %", Parameters { own_errors: lot.noise(0.20), errors: lot.many_errors, ..lot.busy() }),
        noisy("clustered errors", Parameters { cluster: lot.cluster, errors: lot.many_errors, ..plain }),
        noisy("cold start", Parameters { cold_start: 1.0, errors: lot.many_errors, ..plain }),
        noisy("missing scrapes", Parameters { missing: lot.lost_scrapes(), ..plain }),
        noisy("a gap of five minutes", Parameters { missing: Missing { gap: 30, ..plain.missing }, ..plain }),
        noisy("share ramp", Parameters { share: Share::Ramp, ..plain }),
        noisy("heavy tails", Parameters { latency: lot.heavy(), ..plain }),
        noisy("coarse edges", Parameters { edges: Edges::Prometheus, ..plain }),
        noisy("latency noise", Parameters { own_latency: lot.noise(0.02), shared_latency: lot.noise(0.2), ..plain }),
        noisy("gauge noise", Parameters { gauge_noise: Noise { sd: 0.08, memory: lot.memory }, ..plain }),
        noisy(
            "all of it",
            Parameters {
                diurnal: 0.3,
                bursts: Bursts { number: 2, factor: 4.0, ticks: 6 },
                shared_errors: lot.noise(0.3),
                own_errors: lot.noise(0.05),
                shared_latency: lot.noise(0.1),
                cold_start: 0.5,
                missing: Missing { chance: 0.05, ..plain.missing },
                ..lot.busy()
            },
        ),
    ]
}

fn harmful(lot: &'static Lot) -> Vec<Scenario> {
    let plain = lot.plain();
    let of = |harm| move |name, parameters| Scenario { name, lot, fate: Fate::Harmful(harm), parameters };
    let (usual, leaking, thin) = (of(Harm::Usual), of(Harm::SlowLeak), of(Harm::Thin));
    let errors = |errors, error_factor, traffic| Parameters { errors, error_factor, ..traffic };
    let slower = |slowness, traffic| Parameters { slowness, ..traffic };
    vec![
        usual("errors x1.5, busy, half each", errors(lot.errors, 1.5, lot.traffic(1000.0, lot.large_share))),
        usual("many errors x1.5, busy", errors(lot.many_errors, 1.5, lot.busy())),
        usual("errors x2, busy", errors(lot.errors, 2.0, lot.busy())),
        usual("errors x2, half each", errors(lot.errors, 2.0, lot.traffic(100.0, lot.large_share))),
        usual("many errors x2", errors(lot.many_errors, 2.0, plain)),
        usual("many errors x2, busy", errors(lot.many_errors, 2.0, lot.busy())),
        usual("few errors x5, busy, half each", errors(lot.few_errors, 5.0, lot.traffic(1000.0, lot.large_share))),
        usual("errors x5", errors(lot.errors, 5.0, plain)),
        usual("errors x5, busy, 1 %", errors(lot.errors, 5.0, lot.traffic(1000.0, 0.01))),
        usual("all 20 % slower", slower(Slowness::Scale(0.2), plain)),
        usual("slowest tenth 20 % slower, busy", slower(Slowness::Tail(0.2), lot.busy())),
        usual("slowest tenth 20 % slower, half each", slower(Slowness::Tail(0.2), lot.traffic(100.0, lot.large_share))),
        usual("one in a hundred x10", slower(Slowness::OneInHundred, plain)),
        usual(
            "all 20 % slower, coarse edges",
            Parameters { edges: Edges::Prometheus, ..slower(Slowness::Scale(0.2), lot.busy()) },
        ),
        usual("processor +25 %", Parameters { processor_factor: 1.25, ..plain }),
        leaking("leak of 50 % an hour", Parameters { leak_per_hour: 0.5, ..plain }),
        usual("many errors x2 from 30 min on", Parameters { onset: 180, ..errors(lot.many_errors, 2.0, lot.busy()) }),
        usual("all 20 % slower from 30 min on", Parameters { onset: 180, ..slower(Slowness::Scale(0.2), plain) }),
        usual(
            "many errors x2, missing scrapes",
            Parameters { missing: lot.lost_scrapes(), ..errors(lot.many_errors, 2.0, plain) },
        ),
        usual("many errors x2, diurnal", Parameters { diurnal: 0.5, ..errors(lot.many_errors, 2.0, plain) }),
        usual("many errors x3, clustered", Parameters { cluster: lot.cluster, ..errors(lot.many_errors, 3.0, plain) }),
        usual(
            "many errors x2, cohort noise 10 %",
            Parameters { own_errors: lot.noise(0.10), ..errors(lot.many_errors, 2.0, lot.busy()) },
        ),
        thin("many errors x5, canary 1 request/s", errors(lot.many_errors, 5.0, lot.traffic(20.0, 0.05))),
        thin("all 20 % slower, canary 1 request/s", slower(Slowness::Scale(0.2), lot.traffic(5.0, 0.2))),
        thin("many errors x2, canary 1 request/s", errors(lot.many_errors, 2.0, lot.traffic(20.0, 0.05))),
        thin("few errors x2, 1 request/s, half each", errors(lot.few_errors, 2.0, lot.traffic(1.0, lot.large_share))),
    ]
}

fn outages(lot: &'static Lot) -> Vec<Scenario> {
    let outage = |name, onset, traffic: Parameters| Scenario {
        name,
        lot,
        fate: Fate::Outage,
        parameters: Parameters { onset, error_factor: 0.5 / traffic.errors, ..traffic },
    };
    vec![
        outage("outage from the start, 5 requests/s", 0, lot.traffic(100.0, 0.05)),
        outage("outage later, 5 requests/s", 60, lot.traffic(100.0, 0.05)),
        outage("outage from the start, 2 requests/s", 0, lot.traffic(40.0, 0.05)),
        outage("outage later, 2 requests/s", 60, lot.traffic(40.0, 0.05)),
        outage("outage from the start, busy", 0, lot.busy()),
        outage("outage after half an hour, busy", 180, lot.busy()),
        outage(
            "outage later, many errors, 2 requests/s, half each",
            60,
            Parameters { errors: lot.many_errors, ..lot.traffic(4.0, 0.5) },
        ),
    ]
}

fn dark(lot: &'static Lot) -> Vec<Scenario> {
    use ReasonCode::{LowCoverage, NoBaselineData, NoCanaryData, NoTraffic, TooFewRequests};
    let plain = lot.plain();
    let dark = |name, codes, parameters| Scenario { name, lot, fate: Fate::Dark(codes), parameters };
    let from = |canary_from, baseline_from| Parameters {
        missing: Missing { canary_from, baseline_from, ..plain.missing },
        ..plain
    };
    // harm that begins in the dark is the reason why the dark must not pass
    let harmed = |onset, parameters| Parameters { onset, error_factor: 5.0, ..parameters };
    vec![
        dark("canary dark from the start", &[NoCanaryData], from(Some(0), None)),
        dark("canary dark after 10 min", &[NoCanaryData], harmed(60, from(Some(60), None))),
        dark("canary dark after 50 min", &[NoCanaryData], harmed(300, from(Some(300), None))),
        dark("baseline dark from the start", &[NoBaselineData], from(None, Some(0))),
        dark("baseline dark after 40 min", &[NoBaselineData], from(None, Some(240))),
        dark("both dark after 20 min", &[NoCanaryData, NoBaselineData], from(Some(120), Some(120))),
        dark("canary without traffic", &[NoTraffic], Parameters { no_canary_traffic: true, ..plain }),
        dark(
            "half of the scrapes lost",
            &[LowCoverage],
            Parameters { missing: Missing { chance: 0.4, ..plain.missing }, ..plain },
        ),
        dark("starved: under 100 requests", &[TooFewRequests, NoTraffic], lot.traffic(1.0, 0.015)),
    ]
}

fn stepped(lot: &'static Lot) -> Vec<Scenario> {
    let plan = |bakes: [u32; 3]| {
        let shares = [0.05, 0.25, 1.0];
        shares.into_iter().zip(bakes).map(|(share, bake_looks)| Step { share, bake_looks }).collect()
    };
    let stepped = |name, bakes, parameters| Scenario { name, lot, fate: Fate::Stepped(plan(bakes)), parameters };
    vec![
        stepped("5, 25, 100 %, busy, 5 min each", [30, 30, 30], lot.busy()),
        stepped("5, 25, 100 %, busy, 10 min each", [60, 60, 60], lot.busy()),
        stepped("5, 25, 100 %, 5, 10, 10 min", [30, 60, 60], lot.plain()),
        stepped("5, 25, 100 %, diurnal, 10 min each", [60, 60, 60], Parameters { diurnal: 0.3, ..lot.busy() }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lots_hold_at_least_seventeen_healthy_and_seventeen_harmful_scenarios_of_different_names() {
        for lot in [&TUNED, &HELD_OUT] {
            let all = catalogue(lot);
            let number = |is: fn(&Fate) -> bool| all.iter().filter(|scenario| is(&scenario.fate)).count();
            assert!(number(|fate| matches!(fate, Fate::Healthy(_))) >= 17);
            assert!(number(|fate| matches!(fate, Fate::Harmful(_))) >= 17);
            let mut names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all.len());
        }
    }

    #[test]
    fn the_held_out_lot_repeats_no_scenario_that_the_judge_was_tuned_on() {
        let tuned = catalogue(&TUNED);
        for scenario in catalogue(&HELD_OUT) {
            assert!(tuned.iter().all(|other| other.parameters != scenario.parameters), "{}", scenario.name);
        }
    }
}
