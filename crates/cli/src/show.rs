//! Showing: changes, gates and logs as text for people.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use change::diff::{Diff, Difference};
use change::gate::{Gate, GateState};
use change::{Change, ChangeId, explain};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A problem of a file, on one line and its hint on the next.
pub(crate) fn problem_line(problem: &Value) -> String {
    let number = |field: &str| problem.pointer(&format!("/place/{field}")).and_then(Value::as_u64).unwrap_or(1);
    let text = |field: &str| problem.get(field).and_then(Value::as_str).unwrap_or_default();
    let path = if text("path").is_empty() { String::new() } else { format!("`{}`: ", text("path")) };
    let help = if text("help").is_empty() { String::new() } else { format!("\n      help: {}", text("help")) };
    format!("  {}:{}: {path}{}{help}", number("line"), number("column"), text("message"))
}

pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|h| h.to_uppercase()));
    table.add_rows(rows);
    table.to_string()
}

/// The change list.
pub(crate) fn list(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "there is no such change yet; propose one with `clearway propose change.yaml`".into();
    }
    // What is piped into another program is given whole.
    let is_screen = std::io::stdout().is_terminal();
    let text = |row: &Value, field: &str| row.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
    let line = |row: &Value| {
        let services = row.get("services").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let services = services.collect::<Vec<_>>().join(", ");
        let status = text(row, "status");
        let status = if is_screen { shortened(&status) } else { status };
        vec![
            text(row, "id"),
            text(row, "phase").replace('_', " "),
            text(row, "risk"),
            services,
            text(row, "title"),
            status,
        ]
    };
    table(&["change", "phase", "risk", "services", "title", "status"], rows.iter().map(line).collect())
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// Everything about one change on one screen.
pub(crate) fn change(change: &Change, gates: &[Gate]) -> String {
    let proposal = &change.proposal;
    let mut out = String::new();
    let services = proposal.services.iter().cloned().collect::<Vec<_>>().join(", ");
    let _ = writeln!(out, "{}  {}", change.id, proposal.title);
    let _ = writeln!(out, "  {}", explain::headline(change));
    let _ = writeln!(out);
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {name:<12} {value}");
        }
    };
    field("phase", &change.phase().to_string());
    field("kind", &format!("{} on {services} in {}", proposal.kind, proposal.environment));
    field(
        "owner",
        &format!("{}, proposed by {} at {}", proposal.owner, explain::actor(&change.author), change.proposed_at),
    );
    field("way", &explain::course(&proposal.course).unwrap_or_default());
    proposal.secrets.iter().for_each(|finding| field("secret", &finding.to_string()));
    if let Some(assessed) = &change.assessment {
        let a = &assessed.assessment;
        field("risk", &format!("{} ({} of 100)", a.level, a.score));
    }
    field("commit", proposal.commit.as_deref().unwrap_or_default());
    field("artifact", proposal.artifact.as_deref().unwrap_or_default());
    field("effect", &proposal.effect_digest.to_string());
    let factors = change.assessment.iter().flat_map(|a| &a.assessment.factors);
    let reasons: Vec<String> = factors.map(|f| format!("    {:>3}  {}", f.points, f.reason)).collect();
    if !reasons.is_empty() {
        let _ = writeln!(out, "\nWhy this risk\n{}", reasons.join("\n"));
    }
    let _ = writeln!(out, "\nPlan ({:?}, driver {})", proposal.plan.strategy, proposal.plan.target.driver);
    out.push_str(&steps(change));
    let closed: Vec<&Gate> = gates.iter().filter(|g| !g.is_open()).collect();
    if !closed.is_empty() {
        let _ = writeln!(out, "\nClosed gates");
        closed.iter().for_each(|g| out.push_str(&gate(g)));
    }
    for warning in gates.iter().filter(|g| g.is_open()).flat_map(|g| &g.warnings) {
        let _ = writeln!(out, "\nWarning: {warning}");
    }
    if let Some(judgement) = change.any_rollout().and_then(|r| r.judgement.as_ref()) {
        let _ = writeln!(
            out,
            "\nVerdict of {}: {}\n  {}",
            change.step_name(judgement.step),
            judgement.answer,
            judgement.why
        );
        if !judgement.findings.is_empty() {
            let _ = writeln!(out, "\nOther series that move with the new version");
            for finding in &judgement.findings {
                let _ =
                    writeln!(out, "  x{:<8.2} {}  (since look {})", finding.effect, finding.name, finding.since_look);
            }
        }
    }
    for (debt, owed) in change.debts.iter().filter(|(_, owed)| owed.is_open()) {
        let _ = writeln!(out, "\nOwed: the {debt} by {} ({})", owed.due, owed.reason);
    }
    out
}

fn steps(change: &Change) -> String {
    let rollout = change.any_rollout();
    let mut out = String::new();
    for (i, step) in change.proposal.plan.steps.iter().enumerate() {
        let mark = match rollout {
            Some(r) if i < r.step => "done",
            Some(r) if i == r.step && !change.phase().is_terminal() => "now",
            _ => "",
        };
        let _ = writeln!(
            out,
            "  {:>4}  {:<6} bake {}, deadline {}  {mark}",
            i + 1,
            step.weight.to_string(),
            step.bake,
            step.deadline
        );
    }
    out
}

fn gate(gate: &Gate) -> String {
    let warnings: String = gate.warnings.iter().map(|w| format!("          warning: {w}\n")).collect();
    let others: String = gate.in_the_way.iter().map(|other| format!("          {}\n", other.in_words())).collect();
    gate_state(gate) + &others + &warnings
}

fn gate_state(gate: &Gate) -> String {
    if gate.is_open() {
        return format!("  open    {}\n", gate.gate);
    }
    let how = if gate.observed { "would be held" } else { "closed " };
    let mut lines = String::new();
    for (i, obstacle) in gate.closed_by().iter().enumerate() {
        let GateState::Closed { reason, who_can, .. } = obstacle else { continue };
        let _ = match i {
            0 => writeln!(lines, "  {how} {}: {reason}", gate.gate),
            _ => writeln!(lines, "          and: {reason}"),
        };
        if let Some(who) = who_can {
            let _ = writeln!(lines, "          who can open it: {who}");
        }
    }
    if let Some(at) = gate.state.opens_at() {
        let _ = writeln!(lines, "          opens by itself at {at}");
    }
    lines
}

/// All gates in their order.
pub(crate) fn gates(change: &Change, gates: &[Gate]) -> String {
    let mut out = format!("{}  {}\n  {}\n\n", change.id, change.proposal.title, explain::headline(change));
    gates.iter().for_each(|g| out.push_str(&gate(g)));
    out
}

/// One event of a log.
pub(crate) fn event(event: &Value) -> String {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    let time = text("time").get(11..19).unwrap_or_default();
    format!("{time}  {:<18} {}", text("actor").trim_start_matches("user:"), text("sentence"))
}
/// What is another between two revisions, one line each, those with effect first.
pub(crate) fn diff(id: ChangeId, diff: &Diff) -> String {
    let effect = if diff.effect_before == diff.effect_after {
        "the effect is the same".to_owned()
    } else {
        format!("the effect was {} and is {}", diff.effect_before.short(), diff.effect_after.short())
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
    let row = |d: &Difference| {
        let kind = if d.has_effect { "effect" } else { "words " };
        format!("  {kind}  {}: {} -> {}", d.path, value(&d.before), value(&d.after))
    };
    let mut lines = vec![format!("{id}, revision {} to {}: {effect}", diff.from, diff.to)];
    lines.extend(diff.differences.iter().map(row));
    if diff.more > 0 {
        lines.push(format!("  and {} more", diff.more));
    }
    lines.join("\n")
}
