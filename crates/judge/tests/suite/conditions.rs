//! Whatever the looks, nothing passes without its conditions. The oracle keeps its own counts and knows nothing of the evidence.

use judge::{Answer, Comparison, Counts, Judge, Look, Reading, Settings, SliSettings, StepSettings, Verdict};
use proptest::prelude::*;

use crate::world::{EDGES_MS, errors, latency, memory, smoke};

/// More than safety needs, so that the minimum is what holds some of the steps.
const MIN_REQUESTS: u64 = 20_000;

#[derive(Debug, Clone)]
enum Event {
    Begin { comparison: Comparison, bake: u32 },
    Look(Look),
}

fn counts() -> impl Strategy<Value = Option<Counts>> {
    let total = prop_oneof![4 => 1u64..400, 1 => Just(0u64), 1 => any::<u64>()];
    // mostly few bad ones; sometimes more than there were requests
    let ratio = (total, prop_oneof![6 => Just(0u64), 2 => 0u64..5, 1 => any::<u64>()]);
    let buckets = (
        prop_oneof![6 => Just(EDGES_MS.len() + 1), 1 => 0usize..30],
        prop_oneof![6 => 1u64..60, 1 => Just(0u64), 1 => any::<u64>()],
    );
    prop_oneof![
        1 => Just(None),
        8 => ratio.prop_map(|(total, bad)| Some(Counts::Ratio { total, bad })),
        8 => buckets.prop_map(|(n, each)| Some(Counts::Latency { buckets: vec![each; n] })),
        2 => any::<bool>().prop_map(|passed| Some(Counts::Check { passed })),
        4 => prop_oneof![3 => 0.5..2.0f64, 1 => any::<f64>()].prop_map(|value| Some(Counts::Gauge { value })),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        12 => (counts(), counts()).prop_map(|(baseline, canary)| Reading::Seen { baseline, canary }),
        1 => Just(Reading::Unreachable { why: "down".into() }),
    ]
}

/// A healthy look of errors, latency, smoke and memory: without enough of them nothing would ever pass, and the oracle would be idle.
fn healthy() -> Look {
    let ratio = Some(Counts::Ratio { total: 2000, bad: 4 });
    let mut buckets = vec![0; EDGES_MS.len() + 1];
    buckets[6..12].copy_from_slice(&[100, 300, 600, 300, 100, 40]);
    let histogram = Some(Counts::Latency { buckets });
    let passed = Some(Counts::Check { passed: true });
    Look {
        readings: vec![
            Reading::Seen { baseline: ratio.clone(), canary: ratio },
            Reading::Seen { baseline: histogram.clone(), canary: histogram },
            Reading::Seen { baseline: None, canary: passed },
            Reading::Seen { baseline: Some(Counts::Gauge { value: 7e8 }), canary: Some(Counts::Gauge { value: 7e8 }) },
        ],
    }
}

/// A healthy look with one reading replaced; often by a failed or missing smoke test.
fn marred() -> impl Strategy<Value = Look> {
    let failed = Reading::Seen { baseline: None, canary: Some(Counts::Check { passed: false }) };
    let not_run = Reading::Seen { baseline: None, canary: None };
    let replaced = prop_oneof![
        4 => (0usize..4, reading()),
        2 => Just((2, failed)),
        1 => Just((2, not_run)),
    ];
    replaced.prop_map(|(i, reading)| {
        let mut look = healthy();
        look.readings[i] = reading;
        look
    })
}

fn event() -> impl Strategy<Value = Vec<Event>> {
    let comparison = prop_oneof![Just(Comparison::Concurrent), Just(Comparison::Objective), Just(Comparison::Before)];
    let look = prop_oneof![
        4 => marred(),
        1 => prop::collection::vec(reading(), 0..5).prop_map(|readings| Look { readings }),
    ];
    prop_oneof![
        2 => (comparison, 0u32..30).prop_map(|(comparison, bake)| vec![Event::Begin { comparison, bake }]),
        5 => look.prop_map(|look| vec![Event::Look(look)]),
        6 => (1usize..25).prop_map(|n| vec![Event::Look(healthy()); n]),
    ]
}

/// What a pass needs, counted from the looks alone.
#[derive(Default)]
struct Oracle {
    comparison: Option<Comparison>,
    bake: usize,
    /// Per look of the step: whether errors, latency and memory could be judged.
    looks: Vec<bool>,
    /// The canary's requests per counted SLI.
    requests: [u128; 2],
    unreachable: bool,
    smoke: Option<bool>,
}

impl Oracle {
    fn begin(&mut self, comparison: Comparison, bake: u32) {
        *self = Oracle { comparison: Some(comparison), bake: bake as usize, ..Oracle::default() };
    }

    fn look(&mut self, look: &Look) {
        let Some(comparison) = self.comparison else { return };
        self.unreachable =
            look.readings.len() == 4 && look.readings.iter().any(|r| matches!(r, Reading::Unreachable { .. }));
        if let [_, _, Reading::Seen { canary: Some(Counts::Check { passed }), .. }, _] = &look.readings[..] {
            self.smoke = Some(*passed);
        }
        let usable = match &look.readings[..] {
            [errors, latency, _, memory] => [
                usable(comparison, errors, total_of_ratio),
                usable(comparison, latency, total_of_buckets),
                usable(comparison, memory, one_of_gauge),
            ],
            _ => [None; 3],
        };
        for (sum, total) in self.requests.iter_mut().zip(usable) {
            *sum += total.unwrap_or(0);
        }
        self.looks.push(usable.iter().all(Option::is_some));
    }

    fn allows_pass(&self) -> bool {
        let whole = self.looks.iter().filter(|&&whole| whole).count();
        let fresh = &self.looks[self.looks.len().saturating_sub(18)..];
        self.looks.len() >= self.bake
            && self.looks.last() == Some(&true)
            && 10 * whole >= 8 * self.looks.len()
            && 2 * fresh.iter().filter(|&&whole| whole).count() >= fresh.len()
            && self.requests.iter().all(|&requests| requests >= MIN_REQUESTS.into())
            && !self.unreachable
            && self.smoke == Some(true)
    }
}

fn usable(comparison: Comparison, reading: &Reading, total: impl Fn(&Counts) -> Option<u128>) -> Option<u128> {
    let Reading::Seen { baseline, canary } = reading else { return None };
    if comparison != Comparison::Objective {
        total(baseline.as_ref()?)?;
    }
    total(canary.as_ref()?)
}

fn total_of_ratio(counts: &Counts) -> Option<u128> {
    match counts {
        Counts::Ratio { total, bad } if bad <= total && *total > 0 => Some((*total).into()),
        _ => None,
    }
}

fn total_of_buckets(counts: &Counts) -> Option<u128> {
    let Counts::Latency { buckets } = counts else { return None };
    let total: u128 = buckets.iter().map(|&n| u128::from(n)).sum();
    (buckets.len() == EDGES_MS.len() + 1 && total > 0 && total <= u64::MAX.into()).then_some(total)
}

fn one_of_gauge(counts: &Counts) -> Option<u128> {
    matches!(counts, Counts::Gauge { value } if *value > 0.0 && value.is_finite()).then_some(1)
}

fn slis() -> Vec<SliSettings> {
    vec![errors(Some(0.98)), latency(Some(0.98)), smoke(), memory(Some(1e9))]
}

/// Runs the events; gives each verdict to `seen` with the oracle of that moment.
fn run(events: &[Event], mut seen: impl FnMut(&Oracle, &Verdict)) {
    let settings = Settings { min_requests: MIN_REQUESTS, ..Settings::new(slis(), 10_000, 360) };
    let mut judge = Judge::new(settings).expect("valid settings");
    let mut oracle = Oracle::default();
    for event in events {
        match event {
            Event::Begin { comparison, bake } => {
                oracle.begin(*comparison, *bake);
                let step = StepSettings { comparison: *comparison, bake_looks: *bake, expected_share: None };
                judge.begin_step(step).expect("a valid step");
            }
            Event::Look(look) => {
                oracle.look(look);
                judge.look(look);
            }
        }
        seen(&oracle, &judge.verdict());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_passes_without_its_conditions(first in 0u32..20, events in prop::collection::vec(event(), 1..12)) {
        let mut all = vec![Event::Begin { comparison: Comparison::Concurrent, bake: first }];
        all.extend(events.into_iter().flatten());
        let mut failed = false;
        run(&all, |oracle, verdict| {
            if verdict.answer == Answer::Pass {
                assert!(oracle.allows_pass(), "{verdict:#?}");
                assert!(verdict.safety_progress >= 1.0 && verdict.evidence < verdict.alpha.powf(-0.5), "{verdict:#?}");
            }
            assert_eq!(oracle.unreachable && !failed && verdict.answer != Answer::Fail, verdict.answer == Answer::Unreachable);
            let in_the_way = verdict.reasons.iter().filter(|reason| !reason.code.is_note()).count();
            assert_eq!(in_the_way == 0, verdict.answer == Answer::Pass, "an answer other than pass has its reason: {verdict:#?}");
            assert!(!failed || verdict.answer == Answer::Fail, "a fail is final");
            failed |= verdict.answer == Answer::Fail;
            for figure in [verdict.evidence, verdict.confidence, verdict.health, verdict.harm_progress, verdict.safety_progress] {
                assert!(figure.is_finite() && figure >= 0.0, "{verdict:#?}");
            }
        });
    }

    #[test]
    fn the_same_looks_give_the_same_verdict(events in prop::collection::vec(event(), 1..8)) {
        let all: Vec<Event> = events.into_iter().flatten().collect();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        run(&all, |_, verdict| first.push(verdict.clone()));
        run(&all, |_, verdict| second.push(verdict.clone()));
        prop_assert_eq!(first, second);
    }
}

#[test]
fn the_oracle_sees_passes() {
    let mut events = vec![Event::Begin { comparison: Comparison::Concurrent, bake: 12 }];
    events.extend(vec![Event::Look(healthy()); 30]);
    events.push(Event::Begin { comparison: Comparison::Objective, bake: 12 });
    events.extend(vec![Event::Look(healthy()); 30]);
    let mut passes = 0;
    run(&events, |oracle, verdict| {
        assert!(verdict.answer != Answer::Pass || oracle.allows_pass());
        passes += u32::from(verdict.answer == Answer::Pass);
    });
    assert!(passes >= 25, "{passes}");
}

// A canary with a request now and then gets none in many looks: those belong to its share as much as the others.
#[test]
fn a_thin_canary_that_gets_its_share_is_no_mismatch() {
    let settings = crate::world::settings(vec![crate::world::errors(None)]);
    let mut judge = judge::Judge::new(settings).expect("settings");
    let step = crate::world::step(judge::Comparison::Concurrent, 30);
    judge.begin_step(judge::StepSettings { expected_share: Some(0.05), ..step }).expect("a step");
    let mut verdict = None;
    for at in 0..600 {
        let canary = u64::from(at % 2 == 0);
        verdict =
            Some(judge.look(&crate::world::look(crate::world::seen(
                crate::world::ratio(10, 0),
                crate::world::ratio(canary, 0),
            ))));
    }
    let codes: Vec<_> = verdict.expect("looks").reasons.iter().map(|reason| reason.code).collect();
    assert!(!codes.contains(&judge::ReasonCode::SplitMismatch), "{codes:?}");
}
