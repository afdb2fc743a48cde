//! Refusals: which of them are written, and how many were not.
//!
//! A refusal of an identified user is an entry. The same one again within a minute is only counted; the count stands in the next entry about it, or in one
//! of its own when the minute is over. Bounded: beyond the bound refusals of one user are counted together, so that nobody can fill the log, nor make
//! somebody else's refusal disappear. Pure; the [`handle`](crate::handle) appends what this says.

use std::collections::BTreeMap;
use std::time::Duration;

use change::time::after;
use change::{Actor, Span, Timestamp};

const WINDOW: Span = Span::secs(60);
/// How many different ones are told apart.
const MOST: usize = 1_000;
/// The most entries of one user within a minute.
const MOST_OF_ONE: usize = 20;

/// A refusal as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub actor: Actor,
    pub command: String,
    pub code: String,
    pub reason: String,
    pub unwritten: u64,
}

impl Refusal {
    pub(crate) fn new(actor: &Actor, command: &str, code: &str, reason: String) -> Self {
        let (command, code) = (command.to_owned(), code.to_owned());
        Self { actor: actor.clone(), command, code, reason, unwritten: 0 }
    }
}

/// What was refused of late.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    recent: BTreeMap<String, Recent>,
    /// Whether somebody waits for the next count already.
    is_awaited: bool,
}

#[derive(Debug)]
struct Recent {
    written_at: Timestamp,
    last: Refusal,
}

impl Refusals {
    /// Takes one refusal; returns what is to be written now.
    pub(crate) fn take(&mut self, refusal: Refusal, about: &str, now: Timestamp) -> Vec<Refusal> {
        let mut due = self.due(now);
        let key = format!("{} {about} {} {}", refusal.actor, refusal.command, refusal.code);
        if let Some(known) = self.recent.get_mut(&key) {
            known.last = Refusal { unwritten: known.last.unwritten + 1, ..refusal };
            return due;
        }
        let of_actor = format!("{} ", refusal.actor);
        let is_too_much = self.recent.len() >= MOST
            || self.recent.keys().filter(|key| key.starts_with(&of_actor)).count() >= MOST_OF_ONE;
        if is_too_much {
            self.count_together(refusal, now);
            return due;
        }
        due.push(refusal.clone());
        self.recent.insert(key, Recent { written_at: now, last: refusal });
        due
    }

    fn count_together(&mut self, refusal: Refusal, now: Timestamp) {
        let key = format!("* {}", refusal.actor);
        let others = Refusal {
            command: "several".into(),
            code: "several".into(),
            reason: format!("too many different refusals within a minute; the last: {}", refusal.reason),
            ..refusal
        };
        let known = self.recent.entry(key).or_insert(Recent { written_at: now, last: others.clone() });
        known.last = Refusal { unwritten: known.last.unwritten + 1, ..others };
    }

    /// Forgets what is older than the window, and returns that of which something was not written.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Refusal> {
        self.forget(|recent| after(recent.written_at, WINDOW) <= now)
    }

    /// How long it is until the next count is due; nothing where there is none, or where somebody waits for it already. Whoever is told has to wait, and
    /// then to say so: a client that is refused without end must not make as many timers.
    pub(crate) fn wait(&mut self, now: Timestamp) -> Option<Duration> {
        if self.is_awaited {
            return None;
        }
        let counted = self.recent.values().filter(|recent| recent.last.unwritten > 0);
        let next = counted.map(|recent| after(recent.written_at, WINDOW)).min()?;
        self.is_awaited = true;
        let left = next.as_millisecond().saturating_sub(now.as_millisecond());
        // Never longer than the window, whatever the clock does.
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0).min(WINDOW.as_millis()) + 1))
    }

    /// What is due after having waited.
    pub(crate) fn waited(&mut self, now: Timestamp) -> Vec<Refusal> {
        self.is_awaited = false;
        self.due(now)
    }

    /// The same for everything: nothing may be lost at an end.
    pub(crate) fn rest(&mut self) -> Vec<Refusal> {
        self.forget(|_| true)
    }

    fn forget(&mut self, is_over: impl Fn(&Recent) -> bool) -> Vec<Refusal> {
        let (over, recent) = std::mem::take(&mut self.recent).into_iter().partition(|(_, recent)| is_over(recent));
        self.recent = recent;
        let over: BTreeMap<String, Recent> = over;
        over.into_values().map(|recent| recent.last).filter(|last| last.unwritten > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(user: &str, command: &str) -> Refusal {
        Refusal {
            actor: Actor::User(user.into()),
            command: command.into(),
            code: "not_allowed".into(),
            reason: "no".into(),
            unwritten: 0,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("an instant")
    }

    #[test]
    fn a_refusal_is_written_once_a_minute_and_what_was_not_is_counted() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.take(refusal("ada", "pause"), "CHG-1", at(0)), [refusal("ada", "pause")]);
        for second in 1..=5 {
            assert_eq!(refusals.take(refusal("ada", "pause"), "CHG-1", at(second)), []);
        }
        let counted = Refusal { unwritten: 5, ..refusal("ada", "pause") };
        assert_eq!(refusals.take(refusal("bob", "pause"), "CHG-1", at(60)), [counted, refusal("bob", "pause")]);
        assert_eq!(refusals.take(refusal("ada", "pause"), "CHG-1", at(61)), [refusal("ada", "pause")]);
        assert_eq!(refusals.rest(), [], "nothing was left unwritten");
    }

    #[test]
    fn one_timer_is_enough_for_all_that_was_not_written() {
        let mut refusals = Refusals::default();
        refusals.take(refusal("ada", "pause"), "CHG-1", at(0));
        assert_eq!(refusals.wait(at(0)), None, "nothing is unwritten");
        let mut waits = vec![];
        for second in 1..=50 {
            refusals.take(refusal("ada", "pause"), "CHG-1", at(second));
            refusals.take(refusal("bob", "pause"), "CHG-1", at(second));
            waits.extend(refusals.wait(at(second)));
        }
        assert_eq!(waits, [Duration::from_millis(59_001)]);
        let counted = |user: &str, unwritten: u64| Refusal { unwritten, ..refusal(user, "pause") };
        assert_eq!(refusals.waited(at(60)), [counted("ada", 50)]);
        assert_eq!(refusals.wait(at(60)), Some(Duration::from_millis(1_001)), "bob's was first written a second later");
        assert_eq!(refusals.waited(at(61)), [counted("bob", 49)]);
        assert_eq!(refusals.wait(at(61)), None);
    }

    #[test]
    fn nobody_fills_the_log_and_nobody_hides_behind_somebody_else() {
        let mut refusals = Refusals::default();
        let written: usize =
            (0..5_000).map(|i| refusals.take(refusal("eve", &format!("command-{i}")), "CHG-1", at(0)).len()).sum();
        assert_eq!(written, MOST_OF_ONE);
        assert_eq!(refusals.take(refusal("ada", "pause"), "CHG-1", at(1)).len(), 1);
        let rest = refusals.rest();
        assert_eq!(rest.iter().map(|r| r.unwritten).sum::<u64>(), 5_000 - MOST_OF_ONE as u64);
        assert!(rest.iter().all(|r| r.actor == Actor::User("eve".into())), "{rest:?}");
    }

    #[test]
    fn many_users_together_are_bounded_and_counted() {
        let mut refusals = Refusals::default();
        let written: usize =
            (0..3_000).map(|i| refusals.take(refusal(&format!("u{i}"), "pause"), "CHG-1", at(0)).len()).sum();
        assert_eq!(written, MOST);
        assert_eq!(refusals.rest().iter().map(|r| r.unwritten).sum::<u64>(), 2_000);
    }
}
