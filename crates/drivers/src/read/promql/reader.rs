//! The grammar of PromQL: a text as an [`Expr`], or what is wrong with it and where.
//!
//! Depth and length are bounded, so that no query exhausts the stack. What people write around queries (templates) is filled in before; a window
//! may be any word, because some of them stand in brackets.

use super::{Expr, LABELS, Matcher, Selector, quoted};

/// The longest query that is read; the longest that people write are a few hundred characters.
const MOST_BYTES: usize = 16_000;
const MOST_DEPTH: usize = 60;

/// Reads a query.
///
/// # Errors
/// What is wrong with it, with the place in it.
pub(crate) fn read(text: &str) -> Result<Expr, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("the query has {} bytes; the most that is read is {MOST_BYTES}", text.len()));
    }
    let mut reader = Reader { text, rest: text, depth: 0 };
    let expr = reader.binary(0)?;
    reader.blanks();
    if reader.rest.is_empty() { Ok(expr) } else { Err(reader.expected("an operator or the end")) }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

/// Operators from the loosest to the tightest; `^` binds to the right and tighter than a minus sign.
const OPERATORS: [&[&str]; 6] =
    [&["or"], &["and", "unless"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%", "atan2"], &["^"]];
const POWER: usize = 5;

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "group",
    "limitk",
    "limit_ratio",
];

impl<'a> Reader<'a> {
    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        if level == OPERATORS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        // What an operator joins leans to the left, so that a long sum makes a deep tree as brackets do.
        let mut joined = 0;
        while let Some(operator) = self.operator(OPERATORS[level]) {
            joined += 1;
            if self.depth + joined > MOST_DEPTH {
                return Err(self.at(self.rest, "the query is nested too deep"));
            }
            let matching = self.matching()?;
            let right = if level == POWER { self.nested(|r| r.binary(POWER))? } else { self.binary(level + 1)? };
            left =
                Expr::Binary { left: Box::new(left), operator: operator.to_owned(), matching, right: Box::new(right) };
        }
        Ok(left)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.at(self.rest, "the query is nested too deep"));
        }
        let found = read(self);
        self.depth -= 1;
        found
    }

    fn operator(&mut self, known: &[&'static str]) -> Option<&'static str> {
        self.blanks();
        known.iter().copied().find(|operator| {
            if operator.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.take_word(operator)
            } else {
                self.take(operator)
            }
        })
    }

    /// `bool`, `on(...)`, `ignoring(...)`, `group_left(...)`, `group_right(...)`, in canonical form.
    fn matching(&mut self) -> Result<String, String> {
        let mut found = String::new();
        loop {
            self.blanks();
            if self.take_word("bool") {
                found.push_str(" bool");
                continue;
            }
            let Some(word) =
                ["on", "ignoring", "group_left", "group_right"].into_iter().find(|word| self.take_word(word))
            else {
                return Ok(found);
            };
            self.blanks();
            let labels = if self.rest.starts_with('(') { self.labels()? } else { String::new() };
            found.push_str(&format!(" {word}({labels})"));
        }
    }

    fn unary(&mut self) -> Result<Expr, String> {
        self.blanks();
        if self.take("-") {
            // As PromQL has it, `-2 ^ 2` is `-(2 ^ 2)`.
            return self.nested(|r| r.binary(POWER)).map(|of| Expr::Minus(Box::new(of)));
        }
        if self.take("+") {
            return self.nested(|r| r.binary(POWER));
        }
        let primary = self.primary()?;
        self.after(primary)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        match self.rest.chars().next() {
            Some('(') => {
                self.take("(");
                let of = self.nested(|r| r.binary(0))?;
                self.needed(")")?;
                Ok(Expr::Group(Box::new(of)))
            }
            Some('{') => self.selector(String::new()),
            Some('"' | '\'' | '`') => self.text().map(Expr::Text),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if is_name_start(c) => self.named(),
            _ => Err(self.expected("a series, a number or a function")),
        }
    }

    fn number(&mut self) -> Result<Expr, String> {
        let start = self.rest;
        let mut end = 0;
        let mut before = ' ';
        for c in start.chars() {
            let signs = (c == '+' || c == '-') && (before == 'e' || before == 'E');
            if !(c.is_ascii_alphanumeric() || c == '.' || signs) {
                break;
            }
            before = c;
            end += c.len_utf8();
        }
        let (word, rest) = start.split_at(end);
        let value = word
            .strip_prefix("0x")
            .map_or_else(|| word.parse::<f64>().ok(), |digits| u32::from_str_radix(digits, 16).ok().map(f64::from));
        let value = value.ok_or_else(|| self.at(start, &format!("`{word}` is not a number")))?;
        self.rest = rest;
        Ok(Expr::Number(value))
    }

    /// A word that begins a function, an aggregation, a number in letters or a series.
    fn named(&mut self) -> Result<Expr, String> {
        let end = self.rest.find(|c| !is_name_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let start = self.rest;
        self.rest = rest;
        self.blanks();
        let lower = word.to_ascii_lowercase();
        let called = self.rest.starts_with('(');
        let grouped = AGGREGATIONS.contains(&lower.as_str())
            && (called || ["by", "without"].into_iter().any(|w| self.clone_at().take_word(w)));
        if grouped {
            return self.aggregate(lower);
        }
        if called {
            return Ok(Expr::Call { name: lower, arguments: self.arguments()? });
        }
        match lower.as_str() {
            "inf" => Ok(Expr::Number(f64::INFINITY)),
            "nan" => Ok(Expr::Number(f64::NAN)),
            "by" | "without" | "on" | "ignoring" | "offset" | "bool" | "and" | "or" | "unless" => {
                Err(self.at(start, &format!("`{word}` does not belong here")))
            }
            _ => self.selector(word.to_owned()),
        }
    }

    fn clone_at(&self) -> Reader<'a> {
        Reader { text: self.text, rest: self.rest, depth: self.depth }
    }

    fn aggregate(&mut self, name: String) -> Result<Expr, String> {
        let before = self.grouping()?;
        self.blanks();
        let arguments = self.arguments()?;
        self.blanks();
        let after = if before.is_empty() { self.grouping()? } else { String::new() };
        let grouping = if before.is_empty() { after } else { before };
        // A grouping needs a blank before the bracket that follows it.
        let grouping = if grouping.is_empty() { grouping } else { format!("{grouping} ") };
        Ok(Expr::Aggregate { name, grouping, arguments })
    }

    fn grouping(&mut self) -> Result<String, String> {
        let Some(word) = ["by", "without"].into_iter().find(|word| self.take_word(word)) else {
            return Ok(String::new());
        };
        self.blanks();
        Ok(format!(" {word} ({})", self.labels()?))
    }

    fn labels(&mut self) -> Result<String, String> {
        self.needed("(")?;
        let mut found = Vec::new();
        loop {
            self.blanks();
            if self.take(")") {
                return Ok(found.join(", "));
            }
            let label = self.label()?;
            found.push(if label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                label
            } else {
                quoted(&label)
            });
            self.blanks();
            if !self.take(",") && !self.rest.starts_with(')') {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, String> {
        self.needed("(")?;
        let mut found = Vec::new();
        loop {
            self.blanks();
            if self.take(")") {
                return Ok(found);
            }
            found.push(self.nested(|r| r.binary(0))?);
            self.blanks();
            if !self.take(",") && !self.rest.starts_with(')') {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    fn selector(&mut self, name: String) -> Result<Expr, String> {
        let mut selector = Selector { name, matchers: vec![] };
        self.blanks();
        if self.take("{") {
            self.matchers(&mut selector)?;
        }
        if selector.name.is_empty() && selector.matchers.is_empty() {
            return Err(self.at(self.rest, "a selector needs a name or a label"));
        }
        Ok(Expr::Selector(selector))
    }

    fn matchers(&mut self, selector: &mut Selector) -> Result<(), String> {
        loop {
            self.blanks();
            if self.take("}") {
                return Ok(());
            }
            if self.take(LABELS) {
                selector.matchers.push(Matcher::Version);
            } else {
                self.matcher(selector)?;
            }
            self.blanks();
            if !self.take(",") && !self.rest.starts_with('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn matcher(&mut self, selector: &mut Selector) -> Result<(), String> {
        let is_quoted = self.rest.starts_with(['"', '\'', '`']);
        let label = self.label()?;
        self.blanks();
        if is_quoted && selector.name.is_empty() && self.rest.starts_with([',', '}']) {
            selector.name = label;
            return Ok(());
        }
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.take(operator));
        let operator = operator.ok_or_else(|| self.expected("`=`, `!=`, `=~` or `!~`"))?.to_owned();
        self.blanks();
        let value = self.text()?;
        selector.matchers.push(Matcher::Label { label, operator, value });
        Ok(())
    }

    fn label(&mut self) -> Result<String, String> {
        if self.rest.starts_with(['"', '\'', '`']) {
            return self.text();
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.expected("a label"));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    /// Ranges, `offset` and `@` behind an expression.
    fn after(&mut self, mut expr: Expr) -> Result<Expr, String> {
        // Each makes the tree deeper by one; nobody writes more than two.
        for _ in 0..4 {
            self.blanks();
            if self.take("[") {
                let end = self.rest.find(']').ok_or_else(|| self.expected("`]`"))?;
                let window = self.rest[..end].split_whitespace().collect::<Vec<_>>().join("");
                if window.is_empty() || window.contains(['[', '{', '(', '"']) {
                    return Err(self.expected("a length of time"));
                }
                self.rest = &self.rest[end + 1..];
                expr = Expr::Range { of: Box::new(expr), window };
            } else if self.take_word("offset") {
                self.blanks();
                let to = self.run(|c| c.is_ascii_alphanumeric() || "-+.$_".contains(c));
                expr = Expr::Moved { of: Box::new(expr), to: format!("offset {to}") };
            } else if self.take("@") {
                self.blanks();
                let to = self.run(|c| c.is_ascii_alphanumeric() || "-+.".contains(c));
                let call = if self.take("()") { "()" } else { "" };
                expr = Expr::Moved { of: Box::new(expr), to: format!("@ {to}{call}") };
            } else {
                return Ok(expr);
            }
        }
        Err(self.at(self.rest, "the query is nested too deep"))
    }

    fn run(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A text in quotes, with the escapes that people use in queries.
    fn text(&mut self) -> Result<String, String> {
        let start = self.rest;
        let mut chars = self.rest.chars();
        let quote = chars.next().filter(|c| ['"', '\'', '`'].contains(c));
        let quote = quote.ok_or_else(|| self.expected("a text in quotes"))?;
        let mut text = String::new();
        loop {
            match chars.next() {
                None => return Err(self.at(start, "this text does not end")),
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) if c == '\\' || c == '"' || c == '\'' => text.push(c),
                    _ => return Err(self.at(start, "this text has an escape that is not known")),
                },
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }

    fn needed(&mut self, token: &str) -> Result<(), String> {
        self.blanks();
        if self.take(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A word as a whole, in whatever case.
    fn take_word(&mut self, word: &str) -> bool {
        let fits = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !self.rest[word.len()..].starts_with(is_name_part);
        if fits {
            self.rest = &self.rest[word.len()..];
        }
        fits
    }

    /// Blanks and comments.
    fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
    }

    fn expected(&self, what: &str) -> String {
        let found = self.rest.chars().next().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        self.at(self.rest, &format!("expected {what}, found {found}"))
    }

    fn at(&self, rest: &str, what: &str) -> String {
        let before = &self.text[..self.text.len() - rest.len()];
        format!("character {} of the query: {what}", before.chars().count() + 1)
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}
