//! Null: is the bound what it says? Canaries that are exactly as good as the baseline, and a judge that tolerates nothing.
//!
//! With equal odds and a margin of 1 the evidence is a supermartingale from 1, so it may ever reach `1/alpha` in a share `alpha` of the runs at most. The
//! guard against noise can't be switched off: it may only make crossings rarer. Next room: [`table`](crate::table).

use anyhow::Result;
use judge::{Answer, Profile, Settings, SliKind, SliSettings};

use crate::catalogue::TUNED;
use crate::figures::Of;
use crate::judging::{self, LOOK_INTERVAL_MS, Reader};
use crate::runs::spread;
use crate::ticks::Tick;
use crate::traffic::{Bursts, Edges, HOUR, Noise, Parameters, Share, history, hour};

pub(crate) const ALPHAS: [f64; 3] = [0.20, 0.05, 0.01];

/// What is equal in both cohorts, and how it is judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Null {
    pub(crate) name: &'static str,
    pub(crate) crossed: Vec<(Profile, [Of; 3])>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Errors,
    Latency,
}

fn nulls() -> [(&'static str, Judged, Parameters); 6] {
    let errors = |errors| Parameters { errors, edges: Edges::None, ..Parameters::PLAIN };
    let restless = Parameters {
        diurnal: 0.5,
        bursts: Bursts { number: 3, factor: 10.0, ticks: 6 },
        shared_errors: Noise { sd: 0.5, memory: 0.95 },
        ..errors(0.01)
    };
    [
        ("errors of 1 %", Judged::Errors, errors(0.01)),
        ("diurnal, bursts and shared noise", Judged::Errors, restless),
        ("share ramp, errors of 10 %", Judged::Errors, Parameters { share: Share::Ramp, ..errors(0.10) }),
        ("half each, errors of 30 %", Judged::Errors, Parameters { share: Share::Constant(0.5), ..errors(0.30) }),
        ("latency", Judged::Latency, Parameters::PLAIN),
        (
            "latency, half each, shared slowness",
            Judged::Latency,
            Parameters {
                share: Share::Constant(0.5),
                shared_latency: Noise { sd: 0.2, memory: 0.95 },
                ..Parameters::PLAIN
            },
        ),
    ]
}

/// Plays each null so often, under both profiles and the three budgets.
pub(crate) fn play(runs: usize, threads: usize) -> Result<Vec<Null>> {
    let nulls = nulls();
    let crossings = spread(nulls.len() * runs, threads, |job| {
        let (_, judged, parameters) = &nulls[job / runs];
        let seed = TUNED.first_seed + 500_000_000 + job as u64;
        let (before, ticks) = (history(parameters, seed), hour(parameters, seed));
        [Profile::Default, Profile::Reference]
            .into_iter()
            .flat_map(|profile| ALPHAS.map(|alpha| (profile, alpha)))
            .map(|(profile, alpha)| crosses(*judged, parameters, profile, alpha, &before, &ticks))
            .collect::<Result<Vec<bool>>>()
    })?;
    let of = |null: usize, column: usize| Of::count(&crossings[null * runs..(null + 1) * runs], |run| run[column]);
    let table = nulls.iter().enumerate().map(|(i, (name, _, _))| Null {
        name,
        crossed: [Profile::Default, Profile::Reference]
            .into_iter()
            .enumerate()
            .map(|(p, profile)| (profile, [0, 1, 2].map(|a| of(i, 3 * p + a))))
            .collect(),
    });
    Ok(table.collect())
}

fn crosses(
    judged: Judged,
    parameters: &Parameters,
    profile: Profile,
    alpha: f64,
    before: &[Tick],
    ticks: &[Tick],
) -> Result<bool> {
    let (kind, which) = match judged {
        Judged::Errors => (SliKind::Ratio { harm_margin: 1.0, safety_margin: 1.5, floor: 0.005 }, 0),
        Judged::Latency => {
            let edges_ms = parameters.edges.milliseconds();
            (SliKind::Latency { edges_ms, slowdown_harm: 1.0, slowdown_safe: 1.2, objective_edge_ms: None }, 1)
        }
    };
    let settings = Settings::new(vec![SliSettings::new("null", kind)], LOOK_INTERVAL_MS, HOUR as u32);
    let settings = Settings { alpha, profile, ..settings };
    let mut reader = Reader::only(which);
    let looks: Vec<_> = before.iter().map(|tick| reader.read(tick).clone()).collect();
    let mut judge = judge::Judge::with_history(settings, &looks)?;
    judge.begin_step(judging::beside(HOUR as u32, None))?;
    Ok(ticks.iter().any(|tick| judge.observe(reader.read(tick)) == Answer::Fail))
}
