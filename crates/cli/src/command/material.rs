//! What a change is made of: read where it lies, by the readers of `drivers`, and sent with the proposal.
//!
//! Opens files and folders within bounds and finds the change file of a clone; what the sources mean is the readers' to say, and what it means for the
//! change is the server's. A source that can't be read ends the command: half of the facts would look like all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use change::facts::material::{Hazard, Material, Range};
use drivers::read::git::Clone;
use drivers::read::manifests::{self, Side, is_manifest};
use drivers::read::unread::{MOST_FILE_BYTES, Unread};
use drivers::read::{cost, junit, migration, terraform};
use serde_json::{Value, json};

use super::files::{change_request, folder_of, read_text};
use super::print;
use super::secrets::{self, Sent};
use crate::args::{Args, FactsOf, MaterialOptions};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};

/// Where the change file of a repository lies, if none is named.
const USUAL: [&str; 2] = [".clearway/change.yaml", "clearway.yaml"];
/// The most files of a folder that are read.
const MOST_FILES: usize = 2_000;
/// The most bytes of all files of a folder together.
const MOST_BYTES: usize = 64 << 20;

/// The request that proposes or amends a change: its file, with what it is made of.
///
/// # Errors
/// If a source can't be read, or holds a secret that nobody allows: then nothing is sent.
pub(super) async fn request(client: &Client, file: Option<&Path>, options: &MaterialOptions) -> Outcome<Value> {
    let folder = file.map_or_else(|| Path::new("."), folder_of);
    let clone = Clone::at(folder);
    let range = match &options.git {
        Some(range) => Some(clone.range(range).await.map_err(failure)?),
        None => None,
    };
    let file = match file {
        Some(file) => file.to_owned(),
        None => usual(&clone, range.is_some()).await?,
    };
    let text = read_text(&file)?;
    let ends = range.as_ref().map(|range| (range.merge_base.clone(), range.head.clone()));
    if let Some((_, head)) = &ends {
        check_commit(&text, &file, head)?;
    }
    let mut texts = Texts::default();
    let material = read(&clone, range, options, &mut texts).await?;
    let diff = match &ends {
        Some((merge_base, head)) => Some(clone.added_lines(merge_base, head).await.map_err(failure)?),
        None => None,
    };
    let found = {
        let mut sent = vec![Sent::ChangeFile(&file, &text)];
        sent.extend(diff.as_deref().map(Sent::Diff));
        sent.extend(texts.0.iter().map(|(path, text)| Sent::Material(path, text)));
        secrets::before_sending(client, &sent).await?
    };
    let mut body = change_request(text, &file, ends.map(|(_, head)| head));
    if !found.is_empty() {
        body["secrets"] = json!(found);
    }
    if !material.is_empty() {
        body["material"] = serde_json::to_value(&material).map_err(|e| Failure::new(ERROR, e.to_string()))?;
    }
    Ok(body)
}

/// Shows what policy would see.
pub(super) async fn facts(args: &Args, client: &Client, asked: &FactsOf) -> Outcome {
    let body = request(client, asked.file.as_deref(), &asked.material).await?;
    warn(args, &body);
    let answer = client.post("/facts", &body, None).await?;
    let facts = answer.get("facts").cloned().unwrap_or_default();
    print(args, &answer, || lines(&facts, "").join("\n"));
    Ok(())
}

/// Names what nothing undoes before anything is sent, to people only.
pub(super) fn warn(args: &Args, body: &Value) {
    let material =
        body.get("material").and_then(|m| serde_json::from_value::<Material>(m.clone()).ok()).unwrap_or_default();
    if args.json {
        return;
    }
    if let Some(migrations) = &material.migrations {
        let irreversible = migrations.risky.list.iter().filter(|s| s.risks.contains(&Hazard::Irreversible));
        for statement in irreversible.take(20) {
            super::aside(&format!("not reversible: {}: {}", statement.place, statement.what));
        }
    }
    if let Some(plan) = material.plan.as_ref().filter(|plan| plan.lost > 0) {
        eprintln!(
            "not reversible: the plan deletes or replaces {} resources that hold data, or whose type is not known",
            plan.lost
        );
    }
}

async fn usual(clone: &Clone, with_git: bool) -> Outcome<PathBuf> {
    if !with_git {
        let failure = Failure::new(INVALID, "no change file is named");
        return Err(failure.help("name one, or give `--git base..head` to take the one of the repository"));
    }
    let root =
        clone.root().await.map_err(|unread| failure(unread).help("a bare repository has no change file: name one"))?;
    let found = USUAL.iter().map(|path| root.join(path)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let message = format!("there is no change file in `{}`", root.display());
        Failure::new(INVALID, message)
            .help(format!("write `{}` or `{}` at the root of the repository, or name the file", USUAL[0], USUAL[1]))
    })
}

/// A file that names a commit has to mean the one that the range ends with.
fn check_commit(text: &str, file: &Path, head: &str) -> Outcome {
    let document = change::document::Document::from_yaml(text).ok();
    let named = document.as_ref().and_then(|d| d.value().get("commit")?.as_str());
    match named.filter(|named| named.len() < 7 || !head.starts_with(named)) {
        Some(named) => {
            let message = format!("`{}` names the commit `{named}`, and the range ends with `{head}`", file.display());
            Err(Failure::new(INVALID, message).help("remove `commit` from the file: the range says it"))
        }
        None => Ok(()),
    }
}

/// Everything that was read, to be scanned before facts about it are sent.
#[derive(Default)]
struct Texts(Vec<(PathBuf, String)>);

impl Texts {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.push((PathBuf::from(name), String::from_utf8_lossy(bytes).into_owned()));
    }

    fn add_all(&mut self, files: &Files) {
        files.iter().for_each(|(name, bytes)| self.add(name, bytes));
    }
}

async fn read(clone: &Clone, range: Option<Range>, options: &MaterialOptions, texts: &mut Texts) -> Outcome<Material> {
    let mut material = Material::default();
    if let Some(path) = &options.plan {
        let (name, bytes) = (name_of(path), bytes(path)?);
        texts.add(&name, &bytes);
        material.plan = Some(terraform::plan(&name, &bytes).map_err(failure)?);
    }
    if let Some(path) = &options.cost {
        let (name, bytes) = (name_of(path), bytes(path)?);
        texts.add(&name, &bytes);
        material.cost = Some(cost::delta(&name, &bytes).map_err(failure)?);
    }
    if !options.tests.is_empty() {
        let files = all(&options.tests, &|path| path.ends_with(".xml"))?;
        texts.add_all(&files);
        material.tests = Some(junit::tests(&files).map_err(failure)?);
    }
    if !options.migrations.is_empty() {
        let (files, beside) = migrations(clone, range.as_ref(), &options.migrations).await?;
        texts.add_all(&files);
        material.migrations = Some(migration::migrations(&files, &beside).map_err(failure)?);
    }
    if let Some((before, after)) = sides(clone, range.as_ref(), &options.manifests).await? {
        before.files.iter().chain(&after.files).for_each(|(name, bytes)| texts.add(name, bytes));
        material.manifests = Some(manifests::manifests(&before, &after).map_err(failure)?);
    }
    material.range = range;
    Ok(material)
}

/// Files by the names that people gave them.
type Files = Vec<(String, Vec<u8>)>;

/// The migrations that are run, and the paths of all files beside them.
async fn migrations(clone: &Clone, range: Option<&Range>, paths: &[PathBuf]) -> Outcome<(Files, BTreeSet<String>)> {
    let is_sql = |path: &str| path.ends_with(".sql");
    let Some(range) = range else {
        let files = all(paths, &is_sql)?;
        let folders: Vec<PathBuf> =
            paths.iter().map(|path| if path.is_dir() { path.clone() } else { folder_of(path).to_owned() }).collect();
        let mut beside = BTreeSet::new();
        for folder in &folders {
            beside.extend(listed(folder, &is_sql)?.into_iter().map(|path| name_of(&path)));
        }
        return Ok((files, beside));
    };
    let (mut files, mut beside) = (Files::new(), BTreeSet::new());
    for path in paths {
        let below = in_repository(clone, path).await?;
        let folder = if is_sql(&below) {
            below.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
        } else {
            below.clone()
        };
        let here = if folder.is_empty() { ".".to_owned() } else { folder };
        beside.extend(clone.files(&range.head, &here).await.map_err(failure)?);
        if !range.files.is_whole() {
            return Err(Failure::new(INVALID, "the range has too many files to find its migrations")
                .help("give `--migrations` without `--git`, or a smaller range"));
        }
        let touched =
            range.files.list.iter().map(|file| &file.path).filter(|path| is_sql(path) && is_below(path, &below));
        for path in touched {
            // One that is gone has no statement to run.
            if let Some(bytes) = clone.file(&range.head, path).await.map_err(failure)? {
                files.push((path.clone(), bytes));
            }
        }
    }
    files.sort();
    files.dedup();
    Ok((files, beside))
}

fn is_below(path: &str, folder: &str) -> bool {
    folder == "." || path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Both sides of the manifests: two paths, or one path of the repository at both ends of the range.
async fn sides(clone: &Clone, range: Option<&Range>, paths: &[PathBuf]) -> Outcome<Option<(Side, Side)>> {
    match (paths, range) {
        ([], _) => Ok(None),
        ([before, after], _) => Ok(Some((side(before)?, side(after)?))),
        ([path, ..], Some(range)) => {
            let below = in_repository(clone, path).await?;
            let before = side_of(clone, &range.merge_base, &below).await?;
            Ok(Some((before, side_of(clone, &range.head, &below).await?)))
        }
        ([_, ..], None) => Err(Failure::new(INVALID, "`--manifests` needs both sides")
            .help("give the folder before and the folder after, or `--git base..head`")),
    }
}

fn side(path: &Path) -> Outcome<Side> {
    let files = all(&[path.to_owned()], &is_manifest)?;
    let own = name_of(path);
    let below = |name: String| name.strip_prefix(&format!("{own}/")).map(str::to_owned).unwrap_or(name);
    Ok(Side { name: own.clone(), files: files.into_iter().map(|(name, bytes)| (below(name), bytes)).collect() })
}

async fn side_of(clone: &Clone, commit: &str, below: &str) -> Outcome<Side> {
    let mut files = BTreeMap::new();
    let listed = clone.files(commit, below).await.map_err(failure)?;
    for path in listed.into_iter().filter(|path| is_manifest(path)) {
        if files.len() >= MOST_FILES {
            return Err(too_many(below));
        }
        if let Some(bytes) = clone.file(commit, &path).await.map_err(failure)? {
            files.insert(path, bytes);
        }
    }
    Ok(Side { name: below.to_owned(), files })
}

/// A path as the repository calls it.
async fn in_repository(clone: &Clone, path: &Path) -> Outcome<String> {
    let root = clone.root().await.map_err(failure)?;
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let here = here.map_err(|e| Failure::new(ERROR, format!("the working directory can't be read: {e}")))?;
    let whole = lexical(&here.join(path));
    let inner = whole.strip_prefix(&root).map_or_else(|_| path.to_owned(), Path::to_owned);
    let name = name_of(&inner);
    Ok(if name.is_empty() { ".".into() } else { name })
}

/// A path without `.` and `..`, for one that need not exist.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn name_of(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.strip_prefix("./").unwrap_or(&name).trim_end_matches('/').to_owned()
}

/// The files that are named, and those of the folders that are, in order.
fn all(paths: &[PathBuf], wanted: &dyn Fn(&str) -> bool) -> Outcome<Files> {
    let mut files = Files::new();
    for path in paths {
        let found = if path.is_dir() { listed(path, wanted)? } else { vec![path.clone()] };
        for path in found {
            files.push((name_of(&path), bytes(&path)?));
        }
        if files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > MOST_BYTES {
            let message = format!("the files in `{}` have more than {MOST_BYTES} bytes together", path.display());
            return Err(Failure::new(INVALID, message).help("name fewer of them"));
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// The wanted files of a folder and those below it. Links to folders are not followed: they may lead in circles.
fn listed(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Outcome<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if wanted(&path.to_string_lossy()) {
                found.push(path);
            }
            if found.len() > MOST_FILES || folders.len() > MOST_FILES {
                return Err(too_many(&folder.to_string_lossy()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn too_many(folder: &str) -> Failure {
    Failure::new(INVALID, format!("there are more than {MOST_FILES} files in `{folder}`")).help("name a smaller folder")
}

fn bytes(path: &Path) -> Outcome<Vec<u8>> {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", path.display()));
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(Failure::new(INVALID, format!("`{}` is not a file", path.display())));
    }
    if about.len() > MOST_FILE_BYTES as u64 {
        let message =
            format!("`{}` has {} bytes; the most that is read is {MOST_FILE_BYTES}", path.display(), about.len());
        return Err(Failure::new(INVALID, message));
    }
    std::fs::read(path).map_err(failed)
}

pub(super) fn failure(unread: Unread) -> Failure {
    let failure = Failure::new(INVALID, unread.to_string());
    match unread.help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Facts as lines, `material.files.count: 3`; what is unknown is said, what is empty is left out.
fn lines(value: &Value, at: &str) -> Vec<String> {
    let join = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| lines(value, &join(name))).collect(),
        Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
            let plain: Vec<String> =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
            if plain.is_empty() { vec![] } else { vec![format!("{at}: {}", plain.join(", "))] }
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, item)| lines(item, &format!("{at}[{i}]"))).collect()
        }
        Value::Null => vec![format!("{at}: not known")],
        Value::String(text) => vec![format!("{at}: {text}")],
        leaf => vec![format!("{at}: {leaf}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_said_line_by_line_and_the_unknown_is_said() {
        let facts = json!({"a": {"b": 1, "c": null, "d": []}, "e": ["x", "y"], "f": [{"g": true}]});
        assert_eq!(lines(&facts, ""), ["a.b: 1", "a.c: not known", "e: x, y", "f[0].g: true"]);
    }

    #[test]
    fn paths_are_below_a_folder_only_as_a_whole() {
        assert!(is_below("db/migrations/1.sql", "db/migrations"));
        assert!(is_below("1.sql", "."));
        assert!(!is_below("db/migrations-old/1.sql", "db/migrations"));
        assert_eq!(lexical(Path::new("/a/b/../c/./d")), Path::new("/a/c/d"));
    }
}
