//! Names of things: numbers of changes and releases, and content digests.
//!
//! A change has a number for people (`CHG-7`), unique in its log, and a version 7 UUID that is unique anywhere. A release has a number, `REL-7`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The number of a change, from 1, shown as `CHG-7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChangeId(u64);

impl ChangeId {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }

    /// The name of this change's stream in the log.
    pub fn stream(self) -> String {
        format!("change/{self}")
    }

    /// The change whose stream this is, if it is one's.
    pub fn of_stream(stream: &str) -> Option<Self> {
        stream.strip_prefix("change/")?.parse().ok()
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CHG-{}", self.0)
    }
}

impl FromStr for ChangeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("CHG-").or_else(|| text.strip_prefix("chg-")).unwrap_or(text);
        let unreadable = || format!("`{text}` is not a change id; write for example `CHG-7` or `7`");
        numbered(number).map(Self).ok_or_else(unreadable)
    }
}

fn numbered(number: &str) -> Option<u64> {
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|n| plain && *n > 0)
}

impl From<ChangeId> for String {
    fn from(id: ChangeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ChangeId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for ChangeId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChangeId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(CHG-)?[1-9][0-9]{0,17}$", "description": "The number of a change.", "examples": ["CHG-7"]})
    }
}

/// The number of a release, from 1, shown as `REL-7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReleaseId(u64);

impl ReleaseId {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }

    /// The name of this release's stream in the log.
    pub fn stream(self) -> String {
        format!("release/{self}")
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REL-{}", self.0)
    }
}

impl FromStr for ReleaseId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("REL-").or_else(|| text.strip_prefix("rel-")).unwrap_or(text);
        let unreadable = || format!("`{text}` is not a release id; write for example `REL-7` or `7`");
        numbered(number).map(Self).ok_or_else(unreadable)
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for ReleaseId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ReleaseId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(REL-)?[1-9][0-9]{0,17}$", "description": "The number of a release.", "examples": ["REL-7"]})
    }
}

/// A SHA-256 digest, shown as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a value's canonical JSON: keys sorted, no white space.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        // INVARIANT: values of this crate have string keys and finite numbers, so they always have a JSON form.
        let value = serde_json::to_value(value).expect("a core value has a JSON form");
        Self::of_bytes(canonical(&value).as_bytes())
    }

    /// The first twelve hexadecimal digits: enough for people to tell digests apart.
    pub fn short(&self) -> String {
        self.to_string()[7..19].to_owned()
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// JSON with sorted keys and no white space. Keys are sorted here, because whether `serde_json` keeps its maps sorted depends on the whole build.
pub fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let parts: Vec<_> =
                entries.into_iter().map(|(k, v)| format!("{}:{}", Value::String(k.clone()), canonical(v))).collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        leaf => leaf.to_string(),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a digest; write `sha256:` and 64 hexadecimal digits");
        let hex = text.strip_prefix("sha256:").ok_or_else(bad)?;
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = pair.iter().fold(0, |acc, c| acc * 16 + char::from(*c).to_digit(16).unwrap_or(0) as u8);
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "A SHA-256 digest."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_id_is_read_in_each_form_that_people_type() {
        for text in ["CHG-7", "chg-7", "7"] {
            assert_eq!(text.parse(), Ok(ChangeId::new(7)));
        }
        for bad in ["", "CHG-", "CHG-0", "CHG-07", "-7", "CHG-+7", "CHG-7 ", "99999999999999999999"] {
            assert!(bad.parse::<ChangeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_release_id_is_no_change_id() {
        for text in ["REL-7", "rel-7", "7"] {
            assert_eq!(text.parse(), Ok(ReleaseId::new(7)));
        }
        assert!("CHG-7".parse::<ReleaseId>().is_err() && "REL-7".parse::<ChangeId>().is_err());
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_keys() {
        let (a, b) = (
            serde_json::json!({"x": 1, "a": {"z": [1, 2], "b": "ü\n"}}),
            serde_json::json!({"a": {"b": "ü\n", "z": [1, 2]}, "x": 1}),
        );
        assert_eq!(Digest::of_value(&a), Digest::of_value(&b));
        assert_eq!(canonical(&a), r#"{"a":{"b":"ü\n","z":[1,2]},"x":1}"#);
        let digest = Digest::of_value(&a);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
