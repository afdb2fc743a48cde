//! The exposure plan: what it foretells, and whether that comes true.

use judge::plan::{self, Case, Decision, ExposurePlan, Harm, PlannedStep, Present, Question};
use judge::{Answer, Comparison, Counts, Judge, Look, SliSettings};

use crate::world;

fn errors(requests_per_second: f64, bad_share: f64) -> Present {
    Present::Ratio { per_look: 10.0 * requests_per_second, bad_share, noise: 1.0, drift: 0.0 }
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

/// Looks with traffic that the plan's own arithmetic has no part in.
fn played(question: &Question, requests: u64, harm: f64, seed: u64) -> Option<u32> {
    let mut judge = Judge::with_history(question.settings.clone(), &question.history).expect("settings");
    let planned = question.steps[0];
    judge.begin_step(world::step(planned.comparison, planned.bake_looks)).expect("a step");
    let mut random = world::Random::new(seed);
    let (baseline, canary) = (world::Cohort::errors(0.01), world::Cohort::errors(0.01 * harm));
    for at in 1..=planned.deadline_looks {
        let of_canary = random.binomial(requests, planned.share);
        let side = |total: u64, counts: Counts| (total > 0).then_some(counts);
        let (mine, theirs) = (canary.ratio(&mut random, of_canary), baseline.ratio(&mut random, requests - of_canary));
        let look = world::look(world::seen(side(requests - of_canary, theirs), side(of_canary, mine)));
        match (judge.observe(&look), harm > 1.0) {
            (Answer::Fail, true) | (Answer::Pass, false) => return Some(at),
            (Answer::Pass, true) | (Answer::Fail, false) => return None,
            _ => (),
        }
    }
    None
}

// X8, M5: with enough traffic a step decides in minutes, and a doubling of errors is seen in less than five.
#[test]
fn a_step_with_a_thousand_requests_a_second_decides() {
    let plan = foretell(&of_errors(1_000.0, 0.05));
    let step = &plan.steps[0];
    assert_eq!(step.answer, Decision::Decides, "{step:#?}");
    assert_eq!(step.why, Vec::<String>::new());
    assert!(step.harms[0].detection.median.is_some_and(|looks| looks <= 30), "{step:#?}");
    assert_eq!(plan.duration.and_then(|it| it.median), step.pass.median);
}

// X8: where traffic is too thin ever to decide, the plan says so, and what it would take.
#[test]
fn a_step_with_a_request_in_a_hundred_seconds_never_decides() {
    let plan = foretell(&of_errors(0.01, 0.05));
    let step = &plan.steps[0];
    assert_eq!(step.answer, Decision::Never, "{step:#?}");
    assert_eq!((step.passes, step.pass.median, plan.duration), (0.0, None, None));
    assert!(
        step.why.iter().any(|why| why.contains("`errors`: x2 (1.98 % bad) can't be seen within 30 min")),
        "{step:#?}"
    );
}

#[test]
fn what_would_help_is_said_in_requests_shares_and_time() {
    let plan = foretell(&of_errors(30.0, 0.05));
    let needs = plan.steps[0].harms[0].needs.expect("30 requests/s are too few");
    assert!(needs.traffic_times.is_some_and(|times| times > 1.0 && times <= 12.0), "{needs:?}");
    assert!(needs.share.is_some_and(|share| share > 0.05), "{needs:?}");
    assert!(needs.deadline_looks.is_some_and(|looks| looks > 180), "{needs:?}");
    let why = plan.steps[0].why.join(" ");
    assert!(why.contains("requests/s in place of 30") && why.contains("a share of"), "{why}");
}

#[test]
fn more_traffic_and_a_larger_share_are_never_worse() {
    let detected = |rps, share| foretell(&of_errors(rps, share)).steps[0].harms[0].detected;
    let median = |rps, share| foretell(&of_errors(rps, share)).steps[0].harms[0].detection.median;
    let by_traffic = [1.0, 10.0, 40.0, 150.0, 1_000.0].map(|rps| detected(rps, 0.05));
    assert!(by_traffic.windows(2).all(|w| w[0] <= w[1] + 0.05), "{by_traffic:?}");
    assert!(by_traffic[0] < 0.1 && by_traffic[4] > 0.99, "{by_traffic:?}");
    let by_share = [0.01, 0.05, 0.25, 0.5].map(|share| detected(60.0, share));
    assert!(by_share.windows(2).all(|w| w[0] <= w[1] + 0.05) && by_share[0] < by_share[3], "{by_share:?}");
    assert!(median(1_000.0, 0.05) < median(200.0, 0.05));
}

// X8: foretold against played with other seeds and another generator, over a grid of traffic and harm.
#[test]
fn what_is_foretold_comes_true() {
    for (rps, share, harm) in [(1_000, 0.05, 2.0), (200, 0.05, 2.0), (60, 0.25, 2.0), (60, 0.05, 5.0), (20, 0.5, 1.5)] {
        let asked = of_errors(f64::from(rps), share);
        let question = Question { cases: vec![Case::of(0, Harm::Odds { times: harm })], runs: 200, ..asked };
        let foretold = foretell(&question);
        let (outlook, runs) = (&foretold.steps[0], 200);
        let all = |harm: f64| {
            let mut came: Vec<u32> =
                (0..runs).filter_map(|seed| played(&question, 10 * rps as u64, harm, 1_000 + seed)).collect();
            came.sort_unstable();
            came
        };
        let (detected, passed) = (all(harm), all(1.0));
        let seen = detected.len() as f64 / runs as f64;
        assert!((seen - outlook.harms[0].detected).abs() < 0.2, "{rps} {share} {harm}: {seen} for {:?}", outlook.harms);
        if outlook.harms[0].answer == Decision::Decides {
            assert!(seen >= 0.97, "{rps} {share} {harm}: {seen}");
            let median = outlook.harms[0].detection.median.expect("it decides");
            let ratio = f64::from(detected[detected.len() / 2]) / f64::from(median);
            assert!((0.75..1.34).contains(&ratio), "{rps} {share} {harm}: {ratio}");
        }
        if let (Some(median), true) = (outlook.pass.median, passed.len() * 2 > runs as usize) {
            let ratio = f64::from(passed[runs as usize / 2]) / f64::from(median);
            assert!((0.75..1.2).contains(&ratio), "{rps} {share} {harm}: pass {ratio}");
        }
    }
}

#[test]
fn noise_is_foretold_to_cost_time() {
    let noisy = |noise, drift| {
        let present = Present::Ratio { per_look: 400.0, bad_share: 0.01, noise, drift };
        let plan = foretell(&Question { present: vec![present], ..of_errors(40.0, 0.25) });
        plan.steps[0].harms[0].detection.median.expect("it is detected")
    };
    let (noisy_looks, calm) = (noisy(5.0, 0.0), noisy(1.0, 0.0));
    assert!(noisy_looks > calm, "{noisy_looks} {calm}");
    assert!(noisy(1.0, 0.1) >= noisy(1.0, 0.0));
}

// X8: the steps that are proposed do decide.
#[test]
fn what_is_suggested_decides_and_keeps_order_and_last_step() {
    let settings = world::settings(vec![world::errors(Some(0.98))]);
    let question =
        Question::new(settings, vec![errors(20.0, 0.01)], vec![step(0.01, 6), step(0.25, 12), step(1.0, 30)]);
    assert_ne!(foretell(&question).steps[0].answer, Decision::Decides);
    let suggestion = plan::suggest(&question).expect("a question that makes sense");
    assert!(suggestion.is_other && suggestion.unmet.is_empty(), "{suggestion:#?}");
    assert!(suggestion.plan.steps.iter().all(|step| step.answer == Decision::Decides), "{suggestion:#?}");
    let shares: Vec<f64> = suggestion.steps.iter().map(|step| step.share).collect();
    assert!(shares.windows(2).all(|w| w[0] < w[1]) && shares.last() == Some(&1.0), "{shares:?}");
    assert!(suggestion.steps.iter().all(|step| step.bake_looks % 6 == 0), "whole minutes: {suggestion:#?}");
    // what decides already stays as it is
    let fine = Question { steps: suggestion.steps.clone(), ..question };
    assert!(!plan::suggest(&fine).expect("a question").is_other);
}

#[test]
fn without_traffic_nothing_is_suggested_but_checks() {
    let suggestion = plan::suggest(&of_errors(0.01, 0.05)).expect("a question that makes sense");
    assert!(!suggestion.is_other);
    assert!(suggestion.unmet[0].contains("synthetic checks"), "{:?}", suggestion.unmet);
}

#[test]
fn the_same_question_has_the_same_answer() {
    assert_eq!(foretell(&of_errors(60.0, 0.05)), foretell(&of_errors(60.0, 0.05)));
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Question)| {
        let mut question = of_errors(10.0, 0.05);
        change(&mut question);
        plan::foretell(&question).expect_err("refused").to_string()
    };
    assert_eq!(refused(|q| q.present.clear()), "`0` presents for `1` SLIs: give one for each, in their order");
    assert_eq!(
        refused(|q| q.present = vec![Present::Check]),
        "SLI `errors`: what is known of it is of another kind or has other buckets"
    );
    assert_eq!(refused(|q| q.steps[0].share = 0.0), "a share of `0`: it must be above 0 and at most 1");
}

#[test]
fn a_past_teaches_traffic_shares_noise_and_what_is_missing() {
    let settings = world::settings(vec![world::errors(None), world::latency(None), memory()]);
    let mut random = world::Random::new(9);
    let history: Vec<Look> = (0..720)
        .map(|at| {
            let equal = world::Cohort::errors(0.02);
            let mut look = world::both(&mut random, 600, 0.2, equal, equal);
            let value = 1e6 * (0.05 * random.normal()).exp();
            let gauge = |value| Some(Counts::Gauge { value });
            look.readings.push(world::seen(gauge(1e6), gauge(value)));
            if at % 10 == 0 {
                look.readings[0] = world::seen(world::ratio(480, 9), None);
            }
            look
        })
        .collect();
    let known = plan::present_of(&settings, &history);
    let Some(Present::Ratio { per_look, bad_share, noise, drift }) = known.present[0] else { panic!("{known:?}") };
    assert!((per_look - 600.0).abs() < 1.0 && (bad_share - 0.02).abs() < 0.001, "{known:?}");
    assert!(noise < 1.2 && drift < 0.05, "{known:?}");
    let Some(Present::Gauge { spread, jitter, .. }) = known.present[2] else { panic!("{known:?}") };
    assert!((spread.hypot(jitter) - 0.05).abs() < 0.01, "{known:?}");
    assert!((known.missing.canary - 0.1).abs() < 0.01 && known.missing.baseline == 0.0, "{known:?}");
    let present = known.present.into_iter().map(|it| it.expect("known")).collect();
    let question =
        Question { missing: known.missing, history, ..Question::new(settings, present, vec![step(0.2, 30)]) };
    let plan = foretell(&question);
    assert_eq!(plan.steps[0].harms[1].answer, Decision::Decides, "{plan:#?}");
}
