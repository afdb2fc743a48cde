//! The roster: whose turn is it at an instant?
//!
//! Schedules as `roster.yaml` tells them: a rotation, shifts that are written out, or the copy of what another tool says, which the shell has fetched.
//! Handovers are at a local time, so that a day that daylight saving lengthens is one turn longer by an hour, and no instant belongs to two turns or to
//! none. What is not known, such as a copy that is too old or a person whom access.yaml does not list, is said to be unknown, never nobody.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Access;
use crate::calendar::repeated::Repeated;
use crate::time::{self, Span, TimeZone, Timestamp, after};

/// A copy that is older than this counts as unknown, where the file says nothing.
const UNKNOWN_AFTER: Span = Span::secs(86_400);
/// The most shifts of a schedule that are kept of what another tool says.
pub const MOST_WATCHES: usize = 10_000;
/// The folder of calendars in a folder of governance.
pub const FOLDER: &str = "roster/";

/// `roster.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    pub schedules: Vec<Schedule>,
    /// How old the copy of what another tool says may be before nobody can say whose turn it is: `1d` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_after: Option<Span>,
    /// What other tools say, by schedule: fetched by the shell, or read from a file beside this one.
    #[serde(skip)]
    #[schemars(skip)]
    pub copies: BTreeMap<String, RosterCopy>,
}

/// Who is on call when. One of `rotation`, `shifts`, `file` and `source` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The name that `on_call` of a service names. No user and no group has it.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$"))]
    pub name: String,
    /// IANA name of the zone of its times.
    pub tz: String,
    /// Users who take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Turns that are written out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<Shift>,
    /// An iCalendar file in the folder `roster` beside this file, such as `roster/primary.ics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^roster/[^/]+\\.ics$"))]
    pub file: Option<String>,
    /// A source under `[rosters]` of clearway.toml, which names its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Turns that go before all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Shift>,
    /// Users by the names that another tool has for them, where those are neither their id, their name nor one of their e-mails.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub people: BTreeMap<String, String>,
}

/// Users who take turns, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// In the order of their turns.
    #[schemars(length(min = 1, max = 100))]
    pub users: Vec<String>,
    /// The day on which the first user's first turn begins.
    #[schemars(with = "String", regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), example = "2026-09-07")]
    pub start: Date,
    /// How long a turn lasts: whole days, `1w` by default.
    #[serde(default = "a_week")]
    pub every: Span,
    /// The local time of the handover.
    #[serde(default = "nine")]
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"), example = "09:00")]
    pub handover: String,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    pub user: String,
    /// Local time in the zone of the schedule, such as `2026-12-20T18:00:00`.
    pub start: String,
    /// Local time at which it is over.
    pub end: String,
}

/// What another tool says of a schedule, and when it said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterCopy {
    /// Nothing for a file beside the roster, which is as new as the roster is.
    pub at: Option<Timestamp>,
    pub watches: Vec<Watch>,
    /// Why it could not be had since, with when that was first so.
    pub failed: Option<(Timestamp, String)>,
}

/// One turn as another tool tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Names, e-mails or ids of users.
    pub who: Vec<String>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Where it comes again: `start` and `end` are those of the first time.
    #[serde(skip)]
    pub again: Option<Repeated>,
}

impl Watch {
    /// Until when it is on, if it is on now.
    fn until(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.again {
            Some(again) => again.until(now),
            None => (self.start <= now && now < self.end).then_some(self.end),
        }
    }
}

/// Whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub users: BTreeSet<String>,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// Why nobody can say it.
    pub unknown: Option<String>,
}

fn a_week() -> Span {
    Span::secs(7 * 86_400)
}

fn nine() -> String {
    "09:00".into()
}

impl Turn {
    fn unknown(why: String) -> Self {
        Self { unknown: Some(why), ..Self::default() }
    }

    fn of(user: &str, until: Timestamp) -> Self {
        Self { users: [user.to_owned()].into(), until: Some(until), unknown: None }
    }

    fn and(mut self, other: Self) -> Self {
        self.users.extend(other.users);
        self.until = [self.until, other.until].into_iter().flatten().min();
        self.unknown = self.unknown.or(other.unknown);
        self
    }
}

impl Roster {
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// Whose turn it is by a schedule; nothing where there is no such schedule.
    pub fn turn(&self, name: &str, access: &Access, now: Timestamp) -> Option<Turn> {
        let schedule = self.schedule(name)?;
        let Ok(zone) = schedule.zone() else {
            return Some(Turn::unknown(format!("the schedule `{name}` has no zone that is known: `{}`", schedule.tz)));
        };
        let turn = match schedule.overriding(&zone, now) {
            Some(turn) => turn,
            None => self.regular(schedule, &zone, access, now),
        };
        let can_answer = |user: &&String| access.is_active(user) && !access.is_machine(user);
        let here = turn.users.iter().filter(can_answer).cloned().collect();
        Some(Turn { users: here, ..turn })
    }

    fn regular(&self, schedule: &Schedule, zone: &TimeZone, access: &Access, now: Timestamp) -> Turn {
        if let Some(rotation) = &schedule.rotation {
            return rotation.turn(zone, now).unwrap_or_default();
        }
        if schedule.source.is_none() && schedule.file.is_none() {
            return schedule.written(&schedule.shifts, zone, now).unwrap_or_default();
        }
        match self.copies.get(&schedule.name) {
            Some(copy) => copy.turn(schedule, access, self.unknown_after.unwrap_or(UNKNOWN_AFTER), now),
            None => Turn::unknown(format!("the schedule `{}` has not been fetched yet", schedule.name)),
        }
    }

    /// References to people, zones and times that can't be meant: each as a JSON pointer and a sentence.
    pub fn problems(&self, access: &Access) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (i, schedule) in self.schedules.iter().enumerate() {
            let at = format!("/schedules/{i}");
            if access.is_principal(&schedule.name) {
                let message = format!("`{}` is a user or a group already; name the schedule otherwise", schedule.name);
                found.push((format!("{at}/name"), message));
            }
            if self.schedules[..i].iter().any(|other| other.name == schedule.name) {
                found.push((format!("{at}/name"), format!("there is a schedule `{}` already", schedule.name)));
            }
            found.extend(schedule.problems(access).into_iter().map(|(pointer, what)| (format!("{at}{pointer}"), what)));
        }
        found
    }
}

impl Schedule {
    fn zone(&self) -> Result<TimeZone, String> {
        TimeZone::get(&self.tz)
            .map_err(|_| format!("the time zone `{}` is not known; write one such as `Europe/Berlin`", self.tz))
    }

    fn overriding(&self, zone: &TimeZone, now: Timestamp) -> Option<Turn> {
        self.written(&self.overrides, zone, now)
    }

    /// The turns of a list that are on now; nothing where none is.
    fn written(&self, shifts: &[Shift], zone: &TimeZone, now: Timestamp) -> Option<Turn> {
        let on = shifts.iter().filter_map(|shift| match shift.instants(zone) {
            Ok((start, end)) => (start <= now && now < end).then(|| Turn::of(&shift.user, end)),
            Err(why) => Some(Turn::unknown(why)),
        });
        on.reduce(Turn::and)
    }

    /// The user whom another tool means by a name.
    fn user_of(&self, name: &str, access: &Access) -> Option<String> {
        if let Some(user) = self.people.get(name) {
            return Some(user.clone());
        }
        let is = |user: &&crate::actor::User| {
            let named = user.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name));
            named || user.id == name || user.emails.iter().any(|email| email.eq_ignore_ascii_case(name))
        };
        access.users.iter().find(is).map(|user| user.id.clone())
    }

    fn problems(&self, access: &Access) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let given = [self.rotation.is_some(), !self.shifts.is_empty(), self.file.is_some(), self.source.is_some()];
        if given.into_iter().filter(|is| *is).count() != 1 {
            let message =
                format!("the schedule `{}` needs one of `rotation`, `shifts`, `file` and `source`", self.name);
            found.push((String::new(), message));
        }
        let lists = [("shifts", &self.shifts), ("overrides", &self.overrides)];
        let shifts = lists.into_iter().flat_map(|(list, shifts)| {
            shifts.iter().enumerate().map(move |(i, shift)| (format!("/{list}/{i}"), shift))
        });
        let shifts: Vec<(String, &Shift)> = shifts.collect();
        let turning = self.rotation.iter().flat_map(|rotation| rotation.users.iter().enumerate());
        let users = turning.map(|(i, user)| (format!("/rotation/users/{i}"), user));
        let users = users.chain(shifts.iter().map(|(at, shift)| (format!("{at}/user"), &shift.user)));
        let users = users.chain(self.people.iter().map(|(name, user)| (format!("/people/{name}"), user)));
        for (at, user) in users {
            if access.user(user).is_none() {
                found.push((at, format!("there is no user `{user}`")));
            } else if access.is_machine(user) {
                found.push((at, format!("`{user}` is a machine, and machines are never on call: name a person")));
            }
        }
        if let Some(rotation) = &self.rotation {
            found.extend(rotation.problems().into_iter().map(|(at, what)| (format!("/rotation{at}"), what)));
        }
        match self.zone() {
            Err(why) => found.push(("/tz".into(), why)),
            Ok(zone) => {
                let wrong = shifts.iter().filter_map(|(at, shift)| Some((at.clone(), shift.instants(&zone).err()?)));
                found.extend(wrong);
            }
        }
        found
    }
}

impl Rotation {
    fn days(&self) -> i64 {
        i64::try_from(self.every.as_millis() / 86_400_000).unwrap_or(i64::MAX).max(1)
    }

    fn handover(&self) -> Option<Time> {
        let (hour, minute) = self.handover.split_once(':')?;
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    }

    /// When a turn begins. A local time that daylight saving skips moves forward; one that comes twice is the first.
    fn begins(&self, turn: i64, zone: &TimeZone) -> Option<Timestamp> {
        let date = self.start.checked_add(turn.checked_mul(self.days())?.days()).ok()?;
        Some(date.to_datetime(self.handover()?).to_zoned(zone.clone()).ok()?.timestamp())
    }

    // By instants, not by local times: in the hour that comes twice a local time is before the handover and after it.
    fn turn(&self, zone: &TimeZone, now: Timestamp) -> Option<Turn> {
        let today = zone.to_datetime(now).date();
        let days = i64::from(today.since(self.start).ok()?.get_days());
        let near = days.div_euclid(self.days());
        let turn = (near - 1..=near + 1).rev().find(|turn| self.begins(*turn, zone).is_some_and(|at| at <= now))?;
        let place = usize::try_from(turn).ok()?;
        let user = self.users.get(place % self.users.len().max(1))?;
        Some(Turn::of(user, self.begins(turn + 1, zone)?))
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.users.is_empty() {
            found.push(("/users", "a rotation has at least one user".to_owned()));
        }
        let whole = self.every.as_millis().is_multiple_of(86_400_000) && self.every >= Span::secs(86_400);
        if !whole {
            found.push(("/every", format!("`{}` is not a number of whole days, such as `1d` or `1w`", self.every)));
        }
        if self.handover().is_none() {
            found.push(("/handover", format!("`{}` is no time of the day, such as `09:00`", self.handover)));
        }
        found
    }
}

impl Shift {
    fn instants(&self, zone: &TimeZone) -> Result<(Timestamp, Timestamp), String> {
        let name = zone.iana_name().unwrap_or("UTC");
        let read = |local: &str| time::parse_instant(&format!("{local} {name}"));
        let (start, end) = (read(&self.start)?, read(&self.end)?);
        if end <= start {
            return Err(format!("the turn of `{}` ends before it starts", self.user));
        }
        Ok((start, end))
    }
}

impl RosterCopy {
    fn turn(&self, schedule: &Schedule, access: &Access, unknown_after: Span, now: Timestamp) -> Turn {
        if let Some(at) = self.at.filter(|at| after(*at, unknown_after) <= now) {
            let why = self.failed.as_ref().map_or_else(String::new, |(_, why)| format!(": {why}"));
            let name = &schedule.name;
            return Turn::unknown(format!("what `{name}` says is of `{at}`, older than {unknown_after}{why}"));
        }
        if self.at.is_none() && self.watches.is_empty() {
            let why = self.failed.as_ref().map_or("it is empty", |(_, why)| why.as_str());
            return Turn::unknown(format!("nobody can say whose turn it is by `{}`: {why}", schedule.name));
        }
        let on = self.watches.iter().filter_map(|watch| Some((watch, watch.until(now)?)));
        let of = |(watch, until): (&Watch, Timestamp)| {
            let each = watch.who.iter().map(|name| match schedule.user_of(name, access) {
                Some(user) => Turn::of(&user, until),
                None => Turn::unknown(format!(
                    "`{name}` of the schedule `{}` is no user; add the name to `people` there",
                    schedule.name
                )),
            });
            each.reduce(Turn::and).unwrap_or_default()
        };
        on.map(of).reduce(Turn::and).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn access() -> Access {
        serde_json::from_value(serde_json::json!({"users": [
            {"id": "ada", "name": "Ada L", "emails": ["Ada@example.com"], "roles": []},
            {"id": "bob", "roles": []},
            {"id": "cyd", "roles": [], "deactivated": true},
        ]}))
        .expect("an access table")
    }

    fn schedule(more: &serde_json::Value) -> Schedule {
        let mut whole = serde_json::json!({"name": "primary", "tz": "Europe/Berlin"});
        let fields = more.as_object().expect("an object").clone();
        whole.as_object_mut().expect("an object").extend(fields);
        serde_json::from_value(whole).expect("a schedule")
    }

    fn rotation(handover: &str, every: &str) -> Schedule {
        let users = ["ada", "bob"];
        schedule(
            &serde_json::json!({"rotation": {"users": users, "start": "2026-03-27", "every": every, "handover": handover}}),
        )
    }

    fn who(schedule: &Schedule, at: &str) -> String {
        let roster = Roster { schedules: vec![schedule.clone()], ..Roster::default() };
        let turn = roster.turn("primary", &access(), instant(at)).expect("there is the schedule");
        turn.unknown.unwrap_or_else(|| turn.users.into_iter().collect::<Vec<_>>().join(","))
    }

    // A4
    #[test]
    fn a_turn_ends_at_the_local_time_of_the_handover_on_both_sides_of_a_change_of_the_clocks() {
        let daily = rotation("09:00", "1d");
        for (at, wanted) in [
            ("2026-03-27T07:59:59Z", ""),
            ("2026-03-27T08:00:00Z", "ada"),
            ("2026-03-28T07:59:59Z", "ada"),
            ("2026-03-28T08:00:00Z", "bob"),
            // The night in which the clocks go forward: 09:00 is an hour earlier.
            ("2026-03-29T06:59:59Z", "bob"),
            ("2026-03-29T07:00:00Z", "ada"),
        ] {
            assert_eq!(who(&daily, at), wanted, "{at}");
        }
    }

    // A4: a handover that is skipped is moved forward, and one that comes twice happens once, the first time.
    #[test]
    fn a_handover_in_the_hour_that_is_skipped_or_comes_twice_happens_once() {
        let nightly = rotation("02:30", "1d");
        assert_eq!(who(&nightly, "2026-03-29T01:29:59Z"), "bob");
        assert_eq!(who(&nightly, "2026-03-29T01:30:00Z"), "ada", "02:30 is skipped and becomes 03:30");
        let (before, on, twice) = ("2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z", "2026-10-25T01:29:00Z");
        let first = who(&nightly, before);
        let next = who(&nightly, on);
        assert_ne!(first, next);
        assert_eq!(who(&nightly, twice), next, "the second 02:29 is not before the handover");
    }

    // A4: in ten years of every turn, no instant belongs to two users or to none.
    #[test]
    fn turns_follow_one_another_without_a_gap_for_ten_years() {
        for (zone, handover) in
            [("Europe/Berlin", "02:30"), ("Australia/Lord_Howe", "02:00"), ("Africa/Cairo", "00:00")]
        {
            let rotation = rotation(handover, "1d").rotation.expect("a rotation");
            let zone = TimeZone::get(zone).expect("a zone");
            for turn in 0..3_652 {
                let (begins, ends) = (rotation.begins(turn, &zone), rotation.begins(turn + 1, &zone));
                let (begins, ends) = (begins.expect("an instant"), ends.expect("an instant"));
                let user = &rotation.users[usize::try_from(turn).expect("a place") % 2];
                let last = time::before(ends, Span::secs(1));
                for at in [begins, last] {
                    let found = rotation.turn(&zone, at).expect("somebody");
                    assert_eq!(found, Turn::of(user, ends), "{at}");
                }
            }
        }
    }

    // A4
    #[test]
    fn an_override_goes_before_the_rotation_and_who_has_left_is_on_call_for_nothing() {
        let mut weekly = rotation("09:00", "7d");
        let shift =
            |user: &str| Shift { user: user.into(), start: "2026-03-28T10:00".into(), end: "2026-03-28T12:00".into() };
        weekly.overrides = vec![shift("bob")];
        assert_eq!(who(&weekly, "2026-03-28T09:30:00Z"), "bob");
        assert_eq!(who(&weekly, "2026-03-28T11:00:00Z"), "ada", "it ends at its last instant");
        weekly.overrides = vec![shift("cyd")];
        assert_eq!(who(&weekly, "2026-03-28T09:30:00Z"), "", "nobody");
    }

    // A4: what another tool says is read by its names; what is too old, or names a stranger, is unknown.
    #[test]
    fn a_copy_that_is_old_or_names_a_stranger_is_unknown_and_never_nobody() {
        let mut feed = schedule(&serde_json::json!({"source": "pager", "people": {"B. Builder": "bob"}}));
        let watch = |who: &str| Watch {
            who: vec![who.into()],
            start: instant("2026-03-28T00:00:00Z"),
            end: instant("2026-03-29T00:00:00Z"),
            again: None,
        };
        let said = |schedule: &Schedule, who: &str, now: &str| {
            let copy =
                RosterCopy { at: Some(instant("2026-03-28T00:00:00Z")), watches: vec![watch(who)], failed: None };
            let copies = [("primary".to_owned(), copy)].into();
            let roster = Roster { schedules: vec![schedule.clone()], unknown_after: Some(Span::secs(7_200)), copies };
            let turn = roster.turn("primary", &access(), instant(now)).expect("there is the schedule");
            turn.unknown.unwrap_or_else(|| turn.users.into_iter().collect::<Vec<_>>().join(","))
        };
        let early = "2026-03-28T01:00:00Z";
        assert_eq!(said(&feed, "ada@EXAMPLE.com", early), "ada");
        assert_eq!(said(&feed, "ada l", early), "ada");
        assert_eq!(said(&feed, "B. Builder", early), "bob");
        let stranger = said(&feed, "Mallory", early);
        assert!(stranger.contains("`Mallory` of the schedule `primary` is no user"), "{stranger}");
        let old = said(&feed, "bob", "2026-03-28T02:00:00Z");
        assert!(old.contains("older than 2h"), "{old}");
        feed.people.clear();
        assert!(who(&feed, early).contains("has not been fetched yet"));
    }

    // A4
    #[test]
    fn a_machine_takes_no_turn_whoever_says_so() {
        let mut access = access();
        access.users[1].kind = crate::actor::UserKind::Machine;
        let weekly = rotation("09:00", "7d");
        let roster = Roster { schedules: vec![weekly], ..Roster::default() };
        let said: Vec<String> = roster.problems(&access).into_iter().map(|(at, what)| format!("{at} {what}")).collect();
        let wanted = "/schedules/0/rotation/users/1 `bob` is a machine, and machines are never on call: name a person";
        assert_eq!(said, [wanted]);
        let turn = roster.turn("primary", &access, instant("2026-04-06T08:00:00Z")).expect("there is the schedule");
        assert!(turn.users.is_empty(), "{turn:?}");
    }

    #[test]
    fn what_can_not_be_meant_is_a_problem_with_its_place() {
        let mut wrong = rotation("25:00", "36h");
        wrong.rotation.as_mut().expect("a rotation").users.push("eve".into());
        wrong.shifts =
            vec![Shift { user: "bob".into(), start: "2026-01-02T00:00".into(), end: "2026-01-01T00:00".into() }];
        let roster = Roster {
            schedules: vec![wrong, Schedule { name: "bob".into(), ..rotation("09:00", "7d") }],
            ..Roster::default()
        };
        let places: Vec<String> = roster.problems(&access()).into_iter().map(|(at, _)| at).collect();
        let expected = [
            "/schedules/0",
            "/schedules/0/rotation/users/2",
            "/schedules/0/rotation/every",
            "/schedules/0/rotation/handover",
            "/schedules/0/shifts/0",
            "/schedules/1/name",
        ];
        assert_eq!(places, expected);
    }
}
