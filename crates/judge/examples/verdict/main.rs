//! The verdict bench: how well our judge does what it is for, beside the judges of Kayenta, Argo Rollouts and Flagger.
//!
//! `cargo xtask bench verdict` runs it and prints one Markdown document; `--help` says what else it can do. Reading order: [`ticks`], [`traffic`] makes
//! canaries, [`catalogue`] says which, [`judging`] and [`peers`] judge them, [`plan`] says what could be known, [`runs`] plays them all, [`figures`] and
//! [`table`] say what came out. Nothing here is part of the product.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench has a clock, threads, files and output; the judge that it measures has none"
)]

mod ticks;

mod traffic;

mod catalogue;

mod judging;

mod peers;

mod plan;

mod runs;

mod figures;

mod options;

use anyhow::Result;

fn main() -> Result<()> {
    let options = options::Options::read(std::env::args().skip(1))?;
    let start = std::time::Instant::now();
    let played = runs::play(options.scenarios(), options.threads)?;
    for it in &played {
        let ours = it.of(runs::Who::Ours);
        let n = ours.len();
        let count = |f: fn(&runs::Outcome) -> bool| ours.iter().filter(|o| f(o)).count();
        let delays: Vec<f64> = ours.iter().map(|o| o.delay_minutes(it.onset())).collect();
        println!(
            "{:45} n {n} R {} P {} H {} median {:.1} plan {:?} pass {:?}",
            it.scenario.name,
            count(runs::Outcome::is_rolled_back),
            count(runs::Outcome::is_promoted),
            count(runs::Outcome::is_held),
            figures::median(&delays),
            plan::decidable(&it.scenario),
            plan::passes(&it.scenario)
        );
    }
    println!("{:?}", start.elapsed());
    Ok(())
}
