//! Clock: from what a clock on the wall shows to instants.
//!
//! Daylight saving makes an hour happen twice, or not at all. One principle decides: of two readings of the clock, the one that forbids more counts. A
//! freeze starts at the earlier and ends at the later reading and is never shorter than it was written; a window starts at the later and ends at the
//! earlier one and is never longer. Knows zones, and neither rules nor changes. Next: [`recurrence`](super::recurrence).

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset};
use jiff::{SignedDuration, Timestamp};

use crate::time::TimeZone;

/// A stretch of time: from its first instant up to, and without, its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spell {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Spell {
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// What a stretch of time does to changes, which decides how its ends are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It forbids them: a freeze.
    Forbids,
    /// It lets them begin: a window.
    Allows,
}

/// The stretch from one local time to another, in a zone. It is empty where a window falls into an hour that is not there, or that happens twice.
pub fn spell(zone: &TimeZone, from: DateTime, to: DateTime, effect: Effect) -> Spell {
    let length = to.duration_since(from);
    let (from, to) = (Readings::of(zone, from), Readings::of(zone, to));
    match effect {
        Effect::Forbids => {
            let start = from.first;
            Spell { start, end: to.last.max(add(start, length)) }
        }
        Effect::Allows => {
            let start = from.last;
            Spell { start, end: to.first.min(add(start, length)) }
        }
    }
}

/// The stretches of one length in a zone. Away from changes of its clocks they are as long as they are written, and one offset serves them all.
#[derive(Debug)]
pub struct Steady<'a> {
    zone: &'a TimeZone,
    effect: Effect,
    length: SignedDuration,
    calm: Option<Calm>,
}

/// Local times from which on, for as long as a stretch is and more, no clock changes.
#[derive(Clone, Copy, Debug)]
struct Calm {
    from: DateTime,
    to: DateTime,
    offset: Offset,
}

/// So far from a change of clocks every local time has one reading: no clock was ever put forward or back by more.
const MARGIN: SignedDuration = SignedDuration::from_hours(48);

impl<'a> Steady<'a> {
    pub fn new(zone: &'a TimeZone, length: SignedDuration, effect: Effect) -> Self {
        Self { zone, effect, length, calm: None }
    }

    /// The stretch that begins at a local time.
    pub fn spell(&mut self, from: DateTime) -> Spell {
        if self.calm.is_none_or(|calm| !calm.holds(from)) {
            self.calm = Calm::around(self.zone, from, self.length).filter(|calm| calm.holds(from));
        }
        let start = self.calm.and_then(|calm| calm.offset.to_timestamp(from).ok());
        match start.and_then(|start| Some(Spell { start, end: start.checked_add(self.length).ok()? })) {
            Some(spell) => spell,
            None => spell(self.zone, from, from.checked_add(self.length).unwrap_or(DateTime::MAX), self.effect),
        }
    }
}

impl Calm {
    fn around(zone: &TimeZone, local: DateTime, length: SignedDuration) -> Option<Self> {
        let AmbiguousOffset::Unambiguous { offset } = zone.to_ambiguous_timestamp(local).offset() else { return None };
        let at = offset.to_timestamp(local).ok()?;
        // A change at this very instant is the last one before it.
        let before = zone.preceding(at.checked_add(SignedDuration::from_secs(1)).ok()?).next();
        let from =
            before.map_or(Ok(DateTime::MIN), |change| offset.to_datetime(change.timestamp()).checked_add(MARGIN));
        let next = zone.following(at).next().map_or(DateTime::MAX, |change| offset.to_datetime(change.timestamp()));
        let to = next.checked_sub(MARGIN).and_then(|to| to.checked_sub(length));
        Some(Self { from: from.ok()?, to: to.ok()?, offset })
    }

    fn holds(&self, local: DateTime) -> bool {
        self.from <= local && local < self.to
    }
}

/// The first and the last instant that a local time may mean.
#[derive(Clone, Copy, Debug)]
struct Readings {
    first: Timestamp,
    last: Timestamp,
}

impl Readings {
    fn of(zone: &TimeZone, local: DateTime) -> Self {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).unwrap_or(edge(local));
        match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => Self { first: at(offset), last: at(offset) },
            AmbiguousOffset::Fold { before, after } => Self { first: at(before), last: at(after) },
            // The clock goes from the beginning of the gap to its end in no time; what is in it is moved forward by it at most.
            AmbiguousOffset::Gap { before, after } => {
                let moved = at(before);
                let jump = zone.following(at(after)).next().map_or(moved, |transition| transition.timestamp());
                Self { first: jump.min(moved), last: moved }
            }
        }
    }
}

/// Where a local time has no instant: the end of representable time on its side.
fn edge(local: DateTime) -> Timestamp {
    if local.year() > 0 { Timestamp::MAX } else { Timestamp::MIN }
}

fn add(at: Timestamp, length: SignedDuration) -> Timestamp {
    at.saturating_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: &str, to: &str, effect: Effect) -> String {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let local = |text: &str| text.parse::<DateTime>().expect("a local time");
        let spell = spell(&zone, local(from), local(to), effect);
        if spell.is_empty() { "never".into() } else { format!("{} {}", spell.start, spell.end) }
    }

    // LC4: what is kept of a zone never says anything else than the zone does.
    #[test]
    fn stretches_that_share_an_offset_are_those_that_are_read_one_by_one() {
        let hours = |hours: i64| SignedDuration::from_hours(hours);
        for name in ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kolkata", "UTC"]
        {
            let zone = TimeZone::get(name).expect("a zone");
            for (length, effect) in [(1, Effect::Forbids), (30, Effect::Allows), (24 * 80, Effect::Forbids)] {
                let mut steady = Steady::new(&zone, hours(length), effect);
                let mut local: DateTime = "2009-01-01T00:30:00".parse().expect("a local time");
                while local.year() < 2032 {
                    let end = local.checked_add(hours(length)).expect("in reach");
                    assert_eq!(steady.spell(local), spell(&zone, local, end, effect), "{name} {local} {length}");
                    local = local.checked_add(hours(11)).expect("in reach");
                }
            }
        }
    }

    // LC4
    #[test]
    fn a_freeze_never_shrinks_and_a_window_never_grows_by_a_change_of_clocks() {
        for (from, to, freeze, window) in [
            // An ordinary day.
            (
                "2026-06-01T09:00",
                "2026-06-01T12:00",
                "2026-06-01T07:00:00Z 2026-06-01T10:00:00Z",
                "2026-06-01T07:00:00Z 2026-06-01T10:00:00Z",
            ),
            // Over the missing hour from two to three: a freeze keeps its three hours, a window loses one.
            (
                "2026-03-29T01:00",
                "2026-03-29T04:00",
                "2026-03-29T00:00:00Z 2026-03-29T03:00:00Z",
                "2026-03-29T00:00:00Z 2026-03-29T02:00:00Z",
            ),
            // It starts in the missing hour: a freeze when the clock jumps, a window an hour later than written.
            (
                "2026-03-29T02:30",
                "2026-03-29T05:00",
                "2026-03-29T01:00:00Z 2026-03-29T03:30:00Z",
                "2026-03-29T01:30:00Z 2026-03-29T03:00:00Z",
            ),
            // It ends in the missing hour.
            (
                "2026-03-29T00:00",
                "2026-03-29T02:30",
                "2026-03-28T23:00:00Z 2026-03-29T01:30:00Z",
                "2026-03-28T23:00:00Z 2026-03-29T01:00:00Z",
            ),
            // All of it is missing.
            ("2026-03-29T02:15", "2026-03-29T02:45", "2026-03-29T01:00:00Z 2026-03-29T01:45:00Z", "never"),
            // Over the hour that happens twice: a freeze is four hours long, a window three.
            (
                "2026-10-25T01:00",
                "2026-10-25T04:00",
                "2026-10-24T23:00:00Z 2026-10-25T03:00:00Z",
                "2026-10-24T23:00:00Z 2026-10-25T02:00:00Z",
            ),
            // Within that hour.
            ("2026-10-25T02:15", "2026-10-25T02:45", "2026-10-25T00:15:00Z 2026-10-25T01:45:00Z", "never"),
        ] {
            assert_eq!(read(from, to, Effect::Forbids), freeze, "freeze {from}");
            assert_eq!(read(from, to, Effect::Allows), window, "window {from}");
        }
    }
}
