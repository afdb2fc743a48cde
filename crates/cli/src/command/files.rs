//! Commands about files: reading, checking, and their schemas.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command as Process;

use change::Digest;
use change::document::{Document, Problem};
use change::proposal::{ChangeFile, named_files};
use change::secret::AllowList;
use change::standard::Template;
use serde_json::{Value, json};

use super::print;
use super::secrets::{self, Sent};
use crate::args::{Args, Check, Schema};
use crate::client::Client;
use crate::config::Config;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::show;

/// The text of a file, or of standard input.
pub(super) fn read_text(file: &Path) -> Outcome<String> {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", file.display()));
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().take(change::document::MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    // A device or a pipe has no size to ask for, so it is read no further than what would be too much.
    let most = change::document::MAX_BYTES;
    let mut text = String::new();
    std::fs::File::open(file).map_err(failed)?.take(most as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > most {
        let message = format!("`{}` has more than {most} bytes, the most that is read", file.display());
        return Err(Failure::new(INVALID, message));
    }
    Ok(text)
}

/// A change file as a request: its text, with the commit of its clone, the digests of the files that it names, and what the secret scan found.
///
/// # Errors
/// If it holds a secret that nobody allows: then nothing is sent.
pub(super) async fn read_change_file(client: &Client, file: &Path) -> Outcome<Value> {
    let text = read_text(file)?;
    let found = secrets::before_sending(client, &[Sent::ChangeFile(file, &text)]).await?;
    let mut request = change_request(text, file, None);
    if !found.is_empty() {
        request["secrets"] = json!(found);
    }
    Ok(request)
}

/// The same for what stays on this machine.
pub(super) fn read_change_file_here(file: &Path) -> Outcome<Value> {
    Ok(change_request(read_text(file)?, file, None))
}

/// A change file as a request: its text, with the commit of its clone unless another is given, and the digests of the files that it names.
pub(super) fn change_request(mut text: String, file: &Path, given: Option<String>) -> Value {
    let beside = folder_of(file);
    let found = || commit(beside).filter(|_| file != Path::new("-"));
    if let Some(commit) = given.or_else(found).filter(|_| !names_commit(&text)) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("commit: {commit}\n"));
    }
    let mut files = BTreeMap::new();
    for name in named_files(&text) {
        if let Ok(bytes) = std::fs::read(beside.join(&name)) {
            files.insert(name, Digest::of_bytes(&bytes));
        }
    }
    json!({"file": text, "files": files})
}

/// The folder that a file lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn names_commit(text: &str) -> bool {
    // A file that can't be read, or is written in one line, is left as it is: the server says what is wrong with it.
    Document::from_yaml(text).map_or(true, |d| d.value().get("commit").is_some()) || text.trim_start().starts_with('{')
}

/// The commit of the clone that a folder belongs to, if it does.
fn commit(folder: &Path) -> Option<String> {
    let output = Process::new("git")
        .arg("-C")
        .arg(folder)
        .args(["rev-parse", "--verify", "HEAD"])
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && commit.len() >= 40).then_some(commit)
}

pub(super) async fn check(args: &Args, check: &Check) -> Outcome {
    let name = check.file.display().to_string();
    if check.file.is_dir() {
        let governance = crate::serve::read_governance(&check.file)?;
        // As `serve` does: what it refuses is not valid.
        let in_force = engine::InForce::new(governance).map_err(|e| Failure::new(INVALID, e.to_string()))?;
        let warnings = super::calendar::warnings(&check.file, &in_force.governance)?;
        let whole = json!({
            "valid": true, "problems": [], "warnings": warnings.iter().map(|(_, value)| value).collect::<Vec<_>>(),
        });
        print(args, &whole, || {
            let lines = warnings.iter().map(|(said, _)| format!("warning: {said}"));
            lines.chain([format!("{name} is valid")]).collect::<Vec<_>>().join("\n")
        });
        return Ok(());
    }
    if check.file.extension().is_some_and(|e| e == "toml") {
        let problems = Config::read(&read_text(&check.file)?, &check.file).err().unwrap_or_default();
        return say(args, &name, &problems_json(&problems), None);
    }
    let text = read_text(&check.file)?;
    if folder_of(&check.file).file_name().is_some_and(|name| name == "standards") {
        return standard(args, &check.file, &name, &text);
    }
    if change::release::file::is_meant(&text) {
        return super::release::check(args, &check.file, check.offline).await;
    }
    if super::import::is_ours(&text) {
        return super::import::check(args, &check.file, &text);
    }
    if check.offline {
        let read = Document::from_yaml(&text).and_then(|document| document.read::<ChangeFile>());
        secrets::refuse(&secrets::found(&[Sent::ChangeFile(&check.file, &text)], &AllowList::default()))?;
        return say(args, &name, &problems_json(&read.err().unwrap_or_default()), None);
    }
    let client = Client::find(args)?;
    secrets::before_sending(&client, &[Sent::ChangeFile(&check.file, &text)]).await?;
    let answer = client.post("/changes/check", &change_request(text, &check.file, None), None).await?;
    let problems = answer.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
    say(args, &name, &problems, Some(&answer))
}

/// A template of a standard change; who is named in it is looked up where an `access.yaml` lies in the folder above.
fn standard(args: &Args, file: &Path, name: &str, text: &str) -> Outcome {
    secrets::refuse(&secrets::found(&[Sent::ChangeFile(file, text)], &AllowList::default()))?;
    let access = folder_of(file).join("../access.yaml");
    let read = Document::from_yaml(text).and_then(|document| {
        let template = Template::read(&document)?;
        let access = std::fs::read_to_string(&access).ok().and_then(|text| Document::from_yaml(&text).ok());
        let access: Option<change::actor::Access> = access.and_then(|document| document.read().ok());
        let strangers = access.map(|access| template.strangers(&access)).unwrap_or_default();
        let said: Vec<Problem> = strangers.into_iter().map(|(at, said)| document.problem(&at, said, None)).collect();
        if said.is_empty() { Ok(()) } else { Err(said) }
    });
    say(args, name, &problems_json(&read.err().unwrap_or_default()), None)
}

pub(super) fn problems_json(problems: &[Problem]) -> Vec<Value> {
    problems.iter().map(|p| serde_json::to_value(p).unwrap_or_default()).collect()
}

pub(super) fn say(args: &Args, name: &str, problems: &[Value], answer: Option<&Value>) -> Outcome {
    let whole = answer.cloned().unwrap_or_else(|| json!({"valid": problems.is_empty(), "problems": problems}));
    if problems.is_empty() {
        let effect = whole.get("effect_digest").and_then(Value::as_str).map(|e| format!(" (effect {e})"));
        print(args, &whole, || format!("{name} is valid{}", effect.unwrap_or_default()));
        return Ok(());
    }
    if args.json {
        print(args, &whole, String::new);
        return Err(Failure::new(INVALID, ""));
    }
    let lines: Vec<String> = problems.iter().map(show::problem_line).collect();
    let plural = if problems.len() == 1 { "problem" } else { "problems" };
    Err(Failure::new(INVALID, format!("{name} has {} {plural}\n{}", problems.len(), lines.join("\n"))))
}

pub(super) fn schema(kind: Schema) -> Outcome {
    let schema = match kind {
        Schema::Change => schemars::schema_for!(ChangeFile),
        Schema::Release => schemars::schema_for!(change::release::file::ReleaseFile),
        Schema::Config => schemars::schema_for!(Config),
        Schema::Access => schemars::schema_for!(change::actor::Access),
        Schema::Approvals => schemars::schema_for!(change::governance::Matrix),
        Schema::Paths => schemars::schema_for!(change::facts::paths::PathFile),
        Schema::Calendar => schemars::schema_for!(change::calendar::Calendar),
        Schema::Roster => schemars::schema_for!(change::roster::Roster),
        Schema::ErrorBudget => schemars::schema_for!(change::budget::BudgetPolicy),
        Schema::Conflicts => schemars::schema_for!(change::conflict::ConflictRules),
        Schema::Judge => schemars::schema_for!(crate::judging::config::JudgeConfig),
        Schema::Slis => schemars::schema_for!(change::governance::SliFile),
        Schema::Service => schemars::schema_for!(change::catalog::Service),
        Schema::Settings => schemars::schema_for!(change::governance::Settings),
        Schema::Standard => schemars::schema_for!(change::standard::Template),
        Schema::Secrets => schemars::schema_for!(change::secret::AllowList),
        Schema::Policy => schemars::schema_for!(change::facts::Facts),
        Schema::Openapi => {
            super::exactly(&serde_json::to_string_pretty(&server::openapi()).unwrap_or_default());
            return Ok(());
        }
    };
    super::exactly(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    Ok(())
}
