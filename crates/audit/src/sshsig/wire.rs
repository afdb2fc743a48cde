//! The wire format of SSH (RFC 4251, section 5): numbers and strings, one after the other.
//!
//! Each read takes what is there or answers nothing; it never reads past the end and never copies. Next room: [`key`](super::key).

/// Takes values from the front of some bytes.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A positive number of any length, without leading zeros.
    pub(super) fn natural(&mut self) -> Option<&'a [u8]> {
        match self.string()? {
            // A number whose first bit is set is negative, unless a zero stands before it; any other zero is superfluous.
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Some(rest),
            number if number.first().is_some_and(|first| *first != 0 && first & 0x80 == 0) => Some(number),
            _ => None,
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Appends a string with its length. Ours are hashes and fields of signatures of a bounded size.
pub(super) fn put_string(bytes: &mut Vec<u8>, string: &[u8]) {
    bytes.extend(u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(string);
}
