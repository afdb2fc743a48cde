//! Layers: where each service of a drawing stands, callers before what they call.
//!
//! After Sugiyama, Tagawa and Toda (1981), the short way: calls that close a circle are set aside, each service stands one layer behind its last caller,
//! and within a layer near its neighbours. Every step is a bounded loop. Knows numbers only.

use std::collections::BTreeSet;

/// Sweeps over the layers; more change little in drawings of this size.
const SWEEPS: usize = 6;

/// The order of a drawing: the services of each layer, and the calls that close a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) layers: Vec<Vec<usize>>,
    pub(super) backward: BTreeSet<(usize, usize)>,
}

/// Lays out so many services with these calls.
pub(super) fn layers(count: usize, calls: &BTreeSet<(usize, usize)>) -> Layers {
    let mut callees = vec![Vec::new(); count];
    calls.iter().for_each(|(from, to)| callees[*from].push(*to));
    let backward = backward(&callees);
    let forward: Vec<(usize, usize)> = calls.difference(&backward).copied().collect();
    let depth = depths(count, &forward);
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    (0..count).for_each(|at| layers[depth[at]].push(at));
    untangle(&mut layers, calls, count);
    Layers { layers, backward }
}

/// The calls that lead back to a service that is still being looked at, in a walk without recursion.
fn backward(callees: &[Vec<usize>]) -> BTreeSet<(usize, usize)> {
    let mut found = BTreeSet::new();
    let mut is_done = vec![false; callees.len()];
    let mut is_open = vec![false; callees.len()];
    for root in 0..callees.len() {
        let mut way: Vec<(usize, usize)> = if is_done[root] { vec![] } else { vec![(root, 0)] };
        while let Some((at, next)) = way.pop() {
            is_open[at] = true;
            let Some(callee) = callees[at].get(next).copied() else {
                is_open[at] = false;
                is_done[at] = true;
                continue;
            };
            way.push((at, next + 1));
            if is_open[callee] {
                found.insert((at, callee));
            } else if !is_done[callee] {
                way.push((callee, 0));
            }
        }
    }
    found
}

/// One more than the deepest caller, found in the order in which all callers are known.
fn depths(count: usize, forward: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0_usize; count];
    let mut callees = vec![Vec::new(); count];
    for (from, to) in forward {
        waiting[*to] += 1;
        callees[*from].push(*to);
    }
    let mut depth = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|at| waiting[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for callee in &callees[at] {
            depth[*callee] = depth[*callee].max(depth[at] + 1);
            waiting[*callee] -= 1;
            if waiting[*callee] == 0 {
                ready.push(*callee);
            }
        }
    }
    depth
}

/// Moves each service near the middle of its neighbours, layer by layer.
fn untangle(layers: &mut [Vec<usize>], calls: &BTreeSet<(usize, usize)>, count: usize) {
    let mut neighbours = vec![Vec::new(); count];
    for (from, to) in calls {
        neighbours[*from].push(*to);
        neighbours[*to].push(*from);
    }
    let mut height = vec![0.0; count];
    let place = |layer: &[usize], height: &mut Vec<f64>| {
        let middle = layer.len() as f64 / 2.0;
        layer.iter().enumerate().for_each(|(row, at)| height[*at] = row as f64 - middle);
    };
    layers.iter().for_each(|layer| place(layer, &mut height));
    for _ in 0..SWEEPS {
        for layer in &mut *layers {
            let wanted = |at: usize| {
                let around = &neighbours[at];
                let sum: f64 = around.iter().map(|other| height[*other]).sum();
                if around.is_empty() { height[at] } else { sum / around.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = layer.iter().map(|at| (wanted(*at), *at)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *layer = keyed.into_iter().map(|(_, at)| at).collect();
            place(layer, &mut height);
        }
    }
}
