//! Visible: what other people wrote, as a terminal may show it.
//!
//! A reason or a name may hold what a terminal obeys: colours, a cleared screen, letters that run backwards, a line that looks like one of ours. All
//! that is printed for people passes here, and what would act is shown as an escape instead. JSON does not pass: programs get what was written.

use std::borrow::Cow;

use serde_json::Value;

/// The fields of an answer that are one line when they are shown.
const ONE_LINE: [&str; 17] = [
    "reason", "reasons", "why", "title", "sentence", "name", "names", "because", "who_can", "warnings", "comment",
    "note", "owner", "summary", "incident", "freeze", "window",
];

/// A text in which nothing moves the cursor, colours or turns around; its own lines stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let acts = |letter: char| letter != '\n' && acts(letter);
    if text.contains(acts) { escaped(text, acts).into() } else { text.into() }
}

/// The same for what is one line.
fn one_line(text: &str) -> String {
    escaped(text.trim_end_matches(['\r', '\n']), acts)
}

fn escaped(text: &str, acts: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if acts(letter) { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

fn acts(letter: char) -> bool {
    let turns =
        matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let parts_lines = matches!(letter, '\u{2028}' | '\u{2029}');
    letter != '\t' && (letter.is_control() || turns || parts_lines)
}

/// An answer of the server, for people: no field that is one line pretends to be several.
pub(crate) fn in_lines(mut answer: Value) -> Value {
    flatten(&mut answer);
    answer
}

fn flatten(value: &mut Value) {
    match value {
        Value::Array(each) => each.iter_mut().for_each(flatten),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if ONE_LINE.contains(&name.as_str()) { each_line(field) } else { flatten(field) }
            }
        }
        _ => {}
    }
}

fn each_line(value: &mut Value) {
    match value {
        Value::String(text) => *text = one_line(text),
        Value::Array(each) => each.iter_mut().for_each(each_line),
        other => flatten(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // X13
    #[test]
    fn nothing_that_somebody_wrote_acts_on_the_terminal_of_another() {
        assert_eq!(visible("evil \u{1b}[2J\u{1b}[31mred"), "evil \\u{1b}[2J\\u{1b}[31mred");
        assert_eq!(visible("a\rb\u{7}\u{9b}c\u{202e}d\u{2066}"), "a\\rb\\u{7}\\u{9b}c\\u{202e}d\\u{2066}");
        assert_eq!(visible("two\nlines\tand Grüße 日本"), "two\nlines\tand Grüße 日本");
    }

    // X13
    #[test]
    fn a_reason_of_several_lines_does_not_pretend_to_be_lines_of_ours() {
        let answer = json!({"holds": [{"reason": "evil\r\nHOLD-9 all\n", "description": "two\nlines"}]});
        assert_eq!(
            in_lines(answer),
            json!({"holds": [{"reason": "evil\\r\\nHOLD-9 all", "description": "two\nlines"}]})
        );
    }
}
