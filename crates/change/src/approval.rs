//! Approval: have the right people said yes, to exactly this, in time?
//!
//! Counts votes against what policy requires. A vote is for an effect digest and falls with it. Knows nothing of sessions; an actor arrives identified.
//! A vote by the author is refused, not ignored: a silent refusal would look like consent. Next room: [`schedule`](crate::schedule).

pub mod signers;
pub mod statement;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::assessment::{Assessment, Requirement, Signing};
use crate::id::Digest;
use crate::time::{Span, Timestamp, after};
pub use statement::{Signature, Signed};

/// How long a vote counts before the rollout begins, from when it was cast or, where the change asks for a later time, from then. Once the rollout has
/// begun, age does not matter.
pub const VOTE_LASTS: Span = Span::secs(7 * 86_400);

/// The group that every user with the permission to approve belongs to.
pub const APPROVERS: &str = "approvers";
/// The group of the owners of the changed services.
pub const SERVICE_OWNERS: &str = "service-owners";

/// One yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    pub voter: Actor,
    /// The effect that was approved.
    pub effect: Digest,
    /// The groups for which the voter could speak at that time.
    pub groups: BTreeSet<String>,
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

    /// Whether it is such a vote as the requirement asks for: by one of its group, and signed where it must be.
    pub fn fits(&self, requirement: &Requirement) -> bool {
        self.groups.contains(&requirement.by) && (requirement.signature == Signing::Free || self.signature.is_some())
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
}

/// A requirement, and how far it is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    pub requirement: Requirement,
    /// The voters who count for it; one person counts for one requirement only.
    pub met_by: Vec<Actor>,
}

impl Standing {
    pub fn missing(&self) -> usize {
        usize::from(self.requirement.count).saturating_sub(self.met_by.len())
    }
}

/// Assigns the votes that count to the requirements, each voter to one, so that as many places as possible are filled.
///
/// A maximum bipartite matching by augmenting paths: a greedy choice could spend the only security reviewer on a place that anybody could fill.
pub fn standing(requires: &[Requirement], votes: &[Vote], effect: Digest, now: Timestamp) -> Vec<Standing> {
    let counted: Vec<&Vote> = votes.iter().filter(|v| v.counts(effect, now)).collect();
    let places: Vec<usize> = requires.iter().enumerate().flat_map(|(i, r)| (0..r.count).map(move |_| i)).collect();
    let fits = |place: usize, vote: usize| counted[vote].fits(&requires[places[place]]);
    let mut holder: Vec<Option<usize>> = vec![None; places.len()];
    for vote in 0..counted.len() {
        seat(vote, &fits, &mut holder, &mut vec![false; places.len()]);
    }
    let met_by = |i: usize| {
        let seats = holder.iter().zip(&places).filter(|(_, p)| **p == i);
        seats.filter_map(|(h, _)| h.map(|v| counted[v].voter.clone())).collect()
    };
    requires.iter().enumerate().map(|(i, r)| Standing { requirement: r.clone(), met_by: met_by(i) }).collect()
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
pub fn is_quorate(assessment: &Assessment, votes: &[Vote], effect: Digest, now: Timestamp) -> bool {
    let any = votes.iter().any(|v| v.counts(effect, now));
    any && standing(&assessment.requires, votes, effect, now).iter().all(|s| s.missing() == 0)
}

/// When a change that nobody decides on lapses: the longest of its deadlines after the assessment.
pub fn lapses_at(assessment: &Assessment, assessed_at: Timestamp) -> Timestamp {
    let longest = assessment.requires.iter().map(|r| r.within).max().unwrap_or(VOTE_LASTS);
    after(assessed_at, longest)
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
            comment: None,
            signature: None,
            at,
        }
    }

    fn missing(requires: &[Requirement], votes: &[Vote], now: Timestamp) -> usize {
        standing(requires, votes, Digest::of_bytes(EFFECT), now).iter().map(Standing::missing).sum()
    }

    #[test]
    fn one_person_counts_for_one_requirement_only() {
        let requires = [requirement("sre", 1), requirement("security", 1)];
        let (both, sre) = (vote("ada", &["sre", "security"]), vote("bob", &["sre"]));
        assert_eq!(missing(&requires, std::slice::from_ref(&both), Timestamp::UNIX_EPOCH), 1);
        assert_eq!(missing(&requires, &[both.clone(), sre.clone()], Timestamp::UNIX_EPOCH), 0);
        assert_eq!(missing(&requires, &[sre, both], Timestamp::UNIX_EPOCH), 0);
    }

    #[test]
    fn a_vote_for_another_effect_or_too_old_does_not_count() {
        let requires = [requirement("sre", 1)];
        let votes = [vote("ada", &["sre"])];
        let late = after(Timestamp::UNIX_EPOCH, VOTE_LASTS);
        assert_eq!(missing(&requires, &votes, late), 1);
        assert_eq!(standing(&requires, &votes, Digest::of_bytes(b"other"), Timestamp::UNIX_EPOCH)[0].missing(), 1);
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
