//! What policy sees of a material: its figures in a form that rules like.
//!
//! Every unknown stands on the heavier side: a type that nobody knows is of every class, a file that was not sent may be anything, a statement that
//! can't be read may do everything. Chooses no points and denies nothing; that is policy's. The lists behind the figures are in
//! [`material`](super::material).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::material::{
    Class, Committer, Manifests, Mark, Material, Migrations, Origin, Tests, committers, names_all_committers,
};
use super::paths::{PathMark, Paths, heavier, weight};
use crate::actor::Access;
use crate::proposal::Kind;

/// What a change is made of, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// Where each part came from.
    pub from: Vec<Origin>,
    /// The files of the git range; absent where no range was given.
    pub files: Option<FilesSeen>,
    /// Every kind that its files and other parts touch, by the path rules of this server.
    pub kinds: BTreeSet<Kind>,
    /// The heaviest of them; absent where nothing says.
    pub heaviest: Option<Kind>,
    /// Whether the change declares a lighter kind than it touches, or may touch.
    pub kind_understated: bool,
    /// Whether every file of a range is known to be a document, and nothing else is touched.
    pub only_docs: bool,
    pub tests: TestsSeen,
    /// The Terraform or OpenTofu plan, if one was given.
    pub plan: Option<PlanSeen>,
    pub migrations: Option<MigrationsSeen>,
    pub manifests: Option<ManifestsSeen>,
    pub commits: Option<CommitsSeen>,
}

/// Files of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesSeen {
    pub count: u32,
    pub added: u64,
    pub removed: u64,
    /// Added and removed together.
    pub lines: u64,
    /// How many files of each kind; those that only test are left out.
    pub kinds: BTreeMap<Kind, u32>,
    /// One path of each kind.
    pub examples: BTreeMap<Kind, String>,
    pub tests: u32,
    pub generated: u32,
    pub vendored: u32,
    /// Files without lines.
    pub binary: u32,
    pub symlinks: u32,
    pub submodules: u32,
    /// Files whose mode changes.
    pub modes: u32,
    /// Files of which only the number is known, because there were too many.
    pub unlisted: u32,
}

/// Results of tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestsSeen {
    pub present: bool,
    /// At least one passed, none failed or broke off.
    pub green: bool,
    pub passed: u32,
    pub failed: u32,
    pub errors: u32,
    pub skipped: u32,
    pub flaky: u32,
    pub duration_s: f64,
    /// Some of those that failed.
    pub failures: Vec<String>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSeen {
    pub creates: u32,
    pub updates: u32,
    pub deletes: u32,
    pub replaces: u32,
    pub forgets: u32,
    /// Resources that are really changed: created, updated, deleted, replaced, forgotten, or something unknown.
    pub changes: u32,
    /// Changed resources that say who may do what. In this and the next three, a type that is not known counts.
    pub iam: u32,
    pub network: u32,
    pub encryption: u32,
    pub stateful: u32,
    /// The types that are not known.
    pub unknown_types: BTreeSet<String>,
    /// Stateful or unknown resources that are deleted or replaced.
    pub lost: u32,
    pub drifted: u32,
    /// Whether the program says that it is whole and without errors.
    pub complete: bool,
}

/// Migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationsSeen {
    pub files: u32,
    pub statements: u32,
    pub locking: u32,
    pub data_loss: u32,
    pub irreversible: u32,
    pub slow: u32,
    pub unparsable: u32,
    /// Where some of the irreversible ones are.
    pub places: Vec<String>,
}

/// Manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestsSeen {
    pub created: u32,
    pub changed: u32,
    pub removed: u32,
    pub rbac: u32,
    pub network: u32,
    pub secrets: u32,
    pub stateful: u32,
    pub crds: u32,
    pub unknown_kinds: u32,
    pub images: u32,
    /// New images that are named by a tag, which can be moved.
    pub unpinned_images: u32,
    /// Objects whose number of replicas changes.
    pub replicas: u32,
    /// Stateful objects and definitions that are removed.
    pub lost: u32,
}

/// Commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitsSeen {
    pub count: u32,
    /// Those without a valid signature.
    pub unsigned: u32,
    /// The users of access.yaml who wrote or committed one of them.
    pub users: BTreeSet<String>,
    /// E-mail addresses that belong to no user.
    pub unknown: BTreeSet<String>,
    /// Whether everybody is known; not where somebody is a stranger, or where there are too many to name.
    pub all_named: bool,
}

/// Whether a change can be taken back, as far as its material says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reversible {
    pub answer: Answer,
    /// Why it can't be, or why nobody knows.
    pub reasons: Vec<String>,
}

/// An answer that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Yes,
    No,
    Unknown,
}

/// The most examples of anything.
const MOST_EXAMPLES: usize = 10;

impl Seen {
    /// What policy sees of a material under these path rules, of a change that declares this kind.
    pub fn of(material: &Material, declared: Kind, paths: &Paths, access: &Access) -> Self {
        let files = files(material, paths);
        let kinds: BTreeSet<Kind> =
            files.iter().flat_map(|f| f.kinds.keys().copied()).chain(kinds_beside(material)).collect();
        let heaviest = kinds.iter().copied().reduce(heavier);
        let unlisted = files.as_ref().is_some_and(|f| f.unlisted > 0);
        let understated =
            heaviest.is_some_and(|h| weight(h) > weight(declared)) || (unlisted && declared != Kind::Access);
        let tests = material.tests.as_ref().map(tests).unwrap_or_default();
        let only_docs = heaviest == Some(Kind::Docs) && !unlisted && files.as_ref().is_some_and(|f| f.tests == 0);
        Self {
            from: origins(material),
            files,
            heaviest,
            kind_understated: understated,
            only_docs,
            kinds,
            tests,
            plan: plan(material),
            migrations: material.migrations.as_ref().map(migrations),
            manifests: material.manifests.as_ref().map(manifests),
            commits: commits(material, access),
        }
    }
}

impl Reversible {
    /// What the material says of the way back.
    pub fn of(material: Option<&Material>) -> Self {
        let Some(material) = material else {
            return Self { answer: Answer::Unknown, reasons: vec!["nothing says what the change is made of".into()] };
        };
        let lost = lost(material);
        if !lost.is_empty() {
            return Self { answer: Answer::No, reasons: lost };
        }
        let unread = unread(material);
        let answer = if unread.is_empty() { Answer::Yes } else { Answer::Unknown };
        Self { answer, reasons: unread }
    }
}

/// What can't be taken back, in sentences.
fn lost(material: &Material) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(migrations) = material.migrations.as_ref().filter(|m| m.irreversible > 0) {
        let places = places(migrations).join(", ");
        reasons.push(format!("statements of migrations that nothing undoes: {} ({places})", migrations.irreversible));
    }
    if let Some(plan) = material.plan.as_ref().filter(|p| p.lost > 0) {
        reasons.push(format!("stateful or unknown resources that the plan deletes or replaces: {}", plan.lost));
    }
    if let Some(manifests) = material.manifests.as_ref().filter(|m| m.lost > 0) {
        reasons.push(format!("stateful objects or definitions that are removed: {}", manifests.lost));
    }
    reasons
}

/// What would have to be read before anybody could say.
fn unread(material: &Material) -> Vec<String> {
    let tally = material.tally.as_ref();
    let touches = |kind| tally.is_some_and(|t| t.kinds.contains_key(&kind));
    let mut reasons = Vec::new();
    if touches(Kind::Data) && material.migrations.is_none() {
        reasons.push("it touches files of kind `data` and gives no migrations to read".to_owned());
    }
    if touches(Kind::Infrastructure) && material.plan.is_none() {
        reasons.push("it touches files of kind `infrastructure` and gives no plan".to_owned());
    }
    if tally.is_some_and(|t| t.unlisted > 0) {
        reasons.push("not all of its files are listed".to_owned());
    }
    reasons
}

fn origins(material: &Material) -> Vec<Origin> {
    let range = material.range.iter().map(|r| &r.from);
    let plan = material.plan.iter().map(|p| &p.from);
    let manifests = material.manifests.iter().flat_map(|m| m.before.iter().chain(&m.after));
    let migrations = material.migrations.iter().flat_map(|m| &m.from);
    let tests = material.tests.iter().flat_map(|t| &t.from);
    let cost = material.cost.iter().map(|c| &c.from);
    range.chain(plan).chain(manifests).chain(migrations).chain(tests).chain(cost).cloned().collect()
}

fn files(material: &Material, paths: &Paths) -> Option<FilesSeen> {
    let (range, tally) = (material.range.as_ref()?, paths.tally_of(material)?);
    let marked = |mark| tally.marks.get(&mark).copied().unwrap_or(0);
    Some(FilesSeen {
        count: range.files.total,
        added: range.added,
        removed: range.removed,
        lines: range.added.saturating_add(range.removed),
        tests: marked(PathMark::Test),
        generated: marked(PathMark::Generated),
        vendored: marked(PathMark::Vendored),
        kinds: tally.kinds,
        examples: tally.examples,
        binary: tally.binary,
        symlinks: tally.symlinks,
        submodules: tally.submodules,
        modes: tally.modes,
        unlisted: tally.unlisted,
    })
}

/// The kinds that the other parts touch, whatever their files are called.
fn kinds_beside(material: &Material) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    let mut touch = |found: bool, kind| {
        if found {
            kinds.insert(kind);
        }
    };
    if let Some(plan) = plan(material) {
        touch(true, Kind::Infrastructure);
        touch(plan.iam > 0, Kind::Access);
        touch(plan.network > 0, Kind::Network);
        touch(plan.encryption > 0, Kind::Secret);
        touch(plan.stateful > 0, Kind::Data);
    }
    if let Some(manifests) = material.manifests.as_ref().map(manifests) {
        touch(manifests.created + manifests.changed + manifests.removed > 0, Kind::Config);
        touch(manifests.rbac > 0, Kind::Access);
        touch(manifests.network > 0, Kind::Network);
        touch(manifests.secrets > 0, Kind::Secret);
        touch(manifests.stateful > 0, Kind::Data);
        touch(manifests.crds + manifests.unknown_kinds > 0, Kind::Platform);
    }
    touch(material.migrations.is_some(), Kind::Data);
    kinds
}

fn tests(tests: &Tests) -> TestsSeen {
    TestsSeen {
        present: true,
        green: tests.is_green(),
        passed: tests.passed,
        failed: tests.failed,
        errors: tests.errors,
        skipped: tests.skipped,
        flaky: tests.flaky,
        duration_s: tests.duration_s,
        failures: tests.failures.list.iter().take(MOST_EXAMPLES).cloned().collect(),
    }
}

fn plan(material: &Material) -> Option<PlanSeen> {
    let plan = material.plan.as_ref()?;
    let class = |class| plan.classes.get(&class).copied().unwrap_or(0);
    let a = plan.actions;
    Some(PlanSeen {
        creates: a.create,
        updates: a.update,
        deletes: a.delete,
        replaces: a.replace,
        forgets: a.forget,
        changes: [a.create, a.update, a.delete, a.replace, a.forget, a.other].into_iter().fold(0, u32::saturating_add),
        iam: class(Class::Iam),
        network: class(Class::Network),
        encryption: class(Class::Encryption),
        stateful: class(Class::Stateful),
        unknown_types: plan.unknown_types.clone(),
        lost: plan.lost,
        drifted: plan.drifted,
        complete: plan.is_complete,
    })
}

fn places(migrations: &Migrations) -> Vec<String> {
    let irreversible = |s: &&super::material::Statement| s.risks.contains(&super::material::Hazard::Irreversible);
    migrations
        .risky
        .list
        .iter()
        .filter(irreversible)
        .take(MOST_EXAMPLES)
        .map(|s| format!("{}: {}", s.place, s.what))
        .collect()
}

fn migrations(migrations: &Migrations) -> MigrationsSeen {
    MigrationsSeen {
        files: migrations.files,
        statements: migrations.statements,
        locking: migrations.locking,
        data_loss: migrations.data_loss,
        irreversible: migrations.irreversible,
        slow: migrations.slow,
        unparsable: migrations.unparsable,
        places: places(migrations),
    }
}

fn manifests(manifests: &Manifests) -> ManifestsSeen {
    let marked = |mark| manifests.marks.get(&mark).copied().unwrap_or(0);
    ManifestsSeen {
        created: manifests.created,
        changed: manifests.changed,
        removed: manifests.removed,
        rbac: marked(Mark::Rbac),
        network: marked(Mark::Network),
        secrets: marked(Mark::Secret),
        stateful: marked(Mark::Stateful),
        crds: marked(Mark::Crd),
        unknown_kinds: marked(Mark::UnknownKind),
        images: manifests.images,
        unpinned_images: manifests.unpinned_images,
        replicas: manifests.replicas,
        lost: manifests.lost,
    }
}

fn commits(material: &Material, access: &Access) -> Option<CommitsSeen> {
    let range = material.range.as_ref()?;
    let (mut users, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for person in &committers(material) {
        match access.user_of_commit(person) {
            Some(user) => users.insert(user.to_owned()),
            None => unknown.insert(person.email.clone()),
        };
    }
    let all_named = unknown.is_empty() && names_all_committers(material);
    Some(CommitsSeen { count: range.commits.total, unsigned: range.unsigned, users, unknown, all_named })
}

impl Access {
    /// The user behind a commit: by the key of its signature if that is known, otherwise by e-mail address, which anybody can write into a commit.
    pub fn user_of_commit(&self, committer: &Committer) -> Option<&str> {
        let signed = |user: &&crate::actor::User| {
            committer.key.as_ref().is_some_and(|key| user.keys.iter().any(|own| is_key(own, key)))
        };
        let wrote =
            |user: &&crate::actor::User| user.emails.iter().any(|own| own.eq_ignore_ascii_case(&committer.email));
        self.users.iter().find(signed).or_else(|| self.users.iter().find(wrote)).map(|user| user.id.as_str())
    }
}

/// Whether a key of access.yaml has this fingerprint: an SSH public key by its SHA-256, any other by its own name.
fn is_key(own: &str, fingerprint: &str) -> bool {
    let mut words = own
        .split_whitespace()
        .skip_while(|word| !(word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-")));
    match words.nth(1).and_then(|blob| STANDARD.decode(blob).ok()) {
        Some(blob) => {
            let digest = crate::id::Digest::of_bytes(&blob);
            fingerprint == format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_bytes()))
        }
        None => own.split_whitespace().collect::<String>().eq_ignore_ascii_case(fingerprint),
    }
}

#[cfg(test)]
mod tests;
