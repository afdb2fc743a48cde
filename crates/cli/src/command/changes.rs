//! Commands about changes, over the API.

use change::gate::Gate;
use change::{Change, ChangeId};
use serde_json::{Value, json};

use super::files::read_change_file;
use super::{approve, figures, material, outside, print};
use crate::args::{Args, Command, Found, List, Log};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::follow::{self, Style};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client) -> Outcome {
    let style = if args.json { Style::Json } else { Style::Text };
    let act = async |id: &ChangeId, verb: &str, body: Value| act(args, client, *id, verb, body).await;
    match &args.command {
        Command::Propose(asked) => {
            let body = material::request(client, asked.file.as_deref(), &asked.material).await?;
            material::warn(args, &body);
            let id = propose(args, client, &body, asked.key.as_deref(), asked.watch).await?;
            if asked.watch { follow::to_completion(client, id, style).await } else { Ok(()) }
        }
        Command::Amend { change, file, revision, material } => {
            let mut body = material::request(client, file.as_deref(), material).await?;
            material::warn(args, &body);
            if let Some(revision) = revision {
                body["revision"] = json!(revision);
            }
            act(change, "amend", body).await
        }
        Command::Facts(asked) => material::facts(args, client, asked).await,
        Command::Show { change } => {
            let view = client.get(&format!("/changes/{change}")).await?;
            let (state, gates) = (follow::read_change(&view)?, read_gates(&view));
            print(args, &view, || show::change(&state, &gates));
            Ok(())
        }
        Command::Why { change } => {
            let view = client.get(&format!("/changes/{change}")).await?;
            let (state, gates) = (follow::read_change(&view)?, read_gates(&view));
            let json = client.get(&format!("/changes/{change}/gates")).await?;
            let notice = json["notice"].as_str().map_or_else(String::new, |notice| format!("\n\nnote: {notice}"));
            print(args, &json, || show::gates(&state, &gates).trim_end().to_owned() + &notice);
            Ok(())
        }
        Command::Diff { change, from, to } => diff(args, client, *change, *from, *to).await,
        Command::List(query) => list(args, client, query).await,
        Command::RequestChanges { change, reason } => act(change, "request-changes", json!({"reason": reason})).await,
        Command::TakeBack { change, reason } => act(change, "take-back", json!({"reason": reason})).await,
        Command::Override { change, rule, reason } => {
            act(change, "override", json!({"code": rule, "reason": reason})).await
        }
        Command::BreakGlass { change, reason } => act(change, "break-glass", json!({"reason": reason})).await,
        Command::Tick { change, point, note } => {
            let (list, code) = point.split_once('/').ok_or_else(|| {
                Failure::new(INVALID, format!("`{point}` is no point of a checklist")).help("write it as `LIST/POINT`")
            })?;
            act(change, "tick", json!({"list": list, "code": code, "note": note})).await
        }
        Command::Emergency { file, incident, reason, watch, key } => {
            let mut body = read_change_file(client, file).await?;
            body["emergency"] = json!({"incident": incident, "reason": reason});
            let id = propose(args, client, &body, key.as_deref(), *watch).await?;
            if *watch { follow::to_completion(client, id, style).await } else { Ok(()) }
        }
        Command::Record { file, deployed_at, reason, key } => {
            let mut body = read_change_file(client, file).await?;
            body["afterwards"] = json!({"deployed_at": deployed_at, "reason": reason});
            let view = client.post("/changes", &body, key.as_deref()).await?;
            let id = follow::read_change(&view)?.id;
            let page = client.page(&format!("/changes/{id}"));
            print(args, &view, || {
                format!("{id} is on record; it owes an approval and a review, see `clearway debts`\n{page}")
            });
            Ok(())
        }
        Command::Begin { change } => outside::begin(args, client, *change).await,
        Command::Finish(asked) => outside::finish(args, client, asked).await,
        Command::Wait(asked) => outside::wait(args, client, asked).await,
        Command::Approve(vote) => approve::run(args, client, vote).await,
        Command::Reject { change, reason } => act(change, "reject", json!({"reason": reason})).await,
        Command::Pause { change, reason } => act(change, "pause", json!({"reason": reason})).await,
        Command::Resume { change, found } => {
            let found = found.map(|f| match f {
                Found::Applied => "applied",
                Found::NotApplied => "not_applied",
            });
            act(change, "resume", json!({"found": found})).await
        }
        Command::Promote { change, reason } => act(change, "promote", json!({"reason": reason})).await,
        Command::Rollback { change, reason } => act(change, "rollback", json!({"reason": reason})).await,
        Command::Withdraw { change, reason } => act(change, "withdraw", json!({"reason": reason})).await,
        Command::Complete { change, evidence } => act(change, "complete", json!({"evidence": evidence})).await,
        Command::Review { change, summary } => act(change, "review", json!({"summary": summary})).await,
        Command::Watch { change } => follow::to_completion(client, *change, style).await,
        Command::Log(query) => log(args, client, query).await,
        Command::Metrics { since } => metrics(args, client, *since).await,
        Command::Drivers => drivers(args, client).await,
        // The rest are handled by whoever runs them without a server.
        _ => Ok(()),
    }
}

/// Proposes, and says where it can be followed; silent where a stream of JSON comes after it.
async fn propose(args: &Args, client: &Client, body: &Value, key: Option<&str>, watch: bool) -> Outcome<ChangeId> {
    let view = client.post("/changes", body, key).await?;
    tell_of_proposal(args, client, &view, watch)
}

pub(super) fn tell_of_proposal(args: &Args, client: &Client, view: &Value, watch: bool) -> Outcome<ChangeId> {
    let id = follow::read_change(view)?.id;
    if !(watch && args.json) {
        let page = client.page(&format!("/changes/{id}"));
        print(args, view, || format!("{id} was proposed; follow it with `clearway watch {id}`\n{page}"));
    }
    Ok(id)
}

pub(super) async fn state(client: &Client, id: ChangeId) -> Outcome<Change> {
    follow::read_change(&client.get(&format!("/changes/{id}")).await?)
}

pub(super) fn read_gates(view: &Value) -> Vec<Gate> {
    serde_json::from_value(view.get("gates").cloned().unwrap_or_default()).unwrap_or_default()
}

pub(super) async fn act(args: &Args, client: &Client, id: ChangeId, verb: &str, body: Value) -> Outcome {
    let view = client.post(&format!("/changes/{id}/{verb}"), &body, None).await?;
    let change = follow::read_change(&view)?;
    print(args, &view, || format!("{id}: {}", change::explain::status(&change)));
    Ok(())
}

async fn diff(args: &Args, client: &Client, id: ChangeId, from: Option<u32>, to: Option<u32>) -> Outcome {
    let named = [("from", from), ("to", to)].into_iter().filter_map(|(name, n)| Some(format!("{name}={}", n?)));
    let query = named.collect::<Vec<_>>().join("&");
    let found = client.get(&format!("/changes/{id}/diff?{query}")).await?;
    let diff = serde_json::from_value(found.clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {e}")))?;
    print(args, &found, || show::diff(id, &diff));
    Ok(())
}

async fn list(args: &Args, client: &Client, query: &List) -> Outcome {
    let mut path = format!("/changes?limit={}", query.limit);
    query.phase.iter().for_each(|phase| path.push_str(&format!("&phase={}", encode(phase))));
    query.service.iter().for_each(|service| path.push_str(&format!("&service={}", encode(service))));
    query.before.iter().for_each(|before| path.push_str(&format!("&before={before}")));
    let found = client.get(&path).await?;
    let rows = found.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
    print(args, &found, || show::list(&rows));
    Ok(())
}

async fn log(args: &Args, client: &Client, query: &Log) -> Outcome {
    let path = match query.change {
        Some(id) => format!("/changes/{id}/log"),
        None => format!("/log?from={}&limit={}", query.from, query.limit),
    };
    let found = client.get(&path).await?;
    let events = found.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let line = |event: &Value| {
        let position = event.get("position").and_then(Value::as_u64).unwrap_or_default();
        let change = event.get("change").and_then(Value::as_str).unwrap_or("-");
        let day = event.get("time").and_then(Value::as_str).and_then(|time| time.get(..10)).unwrap_or_default();
        format!("{position:>6}  {change:<8} {day} {}", show::event(event))
    };
    print(args, &found, || events.iter().map(line).collect::<Vec<_>>().join("\n"));
    let last = events.last().and_then(|event| event.get("position")).and_then(Value::as_u64);
    let is_cut = query.change.is_none() && u32::try_from(events.len()).is_ok_and(|shown| shown >= query.limit);
    if let Some(last) = last.filter(|_| is_cut && !args.json) {
        super::aside(&format!("there may be more: `clearway log --from {}`", last + 1));
    }
    Ok(())
}

async fn metrics(args: &Args, client: &Client, since: change::Span) -> Outcome {
    let now = engine::ports::Clock::now(&engine::clock::SystemClock);
    let from =
        change::Timestamp::from_millisecond(now.as_millisecond() - i64::try_from(since.as_millis()).unwrap_or(0))
            .unwrap_or(change::Timestamp::UNIX_EPOCH);
    let report = client.get(&format!("/measures?from={from}&to={now}")).await?;
    print(args, &report, || figures::text(&report));
    Ok(())
}

async fn drivers(args: &Args, client: &Client) -> Outcome {
    let found = client.get("/drivers").await?;
    print(args, &found, || {
        let drivers = found.get("drivers").and_then(Value::as_array).cloned().unwrap_or_default();
        let row = |driver: &Value| {
            let name = driver.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let options = driver.pointer("/schema/properties").and_then(Value::as_object);
            vec![name, options.into_iter().flat_map(|o| o.keys().cloned()).collect::<Vec<_>>().join(", ")]
        };
        show::table(&["driver", "options"], drivers.iter().map(row).collect())
    });
    Ok(())
}

/// Percent-encodes what is not plain in a query.
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
