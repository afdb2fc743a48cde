//! Split: does the canary get the share of requests that was asked for?
//!
//! An always-valid multinomial test (Lindon & Malek 2022) for two cohorts: it may be looked at after every look. A split that is off means that
//! the router does something else than the plan says, so nothing that was measured can be trusted to be what was meant. Next room:
//! [`counted`](crate::counted).

/// How sharply the mixture sits around the share that was asked for.
const CONCENTRATION: f64 = 100.0;
const ALPHA: f64 = 1e-4;
/// A real router's share is never exact, and with enough requests any difference shows: less than this relative difference is let be.
const LET_BE: f64 = 0.1;

/// Whether the counts contradict the share that was asked for.
pub(crate) fn mismatches(baseline: u64, canary: u64, share: f64) -> bool {
    let (canary, baseline) = (canary as f64, baseline as f64);
    let off = (canary / (canary + baseline) - share).abs();
    off > LET_BE * share.min(1.0 - share) && ln_evidence(canary, baseline, share) >= (1.0 / ALPHA).ln()
}

fn ln_evidence(canary: f64, baseline: f64, share: f64) -> f64 {
    let (a, b) = (CONCENTRATION * share, CONCENTRATION * (1.0 - share));
    let mixture = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + ln_gamma(a + canary) + ln_gamma(b + baseline)
        - ln_gamma(a + b + canary + baseline);
    mixture - canary * share.ln() - baseline * (1.0 - share).ln()
}

/// Stirling's series after shifting the argument above 10; good to 1e-12 relative.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_agrees_with_factorials() {
        let mut factorial = 1.0f64;
        for n in 1..20 {
            assert!((ln_gamma(f64::from(n)) - factorial.ln()).abs() < 1e-10, "{n}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
    }

    /// Recorded from SciPy's `gammaln`.
    #[test]
    fn ln_gamma_agrees_with_scipy() {
        let recorded = [
            (0.01, 4.599_479_878_042_022),
            (0.37, 0.876_946_819_484_879_1),
            (1.5, -0.120_782_237_635_245_26),
            (4.25, 2.114_456_927_450_371_7),
            (9.99, 12.779_315_214_350_195),
            (10.01, 12.824_350_262_448_247),
            (123.456, 469.605_547_132_929_5),
            (5000.5, 37_586.884_887_286_08),
            (1_000_000.25, 12_815_508.023_025_157),
        ];
        for (x, expected) in recorded {
            let found: f64 = ln_gamma(x);
            assert!((found - expected).abs() <= 1e-9 * f64::abs(expected), "{x}: {found} here, {expected} recorded");
        }
    }

    #[test]
    fn a_wrong_split_is_seen_and_a_right_one_is_not() {
        assert!(mismatches(9_500, 500, 0.25));
        assert!(mismatches(5_000, 5_000, 0.05));
        assert!(!mismatches(7_500, 2_500, 0.25));
        assert!(!mismatches(7_480, 2_520, 0.25));
        assert!(!mismatches(1, 0, 0.5));
        assert!(!mismatches(0, 0, 0.5), "nothing was counted");
        assert!(!mismatches(749_000_000, 251_000_000, 0.25), "a relative difference of 0.4 % is let be");
    }
}
