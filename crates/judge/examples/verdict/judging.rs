//! Judging: our judge, set up for the bench and fed with its ticks.
//!
//! The only room of the bench that knows the judge's interface. Must never decide anything by itself. Next room: [`runs`](crate::runs).

use judge::{
    Answer, Comparison, Counts, Judge, Look, Profile, Reading, ReasonCode, Settings, SettingsError, SliKind,
    SliSettings, StepSettings,
};

use crate::ticks::{GAUGES, Side, Tick};

/// Milliseconds between two looks.
pub(crate) const LOOK_INTERVAL_MS: u64 = 10_000;
/// Errors up to this odds ratio are tolerated, in both profiles: the reference design's figure.
pub(crate) const ERROR_MARGIN: f64 = 1.05;
/// A bad share below this is harmless whatever the baseline does: the default of the settings.
pub(crate) const ERROR_FLOOR: f64 = 0.005;
/// The good share that errors and latencies promise where a step has no baseline.
const OBJECTIVE: f64 = 0.99;

/// Errors, latency and two gauges, weighted as in the reference design.
pub(crate) fn settings(edges: &[f64], profile: Profile, horizon_looks: u32) -> Settings {
    let errors = SliKind::Ratio { harm_margin: ERROR_MARGIN, safety_margin: 1.5, floor: ERROR_FLOOR };
    let weighted = |name: &str, kind, weight| SliSettings { weight, ..SliSettings::new(name, kind) };
    let mut slis =
        vec![weighted("errors", errors, 0.35), weighted("latency", SliKind::latency(edges.to_vec(), None), 0.35)];
    slis.extend(["processor", "memory"].map(|name| weighted(name, SliKind::gauge(), 0.15)));
    let settings = Settings::new(slis, LOOK_INTERVAL_MS, horizon_looks);
    // the hour ends with its last look, which may have been lost: a control plane would pass with the next one
    Settings { profile, needs_newest: false, ..settings }
}

/// The same with objectives, for a step that has no baseline: 99 % good, within an edge that the old version keeps, gauges below a limit.
pub(crate) fn with_objectives(settings: Settings, slow_ms: f64) -> Settings {
    let mut settings = settings;
    for sli in &mut settings.slis {
        match &mut sli.kind {
            SliKind::Ratio { .. } => sli.objective = Some(OBJECTIVE),
            SliKind::Latency { edges_ms, objective_edge_ms, .. } => {
                sli.objective = Some(OBJECTIVE);
                *objective_edge_ms = edges_ms.iter().copied().find(|edge| *edge >= slow_ms);
            }
            SliKind::Gauge { limit, .. } => *limit = Some(1.0),
            SliKind::Check => {}
        }
    }
    settings
}

/// One look, whose memory is used again for the next.
#[derive(Debug)]
pub(crate) struct Reader {
    look: Look,
    /// Of the readings, in the order of [`settings`], only this one.
    only: Option<usize>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Reader { look: Look { readings: Vec::new() }, only: None }
    }

    pub(crate) fn only(which: usize) -> Self {
        Reader { only: Some(which), ..Reader::new() }
    }

    pub(crate) fn read(&mut self, tick: &Tick) -> &Look {
        let readings = (0..2 + GAUGES).filter(|which| self.only.is_none_or(|only| only == *which));
        self.look.readings.clear();
        self.look.readings.extend(readings.map(|which| reading(tick, which)));
        &self.look
    }
}

fn reading(tick: &Tick, which: usize) -> Reading {
    let counts = |side: &Side| match which {
        0 => Some(Counts::Ratio { total: side.requests, bad: side.errors }),
        1 if side.buckets.is_empty() => None,
        1 => Some(Counts::Latency { buckets: side.buckets.clone() }),
        gauge => Some(Counts::Gauge { value: side.gauges[gauge - 2] }),
    };
    let (baseline, canary) = (tick.baseline.as_ref(), tick.canary.as_ref());
    Reading::Seen { baseline: baseline.and_then(counts), canary: canary.and_then(counts) }
}

/// A judge that has seen the history and stands at the start of its first step.
pub(crate) fn ready(settings: Settings, history: &[Tick], step: StepSettings) -> Result<Judge, SettingsError> {
    let looks: Vec<Look> = history.iter().map(|tick| Reader::new().read(tick).clone()).collect();
    let mut judge = Judge::with_history(settings, &looks)?;
    judge.begin_step(step)?;
    Ok(judge)
}

/// A step beside the old version.
pub(crate) fn beside(bake_looks: u32, expected_share: Option<f64>) -> StepSettings {
    StepSettings { comparison: Comparison::Concurrent, bake_looks, expected_share }
}

/// A step that takes all the traffic.
pub(crate) fn alone(bake_looks: u32) -> StepSettings {
    StepSettings { comparison: Comparison::Objective, bake_looks, expected_share: None }
}

/// How an hour of looks ended, and at which tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    RolledBack(usize),
    Promoted(usize),
    Held,
}

/// Looks at each tick until the judge passes or fails.
pub(crate) fn judge_until_the_end(judge: &mut Judge, ticks: &[Tick]) -> End {
    let mut reader = Reader::new();
    for (at, tick) in ticks.iter().enumerate() {
        match judge.observe(reader.read(tick)) {
            Answer::Fail => return End::RolledBack(at),
            Answer::Pass => return End::Promoted(at),
            Answer::Insufficient | Answer::Unreachable => {}
        }
    }
    End::Held
}

/// The reasons that stand in the way of a pass.
pub(crate) fn reasons_against(judge: &Judge) -> Vec<ReasonCode> {
    judge.verdict().reasons.iter().map(|reason| reason.code).filter(|code| !code.is_note()).collect()
}
