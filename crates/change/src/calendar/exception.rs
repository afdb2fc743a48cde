//! Exception: one change may pass one freeze, for a time, because its owner said so.
//!
//! Asked for by whoever may propose or approve, granted by who owns the freeze, or may freeze, and has no part in the change. Bound to the effect that the
//! change has, so that it falls with it, and over by itself. Before the first step it falls as a vote does: with the right of who granted it. Must never
//! pass anything but the freeze that it names.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::Digest;
use crate::time::{Span, Timestamp, after};

/// The role of who grants by the permission to freeze.
pub(crate) const FREEZE: &str = "freeze";
/// The longest that an exception lasts: who needs more amends the freeze.
pub const LONGEST: Span = Span::secs(31 * 86_400);

/// An exception of a freeze, asked for or granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Exception {
    /// The name of the freeze.
    pub freeze: String,
    pub effect: Digest,
    pub by: Actor,
    pub reason: String,
    #[schemars(with = "String")]
    pub until: Timestamp,
    #[schemars(with = "String")]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Granted>,
}

/// A yes to an exception.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Granted {
    pub by: Actor,
    /// By virtue of what: the owner of the freeze, or the permission `freeze`.
    pub role: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// An exception that does not count any more: of this freeze, granted by somebody who could not grant it now.
pub type Lost = (String, Actor);

impl Exception {
    /// Whether it was granted by somebody who could not grant it now.
    pub fn is_among(&self, lost: &BTreeSet<Lost>) -> bool {
        self.granted.as_ref().is_some_and(|granted| lost.contains(&(self.freeze.clone(), granted.by.clone())))
    }

    /// Whether it lets this effect pass at `now`.
    pub fn counts(&self, effect: Digest, now: Timestamp) -> bool {
        self.granted.is_some() && self.is_for(effect, now)
    }

    /// Whether it is still wanted, and nobody has said yes.
    pub fn is_open(&self, effect: Digest, now: Timestamp) -> bool {
        self.granted.is_none() && self.is_for(effect, now)
    }

    /// Whether it is about this effect, and not over.
    pub fn is_for(&self, effect: Digest, now: Timestamp) -> bool {
        self.effect == effect && now < self.until
    }
}

/// What is wrong with the end of an exception that is asked for at `now`.
pub fn end_problem(until: Timestamp, now: Timestamp) -> Option<String> {
    if until <= now {
        return Some(format!("`{until}` is over already"));
    }
    (until > after(now, LONGEST)).then(|| format!("`{until}` is too far: an exception lasts at most {LONGEST}"))
}

/// By virtue of what somebody may grant an exception of a freeze with this owner: as the owner, in their own right, or because they may freeze.
pub fn role_of(user: &str, own_groups: &BTreeSet<String>, owner: &str, may_freeze: bool) -> Option<String> {
    if user == owner || own_groups.contains(owner) {
        return Some(owner.to_owned());
    }
    may_freeze.then(|| FREEZE.to_owned())
}
