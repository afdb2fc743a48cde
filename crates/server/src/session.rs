//! Sessions: who is logged in on the pages.
//!
//! An id of 256 random bits in a cookie, and beside it a token that every form carries. Kept in memory only: a restart logs everybody out, and nothing
//! of it can leak from a backup. Bounded in number and in time. Knows nothing of passwords; who somebody is arrives decided.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::identity::Caller;

/// How long a session lasts: a working day.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// The most sessions at once; beyond it the one that ends first is dropped.
const MOST: usize = 10_000;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Who, with what their token leaves them: a session never gives more than the token that it began with.
    pub caller: Caller,
    /// What a form has to send back, so that no other site can send it.
    pub csrf: String,
    until: Instant,
}

/// Everybody who is logged in, by session id.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Session>>);

impl Sessions {
    /// Begins a session; returns its id.
    pub(crate) fn begin(&self, caller: Caller, now: Instant) -> String {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.until > now);
        if sessions.len() >= MOST {
            let first = sessions.iter().min_by_key(|(_, s)| s.until).map(|(id, _)| id.clone());
            first.and_then(|id| sessions.remove(&id));
        }
        let id = random_hex();
        sessions.insert(id.clone(), Session { caller, csrf: random_hex(), until: now + LASTS });
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

/// Buckets of tries that fill up with time, one for each address and one for each user: guessing is slow, and nobody is slowed down by somebody else.
#[derive(Debug, Default)]
pub(crate) struct Tries(Mutex<BTreeMap<String, (f64, Instant)>>);

impl Tries {
    const MOST: f64 = 20.0;
    const A_SECOND: f64 = 0.5;
    /// The most buckets; a full one need not be kept, since a bucket that is not there is full.
    const MOST_BUCKETS: usize = 10_000;

    /// Takes one try from each of these buckets, if every one of them has one.
    pub(crate) fn take(&self, names: &[String], now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() + names.len() > Self::MOST_BUCKETS {
            make_room(&mut buckets, now);
        }
        let granted = names.iter().all(|name| left(buckets.get(name), now) >= 1.0);
        for name in names.iter().filter(|_| granted) {
            let rest = left(buckets.get(name), now) - 1.0;
            buckets.insert(name.clone(), (rest, now));
        }
        granted
    }
}

fn left(bucket: Option<&(f64, Instant)>, now: Instant) -> f64 {
    bucket.map_or(Tries::MOST, |(left, since)| {
        (left + now.saturating_duration_since(*since).as_secs_f64() * Tries::A_SECOND).min(Tries::MOST)
    })
}

/// Forgets the fuller half: whoever guesses most is remembered longest.
fn make_room(buckets: &mut BTreeMap<String, (f64, Instant)>, now: Instant) {
    let mut fill: Vec<f64> = buckets.values().map(|bucket| left(Some(bucket), now)).collect();
    fill.sort_by(f64::total_cmp);
    let middle = fill.get(fill.len() / 2).copied().unwrap_or(0.0);
    let mut surplus = buckets.len() / 2;
    buckets.retain(|_, bucket| {
        let goes = surplus > 0 && left(Some(bucket), now) >= middle;
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: &str) -> Caller {
        Caller { user: user.into(), ..Caller::default() }
    }

    #[test]
    fn a_session_ends_after_twelve_hours_and_at_logout() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (ada, bob) = (sessions.begin(who("ada"), now), sessions.begin(who("bob"), now));
        assert_eq!(sessions.find(&ada, now).map(|s| s.caller.user), Some("ada".into()));
        sessions.end(&bob);
        assert_eq!(sessions.find(&bob, now), None);
        assert!(sessions.find(&ada, now + LASTS - Duration::from_secs(1)).is_some());
        assert_eq!(sessions.find(&ada, now + LASTS), None);
        assert_eq!(sessions.find("", now), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin(who("ada"), now);
        for second in 1..=MOST as u64 {
            sessions.begin(who("bob"), now + Duration::from_millis(second));
        }
        assert_eq!(sessions.0.lock().expect("no panic").len(), MOST);
        assert_eq!(sessions.find(&first, now), None);
    }

    #[test]
    fn ids_and_form_tokens_are_never_the_same() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, two) = (sessions.begin(who("ada"), now), sessions.begin(who("ada"), now));
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
        let (now, tries) = (Instant::now(), Tries::default());
        let ada = ["192.0.2.1".to_owned(), "user ada".to_owned()];
        assert_eq!((0..30).filter(|_| tries.take(&ada, now)).count(), 20);
        assert!(!tries.take(&ada, now + Duration::from_secs(1)));
        assert!(tries.take(&ada, now + Duration::from_secs(2)));
        assert!(!tries.take(&ada, now + Duration::from_secs(2)));
    }

    // I10
    #[test]
    fn nobody_is_slowed_down_by_the_guesses_of_another_address_or_user() {
        let (now, tries) = (Instant::now(), Tries::default());
        let name = |address: &str, user: &str| [address.to_owned(), user.to_owned()];
        while tries.take(&name("192.0.2.1", "user ada"), now) {}
        assert!(tries.take(&name("192.0.2.2", "user bob"), now));
        assert!(!tries.take(&name("192.0.2.2", "user ada"), now), "another address does not help against one user");
        assert!(!tries.take(&name("192.0.2.1", "user bob"), now));
    }

    #[test]
    fn buckets_are_bounded_and_who_guesses_most_is_remembered() {
        let (now, tries) = (Instant::now(), Tries::default());
        let worst = ["192.0.2.1".to_owned()];
        while tries.take(&worst, now) {}
        for i in 0..30_000 {
            tries.take(&[format!("address {i}")], now);
        }
        assert!(tries.0.lock().expect("no panic").len() <= Tries::MOST_BUCKETS);
        assert!(!tries.take(&worst, now));
    }
}
