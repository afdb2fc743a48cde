//! iCalendar: who is on call, as the calendar feeds of other tools say it (RFC 5545).
//!
//! Reads events: their start, their end, and whom they name, by `ATTENDEE` or else by `SUMMARY`. A time without a zone is of the zone of the schedule; one
//! in a zone that nobody knows, and an event that recurs, is refused: half a roster is none. Pure; a file or an answer is read by who calls it.

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
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    lasts: Option<jiff::Span>,
    /// Whether it is of whole days.
    is_of_days: bool,
    attendees: Vec<String>,
    summary: Option<String>,
    is_cancelled: bool,
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
    let (mut found, mut event): (Vec<Watch>, Option<Event>) = (Vec::new(), None);
    for (number, text) in &lines {
        let at = |why: String| format!("line {number}: {why}");
        let Some(line) = Line::of(text) else { return Err(at("it has no `:`".into())) };
        match (line.name.to_ascii_uppercase().as_str(), &mut event) {
            ("BEGIN", None) if line.is("VEVENT") => event = Some(Event::default()),
            ("END", Some(_)) if line.is("VEVENT") => {
                let ended = event.take().unwrap_or_default();
                found.extend(ended.watch(zone).map_err(at)?);
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
    Ok(found)
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
            "DTSTART" => {
                self.start = Some(instant(line, zone)?);
                self.is_of_days = line.value.len() == 8;
            }
            "DTEND" => self.end = Some(instant(line, zone)?),
            "DURATION" => {
                let lasts = line.value.parse().map_err(|_| format!("`{}` is no duration", line.value))?;
                self.lasts = Some(lasts);
            }
            "SUMMARY" => self.summary = Some(unescaped(line.value)),
            "ATTENDEE" => self.attendees.push(attendee(line)),
            "STATUS" => self.is_cancelled = line.is("CANCELLED"),
            "RRULE" | "RDATE" => {
                return Err("an event that recurs is not read; have the tool write its turns out".into());
            }
            _ => {}
        }
        Ok(())
    }

    fn watch(self, zone: &TimeZone) -> Result<Option<Watch>, String> {
        if self.is_cancelled {
            return Ok(None);
        }
        let start = self.start.ok_or("an event has no `DTSTART`")?;
        let end = match (self.end, self.lasts) {
            (Some(end), _) => end,
            (None, Some(lasts)) => later(start, lasts, zone)?,
            (None, None) if self.is_of_days => later(start, jiff::Span::new().days(1), zone)?,
            (None, None) => return Err("an event has neither `DTEND` nor `DURATION`".into()),
        };
        if end <= start {
            return Err(format!("an event ends at `{end}`, before it starts"));
        }
        let who = if self.attendees.is_empty() { self.summary.into_iter().collect() } else { self.attendees };
        if who.is_empty() {
            return Err("an event names nobody: it has neither `ATTENDEE` nor `SUMMARY`".into());
        }
        Ok(Some(Watch { who, start, end }))
    }
}

fn later(start: Timestamp, lasts: jiff::Span, zone: &TimeZone) -> Result<Timestamp, String> {
    let end = start.to_zoned(zone.clone()).checked_add(lasts);
    end.map(|end| end.timestamp()).map_err(|_| "an event ends after the end of time".into())
}

/// `20261201T090000Z`, `20261201T090000` with or without `TZID`, or `20261201`.
fn instant(line: &Line<'_>, zone: &TimeZone) -> Result<Timestamp, String> {
    let text = line.value.trim();
    let bad = || format!("`{text}` is no time");
    let (local, utc) = text.strip_suffix('Z').map_or((text, false), |local| (local, true));
    let local = match local.len() {
        8 => Date::strptime("%Y%m%d", local).map_err(|_| bad())?.to_datetime(jiff::civil::Time::midnight()),
        _ => DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| bad())?,
    };
    let zone = match line.parameter("TZID") {
        _ if utc => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!("the time zone `{name}` is not one of the time-zone database, such as `Europe/Berlin`")
        })?,
        None => zone.clone(),
    };
    local.to_zoned(zone).map(|at| at.timestamp()).map_err(|_| bad())
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

    // A4: what can't be read is refused as a whole, with its line; it is never an empty roster.
    #[test]
    fn what_can_not_be_meant_is_refused_with_its_line() {
        let cases = [
            ("DTSTART;TZID=Berlin Time:20261201T090000\n", "line 4: the time zone `Berlin Time` is not one"),
            ("DTSTART:20261201T090000\nRRULE:FREQ=WEEKLY\n", "line 5: an event that recurs is not read"),
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
