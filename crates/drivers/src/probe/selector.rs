//! Selectors: which series are meant, in the grammar of PromQL's instant vector selectors.
//!
//! `name{label="v", a!="b", c=~"re", d!~"re"}`. An expression is no selector: counting and dividing is the judge's. A label that a series lacks is
//! like an empty one, and a regular expression has to match the whole value.

use std::collections::BTreeMap;
use std::fmt;
use std::str::{Chars, FromStr};

use regex::{Regex, RegexBuilder};

use super::exposition::NAME;

/// A selector that was read; shown, it is in its canonical form.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    name: Option<String>,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    test: Test,
    value: String,
}

#[derive(Clone, Debug)]
enum Test {
    Is,
    IsNot,
    Matches(Regex),
    MatchesNot(Regex),
}

/// Bounds the memory of a compiled expression.
const MOST_REGEX_BYTES: usize = 1 << 20;

impl Selector {
    /// The selector of the bucket series of a histogram: `name{...}` as `name_bucket{...}`.
    ///
    /// # Errors
    /// If it names no series.
    pub(crate) fn buckets(&self) -> Result<Self, String> {
        let name = self.name.as_ref().ok_or_else(|| format!("`{self}` names no histogram: write `name{{...}}`"))?;
        Ok(Self { name: Some(format!("{name}_bucket")), matchers: self.matchers.clone() })
    }

    /// Whether a series is meant; its name is the label `__name__`.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |label: &str| labels.get(label).map_or("", String::as_str);
        self.name.as_deref().is_none_or(|name| name == value(NAME))
            && self.matchers.iter().all(|m| m.matches(value(&m.label)))
    }
}

impl Matcher {
    fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Is => value == self.value,
            Test::IsNot => value != self.value,
            Test::Matches(regex) => regex.is_match(value),
            Test::MatchesNot(regex) => !regex.is_match(value),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or_default())?;
        if self.matchers.is_empty() {
            return Ok(());
        }
        let matchers: Vec<String> = self.matchers.iter().map(Matcher::to_string).collect();
        write!(f, "{{{}}}", matchers.join(","))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.test {
            Test::Is => "=",
            Test::IsNot => "!=",
            Test::Matches(_) => "=~",
            Test::MatchesNot(_) => "!~",
        };
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{operator}\"{value}\"", self.label)
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, rest: text };
        reader.blanks();
        let name = reader.word(|c| c == ':').map(str::to_owned);
        reader.blanks();
        let matchers = if reader.take("{") { reader.matchers()? } else { vec![] };
        reader.blanks();
        if name.is_none() && reader.rest == text.trim_start() {
            return Err(reader.expected("the name of a series or `{`"));
        }
        if !reader.rest.is_empty() {
            let help = "a selector such as `name{label=\"value\"}` is meant, without functions, ranges and arithmetic";
            return Err(format!("{}; {help}", reader.expected("the end")));
        }
        // As PromQL has it: a selector that an empty series passes would read everything.
        if name.is_none() && matchers.iter().all(|matcher| matcher.matches("")) {
            return Err(format!("`{text}` selects every series; name one, or a label that it has"));
        }
        Ok(Self { name, matchers })
    }
}

/// What is left of a selector.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// After `{`, to its `}`.
    fn matchers(&mut self) -> Result<Vec<Matcher>, String> {
        let mut matchers = Vec::new();
        loop {
            self.blanks();
            if self.take("}") {
                return Ok(matchers);
            }
            let label = self.word(|_| false).ok_or_else(|| self.expected("the name of a label"))?;
            self.blanks();
            matchers.push(self.matcher(label)?);
            self.blanks();
            if !self.take(",") && !self.rest.starts_with('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn matcher(&mut self, label: &str) -> Result<Matcher, String> {
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.take(operator));
        let operator = operator.ok_or_else(|| self.expected("`=`, `!=`, `=~` or `!~`"))?;
        self.blanks();
        let start = self.rest;
        let value = self.quoted()?;
        let regex = || self.regex(start, &value);
        let test = match operator {
            "=" => Test::Is,
            "!=" => Test::IsNot,
            "=~" => Test::Matches(regex()?),
            _ => Test::MatchesNot(regex()?),
        };
        Ok(Matcher { label: label.to_owned(), test, value })
    }

    /// Anchored at both ends, and `.` matches a line break too, as Prometheus has it.
    fn regex(&self, start: &str, value: &str) -> Result<Regex, String> {
        // Alone first: `a)(b` would be sound only between our brackets.
        let sound = regex_syntax_of(value).and_then(|()| {
            RegexBuilder::new(&format!("^(?s:{value})$"))
                .size_limit(MOST_REGEX_BYTES)
                .build()
                .map_err(|e| last_line(&e))
        });
        sound.map_err(|why| self.at(start, &format!("`{value}` is not a regular expression: {why}")))
    }

    fn quoted(&mut self) -> Result<String, String> {
        let start = self.rest;
        let quote = self.rest.chars().next().filter(|c| ['"', '\'', '`'].contains(c));
        let quote = quote.ok_or_else(|| self.expected("a value in quotes"))?;
        let mut chars = self.rest[1..].chars();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => {
                    let escaped = escape(&mut chars, quote);
                    value.push(escaped.ok_or_else(|| self.at(start, "this value has an escape that is not known"))?);
                }
                Some('\n') if quote != '`' => return Err(self.at(start, "this value does not end in its line")),
                Some(c) => value.push(c),
                None => return Err(self.at(start, "this value does not end")),
            }
        }
        self.rest = chars.as_str();
        Ok(value)
    }

    fn word(&mut self, also: fn(char) -> bool) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || also(c);
        let (word, rest) = self.rest.split_at(self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len()));
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn expected(&self, what: &str) -> String {
        let found = self.rest.chars().next().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        self.at(self.rest, &format!("expected {what}, found {found}"))
    }

    /// A complaint about the place where `rest` begins.
    fn at(&self, rest: &str, what: &str) -> String {
        let before = &self.text[..self.text.len() - rest.len()];
        format!("`{}`, character {}: {what}", self.text, before.chars().count() + 1)
    }
}

/// One character of a string literal of PromQL, which are those of Go, after the backslash.
fn escape(chars: &mut Chars<'_>, quote: char) -> Option<char> {
    Some(match chars.next()? {
        'a' => '\u{07}',
        'b' => '\u{08}',
        'f' => '\u{0c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{0b}',
        '\\' => '\\',
        c if c == quote => c,
        // A byte in Go: one of ASCII is a character too, others are a part of one at most.
        'x' => number(chars, 16, 2).filter(char::is_ascii)?,
        'u' => number(chars, 16, 4)?,
        'U' => number(chars, 16, 8)?,
        _ => return None,
    })
}

fn number(chars: &mut Chars<'_>, radix: u32, digits: usize) -> Option<char> {
    let mut number: u32 = 0;
    for _ in 0..digits {
        number = number.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    char::from_u32(number)
}

fn regex_syntax_of(value: &str) -> Result<(), String> {
    RegexBuilder::new(value).size_limit(MOST_REGEX_BYTES).build().map(|_| ()).map_err(|error| last_line(&error))
}

fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_selector_is_shown_in_its_canonical_form() {
        let cases = [
            ("up", "up"),
            (" up { } ", "up"),
            ("job:up:rate5m{a=\"b\"}", "job:up:rate5m{a=\"b\"}"),
            ("{ a = 'b' , c != `d\\` , }", "{a=\"b\",c!=\"d\\\\\"}"),
            ("x{a=~\"5..\",b!~'v\\\\d+'}", "x{a=~\"5..\",b!~\"v\\\\d+\"}"),
            ("x{a=\"\\n\\\"\\x41\\u00fc\\U0001F600\"}", "x{a=\"\\n\\\"Aü😀\"}"),
        ];
        for (given, shown) in cases {
            let selector: Selector = given.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(selector.to_string(), shown);
            assert_eq!(shown.parse::<Selector>().map(|again| again.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn a_series_is_selected_by_its_name_and_all_labels() {
        let requests = series(&[(NAME, "requests_total"), ("version", "v2"), ("code", "503"), ("text", "a\nb")]);
        let cases = [
            ("requests_total", true),
            ("requests", false),
            ("{__name__=\"requests_total\"}", true),
            ("{__name__=~\"requests.*\",version=\"v2\"}", true),
            ("requests_total{version=\"v2\"}", true),
            ("requests_total{version=\"v\"}", false),
            ("requests_total{version!=\"v1\",code=~\"5..\"}", true),
            ("requests_total{code=~\"5\"}", false),
            ("requests_total{code=~\"4..|5..\"}", true),
            ("requests_total{code!~\"5..\"}", false),
            ("requests_total{text=~\"a.b\"}", true),
            ("requests_total{absent=\"\"}", true),
            ("requests_total{absent!=\"x\"}", true),
            ("requests_total{absent=~\".+\"}", false),
        ];
        for (selector, expected) in cases {
            let selector: Selector = selector.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(selector.matches(&requests), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_place() {
        let help = "a selector such as `name{label=\"value\"}` is meant, without functions, ranges and arithmetic";
        let cases = [
            ("", "``, character 1: expected the name of a series or `{`, found the end".to_owned()),
            ("5xx", "`5xx`, character 1: expected the name of a series or `{`, found `5`".into()),
            ("rate(x[1m])", format!("`rate(x[1m])`, character 5: expected the end, found `(`; {help}")),
            ("x{a=\"b\"}[1m]", format!("`x{{a=\"b\"}}[1m]`, character 9: expected the end, found `[`; {help}")),
            ("x{a=\"b\"", "`x{a=\"b\"`, character 8: expected `,` or `}`, found the end".into()),
            ("x{a}", "`x{a}`, character 4: expected `=`, `!=`, `=~` or `!~`, found `}`".into()),
            ("x{a=b}", "`x{a=b}`, character 5: expected a value in quotes, found `b`".into()),
            ("x{ä=\"b\"}", "`x{ä=\"b\"}`, character 3: expected the name of a label, found `ä`".into()),
            ("x{a=\"b}", "`x{a=\"b}`, character 5: this value does not end".into()),
            ("x{a=\"\\q\"}", "`x{a=\"\\q\"}`, character 5: this value has an escape that is not known".into()),
            ("x{a=\"\\xff\"}", "`x{a=\"\\xff\"}`, character 5: this value has an escape that is not known".into()),
            ("x{a=~\"(\"}", "`x{a=~\"(\"}`, character 6: `(` is not a regular expression: unclosed group".into()),
            (
                "x{a=~\"a)(b\"}",
                "`x{a=~\"a)(b\"}`, character 6: `a)(b` is not a regular expression: unopened group".into(),
            ),
            ("{}", "`{}` selects every series; name one, or a label that it has".into()),
            ("{a=~\".*\"}", "`{a=~\".*\"}` selects every series; name one, or a label that it has".into()),
        ];
        for (selector, error) in cases {
            assert_eq!(selector.parse::<Selector>().map(|s| s.to_string()), Err(error), "{selector}");
        }
        let huge = "x{a=~\"(a{1000}){1000}\"}".parse::<Selector>().map(|s| s.to_string());
        assert!(huge.is_err_and(|error| error.contains("exceeds size limit")));
    }

    #[test]
    fn no_mutation_of_a_selector_makes_the_parser_panic() {
        let whole = "a:b{c=\"d\\n\\u00fc\",e!=`f`,g=~'h.*|ü',i!~\"j\"}";
        let odd = ["{", "}", "\"", "'", "`", "\\", "=", "~", "!", ",", "(", "ü", "\n", ""];
        let mut sound = 0;
        for (at, c) in whole.char_indices() {
            for put in odd {
                let replaced = format!("{}{put}{}", &whole[..at], &whole[at + c.len_utf8()..]);
                let inserted = format!("{}{put}{}", &whole[..at], &whole[at..]);
                for text in [&replaced, &inserted, &whole[..at].to_owned()] {
                    sound += usize::from(text.parse::<Selector>().is_ok());
                }
            }
        }
        assert!(sound > 50, "the mutations reach sound selectors too");
    }
}
