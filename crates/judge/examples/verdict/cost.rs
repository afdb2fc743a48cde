//! Cost: what does a look cost in time and memory, in the first hour and in the tenth?
//!
//! Four SLIs on one core, the looks made before the clock starts. Next room: [`table`](crate::table).

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use judge::{Answer, Judge, Look, Profile};

use crate::judging::{self, Reader};
use crate::traffic::{HOUR, Parameters, history, hour};

/// SLIs of the judge that is measured.
const SLIS: usize = 4;
/// Rounds of an hour of looks; of each figure the fastest round counts: what slowed the others was a neighbour.
const ROUNDS: usize = 31;
/// The tenth hour begins after nine.
const HOURS_BEFORE: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// SLIs judged per second on one core, in the first hour and in the tenth.
    pub(crate) slis_per_second: [f64; 2],
    /// The same where each look makes a verdict with its sentences.
    pub(crate) slis_per_second_with_sentences: f64,
    pub(crate) allocations_per_look: f64,
    pub(crate) allocations_per_verdict: f64,
    /// Bytes that one more judge takes, over its SLIs: settings and all.
    pub(crate) bytes_per_sli: f64,
}

pub(crate) fn measure() -> Result<Cost> {
    let parameters = Parameters::PLAIN;
    let before = history(&parameters, 1);
    let mut reader = Reader::new();
    let looks: Vec<Look> = hour(&parameters, 1).iter().map(|tick| reader.read(tick).clone()).collect();
    // never over, so that every look is judged to the end
    let horizon = (HOUR * (HOURS_BEFORE + 1)) as u32;
    let settings = judging::settings(&parameters.edges.milliseconds(), Profile::Default, horizon);
    let fresh = judging::ready(settings, &before, judging::beside(horizon, None))?;
    let mut aged = fresh.clone();
    for _ in 0..HOURS_BEFORE {
        observe(&mut aged, &looks);
    }
    ensure!(aged.answer() != Answer::Fail, "the judge that is measured has failed: it would ignore its looks");
    let (mut first, mut tenth, mut spoken) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        first.push(rate(&looks, || observe(&mut fresh.clone(), &looks)));
        tenth.push(rate(&looks, || observe(&mut aged.clone(), &looks)));
        spoken.push(rate(&looks, || speak(&mut aged.clone(), &looks)));
    }
    let (mut quiet, mut speaking) = (aged.clone(), aged.clone());
    let silent = allocation_counter::measure(|| observe(&mut quiet, &looks));
    let worded = allocation_counter::measure(|| speak(&mut speaking, &looks));
    let mut copy = None;
    let state = allocation_counter::measure(|| copy = Some(aged.clone()));
    let bytes = state.bytes_current as f64 + size_of_val(&copy) as f64;
    Ok(Cost {
        slis_per_second: [fastest(&first), fastest(&tenth)],
        slis_per_second_with_sentences: fastest(&spoken),
        allocations_per_look: silent.count_total as f64 / looks.len() as f64,
        allocations_per_verdict: worded.count_total as f64 / looks.len() as f64,
        bytes_per_sli: bytes / SLIS as f64,
    })
}

fn fastest(rates: &[f64]) -> f64 {
    rates.iter().copied().fold(0.0, f64::max)
}

fn rate(looks: &[Look], judge: impl FnOnce()) -> f64 {
    let start = Instant::now();
    judge();
    (looks.len() * SLIS) as f64 / start.elapsed().as_secs_f64()
}

fn observe(judge: &mut Judge, looks: &[Look]) {
    for look in looks {
        black_box(judge.observe(look));
    }
}

fn speak(judge: &mut Judge, looks: &[Look]) {
    for look in looks {
        black_box(judge.look(look));
    }
}
