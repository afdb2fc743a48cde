//! Backstage: `catalog-info.yaml` as backstage.io describes it (the descriptor format of entities), read as it is.
//!
//! Components and Resources become services; an API leads a consumer to the component that provides it; a System stands for its parts. Groups and Users
//! can own, and may do nothing by it: who may do what is in access.yaml alone. What has no place here is noted with its line. Next: [`reference`].

mod entity;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use change::catalog::{At, Edge, Entries, Entry, Finding, FindingKind, Gating, Lifecycle, Service};
use change::document::{Document, nearest};

use entity::{Entity, Kind};
use reference::Reference;

/// Problems and notes that are said of one file.
const MOST_OF_A_FILE: usize = 100;
/// The annotations that say what Backstage has no field for.
const OURS: &str = "clearway.dev/";
const ANNOTATIONS: [&str; 9] =
    ["tier", "on-call", "data", "gates", "environments", "targets", "slis", "slos", "review-by"];

/// Where an entity names others that have to do with its failing. What it is a part of, as a system, fails with it and is no service.
const RELATIONS: [&str; 5] =
    ["/spec/dependsOn", "/spec/dependencyOf", "/spec/consumesApis", "/spec/subcomponentOf", "/spec/partOf"];

/// The services of Backstage's files, given by path; one file may refer to another.
pub fn entries(files: &BTreeMap<String, Vec<Document>>) -> Entries {
    let mut reading = Reading::default();
    for (file, documents) in files {
        for document in documents {
            match Entity::of(file, document) {
                Ok(entity) => reading.keep(entity),
                Err(finding) => reading.say(*finding),
            }
        }
    }
    for i in 0..reading.entities.len() {
        reading.take(i);
    }
    reading.found
}

#[derive(Default)]
struct Reading<'a> {
    entities: Vec<Entity<'a>>,
    by_reference: BTreeMap<Reference, usize>,
    /// The components that provide an API.
    providers: BTreeMap<Reference, BTreeSet<String>>,
    /// The components and resources of a system.
    parts: BTreeMap<Reference, BTreeSet<String>>,
    found: Entries,
    /// How much was said of each file, and which notes: what is true of a whole file is said once.
    said: BTreeMap<String, usize>,
    noted: BTreeSet<(String, String)>,
}

impl<'a> Reading<'a> {
    fn keep(&mut self, entity: Entity<'a>) {
        match entity.kind {
            Kind::Component | Kind::Resource => self.keep_service(&entity),
            Kind::Group | Kind::User => {
                self.found.owners.entry(entity.reference.id()).or_insert_with(|| entity.at("/metadata/name"));
            }
            Kind::System | Kind::Api | Kind::Other => {}
        }
        if let Some(first) = self.by_reference.get(&entity.reference).map(|at| self.entities[*at].at("/metadata/name"))
        {
            // Two services of one name are said by the catalog, which sees our own form too.
            if !entity.is_service() && entity.kind != Kind::Other {
                let message = format!("there is `{}` in {first} already", entity.reference);
                let finding = Finding::error(FindingKind::Duplicate, entity.at("/metadata/name"), message);
                self.say(finding.help("rename one of them, or remove it"));
            }
        } else {
            self.by_reference.insert(entity.reference.clone(), self.entities.len());
        }
        self.entities.push(entity);
    }

    fn keep_service(&mut self, entity: &Entity<'a>) {
        let name = entity.reference.id();
        for (text, _) in entity.texts("/spec/providesApis") {
            if let Ok(api) = Reference::read(&text, "api", &entity.reference.namespace) {
                self.providers.entry(api).or_default().insert(name.clone());
            }
        }
        let system =
            entity.text("/spec/system").and_then(|s| Reference::read(&s, "system", &entity.reference.namespace).ok());
        if let Some(system) = system {
            self.parts.entry(system).or_default().insert(name);
        }
    }

    fn take(&mut self, at: usize) {
        let entity = self.entities[at].clone();
        match entity.kind {
            Kind::Component | Kind::Resource => self.service(&entity),
            Kind::Group | Kind::User => self.note(
                &entity,
                "",
                "a Group or User can own services; who is in a group, and what each may do, comes from access.yaml alone",
            ),
            Kind::System => self.note(&entity, "", "a System is no service; what depends on it depends on its parts"),
            Kind::Api => self.note(&entity, "", "an API is no service; who consumes it depends on who provides it"),
            Kind::Other => {
                let message = format!("a {} has no place in this catalog", shown(&entity.word));
                self.note(&entity, "/kind", &message);
            }
        }
    }

    fn service(&mut self, entity: &Entity<'a>) {
        let name = entity.reference.id();
        self.say_renamed(entity, &name);
        let owner = self.owner(entity);
        let mut fields = BTreeMap::new();
        let mut service = Service::named(name, "");
        service.title = entity.text("/metadata/title").filter(|t| (1..=200).contains(&t.chars().count()));
        service.lifecycle = self.lifecycle(entity);
        service.links = self.links(entity);
        self.annotations(entity, &mut service, &mut fields);
        for pointer in RELATIONS {
            for (text, given) in entity.texts(pointer) {
                self.relation(entity, pointer, &given, &text);
            }
        }
        // Without an owner it is none; that is said already, beside all else that is wrong with it.
        if let Some((owner, at)) = owner {
            service.owner = owner;
            fields.insert("/owner".to_owned(), at);
            self.found.services.push(Entry { service, at: entity.at("/metadata/name"), fields });
        }
    }

    fn say_renamed(&mut self, entity: &Entity<'a>, name: &str) {
        let given = entity.name();
        if given != name {
            let message = format!("`{}` is called `{name}` here", shown(&given));
            self.say(Finding::note(FindingKind::Renamed, entity.at("/metadata/name"), message).about(name));
        }
    }

    /// The owner of an entity, or else that of its system.
    fn owner(&mut self, entity: &Entity<'a>) -> Option<(String, At)> {
        let space = &entity.reference.namespace;
        if let Some(text) = entity.text("/spec/owner") {
            return match Reference::read(&text, "group", space) {
                Ok(owner) => Some((owner.id(), entity.at("/spec/owner"))),
                Err(why) => {
                    self.say(Finding::error(FindingKind::Unreadable, entity.at("/spec/owner"), why));
                    None
                }
            };
        }
        let system = entity.text("/spec/system").and_then(|s| Reference::read(&s, "system", space).ok());
        let of_system = system.and_then(|s| self.by_reference.get(&s)).map(|at| self.entities[*at].clone());
        let inherited = of_system.and_then(|s| Some((s.text("/spec/owner")?, s.reference.namespace.clone())));
        if let Some(owner) = inherited.and_then(|(text, space)| Reference::read(&text, "group", &space).ok()) {
            let message = format!("it has no owner, so that of its system counts: `{}`", owner.id());
            self.say(Finding::note(FindingKind::Assumed, entity.at("/spec"), message));
            return Some((owner.id(), entity.at("/spec/system")));
        }
        let finding = Finding::error(FindingKind::Unreadable, entity.at("/spec"), "`spec.owner` is missing");
        self.say(finding.help("name the group or user that answers for it, such as `owner: team-a`"));
        None
    }

    fn lifecycle(&mut self, entity: &Entity<'a>) -> Lifecycle {
        match entity.text("/spec/lifecycle").as_deref() {
            Some("experimental") => Lifecycle::Experimental,
            Some("deprecated") => Lifecycle::Deprecated,
            Some("production") | None => Lifecycle::Production,
            Some(other) => {
                let message = format!("the lifecycle `{}` is none of ours; taken for `production`", shown(other));
                let finding = Finding::note(FindingKind::Assumed, entity.at("/spec/lifecycle"), message);
                self.say(finding.help("it can be `experimental`, `production` or `deprecated`"));
                Lifecycle::Production
            }
        }
    }

    fn links(&mut self, entity: &Entity<'a>) -> Vec<String> {
        let mut links = Vec::new();
        for i in 0..entity.count("/metadata/links") {
            let pointer = format!("/metadata/links/{i}/url");
            let Some(url) = entity.text(&pointer) else { continue };
            let is_web = url.starts_with("https://") || url.starts_with("http://");
            if is_web && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
                links.push(url);
            } else {
                self.note(entity, &pointer, "a link that is no address of the web is not taken");
            }
        }
        links
    }

    fn annotations(&mut self, entity: &Entity<'a>, service: &mut Service, fields: &mut BTreeMap<String, At>) {
        if entity.annotation("tier").is_none() {
            let message = "no tier is given, so 3 is assumed; the annotation `clearway.dev/tier` gives one";
            self.quietly(entity, FindingKind::Assumed, "/metadata", message);
        }
        for (key, value) in entity.annotations() {
            let pointer = format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
            match key.strip_prefix(OURS) {
                Some(ours) => {
                    if let Err((message, help)) = annotate(service, fields, entity, (ours, &value, &pointer)) {
                        let finding = Finding::error(FindingKind::Unreadable, entity.at(&pointer), message);
                        self.say(finding.about(&service.name).help(help));
                    }
                }
                None if key.starts_with("pagerduty.com/") => {
                    let message = "PagerDuty's annotations are not taken; `clearway.dev/on-call` names a user or group";
                    self.note(entity, &pointer, message);
                }
                None => {}
            }
        }
    }

    /// One relation of a service to another thing, at its pointer.
    fn relation(&mut self, entity: &Entity<'a>, field: &str, pointer: &str, text: &str) {
        let kind = match field {
            "/spec/consumesApis" => "api",
            "/spec/partOf" => "system",
            _ => "component",
        };
        let other = match Reference::read(text, kind, &entity.reference.namespace) {
            Ok(other) => other,
            Err(why) => return self.say(Finding::error(FindingKind::Unreadable, entity.at(pointer), why)),
        };
        let name = entity.reference.id();
        let at = entity.at(pointer);
        match field {
            "/spec/dependencyOf" | "/spec/subcomponentOf" => self.depends(&other.id(), &name, at),
            "/spec/partOf" if other.kind == "component" => self.depends(&other.id(), &name, at),
            "/spec/partOf" => {}
            _ => self.depends_on(entity, &name, &other, at),
        }
    }

    fn depends_on(&mut self, entity: &Entity<'a>, name: &str, other: &Reference, at: At) {
        let stands_for = match other.kind.as_str() {
            "api" => self.providers.get(other).cloned(),
            "system" => self.parts.get(other).cloned(),
            _ => return self.depends(name, &other.id(), at),
        };
        let Some(targets) = stands_for else {
            let what = if other.kind == "api" {
                "no component provides the API"
            } else {
                "no component is part of the system"
            };
            let message = format!("{what} `{}`, so nothing follows from depending on it", other.id());
            return self.say(Finding::warning(FindingKind::Dangling, at, message).about(&entity.reference.id()));
        };
        for target in targets.iter().filter(|target| *target != name) {
            self.depends(name, target, at.clone());
        }
    }

    fn depends(&mut self, from: &str, to: &str, at: At) {
        self.found.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), at });
    }

    fn note(&mut self, entity: &Entity<'a>, pointer: &str, message: &str) {
        self.quietly(entity, FindingKind::NotTaken, pointer, message);
    }

    /// What is true of a whole file is said once, at its first place.
    fn quietly(&mut self, entity: &Entity<'a>, kind: FindingKind, pointer: &str, message: &str) {
        if self.noted.insert((entity.file.to_owned(), message.to_owned())) {
            self.say(Finding::note(kind, entity.at(pointer), message));
        }
    }

    fn say(&mut self, finding: Finding) {
        let count = self.said.entry(finding.at.file.clone()).or_default();
        *count += 1;
        if *count < MOST_OF_A_FILE {
            self.found.findings.push(finding);
        } else if *count == MOST_OF_A_FILE {
            let more = Finding { message: "and more of this file is left out".to_owned(), help: None, ..finding };
            self.found.findings.push(more);
        } else if finding.severity == change::catalog::Severity::Error {
            self.worsen(&finding.at.file);
        }
    }

    /// What is left out of a file may be an error: the last thing that is said of it then is one.
    fn worsen(&mut self, file: &str) {
        if let Some(last) = self.found.findings.iter_mut().rev().find(|f| f.at.file == file) {
            last.severity = change::catalog::Severity::Error;
        }
    }
}

/// Takes one of our annotations, given as its name, value and pointer; otherwise what is wrong with it, and what to write.
fn annotate(
    service: &mut Service,
    fields: &mut BTreeMap<String, At>,
    entity: &Entity<'_>,
    (name, value, pointer): (&str, &str, &str),
) -> Result<(), (String, String)> {
    let wrong = |help: &str| (format!("`{}` does not fit `{OURS}{name}`", shown(value)), help.to_owned());
    let mut list = |field: &str| {
        let names: Vec<String> = value.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let places = (0..names.len()).map(|i| (format!("/{field}/{i}"), entity.at(pointer)));
        fields.extend(places);
        names
    };
    match name {
        "tier" => {
            let tier = value.trim().parse().ok().filter(|t| (1..=4).contains(t));
            service.tier = tier.ok_or_else(|| wrong("write a number from 1, which matters most, to 4, in quotes"))?;
            fields.insert("/tier".to_owned(), entity.at(pointer));
        }
        "on-call" => {
            let who = Reference::read(value, "group", &entity.reference.namespace)
                .map_err(|why| (why, "write for example `group:team-a`".to_owned()))?;
            service.on_call = Some(who.id());
            fields.insert("/on_call".to_owned(), entity.at(pointer));
        }
        "gates" => {
            service.gates = match value.trim() {
                "enforce" => Gating::Enforce,
                "observe" => Gating::Observe,
                _ => return Err(wrong("it can be `enforce` or `observe`")),
            }
        }
        "review-by" => {
            service.review_by = Some(value.trim().parse().map_err(|_| wrong("write a day, such as `2027-01-31`"))?);
            fields.insert("/review_by".to_owned(), entity.at(pointer));
        }
        "data" => service.data = list("data"),
        "environments" => service.environments = list("environments"),
        "targets" => service.targets = list("targets"),
        "slis" => service.slis = list("slis"),
        "slos" => service.slos = list("slos"),
        other => {
            let help = nearest(other, ANNOTATIONS).map_or_else(
                || format!("there are {}", change::document::list(ANNOTATIONS)),
                |near| format!("did you mean `{OURS}{near}`?"),
            );
            return Err((format!("there is no annotation `{OURS}{}`", shown(other)), help));
        }
    }
    Ok(())
}

/// A text of somebody else's as a message shows it: one short line without control characters.
pub(super) fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if clean.len() < text.len() { format!("{clean}…") } else { clean }
}

#[cfg(test)]
mod tests;
