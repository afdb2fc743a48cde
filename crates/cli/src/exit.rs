//! How the program ends: errors that people can act on, and codes that scripts can use.

use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit codes, as `clearway help exit-codes` and the reference show them.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  an error that is not one of the following
  2  the command line can't be understood
  3  a file is invalid
  4  refused by a rule, or not allowed
  5  there is no such change or entry
  6  the server can't be reached, or does not know you
  7  the change that was watched ended otherwise than completed
  8  the log does not verify
  9  judged: the canary is harmful (`fail`)
 10  judged: the evidence does not suffice (`insufficient`)
 11  judged: the telemetry did not answer (`unreachable`)
 12  planned: a step can never decide
 13  what was waited for has not come in time";

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: u8,
    pub message: String,
    pub help: Option<String>,
}

pub(crate) const ERROR: u8 = 1;
pub(crate) const INVALID: u8 = 3;
pub(crate) const REFUSED: u8 = 4;
pub(crate) const NOT_FOUND: u8 = 5;
pub(crate) const UNREACHABLE: u8 = 6;
pub(crate) const NOT_COMPLETED: u8 = 7;
pub(crate) const NOT_VERIFIED: u8 = 8;
pub(crate) const JUDGED_FAIL: u8 = 9;
pub(crate) const JUDGED_INSUFFICIENT: u8 = 10;
pub(crate) const JUDGED_UNREACHABLE: u8 = 11;
pub(crate) const NEVER_DECIDES: u8 = 12;
pub(crate) const TIMED_OUT: u8 = 13;

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(ERROR, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(ERROR, error.to_string())
    }
}

/// Says what went wrong on standard error and gives the exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if !failure.message.is_empty() {
        let mut text = format!("error: {}", failure.message);
        if let Some(help) = failure.help {
            let _ = write!(text, "\n  help: {help}");
        }
        // What a user gave by mistake is quoted in errors, and errors end in the logs of a pipeline.
        eprintln!("{}", drivers::read::secrets::scrub(&text));
    }
    ExitCode::from(failure.code)
}
