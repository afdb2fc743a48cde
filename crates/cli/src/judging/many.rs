//! Many: a file each on its own, over all cores, told in the order in which they were named.
//!
//! Knows nothing of judging: it brings files to a function and its lines to the output. Must never let one file stop the rest.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Endings of files that hold evidence.
const ENDINGS: [&str; 4] = ["csv", "json", "jsonl", "ndjson"];

/// Whether a list or a line is asked for, and the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Files {
    /// The files that these paths name: a folder names all evidence in it.
    ///
    /// # Errors
    /// A folder that can't be read, or holds no evidence.
    pub(crate) fn of(paths: &[PathBuf]) -> Result<Self, String> {
        if let [only] = paths
            && !only.is_dir()
        {
            return Ok(Self::One(only.clone()));
        }
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() { files.extend(evidence_in(path)?) } else { files.push(path.clone()) }
        }
        Ok(Self::Many(files))
    }
}

fn evidence_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e: std::io::Error| format!("`{}` can't be read: {e}", folder.display());
    let is_evidence = |path: &PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !path.is_dir()
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(failed)?;
    let mut files: Vec<PathBuf> = paths.into_iter().filter(is_evidence).collect();
    if files.is_empty() {
        return Err(format!("`{}` holds no evidence: no file ends in .{}", folder.display(), ENDINGS.join(", .")));
    }
    files.sort();
    Ok(files)
}

/// Brings each file to `work` and its line to `tell`, in order. Ends early when `tell` says that nobody listens.
pub(crate) fn each<T: Send>(files: &[PathBuf], work: impl Fn(&Path) -> T + Sync, mut tell: impl FnMut(T) -> Listener) {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(files.len().max(1));
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel(4 * workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((at, file)) = take(files, next) {
                    if send.send((at, work(file))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut wanted) = (BTreeMap::new(), 0);
        for (at, line) in receive {
            early.insert(at, line);
            while let Some(line) = early.remove(&wanted) {
                if tell(line) == Listener::Gone {
                    return;
                }
                wanted += 1;
            }
        }
    });
}

/// Whether anybody still reads what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    There,
    Gone,
}

fn take<'a>(files: &'a [PathBuf], next: &AtomicUsize) -> Option<(usize, &'a PathBuf)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    files.get(at).map(|file| (at, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_the_order_of_the_files_whatever_each_takes() {
        let files: Vec<PathBuf> = (0..500).map(|i| PathBuf::from(i.to_string())).collect();
        let number = |path: &Path| path.to_string_lossy().parse::<u64>().expect("a number");
        // Some take a thousand times longer than others.
        let work = |path: &Path| {
            let n = number(path);
            let rounds = if n.is_multiple_of(7) { 100_000 } else { 100 };
            (n, (0..rounds).fold(n, |sum, i| std::hint::black_box(sum ^ i)))
        };
        let mut told = Vec::new();
        each(&files, work, |(n, _)| {
            told.push(n);
            Listener::There
        });
        assert_eq!(told, (0..500).collect::<Vec<u64>>());
    }

    #[test]
    fn it_ends_when_nobody_listens() {
        let files: Vec<PathBuf> = (0..10_000).map(|i| PathBuf::from(i.to_string())).collect();
        let (worked, mut told) = (AtomicUsize::new(0), 0);
        let work = |_: &Path| worked.fetch_add(1, Ordering::Relaxed);
        each(&files, work, |_| {
            told += 1;
            if told == 3 { Listener::Gone } else { Listener::There }
        });
        assert_eq!(told, 3);
        assert!(worked.load(Ordering::Relaxed) < 1_000, "{worked:?}");
    }
}
