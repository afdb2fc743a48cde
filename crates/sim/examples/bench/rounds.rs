//! Rounds: what is said of several measurements. Medians, since a neighbour on the machine moves a mean as far as it likes.

use std::time::Duration;

/// The median of some figures; not a number if there are none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The time that `share` of these took at most (nearest rank), in microseconds; not a number if there are none.
pub(crate) fn quantile_us(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// A rate with its thousands apart: `12,345`.
pub(crate) fn whole(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let head = (first > 0).then(|| digits[..first].into());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}
