//! Traffic: who is where, and who waits for what: the little that has to be known of all changes that have not ended.
//!
//! A fold over every stream of the log, with an index by place, so that a gate costs what is near a change and not how many changes there are. A change
//! that waits costs its entry alone; names are kept once. Must never decide when something begins: [`gate`](crate::gate) does, for one change at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Conflict, ConflictRules, RISKS, Ruling, Stands, Then, near, stream};
use crate::assessment::Risk;
use crate::calendar::Passage;
use crate::catalog::Catalog;
use crate::gate::{Gate, GateName};
use crate::governance::Asks;
use crate::id::ChangeId;
use crate::lane;
use crate::lifecycle::{Change, Event};
use crate::proposal::{Kind, Proposal};

/// The fold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// The services that were ever changed, each in its environment, by stream.
    sectors: BTreeMap<String, Sector>,
    flights: BTreeMap<ChangeId, Flight>,
    /// Those that wait for another change and nothing else, by the streams of their services and targets, in the order of their approval.
    queues: BTreeMap<String, BTreeSet<(u64, ChangeId)>>,
    /// All of them by the streams of their services.
    present: BTreeMap<String, BTreeSet<ChangeId>>,
    names: Names,
}

/// A service in an environment.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sector {
    /// The number of events in its stream.
    version: u64,
    holders: BTreeSet<ChangeId>,
}

/// What is known of a change that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    owner: Arc<String>,
    environment: Arc<String>,
    services: Arc<BTreeSet<String>>,
    resources: Arc<BTreeSet<String>>,
    after: Arc<BTreeSet<ChangeId>>,
    kind: Kind,
    /// Unknown before policy has answered.
    risk: Option<Risk>,
    is_emergency: bool,
    /// Its place in every queue: the position at which it was approved.
    ticket: Option<u64>,
    stands: At,
    /// The number of events in its stream.
    version: u64,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// It waits for something beside another change: an answer, a time, a target.
    Waiting,
    /// It waits for another change and nothing else.
    Queued,
    Begun,
}

/// Every name once, however many changes share it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Names {
    texts: BTreeSet<Arc<String>>,
    sets: BTreeSet<Arc<BTreeSet<String>>>,
    ids: BTreeSet<Arc<BTreeSet<ChangeId>>>,
}

fn shared<T: Ord + Clone>(known: &mut BTreeSet<Arc<T>>, value: &T) -> Arc<T> {
    if let Some(one) = known.get(value) {
        return one.clone();
    }
    let one = Arc::new(value.clone());
    known.insert(one.clone());
    one
}

/// One entry of the log.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    pub stream: &'a str,
    /// From 1 in its stream.
    pub version: u64,
    pub position: u64,
    pub event: &'a Event,
}

impl Traffic {
    /// Adds one entry of any stream, in the order of the log.
    pub fn add(&mut self, news: News<'_>) {
        if news.stream.starts_with("sector/") {
            return self.add_to_sector(news);
        }
        let Some(id) = ChangeId::of_stream(news.stream) else { return };
        let Some(mut flight) = self.remove(id).or_else(|| first(&mut self.names, news.event)) else { return };
        flight.version = news.version;
        if self.fold(&mut flight, news) {
            self.insert(id, flight);
        }
    }

    fn add_to_sector(&mut self, news: News<'_>) {
        let sector = self.sectors.entry(news.stream.to_owned()).or_default();
        sector.version = news.version;
        match news.event {
            Event::LaneTaken { change } => {
                sector.holders.insert(*change);
            }
            Event::LaneFreed { change } => {
                sector.holders.remove(change);
            }
            _ => {}
        }
    }

    /// Says whether it is still to be known.
    fn fold(&mut self, flight: &mut Flight, news: News<'_>) -> bool {
        match news.event {
            Event::Amended { proposal, .. } => *flight = self.names.flight(proposal).at_version(news.version),
            Event::VotesVoided { .. } | Event::TakenBack { .. } | Event::ChangesRequested { .. }
                if flight.stands != At::Begun =>
            {
                (flight.ticket, flight.stands) = (None, At::Waiting);
            }
            Event::Assessed(assessment) => {
                flight.risk = Some(assessment.level);
                // Its hold falls with the old answer: it has a place again once it was asked anew.
                flight.wait_again();
            }
            Event::Scheduled { .. } => (flight.ticket, flight.stands) = (Some(news.position), At::Waiting),
            Event::Held { gates } if flight.stands != At::Begun => {
                flight.stands = if waits_for_another_alone(gates) { At::Queued } else { At::Waiting };
            }
            Event::StepBegun { .. } => flight.stands = At::Begun,
            Event::Superseded { by } => {
                self.inherit(*by, flight.ticket);
                return false;
            }
            Event::Withdrawn { .. }
            | Event::Refused { .. }
            | Event::Lapsed { .. }
            | Event::Completed
            | Event::RolledBack { .. }
            | Event::CompletedByHand { .. } => return false,
            _ => {}
        }
        true
    }

    /// Whoever takes the place of another has its place in the queue too.
    fn inherit(&mut self, by: ChangeId, ticket: Option<u64>) {
        let Some(mut flight) = self.remove(by) else { return };
        if flight.stands != At::Begun && flight.ticket.is_some() {
            flight.ticket = [flight.ticket, ticket].into_iter().flatten().min();
        }
        self.insert(by, flight);
    }

    fn remove(&mut self, id: ChangeId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        if let Some(ticket) = flight.queued() {
            for place in flight.places() {
                take_out(&mut self.queues, &place, &(ticket, id));
            }
        }
        for place in flight.sectors() {
            take_out(&mut self.present, &place, &id);
        }
        Some(flight)
    }

    fn insert(&mut self, id: ChangeId, flight: Flight) {
        if let Some(ticket) = flight.queued() {
            for place in flight.places() {
                self.queues.entry(place).or_default().insert((ticket, id));
            }
        }
        for place in flight.sectors() {
            self.present.entry(place).or_default().insert(id);
        }
        self.flights.insert(id, flight);
    }

    /// The number of events in the stream of a sector.
    pub fn version(&self, stream: &str) -> u64 {
        self.sectors.get(stream).map_or(0, |sector| sector.version)
    }

    /// What changes that have not ended come after, and the number of events of each.
    pub fn sequence(&self, id: ChangeId) -> Option<(&BTreeSet<ChangeId>, u64)> {
        self.flights.get(&id).map(|flight| (&*flight.after, flight.version))
    }

    /// The changes in the way of one that has not begun, or beside it: those under way, and the one right before it in the queue.
    pub fn conflicts(&self, change: &Change, rules: &ConflictRules, catalog: &Catalog) -> Vec<Conflict> {
        let mine = Flight::of(change);
        let ticket = self.flights.get(&change.id).and_then(|flight| flight.ticket);
        let near = near(&change.proposal.services, rules, catalog);
        let mut found = self.under_way(change.id, &mine, &near, rules);
        found.extend(self.ahead(change.id, &mine, ticket, &near, rules));
        found
    }

    /// Those under way at which a proposal would meet with the word `refuse`, whatever its risk turns out to be.
    pub fn refused(
        &self,
        id: Option<ChangeId>,
        proposal: &Proposal,
        rules: &ConflictRules,
        catalog: &Catalog,
    ) -> Option<Conflict> {
        let near = near(&proposal.services, rules, catalog);
        let mine = Names::default().flight(proposal);
        let at_risk = |risk| {
            let mine = Flight { risk: Some(risk), ..mine.clone() };
            let found = self.under_way(id.unwrap_or(ChangeId::new(0)), &mine, &near, rules);
            found.into_iter().find(|conflict| conflict.then == Then::Refuse)
        };
        RISKS.into_iter().map(at_risk).reduce(|found, other| other.and(found)).flatten()
    }

    fn under_way(&self, id: ChangeId, mine: &Flight, near: &[(String, usize)], rules: &ConflictRules) -> Vec<Conflict> {
        let mut found: BTreeMap<ChangeId, Conflict> = BTreeMap::new();
        for (service, hops) in near {
            let Some(sector) = self.sectors.get(&stream(&mine.environment, service)) else { continue };
            for with in sector.holders.iter().filter(|with| **with != id) {
                let Some(then) = self.then(mine, *with, *hops, rules) else { continue };
                let (service, hops) = (Some(service.clone()), *hops);
                let conflict = || Conflict { with: *with, service, hops, stands: Stands::UnderWay, then };
                found.entry(*with).or_insert_with(conflict);
            }
        }
        let mut found: Vec<Conflict> = found.into_values().collect();
        found.sort_by_key(|conflict| (conflict.hops, conflict.with));
        found
    }

    /// The one right before a change in the queue. It is enough to wait for: whoever it waits for goes first too.
    fn ahead(
        &self,
        id: ChangeId,
        mine: &Flight,
        ticket: Option<u64>,
        near: &[(String, usize)],
        rules: &ConflictRules,
    ) -> Option<Conflict> {
        let before = (ticket.unwrap_or(u64::MAX), id);
        let at_targets = mine.resources.iter().filter_map(|resource| {
            let queue = self.queues.get(&lane::stream(resource))?;
            let (ticket, with) =
                queue.range(..before).rev().find(|(_, with)| *with != id && !self.passes(mine, *with))?;
            Some((*ticket, Conflict { with: *with, service: None, hops: 0, stands: Stands::Ahead, then: Then::Queue }))
        });
        let at_services = near.iter().filter_map(|(service, hops)| {
            let queue = self.queues.get(&stream(&mine.environment, service))?;
            queue.range(..before).rev().filter(|(_, with)| *with != id).find_map(|(ticket, with)| {
                let then = self.then(mine, *with, *hops, rules).filter(|then| *then > Then::Allow)?;
                let service = Some(service.clone());
                Some((*ticket, Conflict { with: *with, service, hops: *hops, stands: Stands::Ahead, then }))
            })
        });
        at_targets.chain(at_services).max_by_key(|(ticket, _)| *ticket).map(|(_, conflict)| conflict)
    }

    /// An emergency does not stand in line at a target behind what is none.
    fn passes(&self, mine: &Flight, with: ChangeId) -> bool {
        mine.is_emergency && self.flights.get(&with).is_some_and(|theirs| !theirs.is_emergency)
    }

    /// What the rules say of the two: the stricter of what they say of either. Of a change that nobody knows, one waits for the end.
    fn then(&self, mine: &Flight, with: ChangeId, hops: usize, rules: &ConflictRules) -> Option<Then> {
        let theirs = self.flights.get(&with).map(|theirs| theirs.ruling(rules, hops));
        let theirs = theirs.unwrap_or(Some(Ruling::of(Then::Queue)));
        let ruling = match (mine.ruling(rules, hops), theirs) {
            (Some(mine), Some(theirs)) => mine.stricter(theirs),
            (one, other) => one.or(other)?,
        };
        let passes = mine.is_emergency && ruling.emergency == Passage::Allow;
        Some(if passes { Then::Allow } else { ruling.then })
    }

    /// The newest change that takes the place of this one, which has not begun.
    pub fn superseded_by(&self, change: &Change, rules: &ConflictRules) -> Option<ChangeId> {
        if !rules.supersedes() || change.rollout().is_some() {
            return None;
        }
        let mine = Flight::of(change);
        let service = mine.services.first()?;
        let newer =
            self.present.get(&stream(&mine.environment, service))?.range(ChangeId::new(change.id.number() + 1)..);
        newer.rev().find(|id| self.takes_the_place(&mine, change.id, **id, rules)).copied()
    }

    fn takes_the_place(&self, old: &Flight, old_id: ChangeId, new_id: ChangeId, rules: &ConflictRules) -> bool {
        let Some(new) = self.flights.get(&new_id).filter(|new| new.ticket.is_some()) else { return false };
        let alike =
            new.owner == old.owner && new.environment == old.environment && new.services.is_superset(&old.services);
        let apart = new.is_emergency || old.is_emergency || new.after.contains(&old_id);
        let supersede = |flight: &Flight| flight.ruling(rules, 0).is_some_and(|ruling| ruling.then == Then::Supersede);
        alike && !apart && supersede(old) && supersede(new)
    }

    /// Those whose place an approved change may take: the changes of its services that are older and have not begun.
    pub fn older_neighbours(&self, id: ChangeId) -> Vec<ChangeId> {
        let Some(flight) = self.flights.get(&id).filter(|flight| flight.ticket.is_some()) else { return vec![] };
        let places = flight.sectors().into_iter().filter_map(|place| self.present.get(&place));
        let older: BTreeSet<ChangeId> = places.flat_map(|ids| ids.range(..id)).copied().collect();
        let has_begun = |id: &ChangeId| self.flights.get(id).is_some_and(|flight| flight.stands == At::Begun);
        older.into_iter().filter(|id| !has_begun(id)).collect()
    }

    /// Whether a change is under way, or waits in a queue: it is in the way of those that wait for it.
    pub fn is_in_the_way(&self, id: ChangeId) -> bool {
        let Some(flight) = self.flights.get(&id) else { return false };
        let holds = |place: &String| self.sectors.get(place).is_some_and(|sector| sector.holders.contains(&id));
        flight.queued().is_some() || flight.sectors().iter().any(holds)
    }

    /// How many changes are known, and how many of them wait in a queue.
    pub fn count(&self) -> (usize, usize) {
        (self.flights.len(), self.flights.values().filter(|flight| flight.queued().is_some()).count())
    }
}

fn first(names: &mut Names, event: &Event) -> Option<Flight> {
    match event {
        Event::Proposed(proposed) => Some(names.flight(&proposed.proposal)),
        _ => None,
    }
}

fn take_out<T: Ord>(index: &mut BTreeMap<String, BTreeSet<T>>, place: &str, value: &T) {
    let Some(there) = index.get_mut(place) else { return };
    there.remove(value);
    if there.is_empty() {
        index.remove(place);
    }
}

/// Whether nothing holds a change but another one, so that it has a place in the line: what the target says is asked only after that.
pub fn waits_for_another_alone(gates: &[Gate]) -> bool {
    let of_another = |gate: &Gate| match gate.gate {
        GateName::Conflicts => matches!(gate.code(), Some("lane_taken" | "conflict" | "queue")),
        GateName::Readiness => gate.code() == Some("readiness_unknown"),
        _ => false,
    };
    gates.iter().all(of_another) && gates.iter().any(|gate| gate.gate == GateName::Conflicts)
}

impl Names {
    fn flight(&mut self, proposal: &Proposal) -> Flight {
        Flight {
            owner: shared(&mut self.texts, &proposal.owner),
            environment: shared(&mut self.texts, &proposal.environment),
            services: shared(&mut self.sets, &proposal.services),
            resources: shared(&mut self.sets, &proposal.claims.resources),
            after: shared(&mut self.ids, &proposal.after),
            kind: proposal.kind,
            risk: None,
            is_emergency: proposal.course.emergency().is_some(),
            ticket: None,
            stands: At::Waiting,
            version: 1,
        }
    }
}

impl Flight {
    fn of(change: &Change) -> Self {
        let risk = change.assessment.as_ref().map(|assessed| assessed.assessment.level);
        Self { risk, ..Names::default().flight(&change.proposal) }
    }

    fn at_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    fn wait_again(&mut self) {
        if self.stands == At::Queued {
            self.stands = At::Waiting;
        }
    }

    fn queued(&self) -> Option<u64> {
        self.ticket.filter(|_| self.stands == At::Queued)
    }

    fn sectors(&self) -> Vec<String> {
        self.services.iter().map(|service| stream(&self.environment, service)).collect()
    }

    fn places(&self) -> Vec<String> {
        self.sectors().into_iter().chain(self.resources.iter().map(|resource| lane::stream(resource))).collect()
    }

    /// What the rules say of it; the strictest word while its risk is not known.
    fn ruling(&self, rules: &ConflictRules, hops: usize) -> Option<Ruling> {
        let known = self.risk.map(|risk| vec![risk]).unwrap_or_else(|| RISKS.to_vec());
        let of = |risk| {
            let asked = Asks {
                environment: &self.environment,
                kind: self.kind,
                risk,
                services: &self.services,
                owner: &self.owner,
            };
            rules.ruling(&asked, hops)
        };
        known.into_iter().filter_map(of).reduce(Ruling::stricter)
    }
}
