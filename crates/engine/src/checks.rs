//! Checks: the synthetic checks of one rollout, run when they are due, beside the looks and never in their way.
//!
//! Runs go on in the background, at most so many at a time and each within its time; a look waits for them a moment and takes what has come in since the
//! look before. A check without a new result is not due, which changes nothing. What could not be run is unreachable, never a pass. The judging of the
//! results is the judge's; this room only adds the words of the newest failure to its sentences. Next room: [`judging`](crate::judging).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use change::proposal::Proposal;
use change::verification::synthetic::SyntheticCheck;
use change::{ChangeId, Digest, Span, Timestamp, time};
use judge::{Counts, Reading, ReasonCode, SliKind, SliSettings, Verdict};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::look::Seen;
use crate::ports::{Act, Cohorts, Eyes, Probed};

/// How many checks of one change run at a time.
const AT_A_TIME: usize = 8;
/// How long a look waits for runs that are under way, and never longer than the time between two looks: a later result comes with a later look.
const PATIENCE: Span = Span::secs(2);
/// What a probe may take beyond the time of a try: to end a command, for example.
const GRACE: Duration = Duration::from_secs(5);
/// The longest reason that is kept of a run, in characters.
const LONGEST_WHY: usize = 300;

/// What the judge is told of the checks: passed or failed, or with an objective a ratio that is held against it in every step.
pub(crate) fn settings(checks: &[SyntheticCheck]) -> impl Iterator<Item = SliSettings> {
    checks.iter().map(|check| match check.objective {
        None => SliSettings::new(check.name.clone(), SliKind::Check),
        Some(objective) => SliSettings {
            objective: Some(objective.share()),
            against_objective: true,
            ..SliSettings::new(check.name.clone(), SliKind::ratio())
        },
    })
}

/// The runs of the checks of one step: under way, come in, and when each began.
#[derive(Debug)]
pub(crate) struct Runs {
    /// The step and attempt that they are for.
    of: Option<(usize, u32)>,
    tasks: JoinSet<(String, Probed)>,
    under_way: BTreeSet<String>,
    done: BTreeMap<String, Probed>,
    begun: BTreeMap<String, Timestamp>,
    slots: Arc<Semaphore>,
}

impl Runs {
    pub(crate) fn new() -> Self {
        Self {
            of: None,
            tasks: JoinSet::new(),
            under_way: BTreeSet::new(),
            done: BTreeMap::new(),
            begun: BTreeMap::new(),
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Another step has its own runs: what an earlier one's saw says nothing of it.
    fn enter(&mut self, of: (usize, u32)) {
        if self.of != Some(of) {
            *self = Self { of: Some(of), ..Self::new() };
        }
    }

    /// Learns from a kept look when its checks were run, so that a restart neither forgets nor repeats one.
    pub(crate) fn remember(&mut self, of: (usize, u32), seen: &[Seen], checks: &[SyntheticCheck], at: Timestamp) {
        self.enter(of);
        for check in checks {
            if seen.iter().any(|s| s.sli == check.name && s.reading != Reading::NotDue) {
                self.begun.insert(check.name.clone(), at);
            }
        }
    }

    /// Starts every check that is due, those first that have waited longest, and waits a moment for what is under way.
    pub(crate) async fn run(&mut self, round: &Run<'_>, of: (usize, u32), now: Timestamp) {
        self.enter(of);
        let look = round.proposal.verify.every;
        let mut due: Vec<&SyntheticCheck> = round.proposal.verify.checks.iter().collect();
        due.retain(|check| self.is_due(check, look, now));
        due.sort_by_key(|check| self.begun.get(&check.name).copied());
        for check in due {
            self.start(round, check, now);
        }
        let patience = Duration::from_millis(PATIENCE.min(look).as_millis());
        let _ = tokio::time::timeout(patience, async {
            while let Some(ended) = self.tasks.join_next().await {
                self.note(ended);
            }
        })
        .await;
        if self.tasks.is_empty() {
            // A run that broke off has said nothing, and is due again.
            self.under_way.clear();
        }
    }

    fn note(&mut self, ended: Result<(String, Probed), tokio::task::JoinError>) {
        match ended {
            Ok((name, probed)) => {
                self.under_way.remove(&name);
                self.done.insert(name, probed);
            }
            Err(error) => tracing::error!(%error, "a check broke off"),
        }
    }

    fn is_due(&self, check: &SyntheticCheck, look: Span, now: Timestamp) -> bool {
        // A clock that was set back must not stop a check: then it is due at once.
        let rested = |begun: &Timestamp| *begun > now || time::between(*begun, now) >= check.interval(look);
        !self.under_way.contains(&check.name)
            && !self.done.contains_key(&check.name)
            && self.begun.get(&check.name).is_none_or(rested)
    }

    fn start(&mut self, round: &Run<'_>, check: &SyntheticCheck, now: Timestamp) {
        let (check, act, eyes, slots) = (check.clone(), round.act.clone(), round.eyes.clone(), self.slots.clone());
        let (cohort, limit) = (round.cohorts.canary.clone(), check.timeout(round.proposal.verify.every));
        self.begun.insert(check.name.clone(), now);
        self.under_way.insert(check.name.clone());
        self.tasks.spawn(async move {
            // The slots are never closed; were they, the check would run all the same.
            let _slot = slots.acquire().await;
            let probed = run_once(&*eyes, &act, &check, &cohort, limit).await;
            (check.name, probed)
        });
    }

    /// What has come in since the look before, for every check in its order.
    pub(crate) fn take(&mut self, checks: &[SyntheticCheck]) -> Vec<Seen> {
        checks.iter().map(|check| seen(check, self.done.remove(&check.name))).collect()
    }
}

/// What runs are made of.
pub(crate) struct Run<'a> {
    pub proposal: &'a Proposal,
    pub cohorts: &'a Cohorts,
    pub act: &'a Act,
    pub eyes: &'a Arc<dyn Eyes>,
}

/// One run: its tries until a good one.
async fn run_once(eyes: &dyn Eyes, act: &Act, check: &SyntheticCheck, cohort: &str, limit: Span) -> Probed {
    let backstop = Duration::from_millis(limit.as_millis()) + GRACE;
    let mut probed = Probed::NotRun { why: "it was not tried".into() };
    for _ in 0..check.tries() {
        let tried = tokio::time::timeout(backstop, eyes.probe(act, check, cohort, limit)).await;
        probed = tried.unwrap_or_else(|_| Probed::NotRun { why: format!("it did not end within {limit}") });
        if probed == Probed::Passed {
            break;
        }
    }
    probed
}

fn seen(check: &SyntheticCheck, probed: Option<Probed>) -> Seen {
    let counted = |passed: bool| match check.objective {
        None => Counts::Check { passed },
        Some(_) => Counts::Ratio { total: 1, bad: u64::from(!passed) },
    };
    let of_canary = |passed| Reading::Seen { baseline: None, canary: Some(counted(passed)) };
    let (reading, why) = match probed {
        None => (Reading::NotDue, None),
        Some(Probed::Passed) => (of_canary(true), None),
        Some(Probed::Failed { why }) => (of_canary(false), Some(bounded(&why))),
        Some(Probed::NotRun { why }) => (Reading::Unreachable { why: bounded(&why) }, Some(bounded(&why))),
    };
    Seen { sli: check.name.clone(), edges_ms: None, reading, why }
}

pub(crate) fn bounded(why: &str) -> String {
    match why.char_indices().nth(LONGEST_WHY - 1) {
        Some((at, last)) if why.len() > at + last.len_utf8() => format!("{}…", &why[..at]),
        _ => why.to_owned(),
    }
}

/// What the judge's sentences lack: that the events of a check are runs, and why the newest run of a check or a command did not pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Words {
    checks: BTreeSet<String>,
    whys: BTreeMap<String, String>,
}

impl Words {
    pub(crate) fn of(checks: &[SyntheticCheck]) -> Self {
        Self { checks: checks.iter().map(|check| check.name.clone()).collect(), whys: BTreeMap::new() }
    }

    pub(crate) fn learn(&mut self, seen: &[Seen]) {
        for seen in seen {
            match (&seen.why, &seen.reading) {
                (Some(why), _) => {
                    self.whys.insert(seen.sli.clone(), why.clone());
                }
                (None, Reading::NotDue) => {}
                (None, _) => {
                    self.whys.remove(&seen.sli);
                }
            }
        }
    }

    /// Says in a verdict why checks failed or could not be run: the judge knows only that they did.
    pub(crate) fn explain(&self, verdict: &mut Verdict) {
        for sli in &mut verdict.slis {
            if self.checks.contains(&sli.name) {
                sli.why = of_runs(&sli.why);
            }
            if let Some(why) = self.whys.get(&sli.name) {
                sli.why = with(&sli.why, why);
            }
        }
        for reason in &mut verdict.reasons {
            let Some(name) = &reason.sli else { continue };
            if self.checks.contains(name) {
                reason.text = of_runs(&reason.text);
            }
            let Some(why) = self.whys.get(name) else { continue };
            match reason.code {
                ReasonCode::Unreachable => reason.text = format!("`{name}` could not be run: {why}"),
                ReasonCode::CheckFailed | ReasonCode::CheckFailing | ReasonCode::Harm => {
                    reason.text = with(&reason.text, why);
                }
                _ => {}
            }
        }
    }
}

/// The judge counts requests; those of a check are our own.
fn of_runs(sentence: &str) -> String {
    sentence.replace("canary requests", "runs").replace("no request of this step", "no run of this step")
}

fn with(sentence: &str, why: &str) -> String {
    format!("{} (newest: {why}).", sentence.trim_end_matches('.'))
}

/// What a run of each check against the stable version says before a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rehearsal {
    /// What can't be run at all: no step could ever pass.
    pub problems: Vec<String>,
    /// What fails for the stable version already.
    pub warnings: Vec<String>,
}

/// The newest rehearsal of each change that waits, so that readers of its page don't make its checks run.
#[derive(Debug, Default)]
pub(crate) struct Rehearsals(Mutex<BTreeMap<ChangeId, (Digest, Timestamp, Rehearsal)>>);

/// More than ever wait at once; the oldest change goes first.
const MOST_REHEARSALS: usize = 1_000;

impl Rehearsals {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ChangeId, (Digest, Timestamp, Rehearsal)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found of this effect not long ago: what is in order holds for longer than what somebody may be mending.
    pub(crate) fn fresh(&self, change: ChangeId, effect: Digest, now: Timestamp, recheck: Span) -> Option<Rehearsal> {
        let known = self.all().get(&change).cloned()?;
        let age = if known.2 == Rehearsal::default() { recheck.times(12) } else { recheck };
        (known.0 == effect && known.1 <= now && time::between(known.1, now) < age).then_some(known.2)
    }

    pub(crate) fn keep(&self, change: ChangeId, effect: Digest, at: Timestamp, found: Rehearsal) {
        let mut all = self.all();
        all.insert(change, (effect, at, found));
        while all.len() > MOST_REHEARSALS {
            all.pop_first();
        }
    }

    pub(crate) fn warnings(&self, change: ChangeId, effect: Digest) -> Vec<String> {
        self.all()
            .get(&change)
            .filter(|known| known.0 == effect)
            .map(|known| known.2.warnings.clone())
            .unwrap_or_default()
    }
}

/// Runs each check once against the stable version. Commands are left out: they belong to a step, and may do more than look.
pub(crate) async fn rehearse(round: &Run<'_>) -> Rehearsal {
    let slots = Semaphore::new(AT_A_TIME);
    let look = round.proposal.verify.every;
    let runs = round.proposal.verify.checks.iter().filter(|check| check.command.is_none()).map(|check| {
        let slots = &slots;
        async move {
            let _slot = slots.acquire().await;
            let limit = check.timeout(look);
            (check, run_once(&**round.eyes, round.act, check, &round.cohorts.stable, limit).await)
        }
    });
    let mut found = Rehearsal::default();
    for (check, probed) in futures::future::join_all(runs).await {
        match probed {
            Probed::Passed => {}
            Probed::Failed { why } => found.warnings.push(format!(
                "the check `{}` fails for the stable version already: {}",
                check.name,
                bounded(&why)
            )),
            Probed::NotRun { why } => {
                found.problems.push(format!("the check `{}` can't be run: {}", check.name, bounded(&why)));
            }
        }
    }
    found
}
