//! iCalendar: who is on call, as the calendar feeds of other tools say it (RFC 5545).
//!
//! Reads events: their start, their end, and whom they name, by `ATTENDEE` or else by `SUMMARY`; those that recur with their rule, what it leaves out, and
//! the single times that were moved. A time without a zone is of the zone of the schedule; one in a zone that nobody knows, and a rule that can't be read,
//! is refused: half a roster is none. Pure; a file or an answer is read by who calls it.

use std::collections::BTreeMap;

use change::Span;
use change::calendar::repeated::{Repeated, Rule};
use change::roster::{MOST_WATCHES, Watch};
use change::time::{TimeZone, Timestamp};
use jiff::civil::{Date, DateTime};

/// One line of the file, unfolded: its name, its parameters and its value.
struct Line<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    value: &'a str,
}

/// What is known of an event so far.
#[derive(Default)]
struct Event {
    start: Option<Local>,
    end: Option<Local>,
    lasts: Option<jiff::Span>,
    attendees: Vec<String>,
    summary: Option<String>,
    is_cancelled: bool,
    uid: String,
    rule: Option<String>,
    also: Vec<Local>,
    never: Vec<Local>,
    /// The time of the event with the same `UID` that this one takes the place of.
    instead_of: Option<Local>,
    /// The line on which it ends.
    line: usize,
}

/// A local time and its zone.
#[derive(Clone, Debug)]
struct Local {
    time: DateTime,
    zone: TimeZone,
    /// Whether it is a day without a time.
    is_day: bool,
}

/// The turns of a calendar.
///
/// # Errors
/// A sentence with the number of the line.
pub fn watches(text: &str, zone: &TimeZone) -> Result<Vec<Watch>, String> {
    let lines = unfolded(text);
    if lines.first().is_none_or(|(_, first)| !first.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err("this is no iCalendar: it does not begin with `BEGIN:VCALENDAR`".into());
    }
    let (mut found, mut event): (Vec<Event>, Option<Event>) = (Vec::new(), None);
    for (number, text) in &lines {
        let at = |why: String| format!("line {number}: {why}");
        let Some(line) = Line::of(text) else { return Err(at("it has no `:`".into())) };
        match (line.name.to_ascii_uppercase().as_str(), &mut event) {
            ("BEGIN", None) if line.is("VEVENT") => event = Some(Event::default()),
            ("END", Some(_)) if line.is("VEVENT") => {
                found.push(Event { line: *number, ..event.take().unwrap_or_default() });
            }
            (name, Some(event)) => event.take_in(name, &line, zone).map_err(at)?,
            _ => {}
        }
        if found.len() > MOST_WATCHES {
            return Err(format!("it has more than {MOST_WATCHES} events, the most that are read"));
        }
    }
    if !lines.last().is_some_and(|(_, last)| last.eq_ignore_ascii_case("END:VCALENDAR")) {
        return Err("it breaks off: it does not end with `END:VCALENDAR`".into());
    }
    turns(found)
}

/// The events as turns. One that takes the place of a time of another leaves that out there.
fn turns(mut events: Vec<Event>) -> Result<Vec<Watch>, String> {
    let mut moved: BTreeMap<String, Vec<Local>> = BTreeMap::new();
    for event in &events {
        if let Some(instead_of) = &event.instead_of {
            moved.entry(event.uid.clone()).or_default().push(instead_of.clone());
        }
    }
    for event in events.iter_mut().filter(|event| event.recurs()) {
        event.never.extend(moved.get(&event.uid).into_iter().flatten().cloned());
    }
    let each = events.into_iter().map(|event| {
        let line = event.line;
        event.watch().map_err(|why| format!("line {line}: {why}"))
    });
    each.filter_map(Result::transpose).collect()
}

/// The lines with their numbers; one that begins with a blank goes on with the one before.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, last))) => last.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => lines.push((i + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (mut quoted, mut cuts) = (false, Vec::new());
        let colon = text.char_indices().find_map(|(at, c)| match c {
            '"' => {
                quoted = !quoted;
                None
            }
            ';' if !quoted => {
                cuts.push(at);
                None
            }
            ':' if !quoted => Some(at),
            _ => None,
        })?;
        cuts.push(colon);
        let name = &text[..cuts[0]];
        let parameters = cuts.windows(2).filter_map(|pair| text[pair[0] + 1..pair[1]].split_once('='));
        let parameters = parameters.map(|(name, value)| (name, value.trim_matches('"'))).collect();
        Some(Self { name, parameters, value: &text[colon + 1..] })
    }

    fn is(&self, value: &str) -> bool {
        self.value.trim().eq_ignore_ascii_case(value)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

impl Event {
    fn take_in(&mut self, name: &str, line: &Line<'_>, zone: &TimeZone) -> Result<(), String> {
        match name {
            "DTSTART" => self.start = Some(local(line, zone)?),
            "DTEND" => self.end = Some(local(line, zone)?),
            "DURATION" => {
                let lasts = line.value.parse().map_err(|_| format!("`{}` is no duration", line.value))?;
                self.lasts = Some(lasts);
            }
            "SUMMARY" => self.summary = Some(unescaped(line.value)),
            "ATTENDEE" => self.attendees.push(attendee(line)),
            "STATUS" => self.is_cancelled = line.is("CANCELLED"),
            "UID" => line.value.trim().clone_into(&mut self.uid),
            "RRULE" if self.rule.is_some() => return Err("an event has two rules; make two events of it".into()),
            "RRULE" => self.rule = Some(to_the_last_day(line.value.trim())),
            "RDATE" if line.parameter("VALUE").is_some_and(|value| value.eq_ignore_ascii_case("PERIOD")) => {
                return Err("a `RDATE` of periods is not read; have the tool write them as events".into());
            }
            "RDATE" => self.also.extend(locals(line, zone)?),
            "EXDATE" => self.never.extend(locals(line, zone)?),
            "EXRULE" => return Err("`EXRULE` is not read: RFC 5545 has it no more; use `EXDATE`".into()),
            "RECURRENCE-ID" if line.parameter("RANGE").is_some() => {
                return Err(
                    "an event that takes the place of all later ones is not read; end the first rule with `UNTIL`"
                        .into(),
                );
            }
            "RECURRENCE-ID" => self.instead_of = Some(local(line, zone)?),
            _ => {}
        }
        Ok(())
    }

    fn recurs(&self) -> bool {
        self.rule.is_some() || !self.also.is_empty()
    }

    fn watch(self) -> Result<Option<Watch>, String> {
        if self.is_cancelled {
            return Ok(None);
        }
        let start = self.start.as_ref().ok_or("an event has no `DTSTART`")?;
        // By the clock on the wall: a turn from nine to nine is one on the day on which the clocks change too.
        let end = match (&self.end, self.lasts) {
            (Some(end), _) => end.in_zone(&start.zone)?,
            (None, Some(lasts)) => later(start.time, lasts)?,
            (None, None) if start.is_day => later(start.time, jiff::Span::new().days(1))?,
            (None, None) => return Err("an event has neither `DTEND` nor `DURATION`".into()),
        };
        let (first, last) = (start.instant()?, Local { time: end, ..start.clone() }.instant()?);
        if last <= first {
            return Err(format!("an event ends at `{last}`, before it starts"));
        }
        let again = self.again(start, end)?;
        let who = if self.attendees.is_empty() { self.summary.into_iter().collect() } else { self.attendees };
        if who.is_empty() {
            return Err("an event names nobody: it has neither `ATTENDEE` nor `SUMMARY`".into());
        }
        Ok(Some(Watch { who, start: first, end: last, again }))
    }

    fn again(&self, start: &Local, end: DateTime) -> Result<Option<Repeated>, String> {
        if !self.recurs() {
            return Ok(None);
        }
        let lasts = end.duration_since(start.time).as_millis();
        let lasts = Span::millis(u64::try_from(lasts).map_err(|_| "an event ends before it starts")?);
        let in_zone = |dates: &[Local]| dates.iter().map(|at| at.in_zone(&start.zone)).collect::<Result<Vec<_>, _>>();
        let tz = start.zone.iana_name().unwrap_or("UTC").to_owned();
        let (rdate, exdate) = (in_zone(&self.also)?, in_zone(&self.never)?);
        let rule = Rule { start: start.time, lasts, rrule: self.rule.clone(), rdate, exdate, tz };
        Repeated::read(rule).map(Some).map_err(|why| format!("its rule: {why}"))
    }
}

impl Local {
    fn instant(&self) -> Result<Timestamp, String> {
        let at = self.time.to_zoned(self.zone.clone());
        at.map(|at| at.timestamp()).map_err(|_| format!("`{}` is no time", self.time))
    }

    /// What the clocks of another zone show then. A day is the same day everywhere.
    fn in_zone(&self, zone: &TimeZone) -> Result<DateTime, String> {
        if self.is_day || self.zone == *zone {
            return Ok(self.time);
        }
        self.instant().map(|at| zone.to_datetime(at))
    }
}

fn later(start: DateTime, lasts: jiff::Span) -> Result<DateTime, String> {
    start.checked_add(lasts).map_err(|_| "an event ends after the end of time".into())
}

/// A rule that ends on a day ends with it: tools write so for events of whole days.
fn to_the_last_day(rule: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, day)) if name.eq_ignore_ascii_case("UNTIL") && day.len() == 8 => format!("UNTIL={day}T235959"),
        _ => part.to_owned(),
    };
    rule.split(';').map(part).collect::<Vec<_>>().join(";")
}

fn locals(line: &Line<'_>, zone: &TimeZone) -> Result<Vec<Local>, String> {
    line.value.split(',').map(|text| local_of(line, text.trim(), zone)).collect()
}

fn local(line: &Line<'_>, zone: &TimeZone) -> Result<Local, String> {
    local_of(line, line.value.trim(), zone)
}

/// `20261201T090000Z`, `20261201T090000` with or without `TZID`, or `20261201`.
fn local_of(line: &Line<'_>, text: &str, zone: &TimeZone) -> Result<Local, String> {
    let bad = || format!("`{text}` is no time");
    let (local, utc) = text.strip_suffix('Z').map_or((text, false), |local| (local, true));
    let is_day = local.len() == 8;
    let time = match is_day {
        true => Date::strptime("%Y%m%d", local).map_err(|_| bad())?.to_datetime(jiff::civil::Time::midnight()),
        false => DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| bad())?,
    };
    let zone = match line.parameter("TZID") {
        _ if utc => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!("the time zone `{name}` is not one of the time-zone database, such as `Europe/Berlin`")
        })?,
        None => zone.clone(),
    };
    let local = Local { time, zone, is_day };
    local.instant().map(|_| local)
}

/// The address, or the name where there is none.
fn attendee(line: &Line<'_>) -> String {
    let value = line.value.trim();
    let address = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).map(|_| &value[7..]);
    address.or_else(|| line.parameter("CN")).unwrap_or(value).to_owned()
}

/// RFC 5545, section 3.3.11.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('n' | 'N')) => plain.push(' '),
            ('\\', Some(other)) => plain.push(other),
            _ => plain.push(c),
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").expect("a zone")
    }

    fn calendar(events: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", events.replace('\n', "\r\n"))
    }

    fn read(event: &str) -> Result<Vec<String>, String> {
        let text = calendar(&format!("BEGIN:VEVENT\n{event}END:VEVENT\n"));
        let found = watches(&text, &berlin())?;
        Ok(found.into_iter().map(|w| format!("{} {} {}", w.who.join("+"), w.start, w.end)).collect())
    }

    // A4
    #[test]
    fn events_are_turns_in_their_zone_by_attendee_or_by_summary() {
        let cases = [
            (
                "DTSTART:20261201T080000Z\nDTEND:20261202T080000Z\nSUMMARY:On call\nATTENDEE;CN=\"Ada: L\";ROLE=CHAIR:MAILTO:ada@ex\n ample.com\n",
                "ada@example.com 2026-12-01T08:00:00Z 2026-12-02T08:00:00Z",
            ),
            (
                "DTSTART;TZID=America/New_York:20261201T090000\nDURATION:PT8H\nSUMMARY:Bob\\, Builder\n",
                "Bob, Builder 2026-12-01T14:00:00Z 2026-12-01T22:00:00Z",
            ),
            ("DTSTART;VALUE=DATE:20260329\nSUMMARY:bob\n", "bob 2026-03-28T23:00:00Z 2026-03-29T22:00:00Z"),
            (
                "DTSTART:20261201T090000\nDTEND:20261201T100000\nSUMMARY:bob\n",
                "bob 2026-12-01T08:00:00Z 2026-12-01T09:00:00Z",
            ),
        ];
        for (event, wanted) in cases {
            assert_eq!(read(event), Ok(vec![wanted.to_owned()]), "{event}");
        }
        assert_eq!(read("STATUS:CANCELLED\nDTSTART:20261201T090000\n"), Ok(vec![]));
    }

    /// Who is on call by a calendar at an instant.
    fn on_call(text: &str, at: &str) -> String {
        let watches = watches(text, &berlin()).expect("a calendar");
        let people = ["ada", "bob", "cyd"].map(|id| serde_json::json!({"id": id, "roles": []}));
        let access = serde_json::from_value(serde_json::json!({"users": people})).expect("an access table");
        let schedule = serde_json::json!({"name": "primary", "tz": "Europe/Berlin", "file": "roster/primary.ics"});
        let schedule = serde_json::from_value(schedule).expect("a schedule");
        let copy = change::roster::RosterCopy { at: None, watches, failed: None };
        let copies = [("primary".to_owned(), copy)].into();
        let roster = change::roster::Roster { schedules: vec![schedule], unknown_after: None, copies };
        let turn = roster.turn("primary", &access, at.parse().expect("an instant")).expect("there is the schedule");
        let until = turn.until.map(|until| format!(" until {until}")).unwrap_or_default();
        turn.unknown.unwrap_or_else(|| format!("{}{until}", turn.users.into_iter().collect::<Vec<_>>().join("+")))
    }

    // A4: turns by a rule, as calendars export them: every second week, with one that is left out, one that somebody else has taken, and days on which the
    // clocks change.
    #[test]
    fn turns_that_recur_are_read_with_what_is_left_out_and_who_has_taken_one() {
        let master = |who: &str, start: &str, uid: &str, more: &str| {
            format!(
                "BEGIN:VEVENT\nUID:{uid}\nDTSTART;TZID=Europe/Berlin:{start}T090000\nDTEND;TZID=Europe/Berlin:{}T090000\nSUMMARY:{who}\nRRULE:FREQ=WEEKLY;INTERVAL=2\n{more}END:VEVENT\n",
                start.parse::<u32>().expect("a day") + 7
            )
        };
        let taken = "BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20260330T090000\nDTSTART;TZID=Europe/Berlin:20260330T090000\nDTEND;TZID=Europe/Berlin:20260406T090000\nSUMMARY:cyd\nEND:VEVENT\n";
        let text = calendar(&format!(
            "{}{}{taken}",
            master("ada", "20260105", "1", "EXDATE;TZID=Europe/Berlin:20260427T090000\n"),
            master("bob", "20260112", "2", ""),
        ));
        for (at, wanted) in [
            ("2026-01-05T07:59:59Z", ""),
            ("2026-01-05T08:00:00Z", "ada until 2026-01-12T08:00:00Z"),
            ("2026-01-12T08:00:00Z", "bob until 2026-01-19T08:00:00Z"),
            // The clocks go forward on the 29th of March, in bob's week: it is an hour shorter.
            ("2026-03-30T06:59:59Z", "bob until 2026-03-30T07:00:00Z"),
            ("2026-03-30T07:00:00Z", "cyd until 2026-04-06T07:00:00Z"),
            ("2026-04-28T12:00:00Z", ""),
            ("2036-01-01T12:00:00Z", "bob until 2036-01-07T08:00:00Z"),
        ] {
            assert_eq!(on_call(&text, at), wanted, "{at}");
        }
        let days = "BEGIN:VEVENT\nUID:3\nDTSTART;VALUE=DATE:20260601\nRRULE:FREQ=DAILY;UNTIL=20260603\nRDATE;VALUE=DATE:20260701\nSUMMARY:bob\nEND:VEVENT\n";
        let days = calendar(days);
        for (at, wanted) in [
            ("2026-06-03T12:00:00Z", "bob until 2026-06-03T22:00:00Z"),
            ("2026-06-04T12:00:00Z", ""),
            ("2026-07-01T12:00:00Z", "bob until 2026-07-01T22:00:00Z"),
        ] {
            assert_eq!(on_call(&days, at), wanted, "{at}");
        }
    }

    // A4: what can't be read is refused as a whole, with its line; it is never an empty roster.
    #[test]
    fn what_can_not_be_meant_is_refused_with_its_line() {
        let cases = [
            ("DTSTART;TZID=Berlin Time:20261201T090000\n", "line 4: the time zone `Berlin Time` is not one"),
            ("DTSTART:20261201T090000\nDTEND:20261201T100000\nSUMMARY:x\nRRULE:FREQ=HOURLY\n", "line 8: its rule: "),
            ("DTSTART:20261201T090000\nRDATE;VALUE=PERIOD:20261201T090000/PT1H\n", "line 5: a `RDATE` of periods"),
            (
                "RECURRENCE-ID;RANGE=THISANDFUTURE:20261201T090000\n",
                "line 4: an event that takes the place of all later",
            ),
            ("DTSTART:20261301T090000\n", "line 4: `20261301T090000` is no time"),
            ("DTSTART:20261201T090000\nDTEND:20261201T090000\nSUMMARY:x\n", "before it starts"),
            ("DTSTART:20261201T090000\nDTEND:20261201T100000\n", "an event names nobody"),
            ("DTSTART:20261201T090000\nSUMMARY:x\n", "neither `DTEND` nor `DURATION`"),
            ("no colon\n", "line 4: it has no `:`"),
        ];
        for (event, wanted) in cases {
            let why = read(event).expect_err("it can't be meant");
            assert!(why.contains(wanted), "{why}");
        }
        assert!(watches("<html>", &berlin()).is_err_and(|why| why.contains("no iCalendar")));
        assert!(watches("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", &berlin()).is_err_and(|why| why.contains("breaks off")));
    }
}
