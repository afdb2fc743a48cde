//! The `clearway` program: parses, runs one command, and ends with an exit code that scripts can use.

mod args;
mod client;
mod command;
mod config;
mod demo;
mod desk;
mod drawing;
mod edits;
mod exit;
mod folder;
mod follow;
mod forecast;
mod judging;
mod place;
mod serve;
mod show;
mod tokens;
mod xml;

use clap::Parser;

fn main() -> std::process::ExitCode {
    // One TLS provider for the whole program; a second installation would be a bug.
    let _ = rustls::crypto::ring::default_provider().install_default();
    exit::finish(command::run(args::Args::parse()))
}
