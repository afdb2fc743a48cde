//! The verdict bench: how well our judge does what it is for, beside the judges of Kayenta, Argo Rollouts and Flagger.
//!
//! `cargo xtask bench verdict` runs it and prints one Markdown document; `--help` says what else it can do. Reading order: [`traffic`] makes canaries as
//! [`ticks`], [`catalogue`] says which, [`judging`] and [`peers`] judge them, [`plan`] says what could be known, [`runs`] plays them all, [`null`],
//! [`traces`] and [`cost`] ask three more questions, [`figures`] and [`table`] say what came out. Nothing here is part of the product.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench has a clock, threads, files and output; the judge that it measures has none"
)]

mod options;

mod ticks;

mod traffic;

mod catalogue;

mod judging;

mod peers;

mod plan;

mod runs;

mod null;

mod record;

mod traces;

mod cost;

mod figures;

mod table;

use anyhow::{Context as _, Result};

use crate::options::Options;
use crate::table::Measured;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(record::SERVE) => return record::serve(),
        Some("--help" | "-h") => {
            println!("{}", options::USAGE);
            return Ok(());
        }
        _ => {}
    }
    let options = Options::read(arguments.iter().cloned())?;
    if let Some(folder) = &options.record {
        return record::record(folder);
    }
    let document = table::document(&measure(&options, &arguments)?);
    match &options.write {
        None => print!("{document}"),
        Some(file) => std::fs::write(file, document).with_context(|| file.display().to_string())?,
    }
    Ok(())
}

fn measure(options: &Options, arguments: &[String]) -> Result<Measured> {
    let traces = options.traces.as_deref().map(traces::judge_folder).transpose()?.unwrap_or_default();
    let is_whole = options.only.is_none();
    // alone on its core, before the threads start
    let cost = is_whole.then(cost::measure).transpose()?;
    let nulls = if is_whole { null::play(options.null_runs(), options.threads)? } else { Vec::new() };
    let played = runs::play(options.scenarios(), options.threads)?;
    let shown = arguments.iter().map(|argument| format!(" {argument}")).collect::<String>();
    let dashes = if shown.is_empty() { "" } else { " --" };
    Ok(Measured { command: format!("cargo xtask bench verdict{dashes}{shown}"), played, nulls, traces, cost })
}
