//! Exposition: metrics pages as text, in the format of Prometheus (0.0.4) and in OpenMetrics (1.0).
//!
//! A page is taken whole or not at all: one line that can't be read makes it an error, since a page that was cut off or is something else looks like
//! a quiet service otherwise. Values are taken as they are. Native histograms and names in quotes are not read.

use std::collections::{BTreeMap, BTreeSet};

use change::Timestamp;

/// The label under which the name of a series stands, as in the data model of Prometheus.
pub(crate) const NAME: &str = "__name__";

/// How a page is written; its content type says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// # Errors
    /// If a page of this content type is no metrics page.
    pub(crate) fn of(content_type: &str) -> Result<Self, String> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/openmetrics-text" => Ok(Self::OpenMetrics),
            // Small exporters name none, or the one of plain files; a page that is something else does not pass the parser.
            "" | "text/plain" | "application/octet-stream" => Ok(Self::Text),
            other => Err(format!("is not a metrics page but `{other}`")),
        }
    }
}

/// One sample of a page. The name is the label [`NAME`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    pub(crate) at: Option<Timestamp>,
}

/// Reads a page.
///
/// # Errors
/// A sentence with the number of the line.
pub(crate) fn parse(page: &[u8], format: Format, most_samples: usize) -> Result<Vec<Sample>, String> {
    let page = std::str::from_utf8(page)
        .map_err(|error| format!("is not a metrics page: it is no text at byte {}", error.valid_up_to()))?;
    if page.trim_start().starts_with('<') {
        return Err("is not a metrics page but HTML or XML".into());
    }
    if page.trim_start().starts_with(['{', '[']) {
        return Err("is not a metrics page but JSON".into());
    }
    check_end(page, format)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, line) in page.lines().enumerate() {
        let at = |error: String| format!("is not a metrics page: line {}: {error}", i + 1);
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sample = Line { rest: line, format }.sample().map_err(at)?;
        if samples.len() == most_samples {
            return Err(format!("has more than {most_samples} samples, the most that are read"));
        }
        if !seen.insert(sample.labels.clone()) {
            return Err(format!("has the series {} twice, the second time in line {}", shown(&sample.labels), i + 1));
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// A page that was cut off may end in the middle of a number, and then that number is another.
fn check_end(page: &str, format: Format) -> Result<(), String> {
    match format {
        Format::OpenMetrics if page.trim_end_matches('\n').lines().next_back() != Some("# EOF") => {
            Err("is cut off: it does not end with `# EOF`".into())
        }
        Format::Text if !page.is_empty() && !page.ends_with('\n') => {
            Err("is cut off: its last line does not end".into())
        }
        _ => Ok(()),
    }
}

/// A series as people write it: `name{label="value"}`.
pub(crate) fn shown(labels: &BTreeMap<String, String>) -> String {
    let name = labels.get(NAME).map_or("", String::as_str);
    let pairs: Vec<String> =
        labels.iter().filter(|(label, _)| *label != NAME).map(|(l, v)| format!("{l}={v:?}")).collect();
    format!("`{name}{{{}}}`", pairs.join(","))
}

/// What is left of a line.
struct Line<'a> {
    rest: &'a str,
    format: Format,
}

impl<'a> Line<'a> {
    fn sample(mut self) -> Result<Sample, String> {
        let name = self.word(|c| c == ':').ok_or_else(|| self.expected("the name of a series"))?;
        self.blanks();
        let mut labels = if self.rest.starts_with('{') { self.labels()? } else { BTreeMap::new() };
        if labels.insert(NAME.into(), name.into()).is_some() {
            return Err(format!("the label `{NAME}` is reserved"));
        }
        self.blanks();
        let value = self.number("a value")?;
        let at = self.timestamp()?;
        self.exemplar()?;
        self.blanks();
        if self.rest.is_empty() { Ok(Sample { labels, value, at }) } else { Err(self.expected("the end of the line")) }
    }

    fn labels(&mut self) -> Result<BTreeMap<String, String>, String> {
        self.take('{')?;
        let mut labels = BTreeMap::new();
        loop {
            self.blanks();
            if self.rest.starts_with('}') {
                break;
            }
            let label = self.word(|_| false).ok_or_else(|| self.expected("the name of a label or `}`"))?;
            self.blanks();
            self.take('=')?;
            self.blanks();
            let value = self.quoted()?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("the label `{label}` stands there twice"));
            }
            self.blanks();
            if !self.rest.starts_with('}') {
                self.take(',')?;
            }
        }
        self.take('}')?;
        Ok(labels)
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.take('"')?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    // Kept as it is, as Prometheus does: exporters on Windows forget to escape their paths.
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err("the value of a label does not end".into())
    }

    fn number(&mut self, what: &str) -> Result<f64, String> {
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let number = word.parse().map_err(|_| self.expected(what))?;
        self.rest = rest;
        Ok(number)
    }

    /// Milliseconds in the text format, seconds in OpenMetrics.
    fn timestamp(&mut self) -> Result<Option<Timestamp>, String> {
        self.blanks();
        if self.rest.is_empty() || self.rest.starts_with('#') {
            return Ok(None);
        }
        let millis = match self.format {
            Format::Text => self.number("a time in milliseconds")?,
            Format::OpenMetrics => self.number("a time in seconds")? * 1_000.0,
        };
        timestamp(millis).map(Some).ok_or_else(|| "the time of the sample is outside of the calendar".into())
    }

    /// ` # {labels} value [time]` in OpenMetrics: checked, and left out.
    fn exemplar(&mut self) -> Result<(), String> {
        self.blanks();
        if self.format == Format::Text || !self.rest.starts_with('#') {
            return Ok(());
        }
        self.take('#')?;
        self.blanks();
        self.labels()?;
        self.blanks();
        self.number("the value of an exemplar")?;
        self.timestamp()?;
        Ok(())
    }

    /// A name of ASCII letters, digits and `_`, and of what else is allowed.
    fn word(&mut self, also: fn(char) -> bool) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || also(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    fn take(&mut self, c: char) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(c).ok_or_else(|| self.expected(&format!("`{c}`")))?;
        Ok(())
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.chars().filter(|c| !c.is_control()).take(20).collect();
        let found = if found.is_empty() { "the end of the line".to_owned() } else { format!("`{found}`") };
        format!("expected {what}, found {found}")
    }
}

/// A time from milliseconds since 1970, if the calendar has it.
pub(crate) fn timestamp(millis: f64) -> Option<Timestamp> {
    let whole = millis.is_finite() && millis.abs() < 9e15;
    whole.then(|| Timestamp::from_millisecond(millis.round() as i64).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> Result<Vec<Sample>, String> {
        parse(page.as_bytes(), Format::Text, 100)
    }

    fn open_metrics(page: &str) -> Result<Vec<Sample>, String> {
        parse(page.as_bytes(), Format::OpenMetrics, 100)
    }

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        Sample { labels, value, at: None }
    }

    const PAGE: &str = "# HELP http_requests_total All requests.\n# TYPE http_requests_total counter\n\
        http_requests_total{version=\"v1\",code=\"5xx\"} 3\n\n\
        http_requests_total { version = \"v2\" , code=\"2xx\", } 1.5e3 1700000000123\n\
        path{p=\"C:\\\\a\\n\\\"b\\\" \\d ü\"} 0\nup 1\n";

    #[test]
    fn the_text_format_is_read() {
        let mut second = sample(&[(NAME, "http_requests_total"), ("version", "v2"), ("code", "2xx")], 1500.0);
        second.at = timestamp(1_700_000_000_123.0);
        let expected = vec![
            sample(&[(NAME, "http_requests_total"), ("version", "v1"), ("code", "5xx")], 3.0),
            second,
            sample(&[(NAME, "path"), ("p", "C:\\a\n\"b\" \\d ü")], 0.0),
            sample(&[(NAME, "up")], 1.0),
        ];
        assert_eq!(text(PAGE), Ok(expected));
    }

    const OPEN: &str = "# TYPE latency histogram\n# UNIT latency seconds\n\
        latency_bucket{le=\"0.1\"} 8 1700000000.123 # {trace_id=\"a\"} 0.07 1700000000\n\
        latency_bucket{le=\"+Inf\"} 9 # {} 3\nlatency_count 9\n# EOF\n";

    #[test]
    fn open_metrics_is_read_with_its_exemplars_left_out() {
        let mut first = sample(&[(NAME, "latency_bucket"), ("le", "0.1")], 8.0);
        first.at = timestamp(1_700_000_000_123.0);
        let last = sample(&[(NAME, "latency_bucket"), ("le", "+Inf")], 9.0);
        assert_eq!(open_metrics(OPEN), Ok(vec![first, last, sample(&[(NAME, "latency_count")], 9.0)]));
    }

    #[test]
    fn a_value_is_taken_as_it_is() {
        let page = "a NaN\nb +Inf\nc -Inf\nd -7\ne 0.1\nf 1e400\n";
        let values: Vec<String> = text(page).expect("is a page").iter().map(|s| s.value.to_string()).collect();
        assert_eq!(values, ["NaN", "inf", "-inf", "-7", "0.1", "inf"]);
    }

    #[test]
    fn an_empty_page_is_an_empty_answer() {
        assert_eq!(text(""), Ok(vec![]));
        assert_eq!(text("# only comments\n\n"), Ok(vec![]));
        assert_eq!(open_metrics("# EOF\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_page_is_refused_with_its_line() {
        let cases = [
            ("<!doctype html>\n<html>", "is not a metrics page but HTML or XML"),
            ("  <?xml?>\n", "is not a metrics page but HTML or XML"),
            ("{\"a\": 1}\n", "is not a metrics page but JSON"),
            ("up 1\nSign in, please\n", "is not a metrics page: line 2: expected a value, found `in, please`"),
            ("up 1\nup{a=\"b\n", "is not a metrics page: line 2: the value of a label does not end"),
            ("up{a=\"b\\", "is cut off: its last line does not end"),
            ("up 1", "is cut off: its last line does not end"),
            ("up\n", "is not a metrics page: line 1: expected a value, found the end of the line"),
            ("up{a} 1\n", "is not a metrics page: line 1: expected `=`, found `} 1`"),
            ("up{a=\"1\" b=\"2\"} 1\n", "is not a metrics page: line 1: expected `,`, found `b=\"2\"} 1`"),
            ("up{a=\"1\",a=\"2\"} 1\n", "is not a metrics page: line 1: the label `a` stands there twice"),
            ("up{__name__=\"x\"} 1\n", "is not a metrics page: line 1: the label `__name__` is reserved"),
            (
                "up{\"a.b\"=\"1\"} 1\n",
                "is not a metrics page: line 1: expected the name of a label or `}`, found `\"a.b\"=\"1\"} 1`",
            ),
            ("up 1 x\n", "is not a metrics page: line 1: expected a time in milliseconds, found `x`"),
            ("up 1 1 1\n", "is not a metrics page: line 1: expected the end of the line, found `1`"),
            ("up 1 1e99\n", "is not a metrics page: line 1: the time of the sample is outside of the calendar"),
            ("up 1_000\n", "is not a metrics page: line 1: expected a value, found `1_000`"),
            ("7up 1\n", "is not a metrics page: line 1: expected the name of a series, found `7up 1`"),
            ("a{b=\"c\"} 1\na{b=\"c\"} 2\n", "has the series `a{b=\"c\"}` twice, the second time in line 2"),
        ];
        for (page, error) in cases {
            assert_eq!(text(page), Err(error.to_owned()), "{page}");
        }
        assert_eq!(open_metrics("up 1\n"), Err("is cut off: it does not end with `# EOF`".into()));
        assert_eq!(open_metrics(""), Err("is cut off: it does not end with `# EOF`".into()));
        assert_eq!(
            open_metrics("up 1 # x\n# EOF\n"),
            Err("is not a metrics page: line 1: expected `{`, found `x`".into())
        );
        let binary = parse(&[0x1f, 0x8b, 0xff], Format::Text, 100);
        assert_eq!(binary, Err("is not a metrics page: it is no text at byte 1".into()));
    }

    #[test]
    fn a_page_with_too_many_samples_is_refused() {
        let page: String = (0..101).map(|i| format!("up{{i=\"{i}\"}} 1\n")).collect();
        assert_eq!(text(&page), Err("has more than 100 samples, the most that are read".into()));
    }

    #[test]
    fn a_content_type_tells_the_format() {
        assert_eq!(Format::of("application/openmetrics-text; version=1.0.0; charset=utf-8"), Ok(Format::OpenMetrics));
        assert_eq!(Format::of("text/plain; version=0.0.4"), Ok(Format::Text));
        assert_eq!(Format::of(""), Ok(Format::Text));
        assert_eq!(Format::of("text/html"), Err("is not a metrics page but `text/html`".into()));
    }

    #[test]
    fn no_mutation_of_a_page_makes_the_parser_panic() {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let odd = b"{}\"\\,=# \n\t\0\xff\xc3-+.eE019NaInf:_<";
        let (mut good, mut bad) = (0, 0);
        for round in 0..20_000 {
            let (page, format) = if round % 2 == 0 { (PAGE, Format::Text) } else { (OPEN, Format::OpenMetrics) };
            let mut bytes = page.as_bytes().to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = odd[random(odd.len())],
                    1 => bytes.insert(at, odd[random(odd.len())]),
                    2 if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            match parse(&bytes, format, 100) {
                Ok(samples) if samples.iter().all(|s| s.labels.contains_key(NAME)) => good += 1,
                Ok(samples) => panic!("a series without a name: {samples:?}"),
                Err(error) => bad += usize::from(!error.is_empty()),
            }
        }
        assert!(good > 100 && bad > 1_000, "{good} pages were read and {bad} refused: the mutations reach both");
    }
}
