//! Answers: what the rules said, read strictly.
//!
//! The interpreter hands over plain JSON. An answer that is not of the form that was asked for is an error, never skipped: a denial with a misspelt
//! field would otherwise let the change through. A denial binds as strictly as its package says; it may say more strictly itself, and more laxly only as
//! far as its package allows (`laxest`). Who asks is [`bundle`](crate::bundle).

use std::collections::BTreeSet;

use change::assessment::{Denial, Factor, Item, Level, Requirement, Signing, Tick, Window};
use change::time::Span;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metadata::{Binding, Notes};

/// The rules that a package may answer.
pub(crate) const ASKED: [&str; 5] = ["deny", "warn", "require", "score", "checklist"];

const DENY: &str = r#"{"code": "...", "reason": "..."}"#;
const WARN: &str = r#""...""#;
const REQUIRE: &str = r#"{"by": "sre", "count": 1, "within": "8h"}"#;
const SCORE: &str = r#"{"code": "...", "points": 0 to 100, "reason": "..."}"#;
const CHECKLIST: &str = r#"{"list": "...", "code": "...", "title": "..."}"#;

/// What all packages said together, in an order that does not depend on theirs.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Answers {
    pub(crate) denials: Vec<Denial>,
    pub(crate) warnings: Vec<String>,
    pub(crate) requires: Vec<Requirement>,
    /// The heaviest first.
    pub(crate) factors: Vec<Factor>,
    pub(crate) checklist: Vec<Item>,
    pub(crate) window: Window,
}

/// One package's answers: each rule is a list of nothing, where it is undefined, or of one value.
#[derive(Deserialize)]
struct Package {
    package: String,
    deny: Vec<Value>,
    warn: Vec<Value>,
    require: Vec<Value>,
    score: Vec<Value>,
    checklist: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "it is neither text nor a reason")]
enum Warning {
    Text(String),
    Reason { reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    code: String,
    reason: String,
    level: Option<Level>,
    override_by: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scored {
    code: String,
    points: u8,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    list: String,
    code: String,
    title: String,
    evidence: Option<String>,
    #[serde(default)]
    tick: Tick,
}

/// Approvals by a group, or a time that is planned: one of both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Required {
    by: Option<String>,
    count: Option<u8>,
    within: Option<Span>,
    #[serde(default)]
    escalate: Vec<String>,
    remind: Option<Span>,
    #[serde(default)]
    signature: Signing,
    window: Option<Window>,
}

impl Answers {
    /// Reads the JSON that the query gave.
    ///
    /// # Errors
    /// A sentence that names the package, the rule and the first answer that is wrong.
    pub(crate) fn read(json: &str, notes: &Notes) -> Result<Self, String> {
        let packages: Vec<Package> =
            serde_json::from_str(json).map_err(|e| format!("the answer is unreadable: {e}"))?;
        let mut all = Self::default();
        for package in packages {
            all.add(package, notes)?;
        }
        all.check()?;
        all.sort();
        Ok(all)
    }

    fn add(&mut self, package: Package, notes: &Notes) -> Result<(), String> {
        let Package { package, deny, warn, require, score, checklist } = package;
        let rule = |name| Rule { package: &package, name };
        let binding = notes.binding(&package);
        for denied in rule("deny").items::<Denied>(deny, DENY)? {
            self.deny(denied, &binding, &package)?;
        }
        for warning in rule("warn").items::<Warning>(warn, WARN)? {
            let (Warning::Text(said) | Warning::Reason { reason: said }) = warning;
            self.warnings.push(said);
        }
        for required in rule("require").items::<Required>(require, REQUIRE)? {
            self.require(required, &package)?;
        }
        for Scored { code, points, reason } in rule("score").items(score, SCORE)? {
            self.factors.push(Factor { code, points, reason });
        }
        for Listed { list, code, title, evidence, tick } in rule("checklist").items(checklist, CHECKLIST)? {
            self.checklist.push(Item { list, code, title, evidence, tick });
        }
        Ok(())
    }

    fn deny(&mut self, denied: Denied, binding: &Binding, package: &str) -> Result<(), String> {
        let Denied { code, reason, level, override_by } = denied;
        let level = level.unwrap_or(binding.level);
        if level < binding.laxest {
            let laxest = binding.laxest;
            return Err(format!(
                "`deny` of `{package}` calls `{code}` {level}, and its package is {laxest}; allow it with `laxest: {level}` in the package's metadata"
            ));
        }
        let groups = override_by.unwrap_or_else(|| binding.override_by.clone());
        if !binding.override_by.is_empty() && (groups.is_empty() || !groups.is_subset(&binding.override_by)) {
            return Err(format!(
                "`deny` of `{package}` lets others override `{code}` than its package, which names {}",
                change::document::list(binding.override_by.iter().map(String::as_str))
            ));
        }
        match level {
            Level::Advisory => self.warnings.push(format!("{reason} (`{code}`, advisory)")),
            Level::Soft => self.denials.push(Denial { code, reason, level, override_by: groups }),
            Level::Hard => self.denials.push(Denial::hard(code, reason)),
        }
        Ok(())
    }

    fn require(&mut self, required: Required, package: &str) -> Result<(), String> {
        let Required { by, count, within, escalate, remind, signature, window } = required;
        let Some(by) = by else {
            let alone = count.is_none() && within.is_none() && escalate.is_empty() && remind.is_none();
            let Some(window) = window.filter(|_| alone && signature == Signing::Free) else {
                return Err(format!(
                    "`require` of `{package}` names nobody; write `{REQUIRE}`, or `{{\"window\": \"required\"}}` for a time that is planned"
                ));
            };
            self.demand(window);
            return Ok(());
        };
        if count == Some(0) {
            return Err(format!("`require` of `{package}` asks for nobody of `{by}`; the least count is 1"));
        }
        self.demand(window.unwrap_or_default());
        let within = within.unwrap_or(Span::secs(86_400));
        self.requires.push(Requirement { by, count: count.unwrap_or(1), within, escalate, remind, signature });
        Ok(())
    }

    fn demand(&mut self, window: Window) {
        if window == Window::Required {
            self.window = Window::Required;
        }
    }

    fn sort(&mut self) {
        self.denials.sort_by(|a, b| (&a.code, &a.reason, b.level).cmp(&(&b.code, &b.reason, a.level)));
        self.denials.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        self.requires.sort_by(|a, b| {
            let key = |r: &Requirement| (r.by.clone(), r.count, r.within, r.escalate.clone(), r.remind, r.signature);
            key(a).cmp(&key(b))
        });
        self.factors.sort_by(|a, b| (b.points, &a.code, &a.reason).cmp(&(a.points, &b.code, &b.reason)));
        let key = |item: &Item| (item.list.clone(), item.code.clone());
        self.checklist.sort_by_key(key);
        self.checklist.dedup();
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(factor) = self.factors.iter().find(|f| f.points > 100) {
            return Err(format!("the factor `{}` has {} points; the most is 100", factor.code, factor.points));
        }
        for (i, item) in self.checklist.iter().enumerate() {
            let same = |other: &&Item| other.list == item.list && other.code == item.code && *other != item;
            if self.checklist[..i].iter().find(same).is_some() {
                return Err(format!(
                    "`checklist` has two different points `{}` of the list `{}`",
                    item.code, item.list
                ));
            }
        }
        Ok(())
    }
}

struct Rule<'a> {
    package: &'a str,
    name: &'static str,
}

impl Rule<'_> {
    fn items<T: DeserializeOwned>(&self, given: Vec<Value>, form: &str) -> Result<Vec<T>, String> {
        let Self { package, name } = self;
        let mut items = Vec::new();
        for value in given {
            let Value::Array(set) = value else {
                return Err(format!("`{name}` of `{package}` is not a set; write `{name} contains {form} if ...`"));
            };
            for item in set {
                let said: String = item.to_string().chars().take(200).collect();
                items.push(serde_json::from_value(item).map_err(|error| {
                    // What the reader expected is a type of ours; the form says it in the author's words.
                    let error = error.to_string();
                    let why = error.split(", expected").next().unwrap_or_default();
                    format!("`{name}` of `{package}` has `{said}` in it, not `{form}`: {why}")
                })?);
            }
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &str) -> Result<Answers, String> {
        read_bound(rules, &Notes::default())
    }

    fn read_bound(rules: &str, notes: &Notes) -> Result<Answers, String> {
        let mut package = serde_json::json!({"package": "clearway.shop", "deny": [], "warn": [], "require": [], "score": [], "checklist": []});
        let rules: serde_json::Map<String, Value> = serde_json::from_str(rules).expect("the test's own JSON");
        package.as_object_mut().expect("an object").extend(rules);
        Answers::read(&Value::Array(vec![package]).to_string(), notes)
    }

    #[test]
    fn an_answer_of_another_form_is_an_error_that_says_which() {
        let cases = [
            (r#"{"deny": [true]}"#, "`deny` of `clearway.shop` is not a set; write `deny contains {"),
            (r#"{"deny": [["no"]]}"#, r#"`deny` of `clearway.shop` has `"no"` in it"#),
            (r#"{"deny": [[{"code": "x", "raeson": "y"}]]}"#, "unknown field `raeson`"),
            (r#"{"warn": [[7]]}"#, "`warn` of `clearway.shop` has `7` in it"),
            (r#"{"score": [[{"code": "x", "points": -1, "reason": "y"}]]}"#, "invalid value: integer `-1`"),
            (r#"{"score": [[{"code": "x", "points": 1.5, "reason": "y"}]]}"#, "floating point"),
            (r#"{"score": [[{"code": "x", "points": 101, "reason": "y"}]]}"#, "the most is 100"),
            (r#"{"require": [[{"by": "sre", "count": 0}]]}"#, "the least count is 1"),
            (r#"{"require": [[{"by": "sre", "within": "soon"}]]}"#, "`soon` is not a length of time"),
            (r#"{"require": [[{"by": "sre", "cuont": 2}]]}"#, "unknown field `cuont`"),
            (r#"{"require": [[{"count": 2}]]}"#, "`require` of `clearway.shop` names nobody"),
            (r#"{"require": [[{"window": "required", "count": 2}]]}"#, "names nobody"),
            (r#"{"require": [[{"window": "soon"}]]}"#, "unknown variant `soon`"),
            (r#"{"require": [[{"by": "sre", "signature": "maybe"}]]}"#, "unknown variant `maybe`"),
            (r#"{"deny": [[{"code": "x", "reason": "y", "levle": "soft"}]]}"#, "unknown field `levle`"),
            (r#"{"deny": [[{"code": "x", "reason": "y", "level": "mild"}]]}"#, "unknown variant `mild`"),
            (r#"{"checklist": [[{"list": "l", "code": "c"}]]}"#, "missing field `title`"),
            (
                r#"{"checklist": [[{"list": "l", "code": "c", "title": "t", "tick": "nobody"}]]}"#,
                "unknown variant `nobody`",
            ),
        ];
        for (given, said) in cases {
            let error = read(given).expect_err(given);
            assert!(error.contains(said), "{given}: {error}");
        }
    }

    #[test]
    fn factors_come_heaviest_first_and_equal_ones_both_count() {
        let factor = |code: &str, points: u8| serde_json::json!({"code": code, "points": points, "reason": "r"});
        let rules = serde_json::json!({"score": [[factor("b", 5), factor("a", 5), factor("c", 9)], [factor("a", 5)]]});
        let answers = read(&rules.to_string()).expect("well formed");
        let order: Vec<(&str, u8)> = answers.factors.iter().map(|f| (f.code.as_str(), f.points)).collect();
        assert_eq!(order, [("c", 9), ("a", 5), ("a", 5), ("b", 5)]);
    }

    fn bound(custom: &str) -> Notes {
        let text = format!("# METADATA\n# custom: {custom}\npackage clearway.shop\n");
        Notes::read(&std::collections::BTreeMap::from([("a.rego".to_owned(), text)])).expect("the test's own block")
    }

    /// The level and groups of the only denial, or the warnings, or the error.
    fn said(custom: &str, more: &str) -> String {
        let rules = format!(r#"{{"deny": [[{{"code": "x", "reason": "y"{more}}}]]}}"#);
        match read_bound(&rules, &bound(custom)) {
            Ok(answers) => match answers.denials.as_slice() {
                [denial] => format!("{} {:?}", denial.level, denial.override_by),
                _ => answers.warnings.join(", "),
            },
            Err(error) => error,
        }
    }

    // F4
    #[test]
    fn a_denial_binds_as_its_package_says_and_never_more_laxly_unless_the_package_says_so() {
        let soft = "{level: soft, override_by: [sre, leads]}";
        assert_eq!(said(soft, ""), r#"soft {"leads", "sre"}"#);
        assert_eq!(said(soft, r#", "override_by": ["sre"]"#), r#"soft {"sre"}"#);
        assert_eq!(said(soft, r#", "level": "hard""#), "hard {}");
        assert_eq!(said("{level: advisory}", ""), "y (`x`, advisory)");
        assert_eq!(said("{level: advisory}", r#", "level": "soft""#), "soft {}");
        assert_eq!(
            said("{level: hard, laxest: soft}", r#", "level": "soft", "override_by": ["dba"]"#),
            r#"soft {"dba"}"#
        );
        assert!(said(soft, r#", "level": "advisory""#).contains("calls `x` advisory, and its package is soft"));
        assert!(said("{owner: ada}", r#", "level": "soft""#).contains("allow it with `laxest: soft`"));
        assert!(said(soft, r#", "override_by": ["me"]"#).contains("which names `leads`"));
        assert!(said(soft, r#", "override_by": []"#).contains("lets others override `x`"));
    }

    #[test]
    fn checklists_windows_and_what_approvals_need_are_read() {
        let rules = serde_json::json!({
            "checklist": [[
                {"list": "l", "code": "b", "title": "B", "tick": "evidence"},
                {"list": "l", "code": "a", "title": "A", "evidence": "CI 12"},
            ]],
            "require": [[
                {"window": "required"},
                {"by": "sre", "escalate": ["leads"], "remind": "1h", "signature": "required"},
            ]],
        });
        let answers = read(&rules.to_string()).expect("well formed");
        let points: Vec<_> =
            answers.checklist.iter().map(|i| (i.code.as_str(), i.evidence.as_deref(), i.tick)).collect();
        assert_eq!(points, [("a", Some("CI 12"), Tick::Person), ("b", None, Tick::Evidence)]);
        assert_eq!(answers.window, Window::Required);
        let sre = Requirement {
            escalate: vec!["leads".into()],
            remind: Some(Span::secs(3_600)),
            signature: Signing::Required,
            ..Requirement::of("sre", 1, Span::secs(86_400))
        };
        assert_eq!(answers.requires, [sre]);
        let twice =
            r#"{"checklist": [[{"list": "l", "code": "a", "title": "A"}, {"list": "l", "code": "a", "title": "B"}]]}"#;
        assert!(read(twice).is_err_and(|e| e.contains("two different points `a`")));
    }
}
