//! PromQL: what a query counts, and the same query told apart by version.
//!
//! Reads enough of the language to find every selector of a query and to recognise the few forms that a judge can count exactly: increments of a
//! counter, a quotient of two, a quantile of a histogram. It evaluates nothing, and what it does not recognise it hands back whole. The grammar is
//! that of prometheus.io/docs/prometheus/latest/querying/basics; names of functions and types of arguments are left to the server.
//! Next: the grammar in `reader`, then [`sli`](super::sli), which makes an SLI of a form.

mod reader;

use std::fmt;

pub(crate) use reader::read;

/// The labels of the version that is read, filled in by the source.
pub(crate) const LABELS: &str = "$labels";

/// A query, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Number(f64),
    Text(String),
    Selector(Selector),
    /// A selector over a window (`[5m]`), or a subquery (`[1h:1m]`).
    Range {
        of: Box<Expr>,
        window: String,
    },
    Call {
        name: String,
        arguments: Vec<Expr>,
    },
    Aggregate {
        name: String,
        /// ` by (le)`, in canonical form; empty if there is none.
        grouping: String,
        arguments: Vec<Expr>,
    },
    Binary {
        left: Box<Expr>,
        operator: String,
        /// ` on(pod) group_left()`, in canonical form; empty if there is none.
        matching: String,
        right: Box<Expr>,
    },
    Minus(Box<Expr>),
    /// `offset 1w` or `@ end()`: another time than now.
    Moved {
        of: Box<Expr>,
        to: String,
    },
    Group(Box<Expr>),
}

/// Which series are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    Label {
        label: String,
        operator: String,
        value: String,
    },
    /// The labels of the version.
    Version,
}

impl Matcher {
    /// The value that a label has to have, or the expression that it has to match.
    pub(crate) fn wants(&self) -> Option<(&str, &str)> {
        match self {
            Self::Label { label, operator, value } if operator == "=" || operator == "=~" => Some((label, value)),
            _ => None,
        }
    }

    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::Label { label, .. } => Some(label),
            Self::Version => None,
        }
    }

    fn tells_versions_apart(&self) -> bool {
        match self {
            Self::Label { value, .. } => ["$cohort", "$canary", "$baseline"].iter().any(|word| value.contains(word)),
            Self::Version => true,
        }
    }
}

impl Selector {
    /// The same, of one version: [`LABELS`] are added unless a label tells the versions apart already.
    #[must_use]
    pub(crate) fn of_version(&self) -> Self {
        let mut told = self.clone();
        if !self.matchers.iter().any(Matcher::tells_versions_apart) {
            told.matchers.push(Matcher::Version);
        }
        told
    }

    /// The same without some matchers.
    #[must_use]
    pub(crate) fn without(&self, dropped: impl Fn(&Matcher) -> bool) -> Self {
        Self { name: self.name.clone(), matchers: self.matchers.iter().filter(|m| !dropped(m)).cloned().collect() }
    }

    #[must_use]
    pub(crate) fn named(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), matchers: self.matchers.clone() }
    }

    /// Whether every series of this one is one of `whole` too, as far as the matchers show.
    pub(crate) fn is_part_of(&self, whole: &Self) -> bool {
        self.name == whole.name && whole.matchers.iter().all(|m| self.matchers.contains(m))
    }
}

impl Expr {
    /// The same, with every selector of one version.
    #[must_use]
    pub(crate) fn of_version(&self) -> Self {
        self.rewritten(&Selector::of_version)
    }

    fn rewritten(&self, change: &impl Fn(&Selector) -> Selector) -> Self {
        let inner = |e: &Self| Box::new(e.rewritten(change));
        let all = |list: &[Self]| list.iter().map(|e| e.rewritten(change)).collect();
        match self {
            Self::Number(_) | Self::Text(_) => self.clone(),
            Self::Selector(selector) => Self::Selector(change(selector)),
            Self::Range { of, window } => Self::Range { of: inner(of), window: window.clone() },
            Self::Call { name, arguments } => Self::Call { name: name.clone(), arguments: all(arguments) },
            Self::Aggregate { name, grouping, arguments } => {
                Self::Aggregate { name: name.clone(), grouping: grouping.clone(), arguments: all(arguments) }
            }
            Self::Binary { left, operator, matching, right } => Self::Binary {
                left: inner(left),
                operator: operator.clone(),
                matching: matching.clone(),
                right: inner(right),
            },
            Self::Minus(of) => Self::Minus(inner(of)),
            Self::Moved { of, to } => Self::Moved { of: inner(of), to: to.clone() },
            Self::Group(of) => Self::Group(inner(of)),
        }
    }

    /// Whether anything below passes a test.
    pub(crate) fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        if test(self) {
            return true;
        }
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) => false,
            Self::Range { of, .. } | Self::Minus(of) | Self::Moved { of, .. } | Self::Group(of) => of.any(test),
            Self::Call { arguments, .. } | Self::Aggregate { arguments, .. } => arguments.iter().any(|e| e.any(test)),
            Self::Binary { left, right, .. } => left.any(test) || right.any(test),
        }
    }

    pub(crate) fn has_series(&self) -> bool {
        self.any(&|e| matches!(e, Self::Selector(_)))
    }

    /// Whether it looks back over a window of its own.
    pub(crate) fn looks_back(&self) -> bool {
        self.any(&|e| matches!(e, Self::Range { .. }))
    }

    /// Whether labels of one series are joined to another, which may lack those of the version.
    pub(crate) fn joins(&self) -> bool {
        self.any(&|e| matches!(e, Self::Binary { matching, .. } if matching.contains("group_")))
    }
}

/// What a query measures, where that can be counted exactly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// `offset + scale * of`, where `of` is the speed of a counter.
    Speed { of: Selector, line: Line },
    /// `offset + scale * of / per`, where both are counters.
    Quotient { of: Selector, per: Selector, line: Line },
    /// A quantile of a histogram (without `_bucket`), times a scale.
    Quantile { quantile: f64, histogram: Selector, scale: f64 },
    /// Series as they stand, averaged.
    Level { of: Selector },
    /// Anything else.
    Other,
}

/// `offset + scale * x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) offset: f64,
    pub(crate) scale: f64,
}

impl Line {
    const SAME: Self = Self { offset: 0.0, scale: 1.0 };

    /// The x at which the line has a value.
    pub(crate) fn back(self, value: f64) -> f64 {
        (value - self.offset) / self.scale
    }

    fn times(self, factor: f64) -> Self {
        Self { offset: self.offset * factor, scale: self.scale * factor }
    }

    fn plus(self, more: f64) -> Self {
        Self { offset: self.offset + more, scale: self.scale }
    }
}

/// Whether selectors that stand alone are running counts (as OpenSLO's `counter: true` says), or levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    Counters,
    Levels,
}

impl Expr {
    /// The form of the query.
    pub(crate) fn form(&self, bare: Bare) -> Form {
        if bare == Bare::Levels
            && let Some(of) = level(self)
        {
            return Form::Level { of };
        }
        if let Some((quantile, histogram, scale)) = quantile(self) {
            return Form::Quantile { quantile, histogram, scale };
        }
        match linear(self, bare) {
            Some((Counted::One(of), line)) => Form::Speed { of, line },
            Some((Counted::Quotient(of, per), line)) => Form::Quotient { of, per, line },
            None => Form::Other,
        }
    }
}

enum Counted {
    One(Selector),
    Quotient(Selector, Selector),
}

/// Without brackets and wrappers that change no value that matters to a judge.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(of) => bare(of),
        Expr::Call { name, arguments } if name == "scalar" || name == "abs" => match arguments.as_slice() {
            [only] => bare(only),
            _ => expr,
        },
        Expr::Call { name, arguments } if name == "clamp_max" || name == "clamp_min" => {
            arguments.first().map_or(expr, bare)
        }
        // A missing series of bad events is none that happened; a missing series of all events is no data. Both are so here without being said.
        Expr::Binary { left, operator, right, .. } if operator == "or" && is_filler(right) => bare(left),
        // `x > 0` keeps a quotient from dividing by nothing.
        Expr::Binary { left, operator, right, .. }
            if [">", "!="].contains(&operator.as_str()) && **right == Expr::Number(0.0) =>
        {
            bare(left)
        }
        _ => expr,
    }
}

/// `vector(0)`, or anything times zero.
fn is_filler(expr: &Expr) -> bool {
    match expr {
        Expr::Group(of) => is_filler(of),
        Expr::Call { name, arguments } => name == "vector" && matches!(arguments.as_slice(), [Expr::Number(_)]),
        Expr::Binary { left, operator, right, .. } => {
            operator == "*" && (**left == Expr::Number(0.0) || **right == Expr::Number(0.0))
        }
        _ => false,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match bare(expr) {
        Expr::Number(number) => Some(*number),
        Expr::Minus(of) => number(of).map(|n| -n),
        Expr::Binary { left, operator, right, .. } => {
            let (left, right) = (number(left)?, number(right)?);
            match operator.as_str() {
                "+" => Some(left + right),
                "-" => Some(left - right),
                "*" => Some(left * right),
                "/" => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A counter or a quotient of two, scaled and moved by numbers.
fn linear(expr: &Expr, how: Bare) -> Option<(Counted, Line)> {
    if let Some(of) = counter(expr, how) {
        return Some((Counted::One(of), Line::SAME));
    }
    let found = match bare(expr) {
        Expr::Minus(of) => linear(of, how).map(|(what, line)| (what, line.times(-1.0))),
        Expr::Binary { left, operator, right, .. } => match (operator.as_str(), number(left), number(right)) {
            ("*", Some(factor), _) => linear(right, how).map(|(what, line)| (what, line.times(factor))),
            ("*", _, Some(factor)) => linear(left, how).map(|(what, line)| (what, line.times(factor))),
            ("/", _, Some(divisor)) => linear(left, how).map(|(what, line)| (what, line.times(1.0 / divisor))),
            ("+", Some(more), _) => linear(right, how).map(|(what, line)| (what, line.plus(more))),
            ("+", _, Some(more)) => linear(left, how).map(|(what, line)| (what, line.plus(more))),
            ("-", Some(from), _) => linear(right, how).map(|(what, line)| (what, line.times(-1.0).plus(from))),
            ("-", _, Some(less)) => linear(left, how).map(|(what, line)| (what, line.plus(-less))),
            ("/", None, None) => quotient(left, right, how),
            _ => None,
        },
        _ => None,
    };
    found.filter(|(_, line)| line.scale.is_finite() && line.scale != 0.0 && line.offset.is_finite())
}

fn quotient(left: &Expr, right: &Expr, how: Bare) -> Option<(Counted, Line)> {
    let per = counter(right, how)?;
    // `(all - good) / all`
    if let Expr::Binary { left: all, operator, right: rest, .. } = bare(left)
        && operator == "-"
        && counter(all, how).as_ref() == Some(&per)
    {
        let of = counter(rest, how)?;
        return Some((Counted::Quotient(of, per), Line { offset: 1.0, scale: -1.0 }));
    }
    match linear(left, how)? {
        (Counted::One(of), line) if line.offset == 0.0 => Some((Counted::Quotient(of, per), line)),
        _ => None,
    }
}

/// The counter whose increments a query sums: the increments of each series since the last look, summed, are the same count without its window.
fn counter(expr: &Expr, how: Bare) -> Option<Selector> {
    match bare(expr) {
        Expr::Aggregate { name, arguments, .. } if name == "sum" => match arguments.as_slice() {
            [only] => counter(only, how),
            _ => None,
        },
        Expr::Call { name, arguments } if ["rate", "increase", "irate"].contains(&name.as_str()) => {
            match arguments.as_slice() {
                [Expr::Range { of, .. }] => plain(of),
                _ => None,
            }
        }
        Expr::Selector(selector) if how == Bare::Counters => Some(selector.clone()),
        _ => None,
    }
}

fn level(expr: &Expr) -> Option<Selector> {
    match bare(expr) {
        Expr::Selector(selector) => Some(selector.clone()),
        Expr::Aggregate { name, arguments, grouping } if name == "avg" && grouping.is_empty() => {
            match arguments.as_slice() {
                [only] => plain(only),
                _ => None,
            }
        }
        _ => None,
    }
}

fn plain(expr: &Expr) -> Option<Selector> {
    match expr {
        Expr::Selector(selector) => Some(selector.clone()),
        Expr::Group(of) => plain(of),
        _ => None,
    }
}

fn quantile(expr: &Expr) -> Option<(f64, Selector, f64)> {
    let scaled = |of: &Expr, factor: f64| quantile(of).map(|(q, histogram, scale)| (q, histogram, scale * factor));
    match bare(expr) {
        Expr::Binary { left, operator, right, .. } => match (operator.as_str(), number(left), number(right)) {
            ("*", Some(factor), _) => scaled(right, factor),
            ("*", _, Some(factor)) => scaled(left, factor),
            ("/", _, Some(divisor)) => scaled(left, 1.0 / divisor),
            _ => None,
        },
        Expr::Call { name, arguments } if name == "histogram_quantile" => match arguments.as_slice() {
            [which, of] => {
                let (which, buckets) = (number(which)?, counter(of, Bare::Levels)?);
                let name = buckets.name.strip_suffix("_bucket").unwrap_or(&buckets.name).to_owned();
                let histogram = buckets.without(|m| m.label() == Some("le")).named(name);
                (which > 0.0 && which < 1.0).then_some((which, histogram, 1.0))
            }
            _ => None,
        },
        _ => None,
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let quoted = if plain { None } else { Some(quoted(&self.name)) };
        let matchers = self.matchers.iter().map(Matcher::to_string);
        let inside: Vec<String> = quoted.iter().cloned().chain(matchers).collect();
        if quoted.is_none() {
            f.write_str(&self.name)?;
        }
        if inside.is_empty() { Ok(()) } else { write!(f, "{{{}}}", inside.join(",")) }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { label, operator, value } => {
                let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let label = if plain { label.clone() } else { quoted(label) };
                write!(f, "{label}{operator}{}", quoted(value))
            }
            Self::Version => f.write_str(LABELS),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: &[Self]| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Number(number) if number.is_infinite() => f.write_str(if *number > 0.0 { "Inf" } else { "-Inf" }),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Selector(selector) => write!(f, "{selector}"),
            Self::Range { of, window } => write!(f, "{of}[{window}]"),
            Self::Call { name, arguments } => write!(f, "{name}({})", list(arguments)),
            Self::Aggregate { name, grouping, arguments } => write!(f, "{name}{grouping}({})", list(arguments)),
            Self::Binary { left, operator, matching, right } => write!(f, "{left} {operator}{matching} {right}"),
            Self::Minus(of) => write!(f, "-{of}"),
            Self::Moved { of, to } => write!(f, "{of} {to}"),
            Self::Group(of) => write!(f, "({of})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn told_apart(query: &str, wanted: &str) {
        let read = read(query).unwrap_or_else(|error| panic!("`{query}`: {error}"));
        assert_eq!(read.of_version().to_string(), wanted);
    }

    #[test]
    fn every_selector_of_a_query_gets_the_labels_of_the_version() {
        told_apart("up", "up{$labels}");
        told_apart("sum(rate(x_total{code=~\"5..\"}[5m]))", "sum(rate(x_total{code=~\"5..\",$labels}[5m]))");
        told_apart(
            "sum by(le, job) (rate(h_bucket[1m] offset 1w)) / ignoring(le) group_left max(y) > bool 1",
            "sum by (le, job) (rate(h_bucket{$labels}[1m] offset 1w)) / ignoring(le) group_left() max(y{$labels}) > bool 1",
        );
        told_apart("max_over_time(rate(x[1m])[1h:5m])", "max_over_time(rate(x{$labels}[1m])[1h:5m])");
        told_apart("sum(x) by (le) # all of it\n- -y ^ 2", "sum by (le) (x{$labels}) - -y{$labels} ^ 2");
        told_apart("{__name__=~'a|b', c!=`d`}", "{__name__=~\"a|b\",c!=\"d\",$labels}");
        told_apart("{\"http.requests\", \"a.b\"=\"c\"}", "{\"http.requests\",\"a.b\"=\"c\",$labels}");
        told_apart("count(up == 1) or vector(0)", "count(up{$labels} == 1) or vector(0)");
        told_apart(
            "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")",
            "label_replace(up{$labels}, \"a\", \"$1\", \"b\", \"(.*)\")",
        );
        told_apart("topk(3, sum without (pod) (x @ end()))", "topk(3, sum without (pod) (x{$labels} @ end()))");
    }

    #[test]
    fn a_selector_that_tells_the_versions_apart_already_is_left_as_it_is() {
        told_apart("x{version=\"$cohort\"}", "x{version=\"$cohort\"}");
        told_apart("x{a=\"b\",$labels}", "x{a=\"b\",$labels}");
        told_apart("x{pod=~\"$canary-.*\"} / y", "x{pod=~\"$canary-.*\"} / y{$labels}");
    }

    fn form(query: &str, wanted: &Expect) {
        let form = read(query).unwrap_or_else(|error| panic!("`{query}`: {error}")).form(Bare::Levels);
        let shown = match form {
            Form::Speed { of, line } => format!("speed of {of}, {} + {} x", line.offset, line.scale),
            Form::Quotient { of, per, line } => format!("{of} per {per}, {} + {} x", line.offset, line.scale),
            Form::Quantile { quantile, histogram, scale } => format!("{quantile} of {histogram}, {scale} x"),
            Form::Level { of } => format!("level of {of}"),
            Form::Other => "other".into(),
        };
        wanted.assert_eq(&shown);
    }

    #[test]
    fn the_forms_that_can_be_counted_are_recognised() {
        form("sum(rate(a{b=\"c\"}[1m])) / sum(rate(a[1m]))", &expect![[r#"a{b="c"} per a, 0 + 1 x"#]]);
        form(
            "100 - sum(increase(a{b!=\"c\"}[1m])) / sum(increase(a[1m])) * 100",
            &expect![[r#"a{b!="c"} per a, 100 + -100 x"#]],
        );
        form("(sum(rate(a[1m])) - sum(rate(b[1m]))) / sum(rate(a[1m]))", &expect!["b per a, 1 + -1 x"]);
        form("100 * (1 - (sum(rate(b[1m])) or vector(0)) / (sum(rate(a[1m])) > 0))", &expect!["b per a, 100 + -100 x"]);
        form(
            "histogram_quantile(0.99, sum(rate(h_seconds_bucket{a=\"b\"}[5m])) by (le)) * 1000",
            &expect![[r#"0.99 of h_seconds{a="b"}, 1000 x"#]],
        );
        form("histogram_quantile(0.5, sum(rate(native[5m])))", &expect!["0.5 of native, 1 x"]);
        form("sum(rate(a[1m])) * 60", &expect!["speed of a, 0 + 60 x"]);
        form("avg(a{b=\"c\"})", &expect![[r#"level of a{b="c"}"#]]);
        form("max(a)", &expect!["other"]);
        form("sum(rate(a[1m] offset 1h))", &expect!["other"]);
        form("sum(rate(a[1m])) + sum(rate(b[1m]))", &expect!["other"]);
        form("sum(rate(a[1m])) / 0", &expect!["other"]);
        form("histogram_quantile(2, rate(h_bucket[5m]))", &expect!["other"]);
    }

    #[test]
    fn what_is_no_query_is_refused_with_its_place() {
        for (query, wanted) in [
            ("", "character 1 of the query: expected a series, a number or a function, found the end"),
            ("sum(rate(x[5m])", "character 16 of the query: expected `,` or `)`, found the end"),
            ("x{a=5}", "character 5 of the query: expected a text in quotes, found `5`"),
            ("x y", "character 3 of the query: expected an operator or the end, found `y`"),
            ("x{a=\"b}", "character 5 of the query: this text does not end"),
            ("5minutes", "character 1 of the query: `5minutes` is not a number"),
        ] {
            assert_eq!(read(query), Err(wanted.to_owned()), "{query}");
        }
        let deep = [
            "(".repeat(5_000),
            "-".repeat(5_000),
            "a(".repeat(5_000),
            vec!["1"; 5_000].join("+"),
            vec!["2"; 5_000].join("^"),
            format!("x{}", "[5m]".repeat(2_000)),
        ];
        for query in deep {
            assert!(read(&query).is_err_and(|error| error.contains("too deep")), "{}", &query[..20]);
        }
        assert!(read(&"x".repeat(16_001)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[-a-c0-9 (){}\\[\\]\"'`=~!<>,.+*/^@#$\\\\\n:é]{0,60}") {
            let _ = read(&text).map(|e| (e.of_version().to_string(), e.form(Bare::Counters)));
        }

        #[test]
        fn what_is_shown_reads_the_same_again(text in "(sum|avg|rate|x)?[(]?(a|b\\{c=\"d\\\\\\\\e\"\\}|3|1e-9)(\\[5m\\])?[)]?( (or|\\+|/|\\^|==) (-?y|2|sum by (l) (z)))*") {
            if let Ok(read_once) = read(&text) {
                let shown = read_once.to_string();
                prop_assert_eq!(read(&shown).map(|e| e.to_string()), Ok(shown));
            }
        }
    }
}
