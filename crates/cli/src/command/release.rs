//! Releases: several changes as one: proposing, showing, following, withdrawing and rolling them back.
//!
//! Reads the release file and the change files that it names, fills in what is filled in for each, and sends them together; what they mean is the
//! server's to say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use change::ReleaseId;
use change::document::Problem;
use change::proposal::ChangeFile;
use change::release::Standing;
use change::release::file::{self, Origin, Outline, Sketch};
use change::secret::AllowList;
use serde_json::{Map, Value, json};

use super::files::{change_request, folder_of, problems_json, read_text, say};
use super::print;
use super::secrets::{self, Sent};
use crate::args::{Args, Release};
use crate::client::Client;
use crate::exit::{Failure, INVALID, NOT_COMPLETED, Outcome};
use crate::show;

/// The pace at which a release is followed.
const PACE: Duration = Duration::from_millis(500);

pub(super) async fn run(args: &Args, client: &Client, asked: &Release) -> Outcome {
    match asked {
        Release::Propose { file, watch: follow, key } => {
            let body = request(client, file).await?;
            let view = client.post("/releases", &body, key.as_deref()).await?;
            let id = id_of(&view)?;
            if !(*follow && args.json) {
                let page = client.page(&format!("/releases/{id}"));
                print(args, &view, || {
                    format!(
                        "{}\n\n{id} was proposed; follow it with `clearway release watch {id}`\n{page}",
                        shown(&view)
                    )
                });
            }
            if *follow { watch(args, client, id).await } else { Ok(()) }
        }
        Release::Show { release } => {
            let view = client.get(&format!("/releases/{release}")).await?;
            print(args, &view, || shown(&view));
            Ok(())
        }
        Release::List => list(args, client).await,
        Release::Watch { release } => watch(args, client, *release).await,
        Release::Withdraw { release, reason } => act(args, client, *release, "withdraw", reason).await,
        Release::Rollback { release, reason } => act(args, client, *release, "rollback", reason).await,
    }
}

async fn act(args: &Args, client: &Client, id: ReleaseId, verb: &str, reason: &str) -> Outcome {
    let view = client.post(&format!("/releases/{id}/{verb}"), &json!({"reason": reason}), None).await?;
    print(args, &view, || format!("{id}: {}", text(&view, "status")));
    Ok(())
}

async fn list(args: &Args, client: &Client) -> Outcome {
    let found = client.get("/releases").await?;
    let rows: Vec<&Value> = found["releases"].as_array().into_iter().flatten().collect();
    let row = |row: &&Value| {
        let changes = row["changes"].as_u64().unwrap_or_default().to_string();
        vec![text(row, "id"), phase(row), changes, text(row, "title"), text(row, "status")]
    };
    print(args, &found, || match rows.is_empty() {
        true => "there is no release yet; propose one with `clearway release propose release.yaml`".into(),
        false => show::table(&["release", "phase", "changes", "title", "status"], rows.iter().map(row).collect()),
    });
    Ok(())
}

/// Follows a release until it ends, and fails unless it was completed.
async fn watch(args: &Args, client: &Client, id: ReleaseId) -> Outcome {
    let mut seen = 0;
    loop {
        // The state first: what it ended with is in the log that is read after it.
        let view = client.get(&format!("/releases/{id}")).await?;
        let log = client.get(&format!("/releases/{id}/log")).await?;
        for entry in log["entries"].as_array().into_iter().flatten().skip(seen) {
            seen += 1;
            match args.json {
                true => super::exactly(&entry.to_string()),
                false => super::line(&format!("{id:<7} {}", show::event(entry))),
            }
        }
        if view["ended"] == json!(true) {
            return outcome(id, &view);
        }
        tokio::time::sleep(PACE).await;
    }
}

fn outcome(id: ReleaseId, view: &Value) -> Outcome {
    if text(view, "phase") == "completed" {
        return Ok(());
    }
    Err(Failure::new(NOT_COMPLETED, format!("{id} ended as {}: {}", phase(view), text(view, "status"))))
}

/// The request that proposes a release: its file and a change file for each member that is not proposed already.
///
/// # Errors
/// If a file can't be read, or holds a secret that nobody allows: then nothing is sent.
async fn request(client: &Client, file: &Path) -> Outcome<Value> {
    let (text, outline) = outline(file)?;
    let texts = texts(file, &outline)?;
    let mut sent = vec![Sent::ChangeFile(file, &text)];
    sent.extend(texts.values().map(|(path, text)| Sent::ChangeFile(path, text)));
    secrets::before_sending(client, &sent).await?;
    let mut changes = Map::new();
    for (name, (path, text)) in texts {
        changes.insert(name, change_request(text, &path, None));
    }
    Ok(json!({"file": text, "changes": changes}))
}

/// Checks a release file with the change files that it names.
pub(super) async fn check(args: &Args, file: &Path, offline: bool) -> Outcome {
    let name = file.display().to_string();
    if !offline {
        let client = Client::find(args)?;
        let answer = client.post("/releases/check", &request(&client, file).await?, None).await?;
        let problems = answer["problems"].as_array().cloned().unwrap_or_default();
        return say(args, &name, &problems, Some(&answer));
    }
    let (text, outline) = outline(file)?;
    let texts = texts(file, &outline)?;
    let mut sent = vec![Sent::ChangeFile(file, &text)];
    sent.extend(texts.values().map(|(path, text)| Sent::ChangeFile(path, text)));
    secrets::refuse(&secrets::found(&sent, &AllowList::default()))?;
    let of_member = |(i, sketch): (usize, &Sketch)| {
        let text = texts.get(&sketch.name).map(|(_, text)| text.as_str())?;
        let read = change::document::Document::from_yaml(text).and_then(|document| document.read::<ChangeFile>());
        let say = |problem: Problem| outline.problem(i, format!("its change file: {problem}"), None);
        Some(read.err()?.into_iter().map(say).collect::<Vec<_>>())
    };
    let problems: Vec<Problem> = outline.members.iter().enumerate().filter_map(of_member).flatten().collect();
    say(args, &name, &problems_json(&problems), None)
}

fn outline(file: &Path) -> Outcome<(String, Outline)> {
    let text = read_text(file)?;
    let read = file::read(&text).map_err(|problems| {
        let lines: Vec<String> = problems_json(&problems).iter().map(show::problem_line).collect();
        let plural = if problems.len() == 1 { "problem" } else { "problems" };
        Failure::new(INVALID, format!("{} has {} {plural}\n{}", file.display(), lines.len(), lines.join("\n")))
    })?;
    Ok((text, read))
}

/// The change file of each member that has one, by its name, with the path that it is read from.
fn texts(file: &Path, outline: &Outline) -> Outcome<BTreeMap<String, (PathBuf, String)>> {
    let beside = folder_of(file);
    let mut texts = BTreeMap::new();
    for sketch in &outline.members {
        let found = match &sketch.from {
            Origin::Path(path) => {
                let path = beside.join(path);
                let text = read_text(&path)?;
                (path, text)
            }
            Origin::Text(text) => (file.to_owned(), text.clone()),
            Origin::Existing(_) => continue,
        };
        texts.insert(sketch.name.clone(), (found.0, sketch.fill(&found.1)));
    }
    Ok(texts)
}

fn id_of(view: &Value) -> Outcome<ReleaseId> {
    text(view, "id").parse().map_err(|error: String| Failure::new(crate::exit::ERROR, error))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or("-").to_owned()
}

fn phase(view: &Value) -> String {
    text(view, "phase").replace('_', " ")
}

/// A release on one screen: its members in the order in which they go.
fn shown(view: &Value) -> String {
    let mut out = format!("{}  {}\n  {}\n\n", text(view, "id"), text(view, "title"), text(view, "status"));
    let follows = if view["on_failure"] == "stop" { "what has begun goes on" } else { "all goes back, the last first" };
    let _ = write!(
        out,
        "  phase        {}\n  owner        {}\n  on a failure {follows}\n\n",
        phase(view),
        text(view, "owner")
    );
    let members: Vec<&Value> = view["members"].as_array().into_iter().flatten().collect();
    let in_order = view["layers"].as_array().into_iter().flatten().enumerate().flat_map(|(layer, of)| {
        let numbers = of.as_array().into_iter().flatten().filter_map(Value::as_u64);
        numbers.map(move |number| (layer, number)).collect::<Vec<_>>()
    });
    let row = |(layer, number): (usize, u64)| {
        let member = members.get(usize::try_from(number).ok()?)?;
        let wave = member["wave"].as_str().map_or_else(|| (layer + 1).to_string(), str::to_owned);
        let standing = serde_json::from_value::<Standing>(member["standing"].clone()).ok()?.to_string();
        let verdict = member["seen"]["verdict"].as_str().unwrap_or("-").to_owned();
        let title = member["seen"]["title"].as_str().unwrap_or("not yours to see").to_owned();
        Some(vec![
            wave,
            text(member, "name"),
            text(member, "change"),
            standing,
            verdict,
            after(member, &members),
            title,
        ])
    };
    let rows = in_order.filter_map(row).collect();
    out.push_str(&show::table(&["wave", "name", "change", "stands", "verdict", "after", "title"], rows));
    for member in members.iter().filter(|member| member["stuck"].is_string()) {
        let _ = write!(out, "\n\n{} can't be rolled back: {}", text(member, "change"), text(member, "stuck"));
    }
    out
}

/// The members that one comes after; where it follows whole waves, their names are clear from the column beside it.
fn after(member: &Value, members: &[&Value]) -> String {
    if member["wave"].is_string() {
        return "-".into();
    }
    let numbers = member["after"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let names = numbers.filter_map(|number| members.get(usize::try_from(number).ok()?));
    let names: Vec<String> = names.map(|member| text(member, "name")).collect();
    if names.is_empty() { "-".into() } else { names.join(", ") }
}
