//! The report on controls: M4, M6, M7 and M12 of one period, and the table of who is waited for longest (X2).
//!
//! The period runs from its start to just before its end. Where fewer than five times are known there is no median and no percentile: a figure of three
//! would be believed. What is remembered of each change is in [`controls`](crate::controls).

use std::collections::{BTreeMap, BTreeSet};

use change::assessment::Risk;
use change::governance::Matrix;
use change::time::Span;
use change::{Actor, ChangeId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::controls::{Debt, Part, Record, Wait};
use crate::fold::Fold;
use crate::report::Figure;

/// The fewest times that make a median.
pub const FEWEST: usize = 5;
/// The most rows of the table of those who are waited for.
const MOST_ROWS: usize = 20;
/// The code of the denial for a change that no rule of approvals.yaml matches.
const NO_RULE: &str = "no_approval_rule";

/// The figures about controls.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ControlReport {
    #[serde(rename = "M4")]
    pub approvals: Approvals,
    /// Rollouts that nobody had to approve, out of those that ended in the period.
    #[serde(rename = "M6")]
    pub no_human: Figure,
    #[serde(rename = "M7")]
    pub completeness: Completeness,
    #[serde(rename = "M12")]
    pub policy: PolicyFigures,
}

/// How long approvals took: from when a group was asked to its last needed vote.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Approvals {
    /// By level of risk.
    pub by_risk: BTreeMap<String, Lead>,
    pub by_group: BTreeMap<String, Lead>,
    /// Who is waited for longest, in all; those still being asked are counted up to the end of the period. At most 20.
    pub waited_for: Vec<WaitedFor>,
}

/// Lead times, those whose last vote came in the period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Lead {
    pub count: usize,
    /// Absent below five: insufficient data.
    pub median_seconds: Option<f64>,
    /// The time that nine of ten did not exceed; absent below five.
    pub p90_seconds: Option<f64>,
}

/// A group, or the person whose vote was the last.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WaitedFor {
    /// `group:sre` or `user:ada`.
    pub who: String,
    /// How many changes have waited for them.
    pub count: usize,
    /// How many wait now.
    pub waiting: usize,
    pub total_seconds: f64,
    pub longest_seconds: f64,
}

/// What the records of changes lack.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Completeness {
    /// Rollouts whose change names an author, an owner, a commit or an artifact, services, a way back, a verification and a link.
    #[serde(flatten)]
    pub share: Figure,
    /// The changes that lack each.
    pub missing: BTreeMap<Part, Vec<ChangeId>>,
}

/// What policy blocked, what people overrode, what nobody thought of, and what is owed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PolicyFigures {
    /// Changes that a rule denied for the first time in the period, by its code.
    pub blocks: BTreeMap<String, Vec<ChangeId>>,
    /// Changes with something overridden in the period, by the gate; one for each time.
    pub overrides: BTreeMap<String, Vec<ChangeId>>,
    /// Changes that began in the period through the emergency lane.
    pub emergencies: Vec<ChangeId>,
    pub coverage: Coverage,
    /// Reviews and approvals that are owed at the end of the period.
    pub debts: Debts,
}

/// How approvals.yaml and the changes of the period fit.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Coverage {
    /// Changes that no rule matched.
    pub unmatched_changes: Vec<ChangeId>,
    /// The rules in force, from 1 in the order of the file, that none of the changes assessed in the period matches.
    pub idle_rules: Vec<usize>,
    /// How many changes were assessed.
    pub samples: usize,
}

/// Reviews that are owed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Debts {
    pub open: Vec<ChangeId>,
    /// Those of them whose time is over.
    pub overdue: Vec<ChangeId>,
}

impl Fold {
    /// The figures about controls of the period from `from` to just before `to`, with the rules in force now.
    pub fn controls(&self, matrix: &Matrix, from: Timestamp, to: Timestamp) -> ControlReport {
        let period = Period { fold: self, from, to };
        ControlReport {
            approvals: period.approvals(),
            no_human: self.report(from, to).automation_share,
            completeness: period.completeness(),
            policy: PolicyFigures {
                blocks: period.blocks(),
                overrides: period.overrides(),
                emergencies: period.emergencies(),
                coverage: period.coverage(matrix),
                debts: period.debts(),
            },
        }
    }
}

struct Period<'a> {
    fold: &'a Fold,
    from: Timestamp,
    to: Timestamp,
}

impl<'a> Period<'a> {
    fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    fn records(&self) -> impl Iterator<Item = (ChangeId, &'a Record)> {
        self.fold.controls.changes.iter().map(|(id, record)| (*id, record))
    }

    fn waits(&self) -> impl Iterator<Item = &'a Wait> {
        self.records().flat_map(|(_, record)| &record.waits)
    }

    fn approvals(&self) -> Approvals {
        let (mut by_risk, mut by_group) = (BTreeMap::<String, Vec<Span>>::new(), BTreeMap::<String, Vec<Span>>::new());
        for wait in self.waits().filter(|wait| wait.met.as_ref().is_some_and(|(at, _)| self.contains(*at))) {
            by_risk.entry(wait.risk.to_string()).or_default().push(wait.length(self.to));
            by_group.entry(wait.group.clone()).or_default().push(wait.length(self.to));
        }
        // Each level has its row, so that a reader sees that there was nothing.
        for risk in [Risk::Low, Risk::Medium, Risk::High, Risk::Critical] {
            by_risk.entry(risk.to_string()).or_default();
        }
        let leads = |times: BTreeMap<String, Vec<Span>>| times.into_iter().map(|(name, t)| (name, lead(t))).collect();
        Approvals { by_risk: leads(by_risk), by_group: leads(by_group), waited_for: self.waited_for() }
    }

    fn waited_for(&self) -> Vec<WaitedFor> {
        let mut rows = BTreeMap::<String, WaitedFor>::new();
        for wait in self.waits() {
            let met = wait.met.as_ref().filter(|(at, _)| self.contains(*at));
            let open = wait.is_open_at(self.to);
            if met.is_none() && !open {
                continue;
            }
            let person = met.map(|(_, voter): &(Timestamp, Actor)| voter.to_string());
            for who in [Some(format!("group:{}", wait.group)), person].into_iter().flatten() {
                let row = rows.entry(who.clone()).or_insert_with(|| WaitedFor::nobody(who));
                row.add(seconds(wait.length(self.to)), open && met.is_none());
            }
        }
        let mut rows: Vec<WaitedFor> = rows.into_values().collect();
        rows.sort_by(|a, b| b.total_seconds.total_cmp(&a.total_seconds).then_with(|| a.who.cmp(&b.who)));
        rows.truncate(MOST_ROWS);
        rows
    }

    fn completeness(&self) -> Completeness {
        let ended = || self.records().filter(|(_, r)| r.rollout_ended_at.is_some_and(|at| self.contains(at)));
        let mut missing = BTreeMap::<Part, Vec<ChangeId>>::new();
        for (id, record) in ended() {
            record.missing.iter().for_each(|part| missing.entry(*part).or_default().push(id));
        }
        let share = crate::report::share(ended().map(|(id, record)| (id, record.missing.is_empty())));
        Completeness { share, missing }
    }

    fn blocks(&self) -> BTreeMap<String, Vec<ChangeId>> {
        let all = self.records().flat_map(|(id, record)| record.blocks.iter().map(move |(code, at)| (code, id, *at)));
        grouped(all.filter(|(_, _, at)| self.contains(*at)).map(|(code, id, _)| (code.clone(), id)))
    }

    fn overrides(&self) -> BTreeMap<String, Vec<ChangeId>> {
        let all =
            self.records().flat_map(|(id, record)| record.overrides.iter().map(move |(gate, at)| (gate, id, *at)));
        grouped(all.filter(|(_, _, at)| self.contains(*at)).map(|(gate, id, _)| (gate.clone(), id)))
    }

    fn emergencies(&self) -> Vec<ChangeId> {
        let began = |record: &Record| record.emergency.is_some_and(|at| self.contains(at));
        self.records().filter(|(_, record)| began(record)).map(|(id, _)| id).collect()
    }

    fn coverage(&self, matrix: &Matrix) -> Coverage {
        let assessed: Vec<(ChangeId, Option<usize>)> = self
            .records()
            .filter_map(|(id, record)| {
                let (risk, _) = record.risk.filter(|(_, at)| self.contains(*at))?;
                Some((id, matrix.row(&record.asks(risk))))
            })
            .collect();
        let used: BTreeSet<usize> = assessed.iter().filter_map(|(_, row)| *row).collect();
        Coverage {
            unmatched_changes: self.blocks().remove(NO_RULE).unwrap_or_default(),
            idle_rules: (0..matrix.rules.len()).filter(|row| !used.contains(row)).map(|row| row + 1).collect(),
            samples: assessed.len(),
        }
    }

    fn debts(&self) -> Debts {
        let is_open = |debt: &&Debt| debt.since < self.to && debt.done_at.is_none_or(|at| self.to <= at);
        let open = |record: &Record| record.debts.values().filter(is_open).map(|debt| debt.due).min();
        let owed: Vec<(ChangeId, Timestamp)> = self.records().filter_map(|(id, r)| Some((id, open(r)?))).collect();
        Debts {
            open: owed.iter().map(|(id, _)| *id).collect(),
            overdue: owed.iter().filter(|(_, due)| *due < self.to).map(|(id, _)| *id).collect(),
        }
    }
}

impl WaitedFor {
    fn nobody(who: String) -> Self {
        Self { who, count: 0, waiting: 0, total_seconds: 0.0, longest_seconds: 0.0 }
    }

    fn add(&mut self, seconds: f64, is_waiting: bool) {
        self.count += 1;
        self.waiting += usize::from(is_waiting);
        self.total_seconds += seconds;
        self.longest_seconds = self.longest_seconds.max(seconds);
    }
}

fn grouped(pairs: impl Iterator<Item = (String, ChangeId)>) -> BTreeMap<String, Vec<ChangeId>> {
    let mut groups = BTreeMap::<String, Vec<ChangeId>>::new();
    pairs.for_each(|(name, id)| groups.entry(name).or_default().push(id));
    groups
}

/// The lower median and the nearest-rank 90th percentile: both are times that some change really took.
fn lead(mut times: Vec<Span>) -> Lead {
    times.sort_unstable();
    let at = |rank: usize| (times.len() >= FEWEST).then(|| seconds(times[rank]));
    let last = times.len().saturating_sub(1);
    Lead {
        count: times.len(),
        median_seconds: at(last / 2),
        p90_seconds: at((times.len() * 9).div_ceil(10).saturating_sub(1)),
    }
}

fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1_000.0
}
