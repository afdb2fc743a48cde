//! Report: the verdict on one recording, for people and for programs.
//!
//! The answer comes first, then one sentence why, then the figures, then what was assumed. Text and JSON say the same; nothing is decided here.
//! Next room: [`picture`](super::picture).

use std::fmt::Write as _;

use judge::{Answer, Kind, Reason, Samples, SliVerdict, Verdict};
use serde::Serialize;

use super::case::Case;
use super::trajectory::{Decided, Outcome};
use super::words::{factor, figure, grouped, list, odds, percent, span};

/// What `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// In a list of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub verdict: Answer,
    /// Seconds from the first look to the one that decided it.
    pub decided_at_s: Option<f64>,
    pub looks: u32,
    pub slis: Vec<SliReport>,
    /// The most false rollbacks among harmless canaries, over all SLIs and looks.
    pub false_rollback_budget: f64,
    pub why: String,
    /// Of harm, over all SLIs: a fail at one over the budget.
    pub evidence: f64,
    pub look_every_s: f64,
    pub reasons: Vec<Reason>,
    pub notes: Vec<String>,
    pub assumed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SliReport {
    pub name: String,
    pub kind: Kind,
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub evidence: f64,
    pub safety: f64,
    pub samples: Samples,
    pub implicated: bool,
    pub why: String,
    pub threshold_ms: Option<f64>,
    pub means: Option<[f64; 2]>,
    pub noise: f64,
}

impl Report {
    pub(crate) fn new(case: &Case, outcome: &Outcome) -> Self {
        let mut notes = case.notes.clone();
        if let Some(before) = outcome.passed_before {
            let after = after(before);
            notes.push(format!(
                "the bake had passed {after}; the harm showed later, as it does after a rollout that goes on"
            ));
        }
        let Verdict { answer, reasons, slis, evidence, alpha, .. } = &outcome.verdict;
        Self {
            file: None,
            verdict: *answer,
            decided_at_s: outcome.decided.map(|decided| decided.at.as_millis() as f64 / 1e3),
            looks: outcome.looks,
            slis: slis.iter().map(SliReport::from).collect(),
            false_rollback_budget: *alpha,
            why: why(outcome),
            evidence: *evidence,
            look_every_s: case.every.as_millis() as f64 / 1e3,
            reasons: reasons.clone(),
            notes,
            assumed: case.assumed.clone(),
        }
    }
}

impl From<&SliVerdict> for SliReport {
    fn from(sli: &SliVerdict) -> Self {
        Self {
            name: sli.name.clone(),
            kind: sli.kind,
            effect: sli.effect,
            interval: sli.approximate_interval,
            evidence: sli.evidence,
            safety: sli.safety,
            samples: sli.samples.clone(),
            implicated: sli.implicated,
            why: sli.why.clone(),
            threshold_ms: sli.threshold_ms,
            means: sli.means,
            noise: sli.noise,
        }
    }
}

/// The word for an answer, as the JSON has it.
pub(crate) fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Pass => "pass",
        Answer::Fail => "fail",
        Answer::Insufficient => "insufficient",
        Answer::Unreachable => "unreachable",
    }
}

/// One sentence, or a few.
pub(crate) fn why(outcome: &Outcome) -> String {
    let verdict = &outcome.verdict;
    let when = outcome.decided.map(after).unwrap_or_default();
    match verdict.answer {
        Answer::Fail => {
            let names = list(verdict.slis.iter().filter(|sli| sli.implicated).map(|sli| sli.name.as_str()));
            let by = if names.is_empty() { "all SLIs together".to_owned() } else { names };
            let texts: Vec<&str> = verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
            format!("failed {when} by {by}. {}", texts.join(" "))
        }
        Answer::Pass => format!(
            "passed {when}: every SLI is shown safe; the evidence of harm is {}, and {} would fail it",
            odds(verdict.evidence),
            odds(1.0 / verdict.alpha)
        ),
        Answer::Insufficient | Answer::Unreachable => {
            let against: Vec<&Reason> = verdict.reasons.iter().filter(|reason| !reason.code.is_note()).collect();
            let more = match against.len() {
                0 | 1 => String::new(),
                2 => " (and one reason more)".to_owned(),
                n => format!(" (and {} reasons more)", n - 1),
            };
            let first = against.first().map_or("nothing was looked at", |reason| reason.text.as_str());
            format!("undecided after {} looks: {first}{more}", outcome.looks)
        }
    }
}

fn after(decided: Decided) -> String {
    match decided.at.as_millis() {
        0 => "at the first look".to_owned(),
        ms => format!("{} after the first look (look {})", span(ms), decided.look),
    }
}

const ADVICE: [(Answer, &str); 4] = [
    (Answer::Pass, "PASS: shown to be safe"),
    (Answer::Fail, "FAIL: worse than the baseline; roll it back"),
    (Answer::Insufficient, "INSUFFICIENT: neither shown safe nor shown harmful; hold"),
    (Answer::Unreachable, "UNREACHABLE: the telemetry did not answer; hold"),
];

/// The report for people.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    let headline = ADVICE.iter().find(|(answer, _)| *answer == report.verdict).map_or("", |(_, text)| text);
    let _ = writeln!(out, "{headline}\n  {}\n", report.why);
    let rows = report.slis.iter().map(row).collect();
    let head = ["SLI", "effect", "95 % interval", "harm evidence", "safety", "canary", "baseline", ""];
    out.push_str(&crate::show::table(&head, rows));
    let _ = writeln!(
        out,
        "\n\nOver all SLIs the evidence of harm is {}; {} fails it. At most {} of harmless canaries fail, all looks included.",
        odds(report.evidence),
        odds(1.0 / report.false_rollback_budget),
        percent(report.false_rollback_budget)
    );
    let against = report.reasons.iter().filter(|r| !r.code.is_note()).map(|r| r.text.clone()).collect::<Vec<_>>();
    if report.verdict != Answer::Fail {
        section(&mut out, "What stands in the way", &against);
    }
    let noted = report.reasons.iter().filter(|r| r.code.is_note()).map(|r| r.text.clone());
    section(&mut out, "Assumed", &noted.chain(report.assumed.iter().cloned()).collect::<Vec<_>>());
    section(&mut out, "Notes", &report.notes);
    out
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for line in lines {
        let _ = writeln!(out, "  - {}", line.replace('\n', "\n    "));
    }
}

fn row(sli: &SliReport) -> Vec<String> {
    let dash = || "-".to_owned();
    let Samples { baseline_total, baseline_bad, canary_total, canary_bad } = sli.samples;
    let of = |bad: u64, total: u64| format!("{} of {}", grouped(bad), grouped(total));
    let mean = |at: usize| sli.means.map_or_else(dash, |means| figure(means[at]));
    let (canary, baseline) = match sli.kind {
        Kind::Gauge => (mean(1), mean(0)),
        Kind::Check => (format!("{} failed", of(canary_bad, canary_total)), dash()),
        Kind::Ratio | Kind::Latency => (of(canary_bad, canary_total), of(baseline_bad, baseline_total)),
    };
    let slower = sli.threshold_ms.map(|ms| format!(" > {ms} ms")).unwrap_or_default();
    let is_check = sli.kind == Kind::Check;
    vec![
        format!("{}{slower}", sli.name),
        sli.effect.map_or_else(dash, |effect| format!("x {}", factor(effect))),
        sli.interval.map_or_else(dash, |[low, high]| format!("{} to {}", factor(low), factor(high))),
        if is_check { dash() } else { odds(sli.evidence) },
        if is_check { dash() } else { odds(sli.safety) },
        canary,
        baseline,
        if sli.implicated { "<- harm".to_owned() } else { String::new() },
    ]
}
