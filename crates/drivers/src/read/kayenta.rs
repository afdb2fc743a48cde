//! Kayenta: canary configurations in JSON, as github.com/spinnaker/kayenta documents them (docs/canary-config.md).
//!
//! Metrics become SLIs, groups their weights, directions which way is worse, effect sizes margins. Scores and their thresholds have no counterpart:
//! a verdict here rests on evidence against each SLI under one false-rollback budget. A request that wraps a configuration gives its times.

use change::document::{Document, Problem};
use change::time::Span;
use change::verification::{Against, Margin, Sli, Worse};
use serde_json::Value;

use super::imported::{Format, Given, Imported, JudgeFile, Sayings, Spot, name_of};
use super::placeholder::fill;
use super::promql::Bare;
use super::sli::{self, Wanted};

/// Whether a document is a canary configuration, or a request with one in it.
pub(crate) fn is_one(document: &Document) -> bool {
    let value = document.value();
    let config = value.get("canaryConfig").filter(|c| c.is_object()).unwrap_or(value);
    config.get("metrics").is_some_and(Value::is_array)
        && (config.get("classifier").is_some()
            || config.get("judge").and_then(|j| j.get("judgeConfigurations")).is_some()
            || config.pointer("/metrics/0/analysisConfigurations").is_some())
}

pub(crate) fn take(document: &Document, given: &Given) -> Result<Imported, Vec<Problem>> {
    let mut said = Sayings::default();
    let root = if document.value().get("canaryConfig").is_some() { "/canaryConfig" } else { "" };
    let mut taking = Taking { spot: Spot { document, said: &mut said }, given, root };
    let count = taking.spot.count(&format!("{root}/metrics"));
    if count == 0 {
        taking.spot.problem(
            &format!("{root}/metrics"),
            "the list of metrics is empty",
            "a configuration without metrics judges nothing",
        );
    }
    let mut slis: Vec<Sli> = (0..count).filter_map(|i| taking.metric(i)).collect();
    sli::divide_speeds(&mut taking.spot, &format!("{root}/metrics"), &mut slis);
    taking.classifier();
    let judge = taking.times();
    said.finish(Imported { format: Format::Kayenta, slis, judge, steps: vec![], notes: vec![] })
}

struct Taking<'a> {
    spot: Spot<'a>,
    given: &'a Given,
    /// The pointer of the configuration.
    root: &'static str,
}

impl Taking<'_> {
    fn metric(&mut self, i: usize) -> Option<Sli> {
        let pointer = format!("{}/metrics/{i}", self.root);
        let Some(given_name) = self.spot.text(&format!("{pointer}/name")) else {
            self.spot.problem(&pointer, "`name` is missing", "name the metric");
            return None;
        };
        let name = name_of(&given_name);
        if name != given_name {
            self.spot.assumed(&format!("{pointer}/name"), format!("the name `{given_name}` is written `{name}`"), "");
        }
        let (query, at) = self.query(&pointer, &given_name)?;
        let worse = self.direction(&pointer, &given_name);
        let source = self.spot.source(self.given, &at);
        let wanted =
            Wanted { name, source, pointer: &at, bounds: &[], worse, bare: Bare::Levels, against: Against::Step };
        let mut sli = sli::of_query(&mut self.spot, &query, &wanted)?;
        self.effect_size(&pointer, worse, &mut sli);
        self.analysis(&pointer);
        sli.weight = self.weight(&pointer);
        Some(sli)
    }

    /// The query in PromQL with the version's label in place of the scope, and where it stands.
    fn query(&mut self, metric: &str, name: &str) -> Option<(String, String)> {
        let at = format!("{metric}/query");
        let kind = self.spot.text(&format!("{at}/type")).or_else(|| self.spot.text(&format!("{at}/serviceType")));
        if let Some(kind) = kind.filter(|k| k != "prometheus") {
            let note = format!("`{name}` asks `{kind}`, whose language is not read here");
            self.spot.not_taken(&at, note, "write the SLI by hand, over a source that clearway.toml can name");
            return None;
        }
        if let Some(template) = self.spot.text(&format!("{at}/customInlineTemplate")).filter(|t| !t.trim().is_empty()) {
            let inline = template.trim();
            let query = inline.strip_prefix("PromQL:").unwrap_or(inline);
            return Some((
                self.filled(query, &format!("{at}/customInlineTemplate")),
                format!("{at}/customInlineTemplate"),
            ));
        }
        let Some(series) = self.spot.text(&format!("{at}/metricName")).filter(|n| !n.is_empty()) else {
            self.spot.problem(
                &at,
                format!("the metric `{name}` has no query"),
                "give it a `metricName` or a `customInlineTemplate`",
            );
            return None;
        };
        let (filter, at) = (self.filter(&at), format!("{at}/metricName"));
        if ["_total", "_count", "_sum"].iter().any(|ending| series.ends_with(ending)) {
            let note = format!(
                "`{series}` is a running count by its name, whose height says how old a process is: its speed is judged, where the average height is compared there"
            );
            self.spot.assumed(&at, note, "write a `gauge` over it if it is none");
            return Some((format!("sum(rate({series}{{{filter}}}[1m]))"), at));
        }
        Some((format!("avg({series}{{{filter}}})"), at))
    }

    /// The matchers of a metric that is asked for by its name.
    fn filter(&mut self, at: &str) -> String {
        let template = self.spot.text(&format!("{at}/customFilterTemplate")).and_then(|name| {
            let pointer = format!("{}/templates/{}", self.root, name.replace('~', "~0").replace('/', "~1"));
            self.spot.text(&pointer)
        });
        let custom = template.or_else(|| self.spot.text(&format!("{at}/customFilter")));
        let bindings: Vec<String> = (0..self.spot.count(&format!("{at}/labelBindings")))
            .filter_map(|i| self.spot.text(&format!("{at}/labelBindings/{i}")))
            .collect();
        let filter = custom.map(|f| f.trim().trim_matches(['{', '}']).to_owned());
        let all: Vec<String> = filter.into_iter().chain(bindings).filter(|f| !f.trim().is_empty()).collect();
        self.filled(&all.join(","), at)
    }

    fn filled(&mut self, text: &str, at: &str) -> String {
        let given = &self.given.values;
        let value = |name: &str| match name {
            "scope" => Some("$cohort".to_owned()),
            "interval" | "step" => Some("1m".to_owned()),
            other => given.get(other).cloned(),
        };
        let (filled, missing) = fill(text, "${", "}", value);
        if text.contains("${scope}") {
            let note = "`${scope}` names the version: `$cohort` stands in its place, which is the name that the target gives to the version that is read";
            self.spot.assumed(
                at,
                note,
                "write a query for each version: `{canary: ..., baseline: ...}`, where they are told apart otherwise",
            );
        }
        for name in missing {
            let help = format!("give it with `--set {name}=VALUE`, or write the value into the query");
            self.spot.assumed(at, format!("`${{{name}}}` has no value in this file and stands as it is"), &help);
        }
        filled
    }

    fn direction(&mut self, metric: &str, name: &str) -> Option<Worse> {
        let at = format!("{metric}/analysisConfigurations/canary/direction");
        match self.spot.text(&at).as_deref() {
            Some("increase") => Some(Worse::Up),
            Some("decrease") => Some(Worse::Down),
            Some("either") => {
                let note = format!(
                    "`either`: of `{name}` one direction is judged as harm, up, unless its query counts good events"
                );
                self.spot.not_taken(&at, note, "write a second SLI with `worse: down`");
                None
            }
            None => None,
            Some(other) => {
                self.spot.problem(
                    &at,
                    format!("`{other}` is not known here"),
                    "it can be `increase`, `decrease` or `either`",
                );
                None
            }
        }
    }

    /// `allowedIncrease: 1.1` is a margin of 10 %.
    fn effect_size(&mut self, metric: &str, worse: Option<Worse>, sli: &mut Sli) {
        let at = format!("{metric}/analysisConfigurations/canary/effectSize");
        if self.spot.value(&at).is_none() {
            return;
        }
        let up = self.spot.number(&format!("{at}/allowedIncrease")).map(|f| f - 1.0);
        // A fall to 0.9 is a rise of the inverse by a ninth: margins are factors.
        let down = self.spot.number(&format!("{at}/allowedDecrease")).filter(|f| *f > 0.0).map(|f| 1.0 / f - 1.0);
        let part = if worse == Some(Worse::Down) { down } else { up };
        let harm = part.filter(|p| *p > 0.0).and_then(|p| Margin::nearest((p * 1e4).round() / 1e4));
        if let Some(harm) = harm {
            sli.harm = Some(harm);
            let usual = if sli.latency.is_some() {
                0.2
            } else if sli.ratio.is_some() {
                0.5
            } else {
                0.25
            };
            if harm.part() >= usual {
                sli.safe = Margin::nearest(harm.part() * 2.0);
                // Above what can be written nothing is left to be ruled out beyond it.
                sli.safe = sli.safe.filter(|safe| *safe > harm);
                if sli.safe.is_none() {
                    sli.harm = None;
                }
            }
            let note = "`allowedIncrease` and `allowedDecrease` become the margin `harm`; what they leave to a rank test's 98 % on one look is decided here by evidence over all looks";
            self.spot.differs(&at, note, "");
        }
        if self.spot.text(&format!("{at}/measure")).is_some_and(|m| m == "cles") {
            self.spot.not_taken(
                &format!("{at}/measure"),
                "`cles`: effects are factors here, not the share of pairs in which the canary is worse",
                "",
            );
        }
        if ["criticalIncrease", "criticalDecrease"].iter().any(|c| self.spot.value(&format!("{at}/{c}")).is_some()) {
            let note = "a critical increase or decrease, which sets the score to 0 at once: gross harm gathers evidence fastest here, within a few looks, and never on one";
            self.spot.not_taken(&at, note, "");
        }
    }

    fn analysis(&mut self, metric: &str) {
        let at = format!("{metric}/analysisConfigurations/canary");
        let flag = |spot: &Spot<'_>, name: &str| spot.value(&format!("{at}/{name}")) == Some(&Value::Bool(true));
        if flag(&self.spot, "critical") {
            let note = "`critical`: there, metrics that are not critical only lower a score; here every SLI can fail a change alone, once there is enough evidence against it";
            self.spot.differs(
                &format!("{at}/critical"),
                note,
                "raise the `weight` of those that matter most, so that less evidence suffices",
            );
        }
        for name in ["mustHaveData", "mustHave"] {
            if !flag(&self.spot, name) {
                continue;
            }
            let note = "a metric that must have data fails there without it; here missing data is never harm and never safety: the step holds, and says what is missing";
            self.spot.differs(
                &format!("{at}/{name}"),
                note,
                "write `on_insufficient: rollback` into `verify` of the change file",
            );
        }
        match self.spot.text(&format!("{at}/nanStrategy")).as_deref() {
            Some("replace") => {
                let note = "`nanStrategy: replace` reads missing values as 0; here missing is missing, but a counter of bad events that does not exist yet beside one of all events counts none";
                self.spot.differs(&format!("{at}/nanStrategy"), note, "");
            }
            Some("remove") | None => {}
            Some(other) => self.spot.not_taken(
                &format!("{at}/nanStrategy"),
                format!("the strategy `{other}`, which is not known here"),
                "",
            ),
        }
        if self.spot.value(&format!("{at}/outliers")).is_some() {
            let note =
                "the removal of outliers: counts are counts, and single readings of a gauge weigh little by themselves";
            self.spot.not_taken(&format!("{at}/outliers"), note, "");
        }
    }

    /// The weight of a group is shared by its metrics.
    fn weight(&mut self, metric: &str) -> Option<f64> {
        let groups = format!("{metric}/groups");
        let group = self.spot.text(&format!("{groups}/0"))?;
        if self.spot.count(&groups) > 1 {
            self.spot.not_taken(
                &groups,
                format!("more than one group of a metric; the first, `{group}`, gives the weight"),
                "",
            );
        }
        let of_groups = self.spot.value(&format!("{}/classifier/groupWeights", self.root))?;
        let whole = of_groups.get(&group)?.as_f64()?;
        let metrics = self.spot.value(&format!("{}/metrics", self.root))?.as_array()?;
        let members = metrics.iter().filter(|m| m.pointer("/groups/0").and_then(Value::as_str) == Some(&group)).count();
        let weight = (whole / members.max(1) as f64 * 100.0).round() / 100.0;
        if !(0.001..=1000.0).contains(&weight) {
            let at = format!("{}/classifier/groupWeights", self.root);
            self.spot.not_taken(
                &at,
                format!("the weight {} of `{group}`, which is outside of 0.001 to 1000", sli::shortest(whole)),
                "leave the SLI out if it shall not count",
            );
            return None;
        }
        Some(weight)
    }

    fn classifier(&mut self) {
        let at = format!("{}/classifier/groupWeights", self.root);
        if self.spot.value(&at).is_some() {
            let note = "weights of groups are parts of a score there; here the weight of a group is shared by its SLIs and divides one false-rollback budget: more weight, less evidence needed";
            self.spot.differs(&at, note, "");
        }
        for at in ["/executionRequest/thresholds", "/thresholds", "/scoreThresholds", "/canaryConfig/scoreThresholds"] {
            if self.spot.value(at).is_some() {
                let note = "the scores `marginal` and `pass`: a verdict is `pass`, `fail` or a reason to wait; its strictness is a chance of error, not a score";
                self.spot.not_taken(
                    at,
                    note,
                    "write `judge: {alpha: 0.01}` beside `slis:`, where `clearway judge` reads it: the share of healthy changes that may be rolled back",
                );
            }
        }
    }

    /// The lifetime and interval of a request around the configuration, or of a pipeline stage.
    fn times(&mut self) -> JudgeFile {
        let within = ["/executionRequest", "", "/canaryConfig"];
        let minutes = |spot: &Spot<'_>, names: &[&str]| {
            let places = within.iter().flat_map(|w| names.iter().map(move |n| format!("{w}/{n}")));
            places.filter_map(|at| Some((minutes_at(spot, &at)?, at))).next()
        };
        let lifetime = minutes(&self.spot, &["lifetimeDurationMins", "lifetimeDuration", "lifetimeHours"]);
        let interval = minutes(&self.spot, &["analysisIntervalMins", "canaryAnalysisIntervalMins"]);
        let warm_up = minutes(&self.spot, &["beginAfterMins", "beginCanaryAnalysisAfterMins"]);
        let mut judge = JudgeFile::default();
        if let Some((span, at)) = &lifetime {
            judge.deadline = Some(*span);
            let note = format!(
                "a canary runs its whole lifetime of {span} there; here it passes or fails as soon as the evidence suffices, and {span} is the deadline"
            );
            self.spot.differs(
                at,
                note,
                &format!("write `bake: {span}` into the steps to keep a canary that long in any case"),
            );
        }
        if let Some((span, at)) = &interval {
            judge.bake = Some(*span).filter(|bake| judge.deadline.is_none_or(|d| d >= *bake));
            let note = format!(
                "a judgement every {span} there; looks cost nothing here and come every 10 s. The first interval is taken as the least time of a step"
            );
            self.spot.differs(at, note, "write `every: 1m` into `verify` to look less often");
        }
        if let Some((_, at)) = &warm_up {
            let note = "the time before the first judgement: for the first looks only gross harm counts here";
            self.spot.differs(at, note, "write `judge: {warm_up_looks: 30}` beside `slis:`, where `clearway judge` reads it, for five minutes of looks every 10 s");
        }
        judge
    }
}

/// A number of minutes, a number of hours where the name says so, or an ISO 8601 duration such as `PT1H30M`.
fn minutes_at(spot: &Spot<'_>, at: &str) -> Option<Span> {
    let per = if at.ends_with("Hours") { 3.6e6 } else { 6e4 };
    let millis = match spot.number(at) {
        Some(number) => number * per,
        None => iso(spot.text(at)?.as_str())?,
    };
    (1.0..=3.15e11).contains(&millis).then(|| Span::millis(millis.round() as u64))
}

fn iso(text: &str) -> Option<f64> {
    let (days, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.strip_prefix('P')?, ""));
    let mut millis = if days.is_empty() { 0.0 } else { days.strip_suffix('D')?.parse::<f64>().ok()? * 8.64e7 };
    let mut rest = time;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let size = match rest[end..].chars().next()? {
            'H' => 3.6e6,
            'M' => 6e4,
            'S' => 1e3,
            _ => return None,
        };
        millis += rest[..end].parse::<f64>().ok()? * size;
        rest = &rest[end + 1..];
    }
    Some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_pipelines_are_read() {
        for (text, wanted) in [
            ("PT1H", Some(3.6e6)),
            ("P1DT30M", Some(8.82e7)),
            ("PT0.5S", Some(500.0)),
            ("1H", None),
            ("PTé", None),
            ("PT5", None),
        ] {
            assert_eq!(iso(text), wanted, "{text}");
        }
    }
}
