//! Sentence: figures as people read them.
//!
//! Text only; nothing is decided here, and no program may read it back. Next room: [`verdict`](crate::verdict).

use crate::check::{CheckState, FAILURES_TO_FAIL};
use crate::counted::Edge;
use crate::settings::{Comparison, SliKind};
use crate::verdict::SliVerdict;
use crate::words::grouped;

/// What was counted, what was expected, and how strong the evidence is.
pub(crate) fn counted(
    sli: &SliVerdict,
    kind: &SliKind,
    comparison: Comparison,
    edge: Option<Edge>,
    beta: f64,
) -> String {
    let name = &sli.name;
    if sli.samples.canary_total == 0 {
        return format!("`{name}`: no request of this step could be judged yet.");
    }
    let bad = match edge {
        None => "were bad".to_owned(),
        Some(Edge { ms, quantile: None }) => format!("were slower than {ms} ms"),
        Some(Edge { ms, quantile: Some(q) }) => {
            format!("were slower than the baseline's p{} (now {ms} ms)", percent(q))
        }
    };
    let (expected, of) = if comparison.has_baseline() {
        ("expected if equal", "the baseline's rate")
    } else {
        ("allowed by the objective", "what is allowed")
    };
    // Beside a baseline without a bad request the factor is large and means little.
    let times = |effect: f64| if effect > 100.0 { "over 100".to_owned() } else { figure(effect) };
    let effect = sli.effect.map_or(String::new(), |effect| format!(" ({} x {of})", times(effect)));
    format!(
        "`{name}`: {} of {} canary requests {bad}; {} {expected}{effect}. Evidence {} : 1 against '{}' since the change began; safety {} : 1 of \
         {} : 1 needed. Noise factor {:.1}.",
        grouped(sli.samples.canary_bad),
        grouped(sli.samples.canary_total),
        figure(sli.expected_bad),
        figure(sli.evidence),
        tolerated(kind, comparison),
        figure(sli.safety),
        figure(1.0 / beta),
        sli.noise,
    )
}

/// The means, the factor between them, and how strong the evidence is.
pub(crate) fn gauge(sli: &SliVerdict, kind: &SliKind, comparison: Comparison, beta: f64) -> String {
    let name = &sli.name;
    let (Some([baseline, canary]), Some(effect)) = (sli.means, sli.effect) else {
        return format!("`{name}`: no sample of this step could be judged yet.");
    };
    let beside = if comparison.has_baseline() { "in the baseline" } else { "allowed" };
    format!(
        "`{name}`: {} on average against {} {beside} ({} x as bad). Evidence {} : 1 against '{}' since the change began; safety {} : 1 of {} : 1 \
         needed. Noise factor {:.1}.",
        figure(canary),
        figure(baseline),
        figure(effect),
        figure(sli.evidence),
        tolerated(kind, comparison),
        figure(sli.safety),
        figure(1.0 / beta),
        sli.noise,
    )
}

pub(crate) fn check(name: &str, state: CheckState) -> String {
    match state {
        CheckState::NotRun => format!("`{name}` has not run in this step."),
        CheckState::Passed => format!("`{name}` passed when it last ran."),
        CheckState::Failing { in_a_row } => {
            format!("`{name}` failed {in_a_row} of the {FAILURES_TO_FAIL} times in a row that fail the change.")
        }
        CheckState::Failed { in_a_row } => format!("`{name}` failed {in_a_row} times in a row."),
    }
}

/// The null of the harm evidence in words.
fn tolerated(kind: &SliKind, comparison: Comparison) -> String {
    let worse = |margin: f64| percent(margin * comparison.widening() - 1.0);
    match kind {
        SliKind::Gauge { harm, .. } => format!("at most {} % worse", worse(1.0 + harm)),
        SliKind::Check => "passes".to_owned(),
        _ if !comparison.has_baseline() => "within the objective and its margin".to_owned(),
        SliKind::Ratio { harm_margin, .. } => format!("at most {} % worse", worse(*harm_margin)),
        SliKind::Latency { slowdown_harm, .. } => format!("at most {} % slower", worse(*slowdown_harm)),
    }
}

/// A share as per cent, without the digits that binary fractions add.
pub(crate) fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 100.0;
    format!("{rounded}")
}

/// Two or three telling digits.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if v >= 1e9 => "over 1,000,000,000".to_owned(),
        v if v >= 99.5 => grouped(v.round() as u64),
        v if v >= 9.95 => format!("{v:.0}"),
        v if v >= 0.095 => format!("{v:.1}"),
        v if v >= 0.001 || v == 0.0 => format!("{v:.3}"),
        _ => "under 0.001".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(
            [1e-9, 0.004, 0.5, 1.72, 42.4, 128.3, 1e12].map(figure),
            ["under 0.001", "0.004", "0.5", "1.7", "42", "128", "over 1,000,000,000"]
        );
        assert_eq!([0.95, 0.999, 1.1 - 1.0].map(percent), ["95", "99.9", "10"]);
    }
}
