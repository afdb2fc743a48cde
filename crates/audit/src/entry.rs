//! Entries: what exactly are the bytes that the log commits to?
//!
//! An entry is the canonical JSON of an [`Envelope`]: who, what, when, about which change, at which place. One envelope has one
//! sequence of bytes, and bytes in any other form are refused, so that two parties who hash the same facts get the same leaf.
//! It never looks inside the body, and never shortens one that is too long. Next room: [`tile`](crate::tile).
//!
//! Canonical here means: UTF-8; object keys in the order of their bytes, each once; no white space; strings escaped as RFC 8785,
//! section 3.2.2.2, says; integers in decimal; other numbers in the shortest decimal that reads back as the same 64-bit float,
//! with `.0` or an exponent, so that they stay floats; `change` left out where there is none.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// The longest entry, in bytes: its length must fit the two bytes that precede it in a bundle (tlog-tiles).
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// How deep arrays and objects may nest in a body. The JSON reader gives up at 128; what we write must stay readable.
const MAX_DEPTH: usize = 100;

/// Object keys that the JSON reader takes for its own marks (in builds that switch `raw_value` or `arbitrary_precision` on) and
/// replaces by something else. An entry with one could be written and never read again, so it is refused at the door.
const RESERVED_KEYS: &str = "$serde_json::private::";

/// One entry of the log, before it is bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Place in the whole log, counted from 0.
    pub position: u64,
    /// The stream that the entry belongs to.
    pub stream: String,
    /// Place in its stream, counted from 1.
    pub version: u64,
    /// What happened, as the name of an event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, as an RFC 3339 time with its offset.
    pub time: String,
    /// Who did it, as a pseudonym.
    pub actor: String,
    /// The change it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The facts of the event.
    pub body: Value,
}

/// Why an envelope can't be an entry, or why bytes aren't one.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error(
        "the entry has `{bytes}` bytes, more than the `{MAX_ENTRY_BYTES}` that an entry may have: store its large parts beside \
         the log and commit to them by hash"
    )]
    TooLong { bytes: usize },
    #[error("the body nests deeper than `{MAX_DEPTH}` levels: flatten it")]
    TooDeep,
    #[error("the body has a key `{key}`, which no reader would give back: rename it")]
    ReservedKey { key: String },
    #[error("the number `{number}` is neither a 64-bit integer nor a 64-bit float: write it as text")]
    Number { number: String },
    #[error("the entry's `{field}` is empty")]
    Empty { field: &'static str },
    #[error("the entry's time `{time}` is not an RFC 3339 time such as `2026-10-02T06:00:00Z`")]
    Time { time: String },
    #[error("the entry is not the JSON of an envelope")]
    Json(#[source] serde_json::Error),
    #[error("the entry is not in canonical form from byte `{offset}` on")]
    NotCanonical { offset: usize },
}

impl Envelope {
    /// The bytes that are hashed and kept.
    ///
    /// Refuses an envelope that says nothing of who, what, where or when, and one that would be longer than
    /// [`MAX_ENTRY_BYTES`]. What this writes, [`Envelope::from_bytes`] reads back as the same envelope.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        self.check_fields()?;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"actor\":");
        write_string(&self.actor, &mut out);
        out.extend_from_slice(b",\"body\":");
        write_value(&self.body, 0, &mut out)?;
        if let Some(change) = &self.change {
            out.extend_from_slice(b",\"change\":");
            write_string(change, &mut out);
        }
        out.extend_from_slice(format!(",\"position\":{},\"stream\":", self.position).as_bytes());
        write_string(&self.stream, &mut out);
        out.extend_from_slice(b",\"time\":");
        write_string(&self.time, &mut out);
        out.extend_from_slice(b",\"type\":");
        write_string(&self.kind, &mut out);
        out.extend_from_slice(format!(",\"version\":{}}}", self.version).as_bytes());
        check_length(out.len())?;
        Ok(out)
    }

    /// Reads an entry. Bytes that mean the right thing but are not exactly what [`Envelope::to_bytes`] writes are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        check_length(bytes.len())?;
        let envelope: Self = serde_json::from_slice(bytes).map_err(EntryError::Json)?;
        let canonical = envelope.to_bytes()?;
        if canonical == bytes {
            return Ok(envelope);
        }
        let offset = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        Err(EntryError::NotCanonical { offset })
    }

    fn check_fields(&self) -> Result<(), EntryError> {
        for (field, text) in [("stream", &self.stream), ("type", &self.kind), ("actor", &self.actor)] {
            if text.is_empty() {
                return Err(EntryError::Empty { field });
            }
        }
        if is_rfc3339(&self.time) { Ok(()) } else { Err(EntryError::Time { time: self.time.clone() }) }
    }
}

fn check_length(bytes: usize) -> Result<(), EntryError> {
    if bytes > MAX_ENTRY_BYTES { Err(EntryError::TooLong { bytes }) } else { Ok(()) }
}

fn write_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), EntryError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => return Err(EntryError::TooDeep),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                write_comma(i, out);
                write_value(item, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // Another crate of a build may switch the map to insertion order, so its own order proves nothing.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (i, (key, member)) in sorted.into_iter().enumerate() {
                if key.starts_with(RESERVED_KEYS) {
                    return Err(EntryError::ReservedKey { key: key.clone() });
                }
                write_comma(i, out);
                write_string(key, out);
                out.push(b':');
                write_value(member, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_comma(i: usize, out: &mut Vec<u8>) {
    if i > 0 {
        out.push(b',');
    }
}

/// Floats go through the standard library's shortest form and not the JSON crate's: entries are for decades, and the crate has
/// changed its float printer before.
fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), EntryError> {
    let text = if let Some(unsigned) = number.as_u64() {
        unsigned.to_string()
    } else if let Some(signed) = number.as_i64() {
        signed.to_string()
    } else {
        match number.as_f64() {
            Some(float) if float.is_finite() => format!("{float:?}"),
            _ => return Err(EntryError::Number { number: number.to_string() }),
        }
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The shape and ranges of RFC 3339, section 5.6: `2026-10-02T06:00:00[.123](Z|+02:00)`. Days are checked up to 31 only: whether
/// a month has the day is for whoever made the time, not for the log.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !shaped(&bytes[..19], b"0000-00-00T00:00:00") {
        return false;
    }
    let in_range = (1..=12).contains(&two(&bytes[5..]))
        && (1..=31).contains(&two(&bytes[8..]))
        && two(&bytes[11..]) <= 23
        && two(&bytes[14..]) <= 59
        && two(&bytes[17..]) <= 60;
    in_range && is_offset(after_fraction(&bytes[19..]))
}

/// What follows an optional fraction of a second; nothing (so no valid offset) if the fraction has no digits.
fn after_fraction(rest: &[u8]) -> &[u8] {
    let Some(fraction) = rest.strip_prefix(b".") else { return rest };
    match fraction.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        0 => &[],
        digits => &fraction[digits..],
    }
}

fn is_offset(rest: &[u8]) -> bool {
    rest == b"Z"
        || (shaped(rest, b"+00:00") || shaped(rest, b"-00:00")) && two(&rest[1..]) <= 23 && two(&rest[4..]) <= 59
}

/// Whether the bytes follow a pattern in which `0` stands for any digit.
fn shaped(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() == pattern.len()
        && bytes
            .iter()
            .zip(pattern)
            .all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
}

/// The value of two digits that [`shaped`] has seen.
fn two(digits: &[u8]) -> u8 {
    (digits[0] - b'0') * 10 + (digits[1] - b'0')
}

// Shows LC8: an entry says who, what and when, in one form only.
#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn envelope(body: Value) -> Envelope {
        Envelope {
            position: 17,
            stream: "change/01J".into(),
            version: 3,
            kind: "Approved".into(),
            time: "2026-10-02T06:00:00Z".into(),
            actor: "user:7f3a".into(),
            change: Some("CHG-1042".into()),
            body,
        }
    }

    fn text(envelope: &Envelope) -> String {
        String::from_utf8(envelope.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn an_entry_is_sorted_and_without_white_space() {
        let body = json!({"z": [1, -2, 1.5, null, true], "a": {"é": "\u{1}\n\"\\", "b": {}}, "Z": []});
        expect![[
            r#"{"actor":"user:7f3a","body":{"Z":[],"a":{"b":{},"é":"\u0001\n\"\\"},"z":[1,-2,1.5,null,true]},"change":"CHG-1042","position":17,"stream":"change/01J","time":"2026-10-02T06:00:00Z","type":"Approved","version":3}"#
        ]]
        .assert_eq(&text(&envelope(body)));
    }

    #[test]
    fn an_entry_about_no_change_leaves_the_field_out() {
        let lonely = Envelope { change: None, ..envelope(json!({})) };
        assert!(!text(&lonely).contains("change\":"));
        assert_eq!(Envelope::from_bytes(text(&lonely).as_bytes()).unwrap(), lonely);
    }

    #[test]
    fn floats_are_written_in_one_lasting_form() {
        let body = json!([0.1, 1.0, -0.0, 1e16, 1e15, 1e-5, 1e-4, 5e-324, f64::MAX, u64::MAX, i64::MIN]);
        let mut out = Vec::new();
        write_value(&body, 0, &mut out).unwrap();
        expect![[
            r#"[0.1,1.0,-0.0,1e16,1000000000000000.0,1e-5,0.0001,5e-324,1.7976931348623157e308,18446744073709551615,-9223372036854775808]"#
        ]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn an_entry_of_65535_bytes_is_taken_and_one_more_is_refused_by_its_size() {
        let overhead = text(&envelope(json!(""))).len();
        let full = envelope(json!("x".repeat(MAX_ENTRY_BYTES - overhead)));
        assert_eq!(full.to_bytes().unwrap().len(), MAX_ENTRY_BYTES);
        assert_eq!(Envelope::from_bytes(&full.to_bytes().unwrap()).unwrap(), full);
        let long = envelope(json!("x".repeat(MAX_ENTRY_BYTES - overhead + 1)));
        expect!["the entry has `65536` bytes, more than the `65535` that an entry may have: store its large parts beside the log and commit to them by hash"]
            .assert_eq(&long.to_bytes().unwrap_err().to_string());
        assert!(matches!(Envelope::from_bytes(&[b' '; 65_536]), Err(EntryError::TooLong { bytes: 65_536 })));
    }

    #[test]
    fn a_body_as_deep_as_allowed_reads_back_and_a_deeper_one_is_refused() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        let deep = envelope(nested(MAX_DEPTH));
        assert_eq!(Envelope::from_bytes(&deep.to_bytes().unwrap()).unwrap(), deep);
        expect!["the body nests deeper than `100` levels: flatten it"]
            .assert_eq(&envelope(nested(MAX_DEPTH + 1)).to_bytes().unwrap_err().to_string());
    }

    #[test]
    fn a_key_that_no_reader_gives_back_is_refused() {
        let body = json!({"labels": {"$serde_json::private::RawValue": "[1]"}});
        expect!["the body has a key `$serde_json::private::RawValue`, which no reader would give back: rename it"]
            .assert_eq(&envelope(body).to_bytes().unwrap_err().to_string());
    }

    #[test]
    fn who_what_and_when_are_never_missing() {
        let empty = |change: fn(&mut Envelope)| {
            let mut envelope = envelope(json!({}));
            change(&mut envelope);
            envelope.to_bytes().unwrap_err().to_string()
        };
        assert_eq!(empty(|e| e.actor.clear()), "the entry's `actor` is empty");
        assert_eq!(empty(|e| e.kind.clear()), "the entry's `type` is empty");
        assert_eq!(empty(|e| e.stream.clear()), "the entry's `stream` is empty");
        expect!["the entry's time `` is not an RFC 3339 time such as `2026-10-02T06:00:00Z`"]
            .assert_eq(&empty(|e| e.time.clear()));
    }

    #[test]
    fn a_time_is_rfc_3339_with_an_offset() {
        for time in ["2026-10-02T06:00:00Z", "2026-12-31T23:59:60.123456789Z", "2026-10-02T06:00:00.5+02:00"] {
            assert!(is_rfc3339(time), "{time}");
        }
        for time in [
            "",
            "yesterday",
            "2026-10-02",
            "2026-10-02T06:00:00",
            "2026-10-02 06:00:00Z",
            "2026-10-02T06:00Z",
            "2026-13-02T06:00:00Z",
            "2026-00-02T06:00:00Z",
            "2026-10-32T06:00:00Z",
            "2026-10-02T24:00:00Z",
            "2026-10-02T06:60:00Z",
            "2026-10-02T06:00:61Z",
            "2026-10-02T06:00:00.Z",
            "2026-10-02T06:00:00.5",
            "2026-10-02T06:00:00+2:00",
            "2026-10-02T06:00:00+24:00",
            "2026-10-02T06:00:00Z ",
            "2026-10-02T06:00:00Z[UTC]",
        ] {
            assert!(!is_rfc3339(time), "{time}");
        }
    }

    #[test]
    fn the_same_facts_in_another_form_are_refused() {
        let good = text(&envelope(json!({"a": 1, "b": 0.5})));
        let other_forms = [
            good.replace("\"a\":1", "\"a\": 1"),
            good.replace("{\"a\":1,\"b\":0.5}", "{\"b\":0.5,\"a\":1}"),
            good.replace("\"a\":1", "\"a\":0,\"a\":1"),
            good.replace("0.5", "5e-1"),
            good.replace("0.5", "0.50"),
            good.replace("\"a\":1", "\"\\u0061\":1"),
            good.replace("user:7f3a", "user:\\u0037f3a"),
            good.replace("\"change\":\"CHG-1042\"", "\"change\":null"),
            format!("{good}\n"),
        ];
        for other in other_forms {
            assert_ne!(other, good);
            assert!(matches!(Envelope::from_bytes(other.as_bytes()), Err(EntryError::NotCanonical { .. })), "{other}");
        }
        let late = good.replace("\"version\":3}", "\"version\":3 }");
        let error = Envelope::from_bytes(late.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("the entry is not in canonical form from byte `{}` on", good.len() - 1));
    }

    #[test]
    fn what_is_not_an_envelope_is_refused() {
        let good = text(&envelope(json!({})));
        let others = [
            String::new(),
            "{}".into(),
            "[]".into(),
            good.replace("\"version\":3", "\"version\":-3"),
            good.replace("{\"actor\"", "{\"Actor\":1,\"actor\""),
            good.replace("\"position\":17,", ""),
            good.replace("\"position\":17,", "\"position\":17,\"position\":17,"),
        ];
        for other in others {
            assert!(matches!(Envelope::from_bytes(other.as_bytes()), Err(EntryError::Json(_))), "{other}");
        }
    }

    fn any_body() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_envelope_survives_its_bytes(
            body in any_body(), actor in ".+", stream in ".+", change: Option<String>, position: u64, version: u64
        ) {
            let envelope = Envelope { actor, stream, change, position, version, ..envelope(body) };
            let bytes = envelope.to_bytes().unwrap();
            prop_assert_eq!(&Envelope::from_bytes(&bytes).unwrap(), &envelope);
            prop_assert_eq!(serde_json::from_slice::<Envelope>(&bytes).unwrap(), envelope);
        }

        #[test]
        fn no_bytes_make_the_entry_parser_panic(bytes: Vec<u8>) {
            prop_assert!(Envelope::from_bytes(&bytes).is_err());
        }

        #[test]
        fn a_damaged_entry_is_another_entry_or_none(at: prop::sample::Index, bit in 0..8u32) {
            let good = envelope(json!({"a": [1.25, "x"]})).to_bytes().unwrap();
            let mut damaged = good.clone();
            damaged[at.index(good.len())] ^= 1 << bit;
            if let Ok(other) = Envelope::from_bytes(&damaged) {
                prop_assert_eq!(other.to_bytes().unwrap(), damaged);
            }
        }

        #[test]
        fn no_time_makes_the_time_check_panic(text: String, ascii in "[0-9TZ:.+-]{0,30}") {
            let _ = (is_rfc3339(&text), is_rfc3339(&ascii));
        }
    }
}
