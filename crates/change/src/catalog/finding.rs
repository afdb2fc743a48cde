//! Findings: what there is to say about a catalog, each with the file and the line.
//!
//! An error stops a load, a warning and a note never do. Who decides which is which: [`check`](super::check) and [`drift`](super::drift).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{Document, Place, Problem};

/// A place in one of the files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The path of the file in the governance folder.
    pub file: String,
    pub place: Place,
    /// The path of the value in the file, such as `depends_on[1]`; empty for the file as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl At {
    /// The place of the value at a JSON pointer.
    pub fn of(file: &str, document: &Document, pointer: &str) -> Self {
        let Problem { place, path, .. } = document.problem(pointer, "", None);
        Self { file: file.to_owned(), place, path }
    }

    /// A file as a whole.
    pub fn file(file: &str) -> Self {
        Self { file: file.to_owned(), place: Place { line: 1, column: 1 }, path: String::new() }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.place.line, self.place.column)
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The files can't be loaded.
    Error,
    /// Should be mended; the files are loaded as they are.
    Warning,
    /// Something to know about what was taken over.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file can't be read.
    Unreadable,
    /// Two services have one name.
    Duplicate,
    /// The owner is nobody.
    OwnerGone,
    /// The owner is named by another tool's files alone, so nobody can approve for it.
    OwnerMayNothing,
    /// Whoever is on call is nobody.
    OnCallGone,
    /// A dependency on a service that is not there.
    Dangling,
    /// A service depends on itself.
    SelfDependency,
    /// Services depend on each other in a circle.
    Cycle,
    /// A service depends on a less important one.
    TierInverted,
    /// An SLI is named that is not there.
    SliGone,
    /// A promise is named that promises nothing.
    NoObjective,
    /// Nothing is counted of a service.
    Unwatched,
    /// The review of an entry is overdue.
    ReviewOverdue,
    /// A dependency was observed and is not declared.
    Undeclared,
    /// A dependency is declared and was not observed.
    Unobserved,
    /// A service was observed that the catalog does not know.
    UnknownService,
    /// Another tool's name is written otherwise here.
    Renamed,
    /// Another tool's value is not taken over.
    NotTaken,
    /// Another tool's value was taken over by a guess.
    Assumed,
}

impl FindingKind {
    /// Whether it tells of a catalog that has become untrue, rather than of one that was written wrong.
    pub fn is_drift(self) -> bool {
        use FindingKind::*;
        let drift = [
            OwnerGone,
            OwnerMayNothing,
            OnCallGone,
            Dangling,
            SliGone,
            Unwatched,
            ReviewOverdue,
            Undeclared,
            Unobserved,
            UnknownService,
        ];
        drift.contains(&self)
    }
}

/// One thing to say about a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub severity: Severity,
    pub kind: FindingKind,
    /// The service that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(flatten)]
    pub at: At,
    /// What is so.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    pub fn error(kind: FindingKind, at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, kind, service: None, at, message: message.into(), help: None }
    }

    pub fn warning(kind: FindingKind, at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(kind, at, message) }
    }

    pub fn note(kind: FindingKind, at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(kind, at, message) }
    }

    #[must_use]
    pub fn about(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A problem of a file.
    pub fn unreadable(file: &str, problem: Problem) -> Self {
        let Problem { place, path, message, help } = problem;
        let at = At { file: file.to_owned(), place, path };
        Self { help, ..Self::error(FindingKind::Unreadable, at, message) }
    }

    /// The same as a problem, with the path of its file.
    pub fn into_problem(self) -> (String, Problem) {
        let At { file, place, path } = self.at;
        (file, Problem { place, path, message: self.message, help: self.help })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.at, self.severity)?;
        if !self.at.path.is_empty() {
            write!(f, "`{}`: ", self.at.path)?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// The weightiest first, then in the order of the files.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| (a.severity, &a.at, a.kind, &a.message).cmp(&(b.severity, &b.at, b.kind, &b.message)));
    findings.dedup();
}
