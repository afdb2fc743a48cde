//! Picture: the course of a verdict for people, as one SVG file.
//!
//! The answer stands on top, then the evidence over all SLIs, then for each SLI what both versions did, the effect with its interval, and the evidence.
//! It needs nothing but itself: no script, no font, no address; it can be read in light and in dark, at 360 pixels and on a wall, and by a screen
//! reader. Nothing is decided here. Next room: [`series`], then [`chart`].

mod chart;
mod series;

use std::fmt::Write as _;

use judge::{Answer, Kind, SliKind, SliSettings};

use self::chart::{LEFT, RIGHT, Scale, Strip, WIDTH, cut, text, wrapped, x};
use self::series::{Series, slowed};
use super::case::Case;
use super::report::{Report, SliReport, word};
use super::trajectory::{Point, SliPoint, Trajectory};
use super::words::{factor, figure, grouped, odds, percent, span};
use crate::xml::escaped;

/// No more SLIs are drawn: the implicated ones first.
const MOST_SLIS: usize = 24;
const STRIP: f64 = 66.0;
/// Characters of the largest text that fit into the width.
const LINE_CHARS: usize = 64;
const CAPTION_CHARS: usize = 70;
const LOWEST_ODDS: f64 = 0.01;
const HIGHEST_ODDS: f64 = 1e6;

const STYLE: &str = "
.cwj{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;width:100%;height:auto;max-width:860px;display:block;margin:0 auto;background:#f6f7f8}
.cwj text{fill:#1c2126}.cwj .muted,.cwj .tick{fill:#59636e}.cwj .tick{font-size:11px}.cwj .end{text-anchor:end}.cwj .mid{text-anchor:middle}
.cwj .head{font-size:20px;font-weight:700}.cwj .name{font-size:15px;font-weight:650}.cwj .small{font-size:12px}.cwj .strong{font-weight:650}
.cwj path{fill:none;stroke-linejoin:round;stroke-linecap:round}.cwj .ground{fill:#f6f7f8}.cwj .card{fill:#fff;stroke:#dde1e5}
.cwj .grid{stroke:#dde1e5;stroke-width:.7}.cwj .gap{fill:#59636e;opacity:.16}
.cwj .canary{stroke:#b1480b;stroke-width:2}.cwj .baseline{stroke:#4d5965;stroke-width:1.5;stroke-dasharray:4 2.5}
.cwj .effect{stroke:#1a5fb4;stroke-width:2}.cwj path.interval{fill:#1a5fb4;opacity:.17;stroke:none}
.cwj .harm{stroke:#a8251f;stroke-width:2}.cwj .safety{stroke:#1c6b35;stroke-width:1.7;stroke-dasharray:6 2.5}
.cwj .harmline{stroke:#a8251f;stroke-width:1.2;stroke-dasharray:2 3}.cwj .safeline{stroke:#1c6b35;stroke-width:1.2;stroke-dasharray:2 3}
.cwj .equal{stroke:#59636e;stroke-width:1}.cwj .allowed{stroke:#855000;stroke-width:1.3;stroke-dasharray:7 3}
.cwj .fail{stroke:#a8251f}.cwj .pass{stroke:#1c6b35}.cwj .decision{stroke-width:1.3}.cwj circle{stroke:none}
.cwj text.t-fail,.cwj circle.t-fail,.cwj tspan.t-fail{fill:#a8251f}.cwj text.t-pass,.cwj circle.t-pass,.cwj tspan.t-pass{fill:#1c6b35}
.cwj text.t-insufficient,.cwj text.t-unreachable{fill:#855000}.cwj tspan.t-canary{fill:#b1480b}.cwj tspan.t-effect{fill:#1a5fb4}.cwj tspan.t-allowed{fill:#855000}
@media (min-width:640px){.cwj{font-size:11px}.cwj .tick{font-size:9px}.cwj .small{font-size:10px}.cwj .name{font-size:13px}.cwj .head{font-size:18px}}
@media (prefers-color-scheme:dark){
.cwj{background:#14171a}.cwj text{fill:#e4e7ea}.cwj .muted,.cwj .tick{fill:#9aa5b1}.cwj .ground{fill:#14171a}.cwj .card{fill:#1b1f23;stroke:#31373d}
.cwj .grid{stroke:#31373d}.cwj .gap{fill:#9aa5b1}.cwj .canary{stroke:#ffa45c}.cwj .baseline{stroke:#a4b0bc}.cwj .effect{stroke:#7fb6ff}.cwj path.interval{fill:#7fb6ff}
.cwj .harm,.cwj .harmline,.cwj .fail{stroke:#ff938a}.cwj .safety,.cwj .safeline,.cwj .pass{stroke:#6fce8c}.cwj .equal{stroke:#9aa5b1}.cwj .allowed{stroke:#f0b04c}
.cwj text.t-fail,.cwj circle.t-fail,.cwj tspan.t-fail{fill:#ff938a}.cwj text.t-pass,.cwj circle.t-pass,.cwj tspan.t-pass{fill:#6fce8c}
.cwj text.t-insufficient,.cwj text.t-unreachable{fill:#f0b04c}.cwj tspan.t-canary{fill:#ffa45c}.cwj tspan.t-effect{fill:#7fb6ff}.cwj tspan.t-allowed{fill:#f0b04c}}
";

/// Draws a recording that has been judged look by look.
pub(crate) fn draw(title: &str, case: &Case, followed: &Trajectory, report: &Report) -> String {
    let length_ms = case.every.times(case.looks.len().saturating_sub(1) as u64).as_millis().max(1) as f64;
    let mut page = Page { case, followed, report, length_ms, y: 0.0, out: String::new() };
    page.head(title);
    page.together();
    let order = order(report);
    for at in order.iter().take(MOST_SLIS) {
        page.sli(*at);
    }
    if let Some(left) = order.len().checked_sub(MOST_SLIS).filter(|left| *left > 0) {
        page.y += 24.0;
        page.say("muted", &format!("and {left} more SLIs, whose evidence of harm is weaker"));
    }
    page.finish(title)
}

/// The implicated SLIs first, then as they are.
fn order(report: &Report) -> Vec<usize> {
    let mut order: Vec<usize> = (0..report.slis.len()).collect();
    if order.len() > MOST_SLIS {
        order.sort_by(|a, b| report.slis[*b].evidence.total_cmp(&report.slis[*a].evidence));
    }
    order.sort_by_key(|at| !report.slis[*at].implicated);
    order
}

struct Page<'a> {
    case: &'a Case,
    followed: &'a Trajectory,
    report: &'a Report,
    length_ms: f64,
    /// Where the next thing is drawn.
    y: f64,
    out: String,
}

impl Page<'_> {
    fn finish(self, title: &str) -> String {
        let height = self.y + 18.0;
        let (title, desc) = (escaped(title), escaped(&self.report.why.replace('`', "")));
        let answer = word(self.report.verdict);
        let (style, drawing) = (STYLE, self.out);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cwj\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"cwj-title cwj-desc\">\n\
             <title id=\"cwj-title\">{title}: {answer}</title>\n<desc id=\"cwj-desc\">{desc}</desc>\n<style>{style}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height:.0}\"/>\n{drawing}</svg>\n"
        )
    }

    fn say(&mut self, class: &str, content: &str) {
        text(&mut self.out, class, RIGHT, self.y, content);
    }

    /// The answer, the sentence, and what the lines are.
    fn head(&mut self, title: &str) {
        let answer = word(self.report.verdict);
        self.y = 30.0;
        self.say(&format!("head t-{answer}"), &answer.to_uppercase());
        text(&mut self.out, "muted end", WIDTH - RIGHT, self.y, &cut(title, 36));
        self.y += 6.0;
        for line in wrapped(&self.report.why.replace('`', ""), LINE_CHARS, 6) {
            self.y += 17.0;
            self.say("", &line);
        }
        self.y += 22.0;
        let y = self.y - 4.0;
        let mut at = RIGHT;
        for (class, label, width) in [
            ("canary", "canary", 52.0),
            ("baseline", "baseline", 63.0),
            ("harm", "evidence of harm", 122.0),
            ("safety", "of safety", 66.0),
        ] {
            let end = at + 18.0;
            let _ = writeln!(self.out, r#"<path class="{class}" d="M{at} {y}H{end}"/>"#);
            text(&mut self.out, "small muted", end + 5.0, self.y, label);
            at = end + width;
        }
        let _ = writeln!(self.out, r#"<rect class="gap" x="{at}" y="{:.1}" width="14" height="10"/>"#, y - 5.0);
        text(&mut self.out, "small muted", at + 19.0, self.y, "no data");
    }

    /// The evidence over all SLIs, by which the change fails.
    fn together(&mut self) {
        let (evidence, needed) = (self.report.evidence, 1.0 / self.report.false_rollback_budget);
        self.y += 30.0;
        self.say("name", "All SLIs together");
        self.caption(&format!("evidence of harm {} of {} that fail it", odds(evidence), odds(needed)));
        let points: Vec<(f64, Option<f64>)> = self.points(|point| Some(point.evidence));
        let scale = odds_scale(points.iter().filter_map(|(_, e)| *e), needed);
        let mut strip = self.strip(scale, odds_tick);
        strip.rule("equal", 1.0);
        strip.rule("harmline", needed);
        strip.line("harm", &points);
        if let Some((ms, Some(value))) = points.last() {
            strip.dot("t-fail", *ms, *value);
        }
        self.decision();
        self.time_axis();
    }

    fn sli(&mut self, at: usize) {
        let (settings, report) = (&self.case.settings.slis[at], &self.report.slis[at]);
        self.y += 34.0;
        self.say("name", &cut(&settings.name, 40));
        let (class, state) = state(self.case, self.report, report);
        text(&mut self.out, &format!("strong end t-{class}"), WIDTH - RIGHT, self.y, state);
        self.series(at, settings, report);
        if report.kind != Kind::Check {
            self.effect(at, settings, report);
            self.evidence(at, settings, report);
        }
        self.time_axis();
    }

    fn series(&mut self, at: usize, settings: &SliSettings, report: &SliReport) {
        let looks = &self.case.looks;
        let series = Series::of(settings, at, report.threshold_ms, looks);
        let every = self.case.every.as_millis() as f64;
        let places = |values: &[Option<f64>]| -> Vec<(f64, Option<f64>)> {
            let middle = |i: usize| ((i * series.group) as f64 + (series.group - 1) as f64 / 2.0) * every;
            values.iter().enumerate().map(|(i, value)| (middle(i).min(self.length_ms), *value)).collect()
        };
        let (canary, baseline) = (places(&series.canary), places(&series.baseline));
        let allowed = if series.allowed.is_some() { "; the objective allows the dashed line" } else { "" };
        self.caption(&format!("{}{}{allowed}", series.title, counted(report)));
        let is_share = series.is_share;
        let tick = move |value: f64| if is_share { percent(value).replace(' ', "") } else { short(value) };
        let gaps = self.gaps(at, settings);
        let mut strip = self.strip(Scale::over(series.least(), series.most()), tick);
        for (from, to) in gaps {
            strip.shade("gap", from, to);
        }
        series.allowed.iter().for_each(|allowed| strip.rule("allowed", *allowed));
        strip.line("baseline", &baseline);
        strip.line("canary", &canary);
        self.decision();
    }

    /// The times in which a version showed nothing.
    fn gaps(&self, at: usize, settings: &SliSettings) -> Vec<(f64, f64)> {
        if matches!(settings.kind, SliKind::Check) {
            return vec![];
        }
        let is_missing = |look: &judge::Look| match look.readings.get(at) {
            Some(judge::Reading::Seen { baseline, canary }) => {
                canary.is_none() || (baseline.is_none() && !settings.against_objective)
            }
            _ => true,
        };
        let every = self.case.every.as_millis() as f64;
        let mut gaps: Vec<(f64, f64)> = Vec::new();
        for (i, _) in self.case.looks.iter().enumerate().filter(|(_, look)| is_missing(look)) {
            let (from, to) = ((i as f64 - 0.5) * every, (i as f64 + 0.5) * every);
            match gaps.last_mut().filter(|(_, end)| *end >= from) {
                Some((_, end)) => *end = to,
                None => gaps.push((from, to)),
            }
        }
        gaps
    }

    fn effect(&mut self, at: usize, settings: &SliSettings, report: &SliReport) {
        let margin = match &settings.kind {
            SliKind::Ratio { harm_margin, .. } => Some(*harm_margin),
            SliKind::Latency { slowdown_harm, .. } => {
                slowed(settings, at, report.threshold_ms, *slowdown_harm, &self.case.looks)
            }
            SliKind::Gauge { harm, .. } => Some(1.0 + harm),
            SliKind::Check => None,
        };
        let effects = self.points(|point| of(point, at).and_then(|sli| sli.effect));
        let bands = self.points(|point| of(point, at).and_then(|sli| sli.interval));
        let told = match (report.effect, report.interval) {
            (Some(effect), Some([low, high])) => {
                format!("x {} ({} to {})", factor(effect), factor(low), factor(high))
            }
            (Some(effect), None) => format!("x {}", factor(effect)),
            _ => "unknown".to_owned(),
        };
        let tolerated = margin.map(|margin| format!("; tolerated to x {}", factor(margin))).unwrap_or_default();
        self.caption(&format!("canary over {}: {told}{tolerated}", beside(settings)));
        let scale = effect_scale(&effects, report, margin);
        let mut strip = self.strip(scale, |value| format!("x{}", short(value)));
        strip.band("interval", &bands);
        strip.rule("equal", 1.0);
        margin.iter().for_each(|margin| strip.rule("harmline", *margin));
        strip.line("effect", &effects);
        self.decision();
    }

    fn evidence(&mut self, at: usize, settings: &SliSettings, report: &SliReport) {
        let weights: f64 = self.weights();
        let alone = weights / (settings.weight * self.report.false_rollback_budget);
        let needed = 1.0 / self.case.settings.beta;
        self.caption(&format!(
            "harm {} (alone fails at {}); safety {} of {}",
            odds(report.evidence),
            figure(alone),
            odds(report.safety),
            figure(needed)
        ));
        let harm = self.points(|point| of(point, at).map(|sli| sli.evidence));
        let safety = self.points(|point| of(point, at).map(|sli| sli.safety));
        let scale = odds_scale(harm.iter().filter_map(|(_, e)| *e), alone);
        let mut strip = self.strip(scale, odds_tick);
        strip.rule("equal", 1.0);
        strip.rule("safeline", needed);
        strip.rule("harmline", alone);
        strip.line("safety", &safety);
        strip.line("harm", &harm);
        self.decision();
    }

    /// Of all that carry evidence of harm.
    fn weights(&self) -> f64 {
        let carrying = self.case.settings.slis.iter().filter(|sli| !matches!(sli.kind, SliKind::Check));
        carrying.map(|sli| sli.weight).sum()
    }

    fn points<T>(&self, value: impl Fn(&Point) -> Option<T>) -> Vec<(f64, Option<T>)> {
        self.followed.points.iter().map(|point| (point.at.as_millis() as f64, value(point))).collect()
    }

    fn caption(&mut self, content: &str) {
        self.y += 18.0;
        text(&mut self.out, "small muted", LEFT, self.y, &cut(content, CAPTION_CHARS));
    }

    /// The next strip, below what is there.
    fn strip(&mut self, scale: Scale, figure: impl Fn(f64) -> String) -> Strip<'_> {
        let top = self.y + 6.0;
        self.y = top + STRIP;
        let mut strip = Strip { top, height: STRIP, scale, length_ms: self.length_ms, out: &mut self.out };
        strip.axis(figure);
        strip
    }

    /// A line through the newest strip at the time of the decision.
    fn decision(&mut self) {
        let Some(decided) = self.followed.outcome.decided else { return };
        let (x, top, class) =
            (x(decided.at.as_millis() as f64, self.length_ms), self.y - STRIP, word(self.report.verdict));
        let _ = writeln!(self.out, r#"<path class="decision {class}" d="M{x:.1} {top:.1}v{STRIP}"/>"#);
    }

    /// The times below the newest strip, and when it was decided.
    fn time_axis(&mut self) {
        self.y += 14.0;
        let step = time_step(self.length_ms);
        let count = (self.length_ms / step).floor() as u32;
        let decided = self.followed.outcome.decided.map(|decided| x(decided.at.as_millis() as f64, self.length_ms));
        let mut labels: Vec<(f64, String, String)> = (0..=count)
            .map(|i| (f64::from(i) * step, i))
            .map(|(ms, i)| (x(ms, self.length_ms), if i == 0 { "0".to_owned() } else { span(ms as u64) }))
            .filter(|(x, _)| decided.is_none_or(|decided| (decided - x).abs() > 62.0))
            .map(|(x, label)| (x, label, "tick mid".to_owned()))
            .collect();
        if let (Some(x), Some(at)) = (decided, self.followed.outcome.decided) {
            let answer = word(self.report.verdict);
            let label = format!("{answer} at {}", span(at.at.as_millis()));
            labels.push((x, label, format!("tick strong mid t-{answer}")));
        }
        for (x, label, class) in labels {
            // A label at the end of the axis stands before it.
            let half = label.chars().count() as f64 * 3.2;
            let x = x.clamp(LEFT.min(half + 4.0), WIDTH - half - 4.0);
            text(&mut self.out, &class, x, self.y, &label);
        }
    }
}

fn of(point: &Point, at: usize) -> Option<&SliPoint> {
    point.slis.get(at)
}

fn beside(settings: &SliSettings) -> &'static str {
    if settings.against_objective { "objective" } else { "baseline" }
}

fn counted(report: &SliReport) -> String {
    let samples = &report.samples;
    match (report.kind, report.means) {
        (Kind::Gauge, Some([baseline, canary])) => {
            format!(": {} on average, {} in the baseline", figure(canary), figure(baseline))
        }
        (Kind::Ratio | Kind::Latency, _) if samples.canary_total > 0 => {
            format!(": {} of {} in the canary", grouped(samples.canary_bad), grouped(samples.canary_total))
        }
        _ => String::new(),
    }
}

/// Where an SLI stands, and the colour of that.
fn state(case: &Case, whole: &Report, sli: &SliReport) -> (&'static str, &'static str) {
    let holds = whole.reasons.iter().any(|r| r.sli.as_ref() == Some(&sli.name) && !r.code.is_note());
    let is_safe = sli.safety >= 1.0 / case.settings.beta;
    match sli.kind {
        _ if sli.implicated => ("fail", "harmful"),
        Kind::Check if sli.samples.canary_total > 0 && !holds => ("pass", "passed"),
        Kind::Check => ("insufficient", "not passed"),
        _ if is_safe && holds => (word(Answer::Insufficient), "holds: see the reasons"),
        _ if is_safe => (word(Answer::Pass), "shown safe"),
        _ => (word(Answer::Insufficient), "not shown safe"),
    }
}

/// Decades around 1 that hold the evidence and what is needed.
fn odds_scale(values: impl Iterator<Item = f64>, needed: f64) -> Scale {
    let most = values.fold(needed, f64::max).min(HIGHEST_ODDS);
    let high = 10_f64.powf((most * 1.5).log10().ceil());
    Scale::Log { low: LOWEST_ODDS, high }
}

/// What the effects and the last interval need, and at least half to twice.
fn effect_scale(effects: &[(f64, Option<f64>)], report: &SliReport, margin: Option<f64>) -> Scale {
    // The first effects rest on little and would make the rest small.
    let settled = effects.iter().skip(effects.len() / 5).filter_map(|(_, effect)| *effect);
    let known = settled.chain(report.interval.into_iter().flatten()).chain(margin).filter(|v| v.is_finite());
    let (low, high) = known.fold((0.6_f64, 1.7_f64), |(low, high), v| (low.min(v * 0.9), high.max(v * 1.1)));
    Scale::Log { low: low.max(0.1), high: high.min(20.0) }
}

fn odds_tick(value: f64) -> String {
    short(value)
}

/// A figure in few characters: `10k`, `0.01`.
fn short(value: f64) -> String {
    let trimmed = |value: f64| {
        let digits = if value.abs() >= 100.0 {
            0
        } else if value.abs() >= 10.0 {
            1
        } else {
            3
        };
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        v if v >= 1e15 || (v > 0.0 && v < 1e-3) => format!("{value:.0e}"),
        v if v >= 1e12 => format!("{}T", trimmed(value / 1e12)),
        v if v >= 1e9 => format!("{}G", trimmed(value / 1e9)),
        v if v >= 1e6 => format!("{}M", trimmed(value / 1e6)),
        v if v >= 1e4 => format!("{}k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

/// A round time of which four to seven fit.
fn time_step(length_ms: f64) -> f64 {
    const STEPS_S: [f64; 17] = [
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
        21_600.0, 43_200.0,
    ];
    let wanted = length_ms / 6.0;
    let step = STEPS_S.into_iter().map(|s| s * 1e3).find(|step| *step >= wanted);
    step.unwrap_or_else(|| (wanted / 86_400_000.0).ceil() * 86_400_000.0)
}
