//! Burn: how fast is an error budget used up, and how much of it is left?
//!
//! Arithmetic over counts that somebody else has read. A ratio over a window is the sum of the bad events over the sum of all, never a mean of ratios of
//! shorter windows. Where too little was counted there is no answer: never zero, and never a burn. Source: The Site Reliability Workbook, chapter 5
//! ("Alerting on SLOs"): factor = share of the budget x period / long window.

use change::Span;

/// Events of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    pub bad: f64,
    pub all: f64,
}

impl Counted {
    /// The share of bad events; nothing where fewer than `least` were counted, or where the counts can't be.
    pub fn bad_share(&self, least: f64) -> Option<f64> {
        let possible = self.bad.is_finite() && self.all.is_finite() && self.bad >= 0.0 && self.bad <= self.all;
        (possible && self.all > 0.0 && self.all >= least).then(|| self.bad / self.all)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { bad: self.bad + other.bad, all: self.all + other.all }
    }
}

/// How many times as fast as expected the budget is used up: 1 uses it up exactly at the end of its period. `objective` is the share of good events that
/// is promised, below 1.
pub fn rate(counted: Counted, objective: f64, least: f64) -> Option<f64> {
    let budget = 1.0 - objective;
    (budget > 0.0).then_some(())?;
    Some(counted.bad_share(least)? / budget)
}

/// The share of the budget that is left of a whole period, from 1 down; below 0 where it is overspent.
pub fn left(over_period: Counted, objective: f64, least: f64) -> Option<f64> {
    rate(over_period, objective, least).map(|used| 1.0 - used)
}

/// The burn rate at which `share` of the budget of a period is used up within a window.
pub fn factor(share: f64, period: Span, window: Span) -> f64 {
    share * period.as_millis() as f64 / (window.as_millis().max(1)) as f64
}

/// Whether it burns: over the long window, so that it matters, and over the short one, so that it is over soon after the cause is.
pub fn burns(long: Option<f64>, short: Option<f64>, factor: f64) -> Option<bool> {
    match (long, short) {
        (Some(long), Some(short)) => Some(long > factor && short > factor),
        // One window that is quiet is enough to say no.
        (Some(one), None) | (None, Some(one)) if one <= factor => Some(false),
        _ => None,
    }
}

/// How long it takes until so much is left that `wanted` is reached, if from now on nothing bad happens: what was bad leaves the window evenly.
/// Nothing where it is reached already, or can't be reckoned.
pub fn recovers_in(left: f64, wanted: f64, period: Span) -> Option<Span> {
    let used = 1.0 - left;
    if !used.is_finite() || used <= 0.0 || left >= wanted {
        return None;
    }
    let part = ((wanted - left) / used).clamp(0.0, 1.0);
    Some(Span::millis((period.as_millis() as f64 * part).ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Span = Span::secs(86_400);

    // A2: the factors of the table of the workbook, for 30 and for 28 days.
    #[test]
    fn the_factors_are_those_of_the_table() {
        let rows = [
            (0.02, 3_600, 14.4, 13.44),
            (0.05, 21_600, 6.0, 5.6),
            (0.10, 86_400, 3.0, 2.8),
            (0.10, 259_200, 1.0, 0.933),
        ];
        for (share, seconds, of_30, of_28) in rows {
            let window = Span::secs(seconds);
            assert!((factor(share, DAY.times(30), window) - of_30).abs() < 0.001, "{window}");
            assert!((factor(share, DAY.times(28), window) - of_28).abs() < 0.001, "{window}");
        }
    }

    // A2: a ratio is of sums; at low traffic one error is no burn; nothing counted is no answer.
    #[test]
    fn a_rate_is_of_sums_and_too_few_events_are_no_answer() {
        let quiet = Counted { bad: 1.0, all: 2.0 };
        let busy = Counted { bad: 0.0, all: 998.0 };
        let close =
            |found: Option<f64>, wanted: f64| assert!(found.is_some_and(|f| (f - wanted).abs() < 1e-9), "{found:?}");
        close(rate(quiet.and(busy), 0.999, 100.0), 1.0);
        assert_eq!(rate(quiet, 0.999, 100.0), None);
        assert_eq!(rate(Counted::default(), 0.999, 0.0), None);
        assert_eq!(rate(busy, 1.0, 100.0), None, "a promise of everything has no budget");
        for wrong in [(f64::NAN, 9.0), (-1.0, 9.0), (10.0, 9.0), (1.0, f64::INFINITY)] {
            assert_eq!(rate(Counted { bad: wrong.0, all: wrong.1 }, 0.99, 0.0), None, "{wrong:?}");
        }
    }

    // A2
    #[test]
    fn both_windows_have_to_burn_and_an_unknown_one_is_no_answer() {
        assert_eq!(burns(Some(3.0), Some(2.5), 2.0), Some(true));
        assert_eq!(burns(Some(3.0), Some(1.0), 2.0), Some(false), "it is over");
        assert_eq!(burns(Some(2.0), Some(2.0), 2.0), Some(false), "above, not at");
        assert_eq!(burns(Some(3.0), None, 2.0), None);
        assert_eq!(burns(Some(1.0), None, 2.0), Some(false));
        assert_eq!(burns(None, None, 2.0), None);
    }

    // A2: what is left, and when there is enough again.
    #[test]
    fn what_is_left_and_when_there_is_enough_again() {
        let spent = Counted { bad: 15.0, all: 10_000.0 };
        let left = left(spent, 0.999, 100.0).expect("enough was counted");
        assert!((left + 0.5).abs() < 1e-9, "half as much again as there was: {left}");
        assert_eq!(recovers_in(left, 0.0, DAY.times(30)), Some(DAY.times(10)), "a third of what was bad has to leave");
        assert_eq!(recovers_in(0.4, 0.1, DAY), None);
        assert_eq!(recovers_in(1.0, 1.5, DAY), None);
    }
}
