//! Clocks: freezes and windows over every change of clocks, beside an implementation that shares neither code nor data.
//!
//! The peer is `chrono-tz`: its own copy of the time-zone database, its own lookup. From it, each zone is known here as stretches of one offset, and what
//! a freeze or a window has to be follows from what a clock shows, without a word of gaps and folds. All zones that it has, 2006 to 2025, every
//! transition and every leap day.

use change::calendar::clock::spell;
use change::calendar::{Almanac, Calendar, Effect, Entry, Spell};
use change::time::{Span, TimeZone, Timestamp};
use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};

const DAY: i64 = 86_400;
const FIRST_YEAR: i32 = 2006;
const LAST_YEAR: i32 = 2025;
const LEAP_YEARS: [i32; 5] = [2008, 2012, 2016, 2020, 2024];

/// From an instant on, clocks show so much more than UTC; in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    from: i64,
    offset: i64,
}

/// The clock of a zone.
#[derive(Debug)]
struct Wall {
    name: &'static str,
    stretches: Vec<Stretch>,
}

fn midnight(year: i32, month: u32, day: u32) -> i64 {
    NaiveDate::from_ymd_opt(year, month, day).and_then(|d| d.and_hms_opt(0, 0, 0)).expect("a day").and_utc().timestamp()
}

fn offset_at(zone: Tz, at: i64) -> i64 {
    let utc = DateTime::from_timestamp(at, 0).expect("a time").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

impl Wall {
    fn of(zone: Tz) -> Self {
        let (begin, end) = (midnight(FIRST_YEAR, 1, 1) - 10 * DAY, midnight(LAST_YEAR + 1, 1, 1) + 10 * DAY);
        let mut stretches = vec![Stretch { from: i64::MIN, offset: offset_at(zone, begin) }];
        let mut at = begin;
        while at < end {
            let (mut before, mut after) = (at, at + DAY);
            let (old, new) = (offset_at(zone, before), offset_at(zone, after));
            if old != new {
                while after - before > 1 {
                    let middle = before + (after - before) / 2;
                    if offset_at(zone, middle) == old { before = middle } else { after = middle }
                }
                stretches.push(Stretch { from: after, offset: new });
            }
            at += DAY;
        }
        Self { name: zone.name(), stretches }
    }

    fn each(&self) -> impl DoubleEndedIterator<Item = (Stretch, i64)> {
        let ends = self.stretches.iter().skip(1).map(|next| next.from).chain([i64::MAX]).collect::<Vec<_>>();
        self.stretches.clone().into_iter().zip(ends)
    }

    fn shows(&self, at: i64) -> i64 {
        let now = self.stretches.iter().rev().find(|stretch| stretch.from <= at).expect("the first is from ever");
        at + now.offset
    }

    /// The first instant at which the clock shows this or something later.
    fn first_reaching(&self, local: i64) -> i64 {
        let reached = self.each().find_map(|(stretch, end)| {
            let at = (local - stretch.offset).max(stretch.from);
            (at < end).then_some(at)
        });
        reached.expect("time goes on")
    }

    /// The last instant at which the clock comes to show this or something later.
    fn last_reaching(&self, local: i64) -> i64 {
        let below = self.each().rev().find_map(|(stretch, end)| {
            let is_below = stretch.from == i64::MIN || stretch.from + stretch.offset <= local;
            is_below.then(|| (local - stretch.offset).min(end))
        });
        below.expect("time has begun")
    }

    /// The same, with a time that no clock shows moved forward by as much as clocks were.
    fn moved(&self, local: i64) -> i64 {
        let at = self.last_reaching(local);
        let (before, after) = (self.shows(at - 1) + 1 - at, self.shows(at) - at);
        if at + after > local && after > before { local - before } else { at }
    }

    fn freeze(&self, from: i64, to: i64) -> (i64, i64) {
        let start = self.first_reaching(from);
        (start, self.moved(to).max(start + (to - from)))
    }

    fn window(&self, from: i64, to: i64) -> (i64, i64) {
        let start = self.moved(from);
        (start, self.first_reaching(to).min(start + (to - from)))
    }

    fn expected(&self, from: i64, to: i64, effect: Effect) -> (i64, i64) {
        match effect {
            Effect::Forbids => self.freeze(from, to),
            Effect::Allows => self.window(from, to),
        }
    }

    fn transitions(&self) -> impl Iterator<Item = (Stretch, Stretch)> {
        self.stretches.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

fn civil(local: i64) -> jiff::civil::DateTime {
    jiff::tz::Offset::UTC.to_datetime(Timestamp::from_second(local).expect("a time"))
}

fn seconds(spell: Spell) -> (i64, i64) {
    (spell.start.as_second(), spell.end.as_second())
}

/// What clocks show in a freeze and in a window, without any rule of how their ends are read.
fn laws(wall: &Wall, (from, to): (i64, i64), effect: Effect, (start, end): (i64, i64)) {
    let length = to - from;
    let context = || format!("{} {effect:?} {} to {}: {start} {end}", wall.name, civil(from), civil(to));
    match effect {
        Effect::Forbids => {
            assert!(end - start >= length, "a freeze shrinks: {}", context());
            for at in (0..=24).map(|part| start - 3 * 3_600 + part * (end - start + 6 * 3_600) / 24) {
                let shows = wall.shows(at);
                let inside = start <= at && at < end;
                assert!(inside || !(from <= shows && shows < to), "the clock shows it at {at}: {}", context());
            }
        }
        Effect::Allows => {
            assert!(end - start <= length, "a window grows: {}", context());
            for at in (0..24).map(|part| start + part * (end - start).max(0) / 24).filter(|at| *at < end) {
                let shows = wall.shows(at);
                assert!(from <= shows && shows < to, "the clock does not show it at {at}: {}", context());
            }
        }
    }
}

/// Zones of which the two copies of the database tell different histories since 2006, because ours is the newer edition: it knows that Moldova has changed
/// its clocks at the hour of the European Union since 2022.
const NEWER: [&str; 2] = ["Europe/Chisinau", "Europe/Tiraspol"];

fn differ(wall: &Wall, zone: &TimeZone) -> bool {
    let near = wall.stretches.iter().skip(1).flat_map(|next| [next.from - 1, next.from]);
    let days = (0..7_300).step_by(10).map(|day| midnight(FIRST_YEAR, 1, 1) + day * DAY);
    near.chain(days).any(|at| {
        let ours = zone.to_offset(Timestamp::from_second(at).expect("an instant"));
        i64::from(ours.seconds()) != wall.shows(at) - at
    })
}

// F9: what two copies of the database say differently is known by name; nothing else is left out of what follows.
#[test]
fn two_copies_of_the_time_zone_database_differ_only_where_it_is_known() {
    let zone = |peer: &Tz| TimeZone::get(peer.name()).expect("both know the zone");
    let differing = TZ_VARIANTS.iter().filter(|peer| differ(&Wall::of(**peer), &zone(peer))).map(|peer| peer.name());
    assert_eq!(differing.collect::<Vec<_>>(), NEWER);
}

fn agree(wall: &Wall, zone: &TimeZone, from: i64, to: i64, effect: Effect) {
    let ours = seconds(spell(zone, civil(from), civil(to), effect));
    let theirs = wall.expected(from, to, effect);
    if ours.0 < ours.1 || theirs.0 < theirs.1 {
        assert_eq!(ours, theirs, "{} {effect:?} {} to {}", wall.name, civil(from), civil(to));
    }
    laws(wall, (from, to), effect, ours);
}

// LC4, F9
#[test]
fn freezes_and_windows_agree_with_another_implementation_in_every_zone_over_twenty_years() {
    let (mut zones, mut transitions, mut cases) = (0, 0, 0);
    for peer in TZ_VARIANTS.into_iter().filter(|peer| !NEWER.contains(&peer.name())) {
        let (wall, zone) = (Wall::of(peer), TimeZone::get(peer.name()).expect("both know the zone"));
        zones += 1;
        for (before, after) in wall.transitions() {
            transitions += 1;
            let shown = after.from + before.offset;
            for begin in [-5_400, -1_800, 0, 900, 1_800, 3_600, 43_200] {
                for length in [900, 3_600, 3 * 3_600, DAY] {
                    for effect in [Effect::Forbids, Effect::Allows] {
                        let from = shown + begin;
                        agree(&wall, &zone, from, from + length, effect);
                        cases += 1;
                    }
                }
            }
        }
        for year in LEAP_YEARS {
            let leap = midnight(year, 2, 29);
            agree(&wall, &zone, leap, leap + DAY, Effect::Forbids);
            agree(&wall, &zone, leap, leap + DAY, Effect::Allows);
            cases += 2;
        }
    }
    println!("{zones} zones, {transitions} transitions, {cases} freezes and windows");
    assert!(zones > 500 && transitions > 8_000);
}

fn every(rule: &str, start: i64, length: u64, zone: &str) -> Entry {
    Entry {
        name: "every".into(),
        rrule: Some(rule.into()),
        start: Some(civil(start).to_string()),
        duration: Some(Span::secs(length)),
        tz: Some(zone.into()),
        reason: "a test".into(),
        owner: "ada".into(),
        ..Entry::default()
    }
}

/// The stretches of an entry around an instant.
fn around(entry: &Entry, effect: Effect, at: i64) -> Vec<(i64, i64)> {
    let entries = vec![entry.clone()];
    let calendar = match effect {
        Effect::Forbids => Calendar { freezes: entries, ..Calendar::default() },
        Effect::Allows => Calendar { windows: entries, ..Calendar::default() },
    };
    let instant = |at: i64| Timestamp::from_second(at).expect("an instant");
    let almanac = Almanac::of(&calendar);
    almanac.between(None, instant(at - 2 * DAY), instant(at + 2 * DAY)).iter().map(|o| seconds(o.spell)).collect()
}

/// Clocks that differ from one another: names that mean the same are tried once.
fn clocks() -> Vec<(Wall, Tz)> {
    let mut known = std::collections::BTreeSet::new();
    let all = TZ_VARIANTS.into_iter().filter(|peer| !NEWER.contains(&peer.name()));
    let all = all.map(|zone| (Wall::of(zone), zone));
    all.filter(|(wall, _)| known.insert(wall.stretches.clone())).collect()
}

// LC4, F9: what repeats by the day is what each day would be by itself.
#[test]
fn daily_freezes_and_windows_agree_with_another_implementation_on_days_that_are_longer_or_shorter() {
    let mut days = 0;
    for (wall, peer) in clocks() {
        for (before, after) in wall.transitions() {
            let shown = after.from + before.offset;
            let begin = shown + 1_800 - 3 * DAY;
            for effect in [Effect::Forbids, Effect::Allows] {
                let rule = every("FREQ=DAILY;COUNT=7", begin, 5_400, peer.name());
                let ours = around(&rule, effect, after.from);
                let each = (0..7).map(|day| begin + day * DAY).map(|from| wall.expected(from, from + 5_400, effect));
                let near = each
                    .filter(|(start, end)| start < end && *end > after.from - 2 * DAY && *start < after.from + 2 * DAY);
                let mut theirs: Vec<(i64, i64)> = near.collect();
                theirs.dedup_by(|next, last| {
                    let touches = next.0 <= last.1;
                    last.1 = if touches { last.1.max(next.1) } else { last.1 };
                    touches
                });
                assert_eq!(ours, theirs, "{} {effect:?} daily at {}", wall.name, civil(begin));
                days += ours.len();
            }
        }
    }
    assert!(days > 10_000, "{days}");
}

// LC4: a day that comes every four years comes then, and at no other time.
#[test]
fn a_rule_for_the_leap_day_holds_on_the_leap_day_in_every_zone() {
    for (wall, peer) in clocks() {
        let rule = every("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", midnight(2004, 2, 29), 86_400, peer.name());
        for year in FIRST_YEAR..=LAST_YEAR {
            let leap = NaiveDate::from_ymd_opt(year, 2, 29);
            let ours = around(&rule, Effect::Forbids, midnight(year, 3, 1));
            let day = |day: NaiveDate| midnight(day.year(), day.month(), day.day());
            let theirs: Vec<_> = leap.map(|leap| wall.freeze(day(leap), day(leap) + DAY)).into_iter().collect();
            assert_eq!(ours, theirs, "{} {year}", wall.name);
        }
    }
}

/// A generator of numbers that always says the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn some(&mut self, most: u64, least: i64, highest: i64) -> String {
        let sides = u64::try_from(highest - least + 1).expect("a range");
        let mut numbers: Vec<i64> = (0..=self.roll(most))
            .map(|_| least + i64::try_from(self.roll(sides)).expect("small"))
            .filter(|n| *n != 0)
            .collect();
        numbers.push(highest);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn days(&mut self, numbered: bool) -> String {
        let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
        let each = (0..=self.roll(3)).map(|_| {
            let name = names[usize::try_from(self.roll(7)).expect("small")];
            let nth = ["1", "2", "-1", "-2", "4"][usize::try_from(self.roll(5)).expect("small")];
            if numbered { format!("{nth}{name}") } else { name.to_owned() }
        });
        let mut days: Vec<String> = each.collect();
        days.sort();
        days.dedup();
        days.join(",")
    }

    /// A rule in which both implementations mean the same by the standard's words. The peer leaves out days of a last week that lie in the next year.
    fn rule(&mut self) -> String {
        let frequency = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"][usize::try_from(self.roll(4)).expect("small")];
        let mut rule = format!("FREQ={frequency}");
        if self.roll(2) == 0 {
            rule += &format!(";INTERVAL={}", 1 + self.roll(5));
        }
        if self.roll(3) == 0 {
            rule += &format!(";BYMONTH={}", self.some(4, 1, 12));
        }
        let by_month = matches!(frequency, "MONTHLY" | "YEARLY");
        match (frequency, self.roll(5)) {
            ("YEARLY", 0) => rule += &format!(";BYYEARDAY={}", self.some(5, -366, 366)),
            ("YEARLY", 1) => rule += &format!(";BYWEEKNO={};BYDAY={}", self.some(4, 2, 50), self.days(false)),
            ("MONTHLY" | "YEARLY" | "DAILY", 2) => rule += &format!(";BYMONTHDAY={}", self.some(4, -31, 31)),
            (_, 3) => rule += &format!(";BYDAY={}", self.days(by_month)),
            (_, 4) => rule += &format!(";BYDAY={}", self.days(false)),
            _ => {}
        }
        if self.roll(3) == 0 {
            rule += &format!(";BYHOUR={};BYMINUTE={}", self.some(2, 1, 23), self.some(2, 1, 59));
        }
        if by_month && rule.contains("BYDAY") && !rule.contains("BYWEEKNO") && self.roll(3) == 0 {
            rule += &format!(";BYSETPOS={}", self.some(2, -2, 2));
        }
        match self.roll(4) {
            0 => rule += &format!(";COUNT={}", 1 + self.roll(40)),
            1 => rule += &format!(";UNTIL=20{}0615T120000Z", 20 + self.roll(10)),
            _ => {}
        }
        rule
    }
}

// LC4
#[test]
fn rules_recur_as_in_another_implementation() {
    let mut dice = Dice(7);
    let mut occurrences = 0;
    let (begin, end) = (midnight(2019, 1, 1), midnight(2029, 1, 1));
    let instant = |at: i64| Timestamp::from_second(at).expect("an instant");
    for _ in 0..500 {
        let rule = dice.rule();
        let start = midnight(2019, 1, 1) + i64::try_from(dice.roll(400)).expect("small") * DAY + 9 * 3_600 + 1_800;
        let peer: rrule::RRuleSet = format!("DTSTART:{}Z\nRRULE:{rule}", civil(start).strftime("%Y%m%dT%H%M%S"))
            .parse()
            .unwrap_or_else(|error| panic!("{rule}: {error}"));
        let bound = |at: i64| rrule::Tz::UTC.timestamp_opt(at, 0).single().expect("a time");
        let found = peer.after(bound(begin)).before(bound(end - 1)).all(u16::MAX).dates;
        let theirs: Vec<i64> = found.iter().map(|at| at.timestamp()).collect();
        let calendar = Calendar { freezes: vec![every(&rule, start, 1, "UTC")], ..Calendar::default() };
        if theirs.is_empty() {
            continue;
        }
        let almanac = Almanac::of(&calendar);
        let ours: Vec<i64> =
            almanac.between(None, instant(begin), instant(end)).iter().map(|o| seconds(o.spell).0).collect();
        let first = ours.iter().zip(&theirs).find(|(own, peer)| own != peer);
        assert_eq!((first, ours.len()), (None, theirs.len()), "{rule} from {}", civil(start));
        occurrences += ours.len();
    }
    assert!(occurrences > 20_000, "{occurrences}");
}
