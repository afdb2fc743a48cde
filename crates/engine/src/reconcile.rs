//! Reconciling: one task a change that has something to do, that takes no hint of why it was woken.
//!
//! Woken by a commit or by a timer, it loads the change, asks what is due, does it, and asks again. A task that ends leaves nothing behind: when the
//! change moves, it is started anew and derives everything from the log. A change that waits has no task: next, [`waiting`](crate::waiting).

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use change::actor::Part;
use change::calendar::{Passes, Subject};
use change::lifecycle::Stage;
use change::schedule;
use change::waiting::{self, Wait};
use change::{Actor, Change, ChangeId, Command, Intent, Phase, ReleaseId, Span, due};
use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::act::Done;
use crate::handle::Engine;
use crate::hints::Hints;
use crate::judging::Judging;
use crate::ports::{BootMillis, Lease};
use crate::waiting::Seat;

/// The longest that a task sleeps without asking again: a bound on how late a forgotten hint can be.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The pause after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// The pause after a failure of the store.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// The tasks under way.
#[derive(Default)]
pub(crate) struct Tasks {
    hints: Hints<ChangeId>,
    pub(crate) releases: Hints<ReleaseId>,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Tasks {
    /// Tells every task to stop at its next safe place, and waits for them.
    pub(crate) async fn drain(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// What a task keeps between two rounds: only what it can derive again.
pub(crate) struct Round {
    pub id: ChangeId,
    pub judging: Option<Judging>,
    pub lease: Option<Lease>,
    /// When pages that could not be sent are tried again.
    pub pages_at: BootMillis,
    /// Held by a change out of the line of those that wait, until it rests or begins.
    seat: Option<Seat>,
}

impl Engine {
    /// Hints that something may be due for a change, and starts its task if there is none.
    pub(crate) fn wake(self: Arc<Self>, id: ChangeId) {
        self.wake_with(id, None);
    }

    /// The same for a change that had to wait for its seat.
    pub(crate) fn wake_with(self: Arc<Self>, id: ChangeId, mut seat: Option<Seat>) {
        if self.tasks.stop.is_cancelled() {
            return;
        }
        let Some(hint) = self.tasks.hints.give(id, || self.waiting.leave(id)) else { return };
        let engine = self.clone();
        self.tasks.tracker.spawn(async move {
            // INVARIANT: a hint has a task behind it. A panic is a bug, and must not put one change to sleep for ever.
            while let Err(panic) = AssertUnwindSafe(engine.clone().run(id, hint.clone(), seat.take())).catch_unwind().await {
                let what = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
                tracing::error!(change = %id, panic = what.unwrap_or("of unknown kind"), "the task of a change broke off; starting it anew");
                tokio::time::sleep(AFTER_PANIC).await;
            }
        });
    }

    /// Keeps the time of those that wait, for as long as the engine runs.
    pub(crate) fn start_time(self: &Arc<Self>) {
        self.tasks.tracker.spawn(self.clone().keep_time());
        self.tasks.tracker.spawn(self.clone().listen_elsewhere());
    }

    /// Hints to every task there is.
    pub(crate) fn notify_tasks(&self) {
        self.tasks.hints.give_all();
    }

    pub(crate) async fn is_stopping(&self) {
        self.tasks.stop.cancelled().await;
    }

    /// How many changes have a task at this moment.
    pub(crate) fn tasks_now(&self) -> usize {
        self.tasks.hints.count()
    }

    async fn run(self: Arc<Self>, id: ChangeId, hint: Arc<Notify>, seat: Option<Seat>) {
        let mut round = Round { id, judging: None, lease: None, pages_at: BootMillis(0), seat };
        loop {
            // What was hinted at until now is in what is loaded below.
            let _ = hint.notified().now_or_never();
            let asked_at = self.waiting.moves();
            let sleep = match self.reconcile(&mut round).await {
                Ok(Next::Again) => Duration::ZERO,
                Ok(Next::Rest(wait)) if self.rest(id, &hint, wait, asked_at) => return,
                Ok(Next::Rest(_)) => Duration::ZERO,
                Ok(Next::After(span)) => Duration::from_millis(span.as_millis()).min(LONGEST_SLEEP),
                Ok(Next::Never) if self.tasks.hints.end(id, &hint, || true) => return,
                Ok(Next::Never) => Duration::ZERO,
                Err(error) => {
                    tracing::error!(change = %id, %error, "the store failed; asking again");
                    AFTER_FAULT
                }
            };
            if self.tasks.stop.is_cancelled() {
                return;
            }
            if sleep > Duration::ZERO {
                tokio::select! {
                    () = hint.notified() => {}
                    () = tokio::time::sleep(sleep) => {}
                    () = self.tasks.stop.cancelled() => return,
                }
            }
        }
    }

    /// Ends the task of a change that waits, unless something has come in the meantime.
    fn rest(&self, id: ChangeId, hint: &Notify, wait: Wait, asked_at: u64) -> bool {
        self.tasks.hints.end(id, hint, || self.waiting.rest(id, wait, asked_at))
    }

    async fn reconcile(self: &Arc<Self>, round: &mut Round) -> Result<Next, crate::ports::StoreError> {
        let Some(change) = self.load(round.id).await? else { return Ok(Next::Never) };
        if change.rollout().is_some() {
            // Whatever a target does, it keeps nobody waiting who is not on it.
            round.seat = None;
        }
        // Before anything else: the rollback that is the last straw goes on in the next round, and would be at its end without it.
        self.suspend_if_owed(&change).await?;
        if self.others_have_moved(&change).await?
            || self.is_superseded(&change).await?
            || self.is_interrupted(&change, round).await?
        {
            return Ok(Next::Again);
        }
        if self.is_denied_by_older_rules(&change)
            && self.hold_lease(round).await?
            && matches!(self.assess(&change).await?, Done::Moved)
        {
            return Ok(Next::Again);
        }
        let now = change::time::to_millis(self.clock.now());
        let due = due(&change, now);
        if due.intents.is_empty() && due.wake_at.is_none() && change.phase().is_terminal() {
            return Ok(Next::Never);
        }
        let soonest =
            [due.wake_at, self.calendar_turns(&change), self.ages_at(&change).await?].into_iter().flatten().min();
        let mut soonest = soonest.map(|at| change::time::between(self.clock.now(), at));
        for intent in due.intents {
            let begins = intent == Intent::BeginStep && change.hold.is_some();
            // A change that waits is asked, and holds nothing: it takes the right to act once nothing but its target is left to be asked.
            let again = if intent != Intent::BeginStep && !self.hold_lease(round).await? {
                self.settings.recheck
            } else {
                match self.perform(&change, intent, round).await? {
                    Done::Moved => return Ok(Next::Again),
                    // It is held as it was: it waits for what would open its gates.
                    Done::Unmoved if begins => continue,
                    Done::Unmoved => self.settings.recheck,
                    Done::Again(after) => after,
                }
            };
            soonest = Some(soonest.map_or(again, |s| s.min(again)));
        }
        Ok(self.then_wait(&change, soonest))
    }

    /// What a task does when nothing is to be done: one of a rollout stays, and asks again; every other one ends.
    fn then_wait(&self, change: &Change, soonest: Option<Span>) -> Next {
        if change.rollout().is_none() {
            let now = change::time::to_millis(self.clock.now());
            let due_at = soonest.map(|span| change::time::after(now, span));
            return Next::Rest(waiting::of(change, due_at, now, self.settings.recheck));
        }
        // A watch ends, a gate opens or a lane is freed without an event of this change; asking is cheap.
        let most = if matches!(change.phase(), Phase::Held { .. }) { self.settings.recheck } else { Span::secs(60) };
        Next::After(soonest.unwrap_or(most))
    }

    /// Whether something had to be said about people who have left, lost a group or are away, or about a calendar by which the next window is another.
    /// The core can't know of it by itself: nothing of this change's own has happened.
    async fn others_have_moved(self: &Arc<Self>, change: &Change) -> Result<bool, crate::ports::StoreError> {
        let waits = matches!(change.stage, Stage::Waiting | Stage::Scheduled { .. }) && change.assessment.is_some();
        if !waits {
            return Ok(false);
        }
        let given = self.given(change, &Actor::Clearway(Part::Policy)).await?;
        let command = match change.phase() {
            _ if !given.revoked.is_empty() => Command::RevokeVotes,
            Phase::Assessed if !given.away.is_empty() => Command::Call,
            _ if schedule::anew(change, &given).is_some() => Command::Schedule,
            _ => return Ok(false),
        };
        let part = if command == Command::RevokeVotes { Part::Policy } else { Part::Clock };
        Ok(matches!(self.tell(change, part, command).await?, Done::Moved))
    }

    /// Whether something had to be said about what has begun or ended beside a change in mid-rollout: a calendar that has closed, a hold, a burn.
    async fn is_interrupted(
        self: &Arc<Self>,
        change: &Change,
        round: &mut Round,
    ) -> Result<bool, crate::ports::StoreError> {
        if change.rollout().is_none() {
            return Ok(false);
        }
        let given = self.given(change, &Actor::Clearway(Part::Clock)).await?;
        let closes = !change::decision::on_close(change, &given).is_empty();
        let command = if closes { Some(Command::Close) } else { change::halt::due(change, &given) };
        let Some(command) = command else { return Ok(false) };
        Ok(self.hold_lease(round).await? && matches!(self.tell(change, Part::Clock, command).await?, Done::Moved))
    }

    /// When the calendar may say something else of a change than now: at that moment it is asked again, whatever else there is to do.
    fn calendar_turns(&self, change: &Change) -> Option<change::Timestamp> {
        let waits = matches!(change.stage, Stage::Scheduled { .. } | Stage::Rolling(_));
        let in_force = self.in_force();
        let owners = in_force.governance.catalog.owners(&change.proposal.services);
        let now = change::time::to_millis(self.clock.now());
        let turn = || in_force.calendar.next_turn(&Subject::of(change, &owners), now);
        // What passes a freeze until then is held by it from then on, and no entry of the calendar says so.
        let ends = Passes::of(change, &BTreeSet::new()).next_end(now);
        if waits { turn().into_iter().chain(ends).min() } else { None }
    }

    /// Whether this replica holds the right to act for the change for long enough to act once more.
    pub(crate) async fn hold_lease(&self, round: &mut Round) -> Result<bool, crate::ports::StoreError> {
        let now = self.clock.boot();
        let lease = self.settings.lease.as_millis();
        let good = round.lease.as_ref().is_some_and(|l| now.0 + lease / 2 < l.until.0);
        if !good {
            let name = format!("change/{}", round.id);
            round.lease = self.store.lease(&name, &self.settings.replica, now, BootMillis(now.0 + lease)).await?;
        }
        Ok(round.lease.is_some())
    }
}

/// What a task does after a round.
enum Next {
    Again,
    After(Span),
    /// Its task ends, and the change waits.
    Rest(Wait),
    Never,
}
