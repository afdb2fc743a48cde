//! The proof of the pure core: a matrix of every phase and command, properties of long random lives, an exhaustive check of a small world with
//! mutants that it has to find, and change files as people write them.

mod world;

mod access;
mod change_file;
mod diff;
mod matrix;
mod model;
mod model_governance;
mod mutants;
mod properties;
mod stories;
