//! A storm: a small world drawn from one seed, and what people, machines and clocks do in it.
//!
//! Everything is drawn before anything is played, so that a seed is a story. What the calendar says is worked out here a second time, minute by minute
//! from the storm's own description and a table of the few changes of clocks that lie in it: it shares nothing with `change::calendar`, so that a
//! checker can be believed. Plays nothing: the engine is put into it by the tests of this crate. Next: [`fleet`](crate::fleet), which it rages in.

use std::collections::BTreeMap;

use change::Timestamp;
use change::governance::Governance;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How long it lasts, in seconds.
pub const LASTS: u64 = 3 * 3_600;
/// The services there may be; each calls the one before it.
const SERVICES: [&str; 4] = ["store", "cart", "shop", "till"];

/// A zone, as far as it matters: its offset before and after the one change of clocks near the storm.
#[derive(Clone, Copy, Debug)]
struct Zone {
    name: &'static str,
    before: i64,
    /// In minutes since 1970 of UTC.
    turn: i64,
    after: i64,
}

/// When a storm begins, in seconds since 1970, and the zones of its calendar.
const SCENES: [(i64, Zone); 6] = [
    (1_790_672_400, Zone { name: "UTC", before: 0, turn: i64::MAX, after: 0 }),
    (1_790_672_400, Zone { name: "Asia/Kathmandu", before: 345, turn: i64::MAX, after: 345 }),
    // 2026-10-24T23:00Z; clocks go back at 2026-10-25T01:00Z.
    (1_792_882_800, Zone { name: "Europe/Berlin", before: 120, turn: 29_881_500, after: 60 }),
    // 2026-11-01T04:30Z; back at 06:00Z.
    (1_793_507_400, Zone { name: "America/New_York", before: -240, turn: 29_891_880, after: -300 }),
    // 2026-10-03T14:00Z; half an hour forward at 15:30Z.
    (1_791_036_000, Zone { name: "Australia/Lord_Howe", before: 630, turn: 29_850_690, after: 660 }),
    // 2027-03-27T23:30Z; forward at 2027-03-28T01:00Z.
    (1_806_190_200, Zone { name: "Europe/Berlin", before: 60, turn: 30_103_260, after: 120 }),
];

impl Zone {
    /// What a clock on the wall shows, in minutes since 1970, as if it were UTC.
    fn reads(self, minute: i64) -> i64 {
        minute + if minute < self.turn { self.before } else { self.after }
    }
}

/// When an entry of the calendar is, by the clock on the wall, in minutes.
#[derive(Clone, Copy, Debug)]
enum Times {
    Once {
        from: i64,
        until: i64,
    },
    /// Every day from this minute of the day for so many; as a recurrence rule, or as a time interval.
    Daily {
        from: i64,
        lasts: i64,
        is_interval: bool,
    },
}

/// A freeze or a window.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub is_freeze: bool,
    /// All if empty.
    services: Vec<&'static str>,
    pub forbids_emergencies: bool,
    on_close: &'static str,
    times: Times,
    zone: Zone,
    /// The minutes since 1970 in which it is, from the storm's first day on.
    spans: Vec<(i64, i64)>,
}

impl Entry {
    fn covers(&self, services: &[&str]) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| services.contains(name))
    }

    /// Whether it is at an instant.
    pub fn is_at(&self, at: Timestamp) -> bool {
        let minute = at.as_second().div_euclid(60);
        self.spans.iter().any(|(from, until)| (*from..*until).contains(&minute))
    }

    /// Minute by minute: a freeze from the first reading of its start to the last before its end, and never shorter than it is written; a window after
    /// the last reading before its start, until the first of its end, and never longer.
    fn with_spans(mut self, begins: i64) -> Self {
        let (first, last) = (begins / 60 - 2 * 1_440, begins / 60 + 9 * 1_440);
        let zone = self.zone;
        for (from, until) in self.occurrences(zone.reads(first), zone.reads(last)) {
            let near = from - 1_000 - zone.before..until + 1_000 - zone.before;
            let is_interval = matches!(self.times, Times::Daily { is_interval: true, .. });
            let lasts = until - from;
            if is_interval {
                let inside = near.filter(|minute| (from..until).contains(&zone.reads(*minute)));
                self.spans.extend(inside.map(|minute| (minute, minute + 1)));
            } else if self.is_freeze {
                let start = near.clone().find(|minute| zone.reads(*minute) >= from).unwrap_or(from);
                let end = near.rev().find(|minute| zone.reads(*minute) < until).unwrap_or(until) + 1;
                self.spans.push((start, end.max(start + lasts)));
            } else {
                let start = near.clone().rev().find(|minute| zone.reads(*minute) < from).unwrap_or(from) + 1;
                let end = near.clone().find(|minute| zone.reads(*minute) >= until).unwrap_or(until);
                self.spans.push((start, end.min(start + lasts)));
            }
        }
        self
    }

    fn occurrences(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        match self.times {
            Times::Once { from, until } => vec![(from, until)],
            Times::Daily { from, lasts, .. } => {
                let days = first.div_euclid(1_440)..=last.div_euclid(1_440);
                days.map(|day| (day * 1_440 + from, day * 1_440 + from + lasts)).collect()
            }
        }
    }

    fn written(&self) -> String {
        let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let local = |minute: i64| {
            let at = Timestamp::from_second(minute * 60).unwrap_or(Timestamp::UNIX_EPOCH);
            at.to_string().trim_end_matches('Z').to_owned()
        };
        let times = match self.times {
            Times::Once { from, until } => format!("start: '{}', end: '{}'", local(from), local(until)),
            Times::Daily { from, lasts, is_interval: false } => {
                format!("rrule: 'FREQ=DAILY;BYHOUR={};BYMINUTE={}', duration: {lasts}m", from / 60, from % 60)
            }
            Times::Daily { from, lasts, .. } => format!(
                "time_intervals: [{{times: [{{start_time: '{}', end_time: '{}'}}]}}]",
                clock(from),
                clock(from + lasts)
            ),
        };
        let emergency = if self.forbids_emergencies { ", emergency: forbid" } else { "" };
        format!(
            "  - {{name: {}, services: [{}], {times}, tz: {}, reason: drawn, owner: sre, on_close: {}{emergency}}}\n",
            self.name,
            self.services.join(", "),
            self.zone.name,
            self.on_close
        )
    }
}

/// What happens where two changes meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflicts {
    /// On one service: nothing for the built-in rule.
    pub service: Option<&'static str>,
    /// Whether those of services that call one another queue.
    pub neighbours_queue: bool,
    pub forbids_emergencies: bool,
}

/// A change that somebody will propose.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub services: Vec<&'static str>,
    pub target: String,
    pub is_emergency: bool,
    /// The earlier ones that it comes after.
    pub after: Vec<usize>,
    waits_for_window: bool,
    on_close: &'static str,
    owner: &'static str,
}

/// A place in the log at which an engine dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fatal {
    /// Before or after the first entry of a step is in the log.
    Begun { is_in_log: bool },
    /// The driver has done it; the report is in the log, or not.
    Applied { is_in_log: bool },
    /// A rollback is in the log, and nothing of it is done.
    RollbackBegun,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Propose(usize),
    /// Two changes as one release.
    ProposeRelease(usize, usize),
    Vote(usize),
    Pause(usize),
    Resume(usize),
    RollBack(usize),
    Veto {
        change: usize,
        secs: u64,
    },
    /// An exception of a freeze, asked for and granted.
    Except {
        change: usize,
        freeze: usize,
        secs: u64,
    },
    Hold {
        service: &'static str,
        secs: u64,
        pauses: bool,
        forbids_emergencies: bool,
    },
    ReleaseHold,
    Break(String),
    Mend(String),
    Burn(u32),
    SetClock(i64),
    Kill,
    KillAt(Fatal),
    /// Another engine begins beside the one there is, its clock so many seconds behind.
    Second {
        behind: u64,
    },
}

/// A storm before it is played.
#[derive(Clone, Debug)]
pub struct Storm {
    pub seed: u64,
    pub begins: Timestamp,
    pub services: Vec<&'static str>,
    pub entries: Vec<Entry>,
    pub conflicts: Conflicts,
    pub has_budgets: bool,
    pub changes: Vec<Drawn>,
    /// In order, each with its second.
    pub deeds: Vec<(u64, Deed)>,
}

impl Storm {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let (begins, zone) = SCENES[dice.below(SCENES.len())];
        let services = SERVICES[..2 + dice.below(3)].to_vec();
        let entries = dice.calendar(begins, zone, &services);
        let word = [None, None, Some("queue"), Some("supersede"), Some("refuse"), Some("allow")][dice.below(6)];
        let conflicts =
            Conflicts { service: word, neighbours_queue: dice.in_ten(3), forbids_emergencies: dice.in_ten(3) };
        let changes = dice.changes(&services);
        let mut storm = Self {
            seed,
            begins: Timestamp::from_second(begins).unwrap_or(Timestamp::UNIX_EPOCH),
            has_budgets: dice.in_ten(4),
            services,
            entries,
            conflicts,
            changes,
            deeds: vec![],
        };
        storm.deeds = dice.deeds(&storm);
        storm
    }

    /// The freezes that cover a change and are at an instant.
    pub fn frozen(&self, change: &Drawn, at: Timestamp) -> Vec<&Entry> {
        let freezes = self.entries.iter().filter(|entry| entry.is_freeze && entry.covers(&change.services));
        freezes.filter(|entry| entry.is_at(at)).collect()
    }

    /// Whether a change lies outside of all windows that cover it at an instant.
    pub fn is_outside_of_windows(&self, change: &Drawn, at: Timestamp) -> bool {
        let mut windows =
            self.entries.iter().filter(|entry| !entry.is_freeze && entry.covers(&change.services)).peekable();
        windows.peek().is_some() && !windows.any(|entry| entry.is_at(at))
    }

    /// Whether two changes must not be under way at once: `later` would begin.
    pub fn must_queue(&self, later: &Drawn, other: &Drawn) -> bool {
        if later.is_emergency && !(self.conflicts.forbids_emergencies && self.conflicts.service.is_some()) {
            return false;
        }
        later.services.iter().any(|service| other.services.contains(service)) && self.conflicts.service != Some("allow")
    }

    /// Whether two changes of services of which one calls the other must not be under way at once.
    pub fn must_queue_as_neighbours(&self, later: &Drawn, other: &Drawn) -> bool {
        let place = |name: &str| SERVICES.iter().position(|service| *service == name).unwrap_or(0);
        let near = |a: &&str| other.services.iter().any(|b| place(a).abs_diff(place(b)) == 1);
        self.conflicts.neighbours_queue
            && (!later.is_emergency || self.conflicts.forbids_emergencies)
            && later.services.iter().any(near)
    }

    /// The governance directory.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files: BTreeMap<String, String> = [
            ("access.yaml".to_owned(), ACCESS.to_owned()),
            ("approvals.yaml".to_owned(), APPROVALS.to_owned()),
            ("calendar.yaml".to_owned(), self.calendar()),
            ("conflicts.yaml".to_owned(), self.conflict_rules()),
        ]
        .into();
        if self.has_budgets {
            files.insert("error_budget.yaml".to_owned(), BUDGETS.to_owned());
            files.insert("slis.yaml".to_owned(), SLIS.to_owned());
        }
        for (i, name) in self.services.iter().enumerate() {
            let calls = if i == 0 { String::new() } else { format!("depends_on: [{}]\n", self.services[i - 1]) };
            let slis = if self.has_budgets { "slis: [errors]\n" } else { "" };
            files.insert(format!("services/{name}.yaml"), format!("name: {name}\nowner: sre\ntier: 3\n{calls}{slis}"));
        }
        files
    }

    /// What the files say.
    ///
    /// # Panics
    /// If they are no valid governance.
    pub fn governance(files: &BTreeMap<String, String>) -> Governance {
        Governance::read(files)
            .unwrap_or_else(|problems| panic!("a storm's governance is valid: {problems:#?}\n{files:#?}"))
    }

    fn calendar(&self) -> String {
        let of = |is_freeze: bool| -> String {
            let entries = self.entries.iter().filter(|entry| entry.is_freeze == is_freeze);
            let written: String = entries.map(Entry::written).collect();
            if written.is_empty() { " []\n".to_owned() } else { format!("\n{written}") }
        };
        format!("freezes:{}windows:{}", of(true), of(false))
    }

    fn conflict_rules(&self) -> String {
        let emergency = if self.conflicts.forbids_emergencies { ", emergency: forbid" } else { "" };
        let service = self.conflicts.service.map(|then| format!("\n  - {{between: service, then: {then}{emergency}}}"));
        let near = format!("\n  - {{between: dependency, hops: 1, then: queue{emergency}}}");
        let near = self.conflicts.neighbours_queue.then_some(near);
        let rules: String = service.into_iter().chain(near).collect();
        if rules.is_empty() { "rules: []\n".to_owned() } else { format!("rules:{rules}\n") }
    }

    /// The change file of a change, with the ids of those that it comes after.
    pub fn change_file(&self, number: usize, after: &[String]) -> String {
        let change = &self.changes[number];
        let (target, services) = (&change.target, change.services.join(", "));
        let after = if after.is_empty() { String::new() } else { format!("after: [{}]\n", after.join(", ")) };
        let when = if change.waits_for_window { "when: next-window\n" } else { "" };
        format!(
            "title: Change {number}
kind: config
owner: {}
services: [{services}]
environment: production
artifact: shop@sha256:{number}
plan:
  strategy: canary
  target: {{driver: fleet, name: {target}, of: '{number}'}}
  steps: [{{weight: 25%, bake: 40s}}, {{weight: 100%, bake: 40s}}]
verify:
  slis:
    - {{name: errors, source: fleet, ratio: {{bad: 'bad{{target=\"{target}\",v=\"$cohort\"}}', total: 'all{{target=\"{target}\",v=\"$cohort\"}}'}}, objective: 99%}}
  every: 2s
  watch: 30s
  scan: off
  downstream: 0
rollback: {{automatic: true, runbook: docs/back.md}}
on_close: {}
{when}{after}",
            change.owner, change.on_close
        )
    }
}

const ACCESS: &str = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: dan, roles: [{role: all}]}
groups: [{id: sre, members: [bob]}, {id: oncall, members: [dan]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, promote, rollback, freeze, emergency, override, govern, read]}
";
const APPROVALS: &str = "rules: [{require: [{by: sre, count: 1, within: 4h}]}]
emergency: {quorum: [{by: oncall, count: 1, within: 30m}], lasts: 4h, approval_within: 10d, bake: 20s, watch: 20s}
";
const BUDGETS: &str =
    "every: 2m\nwindows: [{long: 10m, short: 4m, factor: 2}]\nbands: [{at_most_percent: 100, changes_per_day: 100}]\n";
const SLIS: &str = "slis:\n  - {name: errors, source: fleet, ratio: {bad: 'bad{v=\"$cohort\"}', total: 'all{v=\"$cohort\"}'}, objective: 99%}\n";

struct Dice(StdRng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn secs(&mut self, from: u64, until: u64) -> u64 {
        self.0.random_range(from..until)
    }

    fn in_ten(&mut self, of_ten: u32) -> bool {
        self.0.random_range(0..10) < of_ten
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn calendar(&mut self, begins: i64, zone: Zone, services: &[&'static str]) -> Vec<Entry> {
        let has_windows = self.in_ten(3);
        let freezes = self.below(4);
        let mut entries = Vec::new();
        for number in 0..freezes {
            // Beside windows a freeze is once: one that is every day could leave nothing of them.
            let times =
                if has_windows || self.in_ten(6) { self.once(begins, zone) } else { self.daily(begins, zone, 10, 90) };
            let name = format!("freeze-{number}");
            entries.push(self.entry(name, true, times, services, begins, zone));
        }
        if has_windows {
            let times = self.daily(begins, zone, 150, 600);
            entries.push(self.entry("window-0".to_owned(), false, times, services, begins, zone));
        }
        entries
    }

    fn once(&mut self, begins: i64, zone: Zone) -> Times {
        let from = zone.reads(begins / 60) + self.0.random_range(-30..170);
        Times::Once { from, until: from + self.0.random_range(5..120) }
    }

    /// Every day, at a time that comes near the storm.
    fn daily(&mut self, begins: i64, zone: Zone, least: i64, most: i64) -> Times {
        let lasts = self.0.random_range(least..most);
        let from = (zone.reads(begins / 60) + self.0.random_range(-60..170)).rem_euclid(1_440);
        let fits = from + lasts < 1_440;
        Times::Daily { from, lasts, is_interval: fits && self.in_ten(5) }
    }

    fn entry(
        &mut self,
        name: String,
        is_freeze: bool,
        times: Times,
        services: &[&'static str],
        begins: i64,
        zone: Zone,
    ) -> Entry {
        let services = if self.in_ten(4) { vec![] } else { vec![self.one(services)] };
        let forbids_emergencies = is_freeze && self.in_ten(3);
        let on_close = self.one(&["finish-step", "finish-step", "pause", "roll-back"]);
        let spans = vec![];
        Entry { name, is_freeze, services, forbids_emergencies, on_close, times, zone, spans }.with_spans(begins)
    }

    fn changes(&mut self, services: &[&'static str]) -> Vec<Drawn> {
        let targets = 1 + self.below(3);
        let count = 5 + self.below(7);
        let mut drawn: Vec<Drawn> = Vec::new();
        for number in 0..count {
            let first = self.one(services);
            let second = self.one(services);
            let both = if self.in_ten(2) && second != first { vec![first, second] } else { vec![first] };
            let after = if number > 0 && self.in_ten(2) { vec![self.below(number)] } else { vec![] };
            drawn.push(Drawn {
                services: both,
                target: format!("t{}", self.below(targets)),
                is_emergency: self.in_ten(1),
                after,
                waits_for_window: self.in_ten(2),
                on_close: self.one(&["finish-step", "finish-step", "finish-step", "pause", "roll-back"]),
                owner: self.one(&["ada", "ada", "sre"]),
            });
        }
        drawn
    }

    fn deeds(&mut self, storm: &Storm) -> Vec<(u64, Deed)> {
        let mut deeds = Vec::new();
        let count = storm.changes.len();
        let as_one = (count > 6 && self.in_ten(4)).then_some((count - 2, count - 1));
        for number in 0..count {
            let at = self.secs(0, LASTS * 2 / 3);
            match as_one {
                Some((first, second)) if number == first => {
                    deeds.push((at, Deed::ProposeRelease(first, second)));
                    deeds.push((at + self.secs(10, 900), Deed::Vote(second)));
                }
                Some((_, second)) if number == second => continue,
                _ => deeds.push((at, Deed::Propose(number))),
            }
            if !self.in_ten(1) {
                deeds.push((at + self.secs(10, 1_200), Deed::Vote(number)));
            }
            for _ in 0..2 {
                let later = at + self.secs(20, 3_000);
                if let Some(deed) = self.of_people(number, storm) {
                    deeds.push((later, deed));
                }
            }
        }
        for _ in 0..6 + self.below(8) {
            let (at, until) = (self.secs(0, LASTS), self.secs(60, 2_400));
            deeds.extend(self.of_the_world(at, until, storm));
        }
        deeds.sort_by_key(|(at, _)| *at);
        deeds
    }

    fn of_people(&mut self, change: usize, storm: &Storm) -> Option<Deed> {
        let freezes = storm.entries.iter().filter(|entry| entry.is_freeze).count();
        Some(match self.below(12) {
            0 => Deed::Pause(change),
            1 => Deed::Resume(change),
            2 => Deed::RollBack(change),
            3 => Deed::Veto { change, secs: self.secs(60, 3_000) },
            4 | 5 if freezes > 0 => Deed::Except { change, freeze: self.below(freezes), secs: self.secs(600, 7_200) },
            _ => return None,
        })
    }

    fn of_the_world(&mut self, at: u64, later: u64, storm: &Storm) -> Vec<(u64, Deed)> {
        let is_in_log = self.in_ten(5);
        let service = self.one(&storm.services);
        let (pauses, forbids_emergencies) = (self.in_ten(3), self.in_ten(3));
        let target =
            self.one(&storm.changes.iter().map(|change| change.target.as_str()).collect::<Vec<_>>()).to_owned();
        match self.below(14) {
            0 => vec![(at, Deed::Hold { service, secs: later.max(61), pauses, forbids_emergencies })],
            1 => vec![
                (at, Deed::Hold { service, secs: 7_200, pauses, forbids_emergencies }),
                (at + later, Deed::ReleaseHold),
            ],
            2 => vec![(at, Deed::Break(target.clone())), (at + later, Deed::Mend(target))],
            3 if storm.has_budgets => vec![(at, Deed::Burn(50)), (at + later, Deed::Burn(0))],
            4 => vec![(at, Deed::SetClock(-(later.min(2_400) as i64) * 1_500))],
            5 => vec![(at, Deed::SetClock(later as i64 * 36_000))],
            6 | 7 => vec![(at, Deed::Kill)],
            8 => vec![(at, Deed::KillAt(Fatal::Begun { is_in_log }))],
            9 | 10 => vec![(at, Deed::KillAt(Fatal::Applied { is_in_log }))],
            11 => vec![(at, Deed::KillAt(Fatal::RollbackBegun))],
            _ => vec![(at, Deed::Second { behind: if self.in_ten(5) { 3_600 } else { 0 } })],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(is_freeze: bool, times: Times, zone: Zone, begins: i64) -> Entry {
        let entry = Entry {
            name: "a".into(),
            is_freeze,
            services: vec![],
            forbids_emergencies: false,
            on_close: "pause",
            times,
            zone,
            spans: vec![],
        };
        entry.with_spans(begins)
    }

    // The checker's own calendar, by hand: the night of 2026-10-25 in Berlin has two hours from 02:00 to 03:00.
    #[test]
    fn the_second_calendar_knows_an_hour_that_comes_twice_and_one_that_is_skipped() {
        let at = |text: &str| -> Timestamp { text.parse().expect("an instant") };
        let (begins, berlin) = SCENES[2];
        let half_past_two = Times::Daily { from: 150, lasts: 30, is_interval: false };
        let freeze = entry(true, half_past_two, berlin, begins);
        let said = ["00:29", "00:30", "00:59", "01:00", "01:30", "01:59", "02:00"];
        let said = said.map(|time| freeze.is_at(at(&format!("2026-10-25T{time}:00Z"))));
        assert_eq!(said, [false, true, true, true, true, true, false]);
        let in_the_hour = Times::Daily { from: 135, lasts: 30, is_interval: false };
        let window = entry(false, in_the_hour, berlin, begins);
        assert!(!(0..180).any(|minute| {
            window.spans.iter().any(|(from, until)| (*from..*until).contains(&(berlin.turn - 60 + minute)))
        }));
        let (begins, spring) = SCENES[5];
        let skipped = entry(true, half_past_two, spring, begins);
        let said =
            ["00:59", "01:00", "01:29", "01:30"].map(|time| skipped.is_at(at(&format!("2027-03-28T{time}:00Z"))));
        assert_eq!(said, [false, true, true, false]);
    }
}
