//! The loop: loads a change, asks the core, appends what it says, and acts through ports.
//!
//! Every trait towards the outside is in [`ports`]; every public operation is on [`Handle`]. Nothing is acted upon that the log does not say has begun,
//! and after a crash the same intents are derived again: there is no queue of effects to lose. No rule of the lifecycle lives here.

mod act;
mod admission;
pub mod agenda;
mod asked;
pub mod budgets;
mod checks;
pub mod clock;
mod commit;
pub mod edits;
mod elsewhere;
pub mod handle;
mod hints;
pub mod holds;
pub mod in_force;
mod in_the_way;
mod judging;
mod look;
mod people;
pub mod planning;
pub mod policies;
pub mod ports;
pub mod project;
mod reconcile;
pub mod recovery;
mod refusals;
pub mod releases;
pub mod replay;
pub mod rosters;
mod scanning;
pub mod scrub;
pub mod signing;
mod slis;
pub mod standards;
pub mod waiting;
pub mod way;

pub use edits::Edits;
pub use handle::{CommandError, Handle, Overview, ProposeError, Settings};
pub use in_force::{InForce, Recovered};
pub use way::{Draft, Way};
