//! The index: names as numbers, and the calls between them in both directions.
//!
//! Every walk is a loop with a list of its own: a chain of ten thousand services must not end the program. It knows numbers only; what they mean is
//! said by [`Catalog`](super::Catalog).

use std::collections::BTreeMap;

use super::Service;

/// A graph over the names of services, and over names that are only referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    ids: BTreeMap<String, usize>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    name: String,
    /// The place in the list of services; none for a name that is only referred to.
    service: Option<usize>,
    callees: Vec<usize>,
    callers: Vec<usize>,
}

impl Index {
    pub(super) fn of(services: &[Service]) -> Self {
        let mut index = Self::default();
        for (at, service) in services.iter().enumerate() {
            let id = index.intern(&service.name);
            index.nodes[id].service.get_or_insert(at);
        }
        for service in services {
            let caller = index.intern(&service.name);
            for dependency in &service.depends_on {
                let callee = index.intern(dependency);
                index.nodes[caller].callees.push(callee);
                index.nodes[callee].callers.push(caller);
            }
        }
        index
    }

    fn intern(&mut self, name: &str) -> usize {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.nodes.len();
        self.ids.insert(name.to_owned(), id);
        self.nodes.push(Node { name: name.to_owned(), ..Node::default() });
        id
    }

    pub(super) fn id(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied()
    }

    pub(super) fn name(&self, id: usize) -> &str {
        &self.nodes[id].name
    }

    pub(super) fn service(&self, id: usize) -> Option<usize> {
        self.nodes[id].service
    }

    pub(super) fn direct_callers(&self, id: usize) -> &[usize] {
        &self.nodes[id].callers
    }

    /// Who calls these within so many calls, with the least distance of each; without the ones that were asked about.
    pub(super) fn callers(&self, of: impl Iterator<Item = usize>, hops: usize) -> BTreeMap<usize, usize> {
        self.reached(of, hops, |node| &node.callers)
    }

    /// Whom these call within so many calls.
    pub(super) fn callees(&self, of: impl Iterator<Item = usize>, hops: usize) -> BTreeMap<usize, usize> {
        self.reached(of, hops, |node| &node.callees)
    }

    fn reached(
        &self,
        of: impl Iterator<Item = usize>,
        hops: usize,
        next: impl Fn(&Node) -> &Vec<usize>,
    ) -> BTreeMap<usize, usize> {
        let mut near: Vec<usize> = of.collect();
        let mut found: BTreeMap<usize, usize> = near.iter().map(|id| (*id, 0)).collect();
        let mut distance = 0;
        while !near.is_empty() && distance < hops {
            distance += 1;
            let mut further = Vec::new();
            for id in near.iter().flat_map(|id| next(&self.nodes[*id])) {
                if let std::collections::btree_map::Entry::Vacant(place) = found.entry(*id) {
                    place.insert(distance);
                    further.push(*id);
                }
            }
            near = further;
        }
        found.retain(|_, distance| *distance > 0);
        found
    }

    /// The strongly connected components of more than one name, after Tarjan (1972), with a stack of its own instead of recursion.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let mut search = Search::over(self.nodes.len());
        for root in 0..self.nodes.len() {
            search.from(root, &self.nodes);
        }
        search.found
    }

    /// A shortest way from a name back to itself along calls, if there is one: the names passed, without the last.
    pub(super) fn way_back(&self, to: usize) -> Option<Vec<usize>> {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut near = vec![to];
        while !near.is_empty() {
            let mut further = Vec::new();
            for from in near {
                for id in &self.nodes[from].callees {
                    if *id == to {
                        return Some(way(&came_from, to, from));
                    }
                    if !came_from.contains_key(id) {
                        came_from.insert(*id, from);
                        further.push(*id);
                    }
                }
            }
            near = further;
        }
        None
    }
}

fn way(came_from: &BTreeMap<usize, usize>, start: usize, end: usize) -> Vec<usize> {
    let mut way = vec![end];
    let mut at = end;
    while at != start {
        let Some(before) = came_from.get(&at) else { break };
        at = *before;
        way.push(at);
    }
    way.reverse();
    way
}

const UNSEEN: usize = usize::MAX;

/// The state of Tarjan's search.
struct Search {
    /// When each name was first seen.
    seen: Vec<usize>,
    /// The earliest name that is reached from it.
    low: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    /// The names that are being looked at, each with its next call.
    way: Vec<(usize, usize)>,
    clock: usize,
    found: Vec<Vec<usize>>,
}

impl Search {
    fn over(count: usize) -> Self {
        Self {
            seen: vec![UNSEEN; count],
            low: vec![0; count],
            is_open: vec![false; count],
            open: vec![],
            way: vec![],
            clock: 0,
            found: vec![],
        }
    }

    fn from(&mut self, root: usize, nodes: &[Node]) {
        if self.seen[root] != UNSEEN {
            return;
        }
        self.enter(root);
        while let Some((at, next)) = self.way.last().copied() {
            match nodes[at].callees.get(next) {
                Some(callee) => {
                    if let Some(last) = self.way.last_mut() {
                        last.1 += 1;
                    }
                    self.see(at, *callee);
                }
                None => self.leave(at),
            }
        }
    }

    fn enter(&mut self, at: usize) {
        self.seen[at] = self.clock;
        self.low[at] = self.clock;
        self.clock += 1;
        self.open.push(at);
        self.is_open[at] = true;
        self.way.push((at, 0));
    }

    fn see(&mut self, at: usize, callee: usize) {
        if self.seen[callee] == UNSEEN {
            self.enter(callee);
        } else if self.is_open[callee] {
            self.low[at] = self.low[at].min(self.seen[callee]);
        }
    }

    fn leave(&mut self, at: usize) {
        self.way.pop();
        if let Some((before, _)) = self.way.last() {
            self.low[*before] = self.low[*before].min(self.low[at]);
        }
        if self.low[at] != self.seen[at] {
            return;
        }
        let start = self.open.iter().rposition(|id| *id == at).unwrap_or(0);
        let component = self.open.split_off(start);
        component.iter().for_each(|id| self.is_open[*id] = false);
        if component.len() > 1 {
            self.found.push(component);
        }
    }
}
