//! Testing: do the rules say what their authors think they say, and which lines did no test reach?
//!
//! Runs the rules named `test_*` in files `*_test.rego`, each on its own, with the interpreter that decides about changes. Nothing here is ever asked about a
//! real change. When rules flip in time is in [`sweep`](crate::sweep).

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Rule, RuleHead};
use regorus::{Engine, Value};
use serde::Serialize;

use crate::PolicyError;
use crate::answers::Answers;
use crate::bundle::{BUILT_IN, Bundle, PACK, evaluate, in_short, is_test, prepare};
use crate::room::with_room;

/// A rule named `test_*` of a module in a file `*_test.rego`, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestRun {
    pub file: String,
    pub line: u32,
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Which lines of a file the tests evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Covered {
    pub file: String,
    pub covered: BTreeSet<u32>,
    pub not_covered: BTreeSet<u32>,
}

impl Covered {
    /// The share of covered lines in per cent; a file without rules is covered.
    pub fn percent(&self) -> f64 {
        percent(self.covered.len(), self.not_covered.len())
    }
}

/// All tests and what they reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tested {
    pub runs: Vec<TestRun>,
    /// The files of rules, without those of tests and the built-in ones.
    pub coverage: Vec<Covered>,
}

impl Tested {
    pub fn failed(&self) -> usize {
        self.runs.iter().filter(|run| run.failure.is_some()).count()
    }

    /// The share of all lines that were covered, in per cent.
    pub fn percent(&self) -> f64 {
        let sum = |count: fn(&Covered) -> usize| self.coverage.iter().map(count).sum();
        percent(sum(|c| c.covered.len()), sum(|c| c.not_covered.len()))
    }
}

#[allow(clippy::cast_precision_loss, reason = "lines of a file")]
fn percent(covered: usize, not_covered: usize) -> f64 {
    let all = covered + not_covered;
    if all == 0 { 100.0 } else { covered as f64 * 100.0 / all as f64 }
}

impl TestRun {
    /// Runs the tests among these modules.
    ///
    /// # Errors
    /// Those of [`Bundle::compile`].
    pub fn all(modules: &BTreeMap<String, String>) -> Result<Vec<Self>, PolicyError> {
        Ok(test(modules)?.runs)
    }
}

/// Runs the tests among these modules, and says which lines they reached.
///
/// # Errors
/// Those of [`Bundle::compile`].
pub fn test(modules: &BTreeMap<String, String>) -> Result<Tested, PolicyError> {
    Bundle::compile(modules)?;
    let built_in = PACK.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let mut tested = run(&modules.clone().into_iter().chain(built_in).collect())?;
    tested.coverage.retain(|covered| !covered.file.starts_with(BUILT_IN));
    Ok(tested)
}

/// The same for exactly these modules, whoever wrote them.
pub(crate) fn run(modules: &BTreeMap<String, String>) -> Result<Tested, PolicyError> {
    let (mut engine, _) = prepare(modules)?;
    engine.set_enable_coverage(true);
    with_room(|| {
        let (mut runs, mut reached): (_, BTreeMap<String, Covered>) = (Vec::new(), BTreeMap::new());
        // Without a test, no line is reached.
        add_coverage(&engine, &mut reached);
        for (run, query) in tests_of(&mut engine) {
            let mut engine = engine.clone();
            runs.push(run_test(&mut engine, run, &query));
            add_coverage(&engine, &mut reached);
        }
        Tested { runs, coverage: reached.into_values().collect() }
    })
    .map_err(|e| PolicyError::new("", 1, e))
}

fn run_test(engine: &mut Engine, run: TestRun, query: &str) -> TestRun {
    crate::builtins::start_counting();
    let failure = match evaluate(engine, query) {
        Ok(Value::Bool(true)) => None,
        Ok(Value::Undefined) => Some("it is undefined".into()),
        Ok(other) => Some(format!("it is `{other}`")),
        Err(error) => Some(in_short(&error)),
    };
    TestRun { failure, ..run }
}

fn add_coverage(engine: &Engine, reached: &mut BTreeMap<String, Covered>) {
    // A report that can't be made leaves its lines out, which counts against the coverage, never for it.
    let Ok(report) = engine.get_coverage_report() else { return };
    for file in report.files.into_iter().filter(|f| !is_test(&f.path)) {
        let all = reached.entry(file.path.clone()).or_default();
        all.file = file.path;
        all.not_covered.extend(&file.not_covered);
        all.covered.extend(&file.covered);
        all.not_covered = &all.not_covered - &all.covered;
    }
}

fn tests_of(engine: &mut Engine) -> Vec<(TestRun, String)> {
    let mut tests: BTreeMap<String, TestRun> = BTreeMap::new();
    for module in engine.get_modules().iter().filter(|m| is_test(m.package.span.source.file())) {
        let file = module.package.span.source.file();
        for rule in &module.policy {
            let Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } = rule.as_ref() else { continue };
            let name = refr.span().text().to_owned();
            let query = format!("data.{}.{name}", module.package.refr.span().text());
            if name.starts_with("test_") {
                let run = TestRun { file: file.clone(), line: refr.span().line, name, failure: None };
                tests.entry(query).or_insert(run);
            }
        }
    }
    tests.into_iter().map(|(query, run)| (run, query)).collect()
}

/// The examples that tests are written around: values named in a file `*_test.rego` that have the form of an input.
///
/// # Errors
/// If the modules can't be compiled.
pub fn examples(modules: &BTreeMap<String, String>) -> Result<Vec<(String, serde_json::Value)>, PolicyError> {
    let built_in = PACK.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let (mut engine, _) = prepare(&modules.clone().into_iter().chain(built_in).collect())?;
    with_room(|| {
        let mut found = Vec::new();
        for (name, query) in values_of(&mut engine) {
            let Ok(value) = evaluate(&mut engine.clone(), &query) else { continue };
            let value = serde_json::to_value(&value).unwrap_or_default();
            if value.get("change").is_some_and(serde_json::Value::is_object) {
                found.push((name, value));
            }
        }
        found
    })
    .map_err(|e| PolicyError::new("", 1, e))
}

/// Asks the rules of nothing, and of each example that their tests are written around, whether what they answer has the form that is read. What a rule
/// would say of other changes stays unknown; a rule that fails on an example fails its tests.
///
/// # Errors
/// The first answer of another form, with its package and rule.
pub fn forms(bundle: &Bundle, modules: &BTreeMap<String, String>) -> Result<(), String> {
    let examples = examples(modules).map_err(|e| e.to_string())?;
    let inputs = examples.iter().map(|(_, input)| input.to_string()).chain(["{}".to_owned()]);
    for answer in inputs.filter_map(|input| bundle.answer(&input).ok()) {
        Answers::read(&answer, bundle.notes())?;
    }
    Ok(())
}

/// The rules of test files that are plain values.
fn values_of(engine: &mut Engine) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for module in engine.get_modules().iter().filter(|m| is_test(m.package.span.source.file())) {
        for rule in &module.policy {
            let Rule::Spec { head: RuleHead::Compr { refr, assign: Some(_), .. }, .. } = rule.as_ref() else {
                continue;
            };
            let (package, name) = (module.package.refr.span().text(), refr.span().text());
            values.insert(format!("{package}.{name}"), format!("data.{package}.{name}"));
        }
    }
    values
}
