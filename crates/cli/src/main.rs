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
mod visible;
mod xml;

use clap::Parser;
use clap::error::ErrorKind;

use exit::{Failure, Form};

fn main() -> std::process::ExitCode {
    // One TLS provider for the whole program; a second installation would be a bug.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match args::Args::try_parse() {
        Ok(args) => {
            let form = if args.json { Form::Json } else { Form::Text };
            exit::finish(command::run(args), form)
        }
        Err(error) if wants_json() && error.use_stderr() => exit::finish(Err(misused(&error)), Form::Json),
        Err(error) => error.exit(),
    }
}

/// Whether JSON is asked for by a command line that can't be understood.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// What is wrong with the command line: the first lines are the error, the rest says how it should be.
fn misused(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(exit::USAGE, "the command is not complete").help("add `--help` to see what can follow");
    }
    let mut parts = text.trim().splitn(2, "\n\n");
    let message = parts.next().unwrap_or_default();
    let failure = Failure::new(exit::USAGE, message.strip_prefix("error: ").unwrap_or(message));
    match parts.next().map(str::trim).filter(|rest| !rest.is_empty()) {
        Some(rest) => failure.help(rest),
        None => failure,
    }
}
