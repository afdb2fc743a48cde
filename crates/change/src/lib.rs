//! The pure heart: what a change to production is, and what may happen to it.
//!
//! Values in, values out: no clock, no chance, no I/O. Reading the rooms in this order is reading the life of a change.
//! Each room holds its types and its one question; [`lifecycle`] only dispatches to them.

pub mod aftermath;
pub mod approval;
pub mod assessment;
pub mod course;
pub mod decision;
pub mod exception;
pub mod proposal;
pub mod rollout;
pub mod schedule;
pub mod verification;

pub mod agenda;
pub mod conflict;
pub mod diff;
pub mod explain;
pub mod facts;
pub mod gate;
pub mod lane;
pub mod lifecycle;
pub mod precedence;
pub mod release;
pub mod sequence;

pub mod actor;
pub mod backlog;
pub mod batch;
pub mod budget;
pub mod calendar;
pub mod catalog;
pub mod circumstances;
pub mod document;
pub mod entitlement;
pub mod glob;
pub mod governance;
pub mod halt;
pub mod holds;
pub mod id;
pub mod on_call;
pub mod query;
pub mod roster;
pub mod secret;
pub mod standard;
pub mod time;
pub mod waiting;

pub use actor::{Actor, Permission};
pub use id::{ChangeId, Digest, ReleaseId};
pub use lifecycle::{Change, Command, Due, Event, Given, Intent, Phase, Rejection, decide, due, evolve};
pub use time::{Span, Timestamp};
