//! Scan: which of the series that nobody named move with the new version?
//!
//! Every series that both cohorts expose is compared, hundreds at once, without a history and without knowing its unit or its noise. What is compared
//! is `d`, the logarithm of the factor between the cohorts for each instance, over blocks of looks. An equal canary may lie anywhere between "as much
//! for each instance" and "as much for each request", and a margin beyond: a pool has its size whatever the traffic, a counter of requests follows it,
//! and no name tells which is which.
//!
//! The bets need no spread: `d`, freed of its memory, lies as often above its centre as below it, equally far, when both cohorts are of one kind. For
//! such a value `E[1 + tanh(x)] <= 1` wherever the centre is at or below zero, since `tanh` is odd and rises; so the wealth of each bet is an e-process
//! for any spread and any tails, and one block at most doubles it: a burst finds nothing. Findings are those of the weighted e-BH procedure (Wang &
//! Ramdas 2022) over the *present* wealth of all series: at any moment, chosen by whatever was seen, at most the set part of them is false in the mean,
//! however the series hang together. The highest wealth that ever was may not stand there; it is no e-value. Where no series moves at all the chance
//! that anything is ever found is bounded too: the weighted sum is itself an e-process (Ville 1939).
//!
//! Must never decide: a finding informs, and may hold a step by setting. Must never use a block to choose anything about its own bet.
//! Next room: none, this stands beside the verdict.

mod gather;

mod course;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use course::Course;
use gather::{Gather, Load};

use crate::settings::Direction;

/// Looks in a block.
const BLOCK_LOOKS: u32 = 3;
/// Blocks in which the opening batch of series gathers; nothing is staked before it is complete.
const OPENING_BLOCKS: u32 = 2;
/// The part of the weight that the opening batch shares; later batches share the rest, each less than the one before, so that all sum to 1 at most.
const OPENING_PART: f64 = 0.8;
/// Longer names are left out: the state of a series is bounded.
const LONGEST_NAME: usize = 400;
/// The first factor that is no factor any more: `d` is cut off there.
const FURTHEST: f64 = 3.0;
/// `d` is kept in thousandths.
const PER_UNIT: f64 = 1_000.0;

/// How strictly is scanned, fixed before the rollout begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanSettings {
    /// The part of the findings that may be false, in the mean. Default 0.05.
    pub false_part: f64,
    /// How far the canary may be off, as a part: 0.25 allows a factor of 1.25 up and 1/1.25 down. Default 0.25.
    pub margin: f64,
    /// More series are not compared. Default 500.
    pub most_series: usize,
    /// Planned looks of the whole rollout: changes that begin late are paid for evenly over them.
    pub horizon_looks: u32,
}

impl ScanSettings {
    pub fn new(horizon_looks: u32) -> Self {
        ScanSettings { false_part: 0.05, margin: 0.25, most_series: 500, horizon_looks }
    }
}

/// What one look saw of the series that both cohorts expose.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanLook<'a> {
    /// The look's number within the change.
    pub number: u64,
    /// Requests in this look, baseline first, or the shares that were asked for.
    pub traffic: [f64; 2],
    /// Instances, baseline first.
    pub instances: [f64; 2],
    pub readings: &'a [SeriesReading],
}

/// One series in one look. A series that one cohort does not expose now is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesReading {
    /// Names it over all looks.
    pub name: String,
    pub pair: Pair,
}

/// What both cohorts showed. A number below zero or not finite makes the reading missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Pair {
    /// Values that go up and down, of a typical instance.
    Gauge { baseline: f64, canary: f64 },
    /// Increments since the look before, summed over instances.
    Counter { baseline: f64, canary: f64 },
    /// Increments of what lies beyond one edge of a histogram. All edges of one histogram are one question.
    Bucket { histogram: String, baseline: Beyond, canary: Beyond },
}

/// How many of all lie beyond an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beyond {
    pub beyond: f64,
    pub all: f64,
}

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    Gauge,
    Counter,
    Histogram,
}

/// What a block of looks showed, as it is kept: the scan is the fold over its blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanBlock {
    /// The number of the look that closed it.
    pub look: u64,
    /// Series that were not there before. They follow those that were, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newcomers: Vec<Newcomer>,
    /// Between which `d` an equal canary may lie, in thousandths.
    pub equal: [i16; 2],
    /// `d` of each series in thousandths; nothing where it can't be told yet. Trailing gaps are left out.
    pub differences: Vec<Option<i16>>,
}

/// A series that appears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Newcomer {
    pub name: String,
    pub kind: SeriesKind,
    /// The histogram of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
}

/// A series, or a histogram, that moves with the new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub name: String,
    pub kind: SeriesKind,
    /// The canary's value over the baseline's, for each instance; for a histogram of the share beyond the edge that moved most.
    pub effect: f64,
    pub direction: Direction,
    /// The e-value at present.
    pub evidence: f64,
    /// The look since which it stands, within the change.
    pub since_look: u64,
    /// Whether both cohorts still expose it.
    pub is_exposed: bool,
    /// One sentence for people.
    pub why: String,
}

/// How much is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanTally {
    pub series: usize,
    /// Series that are not compared because there are too many, or because their name is too long.
    pub left_out: usize,
}

/// The scan of one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    settings: ScanSettings,
    slots: BTreeMap<String, usize>,
    gathers: Vec<Gather>,
    load: Load,
    looks_in_block: u32,
    /// Seen in the block at hand for the first time.
    pending: Vec<Newcomer>,
    left_out: usize,
    courses: Vec<Course>,
    questions: Vec<Question>,
    batches: Vec<u32>,
    blocks: u32,
    opening: Opening,
    equal: [f64; 2],
    look: u64,
}

/// One hypothesis: a series, or all buckets of a histogram.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    name: String,
    kind: SeriesKind,
    batch: usize,
    courses: Vec<u32>,
    /// The look since which it is a finding.
    since: Option<u64>,
}

/// The batch of series that are there from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Awaited,
    Until(u32),
    Complete,
}

impl Scan {
    pub fn new(settings: ScanSettings) -> Self {
        Scan {
            settings,
            slots: BTreeMap::new(),
            gathers: Vec::new(),
            load: Load::default(),
            looks_in_block: 0,
            pending: Vec::new(),
            left_out: 0,
            courses: Vec::new(),
            questions: Vec::new(),
            batches: vec![0],
            blocks: 0,
            opening: Opening::Awaited,
            equal: [0.0; 2],
            look: 0,
        }
    }

    /// Evidence carries on over the steps; what is between two looks or blocks of different steps is no difference.
    pub fn begin_step(&mut self) {
        self.load = Load::default();
        self.looks_in_block = 0;
        self.gathers.iter_mut().for_each(Gather::clear);
        self.courses.iter_mut().for_each(Course::interrupt);
    }

    /// Takes a look in. Every third closes a block, which is already taken in then and has to be kept.
    pub fn look(&mut self, look: &ScanLook<'_>) -> Option<ScanBlock> {
        self.load.look(look.traffic, look.instances);
        self.left_out = 0;
        for reading in look.readings {
            match self.slot(reading) {
                Some(slot) => self.gathers[slot].look(&reading.pair, &self.load),
                None => self.left_out += 1,
            }
        }
        self.looks_in_block += 1;
        (self.looks_in_block == BLOCK_LOOKS).then(|| self.close(look.number))
    }

    fn slot(&mut self, reading: &SeriesReading) -> Option<usize> {
        if let Some(slot) = self.slots.get(&reading.name) {
            return Some(*slot);
        }
        let (kind, histogram) = match &reading.pair {
            Pair::Gauge { .. } => (SeriesKind::Gauge, None),
            Pair::Counter { .. } => (SeriesKind::Counter, None),
            Pair::Bucket { histogram, .. } => (SeriesKind::Histogram, Some(histogram.clone())),
        };
        // An edge that joins its histogram late would be an e-value that is bought after seeing the others.
        let late = histogram.as_ref().is_some_and(|h| self.questions.iter().any(|q| q.name == *h));
        let too_long = reading.name.len().max(histogram.as_ref().map_or(0, String::len)) > LONGEST_NAME;
        if self.slots.len() >= self.settings.most_series || too_long || late {
            return None;
        }
        let slot = self.slots.len();
        self.slots.insert(reading.name.clone(), slot);
        self.gathers.push(Gather::new(kind));
        self.pending.push(Newcomer { name: reading.name.clone(), kind, histogram });
        Some(slot)
    }

    fn close(&mut self, number: u64) -> ScanBlock {
        self.looks_in_block = 0;
        let mut differences: Vec<Option<i16>> =
            self.gathers.iter_mut().map(|gather| gather.close(&self.load).map(thousandths)).collect();
        while differences.last() == Some(&None) {
            differences.pop();
        }
        let newcomers = std::mem::take(&mut self.pending);
        let equal = self.load.equal().map(thousandths);
        let block = ScanBlock { look: number, newcomers, equal, differences };
        self.fold(&block);
        block
    }

    /// Takes a kept block in, as it was taken in when it was closed.
    pub fn take(&mut self, block: &ScanBlock) {
        for newcomer in &block.newcomers {
            self.slots.insert(newcomer.name.clone(), self.gathers.len());
            self.gathers.push(Gather::new(newcomer.kind));
        }
        self.fold(block);
    }

    fn fold(&mut self, block: &ScanBlock) {
        self.look = block.look;
        self.equal = block.equal.map(|d| f64::from(d) / PER_UNIT);
        self.admit(&block.newcomers);
        self.blocks += 1;
        let stakes = self.opening == Opening::Complete;
        let margin = self.settings.margin.ln_1p();
        let horizon = (self.settings.horizon_looks / BLOCK_LOOKS).max(1);
        for (i, course) in self.courses.iter_mut().enumerate() {
            let d = block.differences.get(i).copied().flatten().map(|d| f64::from(d) / PER_UNIT);
            course.take(d, course::Terms { equal: self.equal, margin, horizon, stakes });
        }
        if matches!(self.opening, Opening::Until(last) if self.blocks >= last) {
            self.opening = Opening::Complete;
        }
        self.stand();
    }

    fn admit(&mut self, newcomers: &[Newcomer]) {
        if newcomers.is_empty() {
            return;
        }
        if self.opening == Opening::Awaited {
            self.opening = Opening::Until(self.blocks + OPENING_BLOCKS);
        } else if self.opening == Opening::Complete {
            self.batches.push(0);
        }
        let batch = self.batches.len() - 1;
        let known = self.questions.len();
        for newcomer in newcomers {
            let course = self.courses.len() as u32;
            self.courses.push(Course::new(newcomer.kind));
            let asked = newcomer.histogram.as_ref().and_then(|h| {
                self.questions[known..].iter_mut().find(|q| q.kind == SeriesKind::Histogram && q.name == *h)
            });
            match asked {
                Some(question) => question.courses.push(course),
                None => {
                    let name = newcomer.histogram.clone().unwrap_or_else(|| newcomer.name.clone());
                    let question = Question { name, kind: newcomer.kind, batch, courses: vec![course], since: None };
                    self.questions.push(question);
                    self.batches[batch] += 1;
                }
            }
        }
    }

    /// The part of the whole that a question's evidence carries.
    fn weight(&self, question: &Question) -> f64 {
        let rank = question.batch as f64;
        let part = if question.batch == 0 { OPENING_PART } else { (1.0 - OPENING_PART) / (rank * (rank + 1.0)) };
        part / f64::from(self.batches[question.batch].max(1))
    }

    fn evidence(&self, question: &Question) -> f64 {
        let sum: f64 = question.courses.iter().map(|c| self.courses[*c as usize].evidence()).sum();
        sum / question.courses.len() as f64
    }

    /// Says anew which questions are findings: weighted e-BH.
    fn stand(&mut self) {
        let mut ranked: Vec<(f64, usize)> =
            self.questions.iter().enumerate().map(|(i, q)| (self.weight(q) * self.evidence(q), i)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let holds = |(rank, (weighted, _)): (usize, &(f64, usize))| {
            (weighted * self.settings.false_part * (rank + 1) as f64 >= 1.0).then_some(rank + 1)
        };
        let found = ranked.iter().enumerate().filter_map(holds).max().unwrap_or(0);
        for (rank, (_, i)) in ranked.into_iter().enumerate() {
            let since = &mut self.questions[i].since;
            *since = (rank < found).then(|| since.unwrap_or(self.look));
        }
    }

    /// What moves with the new version, the strongest first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found: Vec<(f64, Finding)> = self
            .questions
            .iter()
            .filter_map(|q| Some((self.weight(q) * self.evidence(q), self.finding(q, q.since?)?)))
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, finding)| finding).collect()
    }

    fn finding(&self, question: &Question, since_look: u64) -> Option<Finding> {
        let courses = question.courses.iter().map(|c| &self.courses[*c as usize]);
        let course = courses.max_by(|a, b| a.evidence().total_cmp(&b.evidence()))?;
        let mut finding = Finding {
            name: question.name.clone(),
            kind: question.kind,
            effect: course.effect(),
            direction: course.direction(),
            evidence: self.evidence(question),
            since_look,
            is_exposed: course.is_fresh(),
            why: String::new(),
        };
        finding.why = sentence(&finding, self.equal);
        Some(finding)
    }

    pub fn tally(&self) -> ScanTally {
        ScanTally { series: self.slots.len(), left_out: self.left_out }
    }
}

fn thousandths(d: f64) -> i16 {
    (d.clamp(-FURTHEST, FURTHEST) * PER_UNIT).round() as i16
}

/// One sentence with the figures.
fn sentence(finding: &Finding, equal: [f64; 2]) -> String {
    let times = |factor: f64| if factor < 0.1 { format!("{factor:.3}") } else { format!("{factor:.2}") };
    let what = match finding.kind {
        SeriesKind::Gauge => "is",
        SeriesKind::Counter => "grows",
        SeriesKind::Histogram => "lies beyond one of its edges",
    };
    let of = match finding.kind {
        SeriesKind::Gauge => "times what it is in the stable version",
        SeriesKind::Counter => "times as fast as in the stable version, for each instance",
        SeriesKind::Histogram => "times as often as in the stable version",
    };
    let fair = match finding.kind {
        SeriesKind::Histogram => String::new(),
        _ if equal[1] - equal[0] < 0.05 => String::new(),
        _ => format!("; by the traffic {} to {} would be equal", times(equal[0].exp()), times(equal[1].exp())),
    };
    let gone = if finding.is_exposed { "" } else { "; both versions no longer expose it" };
    let (name, effect, since) = (&finding.name, times(finding.effect), finding.since_look);
    format!("`{name}` {what} {effect} {of}{fair}, since look {since}, evidence {:.3e} : 1{gone}.", finding.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    // X18: hundreds of series cost little.
    #[test]
    fn the_state_of_a_series_is_small() {
        let state = size_of::<Gather>() + size_of::<Course>();
        assert!(state < 200, "{state}");
    }
}
