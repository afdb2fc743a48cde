//! Markers: was this command begun here before, and is one still at work?
//!
//! A command can't be asked whether it happened, so a small durable file says that it was begun before it begins, and how it ended after. It is kept
//! on this machine: a server that takes over from another machine finds no marker, so between machines only `check` can tell.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use change::Digest;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// What a marker says of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It was never begun here.
    Fresh,
    /// It was begun, and nobody saw its end.
    Started,
    Done {
        code: i32,
    },
}

/// The marker of one act.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    path: PathBuf,
    key: String,
    /// What is run under this key: the same key with another command is a mistake, never a repetition.
    command: Digest,
}

#[derive(Serialize, Deserialize)]
struct Record {
    key: String,
    command: Digest,
    /// The exit code, once there is one.
    exit: Option<i32>,
}

impl Marker {
    pub(crate) fn new(dir: &Path, key: &str, command: Digest) -> Self {
        Self { path: dir.join(file_name(key, "json")), key: key.to_owned(), command }
    }

    /// # Errors
    /// If the marker can't be read, is damaged, or speaks of another command.
    pub(crate) fn past(&self) -> Result<Past, String> {
        let shown = self.path.display();
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::Fresh),
            Err(error) => return Err(format!("the marker `{shown}` can't be read: {error}")),
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| format!("the marker `{shown}` is damaged: {error}"))?;
        if record.key != self.key || record.command != self.command {
            return Err(format!("the marker `{shown}` speaks of another command under the key `{}`", record.key));
        }
        Ok(record.exit.map_or(Past::Started, |code| Past::Done { code }))
    }

    pub(crate) fn start(&self) -> io::Result<()> {
        self.write(None)
    }

    pub(crate) fn done(&self, code: i32) -> io::Result<()> {
        self.write(Some(code))
    }

    /// For a command that could not be started: nothing has happened.
    pub(crate) fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        sync_dir(&self.path)
    }

    fn write(&self, exit: Option<i32>) -> io::Result<()> {
        let record = Record { key: self.key.clone(), command: self.command, exit };
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(serde_json::to_string(&record)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_dir(&self.path)
    }
}

fn sync_dir(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn file_name(name: &str, extension: &str) -> String {
    let digest = Digest::of_bytes(name.as_bytes()).to_string();
    format!("{}.{extension}", digest.trim_start_matches("sha256:"))
}

/// The lock of a resource on this machine.
///
/// The command gets the locked file as its (empty) input, so the lock lasts as long as any process of the command does: one that outlived a killed
/// server is found, and nothing is run beside it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Whether the lock was free.
#[derive(Debug)]
pub(crate) enum Held {
    Ours(Lock),
    /// A command has it, since this long.
    Busy(Duration),
}

impl Lock {
    pub(crate) fn take(dir: &Path, resource: &str) -> io::Result<Held> {
        fs::create_dir_all(dir)?;
        let path = dir.join(file_name(resource, "lock"));
        // Opened anew for reading: what a command gets as input must not be writable.
        OpenOptions::new().append(true).create(true).open(&path)?;
        let file = File::open(&path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_modified(SystemTime::now())?;
                Ok(Held::Ours(Self { file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let since = file.metadata()?.modified()?;
                Ok(Held::Busy(SystemTime::now().duration_since(since).unwrap_or_default()))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn as_input(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_and_belongs_to_one_command() {
        let dir = tempfile::tempdir().expect("a directory");
        let marker = |line: &str| Marker::new(dir.path(), "CHG-1/1/1", Digest::of_bytes(line.as_bytes()));
        assert_eq!(marker("a").past(), Ok(Past::Fresh));
        marker("a").start().expect("is written");
        assert_eq!(marker("a").past(), Ok(Past::Started));
        assert!(marker("b").past().is_err_and(|e| e.ends_with("speaks of another command under the key `CHG-1/1/1`")));
        marker("a").done(3).expect("is written");
        assert_eq!(marker("a").past(), Ok(Past::Done { code: 3 }));
        marker("a").forget().expect("is removed");
        assert_eq!(marker("b").past(), Ok(Past::Fresh));
    }

    #[test]
    fn a_damaged_marker_is_no_fresh_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let marker = Marker::new(dir.path(), "k", Digest::of_bytes(b""));
        fs::write(&marker.path, "{").expect("is written");
        assert!(marker.past().is_err_and(|e| e.contains("is damaged")));
    }

    #[test]
    fn a_lock_is_held_once_and_by_whoever_has_the_input() {
        let dir = tempfile::tempdir().expect("a directory");
        let take = || Lock::take(dir.path(), "lane").expect("the directory is ours");
        let Held::Ours(lock) = take() else { panic!("it is free") };
        let input = lock.as_input().expect("is copied");
        drop(lock);
        assert!(matches!(take(), Held::Busy(_)));
        drop(input);
        assert!(matches!(take(), Held::Ours(_)));
    }
}
