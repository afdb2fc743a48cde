//! SLIs: what the judge is told of a change: which SLIs, how strictly, against what.
//!
//! The words of a change file become the judge's settings here and nowhere else. Nothing is decided.

use std::collections::BTreeMap;

use change::proposal::Proposal;
use change::verification::{Against, Margin, Objective, Sli, Worse};
use judge::{Direction, Margins, Role, Settings, SliKind, SliSettings};

use crate::checks;
use crate::look;

/// The SLIs of the judge, and for each the name under which a look shows it.
pub(crate) struct Judged {
    pub slis: Vec<SliSettings>,
    pub reads: Vec<String>,
}

/// All that is judged of a proposal, where histograms have these edges.
pub(crate) fn judged(proposal: &Proposal, edges_ms: &BTreeMap<String, Vec<f64>>) -> Judged {
    let mut judged = Judged { slis: vec![], reads: vec![] };
    let mut add = |reads: &str, slis: Vec<SliSettings>| {
        for sli in slis {
            judged.slis.push(sli);
            judged.reads.push(reads.to_owned());
        }
    };
    for sli in &proposal.verify.slis {
        add(&sli.name, settings_of(sli, edges_ms.get(&sli.name)));
    }
    for command in &proposal.verify.commands {
        let name = look::check_name(&command.run);
        add(&name, vec![SliSettings::new(&name, SliKind::Check)]);
    }
    for check in checks::settings(&proposal.verify.checks) {
        add(&check.name.clone(), vec![check]);
    }
    for beside in &proposal.verify.beside {
        let name = beside.name();
        let mut sli = beside.sli.clone();
        (sli.name, sli.against) = (name.clone(), Against::Objective);
        let holds = |sli: SliSettings| SliSettings { role: Role::Holds, ..sli };
        add(&name, settings_of(&sli, edges_ms.get(&name)).into_iter().map(holds).collect());
    }
    judged
}

/// The judge's settings for these SLIs over the whole of a proposal's plan.
pub(crate) fn settings(proposal: &Proposal, slis: Vec<SliSettings>) -> Settings {
    let every = proposal.verify.every;
    let bakes = proposal.plan.steps.iter().map(|s| s.bake).chain([proposal.verify.watch]);
    let horizon = bakes.fold(0, |sum: u32, bake| sum.saturating_add(bake.looks(every)));
    Settings::new(slis, every.as_millis(), horizon)
}

pub(crate) fn comparison(of: change::verification::Comparison) -> judge::Comparison {
    match of {
        change::verification::Comparison::Concurrent => judge::Comparison::Concurrent,
        change::verification::Comparison::Objective => judge::Comparison::Objective,
        change::verification::Comparison::Before => judge::Comparison::Before,
    }
}

/// Whether a step of this share would have to say that it compares like this.
pub(crate) fn is_unusual(of: change::verification::Comparison, share: f64) -> bool {
    use change::verification::Comparison::{Concurrent, Objective};
    of != if share < 1.0 { Concurrent } else { Objective }
}

/// Margins as files write them, for the judge.
pub(crate) fn margins(harm: Option<Margin>, safe: Option<Margin>, floor: Option<Margin>) -> Margins {
    let part = |margin: Option<Margin>| margin.map(Margin::part);
    Margins { harm: part(harm), safe: part(safe), floor: part(floor) }
}

fn direction(worse: Worse) -> Direction {
    match worse {
        Worse::Up => Direction::Up,
        Worse::Down => Direction::Down,
    }
}

/// What is judged of one SLI of a change: itself, and, where it is held against both, the same once more against its objective.
fn settings_of(sli: &Sli, edges_ms: Option<&Vec<f64>>) -> Vec<SliSettings> {
    let kind = match (&sli.latency, &sli.gauge, &sli.rate) {
        (Some(latency), ..) => {
            let edges_ms = edges_ms.cloned().unwrap_or_else(|| vec![1_000.0]);
            SliKind::latency_below(edges_ms, latency.below.map(|span| span.as_millis() as f64))
        }
        (None, Some(gauge), _) => SliKind::measured(direction(gauge.worse), gauge.limit),
        (None, None, Some(rate)) => SliKind::measured(direction(rate.worse), rate.limit),
        (None, None, None) => SliKind::ratio(),
    };
    let kind = kind.with(margins(sli.harm, sli.safe, sli.floor));
    let objective = sli.objective.map(Objective::share);
    let one = SliSettings {
        weight: sli.weight.unwrap_or(1.0),
        objective,
        against_objective: sli.against == Against::Objective,
        ..SliSettings::new(&sli.name, kind)
    };
    match sli.against {
        Against::Step | Against::Objective => vec![one],
        Against::Both => {
            let name = format!("{}, objective", sli.name);
            let other = SliSettings { name, against_objective: true, ..one.clone() };
            vec![one, other]
        }
    }
}
