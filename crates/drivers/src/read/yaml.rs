//! YAML: values as a file that people go on editing.
//!
//! Writes block style and leaves out nothing. What it writes, [`change::document::Document`] reads as the same values.

use change::document::Document;
use serde_json::Value;

/// A value as a YAML document.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => out.push_str(&format!("{}\n", flow(other))),
    }
    out
}

fn mapping(map: &serde_json::Map<String, Value>, indent: usize, out: &mut String) {
    for (i, (key, value)) in map.iter().enumerate() {
        // The first key of a list's item stands behind its dash.
        if i > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar(key));
        out.push(':');
        below(value, indent, out);
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for item in items {
        out.push_str(&" ".repeat(indent));
        match item {
            Value::Object(map) if !map.is_empty() && !is_short(item) => {
                out.push_str("- ");
                mapping(map, indent + 2, out);
            }
            other => out.push_str(&format!("- {}\n", flow(other))),
        }
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(map, indent + 2, out);
        }
        Value::Array(items) if items.iter().any(|i| i.is_object()) => {
            out.push('\n');
            sequence(items, indent + 2, out);
        }
        other => out.push_str(&format!(" {}\n", flow(other))),
    }
}

/// Whether an item of a list is read best in one line, as the steps of a plan are.
fn is_short(item: &Value) -> bool {
    flow(item).len() <= 60 && item.as_object().is_some_and(|map| map.values().all(|v| !v.is_object() && !v.is_array()))
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", scalar(k), flow(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        // As people write it: `30`, not `30.0`.
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    }
}

/// Plain where that is surely the same text, else in quotes.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_./%".contains(c);
    let reads_as_text = || Document::from_yaml(text).is_ok_and(|d| d.value() == &Value::String(text.to_owned()));
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_word) && reads_as_text() {
        return text.to_owned();
    }
    // A JSON string is a double-quoted scalar of YAML 1.2; single quotes need no escapes, which queries are full of.
    let has_control = text.chars().any(|c| c.is_control() || c == '\u{feff}' || ('\u{2028}'..='\u{2029}').contains(&c));
    if has_control { double_quoted(text) } else { format!("'{}'", text.replace('\'', "''")) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || c == '\u{feff}' || ('\u{2028}'..='\u{2029}').contains(&c) => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_what_people_write() {
        let value = json!({"slis": [{"name": "a", "ratio": {"bad": "x{code=~\"5..\"}", "total": "x"}, "objective": "99.5%"}], "steps": [{"weight": "5%", "bake": "5m"}], "none": [], "limit": 30.0, "text": "yes it's\n"});
        let wanted = "slis:\n  - name: a\n    ratio:\n      bad: 'x{code=~\"5..\"}'\n      total: x\n    objective: 99.5%\nsteps:\n  - {weight: 5%, bake: 5m}\nnone: []\nlimit: 30\ntext: \"yes it's\\n\"\n";
        assert_eq!(write(&value), wanted);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|n| json!(n)),
            "[ -~]{0,12}".prop_map(Value::String),
            "(true|null|~|1|1.5|- a|a: b|#c|'|\"|\\\\|\n|\t|\u{85}|\u{2028}|é|\\$x|%|,|\\[|\\]|\\{|\\}|&a|\\*a|!t|\\|){0,4}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-z :#'-]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(value in values()) {
            let text = write(&value);
            let read = Document::from_yaml(&text).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}")))?;
            prop_assert_eq!(read.value(), &value, "{}", text);
        }
    }
}
