//! Recurrence: the days and times of an RFC 5545 recurrence rule, as a clock on the wall shows them.
//!
//! Rules repeat by the day, week, month or year; what is more frequent is refused, and so is every part that isn't known. Everything is reckoned day by
//! day within the dates that are asked for, so that no rule can burn time. Zones come later, in [`clock`](super::clock). Next:
//! [`interval`](super::interval).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday, date};

use crate::document::{list, nearest};

/// The most times in one day at which a rule may occur.
const MOST_TIMES: usize = 96;
/// The most numbers in one part of a rule.
const MOST_NUMBERS: usize = 400;
/// The highest `COUNT` and `INTERVAL`.
const MOST_COUNT: u32 = 10_000;
/// For how many years a `COUNT`, or a first occurrence, is looked for.
pub(super) const LONGEST_SEARCH: i16 = 100;

/// Where a rule without a start begins: everything about it is said by the rule itself.
pub(super) const EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);

const PARTS: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// The last moment at which a rule occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Local(DateTime),
    /// `UNTIL` with a `Z`: compared with the instant of an occurrence.
    Instant(Timestamp),
}

/// A rule that was read.
#[derive(Clone, Debug)]
pub(super) struct Recurrence {
    frequency: Frequency,
    interval: u32,
    week_start: Weekday,
    months: Vec<i16>,
    month_days: Vec<i16>,
    year_days: Vec<i16>,
    weeks: Vec<i16>,
    weekdays: Vec<Nth>,
    times: Vec<Time>,
    positions: Vec<i16>,
    start: DateTime,
    until: Option<Until>,
}

/// A weekday, or the nth of its kind in the month or year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nth {
    nth: Option<i16>,
    weekday: Weekday,
}

/// A day, a week, a month or a year: what a rule repeats by.
#[derive(Clone, Copy, Debug)]
struct Period {
    first: Date,
    last: Date,
    number: i64,
}

impl Recurrence {
    /// Reads a rule such as `FREQ=WEEKLY;BYDAY=TU,TH;BYHOUR=9`, that begins at `start`.
    ///
    /// # Errors
    /// A sentence that names the part and, where there is one, the way out.
    pub(super) fn read(rule: &str, start: Option<DateTime>) -> Result<Self, String> {
        let parts = Parts::split(rule)?;
        let frequency = parts.frequency()?;
        let (interval, count) = (parts.number("INTERVAL")?, parts.number("COUNT")?);
        let mut read = Self {
            frequency,
            interval: interval.unwrap_or(1),
            week_start: parts.get("WKST").map_or(Ok(Weekday::Monday), weekday)?,
            months: parts.numbers("BYMONTH", 1, 12)?,
            month_days: parts.numbers("BYMONTHDAY", -31, 31)?,
            year_days: parts.numbers("BYYEARDAY", -366, 366)?,
            weeks: parts.numbers("BYWEEKNO", -53, 53)?,
            weekdays: parts.weekdays()?,
            times: vec![],
            positions: parts.numbers("BYSETPOS", -366, 366)?,
            start: start.unwrap_or(EPOCH),
            until: parts.until()?,
        };
        read.check()?;
        if start.is_none() {
            read.says_everything(&parts, count)?;
        }
        read.take_from_start();
        read.times = parts.times(read.start.time())?;
        if let Some(count) = count {
            if read.until.is_some() {
                return Err("`COUNT` and `UNTIL` exclude each other; keep one".into());
            }
            read.until = read.last_of(count as usize).map(Until::Local);
        }
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        let yearly = self.frequency == Frequency::Yearly;
        let numbered = self.weekdays.iter().any(|day| day.nth.is_some());
        let by_month = matches!(self.frequency, Frequency::Monthly | Frequency::Yearly);
        if !self.weeks.is_empty() && !yearly {
            return Err("`BYWEEKNO` stands only in a rule with `FREQ=YEARLY`".into());
        }
        if !self.weeks.is_empty() && self.weekdays.is_empty() {
            return Err("`BYWEEKNO` needs the days of the week in `BYDAY`".into());
        }
        if !self.year_days.is_empty() && !yearly {
            return Err("`BYYEARDAY` stands only in a rule with `FREQ=YEARLY`".into());
        }
        if !self.month_days.is_empty() && self.frequency == Frequency::Weekly {
            return Err("`BYMONTHDAY` does not stand in a rule with `FREQ=WEEKLY`".into());
        }
        if numbered && (!by_month || !self.weeks.is_empty()) {
            return Err(
                "a numbered `BYDAY`, such as `2TU`, needs `FREQ=MONTHLY`, or `FREQ=YEARLY` without `BYWEEKNO`".into()
            );
        }
        Ok(())
    }

    /// Without a start, nothing may be taken from one.
    fn says_everything(&self, parts: &Parts<'_>, count: Option<u32>) -> Result<(), String> {
        let missing = |what: &str| {
            Err(format!("the rule needs a `start` (local time, such as `2026-01-05T09:00:00`), because {what}"))
        };
        if self.interval > 1 || count.is_some() {
            return missing("`INTERVAL` and `COUNT` are counted from it");
        }
        if parts.get("BYHOUR").is_none() {
            return missing("it names no `BYHOUR`");
        }
        let dated = !self.month_days.is_empty() || !self.weekdays.is_empty();
        let said = match self.frequency {
            Frequency::Daily => true,
            Frequency::Weekly | Frequency::Monthly => dated,
            Frequency::Yearly => {
                !self.year_days.is_empty() || dated && !(self.months.is_empty() && self.weeks.is_empty())
            }
        };
        if said { Ok(()) } else { missing("it does not say on which day it occurs") }
    }

    /// RFC 5545, section 3.3.10: what the rule leaves open is as at its start.
    fn take_from_start(&mut self) {
        let open = self.weeks.is_empty()
            && self.year_days.is_empty()
            && self.month_days.is_empty()
            && self.weekdays.is_empty();
        let day = self.start.date();
        match self.frequency {
            Frequency::Yearly if open => {
                if self.months.is_empty() {
                    self.months = vec![i16::from(day.month())];
                }
                self.month_days = vec![i16::from(day.day())];
            }
            Frequency::Monthly if open => self.month_days = vec![i16::from(day.day())],
            Frequency::Weekly if self.weekdays.is_empty() => {
                self.weekdays = vec![Nth { nth: None, weekday: day.weekday() }];
            }
            _ => {}
        }
    }

    /// When it ends.
    pub(super) fn until(&self) -> Option<Until> {
        self.until
    }

    fn last_of(&self, count: usize) -> Option<DateTime> {
        let first = self.start.date();
        let years = (0..LONGEST_SEARCH).map(|years| first.year().saturating_add(years));
        let mut left = count;
        for year in years {
            let (Ok(from), Ok(to)) = (Date::new(year, 1, 1), Date::new(year, 12, 31)) else { return None };
            let found = self.between(from, to);
            match found.get(left.saturating_sub(1)) {
                Some(last) => return Some(*last),
                None => left -= found.len(),
            }
        }
        None
    }

    /// Every local time from one date to another at which it occurs, in order.
    pub(super) fn between(&self, from: Date, to: Date) -> Vec<DateTime> {
        let from = from.max(self.start.date());
        let to = match self.until {
            Some(Until::Local(last)) => to.min(last.date()),
            _ => to,
        };
        let mut found = Vec::new();
        // Where every period counts and none has to be known as a whole, all of it is one.
        if self.interval <= 1 && self.positions.is_empty() {
            self.occur_in(Period { first: from, last: to, number: 0 }, from, to, &mut found);
            return found;
        }
        let begin = self.period_of(self.start.date()).number;
        let mut at = from;
        while at <= to {
            let period = self.period_of(at);
            if (period.number - begin) % i64::from(self.interval.max(1)) == 0 {
                self.occur_in(period, from, to, &mut found);
            }
            match period.last.tomorrow() {
                Ok(next) => at = next,
                Err(_) => break,
            }
        }
        found
    }

    fn occur_in(&self, period: Period, from: Date, to: Date, found: &mut Vec<DateTime>) {
        // Without positions, a period need not be known as a whole.
        let (first, last) = if self.positions.is_empty() {
            (period.first.max(from), period.last.min(to))
        } else {
            (period.first, period.last)
        };
        let begin = found.len();
        let mut day = first;
        while day <= last {
            if self.fits(day) {
                found.extend(self.times.iter().map(|time| day.to_datetime(*time)));
            }
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        if !self.positions.is_empty() {
            let all: Vec<DateTime> = found.split_off(begin);
            let chosen = all.iter().enumerate().filter(|(at, _)| self.is_chosen(*at, all.len()));
            found.extend(chosen.map(|(_, at)| *at).filter(|at| from <= at.date() && at.date() <= to));
        }
        let is_within = |at: &DateTime| match self.until {
            Some(Until::Local(last)) => self.start <= *at && *at <= last,
            _ => self.start <= *at,
        };
        let mut kept = begin;
        for at in begin..found.len() {
            if is_within(&found[at]) {
                found.swap(kept, at);
                kept += 1;
            }
        }
        found.truncate(kept);
    }

    fn is_chosen(&self, at: usize, of: usize) -> bool {
        let (at, of) = (i64::try_from(at).unwrap_or(i64::MAX), i64::try_from(of).unwrap_or(i64::MAX));
        self.positions
            .iter()
            .map(|position| i64::from(*position))
            .any(|p| if p > 0 { p - 1 == at } else { of + p == at })
    }

    fn fits(&self, day: Date) -> bool {
        let weekday = day.weekday();
        (self.months.is_empty() || self.months.contains(&i16::from(day.month())))
            && (self.month_days.is_empty() || holds(&self.month_days, day.day().into(), day.days_in_month().into()))
            && (self.year_days.is_empty() || holds(&self.year_days, day.day_of_year(), day.days_in_year()))
            && (self.weekdays.is_empty()
                || self.weekdays.iter().any(|one| one.weekday == weekday && self.is_nth(one.nth, day)))
            && (self.weeks.is_empty() || self.is_in_weeks(day))
    }

    fn is_nth(&self, nth: Option<i16>, day: Date) -> bool {
        let Some(nth) = nth else { return true };
        let in_year = self.frequency == Frequency::Yearly && self.months.is_empty();
        let (at, of) = if in_year {
            (day.day_of_year(), day.days_in_year())
        } else {
            (day.day().into(), day.days_in_month().into())
        };
        if nth > 0 { (at - 1) / 7 + 1 == nth } else { (of - at) / 7 + 1 == -nth }
    }

    // A week belongs to the year that has most of its days: the one of its fourth day.
    fn is_in_weeks(&self, day: Date) -> bool {
        let first = self.week_of(day);
        let Ok(middle) = first.checked_add(jiff::Span::new().days(3)) else { return false };
        let (at, of) = (middle.day_of_year(), middle.days_in_year());
        let week = (at - 1) / 7 + 1;
        holds(&self.weeks, week, week + (of - at) / 7)
    }

    fn week_of(&self, day: Date) -> Date {
        let since = i64::from(self.week_start.until(day.weekday()));
        day.checked_sub(jiff::Span::new().days(since)).unwrap_or(day)
    }

    fn period_of(&self, day: Date) -> Period {
        match self.frequency {
            Frequency::Daily => Period { first: day, last: day, number: number_of(day) },
            Frequency::Weekly => {
                let first = self.week_of(day);
                let last = first.checked_add(jiff::Span::new().days(6)).unwrap_or(Date::MAX);
                Period { first, last, number: number_of(first).div_euclid(7) }
            }
            Frequency::Monthly => {
                let number = i64::from(day.year()) * 12 + i64::from(day.month());
                Period { first: day.first_of_month(), last: day.last_of_month(), number }
            }
            Frequency::Yearly => {
                Period { first: day.first_of_year(), last: day.last_of_year(), number: i64::from(day.year()) }
            }
        }
    }
}

/// Days since 1970.
fn number_of(day: Date) -> i64 {
    day.duration_since(date(1970, 1, 1)).as_hours() / 24
}

/// Whether a number is in a list in which negative ones count from the end.
fn holds(numbers: &[i16], at: i16, of: i16) -> bool {
    numbers.iter().any(|number| *number == at || *number < 0 && of + *number + 1 == at)
}

/// The parts of a rule as they are written.
struct Parts<'a>(Vec<(String, &'a str)>);

impl<'a> Parts<'a> {
    fn split(rule: &'a str) -> Result<Self, String> {
        let rule = rule.trim().strip_prefix("RRULE:").unwrap_or(rule.trim());
        let mut parts: Vec<(String, &str)> = Vec::new();
        for part in rule.split(';').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is no part of a rule; parts look like `FREQ=WEEKLY`"));
            };
            let name = name.trim().to_ascii_uppercase();
            if !PARTS.contains(&name.as_str()) {
                let near = nearest(&name, PARTS).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(format!("`{name}` is not known in a rule{near}"));
            }
            if parts.iter().any(|(other, _)| *other == name) {
                return Err(format!("`{name}` stands twice in the rule"));
            }
            parts.push((name, value.trim()));
        }
        Ok(Self(parts))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn frequency(&self) -> Result<Frequency, String> {
        match self.get("FREQ").map(str::to_ascii_uppercase).as_deref() {
            Some("DAILY") => Ok(Frequency::Daily),
            Some("WEEKLY") => Ok(Frequency::Weekly),
            Some("MONTHLY") => Ok(Frequency::Monthly),
            Some("YEARLY") => Ok(Frequency::Yearly),
            Some("HOURLY" | "MINUTELY" | "SECONDLY") => {
                Err("rules repeat by the day at most; write `FREQ=DAILY` with the hours in `BYHOUR`".into())
            }
            Some(other) => Err(format!("`FREQ={other}` is not known; write DAILY, WEEKLY, MONTHLY or YEARLY")),
            None => Err("the rule has no `FREQ`, such as `FREQ=WEEKLY`".into()),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse::<u32>().ok().filter(|n| (1..=MOST_COUNT).contains(n));
        number.map(Some).ok_or_else(|| format!("`{name}={value}` is not a number from 1 to {MOST_COUNT}"))
    }

    fn numbers(&self, name: &str, least: i16, most: i16) -> Result<Vec<i16>, String> {
        let Some(value) = self.get(name) else { return Ok(vec![]) };
        let mut numbers = Vec::new();
        for word in value.split(',') {
            let number = word.trim().trim_start_matches('+').parse::<i16>().ok();
            // Days and weeks are counted from both ends, so that there is none with the number 0.
            let number = number.filter(|n| (least..=most).contains(n) && !(least < 0 && *n == 0));
            numbers.push(number.ok_or_else(|| format!("`{word}` in `{name}` is not a number from {least} to {most}"))?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() > MOST_NUMBERS {
            Err(format!("`{name}` has more than {MOST_NUMBERS} numbers"))
        } else {
            Ok(numbers)
        }
    }

    fn weekdays(&self) -> Result<Vec<Nth>, String> {
        let Some(value) = self.get("BYDAY") else { return Ok(vec![]) };
        let words: Vec<&str> = value.split(',').map(str::trim).collect();
        if words.len() > MOST_NUMBERS {
            return Err(format!("`BYDAY` has more than {MOST_NUMBERS} days"));
        }
        words.into_iter().map(nth).collect()
    }

    fn times(&self, start: Time) -> Result<Vec<Time>, String> {
        let or = |name: &str, most: i16, own: i8| {
            self.numbers(name, 0, most).map(|given| if self.get(name).is_none() { vec![i16::from(own)] } else { given })
        };
        let (hours, minutes) = (or("BYHOUR", 23, start.hour())?, or("BYMINUTE", 59, start.minute())?);
        let seconds = or("BYSECOND", 59, start.second())?;
        if hours.len() * minutes.len() * seconds.len() > MOST_TIMES {
            return Err(format!(
                "the rule occurs more than {MOST_TIMES} times a day; write one longer `duration` instead"
            ));
        }
        let small = |number: &i16| i8::try_from(*number).unwrap_or(0);
        let (minutes, seconds) = (&minutes, &seconds);
        let of_hour = |h| minutes.iter().flat_map(move |m| seconds.iter().map(move |s| (h, m, s)));
        let each = hours.iter().flat_map(of_hour);
        let times = each.map(|(h, m, s)| Time::new(small(h), small(m), small(s), 0));
        times.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    fn until(&self) -> Result<Option<Until>, String> {
        let Some(value) = self.get("UNTIL") else { return Ok(None) };
        let bad =
            || format!("`UNTIL={value}` is not a time; write `UNTIL=20301231T235959Z`, or local time without the `Z`");
        let local: DateTime = value.trim_end_matches('Z').parse().map_err(|_| bad())?;
        if !value.contains('T') {
            return Err(format!("`UNTIL={value}` has no time; write `UNTIL={value}T235959` to end with that day"));
        }
        if !value.ends_with('Z') {
            return Ok(Some(Until::Local(local)));
        }
        jiff::tz::Offset::UTC.to_timestamp(local).map(|at| Some(Until::Instant(at))).map_err(|_| bad())
    }
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

fn weekday(word: &str) -> Result<Weekday, String> {
    let known = WEEKDAYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, day)| *day).ok_or_else(|| {
        format!("`{word}` is not a day of the week; write one of {}", list(WEEKDAYS.iter().map(|(name, _)| *name)))
    })
}

fn nth(word: &str) -> Result<Nth, String> {
    let Some(at) = word.len().checked_sub(2).filter(|at| word.is_char_boundary(*at)) else {
        return weekday(word).map(|weekday| Nth { nth: None, weekday });
    };
    let (number, day) = word.split_at(at);
    let weekday = weekday(day)?;
    if number.is_empty() {
        return Ok(Nth { nth: None, weekday });
    }
    let nth = number.trim_start_matches('+').parse::<i16>().ok().filter(|n| *n != 0 && (-53..=53).contains(n));
    nth.map(|n| Nth { nth: Some(n), weekday })
        .ok_or_else(|| format!("`{word}` in `BYDAY` is not a day such as `2TU` or `-1FR`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rule: &str) -> String {
        let start = Some(date(2026, 1, 5).at(9, 0, 0, 0));
        Recurrence::read(rule, start).err().unwrap_or_else(|| "accepted".into())
    }

    fn occurs(rule: &str, start: &str, from: &str, to: &str) -> Vec<String> {
        let local = |text: &str| text.parse::<DateTime>().expect("a local time");
        let rule = Recurrence::read(rule, Some(local(start))).expect("a rule");
        rule.between(local(from).date(), local(to).date()).iter().map(ToString::to_string).collect()
    }

    // LC4
    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_the_way_out() {
        for (rule, words) in [
            ("FREQ=HOURLY", "write `FREQ=DAILY` with the hours in `BYHOUR`"),
            ("FREQ=FORTNIGHTLY", "DAILY, WEEKLY, MONTHLY or YEARLY"),
            ("BYDAY=MO", "no `FREQ`"),
            ("FREQ=DAILY;BYHUOR=9", "did you mean `BYHOUR`?"),
            ("FREQ=DAILY;BYHOUR=24", "`24` in `BYHOUR` is not a number from 0 to 23"),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "`0` in `BYMONTHDAY`"),
            ("FREQ=WEEKLY;BYDAY=2TU", "a numbered `BYDAY`"),
            ("FREQ=WEEKLY;BYDAY=XX", "`XX` is not a day of the week"),
            ("FREQ=DAILY;INTERVAL=0", "`INTERVAL=0` is not a number from 1"),
            ("FREQ=DAILY;COUNT=3;UNTIL=20270101T000000Z", "exclude each other"),
            ("FREQ=DAILY;UNTIL=20270101", "write `UNTIL=20270101T235959`"),
            ("FREQ=DAILY;FREQ=DAILY", "stands twice"),
            (
                "FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24",
                "96 times a day",
            ),
        ] {
            assert!(refused(rule).contains(words), "{rule}: {}", refused(rule));
        }
    }

    #[test]
    fn a_rule_without_a_start_says_everything_itself() {
        let read = |rule: &str| Recurrence::read(rule, None).map(|_| ());
        assert_eq!(read("FREQ=WEEKLY;BYDAY=TU,WE,TH;BYHOUR=9;BYMINUTE=0"), Ok(()));
        for rule in
            ["FREQ=WEEKLY;BYHOUR=9", "FREQ=DAILY", "FREQ=DAILY;INTERVAL=2;BYHOUR=9", "FREQ=YEARLY;BYMONTH=5;BYHOUR=1"]
        {
            assert!(read(rule).is_err_and(|error| error.contains("needs a `start`")), "{rule}");
        }
    }

    #[test]
    fn the_last_friday_the_leap_day_and_the_end_of_a_count_are_found() {
        let start = "2026-01-01T18:00";
        assert_eq!(
            occurs("FREQ=MONTHLY;BYDAY=-1FR", start, "2026-01-01", "2026-03-31"),
            ["2026-01-30T18:00:00", "2026-02-27T18:00:00", "2026-03-27T18:00:00"]
        );
        assert_eq!(
            occurs("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", start, "2026-01-01", "2033-01-01"),
            ["2028-02-29T18:00:00", "2032-02-29T18:00:00"]
        );
        assert_eq!(occurs("FREQ=DAILY;COUNT=2", start, "2026-01-02", "2026-02-01"), ["2026-01-02T18:00:00"]);
        assert_eq!(
            occurs("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", start, "2026-05-01", "2026-05-31"),
            ["2026-05-29T18:00:00"]
        );
    }
}
