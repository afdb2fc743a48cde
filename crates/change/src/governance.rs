//! Governance: the files by which an organisation rules its changes, read as one value.
//!
//! `access.yaml`, `approvals.yaml`, `calendar.yaml`, `slis.yaml`, `slos/*.yaml`, `services/*.yaml` and `policy/*.rego`. Each load is an event with the
//! digest of them all. A set of files with one problem in it is refused as a whole: half a policy is none. The files in `slos/` are OpenSLO, another
//! tool's format, whose reader comes from outside.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::actor::Access;
use crate::approval::{APPROVERS, SERVICE_OWNERS};
use crate::assessment::{Requirement, Risk};
use crate::catalog::{Catalog, Service};
use crate::document::{Document, Problem};
use crate::id::Digest;
use crate::proposal::{Kind, Proposal};
use crate::schedule::Calendar;
use crate::secret::AllowList;
use crate::time::Span;
use crate::verification::Sli;

/// The governance in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Governance {
    pub access: Access,
    pub approvals: Matrix,
    pub calendar: Calendar,
    pub slis: Vec<Sli>,
    pub catalog: Catalog,
    /// What the secret scan finds and somebody answers for.
    pub secrets: AllowList,
    /// Rego modules by path.
    pub policies: BTreeMap<String, String>,
    /// Over the paths and contents of all files.
    pub digest: Digest,
    pub files: BTreeMap<String, Digest>,
}

/// `approvals.yaml`: who has to approve what. The first rule that matches counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    pub rules: Vec<Rule>,
}

/// One row of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// Approvals that are needed; none if empty.
    pub require: Vec<RuleRequirement>,
}

/// What a row is about; a field that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OneOrMany<Kind>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<OneOrMany<Risk>>,
}

/// A value, or a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    fn contains(&self, value: &T) -> bool {
        match self {
            Self::One(one) => one == value,
            Self::Many(many) => many.contains(value),
        }
    }
}

/// Approvals by one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleRequirement {
    /// A group of access.yaml, or `service-owners`, or `approvers`.
    pub by: String,
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub count: u8,
    #[serde(default = "a_day")]
    pub within: Span,
}

fn one() -> u8 {
    1
}

fn a_day() -> Span {
    Span::secs(86_400)
}

impl Matrix {
    /// What a server without `approvals.yaml` asks for: nobody for low risk, one approver otherwise.
    pub fn default_rules() -> Self {
        let low = Match { environment: None, kind: None, risk: Some(OneOrMany::One(Risk::Low)) };
        let anybody = RuleRequirement { by: APPROVERS.into(), count: 1, within: a_day() };
        Self {
            rules: vec![
                Rule { matches: low, require: vec![] },
                Rule { matches: Match::default(), require: vec![anybody] },
            ],
        }
    }

    /// What a change of this risk requires, or nothing where no rule matches: the caller has to close the gate then.
    pub fn requirements(&self, proposal: &Proposal, risk: Risk) -> Option<Vec<Requirement>> {
        let fits = |m: &Match| {
            m.environment.as_ref().is_none_or(|e| e.contains(&proposal.environment))
                && m.kind.as_ref().is_none_or(|k| k.contains(&proposal.kind))
                && m.risk.as_ref().is_none_or(|r| r.contains(&risk))
        };
        let rule = self.rules.iter().find(|rule| fits(&rule.matches))?;
        Some(rule.require.iter().map(|r| Requirement::of(&r.by, r.count, r.within)).collect())
    }

    fn problems(&self, access: &Access) -> Vec<(String, String)> {
        let known = |by: &str| by == APPROVERS || by == SERVICE_OWNERS || access.groups.iter().any(|g| g.id == by);
        let each = self
            .rules
            .iter()
            .enumerate()
            .flat_map(|(i, rule)| rule.require.iter().enumerate().map(move |(j, r)| (i, j, r)));
        let unknown = each.filter(|(_, _, r)| !known(&r.by));
        unknown
            .map(|(i, j, r)| (format!("/rules/{i}/require/{j}/by"), format!("there is no group `{}`", r.by)))
            .collect()
    }
}

/// `slis.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliFile {
    pub slis: Vec<Sli>,
}

/// The SLIs of `slos/` with the path of each, or every problem with the path of its file.
pub type Slos = Result<Vec<(String, Sli)>, Vec<(String, Problem)>>;

/// Reads the files of `slos/`, given by path and text.
pub type SloReader<'a> = &'a dyn Fn(&BTreeMap<String, String>) -> Slos;

impl Governance {
    /// The governance of a server that was given no files: one administrator, the default matrix, the default policies.
    pub fn embedded(admin: &str) -> Self {
        Self {
            access: Access::of_one(admin),
            approvals: Matrix::default_rules(),
            calendar: Calendar::default(),
            slis: vec![],
            catalog: Catalog::default(),
            secrets: AllowList::default(),
            policies: BTreeMap::new(),
            digest: Digest::of_bytes(b""),
            files: BTreeMap::new(),
        }
    }

    /// Reads a set of files, given by path and text.
    ///
    /// # Errors
    /// Every problem of every file, with the path of the file.
    pub fn read(files: &BTreeMap<String, String>) -> Result<Self, Vec<(String, Problem)>> {
        // Without a reader a file is refused, not passed over: half a policy is none.
        let place = crate::document::Place { line: 1, column: 1 };
        let message = "no reader of OpenSLO files was given".to_owned();
        let problem = Problem { place, path: String::new(), message, help: None };
        Self::read_with(files, &|slos| {
            if slos.is_empty() { Ok(vec![]) } else { Err(slos.keys().map(|p| (p.clone(), problem.clone())).collect()) }
        })
    }

    /// The same with a reader for the files of `slos/`.
    ///
    /// # Errors
    /// Every problem of every file, with the path of the file.
    pub fn read_with(files: &BTreeMap<String, String>, slos: SloReader<'_>) -> Result<Self, Vec<(String, Problem)>> {
        let mut reading = Reading { files, problems: Vec::new() };
        let access: Option<Access> = reading.file("access.yaml");
        let approvals = reading.file("approvals.yaml").unwrap_or_else(Matrix::default_rules);
        let calendar: Calendar = reading.file("calendar.yaml").unwrap_or_default();
        let secrets: AllowList = reading.file("secrets.yaml").unwrap_or_default();
        let SliFile { mut slis } = reading.file("slis.yaml").unwrap_or_default();
        for i in (1..slis.len()).filter(|i| slis[..*i].iter().any(|other| other.name == slis[*i].name)) {
            reading.say(
                "slis.yaml",
                &format!("/slis/{i}/name"),
                &format!("the SLI `{}` is listed twice", slis[i].name),
            );
        }
        slis.extend(reading.slos(slos, &slis));
        let services: Vec<(String, Service)> = reading.folder("services/");
        if !files.contains_key("access.yaml") {
            reading.say("access.yaml", "", "the file is missing: it says who there is and what each may do");
        }
        let access = access.unwrap_or_default();
        for (pointer, message) in access.problems() {
            reading.say("access.yaml", &pointer, &message);
        }
        for (pointer, message) in approvals.problems(&access) {
            reading.say("approvals.yaml", &pointer, &message);
        }
        for (pointer, message) in calendar.problems() {
            reading.say("calendar.yaml", &pointer, &message);
        }
        for (pointer, message) in secrets.problems(&access) {
            reading.say("secrets.yaml", &pointer, &message);
        }
        let names: BTreeSet<&str> = services.iter().map(|(_, s)| s.name.as_str()).collect();
        for (path, service) in &services {
            if !access.is_principal(&service.owner) {
                reading.say(path, "/owner", &format!("there is no user or group `{}`", service.owner));
            }
            for (i, dependency) in service.depends_on.iter().enumerate().filter(|(_, d)| !names.contains(d.as_str())) {
                reading.say(path, &format!("/depends_on/{i}"), &format!("there is no service `{dependency}`"));
            }
            for (i, sli) in service.slis.iter().enumerate().filter(|(_, s)| !slis.iter().any(|it| it.name == **s)) {
                reading.say(path, &format!("/slis/{i}"), &format!("there is no SLI `{sli}` in slis.yaml"));
            }
        }
        if !reading.problems.is_empty() {
            return Err(reading.problems);
        }
        let digests: BTreeMap<String, Digest> =
            files.iter().map(|(path, text)| (path.clone(), Digest::of_bytes(text.as_bytes()))).collect();
        let policies = files.iter().filter(|(path, _)| path.starts_with("policy/") && path.ends_with(".rego"));
        Ok(Self {
            access,
            approvals,
            calendar,
            slis,
            catalog: Catalog { services: services.into_iter().map(|(_, s)| s).collect() },
            secrets,
            policies: policies.map(|(path, text)| (path.clone(), text.clone())).collect(),
            digest: Digest::of_value(&digests),
            files: digests,
        })
    }
}

struct Reading<'a> {
    files: &'a BTreeMap<String, String>,
    problems: Vec<(String, Problem)>,
}

impl Reading<'_> {
    fn file<T: JsonSchema + DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        let text = self.files.get(path)?;
        match Document::from_yaml(text).and_then(|document| document.read()) {
            Ok(value) => Some(value),
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|p| (path.to_owned(), p)));
                None
            }
        }
    }

    fn folder<T: JsonSchema + DeserializeOwned>(&mut self, folder: &str) -> Vec<(String, T)> {
        let is_ours = |p: &&String| p.starts_with(folder) && (p.ends_with(".yaml") || p.ends_with(".yml"));
        let paths: Vec<String> = self.files.keys().filter(is_ours).cloned().collect();
        paths.into_iter().filter_map(|path| self.file(&path).map(|value| (path, value))).collect()
    }

    /// The SLIs of `slos/`, under names that `slis.yaml` does not take.
    fn slos(&mut self, read: SloReader<'_>, taken: &[Sli]) -> Vec<Sli> {
        let is_slo = |path: &str| path.starts_with("slos/") && (path.ends_with(".yaml") || path.ends_with(".yml"));
        let files: BTreeMap<String, String> = self
            .files
            .iter()
            .filter(|(path, _)| is_slo(path))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect();
        let found = match read(&files) {
            Ok(found) => found,
            Err(problems) => {
                self.problems.extend(problems);
                return vec![];
            }
        };
        for (path, sli) in found.iter().filter(|(_, sli)| taken.iter().any(|other| other.name == sli.name)) {
            self.say(path, "", &format!("there is an SLI `{}` in `slis.yaml` already", sli.name));
        }
        found.into_iter().map(|(_, sli)| sli).collect()
    }

    fn say(&mut self, path: &str, pointer: &str, message: &str) {
        let document = self.files.get(path).and_then(|text| Document::from_yaml(text).ok());
        let document = document.unwrap_or_else(|| Document::from_parts(serde_json::Value::Null, BTreeMap::new()));
        self.problems.push((path.to_owned(), document.problem(pointer, message, None)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    const ACCESS: &str = "users: [{id: ada, roles: [{role: all}]}]\nroles: [{id: all, may: [approve]}]\n";

    #[test]
    fn problems_of_all_files_are_said_at_once_with_their_places() {
        let broken = files(&[
            ("access.yaml", ACCESS),
            ("approvals.yaml", "rules:\n  - {match: {risk: lo}, require: []}\n"),
            (
                "calendar.yaml",
                "freezes:\n  - {name: x, start: '2026-01-01T00:00', end: '2025-01-01T00:00', tz: UTC, reason: r, owner: ada}\n",
            ),
            ("services/shop.yaml", "name: shop\nowner: bob\ndepends_on: [ghost]\n"),
        ]);
        let problems = Governance::read(&broken).expect_err("each file is broken");
        let said: Vec<String> = problems.iter().map(|(path, p)| format!("{path}:{p}")).collect();
        assert_eq!(said.len(), 4, "{said:#?}");
        assert!(said.iter().any(|s| s.contains("approvals.yaml:2:") && s.contains("`low`")), "{said:#?}");
        assert!(said.iter().any(|s| s.contains("ends before it starts")));
        assert!(said.iter().any(|s| s.contains("there is no user or group `bob`")));
        assert!(said.iter().any(|s| s.contains("there is no service `ghost`")));
    }

    #[test]
    fn slos_are_read_by_the_reader_that_is_given_and_their_names_are_free() {
        let sli = "name: a\nsource: s\ngauge: {value: x}\n";
        let slis = format!("slis:\n  - {{{}}}\n", sli.trim().replace('\n', ", "));
        let set =
            files(&[("access.yaml", ACCESS), ("slis.yaml", &slis), ("slos/x.yaml", "one"), ("slos/notes.txt", "two")]);
        let read_as = |name: &str| {
            Governance::read_with(&set, &|slos: &BTreeMap<String, String>| {
                assert_eq!(slos, &files(&[("slos/x.yaml", "one")]));
                let text = sli.replace("name: a", &format!("name: {name}"));
                let sli = Document::from_yaml(&text).and_then(|d| d.read()).expect("is an SLI");
                Ok(vec![("slos/x.yaml".to_owned(), sli)])
            })
        };
        let names = read_as("b").map(|g| g.slis.into_iter().map(|s| s.name).collect::<Vec<_>>());
        assert_eq!(names, Ok(vec!["a".to_owned(), "b".to_owned()]));
        let taken = read_as("a").expect_err("the name is taken");
        assert_eq!(
            (taken[0].0.as_str(), taken[0].1.message.as_str()),
            ("slos/x.yaml", "there is an SLI `a` in `slis.yaml` already")
        );
        let twice = files(&[
            ("access.yaml", ACCESS),
            ("slis.yaml", &slis.repeat(2).replacen("slis:\n", "", 2).replacen("  -", "slis:\n  -", 1)),
        ]);
        assert!(Governance::read(&set).is_err_and(|p| p[0].0 == "slos/x.yaml"), "nothing is passed over");
        assert!(Governance::read(&twice).is_err_and(|p| p[0].1.message == "the SLI `a` is listed twice"));
    }

    #[test]
    fn another_text_in_any_file_is_another_digest() {
        let digest = |text: &str| {
            Governance::read(&files(&[("access.yaml", ACCESS), ("policy/a.rego", text)])).map(|g| g.digest)
        };
        assert_ne!(digest("package a"), digest("package b"));
        assert_eq!(digest("package a"), digest("package a"));
    }
}
