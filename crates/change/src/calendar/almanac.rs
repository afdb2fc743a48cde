//! Almanac: the calendar made ready to be asked.
//!
//! Made once for each governance. A question passes over the entries that don't cover the change and looks up the others; none of them lays out more than
//! the years that it needs, and no search goes further than ten years. Decides nothing: the gate does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::{Effect, Spell};
use super::rule::{Times, merged, year_of};
use super::{
    Calendar, Entry, Frozen, Obstacle, ObstacleKind, OnClose, Opening, Passage, Passes, Standing, Subject, Windows,
};
use crate::assessment::Risk;
use crate::proposal::Kind;
use crate::time::Timestamp;

/// How far ahead openings are looked for.
const HORIZON: SignedDuration = SignedDuration::from_hours(24 * 3_653);
/// For how many years after the present one the first opening is looked for. Whole years: of two questions in one year the later one sees no further.
const YEARS_AHEAD: i16 = 10;
/// The most obstacles that are told.
const MOST_TOLD: usize = 20;
/// The most steps that are made while something lasts by which the subject passes: an emergency or an exception, of a month at most.
const MOST_STEPS: usize = 5_000;
/// For how many sets of entries the first opening is kept.
const MOST_KEPT: usize = 4_096;

/// A calendar, made ready.
#[derive(Debug, Default)]
pub struct Almanac {
    freezes: Vec<Ready>,
    windows: Vec<Ready>,
    /// Answers that took a search, by the places of the entries that cover. What is kept is what would be found again.
    found: Mutex<BTreeMap<Places, Found>>,
}

/// The places of the freezes and of the windows that cover a subject.
type Places = (Vec<usize>, Vec<usize>);

/// The first opening that was found, from an instant on.
#[derive(Clone, Copy, Debug)]
struct Found {
    from: Timestamp,
    opens: Option<Timestamp>,
}

impl Found {
    /// The answer to the same question from another instant on, where this one holds it.
    fn answers(&self, from: Timestamp) -> Option<Option<Timestamp>> {
        let is_between = self.from <= from && self.opens.is_none_or(|opens| from <= opens);
        // With the next year, one more is looked into.
        let is_known = is_between && (self.opens.is_some() || year_of(self.from) == year_of(from));
        is_known.then_some(self.opens)
    }
}

#[derive(Debug)]
struct Ready {
    entry: Entry,
    /// Or why it can't be read.
    times: Result<Times, String>,
}

impl Ready {
    fn of(entry: &Entry, effect: Effect) -> Self {
        Self { entry: entry.clone(), times: Times::read(entry, effect).map_err(|(_, message, _)| message) }
    }
}

/// The entries that cover a subject.
struct Covering<'a> {
    almanac: &'a Almanac,
    places: Places,
    freezes: Vec<&'a Ready>,
    windows: Vec<&'a Ready>,
}

/// A stretch of time of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence<'a> {
    pub entry: &'a Entry,
    pub effect: Effect,
    pub spell: Spell,
}

/// A stretch of time of an entry, for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    pub what: What,
    pub name: String,
    pub reason: String,
    pub owner: String,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Whom it covers; everything if empty, as of all these lists.
    pub services: Vec<String>,
    pub teams: Vec<String>,
    pub environments: Vec<String>,
    pub kinds: Vec<Kind>,
    pub risks: Vec<Risk>,
    /// Whether emergencies pass it.
    pub emergency: Passage,
    pub on_close: OnClose,
}

/// A freeze or a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    Freeze,
    Window,
}

impl Occurrence<'_> {
    pub fn listed(&self) -> Listed {
        let Entry { name, reason, owner, services, teams, environments, kinds, risks, emergency, on_close, .. } =
            self.entry.clone();
        let what = match self.effect {
            Effect::Forbids => What::Freeze,
            Effect::Allows => What::Window,
        };
        let Spell { start: from, end: until } = self.spell;
        Listed {
            what,
            name,
            reason,
            owner,
            from,
            until,
            services,
            teams,
            environments,
            kinds,
            risks,
            emergency,
            on_close,
        }
    }

    /// Whether it may be about this service and this team, where one is asked for.
    pub fn concerns(&self, service: Option<&str>, team: Option<&str>) -> bool {
        let is_among = |names: &[String], asked: Option<&str>| {
            asked.is_none_or(|asked| names.is_empty() || names.iter().any(|name| name == asked))
        };
        is_among(&self.entry.services, service) && is_among(&self.entry.teams, team)
    }
}

impl Listed {
    /// Whom it covers, in a few words.
    pub fn scope(&self) -> String {
        let kinds: Vec<String> = self.kinds.iter().map(ToString::to_string).collect();
        let risks: Vec<String> = self.risks.iter().map(|risk| format!("{risk} risk")).collect();
        let parts = [&self.services, &self.teams, &self.environments, &kinds, &risks];
        let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).map(|part| part.join(", ")).collect();
        if said.is_empty() { "everything".into() } else { said.join("; ") }
    }
}

impl Almanac {
    pub fn of(calendar: &Calendar) -> Self {
        let ready = |entries: &[Entry], effect| entries.iter().map(|entry| Ready::of(entry, effect)).collect();
        let (freezes, windows) = (ready(&calendar.freezes, Effect::Forbids), ready(&calendar.windows, Effect::Allows));
        Self { freezes, windows, found: Mutex::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.freezes.is_empty() && self.windows.is_empty()
    }

    fn covering(&self, subject: &Subject<'_>) -> Covering<'_> {
        let covering =
            |all: &'_ [Ready]| -> Vec<usize> { (0..all.len()).filter(|at| all[*at].entry.covers(subject)).collect() };
        let places = (covering(&self.freezes), covering(&self.windows));
        Covering {
            almanac: self,
            freezes: places.0.iter().map(|at| &self.freezes[*at]).collect(),
            windows: places.1.iter().map(|at| &self.windows[*at]).collect(),
            places,
        }
    }

    /// All that it says of a subject, now.
    pub fn standing(&self, subject: &Subject<'_>, passes: &Passes, now: Timestamp) -> Standing {
        let covering = self.covering(subject);
        Standing {
            frozen: covering.frozen(now),
            windows: covering.windows(now),
            opening: covering.opening(passes, now),
        }
    }

    /// The first moment, not before `from`, at which it lets a subject go.
    pub fn opening(&self, subject: &Subject<'_>, passes: &Passes, from: Timestamp) -> Opening {
        self.covering(subject).opening(passes, from)
    }

    /// When it may say something else of a subject than now: the next moment at which one of its entries begins or ends.
    pub fn next_turn(&self, subject: &Subject<'_>, now: Timestamp) -> Option<Timestamp> {
        let covering = self.covering(subject);
        let turns = covering.freezes.iter().chain(&covering.windows).filter_map(|ready| {
            let times = ready.times.as_ref().ok()?;
            times.at(now).map(|spell| spell.end).or_else(|| times.next(now, horizon(now)))
        });
        turns.min()
    }

    /// Whether a window of this name is open.
    pub fn window_is_open(&self, name: &str, at: Timestamp) -> bool {
        self.windows.iter().any(|ready| ready.entry.name == name && ready.is_open(at))
    }

    /// When a window of this name opens next.
    pub fn window_opens(&self, name: &str, after: Timestamp) -> Option<Timestamp> {
        let window = self.windows.iter().find(|ready| ready.entry.name == name)?;
        window.times.as_ref().ok()?.next(after, horizon(after))
    }

    /// Since when a freeze of this name has lasted, where it does.
    pub fn frozen_since(&self, name: &str, at: Timestamp) -> Option<Timestamp> {
        let freeze = self.freezes.iter().find(|ready| ready.entry.name == name)?;
        freeze.times.as_ref().ok()?.at(at).map(|spell| spell.start)
    }

    /// The freezes that cover a subject at some time, whose owners can make exceptions.
    pub fn freezes(&self, subject: &Subject<'_>) -> Vec<&Entry> {
        self.covering(subject).freezes.iter().map(|ready| &ready.entry).collect()
    }

    /// Every stretch of time between two instants, of the entries that a subject is covered by, or of all; in the order of time.
    pub fn between(&self, subject: Option<&Subject<'_>>, from: Timestamp, to: Timestamp) -> Vec<Occurrence<'_>> {
        let freezes = self.freezes.iter().map(|ready| (Effect::Forbids, ready));
        let all = freezes.chain(self.windows.iter().map(|ready| (Effect::Allows, ready)));
        let meant = all.filter(|(_, ready)| subject.is_none_or(|subject| ready.entry.covers(subject)));
        let mut found: Vec<Occurrence<'_>> = Vec::new();
        for (effect, ready) in meant {
            let spells = match &ready.times {
                Ok(times) => times.between(from, to),
                Err(_) if effect == Effect::Forbids => vec![Spell { start: from, end: to }],
                Err(_) => vec![],
            };
            found.extend(spells.into_iter().map(|spell| Occurrence { entry: &ready.entry, effect, spell }));
        }
        found.sort_by(|a, b| (a.spell, &a.entry.name).cmp(&(b.spell, &b.entry.name)));
        found
    }
}

impl Covering<'_> {
    fn frozen(&self, now: Timestamp) -> Vec<Frozen> {
        let each = self.freezes.iter().filter_map(|ready| {
            let (reason, until) = ready.frozen(now)?;
            let Entry { name, owner, emergency, on_close, .. } = ready.entry.clone();
            Some(Frozen { name, reason, owner, until, emergency, on_close })
        });
        each.collect()
    }

    fn windows(&self, now: Timestamp) -> Windows {
        if self.windows.is_empty() {
            return Windows::None;
        }
        let names = |of: &mut dyn Iterator<Item = &&Ready>| -> Vec<String> {
            of.map(|ready| ready.entry.name.clone()).collect()
        };
        let on_close = self.windows.iter().map(|ready| ready.entry.on_close).max().unwrap_or(OnClose::FinishStep);
        let open = names(&mut self.windows.iter().filter(|ready| ready.is_open(now)));
        if !open.is_empty() {
            return Windows::Open { names: open, on_close };
        }
        let owners = self.windows.iter().map(|ready| ready.entry.owner.clone()).collect();
        Windows::Shut { names: names(&mut self.windows.iter()), opens_at: self.next_window(now), owners, on_close }
    }

    fn next_window(&self, after: Timestamp) -> Option<Timestamp> {
        let horizon = horizon(after);
        self.windows.iter().filter_map(|ready| ready.times.as_ref().ok()?.next(after, horizon)).min()
    }

    /// Walks from one obstacle to the next as far as they are told, or something is passed that ends; from there on the years are searched as a whole.
    fn opening(&self, passes: &Passes, from: Timestamp) -> Opening {
        let last = last_instant(from);
        let passes_until = passes.last_end().unwrap_or(from);
        let (mut at, mut obstacles) = (from, Vec::new());
        for step in 0.. {
            let Some(obstacle) = self.obstacle(passes, at) else { return Opening { at: Some(at), obstacles } };
            let until = obstacle.until.filter(|until| *until < last);
            if step < MOST_TOLD {
                obstacles.push(Obstacle { until, ..obstacle });
            }
            match until {
                Some(until) => at = until,
                None => return Opening { at: None, obstacles },
            }
            if step >= MOST_TOLD && (at >= passes_until || step >= MOST_STEPS) {
                break;
            }
        }
        Opening { at: self.first_opening(at), obstacles }
    }

    /// The first moment from an instant on at which a window is open, if there are any, and no freeze is on, for whoever passes none.
    fn first_opening(&self, from: Timestamp) -> Option<Timestamp> {
        let known = || self.almanac.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opens) = known().get(&self.places).and_then(|found| found.answers(from)) {
            return opens;
        }
        let opens = (year_of(from)..=year_of(last_instant(from))).find_map(|year| self.opens_in(year, from));
        let mut known = known();
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(self.places.clone(), Found { from, opens });
        opens
    }

    /// The same within one year of UTC: both lists are in order, so that each is walked once.
    fn opens_in(&self, year: i16, from: Timestamp) -> Option<Timestamp> {
        let (begins, ends) = (begin_of(year).max(from), begin_of(year.saturating_add(1)));
        let spells = |all: &[&Ready]| {
            let each = all.iter().filter_map(|ready| ready.times.as_ref().ok());
            merged(each.flat_map(|times| times.between(begins, ends)).collect())
        };
        if self.freezes.iter().any(|freeze| freeze.times.is_err()) {
            return None;
        }
        let whole = || vec![Spell { start: begins, end: ends }];
        let windows = if self.windows.is_empty() { whole() } else { spells(&self.windows) };
        let freezes = spells(&self.freezes);
        let (mut freezes, mut frozen_until) = (freezes.iter().peekable(), begins);
        windows.iter().find_map(|window| {
            let mut at = window.start.max(frozen_until);
            while let Some(freeze) = freezes.next_if(|freeze| freeze.start <= at || freeze.end <= at) {
                at = at.max(freeze.end);
                frozen_until = frozen_until.max(freeze.end);
            }
            (at < window.end.min(ends)).then_some(at)
        })
    }

    /// What stands in the way at an instant, the freezes first.
    fn obstacle(&self, passes: &Passes, at: Timestamp) -> Option<Obstacle> {
        let freezes = self.freezes.iter().filter(|ready| !passes.freeze(&ready.entry.name, ready.entry.emergency, at));
        let holding = freezes.filter_map(|ready| ready.frozen(at).map(|(reason, until)| (ready, reason, until)));
        if let Some((ready, reason, until)) = holding.max_by_key(|(_, _, until)| *until) {
            let until = (until < Timestamp::MAX).then_some(until);
            let names = vec![ready.entry.name.clone()];
            return Some(Obstacle { what: ObstacleKind::Freeze, names, reason, from: at, until });
        }
        let is_open =
            passes.windows(at) || self.windows.is_empty() || self.windows.iter().any(|ready| ready.is_open(at));
        if is_open {
            return None;
        }
        let names = self.windows.iter().map(|ready| ready.entry.name.clone()).collect();
        let reasons: BTreeSet<&str> =
            self.windows.iter().map(|ready| ready.entry.reason.as_str()).filter(|reason| !reason.is_empty()).collect();
        let reason = reasons.into_iter().collect::<Vec<_>>().join("; ");
        Some(Obstacle { what: ObstacleKind::OutsideWindows, names, reason, from: at, until: self.next_window(at) })
    }
}

impl Ready {
    /// Why, and until when, a freeze holds at an instant. One that can't be read holds until somebody mends it.
    fn frozen(&self, at: Timestamp) -> Option<(String, Timestamp)> {
        match &self.times {
            Ok(times) => times.end(at, horizon(at)).map(|until| (self.entry.reason.clone(), until)),
            Err(error) => Some((error.clone(), Timestamp::MAX)),
        }
    }

    /// Whether a window is open at an instant. One that can't be read never is.
    fn is_open(&self, at: Timestamp) -> bool {
        self.times.as_ref().is_ok_and(|times| times.at(at).is_some())
    }
}

/// Up to where the first opening is looked for.
fn last_instant(from: Timestamp) -> Timestamp {
    begin_of(year_of(from).saturating_add(YEARS_AHEAD + 1))
}

/// The first instant of a year of UTC.
fn begin_of(year: i16) -> Timestamp {
    let first = Date::new(year, 1, 1).ok().map(|day| jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)));
    first.and_then(Result::ok).unwrap_or(Timestamp::MAX)
}

fn horizon(from: Timestamp) -> Timestamp {
    from.saturating_add(HORIZON).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn calendar(text: &str) -> Calendar {
        Document::from_yaml(text).and_then(|document| document.read()).expect("a calendar")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn services() -> BTreeSet<String> {
        ["shop".to_owned()].into()
    }

    fn asked<T>(calendar: &Calendar, ask: impl Fn(&Almanac, &Subject<'_>) -> T) -> T {
        let services = services();
        let subject = Subject {
            services: &services,
            teams: ["team-shop"].into(),
            environment: "production",
            kind: Kind::Code,
            risk: Some(Risk::High),
        };
        ask(&Almanac::of(calendar), &subject)
    }

    fn opening(text: &str, passes: &Passes, from: &str) -> String {
        asked(&calendar(text), |almanac, subject| almanac.opening(subject, passes, at(from)).in_words())
    }

    const MORNINGS: &str = r#"
windows:
  - {name: mornings, rrule: "FREQ=WEEKLY;BYDAY=TU,WE,TH;BYHOUR=9", duration: 3h, tz: Europe/Berlin, owner: sre, risks: [high, critical]}
freezes:
  - {name: closing, services: [shop], start: "2026-12-01T00:00:00", end: "2026-12-02T10:30:00", tz: Europe/Berlin, reason: the books, owner: finance}
"#;

    // LC4
    #[test]
    fn the_next_opening_is_after_every_freeze_and_inside_a_window_and_says_why() {
        let none = Passes::default();
        assert_eq!(
            opening(MORNINGS, &none, "2026-11-27T08:00:00Z"),
            "the calendar opens at `2026-12-02T09:30:00Z`: outside of its window `mornings` until `2026-12-01T08:00:00Z`; \
             then the freeze `closing` until `2026-12-02T09:30:00Z` (the books)"
        );
        assert_eq!(opening(MORNINGS, &none, "2026-12-03T08:30:00Z"), "the calendar is open at `2026-12-03T08:30:00Z`");
    }

    // PA6
    #[test]
    fn an_emergency_passes_windows_always_and_freezes_unless_they_forbid_it_by_name() {
        let passes = Passes { emergency: Some(at("2026-12-02T00:00:00Z")), ..Passes::default() };
        assert_eq!(
            opening(MORNINGS, &passes, "2026-12-01T01:00:00Z"),
            "the calendar is open at `2026-12-01T01:00:00Z`"
        );
        let strict = MORNINGS.replace("owner: finance", "owner: finance, emergency: forbid");
        let held = opening(&strict, &passes, "2026-12-01T01:00:00Z");
        assert!(held.contains("the freeze `closing` until"), "{held}");
    }

    #[test]
    fn what_an_entry_does_not_cover_it_does_not_hold() {
        for (scope, holds) in [
            ("services: [shop]", true),
            ("services: [till]", false),
            ("teams: [team-shop]", true),
            ("teams: [team-till]", false),
            ("environments: [staging]", false),
            ("kinds: [data]", false),
            ("kinds: [data, code]", true),
            ("risks: [low]", false),
            ("services: [shop], risks: [high]", true),
        ] {
            let text = format!(
                "freezes: [{{name: a, {scope}, start: \"2026-01-01T00:00\", end: \"2026-02-01T00:00\", tz: UTC, reason: r, owner: o}}]"
            );
            let frozen = asked(&calendar(&text), |almanac, subject| {
                almanac.standing(subject, &Passes::default(), at("2026-01-05T00:00:00Z")).frozen.len()
            });
            assert_eq!(frozen == 1, holds, "{scope}");
        }
    }

    #[test]
    fn a_freeze_that_can_not_be_read_holds_and_such_a_window_never_opens() {
        let text =
            "{name: a, start: \"2026-01-01T00:00\", end: \"2026-02-01T00:00\", tz: Mars/Base, reason: r, owner: o}";
        let freeze = calendar(&format!("freezes: [{text}]"));
        assert!(freeze.problems()[0].message.contains("`Mars/Base` is not known"));
        let opening = |calendar: &Calendar| {
            asked(calendar, |almanac, subject| almanac.opening(subject, &Passes::default(), at("2020-01-01T00:00:00Z")))
        };
        assert_eq!(opening(&freeze).at, None);
        assert_eq!(opening(&calendar(&format!("windows: [{text}]"))).at, None);
    }

    #[test]
    fn windows_that_follow_one_another_are_open_without_a_break() {
        let text = r#"
windows:
  - {name: am, rrule: "FREQ=DAILY;BYHOUR=0", duration: 12h, tz: UTC, owner: o}
  - {name: pm, rrule: "FREQ=DAILY;BYHOUR=12;COUNT=2", start: "2026-05-01T12:00:00", duration: 12h, tz: UTC, owner: o}
"#;
        let open_at = |now: &str| {
            let calendar = calendar(text);
            let windows =
                asked(&calendar, |almanac, subject| almanac.standing(subject, &Passes::default(), at(now)).windows);
            match windows {
                Windows::Open { names, .. } => names.join(", "),
                other => format!("{other:?}"),
            }
        };
        let instants = ["2026-05-01T11:59:59Z", "2026-05-01T12:00:00Z", "2026-05-01T23:59:59Z", "2026-05-02T00:00:00Z"];
        assert_eq!(instants.map(open_at), ["am", "pm", "pm", "am"]);
        assert!(open_at("2026-05-03T12:00:00Z").contains("Shut"));
    }

    // LC4
    #[test]
    fn what_can_not_be_is_refused_when_it_is_written_with_a_hint() {
        let said = |entry: &str| {
            let problems = calendar(&format!("freezes:\n  - {{name: a, reason: r, owner: o, {entry}}}\n")).problems();
            problems
                .into_iter()
                .map(|p| format!("{} {}; {}", p.pointer, p.message, p.help.unwrap_or_default()))
                .collect::<String>()
        };
        let once = |start: &str, end: &str, tz: &str| said(&format!("start: \"{start}\", end: \"{end}\", tz: {tz}"));
        for (said, words) in [
            (
                once("2026-01-01T00:00", "2026-01-02T00:00", "Europe/Berlim"),
                "/freezes/0/tz the time zone `Europe/Berlim` is not known; did you mean `Europe/Berlin`?",
            ),
            (once("2026-01-02T00:00", "2026-01-01T00:00", "UTC"), "`a` ends before it starts"),
            (
                once("2026-01-02T00:00:00Z", "2026-01-03T00:00", "UTC"),
                "/freezes/0/start `2026-01-02T00:00:00Z` is not a local time",
            ),
            (
                said("start: \"2026-01-02T00:00\", end: \"2026-01-03T00:00\""),
                "it has no time zone; add `tz: Europe/Berlin`",
            ),
            (
                said("rrule: \"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=1\", duration: 1h, tz: UTC"),
                "/freezes/0/rrule `a` never occurs",
            ),
            (said("rrule: \"FREQ=DAILY;BYHOUR=1\", duration: 0s, tz: UTC"), "the duration `0s` is no time at all"),
            (
                said("rrule: \"FREQ=DAILY;BYHOUR=1\", duration: 400d, tz: UTC"),
                "the duration `400d` is longer than a year; write `start` and `end`",
            ),
            (said("rrule: \"FREQ=DAILY;BYHOUR=1\", tz: UTC"), "add `duration: 3h`"),
            (said("time_intervals: [{weekdays: [monday]}]"), "it has no time zone"),
            (said("time_intervals: [{months: [february], days_of_month: [30]}], tz: UTC"), "`a` never occurs"),
            (said("tz: UTC"), "it does not say when it is"),
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let twice = "freezes: [{name: a, start: \"2026-01-01T00:00\", end: \"2026-02-01T00:00\", tz: UTC, reason: r, owner: o}]\n\
             windows: [{name: a, rrule: \"FREQ=DAILY;BYHOUR=1\", duration: 1h, tz: UTC, owner: o}]\n";
        assert!(calendar(twice).problems()[0].message.contains("the name `a` is taken"));
        let skipped = "windows: [{name: a, start: \"2026-03-29T02:10\", end: \"2026-03-29T02:50\", tz: Europe/Berlin, owner: o}]\n";
        let help = calendar(skipped).problems()[0].help.clone().unwrap_or_default();
        assert!(help.contains("the clocks of its zone change in that hour"), "{help}");
    }

    #[test]
    fn what_is_over_for_good_is_no_error_and_is_said() {
        let over = calendar(
            "windows: [{name: a, rrule: \"FREQ=DAILY;BYHOUR=1;UNTIL=20260601T000000Z\", duration: 1h, tz: UTC, owner: o}]",
        );
        assert!(over.problems().is_empty() && over.warnings(at("2026-05-01T00:00:00Z")).is_empty());
        let said = over.warnings(at("2026-07-01T00:00:00Z"));
        assert_eq!(said[0].message, "`a` is over and never comes again");
    }

    // LC4: what a search over years finds is what a walk from one obstacle to the next would have found, whenever it is asked.
    #[test]
    fn a_search_over_years_agrees_with_a_walk_from_obstacle_to_obstacle() {
        // An hour each night, frozen but for one night in the seventh year and for one in the spring of the eighth.
        let text = r#"
windows:
  - {name: nights, rrule: "FREQ=DAILY;BYHOUR=1", duration: 1h, tz: Europe/Berlin, owner: o}
  - {name: more, rrule: "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", duration: 2h, tz: Europe/Berlin, owner: o}
freezes:
  - {name: a, rrule: "FREQ=DAILY;BYHOUR=0", exdate: ["2032-11-24T00:00:00", "2033-03-27T00:00:00"], start: "2026-01-01T00:00:00", duration: 5h, tz: Europe/Berlin, reason: r, owner: o}
  - {name: b, rrule: "FREQ=WEEKLY;BYDAY=WE;BYHOUR=1", duration: 30m, tz: Europe/Berlin, reason: r, owner: o}
"#;
        let services = services();
        let (teams, none) = (BTreeSet::from(["team-shop"]), Passes::default());
        let subject =
            Subject { services: &services, teams, environment: "production", kind: Kind::Code, risk: Some(Risk::High) };
        let almanac = Almanac::of(&calendar(text));
        let walked = |from: Timestamp| {
            let covering = almanac.covering(&subject);
            let mut at = from;
            while let Some(obstacle) = covering.obstacle(&none, at) {
                at = obstacle.until.expect("it opens");
            }
            at
        };
        for from in ["2026-11-23T14:00:00Z", "2026-11-23T14:00:01Z", "2032-11-24T00:30:00Z", "2032-11-24T01:30:00Z"] {
            let opening = almanac.opening(&subject, &none, at(from));
            assert_eq!(opening.at, Some(walked(at(from))), "{from}");
            assert!(opening.obstacles.len() <= MOST_TOLD, "{from}");
        }
        // In the seventh year it opens half an hour late, by the second freeze; from then on, with the next exception.
        let asked = |from: &str| almanac.opening(&subject, &none, at(from)).at;
        assert_eq!(asked("2026-11-23T14:00:00Z"), Some(at("2032-11-24T00:30:00Z")));
        assert_eq!(asked("2032-11-24T01:00:00Z"), Some(at("2033-03-27T00:00:00Z")));
        assert_eq!(asked("2033-03-28T00:00:00Z"), None, "and never again");
        // What is passed for a time is passed before the search, and not after it.
        let passes = Passes { exceptions: [("a".to_owned(), at("2026-11-25T00:00:00Z"))].into(), ..Passes::default() };
        let passing = almanac.opening(&subject, &passes, at("2026-11-23T14:00:00Z"));
        assert_eq!(passing.at, Some(at("2026-11-24T00:00:00Z")));
        let late = almanac.opening(&subject, &passes, at("2026-11-24T02:00:00Z"));
        assert_eq!(late.at, Some(at("2032-11-24T00:30:00Z")));
    }

    #[test]
    fn a_freeze_covers_its_first_instant_and_not_its_last() {
        let text = "freezes: [{name: a, start: \"2026-12-20T18:00:00\", end: \"2027-01-03T06:00:00\", tz: Europe/Berlin, reason: r, owner: o}]";
        for (now, wanted) in [
            ("2026-12-20T16:59:59Z", 0),
            ("2026-12-20T17:00:00Z", 1),
            ("2027-01-03T04:59:59Z", 1),
            ("2027-01-03T05:00:00Z", 0),
        ] {
            let frozen = asked(&calendar(text), |almanac, subject| {
                almanac.standing(subject, &Passes::default(), at(now)).frozen.len()
            });
            assert_eq!(frozen, wanted, "{now}");
        }
    }
}
