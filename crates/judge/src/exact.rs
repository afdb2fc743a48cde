//! Exact: numbers of the judge's state as their bits, so that a judge that was kept and taken up again goes on with the same bits.
//!
//! Decimal text would do for people; readers of it may be one bit off. For state only: settings and verdicts stay plain numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) trait Bits: Sized {
    type Words: Serialize + for<'de> Deserialize<'de>;
    fn words(&self) -> Self::Words;
    fn from_words(words: Self::Words) -> Self;
}

impl Bits for f64 {
    type Words = u64;

    fn words(&self) -> u64 {
        self.to_bits()
    }

    fn from_words(words: u64) -> Self {
        f64::from_bits(words)
    }
}

impl<const N: usize> Bits for [f64; N]
where
    [u64; N]: Serialize + for<'de> Deserialize<'de>,
{
    type Words = [u64; N];

    fn words(&self) -> [u64; N] {
        self.map(f64::to_bits)
    }

    fn from_words(words: [u64; N]) -> Self {
        words.map(f64::from_bits)
    }
}

pub(crate) fn serialize<T: Bits, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.words().serialize(to)
}

pub(crate) fn deserialize<'de, T: Bits, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::Words::deserialize(from).map(T::from_words)
}
