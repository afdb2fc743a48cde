//! Play: the days, instant by instant.
//!
//! A change that waits is asked by its own gates, with what would be true at that instant; other changes are those of the play. Whoever has every other
//! gate open stands in line, and the line is served in the order of [`precedence`](crate::precedence). What closes for good, or opens by people alone,
//! makes a change unknown, and with it whoever waits for it. Must never begin what a gate holds at that instant.

use std::collections::{BTreeMap, BTreeSet};

use super::course::{self, Course};
use super::{Agenda, Asking, Expected, Item, Known, MOST_ASKED, MOST_INSTANTS};
use crate::budget::{self, ResumeBy};
use crate::calendar::{Passes, Subject};
use crate::conflict::traffic::{Meeting, meeting};
use crate::conflict::{self, Then};
use crate::gate::{self, Gate, GateName, GateState};
use crate::id::{ChangeId, ReleaseId};
use crate::lane;
use crate::lifecycle::{Change, Phase, Stage, bake_over};
use crate::precedence::{Moment, Place, Rank, Turn};
use crate::proposal::Proposal;
use crate::release::{self, Release, Standing};
use crate::rollout::{PauseReason, StepState};
use crate::time::{Timestamp, after};

/// Plays the days, and says what is expected of every change.
pub fn plan(known: &Known<'_>) -> Agenda {
    let mut play = Play::of(known);
    let mut played = 0;
    while let Some(at) = play.instants.pop_first().filter(|at| *at <= known.until) {
        played += 1;
        if let Some(why) = play.is_too_much(played) {
            play.cut = Some(format!("the plan ends at `{at}`: {why}"));
            break;
        }
        play.pass(at);
        play.serve(at);
    }
    play.agenda()
}

struct Play<'a> {
    known: &'a Known<'a>,
    parts: Vec<Flight<'a>>,
    instants: BTreeSet<Timestamp>,
    /// Who is where: by the stream of the service, and by resource.
    at_services: BTreeMap<String, BTreeSet<usize>>,
    at_targets: BTreeMap<String, BTreeSet<usize>>,
    completed: BTreeSet<ChangeId>,
    releases: BTreeMap<ReleaseId, Release>,
    /// When changes of a service began in the play.
    begun: BTreeMap<String, Vec<Timestamp>>,
    turns: BTreeMap<(String, String), Turn>,
    turn: u64,
    /// How often changes were asked for their gates.
    asked: usize,
    cut: Option<String>,
}

/// A change in the play.
struct Flight<'a> {
    asking: &'a Asking,
    near: Vec<(String, usize)>,
    /// Its team, and the stream of the service at which its turns count.
    turns: (String, String),
    stands: Stands,
    because: String,
    behind: Option<ChangeId>,
    /// It is not asked before.
    idle_until: Timestamp,
    /// It is not asked before this one is completed.
    comes_after: Option<ChangeId>,
    /// The calendar does not close to it before, once its gates were open: it stays in line without being asked, and is asked before it begins.
    open_until: Timestamp,
    /// The one under way that was in its way last.
    held_up_by: Option<usize>,
    /// Since when it could begin, but for others.
    able_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stands {
    Waiting,
    /// Nobody can say.
    Unknown,
    UnderWay {
        since: Option<Timestamp>,
        course: Course,
        planned: bool,
    },
    Left {
        since: Option<Timestamp>,
        course: Course,
        planned: bool,
    },
    Over {
        since: Option<Timestamp>,
        course: Course,
        planned: bool,
    },
}

impl Stands {
    /// What becomes of one whose last step is over by then.
    fn left(&self, at: Timestamp) -> Option<Self> {
        let Self::UnderWay { since, course, planned } = self else { return None };
        let left = || Self::Left { since: *since, course: course.clone(), planned: *planned };
        course.leaves_at.filter(|leaves| *leaves <= at).map(|_| left())
    }

    /// Whether nobody can say how it ends.
    fn is_unknown(&self) -> bool {
        match self {
            Self::Waiting => false,
            Self::Unknown => true,
            Self::UnderWay { course, .. } | Self::Left { course, .. } | Self::Over { course, .. } => {
                course.unknown.is_some()
            }
        }
    }

    /// What becomes of one whose watch is over by then.
    fn over(&self, at: Timestamp) -> Option<Self> {
        let Self::Left { since, course, planned } = self else { return None };
        let over = || Self::Over { since: *since, course: course.clone(), planned: *planned };
        course.ends_at.filter(|ends| *ends <= at).map(|_| over())
    }
}

/// What holds a change that waits.
enum Held {
    No,
    Until(Timestamp, String),
    /// By other changes, whose end is an instant of its own.
    ByOthers(String, Option<ChangeId>),
    ForGood(String),
}

impl<'a> Play<'a> {
    fn of(known: &'a Known<'a>) -> Self {
        let (rules, catalog) = (&known.governance.conflicts, &known.governance.catalog);
        let flight = |asking: &'a Asking| Flight {
            near: conflict::near(&asking.change.proposal.services, rules, catalog),
            turns: (asking.change.proposal.owner.clone(), home(&asking.change)),
            stands: begun(known, asking),
            because: String::new(),
            behind: None,
            idle_until: asking.supposed_at.unwrap_or(known.now),
            comes_after: None,
            open_until: known.now,
            held_up_by: None,
            able_since: None,
            asking,
        };
        let parts: Vec<Flight<'a>> = known.changes.iter().map(flight).collect();
        let releases = parts.iter().filter_map(|part| part.asking.given.release.clone());
        let releases = releases.map(|release| (release.id, release)).collect();
        let completed = parts.iter().flat_map(|part| part.asking.given.completed.iter().copied()).collect();
        let mut play = Self {
            known,
            instants: [known.now, known.until].into(),
            at_services: BTreeMap::new(),
            at_targets: BTreeMap::new(),
            completed,
            releases,
            begun: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: u64::MAX / 2,
            asked: 0,
            cut: None,
            parts,
        };
        play.instants.extend(play.parts.iter().map(|part| part.idle_until));
        for i in 0..play.parts.len() {
            if let Stands::UnderWay { course, .. } = &play.parts[i].stands {
                let instants = [course.leaves_at, course.ends_at];
                play.instants.extend(instants.into_iter().flatten());
                play.occupy(i);
            } else if let Stands::Left { course, .. } = &play.parts[i].stands {
                play.instants.extend(course.ends_at);
            }
        }
        play
    }

    fn occupy(&mut self, i: usize) {
        let proposal = &self.parts[i].asking.change.proposal;
        for service in &proposal.services {
            self.at_services.entry(conflict::stream(&proposal.environment, service)).or_default().insert(i);
        }
        for resource in &proposal.claims.resources {
            self.at_targets.entry(resource.clone()).or_default().insert(i);
        }
    }

    fn leave(&mut self, i: usize) {
        self.at_services.values_mut().chain(self.at_targets.values_mut()).for_each(|there| _ = there.remove(&i));
    }

    /// Lets those leave and end whose time has come.
    fn pass(&mut self, at: Timestamp) {
        for i in 0..self.parts.len() {
            if let Some(left) = self.parts[i].stands.left(at) {
                self.parts[i].stands = left;
                self.leave(i);
            }
            if let Some(over) = self.parts[i].stands.over(at) {
                self.parts[i].stands = over;
                self.ends(i, at);
            }
        }
        self.releases_pass(at);
    }

    fn ends(&mut self, i: usize, at: Timestamp) {
        let change = &self.parts[i].asking.change;
        match change.release.and_then(|id| self.releases.get_mut(&id)) {
            Some(release) => stand(release, change.id, Standing::Passed, at),
            None => _ = self.completed.insert(change.id),
        }
    }

    /// Releases of which every member has passed and baked are complete, and their members with them.
    fn releases_pass(&mut self, at: Timestamp) {
        for release in self.releases.values() {
            let due = release::due(release, at);
            self.instants.extend(due.wake_at.filter(|wake| *wake > at));
            if due.intents.contains(&release::Intent::Pass) {
                self.completed.extend(release.plan.members.iter().map(|member| member.change));
            }
        }
    }

    /// Lets those begin whose turn it is, the first first.
    fn serve(&mut self, at: Timestamp) {
        let mut line: Vec<(Rank, usize)> = Vec::new();
        for i in 0..self.parts.len() {
            if self.may_stand_in_line(i, at) && (self.stays_open(i, at) || self.is_open(i, at)) {
                self.parts[i].able_since.get_or_insert(at);
                line.push((self.place(i, at).rank(self.moment(at)), i));
            }
        }
        line.sort_unstable();
        let mut waiting: Vec<usize> = Vec::new();
        for (_, i) in line {
            // Whoever began just now may have taken the last place of a day, or of a wave.
            if !self.stays_open(i, at) && !self.is_open(i, at) {
                continue;
            }
            if self.is_held_up(i, &waiting, at) {
                waiting.push(i);
            } else if self.is_open(i, at) {
                self.begin(i, at);
            }
        }
    }

    fn is_too_much(&self, played: usize) -> Option<String> {
        if played > MOST_INSTANTS {
            return Some(format!("more than {MOST_INSTANTS} instants were played"));
        }
        (self.asked > MOST_ASKED).then(|| format!("changes were asked for their gates more than {MOST_ASKED} times"))
    }

    fn may_stand_in_line(&self, i: usize, at: Timestamp) -> bool {
        let part = &self.parts[i];
        let comes_after = part.comes_after.is_some_and(|id| !self.completed.contains(&id));
        part.stands == Stands::Waiting && part.idle_until <= at && !comes_after
    }

    fn stays_open(&self, i: usize, at: Timestamp) -> bool {
        at < self.parts[i].open_until
    }

    /// Up to when nothing but a look at its gates closes them, once they are open. What moves with other changes is asked each time.
    fn closes_at(&self, i: usize, at: Timestamp) -> Timestamp {
        let Asking { change, given, .. } = self.parts[i].asking;
        if change.release.is_some() || !given.budgets.is_empty() || given.batch.is_some() {
            return at;
        }
        let owners = self.known.governance.catalog.owners(&change.proposal.services);
        let turn = self.known.calendar.next_turn(&Subject::of(change, &owners), at);
        let passes = Passes::of(change, &given.grants_lost).next_end(at);
        turn.into_iter().chain(passes).min().unwrap_or(Timestamp::MAX)
    }

    fn moment(&self, at: Timestamp) -> Moment {
        Moment { now: at, patience: self.known.governance.settings.patience }
    }

    /// Where it stands among those that wait, by the log and by what has happened in the play.
    fn place(&self, i: usize, at: Timestamp) -> Place {
        let part = &self.parts[i];
        let change = &part.asking.change;
        let unknown = || Place { is_emergency: false, since: at, turn: None, ticket: u64::MAX, change: change.id };
        let mut place = self.known.places.get(&change.id).cloned().unwrap_or_else(unknown);
        place.turn = place.turn.max(self.turns.get(&part.turns).copied());
        if place.since > at || place.ticket == u64::MAX {
            place.since = part.able_since.unwrap_or(at);
        }
        place
    }

    /// Whether every gate is open to it but those of other changes that wait or are under way.
    fn is_open(&mut self, i: usize, at: Timestamp) -> bool {
        self.asked += 1;
        let held = self.held(i, at);
        let closes_at = matches!(held, Held::No).then(|| self.closes_at(i, at));
        let part = &mut self.parts[i];
        (part.open_until, part.comes_after) = (closes_at.unwrap_or(at), None);
        match held {
            Held::No => return true,
            Held::Until(until, because) => {
                (part.because, part.behind, part.idle_until) = (because, None, until);
                self.instants.insert(until);
            }
            Held::ByOthers(because, behind) => {
                (part.because, part.behind, part.comes_after) = (because, behind, behind);
            }
            // What is closed to one in a queue only later, such as by votes that lapse, is not why it waits now.
            Held::ForGood(later) if part.able_since.is_some_and(|since| since < at) && part.behind.is_some() => {
                part.because = format!("{}; and from `{at}` on, {later}", part.because);
                part.stands = Stands::Unknown;
            }
            Held::ForGood(because) => (part.because, part.behind, part.stands) = (because, None, Stands::Unknown),
        }
        false
    }

    fn held(&self, i: usize, at: Timestamp) -> Held {
        let asking = self.parts[i].asking;
        let (change, given) = (&asking.change, &asking.given);
        let mut given = given.clone();
        given.now = at;
        given.conflicts.clear();
        given.lanes.iter_mut().for_each(|lane| lane.holder = None);
        given.completed.extend(change.proposal.after.iter().filter(|id| self.completed.contains(*id)));
        if let Some(id) = change.release {
            given.release = self.releases.get(&id).cloned();
        }
        for known in &mut given.budgets {
            known.before = None;
            known.begun.extend(self.begun.get(&known.state.service).into_iter().flatten());
            known.begun.sort_unstable();
        }
        let owners = self.known.governance.catalog.owners(&change.proposal.services);
        let passes = Passes::of(change, &given.grants_lost);
        let standing = self.known.calendar.standing(&Subject::of(change, &owners), &passes, at);
        given.batch = given.batch.map(|batch| batch.at(self.known.calendar, at));
        (given.frozen, given.windows, given.opening) = (standing.frozen, standing.windows, Some(standing.opening));
        given.reopening = gate::end_beside_calendar(change, &given)
            .map(|end| self.known.calendar.opening(&Subject::of(change, &owners), &passes, end));
        let supposed =
            |gate: &Gate| asking.supposed_at.is_some() && matches!(gate.gate, GateName::Policy | GateName::Approvals);
        let gates = gate::ask(change, &given);
        let holding: Vec<&Gate> = gates.iter().filter(|gate| gate.holds() && !supposed(gate)).collect();
        if let Some(asked) =
            asking.supposed_at.map(|from| change.proposal.when.not_before(from)).filter(|from| *from > at)
        {
            return Held::Until(asked, format!("its author wants it to begin at `{asked}`"));
        }
        verdict(&holding, at).unwrap_or_else(|| not_scheduled(asking))
    }

    /// Whether another change holds it: one under way, or one that waits and goes first.
    fn is_held_up(&mut self, i: usize, waiting: &[usize], at: Timestamp) -> bool {
        let is_there = |other: usize| matches!(self.parts[other].stands, Stands::UnderWay { .. });
        if self.parts[i].held_up_by.is_some_and(is_there) {
            return true;
        }
        let under_way = self.under_way(i);
        let found = under_way.as_ref().map(|(because, other)| (because.clone(), self.parts[*other].asking.change.id));
        let found = found.or_else(|| self.goes_first(i, waiting, at)).or_else(|| self.left_out(i, at));
        let is_held_up = found.is_some();
        let part = &mut self.parts[i];
        part.held_up_by = under_way.map(|(_, other)| other);
        if let Some((because, behind)) = found {
            (part.because, part.behind) = (because, Some(behind));
        }
        is_held_up
    }

    fn is_together(&self, i: usize, other: usize) -> bool {
        let release = self.parts[other].asking.change.release;
        release.is_some() && release == self.parts[i].asking.change.release
    }

    /// The change under way where it would begin.
    fn under_way(&self, i: usize) -> Option<(String, usize)> {
        let (part, rules) = (&self.parts[i], &self.known.governance.conflicts);
        let change = &part.asking.change;
        for resource in &change.proposal.claims.resources {
            if let Some(with) = self.at_targets.get(resource).and_then(|there| there.first()) {
                let id = self.parts[*with].asking.change.id;
                return Some((format!("{id} is changing `{resource}`"), *with));
            }
        }
        for (service, hops) in &part.near {
            let there = self.at_services.get(&conflict::stream(&change.proposal.environment, service));
            for other in there.into_iter().flatten().filter(|other| !self.is_together(i, **other)) {
                let with = &self.parts[*other].asking.change;
                if meeting(change, with, *hops, rules).is_some_and(|Meeting { then }| then > Then::Allow) {
                    return Some((format!("{} is changing `{service}`", with.id), *other));
                }
            }
        }
        None
    }

    /// The last of those that wait, go before it, and hold it.
    fn goes_first(&self, i: usize, waiting: &[usize], at: Timestamp) -> Option<(String, ChangeId)> {
        let other = waiting.iter().rev().find(|other| self.waits_behind(i, **other, self.is_together(i, **other)))?;
        let with = &self.parts[*other].asking.change;
        let why = self.place(*other, at).before(&self.place(i, at), &with.proposal.owner, self.moment(at));
        Some((format!("{} {}", with.id, why.in_words()), with.id))
    }

    /// The first of those that are not played and go before it at a place of its own, or near it: of them nobody can say when they go.
    fn left_out(&self, i: usize, at: Timestamp) -> Option<(String, ChangeId)> {
        if self.known.left_out.count == 0 {
            return None;
        }
        let (part, moment, mine) = (&self.parts[i], self.moment(at), self.place(i, at));
        let Proposal { environment, claims, .. } = &part.asking.change.proposal;
        let near = part.near.iter().map(|(service, _)| conflict::stream(environment, service));
        let places: Vec<String> = near.chain(claims.resources.iter().map(|resource| lane::stream(resource))).collect();
        let first = places.iter().flat_map(|place| self.known.left_out.at(place)).map(|(team, home, place)| {
            let turn = self.turns.get(&(team.to_owned(), home.to_owned())).copied();
            (team, Place { turn: place.turn.max(turn), ..place.clone() })
        });
        let before = first.filter(|(_, place)| place.rank(moment) < mine.rank(moment));
        let (team, place) = before.min_by_key(|(_, place)| place.rank(moment))?;
        let why = place.before(&mine, team, moment).in_words();
        Some((format!("{} {why}, and is not planned itself", place.change), place.change))
    }

    /// Whether one that waits holds another that goes after it.
    fn waits_behind(&self, i: usize, first: usize, together: bool) -> bool {
        let (mine, theirs) = (&self.parts[i].asking.change, &self.parts[first].asking.change);
        let passes = mine.proposal.course.emergency().is_some() && theirs.proposal.course.emergency().is_none();
        let at_target = !mine.proposal.claims.resources.is_disjoint(&theirs.proposal.claims.resources);
        if together {
            return false;
        }
        if at_target && !passes {
            return true;
        }
        let rules = &self.known.governance.conflicts;
        let same_place = mine.proposal.environment == theirs.proposal.environment;
        let near =
            self.parts[i].near.iter().filter(|(service, _)| same_place && theirs.proposal.services.contains(service));
        near.filter_map(|(_, hops)| meeting(mine, theirs, *hops, rules)).any(|Meeting { then }| then > Then::Allow)
    }

    fn begin(&mut self, i: usize, at: Timestamp) {
        let asking = self.parts[i].asking;
        let (change, course) = (&asking.change, course::from_step(self.known, asking, 0, at));
        self.instants.extend([course.leaves_at, course.ends_at].into_iter().flatten());
        self.turn += 1;
        for service in &change.proposal.services {
            self.begun.entry(service.clone()).or_default().push(at);
            let place = (change.proposal.owner.clone(), conflict::stream(&change.proposal.environment, service));
            self.turns.insert(place, Turn { position: self.turn, at });
        }
        if !asking.given.budgets.is_empty() {
            // A place in the rate of a budget is free again a day later.
            self.instants.insert(after(at, budget::DAY));
        }
        if let Some(release) = change.release.and_then(|id| self.releases.get_mut(&id)) {
            stand(release, change.id, Standing::UnderWay, at);
        }
        self.parts[i].stands = Stands::UnderWay { since: Some(at), course, planned: true };
        self.occupy(i);
    }

    fn agenda(self) -> Agenda {
        let cut = self.cut.clone();
        let heads = self.heads();
        let mut items: Vec<Item> = heads.into_iter().enumerate().map(|(i, head)| self.item(i, head)).collect();
        items.sort_by_key(|item| (item.expected, item.starts_at, item.change.is_none(), item.change));
        Agenda { now: self.known.now, until: self.known.until, items, cut }
    }

    /// What is expected of one that waits in the end for `head`, if nobody can say more of that one.
    fn item(&self, i: usize, head: Option<ChangeId>) -> Item {
        let part = &self.parts[i];
        let asking = part.asking;
        let proposal = &asking.change.proposal;
        let (expected, starts_at, ends_at, because) = match &part.stands {
            Stands::UnderWay { since, course, planned }
            | Stands::Left { since, course, planned }
            | Stands::Over { since, course, planned } => {
                let expected = if *planned { Expected::Planned } else { Expected::UnderWay };
                let open = if *planned { "nothing holds it" } else { "it has begun" };
                let why = if part.because.is_empty() { open.to_owned() } else { part.because.clone() };
                let because = course.unknown.as_ref().map_or(why.clone(), |unknown| format!("{why}; then {unknown}"));
                (expected, *since, course.ends_at, because)
            }
            Stands::Unknown => (Expected::Unknown, None, None, part.because.clone()),
            Stands::Waiting if self.cut.is_some() => (Expected::Unknown, None, None, part.because.clone()),
            // Why nobody can say more stands with the head of the queue, for those who may read it.
            Stands::Waiting => match head {
                Some(head) => {
                    let because = format!("{}; of {head} nobody can say more", part.because);
                    (Expected::Unknown, None, None, because)
                }
                None => (Expected::Later, None, None, part.because.clone()),
            },
        };
        Item {
            change: asking.supposed_at.is_none().then_some(asking.change.id),
            title: proposal.title.clone(),
            owner: proposal.owner.clone(),
            services: proposal.services.clone(),
            environment: proposal.environment.clone(),
            release: asking.change.release,
            batch: asking.given.batch.as_ref().map(|batch| batch.name.clone()),
            expected,
            starts_at,
            ends_at,
            because,
            behind: part.behind,
        }
    }

    /// For each, the change that it waits for in the end and of which nobody can say more, where there is one.
    fn heads(&self) -> Vec<Option<ChangeId>> {
        let numbers: BTreeMap<ChangeId, usize> =
            self.parts.iter().enumerate().map(|(i, part)| (part.asking.change.id, i)).collect();
        let mut heads = BTreeMap::new();
        (0..self.parts.len()).for_each(|i| self.follow(i, &numbers, &mut heads));
        heads.into_values().collect()
    }

    /// Finds the head of one, and of all that it waits for on the way.
    fn follow(&self, from: usize, numbers: &BTreeMap<ChangeId, usize>, heads: &mut BTreeMap<usize, Option<ChangeId>>) {
        let (mut chain, mut at) = (Vec::new(), from);
        let head = loop {
            if let Some(known) = heads.get(&at) {
                break *known;
            }
            // Whoever comes back to itself has no head.
            heads.insert(at, None);
            chain.push(at);
            let Flight { stands, behind, asking, .. } = &self.parts[at];
            if *stands != Stands::Waiting {
                break stands.is_unknown().then_some(asking.change.id);
            }
            match behind.and_then(|id| numbers.get(&id)) {
                Some(next) => at = *next,
                None => break *behind,
            }
        };
        heads.extend(chain.into_iter().map(|i| (i, head)));
    }
}

/// The stream of the service at which the turns of a change count.
fn home(change: &Change) -> String {
    let first = change.proposal.services.first();
    first.map(|service| conflict::stream(&change.proposal.environment, service)).unwrap_or_default()
}

fn stand(release: &mut Release, change: ChangeId, is: Standing, at: Timestamp) {
    if let Some(member) = release.member(change) {
        (release.standing[member].is, release.standing[member].since) = (is, at);
    }
}

/// What follows from the gates that hold a change.
fn verdict(holding: &[&Gate], at: Timestamp) -> Option<Held> {
    let mut until: Option<(Timestamp, String)> = None;
    let mut by_others: Option<(String, Option<ChangeId>)> = None;
    for gate in holding {
        let GateState::Closed { code, opens_at, who_can, .. } = &gate.state else { continue };
        let reason = gate.reasons().unwrap_or_default();
        let opens_at = opens_at.filter(|opens| *opens > at);
        match (gate.gate, code.as_str(), opens_at) {
            (GateName::Readiness, "readiness_unknown", _) => {}
            (GateName::Conflicts, "after", _) => by_others = Some((reason.clone(), gate.behind)),
            (GateName::Conflicts | GateName::Windows, code, Some(opens)) if code != budget::SPENT => {
                if until.as_ref().is_none_or(|(known, _)| *known < opens) {
                    until = Some((opens, reason.clone()));
                }
            }
            (GateName::Conflicts, "release", None) if is_of_order(who_can.as_deref()) => {
                by_others = Some((reason.clone(), None));
            }
            _ => {
                let who = who_can.as_ref().map_or_else(String::new, |who| format!(" (waits for {who})"));
                return Some(Held::ForGood(format!("{reason}{who}")));
            }
        }
    }
    match (until, by_others) {
        (Some((until, because)), _) => Some(Held::Until(until, because)),
        (None, Some((because, behind))) => Some(Held::ByOthers(because, behind)),
        (None, None) => None,
    }
}

/// Whether a release only keeps its order, and has not stopped.
fn is_of_order(who_can: Option<&str>) -> bool {
    who_can.is_some_and(|who| who.starts_with("nobody: it opens when"))
}

/// A change that is not scheduled yet can't begin, whatever its gates say: something is still asked of it.
fn not_scheduled(asking: &Asking) -> Held {
    let change = &asking.change;
    match change.phase() {
        Phase::Proposed if asking.supposed_at.is_none() => Held::ForGood("policy has not answered yet".into()),
        Phase::Assessed if asking.supposed_at.is_none() => Held::ForGood("it is not approved yet".into()),
        _ => Held::No,
    }
}

/// How a change stands before the play.
fn begun(known: &Known<'_>, asking: &Asking) -> Stands {
    let change = &asking.change;
    let since = change.rollout().map(|rollout| rollout.started_at);
    let under_way = |course| Stands::UnderWay { since, course, planned: false };
    let Stage::Rolling(rollout) = &change.stage else {
        return if change.phase().is_terminal() { Stands::Unknown } else { Stands::Waiting };
    };
    match change.phase() {
        Phase::Watching => {
            let ends = rollout_part_over(known, change, known.now);
            let course = Course { leaves_at: Some(known.now), ends_at: Some(ends), unknown: None };
            Stands::Left { since, course, planned: false }
        }
        Phase::RollingOut { step } if !matches!(rollout.state, StepState::Ready) => {
            let over = rollout_part_over(known, change, known.now);
            under_way(course::from_step(known, asking, step + 1, over))
        }
        Phase::RollingOut { step } => under_way(course::from_step(known, asking, step, known.now)),
        Phase::Held { step: Some(step) } => under_way(held_in_rollout(known, asking, step)),
        Phase::Paused { .. } => {
            let burns = rollout.pause.as_ref().is_some_and(|pause| pause.why == PauseReason::Burn);
            let resume = known.governance.budgets.as_ref().map(|policy| policy.resume);
            under_way(Course::unknown(match resume {
                Some(ResumeBy::Automatic) if burns => {
                    "it is paused, and goes on by itself when the error budget burns no more"
                }
                _ => "it is paused, and goes on when somebody resumes it",
            }))
        }
        Phase::RollingBack => under_way(Course::unknown("it is rolled back, which takes what it takes")),
        _ => under_way(Course::unknown("its rollback has failed, and waits for people")),
    }
}

/// When the step, or the watch, is over that has begun.
fn rollout_part_over(known: &Known<'_>, change: &Change, now: Timestamp) -> Timestamp {
    let Some(rollout) = change.rollout() else { return now };
    let since = match &rollout.state {
        StepState::Applied { since, .. } => *since,
        _ => now,
    };
    // What its own history says of its bake counts for more than the plan, which may be shorter.
    let part = if rollout.step < change.proposal.plan.steps.len() {
        super::Part::Step(rollout.step)
    } else {
        super::Part::Watch
    };
    now.max(bake_over(change, rollout.step, since)).max(after(since, (known.takes)(change, part)))
}

/// The course of one whose next step is held: by the calendar it goes on by itself.
fn held_in_rollout(known: &Known<'_>, asking: &Asking, step: usize) -> Course {
    let gates = gate::ask(&asking.change, &asking.given);
    let holding: Vec<&Gate> = gates.iter().filter(|gate| gate.holds()).collect();
    match verdict(&holding, known.now) {
        None => course::from_step(known, asking, step, known.now),
        Some(Held::Until(until, _)) => course::from_step(known, asking, step, until),
        Some(Held::ForGood(why) | Held::ByOthers(why, _)) => Course::unknown(why),
        Some(Held::No) => course::from_step(known, asking, step, known.now),
    }
}
