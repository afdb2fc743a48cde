//! Gauges: golden cases, and what may only hold.

use judge::{Answer, Comparison, Counts, Judge, Look, ReasonCode, Role, Settings, SliSettings, Verdict};

use crate::world::{Random, errors, gauge, look, memory, ratio, seen, settings, step};

/// An hour of looks against a baseline of `level`, with a noise of 3 % on each side and two hours of history.
fn after(level: f64, limit: Option<f64>, comparison: Comparison, factor: impl Fn(f64, &mut Random) -> f64) -> Verdict {
    let random = &mut Random::new(7);
    let noise = |random: &mut Random| (0.03 * random.normal()).exp();
    let history: Vec<Look> =
        (0..720).map(|_| look(seen(gauge(level * noise(random)), gauge(level * noise(random))))).collect();
    let mut judge = Judge::with_history(settings(vec![memory(limit)]), &history).expect("valid settings");
    judge.begin_step(step(comparison, 30)).expect("a valid step");
    for i in 0..120 {
        let canary = level * factor(f64::from(i) / 360.0, random) * noise(random);
        let verdict = judge.look(&look(seen(gauge(level * noise(random)), gauge(canary))));
        if verdict.answer == Answer::Fail {
            return verdict;
        }
    }
    judge.verdict()
}

#[test]
fn the_scale_of_a_gauge_changes_nothing() {
    let verdict = |level: f64, factor: f64| after(level, None, Comparison::Concurrent, move |_, _| factor);
    for (factor, answer) in [(1.0, Answer::Pass), (1.5, Answer::Fail)] {
        let verdicts = [1e-6, 1.0, 1e6].map(|level| verdict(level, factor));
        for other in &verdicts {
            assert_eq!((other.answer, other.looks), (answer, verdicts[0].looks), "{other:#?}");
            assert!((other.evidence / verdicts[0].evidence - 1.0).abs() < 1e-6, "{other:#?}");
        }
    }
}

#[test]
fn more_variance_at_an_equal_mean_is_no_harm() {
    let wide = after(1e9, None, Comparison::Concurrent, |_, random| (0.2 * random.normal()).exp());
    assert_ne!(wide.answer, Answer::Fail, "{wide:#?}");
    assert!(wide.evidence < 10.0, "{wide:#?}");
}

#[test]
fn a_leak_fails_before_it_has_doubled() {
    let leak = after(1e9, None, Comparison::Concurrent, |hours, _| 1.0 + 2.0 * hours);
    assert_eq!(leak.answer, Answer::Fail);
    assert!(leak.looks < 90, "{} looks", leak.looks);
    assert!(leak.slis[0].implicated && leak.slis[0].effect.is_some_and(|effect| effect > 1.0));
}

#[test]
fn a_gauge_that_does_not_move_passes_and_one_that_is_zero_never_does() {
    let run = |value: f64| {
        let mut judge = Judge::new(settings(vec![memory(None)])).expect("valid settings");
        judge.begin_step(step(Comparison::Concurrent, 30)).expect("a valid step");
        (0..200).fold(judge.verdict(), |_, _| judge.look(&look(seen(gauge(value), gauge(value)))))
    };
    assert_eq!(run(42.0).answer, Answer::Pass);
    let zero = run(0.0);
    assert_eq!(zero.answer, Answer::Insufficient);
    assert!(zero.reasons.iter().any(|reason| reason.code == ReasonCode::InvalidCounts), "{zero:#?}");
}

#[test]
fn a_limit_is_kept_or_broken() {
    let at = |level: f64| after(level, Some(1e9), Comparison::Objective, |_, _| 1.0).answer;
    assert_eq!(at(6e8), Answer::Pass);
    assert_eq!(at(1.6e9), Answer::Fail);
    let none = after(6e8, None, Comparison::Objective, |_, _| 1.0);
    assert_eq!(none.answer, Answer::Insufficient);
    assert!(none.reasons.iter().any(|reason| reason.code == ReasonCode::NoObjective), "{none:#?}");
}

/// X22: a service downstream that suffers holds the step, and never fails the change.
#[test]
fn what_may_only_hold_holds_and_never_fails() {
    let below = SliSettings { role: Role::Holds, against_objective: true, ..errors(Some(0.99)) };
    let below = SliSettings { name: "cart: errors".into(), ..below };
    let run = |bad: Option<u64>| {
        let settings = Settings { min_requests: 100, ..settings(vec![errors(None), below.clone()]) };
        let mut judge = Judge::new(settings).expect("valid settings");
        judge.begin_step(step(Comparison::Concurrent, 20)).expect("a valid step");
        let beside = bad.map(|bad| Counts::Ratio { total: 1_000, bad });
        let both = Look { readings: vec![seen(ratio(1_000, 10), ratio(1_000, 10)), seen(None, beside)] };
        (0..200).fold(judge.verdict(), |_, _| judge.look(&both))
    };
    let codes = |verdict: &Verdict| verdict.reasons.iter().map(|reason| reason.code).collect::<Vec<_>>();
    let (fine, suffering, silent) = (run(Some(1)), run(Some(500)), run(None));
    assert_eq!(fine.answer, Answer::Pass);
    assert_eq!(suffering.answer, Answer::Insufficient);
    assert!(codes(&suffering).contains(&ReasonCode::DownstreamUnhealthy), "{suffering:#?}");
    assert!(suffering.evidence < 1.0 && suffering.harm_progress == 0.0, "it has no part in the budget: {suffering:#?}");
    assert_eq!(silent.answer, Answer::Pass);
    assert!(codes(&silent).contains(&ReasonCode::DownstreamUnknown), "{silent:#?}");
}

#[test]
fn a_comparison_with_the_past_has_wider_margins_and_says_so() {
    let run = |comparison: Comparison| {
        let mut judge = Judge::new(settings(vec![errors(None)])).expect("valid settings");
        judge.begin_step(step(comparison, 20)).expect("a valid step");
        (0..60).fold(judge.verdict(), |_, _| judge.look(&look(seen(ratio(10_000, 100), ratio(10_000, 120)))))
    };
    let (beside, before) = (run(Comparison::Concurrent), run(Comparison::Before));
    assert!(beside.evidence > before.evidence, "{} {}", beside.evidence, before.evidence);
    assert!(before.reasons.iter().any(|reason| reason.code == ReasonCode::NotExact));
}
