//! The judge as its callers see it: settings in, looks in, verdicts out.
//!
//! Only the public surface is used here. Formulas have their tests beside them, in `src`.

mod agreement;
mod bound;
mod conditions;
mod demo;
mod golden;
mod plan;
mod world;
