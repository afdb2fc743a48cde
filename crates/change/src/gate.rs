//! Gates: may the next step begin, and if not, what would open it?
//!
//! Asked in one fixed order, shown to everybody, and asked again at each step. A gate that can't know its answer is closed and says so.

mod obstacles;

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aftermath::Debt;
use crate::approval::{self, Standing, Vote};
use crate::assessment::{Assessment, Denial, Level, POLICY_ERROR, Tick, Window};
use crate::budget;
use crate::calendar::{Exception, Frozen, OnClose, Opening, Passes, Windows, few};
use crate::catalog::Gating;
use crate::circumstances::OpenDebt;
use crate::conflict::outlook::InTheWay;
use crate::conflict::{Conflict, Stands};
use crate::course::Emergency;
use crate::document::{all, list};
use crate::exception::{self, Hand};
use crate::holds;
use crate::id::ChangeId;
use crate::lifecycle::{Change, Given};
use crate::on_call;
use crate::precedence::First;
use crate::release;
use crate::rollout::Rollout;
use crate::schedule::When;
use crate::standard;
use crate::time::Timestamp;

pub use obstacles::end_beside_calendar;

/// Everything is stopped: this holds whatever the gates of a service are set to.
pub const STOPPED: &str = "stopped";
/// Another change is under way on the same service, or near it.
const CONFLICT: &str = "conflict";
/// Another change waits for the same and goes first.
const QUEUE: &str = "queue";

/// The gates, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GateName {
    Validity,
    Policy,
    Conflicts,
    Windows,
    Approvals,
    Readiness,
}

impl GateName {
    pub fn word(self) -> &'static str {
        match self {
            Self::Validity => "validity",
            Self::Policy => "policy",
            Self::Conflicts => "conflicts",
            Self::Windows => "windows",
            Self::Approvals => "approvals",
            Self::Readiness => "readiness",
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    pub gate: GateName,
    #[serde(flatten)]
    pub state: GateState,
    /// Each of the things that close it, where there are several: the first is the one of `code` and `reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<GateState>,
    /// What does not close it and should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Closed, and holds nothing: the services of the change are only observed, so it says what it would hold.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observed: bool,
    /// The change that has to move before it can open: the nearest of those in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<ChangeId>,
    /// Every change in the way, and when it is expected to end. For people: the log has none of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<InTheWay>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Open, or closed with what would open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum GateState {
    Open,
    Closed {
        /// For programs, such as `approvals_missing`.
        code: String,
        /// For people.
        reason: String,
        /// When it opens by itself, where that is known: the latest of several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        opens_at: Option<Timestamp>,
        /// Who or what can open it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who_can: Option<String>,
    },
}

impl Gate {
    pub fn new(gate: GateName, state: GateState) -> Self {
        Self { gate, state, obstacles: vec![], warnings: vec![], observed: false, behind: None, in_the_way: vec![] }
    }

    pub fn is_open(&self) -> bool {
        self.state == GateState::Open
    }

    /// Whether it is closed and holds the change.
    pub fn holds(&self) -> bool {
        !self.is_open() && !self.observed
    }

    // Where services are only observed, all but the safety of the target and what a person has stopped by name report and hold nothing.
    fn seen_by(mut self, change: &Change, given: &Given) -> Self {
        let is_observed = change.proposal.gating == Gating::Observe && given.gating == Gating::Observe;
        let guards_target = match self.gate {
            GateName::Validity => true,
            GateName::Conflicts => !matches!(self.code(), Some(CONFLICT | QUEUE)),
            _ => false,
        };
        let by_people = [STOPPED, holds::HELD_BY_HOLD, holds::VETOED];
        let holds_always = guards_target || self.code().is_some_and(|code| by_people.contains(&code));
        self.observed = is_observed && !holds_always && !self.is_open();
        self
    }

    /// Why it is closed, with its name.
    pub fn why(&self) -> Option<String> {
        self.reasons().map(|reasons| format!("{}: {reasons}", self.gate))
    }

    /// All reasons for which it is closed, in one line.
    pub fn reasons(&self) -> Option<String> {
        let each: Vec<&str> = self.closed_by().iter().filter_map(GateState::reason).collect();
        (!each.is_empty()).then(|| each.join("; and "))
    }

    /// Each thing that closes it.
    pub fn closed_by(&self) -> &[GateState] {
        match self.obstacles.as_slice() {
            [] if self.is_open() => &[],
            [] => std::slice::from_ref(&self.state),
            several => several,
        }
    }

    /// The latest end that is known of what closes it: it does not open before, and need not open then.
    pub fn not_before(&self) -> Option<Timestamp> {
        let known = self.closed_by().iter().filter_map(GateState::opens_at);
        known.chain(self.state.opens_at()).max()
    }

    /// The code of a closed gate.
    pub fn code(&self) -> Option<&str> {
        match &self.state {
            GateState::Open => None,
            GateState::Closed { code, .. } => Some(code),
        }
    }
}

impl GateState {
    /// When it opens by itself, where that is known.
    pub fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::Open => None,
            Self::Closed { opens_at, .. } => *opens_at,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Closed { reason, .. } => Some(reason),
        }
    }
}

pub(crate) fn closed(code: &str, reason: String, opens_at: Option<Timestamp>, who_can: Option<String>) -> GateState {
    GateState::Closed { code: code.to_owned(), reason, opens_at, who_can }
}

/// All gates of a change at this moment, in their fixed order.
pub fn ask(change: &Change, given: &Given) -> Vec<Gate> {
    let (conflicts, behind) = conflicts(change, given);
    let at_this_time = obstacles::at_this_time(change, given);
    let gates = [
        (GateName::Validity, validity(change)),
        (GateName::Policy, policy(change, given)),
        (GateName::Conflicts, conflicts),
        (GateName::Windows, obstacles::as_one(&at_this_time, given)),
        (GateName::Approvals, approvals(change, given)),
        (GateName::Readiness, on_call::shut(change, given).unwrap_or_else(|| readiness(change, given))),
    ];
    let warnings = |gate| match gate {
        GateName::Readiness => given.warnings.iter().cloned().chain(on_call::warnings(change, given)).collect(),
        GateName::Conflicts => given.conflicts.iter().filter(|found| !found.holds()).map(beside).collect(),
        GateName::Windows => passing(change, given).into_iter().chain(budget::warnings(given)).collect(),
        _ => vec![],
    };
    let behind = |gate| match gate {
        GateName::Conflicts => behind,
        GateName::Windows => budget::behind(change, given),
        _ => None,
    };
    let each = gates.into_iter().map(|(gate, state)| {
        let several = at_this_time.len() > 1 && gate == GateName::Windows;
        let obstacles = if several { at_this_time.clone() } else { vec![] };
        let gate = Gate { warnings: warnings(gate), obstacles, ..Gate::new(gate, state) };
        let waits_for_a_turn = gate.gate == GateName::Conflicts || gate.code() == Some(budget::RATE);
        Gate { behind: behind(gate.gate).filter(|_| waits_for_a_turn), ..gate }
    });
    each.map(|gate| gate.seen_by(change, given)).collect()
}

/// The gates that are closed.
pub fn closed_ones(gates: Vec<Gate>) -> Vec<Gate> {
    gates.into_iter().filter(|g| !g.is_open()).collect()
}

fn validity(change: &Change) -> GateState {
    let mut found = change.proposal.secrets.iter().filter(|finding| finding.allowed.is_none());
    if let Some(first) = found.next() {
        let more = match found.count() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        let who = "the author: make the secret worthless by a new one, take it out of the material, and amend; or the owner of `secrets.yaml`, by allowing it";
        return closed("secret_found", format!("{first}{more}"), None, Some(who.into()));
    }
    if change.proposal.compute_effect_digest() == change.proposal.effect_digest {
        GateState::Open
    } else {
        let reason = "the proposal does not have the effect digest that it names".to_owned();
        closed("effect_mismatch", reason, None, Some("the author, by proposing it anew".into()))
    }
}

fn policy(change: &Change, given: &Given) -> GateState {
    let Some(assessed) = &change.assessment else {
        return closed(
            "not_assessed",
            "policy has not answered yet".into(),
            None,
            Some("nobody: it comes by itself".into()),
        );
    };
    if assessed.assessment.effect != change.proposal.effect_digest {
        return closed(
            "assessment_stale",
            "policy has assessed another effect than this one".into(),
            None,
            Some("nobody: it comes by itself".into()),
        );
    }
    let effect = change.proposal.effect_digest;
    let set_aside = exception::still_aside(&change.set_aside, given);
    let standing = exception::standing(&assessed.assessment, &set_aside, effect);
    if !standing.is_empty() {
        let reasons: Vec<&str> = standing.iter().map(|d| d.reason.as_str()).collect();
        return closed("policy_denies", reasons.join("; "), None, Some(who_sets_aside(change, &standing, given)));
    }
    let open = exception::unticked(&assessed.assessment, &change.ticked, effect);
    if open.is_empty() || change.rollout().is_some() {
        return GateState::Open;
    }
    let titles: Vec<String> = open.iter().map(|item| format!("{} ({}/{})", item.title, item.list, item.code)).collect();
    let by_person = open.iter().any(|item| item.tick == Tick::Person);
    let who = if by_person {
        "somebody who may propose or approve, by ticking it"
    } else {
        "the author, by amending `evidence`"
    };
    closed("checklist_open", format!("not ticked yet: {}", titles.join("; ")), None, Some(who.into()))
}

fn who_sets_aside(change: &Change, standing: &[&Denial], given: &Given) -> String {
    let codes = standing.iter().map(|denial| denial.code.clone()).collect();
    let joined = |hand: &&Hand| hand.can_be_joined(change.proposal.effect_digest, &codes, given);
    if let Some(hand) = change.hand.as_ref().filter(joined) {
        return format!(
            "a second person beside {}, by breaking the glass too; or the author, by amending the change",
            hand.by
        );
    }
    if standing.iter().any(|denial| denial.code == POLICY_ERROR) {
        return "whoever keeps the policies, by mending the one that failed: what waits is assessed anew once they are loaded".into();
    }
    if standing.iter().any(|denial| denial.level == Level::Hard) {
        return "the author, by amending the change; or two people together, by breaking the glass".into();
    }
    let groups: Vec<&str> = standing.iter().flat_map(|d| &d.override_by).map(String::as_str).collect();
    let who = if groups.is_empty() { "somebody who may override".to_owned() } else { list(groups) };
    format!("the author, by amending the change; or {who}, by overriding it with a reason")
}

/// Whether another change is in the way, and which has to move first.
///
/// What it comes after is asked before the line that it stands in: who can't go yet must not hold those behind.
fn conflicts(change: &Change, given: &Given) -> (GateState, Option<ChangeId>) {
    if let Some(found) = after(change, given) {
        return found;
    }
    if let Some(shut) = release(change, given) {
        return (shut, None);
    }
    let holding = || given.conflicts.iter().filter(|found| found.holds() && change.rollout().is_none());
    if let Some(ahead) = holding().find(|found| found.stands == Stands::Ahead) {
        return (queued(ahead), Some(ahead.with));
    }
    if let Some(lane) = given.lanes.iter().find(|lane| lane.is_held_by_another(change.id)) {
        let holder = lane.holder.map(|h| h.to_string()).unwrap_or_default();
        let reason = format!("`{holder}` is changing `{}`", lane.resource);
        let who = format!("nobody: it opens when `{holder}` is done");
        return (closed("lane_taken", reason, None, Some(who)), lane.holder);
    }
    let known: Vec<&str> = given.lanes.iter().map(|lane| lane.resource.as_str()).collect();
    if let Some(resource) = change.proposal.claims.resources.iter().find(|r| !known.contains(&r.as_str())) {
        let reason = format!("nobody can say who is changing `{resource}`");
        return (closed("lane_unknown", reason, None, None), None);
    }
    match holding().next() {
        Some(found) => (met(change, found), Some(found.with)),
        None => (GateState::Open, None),
    }
}

fn queued(ahead: &Conflict) -> GateState {
    let first = ahead.with;
    let why = ahead.first.as_ref().unwrap_or(&First::Approved);
    let reason = format!("`{first}` {}", why.in_words());
    let who = format!("nobody: it opens when `{first}` has gone; or whoever may withdraw `{first}`");
    closed(QUEUE, reason, None, Some(who))
}

fn met(change: &Change, found: &Conflict) -> GateState {
    let other = found.with;
    let reason = format!("`{other}` is changing {}", place(found, &change.proposal.environment));
    let who = format!("nobody: it opens when `{other}` is done; or whoever may roll `{other}` back");
    closed(CONFLICT, reason, None, Some(who))
}

/// Where two changes meet, in words.
pub fn place(found: &Conflict, environment: &str) -> String {
    let service = found.service.as_deref().unwrap_or("the same target");
    match found.hops {
        0 => format!("`{service}` in `{environment}`"),
        1 => format!("`{service}` in `{environment}`, one call away"),
        hops => format!("`{service}` in `{environment}`, {hops} calls away"),
    }
}

fn beside(found: &Conflict) -> String {
    let service = found.service.as_deref().unwrap_or("the same target");
    let away = match found.hops {
        0 => String::new(),
        1 => ", one call away".to_owned(),
        hops => format!(", {hops} calls away"),
    };
    format!("`{}` is changing `{service}`{away}, and goes on beside it", found.with)
}

/// Why what has to be completed first holds it.
fn after(change: &Change, given: &Given) -> Option<(GateState, Option<ChangeId>)> {
    let open: Vec<ChangeId> =
        change.proposal.after.iter().filter(|id| !given.completed.contains(*id)).copied().collect();
    let stranded: Vec<String> =
        open.iter().filter_map(|id| Some(format!("`{id}`, which is {}", given.stranded.get(id)?))).collect();
    if !stranded.is_empty() {
        let reason = format!("it comes after {}, and can't be completed any more", stranded.join(" and "));
        let who = "the author, by amending `after`: name the change that takes its place, or leave it out".to_owned();
        return Some((closed("after_stranded", reason, None, Some(who)), None));
    }
    let first = *open.first()?;
    let names = open.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let who = format!("nobody: it opens when {names} is completed");
    Some((closed("after", format!("it comes after {names}"), None, Some(who)), Some(first)))
}

/// Why the release of a change holds it, if it does.
fn release(change: &Change, given: &Given) -> Option<GateState> {
    let id = change.release?;
    let Some(release) = given.release.as_ref().filter(|release| release.id == id) else {
        let reason = format!("nobody can say how `{id}` stands, which it is part of");
        return Some(closed("release", reason, None, None));
    };
    let holding = release::holds(release, change, given.now)?;
    Some(closed("release", holding.reason, holding.opens_at, Some(holding.who_can)))
}

/// What freezes and windows say; freezes win.
fn by_calendar(change: &Change, given: &Given) -> GateState {
    if let Some(freeze) = freezes(change, given).next() {
        return frozen(change, freeze, given);
    }
    match &given.windows {
        Windows::Shut { names, opens_at, owners, .. } if !is_emergency(change, given) => {
            outside(change, names, *opens_at, owners, given)
        }
        _ => GateState::Open,
    }
}

/// Whether it is an emergency that lasts.
fn is_emergency(change: &Change, given: &Given) -> bool {
    change.proposal.course.emergency().is_some_and(|emergency| given.now < emergency.until)
}

/// The freezes that it does not pass. What an emergency may pass, it may pass while it lasts, however much of it has been approved since.
fn freezes<'a>(change: &Change, given: &'a Given) -> impl Iterator<Item = &'a Frozen> {
    let passes = Passes::of(change, &given.grants_lost);
    given.frozen.iter().filter(move |frozen| !passes.freeze(&frozen.name, frozen.emergency, given.now))
}

/// The calendar has closed: what closed it, and what a change under way does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub names: Vec<String>,
    pub then: OnClose,
    pub reason: String,
    /// When it opens again, where it does.
    pub until: Option<Timestamp>,
}

/// What holds a change by the calendar, and the strictest of what is asked of a change under way; nothing where the calendar is open to it.
pub fn closing(change: &Change, given: &Given) -> Option<Closing> {
    let gate = Gate::new(GateName::Windows, by_calendar(change, given)).seen_by(change, given);
    let reason = gate.why().filter(|_| gate.holds())?;
    let frozen: Vec<&Frozen> = freezes(change, given).collect();
    let shut = match &given.windows {
        Windows::Shut { names, on_close, .. } if !is_emergency(change, given) => Some((names, *on_close)),
        _ => None,
    };
    let named = shut.iter().flat_map(|(names, _)| names.iter());
    let names = frozen.iter().map(|freeze| &freeze.name).chain(named).cloned().collect();
    let asked = frozen.iter().map(|freeze| freeze.on_close).chain(shut.map(|(_, on_close)| on_close));
    let then = asked.chain([change.proposal.on_close]).max().unwrap_or_default();
    let until = match gate.state {
        GateState::Closed { opens_at, .. } => opens_at,
        GateState::Open => None,
    };
    Some(Closing { names, then, reason, until })
}

fn frozen(change: &Change, freeze: &Frozen, given: &Given) -> GateState {
    let until = (freeze.until < Timestamp::MAX).then_some(freeze.until);
    let when = until.map_or_else(String::new, |at| format!(" until `{at}`"));
    let services = list(change.proposal.services.iter().map(String::as_str));
    let later = later_than(until, given);
    let lost = granted_by_nobody(change, &freeze.name, given);
    let reason = format!("the freeze `{}` covers {services}{when}: {}{later}{lost}", freeze.name, freeze.reason);
    let who = match wanted(change, &freeze.name, given) {
        Some(asked) => format!(
            "the owner of the freeze, `{}`, by granting the exception until `{}` that {} asks for: {}",
            freeze.owner, asked.until, asked.by, asked.reason
        ),
        None => format!("the owner of the freeze, `{}`, by an exception", freeze.owner),
    };
    closed("freeze", reason, opens_at(until, given), Some(who))
}

/// The exception of a freeze that somebody asks for, and nobody has granted.
fn wanted<'a>(change: &'a Change, freeze: &str, given: &Given) -> Option<&'a Exception> {
    let effect = change.proposal.effect_digest;
    change.exceptions.iter().rev().find(|one| one.freeze == freeze && one.is_open(effect, given.now))
}

/// Why an exception that was granted lets nothing pass: who granted it has left, or has lost the right to.
fn granted_by_nobody(change: &Change, freeze: &str, given: &Given) -> String {
    let effect = change.proposal.effect_digest;
    let meant = |one: &&Exception| one.freeze == freeze && one.counts(effect, given.now);
    let lost = change.exceptions.iter().filter(meant).find(|one| one.is_among(&given.grants_lost));
    let by = lost.and_then(|one| one.granted.as_ref()).map(|granted| &granted.by);
    by.map_or_else(String::new, |by| format!("; {by} granted an exception, and could not grant it now"))
}

/// The freezes that it passes by an exception now: nobody should have to look for why it goes.
fn passing(change: &Change, given: &Given) -> Vec<String> {
    let effect = change.proposal.effect_digest;
    let counts = |one: &&Exception| one.counts(effect, given.now) && !one.is_among(&given.grants_lost);
    let counting = change.exceptions.iter().filter(counts);
    let now = counting.filter(|one| given.frozen.iter().any(|frozen| frozen.name == one.freeze));
    let line = |one: &Exception| {
        let by = one.granted.as_ref().map(|granted| granted.by.to_string()).unwrap_or_default();
        format!(
            "it passes the freeze `{}` until `{}` by an exception that {by} granted: {}",
            one.freeze, one.until, one.reason
        )
    };
    now.map(line).collect()
}

fn outside(
    change: &Change,
    names: &[String],
    opens: Option<Timestamp>,
    owners: &BTreeSet<String>,
    given: &Given,
) -> GateState {
    let services = list(change.proposal.services.iter().map(String::as_str));
    let windows = few(names);
    let (one, when) = match (names.len(), opens) {
        (1, Some(at)) => ("the window", format!("it opens at `{at}`")),
        (_, Some(at)) => ("the windows", format!("the first of them opens at `{at}`")),
        (1, None) => ("the window", "it does not open within ten years".to_owned()),
        (_, None) => ("the windows", "none of them opens within ten years".to_owned()),
    };
    let later = later_than(opens, given);
    let reason = format!("changes of {services} begin only in {one} {windows}; {when}{later}");
    let who = format!("nobody: it opens by itself; or {}, by another window", list(owners.iter().map(String::as_str)));
    closed("outside_window", reason, opens_at(opens, given), Some(who))
}

/// When all of the calendar is open, where that was asked; otherwise when this part of it is.
fn opens_at(part: Option<Timestamp>, given: &Given) -> Option<Timestamp> {
    given.opening.as_ref().map_or(part, |opening| opening.at)
}

/// What else stands in the way once this has passed.
fn later_than(part: Option<Timestamp>, given: &Given) -> String {
    match &given.opening {
        Some(opening @ Opening { at, .. }) if *at != part => format!("; {}", opening.in_words()),
        _ => String::new(),
    }
}

/// Why a change that has to start at a time that people have seen has none.
fn no_time(change: &Change, given: &Given) -> Option<GateState> {
    let required = change.assessment.as_ref().is_some_and(|a| a.assessment.window == Window::Required);
    let has_window = given.windows != Windows::None || given.batch.is_some();
    if change.rollout().is_some() || !required || has_window {
        return None;
    }
    let reason = match change.proposal.when {
        When::At(_) => return None,
        When::Now => "a change like this starts at a planned time, and no time is planned".to_owned(),
        When::NextWindow => "a change like this starts in a window, and no window covers it".to_owned(),
    };
    let who = "the author, by amending `when`; or whoever keeps calendar.yaml, by a window";
    Some(closed("window_required", reason, None, Some(who.into())))
}

/// Why an emergency that is over holds the next step: it never began, or it began and nobody has approved it.
fn emergency_over(change: &Change, emergency: &Emergency) -> Option<GateState> {
    let until = emergency.until;
    if change.rollout().is_none() {
        let reason = format!("the emergency was over at `{until}` before it began");
        return Some(closed("emergency_over", reason, None, Some("the author, by proposing it anew".into())));
    }
    let reason = format!("the emergency was over at `{until}`, and it has not been approved since");
    change.owes(Debt::Approval).then(|| closed("emergency_over", reason, None, Some(owed_by(change))))
}

fn owed_by(change: &Change) -> String {
    let owed = change.assessment.iter().flat_map(|a| &a.assessment.owed);
    list(owed.map(|r| r.by.as_str()))
}

fn approvals(change: &Change, given: &Given) -> GateState {
    let effect = change.proposal.effect_digest;
    if let Some(rollout) = change.rollout() {
        return approvals_in_rollout(change, rollout, given);
    }
    if let Some(shut) = lane_shut(change, given) {
        return shut;
    }
    let Some(assessed) = &change.assessment else {
        return closed(
            "approvals_unknown",
            "what is required is not known before policy has answered".into(),
            None,
            None,
        );
    };
    if let Some(shut) = not_in_advance(change, &assessed.assessment, given) {
        return shut;
    }
    // Where nobody is asked, nobody can approve their own work under another name.
    if !given.unknown_committers.is_empty() && !assessed.assessment.requires.is_empty() {
        let names = all(given.unknown_committers.iter().map(String::as_str));
        let reason = format!("nobody can say whether who approves has written it: access.yaml does not know {names}");
        return closed(
            "unknown_committer",
            reason,
            None,
            Some("whoever keeps access.yaml, by adding the address".into()),
        );
    }
    if !change.requested.is_empty() {
        let asked: Vec<String> = change.requested.iter().map(|r| format!("{} asks: {}", r.by, r.reason)).collect();
        let who: Vec<String> = change.requested.iter().map(|r| r.by.to_string()).collect();
        let who = format!(
            "the author, by amending the change; or {}, by taking it back",
            list(who.iter().map(String::as_str))
        );
        return closed("changes_requested", asked.join("; "), None, Some(who));
    }
    let votes: Vec<Vote> = change.votes.iter().filter(|v| !given.revoked.contains(&v.voter)).cloned().collect();
    let requires = &assessed.assessment.requires;
    if approval::is_quorate(requires, &change.asked, &votes, effect, given.now) {
        return GateState::Open;
    }
    let standing = approval::standing(requires, &change.asked, &votes, effect, given.now);
    if let Some(shut) = nobody_to_agree(change, &standing, given) {
        return shut;
    }
    missing_approvals(&standing, given)
}

/// Why an emergency waits in vain: of those whom it asks, nobody is left who could agree.
fn nobody_to_agree(change: &Change, standing: &[Standing], given: &Given) -> Option<GateState> {
    if given.could_agree.is_empty() {
        return None;
    }
    let is_short = |s: &&Standing| s.missing() > those_who_could(s, given).len();
    let short = standing.iter().find(is_short)?;
    let groups = list(std::iter::once(&short.requirement.by).chain(&short.requirement.escalate).map(String::as_str));
    let services = list(change.proposal.services.iter().map(String::as_str));
    let on_call = match short.requirement.by == approval::ON_CALL {
        true if given.duty.users.is_empty() => format!(": nobody is on call for {services}"),
        true => format!(": on call for {services} is {}", list(given.duty.users.iter().map(String::as_str))),
        false => String::new(),
    };
    let reason = format!(
        "approvals are missing: {}, and nobody else is left among {groups} who has no part in the change{on_call}",
        short.in_words()
    );
    let others = given.could_agree.get(approval::APPROVERS).into_iter().flatten().map(String::as_str);
    let others: Vec<&str> = others.collect();
    let could = match others.as_slice() {
        [] => "nobody else may approve changes of these services: whoever keeps access.yaml, by letting somebody"
            .to_owned(),
        others => format!(
            "whoever keeps the roster, by putting {} on call too; or the author, by proposing it as a regular change, which they may approve",
            list(others.iter().copied())
        ),
    };
    Some(closed("nobody_to_agree", reason, None, Some(could)))
}

/// Those who have not voted yet and could, for a requirement of an emergency.
fn those_who_could<'a>(standing: &'a Standing, given: &'a Given) -> BTreeSet<&'a str> {
    let requirement = &standing.requirement;
    let groups = std::iter::once(&requirement.by).chain(&requirement.escalate);
    let users = groups.filter_map(|group| given.could_agree.get(group)).flatten().map(String::as_str);
    users.filter(|user| !standing.met_by.iter().any(|voter| voter.user() == Some(*user))).collect()
}

/// Why what was approved in advance is not approved any more.
fn not_in_advance(change: &Change, assessment: &Assessment, given: &Given) -> Option<GateState> {
    let instance = change.proposal.course.standard().filter(|_| assessment.pre_approved)?;
    let why = match &given.standard {
        Some(standard::Standing::Counts { .. }) => return None,
        Some(standard::Standing::CountsNot { why }) => why.as_str(),
        None => "nobody can say whether it does",
    };
    let reason = format!("it was approved in advance as `{}`, which does not count any more: {why}", instance.id);
    Some(closed(
        "standard_lost",
        reason,
        None,
        Some("the author, by amending it: it is approved like any other then".into()),
    ))
}

fn missing_approvals(standing: &[Standing], given: &Given) -> GateState {
    let open: Vec<&Standing> = standing.iter().filter(|s| s.missing() > 0).collect();
    let missing: Vec<String> = open.iter().map(|s| s.in_words()).collect();
    if standing.is_empty() {
        let reason = "nobody is asked, and automation approves only what no rule stands against".to_owned();
        return closed("approvals_missing", reason, None, Some("nobody: it opens with the gate `policy`".into()));
    }
    let reason = if missing.is_empty() {
        "the votes have lapsed".to_owned()
    } else {
        format!("approvals are missing: {}", missing.join(", "))
    };
    let who: Vec<&str> = open.iter().flat_map(|s| &s.asked).map(String::as_str).collect();
    // In an emergency nobody should have to look up who is behind the name of a group.
    let people: BTreeSet<&str> = open.iter().flat_map(|s| those_who_could(s, given)).collect();
    let named = if people.is_empty() { String::new() } else { format!(": {}", list(people)) };
    closed("approvals_missing", reason, None, Some(format!("{}{named}", list(who))))
}

// INVARIANT: votes are consumed by the first step; from then on age does not close the gate. Another effect does, and a vote that was taken back.
fn approvals_in_rollout(change: &Change, rollout: &Rollout, given: &Given) -> GateState {
    let effect = change.proposal.effect_digest;
    if rollout.effect != effect {
        return closed("approvals_void", "what is rolled out is not what was approved".into(), None, None);
    }
    if let Some(refused) = change.refused_afterwards() {
        let reason = format!("{} does not approve it afterwards: {}", refused.by, refused.reason);
        let who = format!("{}, by taking that back; or somebody who may, by rolling it back", refused.by);
        return closed("approval_refused", reason, None, Some(who));
    }
    let Some(assessed) = change.assessment.as_ref().filter(|_| !rollout.taken_back.is_empty()) else {
        return GateState::Open;
    };
    let requires = &assessed.assessment.requires;
    if approval::is_quorate(requires, &change.asked, &change.votes, effect, Timestamp::MIN) {
        return GateState::Open;
    }
    let names: Vec<String> = rollout.taken_back.iter().map(ToString::to_string).collect();
    let reason = format!("{} took their approval back", all(names.iter().map(String::as_str)));
    let standing = approval::standing(requires, &change.asked, &change.votes, effect, given.now);
    let who: Vec<&str> = standing.iter().flat_map(|s| &s.asked).map(String::as_str).collect();
    closed("approval_taken_back", reason, None, Some(list(who)))
}

/// While debts of those whom a change is for are overdue, its fast lane is shut.
fn lane_shut(change: &Change, given: &Given) -> Option<GateState> {
    change.proposal.course.emergency()?;
    let overdue: Vec<&OpenDebt> = given.overdue.iter().filter(|debt| debt.change != change.id).collect();
    if overdue.is_empty() {
        return None;
    }
    let owed: Vec<String> = overdue
        .iter()
        .map(|d| format!("`{}` owes the {} of `{}` since `{}`", d.owner, d.debt, d.change, d.due))
        .collect();
    let reason = format!("the emergency lane is shut while {}", owed.join(", "));
    let who = "whoever owes it, by paying; or propose it as a regular change".to_owned();
    Some(closed("emergency_lane_shut", reason, None, Some(who)))
}

fn readiness(change: &Change, given: &Given) -> GateState {
    if change.rollout().is_some() {
        // Asked before the first step; ever since, the verdicts look at the same target and the same telemetry.
        return GateState::Open;
    }
    match &given.readiness {
        Readiness::Ready => GateState::Open,
        Readiness::NotReady { problems } => closed(
            "not_ready",
            problems.join("; "),
            None,
            Some("whoever runs the target and the telemetry: it is asked again by itself".into()),
        ),
        Readiness::Unknown { why } => closed(
            "readiness_unknown",
            why.clone(),
            None,
            Some("nobody: it is asked by itself before the first step".into()),
        ),
    }
}

/// Whether target, rollback and telemetry are ready, as the shell found them just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Readiness {
    Ready,
    NotReady {
        problems: Vec<String>,
    },
    /// Nobody has looked.
    Unknown {
        why: String,
    },
}
