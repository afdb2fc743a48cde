//! Exec: runs the commands of a plan on this machine.
//!
//! A command can't be declared, only run, so it is run at most once for each act unless `check` says that it has not happened. Where nobody can say,
//! the outcome is unknown and a person is asked. What a command does is not in the effect digest; the content of a `./script` that it runs is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use change::proposal::{Claims, Closure, Hands};
use change::rollout::{Desired, Failure, Plan, Target};
use change::{Digest, Span};
use engine::ports::{Act, Cohorts, Driver, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::marker::{Held, Lock, Marker, Past};
use super::{OptionProblem, failed, known_options, read_options};
use crate::process::{self, CommandSettings, End, Finished, NOT_ALLOWED, Order};

/// How the driver `exec` runs commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSettings {
    pub commands: CommandSettings,
    /// Where it is kept which commands were begun; on this machine, durable, and of this server alone.
    pub markers: PathBuf,
    /// The longest `timeout` that a target may ask for. Less than the engine's limit of an act by [`ExecSettings::MARGIN`]: an act that the engine
    /// breaks off is unknown, even where `check` would know.
    pub longest_timeout: Span,
}

impl ExecSettings {
    /// What an act takes at most beside its command: two checks and an observation, each with its end.
    pub const MARGIN: Span = Span::secs(45);
}

/// The driver `exec`.
#[derive(Debug)]
pub struct ExecDriver {
    settings: ExecSettings,
}

/// The options of the driver `exec`. Each command line is run by `sh -c`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExecOptions {
    /// The command line that makes a step true; `$CLEARWAY_WEIGHT` is the share in percent.
    #[schemars(length(min = 1, max = 4_000), example = &"./deploy.sh")]
    apply: String,
    /// Finds out whether a step has happened: exit code 0 if it has, 1 if it has not, anything else if it can't say.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4_000))]
    check: Option<String>,
    /// Restores what was there before the first step; it may be run more than once.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4_000))]
    undo: Option<String>,
    /// Prints what is there now in at most 4096 bytes; after an undo it has to print what it printed before the first step.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4_000))]
    observe: Option<String>,
    /// How long `apply` and `undo` may take; `check` and `observe` have 10s.
    #[serde(default = "a_minute")]
    timeout: Span,
    /// Variables for all commands.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100))]
    env: BTreeMap<String, String>,
    /// What is acted upon: targets with the same resource wait for each other.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    resource: Option<String>,
    /// What `$cohort` stands for in queries of the new version.
    #[serde(default = "canary")]
    #[schemars(length(min = 1, max = 100))]
    canary: String,
    /// What `$cohort` stands for in queries of the old version.
    #[serde(default = "stable")]
    #[schemars(length(min = 1, max = 100))]
    stable: String,
}

fn a_minute() -> Span {
    Span::secs(60)
}

fn canary() -> String {
    "canary".into()
}

fn stable() -> String {
    "stable".into()
}

/// The limit of `check` and `observe`, which only look.
const LOOK_LIMIT: Span = Span::secs(10);
/// An observation goes into the log with the step that it precedes.
const MOST_OBSERVED: usize = 4_096;
/// How soon to ask again while a command of an earlier run is still at work.
const BUSY_AGAIN: Span = Span::secs(1);

impl ExecOptions {
    fn resource(&self) -> String {
        let own = || format!("exec:{}", Digest::of_bytes(self.apply.as_bytes()).short());
        self.resource.as_ref().map_or_else(own, |resource| format!("exec:{resource}"))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        [Some(&self.apply), self.check.as_ref(), self.undo.as_ref(), self.observe.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    fn problems(&self, longest: Span) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.timeout == Span::ZERO || self.timeout > longest {
            let message = format!(
                "`{}` is outside of 1ms to {longest}, the longest that this server runs a command",
                self.timeout
            );
            problems.push(("/timeout".into(), message));
        }
        if self.canary == self.stable {
            problems.push(("/canary".into(), format!("`{}` is both canary and stable", self.canary)));
        }
        for name in self.env.keys().filter(|name| !is_own_variable(name)) {
            let message = format!(
                "`{name}` can't be set: names have letters, digits and `_`, and those in `CLEARWAY_` are Clearway's"
            );
            problems.push(("/env".into(), message));
        }
        problems
    }
}

fn is_own_variable(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && !name.starts_with("CLEARWAY_")
}

/// Why an act ended without being true.
enum Stop {
    Busy(Span),
    Failed(Failure, String),
}

impl Stop {
    fn outcome(self) -> Outcome {
        match self {
            Self::Busy(again) => Outcome::Pending { again },
            Self::Failed(failure, error) => failed(failure, error),
        }
    }
}

fn retry(error: impl Into<String>) -> Stop {
    Stop::Failed(Failure::Retry, error.into())
}

fn never(error: impl Into<String>) -> Stop {
    Stop::Failed(Failure::Final, error.into())
}

fn unknown(error: impl Into<String>) -> Stop {
    Stop::Failed(Failure::Unknown, error.into())
}

/// What `check` says.
enum Said {
    Happened,
    NotHappened,
    Nothing(String),
}

/// One act on a target: its options, and what its commands are told.
struct Job<'a> {
    settings: &'a ExecSettings,
    options: ExecOptions,
    env: BTreeMap<String, String>,
}

impl ExecDriver {
    pub fn new(settings: ExecSettings) -> Self {
        Self { settings }
    }

    fn look(&self, target: &Target) -> Result<Job<'_>, String> {
        if !self.settings.commands.allow {
            return Err(NOT_ALLOWED.into());
        }
        let options: ExecOptions = known_options(target)?;
        Ok(Job { settings: &self.settings, env: options.env.clone(), options })
    }

    fn job(&self, act: &Act, target: &Target) -> Result<Job<'_>, Stop> {
        let mut job = self.look(target).map_err(never)?;
        job.env.extend(process::act_env(act));
        Ok(job)
    }

    async fn make_true(&self, act: &Act, desired: &Desired) -> Result<Value, Stop> {
        let mut job = self.job(act, &desired.target)?;
        // The way back too: what can't be undone as approved is not begun.
        for line in job.options.lines() {
            process::unchanged(&self.settings.commands, line, &act.files).await.map_err(never)?;
        }
        let weight = desired.weight.to_string();
        job.env.insert("CLEARWAY_WEIGHT".into(), weight.trim_end_matches('%').to_owned());
        let lock = job.lock()?;
        let command = Digest::of_value(&json!({"apply": job.options.apply, "weight": weight, "env": job.options.env}));
        let marker = Marker::new(&self.settings.markers, &act.key(), command);
        let past = marker.past().map_err(unknown)?;
        match &job.options.check {
            Some(check) => job.apply_checked(check, &lock, &marker, past).await?,
            None => job.apply_once(&lock, &marker, past).await?,
        }
        Ok(job.seen().await)
    }

    async fn take_back(&self, act: &Act, target: &Target, before: &Value) -> Result<Value, Stop> {
        let mut job = self.job(act, target)?;
        let undo = job.options.undo.clone().ok_or_else(|| never(NO_UNDO))?;
        process::unchanged(&self.settings.commands, &undo, &act.files).await.map_err(never)?;
        let observed = before.get("observed").and_then(Value::as_str);
        job.env.extend(observed.map(|text| ("CLEARWAY_BEFORE".to_owned(), text.to_owned())));
        let lock = job.lock()?;
        let finished = job.run(&undo, job.options.timeout, Some(&lock)).await.map_err(retry)?;
        if !finished.is_success() {
            return Err(retry(format!("the undo failed: {}", finished.sentence())));
        }
        let Some((wanted, observe)) = observed.zip(job.options.observe.as_ref()) else { return Ok(job.seen().await) };
        match job.observe(observe).await.map_err(retry)? {
            found if found == wanted => Ok(json!({"observed": found})),
            found => Err(retry(format!(
                "the undo ended well, but `observe` prints `{found}` and printed `{wanted}` before the first step"
            ))),
        }
    }
}

impl Job<'_> {
    /// The lock of the resource; a command of an earlier run that is still at work has it.
    fn lock(&self) -> Result<Lock, Stop> {
        let held = Lock::take(&self.settings.markers, &self.options.resource());
        match held
            .map_err(|error| retry(format!("the lock of `{}` can't be taken: {error}", self.options.resource())))?
        {
            Held::Ours(lock) => Ok(lock),
            Held::Busy(since) if since < duration(self.options.timeout) + duration(ExecSettings::MARGIN) => {
                Err(Stop::Busy(BUSY_AGAIN))
            }
            Held::Busy(_) => Err(unknown(format!(
                "a command of an earlier run on `{}` is still at work after its time limit; end it, then try again",
                self.options.resource()
            ))),
        }
    }

    /// Runs `apply` if `check` says that it has not happened, and believes only `check` after.
    async fn apply_checked(&self, check: &str, lock: &Lock, marker: &Marker, past: Past) -> Result<(), Stop> {
        match self.ask(check).await {
            Said::Happened => return Ok(()),
            Said::NotHappened => {}
            Said::Nothing(why) if past == Past::Fresh => return Err(retry(format!("nothing was run: {why}"))),
            Said::Nothing(why) => return Err(unknown(why)),
        }
        let finished = self.begin(lock, marker).await?;
        match self.ask(check).await {
            Said::Happened => Ok(()),
            Said::NotHappened => {
                let _ = marker.forget();
                Err(retry(format!("`check` says that it has not happened; `apply`: {}", finished.sentence())))
            }
            Said::Nothing(why) => Err(unknown(format!("{why}; `apply`: {}", finished.sentence()))),
        }
    }

    /// Runs `apply` if it was never begun; what was begun is not run again.
    async fn apply_once(&self, lock: &Lock, marker: &Marker, past: Past) -> Result<(), Stop> {
        match past {
            Past::Fresh => {}
            Past::Started => {
                return Err(unknown(
                    "`apply` was begun and cut off, and there is no `check` to tell whether it happened",
                ));
            }
            Past::Done { code: 0 } => return Ok(()),
            Past::Done { code } => return Err(never(format!("`apply` failed: exit code {code}"))),
        }
        let finished = self.begin(lock, marker).await?;
        match finished.end {
            End::Exit(0) => Ok(()),
            End::Exit(_) => Err(never(format!("`apply` failed: {}", finished.sentence()))),
            End::Signal(_) | End::TimedOut(_) => Err(unknown(format!(
                "`apply` {}, and there is no `check` to tell whether it happened",
                finished.sentence()
            ))),
        }
    }

    /// Runs `apply` between its two marks.
    async fn begin(&self, lock: &Lock, marker: &Marker) -> Result<Finished, Stop> {
        marker.start().map_err(|error| retry(format!("nothing was run: the marker can't be written: {error}")))?;
        let finished = self.run(&self.options.apply, self.options.timeout, Some(lock)).await.map_err(|error| {
            let _ = marker.forget();
            retry(error)
        })?;
        if let End::Exit(code) = finished.end {
            // Without the second mark a repetition is unknown instead of done: safe, and not worth failing a step that succeeded.
            let _ =
                marker.done(code).inspect_err(|error| tracing::warn!(%error, "the end of a command can't be marked"));
        }
        Ok(finished)
    }

    async fn ask(&self, check: &str) -> Said {
        let finished = match self.run(check, LOOK_LIMIT.min(self.options.timeout), None).await {
            Ok(finished) => finished,
            Err(error) => return Said::Nothing(error),
        };
        match finished.end {
            End::Exit(0) => Said::Happened,
            End::Exit(1) => Said::NotHappened,
            _ => Said::Nothing(format!("`check` can't say whether it happened: {}", finished.sentence())),
        }
    }

    async fn observe(&self, line: &str) -> Result<String, String> {
        let finished = self.run(line, LOOK_LIMIT, None).await?;
        if !finished.is_success() {
            return Err(format!("`observe` failed: {}", finished.sentence()));
        }
        finished.stdout.whole(MOST_OBSERVED).ok_or_else(|| format!("`observe` prints more than {MOST_OBSERVED} bytes"))
    }

    /// What is there after an act. That it can't be seen does not undo the act.
    async fn seen(&self) -> Value {
        let Some(observe) = &self.options.observe else { return json!({"observed": null}) };
        match self.observe(observe).await {
            Ok(text) => json!({"observed": text}),
            Err(error) => json!({"observed": null, "error": error}),
        }
    }

    async fn run(&self, line: &str, limit: Span, lock: Option<&Lock>) -> Result<Finished, String> {
        let not_started = |error: std::io::Error| {
            format!("`{}` could not be started in `{}`: {error}", shortened(line), self.settings.commands.dir.display())
        };
        let stdin = lock.map_or_else(|| Ok(Stdio::null()), Lock::as_input).map_err(not_started)?;
        let order = Order { line, env: &self.env, limit: duration(limit), stdin };
        process::run(&self.settings.commands, order).await.map_err(not_started)
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}

const NO_UNDO: &str =
    "`undo` is missing: a change that can't be undone needs a command that takes it back, or it can't be rolled out";

fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[async_trait]
impl Driver for ExecDriver {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn schema(&self) -> Value {
        schemars::schema_for!(ExecOptions).to_value()
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        if !self.settings.commands.allow {
            return Err(vec![("/driver".into(), NOT_ALLOWED.into())]);
        }
        let options: ExecOptions = read_options(&plan.target)?;
        let problems = options.problems(self.settings.longest_timeout);
        if problems.is_empty() {
            Ok(Claims { resources: [options.resource()].into(), effect: Closure::Open, hands: Hands::Driver })
        } else {
            Err(problems)
        }
    }

    fn cohorts(&self, target: &Target) -> Cohorts {
        let label = |option, default: fn() -> String| target.text(option).map_or_else(default, str::to_owned);
        Cohorts { canary: label("canary", canary), stable: label("stable", stable) }
    }

    async fn ready(&self, target: &Target) -> Result<(), Vec<String>> {
        let job = self.look(target).map_err(|error| vec![error])?;
        let mut problems = Vec::new();
        let dir = &self.settings.commands.dir;
        if !dir.is_dir() {
            problems.push(format!("there is no directory `{}` to run commands in", dir.display()));
        }
        if let Err(error) = std::fs::create_dir_all(&self.settings.markers) {
            problems.push(format!(
                "`{}` can't be made, where it is kept which commands were begun: {error}",
                self.settings.markers.display()
            ));
        }
        if job.options.undo.is_none() {
            problems.push(NO_UNDO.into());
        }
        let scripts = job.options.lines().filter_map(process::script);
        problems.extend(scripts.filter_map(|script| process::script_path(dir, script).err()));
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    async fn observe(&self, target: &Target) -> Result<Value, String> {
        let job = self.look(target)?;
        let Some(observe) = &job.options.observe else { return Ok(json!({"observed": null})) };
        Ok(json!({"observed": job.observe(observe).await?}))
    }

    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome {
        match self.make_true(act, desired).await {
            Ok(actual) => Outcome::Applied { actual },
            Err(stop) => stop.outcome(),
        }
    }

    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome {
        match self.take_back(act, target, before).await {
            Ok(actual) => Outcome::Applied { actual },
            Err(stop) => stop.outcome(),
        }
    }
}

#[cfg(test)]
mod tests;
