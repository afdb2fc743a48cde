//! Traces: what do the judges say of two processes that are really the same?
//!
//! [`record`] starts identical servers on this machine, loads them, and writes one evidence file for each ordered pair, with what was before it beside it,
//! in the form that `clearway judge --evidence` reads. [`judge_folder`] judges such files, recorded here or anywhere. Whatever rolls back is a false
//! rollback. Pairs of one recording share servers and minutes: they are not as many as they look. Next room: [`table`](crate::table).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use judge::Profile;

use crate::judging::{self, End};
use crate::peers::{self, Kayenta};
use crate::runs::Who;
use crate::ticks::{GAUGES, Side, Tick};
use crate::traffic::HOUR;

/// The ending of a file with the time before.
const BEFORE: &str = "before.csv";
const GAUGE_NAMES: [&str; GAUGES] = ["processor", "memory"];

/// How one trace ended under each judge, in the order of [`Who::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trace {
    pub(crate) looks: usize,
    pub(crate) requests: u64,
    pub(crate) ends: Vec<End>,
    /// The name of the file, and the SLIs that our judge blames where it rolled back.
    pub(crate) name: String,
    pub(crate) blamed: Vec<String>,
}

/// Judges every trace of a folder.
pub(crate) fn judge_folder(folder: &Path) -> Result<Vec<Trace>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|it| it == "csv") && !file.to_string_lossy().ends_with(BEFORE));
    files.sort();
    if files.is_empty() {
        bail!("`{}` holds no traces: record some with `--record`", folder.display());
    }
    files.iter().map(|file| judge_file(file).with_context(|| file.display().to_string())).collect()
}

fn judge_file(file: &Path) -> Result<Trace> {
    let during = Evidence::read(&fs::read_to_string(file)?)?;
    let before = file.with_extension(BEFORE);
    let before = if before.exists() { Evidence::read(&fs::read_to_string(before)?)?.ticks } else { Vec::new() };
    let (edges, ticks) = (&during.edges_ms, &during.ticks);
    let ours = |profile| {
        let settings = judging::settings(edges, profile, ticks.len() as u32);
        let mut judge = judging::ready(settings, &before, judging::beside(ticks.len() as u32, None))?;
        let end = judging::judge_until_the_end(&mut judge, ticks);
        anyhow::Ok((end, judge.verdict()))
    };
    let (end, verdict) = ours(Profile::Default)?;
    let blamed = verdict.slis.into_iter().filter(|sli| sli.implicated).map(|sli| format!("{}: {}", sli.name, sli.why));
    let mut ends = vec![end, ours(Profile::Reference)?.0];
    let series = peers::series(ticks, edges);
    // as long as an hour of looks, whatever their interval
    let documented = Kayenta { interval: ticks.len().min(HOUR), ..Kayenta::DOCUMENTED };
    let kayenta = [documented, Kayenta::LAX, Kayenta::CRITICAL, Kayenta::TUNED].map(|it| it.judge(&series));
    let thresholds = [peers::argo(ticks, edges), peers::flagger(ticks, edges)];
    let end = |rollback: peers::Rollback| rollback.map_or(End::Promoted(ticks.len()), End::RolledBack);
    ends.extend(kayenta.into_iter().chain(thresholds).map(end));
    ensure!(ends.len() == Who::ALL.len(), "a judge is missing");
    Ok(Trace {
        looks: ticks.len(),
        requests: ticks.iter().map(Tick::canary_requests).sum(),
        ends,
        name: file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        blamed: blamed.collect(),
    })
}

/// Evidence in long form: errors, latency and the two gauges.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evidence {
    edges_ms: Vec<f64>,
    ticks: Vec<Tick>,
}

impl Evidence {
    /// Lines of `time,cohort,sli,field,value`; a look for each time that occurs.
    fn read(text: &str) -> Result<Evidence> {
        let mut looks: BTreeMap<u64, [Option<Rows>; 2]> = BTreeMap::new();
        let mut edges = Vec::new();
        for (number, line) in text.lines().enumerate().skip(1) {
            let row = Row::read(line).with_context(|| format!("line {}", number + 1))?;
            if let Field::Within(ms) = row.field
                && ms.is_finite()
                && !edges.contains(&ms)
            {
                edges.push(ms);
            }
            let [baseline, canary] = looks.entry(row.time_ms).or_default();
            let side = if row.is_canary { canary } else { baseline };
            side.get_or_insert_with(Rows::default).take(&row);
        }
        edges.sort_by(f64::total_cmp);
        let side = |rows: Option<Rows>| rows.map(|rows| rows.side(&edges));
        let tick =
            |[baseline, canary]: [Option<Rows>; 2]| Tick { baseline: side(baseline), canary: side(canary), worse: 0.0 };
        Ok(Evidence { ticks: looks.into_values().map(tick).collect(), edges_ms: edges })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Total,
    Bad,
    /// Milliseconds.
    Within(f64),
    Gauge(usize),
}

struct Row {
    time_ms: u64,
    is_canary: bool,
    field: Field,
    value: f64,
}

impl Row {
    fn read(line: &str) -> Result<Row> {
        let parts: Vec<&str> = line.split(',').map(str::trim).collect();
        let [time, cohort, sli, field, value] = parts[..] else {
            bail!("`{line}` is not `time,cohort,sli,field,value`");
        };
        let is_canary = match cohort {
            "canary" => true,
            "baseline" => false,
            _ => bail!("`{cohort}` is no cohort: write `baseline` or `canary`"),
        };
        let field = match (sli, field) {
            ("errors", "total") => Field::Total,
            ("errors", "bad") => Field::Bad,
            ("latency", field) => {
                let seconds = field.strip_prefix("le=").with_context(|| format!("`{field}` is no bucket"))?;
                // whole microseconds, so that 0.1 s is 100 ms
                Field::Within(match seconds {
                    "+Inf" => f64::INFINITY,
                    _ => (seconds.parse::<f64>()? * 1e6).round() / 1e3,
                })
            }
            (gauge, "value") => {
                let known = GAUGE_NAMES.iter().position(|name| *name == gauge);
                Field::Gauge(known.with_context(|| format!("`{gauge}` is no gauge of the bench"))?)
            }
            _ => bail!("`{sli}` with `{field}` is nothing that the bench judges"),
        };
        Ok(Row { time_ms: (time.parse::<f64>()? * 1e3).round() as u64, is_canary, field, value: value.parse()? })
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Rows {
    side: Side,
    buckets: Vec<(f64, u64)>,
}

impl Rows {
    fn take(&mut self, row: &Row) {
        match row.field {
            Field::Total => self.side.requests = row.value as u64,
            Field::Bad => self.side.errors = row.value as u64,
            Field::Within(ms) => self.buckets.push((ms, row.value as u64)),
            Field::Gauge(gauge) => self.side.gauges[gauge] = row.value,
        }
    }

    fn side(mut self, edges: &[f64]) -> Side {
        let mut buckets = vec![0; edges.len() + 1];
        for (ms, count) in self.buckets {
            buckets[edges.partition_point(|edge| *edge < ms)] += count;
        }
        self.side.buckets = buckets;
        self.side
    }
}

/// One side of one look, in the same form.
pub(crate) fn write_rows(text: &mut String, time: f64, cohort: &str, side: &Side, edges_ms: &[f64]) {
    let mut row = |sli: &str, field: &str, value: String| {
        // writing to a string can't fail
        let _ = writeln!(text, "{time},{cohort},{sli},{field},{value}");
    };
    row("errors", "total", side.requests.to_string());
    row("errors", "bad", side.errors.to_string());
    for (i, count) in side.buckets.iter().enumerate() {
        let edge = edges_ms.get(i).map_or("+Inf".to_owned(), |ms| (ms / 1e3).to_string());
        row("latency", &format!("le={edge}"), count.to_string());
    }
    for (name, value) in GAUGE_NAMES.iter().zip(side.gauges) {
        row(name, "value", value.to_string());
    }
}

pub(crate) const HEAD: &str = "time,cohort,sli,field,value\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_as_it_was_written() {
        let edges = vec![5.0, 100.0, 2500.0];
        let side = |errors| Side { requests: 9, errors, buckets: vec![1, 2, 3, 3], gauges: [0.25, 12.5] };
        let mut text = HEAD.to_owned();
        write_rows(&mut text, 0.0, "baseline", &side(1), &edges);
        write_rows(&mut text, 0.0, "canary", &side(2), &edges);
        write_rows(&mut text, 10.0, "baseline", &side(3), &edges);
        let first = Tick { baseline: Some(side(1)), canary: Some(side(2)), worse: 0.0 };
        let second = Tick { baseline: Some(side(3)), canary: None, worse: 0.0 };
        let evidence = Evidence::read(&text).expect("what was written can be read");
        assert_eq!(evidence, Evidence { edges_ms: edges, ticks: vec![first, second] });
    }

    #[test]
    fn a_line_that_is_no_evidence_is_refused_with_its_number() {
        let refusal =
            Evidence::read("time,cohort,sli,field,value\n1,green,errors,bad,1\n").expect_err("green is no cohort");
        assert_eq!(format!("{refusal:#}"), "line 2: `green` is no cohort: write `baseline` or `canary`");
    }
}
