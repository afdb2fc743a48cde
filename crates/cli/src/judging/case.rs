//! Case: a recording, with everything that a judge needs to know of it before the first look.
//!
//! Matches what is wanted with what the evidence holds, and says whatever it had to assume or leave out: nothing is judged by a setting that nobody
//! can see. Must never take a setting from what the recording shows of the canary. Next room: [`trajectory`](super::trajectory).

use change::Span;
use change::verification::{Against, Worse};
use drivers::read::evidence::rows::Cohort;
use drivers::read::evidence::{Evidence, EvidenceSli, Kind};
use judge::stream::{HARM_ALONE, weight_alone};
use judge::{
    Comparison, Counts, Direction, Judge, Look, Margins, Profile, Reading, Settings, SettingsError, SliKind,
    SliSettings, StepSettings,
};

use super::config::{Config, Form, KindName, Wanted};
use super::trajectory::Moment;
use super::words;

/// Where no edge is known there is nothing to judge either; the judge asks for one.
const SOME_EDGE_MS: f64 = 1_000.0;
/// Times after this are dates, not seconds since the start.
const A_DATE_MS: i64 = 1_000_000_000_000;

/// What is asked for beside the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub alpha: Option<f64>,
    pub every: Option<Span>,
    pub bake: Option<Span>,
    pub profile: Profile,
}

/// A recording, ready to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub settings: Settings,
    pub step: StepSettings,
    /// What is known from before, in the order of the settings.
    pub past: Vec<Look>,
    /// One for each interval, from the first row to the last, in the order of the settings.
    pub looks: Vec<Look>,
    pub every: Span,
    /// What was left out, or means something else than where it comes from.
    pub notes: Vec<String>,
    /// What nobody said.
    pub assumed: Vec<String>,
}

impl Case {
    /// Puts a recording together with what is wanted.
    ///
    /// # Errors
    /// A sentence, where the settings make no sense for this recording.
    pub(crate) fn new(
        evidence: &Evidence,
        history: Option<&Evidence>,
        config: Option<&Config>,
        asked: &Asked,
    ) -> Result<Self, String> {
        let mut said = Said::default();
        let every = interval(evidence, config, asked, &mut said);
        let recorded = evidence.looks(every)?;
        let sources = sources(evidence, config, &mut said)?;
        let looks: Vec<Look> = recorded.iter().map(|timed| arranged(&timed.look, &sources)).collect();
        let count = u32::try_from(looks.len()).unwrap_or(u32::MAX);
        let settings = settings(&sources, config, asked, every, count);
        let past = match history {
            Some(history) => past(history, evidence, &sources, every, &mut said)?,
            None => {
                said.assumes("no history (`--history`): how much the counts vary beyond chance is learned from the recording itself, from a cautious start");
                vec![]
            }
        };
        let bake = asked.bake.or(config.and_then(|c| c.judge.bake));
        if bake.is_none() {
            let whole = words::span(every.times(count.into()).as_millis());
            said.assumes(format!("the bake is the whole recording, {whole}: it passes at the last look or not at all"));
        }
        let bake_looks = bake.map_or(count, |bake| bake.looks(every));
        let step = StepSettings { comparison: Comparison::Concurrent, bake_looks, expected_share: None };
        let Said { notes, assumed } = said;
        Ok(Self { settings, step, past, looks, every, notes, assumed })
    }

    /// The judge before the first look.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub(crate) fn judge(&self) -> Result<Judge, SettingsError> {
        Judge::with_history(self.settings.clone(), &self.past)
    }

    /// What the judge is told.
    pub(crate) fn moments(&self) -> impl Iterator<Item = Moment<'_>> {
        let looks = self.looks.iter().enumerate();
        let looks = looks.map(|(i, look)| Moment::Look { at: self.every.times(i as u64), look });
        std::iter::once(Moment::Step(self.step.clone())).chain(looks)
    }
}

/// What there is to say beside the verdict.
#[derive(Default)]
struct Said {
    notes: Vec<String>,
    assumed: Vec<String>,
}

impl Said {
    fn notes(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn assumes(&mut self, text: impl Into<String>) {
        self.assumed.push(text.into());
    }
}

/// The time between two looks: what is asked for, or what the times of the rows say. Another tool's interval is not the one of these rows.
fn interval(evidence: &Evidence, config: Option<&Config>, asked: &Asked, said: &mut Said) -> Span {
    let inferred = evidence.interval().filter(|every| *every > Span::ZERO);
    let configured = config.filter(|c| !matches!(c.form, Form::Foreign(_))).and_then(|c| c.judge.every);
    if let Some(every) = asked.every.or(configured).filter(|every| *every > Span::ZERO) {
        if inferred.is_some_and(|rows| every < rows) {
            said.notes(format!(
                "a look every `{every}` is closer than the rows of the evidence: the looks between them see nothing"
            ));
        }
        return every;
    }
    let every = inferred.unwrap_or(Span::secs(10));
    said.assumes(format!("a look every `{every}`: the time between the rows"));
    every
}

/// Where an SLI of the settings comes from.
struct Source<'a> {
    sli: SliSettings,
    /// Its number in the evidence, and itself; nothing where the evidence doesn't know it.
    found: Option<(usize, &'a EvidenceSli)>,
    /// For each bucket of the evidence the one it is counted in, where fewer edges are wanted.
    merged: Option<Vec<usize>>,
}

fn sources<'a>(evidence: &'a Evidence, config: Option<&Config>, said: &mut Said) -> Result<Vec<Source<'a>>, String> {
    let config = config.inspect(|config| said.notes.extend(config.notes.iter().cloned()));
    let form = config.map_or(Form::Own, |config| config.form);
    let Some(config) = config.filter(|config| !config.wanted.is_empty()) else {
        said.assumes(inferred(evidence));
        let all = evidence.slis().iter().enumerate();
        let sources = all.map(|(i, sli)| Source::of(&Wanted::named(&sli.name), Some((i, sli)), form, said));
        return sources.collect();
    };
    let mut sources = Vec::new();
    let mut used = vec![false; evidence.slis().len()];
    for wanted in &config.wanted {
        let found = find(evidence, &wanted.name, form);
        match found {
            Some((i, _)) => used[i] = true,
            None => said.notes(format!("the evidence has no `{}`: it is judged as missing", wanted.name)),
        }
        let source = Source::of(wanted, found, form, said)?;
        let beside = (wanted.against == Against::Both && !source.sli.against_objective).then(|| source.by_objective());
        sources.push(source);
        sources.extend(beside);
    }
    let left = evidence.slis().iter().zip(used).filter(|(_, used)| !used).map(|(sli, _)| sli.name.as_str());
    let left: Vec<&str> = left.collect();
    if !left.is_empty() {
        said.notes(format!("left out, as the configuration does not name it: {}", words::list(left)));
    }
    Ok(sources)
}

/// By name; what another tool named is found in spite of capitals, blanks and signs, which a name here can't have.
fn find<'a>(evidence: &'a Evidence, name: &str, form: Form) -> Option<(usize, &'a EvidenceSli)> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let all = || evidence.slis().iter().enumerate();
    all().find(|(_, sli)| sli.name == name).or_else(|| {
        let is_foreign = matches!(form, Form::Foreign(_));
        all().find(|(_, sli)| is_foreign && !plain(name).is_empty() && plain(&sli.name) == plain(name))
    })
}

fn inferred(evidence: &Evidence) -> String {
    let of_kind = |sli: &EvidenceSli| match sli.kind {
        Kind::Ratio => "at most 5 % worse odds, 50 % ruled out, harmless below 0.5 %, weight 0.35",
        Kind::Latency { .. } => "at most 5 % slower, 20 % ruled out, weight 0.35",
        Kind::Gauge => "at most 10 % higher, 25 % ruled out, weight 0.15",
        Kind::Check => "three failures in a row fail it",
    };
    let each: Vec<String> = evidence.slis().iter().map(|sli| format!("`{}` ({})", sli.name, of_kind(sli))).collect();
    format!("no SLIs are configured (`--config`): all of the evidence are judged by the defaults: {}", each.join("; "))
}

impl<'a> Source<'a> {
    fn of(
        wanted: &Wanted,
        found: Option<(usize, &'a EvidenceSli)>,
        form: Form,
        said: &mut Said,
    ) -> Result<Self, String> {
        let name = &wanted.name;
        if let (Some(kind), Some((_, sli))) = (wanted.kind, found)
            && kind != name_of(&sli.kind)
        {
            let seen = name_of(&sli.kind).name();
            if form == Form::Own {
                return Err(format!("`{name}` is {seen} in the evidence, and {} in the configuration", kind.name()));
            }
            said.notes(format!(
                "`{name}` is {} in the configuration and {seen} in the evidence: judged as {seen}",
                kind.name()
            ));
        }
        let merged = match (&wanted.edges_ms, found) {
            (Some(edges), Some((_, EvidenceSli { kind: Kind::Latency { edges_ms }, .. }))) => {
                Some(merging(name, edges_ms, edges)?)
            }
            _ => None,
        };
        let kind = kind(wanted, found.map(|(_, sli)| &sli.kind), form);
        let is_counted = matches!(kind, SliKind::Ratio { .. } | SliKind::Latency { .. });
        let is_alone = found.is_some_and(|(_, sli)| !sli.rows().iter().any(|row| row.cohort == Cohort::Baseline));
        let by_objective = is_alone && wanted.has_objective() && wanted.against != Against::Objective;
        if by_objective {
            said.notes(format!("`{name}` has no baseline in the evidence: it is held against its objective"));
        }
        let sli = SliSettings {
            weight: wanted.weight.unwrap_or(weight_alone(&kind)),
            objective: wanted.objective.filter(|_| is_counted),
            against_objective: wanted.against == Against::Objective || by_objective,
            ..SliSettings::new(name, kind)
        };
        Ok(Self { sli, found, merged })
    }

    /// The same once more, held against its objective.
    fn by_objective(&self) -> Self {
        let name = format!("{}, objective", self.sli.name);
        let sli = SliSettings { name, against_objective: true, ..self.sli.clone() };
        Self { sli, found: self.found, merged: self.merged.clone() }
    }
}

fn name_of(kind: &Kind) -> KindName {
    match kind {
        Kind::Ratio => KindName::Ratio,
        Kind::Latency { .. } => KindName::Latency,
        Kind::Gauge => KindName::Gauge,
        Kind::Check => KindName::Check,
    }
}

/// What the evidence says it is; what the configuration says where the evidence doesn't know it.
fn kind(wanted: &Wanted, seen: Option<&Kind>, form: Form) -> SliKind {
    let default = match seen.map(name_of).or(wanted.kind).unwrap_or(KindName::Ratio) {
        // what was made for this evidence is judged as strictly as a stream
        KindName::Ratio if form == Form::Own => {
            SliKind::ratio().with(Margins { harm: Some(HARM_ALONE), ..Margins::default() })
        }
        KindName::Ratio => SliKind::ratio(),
        KindName::Latency => {
            let of_evidence = match seen {
                Some(Kind::Latency { edges_ms }) => edges_ms.clone(),
                _ => vec![wanted.below_ms.unwrap_or(SOME_EDGE_MS)],
            };
            SliKind::latency_below(wanted.edges_ms.clone().unwrap_or(of_evidence), wanted.below_ms)
        }
        KindName::Gauge => {
            let worse = if wanted.worse == Worse::Up { Direction::Up } else { Direction::Down };
            SliKind::measured(worse, wanted.limit)
        }
        KindName::Check => SliKind::Check,
    };
    default.with(Margins { harm: wanted.harm, safe: wanted.safe, floor: wanted.floor })
}

/// For each bucket of the evidence the one of the wanted edges that holds it.
fn merging(name: &str, edges_ms: &[f64], wanted: &[f64]) -> Result<Vec<usize>, String> {
    if let Some(unknown) = wanted.iter().find(|edge| !edges_ms.contains(edge)) {
        let known: Vec<String> = edges_ms.iter().map(|ms| (ms / 1e3).to_string()).collect();
        let known = known.join(", ");
        return Err(format!("`{name}` has no bucket edge `{}` in the evidence, but {known}", unknown / 1e3));
    }
    let holds = |edge: &f64| wanted.iter().filter(|kept| *kept < edge).count();
    Ok(edges_ms.iter().map(holds).chain([wanted.len()]).collect())
}

/// A look of the evidence in the order of the settings.
fn arranged(look: &Look, sources: &[Source<'_>]) -> Look {
    let reading = |source: &Source<'_>| {
        let nothing = Reading::Seen { baseline: None, canary: None };
        let reading = source.found.and_then(|(i, _)| look.readings.get(i)).cloned().unwrap_or(nothing);
        match (&source.merged, reading) {
            (Some(merged), Reading::Seen { baseline, canary }) => Reading::Seen {
                baseline: baseline.map(|counts| fewer(counts, merged)),
                canary: canary.map(|counts| fewer(counts, merged)),
            },
            (_, reading) => reading,
        }
    };
    Look { readings: sources.iter().map(reading).collect() }
}

fn fewer(counts: Counts, merged: &[usize]) -> Counts {
    let Counts::Latency { buckets } = counts else { return counts };
    let mut sums = vec![0_u64; merged.iter().max().map_or(0, |most| most + 1)];
    for (at, count) in merged.iter().zip(buckets) {
        sums[*at] = sums[*at].saturating_add(count);
    }
    Counts::Latency { buckets: sums }
}

fn settings(sources: &[Source<'_>], config: Option<&Config>, asked: &Asked, every: Span, count: u32) -> Settings {
    let judge = config.map(|config| config.judge.clone()).unwrap_or_default();
    let horizon = judge.deadline.map_or(count, |deadline| deadline.looks(every));
    let slis = sources.iter().map(|source| source.sli.clone()).collect();
    let defaults = Settings::new(slis, every.as_millis(), horizon.max(1));
    Settings {
        alpha: asked.alpha.or(judge.alpha).unwrap_or(defaults.alpha),
        beta: judge.beta.unwrap_or(defaults.beta),
        warm_up_looks: judge.warm_up_looks.unwrap_or(defaults.warm_up_looks),
        fresh_looks: judge.fresh_looks.unwrap_or(defaults.fresh_looks),
        coverage: judge.coverage.unwrap_or(defaults.coverage),
        min_requests: judge.min_requests.unwrap_or(defaults.min_requests),
        needs_newest: false,
        profile: asked.profile,
        ..defaults
    }
}

/// The looks before the rollout, of those SLIs that they show in the same shape.
fn past(
    history: &Evidence,
    evidence: &Evidence,
    sources: &[Source<'_>],
    every: Span,
    said: &mut Said,
) -> Result<Vec<Look>, String> {
    let dated = |evidence: &Evidence| evidence.begins_ms() >= A_DATE_MS;
    let ends = history.times_ms().last().copied().unwrap_or_default();
    if dated(history) && dated(evidence) && ends >= evidence.begins_ms() {
        said.notes("the history overlaps the recording: it should end before the rollout begins, as noise is learned from a time without the change");
    }
    let mut known = Vec::with_capacity(sources.len());
    for source in sources {
        let Source { sli, found, merged } = source;
        let found = found.and_then(|(_, seen)| before(history, seen, &sli.name, said));
        known.push(Source { sli: sli.clone(), found, merged: merged.clone() });
    }
    if known.iter().all(|source| source.found.is_none()) {
        return Ok(vec![]);
    }
    let looks = history.looks(every).map_err(|why| format!("the history: {why}"))?;
    Ok(looks.iter().map(|timed| arranged(&timed.look, &known)).collect())
}

/// An SLI in the history, if it can teach something.
fn before<'a>(
    history: &'a Evidence,
    seen: &EvidenceSli,
    name: &str,
    said: &mut Said,
) -> Option<(usize, &'a EvidenceSli)> {
    let uncalibrated = "its noise is learned from the recording itself, from a cautious start";
    let Some((i, before)) = history.slis().iter().enumerate().find(|(_, sli)| sli.name == seen.name) else {
        said.assumes(format!("the history has no `{name}`: {uncalibrated}"));
        return None;
    };
    if before.kind != seen.kind {
        let what = if name_of(&before.kind) == name_of(&seen.kind) { "bucket edges" } else { "fields" };
        said.notes(format!("`{name}` has other {what} in the history than in the recording: {uncalibrated}"));
        return None;
    }
    let has = |cohort: Cohort| before.rows().iter().any(|row| row.cohort == cohort);
    if !(has(Cohort::Baseline) && has(Cohort::Canary)) {
        said.notes(format!("the history of `{name}` has one cohort only: it needs rows of two halves of the old version, one of them called `canary`; {uncalibrated}"));
        return None;
    }
    Some((i, before))
}

#[cfg(test)]
mod tests {
    use judge::ReasonCode;

    use super::*;

    fn evidence(rows: &str) -> Evidence {
        Evidence::read(format!("time,cohort,sli,field,value\n{rows}").as_bytes()).expect("sound rows")
    }

    /// Twenty scrapes of a ratio in these cohorts.
    fn ratio(name: &str, cohorts: &[&str]) -> String {
        let row =
            |t: u32, cohort: &str| format!("{t},{cohort},{name},total,1000\n{t},{cohort},{name},bad,{}\n", 1 + t % 3);
        (0..20).flat_map(|i| cohorts.iter().map(move |cohort| row(10 * i, cohort))).collect()
    }

    fn case(rows: &str, history: Option<&str>, config: &str) -> Case {
        let config = (!config.is_empty()).then(|| Config::read(config).expect("a sound configuration"));
        let history = history.map(evidence);
        Case::new(&evidence(rows), history.as_ref(), config.as_ref(), &Asked::default()).expect("a sound case")
    }

    fn codes(case: &Case) -> Vec<ReasonCode> {
        let outcome = super::super::trajectory::outcome(case.judge().expect("sound settings"), case.moments());
        outcome.expect("a sound step").verdict.reasons.into_iter().map(|reason| reason.code).collect()
    }

    const BOTH: [&str; 2] = ["baseline", "canary"];

    #[test]
    fn a_history_that_lacks_an_sli_or_a_cohort_calibrates_nothing_of_it() {
        let rows = ratio("a", &BOTH) + &ratio("b", &BOTH);
        let whole = case(&rows, Some(&rows), "");
        assert!(!codes(&whole).contains(&ReasonCode::NoCalibration), "{:?}", codes(&whole));
        for history in [ratio("a", &BOTH), ratio("a", &BOTH) + &ratio("b", &["baseline"])] {
            let half = case(&rows, Some(&history), "");
            assert!(codes(&half).contains(&ReasonCode::NoCalibration), "{:?}", codes(&half));
            let said = [half.notes.concat(), half.assumed.concat()].concat();
            assert!(said.contains("`b`") && said.contains("from a cautious start"), "{said}");
        }
    }

    #[test]
    fn a_histogram_with_other_edges_before_the_rollout_teaches_nothing() {
        let rows = |edge: &str| -> String {
            (0..20).flat_map(|t| BOTH.map(|c| format!("{t},{c},l,le={edge},90\n{t},{c},l,le=+Inf,10\n"))).collect()
        };
        assert!(case(&rows("0.1"), Some(&rows("0.1")), "").notes.is_empty());
        let other = case(&rows("0.1"), Some(&rows("0.2")), "");
        assert!(other.notes[0].contains("other bucket edges"), "{:?}", other.notes);
        assert_eq!(other.past, []);
    }

    #[test]
    fn without_a_baseline_an_objective_is_what_it_is_held_against() {
        let alone = ratio("a", &["canary"]);
        let by_objective = case(&alone, None, "slis: [{name: a, objective: 99.5%}]");
        assert!(by_objective.settings.slis[0].against_objective, "{:?}", by_objective.notes);
        assert!(by_objective.notes[0].contains("held against its objective"), "{:?}", by_objective.notes);
        assert!(!case(&alone, None, "").settings.slis[0].against_objective);
    }

    #[test]
    fn one_sli_can_be_held_against_both() {
        let both = case(&ratio("a", &BOTH), None, "slis: [{name: a, objective: 99.5%, against: both}]");
        let slis = both.settings.slis.iter().map(|sli| (sli.name.as_str(), sli.against_objective));
        assert_eq!(slis.collect::<Vec<_>>(), [("a", false), ("a, objective", true)]);
        assert!(both.looks.iter().all(|look| look.readings.len() == 2 && look.readings[0] == look.readings[1]));
    }

    #[test]
    fn fewer_edges_merge_buckets_and_lose_no_request() {
        let rows: String = (0..5)
            .flat_map(|t| {
                BOTH.map(|c| {
                    format!("{t},{c},l,le=0.1,1\n{t},{c},l,le=0.2,2\n{t},{c},l,le=0.4,4\n{t},{c},l,le=+Inf,8\n")
                })
            })
            .collect();
        let fewer = case(&rows, None, "slis: [{name: l, edges: [0.2]}]");
        let Reading::Seen { canary: Some(Counts::Latency { buckets }), .. } = &fewer.looks[0].readings[0] else {
            panic!("buckets")
        };
        assert_eq!(buckets, &[3, 12]);
    }

    #[test]
    fn looks_begin_at_the_first_row_and_a_silent_time_is_a_look() {
        let rows = "100,baseline,g,value,1\n100,canary,g,value,1\n110,canary,g,value,1\n140,baseline,g,value,1\n";
        let looks = case(rows, None, "").looks;
        let seen = |look: &Look| match &look.readings[0] {
            Reading::Seen { baseline, canary } => (baseline.is_some(), canary.is_some()),
            Reading::Unreachable { .. } | Reading::NotDue => panic!("a file answers"),
        };
        let expected = [(true, true), (false, true), (false, false), (false, false), (true, false)];
        assert_eq!(looks.iter().map(seen).collect::<Vec<_>>(), expected);
    }
}
