//! Evidence: what the looks of a change show, as figures for tables and charts.
//!
//! Pure: sums and shares of what was recorded, and the judge's own figures beside them. Judges nothing. What can't be read is a gap, never a zero.

use change::verification::synthetic::SyntheticCheck;
use change::verification::{Answer, Finding, Judgement, Sample, Sli};
use change::{Change, Timestamp};
use serde_json::Value;

use crate::view::LookView;

/// The most points of a chart: about one for three pixels of a wide screen.
pub(crate) const MOST_POINTS: usize = 120;

/// How a verification stands, by its newest look.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub answer: Option<Answer>,
    /// The reason, and when it was given: between two entries of the log the figures move on.
    pub why: Option<(String, Timestamp)>,
    /// From 0 to 1.
    pub harm: f64,
    /// From 0 to 1.
    pub safety: f64,
    /// Of this step and attempt.
    pub looks: usize,
    pub slis: Vec<SliStanding>,
    /// Series that nobody named and that move with the new version.
    pub findings: Vec<Finding>,
}

/// What the looks of the step under way show of one SLI.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SliStanding {
    pub name: String,
    /// Whether its events are runs of our own, which have no counterpart to be compared with.
    pub is_check: bool,
    /// What is counted as bad, in words.
    pub bad: String,
    pub canary: Option<Sample>,
    pub baseline: Option<Sample>,
    /// The rate of bad events over that of the comparison.
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub why: Option<String>,
    pub implicated: bool,
    /// Over all steps, for a chart.
    pub points: Vec<Point>,
}

/// Some looks in a row, put together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub at: Timestamp,
    pub step: usize,
    pub canary: Option<Sample>,
    pub baseline: Option<Sample>,
}

/// How near the verdict was to its two ends after some looks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub at: Timestamp,
    pub step: usize,
    pub harm: f64,
    pub safety: f64,
}

/// The share of bad events, where any were counted.
pub(crate) fn share(sample: Option<Sample>) -> Option<f64> {
    sample.filter(|s| s.total > 0).map(|s| s.bad as f64 / s.total as f64)
}

impl Standing {
    /// The standing of a change that has been rolled out, by its looks.
    pub(crate) fn of(change: &Change, looks: &[LookView]) -> Option<Self> {
        let rollout = change.any_rollout()?;
        let judgement = rollout.judgement.as_ref();
        let here: Vec<&LookView> =
            looks.iter().filter(|l| (l.step, l.attempt) == (rollout.step, rollout.attempt)).collect();
        let newest = here.last().map(|look| &look.verdict);
        let figure = |name: &str| newest.and_then(|v| v.get(name)).and_then(Value::as_f64);
        let judged = newest.and_then(|v| serde_json::from_value(v.get("answer")?.clone()).ok());
        let answer: Option<Answer> = judged.or(judgement.map(|j| j.answer));
        let said = judgement.filter(|j| Some(j.answer) == answer).map(|j| (j.why.clone(), j.at));
        let verify = &change.proposal.verify;
        let counted = verify.slis.iter().map(Counted::of).chain(verify.checks.iter().map(Counted::of_check));
        let slis = counted.map(|counted| sli_standing(&counted, &here, looks, judgement)).collect();
        Some(Self {
            answer,
            why: said,
            harm: figure("harm").or(judgement.map(|j| j.harm)).unwrap_or(0.0).clamp(0.0, 1.0),
            safety: figure("safety").or(judgement.map(|j| j.safety)).unwrap_or(0.0).clamp(0.0, 1.0),
            looks: here.len(),
            slis,
            findings: findings(newest, judgement),
        })
    }
}

/// What the newest look found; a look without findings says nothing of them.
fn findings(newest: Option<&Value>, judgement: Option<&Judgement>) -> Vec<Finding> {
    match newest {
        Some(verdict) => {
            verdict.get("findings").and_then(|f| serde_json::from_value(f.clone()).ok()).unwrap_or_default()
        }
        None => judgement.map(|j| j.findings.clone()).unwrap_or_default(),
    }
}

/// What is counted, by its name: an SLI, or the runs of a check.
struct Counted<'a> {
    name: &'a str,
    is_check: bool,
    /// In words.
    bad: String,
    /// What is faster is good.
    below_ms: Option<f64>,
}

impl<'a> Counted<'a> {
    fn of(sli: &'a Sli) -> Self {
        let below_ms = sli.latency.as_ref().and_then(|l| l.below).map(|span| span.as_millis() as f64);
        Self { name: &sli.name, is_check: false, bad: bad_in_words(sli), below_ms }
    }

    fn of_check(check: &'a SyntheticCheck) -> Self {
        Self { name: &check.name, is_check: true, bad: "failed".into(), below_ms: None }
    }
}

fn sli_standing(sli: &Counted<'_>, here: &[&LookView], all: &[LookView], judgement: Option<&Judgement>) -> SliStanding {
    let judged = judgement.and_then(|j| j.slis.iter().find(|s| s.name == sli.name));
    let newest = here
        .last()
        .and_then(|look| look.verdict.get("slis")?.as_array()?.iter().find(|s| s["name"] == sli.name).cloned());
    let read = |name: &str| newest.as_ref().and_then(|v| v.get(name));
    let interval = read("interval").and_then(|v| serde_json::from_value(v.clone()).ok());
    let pairs: Vec<Pair> = here.iter().map(|look| pair(look, sli)).collect();
    let sum = Pair::sum(&pairs);
    SliStanding {
        name: sli.name.to_owned(),
        is_check: sli.is_check,
        bad: sli.bad.clone(),
        canary: sum.canary.or(judged.map(|j| j.canary).filter(|_| here.is_empty())),
        baseline: sum.baseline.or(judged.map(|j| j.baseline).filter(|_| here.is_empty())),
        effect: read("effect").and_then(Value::as_f64).or(judged.and_then(|j| j.effect)),
        interval: interval.or(judged.and_then(|j| j.interval)),
        why: judged.map(|j| j.why.clone()),
        implicated: judged.is_some_and(|j| j.implicated),
        points: points(sli, all),
    }
}

fn bad_in_words(sli: &Sli) -> String {
    match sli.latency.as_ref().map(|l| l.below) {
        Some(Some(below)) => format!("slower than {below}"),
        Some(None) => "in the slowest bucket".into(),
        None => "bad".into(),
    }
}

/// What one look counted in both versions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pair {
    canary: Option<Sample>,
    baseline: Option<Sample>,
}

impl Pair {
    fn sum(pairs: &[Self]) -> Self {
        let add = |samples: Vec<Sample>| {
            let add = |a: Sample, b: Sample| Sample {
                total: a.total.saturating_add(b.total),
                bad: a.bad.saturating_add(b.bad),
            };
            samples.into_iter().reduce(add)
        };
        Self {
            canary: add(pairs.iter().filter_map(|p| p.canary).collect()),
            baseline: add(pairs.iter().filter_map(|p| p.baseline).collect()),
        }
    }
}

fn pair(look: &LookView, sli: &Counted<'_>) -> Pair {
    let readings = look.readings.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(seen) = readings.iter().find(|r| r["sli"] == sli.name) else { return Pair::default() };
    let cohort = |name: &str| sample(&seen["reading"]["seen"][name], &seen["edges_ms"], sli.below_ms);
    Pair { canary: cohort("canary"), baseline: cohort("baseline") }
}

fn sample(counts: &Value, edges_ms: &Value, below_ms: Option<f64>) -> Option<Sample> {
    match counts["type"].as_str()? {
        "ratio" => Some(Sample { total: counts["total"].as_u64()?, bad: counts["bad"].as_u64()? }),
        "check" => Some(Sample { total: 1, bad: u64::from(!counts["passed"].as_bool()?) }),
        "latency" => {
            let buckets: Vec<u64> = counts["buckets"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
            let edges: Vec<f64> = edges_ms.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            // As the judge does: what lies between the last edge within the promise and the promise counts as bad.
            let good = edges.iter().take_while(|edge| below_ms.is_none_or(|below| **edge <= below)).count();
            let total = buckets.iter().sum();
            Some(Sample { total, bad: total - buckets.iter().take(good).sum::<u64>() })
        }
        _ => None,
    }
}

/// Looks put together so that there are at most [`MOST_POINTS`]; none spans two steps.
fn points(sli: &Counted<'_>, looks: &[LookView]) -> Vec<Point> {
    runs(looks)
        .map(|run| {
            let pairs: Vec<Pair> = run.iter().map(|look| pair(look, sli)).collect();
            let Pair { canary, baseline } = Pair::sum(&pairs);
            Point { at: run[run.len() - 1].at, step: run[0].step, canary, baseline }
        })
        .collect()
}

/// The way of a verdict, over all looks.
pub(crate) fn progress(looks: &[LookView]) -> Vec<Progress> {
    runs(looks)
        .map(|run| {
            let last = &run[run.len() - 1];
            let figure = |name: &str| last.verdict[name].as_f64().unwrap_or(0.0).clamp(0.0, 1.0);
            Progress { at: last.at, step: last.step, harm: figure("harm"), safety: figure("safety") }
        })
        .collect()
}

fn runs(looks: &[LookView]) -> impl Iterator<Item = &[LookView]> {
    let size = looks.len().div_ceil(MOST_POINTS).max(1);
    looks.chunk_by(|a, b| a.step == b.step).flat_map(move |step| step.chunks(size))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample as samples;

    #[test]
    fn the_step_under_way_is_summed_up_and_others_are_not() {
        let change = samples::change_of(&samples::log());
        let looks = samples::looks(30);
        let standing = Standing::of(&change, &looks).expect("a rollout");
        assert_eq!(standing.looks, 20);
        let total = |s: Option<Sample>| s.map(|s| s.total);
        assert_eq!((total(standing.slis[0].canary), total(standing.slis[0].baseline)), (Some(20 * 60), Some(20 * 400)));
        assert_eq!(standing.answer, Some(Answer::Insufficient));
        assert_eq!(standing.harm, 0.8);
    }

    #[test]
    fn a_reason_that_was_given_for_another_answer_is_not_shown() {
        let change = samples::change_of(&samples::log());
        let mut looks = samples::looks(30);
        assert!(Standing::of(&change, &looks).is_some_and(|s| s.why.is_some()));
        looks.last_mut().expect("looks").verdict["answer"] = json!("unreachable");
        let standing = Standing::of(&change, &looks).expect("a rollout");
        assert_eq!((standing.answer, standing.why), (Some(Answer::Unreachable), None));
    }

    #[test]
    fn a_latency_within_the_promise_is_good_and_the_rest_is_bad() {
        let counts = json!({"type": "latency", "buckets": [40, 30, 20, 5, 1]});
        let edges = json!([50.0, 100.0, 300.0, 1000.0]);
        let bad = |below: Option<f64>| sample(&counts, &edges, below).map(|s| (s.total, s.bad));
        assert_eq!(bad(Some(300.0)), Some((96, 6)));
        assert_eq!(bad(Some(299.0)), Some((96, 26)));
        assert_eq!(bad(None), Some((96, 1)));
    }

    #[test]
    fn the_runs_of_a_check_are_counted_and_looks_without_one_are_gaps() {
        let counted = Counted { name: "login", is_check: true, bad: "failed".into(), below_ms: None };
        let look = |reading: Value| LookView {
            readings: json!([{"sli": "login", "reading": reading}]),
            ..samples::looks(1).remove(0)
        };
        let ran =
            |passed: bool| look(json!({"seen": {"baseline": null, "canary": {"type": "check", "passed": passed}}}));
        let bad = |look: &LookView| pair(look, &counted).canary.map(|s| (s.total, s.bad));
        assert_eq!(
            (bad(&ran(true)), bad(&ran(false)), bad(&look(json!("not_due")))),
            (Some((1, 0)), Some((1, 1)), None)
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_gap_and_never_a_zero() {
        for broken in [
            json!(null),
            json!({"type": "ratio", "total": -1, "bad": 0}),
            json!({"type": "ratio"}),
            json!({"type": "other"}),
            json!({"type": "latency", "buckets": [1, "x"]}),
        ] {
            assert_eq!(sample(&broken, &json!([1.0]), None), None, "{broken}");
        }
        assert_eq!(share(None), None);
        assert_eq!(share(Some(Sample { total: 0, bad: 0 })), None);
    }

    #[test]
    fn a_chart_has_a_bounded_number_of_points_and_loses_no_event() {
        let change = samples::change_of(&samples::log());
        let looks = samples::looks(3_000);
        let standing = Standing::of(&change, &looks).expect("a rollout");
        let points = &standing.slis[0].points;
        assert!(points.len() <= MOST_POINTS + 1, "{}", points.len());
        assert_eq!(points.iter().filter_map(|p| p.canary).map(|s| s.total).sum::<u64>(), 3_000 * 60);
        assert!(progress(&looks).len() <= MOST_POINTS + 1);
    }

    #[test]
    fn a_change_without_a_rollout_has_no_standing() {
        assert_eq!(Standing::of(&samples::change_of(&samples::waiting()), &[]), None);
    }
}
