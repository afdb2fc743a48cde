//! The bench of calendars: ten years of occurrences beside the `rrule` crate used with its own zones, and questions over a thousand rules.
//!
//! `cargo xtask bench calendar` runs it. Both lay out the same rules in the same run, taking turns, so that their ratio says more than the machine. Nothing
//! is asserted: an aim that is missed is printed as missed. The peer reads a local time that is not there or that comes twice in its own way, so counts
//! may differ by a few.

#![allow(clippy::disallowed_methods)] // A bench measures time; the crate itself reads no clock.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use change::Timestamp;
use change::assessment::Risk;
use change::calendar::{Almanac, Calendar, Entry, Passes, Subject};
use change::proposal::Kind;
use change::time::Span;
use chrono::TimeZone as _;

const RULES: [(&str, &str); 4] = [
    ("daily", "FREQ=DAILY"),
    ("working days, twice", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,14"),
    ("the last Friday", "FREQ=MONTHLY;BYDAY=-1FR"),
    ("the leap day", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
];
const ROUNDS: usize = 20;
const ENTRIES: usize = 1_000;
const QUESTIONS: usize = 2_000;
/// The aim for one question over a thousand rules.
const AIM: Duration = Duration::from_millis(1);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!(
        "{:<34} {:>10} {:>14} {:>10} {:>14} {:>7}  aim",
        "ten years of", "ours", "per second", "peer", "per second", "ratio"
    );
    for (name, rule) in RULES {
        expansion(name, rule)?;
    }
    println!();
    println!(
        "{:<52} {:>12} {:>10} {:>10} {:>10}  aim of the p99",
        "questions over 1,000 rules", "per second", "first", "p50", "p99"
    );
    questions("what opens within days", Span::secs(900))?;
    questions("what never opens", Span::ZERO)
}

fn entry(name: String, rule: &str) -> Entry {
    Entry {
        name,
        rrule: Some(rule.into()),
        start: Some("2026-01-01T02:30:00".into()),
        duration: Some(Span::secs(3_600)),
        tz: Some("Europe/Berlin".into()),
        reason: "a bench".into(),
        owner: "ada".into(),
        ..Entry::default()
    }
}

fn ten_years() -> Outcome<(Timestamp, Timestamp)> {
    Ok(("2026-01-01T00:00:00Z".parse()?, "2036-01-01T00:00:00Z".parse()?))
}

fn expansion(name: &str, rule: &str) -> Outcome<()> {
    let (from, to) = ten_years()?;
    let (mut ours, mut theirs, mut counts) = (Duration::ZERO, Duration::ZERO, (0, 0));
    let zone = rrule::Tz::Europe__Berlin;
    let end = zone.with_ymd_and_hms(2036, 1, 1, 0, 0, 0).single().ok_or("a time")?;
    for _ in 0..ROUNDS {
        let calendar = Calendar { freezes: vec![entry("bench".into(), rule)], ..Calendar::default() };
        // Read anew each time: what is laid out once is kept.
        let almanac = Almanac::of(&calendar);
        let start = Instant::now();
        counts.0 += black_box(almanac.between(None, from, to)).len();
        ours += start.elapsed();
        let peer: rrule::RRuleSet = format!("DTSTART;TZID=Europe/Berlin:20260101T023000\nRRULE:{rule}").parse()?;
        let start = Instant::now();
        counts.1 += black_box(peer.into_iter().take_while(|at| *at < end).count());
        theirs += start.elapsed();
    }
    let per_second = |count: usize, took: Duration| count as f64 / took.as_secs_f64();
    let (own, peer) = (per_second(counts.0, ours), per_second(counts.1, theirs));
    let each = |count: usize| count / ROUNDS;
    let (ratio, aim) = (own / peer, "at least 1");
    let missed = if ratio >= 1.0 { "" } else { ": missed" };
    println!(
        "{name:<34} {:>10} {own:>14.0} {:>10} {peer:>14.0} {ratio:>7.1}  {aim}{missed}",
        each(counts.0),
        each(counts.1)
    );
    Ok(())
}

/// Questions about a service that a hundred and more of a thousand rules cover; its freezes begin so much later than its windows.
fn questions(name: &str, later: Span) -> Outcome<()> {
    let rules = (0..ENTRIES).map(|at| {
        let (_, rule) = RULES[at % 3];
        let services = if at % 10 == 0 { vec![] } else { vec![format!("service-{}", at % 100)] };
        Entry { services, ..entry(format!("rule-{at}"), rule) }
    });
    let (mut freezes, windows): (Vec<Entry>, Vec<Entry>) = rules.partition(|entry| entry.name.ends_with('7'));
    let start = match later {
        // One freeze of all that is on whenever a window is: nothing ever opens.
        Span::ZERO => {
            let all = Entry {
                start: Some("2026-01-01T02:00:00".into()),
                duration: Some(Span::secs(79_200)),
                ..entry("all".into(), RULES[0].1)
            };
            freezes.push(all);
            "2026-01-01T02:30:00"
        }
        _ => "2026-01-01T02:45:00",
    };
    let freezes: Vec<Entry> = freezes
        .into_iter()
        .map(|entry| Entry { start: if entry.name == "all" { entry.start } else { Some(start.into()) }, ..entry })
        .collect();
    let almanac = Almanac::of(&Calendar { freezes, windows, batches: vec![] });
    let services: BTreeSet<String> = ["service-7".to_owned()].into();
    let subject = Subject {
        services: &services,
        teams: ["team-shop"].into(),
        environment: "production",
        kind: Kind::Code,
        risk: Some(Risk::High),
    };
    let (from, _) = ten_years()?;
    let mut took = Vec::with_capacity(QUESTIONS);
    let first = Instant::now();
    black_box(almanac.standing(&subject, &Passes::default(), from));
    let first = first.elapsed();
    for at in 0..QUESTIONS {
        let now = change::time::after(from, Span::secs(600 * at as u64));
        let start = Instant::now();
        black_box(almanac.standing(&subject, &Passes::default(), now));
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let all: Duration = took.iter().sum();
    let missed = if p99 <= AIM { "" } else { ": missed" };
    let per_second = QUESTIONS as f64 / all.as_secs_f64();
    println!("{name:<52} {per_second:>12.0} {first:>10.1?} {p50:>10.1?} {p99:>10.1?}  at most {AIM:?}{missed}");
    Ok(())
}
