//! Settings: what is judged and how strictly, fixed before the rollout begins.
//!
//! Must never change while a rollout runs: margins chosen after seeing data would void the bound. Settings that make no sense are refused
//! here, once, so that no later room needs to ask. Next room: [`look`](crate::look).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More edges than this would not fit the 2 kB that one SLI may keep.
pub(crate) const MOST_EDGES: usize = 40;
/// Recent looks are kept as bits of one word.
pub(crate) const MOST_FRESH_LOOKS: u32 = 32;
/// The share of slow requests is a ratio: against an objective, latency takes the default margins of ratios.
pub(crate) const SLOW_SHARE_HARM: f64 = 1.1;
pub(crate) const SLOW_SHARE_SAFE: f64 = 1.5;

/// What is judged, fixed before the rollout begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    pub slis: Vec<SliSettings>,
    /// The false-rollback budget of the whole change, in (0, 1). Default 0.01.
    pub alpha: f64,
    /// The chance of passing a step with a harmful SLI, in (0, 1). Default 0.05.
    pub beta: f64,
    /// Time between two looks; used in sentences only.
    pub look_interval_ms: u64,
    /// Planned looks of the whole rollout: late harm is paid for evenly over them.
    pub horizon_looks: u32,
    /// Looks at the start of the change in which only gross harm counts. Default 6.
    pub warm_up_looks: u32,
    /// The window of recent looks that must carry data, 1 to 32. Default 18.
    pub fresh_looks: u32,
    /// The least share of a step's looks that must carry data, in (0, 1]. Default 0.8.
    pub coverage: f64,
    /// The least number of canary requests in a step, for each counted SLI. Default 100.
    pub min_requests: u64,
    /// Whether the newest look must have carried data for a pass. Default true; a recording that may end in a gap sets it false.
    pub needs_newest: bool,
    pub profile: Profile,
}

/// Which of two designs judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The best that is known: the reference design with what the bench proved better.
    #[default]
    Default,
    /// The reference design and nothing else, to compare with.
    Reference,
}

impl Settings {
    /// The default strictness for these SLIs.
    pub fn new(slis: Vec<SliSettings>, look_interval_ms: u64, horizon_looks: u32) -> Self {
        Settings {
            slis,
            alpha: 0.01,
            beta: 0.05,
            look_interval_ms,
            horizon_looks,
            warm_up_looks: 6,
            fresh_looks: 18,
            coverage: 0.8,
            min_requests: 100,
            needs_newest: true,
            profile: Profile::Default,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        open_unit("alpha", self.alpha)?;
        open_unit("beta", self.beta)?;
        if !(self.coverage > 0.0 && self.coverage <= 1.0) {
            return Err(out_of_range("coverage", self.coverage, "above 0 and at most 1"));
        }
        whole("look_interval_ms", self.look_interval_ms, 1, u64::MAX)?;
        whole("horizon_looks", self.horizon_looks.into(), 1, u32::MAX.into())?;
        whole("fresh_looks", self.fresh_looks.into(), 1, MOST_FRESH_LOOKS.into())?;
        if !self.slis.iter().any(|sli| sli.role == Role::Decides) {
            return Err(SettingsError::NoSlis);
        }
        for (i, sli) in self.slis.iter().enumerate() {
            if self.slis[..i].iter().any(|other| other.name == sli.name) {
                return Err(SettingsError::SameName { name: sli.name.clone() });
            }
            sli.validate().map_err(|cause| SettingsError::Sli { name: sli.name.clone(), cause: Box::new(cause) })?;
        }
        Ok(())
    }

    /// The share, or all of it for what may only hold: that stands alone.
    pub(crate) fn share_or_whole(&self, sli: &SliSettings) -> f64 {
        if sli.carries_harm() { self.share(sli) } else { 1.0 }
    }

    /// The share of the harm evidence that one SLI carries. Checks carry none, nor does what may only hold.
    pub(crate) fn share(&self, sli: &SliSettings) -> f64 {
        let sum: f64 = self.slis.iter().filter(|s| s.carries_harm()).map(|s| s.weight).sum();
        if sli.carries_harm() { sli.weight / sum } else { 0.0 }
    }
}

/// One service level indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliSettings {
    pub name: String,
    pub kind: SliKind,
    /// Relative weight of its harm evidence, above 0; weights are normalised over all SLIs but checks.
    pub weight: f64,
    /// The good share it promises, in (0, 1), such as 0.995. Needed in steps that compare with an objective, unless it is a gauge with a limit.
    pub objective: Option<f64>,
    /// Held against its objective whatever the step compares with. Default false.
    pub against_objective: bool,
    pub role: Role,
}

/// What the evidence of an SLI may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It passes and fails the change.
    #[default]
    Decides,
    /// A breach holds the step, and never fails the change; silence holds nothing. For services downstream of the changed one.
    Holds,
}

impl SliSettings {
    /// An SLI with weight 1 and no objective.
    pub fn new(name: impl Into<String>, kind: SliKind) -> Self {
        let name = name.into();
        SliSettings { name, kind, weight: 1.0, objective: None, against_objective: false, role: Role::Decides }
    }

    pub(crate) fn carries_harm(&self) -> bool {
        self.role == Role::Decides && !matches!(self.kind, SliKind::Check)
    }

    /// What it is held against in a step.
    pub(crate) fn comparison(&self, step: Comparison) -> Comparison {
        if self.against_objective { Comparison::Objective } else { step }
    }

    /// The bad share that the objective allows.
    pub(crate) fn budget(&self) -> Option<f64> {
        self.objective.map(|good| 1.0 - good)
    }

    fn validate(&self) -> Result<(), SettingsError> {
        if self.name.is_empty() {
            return Err(SettingsError::NoName);
        }
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(out_of_range("weight", self.weight, "above 0"));
        }
        if let Some(objective) = self.objective {
            open_unit("objective", objective)?;
        }
        let safe_share = self.kind.validate()?;
        match self.objective {
            Some(objective) if (1.0 - objective) * safe_share >= 1.0 => Err(out_of_range(
                "objective",
                objective,
                "higher: with its safety margin the budget would allow every request to be bad",
            )),
            _ => Ok(()),
        }
    }
}

/// How an SLI counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SliKind {
    /// Bad requests among all requests.
    Ratio {
        /// Odds ratio up to which a worse canary is tolerated, at least 1. Default 1.1.
        harm_margin: f64,
        /// Odds ratio that must be excluded to pass, above the harm margin. Default 1.5.
        safety_margin: f64,
        /// A bad share below this is harmless whatever the baseline does; an objective's budget replaces it. Default 0.005.
        floor: f64,
    },
    /// A histogram of durations.
    Latency {
        /// Upper edges of the buckets, ascending, 1 to 40 of them; one more bucket lies above the last.
        edges_ms: Vec<f64>,
        /// Slowdown up to which a slower canary is tolerated, at least 1. Default 1.05.
        slowdown_harm: f64,
        /// Slowdown that must be excluded to pass, above the harm one. Default 1.20.
        slowdown_safe: f64,
        /// The edge that the objective speaks of: the good requests are not slower. One of `edges_ms`.
        objective_edge_ms: Option<f64>,
    },
    /// A value above zero that goes up and down, or a rate: what is judged is the factor between canary and baseline.
    Gauge {
        /// Part by which a worse canary is tolerated, above 0. Default 0.10.
        harm: f64,
        /// Part that must be excluded to pass, above `harm`. Default 0.25.
        safe: f64,
        worse: Direction,
        /// The value that the objective allows, above 0.
        limit: Option<f64>,
    },
    /// A command or request that passes or fails.
    Check,
}

/// What differs from the margins of a kind, as parts: 0.05 is 5 %.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Margins {
    /// How much worse is tolerated.
    pub harm: Option<f64>,
    /// How much worse must be excluded to pass.
    pub safe: Option<f64>,
    /// For a ratio: the bad share below which it is harmless.
    pub floor: Option<f64>,
}

/// Which way a gauge has to move to be worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    #[default]
    Up,
    Down,
}

impl SliKind {
    /// A ratio with the default margins.
    pub fn ratio() -> Self {
        SliKind::Ratio { harm_margin: 1.1, safety_margin: 1.5, floor: 0.005 }
    }

    /// A latency histogram with the default margins.
    pub fn latency(edges_ms: Vec<f64>, objective_edge_ms: Option<f64>) -> Self {
        SliKind::Latency { edges_ms, slowdown_harm: 1.05, slowdown_safe: 1.20, objective_edge_ms }
    }

    /// The same with an objective that speaks of this time. It is judged at the edge at or below it, so that what lies between the two counts as bad;
    /// where every edge lies above it, it can't be judged, and the judge says so.
    pub fn latency_below(edges_ms: Vec<f64>, below_ms: Option<f64>) -> Self {
        let objective_edge_ms = below_ms.and_then(|ms| edges_ms.iter().copied().rfind(|edge| *edge <= ms));
        Self::latency(edges_ms, objective_edge_ms)
    }

    /// The same with other margins.
    pub fn with(mut self, margins: Margins) -> Self {
        fn set(value: &mut f64, given: Option<f64>) {
            *value = given.unwrap_or(*value);
        }
        let factor = |part: Option<f64>| part.map(|part| 1.0 + part);
        match &mut self {
            SliKind::Ratio { harm_margin, safety_margin, floor } => {
                set(harm_margin, factor(margins.harm));
                set(safety_margin, factor(margins.safe));
                set(floor, margins.floor);
            }
            SliKind::Latency { slowdown_harm, slowdown_safe, .. } => {
                set(slowdown_harm, factor(margins.harm));
                set(slowdown_safe, factor(margins.safe));
            }
            SliKind::Gauge { harm, safe, .. } => {
                set(harm, margins.harm);
                set(safe, margins.safe);
            }
            SliKind::Check => (),
        }
        self
    }

    /// A gauge with the default margins.
    pub fn gauge() -> Self {
        Self::measured(Direction::Up, None)
    }

    /// A gauge that is worse this way, and what its objective allows.
    pub fn measured(worse: Direction, limit: Option<f64>) -> Self {
        SliKind::Gauge { harm: 0.10, safe: 0.25, worse, limit }
    }

    /// Refuses what makes no sense; answers the safety margin of its share of bad requests.
    fn validate(&self) -> Result<f64, SettingsError> {
        match self {
            SliKind::Ratio { harm_margin, safety_margin, floor } => {
                margins("harm_margin", *harm_margin, "safety_margin", *safety_margin)?;
                open_unit("floor", *floor)?;
                Ok(*safety_margin)
            }
            SliKind::Latency { edges_ms, slowdown_harm, slowdown_safe, objective_edge_ms } => {
                margins("slowdown_harm", *slowdown_harm, "slowdown_safe", *slowdown_safe)?;
                edges(edges_ms)?;
                match objective_edge_ms {
                    Some(edge) if !edges_ms.contains(edge) => Err(SettingsError::NoSuchEdge { edge_ms: *edge }),
                    _ => Ok(SLOW_SHARE_SAFE),
                }
            }
            SliKind::Gauge { harm, safe, limit, .. } => {
                if !(*harm > 0.0 && harm.is_finite()) {
                    return Err(out_of_range("harm", *harm, "above 0"));
                }
                if !(safe > harm && safe.is_finite()) {
                    return Err(out_of_range("safe", *safe, "above `harm`"));
                }
                match limit {
                    Some(limit) if !(*limit > 0.0 && limit.is_finite()) => {
                        Err(out_of_range("limit", *limit, "above 0"))
                    }
                    _ => Ok(1.0),
                }
            }
            SliKind::Check => Ok(1.0),
        }
    }
}

/// What a step's canary is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The stable cohort that serves beside it.
    Concurrent,
    /// The SLI's own objective: for a step without a concurrent cohort.
    Objective,
    /// The stable cohort at an earlier time: not exact, so the margins are wider.
    Before,
}

impl Comparison {
    /// Whether there is a second cohort to compare with.
    pub(crate) fn has_baseline(self) -> bool {
        self != Comparison::Objective
    }

    /// By how much every margin is widened: two times are never quite alike.
    pub(crate) fn widening(self) -> f64 {
        match self {
            Comparison::Before => 1.25,
            Comparison::Concurrent | Comparison::Objective => 1.0,
        }
    }
}

/// What one step asks of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepSettings {
    pub comparison: Comparison,
    /// The least number of looks of this step.
    pub bake_looks: u32,
    /// The share of requests that the canary should get, in (0, 1), if the split is to be checked.
    pub expected_share: Option<f64>,
}

impl StepSettings {
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        self.expected_share.map_or(Ok(()), |share| open_unit("expected_share", share))
    }
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error("no SLI is named that decides: a verdict needs at least one")]
    NoSlis,
    #[error("an SLI has an empty name: give it one")]
    NoName,
    #[error("two SLIs are named `{name}`: rename one")]
    SameName { name: String },
    #[error("SLI `{name}`: {cause}")]
    Sli { name: String, cause: Box<SettingsError> },
    #[error("`{field}` is `{value}`: it must be {must_be}")]
    OutOfRange { field: &'static str, value: String, must_be: &'static str },
    #[error("`{count}` bucket edges: give 1 to {MOST_EDGES}")]
    EdgeCount { count: usize },
    #[error("bucket edge `{edge_ms}` ms is not above the one before: edges must be positive and ascend")]
    EdgeOrder { edge_ms: String },
    #[error("the objective's edge `{edge_ms}` ms is not a bucket edge: use one of `edges_ms`")]
    NoSuchEdge { edge_ms: f64 },
}

fn out_of_range(field: &'static str, value: f64, must_be: &'static str) -> SettingsError {
    SettingsError::OutOfRange { field, value: value.to_string(), must_be }
}

fn open_unit(field: &'static str, value: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value < 1.0 { Ok(()) } else { Err(out_of_range(field, value, "between 0 and 1")) }
}

fn whole(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), SettingsError> {
    match (value < least, value > most) {
        (true, _) => Err(out_of_range(field, value as f64, "at least 1")),
        (_, true) => Err(out_of_range(field, value as f64, "at most 32")),
        _ => Ok(()),
    }
}

fn margins(harm: &'static str, low: f64, safe: &'static str, high: f64) -> Result<(), SettingsError> {
    if !(low >= 1.0 && low.is_finite()) {
        return Err(out_of_range(harm, low, "at least 1"));
    }
    if !(high > low && high.is_finite()) {
        return Err(out_of_range(safe, high, "above the harm margin"));
    }
    Ok(())
}

fn edges(edges_ms: &[f64]) -> Result<(), SettingsError> {
    if edges_ms.is_empty() || edges_ms.len() > MOST_EDGES {
        return Err(SettingsError::EdgeCount { count: edges_ms.len() });
    }
    let mut before = 0.0;
    for &edge in edges_ms {
        if !(edge > before && edge.is_finite()) {
            return Err(SettingsError::EdgeOrder { edge_ms: edge.to_string() });
        }
        before = edge;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn sli(kind: SliKind) -> SliSettings {
        SliSettings { objective: Some(0.99), ..SliSettings::new("errors", kind) }
    }

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::new(vec![sli(SliKind::ratio())], 10_000, 360);
        change(&mut settings);
        settings
    }

    fn check(settings: &Settings, refusal: &Expect) {
        refusal.assert_eq(&settings.validate().map_or_else(|e| e.to_string(), |()| "accepted".into()));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_in_the_users_words() {
        let latency = |edges: Vec<f64>, edge| sli(SliKind::latency(edges, edge));
        check(&settings(|_| ()), &expect!["accepted"]);
        check(&settings(|s| s.slis.clear()), &expect!["no SLI is named that decides: a verdict needs at least one"]);
        check(&settings(|s| s.alpha = f64::NAN), &expect!["`alpha` is `NaN`: it must be between 0 and 1"]);
        check(&settings(|s| s.beta = 1.0), &expect!["`beta` is `1`: it must be between 0 and 1"]);
        check(&settings(|s| s.coverage = 0.0), &expect!["`coverage` is `0`: it must be above 0 and at most 1"]);
        check(&settings(|s| s.fresh_looks = 33), &expect!["`fresh_looks` is `33`: it must be at most 32"]);
        check(&settings(|s| s.horizon_looks = 0), &expect!["`horizon_looks` is `0`: it must be at least 1"]);
        check(&settings(|s| s.slis.push(sli(SliKind::Check))), &expect!["two SLIs are named `errors`: rename one"]);
        check(&settings(|s| s.slis[0].weight = 0.0), &expect!["SLI `errors`: `weight` is `0`: it must be above 0"]);
        check(
            &settings(|s| s.slis[0].objective = Some(0.2)),
            &expect![
                "SLI `errors`: `objective` is `0.2`: it must be higher: with its safety margin the budget would allow every request to be bad"
            ],
        );
        check(
            &settings(|s| s.slis[0].kind = SliKind::Ratio { harm_margin: 1.6, safety_margin: 1.5, floor: 0.005 }),
            &expect!["SLI `errors`: `safety_margin` is `1.5`: it must be above the harm margin"],
        );
        check(
            &settings(|s| s.slis[0] = latency(vec![5.0, 5.0], None)),
            &expect!["SLI `errors`: bucket edge `5` ms is not above the one before: edges must be positive and ascend"],
        );
        check(
            &settings(|s| s.slis[0] = latency(vec![5.0, 10.0], Some(7.0))),
            &expect!["SLI `errors`: the objective's edge `7` ms is not a bucket edge: use one of `edges_ms`"],
        );
        check(
            &settings(|s| s.slis[0] = latency(vec![], None)),
            &expect!["SLI `errors`: `0` bucket edges: give 1 to 40"],
        );
    }
}
