//! Scanning: every series that both versions expose, read with each look and fed to the judge's scan.
//!
//! Series of the two versions are paired by their name and the labels that don't name a version or an instance. Counters become increments here, series
//! by series. What was read last is not kept: after a crash a look passes until there are increments again; the scan itself is folded from the blocks that
//! stand with the looks. Must never harm a verdict: what fails is a note.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use change::verification::{Comparison, Finding, Scan};
use change::{Change, Timestamp};
use judge::{Beyond, Counts, Pair, Reading, ScanBlock, ScanLook, ScanSettings, SeriesReading};

use crate::look::Seen;
use crate::ports::{Ask, Cohorts, Eyes, Glance, Part, Series, Side};

const NAME: &str = "__name__";
const EDGE: &str = "le";
/// Labels that name an instance and not what is measured.
const OF_INSTANCE: [&str; 14] = [
    "instance",
    "pod",
    "pod_name",
    "pod_ip",
    "pod_template_hash",
    "replicaset",
    "replica",
    "host",
    "hostname",
    "node",
    "container",
    "container_id",
    "uid",
    "ip",
];
/// More series of one version and source are not read.
const MOST_READ: usize = 10_000;
/// More edges of one histogram are not compared.
const MOST_EDGES: usize = 12;
/// A judgement shows so many findings.
const MOST_FINDINGS: usize = 10;
/// The scan has half of the time between two looks, and never more than this.
const LONGEST: Duration = Duration::from_secs(5);

/// The scan of one rollout, and what it needs for the next look.
#[derive(Clone)]
pub(crate) struct Scanning {
    scan: judge::Scan,
    /// Where the counters stood, by version.
    totals: [Totals; 2],
}

type Totals = BTreeMap<String, f64>;

/// What a scan adds to a judgement.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scanned {
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
    /// To be kept with the look.
    pub block: Option<ScanBlock>,
}

/// What is read of one version.
type Found = Vec<Series>;

/// Whether the series of a step are compared at all.
pub(crate) fn is_scanned(change: &Change, step: usize) -> bool {
    let comparison = change.proposal.plan.steps.get(step).map(|s| s.comparison);
    change.proposal.verify.scan != Scan::Off && comparison == Some(Comparison::Concurrent)
}

/// All series of both versions, baseline first, from every source that the change's SLIs name.
pub(crate) async fn read(
    change: &Change,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
    now: Timestamp,
) -> Result<[Found; 2], String> {
    let every = change.proposal.verify.every;
    let glance = Glance { now, every };
    let sources: BTreeSet<&String> = change.proposal.verify.slis.iter().map(|sli| &sli.source).collect();
    let within = Duration::from_millis(every.as_millis() / 2).min(LONGEST);
    let both = async {
        let mut found = [Found::new(), Found::new()];
        for source in sources {
            for (side, into) in [Side::Baseline, Side::Canary].into_iter().zip(&mut found) {
                let ask = Ask { query: "{$labels}".into(), part: Part::Value, side, cohorts: cohorts.clone() };
                into.extend(eyes.series(source, &ask, &glance, MOST_READ).await?);
            }
        }
        Ok(found)
    };
    tokio::time::timeout(within, both).await.unwrap_or_else(|_| Err(format!("there was no answer within {within:?}")))
}

impl Scanning {
    pub(crate) fn new(horizon_looks: u32) -> Self {
        Self { scan: judge::Scan::new(ScanSettings::new(horizon_looks)), totals: [Totals::new(), Totals::new()] }
    }

    pub(crate) fn begin_step(&mut self) {
        self.scan.begin_step();
    }

    /// Takes a block up that was kept with a look.
    pub(crate) fn take(&mut self, block: &ScanBlock) {
        self.scan.take(block);
    }

    /// Takes in what was read beside a look, or why nothing was.
    pub(crate) fn look(&mut self, number: u64, traffic: [f64; 2], found: Result<[Found; 2], String>) -> Scanned {
        let mut scanned = Scanned::default();
        match found {
            Ok(found) => {
                let paired = self.pair(&found);
                let (readings, instances) = (paired.readings, paired.instances);
                scanned.block = self.scan.look(&ScanLook { number, traffic, instances, readings: &readings });
                if found.iter().any(|side| side.len() >= MOST_READ) {
                    scanned.notes.push(format!("the scan reads the first {MOST_READ} series of a version only"));
                }
            }
            Err(why) => scanned.notes.push(format!("the scan of all series could not read them: {why}")),
        }
        let tally = self.scan.tally();
        if tally.left_out > 0 {
            let (series, left_out) = (tally.series, tally.left_out);
            scanned.notes.push(format!("the scan compares {series} series and leaves {left_out} out"));
        }
        scanned.findings = self.scan.findings().iter().take(MOST_FINDINGS).map(finding).collect();
        scanned
    }

    fn pair(&mut self, found: &[Found; 2]) -> Paired {
        let dropped = dropped_labels(found);
        let sides = [0, 1].map(|i| Grouped::of(&found[i], &dropped, &mut self.totals[i]));
        let instances = [0, 1].map(|i| instances(&found[i]));
        let mut readings = paired(&sides);
        readings.extend(histograms(&sides));
        Paired { readings, instances }
    }
}

struct Paired {
    readings: Vec<SeriesReading>,
    instances: [f64; 2],
}

fn finding(of: &judge::Finding) -> Finding {
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    Finding {
        name: short(&of.name, 150),
        effect: crate::judging::rounded(of.effect),
        evidence: crate::judging::rounded(of.evidence),
        since_look: of.since_look,
        why: short(&of.why, 350),
    }
}

/// The requests of both versions in a look, baseline first: those of the first SLI that counts any, or else the share that the step asks for.
pub(crate) fn traffic(seen: &[Seen], share: f64) -> [f64; 2] {
    let total = |counts: &Option<Counts>| match counts {
        Some(Counts::Ratio { total, .. }) => Some(*total as f64),
        Some(Counts::Latency { buckets }) => Some(buckets.iter().map(|n| *n as f64).sum()),
        _ => None,
    };
    let counted = seen.iter().find_map(|s| match &s.reading {
        Reading::Seen { baseline, canary } => Some([total(baseline)?, total(canary)?]).filter(|[b, c]| b + c > 0.0),
        Reading::Unreachable { .. } | Reading::NotDue => None,
    });
    counted.unwrap_or([1.0 - share, share])
}

/// Labels that tell versions or instances apart: the known ones, and those that never have one value in both versions.
fn dropped_labels(found: &[Found; 2]) -> BTreeSet<String> {
    let values = |side: &Found| {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (label, value) in side.iter().flat_map(|series| &series.labels) {
            match values.get_mut(label) {
                Some(known) if known.contains(value) => {}
                Some(known) => {
                    known.insert(value.clone());
                }
                None => {
                    values.insert(label.clone(), BTreeSet::from([value.clone()]));
                }
            }
        }
        values
    };
    let [baseline, canary] = [&found[0], &found[1]].map(values);
    let apart = baseline.iter().filter(|(label, values)| {
        let is_name = *label == NAME || *label == EDGE;
        !is_name && canary.get(*label).is_some_and(|others| others.is_disjoint(values))
    });
    apart.map(|(label, _)| label.clone()).chain(OF_INSTANCE.map(str::to_owned)).collect()
}

fn instances(found: &Found) -> f64 {
    let distinct = |label: &str| found.iter().filter_map(|s| s.labels.get(label)).collect::<BTreeSet<_>>().len();
    OF_INSTANCE.into_iter().map(distinct).max().unwrap_or(0).max(1) as f64
}

/// What one version shows, by what it is called without its instance.
#[derive(Default)]
struct Grouped {
    gauges: BTreeMap<String, Vec<f64>>,
    /// Increments; nothing where it is the first reading.
    counters: BTreeMap<String, f64>,
    /// Increments up to each edge, by histogram and edge. Labels other than the edge are summed over.
    histograms: BTreeMap<String, BTreeMap<EdgeBits, f64>>,
}

/// A float that sorts: edges are never NaN, and those below zero are left out.
type EdgeBits = u64;

enum Kind {
    Gauge,
    Counter,
    Bucket {
        histogram: String,
        edge: EdgeBits,
    },
    /// The time at which a counter was made.
    Nothing,
}

impl Grouped {
    fn of(found: &Found, dropped: &BTreeSet<String>, totals: &mut Totals) -> Self {
        let names: BTreeSet<&str> = found.iter().filter_map(|s| s.labels.get(NAME)).map(String::as_str).collect();
        let mut grouped = Self::default();
        let mut after = Totals::new();
        for series in found.iter().filter(|s| s.value.is_finite()) {
            let Some(name) = series.labels.get(NAME) else { continue };
            let mut grown = || {
                let key = shown(name, series.labels.iter());
                let before = totals.get(&key).copied();
                after.insert(key, series.value);
                // A counter that falls was reset, and counts from zero.
                before.map(|before| if before <= series.value { series.value - before } else { series.value })
            };
            match kind(name, series, &names) {
                Kind::Nothing => {}
                Kind::Gauge => grouped.gauges.entry(key(name, series, dropped)).or_default().push(series.value),
                Kind::Counter => {
                    if let Some(by) = grown() {
                        *grouped.counters.entry(key(name, series, dropped)).or_default() += by;
                    }
                }
                Kind::Bucket { histogram, edge } => {
                    if let Some(by) = grown() {
                        *grouped.histograms.entry(histogram).or_default().entry(edge).or_default() += by;
                    }
                }
            }
        }
        *totals = after;
        grouped
    }
}

fn kind(name: &str, series: &Series, names: &BTreeSet<&str>) -> Kind {
    let stem_of = |ending: &str| name.strip_suffix(ending);
    if let (Some(histogram), Some(edge)) = (stem_of("_bucket"), series.labels.get(EDGE)) {
        let edge = edge.parse::<f64>().ok().filter(|edge| *edge >= 0.0);
        return edge.map_or(Kind::Nothing, |edge| Kind::Bucket { histogram: histogram.into(), edge: edge.to_bits() });
    }
    let summed =
        |stem: &str| names.contains(format!("{stem}_sum").as_str()) && names.contains(format!("{stem}_count").as_str());
    if stem_of("_total").is_some() || stem_of("_sum").or(stem_of("_count")).is_some_and(summed) {
        return Kind::Counter;
    }
    if stem_of("_created").is_some() { Kind::Nothing } else { Kind::Gauge }
}

fn key(name: &str, series: &Series, dropped: &BTreeSet<String>) -> String {
    shown(name, series.labels.iter().filter(|(label, _)| !dropped.contains(*label)))
}

fn shown<'a>(name: &str, labels: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let labels: Vec<String> = labels.filter(|(label, _)| *label != NAME).map(|(l, v)| format!("{l}={v:?}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

/// Gauges and counters that both versions expose.
fn paired([baseline, canary]: &[Grouped; 2]) -> Vec<SeriesReading> {
    let gauges = baseline.gauges.iter().filter_map(|(name, of_baseline)| {
        let (baseline, canary) = (median(of_baseline)?, median(canary.gauges.get(name)?)?);
        Some(SeriesReading { name: name.clone(), pair: Pair::Gauge { baseline, canary } })
    });
    let counters = baseline.counters.iter().filter_map(|(name, by)| {
        let pair = Pair::Counter { baseline: *by, canary: *canary.counters.get(name)? };
        Some(SeriesReading { name: name.clone(), pair })
    });
    gauges.chain(counters).collect()
}

/// Instances are summed up by their median: one that is odd does not speak for its version.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// How much lies beyond each edge that the histograms of both versions have.
fn histograms([baseline, canary]: &[Grouped; 2]) -> Vec<SeriesReading> {
    let mut readings = Vec::new();
    for (histogram, of_baseline) in &baseline.histograms {
        let Some(of_canary) = canary.histograms.get(histogram) else { continue };
        let all = f64::INFINITY.to_bits();
        let (Some(all_baseline), Some(all_canary)) = (of_baseline.get(&all), of_canary.get(&all)) else { continue };
        let common: Vec<EdgeBits> =
            of_baseline.keys().copied().filter(|edge| *edge != all && of_canary.contains_key(edge)).collect();
        for edge in common.iter().step_by(common.len().div_ceil(MOST_EDGES).max(1)) {
            let beyond = |up_to: f64, all: f64| Beyond { beyond: (all - up_to).max(0.0), all };
            readings.push(SeriesReading {
                name: format!("{histogram}_bucket{{le=\"{}\"}}", f64::from_bits(*edge)),
                pair: Pair::Bucket {
                    histogram: histogram.clone(),
                    baseline: beyond(of_baseline[edge], *all_baseline),
                    canary: beyond(of_canary[edge], *all_canary),
                },
            });
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, labels: &[(&str, &str)], value: f64) -> Series {
        let all = labels.iter().copied().chain([(NAME, name)]);
        Series { labels: all.map(|(l, v)| (l.to_owned(), v.to_owned())).collect(), value, at: None }
    }

    fn scanning() -> Scanning {
        Scanning::new(100)
    }

    // X18
    #[test]
    fn series_are_paired_without_the_labels_of_their_version_and_instance() {
        let side = |version: &str, pods: &[(&str, f64)]| {
            let of = |(pod, value): &(&str, f64)| {
                series("pool_size", &[("version", version), ("pod", pod), ("pool", "orders")], *value)
            };
            pods.iter().map(of).collect::<Found>()
        };
        let found = [side("v1", &[("a", 4.0), ("b", 6.0), ("c", 100.0)]), side("v2", &[("d", 9.0)])];
        let Paired { readings, instances } = scanning().pair(&found);
        let pair = Pair::Gauge { baseline: 6.0, canary: 9.0 };
        assert_eq!(readings, [SeriesReading { name: "pool_size{pool=\"orders\"}".into(), pair }]);
        assert_eq!(instances, [3.0, 1.0]);
    }

    // X18
    #[test]
    fn a_counter_counts_from_its_second_reading_and_a_reset_counts_from_zero() {
        let mut scanning = scanning();
        let mut read = |b: f64, c: f64| {
            let of = |version: &str, value: f64| vec![series("waits_total", &[("version", version)], value)];
            let readings = scanning.pair(&[of("v1", b), of("v2", c)]).readings;
            readings.into_iter().map(|r| r.pair).collect::<Vec<_>>()
        };
        assert_eq!(read(100.0, 10.0), []);
        assert_eq!(read(130.0, 15.0), [Pair::Counter { baseline: 30.0, canary: 5.0 }]);
        assert_eq!(read(7.0, 15.0), [Pair::Counter { baseline: 7.0, canary: 0.0 }]);
    }

    // X18
    #[test]
    fn what_only_one_version_exposes_and_what_is_no_number_is_not_compared() {
        let found = [
            vec![series("only_old", &[], 1.0), series("both", &[], f64::NAN), series("a_created", &[], 1.0)],
            vec![series("only_new", &[], 1.0), series("both", &[], 1.0), series("a_created", &[], 1.0)],
        ];
        assert_eq!(scanning().pair(&found).readings, []);
    }

    // X18
    #[test]
    fn a_histogram_is_compared_by_what_lies_beyond_its_edges() {
        let mut scanning = scanning();
        let mut read = |counts: [f64; 4]| {
            let of = |[fast, all]: [f64; 2]| {
                let bucket = |(le, value): (&str, f64)| series("seconds_bucket", &[("le", le)], value);
                [("0.1", fast), ("+Inf", all)].map(bucket).to_vec()
            };
            scanning.pair(&[of([counts[0], counts[1]]), of([counts[2], counts[3]])]).readings
        };
        assert_eq!(read([0.0; 4]), []);
        let (baseline, canary) = (Beyond { beyond: 10.0, all: 100.0 }, Beyond { beyond: 6.0, all: 20.0 });
        let pair = Pair::Bucket { histogram: "seconds".into(), baseline, canary };
        assert_eq!(
            read([90.0, 100.0, 14.0, 20.0]),
            [SeriesReading { name: "seconds_bucket{le=\"0.1\"}".into(), pair }]
        );
    }

    // X18
    #[test]
    fn a_scan_that_reads_nothing_is_a_note_and_no_more() {
        let scanned = scanning().look(1, [0.5, 0.5], Err("it is down".into()));
        let notes = vec!["the scan of all series could not read them: it is down".to_owned()];
        assert_eq!(scanned, Scanned { notes, ..Scanned::default() });
    }

    #[test]
    fn the_traffic_is_what_an_sli_counts_or_what_the_step_asks_for() {
        let counts = |total| Some(Counts::Ratio { total, bad: 0 });
        let seen = |baseline, canary| {
            vec![Seen { sli: "errors".into(), edges_ms: None, why: None, reading: Reading::Seen { baseline, canary } }]
        };
        assert_eq!(traffic(&seen(counts(30), counts(10)), 0.5), [30.0, 10.0]);
        assert_eq!(traffic(&seen(None, None), 0.25), [0.75, 0.25]);
    }
}
