//! Cost: the difference that an Infracost report foretells.
//!
//! Of the JSON of `infracost diff --format json` only the total difference and its currency are kept.

use change::facts::material::{CostDelta, Origin};
use serde::Deserialize;

use super::unread::{Unread, text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    currency: Option<String>,
    diff_total_monthly_cost: Option<Amount>,
    total_monthly_cost: Option<Amount>,
    past_total_monthly_cost: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Number(f64),
}

impl Amount {
    fn value(&self) -> Option<f64> {
        let value = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(number) => Some(*number),
        };
        // A plan that costs more than a trillion is a mistake, and no number of JSON is infinite.
        value.filter(|v: &f64| v.abs() < 1e12)
    }
}

/// Reads a report.
///
/// # Errors
/// If it is not such a report, or names no difference.
pub fn delta(name: &str, bytes: &[u8]) -> Result<CostDelta, Unread> {
    let help = "write it with `infracost diff --path . --format json > cost.json`";
    let report: Report = serde_json::from_str(text(name, bytes)?)
        .map_err(|e| Unread::new(name, format!("it is not a cost report: {e}")).help(help))?;
    let amount = |amount: &Option<Amount>| amount.as_ref().and_then(Amount::value);
    let difference = || Some(amount(&report.total_monthly_cost)? - amount(&report.past_total_monthly_cost)?);
    let Some(per_month) = amount(&report.diff_total_monthly_cost).or_else(difference) else {
        return Err(Unread::new(name, "it has no `diffTotalMonthlyCost` that is a number").help(help));
    };
    let currency = report.currency.unwrap_or_else(|| "USD".into());
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Unread::new(name, "its `currency` is no code of three letters, such as `EUR`"));
    }
    Ok(CostDelta { from: Origin::of_bytes("infracost", name, bytes), per_month, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    // X10, I9: a cost report becomes a field that policy reads.
    #[test]
    fn the_difference_is_read_or_computed_and_nothing_is_guessed() {
        let read = |text: &str| delta("cost.json", text.as_bytes()).map(|c| (c.per_month, c.currency));
        assert_eq!(read(r#"{"currency": "EUR", "diffTotalMonthlyCost": "-12.5"}"#), Ok((-12.5, "EUR".into())));
        assert_eq!(read(r#"{"totalMonthlyCost": "30", "pastTotalMonthlyCost": 10}"#), Ok((20.0, "USD".into())));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"diffTotalMonthlyCost": "NaN"}"#,
            r#"{"diffTotalMonthlyCost": "1e400"}"#,
            r#"{"diffTotalMonthlyCost": "1", "currency": "euro"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
