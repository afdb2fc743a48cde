//! Difference: what is another in this revision, for whoever said yes to an earlier one?
//!
//! Two proposals in, a bounded list out, in the words of the change file. Whether a difference has effect is asked of the effect digest itself, so that
//! this list can't say otherwise than the rule that voids votes. It shows, and never decides: that is done in [`proposal::carry`](crate::proposal::carry).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::actor::Actor;
use crate::id::{Digest, canonical};
use crate::lifecycle::Event;
use crate::proposal::Proposal;
use crate::time::Timestamp;

/// The most differences that are listed; a proposal with more is another change in all but name.
pub const MOST: usize = 200;

/// How much of a value is shown.
const LONGEST_VALUE: usize = 400;

/// What every revision has another of, and what is shown apart.
const DIGESTS: [&str; 2] = ["revision_digest", "effect_digest"];

/// One revision of a change, as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision<'a> {
    /// From 1.
    pub number: u32,
    pub proposal: &'a Proposal,
    pub by: &'a Actor,
    pub at: Timestamp,
}

/// What is another between two revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    pub from: u32,
    pub to: u32,
    pub effect_before: Digest,
    pub effect_after: Digest,
    /// Those with effect first, each in the order of its path; at most 200.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: usize,
}

/// One value that is another, or is there in one revision only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// In the words of the change file: `plan.steps[0].weight`. Lists count from 0; what has a name goes by it.
    pub path: String,
    /// Absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Absent where there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether the effect digest covers it: then votes for the earlier revision are void.
    pub has_effect: bool,
}

/// The revisions of a change, from the events of its log.
pub fn revisions<'a>(log: impl IntoIterator<Item = (&'a Event, &'a Actor, Timestamp)>) -> Vec<Revision<'a>> {
    let proposals = log.into_iter().filter_map(|(event, by, at)| match event {
        Event::Proposed(proposed) => Some((&proposed.proposal, by, at)),
        Event::Amended { proposal, .. } => Some((&**proposal, by, at)),
        _ => None,
    });
    (1..).zip(proposals).map(|(number, (proposal, by, at))| Revision { number, proposal, by, at }).collect()
}

/// The revision that this person has voted for last, or the first.
pub fn seen_by<'a>(log: impl IntoIterator<Item = (&'a Event, &'a Actor, Timestamp)>, reader: &Actor) -> u32 {
    let (mut number, mut seen) = (0, 1);
    for (event, actor, _) in log {
        match event {
            Event::Proposed(_) | Event::Amended { .. } => number += 1,
            Event::Approved { .. } if actor == reader => seen = number,
            _ => {}
        }
    }
    seen
}

/// What is another in `to`.
pub fn between(from: &Revision<'_>, to: &Revision<'_>) -> Diff {
    let (before, after) = (fields(from.proposal), fields(to.proposal));
    let mut found = Vec::new();
    for name in keys(&before, &after) {
        let (old, new) = (before.get(name), after.get(name));
        if old == new || DIGESTS.contains(&name) {
            continue;
        }
        let mut walk = Walk { has_effect: has_effect(from.proposal, &before, name, new), found: &mut found };
        walk.values(name, old, new);
    }
    found.sort_by_key(|difference| !difference.has_effect);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    Diff {
        from: from.number,
        to: to.number,
        effect_before: from.proposal.effect_digest,
        effect_after: to.proposal.effect_digest,
        differences: found,
        more,
    }
}

fn fields(proposal: &Proposal) -> Map<String, Value> {
    match serde_json::to_value(proposal) {
        Ok(Value::Object(fields)) => fields,
        // A proposal is a struct with string keys: it always has this form.
        _ => Map::new(),
    }
}

/// Whether the proposal has another effect with this one field of the other. What can't be told counts as an effect.
fn has_effect(proposal: &Proposal, fields: &Map<String, Value>, name: &str, new: Option<&Value>) -> bool {
    let mut other = fields.clone();
    match new {
        Some(value) => other.insert(name.to_owned(), value.clone()),
        None => other.remove(name),
    };
    let other = serde_json::from_value::<Proposal>(Value::Object(other));
    other.map_or(true, |other| other.compute_effect_digest() != proposal.compute_effect_digest())
}

fn keys<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> BTreeSet<&'a str> {
    before.keys().chain(after.keys()).map(String::as_str).collect()
}

struct Walk<'a> {
    has_effect: bool,
    found: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn values(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (before, after) if before == after => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for key in keys(old, new) {
                    self.values(&format!("{path}.{key}"), old.get(key), new.get(key));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) if is_structured(old) || is_structured(new) => {
                self.lists(path, old, new);
            }
            (before, after) => self.found.push(Difference {
                path: path.to_owned(),
                before: before.map(shown),
                after: after.map(shown),
                has_effect: self.has_effect,
            }),
        }
    }

    fn lists(&mut self, path: &str, old: &[Value], new: &[Value]) {
        let Some((old_names, new_names)) = names(old).zip(names(new)) else {
            for i in 0..old.len().max(new.len()) {
                self.values(&format!("{path}[{i}]"), old.get(i), new.get(i));
            }
            return;
        };
        let by_name = |list: &[Value], names: &[String], name: &str| {
            names.iter().position(|n| n == name).and_then(|i| list.get(i).cloned())
        };
        for name in old_names.iter().chain(new_names.iter().filter(|n| !old_names.contains(n))) {
            let (before, after) = (by_name(old, &old_names, name), by_name(new, &new_names, name));
            self.values(&format!("{path}[{name}]"), before.as_ref(), after.as_ref());
        }
        let kept = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|n| others.contains(n)).cloned().collect()
        };
        let (before, after) = (kept(&old_names, &new_names), kept(&new_names, &old_names));
        if before != after {
            let order = |names: Vec<String>| Value::from(names);
            self.values(&format!("order of {path}"), Some(&order(before)), Some(&order(after)));
        }
    }
}

fn is_structured(list: &[Value]) -> bool {
    list.iter().any(|item| item.is_object() || item.is_array())
}

/// The names of the items of a list, if each has one of its own.
fn names(list: &[Value]) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = list.iter().map(|item| Some(item.get("name")?.as_str()?.to_owned())).collect();
    names.filter(|names| names.iter().collect::<BTreeSet<_>>().len() == names.len())
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => canonical(other),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}... ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}
