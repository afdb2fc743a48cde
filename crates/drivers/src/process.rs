//! Commands: children that are owned, timed and killed with their whole group.
//!
//! A command sees a clean environment and no input, and leaves nothing behind: when its shell ends, at its time limit, or when nobody waits for it
//! any more, the rest of its group is killed. A child that makes a session of its own escapes that; nothing short of a container would hold it.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Component, Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use change::{Digest, Span};
use engine::ports::Act;
use futures::future::{Either, join, select};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::http::millis;
use crate::read::secrets::scrub;

/// How the server runs commands, by the operator's leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettings {
    /// Whether commands are run at all.
    pub allow: bool,
    /// Where they run; `./script` is looked for here.
    pub dir: PathBuf,
    /// Their `PATH`.
    pub path: String,
    /// Their `HOME`.
    pub home: PathBuf,
    /// Their `LANG`.
    pub lang: String,
    /// The time between asking a command to end and killing it.
    pub grace: Duration,
}

impl CommandSettings {
    /// Commands run in `dir`, with the usual surroundings.
    pub fn allowed_in(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            allow: true,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            home: dir.clone(),
            lang: "C.UTF-8".into(),
            grace: Duration::from_secs(2),
            dir,
        }
    }

    /// No command is run.
    pub fn forbidden() -> Self {
        Self { allow: false, ..Self::allowed_in("/") }
    }
}

/// What is said where a command is wanted and none may run.
pub(crate) const NOT_ALLOWED: &str =
    "this server does not run commands; its operator can allow them in clearway.toml: `[commands]` `allow = true`";

/// The part of each stream that is kept.
const KEPT_BYTES: usize = 64 << 10;
/// The part of the output that an error shows: with the words around it, it fits into one event of the log.
const TAIL_BYTES: usize = 2_000;
/// The part of the output that a verdict shows.
const BRIEF_BYTES: usize = 240;
/// How long the output is read on after the shell has ended: only a child in a session of its own still holds the pipe then.
const DRAIN: Duration = Duration::from_millis(500);

/// A command to run.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) line: &'a str,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) limit: Duration,
    /// What the command reads; nothing, or an empty file that is held locked as long as any child has it.
    pub(crate) stdin: Stdio,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) end: End,
    pub(crate) stdout: Kept,
    stderr: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
    TimedOut(Span),
}

impl Finished {
    pub(crate) fn is_success(&self) -> bool {
        self.end == End::Exit(0)
    }

    /// How it ended, without a word of its output: `exit code 3`.
    pub(crate) fn how(&self) -> String {
        match self.end {
            End::Exit(code) => format!("exit code {code}"),
            End::Signal(signal) => format!("killed by signal {signal}"),
            End::TimedOut(limit) => format!("did not finish within {limit}"),
        }
    }

    /// `exit code 3: the end of its output`, without secrets.
    pub(crate) fn sentence(&self) -> String {
        self.said(TAIL_BYTES)
    }

    /// The same in a line or two, for a verdict.
    pub(crate) fn brief(&self) -> String {
        self.said(BRIEF_BYTES)
    }

    fn said(&self, most_bytes: usize) -> String {
        let how = self.how();
        let (stderr, stdout) = (self.stderr.tail(most_bytes), self.stdout.tail(most_bytes));
        match if stderr.is_empty() { stdout } else { stderr } {
            tail if tail.is_empty() => how,
            tail => format!("{how}: {tail}"),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// If it could not be started. Then nothing has happened.
pub(crate) async fn run(settings: &CommandSettings, order: Order<'_>) -> io::Result<Finished> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(order.line)
        .current_dir(&settings.dir)
        .env_clear()
        .envs([("PATH", settings.path.as_str()), ("LANG", &settings.lang)])
        .env("HOME", &settings.home)
        .envs(order.env)
        .stdin(order.stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut owned = Owned::new(child, settings.grace)?;
    let end = {
        let reading = pin!(join(stdout.read(out), stderr.read(err)));
        match select(pin!(owned.end(order.limit)), reading).await {
            Either::Left((end, reading)) => {
                let _ = timeout(DRAIN, reading).await;
                end?
            }
            Either::Right((_, end)) => end.await?,
        }
    };
    Ok(Finished { end, stdout, stderr })
}

/// A child and its process group; dropped, both are ended.
struct Owned {
    child: Option<Child>,
    group: Pid,
    grace: Duration,
}

impl Owned {
    fn new(child: Child, grace: Duration) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = id.ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { child: Some(child), group, grace })
    }

    async fn end(&mut self, limit: Duration) -> io::Result<End> {
        let Some(child) = self.child.as_mut() else { return Err(io::Error::other("the child has ended already")) };
        let end = match timeout(limit, child.wait()).await {
            Ok(status) => End::of(status?),
            Err(_) => {
                signal(self.group, Signal::TERM);
                if timeout(self.grace, child.wait()).await.is_err() {
                    signal(self.group, Signal::KILL);
                    // Bounded, since a process that hangs in the kernel can't be killed, and must not hang us.
                    let _ = timeout(self.grace, child.wait()).await;
                }
                End::TimedOut(Span::millis(millis(limit)))
            }
        };
        // What the shell left behind. The number of a group stays taken as long as it has a member; if it has none, it was free for microseconds only.
        signal(self.group, Signal::KILL);
        self.child = None;
        Ok(end)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        signal(self.group, Signal::TERM);
        let last = LastWord { child, group: self.group };
        // Without a runtime, `last` is dropped here and kills at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(last.after(self.grace));
        }
    }
}

/// Kills the group when it goes, however it goes: after the grace, or because the runtime ends before.
struct LastWord {
    child: Child,
    group: Pid,
}

impl LastWord {
    async fn after(mut self, grace: Duration) {
        let _ = timeout(grace, self.child.wait()).await;
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        signal(self.group, Signal::KILL);
    }
}

/// A group that is gone needs no signal.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

/// The last 64 KiB of a stream.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    /// How much there was in all.
    total: usize,
}

impl Kept {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut chunk = [0; 8 << 10];
        // A pipe that breaks ends the output; the exit code says the rest.
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            self.keep(&chunk[..count]);
        }
    }

    fn keep(&mut self, chunk: &[u8]) {
        self.total += chunk.len();
        self.bytes.extend_from_slice(chunk);
        let over = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.bytes.drain(..over);
    }

    /// All of it as one clean line, if it is at most this long.
    pub(crate) fn whole(&self, most_bytes: usize) -> Option<String> {
        (self.total <= most_bytes.min(KEPT_BYTES)).then(|| clean(&self.bytes))
    }

    fn tail(&self, most_bytes: usize) -> String {
        // Before anything is cut: half a secret is none that could be known by its form. And again without its colours, which may stand in the middle.
        let whole = scrub(&String::from_utf8_lossy(&self.bytes)).into_owned();
        let tail = scrub(&clean(whole.as_bytes())).into_owned();
        let over = tail.len().saturating_sub(most_bytes);
        let at = (over..=tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(tail.len());
        if at > 0 || self.total > KEPT_BYTES { format!("…{}", &tail[at..]) } else { tail }
    }
}

/// Text that is safe to show: one line, without control characters, colours, and marks that turn the direction of text.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                while chars.next_if(|c| ('\u{20}'..'\u{40}').contains(c)).is_some() {}
                chars.next_if(|c| ('\u{40}'..'\u{7f}').contains(c));
            }
            '\n' | '\t' => plain.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain.trim().to_owned()
}

/// What every command is told of the act that it belongs to.
pub(crate) fn act_env(act: &Act) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("CLEARWAY_CHANGE".into(), act.change.to_string()),
        ("CLEARWAY_STEP".into(), act.step.clone()),
        ("CLEARWAY_ATTEMPT".into(), act.attempt.to_string()),
        ("CLEARWAY_KEY".into(), act.key()),
    ])
}

/// The script that a command line runs, if it runs one of its own: `./script`.
pub(crate) fn script(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|word| word.starts_with("./"))
}

/// Refuses a command whose script is not the one that was approved.
///
/// # Errors
/// A sentence that names the script.
pub(crate) async fn unchanged(
    settings: &CommandSettings,
    line: &str,
    files: &BTreeMap<String, Digest>,
) -> Result<(), String> {
    let Some(script) = script(line) else { return Ok(()) };
    let Some(approved) = files.get(script).or_else(|| files.get(&script[2..])) else { return Ok(()) };
    let found = Digest::of_bytes(&read_script(&settings.dir, script).await?);
    if found == *approved {
        return Ok(());
    }
    Err(format!(
        "`{script}` was changed since it was approved: it is `{}` and was `{}`; propose the change anew",
        found.short(),
        approved.short()
    ))
}

async fn read_script(dir: &Path, script: &str) -> Result<Vec<u8>, String> {
    let path = script_path(dir, script)?;
    tokio::fs::read(&path).await.map_err(|error| format!("`{script}` can't be read in `{}`: {error}", dir.display()))
}

/// Where a script is.
///
/// # Errors
/// If it is no plain file below the directory of the commands.
pub(crate) fn script_path(dir: &Path, script: &str) -> Result<PathBuf, String> {
    if Path::new(script).components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{script}` leaves the directory of the commands"));
    }
    let path = dir.join(script);
    if path.is_file() { Ok(path) } else { Err(format!("there is no file `{script}` in `{}`", dir.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn finish(line: &str, limit: Duration) -> Finished {
        let env = BTreeMap::from([("OWN".to_owned(), "yes".to_owned())]);
        let order = Order { line, env: &env, limit, stdin: Stdio::null() };
        run(&CommandSettings::allowed_in("/tmp"), order).await.expect("the shell starts")
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(300);

    /// Whether a process ends within some seconds; a zombie has ended.
    async fn ends(pid: &str) -> bool {
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn the_exit_code_and_the_end_of_the_output_are_reported() {
        assert_eq!(finish("exit 0", LONG).await.sentence(), "exit code 0");
        assert_eq!(finish("echo out; exit 3", LONG).await.sentence(), "exit code 3: out");
        assert_eq!(finish("echo out; echo err >&2; exit 3", LONG).await.sentence(), "exit code 3: err");
        assert_eq!(finish("kill -9 $$", LONG).await.sentence(), "killed by signal 9");
    }

    #[tokio::test]
    async fn the_environment_is_clean_and_there_is_no_input() {
        let finished = finish("env | cut -d= -f1 | sort | tr '\\n' ' '; cat", LONG).await;
        let names = finished.stdout.whole(1_000).unwrap_or_default();
        let given: Vec<&str> =
            names.split(' ').filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
        assert_eq!(given, ["HOME", "LANG", "OWN", "PATH"]);
    }

    #[tokio::test]
    async fn a_time_limit_ends_the_grandchildren_too() {
        let finished = finish("sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $!; wait", SHORT).await;
        assert_eq!(finished.end, End::TimedOut(Span::millis(300)));
        let grandchild = finished.stdout.whole(100).unwrap_or_default();
        assert!(!grandchild.is_empty() && ends(&grandchild).await, "`{grandchild}` lives on");
        assert_eq!(finished.sentence(), format!("did not finish within 300ms: {grandchild}"));
    }

    #[tokio::test]
    async fn what_a_command_leaves_in_the_background_ends_with_it() {
        let finished = finish("sleep 60 & echo $!", LONG).await;
        assert!(finished.is_success());
        assert!(ends(&finished.stdout.whole(100).unwrap_or_default()).await);
    }

    #[tokio::test]
    async fn a_command_that_nobody_waits_for_is_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("pid");
        let line = format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", file.display());
        let settings = CommandSettings { grace: Duration::from_millis(100), ..CommandSettings::allowed_in("/tmp") };
        let env = BTreeMap::new();
        let order = Order { line: &line, env: &env, limit: LONG, stdin: Stdio::null() };
        let written = async {
            while std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')).eq(&false) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = run(&settings, order) => panic!("it runs until it is killed"),
            () = written => {}
        }
        let pid = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(ends(pid.trim()).await, "`{pid}` lives on");
    }

    #[tokio::test]
    async fn output_is_kept_from_its_end_and_bounded() {
        let finished = finish("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 1", LONG).await;
        assert_eq!(finished.stdout.bytes.len(), KEPT_BYTES);
        assert_eq!(finished.stdout.whole(KEPT_BYTES), None);
        let sentence = finished.sentence();
        assert!(sentence.ends_with("line 19998 line 19999"), "{sentence}");
        assert!(sentence.len() < TAIL_BYTES + 50, "{}", sentence.len());
    }

    #[test]
    fn output_is_cleaned_before_it_is_shown() {
        assert_eq!(clean(b"\x1b[1;31mred\x1b[0m\r\n\x07plain\ttext\0\n"), "red plain text");
        assert_eq!(clean("a\u{202e}b".as_bytes()), "ab");
        let mut junk = Kept::default();
        junk.keep(&[0xff; 5_000]);
        assert!(junk.tail(TAIL_BYTES).len() <= TAIL_BYTES + '…'.len_utf8());
    }

    #[tokio::test]
    async fn a_script_that_is_not_the_approved_one_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = CommandSettings::allowed_in(dir.path());
        std::fs::write(dir.path().join("a.sh"), "echo 1").expect("is written");
        let files = BTreeMap::from([("./a.sh".to_owned(), Digest::of_bytes(b"echo 1"))]);
        assert_eq!(unchanged(&settings, "./a.sh --now", &files).await, Ok(()));
        std::fs::write(dir.path().join("a.sh"), "echo 2").expect("is written");
        let refusal = unchanged(&settings, "./a.sh --now", &files).await.unwrap_err();
        assert!(refusal.starts_with("`./a.sh` was changed since it was approved: it is `"), "{refusal}");
        std::fs::remove_file(dir.path().join("a.sh")).expect("is removed");
        let refusal = unchanged(&settings, "./a.sh --now", &files).await.unwrap_err();
        assert!(refusal.starts_with("there is no file `./a.sh` in"), "{refusal}");
        assert_eq!(unchanged(&settings, "true ./a.sh", &files).await, Ok(()));
    }
}
