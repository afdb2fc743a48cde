//! A governance folder on this machine: its files by path and text, and nothing else that lies there.
//!
//! Bounded before it is read: a file that is too large is refused by its size, and folders are walked so deep and no deeper. What the files mean is not
//! asked here: see [`Governance`](change::governance::Governance).

use std::collections::BTreeMap;
use std::path::Path;

use change::document::MAX_BYTES;

use change::approval::signers::FILE as SIGNERS;

use crate::exit::{ERROR, Failure, INVALID, Outcome};

/// Folders below `services/` are walked this deep.
const DEEPEST: usize = 16;
/// The most files of a folder.
const MOST_FILES: usize = 50_000;

const YAML: &[&str] = &["yaml", "yml"];

/// The files of a governance folder.
pub(crate) fn read(folder: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    add(folder, "", &["yaml"], 0, &mut files)?;
    for (below, endings, deep) in [
        ("services", YAML, DEEPEST),
        ("slos", YAML, 0),
        ("standards", YAML, 0),
        ("policy", &["rego"], 0),
        ("roster", &["ics"], 0),
    ] {
        let dir = folder.join(below);
        if dir.exists() {
            add(&dir, &format!("{below}/"), endings, deep, &mut files)?;
        }
    }
    let signers = folder.join(SIGNERS);
    if signers.is_file() {
        files.insert(SIGNERS.to_owned(), text(&signers)?);
    }
    Ok(files)
}

fn add(dir: &Path, prefix: &str, endings: &[&str], deep: usize, files: &mut BTreeMap<String, String>) -> Outcome {
    for entry in std::fs::read_dir(dir).map_err(|e| failed(dir, &e))? {
        let path = entry.map_err(|e| failed(dir, &e))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        let is_ours = path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e));
        if path.is_file() && is_ours {
            files.insert(name, text(&path)?);
        } else if deep > 0 && path.is_dir() && !path.is_symlink() {
            add(&path, &format!("{name}/"), endings, deep - 1, files)?;
        }
        if files.len() > MOST_FILES {
            let message = format!("`{}` holds more than {MOST_FILES} files", dir.display());
            return Err(Failure::new(INVALID, message).help("is it the governance folder?"));
        }
    }
    Ok(())
}

fn text(path: &Path) -> Outcome<String> {
    let size = std::fs::metadata(path).map_err(|e| failed(path, &e))?.len();
    if size > MAX_BYTES as u64 {
        let message = format!("`{}` has {size} bytes; the most that is read is {MAX_BYTES}", path.display());
        return Err(Failure::new(INVALID, message).help("split it into several files"));
    }
    std::fs::read_to_string(path).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ERROR, format!("`{}` can't be read: {error}", path.display()))
}
