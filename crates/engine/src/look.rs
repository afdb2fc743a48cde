//! A look: what telemetry shows of both versions at one moment, as increments since the look before.
//!
//! Counters are cumulative; an increment is the difference to the last look, series by series. What can't be a counter (NaN, infinite, negative, or a
//! fraction of an event) makes the reading missing, never zero. A series that shrinks was reset and counts from zero; one that appears beside others counts whole.

use std::collections::{BTreeMap, BTreeSet};

use change::Timestamp;
use change::proposal::Proposal;
use change::verification::{Query, Sli};
use judge::{Counts, Reading};
use serde::{Deserialize, Serialize};

use crate::ports::{Act, Cohorts, Eyes, Series};

/// The counters of one look, by query and series: what the next look subtracts.
pub(crate) type Counters = BTreeMap<String, BTreeMap<String, f64>>;

/// What one look saw of one SLI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub sli: String,
    /// The edges of a latency histogram in milliseconds, without the last, infinite one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges_ms: Option<Vec<f64>>,
    pub reading: Reading,
    /// Why a check did not pass, in words of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The most series of a query that are remembered while they are missing.
const MOST_MISSING: usize = 1_000;
/// The most bucket edges that are kept; of finer histograms every so many edges are merged.
const MOST_EDGES: usize = 40;

/// What one look took in.
pub(crate) struct Taken {
    pub seen: Vec<Seen>,
    pub counters: Counters,
    /// The time of the newest sample, where the sources tell; a page that is scraped is always of now.
    pub sampled_at: Option<Timestamp>,
}

/// A look at all SLIs and commands of a proposal.
pub(crate) async fn take(
    proposal: &Proposal,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
    act: &Act,
    before: &Counters,
) -> Taken {
    let found = read_sources(proposal, cohorts, eyes).await;
    let mut counters = Counters::new();
    let mut seen: Vec<Seen> =
        proposal.verify.slis.iter().map(|sli| read_sli(sli, cohorts, &found, before, &mut counters)).collect();
    let checks = proposal.verify.commands.iter().map(|command| async move {
        let reading = match eyes.check(act, command).await {
            Ok(failure) => Reading::Seen { baseline: None, canary: Some(Counts::Check { passed: failure.is_none() }) },
            Err(why) => Reading::Unreachable { why },
        };
        Seen { sli: check_name(&command.run), edges_ms: None, reading, why: None }
    });
    seen.extend(futures::future::join_all(checks).await);
    let series = found.values().flatten().flat_map(BTreeMap::values).flatten();
    let sampled_at = series.filter_map(|s| s.at).max();
    Taken { seen, counters, sampled_at }
}

/// The name of the SLI that a check command makes.
pub(crate) fn check_name(run: &str) -> String {
    format!("command: {run}")
}

/// Why telemetry is not ready for a rollout: a query that finds nothing of the stable version, or a source that fails. One sentence each.
pub(crate) async fn baseline_problems(proposal: &Proposal, cohorts: &Cohorts, eyes: &dyn Eyes) -> Vec<String> {
    let found = read_sources(proposal, cohorts, eyes).await;
    let mut problems = Vec::new();
    for sli in &proposal.verify.slis {
        let query = total_query(sli, Side::Baseline, cohorts);
        let problem = match found.get(&sli.source) {
            Some(Err(why)) => Some(format!("the source `{}` of the SLI `{}` fails: {why}", sli.source, sli.name)),
            Some(Ok(answers)) => match answers.get(&query) {
                // A counter that stands at zero has never counted: that is no data either.
                Some(series) if series.iter().any(|s| is_count(s.value) && s.value > 0.0) => None,
                _ => Some(format!(
                    "the SLI `{}` has no data for the stable version: `{query}` finds nothing in `{}`",
                    sli.name, sli.source
                )),
            },
            None => Some(format!("there is no telemetry source `{}`", sli.source)),
        };
        problems.extend(problem);
    }
    problems.dedup();
    problems
}

type Answers = BTreeMap<String, Vec<Series>>;

async fn read_sources(
    proposal: &Proposal,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
) -> BTreeMap<String, Result<Answers, String>> {
    let mut wanted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for sli in &proposal.verify.slis {
        let queries = [Side::Canary, Side::Baseline].into_iter().flat_map(|side| queries(sli, side, cohorts));
        wanted.entry(&sli.source).or_default().extend(queries);
    }
    let reads = wanted.into_iter().map(|(source, queries)| async move {
        let queries: Vec<String> = queries.into_iter().collect();
        let answer = eyes.read(source, &queries).await.map(|answers| queries.into_iter().zip(answers).collect());
        (source.to_owned(), answer)
    });
    futures::future::join_all(reads).await.into_iter().collect()
}

/// Which version is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Canary,
    Baseline,
}

fn queries(sli: &Sli, side: Side, cohorts: &Cohorts) -> Vec<String> {
    let ratio = sli.ratio.iter().flat_map(|r| [r.bad.as_ref(), r.good.as_ref(), Some(&r.total)]).flatten();
    let ratio = ratio.map(|q| text_for(q, side, cohorts));
    ratio.chain(sli.latency.iter().map(|l| buckets_query(&text_for(&l.histogram, side, cohorts)))).collect()
}

/// The query that counts all events.
fn total_query(sli: &Sli, side: Side, cohorts: &Cohorts) -> String {
    let ratio = sli.ratio.as_ref().map(|r| text_for(&r.total, side, cohorts));
    ratio
        .or_else(|| sli.latency.as_ref().map(|l| buckets_query(&text_for(&l.histogram, side, cohorts))))
        .unwrap_or_default()
}

/// `name{...}` as `name_bucket{...}`.
fn buckets_query(histogram: &str) -> String {
    let at = histogram.find('{').unwrap_or(histogram.len());
    let (name, labels) = histogram.split_at(at);
    format!("{}_bucket{labels}", name.trim_end())
}

fn text_for(query: &Query, side: Side, cohorts: &Cohorts) -> String {
    let (text, cohort) = match (query, side) {
        (Query::Both(text) | Query::Each { canary: text, .. }, Side::Canary) => (text, &cohorts.canary),
        (Query::Both(text) | Query::Each { baseline: text, .. }, Side::Baseline) => (text, &cohorts.stable),
    };
    text.replace("$cohort", cohort)
}

fn read_sli(
    sli: &Sli,
    cohorts: &Cohorts,
    found: &BTreeMap<String, Result<Answers, String>>,
    before: &Counters,
    counters: &mut Counters,
) -> Seen {
    let answers = match found.get(&sli.source) {
        Some(Ok(answers)) => answers,
        Some(Err(why)) => {
            return Seen {
                sli: sli.name.clone(),
                edges_ms: None,
                reading: Reading::Unreachable { why: why.clone() },
                why: None,
            };
        }
        None => {
            let why = format!("there is no telemetry source `{}`", sli.source);
            return Seen { sli: sli.name.clone(), edges_ms: None, reading: Reading::Unreachable { why }, why: None };
        }
    };
    let mut edges_ms = None;
    let mut cohort = |side: Side| match (&sli.ratio, &sli.latency) {
        (Some(ratio), _) => {
            let part = ratio.bad.as_ref().or(ratio.good.as_ref())?;
            let total = increment(&text_for(&ratio.total, side, cohorts), answers, before, counters);
            let bad = increment(&text_for(part, side, cohorts), answers, before, counters);
            // No series of bad events beside one of all events: none has happened yet.
            let (total, bad) = (total??, bad?.unwrap_or(0.0));
            Some(Counts::Ratio { total: whole(total)?, bad: whole(bad)? })
        }
        (None, Some(latency)) => {
            let query = buckets_query(&text_for(&latency.histogram, side, cohorts));
            let (edges, buckets) = histogram(&query, answers, before, counters)?;
            // Versions with other edges can't be compared bucket by bucket: no buckets at all say so to the judge.
            let comparable = *edges_ms.get_or_insert_with(|| edges.clone()) == edges;
            buckets.map(|buckets| Counts::Latency { buckets: if comparable { buckets } else { vec![] } })
        }
        (None, None) => None,
    };
    let (baseline, canary) = (cohort(Side::Baseline), cohort(Side::Canary));
    Seen { sli: sli.name.clone(), edges_ms, reading: Reading::Seen { baseline, canary }, why: None }
}

fn is_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn whole(value: f64) -> Option<u64> {
    // Above 2^53 a counter no longer tells single events apart.
    (is_count(value) && value < 9e15).then(|| value.round() as u64)
}

fn series_key(series: &Series) -> String {
    let labels: Vec<String> = series.labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    labels.join(",")
}

/// The increments of each series that a query finds, by series, and remembers where they stand. The outer `None`: a value is no counter. The inner
/// `None`: there is no series, or this is the first look at any.
fn increments(
    query: &str,
    answers: &Answers,
    before: &Counters,
    counters: &mut Counters,
) -> Option<Option<Vec<(Series, f64)>>> {
    let series = answers.get(query).map(Vec::as_slice).unwrap_or_default();
    if series.iter().any(|s| !is_count(s.value)) {
        return None;
    }
    let now: BTreeMap<String, f64> = series.iter().map(|s| (series_key(s), s.value)).collect();
    let last = before.get(query);
    // A series that is missing for one look has not begun anew when it returns: what it stood at is carried along.
    let missing = last.into_iter().flatten().filter(|(key, _)| !now.contains_key(*key)).take(MOST_MISSING);
    let kept = missing.map(|(key, value)| (key.clone(), *value)).chain(now.clone()).collect();
    counters.insert(query.to_owned(), kept);
    if series.is_empty() {
        return Some(None);
    }
    let Some(last) = last.filter(|last| !last.is_empty()) else { return Some(None) };
    let grown = |s: &Series| match last.get(&series_key(s)) {
        Some(was) if *was <= s.value => s.value - was,
        _ => s.value,
    };
    Some(Some(series.iter().map(|s| (s.clone(), grown(s))).collect()))
}

fn increment(query: &str, answers: &Answers, before: &Counters, counters: &mut Counters) -> Option<Option<f64>> {
    let first_of_bad = before.contains_key(query) && before.get(query).is_some_and(BTreeMap::is_empty);
    let found = increments(query, answers, before, counters)?;
    // A query that found nothing at the last look and finds something now counts whole: it was seen to be absent.
    match found {
        Some(grown) => Some(Some(grown.iter().map(|(_, by)| by).sum())),
        None if first_of_bad => {
            Some(answers.get(query).filter(|s| !s.is_empty()).map(|s| s.iter().map(|s| s.value).sum()))
        }
        None => Some(None),
    }
}

/// The edges of a cumulative histogram in milliseconds, and the increments of its buckets, one more than edges. Nothing where there is no such series.
#[allow(clippy::type_complexity, reason = "a pair of edges and, from the second look on, counts")]
fn histogram(
    query: &str,
    answers: &Answers,
    before: &Counters,
    counters: &mut Counters,
) -> Option<(Vec<f64>, Option<Vec<u64>>)> {
    let series = answers.get(query).filter(|s| !s.is_empty())?;
    let edge = |s: &Series| s.labels.get("le").and_then(|le| le.parse::<f64>().ok()).filter(|le| !le.is_nan());
    if series.iter().any(|s| edge(s).is_none()) {
        return None;
    }
    let grown = increments(query, answers, before, counters)?;
    let mut edges: Vec<f64> = series.iter().filter_map(edge).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    if edges.last() != Some(&f64::INFINITY) {
        return None;
    }
    let finite = edges.len() - 1;
    if finite == 0 {
        return None;
    }
    let kept: Vec<f64> = edges[..finite]
        .iter()
        .copied()
        .enumerate()
        .filter(|(i, _)| i % finite.div_ceil(MOST_EDGES).max(1) == 0)
        .map(|(_, e)| e)
        .collect();
    let in_ms = kept.iter().map(|e| (e * 1e6).round() / 1e3).collect();
    let Some(grown) = grown else { return Some((in_ms, None)) };
    let up_to = |limit: f64| grown.iter().filter(|(s, _)| edge(s) == Some(limit)).map(|(_, by)| by).sum::<f64>();
    let cumulative: Vec<f64> = kept.iter().copied().chain([f64::INFINITY]).map(up_to).collect();
    let mut below = 0.0;
    let mut buckets = Vec::with_capacity(cumulative.len());
    for count in cumulative {
        buckets.push(whole(count - below)?);
        below = count;
    }
    Some((in_ms, Some(buckets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)], value: f64) -> Series {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Series { labels, value, at: None }
    }

    fn looks(values: &[Option<f64>]) -> Vec<Option<Option<f64>>> {
        let mut before = Counters::new();
        let mut found = Vec::new();
        for value in values {
            let answers = Answers::from([("q".to_owned(), value.iter().map(|v| series(&[], *v)).collect())]);
            let mut counters = Counters::new();
            found.push(increment("q", &answers, &before, &mut counters));
            before = counters;
        }
        found
    }

    #[test]
    fn an_increment_is_the_difference_to_the_look_before() {
        assert_eq!(looks(&[Some(100.0), Some(130.0)]), [Some(None), Some(Some(30.0))]);
    }

    #[test]
    fn a_reset_counts_from_zero() {
        assert_eq!(looks(&[Some(100.0), Some(7.0)])[1], Some(Some(7.0)));
    }

    #[test]
    fn a_series_that_was_absent_and_appears_counts_whole() {
        assert_eq!(looks(&[None, Some(7.0), Some(9.0)]), [Some(None), Some(Some(7.0)), Some(Some(2.0))]);
    }

    #[test]
    fn what_is_no_counter_is_missing_and_never_zero() {
        for broken in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(looks(&[Some(1.0), Some(broken)])[1], None, "{broken}");
        }
    }

    #[test]
    fn a_histogram_gives_counts_per_bucket() {
        let page = |a: f64, b: f64, all: f64| {
            let buckets =
                vec![series(&[("le", "0.005")], a), series(&[("le", "0.01")], b), series(&[("le", "+Inf")], all)];
            Answers::from([("q".to_owned(), buckets)])
        };
        let (mut first, mut second) = (Counters::new(), Counters::new());
        assert_eq!(histogram("q", &page(1.0, 2.0, 3.0), &Counters::new(), &mut first), Some((vec![5.0, 10.0], None)));
        let grown = histogram("q", &page(5.0, 10.0, 12.0), &first, &mut second);
        assert_eq!(grown, Some((vec![5.0, 10.0], Some(vec![4, 4, 1]))));
    }

    #[test]
    fn buckets_that_are_not_cumulative_are_missing() {
        let bad = vec![series(&[("le", "0.005")], 9.0), series(&[("le", "+Inf")], 5.0)];
        let before = Counters::from([(
            "q".to_owned(),
            BTreeMap::from([(series_key(&bad[0]), 0.0), (series_key(&bad[1]), 0.0)]),
        )]);
        assert_eq!(histogram("q", &Answers::from([("q".to_owned(), bad)]), &before, &mut Counters::new()), None);
    }

    #[test]
    fn the_bucket_series_of_a_histogram_are_asked_for() {
        assert_eq!(buckets_query("latency{version=\"v1\"}"), "latency_bucket{version=\"v1\"}");
        assert_eq!(buckets_query("latency"), "latency_bucket");
    }
}
