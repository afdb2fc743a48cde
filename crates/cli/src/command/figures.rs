//! Figures as tables: what `clearway metrics` prints for people. The server has counted; nothing is counted here but the lengths of lists.

use serde_json::{Map, Value};

use crate::show;

/// All tables of a report, those with nothing in them left out.
pub(super) fn text(report: &Value) -> String {
    let mut parts = vec![figures(report)];
    let rest = [leads(report), waited_for(report), missing(report), policy(report)];
    parts.extend(rest.into_iter().flatten());
    parts.join("\n\n")
}

fn figures(report: &Value) -> String {
    let named = report.as_object().into_iter().flatten().filter(|(_, figure)| figure.get("samples").is_some());
    let row = |(name, figure): (&String, &Value)| {
        let unit = figure.get("unit").and_then(Value::as_str).unwrap_or_default();
        let value = figure.get("value").and_then(Value::as_f64);
        let value = value.map_or_else(|| "insufficient data".into(), |value| in_unit(value, unit));
        vec![words(name), value, figure.get("samples").map(ToString::to_string).unwrap_or_default()]
    };
    show::table(&["figure", "value", "samples"], named.map(row).collect())
}

/// Our name for a figure that goes by its number.
fn words(name: &str) -> String {
    match name {
        "M6" => "M6 without a human approval".into(),
        "M7" => "M7 complete records".into(),
        other => other.replace('_', " "),
    }
}

fn leads(report: &Value) -> Option<String> {
    let of = |part: &str, name: &str| {
        let rows = report.pointer(&format!("/M4/{part}")).and_then(Value::as_object).cloned().unwrap_or_default();
        let name = name.to_owned();
        rows.into_iter()
            .filter(|(_, lead)| number(lead, "count") > 0.0)
            .map(move |(key, lead)| lead_row(&name, &key, &lead))
    };
    let rows: Vec<_> = of("by_risk", "risk").chain(of("by_group", "group")).collect();
    titled(&["M4 approval took", "approvals", "median", "90 %"], rows)
}

fn lead_row(what: &str, key: &str, lead: &Value) -> Vec<String> {
    let time = |field: &str| match lead.get(field).and_then(Value::as_f64) {
        Some(value) => in_unit(value, "seconds"),
        None => "insufficient data".to_owned(),
    };
    vec![format!("{what} {key}"), number(lead, "count").to_string(), time("median_seconds"), time("p90_seconds")]
}

fn waited_for(report: &Value) -> Option<String> {
    let rows = report.pointer("/M4/waited_for").and_then(Value::as_array)?;
    let row = |row: &Value| {
        let who = row.get("who").and_then(Value::as_str).unwrap_or_default().replacen(':', " ", 1);
        let seconds = |field: &str| in_unit(number(row, field), "seconds");
        let count = |field: &str| number(row, field).to_string();
        vec![who, count("count"), count("waiting"), seconds("total_seconds"), seconds("longest_seconds")]
    };
    titled(&["waited for", "times", "now", "in all", "longest"], rows.iter().map(row).collect())
}

fn missing(report: &Value) -> Option<String> {
    listed(report, "/M7/missing", &["M7 lacks", "changes", ""])
}

fn policy(report: &Value) -> Option<String> {
    let blocks = listed(report, "/M12/blocks", &["M12 blocked by", "changes", ""]);
    let overrides = listed(report, "/M12/overrides", &["M12 overridden", "times", ""]);
    let list = |pointer: &str| report.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let rest = [
        ("M12 changes that no rule of approvals.yaml matched", list("/M12/coverage/unmatched_changes")),
        ("M12 rules of approvals.yaml that no change matched", list("/M12/coverage/idle_rules")),
        ("M12 reviews owed", list("/M12/debts/open")),
        ("M12 reviews overdue", list("/M12/debts/overdue")),
    ];
    let lines = rest.into_iter().filter(|(_, items)| !items.is_empty());
    let lines: Vec<String> = lines.map(|(title, items)| format!(" {title}: {}", in_short(&items))).collect();
    let parts: Vec<String> =
        blocks.into_iter().chain(overrides).chain((!lines.is_empty()).then(|| lines.join("\n"))).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// A table of names, each with how many there are and the first of them.
fn listed(report: &Value, pointer: &str, header: &[&str]) -> Option<String> {
    let groups: Map<String, Value> = report.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let row = |(name, changes): (String, Value)| {
        let changes = changes.as_array().cloned().unwrap_or_default();
        vec![name.replace('_', " "), changes.len().to_string(), in_short(&changes)]
    };
    titled(header, groups.into_iter().map(row).collect())
}

fn titled(header: &[&str], rows: Vec<Vec<String>>) -> Option<String> {
    (!rows.is_empty()).then(|| show::table(header, rows))
}

fn in_short(items: &[Value]) -> String {
    const SHOWN: usize = 8;
    let word = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    let first: Vec<String> = items.iter().take(SHOWN).map(word).collect();
    let more = if items.len() > SHOWN { format!(" and {} more", items.len() - SHOWN) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

fn number(value: &Value, field: &str) -> f64 {
    value.get(field).and_then(Value::as_f64).unwrap_or(0.0)
}

fn in_unit(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0),
        "seconds" => change::Span::millis((value * 1_000.0) as u64).to_string(),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_figure_has_its_row_and_what_is_too_little_says_so() {
        let figure = |value: Value| json!({"value": value, "samples": 2, "unit": "ratio", "changes": []});
        let report = json!({
            "from": "2026-09-01T00:00:00Z",
            "change_failure_rate": figure(0.25.into()),
            "M6": figure(Value::Null),
            "M7": {"value": 0.5, "samples": 2, "unit": "ratio", "changes": [], "missing": {"rollback_plan": ["CHG-1"]}},
            "M4": {
                "by_risk": {"low": {"count": 0}, "high": {"count": 3, "median_seconds": null, "p90_seconds": null}},
                "by_group": {"sre": {"count": 5, "median_seconds": 90.0, "p90_seconds": 600.0}},
                "waited_for": [{"who": "group:sre", "count": 5, "waiting": 1, "total_seconds": 3600.0, "longest_seconds": 600.0}],
            },
            "M12": {
                "blocks": {"no_runbook": ["CHG-1", "CHG-2"]},
                "overrides": {},
                "coverage": {"unmatched_changes": [], "idle_rules": [2], "samples": 3},
                "debts": {"open": (1..=10).map(|i| format!("CHG-{i}")).collect::<Vec<_>>(), "overdue": []},
            },
        });
        let said: Vec<String> =
            text(&report).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for wanted in [
            "change failure rate 25.0 % 2",
            "M6 without a human approval insufficient data 2",
            "M7 complete records 50.0 % 2",
            "risk high 3 insufficient data insufficient data",
            "group sre 5 90s 10m",
            "group sre 5 1 1h 10m",
            "rollback plan 1 CHG-1",
            "no runbook 2 CHG-1, CHG-2",
            "M12 rules of approvals.yaml that no change matched: 2",
            "M12 reviews owed: CHG-1, CHG-2, CHG-3, CHG-4, CHG-5, CHG-6, CHG-7, CHG-8 and 2 more",
        ] {
            assert!(said.iter().any(|line| line == wanted), "{wanted} in {said:#?}");
        }
        assert!(
            !said
                .iter()
                .any(|line| line.contains("risk low") || line.contains("overdue") || line.contains("overridden"))
        );
    }
}
