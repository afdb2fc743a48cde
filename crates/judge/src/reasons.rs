//! Reasons: what stands between this step and a pass, and what would help.
//!
//! A step passes when this list holds notes only, so every condition of a pass is written here, once, and an `insufficient` can always say why.
//! Must never leave a condition unsaid: a silent one would look like consent. Next room: [`sentence`](crate::sentence).

use crate::check::CheckState;
use crate::counted::{Counted, has_objective};
use crate::dispersion::PHI_WITHOUT_HISTORY;
use crate::judge::{Judge, Step};
use crate::look::Gap;
use crate::sentence::{figure, grouped, percent, span};
use crate::settings::{Comparison, SliSettings};
use crate::split;
use crate::verdict::{Reason, ReasonCode, SliVerdict};

const NOISY_PHI: f64 = 5.0;
const NOISY_TAU: f64 = 0.2;

/// All reasons: of a fail those that failed it; else what is in the way, the gravest first, then notes.
pub(crate) fn all(judge: &Judge, slis: &[SliVerdict]) -> Vec<Reason> {
    if judge.has_failed() {
        return of_fail(judge, slis);
    }
    let Some(step) = &judge.step else {
        return vec![about_all(ReasonCode::NoStep, "no step has begun: nothing is looked at yet".to_owned())];
    };
    let mut reasons = Vec::new();
    for (sli, counted) in judge.counted() {
        reasons.extend(gaps(judge, step, sli, counted));
        reasons.extend(objective(judge, sli, counted));
        reasons.extend(requests(judge, sli, counted));
        reasons.extend(safety(judge, step, sli, counted));
        reasons.extend(noise(judge, sli, counted));
    }
    reasons.extend(checks(judge));
    reasons.extend(suspicion(judge));
    reasons.extend(traffic_split(step));
    reasons.extend(coverage(judge, step));
    reasons.extend(bake(judge, step));
    reasons.extend(calibration(judge));
    // stable: SLIs keep their order within a code
    reasons.sort_by_key(|reason| reason.code);
    reasons
}

fn about(code: ReasonCode, sli: &SliSettings, text: String) -> Reason {
    Reason { code, sli: Some(sli.name.clone()), text }
}

fn about_all(code: ReasonCode, text: String) -> Reason {
    Reason { code, sli: None, text }
}

fn of_fail(judge: &Judge, slis: &[SliVerdict]) -> Vec<Reason> {
    let named = judge.settings.slis.iter().zip(slis).filter(|(_, verdict)| verdict.implicated);
    let code = |sli: &SliSettings| match sli.kind {
        crate::settings::SliKind::Check => ReasonCode::CheckFailed,
        _ => ReasonCode::Harm,
    };
    let mut reasons: Vec<Reason> = named.map(|(sli, verdict)| about(code(sli), sli, verdict.why.clone())).collect();
    if reasons.is_empty() {
        // the mean may reach the bound without any one SLI standing out
        let text = format!(
            "evidence {} : 1 over all SLIs together, {} : 1 needed; none stands out alone",
            figure(judge.evidence()),
            figure(1.0 / judge.settings.alpha)
        );
        reasons.push(about_all(ReasonCode::Harm, text));
    }
    reasons.sort_by_key(|reason| reason.code);
    reasons
}

/// A gap in the newest look, or in more than half of the fresh window.
fn gaps(judge: &Judge, step: &Step, sli: &SliSettings, counted: &Counted) -> Vec<Reason> {
    let window = step.window(judge.settings.fresh_looks);
    let name = &sli.name;
    let stands = |gap: &Gap| {
        let newest = counted.gaps().in_newest(*gap);
        // a source that answers again is no longer unreachable; what it missed shows in the coverage
        newest || (*gap != Gap::Unreachable && 2 * counted.gaps().among(*gap, window) > window)
    };
    let reason = |gap: Gap| {
        let of = format!("{} of the last {window} looks", counted.gaps().among(gap, window));
        let (code, text) = match gap {
            Gap::NoCanary => (
                ReasonCode::NoCanaryData,
                format!(
                    "`{name}`: no data of the canary in {of}; check that its telemetry is scraped and labelled as the canary"
                ),
            ),
            Gap::NoBaseline => (
                ReasonCode::NoBaselineData,
                format!(
                    "`{name}`: no data of the baseline in {of}; check its telemetry, or compare this step with an objective"
                ),
            ),
            Gap::IdleCanary => (
                ReasonCode::NoTraffic,
                format!("`{name}`: the canary had no requests in {of}; route traffic to it, or raise its share"),
            ),
            Gap::IdleBaseline => (
                ReasonCode::NoBaselineData,
                format!(
                    "`{name}`: the baseline had no requests in {of}; leave it a share, or compare this step with an objective"
                ),
            ),
            Gap::Invalid => (
                ReasonCode::InvalidCounts,
                format!(
                    "`{name}`: counts contradict themselves in {of} (more bad requests than requests, or an overflow); check the queries"
                ),
            ),
            Gap::Schema => (
                ReasonCode::SchemaChange,
                format!(
                    "`{name}`: counts of another kind or other buckets in {of}; both cohorts must report as the settings say"
                ),
            ),
            Gap::Unreachable => (ReasonCode::Unreachable, unreachable(judge, name)),
        };
        about(code, sli, text)
    };
    Gap::ALL.into_iter().filter(stands).map(reason).collect()
}

fn unreachable(judge: &Judge, name: &str) -> String {
    let trouble = judge.trouble.as_deref().unwrap_or("no answer");
    format!("`{name}`: the source did not answer in the newest look: {trouble}; looking goes on by itself")
}

fn objective(judge: &Judge, sli: &SliSettings, counted: &Counted) -> Option<Reason> {
    match (judge.comparison(), sli.budget()) {
        (Comparison::Objective, _) if !has_objective(sli) => Some(about(
            ReasonCode::NoObjective,
            sli,
            format!("`{}` has no objective to compare with; give it one (for latency also the edge it speaks of)", sli.name),
        )),
        (Comparison::Concurrent, Some(budget)) => counted.unhealthy_baseline(budget).map(|share| {
            let text = format!(
                "`{}`: {} % of the baseline's recent requests are bad, its objective allows {} %: an incident is going on; wait for it to end",
                sli.name,
                percent(share),
                percent(budget)
            );
            about(ReasonCode::BaselineUnhealthy, sli, text)
        }),
        _ => None,
    }
}

fn requests(judge: &Judge, sli: &SliSettings, counted: &Counted) -> Option<Reason> {
    let (seen, needed) = (counted.totals().canary, judge.settings.min_requests);
    (seen < needed).then(|| {
        let text = format!(
            "`{}`: {} of at least {} canary requests judged in this step",
            sli.name,
            grouped(seen),
            grouped(needed)
        );
        about(ReasonCode::TooFewRequests, sli, text)
    })
}

/// Safety that is not shown yet; and, if the growth so far says so, that it won't be within the planned looks.
fn safety(judge: &Judge, step: &Step, sli: &SliSettings, counted: &Counted) -> Vec<Reason> {
    let needed = (1.0 / judge.settings.beta).ln();
    let ln_safety = judge.ln_safety(sli, counted);
    if ln_safety >= needed {
        return Vec::new();
    }
    let missing =
        format!("`{}`: safety {} : 1 of {} : 1 needed", sli.name, figure(ln_safety.exp()), figure(needed.exp()));
    let outlook = Outlook::of(judge, step, counted, needed - ln_safety, ln_safety);
    let mut reasons = vec![about(ReasonCode::SafetyNotShown, sli, format!("{missing}; {}", outlook.help()))];
    let baked = step.looks >= step.settings.bake_looks.max(1);
    if baked && outlook.ends_too_late() && counted.totals().canary > 0 {
        let left = span(outlook.left_ms());
        let text = format!(
            "`{}`: the planned looks end in {left}, before safety can be shown; raise the share, or plan more time",
            sli.name
        );
        reasons.push(about(ReasonCode::LowTraffic, sli, text));
    }
    reasons
}

/// When safety will be shown, if its evidence grows on as it did in this step.
struct Outlook {
    /// Looks and canary requests still needed; `None` while the evidence doesn't grow.
    needed: Option<(f64, f64)>,
    left_looks: u32,
    look_interval_ms: u64,
}

impl Outlook {
    fn of(judge: &Judge, step: &Step, counted: &Counted, missing: f64, shown: f64) -> Self {
        let useful = f64::from(step.useful_looks.max(1));
        let needed = (shown > 0.0).then(|| {
            let looks = (missing / shown * useful).ceil();
            (looks, counted.totals().canary as f64 / useful * looks)
        });
        let left_looks = judge.settings.horizon_looks.saturating_sub(judge.looks);
        Outlook { needed, left_looks, look_interval_ms: judge.settings.look_interval_ms }
    }

    fn ends_too_late(&self) -> bool {
        self.needed.is_none_or(|(looks, _)| looks > f64::from(self.left_looks))
    }

    fn left_ms(&self) -> u64 {
        u64::from(self.left_looks).saturating_mul(self.look_interval_ms)
    }

    fn help(&self) -> String {
        match self.needed {
            Some((looks, requests)) => {
                let time = span((looks * self.look_interval_ms as f64) as u64);
                format!("about {} more canary requests, {time} at the present growth", grouped(requests as u64))
            }
            None => "it does not grow yet; more traffic or a larger share would help".to_owned(),
        }
    }
}

fn noise(judge: &Judge, sli: &SliSettings, counted: &Counted) -> Option<Reason> {
    let leading = counted.leading(sli, judge.comparison());
    (leading.phi > NOISY_PHI || leading.tau > NOISY_TAU).then(|| {
        let effective = (counted.totals().canary as f64 / leading.phi) as u64;
        let text = format!(
            "`{}`: counts vary {} times as much as chance alone, drift {}: {} canary requests are worth {}",
            sli.name,
            figure(leading.phi),
            figure(leading.tau),
            grouped(counted.totals().canary),
            grouped(effective)
        );
        about(ReasonCode::Noisy, sli, text)
    })
}

fn checks(judge: &Judge) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (sli, check) in judge.checks() {
        let name = &sli.name;
        if check.gaps().contains(Gap::Unreachable) {
            reasons.push(about(ReasonCode::Unreachable, sli, unreachable(judge, name)));
        }
        if check.gaps().contains(Gap::Schema) {
            reasons.push(about(
                ReasonCode::SchemaChange,
                sli,
                format!("`{name}` is a check, but counts arrived for it"),
            ));
        }
        match check.state() {
            CheckState::Passed => (),
            CheckState::NotRun => {
                reasons.push(about(
                    ReasonCode::CheckNotRun,
                    sli,
                    format!("`{name}` has not run in this step; run it once at least"),
                ));
            }
            CheckState::Failing { .. } | CheckState::Failed { .. } => reasons.push(about(
                ReasonCode::CheckFailing,
                sli,
                format!("{} It must pass before the step can.", crate::sentence::check(name, check.state())),
            )),
        }
    }
    reasons
}

fn suspicion(judge: &Judge) -> Option<Reason> {
    let (evidence, alpha) = (judge.evidence(), judge.settings.alpha);
    (evidence >= alpha.powf(-0.5)).then(|| {
        let text = format!(
            "evidence of harm {} : 1, {} : 1 would fail the change: hold, keep looking, don't advance",
            figure(evidence),
            figure(1.0 / alpha)
        );
        about_all(ReasonCode::Suspicious, text)
    })
}

fn traffic_split(step: &Step) -> Option<Reason> {
    let share = step.settings.expected_share.filter(|_| step.settings.comparison == Comparison::Concurrent)?;
    let (baseline, canary) = (step.baseline_requests, step.canary_requests);
    split::mismatches(baseline, canary, share).then(|| {
        let text = format!(
            "the canary got {} of {} requests, {} % were asked for: the router does something else than the plan; check its weights",
            grouped(canary),
            grouped(baseline.saturating_add(canary)),
            percent(share)
        );
        about_all(ReasonCode::SplitMismatch, text)
    })
}

/// The step's looks, the fresh window's looks, and the newest look must have carried data of every counted SLI.
fn coverage(judge: &Judge, step: &Step) -> Option<Reason> {
    let window = step.window(judge.settings.fresh_looks);
    let (useful, fresh) = (step.useful_looks, step.useful_among(window));
    let covered = f64::from(useful) >= judge.settings.coverage * f64::from(step.looks);
    if covered && 2 * fresh >= window && step.newest_is_useful() {
        return None;
    }
    let text = format!(
        "{useful} of {} looks carried data of every SLI, {fresh} of the last {window}: {} % of all, half of the last ones and the newest are needed",
        step.looks,
        percent(judge.settings.coverage)
    );
    Some(about_all(ReasonCode::LowCoverage, text))
}

fn bake(judge: &Judge, step: &Step) -> Option<Reason> {
    let least = step.settings.bake_looks.max(1);
    (step.looks < least).then(|| {
        let left = u64::from(least - step.looks);
        let text = format!(
            "{} of {least} looks of the bake are over, {} to go",
            step.looks,
            span(left.saturating_mul(judge.settings.look_interval_ms))
        );
        about_all(ReasonCode::BakeNotOver, text)
    })
}

fn calibration(judge: &Judge) -> Option<Reason> {
    judge.counted().next().map(|_| {
        let text = format!(
            "no history to learn the noise from: counts are taken to vary {PHI_WITHOUT_HISTORY} times as much as chance until the looks say otherwise"
        );
        about_all(ReasonCode::NoCalibration, text)
    })
}
