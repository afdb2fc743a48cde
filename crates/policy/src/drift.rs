//! Drift: which rules speak of things that are gone, and which things does no rule speak of?
//!
//! Reads the rules as text and holds them against catalog, access and approval matrix. Each finding is a hint with its place: a word in a rule may mean
//! something else than it seems. It must never change what a rule says. What is read from the text is in [`reading`](crate::reading).

use std::collections::BTreeSet;

use change::assessment::Risk;
use change::governance::{Governance, Match};
use change::proposal::Kind;
use serde::Serialize;

use crate::PolicyError;
use crate::bundle::{BUILT_IN, Bundle};
use crate::reading::{self, Written};

/// What kind of thing has drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// A rule names a service that the catalog does not have.
    DeadService,
    /// A rule names a user or group that access.yaml does not have.
    DeadTeam,
    /// A rule names a kind of change that there is not.
    DeadKind,
    /// A rule names an environment that no rule of the approval matrix and nobody's role names.
    UnheardEnvironment,
    /// The matrix has no rule for a kind of change.
    UncoveredKind,
    /// No rule of the organisation names a service, and others are named.
    UnnamedService,
    /// A package or rule is past the day by which it was to be reviewed.
    ReviewOverdue,
    /// A package of the organisation says neither what it is for nor who answers for it.
    NoOwner,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub drift: Drift,
    pub file: String,
    /// From 1.
    pub line: u32,
    pub message: String,
}

/// What has drifted apart by a day, such as `2027-06-01`.
///
/// # Errors
/// If a policy can't be compiled.
pub fn drift(bundle: &Bundle, governance: &Governance, today: &str) -> Result<Vec<Finding>, PolicyError> {
    let rules = reading::rules(bundle.modules())?;
    let own: Vec<&Written> = rules.iter().filter(|rule| !rule.file.starts_with(BUILT_IN)).collect();
    let mut found: BTreeSet<Finding> = own.iter().flat_map(|rule| of_rule(rule, governance)).collect();
    found.extend(overdue(bundle, governance, today));
    found.extend(uncovered_kinds(governance));
    found.extend(unnamed_services(&own, governance));
    Ok(found.into_iter().collect())
}

fn of_rule(rule: &Written, governance: &Governance) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |drift, line, message| found.push(Finding { drift, file: rule.file.clone(), line, message });
    let services: BTreeSet<&str> = governance.catalog.services().iter().map(|s| s.name.as_str()).collect();
    for (fact, text, line) in &rule.compared {
        match fact.as_str() {
            "input.change.services" | "input.services" | "input.dependents" if !services.contains(text.as_str()) => {
                say(
                    Drift::DeadService,
                    *line,
                    format!("`{fact}` is compared with `{text}`, which is no service of the catalog"),
                );
            }
            "input.change.kind" if !is_kind(text) => {
                say(Drift::DeadKind, *line, format!("`{text}` is no kind of change"));
            }
            "input.change.owner" | "input.change.author" if !governance.access.is_principal(text) => {
                say(
                    Drift::DeadTeam,
                    *line,
                    format!("`{fact}` is compared with `{text}`, which is no user or group of access.yaml"),
                );
            }
            "input.change.environment" if !environments(governance).contains(text.as_str()) => {
                let message = format!("the environment `{text}` stands in no rule of approvals.yaml, calendar or role");
                say(Drift::UnheardEnvironment, *line, message);
            }
            _ => {}
        }
    }
    for (field, text, line) in rule.fields.iter().filter(|(field, ..)| field == "by" || field == "override_by") {
        let built_in = ["approvers", "service-owners", "on-call"].contains(&text.as_str());
        if !built_in && !governance.access.is_principal(text) {
            say(Drift::DeadTeam, *line, format!("`{field}` names `{text}`, which is no user or group of access.yaml"));
        }
    }
    found
}

fn is_kind(text: &str) -> bool {
    serde_json::from_value::<Kind>(text.into()).is_ok()
}

fn environments(governance: &Governance) -> BTreeSet<String> {
    let mut known = BTreeSet::from(["production".to_owned(), "staging".to_owned()]);
    for rule in &governance.approvals.rules {
        let named = serde_json::to_value(&rule.matches.environment).unwrap_or_default();
        known.extend(texts(&named));
    }
    let grants = governance.access.users.iter().map(|user| serde_json::to_value(user).unwrap_or_default());
    for grant in grants.flat_map(|user| user["roles"].as_array().cloned().unwrap_or_default()) {
        known.extend(texts(&grant["on"]["environments"]));
    }
    known
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
        _ => vec![],
    }
}

fn overdue(bundle: &Bundle, governance: &Governance, today: &str) -> Vec<Finding> {
    let notes = bundle.notes();
    let all = notes.packages.values().map(|(_, note)| note).chain(&notes.rules);
    let mut found = Vec::new();
    for note in all.filter(|note| !note.file.starts_with(BUILT_IN)) {
        let mut say = |drift, message| found.push(Finding { drift, file: note.file.clone(), line: note.line, message });
        // Dates of this form sort as text.
        if let Some(by) = note.review_by.as_deref().filter(|by| *by < today) {
            say(Drift::ReviewOverdue, format!("it was to be reviewed by {by}"));
        }
        if let Some(owner) = note.owner.as_deref().filter(|owner| !governance.access.is_principal(owner)) {
            say(Drift::DeadTeam, format!("its owner `{owner}` is no user or group of access.yaml"));
        }
    }
    for (binding, note) in notes.packages.values().filter(|(_, note)| !note.file.starts_with(BUILT_IN)) {
        for group in binding.override_by.iter().filter(|group| !governance.access.is_principal(group)) {
            let message = format!("`override_by` names `{group}`, which is no user or group of access.yaml");
            found.push(Finding { drift: Drift::DeadTeam, file: note.file.clone(), line: note.line, message });
        }
    }
    let noted: BTreeSet<&str> =
        notes.packages.values().filter(|(_, n)| n.owner.is_some()).map(|(_, n)| n.file.as_str()).collect();
    let own = bundle.modules().keys().filter(|path| !path.starts_with(BUILT_IN) && !crate::bundle::is_test(path));
    found.extend(own.filter(|path| !noted.contains(path.as_str())).map(|path| Finding {
        drift: Drift::NoOwner,
        file: path.clone(),
        line: 1,
        message: "nobody answers for it; name an `owner` in a block of metadata above the package".into(),
    }));
    found
}

/// The kinds of change for which the matrix has no rule in production: such a change is denied.
fn uncovered_kinds(governance: &Governance) -> Vec<Finding> {
    let kinds = [
        Kind::Code,
        Kind::Config,
        Kind::Infrastructure,
        Kind::Data,
        Kind::Flag,
        Kind::Secret,
        Kind::Access,
        Kind::Network,
        Kind::Pipeline,
        Kind::Platform,
        Kind::Docs,
        Kind::Governance,
    ];
    let risks = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical];
    let mut found = Vec::new();
    for kind in kinds {
        let open = |risk: &&Risk| !governance.approvals.rules.iter().any(|rule| fits(&rule.matches, kind, **risk));
        let uncovered: Vec<String> = risks.iter().filter(open).map(|risk| format!("`{risk}`")).collect();
        if !uncovered.is_empty() {
            let named = serde_json::to_value(kind).unwrap_or_default();
            let message = format!(
                "no rule covers changes of kind `{}` and {} risk in production: they are denied",
                named.as_str().unwrap_or_default(),
                uncovered.join(", ")
            );
            found.push(Finding { drift: Drift::UncoveredKind, file: "approvals.yaml".into(), line: 1, message });
        }
    }
    found
}

fn fits(matches: &Match, kind: Kind, risk: Risk) -> bool {
    let holds = |field: serde_json::Value, value: serde_json::Value| match field {
        serde_json::Value::Null => true,
        serde_json::Value::Array(many) => many.contains(&value),
        one => one == value,
    };
    // As JSON, so that a field that is added to the matrix later leaves what is asked here alone.
    let json = serde_json::to_value(matches).unwrap_or_default();
    let of = |name: &str| json.get(name).cloned().unwrap_or_default();
    let value = |it: serde_json::Result<serde_json::Value>| it.unwrap_or_default();
    holds(of("environment"), "production".into())
        && holds(of("kind"), value(serde_json::to_value(kind)))
        && holds(of("risk"), value(serde_json::to_value(risk)))
}

/// Where rules name services one by one, those that none of them names.
fn unnamed_services(own: &[&Written], governance: &Governance) -> Vec<Finding> {
    let about = |fact: &str| ["input.change.services", "input.services"].contains(&fact);
    let named: BTreeSet<&str> = own
        .iter()
        .flat_map(|rule| rule.compared.iter().filter(|(fact, ..)| about(fact)).map(|(_, text, _)| text.as_str()))
        .collect();
    let rest: Vec<String> = governance
        .catalog
        .services()
        .iter()
        .filter(|service| !named.contains(service.name.as_str()))
        .map(|service| format!("`{}`", service.name))
        .collect();
    if named.is_empty() || rest.is_empty() {
        return vec![];
    }
    let message = format!("rules name services one by one, and none names {}", rest.join(", "));
    vec![Finding { drift: Drift::UnnamedService, file: "services/".into(), line: 1, message }]
}
