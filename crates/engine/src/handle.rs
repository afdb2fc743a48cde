//! The handle: every operation that pages, API and CLI have on the engine.
//!
//! Cheap to clone. Nothing here decides; what may happen is asked of the core, through [`commit`](crate::commit). What is only read is in `reading`.

mod reading;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};

use change::circumstances::Circumstances;
use change::conflict::traffic::{News, Traffic};
use change::document::Problem;
use change::entitlement::Entitlement;
use change::facts::Facts;
use change::facts::material::Material;
use change::gate::{Gate, GateName};
use change::governance::Governance;
use change::lifecycle::Rejection;
use change::lifecycle::outside::Report;
use change::proposal::{self, Files, Proposal, Proposed};
use change::secret::Finding;
use change::waiting::Needs;
use change::{Actor, Change, ChangeId, Command, Digest, Event, Permission, ReleaseId, Span, Timestamp};
use measure::Fold;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::agenda::LastPlan;
use crate::asked::LastAsked;
use crate::budgets::Budgets;
use crate::checks::Rehearsals;
use crate::commit::{Attempt, Ends, LaneCache};
use crate::edits;
use crate::elsewhere::Elsewhere;
use crate::in_force::{Drivers, Here, InForce, Recovered};
use crate::planning::Forecasts;
use crate::ports::{
    Batch, Clock, Driver, Eyes, IdempotencyKey, NewEvent, Recorded, Rosters, Scrub, Store, StoreError, StreamWrite,
    Voice,
};
use crate::project::ChangeRow;
use crate::reconcile::Tasks;
use crate::refusals::{Refusal, Refusals};
use crate::scrub::{self, Clean};
use crate::waiting::{self, Waiting};
use crate::way::{self, Draft};

/// The stream of governance loads.
pub const GOVERNANCE: &str = "governance";
/// The stream of refused commands.
pub const REFUSALS: &str = "refusals";
/// The stream of tokens and of administrators who were recovered.
pub const ACCESS: &str = "access";
/// The stream of the servers themselves.
pub const SERVERS: &str = "servers";

/// Limits and paces of the loop.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name for this replica, unique among those on one store.
    pub replica: String,
    /// How long a lease lasts.
    pub lease: Span,
    /// The most time that one act of a driver may take.
    pub act_limit: Span,
    /// How soon a closed gate is asked again when nothing wakes the change before.
    pub recheck: Span,
    /// How many acts may be under way at once.
    pub most_acts: usize,
    /// Synthetic rollouts from which a proposal is warned that its steps can't decide; 0 for no such warnings.
    pub plan_runs: u32,
    /// How often rosters of other tools are fetched.
    pub roster_every: Span,
    /// How soon it is noticed here what another loop over the same store has written.
    pub elsewhere_every: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replica: "one".into(),
            lease: Span::secs(30),
            act_limit: Span::secs(120),
            recheck: Span::secs(5),
            most_acts: 64,
            plan_runs: 20,
            roster_every: Span::secs(300),
            elsewhere_every: Span::secs(2),
        }
    }
}

/// The parts that an engine is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub drivers: Drivers,
    pub eyes: Arc<dyn Eyes>,
    pub voice: Arc<dyn Voice>,
    pub rosters: Arc<dyn Rosters>,
    pub clock: Arc<dyn Clock>,
    pub scrub: Arc<dyn Scrub>,
    pub in_force: InForce,
    pub settings: Settings,
    /// What the first entry of this run says of the program.
    pub build: String,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The engine as its users hold it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) engine: Arc<Engine>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("replica", &self.engine.settings.replica).finish_non_exhaustive()
    }
}

pub(crate) struct Engine {
    pub store: Arc<dyn Store>,
    pub drivers: Drivers,
    pub eyes: Arc<dyn Eyes>,
    pub voice: Arc<dyn Voice>,
    pub rosters: Arc<dyn Rosters>,
    pub clock: Arc<dyn Clock>,
    pub scrub: Arc<dyn Scrub>,
    pub in_force: RwLock<Arc<InForce>>,
    pub settings: Settings,
    pub budgets: Budgets,
    pub lanes: LaneCache,
    pub ends: Ends,
    pub rehearsals: Rehearsals,
    pub assessed: LastAsked,
    pub forecasts: Forecasts,
    pub tasks: Tasks,
    pub waiting: Waiting,
    pub elsewhere: Elsewhere,
    pub acts: Semaphore,
    /// One replay of policies at a time.
    pub replaying: Semaphore,
    /// One explanation of policies at a time: the others wait.
    pub explaining: Semaphore,
    /// One plan of the next days at a time, and the last one.
    pub last_plan: LastPlan,
    pub notices: broadcast::Sender<Notice>,
    /// Another governance is in force: what is read by it is read anew.
    pub news: Arc<Notify>,
    pub folds: tokio::sync::Mutex<Folds>,
    pub refusals: Mutex<Refusals>,
    /// The administrators who were recovered on this machine, ended ones too.
    pub recovered: RwLock<Vec<Recovered>>,
    pub loads: Mutex<Loads>,
    /// Cancelled once the store can't be written any more.
    pub broken: CancellationToken,
}

/// The loads of governance since this server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// How often another one was to be put in force.
    pub tried: u64,
    /// The last one, if it was refused: the one before it is in force.
    pub refused: Option<Refused>,
}

/// A governance that was not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub at: Timestamp,
    /// What was wrong with it, with its files and lines.
    pub reason: String,
}

/// The folds over the whole log, and the position up to which they have read it.
#[derive(Default)]
pub(crate) struct Folds {
    pub measures: Fold,
    pub circumstances: Circumstances,
    pub traffic: Traffic,
    pub next: u64,
}

/// Tells whoever listens that something was appended, or that a look was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub change: Option<ChangeId>,
    /// The size of the log after it.
    pub size: u64,
}

/// Why a proposal was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("the change file has {} problem{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Invalid(Vec<Problem>),
    /// What was given for the parameters of a standard change.
    #[error("the parameters of the standard change `{standard}` have {} problem{}", .problems.len(), if .problems.len() == 1 { "" } else { "s" })]
    Parameters { standard: String, problems: Vec<Problem> },
    #[error("`{actor}` may not {}", .permission.deed())]
    NotAllowed { actor: Actor, permission: Permission },
    /// A standard change for others.
    #[error("the standard change `{standard}` is for `{may}`, and `{actor}` is not among them")]
    NotForThem { actor: Actor, standard: String, may: String },
    /// The way that was asked for is not open to this change: a sentence.
    #[error("{0}")]
    NoSuchWay(String),
    /// A rule of the core said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("the idempotency key `{0}` was used for another request")]
    KeyReused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("there is no change `{0}`")]
    NoSuchChange(ChangeId),
    #[error("there is no release `{0}`")]
    NoSuchRelease(ReleaseId),
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    OfRelease(#[from] change::release::Rejection),
    #[error("`{0}` is being changed by too many at once; try again")]
    Busy(ChangeId),
    /// What was asked can't be: a sentence.
    #[error("{0}")]
    Impossible(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change with everything that a page shows of it.
#[derive(Clone, Debug)]
pub struct Overview {
    pub change: Change,
    pub gates: Vec<Gate>,
    pub log: Vec<Recorded>,
}

impl Handle {
    /// Puts an engine together, records its start, and takes up every change that is not at its end.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let (notices, _) = broadcast::channel(1_024);
        let now = parts.clock.now();
        let scrub = parts.scrub;
        let clean = |driver: Arc<dyn Driver>| -> Arc<dyn Driver> { Arc::new(Clean::new(driver, &scrub)) };
        let engine = Engine {
            store: parts.store,
            drivers: parts.drivers.into_iter().map(|(name, driver)| (name, clean(driver))).collect(),
            eyes: Arc::new(Clean::new(parts.eyes, &scrub)),
            voice: Arc::new(Clean::new(parts.voice, &scrub)),
            rosters: Arc::new(Clean::new(parts.rosters, &scrub)),
            clock: parts.clock,
            scrub,
            in_force: RwLock::new(Arc::new(parts.in_force.at(now, &[]))),
            acts: Semaphore::new(parts.settings.most_acts),
            replaying: Semaphore::new(1),
            explaining: Semaphore::new(1),
            last_plan: LastPlan::default(),
            settings: parts.settings,
            budgets: Budgets::default(),
            lanes: LaneCache::default(),
            ends: Ends::default(),
            rehearsals: Rehearsals::default(),
            assessed: LastAsked::default(),
            forecasts: Forecasts::default(),
            tasks: Tasks::default(),
            waiting: Waiting::default(),
            elsewhere: Elsewhere::default(),
            notices,
            news: Arc::new(Notify::new()),
            folds: tokio::sync::Mutex::default(),
            refusals: Mutex::default(),
            recovered: RwLock::default(),
            loads: Mutex::default(),
            broken: CancellationToken::new(),
        };
        let handle = Self { engine: Arc::new(engine) };
        let timezones = change::governance::settings::time_zone_database();
        handle
            .engine
            .note(
                SERVERS,
                Event::ServerStarted { build: parts.build, timezones },
                &Actor::Clearway(change::actor::Part::Server),
            )
            .await?;
        let is_new = handle.record_governance(&handle.in_force()).await?;
        handle.remember_recovered().await?;
        handle.attend_rosters();
        handle.attend_budgets();
        handle.engine.take_up_all(is_new).await?;
        handle.wake_releases().await?;
        handle.engine.start_time();
        Ok(handle)
    }

    /// Stops taking up work and waits until what is under way has come to a safe place.
    pub async fn drain(&self) {
        self.engine.tasks.drain().await;
        let rest = lock(&self.engine.refusals).rest();
        self.engine.write_refusals(rest).await;
    }

    /// Ends once the store can't be written any more: whoever serves has to start anew, which checks it.
    pub async fn broken(&self) {
        self.engine.broken.cancelled().await;
    }

    /// Whether the store can be written, as far as is known.
    pub fn is_writable(&self) -> bool {
        !self.engine.broken.is_cancelled()
    }

    async fn wake_releases(&self) -> Result<(), StoreError> {
        let releases: Vec<ReleaseId> =
            self.circumstances(|all| all.releases().map(|release| release.id).collect()).await?;
        releases.into_iter().for_each(|id| self.engine.clone().wake_release(id));
        Ok(())
    }

    /// How many changes wait for something, and how many have a task because something is to be done for them.
    pub fn waiting(&self) -> (waiting::Count, usize) {
        (self.engine.waiting.count(), self.engine.tasks_now())
    }

    /// Records a load, and keeps its policies beside the log, so that an assessment can be run again years later. Says
    /// whether it is another than the one before.
    async fn record_governance(&self, in_force: &InForce) -> Result<bool, StoreError> {
        let (governance, bundle) = (&in_force.governance, &in_force.bundle);
        let loads = self.engine.store.read(GOVERNANCE, 0).await?;
        let last = loads.last().map(|last| &last.event);
        let edits = in_force.edits.as_ref();
        let event = Event::GovernanceLoaded {
            digest: governance.digest,
            files: governance.files.clone(),
            editors: edits.map(|edits| edits.since(last, governance)).unwrap_or_default(),
            policy: Some(bundle.digest()),
            timezones: Some(change::governance::settings::time_zone_database()),
            commit: edits.map(|edits| edits.commit.clone()),
        };
        if last.is_some_and(|last| edits::says_the_same(last, &event)) {
            return Ok(false);
        }
        let blobs = vec![(bundle.digest(), bundle.to_keep())];
        self.engine.note_with(GOVERNANCE, event, &Actor::Clearway(change::actor::Part::Server), blobs).await?;
        Ok(true)
    }

    /// The commit of the newest load of governance that names one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn last_commit(&self) -> Result<Option<String>, StoreError> {
        edits::last_commit(&*self.engine.store).await
    }

    /// How the governance in force came to be, and whether a later one was refused.
    pub fn loads(&self) -> Loads {
        self.engine.loads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Says that another governance was to be loaded and could not be: the one in force stays.
    pub fn governance_refused(&self, reason: &str) {
        tracing::error!(reason, "the governance was NOT loaded; the one before stays in force");
        let mut loads = self.engine.loads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        loads.tried += 1;
        loads.refused = Some(Refused { at: change::time::to_millis(self.now()), reason: reason.to_owned() });
    }

    /// The governance in force.
    pub fn in_force(&self) -> Arc<InForce> {
        self.engine.in_force()
    }

    /// The drivers, by name.
    pub fn drivers(&self) -> &Drivers {
        &self.engine.drivers
    }

    pub fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// What the calendar says of a change now, and the first moment from its own time on at which the calendar and its batch let it begin.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn calendar_of(&self, change: &Change) -> Result<change::calendar::Standing, StoreError> {
        let (in_force, now) = (self.in_force(), change::time::to_millis(self.now()));
        let governance = &in_force.governance;
        let lost = |circumstances: &Circumstances| Entitlement { change, governance, circumstances, now }.grants_lost();
        let lost = self.circumstances(lost).await?;
        let passes = change::calendar::Passes::of(change, &lost);
        let opening = change::schedule::opening(change, governance, &in_force.calendar, &passes, now);
        Ok(change::calendar::Standing { opening, ..in_force.calendar_for(change, &lost, now) })
    }

    /// Listens to what is appended from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.engine.notices.subscribe()
    }

    /// Reads a change file as this server would, without proposing it.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn check(&self, text: &str, files: &Files) -> Result<Proposal, Vec<Problem>> {
        let in_force = self.in_force();
        let here = Here { in_force: &in_force, drivers: &self.engine.drivers, eyes: &*self.engine.eyes };
        proposal::read(text, files, &here)
    }

    /// The same of a change that is made of this: the path rules in force sort it, and it is cut to what an entry of the log can hold.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn check_made_of(&self, text: &str, files: &Files, material: &Material) -> Result<Proposal, Vec<Problem>> {
        let proposal = self.check(text, files)?;
        Ok(proposal.made_of(material.clone(), &self.in_force().governance.paths))
    }

    /// What policy would see of a change file and what it is made of, if this actor proposed it now. Nothing is kept.
    ///
    /// # Errors
    /// The problems of the file, or a fault of the store.
    pub async fn facts(
        &self,
        actor: &Actor,
        text: &str,
        files: &Files,
        material: &Material,
    ) -> Result<Facts, ProposeError> {
        let proposal = self.check_made_of(text, files, material).map_err(ProposeError::Invalid)?;
        Ok(self.engine.facts(&proposal, actor, &self.in_force()).await?)
    }

    /// Proposes a change of which nothing is known but its file.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(
        &self,
        actor: &Actor,
        text: &str,
        files: &Files,
        key: Option<&str>,
    ) -> Result<Change, ProposeError> {
        let draft = Draft { text: text.to_owned(), files: files.clone(), ..Draft::default() };
        self.propose_draft(actor, &draft, key).await
    }

    /// Proposes what somebody has drafted. With a key, the same request made again answers with the same change.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose_draft(&self, actor: &Actor, draft: &Draft, key: Option<&str>) -> Result<Change, ProposeError> {
        let request = draft.digest();
        if let Some(earlier) = self.earlier(actor, key, request).await? {
            return Ok(earlier);
        }
        let proposal = self.proposal_of(draft)?;
        self.allow_way(actor, &proposal, &draft.way).await?;
        let now = change::time::to_millis(self.now());
        let in_force = self.in_force();
        let proposal = draft.way.applied(proposal, &in_force.governance, now).map_err(ProposeError::NoSuchWay)?;
        let problems = self.engine.sequence_problems(&draft.text, &proposal.after).await?;
        if !problems.is_empty() {
            return Err(ProposeError::Invalid(problems));
        }
        if let Some(rejection) = self.engine.in_the_way_of(None, &proposal).await? {
            self.engine.record_refusal_of(actor, "propose", &rejection).await;
            return Err(rejection.into());
        }
        let mut number = self.engine.store.last_number().await? + 1;
        loop {
            let id = ChangeId::new(number);
            match self.engine.propose(id, actor, &proposal, key.map(|k| (k, request))).await {
                Ok(change) => return Ok(change),
                // Somebody else took the number in the meantime.
                Err(StoreError::Conflict { .. }) => number += 1,
                Err(StoreError::KeyUsed(key)) => {
                    return self.earlier(actor, Some(&key), request).await?.ok_or(ProposeError::KeyReused(key));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// What a draft proposes, before it takes its way.
    pub(crate) fn proposal_of(&self, draft: &Draft) -> Result<Proposal, ProposeError> {
        let proposal = self.check_made_of(&draft.text, &draft.files, &draft.material).map_err(ProposeError::Invalid)?;
        Ok(Proposal { secrets: self.review(draft.secrets.clone()), ..proposal })
    }

    /// The findings as the governance in force sees them, the worst first.
    fn review(&self, found: Vec<Finding>) -> Vec<Finding> {
        let mut found = self.in_force().governance.secrets.review(found);
        found.sort_by_key(|finding| finding.allowed.is_some());
        found.truncate(change::secret::MOST_FINDINGS);
        found
    }

    /// What keeps secrets out of all that is written and told.
    pub fn scrub(&self) -> &dyn Scrub {
        &*self.engine.scrub
    }

    pub(crate) async fn earlier(
        &self,
        actor: &Actor,
        key: Option<&str>,
        request: Digest,
    ) -> Result<Option<Change>, ProposeError> {
        let Some(key) = key else { return Ok(None) };
        let Some(used) = self.engine.store.idempotency(&actor.to_string(), key).await? else { return Ok(None) };
        if used.request != request {
            return Err(ProposeError::KeyReused(key.to_owned()));
        }
        Ok(self.engine.load(used.change).await?)
    }

    /// Asks something of a change on behalf of an identified user. A refusal is recorded.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command(&self, actor: &Actor, id: ChangeId, command: Command) -> Result<Change, CommandError> {
        self.ask(id, command, Attempt::by(actor)).await
    }

    async fn ask(&self, id: ChangeId, command: Command, attempt: Attempt) -> Result<Change, CommandError> {
        let (name, actor) = (command_name(&command), attempt.actor.clone());
        let result = self.engine.clone().command(id, command, attempt).await;
        if let Err(CommandError::Rejected(rejection)) = &result {
            self.engine.record_refusal(&actor, id, name, rejection).await;
        }
        result
    }

    /// Begins the next step for a pipeline that performs it itself, if every gate is open: target and telemetry are looked at as before any first step.
    ///
    /// # Errors
    /// See [`CommandError`]; [`Rejection::GatesClosed`] says which gates are closed.
    pub async fn begin(&self, actor: &Actor, id: ChangeId) -> Result<Change, CommandError> {
        let change = self.engine.load(id).await?.ok_or(CommandError::NoSuchChange(id))?;
        let mut attempt = Attempt::by(actor);
        let may = self.engine.permissions(actor, &change.proposal).contains(&Permission::Propose);
        if may && change.is_outside() && change.rollout().is_none() {
            attempt.readiness = Some(self.engine.readiness(&change).await);
            let held = self.engine.held_before_readiness(&change).await?;
            if held.iter().all(|gate| *gate == GateName::Policy) {
                // Where the answer is another now, the gates say so.
                self.engine.assess_again(&change).await?;
            }
        }
        self.ask(id, Command::BeginStep { observed: serde_json::Value::Null }, attempt).await
    }

    /// Takes a pipeline's report of how it ended.
    ///
    /// # Errors
    /// See [`CommandError`]; [`Rejection::Stale`] where it speaks of something else than the change is doing.
    pub async fn finish(&self, actor: &Actor, id: ChangeId, report: Report) -> Result<Change, CommandError> {
        let change = self.engine.load(id).await?.ok_or(CommandError::NoSuchChange(id))?;
        let may = self.engine.permissions(actor, &change.proposal).contains(&Permission::Propose);
        let not_allowed = || Rejection::NotAllowed { actor: actor.clone(), permission: Permission::Propose };
        match report.command(&change).map_err(|rejection| if may { rejection } else { not_allowed() }) {
            Ok(command) => self.command(actor, id, command).await,
            Err(rejection) => {
                self.engine.record_refusal(actor, id, "finish", &rejection).await;
                Err(rejection.into())
            }
        }
    }

    /// Amends a change from an edited file; where the revision that was edited is named, only that one.
    ///
    /// # Errors
    /// The problems of the file, or why the command did not happen.
    pub async fn amend(
        &self,
        actor: &Actor,
        id: ChangeId,
        draft: &Draft,
        revision: Option<u32>,
    ) -> Result<Result<Change, CommandError>, Vec<Problem>> {
        let proposal = self.check_made_of(&draft.text, &draft.files, &draft.material)?;
        let course = match self.engine.load(id).await {
            Ok(change) => change.map(|change| change.proposal.course).unwrap_or_default(),
            // What is unknown is not regular: the change would leave its course in silence.
            Err(fault) => return Ok(Err(fault.into())),
        };
        let needed = way::needed_to_amend(&course);
        let mut proposal = match way::on_the_same_course(proposal, course, &self.in_force().governance) {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Err(CommandError::Impossible(why))),
        };
        proposal.secrets = self.review(draft.secrets.clone());
        let proposal = Box::new(proposal);
        // The core asks what the actor may do to the change as it is; an amendment must not carry it to where they may propose nothing.
        if !self.engine.permissions(actor, &proposal).contains(&needed) {
            let rejection = Rejection::NotAllowed { actor: actor.clone(), permission: needed };
            self.engine.record_refusal(actor, id, "amend", &rejection).await;
            return Ok(Err(rejection.into()));
        }
        match self.engine.in_the_way_of(Some(id), &proposal).await {
            Ok(None) => Ok(self.command(actor, id, Command::Amend { proposal, revision }).await),
            Ok(Some(rejection)) => {
                self.engine.record_refusal(actor, id, "amend", &rejection).await;
                Ok(Err(rejection.into()))
            }
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    /// Records that an identified user was refused what is no command of a change.
    pub async fn refused(&self, actor: &Actor, change: Option<ChangeId>, what: &str, code: &str, reason: &str) {
        let about = change.map(|id| id.to_string()).unwrap_or_default();
        self.engine.refuse(Refusal::new(actor, what, code, reason.to_owned()), &about).await;
    }

    /// Puts another governance in force, and its load into the log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn govern(&self, in_force: InForce) -> Result<(), StoreError> {
        // In the log first: nothing is assessed by policies that the log does not name.
        self.record_governance(&in_force).await?;
        {
            let mut newest = self.engine.in_force.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Asked now: somebody may have been recovered while the load was written.
            let in_force = in_force.with_copies_of(&newest);
            *newest = Arc::new(in_force.at(self.now(), &self.engine.all_recovered()));
        }
        self.engine.news.notify_waiters();
        {
            let mut loads = self.engine.loads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *loads = Loads { tried: loads.tried + 1, refused: None };
        }
        self.engine.ask_all();
        Ok(())
    }

    /// The governance in force as a value.
    pub fn governance(&self) -> Governance {
        self.in_force().governance.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

// The word under which a refusal is recorded, as on the command line.
fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Amend { .. } => "amend",
        Command::Withdraw { .. } => "withdraw",
        Command::Approve { .. } => "approve",
        Command::Refuse { .. } => "reject",
        Command::RequestChanges { .. } => "request-changes",
        Command::TakeBack { .. } => "take-back",
        Command::Override { .. } => "override",
        Command::BreakGlass { .. } => "break-glass",
        Command::AskException { .. } => "except",
        Command::GrantException { .. } => "grant-exception",
        Command::RevokeException { .. } => "revoke-exception",
        Command::Tick { .. } => "tick",
        Command::BeginStep { .. } => "begin",
        Command::ReportApplied { .. }
        | Command::ReportFailed { .. }
        | Command::ReportUndone { .. }
        | Command::ReportUndoFailed { .. } => "finish",
        Command::Pause { .. } => "pause",
        Command::Veto { .. } | Command::LiftVeto { .. } => "veto",
        Command::Resume { .. } => "resume",
        Command::Promote { .. } => "promote",
        Command::Rollback { .. } => "rollback",
        Command::CompleteByHand { .. } => "complete",
        Command::Review { .. } => "review",
        _ => "internal",
    }
}

impl Engine {
    /// The governance in force now. What has an end is over the moment that it ends: whoever asks comes by here.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        let known = self.in_force.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if !known.is_over(self.clock.now()) {
            return known;
        }
        let mut newest = self.in_force.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Governance that was loaded in between is asked again, not put aside.
        let now = self.clock.now();
        if newest.is_over(now) {
            *newest = Arc::new((**newest).clone().at(now, &self.all_recovered()));
        }
        newest.clone()
    }

    async fn propose(
        self: &Arc<Self>,
        id: ChangeId,
        actor: &Actor,
        proposal: &Proposal,
        key: Option<(&str, Digest)>,
    ) -> Result<Change, StoreError> {
        let now = change::time::to_millis(self.clock.now());
        let event = self.proposed(actor, proposal, now)?;
        // INVARIANT: a `Proposed` on nothing always makes a change.
        let change = change::evolve(None, id, &event, actor, now).expect("a proposal makes a change");
        let event = NewEvent { event, actor: actor.clone(), change: Some(id), time: now };
        let idempotency = key.map(|(key, request)| IdempotencyKey {
            actor: actor.to_string(),
            key: key.to_owned(),
            request,
            change: id,
        });
        let batch = Batch {
            writes: vec![StreamWrite { stream: id.stream(), expected: 0, events: vec![event] }],
            rows: vec![ChangeRow::of(&change)],
            idempotency,
            ..Batch::default()
        };
        let appended = self.write(batch).await?;
        self.announce(Some(id), appended.size);
        self.clone().wake(id);
        self.foretell_soon(&change);
        Ok(change)
    }

    /// The first event of a change.
    pub(crate) fn proposed(&self, actor: &Actor, proposal: &Proposal, now: Timestamp) -> Result<Event, StoreError> {
        let since_epoch = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let uid = uuid::Builder::from_unix_timestamp_millis(since_epoch, &rand::random()).into_uuid();
        let event = Event::Proposed(Box::new(Proposed { uid, author: actor.clone(), proposal: proposal.clone() }));
        scrub::whole(&*self.scrub, event)
    }

    /// Appends one event to a stream that has no state of its own. Where it ends is learnt from the conflict, which costs less than reading it.
    pub(crate) async fn note(&self, stream: &str, event: Event, actor: &Actor) -> Result<(), StoreError> {
        self.note_with(stream, event, actor, vec![]).await
    }

    /// Appends one event to a stream that must not have moved.
    pub(crate) async fn note_at(
        &self,
        stream: &str,
        expected: u64,
        event: Event,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let event = scrub::whole(&*self.scrub, event)?;
        let time = change::time::to_millis(self.clock.now());
        let event = NewEvent { event, actor: actor.clone(), change: None, time };
        let writes = vec![StreamWrite { stream: stream.to_owned(), expected, events: vec![event] }];
        let appended = self.write(Batch { writes, ..Batch::default() }).await?;
        self.announce(None, appended.size);
        Ok(())
    }

    /// The same, with what is kept beside it.
    async fn note_with(
        &self,
        stream: &str,
        event: Event,
        actor: &Actor,
        blobs: Vec<(Digest, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut expected = 0;
        let event = scrub::whole(&*self.scrub, event)?;
        loop {
            let time = change::time::to_millis(self.clock.now());
            let event = NewEvent { event: event.clone(), actor: actor.clone(), change: None, time };
            let writes = vec![StreamWrite { stream: stream.to_owned(), expected, events: vec![event] }];
            match self.write(Batch { writes, blobs: blobs.clone(), ..Batch::default() }).await {
                Ok(appended) => {
                    self.announce(None, appended.size);
                    return Ok(());
                }
                Err(StoreError::Conflict { found, .. }) => expected = found,
                Err(other) => return Err(other),
            }
        }
    }

    /// Every append goes through here, so that a store that has stopped is noticed whoever wrote.
    pub(crate) async fn write(&self, mut batch: Batch) -> Result<crate::ports::Appended, StoreError> {
        // INVARIANT: events are clean before a state is made of them, so that rows and events agree.
        let looks = std::mem::take(&mut batch.looks).into_iter();
        batch.looks = looks.map(|look| scrub::whole(&*self.scrub, look)).collect::<Result<_, _>>()?;
        batch.blobs.iter().try_for_each(|(_, bytes)| scrub::kept(&*self.scrub, bytes))?;
        let events = || batch.writes.iter().flat_map(|write| &write.events);
        let moved: BTreeSet<Needs> = events().filter_map(|new| Needs::moved_by(&new.event)).collect();
        let appended = self.store.append(batch).await;
        if let Ok(appended) = &appended {
            self.elsewhere.is_own(appended);
            self.has_moved(moved);
        }
        if let Err(StoreError::Stopped(_) | StoreError::Damaged(_)) = &appended {
            self.broken.cancel();
        }
        appended
    }

    /// Gates may have opened or closed: of those that wait for it, and of those under way.
    pub(crate) fn has_moved(&self, needs: BTreeSet<Needs>) {
        if !needs.is_empty() {
            needs.into_iter().for_each(|needs| self.waiting.moved(needs));
            self.notify_tasks();
        }
    }

    pub(crate) fn announce(&self, change: Option<ChangeId>, size: u64) {
        // Nobody listening is no error.
        let _ = self.notices.send(Notice { change, size });
    }

    async fn record_refusal(self: &Arc<Self>, actor: &Actor, id: ChangeId, command: &str, rejection: &Rejection) {
        let refusal = Refusal::new(actor, command, rejection.code(), format!("{id}: {rejection}"));
        self.refuse(refusal, &id.to_string()).await;
    }

    /// The same for what concerns no change.
    pub(crate) async fn record_refusal_of(self: &Arc<Self>, actor: &Actor, command: &str, rejection: &Rejection) {
        self.refuse(Refusal::new(actor, command, rejection.code(), rejection.to_string()), "").await;
    }

    /// A refusal of an identified user is an entry; see [`refusals`](crate::refusals).
    pub(crate) async fn refuse(self: &Arc<Self>, refusal: Refusal, about: &str) {
        let due = lock(&self.refusals).take(refusal.clone(), about, self.clock.now());
        let is_written = due.contains(&refusal);
        self.write_refusals(due).await;
        if !is_written {
            self.count_later();
        }
    }

    /// Writes the count of what was not written when its minute is over, if the engine still runs then.
    fn count_later(self: &Arc<Self>) {
        let Some(first) = lock(&self.refusals).wait(self.clock.now()) else { return };
        let engine = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(wait) = next {
                tokio::time::sleep(wait).await;
                let Some(engine) = engine.upgrade() else { return };
                let due;
                (due, next) = engine.counted();
                engine.write_refusals(due).await;
            }
        });
    }

    fn counted(&self) -> (Vec<Refusal>, Option<std::time::Duration>) {
        let now = self.clock.now();
        let mut refusals = lock(&self.refusals);
        (refusals.waited(now), refusals.wait(now))
    }

    async fn write_refusals(&self, refusals: Vec<Refusal>) {
        for Refusal { actor, command, code, reason, unwritten } in refusals {
            let event = Event::CommandRefused { command, code, reason, unwritten };
            if let Err(error) = self.note(REFUSALS, event, &actor).await {
                tracing::error!(%actor, %error, "a refusal could not be recorded");
            }
        }
    }

    /// Folds what is new in the log, then reads the folds.
    pub(crate) async fn with_folds<T>(&self, read: impl FnOnce(&Folds) -> T) -> Result<T, StoreError> {
        let mut folds = self.folds.lock().await;
        loop {
            let events = self.store.read_all(folds.next, 1_000).await?;
            for recorded in &events {
                let id = ChangeId::of_stream(&recorded.stream);
                if let Some(id) = id {
                    folds.measures.add(id, &recorded.event, &recorded.actor, recorded.time);
                }
                folds.circumstances.add(id, &recorded.event, &recorded.actor, recorded.time);
                let Recorded { stream, version, position, event, time, .. } = recorded;
                let (version, position, time) = (*version, *position, *time);
                folds.traffic.add(News { stream, version, position, time, event });
                folds.next = recorded.position + 1;
            }
            if events.len() < 1_000 {
                return Ok(read(&folds));
            }
        }
    }
}
