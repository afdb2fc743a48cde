//! The statistics of a canary verdict: given what each look saw, is the change harmful, shown safe, or not yet known?
//!
//! Two kinds of evidence run side by side. *Harm* is an e-process per SLI that may be looked at after every look: the chance that it ever
//! reaches `1/alpha` for a harmless canary is at most `alpha`, over all SLIs, looks and steps of the change. *Safety* is the mirror, started
//! anew in each step. A step may only pass when nothing stands against it: `reasons` lists what does, and `pass` is its empty list.
//!
//! This crate knows counts and histograms. It must never know a clock, a network, a telemetry system or what a change is; the same looks give
//! the same bits. State per SLI is constant and below 2 kB, whatever the number of looks.
//!
//! Reading order is the order below. The words and formulas are those of the design's chapter on the verdict.

mod settings;

mod look;

mod table;

mod thresholds;

mod dispersion;

mod harm;

mod safety;

mod effect;

mod split;

mod counted;

mod gauge;

mod slope;

mod check;

mod judge;

mod reasons;

pub mod words;

mod sentence;

mod verdict;

mod scan;

mod exact;

pub mod plan;

pub mod stream;

pub use judge::Judge;
pub use look::{Counts, Look, Reading};
pub use scan::{
    Beyond, Finding, Newcomer, Pair, Scan, ScanBlock, ScanLook, ScanSettings, ScanTally, SeriesKind, SeriesReading,
};
pub use settings::{
    Comparison, Direction, Margins, Profile, Role, Settings, SettingsError, SliKind, SliSettings, StepSettings,
};
pub use verdict::{Answer, Kind, Reason, ReasonCode, Samples, SliVerdict, Verdict};
