//! Approving from the command line: a plain vote, or one that an SSH key signs.
//!
//! `ssh-keygen` signs, so that agents and hardware keys work as everywhere else; no private key is ever read here. What is signed is built from the
//! change that was shown, and compared with what the server asks for, before anything is signed. Whether the vote counts is the server's answer.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use change::approval::Signed;
use change::approval::statement::{self, MOST_BYTES, NAMESPACE, Statement};
use change::{Actor, Digest, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::changes::{act, state};
use super::print;
use crate::args::{Approve, Args};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome, REFUSED};

pub(super) async fn run(args: &Args, client: &Client, vote: &Approve) -> Outcome {
    if vote.statement {
        return show(args, client, vote).await;
    }
    let signed = match (&vote.sign, &vote.signature) {
        (Some(key), _) => Some(sign(client, vote, key.as_deref()).await?),
        (None, Some(file)) => Some(read(file)?),
        (None, None) => None,
    };
    let effect = match vote.effect {
        Some(effect) => effect,
        None => state(client, vote.change).await?.proposal.effect_digest,
    };
    act(args, client, vote.change, "approve", json!({"effect": effect, "comment": vote.comment, "signature": signed}))
        .await
}

/// What the server asks to be signed.
#[derive(Debug, Deserialize)]
struct Asked {
    statement: String,
    effect: Digest,
    groups: std::collections::BTreeSet<String>,
    time: Timestamp,
    keys: Vec<String>,
}

/// The statement of the server, if it says what the change says.
async fn asked(client: &Client, vote: &Approve) -> Outcome<Asked> {
    let change = state(client, vote.change).await?;
    let unreadable = |e: serde_json::Error| Failure::new(ERROR, format!("the server's answer can't be read: {e}"));
    let path = format!("/changes/{}/statement", vote.change);
    let asked: Asked = serde_json::from_value(client.get(&path).await?).map_err(unreadable)?;
    let user = client.get("/whoami").await?.get("user").and_then(|u| u.as_str()).unwrap_or_default().to_owned();
    let ours = Statement::approval(&change, &Actor::User(user), &asked.groups, asked.time);
    if let Some(difference) = ours.difference(&asked.statement) {
        let said = format!("the server asks for a signature of something else than `{}`: {difference}", vote.change);
        return Err(Failure::new(REFUSED, said).help("the change may have been amended just now: look at it again"));
    }
    match vote.effect {
        Some(effect) if effect != asked.effect => {
            let said = format!("`{}` has the effect {} now, not {}", vote.change, asked.effect.short(), effect.short());
            Err(Failure::new(REFUSED, said).help(format!("look at it again with `clearway show {}`", vote.change)))
        }
        _ => Ok(asked),
    }
}

async fn show(args: &Args, client: &Client, vote: &Approve) -> Outcome {
    let asked = asked(client, vote).await?;
    if args.json {
        print(args, &json!({"statement": asked.statement, "namespace": NAMESPACE, "keys": asked.keys}), String::new);
        return Ok(());
    }
    // To the byte: an end of line more would be another statement. A reader that has gone away is no error.
    let _ = std::io::stdout().write_all(asked.statement.as_bytes());
    Ok(())
}

async fn sign(client: &Client, vote: &Approve, key: Option<&Path>) -> Outcome<Signed> {
    let asked = asked(client, vote).await?;
    let key = match key {
        Some(file) if file.exists() => Key::File(file.to_owned()),
        Some(file) => return Err(Failure::new(ERROR, format!("there is no key `{}`", file.display()))),
        None => Key::of_mine(&asked.keys)?,
    };
    eprintln!("You sign this with {}:\n", key.name());
    eprintln!("{}", indented(&asked.statement));
    let armored = key.sign(&asked.statement)?;
    Ok(Signed { statement: asked.statement, armored })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// A signature that was made elsewhere, and the statement beside it.
fn read(file: &Path) -> Outcome<Signed> {
    let statement = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sig"));
    let beside = statement.map(|name| file.with_file_name(name)).ok_or_else(|| {
        Failure::new(INVALID, format!("`{}` does not end in `.sig`", file.display())).help(
            "name the file as `ssh-keygen -Y sign` does: the statement in `vote.txt`, its signature in `vote.txt.sig`",
        )
    })?;
    let signed = Signed { statement: read_text(&beside)?, armored: read_text(file)? };
    if statement::time_of(&signed.statement).is_none() {
        let said = format!("`{}` is not a statement", beside.display());
        return Err(Failure::new(INVALID, said).help("print one with `clearway approve CHG-7 --statement > vote.txt`"));
    }
    Ok(signed)
}

fn read_text(file: &Path) -> Outcome<String> {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", file.display()));
    let mut bytes = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    std::fs::File::open(file).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    match String::from_utf8(bytes) {
        Ok(text) if text.len() <= MOST_BYTES => Ok(text),
        _ => Err(Failure::new(INVALID, format!("`{}` is neither a statement nor its signature", file.display()))),
    }
}

/// Where ssh-keygen finds the key.
#[derive(Debug)]
enum Key {
    /// A private key, or a public one whose private part an agent or a device has.
    File(PathBuf),
    /// Only an agent has it; the public part as a line.
    Agent(String),
}

impl Key {
    /// The first of these keys, as the server lists them, that is on this machine.
    fn of_mine(keys: &[String]) -> Outcome<Self> {
        if keys.is_empty() {
            return Err(Failure::new(REFUSED, "the server knows no key of yours that can sign now")
                .help("ask whoever keeps access.yaml to add your public key under `keys`, such as the line in ~/.ssh/id_ed25519.pub"));
        }
        let here =
            public_files().into_iter().find(|file| is_one_of(&std::fs::read_to_string(file).unwrap_or_default(), keys));
        if let Some(file) = here {
            return Ok(Self::File(file));
        }
        agent_lines().into_iter().find(|line| is_one_of(line, keys)).map(Self::Agent).ok_or_else(|| {
            Failure::new(ERROR, "none of the keys that the server knows of you is in ~/.ssh or in an agent")
                .help(format!("name the file with `--sign KEYFILE`; the server knows:\n{}", keys.join("\n")))
        })
    }

    fn name(&self) -> String {
        match self {
            Self::File(file) => format!("`{}`", file.display()),
            Self::Agent(line) => {
                format!("the key `{}` of your agent", line.split_whitespace().nth(2).unwrap_or_default())
            }
        }
    }

    fn sign(&self, statement: &str) -> Outcome<String> {
        match self {
            Self::File(file) => keygen(file, statement),
            Self::Agent(line) => {
                let failed = |e: std::io::Error| Failure::new(ERROR, format!("a scratch file can't be written: {e}"));
                let mut file = tempfile::Builder::new().suffix(".pub").tempfile().map_err(failed)?;
                writeln!(file, "{line}").and_then(|()| file.flush()).map_err(failed)?;
                keygen(file.path(), statement)
            }
        }
    }
}

/// Has ssh-keygen sign. It asks for a passphrase or a touch by itself.
fn keygen(key: &Path, statement: &str) -> Outcome<String> {
    let failed = |e: &std::io::Error| {
        match e.kind() {
        std::io::ErrorKind::NotFound => Failure::new(ERROR, "`ssh-keygen` is not installed")
            .help("it comes with OpenSSH, on Debian in the package `openssh-client`; or sign elsewhere: see `clearway approve --help`"),
        _ => Failure::new(ERROR, format!("`ssh-keygen` can't be run: {e}")),
    }
    };
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| failed(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it ends without reading, its exit says so better than the broken pipe would.
        let _ = stdin.write_all(statement.as_bytes());
    }
    let done = child.wait_with_output().map_err(|e| failed(&e))?;
    if !done.status.success() {
        return Err(Failure::new(ERROR, format!("`ssh-keygen` did not sign with `{}`", key.display()))
            .help("what it said stands above; a signature needs OpenSSH 8.2 or later"));
    }
    String::from_utf8(done.stdout)
        .map_err(|_| Failure::new(ERROR, "`ssh-keygen` answered with something else than a signature"))
}

fn is_one_of(line: &str, keys: &[String]) -> bool {
    let mut words = line.split_whitespace();
    let key = words.next().zip(words.next()).map(|(kind, base64)| format!("{kind} {base64}"));
    key.is_some_and(|key| keys.contains(&key))
}

fn public_files() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME") else { return vec![] };
    let Ok(entries) = std::fs::read_dir(Path::new(&home).join(".ssh")) else { return vec![] };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "pub")).collect();
    files.sort();
    files
}

fn agent_lines() -> Vec<String> {
    let listed = Command::new("ssh-add").arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = listed.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
