//! Storms by the thousand: the same worlds and laws as in the tests, built to be fast. `cargo xtask storms 5000` plays so many seeds.
#![allow(dead_code, unused_imports, reason = "what the tests of the suite share is more than is needed here")]

#[path = "../tests/suite/storms.rs"]
mod storms;
#[path = "../tests/suite/support.rs"]
mod support;

fn main() {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(1_000);
    storms::play_and_tell(seeds);
}
