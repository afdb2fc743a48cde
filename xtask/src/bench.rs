//! Benches: each prints its figure beside the limit or the peer, measured in the same run.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    let mut bench = Command::new(env!("CARGO"));
    bench
        .args(["run", "--quiet", "--release", "--package", "sim", "--example", "bench", "--"])
        .args(names)
        .current_dir(root);
    if bench.status()?.success() { Ok(()) } else { bail!("a bench failed") }
}
