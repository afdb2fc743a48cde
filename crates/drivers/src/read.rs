//! Readers: what other tools write, taken over as values, with a note for all that means something else here.
//!
//! Pure: text in, values out; no reader opens a file or asks a server, but [`git`], which asks the `git` program. Nothing is taken over in silence that
//! another tool meant otherwise. Recordings are in [`evidence`], services in [`backstage`], calls between them in [`calls`]; settings in [`imported`],
//! then [`analysis`](mod@analysis), then one file for each format. What a change is made of (`change::facts::material`) is read by [`git`],
//! [`terraform`], [`manifests`], [`migration`], [`junit`] and [`cost`].

pub mod evidence;

pub mod imported;

pub mod analysis;

pub mod openslo;

pub mod backstage;

pub mod calls;
pub mod cost;
pub mod git;
pub mod icalendar;
pub mod junit;
pub mod manifests;
pub mod migration;
pub mod secrets;
pub mod terraform;
pub mod unread;

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

/// The readers of other tools' files that a governance folder may hold.
pub fn readers() -> change::governance::Readers<'static> {
    change::governance::Readers { slos: &openslo::slis, catalog: &backstage::entries, turns: &icalendar::watches }
}
