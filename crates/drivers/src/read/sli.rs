//! SLIs of queries: what another tool measures, as what the judge counts.
//!
//! A query that counts events becomes a ratio, a latency or a rate; what can't be taken apart becomes a gauge of the whole query. Bounds become
//! objectives and limits. Nothing is read from a server, so units and meanings are taken from names, and that is said. The queries are taken apart
//! in [`promql`](super::promql).

use change::time::Span;
use change::verification::{Against, Gauge, Latency, Objective, Query, Rate, Ratio, Sli, Worse};

use super::imported::Spot;
use super::promql::{self, Bare, Expr, Form, Line, Matcher, Selector};

/// What a value has to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    /// The same for x, where the value is a line over x.
    fn back(self, line: Line) -> Self {
        match (self, line.scale > 0.0) {
            (Self::AtMost(value), true) | (Self::AtLeast(value), false) => Self::AtMost(line.back(value)),
            (Self::AtLeast(value), true) | (Self::AtMost(value), false) => Self::AtLeast(line.back(value)),
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }

    fn worse(self) -> Worse {
        match self {
            Self::AtMost(_) => Worse::Up,
            Self::AtLeast(_) => Worse::Down,
        }
    }
}

/// What is known of an SLI beside its query.
pub(crate) struct Wanted<'a> {
    pub(crate) name: String,
    pub(crate) source: String,
    /// Where the query stands in the file.
    pub(crate) pointer: &'a str,
    pub(crate) bounds: &'a [Bound],
    /// Which way is harm, where no bound says it.
    pub(crate) worse: Option<Worse>,
    pub(crate) bare: Bare,
    /// What an SLI with a bound is held against.
    pub(crate) against: Against,
}

/// An SLI that measures nothing yet.
pub(crate) fn blank(name: String, source: String) -> Sli {
    Sli {
        name,
        source,
        ratio: None,
        latency: None,
        gauge: None,
        rate: None,
        objective: None,
        against: Against::Step,
        harm: None,
        safe: None,
        floor: None,
        weight: None,
    }
}

/// The nearest objective that can be written, if the share is one.
pub(crate) fn objective(share: f64) -> Option<Objective> {
    let text = format!("{:.4}", share * 100.0);
    (share > 0.0 && share < 1.0).then(|| format!("{text}%").parse().ok()).flatten()
}

/// Makes an SLI of a query, and says what has to be said. Nothing where the query can't be read.
pub(crate) fn of_query(spot: &mut Spot<'_>, query: &str, wanted: &Wanted<'_>) -> Option<Sli> {
    let expr = match promql::read(query) {
        Ok(expr) if expr.has_series() => expr,
        Ok(_) => {
            spot.not_taken(wanted.pointer, format!("`{}` reads no series", wanted.name), "");
            return None;
        }
        Err(error) => {
            let text = format!("the query of `{}` can't be read as PromQL: {error}", wanted.name);
            spot.not_taken(wanted.pointer, text, "write the SLI by hand, with a selector for each of its counters");
            return None;
        }
    };
    say_versions(spot, &expr, wanted.pointer);
    let mut made = Making { spot, expr: &expr, wanted };
    let mut sli = match expr.form(wanted.bare) {
        Form::Quotient { of, per, line } => made.quotient(&of, &per, line),
        Form::Quantile { quantile, histogram, scale } => made.latency(quantile, &histogram, scale),
        Form::Speed { of, line } => made.speed(&of, line),
        Form::Level { of } => made.gauge(of.of_version().to_string()),
        Form::Other => made.whole(),
    };
    if sli.has_objective() && sli.against == Against::Step {
        sli.against = wanted.against;
    }
    Some(sli)
}

/// The selector of a query that counts: for a good, bad or total of its own.
pub(crate) fn counter(spot: &mut Spot<'_>, query: &str, pointer: &str, name: &str) -> Option<Selector> {
    let help = "write the counter itself, such as `http_requests_total{code=~\"5..\"}`";
    match promql::read(query) {
        Err(error) => {
            spot.not_taken(pointer, format!("a query of `{name}` can't be read as PromQL: {error}"), help);
            None
        }
        Ok(expr) => {
            say_versions(spot, &expr, pointer);
            match expr.form(Bare::Counters) {
                Form::Speed { of, line } if line.offset == 0.0 => {
                    if expr.looks_back() {
                        say_windows(spot, pointer);
                    }
                    Some(of)
                }
                _ => {
                    let text = format!(
                        "a query of `{name}` is no sum over one counter, so that its events can't be counted one by one"
                    );
                    spot.not_taken(pointer, text, help);
                    None
                }
            }
        }
    }
}

fn say_versions(spot: &mut Spot<'_>, expr: &Expr, pointer: &str) {
    if expr.of_version() == *expr {
        return;
    }
    spot.assumed(
        pointer,
        "the queries do not tell the versions apart; `$labels` was put into every selector, which stands for the labels of the version that is read",
        "put your label in its place, as in `version=\"$cohort\"`",
    );
    if expr.any(&|e| matches!(e, Expr::Selector(s) if s.name.contains(':'))) {
        let text = "a series made by a recording rule has the label of the version only if the rule keeps it";
        spot.assumed(
            pointer,
            text,
            "keep the label in the `by (...)` of the rule, or name the counters that the rule reads",
        );
    }
    if expr.joins() {
        let text = "series are joined by `group_left` or `group_right`; `$labels` was put into the selectors of both sides, one of which may lack them";
        spot.assumed(pointer, text, "take `$labels` out of the side that has no label of the version");
    }
}

fn say_windows(spot: &mut Spot<'_>, pointer: &str) {
    spot.differs(
        pointer,
        "a rate over a window is taken as its counter: what happened between two looks is counted, each event once, and a counter that begins anew is seen",
        "",
    );
}

struct Making<'a, 'b> {
    spot: &'a mut Spot<'b>,
    expr: &'a Expr,
    wanted: &'a Wanted<'a>,
}

impl Making<'_, '_> {
    fn blank(&self) -> Sli {
        blank(self.wanted.name.clone(), self.wanted.source.clone())
    }

    fn quotient(&mut self, of: &Selector, per: &Selector, line: Line) -> Sli {
        say_windows(self.spot, self.wanted.pointer);
        let bounds: Vec<Bound> = self.wanted.bounds.iter().map(|b| b.back(line)).collect();
        let share = bounds.iter().copied().find(|b| b.value() > 0.0 && b.value() < 1.0);
        let is_mean = stem(of, "_sum").is_some_and(|s| stem(per, "_count") == Some(s));
        let is_share = of.is_part_of(per) || is_bucket_of(of, per);
        if is_share || (!is_mean && (share.is_some() || direction(of).is_some())) {
            if !is_share {
                let text = format!("`{}` counts some of the events that `{}` counts", of.name, per.name);
                self.spot.assumed(self.wanted.pointer, text, "write a `rate` with `of` and `per` if it does not");
            }
            let worse = self.worse_of(line);
            return self.ratio(of, per, share, worse);
        }
        let bound = self.one(&bounds);
        let (worse, limit) = self.limit(bound, self.worse_of(line));
        let rate = Rate { of: text(of), per: Some(text(per)), worse, limit };
        Sli { rate: Some(rate), ..self.blank() }
    }

    /// Which way x is worse, where only the value says.
    fn worse_of(&self, line: Line) -> Option<Worse> {
        let turned = |worse| if worse == Worse::Up { Worse::Down } else { Worse::Up };
        self.wanted.worse.map(|worse| if line.scale > 0.0 { worse } else { turned(worse) })
    }

    fn ratio(&mut self, of: &Selector, per: &Selector, share: Option<Bound>, worse: Option<Worse>) -> Sli {
        if share.is_none() && !self.wanted.bounds.is_empty() {
            let text = format!(
                "the bound of `{}` is no share above 0 and below 1, so that it is no objective",
                self.wanted.name
            );
            self.spot.not_taken(self.wanted.pointer, text, "write for example `objective: 99.9%`");
        }
        let worse = share.map(Bound::worse).or(direction(of)).or(worse).unwrap_or_else(|| {
            let text = format!("`{}` counts bad events", of.name);
            self.spot.assumed(self.wanted.pointer, text, "write `good` in place of `bad` if it counts good ones");
            Worse::Up
        });
        let objective = share.and_then(|bound| match bound {
            Bound::AtMost(bad) => objective(1.0 - bad),
            Bound::AtLeast(good) => objective(good),
        });
        let (bad, good) = match worse {
            Worse::Up => (Some(text(of)), None),
            Worse::Down => (None, Some(text(of))),
        };
        Sli { ratio: Some(Ratio { bad, good, total: text(per) }), objective, ..self.blank() }
    }

    fn latency(&mut self, quantile: f64, histogram: &Selector, scale: f64) -> Sli {
        say_windows(self.spot, self.wanted.pointer);
        let bound = self.wanted.bounds.iter().find_map(|b| match b {
            Bound::AtMost(value) if *value > 0.0 => Some(value / scale),
            _ => None,
        });
        let unit = self.unit(&histogram.name, bound);
        match (unit, bound) {
            (Unit::Seconds, bound) => {
                let below =
                    bound.map(|seconds| Span::millis((seconds * 1e3).round() as u64)).filter(|s| *s > Span::ZERO);
                let latency = Latency { histogram: text(histogram), below };
                let objective = below.and_then(|_| objective(quantile));
                self.say_quantile(quantile, below.is_some());
                Sli { latency: Some(latency), objective, ..self.blank() }
            }
            (Unit::Other, Some(edge)) => {
                let named = |ending: &str| histogram.named(format!("{}{ending}", histogram.name));
                let mut fast = named("_bucket");
                let edge = shortest(edge);
                let value = format!("{}(\\.0)?", edge.replace('.', "\\."));
                fast.matchers.push(Matcher::Label { label: "le".into(), operator: "=~".into(), value });
                let note = format!(
                    "`{}` is not in seconds, so that the bucket `le=\"{edge}\"` is counted as a share of all; it has to be one of the histogram's edges",
                    histogram.name
                );
                self.spot.assumed(self.wanted.pointer, note, "write the nearest edge in its place");
                self.say_quantile(quantile, true);
                let ratio = Ratio { bad: None, good: Some(text(&fast)), total: text(&named("_count")) };
                Sli { ratio: Some(ratio), objective: objective(quantile), ..self.blank() }
            }
            (Unit::Other, None) => {
                let note = format!("`{}` is not in seconds and `{}` has no bound", histogram.name, self.wanted.name);
                self.spot.differs(
                    self.wanted.pointer,
                    format!("{note}: its quantile is judged as a gauge, which needs more time than its buckets would"),
                    "count one of its buckets: `ratio: {good: ..._bucket{le=\"250\"}, total: ..._count}`",
                );
                self.whole()
            }
        }
    }

    fn say_quantile(&mut self, quantile: f64, bounded: bool) {
        let percent = shortest(quantile * 100.0);
        if bounded {
            let note = format!(
                "the quantile {percent} % below the bound is taken as {percent} % of the requests being faster than it: the same promise, counted by request"
            );
            self.spot.differs(self.wanted.pointer, note, "");
        } else {
            let note = "of a histogram the whole distribution is compared, body and tail, not one quantile";
            self.spot.differs(self.wanted.pointer, note, "");
        }
    }

    fn unit(&mut self, name: &str, bound: Option<f64>) -> Unit {
        if name.contains("milliseconds")
            || name.contains("microseconds")
            || name.ends_with("_ms")
            || name.contains("_ms_")
        {
            return Unit::Other;
        }
        if name.contains("seconds") {
            return Unit::Seconds;
        }
        // Nobody promises that 99 % of the requests take less than a minute: such a figure counts milliseconds.
        let (unit, said) =
            if bound.is_some_and(|b| b >= 60.0) { (Unit::Other, "milliseconds") } else { (Unit::Seconds, "seconds") };
        let help = "write a `ratio` over its buckets if it is in another unit";
        self.spot.assumed(self.wanted.pointer, format!("`{name}` is in {said}"), help);
        unit
    }

    fn speed(&mut self, of: &Selector, line: Line) -> Sli {
        say_windows(self.spot, self.wanted.pointer);
        if let Some(all) = all_events(of) {
            let text =
                format!("`{}` without `{}` counts all events, by which the errors are divided", of.name, told(of));
            self.spot.assumed(self.wanted.pointer, text, "write another `total`");
            if !self.wanted.bounds.is_empty() {
                let text = format!(
                    "the bound of `{}` on a number of errors in a time, which grows with the traffic",
                    self.wanted.name
                );
                self.spot.not_taken(self.wanted.pointer, text, "write for example `objective: 99.9%`");
            }
            let worse = direction(of).or(self.worse_of(line));
            return self.ratio_of_speed(of, &all, worse);
        }
        let bounds: Vec<Bound> = self.wanted.bounds.iter().map(|b| b.back(line)).collect();
        let bound = self.one(&bounds);
        let (worse, limit) = self.limit(bound, self.worse_of(line).or(direction(of)));
        if limit.is_some() {
            let text = format!(
                "`{}` is a speed with nothing that it is divided by: versions with different shares of the traffic can't be compared by it, and it is held against its limit alone",
                self.wanted.name
            );
            self.spot.differs(self.wanted.pointer, text, PER);
        }
        // Alone it means something only against its own limit.
        let against = if limit.is_some() { Against::Objective } else { Against::Step };
        Sli { rate: Some(Rate { of: self::text(of), per: None, worse, limit }), against, ..self.blank() }
    }

    fn ratio_of_speed(&mut self, of: &Selector, all: &Selector, worse: Option<Worse>) -> Sli {
        let (bad, good) = match worse {
            Some(Worse::Down) => (None, Some(text(of))),
            _ => (Some(text(of)), None),
        };
        Sli { ratio: Some(Ratio { bad, good, total: text(all) }), ..self.blank() }
    }

    /// The whole query, judged by its value.
    fn whole(&mut self) -> Sli {
        if self.expr.looks_back() {
            self.spot.differs(
                self.wanted.pointer,
                format!("the query of `{}` is no count and no quotient of two: its value is judged as a gauge, and as it looks back over a window of its own, each look sees much of the last one again, which takes longer to judge", self.wanted.name),
                "write its counters as a `ratio` or a `rate`",
            );
        }
        self.gauge(self.expr.of_version().to_string())
    }

    fn gauge(&mut self, query: String) -> Sli {
        let bound = self.one(self.wanted.bounds);
        let (worse, limit) = self.limit(bound, self.wanted.worse);
        Sli { gauge: Some(Gauge { value: Query::Both(query), worse, limit }), ..self.blank() }
    }

    /// A gauge and a rate have one bound: of several the upper one, if it can be a limit.
    fn one(&mut self, bounds: &[Bound]) -> Option<Bound> {
        let usable = |b: &&Bound| b.value() > 0.0 && b.value().is_finite();
        let upper = bounds.iter().filter(usable).find(|b| b.worse() == Worse::Up);
        let kept = upper.or(bounds.iter().find(usable)).or(bounds.first()).copied();
        if let ([_, _, ..], Some(kept)) = (bounds, kept) {
            let which = if kept.worse() == Worse::Up { "upper" } else { "lower" };
            let text = format!(
                "`{}` has more than one bound, and an SLI has one; the {which} one is taken over",
                self.wanted.name
            );
            self.spot.not_taken(self.wanted.pointer, text, "write a second SLI with the other `limit` and `worse`");
        }
        kept
    }

    fn limit(&mut self, bound: Option<Bound>, worse: Option<Worse>) -> (Worse, Option<f64>) {
        let Some(bound) = bound else { return (worse.unwrap_or_default(), None) };
        let limit = Some(bound.value()).filter(|l| *l > 0.0 && l.is_finite());
        if limit.is_none() {
            let text =
                format!("the bound of `{}` is not above 0; levels are compared by their factor", self.wanted.name);
            self.spot.not_taken(self.wanted.pointer, text, "count what must not happen as `bad` of a `ratio`");
        }
        (bound.worse(), limit)
    }
}

/// Divides speeds by the requests that another SLI counts, and leaves out those that nothing can divide: a version with a twentieth of the traffic
/// has a twentieth of every speed, which would be taken for harm or for none.
pub(crate) fn divide_speeds(spot: &mut Spot<'_>, pointer: &str, slis: &mut Vec<Sli>) {
    let totals: Vec<(String, Query)> =
        slis.iter().filter_map(|s| Some((s.source.clone(), s.ratio.as_ref()?.total.clone()))).collect();
    slis.retain_mut(|sli| {
        let Some(rate) = sli.rate.as_mut().filter(|r| r.per.is_none() && r.limit.is_none()) else { return true };
        let name = &sli.name;
        match totals.iter().find(|(source, _)| *source == sli.source) {
            Some((_, total)) => {
                let text =
                    format!("`{name}` is divided by the requests that another SLI counts, `{}`", total.texts()[0].1);
                spot.assumed(pointer, text, "write another `per`");
                rate.per = Some(total.clone());
                true
            }
            None => {
                let text = format!("`{name}`, a speed with nothing to divide it by");
                let of = rate.of.texts()[0].1;
                spot.not_taken(
                    pointer,
                    text,
                    &format!("write `rate: {{of: '{of}', per: ...}}` with the counter of all requests"),
                );
                false
            }
        }
    });
}

/// What to do about a speed.
pub(crate) const PER: &str = "add the counter of all requests as `per`";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Other,
}

fn text(selector: &Selector) -> Query {
    Query::Both(selector.of_version().to_string())
}

/// A number without digits that say nothing.
pub(crate) fn shortest(number: f64) -> String {
    let rounded = (number * 1e9).round() / 1e9;
    rounded.to_string()
}

fn stem<'a>(selector: &'a Selector, ending: &str) -> Option<&'a str> {
    selector.name.strip_suffix(ending)
}

/// `h_bucket{le="0.3"}` of `h_count`, or of `h_bucket{le="+Inf"}`.
fn is_bucket_of(of: &Selector, per: &Selector) -> bool {
    let Some(name) = stem(of, "_bucket") else { return false };
    let is_all = per.matchers.iter().any(|m| matches!(m.wants(), Some(("le", value)) if value.contains("Inf")));
    let fits = stem(per, "_count") == Some(name) || (per.name == of.name && is_all);
    let without_edge = |s: &Selector| s.without(|m| m.label() == Some("le")).named("");
    fits && without_edge(of).is_part_of(&without_edge(per))
}

/// Labels that tell how a request ended.
const OUTCOMES: [&str; 14] = [
    "code",
    "status",
    "status_code",
    "statuscode",
    "response_code",
    "http_code",
    "http_status",
    "http_status_code",
    "http_response_status_code",
    "grpc_code",
    "outcome",
    "result",
    "success",
    "error",
];

fn is_outcome(matcher: &Matcher) -> bool {
    matcher.label().is_some_and(|label| OUTCOMES.contains(&label.to_ascii_lowercase().as_str()))
}

/// Which way the number of these events is worse, as far as their labels or name tell.
fn direction(selector: &Selector) -> Option<Worse> {
    let outcome = selector.matchers.iter().find_map(|matcher| match matcher {
        Matcher::Label { label, operator, value } if is_outcome(matcher) => {
            let says_bad = is_bad(label, value)?;
            Some(if says_bad == operator.starts_with('=') { Worse::Up } else { Worse::Down })
        }
        _ => None,
    });
    let name = selector.name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    outcome.or_else(|| {
        if has(&["error", "fail", "exception", "drop", "timeout", "reject"]) {
            Some(Worse::Up)
        } else if has(&["success", "_ok_", "good"]) || name.ends_with("_bucket") {
            Some(Worse::Down)
        } else {
            None
        }
    })
}

fn is_bad(label: &str, value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |digits: &[char]| value.trim_start_matches(['(', '^']).starts_with(digits);
    if label.eq_ignore_ascii_case("success") {
        return Some(value == "false" || value == "0");
    }
    if label.eq_ignore_ascii_case("error") {
        return Some(value != "false" && value != "0" && !value.is_empty());
    }
    if begins(&['4', '5']) || ["err", "fail", "exception", "unavailable", "internal"].iter().any(|w| value.contains(w))
    {
        Some(true)
    } else if begins(&['1', '2', '3']) || value == "ok" || value.contains("success") {
        Some(false)
    } else {
        None
    }
}

/// The counter of all events beside one of some outcome: the same without its outcome.
fn all_events(of: &Selector) -> Option<Selector> {
    let all = of.without(is_outcome);
    (all != *of && direction(of).is_some()).then_some(all)
}

fn told(of: &Selector) -> String {
    of.matchers.iter().filter(|m| is_outcome(m)).map(ToString::to_string).collect::<Vec<_>>().join(",")
}
