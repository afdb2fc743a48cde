//! A look: what telemetry shows of both versions at one moment, as increments since the look before.
//!
//! Each SLI is read by its kind, each query once for a version. An answer without series leaves its version out, a source that fails makes the reading
//! unreachable; neither is ever zero. How totals become increments is said in [`increment`].

mod increment;

use std::collections::{BTreeMap, BTreeSet};

use change::proposal::Proposal;
use change::verification::{Comparison, Query, Sli};
use change::{Span, Timestamp};
use judge::{Counts, Reading};
use serde::{Deserialize, Serialize};

pub(crate) use increment::Counters;
use increment::{Grown, Tally, is_count, mean, whole};

use crate::checks::bounded;
use crate::ports::{Act, Answer, Ask, Cohorts, Eyes, Glance, Meaning, Part, Side};

/// What one look saw of one SLI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub sli: String,
    /// The edges of a latency histogram in milliseconds, without the last, infinite one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges_ms: Option<Vec<f64>>,
    pub reading: Reading,
    /// Why a check did not pass: words of our own, and the end of what a command said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What one look took in.
pub(crate) struct Taken {
    pub seen: Vec<Seen>,
    pub counters: Counters,
    /// The time of the newest sample, where the sources tell; a page that is scraped is always of now. Where windows are read, that of the window
    /// that ended first: a look waits for the slowest of them.
    pub sampled_at: Option<Timestamp>,
}

/// How far back the comparison with an earlier time looks: the same weekday and hour.
const A_WEEK: Span = Span::secs(7 * 24 * 3_600);

/// Where a look is taken, and what is compared there.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub proposal: &'a Proposal,
    pub cohorts: &'a Cohorts,
    pub comparison: Comparison,
    pub now: Timestamp,
}

/// A look at all SLIs and commands of a proposal.
pub(crate) async fn take(place: Place<'_>, eyes: &dyn Eyes, act: &Act, before: &Counters) -> Taken {
    let Place { proposal, cohorts, comparison, now } = place;
    let glance = Glance { now, every: proposal.verify.every };
    let past = async {
        match comparison {
            Comparison::Before => Some(read_the_past(proposal, cohorts, eyes, &glance).await),
            Comparison::Concurrent | Comparison::Objective => None,
        }
    };
    let (found, past) = futures::future::join(read_sources(proposal, cohorts, eyes, &glance), past).await;
    let mut tally = Tally::new(before, now);
    let read = |sli: &Sli, tally: &mut Tally<'_>| match &past {
        Some(past) => read_against_the_past(sli, cohorts, &found, past, tally),
        None => read_sli(sli, cohorts, &found, tally),
    };
    let mut seen: Vec<Seen> = proposal.verify.slis.iter().map(|sli| read(sli, &mut tally)).collect();
    seen.extend(proposal.verify.beside.iter().map(|beside| {
        let name = beside.name();
        Seen { sli: name, ..read_one_side(&beside.sli, Side::Canary, cohorts, &found, &mut tally) }
    }));
    let checks = proposal.verify.commands.iter().map(|command| async move {
        let (reading, why) = match eyes.check(act, command).await {
            Ok(failure) => {
                let canary = Some(Counts::Check { passed: failure.is_none() });
                (Reading::Seen { baseline: None, canary }, failure.map(|why| bounded(&why)))
            }
            Err(why) => (Reading::Unreachable { why }, None),
        };
        Seen { sli: check_name(&command.run), edges_ms: None, reading, why }
    });
    seen.extend(futures::future::join_all(checks).await);
    Taken { seen, counters: tally.after, sampled_at: sampled_at(&found) }
}

/// What one reading of all SLIs shows, for a plan.
pub(crate) struct Stood {
    pub seen: Vec<Seen>,
    pub counters: Counters,
    /// The SLIs whose counts are those of a window, whenever the reading before was.
    pub windows: BTreeSet<String>,
}

/// A reading of all SLIs now, without commands.
pub(crate) async fn stood(
    proposal: &Proposal,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
    glance: Glance,
    before: &Counters,
) -> Stood {
    let found = read_sources(proposal, cohorts, eyes, &glance).await;
    stood_in(proposal, cohorts, &found, before, glance.now)
}

/// The same at an earlier time.
///
/// # Errors
/// If a source keeps no history, or fails.
pub(crate) async fn stood_at(
    proposal: &Proposal,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
    glance: Glance,
    before: &Counters,
) -> Result<Stood, String> {
    let mut found = Found::new();
    for (source, asks) in wanted(proposal, cohorts) {
        let answers = eyes.read_at(&source, &asks, &glance).await?;
        found.insert(source, Ok(asks.into_iter().zip(answers).collect()));
    }
    Ok(stood_in(proposal, cohorts, &found, before, glance.now))
}

fn stood_in(proposal: &Proposal, cohorts: &Cohorts, found: &Found, before: &Counters, now: Timestamp) -> Stood {
    let mut tally = Tally::new(before, now);
    let seen = proposal.verify.slis.iter().map(|sli| read_sli(sli, cohorts, found, &mut tally)).collect();
    let is_window = |sli: &&Sli| {
        let answers = found.get(&sli.source).and_then(|answers| answers.as_ref().ok());
        let answer = |ask: &Ask| answers.and_then(|answers| answers.get(ask));
        let asks = asks(sli, Side::Baseline, cohorts);
        asks.iter().filter(|ask| ask.part != Part::Value).filter_map(answer).any(|it| it.meaning != Meaning::Total)
    };
    let windows = proposal.verify.slis.iter().filter(is_window).map(|sli| sli.name.clone()).collect();
    Stood { seen, counters: tally.after, windows }
}

fn sampled_at(found: &Found) -> Option<Timestamp> {
    let answers = || found.values().flatten().flat_map(BTreeMap::iter);
    let is_window = |(ask, answer): &(&Ask, &Answer)| ask.part != Part::Value && answer.meaning != Meaning::Total;
    let windows = answers().filter(is_window).flat_map(|(_, answer)| &answer.series).filter_map(|s| s.at).min();
    windows.or_else(|| answers().flat_map(|(_, answer)| &answer.series).filter_map(|s| s.at).max())
}

/// The name of the SLI that a check command makes.
pub(crate) fn check_name(run: &str) -> String {
    format!("command: {run}")
}

/// Why telemetry is not ready for a rollout: a query that finds nothing of the stable version, or a source that fails. One sentence each.
pub(crate) async fn baseline_problems(
    proposal: &Proposal,
    cohorts: &Cohorts,
    eyes: &dyn Eyes,
    now: Timestamp,
) -> Vec<String> {
    let found = read_sources(proposal, cohorts, eyes, &Glance { now, every: proposal.verify.every }).await;
    let mut problems = Vec::new();
    for sli in &proposal.verify.slis {
        let answers = match found.get(&sli.source) {
            Some(Ok(answers)) => answers,
            Some(Err(why)) => {
                problems.push(format!("the source `{}` of the SLI `{}` fails: {why}", sli.source, sli.name));
                continue;
            }
            None => {
                problems.push(format!("there is no telemetry source `{}`", sli.source));
                continue;
            }
        };
        for (need, ask) in needs(sli, cohorts) {
            let empty = answers.get(&ask).filter(|answer| !need.is_met(answer));
            problems.extend(empty.map(|answer| {
                let (sli, source, asked) = (&sli.name, &sli.source, &answer.asked);
                format!("the SLI `{sli}` has no data for the stable version: `{asked}` finds nothing in `{source}`")
            }));
        }
    }
    let mut said = BTreeSet::new();
    problems.retain(|problem| said.insert(problem.clone()));
    problems
}

/// What a query has to find before a rollout begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Something was counted: a counter that stands at zero has never counted, and that is no data either.
    Events,
    /// A count, be it zero.
    Count,
    Number,
}

impl Need {
    fn is_met(self, answer: &Answer) -> bool {
        let is_total = answer.meaning == Meaning::Total;
        answer.series.iter().map(|s| s.value).any(|value| match self {
            Self::Events => is_count(value) && (value > 0.0 || !is_total),
            Self::Count => is_count(value),
            Self::Number => value.is_finite(),
        })
    }
}

/// The queries of an SLI that have to find the stable version. That of bad events may find nothing: none has happened yet.
fn needs(sli: &Sli, cohorts: &Cohorts) -> Vec<(Need, Ask)> {
    let asked = |need, query: &Query, part| (need, ask(query, part, Side::Baseline, cohorts));
    let mut needs = Vec::new();
    if let Some(ratio) = &sli.ratio {
        needs.push(asked(Need::Events, &ratio.total, Part::Count));
        needs.extend(ratio.good.iter().map(|good| asked(Need::Count, good, Part::Count)));
    }
    needs.extend(sli.latency.iter().map(|l| asked(Need::Events, &l.histogram, Part::Buckets)));
    needs.extend(sli.gauge.iter().map(|g| asked(Need::Number, &g.value, Part::Value)));
    if let Some(rate) = &sli.rate {
        needs.push(asked(Need::Count, &rate.of, Part::Count));
        needs.extend(rate.per.iter().map(|per| asked(Need::Events, per, Part::Count)));
    }
    needs
}

type Answers = BTreeMap<Ask, Answer>;
type Found = BTreeMap<String, Result<Answers, String>>;

async fn read_sources(proposal: &Proposal, cohorts: &Cohorts, eyes: &dyn Eyes, glance: &Glance) -> Found {
    let reads = wanted(proposal, cohorts).into_iter().map(|(source, asks)| async move {
        let answer = eyes.read(&source, &asks, glance).await.map(|answers| asks.into_iter().zip(answers).collect());
        (source, answer)
    });
    futures::future::join_all(reads).await.into_iter().collect()
}

/// All queries of a proposal, by source, each once.
fn wanted(proposal: &Proposal, cohorts: &Cohorts) -> BTreeMap<String, Vec<Ask>> {
    let mut wanted: BTreeMap<&str, BTreeSet<Ask>> = BTreeMap::new();
    for sli in &proposal.verify.slis {
        let asks = [Side::Canary, Side::Baseline].into_iter().flat_map(|side| asks(sli, side, cohorts));
        wanted.entry(&sli.source).or_default().extend(asks);
    }
    for beside in &proposal.verify.beside {
        wanted.entry(&beside.sli.source).or_default().extend(asks(&beside.sli, Side::Canary, cohorts));
    }
    wanted.into_iter().map(|(source, asks)| (source.to_owned(), asks.into_iter().collect())).collect()
}

/// All queries of an SLI for one version.
pub(crate) fn asks(sli: &Sli, side: Side, cohorts: &Cohorts) -> Vec<Ask> {
    let part = |pointer: &str| match pointer {
        "/latency/histogram" => Part::Buckets,
        "/gauge/value" => Part::Value,
        _ => Part::Count,
    };
    sli.queries().into_iter().map(|(pointer, query)| ask(query, part(pointer), side, cohorts)).collect()
}

fn ask(query: &Query, part: Part, side: Side, cohorts: &Cohorts) -> Ask {
    let query = match (query, side) {
        (Query::Both(text) | Query::Each { canary: text, .. }, Side::Canary) => text,
        (Query::Both(text) | Query::Each { baseline: text, .. }, Side::Baseline) => text,
    };
    Ask { query: query.clone(), part, side, cohorts: cohorts.clone() }
}

fn read_sli(sli: &Sli, cohorts: &Cohorts, found: &Found, tally: &mut Tally<'_>) -> Seen {
    let unreachable =
        |why: String| Seen { sli: sli.name.clone(), edges_ms: None, reading: Reading::Unreachable { why }, why: None };
    let answers = match found.get(&sli.source) {
        Some(Ok(answers)) => answers,
        Some(Err(why)) => return unreachable(why.clone()),
        None => return unreachable(format!("there is no telemetry source `{}`", sli.source)),
    };
    let mut edges_ms = None;
    let mut cohort = |side| read_cohort(sli, &Cohort { side, cohorts, answers }, tally, &mut edges_ms);
    let (baseline, canary) = (cohort(Side::Baseline), cohort(Side::Canary));
    Seen { sli: sli.name.clone(), edges_ms, reading: Reading::Seen { baseline, canary }, why: None }
}

/// One side of an SLI.
fn read_one_side(sli: &Sli, side: Side, cohorts: &Cohorts, found: &Found, tally: &mut Tally<'_>) -> Seen {
    let mut edges_ms = None;
    let reading = match found.get(&sli.source) {
        Some(Ok(answers)) => {
            let counts = read_cohort(sli, &Cohort { side, cohorts, answers }, tally, &mut edges_ms);
            match side {
                Side::Canary => Reading::Seen { baseline: None, canary: counts },
                Side::Baseline => Reading::Seen { baseline: counts, canary: None },
            }
        }
        Some(Err(why)) => Reading::Unreachable { why: why.clone() },
        None => Reading::Unreachable { why: format!("there is no telemetry source `{}`", sli.source) },
    };
    Seen { sli: sli.name.clone(), edges_ms, reading, why: None }
}

/// What the service did a week ago, all its versions together: which one was stable then is not known.
async fn read_the_past(proposal: &Proposal, cohorts: &Cohorts, eyes: &dyn Eyes, glance: &Glance) -> Found {
    let then = Glance { now: change::time::before(glance.now, A_WEEK), ..*glance };
    let mut wanted: BTreeMap<&str, BTreeSet<Ask>> = BTreeMap::new();
    for sli in &proposal.verify.slis {
        wanted.entry(&sli.source).or_default().extend(asks(&whole_service(sli), Side::Baseline, cohorts));
    }
    let reads = wanted.into_iter().map(|(source, asks)| async move {
        let asks: Vec<Ask> = asks.into_iter().collect();
        let answers = eyes.read_at(source, &asks, &then).await;
        // Totals of then must never be subtracted from totals of now.
        let marked = |answer: Answer| Answer { asked: format!("{} a week before", answer.asked), ..answer };
        let answers = answers.map(|answers| asks.into_iter().zip(answers.into_iter().map(marked)).collect());
        (source.to_owned(), answers)
    });
    futures::future::join_all(reads).await.into_iter().collect()
}

fn whole_service(sli: &Sli) -> Sli {
    sli.of_all_versions().unwrap_or_else(|| sli.clone())
}

fn read_against_the_past(sli: &Sli, cohorts: &Cohorts, found: &Found, past: &Found, tally: &mut Tally<'_>) -> Seen {
    let now = read_one_side(sli, Side::Canary, cohorts, found, tally);
    let then = read_one_side(&whole_service(sli), Side::Baseline, cohorts, past, tally);
    let comparable = now.edges_ms.is_none() || then.edges_ms.is_none() || now.edges_ms == then.edges_ms;
    let reading = match (now.reading, then.reading) {
        (Reading::Seen { canary, .. }, Reading::Seen { baseline, .. }) => {
            let other = |_| Counts::Latency { buckets: vec![] };
            Reading::Seen { baseline: if comparable { baseline } else { baseline.map(other) }, canary }
        }
        (unreachable @ Reading::Unreachable { .. }, _) | (_, unreachable) => unreachable,
    };
    Seen { sli: sli.name.clone(), edges_ms: now.edges_ms.or(then.edges_ms), reading, why: None }
}

/// The answers for one version.
struct Cohort<'a> {
    side: Side,
    cohorts: &'a Cohorts,
    answers: &'a Answers,
}

impl<'a> Cohort<'a> {
    fn answer(&self, query: &Query, part: Part) -> Option<&'a Answer> {
        self.answers.get(&ask(query, part, self.side, self.cohorts))
    }
}

/// What an SLI shows of one version; nothing where it is missing.
fn read_cohort(sli: &Sli, of: &Cohort<'_>, tally: &mut Tally<'_>, edges_ms: &mut Option<Vec<f64>>) -> Option<Counts> {
    if let Some(ratio) = &sli.ratio {
        let (part, is_good) = ratio.bad.as_ref().map(|q| (q, false)).or(ratio.good.as_ref().map(|q| (q, true)))?;
        let total = tally.count(of.answer(&ratio.total, Part::Count)?);
        let part = tally.count(of.answer(part, Part::Count)?);
        return read_ratio(&total, &part, is_good);
    }
    if let Some(latency) = &sli.latency {
        let found = tally.buckets(of.answer(&latency.histogram, Part::Buckets)?)?;
        // Versions with other edges can't be compared bucket by bucket: no buckets at all say so to the judge.
        let comparable = *edges_ms.get_or_insert_with(|| found.edges_ms.clone()) == found.edges_ms;
        return match found.grown {
            Grown::By(buckets) => Some(Counts::Latency { buckets: if comparable { buckets } else { vec![] } }),
            Grown::Unknown | Grown::Broken => None,
        };
    }
    if let Some(gauge) = &sli.gauge {
        return mean(of.answer(&gauge.value, Part::Value)?).map(|value| Counts::Gauge { value });
    }
    let rate = sli.rate.as_ref()?;
    let per = match &rate.per {
        Some(per) => Some(of.answer(per, Part::Count)?),
        None => None,
    };
    tally.rate(of.answer(&rate.of, Part::Count)?, per).map(|value| Counts::Gauge { value })
}

/// A ratio of the increments of all events, and of the good or the bad ones.
fn read_ratio(total: &Grown<f64>, part: &Grown<f64>, is_good: bool) -> Option<Counts> {
    let Grown::By(total) = total else { return None };
    let total = whole(*total)?;
    let part = match part {
        Grown::By(part) => whole(*part)?,
        // No series of bad events beside one of all events: none has happened yet. Of good events that would be a guess.
        Grown::Unknown if !is_good => 0,
        Grown::Unknown | Grown::Broken => return None,
    };
    // More good events than events contradict themselves, and the judge has to hear of it.
    let bad = if !is_good { part } else { total.checked_sub(part).unwrap_or(total.saturating_add(1)) };
    Some(Counts::Ratio { total, bad })
}
