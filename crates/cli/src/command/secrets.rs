//! Secrets: what would leave this machine is scanned before it does.
//!
//! Whoever sends something hands its texts to [`before_sending`]; a finding that nobody allows ends the command, with its place and what to do. The server
//! is asked for its list only if there is a finding at all, and what it allows goes along, to be shown. The rules are the drivers' (`read/secrets.rs`).

use std::path::{Path, PathBuf};

use change::document::Document;
use change::secret::{AllowList, BY_COMMENT, Finding};
use drivers::read::git::Clone;
use drivers::read::secrets::{scan, scan_diff};
use serde_json::json;

use super::material::failure;
use super::{files, print};
use crate::args::{Args, SecretScan, Secrets};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome, REFUSED};

/// What to do with a finding.
pub(crate) const HELP: &str = "replace each secret by a new one where it was issued, and take the old one out of the file and of the history; \
     if it is none, allow it by name in `secrets.yaml`, or in a file of your own with a comment on its line: `clearway:allow-secret` and why";
/// Larger files are data, not something that people write.
const LARGEST_FILE: u64 = 16 << 20;

/// A text that is about to be sent, or from which something is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent<'a> {
    /// The server keeps it as it is, so no comment in it allows anything.
    ChangeFile(&'a Path, &'a str),
    /// A plan, a manifest, a migration, a report: read here, and only facts about it are sent.
    Material(&'a Path, &'a str),
    /// What `git diff` printed: the lines that it adds.
    Diff(&'a str),
}

/// Everything that is found in texts, as a list sees it.
pub(crate) fn found(texts: &[Sent<'_>], list: &AllowList) -> Vec<Finding> {
    let of_one = |text: &Sent<'_>| match text {
        Sent::ChangeFile(file, text) => {
            let mut found = scan(&file.display().to_string(), text, list);
            found
                .iter_mut()
                .filter(|f| f.allowed.as_ref().is_some_and(|a| a.by == BY_COMMENT))
                .for_each(|f| f.allowed = None);
            found
        }
        Sent::Material(file, text) => scan(&file.display().to_string(), text, list),
        Sent::Diff(diff) => scan_diff(diff, list),
    };
    texts.iter().flat_map(of_one).collect()
}

/// Scans what is about to be sent, and gives the findings that are allowed.
///
/// # Errors
/// If there is a finding that nobody allows.
pub(crate) async fn before_sending(client: &Client, texts: &[Sent<'_>]) -> Outcome<Vec<Finding>> {
    if found(texts, &AllowList::default()).is_empty() {
        return Ok(vec![]);
    }
    let list = client.get("/secrets").await.ok().and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    let found = found(texts, &list);
    refuse(&found)?;
    Ok(found)
}

/// Refuses findings that nobody allows.
pub(crate) fn refuse(found: &[Finding]) -> Outcome {
    let open: Vec<String> = found.iter().filter(|f| f.allowed.is_none()).map(line).collect();
    if open.is_empty() {
        return Ok(());
    }
    let (count, plural) = (open.len(), if open.len() == 1 { "" } else { "s" });
    let message = format!("nothing was sent: {count} secret{plural} found\n{}", open.join("\n"));
    Err(Failure::new(REFUSED, message).help(HELP))
}

fn line(finding: &Finding) -> String {
    let name = finding.fingerprint.as_ref().map(|print| format!(" (fingerprint {print})"));
    format!("  {finding}{}", name.unwrap_or_default())
}

/// Reads a `secrets.yaml`.
///
/// # Errors
/// Its problems.
pub(crate) fn read_list(text: &str) -> Result<AllowList, Vec<change::document::Problem>> {
    Document::from_yaml(text).and_then(|document| document.read())
}

pub(super) async fn run(args: &Args, asked: &Secrets) -> Outcome {
    let Secrets::Scan(asked) = asked;
    let list = match &asked.allow {
        Some(file) => read_list(&files::read_text(file)?).map_err(|problems| invalid(file, &problems))?,
        None => AllowList::default(),
    };
    let (mut found, mut scanned) = (Vec::new(), 0);
    if let Some(range) = &asked.git {
        let clone = Clone::at(Path::new("."));
        let range = clone.range(range).await.map_err(failure)?;
        let diff = clone.added_lines(&range.merge_base, &range.head).await.map_err(failure)?;
        found.extend(self::found(&[Sent::Diff(&diff)], &list));
        scanned += files_of(&diff);
    }
    let here = [PathBuf::from(".")];
    let paths = if asked.paths.is_empty() && asked.git.is_none() { &here[..] } else { &asked.paths };
    let mut files = Vec::new();
    for path in paths {
        files.extend(texts(path).await?);
    }
    for path in files {
        let Some(text) = text_of(&path)? else { continue };
        scanned += 1;
        let name = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        found.extend(self::found(&[Sent::Material(Path::new(&name), &text)], &list));
    }
    report(args, asked, &found, scanned)
}

/// The number of files in a diff: no line of a file begins so, as each has a sign before it.
fn files_of(diff: &str) -> usize {
    diff.lines().filter(|line| line.starts_with("diff --git ")).count()
}

fn invalid(file: &Path, problems: &[change::document::Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
    Failure::new(INVALID, format!("{} is not valid\n{}", file.display(), lines.join("\n")))
}

fn report(args: &Args, asked: &SecretScan, found: &[Finding], scanned: usize) -> Outcome {
    let open = found.iter().filter(|finding| finding.allowed.is_none()).count();
    print(args, &json!({"findings": found, "open": open, "files": scanned}), || {
        let lines: Vec<String> = found.iter().map(line).collect();
        let what =
            asked.git.as_ref().map_or_else(|| format!("{scanned} files"), |range| format!("what `{range}` adds"));
        format!("{}\n{open} found that nobody allows, {} allowed, in {what}", lines.join("\n"), found.len() - open)
            .trim_start()
            .to_owned()
    });
    if open == 0 {
        return Ok(());
    }
    Err(if args.json { Failure::new(REFUSED, "") } else { Failure::new(REFUSED, "there are secrets here").help(HELP) })
}

/// The files below a path: those that git does not ignore, or all of them where there is no clone.
async fn texts(path: &Path) -> Outcome<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if let Ok(names) = Clone::at(path).not_ignored().await {
        return Ok(names.into_iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect());
    }
    let (mut found, mut waiting) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            match () {
                () if kind.is_dir() => waiting.push(entry.path()),
                () if kind.is_file() => found.push(entry.path()),
                () => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file; nothing of a picture or a program.
fn text_of(path: &Path) -> Outcome<Option<String>> {
    if path == Path::new("-") {
        return files::read_text(path).map(Some);
    }
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", path.display()));
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_FILE {
        eprintln!("`{}` is larger than {} MiB and was not scanned", path.display(), LARGEST_FILE >> 20);
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let is_binary = bytes.iter().take(8 << 10).any(|b| *b == 0);
    Ok((!is_binary).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}
