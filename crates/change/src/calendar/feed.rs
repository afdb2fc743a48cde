//! Feed: the calendar as an iCalendar file, for the calendars that people have already.
//!
//! RFC 5545. Every occurrence is written out in UTC: no reader has to know our zones or to read local times as we do. Says nothing that is not in the
//! calendar or the list of changes. Reads no clock.

use crate::id::{ChangeId, Digest};
use crate::time::{Timestamp, between};

use super::almanac::Occurrence;
use super::clock::Effect;

/// The longest line in octets, without its break (section 3.1).
const LONGEST_LINE: usize = 75;

/// A change that is planned for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub change: ChangeId,
    pub title: String,
    pub status: String,
    pub at: Timestamp,
    /// Where its page is.
    pub url: String,
}

/// As many occurrences as a feed has room for, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<'a> {
    pub occurrences: Vec<Occurrence<'a>>,
    /// The first moment to come from which on something is not told.
    pub cut: Option<Timestamp>,
}

/// What matters most of more than a feed has room for: what is to come before what is over, freezes before windows, the nearest first.
pub fn excerpt(mut all: Vec<Occurrence<'_>>, most: usize, now: Timestamp) -> Excerpt<'_> {
    all.sort_by_cached_key(|one| {
        let is_over = one.spell.end <= now;
        let away = if is_over { between(one.spell.end, now) } else { between(now, one.spell.start) };
        (is_over, one.effect == Effect::Allows, away, one.spell, one.entry.name.clone())
    });
    let left_out = all.split_off(most.min(all.len()));
    let cut = left_out.iter().filter(|one| one.spell.end > now).map(|one| one.spell.start).min();
    all.sort_by(|a, b| (a.spell, &a.entry.name).cmp(&(b.spell, &b.entry.name)));
    Excerpt { occurrences: all, cut }
}

/// The feed of these occurrences and changes, made at `now` by the server at this address. What it tells twice has the same UID, and what another server
/// tells has another one.
pub fn icalendar(name: &str, of: &str, told: &Excerpt<'_>, planned: &[Planned], now: Timestamp) -> String {
    let mut file = Writer { of: of.to_owned(), text: String::new() };
    file.line("BEGIN", "VCALENDAR");
    file.line("VERSION", "2.0");
    file.line("PRODID", "-//Clearway//Calendar//EN");
    file.line("CALSCALE", "GREGORIAN");
    file.line("METHOD", "PUBLISH");
    file.text("NAME", name);
    file.text("X-WR-CALNAME", name);
    file.line("REFRESH-INTERVAL;VALUE=DURATION", "PT1H");
    told.occurrences.iter().for_each(|occurrence| file.occurrence(occurrence, now));
    told.cut.iter().for_each(|cut| file.cut(*cut, now));
    planned.iter().for_each(|planned| file.planned(planned, now));
    file.line("END", "VCALENDAR");
    file.text
}

struct Writer {
    /// Whose events they are.
    of: String,
    text: String,
}

impl Writer {
    fn occurrence(&mut self, occurrence: &Occurrence<'_>, now: Timestamp) {
        let Occurrence { entry, effect, spell } = occurrence;
        let (what, category) = match effect {
            Effect::Forbids => ("Freeze", "FREEZE"),
            Effect::Allows => ("Window", "WINDOW"),
        };
        let reason = if entry.reason.is_empty() { String::new() } else { format!("{}\n", entry.reason) };
        self.line("BEGIN", "VEVENT");
        self.text("UID", &self.uid(&format!("{what}/{}/{}", entry.name, spell.start)));
        self.line("DTSTAMP", &instant(now));
        self.line("DTSTART", &instant(spell.start));
        self.line("DTEND", &instant(spell.end));
        self.text("SUMMARY", &format!("{what}: {}", entry.name));
        self.text("DESCRIPTION", &format!("{reason}Owner: {}", entry.owner));
        self.line("CATEGORIES", category);
        self.line("TRANSP", "TRANSPARENT");
        self.line("END", "VEVENT");
    }

    /// Said where people would look for what is missing.
    fn cut(&mut self, from: Timestamp, now: Timestamp) {
        let why = "More freezes and windows than this calendar can hold begin from here on, and some are missing. \
                   Ask for the feed of one service or team, or see the calendar of the server.";
        self.line("BEGIN", "VEVENT");
        self.text("UID", &self.uid("cut"));
        self.line("DTSTAMP", &instant(now));
        self.line("DTSTART", &instant(from));
        self.text("SUMMARY", "From here on this calendar is not complete");
        self.text("DESCRIPTION", why);
        self.line("URL", &format!("{}/calendar", self.of));
        self.line("TRANSP", "TRANSPARENT");
        self.line("END", "VEVENT");
    }

    fn planned(&mut self, planned: &Planned, now: Timestamp) {
        self.line("BEGIN", "VEVENT");
        self.text("UID", &self.uid(&planned.change.to_string()));
        self.line("DTSTAMP", &instant(now));
        self.line("DTSTART", &instant(planned.at));
        self.text("SUMMARY", &format!("{}: {}", planned.change, planned.title));
        self.text("DESCRIPTION", &planned.status);
        self.line("URL", &planned.url);
        self.line("CATEGORIES", "CHANGE");
        self.line("TRANSP", "TRANSPARENT");
        self.line("END", "VEVENT");
    }

    /// The same for the same thing of the same server, whenever it is asked (RFC 5545, section 3.8.4.7).
    fn uid(&self, what: &str) -> String {
        format!("{}@clearway", Digest::of_bytes(format!("{}\n{what}", self.of).as_bytes()).short())
    }

    /// A value of the type TEXT (section 3.3.11).
    fn text(&mut self, name: &str, value: &str) {
        let mut escaped = String::with_capacity(value.len());
        for letter in value.chars() {
            match letter {
                '\\' | ';' | ',' => escaped.extend(['\\', letter]),
                '\n' => escaped.push_str("\\n"),
                other if other.is_control() => {}
                other => escaped.push(other),
            }
        }
        self.line(name, &escaped);
    }

    /// One line, folded where it is too long (section 3.1), never within a letter.
    fn line(&mut self, name: &str, value: &str) {
        let line: String = format!("{name}:{value}").chars().filter(|letter| !letter.is_control()).collect();
        let mut width = 0;
        for letter in line.chars() {
            if width + letter.len_utf8() > LONGEST_LINE {
                self.text.push_str("\r\n ");
                width = 1;
            }
            self.text.push(letter);
            width += letter.len_utf8();
        }
        self.text.push_str("\r\n");
    }
}

fn instant(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{Entry, Spell};

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), owner: "finance".into(), ..Entry::default() }
    }

    fn feed(reason: &str, title: &str) -> String {
        let entry = Entry { reason: reason.into(), ..entry("year-end") };
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        let spell = Spell { start: at("2026-12-20T17:00:00Z"), end: at("2027-01-03T05:00:00Z") };
        let planned = Planned {
            change: ChangeId::new(7),
            title: title.into(),
            status: "approved".into(),
            at: at("2027-01-04T08:00:00Z"),
            url: "https://clearway.example/changes/CHG-7".into(),
        };
        let now = at("2026-11-01T00:00:00Z");
        let told = excerpt(vec![Occurrence { entry: &entry, effect: Effect::Forbids, spell }], 10, now);
        icalendar("Changes of shop", "https://clearway.example", &told, &[planned], now)
    }

    #[test]
    fn a_feed_is_what_the_standard_says() {
        let feed = feed("closing", "raise the limit");
        assert!(
            feed.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:") && feed.ends_with("\r\nEND:VCALENDAR\r\n")
        );
        for line in [
            "DTSTART:20261220T170000Z",
            "DTEND:20270103T050000Z",
            "SUMMARY:Freeze: year-end",
            "SUMMARY:CHG-7: raise the limit",
            "URL:https://clearway.example/changes/CHG-7",
        ] {
            assert!(feed.split("\r\n").any(|found| found == line), "{line}: {feed}");
        }
        assert_eq!(feed.matches("BEGIN:VEVENT").count(), feed.matches("END:VEVENT").count());
    }

    // LC4: many windows that are over push no freeze out that is to come.
    #[test]
    fn a_feed_that_is_too_small_keeps_the_freezes_to_come_and_says_from_when_on_it_is_not_complete() {
        let (daily, year_end) = (entry("daily"), entry("year-end"));
        let on = |day: i64| Timestamp::from_second(day * 86_400).expect("an instant");
        let spell = |day: i64| Spell { start: on(day), end: on(day + 1) };
        let window = |day| Occurrence { entry: &daily, effect: Effect::Allows, spell: spell(day) };
        let freeze = |day| Occurrence { entry: &year_end, effect: Effect::Forbids, spell: spell(day) };
        let all: Vec<_> = (0..100).map(window).chain([freeze(10), freeze(95)]).collect();
        let now = on(50);
        let Excerpt { occurrences, cut } = excerpt(all.clone(), 5, now);
        let said: Vec<_> = occurrences.iter().map(|one| (one.entry.name.as_str(), one.spell)).collect();
        let windows = (50..54).map(|day| ("daily", spell(day)));
        assert_eq!(said, windows.chain([("year-end", spell(95))]).collect::<Vec<_>>());
        assert_eq!(cut, Some(on(54)));
        let feed = icalendar("all", "https://clearway.example", &Excerpt { occurrences, cut }, &[], now);
        assert!(
            feed.contains("DTSTART:19700224T000000Z\r\nSUMMARY:From here on this calendar is not complete"),
            "{feed}"
        );
        let whole = excerpt(all, 200, now);
        assert_eq!((whole.occurrences.len(), whole.cut), (102, None));
    }

    #[test]
    fn no_text_ends_a_line_or_begins_another_property() {
        let feed = feed("a, b; c\\d\r\nURL:https://evil.example", "x\r\nEND:VCALENDAR");
        assert!(feed.contains("DESCRIPTION:a\\, b\\; c\\\\d\\nURL:https://evil.example\\nOwner: financ"), "{feed}");
        assert_eq!(feed.matches("\r\nEND:VCALENDAR\r\n").count(), 1);
        assert_eq!(feed.matches("\r\nURL:").count(), 1);
    }

    #[test]
    fn long_lines_are_folded_between_letters_and_unfold_to_what_they_were() {
        let title = "ä".repeat(200);
        let feed = feed("closing", &title);
        assert!(feed.split("\r\n").all(|line| line.len() <= LONGEST_LINE), "{feed}");
        assert!(feed.replace("\r\n ", "").contains(&format!("SUMMARY:CHG-7: {title}\r\n")));
    }
}
