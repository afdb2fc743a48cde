//! Tokens: who a bearer is. Kept as hashes, shown once; one-time codes let a browser in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use change::Digest;
use server::Identify;

use crate::exit::{Failure, INVALID, Outcome};
use crate::place::{Place, read_private, write_private};

/// The tokens of a server: a file of hashes, read again when it has been written, so that a new token and a revoked one need no restart.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: PathBuf,
    known: Mutex<BTreeMap<Digest, String>>,
    /// When the file that was read was written.
    written: Mutex<Option<SystemTime>>,
    codes: Mutex<BTreeMap<String, String>>,
}

impl Tokens {
    pub(crate) fn open(place: &Place) -> Outcome<Self> {
        let tokens =
            Self { file: place.tokens(), known: Mutex::default(), written: Mutex::default(), codes: Mutex::default() };
        if tokens.file.exists() {
            tokens.reload()?;
        }
        Ok(tokens)
    }

    fn changed(&self) -> bool {
        let written = std::fs::metadata(&self.file).and_then(|m| m.modified()).ok();
        std::mem::replace(&mut *lock(&self.written), written) != written
    }

    fn reload(&self) -> Outcome {
        let bytes = read_private(&self.file)?;
        let read = serde_json::from_slice(&bytes);
        *lock(&self.known) =
            read.map_err(|e| Failure::new(INVALID, format!("`{}` is not a list of tokens: {e}", self.file.display())))?;
        Ok(())
    }

    /// Makes a token for a user and keeps its hash.
    pub(crate) fn create(&self, user: &str) -> Outcome<String> {
        let token = format!("cw_{}", random_word());
        let mut known = lock(&self.known);
        known.insert(Digest::of_bytes(token.as_bytes()), user.to_owned());
        write_private(&self.file, &serde_json::to_vec_pretty(&*known).unwrap_or_default())?;
        Ok(token)
    }

    /// Whether any token is there for this user.
    pub(crate) fn knows(&self, user: &str) -> bool {
        lock(&self.known).values().any(|u| u == user)
    }

    /// A code that lets one browser in as a user, once.
    pub(crate) fn code(&self, user: &str) -> String {
        let code = random_word();
        lock(&self.codes).insert(code.clone(), user.to_owned());
        code
    }
}

impl Identify for Tokens {
    fn user(&self, token: &str) -> Option<String> {
        let digest = Digest::of_bytes(token.as_bytes());
        if self.changed() {
            // A file that can't be read any more lets nobody in.
            self.reload()
                .inspect_err(|failure| tracing::error!(why = failure.message, "the tokens can't be read"))
                .ok()?;
        }
        lock(&self.known).get(&digest).cloned()
    }

    fn one_time(&self, code: &str) -> Option<String> {
        lock(&self.codes).remove(code)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// 256 random bits in hexadecimal.
fn random_word() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
