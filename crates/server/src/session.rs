//! Sessions: who is logged in on the pages.
//!
//! An id of 256 random bits in a cookie, and beside it a token that every form carries. Kept in memory only: a restart logs everybody out, and nothing
//! of it can leak from a backup. Bounded in number and in time. Knows nothing of passwords; who somebody is arrives decided.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a session lasts: a working day.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// The most sessions at once; beyond it the one that ends first is dropped.
const MOST: usize = 10_000;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub user: String,
    /// What a form has to send back, so that no other site can send it.
    pub csrf: String,
    until: Instant,
}

/// Everybody who is logged in, by session id.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Session>>);

impl Sessions {
    /// Begins a session; returns its id.
    pub(crate) fn begin(&self, user: String, now: Instant) -> String {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.until > now);
        if sessions.len() >= MOST {
            let first = sessions.iter().min_by_key(|(_, s)| s.until).map(|(id, _)| id.clone());
            first.and_then(|id| sessions.remove(&id));
        }
        let id = random_hex();
        sessions.insert(id.clone(), Session { user, csrf: random_hex(), until: now + LASTS });
        id
    }

    pub(crate) fn find(&self, id: &str, now: Instant) -> Option<Session> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(id).filter(|session| session.until > now).cloned()
    }

    pub(crate) fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// 256 bits from the system's generator.
fn random_hex() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differing, (x, y)| differing | (x ^ y)) == 0
}

/// The name of the cookie: with https, one that only this very host can set.
pub(crate) fn cookie_name(is_https: bool) -> &'static str {
    if is_https { "__Host-clearway_session" } else { "clearway_session" }
}

/// The `Set-Cookie` of a session that begins.
pub(crate) fn set_cookie(id: &str, is_https: bool) -> String {
    cookie(id, LASTS.as_secs(), is_https)
}

/// The `Set-Cookie` of a session that has ended.
pub(crate) fn clear_cookie(is_https: bool) -> String {
    cookie("", 0, is_https)
}

fn cookie(value: &str, max_age: u64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age}{secure}", cookie_name(is_https))
}

/// The value of a cookie in a `Cookie` header.
pub(crate) fn read_cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// A bucket of tries that fills up with time: guessing is slow for everybody together.
#[derive(Debug)]
pub(crate) struct Tries(Mutex<(f64, Instant)>);

impl Tries {
    const MOST: f64 = 20.0;
    const A_SECOND: f64 = 0.5;

    pub(crate) fn full(now: Instant) -> Self {
        Self(Mutex::new((Self::MOST, now)))
    }

    /// Takes one try, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *state;
        let left = (left + now.saturating_duration_since(since).as_secs_f64() * Self::A_SECOND).min(Self::MOST);
        let granted = left >= 1.0;
        *state = (if granted { left - 1.0 } else { left }, now.max(since));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_twelve_hours_and_at_logout() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (ada, bob) = (sessions.begin("ada".into(), now), sessions.begin("bob".into(), now));
        assert_eq!(sessions.find(&ada, now).map(|s| s.user), Some("ada".into()));
        sessions.end(&bob);
        assert_eq!(sessions.find(&bob, now), None);
        assert!(sessions.find(&ada, now + LASTS - Duration::from_secs(1)).is_some());
        assert_eq!(sessions.find(&ada, now + LASTS), None);
        assert_eq!(sessions.find("", now), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin("ada".into(), now);
        for second in 1..=MOST as u64 {
            sessions.begin("bob".into(), now + Duration::from_millis(second));
        }
        assert_eq!(sessions.0.lock().expect("no panic").len(), MOST);
        assert_eq!(sessions.find(&first, now), None);
    }

    #[test]
    fn ids_and_form_tokens_are_never_the_same() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, two) = (sessions.begin("ada".into(), now), sessions.begin("ada".into(), now));
        let csrf = |id: &str| sessions.find(id, now).expect("a session").csrf;
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
        assert_ne!(csrf(&one), csrf(&two));
        assert_ne!(csrf(&one), one);
    }

    #[test]
    fn secrets_are_the_same_only_as_a_whole() {
        assert!(is_same("abc", "abc"));
        for other in ["abd", "xbc", "ab", "abcd", ""] {
            assert!(!is_same("abc", other), "{other}");
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_for_scripts_and_other_sites() {
        assert_eq!(set_cookie("x", false), "clearway_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200");
        assert_eq!(
            clear_cookie(true),
            "__Host-clearway_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"
        );
        assert_eq!(read_cookie("a=b; clearway_session=x; c=d", "clearway_session"), Some("x"));
        assert_eq!(read_cookie("not_clearway_session=x", "clearway_session"), None);
    }

    #[test]
    fn after_twenty_tries_there_is_one_every_two_seconds() {
        let now = Instant::now();
        let tries = Tries::full(now);
        assert_eq!((0..30).filter(|_| tries.take(now)).count(), 20);
        assert!(!tries.take(now + Duration::from_secs(1)));
        assert!(tries.take(now + Duration::from_secs(2)));
        assert!(!tries.take(now + Duration::from_secs(2)));
    }
}
