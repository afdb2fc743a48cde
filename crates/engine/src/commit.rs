//! Commit: load a change, ask the core, append what it says. The only way by which anything gets into the log of a change.
//!
//! Each append carries the expected version of the change's stream and of the streams of its lanes and services; a step that begins, also of the stops
//! of everything, of its standard change and, where the rules ask for it, of the services nearby. Where somebody was faster, the question is asked again with what is true now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use change::batch::{self, BATCHES};
use change::budget::{self, ResumeBy};
use change::calendar::Standing;
use change::circumstances::{STOPS, standard_stream};
use change::conflict;
use change::conflict::traffic::{self, Traffic};
use change::entitlement::Entitlement;
use change::gate::Readiness;
use change::governance::Governance;
use change::holds::HOLDS;
use change::lane::{self, Lane};
use change::precedence::Moment;
use change::proposal::Proposal;
use change::release;
use change::sequence::{self, Sequence};
use change::standard::standing;
use change::waiting::Needs;
use change::{Actor, Change, ChangeId, Command, Digest, Event, Given, Permission, Phase, Timestamp, decide, evolve};

use crate::handle::{CommandError, Engine};
use crate::in_force::InForce;
use crate::ports::{Batch, LookRow, NewEvent, Store, StoreError, StreamWrite};
use crate::project::{self, ChangeRow};
use crate::scrub;
use crate::signing;

/// How often a command is asked again after a conflict.
pub(crate) const MOST_CONFLICTS: usize = 20;

/// The lanes as far as they have been read, with the version of each.
#[derive(Default)]
pub(crate) struct LaneCache(Mutex<BTreeMap<String, (Lane, u64)>>);

/// What a decision rests on beside the change itself.
struct RestsOn {
    grounds: Grounds,
    /// Writes without events: for a step that begins, or for another place in the sequence.
    conditions: Vec<StreamWrite>,
}

/// The versions of the streams by which other changes are known.
#[derive(Default)]
struct Grounds {
    /// Those of the lanes, by resource.
    lanes: BTreeMap<String, u64>,
    /// Those of the services of the change and, before its first step, of those nearby.
    sectors: BTreeMap<String, u64>,
}

/// A command's circumstances: by whom, and what is to be kept beside its events.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub actor: Actor,
    pub readiness: Option<Readiness>,
    pub looks: Vec<LookRow>,
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

impl Attempt {
    pub(crate) fn by(actor: &Actor) -> Self {
        Self { actor: actor.clone(), readiness: None, looks: vec![], blobs: vec![] }
    }
}

impl Engine {
    /// The newest state of a change, as its row has it.
    pub(crate) async fn load(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        let Some(row) = self.store.row(id).await? else { return Ok(None) };
        match row.change() {
            Ok(change) => Ok(Some(change)),
            // A row that can't be read is no loss: the log has it all.
            Err(error) => {
                tracing::warn!(change = %id, %error, "the row of a change can't be read; folding its log");
                Ok(self.store.read(&id.stream(), 0).await?.iter().fold(None, project::fold))
            }
        }
    }

    /// Asks a command of a change and appends what follows.
    pub(crate) async fn command(
        self: Arc<Self>,
        id: ChangeId,
        command: Command,
        attempt: Attempt,
    ) -> Result<Change, CommandError> {
        for _ in 0..MOST_CONFLICTS {
            let change = self.load(id).await?.ok_or(CommandError::NoSuchChange(id))?;
            // INVARIANT: read before what is known of these streams, which may then be newer and never older.
            let (mut conditions, mut sequence) = (vec![], Sequence::default());
            match &command {
                Command::BeginStep { .. } => conditions = self.conditions(&change).await?,
                Command::Amend { proposal, .. } => {
                    (sequence, conditions) = self.admission_of(&change, proposal).await?;
                }
                _ => {}
            }
            // INVARIANT: rights and keys are those of one governance, also where another one is loaded in between.
            let in_force = self.in_force();
            let (mut given, grounds) = self.asked(&in_force, &change, &attempt.actor).await?;
            given.sequence = sequence;
            if let Some(readiness) = &attempt.readiness {
                given.readiness = readiness.clone();
            }
            if let Command::Approve { signature: Some(signed), .. } = &command {
                given.signer = signing::verify(&change, &given, &in_force.governance, signed);
            }
            let events = decide(&change, command.clone(), &given)?;
            if events.is_empty() && attempt.looks.is_empty() {
                return Ok(change);
            }
            let rests_on = RestsOn { grounds, conditions };
            match self.append(&change, events, &given, &rests_on, &attempt).await {
                Ok(after) => return Ok(after),
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(CommandError::Busy(id))
    }

    async fn append(
        self: &Arc<Self>,
        before: &Change,
        events: Vec<Event>,
        given: &Given,
        rests_on: &RestsOn,
        attempt: &Attempt,
    ) -> Result<Change, StoreError> {
        let (id, actor, time) = (before.id, &given.actor, given.now);
        let events: Vec<Event> =
            events.into_iter().map(|event| scrub::whole(&*self.scrub, event)).collect::<Result<_, _>>()?;
        let mut after = before.clone();
        let (mut lanes, mut followed) = (Vec::new(), Vec::new());
        let mut release = given.release.clone();
        for event in &events {
            let next = evolve(Some(after.clone()), id, event, actor, time).unwrap_or_else(|| after.clone());
            lanes.extend(lane::moves(&after, &next));
            for event in release.iter().flat_map(|release| release::follow(release, &after, &next)).collect::<Vec<_>>()
            {
                release = release::evolve(release, &event, actor, time);
                followed.push(event);
            }
            after = next;
        }
        let moved = lanes.last().is_some();
        let superseded_by = events.iter().find_map(|event| match event {
            Event::Superseded { by } => Some(*by),
            _ => None,
        });
        let is_guarded = |event: &Event| matches!(event, Event::StepBegun { .. } | Event::Amended { .. });
        let (guarded, starts) =
            (events.iter().any(is_guarded), before.rollout().is_none() && after.rollout().is_some());
        let batch_stopped = batch::follow(id, given, &events);
        let begins = events.iter().any(|event| matches!(event, Event::StepBegun { .. }));
        let fresh = |event: Event| NewEvent { event, actor: actor.clone(), change: Some(id), time };
        let mut writes = Vec::new();
        if !events.is_empty() {
            let events = events.into_iter().map(fresh).collect();
            writes.push(StreamWrite { stream: id.stream(), expected: before.version, events });
        }
        for resource in before.proposal.claims.resources.iter().filter(|_| moved) {
            // INVARIANT: the version is the one that the decision was made on, not a newer one that another change has read since.
            let expected = rests_on.grounds.lanes.get(resource).copied().unwrap_or(0);
            let events = lanes.iter().cloned().map(fresh).collect();
            writes.push(StreamWrite { stream: lane::stream(resource), expected, events });
        }
        writes.extend(sector_writes(before, &rests_on.grounds, starts, moved, || {
            lanes.iter().cloned().map(fresh).collect()
        }));
        if guarded {
            let drawn = if starts { budget::drawn(given) } else { vec![] };
            for condition in &rests_on.conditions {
                // Of two that would take the last place of a day at once, one finds that the stream has moved.
                let taken = drawn.contains(&condition.stream).then(|| fresh(Event::BudgetDrawn { change: id }));
                writes.push(StreamWrite { events: taken.into_iter().collect(), ..condition.clone() });
            }
        }
        // INVARIANT: how a release stands is written with the move of its member, and a step begins only if the release stands as it was asked: two
        // members can't pass each other by.
        let of_release = given.release.as_ref().filter(|_| begins || !followed.is_empty());
        if let Some(known) = of_release {
            let events: Vec<NewEvent> = followed.into_iter().map(fresh).collect();
            writes.push(StreamWrite { stream: known.id.stream(), expected: known.version, events });
        }
        if let Some(stopped) = batch_stopped {
            let expected = self.ends.of(&*self.store, BATCHES).await?;
            writes.push(StreamWrite { stream: BATCHES.to_owned(), expected, events: vec![fresh(stopped)] });
        }
        let rows = if writes.is_empty() { vec![] } else { vec![ChangeRow::of(&after)] };
        let batch =
            Batch { writes, rows, looks: attempt.looks.clone(), blobs: attempt.blobs.clone(), idempotency: None };
        let appended = self.write(batch).await?;
        self.announce(Some(id), appended.size);
        if after.version > before.version {
            self.clone().wake(id);
        }
        if let Some(release) = release.filter(|now| Some(now.version) != given.release.as_ref().map(|r| r.version)) {
            self.wake_members(&release);
        }
        let ended = after.phase() != before.phase() && after.phase().is_terminal();
        let had_a_place = before.rollout().is_none() && has_a_place(before, time);
        let left_its_place = had_a_place && !has_a_place(&after, time);
        if moved || ended || left_its_place {
            self.waiting.moved(Needs::Change(id));
        }
        if starts || left_its_place {
            self.wake_next(before).await?;
        }
        if let Some(by) = superseded_by {
            // It has another place in the line now.
            self.clone().wake(by);
        }
        if before.not_before().is_none() && after.not_before().is_some() {
            self.wake_older(id).await?;
        }
        Ok(after)
    }

    /// The streams beside the change's own by which a step may be held, as they are now: the step begins only if nothing is added to them before.
    ///
    /// Debts need no place here: one that is owed in the meantime is never overdue at once, and a paid one holds nothing.
    async fn conditions(&self, change: &Change) -> Result<Vec<StreamWrite>, StoreError> {
        let standard = change.proposal.course.standard().map(|standard| standard_stream(&standard.id));
        let mut conditions = Vec::new();
        let is_read = self.in_force().governance.budgets.is_some();
        let budgets = change.proposal.services.iter().filter(|_| is_read).map(|service| budget::stream(service));
        for stream in [STOPS, HOLDS, BATCHES].map(str::to_owned).into_iter().chain(standard).chain(budgets) {
            let expected = self.ends.of(&*self.store, &stream).await?;
            conditions.push(StreamWrite { stream, expected, events: vec![] });
        }
        Ok(conditions)
    }

    /// What the core may know of the world for this change and actor.
    pub(crate) async fn given(&self, change: &Change, actor: &Actor) -> Result<Given, StoreError> {
        self.asked(&self.in_force(), change, actor).await.map(|(given, _)| given)
    }

    /// The same, with the versions of the streams that it rests on.
    async fn asked(&self, in_force: &InForce, change: &Change, actor: &Actor) -> Result<(Given, Grounds), StoreError> {
        let now = change::time::to_millis(self.clock.now());
        let (mut lanes, mut versions) = (Vec::new(), BTreeMap::new());
        for resource in &change.proposal.claims.resources {
            let (lane, version) = self.lane(resource).await?;
            lanes.push(lane);
            versions.insert(resource.clone(), version);
        }
        let (mut completed, mut stranded) = (BTreeSet::new(), BTreeMap::new());
        for id in &change.proposal.after {
            match self.load(*id).await?.map(|before| before.phase()) {
                Some(Phase::Completed) => {
                    completed.insert(*id);
                }
                Some(phase) if sequence::is_stranded(phase) => {
                    stranded.insert(*id, phase);
                }
                _ => {}
            }
        }
        let given = Given { lanes, completed, stranded, ..Given::bare(now, actor.clone()) };
        let governance = &in_force.governance;
        let calendar = &in_force.calendar;
        let (given, sectors) = self
            .with_folds(|folds| {
                let entitlement = Entitlement { change, governance, circumstances: &folds.circumstances, now };
                let batch = batch::standing(change, governance, calendar, &folds.circumstances, now);
                let went_with = folds.circumstances.went_with(change.id).cloned();
                let given = Given { batch, went_with, ..of_people(given, &entitlement) };
                of_traffic(given, change, governance, &folds.traffic)
            })
            .await?;
        let Standing { frozen, windows, opening } = in_force.calendar_for(change, &given.grants_lost, now);
        let (opening, freezes) = (Some(opening), in_force.freezes_of(change));
        let reopening = in_force.reopening_for(change, &given);
        let given = Given { frozen, windows, freezes, opening, reopening, ..given };
        Ok((given, Grounds { lanes: versions, sectors }))
    }

    pub(crate) fn permissions(&self, actor: &Actor, proposal: &Proposal) -> BTreeSet<Permission> {
        let user = actor.user().unwrap_or_default();
        self.in_force().governance.access.permissions(user, &proposal.services, &proposal.environment)
    }

    /// A lane as it is now: what was known of it and the events since.
    async fn lane(&self, resource: &str) -> Result<(Lane, u64), StoreError> {
        let (mut known, mut version) = self.lanes.get(resource);
        let news = self.store.read(&lane::stream(resource), version).await?;
        for recorded in &news {
            known = known.evolve(&recorded.event);
            version = recorded.version;
        }
        if !news.is_empty() {
            self.lanes.put(resource, known.clone(), version);
        }
        Ok((known, version))
    }
}

/// What a change that begins or ends a rollout writes to the streams of its services; and those nearby that must not move before it begins.
fn sector_writes(
    change: &Change,
    grounds: &Grounds,
    starts: bool,
    moved: bool,
    events: impl Fn() -> Vec<NewEvent>,
) -> Vec<StreamWrite> {
    let proposal = &change.proposal;
    let own: BTreeSet<String> =
        proposal.services.iter().map(|service| conflict::stream(&proposal.environment, service)).collect();
    let each = grounds.sectors.iter().filter_map(|(stream, expected)| {
        let is_own = own.contains(stream);
        let write = |events| StreamWrite { stream: stream.clone(), expected: *expected, events };
        match is_own {
            true => moved.then(|| write(events())),
            false => starts.then(|| write(vec![])),
        }
    });
    each.collect()
}

/// Adds what is true of the changes nearby, with the versions of the streams of their services and its own.
fn of_traffic(
    mut given: Given,
    change: &Change,
    governance: &Governance,
    traffic: &Traffic,
) -> (Given, BTreeMap<String, u64>) {
    let (rules, catalog) = (&governance.conflicts, &governance.catalog);
    let (services, environment) = (&change.proposal.services, &change.proposal.environment);
    let waits = change.rollout().is_none() && !change.phase().is_terminal();
    let mut near: Vec<(String, usize)> = services.iter().map(|service| (service.clone(), 0)).collect();
    if waits {
        let moment = Moment { now: given.now, patience: governance.settings.patience };
        given.conflicts = traffic.conflicts(change, rules, catalog, moment);
        // Within a release its order and its waves say who goes beside whom; on one target the lanes still do.
        let members = given.release.iter().flat_map(|release| &release.plan.members);
        let together: BTreeSet<ChangeId> = members.map(|member| member.change).collect();
        given.conflicts.retain(|found| !together.contains(&found.with));
        for budget in &mut given.budgets {
            let before = traffic.before_at_rate(change, &budget.state.service, moment);
            budget.before = before.filter(|(with, _)| !together.contains(with));
        }
        given.superseded_by = traffic.superseded_by(change, rules);
        near = conflict::near(services, rules, catalog);
    }
    near.retain(|(_, hops)| *hops == 0 || rules.hold_neighbours());
    let streams = near.into_iter().map(|(service, _)| conflict::stream(environment, &service));
    let sectors = streams.map(|stream| (stream.clone(), traffic.version(&stream))).collect();
    (given, sectors)
}

/// Whether a change stands in the line of those that wait for another.
fn has_a_place(change: &Change, now: Timestamp) -> bool {
    let hold = change.hold.as_ref().filter(|_| change.not_before().is_some());
    hold.is_some_and(|hold| traffic::has_a_place(&hold.gates, now))
}

/// Adds what is true of the actor and of the others whom the change concerns.
fn of_people(mut given: Given, entitlement: &Entitlement<'_>) -> Given {
    let Entitlement { change, governance, circumstances, now } = *entitlement;
    if let Some(user) = given.actor.user() {
        let voice = entitlement.voice(user);
        given.may = entitlement.may(user);
        given.excluded = entitlement.excluded(user);
        (given.groups, given.on_behalf) = (voice.groups, voice.on_behalf);
    }
    given.unknown_committers = entitlement.unknown_committers();
    given.revoked = entitlement.revoked();
    given.hands_off = entitlement.hands_off();
    given.grants_lost = entitlement.grants_lost();
    given.insiders = entitlement.insiders();
    given.standard = change.proposal.course.standard().map(|instance| {
        let (template, record) = (governance.standards.get(&instance.id), circumstances.standard(&instance.id));
        standing(template, instance, &record, now)
    });
    given.away = entitlement.away();
    given.could_agree = entitlement.could_agree();
    given.release = change.release.and_then(|id| circumstances.release(id).cloned());
    given.gating = entitlement.gating();
    given.stopped = circumstances.stopped().cloned();
    given.holds = circumstances.holds_of(&change.proposal, &governance.catalog, now);
    given.longest_hold = governance.settings.longest_hold;
    given.duty = governance.on_call(&change.proposal.services, now);
    given.tell_on_call = governance.settings.tell_on_call.clone();
    given.budgets = budget::standings(change, governance, circumstances, now);
    given.after_burn = governance.budgets.as_ref().map_or(ResumeBy::Ask, |policy| policy.resume);
    given.overdue = entitlement.overdue();
    given.debts_escalate_to.clone_from(&governance.approvals.emergency.escalate);
    given
}

/// Where streams end, as far as they have been read: each is read once, and then from there on.
#[derive(Default)]
pub(crate) struct Ends(Mutex<BTreeMap<String, u64>>);

impl Ends {
    async fn of(&self, store: &dyn Store, stream: &str) -> Result<u64, StoreError> {
        let known = self.known().get(stream).copied().unwrap_or(0);
        let end = store.read(stream, known).await?.last().map_or(known, |last| last.version);
        let mut all = self.known();
        let newest = all.entry(stream.to_owned()).or_default();
        *newest = end.max(*newest);
        Ok(end)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl LaneCache {
    fn get(&self, resource: &str) -> (Lane, u64) {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(resource).cloned().unwrap_or_else(|| (Lane::free(resource), 0))
    }

    fn put(&self, resource: &str, lane: Lane, version: u64) {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let newer = known.get(resource).is_none_or(|(_, v)| *v < version);
        if newer {
            known.insert(resource.to_owned(), (lane, version));
        }
    }
}
