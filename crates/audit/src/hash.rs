//! Hashing: what is the fingerprint of an entry, and of two fingerprints together?
//!
//! The two functions of RFC 6962, section 2.1, over SHA-256. Their first byte differs, so that nobody can pass off an inner node
//! as an entry; nothing in this crate may hash a part of the tree in another way. Next room: [`entry`](crate::entry).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// Bytes in a hash.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash. Shown, parsed and serialised as standard base64 with padding (44 characters), as in a checkpoint;
/// `{:x}` gives hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

/// The hash of an entry: SHA-256(0x00 || entry).
#[must_use]
pub fn leaf(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
}

/// The hash of a node over its two children: SHA-256(0x01 || left || right).
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without entries: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The root over a run of sibling hashes, whatever its length: the recursion of RFC 6962, section 2.1, done pair by pair.
///
/// The hash left over at the end of a row moves up unchanged; that yields the same tree as splitting at the largest power of two.
pub(crate) fn fold(hashes: &[Hash]) -> Option<Hash> {
    let mut row: Vec<Hash> = hashes.to_vec();
    while row.len() > 1 {
        for pair in 0..row.len() / 2 {
            row[pair] = node(&row[2 * pair], &row[2 * pair + 1]);
        }
        if row.len() % 2 == 1 {
            let half = row.len() / 2;
            row[half] = row[row.len() - 1];
        }
        row.truncate(row.len().div_ceil(2));
    }
    row.first().copied()
}

/// The text is not the base64 form of a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a hash: expected 32 bytes as standard base64, 44 characters with padding")]
pub struct HashError {
    /// What was read instead.
    pub text: String,
}

impl Hash {
    /// Standard base64 with padding, 44 characters.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] wrote, and no other spelling.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; HASH_BYTES];
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(HASH_BYTES) => Ok(Self(bytes)),
            _ => Err(HashError { text: text.to_owned() }),
        }
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Self::from_base64(text)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl fmt::LowerHex for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_empty_tree_has_the_hash_of_nothing() {
        assert_eq!(format!("{:x}", empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn an_entry_and_a_node_of_the_same_bytes_differ() {
        let (left, right) = (leaf(b"l"), leaf(b"r"));
        assert_ne!(node(&left, &right), leaf(&[left.0, right.0].concat()));
    }

    #[test]
    fn a_hash_is_a_base64_string_in_json() {
        let json = serde_json::to_string(&leaf(b"")).unwrap();
        assert_eq!(json, "\"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\"");
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), leaf(b""));
    }

    #[test]
    fn another_spelling_of_a_hash_is_refused() {
        let good = leaf(b"").to_base64();
        let unpadded = good.trim_end_matches('=').to_owned();
        let stray_bits = good.replace("B0=", "B1=");
        for refused in [unpadded, stray_bits, format!("{good} "), format!("{good}="), String::new(), "AAAA".into()] {
            assert_eq!(Hash::from_base64(&refused), Err(HashError { text: refused.clone() }));
        }
        expect!["`AAAA` is not a hash: expected 32 bytes as standard base64, 44 characters with padding"]
            .assert_eq(&Hash::from_base64("AAAA").unwrap_err().to_string());
    }

    proptest! {
        #[test]
        fn every_hash_survives_its_text(bytes: [u8; 32]) {
            prop_assert_eq!(Hash(bytes).to_string().parse::<Hash>(), Ok(Hash(bytes)));
        }

        #[test]
        fn no_text_makes_the_hash_parser_panic(text: String) {
            if let Ok(hash) = Hash::from_base64(&text) {
                prop_assert_eq!(hash.to_base64(), text);
            }
        }
    }
}
