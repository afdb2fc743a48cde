//! The bound and the power: how often is a harmless canary failed, how soon is a harmful one, how soon is a clean one passed?
//!
//! Seeded, so that the figures are the same in each run.

use judge::{Answer, Comparison, Judge, Look, Settings, SliKind, SliSettings};

use crate::world::{Cohort, Random, errors, gauge, latency, look, memory, seen, settings, step};

/// The first settled answer and its look, counted from 1.
fn settled(mut judge: Judge, looks: u32, mut next: impl FnMut(u32) -> Look) -> Option<(Answer, u32)> {
    (1..=looks).find_map(|t| {
        let answer = judge.look(&next(t)).answer;
        matches!(answer, Answer::Pass | Answer::Fail).then_some((answer, t))
    })
}

fn judge(slis: Vec<SliSettings>, alpha: f64, comparison: Comparison, bake: u32) -> Judge {
    let mut settings = settings(slis);
    settings.alpha = alpha;
    let mut judge = Judge::new(settings).expect("valid settings");
    judge.begin_step(step(comparison, bake)).expect("a valid step");
    judge
}

/// Margin 1: equal odds are the edge of the null, where the bound is tight.
fn without_margin(name: &str, objective: Option<f64>) -> SliSettings {
    let kind = SliKind::Ratio { harm_margin: 1.0, safety_margin: 1.5, floor: 0.005 };
    SliSettings { objective, ..SliSettings::new(name, kind) }
}

fn false_rollbacks(runs: u64, alpha: f64, comparison: Comparison) -> f64 {
    let failed = (0..runs).filter(|&run| {
        let mut random = Random::new(run);
        let slis = vec![without_margin("a", Some(0.9)), without_margin("b", Some(0.9))];
        // the traffic breathes and both cohorts share incidents: none of it is the canary's doing
        let outcome = settled(judge(slis, alpha, comparison, u32::MAX), 360, |t| {
            let share = if comparison == Comparison::Concurrent && t % 40 < 5 { 0.25 } else { 0.1 };
            let (baseline, canary) = (60 + u64::from(t % 50), 15 + u64::from(t % 7));
            let cohort = Cohort::errors(share);
            let mut reading =
                || seen(Some(cohort.ratio(&mut random, baseline)), Some(cohort.ratio(&mut random, canary)));
            Look { readings: vec![reading(), reading()] }
        });
        outcome.is_some()
    });
    failed.count() as f64 / runs as f64
}

#[test]
fn a_canary_equal_to_its_baseline_is_rarely_failed_over_a_whole_hour_of_looks() {
    let rate = false_rollbacks(400, 0.05, Comparison::Concurrent);
    assert!(rate <= 0.05, "{rate}");
}

#[test]
fn a_canary_exactly_at_its_objective_is_rarely_failed_over_a_whole_hour_of_looks() {
    let rate = false_rollbacks(300, 0.05, Comparison::Objective);
    assert!(rate <= 0.05, "{rate}");
}

#[test]
fn the_budget_holds_over_steps_that_compare_differently() {
    let failed = (0..300u64).filter(|&run| {
        let mut random = Random::new(7_000 + run);
        let mut judge = judge(vec![without_margin("a", Some(0.9))], 0.2, Comparison::Concurrent, 1);
        (0..240).any(|t| {
            if t % 60 == 0 {
                let comparison = if t % 120 == 0 { Comparison::Concurrent } else { Comparison::Objective };
                judge.begin_step(step(comparison, 1)).expect("a valid step");
            }
            let cohort = Cohort::errors(0.1);
            let look = look(seen(Some(cohort.ratio(&mut random, 80)), Some(cohort.ratio(&mut random, 40))));
            judge.look(&look).answer == Answer::Fail
        })
    });
    let rate = failed.count() as f64 / 300.0;
    assert!(rate <= 0.2, "{rate}");
}

/// The looks that the slowest of ten seeded runs took; every run must give this answer.
fn slowest(answer: Answer, run: impl Fn(u64) -> Option<(Answer, u32)>) -> u32 {
    let looks = |seed| match run(seed) {
        Some((settled, looks)) if settled == answer => looks,
        other => panic!("seed {seed}: {other:?}"),
    };
    let looks: Vec<u32> = (0..10).map(looks).collect();
    looks.into_iter().fold(0, u32::max)
}

/// 1,000 requests a second, a look every 10 s, half to the canary.
fn busy(seed: u64, baseline: f64, canary: f64, looks: u32, bake: u32) -> Option<(Answer, u32)> {
    let mut random = Random::new(seed);
    settled(judge(vec![errors(None)], 0.01, Comparison::Concurrent, bake), looks, |_| {
        let baseline = Cohort::errors(baseline).ratio(&mut random, 5000);
        look(seen(Some(baseline), Some(Cohort::errors(canary).ratio(&mut random, 5000))))
    })
}

#[test]
fn twice_the_errors_at_a_thousand_requests_a_second_fail_within_two_minutes() {
    let slowest = slowest(Answer::Fail, |seed| busy(seed, 0.01, 0.02, 60, 60));
    assert!(slowest <= 12, "{slowest}");
}

#[test]
fn an_outage_fails_within_three_looks_whenever_it_begins_and_never_on_one() {
    for seed in 0..10 {
        let outcome = busy(seed, 0.01, 0.5, 60, 60);
        assert!(matches!(outcome, Some((Answer::Fail, 2..=3))), "{outcome:?}");
    }
    // late, most of the wealth has been lost on the healthy looks before; it comes back in one look, which decides nothing alone
    let mut random = Random::new(99);
    let outcome = settled(judge(vec![errors(None)], 0.01, Comparison::Concurrent, 60), 60, |t| {
        let canary = Cohort::errors(if t > 20 { 0.5 } else { 0.01 });
        let baseline = Cohort::errors(0.01).ratio(&mut random, 5000);
        look(seen(Some(baseline), Some(canary.ratio(&mut random, 5000))))
    });
    assert!(matches!(outcome, Some((Answer::Fail, 22..=23))), "{outcome:?}");
}

/// When harm is found that begins long after the planned looks are over, as in a pause or in the watch of a long release.
fn found_late(sli: SliSettings, mut next: impl FnMut(bool) -> Look) -> u32 {
    let (horizon, begins) = (60, 900);
    let mut judge = Judge::new(Settings { horizon_looks: horizon, ..settings(vec![sli]) }).expect("valid settings");
    judge.begin_step(step(Comparison::Concurrent, horizon)).expect("a valid step");
    for t in 1..begins {
        let verdict = judge.look(&next(false));
        assert_ne!(verdict.answer, Answer::Fail, "look {t}: {verdict:#?}");
    }
    (1..=120).find(|_| judge.look(&next(true)).answer == Answer::Fail).expect("it is found within 120 looks")
}

#[test]
fn harm_that_begins_long_after_the_planned_looks_is_found() {
    let mut random = Random::new(5);
    let outage = found_late(errors(None), |harmed| {
        let canary = Cohort::errors(if harmed { 0.33 } else { 0.002 });
        look(seen(Some(Cohort::errors(0.002).ratio(&mut random, 500)), Some(canary.ratio(&mut random, 500))))
    });
    assert!(outage <= 4, "{outage}");
    let slow = found_late(latency(None), |harmed| {
        let cohort = |median_ms: f64| Cohort { bad_share: 0.0, median_ms };
        let canary = cohort(if harmed { 36.0 } else { 12.0 });
        look(seen(Some(cohort(12.0).latency(&mut random, 300)), Some(canary.latency(&mut random, 300))))
    });
    assert!(slow <= 10, "{slow}");
    let leak = found_late(memory(None), |harmed| {
        let mut noise = || (0.03 * random.normal()).exp();
        let canary = if harmed { 2.0 } else { 1.0 };
        look(seen(gauge(noise()), gauge(canary * noise())))
    });
    assert!(leak <= 90, "{leak}");
}

#[test]
fn the_budget_holds_long_after_the_planned_looks() {
    let failed = (0..300u64).filter(|&run| {
        let mut random = Random::new(40_000 + run);
        let settings = Settings { horizon_looks: 20, alpha: 0.1, ..settings(vec![without_margin("a", Some(0.9))]) };
        let mut judge = Judge::new(settings).expect("valid settings");
        judge.begin_step(step(Comparison::Concurrent, 20)).expect("a valid step");
        (0..600).any(|_| {
            let cohort = Cohort::errors(0.1);
            let look = look(seen(Some(cohort.ratio(&mut random, 80)), Some(cohort.ratio(&mut random, 40))));
            judge.look(&look).answer == Answer::Fail
        })
    });
    let rate = failed.count() as f64 / 300.0;
    assert!(rate <= 0.1, "{rate}");
}

#[test]
fn a_clean_canary_passes_when_its_bake_ends() {
    let slowest = slowest(Answer::Pass, |seed| busy(seed, 0.01, 0.01, 60, 18));
    assert_eq!(slowest, 18);
}

#[test]
fn half_as_many_errors_again_are_not_passed() {
    for seed in 0..10 {
        let outcome = busy(seed, 0.02, 0.03, 120, 18);
        assert!(matches!(outcome, Some((Answer::Fail, _)) | None), "{outcome:?}");
    }
}

/// 100 requests a look on each side.
fn slowed(seed: u64, factor: f64, looks: u32, bake: u32) -> Option<(Answer, u32)> {
    let mut random = Random::new(seed);
    settled(judge(vec![latency(None)], 0.01, Comparison::Concurrent, bake), looks, |_| {
        let cohort = |median_ms: f64| Cohort { bad_share: 0.0, median_ms };
        let baseline = cohort(12.0).latency(&mut random, 300);
        look(seen(Some(baseline), Some(cohort(12.0 * factor).latency(&mut random, 300))))
    })
}

#[test]
fn a_canary_twenty_per_cent_slower_fails_and_an_equal_one_passes() {
    let slower = slowest(Answer::Fail, |seed| slowed(seed, 1.2, 60, 60));
    assert!(slower <= 18, "{slower}");
    let equal = slowest(Answer::Pass, |seed| slowed(seed, 1.0, 60, 12));
    assert!(equal <= 16, "{equal}");
}

#[test]
fn a_step_against_an_objective_passes_and_fails() {
    let run = |seed: u64, bad: f64| {
        let mut random = Random::new(seed);
        settled(judge(vec![errors(Some(0.995))], 0.01, Comparison::Objective, 12), 120, |_| {
            look(seen(None, Some(Cohort::errors(bad).ratio(&mut random, 1000))))
        })
    };
    let clean = slowest(Answer::Pass, |seed| run(seed, 0.001));
    assert!(clean <= 16, "{clean}");
    let broken = slowest(Answer::Fail, |seed| run(seed, 0.015));
    assert!(broken <= 24, "{broken}");
}

#[test]
fn a_look_costs_no_memory() {
    let mut random = Random::new(1);
    let mut judge = judge(vec![errors(Some(0.9)), latency(Some(0.9))], 0.01, Comparison::Concurrent, 10);
    // numbers are kept as bits, whose decimals differ in length only a little
    let mut size_after = |looks: u32| {
        for _ in 0..looks {
            let cohort = Cohort::errors(0.01);
            let buckets = cohort.latency(&mut random, 50);
            judge.look(&Look {
                readings: vec![
                    seen(Some(cohort.ratio(&mut random, 500)), Some(cohort.ratio(&mut random, 500))),
                    seen(Some(buckets.clone()), Some(buckets)),
                ],
            });
        }
        serde_json::to_string(&judge).expect("state can be written").len()
    };
    let (early, late) = (size_after(100), size_after(2000));
    assert!(late < early + early / 10, "{early} bytes after 100 looks, {late} after 2,100");
}
