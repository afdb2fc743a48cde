//! Sequence: which changes have to be completed before this one, and can that ever be?
//!
//! A change names those that it comes after. One that nobody knows and a circle are refused when it is proposed or amended; one that ended without being
//! completed closes the gate until somebody amends the change. Must never guess that what failed may be left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ChangeId;
use crate::lifecycle::Phase;

/// The most changes that are followed when a circle is looked for: more of them than any plan of people has.
pub const MOST: usize = 1_000;

/// What is true of what a proposal comes after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Those that there are not.
    pub unknown: BTreeSet<ChangeId>,
    /// The way from the change back to itself, if there is one.
    pub circle: Option<Vec<ChangeId>>,
}

/// The shortest way from a change back to itself along what each comes after, by what is known of the others.
pub fn circle(
    of: ChangeId,
    comes_after: &BTreeSet<ChangeId>,
    others: &BTreeMap<ChangeId, BTreeSet<ChangeId>>,
) -> Option<Vec<ChangeId>> {
    let mut came_from: BTreeMap<ChangeId, ChangeId> = comes_after.iter().map(|id| (*id, of)).collect();
    let mut near: Vec<ChangeId> = comes_after.iter().copied().collect();
    while !near.is_empty() && !came_from.contains_key(&of) {
        let mut further = Vec::new();
        for id in near {
            for before in others.get(&id).into_iter().flatten() {
                if !came_from.contains_key(before) {
                    came_from.insert(*before, id);
                    further.push(*before);
                }
            }
        }
        near = further;
    }
    came_from.contains_key(&of).then(|| way_back(of, &came_from))
}

fn way_back(of: ChangeId, came_from: &BTreeMap<ChangeId, ChangeId>) -> Vec<ChangeId> {
    let mut way = vec![of];
    let mut at = of;
    while let Some(before) = came_from.get(&at) {
        way.push(*before);
        at = *before;
        if at == of {
            break;
        }
    }
    way.reverse();
    way
}

/// `CHG-1 -> CHG-3 -> CHG-1`, each after the next.
pub fn in_words(circle: &[ChangeId]) -> String {
    circle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ")
}

/// Whether a change that ended like this can never be completed any more.
pub fn is_stranded(phase: Phase) -> bool {
    phase.is_terminal() && phase != Phase::Completed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<ChangeId> {
        ids.iter().map(|id| ChangeId::new(*id)).collect()
    }

    fn found(of: u64, after: &[u64], others: &[(u64, &[u64])]) -> Option<String> {
        let others = others.iter().map(|(id, after)| (ChangeId::new(*id), set(after))).collect();
        circle(ChangeId::new(of), &set(after), &others).map(|way| in_words(&way))
    }

    // LC4
    #[test]
    fn the_shortest_circle_is_named_from_its_beginning() {
        assert_eq!(found(1, &[1], &[]), Some("CHG-1 -> CHG-1".into()));
        assert_eq!(found(1, &[3], &[(3, &[1])]), Some("CHG-1 -> CHG-3 -> CHG-1".into()));
        let long: &[(u64, &[u64])] = &[(2, &[3, 4]), (3, &[5]), (5, &[1]), (4, &[1])];
        assert_eq!(found(1, &[2], long), Some("CHG-1 -> CHG-2 -> CHG-4 -> CHG-1".into()));
    }

    #[test]
    fn a_circle_of_others_and_a_way_that_only_meets_again_are_none() {
        assert_eq!(found(1, &[2], &[(2, &[3]), (3, &[2])]), None);
        assert_eq!(found(1, &[2, 3], &[(2, &[4]), (3, &[4]), (4, &[])]), None);
        assert_eq!(found(1, &[], &[]), None);
    }
}
