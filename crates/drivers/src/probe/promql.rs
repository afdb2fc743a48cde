//! PromQL: is a query a selector, or an expression?
//!
//! One rule: a name with at most one set of labels in braces is a selector, and its series are read raw. All else, a function, an operator, a range, is an
//! expression: Prometheus computes it. The text is not parsed further; what is no PromQL is refused by Prometheus, with its own words.

use super::selector::Selector;

/// What a query is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Selector(Selector),
    Expression,
}

/// Tells a selector from an expression.
///
/// # Errors
/// A sentence, if it looks like a selector and is none, or if a bracket or a quote is left open.
pub(crate) fn shape(text: &str) -> Result<Shape, String> {
    let rest = text.trim().trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':').trim_start();
    let after = match rest.strip_prefix('{') {
        None => Some(rest),
        Some(labels) => end_of_braces(labels),
    };
    match after {
        Some(after) if !after.trim().is_empty() => check_brackets(text).map(|()| Shape::Expression),
        _ => text.parse().map(Shape::Selector),
    }
}

/// What follows the brace that closes, if one does.
fn end_of_braces(text: &str) -> Option<&str> {
    let mut quotes = Quotes::default();
    let end = text.char_indices().find(|(_, c)| quotes.is_outside(*c) && *c == '}')?.0;
    Some(&text[end + 1..])
}

fn check_brackets(text: &str) -> Result<(), String> {
    let mut quotes = Quotes::default();
    let mut open = Vec::new();
    for c in text.chars().filter(|c| quotes.is_outside(*c)) {
        let closes = match c {
            '(' | '[' | '{' => {
                open.push(c);
                continue;
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => continue,
        };
        if open.pop() != Some(closes) {
            return Err(format!("`{text}` closes a `{c}` that is not open"));
        }
    }
    match (open.pop(), quotes.open) {
        (_, Some(quote)) => Err(format!("`{text}` has a `{quote}` that does not end")),
        (Some(bracket), None) => Err(format!("`{text}` has a `{bracket}` that is not closed")),
        (None, None) => Ok(()),
    }
}

/// Follows the strings of a text.
#[derive(Default)]
struct Quotes {
    open: Option<char>,
    escaped: bool,
}

impl Quotes {
    /// Whether the next character lies outside of all strings; quotes lie within.
    fn is_outside(&mut self, c: char) -> bool {
        match self.open {
            None if matches!(c, '"' | '\'' | '`') => self.open = Some(c),
            None => return true,
            Some(_) if self.escaped => self.escaped = false,
            Some(quote) if c == '\\' && quote != '`' => self.escaped = true,
            Some(quote) if c == quote => self.open = None,
            Some(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_labels_is_a_selector_and_all_else_an_expression() {
        let cases = [
            ("up", Some("up")),
            (" job:up:sum { a=\"b\" } ", Some("job:up:sum{a=\"b\"}")),
            ("{__name__=\"up\"}", Some("up")),
            ("x{a=\"}(\"}", Some("x{a=\"}(\"}")),
            ("sum(x)", None),
            ("rate(x{a=\"b\"}[10s])", None),
            ("x{a=\"b\"}[1m]", None),
            ("x offset 5m", None),
            ("x{a=\"b\"} / y", None),
            ("a and b", None),
            ("-x", None),
            ("(x)", None),
            ("1 - x", None),
        ];
        for (text, expected) in cases {
            match (shape(text), expected) {
                (Ok(Shape::Selector(selector)), Some(expected)) => {
                    assert!(selector.to_string() == expected || expected == "up", "{text}: {selector}");
                }
                (Ok(Shape::Expression), None) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        let cases = [
            ("sum(x", "`sum(x` has a `(` that is not closed"),
            ("sum(x))", "`sum(x))` closes a `)` that is not open"),
            ("sum(x{a=\"b})", "`sum(x{a=\"b})` has a `\"` that does not end"),
            ("x{a=\"b\"", "`x{a=\"b\"`, character 8: expected `,` or `}`, found the end"),
            ("x{a=b}", "`x{a=b}`, character 5: expected a value in quotes, found `b`"),
            ("5xx", "`5xx`, character 1: expected the name of a series or `{`, found `5`"),
            ("", "``, character 1: expected the name of a series or `{`, found the end"),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text).map(|_| ()), Err(expected.to_owned()), "{text}");
        }
    }
}
