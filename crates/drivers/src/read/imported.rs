//! Imported: what was taken over from another tool's file, and what has to be said about it.
//!
//! A note says what the other tool means, what happens here instead, and what to write if that is wanted otherwise. Next: [`sli`](super::sli),
//! by which every reader makes its SLIs.

use std::collections::BTreeMap;
use std::fmt;

use change::document::{Document, Place, Problem};
use change::rollout::StepFile;
use change::time::Span;
use change::verification::Sli;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which tool a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `slis.yaml`, or the same with a section `judge`.
    Clearway,
    OpenSlo,
    Kayenta,
    Argo,
    Flagger,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clearway => "Clearway",
            Self::OpenSlo => "OpenSLO",
            Self::Kayenta => "Kayenta",
            Self::Argo => "Argo Rollouts",
            Self::Flagger => "Flagger",
        })
    }
}

/// How a canary is judged, as far as a file says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeFile {
    /// The false-rollback budget of a whole change; 0.01 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub alpha: Option<f64>,
    /// The chance of passing a step with a harmful SLI; 0.05 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub beta: Option<f64>,
    /// The time between two looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// The least time before a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<Span>,
    /// The time by which it has to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// The least number of requests of the new version before a pass; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u64>,
    /// The least share of the looks that carried data, above 0 and at most 1; 0.8 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub coverage: Option<f64>,
    /// Looks at the start in which only gross harm counts; 6 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up_looks: Option<u32>,
    /// The last looks that have to carry data, at most 32; 18 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub fresh_looks: Option<u32>,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Taken over, and means something else here.
    Differs,
    /// Not taken over.
    NotTaken,
    /// Taken over by a guess that should be looked at.
    Assumed,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Differs => "differs",
            Self::NotTaken => "not taken over",
            Self::Assumed => "assumed",
        })
    }
}

/// One thing to know about what was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub place: Place,
    /// The path of the value in the file, such as `spec.metrics[1].count`.
    pub path: String,
    pub level: Level,
    /// What the other tool means, and what happens here.
    pub text: String,
    /// What to write if it is wanted otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instead: Option<String>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: ", self.place.line, self.place.column, self.level)?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.text)?;
        self.instead.iter().try_for_each(|instead| write!(f, "\n  instead: {instead}"))
    }
}

/// What was taken over from one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub format: Format,
    pub slis: Vec<Sli>,
    pub judge: JudgeFile,
    /// The steps of a plan, where the file has some.
    pub steps: Vec<StepFile>,
    /// In the order of the file.
    pub notes: Vec<Note>,
}

impl Imported {
    /// Whether there is anything that Clearway can use.
    pub fn is_empty(&self) -> bool {
        self.slis.is_empty() && self.steps.is_empty()
    }

    /// What belongs into a change file: `verify`, and the steps of the plan.
    pub fn proposal(&self) -> Value {
        let names: Vec<&str> = self.slis.iter().map(|sli| sli.name.as_str()).collect();
        let mut proposal = json!({});
        if !names.is_empty() {
            proposal["verify"] = json!({"slis": names});
        }
        for (name, span) in [("every", self.judge.every), ("deadline", self.judge.deadline)] {
            if let Some(span) = span {
                proposal["verify"][name] = json!(span);
            }
        }
        if !self.steps.is_empty() {
            proposal["plan"] = json!({"steps": self.steps});
        } else if let Some(bake) = self.judge.bake {
            let step = |weight: &str| json!({"weight": weight, "bake": bake});
            proposal["plan"] = json!({"steps": [step("5%"), step("25%"), step("100%")]});
        }
        proposal
    }

    /// Everything in one object, with what belongs into a change file as `verify` and `plan`.
    pub fn to_json(&self) -> Value {
        let mut whole = json!({"format": self.format, "slis": self.slis, "judge": self.judge, "notes": self.notes});
        for (name, value) in self.proposal().as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        whole
    }

    /// A `slis.yaml`, with what belongs into the change file as a comment below it.
    pub fn to_yaml(&self) -> String {
        let mut text = super::yaml::write(&json!({"slis": self.slis}));
        let proposal = self.proposal();
        if proposal.as_object().is_some_and(|p| !p.is_empty()) {
            text.push_str("\n# For the change file:\n");
            for line in super::yaml::write(&proposal).lines() {
                text.push_str(&format!("# {line}\n"));
            }
        }
        text
    }
}

/// What the one who imports says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The telemetry source of every SLI, as clearway.toml names it.
    pub source: Option<String>,
    /// The values of placeholders, such as an Argo argument or Kayenta's `location`.
    pub values: BTreeMap<String, String>,
}

/// Collects what is said while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Sayings {
    pub(crate) notes: Vec<Note>,
    pub(crate) problems: Vec<Problem>,
}

impl Sayings {
    /// What was taken over, with the notes, or all that is wrong; both in the order of the file.
    pub(crate) fn finish(mut self, taken: Imported) -> Result<Imported, Vec<Problem>> {
        self.notes.sort_by_key(|note| note.place);
        self.problems.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
        self.problems.dedup();
        if self.problems.is_empty() { Ok(Imported { notes: self.notes, ..taken }) } else { Err(self.problems) }
    }
}

/// One document of a file, in which a reader stands and about which it says things.
pub(crate) struct Spot<'a> {
    pub(crate) document: &'a Document,
    pub(crate) said: &'a mut Sayings,
}

impl Spot<'_> {
    pub(crate) fn differs(&mut self, pointer: &str, text: impl Into<String>, instead: &str) {
        self.note(Level::Differs, pointer, text.into(), instead);
    }

    pub(crate) fn not_taken(&mut self, pointer: &str, text: impl Into<String>, instead: &str) {
        self.note(Level::NotTaken, pointer, text.into(), instead);
    }

    /// The source that was given, or the usual name of one.
    pub(crate) fn source(&mut self, given: &Given, pointer: &str) -> String {
        given.source.clone().unwrap_or_else(|| {
            self.assumed(pointer, "the source is called `prometheus`", "name it as clearway.toml does");
            "prometheus".into()
        })
    }

    pub(crate) fn assumed(&mut self, pointer: &str, text: impl Into<String>, instead: &str) {
        self.note(Level::Assumed, pointer, text.into(), instead);
    }

    pub(crate) fn problem(&mut self, pointer: &str, text: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.said.problems.push(self.document.problem(pointer, text, help));
    }

    /// What is true of a whole file is said once, at the first place.
    fn note(&mut self, level: Level, pointer: &str, text: String, instead: &str) {
        if self.said.notes.iter().any(|n| n.level == level && n.text == text) {
            return;
        }
        let at = self.document.problem(pointer, text, None);
        let instead = (!instead.is_empty()).then(|| instead.to_owned());
        self.said.notes.push(Note { place: at.place, path: at.path, level, text: at.message, instead });
    }

    pub(crate) fn value(&self, pointer: &str) -> Option<&Value> {
        self.document.value().pointer(pointer).filter(|v| !v.is_null())
    }

    pub(crate) fn text(&self, pointer: &str) -> Option<String> {
        self.value(pointer).and_then(words)
    }

    /// A number, also where it is written as text.
    pub(crate) fn number(&self, pointer: &str) -> Option<f64> {
        let value = self.value(pointer)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n| n.is_finite())
    }

    pub(crate) fn count(&self, pointer: &str) -> usize {
        self.value(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// A length of time as Go writes it (`1m30s`), rounded to milliseconds.
    pub(crate) fn span(&mut self, pointer: &str) -> Option<Span> {
        let text = self.text(pointer)?;
        let read = span_of_go(&text);
        if read.is_none() {
            self.problem(pointer, format!("`{text}` is not a length of time"), "write for example `90s` or `1m30s`");
        }
        read
    }
}

/// A scalar as text.
pub(crate) fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

const UNITS: [(&str, f64); 7] =
    [("ms", 1.0), ("us", 0.001), ("s", 1e3), ("m", 6e4), ("h", 3.6e6), ("d", 8.64e7), ("w", 6.048e8)];

/// `1m30s`, `0.5h`, `10m`; in seconds where there is no unit.
pub(crate) fn span_of_go(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u32>() {
        return Some(Span::secs(seconds.into()));
    }
    let mut millis = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, size) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        millis += number * size;
    }
    // Ten years, the longest that a span of ours holds.
    (millis > 0.0 && millis <= 3.15e11).then(|| Span::millis(millis.round() as u64))
}

/// A name as ours are written: lower case, digits, `.`, `_` and `-`, at most 100.
pub(crate) fn name_of(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || (c == '_' || c == '.') && !name.is_empty() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == 100 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "unnamed".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_the_other_tools_write_them() {
        let cases = [
            ("1m30s", Some("90s")),
            ("0.5h", Some("30m")),
            ("60", Some("1m")),
            ("1w", Some("7d")),
            ("250ms", Some("250ms")),
        ];
        for (given, wanted) in cases.into_iter().chain([
            ("", None),
            ("5", Some("5s")),
            ("m", None),
            ("5x", None),
            ("1e9h", None),
            ("-1m", None),
        ]) {
            assert_eq!(span_of_go(given).map(|s| s.to_string()), wanted.map(str::to_owned), "{given}");
        }
    }

    #[test]
    fn names_are_made_of_what_names_are_made_of() {
        for (given, wanted) in
            [("Error Rate (5xx)", "error-rate-5xx"), ("a_b.c", "a_b.c"), ("—", "unnamed"), ("-x-", "x")]
        {
            assert_eq!(name_of(given), wanted);
        }
        assert_eq!(name_of(&"ä1".repeat(200)).len(), 99);
    }
}
