//! The server over HTTP, with a whole engine behind it and a store, a target and telemetry that are made up.
//!
//! What is asserted is what somebody sees who asks over the wire: statuses, headers, bodies. Rules of changes are not tested again here.

mod world;

mod access;
mod api;
mod forms;
mod guard;
mod log_files;
mod operating;
mod pages;
