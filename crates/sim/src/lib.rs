//! The product in a box: a simulated world around the real product.
//!
//! The shop and its visitors are what the demo runs; the tests of this crate play whole scenarios that no single room could.

pub mod fleet;
pub mod load;
pub mod shop;
pub mod storm;
pub mod world;
