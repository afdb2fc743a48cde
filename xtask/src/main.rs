//! Maintenance: `cargo xtask check | codegen [--check] | bench | storms`.
//!
//! Runs the program and reads the tree; holds no rule of the product.

mod bench;
mod check;
mod codegen;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask check             the crate graph, the opening of each file, and what ARCHITECTURE.md claims
cargo xtask codegen           write docs/reference from the program
cargo xtask codegen --check   fail if docs/reference is not what the program says
cargo xtask bench [NAME]      print each figure beside its limit, measured in the same run
cargo xtask storms [SEEDS]    thousands of random worlds, each checked against every law
cargo xtask bench verdict     how well the judge judges, beside its peers; `-- --help` for its options";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => check::run(&root()),
        ["codegen"] => codegen::run(&root(), codegen::Mode::Write),
        ["codegen", "--check"] => codegen::run(&root(), codegen::Mode::Compare),
        ["bench", names @ ..] => bench::run(&root(), names),
        ["storms", seeds @ ..] => bench::example(&root(), "storms", seeds),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}
