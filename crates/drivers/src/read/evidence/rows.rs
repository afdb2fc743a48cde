//! Rows: the lines of an evidence file, each a checked value.
//!
//! CSV with a head, or JSON: a list of objects, or an object a line. A row that can't be meant is a problem with its line; a row whose value is empty or
//! NaN is none at all, as if the scrape had failed. Rows know nothing of one another: that is for [`Evidence`](super::Evidence).

use std::fmt;

use change::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Problem;

/// No more problems than these are said of one file.
pub const MOST_PROBLEMS: usize = 20;
const MOST_ROWS: usize = 5_000_000;
const MOST_SLIS: usize = 1_000;
/// Above 2^53 a number no longer tells single events apart.
const MOST_EVENTS: f64 = 9e15;
/// In seconds, some three thousand years.
const LATEST: f64 = 1e11;

/// The rows of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The names of the SLIs, in the order in which the file names them first.
    pub slis: Vec<String>,
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// From 1; in a JSON list the number of the row.
    pub line: u64,
    /// Since 1970 or since any other moment, as the file has it.
    pub time_ms: i64,
    pub cohort: Cohort,
    /// An index of [`Rows::slis`].
    pub sli: u32,
    pub field: Field,
    pub value: f64,
}

impl Row {
    /// What only one row may speak of.
    pub(super) fn cell(&self) -> (u32, Cohort, i64, Field) {
        (self.sli, self.cohort, self.time_ms, self.field)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cohort {
    Baseline,
    Canary,
}

/// What the value of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Bad,
    Good,
    Total,
    /// Requests of one bucket: above the next smaller edge, up to this one.
    Below(Edge),
    Value,
    Passed,
}

/// The upper edge of a bucket: positive, or infinite. Kept by its bits, which ascend as positive numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge(u64);

impl Edge {
    fn of_seconds(seconds: f64) -> Option<Self> {
        // Microseconds are fine enough, and make `0.1` the same edge however it is written.
        let millis = if seconds.is_finite() { (seconds * 1e6).round() / 1e3 } else { seconds };
        (millis > 0.0).then_some(Self(millis.to_bits()))
    }

    pub fn millis(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad => f.write_str("bad"),
            Self::Good => f.write_str("good"),
            Self::Total => f.write_str("total"),
            Self::Below(edge) if edge.millis().is_infinite() => f.write_str("le=+Inf"),
            Self::Below(edge) => write!(f, "le={}", edge.millis() / 1e3),
            Self::Value => f.write_str("value"),
            Self::Passed => f.write_str("passed"),
        }
    }
}

/// Reads the rows of a file.
///
/// # Errors
/// The first problems, each with its line.
pub fn read(bytes: &[u8]) -> Result<Rows, Vec<Problem>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { rows: Rows::default(), problems: vec![], clock: None, last_sli: 0 };
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => reader.json_list(bytes),
        Some(b'{') => reader.json_lines(bytes),
        _ => reader.csv(bytes),
    }
    if reader.problems.is_empty() && reader.rows.rows.is_empty() {
        reader.problems.push(Problem::of_file("the file has no rows".into()));
    }
    if reader.problems.is_empty() { Ok(reader.rows) } else { Err(reader.problems) }
}

/// The five columns of a row, as text.
struct Columns<'a> {
    time: &'a [u8],
    cohort: &'a [u8],
    sli: &'a [u8],
    field: &'a [u8],
    value: &'a [u8],
}

const COLUMNS: [&str; 5] = ["time", "cohort", "sli", "field", "value"];

/// A row of JSON.
#[derive(Deserialize)]
struct Object {
    time: Value,
    cohort: String,
    sli: String,
    field: String,
    value: Value,
}

/// How the times of a file are written: all in one way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Seconds,
    Calendar,
}

struct Reader {
    rows: Rows,
    problems: Vec<Problem>,
    clock: Option<Clock>,
    last_sli: u32,
}

impl Reader {
    fn csv(&mut self, bytes: &[u8]) {
        let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let places = match lines.byte_headers().map(places) {
            Ok(Ok(places)) => places,
            Ok(Err(message)) => return self.problems.push(Problem { line: Some(1), message }),
            Err(error) => return self.problems.push(Problem::of_file(format!("this is not CSV: {error}"))),
        };
        let mut record = csv::ByteRecord::new();
        loop {
            match lines.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.problems.push(Problem::of_file(format!("this is not CSV: {error}"))),
            }
            let line = record.position().map_or(0, csv::Position::line);
            let column = |i: usize| record.get(places[i]).map(<[u8]>::trim_ascii);
            let columns = (column(0), column(1), column(2), column(3), column(4));
            let added = match columns {
                (Some(time), Some(cohort), Some(sli), Some(field), Some(value)) => {
                    self.add(line, &Columns { time, cohort, sli, field, value })
                }
                _ => Err(format!("has {} columns: the head has more", record.len())),
            };
            if !self.goes_on(line, added) {
                return;
            }
        }
    }

    fn json_list(&mut self, bytes: &[u8]) {
        match serde_json::from_slice::<Vec<Object>>(bytes) {
            Ok(objects) => {
                for (line, object) in (1..).zip(objects) {
                    let added = self.add_object(line, &object);
                    if !self.goes_on(line, added) {
                        return;
                    }
                }
            }
            Err(error) => self.problems.push(not_rows(error.line() as u64, &error)),
        }
    }

    fn json_lines(&mut self, bytes: &[u8]) {
        for (line, text) in (1..).zip(bytes.split(|b| *b == b'\n')) {
            if text.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Object>(text) {
                Ok(object) => {
                    let added = self.add_object(line, &object);
                    if !self.goes_on(line, added) {
                        return;
                    }
                }
                Err(error) => return self.problems.push(not_rows(line, &error)),
            }
        }
    }

    fn add_object(&mut self, line: u64, object: &Object) -> Result<(), String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let (time, value) = (text(&object.time), text(&object.value));
        self.add(
            line,
            &Columns {
                time: time.trim().as_bytes(),
                cohort: object.cohort.trim().as_bytes(),
                sli: object.sli.trim().as_bytes(),
                field: object.field.trim().as_bytes(),
                value: value.trim().as_bytes(),
            },
        )
    }

    /// Keeps what is wrong with a line; false if there is no use in going on.
    fn goes_on(&mut self, line: u64, added: Result<(), String>) -> bool {
        if let Err(message) = added {
            self.problems.push(Problem { line: Some(line), message });
        }
        if self.rows.rows.len() > MOST_ROWS {
            self.problems
                .push(Problem::of_file(format!("the file has more than {MOST_ROWS} rows, the most that are read")));
            return false;
        }
        self.problems.len() < MOST_PROBLEMS
    }

    fn add(&mut self, line: u64, columns: &Columns<'_>) -> Result<(), String> {
        let time_ms = self.time(columns.time)?;
        let cohort = match columns.cohort {
            b"baseline" => Cohort::Baseline,
            b"canary" => Cohort::Canary,
            other => return Err(format!("the cohort is `{}`: write `baseline` or `canary`", shown(other))),
        };
        let field = field(columns.field)?;
        let sli = self.sli(columns.sli)?;
        if let Some(value) = value(field, columns.value)? {
            self.rows.rows.push(Row { line, time_ms, cohort, sli, field, value });
        }
        Ok(())
    }

    fn time(&mut self, text: &[u8]) -> Result<i64, String> {
        let bad = || format!("the time is `{}`: write seconds, or `2026-11-05T12:00:00Z`", shown(text));
        let text = std::str::from_utf8(text).map_err(|_| bad())?;
        let (clock, millis) = match text.parse::<f64>() {
            Ok(seconds) if seconds.abs() <= LATEST => (Clock::Seconds, (seconds * 1e3).round() as i64),
            Ok(_) => return Err(bad()),
            Err(_) => (Clock::Calendar, text.parse::<Timestamp>().map_err(|_| bad())?.as_millisecond()),
        };
        if *self.clock.get_or_insert(clock) != clock {
            return Err(format!("the time is `{text}`, and the rows before have it in another form: write all in one"));
        }
        Ok(millis)
    }

    fn sli(&mut self, name: &[u8]) -> Result<u32, String> {
        let slis = &mut self.rows.slis;
        let is_it = |known: &String| known.as_bytes() == name;
        if slis.get(self.last_sli as usize).is_some_and(is_it) {
            return Ok(self.last_sli);
        }
        let text = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
        let text = text.ok_or("the SLI has no name")?;
        let at = match slis.iter().position(is_it) {
            Some(at) => at,
            None if slis.len() == MOST_SLIS => return Err(format!("the file has more than {MOST_SLIS} SLIs")),
            None => {
                slis.push(text.to_owned());
                slis.len() - 1
            }
        };
        self.last_sli = u32::try_from(at).unwrap_or(u32::MAX);
        Ok(self.last_sli)
    }
}

/// Where the columns stand in the head.
fn places(head: &csv::ByteRecord) -> Result<[usize; 5], String> {
    let mut places = [0; 5];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let mut found = head.iter().enumerate().filter(|(_, column)| column.trim_ascii() == name.as_bytes());
        *place = match (found.next(), found.next()) {
            (Some((at, _)), None) => at,
            (None, _) => return Err(format!("the head has no column `{name}`: it is `time,cohort,sli,field,value`")),
            (Some(_), Some(_)) => return Err(format!("the head has the column `{name}` twice")),
        };
    }
    Ok(places)
}

fn field(text: &[u8]) -> Result<Field, String> {
    Ok(match text {
        b"bad" => Field::Bad,
        b"good" => Field::Good,
        b"total" => Field::Total,
        b"value" => Field::Value,
        b"passed" => Field::Passed,
        other => {
            let seconds = other.strip_prefix(b"le=").and_then(|le| std::str::from_utf8(le).ok()?.parse::<f64>().ok());
            let edge = seconds.and_then(Edge::of_seconds);
            edge.map(Field::Below).ok_or_else(|| {
                let known = "write `bad`, `good`, `total`, `le=0.25` in seconds, `le=+Inf`, `value` or `passed`";
                format!("the field is `{}`: {known}", shown(other))
            })?
        }
    })
}

/// A value that its field can have; nothing where it is missing.
fn value(field: Field, text: &[u8]) -> Result<Option<f64>, String> {
    let number = match text {
        b"" => return Ok(None),
        b"true" if field == Field::Passed => 1.0,
        b"false" if field == Field::Passed => 0.0,
        text => std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::INFINITY),
    };
    let what = match field {
        _ if number.is_nan() => return Ok(None),
        Field::Passed if number == 0.0 || number == 1.0 => None,
        Field::Passed => Some("1 or 0"),
        Field::Value if number.is_finite() => None,
        Field::Value => Some("a finite number"),
        _ if (0.0..MOST_EVENTS).contains(&number) => None,
        _ => Some("a count: finite, not negative, below 9e15"),
    };
    match what {
        None => Ok(Some(number)),
        Some(what) => Err(format!("the value of `{field}` is `{}`: write {what}", shown(text))),
    }
}

fn not_rows(line: u64, error: &serde_json::Error) -> Problem {
    let message = format!(
        "this is no row: {error}; a row is `{{\"time\": 0, \"cohort\": \"canary\", \"sli\": \"errors\", \"field\": \"bad\", \"value\": 1}}`"
    );
    Problem { line: Some(line), message }
}

/// At most as much of a text as a sentence bears.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(60).collect()
}
