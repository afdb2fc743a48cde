//! Repeated: stretches of time that come again and again by the clock on the wall, for rooms beside the calendar.
//!
//! Such as the turns of a roster that another tool tells by a rule. Bounded for every rule: a question looks at the days about which it is asked. A local
//! time that is skipped moves forward, and one that comes twice is the first, as handovers are. Forbids and allows nothing.

use jiff::ToSpan as _;
use jiff::civil::DateTime;

use super::recurrence::{Recurrence, Until};
use crate::time::{Span, TimeZone, Timestamp};

/// The longest that one time may last.
const LONGEST: Span = Span::secs(366 * 86_400);
/// The most dates that are listed.
const MOST_DATES: usize = 1_000;

/// A rule of RFC 5545 with what it leaves out and what comes beside it, in the local times of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A time of its own, whether the rule has it or not.
    pub start: DateTime,
    pub lasts: Span,
    /// Nothing where only dates are listed.
    pub rrule: Option<String>,
    pub rdate: Vec<DateTime>,
    pub exdate: Vec<DateTime>,
    /// IANA name of the zone.
    pub tz: String,
}

/// A rule, made ready to be asked.
#[derive(Clone, Debug)]
pub struct Repeated {
    rule: Rule,
    recurrence: Option<Recurrence>,
    zone: TimeZone,
}

impl PartialEq for Repeated {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

impl Eq for Repeated {}

impl Repeated {
    /// # Errors
    /// A sentence that says what is wrong, for a rule that can't be read.
    pub fn read(rule: Rule) -> Result<Self, String> {
        let zone = TimeZone::get(&rule.tz).map_err(|_| format!("the time zone `{}` is not known", rule.tz))?;
        let recurrence = rule.rrule.as_deref().map(|text| Recurrence::read(text, Some(rule.start))).transpose()?;
        if rule.lasts == Span::ZERO || rule.lasts > LONGEST {
            return Err(format!("a time of `{}` is not between a moment and a year", rule.lasts));
        }
        if rule.rdate.len().max(rule.exdate.len()) > MOST_DATES {
            return Err(format!("it lists more than {MOST_DATES} dates"));
        }
        Ok(Self { rule, recurrence, zone })
    }

    /// Until when it is on, if it is on at an instant.
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(at).date();
        let days = i64::try_from(self.rule.lasts.as_millis() / 86_400_000).ok()?;
        let (from, to) = (today.checked_sub((days + 2).days()).ok()?, today.tomorrow().ok()?);
        let by_rule = self.recurrence.iter().flat_map(|recurrence| recurrence.between(from, to));
        let by_rule = by_rule.filter(|start| self.is_before_its_end(*start));
        let listed = [self.rule.start].into_iter().chain(self.rule.rdate.iter().copied());
        let starts = by_rule.chain(listed.filter(|start| from <= start.date() && start.date() <= to));
        let on = starts.filter(|start| !self.rule.exdate.contains(start)).filter_map(|start| {
            let lasts = jiff::SignedDuration::from_millis(i64::try_from(self.rule.lasts.as_millis()).ok()?);
            let (begins, ends) = (self.instant(start)?, self.instant(start.checked_add(lasts).ok()?)?);
            (begins <= at && at < ends).then_some(ends)
        });
        on.max()
    }

    fn is_before_its_end(&self, start: DateTime) -> bool {
        match self.recurrence.as_ref().and_then(Recurrence::until) {
            Some(Until::Instant(last)) => self.instant(start).is_some_and(|at| at <= last),
            _ => true,
        }
    }

    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        Some(local.to_zoned(self.zone.clone()).ok()?.timestamp())
    }
}
