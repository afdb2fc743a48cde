//! Days: the plan as people read it, day by day in their zone, with what nobody can foretell at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;

use super::{Agenda, Expected, Item};
use crate::time::{TimeZone, Timestamp};

/// A group of lines below one title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    pub title: String,
    pub lines: Vec<Line<'a>>,
}

/// A change with its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// `09:30 to 10:10`, or what can be said instead.
    pub when: String,
    pub item: &'a Item,
}

/// What is under way, then each day on which something begins, then what is later or unknown.
pub fn groups<'a>(agenda: &'a Agenda, zone: &TimeZone) -> Vec<Group<'a>> {
    let of = |expected: Expected| agenda.items.iter().filter(move |item| item.expected == expected);
    let mut days: BTreeMap<Date, Vec<Line<'a>>> = BTreeMap::new();
    for item in of(Expected::Planned) {
        let Some(at) = item.starts_at else { continue };
        days.entry(zone.to_datetime(at).date()).or_default().push(Line { when: times(at, item, zone), item });
    }
    let ends = |item: &Item| match item.ends_at {
        Some(at) => format!("until {}", shows(at, zone)),
        None => "until nobody can say when".into(),
    };
    let lines = |expected, when: &dyn Fn(&Item) -> String| -> Vec<Line<'a>> {
        of(expected).map(|item| Line { when: when(item), item }).collect()
    };
    let mut groups = vec![Group { title: "Under way".into(), lines: lines(Expected::UnderWay, &ends) }];
    let title = |day: Date| day.strftime("%A, %Y-%m-%d").to_string();
    groups.extend(days.into_iter().map(|(day, lines)| Group { title: title(day), lines }));
    groups.push(Group {
        title: format!("After {}", shows(agenda.until, zone)),
        lines: lines(Expected::Later, &|_| "later".into()),
    });
    groups.push(Group { title: "Unknown".into(), lines: lines(Expected::Unknown, &|_| "unknown".into()) });
    groups.retain(|group| !group.lines.is_empty());
    groups
}

fn times(at: Timestamp, item: &Item, zone: &TimeZone) -> String {
    let begins = zone.to_datetime(at).strftime("%H:%M").to_string();
    let Some(end) = item.ends_at else { return format!("{begins}, its end is unknown") };
    let same_day = zone.to_datetime(end).date() == zone.to_datetime(at).date();
    let ends = if same_day { zone.to_datetime(end).strftime("%H:%M").to_string() } else { shows(end, zone) };
    if begins == ends { begins } else { format!("{begins} to {ends}") }
}

/// An instant as a zone shows it, to the minute.
pub fn shows(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
}

/// All of it as text.
pub fn draw(agenda: &Agenda, zone: &TimeZone) -> String {
    let mut text = String::new();
    for group in groups(agenda, zone) {
        let _ = writeln!(text, "{}", group.title);
        for Line { when, item } in group.lines {
            let _ = writeln!(text, "  {when}  {}", item.name());
            let _ = writeln!(text, "      {}", item.because);
        }
    }
    if agenda.items.is_empty() {
        text.push_str("nothing is under way, and nothing waits\n");
    }
    if let Some(cut) = &agenda.cut {
        let _ = writeln!(text, "{cut}");
    }
    let _ = write!(
        text,
        "Times are those of {}: estimates from the plans, if nobody does anything.",
        zone.iana_name().unwrap_or("UTC")
    );
    text
}
