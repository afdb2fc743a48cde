//! Order: which members of a release come before which, as a graph.
//!
//! Members are counted from 0 in the order of their file. Says whether there is a circle and who has to go back first; knows nothing of how members
//! stand. Next: [`release`](super).

use std::collections::{BTreeMap, BTreeSet};

/// What places a member: its name, the names that it comes after, and its wave, if it is in one.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    pub name: &'a str,
    pub after: &'a BTreeSet<String>,
    pub wave: Option<usize>,
}

/// For each member those that come directly before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    before: Vec<BTreeSet<usize>>,
}

impl Order {
    /// The order of members: each comes after those that it names, and after every member of the waves before its own.
    pub fn of(members: &[Place<'_>]) -> Self {
        let by_name: BTreeMap<&str, usize> = members.iter().enumerate().map(|(i, member)| (member.name, i)).collect();
        let before = |member: &Place<'_>| {
            let named = member.after.iter().filter_map(|name| by_name.get(name.as_str()).copied());
            let earlier = |other: &Place<'_>| member.wave.is_some_and(|wave| other.wave.is_some_and(|w| w < wave));
            let waves = members.iter().enumerate().filter(|(_, other)| earlier(other)).map(|(i, _)| i);
            named.chain(waves).collect()
        };
        Self { before: members.iter().map(before).collect() }
    }

    /// Those that come directly before a member.
    pub fn before(&self, member: usize) -> impl Iterator<Item = usize> + '_ {
        self.before.get(member).into_iter().flatten().copied()
    }

    /// A circle in it, as people would walk it; nothing where there is none.
    pub fn circle(&self) -> Option<Vec<usize>> {
        let placed = self.layers().into_iter().flatten().collect::<BTreeSet<_>>();
        let mut at = (0..self.before.len()).find(|member| !placed.contains(member))?;
        // Whoever is not placed waits for one who is not placed either: walking back ends in the circle.
        let mut walked: Vec<usize> = vec![];
        while !walked.contains(&at) {
            walked.push(at);
            at = self.before(at).find(|member| !placed.contains(member))?;
        }
        let begin = walked.iter().position(|member| *member == at)?;
        Some(walked.split_off(begin))
    }

    /// The members in layers: each comes after some of the layer before it, and after none of its own. Those in a circle are in none.
    pub fn layers(&self) -> Vec<Vec<usize>> {
        let (mut layers, mut placed) = (Vec::new(), BTreeSet::new());
        loop {
            let is_next = |member: &usize| !placed.contains(member) && self.before[*member].is_subset(&placed);
            let layer: Vec<usize> = (0..self.before.len()).filter(is_next).collect();
            if layer.is_empty() {
                return layers;
            }
            placed.extend(layer.iter().copied());
            layers.push(layer);
        }
    }

    /// For each member all that come after it, directly or not.
    pub fn all_after(&self) -> Vec<BTreeSet<usize>> {
        let mut after: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.before.len()];
        for member in self.layers().into_iter().flatten().rev() {
            let mut later = after[member].clone();
            later.insert(member);
            for earlier in self.before(member) {
                after[earlier].extend(&later);
            }
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(members: &[(&str, &[&str], Option<usize>)]) -> Order {
        let after: Vec<BTreeSet<String>> =
            members.iter().map(|(_, after, _)| after.iter().map(|name| (*name).to_owned()).collect()).collect();
        let places: Vec<Place<'_>> =
            members.iter().zip(&after).map(|((name, _, wave), after)| Place { name, after, wave: *wave }).collect();
        Order::of(&places)
    }

    #[test]
    fn members_stand_in_layers_and_know_all_who_come_after_them() {
        let order = order(&[("web", &["api"], None), ("api", &[], None), ("app", &["web"], None), ("job", &[], None)]);
        assert_eq!(order.layers(), [vec![1, 3], vec![0], vec![2]]);
        assert_eq!(order.all_after(), [[2].into(), [0, 2].into(), [].into(), [].into()]);
        assert_eq!(order.circle(), None);
    }

    #[test]
    fn a_wave_comes_after_every_member_of_the_waves_before_it() {
        let order = order(&[("a", &[], Some(0)), ("b", &[], Some(0)), ("c", &[], Some(1)), ("d", &[], Some(2))]);
        assert_eq!(order.before(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(order.before(3).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_circle_is_walked_without_those_who_only_lead_into_it() {
        let order = order(&[("a", &["c"], None), ("b", &["a"], None), ("c", &["b"], None), ("tail", &["c"], None)]);
        let circle = order.circle().expect("a circle");
        assert_eq!(circle.iter().copied().collect::<BTreeSet<_>>(), [0, 1, 2].into());
    }
}
