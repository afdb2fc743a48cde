//! Public keys of SSH: which kinds are known, how they are written, and whether one made a signature.
//!
//! Ed25519, ECDSA on P-256 and RSA from 2048 bits, the first two also on hardware (`sk-`). DSA, SHA-1 and other curves are refused by name. A key is
//! compared by its bytes, which are kept as they came; a comment is no part of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature as EcSignature, VerifyingKey as EcKey};
use sha2::{Digest, Sha256};

use super::rsa::RsaKey;
use super::wire::Reader;

const ED25519: &str = "ssh-ed25519";
const ECDSA: &str = "ecdsa-sha2-nistp256";
const RSA: &str = "ssh-rsa";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

/// The kinds of keys that are known.
pub const KINDS: [&str; 5] = [ED25519, ECDSA, RSA, SK_ED25519, SK_ECDSA];

/// Fewer bits can be factored, more are a way to keep us busy.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// A key of 8192 bits is written in 1,400 characters.
const MOST_BYTES: usize = 4_096;

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("this is not an SSH public key: expected a kind and base64, as in `ssh-ed25519 AAAAC3Nz...`")]
    Form,
    #[error("keys of the kind `{found}` are not accepted; use one of {}", KINDS.join(", "))]
    Kind { found: String },
    #[error("the RSA key has `{bits}` bits; from {} to {} are accepted", RSA_BITS.start(), RSA_BITS.end())]
    RsaSize { bits: usize },
    #[error("the key is damaged: its bytes are no key of the kind `{kind}`")]
    Damaged { kind: String },
}

/// A public key whose form has been checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    kind: &'static str,
    blob: Vec<u8>,
    parts: Parts,
}

/// The parts of a key that its signatures are checked with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Parts {
    Ed25519 { point: [u8; 32], application: Option<Vec<u8>> },
    Ecdsa { point: Vec<u8>, application: Option<Vec<u8>> },
    Rsa { exponent: Vec<u8>, modulus: Vec<u8> },
}

impl PublicKey {
    /// A key as a line of `id_ed25519.pub` or of `authorized_keys` without options has it; a comment may follow.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_line(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_whitespace();
        let (kind, base64) = words.next().zip(words.next()).ok_or(KeyError::Form)?;
        if base64.len() > MOST_BYTES {
            return Err(KeyError::Form);
        }
        let key = Self::from_blob(&STANDARD.decode(base64).map_err(|_| KeyError::Form)?)?;
        if key.kind == kind { Ok(key) } else { Err(KeyError::Damaged { kind: shown(kind.as_bytes()) }) }
    }

    /// A key from its bytes on the wire (RFC 4253, section 6.6).
    pub(super) fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let found = reader.string().ok_or(KeyError::Form)?;
        let known = KINDS.into_iter().find(|kind| kind.as_bytes() == found);
        let kind = known.ok_or_else(|| KeyError::Kind { found: shown(found) })?;
        let damaged = || KeyError::Damaged { kind: kind.to_owned() };
        let parts = Parts::read(kind, &mut reader).filter(|_| reader.is_empty()).ok_or_else(damaged)?;
        parts.check(kind)?;
        Ok(Self { kind, blob: blob.to_vec(), parts })
    }

    /// Such as `ssh-ed25519`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// As `ssh-keygen -l` shows it: `SHA256:` and the hash in base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    /// What a hardware key was made for.
    pub(super) fn application(&self) -> Option<&[u8]> {
        match &self.parts {
            Parts::Ed25519 { application, .. } | Parts::Ecdsa { application, .. } => application.as_deref(),
            Parts::Rsa { .. } => None,
        }
    }

    /// The kinds of signatures that this key makes. `ssh-rsa` as a kind of signature is SHA-1, and so is absent.
    pub(super) fn algorithms(&self) -> &'static [&'static str] {
        match self.kind {
            ED25519 => &[ED25519],
            ECDSA => &[ECDSA],
            SK_ED25519 => &[SK_ED25519],
            SK_ECDSA => &[SK_ECDSA],
            _ => &["rsa-sha2-512", "rsa-sha2-256"],
        }
    }

    /// Whether this key made the signature of these bytes.
    pub(super) fn fits(&self, algorithm: &[u8], signature: &[u8], signed: &[u8]) -> bool {
        match &self.parts {
            Parts::Ed25519 { point, .. } => fits_ed25519(point, signature, signed).is_some(),
            Parts::Ecdsa { point, .. } => fits_ecdsa(point, signature, signed).is_some(),
            Parts::Rsa { exponent, modulus } => RsaKey { modulus, exponent }.fits(algorithm, signature, signed),
        }
    }
}

impl Parts {
    fn read(kind: &str, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match kind {
            ED25519 => Self::Ed25519 { point: reader.string()?.try_into().ok()?, application: None },
            SK_ED25519 => {
                Self::Ed25519 { point: reader.string()?.try_into().ok()?, application: Some(reader.string()?.to_vec()) }
            }
            ECDSA => Self::Ecdsa { point: p256_point(reader)?, application: None },
            SK_ECDSA => Self::Ecdsa { point: p256_point(reader)?, application: Some(reader.string()?.to_vec()) },
            _ => Self::Rsa { exponent: reader.natural()?.to_vec(), modulus: reader.natural()?.to_vec() },
        })
    }

    fn check(&self, kind: &str) -> Result<(), KeyError> {
        let is_sound = match self {
            Self::Ed25519 { point, .. } => EdKey::from_bytes(point).is_ok_and(|key| !key.is_weak()),
            Self::Ecdsa { point, .. } => EcKey::from_sec1_bytes(point).is_ok(),
            Self::Rsa { exponent, modulus } => {
                let key = RsaKey { modulus, exponent };
                if !RSA_BITS.contains(&key.bits()) {
                    return Err(KeyError::RsaSize { bits: key.bits() });
                }
                key.is_sound()
            }
        };
        if is_sound { Ok(()) } else { Err(KeyError::Damaged { kind: kind.to_owned() }) }
    }
}

fn p256_point(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    (reader.string()? == b"nistp256").then_some(())?;
    // OpenSSH writes points uncompressed, and so is a point written in one way only.
    reader.string().filter(|point| point.len() == 65 && point[0] == 4).map(<[u8]>::to_vec)
}

fn fits_ed25519(point: &[u8; 32], signature: &[u8], signed: &[u8]) -> Option<()> {
    let signature = EdSignature::from_slice(signature).ok()?;
    EdKey::from_bytes(point).ok()?.verify_strict(signed, &signature).ok()
}

fn fits_ecdsa(point: &[u8], signature: &[u8], signed: &[u8]) -> Option<()> {
    let mut reader = Reader::new(signature);
    let (r, s) = (scalar(reader.natural()?)?, scalar(reader.natural()?)?);
    reader.is_empty().then_some(())?;
    let signature = EcSignature::from_scalars(r, s).ok()?;
    EcKey::from_sec1_bytes(point).ok()?.verify(signed, &signature).ok()
}

fn scalar(number: &[u8]) -> Option<[u8; 32]> {
    let mut scalar = [0; 32];
    let start = scalar.len().checked_sub(number.len())?;
    scalar[start..].copy_from_slice(number);
    Some(scalar)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(60).collect()
}

/// As `id_ed25519.pub` has it, without a comment.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.fingerprint())
    }
}
