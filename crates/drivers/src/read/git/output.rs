//! What git prints, taken apart: records that end with NUL bytes, so that no name can pose as another record.

use std::collections::BTreeMap;

use change::facts::material::{Commit, Committer, FileChange, Form, How, Signature};

use crate::read::unread::Unread;

/// A commit with its people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) commit: Commit,
    pub(super) author: Committer,
    pub(super) committer: Committer,
}

/// The commits of `git log` in the format of the caller: eight fields, each ended by NUL, and one NUL more between commits.
pub(super) fn commits(range: &str, log: &[u8]) -> Result<Vec<Read>, Unread> {
    let text = String::from_utf8_lossy(log);
    let mut fields = text.split('\0');
    let mut found = Vec::new();
    while let Some(id) = fields.next() {
        // Between commits, and after the last, stands the NUL of `-z`.
        if id.is_empty() {
            continue;
        }
        let mut next = || fields.next().map(str::to_owned).ok_or_else(|| strange(range));
        let (author, author_email, name, email) = (next()?, next()?, next()?, next()?);
        let (status, fingerprint, key) = (next()?, next()?, next()?);
        let signature = signature(&status);
        let key = Some(if fingerprint.is_empty() { key } else { fingerprint }).filter(|key| !key.is_empty());
        let valid = key.clone().filter(|_| signature == Signature::Valid);
        found.push(Read {
            commit: Commit {
                id: id.to_owned(),
                author: author_email.clone(),
                committer: email.clone(),
                signature,
                key,
            },
            author: Committer { name: author, email: author_email, key: None },
            committer: Committer { name, email, key: valid },
        });
    }
    Ok(found)
}

fn signature(status: &str) -> Signature {
    match status {
        "G" | "U" => Signature::Valid,
        "N" => Signature::None,
        "X" | "Y" | "R" => Signature::Expired,
        "E" => Signature::Unchecked,
        _ => Signature::Bad,
    }
}

/// The files of `git diff-tree` in its raw form, with the lines of its `--numstat`.
pub(super) fn files(range: &str, raw: &[u8], lines: &[u8]) -> Result<Vec<FileChange>, Unread> {
    let mut counts = numstat(range, lines)?;
    let text = String::from_utf8_lossy(raw);
    let mut fields = text.split('\0').filter(|field| !field.is_empty());
    let mut found = Vec::new();
    while let Some(record) = fields.next() {
        let words: Vec<&str> = record.strip_prefix(':').ok_or_else(|| strange(range))?.split(' ').collect();
        let &[before, after, _, _, status] = words.as_slice() else { return Err(strange(range)) };
        let first = fields.next().ok_or_else(|| strange(range))?.to_owned();
        let how = how(status).ok_or_else(|| strange(range))?;
        let (path, was) = if matches!(how, How::Renamed | How::Copied) {
            (fields.next().ok_or_else(|| strange(range))?.to_owned(), Some(first))
        } else {
            (first, None)
        };
        let count = counts.remove(&path);
        let form = match if after == "000000" { before } else { after } {
            "120000" => Form::Symlink,
            "160000" => Form::Submodule,
            _ if count == Some(None) => Form::Binary,
            _ => Form::Text,
        };
        let (added, removed) = count.flatten().unwrap_or_default();
        let executable = before == "000000" && after == "100755";
        let mode = (executable || (before != after && before != "000000" && after != "000000"))
            .then(|| format!("{before} {after}"));
        found.push(FileChange { path, was, how, form, added, removed, mode });
    }
    Ok(found)
}

fn how(status: &str) -> Option<How> {
    Some(match status.chars().next()? {
        'A' => How::Added,
        'M' => How::Modified,
        'D' => How::Deleted,
        'R' => How::Renamed,
        'C' => How::Copied,
        'T' => How::Retyped,
        _ => return None,
    })
}

/// Added and removed lines by path; nothing where git says that a file has no lines.
type Lines = BTreeMap<String, Option<(u32, u32)>>;

fn numstat(range: &str, lines: &[u8]) -> Result<Lines, Unread> {
    let text = String::from_utf8_lossy(lines);
    let mut fields = text.split('\0');
    let mut found = Lines::new();
    while let Some(record) = fields.next().filter(|record| !record.is_empty()) {
        let mut parts = record.splitn(3, '\t');
        let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(strange(range));
        };
        // A file that moved has no path here, and two after it.
        let path = if path.is_empty() {
            fields.next();
            fields.next().ok_or_else(|| strange(range))?
        } else {
            path
        };
        let count = if added == "-" {
            None
        } else {
            Some((added.parse().unwrap_or(u32::MAX), removed.parse().unwrap_or(u32::MAX)))
        };
        found.insert(path.to_owned(), count);
    }
    Ok(found)
}

fn strange(range: &str) -> Unread {
    Unread::new(range, "git printed something that is not understood").help("use git 2.30 or newer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_by_nul_and_names_may_hold_anything() {
        let raw = b":100644 100644 aa bb M\0a b\n:100644\tM\0:100644 100755 aa bb R090\0old\0new\0:000000 120000 00 bb A\0link\0";
        let lines = b"1\t2\ta b\n:100644\tM\0-\t-\t\0old\0new\0\x31\t0\tlink\0";
        let found = files("a..b", raw, lines).expect("records");
        let said: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.how, f.form, f.added, f.removed)).collect();
        assert_eq!(
            said,
            [
                ("a b\n:100644\tM", How::Modified, Form::Text, 1, 2),
                ("new", How::Renamed, Form::Binary, 0, 0),
                ("link", How::Added, Form::Symlink, 1, 0)
            ]
        );
        assert_eq!((found[1].was.as_deref(), found[1].mode.as_deref()), (Some("old"), Some("100644 100755")));
    }

    #[test]
    fn what_git_never_prints_is_refused() {
        for raw in [
            &b"x\0"[..],
            b":100644 100644 aa bb\0a\0",
            b":100644 100644 aa bb M\0",
            b":1 2 a b R1\0only\0",
            b":1 2 a b Z\0a\0",
        ] {
            assert!(files("a..b", raw, b"").is_err(), "{raw:?}");
        }
        assert!(files("a..b", b"", b"1\tx\0").is_err());
        assert!(commits("a..b", b"id\0name\0").is_err());
    }
}
