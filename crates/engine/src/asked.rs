//! Asked: by which rules, and in which hour, was policy asked about a change last?
//!
//! Kept in memory alone: after a restart policy is asked once more, and an answer that says the same adds nothing to the log. Must never stand for an
//! answer: that is in the log. Next room: `act`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use change::facts::Now;
use change::{ChangeId, Digest, Timestamp};

use crate::in_force::InForce;

/// More than ever wait at once; the oldest change goes first, and is asked about once more.
const MOST: usize = 10_000;

/// What an answer of policy is good for: these rules, in this hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Over the whole governance: the approval matrix and the catalog answer too.
    rules: Digest,
    policies: Digest,
    /// The hour by the clocks that rules see: of the organisation's zone and of UTC, which may differ by a part of one.
    hour: [(String, i8); 2],
}

impl Asked {
    pub(crate) fn now(in_force: &InForce, now: Timestamp) -> Self {
        let Now { local, utc } = Now::in_zone(now, &in_force.zone);
        let hour = [(local.date, local.hour), (utc.date, utc.hour)];
        Self { rules: in_force.governance.digest, policies: in_force.bundle.digest(), hour }
    }
}

/// The last time for each change.
#[derive(Default)]
pub(crate) struct LastAsked(Mutex<BTreeMap<ChangeId, Asked>>);

impl LastAsked {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ChangeId, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self, change: ChangeId) -> Option<Asked> {
        self.all().get(&change).cloned()
    }

    pub(crate) fn keep(&self, change: ChangeId, asked: Asked) {
        let mut all = self.all();
        all.insert(change, asked);
        while all.len() > MOST {
            all.pop_first();
        }
    }
}
