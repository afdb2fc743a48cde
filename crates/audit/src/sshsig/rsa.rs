//! RSA: does this signature open to exactly the padding and hash that it must (RFC 8017, section 8.2.2)?
//!
//! The padded hash is built and compared as a whole. Nothing is parsed out of what a signature opens to: that is where forgeries came from. There is no
//! secret here, so nothing has to take the same time.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use sha2::{Digest, Sha256, Sha512};

/// What stands before the hash, in DER (RFC 8017, section 9.2).
const SHA256_INFO: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const SHA512_INFO: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";

/// A public key: the modulus and the exponent, in big-endian bytes without leading zeros.
pub(super) struct RsaKey<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
}

impl RsaKey<'_> {
    /// The length of the modulus.
    pub(super) fn bits(&self) -> usize {
        self.modulus.first().map_or(0, |first| self.modulus.len() * 8 - first.leading_zeros() as usize)
    }

    /// Whether both numbers are such as a real key has: an odd modulus, and an odd exponent from 3 that fits 64 bits.
    pub(super) fn is_sound(&self) -> bool {
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        is_odd(self.modulus) && is_odd(self.exponent) && self.exponent.len() <= 8 && self.exponent != [1]
    }

    pub(super) fn fits(&self, algorithm: &[u8], signature: &[u8], signed: &[u8]) -> bool {
        let (info, hash) = match algorithm {
            b"rsa-sha2-256" => (SHA256_INFO, Sha256::digest(signed).to_vec()),
            b"rsa-sha2-512" => (SHA512_INFO, Sha512::digest(signed).to_vec()),
            _ => return false,
        };
        let padded = padded(self.modulus.len(), info, &hash);
        padded.is_some() && self.open(signature) == padded
    }

    /// The signature to the power of the exponent, as many bytes as the modulus has.
    fn open(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let precision = u32::try_from(self.modulus.len() * 8).ok()?;
        let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, precision).ok();
        let (modulus, value) = (number(self.modulus)?, number(signature)?);
        if value >= modulus {
            return None;
        }
        let parameters = BoxedMontyParams::new_vartime(Odd::new(modulus).into_option()?);
        let exponent = BoxedUint::from_be_slice(self.exponent, 64).ok()?;
        let opened = BoxedMontyForm::new(value, &parameters).pow(&exponent).retrieve().to_be_bytes().to_vec();
        // The number is kept in whole words, which may be longer than the modulus.
        let start = opened.len().checked_sub(self.modulus.len())?;
        opened[..start].iter().all(|byte| *byte == 0).then(|| opened[start..].to_vec())
    }
}

/// `00 01 FF ... FF 00 info hash`, of this length; nothing where it is too short for that.
fn padded(length: usize, info: &[u8], hash: &[u8]) -> Option<Vec<u8>> {
    let filling = length.checked_sub(info.len() + hash.len() + 3).filter(|filling| *filling >= 8)?;
    Some([&[0, 1][..], &vec![0xff; filling], &[0], info, hash].concat())
}
