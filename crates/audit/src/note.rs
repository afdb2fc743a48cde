//! Signed notes: did somebody whom we know sign this text?
//!
//! The format of C2SP signed-note with Ed25519 keys. A [`SigningKey`] is made from a seed that the caller keeps; it never shows
//! that seed again. A note proves who signed, never that the text is true. Next room: [`checkpoint`](crate::checkpoint).

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey as Ed25519Secret, VerifyingKey as Ed25519Public};
use sha2::{Digest, Sha256};

/// The signature type that stands before an Ed25519 public key.
const ED25519: u8 = 0x01;

/// Checkpoints have a few hundred bytes; a post-quantum signature has five thousand. The rest is somebody filling our memory.
const MAX_NOTE_BYTES: usize = 1_000_000;

/// The specification asks for at least 16.
const MAX_SIGNATURES: usize = 100;

/// What the signature line starts with: an em dash and a space.
const SIGNATURE_MARK: &str = "— ";

/// Why a key, a text or a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("`{name}` can't name a key: a name has at least one character, and neither spaces nor `+`")]
    Name { name: String },
    #[error(
        "`{key}` is not a verifier key: expected `name+key id+base64`, as in `example.com/log+530d903a+AekyeRrm...`"
    )]
    Key { key: String },
    #[error("the verifier key `{name}` is of type `{found:#04x}`; only Ed25519, `0x01`, is known here")]
    KeyType { name: String, found: u8 },
    #[error(
        "the verifier key `{name}` has the id `{found}`, but its bytes make it `{computed}`: a part of it was altered"
    )]
    KeyId { name: String, found: String, computed: String },
    #[error("a signed text ends with a newline and has no other control characters")]
    Text,
    #[error("the note has `{bytes}` bytes, more than the `{MAX_NOTE_BYTES}` that are read")]
    TooLong { bytes: usize },
    #[error("the note has more than `{MAX_SIGNATURES}` signatures")]
    TooManySignatures,
    #[error("the note has no empty line between its text and its signatures")]
    NoSignatures,
    #[error("`{line}` is not a signature line: expected `— name base64`")]
    SignatureLine { line: String },
    #[error("the signature by `{name}` does not fit the text: the text or the signature was altered")]
    BadSignature { name: String },
    #[error("none of the known keys signed the note; it has signatures by {}", list(.signed_by))]
    UnknownKeys { signed_by: Vec<String> },
}

/// A secret that signs notes under a name. `Debug` shows the name and the key id only; the secret is wiped when dropped.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    secret: Ed25519Secret,
}

/// A public key that is trusted under a name. Written `name+hex(key id)+base64(0x01 || public key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: Ed25519Public,
}

/// A text with signatures that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name that the key goes by.
    pub name: String,
    /// The first four bytes of the hash of name and key.
    pub key_id: [u8; 4],
    /// The signature itself, at least one byte, in the form of its key's type.
    pub signature: Vec<u8>,
}

impl SigningKey {
    /// A key from the 32 bytes of an Ed25519 seed (RFC 8032). The same seed and name are the same key. Our copies of the seed are
    /// wiped; the caller wipes its own.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let mut seed = seed;
        let secret = Ed25519Secret::from_bytes(&seed);
        seed.fill(0);
        // The compiler may otherwise drop the write, since nobody reads the array again.
        black_box(&seed);
        Ok(Self { name: name.to_owned(), secret })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that others check our signatures with.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), public: self.secret.verifying_key() }
    }

    /// Signs a text that ends with a newline and has no other control characters. The same text gives the same note.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        check_text(text)?;
        let signature = self.secret.sign(text.as_bytes()).to_bytes().to_vec();
        let signature = NoteSignature { name: self.name.clone(), key_id: self.verifier().key_id(), signature };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }
}

impl VerifierKey {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256(name || 0x0A || 0x01 || public key), the first four bytes.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.public.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The 32 bytes of the Ed25519 public key (RFC 8032).
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    fn made(&self, signature: &NoteSignature) -> bool {
        self.name == signature.name && self.key_id() == signature.key_id
    }

    fn accepts(&self, text: &str, signature: &NoteSignature) -> bool {
        let parsed = Signature::from_slice(&signature.signature);
        parsed.is_ok_and(|signature| self.public.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

impl Note {
    /// Reads a note. Whether its signatures hold is for [`Note::verify`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong { bytes: note.len() });
        }
        check_text(note)?;
        let end_of_text = note.rfind("\n\n").ok_or(NoteError::NoSignatures)? + 1;
        let (text, signatures) = (&note[..end_of_text], &note[end_of_text + 1..]);
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::NoSignatures)?.split('\n');
        if lines.clone().nth(MAX_SIGNATURES).is_some() {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, whoever signed it. Trust it only once [`Note::verify`] has agreed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The same note with the signatures of another note over the same text added, as witnesses do.
    #[must_use]
    pub fn with_signatures(mut self, more: impl IntoIterator<Item = NoteSignature>) -> Self {
        self.signatures.extend(more);
        self
    }

    /// The known keys that signed the text: at least one.
    ///
    /// Signatures by unknown keys are ignored; one wrong signature in the name and id of a known key rejects the whole note.
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            for key in known.iter().filter(|key| key.made(signature)) {
                if !key.accepts(&self.text, signature) {
                    return Err(NoteError::BadSignature { name: key.name.clone() });
                }
                verified.push(key);
            }
        }
        if verified.is_empty() {
            let signed_by = self.signatures.iter().map(|signature| signature.name.clone()).collect();
            return Err(NoteError::UnknownKeys { signed_by });
        }
        Ok(verified)
    }
}

/// Names for an error message.
pub(crate) fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn check_name(name: &str) -> Result<(), NoteError> {
    // A newline in a name would move the end of the text, a space the end of the name: both count as white space.
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(bad) { Err(NoteError::Name { name: name.to_owned() }) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let has_controls = text.bytes().any(|byte| byte < b' ' && byte != b'\n');
    if has_controls || !text.ends_with('\n') { Err(NoteError::Text) } else { Ok(()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        write!(f, "{SIGNATURE_MARK}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        parse_signature(line).ok_or_else(|| NoteError::SignatureLine { line: line.to_owned() })
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = STANDARD.decode(base64).ok()?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        key_id: *key_id,
        signature: signature.to_vec(),
    })
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519], self.public.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.key_id()), STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    /// Reads `name+hex(key id)+base64(type || public key)`, checking the id.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Key { key: text.to_owned() };
        // The base64 part may have a `+` of its own, the name may not.
        let (name, rest) = text.split_once('+').ok_or_else(malformed)?;
        let (id, base64) = rest.split_once('+').ok_or_else(malformed)?;
        check_name(name)?;
        let typed = STANDARD.decode(base64).map_err(|_| malformed())?;
        let public = match typed.split_first() {
            Some((&ED25519, public)) => public,
            Some((&found, _)) => return Err(NoteError::KeyType { name: name.to_owned(), found }),
            None => return Err(malformed()),
        };
        let public = Ed25519Public::try_from(public).ok().filter(|public| !public.is_weak()).ok_or_else(malformed)?;
        let key = Self { name: name.to_owned(), public };
        let computed = hex(&key.key_id());
        if id == computed {
            Ok(key)
        } else {
            Err(NoteError::KeyId { name: name.to_owned(), found: id.to_owned(), computed })
        }
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = hex(&self.verifier().key_id());
        f.debug_struct("SigningKey").field("name", &self.name).field("key_id", &id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const SPEC_NOTE: &str = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn spec_key() -> VerifierKey {
        SPEC_KEY.parse().unwrap()
    }

    fn signer(name: &str, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, [seed; 32]).unwrap()
    }

    #[test]
    fn the_note_of_the_specification_verifies() {
        let note = Note::parse(SPEC_NOTE).unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.verify(&[spec_key()]), Ok(vec![&spec_key()]));
        assert_eq!(note.to_string(), SPEC_NOTE);
        assert_eq!(spec_key().to_string(), SPEC_KEY);
        assert_eq!(spec_key().key_id(), [0x53, 0x0d, 0x90, 0x3a]);
    }

    #[test]
    fn a_flipped_bit_in_a_note_is_noticed() {
        let good = SPEC_NOTE.as_bytes();
        for at in 0..good.len() {
            let mut damaged = good.to_vec();
            damaged[at] ^= 1 << (at % 7);
            let verified = String::from_utf8(damaged).ok().and_then(|text| Note::parse(&text).ok()).map(|note| {
                assert_ne!(note.to_string(), SPEC_NOTE);
                note.verify(&[spec_key()]).is_ok()
            });
            assert_ne!(verified, Some(true), "byte {at}");
        }
    }

    #[test]
    fn a_signed_note_is_checked_by_its_verifier_key() {
        let key = signer("log.example/prod", 7);
        let note = key.sign("two\n\nparagraphs\n").unwrap();
        let read = Note::parse(&note.to_string()).unwrap();
        assert_eq!(read, note);
        assert_eq!(read.verify(&[key.verifier()]), Ok(vec![&key.verifier()]));
        assert_eq!(key.verifier().to_string().parse(), Ok(key.verifier()));
    }

    #[test]
    fn unknown_keys_are_ignored_and_a_known_one_must_fit() {
        let (log, witness, stranger) =
            (signer("log.example", 1), signer("witness.example", 2), signer("log.example", 3));
        let text = "text\n";
        let by = |key: &SigningKey| key.sign(text).unwrap().signatures()[0].clone();
        let note = log.sign(text).unwrap().with_signatures([by(&witness), by(&stranger)]);
        assert_eq!(note.verify(&[log.verifier()]), Ok(vec![&log.verifier()]));
        let known = [witness.verifier(), log.verifier()];
        assert_eq!(note.verify(&known), Ok(vec![&known[1], &known[0]]));

        let forged = NoteSignature { signature: by(&stranger).signature, ..by(&log) };
        let note = witness.sign(text).unwrap().with_signatures([forged]);
        expect!["the signature by `log.example` does not fit the text: the text or the signature was altered"]
            .assert_eq(&note.verify(&known).unwrap_err().to_string());
        assert_eq!(note.verify(&known[..1]), Ok(vec![&known[0]]));
        expect!["none of the known keys signed the note; it has signatures by `witness.example`, `log.example`"]
            .assert_eq(&note.verify(&[stranger.verifier()]).unwrap_err().to_string());
        assert!(note.verify(&[]).is_err());
    }

    #[test]
    fn a_signature_of_the_wrong_length_rejects_the_note() {
        let key = signer("log.example", 1);
        let mut note = key.sign("text\n").unwrap();
        note.signatures[0].signature.push(0);
        assert_eq!(note.verify(&[key.verifier()]), Err(NoteError::BadSignature { name: "log.example".into() }));
    }

    #[test]
    fn names_have_neither_spaces_nor_plus() {
        for name in ["", " ", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a\u{0}b"] {
            assert_eq!(SigningKey::from_seed(name, [1; 32]).unwrap_err(), NoteError::Name { name: name.into() });
        }
        expect!["`a b` can't name a key: a name has at least one character, and neither spaces nor `+`"]
            .assert_eq(&SigningKey::from_seed("a b", [1; 32]).unwrap_err().to_string());
    }

    #[test]
    fn verifier_keys_in_any_other_form_are_refused() {
        let error = |text: &str| text.parse::<VerifierKey>().unwrap_err().to_string();
        expect!["the verifier key `example.com/foo` has the id `530d903b`, but its bytes make it `530d903a`: a part of it was altered"]
            .assert_eq(&error(&SPEC_KEY.replace("903a", "903b")));
        expect!["the verifier key `example.com/foo` is of type `0x05`; only Ed25519, `0x01`, is known here"]
            .assert_eq(&error(&SPEC_KEY.replace("+Aeky", "+Beky")));
        for malformed in ["", "a", "a+b", "a+530d903a+", "a+530d903a+AQ==", "a+530d903a+!"] {
            assert_eq!(malformed.parse::<VerifierKey>(), Err(NoteError::Key { key: malformed.into() }));
        }
        assert!(SPEC_KEY.to_uppercase().parse::<VerifierKey>().is_err());
        assert!(SPEC_KEY.replace("530d903a", "530D903A").parse::<VerifierKey>().is_err());
        assert!(format!("{SPEC_KEY} ").parse::<VerifierKey>().is_err());
        // The neutral point of the curve is a key under which anybody can sign.
        let weak = STANDARD.encode([&[ED25519, 1][..], &[0; 31]].concat());
        assert!(format!("a+00000000+{weak}").parse::<VerifierKey>().is_err());
    }

    #[test]
    fn texts_that_a_note_cannot_hold_are_not_signed() {
        for text in ["", "no newline", "tab\there\n", "return\r\n", "nul\0\n"] {
            assert_eq!(signer("log.example", 1).sign(text), Err(NoteError::Text));
        }
        assert!(signer("log.example", 1).sign("é — \u{7f}\n").is_ok());
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let line = "— a AAAAAAA=";
        let refused = [
            (format!("text\n{line}\n"), NoteError::NoSignatures),
            ("text\n\n".into(), NoteError::NoSignatures),
            (format!("text\n\n{line}"), NoteError::Text),
            (format!("text\n\n{line}\n\n"), NoteError::NoSignatures),
            (format!("text\n\n{line}\n").repeat(1 << 17), NoteError::TooLong { bytes: 21 << 17 }),
            (format!("text\n\n{}", format!("{line}\n").repeat(101)), NoteError::TooManySignatures),
        ];
        for (note, error) in refused {
            assert_eq!(Note::parse(&note), Err(error));
        }
        for line in [
            "- a AAAAAAA=",
            "—a AAAAAAA=",
            "— AAAAAAA=",
            "— a AAAAAAA",
            "— a AAAAAA==",
            "— a b AAAAAAA=",
            "— a+b AAAAAAA=",
        ] {
            assert_eq!(Note::parse(&format!("text\n\n{line}\n")), Err(NoteError::SignatureLine { line: line.into() }));
        }
        assert_eq!(
            Note::parse(&format!("text\n\n{}", format!("{line}\n").repeat(100))).unwrap().signatures().len(),
            100
        );
    }

    #[test]
    fn a_signing_key_never_shows_its_seed() {
        let key = SigningKey::from_seed("log.example", *b"seed-seed-seed-seed-seed-seed-se").unwrap();
        expect![[r#"SigningKey { name: "log.example", key_id: "ffc5e110", .. }"#]].assert_eq(&format!("{key:?}"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_note_parser_panic(text: String, line in "(— )?[a-z+ ]{0,5} ?[A-Za-z0-9+/=]{0,20}") {
            for note in [text.clone(), format!("{text}\n\n{line}\n"), line.clone()] {
                if let Ok(parsed) = Note::parse(&note) {
                    prop_assert_eq!(parsed.to_string(), note);
                    prop_assert!(parsed.verify(&[spec_key()]).is_err());
                }
            }
            prop_assert!(text.parse::<VerifierKey>().is_err());
        }

        #[test]
        fn no_verifier_key_makes_its_parser_panic(id in "[0-9a-f]{8}", typed: Vec<u8>, key: [u8; 32]) {
            for typed in [typed, [&[ED25519][..], &key].concat()] {
                let text = format!("a+{id}+{}", STANDARD.encode(&typed));
                if let Ok(key) = text.parse::<VerifierKey>() {
                    prop_assert_eq!(key.to_string(), text);
                }
            }
        }
    }
}
