//! Judge: takes looks in, gives a verdict after each.
//!
//! Harm: the weighted mean of the SLIs' evidence is itself an e-process, so one budget `alpha` holds over all of them. When it reaches `1/alpha`
//! the change has failed for good: a failed judge takes no further evidence, so its figures stay those that failed it. All else is read off the
//! state, never stored beside it. Must never pass by default: `pass` is the absence of every reason against it.
//! Next room: [`reasons`](crate::reasons).

use serde::{Deserialize, Serialize};

use crate::check::{Check, CheckState};
use crate::counted::{Counted, GapWindow, Rules, recent};
use crate::gauge::{self, Gauge, Margins, Noise, Sample};
use crate::harm::Period;
use crate::look::{Counts, Gap, Gaps, Look, Past, Reading, Sighting};
use crate::reasons;
use crate::sentence;
use crate::settings::{Comparison, Profile, Role, Settings, SettingsError, SliKind, SliSettings, StepSettings};
use crate::verdict::{Answer, Kind, Samples, SliVerdict, Verdict};

/// One look may supply at most this part of the evidence needed to fail.
const MOST_PER_LOOK: f64 = 0.6;
/// How much of an error message is kept.
const TROUBLE_CHARS: usize = 160;

/// The evidence on one change. Its state can be kept and taken up again: the bits stay the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    pub(crate) settings: Settings,
    /// Looks since the change began.
    pub(crate) looks: u32,
    pub(crate) step: Option<Step>,
    pub(crate) slis: Vec<SliState>,
    /// What the first unreachable source of the newest look said.
    pub(crate) trouble: Option<String>,
    /// Whether there was evidence before the newest look, a third of the way on the log scale: a single look never fails a change that nothing was held
    /// against.
    suspected: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) settings: StepSettings,
    pub(crate) looks: u32,
    pub(crate) useful_looks: u32,
    /// Whether each of the recent looks was useful: one bit per look, the newest lowest.
    useful: u32,
    /// Requests of the first counted SLI, to check the split.
    pub(crate) baseline_requests: u64,
    pub(crate) canary_requests: u64,
}

impl Step {
    fn new(settings: StepSettings) -> Self {
        Step { settings, looks: 0, useful_looks: 0, useful: 0, baseline_requests: 0, canary_requests: 0 }
    }

    pub(crate) fn window(&self, fresh_looks: u32) -> u32 {
        self.looks.min(fresh_looks)
    }

    pub(crate) fn useful_among(&self, looks: u32) -> u32 {
        recent(self.useful, looks)
    }

    pub(crate) fn newest_is_useful(&self) -> bool {
        self.useful & 1 != 0
    }

    fn count(&mut self, useful: Usefulness) {
        let useful = u32::from(useful == Usefulness::Useful);
        self.looks = self.looks.saturating_add(1);
        self.useful_looks = self.useful_looks.saturating_add(useful);
        self.useful = (self.useful << 1) | useful;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usefulness {
    /// Every counted SLI had counts to judge.
    Useful,
    Gappy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SliState {
    Counted(Counted),
    Gauge(Gauge),
    Check(Check),
}

impl SliState {
    /// Harm evidence: 1 for a check, which has none.
    pub(crate) fn evidence(&self, kind: &SliKind) -> f64 {
        match self {
            SliState::Counted(counted) => counted.evidence(kind),
            SliState::Gauge(gauge) => gauge.evidence(),
            SliState::Check(_) => 1.0,
        }
    }

    /// `ln` of the evidence that the canary is safe in this step; nothing for a check.
    pub(crate) fn ln_safety(&self, kind: &SliKind, comparison: Comparison, profile: Profile) -> Option<f64> {
        match self {
            SliState::Counted(counted) => Some(counted.ln_safety(kind, comparison, profile)),
            SliState::Gauge(gauge) => Some(gauge.ln_safety()),
            SliState::Check(_) => None,
        }
    }

    pub(crate) fn gaps(&self) -> Option<&GapWindow> {
        match self {
            SliState::Counted(counted) => Some(counted.gaps()),
            SliState::Gauge(gauge) => Some(gauge.gaps()),
            SliState::Check(_) => None,
        }
    }
}

impl Judge {
    /// Refuses settings that make no sense.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.validate()?;
        let state = |sli: &SliSettings| match sli.kind {
            SliKind::Check => SliState::Check(Check::default()),
            SliKind::Gauge { .. } => SliState::Gauge(Gauge::new(None, settings.profile)),
            SliKind::Ratio { .. } | SliKind::Latency { .. } => SliState::Counted(Counted::new(&sli.kind)),
        };
        let slis = settings.slis.iter().map(state).collect();
        Ok(Judge { settings, looks: 0, step: None, slis, trouble: None, suspected: false })
    }

    /// The same, with what A/A looks before the rollout teach of noise and thresholds: the baseline, and a pseudo-canary cut out of it. Where an SLI's
    /// history teaches nothing, it is as without one.
    pub fn with_history(settings: Settings, history: &[Look]) -> Result<Self, SettingsError> {
        let mut judge = Judge::new(settings)?;
        for (i, (sli, state)) in judge.settings.slis.iter().zip(&mut judge.slis).enumerate() {
            let readings = history.iter().filter_map(|look| look.readings.get(i));
            match state {
                SliState::Counted(counted) => {
                    let past: Vec<Past<'_>> = readings.map(|reading| Past::read(&sli.kind, reading)).collect();
                    counted.calibrate(&sli.kind, &past, judge.settings.profile);
                }
                SliState::Gauge(gauge) => {
                    let SliKind::Gauge { worse, .. } = sli.kind else { continue };
                    let sample = |reading| Sample::read(None, Comparison::Concurrent, reading).ok();
                    let worse_by: Vec<Option<f64>> =
                        readings.map(|reading| sample(reading).map(|it| it.worse_by(worse))).collect();
                    let profile = judge.settings.profile;
                    *gauge = Gauge::new(Noise::learned(&worse_by, profile), profile);
                }
                SliState::Check(_) => (),
            }
        }
        Ok(judge)
    }

    /// Starts safety, bake, coverage, freshness and the request minimum anew; evidence of harm carries on. After a fail it changes nothing.
    pub fn begin_step(&mut self, step: StepSettings) -> Result<(), SettingsError> {
        step.validate()?;
        if self.has_failed() {
            return Ok(());
        }
        for state in &mut self.slis {
            match state {
                SliState::Counted(counted) => counted.begin_step(),
                SliState::Gauge(gauge) => gauge.begin_step(),
                SliState::Check(check) => check.begin_step(),
            }
        }
        self.step = Some(Step::new(step));
        self.trouble = None;
        Ok(())
    }

    /// Takes one look in. Ignored before the first step and after a fail.
    pub fn look(&mut self, look: &Look) -> Verdict {
        self.observe(look);
        self.verdict()
    }

    /// The same for those who want the answer alone: no word is written, nothing is allocated.
    pub fn observe(&mut self, look: &Look) -> Answer {
        if !self.has_failed()
            && let Some(mut step) = self.step.take()
        {
            self.suspected = self.evidence() >= self.settings.alpha.powf(-0.35);
            let useful = self.take_in(look, &mut step);
            step.count(useful);
            self.looks = self.looks.saturating_add(1);
            self.step = Some(step);
        }
        self.answer()
    }

    fn take_in(&mut self, look: &Look, step: &mut Step) -> Usefulness {
        let trouble = look.readings.iter().find_map(|reading| match reading {
            Reading::Unreachable { why } => Some(why.chars().take(TROUBLE_CHARS).collect()),
            Reading::Seen { .. } | Reading::NotDue => None,
        });
        // What was unreachable and is not due has still not answered.
        if trouble.is_some() || !look.readings.contains(&Reading::NotDue) {
            self.trouble = trouble;
        }
        let period = if self.looks < self.settings.warm_up_looks { Period::WarmUp } else { Period::Open };
        let settings = &self.settings;
        let mut useful = Usefulness::Useful;
        let mut split_counted = false;
        for (i, (sli, state)) in settings.slis.iter().zip(&mut self.slis).enumerate() {
            let reading = reading_of(look, i, settings.slis.len());
            if reading == Ok(&Reading::NotDue) {
                continue;
            }
            let comparison = sli.comparison(step.settings.comparison);
            // Idle looks count too: left out, a thin canary would seem to get more than its share.
            if let (Some(requests), false) = (reading.ok().and_then(requests_of), split_counted) {
                count_split(step, requests);
                split_counted = true;
            }
            let ceiling = MOST_PER_LOOK * ((1.0 / settings.alpha).ln() - settings.share_or_whole(sli).ln());
            let missed = match state {
                SliState::Check(check) => {
                    check.look(reading.ok());
                    false
                }
                SliState::Gauge(gauge) => {
                    let SliKind::Gauge { harm, safe, worse, limit } = sli.kind else { continue };
                    let margins = Margins::of(harm, safe, comparison);
                    let (horizon_looks, endless) = (settings.horizon_looks, settings.profile == Profile::Default);
                    let terms = gauge::Terms { period, margins, horizon_looks, endless, ceiling };
                    match reading.and_then(|it| Sample::read(limit, comparison, it)) {
                        Ok(sample) => gauge.look(sample, worse, terms),
                        Err(gaps) => gauge.miss(gaps, terms),
                    }
                    gauge.gaps().newest_has_any()
                }
                SliState::Counted(counted) => match reading.and_then(|it| Sighting::read(&sli.kind, comparison, it)) {
                    Err(gaps) => {
                        counted.miss(gaps);
                        true
                    }
                    Ok(sighting) => {
                        let rules = Rules {
                            period,
                            comparison,
                            profile: settings.profile,
                            horizon_looks: settings.horizon_looks,
                            fresh_looks: settings.fresh_looks,
                            ceiling,
                        };
                        counted.look(sli, &sighting, rules);
                        false
                    }
                },
            };
            if missed && sli.role == Role::Decides {
                useful = Usefulness::Gappy;
            }
        }
        useful
    }

    pub(crate) fn profile(&self) -> Profile {
        self.settings.profile
    }

    pub(crate) fn beta(&self) -> f64 {
        self.settings.beta
    }

    /// What the evidence says now. Reads only.
    pub fn verdict(&self) -> Verdict {
        let slis = self.sli_verdicts();
        let reasons = reasons::all(self, &slis);
        let answer = self.answer();
        let harm_progress = (self.evidence().ln() / (1.0 / self.settings.alpha).ln()).clamp(0.0, 1.0);
        let safety_progress = self.safety_progress();
        Verdict {
            answer,
            confidence: self.confidence(answer, harm_progress, safety_progress),
            health: 50.0 + 50.0 * safety_progress - 50.0 * harm_progress,
            reasons,
            slis,
            harm_progress,
            safety_progress,
            looks: self.step.as_ref().map_or(0, |step| step.looks),
            useful_looks: self.step.as_ref().map_or(0, |step| step.useful_looks),
            evidence: self.evidence(),
            alpha: self.settings.alpha,
        }
    }

    /// A fail by evidence comes before all; then a source that did not answer; a pass needs that nothing stands in its way.
    pub fn answer(&self) -> Answer {
        if self.has_failed() {
            Answer::Fail
        } else if self.is_unreachable() {
            Answer::Unreachable
        } else if !reasons::stand_in_the_way(self) {
            Answer::Pass
        } else {
            Answer::Insufficient
        }
    }

    fn confidence(&self, answer: Answer, harm_progress: f64, safety_progress: f64) -> f64 {
        match answer {
            Answer::Fail if self.a_check_has_failed() => 100.0,
            Answer::Fail => 100.0 * (1.0 - 1.0 / self.evidence()),
            Answer::Pass => {
                let least =
                    self.deciding().filter_map(|(sli, state)| self.ln_safety(sli, state)).fold(f64::INFINITY, f64::min);
                100.0 * (1.0 - (-least).exp())
            }
            Answer::Insufficient => 99.0 * harm_progress.max(safety_progress),
            Answer::Unreachable => 0.0,
        }
    }

    /// The harm evidence `E` of the whole change: the weighted mean over the counted SLIs.
    pub(crate) fn evidence(&self) -> f64 {
        let mut carrying = self.all().filter(|(sli, _)| sli.carries_harm()).peekable();
        if carrying.peek().is_none() {
            return 1.0;
        }
        carrying.map(|(sli, state)| self.settings.share(sli) * state.evidence(&sli.kind)).sum()
    }

    pub(crate) fn has_failed(&self) -> bool {
        let sure = self.suspected || self.settings.profile == Profile::Reference;
        (sure && self.evidence() >= 1.0 / self.settings.alpha) || self.a_check_has_failed()
    }

    /// Enough evidence to hold, be it enough to fail or not.
    pub(crate) fn is_suspicious(&self) -> bool {
        self.evidence() >= self.settings.alpha.powf(-0.5)
    }

    fn a_check_has_failed(&self) -> bool {
        self.checks().any(|(_, check)| matches!(check.state(), CheckState::Failed { .. }))
    }

    fn is_unreachable(&self) -> bool {
        self.deciding().any(|(_, state)| state.gaps().is_some_and(|gaps| gaps.in_newest(Gap::Unreachable)))
            || self.checks().any(|(_, check)| check.gaps().contains(Gap::Unreachable))
    }

    pub(crate) fn comparison(&self) -> Comparison {
        self.step.as_ref().map_or(Comparison::Concurrent, |step| step.settings.comparison)
    }

    pub(crate) fn ln_safety(&self, sli: &SliSettings, state: &SliState) -> Option<f64> {
        state.ln_safety(&sli.kind, sli.comparison(self.comparison()), self.settings.profile)
    }

    fn safety_progress(&self) -> f64 {
        let needed = (1.0 / self.settings.beta).ln();
        let measured = self.deciding().filter_map(|(sli, state)| self.ln_safety(sli, state)).map(|ln| ln / needed);
        let checks = self.checks().map(|(_, check)| f64::from(u8::from(check.state() == CheckState::Passed)));
        measured.chain(checks).fold(1.0, f64::min).max(0.0)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&SliSettings, &SliState)> {
        self.settings.slis.iter().zip(&self.slis)
    }

    /// Without those that may only hold.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = (&SliSettings, &SliState)> {
        self.all().filter(|(sli, _)| sli.role == Role::Decides)
    }

    /// Those that may only hold, and do: their own evidence has reached the bound.
    pub(crate) fn holding(&self) -> impl Iterator<Item = (&SliSettings, &SliState)> {
        let bound = 1.0 / self.settings.alpha;
        self.all().filter(move |(sli, state)| sli.role == Role::Holds && state.evidence(&sli.kind) >= bound)
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = (&SliSettings, &Check)> {
        self.settings.slis.iter().zip(&self.slis).filter_map(|(sli, state)| match state {
            SliState::Check(check) => Some((sli, check)),
            SliState::Counted(_) | SliState::Gauge(_) => None,
        })
    }

    fn sli_verdicts(&self) -> Vec<SliVerdict> {
        let implicated = self.implicated();
        let verdict = |(i, (sli, state)): (usize, (&SliSettings, &SliState))| match state {
            SliState::Counted(counted) => self.counted_verdict(sli, counted, implicated[i]),
            SliState::Gauge(gauge) => self.gauge_verdict(sli, gauge, implicated[i]),
            SliState::Check(check) => check_verdict(sli, check, implicated[i]),
        };
        self.settings.slis.iter().zip(&self.slis).enumerate().map(verdict).collect()
    }

    fn counted_verdict(&self, sli: &SliSettings, counted: &Counted, implicated: bool) -> SliVerdict {
        let comparison = sli.comparison(self.comparison());
        let leading = counted.leading(sli, comparison);
        let totals = counted.totals();
        let mut verdict = SliVerdict {
            name: sli.name.clone(),
            kind: if matches!(sli.kind, SliKind::Latency { .. }) { Kind::Latency } else { Kind::Ratio },
            effect: leading.effect.map(|effect| effect.ratio),
            approximate_interval: leading
                .effect
                .map(|effect| [effect.interval[0].max(proven(&sli.kind, implicated)), effect.interval[1]]),
            evidence: counted.evidence(&sli.kind),
            // a figure for people: beyond this it says nothing more
            safety: counted.ln_safety(&sli.kind, comparison, self.settings.profile).min(1e12f64.ln()).exp(),
            samples: Samples {
                baseline_total: totals.baseline,
                baseline_bad: leading.baseline_bad,
                canary_total: totals.canary,
                canary_bad: leading.canary_bad,
            },
            means: None,
            expected_bad: leading.expected,
            threshold_ms: leading.edge.map(|edge| edge.ms),
            noise: leading.phi,
            implicated,
            why: String::new(),
        };
        verdict.why = sentence::counted(&verdict, &sli.kind, comparison, leading.edge, self.settings.beta);
        verdict
    }

    fn gauge_verdict(&self, sli: &SliSettings, gauge: &Gauge, implicated: bool) -> SliVerdict {
        let effect = gauge.effect();
        let samples = u64::from(gauge.samples());
        let mut verdict = SliVerdict {
            name: sli.name.clone(),
            kind: Kind::Gauge,
            effect: effect.map(|effect| effect.ratio),
            approximate_interval: effect
                .map(|effect| [effect.interval[0].max(proven(&sli.kind, implicated)), effect.interval[1]]),
            evidence: gauge.evidence(),
            safety: gauge.ln_safety().min(1e12f64.ln()).exp(),
            samples: Samples { baseline_total: samples, baseline_bad: 0, canary_total: samples, canary_bad: 0 },
            means: gauge.means(),
            expected_bad: 0.0,
            threshold_ms: None,
            noise: gauge.noise(),
            implicated,
            why: String::new(),
        };
        verdict.why = sentence::gauge(&verdict, &sli.kind, sli.comparison(self.comparison()), self.settings.beta);
        verdict
    }

    /// e-BH at level alpha on the weighted evidence (Wang & Ramdas 2022), and the checks that failed.
    fn implicated(&self) -> Vec<bool> {
        let contribution = |(sli, state): (&SliSettings, &SliState)| match state {
            SliState::Check(_) => 0.0,
            state => self.settings.share(sli) * state.evidence(&sli.kind),
        };
        let weighted: Vec<f64> = self.settings.slis.iter().zip(&self.slis).map(contribution).collect();
        let mut ranked = weighted.clone();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let enough = |(rank, &e): (usize, &f64)| (e * (rank as f64 + 1.0) >= 1.0 / self.settings.alpha).then_some(e);
        let least = ranked.iter().enumerate().rev().find_map(enough).unwrap_or(f64::INFINITY);
        let is_implicated = |(e, state): (&f64, &SliState)| match state {
            SliState::Counted(_) | SliState::Gauge(_) => *e >= least,
            SliState::Check(check) => matches!(check.state(), CheckState::Failed { .. }),
        };
        weighted.iter().zip(&self.slis).map(is_implicated).collect()
    }
}

/// The reading of an SLI; an empty look is missing data, a look of another length is of another shape.
fn reading_of(look: &Look, i: usize, slis: usize) -> Result<&Reading, Gaps> {
    match look.readings.len() {
        0 => Err(Gaps::of([Gap::NoCanary, Gap::NoBaseline])),
        n if n != slis => Err(Gaps::of([Gap::Schema])),
        _ => look.readings.get(i).ok_or(Gaps::of([Gap::Schema])),
    }
}

/// The requests of baseline and canary, be they none, where both were counted.
fn requests_of(reading: &Reading) -> Option<[u64; 2]> {
    let Reading::Seen { baseline: Some(baseline), canary: Some(canary) } = reading else { return None };
    let requests = |counts: &Counts| match counts {
        Counts::Ratio { total, .. } => Some(*total),
        Counts::Latency { buckets } => Some(buckets.iter().fold(0, |sum: u64, n| sum.saturating_add(*n))),
        Counts::Gauge { .. } | Counts::Check { .. } => None,
    };
    Some([requests(baseline)?, requests(canary)?])
}

fn count_split(step: &mut Step, [baseline, canary]: [u64; 2]) {
    step.baseline_requests = step.baseline_requests.saturating_add(baseline);
    step.canary_requests = step.canary_requests.saturating_add(canary);
}

/// The least effect that the evidence proves. Where an SLI is implicated, its evidence has refuted "at most the harm margin" at the level of the whole
/// change, which is a firmer bound than the approximation: an interval that still held an equal canary would contradict the verdict beside it.
fn proven(kind: &SliKind, implicated: bool) -> f64 {
    match kind {
        SliKind::Ratio { harm_margin, .. } if implicated => *harm_margin,
        SliKind::Latency { .. } if implicated => 1.0,
        SliKind::Gauge { harm, .. } if implicated => 1.0 + harm,
        _ => 0.0,
    }
}

fn check_verdict(sli: &SliSettings, check: &Check, implicated: bool) -> SliVerdict {
    SliVerdict {
        name: sli.name.clone(),
        kind: Kind::Check,
        effect: None,
        approximate_interval: None,
        evidence: 1.0,
        safety: 1.0,
        samples: Samples {
            baseline_total: 0,
            baseline_bad: 0,
            canary_total: check.runs_in_step,
            canary_bad: check.failures_in_step,
        },
        means: None,
        expected_bad: 0.0,
        threshold_ms: None,
        noise: 1.0,
        implicated,
        why: sentence::check(&sli.name, check.state()),
    }
}
