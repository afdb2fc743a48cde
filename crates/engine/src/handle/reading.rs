//! Reading: what pages, API and CLI ask of the engine, without asking anything of a change.
//!
//! Nothing here writes to the log. What is asked of a change, and proposed, is in [`handle`](super).

use std::collections::BTreeSet;

use change::gate::{self, Gate};
use change::{Actor, Change, ChangeId, Digest, Given, Permission, Timestamp};

use super::{Handle, Overview};
use crate::ports::{ListQuery, LookRow, Recorded, StoreError};
use crate::project::{self, ChangeRow};
use crate::replay::{Replayed, Strictness};
use crate::signing::{self, ToSign};

impl Handle {
    /// The change with this number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        self.engine.load(id).await
    }

    /// A change, its gates as they are now, and its log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn overview(&self, id: ChangeId) -> Result<Option<Overview>, StoreError> {
        let log = self.engine.store.read(&id.stream(), 0).await?;
        let Some(change) = log.iter().fold(None, project::fold) else { return Ok(None) };
        let gates = self.gates_of(&change).await?;
        Ok(Some(Overview { change, gates, log }))
    }

    /// What this user would sign to approve the change as it is now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn to_sign(&self, actor: &Actor, change: &Change) -> Result<ToSign, StoreError> {
        let given = self.engine.given(change, actor).await?;
        Ok(signing::to_sign(change, &given, &self.in_force().governance))
    }

    /// The gates of a change as they are now. A change that has ended has none to pass.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn gates_of(&self, change: &Change) -> Result<Vec<Gate>, StoreError> {
        if change.phase().is_terminal() {
            return Ok(vec![]);
        }
        let mut given = self.engine.given(change, &Actor::Clearway(change::actor::Part::Clock)).await?;
        if let Some(hold) = &change.hold {
            given.readiness = readiness_of(&hold.gates);
        } else if change.rollout().is_none() && change.not_before().is_some() {
            given.readiness = self.engine.readiness(change).await;
        }
        given.warnings = self.engine.rehearsals.warnings(change.id, change.proposal.effect_digest);
        self.engine.foretell_soon(change);
        given.warnings.extend(self.engine.forecasts.warnings(change.proposal.effect_digest));
        self.engine.with_those_in_the_way(change, &given, gate::ask(change, &given)).await
    }

    /// What the core may know for this change and actor, but for the readiness of the target, which is asked only when it matters.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn given(&self, change: &Change, actor: &Actor) -> Result<Given, StoreError> {
        self.engine.given(change, actor).await
    }

    /// The rows of the change list.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        self.engine.store.list(query).await
    }

    /// The row of a change in the list.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn row(&self, id: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        self.engine.store.row(id).await
    }

    /// The events of one change, or of the whole log from a position.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn log(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        self.engine.store.read_all(from, limit).await
    }

    /// The looks of a change after a number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn looks(&self, id: ChangeId, after: u64) -> Result<Vec<LookRow>, StoreError> {
        self.engine.store.looks(id, after + 1).await
    }

    /// What another strictness would have said of the kept looks of a change. The inner error says what is wrong with the settings.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn replay(&self, change: &Change, other: &Strictness) -> Result<Result<Replayed, String>, StoreError> {
        self.engine.replay(change, other).await
    }

    /// One file of the log in the tlog-tiles layout.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine.store.log_file(path).await
    }

    /// The inclusion proof of an entry.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn proof(&self, position: u64) -> Result<Option<String>, StoreError> {
        self.engine.store.proof(position).await
    }

    /// Something kept beside the log, by its digest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine.store.blob(digest).await
    }

    pub fn verifier_key(&self) -> String {
        self.engine.store.verifier_key()
    }

    /// The measures of a period, from the log alone.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn measures(&self, from: Timestamp, to: Timestamp) -> Result<measure::Report, StoreError> {
        self.engine.with_folds(|folds| folds.measures.report(from, to)).await
    }

    /// How approvals, policy and the records of changes have fared in a period: M4, M6, M7 and M12.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn controls(&self, from: Timestamp, to: Timestamp) -> Result<measure::ControlReport, StoreError> {
        let in_force = self.in_force();
        self.engine.with_folds(|folds| folds.measures.controls(&in_force.governance.approvals, from, to)).await
    }

    /// What a user may do to changes of these services in this environment.
    pub fn permissions(&self, user: &str, services: &BTreeSet<String>, environment: &str) -> BTreeSet<Permission> {
        self.in_force().governance.access.permissions(user, services, environment)
    }
}

// A held change has been asked moments ago; asking target and telemetry again for each reader of a page would be a load of its own.
fn readiness_of(gates: &[Gate]) -> gate::Readiness {
    let closed = gates.iter().find_map(|g| match (&g.gate, &g.state) {
        (gate::GateName::Readiness, gate::GateState::Closed { reason, .. }) => Some(reason.clone()),
        _ => None,
    });
    closed.map_or(gate::Readiness::Ready, |reason| gate::Readiness::NotReady { problems: vec![reason] })
}
