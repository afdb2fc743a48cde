//! Interval: Alertmanager's time intervals, as a clock on the wall shows them.
//!
//! `times`, `weekdays`, `days_of_month`, `months`, `years` and `location`, written and read as there, but for one thing: an interval without a location
//! is not UTC; it needs one, or the rule's `tz`. Next: [`rule`](super::rule).

use jiff::civil::{Date, DateTime, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{list, nearest};

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// The most ranges in one field.
const MOST_RANGES: usize = 100;

/// A time interval in the words of Alertmanager. All fields have to match; one that is absent always does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeInterval {
    /// Times of the day; all of it if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    /// `monday`, or a range such as `monday:friday`. The week begins on Sunday.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    /// `1`, `1:5`, or from the end of the month: `-1`, `-3:-1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days_of_month: Vec<Word>,
    /// `12`, `december`, or a range such as `november:december`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<Word>,
    /// `2026`, or a range such as `2026:2028`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<Word>,
    /// IANA name of its zone; the rule's `tz` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A part of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    /// `HH:MM`.
    pub start_time: String,
    /// `HH:MM` without the minute itself, up to `24:00`.
    pub end_time: String,
}

/// A number, or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Word {
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A time interval that was read.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    /// Minutes of the day.
    times: Vec<(i16, i16)>,
    weekdays: Vec<(i16, i16)>,
    days_of_month: Vec<(i16, i16)>,
    months: Vec<(i16, i16)>,
    years: Vec<(i16, i16)>,
}

impl Interval {
    /// # Errors
    /// A sentence that names the field and the value.
    pub(super) fn read(given: &TimeInterval) -> Result<Self, String> {
        let fields = [given.days_of_month.len(), given.months.len(), given.years.len(), given.times.len()];
        if fields.into_iter().chain([given.weekdays.len()]).any(|count| count > MOST_RANGES) {
            return Err(format!("a field of a time interval has more than {MOST_RANGES} ranges"));
        }
        let words = |words: &[Word]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut times = given.times.iter().map(time_range).collect::<Result<Vec<_>, _>>()?;
        if times.is_empty() {
            times.push((0, 24 * 60));
        }
        times.sort_unstable();
        Ok(Self {
            times,
            weekdays: ranges("weekdays", &given.weekdays, &|word| named(word, &WEEKDAYS, 0))?,
            days_of_month: ranges("days_of_month", &words(&given.days_of_month), &day_of_month)?,
            months: ranges("months", &words(&given.months), &|word| {
                number(word, 1, 12).or_else(|_| named(word, &MONTHS, 1))
            })?,
            years: ranges("years", &words(&given.years), &|word| number(word, 1970, 9_000))?,
        })
    }

    /// Every stretch of local time that begins between two dates, in order.
    pub(super) fn between(&self, from: Date, to: Date) -> Vec<(DateTime, DateTime)> {
        let mut found = Vec::new();
        let mut day = from;
        while day <= to {
            let next = day.tomorrow();
            if self.fits(day) {
                let at = |minutes: i16| match next {
                    Ok(next) if minutes == 24 * 60 => next.at(0, 0, 0, 0),
                    _ => day.at(small(minutes / 60), small(minutes % 60), 0, 0),
                };
                found.extend(self.times.iter().map(|(from, to)| (at(*from), at(*to))));
            }
            match next {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        found
    }

    /// The first year in which it may be, where it names years.
    pub(super) fn first_year(&self) -> Option<i16> {
        self.years.iter().map(|(from, _)| *from).min()
    }

    fn fits(&self, day: Date) -> bool {
        let within = |ranges: &[(i16, i16)], at: i16| {
            ranges.is_empty() || ranges.iter().any(|(from, to)| *from <= at && at <= *to)
        };
        within(&self.years, day.year())
            && within(&self.months, day.month().into())
            && within(&self.weekdays, Weekday::Sunday.until(day.weekday()).into())
            && self.fits_month(day)
    }

    // As Alertmanager does: a range that begins after the end of the month is none; one that ends after it ends with the month.
    fn fits_month(&self, day: Date) -> bool {
        let (at, of) = (i16::from(day.day()), i16::from(day.days_in_month()));
        let counted = |number: i16| if number < 0 { of + number + 1 } else { number };
        let within = |(from, to): &(i16, i16)| counted(*from) <= at && at <= counted(*to);
        self.days_of_month.is_empty() || self.days_of_month.iter().any(within)
    }
}

fn small(number: i16) -> i8 {
    i8::try_from(number).unwrap_or(0)
}

fn time_range(given: &TimeRange) -> Result<(i16, i16), String> {
    let (from, to) = (time(&given.start_time)?, time(&given.end_time)?);
    if from >= to {
        let message = format!("the time `{}` is not before `{}`", given.start_time, given.end_time);
        return Err(format!("{message}; for a night, write two: up to `24:00`, and from `00:00`"));
    }
    Ok((from, to))
}

fn time(text: &str) -> Result<i16, String> {
    let read = || {
        let (hours, minutes) = text.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let in_range = (0..24).contains(&hours) && (0..60).contains(&minutes) || (hours, minutes) == (24, 0);
        in_range.then_some(hours * 60 + minutes)
    };
    read().ok_or_else(|| format!("`{text}` is not a time of the day; write `09:00`, at most `24:00`"))
}

type Bound<'a> = &'a dyn Fn(&str) -> Result<i16, String>;

fn ranges(field: &str, words: &[String], bound: Bound<'_>) -> Result<Vec<(i16, i16)>, String> {
    words.iter().map(|word| range(word, bound).map_err(|error| format!("`{field}`: {error}"))).collect()
}

fn range(word: &str, bound: Bound<'_>) -> Result<(i16, i16), String> {
    let (from, to) = word.split_once(':').unwrap_or((word, word));
    let (first, last) = (bound(from.trim())?, bound(to.trim())?);
    // Days from the two ends of a month can't be compared without the month, but for one case that is never right.
    let backwards = if (first < 0) == (last < 0) { first > last } else { first < 0 };
    if backwards { Err(format!("the range `{word}` ends before it begins")) } else { Ok((first, last)) }
}

fn number(word: &str, least: i16, most: i16) -> Result<i16, String> {
    let number = word.parse::<i16>().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("`{word}` is not a number from {least} to {most}"))
}

fn day_of_month(word: &str) -> Result<i16, String> {
    let day = number(word, -31, 31)?;
    if day == 0 { Err("there is no day `0` in a month; the last one is `-1`".into()) } else { Ok(day) }
}

fn named(word: &str, names: &[&str], first: i16) -> Result<i16, String> {
    let at = names.iter().position(|name| name.eq_ignore_ascii_case(word)).and_then(|at| i16::try_from(at).ok());
    at.map(|at| at + first).ok_or_else(|| {
        let near = nearest(word, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        format!(
            "`{word}` is not known; {}",
            near.unwrap_or_else(|| format!("write one of {}", list(names.iter().copied())))
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn texts(words: &[&str]) -> Vec<Word> {
        words.iter().map(|word| Word::Text((*word).to_owned())).collect()
    }

    fn days(interval: &TimeInterval, from: Date, to: Date) -> Vec<i8> {
        let read = Interval::read(interval).expect("an interval");
        read.between(from, to).iter().map(|(from, _)| from.day()).collect()
    }

    // LC4
    #[test]
    fn days_count_from_both_ends_of_a_month_whatever_its_length() {
        let last = TimeInterval { days_of_month: texts(&["-3:-1"]), ..TimeInterval::default() };
        assert_eq!(days(&last, date(2028, 2, 1), date(2028, 2, 29)), [27, 28, 29]);
        let late = TimeInterval { days_of_month: texts(&["29:31"]), ..TimeInterval::default() };
        assert!(days(&late, date(2026, 2, 1), date(2026, 2, 28)).is_empty());
        let middle = TimeInterval { days_of_month: texts(&["27:-2"]), ..TimeInterval::default() };
        assert_eq!(days(&middle, date(2026, 4, 1), date(2026, 4, 30)), [27, 28, 29]);
        let working = TimeInterval {
            weekdays: vec!["monday:friday".into()],
            months: vec![Word::Number(2), Word::Text("May".into())],
            years: texts(&["2026:2027"]),
            ..TimeInterval::default()
        };
        assert_eq!(days(&working, date(2026, 2, 1), date(2026, 2, 9)), [2, 3, 4, 5, 6, 9]);
        assert!(days(&working, date(2028, 2, 1), date(2028, 2, 9)).is_empty());
    }

    #[test]
    fn a_night_is_two_times_and_a_day_ends_at_twenty_four() {
        let range = |from: &str, to: &str| TimeRange { start_time: from.into(), end_time: to.into() };
        let interval =
            TimeInterval { times: vec![range("22:00", "24:00"), range("00:00", "06:00")], ..TimeInterval::default() };
        let read = Interval::read(&interval).expect("an interval").between(date(2026, 5, 1), date(2026, 5, 1));
        let ends: Vec<String> = read.iter().map(|(from, to)| format!("{from} {to}")).collect();
        assert_eq!(ends, ["2026-05-01T00:00:00 2026-05-01T06:00:00", "2026-05-01T22:00:00 2026-05-02T00:00:00"]);
    }

    // LC4
    #[test]
    fn what_alertmanager_refuses_is_refused_with_a_hint() {
        let refused = |interval: TimeInterval| Interval::read(&interval).err().unwrap_or_else(|| "accepted".into());
        let day = |word: &str| TimeInterval { weekdays: vec![word.into()], ..TimeInterval::default() };
        let of_month = |word: &str| TimeInterval { days_of_month: texts(&[word]), ..TimeInterval::default() };
        assert!(refused(day("mondy")).contains("did you mean `monday`?"));
        assert!(refused(day("friday:monday")).contains("ends before it begins"));
        assert!(refused(of_month("0")).contains("the last one is `-1`"));
        assert!(refused(of_month("32")).contains("is not a number from -31 to 31"));
        assert!(refused(of_month("-1:5")).contains("ends before it begins"));
        let night = vec![TimeRange { start_time: "22:00".into(), end_time: "06:00".into() }];
        assert!(refused(TimeInterval { times: night, ..TimeInterval::default() }).contains("write two"));
        let odd = vec![TimeRange { start_time: "9:00".into(), end_time: "24:01".into() }];
        assert!(refused(TimeInterval { times: odd, ..TimeInterval::default() }).contains("`09:00`"));
    }
}
