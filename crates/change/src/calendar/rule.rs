//! Rule: when one entry of the calendar holds, as stretches of time.
//!
//! An entry says it in one of three ways: once, by recurrence, or by time intervals. What repeats is laid out a year at a time, when it is asked for, and
//! kept; the answer is the same whoever asks first. Knows nothing of whom the entry is about: that is [`calendar`](super)'s to say.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::OnceLock;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::Entry;
use super::clock::{self, Effect, Spell};
use super::interval::Interval;
use super::recurrence::{LONGEST_SEARCH, Recurrence, Until};
use crate::document::nearest;
use crate::time::{Span, TimeZone};

/// The years that are kept once they are laid out.
const KEPT_FROM: i16 = 2000;
const KEPT_YEARS: usize = 100;
/// The longest that one occurrence may last.
const LONGEST: Span = Span::secs(366 * 86_400);
/// The most dates in `rdate` and `exdate`.
const MOST_DATES: usize = 1_000;
/// Within so many years of its start, a rule has to occur.
const MUST_OCCUR_WITHIN: i16 = LONGEST_SEARCH;

/// When an entry holds.
#[derive(Debug)]
pub(super) enum Times {
    Once(Spell),
    Repeats(Box<Repeats>),
}

#[derive(Debug)]
pub(super) struct Repeats {
    pattern: Pattern,
    effect: Effect,
    years: Box<[OnceLock<Box<[Spell]>>]>,
}

#[derive(Debug)]
enum Pattern {
    Recurs(Box<Recurs>),
    Intervals(Vec<(Interval, TimeZone)>),
}

#[derive(Debug)]
struct Recurs {
    rule: Option<Recurrence>,
    also: Vec<DateTime>,
    never: BTreeSet<DateTime>,
    lasts: SignedDuration,
    zone: TimeZone,
}

/// What is wrong with an entry: the field, a sentence, and the way out.
pub(super) type Wrong = (&'static str, String, Option<String>);

impl Times {
    /// # Errors
    /// What is wrong, for an entry that can't be read, or that never occurs.
    pub(super) fn read(entry: &Entry, effect: Effect) -> Result<Self, Wrong> {
        let repeats = entry.rrule.is_some() || !entry.rdate.is_empty();
        let times = match (repeats, entry.time_intervals.is_empty()) {
            (true, false) => {
                Err(("", "it has both a rule and `time_intervals`; make two entries of it".to_owned(), None))
            }
            (false, false) => Pattern::intervals(entry).map(|pattern| Self::repeating(pattern, effect)),
            (true, true) => Pattern::recurs(entry).map(|pattern| Self::repeating(pattern, effect)),
            (false, true) => once(entry, effect).map(Self::Once),
        }?;
        if times.ever(entry) { Ok(times) } else { Err(never(entry)) }
    }

    fn repeating(pattern: Pattern, effect: Effect) -> Self {
        Self::Repeats(Box::new(Repeats { pattern, effect, years: (0..KEPT_YEARS).map(|_| OnceLock::new()).collect() }))
    }

    fn ever(&self, entry: &Entry) -> bool {
        let Self::Repeats(repeats) = self else { return true };
        let first = match entry.start.as_deref().and_then(|text| text.parse::<DateTime>().ok()) {
            Some(start) => start.date().year(),
            None => repeats.first_year(),
        };
        (first..first.saturating_add(MUST_OCCUR_WITHIN)).any(|year| !repeats.lay_out(year).is_empty())
    }

    /// The stretch that holds an instant, in a year of UTC.
    pub(super) fn at(&self, at: Timestamp) -> Option<Spell> {
        match self {
            Self::Once(spell) => Some(*spell).filter(|spell| spell.holds(at)),
            Self::Repeats(repeats) => {
                let year = repeats.year(year_of(at));
                let next = year.partition_point(|spell| spell.end <= at);
                year.get(next).copied().filter(|spell| spell.holds(at))
            }
        }
    }

    /// The end of the stretch that holds an instant, where the ones that follow at once belong to it.
    pub(super) fn end(&self, at: Timestamp, horizon: Timestamp) -> Option<Timestamp> {
        let mut end = self.at(at)?.end;
        while end < horizon {
            match self.at(end) {
                Some(next) if next.end > end => end = next.end,
                _ => break,
            }
        }
        Some(end)
    }

    /// When it begins to hold next, after an instant and before a horizon.
    pub(super) fn next(&self, after: Timestamp, horizon: Timestamp) -> Option<Timestamp> {
        let start = match self {
            Self::Once(spell) => Some(spell.start).filter(|start| *start > after),
            Self::Repeats(repeats) => (year_of(after)..=year_of(horizon)).find_map(|year| {
                let year = repeats.year(year);
                let next = year.partition_point(|spell| spell.start <= after);
                year.get(next).map(|spell| spell.start)
            }),
        };
        start.filter(|start| *start < horizon)
    }

    /// Whether one of its times starts at this local time, as it is written.
    pub(super) fn starts_at(&self, text: &str) -> bool {
        let Self::Repeats(repeats) = self else { return false };
        let (Pattern::Recurs(recurs), Ok(start)) = (&repeats.pattern, text.parse::<DateTime>()) else { return false };
        let by_rule = |rule: &Recurrence| rule.between(start.date(), start.date()).contains(&start);
        recurs.also.contains(&start) || recurs.rule.as_ref().is_some_and(by_rule)
    }

    /// Every stretch that has a part between two instants.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> Vec<Spell> {
        let all = match self {
            Self::Once(spell) => vec![*spell],
            Self::Repeats(repeats) => {
                let years = (year_of(from)..=year_of(to)).map(|year| repeats.year(year).into_owned());
                merged(years.flatten().collect())
            }
        };
        all.into_iter().filter(|spell| spell.end > from && spell.start < to).collect()
    }
}

pub(super) fn year_of(at: Timestamp) -> i16 {
    jiff::tz::Offset::UTC.to_datetime(at).year()
}

impl Repeats {
    fn first_year(&self) -> i16 {
        match &self.pattern {
            Pattern::Intervals(intervals) => {
                intervals.iter().filter_map(|(interval, _)| interval.first_year()).min().unwrap_or(KEPT_FROM)
            }
            Pattern::Recurs(recurs) => {
                recurs.also.first().map_or(KEPT_FROM, |first| first.date().year().min(KEPT_FROM))
            }
        }
    }

    /// The stretches that have a part in a year of UTC, in order and apart from one another.
    fn year(&self, year: i16) -> Cow<'_, [Spell]> {
        let kept =
            year.checked_sub(KEPT_FROM).and_then(|at| usize::try_from(at).ok()).and_then(|at| self.years.get(at));
        match kept {
            Some(kept) => Cow::Borrowed(kept.get_or_init(|| self.lay_out(year).into_boxed_slice())),
            None => Cow::Owned(self.lay_out(year)),
        }
    }

    fn lay_out(&self, year: i16) -> Vec<Spell> {
        let (Ok(first), Ok(last)) = (Date::new(year, 1, 1), Date::new(year, 12, 31)) else { return vec![] };
        // Zones are up to a day away from UTC, and what began before may last until now.
        let early = first.checked_sub(jiff::Span::new().days(self.pattern.reach_days() + 2)).unwrap_or(Date::MIN);
        let late = last.checked_add(jiff::Span::new().days(2)).unwrap_or(Date::MAX);
        let at = |day: Date| jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX);
        let (from, to) = (at(first), last.tomorrow().map_or(Timestamp::MAX, at));
        let all = merged(self.pattern.between(early, late, self.effect));
        all.into_iter().filter(|spell| spell.end > from && spell.start < to).collect()
    }
}

impl Pattern {
    fn recurs(entry: &Entry) -> Result<Self, Wrong> {
        let zone = zone_of(entry)?;
        let start = entry.start.as_deref().map(|text| local("start", text)).transpose()?;
        if entry.end.is_some() {
            return Err((
                "/end",
                "what repeats has a `duration`, and ends with `UNTIL` or `COUNT` in its `rrule`".into(),
                None,
            ));
        }
        let Some(duration) = entry.duration else {
            return Err((
                "",
                "it repeats and does not say how long each time is".into(),
                Some("add `duration: 3h`".into()),
            ));
        };
        if duration == Span::ZERO {
            return Err(("/duration", format!("the duration `{duration}` is no time at all"), None));
        }
        if duration > LONGEST {
            let help = "write `start` and `end` without a rule for what lasts longer";
            return Err(("/duration", format!("the duration `{duration}` is longer than a year"), Some(help.into())));
        }
        if entry.rdate.len().max(entry.exdate.len()) > MOST_DATES {
            return Err(("", format!("it lists more than {MOST_DATES} dates"), None));
        }
        let rule = entry.rrule.as_deref().map(|rule| Recurrence::read(rule, start)).transpose();
        let rule = rule.map_err(|error| ("/rrule", error, None))?;
        let dates = |field: &'static str, texts: &[String]| -> Result<BTreeSet<DateTime>, Wrong> {
            texts.iter().map(|text| local(field, text)).collect()
        };
        let (also, never) = (dates("rdate", &entry.rdate)?, dates("exdate", &entry.exdate)?);
        let lasts = SignedDuration::from_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        let also = also.into_iter().collect();
        Ok(Self::Recurs(Box::new(Recurs { rule, also, never, lasts, zone })))
    }

    fn intervals(entry: &Entry) -> Result<Self, Wrong> {
        if entry.start.is_some() || entry.end.is_some() || entry.duration.is_some() {
            let message = "`time_intervals` say all about the time themselves: take `start`, `end` and `duration` out";
            return Err(("", message.into(), None));
        }
        let each = entry.time_intervals.iter().map(|given| {
            let zone = match &given.location {
                Some(location) => zone("/time_intervals", location)?,
                None => zone_of(entry)?,
            };
            Interval::read(given).map(|read| (read, zone)).map_err(|error| ("/time_intervals", error, None))
        });
        each.collect::<Result<_, Wrong>>().map(Self::Intervals)
    }

    fn reach_days(&self) -> i64 {
        match self {
            Self::Recurs(recurs) => recurs.lasts.as_hours() / 24 + 1,
            Self::Intervals(_) => 1,
        }
    }

    fn between(&self, from: Date, to: Date, effect: Effect) -> Vec<Spell> {
        match self {
            Self::Recurs(recurs) => recurs.between(from, to, effect),
            Self::Intervals(intervals) => {
                let each = intervals.iter().flat_map(|(interval, zone)| {
                    interval.between(from, to).into_iter().map(|(from, to)| clock::spell(zone, from, to, effect))
                });
                each.filter(|spell| !spell.is_empty()).collect()
            }
        }
    }
}

impl Recurs {
    fn between(&self, from: Date, to: Date, effect: Effect) -> Vec<Spell> {
        let until = match self.rule.as_ref().and_then(Recurrence::until) {
            Some(Until::Instant(until)) => until,
            _ => Timestamp::MAX,
        };
        let (mut steady, mut single) = (self.steady(effect), self.steady(effect));
        let is_meant = |start: &DateTime| self.never.is_empty() || !self.never.contains(start);
        let by_rule = self.rule.iter().flat_map(|rule| rule.between(from, to)).filter(is_meant);
        let by_rule = by_rule.map(|start| steady.spell(start)).filter(|spell| spell.start <= until);
        let also = self.also.iter().filter(|at| from <= at.date() && at.date() <= to).copied();
        let also = also.filter(is_meant).map(|start| single.spell(start));
        by_rule.chain(also).filter(|spell| !spell.is_empty()).collect()
    }

    fn steady(&self, effect: Effect) -> clock::Steady<'_> {
        clock::Steady::new(&self.zone, self.lasts, effect)
    }
}

/// In order, with those that touch made one.
pub(super) fn merged(mut spells: Vec<Spell>) -> Vec<Spell> {
    spells.sort_unstable();
    let mut merged: Vec<Spell> = Vec::with_capacity(spells.len());
    for spell in spells {
        match merged.last_mut().filter(|last| spell.start <= last.end) {
            Some(last) => last.end = last.end.max(spell.end),
            None => merged.push(spell),
        }
    }
    merged
}

fn once(entry: &Entry, effect: Effect) -> Result<Spell, Wrong> {
    let (Some(start), Some(end)) = (&entry.start, &entry.end) else {
        let help = "once: `start`, `end` and `tz`; again and again: `rrule`, `duration` and `tz`, or `time_intervals`";
        return Err(("", "it does not say when it is".into(), Some(help.into())));
    };
    let zone = zone_of(entry)?;
    let (start, end) = (local("start", start)?, local("end", end)?);
    if entry.duration.is_some() || !entry.exdate.is_empty() {
        return Err(("", "it has a `start` and an `end`, which leave no room for `duration` or `exdate`".into(), None));
    }
    if end <= start {
        return Err(("", format!("`{}` ends before it starts", entry.name), None));
    }
    let spell = clock::spell(&zone, start, end, effect);
    if spell.is_empty() { Err(no_hour(entry)) } else { Ok(spell) }
}

fn never(entry: &Entry) -> Wrong {
    let place = if entry.rrule.is_some() { "/rrule" } else { "" };
    (place, format!("`{}` never occurs", entry.name), Some("look at its days and months: is there such a date?".into()))
}

/// One that lies in an hour that the clocks of its zone skip, or have twice.
fn no_hour(entry: &Entry) -> Wrong {
    let help =
        "the clocks of its zone change in that hour, and nothing of it is left: begin or end it outside of that hour";
    ("", format!("`{}` never occurs", entry.name), Some(help.into()))
}

fn zone_of(entry: &Entry) -> Result<TimeZone, Wrong> {
    let Some(name) = &entry.tz else {
        return Err(("", "it has no time zone".into(), Some("add `tz: Europe/Berlin`, or `tz: UTC`".into())));
    };
    zone("/tz", name)
}

fn zone(place: &'static str, name: &str) -> Result<TimeZone, Wrong> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| "write an IANA name such as `Europe/Berlin`".into());
        (place, format!("the time zone `{name}` is not known"), Some(help))
    })
}

/// A local time as people write it; one with an offset or a `Z` is none, and never taken for one.
fn local(field: &'static str, text: &str) -> Result<DateTime, Wrong> {
    let place = match field {
        "start" => "/start",
        "end" => "/end",
        "rdate" => "/rdate",
        _ => "/exdate",
    };
    let is_local = !text.get(10..).is_some_and(|time| time.contains(['+', '-', '[', 'Z', 'z']));
    let read = text.parse::<DateTime>().ok().filter(|_| is_local && text.len() > 10);
    read.ok_or_else(|| {
        (
            place,
            format!("`{text}` is not a local time; write for example `2026-12-20T18:00:00`, in the zone `tz`"),
            None,
        )
    })
}

/// Whether an entry occurs at or after an instant, as far as can be looked ahead.
pub(super) fn comes_after(times: &Times, now: Timestamp) -> bool {
    let years = SignedDuration::from_hours(24 * 366 * i64::from(LONGEST_SEARCH));
    let horizon = now.saturating_add(years).unwrap_or(Timestamp::MAX);
    times.at(now).is_some() || times.next(now, horizon).is_some()
}
