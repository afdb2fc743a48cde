//! Admission: may changes take the places that they ask for: what they come after, and where they would act?
//!
//! Asked by everything that proposes, amends, or makes changes members of a release: one question for one change and for a hundred. Fetches what is known of
//! the others; what is wrong is said by [`change::sequence`] and [`change::conflict`]. Must never hold a step: its gates do, in [`change::gate`].

use std::collections::{BTreeMap, BTreeSet};

use change::document::{Document, Problem};
use change::gate;
use change::lifecycle::Rejection;
use change::proposal::Proposal;
use change::sequence::{self, Place, Sequence};
use change::{Change, ChangeId};

use crate::handle::{Engine, Folds};
use crate::ports::{StoreError, StreamWrite};

/// For whom a change waits, and the number of its events.
type Walked = BTreeMap<ChangeId, (BTreeSet<ChangeId>, u64)>;

/// What is wrong with the places that changes would take, and the streams of others that must not move before they take them.
pub(crate) struct Admission {
    /// In the order of the places.
    pub sequences: Vec<Sequence>,
    pub conditions: Vec<StreamWrite>,
}

impl Engine {
    /// What is wrong with the places that changes would take in the sequence, all at once.
    pub(crate) async fn admission(&self, places: &[Place<'_>]) -> Result<Admission, StoreError> {
        let after: BTreeSet<ChangeId> = places.iter().flat_map(|place| place.after).copied().collect();
        let walked = self.with_folds(|folds| walk(&after, folds)).await?;
        let mut known = BTreeSet::new();
        for id in after {
            if self.store.row(id).await?.is_some() {
                known.insert(id);
            }
        }
        let is_other = |id: &ChangeId| places.iter().all(|place| place.change != *id);
        let conditions = walked.iter().filter(|(id, _)| is_other(id)).map(|(id, (_, version))| StreamWrite {
            stream: id.stream(),
            expected: *version,
            events: vec![],
        });
        let conditions = conditions.collect();
        let others = walked.into_iter().map(|(id, (waits_for, _))| (id, waits_for)).collect();
        Ok(Admission { sequences: sequence::admission(places, &known, &others), conditions })
    }

    /// The same for one change that is amended.
    pub(crate) async fn admission_of(
        &self,
        change: &Change,
        proposal: &Proposal,
    ) -> Result<(Sequence, Vec<StreamWrite>), StoreError> {
        if proposal.after.is_empty() {
            return Ok((Sequence::default(), vec![]));
        }
        let release = match change.release {
            Some(id) => self.release(id).await?,
            None => None,
        };
        let members = release.iter().flat_map(|release| release.changes()).collect();
        let place = Place { change: change.id, after: &proposal.after, members: &members };
        let Admission { mut sequences, conditions } = self.admission(&[place]).await?;
        Ok((sequences.pop().unwrap_or_default(), conditions))
    }

    /// What is wrong with the changes that a new one comes after, with their places in its file.
    pub(crate) async fn sequence_problems(
        &self,
        text: &str,
        after: &BTreeSet<ChangeId>,
    ) -> Result<Vec<Problem>, StoreError> {
        let Ok(document) = Document::from_yaml(text) else { return Ok(vec![]) };
        let next = ChangeId::new(self.store.last_number().await? + 1);
        let place = Place { change: next, after, members: &BTreeSet::new() };
        let sequences = self.admission(&[place]).await?.sequences;
        let written = document.value().get("after").and_then(|list| list.as_array()).cloned().unwrap_or_default();
        let problem = |(id, message, help): (ChangeId, String, String)| {
            let is_it = |value: &serde_json::Value| value.as_str().is_some_and(|text| text.parse() == Ok(id));
            let at = written.iter().position(is_it).map_or_else(|| "/after".to_owned(), |i| format!("/after/{i}"));
            document.problem(&at, message, Some(help))
        };
        Ok(sequences.into_iter().flat_map(unknown).map(problem).collect())
    }

    /// Why nothing may be proposed where this would act, if something is under way there and the rules refuse it.
    pub(crate) async fn in_the_way_of(
        &self,
        id: Option<ChangeId>,
        proposal: &Proposal,
    ) -> Result<Option<Rejection>, StoreError> {
        if proposal.course.afterwards().is_some() {
            return Ok(None);
        }
        let in_force = self.in_force();
        let (rules, catalog) = (&in_force.governance.conflicts, &in_force.governance.catalog);
        let found = self.with_folds(|folds| folds.traffic.refused(id, proposal, rules, catalog)).await?;
        let rejection = |found: change::conflict::Conflict| Rejection::InTheWay {
            holder: found.with,
            place: gate::place(&found, &proposal.environment),
        };
        Ok(found.map(rejection))
    }
}

/// The changes that there are not, each with a sentence and what to do.
pub(crate) fn unknown(sequence: Sequence) -> Vec<(ChangeId, String, String)> {
    let help = "name changes that were proposed before; `clearway list` shows them";
    let say = |id: ChangeId| (id, format!("there is no change `{id}`"), help.to_owned());
    sequence.unknown.into_iter().map(say).collect()
}

/// The changes that have not ended and have to be completed first, not more than anybody plans. Who waits for a member of a release waits for all of it.
fn walk(after: &BTreeSet<ChangeId>, folds: &Folds) -> Walked {
    let mut walked = Walked::new();
    let mut near: Vec<ChangeId> = after.iter().copied().collect();
    while let Some(id) = near.pop().filter(|_| walked.len() < sequence::MOST) {
        let Some((before, release, version)) = folds.traffic.sequence(id).filter(|_| !walked.contains_key(&id)) else {
            continue;
        };
        let release = release.and_then(|release| folds.circumstances.release(release));
        let fellows = release.iter().flat_map(|release| release.changes()).filter(|other| *other != id);
        let waits_for: BTreeSet<ChangeId> = before.iter().copied().chain(fellows).collect();
        near.extend(&waits_for);
        walked.insert(id, (waits_for, version));
    }
    walked
}
