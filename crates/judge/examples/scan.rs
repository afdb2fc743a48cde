//! The scan, measured: how often equal cohorts are told apart, how soon one of 500 series is found, and what a look costs.
//!
//! `cargo run --release -p judge --example scan`. Seeded: the same figures in each run, times aside.
#![allow(clippy::disallowed_types, clippy::disallowed_macros, reason = "measures and prints; is not the judge")]

#[path = "../tests/suite/series.rs"]
mod series;

use std::time::Instant;

use series::{CALM, Noise, Series, first_finding};

const HOUR: u64 = 360;

fn main() {
    println!("equal cohorts, 100 series, one hour of looks every 10 s: runs of 100 in which anything was ever found");
    for memory in [0.5, 0.9, 0.97, 0.99] {
        for spread in [0.05, 0.2] {
            for (of_cohort, heavy, share) in
                [(0.0, false, 0.5), (0.1, false, 0.5), (0.0, true, 0.5), (0.05, false, 0.1)]
            {
                let noise = Noise { memory, spread, of_cohort, shared: 0.3, heavy, share };
                let found =
                    (0..100).filter(|seed| first_finding(&mut Series::new(*seed, 100, noise), HOUR).1.is_some());
                println!("{noise:?}: {}", found.count());
            }
        }
    }
    println!("one of 500 series off by a factor from look 1 or 180 on: found, median look after it began");
    for spread in [0.05, 0.2] {
        for (from, factor) in [(1, 3.0), (1, 1.6), (1, 0.3), (180, 3.0), (180, 1.6)] {
            let noise = Noise { spread, memory: 0.7, ..CALM };
            let mut after: Vec<u64> = (0..20)
                .filter_map(|seed| {
                    let mut series = Series::new(seed, 500, noise);
                    series.planted = Some((from, factor));
                    first_finding(&mut series, HOUR).1.map(|look| look - from)
                })
                .collect();
            after.sort_unstable();
            println!(
                "spread {spread} x{factor} from {from}: {} of 20, median {:?}",
                after.len(),
                after.get(after.len() / 2)
            );
        }
    }
    let mut series = Series::new(1, 500, CALM);
    let mut scan = judge::Scan::new(judge::ScanSettings::new(HOUR as u32));
    let mut spent = std::time::Duration::ZERO;
    for number in 1..=3_000 {
        series.next(number);
        let look = series.look(number);
        let start = Instant::now();
        let _ = std::hint::black_box(scan.look(&look));
        let _ = std::hint::black_box(scan.findings());
        spent += start.elapsed();
    }
    println!("a look at 500 series: {:.1} us", spent.as_secs_f64() * 1e6 / 3_000.0);
}
