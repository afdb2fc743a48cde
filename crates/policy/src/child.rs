//! The child: a process of its own in which policies are evaluated, so that nothing they do can take the server's memory, time or stack.
//!
//! The guards of `builtins` and the clock of the interpreter stop what they know of, and say in which line. This stops the rest: numbers that square
//! themselves, the comparison of two values that share their parts a million times over. The program (our own, by a hidden command) limits itself before
//! it reads the first policy. Whatever becomes of it, the answer is a reason to close the gate. It must never be asked anything but the bundle that it was
//! started with. One bundle has one child, started when it is first asked, and again after it broke.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;

/// The clock of the interpreter stops policies after a second; this is for what does not look at it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A bundle is compiled in it first.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The longest line that is read: an input, escaped.
const LONGEST_LINE: u64 = 64 << 20;

/// How to start the program that evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<String>,
}

/// What the child says to a line.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Ready,
    Answer(String),
    Failed(String),
}

/// The child of one bundle.
#[derive(Debug)]
pub(crate) struct Child {
    launch: Launch,
    bundle: Vec<u8>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: std::process::Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Child {
    pub(crate) fn new(launch: Launch, bundle: Vec<u8>) -> Self {
        Self { launch, bundle, running: Mutex::new(None) }
    }

    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The answer to an input, as JSON.
    ///
    /// # Errors
    /// A sentence. What broke the child is gone with it; the next question starts another.
    pub(crate) fn ask(&self, input: &str) -> Result<String, String> {
        let mut held = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = match held.take() {
            Some(running) => running,
            None => self.start()?,
        };
        let said = running.say(input.as_bytes(), PATIENCE)?;
        *held = Some(running);
        match said {
            Said::Answer(json) => Ok(json),
            Said::Failed(reason) => Err(reason),
            Said::Ready => Err("the process for the policies answered out of turn".into()),
        }
    }

    fn start(&self) -> Result<Running, String> {
        let failed = |e: &dyn std::fmt::Display| format!("the process for the policies can't be started: {e}");
        let mut command = Command::new(&self.launch.program);
        // It needs nothing of ours: neither what the environment holds nor the folder that we are in.
        command.args(&self.launch.args).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(|e| failed(&e))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            let _ = process.kill();
            let _ = process.wait();
            return Err(failed(&"it has no pipes"));
        };
        let mut running = Running { process, input, output: lines(output) };
        match running.say(&self.bundle, START_PATIENCE)? {
            Said::Ready => Ok(running),
            Said::Failed(reason) => Err(reason),
            Said::Answer(_) => Err("the process for the policies answered out of turn".into()),
        }
    }
}

impl Running {
    fn say(&mut self, line: &[u8], patience: Duration) -> Result<Said, String> {
        let sent =
            self.input.write_all(line).and_then(|()| self.input.write_all(b"\n")).and_then(|()| self.input.flush());
        let broke = || "the policies took more memory than there is for them, or broke the interpreter".to_owned();
        sent.map_err(|_| broke())?;
        match self.output.recv_timeout(patience) {
            Ok(said) => {
                serde_json::from_str(&said).map_err(|e| format!("the process for the policies is unclear: {e}"))
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("the policies took longer than {} s", patience.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err(broke()),
        }
    }
}

/// The lines that are written to a pipe. The thread ends with the pipe.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while matches!((&mut output).take(LONGEST_LINE).read_line(&mut line), Ok(n) if n > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Is the child: reads a bundle, then inputs, one a line, and answers each, until its input ends. `before_each` limits what the next answer may cost.
///
/// # Errors
/// If the pipes break.
pub fn serve(input: impl Read, mut output: impl Write, before_each: &dyn Fn()) -> std::io::Result<()> {
    let mut input = BufReader::new(input);
    let mut next = || -> std::io::Result<Option<String>> {
        let mut line = String::new();
        let read = (&mut input).take(LONGEST_LINE).read_line(&mut line)?;
        Ok((read > 0).then_some(line))
    };
    let mut say = |said: &Said| -> std::io::Result<()> {
        let line = serde_json::to_string(said).map_err(std::io::Error::other)?;
        output.write_all(line.as_bytes()).and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush())
    };
    let Some(kept) = next()? else { return Ok(()) };
    before_each();
    let bundle = match Bundle::of_kept(kept.as_bytes()) {
        Ok(bundle) => bundle,
        Err(error) => return say(&Said::Failed(error.to_string())),
    };
    say(&Said::Ready)?;
    while let Some(line) = next()? {
        before_each();
        say(&match bundle.ask_here(line.trim_end()) {
            Ok(json) => Said::Answer(json),
            Err(reason) => Said::Failed(reason),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Vec<u8> {
        Bundle::compile(&std::collections::BTreeMap::new()).expect("the built-in rules").to_keep()
    }

    fn program(script: &str) -> Child {
        Child::new(Launch { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }, bundle())
    }

    #[test]
    fn the_child_answers_as_the_bundle_does_line_by_line() {
        let lines = format!("{}\n{{}}\nnonsense\n", String::from_utf8(bundle()).expect("text"));
        let (mut said, asked) = (Vec::new(), std::cell::Cell::new(0));
        serve(lines.as_bytes(), &mut said, &|| asked.set(asked.get() + 1)).expect("it is written");
        let said = String::from_utf8(said).expect("text");
        let said: Vec<&str> = said.lines().collect();
        assert_eq!((said.len(), said[0], asked.get()), (3, "\"Ready\"", 3));
        assert!(said[1].starts_with("{\"Answer\":") && said[2].starts_with("{\"Failed\":"), "{said:?}");
    }

    #[test]
    fn a_child_that_breaks_off_or_can_not_be_started_is_a_reason_and_the_next_question_starts_another() {
        let dead = program("read bundle; echo '\"Ready\"'; read input; exit 3");
        for _ in 0..2 {
            assert!(dead.ask("{}").is_err_and(|e| e.contains("more memory than there is")));
        }
        let none = Child::new(Launch { program: "/nowhere".into(), args: vec![] }, bundle());
        assert!(none.ask("{}").is_err_and(|e| e.contains("can't be started")));
        let refused = program("read bundle; echo '{\"Failed\":\"no such bundle\"}'");
        assert_eq!(refused.ask("{}"), Err("no such bundle".to_owned()));
        let fine = program("read b; echo '\"Ready\"'; while read i; do echo '{\"Answer\":\"[]\"}'; done");
        assert_eq!((fine.ask("{}"), fine.ask("{}")), (Ok("[]".to_owned()), Ok("[]".to_owned())));
    }
}
