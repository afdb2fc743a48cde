//! Options: what is run, how often, and where the document goes.
//!
//! Next room: [`catalogue`](crate::catalogue).

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::catalogue::{Fate, HELD_OUT, Scenario, TUNED, catalogue};

pub(crate) const USAGE: &str = "\
cargo xtask bench verdict                 the whole catalogue, a few minutes: one Markdown document
cargo xtask bench verdict -- OPTIONS
  --quick              few runs each, under a minute
  --runs N             so many runs of each healthy scenario (others in proportion)
  --only TEXT          only scenarios whose name holds this text
  --threads N          2 unless told
  --traces FOLDER      judge recorded A/A traces, one CSV file each, instead of the ones recorded now
  --record FOLDER      record A/A traces of identical servers on this machine into a folder, and end
  --write FILE         write the document there instead of printing it";

/// Runs of each healthy scenario.
const RUNS: usize = 1000;
const QUICK_RUNS: usize = 60;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) only: Option<String>,
    pub(crate) threads: usize,
    pub(crate) traces: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) write: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options { runs: RUNS, only: None, threads: 2, traces: None, record: None, write: None };
        let mut arguments = arguments.filter(|argument| argument != "--");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value\n{USAGE}"));
            match argument.as_str() {
                "--quick" => options.runs = QUICK_RUNS,
                "--runs" => options.runs = value()?.parse().context("`--runs` needs a number")?,
                "--only" => options.only = Some(value()?),
                "--threads" => options.threads = value()?.parse().context("`--threads` needs a number")?,
                "--traces" => options.traces = Some(value()?.into()),
                "--record" => options.record = Some(value()?.into()),
                "--write" => options.write = Some(value()?.into()),
                _ => bail!("there is no option `{argument}`\n{USAGE}"),
            }
        }
        Ok(options)
    }

    /// Each scenario and how often it is run.
    pub(crate) fn scenarios(&self) -> Vec<(Scenario, usize)> {
        let all = [&TUNED, &HELD_OUT].into_iter().flat_map(catalogue);
        let wanted = all.filter(|scenario| self.only.as_ref().is_none_or(|text| scenario.name.contains(text.as_str())));
        wanted
            .map(|scenario| (self.runs_of(&scenario.fate), scenario))
            .map(|(runs, scenario)| (scenario, runs))
            .collect()
    }

    /// Hours of each exact null.
    pub(crate) fn null_runs(&self) -> usize {
        (4 * self.runs).max(100)
    }

    /// Healthy canaries need the most runs: a share of 1 % has to be seen.
    fn runs_of(&self, fate: &Fate) -> usize {
        let part = match fate {
            Fate::Healthy(_) => 1.0,
            Fate::Harmful(_) | Fate::Dark(_) | Fate::Outage => 0.2,
            Fate::Stepped(_) => 0.2,
        };
        ((self.runs as f64 * part).ceil() as usize).max(4)
    }
}
