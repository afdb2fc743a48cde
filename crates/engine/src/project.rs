//! Projection: a change as a row of the list, and its whole state as a snapshot.
//!
//! A pure function of the state, which is a pure fold over the log: rows can be dropped and made again, byte for byte.

use change::assessment::Risk;
use change::{Change, ChangeId, Timestamp, explain};
use serde::{Deserialize, Serialize};

use crate::ports::Recorded;

/// A row of the change list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    pub id: ChangeId,
    pub title: String,
    /// The name of the phase.
    pub phase: String,
    /// What it is doing, in a sentence.
    pub status: String,
    pub kind: String,
    pub environment: String,
    pub services: Vec<String>,
    pub owner: String,
    pub author: String,
    pub risk: Option<Risk>,
    pub proposed_at: Timestamp,
    pub updated_at: Timestamp,
    /// The number of events that the row is made of.
    pub version: u64,
    /// Whether something may still be done for it: it has not ended, or people have yet to be told.
    pub active: bool,
    /// The state as canonical JSON.
    pub state: String,
}

impl ChangeRow {
    pub fn of(change: &Change) -> Self {
        let proposal = &change.proposal;
        // INVARIANT: a change holds only strings as keys and finite numbers, so it always has a JSON form.
        let state = serde_json::to_value(change).expect("a change has a JSON form");
        Self {
            id: change.id,
            title: proposal.title.clone(),
            phase: change.phase().name().to_owned(),
            status: explain::status(change),
            kind: proposal.kind.to_string(),
            environment: proposal.environment.clone(),
            services: proposal.services.iter().cloned().collect(),
            owner: proposal.owner.clone(),
            author: explain::actor(&change.author),
            risk: change.assessment.as_ref().map(|a| a.assessment.level),
            proposed_at: change.proposed_at,
            updated_at: change.updated_at,
            version: change.version,
            active: !change.phase().is_terminal()
                || change.pages.values().any(|p| p.sent_at.is_none())
                || change.debts.values().any(|owed| owed.nag_at().is_some()),
            state: change::id::canonical(&state),
        }
    }

    /// The state that the row was made of.
    ///
    /// # Errors
    /// If the row is not one that [`ChangeRow::of`] made.
    pub fn change(&self) -> Result<Change, serde_json::Error> {
        serde_json::from_str(&self.state)
    }
}

/// Folds one recorded event into the state of its change.
pub fn fold(change: Option<Change>, recorded: &Recorded) -> Option<Change> {
    match ChangeId::of_stream(&recorded.stream) {
        Some(id) => change::evolve(change, id, &recorded.event, &recorded.actor, recorded.time),
        None => change,
    }
}
