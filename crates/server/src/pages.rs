//! The pages for people: rendered here, whole and readable without a script.
//!
//! Each page is a pure function from values to markup; `routes` gathers the values. One small script keeps an open page up to date by asking for it
//! again, one style sheet is all there is of looks. Every text is escaped by the template, wherever it came from.

pub(crate) mod routes;
mod schedule;
pub(crate) mod visitor;

mod api;
mod budget;
mod calendar;
mod change;
mod exceptions;
mod holds;
mod list;
mod log;
mod login;
mod on_call;
mod problem;
mod release;
mod releases;

mod form;
mod frame;
mod svg;
mod timeline;
mod words;

mod assets;

#[cfg(test)]
mod gallery;
