//! The judge as its callers see it: settings in, looks in, verdicts out.
//!
//! Only the public surface is used here. Formulas have their tests beside them, in `src`.

mod agreement;
mod bound;
mod conditions;
mod demo;
mod gauges;
mod golden;
mod plan;
mod scan;
mod series;
mod stream;
mod world;
