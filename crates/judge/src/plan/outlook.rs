//! Outlook: what follows from the runs: how soon, how often, whether a step decides, and what would help where it does not.
//!
//! A promise is only made with a margin, and only where every run kept it. What would help is found by asking the same question again with more traffic
//! or a larger share. Must never promise from a mean. Next room: [`suggest`](crate::plan::suggest).

use crate::counted::has_objective;
use crate::judge::Judge;
use crate::plan::harm::Harmed;
use crate::plan::present::Present;
use crate::plan::runs::{Outcome, Patience, Play, Played, PlayedCase};
use crate::plan::{
    Case, Decision, ExposurePlan, HarmOutlook, Needs, PlanError, PlannedStep, Question, StepOutlook, Times, counts,
};
use crate::sentence::{figure, percent};
use crate::settings::{Comparison, SettingsError};
use crate::words::span;

/// Shares that people write.
pub(crate) const SHARES: [f64; 8] = [0.01, 0.02, 0.05, 0.10, 0.20, 0.25, 0.33, 0.50];
/// Times the present traffic, when what would help is looked for.
const TRAFFICS: [f64; 12] = [1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 100.0, 300.0, 1_000.0];
/// Of harmful canaries so many have to be failed by the deadline, of healthy ones so many have to pass.
const SURE: f64 = 0.99;
const MOST: f64 = 0.95;
/// Below this a step is said to decide never.
const HARDLY: f64 = 0.10;
/// The deadline lies this many standard deviations of the logarithm beyond the mean detection: 99 %, and more the fewer runs there are.
const DEVIATIONS: f64 = 2.33;
const DEVIATIONS_PER_FEWNESS: f64 = 3.0;
/// Runs to look for what would help.
const RUNS_FOR_NEEDS: u32 = 14;
/// No deadline longer than this is advised.
const LONGEST_MS: f64 = 24.0 * 3.6e6;

pub(crate) fn of(question: &Question, judge: &Judge) -> Result<ExposurePlan, PlanError> {
    let mut plan = played(question, judge)?;
    for step in &mut plan.steps {
        for (case, harm) in question.cases.iter().zip(&mut step.harms) {
            if harm.answer != Decision::Decides && harm.passed < 0.5 {
                harm.needs = Some(needs(question, judge, &step.planned, case)?);
            }
        }
        step.why.extend(step.harms.iter().filter_map(|harm| why(question, &step.planned, harm)));
    }
    Ok(plan)
}

/// The plan without what would help.
pub(crate) fn played(question: &Question, judge: &Judge) -> Result<ExposurePlan, PlanError> {
    let runs = question.runs.max(1);
    let Outcome { steps, rollouts } =
        play(question, judge, &question.present, &question.steps, 0).runs(runs, question.seed)?;
    let failed: usize = steps.iter().map(|step| step.failed).sum();
    let completed = rollouts.len() as f64 / f64::from(runs);
    let outlooks = question.steps.iter().zip(&steps).map(|(planned, played)| step_outlook(question, planned, played));
    Ok(ExposurePlan {
        steps: outlooks.collect(),
        duration: (completed >= 0.5).then(|| times(&rollouts, rollouts.len())),
        completed,
        false_rollbacks: failed as f64 / f64::from(runs),
        look_interval_ms: question.settings.look_interval_ms,
        runs,
    })
}

pub(crate) fn play<'a>(
    question: &'a Question,
    judge: &'a Judge,
    present: &'a [Present],
    steps: &'a [PlannedStep],
    harm_from: usize,
) -> Play<'a> {
    let Question { settings, missing, cases, .. } = question;
    Play { settings, judge, present, missing: *missing, steps, cases, harm_from, patience: Patience::Figures }
}

fn step_outlook(question: &Question, planned: &PlannedStep, played: &Played) -> StepOutlook {
    let passes = share(played.passed.len(), played.healthy);
    let harms = question.cases.iter().zip(&played.cases);
    let harms: Vec<HarmOutlook> = harms.map(|(case, played)| harm_outlook(question, planned, case, played)).collect();
    let worst = harms.iter().map(|harm| harm.answer).max().unwrap_or(Decision::Decides);
    let canary = question.present.iter().filter_map(Present::per_look).reduce(f64::max);
    StepOutlook {
        planned: *planned,
        canary_requests_per_look: canary.map(|it| it * planned.share),
        passes,
        pass: times(&played.passed, played.healthy),
        harms,
        answer: passing(passes).max(worst),
        why: not_passing(question, planned, played, passes).into_iter().collect(),
    }
}

fn passing(passes: f64) -> Decision {
    match passes {
        share if share >= MOST => Decision::Decides,
        share if share >= HARDLY => Decision::Slow,
        _ => Decision::Never,
    }
}

fn not_passing(question: &Question, planned: &PlannedStep, played: &Played, passes: f64) -> Option<String> {
    let in_the_way = played.in_the_way.as_ref().filter(|_| passes < MOST)?;
    Some(format!(
        "{} % of healthy canaries pass within {}; in the way at the deadline: {}",
        whole_percent(passes),
        span(u64::from(planned.deadline_looks).saturating_mul(question.settings.look_interval_ms)),
        in_the_way.text
    ))
}

fn harm_outlook(question: &Question, planned: &PlannedStep, case: &Case, played: &PlayedCase) -> HarmOutlook {
    let detection = times(&played.detected, played.runs);
    let looks = detection.median.unwrap_or(planned.deadline_looks);
    let harmed: Vec<(usize, Harmed)> = case
        .harms
        .iter()
        .filter_map(|(at, harm)| {
            let (sli, present) = (question.settings.slis.get(*at)?, question.present.get(*at)?);
            Some((*at, harm.on(sli, present, planned.comparison, question.settings.look_interval_ms)))
        })
        .collect();
    let per_look = harmed.iter().filter_map(|(at, harmed)| {
        let requests = question.present.get(*at)?.per_look()?;
        Some(requests * planned.share * harmed.extra_share)
    });
    HarmOutlook {
        sli: question.settings.slis.get(case.sli).map_or_else(String::new, |sli| sli.name.clone()),
        harm: harmed.iter().map(|(_, it)| it.words.as_str()).collect::<Vec<_>>().join(", "),
        detected: share(played.detected.len(), played.runs),
        passed: share(played.passed, played.runs),
        detection,
        harmed_requests: per_look.reduce(f64::max).map(|it| it * f64::from(looks)),
        answer: decision(played, planned.deadline_looks.saturating_sub(case.onset_looks)),
        needs: None,
    }
}

/// Whether harm is seen by the deadline: promised only if every run saw it, and their spread leaves room.
pub(crate) fn decision(played: &PlayedCase, deadline_looks: u32) -> Decision {
    let detected = share(played.detected.len(), played.runs);
    if detected < HARDLY {
        return Decision::Never;
    }
    let within = surely(played).is_some_and(|looks| looks <= f64::from(deadline_looks));
    if detected >= SURE && within { Decision::Decides } else { Decision::Slow }
}

/// Looks by which harm is all but surely seen, if the logarithms of the looks are normal.
pub(crate) fn surely(played: &PlayedCase) -> Option<f64> {
    let n = played.detected.len() as f64;
    if played.detected.is_empty() || share(played.detected.len(), played.runs) < SURE {
        return None;
    }
    let lns = || played.detected.iter().map(|looks| f64::from(*looks).ln());
    let mean = lns().sum::<f64>() / n;
    let variance = lns().map(|ln| (ln - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Some((mean + (DEVIATIONS + DEVIATIONS_PER_FEWNESS / n.sqrt()) * variance.sqrt()).exp())
}

/// Whether a step shows both that a healthy canary is fine and that a harmful one is not, by its deadline.
pub(crate) fn decides(played: &Played, deadline_looks: u32) -> bool {
    share(played.passed.len(), played.healthy) >= MOST
        && played.cases.iter().all(|case| decision(case, deadline_looks) == Decision::Decides)
}

fn whole_percent(share: f64) -> String {
    format!("{:.0}", 100.0 * share)
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// Nearest ranks, with those that never came to it last.
fn times(came: &[u32], runs: usize) -> Times {
    let mut sorted = came.to_vec();
    sorted.sort_unstable();
    let rank = |part: f64| sorted.get(((part * runs as f64).ceil() as usize).saturating_sub(1)).copied();
    if runs == 0 { Times::default() } else { Times { median: rank(0.5), p95: rank(0.95) } }
}

/// What would make this step see this harm, each by itself: the first rung of a ladder on which it does.
fn needs(question: &Question, judge: &Judge, step: &PlannedStep, case: &Case) -> Result<Needs, PlanError> {
    let only = Question { cases: vec![case.clone()], runs: RUNS_FOR_NEEDS, ..question.clone() };
    let decides = |present: &[Present], step: PlannedStep| -> Result<bool, SettingsError> {
        let steps = [step];
        let play = Play { patience: Patience::YesOrNo, ..play(&only, judge, present, &steps, 0) };
        let outcome = play.runs(RUNS_FOR_NEEDS, question.seed)?;
        let deadline = step.deadline_looks.saturating_sub(case.onset_looks);
        Ok(outcome.steps[0].cases.iter().all(|it| decision(it, deadline) == Decision::Decides))
    };
    if !case.harms.iter().any(|(at, _)| question.settings.slis.get(*at).is_some_and(|sli| counts(&sli.kind))) {
        return Ok(Needs::default());
    }
    let traffic = first(&TRAFFICS, |times| {
        let present: Vec<Present> = question.present.iter().map(|it| it.with_traffic(times)).collect();
        decides(&present, *step)
    })?;
    let larger: Vec<f64> = SHARES.into_iter().filter(|share| *share > step.share + 1e-9).collect();
    let share = match step.comparison {
        Comparison::Concurrent => first(&larger, |share| decides(&question.present, PlannedStep { share, ..*step }))?,
        Comparison::Objective | Comparison::Before => None,
    };
    // evidence grows with the requests that it sees, be they many at once or one after the other
    let looks = traffic.map(|times| (times * f64::from(step.deadline_looks)).ceil());
    let looks = looks.filter(|looks| looks * question.settings.look_interval_ms as f64 <= LONGEST_MS);
    Ok(Needs { traffic_times: traffic, share, deadline_looks: looks.map(|it| it as u64) })
}

/// The first rung on which it holds, where it holds on all above.
fn first(
    ladder: &[f64],
    mut holds: impl FnMut(f64) -> Result<bool, SettingsError>,
) -> Result<Option<f64>, SettingsError> {
    let (mut low, mut high) = (0, ladder.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(ladder[middle])? { high = middle } else { low = middle + 1 }
    }
    Ok(ladder.get(high).copied())
}

/// Why a harm will not be seen in time, and what would help.
fn why(question: &Question, step: &PlannedStep, harm: &HarmOutlook) -> Option<String> {
    if harm.answer == Decision::Decides {
        return None;
    }
    let interval = question.settings.look_interval_ms;
    let within = span(u64::from(step.deadline_looks).saturating_mul(interval));
    let (sli, what) = (&harm.sli, &harm.harm);
    let seen = match harm.answer {
        Decision::Never => format!("`{sli}`: {what} can't be seen within {within}"),
        _ => format!(
            "`{sli}`: {what} is seen within {within} in {} % of the runs, too close to the deadline",
            whole_percent(harm.detected)
        ),
    };
    let known = question.settings.slis.iter().find(|it| it.name == *sli);
    if known.is_some_and(|it| !it.comparison(step.comparison).has_baseline() && !has_objective(it)) {
        return Some(format!("`{sli}` has no objective, so this step can't see any harm of it; give it one"));
    }
    if harm.passed >= 0.5 {
        return Some(format!("{seen}: by the SLI's own margins it is not harmful, and the step passes"));
    }
    let per_second = question.present.iter().filter_map(Present::per_look).reduce(f64::max);
    let per_second = per_second.map(|it| it * 1e3 / interval as f64);
    let needs = harm.needs.unwrap_or_default();
    let more = needs.traffic_times.zip(per_second).map(|(times, per_second)| {
        format!("{} requests/s in place of {}", figure(times * per_second), figure(per_second))
    });
    let share = needs.share.map(|share| format!("a share of {} %", percent(share)));
    let time = needs.deadline_looks.map(|looks| format!("a deadline of {}", span(looks.saturating_mul(interval))));
    let help: Vec<String> = [more, share, time].into_iter().flatten().collect();
    Some(match help.split_last() {
        None => format!(
            "{seen}; no traffic would help: let synthetic checks look at it, or compare it with something steadier"
        ),
        Some((last, [])) => format!("{seen}; it would take {last}"),
        Some((last, others)) => format!("{seen}; it would take {}, or {last}", others.join(", ")),
    })
}
