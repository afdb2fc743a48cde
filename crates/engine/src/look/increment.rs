//! Increments: what became of running totals since the look before.
//!
//! Series by series, the last total is subtracted. A series that shrank was reset and counts from zero; one that appears beside others counts whole; one
//! that is away for some looks goes on from where it stood. What can't be a count (NaN, infinite, negative, a series that stands there twice) breaks the
//! reading: it is missing, never zero. The meanings are those of docs/reference/telemetry.md.

use std::collections::{BTreeMap, BTreeSet};

use change::Timestamp;

use crate::ports::{Answer, Meaning, Series};

/// The totals of one look, by query and series: what the next look subtracts.
pub(crate) type Counters = BTreeMap<String, BTreeMap<String, f64>>;

/// The most series of a query that are remembered while they are missing.
const MOST_MISSING: usize = 1_000;
/// The most bucket edges that are kept; of finer histograms every so many edges are merged.
const MOST_EDGES: usize = 40;

/// What became of something since the look before.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Grown<T> {
    By(T),
    /// There is no series, or this is the first look at any.
    Unknown,
    /// It is no count.
    Broken,
}

/// The edges of a cumulative histogram in milliseconds, and how its buckets grew, one more than edges.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buckets {
    pub(super) edges_ms: Vec<f64>,
    pub(super) grown: Grown<Vec<u64>>,
}

/// Takes increments, and remembers what the next look needs.
pub(super) struct Tally<'a> {
    before: &'a Counters,
    now: Timestamp,
    pub(super) after: Counters,
}

impl<'a> Tally<'a> {
    pub(super) fn new(before: &'a Counters, now: Timestamp) -> Self {
        Self { before, now, after: Counters::new() }
    }

    /// How a count grew, over all its series.
    pub(super) fn count(&mut self, answer: &Answer) -> Grown<f64> {
        match self.series(answer) {
            Grown::By(grown) => Grown::By(grown.iter().map(|(_, by)| by).sum()),
            Grown::Unknown => Grown::Unknown,
            Grown::Broken => Grown::Broken,
        }
    }

    /// How fast a count grew: per second, or per event of another. 0 of 0 is nothing known.
    pub(super) fn rate(&mut self, of: &Answer, per: Option<&Answer>) -> Option<f64> {
        let seconds = self.seconds(of);
        let parts = per.map_or(Grown::Unknown, |per| self.count(per));
        let grown = self.count(of);
        let (Grown::By(grown), Some(by)) = (
            grown,
            match (per, parts) {
                (None, _) => seconds,
                (Some(_), Grown::By(parts)) => Some(parts),
                (Some(_), _) => None,
            },
        ) else {
            return None;
        };
        let rate = grown / by;
        (by > 0.0 && rate.is_finite()).then_some(rate)
    }

    /// The time in which a count grew.
    fn seconds(&mut self, answer: &Answer) -> Option<f64> {
        if let Meaning::Window(window) = answer.meaning {
            return Some(window.as_millis() as f64 / 1e3);
        }
        let (was, is) = self.taken(answer)?;
        Some((is - was?) / 1e3)
    }

    /// The time of the newest sample at the look before and now, in milliseconds.
    fn taken(&mut self, answer: &Answer) -> Option<(Option<f64>, f64)> {
        if answer.series.is_empty() {
            return None;
        }
        let newest = answer.series.iter().filter_map(|s| s.at).max().unwrap_or(self.now);
        let (key, is) = (format!("@{}", answer.asked), newest.as_millisecond() as f64);
        let was = self.before.get(&key).and_then(|times| times.get("")).copied();
        self.after.insert(key, BTreeMap::from([(String::new(), is)]));
        Some((was, is))
    }

    /// How each series grew.
    fn series(&mut self, answer: &Answer) -> Grown<Vec<(Series, f64)>> {
        let is_twice = answer.series.iter().map(key).collect::<BTreeSet<_>>().len() < answer.series.len();
        if is_twice || answer.series.iter().any(|s| !is_count(s.value)) {
            return Grown::Broken;
        }
        match answer.meaning {
            Meaning::Total => self.subtracted(answer),
            Meaning::Window(_) => self.of_window(answer),
        }
    }

    fn of_window(&mut self, answer: &Answer) -> Grown<Vec<(Series, f64)>> {
        match self.taken(answer) {
            Some((was, is)) if was != Some(is) => {
                Grown::By(answer.series.iter().map(|s| (s.clone(), s.value)).collect())
            }
            // A window that was counted is not counted again.
            _ => Grown::Unknown,
        }
    }

    fn subtracted(&mut self, answer: &Answer) -> Grown<Vec<(Series, f64)>> {
        let now: BTreeMap<String, f64> = answer.series.iter().map(|s| (key(s), s.value)).collect();
        let last = self.before.get(&answer.asked);
        // A series that is missing for one look has not begun anew when it returns: what it stood at is carried along.
        let missing = last.into_iter().flatten().filter(|(key, _)| !now.contains_key(*key)).take(MOST_MISSING);
        let kept = missing.map(|(key, value)| (key.clone(), *value)).chain(now.clone()).collect();
        self.after.insert(answer.asked.clone(), kept);
        // Where the look before found nothing, all that is found now is new, and counts whole.
        let Some(last) = last.filter(|_| !answer.series.is_empty()) else { return Grown::Unknown };
        let stood = |s: &Series| last.get(&key(s)).copied();
        // The buckets of one histogram are reset together, though some may have passed where they stood.
        let shrank = answer.series.iter().filter(|s| stood(s).is_some_and(|was| s.value < was));
        let reset: BTreeSet<String> = shrank.map(group).collect();
        let grown = |s: &Series| match stood(s) {
            Some(was) if !reset.contains(&group(s)) => s.value - was,
            _ => s.value,
        };
        Grown::By(answer.series.iter().map(|s| (s.clone(), grown(s))).collect())
    }

    /// How the buckets of a histogram grew, merged to the edges that all its series have. Nothing where there is no such histogram.
    pub(super) fn buckets(&mut self, answer: &Answer) -> Option<Buckets> {
        let edges = common_edges(&answer.series)?;
        let finite = edges.len() - 1;
        let step = finite.div_ceil(MOST_EDGES).max(1);
        let kept: Vec<f64> = edges[..finite].iter().copied().step_by(step).collect();
        let edges_ms = kept.iter().map(|e| (e * 1e6).round() / 1e3).collect();
        let grown = match self.series(answer) {
            Grown::By(grown) => per_bucket(&grown, &kept).map_or(Grown::Broken, Grown::By),
            Grown::Unknown => Grown::Unknown,
            Grown::Broken => Grown::Broken,
        };
        Some(Buckets { edges_ms, grown })
    }
}

/// The mean of a gauge's series. One without a number is left out, an infinite one breaks the reading.
pub(super) fn mean(answer: &Answer) -> Option<f64> {
    let values: Vec<f64> = answer.series.iter().map(|s| s.value).filter(|v| !v.is_nan()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

pub(super) fn is_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// A count of single events.
pub(super) fn whole(value: f64) -> Option<u64> {
    // Above 2^53 a counter no longer tells single events apart.
    (is_count(value) && value < 9e15).then(|| value.round() as u64)
}

fn key(series: &Series) -> String {
    let labels: Vec<String> = series.labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    labels.join(",")
}

/// What the buckets of one histogram have in common.
fn group(series: &Series) -> String {
    let mut all = series.clone();
    all.labels.remove("le");
    key(&all)
}

fn edge(series: &Series) -> Option<f64> {
    series.labels.get("le").and_then(|le| le.parse::<f64>().ok()).filter(|le| !le.is_nan())
}

/// The edges that all histograms among the series have, ascending, the last of them infinite and one before it.
fn common_edges(series: &[Series]) -> Option<Vec<f64>> {
    let mut by_group: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for s in series {
        // Of positive numbers the bits ascend as they do. What is not above zero is no edge of a duration.
        let edge = edge(s).filter(|e| *e > 0.0)?;
        by_group.entry(group(s)).or_default().insert(edge.to_bits());
    }
    let common = by_group.into_values().reduce(|a, b| a.intersection(&b).copied().collect())?;
    let edges: Vec<f64> = common.into_iter().map(f64::from_bits).collect();
    (edges.len() > 1 && edges.last() == Some(&f64::INFINITY)).then_some(edges)
}

/// Cumulative increments as counts per bucket, the last of them above the last edge.
fn per_bucket(grown: &[(Series, f64)], edges: &[f64]) -> Option<Vec<u64>> {
    let up_to = |limit: f64| grown.iter().filter(|(s, _)| edge(s) == Some(limit)).map(|(_, by)| by).sum::<f64>();
    let mut below = 0.0;
    let mut buckets = Vec::with_capacity(edges.len() + 1);
    for limit in edges.iter().copied().chain([f64::INFINITY]) {
        let count = up_to(limit);
        buckets.push(whole(count - below)?);
        below = count;
    }
    Some(buckets)
}

#[cfg(test)]
mod tests {
    use change::Span;

    use super::*;

    fn series(labels: &[(&str, &str)], value: f64) -> Series {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Series { labels, value, at: None }
    }

    fn totals(series: Vec<Series>) -> Answer {
        Answer { asked: "q".into(), meaning: Meaning::Total, series }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// What each look says of a count, a look a second.
    fn looks(answers: &[Answer]) -> Vec<Grown<f64>> {
        let (mut before, mut found) = (Counters::new(), Vec::new());
        for (second, answer) in (0..).zip(answers) {
            let mut tally = Tally::new(&before, at(second));
            found.push(tally.count(answer));
            before = tally.after;
        }
        found
    }

    fn one(values: &[Option<f64>]) -> Vec<Grown<f64>> {
        looks(&values.iter().map(|v| totals(v.iter().map(|v| series(&[], *v)).collect())).collect::<Vec<_>>())
    }

    // telemetry.md: "the first look".
    #[test]
    fn an_increment_is_the_difference_to_the_look_before() {
        assert_eq!(one(&[Some(100.0), Some(130.0)]), [Grown::Unknown, Grown::By(30.0)]);
    }

    // telemetry.md: "a counter shrinks".
    #[test]
    fn a_reset_counts_from_zero() {
        assert_eq!(one(&[Some(100.0), Some(7.0)])[1], Grown::By(7.0));
    }

    // telemetry.md: "a series appears".
    #[test]
    fn a_series_that_was_absent_and_appears_counts_whole() {
        assert_eq!(one(&[None, Some(7.0), Some(9.0)]), [Grown::Unknown, Grown::By(7.0), Grown::By(2.0)]);
        let (a, b) = (series(&[("i", "a")], 10.0), series(&[("i", "b")], 5.0));
        assert_eq!(looks(&[totals(vec![a.clone()]), totals(vec![a, b])])[1], Grown::By(5.0));
    }

    // telemetry.md: "a series is away for some looks".
    #[test]
    fn a_series_that_returns_goes_on_from_where_it_stood() {
        assert_eq!(one(&[Some(100.0), None, Some(130.0)]), [Grown::Unknown, Grown::Unknown, Grown::By(30.0)]);
    }

    // telemetry.md: "NaN, infinite or negative, in a count".
    #[test]
    fn what_is_no_count_is_missing_and_never_zero() {
        for broken in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(one(&[Some(1.0), Some(broken)])[1], Grown::Broken, "{broken}");
        }
    }

    // telemetry.md: "a series stands there twice".
    #[test]
    fn a_series_that_stands_there_twice_is_missing() {
        let twice = totals(vec![series(&[("i", "a")], 1.0), series(&[("i", "a")], 2.0)]);
        assert_eq!(looks(&[twice.clone(), twice])[1], Grown::Broken);
    }

    // telemetry.md: "the same window again".
    #[test]
    fn a_window_counts_whole_and_once() {
        let window = |second, value| Answer {
            meaning: Meaning::Window(Span::secs(10)),
            series: vec![Series { at: Some(at(second)), ..series(&[], value) }],
            asked: "q".into(),
        };
        let found = looks(&[window(10, 5.0), window(10, 5.0), window(20, 5.0)]);
        assert_eq!(found, [Grown::By(5.0), Grown::Unknown, Grown::By(5.0)]);
    }

    fn histogram(instance: &str, counts: &[(&str, f64)]) -> Vec<Series> {
        counts.iter().map(|(le, value)| series(&[("i", instance), ("le", le)], *value)).collect()
    }

    fn histograms(answers: &[Vec<Series>]) -> Vec<Option<Buckets>> {
        let (mut before, mut found) = (Counters::new(), Vec::new());
        for answer in answers {
            let mut tally = Tally::new(&before, at(0));
            found.push(tally.buckets(&totals(answer.clone())));
            before = tally.after;
        }
        found
    }

    #[test]
    fn a_histogram_gives_counts_per_bucket() {
        let page = |a, b, all| histogram("a", &[("0.005", a), ("0.01", b), ("+Inf", all)]);
        let found = histograms(&[page(1.0, 2.0, 3.0), page(5.0, 10.0, 12.0)]);
        let edges_ms = vec![5.0, 10.0];
        assert_eq!(found[0], Some(Buckets { edges_ms: edges_ms.clone(), grown: Grown::Unknown }));
        assert_eq!(found[1], Some(Buckets { edges_ms, grown: Grown::By(vec![4, 4, 1]) }));
    }

    // telemetry.md: "a histogram is reset".
    #[test]
    fn the_buckets_of_one_histogram_are_reset_together() {
        let first = [histogram("a", &[("0.1", 1.0), ("+Inf", 9.0)]), histogram("b", &[("0.1", 1.0), ("+Inf", 2.0)])];
        let second = [histogram("a", &[("0.1", 4.0), ("+Inf", 5.0)]), histogram("b", &[("0.1", 2.0), ("+Inf", 3.0)])];
        let found = histograms(&[first.concat(), second.concat()]);
        assert_eq!(found[1], Some(Buckets { edges_ms: vec![100.0], grown: Grown::By(vec![4 + 1, 1]) }));
    }

    // telemetry.md: "instances with other bucket edges".
    #[test]
    fn the_edges_that_all_instances_have_are_kept() {
        let page = |n: f64| {
            let a = histogram("a", &[("0.1", n), ("0.2", 2.0 * n), ("+Inf", 3.0 * n)]);
            [a, histogram("b", &[("0.2", n), ("0.4", n), ("+Inf", n)])].concat()
        };
        let found = histograms(&[page(1.0), page(2.0)]);
        assert_eq!(found[1], Some(Buckets { edges_ms: vec![200.0], grown: Grown::By(vec![3, 1]) }));
    }

    // telemetry.md: "buckets that are not cumulative".
    #[test]
    fn buckets_that_are_not_cumulative_are_missing() {
        let found = histograms(&[
            histogram("a", &[("0.005", 0.0), ("+Inf", 0.0)]),
            histogram("a", &[("0.005", 9.0), ("+Inf", 5.0)]),
        ]);
        assert_eq!(found[1], Some(Buckets { edges_ms: vec![5.0], grown: Grown::Broken }));
        assert_eq!(histograms(&[histogram("a", &[("0.005", 1.0)])]), [None]);
        assert_eq!(histograms(&[histogram("a", &[("fast", 1.0), ("+Inf", 1.0)])]), [None]);
    }

    #[test]
    fn finer_histograms_are_merged_to_at_most_forty_edges() {
        let mut buckets: Vec<(String, f64)> = (1..=1_000).map(|i| (format!("{}", f64::from(i) / 1e3), 0.0)).collect();
        buckets.push(("+Inf".into(), 1.0));
        let fine: Vec<(&str, f64)> = buckets.iter().map(|(le, value)| (le.as_str(), *value)).collect();
        let found = histograms(&[histogram("a", &fine)]);
        assert_eq!(found[0].as_ref().map(|b| b.edges_ms.len()), Some(40));
    }

    // telemetry.md: "a gauge of several series", "NaN in a gauge", "infinite in a gauge".
    #[test]
    fn a_gauge_is_the_mean_of_the_series_that_have_a_number() {
        let gauge = |values: &[f64]| mean(&totals(values.iter().map(|v| series(&[], *v)).collect()));
        assert_eq!(gauge(&[1.0, 3.0]), Some(2.0));
        assert_eq!(gauge(&[f64::NAN, 3.0]), Some(3.0));
        assert_eq!(gauge(&[f64::NAN]), None);
        assert_eq!(gauge(&[f64::INFINITY, 3.0]), None);
        assert_eq!(gauge(&[]), None);
    }

    fn rates(looks: &[(f64, Option<f64>, i64)]) -> Vec<Option<f64>> {
        let (mut before, mut found) = (Counters::new(), Vec::new());
        for (of, per, second) in looks {
            let mut tally = Tally::new(&before, at(*second));
            let per = per.map(|value| Answer { asked: "per".into(), ..totals(vec![series(&[], value)]) });
            found.push(tally.rate(&totals(vec![series(&[], *of)]), per.as_ref()));
            before = tally.after;
        }
        found
    }

    // telemetry.md: "a rate", "0 of 0".
    #[test]
    fn a_rate_is_per_second_or_per_event() {
        assert_eq!(rates(&[(1.0, None, 10), (6.0, None, 20)]), [None, Some(0.5)]);
        assert_eq!(rates(&[(1.0, Some(3.0), 10), (6.0, Some(5.0), 20)]), [None, Some(2.5)]);
        assert_eq!(rates(&[(1.0, Some(3.0), 10), (1.0, Some(3.0), 20)]), [None, None], "0 of 0");
        assert_eq!(rates(&[(1.0, Some(3.0), 10), (2.0, Some(3.0), 20)]), [None, None], "1 of 0");
        assert_eq!(rates(&[(1.0, None, 10), (1.0, None, 10)]), [None, None], "no time has passed");
    }
}
