//! The demonstration: 600 requests a second, a look every 250 ms, two SLIs. Its story has to be told in seconds.

use judge::{Answer, Comparison, Judge, Settings, Verdict};

use crate::world::{Cohort, Random, both, errors, latency, step};

const REQUESTS_PER_LOOK: u64 = 150;
const FINE: Cohort = Cohort { bad_share: 0.002, median_ms: 12.0 };

struct Run {
    judge: Judge,
    random: Random,
}

impl Run {
    fn new(seed: u64) -> Self {
        let slis = vec![errors(Some(0.99)), latency(Some(0.99))];
        Run { judge: Judge::new(Settings::new(slis, 250, 120)).expect("valid settings"), random: Random::new(seed) }
    }

    /// Looks until a pass or a fail, at most 80.
    fn step(&mut self, comparison: Comparison, share: f64, canary: Cohort) -> Verdict {
        self.judge.begin_step(step(comparison, 12)).expect("a valid step");
        let mut verdict = self.judge.verdict();
        while verdict.looks < 80 && !matches!(verdict.answer, Answer::Pass | Answer::Fail) {
            verdict = self.judge.look(&both(&mut self.random, REQUESTS_PER_LOOK, share, FINE, canary));
        }
        verdict
    }
}

/// The looks that each of twenty runs took, sorted; every run must give the same answer.
fn looks(answer: Answer, run: impl Fn(u64) -> Verdict) -> Vec<u32> {
    let mut looks: Vec<u32> = (0..20)
        .map(|seed| {
            let verdict = run(seed);
            assert_eq!(verdict.answer, answer, "seed {seed}: {verdict:#?}");
            verdict.looks
        })
        .collect();
    looks.sort_unstable();
    looks
}

#[test]
fn a_clean_canary_at_half_the_traffic_passes_in_about_five_seconds() {
    let looks = looks(Answer::Pass, |seed| Run::new(seed).step(Comparison::Concurrent, 0.5, FINE));
    assert!(looks[10] <= 24 && looks[19] <= 36, "{looks:?}");
}

#[test]
fn a_clean_release_against_its_objective_passes_in_about_three_seconds() {
    let looks = looks(Answer::Pass, |seed| {
        let mut run = Run::new(seed);
        run.step(Comparison::Concurrent, 0.5, FINE);
        run.step(Comparison::Objective, 1.0, FINE)
    });
    assert!(looks[19] <= 16, "{looks:?}");
}

#[test]
fn errors_of_eight_per_cent_fail_within_three_seconds() {
    let bad = Cohort { bad_share: 0.08, ..FINE };
    let looks = looks(Answer::Fail, |seed| Run::new(seed).step(Comparison::Concurrent, 0.25, bad));
    assert!(looks[10] <= 12 && looks[19] <= 14, "{looks:?}");
}

#[test]
fn a_canary_twice_as_slow_fails_within_three_seconds() {
    let slow = Cohort { median_ms: 24.0, ..FINE };
    let looks = looks(Answer::Fail, |seed| Run::new(seed).step(Comparison::Concurrent, 0.25, slow));
    assert!(looks[19] <= 12, "{looks:?}");
}
