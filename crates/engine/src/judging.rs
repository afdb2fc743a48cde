//! Judging: the judge of one rollout, fed look by look, and folded again from the kept looks after a crash.
//!
//! State is a fold over evidence: each look is stored in one transaction with what the log says of it, so that a crash loses none, and the same looks
//! give the same verdict. The statistics are the judge's; what follows from an answer is the core's.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::rollout::Rollout;
use change::verification::{Answer, EvidenceTaken, Judgement, Reason, Sample, SliJudgement, chain};
use change::{Change, Command, Digest, Span, Timestamp, actor::Part};
use judge::{Counts, Judge, Look, Reading, ScanBlock, Settings, StepSettings, Verdict};
use serde_json::{Value, json};

use crate::act::Done;
use crate::checks::{Run, Runs, Words};
use crate::commit::Attempt;
use crate::handle::Engine;
use crate::look::{self, Counters, Seen, Taken};
use crate::ports::{Act, LookRow, StoreError};
use crate::reconcile::Round;
use crate::scanning::{self, Scanned, Scanning};
use crate::slis;

/// The judge of one rollout, and what it needs for the next look.
pub(crate) struct Judging {
    judge: Judge,
    scanning: Scanning,
    /// The step and attempt that the judge is at.
    at: Option<(usize, u32)>,
    /// The edges of the histograms that have shown them, by SLI.
    edges: BTreeMap<String, Vec<f64>>,
    /// For each SLI of the judge, the name under which it is seen.
    reads: Vec<String>,
    /// The number of the newest look of the change.
    number: u64,
    last: Option<Timestamp>,
    /// The time of the newest sample that was read, where the sources tell.
    sampled_at: Option<Timestamp>,
    counters: Counters,
    checks: Runs,
    words: Words,
    digest: Option<Digest>,
    looks: u32,
}

impl Judging {
    /// Folds the kept looks of a change, with settings that are adjusted. `now` is a reading that is not a look yet: it may be the first to show the edges of a histogram.
    fn fold(change: &Change, rows: &[LookRow], now: &[Seen]) -> Result<Self, String> {
        let mut judging = Self::new(change, rows, now, |settings| settings)?;
        for row in rows {
            judging.take_up(change, row)?;
        }
        Ok(judging)
    }

    /// The same before the first look.
    pub(crate) fn new(
        change: &Change,
        rows: &[LookRow],
        now: &[Seen],
        adjust: impl FnOnce(Settings) -> Settings,
    ) -> Result<Self, String> {
        let seen: Vec<Vec<Seen>> = rows.iter().map(seen_in).collect::<Result<_, _>>()?;
        let mut edges: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, shown) in seen.iter().flatten().chain(now).filter_map(|s| s.edges_ms.as_ref().map(|e| (&s.sli, e))) {
            edges.entry(name.clone()).or_insert_with(|| shown.clone());
        }
        let judged = slis::judged(&change.proposal, &edges);
        let settings = adjust(slis::settings(&change.proposal, judged.slis));
        let scanning = Scanning::new(settings.horizon_looks);
        let judge = Judge::new(settings).map_err(|e| e.to_string())?;
        Ok(Self {
            judge,
            scanning,
            at: None,
            edges,
            reads: judged.reads,
            number: 0,
            last: None,
            sampled_at: None,
            counters: Counters::new(),
            checks: Runs::new(),
            words: Words::of(&change.proposal.verify.checks),
            digest: None,
            looks: 0,
        })
    }

    /// Takes a kept look in.
    pub(crate) fn take_up(&mut self, change: &Change, row: &LookRow) -> Result<Verdict, String> {
        self.begin(change, row.step, row.attempt)?;
        let seen = seen_in(row)?;
        let verdict = self.add(&seen, row.at, row.number);
        self.checks.remember((row.step, row.attempt), &seen, &change.proposal.verify.checks, row.at);
        self.counters = serde_json::from_value(row.counters.clone()).unwrap_or_default();
        if let Some(block) = row.verdict.get(BLOCK).and_then(|block| serde_json::from_value(block.clone()).ok()) {
            self.scanning.take(&block);
            self.commit_to(&block);
        }
        Ok(verdict)
    }

    /// A reading as the judge can use it: buckets with other edges than it was made with are no buckets, which it reports.
    fn readable(&self, seen: &Seen) -> Reading {
        let known = self.edges.get(&seen.sli);
        match &seen.reading {
            Reading::Seen { baseline, canary } if seen.edges_ms.as_ref().is_some_and(|edges| Some(edges) != known) => {
                let none = |counts: &Option<Counts>| counts.as_ref().map(|_| Counts::Latency { buckets: vec![] });
                Reading::Seen { baseline: none(baseline), canary: none(canary) }
            }
            reading => reading.clone(),
        }
    }

    /// Whether a reading shows edges that the judge was made without: it has to be made anew then.
    fn learns_from(&self, seen: &[Seen]) -> bool {
        seen.iter().any(|s| s.edges_ms.is_some() && !self.edges.contains_key(&s.sli))
    }

    fn is_unprimed(&self) -> bool {
        self.number == 0 && self.counters.is_empty()
    }

    pub(crate) fn begin(&mut self, change: &Change, step: usize, attempt: u32) -> Result<(), String> {
        if self.at == Some((step, attempt)) {
            return Ok(());
        }
        let every = change.proposal.verify.every;
        let settings = match change.proposal.plan.steps.get(step) {
            Some(s) => {
                let concurrent = s.comparison == change::verification::Comparison::Concurrent;
                StepSettings {
                    comparison: slis::comparison(s.comparison),
                    bake_looks: s.bake.looks(every),
                    expected_share: concurrent.then(|| s.weight.share()),
                }
            }
            None => StepSettings {
                comparison: slis::comparison(change.proposal.verify.watch_against),
                bake_looks: change.proposal.verify.watch.looks(every),
                expected_share: None,
            },
        };
        self.judge.begin_step(settings).map_err(|e| e.to_string())?;
        self.scanning.begin_step();
        (self.at, self.digest, self.looks) = (Some((step, attempt)), None, 0);
        Ok(())
    }

    fn add(&mut self, seen: &[Seen], at: Timestamp, number: u64) -> Verdict {
        let nothing = || Reading::Seen { baseline: None, canary: None };
        let reading = |name: &String| seen.iter().find(|s| s.sli == *name).map_or_else(nothing, |s| self.readable(s));
        let readings = self.reads.iter().map(reading).collect();
        let mut verdict = self.judge.look(&Look { readings });
        self.words.learn(seen);
        self.words.explain(&mut verdict);
        (self.number, self.last, self.looks) = (number, Some(at), self.looks + 1);
        self.digest = Some(chain(self.digest, &serde_json::to_value(seen).unwrap_or_default()));
        verdict
    }

    /// The digest covers what the scan rests on too: after the look that it stands with.
    fn commit_to(&mut self, block: &ScanBlock) {
        self.digest = Some(chain(self.digest, &serde_json::to_value(block).unwrap_or_default()));
    }
}

/// A step that is looked at for hours, as one that is paused, is looked at less and less often: what is kept of it stays bounded.
fn spaced(every: Span, looks: u32) -> Span {
    every.times(1 << (looks / MOST_LOOKS_AT_FULL_PACE).min(20))
}

/// How long it is until the next look. A clock that was set back behind the last one must not stop the looks until it has caught up: nobody would see
/// what the new version does in the meantime.
fn until_next(last: Option<Timestamp>, every: Span, now: Timestamp) -> Span {
    let last = last.filter(|last| *last <= now);
    last.map_or(Span::ZERO, |last| change::time::between(now, change::time::after(last, every)))
}

/// Five hours and a half of looks every ten seconds.
const MOST_LOOKS_AT_FULL_PACE: u32 = 2_000;

/// Where a block of the scan stands in what is kept of a verdict.
const BLOCK: &str = "scan";

fn seen_in(row: &LookRow) -> Result<Vec<Seen>, String> {
    serde_json::from_value(row.readings.clone()).map_err(|e| e.to_string())
}

impl Engine {
    /// Takes a look if it is time for one, keeps it, and tells the core what the judge says.
    pub(crate) async fn look(
        self: &Arc<Self>,
        change: &Change,
        step: usize,
        attempt: u32,
        every: Span,
        round: &mut Round,
    ) -> Result<Done, StoreError> {
        let Some(rollout) = change.rollout().filter(|_| Self::is_verifying(change, step, attempt)) else {
            return Ok(Done::Again(Span::millis(50)));
        };
        if let Some(done) = self.superseded(change, rollout).await? {
            return Ok(done);
        }
        let mut judging = match round.judging.take() {
            Some(judging) => judging,
            None => match self.fold_looks(change, &[]).await? {
                Ok(judging) => judging,
                Err(why) => return self.without_judge(change, step, attempt, every, &why).await,
            },
        };
        let every = spaced(every, judging.looks);
        let now = change::time::to_millis(self.clock.now());
        let wait = until_next(judging.last, every, now);
        if wait > Span::ZERO {
            round.judging = Some(judging);
            return Ok(Done::Again(wait));
        }
        let Some(Taken { mut seen, counters, sampled_at }) = self.see(change, step, attempt, now, &mut judging).await
        else {
            let why = format!("this server has no driver `{}`", change.proposal.plan.target.driver);
            return self.without_judge(change, step, attempt, every, &why).await;
        };
        if sampled_at.is_some() && sampled_at == judging.sampled_at {
            // The source has taken no sample since: looking more often than it does shows nothing, and is neither a look nor a gap.
            judging.last = Some(now);
            round.judging = Some(judging);
            return Ok(Done::Again(every));
        }
        judging.sampled_at = sampled_at;
        if judging.learns_from(&seen) {
            match self.fold_looks(change, &seen).await? {
                Ok(anew) => {
                    let Judging { counters, last, checks, scanning, .. } = judging;
                    judging = Judging { counters, last, sampled_at, checks, scanning, ..anew };
                }
                Err(why) => return self.without_judge(change, step, attempt, every, &why).await,
            }
        }
        if judging.is_unprimed() && counters.values().any(|series| !series.is_empty()) {
            // Counters that were never read have no increments: this reading is what the first look subtracts from, and no look itself.
            (judging.counters, judging.last) = (counters, Some(now));
            round.judging = Some(judging);
            return Ok(Done::Again(every));
        }
        if let Err(why) = judging.begin(change, step, attempt) {
            return self.without_judge(change, step, attempt, every, &why).await;
        }
        seen.extend(judging.checks.take(&change.proposal.verify.checks));
        let number = judging.number + 1;
        let judgement = judgement(&judging.add(&seen, now, number), step, attempt, now);
        judging.counters = counters;
        let Scanned { findings, notes, block } = self.scan(change, &judgement, &mut judging, &seen).await;
        let judgement = judgement.with_scan(findings, notes, change.proposal.verify.scan);
        let row = LookRow {
            change: change.id,
            number,
            step,
            attempt,
            at: now,
            readings: serde_json::to_value(&seen).unwrap_or_default(),
            counters: serde_json::to_value(&judging.counters).unwrap_or_default(),
            verdict: summary(&judgement, block.as_ref()),
        };
        self.keep(change, every, round, judging, judgement, row).await
    }

    /// Reads all series of both versions beside a look, and compares them. Nothing where the change has failed already: that has no time to lose.
    async fn scan(&self, change: &Change, judged: &Judgement, judging: &mut Judging, seen: &[Seen]) -> Scanned {
        let target = &change.proposal.plan.target;
        let driver = self.drivers.get(&target.driver);
        let Some(driver) =
            driver.filter(|_| judged.answer != Answer::Fail && scanning::is_scanned(change, judged.step))
        else {
            return Scanned::default();
        };
        let found = scanning::read(change, &driver.cohorts(target), &*self.eyes, judged.at).await;
        let share = change.proposal.plan.steps.get(judged.step).map_or(1.0, |step| step.weight.share());
        let scanned = judging.scanning.look(judging.number, scanning::traffic(seen, share), found);
        if let Some(block) = &scanned.block {
            judging.commit_to(block);
        }
        scanned
    }

    /// The judge of a change, folded from its kept looks, or why it can't be set up.
    async fn fold_looks(&self, change: &Change, now: &[Seen]) -> Result<Result<Judging, String>, StoreError> {
        Ok(Judging::fold(change, &self.store.looks(change.id, 1).await?, now))
    }

    /// A step that nothing can judge: it is insufficient, with the reason, so that its deadline comes and the plan's choice with it.
    async fn without_judge(
        self: &Arc<Self>,
        change: &Change,
        step: usize,
        attempt: u32,
        every: Span,
        why: &str,
    ) -> Result<Done, StoreError> {
        let why = format!("this step can't be judged: {}", shortened(why));
        let judgement = Judgement {
            answer: Answer::Insufficient,
            step,
            attempt,
            reasons: vec![Reason { code: "no_judge".into(), sli: None, text: why.clone() }],
            why,
            slis: vec![],
            looks: 0,
            evidence: 1.0,
            harm: 0.0,
            safety: 0.0,
            findings: vec![],
            at: change::time::to_millis(self.clock.now()),
        };
        let evidence = EvidenceTaken { step, attempt, looks: 0, digest: chain(None, &Value::Null) };
        let command = Command::Judge { judgement: Box::new(judgement), evidence };
        match self.report(change, command, Attempt::by(&change::Actor::Clearway(Part::Judge))).await? {
            Done::Moved => Ok(Done::Moved),
            Done::Unmoved | Done::Again(_) => Ok(Done::Again(every)),
        }
    }

    /// Reads all SLIs of a change now, and runs the checks that are due; nothing if its driver is gone from this server.
    async fn see(
        &self,
        change: &Change,
        step: usize,
        attempt: u32,
        now: Timestamp,
        judging: &mut Judging,
    ) -> Option<Taken> {
        let target = &change.proposal.plan.target;
        let cohorts = self.drivers.get(&target.driver)?.cohorts(target);
        let act =
            Act { change: change.id, step: (step + 1).to_string(), attempt, files: change.proposal.files.clone() };
        let round = Run { proposal: &change.proposal, cohorts: &cohorts, act: &act, eyes: &self.eyes };
        let runs = judging.checks.run(&round, (step, attempt), now);
        let comparison = match change.proposal.plan.steps.get(step) {
            Some(step) => step.comparison,
            None => change.proposal.verify.watch_against,
        };
        let place = look::Place { proposal: &change.proposal, cohorts: &cohorts, comparison, now };
        let taken = look::take(place, &*self.eyes, &act, &judging.counters);
        let (taken, ()) = futures::future::join(taken, runs).await;
        Some(taken)
    }

    /// Keeps a look, and tells the core what the judge says of it, in one append.
    async fn keep(
        self: &Arc<Self>,
        change: &Change,
        every: Span,
        round: &mut Round,
        judging: Judging,
        judgement: Judgement,
        row: LookRow,
    ) -> Result<Done, StoreError> {
        let digest = judging.digest.unwrap_or_else(|| chain(None, &Value::Null));
        let evidence = EvidenceTaken { step: row.step, attempt: row.attempt, looks: judging.looks, digest };
        let command = Command::Judge { judgement: Box::new(judgement), evidence };
        let kept = Attempt { looks: vec![row], ..Attempt::by(&change::Actor::Clearway(Part::Judge)) };
        match self.clone().command(change.id, command, kept).await {
            Ok(after) => {
                round.judging = Some(judging);
                Ok(if after.version > change.version { Done::Moved } else { Done::Again(every) })
            }
            Err(crate::handle::CommandError::Store(error)) => Err(error),
            // The change has moved on, and the look was not kept: the judge is folded anew, without it.
            Err(_) => Ok(Done::Again(Span::millis(50))),
        }
    }

    /// During the watch, a later change may have taken a lane of this one.
    async fn superseded(self: &Arc<Self>, change: &Change, rollout: &Rollout) -> Result<Option<Done>, StoreError> {
        if rollout.step < change.proposal.plan.steps.len() || rollout.superseded_by.is_some() {
            return Ok(None);
        }
        let given = self.given(change, &change::Actor::Clearway(Part::Rollout)).await?;
        let taken = given.lanes.iter().find(|lane| lane.is_held_by_another(change.id)).and_then(|lane| lane.holder);
        match taken {
            None => Ok(None),
            Some(by) => {
                let attempt = Attempt::by(&change::Actor::Clearway(Part::Rollout));
                self.report(change, Command::SupersedeWatch { by }, attempt).await.map(Some)
            }
        }
    }
}

/// What the log says of a verdict. Figures are rounded to six digits: the evidence itself is kept beside the log.
fn judgement(verdict: &Verdict, step: usize, attempt: u32, at: Timestamp) -> Judgement {
    let code = |reason: &judge::Reason| {
        serde_json::to_value(reason.code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let reason = |r: &judge::Reason| Reason { code: code(r), sli: r.sli.clone(), text: shortened(&r.text) };
    let reasons = verdict.reasons.iter().take(MOST_REASONS).map(reason).collect();
    Judgement {
        answer: answer(verdict.answer),
        step,
        attempt,
        why: shortened(&why(verdict)),
        reasons,
        slis: verdict.slis.iter().map(sli).collect(),
        looks: verdict.looks,
        evidence: rounded(verdict.evidence),
        harm: rounded(verdict.harm_progress),
        safety: rounded(verdict.safety_progress),
        findings: vec![],
        at,
    }
}

fn sli(verdict: &judge::SliVerdict) -> SliJudgement {
    let samples = &verdict.samples;
    SliJudgement {
        name: verdict.name.clone(),
        effect: verdict.effect.map(rounded),
        interval: verdict.approximate_interval.map(|i| i.map(rounded)),
        evidence: rounded(verdict.evidence),
        safety: rounded(verdict.safety),
        canary: Sample { total: samples.canary_total, bad: samples.canary_bad },
        baseline: Sample { total: samples.baseline_total, bad: samples.baseline_bad },
        implicated: verdict.implicated,
        why: shortened(&verdict.why),
    }
}

pub(crate) fn answer(of: judge::Answer) -> Answer {
    match of {
        judge::Answer::Pass => Answer::Pass,
        judge::Answer::Fail => Answer::Fail,
        judge::Answer::Insufficient => Answer::Insufficient,
        judge::Answer::Unreachable => Answer::Unreachable,
    }
}

/// The reason in words: of a failure the SLIs that are implicated, of a pass what each SLI showed, else what is missing first.
pub(crate) fn why(verdict: &Verdict) -> String {
    let whys = |implicated: bool| {
        let slis = verdict.slis.iter().filter(|s| s.implicated == implicated);
        slis.map(|s| s.why.as_str()).collect::<Vec<_>>().join(" ")
    };
    let first = verdict.reasons.iter().find(|r| !r.code.is_note()).map(|r| r.text.clone());
    match verdict.answer {
        judge::Answer::Fail if verdict.slis.iter().any(|s| s.implicated) => whys(true),
        judge::Answer::Pass => whys(false),
        _ => first.unwrap_or_else(|| "no reason was given".into()),
    }
}

/// The most reasons and the longest sentences of a verdict: with the most SLIs that a change can have, it stays below the largest entry of the log.
const MOST_REASONS: usize = 20;
const LONGEST_SENTENCE: usize = 350;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SENTENCE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Six significant digits; what is not finite becomes the largest figure that JSON holds safely.
pub(crate) fn rounded(value: f64) -> f64 {
    let clamped = if value.is_nan() { 0.0 } else { value.clamp(-1e300, 1e300) };
    format!("{clamped:.5e}").parse().unwrap_or(clamped)
}

/// The part of a judgement that is kept with each look, for charts, and the block of the scan that the look closed.
fn summary(judgement: &Judgement, block: Option<&ScanBlock>) -> Value {
    let slis: Vec<Value> = judgement
        .slis
        .iter()
        .map(|s| json!({"name": s.name, "effect": s.effect, "interval": s.interval, "evidence": s.evidence, "safety": s.safety}))
        .collect();
    let mut kept = json!({"answer": judgement.answer, "evidence": judgement.evidence, "harm": judgement.harm, "safety": judgement.safety, "slis": slis});
    if !judgement.findings.is_empty() {
        kept["findings"] = json!(judgement.findings);
    }
    if let Some(block) = block {
        kept[BLOCK] = json!(block);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use judge::{SliKind, SliSettings};

    // F9
    #[test]
    fn a_clock_that_is_set_back_stops_no_look() {
        let at = |secs: i64| Timestamp::from_second(10_000 + secs).expect("an instant");
        let (every, none) = (Span::secs(10), Span::ZERO);
        assert_eq!(until_next(None, every, at(0)), none);
        assert_eq!(until_next(Some(at(0)), every, at(4)), Span::secs(6));
        assert_eq!(until_next(Some(at(0)), every, at(10)), none);
        assert_eq!(
            until_next(Some(at(0)), every, at(-3_600)),
            none,
            "it is looked at once, and then by the clock of now"
        );
    }

    #[test]
    fn figures_are_rounded_and_always_finite() {
        assert_eq!(rounded(1.234_567_89), 1.234_57);
        assert_eq!(rounded(f64::INFINITY), 1e300);
        assert_eq!(rounded(f64::NAN), 0.0);
        assert_eq!(rounded(0.0), 0.0);
    }

    #[test]
    fn a_verdict_without_data_is_insufficient_in_the_log_too() {
        let settings = Settings::new(vec![SliSettings::new("errors", SliKind::ratio())], 1_000, 10);
        let mut judge = Judge::new(settings).expect("settings that make sense");
        judge
            .begin_step(StepSettings {
                comparison: judge::Comparison::Concurrent,
                bake_looks: 1,
                expected_share: Some(0.5),
            })
            .expect("a step");
        let verdict = judge.look(&Look { readings: vec![judge::Reading::Seen { baseline: None, canary: None }] });
        let judgement = judgement(&verdict, 0, 1, Timestamp::UNIX_EPOCH);
        assert_eq!(judgement.answer, Answer::Insufficient);
        assert!(!judgement.why.is_empty());
    }
}
