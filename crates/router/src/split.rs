//! Split: which version gets the next request?
//!
//! Smooth weighted round robin, as nginx does it (commit 52327e0 of nginx, "smooth weighted round-robin balancing"): each pick credits every version with its weight, takes the richest, and charges it with the total. Over any run of `total / gcd` picks the shares are exact, and the picks of a small share are spread evenly. No randomness, no clock.

/// The running account of one backend.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    weights: Vec<i64>,
    credits: Vec<i64>,
    total: i64,
}

impl Split {
    pub(crate) fn new(weights: &[u32]) -> Split {
        let weights: Vec<i64> = weights.iter().map(|&weight| i64::from(weight)).collect();
        let total = weights.iter().sum();
        assert!(total > 0, "weights are checked before they get here");
        Split { credits: vec![0; weights.len()], weights, total }
    }

    /// The index of the next version; never one of weight zero.
    pub(crate) fn next(&mut self) -> usize {
        let mut richest = None;
        for (at, (credit, weight)) in self.credits.iter_mut().zip(&self.weights).enumerate() {
            if *weight == 0 {
                continue;
            }
            *credit += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((at, *credit));
            }
        }
        let (at, _) = richest.expect("some weight is above zero");
        self.credits[at] -= self.total;
        at
    }

    /// From the next request on, the split is exact under `weights`. Equal weights change nothing: to begin anew at each repetition would starve a small share.
    pub(crate) fn set(&mut self, weights: &[u32]) {
        let next = Split::new(weights);
        if next.weights != self.weights {
            *self = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(split: &mut Split, picks: usize) -> Vec<usize> {
        let mut counts = vec![0; split.weights.len()];
        (0..picks).for_each(|_| counts[split.next()] += 1);
        counts
    }

    #[test]
    fn shares_are_exact_over_a_period() {
        for (weights, picks, expected) in [
            (vec![9_500, 500], 1_000, vec![950, 50]),
            (vec![9_999, 1], 10_000, vec![9_999, 1]),
            (vec![0, 10_000], 100, vec![0, 100]),
            (vec![1, 1, 1], 300, vec![100, 100, 100]),
            (vec![5_000, 3_000, 2_000], 1_000, vec![500, 300, 200]),
        ] {
            assert_eq!(counts(&mut Split::new(&weights), picks), expected, "{weights:?}");
        }
    }

    #[test]
    fn a_small_share_is_spread_evenly() {
        let mut split = Split::new(&[9_500, 500]);
        let picks: Vec<usize> = (0..200).map(|_| split.next()).collect();
        let seldom: Vec<usize> = picks.iter().enumerate().filter(|(_, pick)| **pick == 1).map(|(at, _)| at).collect();
        assert_eq!(seldom, (0..10).map(|n| 10 + 20 * n).collect::<Vec<_>>());
    }

    #[test]
    fn setting_equal_weights_keeps_the_account() {
        let mut split = Split::new(&[9_500, 500]);
        let mut seldom = 0;
        for _ in 0..1_000 {
            split.set(&[9_500, 500]);
            seldom += split.next();
        }
        assert_eq!(seldom, 50);
    }

    #[test]
    fn new_weights_are_exact_from_the_first_request_on() {
        let mut split = Split::new(&[7_000, 3_000]);
        counts(&mut split, 7);
        split.set(&[9_500, 500]);
        assert_eq!(counts(&mut split, 1_000), [950, 50]);
    }
}
