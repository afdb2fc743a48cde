//! Signers: may this key sign for this person, now?
//!
//! Keys are those of the user in access.yaml, and those of `allowed_signers`, OpenSSH's file (ssh-keygen(1), ALLOWED SIGNERS), so that one list serves
//! git, ssh-keygen and us. What the file says and we can't keep, such as certificate authorities, is a problem and never passed over. Knows no
//! cryptography: a key is compared by its text, which has one form only. What is signed is in [`statement`](super::statement).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::statement::NAMESPACE;
use crate::actor::{Access, User};
use crate::document::{list, nearest};
use crate::glob::fits_name;
use crate::time::Timestamp;

/// The name of the file in the governance directory.
pub const FILE: &str = "allowed_signers";

/// The most people whom a sentence about a shared key names.
const MOST_NAMED: usize = 5;

/// The kinds of keys that can sign a vote.
const KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One line of `allowed_signers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Its line in the file, from 1.
    line: u32,
    /// Patterns of user ids and e-mail addresses.
    principals: Vec<String>,
    /// Patterns of the purposes it may sign for; all if empty.
    namespaces: Vec<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    /// The kind and the base64 of the key.
    key: String,
}

/// Reads an `allowed_signers` file.
///
/// # Errors
/// Every line that can't be kept to, by its number from 1, and why.
pub fn read(text: &str) -> Result<Vec<Signer>, Vec<(u32, String)>> {
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (mut signers, mut problems) = (vec![], vec![]);
    for (number, line) in lines {
        match Signer::read(line) {
            Ok(signer) => signers.push(Signer { line: number, ..signer }),
            Err(problem) => problems.push((number, problem)),
        }
    }
    if problems.is_empty() { Ok(signers) } else { Err(problems) }
}

/// Why `key` can't sign a vote of `user` at `now`, if it can't. The key is written as its kind and its base64.
pub fn refusal(access: &Access, signers: &[Signer], user: &str, key: &str, now: Timestamp) -> Option<String> {
    let person = access.users.iter().find(|u| u.id == user);
    let Some(person) = person else { return Some(format!("there is no user `{user}` in access.yaml")) };
    if person.keys.iter().any(|own| words(own).as_deref() == Some(key)) {
        return None;
    }
    let lines: Vec<&Signer> = signers.iter().filter(|s| s.key == key && s.is_of(person)).collect();
    if lines.iter().any(|line| line.untimely(now).is_none() && line.is_for_votes()) {
        return None;
    }
    Some(match lines.first() {
        None => format!("the key is not one of `{user}`, neither in access.yaml nor in {FILE}"),
        Some(line) if !line.is_for_votes() => format!("{FILE} lists the key for other purposes than `{NAMESPACE}`"),
        Some(line) => line.untimely(now).unwrap_or_default(),
    })
}

/// The keys that can sign a vote of `user` at `now`, each as its kind and its base64.
pub fn keys_of(access: &Access, signers: &[Signer], user: &str, now: Timestamp) -> Vec<String> {
    let Some(person) = access.users.iter().find(|u| u.id == user) else { return vec![] };
    let listed = signers.iter().filter(|s| s.is_of(person)).map(|s| s.key.clone());
    let mut keys: Vec<String> = person.keys.iter().filter_map(|key| words(key)).chain(listed).collect();
    keys.retain(|key| refusal(access, signers, user, key, now).is_none());
    keys.sort();
    keys.dedup();
    keys
}

/// Keys of access.yaml that can't be read, or that two people share: each as a JSON pointer and a sentence.
pub fn key_problems(access: &Access) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut seen: Vec<(String, &str)> = vec![];
    for (i, user) in access.users.iter().enumerate() {
        for (j, key) in user.keys.iter().enumerate() {
            let place = format!("/users/{i}/keys/{j}");
            match check_key(key) {
                Err(problem) => found.push((place, problem)),
                Ok(key) => match seen.iter().find(|(other, owner)| *other == key && *owner != user.id) {
                    Some((_, owner)) => found.push((
                        place,
                        format!("`{owner}` has this key too; a signature has to say which of them it is by"),
                    )),
                    None => seen.push((key, &user.id)),
                },
            }
        }
    }
    found
}

/// Keys of `allowed_signers` that more than one person could sign votes with, by this file or by access.yaml: each by the line that says so, and why.
/// Who has left signs nothing and doesn't count.
pub fn shared_keys(access: &Access, signers: &[Signer]) -> Vec<(u32, String)> {
    let people = |key: &str| -> Vec<&str> {
        let lines: Vec<&Signer> = signers.iter().filter(|s| s.key == key && s.is_for_votes()).collect();
        let own = |user: &User| user.keys.iter().any(|own| words(own).as_deref() == Some(key));
        let here = access.users.iter().filter(|user| !user.deactivated);
        here.filter(|user| own(user) || lines.iter().any(|line| line.is_of(user))).map(|u| u.id.as_str()).collect()
    };
    let for_votes = signers.iter().filter(|signer| signer.is_for_votes());
    let shared = for_votes.filter_map(|signer| {
        let people = people(&signer.key);
        (people.len() > 1).then(|| {
            let most = people.iter().take(MOST_NAMED).copied();
            let why = format!("{} could sign votes with this key", list(most));
            (signer.line, format!("{why}; a signature has to say which of them it is by: name one person here"))
        })
    });
    shared.collect()
}

impl Signer {
    fn read(line: &str) -> Result<Self, String> {
        let (principals, rest) = field(line)?;
        let mut signer = Self {
            line: 0,
            principals: patterns(&principals),
            namespaces: vec![],
            valid_after: None,
            valid_before: None,
            key: String::new(),
        };
        let starts_with_key = |rest: &str| rest.split_whitespace().next().is_some_and(is_kind);
        let mut rest = rest.trim_start();
        if !starts_with_key(rest) {
            let (options, after) = field(rest)?;
            signer.options(&options)?;
            rest = after.trim_start();
        }
        signer.key = check_key(rest)?;
        Ok(signer)
    }

    fn options(&mut self, options: &str) -> Result<(), String> {
        for option in split_unquoted(options, ',') {
            let (name, value) = option.split_once('=').map_or((option.as_str(), None), |(n, v)| (n, Some(v)));
            let value = value.map(unquoted).transpose()?;
            match (name.to_ascii_lowercase().as_str(), value) {
                ("namespaces", Some(value)) => self.namespaces = patterns(&value),
                ("valid-after", Some(value)) => self.valid_after = Some(instant(&value)?),
                ("valid-before", Some(value)) => self.valid_before = Some(instant(&value)?),
                ("cert-authority", _) => {
                    return Err("certificate authorities are not supported: list each key itself".into());
                }
                (other, _) => return Err(unknown_option(other)),
            }
        }
        Ok(())
    }

    fn is_of(&self, person: &User) -> bool {
        let names = person.emails.iter().chain([&person.id]);
        names.into_iter().any(|name| matches(&self.principals, name))
    }

    fn is_for_votes(&self) -> bool {
        self.namespaces.is_empty() || matches(&self.namespaces, NAMESPACE)
    }

    fn untimely(&self, now: Timestamp) -> Option<String> {
        let early = self.valid_after.filter(|at| now < *at);
        let late = self.valid_before.filter(|at| *at < now);
        early
            .map(|at| format!("the key counts from `{at}` only, says {FILE}"))
            .or_else(|| late.map(|at| format!("the key has counted until `{at}` only, says {FILE}")))
    }
}

fn is_kind(word: &str) -> bool {
    KINDS.contains(&word)
        || word.contains("-cert-v01@")
        || ["ssh-", "ecdsa-", "sk-"].iter().any(|k| word.starts_with(k))
}

/// A key in its one form, `kind base64`, without a comment.
fn check_key(line: &str) -> Result<String, String> {
    let form = || "this is no SSH public key; write for example `ssh-ed25519 AAAAC3Nz...`".to_owned();
    let key = words(line).ok_or_else(form)?;
    let (kind, base64) = key.split_once(' ').ok_or_else(form)?;
    if !KINDS.contains(&kind) {
        return Err(format!("keys of the kind `{kind}` can't sign votes; use one of {}", KINDS.join(", ")));
    }
    let blob = STANDARD.decode(base64).map_err(|_| form())?;
    let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
    let said = blob.strip_prefix(&length).is_some_and(|rest| rest.starts_with(kind.as_bytes()));
    if said { Ok(key) } else { Err(format!("the key is damaged: its bytes are no key of the kind `{kind}`")) }
}

fn words(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

/// The first field of a line and what follows; quotes may hold spaces.
fn field(line: &str) -> Result<(String, &str), String> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return Ok((line[..at].to_owned(), &line[at..])),
            _ => {}
        }
    }
    let problem = if quoted { "a quote is not closed" } else { "expected principals, options if any, and a key" };
    Err(problem.to_owned())
}

fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(part) if quoted || c != separator => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}

fn unquoted(value: &str) -> Result<String, String> {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inner.map(str::to_owned).ok_or_else(|| format!("write the value `{value}` in double quotes"))
}

fn unknown_option(name: &str) -> String {
    let known = ["namespaces", "valid-after", "valid-before"];
    let near = nearest(name, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("there is no option `{name}` with such a value{near}")
}

/// `20260901Z`, `202609011200Z` or `20260901120000Z`. Without the `Z` it would mean another moment on each machine.
fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is no time; write for example `20260901Z` or `202609011200Z`");
    let Some(digits) = text.strip_suffix('Z') else {
        return Err(format!("`{text}` means another moment on each machine; add a `Z` and write it in UTC"));
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return Err(wrong());
    }
    let full = format!("{digits:0<14}");
    let part = |range: std::ops::Range<usize>| &full[range];
    let iso =
        format!("{}-{}-{}T{}:{}:{}Z", part(0..4), part(4..6), part(6..8), part(8..10), part(10..12), part(12..14));
    iso.parse().map_err(|_| wrong())
}

fn patterns(list: &str) -> Vec<String> {
    list.trim_matches('"').split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// Whether a list of patterns takes a name (ssh_config(5), PATTERNS): one has to match, and none with `!`.
fn matches(patterns: &[String], name: &str) -> bool {
    let refused = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(|p| fits_name(p, name));
    !refused && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| fits_name(p, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOr5Hz2yBWUJRxnBZ6TgJTM4MnIMzmbGIkYZD3tkVTw/";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn access(keys: &[&str]) -> Access {
        serde_json::from_value(serde_json::json!({
            "users": [{"id": "ada", "emails": ["ada@example.com"], "keys": keys}, {"id": "bob"}],
        }))
        .expect("the access table of the tests is valid")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn refused(file: &str, user: &str, now: &str) -> Option<String> {
        let signers = read(file).expect("the file is valid");
        refusal(&access(&[]), &signers, user, KEY, at(now))
    }

    #[test]
    fn a_key_of_access_yaml_signs_for_its_user_alone_whatever_its_comment() {
        let access = access(&[&format!("{KEY} ada@laptop")]);
        let now = at("2026-09-01T00:00:00Z");
        assert_eq!(refusal(&access, &[], "ada", KEY, now), None);
        assert_eq!(keys_of(&access, &[], "ada", now), [KEY]);
        let wrong = "the key is not one of `bob`, neither in access.yaml nor in allowed_signers";
        assert_eq!(refusal(&access, &[], "bob", KEY, now).as_deref(), Some(wrong));
        assert!(refusal(&access, &[], "ada", OTHER, now).is_some());
        assert!(refusal(&access, &[], "eve", KEY, now).is_some_and(|why| why.contains("no user `eve`")));
    }

    #[test]
    fn a_line_of_allowed_signers_counts_for_its_principals_purposes_and_time() {
        let now = "2026-09-01T12:00:00Z";
        assert_eq!(refused(&format!("# staff\n\nada@example.com {KEY} laptop\n"), "ada", now), None);
        assert_eq!(refused(&format!("ada,!eve {KEY}"), "ada", now), None, "by the id");
        assert_eq!(refused(&format!("*@example.com namespaces=\"git,clearway-*\" {KEY}"), "ada", now), None);
        assert!(refused(&format!("*,!*@example.com {KEY}"), "bob", now).is_none());
        for (line, why) in [
            ("*@example.org", "is not one of `ada`"),
            ("*@example.com,!ada@*", "is not one of `ada`"),
            ("ada namespaces=\"git,file\"", "for other purposes than `clearway-approval@v1`"),
            ("ada valid-after=\"20260902Z\"", "counts from `2026-09-02T00:00:00Z` only"),
            ("ada valid-before=\"202609011159Z\"", "until `2026-09-01T11:59:00Z` only"),
            ("ada namespaces=\"*\",valid-after=\"20260101Z\",valid-before=\"20260901115959Z\"", "until"),
        ] {
            let said = refused(&format!("{line} {KEY}"), "ada", now);
            assert!(said.as_deref().is_some_and(|said| said.contains(why)), "{line}: {said:?}");
        }
        let twice = format!("ada valid-before=\"20200101Z\" {KEY}\nada {KEY}\n");
        assert_eq!(refused(&twice, "ada", now), None, "one line that counts is enough");
    }

    #[test]
    fn what_a_file_asks_and_we_cannot_keep_is_a_problem_with_its_line() {
        let text = format!(
            "ada {KEY}\nada cert-authority {KEY}\nada valid-after=\"20260901\" {KEY}\nada namespace=\"git\" {KEY}\n\
             ada namespaces=git {KEY}\nada\nada ssh-dss AAAA\nada ssh-ed25519 AAAA\nada valid-after=\"20261301Z\" {KEY}\nada \"open {KEY}\n"
        );
        let problems = read(&text).expect_err("nine lines are wrong");
        let said: Vec<String> = problems.iter().map(|(line, problem)| format!("{line}: {problem}")).collect();
        for (i, wanted) in [
            "2: certificate authorities are not supported",
            "3: `20260901` means another moment on each machine",
            "4: there is no option `namespace` with such a value; did you mean `namespaces`?",
            "5: write the value `git` in double quotes",
            "6: expected principals",
            "7: keys of the kind `ssh-dss` can't sign votes",
            "8: the key is damaged",
            "9: `20261301Z` is no time",
            "10: a quote is not closed",
        ]
        .iter()
        .enumerate()
        {
            assert!(said.get(i).is_some_and(|s| s.starts_with(wanted)), "{wanted} in {said:#?}");
        }
        assert_eq!(said.len(), 9, "{said:#?}");
    }

    #[test]
    fn a_key_that_two_people_have_says_nothing_about_either() {
        let mut shared = access(&[KEY, "ssh-ed25519 !"]);
        shared.users[1].keys = vec![format!("{KEY} bob")];
        let problems = key_problems(&shared);
        assert_eq!(problems[0].0, "/users/0/keys/1");
        assert_eq!(problems[1].0, "/users/1/keys/0");
        assert!(problems[1].1.starts_with("`ada` has this key too"), "{problems:?}");
        assert!(key_problems(&access(&[KEY, OTHER])).is_empty());
    }

    // X2, PA4: one signature is one person's, however the key came to them.
    #[test]
    fn a_line_that_lets_one_key_sign_for_two_people_is_a_problem() {
        let access = |key: &str| -> Access {
            serde_json::from_value(serde_json::json!({"users": [
                {"id": "ada", "emails": ["ada@example.com"]},
                {"id": "bob", "emails": ["bob@example.com"], "keys": [key]},
                {"id": "cyd", "emails": ["cyd@example.com"], "deactivated": true},
            ]}))
            .expect("the access table of the tests is valid")
        };
        let problems = |file: &str, key: &str| shared_keys(&access(key), &read(file).expect("the file is valid"));
        let wide = problems(&format!("# all of us\n*@example.com {KEY}"), OTHER);
        assert_eq!(wide.len(), 1);
        assert_eq!(wide[0].0, 2);
        assert!(wide[0].1.starts_with("`ada` or `bob` could sign votes with this key"), "{wide:?}");
        assert_eq!(
            problems(&format!("ada {KEY}\nbob {KEY}"), OTHER).len(),
            2,
            "each line names one, both together two"
        );
        assert_eq!(problems(&format!("ada {KEY}"), KEY).len(), 1, "access.yaml says that it is bob's");
        for fine in ["ada", "ada,ada@example.com", "cyd@*,ada", "*@example.com namespaces=\"git\""] {
            assert_eq!(problems(&format!("{fine} {KEY}"), OTHER), [], "{fine}");
        }
    }
}
