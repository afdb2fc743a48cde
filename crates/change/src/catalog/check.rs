//! Checking: what the entries of a catalog say of one another and of people, rule by rule.
//!
//! What can't be true is an error: an owner, a service or an SLI that is not there. What is true and unwise is a warning: circles, and important services
//! that lean on unimportant ones. Bounded by the catalog: no rule compares every service with every other one.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::sort;
use super::{At, Catalog, Finding, FindingKind, Service};
use crate::actor::Access;
use crate::document::nearest;
use crate::verification::Sli;

/// A hint compares a name with all names, so it is given for this many only.
const MOST_HINTS: usize = 20;
/// Names that a sentence lists.
const MOST_NAMES: usize = 8;

impl Catalog {
    /// All that there is to say about the entries, in the order of weight: what was said while they were read, and what they say of one another.
    pub fn findings(&self, access: &Access, slis: &[Sli]) -> Vec<Finding> {
        let mut found = self.findings_without_people(slis);
        found.extend(self.services.iter().enumerate().flat_map(|(at, service)| self.people(at, service, access)));
        sort(&mut found);
        found
    }

    /// The same where nobody says who there is.
    pub fn findings_without_people(&self, slis: &[Sli]) -> Vec<Finding> {
        let mut found = self.said.clone();
        let objectives: BTreeMap<&str, bool> = slis.iter().map(|s| (s.name.as_str(), s.has_objective())).collect();
        let mut hints = MOST_HINTS;
        for (at, service) in self.services.iter().enumerate() {
            found.extend(self.dependencies(at, service, &mut hints));
            found.extend(self.indicators(at, service, &objectives));
        }
        found.extend(self.circles());
        sort(&mut found);
        found
    }

    pub(super) fn place(&self, at: usize, pointer: &str) -> At {
        match self.origins.get(at) {
            Some(origin) => origin.fields.get(pointer).unwrap_or(&origin.at).clone(),
            None => At::file("catalog"),
        }
    }

    fn people(&self, at: usize, service: &Service, access: &Access) -> Vec<Finding> {
        let mut found = Vec::new();
        let known = |id: &str| access.is_principal(id) || self.owners.contains_key(id);
        if !known(&service.owner) {
            let message = format!("there is no user or group `{}`", service.owner);
            found.push(Finding::error(FindingKind::OwnerGone, self.place(at, "/owner"), message));
        } else if !access.is_principal(&service.owner) {
            let message = format!(
                "the owner `{}` is known to Backstage alone: nobody can approve as a service owner",
                service.owner
            );
            let help = "add it to access.yaml: what people may do comes from there alone";
            found.push(Finding::warning(FindingKind::OwnerMayNothing, self.place(at, "/owner"), message).help(help));
        }
        let is_gone = |id: &&String| !known(id) && !self.schedules.contains(*id);
        if let Some(gone) = service.on_call.as_ref().filter(is_gone) {
            let message = format!("there is no user or group `{gone}` to be called");
            found.push(Finding::warning(FindingKind::OnCallGone, self.place(at, "/on_call"), message).help(
                "name a user or group of access.yaml, or a schedule of roster.yaml; until then the owner is called",
            ));
        }
        found.into_iter().map(|finding| finding.about(&service.name)).collect()
    }

    fn dependencies(&self, at: usize, service: &Service, hints: &mut usize) -> Vec<Finding> {
        let mut found = Vec::new();
        for (i, name) in service.depends_on.iter().enumerate() {
            let place = || self.place(at, &format!("/depends_on/{i}"));
            match self.service(name) {
                _ if *name == service.name => {
                    let message = format!("`{name}` depends on itself");
                    found.push(Finding::warning(FindingKind::SelfDependency, place(), message).help("remove the line"));
                }
                None => {
                    let message = format!("there is no service `{name}`");
                    let finding = Finding::error(FindingKind::Dangling, place(), message);
                    found.push(match self.hint(name, hints) {
                        Some(near) => finding.help(format!("did you mean `{near}`?")),
                        None => finding,
                    });
                }
                Some(other) if other.tier > service.tier => {
                    let message = format!(
                        "`{}` has tier {} and depends on `{name}` of tier {}, which matters less",
                        service.name, service.tier, other.tier
                    );
                    let help = "what it needs matters as much as it does: lower the number there, or do without it";
                    found.push(Finding::warning(FindingKind::TierInverted, place(), message).help(help));
                }
                Some(_) => {}
            }
        }
        found.into_iter().map(|finding| finding.about(&service.name)).collect()
    }

    fn hint(&self, name: &str, hints: &mut usize) -> Option<&str> {
        *hints = hints.checked_sub(1)?;
        nearest(name, self.services.iter().map(|s| s.name.as_str()))
    }

    fn indicators(&self, at: usize, service: &Service, objectives: &BTreeMap<&str, bool>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (i, name) in service.slis.iter().enumerate().filter(|(_, n)| !objectives.contains_key(n.as_str())) {
            let message = format!("there is no SLI `{name}` in slis.yaml");
            found.push(Finding::error(FindingKind::SliGone, self.place(at, &format!("/slis/{i}")), message));
        }
        for (i, name) in service.slos.iter().enumerate() {
            let place = || self.place(at, &format!("/slos/{i}"));
            match objectives.get(name.as_str()) {
                None => {
                    let message = format!("there is no SLO `{name}`, in slos/ or slis.yaml");
                    found.push(Finding::error(FindingKind::SliGone, place(), message));
                }
                Some(false) => {
                    let message = format!("`{name}` has no objective, so it promises nothing");
                    let help = "give it an `objective`, or name it under `slis`";
                    found.push(Finding::warning(FindingKind::NoObjective, place(), message).help(help));
                }
                Some(true) => {}
            }
        }
        found.into_iter().map(|finding| finding.about(&service.name)).collect()
    }

    fn circles(&self) -> Vec<Finding> {
        self.cycles().into_iter().filter_map(|names| self.circle(&names)).collect()
    }

    /// A circle is said at the dependency by which its first service enters it.
    fn circle(&self, names: &[&str]) -> Option<Finding> {
        let members: BTreeSet<&str> = names.iter().copied().collect();
        let first = names.first()?;
        let id = self.index.id(first)?;
        let at = self.index.service(id)?;
        let way = self.index.way_back(id)?;
        let next = way.get(1).map(|id| self.index.name(*id))?;
        let step = self.services[at].depends_on.iter().position(|name| name == next)?;
        let shown: Vec<&str> = way.iter().take(MOST_NAMES).map(|id| self.index.name(*id)).collect();
        let more =
            if way.len() > MOST_NAMES { format!(" -> ({} more)", way.len() - MOST_NAMES) } else { String::new() };
        let others = match members.len() - way.len() {
            0 => String::new(),
            1 => "; 1 more service is in the same knot".to_owned(),
            others => format!("; {others} more services are in the same knot"),
        };
        let message = format!("services depend on each other: {}{more} -> {first}{others}", shown.join(" -> "));
        let place = self.place(at, &format!("/depends_on/{step}"));
        Some(
            Finding::warning(FindingKind::Cycle, place, message)
                .about(first)
                .help("when one of them fails, none can be started alone; let one do without the other"),
        )
    }
}
