//! Query: what a query of telemetry may name, and what the names stand for when one version is read.
//!
//! `$cohort`, `$canary`, `$baseline`, `$window` and `$labels` are filled in here and nowhere else, so that a value can never end the string that it stands
//! in. Knows the quotes of the languages, not their grammar: that is for the source of the query. Used by [`verification`](crate::verification).

use crate::document::{list, nearest};
use crate::time::Span;

/// The names that a query may use, without their `$`.
pub const NAMES: [&str; 5] = ["cohort", "canary", "baseline", "window", "labels"];

/// The labels of a version where clearway.toml says nothing else.
pub const DEFAULT_LABELS: &str = "version=\"$cohort\"";

/// What the names stand for while one version is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling<'a> {
    /// The version that is read: one of the two below.
    pub cohort: &'a str,
    pub canary: &'a str,
    pub baseline: &'a str,
    pub window: Span,
    /// The labels of a version: a text in which `$cohort`, `$canary` and `$baseline` are filled in too.
    pub labels: &'a str,
}

/// The language of a query: how a value is written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// PromQL. Within the string of a `=~` or `!~` a value is a literal part of the expression.
    Promql,
    /// JSONPath (RFC 9535).
    JsonPath,
    /// A URL.
    Url,
    /// Text without quotes.
    Plain,
}

/// Whether a text uses a name, such as `window`.
pub fn uses(text: &str, name: &str) -> bool {
    pieces(text).contains(&Piece::Name(name))
}

/// What is wrong with the names in a text: a sentence and a help for each.
pub fn problems(text: &str) -> Vec<(String, String)> {
    let unknown = pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Name(name) if !NAMES.contains(&name) => Some(name),
        _ => None,
    });
    let say = |name: &str| {
        let near = nearest(name, NAMES).map(|near| format!("did you mean `${near}`? ")).unwrap_or_default();
        let known: Vec<String> = NAMES.iter().map(|name| format!("${name}")).collect();
        let help = format!("{near}the names that a query may use: {}", list(known.iter().map(String::as_str)));
        (format!("`${name}` in `{text}` stands for nothing"), help)
    };
    unknown.map(say).collect()
}

/// Fills in all names. A name that is not known stays as it is: it was refused when the file was checked, or was written before names were.
///
/// # Errors
/// A sentence, where a value can't be written in the place of its name.
pub fn fill(text: &str, filling: &Filling<'_>, language: Language) -> Result<String, String> {
    let mut place = Place::new(language);
    let mut filled = String::with_capacity(text.len() + 32);
    for piece in pieces(text) {
        let value = match piece {
            Piece::Text(text) => {
                place.pass(text);
                filled.push_str(text);
                continue;
            }
            Piece::Name("cohort") => filling.cohort,
            Piece::Name("canary") => filling.canary,
            Piece::Name("baseline") => filling.baseline,
            Piece::Name("window") => {
                filled.push_str(&filling.window.to_string());
                continue;
            }
            Piece::Name("labels") => {
                if place.quote.is_some() {
                    return Err(format!("`$labels` stands for a set of labels, and in `{text}` it is within quotes"));
                }
                let without = Filling { labels: "", ..*filling };
                filled.push_str(&fill(filling.labels, &without, language)?);
                continue;
            }
            Piece::Name(other) => {
                filled.push('$');
                filled.push_str(other);
                continue;
            }
        };
        filled.push_str(&place.written(value).map_err(|why| format!("`{value}` {why} in `{text}`"))?);
    }
    Ok(filled)
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    /// Without its `$`.
    Name(&'a str),
}

/// A `$` that no letter follows is text: it ends a regular expression, or begins a path.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = text[from..].find('$').map(|at| from + at) {
        let rest = &text[at + 1..];
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        from = at + 1 + length;
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        pieces.push(Piece::Text(&text[start..at]));
        pieces.push(Piece::Name(&rest[..length]));
        start = from;
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// Where in a text a value would stand.
struct Place {
    language: Language,
    /// The quote of the string that is open.
    quote: Option<char>,
    /// Whether a backslash came before.
    escaped: bool,
    /// The last two characters outside of strings that are no blanks: `=~` and `!~` begin a regular expression.
    last: [char; 2],
}

impl Place {
    fn new(language: Language) -> Self {
        Self { language, quote: None, escaped: false, last: [' '; 2] }
    }

    fn pass(&mut self, text: &str) {
        for c in text.chars() {
            match self.quote {
                Some(_) if self.escaped => self.escaped = false,
                Some(quote) if c == '\\' && quote != '`' => self.escaped = true,
                Some(quote) if c == quote => self.quote = None,
                Some(_) => {}
                None if self.opens_string(c) => self.quote = Some(c),
                None if c.is_whitespace() => {}
                None => self.last = [self.last[1], c],
            }
        }
    }

    fn opens_string(&self, c: char) -> bool {
        match self.language {
            Language::Promql => matches!(c, '"' | '\'' | '`'),
            Language::JsonPath => matches!(c, '"' | '\''),
            Language::Url | Language::Plain => false,
        }
    }

    /// A value as it is written here, or why it can't be.
    fn written(&self, value: &str) -> Result<String, &'static str> {
        if value.chars().any(char::is_control) {
            return Err("has a control character, and can't be written");
        }
        match (self.language, self.quote) {
            (Language::Plain, _) => Ok(value.to_owned()),
            (Language::Url, _) => Ok(percent_encoded(value)),
            (_, None) if value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => Ok(value.to_owned()),
            (_, None) => Err("needs quotes around it"),
            (_, Some(quote)) => {
                let is_pattern = self.language == Language::Promql && matches!(self.last, ['=' | '!', '~']);
                let literal = if is_pattern { literal_of_pattern(value) } else { value.to_owned() };
                match quote {
                    '`' if literal.contains('`') => Err("can't be written between backticks"),
                    '`' => Ok(literal),
                    quote => Ok(literal.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"))),
                }
            }
        }
    }
}

/// A regular expression that matches this text alone.
fn literal_of_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// All but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, cohort: &str, language: Language) -> Result<String, String> {
        let filling = Filling {
            cohort,
            canary: cohort,
            baseline: "v1",
            window: Span::secs(10),
            labels: "deployment=\"shop-$cohort\",env=\"x\"",
        };
        fill(text, &filling, language)
    }

    #[test]
    fn each_name_is_filled_in() {
        let cases = [
            ("up{v=\"$cohort\"}", "up{v=\"v2\"}"),
            ("a{v=\"$canary\"} / a{v=\"$baseline\"}", "a{v=\"v2\"} / a{v=\"v1\"}"),
            ("sum(rate(x{$labels}[$window]))", "sum(rate(x{deployment=\"shop-v2\",env=\"x\"}[10s]))"),
            ("requests:$cohort", "requests:v2"),
            ("x{code=~\"5..$\",v=\"$cohort\"}", "x{code=~\"5..$\",v=\"v2\"}"),
            ("x{a=~\"$1|$\"}", "x{a=~\"$1|$\"}"),
            ("written_before{v=\"$other\"}", "written_before{v=\"$other\"}"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text, "v2", Language::Promql), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(filled("$.v['$cohort'].n", "v2", Language::JsonPath), Ok("$.v['v2'].n".into()));
        assert_eq!(filled("http://a/x?v=$cohort", "a b&c", Language::Url), Ok("http://a/x?v=a%20b%26c".into()));
    }

    #[test]
    fn a_value_never_ends_the_string_that_it_stands_in() {
        let odd = "a\"b'c\\d";
        let cases = [
            ("x{v=\"$cohort\"}", r#"x{v="a\"b'c\\d"}"#),
            ("x{v='$cohort'}", r#"x{v='a"b\'c\\d'}"#),
            ("x{v=`$cohort`}", r#"x{v=`a"b'c\d`}"#),
            (r#"x{w="\"",v="$cohort"}"#, r#"x{w="\"",v="a\"b'c\\d"}"#),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text, odd, Language::Promql), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(
            filled("x{v=`$cohort`}", "a`b", Language::Promql),
            Err("`a`b` can't be written between backticks in `x{v=`$cohort`}`".into())
        );
    }

    #[test]
    fn a_value_in_a_pattern_matches_itself_alone() {
        assert_eq!(
            filled("x{v=~\"shop-$cohort-.*\"}", "v1.2", Language::Promql),
            Ok(r#"x{v=~"shop-v1\\.2-.*"}"#.into())
        );
        assert_eq!(filled("x{v!~`$cohort`}", "a|b", Language::Promql), Ok(r"x{v!~`a\|b`}".into()));
        assert_eq!(filled("x{v=\"$cohort\"}", "v1.2", Language::Promql), Ok("x{v=\"v1.2\"}".into()));
    }

    #[test]
    fn a_value_that_is_no_name_needs_quotes() {
        assert_eq!(
            filled("requests_for_$cohort", "v1.2", Language::Promql),
            Err("`v1.2` needs quotes around it in `requests_for_$cohort`".into())
        );
        assert!(filled("$.a.$cohort", "x'y", Language::JsonPath).is_err());
        assert!(filled("x{v=\"$cohort\"}", "a\nb", Language::Promql).is_err());
        assert!(filled("x{v=\"$labels\"}", "v2", Language::Promql).is_err());
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_said_with_what_there_is() {
        assert_eq!(problems("x{v=\"$cohort\",$labels}[$window] / $.a $"), []);
        let help = "did you mean `$cohort`? the names that a query may use: `$cohort`, `$canary`, `$baseline`, `$window` or `$labels`";
        let expected = ("`$cohrt` in `x{v=\"$cohrt\"}` stands for nothing".to_owned(), help.to_owned());
        assert_eq!(problems("x{v=\"$cohrt\"}"), [expected]);
        assert_eq!(problems("x_$cohort_total")[0].0, "`$cohort_total` in `x_$cohort_total` stands for nothing");
    }
}
