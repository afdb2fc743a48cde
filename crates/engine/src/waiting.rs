//! Waiting: every change that has nothing to do now, by what could move it, and the one task that wakes those concerned.
//!
//! A change that waits has no task: only its entry here, and an event or an instant puts it into the line of those that are asked. Nothing here is lost
//! by a crash, because all of it follows from the rows of the changes and the log: [`Engine::take_up_all`] derives it anew. An instant is one of the wall
//! clock, which is looked at again and again: whatever it jumps, what is due is asked, and the core decides what follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use change::lifecycle::Stage;
use change::waiting::{self, Needs, Wait};
use change::{Change, ChangeId, Timestamp, due};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::handle::Engine;
use crate::ports::{ListQuery, StoreError};

/// How often the wall clock is looked at in any case: a bound on how late a jump is noticed.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);
/// How many changes that wait are asked at once. A rollout is asked beside them and never stands in their line.
const SEATS: usize = 256;
/// How many of the last moves are remembered, for those that were being asked in that moment.
const MOVES: usize = 4_096;

/// The changes that wait.
pub(crate) struct Waiting {
    index: Mutex<Index>,
    bell: Notify,
    seats: Arc<Semaphore>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { index: Mutex::default(), bell: Notify::new(), seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

#[derive(Default)]
struct Index {
    entries: BTreeMap<ChangeId, Wait>,
    /// Every entry, by when it is asked again.
    timers: BTreeSet<(Timestamp, ChangeId)>,
    /// Every entry, by what could move it before.
    by_need: BTreeSet<(Needs, ChangeId)>,
    /// Those that are asked next, each once.
    line: VecDeque<ChangeId>,
    in_line: BTreeSet<ChangeId>,
    /// The last things that have moved, with their numbers.
    moves: VecDeque<(u64, Needs)>,
    moved: u64,
    /// How many were put into the line, of all time.
    woken: u64,
}

/// How many wait, and how many were woken of all time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub waiting: usize,
    pub in_line: usize,
    pub woken: u64,
}

impl Index {
    fn put(&mut self, id: ChangeId, wait: Wait) {
        self.take(id);
        self.entries.insert(id, wait);
        self.timers.insert((wait.at, id));
        self.by_need.insert((wait.needs, id));
    }

    fn take(&mut self, id: ChangeId) {
        if let Some(wait) = self.entries.remove(&id) {
            self.timers.remove(&(wait.at, id));
            self.by_need.remove(&(wait.needs, id));
        }
    }

    fn line_up(&mut self, id: ChangeId) {
        self.take(id);
        if self.in_line.insert(id) {
            self.line.push_back(id);
            self.woken += 1;
        }
    }

    fn next(&mut self) -> Option<ChangeId> {
        let id = self.line.pop_front()?;
        self.in_line.remove(&id);
        Some(id)
    }

    /// Notes that something has moved, and lines up those that wait for it.
    fn moved(&mut self, needs: Needs) {
        self.moved += 1;
        self.moves.push_back((self.moved, needs));
        if self.moves.len() > MOVES {
            self.moves.pop_front();
        }
        let first = ChangeId::new(0);
        let range = (needs, first)..=(needs, ChangeId::new(u64::MAX));
        let concerned: Vec<ChangeId> = self.by_need.range(range).map(|(_, id)| *id).collect();
        concerned.into_iter().for_each(|id| self.line_up(id));
    }

    /// Whether what somebody is to wait for has moved since they were asked. What is not remembered any more may have.
    fn has_moved_since(&self, asked_at: u64, needs: Needs) -> bool {
        let forgotten = self.moved - asked_at > self.moves.len() as u64;
        forgotten || self.moves.iter().rev().take_while(|(n, _)| *n > asked_at).any(|(_, moved)| *moved == needs)
    }

    /// Lines up those whose instant has come, and says when the next one does.
    fn tick(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some((at, id)) = self.timers.first().copied() {
            if at > now {
                return Some(at);
            }
            self.line_up(id);
        }
        None
    }
}

impl Waiting {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of moves until now: to be asked for before a change is.
    pub(crate) fn moves(&self) -> u64 {
        self.index().moved
    }

    /// Lets a change wait, unless what it is to wait for has moved since it was asked.
    pub(crate) fn rest(&self, id: ChangeId, wait: Wait, asked_at: u64) -> bool {
        let mut index = self.index();
        if index.has_moved_since(asked_at, wait.needs) {
            return false;
        }
        let is_first = index.timers.first().is_none_or(|(at, _)| wait.at < *at);
        index.put(id, wait);
        drop(index);
        if is_first {
            self.bell.notify_one();
        }
        true
    }

    /// A change is asked now: it does not wait any more.
    pub(crate) fn leave(&self, id: ChangeId) {
        self.index().take(id);
    }

    pub(crate) fn line_up(&self, ids: impl IntoIterator<Item = ChangeId>) {
        let mut index = self.index();
        ids.into_iter().for_each(|id| index.line_up(id));
        drop(index);
        self.bell.notify_one();
    }

    /// Something has moved: those that wait for it are asked.
    pub(crate) fn moved(&self, needs: Needs) {
        self.index().moved(needs);
        self.bell.notify_one();
    }

    fn line_up_all(&self) {
        let mut index = self.index();
        // Whoever is being asked in this moment is asked once more.
        index.moved += 1;
        index.moves.clear();
        let all: Vec<ChangeId> = index.entries.keys().copied().collect();
        all.into_iter().for_each(|id| index.line_up(id));
        drop(index);
        self.bell.notify_one();
    }

    pub(crate) fn count(&self) -> Count {
        let index = self.index();
        Count { waiting: index.entries.len(), in_line: index.line.len(), woken: index.woken }
    }
}

/// The right to be asked, among those that wait.
pub(crate) type Seat = OwnedSemaphorePermit;

impl Engine {
    /// Wakes those in the line, and those whose instant comes, until the engine stops.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let mut rules = self.in_force();
        let mut standing_in = self.standing_in().await;
        loop {
            // An end of a role or of a delegation is an event that nobody writes.
            let (newest, now_in) = (self.in_force(), self.standing_in().await);
            if rules.governance.digest == newest.governance.digest && rules.ends() != newest.ends() {
                self.ask_all();
            } else if standing_in != now_in || !newest.has_turns_of(&rules) {
                self.has_moved([Needs::People].into());
            }
            (rules, standing_in) = (newest, now_in);
            let now = change::time::to_millis(self.clock.now());
            let next = self.waiting.index().tick(now);
            if !self.serve_line().await {
                return;
            }
            let until = next.map_or(LOOK_AT_CLOCK, |at| {
                Duration::from_millis(change::time::between(now, at).as_millis().max(1)).min(LOOK_AT_CLOCK)
            });
            tokio::select! {
                () = self.waiting.bell.notified() => {}
                () = tokio::time::sleep(until) => {}
                () = self.is_stopping() => return,
            }
        }
    }

    /// Gives each in the line a seat, in their order. Says whether the engine goes on.
    async fn serve_line(self: &Arc<Self>) -> bool {
        loop {
            let Some(id) = self.waiting.index().next() else { return true };
            tokio::select! {
                seat = self.waiting.seats.clone().acquire_owned() => match seat {
                    Ok(seat) => self.clone().wake_with(id, Some(seat)),
                    Err(_) => return false,
                },
                () = self.is_stopping() => return false,
            }
        }
    }

    /// How many speak for others now; a store that fails says nothing new.
    async fn standing_in(&self) -> Option<usize> {
        let now = self.clock.now();
        self.with_folds(|folds| folds.circumstances.delegations(now).count()).await.ok()
    }

    /// Asks every change that has something to do, or may have: by the rows as they are, however the last run ended. With `all`, those that wait too.
    pub(crate) async fn take_up_all(self: &Arc<Self>, all: bool) -> Result<(), StoreError> {
        let mut query = ListQuery { limit: 1_000, ..ListQuery::default() };
        loop {
            let rows = self.store.list(&query).await?;
            for row in rows.iter().filter(|row| row.active) {
                match row.change() {
                    Ok(change) => self.take_up_one(&change, all).await?,
                    // It is folded anew from its log when it is asked.
                    Err(_) => self.waiting.line_up([row.id]),
                }
            }
            match rows.last() {
                Some(last) if rows.len() == query.limit => query.before = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    async fn take_up_one(self: &Arc<Self>, change: &Change, all: bool) -> Result<(), StoreError> {
        if change.rollout().is_some() {
            self.clone().wake(change.id);
        } else if all || self.may_move(change).await? {
            self.waiting.line_up([change.id]);
        } else {
            let now = change::time::to_millis(self.clock.now());
            let asked_at = self.waiting.moves();
            let due_at = [due(change, now).wake_at, self.ages_at(change).await?].into_iter().flatten().min();
            let wait = waiting::of(change, due_at, now, self.settings.recheck);
            if !self.waiting.rest(change.id, wait, asked_at) {
                self.waiting.line_up([change.id]);
            }
        }
        Ok(())
    }

    /// Whether something may be due for a change that waits: what it waits for may have moved while nobody listened.
    async fn may_move(&self, change: &Change) -> Result<bool, StoreError> {
        let now = change::time::to_millis(self.clock.now());
        let due = due(change, now);
        let is_held = matches!(change.stage, Stage::Scheduled { .. }) && change.hold.is_some();
        let has_nothing_else = due.intents.is_empty() || is_held && due.intents == [change::Intent::BeginStep];
        if !has_nothing_else || self.is_denied_by_older_rules(change) {
            return Ok(true);
        }
        let wait = waiting::of(change, due.wake_at, now, self.settings.recheck);
        self.with_folds(|folds| match wait.needs {
            Needs::Change(behind) => !folds.traffic.is_in_the_way(behind),
            Needs::Stop => folds.circumstances.stopped().is_none(),
            Needs::Hold | Needs::Budget | Needs::Batch => true,
            Needs::Time | Needs::People => false,
        })
        .await
    }

    /// Asks everything, as other rules are in force.
    pub(crate) fn ask_all(self: &Arc<Self>) {
        self.waiting.line_up_all();
        self.notify_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use change::Span;
    use change::time::after;

    const EPOCH: Timestamp = Timestamp::UNIX_EPOCH;

    fn id(number: u64) -> ChangeId {
        ChangeId::new(number)
    }

    fn wait(secs: u64, needs: Needs) -> Wait {
        Wait { at: after(EPOCH, Span::secs(secs)), needs }
    }

    fn drained(index: &mut Index) -> Vec<u64> {
        std::iter::from_fn(|| index.next()).map(ChangeId::number).collect()
    }

    #[test]
    fn an_event_wakes_those_that_wait_for_it_and_nobody_else() {
        let mut index = Index::default();
        for n in 2..1_000 {
            index.put(id(n), wait(n, Needs::Change(id(n - 1))));
        }
        index.put(id(2_000), wait(9, Needs::People));
        index.moved(Needs::Change(id(41)));
        assert_eq!(drained(&mut index), [42]);
        index.moved(Needs::People);
        assert_eq!((drained(&mut index), index.woken, index.entries.len()), (vec![2_000], 2, 997));
    }

    #[test]
    fn every_instant_wakes_once_whatever_the_clock_jumps() {
        let mut index = Index::default();
        for n in 1..=5 {
            index.put(id(n), wait(n * 100, Needs::Time));
        }
        let at = |secs| after(EPOCH, Span::secs(secs));
        assert_eq!(index.tick(at(250)), Some(at(300)));
        assert_eq!(drained(&mut index), [1, 2]);
        assert_eq!(
            (index.tick(at(10)), drained(&mut index)),
            (Some(at(300)), vec![]),
            "an hour back wakes nobody twice"
        );
        assert_eq!((index.tick(at(86_400)), drained(&mut index)), (None, vec![3, 4, 5]), "a day forward loses nobody");
    }

    #[test]
    fn who_is_asked_while_it_moves_does_not_wait_for_it() {
        let waiting = Waiting::default();
        let asked_at = waiting.moves();
        waiting.moved(Needs::Change(id(1)));
        assert!(!waiting.rest(id(2), wait(9, Needs::Change(id(1))), asked_at));
        assert!(waiting.rest(id(2), wait(9, Needs::Change(id(3))), asked_at));
        let asked_at = waiting.moves();
        (0..=MOVES as u64).for_each(|n| waiting.moved(Needs::Change(id(100 + n))));
        assert!(!waiting.rest(id(4), wait(9, Needs::Change(id(1))), asked_at), "what is forgotten may have moved");
    }
}
