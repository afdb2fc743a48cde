//! Schedule: when is the first allowed moment?
//!
//! Holds what an author asked for ([`When`]) and what the calendar forbids ([`Freeze`]). Freezes hold a change; they never hold a rollback.
//! Next room: [`rollout`](crate::rollout).

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::time::{self, Timestamp};

/// When a change may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum When {
    /// As soon as its gates are open.
    #[default]
    Now,
    /// Not before this instant.
    At(Timestamp),
}

impl When {
    /// The first allowed moment for a change that is approved at `now`.
    pub fn not_before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::At(at) => at.max(now),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::At(at) => write!(f, "{at}"),
        }
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "now" { Ok(Self::Now) } else { time::parse_instant(&text).map(Self::At) }
    }
}

impl JsonSchema for When {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`now`, or a time with its zone.",
            "pattern": "^(now|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].+)$",
            "examples": ["2026-12-01T09:00 Europe/Berlin"]
        })
    }
}

/// `calendar.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Times in which nothing but rollbacks happens.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
}

/// A time in which the changes that it covers don't go ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The services that it covers; all if empty.
    #[serde(default)]
    pub services: Vec<String>,
    /// The environments that it covers; all if empty.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Local time, such as `2026-12-20T18:00:00`.
    pub start: String,
    /// Local time at which it is over.
    pub end: String,
    /// IANA name of the zone of both.
    pub tz: String,
    pub reason: String,
    /// Who can make an exception.
    pub owner: String,
    /// Whether emergencies pass it.
    #[serde(default)]
    pub emergency: Passage,
}

/// Whether a freeze lets emergencies through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    #[default]
    Allow,
    Forbid,
}

impl Freeze {
    /// Its first and its first-free instant.
    ///
    /// # Errors
    /// A sentence, for a time or a zone that can't be read and for a freeze that ends before it starts.
    pub fn instants(&self) -> Result<(Timestamp, Timestamp), String> {
        let read = |local: &str| time::parse_instant(&format!("{local} {}", self.tz));
        let (start, end) = (read(&self.start)?, read(&self.end)?);
        if end <= start {
            return Err(format!("the freeze `{}` ends before it starts", self.name));
        }
        Ok((start, end))
    }

    fn covers(&self, services: &std::collections::BTreeSet<String>, environment: &str) -> bool {
        let service = self.services.is_empty() || self.services.iter().any(|s| services.contains(s));
        service && (self.environments.is_empty() || self.environments.iter().any(|e| e == environment))
    }
}

/// A freeze that holds a change now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frozen {
    pub name: String,
    pub reason: String,
    pub owner: String,
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Whether emergencies pass it.
    #[serde(default)]
    pub emergency: Passage,
}

impl Calendar {
    /// The freezes that cover these services at `now`. One that can't be read covers them until somebody mends it: an unknown closes the gate.
    pub fn frozen(
        &self,
        services: &std::collections::BTreeSet<String>,
        environment: &str,
        now: Timestamp,
    ) -> Vec<Frozen> {
        let covering = self.freezes.iter().filter(|f| f.covers(services, environment));
        let now_in = |freeze: &Freeze| {
            let (reason, until) = match freeze.instants() {
                Ok((start, end)) if start <= now && now < end => (freeze.reason.clone(), end),
                Ok(_) => return None,
                Err(error) => (error, Timestamp::MAX),
            };
            Some(Frozen {
                name: freeze.name.clone(),
                reason,
                owner: freeze.owner.clone(),
                until,
                emergency: freeze.emergency,
            })
        };
        covering.filter_map(now_in).collect()
    }

    /// What is wrong with it: pairs of a JSON pointer and a sentence.
    pub fn problems(&self) -> Vec<(String, String)> {
        let broken = |(i, f): (usize, &Freeze)| f.instants().err().map(|error| (format!("/freezes/{i}"), error));
        self.freezes.iter().enumerate().filter_map(broken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(tz: &str) -> Freeze {
        Freeze {
            name: "year-end".into(),
            services: vec!["payments".into()],
            environments: vec![],
            start: "2026-12-20T18:00:00".into(),
            end: "2027-01-03T06:00:00".into(),
            tz: tz.into(),
            reason: "closing".into(),
            owner: "team-payments".into(),
            emergency: Passage::Allow,
        }
    }

    fn frozen(tz: &str, at: &str) -> usize {
        let calendar = Calendar { freezes: vec![freeze(tz)] };
        calendar.frozen(&["payments".to_owned()].into(), "production", at.parse().expect("an instant")).len()
    }

    #[test]
    fn a_freeze_covers_its_first_instant_and_not_its_last() {
        for (at, wanted) in [
            ("2026-12-20T16:59:59Z", 0),
            ("2026-12-20T17:00:00Z", 1),
            ("2027-01-03T04:59:59Z", 1),
            ("2027-01-03T05:00:00Z", 0),
        ] {
            assert_eq!(frozen("Europe/Berlin", at), wanted, "{at}");
        }
    }

    #[test]
    fn a_freeze_in_an_unknown_zone_closes_the_gate() {
        assert_eq!(frozen("Europe/Berlim", "2020-01-01T00:00:00Z"), 1);
        let calendar = Calendar { freezes: vec![freeze("Mars/Base")] };
        assert!(calendar.problems()[0].1.contains("`Mars/Base` is not known"));
    }
}
