//! The API for programs, under `/api/v1`: changes, what is asked of them, the log, and what the server is made of.
//!
//! Each handler reads a request, asks the handle and shows the answer. The description of each stands beside it and becomes the OpenAPI document.

pub(crate) mod budgets;
pub(crate) mod calendar;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod commands;
pub(crate) mod diffs;
pub(crate) mod holds;
pub(crate) mod on_call;
pub(crate) mod outside;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod policies;
pub(crate) mod releases;
pub(crate) mod schedule;
pub(crate) mod standards;
pub(crate) mod votes;

pub(crate) mod access;
pub(crate) mod tokens;

pub(crate) mod about;
pub(crate) mod log;

pub(crate) mod document;
