//! Secret: what a scan found, told so that nobody can use it, and what people allow by name.
//!
//! Holds the finding, its fingerprint and the file `secrets.yaml`. Knows no rule and reads no text: the scan does, and hands its findings on. The
//! secret itself never comes here but to be made into a fingerprint. What closes the gate is in [`gate`](crate::gate).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Access;
use crate::document::Place;
use crate::glob::fits_path;
use crate::id::Digest;

/// The most findings that a proposal carries; one is enough to close its gate.
pub const MOST_FINDINGS: usize = 100;

/// The shortest salt: 128 random bits in hexadecimal.
const SHORTEST_SALT: usize = 32;

/// A secret that was found, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The rule that found it, such as `github-token`.
    #[schemars(length(min = 1, max = 60))]
    pub rule: String,
    /// What was scanned: a path, or a name such as `the change file`.
    #[schemars(length(max = 1_000))]
    pub file: String,
    pub place: Place,
    /// Its first characters where they are the same for every secret of its kind, and `…`; never enough to use it.
    #[schemars(length(max = 12))]
    pub excerpt: String,
    /// By which it is allowed. Absent where the governance has no salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Why it is no matter, and who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
}

/// Who allows a finding, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// A user or group, or `the comment on its line`.
    #[schemars(length(min = 1, max = 100))]
    pub by: String,
    #[schemars(length(min = 1, max = 1_000))]
    pub reason: String,
}

/// What is said of a finding that a comment on its line allows.
pub const BY_COMMENT: &str = "the comment on its line";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, file, place, excerpt, .. } = self;
        write!(f, "{file}:{}:{}: `{excerpt}` looks like a secret (`{rule}`)", place.line, place.column)?;
        self.allowed.iter().try_for_each(|a| write!(f, ", allowed by {}: {}", a.by, a.reason))
    }
}

/// A secret's name: SHA-256 over a salt, the rule and the secret, cut to 128 bits.
///
/// A plain hash would give short secrets away: whoever reads the log could hash every password of eight letters and compare. The salt is kept in the
/// governance directory and never enters the log, so that a fingerprint in the log can't be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transparent)]
pub struct Fingerprint(#[schemars(regex(pattern = "^[0-9a-f]{32}$"))] String);

impl Fingerprint {
    pub fn of(salt: &str, rule: &str, secret: &str) -> Self {
        let whole = Digest::of_bytes(format!("clearway secret\0{salt}\0{rule}\0{secret}").as_bytes()).to_string();
        let hexadecimal = whole.trim_start_matches("sha256:");
        Self(hexadecimal.chars().take(32).collect())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `secrets.yaml`: findings that are no matter.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowList {
    /// At least 128 random bits in hexadecimal, for the fingerprints; another salt makes every fingerprint another. Keep it as private as the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 32, max = 128))]
    pub salt: Option<String>,
    #[serde(default)]
    pub allow: Vec<Allowance>,
}

impl fmt::Debug for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowList").field("allow", &self.allow).finish_non_exhaustive()
    }
}

/// One finding, or the findings of one rule in some files, that somebody answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// The fingerprint of one secret, wherever it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Files, with `*` for a part of a name and `**` for any folders; it needs `rule` beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub path: Option<String>,
    /// Only findings of this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 60))]
    pub rule: Option<String>,
    /// Why it is no matter.
    #[schemars(length(min = 1, max = 1_000))]
    pub reason: String,
    /// The user or group that answers for it.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
}

impl AllowList {
    /// What is wrong with the list: JSON pointers and sentences.
    pub fn problems(&self, access: &Access) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.salt.as_ref().is_some_and(|salt| !is_random_enough(salt)) {
            let message = "the salt is at least 32 hexadecimal digits of chance: `openssl rand -hex 16` prints some";
            problems.push(("/salt".to_owned(), message.to_owned()));
        }
        for (i, entry) in self.allow.iter().enumerate() {
            let mut say = |field: &str, message: String| problems.push((format!("/allow/{i}{field}"), message));
            if entry.fingerprint.is_none() && (entry.path.is_none() || entry.rule.is_none()) {
                say("", "an entry names a `fingerprint`, or a `path` together with a `rule`".to_owned());
            }
            if entry.fingerprint.is_some() && self.salt.is_none() {
                say("/fingerprint", "a fingerprint means nothing without the `salt` it was made with".to_owned());
            }
            if !access.is_principal(&entry.owner) {
                say("/owner", format!("there is no user or group `{}`", entry.owner));
            }
        }
        problems
    }

    /// The fingerprint of a secret, where there is a salt.
    pub fn fingerprint(&self, rule: &str, secret: &str) -> Option<Fingerprint> {
        self.salt.as_deref().map(|salt| Fingerprint::of(salt, rule, secret))
    }

    /// Who allows a finding.
    pub fn allows(&self, finding: &Finding) -> Option<Allowed> {
        let entry = self.allow.iter().find(|entry| entry.covers(finding))?;
        Some(Allowed { by: entry.owner.clone(), reason: entry.reason.clone() })
    }

    /// Whether this very secret is allowed wherever it stands.
    pub fn allows_everywhere(&self, rule: &str, secret: &str) -> bool {
        let by_name =
            |entry: &&Allowance| entry.path.is_none() && entry.rule.as_ref().is_none_or(|wanted| wanted == rule);
        let mut named = self.allow.iter().filter(by_name).filter_map(|entry| entry.fingerprint.as_ref()).peekable();
        if named.peek().is_none() {
            return false;
        }
        let fingerprint = self.fingerprint(rule, secret);
        named.any(|wanted| Some(wanted) == fingerprint.as_ref())
    }

    /// The findings as this list sees them: what another list allowed counts for nothing; what a comment allowed, in a file of the author, does.
    #[must_use]
    pub fn review(&self, found: Vec<Finding>) -> Vec<Finding> {
        let judged = |mut finding: Finding| {
            let comment = finding.allowed.take().filter(|allowed| allowed.by == BY_COMMENT);
            finding.allowed = self.allows(&finding).or(comment);
            finding
        };
        found.into_iter().map(judged).collect()
    }
}

fn is_random_enough(salt: &str) -> bool {
    let digits: std::collections::BTreeSet<char> = salt.chars().collect();
    salt.len() >= SHORTEST_SALT && salt.bytes().all(|b| b.is_ascii_hexdigit()) && digits.len() >= 8
}

impl Allowance {
    fn covers(&self, finding: &Finding) -> bool {
        if self.fingerprint.is_none() && (self.path.is_none() || self.rule.is_none()) {
            return false;
        }
        self.rule.as_ref().is_none_or(|rule| *rule == finding.rule)
            && self.fingerprint.as_ref().is_none_or(|wanted| Some(wanted) == finding.fingerprint.as_ref())
            && self.path.as_ref().is_none_or(|path| fits_path(path, finding.file.trim_start_matches("./")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "0123456789abcdef0123456789abcdef";

    fn finding(rule: &str, file: &str, secret: &str) -> Finding {
        Finding {
            rule: rule.into(),
            file: file.into(),
            place: Place { line: 3, column: 9 },
            excerpt: "ghp_…".into(),
            fingerprint: Some(Fingerprint::of(SALT, rule, secret)),
            allowed: None,
        }
    }

    fn list(entry: serde_json::Value) -> AllowList {
        let mut entry = entry;
        entry["reason"] = "a sample".into();
        entry["owner"] = "ada".into();
        serde_json::from_value(serde_json::json!({"salt": SALT, "allow": [entry]})).expect("is a list")
    }

    #[test]
    fn a_fingerprint_names_the_secret_and_another_salt_names_it_otherwise() {
        let one = Fingerprint::of(SALT, "password", "correct horse");
        assert_eq!(one, Fingerprint::of(SALT, "password", "correct horse"));
        assert_ne!(one, Fingerprint::of("00", "password", "correct horse"));
        assert_ne!(one, Fingerprint::of(SALT, "jwt", "correct horse"));
        assert_eq!(one.to_string().len(), 32);
    }

    #[test]
    fn a_finding_is_allowed_by_its_fingerprint_or_by_its_path_with_its_rule() {
        let found = finding("jwt", "tests/fixtures/a/token.txt", "one");
        let fingerprint = found.fingerprint.clone();
        let allowed = Some(Allowed { by: "ada".into(), reason: "a sample".into() });
        for entry in [
            serde_json::json!({"fingerprint": fingerprint}),
            serde_json::json!({"fingerprint": fingerprint, "rule": "jwt"}),
            serde_json::json!({"path": "tests/**", "rule": "jwt"}),
            serde_json::json!({"path": "**/*.txt", "rule": "jwt"}),
            serde_json::json!({"path": "tests/**/a/tok*n.*", "rule": "jwt"}),
        ] {
            assert_eq!(list(entry.clone()).allows(&found), allowed, "{entry}");
        }
        for entry in [
            serde_json::json!({"path": "tests/**"}),
            serde_json::json!({"rule": "jwt"}),
            serde_json::json!({"path": "tests/*.txt", "rule": "jwt"}),
            serde_json::json!({"path": "tests/**", "rule": "private-key"}),
            serde_json::json!({"fingerprint": Fingerprint::of(SALT, "jwt", "two")}),
            serde_json::json!({"fingerprint": fingerprint, "path": "src/**", "rule": "jwt"}),
        ] {
            assert_eq!(list(entry.clone()).allows(&found), None, "{entry}");
        }
    }

    #[test]
    fn what_a_client_says_is_allowed_counts_only_if_the_governance_says_so_too() {
        let claimed = |by: &str| {
            let allowed = Some(Allowed { by: by.into(), reason: "trust me".into() });
            Finding { allowed, ..finding("jwt", "a.txt", "one") }
        };
        let reviewed = AllowList::default().review(vec![claimed("eve"), claimed(BY_COMMENT)]);
        assert_eq!(reviewed[0].allowed, None);
        assert_eq!(reviewed[1].allowed.as_ref().map(|a| a.by.as_str()), Some(BY_COMMENT));
    }

    #[test]
    fn a_list_with_an_entry_that_allows_too_much_is_refused() {
        let access = Access::of_one("ada");
        let said = |entry: serde_json::Value| {
            let problems = list(entry).problems(&access);
            problems.into_iter().map(|(at, message)| format!("{at}: {message}")).collect::<Vec<_>>()
        };
        assert_eq!(said(serde_json::json!({"path": "**", "rule": "jwt"})), [""; 0]);
        let bare = ["/allow/0: an entry names a `fingerprint`, or a `path` together with a `rule`"];
        assert_eq!(said(serde_json::json!({"path": "**"})), bare);
        assert_eq!(said(serde_json::json!({"rule": "jwt"})), bare);
        let mut unsalted = list(serde_json::json!({"fingerprint": Fingerprint::of(SALT, "jwt", "one")}));
        unsalted.salt = None;
        unsalted.allow[0].owner = "nobody".into();
        let problems: Vec<String> = unsalted.problems(&access).into_iter().map(|(at, _)| at).collect();
        assert_eq!(problems, ["/allow/0/fingerprint", "/allow/0/owner"]);
        for weak in ["abc", "00000000000000000000000000000000", "not hexadecimal, though it is long enough"] {
            let weak = AllowList { salt: Some(weak.into()), allow: vec![] };
            assert_eq!(weak.problems(&access).len(), 1);
        }
    }

    #[test]
    fn the_salt_is_not_shown() {
        let shown = format!("{:?}", list(serde_json::json!({"path": "**", "rule": "jwt"})));
        assert!(!shown.contains(SALT), "{shown}");
    }
}
