//! Policy: what do the rules of the organisation say of a change?
//!
//! Rego v1 over [`change::facts::Facts`], and the only room that knows the interpreter. Rules answer; nothing is decided here beyond adding up what
//! they said. It must never let a change through because a rule failed: an error, a timeout or an answer of the wrong type closes the gate.
//! Start at [`bundle`]; what a module may not do is in `guard`, the built-in rules are in `pack/`.

mod answers;
mod builtins;
pub mod bundle;
pub mod child;
pub mod compare;
pub mod doc;
pub mod drift;
pub mod explain;
mod guard;
pub mod metadata;
mod reading;
mod room;
pub mod sweep;
pub mod testing;

use std::fmt;

pub use bundle::Bundle;
pub use child::Launch;
pub use testing::TestRun;

/// Why policies could not be taken, or why they could not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The path of the module, as it was given.
    pub file: String,
    /// From 1; the first line where the whole file is meant.
    pub line: u32,
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyError {
    fn new(file: &str, line: u32, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }

    /// The place and the sentence in an error of the interpreter, which draws the line of source between them. `file` is where it was looking.
    fn of_interpreter(error: &str, file: &str) -> Self {
        let after = |text: &'static str| error.split_once(text).map(|(_, rest)| rest);
        let place = after("--> ").and_then(|rest| rest.lines().next()).and_then(|at| {
            let mut parts = at.rsplitn(3, ':');
            let line = parts.nth(1)?.parse().ok()?;
            Some((parts.next()?.to_owned(), line))
        });
        let message = after("error: ").unwrap_or(error).lines().next().unwrap_or_default().trim_end_matches(':');
        let (file, line) = place.unwrap_or_else(|| (file.to_owned(), 1));
        Self { file, line, message: message.to_owned() }
    }
}
