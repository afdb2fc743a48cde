//! Words: counts and spans of time as people read them, for sentences here and for reports elsewhere.
//!
//! Text only; nothing may be computed from it. Next room: [`sentence`](crate::sentence).

/// `3310` as `3,310`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `90_500` ms as `1 min 30 s`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{ms} ms"),
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_spans_read_as_people_write_them() {
        assert_eq!([0, 12, 999, 3310, 1_234_567].map(grouped), ["0", "12", "999", "3,310", "1,234,567"]);
        assert_eq!(
            [250, 4000, 60_000, 90_500, 3_600_000, 3_660_000].map(span),
            ["250 ms", "4 s", "1 min", "1 min 30 s", "1 h", "1 h 1 min"]
        );
    }
}
