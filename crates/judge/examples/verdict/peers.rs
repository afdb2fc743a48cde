//! Peers: when would the judges of Kayenta, Argo Rollouts and Flagger have rolled the same canary back?
//!
//! Written anew from their published rules, in the settings that their manuals show, to be compared with; nothing here is used by the product. Figures
//! agree with an independent implementation, see `tests/peers.rs`. A peer that finds nothing by the end of its hour promotes: none of them can hold.
//!
//! - Kayenta: NetflixACAJudge with its Mann-Whitney classifier (98 %, tolerance 0.25), the Brent solver at 1e-4 under it, weighted-sum scorer.
//! - Argo Rollouts: a measurement a minute; failed ones are counted against `failureLimit`, errors in a row against `consecutiveErrorLimit`.
//! - Flagger: a check a minute over all metrics; failed ones are counted and never forgotten, and the loop after the fifth rolls back.

use crate::ticks::{GAUGES, Side, Tick};

/// The 99 % quantile of the normal distribution: the lower end of a two-sided 98 % interval.
const Z_99: f64 = 2.326_347_874_040_840_8;
/// Scrapes in one data point: a minute.
const STEP: usize = 6;
/// What threshold controllers are told to allow in the bench, as in their tutorials.
const MOST_ERRORS: f64 = 0.01;
const MOST_P99_MS: f64 = 500.0;

/// What a peer did: the tick at whose end it rolled back, or none, which promotes at the end.
pub(crate) type Rollback = Option<usize>;

/// How a Kayenta is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kayenta {
    /// Ticks between two looks.
    pub(crate) interval: usize,
    /// Whether each metric fails the canary alone.
    pub(crate) critical: Criticality,
    pub(crate) marginal: f64,
    pub(crate) pass: f64,
    /// A mean ratio below this is not called high.
    pub(crate) allowed_increase: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Criticality {
    EachMetric,
    None,
}

impl Kayenta {
    /// One look at the end, thresholds 95 and 75.
    pub(crate) const DOCUMENTED: Kayenta =
        Kayenta { interval: 360, critical: Criticality::None, marginal: 75.0, pass: 95.0, allowed_increase: 1.0 };
    /// A look every 10 minutes, thresholds 75 and 50.
    pub(crate) const LAX: Kayenta =
        Kayenta { interval: 60, critical: Criticality::None, marginal: 50.0, pass: 75.0, allowed_increase: 1.0 };
    /// A look every 5 minutes, each metric critical.
    pub(crate) const CRITICAL: Kayenta =
        Kayenta { interval: 30, critical: Criticality::EachMetric, marginal: 50.0, pass: 75.0, allowed_increase: 1.0 };
    /// The same, and no rise of less than a tenth counts.
    pub(crate) const TUNED: Kayenta = Kayenta { allowed_increase: 1.1, ..Kayenta::CRITICAL };
}

/// The series of one metric: a data point a minute, NaN where there was none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) experiment: Vec<f64>,
    pub(crate) control: Vec<f64>,
}

/// The four metrics of the bench as Kayenta sees them: error percentage, p99, two gauges.
pub(crate) fn series(ticks: &[Tick], edges: &[f64]) -> Vec<Series> {
    let of = |value: &dyn Fn(&[&Side]) -> f64| {
        let points = |side: fn(&Tick) -> Option<&Side>| {
            let minutes = ticks.chunks_exact(STEP);
            minutes.map(|minute| value(&minute.iter().filter_map(side).collect::<Vec<_>>())).collect()
        };
        Series { experiment: points(|t| t.canary.as_ref()), control: points(|t| t.baseline.as_ref()) }
    };
    let mut all = vec![of(&error_percent), of(&|sides| p99(sides, edges))];
    all.extend((0..GAUGES).map(|gauge| of(&|sides| mean(sides.iter().map(|side| 100.0 * side.gauges[gauge])))));
    all
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

fn error_share(sides: &[&Side]) -> f64 {
    let requests: u64 = sides.iter().map(|side| side.requests).sum();
    let errors: u64 = sides.iter().map(|side| side.errors).sum();
    errors as f64 / requests as f64
}

fn error_percent(sides: &[&Side]) -> f64 {
    100.0 * error_share(sides)
}

fn p99(sides: &[&Side], edges: &[f64]) -> f64 {
    let mut sum = vec![0; edges.len() + 1];
    for side in sides {
        sum.iter_mut().zip(&side.buckets).for_each(|(sum, count)| *sum += count);
    }
    quantile(&sum, edges, 0.99)
}

/// As Prometheus takes it from a histogram: linear inside a bucket, the last edge for what lies above it, NaN for nothing.
fn quantile(buckets: &[u64], edges: &[f64], share: f64) -> f64 {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return f64::NAN;
    }
    let rank = share * total as f64;
    let mut below = 0.0;
    for (i, &count) in buckets.iter().enumerate() {
        let up_to = below + count as f64;
        if up_to >= rank {
            let Some(&high) = edges.get(i) else { break };
            let low = if i == 0 { 0.0 } else { edges[i - 1] };
            let part = if count > 0 { (rank - below) / count as f64 } else { 1.0 };
            return low + (high - low) * part;
        }
        below = up_to;
    }
    edges[edges.len() - 1]
}

/// What Kayenta's classifier says of one metric, whose rise is the harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    High,
    Pass,
    NoData,
}

impl Kayenta {
    pub(crate) fn judge(&self, series: &[Series]) -> Rollback {
        let points = series.iter().map(|s| s.control.len()).min().unwrap_or(0);
        let looks: Vec<usize> =
            (1..).map(|look| look * self.interval / STEP).take_while(|&look| look <= points).collect();
        let last = looks.last().copied();
        let fails = |&look: &usize| {
            let score = self.score(series, look);
            score <= self.marginal || (Some(look) == last && score < self.pass)
        };
        looks.iter().copied().find(|look| fails(look)).map(|look| look * STEP - 1)
    }

    fn score(&self, series: &[Series], points: usize) -> f64 {
        let classes: Vec<Class> = series
            .iter()
            .map(|s| classify(&s.experiment[..points], &s.control[..points], self.allowed_increase))
            .collect();
        let number = |class| classes.iter().filter(|&&c| c == class).count();
        let (high, none) = (number(Class::High), number(Class::NoData));
        if (self.critical == Criticality::EachMetric && high + none > 0) || 2 * none >= classes.len() {
            return 0.0;
        }
        // a metric without data is left out, and its group scores full
        100.0 * (classes.len() - high) as f64 / classes.len() as f64
    }
}

/// Mann-Whitney with a tolerance of a quarter of the estimated shift, and a mean ratio above the allowed increase.
pub(crate) fn classify(experiment: &[f64], control: &[f64], allowed_increase: f64) -> Class {
    let (x, y) = (sorted(experiment), sorted(control));
    let (Some((x_low, x_high)), Some((y_low, y_high))) = (ends(&x), ends(&y)) else {
        return Class::NoData;
    };
    if x == y {
        return Class::Pass;
    }
    if x_low == x_high && y_low == y_high {
        // the source adds a noise of 1e-5 to constants, which keeps them apart
        return if x_low > y_low { Class::High } else { Class::Pass };
    }
    let shift = |z: f64| Shift { x: &x, y: &y, z };
    let (low, high) = (x_low - y_high, x_high - y_low);
    let lower = shift(Z_99);
    let (at_low, at_high) = (lower.excess(low), lower.excess(high));
    if at_low.is_nan() || at_high.is_nan() {
        // the source's exception makes the metric an error, which isn't counted
        return Class::Pass;
    }
    let lower = if at_low <= 0.0 {
        low
    } else if at_high >= 0.0 {
        high
    } else {
        lower.root(low, high)
    };
    let estimate = shift(0.0).root(low, high);
    let (of_x, of_y) = (mean(x.iter().copied()), mean(y.iter().copied()));
    let rises = of_x == 0.0 || of_y == 0.0 || of_x / of_y >= allowed_increase;
    if lower > 0.25 * estimate.abs() && rises { Class::High } else { Class::Pass }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn ends(sorted: &[f64]) -> Option<(f64, f64)> {
    Some((*sorted.first()?, *sorted.last()?))
}

/// Two sorted samples, and the standard score at which the shift between them is sought.
struct Shift<'a> {
    x: &'a [f64],
    y: &'a [f64],
    z: f64,
}

impl Shift<'_> {
    /// The score of the rank sum when `x` is moved down by `by`, corrected for continuity and ties, less the score sought. NaN when all are tied.
    fn excess(&self, by: f64) -> f64 {
        let (n, m) = (self.x.len(), self.y.len());
        let (mut i, mut j) = (0, 0);
        let (mut wins, mut ties) = (0.0, 0.0);
        while i < n || j < m {
            let moved = |i: usize| self.x[i] - by;
            let value = if j >= m || (i < n && moved(i) <= self.y[j]) { moved(i) } else { self.y[j] };
            let (first_x, first_y) = (i, j);
            while i < n && moved(i) == value {
                i += 1;
            }
            while j < m && self.y[j] == value {
                j += 1;
            }
            let (of_x, of_y) = ((i - first_x) as f64, (j - first_y) as f64);
            wins += of_x * (first_y as f64 + 0.5 * of_y);
            let tied = of_x + of_y;
            ties += tied * tied * tied - tied;
        }
        let (n, m) = (n as f64, m as f64);
        let excess = wins - n * m / 2.0;
        let continuity = if excess == 0.0 { 0.0 } else { 0.5 * excess.signum() };
        let sd = ((n * m / 12.0) * ((n + m + 1.0) - ties / ((n + m) * (n + m - 1.0)))).sqrt();
        if sd == 0.0 { f64::NAN } else { (excess - continuity) / sd - self.z }
    }

    /// Brent's root of the excess between these bounds, to 1e-4, as R's `zeroin` seeks it: the excess is a step function, so the steps of the
    /// search decide which of its points is found.
    fn root(&self, low: f64, high: f64) -> f64 {
        let (mut a, mut b) = ((low, self.excess(low)), (high, self.excess(high)));
        if a.1 == 0.0 {
            return a.0;
        }
        if b.1 == 0.0 {
            return b.0;
        }
        let mut c = a;
        for _ in 0..1001 {
            let before = b.0 - a.0;
            if c.1.abs() < b.1.abs() {
                (a, b, c) = (b, c, b);
            }
            let tolerance = 2.0 * f64::EPSILON * b.0.abs() + 0.5e-4;
            let half = (c.0 - b.0) / 2.0;
            if half.abs() <= tolerance || b.1 == 0.0 {
                return b.0;
            }
            let mut step = half;
            if before.abs() >= tolerance && a.1.abs() > b.1.abs() {
                step = interpolated(a, b, c, before, tolerance).unwrap_or(half);
            }
            if step.abs() < tolerance {
                step = if step > 0.0 { tolerance } else { -tolerance };
            }
            a = b;
            b.0 += step;
            b.1 = self.excess(b.0);
            if (b.1 > 0.0 && c.1 > 0.0) || (b.1 < 0.0 && c.1 < 0.0) {
                c = a;
            }
        }
        b.0
    }
}

/// Brent's step by a line or a parabola, where it is short enough to be trusted.
fn interpolated(a: (f64, f64), b: (f64, f64), c: (f64, f64), before: f64, tolerance: f64) -> Option<f64> {
    let width = c.0 - b.0;
    let (mut p, mut q);
    if a.0 == c.0 {
        let slope = b.1 / a.1;
        p = width * slope;
        q = 1.0 - slope;
    } else {
        let (q0, t1, t2) = (a.1 / c.1, b.1 / c.1, b.1 / a.1);
        p = t2 * (width * q0 * (q0 - t1) - (b.0 - a.0) * (t1 - 1.0));
        q = (q0 - 1.0) * (t1 - 1.0) * (t2 - 1.0);
    }
    if p > 0.0 {
        q = -q;
    } else {
        p = -p;
    }
    (p < 0.75 * width * q - (tolerance * q).abs() / 2.0 && p < (before * q / 2.0).abs()).then(|| p / q)
}

/// The last minute of the canary, as a threshold controller measures it.
struct Minute {
    present: bool,
    errors: f64,
    p99_ms: f64,
}

fn minutes<'a>(ticks: &'a [Tick], edges: &'a [f64]) -> impl Iterator<Item = (usize, Minute)> + 'a {
    ticks.chunks_exact(STEP).enumerate().map(|(i, minute)| {
        let sides: Vec<&Side> = minute.iter().filter_map(|tick| tick.canary.as_ref()).collect();
        let measured = Minute { present: !sides.is_empty(), errors: error_share(&sides), p99_ms: p99(&sides, edges) };
        ((i + 1) * STEP - 1, measured)
    })
}

fn is_above(value: f64, limit: f64) -> bool {
    // a division of nothing by nothing fails the condition too
    value.is_nan() || value > limit
}

/// More than three failed measurements of one metric, or five errors in a row, roll back.
pub(crate) fn argo(ticks: &[Tick], edges: &[f64]) -> Rollback {
    let metric = |value: fn(&Minute) -> f64, limit: f64| {
        let (mut failed, mut errors_in_a_row) = (0, 0);
        minutes(ticks, edges).find_map(|(tick, minute)| {
            if minute.present {
                failed += u32::from(is_above(value(&minute), limit));
                errors_in_a_row = 0;
            } else {
                errors_in_a_row += 1;
            }
            (failed > 3 || errors_in_a_row > 4).then_some(tick)
        })
    };
    let (errors, p99) = (metric(|m| m.errors, MOST_ERRORS), metric(|m| m.p99_ms, MOST_P99_MS));
    errors.into_iter().chain(p99).min()
}

/// Five failed checks, then the next loop rolls back.
pub(crate) fn flagger(ticks: &[Tick], edges: &[f64]) -> Rollback {
    let mut failed = 0;
    minutes(ticks, edges).find_map(|(tick, minute)| {
        if failed >= 5 {
            return Some(tick);
        }
        let is_bad = !minute.present || is_above(minute.errors, MOST_ERRORS) || is_above(minute.p99_ms, MOST_P99_MS);
        failed += u32::from(is_bad);
        None
    })
}
