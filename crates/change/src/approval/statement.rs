//! The statement: the words that a voter signs.
//!
//! A short text that a person can read, the same to the byte wherever it is made: the line of its version first, then one fact a line, in a fixed order,
//! with nothing that a terminal would hide. Its time is the one thing that the signer chooses. Who may sign is asked in [`signers`](super::signers).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actor::Actor;
use crate::assessment::Assessment;
use crate::id::{ChangeId, Digest};
use crate::lifecycle::Change;
use crate::time::{Span, Timestamp, after};

/// The first line, and the purpose that a signature is made for: one for anything else is none for this.
pub const NAMESPACE: &str = "clearway-approval@v1";

/// How old a statement may be when it arrives: time to carry it to the machine that has the key, and back.
pub const LASTS: Span = Span::secs(86_400);
/// How far the clock of a signer may be ahead.
pub const AHEAD: Span = Span::secs(120);

/// A title of 200 characters and dozens of groups fit; so does the log's entry around it.
pub const MOST_BYTES: usize = 8_192;

/// A statement and its signature, as they arrive; nobody has checked them yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The text that was signed, to the byte.
    pub statement: String,
    /// What `ssh-keygen -Y sign` wrote.
    pub armored: String,
}

/// A signature that held when the vote was cast, with all that is needed to verify it once more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Signature {
    /// The fingerprint of the key: `SHA256:...`.
    pub key: String,
    /// The text that was signed, to the byte.
    pub statement: String,
    /// What `ssh-keygen -Y sign` wrote.
    pub armored: String,
}

/// What a voter says of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub change: ChangeId,
    pub uid: Uuid,
    pub title: String,
    pub effect: Digest,
    pub revision: u32,
    /// The groups that the change asks and that the voter speaks for.
    pub groups: BTreeSet<String>,
    pub voter: Actor,
    pub time: Timestamp,
}

impl Statement {
    /// The yes of this voter, who may speak for these groups, to the change as it is now.
    pub fn approval(change: &Change, voter: &Actor, groups: &BTreeSet<String>, time: Timestamp) -> Self {
        let asked = change.assessment.as_ref().map(|assessed| asked(&assessed.assessment)).unwrap_or_default();
        Self {
            change: change.id,
            uid: change.uid,
            title: change.proposal.title.clone(),
            effect: change.proposal.effect_digest,
            revision: change.revision,
            groups: groups.intersection(&asked).cloned().collect(),
            voter: voter.clone(),
            time,
        }
    }

    /// The bytes that are signed.
    pub fn text(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(|group| plain(group)).collect();
        format!(
            "{NAMESPACE}\n\
             decision: approve\n\
             change: {}\n\
             uid: {}\n\
             title: {}\n\
             effect: {}\n\
             revision: {}\n\
             groups: {}\n\
             voter: {}\n\
             time: {}\n",
            self.change,
            self.uid,
            plain(&self.title),
            self.effect,
            self.revision,
            groups.join(" "),
            plain(&self.voter.to_string()),
            self.time,
        )
    }

    /// What a text says otherwise than this statement, as a sentence; nothing where it is the same to the byte.
    pub fn difference(&self, text: &str) -> Option<String> {
        let ours = self.text();
        if ours == text {
            return None;
        }
        let differing = ours.lines().zip(text.lines().chain(std::iter::repeat(""))).find(|(ours, given)| ours != given);
        Some(match differing {
            Some((ours, given)) => format!("it says `{}`, where it should say `{ours}`", plain(&short(given))),
            None => "it has something after its last line, or another end of line".to_owned(),
        })
    }
}

/// The time that a statement names: what the signer has chosen. Whether the rest is right is asked by [`Statement::difference`].
pub fn time_of(text: &str) -> Option<Timestamp> {
    if text.len() > MOST_BYTES {
        return None;
    }
    text.lines().find_map(|line| line.strip_prefix("time: "))?.parse().ok()
}

/// Why a statement of this time does not count at `now`, if it does not.
pub fn untimely(time: Timestamp, now: Timestamp) -> Option<String> {
    if after(time, LASTS) < now {
        return Some(format!("it was made at `{time}`, more than a day ago"));
    }
    (after(now, AHEAD) < time).then(|| format!("it was made at `{time}`, which is still to come: look at your clock"))
}

/// Every group that may be asked, at once or after a deadline.
fn asked(assessment: &Assessment) -> BTreeSet<String> {
    let all = assessment.requires.iter().chain(&assessment.owed);
    all.flat_map(|r| r.escalate.iter().chain([&r.by])).cloned().collect()
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

/// One line in which every character is seen: line breaks, control characters and those that reorder or hide a text are written as numbers.
fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            c if c.is_control() || is_unseen(c) => line.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

// Format characters and separators of Unicode that change how a line looks and are not seen themselves.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            change: ChangeId::new(7),
            uid: Uuid::from_u128(7),
            title: "Raise the pool for Zoë".into(),
            effect: Digest::of_bytes(b"effect"),
            revision: 2,
            groups: ["sre".to_owned(), "security".to_owned()].into(),
            voter: Actor::User("ada".into()),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_text_is_fixed_to_the_byte() {
        expect_test::expect![[r#"
            clearway-approval@v1
            decision: approve
            change: CHG-7
            uid: 00000000-0000-0000-0000-000000000007
            title: Raise the pool for Zoë
            effect: sha256:dcb576426a17b7df13907007cb02a1f1dfc12fc6c69f603717abca59d03b888e
            revision: 2
            groups: security sre
            voter: user:ada
            time: 1970-01-01T00:00:00Z
        "#]]
        .assert_eq(&statement().text());
        assert_eq!(time_of(&statement().text()), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(statement().difference(&statement().text()), None);
    }

    #[test]
    fn no_title_can_add_a_line_or_hide_a_word() {
        let hostile = "ok\nvoter: user:eve\r\u{202e}live\u{200b}\\n\u{1b}[2J\u{2028}";
        let text = Statement { title: hostile.into(), ..statement() }.text();
        assert_eq!(text.lines().count(), statement().text().lines().count());
        let title = r"title: ok\u{a}voter: user:eve\u{d}\u{202e}live\u{200b}\\n\u{1b}[2J\u{2028}";
        assert!(text.contains(&format!("\n{title}\n")), "{text}");
        let other = Statement { title: r"ok\u{a}voter: user:eve".into(), ..statement() };
        let escaped = Statement { title: "ok\nvoter: user:eve".into(), ..statement() };
        assert_ne!(other.text(), escaped.text(), "two titles are two texts");
    }

    #[test]
    fn what_a_text_says_otherwise_is_named() {
        let given = statement().text().replace("revision: 2", "revision: 1");
        let said = statement().difference(&given);
        assert_eq!(said.as_deref(), Some("it says `revision: 1`, where it should say `revision: 2`"));
        let ours = statement().text();
        for other in [format!("{ours}more"), ours.replace('\n', "\r\n"), ours.trim_end().to_owned()] {
            assert!(statement().difference(&other).is_some_and(|s| s.contains("last line")), "{other:?}");
        }
        assert!(statement().difference("").is_some_and(|s| s.contains("it says ``")));
    }

    #[test]
    fn a_statement_is_timely_for_a_day_and_never_ahead() {
        let at = |seconds| after(Timestamp::UNIX_EPOCH, Span::secs(seconds));
        assert_eq!(untimely(at(0), at(86_400)), None);
        assert!(untimely(at(0), at(86_401)).is_some_and(|why| why.contains("more than a day ago")));
        assert_eq!(untimely(at(120), at(0)), None);
        assert!(untimely(at(121), at(0)).is_some_and(|why| why.contains("look at your clock")));
        assert_eq!(time_of("time: yesterday\n"), None);
    }
}
