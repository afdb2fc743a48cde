//! The exposure plan: what it foretells, and whether that comes true.

use judge::plan::{self, Case, Decision, ExposurePlan, Harm, PlannedStep, Present, Question};
use judge::{Comparison, Judge, SliSettings};

use crate::world;

/// Shares of a log-normal histogram with the edges of the world.
fn histogram() -> Vec<f64> {
    let mut random = world::Random::new(5);
    let judge::Counts::Latency { buckets } = world::Cohort::errors(0.01).latency(&mut random, 200_000) else {
        panic!("a histogram")
    };
    buckets.iter().map(|&n| n as f64 / 200_000.0).collect()
}

fn errors(requests_per_second: f64, bad_share: f64) -> Present {
    Present::Ratio { per_look: 10.0 * requests_per_second, bad_share, noise: 1.0, drift: 0.0 }
}

fn latency(requests_per_second: f64) -> Present {
    Present::Latency { per_look: 10.0 * requests_per_second, shares: histogram(), noise: 1.0, drift: 0.0 }
}

fn memory() -> SliSettings {
    SliSettings::new("memory", judge::SliKind::gauge())
}

fn step(share: f64, bake_looks: u32) -> PlannedStep {
    let comparison = if share < 1.0 { Comparison::Concurrent } else { Comparison::Objective };
    PlannedStep { share, comparison, bake_looks, deadline_looks: 6 * bake_looks }
}

fn of_errors(requests_per_second: f64, share: f64) -> Question {
    let settings = world::settings(vec![world::errors(None)]);
    Question::new(settings, vec![errors(requests_per_second, 0.01)], vec![step(share, 30)])
}

fn foretell(question: &Question) -> ExposurePlan {
    plan::foretell(question).expect("a question that makes sense")
}

#[test]
fn timing() {
    for rps in [1000.0, 100.0, 1.0, 0.01] {
    let settings = world::settings(vec![world::errors(Some(0.98)), world::latency(Some(0.95)), memory()]);
    let question = Question::new(
        settings,
        vec![errors(rps, 0.01), latency(rps), Present::gauge(1e8)],
        vec![step(0.05, 30), step(0.25, 30), step(1.0, 30)],
    );
    let at = std::time::Instant::now();
    let plan = foretell(&question);
    println!("{rps} {:?}\n{plan:#?}", at.elapsed());
    let at = std::time::Instant::now();
    let s = plan::suggest(&question);
    println!("{rps} {:?}\n{:?} {:?}", at.elapsed(), s.as_ref().unwrap().steps, s.as_ref().unwrap().unmet);
    }
}
