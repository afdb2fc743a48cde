//! Benches: each prints its figure beside the limit or the peer, measured in the same run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// What runs the server whole, bench by bench.
const ALL: &str = "bench";
/// The bench of the judge, which has options of its own and prints a document.
const VERDICT: &str = "verdict";
/// The bench of policies, beside the bare interpreter, which no other crate knows.
const ASSESS: &str = "assess";
/// The bench of calendars, beside a library of recurrence rules, which no product crate uses.
const CALENDAR: &str = "calendar";

pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    match names {
        [VERDICT, options @ ..] => example(root, VERDICT, options),
        [ASSESS] => example(root, ASSESS, &[]),
        [CALENDAR] => example(root, CALENDAR, &[]),
        [] => [ALL, ASSESS, CALENDAR].into_iter().try_for_each(|name| example(root, name, &[])),
        _ => example(root, ALL, names),
    }
}

/// Built with the features that the workspace has as a whole, as the product is: so one build serves all benches.
pub(crate) fn example(root: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--workspace", "--example", name]).current_dir(root);
    if !build.status()?.success() {
        bail!("the bench `{name}` can't be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut bench = Command::new(target.join("release").join("examples").join(name));
    if bench.args(arguments).current_dir(root).status()?.success() { Ok(()) } else { bail!("`{name}` failed") }
}
