//! File: a recorded evidence file, replayed as if it happened now.
//!
//! The time of its first row is the moment of the first reading, and each row is seen once its time has come, added up to running totals like those of
//! a counter. A row that is missing is a missing scrape; when the file is over, its series are old, and soon missing. Queries are `sli/field`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use change::time::{after, between};
use change::{Span, Timestamp};
use engine::ports::{Answer, Ask, Glance, Meaning, Part, Series, Side};

use crate::read::evidence::rows::{Cohort, Field};
use crate::read::evidence::{Evidence, Kind};

#[derive(Debug)]
pub(crate) struct File {
    /// By SLI and field as text: times since the first row, with the total up to them, or the value of a gauge.
    cells: BTreeMap<(String, String), Cells>,
    times: Vec<Span>,
    interval: Span,
    begun: OnceLock<Timestamp>,
}

#[derive(Debug, Default)]
struct Cells {
    baseline: Vec<(Span, f64)>,
    canary: Vec<(Span, f64)>,
}

impl File {
    pub(crate) fn new(evidence: &Evidence) -> Self {
        let begins = evidence.begins_ms();
        let since = |time_ms: i64| Span::millis(time_ms.abs_diff(begins));
        let mut cells: BTreeMap<(String, String), Cells> = BTreeMap::new();
        for sli in evidence.slis() {
            let sums = sli.kind != Kind::Gauge;
            for row in sli.rows() {
                let cells = cells.entry((sli.name.clone(), row.field.to_string())).or_default();
                let cells = match row.cohort {
                    Cohort::Baseline => &mut cells.baseline,
                    Cohort::Canary => &mut cells.canary,
                };
                let before = cells.last().filter(|_| sums).map_or(0.0, |(_, sum)| *sum);
                cells.push((since(row.time_ms), before + row.value));
            }
        }
        let times = evidence.times_ms().iter().map(|time| since(*time)).collect();
        let interval = evidence.interval().unwrap_or(Span::ZERO);
        Self { cells, times, interval, begun: OnceLock::new() }
    }

    pub(crate) fn read(&self, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let begun = *self.begun.get_or_init(|| glance.now);
        let elapsed = between(begun, glance.now);
        let newest = self.times.partition_point(|time| *time <= elapsed);
        let newest = newest.checked_sub(1).and_then(|at| self.times.get(at)).copied();
        // A row is fresh as any sample is: not older than two looks, or two intervals of the file.
        let fresh = newest.filter(|time| {
            let age = Span::millis(elapsed.as_millis().saturating_sub(time.as_millis()));
            age <= glance.every.times(2).max(self.interval.times(2))
        });
        asks.iter().map(|ask| self.answer(ask, fresh, begun)).collect()
    }

    fn answer(&self, ask: &Ask, newest: Option<Span>, begun: Timestamp) -> Result<Answer, String> {
        if let Some((problem, _)) = self.problem(ask) {
            return Err(problem);
        }
        let (sli, field) = cell(ask);
        let mut series = Vec::new();
        for ((_, name), cells) in
            self.cells.iter().filter(|((of, name), _)| *of == sli && field.is_none_or(|f| f == name))
        {
            let rows = match ask.side {
                Side::Baseline => &cells.baseline,
                Side::Canary => &cells.canary,
            };
            let row = newest.and_then(|at| rows.binary_search_by_key(&at, |(time, _)| *time).ok().map(|i| rows[i]));
            let le = name.strip_prefix("le=").map(|le| ("le".to_owned(), le.to_owned()));
            let labels: BTreeMap<String, String> = le.into_iter().collect();
            series.extend(row.map(|(time, value)| Series { labels, value, at: Some(after(begun, time)) }));
        }
        if ask.part == Part::Buckets {
            cumulate(&mut series);
        }
        let side = match ask.side {
            Side::Baseline => "baseline",
            Side::Canary => "canary",
        };
        Ok(Answer { asked: format!("{} of {side}", ask.query), meaning: Meaning::Total, series })
    }

    /// What is wrong with a query: a sentence and a help.
    pub(crate) fn problem(&self, ask: &Ask) -> Option<(String, Option<String>)> {
        let (sli, field) = cell(ask);
        let has = |(of, name): &(String, String)| {
            *of == sli
                && match (field, ask.part) {
                    (Some(field), _) => name == field,
                    (None, Part::Buckets) => name.starts_with("le="),
                    (None, _) => *name == Field::Value.to_string(),
                }
        };
        if self.cells.keys().any(has) {
            return None;
        }
        let known: Vec<String> = self.cells.keys().take(12).map(|(sli, field)| format!("{sli}/{field}")).collect();
        let help = format!("the file has {}", change::document::list(known.iter().map(String::as_str)));
        Some((format!("the file has no rows for `{}`", ask.query), Some(help)))
    }
}

/// The SLI and the field that a query names: `errors/bad`. Without a field it is the value of a gauge, or all buckets.
fn cell(ask: &Ask) -> (&str, Option<&str>) {
    match ask.query.trim().rsplit_once('/') {
        Some((sli, field)) if ask.part != Part::Buckets => (sli, Some(field)),
        _ => (ask.query.trim(), None),
    }
}

/// Adds up the buckets over their edges, as a scraped histogram has them.
fn cumulate(series: &mut Vec<Series>) {
    let edge = |s: &Series| s.labels.get("le").and_then(|le| le.parse::<f64>().ok()).unwrap_or(f64::NAN);
    series.sort_by(|a, b| edge(a).total_cmp(&edge(b)));
    let mut sum = 0.0;
    for s in series.iter_mut() {
        sum += s.value;
        s.value = sum;
    }
    // A file without requests above its last edge may leave them out.
    if let Some(last) = series.last().filter(|s| edge(s).is_finite()).cloned() {
        series.push(Series { labels: [("le".to_owned(), "+Inf".to_owned())].into(), ..last });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ask, ask_baseline, glance};

    const RUN: &str = "time,cohort,sli,field,value
100,canary,e,total,10\n100,canary,e,bad,1\n100,baseline,e,total,50\n100,canary,m,value,7\n100,canary,l,le=0.1,3\n100,canary,l,le=0.5,1
110,canary,e,total,20\n110,canary,e,bad,0\n110,canary,m,value,5\n110,canary,l,le=0.1,4\n110,canary,l,le=0.5,2\n";

    fn file() -> File {
        File::new(&Evidence::read(RUN.as_bytes()).expect("is evidence"))
    }

    fn values(file: &File, ask: &Ask, now: i64) -> Vec<f64> {
        let found = file.read(std::slice::from_ref(ask), &glance(now)).expect("has rows");
        found[0].series.iter().map(|s| s.value).collect()
    }

    #[test]
    fn rows_are_seen_as_running_totals_once_their_time_has_come() {
        let (file, total) = (file(), ask("e/total", Part::Count));
        let seen = [5_000, 5_009, 5_010, 5_030, 5_031].map(|now| values(&file, &total, now));
        assert_eq!(seen, [vec![10.0], vec![10.0], vec![30.0], vec![30.0], vec![]], "then the file is over");
        let at = file.read(&[total], &glance(5_010)).expect("has rows")[0].series[0].at;
        assert_eq!(at, Timestamp::from_second(5_010).ok());
    }

    // telemetry.md: "a missing row".
    #[test]
    fn a_row_that_is_missing_is_a_missing_scrape() {
        let (file, baseline) = (file(), ask_baseline("e/total", Part::Count));
        assert_eq!([0, 10].map(|now| values(&file, &baseline, now)), [vec![50.0], vec![]]);
    }

    #[test]
    fn gauges_are_as_they_are_and_buckets_cumulative_over_edges_and_time() {
        let file = file();
        assert_eq!([0, 10].map(|now| values(&file, &ask("m/value", Part::Value), now)), [[7.0], [5.0]]);
        assert_eq!(values(&file, &ask("m", Part::Value), 10), [5.0]);
        assert_eq!(values(&file, &ask("l", Part::Buckets), 10), [7.0, 10.0, 10.0]);
        let (problem, help) = file.problem(&ask("e/good", Part::Count)).expect("is none");
        assert_eq!(problem, "the file has no rows for `e/good`");
        assert!(help.is_some_and(|help| help.starts_with("the file has `e/bad`, `e/total`")));
    }
}
