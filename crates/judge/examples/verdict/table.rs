//! Table: the document that the bench prints.
//!
//! Each target of the verdict beside what was seen, met or missed, then every scenario and judge. Must never round a miss into a hit: whether a target is met
//! is asked of the figures, not of what is printed. Next room: none.

use std::fmt::{Display, Write as _};

use judge::Profile;

use crate::catalogue::{Calm, Fate, Harm, Scenario};
use crate::cost::Cost;
use crate::figures::{Difference, Of, mean, median, quantile};
use crate::judging::ERROR_FLOOR;
use crate::null::{ALPHAS, Null};
use crate::plan;
use crate::runs::{Outcome, Played, Who, minutes, planned_looks};
use crate::traces::Trace;
use crate::traffic::{HOUR, Share};

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) command: String,
    pub(crate) played: Vec<Played>,
    pub(crate) nulls: Vec<Null>,
    pub(crate) traces: Vec<Trace>,
    pub(crate) cost: Option<Cost>,
}

/// A target, what was seen of it, and whether it is met.
struct Target {
    number: &'static str,
    wanted: String,
    seen: String,
    met: Met,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Yes,
    No,
    NotMeasured,
}

impl Met {
    fn when(met: bool) -> Met {
        if met { Met::Yes } else { Met::No }
    }

    fn word(self) -> &'static str {
        match self {
            Met::Yes => "met",
            Met::No => "**MISSED**",
            Met::NotMeasured => "not measured",
        }
    }
}

/// The whole document.
pub(crate) fn document(measured: &Measured) -> String {
    let mut text = opening(measured);
    section(&mut text, "Targets", &targets(measured));
    section(&mut text, "Judges side by side", &judges(measured));
    section(&mut text, "Healthy canaries", &healthy(measured));
    section(&mut text, "Harmful canaries", &harmful(measured));
    section(&mut text, "Users exposed", &exposed(measured));
    section(&mut text, "Outages", &outages(measured));
    section(&mut text, "Dark and starved canaries", &dark(measured));
    section(&mut text, "Rollouts in steps", &stepped(measured));
    section(&mut text, "Against the reference design, run by run", &paired(measured));
    section(&mut text, "The bound on exact nulls", &nulls(measured));
    section(&mut text, "Real traces", &traces(measured));
    section(&mut text, "Cost", &cost(measured));
    text
}

fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(text, "\n## {title}\n\n{body}");
    }
}

fn opening(measured: &Measured) -> String {
    let runs: usize = measured.played.iter().map(|played| played.runs.len()).sum();
    format!(
        "# The verdict, measured\n\n\
         Written by `{}`. {} canaries of {} scenarios, each judged by every judge in the table: four SLIs (errors, latency, two gauges), one hour, a look \
         every 10 s, alpha 1 %. A run's seed is its lot's first seed, plus a million for each scenario before it, plus its number: the same command gives \
         the same figures (but for those of cost and of real traces).\n\n\
         The catalogue exists twice. The judge was tuned on one lot; the lot *held out* differs in every number. Kayenta, Argo Rollouts and Flagger are \
         reimplemented from their published rules, see `crates/judge/examples/verdict/peers.rs`. Shares have exact 95 % intervals in brackets. \"Decidable\" \
         comes from a simple information count (`plan.rs`) that knows the scenario, until the product's exposure plan takes its place.\n",
        measured.command,
        grouped(runs),
        measured.played.len()
    )
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One row of a Markdown table.
fn row(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn head(cells: &[&str]) -> String {
    let mut text = String::new();
    row(&mut text, &cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    let _ = writeln!(text, "|{}", "---|".repeat(cells.len()));
    text
}

fn share(of: Of) -> String {
    if of.all == 0 {
        return "-".into();
    }
    let [low, high] = of.interval();
    format!("{} of {} = {:.2} % [{low:.2}, {high:.2}]", grouped(of.hits), grouped(of.all), of.percent())
}

fn short(of: Of) -> String {
    if of.all == 0 { "-".into() } else { figure(of.percent()) }
}

/// Enough digits to tell, and no more.
fn figure(value: f64) -> String {
    if value.is_nan() {
        "-".into()
    } else if value.is_infinite() {
        "never".into()
    } else if value == 0.0 {
        "0".into()
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn cells(values: impl IntoIterator<Item = impl Display>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

fn name(scenario: &Scenario) -> String {
    format!("{} ({})", scenario.name, scenario.lot.name)
}

// --- what is asked of the runs

impl Measured {
    fn of(&self, is: impl Fn(&Fate) -> bool) -> Vec<&Played> {
        self.played.iter().filter(|played| is(&played.scenario.fate)).collect()
    }

    fn healthy(&self) -> Vec<&Played> {
        self.of(|fate| matches!(fate, Fate::Healthy(_)))
    }

    fn harmful(&self) -> Vec<&Played> {
        self.of(|fate| matches!(fate, Fate::Harmful(_)))
    }

    fn decidable(&self) -> Vec<&Played> {
        self.harmful().into_iter().filter(|played| plan::decidable(&played.scenario).is_some()).collect()
    }
}

impl Played {
    fn count(&self, who: Who, is: impl Fn(&Outcome) -> bool) -> Of {
        Of::count(&self.of(who), |outcome| is(outcome))
    }

    fn false_rollbacks(&self, who: Who) -> Of {
        self.count(who, Outcome::is_rolled_back)
    }

    fn promoted(&self, who: Who) -> Of {
        self.count(who, Outcome::is_promoted)
    }

    fn held(&self, who: Who) -> Of {
        self.count(who, Outcome::is_held)
    }

    fn detected(&self, who: Who) -> Of {
        self.count(who, |outcome| outcome.is_detected(self.onset()))
    }

    fn delays(&self, who: Who) -> Vec<f64> {
        self.of(who).iter().map(|outcome| outcome.delay_minutes(self.onset())).collect()
    }

    fn median_delay(&self, who: Who) -> f64 {
        median(&self.delays(who))
    }

    /// The longest that harm can go unseen in the hour.
    fn longest_delay(&self) -> f64 {
        minutes(HOUR - self.onset())
    }

    /// Our median delay over another's, who is taken to have seen at the end of the hour what it never saw.
    fn delay_ratio(&self, other: Who) -> f64 {
        self.median_delay(Who::Ours) / self.median_delay(other).min(self.longest_delay())
    }
}

fn pooled(played: &[&Played], count: impl Fn(&Played) -> Of) -> Of {
    played.iter().fold(Of::default(), |sum, it| sum.and(count(it)))
}

/// The scenario where a figure is largest.
fn worst<'a>(played: &[&'a Played], of: impl Fn(&Played) -> f64) -> Option<(&'a Played, f64)> {
    played.iter().map(|it| (*it, of(it))).filter(|(_, value)| !value.is_nan()).max_by(|a, b| a.1.total_cmp(&b.1))
}

fn at(found: Option<(&Played, f64)>, unit: &str) -> String {
    found.map_or("none".into(), |(played, value)| format!("{}{unit} in `{}`", figure(value), name(&played.scenario)))
}

fn is_at_most(found: Option<(&Played, f64)>, limit: f64) -> bool {
    found.is_some_and(|(_, value)| value <= limit)
}

// --- targets

fn targets(measured: &Measured) -> String {
    let mut all = false_rollback_targets(measured);
    all.extend(detection_targets(measured));
    all.extend(delay_targets(measured));
    all.extend(dark_targets(measured));
    all.extend(outage_targets(measured));
    all.extend(promotion_targets(measured));
    all.extend(stepped_targets(measured));
    all.extend(paired_targets(measured));
    all.extend(trace_targets(measured));
    all.extend(cost_targets(measured));
    let mut text = head(&["", "wanted", "seen", ""]);
    for target in all {
        row(&mut text, &[target.number.into(), target.wanted, target.seen, target.met.word().into()]);
    }
    text
}

fn target(number: &'static str, wanted: impl Into<String>, seen: impl Into<String>, met: bool) -> Target {
    Target { number, wanted: wanted.into(), seen: seen.into(), met: Met::when(met) }
}

fn false_rollback_targets(measured: &Measured) -> Vec<Target> {
    let healthy = measured.healthy();
    if healthy.is_empty() {
        return Vec::new();
    }
    let most = worst(&healthy, |it| it.false_rollbacks(Who::Ours).percent());
    let of_worst = most.map_or(String::new(), |(it, _)| share(it.false_rollbacks(Who::Ours)));
    let all = pooled(&healthy, |it| it.false_rollbacks(Who::Ours));
    let mut targets = vec![
        target(
            "1",
            "false rollbacks <= 1 % in every healthy scenario",
            format!("worst {} ({of_worst})", at(most, " %")),
            is_at_most(most, 1.0),
        ),
        target("1", "<= 0.2 % over all", share(all), all.percent() <= 0.2),
    ];
    for (i, alpha) in ALPHAS.iter().enumerate() {
        let crossed = measured.nulls.iter().flat_map(|null| null.crossed.iter().map(move |(_, of)| (null.name, of[i])));
        let Some((name, most)) = crossed.max_by(|a, b| a.1.percent().total_cmp(&b.1.percent())) else { continue };
        targets.push(target(
            "1",
            format!("exact nulls cross 1/alpha in at most {} %", figure(100.0 * alpha)),
            format!("most: {} in `{name}`", share(most)),
            most.percent() <= 100.0 * alpha,
        ));
    }
    targets
}

fn detection_targets(measured: &Measured) -> Vec<Target> {
    let decidable = measured.decidable();
    if decidable.is_empty() {
        return Vec::new();
    }
    let detected = pooled(&decidable, |it| it.detected(Who::Ours));
    let least = worst(&decidable, |it| 100.0 - it.detected(Who::Ours).percent());
    let promoted = pooled(&decidable, |it| it.promoted(Who::Ours));
    let mut targets = vec![
        target(
            "2",
            "decidable harm: detected within the hour >= 97 %",
            format!("{}; least seen: {} undetected", share(detected), at(least, " %")),
            detected.percent() >= 97.0,
        ),
        target("2", "decidable harm: promoted 0", promoted_where(&decidable), promoted.hits == 0),
    ];
    let rest: Vec<&Played> =
        measured.harmful().into_iter().filter(|it| plan::decidable(&it.scenario).is_none()).collect();
    if !rest.is_empty() {
        let promoted = pooled(&rest, |it| it.promoted(Who::Ours));
        let seen = promoted_where(&rest);
        targets.push(target("2", "the rest held, none promoted", seen, promoted.hits == 0));
    }
    let calibration: Vec<f64> = decidable
        .iter()
        .filter_map(|it| Some(it.median_delay(Who::Ours) / minutes(plan::decidable(&it.scenario)?.ceil() as usize)))
        .collect();
    let seen = format!(
        "median delay over foretold: median {}, from {} to {}",
        figure(median(&calibration)),
        figure(quantile(&calibration, 0.0)),
        figure(quantile(&calibration, 1.0))
    );
    targets.push(Target { number: "2", wanted: "the plan's calibration printed".into(), seen, met: Met::Yes });
    targets
}

/// How many were promoted, most of them where, and how many of them because the settings call so few errors harmless.
fn promoted_where(played: &[&Played]) -> String {
    let promoted = pooled(played, |it| it.promoted(Who::Ours));
    let below: Vec<&Played> = played.iter().copied().filter(|it| stays_below_the_floor(&it.scenario)).collect();
    let harmless = pooled(&below, |it| it.promoted(Who::Ours)).hits;
    let most = worst(played, |it| it.promoted(Who::Ours).percent());
    format!("{}; most: {}; {harmless} of them with errors below the absolute floor", share(promoted), at(most, " %"))
}

/// Errors so few, even harmed, that the settings call them harmless.
fn stays_below_the_floor(scenario: &Scenario) -> bool {
    let parameters = &scenario.parameters;
    parameters.error_factor > 1.0 && parameters.errors * parameters.error_factor < ERROR_FLOOR
}

fn delay_targets(measured: &Measured) -> Vec<Target> {
    let decidable = measured.decidable();
    let of = |harm: Harm| -> Vec<&Played> {
        decidable.iter().copied().filter(|it| it.scenario.fate == Fate::Harmful(harm)).collect()
    };
    let mut targets = Vec::new();
    for (harm, name, limit) in [
        (Harm::Usual, "median delay, of Kayenta's as documented", 0.2),
        (Harm::SlowLeak, "the same of a slow leak", 0.4),
        (Harm::Thin, "the same where the canary gets 1 request/s or less", 0.3),
    ] {
        let played = of(harm);
        if played.is_empty() {
            continue;
        }
        let most = worst(&played, |it| it.delay_ratio(Who::KayentaDocumented));
        let above = played.iter().filter(|it| it.delay_ratio(Who::KayentaDocumented) > limit).count();
        let middle = median(&played.iter().map(|it| it.delay_ratio(Who::KayentaDocumented)).collect::<Vec<_>>());
        let seen =
            format!("worst {}; {above} of {} scenarios above; median {}", at(most, ""), played.len(), figure(middle));
        targets.push(target("2", format!("{name}: <= {limit} in every scenario"), seen, is_at_most(most, limit)));
    }
    if decidable.is_empty() {
        return targets;
    }
    let ratios: Vec<f64> = decidable.iter().map(|it| it.delay_ratio(Who::KayentaTuned)).collect();
    let geometric = mean(&ratios.iter().map(|ratio| ratio.ln()).collect::<Vec<_>>()).exp();
    let most = worst(&decidable, |it| it.delay_ratio(Who::KayentaTuned));
    let above = ratios.iter().filter(|ratio| **ratio > 1.4).count();
    let false_ones = pooled(&measured.healthy(), |it| it.false_rollbacks(Who::KayentaTuned));
    targets.push(target(
        "2",
        "median delay, of the tuned Kayenta's at 5-minute looks: <= 0.45 over the scenarios",
        format!(
            "geometric mean {}, median {} (its own false rollbacks: {})",
            figure(geometric),
            figure(median(&ratios)),
            share(false_ones)
        ),
        geometric <= 0.45,
    ));
    let seen = format!("worst {}; {above} of {} above", at(most, ""), ratios.len());
    targets.push(target("2", "the same: nowhere above 1.4", seen, is_at_most(most, 1.4)));
    targets
}

fn right_reason(played: &Played) -> Of {
    let Fate::Dark(wanted) = played.scenario.fate else { return Of::default() };
    played.count(Who::Ours, |outcome| outcome.is_held() && outcome.codes.iter().any(|code| wanted.contains(code)))
}

fn dark_targets(measured: &Measured) -> Vec<Target> {
    let dark = measured.of(|fate| matches!(fate, Fate::Dark(_)));
    if dark.is_empty() {
        return Vec::new();
    }
    let promoted = pooled(&dark, |it| it.promoted(Who::Ours));
    let right = pooled(&dark, right_reason);
    let rolled_back = pooled(&dark, |it| it.false_rollbacks(Who::Ours));
    let met = if promoted.hits > 0 {
        Met::No
    } else if promoted.all >= 2000 {
        Met::Yes
    } else {
        Met::NotMeasured
    };
    vec![
        Target {
            number: "3",
            wanted: "no promotion in 2,000 dark or starved canaries".into(),
            seen: share(promoted),
            met,
        },
        target(
            "3",
            "each held with the right reason code",
            format!("{} (rolled back: {})", share(right), rolled_back.hits),
            right.hits == right.all,
        ),
    ]
}

/// Rolled back on one scrape after the onset.
fn on_one_scrape(played: &Played) -> Of {
    played.count(Who::Ours, |it| it.is_detected(played.onset()) && it.delay_minutes(played.onset()) <= minutes(1))
}

/// Rolled back within three full scrapes. A run that has fewer than three in its hour is not asked.
fn within_three(played: &Played) -> Of {
    played.count(Who::Ours, |it| it.is_detected(played.onset()) && it.full_scrapes <= 3)
}

fn outage_targets(measured: &Measured) -> Vec<Target> {
    let outages = measured.of(|fate| matches!(fate, Fate::Outage));
    if outages.is_empty() {
        return Vec::new();
    }
    let (soon, on_one) = (pooled(&outages, within_three), pooled(&outages, on_one_scrape));
    vec![
        target(
            "4",
            "an outage is rolled back within three scrapes of at least 20 canary requests",
            format!(
                "{}; least seen: {} later",
                share(soon),
                at(worst(&outages, |it| 100.0 - within_three(it).percent()), " %")
            ),
            soon.hits == soon.all,
        ),
        target("4", "never on one", share(on_one), on_one.hits == 0),
    ]
}

fn promotion_targets(measured: &Measured) -> Vec<Target> {
    let healthy = measured.healthy();
    let plain: Vec<&Played> =
        healthy.iter().copied().filter(|it| it.scenario.name.starts_with("clean, 100 requests/s")).collect();
    let noisy: Vec<&Played> = healthy
        .iter()
        .copied()
        .filter(|it| it.scenario.fate == Fate::Healthy(Calm::Noisy) && plan::passes(&it.scenario).is_some())
        .collect();
    let mut targets = Vec::new();
    if !plain.is_empty() {
        let promoted = pooled(&plain, |it| it.promoted(Who::Ours));
        let wanted = "a clean canary at 100 requests/s is promoted >= 99 %";
        targets.push(target("5", wanted, share(promoted), promoted.percent() >= 99.0));
    }
    if !noisy.is_empty() {
        let least = worst(&noisy, |it| 100.0 - it.promoted(Who::Ours).percent());
        targets.push(target(
            "5",
            "each noisy healthy one >= 70 % where decidable",
            format!("most not promoted: {}", at(least, " %")),
            is_at_most(least, 30.0),
        ));
        let late = worst(&noisy, |it| {
            let foretold = plan::passes(&it.scenario).unwrap_or(f64::NAN).max(HOUR as f64);
            pass_minutes(it, Who::Ours) / minutes(foretold as usize)
        });
        targets.push(target(
            "5",
            "median time to `pass` <= 1.2 of the plan's (a bake of the whole hour)",
            format!("worst {}", at(late, "")),
            is_at_most(late, 1.2),
        ));
    }
    targets
}

fn pass_minutes(played: &Played, who: Who) -> f64 {
    median(&played.of(who).iter().map(|outcome| outcome.minutes_to_pass()).collect::<Vec<_>>())
}

/// Minutes in which a plan ought to be complete: each step as long as its bake or its safety takes.
fn foretold_plan(scenario: &Scenario) -> Option<f64> {
    let Fate::Stepped(steps) = &scenario.fate else { return None };
    let mut looks = 0.0;
    for step in steps {
        let mut alone = scenario.clone();
        // without a baseline the floor of the objective is what is asked, which a quarter of the traffic answers as well
        alone.parameters.share = Share::Constant(step.share.min(0.25));
        looks += f64::from(step.bake_looks).max(plan::passes(&alone)?);
    }
    Some(minutes(looks.ceil() as usize))
}

fn stepped_targets(measured: &Measured) -> Vec<Target> {
    let stepped = measured.of(|fate| matches!(fate, Fate::Stepped(_)));
    if stepped.is_empty() {
        return Vec::new();
    }
    let late = worst(&stepped, |it| pass_minutes(it, Who::Ours) / foretold_plan(&it.scenario).unwrap_or(f64::NAN));
    let completed = pooled(&stepped, |it| it.promoted(Who::Ours));
    vec![target(
        "5",
        "stepped plans (5, 25, 100 %) reach Completed in the time foretold (median <= 1.2 of it)",
        format!("worst {}; completed {}", at(late, ""), share(completed)),
        is_at_most(late, 1.2) && completed.percent() >= 99.0,
    )]
}

fn trace_targets(measured: &Measured) -> Vec<Target> {
    let wanted = "A/A on real traces: rolled back <= 1 %";
    if measured.traces.is_empty() {
        let seen = "record some with `--record`, then `--traces`".to_owned();
        return vec![Target { number: "7", wanted: wanted.into(), seen, met: Met::NotMeasured }];
    }
    let ours = trace_rollbacks(measured, 0);
    vec![target("7", wanted, share(ours), ours.percent() <= 1.0)]
}

fn cost_targets(measured: &Measured) -> Vec<Target> {
    let Some(cost) = measured.cost else { return Vec::new() };
    let [first, tenth] = cost.slis_per_second;
    vec![
        target(
            "cost",
            "10,000 SLIs judged per second and core",
            format!(
                "{} (four SLIs); {} with a sentence for each look",
                grouped(first as usize),
                grouped(cost.slis_per_second_with_sentences as usize)
            ),
            first >= 1e4,
        ),
        target(
            "cost",
            "a look costs the same in the tenth hour (within a tenth)",
            format!("{} of the first hour's rate", figure(tenth / first)),
            tenth >= 0.9 * first,
        ),
        target(
            "cost",
            "no allocation in the steady state",
            format!(
                "{} a look; {} where sentences are made",
                figure(cost.allocations_per_look),
                figure(cost.allocations_per_verdict)
            ),
            cost.allocations_per_look == 0.0,
        ),
        target(
            "cost",
            "state per SLI under 2 kB",
            format!("{} bytes, settings and edges included", figure(cost.bytes_per_sli)),
            cost.bytes_per_sli < 2000.0,
        ),
    ]
}

// --- ours against the reference design

/// One figure of one scenario under both profiles.
struct Cell<'a> {
    played: &'a Played,
    what: &'static str,
    difference: Difference,
    /// Whether more is worse.
    worse: Worse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worse {
    More,
    Less,
}

impl Cell<'_> {
    fn is_worse(&self) -> bool {
        match self.worse {
            Worse::More => self.difference.is_above(),
            Worse::Less => self.difference.is_below(),
        }
    }

    fn is_better(&self) -> bool {
        match self.worse {
            Worse::More => self.difference.is_below(),
            Worse::Less => self.difference.is_above(),
        }
    }
}

fn shares<'a>(played: &'a Played, what: &'static str, worse: Worse, is: impl Fn(&Outcome) -> bool) -> Cell<'a> {
    let pairs: Vec<(bool, bool)> = played.runs.iter().map(|run| (is(&run[0]), is(&run[1]))).collect();
    Cell { played, what, difference: Difference::of_shares(&pairs), worse }
}

fn times<'a>(played: &'a Played, what: &'static str, of: impl Fn(&Outcome) -> f64, longest: f64) -> Cell<'a> {
    let pairs: Vec<(f64, f64)> =
        played.runs.iter().map(|run| (of(&run[0]).min(longest), of(&run[1]).min(longest))).collect();
    Cell { played, what, difference: Difference::of_means(&pairs), worse: Worse::More }
}

fn cells_of(played: &Played) -> Vec<Cell<'_>> {
    let onset = played.onset();
    match &played.scenario.fate {
        Fate::Healthy(_) => vec![
            shares(played, "rolled back, points", Worse::More, Outcome::is_rolled_back),
            shares(played, "promoted, points", Worse::Less, Outcome::is_promoted),
        ],
        Fate::Harmful(_) | Fate::Outage => vec![
            shares(played, "detected, points", Worse::Less, |it| it.is_detected(onset)),
            shares(played, "promoted, points", Worse::More, Outcome::is_promoted),
            times(played, "mean delay, minutes", |it| it.delay_minutes(onset), played.longest_delay()),
        ],
        Fate::Dark(_) => vec![shares(played, "promoted, points", Worse::More, Outcome::is_promoted)],
        Fate::Stepped(steps) => vec![
            shares(played, "completed, points", Worse::Less, Outcome::is_promoted),
            times(
                played,
                "mean time to complete, minutes",
                Outcome::minutes_to_pass,
                3.0 * minutes(planned_looks(steps)),
            ),
        ],
    }
}

fn all_cells(measured: &Measured) -> Vec<Cell<'_>> {
    measured.played.iter().flat_map(cells_of).collect()
}

/// Where the reference design says that it is weak, and by which figure.
const WEAK_SPOTS: [(&str, &str); 4] = [
    ("leak of 50 % an hour", "mean delay, minutes"),
    ("processor +25 %", "mean delay, minutes"),
    ("gauge noise", "promoted, points"),
    ("cohort noise 20 %", "rolled back, points"),
];

fn paired_targets(measured: &Measured) -> Vec<Target> {
    let cells = all_cells(measured);
    if cells.is_empty() {
        return Vec::new();
    }
    let (worse, better) = (Of::count(&cells, Cell::is_worse), Of::count(&cells, Cell::is_better));
    let mut targets = vec![target(
        "6",
        "not worse than the reference design in any cell (paired, 95 % interval)",
        format!("surely worse in {} of {} cells, surely better in {}", worse.hits, worse.all, better.hits),
        worse.hits == 0,
    )];
    for (scenario, what) in WEAK_SPOTS {
        let spots: Vec<&Cell<'_>> =
            cells.iter().filter(|cell| cell.played.scenario.name == scenario && cell.what == what).collect();
        if spots.is_empty() {
            continue;
        }
        let seen: Vec<String> = spots
            .iter()
            .map(|cell| format!("{} ({})", difference(cell.difference), cell.played.scenario.lot.name))
            .collect();
        // of false rollbacks a design that has none can't have fewer
        let none_to_lose = |cell: &Cell<'_>| {
            what.starts_with("rolled back") && cell.played.false_rollbacks(Who::Reference).hits == 0 && !cell.is_worse()
        };
        let met = spots.iter().all(|cell| cell.is_better() || none_to_lose(cell));
        targets.push(target("6", format!("better at a weak spot: `{scenario}`, {what}"), seen.join("; "), met));
    }
    targets
}

fn difference(it: Difference) -> String {
    format!("{} [{}, {}]", figure(it.by), figure(it.interval[0]), figure(it.interval[1]))
}

// --- tables

fn judges(measured: &Measured) -> String {
    let (healthy, harmful) = (measured.healthy(), measured.harmful());
    let dark = measured.of(|fate| matches!(fate, Fate::Dark(_)));
    if healthy.is_empty() && harmful.is_empty() {
        return String::new();
    }
    let mut text = head(&[
        "judge",
        "false rollbacks, mean / worst, %",
        "harmful: detected / promoted / held, %",
        "median delay, min",
        "95 %, min",
        "users exposed, mean",
        "dark: promoted / rolled back, %",
    ]);
    for who in Who::ALL {
        let delays: Vec<f64> = harmful.iter().flat_map(|it| it.delays(who)).collect();
        let worse: Vec<f64> = harmful.iter().flat_map(|it| it.of(who)).map(|outcome| outcome.worse).collect();
        let most = worst(&healthy, |it| it.false_rollbacks(who).percent()).map_or(f64::NAN, |(_, most)| most);
        row(
            &mut text,
            &[
                who.name().into(),
                format!("{} / {}", short(pooled(&healthy, |it| it.false_rollbacks(who))), figure(most)),
                format!(
                    "{} / {} / {}",
                    short(pooled(&harmful, |it| it.detected(who))),
                    short(pooled(&harmful, |it| it.promoted(who))),
                    short(pooled(&harmful, |it| it.held(who)))
                ),
                figure(quantile(&delays, 0.5)),
                figure(quantile(&delays, 0.95)),
                figure(mean(&worse)),
                format!(
                    "{} / {}",
                    short(pooled(&dark, |it| it.promoted(who))),
                    short(pooled(&dark, |it| it.false_rollbacks(who)))
                ),
            ],
        );
    }
    text
}

fn healthy(measured: &Measured) -> String {
    let healthy = measured.healthy();
    if healthy.is_empty() {
        return String::new();
    }
    let mut text = "False rollbacks in the hour, in percent, and what ours did else. \"Foretold\": minutes after which nine in ten can have shown \
                    that they are safe.\n\n"
        .to_owned();
    text += &head(&[
        "scenario",
        "lot",
        "runs",
        "**ours**",
        "promoted",
        "held",
        "foretold",
        "reference",
        "its promoted",
        "Kayenta, once",
        "lax",
        "critical",
        "tuned",
        "Argo",
        "Flagger",
    ]);
    for it in healthy {
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(it.runs.len().to_string());
        line.push(format!("**{}**", short(it.false_rollbacks(Who::Ours))));
        line.extend([short(it.promoted(Who::Ours)), short(it.held(Who::Ours))]);
        line.push(plan::passes(&it.scenario).map_or("no".into(), |looks| figure(minutes(looks.ceil() as usize))));
        line.extend([short(it.false_rollbacks(Who::Reference)), short(it.promoted(Who::Reference))]);
        line.extend(Who::ALL[2..].iter().map(|who| short(it.false_rollbacks(*who))));
        row(&mut text, &line);
    }
    text
}

fn harmful(measured: &Measured) -> String {
    let harmful = measured.harmful();
    if harmful.is_empty() {
        return String::new();
    }
    let mut text = "Delays are minutes from the onset to the end of the scrape that decided, the median and the 95 % quantile over all runs; a judge that \
                    saw nothing counts as never. In brackets: detected, in percent, where not all.\n\n"
        .to_owned();
    text += &head(&[
        "scenario",
        "lot",
        "runs",
        "foretold",
        "**ours**, median",
        "95 %",
        "detected",
        "promoted",
        "held",
        "reference, median",
        "95 %",
        "Kayenta, once",
        "lax",
        "critical",
        "tuned",
        "Argo",
        "Flagger",
    ]);
    for it in harmful {
        let median_of = |who: Who| {
            let detected = it.detected(who);
            let seen = if detected.hits == detected.all { String::new() } else { format!(" ({})", short(detected)) };
            format!("{}{seen}", figure(it.median_delay(who)))
        };
        let tail_of = |who: Who| figure(quantile(&it.delays(who), 0.95));
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(it.runs.len().to_string());
        line.push(plan::decidable(&it.scenario).map_or("no".into(), |looks| figure(minutes(looks.ceil() as usize))));
        line.push(format!("**{}**", figure(it.median_delay(Who::Ours))));
        line.push(tail_of(Who::Ours));
        line.extend([it.detected(Who::Ours), it.promoted(Who::Ours), it.held(Who::Ours)].map(short));
        line.extend([median_of(Who::Reference), tail_of(Who::Reference)]);
        line.extend(Who::ALL[2..].iter().map(|who| median_of(*who)));
        row(&mut text, &line);
    }
    text
}

fn exposed(measured: &Measured) -> String {
    let harmful: Vec<&Played> = measured
        .harmful()
        .into_iter()
        .filter(|it| it.of(Who::Ours).iter().any(|outcome| outcome.worse > 0.0))
        .collect();
    if harmful.is_empty() {
        return String::new();
    }
    let mut text = "Canary requests served worse than the old version would have served them, from the onset to the rollback or the end of the hour: the \
                    mean over the runs. Harm that no user feels (processor, memory) is left out.\n\n"
        .to_owned();
    text += &head(&[
        "scenario",
        "lot",
        "**ours**",
        "reference",
        "Kayenta, once",
        "lax",
        "critical",
        "tuned",
        "Argo",
        "Flagger",
    ]);
    for it in harmful {
        let of = |who: Who| figure(mean(&it.of(who).iter().map(|outcome| outcome.worse).collect::<Vec<_>>()));
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(format!("**{}**", of(Who::Ours)));
        line.extend(Who::ALL[1..].iter().map(|who| of(*who)));
        row(&mut text, &line);
    }
    text
}

fn outages(measured: &Measured) -> String {
    let outages = measured.of(|fate| matches!(fate, Fate::Outage));
    if outages.is_empty() {
        return String::new();
    }
    let mut text = "Half of the canary's requests fail. Seconds from the onset to the rollback.\n\n".to_owned();
    text += &head(&[
        "scenario",
        "lot",
        "runs",
        "median, s",
        "slowest, s",
        "within three full scrapes",
        "on one scrape",
        "before the onset",
        "reference, median, s",
        "Kayenta tuned, median, s",
    ]);
    for it in outages {
        let seconds = |who: Who, part: f64| figure(60.0 * quantile(&it.delays(who), part));
        let early = it.count(Who::Ours, |o| o.is_rolled_back() && !o.is_detected(it.onset()));
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(it.runs.len().to_string());
        line.extend([seconds(Who::Ours, 0.5), seconds(Who::Ours, 1.0)]);
        line.extend([within_three(it), on_one_scrape(it)].map(|of| format!("{} %", short(of))));
        line.push(format!("{} %", short(early)));
        line.extend([seconds(Who::Reference, 0.5), seconds(Who::KayentaTuned, 0.5)]);
        row(&mut text, &line);
    }
    text
}

fn dark(measured: &Measured) -> String {
    let dark = measured.of(|fate| matches!(fate, Fate::Dark(_)));
    if dark.is_empty() {
        return String::new();
    }
    let mut text = head(&[
        "scenario",
        "lot",
        "runs",
        "promoted",
        "rolled back",
        "held for the right reason",
        "reasons seen at the end",
        "promoted by Kayenta: once / lax / critical / tuned, %",
    ]);
    for it in dark {
        let mut codes: Vec<String> =
            it.of(Who::Ours).iter().flat_map(|o| &o.codes).map(|code| format!("{code:?}")).collect();
        codes.sort();
        codes.dedup();
        let peers = Who::ALL[2..6].iter().map(|who| short(it.promoted(*who))).collect::<Vec<_>>().join(" / ");
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(it.runs.len().to_string());
        line.extend([it.promoted(Who::Ours), it.false_rollbacks(Who::Ours)].map(|of| of.hits.to_string()));
        line.extend([share(right_reason(it)), codes.join(", "), peers]);
        row(&mut text, &line);
    }
    text
}

fn stepped(measured: &Measured) -> String {
    let stepped = measured.of(|fate| matches!(fate, Fate::Stepped(_)));
    if stepped.is_empty() {
        return String::new();
    }
    let mut text = "The last step has no baseline: it is held against an objective.\n\n".to_owned();
    text += &head(&[
        "plan",
        "lot",
        "runs",
        "bakes, min",
        "foretold, min",
        "**median, min**",
        "95 %",
        "completed, %",
        "rolled back",
        "held",
        "reference: median, completed",
    ]);
    for it in stepped {
        let Fate::Stepped(steps) = &it.scenario.fate else { continue };
        let times: Vec<f64> = it.of(Who::Ours).iter().map(|outcome| outcome.minutes_to_pass()).collect();
        let mut line = cells([it.scenario.name, it.scenario.lot.name]);
        line.push(it.runs.len().to_string());
        line.push(figure(minutes(planned_looks(steps))));
        line.push(foretold_plan(&it.scenario).map_or("no".into(), figure));
        line.push(format!("**{}**", figure(median(&times))));
        line.push(figure(quantile(&times, 0.95)));
        line.push(short(it.promoted(Who::Ours)));
        line.extend([it.false_rollbacks(Who::Ours), it.held(Who::Ours)].map(|of| of.hits.to_string()));
        line.push(format!("{}, {} %", figure(pass_minutes(it, Who::Reference)), short(it.promoted(Who::Reference))));
        row(&mut text, &line);
    }
    text
}

fn paired(measured: &Measured) -> String {
    let cells_all = all_cells(measured);
    let sure: Vec<&Cell<'_>> = cells_all.iter().filter(|cell| cell.is_worse() || cell.is_better()).collect();
    let mut text = format!(
        "Ours less the reference profile on the same canaries, with a 95 % interval: exact for shares (McNemar), a bootstrap for times, in which what was \
         never seen counts as the end of the hour. Of {} cells those where the difference is sure; by chance alone about one in forty would seem worse \
         where the two differ at all.\n\n",
        cells_all.len()
    );
    text += &head(&["scenario", "lot", "figure", "difference", ""]);
    for cell in sure {
        let word = if cell.is_worse() { "**worse**" } else { "better" };
        let mut line = cells([cell.played.scenario.name, cell.played.scenario.lot.name, cell.what]);
        line.extend([difference(cell.difference), word.into()]);
        row(&mut text, &line);
    }
    text
}

fn nulls(measured: &Measured) -> String {
    if measured.nulls.is_empty() {
        return String::new();
    }
    let mut text =
        "Equal cohorts and a margin of 1: the share of hours in which the evidence ever reached `1/alpha`.\n\n"
            .to_owned();
    text += &head(&["null", "profile", "alpha 20 %", "alpha 5 %", "alpha 1 %"]);
    for null in &measured.nulls {
        for (profile, crossed) in &null.crossed {
            let profile = match profile {
                Profile::Default => "default",
                Profile::Reference => "reference",
            };
            let mut line = cells([null.name, profile]);
            line.extend(crossed.map(share));
            row(&mut text, &line);
        }
    }
    text
}

fn trace_rollbacks(measured: &Measured, judge: usize) -> Of {
    Of::count(&measured.traces, |trace| matches!(trace.ends[judge], crate::judging::End::RolledBack(_)))
}

fn traces(measured: &Measured) -> String {
    if measured.traces.is_empty() {
        return String::new();
    }
    let looks: usize = measured.traces.iter().map(|trace| trace.looks).sum();
    let requests: u64 = measured.traces.iter().map(|trace| trace.requests).sum();
    let mut text = format!(
        "{} traces of two processes that are the same, {} looks and {} canary requests in all. Traces of one recording share servers and minutes, so that \
         the intervals are too narrow.\n\n",
        measured.traces.len(),
        grouped(looks),
        grouped(requests as usize)
    );
    text += &head(&["judge", "rolled back", "promoted, %"]);
    for (i, who) in Who::ALL.iter().enumerate() {
        let promoted = Of::count(&measured.traces, |trace| matches!(trace.ends[i], crate::judging::End::Promoted(_)));
        row(&mut text, &[who.name().into(), share(trace_rollbacks(measured, i)), short(promoted)]);
    }
    for trace in measured.traces.iter().filter(|trace| matches!(trace.ends[0], crate::judging::End::RolledBack(_))) {
        let blamed = if trace.blamed.is_empty() { "none alone".to_owned() } else { trace.blamed.join("; ") };
        let _ = write!(text, "\nRolled back by ours: `{}`, blamed {blamed}\n", trace.name);
    }
    text
}

fn cost(measured: &Measured) -> String {
    let Some(cost) = measured.cost else { return String::new() };
    let mut text = head(&["one judge with four SLIs, one core", "figure"]);
    let [first, tenth] = cost.slis_per_second.map(|rate| grouped(rate as usize));
    for (what, figure) in [
        ("SLIs judged per second, first hour", first),
        ("SLIs judged per second, tenth hour", tenth),
        ("SLIs judged per second, with sentences", grouped(cost.slis_per_second_with_sentences as usize)),
        ("allocations per look", figure(cost.allocations_per_look)),
        ("allocations per look with sentences", figure(cost.allocations_per_verdict)),
        ("bytes per SLI, settings included", figure(cost.bytes_per_sli)),
    ] {
        row(&mut text, &[what.into(), figure]);
    }
    text
}
