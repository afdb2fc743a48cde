//! Standard: what was approved once for all, within which bounds, and does it still count?
//!
//! Holds the files of `standards/` as people write them ([`Template`]), the change file that a template becomes for its parameters, and whether an
//! instance goes without votes. Must never put a parameter into text that is read again: values go into values, and what comes out is read as any
//! change file. What an instance carries is [`course::Standard`](crate::course::Standard); how it has fared, [`Record`].

mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::civil::Date;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::actor::Access;
use crate::circumstances::Record;
use crate::course;
use crate::document::{self, Document, Problem};
use crate::id::Digest;
use crate::time::{Span, TimeZone, Timestamp, after};

/// The folder of the governance directory that holds them.
pub const FOLDER: &str = "standards/";
/// How long a template counts, with a warning, after the day by which it was to be reviewed.
pub const GRACE: Span = Span::secs(14 * 86_400);
/// The most characters of a text that is given for a parameter.
pub const LONGEST_TEXT: usize = 200;
/// The most bytes that the pattern of a parameter may take when it is compiled.
const LARGEST_PATTERN: usize = 1 << 18;

/// Whether a file of the governance directory is a template.
pub fn is_of_standards(path: &str) -> bool {
    path.starts_with(FOLDER) && (path.ends_with(".yaml") || path.ends_with(".yml"))
}

/// A file of `standards/`: a change that was approved once, for parameters within its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The word by which it is proposed.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{0,62}$"), extend("examples" = ["restart-checkout"]))]
    pub id: String,
    /// What it does, in one line.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Why it needs no votes, and when it is the right thing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 20_000))]
    pub description: String,
    /// The user or group that answers for it, and hears when it is suspended.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// What may differ from one time to the next, by name.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub parameters: BTreeMap<String, Parameter>,
    /// A change file. `${name}` in its texts stands for a parameter; a text that is nothing else becomes the parameter's value.
    #[schemars(with = "Map<String, Value>")]
    pub change: Map<String, Value>,
    /// After how many failures in a row it is suspended.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub suspend_after: u32,
    /// The day by which somebody looks again whether it should still go without votes.
    #[schemars(with = "String", regex(pattern = r"^\d{4}-\d{2}-\d{2}$"), extend("examples" = ["2027-01-31"]))]
    pub review_by: Date,
    /// Groups and users who may use it; if empty, everybody who may propose changes of its services. Nobody may without that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub may: Vec<String>,
}

fn two() -> u32 {
    2
}

/// A parameter and its bounds: a `pattern` for a text, `minimum` and `maximum` for a whole number, or the values of `one_of`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is, for those who give it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1_000))]
    pub description: String,
    /// A regular expression that the whole text matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub pattern: Option<String>,
    /// The smallest whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// The largest whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// The values that it can have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub one_of: Vec<Argument>,
    /// What it is where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Argument>,
    /// A value with which the template is tried when it is read; needed for a text without a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Argument>,
}

/// What is given for a parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Argument {
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Argument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Argument {
    fn value(&self) -> Value {
        match self {
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.clone()),
        }
    }
}

/// The bounds of a parameter, in the one form that it has.
enum Bounds<'a> {
    Text(Box<Regex>),
    Whole { minimum: i64, maximum: i64 },
    OneOf(&'a [Argument]),
}

impl Parameter {
    fn bounds(&self) -> Result<Bounds<'_>, String> {
        match (&self.pattern, self.minimum, self.maximum, self.one_of.as_slice()) {
            (Some(pattern), None, None, []) => whole(pattern).map(|regex| Bounds::Text(Box::new(regex))),
            (None, Some(minimum), Some(maximum), []) if minimum <= maximum => Ok(Bounds::Whole { minimum, maximum }),
            (None, Some(minimum), Some(maximum), []) => {
                Err(format!("the minimum {minimum} is above the maximum {maximum}"))
            }
            (None, None, None, values @ [_, ..]) => Ok(Bounds::OneOf(values)),
            _ => Err("a parameter has bounds of one form: a `pattern`, `minimum` and `maximum`, or `one_of`".into()),
        }
    }

    /// What is wrong with a value for it, in a sentence.
    fn refuses(&self, given: &Argument) -> Option<String> {
        let bounds = match self.bounds() {
            Ok(bounds) => bounds,
            Err(problem) => return Some(problem),
        };
        match (bounds, given) {
            (_, Argument::Text(text)) if text.chars().count() > LONGEST_TEXT => {
                Some(format!("it has more than {LONGEST_TEXT} characters"))
            }
            (_, Argument::Text(text)) if text.chars().any(is_unseen) => {
                Some("it holds a line break or another character that can't be seen".into())
            }
            (Bounds::Text(regex), Argument::Text(text)) if regex.is_match(text) => None,
            (Bounds::Text(_), Argument::Text(text)) => {
                let pattern = self.pattern.as_deref().unwrap_or_default();
                Some(format!("`{text}` does not match `{pattern}`"))
            }
            (Bounds::Text(_), Argument::Number(number)) => Some(format!("expected text, found the number `{number}`")),
            (Bounds::Whole { minimum, maximum }, Argument::Number(n)) if (minimum..=maximum).contains(n) => None,
            (Bounds::Whole { minimum, maximum }, given) => {
                Some(format!("`{given}` is no whole number from {minimum} to {maximum}"))
            }
            (Bounds::OneOf(values), given) if values.contains(given) => None,
            (Bounds::OneOf(values), given) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                Some(format!("`{given}` is not among {}", document::list(values.iter().map(String::as_str))))
            }
        }
    }

    /// What somebody means who can only write text: the number where numbers are asked for.
    pub fn meant(&self, text: &str) -> Argument {
        let as_text = Argument::Text(text.to_owned());
        let number = text.parse().ok().map(Argument::Number);
        let asks_for_number = self.minimum.is_some() || number.as_ref().is_some_and(|n| self.one_of.contains(n));
        if self.one_of.contains(&as_text) { as_text } else { number.filter(|_| asks_for_number).unwrap_or(as_text) }
    }

    /// A value by which the template can be tried.
    fn sample(&self) -> Option<Argument> {
        let first = || self.one_of.first().cloned().or(self.minimum.map(Argument::Number));
        self.default.clone().or_else(|| self.example.clone()).or_else(first)
    }
}

/// A pattern as it is meant: for the whole text, not for a part of it.
fn whole(pattern: &str) -> Result<Regex, String> {
    let anchored = format!(r"\A(?:{pattern})\z");
    // The pattern by itself first: a bracket that is closed too early must not let it out of its group.
    let built = Regex::new(pattern).and_then(|_| RegexBuilder::new(&anchored).size_limit(LARGEST_PATTERN).build());
    built.map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        format!("`{pattern}` is no regular expression: {}", last.trim_start_matches("error: "))
    })
}

/// Line breaks, controls, and the marks that turn the direction of a text, which show something else than what is there.
fn is_unseen(c: char) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() || turns
}

/// Whether an instance goes without votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    Counts {
        /// What has to be said beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// It is approved like any other change.
    CountsNot { why: String },
}

/// Whether an instance counts: only of the very template in force, before its review is long overdue, and while it is not suspended.
pub fn standing(in_force: Option<&Template>, instance: &course::Standard, record: &Record, now: Timestamp) -> Standing {
    let not = |why: &str| Standing::CountsNot { why: why.to_owned() };
    match in_force {
        None => not("there is no such template any more"),
        Some(template) if template.digest() != instance.template => {
            not("its template is another one since it was proposed")
        }
        Some(template) => template.standing(record, now),
    }
}

impl Template {
    /// Whether what is proposed from it now goes without votes.
    pub fn standing(&self, record: &Record, now: Timestamp) -> Standing {
        let (by, today) = (self.review_by, |at: Timestamp| at.to_zoned(TimeZone::UTC).date());
        // One that is owed counts as one that is on record: whoever finds it missing is about to append it.
        if let Some(why) = record.suspended.clone().or_else(|| self.owes_suspension(record)) {
            return Standing::CountsNot { why: format!("it is suspended: {why}") };
        }
        if today(crate::time::before(now, GRACE)) > by {
            return Standing::CountsNot { why: format!("it was to be reviewed by {by}") };
        }
        let late = today(now) > by;
        let warning = || {
            let end = after(by.to_zoned(TimeZone::UTC).map_or(now, |day| day.timestamp()), GRACE);
            format!("it was to be reviewed by {by}, and counts until the end of {}", today(end))
        };
        Standing::Counts { warning: late.then(warning) }
    }

    /// Why it has to be suspended now, if it has to.
    pub fn owes_suspension(&self, record: &Record) -> Option<String> {
        let failures = record.failed_in_a_row;
        let owed = record.suspended.is_none() && failures >= self.suspend_after;
        owed.then(|| format!("{failures} in a row failed; after {} it is suspended", self.suspend_after))
    }

    /// Over what was approved: the change, the bounds, and who may. A later review or a better description approves nothing new.
    pub fn digest(&self) -> Digest {
        Digest::of_value(&serde_json::json!({
            "id": self.id,
            "parameters": self.parameters,
            "change": self.change,
            "may": self.may,
        }))
    }

    /// Whether a user is among those whom it names.
    pub fn is_for(&self, user: &str, access: &Access) -> bool {
        let groups = access.groups_of(user);
        self.may.is_empty() || self.may.iter().any(|one| one == user || groups.contains(one))
    }

    /// The users and groups that it names and nobody knows: each as a JSON pointer and a sentence.
    pub fn strangers(&self, access: &Access) -> Vec<(String, String)> {
        let may = self.may.iter().enumerate().map(|(i, one)| (format!("/may/{i}"), one));
        let named = std::iter::once(("/owner".to_owned(), &self.owner)).chain(may);
        let owner_of_change = self.change.get("owner").and_then(Value::as_str).filter(|owner| !owner.contains("${"));
        let owner_of_change = owner_of_change.map(|owner| ("/change/owner".to_owned(), owner.to_owned()));
        let named = named.map(|(at, id)| (at, id.clone())).chain(owner_of_change);
        let strange = named.filter(|(_, id)| !access.is_principal(id));
        strange.map(|(at, id)| (at, format!("there is no user or group `{id}`"))).collect()
    }

    /// Reads a template and tries it.
    ///
    /// # Errors
    /// Every problem at once, in the order of the file.
    pub fn read(document: &Document) -> Result<Self, Vec<Problem>> {
        let template: Self = document.read()?;
        let mut problems = template::problems(&template, document);
        problems.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
        if problems.is_empty() { Ok(template) } else { Err(problems) }
    }

    /// The change file that it becomes, and the parameters with what was left out.
    ///
    /// # Errors
    /// What is wrong with the parameters, all at once; the paths of the problems are `parameters.NAME`.
    pub fn instantiate(&self, given: &BTreeMap<String, Value>) -> Result<(String, course::Standard), Vec<Problem>> {
        template::instantiate(self, given)
    }
}
