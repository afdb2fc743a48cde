//! Material: what a change is made of, as its sources say.
//!
//! The files and commits of a git range, a Terraform plan, manifests, migrations, test results, a cost. Whoever proposes reads it where it lies and
//! sends it along, so it is a statement by the proposer, each part with where it came from; which kinds it touches is the server's to say, in
//! [`paths`](super::paths) and [`seen`](super::seen). It must never hold a value of an attribute, a secret or a line of code: only names and counts.
//! Lists are cut at stated lengths and keep their full totals, so that a material always fits into one entry of the log.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paths::Tally;
use crate::id::{self, Digest};

/// The most bytes that the material of one change takes in the log, as canonical JSON: an entry has 65,535, and the proposal needs its share.
pub const MOST_BYTES: usize = 24_000;
/// The most characters that are kept of one name.
pub const MOST_CHARS: usize = 300;
/// The most items that a list has when it is sent; the totals go on counting.
pub const MOST_SENT: usize = 3_000;
/// The most items that a list keeps in the log, before the size of the whole cuts further.
pub const MOST_KEPT: usize = 200;

/// What a change is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// A range of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// A Terraform or OpenTofu plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<InfrastructurePlan>,
    /// Kubernetes manifests, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Manifests>,
    /// SQL migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Results of tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Tests>,
    /// What it will cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostDelta>,
    /// What the path rules of the server said of the whole list of files when the change was proposed; only the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
}

/// Where a fact came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The tool or the format that was read: `git`, `terraform`, `kubernetes`, `sql`, `junit`, `infracost`.
    pub tool: String,
    /// The file, folder or range.
    pub name: String,
    /// The digest of what was read, where it is one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Origin {
    /// A file of which these are the bytes.
    pub fn of_bytes(tool: &str, name: &str, bytes: &[u8]) -> Self {
        Self { tool: tool.into(), name: shortened(name), digest: Some(Digest::of_bytes(bytes)) }
    }
}

/// A list that may have been cut, with how long it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listed<T> {
    /// How many there are in all.
    pub total: u32,
    /// The first of them, or the heaviest.
    pub list: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, list: vec![] }
    }
}

impl<T> Listed<T> {
    /// All of a list, up to the most that is sent.
    pub fn of(mut list: Vec<T>) -> Self {
        let total = count(list.len());
        list.truncate(MOST_SENT);
        Self { total, list }
    }

    /// Adds one, which is counted even if there is no room for it.
    pub fn push(&mut self, item: T) {
        self.total = self.total.saturating_add(1);
        if self.list.len() < MOST_SENT {
            self.list.push(item);
        }
    }

    /// Whether nothing was cut.
    pub fn is_whole(&self) -> bool {
        self.total as usize == self.list.len()
    }

    fn cut(&mut self, most: usize) {
        // A total below the length would be a lie that hides items.
        self.total = self.total.max(count(self.list.len()));
        self.list.truncate(most);
    }
}

pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A range of commits, and what it does to files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub from: Origin,
    /// The commit that the range starts from, not part of it.
    pub base: String,
    /// The commit that it ends with.
    pub head: String,
    /// Where both lines of history meet: files are compared with this.
    pub merge_base: String,
    /// Lines added in all files together; binary files have none.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    pub files: Listed<FileChange>,
    pub commits: Listed<Commit>,
    /// Everybody who wrote or committed one of the commits; of all of them, not only of those listed.
    pub people: Listed<Committer>,
    /// Commits without a signature that was found valid.
    pub unsigned: u32,
}

/// What happens to one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileChange {
    pub path: String,
    /// Where it was before, if it was renamed or copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    pub how: How,
    #[serde(default, skip_serializing_if = "Form::is_text")]
    pub form: Form,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub added: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub removed: u32,
    /// The mode before and after, where it changes: `100644 100755`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    Added,
    Modified,
    Deleted,
    Renamed,
    Copied,
    /// It became something else: a file a link, say.
    Retyped,
}

/// What a path holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    #[default]
    Text,
    Binary,
    Symlink,
    Submodule,
}

impl Form {
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// One commit, without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    pub id: String,
    /// The e-mail address of its author.
    pub author: String,
    /// The e-mail address of its committer.
    pub committer: String,
    pub signature: Signature,
    /// The fingerprint of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What git says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    None,
    /// It fits the commit; whose key it is, access.yaml says.
    Valid,
    /// It does not fit.
    Bad,
    /// The key or the signature has expired or was revoked.
    Expired,
    /// It could not be checked: the key is not here.
    Unchecked,
}

/// Somebody who had a hand in a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Committer {
    pub name: String,
    pub email: String,
    /// The fingerprint of the key of a valid signature, for whoever signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A Terraform or OpenTofu plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfrastructurePlan {
    pub from: Origin,
    /// The version of the program that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether the program says that the plan is complete and free of errors.
    pub is_complete: bool,
    pub actions: Actions,
    /// How many resources of each class are really changed.
    pub classes: BTreeMap<Class, u32>,
    /// Types that the tables here do not know: each of their resources counts as being of every class.
    pub unknown_types: BTreeSet<String>,
    /// Stateful or unknown resources that are deleted or replaced: what they hold is gone.
    pub lost: u32,
    /// Resources that were changed outside of Terraform since the last run.
    pub drifted: u32,
    /// The resources that are really changed, the heaviest first.
    pub resources: Listed<Resource>,
}

/// How many resources meet which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Actions {
    pub create: u32,
    pub update: u32,
    pub delete: u32,
    /// Deleted and created, in either order.
    pub replace: u32,
    pub read: u32,
    pub no_op: u32,
    /// Taken out of the state and left alone.
    pub forget: u32,
    /// An action that is not known here.
    pub other: u32,
}

/// What a resource is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Who may do what.
    Iam,
    Network,
    /// Keys, certificates and what is encrypted with them.
    Encryption,
    /// It holds data: a database, a volume, a bucket, a queue.
    Stateful,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Iam, Self::Network, Self::Encryption, Self::Stateful];
}

/// One resource of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    pub address: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub action: Action,
    /// What it is about; every class for a type that is not known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<Class>,
    /// The names of its attributes that change, without a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
}

/// What a plan does to a resource; the heaviest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    NoOp,
    Read,
    Create,
    Update,
    Forget,
    Replace,
    Delete,
    Other,
}

/// Kubernetes manifests, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifests {
    /// The side before: one file, or a folder with the digest over all of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Origin>,
    /// The side after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Origin>,
    pub created: u32,
    pub changed: u32,
    pub removed: u32,
    /// How many objects bear each mark.
    pub marks: BTreeMap<Mark, u32>,
    /// Stateful objects, volumes and resource definitions that are removed: what they hold goes with them.
    pub lost: u32,
    /// Containers with another image.
    pub images: u32,
    /// Those of them whose new image is named by a tag.
    pub unpinned_images: u32,
    /// Objects whose number of replicas changes.
    pub replicas: u32,
    pub objects: Listed<ObjectChange>,
}

/// What an object of a cluster is about, where that needs care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    Rbac,
    Network,
    Secret,
    Stateful,
    /// A definition of a kind of resource, or what intercepts the API of the cluster.
    Crd,
    /// A kind that is not known here.
    UnknownKind,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectChange {
    /// `Deployment shop/checkout`.
    pub object: String,
    pub how: How,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub marks: BTreeSet<Mark>,
    /// Where both sides differ, without a value: `spec.template.spec.containers[0].image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageChange>,
    /// Replicas before and after, where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
}

/// Another image in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageChange {
    pub container: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether the new one is named by its digest; a tag can be moved.
    pub is_pinned: bool,
}

/// How many copies run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replicas {
    pub before: Option<i64>,
    pub after: Option<i64>,
}

/// SQL migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrations {
    pub from: Vec<Origin>,
    /// How many files were read.
    pub files: u32,
    pub statements: u32,
    /// Statements that hold off others for as long as they take.
    pub locking: u32,
    /// Statements that destroy data.
    pub data_loss: u32,
    /// Statements that nothing undoes: neither their kind nor a file that leads back.
    pub irreversible: u32,
    /// Statements that take longer the larger the table is.
    pub slow: u32,
    /// Statements that can't be read; each counts as all of the above.
    pub unparsable: u32,
    /// The statements with one of these marks.
    pub risky: Listed<Statement>,
}

/// One statement of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `migrations/0042_drop_name.sql:3`.
    pub place: String,
    /// What sort of statement it is, in words, without its text.
    pub what: String,
    pub risks: BTreeSet<Hazard>,
}

/// What makes a statement risky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    Locking,
    DataLoss,
    Irreversible,
    Slow,
    Unparsable,
}

/// Results of tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    pub from: Vec<Origin>,
    pub passed: u32,
    pub failed: u32,
    /// Those that broke off rather than failed.
    pub errors: u32,
    pub skipped: u32,
    /// Those that failed at first and passed when tried again.
    pub flaky: u32,
    /// All of them together, in seconds.
    pub duration_s: f64,
    /// When the first of them began, as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The names of those that failed or broke off.
    pub failures: Listed<String>,
}

impl Tests {
    /// Whether at least one was run, and none failed or broke off.
    pub fn is_green(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.errors == 0 && self.failures.total == 0
    }
}

/// A difference in cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostDelta {
    pub from: Origin,
    /// What a month costs more than before; negative where it saves.
    pub per_month: f64,
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
}

impl Material {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The digests of the parts that have effect, by what they are: they belong into the effect digest.
    ///
    /// One digest for each, over contents and not over the names of files, which differ from one clone to another.
    pub fn effects(&self) -> BTreeMap<String, Digest> {
        let plan = self.plan.as_ref().and_then(|p| p.from.digest);
        let manifests = self.manifests.as_ref().and_then(|m| m.after.as_ref()?.digest);
        let migrations = self.migrations.as_ref().map(|m| {
            let digests: Vec<Option<Digest>> = m.from.iter().map(|from| from.digest).collect();
            Digest::of_value(&digests)
        });
        let each = [("material:plan", plan), ("material:manifests", manifests), ("material:migrations", migrations)];
        each.into_iter().filter_map(|(name, digest)| Some((name.to_owned(), digest?))).collect()
    }

    /// Cuts lists and names until the whole fits into its share of an entry. The totals stay.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        self.shorten();
        let mut most = MOST_KEPT;
        loop {
            self.cut(most);
            if most == 0 || self.size() <= MOST_BYTES {
                return self;
            }
            most = if most < 4 { 0 } else { most / 2 };
        }
    }

    fn size(&self) -> usize {
        serde_json::to_value(self).map_or(usize::MAX, |value| id::canonical(&value).len())
    }

    fn cut(&mut self, most: usize) {
        if let Some(range) = &mut self.range {
            range.files.cut(most);
            range.commits.cut(most);
            range.people.cut(most);
        }
        if let Some(plan) = &mut self.plan {
            plan.resources.cut(most);
            while plan.unknown_types.len() > most.max(1) {
                plan.unknown_types.pop_last();
            }
        }
        if let Some(manifests) = &mut self.manifests {
            manifests.objects.cut(most);
        }
        if let Some(migrations) = &mut self.migrations {
            migrations.risky.cut(most);
            migrations.from.truncate(most.max(1));
        }
        if let Some(tests) = &mut self.tests {
            tests.failures.cut(most);
            tests.from.truncate(most.max(1));
        }
    }

    fn shorten(&mut self) {
        self.each_name(&mut |name| {
            if name.len() > MOST_CHARS {
                *name = shortened(name);
            }
        });
    }

    /// Every text that a source could have made long.
    fn each_name(&mut self, tell: &mut dyn FnMut(&mut String)) {
        if let Some(range) = &mut self.range {
            [&mut range.from.name, &mut range.base, &mut range.head, &mut range.merge_base]
                .into_iter()
                .for_each(&mut *tell);
            for file in &mut range.files.list {
                tell(&mut file.path);
                file.was.iter_mut().chain(&mut file.mode).for_each(&mut *tell);
            }
            for commit in &mut range.commits.list {
                [&mut commit.id, &mut commit.author, &mut commit.committer].into_iter().for_each(&mut *tell);
                commit.key.iter_mut().for_each(&mut *tell);
            }
            for person in &mut range.people.list {
                [&mut person.name, &mut person.email].into_iter().for_each(&mut *tell);
                person.key.iter_mut().for_each(&mut *tell);
            }
        }
        if let Some(plan) = &mut self.plan {
            tell(&mut plan.from.name);
            plan.version.iter_mut().for_each(&mut *tell);
            for resource in &mut plan.resources.list {
                resource.attributes.truncate(20);
                [&mut resource.address, &mut resource.type_name].into_iter().for_each(&mut *tell);
                resource.attributes.iter_mut().for_each(&mut *tell);
            }
            plan.unknown_types = plan.unknown_types.iter().map(|name| shortened(name)).collect();
        }
        if let Some(manifests) = &mut self.manifests {
            manifests.before.iter_mut().chain(&mut manifests.after).for_each(|from| tell(&mut from.name));
            for object in &mut manifests.objects.list {
                object.paths.truncate(20);
                object.images.truncate(20);
                tell(&mut object.object);
                object.paths.iter_mut().for_each(&mut *tell);
                for image in &mut object.images {
                    tell(&mut image.container);
                    image.before.iter_mut().chain(&mut image.after).for_each(&mut *tell);
                }
            }
        }
        if let Some(migrations) = &mut self.migrations {
            migrations.from.iter_mut().for_each(|from| tell(&mut from.name));
            migrations.risky.list.iter_mut().for_each(|s| [&mut s.place, &mut s.what].into_iter().for_each(&mut *tell));
        }
        if let Some(tests) = &mut self.tests {
            tests.from.iter_mut().for_each(|from| tell(&mut from.name));
            tests.failures.list.iter_mut().chain(&mut tests.at).for_each(&mut *tell);
        }
    }
}

/// The people behind the commits of a material. They had a hand in the change, so they are not the ones to approve it.
pub fn committers(material: &Material) -> BTreeSet<Committer> {
    material.range.iter().flat_map(|range| range.people.list.iter().cloned()).collect()
}

/// Whether [`committers`] names everybody: where the list was cut, somebody who is not in it may be one of them.
pub fn names_all_committers(material: &Material) -> bool {
    material.range.as_ref().is_none_or(|range| range.people.is_whole())
}

/// A name without control characters, and with its middle left out where it is too long.
pub fn shortened(name: &str) -> String {
    let clean: Vec<char> = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.len() <= MOST_CHARS {
        return clean.into_iter().collect();
    }
    // A character has up to four bytes, and both ends together stay below the limit.
    let most = MOST_CHARS / 4;
    let (head, tail) = (&clean[..most.min(clean.len()) / 2], &clean[clean.len() - most.min(clean.len()) / 2..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn range_of(files: Vec<FileChange>) -> Range {
        let from = Origin { tool: "git".into(), name: "main..topic".into(), digest: None };
        let id = "4f2c".repeat(10);
        Range {
            from,
            base: id.clone(),
            head: id.clone(),
            merge_base: id,
            added: 0,
            removed: 0,
            files: Listed::of(files),
            commits: Listed::default(),
            people: Listed::default(),
            unsigned: 0,
        }
    }

    fn file(path: String) -> FileChange {
        FileChange { path, was: None, how: How::Modified, form: Form::Text, added: 1, removed: 0, mode: None }
    }

    #[test]
    fn a_material_of_any_size_fits_into_its_share_of_an_entry_and_keeps_its_totals() {
        let files = (0..5_000).map(|i| file(format!("{}/{i}\u{7}", "long/".repeat(200)))).collect();
        let mut material = Material { range: Some(range_of(files)), ..Material::default() };
        let failures = Listed::of((0..5_000).map(|i| format!("test {i} {}", "x".repeat(5_000))).collect());
        material.tests = Some(Tests { failures, ..Tests::default() });
        let fitted = material.fitted();
        assert!(fitted.size() <= MOST_BYTES, "{}", fitted.size());
        let files = &fitted.range.as_ref().expect("a range").files;
        assert_eq!((files.total, files.is_whole()), (5_000, false));
        assert!(!files.list.is_empty() && files.list.iter().all(|f| f.path.len() <= MOST_CHARS));
        assert_eq!(fitted.clone().fitted(), fitted, "once is enough");
    }

    #[test]
    fn a_total_that_is_smaller_than_its_list_is_not_believed() {
        let mut range = range_of(vec![file("a".into()), file("b".into())]);
        range.files.total = 0;
        let fitted = Material { range: Some(range), ..Material::default() }.fitted();
        assert_eq!(fitted.range.map(|r| r.files.total), Some(2));
    }

    #[test]
    fn only_files_with_effect_are_in_the_effect() {
        let from = |tool: &str| Origin::of_bytes(tool, "x", b"x");
        let material = Material {
            migrations: Some(Migrations { from: vec![from("sql")], ..Migrations::default() }),
            tests: Some(Tests { from: vec![from("junit")], ..Tests::default() }),
            ..Material::default()
        };
        assert_eq!(material.effects().into_keys().collect::<Vec<_>>(), ["material:migrations"]);
    }

    #[test]
    fn tests_are_green_only_if_one_was_run_and_none_failed() {
        let run = |passed, failed, errors| Tests { passed, failed, errors, ..Tests::default() }.is_green();
        assert!(run(1, 0, 0));
        assert!(!run(0, 0, 0), "no test is no evidence");
        assert!(!run(9, 1, 0));
        assert!(!run(9, 0, 1));
    }
}
