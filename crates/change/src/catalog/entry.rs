//! Entries: services as files tell of them, put together into one catalog.
//!
//! A file is ours, or it is another tool's, whose reader comes from outside and yields the same [`Entries`]. Two entries of one name are an error, and
//! both places are said. What the services say of one another is looked at afterwards: [`check`](super::check).

use std::collections::{BTreeMap, BTreeSet};

use super::{At, Catalog, Finding, FindingKind, Index, Service};
use crate::document::Document;

/// A service, and where each part of it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub service: Service,
    pub at: At,
    /// The places of its values, by the JSON pointers of our own form: `/owner`, `/slis/0`.
    pub fields: BTreeMap<String, At>,
}

/// Where a service and its parts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) at: At,
    pub(super) fields: BTreeMap<String, At>,
}

/// A dependency that stands elsewhere than with the service that depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    pub at: At,
}

/// What a reader found in the files of another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    pub services: Vec<Entry>,
    pub edges: Vec<Edge>,
    /// The users and groups that the files name, by id.
    pub owners: BTreeMap<String, At>,
    /// All that is to be said of the files, errors among it.
    pub findings: Vec<Finding>,
}

impl Entry {
    /// A service of our own form, with the places of the document that it was read from.
    pub fn of(file: &str, document: &Document, service: Service) -> Self {
        let alone = ["/owner", "/on_call", "/tier", "/review_by"].map(str::to_owned);
        let listed = [("depends_on", &service.depends_on), ("slis", &service.slis), ("slos", &service.slos)];
        let listed = listed.into_iter().flat_map(|(name, list)| (0..list.len()).map(move |i| format!("/{name}/{i}")));
        let place = |pointer: String| {
            let at = At::of(file, document, &pointer);
            (pointer, at)
        };
        let fields = alone.into_iter().chain(listed).map(place).collect();
        Self { at: At::of(file, document, ""), fields, service }
    }
}

impl Catalog {
    /// One catalog of the services of our own files and of those that another tool's files tell of.
    pub fn assemble(mut own: Vec<Entry>, foreign: Entries) -> Self {
        own.extend(foreign.services);
        let mut said = foreign.findings;
        let mut kept: Vec<Entry> = Vec::new();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for entry in own {
            if let Some(at) = first.get(&entry.service.name) {
                said.push(twice(&entry, &kept[*at]));
            } else {
                first.insert(entry.service.name.clone(), kept.len());
                kept.push(entry);
            }
        }
        for edge in foreign.edges {
            match first.get(&edge.from) {
                Some(at) => add(&mut kept[*at], edge),
                None => said.push(unknown(&edge)),
            }
        }
        let (services, origins): (Vec<_>, Vec<_>) =
            kept.into_iter().map(|e| (e.service, Origin { at: e.at, fields: e.fields })).unzip();
        let owners = foreign.owners;
        Self { index: Index::of(&services), services, origins, owners, schedules: BTreeSet::new(), said }
    }
}

fn twice(entry: &Entry, first: &Entry) -> Finding {
    let name = &entry.service.name;
    let message = format!("there is a service `{name}` in {} already", first.at);
    Finding::error(FindingKind::Duplicate, entry.at.clone(), message)
        .about(name)
        .help("rename one of them, or remove it")
}

fn unknown(edge: &Edge) -> Finding {
    let message = format!("there is no service `{}`", edge.from);
    Finding::error(FindingKind::Dangling, edge.at.clone(), message)
        .help(format!("it would depend on `{}`; remove the reference, or add the service", edge.to))
}

fn add(entry: &mut Entry, edge: Edge) {
    let dependencies = &mut entry.service.depends_on;
    if !dependencies.contains(&edge.to) {
        entry.fields.insert(format!("/depends_on/{}", dependencies.len()), edge.at);
        dependencies.push(edge.to);
    }
}
