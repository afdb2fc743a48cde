//! Chart: scales, axes and lines on a strip of the picture.
//!
//! Knows numbers and places, not what they mean. Text is escaped by whoever writes it into the drawing: here. Next room: none.

use crate::xml::escaped;
use std::fmt::Write as _;

/// The width of the drawing in its own units; the screen scales it.
pub(super) const WIDTH: f64 = 480.0;
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 14.0;
/// More points than these are not told apart.
const MOST_POINTS: usize = 240;

/// From values to a part of the height, 0 at the bottom.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scale {
    Linear { low: f64, high: f64 },
    Log { low: f64, high: f64 },
}

impl Scale {
    /// Values beyond the ends lie at the ends.
    fn part(&self, value: f64) -> f64 {
        let part = match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(1e-300) / low).ln() / (high / low).ln(),
        };
        if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    pub(super) fn holds(&self, value: f64) -> bool {
        let (Self::Linear { low, high } | Self::Log { low, high }) = self;
        value >= *low && value <= *high
    }

    /// A linear one from zero (or, for what never comes near it, from below the least) with round ends.
    pub(super) fn over(least: f64, most: f64) -> Self {
        if !(most > 0.0 && most.is_finite() && least.is_finite()) {
            return Self::Linear { low: 0.0, high: 1.0 };
        }
        // A value that hardly moves must not look as if it did.
        let spread = (most - least).max(0.1 * most);
        let low = if least > 0.6 * most || least < 0.0 { least - spread * 0.25 } else { 0.0 };
        let step = round_step((most - low) / 2.0);
        let low = (low / step).floor() * step;
        Self::Linear { low, high: low + ((most * 1.02 - low) / step).ceil().max(1.0) * step }
    }

    /// Where lines and figures stand on the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Linear { low, high } => {
                let step = round_step((high - low) / 2.0);
                let count = ((high - low) / step).round().clamp(1.0, 6.0) as u32;
                (0..=count).map(|i| low + f64::from(i) * step).collect()
            }
            Self::Log { low, high } => {
                let decades = (high / low).log10();
                let steps: &[f64] = match decades {
                    d if d <= 0.6 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
                    d if d <= 1.1 => &[1.0, 2.0, 5.0],
                    d if d <= 2.1 => &[1.0, 3.0],
                    _ => &[1.0],
                };
                let every = (decades / 3.0).ceil().max(1.0) as i32;
                let from = low.log10().floor() as i32;
                let to = high.log10().ceil() as i32;
                let tens = (from..=to).filter(|exponent| exponent % every == 0);
                let all = tens.flat_map(|exponent| steps.iter().map(move |step| step * 10_f64.powi(exponent)));
                all.filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, at or above.
fn round_step(least: f64) -> f64 {
    let ten = 10_f64.powf(least.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * ten).find(|step| *step >= least * 0.999).unwrap_or(10.0 * ten)
}

/// A strip with one scale, over the time of the recording.
pub(super) struct Strip<'a> {
    pub top: f64,
    pub height: f64,
    pub scale: Scale,
    pub length_ms: f64,
    pub out: &'a mut String,
}

impl Strip<'_> {
    pub(super) fn x(&self, ms: f64) -> f64 {
        x(ms, self.length_ms)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - self.scale.part(value))
    }

    /// Ground, lines and figures of the axis.
    pub(super) fn axis(&mut self, figure: impl Fn(f64) -> String) {
        let (top, height) = (self.top, self.height);
        let width = WIDTH - LEFT - RIGHT;
        let _ = writeln!(self.out, r#"<rect class="card" x="{LEFT}" y="{top}" width="{width}" height="{height}"/>"#);
        for tick in self.scale.ticks() {
            let y = self.y(tick);
            let (end, label) = (WIDTH - RIGHT, figure(tick));
            let _ = writeln!(self.out, r#"<path class="grid" d="M{LEFT} {y:.1}H{end}"/>"#);
            self.text("tick end", LEFT - 5.0, y + 3.5, &label);
        }
    }

    /// A line across at a value, if the strip shows it.
    pub(super) fn rule(&mut self, class: &str, value: f64) {
        if self.scale.holds(value) {
            let (y, end) = (self.y(value), WIDTH - RIGHT);
            let _ = writeln!(self.out, r#"<path class="{class}" d="M{LEFT} {y:.1}H{end}"/>"#);
        }
    }

    /// A line through values at times; it breaks where there is none.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, Option<f64>)]) {
        let mut path = String::new();
        let mut before = false;
        for (ms, value) in thinned(points) {
            if let Some(value) = value {
                // a point alone is a dot
                let (x, y) = (self.x(ms), self.y(value));
                let _ = if before { write!(path, "L{x:.1} {y:.1}") } else { write!(path, "M{x:.1} {y:.1}h.01") };
            }
            before = value.is_some();
        }
        if !path.is_empty() {
            let _ = writeln!(self.out, r#"<path class="{class}" d="{path}"/>"#);
        }
    }

    /// The ground between two values at each time; it breaks where there is none.
    pub(super) fn band(&mut self, class: &str, points: &[(f64, Option<[f64; 2]>)]) {
        let points = thinned(points);
        for run in points.split(|(_, band)| band.is_none()).filter(|run| run.len() > 1) {
            let mut path = String::new();
            let at = |strip: &Self, ms: f64, value: f64| format!("{:.1} {:.1}", strip.x(ms), strip.y(value));
            let upper = run.iter().filter_map(|(ms, band)| band.map(|[_, high]| at(self, *ms, high)));
            let lower = run.iter().rev().filter_map(|(ms, band)| band.map(|[low, _]| at(self, *ms, low)));
            for (i, point) in upper.chain(lower).enumerate() {
                let _ = write!(path, "{}{point}", if i == 0 { 'M' } else { 'L' });
            }
            let _ = writeln!(self.out, r#"<path class="{class}" d="{path}Z"/>"#);
        }
    }

    /// Ground over a part of the time.
    pub(super) fn shade(&mut self, class: &str, from_ms: f64, to_ms: f64) {
        let (x, end) = (self.x(from_ms), self.x(to_ms));
        let (top, height, width) = (self.top, self.height, (end - x).max(0.5));
        let _ =
            writeln!(self.out, r#"<rect class="{class}" x="{x:.1}" y="{top}" width="{width:.1}" height="{height}"/>"#);
    }

    pub(super) fn dot(&mut self, class: &str, ms: f64, value: f64) {
        let (x, y) = (self.x(ms), self.y(value));
        let _ = writeln!(self.out, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, content: &str) {
        text(self.out, class, x, y, content);
    }
}

pub(super) fn x(ms: f64, length_ms: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * (ms / length_ms).clamp(0.0, 1.0)
}

pub(super) fn text(out: &mut String, class: &str, x: f64, y: f64, content: &str) {
    let _ = writeln!(out, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(content));
}

/// Every so many points and the last, which is where it was decided.
fn thinned<T: Clone>(points: &[T]) -> Vec<T> {
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last).map(|(_, point)| point.clone()).collect()
}

/// Text as XML bears it, cut at so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of at most so many characters, broken at blanks; what doesn't fit in so many lines is cut.
pub(super) fn wrapped(text: &str, width: usize, most_lines: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let word = cut(word, width);
        let length = |line: &String| line.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) if length(line) + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    if lines.len() > most_lines {
        lines.truncate(most_lines);
        if let Some(last) = lines.last_mut() {
            *last = format!("{} …", cut(last, width - 2));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_ends_and_few_ticks() {
        assert_eq!(Scale::over(0.001, 0.0123), Scale::Linear { low: 0.0, high: 0.02 });
        assert_eq!(Scale::over(0.0, 0.0), Scale::Linear { low: 0.0, high: 1.0 });
        assert_eq!(Scale::over(f64::INFINITY, 0.0), Scale::Linear { low: 0.0, high: 1.0 });
        let Scale::Linear { low, high } = Scale::over(95.0, 100.0) else { panic!("a linear one") };
        assert!(low > 80.0 && low <= 95.0 && high >= 100.0, "{low} {high}");
        for (low, high) in [(0.01, 1e4), (0.5, 2.0), (0.01, 1e9), (0.2, 20.0)] {
            let ticks = Scale::Log { low, high }.ticks();
            assert!((2..=7).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        }
        let ticks = Scale::Log { low: 0.01, high: 1e4 }.ticks();
        assert!(ticks.contains(&1.0), "{ticks:?}");
    }

    #[test]
    fn what_lies_beyond_the_scale_lies_at_its_end() {
        let scale = Scale::Log { low: 0.01, high: 100.0 };
        assert_eq!([1e-9, 0.0, 1e9, f64::INFINITY, f64::NAN].map(|v| scale.part(v)), [0.0, 0.0, 1.0, 1.0, 0.0]);
        assert!((scale.part(1.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn text_is_escaped_cut_and_wrapped() {
        assert_eq!(escaped("<a b='c'>&\u{1}\u{7f}"), "&lt;a b=&#39;c&#39;&gt;&amp;  ");
        assert_eq!((cut("abcdef", 4), cut("abc", 4)), ("abc…".to_owned(), "abc".to_owned()));
        assert_eq!(wrapped("one two three four", 9, 5), ["one two", "three", "four"]);
        assert_eq!(wrapped("one two three four", 9, 2), ["one two", "three …"]);
        assert_eq!(wrapped("", 9, 2), [""]);
    }
}
