//! The calendar feed against RFC 5545, by a reader of our own that shares no code with the writer.

use std::collections::{BTreeMap, BTreeSet};

use change::calendar::feed::{Planned, excerpt, icalendar};
use change::calendar::{Almanac, Calendar};
use change::document::Document;
use change::time::after;
use change::{ChangeId, Span, Timestamp};
use proptest::prelude::*;

/// The properties of each event, and those of the calendar itself, as a strict reader finds them.
fn read(file: &str) -> (BTreeMap<String, String>, Vec<BTreeMap<String, String>>) {
    let lines: Vec<&str> = file.strip_suffix("\r\n").expect("the last line ends too").split("\r\n").collect();
    for line in &lines {
        assert!(line.len() <= 75, "section 3.1: {} octets in `{line}`", line.len());
        assert!(!line.is_empty() && !line.chars().any(char::is_control), "no bare control character: `{line:?}`");
    }
    let mut unfolded: Vec<String> = Vec::new();
    for line in lines {
        match line.strip_prefix(' ') {
            Some(rest) => unfolded.last_mut().expect("a line before it").push_str(rest),
            None => unfolded.push(line.to_owned()),
        }
    }
    let (mut open, mut calendar, mut events) = (Vec::new(), BTreeMap::new(), Vec::new());
    for line in &unfolded {
        let (name, value) = line.split_once(':').expect("a name and a value");
        let (name, parameters) = name.split_once(';').unwrap_or((name, ""));
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'), "`{name}` is a name");
        assert!(parameters.is_empty() || parameters == "VALUE=DURATION", "{parameters}");
        match name {
            "BEGIN" => {
                open.push(value.to_owned());
                if value == "VEVENT" {
                    events.push(BTreeMap::new());
                }
            }
            "END" => assert_eq!(open.pop().as_deref(), Some(value)),
            name => {
                let within = match open.last().map(String::as_str) {
                    Some("VEVENT") => events.last_mut().expect("an event"),
                    Some("VCALENDAR") => &mut calendar,
                    other => panic!("{name} in {other:?}"),
                };
                assert!(within.insert(name.to_owned(), value.to_owned()).is_none(), "{name} stands twice");
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    (calendar, events)
}

/// A value of the type TEXT (section 3.3.11), which escapes only what it may and leaves nothing bare that it must.
fn text(value: &str) -> String {
    let (mut found, mut letters) = (String::new(), value.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'N') => found.push('\n'),
                Some(escaped @ ('\\' | ';' | ',')) => found.push(escaped),
                other => panic!("`\\{other:?}` is no escape"),
            },
            ';' | ',' => panic!("a bare `{letter}` in `{value}`"),
            other => found.push(other),
        }
    }
    found
}

/// A date-time with UTC time, form 2 of section 3.3.5.
fn instant(value: &str) -> Timestamp {
    let (date, time) = value.strip_suffix('Z').and_then(|text| text.split_once('T')).expect("a UTC time");
    assert!(date.len() == 8 && time.len() == 6, "{value}");
    let text = format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
    text.parse().expect("an instant")
}

fn of_events(file: &str, now: Timestamp) -> BTreeMap<String, (Timestamp, String)> {
    let (calendar, events) = read(file);
    assert_eq!((calendar["VERSION"].as_str(), calendar["CALSCALE"].as_str()), ("2.0", "GREGORIAN"));
    assert!(calendar.contains_key("PRODID"));
    let mut found = BTreeMap::new();
    for event in events {
        assert_eq!(instant(&event["DTSTAMP"]), now);
        let start = instant(&event["DTSTART"]);
        assert!(event.get("DTEND").is_none_or(|end| instant(end) > start), "section 3.6.1: {event:?}");
        let again = found.insert(event["UID"].clone(), (start, text(&event["SUMMARY"])));
        assert!(again.is_none(), "two events with one UID: {event:?}");
        text(&event["DESCRIPTION"]);
    }
    found
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn planned(number: u64, title: &str) -> Planned {
    Planned {
        change: ChangeId::new(number),
        title: title.to_owned(),
        status: title.to_owned(),
        at: at("2026-12-02T08:30:00Z"),
        url: "https://clearway.example/changes/CHG-7".into(),
    }
}

const CALENDAR: &str = "
freezes:
  - {name: year-end, start: '2026-12-20T18:00', end: '2027-01-03T06:00', tz: Europe/Berlin, reason: 'a, b; c\\d', owner: o}
  - {name: always, start: '2020-01-01T00:00', end: '2090-01-01T00:00', tz: UTC, reason: r, owner: o}
  - {name: weekend, time_intervals: [{weekdays: ['saturday', 'sunday']}], tz: Europe/Berlin, reason: r, owner: o}
  - {name: each-day, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}], tz: America/New_York, reason: r, owner: o}
windows:
  - {name: nights, rrule: FREQ=DAILY;BYHOUR=2, duration: 2h, tz: Europe/Berlin, owner: o}
";

fn feed_at(now: Timestamp, of: &str) -> BTreeMap<String, (Timestamp, String)> {
    let calendar: Calendar = Document::from_yaml(CALENDAR).and_then(|document| document.read()).expect("a calendar");
    let almanac = Almanac::of(&calendar);
    let (from, to) = (change::time::before(now, Span::secs(31 * 86_400)), after(now, Span::secs(366 * 86_400)));
    let file = icalendar(
        "Clearway",
        of,
        &excerpt(almanac.between(None, from, to), 10_000, now),
        &[planned(7, "raise it")],
        now,
    );
    of_events(&file, now)
}

// LC4: who subscribes sees each thing once, however often the feed is fetched, and whatever the clocks do.
#[test]
fn what_is_told_again_a_week_later_has_the_same_uid_and_two_servers_have_none_in_common() {
    let url = "https://clearway.example";
    let (now, later) = (at("2026-10-20T11:22:33Z"), at("2026-10-27T11:22:33Z"));
    let (before, after_it) = (feed_at(now, url), feed_at(later, url));
    assert!(before.len() > 400, "{}", before.len());
    let kept: Vec<_> = before
        .iter()
        .filter(|(_, (start, _))| *start >= change::time::before(later, Span::secs(31 * 86_400)))
        .collect();
    assert!(kept.len() > 300 && kept.iter().all(|(uid, what)| after_it.get(*uid) == Some(what)), "{}", kept.len());
    // What began long ago is one event still, and not another one in each fetch.
    let of = |all: &BTreeMap<String, (Timestamp, String)>, name: &str| -> BTreeSet<String> {
        all.iter().filter(|(_, (_, summary))| summary.ends_with(name)).map(|(uid, _)| uid.clone()).collect()
    };
    for name in ["always", "year-end", "raise it"] {
        assert_eq!((of(&before, name).len(), of(&before, name)), (1, of(&after_it, name)), "{name}");
    }
    let each_day = of(&before, "each-day").intersection(&of(&after_it, "each-day")).count();
    assert!(each_day > 0, "an interval without a gap keeps its UID");
    let elsewhere = feed_at(now, "https://staging.example");
    assert!(before.keys().all(|uid| !elsewhere.contains_key(uid)), "CHG-7 of another server is another change");
}

proptest! {
    // LC4: no text that anybody wrote ends a line, begins a property, or is torn within a letter.
    #[test]
    fn any_text_is_what_it_was_to_who_reads_the_feed(title in any::<String>(), name in ".{0,90}") {
        let now = at("2026-11-01T00:00:00Z");
        for title in [title.clone(), title.repeat(9), format!("\r\nEND:VCALENDAR\r\n{title}"), format!("ä{title};,\\n")] {
            let file = icalendar(&name, "https://c.example", &excerpt(vec![], 10, now), &[planned(7, &title), planned(8, "x")], now);
            let events = of_events(&file, now);
            prop_assert_eq!(events.len(), 2);
            let plain: String = title.chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
            let told = format!("CHG-7: {plain}");
            prop_assert!(events.values().any(|(_, summary)| *summary == told));
        }
    }
}
