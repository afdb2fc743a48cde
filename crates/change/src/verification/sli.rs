//! SLIs: what is counted or measured, where, and what is promised.
//!
//! Values as authors write them, with what is wrong with them; nothing is read and nothing is judged here. Next room: [`percent`](super::percent).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Margin, Objective};
use crate::rollout::PartProblem;
use crate::time::Span;

/// An SLI by name or written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SliRef {
    Name(String),
    Inline(Box<Sli>),
}

/// A service level indicator: what is counted or measured, where, and what is promised. One of `ratio`, `latency`, `gauge` and `rate` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sli {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"), example = "checkout-availability")]
    pub name: String,
    /// The telemetry source, as clearway.toml names it.
    #[schemars(length(min = 1, max = 100))]
    pub source: String,
    /// Bad events out of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// A latency histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// A value that goes up and down, such as memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gauge: Option<Gauge>,
    /// The speed of a counter, such as CPU seconds per request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The share of good events that is promised; a step of 100 % is judged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// What it is held against; what each step says by default.
    #[serde(default, skip_serializing_if = "Against::is_step")]
    pub against: Against,
    /// How much worse than the baseline is tolerated: more is evidence of harm. By default 10 % in odds for a ratio, 5 % in time for latency, 10 % for a
    /// gauge or a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Margin>,
    /// How much worse must be ruled out before a step passes. By default 50 % for a ratio, 20 % for latency, 25 % for a gauge or a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Margin>,
    /// For a ratio: a bad share below this is harmless whatever the baseline does; 0.5 % by default, or what the objective allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Margin>,
    /// Its part of the false-rollback budget, beside the weights of the others; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1000))]
    pub weight: Option<f64>,
}

/// What an SLI is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// What the step says.
    #[default]
    Step,
    /// Its objective, in every step.
    Objective,
    /// What the step says, and its objective beside it: both have to pass.
    Both,
}

impl Against {
    fn is_step(&self) -> bool {
        *self == Self::Step
    }
}

/// A query of a telemetry source. `$cohort` stands for the version that is read, `$canary` and `$baseline` for the two versions, `$window` for the time
/// between two looks (such as `10s`), `$labels` for the labels of the version that is read (such as `version="v2"`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Query {
    /// One query for both versions.
    Both(String),
    /// A query for each.
    Each { canary: String, baseline: String },
}

impl Query {
    /// The query of the version that runs today, without the label matchers that name a version.
    fn of_all_versions(&self) -> Option<Self> {
        let (Self::Both(text) | Self::Each { baseline: text, .. }) = self;
        let without = without_versions(text);
        let names_one = ["$cohort", "$canary", "$baseline", "$labels"].iter().any(|name| without.contains(name));
        (!names_one).then_some(Self::Both(without))
    }

    /// The texts, with where each stands below the query.
    pub fn texts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Both(text) => vec![("", text)],
            Self::Each { canary, baseline } => vec![("/canary", canary), ("/baseline", baseline)],
        }
    }

    /// Whether the two versions can be told apart.
    fn tells_versions_apart(&self) -> bool {
        match self {
            Self::Both(text) => ["cohort", "labels"].into_iter().any(|name| crate::query::uses(text, name)),
            Self::Each { canary, baseline } => canary != baseline,
        }
    }
}

impl From<&str> for Query {
    fn from(text: &str) -> Self {
        Self::Both(text.to_owned())
    }
}

/// A query without its matchers of a version, such as `version="$cohort"`, and without `$labels`.
fn without_versions(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let Some((inside, after)) = rest.split_once('}') else { return text.to_owned() };
    let names_version =
        |matcher: &str| ["$cohort", "$canary", "$baseline", "$labels"].iter().any(|name| matcher.contains(name));
    let kept: Vec<&str> =
        matchers(inside).into_iter().map(str::trim).filter(|m| !m.is_empty() && !names_version(m)).collect();
    let labels = if kept.is_empty() { String::new() } else { format!("{{{}}}", kept.join(",")) };
    format!("{before}{labels}{}", without_versions(after))
}

/// Label matchers between braces: commas within quotes separate nothing.
fn matchers(inside: &str) -> Vec<&str> {
    let (mut found, mut start, mut quoted, mut escaped) = (vec![], 0, false, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                found.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inside[start..]);
    found
}

/// Two counters: of all events, and of the bad or the good ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The counter of bad events, such as `http_requests_total{version="$cohort",code=~"5.."}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<Query>,
    /// The counter of good events, in place of `bad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Query>,
    /// The counter of all events.
    pub total: Query,
}

/// A histogram of durations in seconds, classic or native.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The histogram without `_bucket`, such as `http_request_duration_seconds{version="$cohort"}`.
    pub histogram: Query,
    /// Requests faster than this are good, for the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
}

/// A value that goes up and down. It is above zero: what is judged is the factor between the versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    /// The value, such as `process_resident_memory_bytes{version="$cohort"}`; several series are averaged.
    pub value: Query,
    /// Which way is harm; up by default.
    #[serde(default)]
    pub worse: Worse,
    /// The value it may reach: a step that is compared with the objective is judged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// The speed of a counter: per second, or per event of another counter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The counter, such as `process_cpu_seconds_total{version="$cohort"}`.
    pub of: Query,
    /// The counter it is divided by; versions with different shares of the traffic need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Query>,
    /// Which way is harm; up by default.
    #[serde(default)]
    pub worse: Worse,
    /// The rate it may reach: a step that is compared with the objective is judged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// Which way a value has to move to be harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    #[default]
    Up,
    Down,
}

impl Sli {
    /// What is wrong with it, where these sources exist.
    pub fn problems(&self, sources: &[String]) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        if !sources.contains(&self.source) {
            let near = crate::document::nearest(&self.source, sources.iter().map(String::as_str))
                .map(|n| format!("did you mean `{n}`? "));
            let known = crate::document::list(sources.iter().map(String::as_str));
            let help = format!("{}the sources in clearway.toml: {known}", near.unwrap_or_default());
            found.push(("/source".into(), format!("there is no telemetry source `{}`", self.source), Some(help)));
        }
        match (&self.ratio, &self.latency, &self.gauge, &self.rate) {
            (Some(_), None, None, None)
            | (None, Some(_), None, None)
            | (None, None, Some(_), None)
            | (None, None, None, Some(_)) => {}
            _ => found.push((
                String::new(),
                format!("the SLI `{}` needs one of `ratio`, `latency`, `gauge` and `rate`", self.name),
                None,
            )),
        }
        if let Some(ratio) = self.ratio.as_ref().filter(|r| r.bad.is_some() == r.good.is_some()) {
            let what = if ratio.bad.is_some() { "has both `bad` and `good`" } else { "has neither `bad` nor `good`" };
            found.push(("/ratio".into(), format!("the SLI `{}` {what}", self.name), Some("give one of them".into())));
        }
        for (pointer, query) in self.queries() {
            for (at, text) in query.texts() {
                let unknown = crate::query::problems(text).into_iter();
                found.extend(unknown.map(|(message, help)| (format!("{pointer}{at}"), message, Some(help))));
            }
        }
        if self.objective.is_some() && self.latency.as_ref().is_some_and(|l| l.below.is_none()) {
            found.push((
                "/latency".into(),
                "an objective on latency needs `below`".into(),
                Some("add for example `below: 300ms`".into()),
            ));
        }
        let measured = self.gauge.is_some() || self.rate.is_some();
        if self.objective.is_some() && measured {
            let help = "a gauge or a rate promises a `limit`".to_owned();
            found.push(("/objective".into(), format!("`{}` counts no good events", self.name), Some(help)));
        }
        if self.against != Against::Step && !self.has_objective() {
            let help = "add for example `objective: 99.5%`, or for a gauge or a rate a `limit`".to_owned();
            found.push(("/against".into(), format!("`{}` has no objective to be held against", self.name), Some(help)));
        }
        for (pointer, limit) in [
            ("/gauge/limit", self.gauge.as_ref().and_then(|g| g.limit)),
            ("/rate/limit", self.rate.as_ref().and_then(|r| r.limit)),
        ] {
            if limit.is_some_and(|l| !(l > 0.0 && l.is_finite())) {
                found.push((pointer.into(), "a limit is a number above 0".into(), None));
            }
        }
        if let (Some(harm), Some(safe)) = (self.harm, self.safe)
            && harm >= safe
        {
            let help = Some("what must be ruled out is more than what is tolerated".to_owned());
            found.push(("/safe".into(), format!("`safe: {safe}` is not above `harm: {harm}`"), help));
        }
        found
    }

    /// The queries that read the same of both versions: wrong, unless their source is asked for each version in another way.
    pub fn undivided(&self) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        for (pointer, query) in self.queries().into_iter().filter(|(_, q)| !q.tells_versions_apart()) {
            let (at, text) = query.texts()[0];
            let help = "put `$cohort` where the label of the version belongs, as in `version=\"$cohort\"`".to_owned();
            found.push((format!("{pointer}{at}"), format!("`{text}` does not tell the versions apart"), Some(help)));
        }
        found
    }

    /// Its queries, each with where it stands.
    pub fn queries(&self) -> Vec<(&'static str, &Query)> {
        let ratio = self.ratio.iter().flat_map(|r| {
            [("/ratio/bad", r.bad.as_ref()), ("/ratio/good", r.good.as_ref()), ("/ratio/total", Some(&r.total))]
        });
        let latency = self.latency.iter().map(|l| ("/latency/histogram", Some(&l.histogram)));
        let gauge = self.gauge.iter().map(|g| ("/gauge/value", Some(&g.value)));
        let rate = self.rate.iter().flat_map(|r| [("/rate/of", Some(&r.of)), ("/rate/per", r.per.as_ref())]);
        let all = ratio.chain(latency).chain(gauge).chain(rate);
        all.filter_map(|(pointer, query)| query.map(|q| (pointer, q))).collect()
    }

    /// The same for all versions of a service together: without the label matchers that tell them apart. Nothing where a query can't do without.
    pub fn of_all_versions(&self) -> Option<Self> {
        let mut sli = self.clone();
        let ratio = sli.ratio.iter_mut().flat_map(|r| [r.bad.as_mut(), r.good.as_mut(), Some(&mut r.total)]);
        let latency = sli.latency.iter_mut().map(|l| Some(&mut l.histogram));
        let gauge = sli.gauge.iter_mut().map(|g| Some(&mut g.value));
        let rate = sli.rate.iter_mut().flat_map(|r| [Some(&mut r.of), r.per.as_mut()]);
        for query in ratio.chain(latency).chain(gauge).chain(rate).flatten() {
            *query = query.of_all_versions()?;
        }
        Some(sli)
    }

    /// Whether it can be judged without a version beside it.
    pub fn has_objective(&self) -> bool {
        let limit = self.gauge.as_ref().and_then(|g| g.limit).or(self.rate.as_ref().and_then(|r| r.limit));
        self.objective.is_some() || limit.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_all_versions_has_no_matcher_of_a_version() {
        let of = |text: &str| Query::from(text).of_all_versions();
        let kept = |text: &str| Some(Query::from(text));
        assert_eq!(of("x_total{version=\"$cohort\"}"), kept("x_total"));
        assert_eq!(of("x{version=\"$cohort\",code=~\"5..,6\"}"), kept("x{code=~\"5..,6\"}"));
        assert_eq!(
            of("sum(x{$labels, job=\"a\"}) / sum(y{job=\"a\",v=~\"$cohort\"})"),
            kept("sum(x{job=\"a\"}) / sum(y{job=\"a\"})")
        );
        assert_eq!(of("x_$cohort"), None, "the version is in the name");
    }
}
