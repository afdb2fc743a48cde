//! Code generation: docs/reference, written by the program itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Whether to write what is generated, or to compare it with what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Compare,
}

const SCHEMAS: [(&str, &str); 18] = [
    ("change", "change.schema.json"),
    ("release", "release.schema.json"),
    ("config", "clearway-toml.schema.json"),
    ("access", "access.schema.json"),
    ("approvals", "approvals.schema.json"),
    ("calendar", "calendar.schema.json"),
    ("roster", "roster.schema.json"),
    ("error-budget", "error-budget.schema.json"),
    ("conflicts", "conflicts.schema.json"),
    ("paths", "paths.schema.json"),
    ("slis", "slis.schema.json"),
    ("judge", "judge.schema.json"),
    ("service", "service.schema.json"),
    ("settings", "settings.schema.json"),
    ("secrets", "secrets.schema.json"),
    ("standard", "standard.schema.json"),
    ("policy", "policy-input.schema.json"),
    ("openapi", "openapi.json"),
];

pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--bin", "clearway"]).current_dir(root).status()?;
    if !built.success() {
        bail!("the program does not build");
    }
    let mut generated: Vec<(String, String)> = Vec::new();
    for (kind, file) in SCHEMAS {
        generated.push((file.to_owned(), ask(root, &["schema", kind])?));
    }
    generated.push(("policy-pack.md".to_owned(), ask(root, &["policy", "doc", "--built-in"])?));
    generated.push(("cli.md".to_owned(), reference(root)?));
    generated.push(("access.md".to_owned(), access(root)?));
    let mut stale = Vec::new();
    for (file, text) in generated {
        let path = root.join("docs/reference").join(&file);
        let present = fs::read_to_string(&path).unwrap_or_default();
        match mode {
            Mode::Write => fs::write(&path, text)?,
            Mode::Compare if present != text => stale.push(file),
            Mode::Compare => {}
        }
    }
    if !stale.is_empty() {
        bail!("docs/reference is not what the program says: {}; run `cargo xtask codegen`", stale.join(", "));
    }
    println!("docs/reference is what the program says");
    Ok(())
}

fn ask(root: &Path, arguments: &[&str]) -> Result<String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let program = target.join("debug/clearway");
    let output = Command::new(&program)
        .args(arguments)
        .env("COLUMNS", "110")
        .env_remove("CLEARWAY_DIR")
        .output()
        .with_context(|| program.display().to_string())?;
    if !output.status.success() {
        bail!("clearway {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The page on access with its table, which the program prints.
fn access(root: &Path) -> Result<String> {
    const MARK: (&str, &str) = ("<!-- clearway access actions -->\n", "<!-- end -->");
    let page = fs::read_to_string(root.join("docs/reference/access.md")).context("docs/reference/access.md")?;
    let parts = page.split_once(MARK.0).and_then(|(before, rest)| Some((before, rest.split_once(MARK.1)?.1)));
    let (before, after) = parts.context("docs/reference/access.md has no place for its table")?;
    let table = ask(root, &["access", "actions"])?;
    Ok(format!("{before}{}\n{}\n\n{}{after}", MARK.0, table.trim_end(), MARK.1))
}

/// Every command with its help.
fn reference(root: &Path) -> Result<String> {
    let mut text =
        String::from("# The command line\n\nWritten by `cargo xtask codegen` from the program's own help.\n");
    let mut paths: Vec<Vec<String>> = vec![vec![]];
    while let Some(path) = paths.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = ask(root, &arguments)?;
        let name = std::iter::once("clearway").chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        text.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end()));
        let listed = help.split("Commands:").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let names = listed
            .lines()
            .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
            .filter_map(|l| l.split_whitespace().next());
        let mut below: Vec<Vec<String>> =
            names.filter(|n| *n != "help").map(|n| path.iter().cloned().chain([n.to_owned()]).collect()).collect();
        below.reverse();
        paths.extend(below);
    }
    Ok(text)
}
