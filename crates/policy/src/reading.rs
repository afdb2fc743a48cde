//! Reading: what stands in the text of a rule, without asking it anything?
//!
//! Where each rule begins and ends, which facts it names, and which words it compares them with. Read from the text, so it is a hint for people, and never
//! decides. For [`explain`](crate::explain), [`drift`](crate::drift) and [`doc`](crate::doc).

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Rule, RuleHead};

use crate::PolicyError;
use crate::answers::ASKED;
use crate::bundle::{is_test, prepare};
use crate::guard::{Kind, Word, path_at, paths, tokens};

/// One rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) line: u32,
    /// Without `data.`.
    pub(crate) package: String,
    /// Such as `deny`, or the name of a helper.
    pub(crate) name: String,
    /// In bytes of the file, up to the next rule.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The paths that it names, such as `input.change.kind`.
    pub(crate) names: BTreeSet<String>,
    /// Facts and the texts that stand in the same line.
    pub(crate) compared: BTreeSet<(String, String, u32)>,
    /// The texts that stand behind a field, such as `("by", "sre")`.
    pub(crate) fields: BTreeSet<(String, String, u32)>,
}

impl Written {
    /// Whether its answers are asked for.
    pub(crate) fn is_asked(&self) -> bool {
        ASKED.contains(&self.name.as_str())
    }

    /// Whether it names another rule, by the name alone or behind the last part of its package.
    fn calls(&self, other: &Self) -> bool {
        if self.package == other.package {
            return self.names.contains(&other.name);
        }
        let package = other.package.rsplit('.').next().unwrap_or_default();
        self.names.contains(&format!("{package}.{}", other.name))
    }
}

/// Every rule of modules that are not tests, in the order of files and lines.
///
/// # Errors
/// If a module can't be compiled.
pub(crate) fn rules(modules: &BTreeMap<String, String>) -> Result<Vec<Written>, PolicyError> {
    let own = modules.iter().filter(|(path, _)| !is_test(path)).map(|(path, text)| (path.clone(), text.clone()));
    let (mut engine, _) = prepare(&own.collect())?;
    let mut written = Vec::new();
    for module in engine.get_modules().iter() {
        let source = &module.package.span.source;
        let words = tokens(source.file(), source.contents())?;
        let starts: Vec<u32> = module.policy.iter().map(|rule| rule.span().start).collect();
        let package = module.package.refr.span();
        let at = words.partition_point(|word| word.start < package.start);
        let package = path_at(&words, at).map(|path| path.parts.join(".")).unwrap_or_default();
        for rule in &module.policy {
            let span = rule.span();
            let next = starts.iter().copied().filter(|start| *start > span.start).min();
            let to = next.map_or(source.contents().len(), |next| next as usize);
            let within = &words
                [words.partition_point(|w| w.start < span.start)..words.partition_point(|w| (w.start as usize) < to)];
            written.push(Written {
                file: source.file().clone(),
                line: span.line,
                package: package.clone(),
                name: name_of(rule),
                from: span.start as usize,
                to,
                names: paths(within).into_iter().map(|path| path.parts.join(".")).collect(),
                compared: compared(within),
                fields: fields(within),
            });
        }
    }
    written.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(written)
}

/// The facts below `input` that a rule rests on: those it names, and those of the rules that it names: `helper` of its own package, or `seen.helper` of
/// the package `clearway.builtin.seen`.
pub(crate) fn facts_of(rule: &Written, all: &[Written]) -> BTreeSet<String> {
    let (mut seen, mut left): (BTreeSet<(&str, &str)>, Vec<&Written>) = (BTreeSet::new(), vec![rule]);
    let mut facts = BTreeSet::new();
    while let Some(rule) = left.pop() {
        facts.extend(rule.names.iter().filter(|name| name.starts_with("input.")).cloned());
        for helper in all.iter().filter(|other| !other.is_asked() && rule.calls(other)) {
            if seen.insert((helper.package.as_str(), helper.name.as_str())) {
                left.extend(all.iter().filter(|other| other.package == helper.package && other.name == helper.name));
            }
        }
    }
    facts
}

fn name_of(rule: &Rule) -> String {
    let refr = match rule {
        Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Func { refr, .. } | RuleHead::Set { refr, .. },
            ..
        } => refr,
        Rule::Default { refr, .. } => refr,
    };
    let text = refr.span().text();
    text.split(['[', ' ', '(', '.']).next().unwrap_or(text).to_owned()
}

/// Facts and the texts on the other side of `==`, `!=` or `in`, alone or in a list.
fn compared(words: &[Word]) -> BTreeSet<(String, String, u32)> {
    let facts: Vec<_> = paths(words).into_iter().filter(|path| path.parts[0] == "input").collect();
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if word.kind == Kind::Text || !["==", "!=", "in"].contains(&word.text.as_str()) {
            continue;
        }
        let before = words[..at].last().filter(|word| word.kind == Kind::Text);
        let left = facts.iter().find(|fact| fact.end == at);
        let right = path_at(words, at + 1).filter(|path| path.parts[0] == "input");
        let one = right.iter().flat_map(|fact| before.map(|text| (fact.parts.join("."), text)));
        let many = left.iter().flat_map(|fact| texts_at(words, at + 1).map(move |text| (fact.parts.join("."), text)));
        found.extend(one.chain(many).map(|(fact, text)| (fact, text.text.clone(), text.line)));
    }
    found
}

/// A text, or the texts of a list.
fn texts_at(words: &[Word], at: usize) -> impl Iterator<Item = &Word> {
    let is_list =
        words.get(at).is_some_and(|word| word.kind == Kind::Symbol && ["[", "{"].contains(&word.text.as_str()));
    let rest = words.get(at + usize::from(is_list)..).unwrap_or_default();
    let most = if is_list { usize::MAX } else { 1 };
    let inside = move |word: &&Word| word.kind == Kind::Text || is_list && word.text == ",";
    rest.iter().take(most).take_while(inside).filter(|word| word.kind == Kind::Text)
}

fn fields(words: &[Word]) -> BTreeSet<(String, String, u32)> {
    let triples = words.windows(3).filter(|three| {
        three[0].kind == Kind::Text
            && three[1].kind == Kind::Symbol
            && three[1].text == ":"
            && three[2].kind == Kind::Text
    });
    triples.map(|three| (three[0].text.clone(), three[2].text.clone(), three[2].line)).collect()
}
