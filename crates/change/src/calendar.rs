//! Calendar: when may changes begin, and when must nothing but rollbacks happen?
//!
//! Holds `calendar.yaml` as people write it ([`Calendar`]) and what it says of a change ([`Standing`]): the freezes that hold it, the windows that it
//! needs, and the first moment at which all is open. A freeze wins over a window. Of two readings of a clock, the one that forbids more counts; an entry
//! that can't be read holds what it covers until somebody mends it. Reads no clock: now is an argument. Its rooms, in order: [`clock`], `recurrence`,
//! [`interval`], `rule`, `remarks`, [`almanac`]. Who asks: [`gate`](crate::gate).

pub mod almanac;
pub mod clock;
pub mod exception;
pub mod feed;
pub mod interval;
pub mod month;
mod recurrence;
mod remarks;
pub mod repeated;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assessment::Risk;
use crate::batch::Batch;
use crate::lifecycle::Change;
use crate::proposal::Kind;
use crate::time::{Span, Timestamp};

pub use almanac::{Almanac, Listed, What};
pub use clock::{Effect, Spell};
pub use exception::{Exception, Lost};
pub use interval::TimeInterval;

/// `calendar.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Times in which nothing but rollbacks happens.
    #[serde(default)]
    pub freezes: Vec<Entry>,
    /// Times in which the changes that they cover begin: at no other time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Entry>,
    /// Changes of low risk that go together in the next opening of a window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<Batch>,
}

/// A freeze or a window: whom it covers, and when it is. It is once (`start`, `end`), again and again (`rrule`, `duration`), or by `time_intervals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The services that it covers; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// It covers what these own: the services, or the change itself. All if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// The environments that it covers; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// The kinds of change that it covers; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    /// The levels of risk that it covers; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// Local time, such as `2026-12-20T18:00:00`: when it starts, or when its rule does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Local time at which it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// A recurrence rule of RFC 5545 in local time, such as `FREQ=WEEKLY;BYDAY=TU,TH;BYHOUR=9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_000))]
    pub rrule: Option<String>,
    /// How long each time of the rule is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Local times at which it is too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rdate: Vec<String>,
    /// Local times at which the rule would have it be, and it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exdate: Vec<String>,
    /// Time intervals as Alertmanager has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_intervals: Vec<TimeInterval>,
    /// IANA name of its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who can make an exception: a user or a group.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// Whether emergencies pass it; they always pass windows.
    #[serde(default)]
    pub emergency: Passage,
    /// What a change does that is under way when a freeze begins or a window ends.
    #[serde(default)]
    pub on_close: OnClose,
}

/// Whether a freeze lets emergencies through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    #[default]
    Allow,
    Forbid,
}

/// What a change does that is under way when its calendar closes. The later, the stricter; the strictest of all that are named counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnClose {
    /// The step that has begun is verified; the next one waits.
    #[default]
    FinishStep,
    /// It pauses at once, until a person resumes it.
    Pause,
    /// It is rolled back at once.
    RollBack,
}

impl OnClose {
    pub fn is_finish_step(&self) -> bool {
        *self == Self::FinishStep
    }
}

/// Whom the calendar is asked about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    pub services: &'a BTreeSet<String>,
    /// The owners of the services, and of the change.
    pub teams: BTreeSet<&'a str>,
    pub environment: &'a str,
    pub kind: Kind,
    /// Nothing where it is not known yet: then every level counts.
    pub risk: Option<Risk>,
}

impl<'a> Subject<'a> {
    /// A change, whose services are owned by these.
    pub fn of(change: &'a Change, owners: &BTreeSet<&'a str>) -> Self {
        let proposal = &change.proposal;
        let teams = owners.iter().copied().chain([proposal.owner.as_str()]).collect();
        let risk = change.assessment.as_ref().map(|assessed| assessed.assessment.level);
        Self { services: &proposal.services, teams, environment: &proposal.environment, kind: proposal.kind, risk }
    }
}

impl Entry {
    /// Whether it is about this subject. What is not known of it does not keep it out.
    pub fn covers(&self, subject: &Subject<'_>) -> bool {
        let any = |names: &[String], is: &dyn Fn(&str) -> bool| names.is_empty() || names.iter().any(|name| is(name));
        any(&self.services, &|name| subject.services.contains(name))
            && any(&self.teams, &|name| subject.teams.contains(name))
            && any(&self.environments, &|name| subject.environment == name)
            && (self.kinds.is_empty() || self.kinds.contains(&subject.kind))
            && (self.risks.is_empty() || subject.risk.is_none_or(|risk| self.risks.contains(&risk)))
    }
}

/// What a change may pass although the calendar says no, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// An emergency that lasts until then.
    pub emergency: Option<Timestamp>,
    /// Exceptions, by the name of the freeze.
    pub exceptions: BTreeMap<String, Timestamp>,
}

impl Passes {
    /// What a change has, without the exceptions that were given by somebody who could not give them now.
    pub fn of(change: &Change, lost: &BTreeSet<Lost>) -> Self {
        let mut exceptions = BTreeMap::new();
        let effect = change.proposal.effect_digest;
        for exception in
            change.exceptions.iter().filter(|one| one.counts(effect, Timestamp::MIN) && !one.is_among(lost))
        {
            let until = exceptions.entry(exception.freeze.clone()).or_insert(exception.until);
            *until = exception.until.max(*until);
        }
        Self { emergency: change.proposal.course.emergency().map(|emergency| emergency.until), exceptions }
    }

    /// The last moment at which it passes anything that is not open to everybody.
    pub fn last_end(&self) -> Option<Timestamp> {
        self.exceptions.values().copied().chain(self.emergency).max()
    }

    /// The first moment after `now` at which it passes less.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.exceptions.values().copied().chain(self.emergency);
        ends.filter(|end| *end > now).min()
    }

    /// Whether a freeze of this name holds nothing at an instant.
    pub fn freeze(&self, name: &str, emergency: Passage, at: Timestamp) -> bool {
        let lasts = |until: &Timestamp| at < *until;
        emergency == Passage::Allow && self.emergency.as_ref().is_some_and(lasts)
            || self.exceptions.get(name).is_some_and(lasts)
    }

    fn windows(&self, at: Timestamp) -> bool {
        self.emergency.is_some_and(|until| at < until)
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
    #[serde(default)]
    pub on_close: OnClose,
}

/// The windows of a change, now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "are", rename_all = "snake_case")]
pub enum Windows {
    /// None covers it: it needs none.
    #[default]
    None,
    Open {
        names: Vec<String>,
        on_close: OnClose,
    },
    /// It may begin only in one of these.
    Shut {
        names: Vec<String>,
        /// When the first of them opens; nothing where none does within ten years.
        #[schemars(with = "Option<String>")]
        opens_at: Option<Timestamp>,
        owners: BTreeSet<String>,
        on_close: OnClose,
    },
}

/// When a change may go as far as the calendar is concerned, and what stands in its way until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opening {
    /// Nothing where no such moment comes within ten years.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// In the order in which they are met.
    pub obstacles: Vec<Obstacle>,
}

/// Something that stands in the way of a change for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    pub what: ObstacleKind,
    /// The freeze, the windows of which none is open, or the batch.
    pub names: Vec<String>,
    pub reason: String,
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Nothing where it doesn't end within ten years.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleKind {
    Freeze,
    OutsideWindows,
    Batch,
}

/// What the calendar says of a change, now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Every freeze that covers it now, passed or not.
    pub frozen: Vec<Frozen>,
    pub windows: Windows,
    pub opening: Opening,
}

impl Opening {
    /// Open now.
    pub fn now(at: Timestamp) -> Self {
        Self { at: Some(at), obstacles: vec![] }
    }

    /// In one sentence.
    pub fn in_words(&self) -> String {
        let each: Vec<String> = self.obstacles.iter().map(Obstacle::in_words).collect();
        let why = if each.is_empty() { String::new() } else { format!(": {}", each.join("; then ")) };
        match self.at {
            Some(at) if each.is_empty() => format!("the calendar is open at `{at}`"),
            Some(at) => format!("the calendar opens at `{at}`{why}"),
            None => format!("the calendar does not open within ten years{why}"),
        }
    }
}

impl Obstacle {
    pub fn in_words(&self) -> String {
        let until = self.until.map_or_else(|| " for ten years and more".to_owned(), |at| format!(" until `{at}`"));
        let names = few(&self.names);
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        match self.what {
            ObstacleKind::Freeze => format!("the freeze {names}{until}{reason}"),
            ObstacleKind::OutsideWindows if self.names.len() == 1 => {
                format!("outside of its window {names}{until}{reason}")
            }
            ObstacleKind::OutsideWindows => format!("outside of its windows {names}{until}{reason}"),
            ObstacleKind::Batch => format!("outside of the window of its batch {names}{until}{reason}"),
        }
    }
}

/// The names of entries, as many as a person reads.
pub fn few(names: &[String]) -> String {
    const MOST: usize = 5;
    let all = names.iter().map(String::as_str);
    match names.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", crate::document::list(all.take(MOST))),
        None => crate::document::list(all),
    }
}

/// Something to say of a calendar: the place in the file, a sentence, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub pointer: String,
    pub message: String,
    pub help: Option<String>,
}

impl Calendar {
    /// Each entry with its place in the file and its effect.
    pub fn entries(&self) -> impl Iterator<Item = (String, Effect, &Entry)> {
        let freezes = self.freezes.iter().enumerate().map(|(i, e)| (format!("/freezes/{i}"), Effect::Forbids, e));
        let windows = self.windows.iter().enumerate().map(|(i, e)| (format!("/windows/{i}"), Effect::Allows, e));
        freezes.chain(windows)
    }

    /// What is wrong with it. An entry that can't be read, or that never occurs, is refused when it is written.
    pub fn problems(&self) -> Vec<Remark> {
        let mut found = Vec::new();
        let mut names = BTreeSet::new();
        for (pointer, effect, entry) in self.entries() {
            let mut say = |field: &str, message: String, help: Option<String>| {
                found.push(Remark { pointer: format!("{pointer}{field}"), message, help });
            };
            if let Err((field, message, help)) = rule::Times::read(entry, effect) {
                say(field, message, help);
            }
            if !names.insert(&entry.name) {
                say("/name", format!("the name `{}` is taken: exceptions are made by name", entry.name), None);
            }
            if effect == Effect::Forbids && entry.reason.trim().is_empty() {
                let help = "those who wait read it: `reason: the books are being closed`";
                say("", format!("the freeze `{}` has no reason", entry.name), Some(help.into()));
            }
            if effect == Effect::Allows && entry.emergency == Passage::Forbid {
                let help = "to hold emergencies too, write a freeze with `emergency: forbid`";
                say("/emergency", "an emergency passes every window".into(), Some(help.into()));
            }
        }
        found.extend(self.problems_of_batches());
        found
    }

    fn problems_of_batches(&self) -> Vec<Remark> {
        let mut found = Vec::new();
        let mut names = BTreeSet::new();
        for (i, batch) in self.batches.iter().enumerate() {
            let mut say = |field: &str, message: String, help: Option<String>| {
                found.push(Remark { pointer: format!("/batches/{i}{field}"), message, help });
            };
            if !names.insert(&batch.name) {
                say("/name", format!("the name `{}` is taken: batches are released by name", batch.name), None);
            }
            if !self.windows.iter().any(|window| window.name == batch.window) {
                let known = self.windows.iter().map(|window| window.name.as_str());
                let near = crate::document::nearest(&batch.window, known);
                let help = near.map_or_else(
                    || "name a window of this file: the batch goes in its next opening".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                say("/window", format!("there is no window `{}`", batch.window), Some(help));
            }
        }
        found
    }
}
