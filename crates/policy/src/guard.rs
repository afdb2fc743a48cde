//! Guard: what may a module not do, whatever it means?
//!
//! Looks at modules before they are ever evaluated, because the interpreter has no defence of its own: nested brackets take it exponential time to
//! parse, and a function that calls itself, which Rego forbids but the interpreter does not notice, overflows the stack and ends the server. Errs on
//! the side of refusing. Must never judge what a rule says. The bounds that hold while a policy runs are in `builtins` and [`bundle`](crate::bundle).

use std::collections::{BTreeMap, BTreeSet};

use regorus::Source;
use regorus::unstable::{BUILTINS, Lexer, Module, Ref, Rule, RuleHead, Span, Token, TokenKind};

use crate::PolicyError;
use crate::builtins::REFUSED;

/// A word within so many brackets is read as often as two to their power. More than this many are refused at once.
const DEEPEST_BRACKETS: usize = 16;
/// The most readings of words in all modules together: some seconds at worst. The default pack takes 10,000, a thousand rules of everyday some 500,000.
pub(crate) const MOST_READINGS: usize = 1_000_000;
/// A statement of this many tokens is at most 10,000 operators deep.
const MOST_TOKENS: usize = 20_000;
/// The interpreter takes time in the square of the statements of one rule: 2,000 take a second.
const MOST_LINES: usize = 2_000;
/// The longest chain of rules that depend on one another.
pub(crate) const MOST_RULES: usize = 2_000;

/// Refuses a text that would be too much to parse, and the names of builtins that policies do without. Answers how often its words are read.
///
/// # Errors
/// The first place of the module that is refused.
pub(crate) fn check_text(file: &str, text: &str) -> Result<usize, PolicyError> {
    if text.lines().count() > MOST_LINES {
        return Err(PolicyError::new(file, 1, format!("the module has more than {MOST_LINES} lines; split it")));
    }
    let tokens = tokens(file, text)?;
    if tokens.len() > MOST_TOKENS {
        return Err(PolicyError::new(file, 1, format!("the module has more than {MOST_TOKENS} words; split it")));
    }
    let (mut open, mut readings): (usize, usize) = (0, 0);
    for token in &tokens {
        match token.text.as_str() {
            _ if token.kind != Kind::Symbol => {}
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEEPEST_BRACKETS {
            let message = format!("brackets are nested more than {DEEPEST_BRACKETS} deep; give a part of it a name");
            return Err(PolicyError::new(file, token.line, message));
        }
        readings += 1 << open;
        if readings > MOST_READINGS {
            return Err(too_nested(file, token.line));
        }
    }
    let called = paths(&tokens).into_iter().map(|path| (path.parts.join("."), path.line));
    for (name, line) in called {
        if let Some((name, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(PolicyError::new(file, line, format!("`{name}` is not for policies: {why}")));
        }
    }
    Ok(readings)
}

/// Brackets within brackets, too many times over.
pub(crate) fn too_nested(file: &str, line: u32) -> PolicyError {
    let message = "brackets are nested deeply too often; give the parts of it names, each on a line of its own";
    PolicyError::new(file, line, message.to_owned())
}

/// Refuses functions that can come to call themselves, and more rules than there is room for.
///
/// # Errors
/// The function, and the way from it back to it.
pub(crate) fn check_calls(modules: &[Ref<Module>]) -> Result<(), PolicyError> {
    let rules: usize = modules.iter().map(|m| m.policy.len()).sum();
    if rules > MOST_RULES {
        let file = modules.last().map_or("", |m| m.package.span.source.file().as_str());
        return Err(PolicyError::new(file, 1, format!("the modules have {rules} rules; the most is {MOST_RULES}")));
    }
    let mut calls = Calls::default();
    for module in modules {
        calls.add(module)?;
    }
    calls.cycle().map_or(Ok(()), Err)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Symbol,
    Text,
    Name,
}

pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: u32,
    /// In bytes from the start of the module.
    pub(crate) start: u32,
}

pub(crate) fn tokens(file: &str, text: &str) -> Result<Vec<Word>, PolicyError> {
    let broken = |e: &dyn ToString| PolicyError::of_interpreter(&e.to_string(), file);
    let source = Source::from_contents(file.to_owned(), text.to_owned()).map_err(|e| broken(&e))?;
    let mut lexer = Lexer::new(&source);
    let mut words = Vec::new();
    loop {
        let Token(kind, span) = lexer.next_token().map_err(|e| broken(&e))?;
        let kind = match kind {
            TokenKind::Eof => return Ok(words),
            TokenKind::Ident => Kind::Name,
            TokenKind::String | TokenKind::RawString => Kind::Text,
            TokenKind::Symbol | TokenKind::Number => Kind::Symbol,
        };
        let text = span.text().trim_matches(['"', '`']).to_owned();
        words.push(Word { kind, text, line: span.line, start: span.start });
    }
}

/// A reference as it is written: `data.lib.f`, or `data.lib["f"]`, which is the same.
pub(crate) struct Path {
    pub(crate) parts: Vec<String>,
    pub(crate) line: u32,
    /// The position of the word after it.
    pub(crate) end: usize,
}

pub(crate) fn paths(words: &[Word]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match path_at(words, at) {
            Some(path) => {
                at = path.end;
                found.push(path);
            }
            None => at += 1,
        }
    }
    found
}

pub(crate) fn path_at(words: &[Word], start: usize) -> Option<Path> {
    let word = |i: usize| words.get(i);
    let is = |i: usize, text: &str| word(i).is_some_and(|w| w.kind == Kind::Symbol && w.text == text);
    let first = word(start).filter(|w| w.kind == Kind::Name)?;
    let mut path = Path { parts: vec![first.text.clone()], line: first.line, end: start + 1 };
    loop {
        let (next, end) = if is(path.end, ".") {
            (word(path.end + 1).filter(|w| w.kind == Kind::Name), path.end + 2)
        } else if is(path.end, "[") && is(path.end + 2, "]") {
            (word(path.end + 1).filter(|w| w.kind == Kind::Text), path.end + 3)
        } else {
            (None, 0)
        };
        match next {
            Some(part) => (path.parts.push(part.text.clone()), path.end = end).0,
            None => return Some(path),
        }
    }
}

/// Which function calls which, by full names such as `data.lib.f`.
#[derive(Default)]
struct Calls {
    edges: BTreeMap<String, BTreeSet<String>>,
    places: BTreeMap<String, (String, u32)>,
}

impl Calls {
    fn add(&mut self, module: &Module) -> Result<(), PolicyError> {
        let source = &module.package.span.source;
        let words = tokens(source.file(), source.contents())?;
        let mut aliases = BTreeMap::new();
        for import in &module.imports {
            let path = path_in(&words, import.refr.span());
            let name = import.r#as.as_ref().map(|span| span.text().to_owned()).or_else(|| path.last().cloned());
            aliases.extend(name.map(|name| (name, path)));
        }
        let scope = Scope { package: path_in(&words, module.package.refr.span()), aliases };
        for rule in &module.policy {
            // The span of a rule may end before the closing quote of its last word, so words are chosen by where they start.
            let span = rule.span();
            let from = words.partition_point(|w| w.start < span.start);
            let to = words.partition_point(|w| w.start < span.end);
            self.add_rule(source.file(), &scope, rule, &words[from..to]);
        }
        Ok(())
    }

    fn add_rule(&mut self, file: &str, scope: &Scope, rule: &Rule, words: &[Word]) {
        let head = match rule {
            Rule::Spec { head: RuleHead::Func { refr, .. }, .. } => Some(refr),
            Rule::Default { refr, args, .. } if !args.is_empty() => Some(refr),
            Rule::Spec { .. } | Rule::Default { .. } => None,
        };
        let is = |i: usize, text: &str| words.get(i).is_some_and(|w| w.text == text && w.kind != Kind::Text);
        if let Some(refr) = head {
            let name = scope.own(&path_in(words, refr.span()));
            self.places.entry(name.clone()).or_insert((file.to_owned(), rule.span().line));
            // The head itself looks like a call.
            let body = (0..words.len()).find(|i| is(*i, "(")).map_or(words.len(), |i| i + 1);
            let called = paths(&words[body..]).into_iter().filter(|path| is(body + path.end, "("));
            self.edges.entry(name).or_default().extend(called.map(|path| scope.resolve(&path.parts)));
        }
        // `with f as g` makes every call of `f` below it one of `g`.
        for with in (0..words.len()).filter(|i| is(*i, "with")) {
            let Some(replaced) = path_at(words, with + 1) else { continue };
            let by = path_at(words, replaced.end + 1).filter(|_| is(replaced.end, "as"));
            if let Some(by) = by {
                let edge = self.edges.entry(scope.resolve(&replaced.parts)).or_default();
                edge.insert(scope.resolve(&by.parts));
            }
        }
    }

    fn cycle(&self) -> Option<PolicyError> {
        let mut safe = BTreeSet::new();
        let way = self.edges.keys().find_map(|name| self.way_back(name, &mut vec![], &mut safe))?;
        let start = way.iter().find(|name| self.places.contains_key(*name))?;
        let (file, line) = &self.places[start];
        let message = format!("a function can't come to call itself: {}", way.join(" -> "));
        Some(PolicyError::new(file, *line, message))
    }

    fn way_back(&self, name: &str, way: &mut Vec<String>, safe: &mut BTreeSet<String>) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|n| n == name) {
            return Some(way[start..].iter().cloned().chain([name.to_owned()]).collect());
        }
        if safe.contains(name) {
            return None;
        }
        way.push(name.to_owned());
        let found = self.edges.get(name).and_then(|next| next.iter().find_map(|n| self.way_back(n, way, safe)));
        way.pop();
        safe.insert(name.to_owned());
        found
    }
}

/// How the names of one module are to be read.
struct Scope {
    package: Vec<String>,
    aliases: BTreeMap<String, Vec<String>>,
}

impl Scope {
    fn own(&self, path: &[String]) -> String {
        let data = ["data".to_owned()];
        data.iter().chain(&self.package).chain(path).cloned().collect::<Vec<_>>().join(".")
    }

    fn resolve(&self, path: &[String]) -> String {
        match path {
            [first, ..] if first == "data" => path.join("."),
            [first, rest @ ..] if self.aliases.contains_key(first) => {
                self.aliases[first].iter().chain(rest).cloned().collect::<Vec<_>>().join(".")
            }
            _ if BUILTINS.contains_key(path.join(".").as_str()) => path.join("."),
            _ => self.own(path),
        }
    }
}

/// The path that starts where the span does.
fn path_in(words: &[Word], span: &Span) -> Vec<String> {
    let at = words.partition_point(|w| w.start < span.start);
    path_at(words, at).map(|path| path.parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(modules: &[&str]) -> Result<(), PolicyError> {
        let mut engine = regorus::Engine::new();
        for (i, text) in modules.iter().enumerate() {
            engine.add_policy(format!("policy/{i}.rego"), (*text).to_owned()).expect("the test's own Rego");
        }
        check_calls(engine.get_modules())
    }

    #[test]
    fn a_function_that_comes_back_to_itself_is_refused_however_it_is_written() {
        let cases = [
            ("f(x) := f(x + 1)", "data.a.f -> data.a.f"),
            ("f(x) := y if {\n\ty := g(x)\n}\ng(x) := f(x)", "data.a.f -> data.a.g -> data.a.f"),
            ("import data.a.f as h\nf(x) := h(x)", "data.a.f -> data.a.f"),
            ("import data.a as p\nf(x) := p.f(x)", "data.a.f -> data.a.f"),
            ("f(x) := data.a[\"f\"](x)", "data.a.f -> data.a.f"),
            ("f(x) := 1 if x > 3\nelse := f(x)", "data.a.f -> data.a.f"),
            ("f(x) := lower(x)\nr if f(1) with lower as f", "data.a.f -> lower -> data.a.f"),
            ("g(x) := x\nf(x) := g(x)\nr if f(1) with g as f", "data.a.f -> data.a.g -> data.a.f"),
        ];
        for (rules, way) in cases {
            let error = calls(&[&format!("package a\n{rules}\n")]).expect_err(rules);
            assert_eq!(error.message, format!("a function can't come to call itself: {way}"), "{rules}");
            assert_eq!(error.file, "policy/0.rego");
        }
        let apart = calls(&["package a\nf(x) := data.b.g(x)\n", "package b\ng(x) := data.a.f(x)\n"]);
        assert!(apart.is_err_and(|e| e.message.ends_with("data.a.f -> data.b.g -> data.a.f")));
    }

    #[test]
    fn a_function_may_share_its_name_with_others_and_with_values() {
        let fine = [
            "package a\nf(x) := data.b.f(x)\n",
            "package b\nf(x) := {\"f\": x}\nf(x) := y if {\n\tf := 3\n\ty := f + x\n}\ng(x) := f(f(x))\n",
            "package c\nlower(x) := x\nr if lower(1)\nr if { some x in input.xs; data.b.g(x) with data.b.f as lower }\n",
        ];
        assert_eq!(calls(&fine), Ok(()));
    }

    #[test]
    fn what_would_be_too_much_to_parse_is_refused_with_its_place() {
        let nested = format!("package a\n\nr := {}1{}\n", "[".repeat(17), "]".repeat(17));
        let deep = "brackets are nested more than 16 deep; give a part of it a name";
        assert_eq!(check_text("policy/a.rego", &nested), Err(PolicyError::new("policy/a.rego", 3, deep)));
        // Each of them would take seconds to read.
        let often = format!("package a\n{}", format!("r := {}1{}\n", "[".repeat(15), "]".repeat(15)).repeat(20));
        assert!(check_text("a", &often).is_err_and(|e| e.message.contains("nested deeply too often")));
        assert!(check_text("a", &"\n".repeat(2_001)).is_err_and(|e| e.message.contains("2000 lines")));
        let long = format!("package a\nr := 1{}", " + 1\n".repeat(1_900).replace('1', "1 + 1 + 1 + 1 + 1 + 1"));
        assert!(check_text("a", &long).is_err_and(|e| e.message.contains("20000 words")));
        let many = format!("package a\n{}", "r := 1\n".repeat(2_001));
        assert!(calls(&[&many]).is_err_and(|e| e.message.contains("2001 rules")));
    }

    #[test]
    fn a_builtin_that_answers_differently_each_time_is_refused_where_it_is_named() {
        let named = |line: &str| check_text("policy/a.rego", &format!("package a\nr := {line}\n"));
        for (name, why) in REFUSED {
            let error = named(&format!("{name}(input.x)")).expect_err(name);
            assert_eq!((error.line, error.message), (2, format!("`{name}` is not for policies: {why}")));
        }
        assert!(named("time[\"now_ns\"]()").is_err());
        assert!(named("input.time.now_ns").is_ok());
        assert!(named("\"time.now_ns()\" # time.now_ns()").is_ok());
    }
}
