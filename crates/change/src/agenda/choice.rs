//! Choice: of more changes than can be played, which are, and what is known of the others?
//!
//! Those that go first are played; of the others the play knows who goes first of each team at each place, so that nobody is planned who stands behind
//! one of them. Must never drop one in silence. Next room: `play`.

use std::collections::BTreeMap;

use crate::conflict::traffic::{Group, Present};
use crate::id::ChangeId;
use crate::precedence::{Moment, Place};

/// What is played, and what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Those under way, and those of the others that go first.
    pub played: Vec<ChangeId>,
    /// Where the played ones stand.
    pub places: BTreeMap<ChangeId, Place>,
    pub left_out: LeftOut,
}

/// Those that wait and are not played.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeftOut {
    pub count: usize,
    /// Of those that are approved, the first of each group at each place. Within a group nobody ever overtakes.
    first: BTreeMap<String, BTreeMap<Group, Place>>,
}

/// Chooses, of all changes that have not ended, those under way and at most so many others.
pub fn choose(all: Vec<Present>, most: usize, moment: Moment) -> Choice {
    let (begun, waiting): (Vec<Present>, Vec<Present>) = all.into_iter().partition(|one| one.has_begun);
    let mut waiting = in_order(waiting, moment);
    let left_out = waiting.split_off(most.min(waiting.len()));
    let played: Vec<Present> = begun.into_iter().chain(waiting).collect();
    Choice {
        played: played.iter().map(|one| one.place.change).collect(),
        places: played.into_iter().map(|one| (one.place.change, one.place)).collect(),
        left_out: LeftOut::of(&left_out),
    }
}

/// Those that are approved by their rank, as far as turns decide one of each team after the other; then those that are not approved.
fn in_order(mut waiting: Vec<Present>, moment: Moment) -> Vec<Present> {
    waiting.sort_by_cached_key(|one| one.place.rank(moment));
    let mut mates: BTreeMap<Group, usize> = BTreeMap::new();
    let turn = |one: Present| {
        let rank = one.place.rank(moment);
        let mates = mates.entry(one.group()).or_default();
        *mates += 1;
        let turn = if rank.is_by_turn() { *mates } else { 0 };
        ((!one.is_approved(), turn, rank), one)
    };
    let mut waiting: Vec<_> = waiting.into_iter().map(turn).collect();
    waiting.sort_by_key(|(key, _)| *key);
    waiting.into_iter().map(|(_, one)| one).collect()
}

impl LeftOut {
    fn of(all: &[Present]) -> Self {
        let mut left_out = Self { count: all.len(), first: BTreeMap::new() };
        for one in all.iter().filter(|one| one.is_approved()) {
            for place in one.places() {
                let groups = left_out.first.entry(place).or_default();
                let first = groups.entry(one.group()).or_insert_with(|| one.place.clone());
                if one.place.spot() < first.spot() {
                    *first = one.place.clone();
                }
            }
        }
        left_out
    }

    /// The first of each group at a place: its team, the service at which its turns count, and where it stands.
    pub fn at(&self, place: &str) -> impl Iterator<Item = (&str, &str, &Place)> {
        let groups = self.first.get(place).into_iter().flatten();
        groups.map(|((team, home, _), place)| (team.as_str(), home.as_str(), place))
    }

    /// In a sentence, where anybody was left out.
    pub fn in_words(&self, most: usize) -> Option<String> {
        let count = self.count;
        (count > 0).then(|| {
            format!("{count} changes that wait were left out: {most} are planned at most, those that go first")
        })
    }
}
