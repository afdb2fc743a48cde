//! Benches: each prints its figure beside the limit or the peer, measured in the same run.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// The bench of the judge, which has options of its own and prints a document.
const VERDICT: &str = "verdict";

pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    match names {
        [VERDICT, options @ ..] => example(root, "judge", "verdict", options),
        _ => example(root, "sim", "bench", names),
    }
}

fn example(root: &Path, package: &str, name: &str, arguments: &[&str]) -> Result<()> {
    let mut bench = Command::new(env!("CARGO"));
    bench
        .args(["run", "--quiet", "--release", "--package", package, "--example", name, "--"])
        .args(arguments)
        .current_dir(root);
    if bench.status()?.success() { Ok(()) } else { bail!("a bench failed") }
}
