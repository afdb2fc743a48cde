//! The bench's peers against figures recorded from an independent implementation (Python with Numba, NumPy's sorting and sums).
//!
//! `peers.json` holds four recorded canaries with the tick at which each peer rolled them back, Kayenta's class of each metric at twelve looks, and sixty
//! pairs of small samples with ties, constants and missing points.
#![allow(missing_docs, dead_code, reason = "modules of the bench, of which this test uses a part")]
#![allow(clippy::disallowed_methods, reason = "the recorded figures are read from a file")]

#[path = "../examples/verdict/peers.rs"]
mod peers;
#[path = "../examples/verdict/ticks.rs"]
mod ticks;

use serde::Deserialize;

use crate::peers::{Class, Kayenta, Series, argo, classify, flagger, series};
use crate::ticks::{Side, Tick};

#[derive(Deserialize)]
struct Recorded {
    streams: Vec<Stream>,
    samples: Vec<Samples>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    edges: Vec<f64>,
    baseline: Cohort,
    canary: Cohort,
    decided: Decided,
    p99: [Vec<Option<f64>>; 2],
    classes: Vec<Vec<i8>>,
}

#[derive(Deserialize)]
struct Cohort {
    x: Vec<Option<u64>>,
    h: Vec<Option<Vec<u64>>>,
    g: Vec<Option<[f64; 2]>>,
}

/// The tick, -1 for never, and the letter of the decision.
type Decision = (i64, char);

#[derive(Deserialize)]
struct Decided {
    documented: Decision,
    lax: Decision,
    critical: Decision,
    tuned: Decision,
    argo: Decision,
    flagger: Decision,
}

#[derive(Deserialize)]
struct Samples {
    x: Vec<Option<f64>>,
    y: Vec<Option<f64>>,
    class: [i8; 3],
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("peers.json")).expect("peers.json is as the recorder wrote it")
}

fn sides(cohort: &Cohort) -> impl Iterator<Item = Option<Side>> + '_ {
    let whole = cohort.x.iter().zip(&cohort.h).zip(&cohort.g);
    whole.map(|((errors, buckets), gauges)| {
        let buckets = buckets.clone()?;
        Some(Side { requests: buckets.iter().sum(), errors: (*errors)?, buckets, gauges: (*gauges)? })
    })
}

fn ticks(stream: &Stream) -> Vec<Tick> {
    let both = sides(&stream.baseline).zip(sides(&stream.canary));
    both.map(|(baseline, canary)| Tick { baseline, canary, worse: 0.0 }).collect()
}

fn number(class: Class) -> i8 {
    match class {
        Class::High => 1,
        Class::Pass => 0,
        Class::NoData => -1,
    }
}

fn points(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

#[test]
fn each_peer_rolls_recorded_canaries_back_at_the_recorded_tick() {
    for stream in recorded().streams {
        let ticks = ticks(&stream);
        let metrics = series(&ticks, &stream.edges);
        let decided = &stream.decided;
        let kayenta = |settings: Kayenta| settings.judge(&metrics);
        for (peer, seen, wanted) in [
            ("documented", kayenta(Kayenta::DOCUMENTED), decided.documented),
            ("lax", kayenta(Kayenta::LAX), decided.lax),
            ("critical", kayenta(Kayenta::CRITICAL), decided.critical),
            ("tuned", kayenta(Kayenta::TUNED), decided.tuned),
            ("argo", argo(&ticks, &stream.edges), decided.argo),
            ("flagger", flagger(&ticks, &stream.edges), decided.flagger),
        ] {
            let seen: Decision = seen.map_or((-1, 'P'), |tick| (tick as i64, 'R'));
            assert_eq!(seen, wanted, "{peer} on `{}`", stream.name);
        }
    }
}

#[test]
fn kayenta_classifies_each_metric_at_each_look_as_recorded() {
    for stream in recorded().streams {
        let metrics = series(&ticks(&stream), &stream.edges);
        let classes = metrics.iter().flat_map(|metric| {
            let Series { experiment, control } = metric;
            [1.0, 1.1].map(|allowed| {
                let looks = (5..61).step_by(5);
                looks.map(|n| number(classify(&experiment[..n], &control[..n], allowed))).collect::<Vec<i8>>()
            })
        });
        assert_eq!(classes.collect::<Vec<_>>(), stream.classes, "`{}`", stream.name);
    }
}

#[test]
fn the_p99_of_each_minute_is_the_recorded_one() {
    for stream in recorded().streams {
        let metrics = series(&ticks(&stream), &stream.edges);
        for (seen, wanted) in [(&metrics[1].experiment, &stream.p99[0]), (&metrics[1].control, &stream.p99[1])] {
            for (seen, wanted) in seen.iter().zip(points(wanted)) {
                assert!((seen - wanted).abs() < 1e-5 || (seen.is_nan() && wanted.is_nan()), "{seen} is not {wanted}");
            }
        }
    }
}

#[test]
fn small_samples_with_ties_constants_and_missing_points_are_classified_as_recorded() {
    for sample in recorded().samples {
        let (x, y) = (points(&sample.x), points(&sample.y));
        let seen = [1.0, 1.1, 1.5].map(|allowed| number(classify(&x, &y, allowed)));
        assert_eq!(seen, sample.class, "{x:?} against {y:?}");
    }
}
