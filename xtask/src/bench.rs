//! Benches: each prints its figure beside the limit or the peer, measured in the same run.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// The bench of the judge, which has options of its own and prints a document.
const VERDICT: &str = "verdict";
/// The bench of policies, beside the bare interpreter, which no other crate knows.
const ASSESS: &str = "assess";
/// The bench of calendars, beside a library of recurrence rules, which no product crate uses.
const CALENDAR: &str = "calendar";

pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    match names {
        [VERDICT, options @ ..] => example(root, "judge", "verdict", options),
        [ASSESS] => example(root, "policy", "assess", &[]),
        [CALENDAR] => example(root, "change", "calendar", &[]),
        [] => [("sim", "bench"), ("policy", "assess"), ("change", "calendar")]
            .into_iter()
            .try_for_each(|(package, name)| example(root, package, name, &[])),
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
