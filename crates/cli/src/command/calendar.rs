//! The command `calendar`: checks and draws windows and freezes, from a folder or from a server, says when a change could go, and asks for exceptions.
//!
//! What an entry means is decided in the core; here it is asked for and printed. A folder needs no server.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use change::backlog::Backlog;
use change::calendar::almanac::Listed;
use change::calendar::month::Month;
use change::calendar::{Almanac, Calendar as File, Opening, Passes, Remark, Subject};
use change::document::Document;
use change::governance::Governance;
use change::proposal::ChangeFile;
use change::time::TimeZone;
use change::{ChangeId, Timestamp};
use engine::clock::SystemClock;
use engine::ports::Clock as _;
use serde_json::{Value, json};

use super::changes::encode;
use super::print;
use crate::args::{Args, Calendar};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome, USAGE};

const FILE: &str = "calendar.yaml";

pub(super) async fn run(args: &Args, asked: &Calendar) -> Outcome {
    match asked {
        Calendar::Check { folder, strict } => check(args, folder, *strict),
        Calendar::Show { month, tz, service, team, governance } => {
            let zone = zone(tz)?;
            let now = SystemClock.now();
            let month = match month {
                Some(text) => Month::read(text, zone).map_err(|e| Failure::new(INVALID, e))?,
                None => Month::of(now, zone),
            };
            let about = About { service: service.as_deref(), team: team.as_deref() };
            let view = match governance {
                Some(folder) => in_folder(folder, &month, &about)?,
                None => on_server(args, &month, &about).await?,
            };
            show(args, &month, &view)
        }
        Calendar::Next { change, governance } => next(args, change, governance.as_deref()).await,
        Calendar::Except { change, freeze, until, grant: true, .. } => {
            grant(args, *change, freeze, an_end(*until)?).await
        }
        Calendar::Except { change, freeze, reason, revoke: true, .. } => {
            revoke(args, *change, freeze, reason.as_deref()).await
        }
        Calendar::Except { change, freeze, until, reason, .. } => {
            except(args, *change, freeze, an_end(*until)?, reason.as_deref()).await
        }
    }
}

struct About<'a> {
    service: Option<&'a str>,
    team: Option<&'a str>,
}

pub(super) fn zone(name: &str) -> Outcome<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        Failure::new(INVALID, format!("the time zone `{name}` is not known"))
            .help("write an IANA name such as `Europe/Berlin`")
    })
}

/// The calendar of a folder, as it is written.
struct Read {
    document: Document,
    calendar: File,
}

fn read(folder: &Path) -> Outcome<Read> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(ERROR, format!("`{}` can't be read: {error}", path.display()))
            .help("name the governance folder, which holds it")
    })?;
    let read = Document::from_yaml(&text).and_then(|document| {
        let calendar = document.read()?;
        Ok(Read { document, calendar })
    });
    read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{FILE}:{problem}")).collect();
        Failure::new(INVALID, lines.join("\n"))
    })
}

/// What should be known of the calendar of a governance folder: each in words, and for programs.
pub(super) fn warnings(folder: &Path, governance: &Governance) -> Outcome<Vec<(String, Value)>> {
    let remarks = governance.calendar_remarks(SystemClock.now());
    if remarks.is_empty() {
        return Ok(vec![]);
    }
    let Read { document, .. } = read(folder)?;
    Ok(remarks.iter().map(|remark| said(&document, remark)).collect())
}

/// A remark at its place in the file: in words, and for programs.
fn said(document: &Document, remark: &Remark) -> (String, Value) {
    let problem = document.problem(&remark.pointer, remark.message.clone(), remark.help.clone());
    let value = json!({"line": problem.place.line, "message": remark.message, "help": remark.help});
    (format!("{FILE}:{problem}"), value)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn check(args: &Args, folder: &Path, strict: bool) -> Outcome {
    let Read { document, calendar } = read(folder)?;
    let said = |remark: &Remark| said(&document, remark);
    // Who is named in it is looked up where the rest of the folder can be read.
    let whole = crate::serve::read_governance(folder).ok();
    let now = SystemClock.now();
    let warnings = whole.map_or_else(|| calendar.warnings(now), |governance| governance.calendar_remarks(now));
    let errors = calendar.problems();
    let is_valid = errors.is_empty() && (!strict || warnings.is_empty());
    let each = |remarks: &[Remark]| remarks.iter().map(|remark| said(remark).1).collect::<Vec<_>>();
    let (freezes, windows) = (calendar.freezes.len(), calendar.windows.len());
    let whole = json!({
        "valid": is_valid, "freezes": freezes, "windows": windows, "problems": each(&errors), "warnings": each(&warnings),
    });
    print(args, &whole, || {
        let mut lines: Vec<String> = errors.iter().map(|remark| format!("error: {}", said(remark).0)).collect();
        let warned = if strict { "error" } else { "warning" };
        lines.extend(warnings.iter().map(|remark| format!("{warned}: {}", said(remark).0)));
        let (freezes, windows) = (counted(freezes, "freeze"), counted(windows, "window"));
        lines.push(format!("{freezes}, {windows}: {}", if is_valid { "valid" } else { "not valid" }));
        lines.join("\n")
    });
    let otherwise = if args.json { "" } else { "the calendar is not valid" };
    if is_valid { Ok(()) } else { Err(Failure::new(INVALID, otherwise)) }
}

fn in_folder(folder: &Path, month: &Month, about: &About<'_>) -> Outcome<Value> {
    let calendar = valid(folder)?;
    let (from, to) = month.range();
    let almanac = Almanac::of(&calendar);
    let mut found = almanac.between(None, from, to);
    found.retain(|occurrence| occurrence.concerns(about.service, about.team));
    let listed: Vec<Listed> = found.iter().map(|occurrence| occurrence.listed()).collect();
    Ok(json!({"from": from, "to": to, "now": SystemClock.now(), "occurrences": listed, "planned": [], "backlog": []}))
}

fn valid(folder: &Path) -> Outcome<File> {
    let calendar = read(folder)?.calendar;
    match calendar.problems().first() {
        None => Ok(calendar),
        Some(first) => {
            let help = format!("see all that is wrong: `clearway calendar check {}`", folder.display());
            Err(Failure::new(INVALID, format!("{FILE}: {}", first.message)).help(help))
        }
    }
}

async fn on_server(args: &Args, month: &Month, about: &About<'_>) -> Outcome<Value> {
    let (from, to) = month.range();
    let asked = [("service", about.service), ("team", about.team)];
    let more: String = asked.iter().filter_map(|(name, of)| of.map(|of| format!("&{name}={}", encode(of)))).collect();
    client(args)?.get(&format!("/calendar?from={from}&to={to}{more}")).await
}

fn client(args: &Args) -> Outcome<Client> {
    Client::find(args).map_err(|failure| match &failure.help {
        Some(help) => {
            let help = format!("{help}; or name a governance folder, which needs no server");
            failure.help(help)
        }
        None => failure,
    })
}

fn show(args: &Args, month: &Month, view: &Value) -> Outcome {
    let listed: Vec<Listed> = field(view, "occurrences")?;
    let backlog: Vec<Backlog> = field(view, "backlog")?;
    let planned: Vec<(Timestamp, String)> = field::<Vec<Value>>(view, "planned")?
        .iter()
        .filter_map(|one| {
            let at = one["at"].as_str()?.parse().ok()?;
            Some((at, format!("{} {}", one["change"].as_str()?, one["title"].as_str()?)))
        })
        .collect();
    print(args, view, || {
        let mut text = month.draw(&month.days(&listed, &planned));
        text.push('\n');
        legend(&mut text, month, &listed);
        for (at, what) in &planned {
            let _ = writeln!(text, "* {}  {what}", month.shows(*at));
        }
        for one in &backlog {
            let _ = writeln!(text, "{}", one.in_words());
        }
        text
    });
    Ok(())
}

/// Each entry once, with its first time in the month and how often it is in it.
fn legend(text: &mut String, month: &Month, listed: &[Listed]) {
    let mut told = BTreeSet::new();
    for one in listed.iter().filter(|one| told.insert(one.name.clone())) {
        let more = listed.iter().filter(|other| other.name == one.name).count() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        let sign = if one.what == change::calendar::What::Freeze { '#' } else { '+' };
        let reason = if one.reason.is_empty() { String::new() } else { format!(": {}", one.reason) };
        let (from, until) = (month.shows(one.from), month.shows(one.until));
        let _ = writeln!(text, "{sign} {from} to {until}{more}  {} ({}){reason}", one.name, one.scope());
    }
}

async fn next(args: &Args, change: &str, governance: Option<&Path>) -> Outcome {
    let (whole, says) = match governance {
        Some(folder) => of_file(Path::new(change), folder)?,
        None => {
            let view = client(args)?.get(&format!("/changes/{}/calendar", encode(change))).await?;
            let says = view["says"].as_str().unwrap_or_default().to_owned();
            (view, says)
        }
    };
    print(args, &whole, || match serde_json::from_value::<Opening>(whole["opening"].clone()) {
        Ok(opening) => lines(&opening),
        Err(_) => says,
    });
    Ok(())
}

/// What the calendar of a folder says of a change file. Its risk isn't known without a server, so that entries for every level count.
fn of_file(file: &Path, folder: &Path) -> Outcome<(Value, String)> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(ERROR, format!("`{}` can't be read: {error}", file.display())))?;
    let read: ChangeFile = Document::from_yaml(&text).and_then(|document| document.read()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", file.display())).collect();
        Failure::new(INVALID, lines.join("\n"))
    })?;
    let services: BTreeSet<String> = read.services.iter().cloned().collect();
    let subject = Subject {
        services: &services,
        teams: [read.owner.as_str()].into(),
        environment: &read.environment,
        kind: read.kind,
        risk: None,
    };
    let now = SystemClock.now();
    let asked = read.when.not_before(now);
    let standing = Almanac::of(&valid(folder)?).standing(&subject, &Passes::default(), asked);
    let says = standing.opening.in_words();
    let mut whole = serde_json::to_value(&standing).unwrap_or_default();
    (whole["says"], whole["now"]) = (json!(says), json!(now));
    Ok((whole, says))
}

fn lines(opening: &Opening) -> String {
    let mut text = match (opening.at, opening.obstacles.is_empty()) {
        (Some(at), true) => format!("open at {at}"),
        (Some(at), false) => format!("opens at {at}"),
        (None, _) => "does not open within ten years".into(),
    };
    for obstacle in &opening.obstacles {
        let _ = write!(text, "\n  {} {}", obstacle.from, obstacle.in_words());
    }
    text
}

async fn grant(args: &Args, change: ChangeId, freeze: &str, until: Timestamp) -> Outcome {
    let path = format!("/changes/{change}/grant-exception");
    let client = Client::find(args)?;
    let view = client.post(&path, &json!({"freeze": freeze, "until": until}), None).await?;
    print(args, &view, || format!("{change} passes the freeze `{freeze}` until {until}, as was asked"));
    Ok(())
}

async fn revoke(args: &Args, change: ChangeId, freeze: &str, reason: Option<&str>) -> Outcome {
    let path = format!("/changes/{change}/revoke-exception");
    let body = json!({"freeze": freeze, "reason": reason.unwrap_or_default()});
    let view = Client::find(args)?.post(&path, &body, None).await?;
    print(args, &view, || {
        format!("no exception of the freeze `{freeze}` is asked for or granted for {change} any more")
    });
    Ok(())
}

async fn except(args: &Args, change: ChangeId, freeze: &str, until: Timestamp, reason: Option<&str>) -> Outcome {
    let client = Client::find(args)?;
    let body = json!({"freeze": freeze, "until": until, "reason": reason.unwrap_or_default()});
    let view = client.post(&format!("/changes/{change}/except"), &body, None).await?;
    print(args, &view, || {
        format!(
            "asked; who owns the freeze `{freeze}` grants it with `clearway calendar except {change} --freeze {freeze} --grant --until {until}`"
        )
    });
    Ok(())
}

fn an_end(until: Option<Timestamp>) -> Outcome<Timestamp> {
    until.ok_or_else(|| Failure::new(USAGE, "say until when: `--until '2026-12-01T09:00 Europe/Berlin'`"))
}

fn field<T: serde::de::DeserializeOwned>(view: &Value, field: &str) -> Outcome<T> {
    serde_json::from_value(view.get(field).cloned().unwrap_or_default())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `{field}`: {e}")))
}
