//! Drawings of the catalog: which part of it is drawn, and what had to be left out.
//!
//! The part is chosen here, for a picture of any size of catalog; how it looks is in [`dot`] and [`svg`], and where each service stands in [`layers`].
//! A name may hold anything: each form escapes what it writes.

mod layers;

pub(crate) mod dot;
pub(crate) mod svg;

use std::collections::{BTreeMap, BTreeSet};

use change::catalog::Catalog;

/// More services than this make no picture.
pub(crate) const MOST_DRAWN: usize = 120;

/// The part of a catalog that is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The names, in order.
    pub names: Vec<String>,
    /// Who calls whom, by their places among the names; each once.
    pub calls: BTreeSet<(usize, usize)>,
    /// The service that it was asked for.
    pub focus: Option<String>,
    /// Services that belong here and are not drawn.
    pub left_out: usize,
}

impl Part {
    /// All services, or, if there are too many, those that most others call.
    pub(crate) fn all(catalog: &Catalog, most: usize) -> Self {
        let mut ranked: Vec<(usize, &str)> =
            catalog.services().iter().map(|s| (catalog.callers(&s.name).len(), s.name.as_str())).collect();
        ranked.sort_by_key(|(callers, name)| (std::cmp::Reverse(*callers), *name));
        Self::of(catalog, ranked.into_iter().map(|(_, name)| name), most, None)
    }

    /// A service and who is at most so many calls away from it on either side, the nearest first.
    pub(crate) fn around(catalog: &Catalog, focus: &str, hops: usize, most: usize) -> Self {
        let center = BTreeSet::from([focus.to_owned()]);
        let mut near: BTreeMap<&str, usize> = catalog.dependencies_within(&center, hops).into_iter().collect();
        let callers = catalog.callers_within(&center, hops);
        for (name, distance) in callers {
            let known = near.entry(name).or_insert(distance);
            *known = distance.min(*known);
        }
        near.insert(focus, 0);
        let mut ranked: Vec<(usize, &str)> = near.into_iter().map(|(name, distance)| (distance, name)).collect();
        ranked.sort_unstable();
        Self::of(catalog, ranked.into_iter().map(|(_, name)| name), most, Some(focus.to_owned()))
    }

    fn of<'a>(catalog: &Catalog, ranked: impl Iterator<Item = &'a str>, most: usize, focus: Option<String>) -> Self {
        let ranked: Vec<&str> = ranked.collect();
        let left_out = ranked.len().saturating_sub(most);
        let mut names: Vec<String> = ranked.into_iter().take(most).map(str::to_owned).collect();
        names.sort();
        let places: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let callees = |name: &String| catalog.service(name).map(|s| s.depends_on.as_slice()).unwrap_or_default();
        let calls = names.iter().enumerate().flat_map(|(from, name)| {
            callees(name).iter().filter_map(|callee| places.get(callee.as_str())).map(move |to| (from, *to))
        });
        let calls = calls.filter(|(from, to)| from != to).collect();
        Self { names, calls, focus, left_out }
    }

    /// What had to be left out, as a sentence.
    pub(crate) fn left_out(&self) -> Option<String> {
        let what = if self.focus.is_some() { "farther away" } else { "called by fewer others" };
        (self.left_out > 0).then(|| format!("{} services are left out: those {what}", self.left_out))
    }
}

/// What stands below a name.
fn caption(catalog: &Catalog, name: &str) -> String {
    catalog
        .service(name)
        .map_or_else(|| "not in the catalog".to_owned(), |service| format!("tier {} · {}", service.tier, service.owner))
}

#[cfg(test)]
mod tests;
