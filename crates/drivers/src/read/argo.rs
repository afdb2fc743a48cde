//! Argo Rollouts: `AnalysisTemplate` and `ClusterAnalysisTemplate`, and the steps of a `Rollout` (argo-rollouts.readthedocs.io).
//!
//! Metrics with conditions become SLIs with objectives. Theirs is a threshold on what each measurement shows, and a number of failures that is
//! borne; here the same promise is judged by evidence over all measurements, and beside it the version is compared with the one it replaces.

use std::collections::BTreeMap;

use change::document::{Document, Problem};
use change::rollout::{StepFile, Weight};
use change::time::Span;
use change::verification::{Against, Sli};
use serde_json::Value;

use super::condition::{self, Condition};
use super::imported::{Format, Given, Imported, JudgeFile, Sayings, Spot, name_of};
use super::placeholder::fill;
use super::promql::Bare;
use super::sli::{self, Wanted};

/// Whether a document is one of Argo Rollouts.
pub(crate) fn is_one(document: &Document) -> bool {
    let text = |name: &str| document.value().get(name).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").starts_with("argoproj.io/") && (is_template(text("kind")) || text("kind") == "Rollout")
}

fn is_template(kind: &str) -> bool {
    ["AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun"].contains(&kind)
}

pub(crate) fn take(documents: &[&Document], given: &Given) -> Result<Imported, Vec<Problem>> {
    let mut said = Sayings::default();
    let mut slis: Vec<Sli> = Vec::new();
    let mut judge = JudgeFile::default();
    let mut steps = Vec::new();
    let passed = arguments_of_rollouts(documents);
    for document in documents {
        let spot = Spot { document, said: &mut said };
        let kind = document.value().get("kind").and_then(Value::as_str).unwrap_or_default();
        if is_template(kind) {
            let arguments = arguments(document, &passed, given);
            let mut template = Template { spot, given, arguments, judge: &mut judge };
            let mut found = template.metrics();
            sli::divide_speeds(&mut template.spot, "/spec/metrics", &mut found);
            slis.extend(found);
        } else if kind == "Rollout" {
            steps = Rollout { spot }.steps();
        }
    }
    said.finish(Imported { format: Format::Argo, slis, judge, steps, notes: vec![] })
}

/// What stands for an argument.
#[derive(Clone)]
enum Argument {
    Value(String),
    /// The hash of one of the versions.
    Version,
    Missing,
}

/// The arguments that Rollouts of the same file pass to their analyses.
fn arguments_of_rollouts(documents: &[&Document]) -> BTreeMap<String, Argument> {
    let mut found = BTreeMap::new();
    for document in documents {
        let canary = document.value().pointer("/spec/strategy/canary");
        let background = canary.and_then(|c| c.pointer("/analysis/args"));
        let steps = canary.and_then(|c| c.get("steps")).and_then(Value::as_array);
        let in_steps = steps.into_iter().flatten().filter_map(|s| s.pointer("/analysis/args"));
        for argument in background.into_iter().chain(in_steps).filter_map(Value::as_array).flatten() {
            if let Some(name) = argument.get("name").and_then(Value::as_str) {
                found.insert(name.to_owned(), value_of(name, argument));
            }
        }
    }
    found
}

fn value_of(name: &str, argument: &Value) -> Argument {
    let value = argument.get("value").and_then(super::imported::words);
    let is_hash = argument.pointer("/valueFrom/podTemplateHashValue").is_some();
    // By their habit of naming: `canary-hash`, `latest-hash`, `stable-hash`.
    let lower = name.to_ascii_lowercase();
    let is_named_so = lower.contains("hash") || lower == "canary" || lower == "version";
    match value {
        Some(value) => Argument::Value(value),
        None if is_hash || is_named_so => Argument::Version,
        None => Argument::Missing,
    }
}

fn arguments(document: &Document, passed: &BTreeMap<String, Argument>, given: &Given) -> BTreeMap<String, Argument> {
    let own = document.value().pointer("/spec/args").and_then(Value::as_array);
    let own = own.into_iter().flatten().filter_map(|a| {
        let name = a.get("name").and_then(Value::as_str)?;
        Some((name.to_owned(), value_of(name, a)))
    });
    let passed = passed.iter().filter(|(_, a)| !matches!(a, Argument::Missing)).map(|(n, a)| (n.clone(), a.clone()));
    let given = given.values.iter().map(|(n, v)| (n.clone(), Argument::Value(v.clone())));
    own.chain(passed).chain(given).collect()
}

struct Template<'a> {
    spot: Spot<'a>,
    given: &'a Given,
    arguments: BTreeMap<String, Argument>,
    judge: &'a mut JudgeFile,
}

impl Template<'_> {
    fn metrics(&mut self) -> Vec<Sli> {
        let count = self.spot.count("/spec/metrics");
        if self.spot.count("/spec/templates") > 0 {
            self.spot.not_taken("/spec/templates", "metrics of other templates", "put them into the same file");
        } else if count == 0 {
            self.spot.problem("/spec", "`metrics` is missing", "a template without metrics judges nothing");
        }
        (0..count).filter_map(|i| self.metric(i)).collect()
    }

    fn metric(&mut self, i: usize) -> Option<Sli> {
        let pointer = format!("/spec/metrics/{i}");
        let Some(given_name) = self.spot.text(&format!("{pointer}/name")) else {
            self.spot.problem(&pointer, "`name` is missing", "name the metric");
            return None;
        };
        let name = name_of(&given_name);
        if name != given_name {
            self.spot.assumed(&format!("{pointer}/name"), format!("the name `{given_name}` is written `{name}`"), "");
        }
        if self.is_dry(&given_name) {
            let note = format!("`{given_name}` runs dry, and an SLI here always counts");
            self.spot.not_taken("/spec/dryRun", note, "let the scan of all series report it: `verify: {scan: note}`");
            return None;
        }
        let (query, at) = self.query(&pointer, &given_name)?;
        let condition = self.condition(&pointer, &given_name);
        let source = self.spot.source(self.given, &at);
        let against = Against::Both;
        let wanted =
            Wanted { name, source, pointer: &at, bounds: &condition.bounds, worse: None, bare: Bare::Levels, against };
        let sli = sli::of_query(&mut self.spot, &query, &wanted);
        self.times(&pointer);
        self.limits(&pointer);
        if sli.as_ref().is_some_and(|s| s.against == Against::Both) {
            let note = "a condition is a threshold on what one measurement shows, noise and all; here it is an objective judged by evidence over all looks, and beside it the new version is compared with the old one";
            self.spot.differs(
                &format!("{pointer}/successCondition"),
                note,
                "write `against: objective` to judge by the threshold alone",
            );
        }
        sli
    }

    fn is_dry(&self, name: &str) -> bool {
        let dry = self.spot.value("/spec/dryRun").and_then(Value::as_array);
        dry.into_iter().flatten().filter_map(|d| d.get("metricName")?.as_str()).any(|d| d == name || d == ".*")
    }

    fn query(&mut self, metric: &str, name: &str) -> Option<(String, String)> {
        let provider = format!("{metric}/provider");
        let Some(kind) = self.spot.value(&provider).and_then(Value::as_object).and_then(|p| p.keys().next()).cloned()
        else {
            self.spot.problem(
                metric,
                format!("the metric `{name}` has no provider"),
                "add `provider: {prometheus: {query: ...}}`",
            );
            return None;
        };
        if kind != "prometheus" {
            self.say_other_provider(&provider, &kind, name);
            return None;
        }
        let at = format!("{provider}/prometheus/query");
        let Some(query) = self.spot.text(&at) else {
            self.spot.problem(&provider, format!("the metric `{name}` has no query"), "add `query`");
            return None;
        };
        if self.spot.value(&format!("{provider}/prometheus/address")).is_some() {
            let note = "the address of Prometheus: an address in a file of conditions never reaches the network here";
            self.spot.not_taken(
                &format!("{provider}/prometheus/address"),
                note,
                "add `[sources.prometheus]` to clearway.toml",
            );
        }
        Some((self.filled(&query, &at), at))
    }

    fn say_other_provider(&mut self, provider: &str, kind: &str, name: &str) {
        let (note, help) = match kind {
            "job" => (
                format!("`{name}` runs a job"),
                "run what it runs as `verify: {commands: [{run: ...}]}` in the change file: exit code 0 is good",
            ),
            "web" => (
                format!("`{name}` asks an address and reads its JSON"),
                "add a source of that kind to clearway.toml, or check it by `verify: {commands: [{run: curl --fail ...}]}`",
            ),
            "kayenta" => (format!("`{name}` asks Kayenta"), "import its canary configuration"),
            _ => (
                format!("`{name}` asks `{kind}`, whose language is not read here"),
                "write the SLI by hand, over a source that clearway.toml can name",
            ),
        };
        self.spot.not_taken(&format!("{provider}/{kind}"), note, help);
    }

    fn filled(&mut self, query: &str, at: &str) -> String {
        let arguments = &self.arguments;
        let mut has_version = false;
        let named = |name: &str| name.strip_prefix("args.").unwrap_or(name).trim().to_owned();
        let value = |name: &str| match arguments.get(&named(name)) {
            Some(Argument::Value(value)) => Some(value.clone()),
            Some(Argument::Version) => Some("$cohort".to_owned()),
            Some(Argument::Missing) | None => None,
        };
        let (filled, missing) = fill(query, "{{", "}}", value);
        has_version |= filled.contains("$cohort") && !query.contains("$cohort");
        if has_version {
            let note = "a pod template hash names the version: `$cohort` stands in its place, which is the name that the target gives to the version that is read";
            self.spot.assumed(
                at,
                note,
                "write a query for each version: `{canary: ..., baseline: ...}`, where they are told apart otherwise",
            );
        }
        for name in missing {
            let name = named(&name);
            let help = format!("give it with `--set {name}=VALUE`, or write the value into the query");
            self.spot.assumed(
                at,
                format!("the argument `{name}` has no value in this file and stands as it is"),
                &help,
            );
        }
        filled
    }

    fn condition(&mut self, metric: &str, name: &str) -> Condition {
        let (success, failure) = (format!("{metric}/successCondition"), format!("{metric}/failureCondition"));
        let of_success = self.spot.text(&success).map(|text| condition::of_success(&text));
        let of_failure = self.spot.text(&failure).map(|text| condition::of_failure(&text));
        for (at, found) in [(&success, &of_success), (&failure, &of_failure)] {
            for rest in found.iter().flat_map(|c| &c.rest) {
                let note = format!("`{rest}` of `{name}` is no comparison of the result with a number");
                self.spot.not_taken(at, note, "write an `objective` or a `limit`");
            }
            if found.as_ref().is_some_and(|c| !c.guards.is_empty()) {
                let note = "guards against a result that is missing: missing data is `insufficient` here, which holds and decides nothing";
                self.spot.differs(at, note, "write `on_insufficient: rollback` into `verify` of the change file");
            }
        }
        match (of_success, of_failure) {
            (Some(success_bounds), Some(failure_bounds)) => {
                if !success_bounds.bounds.is_empty()
                    && success_bounds.bounds != failure_bounds.bounds
                    && !failure_bounds.bounds.is_empty()
                {
                    let note = format!(
                        "what lies between success and failure of `{name}` is inconclusive there and pauses; the bound of success is taken over, and here doubt is what the evidence leaves open"
                    );
                    self.spot.differs(&failure, note, "");
                }
                if success_bounds.bounds.is_empty() { failure_bounds } else { success_bounds }
            }
            (Some(found), None) | (None, Some(found)) => found,
            (None, None) => {
                let note = format!(
                    "`{name}` has no condition and is always inconclusive there; here it is compared with the version it replaces"
                );
                self.spot.differs(metric, note, "");
                Condition::default()
            }
        }
    }

    /// `initialDelay`, and `count` measurements every `interval`, are the least time that is looked.
    fn times(&mut self, metric: &str) {
        let delay = self.spot.span(&format!("{metric}/initialDelay")).unwrap_or(Span::ZERO);
        let interval = self.spot.span(&format!("{metric}/interval"));
        let count = self.spot.number(&format!("{metric}/count")).filter(|c| (1.0..=1e6).contains(c));
        if let Some(interval) = interval {
            let note = "a measurement per interval there; looks cost nothing here and come every 10 s";
            self.spot.differs(
                &format!("{metric}/interval"),
                note,
                "write `every: 1m` into `verify` to look less often",
            );
            let least = delay.as_millis().saturating_add(interval.times(count.unwrap_or(1.0) as u64).as_millis());
            let least = Span::millis(least).times(1);
            self.judge.bake = self.judge.bake.max(Some(least));
        }
        if count.is_some() {
            let note = "a number of measurements that is fixed; here it is decided when the evidence suffices, and the time that they take is the least time of a step";
            self.spot.differs(&format!("{metric}/count"), note, "");
        }
        if delay > Span::ZERO {
            let note = "a delay before the first measurement: for the first looks only gross harm counts here";
            self.spot.differs(&format!("{metric}/initialDelay"), note, "");
        }
    }

    fn limits(&mut self, metric: &str) {
        let has = |spot: &Spot<'_>, name: &str| spot.value(&format!("{metric}/{name}")).is_some();
        for name in ["failureLimit", "consecutiveSuccessLimit"] {
            if !has(&self.spot, name) {
                continue;
            }
            let note = "a number of measurements that may fail or have to succeed; here no single one decides: evidence adds up until one false rollback in 100 changes is the most that is risked";
            self.spot.differs(
                &format!("{metric}/{name}"),
                note,
                "write `judge: {alpha: 0.001}` beside `slis:`, where `clearway judge` reads it, to risk less",
            );
        }
        if has(&self.spot, "consecutiveErrorLimit") {
            let note = "errors of the provider fail the analysis there; here a source that fails is `unreachable`, which holds, and pages at the deadline";
            self.spot.differs(
                &format!("{metric}/consecutiveErrorLimit"),
                note,
                "write `on_unreachable: rollback` into `verify` of the change file",
            );
        }
        if has(&self.spot, "inconclusiveLimit") {
            let note = "inconclusive measurements: here doubt waits until the deadline, and then for a person";
            self.spot.differs(
                &format!("{metric}/inconclusiveLimit"),
                note,
                "write `deadline` and `on_insufficient` into `verify` of the change file",
            );
        }
    }
}

struct Rollout<'a> {
    spot: Spot<'a>,
}

impl Rollout<'_> {
    /// `setWeight` with the pauses behind it.
    fn steps(&mut self) -> Vec<StepFile> {
        let base = "/spec/strategy/canary/steps";
        let mut found: Vec<StepFile> = Vec::new();
        for i in 0..self.spot.count(base) {
            let at = format!("{base}/{i}");
            if let Some(weight) = self.spot.number(&format!("{at}/setWeight")) {
                match weight_of(weight) {
                    Some(weight) if found.last().is_none_or(|last| last.weight < weight) => {
                        found.push(StepFile { weight, bake: Span::secs(300), deadline: None, comparison: None });
                    }
                    _ => self.spot.not_taken(
                        &at,
                        format!("the weight {}: weights rise, from above 0 to 100", sli::shortest(weight)),
                        "",
                    ),
                }
            } else if self.spot.value(&format!("{at}/pause/duration")).is_some() {
                let pause = self.spot.span(&format!("{at}/pause/duration"));
                if let (Some(last), Some(pause)) = (found.last_mut(), pause) {
                    last.bake = pause;
                }
            } else if self.spot.value(&format!("{at}/pause")).is_some() {
                self.spot.not_taken(
                    &at,
                    "a pause until a person goes on: steps go on by their verdict",
                    "pause by `clearway pause`, or ask for approvals in approvals.yaml",
                );
            } else if self.spot.value(&format!("{at}/analysis")).is_none() {
                self.spot.not_taken(&at, "a step that sets no weight", "");
            }
        }
        finish(&mut found);
        if !found.is_empty() {
            let note = "a pause is how long a step takes there; here it is the least time, and the step goes on when the evidence suffices";
            self.spot.differs(base, note, "");
        }
        found
    }
}

pub(crate) fn weight_of(percent: f64) -> Option<Weight> {
    (percent > 0.0 && percent <= 100.0).then(|| format!("{percent:.2}%").parse().ok()).flatten()
}

/// A plan ends with all traffic; what comes before it takes as long as its last step did.
pub(crate) fn finish(steps: &mut Vec<StepFile>) {
    if let Some(last) = steps.last().filter(|last| last.weight < Weight::FULL) {
        let bake = last.bake;
        steps.push(StepFile { weight: Weight::FULL, bake, deadline: None, comparison: None });
    }
}
