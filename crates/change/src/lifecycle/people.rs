//! Deciding what people say of a change before it begins, and of its debts afterwards: votes, requests, exceptions, reminders.
//!
//! Who may is asked before; here it is asked whether the phase allows it and whether this person can. What a vote counts for is
//! [`approval`](crate::approval)'s to say.

use std::collections::BTreeSet;

use super::{Assessed, Change, Event, Given, Page, Phase, Rejection, Stage, Urgency, calls};
use crate::actor::{Actor, Permission};
use crate::aftermath::{self, Debt, Owed};
use crate::approval::{self, Call, Signature, Signed, Voided, Vote};
use crate::assessment::{Denial, Level, Requirement, Signing, Tick};
use crate::calendar::exception::{Exception, end_problem, role_of};
use crate::document::{all, list};
use crate::exception;
use crate::gate::{self, GateName};
use crate::id::Digest;
use crate::lifecycle::command::{before_rollout, with_reason, wrong_phase};
use crate::rollout::PauseReason;
use crate::time::{Timestamp, after};

type Decision = Result<Vec<Event>, Rejection>;

pub(super) fn approve(
    change: &Change,
    given: &Given,
    effect: Digest,
    comment: Option<String>,
    signed: Option<Signed>,
) -> Decision {
    let Some(assessed) = &change.assessment else {
        return Err(wrong_phase(change, "what it needs is known once policy has answered"));
    };
    let wanted = wanted(change, assessed)?;
    let actor = given.actor.clone();
    if effect != change.proposal.effect_digest {
        return Err(Rejection::StaleEffect {
            change: change.id,
            given: effect.short(),
            now: change.proposal.effect_digest.short(),
        });
    }
    if wrote(change, &actor) {
        return Err(Rejection::OwnChange { actor, change: change.id });
    }
    if let Some(why) = &given.excluded {
        return Err(Rejection::Excluded { actor, change: change.id, why: why.clone() });
    }
    // A signed vote may take the place of one that was not signed.
    let as_good = |v: &Vote| v.signature.is_some() || signed.is_none();
    if change.votes.iter().any(|v| v.voter == actor && v.counts(effect, given.now) && as_good(v)) {
        return Err(Rejection::AlreadyVoted { actor });
    }
    let asked: Vec<&str> = wanted.iter().flat_map(|r| approval::groups_asked(r, &change.asked)).collect();
    if !asked.iter().any(|group| given.groups.contains(*group)) {
        return Err(Rejection::NotEntitled { actor, asked: list(asked) });
    }
    let signature = signature(change, given, signed)?;
    if signature.is_none() {
        signature_is_free(change, wanted, &given.groups)?;
    }
    let vote = vote(change, given, signature.clone());
    let taken = approval::seats_taken(&change.votes, &vote, given.now);
    if asked.iter().all(|group| !given.groups.contains(*group) || taken.contains(*group)) {
        let seats: BTreeSet<&str> = taken.iter().filter_map(|g| given.on_behalf.get(g)).map(String::as_str).collect();
        let seats = list(seats);
        return Err(Rejection::SeatTaken { actor, seats });
    }
    let paid = paid_by_vote(change, assessed, given, vote);
    let on_behalf = given.on_behalf.clone();
    let approved = Event::Approved { effect, groups: given.groups.clone(), on_behalf, comment, signature };
    Ok(std::iter::once(approved).chain(paid).collect())
}

/// The vote as it would be counted now.
fn vote(change: &Change, given: &Given, signature: Option<Signature>) -> Vote {
    Vote {
        voter: given.actor.clone(),
        effect: change.proposal.effect_digest,
        groups: given.groups.clone(),
        on_behalf: given.on_behalf.clone(),
        comment: None,
        signature,
        at: given.now,
        until: Timestamp::MAX,
    }
}

/// The signature as it goes into the log. One that the shell could not verify is a refusal, never an unsigned vote.
fn signature(change: &Change, given: &Given, signed: Option<Signed>) -> Result<Option<Signature>, Rejection> {
    let Some(Signed { statement, armored }) = signed else { return Ok(None) };
    match &given.signer {
        Ok(key) => Ok(Some(Signature { key: key.clone(), statement, armored })),
        Err(why) => Err(Rejection::BadSignature { change: change.id, why: why.clone() }),
    }
}

/// A vote that can't count for anything is refused: it would look like consent.
fn signature_is_free(change: &Change, wanted: &[Requirement], groups: &BTreeSet<String>) -> Result<(), Rejection> {
    let speaks =
        |r: &&Requirement| approval::groups_asked(r, &change.asked).iter().any(|group| groups.contains(*group));
    let asked = || wanted.iter().filter(speaks);
    if asked().any(|r| r.signature == Signing::Free) {
        return Ok(());
    }
    Err(Rejection::SignatureNeeded { change: change.id, asked: list(asked().map(|r| r.by.as_str())) })
}

fn wrote(change: &Change, actor: &Actor) -> bool {
    *actor == change.author || change.amended_by.contains(actor)
}

/// The approvals for which a vote can still count: those required before the start, or those that are owed after it.
fn wanted<'a>(change: &Change, assessed: &'a Assessed) -> Result<&'a [Requirement], Rejection> {
    if change.owes(Debt::Approval) {
        return Ok(&assessed.assessment.owed);
    }
    let in_their_place = change.rollout().is_some_and(|r| !r.taken_back.is_empty());
    if !in_their_place {
        before_rollout(change, "votes are cast before the rollout begins")?;
    }
    Ok(&assessed.assessment.requires)
}

/// The debt of an approval is paid by the vote that makes it complete, unless somebody has said no.
fn paid_by_vote(change: &Change, assessed: &Assessed, given: &Given, vote: Vote) -> Option<Event> {
    if !change.owes(Debt::Approval) || change.refused_afterwards().is_some() {
        return None;
    }
    let votes: Vec<Vote> = votes_of_others(change, given).chain([vote]).collect();
    paid_by(change, assessed, &votes)
}

/// The votes of everybody else who may still vote.
fn votes_of_others(change: &Change, given: &Given) -> impl Iterator<Item = Vote> {
    change.votes.iter().filter(|v| !given.revoked.contains(&v.voter) && v.voter != given.actor).cloned()
}

fn paid_by(change: &Change, assessed: &Assessed, votes: &[Vote]) -> Option<Event> {
    let names: Vec<String> = votes.iter().map(|v| v.voter.to_string()).collect();
    let summary = format!("approved afterwards by {}", all(names.iter().map(String::as_str)));
    has_what_is_owed(change, assessed, votes).then_some(Event::DebtPaid { debt: Debt::Approval, summary })
}

/// Whether these votes are the approval that is owed. Who agreed before it began counts too, however long ago that was.
pub(super) fn has_what_is_owed(change: &Change, assessed: &Assessed, votes: &[Vote]) -> bool {
    let effect = change.proposal.effect_digest;
    approval::is_quorate(&assessed.assessment.owed, &change.asked, votes, effect, Timestamp::MIN)
}

pub(super) fn refuse(change: &Change, given: &Given, reason: String) -> Decision {
    let reason = with_reason(reason)?;
    if change.owes(Debt::Approval) {
        return refuse_afterwards(change, given, reason);
    }
    before_rollout(change, "it can be refused only before its rollout begins; pause it or roll it back")?;
    Ok(vec![Event::Refused { reason }])
}

/// A no afterwards undoes nothing by itself: the debt stands, the rollout stops where it is, and people are told.
fn refuse_afterwards(change: &Change, given: &Given, reason: String) -> Decision {
    let actor = given.actor.clone();
    if wrote(change, &actor) {
        return Err(Rejection::OwnChange { actor, change: change.id });
    }
    if let Some(why) = &given.excluded {
        return Err(Rejection::Excluded { actor, change: change.id, why: why.clone() });
    }
    if change.refused_afterwards().is_some() {
        return Err(wrong_phase(change, "its approval was refused already"));
    }
    let told = format!("{actor} does not approve what was begun without an approval: {reason}");
    let key = format!("{}/debt/approval/refused", change.id);
    let to = owner(change).into_iter().chain(given.debts_escalate_to.clone()).collect();
    let runs = change.rollout().is_some_and(|r| r.pause.is_none() && r.back.is_none());
    let paused = runs.then(|| Event::Paused { why: PauseReason::Person, reason: told.clone() });
    let refused = [
        Event::DebtRefused { debt: Debt::Approval, reason },
        Event::PageOwed { key, reason: told, to, urgency: Urgency::Page, at: None },
    ];
    Ok(refused.into_iter().chain(paused).collect())
}

pub(super) fn request_changes(change: &Change, given: &Given, reason: String) -> Decision {
    before_rollout(change, "changes are asked for before the rollout begins; pause it or roll it back")?;
    if given.actor == change.author {
        return Err(Rejection::OwnChange { actor: given.actor.clone(), change: change.id });
    }
    let told = format!("{} asks for changes: {reason}", given.actor);
    Ok(vec![
        Event::ChangesRequested { reason: with_reason(reason)? },
        notice(change, "requested", told, [change.author.user().unwrap_or_default().to_owned()].into()),
    ])
}

pub(super) fn take_back(change: &Change, given: &Given, reason: String) -> Decision {
    let voted = change.votes.iter().any(|v| v.voter == given.actor);
    let requested = change.requested.iter().any(|r| r.by == given.actor);
    let refused = change.refused_afterwards().is_some_and(|refused| refused.by == given.actor);
    if !voted && !requested && !refused {
        return Err(wrong_phase(change, "there is no vote and no request of yours to take back"));
    }
    if change.phase().is_terminal() && !refused {
        return Err(wrong_phase(change, "it is over"));
    }
    let debt = change.assessment.as_ref().and_then(|assessed| debt_without(change, assessed, given, refused));
    Ok(std::iter::once(Event::TakenBack { reason }).chain(debt).collect())
}

/// What becomes of an approval that was owed, once this person's word is taken back: a debt that it paid is owed again, one that it refused may be paid.
fn debt_without(change: &Change, assessed: &Assessed, given: &Given, refused: bool) -> Option<Event> {
    if refused {
        return paid_by(change, assessed, &votes_of_others(change, given).collect::<Vec<_>>());
    }
    let due = due_once_it_lacks(change, given)?;
    // What was paid stays paid by those who have left since.
    let others: Vec<Vote> = change.votes.iter().filter(|v| v.voter != given.actor).cloned().collect();
    if has_what_is_owed(change, assessed, &others) {
        return None;
    }
    let reason = format!("{} took back the approval that it had", given.actor);
    Some(Event::DebtOwed { debt: Debt::Approval, reason, due })
}

/// When an approval is due that is given at present: as it was, or from now where it was never owed because everybody had agreed before it began.
fn due_once_it_lacks(change: &Change, given: &Given) -> Option<Timestamp> {
    match change.debts.get(&Debt::Approval) {
        Some(owed) => (!owed.is_open()).then_some(owed.due),
        None => {
            let emergency = change.proposal.course.emergency().filter(|_| change.rollout().is_some())?;
            Some(after(given.now, emergency.approval_within))
        }
    }
}

pub(super) fn override_denial(change: &Change, given: &Given, code: String, reason: String) -> Decision {
    before_rollout(change, "rules are set aside before the rollout begins")?;
    let reason = with_reason(reason)?;
    let Some(assessed) = &change.assessment else {
        return Err(wrong_phase(change, "what stands against it is known once policy has answered"));
    };
    let effect = change.proposal.effect_digest;
    let set_aside = exception::still_aside(&change.set_aside, given);
    let standing = exception::standing(&assessed.assessment, &set_aside, effect);
    let named: Vec<&Denial> = standing.iter().filter(|d| d.code == code).copied().collect();
    if named.is_empty() {
        let standing = list(standing.iter().map(|d| d.code.as_str()));
        return Err(Rejection::NoSuchDenial { change: change.id, code, standing });
    }
    if named.iter().any(|denial| denial.level == Level::Hard) {
        return Err(Rejection::HardRule { code });
    }
    let actor = given.actor.clone();
    if wrote(change, &actor) {
        return Err(Rejection::OwnChange { actor, change: change.id });
    }
    if let Some(why) = &given.excluded {
        return Err(Rejection::Excluded { actor, change: change.id, why: why.clone() });
    }
    // In one's own right: a rule is not set aside in somebody's place.
    let own: BTreeSet<String> = given.groups.iter().filter(|g| !given.on_behalf.contains_key(*g)).cloned().collect();
    let shut = |denial: &&&Denial| !denial.override_by.is_empty() && denial.override_by.is_disjoint(&own);
    if let Some(denial) = named.iter().find(shut) {
        let groups = list(denial.override_by.iter().map(String::as_str));
        return Err(Rejection::NotAnOverrider { actor, code, groups });
    }
    Ok(vec![Event::DenialOverridden { code, effect, reason }])
}

/// Asks for an exception. Nothing is passed by it before somebody else grants it.
pub(super) fn ask_exception(
    change: &Change,
    given: &Given,
    freeze: String,
    until: Timestamp,
    reason: String,
) -> Decision {
    if change.phase().is_terminal() {
        return Err(wrong_phase(change, "it is over"));
    }
    let reason = with_reason(reason)?;
    let owner = owner_of(change, given, &freeze)?;
    if let Some(why) = end_problem(until, given.now) {
        return Err(Rejection::BadEnd { why });
    }
    let is_same =
        |one: &Exception| one.granted.is_none() && one.by == given.actor && one.until == until && one.reason == reason;
    if standing_exceptions(change, given, &freeze).any(is_same) {
        // Asked twice is asked once: nobody is told again.
        return Ok(vec![]);
    }
    let told = format!("{} asks that {} pass the freeze `{freeze}` until `{until}`: {reason}", given.actor, change.id);
    let notice = notice(change, &format!("exception/{freeze}"), told, [owner.to_owned()].into());
    let effect = change.proposal.effect_digest;
    Ok(vec![Event::ExceptionAsked { freeze, effect, until, reason }, notice])
}

/// Grants what was asked for, as it was read: whoever asks anew asks for something else. Never by who has a part in the change, and only by who owns the freeze, in their own right, or may freeze.
pub(super) fn grant_exception(change: &Change, given: &Given, freeze: String, until: Timestamp) -> Decision {
    if change.phase().is_terminal() {
        return Err(wrong_phase(change, "it is over"));
    }
    let owner = owner_of(change, given, &freeze)?;
    let actor = given.actor.clone();
    let own: BTreeSet<String> = given.groups.iter().filter(|g| !given.on_behalf.contains_key(*g)).cloned().collect();
    let may_freeze = given.may.contains(&Permission::Freeze);
    let Some(role) = role_of(actor.user().unwrap_or_default(), &own, owner, may_freeze) else {
        let owner = owner.to_owned();
        return Err(Rejection::NotFreezeOwner { actor, freeze, owner });
    };
    if wrote(change, &actor) {
        return Err(Rejection::OwnException { actor, change: change.id });
    }
    if let Some(why) = &given.excluded {
        return Err(Rejection::Excluded { actor, change: change.id, why: why.clone() });
    }
    let effect = change.proposal.effect_digest;
    let asked = change.exceptions.iter().find(|one| one.freeze == freeze && one.is_open(effect, given.now));
    let granted = standing_exceptions(change, given, &freeze).find_map(|one| one.granted.as_ref());
    if let Some(granted) = granted.filter(|_| asked.is_none()) {
        let by = granted.by.clone();
        return Err(Rejection::GrantedAlready { by, change: change.id, freeze });
    }
    let Some(asked) = asked else {
        let why = format!("nobody asks for an exception of `{freeze}` for what it is now");
        return Err(Rejection::NoSuchException { change: change.id, why });
    };
    if asked.until != until {
        return Err(Rejection::StaleException { change: change.id, freeze, given: until, asked: asked.until });
    }
    Ok(vec![Event::ExceptionGranted { freeze, effect, role }])
}

/// Whether who asks has asked for an exception of this freeze that still stands.
pub(super) fn asked_for_exception(change: &Change, given: &Given, freeze: &str) -> bool {
    standing_exceptions(change, given, freeze).any(|one| one.by == given.actor)
}

/// The exceptions of a freeze that are asked for or count, for the effect that the change has.
fn standing_exceptions<'a>(
    change: &'a Change,
    given: &'a Given,
    freeze: &'a str,
) -> impl Iterator<Item = &'a Exception> {
    let (effect, now) = (change.proposal.effect_digest, given.now);
    change.exceptions.iter().filter(move |one| one.freeze == freeze && one.is_for(effect, now))
}

/// Ends an exception: by who asked for it, by who granted it, and by who could have. To forbid more, nobody has to be from outside.
pub(super) fn revoke_exception(change: &Change, given: &Given, freeze: String, reason: String) -> Decision {
    if change.phase().is_terminal() {
        return Err(wrong_phase(change, "it is over"));
    }
    let reason = with_reason(reason)?;
    if standing_exceptions(change, given, &freeze).next().is_none() {
        let why = format!("none of `{freeze}` is asked for or granted for what it is now");
        return Err(Rejection::NoSuchException { change: change.id, why });
    }
    let actor = given.actor.clone();
    let granted = |one: &Exception| one.granted.as_ref().is_some_and(|granted| granted.by == actor);
    let has_part = standing_exceptions(change, given, &freeze).any(|one| one.by == actor || granted(one));
    // The freeze may have been taken out of the calendar since.
    let owner = given.freezes.get(&freeze).cloned().unwrap_or_default();
    let own: BTreeSet<String> = given.groups.iter().filter(|g| !given.on_behalf.contains_key(*g)).cloned().collect();
    let may_freeze = given.may.contains(&Permission::Freeze);
    if !has_part && role_of(actor.user().unwrap_or_default(), &own, &owner, may_freeze).is_none() {
        return Err(Rejection::NotFreezeOwner { actor, freeze, owner });
    }
    Ok(vec![Event::ExceptionRevoked { freeze, effect: change.proposal.effect_digest, reason }])
}

fn owner_of<'a>(change: &Change, given: &'a Given, freeze: &str) -> Result<&'a str, Rejection> {
    given.freezes.get(freeze).map(String::as_str).ok_or_else(|| Rejection::NoSuchFreeze {
        change: change.id,
        freeze: freeze.to_owned(),
        known: list(given.freezes.keys().map(String::as_str)),
    })
}

pub(super) fn break_glass(change: &Change, given: &Given, reason: String) -> Decision {
    before_rollout(change, "the glass is broken before the rollout begins")?;
    let reason = with_reason(reason)?;
    let Some(assessed) = &change.assessment else {
        return Err(wrong_phase(change, "what stands against it is known once policy has answered"));
    };
    let effect = change.proposal.effect_digest;
    let set_aside = exception::still_aside(&change.set_aside, given);
    let codes: BTreeSet<String> =
        exception::standing(&assessed.assessment, &set_aside, effect).into_iter().map(|d| d.code.clone()).collect();
    if codes.is_empty() {
        return Err(Rejection::NoSuchDenial { change: change.id, code: "any".into(), standing: String::new() });
    }
    let (actor, id) = (given.actor.clone(), change.id);
    let inside = wrote(change, &actor) || given.excluded.is_some();
    match change.hand.as_ref().filter(|hand| hand.can_be_joined(effect, &codes, given)) {
        None => {
            let rules = list(codes.iter().map(String::as_str));
            let told = format!(
                "{actor} would break the glass over {rules}: {reason}; a second person has to agree within an hour"
            );
            Ok(vec![Event::GlassTouched { effect, codes, reason }, notice(change, "glass/touched", told, [].into())])
        }
        Some(hand) if hand.by == actor => Err(Rejection::SecondPersonNeeded { actor }),
        // One of the two has to be somebody who has no part in it, whichever comes first.
        Some(hand) if inside && (wrote(change, &hand.by) || given.insiders.contains(&hand.by)) => {
            Err(Rejection::OwnChange { actor, change: id })
        }
        Some(hand) => {
            let by: BTreeSet<Actor> = [hand.by.clone(), actor.clone()].into();
            let rules = all(codes.iter().map(String::as_str));
            let reason = format!("{} said: {}; {actor} said: {reason}", hand.by, hand.reason);
            let told = format!("{} and {actor} broke the glass over {rules}: {reason}", hand.by);
            let key = format!("{id}/glass");
            Ok(vec![
                Event::GlassBroken { codes, by, effect, reason },
                Event::PageOwed { key, reason: told.clone(), to: [].into(), urgency: Urgency::Page, at: None },
                Event::DebtOwed { debt: Debt::Review, reason: told, due: aftermath::review_due(given.now) },
            ])
        }
    }
}

pub(super) fn tick(change: &Change, name: String, code: String, note: String) -> Decision {
    before_rollout(change, "checklists are ticked before the rollout begins")?;
    let Some(assessed) = &change.assessment else {
        return Err(wrong_phase(change, "its checklists are known once policy has answered"));
    };
    let effect = change.proposal.effect_digest;
    let open = exception::unticked(&assessed.assessment, &change.ticked, effect);
    let Some(item) = open.iter().find(|item| item.list == name && item.code == code) else {
        if assessed.assessment.checklist.iter().any(|item| item.list == name && item.code == code) {
            return Ok(vec![]);
        }
        let named: Vec<String> = open.iter().map(|item| format!("{}/{}", item.list, item.code)).collect();
        let open = list(named.iter().map(String::as_str));
        return Err(Rejection::NoSuchPoint { change: change.id, list: name, code, open });
    };
    if item.tick == Tick::Evidence {
        return Err(Rejection::EvidenceNeeded { code });
    }
    Ok(vec![Event::Ticked { list: name, code, effect, note: with_reason(note)? }])
}

pub(super) fn approve_by_automation(change: &Change) -> Decision {
    let assessed = change.assessment.as_ref().filter(|_| change.phase() == Phase::Assessed && change.votes.is_empty());
    let needs_nobody = assessed.filter(|a| a.assessment.requires.is_empty() && change.is_allowed(&a.assessment));
    if needs_nobody.is_none() {
        return Err(wrong_phase(change, "automation approves only what needs nobody"));
    }
    Ok(vec![by_automation(change.proposal.effect_digest)])
}

/// The vote of automation, for what needs nobody.
pub(super) fn by_automation(effect: Digest) -> Event {
    let comment = Some("approved by automation: the policy asks for nobody".to_owned());
    Event::Approved { effect, groups: [].into(), on_behalf: [].into(), comment, signature: None }
}

pub(super) fn lapse_votes(change: &Change, given: &Given) -> Vec<Event> {
    let old = |v: &Vote| v.until <= given.now;
    let voided = void(change, old, Voided::Lapsed);
    match what_nobody_opened(change, given).filter(|_| !voided.is_empty()) {
        Some(why) => vec![Event::Lapsed { reason: format!("nobody decided in time: {why}") }],
        None => voided,
    }
}

/// What stands in the way of a change that needs nobody's vote. Automation would vote anew for ever, where people who have to vote are asked anew and
/// have a deadline.
fn what_nobody_opened(change: &Change, given: &Given) -> Option<String> {
    change.assessment.as_ref().filter(|assessed| assessed.assessment.requires.is_empty())?;
    let shut = gate::ask(change, given).into_iter().find(|gate| gate.gate == GateName::Policy && gate.holds());
    shut.and_then(|gate| gate.why())
}

pub(super) fn revoke_votes(change: &Change, given: &Given) -> Vec<Event> {
    void(change, |v| given.revoked.contains(&v.voter), Voided::Revoked)
}

/// Voids votes that wait. Once the rollout has begun they are consumed.
fn void(change: &Change, which: impl Fn(&Vote) -> bool, why: Voided) -> Vec<Event> {
    if change.rollout().is_some() || change.phase().is_terminal() {
        return vec![];
    }
    let voters: Vec<Actor> = change.votes.iter().filter(|v| which(v)).map(|v| v.voter.clone()).collect();
    if voters.is_empty() { vec![] } else { vec![Event::VotesVoided { voters, why }] }
}

pub(super) fn call(change: &Change, given: &Given) -> Decision {
    let assessed = change.assessment.as_ref().filter(|_| change.phase() == Phase::Assessed);
    let Some(assessed) = assessed else {
        return Err(wrong_phase(change, "only who is waited for is reminded"));
    };
    let due = calls(change, assessed, given.now).into_iter().filter(|(at, _)| *at <= given.now).map(|(_, call)| call);
    let mut all: Vec<Call> = Vec::new();
    for call in due.chain(escalated_by_absence(change, given)) {
        // Whoever is asked because time is up is not asked once more because others are away: the group after them would count unasked.
        if !all.contains(&call) {
            all.push(call);
        }
    }
    Ok(all.into_iter().flat_map(|call| called(change, call)).collect())
}

/// Where everybody who is asked is away, the next group is asked at once.
fn escalated_by_absence(change: &Change, given: &Given) -> Vec<Call> {
    let open = change.standing(given.now).into_iter().filter(|s| s.missing() > 0);
    let nobody_there = open.filter(|s| s.asked.iter().all(|group| given.away.contains(group)));
    let next = nobody_there.filter_map(|s| {
        let to = s.requirement.escalate.get(s.asked.len() - 1)?.clone();
        Some(Call::Escalate { by: s.requirement.by, to })
    });
    next.collect()
}

fn called(change: &Change, call: Call) -> Vec<Event> {
    match call {
        Call::Remind { by } => {
            let to = asked_for(change, &by);
            let told = format!("`{}` waits for the approval of {}", change.id, list(to.iter().map(String::as_str)));
            vec![Event::Reminded { by: by.clone() }, notice(change, &format!("approval/{by}/reminder"), told, to)]
        }
        Call::Escalate { by, to } => {
            let told =
                format!("`{}` waits for an approval that `{by}` has not given in time; `{to}` is asked", change.id);
            let key = format!("approval/{by}/{to}");
            let event = Event::Escalated { by, to: to.clone() };
            vec![event, notice(change, &key, told, [to].into())]
        }
        Call::Lapse => vec![],
    }
}

fn asked_for(change: &Change, by: &str) -> BTreeSet<String> {
    let requires = change.assessment.iter().flat_map(|a| &a.assessment.requires);
    let asked = requires.filter(|r| r.by == by).flat_map(|r| approval::groups_asked(r, &change.asked));
    asked.map(str::to_owned).collect()
}

pub(super) fn nag(change: &Change, given: &Given) -> Vec<Event> {
    let due = |owed: &Owed| owed.nag_at().is_some_and(|at| at <= given.now);
    let debts = change.debts.iter().filter(|(_, owed)| due(owed));
    debts.flat_map(|(debt, owed)| nagged(change, given, *debt, owed)).collect()
}

fn nagged(change: &Change, given: &Given, debt: Debt, owed: &Owed) -> [Event; 2] {
    let mut to = owner(change);
    to.extend(given.debts_escalate_to.clone().filter(|_| owed.escalates()));
    let told = format!("`{}` owes its {debt} since {}: {}", change.id, owed.due, owed.reason);
    [Event::DebtNagged { debt }, notice(change, &format!("debt/{debt}/{}", owed.nags + 1), told, to)]
}

pub(crate) fn owner(change: &Change) -> BTreeSet<String> {
    [change.proposal.owner.clone()].into()
}

/// What people hear of a change without being woken for it.
pub(crate) fn notice(change: &Change, about: &str, reason: String, to: BTreeSet<String>) -> Event {
    Event::PageOwed { key: format!("{}/{about}", change.id), reason, to, urgency: Urgency::Notice, at: None }
}

pub(super) fn lapse(change: &Change, given: &Given) -> Decision {
    if !matches!(change.stage, Stage::Waiting | Stage::Scheduled { .. }) {
        return Err(wrong_phase(change, "only a change that has not begun lapses"));
    }
    let over = change.proposal.course.emergency().filter(|emergency| emergency.until <= given.now);
    if let Some(emergency) = over {
        let reason = format!("the emergency was over at `{}` before it began", emergency.until);
        return Ok(vec![Event::Lapsed { reason }]);
    }
    let assessed = change.assessment.as_ref().filter(|_| change.phase() == Phase::Assessed);
    let Some(assessed) = assessed else {
        return Err(wrong_phase(change, "only a change that waits for approval lapses"));
    };
    let late = calls(change, assessed, given.now).into_iter().any(|(at, call)| call == Call::Lapse && at <= given.now);
    if !late {
        return Ok(vec![]);
    }
    let gates = gate::closed_ones(gate::ask(change, given));
    let missing = gates.first().map_or_else(String::new, |g| format!(": the gate `{}` stayed closed", g.gate));
    Ok(vec![Event::Lapsed { reason: format!("nobody decided in time{missing}") }])
}

pub(super) fn review(change: &Change, given: &Given, summary: String) -> Decision {
    let refused = change.refused_afterwards().is_some();
    if refused && wrote(change, &given.actor) {
        return Err(Rejection::OwnChange { actor: given.actor.clone(), change: change.id });
    }
    match change.debts.get(&Debt::Review) {
        Some(owed) if owed.is_open() => {
            let summary = with_reason(summary)?;
            // What was refused afterwards is settled when it is over and somebody else has looked into it.
            let settled = (refused && change.phase().is_terminal()).then(|| Event::DebtPaid {
                debt: Debt::Approval,
                summary: format!("refused, and reviewed: {summary}"),
            });
            Ok(std::iter::once(Event::DebtPaid { debt: Debt::Review, summary }).chain(settled).collect())
        }
        Some(_) => Ok(vec![]),
        None => Err(wrong_phase(change, "it owes no review")),
    }
}

impl Page {
    /// One that is owed, to these people.
    pub(super) fn owed(reason: &str, to: &BTreeSet<String>, urgency: Urgency) -> Self {
        Self { reason: reason.to_owned(), to: to.clone(), urgency, at: None, sent_at: None }
    }
}
