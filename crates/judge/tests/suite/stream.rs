//! The streaming protocol: what it answers to good, missing and senseless messages.

use judge::stream::{Decision, Side, Start, StartError, Stream, Tick};
use judge::{Answer, Profile, ReasonCode};
use proptest::prelude::*;

fn start(metrics: &[&str]) -> Start {
    Start {
        tick_s: 10.0,
        horizon_ticks: 60,
        bake_ticks: None,
        metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
        bucket_edges_ms: vec![10.0, 100.0, 1000.0],
        history: None,
        alpha: None,
    }
}

fn side(n: f64, x: f64) -> Side {
    Side {
        n: Some(n),
        x: Some(x),
        h: Some([0.5, 0.4, 0.09, 0.01].map(|part| Some((n * part).round())).into()),
        g: None,
    }
}

fn after(start: &Start, ticks: impl Iterator<Item = Tick>) -> (Decision, Answer, Vec<ReasonCode>) {
    let mut stream = Stream::new(start, Profile::Default).expect("a good start");
    let last = ticks.map(|tick| stream.tick(&tick)).last().expect("a tick");
    (last.decision, last.verdict, last.reasons.into_iter().map(|reason| reason.code).collect())
}

#[test]
fn a_clean_canary_is_promoted_at_the_end_of_the_bake_and_not_before() {
    let both = || Tick { baseline: Some(side(9_000.0, 9.0)), canary: Some(side(1_000.0, 1.0)), source: None };
    let start = start(&["err", "p99"]);
    assert_eq!(after(&start, std::iter::repeat_with(both).take(59)).0, Decision::Hold);
    assert_eq!(after(&start, std::iter::repeat_with(both).take(60)).0, Decision::Promote);
}

/// F1
#[test]
fn each_kind_of_silence_is_held_with_its_own_reason() {
    let start = start(&["err", "p99"]);
    let held = |baseline: Option<Side>, canary: Option<Side>, source: Option<&str>| {
        let tick = || Tick { baseline: baseline.clone(), canary: canary.clone(), source: source.map(str::to_owned) };
        after(&start, std::iter::repeat_with(tick).take(60))
    };
    let (full, idle) = (Some(side(9_000.0, 9.0)), Some(side(0.0, 0.0)));
    let cases = [
        (held(full.clone(), None, None), Answer::Insufficient, ReasonCode::NoCanaryData),
        (held(None, full.clone(), None), Answer::Insufficient, ReasonCode::NoBaselineData),
        (held(full.clone(), idle, None), Answer::Insufficient, ReasonCode::NoTraffic),
        (held(None, None, Some("unreachable")), Answer::Unreachable, ReasonCode::Unreachable),
        (held(full.clone(), Some(side(1.0, 0.0)), None), Answer::Insufficient, ReasonCode::LowTraffic),
    ];
    for ((decision, answer, reasons), expected, code) in cases {
        assert_eq!((decision, answer), (Decision::Hold, expected));
        assert!(reasons.contains(&code), "{code:?} in {reasons:?}");
    }
}

#[test]
fn a_senseless_start_is_refused_in_words() {
    let refused = |start: &Start| Stream::new(start, Profile::Default).expect_err("a refusal").to_string();
    assert_eq!(refused(&start(&["errors"])), "`errors` is no metric: use `err`, `p99`, or `g0`, `g1`, ... in order");
    assert!(refused(&start(&[])).contains("no SLI is named"));
    assert!(refused(&start(&["err", "err"])).contains("two SLIs are named `err`"));
    let never = Start { tick_s: f64::NAN, ..start(&["err"]) };
    assert!(matches!(Stream::new(&never, Profile::Default), Err(StartError::TickLength(_))));
    let edges = Start { bucket_edges_ms: vec![10.0, 5.0], ..start(&["p99"]) };
    assert!(refused(&edges).contains("must be positive and ascend"));
}

#[test]
fn more_edges_than_the_state_holds_are_merged() {
    let edges: Vec<f64> = (1..=100).map(f64::from).collect();
    let mut stream = Stream::new(&Start { bucket_edges_ms: edges, ..start(&["p99"]) }, Profile::Default).expect("good");
    let side = || Some(Side { h: Some(vec![Some(10.0); 101]), ..Side::default() });
    let replies: Vec<Decision> =
        (0..60).map(|_| stream.tick(&Tick { baseline: side(), canary: side(), source: None }).decision).collect();
    assert_eq!(replies.last(), Some(&Decision::Promote));
}

type Raw = (Option<f64>, Option<f64>, Option<Vec<Option<f64>>>, Option<Vec<Option<f64>>>);

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![3 => (0.0..1e4f64).prop_map(|n| Some(n.round())), 1 => Just(None), 1 => any::<f64>().prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_breaks_it(
        sides in prop::collection::vec(
            prop::option::of((number(), number(), prop::option::of(prop::collection::vec(number(), 0..6)), prop::option::of(prop::collection::vec(number(), 0..3)))),
            2..80,
        ),
    ) {
        let mut stream = Stream::new(&start(&["err", "p99", "g0"]), Profile::Default).expect("a good start");
        let side = |it: &Option<Raw>| it.clone().map(|(n, x, h, g)| Side { n, x, h, g });
        for pair in sides.windows(2) {
            let reply = stream.tick(&Tick { baseline: side(&pair[0]), canary: side(&pair[1]), source: None });
            prop_assert!((0.0..=100.0).contains(&reply.confidence) && (0.0..=100.0).contains(&reply.score), "{reply:?}");
            prop_assert!(reply.metrics.iter().all(|metric| metric.e.is_finite()), "{reply:?}");
        }
    }
}
