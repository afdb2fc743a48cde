//! Reasons: what stands between this step and a pass, and what would help.
//!
//! A step passes when this list holds notes only, so every condition of a pass is written here, once, and an `insufficient` can always say why.
//! Must never leave a condition unsaid: a silent one would look like consent. Next room: [`sentence`](crate::sentence).

use crate::check::CheckState;
use crate::counted::{Counted, GapWindow, has_objective};
use crate::dispersion::PHI_WITHOUT_HISTORY;
use crate::judge::{Judge, SliState, Step};
use crate::look::Gap;
use crate::sentence::{figure, percent};
use crate::settings::{Comparison, Role, SliKind, SliSettings};
use crate::split;
use crate::verdict::{Reason, ReasonCode, SliVerdict};
use crate::words::{grouped, span};

const NOISY_PHI: f64 = 5.0;
const NOISY_TAU: f64 = 0.2;

/// Whoever wants to hear what is to be said: the sentences, or only whether anything stands in the way. A sentence is made only if it is wanted.
trait Ear {
    fn hear(&mut self, code: ReasonCode, sli: Option<&SliSettings>, text: impl FnOnce() -> String);
}

impl Ear for Vec<Reason> {
    fn hear(&mut self, code: ReasonCode, sli: Option<&SliSettings>, text: impl FnOnce() -> String) {
        self.push(Reason { code, sli: sli.map(|sli| sli.name.clone()), text: text() });
    }
}

/// Hears whether something stands in the way of a pass.
#[derive(Default)]
struct Obstacle(bool);

impl Ear for Obstacle {
    fn hear(&mut self, code: ReasonCode, _: Option<&SliSettings>, _: impl FnOnce() -> String) {
        self.0 |= !code.is_note();
    }
}

/// All reasons: of a fail those that failed it; else what is in the way, the gravest first, then notes.
pub(crate) fn all(judge: &Judge, slis: &[SliVerdict]) -> Vec<Reason> {
    if judge.has_failed() {
        return of_fail(judge, slis);
    }
    let mut reasons = Vec::new();
    tell(judge, &mut reasons);
    // stable: SLIs keep their order within a code
    reasons.sort_by_key(|reason| reason.code);
    reasons
}

/// Whether this step can't pass.
pub(crate) fn stand_in_the_way(judge: &Judge) -> bool {
    let mut obstacle = Obstacle::default();
    tell(judge, &mut obstacle);
    obstacle.0
}

/// Every condition of a pass that isn't met, and every note.
fn tell(judge: &Judge, ear: &mut impl Ear) {
    let Some(step) = &judge.step else {
        return ear.hear(ReasonCode::NoStep, None, || "no step has begun: nothing is looked at yet".to_owned());
    };
    for (sli, state) in judge.deciding() {
        if let Some(window) = state.gaps() {
            gaps(judge, step, sli, window, ear);
            objective(judge, sli, state, ear);
            safety(judge, step, sli, state, ear);
        }
        if let SliState::Counted(counted) = state {
            requests(judge, sli, counted, ear);
            noise(judge, sli, counted, ear);
        }
    }
    checks(judge, ear);
    suspicion(judge, ear);
    traffic_split(step, ear);
    downstream(judge, step, ear);
    coverage(judge, step, ear);
    bake(judge, step, ear);
    calibration(judge, ear);
    exactness(judge, ear);
}

fn of_fail(judge: &Judge, slis: &[SliVerdict]) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for (sli, verdict) in judge.settings.slis.iter().zip(slis).filter(|(_, verdict)| verdict.implicated) {
        let code = if matches!(sli.kind, SliKind::Check) { ReasonCode::CheckFailed } else { ReasonCode::Harm };
        reasons.hear(code, Some(sli), || verdict.why.clone());
    }
    if reasons.is_empty() {
        // the mean may reach the bound without any one SLI standing out
        reasons.hear(ReasonCode::Harm, None, || {
            format!(
                "evidence {} : 1 over all SLIs together, {} : 1 needed; none stands out alone",
                figure(judge.evidence()),
                figure(1.0 / judge.settings.alpha)
            )
        });
    }
    reasons.sort_by_key(|reason| reason.code);
    reasons
}

/// A gap in the newest look, or in more than half of the fresh window.
fn gaps(judge: &Judge, step: &Step, sli: &SliSettings, seen: &GapWindow, ear: &mut impl Ear) {
    let window = step.window(judge.settings.fresh_looks);
    for gap in Gap::ALL {
        let newest = seen.in_newest(gap) && (judge.settings.needs_newest || gap == Gap::Unreachable);
        // a source that answers again is no longer unreachable; what it missed shows in the coverage
        if newest || (gap != Gap::Unreachable && 2 * seen.among(gap, window) > window) {
            ear.hear(code_of(gap), Some(sli), || gap_in_words(judge, sli, gap, seen.among(gap, window), window));
        }
    }
}

fn code_of(gap: Gap) -> ReasonCode {
    match gap {
        Gap::NoCanary => ReasonCode::NoCanaryData,
        Gap::NoBaseline | Gap::IdleBaseline => ReasonCode::NoBaselineData,
        Gap::IdleCanary => ReasonCode::NoTraffic,
        Gap::Invalid => ReasonCode::InvalidCounts,
        Gap::Schema => ReasonCode::SchemaChange,
        Gap::Unreachable => ReasonCode::Unreachable,
    }
}

fn gap_in_words(judge: &Judge, sli: &SliSettings, gap: Gap, times: u32, window: u32) -> String {
    let name = &sli.name;
    let of = format!("{times} of the last {window} looks");
    match gap {
        Gap::NoCanary => format!(
            "`{name}`: no data of the canary in {of}; check that its telemetry is scraped and labelled as the canary"
        ),
        Gap::NoBaseline => format!(
            "`{name}`: no data of the baseline in {of}; check its telemetry, or compare this step with an objective"
        ),
        Gap::IdleCanary => {
            format!("`{name}`: the canary had no requests in {of}; route traffic to it, or raise its share")
        }
        Gap::IdleBaseline => format!(
            "`{name}`: the baseline had no requests in {of}; leave it a share, or compare this step with an objective"
        ),
        Gap::Invalid if matches!(sli.kind, SliKind::Gauge { .. }) => {
            format!(
                "`{name}`: a value that is not a number above zero in {of}: there is no factor to judge; check the query"
            )
        }
        Gap::Invalid => format!(
            "`{name}`: counts contradict themselves in {of} (more bad requests than requests, or an overflow); check the queries"
        ),
        Gap::Schema => format!(
            "`{name}`: counts of another kind or other buckets in {of}; both cohorts must report as the settings say"
        ),
        Gap::Unreachable => unreachable(judge, name),
    }
}

fn unreachable(judge: &Judge, name: &str) -> String {
    let trouble = judge.trouble.as_deref().unwrap_or("no answer");
    format!("`{name}`: the source did not answer in the newest look: {trouble}; looking goes on by itself")
}

fn objective(judge: &Judge, sli: &SliSettings, state: &SliState, ear: &mut impl Ear) {
    if !sli.comparison(judge.comparison()).has_baseline() {
        if !has_objective(sli) {
            ear.hear(ReasonCode::NoObjective, Some(sli), || {
                format!(
                    "`{}` has no objective to compare with; give it one (for latency also the edge it speaks of, for a gauge a limit)",
                    sli.name
                )
            });
        }
        return;
    }
    let (SliState::Counted(counted), Some(budget)) = (state, sli.budget()) else { return };
    if let Some(share) = counted.unhealthy_baseline(budget) {
        ear.hear(ReasonCode::BaselineUnhealthy, Some(sli), || {
            format!(
                "`{}`: {} % of the baseline's recent requests are bad, its objective allows {} %: an incident is going on; wait for it to end",
                sli.name,
                percent(share),
                percent(budget)
            )
        });
    }
}

fn requests(judge: &Judge, sli: &SliSettings, counted: &Counted, ear: &mut impl Ear) {
    let (seen, needed) = (counted.totals().canary, judge.settings.min_requests);
    if seen < needed {
        ear.hear(ReasonCode::TooFewRequests, Some(sli), || {
            format!(
                "`{}`: {} of at least {} canary requests judged in this step",
                sli.name,
                grouped(seen),
                grouped(needed)
            )
        });
    }
}

/// Safety that is not shown yet; and, if the growth so far says so, that it won't be within the planned looks.
fn safety(judge: &Judge, step: &Step, sli: &SliSettings, state: &SliState, ear: &mut impl Ear) {
    let needed = (1.0 / judge.settings.beta).ln();
    let Some(ln_safety) = judge.ln_safety(sli, state).filter(|ln| *ln < needed) else { return };
    let requests = match state {
        SliState::Counted(counted) => Some(counted.totals().canary),
        SliState::Gauge(_) | SliState::Check(_) => None,
    };
    let outlook = Outlook::of(judge, step, requests, needed - ln_safety, ln_safety);
    ear.hear(ReasonCode::SafetyNotShown, Some(sli), || {
        format!(
            "`{}`: safety {} : 1 of {} : 1 needed; {}",
            sli.name,
            figure(ln_safety.exp()),
            figure(needed.exp()),
            outlook.help()
        )
    });
    let tells = step.looks >= step.settings.bake_looks.clamp(1, judge.settings.fresh_looks);
    if tells && outlook.ends_too_late() && requests != Some(0) {
        ear.hear(ReasonCode::LowTraffic, Some(sli), || {
            let end = match outlook.left_ms() {
                0 => "are over, and safety was not shown".to_owned(),
                left => format!("end in {}, before safety can be shown", span(left)),
            };
            format!("`{}`: the planned looks {end}; raise the share, or plan more time", sli.name)
        });
    }
}

/// When safety will be shown, if its evidence grows on as it did in this step.
struct Outlook {
    /// Looks still needed, and canary requests where they are counted; `None` while the evidence doesn't grow.
    needed: Option<(f64, Option<f64>)>,
    left_looks: u32,
    look_interval_ms: u64,
}

impl Outlook {
    fn of(judge: &Judge, step: &Step, requests: Option<u64>, missing: f64, shown: f64) -> Self {
        let useful = f64::from(step.useful_looks.max(1));
        let needed = (shown > 0.0).then(|| {
            let looks = (missing / shown * useful).ceil();
            (looks, requests.map(|requests| requests as f64 / useful * looks))
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
                match requests {
                    Some(requests) => {
                        format!("about {} more canary requests, {time} at the present growth", grouped(requests as u64))
                    }
                    None => format!("about {time} more at the present growth"),
                }
            }
            None => "it does not grow yet; more traffic or a larger share would help".to_owned(),
        }
    }
}

fn noise(judge: &Judge, sli: &SliSettings, counted: &Counted, ear: &mut impl Ear) {
    let leading = counted.leading(sli, sli.comparison(judge.comparison()));
    if leading.phi > NOISY_PHI || leading.tau > NOISY_TAU {
        ear.hear(ReasonCode::Noisy, Some(sli), || {
            let effective = (counted.totals().canary as f64 / leading.phi) as u64;
            format!(
                "`{}`: counts vary {} times as much as chance alone, drift {}: {} canary requests are worth {}",
                sli.name,
                figure(leading.phi),
                figure(leading.tau),
                grouped(counted.totals().canary),
                grouped(effective)
            )
        });
    }
}

fn checks(judge: &Judge, ear: &mut impl Ear) {
    for (sli, check) in judge.checks() {
        let name = &sli.name;
        if check.gaps().contains(Gap::Unreachable) {
            ear.hear(ReasonCode::Unreachable, Some(sli), || unreachable(judge, name));
        }
        if check.gaps().contains(Gap::Schema) {
            ear.hear(ReasonCode::SchemaChange, Some(sli), || format!("`{name}` is a check, but counts arrived for it"));
        }
        match check.state() {
            CheckState::Passed => (),
            CheckState::NotRun => ear.hear(ReasonCode::CheckNotRun, Some(sli), || {
                format!("`{name}` has not run in this step; run it once at least")
            }),
            state @ (CheckState::Failing { .. } | CheckState::Failed { .. }) => {
                ear.hear(ReasonCode::CheckFailing, Some(sli), || {
                    format!("{} It must pass before the step can.", crate::sentence::check(name, state))
                });
            }
        }
    }
}

fn suspicion(judge: &Judge, ear: &mut impl Ear) {
    let (evidence, alpha) = (judge.evidence(), judge.settings.alpha);
    if judge.is_suspicious() {
        ear.hear(ReasonCode::Suspicious, None, || {
            format!(
                "evidence of harm {} : 1, {} : 1 would fail the change: hold, keep looking, don't advance",
                figure(evidence),
                figure(1.0 / alpha)
            )
        });
    }
}

fn traffic_split(step: &Step, ear: &mut impl Ear) {
    let Some(share) = step.settings.expected_share.filter(|_| step.settings.comparison == Comparison::Concurrent)
    else {
        return;
    };
    let (baseline, canary) = (step.baseline_requests, step.canary_requests);
    if split::mismatches(baseline, canary, share) {
        ear.hear(ReasonCode::SplitMismatch, None, || {
            format!(
                "the canary got {} of {} requests, {} % were asked for: the router does something else than the plan; check its weights",
                grouped(canary),
                grouped(baseline.saturating_add(canary)),
                percent(share)
            )
        });
    }
}

/// Services downstream: a breach stands in the way, silence is only noted.
fn downstream(judge: &Judge, step: &Step, ear: &mut impl Ear) {
    for (sli, state) in judge.holding() {
        ear.hear(ReasonCode::DownstreamUnhealthy, Some(sli), || {
            format!(
                "`{}` breaks its objective since this rollout began (evidence {} : 1): nothing goes on while a service downstream suffers",
                sli.name,
                figure(state.evidence(&sli.kind))
            )
        });
    }
    for (sli, state) in judge.all().filter(|(sli, _)| sli.role == Role::Holds) {
        let Some(gaps) = state.gaps() else { continue };
        if gaps.newest_has_any() && step.looks > 0 {
            ear.hear(ReasonCode::DownstreamUnknown, Some(sli), || {
                format!("`{}`: no data in the newest look; it is not watched for now", sli.name)
            });
        }
    }
}

/// The step's looks, the fresh window's looks, and the newest look must have carried data of every SLI that is measured.
fn coverage(judge: &Judge, step: &Step, ear: &mut impl Ear) {
    let window = step.window(judge.settings.fresh_looks);
    let (useful, fresh) = (step.useful_looks, step.useful_among(window));
    let covered = f64::from(useful) >= judge.settings.coverage * f64::from(step.looks);
    let newest = step.newest_is_useful() || !judge.settings.needs_newest;
    if covered && 2 * fresh >= window && newest {
        return;
    }
    ear.hear(ReasonCode::LowCoverage, None, || {
        format!(
            "{useful} of {} looks carried data of every SLI, {fresh} of the last {window}: {} % of all{} are needed",
            step.looks,
            percent(judge.settings.coverage),
            if judge.settings.needs_newest {
                ", half of the last ones and the newest"
            } else {
                " and half of the last ones"
            }
        )
    });
}

fn bake(judge: &Judge, step: &Step, ear: &mut impl Ear) {
    let least = step.settings.bake_looks.max(1);
    if step.looks < least {
        ear.hear(ReasonCode::BakeNotOver, None, || {
            let left = u64::from(least - step.looks);
            format!(
                "{} of {least} looks of the bake are over, {} to go",
                step.looks,
                span(left.saturating_mul(judge.settings.look_interval_ms))
            )
        });
    }
}

fn calibration(judge: &Judge, ear: &mut impl Ear) {
    let is_uncalibrated = |(_, state): (&SliSettings, &SliState)| match state {
        SliState::Counted(counted) => !counted.is_calibrated(),
        SliState::Gauge(gauge) => !gauge.is_calibrated(),
        SliState::Check(_) => false,
    };
    if judge.deciding().any(is_uncalibrated) {
        ear.hear(ReasonCode::NoCalibration, None, || {
            format!(
                "no history to learn the noise from: counts are taken to vary {PHI_WITHOUT_HISTORY} times as much as chance until the looks say otherwise"
            )
        });
    }
}

fn exactness(judge: &Judge, ear: &mut impl Ear) {
    if judge.comparison() == Comparison::Before {
        ear.hear(ReasonCode::NotExact, None, || {
            "compared with an earlier time, not with a version beside it: the margins are a quarter wider, and the bound is approximate".to_owned()
        });
    }
}
