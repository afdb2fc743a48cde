//! Explain: which rule gave which answer, and on which facts does it rest?
//!
//! Asks the bundle again with all rules of a name but one taken out, so that what is left said it: exact, whatever the rule is made of, and too slow for
//! anything but a person who wants to know. The lines stay where they are. What is left is asked where the bundle is: in a child, if that has one. It must never be asked on the way of a change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PolicyError;
use crate::answers::ASKED;
use crate::bundle::{Bundle, is_test};
use crate::reading::{self, Written};

/// One answer with the rule that gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// `deny`, `warn`, `require`, `score` or `checklist`.
    pub kind: String,
    /// The answer as the rule gave it.
    pub answer: Value,
    pub package: String,
    pub file: String,
    /// From 1.
    pub line: u32,
    /// What the rule says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The facts that the rule names, as they were; read from its text. What was not among the facts is null.
    pub reads: BTreeMap<String, Value>,
}

impl Bundle {
    /// Every answer to an input, with its rule.
    ///
    /// # Errors
    /// What went wrong, with its file and line where there is one.
    pub fn explain(&self, input: &str) -> Result<Vec<Explained>, String> {
        let facts: Value = serde_json::from_str(input).map_err(|e| format!("the input is no JSON: {e}"))?;
        let written = reading::rules(self.modules()).map_err(|e| e.to_string())?;
        let whole = self.raw(input)?;
        let mut explained = Vec::new();
        let asked = written.iter().filter(|rule| rule.is_asked() && said(&whole, rule).next().is_some());
        for rule in asked {
            for answer in self.alone(rule, &written, input)? {
                explained.push(self.explained(rule, answer, &written, &facts));
            }
        }
        let place = |kind: &str| ASKED.iter().position(|asked| *asked == kind);
        explained.sort_by(|a, b| (place(&a.kind), &a.file, a.line).cmp(&(place(&b.kind), &b.file, b.line)));
        Ok(explained)
    }

    /// The answers of one rule without the others of its name.
    fn alone(&self, rule: &Written, all: &[Written], input: &str) -> Result<Vec<Value>, String> {
        let others: Vec<&Written> =
            all.iter().filter(|o| o.package == rule.package && o.name == rule.name && *o != rule).collect();
        let modules = self.modules().iter().filter(|(path, _)| !is_test(path)).map(|(path, text)| {
            // Blocks of metadata above a blank would stand above nothing; what the rules answer does not rest on them.
            let mut text = text.replace("# METADATA", "# metadata").into_bytes();
            for other in others.iter().filter(|other| &other.file == path) {
                // Blank but for the ends of lines, so that every other rule stays where it is.
                text[other.from..other.to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            }
            (path.clone(), String::from_utf8_lossy(&text).into_owned())
        });
        let bundle = Self::of_modules(modules.collect()).map_err(|e: PolicyError| e.to_string())?;
        let bundle = match self.launch() {
            Some(launch) => bundle.in_child(launch),
            None => bundle,
        };
        let whole = bundle.raw(input)?;
        Ok(said(&whole, rule).cloned().collect())
    }

    fn explained(&self, rule: &Written, answer: Value, all: &[Written], facts: &Value) -> Explained {
        let note = self.notes().of_rule(&rule.file, rule.line);
        let package = self.notes().packages.get(&rule.package).map(|(_, note)| note);
        let value = |path: &String| {
            let pointer = path.replacen("input", "", 1).replace('.', "/");
            (path.clone(), facts.pointer(&pointer).cloned().unwrap_or_default())
        };
        Explained {
            kind: rule.name.clone(),
            answer,
            package: rule.package.clone(),
            file: rule.file.clone(),
            line: rule.line,
            title: note.or(package).and_then(|note| note.title.clone()),
            description: note.or(package).and_then(|note| note.description.clone()),
            reads: reading::facts_of(rule, all).iter().map(value).collect(),
        }
    }

    fn raw(&self, input: &str) -> Result<Vec<Value>, String> {
        serde_json::from_str(&self.answer(input)?).map_err(|e| format!("the answer is unreadable: {e}"))
    }
}

/// What a package said under the name of a rule.
fn said<'a>(whole: &'a [Value], rule: &Written) -> impl Iterator<Item = &'a Value> {
    let package = whole.iter().find(|package| package["package"] == rule.package.as_str());
    let answers = package.and_then(|package| package.get(&rule.name)).and_then(Value::as_array);
    answers.into_iter().flatten().filter_map(Value::as_array).flatten()
}
