//! Drawings: small marks and charts, as SVG inside the page.
//!
//! No text is drawn and no colour is set here: words stand beside a drawing, colours in the style sheet. A chart has a title and a description, and
//! its figures stand in a table next to it.

use std::fmt::Write as _;

use maud::{Markup, html};

/// A shape that says at a glance what a word beside it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Ring,
    Hand,
    Forward,
    Eye,
    Gate,
    Pause,
    Back,
    Alarm,
    Check,
    Cross,
}

/// A mark of the height of a letter; hidden from readers of the word beside it.
pub(crate) fn mark(mark: Mark) -> Markup {
    let d = match mark {
        Mark::Ring => "M8 2.5a5.5 5.5 0 1 0 .01 0z",
        Mark::Hand => "M8 1.5a2.7 2.7 0 1 0 .01 0zM2.5 14.5c0-3.5 2.3-5.6 5.5-5.6s5.5 2.1 5.5 5.6z",
        Mark::Forward => "M4 2.5l8.5 5.5L4 13.5z",
        Mark::Eye => "M1 8c2-3.4 4.3-5 7-5s5 1.6 7 5c-2 3.4-4.3 5-7 5S3 11.4 1 8zM8 6a2 2 0 1 0 .01 0z",
        Mark::Gate => "M2.5 14V2M13.5 14V2M2.5 5h11M2.5 9.5h11",
        Mark::Pause => "M5 3v10M11 3v10",
        Mark::Back => "M6.5 2.5L2 7l4.5 4.5M2 7h7.5a4 4 0 0 1 0 7.5H8",
        Mark::Alarm => "M8 1.8L15 14H1zM8 6.5v3.6M8 11.7v.6",
        Mark::Check => "M2.5 8.5l3.7 3.9L13.5 4",
        Mark::Cross => "M3.5 3.5l9 9M12.5 3.5l-9 9",
    };
    let filled = matches!(mark, Mark::Forward | Mark::Hand);
    html! {
        svg.mark.filled[filled] viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" { path d=(d) {} }
    }
}

/// One to four bars.
pub(crate) fn bars(filled: u8) -> Markup {
    html! {
        svg.mark.bars viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" {
            @for bar in 0..4_u8 {
                rect.full[bar < filled] x=(1 + 4 * bar) y=(11 - 3 * bar) width="2.6" height=(4 + 3 * bar) {}
            }
        }
    }
}

/// A line of a chart: a value for each point, nothing where there is a gap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// The name of its look in the style sheet.
    pub class: &'static str,
    pub values: Vec<Option<f64>>,
}

/// A chart over points at even distances.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    /// Unique on its page.
    pub id: String,
    pub title: String,
    /// What it shows, for those who don't see it.
    pub description: String,
    pub lines: Vec<Line>,
    /// The value at the top edge.
    pub top: f64,
    /// The points before which something new begins.
    pub borders: Vec<usize>,
}

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 60.0;
const MARGIN: f64 = 2.0;

impl Chart {
    pub(crate) fn draw(&self) -> Markup {
        let points = self.lines.iter().map(|l| l.values.len()).max().unwrap_or(0);
        let x = |i: usize| i as f64 / points.saturating_sub(1).max(1) as f64 * WIDTH;
        let (title, description) = (format!("{}-t", self.id), format!("{}-d", self.id));
        html! {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-labelledby={ (title) " " (description) } {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - MARGIN) y2=(HEIGHT - MARGIN) {}
                @for border in &self.borders {
                    @let at = format!("{:.1}", (x(*border) + x(border.saturating_sub(1))) / 2.0);
                    line.border x1=(at) x2=(at) y1="0" y2=(HEIGHT) {}
                }
                @for line in &self.lines { path.{ "line " (line.class) } d=(self.path(line, &x)) {} }
            }
        }
    }

    /// Moves to the first point after each gap, and draws on from there. A lone point is a short dash.
    fn path(&self, line: &Line, x: &impl Fn(usize) -> f64) -> String {
        let mut d = String::new();
        let mut drawing = false;
        for (i, value) in line.values.iter().enumerate() {
            let Some(value) = value.filter(|v| v.is_finite()) else {
                drawing = false;
                continue;
            };
            let reach = if self.top > 0.0 { (value / self.top).clamp(0.0, 1.0) } else { 0.0 };
            let y = HEIGHT - MARGIN - reach * (HEIGHT - 2.0 * MARGIN);
            // INVARIANT: writing into a string can't fail.
            let _ = write!(d, "{}{:.1} {y:.1}", if drawing { "L" } else { "M" }, x(i));
            if !drawing && line.values.get(i + 1).is_none_or(|next| next.is_none_or(|v| !v.is_finite())) {
                d.push_str("h1.5");
            }
            drawing = true;
        }
        d
    }
}

/// An effect and its interval on a scale of ratios from a quarter to four times, equal in the middle.
pub(crate) fn interval(id: &str, effect: f64, interval: Option<[f64; 2]>, said: &str) -> Markup {
    let x = |ratio: f64| ((ratio.max(1e-9).log2() + 2.0) / 4.0).clamp(0.0, 1.0) * WIDTH;
    let title = format!("{id}-t");
    html! {
        svg.interval viewBox={ "0 0 " (WIDTH) " 16" } preserveAspectRatio="none" role="img" aria-labelledby=(title) {
            title id=(title) { (said) }
            line.axis x1="0" x2=(WIDTH) y1="8" y2="8" {}
            line.equal x1=(WIDTH / 2.0) x2=(WIDTH / 2.0) y1="0" y2="16" {}
            @if let Some([low, high]) = interval {
                line.range x1=(format!("{:.1}", x(low))) x2=(format!("{:.1}", x(high))) y1="8" y2="8" {}
            }
            line.effect x1=(format!("{:.1}", x(effect))) x2=(format!("{:.1}", x(effect))) y1="3" y2="13" {}
        }
    }
}

/// A bar that is full at 1.
pub(crate) fn meter(class: &str, reach: f64, said: &str) -> Markup {
    let reach = if reach.is_finite() { reach.clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg.meter.(class) viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(said) {
            rect.ground x="0" y="0" width="100" height="8" {}
            rect.reach x="0" y="0" width=(format!("{:.1}", reach * 100.0)) height="8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(values: &[Option<f64>], top: f64) -> String {
        let line = Line { class: "canary", values: values.to_vec() };
        let chart = Chart {
            id: "c".into(),
            title: "t".into(),
            description: "d".into(),
            lines: vec![line.clone()],
            top,
            borders: vec![],
        };
        chart.path(&line, &|i| i as f64)
    }

    #[test]
    fn a_gap_is_a_gap_and_not_a_zero() {
        assert_eq!(
            path(&[Some(0.0), Some(1.0), None, Some(1.0), Some(0.5)], 1.0),
            "M0.0 58.0L1.0 2.0M3.0 2.0L4.0 30.0"
        );
        assert_eq!(path(&[Some(1.0), Some(f64::NAN), Some(1.0)], 1.0), "M0.0 2.0h1.5M2.0 2.0h1.5");
        assert_eq!(path(&[], 1.0), "");
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_chart() {
        assert_eq!(path(&[Some(5.0), Some(-5.0)], 1.0), "M0.0 2.0L1.0 58.0");
        assert_eq!(path(&[Some(5.0), Some(5.0)], 0.0), "M0.0 58.0L1.0 58.0");
        let far = interval("i", 1e300, Some([0.0, f64::INFINITY]), "far").into_string();
        assert!(
            far.contains(r#"class="effect" x1="240.0""#) && far.contains(r#"class="range" x1="0.0" x2="240.0""#),
            "{far}"
        );
    }

    #[test]
    fn a_chart_has_a_title_and_a_description_and_escapes_them() {
        let chart = Chart {
            id: "a1".into(),
            title: "<b>".into(),
            description: "\"d\"".into(),
            lines: vec![Line { class: "canary", values: vec![Some(1.0), Some(2.0)] }],
            top: 2.0,
            borders: vec![1],
        };
        let svg = chart.draw().into_string();
        assert!(svg.contains(r#"aria-labelledby="a1-t a1-d""#), "{svg}");
        assert!(svg.contains(r#"<title id="a1-t">&lt;b&gt;</title>"#), "{svg}");
        assert!(svg.contains(r#"<line class="border" x1="120.0""#), "{svg}");
    }

    #[test]
    fn a_meter_never_overflows() {
        for (reach, wide) in [(0.0, "0.0"), (0.5, "50.0"), (7.0, "100.0"), (-1.0, "0.0"), (f64::NAN, "0.0")] {
            assert!(meter("harm", reach, "x").into_string().contains(&format!("width=\"{wide}\"")), "{reach}");
        }
    }
}
