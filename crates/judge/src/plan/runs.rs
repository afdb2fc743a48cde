//! Runs: plays a rollout on synthetic looks, with the judge itself.
//!
//! A run plays the healthy canary through the steps. At the begin of a step the judge as it stands then is taken aside, once for each harm, and sees
//! the same step with a harmed canary. Only what the judge answered is kept. Must never look into the judge. Next room:
//! [`outlook`](crate::plan::outlook).

use crate::judge::Judge;
use crate::plan::harm::Harmed;
use crate::plan::present::{Missing, Present};
use crate::plan::random::Random;
use crate::plan::traffic::{Afflicted, Tape};
use crate::plan::{Case, PlannedStep};
use crate::settings::{Comparison, Settings, SettingsError, StepSettings};
use crate::verdict::{Answer, Reason};

/// After so many runs in which the judge never saw a harm, the rest is not played.
const ENOUGH_MISSED: usize = 12;

/// What is played: everything but chance.
pub(crate) struct Play<'a> {
    pub(crate) settings: &'a Settings,
    /// The judge before its first step, with what it learned from the past.
    pub(crate) judge: &'a Judge,
    pub(crate) present: &'a [Present],
    pub(crate) missing: Missing,
    pub(crate) steps: &'a [PlannedStep],
    pub(crate) cases: &'a [Case],
    /// Harm is played from this step on; those before only lead to it.
    pub(crate) harm_from: usize,
    pub(crate) patience: Patience,
}

/// When a harm needs no more runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// To tell how often it is seen.
    Figures,
    /// To tell whether it is always seen: one run that missed it is answer enough.
    YesOrNo,
}

/// What became of the runs of one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Played {
    /// Runs in which the healthy canary came to this step.
    pub(crate) healthy: usize,
    /// Looks after which it passed.
    pub(crate) passed: Vec<u32>,
    /// Runs in which it was failed, wrongly.
    pub(crate) failed: usize,
    /// What stood in the way at the deadline, in the first run that had not passed by then.
    pub(crate) in_the_way: Option<Reason>,
    pub(crate) cases: Vec<PlayedCase>,
}

/// What became of the runs of one harm in one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PlayedCase {
    pub(crate) runs: usize,
    /// Looks from the onset to the fail.
    pub(crate) detected: Vec<u32>,
    /// Runs in which the step passed before.
    pub(crate) passed: usize,
}

/// Looks of whole rollouts that passed all steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outcome {
    pub(crate) steps: Vec<Played>,
    pub(crate) rollouts: Vec<u32>,
}

#[derive(Clone, Copy)]
enum End {
    Passed(u32),
    Failed(u32),
    Deadline,
}

impl Play<'_> {
    pub(crate) fn runs(&self, runs: u32, seed: u64) -> Result<Outcome, SettingsError> {
        let empty = Played { cases: vec![PlayedCase::default(); self.cases.len()], ..Played::default() };
        let mut outcome = Outcome { steps: vec![empty; self.steps.len()], rollouts: Vec::new() };
        let harmed = self.harmed();
        let mut random = Random::new(seed);
        for _ in 0..runs {
            self.run(random.fork(), &harmed, &mut outcome)?;
            let missed = || outcome.steps.iter().flat_map(|step| &step.cases).any(PlayedCase::has_missed);
            if self.patience == Patience::YesOrNo && missed() {
                break;
            }
        }
        Ok(outcome)
    }

    /// What each case's harm shows in each step.
    fn harmed(&self) -> Vec<Vec<Vec<(usize, Harmed)>>> {
        let on = |step: &PlannedStep, case: &Case| {
            let known = case.harms.iter().filter_map(|(at, harm)| {
                let (sli, present) = (self.settings.slis.get(*at)?, self.present.get(*at)?);
                Some((*at, harm.on(sli, present, step.comparison, self.settings.look_interval_ms)))
            });
            known.collect()
        };
        self.steps.iter().map(|step| self.cases.iter().map(|case| on(step, case)).collect()).collect()
    }

    fn run(
        &self,
        mut random: Random,
        harmed: &[Vec<Vec<(usize, Harmed)>>],
        outcome: &mut Outcome,
    ) -> Result<(), SettingsError> {
        let mut judge = self.judge.clone();
        let mut looks = Some(0u32);
        for (at, step) in self.steps.iter().enumerate() {
            judge.begin_step(step.settings())?;
            let before = judge.clone();
            let shares = step.shares();
            let mut tape = Tape::new(&self.settings.slis, self.present, shares, self.missing, random.fork());
            let played = &mut outcome.steps[at];
            played.healthy += 1;
            let end = watch(&mut judge, step.deadline_looks, &mut tape);
            if at >= self.harm_from {
                for (case, (harmed, played)) in self.cases.iter().zip(harmed[at].iter().zip(&mut played.cases)) {
                    let random = random.fork();
                    if self.patience.is_over(played) {
                        continue;
                    }
                    let afflicted = Afflicted::new(harmed, &self.settings.slis, shares[0], random);
                    played.take(case, branch(before.clone(), step, case, &mut tape, afflicted));
                }
            }
            looks = match end {
                End::Passed(after) => {
                    played.passed.push(after);
                    looks.map(|looks| looks + after)
                }
                End::Failed(_) => {
                    played.failed += 1;
                    return Ok(());
                }
                // a person lets it go on: later steps are asked about too
                End::Deadline => {
                    let in_the_way = || judge.verdict().reasons.into_iter().find(|reason| !reason.code.is_note());
                    played.in_the_way = played.in_the_way.take().or_else(in_the_way);
                    None
                }
            };
        }
        outcome.rollouts.extend(looks);
        Ok(())
    }
}

impl Patience {
    fn is_over(self, played: &PlayedCase) -> bool {
        match self {
            Patience::Figures => played.runs >= ENOUGH_MISSED && played.detected.is_empty(),
            Patience::YesOrNo => played.has_missed(),
        }
    }
}

impl PlayedCase {
    fn has_missed(&self) -> bool {
        self.detected.len() < self.runs
    }

    fn take(&mut self, case: &Case, end: End) {
        self.runs += 1;
        match end {
            End::Failed(after) => self.detected.push(after.saturating_sub(case.onset_looks).max(1)),
            End::Passed(_) => self.passed += 1,
            End::Deadline => (),
        }
    }
}

/// Shows the judge look after look until it answers, or the deadline comes.
fn watch(judge: &mut Judge, deadline_looks: u32, tape: &mut Tape<'_>) -> End {
    for at in 0..deadline_looks {
        match judge.observe(tape.look(at as usize)) {
            Answer::Pass => return End::Passed(at + 1),
            Answer::Fail => return End::Failed(at + 1),
            Answer::Insufficient | Answer::Unreachable => (),
        }
    }
    End::Deadline
}

/// The step as it would have gone with a harmed canary. That it passes before the harm began is no mistake.
fn branch(mut judge: Judge, step: &PlannedStep, case: &Case, tape: &mut Tape<'_>, mut afflicted: Afflicted<'_>) -> End {
    for at in 0..step.deadline_looks {
        let answer = match at.checked_sub(case.onset_looks) {
            None => judge.observe(tape.look(at as usize)),
            Some(since) => {
                let mut look = tape.look(at as usize).clone();
                afflicted.harm(&mut look, since);
                judge.observe(&look)
            }
        };
        match answer {
            Answer::Fail => return End::Failed(at + 1),
            Answer::Pass if at >= case.onset_looks => return End::Passed(at + 1),
            _ => (),
        }
    }
    End::Deadline
}

impl PlannedStep {
    fn settings(&self) -> StepSettings {
        let expected =
            (self.comparison == Comparison::Concurrent && self.share > 0.0 && self.share < 1.0).then_some(self.share);
        StepSettings { comparison: self.comparison, bake_looks: self.bake_looks, expected_share: expected }
    }

    /// The traffic of the canary and of what it is compared with.
    fn shares(&self) -> [f64; 2] {
        match self.comparison {
            Comparison::Before => [self.share, 1.0],
            Comparison::Concurrent | Comparison::Objective => [self.share, 1.0 - self.share],
        }
    }
}
