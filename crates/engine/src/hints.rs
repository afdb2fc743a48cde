//! Hints: which tasks there are, and how each is told that something may be due for it.
//!
//! One table for each kind of thing that has tasks. A hint says nothing of why; whoever hears it loads the log and asks. Knows neither changes nor
//! releases: next, [`reconcile`](crate::reconcile) and [`releases`](crate::releases).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::Notify;

/// The tasks under way, by what each is for.
///
/// INVARIANT: an entry has a task behind it, from the moment at which it is made until the task takes it away itself.
#[derive(Debug)]
pub(crate) struct Hints<K> {
    table: Mutex<BTreeMap<K, Arc<Notify>>>,
}

impl<K> Default for Hints<K> {
    fn default() -> Self {
        Self { table: Mutex::default() }
    }
}

impl<K: Ord + Copy> Hints<K> {
    fn table(&self) -> MutexGuard<'_, BTreeMap<K, Arc<Notify>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hints to the task of this key. Where there is none, gives what a new one is hinted by, and whoever asked starts it. `first` happens before, while
    /// no task begins or ends.
    pub(crate) fn give(&self, key: K, first: impl FnOnce()) -> Option<Arc<Notify>> {
        let mut table = self.table();
        first();
        if let Some(hint) = table.get(&key) {
            hint.notify_one();
            return None;
        }
        let hint = Arc::new(Notify::new());
        table.insert(key, hint.clone());
        Some(hint)
    }

    /// Ends a task, unless a hint has come in the meantime, or `also` says no while none can come. Whether it has ended.
    pub(crate) fn end(&self, key: K, hint: &Notify, also: impl FnOnce() -> bool) -> bool {
        let mut table = self.table();
        let hinted = hint.notified().now_or_never().is_some();
        let ends = !hinted && also();
        if ends {
            table.remove(&key);
        }
        ends
    }

    /// Hints to every task there is.
    pub(crate) fn give_all(&self) {
        self.table().values().for_each(|hint| hint.notify_one());
    }

    /// How many tasks there are.
    pub(crate) fn count(&self) -> usize {
        self.table().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_begun_once_and_does_not_end_over_a_hint() {
        let hints: Hints<u8> = Hints::default();
        let hint = hints.give(7, || ()).expect("a task is begun");
        assert!(hints.give(7, || ()).is_none(), "there is one: it is hinted at");
        assert!(!hints.end(7, &hint, || true), "the hint has not been heard");
        assert!(!hints.end(7, &hint, || false) && hints.count() == 1, "whoever ends it has changed their mind");
        assert!(hints.end(7, &hint, || true) && hints.count() == 0);
        assert!(hints.give(7, || ()).is_some(), "and another can begin");
    }

    #[test]
    fn a_hint_to_all_keeps_each_task_for_one_more_round() {
        let hints: Hints<u8> = Hints::default();
        let each: Vec<_> = [1, 2].into_iter().filter_map(|key| Some((key, hints.give(key, || ())?))).collect();
        hints.give_all();
        assert!(each.iter().all(|(key, hint)| !hints.end(*key, hint, || true)));
        assert!(each.iter().all(|(key, hint)| hints.end(*key, hint, || true)));
    }
}
