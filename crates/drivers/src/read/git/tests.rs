//! Real repositories made by git: what a range holds, and what a hostile repository can't do.

use change::facts::material::{Form, How};

use super::*;

struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().expect("a scratch folder") };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    /// A repository with one commit on `main`, and the branch `topic` checked out.
    fn with_base(files: &[(&str, &str)]) -> Self {
        let repository = Self::new();
        files.iter().for_each(|(path, text)| repository.write(path, text));
        repository.commit();
        repository.git(&["checkout", "-q", "-b", "topic"]);
        repository
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(self.path(), arguments)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--no-gpg-sign", "-m", "words"]);
    }

    async fn range(&self, range: &str) -> Result<Range, Unread> {
        Clone::at(self.path()).range(range).await
    }
}

fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn file<'a>(range: &'a Range, path: &str) -> &'a change::facts::material::FileChange {
    range.files.list.iter().find(|f| f.path == path).unwrap_or_else(|| panic!("{path} in {:?}", range.files))
}

// LC1: the facts of a change come from the range that it is made of.
#[tokio::test]
async fn a_range_says_what_happens_to_every_file() {
    let repository = Repository::with_base(&[
        ("a.rs", "one\ntwo\n"),
        ("old.md", "x\ny\nz\n1\n2\n"),
        ("gone.txt", "1\n"),
        ("run.sh", "echo\n"),
    ]);
    repository.write("a.rs", "one\nthree\nfour\n");
    repository.write("image.bin", "\0\u{1}\0");
    repository.write("odd name\t\"x\n.txt", "other\n");
    repository.git(&["mv", "old.md", "new.md"]);
    repository.git(&["rm", "-q", "gone.txt"]);
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link")).expect("a link");
    repository.git(&["update-index", "--chmod=+x", "run.sh"]);
    repository.git(&["update-index", "--add", "--cacheinfo", "160000,4f2c4f2c4f2c4f2c4f2c4f2c4f2c4f2c4f2c4f2c,sub"]);
    repository.git(&["add", "a.rs", "image.bin", "link", "odd name\t\"x\n.txt"]);
    repository.git(&["commit", "-q", "--no-gpg-sign", "-m", "words"]);
    // What happens on the base meanwhile is no part of the change.
    repository.git(&["stash", "-q", "--include-untracked"]);
    repository.git(&["checkout", "-q", "-f", "main"]);
    repository.write("elsewhere", "1\n");
    repository.commit();
    let range = repository.range("main..topic").await.expect("a range");
    assert_eq!((range.files.total, range.added, range.removed), (8, 5, 2));
    let a = file(&range, "a.rs");
    assert_eq!((a.how, a.added, a.removed), (How::Modified, 2, 1));
    assert_eq!(file(&range, "new.md").was.as_deref(), Some("old.md"));
    assert_eq!(file(&range, "gone.txt").how, How::Deleted);
    assert_eq!(file(&range, "image.bin").form, Form::Binary);
    assert_eq!(file(&range, "link").form, Form::Symlink);
    assert_eq!(file(&range, "sub").form, Form::Submodule);
    assert_eq!(file(&range, "run.sh").mode.as_deref(), Some("100644 100755"));
    assert_eq!(file(&range, "odd name\t\"x\n.txt").how, How::Added);
    assert_eq!((range.commits.total, range.unsigned), (1, 1));
    assert_eq!(range.people.list[0].email, "ada@example.com");
    assert_eq!(range.head, repository.git(&["rev-parse", "topic"]));
}

#[tokio::test]
async fn authors_and_committers_are_told_apart_and_each_is_there_once() {
    let repository = Repository::with_base(&[("a", "1\n")]);
    for text in ["2\n", "3\n"] {
        repository.write("a", text);
        repository.git(&["commit", "-q", "--no-gpg-sign", "-a", "-m", "words", "--author", "Bob <bob@example.com>"]);
    }
    let range = repository.range("main..").await.expect("a range");
    let people: Vec<_> = range.people.list.iter().map(|p| (p.name.as_str(), p.email.as_str())).collect();
    assert_eq!(people, [("Ada", "ada@example.com"), ("Bob", "bob@example.com")]);
    assert_eq!((range.commits.total, range.commits.list[0].author.as_str()), (2, "bob@example.com"));
}

#[tokio::test]
async fn a_signature_names_its_key_and_a_forged_one_is_bad() {
    let repository = Repository::with_base(&[("a", "1\n")]);
    let key = repository.path().join(".git/key");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen runs").success());
    let printed = std::process::Command::new("ssh-keygen").arg("-lf").arg(&key).output().expect("it runs");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let fingerprint = printed.split(' ').nth(1).expect("a fingerprint");
    repository.write("a", "2\n");
    let signing = format!("user.signingKey={}", key.display());
    repository.git(&["-c", "gpg.format=ssh", "-c", &signing, "commit", "-q", "-S", "-a", "-m", "words"]);
    let range = repository.range("main..topic").await.expect("a range");
    let commit = &range.commits.list[0];
    assert_eq!((commit.signature, commit.key.as_deref(), range.unsigned), (Signature::Valid, Some(fingerprint), 0));
    assert!(range.people.list.iter().any(|p| p.key.as_deref() == Some(fingerprint)));
    let forged = repository.git(&["cat-file", "commit", "HEAD"]).replace("words", "other words");
    repository.write(".git/forged", &format!("{forged}\n"));
    let id = repository.git(&["hash-object", "-w", "-t", "commit", ".git/forged"]);
    let range = repository.range(&format!("main..{id}")).await.expect("a range");
    assert_eq!((range.commits.list[0].signature, range.unsigned), (Signature::Bad, 1));
    assert!(range.people.list.iter().all(|p| p.key.is_none()));
}

#[tokio::test]
async fn a_hostile_repository_runs_nothing_and_hides_nothing() {
    let repository =
        Repository::with_base(&[("a.txt", "1\n"), (".gitattributes", "*.txt diff=evil filter=evil -text\n")]);
    let mark = repository.path().join("it-ran");
    let evil = format!("touch {}", mark.display());
    for name in [
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.smudge",
        "gpg.program",
        "gpg.ssh.program",
        "core.sshCommand",
        "core.alternateRefsCommand",
    ] {
        repository.git(&["config", name, &evil]);
    }
    repository.git(&["config", "log.showSignature", "true"]);
    repository.git(&["config", "diff.relative", "true"]);
    let hook = repository.path().join(".git/hooks/post-index-change");
    std::fs::write(&hook, format!("#!/bin/sh\n{evil}\n")).expect("a hook");
    repository.write("a.txt", "1\n2\n");
    repository.write("deep/b.txt", "1\n");
    let safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "filter.evil.smudge="];
    repository.git(&[&safe[..], &["add", "-A"]].concat());
    repository.git(&[&safe[..], &["commit", "-q", "--no-gpg-sign", "-m", "words"]].concat());
    // A replaced object would show another history.
    let (main, topic) = (repository.git(&["rev-parse", "main"]), repository.git(&["rev-parse", "topic"]));
    repository.git(&["update-ref", &format!("refs/replace/{topic}"), &main]);
    let _ = std::fs::remove_file(&mark);
    let range = Clone::at(&repository.path().join("deep")).range("main..topic").await.expect("a range");
    assert!(!mark.exists(), "the repository ran something");
    assert_eq!((range.files.total, range.added, range.commits.total), (2, 2, 1));
}

// F7: whoever adds a secret does not decide whether the scan sees it, neither by attributes nor by settings, links to other objects or the folder.
#[tokio::test]
async fn an_author_hides_no_added_line() {
    let repository = Repository::with_base(&[
        (".gitattributes", "*.yaml -diff\n*.env diff=evil\n*.txt binary\n"),
        ("old.yaml", "kept\nremoved\n"),
        ("gone.txt", "was there before\n"),
    ]);
    let mark = repository.path().join("it-ran");
    let evil = format!("touch {}", mark.display());
    for (name, value) in [
        ("diff.relative", "true"),
        ("diff.noprefix", "true"),
        ("diff.evil.binary", "true"),
        ("diff.evil.textconv", &evil),
        ("diff.external", &evil),
        ("core.fsmonitor", &evil),
    ] {
        repository.git(&["config", name, value]);
    }
    repository.write("old.yaml", "kept\nin yaml\n");
    repository.write("new.env", "in env\n");
    repository.write("deep/new.txt", "in txt\n");
    repository.write("deep/picture", "\0in bytes\n");
    std::fs::remove_file(repository.path().join("gone.txt")).expect("is removed");
    let safe = ["-c", "core.fsmonitor=false"];
    repository.git(&[&safe[..], &["add", "-A"]].concat());
    repository.git(&[&safe[..], &["commit", "-q", "--no-gpg-sign", "-m", "words"]].concat());
    let (main, topic) = (repository.git(&["rev-parse", "main"]), repository.git(&["rev-parse", "topic"]));
    repository.git(&["update-ref", &format!("refs/replace/{topic}"), &main]);
    let _ = std::fs::remove_file(&mark);
    let clone = Clone::at(&repository.path().join("deep"));
    let range = clone.range("main..topic").await.expect("a range");
    let diff = clone.added_lines(&range.merge_base, &range.head).await.expect("a diff");
    let added: Vec<&str> = diff.lines().filter(|line| line.starts_with('+')).collect();
    let expected = [
        "+++ b/deep/new.txt",
        "+in txt",
        "+++ b/deep/picture",
        "+\0in bytes",
        "+++ b/new.env",
        "+in env",
        "+++ b/old.yaml",
        "+in yaml",
    ];
    assert_eq!(added, expected);
    assert!(!diff.contains("was there before"), "what is gone as a whole is left out");
    assert!(!mark.exists(), "the repository ran something");
}

// F7: what is larger than the limit is refused, not cut: a half of it would be scanned as the whole.
#[tokio::test]
async fn a_range_that_adds_too_much_is_refused() {
    let repository = Repository::with_base(&[("a", "1\n")]);
    repository.write("large", &"0123456789abcde\n".repeat(MOST_FILE_BYTES / 16 + 1));
    repository.commit();
    let clone = Clone::at(repository.path());
    let range = clone.range("main..topic").await.expect("a range");
    let error = clone.added_lines(&range.merge_base, &range.head).await.expect_err("too large");
    assert!(error.message.contains("git printed more than"), "{error}");
}

// F7: a look at a stranger's clone starts nothing that its settings name.
#[tokio::test]
async fn the_files_of_a_hostile_clone_are_listed_and_it_runs_nothing() {
    let repository = Repository::with_base(&[("a.env", "1\n"), (".gitignore", "*.log\n"), ("deep/b.env", "1\n")]);
    repository.write("deep/new.env", "1\n");
    repository.write("deep/noise.log", "1\n");
    let mark = repository.path().join("it-ran");
    repository.git(&["config", "core.fsmonitor", &format!("touch {}; echo", mark.display())]);
    let listed = async |folder: &Path| Clone::at(folder).not_ignored().await.expect("files");
    let names = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
    let all: BTreeSet<_> = listed(repository.path()).await.into_iter().collect();
    assert_eq!(all, names(&[".gitignore", "a.env", "deep/b.env", "deep/new.env"]));
    let deep: BTreeSet<_> = listed(&repository.path().join("deep")).await.into_iter().collect();
    assert_eq!(deep, names(&["b.env", "new.env"]));
    assert!(!mark.exists(), "the repository ran something");
    let nowhere = tempfile::tempdir().expect("a scratch folder");
    assert!(Clone::at(nowhere.path()).not_ignored().await.is_err());
}

#[tokio::test]
async fn a_name_is_never_an_option_and_what_is_missing_is_said() {
    let repository = Repository::with_base(&[("a", "1\n")]);
    for (range, words) in [
        ("--output=x..HEAD", "it is no name of a commit"),
        ("main..-x", "it is no name of a commit"),
        ("main", "it is no range"),
        ("main...topic", "three dots are not a range here"),
        ("..topic", "it is no range"),
        ("main..a b", "it is no name of a commit"),
        ("main..ghost", "there is no such commit in this clone"),
        ("main..HEAD:a", "there is no such commit in this clone"),
    ] {
        let error = repository.range(range).await.expect_err(range);
        assert_eq!((error.message.as_str(), error.help.is_some()), (words, true), "{range}");
    }
    let nowhere = tempfile::tempdir().expect("a scratch folder");
    assert!(Clone::at(nowhere.path()).range("main..topic").await.is_err());
    repository.git(&["checkout", "-q", "--orphan", "other"]);
    repository.write("a", "of another history\n");
    repository.commit();
    let error = repository.range("main..other").await.expect_err("no common history");
    assert_eq!(error.message, "both ends have no common history");
}

#[tokio::test]
async fn a_shallow_clone_says_what_is_missing_and_a_bare_one_or_a_worktree_will_do() {
    let repository = Repository::with_base(&[("a", "1\n")]);
    for text in ["2\n", "3\n", "4\n"] {
        repository.write("a", text);
        repository.commit();
    }
    let around = tempfile::tempdir().expect("a scratch folder");
    let url = format!("file://{}", repository.path().display());
    git_in(around.path(), &["clone", "-q", "--depth", "2", "--no-single-branch", &url, "shallow"]);
    let error = Clone::at(&around.path().join("shallow")).range("origin/main..HEAD").await.expect_err("it is shallow");
    assert_eq!(error.message, "this clone is shallow and lacks a part of the range");
    assert!(error.help.is_some_and(|help| help.contains("git fetch --unshallow")));
    git_in(around.path(), &["clone", "-q", "--bare", &url, "bare"]);
    assert_eq!(Clone::at(&around.path().join("bare")).range("main..topic").await.map(|r| r.commits.total), Ok(3));
    let tree = around.path().join("tree");
    repository.git(&["worktree", "add", "-q", "--detach", tree.to_str().expect("a path"), "topic"]);
    assert_eq!(Clone::at(&tree).range("main..HEAD").await.map(|r| r.commits.total), Ok(3));
}

#[tokio::test]
async fn a_file_is_read_as_it_is_in_a_commit() {
    let repository = Repository::with_base(&[("k8s/a.yaml", "one"), ("k8s/b*.yaml", "two")]);
    repository.write("k8s/a.yaml", "not committed");
    let clone = Clone::at(repository.path());
    let head = clone.commit("HEAD").await.expect("a commit");
    assert_eq!(clone.files(&head, "k8s/").await, Ok(vec!["k8s/a.yaml".to_owned(), "k8s/b*.yaml".to_owned()]));
    assert_eq!(clone.file(&head, "k8s/a.yaml").await, Ok(Some(b"one".to_vec())));
    assert_eq!(clone.file(&head, "k8s/b*.yaml").await, Ok(Some(b"two".to_vec())));
    assert_eq!(clone.file(&head, "ghost").await, Ok(None));
}

// X20, DESIGN 4: whoever edited what lies below a folder since a commit, in a merge too, and nobody who only touched its neighbours.
#[tokio::test]
async fn the_editors_of_a_folder_are_named_since_a_commit() {
    let repository = Repository::with_base(&[("rules/access.yaml", "users: []\n"), ("code.rs", "fn main() {}\n")]);
    let clone = Clone::at(&repository.path().join("rules"));
    let base = clone.commit("HEAD").await.expect("a commit");
    let names = async |since: &str| -> Vec<String> {
        let people = clone.editors(since).await.expect("is read");
        people.into_iter().map(|person| person.email).collect()
    };
    assert_eq!(names(&base).await, Vec::<String>::new());
    repository.write("code.rs", "fn main() { }\n");
    repository.commit();
    assert_eq!(names(&base).await, Vec::<String>::new(), "a neighbour of the folder is no part of it");
    repository.write("rules/access.yaml", "users: [{id: bob}]\n");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "--no-gpg-sign", "-m", "x", "--author", "Bob <bob@example.com>"]);
    assert_eq!(names(&base).await, ["ada@example.com", "bob@example.com"], "who wrote it, and who committed it");
    let unknown = "0123456789012345678901234567890123456789";
    assert_eq!(
        names(unknown).await,
        ["ada@example.com", "bob@example.com"],
        "everybody, where nobody can say since when"
    );
    let old = clone.file_here(&base, "access.yaml").await.expect("is read");
    assert_eq!(old.as_deref(), Some(b"users: []\n".as_slice()));
    assert_eq!(clone.file_here("HEAD", "code.rs").await, Ok(None), "only what lies in the folder");
}

#[tokio::test]
async fn what_is_not_committed_is_noticed() {
    let repository = Repository::with_base(&[("rules/a.yaml", "a\n"), ("rules/b.yaml", "b\n")]);
    let clone = Clone::at(&repository.path().join("rules"));
    assert_eq!(clone.is_as_committed(&["a.yaml", "b.yaml"]).await, Ok(true));
    repository.write("rules/c.yaml", "c\n");
    assert_eq!(clone.is_as_committed(&["a.yaml", "b.yaml"]).await, Ok(true), "what is not loaded does not matter");
    assert_eq!(clone.is_as_committed(&["a.yaml", "b.yaml", "c.yaml"]).await, Ok(false), "a new file");
    repository.write("rules/a.yaml", "other\n");
    assert_eq!(clone.is_as_committed(&["a.yaml", "b.yaml"]).await, Ok(false), "another content");
    repository.write("rules/a.yaml", "a\n");
    std::fs::remove_file(repository.path().join("rules/b.yaml")).expect("is removed");
    assert_eq!(clone.is_as_committed(&["a.yaml"]).await, Ok(false), "a file that is missing");
}
