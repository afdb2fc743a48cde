//! OpenSLO: service level objectives as github.com/OpenSLO/OpenSLO specifies them, read as they are.
//!
//! `SLO` and `SLI` become SLIs under their own names; a `DataSource` tells the kind of a source. What OpenSLO promises over weeks (windows, budgets,
//! alerts) is no part of a verdict about a version that runs for minutes, and that is said. Versions `v1`, `v1beta1` and `v1alpha`.

use std::collections::{BTreeMap, BTreeSet};

use change::document::{Document, Problem};
use change::governance::Slos;
use change::verification::{Against, Query, Ratio, Sli, Worse};
use serde_json::Value;

use super::imported::{Format, Given, Imported, JudgeFile, Sayings, Spot, name_of};
use super::promql::{Bare, Selector};
use super::sli::{self, Bound, Wanted};

/// Whether a document is one of OpenSLO.
pub(crate) fn is_one(document: &Document) -> bool {
    document.value().get("apiVersion").and_then(Value::as_str).is_some_and(|v| v.starts_with("openslo/"))
}

/// Which SLIs of a file are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those that nothing else in the file refers to, and every SLO.
    Used,
    /// All that have a name.
    All,
}

/// The SLIs of a folder of OpenSLO files, given by path and text, each with its path; one file may refer to another.
///
/// # Errors
/// Every problem of every file, with the path of the file.
pub fn slis(files: &BTreeMap<String, String>) -> Slos {
    let mut problems: Vec<(String, Problem)> = Vec::new();
    let mut read: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
    for (path, text) in files {
        match Document::all_from_yaml(text) {
            Ok(documents) => {
                let foreign = documents.iter().find(|d| !is_one(d));
                problems.extend(foreign.map(|d| {
                    let help = Some("give it an `apiVersion` such as `openslo/v1`, or move it elsewhere".to_owned());
                    (path.clone(), d.problem("/apiVersion", "this is no OpenSLO document", help))
                }));
                read.insert(path, documents);
            }
            Err(found) => problems.extend(found.into_iter().map(|p| (path.clone(), p))),
        }
    }
    let around: Vec<&Document> = read.values().flatten().collect();
    let mut slis: Vec<(String, Sli)> = Vec::new();
    for (path, documents) in &read {
        match take(documents, &around, &Given::default(), Keep::All) {
            Ok(imported) => {
                for sli in imported.slis {
                    if slis.iter().any(|(_, other)| other.name == sli.name) {
                        let document = documents.iter().find(|d| named(d) == sli.name).or(documents.first());
                        let message = format!("there is an SLI `{}` in another file already", sli.name);
                        problems
                            .extend(document.map(|d| ((*path).to_owned(), d.problem("/metadata/name", message, None))));
                    } else {
                        slis.push(((*path).to_owned(), sli));
                    }
                }
            }
            Err(found) => problems.extend(found.into_iter().map(|p| ((*path).to_owned(), p))),
        }
    }
    if problems.is_empty() { Ok(slis) } else { Err(problems) }
}

/// Takes over the documents of one file; what they refer to is looked for in them and around them.
pub(crate) fn take(
    documents: &[Document],
    around: &[&Document],
    given: &Given,
    keep: Keep,
) -> Result<Imported, Vec<Problem>> {
    let mut taking =
        Taking { documents, around, given, said: Sayings::default(), slis: vec![], referred: BTreeSet::new() };
    for document in documents.iter().filter(|d| kind(d) == "SLO") {
        taking.slo(document);
    }
    for document in documents.iter().filter(|d| kind(d) != "SLO") {
        taking.other(document, keep);
    }
    let Taking { said, slis, .. } = taking;
    said.finish(Imported { format: Format::OpenSlo, slis, judge: JudgeFile::default(), steps: vec![], notes: vec![] })
}

fn kind(document: &Document) -> &str {
    document.value().get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name(document: &Document) -> Option<&str> {
    document.value().pointer("/metadata/name").and_then(Value::as_str)
}

fn named(document: &Document) -> String {
    name(document).map(name_of).unwrap_or_default()
}

struct Taking<'a> {
    documents: &'a [Document],
    around: &'a [&'a Document],
    given: &'a Given,
    said: Sayings,
    slis: Vec<Sli>,
    /// The SLIs that an SLO of this file refers to.
    referred: BTreeSet<String>,
}

/// One objective of an SLO.
struct Promise {
    name: String,
    /// The share of good events.
    target: Option<f64>,
    bound: Option<Bound>,
    pointer: String,
}

/// Where an indicator is described: its document, and the pointer in it.
struct Indicator<'a> {
    document: &'a Document,
    pointer: String,
    /// Whether the document is in the file that is read.
    is_here: bool,
}

impl<'a> Taking<'a> {
    fn slo(&mut self, document: &'a Document) {
        let Some(name) = self.name(document) else { return };
        if self.slis.iter().any(|s| s.name == name) {
            let mut spot = Spot { document, said: &mut self.said };
            return spot.problem("/metadata/name", format!("there are two SLOs `{name}`"), "rename one of them");
        }
        self.say_what_a_verdict_has_not(document);
        let promises = self.promises(document, &name);
        let Some(indicator) = self.indicator(document) else { return };
        self.measure(&indicator, &name, &promises);
    }

    fn other(&mut self, document: &'a Document, keep: Keep) {
        let mut spot = Spot { document, said: &mut self.said };
        match kind(document) {
            "SLI" => {
                let Some(name) = self.name(document) else { return };
                let is_used = self.referred.contains(&name) || self.slis.iter().any(|s| s.name == name);
                if keep == Keep::All && !self.slis.iter().any(|s| s.name == name) || !is_used {
                    let indicator = Indicator { document, pointer: "/spec".into(), is_here: true };
                    self.measure(&indicator, &name, &[]);
                }
            }
            "DataSource" => spot.not_taken(
                "/spec",
                "how a data source is reached: an address in a file of objectives never reaches the network here",
                "add `[sources.NAME]` to clearway.toml, under the name of the DataSource",
            ),
            "Service" => spot.not_taken(
                "",
                "a Service: services are in the catalog",
                "add `services/NAME.yaml` to the governance",
            ),
            "AlertPolicy" | "AlertCondition" | "AlertNotificationTarget" => {
                spot.not_taken("", "alerts: a verdict moves a rollout and pages nobody but for it", "");
            }
            "" => spot.problem("", "`kind` is missing", "it can be `SLO`, `SLI`, `DataSource` or `Service`"),
            other => spot.not_taken("/kind", format!("a document of the kind `{other}`, which is not known here"), ""),
        }
    }

    fn name(&mut self, document: &Document) -> Option<String> {
        let mut spot = Spot { document, said: &mut self.said };
        let version = spot.text("/apiVersion").unwrap_or_default();
        if !["openslo/v1", "openslo/v1beta1", "openslo/v1alpha"].contains(&version.as_str()) {
            spot.problem("/apiVersion", format!("`{version}` is not read"), "write it as `openslo/v1`");
            return None;
        }
        let Some(name) = name(document) else {
            spot.problem("/metadata", "`metadata.name` is missing", "name it, so that a change file can refer to it");
            return None;
        };
        let ours = name_of(name);
        if ours != name {
            spot.assumed("/metadata/name", format!("the name `{name}` is written `{ours}`"), "");
        }
        Some(ours)
    }

    fn say_what_a_verdict_has_not(&mut self, document: &Document) {
        let mut spot = Spot { document, said: &mut self.said };
        for window in ["/spec/timeWindow", "/spec/timeWindows"] {
            let text = |below: &str| spot.text(&format!("{window}/0/{below}"));
            let length = text("duration").or_else(|| Some(format!("{} {}", text("count")?, text("unit")?)));
            if let Some(length) = length {
                let note = format!(
                    "the window of {length}: a budget is kept over weeks, a verdict is about the evidence of this rollout; the share that the objective promises is judged as it is"
                );
                spot.not_taken(window, note, "");
            }
        }
        if let Some(method) = spot.text("/spec/budgetingMethod").filter(|m| m != "Occurrences") {
            let note = format!(
                "`{method}` counts good slices of time; here every request counts, so that a busy minute weighs more than a quiet one"
            );
            spot.differs("/spec/budgetingMethod", note, "");
        }
        if spot.count("/spec/alertPolicies") > 0 {
            spot.not_taken("/spec/alertPolicies", "alerts: a verdict moves a rollout and pages nobody but for it", "");
        }
    }

    fn promises(&mut self, document: &Document, slo: &str) -> Vec<Promise> {
        let mut spot = Spot { document, said: &mut self.said };
        let count = spot.count("/spec/objectives");
        if count == 0 {
            spot.problem("/spec", "`objectives` is missing", "add for example `objectives: [{target: 0.99}]`");
        }
        let mut found: Vec<Promise> = Vec::new();
        for i in 0..count {
            let pointer = format!("/spec/objectives/{i}");
            let percent = spot.number(&format!("{pointer}/targetPercent")).map(|p| p / 100.0);
            let target = spot.number(&format!("{pointer}/target")).or(percent);
            if target.is_none_or(|t| !(t > 0.0 && t < 1.0)) {
                let help = "write for example `target: 0.995`";
                spot.problem(&pointer, "an objective needs a `target` above 0 and below 1", help);
            }
            let bound = self::bound(&mut spot, &pointer);
            let of = spot.text(&format!("{pointer}/displayName")).map_or_else(|| (i + 1).to_string(), |n| name_of(&n));
            let name = if i == 0 { slo.to_owned() } else { name_of(&format!("{slo}.{of}")) };
            let name = if found.iter().any(|p| p.name == name) { name_of(&format!("{slo}.{}", i + 1)) } else { name };
            found.push(Promise { name, target, bound, pointer });
        }
        found
    }

    fn indicator(&mut self, document: &'a Document) -> Option<Indicator<'a>> {
        let mut spot = Spot { document, said: &mut self.said };
        let inline = ["/spec/indicator/spec", "/spec/indicator"];
        let inline = inline.into_iter().find(|p| {
            ["thresholdMetric", "ratioMetric"].iter().any(|kind| spot.value(&format!("{p}/{kind}")).is_some())
        });
        // As v1alpha has it, each objective may have a ratio of its own; the first is the indicator.
        let inline = inline.or_else(|| spot.value("/spec/objectives/0/ratioMetrics").map(|_| "/spec/objectives/0"));
        match (inline, spot.text("/spec/indicatorRef")) {
            (Some(pointer), None) => Some(Indicator { document, pointer: pointer.into(), is_here: true }),
            (None, Some(wanted)) => {
                let is_it = |d: &&Document| kind(d) == "SLI" && name(d) == Some(wanted.as_str());
                let here = self.documents.iter().find(is_it);
                let found = here.or_else(|| self.around.iter().copied().find(is_it));
                match found {
                    Some(found) => {
                        self.referred.insert(name_of(&wanted));
                        Some(Indicator { document: found, pointer: "/spec".into(), is_here: here.is_some() })
                    }
                    None => {
                        let known = self.around.iter().filter(|d| kind(d) == "SLI").filter_map(|d| name(d));
                        let help = change::document::nearest(&wanted, known).map_or_else(
                            || "put the SLI into this file, or into one beside it".to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        );
                        spot.problem("/spec/indicatorRef", format!("there is no SLI `{wanted}`"), &help);
                        None
                    }
                }
            }
            (Some(_), Some(_)) => {
                spot.problem("/spec", "it has both `indicator` and `indicatorRef`", "keep one of them");
                None
            }
            (None, None) => {
                spot.problem("/spec", "it has neither `indicator` nor `indicatorRef`", "add one of them");
                None
            }
        }
    }

    fn measure(&mut self, indicator: &Indicator<'a>, name: &str, promises: &[Promise]) {
        // What is wrong with an SLI of another file is said when that file is read.
        let mut elsewhere = Sayings::default();
        let said = if indicator.is_here { &mut self.said } else { &mut elsewhere };
        let spot = Spot { document: indicator.document, said };
        let mut measure = Measure { spot, around: self.around, given: self.given, name };
        let pointer = &indicator.pointer;
        let has =
            |kind: &str| indicator.document.value().pointer(&format!("{pointer}/{kind}")).is_some_and(|v| !v.is_null());
        match (has("ratioMetric") || has("ratioMetrics"), has("thresholdMetric")) {
            (true, false) => {
                let kind = if has("ratioMetric") { "ratioMetric" } else { "ratioMetrics" };
                let target = strictest(promises);
                let sli = measure.ratio(&format!("{pointer}/{kind}"), target);
                self.slis.extend(sli);
                self.say_strictest(indicator, promises, target);
            }
            (false, true) => {
                let pointer = format!("{pointer}/thresholdMetric");
                let unbound = Promise { name: name.to_owned(), target: None, bound: None, pointer: String::new() };
                let promises = if promises.is_empty() { std::slice::from_ref(&unbound) } else { promises };
                let found: Vec<Sli> = promises.iter().filter_map(|p| measure.threshold(&pointer, p)).collect();
                self.slis.extend(found);
            }
            (true, true) => {
                measure.spot.problem(pointer, "it has both `ratioMetric` and `thresholdMetric`", "keep one of them");
            }
            (false, false) => {
                measure.spot.problem(pointer, "it has neither `ratioMetric` nor `thresholdMetric`", "add one of them");
            }
        }
    }

    fn say_strictest(&mut self, indicator: &Indicator<'a>, promises: &[Promise], target: Option<f64>) {
        let looser = promises.iter().find(|p| p.target != target);
        if let (Some(looser), Some(target)) = (looser, target) {
            // The promises stand in the SLO, which is the document itself or refers to it.
            let slo = self
                .documents
                .iter()
                .find(|d| kind(d) == "SLO" && promises.first().is_some_and(|p| named(d) == p.name));
            let document = slo.unwrap_or(indicator.document);
            let mut spot = Spot { document, said: &mut self.said };
            let note = format!("an SLI has one objective: the strictest, {} %", sli::shortest(target * 100.0));
            spot.not_taken(&looser.pointer, note, "write a second SLI with the other `objective`");
        }
    }
}

fn strictest(promises: &[Promise]) -> Option<f64> {
    promises.iter().filter_map(|p| p.target).max_by(f64::total_cmp)
}

fn bound(spot: &mut Spot<'_>, pointer: &str) -> Option<Bound> {
    let value = spot.number(&format!("{pointer}/value"));
    let operator = spot.text(&format!("{pointer}/op"));
    match (operator.as_deref(), value) {
        (None, _) => None,
        (Some("lt" | "lte"), Some(value)) => Some(Bound::AtMost(value)),
        (Some("gt" | "gte"), Some(value)) => Some(Bound::AtLeast(value)),
        (Some("lt" | "lte" | "gt" | "gte"), None) => {
            spot.problem(pointer, "an objective with `op` needs a `value`", "add for example `value: 0.3`");
            None
        }
        (Some(other), _) => {
            spot.problem(
                &format!("{pointer}/op"),
                format!("`{other}` is not known here"),
                "it can be `lt`, `lte`, `gt` or `gte`",
            );
            None
        }
    }
}

struct Measure<'a, 'b> {
    spot: Spot<'b>,
    around: &'a [&'a Document],
    given: &'a Given,
    name: &'a str,
}

/// A query and the source that answers it.
struct Asked {
    query: String,
    source: String,
    pointer: String,
}

/// Sources that answer PromQL.
const SPEAK_PROMQL: [&str; 7] = ["prometheus", "promql", "thanos", "mimir", "cortex", "victoriametrics", "amp"];

impl Measure<'_, '_> {
    fn asked(&mut self, pointer: &str) -> Option<Asked> {
        let text = |below: &str| self.spot.text(&format!("{pointer}/{below}"));
        let reference = text("metricSource/metricSourceRef").or_else(|| text("source"));
        let of_reference = reference.as_ref().and_then(|wanted| {
            let source = self.around.iter().find(|d| kind(d) == "DataSource" && name(d) == Some(wanted))?;
            source.value().pointer("/spec/type").and_then(Value::as_str).map(str::to_owned)
        });
        let asks = text("metricSource/type").or_else(|| text("queryType")).or(of_reference);
        let places = ["metricSource/spec/query", "metricSource/spec/promql", "metricSource/spec/expr", "query"];
        let found = places.into_iter().find_map(|below| Some((text(below)?, format!("{pointer}/{below}"))));
        if let Some(other) = asks.filter(|t| !SPEAK_PROMQL.contains(&t.to_ascii_lowercase().as_str())) {
            let note = format!("`{}` asks a source of the type `{other}`, whose language is not read here", self.name);
            self.spot.not_taken(pointer, note, "write the SLI by hand, over a source that clearway.toml can name");
            return None;
        }
        let Some((query, pointer)) = found else {
            self.spot.problem(
                pointer,
                "there is no query",
                "add `metricSource: {type: Prometheus, spec: {query: ...}}`",
            );
            return None;
        };
        let source = self.given.source.clone().or(reference.map(|r| name_of(&r))).unwrap_or_else(|| {
            self.spot.assumed(&pointer, "the source is called `prometheus`", "name it as clearway.toml does");
            "prometheus".into()
        });
        Some(Asked { query, source, pointer })
    }

    fn ratio(&mut self, pointer: &str, target: Option<f64>) -> Option<Sli> {
        let has = |below: &str| self.spot.value(&format!("{pointer}/{below}")).is_some();
        match (has("good"), has("bad"), has("total"), has("raw")) {
            (false, false, false, true) => self.raw(pointer, target),
            (true, false, true, false) => self.parts(pointer, "good", target),
            (false, true, true, false) => self.parts(pointer, "bad", target),
            _ => {
                let help = "a ratio has `good` and `total`, `bad` and `total`, or `raw` and `rawType`";
                self.spot.problem(pointer, "its parts do not make a ratio", help);
                None
            }
        }
    }

    fn parts(&mut self, pointer: &str, which: &str, target: Option<f64>) -> Option<Sli> {
        let part = self.asked(&format!("{pointer}/{which}"))?;
        let total = self.asked(&format!("{pointer}/total"))?;
        if part.source != total.source {
            let note =
                format!("the parts of `{}` come from two sources, `{}` and `{}`", self.name, part.source, total.source);
            self.spot.not_taken(pointer, note, "let one source answer both");
            return None;
        }
        let is_level = self.spot.value(&format!("{pointer}/counter")).is_some_and(|c| c == &Value::Bool(false));
        let windows = |query: &str| super::promql::read(query).is_ok_and(|e| e.looks_back());
        if is_level && !windows(&part.query) && !windows(&total.query) {
            return self.levels(&part, &total, which, target);
        }
        let of = sli::counter(&mut self.spot, &part.query, &part.pointer, self.name)?;
        let per = sli::counter(&mut self.spot, &total.query, &total.pointer, self.name)?;
        let text = |selector: &Selector| Query::Both(selector.of_version().to_string());
        let (good, bad) = if which == "good" { (Some(text(&of)), None) } else { (None, Some(text(&of))) };
        let ratio = Some(Ratio { bad, good, total: text(&per) });
        let objective = target.and_then(sli::objective);
        Some(Sli { ratio, objective, ..sli::blank(self.name.to_owned(), part.source) })
    }

    /// `counter: false`: the numbers go up and down, so that only their quotient means something.
    fn levels(&mut self, part: &Asked, total: &Asked, which: &str, target: Option<f64>) -> Option<Sli> {
        let note = format!(
            "`counter: false`: the parts of `{}` are levels, so that no events can be counted; their quotient is judged as a gauge",
            self.name
        );
        self.spot.differs(&part.pointer, note, "name the counters below them, with `counter: true`");
        let query = format!("({}) / ({})", part.query.trim(), total.query.trim());
        let raw = if which == "good" { "success" } else { "failure" };
        self.level(&Asked { query, source: part.source.clone(), pointer: part.pointer.clone() }, raw, target)
    }

    fn raw(&mut self, pointer: &str, target: Option<f64>) -> Option<Sli> {
        let asked = self.asked(&format!("{pointer}/raw"))?;
        let kind = self.spot.text(&format!("{pointer}/rawType")).unwrap_or_default();
        if kind != "success" && kind != "failure" {
            self.spot.problem(pointer, "`raw` needs a `rawType`", "it can be `success` or `failure`");
            return None;
        }
        self.level(&asked, &kind, target)
    }

    fn level(&mut self, asked: &Asked, raw: &str, target: Option<f64>) -> Option<Sli> {
        let is_success = raw == "success";
        let bound = target.map(|t| if is_success { Bound::AtLeast(t) } else { Bound::AtMost(1.0 - t) });
        let worse = if is_success { Worse::Down } else { Worse::Up };
        let bounds: Vec<Bound> = bound.into_iter().collect();
        self.of_query(asked, self.name.to_owned(), &bounds, Some(worse))
    }

    fn threshold(&mut self, pointer: &str, promise: &Promise) -> Option<Sli> {
        let asked = self.asked(pointer)?;
        let bounds: Vec<Bound> = promise.bound.into_iter().collect();
        let sli = self.of_query(&asked, promise.name.clone(), &bounds, None)?;
        if let Some(target) = promise.target {
            let share = sli::shortest(target * 100.0);
            let note = format!(
                "the target says that the value keeps its bound in {share} % of the readings; here the bound itself is judged, over all that a step has seen"
            );
            self.spot.differs(pointer, note, "");
        }
        if promise.target.is_some() && bounds.is_empty() {
            self.spot.problem(
                pointer,
                format!("the objective `{}` needs `op` and `value`", promise.name),
                "add for example `op: lte` and `value: 0.3`",
            );
        }
        Some(sli)
    }

    fn of_query(&mut self, asked: &Asked, name: String, bounds: &[Bound], worse: Option<Worse>) -> Option<Sli> {
        let (source, pointer) = (asked.source.clone(), asked.pointer.as_str());
        let wanted = Wanted { name, source, pointer, bounds, worse, bare: Bare::Levels, against: Against::Step };
        let sli = sli::of_query(&mut self.spot, &asked.query, &wanted)?;
        if sli.rate.as_ref().is_some_and(|r| r.per.is_none() && r.limit.is_none()) {
            let note = format!(
                "`{}` is a speed with nothing that it is divided by: only versions with the same share of the traffic can be compared by it",
                sli.name
            );
            self.spot.differs(pointer, note, sli::PER);
        }
        Some(sli)
    }
}
