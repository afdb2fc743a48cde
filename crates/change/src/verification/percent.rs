//! Percentages as people write them: an objective and a margin, kept in parts per million.
//!
//! One way to read and to write both. Next room: [`synthetic`](super::synthetic).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `99.5%` as millionths; at most so many digits before the point and four behind it, and not zero.
fn millionths(text: &str, most_digits: usize) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str, most: usize| s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole, most_digits) || !digits(rest, 4) {
        return None;
    }
    format!("{whole}{rest:0<4}").parse().ok().filter(|parts| *parts > 0)
}

fn write(parts: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = format!("{}.{:04}", parts / 10_000, parts % 10_000);
    write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share of good events, above 0 % and below 100 %, kept in parts per million: `99.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Objective(u32);

impl Objective {
    /// From 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        millionths(text, 2).map(Self).ok_or_else(|| format!("`{text}` is not an objective; write for example `99.5%`"))
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Objective {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Objective".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The share of good events that is promised.",
            "pattern": "^[0-9]{1,2}(\\.[0-9]{1,4})?%$",
            "examples": ["99.5%"]
        })
    }
}

/// A part, above 0 % and at most 1000 %, kept in parts per million: `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Margin(u32);

impl Margin {
    /// From 0 to 10.
    pub fn part(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The nearest margin that can be written, if there is one.
    pub fn nearest(part: f64) -> Option<Self> {
        let millionths = (part * 1e6).round();
        (1.0..=1e7).contains(&millionths).then_some(Self(millionths as u32))
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

impl FromStr for Margin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = millionths(text, 4).filter(|parts| *parts <= 10_000_000);
        parts
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a part above 0 % and at most 1000 %; write for example `5%`"))
    }
}

impl From<Margin> for String {
    fn from(margin: Margin) -> Self {
        margin.to_string()
    }
}

impl TryFrom<String> for Margin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Margin {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Margin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A part of something, in per cent.",
            "pattern": "^[0-9]{1,4}(\\.[0-9]{1,4})?%$",
            "examples": ["5%"]
        })
    }
}
