//! State file: how do weights survive a restart?
//!
//! One small JSON document, replaced whole: written beside itself, flushed, renamed, and the folder flushed. A reader sees the old document or the new one, never a half. Blocking; the shell calls it away from traffic.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::ledger::Saved;

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot read the state file `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the state file `{}` is not one of this router; move it away to start from the configured weights", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
}

/// What was saved, or nothing if there is no file yet. A file that cannot be understood is an error, for to go on without it would undo a rollout silently.
pub(crate) fn read(path: &Path) -> Result<Option<BTreeMap<String, Saved>>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    let parse_error = |source| StateError::Parse { path: path.to_owned(), source };
    let saved: BTreeMap<String, Saved> = serde_json::from_slice(&text).map_err(parse_error)?;
    match saved.iter().find(|(_, saved)| !is_sound(saved)) {
        None => Ok(Some(saved)),
        Some((name, _)) => {
            let reason = serde::de::Error::custom(format!("the weights of `{name}` are no shares"));
            Err(parse_error(reason))
        }
    }
}

fn is_sound(saved: &Saved) -> bool {
    let in_range = |&weight: &u32| weight <= crate::config::MAX_WEIGHT;
    saved.weights.values().all(in_range) && saved.weights.values().any(|&weight| weight > 0)
}

pub(crate) fn write(path: &Path, states: &BTreeMap<String, Saved>) -> io::Result<()> {
    let text = serde_json::to_vec(states)?;
    let mut beside = path.to_owned().into_os_string();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.json");
        assert_eq!(read(&path).unwrap(), None);
        let saved = |v1| Saved { revision: 3, last_key: None, weights: BTreeMap::from([("v1".to_owned(), v1)]) };
        for v1 in [10_000, 9_000] {
            let states = BTreeMap::from([("shop".to_owned(), saved(v1))]);
            write(&path, &states).unwrap();
            assert_eq!(read(&path).unwrap(), Some(states));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_or_senseless_file_is_refused_rather_than_read_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.json");
        for text in ["{\"shop\": {\"rev", "{\"shop\":{\"revision\":1,\"last_key\":null,\"weights\":{\"v1\":0}}}"] {
            fs::write(&path, text).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.ends_with("move it away to start from the configured weights"), "{refused}");
        }
    }
}
