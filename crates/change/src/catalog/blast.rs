//! Blast radius: who notices when a service fails, as a value.
//!
//! A figure over the catalog alone. How a change is rolled out, and whether that is dangerous, is not asked here: policy does.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The services reached downstream of some services: those that call them, directly or through others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlastRadius {
    /// The services that it is about. They are not counted themselves.
    pub of: BTreeSet<String>,
    /// Who notices: nearest first, then by name. Each is counted once, at its least distance.
    pub reached: Vec<Reached>,
    /// From 0 (nobody notices) to below 100.
    ///
    /// Each service reached weighs by its tier and its distance, `weight(tier) / 2^(hops - 1)`, with the weights 1, 1/2, 1/4 and 1/10 for the tiers 1
    /// to 4. With `s` the sum of these, the figure is `100 s / (s + 4)`, rounded to one decimal: one direct caller of tier 1 makes 20, four make 50,
    /// and no number of services makes 100. It grows with every service that is added, and comes to an end over cycles, because each counts once.
    pub figure: f64,
}

/// A service that notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    pub service: String,
    pub tier: u8,
    /// Calls away: 1 for a direct caller.
    pub hops: usize,
}

/// The sum of weights at which the figure is 50.
const HALF: f64 = 4.0;

impl BlastRadius {
    pub(super) fn of(of: BTreeSet<String>, reached: Vec<Reached>) -> Self {
        let sum: f64 = reached.iter().map(weight).sum();
        // An empty sum is minus zero.
        let figure = (1_000.0 * sum / (sum + HALF)).round() / 10.0 + 0.0;
        // So many services that rounding would make it whole.
        Self { of, reached, figure: figure.min(99.9) }
    }

    /// How many services of a tier are reached.
    pub fn of_tier(&self, tier: u8) -> usize {
        self.reached.iter().filter(|r| r.tier == tier).count()
    }

    /// How many services call directly.
    pub fn direct(&self) -> usize {
        self.reached.iter().filter(|r| r.hops == 1).count()
    }

    /// The distance of the farthest.
    pub fn depth(&self) -> usize {
        self.reached.last().map_or(0, |r| r.hops)
    }
}

fn weight(reached: &Reached) -> f64 {
    let tier = match reached.tier {
        0 | 1 => 1.0,
        2 => 0.5,
        3 => 0.25,
        _ => 0.1,
    };
    // Farther than a thousand calls it is nothing in any case; the bound keeps the exponent a small number.
    let hops = i32::try_from(reached.hops.clamp(1, 1_000)).unwrap_or(1_000);
    tier * 0.5_f64.powi(hops - 1)
}
