//! Approval: have the right people said yes, to exactly this, in time?
//!
//! Counts votes against what policy requires. A vote is for an effect digest and falls with it. Who is asked, reminded and asked in their place when time
//! is up follows from the requirement and the clock; silence is never a yes. Knows nothing of sessions; an actor arrives identified.
//! A vote by the author is refused, not ignored: a silent refusal would look like consent. Next room: [`schedule`](crate::schedule).

pub mod signers;
pub mod statement;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::assessment::{Requirement, Signing};
use crate::id::Digest;
use crate::time::{Span, Timestamp, after};
pub use statement::{Signature, Signed};

/// How long a vote counts before the rollout begins, from when it was cast or, where the change asks for a later time, from then. Once the rollout has
/// begun, age does not matter.
pub const VOTE_LASTS: Span = Span::secs(7 * 86_400);

/// The group that every user with the permission to approve belongs to.
pub const APPROVERS: &str = "approvers";
/// The group of the owners of the changed services: of all of them. Where they have several owners, each is a group of its own, see [`owned_by`].
pub const SERVICE_OWNERS: &str = "service-owners";
/// The group of those who are on call for the changed services.
pub const ON_CALL: &str = "on-call";
/// The groups that are known without being listed in access.yaml.
pub const KNOWN_GROUPS: [&str; 3] = [APPROVERS, SERVICE_OWNERS, ON_CALL];

/// The group of one owner among several: `service-owners/team-checkout`.
pub fn owned_by(owner: &str) -> String {
    format!("{SERVICE_OWNERS}/{owner}")
}

/// One yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    pub voter: Actor,
    /// The effect that was approved.
    pub effect: Digest,
    /// The groups for which the voter could speak at that time.
    pub groups: BTreeSet<String>,
    /// Those of the groups for which the voter stood in, each with whose place it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_behalf: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Verified when it was cast; absent where it was not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// From when it no longer counts, unless the rollout has begun.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

impl Vote {
    /// Whether it counts at `now` for this effect.
    pub fn counts(&self, effect: Digest, now: Timestamp) -> bool {
        self.effect == effect && now < self.until
    }

    /// Whose seat it takes for a group: the voter's own, or that of whoever they stand in for.
    fn seat(&self, group: &str) -> Option<&str> {
        self.on_behalf.get(group).map(String::as_str).or(self.voter.user())
    }

    /// Whether it is such a vote as the requirement asks for: by one of the groups that are asked, and signed where it must be.
    fn fits(&self, speaks_for: &BTreeSet<&str>, requirement: &Requirement, asked: &[&str]) -> bool {
        let speaks = asked.iter().any(|group| speaks_for.contains(*group));
        speaks && (requirement.signature == Signing::Free || self.signature.is_some())
    }
}

/// Until when a vote counts that is cast at `at` for a change that begins not before `start`.
pub fn counts_until(at: Timestamp, start: Timestamp) -> Timestamp {
    after(at.max(start), VOTE_LASTS)
}

/// Why votes no longer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voided {
    /// What they approved has changed.
    Amended,
    /// They are too old.
    Lapsed,
    /// The voter has left, or has lost the group for which they spoke.
    Revoked,
}

/// A request that stands against a change until it is amended or the request is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ChangesRequested {
    pub by: Actor,
    pub reason: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// Who is asked for a requirement at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Since when the newest group is asked.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// How many groups of [`Requirement::escalate`] are asked too.
    pub escalated: usize,
    pub reminded: bool,
}

impl Asked {
    pub fn at(since: Timestamp) -> Self {
        Self { since, escalated: 0, reminded: false }
    }
}

/// Who is asked for each requirement, by [`Requirement::by`].
pub type AskedFor = BTreeMap<String, Asked>;

/// The groups that are asked for a requirement: its own, and those to which it was escalated.
pub fn groups_asked<'a>(requirement: &'a Requirement, asked: &AskedFor) -> Vec<&'a str> {
    let escalated = asked.get(&requirement.by).map_or(0, |a| a.escalated);
    let more = requirement.escalate.iter().take(escalated).map(String::as_str);
    std::iter::once(requirement.by.as_str()).chain(more).collect()
}

/// What is to be done because people have not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Remind { by: String },
    Escalate { by: String, to: String },
    Lapse,
}

/// What is to be done next for each requirement that is not met, and when.
pub fn calls(
    standing: &[Standing],
    asked: &AskedFor,
    assessed_at: Timestamp,
    now: Timestamp,
) -> Vec<(Timestamp, Call)> {
    let open = standing.iter().filter(|s| s.missing() > 0);
    open.map(|s| call(&s.requirement, asked.get(&s.requirement.by).copied().unwrap_or(Asked::at(assessed_at)), now))
        .collect()
}

fn call(requirement: &Requirement, asked: Asked, now: Timestamp) -> (Timestamp, Call) {
    let by = requirement.by.clone();
    let over = after(asked.since, requirement.within);
    let remind = after(asked.since, requirement.remind.unwrap_or(Span::millis(requirement.within.as_millis() / 2)));
    // Nobody is reminded of what is over.
    if !asked.reminded && remind < over && now < over {
        return (remind, Call::Remind { by });
    }
    match requirement.escalate.get(asked.escalated) {
        Some(to) => (over, Call::Escalate { by, to: to.clone() }),
        None => (over, Call::Lapse),
    }
}

/// A requirement, and how far it is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    pub requirement: Requirement,
    /// The groups that are asked by now.
    pub asked: Vec<String>,
    /// The voters who count for it; one person counts for one requirement only.
    pub met_by: Vec<Actor>,
}

impl Standing {
    pub fn missing(&self) -> usize {
        usize::from(self.requirement.count).saturating_sub(self.met_by.len())
    }

    /// What is missing: ``1 of `sre` or `sre-leads` ``.
    pub fn in_words(&self) -> String {
        let groups: Vec<String> = self.asked.iter().map(|group| format!("`{group}`")).collect();
        let signed = if self.requirement.signature == Signing::Required { ", signed" } else { "" };
        format!("{} of {}{signed}", self.missing(), groups.join(" or "))
    }
}

/// The groups that each vote speaks for. One seat is one voice: who votes takes it back from whoever stood in for them, and of several who stand in for
/// the same person the first one has it.
fn spoken_for<'a>(votes: &[&'a Vote]) -> Vec<BTreeSet<&'a str>> {
    let mut taken: BTreeMap<&str, &Actor> =
        votes.iter().filter_map(|vote| Some((vote.voter.user()?, &vote.voter))).collect();
    let mut speaks = |vote: &'a Vote| {
        let mut has_seat = |group: &str| match vote.seat(group) {
            Some(seat) => **taken.entry(seat).or_insert(&vote.voter) == vote.voter,
            None => true,
        };
        vote.groups.iter().map(String::as_str).filter(|group| has_seat(group)).collect()
    };
    votes.iter().map(|vote| speaks(vote)).collect()
}

/// Assigns the votes that count to the requirements, each voter to one, so that as many places as possible are filled.
///
/// A maximum bipartite matching by augmenting paths: a greedy choice could spend the only security reviewer on a place that anybody could fill.
pub fn standing(
    requires: &[Requirement],
    asked: &AskedFor,
    votes: &[Vote],
    effect: Digest,
    now: Timestamp,
) -> Vec<Standing> {
    let counted: Vec<&Vote> = votes.iter().filter(|v| v.counts(effect, now)).collect();
    let places: Vec<usize> = requires.iter().enumerate().flat_map(|(i, r)| (0..r.count).map(move |_| i)).collect();
    let groups: Vec<Vec<&str>> = requires.iter().map(|r| groups_asked(r, asked)).collect();
    let speaks = spoken_for(&counted);
    let fits =
        |place: usize, vote: usize| counted[vote].fits(&speaks[vote], &requires[places[place]], &groups[places[place]]);
    let mut holder: Vec<Option<usize>> = vec![None; places.len()];
    for vote in 0..counted.len() {
        seat(vote, &fits, &mut holder, &mut vec![false; places.len()]);
    }
    let met_by = |i: usize| {
        let seats = holder.iter().zip(&places).filter(|(_, p)| **p == i);
        seats.filter_map(|(h, _)| h.map(|v| counted[v].voter.clone())).collect()
    };
    let named = |i: usize| groups[i].iter().map(|g| (*g).to_owned()).collect();
    let each = requires.iter().enumerate();
    each.map(|(i, r)| Standing { requirement: r.clone(), asked: named(i), met_by: met_by(i) }).collect()
}

/// Whose seats, by group, somebody else has taken: a vote for them alone would count for nothing.
pub fn seats_taken(votes: &[Vote], newer: &Vote, now: Timestamp) -> BTreeSet<String> {
    let standing: Vec<&Vote> = votes.iter().filter(|v| v.voter != newer.voter && v.counts(newer.effect, now)).collect();
    let all: Vec<&Vote> = standing.into_iter().chain([newer]).collect();
    let speaks = spoken_for(&all).pop().unwrap_or_default();
    newer.groups.iter().filter(|group| !speaks.contains(group.as_str())).cloned().collect()
}

fn seat(vote: usize, fits: &impl Fn(usize, usize) -> bool, holder: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for place in 0..holder.len() {
        if tried[place] || !fits(place, vote) {
            continue;
        }
        tried[place] = true;
        let free = match holder[place] {
            None => true,
            Some(other) => seat(other, fits, holder, tried),
        };
        if free {
            holder[place] = Some(vote);
            return true;
        }
    }
    false
}

/// Whether every requirement is met. A change that needs nobody is approved by automation, which is a vote too: no vote at all is never a quorum.
pub fn is_quorate(requires: &[Requirement], asked: &AskedFor, votes: &[Vote], effect: Digest, now: Timestamp) -> bool {
    let any = votes.iter().any(|v| v.counts(effect, now));
    any && standing(requires, asked, votes, effect, now).iter().all(|s| s.missing() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFECT: &[u8] = b"effect";

    fn requirement(by: &str, count: u8) -> Requirement {
        Requirement::of(by, count, Span::secs(3_600))
    }

    fn vote(voter: &str, groups: &[&str]) -> Vote {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        let at = Timestamp::UNIX_EPOCH;
        Vote {
            until: counts_until(at, at),
            voter: Actor::User(voter.into()),
            effect: Digest::of_bytes(EFFECT),
            groups,
            on_behalf: BTreeMap::new(),
            comment: None,
            signature: None,
            at,
        }
    }

    fn missing(requires: &[Requirement], votes: &[Vote], now: Timestamp) -> usize {
        standing(requires, &AskedFor::new(), votes, Digest::of_bytes(EFFECT), now).iter().map(Standing::missing).sum()
    }

    #[test]
    fn one_person_counts_for_one_requirement_only() {
        let requires = [requirement("sre", 1), requirement("security", 1)];
        let (both, sre) = (vote("ada", &["sre", "security"]), vote("bob", &["sre"]));
        assert_eq!(missing(&requires, std::slice::from_ref(&both), Timestamp::UNIX_EPOCH), 1);
        assert_eq!(missing(&requires, &[both.clone(), sre.clone()], Timestamp::UNIX_EPOCH), 0);
        assert_eq!(missing(&requires, &[sre, both], Timestamp::UNIX_EPOCH), 0);
    }

    // F1: one seat is one voice, whoever sits in it.
    #[test]
    fn a_seat_counts_once_whether_its_holder_or_who_stands_in_votes() {
        let (requires, now) = ([requirement("sre", 2)], Timestamp::UNIX_EPOCH);
        let stand_in =
            |who: &str, of: &str| Vote { on_behalf: [("sre".into(), of.into())].into(), ..vote(who, &["sre"]) };
        assert_eq!(missing(&requires, &[vote("bob", &["sre"]), stand_in("cyd", "bob")], now), 1);
        assert_eq!(missing(&requires, &[stand_in("cyd", "bob"), vote("bob", &["sre"])], now), 1);
        assert_eq!(missing(&requires, &[stand_in("cyd", "bob"), stand_in("dan", "bob")], now), 1);
        assert_eq!(missing(&requires, &[stand_in("cyd", "bob"), stand_in("dan", "eve")], now), 0);
        let both = seats_taken(&[vote("bob", &["sre"])], &stand_in("cyd", "bob"), now);
        assert_eq!(both, ["sre".to_owned()].into());
    }

    #[test]
    fn a_vote_for_another_effect_or_too_old_does_not_count() {
        let requires = [requirement("sre", 1)];
        let votes = [vote("ada", &["sre"])];
        let late = after(Timestamp::UNIX_EPOCH, VOTE_LASTS);
        assert_eq!(missing(&requires, &votes, late), 1);
        assert_eq!(
            standing(&requires, &AskedFor::new(), &votes, Digest::of_bytes(b"other"), Timestamp::UNIX_EPOCH)[0]
                .missing(),
            1
        );
    }

    // LC3 X2
    #[test]
    fn people_are_reminded_then_the_next_group_is_asked_and_silence_ends_in_a_lapse() {
        let (start, hour) = (Timestamp::UNIX_EPOCH, Span::secs(3_600));
        let requires = [Requirement { escalate: vec!["leads".into()], ..requirement("security", 1) }];
        let mut asked = AskedFor::new();
        let next = |asked: &AskedFor| {
            let standing = standing(&requires, asked, &[], Digest::of_bytes(EFFECT), start);
            calls(&standing, asked, start, start).remove(0)
        };
        assert_eq!(next(&asked), (after(start, Span::secs(1_800)), Call::Remind { by: "security".into() }));
        asked.insert("security".into(), Asked { since: start, escalated: 0, reminded: true });
        let to_leads = Call::Escalate { by: "security".into(), to: "leads".into() };
        assert_eq!(next(&asked), (after(start, hour), to_leads));
        let later = after(start, hour);
        asked.insert("security".into(), Asked { since: later, escalated: 1, reminded: true });
        assert_eq!(next(&asked), (after(later, hour), Call::Lapse));
    }

    #[test]
    fn the_next_group_counts_only_once_it_was_asked() {
        let requires = [Requirement { escalate: vec!["leads".into()], ..requirement("security", 1) }];
        let votes = [vote("ada", &["leads"])];
        let missing = |asked: &AskedFor| {
            standing(&requires, asked, &votes, Digest::of_bytes(EFFECT), Timestamp::UNIX_EPOCH)[0].missing()
        };
        assert_eq!(missing(&AskedFor::new()), 1);
        let escalated = Asked { since: Timestamp::UNIX_EPOCH, escalated: 1, reminded: false };
        assert_eq!(missing(&[("security".to_owned(), escalated)].into()), 0);
    }

    #[test]
    fn a_vote_without_a_signature_does_not_count_where_one_is_required() {
        let requires = [Requirement { signature: Signing::Required, ..requirement("sre", 1) }, requirement("sre", 1)];
        let signature = Some(Signature { key: "SHA256:x".into(), statement: "s".into(), armored: "a".into() });
        let (plain, signed) = (vote("ada", &["sre"]), Vote { signature, ..vote("bob", &["sre"]) });
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(missing(&requires, std::slice::from_ref(&plain), now), 1);
        assert_eq!(missing(&requires, &[plain.clone(), vote("cyd", &["sre"])], now), 1);
        assert_eq!(
            missing(&requires, &[signed.clone(), plain.clone()], now),
            0,
            "the signed one is kept for the place"
        );
        assert_eq!(missing(&requires, &[plain, signed], now), 0);
    }
}
