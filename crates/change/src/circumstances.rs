//! Circumstances: what is true beside the changes, by the log: who stands in for whom, whether everything is stopped, how standard changes have fared,
//! which debts are open, who has edited the rules, and how releases stand.
//!
//! A fold over the events of all streams, like a change is a fold over its own. What follows from it for a change is [`gate`](crate::gate)'s to say;
//! the shell only hands over the part that concerns the change.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::aftermath::{self, Debt};
use crate::batch::{self, BatchStopped};
use crate::budget::{self, BudgetState};
use crate::catalog::Catalog;
use crate::holds::ServiceHold;
use crate::id::{ChangeId, ReleaseId};
use crate::lifecycle::Event;
use crate::proposal::Proposal;
use crate::release::{self, Release};
use crate::time::{Timestamp, after};

/// The stream of delegations.
pub const PEOPLE: &str = "people";
/// The stream of stops of everything.
pub const STOPS: &str = "stops";

/// The stream of a standard change.
pub fn standard_stream(id: &str) -> String {
    format!("standard/{id}")
}

/// More holds at once than people can look at: of more, those are kept that end last.
const MOST_HOLDS: usize = 1_000;

/// Drops what is the earliest, one for each that comes, where there are too many: by their number and never by a clock, which may step back.
fn keep_latest<T>(all: &mut Vec<T>, most: usize, at: impl Fn(&T) -> Timestamp) {
    if all.len() > most {
        let earliest = all.iter().enumerate().min_by_key(|(_, one)| at(one)).map(|(i, _)| i);
        earliest.map(|i| all.remove(i));
    }
}

/// The fold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Circumstances {
    delegations: Vec<Delegation>,
    stopped: Option<Stopped>,
    /// Those that were not released, ended ones too: whether one has ended is asked when it is read, since a clock may step back.
    holds: Vec<ServiceHold>,
    /// By service.
    budgets: BTreeMap<String, BudgetState>,
    /// By service, which changes began last, in the order of the log.
    begun: BTreeMap<String, Vec<(Timestamp, ChangeId)>>,
    standards: BTreeMap<String, Record>,
    /// Of changes that have not counted yet, the standard change that each is an instance of.
    instances: BTreeMap<ChangeId, String>,
    debtors: BTreeMap<ChangeId, Debtor>,
    debts: BTreeMap<(ChangeId, Debt), OpenDebt>,
    /// Who edited the rules, by a file or by putting somebody in another's place, in the order of the log.
    edits: Vec<BTreeSet<String>>,
    /// How many edits stood in the log when a change was proposed. Times don't say it: a clock may step back.
    edits_before: BTreeMap<ChangeId, usize>,
    releases: BTreeMap<ReleaseId, Release>,
    /// Of changes under way, the batch with which each went.
    batched: BTreeMap<ChangeId, String>,
    /// By batch.
    batches_stopped: BTreeMap<String, BatchStopped>,
}

/// Who a change is for, should it owe something.
#[derive(Clone, Debug, Default, PartialEq)]
struct Debtor {
    owner: String,
    services: BTreeSet<String>,
}

/// Somebody votes in another's place for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delegation {
    /// Whose place it is.
    pub from: String,
    /// Who stands in; nobody where `from` is only away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// For these groups; for all of `from`'s if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    #[schemars(with = "String")]
    pub until: Timestamp,
    pub reason: String,
}

/// Everything is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    pub by: Actor,
    pub reason: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// How a standard change has fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    pub completed: u32,
    pub failed: u32,
    /// Failures since the last success or reinstatement.
    pub failed_in_a_row: u32,
    /// When it was proposed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_used: Option<Timestamp>,
    /// Why it is suspended, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
}

/// A debt that is not paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenDebt {
    pub change: ChangeId,
    pub debt: Debt,
    /// The owner of the change, who owes it.
    pub owner: String,
    /// What the change is about.
    pub services: BTreeSet<String>,
    #[schemars(with = "String")]
    pub due: Timestamp,
    pub reason: String,
}

impl Circumstances {
    /// Adds one event of any stream, in the order of the log.
    pub fn add(&mut self, change: Option<ChangeId>, event: &Event, actor: &Actor, at: Timestamp) {
        match event {
            Event::Delegated(delegation) => {
                // Who may speak is a rule; whoever sets it for others has edited it.
                if let Some(maker) = actor.user().filter(|maker| *maker != delegation.from) {
                    self.edits.push([maker.to_owned()].into());
                }
                self.delegations.retain(|d| !d.is_replaced_by(delegation));
                self.delegations.push(delegation.clone());
            }
            Event::DelegationEnded { from, to } => {
                self.delegations.retain(|d| d.from != *from || to.is_some() && d.to != *to);
            }
            Event::AllStopped { reason } => {
                self.stopped = Some(Stopped { by: actor.clone(), reason: reason.clone(), since: at });
            }
            Event::StopReleased { .. } => self.stopped = None,
            Event::HoldSet(order) => {
                self.holds.retain(|hold| hold.order.hold != order.hold);
                self.holds.push(ServiceHold { order: (**order).clone(), by: actor.clone(), since: at });
                keep_latest(&mut self.holds, MOST_HOLDS, |hold| hold.order.until);
            }
            Event::BudgetMoved(state) => {
                self.budgets.insert(state.service.clone(), (**state).clone());
            }
            Event::BatchStopped { batch, by } => self.batch_stops(batch.clone(), *by, at),
            Event::BatchReleased { batch, .. } => _ = self.batches_stopped.remove(batch),
            Event::HoldReleased { hold, .. } => self.holds.retain(|known| known.order.hold != *hold),
            Event::StandardSuspended { standard, reason, .. } => {
                self.standards.entry(standard.clone()).or_default().suspended = Some(reason.clone());
            }
            Event::StandardReinstated { standard, .. } => {
                let record = self.standards.entry(standard.clone()).or_default();
                (record.suspended, record.failed_in_a_row) = (None, 0);
            }
            Event::ReleaseProposed { release, .. }
            | Event::ReleaseMoved { release, .. }
            | Event::ReleaseStopped { release, .. }
            | Event::ReleaseStuck { release, .. }
            | Event::ReleasePassed { release }
            | Event::ReleaseWithdrawn { release, .. }
            | Event::ReleaseTold { release, .. } => {
                if let Some(next) = release::evolve(self.releases.remove(release), event, actor, at) {
                    self.releases.insert(*release, next);
                }
            }
            Event::GovernanceLoaded { editors, .. } if !editors.is_empty() => self.edits.push(editors.clone()),
            of_change => {
                if let Some(id) = change {
                    self.add_of_change(id, of_change, at);
                }
            }
        }
    }

    fn add_of_change(&mut self, id: ChangeId, event: &Event, at: Timestamp) {
        match event {
            Event::Proposed(proposed) => {
                self.edits_before.insert(id, self.edits.len());
                self.proposed(id, &proposed.proposal);
                if let Some(standard) = proposed.proposal.course.standard() {
                    self.standards.entry(standard.id.clone()).or_default().last_used = Some(at);
                }
            }
            Event::Amended { proposal, .. } => self.proposed(id, proposal),
            Event::DebtOwed { debt, reason, due } => {
                let Debtor { owner, services } = self.debtors.get(&id).cloned().unwrap_or_default();
                let new = || OpenDebt { change: id, debt: *debt, owner, services, due: *due, reason: reason.clone() };
                let more = |open: &mut OpenDebt| aftermath::owe_more(&mut open.reason, &mut open.due, reason, *due);
                self.debts.entry((id, *debt)).and_modify(more).or_insert_with(new);
            }
            Event::DebtPaid { debt, .. } => {
                self.debts.remove(&(id, *debt));
            }
            Event::DebtRefused { debt, .. } => {
                self.debts.entry((id, *debt)).and_modify(|owed| owed.due = owed.due.min(at));
            }
            Event::StepBegun { step: 0, attempt: 1, .. } => self.begins(id, at),
            Event::WentWithBatch { batch } => _ = self.batched.insert(id, batch.clone()),
            Event::Completed => {
                self.batched.remove(&id);
                self.counts(id, |record| {
                    record.completed += 1;
                    record.failed_in_a_row = 0;
                });
            }
            failure if batch::is_failure(failure) => {
                // Also where the stream of batches does not say so: it did not always.
                if let Some(batch) = self.batched.remove(&id) {
                    self.batch_stops(batch, id, at);
                }
                self.counts(id, |record| {
                    record.failed += 1;
                    record.failed_in_a_row += 1;
                });
            }
            Event::Withdrawn { .. } | Event::Superseded { .. } | Event::Refused { .. } | Event::Lapsed { .. } => {
                self.instances.remove(&id);
            }
            _ => {}
        }
    }

    fn proposed(&mut self, id: ChangeId, proposal: &crate::proposal::Proposal) {
        self.debtors.insert(id, Debtor { owner: proposal.owner.clone(), services: proposal.services.clone() });
        match proposal.course.standard() {
            Some(standard) => self.instances.insert(id, standard.id.clone()),
            None => self.instances.remove(&id),
        };
    }

    fn batch_stops(&mut self, batch: String, by: ChangeId, at: Timestamp) {
        self.batches_stopped.entry(batch).or_insert(BatchStopped { by, since: at });
    }

    fn begins(&mut self, id: ChangeId, at: Timestamp) {
        let services = self.debtors.get(&id).map(|debtor| debtor.services.clone()).unwrap_or_default();
        for service in services {
            let begun = self.begun.entry(service).or_default();
            begun.retain(|(_, other)| *other != id);
            begun.push((at, id));
            keep_latest(begun, budget::MOST_A_DAY, |(at, _)| *at);
        }
    }

    // An instance counts once, by what came first. A rollback counts when it begins: one that fails for good must not count for less than one that
    // works. A verdict that leaves the rollback to people is as much a failure, whatever they make of it.
    fn counts(&mut self, id: ChangeId, count: impl FnOnce(&mut Record)) {
        if let Some(standard) = self.instances.remove(&id) {
            count(self.standards.entry(standard).or_default());
        }
    }

    /// The delegations by which a user speaks for others at `now`.
    pub fn delegated_to<'a>(&'a self, user: &'a str, now: Timestamp) -> impl Iterator<Item = &'a Delegation> {
        self.delegations.iter().filter(move |d| d.to.as_deref() == Some(user) && now < d.until)
    }

    /// Every delegation and absence that holds at `now`.
    pub fn delegations(&self, now: Timestamp) -> impl Iterator<Item = &Delegation> {
        self.delegations.iter().filter(move |d| now < d.until)
    }

    /// Whether a user is away at `now` without anybody in their place.
    pub fn is_away(&self, user: &str, now: Timestamp) -> bool {
        self.delegations(now).any(|d| d.from == user && d.to.is_none())
    }

    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// A release as it stands.
    pub fn release(&self, id: ReleaseId) -> Option<&Release> {
        self.releases.get(&id)
    }

    /// All releases, the newest first.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.values().rev()
    }

    /// The holds of services that last at `now`, in the order in which they were set.
    pub fn holds(&self, now: Timestamp) -> impl Iterator<Item = &ServiceHold> {
        self.holds.iter().filter(move |hold| now < hold.order.until)
    }

    /// Those of them that cover a change.
    pub fn holds_of(&self, proposal: &Proposal, catalog: &Catalog, now: Timestamp) -> Vec<ServiceHold> {
        self.holds(now).filter(|hold| hold.order.covers(proposal, catalog)).cloned().collect()
    }

    /// What the log says of the budget of a service.
    pub fn budget(&self, service: &str) -> Option<&BudgetState> {
        self.budgets.get(service)
    }

    /// What the log says of every budget, by service.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetState> {
        self.budgets.values()
    }

    /// When other changes of a service began within the last day, the earliest first.
    pub fn begun(&self, service: &str, but: ChangeId, now: Timestamp) -> Vec<Timestamp> {
        let begun = self.begun.get(service).into_iter().flatten();
        let mut times: Vec<Timestamp> =
            begun.filter(|(at, id)| *id != but && now < after(*at, budget::DAY)).map(|(at, _)| *at).collect();
        times.sort_unstable();
        times
    }

    /// The batch with which a change went, while it is under way and has not failed.
    pub fn went_with(&self, change: ChangeId) -> Option<&String> {
        self.batched.get(&change)
    }

    /// Who has failed of a batch, if nobody has released the rest since.
    pub fn batch_stopped(&self, batch: &str) -> Option<&BatchStopped> {
        self.batches_stopped.get(batch)
    }

    /// How a standard change has fared.
    pub fn standard(&self, id: &str) -> Record {
        self.standards.get(id).cloned().unwrap_or_default()
    }

    /// All open debts, the earliest due first.
    pub fn debts(&self) -> Vec<&OpenDebt> {
        let mut debts: Vec<&OpenDebt> = self.debts.values().collect();
        debts.sort_by_key(|d| (d.due, d.change, d.debt));
        debts
    }

    /// What should have been paid by `now`, whoever owes it.
    pub fn overdue(&self, now: Timestamp) -> impl Iterator<Item = &OpenDebt> {
        self.debts().into_iter().filter(move |d| d.due <= now)
    }

    /// Whether a user has edited the rules since a change was proposed. Of a change that the log does not know, every edit is since.
    pub fn edited_since(&self, user: &str, change: ChangeId) -> bool {
        let before = self.edits_before.get(&change).copied().unwrap_or(0);
        self.edits.iter().skip(before).any(|editors| editors.contains(user))
    }
}

impl Delegation {
    /// Being away, and one person in one's place, is said once; a new word replaces the old one.
    fn is_replaced_by(&self, newer: &Self) -> bool {
        self.from == newer.from && self.to == newer.to
    }

    /// The groups of `from` for which somebody stands in.
    pub fn covers(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.contains(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn fold(events: &[Event]) -> Circumstances {
        let mut all = Circumstances::default();
        let ada = Actor::User("ada".into());
        events.iter().for_each(|event| all.add(Some(ChangeId::new(1)), event, &ada, Timestamp::UNIX_EPOCH));
        all
    }

    fn delegation(to: Option<&str>) -> Event {
        Event::Delegated(Delegation {
            from: "ada".into(),
            to: to.map(str::to_owned),
            groups: ["sre".to_owned()].into(),
            until: after(Timestamp::UNIX_EPOCH, Span::secs(60)),
            reason: "holidays".into(),
        })
    }

    #[test]
    fn a_delegation_ends_by_itself_and_by_word() {
        let all = fold(&[delegation(Some("bob")), delegation(None)]);
        let early = Timestamp::UNIX_EPOCH;
        assert_eq!(all.delegated_to("bob", early).count(), 1);
        assert!(all.is_away("ada", early) && !all.is_away("ada", after(early, Span::secs(60))));
        assert_eq!(all.delegated_to("bob", after(early, Span::secs(60))).count(), 0);
        let ended = Event::DelegationEnded { from: "ada".into(), to: Some("bob".into()) };
        let all = fold(&[delegation(Some("bob")), delegation(None), ended]);
        assert_eq!((all.delegated_to("bob", early).count(), all.is_away("ada", early)), (0, true));
    }

    fn hold(number: u64, until: Timestamp) -> Event {
        Event::HoldSet(Box::new(crate::holds::HoldOrder {
            hold: format!("HOLD-{number}"),
            services: ["shop".to_owned()].into(),
            team: None,
            environment: None,
            until,
            emergency: crate::calendar::Passage::Allow,
            pause: false,
            reason: "an incident".into(),
        }))
    }

    // A4, F9: whatever is added while a clock is ahead, what lasts by the right time is known when it is set back.
    #[test]
    fn a_clock_that_jumps_forgets_no_hold_and_no_start() {
        let (now, ada) = (Timestamp::UNIX_EPOCH, Actor::User("ada".into()));
        let (hour, ahead) = (after(now, Span::secs(3_600)), after(now, Span::secs(2 * 86_400)));
        let mut all = Circumstances::default();
        all.add(None, &hold(1, hour), &ada, now);
        all.add(None, &hold(2, after(ahead, Span::secs(60))), &ada, ahead);
        assert_eq!(all.holds(now).count(), 2);
        for number in 3..2_000 {
            all.add(None, &hold(number, after(now, Span::secs(1))), &ada, now);
        }
        assert_eq!(
            (all.holds.len(), all.holds(after(now, Span::secs(2))).count()),
            (MOST_HOLDS, 2),
            "the last to end are kept"
        );
        let services: BTreeSet<String> = ["shop".to_owned()].into();
        for (number, at) in [(1, now), (2, ahead), (3, hour)] {
            let id = ChangeId::new(number);
            all.debtors.insert(id, Debtor { owner: "sre".into(), services: services.clone() });
            all.begins(id, at);
        }
        assert_eq!(all.begun("shop", ChangeId::new(9), hour), [now, hour, ahead]);
        assert_eq!(all.begun("shop", ChangeId::new(9), ahead), [ahead]);
    }

    #[test]
    fn a_debt_is_open_until_it_is_paid() {
        let owed = Event::DebtOwed { debt: Debt::Review, reason: "r".into(), due: Timestamp::UNIX_EPOCH };
        assert_eq!(fold(std::slice::from_ref(&owed)).debts().len(), 1);
        let paid = Event::DebtPaid { debt: Debt::Review, summary: "s".into() };
        assert!(fold(&[owed, paid]).debts().is_empty());
    }

    #[test]
    fn a_reinstated_standard_change_begins_to_count_anew() {
        let suspended = Event::StandardSuspended { standard: "restart".into(), failures: 2, reason: "twice".into() };
        assert_eq!(fold(std::slice::from_ref(&suspended)).standard("restart").suspended, Some("twice".into()));
        let back = Event::StandardReinstated { standard: "restart".into(), reason: "mended".into() };
        assert_eq!(fold(&[suspended, back]).standard("restart"), Record::default());
    }
}
