//! Golden cases: streams so plain that the right answer is beyond doubt.

use expect_test::{Expect, expect};
use judge::{Answer, Comparison, Counts, Judge, Look, Reading, ReasonCode, Settings, SliSettings, Verdict};

use crate::world::{errors, latency, look, ratio, seen, settings, smoke, step};

fn begun(settings: Settings, comparison: Comparison, bake: u32) -> Judge {
    let mut judge = Judge::new(settings).expect("valid settings");
    judge.begin_step(step(comparison, bake)).expect("a valid step");
    judge
}

fn after(slis: Vec<SliSettings>, comparison: Comparison, looks: impl IntoIterator<Item = Look>) -> Verdict {
    let mut judge = begun(settings(slis), comparison, 10);
    looks.into_iter().fold(judge.verdict(), |_, look| judge.look(&look))
}

fn codes(verdict: &Verdict) -> Vec<ReasonCode> {
    let mut codes: Vec<ReasonCode> = verdict.reasons.iter().map(|reason| reason.code).collect();
    codes.dedup();
    codes
}

/// The answer with its reasons, as a person reads them.
fn check(verdict: &Verdict, expected: &Expect) {
    let lines = verdict.reasons.iter().filter(|reason| reason.code != ReasonCode::NoCalibration);
    let text: String = lines.map(|reason| format!("{:?}: {}\n", reason.code, reason.text)).collect();
    expected.assert_eq(&format!("{:?} after {} looks\n{text}", verdict.answer, verdict.looks));
}

fn same(reading: Reading, looks: usize) -> Vec<Look> {
    vec![look(reading); looks]
}

#[test]
fn seven_of_ten_looks_a_hundred_times_worse_fail() {
    let worse = look(seen(ratio(1000, 1), ratio(1000, 100)));
    let fine = look(seen(ratio(1000, 1), ratio(1000, 1)));
    let looks = (0..10).map(|i| if i % 3 == 0 && i > 0 { fine.clone() } else { worse.clone() });
    check(
        &after(vec![errors(None)], Comparison::Concurrent, looks),
        &expect![[r#"
            Fail after 2 looks
            Harm: `errors`: 200 of 2,000 canary requests were bad; 101 expected if equal (80 x the baseline's rate). Evidence 209 : 1 against 'at most 10 % worse' since the change began; safety 1.0 : 1 of 20 : 1 needed. Noise factor 1.2.
        "#]],
    );
}

#[test]
fn a_stream_of_nothing_is_insufficient_and_says_what_is_missing() {
    check(
        &after(vec![errors(None)], Comparison::Concurrent, same(seen(None, None), 40)),
        &expect![[r#"
            Insufficient after 40 looks
            NoCanaryData: `errors`: no data of the canary in 18 of the last 18 looks; check that its telemetry is scraped and labelled as the canary
            NoBaselineData: `errors`: no data of the baseline in 18 of the last 18 looks; check its telemetry, or compare this step with an objective
            LowCoverage: 0 of 40 looks carried data of every SLI, 0 of the last 18: 80 % of all, half of the last ones and the newest are needed
            TooFewRequests: `errors`: 0 of at least 100 canary requests judged in this step
            SafetyNotShown: `errors`: safety 1.0 : 1 of 20 : 1 needed; it does not grow yet; more traffic or a larger share would help
        "#]],
    );
}

#[test]
fn looks_without_any_reading_are_insufficient() {
    let verdict = after(vec![errors(None)], Comparison::Concurrent, vec![Look { readings: vec![] }; 40]);
    assert_eq!((verdict.answer, verdict.useful_looks), (Answer::Insufficient, 0));
    assert!(codes(&verdict).contains(&ReasonCode::NoCanaryData));
}

#[test]
fn one_point_a_side_is_insufficient() {
    check(
        &after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(1, 0), ratio(1, 1)), 1)),
        &expect![[r#"
        Insufficient after 1 looks
        BakeNotOver: 1 of 10 looks of the bake are over, 1 min 30 s to go
        TooFewRequests: `errors`: 1 of at least 100 canary requests judged in this step
        SafetyNotShown: `errors`: safety 1.0 : 1 of 20 : 1 needed; it does not grow yet; more traffic or a larger share would help
    "#]],
    );
}

#[test]
fn constant_equal_streams_pass() {
    let verdict = after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(5000, 50), ratio(5000, 50)), 60));
    assert_eq!(codes(&verdict), [ReasonCode::NoCalibration]);
    assert_eq!(verdict.answer, Answer::Pass);
    assert!(verdict.confidence >= 95.0 && verdict.health > 99.0, "{verdict:?}");
    assert!(!verdict.slis[0].implicated);
}

#[test]
fn errors_everywhere_on_both_sides_are_no_harm_and_no_pass() {
    let verdict =
        after(vec![errors(Some(0.99))], Comparison::Concurrent, same(seen(ratio(500, 500), ratio(500, 500)), 60));
    check(
        &verdict,
        &expect![[r#"
            Insufficient after 60 looks
            BaselineUnhealthy: `errors`: 100 % of the baseline's recent requests are bad, its objective allows 1 %: an incident is going on; wait for it to end
            SafetyNotShown: `errors`: safety 0.5 : 1 of 20 : 1 needed; it does not grow yet; more traffic or a larger share would help
            LowTraffic: `errors`: the planned looks end in 50 min, before safety can be shown; raise the share, or plan more time
        "#]],
    );
}

#[test]
fn errors_everywhere_in_the_canary_fail_but_not_on_one_look() {
    let mut judge = begun(settings(vec![errors(None)]), Comparison::Concurrent, 10);
    let outage = look(seen(ratio(1000, 1), ratio(1000, 1000)));
    let answers: Vec<Answer> = (0..3).map(|_| judge.look(&outage).answer).collect();
    assert_eq!(answers, [Answer::Insufficient, Answer::Fail, Answer::Fail]);
}

#[test]
fn a_canary_without_traffic_never_passes() {
    check(
        &after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(1000, 1), ratio(0, 0)), 60)),
        &expect![[r#"
            Insufficient after 60 looks
            NoTraffic: `errors`: the canary had no requests in 18 of the last 18 looks; route traffic to it, or raise its share
            LowCoverage: 0 of 60 looks carried data of every SLI, 0 of the last 18: 80 % of all, half of the last ones and the newest are needed
            TooFewRequests: `errors`: 0 of at least 100 canary requests judged in this step
            SafetyNotShown: `errors`: safety 1.0 : 1 of 20 : 1 needed; it does not grow yet; more traffic or a larger share would help
        "#]],
    );
}

#[test]
fn a_baseline_without_traffic_never_passes() {
    let verdict = after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(0, 0), ratio(1000, 1)), 60));
    assert_eq!(verdict.answer, Answer::Insufficient);
    assert_eq!(codes(&verdict)[0], ReasonCode::NoBaselineData);
}

#[test]
fn two_idle_cohorts_never_pass() {
    let verdict = after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(0, 0), ratio(0, 0)), 60));
    assert_eq!(verdict.answer, Answer::Insufficient);
    assert_eq!(codes(&verdict)[..2], [ReasonCode::NoBaselineData, ReasonCode::NoTraffic]);
}

#[test]
fn counts_that_contradict_themselves_are_missing_data() {
    let verdict = after(vec![errors(None)], Comparison::Concurrent, same(seen(ratio(1000, 1), ratio(1000, 1001)), 60));
    check(
        &verdict,
        &expect![[r#"
            Insufficient after 60 looks
            InvalidCounts: `errors`: counts contradict themselves in 18 of the last 18 looks (more bad requests than requests, or an overflow); check the queries
            LowCoverage: 0 of 60 looks carried data of every SLI, 0 of the last 18: 80 % of all, half of the last ones and the newest are needed
            TooFewRequests: `errors`: 0 of at least 100 canary requests judged in this step
            SafetyNotShown: `errors`: safety 1.0 : 1 of 20 : 1 needed; it does not grow yet; more traffic or a larger share would help
        "#]],
    );
    assert_eq!(verdict.evidence, 1.0, "no evidence either way");
}

#[test]
fn buckets_of_another_shape_and_counts_of_another_kind_are_a_schema_change() {
    let buckets = |n: usize, each: u64| Some(Counts::Latency { buckets: vec![each; n] });
    for reading in [
        seen(buckets(23, 5), buckets(22, 5)),
        seen(buckets(0, 0), buckets(23, 5)),
        seen(buckets(23, 5), ratio(100, 1)),
        seen(Some(Counts::Check { passed: true }), buckets(23, 5)),
    ] {
        let verdict = after(vec![latency(None)], Comparison::Concurrent, same(reading, 60));
        assert_eq!((verdict.answer, codes(&verdict)[0]), (Answer::Insufficient, ReasonCode::SchemaChange));
    }
    let too_many = Look { readings: vec![seen(ratio(1000, 1), ratio(1000, 1)); 2] };
    let verdict = after(vec![errors(None)], Comparison::Concurrent, vec![too_many; 60]);
    assert_eq!((verdict.answer, codes(&verdict)[0]), (Answer::Insufficient, ReasonCode::SchemaChange));
}

#[test]
fn the_largest_numbers_neither_panic_nor_pass_unseen() {
    let huge = u64::MAX;
    for canary in [ratio(huge, huge), ratio(huge, 0), ratio(huge, huge / 2), ratio(1, 1)] {
        for baseline in [ratio(huge, huge), ratio(huge, 0), ratio(huge, 1), ratio(1, 0)] {
            let reading = seen(baseline.clone(), canary.clone());
            let verdict = after(vec![errors(Some(0.9))], Comparison::Concurrent, same(reading, 100));
            for figure in [verdict.evidence, verdict.confidence, verdict.slis[0].safety, verdict.slis[0].noise] {
                assert!(figure.is_finite(), "{verdict:?}");
            }
        }
    }
    let overflow = Some(Counts::Latency { buckets: vec![huge; 23] });
    let verdict = after(vec![latency(None)], Comparison::Concurrent, same(seen(overflow.clone(), overflow), 60));
    assert_eq!((verdict.answer, codes(&verdict)[0]), (Answer::Insufficient, ReasonCode::InvalidCounts));
}

#[test]
fn an_unreachable_source_is_unreachable_and_never_a_pass() {
    let mut looks = same(seen(ratio(5000, 50), ratio(5000, 50)), 60);
    looks.push(look(Reading::Unreachable { why: "connection refused".into() }));
    check(
        &after(vec![errors(None)], Comparison::Concurrent, looks.clone()),
        &expect![[r#"
        Unreachable after 61 looks
        Unreachable: `errors`: the source did not answer in the newest look: connection refused; looking goes on by itself
        LowCoverage: 60 of 61 looks carried data of every SLI, 17 of the last 18: 80 % of all, half of the last ones and the newest are needed
    "#]],
    );
    looks.push(look(seen(ratio(5000, 50), ratio(5000, 50))));
    assert_eq!(after(vec![errors(None)], Comparison::Concurrent, looks).answer, Answer::Pass, "it answers again");
}

#[test]
fn a_fail_is_final() {
    let mut judge = begun(settings(vec![errors(None)]), Comparison::Concurrent, 10);
    for _ in 0..12 {
        judge.look(&look(seen(ratio(1000, 1), ratio(1000, 500))));
    }
    let failed = judge.verdict();
    assert_eq!(failed.answer, Answer::Fail);
    assert!(failed.confidence >= 99.0 && failed.harm_progress == 1.0 && failed.slis[0].implicated, "{failed:?}");
    judge.begin_step(step(Comparison::Concurrent, 1)).expect("a valid step");
    for _ in 0..300 {
        judge.look(&look(seen(ratio(1000, 1), ratio(1000, 1))));
    }
    judge.look(&look(Reading::Unreachable { why: "gone".into() }));
    assert_eq!(judge.verdict(), failed);
}

#[test]
fn a_new_step_must_show_safety_anew_while_suspicion_carries_on() {
    let mut judge = begun(settings(vec![errors(None)]), Comparison::Concurrent, 10);
    let fine = look(seen(ratio(5000, 50), ratio(5000, 50)));
    for _ in 0..60 {
        judge.look(&fine);
    }
    let before = judge.verdict();
    assert_eq!(before.answer, Answer::Pass);
    judge.begin_step(step(Comparison::Concurrent, 10)).expect("a valid step");
    let verdict = judge.verdict();
    assert_eq!((verdict.answer, verdict.looks, verdict.useful_looks), (Answer::Insufficient, 0, 0));
    assert_eq!((verdict.safety_progress, verdict.evidence), (0.0, before.evidence));
    assert!((0..9).all(|_| judge.look(&fine).answer == Answer::Insufficient), "the bake is not over");
}

#[test]
fn suspicion_holds_a_step_that_is_otherwise_safe() {
    // alpha far below beta: the evidence may lie long between the square root of the bound and the bound
    let mut strict = settings(vec![errors(Some(0.5))]);
    strict.alpha = 1e-12;
    let mut judge = begun(strict, Comparison::Concurrent, 1);
    for _ in 0..40 {
        judge.look(&look(seen(ratio(1000, 10), ratio(1000, 10))));
    }
    let mut verdict = judge.verdict();
    while verdict.evidence < 1e6 {
        verdict = judge.look(&look(seen(ratio(1000, 10), ratio(1000, 20))));
    }
    assert!(verdict.safety_progress == 1.0 && verdict.evidence < 1e12, "{verdict:?}");
    assert_eq!((verdict.answer, codes(&verdict)[0]), (Answer::Insufficient, ReasonCode::Suspicious));
}

#[test]
fn a_step_against_an_objective_that_is_not_set_never_passes() {
    for sli in [errors(None), latency(None)] {
        let canary = match sli.name.as_str() {
            "errors" => ratio(1000, 0),
            _ => Some(Counts::Latency { buckets: vec![100; 23] }),
        };
        let verdict = after(vec![sli], Comparison::Objective, same(seen(None, canary), 60));
        assert_eq!((verdict.answer, codes(&verdict)[0]), (Answer::Insufficient, ReasonCode::NoObjective));
    }
}

#[test]
fn an_objective_is_held_or_broken() {
    let held = after(vec![errors(Some(0.99))], Comparison::Objective, same(seen(None, ratio(1000, 2)), 30));
    assert_eq!(held.answer, Answer::Pass);
    let broken = after(vec![errors(Some(0.99))], Comparison::Objective, same(seen(None, ratio(1000, 30)), 30));
    check(
        &broken,
        &expect![[r#"
            Fail after 8 looks
            Harm: `errors`: 240 of 8,000 canary requests were bad; 80 allowed by the objective (3.0 x what is allowed). Evidence 181 : 1 against 'within the objective and its margin' since the change began; safety under 0.001 : 1 of 20 : 1 needed. Noise factor 1.1.
        "#]],
    );
}

#[test]
fn a_check_must_run_and_pass_and_three_failures_in_a_row_fail_the_change() {
    let ran = |passed: bool| look(seen(None, Some(Counts::Check { passed })));
    let idle = look(seen(None, None));
    let answer = |looks: &[&Look]| {
        let mut judge = begun(settings(vec![smoke()]), Comparison::Objective, 2);
        let verdict = looks.iter().fold(judge.verdict(), |_, look| judge.look(look));
        (verdict.answer, codes(&verdict))
    };
    let (ok, bad) = (ran(true), ran(false));
    assert_eq!(answer(&[&idle, &idle]), (Answer::Insufficient, vec![ReasonCode::CheckNotRun]));
    assert_eq!(answer(&[&ok]), (Answer::Insufficient, vec![ReasonCode::BakeNotOver]));
    assert_eq!(answer(&[&ok, &idle]), (Answer::Pass, vec![]));
    assert_eq!(answer(&[&ok, &bad]), (Answer::Insufficient, vec![ReasonCode::CheckFailing]));
    assert_eq!(answer(&[&bad, &idle, &bad, &bad]), (Answer::Fail, vec![ReasonCode::CheckFailed]));
    assert_eq!(answer(&[&bad, &bad, &bad, &ok]), (Answer::Fail, vec![ReasonCode::CheckFailed]));
    let gone = look(Reading::Unreachable { why: "no such host".into() });
    assert_eq!(answer(&[&ok, &ok, &gone]), (Answer::Unreachable, vec![ReasonCode::Unreachable]));
}

#[test]
fn a_split_other_than_asked_for_holds() {
    let mut judge = Judge::new(settings(vec![errors(None)])).expect("valid settings");
    let asked =
        |share| judge::StepSettings { comparison: Comparison::Concurrent, bake_looks: 5, expected_share: Some(share) };
    let fine = look(seen(ratio(5000, 50), ratio(5000, 50)));
    judge.begin_step(asked(0.25)).expect("a valid step");
    let verdict = (0..60).fold(judge.verdict(), |_, _| judge.look(&fine));
    check(
        &verdict,
        &expect![[r#"
        Insufficient after 60 looks
        SplitMismatch: the canary got 300,000 of 600,000 requests, 25 % were asked for: the router does something else than the plan; check its weights
    "#]],
    );
    judge.begin_step(asked(0.5)).expect("a valid step");
    let verdict = (0..60).fold(judge.verdict(), |_, _| judge.look(&fine));
    assert_eq!(verdict.answer, Answer::Pass);
    let refused = judge.begin_step(asked(1.5)).expect_err("no share").to_string();
    assert_eq!(refused, "`expected_share` is `1.5`: it must be between 0 and 1");
}

#[test]
fn too_little_traffic_says_how_much_is_missing() {
    let mut judge = begun(Settings::new(vec![errors(None)], 10_000, 60), Comparison::Concurrent, 10);
    let verdict = (0..40).fold(judge.verdict(), |_, _| judge.look(&look(seen(ratio(200, 0), ratio(5, 0)))));
    check(
        &verdict,
        &expect![[r#"
            Insufficient after 40 looks
            SafetyNotShown: `errors`: safety 1.3 : 1 of 20 : 1 needed; about 2,130 more canary requests, 1 h 11 min at the present growth
            LowTraffic: `errors`: the planned looks end in 3 min 20 s, before safety can be shown; raise the share, or plan more time
        "#]],
    );
}

#[test]
fn before_the_first_step_nothing_is_judged() {
    let mut judge = Judge::new(settings(vec![errors(None)])).expect("valid settings");
    let verdict = judge.look(&look(seen(ratio(5000, 50), ratio(5000, 50))));
    assert_eq!((verdict.answer, verdict.looks, codes(&verdict)), (Answer::Insufficient, 0, vec![ReasonCode::NoStep]));
}
