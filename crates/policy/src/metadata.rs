//! Metadata: what do the authors of a rule say about it?
//!
//! The comment blocks of OPA: a line `# METADATA`, then YAML in the comment, above a package or a rule. Those of a package bind it with a level; those of
//! a rule say what it is for. A block that can't be read is an error with its line: a level that was misspelt must never become a laxer one. What an
//! answer makes of the level is in `answers`.

use std::collections::{BTreeMap, BTreeSet};

use change::assessment::Level;
use change::document::Document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PolicyError;

/// A comment block as it is written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Block {
    /// What the block is about; the line below it says it if absent.
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    custom: Option<Custom>,
    #[serde(default)]
    authors: Option<Vec<String>>,
    #[serde(default)]
    organizations: Option<Vec<String>>,
    #[serde(default)]
    related_resources: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Package,
    Rule,
    Document,
}

/// What Clearway reads below `custom`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Custom {
    /// How strictly the package binds; hard if absent.
    #[serde(default)]
    level: Option<Level>,
    /// The groups that may override it where it is soft.
    #[serde(default)]
    override_by: Option<BTreeSet<String>>,
    /// The laxest level that an answer of this package may carry; that of the package if absent.
    #[serde(default)]
    laxest: Option<Level>,
    /// The day by which somebody looks whether it is still right, such as `2027-06-01`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"), extend("examples" = ["2027-06-01"]))]
    review_by: Option<String>,
    /// Who answers for it: a user or group.
    #[serde(default)]
    owner: Option<String>,
}

/// What is said of a package or a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Note {
    pub file: String,
    /// The line of the package or rule, from 1.
    pub line: u32,
    pub title: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub review_by: Option<String>,
}

/// How strictly a package binds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Binding {
    pub level: Level,
    /// Whoever holds the permission if empty.
    pub override_by: BTreeSet<String>,
    /// The laxest level that an answer may carry.
    pub laxest: Level,
}

/// All that the modules say about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// By the name of the package, without `data.`.
    pub packages: BTreeMap<String, (Binding, Note)>,
    /// In the order of files and lines; the line is that of the rule.
    pub rules: Vec<Note>,
}

impl Notes {
    /// Reads the blocks of modules, given by path and text.
    ///
    /// # Errors
    /// The first block that can't be read, or a package that is annotated twice.
    pub(crate) fn read(modules: &BTreeMap<String, String>) -> Result<Self, PolicyError> {
        let mut notes = Self::default();
        for (file, text) in modules {
            notes.add(file, text)?;
        }
        Ok(notes)
    }

    /// How a package binds; hard where it does not say.
    pub(crate) fn binding(&self, package: &str) -> Binding {
        self.packages.get(package).map(|(binding, _)| binding.clone()).unwrap_or_default()
    }

    /// What is said of the rule in this line.
    pub fn of_rule(&self, file: &str, line: u32) -> Option<&Note> {
        self.rules.iter().find(|note| note.file == file && note.line == line)
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), PolicyError> {
        let lines: Vec<&str> = text.lines().collect();
        let starts = (0..lines.len()).filter(|i| lines[*i].trim() == "# METADATA");
        for start in starts {
            let body = lines[start + 1..].iter().take_while(|line| line.trim_start().starts_with('#')).count();
            let below = start + 1 + body;
            let subject = lines[below..].iter().position(|l| !l.trim().is_empty()).map(|skipped| below + skipped);
            let block = read_block(file, start, &lines[start + 1..below])?;
            let Some(subject) = subject.filter(|at| !lines[*at].trim_start().starts_with('#')) else {
                return Err(error(file, start, "the block stands above nothing; put it above a package or a rule"));
            };
            self.take(file, subject, lines[subject], block)?;
        }
        Ok(())
    }

    fn take(&mut self, file: &str, at: usize, line: &str, block: Block) -> Result<(), PolicyError> {
        let package = line.trim().strip_prefix("package ").map(|name| name.split('#').next().unwrap_or(name).trim());
        let custom = block.custom.unwrap_or_default();
        let note = Note {
            file: file.to_owned(),
            line: line_of(at),
            title: block.title,
            description: block.description.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            owner: custom.owner,
            review_by: custom.review_by,
        };
        match (package, block.scope) {
            (Some(name), None | Some(Scope::Package)) => {
                let level = custom.level.unwrap_or_default();
                let laxest = custom.laxest.unwrap_or(level);
                if laxest > level {
                    let message = format!("`laxest` is `{laxest}`, which is stricter than the level `{level}`");
                    return Err(error(file, at, &message));
                }
                let binding = Binding { level, override_by: custom.override_by.unwrap_or_default(), laxest };
                if self.packages.insert(name.to_owned(), (binding, note)).is_some() {
                    let message = format!("the package `{name}` has a block in another file already; keep one");
                    return Err(error(file, at, &message));
                }
            }
            (None, None | Some(Scope::Rule | Scope::Document)) => {
                if custom.level.is_some() || custom.laxest.is_some() || custom.override_by.is_some() {
                    let message =
                        "a level stands above the package, or in the answer itself: `{\"level\": \"soft\", ...}`";
                    return Err(error(file, at, message));
                }
                self.rules.push(note);
            }
            (Some(_), Some(_)) => return Err(error(file, at, "a block above a package has the scope `package`")),
            (None, Some(_)) => return Err(error(file, at, "a block of the scope `package` stands above the package")),
        }
        Ok(())
    }
}

fn read_block(file: &str, start: usize, lines: &[&str]) -> Result<Block, PolicyError> {
    let bare = |line: &&str| line.trim_start().trim_start_matches('#').strip_prefix(' ').unwrap_or_default().to_owned();
    let yaml: Vec<String> = lines.iter().map(bare).collect();
    Document::from_yaml(&yaml.join("\n")).and_then(|document| document.read()).map_err(|problems| {
        // The lines of the block start below its first one.
        let said = problems.first().map(|problem| {
            let at = start + problem.place.line;
            let path = if problem.path.is_empty() { String::new() } else { format!("`{}`: ", problem.path) };
            let help = problem.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            (at, format!("the block of metadata can't be read: {path}{}{help}", problem.message))
        });
        let (at, message) = said.unwrap_or_else(|| (start, "the block of metadata can't be read".to_owned()));
        error(file, at, &message)
    })
}

fn line_of(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

fn error(file: &str, at: usize, message: &str) -> PolicyError {
    PolicyError::new(file, line_of(at), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(text: &str) -> Result<Notes, PolicyError> {
        Notes::read(&BTreeMap::from([("policy/a.rego".to_owned(), text.to_owned())]))
    }

    #[test]
    fn a_package_is_bound_by_its_block_and_a_rule_is_described_by_its_own() {
        let text = "# METADATA\n# title: Freezes\n# description: >-\n#   Nobody starts\n#   when it is late.\n# custom:\n#   level: soft\n#   override_by: [sre]\n#   review_by: 2027-06-01\n#   owner: ada\npackage clearway.a\n\n# METADATA\n# title: Late\ndeny contains 1\n";
        let notes = notes(text).expect("it is well formed");
        let (binding, note) = &notes.packages["clearway.a"];
        assert_eq!((binding.level, binding.laxest), (Level::Soft, Level::Soft));
        assert_eq!(binding.override_by, BTreeSet::from(["sre".to_owned()]));
        assert_eq!(note.description.as_deref(), Some("Nobody starts when it is late."));
        assert_eq!(
            (note.review_by.as_deref(), note.owner.as_deref(), note.line),
            (Some("2027-06-01"), Some("ada"), 11)
        );
        assert_eq!(notes.of_rule("policy/a.rego", 15).and_then(|rule| rule.title.as_deref()), Some("Late"));
        assert_eq!(notes.binding("clearway.b").level, Level::Hard);
    }

    #[test]
    fn a_block_that_could_be_misread_is_refused_with_its_line() {
        let cases = [
            ("# METADATA\n# custom: {level: sotf}\npackage a\n", 2, "did you mean `soft`?"),
            ("# METADATA\n# custom:\n#   overide_by: [sre]\npackage a\n", 3, "did you mean `override_by`?"),
            ("# METADATA\n# titel: x\npackage a\n", 2, "did you mean `title`?"),
            ("# METADATA\n# title: [\npackage a\n", 3, "the block of metadata can't be read"),
            ("# METADATA\n# custom: {level: soft, laxest: hard}\npackage a\n", 3, "stricter than the level"),
            ("package a\n# METADATA\n# custom: {level: soft}\nr := 1\n", 4, "a level stands above the package"),
            ("package a\n# METADATA\n# scope: package\nr := 1\n", 4, "stands above the package"),
            ("package a\n# METADATA\n# title: x\n", 2, "stands above nothing"),
        ];
        for (text, line, said) in cases {
            let error = notes(text).expect_err(text);
            assert!(error.line == line && error.message.contains(said), "{text}: {error}");
        }
        let twice = |text: &str| BTreeMap::from([("a".to_owned(), text.to_owned()), ("b".to_owned(), text.to_owned())]);
        assert!(Notes::read(&twice("# METADATA\n# title: x\npackage a\n")).is_err_and(|e| e.file == "b"));
    }
}
