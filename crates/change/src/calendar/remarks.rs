//! Remarks: what should be known of a calendar, and is no reason to refuse it.
//!
//! Times that are over, that never open, or that leave nothing out; and names that nobody has: an entry that covers a service nobody knows holds nothing,
//! and a freeze of an owner nobody knows has nobody to make an exception. Refuses nothing: that is [`Calendar::problems`].

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::clock::{Effect, Spell};
use super::rule::{self, Times};
use super::{Calendar, Entry, Remark};
use crate::actor::Access;
use crate::catalog::Catalog;
use crate::document::nearest;
use crate::time::Timestamp;

/// How far ahead it is looked whether a window opens at all.
const A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 366);
/// What holds for so long holds for good.
const FOR_GOOD: SignedDuration = SignedDuration::from_hours(24 * 3_653);
/// The most times of a window that are looked at.
const MOST_TIMES: usize = 400;

/// An entry as it is read, with its place in the file.
struct Ready<'a> {
    pointer: String,
    effect: Effect,
    entry: &'a Entry,
    times: Times,
}

impl Calendar {
    /// What should be known of it at `now`.
    pub fn warnings(&self, now: Timestamp) -> Vec<Remark> {
        let read =
            |(pointer, effect, entry)| Some(Ready { pointer, effect, entry, times: Times::read(entry, effect).ok()? });
        let ready: Vec<Ready<'_>> = self.entries().filter_map(read).collect();
        let mut found = Vec::new();
        for one in &ready {
            let over = !rule::comes_after(&one.times, now);
            found.extend(over.then(|| one.remark("is over and never comes again", "take it out")));
            found.extend(leaves_nothing_out(one));
            match one.effect {
                Effect::Forbids => found.extend(holds_for_good(one, now)),
                Effect::Allows => found.extend(never_opens(one, &ready, now)),
            }
        }
        found
    }

    /// The names in it that nobody has: owners and teams by access.yaml, services and environments by the catalog, where it has any.
    pub fn strangers(&self, access: &Access, catalog: &Catalog) -> Vec<Remark> {
        let principals = access.principals();
        let services: Vec<&str> = catalog.services().iter().map(|service| service.name.as_str()).collect();
        let environments: BTreeSet<&str> =
            catalog.services().iter().flat_map(|service| &service.environments).map(String::as_str).collect();
        let mut found = Vec::new();
        for (pointer, effect, entry) in self.entries() {
            let mut say = |field: String, message: String, near: Option<&str>| {
                let help = near.map(|near| format!("did you mean `{near}`?"));
                found.push(Remark { pointer: format!("{pointer}{field}"), message, help });
            };
            if !access.is_principal(&entry.owner) {
                let lacks = match effect {
                    Effect::Forbids => "nobody but who may `freeze` can make an exception",
                    Effect::Allows => "nobody can be asked about it",
                };
                let message = format!("the owner `{}` is no user and no group of access.yaml: {lacks}", entry.owner);
                say("/owner".into(), message, nearest(&entry.owner, principals.iter().copied()));
            }
            for (i, team) in entry.teams.iter().enumerate().filter(|(_, team)| !access.is_principal(team)) {
                let message =
                    format!("`{team}` is no user and no group of access.yaml: it covers nothing by that name");
                say(format!("/teams/{i}"), message, nearest(team, principals.iter().copied()));
            }
            let unknown = |name: &str| !services.is_empty() && !services.contains(&name);
            for (i, service) in entry.services.iter().enumerate().filter(|(_, name)| unknown(name)) {
                let message = format!("there is no service `{service}` in the catalog: it covers nothing by that name");
                say(format!("/services/{i}"), message, nearest(service, services.iter().copied()));
            }
            let is_new = |name: &str| !environments.is_empty() && !environments.contains(name);
            for (i, place) in entry.environments.iter().enumerate().filter(|(_, name)| is_new(name)) {
                let message =
                    format!("no service of the catalog names the environment `{place}`: it may cover nothing");
                say(format!("/environments/{i}"), message, nearest(place, environments.iter().copied()));
            }
        }
        found
    }
}

impl Ready<'_> {
    fn remark(&self, says: &str, help: &str) -> Remark {
        let message = format!("`{}` {says}", self.entry.name);
        Remark { pointer: self.pointer.clone(), message, help: Some(help.to_owned()) }
    }
}

/// Dates that are taken out of a rule which has them not: the time that was meant stays in.
fn leaves_nothing_out(one: &Ready<'_>) -> Vec<Remark> {
    let whole = Entry { exdate: vec![], ..one.entry.clone() };
    let Ok(times) = Times::read(&whole, one.effect) else { return vec![] };
    let each = one.entry.exdate.iter().enumerate().filter(|(_, text)| !times.starts_at(text));
    let remark = |(i, text): (usize, &String)| Remark {
        pointer: format!("{}/exdate/{i}", one.pointer),
        message: format!("`{}` has no time that starts at `{text}`: nothing is left out by that", one.entry.name),
        help: Some("write the local time at which the one that is meant starts".into()),
    };
    each.map(remark).collect()
}

/// A freeze that is on and does not end.
fn holds_for_good(one: &Ready<'_>, now: Timestamp) -> Option<Remark> {
    let horizon = now.saturating_add(FOR_GOOD).ok()?;
    let is_endless = one.times.end(now, horizon).is_some_and(|end| end >= horizon);
    let Entry { services, teams, environments, kinds, risks, .. } = one.entry;
    let is_of_all =
        services.is_empty() && teams.is_empty() && environments.is_empty() && kinds.is_empty() && risks.is_empty();
    let says = match is_of_all {
        true => {
            "covers everything, and does not end within ten years: nothing but rollbacks and emergencies will begin"
        }
        false => "does not end within ten years: what it covers will not begin",
    };
    is_endless.then(|| one.remark(says, "give it an end; a permanent rule is better a policy, which says why"))
}

/// A window every time of which lies in freezes that cover all that it covers.
fn never_opens(one: &Ready<'_>, all: &[Ready<'_>], now: Timestamp) -> Option<Remark> {
    let until = now.saturating_add(A_YEAR).ok()?;
    let freezes: Vec<&Ready<'_>> =
        all.iter().filter(|other| other.effect == Effect::Forbids && covers_all_of(other.entry, one.entry)).collect();
    let times = one.times.between(now, until);
    let is_shut = |spell: &Spell| {
        let mut at = spell.start;
        while at < spell.end {
            match freezes.iter().filter_map(|freeze| freeze.times.end(at, spell.end)).max() {
                Some(end) if end > at => at = end,
                _ => return false,
            }
        }
        true
    };
    let never = !times.is_empty() && times.iter().take(MOST_TIMES).all(is_shut);
    let says = "opens at no time of the coming year: each lies in a freeze that covers the same";
    never.then(|| one.remark(says, "look at it beside the freezes: `clearway calendar show`"))
}

/// Whether a freeze covers everything that a window does.
fn covers_all_of(freeze: &Entry, window: &Entry) -> bool {
    fn holds<T: Ord>(outer: &[T], inner: &[T]) -> bool {
        let outer: BTreeSet<&T> = outer.iter().collect();
        outer.is_empty() || !inner.is_empty() && inner.iter().all(|one| outer.contains(one))
    }
    holds(&freeze.services, &window.services)
        && holds(&freeze.teams, &window.teams)
        && holds(&freeze.environments, &window.environments)
        && holds(&freeze.kinds, &window.kinds)
        && holds(&freeze.risks, &window.risks)
}

#[cfg(test)]
mod tests {
    use crate::governance::Governance;

    // LC4: a freeze that covers nothing by a slip of the pen is remarked upon; where the catalog names no environment, nobody can say.
    #[test]
    fn an_environment_that_no_service_has_is_remarked_upon() {
        let remarks = |service: &str| {
            let files = [
                ("access.yaml", "users: [{id: sre, roles: [{role: all}]}]\nroles: [{id: all, may: [approve]}]\n"),
                ("approvals.yaml", "rules: [{require: []}]\n"),
                ("services/shop.yaml", service),
                (
                    "calendar.yaml",
                    "freezes: [{name: x, start: '2026-01-01T00:00', end: '2026-01-02T00:00', tz: UTC, reason: r, owner: sre, environments: [prod]}]\n",
                ),
            ];
            let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
            let governance = Governance::read(&files).expect("a governance");
            governance.calendar.strangers(&governance.access, &governance.catalog)
        };
        let found = remarks("name: shop\nowner: sre\ntier: 3\nenvironments: [production]\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].pointer.ends_with("/environments/0") && found[0].message.contains("`prod`"), "{found:?}");
        assert_eq!(found[0].help.as_deref(), Some("did you mean `production`?"));
        assert_eq!(remarks("name: shop\nowner: sre\ntier: 3\n"), []);
    }
}
