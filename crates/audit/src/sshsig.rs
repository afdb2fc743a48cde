//! SSH signatures: did the owner of this SSH key sign these bytes, for this purpose?
//!
//! Reads what `ssh-keygen -Y sign` writes (OpenSSH, PROTOCOL.sshsig and PROTOCOL.u2f) and answers with the key that signed. Whether that key may sign,
//! and whose it is, is not known here. It never passes what it does not understand: another kind of key, hash or version is an error.
//! Keys are read in [`key`]; the arithmetic of RSA is in `rsa`.

pub mod key;
mod rsa;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

pub use key::{KeyError, PublicKey};
use wire::Reader;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// The largest that we read, an RSA key of 8192 bits, makes less than 4,000 characters. The rest is somebody filling our memory.
pub const MOST_BYTES: usize = 8_192;

/// Bits of the flags that a hardware key signs with (FIDO2, authenticator data).
const USER_PRESENT: u8 = 0x01;

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshsigError {
    #[error("the signature has `{bytes}` bytes, more than the `{MOST_BYTES}` that are read")]
    TooLong { bytes: usize },
    #[error(
        "this is not an SSH signature: expected the lines `{BEGIN}` to `{END}` with base64 between them, as `ssh-keygen -Y sign` writes them"
    )]
    Armor,
    #[error("the signature is cut off or has something appended")]
    Truncated,
    #[error("the signature has the version `{found}`; only `{VERSION}` is known here")]
    Version { found: u32 },
    #[error("the signature was made for the namespace `{found}`, not for `{wanted}`: sign again with `-n {wanted}`")]
    Namespace { found: String, wanted: String },
    #[error("the signature uses the hash `{found}`; only `sha256` and `sha512` are known here")]
    Hash { found: String },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the signature is of the kind `{found}`, which does not go with a key of the kind `{key}`")]
    Algorithm { found: String, key: String },
    #[error(
        "the hardware key signed without being touched; a vote needs a person: sign with a key that asks for a touch"
    )]
    Untouched,
    #[error("the signature does not fit: the text, the key or the signature is another one")]
    Mismatch,
}

/// The key that signed `message` for `namespace`, where the signature holds.
///
/// # Errors
/// Why it does not hold; nothing is known of the key then.
pub fn verify(armored: &str, namespace: &str, message: &[u8]) -> Result<PublicKey, SshsigError> {
    let blob = unarmor(armored)?;
    let parts = Parts::read(&blob)?;
    if parts.namespace != namespace.as_bytes() {
        let found = String::from_utf8_lossy(parts.namespace).chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(SshsigError::Namespace { found, wanted: namespace.to_owned() });
    }
    let key = PublicKey::from_blob(parts.key)?;
    check(&key, parts.signature, &parts.signed_bytes(message)?)?;
    Ok(key)
}

fn unarmor(armored: &str) -> Result<Vec<u8>, SshsigError> {
    if armored.len() > MOST_BYTES {
        return Err(SshsigError::TooLong { bytes: armored.len() });
    }
    let body = armored.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(SshsigError::Armor)?;
    let base64: String = body.lines().map(str::trim).collect();
    STANDARD.decode(base64).map_err(|_| SshsigError::Armor)
}

/// The fields of a signature.
struct Parts<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(blob: &'a [u8]) -> Result<Self, SshsigError> {
        let mut reader = Reader::new(blob.strip_prefix(MAGIC).ok_or(SshsigError::Armor)?);
        let version = reader.number().ok_or(SshsigError::Truncated)?;
        if version != VERSION {
            return Err(SshsigError::Version { found: version });
        }
        let mut next = || reader.string().ok_or(SshsigError::Truncated);
        let parts = Self { key: next()?, namespace: next()?, reserved: next()?, hash: next()?, signature: next()? };
        if reader.is_empty() { Ok(parts) } else { Err(SshsigError::Truncated) }
    }

    /// What the key has signed: the namespace and the hash of the message, under the magic word.
    fn signed_bytes(&self, message: &[u8]) -> Result<Vec<u8>, SshsigError> {
        let hash = match self.hash {
            b"sha256" => Sha256::digest(message).to_vec(),
            b"sha512" => Sha512::digest(message).to_vec(),
            other => {
                let found = String::from_utf8_lossy(other).chars().filter(|c| !c.is_control()).take(100).collect();
                return Err(SshsigError::Hash { found });
            }
        };
        let mut bytes = MAGIC.to_vec();
        for part in [self.namespace, self.reserved, self.hash, &hash] {
            wire::put_string(&mut bytes, part);
        }
        Ok(bytes)
    }
}

fn check(key: &PublicKey, signature: &[u8], signed: &[u8]) -> Result<(), SshsigError> {
    let mut reader = Reader::new(signature);
    let algorithm = reader.string().ok_or(SshsigError::Truncated)?;
    let value = reader.string().ok_or(SshsigError::Truncated)?;
    let signed = match key.application() {
        Some(application) => by_hardware(&mut reader, application, signed)?,
        None => signed.to_vec(),
    };
    if !reader.is_empty() {
        return Err(SshsigError::Truncated);
    }
    if !key.algorithms().iter().any(|known| known.as_bytes() == algorithm) {
        let found = String::from_utf8_lossy(algorithm).chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(SshsigError::Algorithm { found, key: key.kind().to_owned() });
    }
    if key.fits(algorithm, value, &signed) { Ok(()) } else { Err(SshsigError::Mismatch) }
}

/// What a hardware key signs instead of the bytes themselves: the application, the flags, its counter, and the hash of the bytes.
fn by_hardware(reader: &mut Reader<'_>, application: &[u8], signed: &[u8]) -> Result<Vec<u8>, SshsigError> {
    let flags = reader.byte().ok_or(SshsigError::Truncated)?;
    let counter = reader.number().ok_or(SshsigError::Truncated)?;
    if flags & USER_PRESENT == 0 {
        return Err(SshsigError::Untouched);
    }
    let mut bytes = Sha256::digest(application).to_vec();
    bytes.push(flags);
    bytes.extend(counter.to_be_bytes());
    bytes.extend(Sha256::digest(signed));
    Ok(bytes)
}
