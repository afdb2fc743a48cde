//! Releases: proposing several changes as one, asking something of a release, and doing what is due for it.
//!
//! What may happen is [`change::release`]'s to say. A release has one task, like a change: woken by a commit or a timer, it reads how the release stands,
//! does what is due, and asks again; after a crash the same is derived again. It never acts on a target: it asks its members, through
//! [`commit`](crate::commit), as everybody does.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use change::actor::Part;
use change::document::Problem;
use change::lifecycle::Rejection;
use change::proposal::Proposal;
use change::release::file::{self, Origin, Outline};
use change::release::{self, Command, Intent, Member, Release};
use change::sequence::{self, Place, Sequence};
use change::{Actor, Change, ChangeId, Digest, Event, Permission, ReleaseId, Span};
use futures::FutureExt as _;
use tokio::sync::Notify;

use crate::act::Done;
use crate::admission::{self, Admission};
use crate::commit::{Attempt, MOST_CONFLICTS};
use crate::handle::{CommandError, Engine, Handle, ProposeError};
use crate::ports::{Batch, BootMillis, IdempotencyKey, Lease, Message, NewEvent, Recorded, StoreError, StreamWrite};
use crate::project::ChangeRow;
use crate::scrub;
use crate::way::{Draft, Way};

/// The longest that a task sleeps without asking again.
const LONGEST_SLEEP: Span = Span::secs(60);
/// The pause after a panic, and after a failure of the store.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// When people who could not be told are tried again.
const TELL_AGAIN: Span = Span::secs(10);

/// A release as somebody drafted it: its file, and the change of each member that is not proposed yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReleaseDraft {
    pub text: String,
    /// By the names of the members.
    pub changes: BTreeMap<String, Draft>,
}

/// A member before it is in the log: a change to be, or one that is proposed already.
enum Drafted {
    New(Box<Proposal>),
    Known(Box<Change>),
}

/// The members of a release that can be proposed, with the change that each is or becomes.
struct Admitted {
    members: Vec<(ChangeId, Drafted)>,
    /// The streams of other changes that must not move before.
    conditions: Vec<StreamWrite>,
}

/// A release and its members as they are now.
#[derive(Clone, Debug)]
pub struct ReleaseNow {
    pub release: Release,
    /// In the order of its members.
    pub changes: Vec<Change>,
}

impl Handle {
    /// A release and its members.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn release(&self, id: ReleaseId) -> Result<Option<ReleaseNow>, StoreError> {
        let Some(release) = self.engine.release(id).await? else { return Ok(None) };
        let mut changes = Vec::new();
        for member in &release.plan.members {
            changes.extend(self.engine.load(member.change).await?);
        }
        Ok(Some(ReleaseNow { release, changes }))
    }

    /// All releases, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn releases(&self) -> Result<Vec<Release>, StoreError> {
        self.circumstances(|all| all.releases().cloned().collect()).await
    }

    /// The events of a release, in order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn release_log(&self, id: ReleaseId) -> Result<Vec<Recorded>, StoreError> {
        self.engine.store.read(&id.stream(), 0).await
    }

    /// Says what is wrong with a release, without proposing it.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn check_release(&self, draft: &ReleaseDraft) -> Result<(), ProposeError> {
        let outline = file::read(&draft.text).map_err(ProposeError::Invalid)?;
        self.members(&outline, draft).await.map(|_| ())
    }

    /// Proposes a release with all of its changes, at once or not at all. With a key, the same request made again answers with the same release.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose_release(
        &self,
        actor: &Actor,
        draft: &ReleaseDraft,
        key: Option<&str>,
    ) -> Result<Release, ProposeError> {
        let drafts = draft.changes.iter().map(|(name, draft)| (name, draft.digest())).collect::<BTreeMap<_, _>>();
        let request = Digest::of_value(&("release", &draft.text, drafts));
        if let Some(earlier) = self.earlier_release(actor, key, request).await? {
            return Ok(earlier);
        }
        let outline = file::read(&draft.text).map_err(ProposeError::Invalid)?;
        for _ in 0..MOST_CONFLICTS {
            // Asked anew after a conflict: a change that is proposed already may have moved.
            let admitted = self.members(&outline, draft).await?;
            let id = self.engine.next_release().await?;
            self.allow_members(actor, id, &admitted.members).await?;
            match self.engine.propose_release(actor, id, &outline, &admitted, key.map(|key| (key, request))).await {
                Ok(release) => return Ok(release),
                Err(StoreError::Conflict { .. }) => {}
                Err(StoreError::KeyUsed(key)) => {
                    let earlier = self.earlier_release(actor, Some(&key), request).await?;
                    return earlier.ok_or(ProposeError::KeyReused(key));
                }
                Err(other) => return Err(other.into()),
            }
        }
        Err(ProposeError::NoSuchWay("too many propose changes at once; try again".into()))
    }

    async fn earlier_release(
        &self,
        actor: &Actor,
        key: Option<&str>,
        request: Digest,
    ) -> Result<Option<Release>, ProposeError> {
        let Some(change) = self.earlier(actor, key, request).await? else { return Ok(None) };
        let Some(id) = change.release else { return Ok(None) };
        Ok(self.engine.release(id).await?)
    }

    /// What each member is, or everything that is wrong with them.
    async fn members(&self, outline: &Outline, draft: &ReleaseDraft) -> Result<Admitted, ProposeError> {
        let (mut members, mut problems) = (Vec::new(), self.problems_of_release(outline, draft));
        for (i, sketch) in outline.members.iter().enumerate() {
            match &sketch.from {
                Origin::Existing(id) => match self.engine.load(*id).await? {
                    Some(change) => members.push(Drafted::Known(Box::new(change))),
                    None => problems.push(outline.problem(i, format!("there is no change `{id}`"), None)),
                },
                Origin::Path(_) | Origin::Text(_) => match draft.changes.get(&sketch.name).map(|d| self.proposal_of(d))
                {
                    Some(Ok(proposal)) => members.push(Drafted::New(Box::new(proposal))),
                    Some(Err(of_change)) => problems.extend(of_member(outline, i, of_change)?),
                    None => problems.push(outline.problem(i, "its change file was not sent", None)),
                },
            }
        }
        if problems.is_empty() {
            problems.extend(collisions(outline, &members));
        }
        if !problems.is_empty() {
            return Err(ProposeError::Invalid(problems));
        }
        let mut next = self.engine.store.last_number().await?;
        let numbered = members.into_iter().map(|member| (member.number(&mut next), member)).collect();
        self.admitted(outline, numbered).await
    }

    /// Members whose places in the sequence of all changes are free, or what is wrong with them.
    async fn admitted(&self, outline: &Outline, members: Vec<(ChangeId, Drafted)>) -> Result<Admitted, ProposeError> {
        let ids = members.iter().map(|(id, _)| *id).collect();
        let each = members.iter();
        let places: Vec<Place<'_>> =
            each.map(|(id, member)| Place { change: *id, after: member.after(), members: &ids }).collect();
        let Admission { sequences, conditions } = self.engine.admission(&places).await?;
        let each = sequences.into_iter().enumerate();
        let problems: Vec<Problem> = each.flat_map(|(i, sequence)| out_of_sequence(outline, i, sequence)).collect();
        if problems.is_empty() { Ok(Admitted { members, conditions }) } else { Err(ProposeError::Invalid(problems)) }
    }

    fn problems_of_release(&self, outline: &Outline, draft: &ReleaseDraft) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.in_force().governance.access.is_principal(&outline.owner) {
            let message = format!("nobody called `{}` is in access.yaml", outline.owner);
            problems.push(outline.problem_at("/owner", message, None));
        }
        let is_member = |name: &&String| outline.members.iter().any(|sketch| sketch.name == **name);
        if let Some(stranger) = draft.changes.keys().find(|name| !is_member(name)) {
            problems.push(outline.problem_at(
                "",
                format!("a change was sent for `{stranger}`, which is no member"),
                None,
            ));
        }
        problems
    }

    /// Whether somebody may propose each member, and bring in those that are proposed already; and whether nothing is under way where the rules let
    /// nothing be proposed in the meantime.
    async fn allow_members(
        &self,
        actor: &Actor,
        release: ReleaseId,
        members: &[(ChangeId, Drafted)],
    ) -> Result<(), ProposeError> {
        for (id, member) in members {
            match member {
                Drafted::New(proposal) => self.allow_way(actor, proposal, &Way::Regular).await?,
                Drafted::Known(change) => {
                    let given = self.engine.given(change, actor).await?;
                    match change::decide(change, change::Command::Join { release }, &given) {
                        Ok(_) => {}
                        Err(rejection @ Rejection::NotAllowed { .. }) => {
                            self.engine.record_refusal_of(actor, "propose", &rejection).await;
                            let permission = Permission::Propose;
                            return Err(ProposeError::NotAllowed { actor: actor.clone(), permission });
                        }
                        Err(rejection) => return Err(ProposeError::NoSuchWay(rejection.to_string())),
                    }
                }
            }
            if let Some(rejection) = self.engine.in_the_way_of(Some(*id), member.proposal()).await? {
                self.engine.record_refusal_of(actor, "propose", &rejection).await;
                return Err(rejection.into());
            }
        }
        Ok(())
    }

    /// Asks something of a release on behalf of an identified user. A refusal is recorded.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command_release(
        &self,
        actor: &Actor,
        id: ReleaseId,
        command: Command,
    ) -> Result<Release, CommandError> {
        let now = self.release(id).await?.ok_or(CommandError::NoSuchRelease(id))?;
        let (what, needed) = match command {
            Command::Withdraw { .. } => ("release withdraw", Permission::Propose),
            Command::RollBack { .. } => ("release rollback", Permission::Rollback),
            Command::Pass | Command::ReportStuck { .. } | Command::ReportTold { .. } => {
                return Err(Rejection::NotForPeople.into());
            }
        };
        let may = |change: &Change| self.engine.permissions(actor, &change.proposal).contains(&needed);
        let own = needed == Permission::Propose && now.release.author == *actor;
        if !own && !now.changes.iter().all(may) {
            let rejection = Rejection::NotAllowed { actor: actor.clone(), permission: needed };
            self.engine.record_refusal_of(actor, what, &rejection).await;
            return Err(rejection.into());
        }
        self.engine.command_release(id, command, actor).await
    }
}

/// The problems of a member's change file, as the release file has them. What is no problem of the file stays what it is.
fn of_member(outline: &Outline, member: usize, error: ProposeError) -> Result<Vec<Problem>, ProposeError> {
    let ProposeError::Invalid(problems) = error else { return Err(error) };
    let say = |problem: Problem| {
        let message = Problem { help: None, ..problem.clone() };
        outline.problem(member, format!("its change file: {message}"), problem.help)
    };
    Ok(problems.into_iter().map(say).collect())
}

fn collisions(outline: &Outline, members: &[Drafted]) -> Vec<Problem> {
    let resources: Vec<BTreeSet<String>> = members.iter().map(|member| member.resources().clone()).collect();
    let help = "let one come `after` the other, or put them into different waves";
    let found = outline.collisions(&resources).into_iter();
    found.map(|(member, message)| outline.problem(member, message, Some(help.to_owned()))).collect()
}

/// What is wrong with what the change of a member comes after by its own file.
fn out_of_sequence(outline: &Outline, member: usize, sequence: Sequence) -> Vec<Problem> {
    let fellow = sequence.fellow.map(|fellow| {
        let message = format!("it comes after `{fellow}`, which is a member too: members are completed together");
        let help = "leave it out of the change file, and say here which members it comes `after`, by name".to_owned();
        (message, help)
    });
    let circle = sequence.circle.as_ref().map(|circle| {
        let message = format!("it would wait for itself: {}, each waits for the next", sequence::in_words(circle));
        let help = "leave one of them out of `after`; who waits for a member waits for all of its release".to_owned();
        (message, help)
    });
    let unknown = admission::unknown(sequence).into_iter().map(|(_, message, help)| (message, help));
    let all = unknown.chain(fellow).chain(circle);
    all.map(|(message, help)| outline.problem(member, message, Some(help))).collect()
}

impl Drafted {
    fn proposal(&self) -> &Proposal {
        match self {
            Self::New(proposal) => proposal,
            Self::Known(change) => &change.proposal,
        }
    }

    fn resources(&self) -> &BTreeSet<String> {
        &self.proposal().claims.resources
    }

    fn after(&self) -> &BTreeSet<ChangeId> {
        &self.proposal().after
    }

    /// The change that it is, or becomes: the one after the last.
    fn number(&self, last: &mut u64) -> ChangeId {
        match self {
            Self::Known(change) => change.id,
            Self::New(_) => {
                *last += 1;
                ChangeId::new(*last)
            }
        }
    }
}

impl Engine {
    pub(crate) async fn release(&self, id: ReleaseId) -> Result<Option<Release>, StoreError> {
        self.with_folds(|folds| folds.circumstances.release(id).cloned()).await
    }

    async fn next_release(&self) -> Result<ReleaseId, StoreError> {
        let last = self.with_folds(|folds| folds.circumstances.releases().next().map(|release| release.id)).await?;
        Ok(ReleaseId::new(last.map_or(0, ReleaseId::number) + 1))
    }

    async fn propose_release(
        self: &Arc<Self>,
        actor: &Actor,
        id: ReleaseId,
        outline: &Outline,
        admitted: &Admitted,
        key: Option<(&str, Digest)>,
    ) -> Result<Release, StoreError> {
        let now = change::time::to_millis(self.clock.now());
        let (mut batch, mut named) = (Batch::default(), Vec::new());
        // INVARIANT: nobody comes after a member in the meantime, so that no circle closes.
        batch.writes.extend(admitted.conditions.iter().cloned());
        let mut standing = Vec::new();
        for ((change_id, member), sketch) in admitted.members.iter().zip(&outline.members) {
            let change_id = *change_id;
            let (before, mut events) = match member {
                Drafted::Known(change) => (Some((**change).clone()), vec![]),
                Drafted::New(proposal) => (None, vec![self.proposed(actor, proposal, now)?]),
            };
            events.push(Event::JoinedRelease { release: id });
            let expected = before.as_ref().map_or(0, |change| change.version);
            let after = events.iter().fold(before, |state, e| change::evolve(state, change_id, e, actor, now));
            standing.extend(after.as_ref().map(|change| (change.id, release::standing(change))));
            batch.rows.extend(after.as_ref().map(ChangeRow::of));
            let fresh = |event| NewEvent { event, actor: actor.clone(), change: Some(change_id), time: now };
            let events = events.into_iter().map(fresh).collect();
            batch.writes.push(StreamWrite { stream: change_id.stream(), expected, events });
            let (name, after, wave) = (sketch.name.clone(), sketch.after.clone(), sketch.wave);
            named.push(Member { name, change: change_id, after, wave });
        }
        let ids: Vec<ChangeId> = named.iter().map(|member| member.change).collect();
        let plan = release::Proposed {
            title: outline.title.clone(),
            description: outline.description.clone(),
            owner: outline.owner.clone(),
            on_failure: outline.on_failure,
            begins: outline.begins,
            waves: outline.waves.clone(),
            members: named,
        };
        let event = scrub::whole(&*self.scrub, Event::ReleaseProposed { release: id, plan: Box::new(plan) })?;
        // INVARIANT: a `ReleaseProposed` on nothing always makes a release.
        let mut release = release::evolve(None, &event, actor, now).expect("a proposal makes a release");
        let mut events = vec![event];
        // What was approved before it joined is approved.
        for (change, to) in standing.into_iter().filter(|(_, is)| *is != release::Standing::Waiting) {
            let moved = Event::ReleaseMoved { release: id, change, to, why: String::new() };
            release = release::evolve(Some(release.clone()), &moved, actor, now).unwrap_or(release);
            events.push(moved);
        }
        let fresh = |event| NewEvent { event, actor: actor.clone(), change: None, time: now };
        let events = events.into_iter().map(fresh).collect();
        batch.writes.push(StreamWrite { stream: id.stream(), expected: 0, events });
        batch.idempotency = key.zip(ids.first()).map(|((key, request), change)| IdempotencyKey {
            actor: actor.to_string(),
            key: key.to_owned(),
            request,
            change: *change,
        });
        let appended = self.write(batch).await?;
        for change in ids {
            self.announce(Some(change), appended.size);
            self.clone().wake(change);
        }
        self.clone().wake_release(id);
        Ok(release)
    }

    /// Asks a command of a release and appends what follows.
    async fn command_release(
        self: &Arc<Self>,
        id: ReleaseId,
        command: Command,
        actor: &Actor,
    ) -> Result<Release, CommandError> {
        for _ in 0..MOST_CONFLICTS {
            let before = self.release(id).await?.ok_or(CommandError::NoSuchRelease(id))?;
            let now = change::time::to_millis(self.clock.now());
            let events = release::decide(&before, command.clone(), now)?;
            if events.is_empty() {
                return Ok(before);
            }
            let fresh = |event| {
                let event = scrub::whole(&*self.scrub, event)?;
                Ok(NewEvent { event, actor: actor.clone(), change: None, time: now })
            };
            let events: Vec<NewEvent> = events.into_iter().map(fresh).collect::<Result<_, StoreError>>()?;
            let writes = vec![StreamWrite { stream: id.stream(), expected: before.version, events }];
            match self.write(Batch { writes, ..Batch::default() }).await {
                Ok(appended) => {
                    self.announce(None, appended.size);
                    self.wake_members(&before);
                    return self.release(id).await?.ok_or(CommandError::NoSuchRelease(id));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(CommandError::Impossible(format!("`{id}` is being changed by too many at once; try again")))
    }

    /// Something has moved in a release: for its members gates may have opened or closed.
    pub(crate) fn wake_members(self: &Arc<Self>, release: &Release) {
        release.plan.members.iter().for_each(|member| self.clone().wake(member.change));
        self.clone().wake_release(release.id);
    }

    /// Hints that something may be due for a release, and starts its task if there is none.
    pub(crate) fn wake_release(self: Arc<Self>, id: ReleaseId) {
        if self.tasks.stop.is_cancelled() {
            return;
        }
        let Some(hint) = self.tasks.releases.give(id, || ()) else { return };
        let engine = self.clone();
        self.tasks.tracker.spawn(async move {
            // INVARIANT: a hint has a task behind it, as for changes.
            while AssertUnwindSafe(engine.clone().run_release(id, hint.clone())).catch_unwind().await.is_err() {
                tracing::error!(release = %id, "the task of a release broke off; starting it anew");
                tokio::time::sleep(AFTER_FAULT).await;
            }
        });
    }

    async fn run_release(self: Arc<Self>, id: ReleaseId, hint: Arc<Notify>) {
        let mut lease = None;
        loop {
            let sleep = match self.reconcile_release(id, &mut lease).await {
                Ok(Some(span)) => Duration::from_millis(span.as_millis().min(LONGEST_SLEEP.as_millis())),
                Ok(None) if self.tasks.releases.end(id, &hint, || true) => return,
                Ok(None) => Duration::ZERO,
                Err(error) => {
                    tracing::error!(release = %id, %error, "the store failed; asking again");
                    AFTER_FAULT
                }
            };
            tokio::select! {
                () = self.tasks.stop.cancelled() => return,
                () = hint.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Does what is due; how long until it is asked again, or nothing where the release is over.
    async fn reconcile_release(
        self: &Arc<Self>,
        id: ReleaseId,
        lease: &mut Option<Lease>,
    ) -> Result<Option<Span>, StoreError> {
        let Some(release) = self.release(id).await? else { return Ok(None) };
        let now = change::time::to_millis(self.clock.now());
        let due = release::due(&release, now);
        if due.intents.is_empty() && release.phase().is_terminal() {
            return Ok(None);
        }
        let mut soonest = due.wake_at.map_or(LONGEST_SLEEP, |at| change::time::between(now, at));
        for intent in due.intents {
            if !self.leads(id, lease).await? {
                return Ok(Some(self.settings.recheck));
            }
            match self.perform_of_release(&release, intent).await? {
                Done::Moved => return Ok(Some(Span::millis(0))),
                Done::Unmoved => soonest = soonest.min(self.settings.recheck),
                Done::Again(after) => soonest = soonest.min(after),
            }
        }
        Ok(Some(soonest))
    }

    /// Whether this replica has the right to act for the release.
    async fn leads(&self, id: ReleaseId, lease: &mut Option<Lease>) -> Result<bool, StoreError> {
        let (now, lasts) = (self.clock.boot(), self.settings.lease.as_millis());
        if lease.as_ref().is_none_or(|lease| now.0 + lasts / 2 >= lease.until.0) {
            let until = BootMillis(now.0 + lasts);
            *lease = self.store.lease(&id.stream(), &self.settings.replica, now, until).await?;
        }
        Ok(lease.is_some())
    }

    async fn perform_of_release(self: &Arc<Self>, release: &Release, intent: Intent) -> Result<Done, StoreError> {
        match intent {
            Intent::Pass => self.tell_release(release, Command::Pass).await,
            Intent::Complete { change } => self.ask_member(release, change, change::Command::Complete).await,
            Intent::Withdraw { change, reason } => {
                self.ask_member(release, change, change::Command::Withdraw { reason }).await
            }
            Intent::RollBack { change, reason } => {
                self.ask_member(release, change, change::Command::Rollback { reason }).await
            }
            Intent::Tell { key } => self.tell_people(release, key).await,
        }
    }

    /// Reports to the release. A rejection means that the world has moved on.
    async fn tell_release(self: &Arc<Self>, release: &Release, command: Command) -> Result<Done, StoreError> {
        match self.command_release(release.id, command, &Actor::Clearway(Part::Release)).await {
            Ok(after) if after.version > release.version => Ok(Done::Moved),
            Err(CommandError::Store(error)) => Err(error),
            _ => Ok(Done::Again(self.settings.recheck)),
        }
    }

    /// Asks a member for what its release wants of it. One that can't go back is not waited for.
    async fn ask_member(
        self: &Arc<Self>,
        release: &Release,
        change: ChangeId,
        command: change::Command,
    ) -> Result<Done, StoreError> {
        let is_rollback = matches!(command, change::Command::Rollback { .. });
        let attempt = Attempt::by(&Actor::Clearway(Part::Release));
        match self.clone().command(change, command, attempt).await {
            // Whatever it did is in the stream of the release.
            Ok(_) => Ok(Done::Moved),
            Err(CommandError::Rejected(rejection)) if is_rollback => {
                let why = rejection.to_string();
                self.tell_release(release, Command::ReportStuck { change, why }).await
            }
            Err(CommandError::Store(error)) => Err(error),
            Err(error) => {
                tracing::debug!(release = %release.id, %change, %error, "a member said no; asking anew");
                Ok(Done::Again(Span::secs(1)))
            }
        }
    }

    async fn tell_people(self: &Arc<Self>, release: &Release, key: String) -> Result<Done, StoreError> {
        let Some(page) = release.pages.get(&key) else { return Ok(Done::Again(TELL_AGAIN)) };
        // A channel tells of changes: it is told of the one that it is about, or of the first.
        let cause = release.stopped.as_ref().and_then(|stopped| stopped.cause);
        let about = key.strip_prefix("stuck/").and_then(|id| id.parse().ok()).or(cause);
        let first = release.plan.members.first().map(|member| member.change);
        let Some(change) = about.or(first) else { return Ok(Done::Again(TELL_AGAIN)) };
        let message = Message { title: &release.plan.title, reason: &page.reason, to: &page.to, urgency: page.urgency };
        match self.voice.tell(change, &message).await {
            Ok(channel) => self.tell_release(release, Command::ReportTold { key, channel }).await,
            Err(error) => {
                tracing::error!(release = %release.id, %error, "people could not be told; trying again");
                Ok(Done::Again(TELL_AGAIN))
            }
        }
    }
}
