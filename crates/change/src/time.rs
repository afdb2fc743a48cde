//! Time as a value: instants, and spans as people write them.
//!
//! An instant is UTC to the millisecond; a span is `250ms`, `30s`, `5m`, `4h` or `14d`. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use jiff::Timestamp;
pub use jiff::tz::TimeZone;

/// A length of time in whole milliseconds, at most ten years, written with one unit: `90s`, not `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Span {
    millis: u64,
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Read, and never written: a week is seven days.
const WEEK: (&str, u64) = ("w", 7 * 86_400_000);
const LONGEST_MILLIS: u64 = 3_653 * 86_400_000;

impl Span {
    pub const ZERO: Self = Self { millis: 0 };

    pub const fn millis(millis: u64) -> Self {
        Self { millis }
    }

    pub const fn secs(secs: u64) -> Self {
        Self { millis: secs * 1_000 }
    }

    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// `factor` times as long, at most ten years.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self { millis: self.millis.saturating_mul(factor).min(LONGEST_MILLIS) }
    }

    /// How many whole looks of length `each` fit, at least one.
    pub fn looks(self, each: Self) -> u32 {
        u32::try_from(self.millis.div_ceil(each.millis.max(1)).max(1)).unwrap_or(u32::MAX)
    }
}

/// `at + span`, held at the end of representable time instead of overflowing.
pub fn after(at: Timestamp, span: Span) -> Timestamp {
    let millis = at.as_millisecond().saturating_add(i64::try_from(span.millis).unwrap_or(i64::MAX));
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// `at - span`, held at the beginning of representable time.
pub fn before(at: Timestamp, span: Span) -> Timestamp {
    let millis = at.as_millisecond().saturating_sub(i64::try_from(span.millis).unwrap_or(i64::MAX));
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MIN)
}

/// The time from `start` to `end`, zero where `end` is earlier: a clock that jumps back never makes a span negative.
pub fn between(start: Timestamp, end: Timestamp) -> Span {
    let millis = end.as_millisecond().saturating_sub(start.as_millisecond());
    Span { millis: u64::try_from(millis).unwrap_or(0) }
}

/// `at` without its fraction of a millisecond, as every time in the log is.
pub fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return f.write_str("0s");
        }
        let (unit, size) = UNITS.into_iter().find(|(_, size)| self.millis.is_multiple_of(*size)).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", self.millis / size)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let bad = || format!("`{text}` is not a length of time; write for example `250ms`, `30s`, `5m`, `4h` or `2w`");
        let count: u64 = number.parse().map_err(|_| bad())?;
        let (_, size) = UNITS.into_iter().chain([WEEK]).find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let millis = count.saturating_mul(size);
        if millis > LONGEST_MILLIS {
            return Err(format!("`{text}` is longer than ten years, the most that is allowed"));
        }
        Ok(Self { millis })
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w.",
            "pattern": "^[0-9]{1,12}(ms|s|m|h|d|w)$",
            "examples": ["5m"]
        })
    }
}

/// Reads an instant as people write it: RFC 3339 (`2026-12-01T08:00:00Z`), or local time and zone (`2026-12-01T09:00 Europe/Berlin`).
///
/// # Errors
/// A sentence that names what is wrong. A time without a zone is refused, never read as UTC; an unknown zone is refused. A local time that daylight
/// saving skips moves forward; one that happens twice is the first.
pub fn parse_instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(to_millis(at));
    }
    const WRITE: &str = "write `2026-12-01T09:00 Europe/Berlin` or `2026-12-01T08:00:00Z`";
    if text.trim().parse::<jiff::civil::DateTime>().is_ok() {
        return Err(format!("`{text}` has no time zone; {WRITE}"));
    }
    let no_time = || format!("`{text}` is not a time with its zone; {WRITE}");
    let (local, zone) = text.rsplit_once(' ').ok_or_else(no_time)?;
    let local: jiff::civil::DateTime = local.trim().parse().map_err(|_| no_time())?;
    let zone = jiff::tz::TimeZone::get(zone)
        .map_err(|_| format!("the time zone `{zone}` is not known; write an IANA name such as `Europe/Berlin`"))?;
    let at =
        zone.to_ambiguous_zoned(local).compatible().map_err(|e| format!("`{text}` is outside of the calendar: {e}"))?;
    Ok(to_millis(at.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_and_written_in_its_largest_whole_unit() {
        for (given, written) in
            [("5m", "5m"), ("90s", "90s"), ("3600s", "1h"), ("250ms", "250ms"), ("0s", "0s"), ("14d", "14d")]
        {
            assert_eq!(given.parse::<Span>().map(|s| s.to_string()), Ok(written.into()));
        }
        for bad in ["", "5", "m", "-5m", "5 m", "1m30s", "5M", "99999999999d", "٣m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_instant_needs_a_zone_that_exists() {
        let berlin = parse_instant("2026-12-01T09:00 Europe/Berlin").map(|t| t.to_string());
        assert_eq!(berlin, Ok("2026-12-01T08:00:00Z".into()));
        assert!(parse_instant("2026-12-01T09:00").is_err_and(|e| e.contains("no time zone")));
        assert!(parse_instant("2026-12-01T09:00 Europe/Berlim").is_err_and(|e| e.contains("is not known")));
        for none in ["tomorrow", "2 hours", "2026-02-30T09:00 Europe/Berlin", ""] {
            let said = parse_instant(none).err().unwrap_or_default();
            assert!(said.contains("is not a time with its zone; write `2026-12-01T09:00 Europe/Berlin`"), "{said}");
        }
    }

    #[test]
    fn a_local_time_that_daylight_saving_skips_moves_forward() {
        assert_eq!(
            parse_instant("2026-03-29T02:30 Europe/Berlin").map(|t| t.to_string()),
            Ok("2026-03-29T01:30:00Z".into())
        );
    }

    #[test]
    fn a_clock_that_jumps_back_makes_no_negative_span() {
        let (early, late) = (Timestamp::UNIX_EPOCH, after(Timestamp::UNIX_EPOCH, Span::secs(5)));
        assert_eq!(between(late, early), Span::ZERO);
        assert_eq!(between(early, late), Span::secs(5));
    }
}
