//! How the program ends: errors that people can act on, and codes that scripts can use.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::visible::visible;

/// How the help of the whole program ends: examples, and the exit codes as the reference shows them.
pub(crate) const ENDING: &str = "\
Examples:
  clearway demo                        look around
  clearway propose change.yaml --watch
  clearway why CHG-7

With `--json` an error is one JSON object on standard error: `kind`, `message`, `hint` and `exit_code`.

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
pub(crate) const USAGE: u8 = 2;
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

/// What kind of error a code stands for. Stable: scripts compare it.
pub(crate) fn kind(code: u8) -> &'static str {
    match code {
        USAGE => "usage",
        INVALID => "invalid",
        REFUSED => "refused",
        NOT_FOUND => "not_found",
        UNREACHABLE => "unreachable",
        NOT_COMPLETED => "not_completed",
        NOT_VERIFIED => "not_verified",
        JUDGED_FAIL => "judged_fail",
        JUDGED_INSUFFICIENT => "judged_insufficient",
        JUDGED_UNREACHABLE => "judged_unreachable",
        NEVER_DECIDES => "never_decides",
        TIMED_OUT => "timed_out",
        _ => "error",
    }
}

/// How errors are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// One object on one line.
    Json,
}

/// Says what went wrong on standard error and gives the exit code.
pub(crate) fn finish(outcome: Outcome, form: Form) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if !failure.message.is_empty() {
        eprintln!("{}", said(&failure, form));
    }
    ExitCode::from(failure.code)
}

/// What a user gave by mistake is quoted in errors, and errors end in the logs of a pipeline: secrets are cut out.
fn said(failure: &Failure, form: Form) -> String {
    let scrub = |text: &str| drivers::read::secrets::scrub(text).into_owned();
    match form {
        Form::Json => serde_json::json!({
            "kind": kind(failure.code),
            "message": scrub(&failure.message),
            "hint": failure.help.as_deref().map(scrub),
            "exit_code": failure.code,
        })
        .to_string(),
        Form::Text => {
            let mut text = format!("error: {}", failure.message);
            if let Some(help) = &failure.help {
                let _ = write!(text, "\n  help: {help}");
            }
            visible(&scrub(&text)).into_owned()
        }
    }
}
