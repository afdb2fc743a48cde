//! Sequence: which changes have to be completed before this one, and can that ever be?
//!
//! A change names those that it comes after. One that nobody knows and a circle are refused when it is proposed, amended, or made part of a release; one
//! that ended without being completed closes the gate until somebody amends the change. Members of one release are completed together: who waits for one
//! of them waits for all, and none can wait for another's completion. Must never guess that what failed may be left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ChangeId;
use crate::lifecycle::Phase;

/// The most changes that are followed when a circle is looked for: more of them than any plan of people has.
pub const MOST: usize = 1_000;

/// What is wrong with what a change comes after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Those that there are not.
    pub unknown: BTreeSet<ChangeId>,
    /// A member of the same release: it is completed with this change, and never before.
    pub fellow: Option<ChangeId>,
    /// The way from the change back to itself, if there is one.
    pub circle: Option<Vec<ChangeId>>,
}

/// A place that a change would take: of one that is proposed or amended, or of each member of a release.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub change: ChangeId,
    pub after: &'a BTreeSet<ChangeId>,
    /// The members of its release.
    pub members: &'a BTreeSet<ChangeId>,
}

impl Place<'_> {
    /// Those that have to move before it is completed.
    fn waits_for(&self) -> BTreeSet<ChangeId> {
        self.after | self.members
    }
}

/// What is wrong with each of these places if all are taken at once, by what is known of the others: which there are, and for whom each of them waits.
pub fn admission(
    places: &[Place<'_>],
    known: &BTreeSet<ChangeId>,
    others: &BTreeMap<ChangeId, BTreeSet<ChangeId>>,
) -> Vec<Sequence> {
    let mut waits_for = others.clone();
    waits_for.extend(places.iter().map(|place| (place.change, place.waits_for())));
    let problems = |place: &Place<'_>| {
        let fellow = place.after.intersection(place.members).find(|id| **id != place.change).copied();
        // Whoever waits for a fellow is told so, and not led around by it.
        let circle = if fellow.is_none() { circle(place.change, place.after, &waits_for) } else { None };
        Sequence { unknown: place.after - known, fellow, circle }
    };
    places.iter().map(problems).collect()
}

/// The shortest way from a change back to itself along what each comes after, by what is known of the others.
fn circle(
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

/// `CHG-1 -> CHG-3 -> CHG-1`, each waits for the next.
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

    fn said(members: &[u64], places: &[(u64, &[u64])], others: &[(u64, &[u64])]) -> Vec<String> {
        let members = set(members);
        let afters: Vec<(ChangeId, BTreeSet<ChangeId>)> =
            places.iter().map(|(id, after)| (ChangeId::new(*id), set(after))).collect();
        let places: Vec<Place<'_>> =
            afters.iter().map(|(change, after)| Place { change: *change, after, members: &members }).collect();
        let others: BTreeMap<_, _> = others.iter().map(|(id, after)| (ChangeId::new(*id), set(after))).collect();
        let known = others.keys().copied().chain([ChangeId::new(7)]).collect();
        let in_words = |found: Sequence| match found {
            Sequence { fellow: Some(fellow), .. } => format!("fellow {fellow}"),
            Sequence { circle: Some(way), .. } => in_words(&way),
            Sequence { unknown, .. } => unknown.iter().map(|id| format!("no {id}")).collect(),
        };
        admission(&places, &known, &others).into_iter().map(in_words).collect()
    }

    // LC4, U1: one member is completed with the others, so none can come after another's completion, directly or around others.
    #[test]
    fn members_of_a_release_wait_for_none_of_themselves() {
        assert_eq!(said(&[1, 2], &[(1, &[]), (2, &[1])], &[]), ["", "fellow CHG-1"]);
        assert_eq!(said(&[1, 2], &[(1, &[]), (2, &[3])], &[(3, &[1])]), ["", "CHG-2 -> CHG-3 -> CHG-1 -> CHG-2"]);
        assert_eq!(said(&[1, 2], &[(1, &[]), (2, &[3])], &[(3, &[7])]), ["", ""]);
        assert_eq!(said(&[], &[(1, &[9])], &[]), ["no CHG-9"]);
        // Changes that name one another are a circle without a release, too.
        assert_eq!(said(&[], &[(1, &[3])], &[(3, &[1])]), ["CHG-1 -> CHG-3 -> CHG-1"]);
    }

    #[test]
    fn a_circle_of_others_and_a_way_that_only_meets_again_are_none() {
        assert_eq!(found(1, &[2], &[(2, &[3]), (3, &[2])]), None);
        assert_eq!(found(1, &[2, 3], &[(2, &[4]), (3, &[4]), (4, &[])]), None);
        assert_eq!(found(1, &[], &[]), None);
    }
}
