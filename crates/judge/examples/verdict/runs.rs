//! Runs: every judge on the same canaries, many times.
//!
//! A run is a scenario and a seed, and nothing else: each judge sees the very same scrapes, so that judges can be compared pair by pair. Runs are spread
//! over threads and their order does not matter. Must never keep what was seen, only what became of it. Next room: [`table`](crate::table).

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use judge::{Answer, Judge, Profile, ReasonCode};

use crate::catalogue::{Fate, Scenario, Step};
use crate::judging::{self, End, Reader};
use crate::peers::{self, Kayenta};
use crate::ticks::Tick;
use crate::traffic::{HOUR, Share, TICK_SECONDS, Traffic, history, hour};

/// Canary requests that a scrape needs before an outage can be asked of it.
const REQUESTS_OF_A_FULL_SCRAPE: u64 = 20;
/// A plan that takes so many times as long as foretold is given up.
const MOST_OF_A_PLAN: usize = 3;

/// Who judges: ours first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    Reference,
    KayentaDocumented,
    KayentaLax,
    KayentaCritical,
    KayentaTuned,
    Argo,
    Flagger,
}

impl Who {
    pub(crate) const ALL: [Who; 8] = [
        Who::Ours,
        Who::Reference,
        Who::KayentaDocumented,
        Who::KayentaLax,
        Who::KayentaCritical,
        Who::KayentaTuned,
        Who::Argo,
        Who::Flagger,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Ours => "**clearway**",
            Who::Reference => "clearway, reference profile",
            Who::KayentaDocumented => "Kayenta, once at 60 min, 95/75",
            Who::KayentaLax => "Kayenta, every 10 min, 75/50, nothing critical",
            Who::KayentaCritical => "Kayenta, every 5 min, all critical",
            Who::KayentaTuned => "the same, tuned (`allowedIncrease` 1.1)",
            Who::Argo => "threshold each minute, Argo style",
            Who::Flagger => "threshold each minute, Flagger style",
        }
    }
}

/// What became of one canary under one judge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Canary requests that were served worse, from the onset to the rollback or the end of the hour.
    pub(crate) worse: f64,
    /// Scrapes from the onset to the rollback that carried enough for an outage to show.
    pub(crate) full_scrapes: usize,
    /// For ours, at the end: what stood in the way of a pass.
    pub(crate) codes: Vec<ReasonCode>,
}

impl Outcome {
    fn new(end: End, ticks: &[Tick], onset: usize) -> Outcome {
        let seen = match end {
            End::RolledBack(at) => &ticks[..=at],
            End::Promoted(_) | End::Held => ticks,
        };
        let since = seen.get(onset..).unwrap_or_default();
        Outcome {
            end,
            worse: seen.iter().map(|tick| tick.worse).sum(),
            full_scrapes: since.iter().filter(|t| t.canary_requests() >= REQUESTS_OF_A_FULL_SCRAPE).count(),
            codes: Vec::new(),
        }
    }

    pub(crate) fn is_promoted(&self) -> bool {
        matches!(self.end, End::Promoted(_))
    }

    pub(crate) fn is_held(&self) -> bool {
        self.end == End::Held
    }

    /// Rolled back at all.
    pub(crate) fn is_rolled_back(&self) -> bool {
        matches!(self.end, End::RolledBack(_))
    }

    /// Rolled back for what was there: not before the onset.
    pub(crate) fn is_detected(&self, onset: usize) -> bool {
        matches!(self.end, End::RolledBack(at) if at >= onset)
    }

    /// Minutes from the onset to the end of the scrape that decided; infinite when harm was never detected.
    pub(crate) fn delay_minutes(&self, onset: usize) -> f64 {
        match self.end {
            End::RolledBack(at) if at >= onset => minutes(at + 1 - onset),
            _ => f64::INFINITY,
        }
    }

    pub(crate) fn minutes_to_pass(&self) -> f64 {
        match self.end {
            End::Promoted(at) => minutes(at + 1),
            _ => f64::INFINITY,
        }
    }
}

pub(crate) fn minutes(looks: usize) -> f64 {
    looks as f64 * TICK_SECONDS / 60.0
}

/// All runs of one scenario: for each run one outcome a judge, in the order of [`Who::ALL`]; in stepped plans and dark canaries ours only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Played {
    pub(crate) scenario: Scenario,
    pub(crate) runs: Vec<Vec<Outcome>>,
}

impl Played {
    pub(crate) fn of(&self, who: Who) -> Vec<&Outcome> {
        let index = Who::ALL.iter().position(|other| *other == who).unwrap_or(0);
        self.runs.iter().filter_map(|run| run.get(index)).collect()
    }

    pub(crate) fn onset(&self) -> usize {
        self.scenario.parameters.onset
    }
}

/// Plays each scenario as often as asked, on so many threads. The seed of a run follows from its lot, scenario and number.
pub(crate) fn play(scenarios: Vec<(Scenario, usize)>, threads: usize) -> Result<Vec<Played>> {
    let jobs: Vec<(usize, usize)> =
        scenarios.iter().enumerate().flat_map(|(i, (_, runs))| (0..*runs).map(move |run| (i, run))).collect();
    let outcomes = spread(jobs.len(), threads, |job| {
        let (i, run) = jobs[job];
        let scenario = &scenarios[i].0;
        one(scenario, seed(scenario, i, run)).with_context(|| format!("scenario `{}`", scenario.name))
    })?;
    let mut outcomes = outcomes.into_iter();
    let played = scenarios.into_iter().map(|(scenario, runs)| {
        let runs = outcomes.by_ref().take(runs).collect();
        Played { scenario, runs }
    });
    Ok(played.collect())
}

fn seed(scenario: &Scenario, index: usize, run: usize) -> u64 {
    scenario.lot.first_seed + index as u64 * 1_000_000 + run as u64
}

/// Does so many jobs on so many threads; the answers come in the order of the jobs.
pub(crate) fn spread<T: Send>(jobs: usize, threads: usize, job: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= jobs {
                return Ok(done);
            }
            done.push((index, job(index)?));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?);
        joined.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

fn one(scenario: &Scenario, seed: u64) -> Result<Vec<Outcome>> {
    if let Fate::Stepped(steps) = &scenario.fate {
        return [Profile::Default, Profile::Reference]
            .map(|it| in_steps(scenario, steps, it, seed))
            .into_iter()
            .collect();
    }
    let before = history(&scenario.parameters, seed);
    let ticks = hour(&scenario.parameters, seed);
    let mut outcomes = Vec::with_capacity(Who::ALL.len());
    for profile in [Profile::Default, Profile::Reference] {
        outcomes.push(ours(scenario, profile, &before, &ticks)?);
    }
    outcomes.extend(theirs(scenario, &ticks));
    Ok(outcomes)
}

fn ours(scenario: &Scenario, profile: Profile, before: &[Tick], ticks: &[Tick]) -> Result<Outcome> {
    let parameters = &scenario.parameters;
    let settings = judging::settings(&parameters.edges.milliseconds(), profile, HOUR as u32);
    let expected_share = match parameters.share {
        Share::Constant(share) => Some(share),
        Share::Ramp => None,
    };
    let mut judge = judging::ready(settings, before, judging::beside(HOUR as u32, expected_share))?;
    let end = judging::judge_until_the_end(&mut judge, ticks);
    let mut outcome = Outcome::new(end, ticks, parameters.onset);
    if outcome.is_held() {
        outcome.codes = judging::reasons_against(&judge);
    }
    Ok(outcome)
}

fn theirs(scenario: &Scenario, ticks: &[Tick]) -> Vec<Outcome> {
    let edges = scenario.parameters.edges.milliseconds();
    let series = peers::series(ticks, &edges);
    let kayenta = [Kayenta::DOCUMENTED, Kayenta::LAX, Kayenta::CRITICAL, Kayenta::TUNED].map(|it| it.judge(&series));
    let thresholds = [peers::argo(ticks, &edges), peers::flagger(ticks, &edges)];
    let end = |rollback: peers::Rollback| rollback.map_or(End::Promoted(HOUR - 1), End::RolledBack);
    let ends = kayenta.into_iter().chain(thresholds).map(end);
    ends.map(|end| Outcome::new(end, ticks, scenario.parameters.onset)).collect()
}

/// Looks in which a plan ought to be complete.
pub(crate) fn planned_looks(steps: &[Step]) -> usize {
    steps.iter().map(|step| step.bake_looks as usize).sum()
}

/// Moves through the plan as a control plane does: the next step begins with the pass of the one before.
fn in_steps(scenario: &Scenario, steps: &[Step], profile: Profile, seed: u64) -> Result<Outcome> {
    let parameters = &scenario.parameters;
    let before = history(parameters, seed);
    let edges = parameters.edges.milliseconds();
    let settings = judging::settings(&edges, profile, planned_looks(steps) as u32);
    let settings = judging::with_objectives(settings, parameters.latency.quantile(0.997));
    let mut traffic = Traffic::during(parameters, seed);
    let mut ticks = Vec::new();
    let mut judge = judging::ready(settings, &before, step_settings(steps[0]))?;
    let mut end = End::Held;
    for (number, &step) in steps.iter().enumerate() {
        judge.begin_step(step_settings(step))?;
        traffic.route(step.share);
        match one_step(&mut judge, &mut traffic, &mut ticks, MOST_OF_A_PLAN * planned_looks(steps)) {
            Answer::Pass if number + 1 == steps.len() => end = End::Promoted(ticks.len() - 1),
            Answer::Pass => {}
            Answer::Fail => {
                end = End::RolledBack(ticks.len() - 1);
                break;
            }
            Answer::Insufficient | Answer::Unreachable => break,
        }
    }
    let mut outcome = Outcome::new(end, &ticks, 0);
    if outcome.is_held() {
        outcome.codes = judging::reasons_against(&judge);
    }
    Ok(outcome)
}

fn one_step(judge: &mut Judge, traffic: &mut Traffic<'_>, ticks: &mut Vec<Tick>, most: usize) -> Answer {
    let mut reader = Reader::new();
    while ticks.len() < most {
        let tick = traffic.tick();
        let answer = judge.observe(reader.read(&tick));
        ticks.push(tick);
        if matches!(answer, Answer::Pass | Answer::Fail) {
            return answer;
        }
    }
    Answer::Insufficient
}

fn step_settings(step: Step) -> judge::StepSettings {
    if step.share < 1.0 { judging::beside(step.bake_looks, Some(step.share)) } else { judging::alone(step.bake_looks) }
}
