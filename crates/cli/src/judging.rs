//! Judging: what does the judge say of a recording, or of a stream, without the product around it?
//!
//! A file becomes a [`case`], the case a [`trajectory`](mod@trajectory), and that a [`report`] and a [`picture`]. No server is asked and nothing is
//! decided here: the verdict is the judge's. Start with [`case`]; a stream of looks is [`wire`].

pub(crate) mod config;

pub(crate) mod case;

pub(crate) mod trajectory;

pub(crate) mod report;

pub(crate) mod many;

pub(crate) mod wire;

pub(crate) mod picture;

mod words;
