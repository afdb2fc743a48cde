//! Edits: which commit of its repository a governance was loaded from, and who has edited it since the load before.
//!
//! Reads the log only; the repository is read by whoever loads. What follows for the votes of an editor is the core's to say.

use std::collections::BTreeSet;

use change::Event;
use change::governance::Governance;

use crate::handle::GOVERNANCE;
use crate::ports::{Store, StoreError};

/// What the repository of a governance says of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The commit that was loaded.
    pub commit: String,
    /// The users who wrote or committed what is new since the commit of the load before.
    pub editors: BTreeSet<String>,
}

impl Edits {
    /// Those who edited it, if what is loaded is another than the last load: who has changed a word back, or another file, has edited nothing.
    pub(crate) fn since(&self, last: Option<&Event>, governance: &Governance) -> BTreeSet<String> {
        let is_other = matches!(last, Some(Event::GovernanceLoaded { files, .. }) if *files != governance.files);
        if is_other { self.editors.clone() } else { BTreeSet::new() }
    }
}

/// The commit of the newest load that names one.
///
/// # Errors
/// If the store fails.
pub async fn last_commit(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let loads = store.read(GOVERNANCE, 0).await?;
    Ok(loads.iter().rev().find_map(|load| match &load.event {
        Event::GovernanceLoaded { commit, .. } => commit.clone(),
        _ => None,
    }))
}

/// Whether a load has nothing to add to the last one. A commit that changes no file of the governance is no load; the first that names a commit is one, so that the next has something to begin from.
pub(crate) fn says_the_same(last: &Event, load: &Event) -> bool {
    let (Event::GovernanceLoaded { commit: was, .. }, Event::GovernanceLoaded { editors, commit, .. }) = (last, load)
    else {
        return false;
    };
    editors.is_empty() && (was.is_some() || commit.is_none()) && without_edits(last) == without_edits(load)
}

fn without_edits(load: &Event) -> Event {
    let mut load = load.clone();
    if let Event::GovernanceLoaded { editors, commit, .. } = &mut load {
        (*editors, *commit) = (BTreeSet::new(), None);
    }
    load
}
