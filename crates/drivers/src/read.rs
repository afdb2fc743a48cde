//! Readers: what other tools write, taken over as values, with a note for all that means something else here.
//!
//! Pure: text in, values out; no reader opens a file or asks a server. Nothing is taken over in silence that another tool meant otherwise.
//! Recordings are in [`evidence`]; settings in [`imported`], then [`analysis`](mod@analysis), then one file for each format.

pub mod evidence;

pub mod imported;

pub mod analysis;

pub mod openslo;

pub mod secrets;

mod argo;
mod flagger;
mod kayenta;

mod condition;
mod placeholder;
mod promql;
mod sli;
mod yaml;

#[cfg(test)]
mod tests;

pub use analysis::{analysis, analysis_as, format_of};
pub use imported::{Format, Given, Imported, JudgeFile, Level, Note};
