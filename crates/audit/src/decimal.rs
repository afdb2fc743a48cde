//! Numbers in text formats: is this the one way to write that number?
//!
//! Two spellings of one size would be two texts for one checkpoint, so signs, spaces and leading zeros are refused. Never lenient.
//! Used by [`tile`](crate::tile), [`checkpoint`](crate::checkpoint) and [`proof_file`](crate::proof_file).

/// The value of an ASCII decimal without sign or leading zeros (`0` itself excepted); `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_number_has_exactly_one_spelling() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("70000"), Some(70_000));
        assert_eq!(parse("18446744073709551615"), Some(u64::MAX));
        for refused in ["", "00", "07", "+7", "-7", " 7", "7 ", "7_0", "0x7", "٧", "18446744073709551616"] {
            assert_eq!(parse(refused), None, "{refused:?}");
        }
    }
}
