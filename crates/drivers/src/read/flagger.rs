//! Flagger: the `analysis` of a `Canary`, with the `MetricTemplate`s beside it (docs.flagger.app).
//!
//! Metrics with a `thresholdRange` become SLIs with objectives, and the weights a plan. Flagger runs the old version as `NAME-primary` beside the
//! new one as `NAME`; its queries name the new one only, and here the same query is asked of both.

use change::document::{Document, Problem};
use change::rollout::{StepFile, Weight};
use change::time::Span;
use change::verification::{Against, Query, Sli};
use serde_json::Value;

use super::argo::{finish, weight_of};
use super::imported::{Format, Given, Imported, JudgeFile, Sayings, Spot, name_of, words};
use super::placeholder::fill;
use super::promql::Bare;
use super::sli::{self, Bound, Wanted};

/// Whether a document is one of Flagger.
pub(crate) fn is_one(document: &Document) -> bool {
    let text = |name: &str| document.value().get(name).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").starts_with("flagger.app/") && ["Canary", "MetricTemplate"].contains(&text("kind"))
}

pub(crate) fn take(documents: &[&Document], given: &Given) -> Result<Imported, Vec<Problem>> {
    let mut said = Sayings::default();
    let mut slis = Vec::new();
    let mut judge = JudgeFile::default();
    let mut steps = Vec::new();
    let canaries: Vec<&Document> = documents.iter().copied().filter(|d| kind(d) == "Canary").collect();
    if canaries.is_empty()
        && let Some(document) = documents.first()
    {
        let mut spot = Spot { document, said: &mut said };
        spot.problem(
            "",
            "there is a MetricTemplate and no Canary that uses it",
            "put the Canary into the same file: it holds the thresholds",
        );
    }
    for document in canaries {
        let templates: Vec<&Document> = documents.iter().copied().filter(|d| kind(d) == "MetricTemplate").collect();
        let mut canary = Canary { spot: Spot { document, said: &mut said }, given, templates };
        let mut found = canary.metrics();
        sli::divide_speeds(&mut canary.spot, "/spec", &mut found);
        slis.extend(found);
        steps = canary.steps();
        judge = canary.judge();
        canary.rest();
    }
    said.finish(Imported { format: Format::Flagger, slis, judge, steps, notes: vec![] })
}

fn kind(document: &Document) -> &str {
    document.value().get("kind").and_then(Value::as_str).unwrap_or_default()
}

struct Canary<'a> {
    spot: Spot<'a>,
    given: &'a Given,
    templates: Vec<&'a Document>,
}

/// The queries of the two metrics that Flagger brings along, for one mesh: a share of good requests, and a quantile with what it counts in.
struct Builtin {
    provider: &'static str,
    success: &'static str,
    duration: &'static str,
}

/// In the labels that each mesh or ingress gives to its metrics. `{{ target }}` is the version.
const BUILTINS: [Builtin; 3] = [
    Builtin {
        provider: "istio",
        success: "sum(rate(istio_requests_total{reporter=\"destination\",destination_workload_namespace=\"{{ namespace }}\",destination_workload=\"{{ target }}\",response_code!~\"5..\"}[1m])) / sum(rate(istio_requests_total{reporter=\"destination\",destination_workload_namespace=\"{{ namespace }}\",destination_workload=\"{{ target }}\"}[1m])) * 100",
        duration: "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter=\"destination\",destination_workload_namespace=\"{{ namespace }}\",destination_workload=\"{{ target }}\"}[1m])) by (le))",
    },
    Builtin {
        provider: "linkerd",
        success: "sum(rate(response_total{namespace=\"{{ namespace }}\",deployment=\"{{ target }}\",direction=\"inbound\",classification!=\"failure\"}[1m])) / sum(rate(response_total{namespace=\"{{ namespace }}\",deployment=\"{{ target }}\",direction=\"inbound\"}[1m])) * 100",
        duration: "histogram_quantile(0.99, sum(rate(response_latency_ms_bucket{namespace=\"{{ namespace }}\",deployment=\"{{ target }}\",direction=\"inbound\"}[1m])) by (le))",
    },
    Builtin {
        provider: "kubernetes",
        success: "sum(rate(http_request_duration_seconds_count{kubernetes_namespace=\"{{ namespace }}\",kubernetes_pod_name=~\"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)\",status!~\"5..\"}[1m])) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace=\"{{ namespace }}\",kubernetes_pod_name=~\"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)\"}[1m])) * 100",
        duration: "histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace=\"{{ namespace }}\",kubernetes_pod_name=~\"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)\"}[1m])) by (le)) * 1000",
    },
];

/// Stands for the workload of the version until each version has its query. No name of a workload holds it.
const TARGET: &str = "$cohort";

impl Canary<'_> {
    fn base(&self) -> &'static str {
        // Older files say `canaryAnalysis`.
        if self.spot.value("/spec/analysis").is_some() { "/spec/analysis" } else { "/spec/canaryAnalysis" }
    }

    fn metrics(&mut self) -> Vec<Sli> {
        let base = self.base();
        if self.spot.value(base).is_none() {
            self.spot.problem("/spec", "`analysis` is missing", "a Canary without an analysis judges nothing");
        }
        (0..self.spot.count(&format!("{base}/metrics")))
            .filter_map(|i| self.metric(&format!("{base}/metrics/{i}")))
            .collect()
    }

    fn metric(&mut self, pointer: &str) -> Option<Sli> {
        let Some(given_name) = self.spot.text(&format!("{pointer}/name")) else {
            self.spot.problem(pointer, "`name` is missing", "name the metric");
            return None;
        };
        let name = name_of(&given_name);
        if name != given_name {
            self.spot.assumed(&format!("{pointer}/name"), format!("the name `{given_name}` is written `{name}`"), "");
        }
        let query = self.query(pointer, &given_name)?;
        let bounds = self.bounds(pointer, &given_name);
        let source = self.spot.source(self.given, pointer);
        let wanted =
            Wanted { name, source, pointer, bounds: &bounds, worse: None, bare: Bare::Levels, against: Against::Both };
        let mut sli = sli::of_query(&mut self.spot, &query, &wanted)?;
        if query.contains(TARGET) {
            self.ask_both(&mut sli, pointer);
        }
        if sli.against == Against::Both {
            let note = "a threshold is held against what one check shows, noise and all, and the old version is not looked at; here it is an objective judged by evidence over all looks, and beside it the new version is compared with the old one";
            self.spot.differs(
                &format!("{pointer}/thresholdRange"),
                note,
                "write `against: objective` to judge by the threshold alone",
            );
        }
        if self.spot.value(&format!("{pointer}/interval")).is_some() {
            let note = "the window of a metric's query: what happened between two looks is counted here";
            self.spot.differs(&format!("{pointer}/interval"), note, "");
        }
        Some(sli)
    }

    fn query(&mut self, pointer: &str, name: &str) -> Option<String> {
        if let Some(template) = self.spot.text(&format!("{pointer}/templateRef/name")) {
            return self.of_template(pointer, &template);
        }
        if let Some(query) = self.spot.text(&format!("{pointer}/query")) {
            return Some(self.filled(&query, pointer));
        }
        if name != "request-success-rate" && name != "request-duration" {
            let help = "put the MetricTemplate into the same file and refer to it by `templateRef`";
            self.spot.not_taken(
                pointer,
                format!("`{name}` is no metric that Flagger brings along, and has no `templateRef`"),
                help,
            );
            return None;
        }
        let provider = self.spot.text("/spec/provider").unwrap_or_else(|| {
            self.spot.assumed(
                pointer,
                "the mesh is Istio, as the Canary names no `provider`",
                "add `provider` to the Canary",
            );
            "istio".into()
        });
        let Some(builtin) = BUILTINS.iter().find(|b| provider == b.provider) else {
            let note = format!("the query of `{name}` for the provider `{provider}`");
            self.spot.not_taken(pointer, note, "write the SLI by hand, over what your mesh counts");
            return None;
        };
        let query = if name == "request-duration" { builtin.duration } else { builtin.success };
        Some(self.filled(query, pointer))
    }

    fn of_template(&mut self, pointer: &str, wanted: &str) -> Option<String> {
        let namespace = self.spot.text(&format!("{pointer}/templateRef/namespace"));
        let text = |d: &Document, at: &str| d.value().pointer(at).and_then(words);
        let fits = |d: &&&Document| {
            let its = text(d, "/metadata/namespace");
            text(d, "/metadata/name").as_deref() == Some(wanted)
                && (its.is_none() || namespace.is_none() || its == namespace)
        };
        let Some(template) = self.templates.iter().find(fits).copied() else {
            let note = format!("the MetricTemplate `{wanted}` is not in this file");
            self.spot.not_taken(
                &format!("{pointer}/templateRef"),
                note,
                "put it into the same file, as a document of its own",
            );
            return None;
        };
        let kind = text(template, "/spec/provider/type").unwrap_or_default();
        if kind != "prometheus" {
            let note = format!("the MetricTemplate `{wanted}` asks `{kind}`, whose language is not read here");
            self.spot.not_taken(
                &format!("{pointer}/templateRef"),
                note,
                "write the SLI by hand, over a source that clearway.toml can name",
            );
            return None;
        }
        if let Some(query) = text(template, "/spec/query") {
            return Some(self.filled(&query, pointer));
        }
        let mut spot = Spot { document: template, said: self.spot.said };
        spot.problem("/spec", "`query` is missing", "a template without a query asks nothing");
        None
    }

    fn filled(&mut self, query: &str, pointer: &str) -> String {
        let name = self.spot.text("/metadata/name");
        let namespace = self.spot.text("/metadata/namespace");
        let service = self.spot.text("/spec/service/name").or_else(|| self.spot.text("/spec/targetRef/name"));
        let ingress = self.spot.text("/spec/ingressRef/name");
        let interval = self.spot.text(&format!("{pointer}/interval")).unwrap_or_else(|| "1m".into());
        let variables = self.spot.value(&format!("{pointer}/templateVariables")).cloned();
        let given = &self.given.values;
        let value = |wanted: &str| match wanted {
            "target" => Some(TARGET.to_owned()),
            "name" => name.clone(),
            "namespace" => given.get("namespace").cloned().or(namespace.clone()),
            "service" => service.clone(),
            "ingress" => ingress.clone(),
            "interval" => Some(interval.clone()),
            other => {
                let variable =
                    other.strip_prefix("variables.").and_then(|v| variables.as_ref()?.get(v)).and_then(words);
                variable.or_else(|| given.get(other).cloned())
            }
        };
        let (filled, missing) = fill(query, "{{", "}}", value);
        for name in missing {
            let help = format!("give it with `--set {name}=VALUE`, or write the value into the query");
            self.spot.assumed(
                pointer,
                format!("`{{{{ {name} }}}}` has no value in this file and stands as it is"),
                &help,
            );
        }
        filled
    }

    /// Each version by the name of its workload: what Flagger calls the target, and the same with `-primary`.
    fn ask_both(&mut self, sli: &mut Sli, pointer: &str) {
        let Some(target) = self.spot.text("/spec/targetRef/name") else {
            return self.spot.problem(
                "/spec",
                "`targetRef.name` is missing",
                "it names the workload of the new version",
            );
        };
        let each = |query: &mut Query| {
            if let Query::Both(text) = query {
                *query = Query::Each {
                    canary: text.replace(TARGET, &target),
                    baseline: text.replace(TARGET, &format!("{target}-primary")),
                };
            }
        };
        if let Some(ratio) = &mut sli.ratio {
            [ratio.bad.as_mut(), ratio.good.as_mut(), Some(&mut ratio.total)].into_iter().flatten().for_each(each);
        } else if let Some(latency) = &mut sli.latency {
            each(&mut latency.histogram);
        } else if let Some(gauge) = &mut sli.gauge {
            each(&mut gauge.value);
        } else if let Some(rate) = &mut sli.rate {
            [Some(&mut rate.of), rate.per.as_mut()].into_iter().flatten().for_each(each);
        }
        let note = format!(
            "the new version is the workload `{target}` and the old one `{target}-primary`, as Flagger leaves them"
        );
        self.spot.assumed(pointer, note, "put your label of the version in their place, as in `version=\"$cohort\"`");
    }

    fn bounds(&mut self, pointer: &str, name: &str) -> Vec<Bound> {
        let number = |at: &str| self.spot.number(&format!("{pointer}/{at}"));
        let (least, most) = (number("thresholdRange/min"), number("thresholdRange/max"));
        // Older files have one figure: the least share of success, or the most of anything else.
        let threshold = number("threshold");
        let (least, most) = match (threshold, name) {
            (Some(figure), "request-success-rate") => (least.or(Some(figure)), most),
            (Some(figure), _) => (least, most.or(Some(figure))),
            (None, _) => (least, most),
        };
        if least.is_none() && most.is_none() {
            self.spot.differs(
                pointer,
                format!("`{name}` has no threshold; here it is compared with the version it replaces"),
                "",
            );
        }
        least.map(Bound::AtLeast).into_iter().chain(most.map(Bound::AtMost)).collect()
    }

    fn interval(&mut self) -> Span {
        let at = format!("{}/interval", self.base());
        self.spot.span(&at).unwrap_or(Span::secs(60))
    }

    fn steps(&mut self) -> Vec<StepFile> {
        let base = self.base();
        let bake = self.interval();
        let number = |spot: &Spot<'_>, name: &str| spot.number(&format!("{base}/{name}"));
        let step = |weight: Weight, bake: Span| StepFile { weight, bake, deadline: None, comparison: None };
        let count = self.spot.count(&format!("{base}/stepWeights"));
        let listed: Vec<f64> =
            (0..count).filter_map(|i| self.spot.number(&format!("{base}/stepWeights/{i}"))).collect();
        let even = number(&self.spot, "stepWeight").filter(|w| *w > 0.0).map(|by| {
            let most = number(&self.spot, "maxWeight").unwrap_or(100.0).min(100.0);
            // A plan has at most 50 steps, the last of which takes all traffic.
            (1..=49).map(|i| by * f64::from(i)).take_while(|w| *w <= most + 1e-9).collect::<Vec<_>>()
        });
        let weights = if listed.is_empty() { even.unwrap_or_default() } else { listed };
        let mut steps: Vec<StepFile> = Vec::new();
        for weight in weights.into_iter().take(49) {
            match weight_of(weight) {
                Some(weight) if steps.last().is_none_or(|last| last.weight < weight) => steps.push(step(weight, bake)),
                _ => self.spot.not_taken(
                    base,
                    format!("the weight {}: weights rise, from above 0 to 100", sli::shortest(weight)),
                    "",
                ),
            }
        }
        finish(&mut steps);
        if !steps.is_empty() {
            let note = format!(
                "the weight rises every {bake} there if the checks did not fail; here {bake} is the least time of a step, which goes on when the evidence of its own traffic suffices. Many small steps each need that anew"
            );
            self.spot.differs(&format!("{base}/interval"), note, "write fewer steps, such as 5 %, 25 % and 100 %");
        }
        if let Some(iterations) = number(&self.spot, "iterations").filter(|i| (1.0..=1e6).contains(i)) {
            let bake = bake.times(iterations as u64);
            steps = vec![step(Weight::FULL, bake)];
            let is_chosen = self.spot.count(&format!("{base}/match")) > 0;
            let (note, help) = if is_chosen {
                (
                    "requests with certain headers or cookies to the new version for a number of checks: steps here are shares of the traffic, and the time of the checks is the least time of one step",
                    "write steps with weights",
                )
            } else {
                (
                    "a number of checks before all traffic moves at once (blue/green): the time that they take is the least time of one step",
                    "write `strategy: blue-green`",
                )
            };
            self.spot.differs(&format!("{base}/iterations"), note, help);
        }
        steps
    }

    fn judge(&mut self) -> JudgeFile {
        let base = self.base();
        let bake = self.interval();
        if self.spot.value(&format!("{base}/threshold")).is_some() {
            let note = "a number of failed checks before a rollback; here no single one decides: evidence adds up until one false rollback in 100 changes is the most that is risked";
            self.spot.differs(
                &format!("{base}/threshold"),
                note,
                "write `judge: {alpha: 0.001}` beside `slis:`, where `clearway judge` reads it, to risk less",
            );
        }
        JudgeFile { bake: Some(bake), ..JudgeFile::default() }
    }

    /// What is no metric and no weight.
    fn rest(&mut self) {
        let base = self.base();
        let webhooks = format!("{base}/webhooks");
        for i in 0..self.spot.count(&webhooks) {
            let at = format!("{webhooks}/{i}");
            let kind = self.spot.text(&format!("{at}/type")).unwrap_or_else(|| "rollout".into());
            let name = self.spot.text(&format!("{at}/name")).unwrap_or_default();
            let looks_like_load = name.contains("load")
                || self.spot.text(&format!("{at}/metadata/cmd")).is_some_and(|c| c.starts_with("hey "));
            let (note, help) = match kind.as_str() {
                "rollout" if looks_like_load => {
                    ("a webhook that makes load", "run the load beside the rollout; a step without traffic holds")
                }
                "rollout" | "pre-rollout" => (
                    "a webhook that tests the new version",
                    "test it by `verify: {commands: [{run: ...}]}` in the change file: it runs at every look, and exit code 0 is good",
                ),
                "confirm-rollout" | "confirm-promotion" | "confirm-traffic-increase" => {
                    ("a webhook that asks whether it may go on", "ask for approvals in approvals.yaml")
                }
                "rollback" => ("a webhook that demands a rollback", "call `clearway rollback CHG-7 --reason ...`"),
                _ => ("a webhook that is told what happens", "add `[notify] webhook = ...` to clearway.toml"),
            };
            self.spot.not_taken(&at, format!("{note} (`{name}`)"), help);
        }
        if self.spot.count(&format!("{base}/alerts")) > 0 {
            self.spot.not_taken(&format!("{base}/alerts"), "alerts", "add `[notify] webhook = ...` to clearway.toml");
        }
        for (field, note) in [
            ("mirror", "a copy of the traffic to the new version, whose answers nobody gets"),
            ("sessionAffinity", "visitors who stay with their version; that is the router's"),
            ("stepWeightPromotion", "steps in which the old workload is replaced"),
        ] {
            if self.spot.value(&format!("{base}/{field}")).is_some_and(|v| v != &Value::Bool(false)) {
                self.spot.not_taken(&format!("{base}/{field}"), note, "");
            }
        }
        if self.spot.value("/spec/skipAnalysis") == Some(&Value::Bool(true)) {
            let note = "the analysis is skipped there; here nothing advances without evidence";
            self.spot.differs("/spec/skipAnalysis", note, "`clearway promote` goes on by hand, and is recorded");
        }
    }
}
