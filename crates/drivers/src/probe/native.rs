//! Native histograms: the buckets of Prometheus' sparse histograms, merged to a grid of edges that is the same for ever.
//!
//! Edges that followed the data would move with it, and two looks could not be compared. The grid is of powers of two: four to an octave where requests
//! are mostly served, fewer below and above. A histogram with coarser buckets than the grid keeps the edges that it has; between them nothing is guessed.
//! Source: the schemas of prometheus/client_model, where schema s has edges at 2^(k / 2^s).

use std::collections::BTreeMap;

use change::Timestamp;
use engine::ports::Series;
use serde::Deserialize;

/// A histogram as the HTTP API shows it: numbers as text, buckets with their rule, lower edge, upper edge and count.
#[derive(Debug, Deserialize)]
pub(crate) struct Native {
    count: String,
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

/// The edges of the grid as exponents of two, in quarters: below 4 ms and above a second whole octaves, between them quarters. Forty in all.
fn grid() -> impl Iterator<Item = i32> {
    [-40, -36].into_iter().chain(-32..=0).chain([4, 8, 12, 16, 20])
}

/// One bucket: durations above `lower`, up to `upper`, in seconds.
struct Bucket {
    lower: f64,
    upper: f64,
    count: f64,
}

impl Native {
    /// The histogram as cumulative series with the label `le`. Nothing if no bucket shows how fine it is.
    ///
    /// # Errors
    /// If it holds text that is no number.
    pub(crate) fn series(
        &self,
        labels: &BTreeMap<String, String>,
        at: Option<Timestamp>,
    ) -> Result<Vec<Series>, String> {
        let number = |text: &String| text.parse::<f64>().map_err(|_| format!("`{text}` is no number of a histogram"));
        let count = number(&self.count)?;
        let bucket = |(_, lower, upper, count): &(u8, String, String, String)| {
            Ok::<_, String>(Bucket { lower: number(lower)?, upper: number(upper)?, count: number(count)? })
        };
        let buckets: Vec<Bucket> = self.buckets.iter().map(bucket).collect::<Result<_, _>>()?;
        let Some(per_octave) = buckets.iter().find_map(Bucket::per_octave) else { return Ok(vec![]) };
        let one = |le: String, value: f64| {
            let mut labels = labels.clone();
            labels.insert("le".into(), le);
            Series { labels, value, at }
        };
        let is_edge = |quarters: &i32| is_whole(f64::from(*quarters) / 4.0 * per_octave);
        let mut series: Vec<Series> = grid()
            .filter(is_edge)
            .map(|quarters| {
                let edge = (f64::from(quarters) / 4.0).exp2();
                // What lies below zero, or around it, is below every edge.
                let below = buckets.iter().filter(|b| b.upper <= edge * (1.0 + 1e-9));
                one(edge.to_string(), below.map(|b| b.count).fold(0.0, |sum, count| sum + count))
            })
            .collect();
        series.push(one("+Inf".into(), count));
        Ok(series)
    }
}

impl Bucket {
    /// How many buckets an octave has, where this one shows it: 2^schema.
    fn per_octave(&self) -> Option<f64> {
        let octaves = (self.upper / self.lower).log2();
        (self.lower > 0.0 && octaves.is_finite() && octaves > 0.0).then(|| (1.0 / octaves).log2().round().exp2())
    }
}

fn is_whole(number: f64) -> bool {
    (number - number.round()).abs() < 1e-9
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn series(buckets: &[(f64, f64, f64)], count: f64) -> Vec<(String, f64)> {
        let buckets: Vec<_> =
            buckets.iter().map(|(l, u, c)| json!([0, l.to_string(), u.to_string(), c.to_string()])).collect();
        let native = json!({"count": count.to_string(), "sum": "1", "buckets": buckets});
        let native: Native = serde_json::from_value(native).expect("is a histogram");
        let series = native.series(&BTreeMap::from([("v".into(), "v2".into())]), None).expect("has numbers");
        series.into_iter().map(|s| (s.labels["le"].clone(), s.value)).collect()
    }

    fn value(series: &[(String, f64)], le: &str) -> f64 {
        series.iter().find(|(edge, _)| edge == le).unwrap_or_else(|| panic!("no {le} in {series:?}")).1
    }

    #[test]
    fn fine_buckets_are_merged_to_forty_edges_that_never_move() {
        // Schema 3: eight to an octave. One request in (0.4585, 0.5], four in (0.5, 0.5453], two above 32 s.
        let edge = |eighths: i32| (f64::from(eighths) / 8.0).exp2();
        let few = series(&[(edge(-9), edge(-8), 1.0), (edge(-8), edge(-7), 4.0), (edge(48), edge(49), 2.0)], 7.0);
        assert_eq!(
            (few.len(), value(&few, "0.5"), value(&few, "1"), value(&few, "32"), value(&few, "+Inf")),
            (41, 1.0, 5.0, 5.0, 7.0)
        );
        assert_eq!(value(&few, &(-0.75f64).exp2().to_string()), 5.0);
        let other = series(&[(edge(-81), edge(-80), 1.0)], 1.0);
        let edges = |series: &[(String, f64)]| series.iter().map(|(le, _)| le.clone()).collect::<Vec<_>>();
        assert_eq!(edges(&other), edges(&few));
        assert_eq!(value(&other, "0.0009765625"), 1.0);
    }

    #[test]
    fn coarse_buckets_keep_the_edges_that_they_have() {
        let octaves = series(&[(0.25, 0.5, 3.0), (0.5, 1.0, 2.0)], 5.0);
        assert_eq!((octaves.len(), value(&octaves, "0.5"), value(&octaves, "1")), (17, 3.0, 5.0));
        let double = series(&[(0.25, 1.0, 3.0)], 3.0);
        assert!(double.iter().all(|(le, _)| le != "0.5") && value(&double, "1") == 3.0, "{double:?}");
    }

    #[test]
    fn what_is_around_zero_is_below_every_edge_and_not_a_number_above_all() {
        let odd = series(&[(-1.0, -0.5, 1.0), (-1e-9, 1e-9, 2.0), (0.25, 0.5, 1.0)], 5.0);
        assert_eq!((value(&odd, "0.0009765625"), value(&odd, "0.5"), value(&odd, "+Inf")), (3.0, 4.0, 5.0));
        assert_eq!(series(&[(-1e-9, 1e-9, 2.0)], 2.0), []);
    }
}
