//! Words: figures as people read them in a report or a picture.
//!
//! Text only; nothing is computed from it. Next room: none.

pub(crate) use judge::words::{grouped, span};

/// Two or three telling digits.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => "over 1,000,000".to_owned(),
        v if v >= 99.5 => signed(value, &grouped(v.round() as u64)),
        v if v >= 9.95 => format!("{value:.0}"),
        v if v >= 0.995 => format!("{value:.1}"),
        v if v >= 0.0095 => format!("{value:.2}"),
        v if v >= 0.001 => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => "under 0.001".to_owned(),
    }
}

fn signed(value: f64, text: &str) -> String {
    if value < 0.0 { format!("-{text}") } else { text.to_owned() }
}

/// A factor: two digits behind the point, where they tell something.
pub(crate) fn factor(value: f64) -> String {
    match value {
        v if v > 100.0 => "over 100".to_owned(),
        v if v >= 9.995 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

/// Evidence as odds: `128 : 1`.
pub(crate) fn odds(evidence: f64) -> String {
    format!("{} : 1", figure(evidence))
}

/// A share as per cent: `0.012` as `1.2 %`.
pub(crate) fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 100.0;
    format!("{rounded} %")
}

/// `a`, `b` and `c`, each in backticks.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(
            [0.0, 0.0004, 0.004, 0.5, 1.72, 42.4, 128.3, -3310.0, 1e12].map(figure),
            ["0", "under 0.001", "0.004", "0.50", "1.7", "42", "128", "-3,310", "over 1,000,000"]
        );
        assert_eq!([0.98, 1.0, 12.3, 1e4].map(factor), ["0.98", "1.00", "12", "over 100"]);
        assert_eq!([0.012, 0.5, 1.0 / 3.0].map(percent), ["1.2 %", "50 %", "33.33 %"]);
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!((list(["a"]), list([])), ("`a`".to_owned(), String::new()));
    }
}
