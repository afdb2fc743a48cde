//! Secrets: does a text hold something that would let a stranger in?
//!
//! One pass looks for the keywords of all rules; only at a keyword its rule is tried ([`rules`]), and what it finds has to look like a secret and not
//! like a sample ([`looks`]). Nothing here keeps, prints or returns a secret: a place, the name of the rule and at most four characters leave this file.
//! No file is opened: whoever has a text asks [`scan`], and [`scan_diff`] for the lines that a diff adds; [`Scrubber`] is the engine's last line of defence.

mod looks;
mod rules;
pub mod samples;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use change::document::Place;
use change::secret::{AllowList, Allowed, BY_COMMENT, Finding};
use engine::ports::{Scrub, Spotted};
use regex::bytes::{Regex, RegexBuilder};

use looks::{is_free, passes};
use rules::{Ask, RULES, Rule, Shape};

/// What a line says that may hold what looks like a secret: `clearway:allow-secret`, and why.
pub const ALLOW_COMMENT: &str = "clearway:allow-secret";
/// The longest private key that is looked for.
const LONGEST_KEY: usize = 16 << 10;
/// How much of a text a pattern sees.
const LONGEST_MATCH: usize = 12 << 10;

/// The keywords of all rules, each with the number of its rule.
struct Keywords {
    find: AhoCorasick,
    rules: Vec<usize>,
}

static KEYWORDS: LazyLock<Keywords> = LazyLock::new(|| {
    let all = RULES.iter().enumerate().flat_map(|(at, rule)| rule.keywords.iter().map(move |word| (at, *word)));
    let (rules, words): (Vec<usize>, Vec<&str>) = all.unzip();
    let built = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words);
    // INVARIANT: a few hundred short words always make an automaton; the tests build it.
    Keywords { find: built.expect("the keywords make an automaton"), rules }
});

static PATTERNS: [OnceLock<Option<Regex>>; RULES.len()] = [const { OnceLock::new() }; RULES.len()];

/// The words at which rules are tried.
pub fn keywords() -> impl Iterator<Item = &'static str> {
    RULES.iter().flat_map(|rule| rule.keywords.iter().copied())
}

/// The pattern of a rule, compiled when it is first needed.
fn pattern(rule: usize) -> Option<&'static Regex> {
    let build = || {
        let (Shape::Pattern(text) | Shape::Before(_, text)) = RULES[rule].shape else { return None };
        // INVARIANT: each pattern is valid; a test compiles them all.
        Some(RegexBuilder::new(text).unicode(false).build().expect("a rule has a valid pattern"))
    };
    PATTERNS[rule].get_or_init(build).as_ref()
}

/// A secret in a text. Its `Debug` shows no secret, since it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hit {
    rule: usize,
    at: Range<usize>,
}

impl Hit {
    fn rule(&self) -> &'static Rule {
        &RULES[self.rule]
    }
}

/// Every secret of a text, in order and without overlaps.
fn hits(text: &str) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    for word in KEYWORDS.find.find_overlapping_iter(text) {
        let rule = KEYWORDS.rules[word.pattern().as_usize()];
        found.extend(try_rule(text, rule, word.start()));
    }
    without_overlaps(found)
}

// A format that says what it is comes before a name that promises something; then the longer one.
fn without_overlaps(mut found: Vec<Hit>) -> Vec<Hit> {
    if found.len() > 1 {
        found.sort_by_key(|hit| (hit.rule, std::cmp::Reverse(hit.at.len()), hit.at.start));
        let mut kept: Vec<Hit> = Vec::with_capacity(found.len());
        for hit in found {
            if kept.iter().all(|other| hit.at.end <= other.at.start || other.at.end <= hit.at.start) {
                kept.push(hit);
            }
        }
        kept.sort_by_key(|hit| hit.at.start);
        return kept;
    }
    found
}

fn try_rule(text: &str, rule: usize, at: usize) -> Vec<Hit> {
    let hit = |at: Range<usize>| Hit { rule, at: whole_characters(text, at) };
    match RULES[rule].shape {
        Shape::Pattern(_) => by_pattern(text, rule, at, at).map(hit).into_iter().collect(),
        Shape::Before(bytes, _) => {
            let earliest = at.saturating_sub(bytes);
            (earliest..=at).find_map(|from| by_pattern(text, rule, from, at)).map(hit).into_iter().collect()
        }
        Shape::PrivateKey => private_key(text, at).map(hit).into_iter().collect(),
        Shape::EndOfPrivateKey => end_of_private_key(text, at).map(hit).into_iter().collect(),
        Shape::KubernetesSecret => kubernetes_secret(text, at).into_iter().map(hit).collect(),
    }
}

/// The part that is secret, where the pattern begins at `from`.
fn by_pattern(text: &str, number: usize, from: usize, keyword: usize) -> Option<Range<usize>> {
    let rule = &RULES[number];
    let bytes = text.as_bytes();
    let window = &bytes[from..bytes.len().min(keyword + LONGEST_MATCH)];
    let captures = pattern(number)?.captures(window)?;
    let secret = captures.name("s").or_else(|| captures.name("b")).or_else(|| captures.get(0))?;
    let at = from + secret.start()..from + secret.end();
    let is_bare = captures.name("b").is_some();
    let tail = captures.name("tail").map_or(&b""[..], |tail| tail.as_bytes());
    let is_assigned = matches!(rule.ask, Ask::Password | Ask::Value);
    let starts_free = is_assigned || is_free(bytes, &at);
    (starts_free && passes(rule.ask, text, &at, &Named { from, tail, is_bare })).then_some(at)
}

/// Where the name of a value stands, and how the value is written.
struct Named<'a> {
    from: usize,
    tail: &'a [u8],
    is_bare: bool,
}

fn whole_characters(text: &str, at: Range<usize>) -> Range<usize> {
    let start = (0..=at.start).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let end = (at.end..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    start..end
}

/// A private key from its first line to its last, or as far as it goes.
fn private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = &bytes[at..bytes.len().min(at + LONGEST_KEY)];
    let line_end = find(&rest[5..], b"-----")? + 10;
    let line = rest[..line_end].to_ascii_uppercase();
    if line_end > 80 || find(&line, b"PRIVATE KEY").is_none() {
        return None;
    }
    let body_end = match find(&rest[line_end..], b"-----END") {
        Some(end) => line_end + end,
        None => line_end + key_lines(&rest[line_end..]),
    };
    is_key_body(&rest[line_end..body_end]).then_some(at..at + body_end)
}

/// What stands before the last line of a private key, if its first line is cut off.
fn end_of_private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let line = bytes[at..bytes.len().min(at + 80)].to_ascii_uppercase();
    find(&line[8..], b"PRIVATE KEY").filter(|key| *key < 40)?;
    let before = &bytes[at.saturating_sub(LONGEST_KEY)..at];
    let (mut passed, mut length) = (0, 0);
    for (number, line) in before.rsplit(is_between_lines).enumerate() {
        passed += line.len() + usize::from(number > 0);
        if !line.is_empty() {
            // The last line of a key may be short; another short one is a word before it.
            if !is_key_line(line) || line.len() < 16 && length > 0 {
                break;
            }
            length = passed;
        }
    }
    let begin = at - length;
    is_key_body(&bytes[begin..at]).then_some(begin..at)
}

fn is_key_line(line: &[u8]) -> bool {
    line.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b))
}

/// How far the lines of a key go that has no end. Before them its own headers may stand; what comes after is left alone.
fn key_lines(text: &[u8]) -> usize {
    let (mut passed, mut length) = (0, 0);
    for (number, line) in text.split(is_between_lines).enumerate() {
        passed += line.len() + usize::from(number > 0);
        let is_last = line.len() < 16 && line.iter().any(|b| !b.is_ascii_lowercase());
        match line.len() {
            0 => {}
            16.. if is_key_line(line) => length = passed,
            _ if length > 0 => return if is_last && is_key_line(line) { passed } else { length },
            _ if passed > 250 => break,
            _ => {}
        }
    }
    length
}

/// White space, also escaped or quoted.
fn is_between_lines(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || b"\\\"'|".contains(byte)
}

/// Whether it is long enough, and no row of dots.
fn is_key_body(body: &[u8]) -> bool {
    let letters: Vec<u8> = body.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    letters.len() >= 40 && looks::entropy(&letters) >= 3.5
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The values below `data` and `stringData` of the YAML document that a keyword stands in.
fn kubernetes_secret(text: &str, at: usize) -> Vec<Range<usize>> {
    let is_own_line =
        text[..at].rsplit('\n').next().is_some_and(|before| before.trim_matches([' ', '-', '+']).is_empty());
    let begin = text[..at].rfind("\n---").map_or(0, |found| found + 4);
    let end = text[at..].find("\n---").map_or(text.len(), |found| at + found);
    let whole = &text[begin..end];
    if !is_own_line || !whole.contains("apiVersion:") {
        return vec![];
    }
    let (mut found, mut block, mut offset) = (Vec::new(), None, begin);
    for line in whole.split_inclusive('\n') {
        let plain = line.trim_start_matches(['+', ' ']);
        let indent = line.len() - plain.len();
        let name = plain.trim_end();
        block = match block {
            _ if name == "data:" || name == "stringData:" => Some(indent),
            Some(depth) if indent > depth || name.is_empty() => Some(depth),
            _ => None,
        };
        if let (Some(depth), Some((_, value))) = (block, plain.split_once(": "))
            && indent > depth
        {
            let value = value.trim().trim_matches(['"', '\'']);
            let start = value.as_ptr() as usize - line.as_ptr() as usize;
            if value.len() >= 4 && !looks::is_reference(value) {
                found.push(offset + start..offset + start + value.len());
            }
        }
        offset += line.len();
    }
    found
}

// --------------------------------------------------------------------------------------------------------------------------------------- findings

/// Everything that a text holds, each with its place; what the list or a comment on its line allows is marked, and never left out.
pub fn scan(file: &str, text: &str, allow: &AllowList) -> Vec<Finding> {
    let mut lines = Lines { text, from: 0, line: 1 };
    let found = hits(text).into_iter().map(|hit| {
        let (place, line) = lines.place(hit.at.start);
        finding(&hit, &text[hit.at.clone()], file, place, line, allow)
    });
    found.collect()
}

fn finding(hit: &Hit, secret: &str, file: &str, place: Place, line: &str, allow: &AllowList) -> Finding {
    let rule = hit.rule();
    let mut finding = Finding {
        rule: rule.name.to_owned(),
        // Whoever names a file by a secret is told so as well, and by another name.
        file: scrub(file).into_owned(),
        place,
        excerpt: excerpt(rule, secret),
        fingerprint: allow.fingerprint(rule.name, secret),
        allowed: None,
    };
    finding.allowed = allow.allows(&finding).or_else(|| comment(line));
    finding
}

/// The characters that every secret of its kind begins with, at most four, and only of a long one.
fn excerpt(rule: &Rule, secret: &str) -> String {
    let is_public = |word: &&str| secret.len() >= 20 && word.len() >= 4 && looks::begins_with(secret, word);
    if !rule.keywords.iter().any(is_public) {
        return "…".to_owned();
    }
    format!("{}…", secret.chars().take(4).collect::<String>())
}

/// What a comment on the line allows.
fn comment(line: &str) -> Option<Allowed> {
    let (_, reason) = line.split_once(ALLOW_COMMENT)?;
    let reason = scrub(reason.trim_matches([' ', ':', '\t'])).trim_end_matches(['*', '/', '-', '>', ' ']).to_owned();
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
    // Without a reason nobody has allowed anything.
    (!reason.is_empty()).then(|| Allowed { by: BY_COMMENT.to_owned(), reason })
}

/// Places in a text, asked in order.
struct Lines<'a> {
    text: &'a str,
    from: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn place(&mut self, at: usize) -> (Place, &'a str) {
        let passed = &self.text[self.from..at];
        self.line += passed.matches('\n').count();
        self.from = at;
        let begin = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
        let column = self.text[begin..at].chars().count() + 1;
        (Place { line: self.line, column }, &self.text[begin..end])
    }
}

/// Everything that the added lines of a unified diff hold, with the places in the files as they will be.
pub fn scan_diff(diff: &str, allow: &AllowList) -> Vec<Finding> {
    let mut found = Vec::new();
    for part in added(diff) {
        found.extend(scan(&part.file, &part.text, allow).into_iter().map(|mut finding| {
            finding.place.line = part.lines.get(finding.place.line - 1).copied().unwrap_or(finding.place.line);
            finding
        }));
    }
    found
}

/// The lines that a diff adds to one file.
struct Added {
    file: String,
    text: String,
    /// The number in the file of each line of the text.
    lines: Vec<usize>,
}

fn added(diff: &str) -> Vec<Added> {
    let mut files: Vec<Added> = Vec::new();
    let (mut next, mut left) = (0, (0, 0));
    for line in diff.lines() {
        // Within a hunk a line that begins with `+++` is text; the hunk says how many lines it has.
        let in_hunk = left != (0, 0);
        match line.as_bytes().first() {
            Some(b'+') if in_hunk => {
                if let Some(file) = files.last_mut() {
                    file.text.push_str(&line[1..]);
                    file.text.push('\n');
                    file.lines.push(next);
                }
                next += 1;
                left.1 -= usize::from(left.1 > 0);
            }
            Some(b'-') if in_hunk => left.0 -= usize::from(left.0 > 0),
            Some(b'\\') => {}
            Some(b'@') => {
                if let Some((old, new)) = hunk(line) {
                    (next, left) = (new.0, (old.1, new.1));
                }
            }
            Some(b' ') | None if in_hunk => {
                next += 1;
                left = (left.0 - usize::from(left.0 > 0), left.1 - usize::from(left.1 > 0));
            }
            Some(b'+') => {
                if let Some(name) = line.strip_prefix("+++ ") {
                    files.push(Added { file: name_in_diff(name), text: String::new(), lines: vec![] });
                }
            }
            _ => {}
        }
    }
    files
}

fn name_in_diff(name: &str) -> String {
    let name = name.trim_end_matches('\t').trim_matches('"');
    name.strip_prefix("b/").unwrap_or(name).to_owned()
}

/// `@@ -3,0 +4,2 @@`: where the old and the new lines begin, and how many they are.
fn hunk(line: &str) -> Option<((usize, usize), (usize, usize))> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let mut side = |sign: char| {
        let text = words.next()?.strip_prefix(sign)?;
        let (begin, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((begin.parse().ok()?, count.parse().ok()?))
    };
    Some((side('-')?, side('+')?))
}

// ------------------------------------------------------------------------------------------------------------------------------------------ scrub

/// A text without its secrets.
pub fn scrub(text: &str) -> Cow<'_, str> {
    scrub_but(text, |_, _| false)
}

fn scrub_but(text: &str, is_allowed: impl Fn(&Rule, &str) -> bool) -> Cow<'_, str> {
    let found = hits(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut clean, mut from) = (String::with_capacity(text.len()), 0);
    for hit in found.iter().filter(|hit| !is_allowed(hit.rule(), &text[hit.at.clone()])) {
        clean.push_str(&text[from..hit.at.start]);
        clean.push_str(&format!("[redacted: {}]", hit.rule().name));
        from = hit.at.end;
    }
    clean.push_str(&text[from..]);
    Cow::Owned(clean)
}

/// The engine's scrubber: it lets through what the governance allows everywhere, by its fingerprint.
#[derive(Default)]
pub struct Scrubber {
    allow: AllowList,
}

impl Scrubber {
    pub fn new(allow: AllowList) -> Self {
        Self { allow }
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").finish_non_exhaustive()
    }
}

impl Scrub for Scrubber {
    fn may_hold(&self, bytes: &[u8]) -> bool {
        KEYWORDS.find.is_match(bytes)
    }

    fn spot(&self, text: &str) -> Vec<Spotted> {
        let found = hits(text).into_iter();
        let counts = |hit: &Hit| !self.allow.allows_everywhere(hit.rule().name, &text[hit.at.clone()]);
        found.filter(counts).map(|hit| spotted(&hit, &text[hit.at.clone()])).collect()
    }

    fn spot_under(&self, name: &str, text: &str) -> Vec<Spotted> {
        let found = self.spot(text);
        if !found.is_empty() || !KEYWORDS.find.is_match(name) {
            return found;
        }
        // The same question as of `name: "text"` in a file; a value that quotes would break off has to answer for itself above.
        let head = format!("{name}: \"");
        let mut found = self.spot(&format!("{head}{text}\""));
        found.retain(|spotted| spotted.at.start >= head.len() && spotted.at.end <= head.len() + text.len());
        for spotted in &mut found {
            spotted.at = spotted.at.start - head.len()..spotted.at.end - head.len();
        }
        found
    }
}

fn spotted(hit: &Hit, secret: &str) -> Spotted {
    let rule = hit.rule();
    let is_certain = !matches!(rule.ask, Ask::Password | Ask::Value);
    Spotted { rule: rule.name, at: hit.at.clone(), excerpt: excerpt(rule, secret), is_certain }
}
