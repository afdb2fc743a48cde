//! Stream: one canary judged look by look through the streaming protocol, without the product around it.
//!
//! A start message with the metrics and what is known from before; then one message per look, and an answer to each. Values only: whoever speaks the
//! protocol brings lines and JSON. Must never look ahead, and never answer anything but hold to what it can't read. Next room: none.

use serde::{Deserialize, Serialize};

use crate::judge::Judge;
use crate::look::{Counts, Look, Reading};
use crate::settings::{
    Comparison, MOST_EDGES, Margins, Profile, Settings, SettingsError, SliKind, SliSettings, StepSettings,
};
use crate::verdict::{Answer, Kind, Reason, SliVerdict, Verdict};

/// The harm margin of errors, as a part: a rollout that is judged alone has the strictest.
pub const HARM_ALONE: f64 = 0.05;
/// No history is longer: a month of looks every ten seconds.
const MOST_HISTORY: usize = 260_000;

/// The first message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Start {
    /// Seconds between two looks.
    #[serde(default = "ten_seconds")]
    pub tick_s: f64,
    /// Planned looks.
    pub horizon_ticks: u32,
    /// Looks before a pass; the whole horizon by default.
    #[serde(default)]
    pub bake_ticks: Option<u32>,
    /// `err` for errors, `p99` for latency, `g0`, `g1`, ... for gauges.
    pub metrics: Vec<String>,
    #[serde(default)]
    pub bucket_edges_ms: Vec<f64>,
    #[serde(default)]
    pub history: Option<History>,
    /// The false-rollback budget; 0.01 by default.
    #[serde(default)]
    pub alpha: Option<f64>,
}

fn ten_seconds() -> f64 {
    10.0
}

/// What both halves of the baseline did before the rollout.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct History {
    #[serde(default)]
    pub baseline: Past,
    #[serde(default)]
    pub canary: Past,
    #[serde(default)]
    pub h_baseline: Vec<Option<Vec<Option<f64>>>>,
    #[serde(default)]
    pub h_canary: Vec<Option<Vec<Option<f64>>>>,
}

/// One half's requests, bad ones and gauges, look by look.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Past {
    #[serde(default)]
    pub n: Vec<Option<f64>>,
    #[serde(default)]
    pub x: Vec<Option<f64>>,
    #[serde(default)]
    pub g: Vec<Option<Vec<Option<f64>>>>,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Tick {
    #[serde(default)]
    pub baseline: Option<Side>,
    #[serde(default)]
    pub canary: Option<Side>,
    /// `unreachable` where the source did not answer.
    #[serde(default)]
    pub source: Option<String>,
}

/// One cohort in one look: requests, bad ones, requests per bucket, gauges.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Side {
    #[serde(default)]
    pub n: Option<f64>,
    #[serde(default)]
    pub x: Option<f64>,
    #[serde(default)]
    pub h: Option<Vec<Option<f64>>>,
    #[serde(default)]
    pub g: Option<Vec<Option<f64>>>,
}

/// The answer to one look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// Looks answered before this one.
    pub t: u64,
    pub decision: Decision,
    pub verdict: Answer,
    /// 0 to 100: how sure the decision is.
    pub confidence: f64,
    /// 0 to 100: how healthy the canary looks.
    pub score: f64,
    pub reasons: Vec<Reason>,
    pub metrics: Vec<Metric>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    Hold,
    Rollback,
    Promote,
}

/// One metric in the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    pub metric: String,
    pub kind: Kind,
    /// Harm evidence, and the anytime p-value that it makes.
    pub e: f64,
    pub p_anytime: f64,
    pub implicated: bool,
    /// 0 to 1.
    pub safe_progress: f64,
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub phi: f64,
    pub threshold_ms: Option<f64>,
    pub why: String,
}

/// Why a start message was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StartError {
    #[error("`tick_s` is `{0}`: it must be above 0 and at most 86400")]
    TickLength(f64),
    #[error("`{0}` is no metric: use `err`, `p99`, or `g0`, `g1`, ... in order")]
    UnknownMetric(String),
    #[error("the history has {0} looks: at most {MOST_HISTORY}")]
    LongHistory(usize),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Errors,
    Latency,
    Gauge(usize),
}

/// One canary.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    judge: Judge,
    reads: Vec<Read>,
    /// Buckets that are merged into one, so that no more than the most remain.
    merged: usize,
    buckets: usize,
    ticks: u64,
    /// A promotion that the reference never takes back.
    latched: Option<Answer>,
}

impl Stream {
    /// Begins, with the strictness of the protocol or of the reference.
    pub fn new(start: &Start, profile: Profile) -> Result<Self, StartError> {
        if !(start.tick_s > 0.0 && start.tick_s <= 86_400.0) {
            return Err(StartError::TickLength(start.tick_s));
        }
        let merged = start.bucket_edges_ms.len().div_ceil(MOST_EDGES).max(1);
        let edges_ms: Vec<f64> =
            start.bucket_edges_ms.chunks(merged).filter_map(|edges| edges.last().copied()).collect();
        let mut reads = Vec::new();
        let mut slis = Vec::new();
        for name in &start.metrics {
            let (read, kind) = match name.as_str() {
                "err" => {
                    let margins = Margins { harm: Some(HARM_ALONE), ..Margins::default() };
                    (Read::Errors, SliKind::ratio().with(margins))
                }
                "p99" => (Read::Latency, SliKind::latency(edges_ms.clone(), None)),
                other => {
                    let at = other.strip_prefix('g').and_then(|at| at.parse::<usize>().ok()).filter(|at| *at < 1_000);
                    let at = at.ok_or_else(|| StartError::UnknownMetric(other.to_owned()))?;
                    (Read::Gauge(at), SliKind::gauge())
                }
            };
            reads.push(read);
            slis.push(SliSettings { weight: weight_alone(&kind), ..SliSettings::new(name, kind) });
        }
        let interval_ms = ((start.tick_s * 1e3).round() as u64).max(1);
        let mut settings = Settings::new(slis, interval_ms, start.horizon_ticks);
        settings.alpha = start.alpha.unwrap_or(settings.alpha);
        (settings.profile, settings.needs_newest) = (profile, false);
        let mut stream = Stream {
            judge: Judge::new(settings.clone())?,
            reads,
            merged,
            buckets: start.bucket_edges_ms.len() + 1,
            ticks: 0,
            latched: None,
        };
        if let Some(history) = &start.history {
            stream.judge = Judge::with_history(settings, &stream.past(history)?)?;
        }
        let bake_looks = start.bake_ticks.unwrap_or(start.horizon_ticks);
        stream.judge.begin_step(StepSettings {
            comparison: Comparison::Concurrent,
            bake_looks,
            expected_share: None,
        })?;
        Ok(stream)
    }

    /// Takes one look in and answers.
    pub fn tick(&mut self, tick: &Tick) -> Reply {
        let look = self.look(tick);
        let verdict = self.judge.look(&look);
        self.answer(verdict)
    }

    /// The same without words.
    pub fn observe(&mut self, tick: &Tick) -> Decision {
        let look = self.look(tick);
        let answer = self.judge.observe(&look);
        self.ticks += 1;
        decision(self.latch(answer))
    }

    fn latch(&mut self, answer: Answer) -> Answer {
        if self.judge.profile() == Profile::Reference && answer == Answer::Pass {
            self.latched = Some(answer);
        }
        self.latched.unwrap_or(answer)
    }

    fn answer(&mut self, verdict: Verdict) -> Reply {
        let answer = self.latch(verdict.answer);
        let t = self.ticks;
        self.ticks += 1;
        let needed = (1.0 / self.judge.beta()).ln();
        Reply {
            t,
            decision: decision(answer),
            verdict: answer,
            confidence: verdict.confidence,
            score: verdict.health,
            reasons: verdict.reasons,
            metrics: verdict.slis.into_iter().map(|sli| metric(sli, needed)).collect(),
        }
    }

    fn look(&self, tick: &Tick) -> Look {
        if tick.source.as_deref() == Some("unreachable") {
            let unreachable = Reading::Unreachable { why: "the source did not answer".to_owned() };
            return Look { readings: vec![unreachable; self.reads.len()] };
        }
        let reading = |read: &Read| Reading::Seen {
            baseline: tick.baseline.as_ref().and_then(|side| self.counts(*read, side)),
            canary: tick.canary.as_ref().and_then(|side| self.counts(*read, side)),
        };
        Look { readings: self.reads.iter().map(reading).collect() }
    }

    fn counts(&self, read: Read, side: &Side) -> Option<Counts> {
        match read {
            Read::Errors => ratio(side.n, side.x),
            Read::Latency => self.histogram(side.h.as_deref()?),
            Read::Gauge(at) => gauge(side.g.as_deref()?, at),
        }
    }

    fn histogram(&self, counts: &[Option<f64>]) -> Option<Counts> {
        if counts.iter().all(Option::is_none) {
            return None;
        }
        if counts.len() != self.buckets {
            return Some(Counts::Latency { buckets: vec![] });
        }
        let whole: Option<Vec<u64>> = counts.iter().map(|count| count.and_then(whole)).collect();
        let Some(whole) = whole else { return Some(Counts::Latency { buckets: vec![] }) };
        // the bucket above the last edge stays alone
        let (beyond, finite) = whole.split_last()?;
        let sum = |part: &[u64]| part.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let buckets = finite.chunks(self.merged).map(sum).chain([*beyond]).collect();
        Some(Counts::Latency { buckets })
    }

    fn past(&self, history: &History) -> Result<Vec<Look>, StartError> {
        let History { baseline, canary, h_baseline, h_canary } = history;
        let lengths =
            [baseline.n.len(), canary.n.len(), baseline.g.len(), canary.g.len(), h_baseline.len(), h_canary.len()];
        let length = lengths.into_iter().max().unwrap_or(0);
        if length > MOST_HISTORY {
            return Err(StartError::LongHistory(length));
        }
        let counts = |read: Read, past: &Past, histograms: &[Option<Vec<Option<f64>>>], at: usize| match read {
            Read::Errors => ratio(past.n.get(at).copied().flatten(), past.x.get(at).copied().flatten()),
            Read::Latency => histograms.get(at).and_then(Option::as_ref).and_then(|counts| self.histogram(counts)),
            Read::Gauge(gauge_at) => past.g.get(at).and_then(Option::as_ref).and_then(|values| gauge(values, gauge_at)),
        };
        let reading = |read: &Read, at: usize| Reading::Seen {
            baseline: counts(*read, baseline, h_baseline, at),
            canary: counts(*read, canary, h_canary, at),
        };
        Ok((0..length).map(|at| Look { readings: self.reads.iter().map(|read| reading(read, at)).collect() }).collect())
    }
}

/// The weight of an SLI that nobody gave one, of a rollout that is judged alone.
pub fn weight_alone(kind: &SliKind) -> f64 {
    match kind {
        SliKind::Ratio { .. } | SliKind::Latency { .. } => 0.35,
        SliKind::Gauge { .. } | SliKind::Check => 0.15,
    }
}

fn decision(answer: Answer) -> Decision {
    match answer {
        Answer::Pass => Decision::Promote,
        Answer::Fail => Decision::Rollback,
        Answer::Insufficient | Answer::Unreachable => Decision::Hold,
    }
}

fn metric(sli: SliVerdict, needed: f64) -> Metric {
    Metric {
        metric: sli.name,
        kind: sli.kind,
        e: sli.evidence,
        p_anytime: (1.0 / sli.evidence.max(1e-300)).min(1.0),
        implicated: sli.implicated,
        safe_progress: (sli.safety.ln() / needed).clamp(0.0, 1.0),
        effect: sli.effect,
        interval: sli.approximate_interval,
        phi: sli.noise,
        threshold_ms: sli.threshold_ms,
        why: sli.why,
    }
}

/// A count: above 2^53 single events can't be told apart any more.
fn whole(count: f64) -> Option<u64> {
    (0.0..9e15).contains(&count).then(|| count.round() as u64)
}

/// Half of a pair is no reading; numbers that are no counts contradict themselves.
fn ratio(total: Option<f64>, bad: Option<f64>) -> Option<Counts> {
    let (total, bad) = total.zip(bad)?;
    Some(match (whole(total), whole(bad)) {
        (Some(total), Some(bad)) => Counts::Ratio { total, bad },
        _ => Counts::Ratio { total: 0, bad: 1 },
    })
}

fn gauge(values: &[Option<f64>], at: usize) -> Option<Counts> {
    values.get(at).copied().flatten().map(|value| Counts::Gauge { value })
}
