//! On call: who answers for a service at an instant?
//!
//! Reads the catalog, the roster and access.yaml, and nothing else: no clock and no address. What can't be known is said to be unknown; it is
//! never nobody, and never everybody. People on call hear of changes of high risk before they begin. Whose turn it is stands in
//! [`roster`](crate::roster).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assessment::Risk;
use crate::budget::OnUnknown;
use crate::document::{all, list};
use crate::gate::{self, Gate, GateName, GateState, closed};
use crate::governance::Governance;
use crate::lifecycle::{Change, Event, Given, Stage, Urgency};
use crate::time::{Timestamp, before};

/// Who is on call for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Duty {
    /// What the catalog names: users, groups and schedules; the owner where it names nobody.
    pub named: BTreeSet<String>,
    /// The users who are on call by that.
    pub users: BTreeSet<String>,
    /// Until when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Why nobody can say it of all that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl Duty {
    fn add(&mut self, other: Self) {
        self.named.extend(other.named);
        self.users.extend(other.users);
        self.until = [self.until, other.until].into_iter().flatten().min();
        self.unknown = self.unknown.take().or(other.unknown);
    }
}

impl Governance {
    /// Who is on call by one name: a schedule, a user or a group.
    pub fn on_call_by(&self, name: &str, now: Timestamp) -> Duty {
        let named = BTreeSet::from([name.to_owned()]);
        if let Some(turn) = self.roster.turn(name, &self.access, now) {
            return Duty { named, users: turn.users, until: turn.until, unknown: turn.unknown };
        }
        let users: BTreeSet<String> = match self.access.is_active(name) {
            true => [name.to_owned()].into(),
            false => self.access.users_of_group(name).map(str::to_owned).collect(),
        };
        // Whoever is woken has to be a person.
        let users = users.into_iter().filter(|user| !self.access.is_machine(user)).collect();
        Duty { named, users, until: None, unknown: None }
    }

    /// Who is on call for these services. One that the catalog does not know has nobody.
    pub fn on_call<'a>(&self, services: impl IntoIterator<Item = &'a String>, now: Timestamp) -> Duty {
        let mut duty = Duty::default();
        for service in services.into_iter().filter_map(|name| self.catalog.service(name)) {
            duty.add(self.on_call_by(service.on_call.as_ref().unwrap_or(&service.owner), now));
        }
        duty
    }

    /// Whether a user is on call for every one of these services.
    pub fn is_on_call_for_all(&self, user: &str, services: &BTreeSet<String>, now: Timestamp) -> bool {
        let is = |service: &String| self.on_call([service], now).users.contains(user);
        !services.is_empty() && services.iter().all(is)
    }
}

/// What is in the key of a notice to people on call.
const NOTICE: &str = "/on-call/";

/// Whether a page with this key is a notice of a start.
pub(crate) fn is_notice(key: &str) -> bool {
    key.contains(NOTICE)
}

/// An emergency has asked people on call already, by its quorum.
fn is_told(change: &Change) -> bool {
    let risk = change.assessment.as_ref().map(|assessed| assessed.assessment.level);
    risk.is_some_and(|risk| risk >= Risk::High) && change.proposal.course.emergency().is_none()
}

/// What people on call hear of a change of high risk: now that it is scheduled, and once more before a start that is planned.
pub(crate) fn notices(change: &Change, given: &Given, not_before: Timestamp) -> Vec<Event> {
    if !is_told(change) || given.duty.named.is_empty() {
        return vec![];
    }
    let services = list(change.proposal.services.iter().map(String::as_str));
    let notice = |about: &str, reason: String, at: Option<Timestamp>| Event::PageOwed {
        key: format!("{}{NOTICE}{about}", change.id),
        reason,
        to: given.duty.named.clone(),
        urgency: Urgency::Notice,
        at,
    };
    let start = start(change, given, not_before);
    let reason = format!(
        "a change of high risk to {services} is scheduled and begins {start}; `clearway veto {} --for 1h --reason ...` holds it",
        change.id
    );
    let soon = Some(before(not_before, given.tell_on_call.before)).filter(|at| *at > given.now);
    let once_more = soon.map(|at| {
        let reason = format!("a change of high risk to {services} begins {start}, in {}", given.tell_on_call.before);
        notice("soon", reason, Some(at))
    });
    std::iter::once(notice("scheduled", reason, None)).chain(once_more).collect()
}

/// When a change that is scheduled begins, in words: not "now" while a gate holds it.
fn start(change: &Change, given: &Given, not_before: Timestamp) -> String {
    if not_before > given.now {
        return format!("at `{not_before}`");
    }
    let gates = gate::ask(change, given);
    // Whether the target is ready is asked just before the first step.
    let holding: Vec<&Gate> = gates.iter().filter(|gate| gate.holds() && gate.gate != GateName::Readiness).collect();
    if holding.is_empty() {
        return "now".to_owned();
    }
    let opens = |gate: &&Gate| gate.state.opens_at().map_or_else(String::new, |at| format!(", at `{at}` by itself"));
    let names = all(holding.iter().map(|gate| gate.gate.word()));
    let reasons: Vec<String> = holding.iter().filter_map(|gate| gate.reasons()).collect();
    let when = match holding.as_slice() {
        [only] => opens(only),
        _ => String::new(),
    };
    format!("once {names} {} open{when} ({})", if holding.len() == 1 { "is" } else { "are" }, reasons.join("; "))
}

/// What people on call hear when a change begins that they were told had to wait.
pub(crate) fn begins(change: &Change, given: &Given) -> Option<Event> {
    let has_waited = change.rollout().is_none() && change.hold.is_some();
    if !has_waited || !is_told(change) || given.duty.named.is_empty() {
        return None;
    }
    let services = list(change.proposal.services.iter().map(String::as_str));
    let key = format!("{}{NOTICE}begins", change.id);
    let reason = format!("a change of high risk to {services} that had to wait begins now: every gate is open");
    Some(Event::PageOwed { key, reason, to: given.duty.named.clone(), urgency: Urgency::Notice, at: None })
}

/// Why nobody on call has heard of a change of high risk that is about to begin; nothing where somebody has, or need not.
fn untold(change: &Change, given: &Given) -> Option<String> {
    let Stage::Scheduled { .. } = change.stage else { return None };
    if !is_told(change) {
        return None;
    }
    let services = list(change.proposal.services.iter().map(String::as_str));
    if let Some(why) = &given.duty.unknown {
        return Some(format!("nobody can say who is on call for {services}: {why}"));
    }
    if given.duty.users.is_empty() {
        return Some(format!("nobody is on call for {services}"));
    }
    let waits = |(key, page): (&String, &crate::lifecycle::Page)| {
        is_notice(key) && page.sent_at.is_none() && page.at.is_none_or(|at| at <= given.now)
    };
    let users = list(given.duty.users.iter().map(String::as_str));
    change.pages.iter().any(waits).then(|| format!("{users} on call for {services} could not be told yet"))
}

/// Why a change of high risk does not begin: nobody on call could be told, and settings.yaml holds it then.
pub(crate) fn shut(change: &Change, given: &Given) -> Option<GateState> {
    let reason = untold(change, given).filter(|_| given.tell_on_call.untold == OnUnknown::Hold)?;
    let who =
        "whoever keeps roster.yaml, by naming who is on call; or whoever runs the channels of `[notify]`".to_owned();
    Some(closed("on_call_untold", reason, None, Some(who)))
}

/// The same where settings.yaml only warns.
pub(crate) fn warnings(change: &Change, given: &Given) -> Option<String> {
    // Where the catalog names nobody at all there is nobody who could miss it.
    let warns = given.tell_on_call.untold == OnUnknown::Warn && !given.duty.named.is_empty();
    untold(change, given).filter(|_| warns)
}
