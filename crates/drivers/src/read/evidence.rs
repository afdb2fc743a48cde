//! Evidence: what both versions did, as a file in long form: `time,cohort,sli,field,value`.
//!
//! Text becomes rows, rows become looks for the judge. Counts and buckets are increments of their interval, not running totals, and buckets are not
//! cumulative; a missing row is a missing scrape, never zero. Every oddity has one meaning, listed in docs/reference/telemetry.md. Next: [`rows`] for what
//! a line may say.

pub mod rows;

use std::collections::BTreeMap;
use std::fmt;

use change::Span;
use judge::{Counts, Look, Reading};

use rows::{Cohort, Field, Row, Rows};

/// The most bucket edges that are kept; of finer histograms every so many edges are merged.
const MOST_EDGES: usize = 40;
/// The most readings that are made of one file: looks times SLIs.
const MOST_READINGS: u64 = 5_000_000;

/// What is wrong with an evidence file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1; nothing where it is the file as a whole.
    pub line: Option<u64>,
    pub message: String,
}

impl Problem {
    fn of_file(message: String) -> Self {
        Self { line: None, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// An evidence file, by SLI.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    slis: Vec<EvidenceSli>,
    /// The distinct times of all rows, ascending, in milliseconds.
    times: Vec<i64>,
}

/// One SLI of an evidence file.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceSli {
    pub name: String,
    pub kind: Kind,
    /// By cohort, time and field.
    rows: Vec<Row>,
    /// How many fields a whole scrape has.
    fields: usize,
}

/// How an SLI counts, as its fields tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Ratio,
    Latency {
        /// Ascending, without the last, infinite one; at most 40.
        edges_ms: Vec<f64>,
    },
    Gauge,
    Check,
}

/// One look, and when it was taken: the time from the first row to the end of its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedLook {
    pub at: Span,
    /// In the order of [`Evidence::slis`].
    pub look: Look,
}

impl Evidence {
    /// Reads a file, CSV or JSON.
    ///
    /// # Errors
    /// The first problems, each with its line.
    pub fn read(text: &[u8]) -> Result<Self, Vec<Problem>> {
        Self::of(rows::read(text)?)
    }

    /// Sorts rows by SLI, and tells of each how it counts.
    ///
    /// # Errors
    /// Rows that contradict one another.
    pub fn of(rows: Rows) -> Result<Self, Vec<Problem>> {
        let Rows { slis: names, mut rows } = rows;
        rows.sort_unstable_by_key(|row| (row.sli, row.cohort, row.time_ms, row.field, row.line));
        let twice = rows.windows(2).filter(|pair| pair[0].cell() == pair[1].cell());
        let mut problems: Vec<Problem> = twice
            .map(|pair| Problem {
                line: Some(pair[1].line),
                message: format!("line {} says the same of this time, cohort, SLI and field: leave one", pair[0].line),
            })
            .collect();
        let mut times: Vec<i64> = rows.iter().map(|row| row.time_ms).collect();
        times.sort_unstable();
        times.dedup();
        let mut slis = Vec::with_capacity(names.len());
        for group in rows.chunk_by(|a, b| a.sli == b.sli) {
            let name = &names[group[0].sli as usize];
            match kind(name, group) {
                Ok(kind) => {
                    slis.push(EvidenceSli { name: name.clone(), kind, rows: group.to_vec(), fields: fields(group) });
                }
                Err(problem) => problems.push(problem),
            }
        }
        problems.sort_by_key(|problem| problem.line);
        problems.truncate(rows::MOST_PROBLEMS);
        if problems.is_empty() { Ok(Self { slis, times }) } else { Err(problems) }
    }

    /// In the order in which the file names them first.
    pub fn slis(&self) -> &[EvidenceSli] {
        &self.slis
    }

    /// The time between two rows: the median of the gaps between neighbouring times. Nothing where there is only one time.
    pub fn interval(&self) -> Option<Span> {
        let mut gaps: Vec<u64> = self.times.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len().saturating_sub(1) / 2).map(|gap| Span::millis(*gap))
    }

    /// The time of the first row, in milliseconds of its own clock.
    pub fn begins_ms(&self) -> i64 {
        self.times.first().copied().unwrap_or_default()
    }

    /// The distinct times of all rows, ascending, in milliseconds.
    pub fn times_ms(&self) -> &[i64] {
        &self.times
    }

    /// The looks that a judge would have taken, one for each interval from the first row to the last. Counts of one interval are summed, gauges averaged;
    /// an interval without a whole row of a cohort lacks this cohort.
    ///
    /// # Errors
    /// A sentence, if the interval is zero or makes too many looks of the file.
    pub fn looks(&self, every: Span) -> Result<Vec<TimedLook>, String> {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else { return Ok(vec![]) };
        if every == Span::ZERO {
            return Err("looks need a time between them".into());
        }
        let count = last.abs_diff(*first) / every.as_millis() + 1;
        if count.saturating_mul(self.slis.len() as u64) > MOST_READINGS {
            return Err(format!("a look every `{every}` makes {count} looks of this file: choose a longer time"));
        }
        let count = usize::try_from(count).map_err(|_| "the file is too long".to_owned())?;
        let nothing = Reading::Seen { baseline: None, canary: None };
        let mut readings = vec![Vec::with_capacity(self.slis.len()); count];
        for (i, sli) in self.slis.iter().enumerate() {
            readings.iter_mut().for_each(|look| look.push(nothing.clone()));
            for group in sli.rows.chunk_by(|a, b| (a.cohort, self.bin(a, every)) == (b.cohort, self.bin(b, every))) {
                let (row, counts) = (group[0], sli.counts(group));
                let Reading::Seen { baseline, canary } = &mut readings[self.bin(&row, every)][i] else { continue };
                match row.cohort {
                    Cohort::Baseline => *baseline = counts,
                    Cohort::Canary => *canary = counts,
                }
            }
        }
        let at = |i: usize| every.times(i as u64 + 1);
        Ok(readings
            .into_iter()
            .enumerate()
            .map(|(i, readings)| TimedLook { at: at(i), look: Look { readings } })
            .collect())
    }

    fn bin(&self, row: &Row, every: Span) -> usize {
        usize::try_from(row.time_ms.abs_diff(self.begins_ms()) / every.as_millis()).unwrap_or(usize::MAX)
    }
}

impl EvidenceSli {
    /// Its rows, by cohort, time and field.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What the rows of one cohort and interval say together. Rows of one time count only if all fields of the SLI stand there.
    fn counts(&self, rows: &[Row]) -> Option<Counts> {
        let scrapes = rows.chunk_by(|a, b| a.time_ms == b.time_ms);
        match &self.kind {
            Kind::Ratio => {
                let pairs = scrapes.filter_map(ratio);
                let (total, bad) = pairs.reduce(|a, b| (a.0 + b.0, a.1 + b.1))?;
                Some(Counts::Ratio { total, bad })
            }
            Kind::Latency { edges_ms } => self.buckets(scrapes, edges_ms),
            Kind::Gauge => {
                let mean = rows.iter().map(|row| row.value).sum::<f64>() / rows.len() as f64;
                Some(Counts::Gauge { value: mean })
            }
            Kind::Check => Some(Counts::Check { passed: rows.iter().all(|row| row.value > 0.0) }),
        }
    }

    fn buckets<'a>(&self, scrapes: impl Iterator<Item = &'a [Row]>, edges_ms: &[f64]) -> Option<Counts> {
        let mut sum: Option<Vec<u64>> = None;
        for scrape in scrapes.filter(|scrape| scrape.len() == self.fields) {
            let buckets = sum.get_or_insert_with(|| vec![0; edges_ms.len() + 1]);
            for row in scrape {
                let Field::Below(edge) = row.field else { continue };
                // The bucket below the nearest edge that is kept, at or above its own.
                let at = edges_ms.partition_point(|kept| *kept < edge.millis());
                buckets[at] = buckets[at].saturating_add(whole(row.value));
            }
        }
        sum.map(|buckets| Counts::Latency { buckets })
    }
}

/// How many fields a whole scrape has.
fn fields(rows: &[Row]) -> usize {
    let mut fields: Vec<Field> = rows.iter().map(|row| row.field).collect();
    fields.sort_unstable();
    fields.dedup();
    fields.len()
}

fn whole(value: f64) -> u64 {
    // The rows hold no count above 9e15.
    value.round() as u64
}

/// All events and the bad ones of one time. More good or bad events than all contradict themselves, which the judge has to hear.
fn ratio(scrape: &[Row]) -> Option<(u64, u64)> {
    let find = |field| scrape.iter().find(|row| row.field == field).map(|row| whole(row.value));
    let total = find(Field::Total)?;
    match (find(Field::Bad), find(Field::Good)) {
        (Some(bad), _) => Some((total, bad)),
        (None, Some(good)) => Some((total, total.checked_sub(good).unwrap_or(total + 1))),
        (None, None) => None,
    }
}

/// How an SLI counts. Its rows are sorted, and there is at least one.
fn kind(name: &str, rows: &[Row]) -> Result<Kind, Problem> {
    let mut first_lines: BTreeMap<Field, u64> = BTreeMap::new();
    for row in rows {
        let line = first_lines.entry(row.field).or_insert(row.line);
        *line = (*line).min(row.line);
    }
    let has = |field: Field| first_lines.contains_key(&field);
    let is_one = |ours: fn(&Field) -> bool| first_lines.keys().all(ours);
    let broken = |message: String| Problem { line: first_lines.values().min().copied(), message };
    if is_one(|f| matches!(f, Field::Value)) {
        return Ok(Kind::Gauge);
    }
    if is_one(|f| matches!(f, Field::Passed)) {
        return Ok(Kind::Check);
    }
    if is_one(|f| matches!(f, Field::Below(_))) {
        return edges(&first_lines).map(|edges_ms| Kind::Latency { edges_ms }).ok_or_else(|| {
            broken(format!("the histogram of `{name}` has no edge but `+Inf`: add rows such as `le=0.25`"))
        });
    }
    if !is_one(|f| matches!(f, Field::Bad | Field::Good | Field::Total)) {
        let fields: Vec<String> = first_lines.keys().take(6).map(|field| format!("`{field}`")).collect();
        return Err(broken(format!("`{name}` mixes the fields {}: it is one kind of SLI", fields.join(", "))));
    }
    match (has(Field::Total), has(Field::Bad), has(Field::Good)) {
        (false, ..) => Err(broken(format!("`{name}` has no rows with the field `total`"))),
        (_, true, true) => Err(broken(format!("`{name}` has both `bad` and `good`: give one of them"))),
        (_, false, false) => Err(broken(format!("`{name}` has neither `bad` nor `good`: give one of them"))),
        _ => Ok(Kind::Ratio),
    }
}

/// The finite edges in milliseconds; of many every so many.
fn edges(fields: &BTreeMap<Field, u64>) -> Option<Vec<f64>> {
    let finite: Vec<f64> = fields
        .keys()
        .filter_map(|field| match field {
            Field::Below(edge) if edge.millis().is_finite() => Some(edge.millis()),
            _ => None,
        })
        .collect();
    let step = finite.len().div_ceil(MOST_EDGES).max(1);
    (!finite.is_empty()).then(|| finite.into_iter().step_by(step).collect())
}

#[cfg(test)]
mod tests;
