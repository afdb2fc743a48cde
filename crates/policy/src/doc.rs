//! Doc: the rules as a page for people, written from what they say of themselves.
//!
//! Markdown from the metadata blocks, in the order of packages and lines. Invents nothing: a rule without a title is listed by its name and place.

use std::fmt::Write as _;

use change::assessment::Level;

use crate::PolicyError;
use crate::bundle::{BUILT_IN, Bundle};
use crate::metadata::Note;
use crate::reading::{self, Written};

/// Whose rules are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those that come with the program.
    BuiltIn,
    /// Those of the organisation.
    Own,
}

/// The page.
///
/// # Errors
/// If a policy can't be compiled.
pub fn markdown(bundle: &Bundle, whose: Whose, title: &str) -> Result<String, PolicyError> {
    let rules = reading::rules(bundle.modules())?;
    let wanted = |file: &str| file.starts_with(BUILT_IN) == (whose == Whose::BuiltIn);
    let mut packages: Vec<&str> = rules.iter().filter(|r| wanted(&r.file)).map(|r| r.package.as_str()).collect();
    packages.dedup();
    let mut text = format!("# {title}\n\nWritten by the program from the metadata of the rules.\n");
    for package in packages {
        of_package(&mut text, bundle, package);
        let asked = rules.iter().filter(|rule| rule.package == package && rule.is_asked());
        for rule in asked {
            of_rule(&mut text, bundle, rule, &rules);
        }
    }
    Ok(text)
}

// INVARIANT: writing into a string can't fail.
fn of_package(text: &mut String, bundle: &Bundle, package: &str) {
    let known = bundle.notes().packages.get(package);
    let note = known.map(|(_, note)| note);
    let _ = write!(text, "\n## {}\n\n`{package}`", note.and_then(|n| n.title.as_deref()).unwrap_or(package));
    let (binding, levels) = (bundle.notes().binding(package), |level: Level| format!("binds `{level}`"));
    let groups: Vec<String> = binding.override_by.iter().map(|group| format!("`{group}`")).collect();
    let _ = write!(text, " · {}", levels(binding.level));
    if !groups.is_empty() {
        let _ = write!(text, " · may be overridden by {}", groups.join(", "));
    }
    about(text, note);
    text.push('\n');
}

fn of_rule(text: &mut String, bundle: &Bundle, rule: &Written, all: &[Written]) {
    let note = bundle.notes().of_rule(&rule.file, rule.line);
    let code = rule.fields.iter().find(|(field, ..)| field == "code").map(|(_, code, _)| code.as_str());
    let name = note.and_then(|n| n.title.as_deref()).or(code).unwrap_or("without a title");
    let _ = write!(text, "\n### {name}\n\n`{}`", rule.name);
    if let Some(code) = code {
        let _ = write!(text, " `{code}`");
    }
    let _ = write!(text, " · {}:{}", rule.file, rule.line);
    about(text, note);
    let facts: Vec<String> = reading::facts_of(rule, all).iter().map(|fact| format!("`{fact}`")).collect();
    if !facts.is_empty() {
        let _ = write!(text, "\n\nReads {}.", facts.join(", "));
    }
    text.push('\n');
}

fn about(text: &mut String, note: Option<&Note>) {
    let Some(note) = note else { return };
    if let Some(owner) = &note.owner {
        let _ = write!(text, " · owner `{owner}`");
    }
    if let Some(by) = &note.review_by {
        let _ = write!(text, " · to be reviewed by {by}");
    }
    if let Some(description) = &note.description {
        let _ = write!(text, "\n\n{description}");
    }
}
