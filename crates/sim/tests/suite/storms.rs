//! LC4, LC7, F8, F9: storms. Small random worlds in which calendars, people, faults and clocks do what they like, and laws that hold all the same.
//!
//! The laws are read from the log, from what the targets saw and from the storm's own description: nothing of the engine's gates is asked. That each law
//! can be broken is shown by worlds in which something is kept from the engine. `CLEARWAY_SEEDS=200` plays more, `cargo xtask storms` thousands; `CLEARWAY_SEED=17` that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use change::calendar::Passage;
use change::lifecycle::Found;
use change::rollout::StepState;
use change::{Change, ChangeId, Command, Event, Phase, ReleaseId, Span, Timestamp, time};
use engine::holds::HoldRequest;
use engine::ports::{Appended, Batch, Recorded, Scrub, Store, StoreError, StreamWrite};
use engine::releases::ReleaseDraft;
use engine::{Draft, Handle, InForce, Settings, Way};
use sim::fleet::{Fleet, FleetCall, Mood, Replica};
use sim::storm::{Deed, Drawn, Fatal, Storm};
use tokio::sync::Notify;

use crate::support::*;

/// How long after a storm everything has to come to its end: a day that a window takes to come again, and what queues behind it.
const CALM: Span = Span::secs(4 * 86_400);
const A_DAY: Span = Span::secs(86_400);
/// How late a rollback may begin that is in the log: after the act that is under way, and the lease of an engine that died.
const AT_ONCE: Span = Span::secs(130);

/// What is wrong with the world, so that a law is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The engine is not told of the freezes and windows.
    UntoldCalendar,
    /// The engine is told that changes of one service go side by side.
    UntoldConflicts,
    /// Drivers claim another lane for each change.
    LanesApart,
    /// A driver does again what it has done under the same key.
    ForgetfulDriver,
    /// What begins the first change never reaches the log.
    LostBeginnings,
    /// An engine hears only after minutes that a rollback of its own is in the log.
    LazyRollbacks,
}

/// An entry of the log that somebody died at, or that a law needs the true time of.
struct Stamp {
    id: ChangeId,
    said: Timestamp,
    wall: Timestamp,
    at: Timestamp,
    is_rollback: bool,
}

/// What the engines of one life share: whether one of them is to die, and what they wrote when.
#[derive(Default)]
struct Fate {
    fatal: Mutex<Option<Fatal>>,
    death: Notify,
    deaths: Mutex<BTreeMap<String, u64>>,
    stamps: Mutex<Vec<Stamp>>,
    jumps: Mutex<Vec<Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One engine's way to the store.
struct Gale {
    fleet: Fleet,
    behind: Span,
    flaw: Flaw,
    fate: Arc<Fate>,
}

impl Gale {
    /// Whether the world keeps this entry from the log.
    fn loses(&self, batch: &Batch) -> bool {
        let is_lost = |write: &StreamWrite| {
            let begins = write.events.iter().any(|new| matches!(new.event, Event::StepBegun { .. }));
            begins && ChangeId::of_stream(&write.stream) == Some(ChangeId::new(1))
        };
        self.flaw == Flaw::LostBeginnings && batch.writes.iter().any(is_lost)
    }

    /// Whether this entry is the last thing that an engine does.
    fn kills(&self, batch: &Batch) -> Option<Fatal> {
        let has = |wanted: fn(&Event) -> bool| batch.writes.iter().any(|w| w.events.iter().any(|e| wanted(&e.event)));
        let mut fatal = lock(&self.fate.fatal);
        let comes = match (*fatal)? {
            Fatal::Begun { .. } => has(|event| matches!(event, Event::StepBegun { .. })),
            Fatal::Applied { .. } => has(|event| matches!(event, Event::StepApplied { .. })),
            Fatal::RollbackBegun => has(|event| matches!(event, Event::RollbackBegun { .. })),
        };
        if comes { fatal.take() } else { None }
    }

    fn stamp(&self, batch: &Batch) {
        let (wall, at) = (self.fleet.wall(self.behind), self.fleet.now());
        for (write, new) in batch.writes.iter().flat_map(|write| write.events.iter().map(move |new| (write, new))) {
            let is_rollback = matches!(new.event, Event::RollbackBegun { .. });
            if is_rollback || matches!(new.event, Event::StepBegun { .. }) {
                let Some(id) = ChangeId::of_stream(&write.stream) else { continue };
                lock(&self.fate.stamps).push(Stamp { id, said: new.time, wall, at, is_rollback });
            }
        }
    }
}

#[async_trait]
impl Hooks for Gale {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        if self.loses(&batch) {
            return std::future::pending().await;
        }
        let fatal = self.kills(&batch);
        if let Some(fatal) = fatal {
            *lock(&self.fate.deaths).entry(format!("death at {fatal:?}")).or_default() += 1;
        }
        let is_in_log = !matches!(fatal, Some(Fatal::Begun { is_in_log: false } | Fatal::Applied { is_in_log: false }));
        if !is_in_log {
            self.fate.death.notify_one();
            return std::future::pending().await;
        }
        let kept = batch.clone();
        let answer = store.append(batch).await;
        if answer.is_ok() {
            self.stamp(&kept);
        }
        let rolls_back =
            |write: &StreamWrite| write.events.iter().any(|new| matches!(new.event, Event::RollbackBegun { .. }));
        if self.flaw == Flaw::LazyRollbacks && kept.writes.iter().any(rolls_back) {
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        if fatal.is_some() {
            self.fate.death.notify_one();
            return std::future::pending().await;
        }
        answer
    }
}

/// A storm that is being played.
struct Play {
    storm: Storm,
    fleet: Fleet,
    store: Arc<dyn Store>,
    in_force: InForce,
    scrub: Arc<dyn Scrub>,
    fate: Arc<Fate>,
    ids: BTreeMap<usize, ChangeId>,
    releases: Vec<ReleaseId>,
    /// Until when which freeze lets a change pass, by its name.
    exceptions: Vec<(usize, String, Timestamp)>,
    /// The deeds to come, the last one first.
    to_come: Vec<(u64, Deed)>,
    covered: Covered,
    engines: u64,
    flaw: Flaw,
}

/// What seeds have covered, by its name.
#[derive(Clone, Debug, Default)]
struct Covered(BTreeMap<String, u64>);

impl Covered {
    fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    fn and(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| *self.0.entry(what.clone()).or_default() += times);
    }
}

/// What a key and a number come to, the same in every run.
fn drawn(seed: u64, key: &str, before: usize) -> u64 {
    let mut hash = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ before as u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    }
    hash ^ (hash >> 29)
}

impl Play {
    fn of(seed: u64, flaw: Flaw, scrub: &Arc<dyn Scrub>) -> Self {
        let storm = Storm::of(seed);
        let mut files = storm.files();
        match flaw {
            Flaw::UntoldCalendar => drop(files.remove("calendar.yaml")),
            // Where nothing else keeps changes apart, lanes alone do.
            Flaw::UntoldConflicts | Flaw::LanesApart => {
                let rules = "rules: [{between: service, then: allow}, {between: dependency, then: allow}]";
                files.insert("conflicts.yaml".into(), rules.into());
            }
            _ => {}
        }
        let fleet = Fleet::at(storm.begins);
        match flaw {
            Flaw::LanesApart => fleet.claim_apart(),
            Flaw::ForgetfulDriver => fleet.forget_keys(),
            _ => {}
        }
        fleet.set_moods(Some(Arc::new(move |key: &str, before| {
            let dice = drawn(seed, key, before);
            let takes = match dice % 7 {
                0 => 20_000,
                1 | 2 => 1_500,
                _ => 0,
            };
            let mood = match (dice / 7) % 24 {
                0 => Mood::Silent,
                1 | 2 => Mood::Refusing,
                _ => Mood::Willing,
            };
            (Span::millis(takes), mood)
        })));
        let mut to_come = storm.deeds.clone();
        to_come.reverse();
        Self {
            in_force: InForce::new(Storm::governance(&files)).expect("no policies of its own"),
            store: memory(),
            scrub: scrub.clone(),
            fate: Arc::default(),
            ids: BTreeMap::new(),
            releases: vec![],
            exceptions: vec![],
            to_come,
            covered: Covered::default(),
            engines: 0,
            storm,
            fleet,
            flaw,
        }
    }

    async fn start(&mut self, behind: Span) -> Handle {
        self.engines += 1;
        let settings = Settings {
            lease: Span::secs(2),
            act_limit: Span::secs(60),
            recheck: Span::secs(20),
            plan_runs: 0,
            // Days pass: what is asked every other second would be most of what is played.
            elsewhere_every: Span::secs(60),
            ..Settings::default()
        };
        let gale = Gale { fleet: self.fleet.clone(), behind, flaw: self.flaw, fate: self.fate.clone() };
        let store = Hooked::around(self.store.clone(), gale);
        let replica = Replica { name: format!("engine-{}", self.engines), behind, settings, scrub: self.scrub.clone() };
        self.fleet.start_replica(store, self.in_force.clone(), replica).await.expect("the engine starts")
    }

    /// The seconds of the storm that are over.
    fn secs(&self) -> u64 {
        time::between(self.storm.begins, self.fleet.now()).as_millis() / 1_000
    }

    /// The storm, one life of the engine after another.
    fn rage(&mut self) {
        while self.to_come.last().is_some() {
            let fate = self.fate.clone();
            paused().block_on(async {
                self.fleet.live();
                let death = fate.death.notified();
                tokio::pin!(death);
                let _ = futures_or_death(self.live(), death).await;
                self.fleet.rest();
            });
        }
    }

    /// One life: until its end comes, or no deed is left.
    async fn live(&mut self) {
        let mut handles = vec![self.start(Span::ZERO).await];
        while let Some((at, deed)) = self.to_come.last().cloned() {
            let wait = at.saturating_sub(self.secs());
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let number = (drawn(self.storm.seed, "whose", self.to_come.len()) % handles.len() as u64) as usize;
            let dies = deed == Deed::Kill;
            if let Deed::Second { behind } = deed {
                handles.push(self.start(Span::secs(behind)).await);
                self.covered.count(if behind == 0 { "second engine" } else { "second engine, an hour behind" });
            } else {
                self.perform(&handles[number].clone(), &deed).await;
            }
            self.to_come.pop();
            if dies {
                return;
            }
        }
    }

    async fn perform(&mut self, handle: &Handle, deed: &Deed) {
        let id = |number: &usize| self.ids.get(number).copied();
        let reason = || "drawn".to_owned();
        match deed {
            Deed::Propose(number) => self.propose(handle, *number).await,
            Deed::ProposeRelease(first, second) => self.propose_release(handle, *first, *second).await,
            Deed::Vote(number) => self.vote(handle, *number).await,
            Deed::Pause(number) => self.ask(handle, id(number), Command::Pause { reason: reason() }).await,
            Deed::Resume(number) => self.ask(handle, id(number), Command::Resume { found: None }).await,
            Deed::RollBack(number) => self.ask(handle, id(number), Command::Rollback { reason: reason() }).await,
            Deed::Veto { change, secs } => {
                let veto = Command::Veto { reason: reason(), until: handle.until(Span::secs(*secs)) };
                self.ask(handle, id(change), veto).await;
            }
            Deed::Except { change, freeze, secs } => self.except(handle, *change, *freeze, *secs).await,
            Deed::Hold { service, secs, pauses, forbids_emergencies } => {
                let emergency = if *forbids_emergencies { Passage::Forbid } else { Passage::Allow };
                let asked = HoldRequest {
                    services: [(*service).to_owned()].into(),
                    team: None,
                    environment: None,
                    until: handle.until(Span::secs(*secs)),
                    emergency,
                    pause: *pauses,
                    reason: reason(),
                };
                if handle.hold(&user("bob"), asked).await.is_ok() {
                    self.covered.count("hold");
                }
            }
            Deed::ReleaseHold => {
                for hold in handle.holds().await.expect("the store answers") {
                    let _ = handle.release_hold(&user("bob"), &hold.order.hold, "drawn").await;
                }
            }
            Deed::Break(target) => {
                self.fleet.break_on(target);
                self.covered.count("version that fails");
            }
            Deed::Mend(target) => self.fleet.mend(target),
            Deed::Burn(percent) => {
                self.fleet.set_burn(f64::from(*percent) / 100.0);
                if *percent > 0 {
                    self.covered.count("burn");
                }
            }
            Deed::SetClock(millis) => {
                self.fleet.set_clock(*millis);
                lock(&self.fate.jumps).push(self.fleet.now());
                self.covered.count(if *millis < 0 { "clock back" } else { "clock forward" });
            }
            Deed::Kill => self.covered.count("kill"),
            Deed::KillAt(fatal) => *lock(&self.fate.fatal) = Some(*fatal),
            Deed::Second { .. } => {}
        }
    }

    async fn ask(&mut self, handle: &Handle, id: Option<ChangeId>, command: Command) {
        let Some(id) = id else { return };
        let name = match &command {
            Command::Veto { .. } => "veto",
            Command::Rollback { .. } => "rollback asked for",
            Command::Pause { .. } => "pause",
            _ => "other command",
        };
        if handle.command(&user("bob"), id, command).await.is_ok() {
            self.covered.count(name);
        }
    }

    fn draft(&self, number: usize) -> Draft {
        let change = &self.storm.changes[number];
        let after: Vec<String> =
            change.after.iter().filter_map(|other| self.ids.get(other)).map(ToString::to_string).collect();
        let way = if change.is_emergency {
            Way::Emergency { incident: "INC-1".into(), reason: "it is down".into() }
        } else {
            Way::Regular
        };
        Draft { text: self.storm.change_file(number, &after), way, ..Draft::default() }
    }

    async fn propose(&mut self, handle: &Handle, number: usize) {
        let key = format!("change-{number}");
        match handle.propose_draft(&user("ada"), &self.draft(number), Some(&key)).await {
            Ok(change) => {
                self.ids.insert(number, change.id);
                self.covered.count(if self.storm.changes[number].is_emergency { "emergency" } else { "change" });
            }
            Err(engine::ProposeError::Rejected(_)) => self.covered.count("proposal refused"),
            Err(error) => panic!("seed {}: change {number} can't be proposed: {error:?}", self.storm.seed),
        }
    }

    async fn propose_release(&mut self, handle: &Handle, first: usize, second: usize) {
        let text = "title: Both\nowner: ada\nchanges:\n  - {name: one, change: a.yaml}\n  - {name: two, change: b.yaml, after: [one]}\n";
        let of = |number: usize| Draft { way: Way::Regular, ..self.draft(number) };
        let changes = [("one".to_owned(), of(first)), ("two".to_owned(), of(second))].into();
        let draft = ReleaseDraft { text: text.into(), changes };
        match handle.propose_release(&user("ada"), &draft, Some("release")).await {
            Ok(release) => {
                for (number, member) in [first, second].into_iter().zip(&release.plan.members) {
                    self.ids.insert(number, member.change);
                    self.storm.changes[number].is_emergency = false;
                }
                self.releases.push(release.id);
                self.covered.count("release");
            }
            Err(engine::ProposeError::Rejected(_)) => self.covered.count("proposal refused"),
            Err(error) => panic!("seed {}: the release can't be proposed: {error:?}", self.storm.seed),
        }
    }

    async fn vote(&mut self, handle: &Handle, number: usize) {
        let Some(id) = self.ids.get(&number).copied() else { return };
        let voter = if self.storm.changes[number].is_emergency { "dan" } else { "bob" };
        for _ in 0..5 {
            let effect = state(handle, id).await.proposal.effect_digest;
            let vote = Command::Approve { effect, comment: None, signature: None };
            if handle.command(&user(voter), id, vote).await.is_ok() {
                self.covered.count("vote");
                return;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    async fn except(&mut self, handle: &Handle, number: usize, freeze: usize, secs: u64) {
        let Some(id) = self.ids.get(&number).copied() else { return };
        let freezes: Vec<_> = self.storm.entries.iter().filter(|entry| entry.is_freeze).collect();
        let (name, until) = (freezes[freeze].name.clone(), handle.until(Span::secs(secs)));
        let ask = Command::AskException { freeze: name.clone(), until, reason: "drawn".into() };
        // Noted before it counts: who dies between the two has granted it all the same.
        if handle.command(&user("ada"), id, ask).await.is_ok() {
            self.exceptions.push((number, name.clone(), until));
            if handle.command(&user("bob"), id, Command::GrantException { freeze: name, until }).await.is_ok() {
                self.covered.count("exception");
            }
        }
    }

    /// After the storm: nothing fails any more, and people help where only people can. Says who has not come to an end.
    fn calm(&mut self) -> Vec<String> {
        self.fleet.set_moods(None);
        *lock(&self.fate.fatal) = None;
        for target in self.storm.changes.iter().map(|change| change.target.clone()).collect::<Vec<_>>() {
            self.fleet.mend(&target);
        }
        paused().block_on(async {
            self.fleet.live();
            self.fleet.set_burn(0.0);
            let begins = self.fleet.now();
            let handle = self.start(Span::ZERO).await;
            let mut left = self.help(&handle).await;
            while !left.is_empty() && time::between(begins, self.fleet.now()) < CALM {
                tokio::time::sleep(Duration::from_secs(600)).await;
                left = self.help(&handle).await;
            }
            for id in self.releases.clone() {
                let release = handle.release(id).await.expect("the store answers").expect("a release").release;
                if left.is_empty() && !release.phase().is_terminal() {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    let release = handle.release(id).await.expect("the store answers").expect("a release").release;
                    if !release.phase().is_terminal() {
                        left.push(format!("{id} stays {}", release.phase()));
                    }
                }
            }
            self.fleet.rest();
            left
        })
    }

    /// Does for each change what only people can, and says which have not ended.
    async fn help(&mut self, handle: &Handle) -> Vec<String> {
        let mut left = Vec::new();
        for (number, id) in self.ids.clone() {
            let change = state(handle, id).await;
            if change.phase().is_terminal() {
                continue;
            }
            left.push(format!("change {number}, {id}, stays {}: {}", change.phase(), change::explain::status(&change)));
            if let Some((who, command)) = self.help_with(&change) {
                let _ = handle.command(&user(who), id, command).await;
            }
        }
        left
    }

    fn help_with(&self, change: &Change) -> Option<(&'static str, Command)> {
        let by_hand = || Command::CompleteByHand { evidence: "done by hand".into() };
        let withdraw = || Some(("ada", Command::Withdraw { reason: "nobody wants it any more".into() }));
        let stranded =
            change.hold.iter().flat_map(|hold| &hold.gates).any(|gate| gate.code() == Some("after_stranded"));
        let mut gates = change.hold.iter().flat_map(|hold| &hold.gates);
        if gates.any(|gate| gate.code() == Some("emergency_over")) {
            // It has outlasted its emergency: from now on it needs the approval that others need before they begin.
            let effect = change.proposal.effect_digest;
            return Some(("bob", Command::Approve { effect, comment: None, signature: None }));
        }
        match change.phase() {
            Phase::Assessed | Phase::Proposed => withdraw(),
            _ if stranded => withdraw(),
            Phase::RollbackFailed => Some(("bob", by_hand())),
            Phase::Paused { .. } => {
                let rollout = change.rollout()?;
                if rollout.superseded_by.is_some() {
                    return Some(("bob", by_hand()));
                }
                let is_unknown = matches!(rollout.state, StepState::Unknown { .. });
                if !is_unknown && time::between(rollout.started_at, self.fleet.now()) > A_DAY {
                    // Evidence that does not come in a day, people do not wait for: what failed before may outweigh it for long.
                    return Some(("bob", Command::Rollback { reason: "it can't be told".into() }));
                }
                let key = format!("{}/{}/{}", change.id, rollout.step + 1, rollout.attempt);
                let did = self.fleet.calls().iter().any(|call| call.key == key && call.is_effect);
                let found = is_unknown.then_some(if did { Found::Applied } else { Found::NotApplied });
                Some(("bob", Command::Resume { found }))
            }
            _ => None,
        }
    }

    fn log(&self) -> Vec<Recorded> {
        paused().block_on(async { self.store.read_all(0, 1_000_000).await.expect("the store answers") })
    }
}

/// Lives until the end of the life, or its death.
async fn futures_or_death(life: impl Future<Output = ()>, death: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = life => false,
        () = death => true,
    }
}

// ------------------------------------------------------------------------------------------------------------------------------------------ the laws

/// A change as the log tells of it.
#[derive(Default)]
struct Told {
    has_begun: bool,
    is_under_way: bool,
    is_completed: bool,
    vetoed_until: Option<Timestamp>,
    steps: u64,
}

/// A hold as the log tells of it.
struct HoldTold {
    name: String,
    services: BTreeSet<String>,
    until: Timestamp,
    emergency: Passage,
}

/// Reads a log from its beginning and says which laws it breaks.
struct Judge<'a> {
    play: &'a Play,
    numbers: BTreeMap<ChangeId, usize>,
    told: BTreeMap<ChangeId, Told>,
    holds: Vec<HoldTold>,
    broken: Vec<String>,
}

const LAST_STEP: usize = 1;

impl<'a> Judge<'a> {
    fn of(play: &'a Play) -> Self {
        let numbers = play.ids.iter().map(|(number, id)| (*id, *number)).collect();
        Self { play, numbers, told: BTreeMap::new(), holds: vec![], broken: vec![] }
    }

    fn drawn(&self, id: ChangeId) -> Option<(usize, &'a Drawn)> {
        let number = *self.numbers.get(&id)?;
        Some((number, &self.play.storm.changes[number]))
    }

    fn read(&mut self, log: &[Recorded]) {
        for recorded in log {
            match &recorded.event {
                Event::HoldSet(order) => self.holds.push(HoldTold {
                    name: order.hold.clone(),
                    services: order.services.clone(),
                    until: order.until,
                    emergency: order.emergency,
                }),
                Event::HoldReleased { hold, .. } => self.holds.retain(|told| told.name != *hold),
                event => {
                    if let Some(id) = ChangeId::of_stream(&recorded.stream) {
                        self.read_of(id, event, recorded.time);
                    }
                }
            }
        }
    }

    fn read_of(&mut self, id: ChangeId, event: &Event, at: Timestamp) {
        if let Event::StepBegun { step, .. } = event {
            self.begins(id, *step, at);
        }
        let told = self.told.entry(id).or_default();
        match event {
            Event::StepBegun { .. } => {
                (told.has_begun, told.is_under_way) = (true, true);
                told.steps += 1;
            }
            Event::Advanced { step } if *step == LAST_STEP => told.is_under_way = false,
            Event::RollbackBegun { .. } => told.is_under_way = true,
            Event::RolledBack { .. } | Event::CompletedByHand { .. } => told.is_under_way = false,
            Event::Completed => (told.is_completed, told.is_under_way) = (true, false),
            Event::Vetoed { until, .. } => told.vetoed_until = Some(*until),
            Event::VetoLifted { .. } => told.vetoed_until = None,
            _ => {}
        }
    }

    /// A step begins: everything that could have held it is asked.
    fn begins(&mut self, id: ChangeId, step: usize, at: Timestamp) {
        let Some((number, change)) = self.drawn(id) else {
            return self.broken.push(format!("{id} began, and nobody proposed it"));
        };
        self.calendar(id, number, change, step, at);
        self.people(id, change, step, at);
        if !self.told.get(&id).is_some_and(|told| told.has_begun) {
            self.neighbours(id, change);
            self.sequence(id, number);
        } else if let Some(other) = self.on_target(id, change) {
            self.broken.push(format!("target: {id} went on at `{}` while {other} was under way there", change.target));
        }
    }

    fn calendar(&mut self, id: ChangeId, number: usize, change: &Drawn, step: usize, at: Timestamp) {
        for freeze in self.play.storm.frozen(change, at) {
            let passes = change.is_emergency && !freeze.forbids_emergencies;
            let exceptions = &self.play.exceptions;
            let excepted =
                exceptions.iter().any(|(of, name, until)| *of == number && *name == freeze.name && at < *until);
            if !passes && !excepted {
                self.broken
                    .push(format!("calendar: step {step} of {id} began at `{at}` in the freeze `{}`", freeze.name));
            }
        }
        if !change.is_emergency && self.play.storm.is_outside_of_windows(change, at) {
            self.broken.push(format!("calendar: step {step} of {id} began at `{at}` outside of its windows"));
        }
    }

    fn people(&mut self, id: ChangeId, change: &Drawn, step: usize, at: Timestamp) {
        let held = self.holds.iter().find(|hold| {
            let covers = hold.services.iter().any(|service| change.services.contains(&service.as_str()));
            covers && at < hold.until && !(change.is_emergency && hold.emergency == Passage::Allow)
        });
        if let Some(hold) = held {
            self.broken.push(format!("people: step {step} of {id} began at `{at}` under {}", hold.name));
        }
        if let Some(until) = self.told.get(&id).and_then(|told| told.vetoed_until).filter(|until| at < *until) {
            self.broken.push(format!("people: step {step} of {id} began at `{at}`, vetoed until `{until}`"));
        }
    }

    fn under_way(&self, but: ChangeId) -> impl Iterator<Item = (ChangeId, &'a Drawn)> {
        let others = self.told.iter().filter(move |(id, told)| **id != but && told.is_under_way);
        others.filter_map(|(id, _)| Some((*id, self.drawn(*id)?.1)))
    }

    fn on_target(&self, id: ChangeId, change: &Drawn) -> Option<ChangeId> {
        self.under_way(id).find(|(_, other)| other.target == change.target).map(|(other, _)| other)
    }

    fn neighbours(&mut self, id: ChangeId, change: &Drawn) {
        if let Some(other) = self.on_target(id, change) {
            self.broken.push(format!("target: {id} began at `{}` while {other} was under way there", change.target));
        }
        let storm = &self.play.storm;
        let together = |a: ChangeId, b: ChangeId| self.is_of_release(a) && self.is_of_release(b);
        let met: Vec<String> = self
            .under_way(id)
            .filter(|(other, _)| !together(id, *other))
            .filter(|(_, other)| storm.must_queue(change, other) || storm.must_queue_as_neighbours(change, other))
            .map(|(other, _)| format!("conflicts: {id} began while {other} was under way, and they must queue"))
            .collect();
        self.broken.extend(met);
    }

    fn is_of_release(&self, id: ChangeId) -> bool {
        let number = self.numbers.get(&id);
        let pairs = self.play.storm.deeds.iter().filter_map(|(_, deed)| match deed {
            Deed::ProposeRelease(first, second) => Some([*first, *second]),
            _ => None,
        });
        pairs.flatten().any(|of| Some(&of) == number)
    }

    fn sequence(&mut self, id: ChangeId, number: usize) {
        for other in &self.play.storm.changes[number].after {
            let Some(before) = self.play.ids.get(other).filter(|before| **before < id) else { continue };
            // Members of one release were proposed at once: neither could name the other, and their release keeps their order.
            if self.is_of_release(id) && self.is_of_release(*before) {
                continue;
            }
            if !self.told.get(before).is_some_and(|told| told.is_completed) {
                self.broken
                    .push(format!("sequence: {id} began, and {before}, which it comes after, was not completed"));
            }
        }
    }

    /// What the targets saw: no step has its effect twice, and nothing is done for a change by two engines at once.
    fn targets(&mut self, calls: &[FleetCall]) {
        let mut effects: BTreeMap<&str, u32> = BTreeMap::new();
        for call in calls.iter().filter(|call| !call.is_undo() && call.is_effect) {
            let step = call.key.rsplit_once('/').map_or(call.key.as_str(), |(step, _)| step);
            *effects.entry(step).or_default() += 1;
        }
        for (step, times) in effects.iter().filter(|(_, times)| **times > 1) {
            self.broken.push(format!("effects: {step} was done {times} times"));
        }
        self.broken.extend(done_by_two_at_once(calls));
    }

    /// Rollbacks come at once, and no entry is dated as no clock was.
    fn stamps(&mut self, calls: &[FleetCall]) {
        let (stamps, jumps) = (lock(&self.play.fate.stamps), lock(&self.play.fate.jumps));
        for stamp in stamps.iter() {
            let second = Span::secs(1);
            let jumped =
                jumps.iter().any(|at| time::between(*at, stamp.at).max(time::between(stamp.at, *at)) <= second);
            if !jumped && time::between(stamp.said, stamp.wall).max(time::between(stamp.wall, stamp.said)) > second {
                self.broken.push(format!("clock: {} is dated `{}` at `{}`", stamp.id, stamp.said, stamp.wall));
            }
            if stamp.is_rollback {
                let by = time::after(stamp.at, AT_ONCE);
                let undone =
                    calls.iter().filter(|call| call.change == stamp.id && call.is_undo() && call.at >= stamp.at);
                let first = undone.filter_map(|call| call.ended).min();
                if first.is_none_or(|at| at > by) {
                    self.broken.push(format!(
                        "rollback: {} begins at `{}`, and the target hears of it at {first:?}",
                        stamp.id, stamp.at
                    ));
                }
            }
        }
    }
}

/// The calls of two engines for one change that overlap.
fn done_by_two_at_once(calls: &[FleetCall]) -> Vec<String> {
    let mut found = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let Some(ended) = call.ended else { continue };
        let overlaps = |other: &&FleetCall| {
            other.change == call.change && other.replica != call.replica && other.at < ended && other.at >= call.at
        };
        if let Some(other) = calls[i + 1..].iter().find(overlaps) {
            found.push(format!(
                "engines: {} and {} both did `{}` at `{}`",
                call.replica, other.replica, other.key, other.at
            ));
        }
    }
    found
}

/// Plays one seed, and says which laws were broken and what was covered.
fn play(seed: u64, flaw: Flaw, scrub: &Arc<dyn Scrub>) -> (Vec<String>, Covered) {
    let mut play = Play::of(seed, flaw, scrub);
    play.rage();
    let left = play.calm();
    let (log, calls) = (play.log(), play.fleet.calls());
    let mut judge = Judge::of(&play);
    judge.read(&log);
    judge.targets(&calls);
    judge.stamps(&calls);
    judge.broken.extend(left.into_iter().map(|who| format!("waits for ever: {who}")));
    let broken = judge.broken;
    if number("CLEARWAY_SEED").is_some() {
        tell(&log, &calls);
    }
    let mut covered = play.covered.clone();
    let steps: u64 = judge.told.values().map(|told| told.steps).sum();
    covered.0.insert("step".into(), steps);
    covered.0.insert("engine".into(), play.engines);
    covered.0.extend(lock(&play.fate.deaths).clone());
    for recorded in &log {
        match &recorded.event {
            Event::RollbackBegun { .. } => covered.count("rollback"),
            Event::RollbackFailed { .. } => covered.count("rollback that failed"),
            Event::CalendarClosed { .. } => covered.count("calendar that closed in mid-rollout"),
            Event::Superseded { .. } => covered.count("superseded change"),
            Event::Held { .. } => covered.count("wait"),
            Event::StepFailed { .. } => covered.count("step that failed"),
            Event::Completed => covered.count("completed change"),
            Event::BudgetDrawn { .. } => covered.count("place of a budget"),
            _ => {}
        }
    }
    (broken, covered)
}

/// The story of a seed that is played alone.
fn tell(log: &[Recorded], calls: &[FleetCall]) {
    for recorded in log.iter().filter(|recorded| !recorded.stream.starts_with("lane/")) {
        let event = serde_json::to_string(&recorded.event).unwrap_or_default();
        let event: String = event.chars().take(300).collect();
        println!("{} {} {} {event}", recorded.time, recorded.stream, change::explain::actor(&recorded.actor));
    }
    calls.iter().for_each(|call| println!("{call:?}"));
}

fn scrubber() -> Arc<dyn Scrub> {
    Arc::new(drivers::read::secrets::Scrubber::default())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// Plays seeds on all cores, until one of them fails.
fn play_all(
    seeds: std::ops::Range<u64>,
    flaw: Flaw,
    stops: impl Fn(&[String]) -> bool + Sync,
) -> (Vec<(u64, Vec<String>)>, Covered, u64) {
    let (scrub, next) = (scrubber(), AtomicU64::new(seeds.start));
    let found = Mutex::new((Vec::new(), Covered::default(), 0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let (broken, covered) = play(seed, flaw, &scrub);
                    let mut found = lock(&found);
                    found.1.and(&covered);
                    found.2 += 1;
                    if !broken.is_empty() {
                        if stops(&broken) {
                            next.store(seeds.end, Ordering::SeqCst);
                        }
                        found.0.push((seed, broken));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a run of many seeds has to have met, each at least once.
const SORTS: [&str; 24] = [
    "change",
    "emergency",
    "release",
    "step",
    "wait",
    "completed change",
    "rollback",
    "exception",
    "hold",
    "veto",
    "pause",
    "rollback asked for",
    "version that fails",
    "burn",
    "step that failed",
    "calendar that closed in mid-rollout",
    "superseded change",
    "proposal refused",
    "clock back",
    "clock forward",
    "kill",
    "second engine",
    "second engine, an hour behind",
    "place of a budget",
];

// LC4, LC7, F8, F9: whatever calendars, people, faults and clocks do, the laws hold.
#[test]
fn no_storm_breaks_a_law() {
    play_and_tell(number("CLEARWAY_SEEDS").unwrap_or(40));
}

/// Plays as many seeds as are asked for, and prints what they covered.
///
/// # Panics
/// If a law is broken, or the seeds have not met everything.
pub(crate) fn play_and_tell(seeds: u64) {
    let only = number("CLEARWAY_SEED");
    let seeds = only.map_or(0..seeds, |seed| seed..seed + 1);
    let begun = std::time::Instant::now();
    let (broken, covered, played) = play_all(seeds, Flaw::None, |_| number("CLEARWAY_ALL").is_none());
    let all: Vec<String> = covered.0.iter().map(|(what, times)| format!("{times} x {what}")).collect();
    println!("{played} seeds in {:.1} s: {}", begun.elapsed().as_secs_f64(), all.join(", "));
    if let Some((seed, laws)) = broken.first() {
        let again =
            format!("CLEARWAY_SEED={seed} cargo nextest run --workspace --no-capture -E 'test(no_storm_breaks_a_law)'");
        panic!("seed {seed} breaks {} laws; to play it again:\n  {again}\n{}", laws.len(), laws.join("\n"));
    }
    if only.is_none() {
        let missing: Vec<&str> = SORTS.into_iter().filter(|sort| !covered.0.contains_key(*sort)).collect();
        assert!(missing.is_empty(), "these {played} seeds never met {missing:?}: play more");
        let deaths = covered.0.keys().filter(|what| what.starts_with("death at")).count();
        assert!(deaths >= 4, "an engine died at {deaths} places of the log only");
    }
}

// A law that can't be broken shows nothing: these are broken where something is kept from the engine.
#[test]
fn every_flaw_of_the_world_is_caught_by_a_law() {
    let flaws = [
        (Flaw::UntoldCalendar, "calendar: "),
        (Flaw::UntoldConflicts, "conflicts: "),
        (Flaw::LanesApart, "target: "),
        (Flaw::ForgetfulDriver, "effects: "),
        (Flaw::LostBeginnings, "waits for ever: "),
        (Flaw::LazyRollbacks, "rollback: "),
    ];
    for (flaw, law) in flaws {
        let names = |broken: &[String]| broken.iter().any(|what| what.starts_with(law));
        let (broken, _, played) = play_all(0..40, flaw, names);
        let caught = broken.iter().any(|(_, broken)| names(broken));
        assert!(caught, "{played} seeds with {flaw:?} broke no law `{law}`, but {broken:?}");
        println!("{flaw:?}: caught within {played} seeds");
    }
}
