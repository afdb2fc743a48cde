//! Traffic: who is where, and who waits for what: the little that has to be known of all changes that have not ended.
//!
//! A fold over every stream of the log, with an index by place, so that a gate costs what is near a change and not how many changes there are. A change
//! that waits costs its entry alone; names are kept once. Must never decide when something begins: [`gate`](crate::gate) does, for one change at a time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Conflict, ConflictRules, RISKS, Ruling, Stands, Then, near, stream};
use crate::assessment::Risk;
use crate::batch;
use crate::budget;
use crate::calendar::Passage;
use crate::catalog::Catalog;
use crate::gate::{Gate, GateName, GateState};
use crate::governance::Asks;
use crate::id::{ChangeId, ReleaseId};
use crate::lane;
use crate::lifecycle::{Change, Event};
use crate::precedence::{First, Moment, Place, Rank, Turn};
use crate::proposal::{Kind, Proposal};
use crate::time::{Span, Timestamp, after};

/// Who could begin from a moment on is asked then, and begins or is held by something else: so long it counts as the one who goes first.
const GRACE: Span = Span::secs(600);
/// The most changes that became able to begin just now and are looked at, the most of one team whose places are, and the most that one event wakes.
const MOST_SOON: usize = 1_024;
const MOST_MATES: usize = 256;
const MOST_WOKEN: usize = 64;
/// So many names are kept without a look at who shares them.
const FEW_NAMES: usize = 1_024;

/// The fold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// The services that were ever changed, each in its environment, by stream.
    sectors: BTreeMap<String, Sector>,
    flights: BTreeMap<ChangeId, Flight>,
    /// Those that wait for another change and nothing else, by the streams of their services and targets.
    lines: BTreeMap<String, Line>,
    /// Those that nothing but the rate of a budget holds, by its stream and from when on they could begin.
    rated: BTreeMap<String, BTreeSet<(Timestamp, ChangeId)>>,
    /// When a team last began something at a service.
    turns: BTreeMap<(Arc<String>, Arc<String>), Turn>,
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

/// Those that wait for one place.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    /// By what they share: all of one group have had their last turn at once.
    groups: BTreeMap<Group, BTreeSet<Spot>>,
    /// Those that nothing but time holds, by when they could begin.
    soon: BTreeSet<(Timestamp, ChangeId)>,
}

/// A team, the service at which its turns count, and whether it is about emergencies.
pub(crate) type Group = (Arc<String>, Arc<String>, bool);
/// Since when a change waits, where it was approved, and which it is.
type Spot = (Timestamp, u64, ChangeId);

/// What is known of a change that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    owner: Arc<String>,
    environment: Arc<String>,
    /// The stream of the service at which the turns of its team count: one for each change, so that the order is the same at every place.
    home: Arc<String>,
    services: Arc<BTreeSet<String>>,
    resources: Arc<BTreeSet<String>>,
    after: Arc<BTreeSet<ChangeId>>,
    release: Option<ReleaseId>,
    kind: Kind,
    /// Unknown before policy has answered.
    risk: Option<Risk>,
    is_emergency: bool,
    /// Its place in every queue: the position at which it was approved.
    ticket: Option<u64>,
    /// Since when it could begin, but for other changes; nothing before it could.
    able_since: Option<Timestamp>,
    was_able: bool,
    stands: At,
    /// The number of events in its stream.
    version: u64,
}

/// A change that has not ended, as it stands among the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    pub place: Place,
    pub has_begun: bool,
    flight: Flight,
}

impl Present {
    pub fn is_approved(&self) -> bool {
        self.flight.ticket.is_some()
    }

    pub(crate) fn group(&self) -> Group {
        self.flight.group()
    }

    /// The streams of its services and targets.
    pub(crate) fn places(&self) -> Vec<String> {
        self.flight.places()
    }
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// It waits for something beside another change: an answer, a target.
    Waiting,
    /// It waits for another change and nothing else.
    Queued,
    /// It waits for a moment, or for a place in the rate of a budget, and nothing else.
    Soon {
        from: Timestamp,
        rated: bool,
    },
    Begun,
}

/// What holds a change that nothing but time and other changes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InLine {
    /// From when on; nothing where it waits for another change alone.
    from: Option<Timestamp>,
    rated: bool,
}

/// Every name once, however many changes share it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Names {
    texts: BTreeSet<Arc<String>>,
    sets: BTreeSet<Arc<BTreeSet<String>>>,
    ids: BTreeSet<Arc<BTreeSet<ChangeId>>>,
    /// How many there may be before it is looked for those that nobody shares any more.
    most: usize,
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
    pub time: Timestamp,
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
        } else {
            drop(flight);
            self.names.sweep();
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
            Event::Amended { proposal, .. } => {
                let release = flight.release;
                *flight = Flight { release, ..self.names.flight(proposal).at_version(news.version) };
            }
            Event::JoinedRelease { release } => flight.release = Some(*release),
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
            Event::Scheduled { .. } => {
                (flight.ticket, flight.stands) = (Some(news.position), At::Waiting);
                (flight.able_since, flight.was_able) = (Some(news.time), false);
            }
            Event::Held { gates } if flight.stands != At::Begun => flight.held(gates, news.time),
            Event::StepBegun { .. } => {
                if flight.stands != At::Begun {
                    self.has_a_turn(flight, Turn { position: news.position, at: news.time });
                }
                flight.stands = At::Begun;
            }
            Event::Superseded { by } => {
                self.inherit(*by, flight);
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
    fn inherit(&mut self, by: ChangeId, old: &Flight) {
        let Some(mut flight) = self.remove(by) else { return };
        if flight.stands != At::Begun && flight.ticket.is_some() && old.ticket.is_some() {
            flight.ticket = flight.ticket.min(old.ticket);
            flight.able_since = [flight.able_since, old.able_since].into_iter().flatten().min();
            flight.was_able |= old.was_able;
        }
        self.insert(by, flight);
    }

    /// A team has begun something at each of these services.
    fn has_a_turn(&mut self, flight: &Flight, turn: Turn) {
        for sector in flight.sectors() {
            let sector = shared(&mut self.names.texts, &sector);
            self.turns.insert((flight.owner.clone(), sector), turn);
        }
    }

    fn remove(&mut self, id: ChangeId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        if let Some(spot) = flight.spot(id) {
            let group = flight.group();
            for place in flight.places() {
                self.leave_line(&place, |line| line.leave(&group, &spot));
            }
        }
        if let Some((from, rated)) = flight.soon() {
            for place in flight.places() {
                self.leave_line(&place, |line| _ = line.soon.remove(&(from, id)));
            }
            for service in flight.services.iter().filter(|_| rated) {
                take_out(&mut self.rated, &budget::stream(service), &(from, id));
            }
        }
        for place in flight.sectors() {
            take_out(&mut self.present, &place, &id);
        }
        Some(flight)
    }

    fn leave_line(&mut self, place: &str, leave: impl FnOnce(&mut Line)) {
        let Some(line) = self.lines.get_mut(place) else { return };
        leave(line);
        if line.groups.is_empty() && line.soon.is_empty() {
            self.lines.remove(place);
        }
    }

    fn insert(&mut self, id: ChangeId, flight: Flight) {
        if let Some(spot) = flight.spot(id) {
            for place in flight.places() {
                self.lines.entry(place).or_default().groups.entry(flight.group()).or_default().insert(spot);
            }
        }
        if let Some((from, rated)) = flight.soon() {
            for place in flight.places() {
                self.lines.entry(place).or_default().soon.insert((from, id));
            }
            for service in flight.services.iter().filter(|_| rated) {
                self.rated.entry(budget::stream(service)).or_default().insert((from, id));
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

    /// What a change that has not ended comes after, the release that it is part of, and the number of its events.
    pub fn sequence(&self, id: ChangeId) -> Option<(&BTreeSet<ChangeId>, Option<ReleaseId>, u64)> {
        self.flights.get(&id).map(|flight| (&*flight.after, flight.release, flight.version))
    }

    /// The changes in the way of one that has not begun, or beside it: those under way, and the one right before it in the queue.
    pub fn conflicts(
        &self,
        change: &Change,
        rules: &ConflictRules,
        catalog: &Catalog,
        moment: Moment,
    ) -> Vec<Conflict> {
        let mine = Flight::of(change);
        let near = near(&change.proposal.services, rules, catalog);
        let mut found = self.under_way(change.id, &mine, &near, rules);
        found.extend(self.ahead(change.id, &mine, &near, rules, moment));
        found
    }

    /// Who takes the place that is free in the rate of a budget, if it is not this change: of those that nothing else holds.
    pub fn before_at_rate(&self, change: &Change, service: &str, moment: Moment) -> Option<(ChangeId, First)> {
        let waiting = self.rated.get(&budget::stream(service))?;
        let mine = self.place(change.id, &Flight::of(change), moment.now);
        let rank = mine.rank(moment);
        let others = just_able(waiting, moment.now).filter(|id| *id != change.id);
        let before = others.filter_map(|id| Some((id, self.place(id, self.flights.get(&id)?, moment.now))));
        let (with, place) =
            before.filter(|(_, place)| place.rank(moment) < rank).max_by_key(|(_, place)| place.rank(moment))?;
        Some((with, self.first(with, &place, &mine, moment)))
    }

    /// Everybody that has not ended.
    pub fn everybody(&self, now: Timestamp) -> Vec<Present> {
        let present = |(id, flight): (&ChangeId, &Flight)| Present {
            place: self.place(*id, flight, now),
            has_begun: flight.stands == At::Begun,
            flight: flight.clone(),
        };
        self.flights.iter().map(present).collect()
    }

    /// Where a change stands in the order of all that wait.
    pub fn place_of(&self, change: &Change, now: Timestamp) -> Place {
        self.place(change.id, &Flight::of(change), now)
    }

    /// Where a change stands in the order of all that wait; one that nobody knows, or nobody has approved, stands last.
    fn place(&self, change: ChangeId, otherwise: &Flight, now: Timestamp) -> Place {
        let flight = self.flights.get(&change).unwrap_or(otherwise);
        let turn = self.turns.get(&(flight.owner.clone(), flight.home.clone())).copied();
        let (is_emergency, ticket) = (flight.is_emergency, flight.ticket.unwrap_or(u64::MAX));
        let since = flight.able_since.filter(|_| flight.ticket.is_some()).unwrap_or(now);
        Place { is_emergency, since, turn, ticket, change }
    }

    fn first(&self, with: ChangeId, place: &Place, other: &Place, moment: Moment) -> First {
        let team = self.flights.get(&with).map(|flight| flight.owner.as_str()).unwrap_or_default();
        place.before(other, team, moment)
    }

    /// From when on the age of a change that waits counts for more than turns.
    pub fn ages_at(&self, id: ChangeId, patience: Span) -> Option<Timestamp> {
        let flight = self.flights.get(&id).filter(|flight| flight.stands == At::Queued)?;
        flight.able_since.map(|since| after(since, patience))
    }

    /// Who is first now that a change has begun, or has left the line, wherever the turn of a team has changed with it.
    pub fn next_ones(
        &self,
        change: &Change,
        rules: &ConflictRules,
        catalog: &Catalog,
        moment: Moment,
    ) -> BTreeSet<ChangeId> {
        let mine = Flight::of(change);
        let mut places: BTreeSet<String> = mine.places().into_iter().collect();
        for home in mine.sectors() {
            // INVARIANT: a turn moves all of a team that share its service; who stands behind them anywhere may be first now.
            let lines = self.lines.get(&home).into_iter().flat_map(|line| &line.groups);
            let mates = lines.filter(|((team, at, _), _)| *team == mine.owner && **at == home);
            for (_, _, id) in mates.flat_map(|(_, spots)| spots).take(MOST_MATES) {
                places.extend(self.flights.get(id).into_iter().flat_map(Flight::places));
            }
        }
        if rules.hold_neighbours() {
            let near = near(&change.proposal.services, rules, catalog);
            places.extend(near.iter().map(|(service, _)| stream(&mine.environment, service)));
        }
        let lines = places.iter().filter_map(|place| self.lines.get(place));
        let heads = lines.flat_map(|line| line.groups.values()).filter_map(|spots| spots.first());
        let heads: BTreeSet<ChangeId> = heads.map(|(_, _, id)| *id).filter(|id| *id != change.id).collect();
        let is_first = |id: &ChangeId| {
            let flight = self.flights.get(id);
            let near = flight.map(|flight| near(&flight.services, rules, catalog)).unwrap_or_default();
            flight.is_some_and(|flight| self.ahead(*id, flight, &near, rules, moment).is_none())
        };
        heads.into_iter().filter(is_first).take(MOST_WOKEN).collect()
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
                if found.get(with).is_some_and(|known| known.then >= then) {
                    continue;
                }
                let service = Some(service.clone());
                let stands = Stands::UnderWay;
                found.insert(*with, Conflict { with: *with, service, hops: *hops, stands, then, first: None });
            }
        }
        let mut found: Vec<Conflict> = found.into_values().collect();
        found.sort_by_key(|conflict| (conflict.hops, conflict.with));
        found
    }

    /// The one right before a change in the order of those that wait. It is enough to wait for: whoever it waits for goes first too.
    fn ahead(
        &self,
        id: ChangeId,
        mine: &Flight,
        near: &[(String, usize)],
        rules: &ConflictRules,
        moment: Moment,
    ) -> Option<Conflict> {
        let place = self.place(id, mine, moment.now);
        let at_targets = mine.resources.iter().filter_map(|resource| {
            let holds = |with: ChangeId| (!self.passes(mine, with)).then_some(Then::Queue);
            let (rank, with, then) = self.right_before(&lane::stream(resource), &place, moment, holds)?;
            Some((rank, Conflict { with, service: None, hops: 0, stands: Stands::Ahead, then, first: None }))
        });
        let at_services = near.iter().filter_map(|(service, hops)| {
            let holds = |with: ChangeId| self.then(mine, with, *hops, rules).filter(|then| *then > Then::Allow);
            let sector = stream(&mine.environment, service);
            let (rank, with, then) = self.right_before(&sector, &place, moment, holds)?;
            let service = Some(service.clone());
            Some((rank, Conflict { with, service, hops: *hops, stands: Stands::Ahead, then, first: None }))
        });
        let (_, conflict) = at_targets.chain(at_services).max_by_key(|(rank, _)| *rank)?;
        let theirs = self.place(conflict.with, mine, moment.now);
        let first = Some(self.first(conflict.with, &theirs, &place, moment));
        Some(Conflict { first, ..conflict })
    }

    /// The last of those that go before a change at one place and hold it.
    fn right_before(
        &self,
        at: &str,
        place: &Place,
        moment: Moment,
        holds: impl Fn(ChangeId) -> Option<Then>,
    ) -> Option<(Rank, ChangeId, Then)> {
        let (line, mine) = (self.lines.get(at)?, place.rank(moment));
        let rank = |id: ChangeId| Some(self.place(id, self.flights.get(&id)?, moment.now).rank(moment));
        let of_group = |(group, spots): (&Group, &BTreeSet<Spot>)| {
            let before = spots.range(..=self.last_before(group, place, moment)?);
            before.rev().filter(|(_, _, id)| *id != place.change).find_map(|(_, _, id)| {
                let rank = rank(*id).filter(|rank| *rank < mine)?;
                Some((rank, *id, holds(*id)?))
            })
        };
        let queued = line.groups.iter().filter_map(of_group);
        let soon = just_able(&line.soon, moment.now).filter(|id| *id != place.change).filter_map(|id| {
            let rank = rank(id).filter(|rank| *rank < mine)?;
            Some((rank, id, holds(id)?))
        });
        queued.chain(soon).max_by_key(|(rank, _, _)| *rank)
    }

    /// The spot up to which those of a group go before a place: all, those that are older, or those that have waited too long. Within a group the order of
    /// the spots is that of the ranks, whatever the moment.
    fn last_before(&self, group: &Group, place: &Place, moment: Moment) -> Option<Spot> {
        let last = ChangeId::new(u64::MAX);
        let all = (Timestamp::MAX, u64::MAX, last);
        let older = (place.since, place.ticket, place.change);
        let aged = moment.aged_before();
        if place.is_emergency || group.2 {
            return match (place.is_emergency, group.2) {
                (true, true) => Some(older),
                (true, false) => None,
                (false, _) => Some(all),
            };
        }
        if place.since <= aged {
            return Some(older);
        }
        let theirs = self.turns.get(&(group.0.clone(), group.1.clone())).copied();
        Some(match theirs.cmp(&place.turn) {
            Ordering::Less => all,
            Ordering::Equal => older,
            Ordering::Greater => (aged, u64::MAX, last),
        })
    }

    /// An emergency does not stand in line at a target behind what is none.
    fn passes(&self, mine: &Flight, with: ChangeId) -> bool {
        mine.is_emergency && self.flights.get(&with).is_some_and(|theirs| !theirs.is_emergency)
    }

    /// What the rules say of the two: the stricter of what they say of either. Of a change that nobody knows, one waits for the end.
    fn then(&self, mine: &Flight, with: ChangeId, hops: usize, rules: &ConflictRules) -> Option<Then> {
        let theirs = self.flights.get(&with).map(|theirs| theirs.ruling(rules, hops));
        mine.beside(theirs.unwrap_or(Some(Ruling::of(Then::Queue))), hops, rules)
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
        flight.spot(id).is_some() || flight.sectors().iter().any(holds)
    }

    /// How many changes are known, and how many of them wait in a queue.
    pub fn count(&self) -> (usize, usize) {
        (self.flights.len(), self.flights.iter().filter(|(id, flight)| flight.spot(**id).is_some()).count())
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

impl Line {
    fn leave(&mut self, group: &Group, spot: &Spot) {
        let Some(spots) = self.groups.get_mut(group) else { return };
        spots.remove(spot);
        if spots.is_empty() {
            self.groups.remove(group);
        }
    }
}

/// What the rules say of two changes that meet so many calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    pub then: Then,
}

/// What the rules say of a change that would begin beside another; nothing where they speak of neither.
pub fn meeting(mine: &Change, theirs: &Change, hops: usize, rules: &ConflictRules) -> Option<Meeting> {
    let (mine, theirs) = (Flight::of(mine), Flight::of(theirs));
    let then = mine.beside(theirs.ruling(rules, hops), hops, rules)?;
    Some(Meeting { then })
}

/// Those of whom time has let go just now, and who are asked in this moment.
fn just_able(waiting: &BTreeSet<(Timestamp, ChangeId)>, now: Timestamp) -> impl Iterator<Item = ChangeId> + '_ {
    let last = (now, ChangeId::new(u64::MAX));
    let able = waiting.range(..=last).rev().take_while(move |(from, _)| now < after(*from, GRACE));
    able.take(MOST_SOON).map(|(_, id)| *id)
}

/// Whether a change that these gates hold has a place in the line of those that wait: nothing holds it but other changes, or what time has let go.
pub fn has_a_place(gates: &[Gate], now: Timestamp) -> bool {
    in_line(gates, now).is_some_and(|line| line.from.is_none_or(|from| from <= now))
}

/// What holds a change, where that is nothing but time and other changes: what the target says is asked only after that.
fn in_line(gates: &[Gate], at: Timestamp) -> Option<InLine> {
    let (mut from, mut rated) = (None, false);
    for gate in gates {
        match (gate.gate, gate.code().unwrap_or_default()) {
            (GateName::Conflicts, "lane_taken" | "conflict" | "queue") => {}
            (GateName::Readiness, "readiness_unknown") => {}
            // A place in the rate is free, and another goes first.
            (GateName::Windows, budget::RATE) if gate.behind.is_some() => {
                (from, rated) = (from.max(Some(at)), true);
            }
            (
                GateName::Windows,
                code @ ("freeze" | "outside_window" | "scheduled_later" | batch::BATCH | budget::RATE),
            ) => {
                let GateState::Closed { opens_at: Some(opens_at), .. } = gate.state else { return None };
                (from, rated) = (from.max(Some(opens_at)), rated || code == budget::RATE);
            }
            _ => return None,
        }
    }
    let is_behind = gates.iter().any(|gate| gate.gate == GateName::Conflicts);
    (is_behind || from.is_some()).then_some(InLine { from, rated })
}

impl Names {
    fn count(&self) -> usize {
        self.texts.len() + self.sets.len() + self.ids.len()
    }

    /// Forgets what nobody shares any more. Not before there is twice as much as was left the last time: each name is looked at a few times at most.
    fn sweep(&mut self) {
        if self.count() <= self.most.max(FEW_NAMES) {
            return;
        }
        self.texts.retain(|one| Arc::strong_count(one) > 1);
        self.sets.retain(|one| Arc::strong_count(one) > 1);
        self.ids.retain(|one| Arc::strong_count(one) > 1);
        self.most = 2 * self.count();
    }

    fn flight(&mut self, proposal: &Proposal) -> Flight {
        let home = proposal.services.first().map(|service| stream(&proposal.environment, service)).unwrap_or_default();
        Flight {
            owner: shared(&mut self.texts, &proposal.owner),
            environment: shared(&mut self.texts, &proposal.environment),
            home: shared(&mut self.texts, &home),
            services: shared(&mut self.sets, &proposal.services),
            resources: shared(&mut self.sets, &proposal.claims.resources),
            after: shared(&mut self.ids, &proposal.after),
            release: None,
            kind: proposal.kind,
            risk: None,
            is_emergency: proposal.course.emergency().is_some(),
            ticket: None,
            able_since: None,
            was_able: false,
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
        if self.stands != At::Begun {
            self.stands = At::Waiting;
        }
    }

    /// These gates hold it from now on.
    ///
    /// Once it could have begun, its age runs, whatever holds it later: a window that is open for an hour a day does not make it young again.
    fn held(&mut self, gates: &[Gate], at: Timestamp) {
        let was_able = self.was_able || matches!(self.stands, At::Soon { from, .. } if from <= at);
        let (stands, able_since) = match in_line(gates, at) {
            None => (At::Waiting, None),
            Some(InLine { from: None, .. }) => (At::Queued, Some(self.able_since.map_or(at, |since| since.min(at)))),
            Some(InLine { from: Some(from), rated }) => (At::Soon { from, rated }, Some(from)),
        };
        self.was_able = was_able || stands == At::Queued;
        self.stands = stands;
        if !was_able {
            self.able_since = able_since;
        }
    }

    /// The stricter of what the rules say of it and of another.
    fn beside(&self, theirs: Option<Ruling>, hops: usize, rules: &ConflictRules) -> Option<Then> {
        let ruling = match (self.ruling(rules, hops), theirs) {
            (Some(mine), Some(theirs)) => mine.stricter(theirs),
            (one, other) => one.or(other)?,
        };
        let passes = self.is_emergency && ruling.emergency == Passage::Allow;
        Some(if passes { Then::Allow } else { ruling.then })
    }

    fn group(&self) -> Group {
        (self.owner.clone(), self.home.clone(), self.is_emergency)
    }

    /// Its place in every line in which it stands.
    fn spot(&self, id: ChangeId) -> Option<Spot> {
        let ticket = self.ticket.filter(|_| self.stands == At::Queued)?;
        Some((self.able_since.unwrap_or(Timestamp::MAX), ticket, id))
    }

    /// From when on it could begin, and whether the rate of a budget is what holds it.
    fn soon(&self) -> Option<(Timestamp, bool)> {
        match self.stands {
            At::Soon { from, rated } if self.ticket.is_some() => Some((from, rated)),
            _ => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    // F6: a fold over a log of years remembers what lasts, and not every set of changes that somebody once came after.
    #[test]
    fn names_that_nobody_shares_any_more_are_forgotten() {
        let mut names = Names::default();
        let lasting = shared(&mut names.ids, &[ChangeId::new(1)].into());
        for number in 2..10_000 {
            drop(shared(&mut names.ids, &[ChangeId::new(number)].into()));
            names.sweep();
        }
        assert!(names.count() <= FEW_NAMES + 1, "{}", names.count());
        assert!(Arc::ptr_eq(&lasting, &shared(&mut names.ids, &[ChangeId::new(1)].into())));
    }
}
