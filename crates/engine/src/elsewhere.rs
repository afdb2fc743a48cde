//! Elsewhere: what another loop over the same store has written, passed on to those here whom it concerns.
//!
//! The end of the log is looked at every other second, and only what this loop has not written itself is read. It is no more than a hint, as everything
//! that wakes a change: whoever is woken asks anew. Must never ask all that wait because of something that concerns one. Next:
//! [`waiting`](crate::waiting).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use change::waiting::Needs;
use change::{ChangeId, Event, ReleaseId};

use crate::handle::Engine;
use crate::ports::{Appended, Recorded, StoreError};

/// How many entries are read at once.
const MOST: usize = 1_000;

/// Up to where the log is known here, and what this loop has written beyond that.
#[derive(Default)]
pub(crate) struct Elsewhere(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Nothing before this loop has written for the first time: all before it is taken up at the start.
    until: Option<u64>,
    own: BTreeSet<u64>,
}

/// Whom the news concern.
#[derive(Debug, Default, PartialEq, Eq)]
struct Concerned {
    /// Those that have moved themselves, or have another place now.
    changes: BTreeSet<ChangeId>,
    /// Those for which others may wait.
    ahead: BTreeSet<ChangeId>,
    /// Those that were approved, and may take the place of others.
    approved: BTreeSet<ChangeId>,
    releases: BTreeSet<ReleaseId>,
    /// What has moved that belongs to no change.
    needs: BTreeSet<Needs>,
}

impl Elsewhere {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This loop has written it, and has told whom it concerns.
    pub(crate) fn is_own(&self, appended: &Appended) {
        let mut known = self.known();
        if known.until.is_none() {
            known.until = Some(appended.size);
            return;
        }
        known.own.extend(&appended.positions);
    }

    /// The first position that this loop has not written; nothing before it has written at all.
    fn next(&self) -> Option<u64> {
        let mut known = self.known();
        let mut next = known.until?;
        while known.own.remove(&next) {
            next += 1;
        }
        known.until = Some(next);
        Some(next)
    }

    /// What of these entries is not its own; all of them are known from now on.
    fn news(&self, entries: Vec<Recorded>) -> Vec<Recorded> {
        let mut known = self.known();
        let Some(last) = entries.last().map(|recorded| recorded.position) else { return vec![] };
        known.until = Some(last + 1);
        let later = known.own.split_off(&(last + 1));
        let own = std::mem::replace(&mut known.own, later);
        entries.into_iter().filter(|recorded| !own.contains(&recorded.position)).collect()
    }
}

impl Concerned {
    fn of(news: &[Recorded]) -> Self {
        let mut concerned = Self::default();
        news.iter().for_each(|recorded| concerned.add(recorded));
        concerned
    }

    fn add(&mut self, recorded: &Recorded) {
        if let Some(id) = ChangeId::of_stream(&recorded.stream) {
            self.add_of_change(id, &recorded.event);
            return;
        }
        match &recorded.event {
            Event::LaneTaken { change } | Event::LaneFreed { change } => {
                self.ahead.insert(*change);
            }
            Event::ReleaseProposed { release, .. }
            | Event::ReleaseMoved { release, .. }
            | Event::ReleaseStopped { release, .. }
            | Event::ReleaseStuck { release, .. }
            | Event::ReleasePassed { release }
            | Event::ReleaseWithdrawn { release, .. } => {
                self.releases.insert(*release);
            }
            event => self.needs.extend(Needs::moved_by(event)),
        }
    }

    fn add_of_change(&mut self, id: ChangeId, event: &Event) {
        self.changes.insert(id);
        match event {
            Event::Superseded { by } => {
                self.changes.insert(*by);
                self.ahead.insert(id);
            }
            Event::Scheduled { .. } => {
                self.approved.insert(id);
            }
            // What ends it, or takes it out of the line of those that wait.
            Event::Withdrawn { .. }
            | Event::Refused { .. }
            | Event::Lapsed { .. }
            | Event::Completed
            | Event::RolledBack { .. }
            | Event::CompletedByHand { .. }
            | Event::Amended { .. }
            | Event::Assessed(_)
            | Event::VotesVoided { .. }
            | Event::TakenBack { .. }
            | Event::ChangesRequested { .. }
            | Event::Held { .. } => {
                self.ahead.insert(id);
            }
            _ => {}
        }
    }
}

impl Engine {
    /// Passes on what others write, until the engine stops.
    pub(crate) async fn listen_elsewhere(self: Arc<Self>) {
        let every = Duration::from_millis(self.settings.elsewhere_every.as_millis());
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.is_stopping() => return,
            }
            if let Err(error) = self.hear().await {
                tracing::error!(%error, "the log could not be read for what others have written; asking again");
            }
        }
    }

    async fn hear(self: &Arc<Self>) -> Result<(), StoreError> {
        while let Some(from) = self.elsewhere.next() {
            let entries = self.store.read_all(from, MOST).await?;
            let is_last = entries.len() < MOST;
            let news = self.elsewhere.news(entries);
            self.pass_on(Concerned::of(&news)).await?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    async fn pass_on(self: &Arc<Self>, concerned: Concerned) -> Result<(), StoreError> {
        let Concerned { changes, ahead, approved, releases, needs } = concerned;
        changes.into_iter().for_each(|id| self.clone().wake(id));
        ahead.into_iter().for_each(|id| self.waiting.moved(Needs::Change(id)));
        for id in approved {
            self.wake_older(id).await?;
        }
        for id in releases {
            if let Some(release) = self.release(id).await? {
                self.wake_members(&release);
            }
        }
        self.has_moved(needs);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use change::{Actor, Timestamp};

    fn recorded(position: u64, stream: &str, event: Event) -> Recorded {
        let actor = Actor::Clearway(change::actor::Part::Clock);
        let stream = stream.to_owned();
        Recorded { position, stream, version: 1, time: Timestamp::UNIX_EPOCH, actor, change: None, event }
    }

    #[test]
    fn what_this_loop_has_written_is_not_heard_and_what_another_has_is_heard_once() {
        let elsewhere = Elsewhere::default();
        let wrote = |positions: &[u64], size| elsewhere.is_own(&Appended { positions: positions.to_vec(), size });
        assert_eq!(elsewhere.next(), None, "before its first entry everything is taken up anyway");
        wrote(&[4], 5);
        wrote(&[5, 6], 7);
        wrote(&[8], 9);
        assert_eq!(elsewhere.next(), Some(7));
        let entry = |position| recorded(position, "x", Event::Released);
        let heard: Vec<u64> = elsewhere.news(vec![entry(7), entry(8), entry(9)]).iter().map(|r| r.position).collect();
        assert_eq!((heard, elsewhere.next()), (vec![7, 9], Some(10)));
    }

    #[test]
    fn who_waits_for_one_change_is_concerned_by_it_alone() {
        let id = ChangeId::new(7);
        let of = |event| Concerned::of(&[recorded(1, &id.stream(), event)]);
        assert_eq!(
            of(Event::Completed),
            Concerned { changes: [id].into(), ahead: [id].into(), ..Concerned::default() }
        );
        assert_eq!(of(Event::Released), Concerned { changes: [id].into(), ..Concerned::default() });
        let freed = Concerned::of(&[recorded(1, "lane/shop", Event::LaneFreed { change: id })]);
        assert_eq!(freed, Concerned { ahead: [id].into(), ..Concerned::default() });
        let stopped = Concerned::of(&[recorded(1, "stops", Event::AllStopped { reason: "down".into() })]);
        assert_eq!(stopped, Concerned { needs: [Needs::Stop].into(), ..Concerned::default() });
    }
}
