//! Answers: what the rules said, read strictly.
//!
//! The interpreter hands over plain JSON. An answer that is not of the form that was asked for is an error, never skipped: a denial with a misspelt
//! field would otherwise let the change through. Who asks is [`bundle`](crate::bundle).

use change::assessment::{Denial, Factor, Requirement};
use change::governance::RuleRequirement;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The rules that a package may answer.
pub(crate) const ASKED: [&str; 4] = ["deny", "warn", "require", "score"];

const DENY: &str = r#"{"code": "...", "reason": "..."}"#;
const WARN: &str = r#""...""#;
const REQUIRE: &str = r#"{"by": "sre", "count": 1, "within": "8h"}"#;
const SCORE: &str = r#"{"code": "...", "points": 0 to 100, "reason": "..."}"#;

/// What all packages said together, in an order that does not depend on theirs.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) denials: Vec<Denial>,
    pub(crate) warnings: Vec<String>,
    pub(crate) requires: Vec<Requirement>,
    /// The heaviest first.
    pub(crate) factors: Vec<Factor>,
}

/// One package's answers: each rule is a list of nothing, where it is undefined, or of one value.
#[derive(Deserialize)]
struct Package {
    package: String,
    deny: Vec<Value>,
    warn: Vec<Value>,
    require: Vec<Value>,
    score: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "it is neither text nor a reason")]
enum Warning {
    Text(String),
    Reason { reason: String },
}

impl Answers {
    /// Reads the JSON that the query gave.
    ///
    /// # Errors
    /// A sentence that names the package, the rule and the first answer that is wrong.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let packages: Vec<Package> =
            serde_json::from_str(json).map_err(|e| format!("the answer is unreadable: {e}"))?;
        let mut all = Self::default();
        for Package { package, deny, warn, require, score } in packages {
            let rule = |name| Rule { package: &package, name };
            all.denials.extend(rule("deny").items::<Denial>(deny, DENY)?);
            all.factors.extend(rule("score").items::<Factor>(score, SCORE)?);
            let warnings = rule("warn").items::<Warning>(warn, WARN)?;
            all.warnings
                .extend(warnings.into_iter().map(|(Warning::Text(said) | Warning::Reason { reason: said })| said));
            let requires = rule("require").items::<RuleRequirement>(require, REQUIRE)?;
            all.requires.extend(requires.into_iter().map(RuleRequirement::into_requirement));
        }
        all.check()?;
        all.denials.sort_by(|a, b| (&a.code, &a.reason).cmp(&(&b.code, &b.reason)));
        all.denials.dedup();
        all.warnings.sort();
        all.warnings.dedup();
        all.requires.sort_by(|a, b| (&a.by, a.count, a.within).cmp(&(&b.by, b.count, b.within)));
        all.factors.sort_by(|a, b| (b.points, &a.code, &a.reason).cmp(&(a.points, &b.code, &b.reason)));
        Ok(all)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(factor) = self.factors.iter().find(|f| f.points > 100) {
            return Err(format!("the factor `{}` has {} points; the most is 100", factor.code, factor.points));
        }
        match self.requires.iter().find(|r| r.count == 0) {
            Some(nobody) => Err(format!("`require` asks for nobody of `{}`; the least count is 1", nobody.by)),
            None => Ok(()),
        }
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
        let mut package =
            serde_json::json!({"package": "clearway.shop", "deny": [], "warn": [], "require": [], "score": []});
        let rules: serde_json::Map<String, Value> = serde_json::from_str(rules).expect("the test's own JSON");
        package.as_object_mut().expect("an object").extend(rules);
        Answers::read(&Value::Array(vec![package]).to_string())
    }

    #[test]
    fn an_answer_of_another_form_is_an_error_that_says_which() {
        let cases = [
            (r#"{"deny": [true]}"#, "`deny` of `clearway.shop` is not a set; write `deny contains {"),
            (r#"{"deny": [["no"]]}"#, r#"`deny` of `clearway.shop` has `"no"` in it"#),
            (r#"{"deny": [[{"code": "x", "raeson": "y"}]]}"#, "missing field `reason`"),
            (r#"{"warn": [[7]]}"#, "`warn` of `clearway.shop` has `7` in it"),
            (r#"{"score": [[{"code": "x", "points": -1, "reason": "y"}]]}"#, "invalid value: integer `-1`"),
            (r#"{"score": [[{"code": "x", "points": 1.5, "reason": "y"}]]}"#, "floating point"),
            (r#"{"score": [[{"code": "x", "points": 101, "reason": "y"}]]}"#, "the most is 100"),
            (r#"{"require": [[{"by": "sre", "count": 0}]]}"#, "the least count is 1"),
            (r#"{"require": [[{"by": "sre", "within": "soon"}]]}"#, "`soon` is not a length of time"),
            (r#"{"require": [[{"by": "sre", "cuont": 2}]]}"#, "unknown field `cuont`"),
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
}
