//! Suggest: the least steps that decide, near those that the author wrote.
//!
//! Step after step: first more time at the author's share, up to an hour; then the next larger share. The order and the last step stay as they are.
//! Where nothing helps it says so. Must never make a step shorter than its author wrote it. Next room: none.

use crate::judge::Judge;
use crate::plan::outlook::{self, SHARES, decides, surely};
use crate::plan::runs::{Patience, Play, Played};
use crate::plan::{ExposurePlan, PlanError, PlannedStep, Question, foretell};

/// More time than this is not proposed while a larger share would do.
const LONGEST_MS: u64 = 3_600_000;
/// A deadline is so many bakes, as where an author writes none.
const BAKES: u32 = 6;
/// Runs for each step that is tried.
const RUNS: u32 = 40;
/// A part of the time that is to spare beyond the looks that are all but surely enough.
const TO_SPARE: f64 = 1.1;

/// Steps that decide, and what they foretell.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    pub steps: Vec<PlannedStep>,
    pub plan: ExposurePlan,
    /// Whether anything differs from what was asked about.
    pub is_other: bool,
    /// What could not be helped: a sentence each.
    pub unmet: Vec<String>,
}

/// Looks for the least steps that decide.
///
/// # Errors
/// As [`foretell`].
pub fn suggest(question: &Question) -> Result<Suggestion, PlanError> {
    let judge = question.judge()?;
    let mut chosen: Vec<PlannedStep> = Vec::new();
    let (mut unmet, last) = (Vec::new(), question.steps.len().saturating_sub(1));
    for (at, step) in question.steps.iter().enumerate() {
        let below = chosen.last().map_or(0.0, |before| before.share);
        let above = question.steps[last].share;
        match better(question, &judge, &chosen, step, (below, above), at == last)? {
            Found::Step(found) => chosen.push(found),
            Found::Covered => (),
            Found::Nothing => {
                unmet.push(format!(
                    "step {}: no share up to a half and no deadline up to an hour would do at the present traffic; let synthetic checks make some in it",
                    at + 1
                ));
                chosen.push(*step);
            }
        }
    }
    let plan = foretell(&Question { steps: chosen.clone(), ..question.clone() })?;
    Ok(Suggestion { is_other: chosen != question.steps, steps: chosen, plan, unmet })
}

enum Found {
    Step(PlannedStep),
    /// The step before it has at least its share by now.
    Covered,
    Nothing,
}

fn better(
    question: &Question,
    judge: &Judge,
    chosen: &[PlannedStep],
    step: &PlannedStep,
    (below, above): (f64, f64),
    is_last: bool,
) -> Result<Found, PlanError> {
    if step.share <= below && !is_last {
        return Ok(Found::Covered);
    }
    let larger = SHARES.into_iter().filter(|share| *share > step.share + 1e-9 && *share < above && !is_last);
    for share in [step.share].into_iter().chain(larger) {
        if let Some(found) = in_time(question, judge, chosen, PlannedStep { share, ..*step })? {
            return Ok(Found::Step(found));
        }
    }
    Ok(Found::Nothing)
}

/// The step as it is if it decides; with the least bake and deadline that do, if any do.
fn in_time(
    question: &Question,
    judge: &Judge,
    chosen: &[PlannedStep],
    step: PlannedStep,
) -> Result<Option<PlannedStep>, PlanError> {
    let interval = question.settings.look_interval_ms;
    let longest = u32::try_from(LONGEST_MS / interval).unwrap_or(u32::MAX).max(step.deadline_looks);
    let played = try_out(question, judge, chosen, PlannedStep { deadline_looks: longest, ..step })?;
    if !decides(&played, longest) {
        return Ok(None);
    }
    let harms = played.cases.iter().filter_map(surely).fold(0.0, f64::max);
    let passes = played.passed.iter().copied().max().map_or(0.0, f64::from);
    let needed = (TO_SPARE * harms.max(passes)).min(f64::from(longest));
    if needed <= f64::from(step.deadline_looks) {
        return Ok(Some(step));
    }
    let bake_looks = whole_minutes(needed / f64::from(BAKES), interval).max(step.bake_looks);
    Ok(Some(PlannedStep { bake_looks, deadline_looks: (BAKES * bake_looks).max(step.deadline_looks), ..step }))
}

fn try_out(question: &Question, judge: &Judge, chosen: &[PlannedStep], step: PlannedStep) -> Result<Played, PlanError> {
    let steps: Vec<PlannedStep> = chosen.iter().copied().chain([step]).collect();
    let play = outlook::play(question, judge, &question.present, &steps, chosen.len());
    let play = Play { patience: Patience::YesOrNo, ..play };
    let mut outcome = play.runs(RUNS, question.seed)?;
    Ok(outcome.steps.pop().unwrap_or_default())
}

fn whole_minutes(looks: f64, look_interval_ms: u64) -> u32 {
    let per_minute = 60_000.0 / look_interval_ms as f64;
    ((looks / per_minute).ceil().max(1.0) * per_minute).ceil() as u32
}
