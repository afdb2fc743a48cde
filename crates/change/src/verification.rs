//! Verification: what does the evidence say?
//!
//! Holds what is looked at ([`Sli`]), under which rules ([`Verify`]), and the answer as it stands in the log ([`Judgement`]). The statistics are
//! elsewhere; this room only knows that there are four answers and that `pass` alone opens a step. Next room: [`decision`](crate::decision).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::rollout::{PartProblem, Step};
use crate::time::{Span, Timestamp};

/// What the new version is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// The stable version beside it, at the same time.
    Concurrent,
    /// The objective of each SLI.
    Objective,
    /// The stable version at the same weekday and hour before the change: not exact, so with wider margins. The source must keep history.
    Before,
}

/// What happens when a step's deadline comes without a `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// Pause and wait for a person.
    Hold,
    /// Pause and page.
    Page,
    /// Roll back.
    Rollback,
}

/// A share of good events, above 0 % and below 100 %, kept in parts per million: `99.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Objective(u32);

impl Objective {
    /// From 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an objective; write for example `99.5%`");
        let (whole, rest) = text.strip_suffix('%').map(|n| n.split_once('.').unwrap_or((n, ""))).ok_or_else(bad)?;
        let digits = |s: &str, most: usize| s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole, 2) || !digits(rest, 4) {
            return Err(bad());
        }
        let millionths: u32 = format!("{whole}{rest:0<4}").parse().map_err(|_| bad())?;
        if millionths == 0 { Err(bad()) } else { Ok(Self(millionths)) }
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Objective {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Objective".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The share of good events that is promised.",
            "pattern": "^[0-9]{1,2}(\\.[0-9]{1,4})?%$",
            "examples": ["99.5%"]
        })
    }
}

/// How a plan is verified, as an author writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyFile {
    /// Service level indicators: names from `slis.yaml`, or written out.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub slis: Vec<SliRef>,
    /// Commands that have to succeed in every step.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub commands: Vec<CheckCommand>,
    /// The time between two looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What follows when the evidence does not suffice by the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_insufficient: Option<OnDoubt>,
    /// What follows when the telemetry source still fails at the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unreachable: Option<OnDoubt>,
    /// The deadline of every step; six bakes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// How long the rollback stays armed after the last step; 5m by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Span>,
    /// What the watch compares with: `objective` by default, or `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_against: Option<Comparison>,
    /// How far the services that depend on the changed ones are watched too, by their own SLIs: 1 hop by default, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub downstream: Option<u8>,
    /// What follows when the scan of all series finds some that move with the new version: nothing but a note by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
}

/// Whether every series that both versions expose is compared, and what its findings do. They never roll back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scan {
    Off,
    /// Findings are shown with the verdict.
    #[default]
    Note,
    /// Findings hold the step.
    Hold,
}

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

/// A part, above 0 % and at most 1000 %, kept in parts per million: `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Margin(u32);

impl Margin {
    /// From 0 to 10.
    pub fn part(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The nearest margin that can be written, if there is one.
    pub fn nearest(part: f64) -> Option<Self> {
        let millionths = (part * 1e6).round();
        (1.0..=1e7).contains(&millionths).then_some(Self(millionths as u32))
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Margin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a part above 0 % and at most 1000 %; write for example `5%`");
        let (whole, rest) = text.strip_suffix('%').map(|n| n.split_once('.').unwrap_or((n, ""))).ok_or_else(bad)?;
        let digits = |s: &str, most: usize| s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole, 4) || !digits(rest, 4) {
            return Err(bad());
        }
        let millionths: u32 = format!("{whole}{rest:0<4}").parse().map_err(|_| bad())?;
        if millionths == 0 || millionths > 10_000_000 { Err(bad()) } else { Ok(Self(millionths)) }
    }
}

impl From<Margin> for String {
    fn from(margin: Margin) -> Self {
        margin.to_string()
    }
}

impl TryFrom<String> for Margin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Margin {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Margin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A part of something, in per cent.",
            "pattern": "^[0-9]{1,4}(\\.[0-9]{1,4})?%$",
            "examples": ["5%"]
        })
    }
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

/// A command that checks something: exit code 0 is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckCommand {
    /// The command line, run by `sh -c` on the server's machine.
    #[schemars(length(min = 1, max = 4_000))]
    pub run: String,
    /// After this time it has failed.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

/// How a plan is verified, with every name resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verify {
    pub slis: Vec<Sli>,
    pub commands: Vec<CheckCommand>,
    pub every: Span,
    pub on_insufficient: OnDoubt,
    pub on_unreachable: OnDoubt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    pub watch: Span,
    #[serde(default = "by_objective")]
    pub watch_against: Comparison,
    #[serde(default)]
    pub downstream: u8,
    /// The objectives of services downstream, which may hold a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    #[serde(default)]
    pub scan: Scan,
}

/// An SLI of a service downstream, all its versions together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    pub service: String,
    pub sli: Sli,
}

impl Beside {
    /// `cart: cart-errors`, as the verdict names it.
    pub fn name(&self) -> String {
        format!("{}: {}", self.service, self.sli.name)
    }
}

fn by_objective() -> Comparison {
    Comparison::Objective
}

/// The services that depend directly on the changed ones.
const DEFAULT_DOWNSTREAM: u8 = 1;

const SHORTEST_LOOK: Span = Span::millis(100);
const LONGEST_LOOK: Span = Span::secs(3_600);

impl VerifyFile {
    /// The same with defaults and the SLIs found.
    pub fn resolve(self, slis: Vec<Sli>) -> Verify {
        Verify {
            slis,
            commands: self.commands,
            every: self.every.unwrap_or(Span::secs(10)),
            on_insufficient: self.on_insufficient.unwrap_or(OnDoubt::Hold),
            on_unreachable: self.on_unreachable.unwrap_or(OnDoubt::Page),
            deadline: self.deadline,
            watch: self.watch.unwrap_or(crate::proposal::DEFAULT_WATCH),
            watch_against: self.watch_against.unwrap_or(Comparison::Objective),
            downstream: self.downstream.unwrap_or(DEFAULT_DOWNSTREAM),
            beside: vec![],
            scan: self.scan.unwrap_or_default(),
        }
    }
}

impl Verify {
    /// Whether anything at all is looked at.
    pub fn is_empty(&self) -> bool {
        self.slis.is_empty() && self.commands.is_empty()
    }

    /// What is wrong with it for these steps.
    pub fn problems(&self, steps: &[Step]) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        if self.every < SHORTEST_LOOK || self.every > LONGEST_LOOK {
            found.push((
                "/every".into(),
                format!("a look every `{}` is outside of {SHORTEST_LOOK} to {LONGEST_LOOK}", self.every),
                None,
            ));
        }
        for (i, command) in self.commands.iter().enumerate() {
            if self.commands[..i].iter().any(|other| other.run == command.run) {
                found.push((format!("/commands/{i}"), format!("the command `{}` is listed twice", command.run), None));
            }
        }
        let by_objective = steps.iter().any(|s| s.comparison == Comparison::Objective);
        for (i, sli) in self.slis.iter().enumerate().filter(|(_, s)| by_objective && !s.has_objective()) {
            let help =
                "add for example `objective: 99.5%`, so that a step that takes all traffic can be judged".to_owned();
            found.push((
                format!("/slis/{i}"),
                format!("the SLI `{}` has no objective, and a step is compared with it", sli.name),
                Some(help),
            ));
        }
        for (i, step) in steps.iter().enumerate() {
            if self.deadline.is_some_and(|d| d < step.bake) {
                let message = format!("the deadline comes before the bake of step {} (`{}`) is over", i + 1, step.bake);
                found.push(("/deadline".into(), message, None));
            }
        }
        found
    }
}

/// The four answers of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Pass,
    Fail,
    /// Too little evidence yet, or none.
    Insufficient,
    /// The telemetry source failed.
    Unreachable,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::Unreachable => "unreachable",
        })
    }
}

/// What the judge said of a step, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub answer: Answer,
    /// The step, from 0; one past the last is the watch.
    pub step: usize,
    pub attempt: u32,
    /// The reason in words and figures.
    pub why: String,
    pub reasons: Vec<Reason>,
    pub slis: Vec<SliJudgement>,
    /// Looks of this step so far.
    pub looks: u32,
    /// Evidence of harm over the whole rollout, as a bet's winnings: 100 refutes safety at 1 %.
    pub evidence: f64,
    /// From 0 to 1: how near the verdict is to `fail`.
    pub harm: f64,
    /// From 0 to 1: how near the verdict is to `pass`.
    pub safety: f64,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// One thing that a verdict rests on or that it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sli: Option<String>,
    pub text: String,
}

/// What the evidence says of one SLI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliJudgement {
    pub name: String,
    /// The rate of bad events in the new version over that of what it is compared with.
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub evidence: f64,
    pub safety: f64,
    pub canary: Sample,
    pub baseline: Sample,
    pub implicated: bool,
    pub why: String,
}

/// Events counted in one cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    pub total: u64,
    pub bad: u64,
}

/// Evidence that was recorded beside the log, and is committed to by a digest in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceTaken {
    pub step: usize,
    pub attempt: u32,
    /// How many looks of this step and attempt the digest covers.
    pub looks: u32,
    /// SHA-256 chained over the looks: each digest is over the one before and the canonical JSON of the look.
    pub digest: Digest,
}

/// The chained digest after one more look.
pub fn chain(before: Option<Digest>, look: &serde_json::Value) -> Digest {
    let mut bytes = before.map_or_else(Vec::new, |d| d.as_bytes().to_vec());
    bytes.extend_from_slice(crate::id::canonical(look).as_bytes());
    Digest::of_bytes(&bytes)
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
