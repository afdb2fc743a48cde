//! Month: the days of a month, and what is on each, as a calendar on the wall shows them.
//!
//! For terminals and pages. Times are those of one zone, which is named; days are as long as they are there. Decides nothing, and reads no clock.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

use super::almanac::{Listed, What};
use crate::time::{TimeZone, Timestamp};

const NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A month in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    first: Date,
    zone: TimeZone,
}

/// A day and what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// `2026-12-01`.
    pub date: String,
    pub number: i8,
    pub weekday: &'static str,
    pub notes: Vec<Note>,
}

/// Something on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub mark: Mark,
    /// When on this day: `all day`, `from 18:00`, `until 06:00`, or `09:00 to 12:00`; for a change, the time.
    pub when: String,
    pub text: String,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Freeze,
    Window,
    Change,
}

impl Mark {
    /// One letter for it, for grids.
    pub fn sign(self) -> char {
        match self {
            Self::Freeze => '#',
            Self::Window => '+',
            Self::Change => '*',
        }
    }
}

impl Month {
    /// Reads `2026-12`.
    ///
    /// # Errors
    /// A sentence that says how a month is written.
    pub fn read(text: &str, zone: TimeZone) -> Result<Self, String> {
        let first = format!("{text}-01").parse::<Date>().ok().filter(|_| text.len() == 7);
        let first = first.ok_or_else(|| format!("`{text}` is not a month; write for example `2026-12`"))?;
        Ok(Self { first, zone })
    }

    /// The month in which an instant is.
    pub fn of(at: Timestamp, zone: TimeZone) -> Self {
        Self { first: zone.to_datetime(at).date().first_of_month(), zone }
    }

    /// `2026-12`.
    pub fn name(&self) -> String {
        self.first.strftime("%Y-%m").to_string()
    }

    /// `December 2026`.
    pub fn title(&self) -> String {
        let name =
            usize::try_from(self.first.month() - 1).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or_default();
        format!("{name} {}", self.first.year())
    }

    /// The one before and the one after.
    pub fn neighbours(&self) -> (String, String) {
        let at =
            |first: Result<Date, jiff::Error>| first.map_or_else(|_| self.name(), |d| d.strftime("%Y-%m").to_string());
        (at(self.first.checked_sub(1.month())), at(self.first.checked_add(1.month())))
    }

    /// Its first instant, and the first one after it.
    pub fn range(&self) -> (Timestamp, Timestamp) {
        (self.begin_of(self.first), self.begin_of(self.first.last_of_month().tomorrow().unwrap_or(Date::MAX)))
    }

    fn begin_of(&self, day: Date) -> Timestamp {
        self.zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0)).compatible().unwrap_or(Timestamp::MAX)
    }

    /// How many days of a week that begins on Monday are before its first one.
    pub fn offset(&self) -> usize {
        usize::try_from(Weekday::Monday.until(self.first.weekday())).unwrap_or(0)
    }

    /// Its days, with what is on each of them.
    pub fn days(&self, occurrences: &[Listed], planned: &[(Timestamp, String)]) -> Vec<Day> {
        let all = self.first.series(1.day()).take_while(|day| day.month() == self.first.month());
        all.map(|day| self.day(day, occurrences, planned)).collect()
    }

    fn day(&self, day: Date, occurrences: &[Listed], planned: &[(Timestamp, String)]) -> Day {
        let (begin, end) = (self.begin_of(day), self.begin_of(day.tomorrow().unwrap_or(Date::MAX)));
        let on_it = occurrences.iter().filter(|listed| listed.from < end && listed.until > begin);
        let listed = on_it.map(|listed| Note {
            mark: if listed.what == What::Freeze { Mark::Freeze } else { Mark::Window },
            when: match (listed.from > begin, listed.until < end) {
                (false, false) => "all day".into(),
                (true, false) => format!("from {}", self.clock(listed.from)),
                (false, true) => format!("until {}", self.clock(listed.until)),
                (true, true) => format!("{} to {}", self.clock(listed.from), self.clock(listed.until)),
            },
            text: listed.name.clone(),
        });
        let planned = planned.iter().filter(|(at, _)| begin <= *at && *at < end);
        let planned = planned.map(|(at, text)| Note { mark: Mark::Change, when: self.clock(*at), text: text.clone() });
        let mut notes: Vec<Note> = listed.chain(planned).collect();
        notes.sort_by_key(|note| note.mark);
        Day { date: day.to_string(), number: day.day(), weekday: short(day.weekday()), notes }
    }

    fn clock(&self, at: Timestamp) -> String {
        self.zone.to_datetime(at).strftime("%H:%M").to_string()
    }

    /// An instant as its zone shows it, to the minute.
    pub fn shows(&self, at: Timestamp) -> String {
        self.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The day of an instant, as `2026-12-01`.
    pub fn day_of(&self, at: Timestamp) -> String {
        self.zone.to_datetime(at).date().to_string()
    }

    /// The name of its zone.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The month as a grid of weeks: each day with one sign for each kind of thing on it.
    pub fn draw(&self, days: &[Day]) -> String {
        let mut grid = format!("{}  (times of {})\n\n", self.title(), self.zone());
        grid.push_str(&["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"].map(|name| format!("{name:<6}")).concat());
        let empty = (0..self.offset()).map(|_| " ".repeat(6));
        let cells: Vec<String> = empty.chain(days.iter().map(cell)).collect();
        for week in cells.chunks(7) {
            grid = format!("{}\n{}", grid.trim_end(), week.concat());
        }
        format!("{}\n", grid.trim_end())
    }
}

fn cell(day: &Day) -> String {
    let mut signs: Vec<char> = day.notes.iter().map(|note| note.mark.sign()).collect();
    signs.dedup();
    format!("{:>2}{:<4}", day.number, signs.into_iter().collect::<String>())
}

fn short(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{Almanac, Calendar};
    use crate::document::Document;
    use expect_test::expect;

    fn december() -> (Month, Vec<Day>) {
        let text = r#"
freezes: [{name: year-end, start: "2026-12-20T18:00", end: "2027-01-03T06:00", tz: Europe/Berlin, reason: r, owner: o}]
windows: [{name: mornings, rrule: "FREQ=WEEKLY;BYDAY=TU,WE;BYHOUR=9", duration: 3h, tz: Europe/Berlin, owner: o}]
"#;
        let calendar: Calendar = Document::from_yaml(text).and_then(|document| document.read()).expect("a calendar");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let month = Month::read("2026-12", zone).expect("a month");
        let (from, to) = month.range();
        let almanac = Almanac::of(&calendar);
        let listed: Vec<Listed> = almanac.between(None, from, to).iter().map(|o| o.listed()).collect();
        let planned = [("2026-12-02T08:30:00Z".parse().expect("an instant"), "CHG-7 raise the limit".to_owned())];
        let days = month.days(&listed, &planned);
        (month, days)
    }

    #[test]
    fn a_month_is_drawn_with_its_freezes_windows_and_changes() {
        let (month, days) = december();
        expect![[r#"
            December 2026  (times of Europe/Berlin)

            Mo    Tu    We    Th    Fr    Sa    Su
                   1+    2+*   3     4     5     6
             7     8+    9+   10    11    12    13
            14    15+   16+   17    18    19    20#
            21#   22#+  23#+  24#   25#   26#   27#
            28#   29#+  30#+  31#
        "#]]
        .assert_eq(&month.draw(&days));
    }

    #[test]
    fn a_day_says_when_on_it_something_is() {
        let (_, days) = december();
        let on = |number: usize| {
            let notes = days[number - 1].notes.iter();
            notes.map(|note| format!("{} {}", note.when, note.text)).collect::<Vec<_>>()
        };
        assert_eq!(on(2), ["09:00 to 12:00 mornings", "09:30 CHG-7 raise the limit"]);
        assert_eq!(on(20), ["from 18:00 year-end"]);
        assert_eq!(on(25), ["all day year-end"]);
        assert!(Month::read("2026-13", TimeZone::UTC).is_err() && Month::read("26-1", TimeZone::UTC).is_err());
    }
}
