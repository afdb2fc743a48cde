//! Measures: how well do changes go, by the log?
//!
//! Folds over events, and arithmetic. Each figure comes with its sample and the changes that it counts, so that it can be looked into; where there is
//! nothing to count it is absent, never zero. It must never read a clock or a store: events and periods are arguments. [`fold`] keeps what is needed
//! of each change, [`report`] makes the figures of a period from it. [`burn`] is the arithmetic of error budgets, over counts that the shell has read.

pub mod burn;
pub mod control_report;
pub mod controls;
pub mod fold;
pub mod report;

pub use control_report::ControlReport;
pub use fold::Fold;
pub use report::{ByRisk, Figure, Report, Unit};
