//! Sweep: at which moments do the rules change their minds?
//!
//! Plays one input at the minute before, at, and after each boundary of time: every hour of a week, the first day of each month, the changes of the clocks
//! of the zone. Where the answer differs from that of the moment before, the author sees it, and whether it is where they meant it. Nothing is judged here.

use change::facts::Now;
use change::{Span, Timestamp};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use crate::bundle::Bundle;

const A_MINUTE: Span = Span::secs(60);
const HOURS_OF_A_WEEK: i64 = 168;

/// One moment at which the answer differs from that of the minute before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The instant, RFC 3339 in UTC.
    pub time: String,
    /// As the clocks of the zone show it: `friday 2026-12-04 14:00`.
    pub local: String,
    /// What is said from now on and was not before.
    pub begins: Vec<String>,
    /// What was said before and is no more.
    pub ends: Vec<String>,
}

/// What a sweep found of one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    pub input: String,
    /// How many moments were played.
    pub moments: usize,
    pub flips: Vec<Flip>,
    /// The first moment at which the rules failed, if they did.
    pub failure: Option<String>,
}

/// Plays an input, a JSON object whose `now` is replaced, through the year that begins with the day of this moment.
pub fn sweep(bundle: &Bundle, name: &str, input: &Value, zone: &TimeZone, from: Timestamp) -> Swept {
    let mut swept = Swept { input: name.to_owned(), moments: 0, flips: vec![], failure: None };
    for boundary in boundaries(zone, from) {
        let around = [change::time::before(boundary, A_MINUTE), boundary, change::time::after(boundary, A_MINUTE)];
        let mut before: Option<Vec<String>> = None;
        for moment in around {
            swept.moments += 1;
            let now = match answers_at(bundle, input, moment, zone) {
                Ok(answers) => answers,
                Err(reason) => {
                    swept.failure = Some(format!("{}: {reason}", shown(moment, zone)));
                    return swept;
                }
            };
            swept.flips.extend(before.as_ref().filter(|before| **before != now).map(|before| Flip {
                time: moment.to_string(),
                local: shown(moment, zone),
                begins: now.iter().filter(|said| !before.contains(said)).cloned().collect(),
                ends: before.iter().filter(|said| !now.contains(said)).cloned().collect(),
            }));
            before = Some(now);
        }
    }
    swept
}

fn answers_at(bundle: &Bundle, input: &Value, at: Timestamp, zone: &TimeZone) -> Result<Vec<String>, String> {
    let mut input = input.clone();
    if let Some(fields) = input.as_object_mut() {
        fields.insert("now".into(), serde_json::json!(Now::in_zone(at, zone)));
    }
    let answers = bundle.ask(&input.to_string())?;
    let mut said: Vec<String> =
        answers.denials.iter().map(|d| format!("denied ({}) by `{}`", d.level, d.code)).collect();
    said.extend(answers.factors.iter().map(|f| format!("`{}` counts {}", f.code, f.points)));
    said.extend(answers.requires.iter().map(|r| format!("{} of `{}` within {}", r.count, r.by, r.within)));
    said.extend(answers.warnings.iter().map(|warning| format!("warned: {warning}")));
    said.extend(
        answers.checklist.iter().map(|item| format!("`{}` stands in the checklist `{}`", item.code, item.list)),
    );
    if answers.window == change::assessment::Window::Required {
        said.push("a planned time is required".into());
    }
    Ok(said)
}

fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let clock = Now::in_zone(at, zone).local;
    format!("{} {} {:02}:{:02} {}", clock.weekday, clock.date, clock.hour, clock.minute, clock.offset)
}

/// The boundaries in the order of time. A boundary that a zone skips, an hour that is not there in spring, is where the zone puts it.
fn boundaries(zone: &TimeZone, from: Timestamp) -> Vec<Timestamp> {
    let year = from.to_zoned(zone.clone()).date();
    let start = |date: jiff::civil::Date| date.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let Some(first) = start(year) else { return vec![] };
    let hour = |n: i64| Timestamp::from_second(first.as_second() + n * 3_600).ok();
    let mut found: Vec<Timestamp> = (0..HOURS_OF_A_WEEK).filter_map(hour).collect();
    let months = (1..=12).filter_map(|n| year.checked_add(jiff::Span::new().months(n)).ok());
    found.extend(months.filter_map(start));
    let end = year.checked_add(jiff::Span::new().years(1)).ok().and_then(start).unwrap_or(first);
    found.extend(zone.following(first).map(|t| t.timestamp()).take_while(|at| *at < end));
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rules_that_flip_are_shown_where_they_flip() {
        let rules = "package clearway.a\ndeny contains {\"code\": \"late\", \"reason\": \"r\"} if {\n\tinput.now.weekday == \"friday\"\n\tinput.now.hour >= 14\n}\nwarn contains \"summer\" if input.now.offset == \"+02:00\"\n";
        let bundle = Bundle::compile(&BTreeMap::from([("policy/a.rego".into(), rules.into())])).expect("it compiles");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let swept = sweep(
            &bundle,
            "x",
            &serde_json::json!({"change": {"kind": "docs"}}),
            &zone,
            "2026-01-01T10:00:00Z".parse().expect("an instant"),
        );
        let flips: Vec<String> =
            swept.flips.iter().map(|f| format!("{}: begins {:?}, ends {:?}", f.local, f.begins, f.ends)).collect();
        assert_eq!(
            flips,
            [
                "friday 2026-01-02 14:00 +01:00: begins [\"denied (hard) by `late`\"], ends []",
                "saturday 2026-01-03 00:00 +01:00: begins [], ends [\"denied (hard) by `late`\"]",
                "sunday 2026-03-29 03:00 +02:00: begins [\"warned: summer\"], ends []",
                "saturday 2026-08-01 00:00 +02:00: begins [], ends [\"denied (hard) by `late`\"]",
                "sunday 2026-10-25 02:00 +01:00: begins [], ends [\"warned: summer\"]",
            ]
        );
        assert_eq!((swept.moments, swept.failure), (3 * (168 + 12 + 2), None));
    }
}
