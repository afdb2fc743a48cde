//! The place of a server on its machine: where its store, token and address lie, and with which rights.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{ERROR, Failure, Outcome};

/// The files in a server's folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub dir: PathBuf,
}

/// Where a running server is to be found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub url: String,
    pub pid: u32,
}

impl Place {
    /// The folder given, or the user's own.
    pub(crate) fn find(dir: Option<&Path>) -> Outcome<Self> {
        if let Some(dir) = dir {
            return Ok(Self { dir: dir.to_owned() });
        }
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let base = state.filter(|p| p.is_absolute()).or_else(home);
        let base = base.ok_or_else(|| {
            Failure::new(ERROR, "there is no home folder to keep the store in").help("give a folder with `--dir`")
        })?;
        Ok(Self { dir: base.join("clearway") })
    }

    /// Makes the folder, for its owner alone.
    pub(crate) fn create(&self) -> Outcome {
        let failed =
            |e: std::io::Error| Failure::new(ERROR, format!("the folder `{}` can't be made: {e}", self.dir.display()));
        let existed = self.dir.exists();
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        if !existed {
            std::fs::set_permissions(&self.dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(())
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> PathBuf {
        self.dir.join("token")
    }

    /// The hashes of all tokens.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.dir.join("tokens.json")
    }

    /// Who there is, by the governance that was last in force.
    pub(crate) fn users(&self) -> PathBuf {
        self.dir.join("users.json")
    }

    /// A request to recover an administrator.
    pub(crate) fn recovery(&self) -> PathBuf {
        self.dir.join("recover.json")
    }

    /// The seed of the key that signs checkpoints.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("log.key")
    }

    fn address(&self) -> PathBuf {
        self.dir.join("server.json")
    }

    pub(crate) fn announce(&self, running: &Running) -> Outcome {
        write_private(&self.address(), &serde_json::to_vec(running).unwrap_or_default())
    }

    pub(crate) fn withdraw(&self) {
        let _ = std::fs::remove_file(self.address());
    }

    /// The server that runs here. What a dead one left behind is not believed: somebody else may listen at its address by now.
    pub(crate) fn running(&self) -> Option<Running> {
        let lock = std::fs::File::open(self.dir.join("clearway.lock")).ok()?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        serde_json::from_slice(&std::fs::read(self.address()).ok()?).ok()
    }
}

/// Writes a file that its owner alone may read: under another name first, so that nobody ever sees half of it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Outcome {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be written: {e}", path.display()));
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// Reads a secret that nobody else may read.
pub(crate) fn read_private(path: &Path) -> Outcome<Vec<u8>> {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", path.display()));
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("`{}` can be read by others (mode {:o})", path.display(), mode & 0o777);
        return Err(Failure::new(ERROR, message).help(format!("chmod 600 {}", path.display())));
    }
    std::fs::read(path).map_err(failed)
}
