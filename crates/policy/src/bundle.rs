//! The bundle: the rules of an organisation and the built-in ones, compiled once, asked about each change.
//!
//! A bundle is a value with a digest; the same bundle gives the same assessment of the same facts, on any replica and on any day. Asking never fails:
//! what goes wrong on the way is a denial with the code `policy_error`. Which answers count is in `answers`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use change::Digest;
use change::assessment::{Assessment, Denial, Factor, Requirement, Risk, Window};
use change::facts::Facts;
use change::governance::{self, Matrix};
use change::proposal::Proposal;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use crate::PolicyError;
use crate::answers::{ASKED, Answers};
use crate::child::{Child, Launch};
use crate::metadata::Notes;
use crate::room::with_room;
use crate::{builtins, guard};

/// The built-in rules. They are modules like any other, and part of the digest.
pub(crate) const PACK: [(&str, &str); 6] = [
    ("builtin/checklists.rego", include_str!("../pack/checklists.rego")),
    ("builtin/lanes.rego", include_str!("../pack/lanes.rego")),
    ("builtin/material.rego", include_str!("../pack/material.rego")),
    ("builtin/practice.rego", include_str!("../pack/practice.rego")),
    ("builtin/risk.rego", include_str!("../pack/risk.rego")),
    ("builtin/seen.rego", include_str!("../pack/seen.rego")),
];
/// Where the built-in modules lie, which no file does.
pub(crate) const BUILT_IN: &str = "builtin/";
/// Packages at and below this one are asked.
pub(crate) const ROOT: &str = "clearway";
/// Packages below this one are the built-in ones.
const RESERVED: [&str; 2] = [ROOT, "builtin"];

/// The most bytes of facts; those of a change with 10,000 files have about 3 MiB.
const MOST_INPUT: usize = 8 << 20;

static COMPILED: AtomicU64 = AtomicU64::new(0);

/// How long all rules together may take for one change. The built-in ones take 5 ms in an unoptimised build.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(1);
/// Steps of the interpreter between two looks at the clock; a step is about a microsecond.
const CHECK_EVERY: NonZeroU32 = NonZeroU32::new(64).unwrap();

pub use change::assessment::POLICY_ERROR;

/// The most that all answers together may be, as JSON would have it. The answers go into an entry of the log.
const MOST_ANSWERS: usize = 1 << 18;

/// Compiled policies.
#[derive(Clone)]
pub struct Bundle {
    engine: Engine,
    /// Asks every package every rule at once, so that one time limit covers them all.
    query: String,
    digest: Digest,
    /// All of them, those of tests and the built-in ones included.
    modules: Arc<BTreeMap<String, String>>,
    notes: Arc<Notes>,
    child: Option<Arc<Child>>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Bundle {
    /// Compiles modules, given by path and text, together with the built-in ones. Modules in files `*_test.rego` have to compile too, but are never asked.
    ///
    /// # Errors
    /// The first problem, with its file and line.
    pub fn compile(modules: &BTreeMap<String, String>) -> Result<Self, PolicyError> {
        if let Some(path) = modules.keys().find(|path| path.starts_with(BUILT_IN)) {
            return Err(PolicyError::new(path, 1, format!("paths below `{BUILT_IN}` are built in; choose another")));
        }
        let own = |(path, text): (&String, &String)| (path.clone(), text.clone());
        let built_in = PACK.map(|(path, text)| (path.to_owned(), text.to_owned()));
        Self::of_modules(modules.iter().map(own).chain(built_in).collect())
    }

    /// The bundle that was kept under its digest, with the built-in modules of its day.
    ///
    /// # Errors
    /// If the bytes are no bundle, or what it holds can't be compiled any more.
    pub fn of_kept(bytes: &[u8]) -> Result<Self, PolicyError> {
        let all = serde_json::from_slice(bytes);
        Self::of_modules(all.map_err(|e| PolicyError::new("", 1, format!("the kept bundle can't be read: {e}")))?)
    }

    /// The bytes by which [`Bundle::of_kept`] makes it again; their digest is that of the bundle.
    pub fn to_keep(&self) -> Vec<u8> {
        change::id::canonical(&serde_json::json!(*self.modules)).into_bytes()
    }

    pub(crate) fn of_modules(all: BTreeMap<String, String>) -> Result<Self, PolicyError> {
        COMPILED.fetch_add(1, Ordering::Relaxed);
        let own = |(path, text): (&String, &String)| (path.clone(), text.clone());
        let rules: BTreeMap<String, String> = all.iter().filter(|(path, _)| !is_test(path)).map(own).collect();
        if rules.len() < all.len() {
            prepare(&all)?;
        }
        let (engine, query) = prepare(&rules)?;
        let notes = Arc::new(Notes::read(&rules)?);
        Ok(Self { engine, query, digest: Digest::of_value(&all), modules: Arc::new(all), notes, child: None })
    }

    /// The same, evaluated in a process of its own, where nothing that a policy does can take this one's memory or time.
    #[must_use]
    pub fn in_child(self, launch: &Launch) -> Self {
        let child = Some(Arc::new(Child::new(launch.clone(), self.to_keep())));
        Self { child, ..self }
    }

    /// How many bundles this process has compiled: one for each that was loaded, and none for an assessment.
    pub fn compiled() -> u64 {
        COMPILED.load(Ordering::Relaxed)
    }

    /// The question that every package is asked.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// What the modules say about themselves.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// All modules by path, those of tests and the built-in ones included.
    pub fn modules(&self) -> &BTreeMap<String, String> {
        &self.modules
    }

    /// Over the paths and texts of all modules, the built-in ones included.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the rules and the approval matrix say of a change. Blocks for a second at most.
    pub fn assess(&self, facts: &Facts, matrix: &Matrix, proposal: &Proposal) -> Assessment {
        let value = match serde_json::to_value(facts) {
            Ok(value) => value,
            Err(e) => return self.closed(format!("the facts have no JSON form: {e}"), Digest::of_bytes(b""), proposal),
        };
        self.assess_input(&change::id::canonical(&value), matrix, proposal)
    }

    /// The same for an input as it was kept: canonical JSON.
    pub fn assess_input(&self, input: &str, matrix: &Matrix, proposal: &Proposal) -> Assessment {
        let asked = self.ask(input);
        let input = Digest::of_bytes(input.as_bytes());
        let answers = match asked {
            Ok(answers) => answers,
            Err(reason) => return self.closed(reason, input, proposal),
        };
        let points: u32 = answers.factors.iter().map(|f| u32::from(f.points)).sum();
        let score = u8::try_from(points.min(100)).unwrap_or(100);
        let level = Risk::of_score(score);
        let mut denials = answers.denials;
        let rule = matrix.rule(proposal, level);
        if rule.is_none() {
            let reason = format!("no rule of approvals.yaml matches a change of {level} risk like this one");
            denials.push(Denial::hard("no_approval_rule", reason));
        }
        Assessment {
            score,
            level,
            factors: answers.factors,
            denials,
            warnings: answers.warnings,
            requires: merge(rule.map(governance::Rule::requirements).unwrap_or_default(), answers.requires),
            checklist: rule
                .map(|r| r.evidence_items(proposal))
                .into_iter()
                .flatten()
                .chain(answers.checklist)
                .collect(),
            window: rule.map(|r| r.window).unwrap_or_default().max(answers.window),
            pre_approved: false,
            owed: vec![],
            policy: self.digest,
            input,
            effect: proposal.effect_digest,
        }
    }

    /// What the rules say of an input of any form.
    ///
    /// # Errors
    /// A sentence: what went wrong in which file and line.
    pub(crate) fn ask(&self, input: &str) -> Result<Answers, String> {
        Answers::read(&self.answer(input)?, &self.notes)
    }

    /// What every package said, as JSON: from the child, where there is one.
    pub(crate) fn answer(&self, input: &str) -> Result<String, String> {
        if input.len() > MOST_INPUT {
            return Err(format!(
                "the input has {} bytes; the most that policies are given is {MOST_INPUT}",
                input.len()
            ));
        }
        match &self.child {
            Some(child) => child.ask(input),
            None => self.ask_here(input),
        }
    }

    /// How the process is started in which it is evaluated; none where it is evaluated in this one.
    pub(crate) fn launch(&self) -> Option<&Launch> {
        self.child.as_ref().map(|child| child.launch())
    }

    /// What the rules say of an input, as JSON for a person or a program: the rules alone, without the approval matrix.
    ///
    /// # Errors
    /// A sentence: what went wrong in which file and line.
    pub fn evaluate(&self, input: &str) -> Result<serde_json::Value, String> {
        self.ask(input).map(|answers| serde_json::json!(answers))
    }

    /// The answer as JSON, made in this process.
    pub(crate) fn ask_here(&self, input: &str) -> Result<String, String> {
        with_room(|| {
            builtins::start_counting();
            let mut engine = self.engine.clone();
            engine.set_input_json(input).map_err(|e| in_short(&e.to_string()))?;
            let answer = evaluate(&mut engine, &self.query).map_err(|e| in_short(&e))?;
            if builtins::size_within(&answer, MOST_ANSWERS).is_none() {
                return Err(format!("the policies answered more than {MOST_ANSWERS} bytes"));
            }
            answer.to_json_str().map_err(|e| e.to_string())
        })?
    }

    fn closed(&self, reason: String, input: Digest, proposal: &Proposal) -> Assessment {
        let code = POLICY_ERROR.to_owned();
        Assessment {
            score: 100,
            level: Risk::Critical,
            factors: vec![Factor { code: code.clone(), points: 100, reason: reason.clone() }],
            denials: vec![Denial::hard(code, reason)],
            warnings: vec![],
            requires: vec![],
            checklist: vec![],
            window: Window::Free,
            pre_approved: false,
            owed: vec![],
            policy: self.digest,
            input,
            effect: proposal.effect_digest,
        }
    }
}

pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("_test.rego")
}

/// An engine that has analysed the modules, and the query that asks them.
pub(crate) fn prepare(modules: &BTreeMap<String, String>) -> Result<(Engine, String), PolicyError> {
    let mut readings = 0;
    for (path, text) in modules {
        readings += guard::check_text(path, text)?;
        if readings > guard::MOST_READINGS {
            return Err(guard::too_nested(path, 1));
        }
    }
    let first = modules.keys().next().map_or("", String::as_str);
    with_room(|| compile(modules)).unwrap_or_else(|broken| Err(PolicyError::new(first, 1, broken)))
}

fn compile(modules: &BTreeMap<String, String>) -> Result<(Engine, String), PolicyError> {
    let mut engine = Engine::new();
    // A builtin that fails ends the evaluation. The other mode makes it undefined, and a rule with it silent.
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME_LIMIT, check_interval: CHECK_EVERY });
    builtins::install(&mut engine).map_err(|e| PolicyError::new("", 1, e))?;
    let mut last = "";
    for (path, text) in modules {
        last = path;
        let added = engine.add_policy(path.clone(), text.clone());
        added.map_err(|e| PolicyError::of_interpreter(&e.to_string(), path))?;
    }
    let query = query(&packages(&engine)?);
    guard::check_calls(engine.get_modules())?;
    // The modules are analysed when they are first asked something: now, so that an error in them has a place and a time.
    evaluate(&mut engine, "true").map_err(|e| PolicyError::of_interpreter(&e, last))?;
    Ok((engine, query))
}

/// The packages to ask, by the parts of their names.
fn packages(engine: &Engine) -> Result<BTreeSet<Vec<String>>, PolicyError> {
    let listed = engine.get_policy_package_components().map_err(|e| PolicyError::of_interpreter(&e.to_string(), ""))?;
    let mut asked = BTreeSet::new();
    for package in listed {
        let (file, parts) = (package.source_file, package.components);
        let name = parts.join(".");
        if parts.starts_with(&RESERVED.map(str::to_owned)) && !file.starts_with(BUILT_IN) {
            let message = format!("the package `{name}` is built in; choose a name of your own below `{ROOT}`");
            return Err(PolicyError::new(&file, 1, message));
        }
        if parts.first().is_some_and(|first| first == ROOT) {
            asked.insert(parts);
            continue;
        }
        // A library may lie anywhere, but a denial that nobody asks for would be a gate that stands open.
        for rule in ASKED {
            if engine.has_declared_rule_rooted_at(&file, rule).unwrap_or(true) {
                let message = format!("nobody asks `{rule}` of the package `{name}`; name it `{ROOT}.{name}`");
                return Err(PolicyError::new(&file, 1, message));
            }
        }
    }
    Ok(asked)
}

/// Asks each package each rule. A rule that is not there, or is undefined, is an empty list.
fn query(packages: &BTreeSet<Vec<String>>) -> String {
    let of_package = |parts: &Vec<String>| {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let below: String = parts.iter().map(|part| format!("[{}]", quoted(part))).collect();
        let rule = |name| format!("\"{name}\": [v | v := data{below}.{name}]");
        format!("{{\"package\": {},\n{}}}", quoted(&parts.join(".")), ASKED.map(rule).join(",\n"))
    };
    format!("[{}]", packages.iter().map(of_package).collect::<Vec<_>>().join(",\n"))
}

/// The value of the query's first expression; an error is in the interpreter's own words.
pub(crate) fn evaluate(engine: &mut Engine, query: &str) -> Result<Value, String> {
    let results = engine.eval_query(query.to_owned(), false).map_err(|e| e.to_string())?;
    let mut expressions = results.result.into_iter().flat_map(|r| r.expressions);
    Ok(expressions.next().map_or(Value::Undefined, |e| e.value))
}

/// An error of the interpreter in one line.
pub(crate) fn in_short(error: &str) -> String {
    if error.contains("exceeded time limit") {
        // Without the elapsed nanoseconds that the interpreter names: the same policy gives the same words.
        return format!("the policies took longer than {} s", TIME_LIMIT.as_secs());
    }
    if error.contains("--> ") { PolicyError::of_interpreter(error, "").to_string() } else { error.to_owned() }
}

/// The matrix's requirements, and those of policies. For a group that both name the stricter holds: the larger count, the shorter time, the earlier
/// reminder, a signature if either asks for one. Of the groups to escalate to, those that both name: one that is silent about it says nothing against.
fn merge(from_matrix: Vec<Requirement>, from_policies: Vec<Requirement>) -> Vec<Requirement> {
    let mut merged = from_matrix;
    for more in from_policies {
        match merged.iter_mut().find(|r| r.by == more.by) {
            Some(known) => {
                known.count = known.count.max(more.count);
                known.within = known.within.min(more.within);
                known.remind = [known.remind, more.remind].into_iter().flatten().min();
                known.signature = known.signature.max(more.signature);
                known.escalate = common(&known.escalate, more.escalate);
            }
            None => merged.push(more),
        }
    }
    merged
}

fn common(known: &[String], more: Vec<String>) -> Vec<String> {
    match (known, more.as_slice()) {
        ([], _) => more,
        (_, []) => known.to_vec(),
        _ => known.iter().filter(|group| more.contains(group)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_and_the_matrix_both_ask_is_the_stricter_of_each() {
        let hour = change::Span::secs(3_600);
        let signed = |by: &str, count| Requirement {
            signature: change::assessment::Signing::Required,
            ..Requirement::of(by, count, hour)
        };
        let (free, strict) = (Requirement::of("sre", 2, hour.times(2)), signed("sre", 1));
        for (one, other) in [(&free, &strict), (&strict, &free)] {
            assert_eq!(merge(vec![one.clone()], vec![other.clone()]), [signed("sre", 2)]);
        }
    }

    /// The tests that lie beside the built-in rules.
    const TESTS: [(&str, &str); 6] = [
        ("builtin/checklists_test.rego", include_str!("../pack/checklists_test.rego")),
        ("builtin/lanes_test.rego", include_str!("../pack/lanes_test.rego")),
        ("builtin/material_test.rego", include_str!("../pack/material_test.rego")),
        ("builtin/practice_test.rego", include_str!("../pack/practice_test.rego")),
        ("builtin/risk_test.rego", include_str!("../pack/risk_test.rego")),
        ("builtin/seen_test.rego", include_str!("../pack/seen_test.rego")),
    ];

    fn tested() -> crate::testing::Tested {
        let modules = PACK.into_iter().chain(TESTS).map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        crate::testing::run(&modules).expect("they compile")
    }

    // PR3, PR5, X3, X16, LC2: the lanes, factors and checklists are shown by the tests beside the rules.
    #[test]
    fn every_test_of_the_built_in_rules_passes() {
        let runs = tested().runs;
        let failed: Vec<_> = runs.iter().filter(|run| run.failure.is_some()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let written: usize = TESTS.iter().map(|(_, text)| text.matches("\ntest_").count()).sum();
        assert_eq!((runs.len(), written > 60), (written, true));
    }

    #[test]
    fn every_line_of_the_built_in_rules_is_reached_by_a_test() {
        let coverage = tested().coverage;
        let left: Vec<_> =
            coverage.iter().filter(|c| !c.not_covered.is_empty()).map(|c| (&c.file, &c.not_covered)).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(coverage.len(), PACK.len());
    }

    #[test]
    fn every_built_in_package_and_rule_says_what_it_is_for() {
        let bundle = Bundle::compile(&BTreeMap::new()).expect("the built-in rules");
        let rules = crate::reading::rules(bundle.modules()).expect("they are read");
        let (notes, asked) = (bundle.notes(), rules.iter().filter(|rule| rule.is_asked()));
        let silent: Vec<_> = asked
            .filter(|rule| {
                notes.of_rule(&rule.file, rule.line).is_none_or(|n| n.title.is_none() || n.description.is_none())
            })
            .map(|rule| (&rule.file, rule.line))
            .collect();
        assert!(silent.is_empty(), "{silent:?}");
        for rule in &rules {
            let said = notes.packages.get(&rule.package).map(|(_, note)| (&note.title, &note.owner, &note.review_by));
            assert!(said.is_some_and(|(t, o, r)| t.is_some() && o.is_some() && r.is_some()), "{}", rule.package);
        }
    }

    #[test]
    fn a_bundle_can_be_asked_from_any_thread() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Bundle>();
    }

    #[test]
    fn of_two_requirements_for_a_group_the_larger_count_and_the_shorter_time_hold() {
        let requirement =
            |by: &str, count, hours: u64| Requirement::of(by, count, change::time::Span::secs(hours * 3_600));
        let merged = merge(
            vec![requirement("sre", 1, 8), requirement("security", 2, 4)],
            vec![
                requirement("security", 1, 8),
                requirement("sre", 2, 24),
                requirement("sre", 1, 1),
                requirement("dba", 1, 2),
            ],
        );
        assert_eq!(merged, [requirement("sre", 2, 1), requirement("security", 2, 4), requirement("dba", 1, 2)]);
    }
}
