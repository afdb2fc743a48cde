//! X18: the scan of all series: how seldom it finds what is not there, how surely what is, and what it makes of odd readings.

use judge::{Beyond, Direction, Pair, Scan, ScanBlock, ScanLook, ScanSettings, SeriesKind, SeriesReading};

use crate::series::{CALM, Noise, Series, first_finding};

/// So many looks of 10 s are an hour.
const HOUR: u64 = 360;

/// How many of the runs over an hour ever found anything among equal series.
fn found_among_equals(runs: u64, count: usize, noise: Noise) -> usize {
    (0..runs).filter(|seed| first_finding(&mut Series::new(*seed, count, noise), HOUR).1.is_some()).count()
}

// X18: noise that remembers for minutes, tails of three degrees of freedom, shocks that hit both, noise that a cohort has in all its series, and a
// canary of a tenth: never more than one run in twenty finds anything, at any of its looks.
#[test]
fn equal_cohorts_are_seldom_told_apart_however_their_series_hang_together() {
    let worlds = [
        Noise { memory: 0.5, spread: 0.4, of_cohort: 0.1, shared: 0.5, heavy: false, share: 0.5 },
        Noise { memory: 0.9, spread: 0.2, of_cohort: 0.05, shared: 0.3, heavy: true, share: 0.1 },
        Noise { memory: 0.97, spread: 0.1, of_cohort: 0.05, shared: 0.3, heavy: true, share: 0.5 },
        Noise { memory: 0.99, spread: 0.05, of_cohort: 0.03, shared: 0.3, heavy: false, share: 0.5 },
    ];
    for noise in worlds {
        let found = found_among_equals(40, 60, noise);
        assert!(found <= 2, "{found} of 40: {noise:?}");
    }
}

// X18: in the long run.
#[test]
fn nothing_is_found_among_500_equal_series_in_ten_hours() {
    let noise = Noise { memory: 0.9, spread: 0.1, ..CALM };
    let (scan, found, _) = first_finding(&mut Series::new(7, 500, noise), 10 * HOUR);
    assert_eq!((found, scan.tally().series), (None, 500));
}

// X18: one of 500, whichever way it goes, and nothing beside it.
#[test]
fn one_of_500_series_that_moves_is_found_and_named_alone() {
    for (factor, direction) in [(3.0, Direction::Up), (0.3, Direction::Down)] {
        let mut series = Series::new(3, 500, CALM);
        series.planted = Some((1, factor));
        let (scan, found, _) = first_finding(&mut series, 180);
        assert!(found.is_some_and(|look| look <= 120), "x{factor}: {found:?}");
        let findings = scan.findings();
        assert_eq!(findings.len(), 1, "{findings:?}");
        let finding = &findings[0];
        assert_eq!((finding.name.as_str(), finding.direction), ("series_000{path=\"/orders/0\"}", direction));
        assert!((finding.effect / factor).ln().abs() < 0.15, "{finding:?}");
        assert_eq!((Some(finding.since_look), finding.is_exposed), (found, true));
        assert!(finding.why.contains("`series_000"), "{}", finding.why);
    }
}

// X18: what begins late is found too.
#[test]
fn a_series_that_moves_in_the_middle_is_found_after_it_does() {
    let mut series = Series::new(5, 100, CALM);
    series.planted = Some((150, 3.0));
    let (_, found, _) = first_finding(&mut series, HOUR);
    assert!(found.is_some_and(|look| look > 150 && look < 300), "{found:?}");
}

// X18: after a crash the scan is the fold over its blocks.
#[test]
fn the_kept_blocks_give_the_same_findings() {
    let mut series = Series::new(9, 80, CALM);
    series.planted = Some((1, 3.0));
    let (scan, _, blocks) = first_finding(&mut series, 120);
    assert!(!scan.findings().is_empty());
    let mut folded = Scan::new(ScanSettings::new(120));
    folded.begin_step();
    for block in &blocks {
        let text = serde_json::to_string(block).expect("JSON");
        assert!(text.len() < 9_000, "{}", text.len());
        folded.take(&serde_json::from_str::<ScanBlock>(&text).expect("a block"));
    }
    assert_eq!(folded.findings(), scan.findings());
    assert_eq!(folded.tally(), scan.tally());
}

/// The findings after looks at one series beside nine that are equal.
fn after(looks: u64, traffic: [f64; 2], pair: impl Fn(u64) -> Option<Pair>) -> Vec<judge::Finding> {
    let mut scan = Scan::new(ScanSettings::new(looks as u32));
    for number in 1..=looks {
        let wave = 1.0 + 0.05 * (number as f64 * 0.7).sin();
        let equal = |i: usize| SeriesReading {
            name: format!("equal_{i}"),
            pair: Pair::Gauge { baseline: 10.0 * wave, canary: 10.0 * (2.0 - wave) },
        };
        let mut readings: Vec<SeriesReading> = (0..9).map(equal).collect();
        readings.extend(pair(number).map(|pair| SeriesReading { name: "odd".into(), pair }));
        scan.look(&ScanLook { number, traffic, instances: [1.0, 1.0], readings: &readings });
    }
    scan.findings()
}

const EVEN: [f64; 2] = [100.0, 100.0];

// X18
#[test]
fn each_odd_reading_has_one_meaning() {
    let gauge = |baseline: f64, canary: f64| move |_: u64| Some(Pair::Gauge { baseline, canary });
    assert_eq!(after(90, EVEN, gauge(7.0, 7.0)), [], "a constant is equal");
    assert_eq!(after(90, EVEN, gauge(0.0, 0.0)), [], "zero on both sides is equal");
    for odd in [f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(after(90, EVEN, gauge(1.0, odd)), [], "{odd} is no reading");
    }
    assert_eq!(after(90, EVEN, gauge(7.0, 14.0)).len(), 1, "a constant that differs is found");
    let total = |look: u64| Some(Pair::Gauge { baseline: 1e6 + look as f64, canary: look as f64 });
    assert_eq!(after(90, EVEN, total), [], "what only rises is the age of a process");
    let silent = |_: u64| Some(Pair::Counter { baseline: 0.0, canary: 0.0 });
    assert_eq!(after(90, EVEN, silent), [], "where nothing happens nothing is known");
    let only_canary = |_: u64| Some(Pair::Counter { baseline: 0.0, canary: 20.0 });
    assert_eq!(after(90, EVEN, only_canary).len(), 1, "what happens in the canary only is found");
}

// X18: by its traffic or by its instances: no name tells which, so that both are equal.
#[test]
fn a_canary_with_little_traffic_is_not_found_for_having_little() {
    let uneven = [95.0, 5.0];
    for canary in [500.0, 100.0, 26.0] {
        let counter = move |_: u64| Some(Pair::Counter { baseline: 500.0, canary });
        assert_eq!(after(120, uneven, counter), [], "{canary}");
        let gauge = move |look: u64| Some(Pair::Gauge { baseline: 500.0, canary: canary + (look % 2) as f64 });
        assert_eq!(after(120, uneven, gauge), [], "{canary}");
    }
    let more = after(120, uneven, |_| Some(Pair::Counter { baseline: 500.0, canary: 1_000.0 }));
    assert_eq!(more.len(), 1);
    assert!(more[0].why.contains("would be equal"), "{}", more[0].why);
}

// X18: one finding for a histogram, by what lies beyond its edges.
#[test]
fn the_buckets_of_a_histogram_are_one_question() {
    let mut scan = Scan::new(ScanSettings::new(120));
    for number in 1..=120 {
        let bucket = |edge: usize, slower: f64| {
            let beyond = |share: f64| Beyond { beyond: 400.0 * share / (edge + 1) as f64, all: 400.0 };
            let pair =
                Pair::Bucket { histogram: "seconds".into(), baseline: beyond(0.2), canary: beyond(0.2 * slower) };
            SeriesReading { name: format!("seconds_bucket{{le=\"{edge}\"}}"), pair }
        };
        let readings: Vec<SeriesReading> = (0..6).map(|edge| bucket(edge, 2.5)).collect();
        scan.look(&ScanLook { number, traffic: [380.0, 20.0], instances: [1.0, 1.0], readings: &readings });
    }
    let findings = scan.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].name.as_str(), findings[0].kind), ("seconds", SeriesKind::Histogram));
}

// X18: what vanishes keeps its place and says so; what is too much is counted.
#[test]
fn series_that_vanish_and_series_that_are_too_many_are_told() {
    let gone = after(150, EVEN, |look| (look <= 90).then_some(Pair::Gauge { baseline: 7.0, canary: 21.0 }));
    assert_eq!((gone.len(), gone[0].is_exposed), (1, false));
    assert!(gone[0].why.contains("no longer"), "{}", gone[0].why);

    let mut series = Series::new(1, 520, CALM);
    let mut scan = Scan::new(ScanSettings::new(10));
    series.next(1);
    scan.look(&series.look(1));
    assert_eq!((scan.tally().series, scan.tally().left_out), (500, 20));
}
