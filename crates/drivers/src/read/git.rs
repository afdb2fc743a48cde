//! Git: what a range of commits does to files, and who made them.
//!
//! Asks the `git` program, without a shell, with time and output bounded, and as if the repository were hostile: nothing that its configuration or its
//! attributes name is run, nothing is fetched, objects are not replaced, and a name is never taken for an option. Lines of code are counted and never
//! kept; only a scan for secrets is given those that a range adds. Unlike its neighbours, this reader starts a program; what it prints is taken apart in [`output`].

mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use change::facts::material::{Committer, Listed, Origin, Range, Signature};
use futures::future::join;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::unread::{MOST_FILE_BYTES, Unread};

/// A clone, or a worktree of one.
#[derive(Clone, Debug)]
pub struct Clone {
    folder: PathBuf,
    limit: Duration,
}

/// The settings that a repository could use to run something, turned off one by one, and those that would change what is printed.
const SAFE: [&str; 28] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "core.precomposeUnicode=false",
    "core.alternateRefsCommand=",
    "core.commitGraph=false",
    "diff.external=",
    "diff.orderFile=/dev/null",
    "diff.renameLimit=2000",
    "diff.suppressBlankEmpty=false",
    "diff.relative=false",
    "diff.ignoreSubmodules=none",
    "diff.submodule=short",
    "diff.algorithm=myers",
    "log.showSignature=false",
    "log.mailmap=false",
    "i18n.logOutputEncoding=UTF-8",
    "gpg.format=openpgp",
    "gpg.program=gpg",
    "gpg.openpgp.program=gpg",
    "gpg.x509.program=gpgsm",
    "gpg.ssh.program=ssh-keygen",
    "gpg.ssh.allowedSignersFile=/dev/null",
    "gpg.ssh.revocationFile=",
    "protocol.allow=never",
    "color.ui=false",
];

/// The most files that are named in one command.
const MOST_NAMED: usize = 500;

const TIME_LIMIT: Duration = Duration::from_secs(60);

impl Clone {
    /// The clone that a folder belongs to.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), limit: TIME_LIMIT }
    }

    /// The root of the working tree.
    ///
    /// # Errors
    /// If the folder belongs to no clone with a working tree.
    pub async fn root(&self) -> Result<PathBuf, Unread> {
        let root = self.ask(&["rev-parse", "--show-toplevel"]).await?;
        let bytes = root.strip_suffix(b"\n").unwrap_or(&root).to_vec();
        Ok(PathBuf::from(std::ffi::OsString::from(String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// The commit that a name stands for.
    ///
    /// # Errors
    /// If there is none, or the name is an option.
    pub async fn commit(&self, name: &str) -> Result<String, Unread> {
        if name.is_empty() || name.starts_with('-') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Unread::new(name, "it is no name of a commit")
                .help("write a branch, a tag or a commit, such as `main`"));
        }
        let wanted = format!("{name}^{{commit}}");
        let id = match self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]).await {
            Ok(id) => String::from_utf8_lossy(&id).trim().to_owned(),
            Err(unread) if unread.message.starts_with(NOT_STARTED) => return Err(unread),
            Err(_) => {
                let unread = Unread::new(name, "there is no such commit in this clone");
                return Err(if self.is_shallow().await {
                    unread.help(
                        "the clone is shallow: fetch more with `git fetch --unshallow`, or deepen it in the pipeline",
                    )
                } else {
                    unread.help(format!("fetch it with `git fetch origin {name}`"))
                });
            }
        };
        let is_id = (40..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id { Ok(id) } else { Err(Unread::new(name, "git gave no commit for it")) }
    }

    /// What lies in a range `base..head`: the commits of `head` that `base` has not, and the difference since both parted.
    ///
    /// # Errors
    /// If the range can't be read as a whole.
    pub async fn range(&self, text: &str) -> Result<Range, Unread> {
        let (base, head) = ends(text)?;
        let (base, head) = (self.commit(base).await?, self.commit(head).await?);
        let merge_base = self.merge_base(text, &base, &head).await?;
        let excluded = format!("^{base}");
        let format = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce%x00%G?%x00%GF%x00%GK%x00";
        let log = self.ask(&["log", "-z", "--no-notes", "--no-mailmap", format, &head, &excluded, "--"]).await?;
        let commits = output::commits(text, &log)?;
        self.refuse_shallow(text, &commits).await?;
        let tree = ["diff-tree", "-r", "-z", "-M", "-l2000", "--no-ext-diff", "--no-textconv", "--full-index"];
        let diff = |form: &'static str| {
            let arguments: Vec<&str> = tree.iter().copied().chain([form, &merge_base, &head, "--"]).collect();
            async move { self.ask(&arguments).await }
        };
        let files = output::files(text, &diff("--raw").await?, &diff("--numstat").await?)?;
        let (added, removed) =
            files.iter().fold((0, 0), |(a, r), f| (a + u64::from(f.added), r + u64::from(f.removed)));
        Ok(Range {
            from: Origin { tool: "git".into(), name: text.to_owned(), digest: None },
            base,
            head,
            merge_base,
            added,
            removed,
            files: Listed::of(files),
            people: people(&commits),
            unsigned: u32::try_from(commits.iter().filter(|c| c.commit.signature != Signature::Valid).count())
                .unwrap_or(u32::MAX),
            commits: Listed::of(commits.into_iter().map(|c| c.commit).collect()),
        })
    }

    /// The content of a file in a commit, or nothing where there is no such file.
    ///
    /// # Errors
    /// If it is too large, or git fails.
    pub async fn file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Unread> {
        let listed = self.ask(&["--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path]).await?;
        let text = String::from_utf8_lossy(&listed).into_owned();
        let mut words = text.split([' ', '\t', '\0']);
        match (words.next(), words.next(), words.next()) {
            (Some(_), Some("blob"), Some(id)) => self.ask(&["cat-file", "blob", id]).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The paths of the files of a commit at or below a path.
    ///
    /// # Errors
    /// If git fails.
    pub async fn files(&self, commit: &str, below: &str) -> Result<Vec<String>, Unread> {
        let below = below.trim_end_matches('/');
        let listed = self
            .ask(&["--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", "--name-only", commit, "--", below])
            .await?;
        Ok(listed
            .split(|b| *b == 0)
            .filter(|p| !p.is_empty())
            .map(|p| String::from_utf8_lossy(p).into_owned())
            .collect())
    }

    /// Everybody who wrote or committed what changes files below the folder of this clone and is in its head but not in the commit `since`; where the
    /// clone does not know `since`, everybody who ever did.
    ///
    /// # Errors
    /// If git fails, or the clone is shallow and lacks a part of it.
    pub async fn editors(&self, since: &str) -> Result<BTreeSet<Committer>, Unread> {
        let excluded = self.commit(since).await.ok().map(|since| format!("^{since}"));
        let format = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce%x00%G?%x00%GF%x00%GK%x00";
        // Merges too: what stands only in a merge was edited by whoever merged.
        let arguments =
            ["--literal-pathspecs", "log", "-z", "--no-notes", "--no-mailmap", "--full-history", format, "HEAD"];
        let arguments = arguments.into_iter().chain(excluded.as_deref()).chain(["--", "."]);
        let log = self.ask(&arguments.collect::<Vec<_>>()).await?;
        let name = self.folder.display().to_string();
        let commits = output::commits(&name, &log)?;
        self.refuse_shallow(&name, &commits).await?;
        Ok(each_once(&commits))
    }

    /// Whether files of this folder are in the head just as they lie here, and none that the head has is missing. Filters and hooks are not asked.
    ///
    /// # Errors
    /// If git fails.
    pub async fn is_as_committed(&self, files: &[&str]) -> Result<bool, Unread> {
        let listed = self.ask(&["--literal-pathspecs", "ls-tree", "-r", "-z", "HEAD", "--", "."]).await?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let entries = listed.split('\0').filter_map(|entry| entry.split_once('\t'));
        let ids: BTreeMap<&str, &str> =
            entries.filter_map(|(about, path)| Some((path, about.rsplit(' ').next()?))).collect();
        if ids.keys().any(|path| self.folder.join(path).symlink_metadata().is_err()) {
            return Ok(false);
        }
        for some in files.chunks(MOST_NAMED) {
            let arguments: Vec<&str> =
                ["hash-object", "--no-filters", "--"].into_iter().chain(some.iter().copied()).collect();
            let hashed = self.ask(&arguments).await?;
            let hashed = String::from_utf8_lossy(&hashed).into_owned();
            let known = some.iter().map(|file| ids.get(file).copied());
            if !hashed.lines().map(Some).eq(known) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A file of this folder as it was in a commit, or nothing where there was none.
    ///
    /// # Errors
    /// If it is too large, or git fails.
    pub async fn file_here(&self, commit: &str, name: &str) -> Result<Option<Vec<u8>>, Unread> {
        let below = self.ask(&["rev-parse", "--show-prefix"]).await?;
        let below = String::from_utf8_lossy(&below).trim_end_matches('\n').to_owned();
        self.file(commit, &format!("{below}{name}")).await
    }

    /// What lies between two commits as a unified diff without context, to be scanned for secrets: what is gone as a whole is left out, and every file
    /// counts as text, whatever attributes say, for they are written by whoever would hide something.
    ///
    /// # Errors
    /// If it is too large, or git fails.
    pub async fn added_lines(&self, merge_base: &str, head: &str) -> Result<String, Unread> {
        let tree = ["diff-tree", "-r", "-p", "-U0", "--inter-hunk-context=0", "--text", "--no-renames", "--full-index"];
        let plain = ["--no-color", "--no-ext-diff", "--no-textconv", "--diff-filter=d", "--ignore-submodules=none"];
        let ends = ["--src-prefix=a/", "--dst-prefix=b/", merge_base, head, "--"];
        let arguments: Vec<&str> = [&tree[..], &plain, &ends].concat();
        Ok(String::from_utf8_lossy(&self.ask(&arguments).await?).into_owned())
    }

    /// The files of this folder and those below it that git does not ignore, as this folder calls them.
    ///
    /// # Errors
    /// If the folder belongs to no clone with a working tree, or git fails.
    pub async fn not_ignored(&self) -> Result<Vec<PathBuf>, Unread> {
        let listed = self.ask(&["ls-files", "-z", "--cached", "--others", "--exclude-standard", "."]).await?;
        let names = listed.split(|b| *b == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
    }

    async fn merge_base(&self, range: &str, base: &str, head: &str) -> Result<String, Unread> {
        match self.ask(&["merge-base", base, head]).await {
            Ok(found) => Ok(String::from_utf8_lossy(&found).lines().next().unwrap_or_default().to_owned()),
            Err(_) if self.is_shallow().await => Err(shallow(range)),
            Err(_) => Err(Unread::new(range, "both ends have no common history")
                .help("give a base from which the head was branched")),
        }
    }

    /// Below the edge of a shallow clone nothing is known of who did what.
    async fn refuse_shallow(&self, range: &str, commits: &[output::Read]) -> Result<(), Unread> {
        if !self.is_shallow().await {
            return Ok(());
        }
        let path = self.ask(&["rev-parse", "--path-format=absolute", "--git-path", "shallow"]).await?;
        let path = PathBuf::from(String::from_utf8_lossy(&path).trim());
        let edge = tokio::fs::read_to_string(&path).await.unwrap_or_default();
        let edge: BTreeSet<&str> = edge.lines().collect();
        if commits.iter().any(|c| edge.contains(c.commit.id.as_str())) { Err(shallow(range)) } else { Ok(()) }
    }

    async fn is_shallow(&self) -> bool {
        self.ask(&["rev-parse", "--is-shallow-repository"]).await.is_ok_and(|answer| answer.starts_with(b"true"))
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Vec<u8>, Unread> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(["--no-pager", "--no-replace-objects"]);
        for setting in SAFE {
            command.args(["-c", setting]);
        }
        command.args(arguments).env_clear();
        for name in ["PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs([
            ("LC_ALL", "C.UTF-8"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("GIT_EXTERNAL_DIFF", ""),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let name = self.folder.display().to_string();
        match tokio::time::timeout(self.limit, run(&name, command)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unread::new(&name, format!("git did not answer within {} s", self.limit.as_secs()))),
        }
    }
}

/// How the message begins if git could not be run at all.
const NOT_STARTED: &str = "git can't be started";

async fn run(name: &str, mut command: Command) -> Result<Vec<u8>, Unread> {
    let failed = |error: std::io::Error| Unread::new(name, format!("{NOT_STARTED}: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Unread::new(name, format!("{NOT_STARTED}: it has no output")));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let most = MOST_FILE_BYTES as u64;
    let (mut stdout, mut stderr) = (stdout.take(most + 1), stderr.take(4_096));
    // The pipe is closed with the last byte that is read: git would wait for ever to write the next one.
    let whole = async move { stdout.read_to_end(&mut out).await.map(|_| out) };
    let (out, _) = join(whole, stderr.read_to_end(&mut err)).await;
    let out = out.map_err(failed)?;
    if out.len() > MOST_FILE_BYTES {
        return Err(
            Unread::new(name, format!("git printed more than {MOST_FILE_BYTES} bytes")).help("give a smaller range")
        );
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(out);
    }
    let said = String::from_utf8_lossy(&err);
    let said = change::facts::material::shortened(said.lines().next().unwrap_or("no reason given"));
    Err(Unread::new(name, format!("git said: {said}")))
}

fn shallow(range: &str) -> Unread {
    let unread = Unread::new(range, "this clone is shallow and lacks a part of the range");
    unread.help("fetch the rest with `git fetch --unshallow`; in a pipeline, clone with the whole history")
}

/// The two ends of `base..head`; an end that is left out is `HEAD`.
fn ends(range: &str) -> Result<(&str, &str), Unread> {
    let help = "write `base..head`, such as `main..HEAD`";
    if range.contains("...") {
        return Err(Unread::new(range, "three dots are not a range here").help(help));
    }
    let (base, head) = range.split_once("..").ok_or_else(|| Unread::new(range, "it is no range").help(help))?;
    if base.is_empty() || head.contains("..") {
        return Err(Unread::new(range, "it is no range").help(help));
    }
    Ok((base, if head.is_empty() { "HEAD" } else { head }))
}

/// Everybody who wrote or committed, each once; a valid key belongs to whoever committed.
fn people(commits: &[output::Read]) -> Listed<Committer> {
    Listed::of(each_once(commits).into_iter().collect())
}

fn each_once(commits: &[output::Read]) -> BTreeSet<Committer> {
    commits.iter().flat_map(|read| [read.author.clone(), read.committer.clone()]).collect()
}

#[cfg(test)]
mod tests;
