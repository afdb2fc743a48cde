//! Release: several changes as one: which may begin, when has the whole passed, and what follows when one of them fails?
//!
//! A release is a stream of its own, `release/REL-7`, and its members are changes like any other: assessed, approved, judged and rolled back each by
//! itself. What a member does stands in the release's stream by the same append ([`follow`]), so that the release never lags behind its members and
//! two of them can't race. Never waits: a rollback waits for its order alone, and the order gives way where a member can't go back.
//! The file that people write is read in [`file`], the graph is [`order`]. The shell acts in `engine/src/releases.rs`.

pub mod file;
pub mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::{Actor, Part};
use crate::id::{ChangeId, ReleaseId};
use crate::lifecycle::{Change, End, Event, Page, Stage, Urgency};
use crate::rollout::{BackState, PauseReason, Rollout};
use crate::time::{Span, Timestamp, after};
use order::{Order, Place};

/// What follows when a member fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Nothing more begins, and what was rolled out goes back, the last first.
    #[default]
    RollBack,
    /// Nothing more begins; what has begun goes on by its own verdict.
    Stop,
}

/// What has to be approved before anything of a release begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Begins {
    /// All of it: nobody is left with half a release because somebody says no to the other half.
    #[default]
    AllApproved,
    /// Each change by itself: for releases of which a part is decided upon later.
    EachApproved,
}

impl Begins {
    /// What releases did that were proposed before it could be said.
    fn before_it_was_said() -> Self {
        Self::EachApproved
    }
}

/// A release as it was proposed, with the changes that its members have become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposed {
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub owner: String,
    pub on_failure: OnFailure,
    #[serde(default = "Begins::before_it_was_said")]
    pub begins: Begins,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    pub members: Vec<Member>,
}

/// One of the changes of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    pub name: String,
    pub change: ChangeId,
    /// The members that have to pass before it begins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<String>,
    /// Its wave, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<usize>,
}

/// Members that go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wave {
    pub name: String,
    /// How long it is left alone before what comes after it.
    pub bake: Span,
    /// The most of it that is under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
}

/// Where a member stands, as its release sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing of it is rolled out.
    Waiting,
    /// The same, and it has its approvals.
    Approved,
    UnderWay,
    /// Its verdict failed, and it waits to be rolled back.
    Failed,
    /// Every step and the watch have passed; its rollback stays armed until the release has passed.
    Passed,
    Completed,
    GoingBack,
    Back,
    /// Its rollback failed.
    NotBack,
    /// It ended before it began.
    Gone,
}

impl Standing {
    /// Whether it stops its release.
    fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::GoingBack | Self::Back | Self::NotBack | Self::Gone)
    }

    /// Whether something of it is rolled out that can still go back.
    fn is_out(self) -> bool {
        matches!(self, Self::UnderWay | Self::Failed | Self::Passed)
    }

    /// Whether it does something, or waits for somebody to do it.
    fn is_moving(self) -> bool {
        !self.has_begun() || matches!(self, Self::UnderWay | Self::Failed | Self::GoingBack)
    }

    /// Whether something of it was ever rolled out, or it has ended without.
    fn has_begun(self) -> bool {
        !matches!(self, Self::Waiting | Self::Approved)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::UnderWay => "under way",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::Completed => "completed",
            Self::GoingBack => "going back",
            Self::Back => "rolled back",
            Self::NotBack => "not back",
            Self::Gone => "ended before it began",
        })
    }
}

/// Where a release stands. Derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing of it has begun.
    Waiting,
    RollingOut,
    RollingBack,
    /// All that can go back is back; of the rest, people were told.
    RollbackIncomplete,
    /// Stopped, and what had begun is coming to its end.
    Stopping,
    Completed,
    RolledBack,
    Stopped,
    Withdrawn,
}

impl Phase {
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Stopped | Self::Withdrawn)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::RollingOut => "rolling_out",
            Self::RollingBack => "rolling_back",
            Self::RollbackIncomplete => "rollback_incomplete",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
            Self::Stopped => "stopped",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// A release: the fold over its stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    pub id: ReleaseId,
    pub author: Actor,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
    pub plan: Proposed,
    /// How its members stand, in the order of the plan.
    pub standing: Vec<Stands>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Whom it tells of what, by key.
    pub pages: BTreeMap<String, Page>,
    /// The number of events in its stream.
    pub version: u64,
    #[schemars(with = "String")]
    pub updated_at: Timestamp,
}

/// How a member stands, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stands {
    pub is: Standing,
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Why the release can't roll it back, where it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

/// Why nothing more begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    pub by: Actor,
    /// The change whose failure it was; nothing where a person asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<ChangeId>,
    pub reason: String,
    pub then: OnFailure,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// How it ended, but for what its members still do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Ended {
    /// As a whole: no rollback is armed any more.
    Passed {
        #[schemars(with = "String")]
        at: Timestamp,
    },
    Withdrawn {
        reason: String,
    },
}

/// What is asked of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Before anything of it has begun.
    Withdraw {
        reason: String,
    },
    /// A person rolls back what was rolled out, in reverse order.
    RollBack {
        reason: String,
    },
    /// Every member has passed and baked.
    Pass,
    /// A member can't be rolled back.
    ReportStuck {
        change: ChangeId,
        why: String,
    },
    ReportTold {
        key: String,
        channel: String,
    },
}

/// What a command is answered with when a rule says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("a reason is needed")]
    ReasonNeeded,
    #[error("`{release}` is {phase}: {why}")]
    WrongPhase { release: ReleaseId, phase: Phase, why: &'static str },
}

impl Rejection {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReasonNeeded => "reason_needed",
            Self::WrongPhase { .. } => "wrong_phase",
        }
    }
}

/// Something that the shell has to do for a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    Pass,
    /// A member that has passed is complete.
    Complete {
        change: ChangeId,
    },
    RollBack {
        change: ChangeId,
        reason: String,
    },
    /// A member that has not begun never will.
    Withdraw {
        change: ChangeId,
        reason: String,
    },
    Tell {
        key: String,
    },
}

/// What is due now, and when to ask again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub intents: Vec<Intent>,
    pub wake_at: Option<Timestamp>,
}

/// Why a member may not begin a step, and what would let it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub reason: String,
    pub opens_at: Option<Timestamp>,
    pub who_can: String,
}

impl Release {
    pub fn phase(&self) -> Phase {
        let has = |wanted: fn(Standing) -> bool| self.standing.iter().any(|stands| wanted(stands.is));
        match (&self.ended, &self.stopped) {
            (Some(Ended::Withdrawn { .. }), _) => Phase::Withdrawn,
            (Some(Ended::Passed { .. }), _) => Phase::Completed,
            (None, Some(stopped)) => self.phase_stopped(stopped),
            (None, None) if has(Standing::has_begun) => Phase::RollingOut,
            (None, None) => Phase::Waiting,
        }
    }

    fn phase_stopped(&self, stopped: &Stopped) -> Phase {
        let has = |wanted: fn(&Stands) -> bool| self.standing.iter().any(wanted);
        match stopped.then {
            _ if has(|stands| stands.is_out_or_going()) => match stopped.then {
                OnFailure::RollBack => Phase::RollingBack,
                OnFailure::Stop => Phase::Stopping,
            },
            _ if has(|stands| stands.stuck.is_some() || stands.is == Standing::NotBack) => Phase::RollbackIncomplete,
            OnFailure::RollBack if has(|stands| stands.is == Standing::Back) => Phase::RolledBack,
            _ => Phase::Stopped,
        }
    }

    /// Whether a member may still begin.
    fn is_open(&self) -> bool {
        self.ended.is_none() && self.stopped.is_none()
    }

    /// Where a change stands among its members.
    pub fn member(&self, change: ChangeId) -> Option<usize> {
        self.plan.members.iter().position(|member| member.change == change)
    }

    /// The changes that its members are.
    pub fn changes(&self) -> impl Iterator<Item = ChangeId> + '_ {
        self.plan.members.iter().map(|member| member.change)
    }

    pub fn order(&self) -> Order {
        let place = |member: &'_ Member| (member.name.clone(), member.after.clone(), member.wave);
        let owned: Vec<_> = self.plan.members.iter().map(place).collect();
        let places: Vec<Place<'_>> =
            owned.iter().map(|(name, after, wave)| Place { name, after, wave: *wave }).collect();
        Order::of(&places)
    }

    /// A member as people call it: `api` (`CHG-7`).
    pub fn name_of(&self, member: usize) -> String {
        self.plan.members.get(member).map_or_else(String::new, |m| format!("`{}` ({})", m.name, m.change))
    }

    fn is_before(&self, member: usize) -> Vec<usize> {
        self.order().before(member).collect()
    }

    /// Whether members that come after this one are still out: then it goes back after them.
    pub fn goes_back_later(&self, change: ChangeId) -> bool {
        let Some(member) = self.member(change) else { return false };
        let rolls_back =
            self.stopped.as_ref().map_or(self.plan.on_failure, |stopped| stopped.then) == OnFailure::RollBack;
        rolls_back
            && self.ended.is_none()
            && self.order().all_after()[member].iter().any(|i| self.standing[*i].is_out_or_going())
    }

    /// Whether this change is a member that is back where it was.
    pub fn is_back(&self, change: ChangeId) -> bool {
        self.member(change).is_some_and(|member| self.standing[member].is == Standing::Back)
    }

    /// Whether it has passed as a whole, or has stopped with nothing under way: members that have passed are complete then.
    pub fn lets_go(&self) -> bool {
        match (&self.ended, &self.stopped) {
            (Some(Ended::Passed { .. }), _) => true,
            (None, Some(Stopped { then: OnFailure::Stop, .. })) => !self.standing.iter().any(|s| s.is.is_moving()),
            _ => false,
        }
    }
}

impl Stands {
    fn is_out(&self) -> bool {
        self.is.is_out() && self.stuck.is_none()
    }

    fn is_out_or_going(&self) -> bool {
        self.is_out() || self.is == Standing::GoingBack
    }
}

/// How a change stands as a member of a release.
pub fn standing(change: &Change) -> Standing {
    match &change.stage {
        Stage::Waiting => Standing::Waiting,
        Stage::Scheduled { .. } => Standing::Approved,
        Stage::Rolling(rollout) => standing_in_rollout(rollout),
        Stage::Ended { end: End::Completed, .. } => Standing::Completed,
        Stage::Ended { end: End::RolledBack, .. } => Standing::Back,
        Stage::Ended { end: End::Refused | End::Withdrawn | End::Lapsed, .. } => Standing::Gone,
    }
}

fn standing_in_rollout(rollout: &Rollout) -> Standing {
    match (&rollout.back, &rollout.pause) {
        (Some(back), _) if matches!(back.state, BackState::Failed { .. }) => Standing::NotBack,
        (Some(_), _) => Standing::GoingBack,
        (None, Some(pause)) if pause.why == PauseReason::Verdict => Standing::Failed,
        (None, _) if rollout.passed_at.is_some() => Standing::Passed,
        (None, _) => Standing::UnderWay,
    }
}

/// What the stream of a release says of a member that has moved: by the same append as the member's own events. The first failure stops it.
pub fn follow(release: &Release, before: &Change, now: &Change) -> Vec<Event> {
    let to = standing(now);
    let Some(member) = release.member(now.id).filter(|_| to != standing(before)) else { return vec![] };
    let why = why(now);
    let stops = to.is_failure() && release.is_open();
    let reason = format!("{} is {to}{}", release.name_of(member), because(&why));
    let stopped =
        Event::ReleaseStopped { release: release.id, cause: Some(now.id), reason, then: release.plan.on_failure };
    let moved = Event::ReleaseMoved { release: release.id, change: now.id, to, why };
    std::iter::once(moved).chain(stops.then_some(stopped)).collect()
}

fn why(change: &Change) -> String {
    match &change.stage {
        Stage::Ended { end: End::Completed, .. } | Stage::Waiting | Stage::Scheduled { .. } => String::new(),
        Stage::Ended { reason, .. } => reason.clone(),
        Stage::Rolling(rollout) => match (&rollout.back, &rollout.pause) {
            (Some(back), _) => match &back.state {
                BackState::Failed { error } => error.clone(),
                BackState::Waiting { .. } | BackState::Begun { .. } => back.reason.clone(),
            },
            (None, Some(pause)) if pause.why == PauseReason::Verdict => pause.reason.clone(),
            (None, _) => String::new(),
        },
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// Why the release of a change holds its next step, if it does.
pub fn holds(release: &Release, change: &Change, now: Timestamp) -> Option<Holding> {
    let Some(member) = release.member(change.id) else {
        let reason = format!("`{}` does not know it, though it says that it is part of it", release.id);
        return Some(Holding { reason, opens_at: None, who_can: "nobody".into() });
    };
    let has_begun = change.rollout().is_some();
    if let Some(over) = over(release, has_begun) {
        return Some(over);
    }
    if has_begun { None } else { not_yet(release, member, now) }
}

/// What holds because the release goes no further.
fn over(release: &Release, has_begun: bool) -> Option<Holding> {
    let (why, then) = match (&release.ended, &release.stopped) {
        (Some(Ended::Withdrawn { reason }), _) => (format!("was withdrawn{}", because(reason)), OnFailure::RollBack),
        (_, Some(stopped)) => (format!("was stopped: {}", stopped.reason), stopped.then),
        _ => return None,
    };
    // What has begun goes on by its own verdict, unless it is to go back.
    if has_begun && then == OnFailure::Stop {
        return None;
    }
    let who_can = "nobody: propose what is still wanted anew".to_owned();
    Some(Holding { reason: format!("`{}` {why}", release.id), opens_at: None, who_can })
}

/// What has to happen before a member begins.
fn not_yet(release: &Release, member: usize, now: Timestamp) -> Option<Holding> {
    let id = release.id;
    if let Some(unapproved) = unapproved(release) {
        return Some(unapproved);
    }
    let before = release.is_before(member);
    let unpassed: Vec<usize> = before.iter().copied().filter(|i| release.standing[*i].is != Standing::Passed).collect();
    if let Some(first) = unpassed.first() {
        let (name, is) = (release.name_of(*first), release.standing[*first].is);
        let more = if unpassed.len() > 1 { format!(", and {} more", unpassed.len() - 1) } else { String::new() };
        let reason = format!("in `{id}` it comes after {name}, which is {is}{more}");
        return Some(Holding { reason, opens_at: None, who_can: "nobody: it opens when they have passed".into() });
    }
    if let Some((wave, until)) = baking(release, &before).filter(|(_, until)| *until > now) {
        let reason = format!("in `{id}` the wave `{}` is left alone until `{until}`", wave.name);
        return Some(Holding { reason, opens_at: Some(until), who_can: "nobody: it opens by itself".into() });
    }
    let index = release.plan.members[member].wave?;
    let wave = release.plan.waves.get(index)?;
    let is_under_way = |(m, s): &(&Member, &Stands)| m.wave == Some(index) && s.is == Standing::UnderWay;
    let under_way = release.plan.members.iter().zip(&release.standing).filter(is_under_way).count();
    let most = wave.at_once.filter(|most| under_way >= usize::try_from(*most).unwrap_or(usize::MAX))?;
    let reason =
        format!("in `{id}` at most {most} of the wave `{}` go at once, and {under_way} are under way", wave.name);
    Some(Holding { reason, opens_at: None, who_can: "nobody: it opens when one of them has passed".into() })
}

/// Why nothing of a release begins before all of it is approved.
fn unapproved(release: &Release) -> Option<Holding> {
    if release.plan.begins == Begins::EachApproved || release.phase() != Phase::Waiting {
        return None;
    }
    let waiting: Vec<usize> =
        (0..release.standing.len()).filter(|i| release.standing[*i].is == Standing::Waiting).collect();
    let first = *waiting.first()?;
    let more = if waiting.len() > 1 { format!(", nor are {} more", waiting.len() - 1) } else { String::new() };
    let (id, name, change) = (release.id, release.name_of(first), release.plan.members[first].change);
    let reason = format!("nothing of `{id}` begins before all of it is approved: {name} is not yet{more}");
    let who_can = format!("whoever `{change}` waits for: `clearway why {change}` says who");
    Some(Holding { reason, opens_at: None, who_can })
}

/// Of these members, the wave that is left alone for longest, and until when.
fn baking<'a>(release: &'a Release, members: &[usize]) -> Option<(&'a Wave, Timestamp)> {
    let of = |member: &usize| {
        let wave = release.plan.waves.get(release.plan.members[*member].wave?)?;
        Some((wave, after(release.standing[*member].since, wave.bake)))
    };
    members.iter().filter_map(of).max_by_key(|(_, until)| *until)
}

/// What follows from a command. An empty list means that it is true already.
///
/// # Errors
/// A [`Rejection`], where a rule says no. Nothing has happened then.
pub fn decide(release: &Release, command: Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let id = release.id;
    match command {
        Command::Withdraw { reason } => withdraw(release, reason),
        Command::RollBack { reason } => roll_back(release, reason),
        Command::Pass => {
            let is_due = due(release, now).intents.contains(&Intent::Pass);
            Ok(is_due.then_some(Event::ReleasePassed { release: id }).into_iter().collect())
        }
        Command::ReportStuck { change, why } => {
            let is_out = release.member(change).is_some_and(|member| release.standing[member].is_out());
            Ok(is_out.then_some(Event::ReleaseStuck { release: id, change, why }).into_iter().collect())
        }
        Command::ReportTold { key, channel } => {
            let is_owed = release.pages.get(&key).is_some_and(|page| page.sent_at.is_none());
            Ok(is_owed.then_some(Event::ReleaseTold { release: id, key, channel }).into_iter().collect())
        }
    }
}

fn wrong_phase(release: &Release, why: &'static str) -> Rejection {
    Rejection::WrongPhase { release: release.id, phase: release.phase(), why }
}

fn withdraw(release: &Release, reason: String) -> Result<Vec<Event>, Rejection> {
    if matches!(release.ended, Some(Ended::Withdrawn { .. })) {
        return Ok(vec![]);
    }
    if release.ended.is_some() {
        return Err(wrong_phase(release, "it is over, and nothing of it is left to withdraw"));
    }
    if release.phase() != Phase::Waiting {
        return Err(wrong_phase(
            release,
            "it can be withdrawn only before anything of it begins; roll it back instead",
        ));
    }
    Ok(vec![Event::ReleaseWithdrawn { release: release.id, reason: with_reason(reason)? }])
}

fn roll_back(release: &Release, reason: String) -> Result<Vec<Event>, Rejection> {
    if release.ended.is_some() || release.lets_go() {
        return Err(wrong_phase(release, "nothing of it is armed any more; propose a release that undoes it"));
    }
    let is_out = release.standing.iter().any(|stands| stands.is.is_out());
    let is_stuck = release.standing.iter().any(|stands| stands.stuck.is_some());
    if release.phase() == Phase::RollingBack && !is_stuck {
        return Ok(vec![]);
    }
    if !is_out {
        return Err(wrong_phase(release, "nothing of it is rolled out that could go back"));
    }
    let reason = with_reason(reason)?;
    Ok(vec![Event::ReleaseStopped { release: release.id, cause: None, reason, then: OnFailure::RollBack }])
}

fn with_reason(reason: String) -> Result<String, Rejection> {
    if reason.trim().is_empty() { Err(Rejection::ReasonNeeded) } else { Ok(reason) }
}

/// What is due for a release at `now`. The same state always gives the same intents: after a crash they are derived again.
pub fn due(release: &Release, now: Timestamp) -> Due {
    let mut due = match (&release.ended, &release.stopped) {
        (Some(Ended::Withdrawn { reason }), _) => Due::act(never(release, reason)),
        (None, Some(stopped)) => Due::act(due_stopped(release, stopped)),
        (Some(Ended::Passed { .. }), _) => Due::act(complete(release)),
        (None, None) => due_pass(release, now),
    };
    // People are told last: a channel that does not answer must not stand in front of a rollback.
    let unsent = release.pages.iter().filter(|(_, page)| page.sent_at.is_none());
    due.intents.extend(unsent.map(|(key, _)| Intent::Tell { key: key.clone() }));
    due
}

impl Due {
    fn act(intents: Vec<Intent>) -> Self {
        Self { intents, wake_at: None }
    }
}

fn due_pass(release: &Release, now: Timestamp) -> Due {
    if !release.standing.iter().all(|stands| stands.is == Standing::Passed) {
        return Due::default();
    }
    let all: Vec<usize> = (0..release.standing.len()).collect();
    match baking(release, &all).filter(|(_, until)| *until > now) {
        Some((_, until)) => Due { intents: vec![], wake_at: Some(until) },
        None => Due::act(vec![Intent::Pass]),
    }
}

fn due_stopped(release: &Release, stopped: &Stopped) -> Vec<Intent> {
    let mut intents = never(release, &format!("it was stopped: {}", stopped.reason));
    match stopped.then {
        OnFailure::RollBack => intents.extend(compensate(release, stopped)),
        OnFailure::Stop if release.lets_go() => intents.extend(complete(release)),
        OnFailure::Stop => {}
    }
    intents
}

/// The members that have not begun.
fn never(release: &Release, why: &str) -> Vec<Intent> {
    let reason = format!("`{}` goes no further: {why}", release.id);
    let withdraw = |change: ChangeId| Intent::Withdraw { change, reason: reason.clone() };
    let members = release.plan.members.iter().zip(&release.standing);
    members.filter(|(_, stands)| !stands.is.has_begun()).map(|(member, _)| withdraw(member.change)).collect()
}

fn complete(release: &Release) -> Vec<Intent> {
    with_standing(release, Standing::Passed).map(|change| Intent::Complete { change }).collect()
}

fn with_standing(release: &Release, wanted: Standing) -> impl Iterator<Item = ChangeId> + '_ {
    let members = release.plan.members.iter().zip(&release.standing);
    members.filter(move |(_, stands)| stands.is == wanted).map(|(member, _)| member.change)
}

/// The members whose turn it is to go back: of all that come after them, nothing is out any more. One that can't go back is not waited for.
fn compensate(release: &Release, stopped: &Stopped) -> Vec<Intent> {
    let after = release.order().all_after();
    let members = release.plan.members.iter().zip(&release.standing).enumerate();
    let is_next = |i: usize| !after[i].iter().any(|later| release.standing[*later].is_out_or_going());
    let turn = members.filter(|(i, (_, stands))| stands.is_out() && is_next(*i));
    let reason = format!("`{}` is rolled back: {}", release.id, stopped.reason);
    turn.map(|(_, (member, _))| Intent::RollBack { change: member.change, reason: reason.clone() }).collect()
}

/// The state after one more event of its stream. The first is `ReleaseProposed`; before it there is nothing.
pub fn evolve(release: Option<Release>, event: &Event, actor: &Actor, at: Timestamp) -> Option<Release> {
    let mut release = match (release, event) {
        (None, Event::ReleaseProposed { release, plan }) => begin(*release, plan, actor, at),
        (None, _) => return None,
        (Some(release), _) => release,
    };
    release.version += 1;
    release.updated_at = at;
    fold(&mut release, event, actor, at);
    Some(release)
}

fn begin(id: ReleaseId, plan: &Proposed, author: &Actor, at: Timestamp) -> Release {
    let waiting = Stands { is: Standing::Waiting, since: at, why: String::new(), stuck: None };
    Release {
        id,
        author: author.clone(),
        proposed_at: at,
        standing: vec![waiting; plan.members.len()],
        plan: plan.clone(),
        stopped: None,
        ended: None,
        pages: BTreeMap::new(),
        version: 0,
        updated_at: at,
    }
}

fn fold(release: &mut Release, event: &Event, actor: &Actor, at: Timestamp) {
    match event {
        Event::ReleaseMoved { change, to, why, .. } => {
            if let Some(member) = release.member(*change) {
                release.standing[member] = Stands { is: *to, since: at, why: why.clone(), stuck: None };
            }
        }
        Event::ReleaseStuck { change, why, .. } => stuck(release, *change, why),
        Event::ReleaseStopped { cause, reason, then, .. } => stop(release, actor, *cause, reason, *then, at),
        Event::ReleasePassed { .. } => release.ended = Some(Ended::Passed { at }),
        Event::ReleaseWithdrawn { reason, .. } => release.ended = Some(Ended::Withdrawn { reason: reason.clone() }),
        Event::ReleaseTold { key, .. } => {
            release.pages.entry(key.clone()).and_modify(|page| page.sent_at = Some(at));
        }
        _ => {}
    }
}

/// Nobody is waited for who can't go back; people are called instead.
fn stuck(release: &mut Release, change: ChangeId, why: &str) {
    let Some(member) = release.member(change) else { return };
    release.standing[member].stuck = Some(why.to_owned());
    let name = release.name_of(member);
    let reason = format!("`{}` can't roll back {name}, and goes on with the others: {why}", release.id);
    release.pages.insert(format!("stuck/{change}"), owed(reason, [].into(), Urgency::Page));
}

fn stop(release: &mut Release, actor: &Actor, cause: Option<ChangeId>, reason: &str, then: OnFailure, at: Timestamp) {
    let by = if cause.is_some() { Actor::Clearway(Part::Release) } else { actor.clone() };
    release.stopped = Some(Stopped { by, cause, reason: reason.to_owned(), then, at });
    // Asked once more by a person, what could not go back is tried again.
    release.standing.iter_mut().for_each(|stands| stands.stuck = None);
    if cause.is_some() {
        let follows = match then {
            OnFailure::RollBack => "what was rolled out goes back, the last first",
            OnFailure::Stop => "what has begun goes on by its own verdict",
        };
        let reason = format!("`{}` was stopped: {reason}; {follows}", release.id);
        release.pages.insert("stopped".into(), owed(reason, [release.plan.owner.clone()].into(), Urgency::Notice));
    }
}

fn owed(reason: String, to: BTreeSet<String>, urgency: Urgency) -> Page {
    Page { reason, to, urgency, at: None, sent_at: None }
}
