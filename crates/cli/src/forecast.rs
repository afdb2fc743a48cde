//! A forecast as text: a table of steps, what can't be decided and what would help, and steps to paste.

use std::fmt::Write as _;

use change::Span;
use engine::planning::{Forecast, SliPresent, Suggested};
use judge::plan::{Decision, HarmOutlook, StepOutlook, Times};
use judge::words::grouped;

use crate::show::table;

/// The whole plan on one screen.
pub(crate) fn text(forecast: &Forecast, every: Span) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Present: {}", forecast.present.iter().map(present).collect::<Vec<_>>().join(" · "));
    for note in &forecast.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    let steps = forecast.plan.steps.iter().zip(&forecast.names);
    let rows = steps.flat_map(|(step, name)| rows(step, name, every)).collect();
    let header = ["step", "bake", "deadline", "passes after", "harm", "seen after", "harmed by then", "answer"];
    let _ = writeln!(out, "\n{}", table(&header, rows));
    let _ = writeln!(out, "\n{}", whole(forecast, every));
    for (step, name) in forecast.plan.steps.iter().zip(&forecast.names) {
        for why in &step.why {
            let _ = writeln!(out, "  {name}: {why}");
        }
    }
    if let Some(suggestion) = &forecast.suggestion {
        let _ = write!(out, "\n{}", suggested(suggestion, every));
    }
    out.trim_end().to_owned()
}

fn present(of: &SliPresent) -> String {
    let traffic = of.requests_per_second.map(|it| format!(" {} requests/s", figure(it)));
    let bad = of.bad_share.map(|it| format!(", {} % bad", figure(it * 100.0)));
    format!("{}{}{}", of.sli, traffic.unwrap_or_default(), bad.unwrap_or_default())
}

fn rows(step: &StepOutlook, name: &str, every: Span) -> Vec<Vec<String>> {
    let planned = &step.planned;
    let looks = |looks: u32| length(f64::from(looks), every);
    let head = [name.to_owned(), looks(planned.bake_looks), looks(planned.deadline_looks), times(step.pass, every)];
    let harms = step.harms.iter().map(|harm| harmed(harm, every));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for harm in harms {
        let first = if rows.is_empty() { head.to_vec() } else { vec![String::new(); head.len()] };
        rows.push(first.into_iter().chain(harm).collect());
    }
    if rows.is_empty() {
        rows.push(
            head.into_iter()
                .chain([String::new(), String::new(), String::new()])
                .chain([answer(step.answer)])
                .collect(),
        );
    }
    rows
}

fn harmed(harm: &HarmOutlook, every: Span) -> Vec<String> {
    let requests =
        harm.harmed_requests.map_or_else(|| "-".to_owned(), |it| format!("{} requests", grouped(it.round() as u64)));
    vec![format!("{} {}", harm.sli, harm.harm), times(harm.detection, every), requests, answer(harm.answer)]
}

/// A median, and the time by which nearly all are through.
fn times(of: Times, every: Span) -> String {
    match (of.median, of.p95) {
        (Some(median), Some(p95)) if p95 > median => {
            format!("{} ({})", length(f64::from(median), every), length(f64::from(p95), every))
        }
        (Some(median), Some(_)) => length(f64::from(median), every),
        (Some(median), None) => format!("{} (late)", length(f64::from(median), every)),
        (None, _) => "-".to_owned(),
    }
}

fn answer(decision: Decision) -> String {
    match decision {
        Decision::Decides => "decides",
        Decision::Slow => "slow",
        Decision::Never => "never",
    }
    .to_owned()
}

fn whole(forecast: &Forecast, every: Span) -> String {
    let plan = &forecast.plan;
    match plan.duration.and_then(|it| it.median) {
        Some(looks) => format!(
            "A healthy rollout is through after about {}; {:.0} of 100 pass every step in time. From {} synthetic rollouts: the median, and in brackets the time by which 95 of 100 are through.",
            length(f64::from(looks), every),
            100.0 * plan.completed,
            plan.runs
        ),
        None => format!(
            "Most healthy rollouts will wait at a deadline: {:.0} of 100 pass every step in time ({} synthetic rollouts).",
            100.0 * plan.completed,
            plan.runs
        ),
    }
}

fn suggested(of: &Suggested, every: Span) -> String {
    let mut out = String::new();
    for sentence in &of.unmet {
        let _ = writeln!(out, "Not to be helped: {sentence}");
    }
    if !of.is_other {
        let _ = writeln!(out, "No other steps are suggested.");
        return out;
    }
    let duration = of.plan.duration.and_then(|it| it.median);
    let after =
        duration.map(|looks| format!(", through after about {} without the watch", length(f64::from(looks), every)));
    let _ = writeln!(out, "Suggested{}:\n\nplan:\n  steps:", after.unwrap_or_default());
    for step in &of.steps {
        let deadline = step.deadline.map(|it| format!(", deadline: {it}")).unwrap_or_default();
        let comparison = step.comparison.and_then(|it| serde_json::to_value(it).ok());
        let comparison = comparison.and_then(|it| it.as_str().map(|it| format!(", comparison: {it}")));
        let _ = writeln!(
            out,
            "    - {{weight: {}, bake: {}{deadline}{}}}",
            step.weight,
            step.bake,
            comparison.unwrap_or_default()
        );
    }
    out
}

/// So many looks as a length of time.
fn length(looks: f64, every: Span) -> String {
    let seconds = (looks * every.as_millis() as f64 / 1e3).round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) if m < 10 => format!("{m} min {s} s"),
        (0, m, _) => format!("{m} min"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

fn figure(value: f64) -> String {
    match value {
        v if v >= 10.0 => grouped(v.round() as u64),
        v if v >= 0.1 => format!("{}", (v * 10.0).round() / 10.0),
        v => format!("{}", (v * 1e4).round() / 1e4),
    }
}
