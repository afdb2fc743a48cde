//! Governance: the files by which an organisation rules its changes, read as one value.
//!
//! `settings.yaml`, `access.yaml`, `approvals.yaml`, `calendar.yaml`, `conflicts.yaml`, `roster.yaml`, `error_budget.yaml`, `paths.yaml`, `slis.yaml`, `slos/*.yaml`, `services/*.yaml`, `standards/*.yaml`
//! and `policy/*.rego`. Each load is an event with the digest of them all. A set of files with one problem in it is refused as a whole: half a policy is none. The files in
//! `slos/` are OpenSLO, and those in `services/` may be Backstage's: other tools' formats, whose [`Readers`] come from outside.

pub mod settings;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::actor::Access;
use crate::approval::signers::{self, Signer};
use crate::approval::{APPROVERS, KNOWN_GROUPS};
use crate::assessment::{Item, Requirement, Risk, Signing, Tick, Window};
use crate::budget::BudgetPolicy;
use crate::calendar::{Calendar, Remark};
use crate::catalog::{At, Catalog, Entries, Entry, Finding, FindingKind, Service, Severity};
use crate::conflict::ConflictRules;
use crate::course::EmergencyRules;
use crate::document::{Document, Form, Place, Problem};
use crate::facts::paths::{PathFile, Paths};
use crate::id::Digest;
use crate::proposal::{Kind, Proposal};
use crate::roster::{Roster, RosterCopy, Watch};
use crate::secret::AllowList;
use crate::standard::{self, Template};
use crate::time::{Span, TimeZone, Timestamp};
use crate::verification::Sli;

pub use settings::Settings;

/// The governance in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Governance {
    pub settings: Settings,
    pub access: Access,
    pub approvals: Matrix,
    pub calendar: Calendar,
    /// Who is on call when.
    pub roster: Roster,
    /// How fast services may be changed by what is left of their error budgets; nothing where no budget is read.
    pub budgets: Option<BudgetPolicy>,
    /// What happens where two changes meet.
    pub conflicts: ConflictRules,
    /// Which kind of thing each file of a repository is.
    pub paths: Paths,
    pub slis: Vec<Sli>,
    pub catalog: Catalog,
    /// The lines of `allowed_signers`.
    pub signers: Vec<Signer>,
    /// What the secret scan finds and somebody answers for.
    pub secrets: AllowList,
    /// Standard changes by id.
    pub standards: BTreeMap<String, Template>,
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
    /// The fast lane.
    #[serde(default)]
    pub emergency: EmergencyRules,
}

/// One row of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// Approvals that are needed; none if empty.
    pub require: Vec<RuleRequirement>,
    /// Kinds of evidence that the change file has to link under `evidence`, such as `test-report` or `load-test`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// `required` for changes that start at a planned time, never at once.
    #[serde(default)]
    pub window: Window,
}

/// What a row is about; a field that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OneOrMany<Kind>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<OneOrMany<Risk>>,
    /// Matches if any of the changed services is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<OneOrMany<String>>,
    /// The owner of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OneOrMany<String>>,
}

impl Match {
    /// Whether it is about such a change.
    pub fn fits(&self, asked: &Asks<'_>) -> bool {
        self.environment.as_ref().is_none_or(|e| e.contains(asked.environment))
            && self.kind.as_ref().is_none_or(|k| k.contains(&asked.kind))
            && self.risk.as_ref().is_none_or(|r| r.contains(&asked.risk))
            && self.service.as_ref().is_none_or(|s| s.iter().any(|s| asked.services.contains(s)))
            && self.owner.as_ref().is_none_or(|o| o.contains(asked.owner))
    }
}

/// A value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn contains(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        self.iter().any(|one| one == value)
    }

    fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
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
    /// Who is asked too when time is up: a group, or several one after the other, each with as much time again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<OneOrMany<String>>,
    /// When those who are asked are reminded; after half of their time if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<Span>,
    /// `required` where votes have to be signed with a key of access.yaml.
    #[serde(default)]
    pub signature: Signing,
}

impl RuleRequirement {
    /// A requirement without escalation or signature.
    pub fn of(by: impl Into<String>, count: u8, within: Span) -> Self {
        Self { by: by.into(), count, within, escalate: None, remind: None, signature: Signing::Free }
    }

    pub fn requirement(&self) -> Requirement {
        Requirement {
            by: self.by.clone(),
            count: self.count,
            within: self.within,
            escalate: self.escalated().cloned().collect(),
            remind: self.remind,
            signature: self.signature,
        }
    }

    fn escalated(&self) -> impl Iterator<Item = &String> {
        self.escalate.iter().flat_map(OneOrMany::iter)
    }
}

fn one() -> u8 {
    1
}

fn a_day() -> Span {
    Span::secs(86_400)
}

/// What a row is matched against.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    pub environment: &'a String,
    pub kind: Kind,
    pub risk: Risk,
    pub services: &'a BTreeSet<String>,
    pub owner: &'a String,
}

impl<'a> Asks<'a> {
    /// A proposal of this risk.
    pub fn of(proposal: &'a Proposal, risk: Risk) -> Self {
        let Proposal { environment, kind, services, owner, .. } = proposal;
        Self { environment, kind: *kind, risk, services, owner }
    }
}

impl Matrix {
    /// What a server without `approvals.yaml` asks for: nobody for low risk, one approver otherwise.
    pub fn default_rules() -> Self {
        let low = Match { risk: Some(OneOrMany::One(Risk::Low)), ..Match::default() };
        let anybody = RuleRequirement::of(APPROVERS, 1, a_day());
        let rule = |matches, require| Rule { matches, require, evidence: vec![], window: Window::Free };
        Self {
            rules: vec![rule(low, vec![]), rule(Match::default(), vec![anybody])],
            emergency: EmergencyRules::default(),
        }
    }

    /// The rule for a change of this risk: the first that matches. Where there is none, the caller has to close the gate.
    pub fn rule(&self, proposal: &Proposal, risk: Risk) -> Option<&Rule> {
        let asked = Asks::of(proposal, risk);
        self.rules.get(self.row(&asked)?)
    }

    /// The row that counts for such a change, from 0.
    pub fn row(&self, asked: &Asks<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches.fits(asked))
    }

    fn problems(&self, access: &Access) -> Vec<(String, String)> {
        let known = |by: &str| KNOWN_GROUPS.contains(&by) || access.groups.iter().any(|g| g.id == by);
        let rules = self.rules.iter().enumerate();
        let each = rules.flat_map(|(i, rule)| {
            rule.require.iter().enumerate().map(move |(j, r)| (format!("/rules/{i}/require/{j}"), r))
        });
        let quorum = self.emergency.quorum.iter().enumerate().map(|(j, r)| (format!("/emergency/quorum/{j}"), r));
        let mut found = Vec::new();
        for (at, requirement) in each.chain(quorum) {
            if !known(&requirement.by) {
                found.push((format!("{at}/by"), format!("there is no group `{}`", requirement.by)));
            }
            for to in requirement.escalated().filter(|to| !known(to)) {
                found.push((format!("{at}/escalate"), format!("there is no group `{to}`")));
            }
        }
        if self.emergency.quorum.is_empty() {
            found.push(("/emergency/quorum".into(), "an emergency needs at least one other person".into()));
        }
        if let Some(to) = self.emergency.escalate.as_ref().filter(|to| !known(to) && !access.is_principal(to)) {
            found.push(("/emergency/escalate".into(), format!("there is no user or group `{to}`")));
        }
        found
    }
}

impl Rule {
    /// The evidence that it asks for, each a point of a checklist that only a link of the change file ticks.
    pub fn evidence_items(&self, proposal: &Proposal) -> Vec<Item> {
        let item = |kind: &String| Item {
            list: "evidence".into(),
            code: kind.clone(),
            title: format!("`{kind}` is linked under `evidence`"),
            evidence: proposal.evidence.get(kind).cloned(),
            tick: Tick::Evidence,
        };
        self.evidence.iter().map(item).collect()
    }

    /// The approvals that it asks for.
    pub fn requirements(&self) -> Vec<Requirement> {
        self.require.iter().map(RuleRequirement::requirement).collect()
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

/// Takes over the documents of another tool's files in `services/`, given by path.
pub type CatalogReader<'a> = &'a dyn Fn(&BTreeMap<String, Vec<Document>>) -> Entries;

/// Reads the turns of an iCalendar file; local times are of this zone.
pub type TurnReader<'a> = &'a dyn Fn(&str, &TimeZone) -> Result<Vec<Watch>, String>;

/// The readers of other tools' files.
#[derive(Clone, Copy)]
pub struct Readers<'a> {
    pub slos: SloReader<'a>,
    pub catalog: CatalogReader<'a>,
    pub turns: TurnReader<'a>,
}

impl std::fmt::Debug for Readers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers")
    }
}

impl Readers<'static> {
    /// No reader at all: a file of another tool is refused, not passed over.
    pub fn none() -> Self {
        Self { slos: &refuse_slos, catalog: &refuse_entries, turns: &refuse_turns }
    }
}

fn refuse_slos(files: &BTreeMap<String, String>) -> Slos {
    if files.is_empty() { Ok(vec![]) } else { Err(files.keys().map(|p| (p.clone(), unread("OpenSLO"))).collect()) }
}

fn refuse_entries(files: &BTreeMap<String, Vec<Document>>) -> Entries {
    let findings = files.keys().map(|path| Finding::unreadable(path, unread("Backstage"))).collect();
    Entries { findings, ..Entries::default() }
}

fn refuse_turns(_: &str, _: &TimeZone) -> Result<Vec<Watch>, String> {
    Err(unread("iCalendar").message)
}

fn unread(tool: &str) -> Problem {
    let place = crate::document::Place { line: 1, column: 1 };
    Problem { place, path: String::new(), message: format!("no reader of {tool} files was given"), help: None }
}

/// The catalog of a set of files, with all that there is to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    pub catalog: Catalog,
    pub slis: Vec<Sli>,
    /// The weightiest first. What is wrong with the other files is not among it, but for the SLIs and for who there is.
    pub findings: Vec<Finding>,
}

impl Survey {
    /// Looks at the services of a set of files, given by path and text, though other files may be broken or missing.
    pub fn of(files: &BTreeMap<String, String>, readers: Readers<'_>) -> Self {
        let mut reading = Reading { files, problems: Vec::new() };
        let access: Option<Access> = reading.file("access.yaml");
        let slis = reading.slis(readers.slos);
        let catalog = reading.catalog(readers.catalog);
        let roster: Option<Roster> = reading.file("roster.yaml");
        let schedules = roster.into_iter().flat_map(|roster| roster.schedules).map(|schedule| schedule.name);
        let catalog = catalog.with_schedules(schedules);
        let mut findings = match &access {
            Some(access) => catalog.findings(access, &slis),
            None => catalog.findings_without_people(&slis),
        };
        if !files.contains_key("access.yaml") {
            let message = "there is no access.yaml here, so no owner is looked up";
            findings.push(Finding::warning(FindingKind::OwnerGone, At::file("access.yaml"), message));
        }
        findings.extend(reading.problems.into_iter().map(|(path, problem)| Finding::unreadable(&path, problem)));
        crate::catalog::finding::sort(&mut findings);
        Self { catalog, slis, findings }
    }
}

impl Governance {
    /// The governance of a server that was given no files: one administrator, the default matrix, the default policies.
    pub fn embedded(admin: &str) -> Self {
        Self {
            settings: Settings::default(),
            access: Access::of_one(admin),
            approvals: Matrix::default_rules(),
            calendar: Calendar::default(),
            roster: Roster::default(),
            budgets: None,
            conflicts: ConflictRules::default(),
            paths: Paths::default(),
            slis: vec![],
            catalog: Catalog::default(),
            signers: vec![],
            secrets: AllowList::default(),
            standards: BTreeMap::new(),
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
        Self::read_with(files, Readers::none())
    }

    /// The same with readers of other tools' files.
    ///
    /// # Errors
    /// Every problem of every file, with the path of the file.
    pub fn read_with(files: &BTreeMap<String, String>, readers: Readers<'_>) -> Result<Self, Vec<(String, Problem)>> {
        let mut reading = Reading { files, problems: Vec::new() };
        let settings: Settings = reading.file("settings.yaml").unwrap_or_default();
        let access: Option<Access> = reading.file("access.yaml");
        let approvals = reading.file("approvals.yaml").unwrap_or_else(Matrix::default_rules);
        let calendar: Calendar = reading.file("calendar.yaml").unwrap_or_default();
        let conflicts: ConflictRules = reading.file("conflicts.yaml").unwrap_or_default();
        let secrets: AllowList = reading.file("secrets.yaml").unwrap_or_default();
        let paths = reading.paths();
        let slis = reading.slis(readers.slos);
        let catalog = reading.catalog(readers.catalog);
        let roster = reading.roster(readers.turns);
        let catalog = catalog.with_schedules(roster.schedules.iter().map(|schedule| schedule.name.clone()));
        let budgets: Option<BudgetPolicy> = reading.file("error_budget.yaml");
        if !files.contains_key("access.yaml") {
            reading.say("access.yaml", "", "the file is missing: it says who there is and what each may do");
        }
        let access = reading.with_places(access.unwrap_or_default());
        for (pointer, message) in access.problems() {
            reading.say("access.yaml", &pointer, &message);
        }
        for (pointer, message) in signers::key_problems(&access) {
            reading.say("access.yaml", &pointer, &message);
        }
        let signers = reading.signers(&access);
        let standards = reading.standards(&access);
        for (pointer, message) in settings.problems() {
            reading.say("settings.yaml", &pointer, &message);
        }
        for (pointer, message) in approvals.problems(&access) {
            reading.say("approvals.yaml", &pointer, &message);
        }
        for remark in calendar.problems() {
            reading.advise("calendar.yaml", &remark.pointer, &remark.message, remark.help);
        }
        for (pointer, message) in roster.problems(&access) {
            reading.say("roster.yaml", &pointer, &message);
        }
        for (pointer, message) in budgets.iter().flat_map(BudgetPolicy::problems) {
            reading.say("error_budget.yaml", &pointer, &message);
        }
        for (pointer, message) in conflicts.problems() {
            reading.say("conflicts.yaml", &pointer, &message);
        }
        for (pointer, message) in secrets.problems(&access) {
            reading.say("secrets.yaml", &pointer, &message);
        }
        let wrong = catalog.findings(&access, &slis).into_iter().filter(|f| f.severity == Severity::Error);
        reading.problems.extend(wrong.map(Finding::into_problem));
        if !reading.problems.is_empty() {
            return Err(reading.problems);
        }
        let digests: BTreeMap<String, Digest> =
            files.iter().map(|(path, text)| (path.clone(), Digest::of_bytes(text.as_bytes()))).collect();
        let policies = files.iter().filter(|(path, _)| path.starts_with("policy/") && path.ends_with(".rego"));
        Ok(Self {
            settings,
            access,
            approvals,
            calendar,
            roster,
            budgets,
            conflicts,
            paths,
            slis,
            catalog,
            signers,
            secrets,
            standards,
            policies: policies.map(|(path, text)| (path.clone(), text.clone())).collect(),
            digest: Digest::of_value(&digests),
            files: digests,
        })
    }
}

impl Governance {
    /// What should be known of its calendar at `now`, and is no reason to refuse it.
    pub fn calendar_remarks(&self, now: Timestamp) -> Vec<Remark> {
        let strangers = self.calendar.strangers(&self.access, &self.catalog);
        self.calendar.warnings(now).into_iter().chain(strangers).collect()
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

    /// The SLIs of `slis.yaml` and `slos/`.
    fn slis(&mut self, slos: SloReader<'_>) -> Vec<Sli> {
        let SliFile { mut slis } = self.file("slis.yaml").unwrap_or_default();
        for i in (1..slis.len()).filter(|i| slis[..*i].iter().any(|other| other.name == slis[*i].name)) {
            let message = format!("the SLI `{}` is listed twice", slis[i].name);
            self.say("slis.yaml", &format!("/slis/{i}/name"), &message);
        }
        slis.extend(self.slos(slos, &slis));
        slis
    }

    /// The services of `services/`: our own form is read here, every other one by the reader that was given.
    fn catalog(&mut self, read: CatalogReader<'_>) -> Catalog {
        let form = Form::<Service>::new();
        let mut own = Vec::new();
        let mut foreign = BTreeMap::new();
        for (path, text) in self.files.iter().filter(|(path, _)| is_of_catalog(path)) {
            let read = Document::all_from_yaml(text).and_then(|documents| {
                if documents.iter().any(is_of_another_tool) {
                    foreign.insert(path.clone(), documents);
                    return Ok(());
                }
                let document = Document::only(documents)?;
                own.push(Entry::of(path, &document, form.read(&document)?));
                Ok(())
            });
            let problems = read.err().unwrap_or_default();
            self.problems.extend(problems.into_iter().map(|problem| (path.clone(), problem)));
        }
        Catalog::assemble(own, read(&foreign))
    }

    fn with_places(&self, access: Access) -> Access {
        let document = self.files.get("access.yaml").and_then(|text| Document::from_yaml(text).ok());
        document.map_or(access.clone(), |document| access.read_from(&document))
    }

    /// The rules of `paths.yaml`, or those of the product.
    fn paths(&mut self) -> Paths {
        let file: PathFile = self.file("paths.yaml").unwrap_or_default();
        Paths::compile(&file).unwrap_or_else(|problems| {
            for (pointer, message) in problems {
                self.say("paths.yaml", &pointer, &message);
            }
            Paths::default()
        })
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

    /// The schedules of `roster.yaml`, with the calendars that lie beside it.
    fn roster(&mut self, read: TurnReader<'_>) -> Roster {
        let mut roster: Roster = self.file("roster.yaml").unwrap_or_default();
        let mut copies = BTreeMap::new();
        for (i, schedule) in roster.schedules.iter().enumerate() {
            let (Some(file), Ok(zone)) = (&schedule.file, TimeZone::get(&schedule.tz)) else { continue };
            let Some(text) = self.files.get(file) else {
                self.say("roster.yaml", &format!("/schedules/{i}/file"), &format!("there is no file `{file}`"));
                continue;
            };
            match read(text, &zone) {
                Ok(watches) => {
                    copies.insert(schedule.name.clone(), RosterCopy { watches, ..RosterCopy::default() });
                }
                Err(why) => self.say(file, "", &why),
            }
        }
        roster.copies = copies;
        roster
    }

    /// The templates of `standards/`.
    fn standards(&mut self, access: &Access) -> BTreeMap<String, Template> {
        let mut standards = BTreeMap::new();
        for (path, text) in self.files.iter().filter(|(path, _)| standard::is_of_standards(path)) {
            match Document::from_yaml(text).and_then(|document| Template::read(&document)) {
                Ok(template) => {
                    for (pointer, message) in template.strangers(access) {
                        self.say(path, &pointer, &message);
                    }
                    let id = template.id.clone();
                    if standards.insert(id.clone(), template).is_some() {
                        self.say(path, "/id", &format!("there is a standard change `{id}` in another file already"));
                    }
                }
                Err(problems) => self.problems.extend(problems.into_iter().map(|problem| (path.clone(), problem))),
            }
        }
        standards
    }

    fn signers(&mut self, access: &Access) -> Vec<Signer> {
        let Some(text) = self.files.get(signers::FILE) else { return vec![] };
        let (signers, problems) = match signers::read(text) {
            Ok(signers) => {
                let shared = signers::shared_keys(access, &signers);
                (signers, shared)
            }
            Err(problems) => (vec![], problems),
        };
        let at = |line: u32| Place { line: usize::try_from(line).unwrap_or(usize::MAX), column: 1 };
        let problem = |(line, message)| Problem { place: at(line), path: String::new(), message, help: None };
        self.problems.extend(problems.into_iter().map(|p| (signers::FILE.to_owned(), problem(p))));
        signers
    }

    fn say(&mut self, path: &str, pointer: &str, message: &str) {
        self.advise(path, pointer, message, None);
    }

    fn advise(&mut self, path: &str, pointer: &str, message: &str, help: Option<String>) {
        let document = self.files.get(path).and_then(|text| Document::from_yaml(text).ok());
        let document = document.unwrap_or_else(|| Document::from_parts(serde_json::Value::Null, BTreeMap::new()));
        self.problems.push((path.to_owned(), document.problem(pointer, message, help)));
    }
}

fn is_of_catalog(path: &str) -> bool {
    path.starts_with("services/") && (path.ends_with(".yaml") || path.ends_with(".yml"))
}

/// Whether a document has the head by which other tools tell theirs apart.
fn is_of_another_tool(document: &Document) -> bool {
    document.value().get("apiVersion").is_some()
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
            let slos = |slos: &BTreeMap<String, String>| {
                assert_eq!(slos, &files(&[("slos/x.yaml", "one")]));
                let text = sli.replace("name: a", &format!("name: {name}"));
                let sli = Document::from_yaml(&text).and_then(|d| d.read()).expect("is an SLI");
                Ok(vec![("slos/x.yaml".to_owned(), sli)])
            };
            Governance::read_with(&set, Readers { slos: &slos, ..Readers::none() })
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
