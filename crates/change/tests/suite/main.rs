//! The proof of the pure core: a matrix of every phase and command, properties of long random lives, exhaustive checks of two small worlds (one of a
//! rollout, with mutants that it has to find, one of governance), stories, and change files as people write them.

mod world;

mod access;
mod agenda;
mod calendar;
mod change_file;
mod clocks;
mod conflicts;
mod diff;
mod feed;
mod gates;
mod matrix;
mod model;
mod model_governance;
mod mutants;
mod properties;
mod release;
mod stories;
mod told;
