//! Proposal: what is wanted, where, and how is it undone?
//!
//! Holds the change file as people write it ([`ChangeFile`]) and the proposal that it becomes once the names in it are resolved ([`Proposal`]).
//! The revision digest says what was proposed, the effect digest what will have effect; votes are for the latter. Next room: [`assessment`](crate::assessment).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actor::Actor;
use crate::assessment::Window;
use crate::calendar::OnClose;
use crate::catalog::Gating;
use crate::course::Course;
use crate::document::{self, Document, Problem};
use crate::facts::material::Material;
use crate::facts::paths::Paths;
use crate::id::{ChangeId, Digest};
use crate::rollout::{PartProblem, Plan, PlanFile};
use crate::schedule::When;
use crate::secret::Finding;
use crate::time::Span;
use crate::verification::{Beside, Sli, SliRef, Verify, VerifyFile};

/// What sort of thing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Code,
    Config,
    Infrastructure,
    Data,
    Flag,
    Secret,
    Access,
    Network,
    Pipeline,
    Platform,
    Docs,
    Governance,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "code",
            Self::Config => "config",
            Self::Infrastructure => "infrastructure",
            Self::Data => "data",
            Self::Flag => "flag",
            Self::Secret => "secret",
            Self::Access => "access",
            Self::Network => "network",
            Self::Pipeline => "pipeline",
            Self::Platform => "platform",
            Self::Docs => "docs",
            Self::Governance => "governance",
        })
    }
}

/// A change file: one change, as it travels with the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFile {
    /// What the change does, in one line.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Why, for those who decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20_000))]
    pub description: Option<String>,
    /// What sort of thing is changed.
    pub kind: Kind,
    /// The user or group that answers for the change.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// The services that it changes.
    #[schemars(length(min = 1, max = 100))]
    pub services: Vec<String>,
    /// Where: `production`, `staging`, ...
    #[schemars(length(min = 1, max = 100))]
    pub environment: String,
    /// The steps of the rollout.
    pub plan: PlanFile,
    /// How each step is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyFile>,
    /// How it is undone.
    pub rollback: RollbackPlan,
    /// What it is expected to cost and to improve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
    /// Changes that have to be completed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ChangeId>,
    /// When it may begin: `now`, or a time with its zone.
    #[serde(default)]
    pub when: When,
    /// What it does when a freeze begins, or its window ends, while it is under way; the strictest of this and of theirs counts.
    #[serde(default, skip_serializing_if = "OnClose::is_finish_step")]
    pub on_close: OnClose,
    /// The source commit; the CLI fills it in a clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub commit: Option<String>,
    /// What is deployed, pinned by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub artifact: Option<String>,
    /// Where to read more: tickets, documents, pull requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub links: Vec<String>,
    /// Evidence that rules ask for, by its kind: `{test-report: https://..., load-test: docs/load/2026-11.md}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 50))]
    pub evidence: BTreeMap<String, String>,
}

/// How a change is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackPlan {
    /// Whether a failed verdict rolls back by itself.
    #[serde(default = "yes")]
    pub automatic: bool,
    /// The document that people follow when it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

fn yes() -> bool {
    true
}

/// Expected effects, beside which the measured ones are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<Cost>,
    /// The expected effect on an objective, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,
}

/// An amount of money; negative where the change saves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub amount: f64,
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
}

/// What the driver of the plan says of it before anything is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claims {
    /// The canonical names of the resources that the plan acts on; each is a lane.
    pub resources: BTreeSet<String>,
    /// Whether all that the driver does is in the effect digest.
    pub effect: Closure,
    /// Whose hands do it.
    #[serde(default, skip_serializing_if = "Hands::is_driver")]
    pub hands: Hands,
}

/// Who performs the steps of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hands {
    /// The driver, when its turn comes.
    #[default]
    Driver,
    /// A pipeline outside, which asks for the gate, begins, and reports how it ended.
    Pipeline,
}

impl Hands {
    fn is_driver(&self) -> bool {
        *self == Self::Driver
    }
}

/// Whether the effect digest covers everything that a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Closure {
    /// The digest says it all: votes carry over to a commit with the same digest.
    Closed,
    /// The driver runs what the digest can't see: each new commit voids the votes.
    Open,
}

/// A proposal: a change file with every name in it resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub kind: Kind,
    pub owner: String,
    pub services: BTreeSet<String>,
    pub environment: String,
    pub plan: Plan,
    pub verify: Verify,
    pub rollback: RollbackPlan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<ChangeId>,
    #[serde(default)]
    pub when: When,
    #[serde(default, skip_serializing_if = "OnClose::is_finish_step")]
    pub on_close: OnClose,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Evidence by its kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// By which way it goes.
    #[serde(default, skip_serializing_if = "Course::is_regular")]
    pub course: Course,
    /// Whether the gates of its services held changes when it was proposed.
    #[serde(default, skip_serializing_if = "Gating::is_enforced")]
    pub gating: Gating,
    pub claims: Claims,
    /// The digests of the files that the plan names, by their path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// What it is made of, as its sources say; part of the revision. Parts with effect are among `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub material: Option<Material>,
    /// What the scan of its material found, allowed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Finding>,
    /// SHA-256 over the source commit and the change file: what was proposed.
    pub revision_digest: Digest,
    /// SHA-256 over everything that will have effect.
    pub effect_digest: Digest,
}

impl Proposal {
    /// The same proposal, made of this: another revision, and another effect if a part with effect is another.
    #[must_use]
    pub fn made_of(mut self, material: Material, paths: &Paths) -> Self {
        if material.is_empty() {
            return self;
        }
        self.files.extend(material.effects());
        // Over all that was sent: what is cut from the log still makes another revision.
        self.revision_digest =
            Digest::of_value(&serde_json::json!({"revision": self.revision_digest, "material": material}));
        self.material = Some(paths.receive(material));
        self.effect_digest = self.compute_effect_digest();
        self
    }

    /// The effect digest of this proposal's parts.
    ///
    /// The title, the links and the like may change without voiding a vote; the artifact, the plan, the target, the verification, the rollback and
    /// the content of every file named may not.
    pub fn compute_effect_digest(&self) -> Digest {
        let mut parts = serde_json::json!({
            "artifact": self.artifact,
            "environment": self.environment,
            "services": self.services,
            "plan": self.plan,
            "verify": self.verify,
            "rollback": self.rollback,
            "claims": self.claims,
            "files": self.files,
        });
        // Named only where it is not the default, so that digests of before it was known stay what they are.
        if !self.on_close.is_finish_step() {
            parts["on_close"] = serde_json::json!(self.on_close);
        }
        Digest::of_value(&parts)
    }
}

/// What a change file is resolved against: the names that exist. A value, gathered by the shell.
pub trait Surroundings {
    /// The SLI of this name, if the governance directory defines it.
    fn sli(&self, name: &str) -> Option<Sli>;
    /// The names of all SLIs.
    fn sli_names(&self) -> Vec<String>;
    /// The SLIs with an objective of the services that depend on these and are at most so many calls away, each with its service.
    fn downstream(&self, services: &BTreeSet<String>, hops: usize) -> Vec<(String, Sli)>;
    /// What the driver claims for this plan, or what is wrong: pairs of a field below `plan.target` and a sentence.
    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>>;
    /// The names of all drivers.
    fn drivers(&self) -> Vec<String>;
    /// The telemetry sources that an SLI may name.
    fn sources(&self) -> Vec<String>;
    /// What the source of an SLI says against its queries: by default that they have to tell the versions apart.
    fn query_problems(&self, sli: &Sli) -> Vec<PartProblem> {
        sli.undivided()
    }
    /// Whether the gates of these services hold changes: only where all of them are observed do they not.
    fn gating(&self, services: &BTreeSet<String>) -> Gating {
        let _ = services;
        Gating::Enforce
    }
    /// Where a service runs; empty where the catalog does not say.
    fn environments(&self, service: &str) -> Vec<String> {
        let _ = service;
        vec![]
    }
    /// The services that list a resource among their targets; empty where nobody does.
    fn holders(&self, resource: &str) -> Vec<String> {
        let _ = resource;
        vec![]
    }
    /// Whether commands may be run at all.
    fn may_run_commands(&self) -> bool;
    /// Whether this user or group exists.
    fn is_principal(&self, id: &str) -> bool;
    /// Everybody who can own a change.
    fn principals(&self) -> Vec<String>;
}

/// The files that a change file names: their digests, by path. The CLI reads them where the change file lies.
pub type Files = BTreeMap<String, Digest>;

/// Reads a change file and resolves it.
///
/// # Errors
/// Every problem at once, in the order of the file, each with its place and a hint.
pub fn read(text: &str, files: &Files, around: &dyn Surroundings) -> Result<Proposal, Vec<Problem>> {
    let document = Document::from_yaml(text)?;
    let file: ChangeFile = document.read()?;
    let mut check = Check { document: &document, problems: Vec::new() };
    let plan = check.plan(&file, around);
    let verify = check.verify(&file, around);
    check.owner(&file, around);
    check.environment(&file, around);
    let claims = around.claims(&plan).unwrap_or_else(|errors| {
        for (field, message) in errors {
            check.say(&format!("/plan/target{field}"), message, None);
        }
        Claims { resources: BTreeSet::new(), effect: Closure::Open, hands: Hands::Driver }
    });
    check.target(&file, &claims, around);
    check.problems.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let services: BTreeSet<String> = file.services.into_iter().collect();
    let revision_digest = Digest::of_value(&serde_json::json!({"commit": file.commit, "file": text}));
    let mut proposal = Proposal {
        title: file.title,
        description: file.description,
        kind: file.kind,
        owner: file.owner,
        environment: file.environment,
        plan,
        verify,
        rollback: file.rollback,
        effects: file.effects,
        after: file.after.into_iter().collect(),
        when: file.when,
        on_close: file.on_close,
        commit: file.commit,
        artifact: file.artifact,
        links: file.links,
        evidence: file.evidence,
        course: Course::Regular,
        gating: around.gating(&services),
        services,
        claims,
        files: files.clone(),
        material: None,
        secrets: vec![],
        revision_digest,
        effect_digest: revision_digest,
    };
    proposal.effect_digest = proposal.compute_effect_digest();
    Ok(proposal)
}

/// The paths of the files that a change file names: scripts it runs and the runbook.
pub fn named_files(text: &str) -> Vec<String> {
    let Ok(document) = Document::from_yaml(text) else { return vec![] };
    let Ok(file) = document.read::<ChangeFile>() else { return vec![] };
    let verify = file.verify.unwrap_or_default().resolve(vec![]);
    let commands = verify.command_lines();
    let target = file.plan.target.options.values().filter_map(serde_json::Value::as_str);
    let scripts =
        commands.chain(target).filter_map(|run| run.split_whitespace().next()).filter(|word| word.starts_with("./"));
    let mut named: Vec<String> = scripts.chain(file.rollback.runbook.as_deref()).map(str::to_owned).collect();
    named.sort();
    named.dedup();
    named
}

struct Check<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn say(&mut self, pointer: &str, message: impl Into<String>, help: Option<String>) {
        self.problems.push(self.document.problem(pointer, message, help));
    }

    // The environment decides what is asked of a change, so it is one in which its services run.
    fn environment(&mut self, file: &ChangeFile, around: &dyn Surroundings) {
        for service in &file.services {
            let known = around.environments(service);
            if known.is_empty() || known.contains(&file.environment) {
                continue;
            }
            let near = document::nearest(&file.environment, known.iter().map(String::as_str));
            let help = near.map(|name| format!("did you mean `{name}`?"));
            let runs_in = document::all(known.iter().map(String::as_str));
            let message = format!("`{service}` does not run in `{}`: the catalog names {runs_in}", file.environment);
            self.say("/environment", message, help);
        }
    }

    // Rights and votes go by the services that a change names, so what it acts on is one of theirs.
    fn target(&mut self, file: &ChangeFile, claims: &Claims, around: &dyn Surroundings) {
        for resource in &claims.resources {
            let holders = around.holders(resource);
            if holders.is_empty() || holders.iter().any(|holder| file.services.contains(holder)) {
                continue;
            }
            let whose = document::all(holders.iter().map(String::as_str));
            let message = format!("it acts on `{resource}`, which the catalog lists as a target of {whose}");
            let one = document::list(holders.iter().map(String::as_str));
            let help = format!("name {one} in `services`, so that who answers for it is asked");
            self.say("/plan/target", message, Some(help));
        }
    }

    fn plan(&mut self, file: &ChangeFile, around: &dyn Surroundings) -> Plan {
        let driver = &file.plan.target.driver;
        let drivers = around.drivers();
        if !drivers.contains(driver) {
            let near =
                document::nearest(driver, drivers.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`? "));
            let help = format!(
                "{}this server has {}",
                near.unwrap_or_default(),
                document::list(drivers.iter().map(String::as_str))
            );
            self.say("/plan/target/driver", format!("there is no driver `{driver}`"), Some(help));
        }
        let (plan, problems) = file.plan.resolve();
        for (pointer, message, help) in problems {
            self.say(&format!("/plan{pointer}"), message, help);
        }
        plan
    }

    fn verify(&mut self, file: &ChangeFile, around: &dyn Surroundings) -> Verify {
        let given = file.verify.clone().unwrap_or_default();
        let mut slis: Vec<Sli> = Vec::new();
        for (i, reference) in given.slis.iter().enumerate() {
            let sli = match reference {
                SliRef::Inline(sli) => Some((**sli).clone()),
                SliRef::Name(name) => around.sli(name).or_else(|| {
                    let known = around.sli_names();
                    let help = document::nearest(name, known.iter().map(String::as_str))
                        .map(|near| format!("did you mean `{near}`?"));
                    let help = help.unwrap_or_else(|| {
                        "define it in `slis.yaml` of the governance directory, or here in place of its name".into()
                    });
                    self.say(&format!("/verify/slis/{i}"), format!("there is no SLI `{name}`"), Some(help));
                    None
                }),
            };
            let Some(sli) = sli else { continue };
            let found = sli.problems(&around.sources()).into_iter().chain(around.query_problems(&sli));
            for (pointer, message, help) in found {
                self.say(&format!("/verify/slis/{i}{pointer}"), message, help);
            }
            if slis.iter().any(|other| other.name == sli.name) {
                self.say(&format!("/verify/slis/{i}"), format!("the SLI `{}` is listed twice", sli.name), None);
            }
            slis.push(sli);
        }
        if !given.commands.is_empty() && !around.may_run_commands() {
            let help = "ask the operator to set `[commands] allow = true` in clearway.toml".to_owned();
            self.say("/verify/commands", "this server does not run commands", Some(help));
        }
        for i in (0..given.checks.len()).filter(|i| given.checks[*i].command.is_some() && !around.may_run_commands()) {
            let help = "ask the operator to set `[commands] allow = true` in clearway.toml".to_owned();
            self.say(&format!("/verify/checks/{i}/command"), "this server does not run commands", Some(help));
        }
        let mut verify = given.resolve(slis);
        let services: BTreeSet<String> = file.services.iter().cloned().collect();
        let beside = around.downstream(&services, usize::from(verify.downstream)).into_iter();
        let beside = beside.filter_map(|(service, sli)| Some(Beside { service, sli: sli.of_all_versions()? }));
        verify.beside = beside.take(MOST_BESIDE).collect();
        for (pointer, message, help) in verify.problems(&file.plan.steps_or_default()) {
            self.say(&format!("/verify{pointer}"), message, help);
        }
        verify
    }

    fn owner(&mut self, file: &ChangeFile, around: &dyn Surroundings) {
        if !around.is_principal(&file.owner) {
            let known = around.principals();
            let near = document::nearest(&file.owner, known.iter().map(String::as_str))
                .map(|n| format!("did you mean `{n}`?"));
            let help = near.unwrap_or_else(|| {
                format!(
                    "owners are users and groups of access.yaml: {}",
                    document::list(known.iter().take(12).map(String::as_str))
                )
            });
            self.say("/owner", format!("there is no user or group `{}`", file.owner), Some(help));
        }
    }
}

/// A change was proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposed {
    /// Unique anywhere: a version 7 UUID.
    pub uid: Uuid,
    pub author: Actor,
    pub proposal: Proposal,
}

/// How votes fare when a change is amended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Carry {
    /// The effect is the same, and the digest covers all of it.
    Kept,
    /// The effect is another, or the digest can't cover all of it, or a window is required and the planned time is another.
    Void,
}

/// Whether votes for `old` count for `new`: only if the effect is the same, either the commit is too or the driver's effect is closed, and, where a
/// window is required, the planned time is the one that the voters have seen.
pub fn carry(old: &Proposal, new: &Proposal, window: Window) -> Carry {
    let same_effect = old.effect_digest == new.effect_digest;
    let covered = old.commit == new.commit || new.claims.effect == Closure::Closed;
    let in_time = old.when == new.when || window == Window::Free;
    if same_effect && covered && in_time { Carry::Kept } else { Carry::Void }
}

/// The most SLIs of services downstream that are watched.
const MOST_BESIDE: usize = 50;

/// The default length of a watch after the last step.
pub const DEFAULT_WATCH: Span = Span::secs(300);
