//! The stores: the event log, its projections and what is kept beside it, behind the port `engine::ports::Store`.
//!
//! Two implementations that answer alike: [`memory`] for tests and simulations, [`sqlite`] for a server. What both must do in the same way is written
//! once: how an event becomes an entry ([`entry`]), what a batch may add (`batch`), who gets a lease (`lease`), and which files the log has (`files`).
//! No rule of a change lives here, and nothing here reads a clock. [`conformance`] says what each implementation has to fulfil.

pub mod entry;

mod batch;
mod files;
mod lease;

pub mod conformance;

pub mod memory;
pub mod sqlite;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use sqlite::log::{CheckError, SqliteLog};
pub use sqlite::open::OpenError;
