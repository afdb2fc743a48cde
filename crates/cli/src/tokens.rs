//! Tokens: a file of hashes beside the store. Who holds a secret becomes a user here, and nobody else.
//!
//! A token is `cw_<id>_<secret>`: the id is public and names it, the secret is shown once and never kept. The file is written under a lock, as a whole,
//! and read again when somebody else has written it, so that a new token and a revoked one need no restart. Uses are kept to the hour. What the log says of
//! tokens is the [`desk`](crate::desk)'s.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use change::actor::Limits;
use change::time::after;
use change::{Digest, Span, Timestamp};
use serde::{Deserialize, Serialize};
use server::{Made, NewToken, Stranger, TokenView, public_id};

use crate::exit::{ERROR, Failure, INVALID, NOT_FOUND, Outcome, REFUSED};
use crate::place::{Place, read_private, write_private};

/// How finely uses are kept: a busy token costs one write an hour.
const FINENESS: Span = Span::secs(3_600);
/// The least time between two writes that only say when tokens were used.
const PACE: Span = Span::secs(60);
/// The most tokens of one file.
const MOST: usize = 10_000;

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub id: String,
    hash: Digest,
    pub user: String,
    pub name: String,
    #[serde(default)]
    pub limits: Limits,
    pub made_at: Option<Timestamp>,
    /// The user who made it over the API; nothing where it was made on the machine itself.
    pub made_by: Option<String>,
    pub made_with: Option<String>,
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
    pub revoked_by: Option<String>,
    pub last_used: Option<Timestamp>,
}

impl Kept {
    fn still(&self, now: Timestamp) -> Result<(), Stranger> {
        match (self.revoked, self.expires) {
            (Some(at), _) => Err(Stranger::Revoked { token: self.id.clone(), at }),
            (None, Some(at)) if at <= now => Err(Stranger::Expired { token: self.id.clone(), at }),
            _ => Ok(()),
        }
    }

    pub(crate) fn view(&self) -> TokenView {
        TokenView {
            id: self.id.clone(),
            user: self.user.clone(),
            name: self.name.clone(),
            limits: self.limits.clone(),
            made_at: self.made_at,
            made_by: self.made_by.clone(),
            expires: self.expires,
            revoked: self.revoked,
            last_used: self.last_used,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct InFile {
    version: u8,
    tokens: Vec<Kept>,
}

/// The file as it was read: which one, and when it was written.
type Stamp = (u64, i64, i64, u64);

#[derive(Debug, Default)]
struct Known {
    tokens: BTreeMap<String, Kept>,
    stamp: Option<Stamp>,
    /// Grows with each reading of another file.
    generation: u64,
    uses_written_at: Option<Timestamp>,
}

/// The tokens of a server.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: PathBuf,
    known: Mutex<Known>,
    codes: Mutex<BTreeMap<String, String>>,
}

impl Tokens {
    pub(crate) fn open(place: &Place) -> Outcome<Self> {
        let tokens = Self { file: place.tokens(), known: Mutex::default(), codes: Mutex::default() };
        tokens.refresh()?;
        Ok(tokens)
    }

    fn stamp(&self) -> Option<Stamp> {
        let meta = std::fs::metadata(&self.file).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
    }

    /// Reads the file again if it is another one; returns the generation that is known.
    pub(crate) fn refresh(&self) -> Outcome<u64> {
        let mut known = lock(&self.known);
        let stamp = self.stamp();
        if stamp != known.stamp {
            known.tokens = self.read()?;
            known.stamp = stamp;
            known.generation += 1;
        }
        Ok(known.generation)
    }

    fn read(&self) -> Outcome<BTreeMap<String, Kept>> {
        if !self.file.exists() {
            return Ok(BTreeMap::new());
        }
        let bytes = read_private(&self.file)?;
        let invalid = |e: serde_json::Error| {
            Failure::new(INVALID, format!("`{}` is not a list of tokens: {e}", self.file.display()))
        };
        let tokens = match serde_json::from_slice::<InFile>(&bytes) {
            Ok(file) if file.version == 2 => file.tokens,
            Ok(file) => {
                let message = format!("`{}` has the version {}, which is newer", self.file.display(), file.version);
                return Err(Failure::new(INVALID, message).help("use the version of clearway that wrote it"));
            }
            Err(why) => old_form(&bytes).ok_or(why).map_err(invalid)?,
        };
        Ok(tokens.into_iter().map(|token| (token.id.clone(), token)).collect())
    }

    /// Changes the file: alone, from what stands in it now, as a whole.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Kept>) -> Outcome<T>) -> Outcome<T> {
        let guard = self.file.with_extension("lock");
        let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be locked: {e}", guard.display()));
        let locked =
            std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&guard).map_err(failed)?;
        rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        let mut known = lock(&self.known);
        let mut tokens = self.read()?;
        let changed = change(&mut tokens)?;
        let file = InFile { version: 2, tokens: tokens.values().cloned().collect() };
        write_private(&self.file, &serde_json::to_vec_pretty(&file).unwrap_or_default())?;
        *known = Known { tokens, stamp: self.stamp(), generation: known.generation + 1, ..*known };
        Ok(changed)
    }

    /// Makes a token and keeps its hash.
    pub(crate) fn create(&self, new: NewToken, now: Timestamp) -> Outcome<Made> {
        let (id, secret) = (public_word(), secret_word());
        let token = format!("cw_{id}_{secret}");
        let kept = Kept {
            id: id.clone(),
            hash: Digest::of_bytes(token.as_bytes()),
            user: new.user,
            name: new.name,
            limits: new.limits,
            made_at: Some(now),
            made_by: Some(new.made_by).filter(|by| !by.is_empty()),
            made_with: new.made_with,
            expires: new.expires,
            revoked: None,
            revoked_by: None,
            last_used: None,
        };
        let view = kept.view();
        let parent = kept.made_with.clone();
        self.change(|tokens| {
            // INVARIANT: looked at under the lock of the file, so that no token outlives the one that it was made with.
            let stands = |id: &String| tokens.get(id).is_some_and(|made_with| made_with.still(now).is_ok());
            if !parent.as_ref().is_none_or(stands) {
                return Err(Failure::new(REFUSED, "the token that it is made with does not count any more"));
            }
            if tokens.len() >= MOST {
                let message = format!("there are {MOST} tokens already");
                return Err(Failure::new(ERROR, message).help("remove those that have ended from `tokens.json`"));
            }
            tokens.insert(id, kept);
            Ok(())
        })?;
        Ok(Made { secret: token, token: view })
    }

    /// Makes a token for a user that does not end, as for the administrator of this machine.
    pub(crate) fn create_lasting(&self, user: &str, name: &str, now: Timestamp) -> Outcome<String> {
        let new = NewToken {
            user: user.to_owned(),
            name: name.to_owned(),
            limits: Limits::default(),
            expires: None,
            made_by: String::new(),
            made_with: None,
        };
        Ok(self.create(new, now)?.secret)
    }

    /// Takes a token away, and those that were made with it, and so on.
    pub(crate) fn revoke(&self, id: &str, by: Option<&str>, now: Timestamp) -> Outcome<Vec<TokenView>> {
        self.change(|tokens| {
            if !tokens.contains_key(id) {
                return Err(Failure::new(NOT_FOUND, format!("there is no token `{id}`"))
                    .help("list them with `clearway token list`"));
            }
            let mut revoked = Vec::new();
            let mut next = vec![id.to_owned()];
            while let Some(id) = next.pop() {
                let Some(token) = tokens.get_mut(&id).filter(|token| token.revoked.is_none()) else { continue };
                token.revoked = Some(now);
                token.revoked_by = by.map(str::to_owned);
                revoked.push(token.view());
                let made_with_it = tokens.values().filter(|other| other.made_with.as_ref() == Some(&id));
                next.extend(made_with_it.map(|other| other.id.clone()));
            }
            Ok(revoked)
        })
    }

    /// Whose token this is. Secrets are compared in a time that does not depend on where they differ: their hashes are.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Result<Kept, Stranger> {
        // A file that can't be read any more lets nobody in.
        self.refresh().map_err(|failure| {
            tracing::error!(why = failure.message, "the tokens can't be read");
            Stranger::Broken
        })?;
        let hash = Digest::of_bytes(token.as_bytes());
        let known = lock(&self.known);
        let found = match public_id(token) {
            Some(id) => known.tokens.get(id),
            None => known.tokens.values().find(|kept| kept.id.starts_with(OLD) && is_same(&kept.hash, &hash)),
        };
        let kept = found.filter(|kept| is_same(&kept.hash, &hash)).ok_or(Stranger::Unknown)?;
        kept.still(now).map(|()| kept.clone())
    }

    /// Whether a token still lets somebody in.
    pub(crate) fn still(&self, id: &str, now: Timestamp) -> Result<(), Stranger> {
        self.refresh().map_err(|_| Stranger::Broken)?;
        lock(&self.known).tokens.get(id).ok_or(Stranger::Unknown)?.still(now)
    }

    /// Keeps that a token was used: the first time at once, and then to the hour.
    pub(crate) fn used(&self, id: &str, now: Timestamp) -> Outcome {
        {
            let mut known = lock(&self.known);
            let Some(token) = known.tokens.get(id) else { return Ok(()) };
            let is_recent = |at: Timestamp, span: Span| after(at, span) > now;
            let is_first = token.last_used.is_none();
            let is_kept = token.last_used.is_some_and(|at| is_recent(at, FINENESS));
            let is_soon = known.uses_written_at.is_some_and(|at| is_recent(at, PACE));
            if is_kept || is_soon && !is_first {
                return Ok(());
            }
            known.uses_written_at = Some(now);
        }
        self.change(|tokens| {
            if let Some(token) = tokens.get_mut(id) {
                token.last_used = Some(now);
            }
            Ok(())
        })
    }

    /// All tokens, oldest first.
    pub(crate) fn all(&self) -> Vec<Kept> {
        let mut all: Vec<Kept> = lock(&self.known).tokens.values().cloned().collect();
        all.sort_by(|a, b| (a.made_at, &a.id).cmp(&(b.made_at, &b.id)));
        all
    }

    pub(crate) fn owner(&self, id: &str) -> Option<String> {
        lock(&self.known).tokens.get(id).map(|token| token.user.clone())
    }

    /// A code that lets one browser in as a user, once.
    pub(crate) fn code(&self, user: &str) -> String {
        let code = secret_word();
        lock(&self.codes).insert(code.clone(), user.to_owned());
        code
    }

    pub(crate) fn take_code(&self, code: &str) -> Option<String> {
        lock(&self.codes).remove(code)
    }
}

/// How the ids of tokens begin that were made before tokens had ids.
const OLD: &str = "old";

/// The form of the file before tokens had ids: users by the hash of their token.
fn old_form(bytes: &[u8]) -> Option<Vec<Kept>> {
    let old: BTreeMap<Digest, String> = serde_json::from_slice(bytes).ok()?;
    let kept = |(hash, user): (Digest, String)| {
        let digits: String = hash.short().chars().filter(char::is_ascii_alphanumeric).collect();
        Kept {
            id: format!("{OLD}{digits}"),
            hash,
            user,
            name: "made before tokens had names".into(),
            limits: Limits::default(),
            made_at: None,
            made_by: None,
            made_with: None,
            expires: None,
            revoked: None,
            revoked_by: None,
            last_used: None,
        }
    };
    Some(old.into_iter().map(kept).collect())
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
fn is_same(a: &Digest, b: &Digest) -> bool {
    let (a, b) = (a.to_string(), b.to_string());
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differing, (x, y)| differing | (x ^ y)) == 0
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// 50 random bits in letters and digits that are not mistaken for one another.
fn public_word() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 10] = rand::random();
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// 256 random bits in hexadecimal.
fn secret_word() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("an instant")
    }

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let place = Place { dir: dir.path().to_owned() };
        (dir, place)
    }

    fn new(user: &str, expires: Option<Timestamp>, made_with: Option<&str>) -> NewToken {
        NewToken {
            user: user.into(),
            name: "ci".into(),
            limits: Limits::default(),
            expires,
            made_by: "ada".into(),
            made_with: made_with.map(str::to_owned),
        }
    }

    // I10
    #[test]
    fn a_token_lets_its_user_in_until_it_expires_and_its_secret_is_nowhere() {
        let (dir, place) = place();
        let tokens = Tokens::open(&place).expect("no file yet");
        let made = tokens.create(new("ada", Some(at(100)), None), at(0)).expect("a token");
        let id = public_id(&made.secret).expect("an id").to_owned();
        assert_eq!(tokens.check(&made.secret, at(99)).map(|kept| kept.user), Ok("ada".into()));
        assert_eq!(tokens.check(&made.secret, at(100)), Err(Stranger::Expired { token: id.clone(), at: at(100) }));
        for wrong in [format!("cw_{id}_00"), "cw_x_y".into(), id.clone(), String::new()] {
            assert_eq!(tokens.check(&wrong, at(1)), Err(Stranger::Unknown), "{wrong}");
        }
        let text = std::fs::read_to_string(dir.path().join("tokens.json")).expect("the file");
        let secret = made.secret.rsplit('_').next().expect("a secret");
        assert!(text.contains(&id) && !text.contains(secret), "{text}");
        let mode = std::fs::metadata(dir.path().join("tokens.json")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // I10
    #[test]
    fn revoking_a_token_revokes_those_that_were_made_with_it() {
        let (_dir, place) = place();
        let tokens = Tokens::open(&place).expect("no file yet");
        let first = tokens.create(new("ada", None, None), at(0)).expect("a token");
        let second = tokens.create(new("ada", None, Some(&first.token.id)), at(1)).expect("a token");
        let third = tokens.create(new("bob", None, Some(&second.token.id)), at(2)).expect("a token");
        let other = tokens.create(new("bob", None, None), at(3)).expect("a token");
        let elsewhere = Tokens::open(&place).expect("the same file");
        let revoked = elsewhere.revoke(&first.token.id, Some("ada"), at(9)).expect("it is there");
        let ids: Vec<&str> = revoked.iter().map(|token| token.id.as_str()).collect();
        assert_eq!(ids, [&first.token.id, &second.token.id, &third.token.id]);
        let gone = Stranger::Revoked { token: third.token.id.clone(), at: at(9) };
        assert_eq!(tokens.check(&third.secret, at(10)), Err(gone), "without a restart");
        assert!(tokens.check(&other.secret, at(10)).is_ok());
        let late = tokens.create(new("bob", None, Some(&second.token.id)), at(10));
        assert!(late.is_err_and(|f| f.code == REFUSED), "what is made in the same moment does not outlive it either");
        assert!(tokens.revoke("ghost", None, at(9)).is_err_and(|f| f.code == NOT_FOUND));
    }

    #[test]
    fn uses_are_kept_to_the_hour_and_the_first_at_once() {
        let (_dir, place) = place();
        let tokens = Tokens::open(&place).expect("no file yet");
        let made = tokens.create(new("ada", None, None), at(0)).expect("a token");
        let id = made.token.id;
        let generation = |now: i64| {
            tokens.used(&id, at(now)).expect("it can be written");
            tokens.refresh().expect("it can be read")
        };
        let first = generation(10);
        assert_eq!(tokens.all()[0].last_used, Some(at(10)));
        for second in 11..3_610 {
            assert_eq!(generation(second), first, "{second}");
        }
        assert_eq!(generation(3_610), first + 1);
    }

    #[test]
    fn a_file_from_before_tokens_had_ids_is_still_read() {
        let (dir, place) = place();
        let token = format!("cw_{}", "ab".repeat(32));
        let old = serde_json::json!({Digest::of_bytes(token.as_bytes()).to_string(): "ada"});
        write_private(&place.tokens(), old.to_string().as_bytes()).expect("the file");
        let tokens = Tokens::open(&place).expect("the old form is read");
        let kept = tokens.check(&token, at(0)).expect("it still lets her in");
        assert_eq!((kept.user.as_str(), kept.expires), ("ada", None));
        tokens.create(new("bob", None, None), at(1)).expect("the file is written in the new form");
        assert!(tokens.check(&token, at(2)).is_ok());
        tokens.revoke(&kept.id, None, at(3)).expect("it can be revoked");
        assert!(tokens.check(&token, at(4)).is_err());
        std::fs::write(dir.path().join("tokens.json"), "nonsense").expect("the file");
        assert_eq!(tokens.check(&token, at(5)), Err(Stranger::Broken));
    }

    #[test]
    fn a_code_works_once() {
        let (_dir, place) = place();
        let tokens = Tokens::open(&place).expect("no file yet");
        let code = tokens.code("ada");
        assert_eq!((tokens.take_code(&code), tokens.take_code(&code)), (Some("ada".into()), None));
    }
}
