//! Checks of the house: who uses whom, how each file opens, and whether the map names checks that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// Who may use whom. What is not listed is forbidden.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("audit", &[]),
    ("judge", &[]),
    ("change", &[]),
    ("router", &[]),
    ("policy", &["change"]),
    ("measure", &["change"]),
    ("engine", &["change", "audit", "judge", "policy", "measure"]),
    ("store", &["engine", "change", "audit"]),
    ("drivers", &["engine", "change", "judge"]),
    ("server", &["engine", "change", "audit", "measure"]),
    ("sim", &["audit", "change", "drivers", "engine", "judge", "measure", "policy", "router", "server", "store"]),
    (
        "cli",
        &["audit", "change", "drivers", "engine", "judge", "measure", "policy", "router", "server", "sim", "store"],
    ),
    (
        "xtask",
        &["audit", "change", "drivers", "engine", "judge", "measure", "policy", "router", "server", "sim", "store"],
    ),
];

/// The crates that know no async, I/O, clock or chance; a `clippy.toml` in each says so to the compiler.
const PURE: [&str; 4] = ["audit", "judge", "change", "measure"];
/// Dependencies that a pure crate can't have.
const IMPURE: [&str; 8] = ["tokio", "reqwest", "hyper", "axum", "rusqlite", "rand", "rustix", "futures"];

/// The longest that the map may be.
const MOST_LINES_OF_MAP: usize = 250;

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut wrong = graph(root)?;
    wrong.extend(openings(root)?);
    wrong.extend(map(root)?);
    if wrong.is_empty() {
        println!("the house is in order");
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

fn graph(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.into();
    let ours: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("`{name}` is a new crate: it needs a place in xtask/src/check.rs and an ADR"));
            continue;
        };
        for dependency in &package.dependencies {
            if ours.contains(&dependency.name) && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("`{name}` may not use `{}`", dependency.name));
            }
            let impure = PURE.contains(&name) && IMPURE.contains(&dependency.name.as_str());
            if impure && dependency.kind != DependencyKind::Development {
                wrong.push(format!("`{name}` is pure and may not use `{}`", dependency.name));
            }
        }
        if PURE.contains(&name) && !root.join("crates").join(name).join("clippy.toml").exists() {
            wrong.push(format!("`{name}` is pure and has no clippy.toml that says so"));
        }
    }
    Ok(wrong)
}

/// Every Rust file, below the crates and here.
pub(crate) fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn openings(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for path in rust_files(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path)?;
        let opening = text.lines().next().unwrap_or_default();
        if !opening.starts_with("//! ") {
            wrong.push(format!("{shown} does not open by saying what it is for"));
        }
        if path.file_name().is_some_and(|n| n == "mod.rs") {
            wrong.push(format!("{shown}: use `name.rs` beside `name/`"));
        }
    }
    Ok(wrong)
}

/// Each invariant in ARCHITECTURE.md names what holds it after `held by`, as names of tests, in backticks.
fn map(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let mut code = String::new();
    for path in rust_files(root)? {
        code.push_str(&fs::read_to_string(path)?);
    }
    let mut wrong = Vec::new();
    if text.lines().count() > MOST_LINES_OF_MAP {
        wrong.push(format!("ARCHITECTURE.md has more than {MOST_LINES_OF_MAP} lines"));
    }
    let mut held = 0;
    for claim in text.split("held by").skip(1) {
        let sentence = claim.split(['\n', ';']).next().unwrap_or_default();
        for name in sentence.split('`').skip(1).step_by(2) {
            held += 1;
            let is_a_test = code.contains(&format!("fn {name}("));
            let is_a_command = name.starts_with("cargo ") || name.ends_with(".toml");
            if !is_a_test && !is_a_command {
                wrong.push(format!("ARCHITECTURE.md names the check `{name}`, which does not exist"));
            }
        }
    }
    if held == 0 {
        wrong.push("ARCHITECTURE.md names no check".into());
    }
    Ok(wrong)
}
