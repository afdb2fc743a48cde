//! Explaining: events and states as sentences, the same in API, pages, CLI and log.

use crate::actor::{Actor, Limits, Purpose};
use crate::approval::Voided;
use crate::course::Course;
use crate::document::{all, list};
use crate::gate::Gate;
use crate::lifecycle::{Change, Event, Phase, Urgency};
use crate::release::{self, Release, Standing};
use crate::rollout::{Failure, PauseReason, Plan, StepState};
use crate::verification::Judgement;

/// One sentence for an event of a change with this plan. Short, in the past tense, without the name of who did it.
pub fn event(event: &Event, plan: &Plan) -> String {
    let step_name = |step: usize| match plan.steps.get(step) {
        Some(s) => format!("step {} of {} ({})", step + 1, plan.steps.len(), s.weight),
        None => "the watch".to_owned(),
    };
    match event {
        Event::Proposed(p) => {
            format!("proposed `{}` with the effect {}", p.proposal.title, p.proposal.effect_digest.short())
        }
        Event::Amended { proposal, votes } => {
            let fate = if *votes == crate::proposal::Carry::Kept { "votes are kept" } else { "votes are void" };
            format!("amended; the effect is {} now, {fate}", proposal.effect_digest.short())
        }
        Event::Withdrawn { reason } => format!("withdrawn{}", because(reason)),
        Event::Superseded { by } => format!("superseded: `{by}` took its place"),
        Event::Assessed(a) if a.allows() => {
            let needs: Vec<String> = a.requires.iter().map(|r| format!("{} of {}", r.count, r.whose())).collect();
            let needs = if needs.is_empty() { "no approval by a person".into() } else { needs.join(" and ") };
            format!("assessed at {} of 100 ({} risk); it needs {needs}", a.score, a.level)
        }
        Event::Assessed(a) => {
            format!("denied by policy: {}", a.denials.iter().map(|d| d.reason.as_str()).collect::<Vec<_>>().join("; "))
        }
        Event::Approved { effect, comment, signature, .. } => {
            let signed = signature.as_ref().map_or_else(String::new, |s| format!(", signed with {}", s.key));
            format!("approved the effect {}{signed}{}", effect.short(), because(comment.as_deref().unwrap_or_default()))
        }
        Event::Refused { reason } => format!("refused{}", because(reason)),
        Event::VotesVoided { voters, why } => {
            let names: Vec<String> = voters.iter().map(ToString::to_string).collect();
            let why = match why {
                Voided::Amended => "the effect has changed",
                Voided::Lapsed => "too old",
                Voided::Revoked => "they may not vote, or no longer for the groups that they spoke for",
            };
            format!("votes of {} are void: {why}", all(names.iter().map(String::as_str)))
        }
        Event::ChangesRequested { reason } => format!("asked for changes{}", because(reason)),
        Event::TakenBack { reason } => format!("took back what they had said{}", because(reason)),
        Event::DenialOverridden { code, reason, .. } => format!("overrode the rule `{code}`{}", because(reason)),
        Event::GlassTouched { codes, reason, .. } => {
            let rules = all(codes.iter().map(String::as_str));
            format!("would break the glass over {rules}{}; a second person has to agree", because(reason))
        }
        Event::GlassBroken { codes, by, reason, .. } => {
            let names: Vec<String> = by.iter().map(actor).collect();
            let rules = all(codes.iter().map(String::as_str));
            format!("{} broke the glass over {rules}{}", all(names.iter().map(String::as_str)), because(reason))
        }
        Event::Ticked { list, code, note, .. } => format!("ticked {list}/{code}{}", because(note)),
        Event::Reminded { by } => format!("`{by}` was reminded"),
        Event::Escalated { by, to } => format!("`{by}` did not answer in time: `{to}` is asked too"),
        Event::Lapsed { reason } => format!("lapsed: {reason}"),
        Event::Scheduled { not_before } => format!("scheduled, not before {not_before}"),
        Event::Rescheduled { not_before } => {
            format!("the calendar has changed: scheduled anew, not before {not_before}")
        }
        Event::Held { gates } => {
            format!("held: {}", gates.iter().filter_map(Gate::why).collect::<Vec<_>>().join("; "))
        }
        Event::GatesObserved { gates } => {
            let closed = gates.iter().filter_map(Gate::why).collect::<Vec<_>>().join("; ");
            format!("went on, as its services are only observed, although: {closed}")
        }
        Event::DeployedBefore { at, reason } => format!("was deployed without Clearway at {at}{}", because(reason)),
        Event::Released => "released: every gate is open".into(),
        Event::StepBegun { step, attempt: 1, .. } => format!("{} began", step_name(*step)),
        Event::StepBegun { step, attempt, .. } => format!("{} began, attempt {attempt}", step_name(*step)),
        Event::StepApplied { step, .. } => format!("{} has effect", step_name(*step)),
        Event::StepFailed { step, failure: Failure::Unknown, error, .. } => {
            format!("the outcome of {} is unknown: {error}", step_name(*step))
        }
        Event::StepFailed { step, error, .. } => format!("{} failed: {error}", step_name(*step)),
        Event::EvidenceTaken(e) => format!("evidence of {} looks was put on record", e.looks),
        Event::Judged(j) => format!("verdict of {}: {}: {}", step_name(j.step), j.answer, j.why),
        Event::Overridden { step, reason, .. } => {
            format!("the verdict of {} was overridden{}", step_name(*step), because(reason))
        }
        Event::Advanced { step } => format!("{} passed", step_name(*step)),
        Event::Paused { reason, .. } => format!("paused{}", because(reason)),
        Event::Resumed { .. } => "resumed".into(),
        Event::RollbackBegun { reason } => format!("rollback began: {reason}"),
        Event::UndoBegun { attempt } => format!("restoring what was there before, attempt {attempt}"),
        Event::UndoFailed { error, .. } => format!("restoring failed: {error}"),
        Event::RolledBack { .. } => "rolled back: what was there before is there again".into(),
        Event::RollbackFailed { error } => format!("the rollback failed for good: {error}"),
        Event::CompletedByHand { evidence } => format!("rolled back by hand: {evidence}"),
        Event::WatchSuperseded { by } => format!("`{by}` took over the target; the watch no longer rolls back"),
        Event::Completed => "completed".into(),
        Event::PageOwed { reason, urgency: Urgency::Notice, .. } => format!("people are to hear of it: {reason}"),
        Event::PageOwed { reason, .. } => format!("people have to be told: {reason}"),
        Event::Paged { channel, to, .. } if to.is_empty() => format!("people were told through {channel}"),
        Event::Paged { channel, to, .. } => {
            format!("{} on call were told through {channel}", list(to.iter().map(String::as_str)))
        }
        Event::DebtOwed { debt, reason, due } => format!("the {debt} is owed by {due}{}", because(reason)),
        Event::DebtRefused { debt, reason } => format!("refused the {debt} that is owed{}", because(reason)),
        Event::DebtPaid { debt, summary } => format!("the {debt} that was owed is done: {summary}"),
        Event::DebtNagged { debt } => format!("people were reminded that the {debt} is overdue"),
        Event::LaneTaken { change } => format!("{change} took the lane"),
        Event::LaneFreed { change } => format!("{change} left the lane"),
        Event::CommandRefused { command, reason, unwritten: 0, .. } => format!("`{command}` was refused: {reason}"),
        Event::CommandRefused { command, reason, unwritten, .. } => {
            format!("`{command}` was refused: {reason} ({unwritten} like it before were not written)")
        }
        Event::ExceptionAsked { freeze, until, reason, .. } => {
            format!("asked that it pass the freeze `{freeze}` until {until}{}", because(reason))
        }
        Event::ExceptionGranted { freeze, role, .. } => {
            format!("granted that it pass the freeze `{freeze}`, as `{role}`")
        }
        Event::ExceptionRevoked { freeze, reason, .. } => {
            format!("revoked that it pass the freeze `{freeze}`{}", because(reason))
        }
        Event::CalendarOpened => "its calendar is open again".to_owned(),
        Event::Halted { by } => format!("stopped by {}", all(by.iter().map(String::as_str))),
        Event::CalendarClosed { reason, .. } => format!("its calendar has closed{}", because(reason)),
        Event::Delegated(d) => match &d.to {
            Some(to) => format!("`{to}` stands in for `{}` until {}{}", d.from, d.until, because(&d.reason)),
            None => format!("`{}` is away until {}{}", d.from, d.until, because(&d.reason)),
        },
        Event::DelegationEnded { from, to: Some(to) } => format!("`{to}` no longer stands in for `{from}`"),
        Event::DelegationEnded { from, to: None } => format!("`{from}` is back"),
        Event::AllStopped { reason } => format!("stopped everything{}", because(reason)),
        Event::WentWithBatch { batch } => format!("went with the batch `{batch}`"),
        Event::BatchStopped { batch, by } => format!("the batch `{batch}` is stopped: `{by}` has failed"),
        Event::BatchReleased { batch, reason } => format!("released the batch `{batch}`{}", because(reason)),
        Event::StopReleased { reason } => format!("released the stop{}", because(reason)),
        Event::HoldSet(order) => {
            let paused = if order.pause { ", and paused what was rolling out" } else { "" };
            format!("holds {} until {}{paused}{}", order.in_words(), order.until, because(&order.reason))
        }
        Event::HoldReleased { hold, reason } => format!("released the hold `{hold}`{}", because(reason)),
        Event::BudgetMoved(state) => crate::budget::in_words(state),
        Event::BudgetDrawn { change } => format!("`{change}` took a place of the day that the budget leaves"),
        Event::Vetoed { until, reason } => format!("vetoed until {until}{}", because(reason)),
        Event::VetoLifted { reason } => format!("lifted the veto{}", because(reason)),
        Event::StandardSuspended { standard, reason, .. } => {
            format!("the standard change `{standard}` is suspended{}", because(reason))
        }
        Event::StandardReinstated { standard, reason } => {
            format!("the standard change `{standard}` counts again{}", because(reason))
        }
        Event::JoinedRelease { release } => format!("became part of `{release}`"),
        Event::ReleaseProposed { release, plan } => {
            format!("proposed the release `{release}`, `{}`, of {} changes", plan.title, plan.members.len())
        }
        Event::ReleaseMoved { change, to, why, .. } => format!("`{change}` is {to}{}", because(why)),
        Event::ReleaseStopped { release, reason, then, .. } => {
            let follows = match then {
                release::OnFailure::RollBack => "what was rolled out goes back",
                release::OnFailure::Stop => "nothing more of it begins",
            };
            format!("the release `{release}` was stopped, {follows}{}", because(reason))
        }
        Event::ReleaseStuck { change, why, .. } => format!("`{change}` can't be rolled back{}", because(why)),
        Event::ReleasePassed { release } => format!("the release `{release}` has passed as a whole"),
        Event::ReleaseWithdrawn { release, reason } => format!("withdrew the release `{release}`{}", because(reason)),
        Event::ReleaseTold { channel, .. } => format!("people were told through {channel}"),
        Event::GovernanceLoaded { digest, files, policy, editors, .. } => {
            let policy = policy.map_or_else(String::new, |policy| format!(", with the policies {}", policy.short()));
            let edited = if editors.is_empty() {
                String::new()
            } else {
                format!("; edited by {}", list(editors.iter().map(String::as_str)))
            };
            format!("governance {} was loaded from {} files{policy}{edited}", digest.short(), files.len())
        }
        Event::ServerStarted { build, timezones } => format!("server {build} started, time zones {timezones}"),
        Event::TokenMade { token, user, name, limits, expires } => {
            let only = if limits.are_none() { String::new() } else { format!(", limited to {}", limited(limits)) };
            let end = expires.map_or_else(|| "never ends".to_owned(), |at| format!("ends at {at}"));
            format!("the token `{token}` ({name}) was made for `{user}`{only}; it {end}")
        }
        Event::TokenFirstUsed { token, user } => format!("the token `{token}` of `{user}` was used for the first time"),
        Event::TokenRevoked { token, user } => format!("the token `{token}` of `{user}` was revoked"),
        Event::AdministratorRecovered { user, until, reason } => {
            format!("`{user}` was made an administrator until {until} on the machine itself{}", because(reason))
        }
    }
}

/// What a token leaves of its user's permissions.
pub fn limited(limits: &Limits) -> String {
    if limits.purpose == Purpose::Feed {
        return format!("the calendar feed {}", limits.on.in_words());
    }
    let may = limits.may.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    let may = if limits.may.is_none() { "everything".to_owned() } else { list(may.iter().map(String::as_str)) };
    format!("{may} {}", limits.on.in_words())
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What a change is doing, in one sentence for lists and progress lines.
pub fn status(change: &Change) -> String {
    match change.phase() {
        Phase::Proposed => "waits for policy's answer".into(),
        Phase::Assessed => waits_for_approval(change),
        Phase::Scheduled if change.is_outside() => "approved; waits for its pipeline to begin".into(),
        Phase::Approved | Phase::Scheduled => match change.not_before() {
            Some(at) => format!("approved; begins at {at}, if every gate is open"),
            None => "approved; is being scheduled".into(),
        },
        Phase::Held { .. } => {
            let gates = change.hold.iter().flat_map(|h| &h.gates).filter_map(Gate::why).collect::<Vec<_>>();
            format!("held: {}", gates.join("; "))
        }
        Phase::RollingOut { step } => rolling(change, step),
        Phase::Watching if change.rollout().is_some_and(|r| r.passed_at.is_some()) => {
            let release = change.release.map(|id| format!(" of `{id}`")).unwrap_or_default();
            format!("passed, rollback armed until the rest{release} has passed")
        }
        Phase::Watching => verdict(change)
            .map_or_else(|| "watched, rollback armed".into(), |v| format!("watched, rollback armed; {v}")),
        Phase::Paused { .. } => {
            let pause = change.rollout().and_then(|r| r.pause.as_ref());
            pause.map_or_else(String::new, |p| format!("paused by {}: {}", actor(&p.by), p.reason))
        }
        Phase::RollingBack if change.is_outside() => "waits for its pipeline to roll back, and to report it".into(),
        Phase::RollingBack => "is being rolled back".into(),
        Phase::RollbackFailed => "the rollback failed: people have to act".into(),
        Phase::Completed => "completed".into(),
        Phase::RolledBack | Phase::Refused | Phase::Withdrawn | Phase::Lapsed => ended(change),
    }
}

/// The same above a list of its gates, which say themselves why they are closed.
pub fn headline(change: &Change) -> String {
    let holding = || change.hold.iter().flat_map(|hold| &hold.gates).filter(|gate| gate.holds());
    match change.phase() {
        Phase::Held { .. } if holding().next().is_some() => {
            let gates: Vec<String> = holding().map(|gate| gate.gate.to_string()).collect();
            let plural = if gates.len() == 1 { "" } else { "s" };
            format!("held by the gate{plural} {}", all(gates.iter().map(String::as_str)))
        }
        Phase::Paused { .. } => format!("{}; {}", status(change), way_on(change)),
        _ => status(change),
    }
}

/// How a paused change goes on, and by whom: the end of what paused it resumes nothing.
fn way_on(change: &Change) -> String {
    let why = change.rollout().and_then(|rollout| rollout.pause.as_ref()).map(|pause| pause.why);
    let resume = match why {
        Some(PauseReason::UnknownOutcome) => format!("`clearway resume {} --found applied`", change.id),
        _ => format!("`clearway resume {}`", change.id),
    };
    let services = all(change.proposal.services.iter().map(String::as_str));
    format!(
        "it goes on with {resume} by somebody with the permission `resume` for {services}, or back with `clearway rollback {} --reason ...`",
        change.id
    )
}

/// What a release is doing, in one sentence.
pub fn release(release: &Release) -> String {
    let count = |wanted: Standing| release.standing.iter().filter(|stands| stands.is == wanted).count();
    let all = release.standing.len();
    let why = release.stopped.as_ref().map_or("", |stopped| stopped.reason.as_str());
    match release.phase() {
        release::Phase::Waiting => format!("none of {all} has begun"),
        release::Phase::RollingOut => {
            let (passed, under_way) = (count(Standing::Passed), count(Standing::UnderWay));
            format!("{passed} of {all} passed, {under_way} under way")
        }
        release::Phase::RollingBack => {
            format!("{} of {all} rolled back, the last first: {why}", count(Standing::Back))
        }
        release::Phase::RollbackIncomplete => format!("not all of it is back, people have to act: {why}"),
        release::Phase::Stopping => format!("stopped, and what had begun goes on: {why}"),
        release::Phase::Completed => format!("all {all} passed"),
        release::Phase::RolledBack => format!("rolled back: {why}"),
        release::Phase::Stopped => format!("stopped: {why}"),
        release::Phase::Withdrawn => match &release.ended {
            Some(release::Ended::Withdrawn { reason }) => format!("withdrawn{}", because(reason)),
            _ => "withdrawn".into(),
        },
    }
}

fn ended(change: &Change) -> String {
    match &change.stage {
        crate::lifecycle::Stage::Ended { reason, .. } => format!("{}{}", change.phase(), because(reason)),
        _ => change.phase().to_string(),
    }
}

fn waits_for_approval(change: &Change) -> String {
    let Some(assessed) = &change.assessment else { return String::new() };
    let effect = change.proposal.effect_digest;
    if let Some(denial) = crate::exception::standing(&assessed.assessment, &change.set_aside, effect).first() {
        let hand = change.hand.as_ref().filter(|hand| hand.effect == effect);
        let waits = hand.map_or_else(String::new, |hand| {
            format!("; {} would break the glass, and a second person has to agree within an hour", actor(&hand.by))
        });
        return format!("denied by policy: {}{waits}", denial.reason);
    }
    if let Some(requested) = change.requested.first() {
        return format!("{} asks for changes: {}", actor(&requested.by), requested.reason);
    }
    let standing = change.standing(crate::Timestamp::MIN);
    let missing: Vec<String> =
        standing.iter().filter(|s| s.missing() > 0).map(crate::approval::Standing::in_words).collect();
    format!("waits for approval by {}", missing.join(" and "))
}

fn rolling(change: &Change, step: usize) -> String {
    let name = change.step_name(step);
    let Some(rollout) = change.rollout() else { return name };
    match &rollout.state {
        StepState::Ready if change.is_outside() => format!("{name} is next; waits for its pipeline to begin"),
        StepState::Ready => format!("{name} is next"),
        StepState::Begun { .. } if change.is_outside() => format!("{name} is being applied by its pipeline"),
        StepState::Begun { .. } => format!("{name} is being applied"),
        StepState::Retrying { error, .. } => format!("{name} is tried again: {error}"),
        StepState::Unknown { error } => format!("the outcome of {name} is unknown: {error}"),
        StepState::Applied { .. } => {
            verdict(change).map_or_else(|| format!("{name} is being verified"), |v| format!("{name}: {v}"))
        }
    }
}

fn verdict(change: &Change) -> Option<String> {
    let judgement: &Judgement = change.rollout()?.judgement.as_ref()?;
    Some(format!("{}: {}", judgement.answer, judgement.why))
}

/// By which way a change goes and why, where it is not the regular one.
pub fn course(course: &Course) -> Option<String> {
    match course {
        Course::Regular => None,
        Course::Standard(standard) => Some(format!("standard change `{}`", standard.id)),
        Course::Emergency(e) => Some(format!("emergency for {}, until `{}`: {}", e.incident, e.until, e.reason)),
        Course::Afterwards(a) => {
            Some(format!("put on record after the fact, deployed at `{}`: {}", a.deployed_at, a.reason))
        }
    }
}

/// An actor as pages and tables show it.
pub fn actor(actor: &Actor) -> String {
    actor.user().map_or_else(|| actor.to_string(), str::to_owned)
}
