//! Config: which SLIs of a recording are judged, and how strictly?
//!
//! Reads the judge's own short form, where an SLI is a name and its margins since the file holds its data; anything else goes to the readers of other
//! formats, whose notes are passed on. Opens nothing. Next room: [`case`](super::case).

use change::Span;
use change::document::{Document, Problem};
use change::verification::{Against, Margin, Objective, Sli, Worse};
use drivers::read::{Format, Imported, JudgeFile, analysis, format_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `clearway judge --config` reads: SLIs by the names that the evidence gives them, and how strictly to judge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeConfig {
    /// The SLIs to judge; all of the evidence if there are none.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub slis: Vec<SliEntry>,
    #[serde(default)]
    pub judge: JudgeFile,
}

/// One SLI of the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SliEntry {
    /// As the evidence names it.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What it is; the fields of the evidence tell it too, and must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KindName>,
    /// Its part of the false-rollback budget beside the others; by default 0.35 for a ratio or latency, 0.15 for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub weight: Option<f64>,
    /// How much worse than the baseline is tolerated. By default 5 % in odds for a ratio, 5 % in time for latency, 10 % for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Margin>,
    /// How much worse must be ruled out before a pass. By default 50 % for a ratio, 20 % for latency, 25 % for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Margin>,
    /// For a ratio: a bad share below this is harmless whatever the baseline does; 0.5 % by default, or what the objective allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Margin>,
    /// The share of good events that is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// For the objective of latency: requests faster than this are good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
    /// For latency: the upper edges of the buckets to use, in seconds, each an edge of the evidence; all of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub edges: Option<Vec<f64>>,
    /// What it is held against: the baseline of the evidence (`step`), its objective, or both.
    #[serde(default)]
    pub against: Against,
    /// For a gauge: which way is harm; up by default.
    #[serde(default)]
    pub worse: Worse,
    /// For a gauge: the value it may reach, as its objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// What an SLI is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindName {
    Ratio,
    Latency,
    Gauge,
    Check,
}

impl KindName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ratio => "a ratio",
            Self::Latency => "a latency histogram",
            Self::Gauge => "a gauge",
            Self::Check => "a check",
        }
    }
}

/// What is wanted, whichever format said it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub wanted: Vec<Wanted>,
    pub judge: JudgeFile,
    pub form: Form,
    /// What means something else here than where it comes from.
    pub notes: Vec<String>,
}

/// Where the settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The judge's own: made for this evidence.
    Own,
    /// The product's `slis.yaml`.
    Product,
    /// Another tool's file.
    Foreign(Format),
}

/// One SLI as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub name: String,
    pub kind: Option<KindName>,
    pub weight: Option<f64>,
    pub harm: Option<f64>,
    pub safe: Option<f64>,
    pub floor: Option<f64>,
    pub objective: Option<f64>,
    pub below_ms: Option<f64>,
    pub edges_ms: Option<Vec<f64>>,
    pub against: Against,
    pub worse: Worse,
    pub limit: Option<f64>,
}

impl Wanted {
    /// All defaults.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            weight: None,
            harm: None,
            safe: None,
            floor: None,
            objective: None,
            below_ms: None,
            edges_ms: None,
            against: Against::Step,
            worse: Worse::Up,
            limit: None,
        }
    }

    /// Whether it can be judged without a baseline.
    pub(crate) fn has_objective(&self) -> bool {
        self.objective.is_some() || self.limit.is_some()
    }
}

impl Config {
    /// Reads a file of any of the formats.
    ///
    /// # Errors
    /// Every problem of the file.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let documents = Document::all_from_yaml(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        match &documents[..] {
            [only] if is_own(only) => own(only),
            _ => Ok(taken(analysis(text)?)),
        }
    }
}

/// Told by what stands in it: SLIs that name no telemetry source, or none at all but how to judge.
fn is_own(document: &Document) -> bool {
    let value = document.value();
    let names_no_source = |slis: &serde_json::Value| {
        slis.as_array().is_none_or(|slis| !slis.iter().any(|sli| sli.get("source").is_some()))
    };
    matches!(format_of(std::slice::from_ref(document)), None | Some(Format::Clearway))
        && (value.get("slis").is_some() || value.get("judge").is_some())
        && value.get("slis").is_none_or(names_no_source)
}

fn own(document: &Document) -> Result<Config, Vec<Problem>> {
    let JudgeConfig { slis, judge } = document.read()?;
    let mut problems = Vec::new();
    for (i, sli) in slis.iter().enumerate() {
        let mut problem = |pointer: &str, message: String, help: &str| {
            problems.push(document.problem(&format!("/slis/{i}{pointer}"), message, Some(help.to_owned())));
        };
        if slis[..i].iter().any(|other| other.name == sli.name) {
            problem("/name", format!("the SLI `{}` is listed twice", sli.name), "leave one");
        }
        if sli.against != Against::Step && sli.objective.is_none() && sli.limit.is_none() {
            let help = "add for example `objective: 99.5%`, or for a gauge a `limit`";
            problem("/against", format!("`{}` has no objective to be held against", sli.name), help);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config { wanted: slis.into_iter().map(Wanted::from).collect(), judge, form: Form::Own, notes: vec![] })
}

impl From<SliEntry> for Wanted {
    fn from(sli: SliEntry) -> Self {
        Self {
            kind: sli.kind,
            weight: sli.weight,
            harm: sli.harm.map(Margin::part),
            safe: sli.safe.map(Margin::part),
            floor: sli.floor.map(Margin::part),
            objective: sli.objective.map(Objective::share),
            below_ms: sli.below.map(|span| span.as_millis() as f64),
            edges_ms: sli.edges.map(|edges| edges.into_iter().map(|s| (s * 1e6).round() / 1e3).collect()),
            against: sli.against,
            worse: sli.worse,
            limit: sli.limit,
            name: sli.name,
        }
    }
}

fn taken(imported: Imported) -> Config {
    let form = match imported.format {
        Format::Clearway => Form::Product,
        other => Form::Foreign(other),
    };
    Config {
        wanted: imported.slis.iter().map(Wanted::from).collect(),
        judge: imported.judge,
        form,
        notes: imported.notes.iter().map(ToString::to_string).collect(),
    }
}

impl From<&Sli> for Wanted {
    fn from(sli: &Sli) -> Self {
        let measured = sli.gauge.as_ref().map(|g| (g.worse, g.limit)).or(sli.rate.as_ref().map(|r| (r.worse, r.limit)));
        let kind = match (&sli.latency, measured) {
            (Some(_), _) => KindName::Latency,
            (None, Some(_)) => KindName::Gauge,
            (None, None) => KindName::Ratio,
        };
        let (worse, limit) = measured.unwrap_or_default();
        Self {
            kind: Some(kind),
            weight: Some(sli.weight.unwrap_or(1.0)),
            harm: sli.harm.map(Margin::part),
            safe: sli.safe.map(Margin::part),
            floor: sli.floor.map(Margin::part),
            objective: sli.objective.map(Objective::share),
            below_ms: sli.latency.as_ref().and_then(|l| l.below).map(|span| span.as_millis() as f64),
            against: sli.against,
            worse,
            limit,
            ..Self::named(&sli.name)
        }
    }
}
