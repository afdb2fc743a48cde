//! Acting: performs one intent, and reports to the core what became of it.
//!
//! The intent is in the log as begun before it comes here; the report may be lost, and the intent comes again. Chooses nothing: what a step is stands
//! in the plan, what follows from its outcome is the core's to say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use change::actor::Part;
use change::facts::Facts;
use change::gate::{self, GateName, Readiness};
use change::lifecycle::{Given, Rejection};
use change::proposal::Proposal;
use change::rollout::{Desired, Failure, StepState};
use change::{Actor, Change, Command, Digest, Intent, Span};

use crate::asked::Asked;
use crate::checks::{self, Rehearsal, Run};
use crate::commit::Attempt;
use crate::handle::{CommandError, Engine};
use crate::in_force::InForce;
use crate::look;
use crate::ports::{Act, BootMillis, Cohorts, Driver, Message, Outcome, StoreError};
use crate::reconcile::Round;

/// What became of an intent.
pub(crate) enum Done {
    /// Something was appended: ask what is due now.
    Moved,
    /// The core was asked, and has nothing to add.
    Unmoved,
    /// Nothing yet: ask again after this time.
    Again(Span),
}

/// When people who could not be told are tried again.
const PAGE_AGAIN: Span = Span::secs(10);
/// Why nothing is known of the readiness of one that other gates hold.
const UNASKED: &str = "target and telemetry are asked once the other gates are open";
/// The longest error text that goes into the log.
const LONGEST_ERROR: usize = 2_000;

impl Engine {
    pub(crate) async fn perform(
        self: &Arc<Self>,
        change: &Change,
        intent: Intent,
        round: &mut Round,
    ) -> Result<Done, StoreError> {
        match intent {
            Intent::Assess => self.assess(change).await,
            Intent::Schedule => self.tell(change, Part::Clock, Command::Schedule).await,
            Intent::ApproveByAutomation => self.tell(change, Part::Policy, Command::ApproveByAutomation).await,
            Intent::Call => self.tell(change, Part::Clock, Command::Call).await,
            Intent::Nag => self.tell(change, Part::Clock, Command::Nag).await,
            Intent::ReportSilence { step, attempt } => {
                let error = "the pipeline has not said in time how it ended".to_owned();
                let silence = Command::ReportFailed { step, attempt, failure: Failure::Unknown, error };
                self.tell(change, Part::Clock, silence).await
            }
            Intent::ReportSilentUndo { attempt } => {
                let error = "the pipeline has not said in time that it has rolled back".to_owned();
                let silence = Command::ReportUndoFailed { attempt, failure: Failure::Final, error };
                self.tell(change, Part::Clock, silence).await
            }
            Intent::LapseVotes => self.tell(change, Part::Clock, Command::LapseVotes).await,
            Intent::Lapse => self.tell(change, Part::Clock, Command::Lapse).await,
            Intent::BeginStep => self.begin_step(change, round).await,
            Intent::Apply { step, attempt } => self.apply(change, step, attempt, round).await,
            Intent::Look { step, attempt, every } => self.look(change, step, attempt, every, round).await,
            Intent::BeginUndo => self.tell(change, Part::Rollout, Command::BeginUndo).await,
            Intent::Undo { attempt } => self.undo(change, attempt, round).await,
            Intent::Page { key } => self.page(change, key, round).await,
        }
    }

    /// Reports to the core. A rejection means that the world has moved on: what is due is asked anew.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        change: &Change,
        part: Part,
        command: Command,
    ) -> Result<Done, StoreError> {
        self.report(change, command, Attempt::by(&Actor::Clearway(part))).await
    }

    pub(crate) async fn report(
        self: &Arc<Self>,
        change: &Change,
        command: Command,
        attempt: Attempt,
    ) -> Result<Done, StoreError> {
        match self.clone().command(change.id, command, attempt).await {
            Ok(after) if after.version > change.version => Ok(Done::Moved),
            Ok(_) => Ok(Done::Unmoved),
            Err(CommandError::Rejected(rejection)) => {
                tracing::debug!(change = %change.id, %rejection, "the core said no to a report");
                Ok(self.after_rejection(&rejection))
            }
            Err(CommandError::Store(error)) => Err(error),
            Err(_) => Ok(Done::Again(Span::secs(1))),
        }
    }

    fn after_rejection(&self, rejection: &Rejection) -> Done {
        match rejection {
            Rejection::Stale { .. } | Rejection::WrongPhase { .. } => Done::Again(Span::millis(50)),
            _ => Done::Again(self.settings.recheck),
        }
    }

    pub(crate) async fn assess(self: &Arc<Self>, change: &Change) -> Result<Done, StoreError> {
        let in_force = self.in_force();
        let asked = Asked::now(&in_force, change::time::to_millis(self.clock.now()));
        let course = self.course_now(change).await?;
        let facts = self.facts(&change.proposal, &change.author, &in_force).await?;
        let input = serde_json::to_value(&facts).unwrap_or_default();
        let bytes = change::id::canonical(&input).into_bytes();
        let proposal = change.proposal.clone();
        let rules = in_force.clone();
        let assessing =
            tokio::task::spawn_blocking(move || rules.bundle.assess(&facts, &rules.governance.approvals, &proposal));
        let Ok(assessment) = assessing.await else {
            tracing::error!(change = %change.id, "the policy broke off; asking again");
            return Ok(Done::Again(self.settings.recheck));
        };
        self.assessed.keep(change.id, asked);
        let owners = in_force.governance.catalog.owners(&change.proposal.services);
        let assessment = course.applied(assessment).asking_each_of(&owners);
        let mut attempt = Attempt::by(&Actor::Clearway(Part::Policy));
        attempt.blobs.push((Digest::of_bytes(&bytes), bytes));
        self.report(change, Command::Assess(Box::new(assessment)), attempt).await
    }

    /// Asks policy once more before the first step, where the rules or the hour are others than when it was asked last: what was right on Thursday may
    /// be wrong on Friday night. Not to be asked while another gate holds. Says whether something has moved: then nothing begins by the old answer.
    pub(crate) async fn assess_again(self: &Arc<Self>, change: &Change) -> Result<Option<Done>, StoreError> {
        let asked = Asked::now(&self.in_force(), change::time::to_millis(self.clock.now()));
        if change.not_before().is_none() || self.assessed.last(change.id) == Some(asked.clone()) {
            return Ok(None);
        }
        let done = self.assess(change).await?;
        let answered = self.assessed.last(change.id) == Some(asked);
        Ok(if answered && matches!(done, Done::Unmoved | Done::Again(_)) { None } else { Some(done) })
    }

    /// Whether a change waits behind a rule that was asked when the rules, or the hour, were others: a rule that was mended must not go on denying.
    pub(crate) fn is_denied_by_older_rules(&self, change: &Change) -> bool {
        let asked = Asked::now(&self.in_force(), change::time::to_millis(self.clock.now()));
        change.is_denied() && self.assessed.last(change.id) != Some(asked)
    }

    /// What policy sees of a proposal by this author, now.
    pub(crate) async fn facts(
        &self,
        proposal: &Proposal,
        author: &Actor,
        in_force: &InForce,
    ) -> Result<Facts, StoreError> {
        let now = change::time::to_millis(self.clock.now());
        let (services, effect) = (&proposal.services, proposal.effect_digest);
        let history = self.with_folds(|folds| folds.measures.history(services, effect, author, now)).await?;
        let governance = &in_force.governance;
        let facts = Facts::of(proposal, &change::explain::actor(author), &governance.catalog, history, now);
        let facts = Facts { error_budget_left: self.budgets.left(services), ..facts };
        Ok(facts.in_zone(now, &in_force.zone).made_of(proposal, &governance.paths, &governance.access))
    }

    /// Asks the gates, and begins the step if they are open. What costs more than a look at what is known comes last, and only where nothing else holds:
    /// a change that waits for next week has no business with the target and the telemetry of today.
    async fn begin_step(self: &Arc<Self>, change: &Change, round: &mut Round) -> Result<Done, StoreError> {
        let held = self.held_before_readiness(change).await?;
        if held.iter().any(|gate| *gate != GateName::Policy) {
            return self.say_what_holds(change).await;
        }
        if !self.hold_lease(round).await? {
            return Ok(Done::Again(self.settings.recheck));
        }
        if !held.is_empty() {
            return match self.assess_again(change).await? {
                Some(done) => Ok(done),
                None => self.say_what_holds(change).await,
            };
        }
        let Some(driver) = self.drivers.get(&change.proposal.plan.target.driver) else {
            tracing::error!(change = %change.id, driver = change.proposal.plan.target.driver, "the driver is gone from this server");
            return self.begin_without_driver(change).await;
        };
        let mut attempt = Attempt::by(&Actor::Clearway(Part::Rollout));
        let observed = match driver.observe(&change.proposal.plan.target).await {
            Ok(observed) => observed,
            Err(_) if change.rollout().is_some() => serde_json::Value::Null,
            Err(error) => {
                attempt.readiness =
                    Some(Readiness::NotReady { problems: vec![format!("the target can't be seen: {error}")] });
                serde_json::Value::Null
            }
        };
        if change.rollout().is_none() && attempt.readiness.is_none() {
            attempt.readiness = Some(self.target_readiness(change).await);
        }
        // After what takes long, so that the answer is of the hour in which the step begins.
        if let Some(done) = self.assess_again(change).await? {
            return Ok(done);
        }
        let done = self.report(change, Command::BeginStep { observed }, attempt).await?;
        Ok(match done {
            Done::Again(_) => Done::Again(self.settings.recheck),
            other => other,
        })
    }

    /// The gates that hold a step, but for whether its target and telemetry are ready.
    pub(crate) async fn held_before_readiness(&self, change: &Change) -> Result<Vec<GateName>, StoreError> {
        let given = self.given(change, &Actor::Clearway(Part::Rollout)).await?;
        let given = Given { readiness: Readiness::Ready, ..given };
        Ok(gate::ask(change, &given).iter().filter(|gate| gate.holds()).map(|gate| gate.gate).collect())
    }

    /// Puts into the log which gates hold a step, where it does not stand there yet.
    async fn say_what_holds(self: &Arc<Self>, change: &Change) -> Result<Done, StoreError> {
        let mut attempt = Attempt::by(&Actor::Clearway(Part::Rollout));
        attempt.readiness = change.rollout().is_none().then(|| Readiness::Unknown { why: UNASKED.into() });
        let done = self.report(change, Command::BeginStep { observed: serde_json::Value::Null }, attempt).await?;
        Ok(match done {
            Done::Again(_) => Done::Again(self.settings.recheck),
            other => other,
        })
    }

    /// What can't begin for want of a driver says so, and leaves the line of those that could.
    async fn begin_without_driver(self: &Arc<Self>, change: &Change) -> Result<Done, StoreError> {
        if change.rollout().is_some() {
            return Ok(Done::Again(self.settings.recheck));
        }
        let mut attempt = Attempt::by(&Actor::Clearway(Part::Rollout));
        let missing = format!("this server has no driver `{}`", change.proposal.plan.target.driver);
        attempt.readiness = Some(Readiness::NotReady { problems: vec![missing] });
        self.report(change, Command::BeginStep { observed: serde_json::Value::Null }, attempt).await
    }

    /// Whether the target, the way back and the telemetry are there; asked only if nothing else holds the change.
    pub(crate) async fn readiness(self: &Arc<Self>, change: &Change) -> Readiness {
        match self.held_before_readiness(change).await {
            Ok(held) if held.is_empty() => self.target_readiness(change).await,
            Ok(_) => Readiness::Unknown { why: UNASKED.into() },
            Err(_) => Readiness::Unknown { why: "the store could not be asked".into() },
        }
    }

    async fn target_readiness(self: &Arc<Self>, change: &Change) -> Readiness {
        let target = &change.proposal.plan.target;
        let Some(driver) = self.drivers.get(&target.driver) else {
            return Readiness::NotReady { problems: vec![format!("this server has no driver `{}`", target.driver)] };
        };
        let cohorts = driver.cohorts(target);
        let mut problems = driver.ready(target).await.err().unwrap_or_default();
        let now = change::time::to_millis(self.clock.now());
        problems.extend(look::baseline_problems(&change.proposal, &cohorts, &*self.eyes, now).await);
        problems.extend(self.rehearsal(change, &cohorts).await.problems);
        if problems.is_empty() { Readiness::Ready } else { Readiness::NotReady { problems } }
    }

    /// What its checks say of the stable version, asked at most once in a while.
    async fn rehearsal(&self, change: &Change, cohorts: &Cohorts) -> Rehearsal {
        let (id, effect) = (change.id, change.proposal.effect_digest);
        if change.proposal.verify.checks.is_empty() {
            return Rehearsal::default();
        }
        let since = change::time::to_millis(self.clock.now());
        if let Some(known) = self.rehearsals.fresh(id, effect, since, self.settings.recheck) {
            return known;
        }
        let act = Act { change: id, step: "0".into(), attempt: 0, files: change.proposal.files.clone() };
        let round = Run { proposal: &change.proposal, cohorts, act: &act, eyes: &self.eyes };
        let found = checks::rehearse(&round).await;
        for warning in &found.warnings {
            tracing::warn!(change = %id, "{warning}");
        }
        self.rehearsals.keep(id, effect, since, found.clone());
        found
    }

    /// The driver of a change, unless the right to act has passed on.
    async fn driver(&self, change: &Change, round: &mut Round) -> Result<Option<Arc<dyn Driver>>, StoreError> {
        let held = self.hold_lease(round).await?;
        Ok(self.drivers.get(&change.proposal.plan.target.driver).filter(|_| held).cloned())
    }

    async fn apply(
        self: &Arc<Self>,
        change: &Change,
        step: usize,
        attempt: u32,
        round: &mut Round,
    ) -> Result<Done, StoreError> {
        let Some(driver) = self.driver(change, round).await? else { return Ok(Done::Again(self.settings.recheck)) };
        let plan = &change.proposal.plan;
        let desired = Desired { target: plan.target.clone(), weight: plan.steps[step].weight };
        let act =
            Act { change: change.id, step: (step + 1).to_string(), attempt, files: change.proposal.files.clone() };
        let outcome = self.while_held(round, self.within_limit(driver.ensure(&act, &desired))).await;
        let command = match outcome {
            Outcome::Applied { actual } => Command::ReportApplied { step, attempt, actual },
            Outcome::Pending { again } => return Ok(Done::Again(again)),
            Outcome::Failed { failure, error } => {
                Command::ReportFailed { step, attempt, failure, error: bounded(&error) }
            }
        };
        self.tell(change, Part::Rollout, command).await
    }

    async fn undo(self: &Arc<Self>, change: &Change, attempt: u32, round: &mut Round) -> Result<Done, StoreError> {
        let (Some(driver), Some(rollout)) = (self.driver(change, round).await?, change.rollout()) else {
            return Ok(Done::Again(self.settings.recheck));
        };
        let act = Act { change: change.id, step: "undo".into(), attempt, files: change.proposal.files.clone() };
        let undoing = driver.undo(&act, &change.proposal.plan.target, &rollout.before);
        let outcome = self.while_held(round, self.within_limit(undoing)).await;
        let command = match outcome {
            Outcome::Applied { actual } => Command::ReportUndone { observed: actual },
            Outcome::Pending { again } => return Ok(Done::Again(again)),
            Outcome::Failed { failure, error } => {
                Command::ReportUndoFailed { attempt, failure, error: bounded(&error) }
            }
        };
        self.tell(change, Part::Rollout, command).await
    }

    /// Runs an act, from the wait for its turn on, and renews the lease as long as it takes: an act may take longer than a lease lasts, and another
    /// replica that took the lease over in the middle would do the same a second time.
    async fn while_held(&self, round: &mut Round, act: impl Future<Output = Outcome>) -> Outcome {
        let beat = Duration::from_millis((self.settings.lease.as_millis() / 4).max(1));
        let mut act = std::pin::pin!(act);
        loop {
            tokio::select! {
                biased;
                outcome = &mut act => return outcome,
                () = tokio::time::sleep(beat) => match self.hold_lease(round).await {
                    Ok(true) => {}
                    Ok(false) => tracing::error!(change = %round.id, "another replica took the lease over in the middle of an act"),
                    Err(error) => tracing::warn!(change = %round.id, %error, "the lease could not be renewed in the middle of an act"),
                },
            }
        }
    }

    /// Runs an act within its own limit of time; one that takes longer has an unknown outcome.
    async fn within_limit(&self, act: impl Future<Output = Outcome>) -> Outcome {
        let Ok(_permit) = self.acts.acquire().await else {
            return Outcome::Pending { again: self.settings.recheck };
        };
        let limit = self.settings.act_limit;
        match tokio::time::timeout(Duration::from_millis(limit.as_millis()), act).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed {
                failure: Failure::Unknown,
                error: format!("the driver did not answer within {limit}"),
            },
        }
    }

    async fn page(self: &Arc<Self>, change: &Change, key: String, round: &mut Round) -> Result<Done, StoreError> {
        let now = self.clock.boot();
        if now < round.pages_at {
            return Ok(Done::Again(Span::millis(round.pages_at.0 - now.0)));
        }
        let Some(page) = change.pages.get(&key) else { return Ok(Done::Again(PAGE_AGAIN)) };
        let (to, on_call) = self.told(&page.to);
        let message = Message { title: &change.proposal.title, reason: &page.reason, to: &to, urgency: page.urgency };
        match self.voice.tell(change.id, &message).await {
            Ok(channel) => self.tell(change, Part::Notify, Command::ReportPaged { key, channel, to: on_call }).await,
            Err(error) => {
                tracing::error!(change = %change.id, %error, "people could not be told; trying again");
                round.pages_at = BootMillis(self.clock.boot().0 + PAGE_AGAIN.as_millis());
                Ok(Done::Again(PAGE_AGAIN))
            }
        }
    }

    /// Who is told: of a schedule those whose turn it is now. And these alone.
    fn told(&self, to: &BTreeSet<String>) -> (BTreeSet<String>, BTreeSet<String>) {
        let in_force = self.in_force();
        let now = change::time::to_millis(self.clock.now());
        let (schedules, others): (Vec<&String>, Vec<&String>) =
            to.iter().partition(|name| in_force.governance.roster.schedule(name).is_some());
        let turns = schedules.into_iter().map(|name| in_force.governance.on_call_by(name, now));
        let on_call: BTreeSet<String> = turns.flat_map(|duty| duty.users).collect();
        (others.into_iter().cloned().chain(on_call.iter().cloned()).collect(), on_call)
    }

    /// Whether the step is the one that is being verified.
    pub(crate) fn is_verifying(change: &Change, step: usize, attempt: u32) -> bool {
        let current = change.rollout().filter(|r| r.step == step && r.attempt == attempt && r.back.is_none());
        current.is_some_and(|r| matches!(r.state, StepState::Applied { .. }))
    }
}

fn bounded(error: &str) -> String {
    match error.char_indices().nth(LONGEST_ERROR) {
        Some((at, _)) => format!("{}…", &error[..at]),
        None => error.to_owned(),
    }
}
