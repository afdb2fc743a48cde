//! Conditions: the bounds in what Argo Rollouts calls `successCondition` and `failureCondition`.
//!
//! An expression over `result` such as `result[0] >= 0.95 && result[0] < 1`. Comparisons of the result with a number are bounds; guards against
//! missing data (`len(result) == 0`, `isNaN(result[0])`, `default(...)`) are told apart from them, because missing data has one meaning here; of
//! anything else the text is handed back.

use super::sli::Bound;

/// What a condition asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Condition {
    /// All of them have to hold.
    pub(crate) bounds: Vec<Bound>,
    /// Guards against a result that is missing.
    pub(crate) guards: Vec<String>,
    /// What is not understood.
    pub(crate) rest: Vec<String>,
}

/// What has to hold for success.
pub(crate) fn of_success(text: &str) -> Condition {
    let mut found = Condition::default();
    for any in split(text, "||") {
        let is_whole = split(text, "||").len() == 1;
        for term in split(&any, "&&") {
            match read(&term) {
                Term::Bound(bound) if is_whole => found.bounds.push(bound),
                Term::Guard => found.guards.push(term),
                // A choice between a guard and a bound is a bound where there is data.
                Term::Bound(bound) if is_choice_with_guards(text) => found.bounds.push(bound),
                _ => found.rest.push(term),
            }
        }
    }
    found
}

/// What has to hold so that it has not failed: `a || b` fails where either holds, so that neither may.
pub(crate) fn of_failure(text: &str) -> Condition {
    let mut found = Condition::default();
    for any in split(text, "||") {
        let terms = split(&any, "&&");
        let bounds: Vec<&String> = terms.iter().filter(|t| !matches!(read(t), Term::Guard)).collect();
        found.guards.extend(terms.iter().filter(|t| matches!(read(t), Term::Guard)).cloned());
        match bounds.as_slice() {
            [] => {}
            [only] => match read(only) {
                Term::Bound(Bound::AtMost(value)) => found.bounds.push(Bound::AtLeast(value)),
                Term::Bound(Bound::AtLeast(value)) => found.bounds.push(Bound::AtMost(value)),
                _ => found.rest.push((*only).clone()),
            },
            _ => found.rest.push(any.trim().to_owned()),
        }
    }
    found
}

fn is_choice_with_guards(text: &str) -> bool {
    let plain =
        split(text, "||").into_iter().filter(|any| split(any, "&&").iter().any(|t| !matches!(read(t), Term::Guard)));
    plain.count() == 1
}

#[derive(Debug, PartialEq)]
enum Term {
    Bound(Bound),
    Guard,
    Other,
}

fn read(term: &str) -> Term {
    let term = unwrapped(term);
    let squeezed: String = term.chars().filter(|c| !c.is_whitespace()).collect();
    let is_guard =
        ["len(result)", "isNaN(", "isInf(", "isNil(", "result==nil", "result!=nil", "result==[]", "result!=[]"]
            .iter()
            .any(|guard| squeezed.trim_start_matches(['!', '(']).starts_with(guard));
    if is_guard {
        return Term::Guard;
    }
    for operator in ["<=", ">=", "<", ">"] {
        let Some((left, right)) = squeezed.split_once(operator) else { continue };
        let (left, right) = (unwrapped(left), unwrapped(right));
        let is_upper = operator.starts_with('<');
        return match (is_result(left), number(right), number(left), is_result(right)) {
            (true, Some(value), ..) => Term::Bound(if is_upper { Bound::AtMost(value) } else { Bound::AtLeast(value) }),
            (_, _, Some(value), true) => {
                Term::Bound(if is_upper { Bound::AtLeast(value) } else { Bound::AtMost(value) })
            }
            _ => Term::Other,
        };
    }
    Term::Other
}

/// `result`, `result[0]`, `asFloat(result)`, `default(result[0], 0)`, `result.value`.
fn is_result(text: &str) -> bool {
    let text = unwrapped(text);
    for wrapper in ["asFloat(", "asInt(", "float(", "int(", "abs("] {
        if let Some(inner) = text.strip_prefix(wrapper).and_then(|t| t.strip_suffix(')')) {
            return is_result(inner);
        }
    }
    if let Some(inner) = text.strip_prefix("default(").and_then(|t| t.strip_suffix(')')) {
        return inner.split_once(',').is_some_and(|(value, _)| is_result(value));
    }
    let path = |rest: &str| rest.chars().all(|c| c.is_ascii_alphanumeric() || "[]._\"'-".contains(c));
    text.strip_prefix("result").is_some_and(|rest| (rest.is_empty() || rest.starts_with(['[', '.'])) && path(rest))
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b".-+eE".contains(&b));
    plain.then(|| text.parse::<f64>().ok()).flatten().filter(|n| n.is_finite())
}

/// Without the brackets around the whole.
fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        let mut depth = 0_i32;
        let closes_early = inner.chars().any(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth < 0
        });
        if closes_early {
            return text;
        }
        text = inner.trim();
    }
    text
}

/// Splits at an operator that is in no bracket and no text.
fn split(text: &str, operator: &str) -> Vec<String> {
    let text = unwrapped(text);
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    let mut quote: Option<char> = None;
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => depth += i32::from(c == '(' || c == '[') - i32::from(c == ')' || c == ']'),
        }
        if quote.is_none() && depth == 0 && text[at..].starts_with(operator) {
            parts.push(text[start..at].trim().to_owned());
            start = at + operator.len();
            skip_to = start;
        }
    }
    parts.push(text[start..].trim().to_owned());
    parts.retain(|p| !p.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bound::{AtLeast, AtMost};
    use super::*;

    #[test]
    fn comparisons_of_the_result_are_bounds() {
        for (text, bounds) in [
            ("result[0] >= 0.95", vec![AtLeast(0.95)]),
            ("result < 5", vec![AtMost(5.0)]),
            ("0.1 > result", vec![AtMost(0.1)]),
            ("(result[0] >= 0.9) && (result[0] <= 1.0)", vec![AtLeast(0.9), AtMost(1.0)]),
            ("asFloat(result.errorRate) <= 0.01", vec![AtMost(0.01)]),
            ("default(result, 0) < 0.05", vec![AtMost(0.05)]),
            ("len(result) == 0 || result[0] >= 0.95", vec![AtLeast(0.95)]),
            ("!isNaN(result[0]) && result[0] <= 3e2", vec![AtMost(300.0)]),
        ] {
            let found = of_success(text);
            assert_eq!((found.bounds, found.rest), (bounds, vec![]), "{text}");
        }
    }

    #[test]
    fn a_failure_is_what_must_not_hold() {
        for (text, bounds) in [
            ("result[0] >= 10", vec![AtMost(10.0)]),
            ("result < 0.9 || result > 1", vec![AtLeast(0.9), AtMost(1.0)]),
            ("len(result) > 0 && result[0] > 0.5", vec![AtMost(0.5)]),
        ] {
            let found = of_failure(text);
            assert_eq!((found.bounds, found.rest), (bounds, vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_handed_back() {
        let rest = |found: Condition| (found.bounds, found.rest);
        assert_eq!(rest(of_success("result == 'true'")), (vec![], vec!["result == 'true'".into()]));
        assert_eq!(
            rest(of_success("result > 1 || result < 0")),
            (vec![], vec!["result > 1".into(), "result < 0".into()])
        );
        assert_eq!(rest(of_success("all(result, {# < 0.1})")).0, vec![]);
        assert_eq!(rest(of_success("result[0] < result[1]")), (vec![], vec!["result[0] < result[1]".into()]));
        assert_eq!(rest(of_failure("result > 1 && result < 2")).0, vec![]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[()\\[\\]|&<>=! '\"a-c0-9.é]{0,40}|(result|len|[(]|[)]|[<>]=?|&&|[|][|]|0.5| ){0,12}") {
            let _ = (of_success(&text), of_failure(&text));
        }
    }
}
