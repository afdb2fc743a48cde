//! Commands about changes, over the API.

use change::gate::Gate;
use change::{Change, ChangeId};
use serde_json::{Value, json};

use super::files::read_change_file;
use super::print;
use crate::args::{Args, Command, Found, List, Log};
use crate::client::Client;
use crate::exit::Outcome;
use crate::follow::{self, Style};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client) -> Outcome {
    let style = if args.json { Style::Json } else { Style::Text };
    let act = async |id: &ChangeId, verb: &str, body: Value| act(args, client, *id, verb, body).await;
    match &args.command {
        Command::Propose(propose) => {
            let body = read_change_file(client, &propose.file).await?;
            let view = client.post("/changes", &body, propose.key.as_deref()).await?;
            let change = follow::read_change(&view)?;
            if !(propose.watch && args.json) {
                print(args, &view, || {
                    format!(
                        "{} was proposed; follow it with `clearway watch {}`\n{}",
                        change.id,
                        change.id,
                        client.page(&format!("/changes/{}", change.id))
                    )
                });
            }
            if propose.watch { follow::to_completion(client, change.id, style).await } else { Ok(()) }
        }
        Command::Amend { change, file } => act(change, "amend", read_change_file(client, file).await?).await,
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
            print(args, &json, || show::gates(&state, &gates));
            Ok(())
        }
        Command::List(query) => list(args, client, query).await,
        Command::Approve { change, comment, effect } => {
            let effect = match effect {
                Some(effect) => *effect,
                None => state(client, *change).await?.proposal.effect_digest,
            };
            act(change, "approve", json!({"effect": effect, "comment": comment})).await
        }
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

async fn state(client: &Client, id: ChangeId) -> Outcome<Change> {
    follow::read_change(&client.get(&format!("/changes/{id}")).await?)
}

fn read_gates(view: &Value) -> Vec<Gate> {
    serde_json::from_value(view.get("gates").cloned().unwrap_or_default()).unwrap_or_default()
}

async fn act(args: &Args, client: &Client, id: ChangeId, verb: &str, body: Value) -> Outcome {
    let view = client.post(&format!("/changes/{id}/{verb}"), &body, None).await?;
    let change = follow::read_change(&view)?;
    print(args, &view, || format!("{id}: {}", change::explain::status(&change)));
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
        format!("{position:>6}  {change:<8} {}", show::event(event))
    };
    print(args, &found, || events.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

async fn metrics(args: &Args, client: &Client, since: change::Span) -> Outcome {
    let now = engine::ports::Clock::now(&engine::clock::SystemClock);
    let from =
        change::Timestamp::from_millisecond(now.as_millisecond() - i64::try_from(since.as_millis()).unwrap_or(0))
            .unwrap_or(change::Timestamp::UNIX_EPOCH);
    let report = client.get(&format!("/measures?from={from}&to={now}")).await?;
    print(args, &report, || {
        let figures = report.as_object().into_iter().flatten().filter(|(_, figure)| figure.get("samples").is_some());
        let row = |(name, figure): (&String, &Value)| {
            let unit = figure.get("unit").and_then(Value::as_str).unwrap_or_default();
            let value = figure
                .get("value")
                .and_then(Value::as_f64)
                .map_or_else(|| "insufficient data".into(), |v| in_unit(v, unit));
            vec![name.replace('_', " "), value, figure.get("samples").map(ToString::to_string).unwrap_or_default()]
        };
        show::table(&["figure", "value", "samples"], figures.map(row).collect())
    });
    Ok(())
}

fn in_unit(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0),
        "seconds" => change::Span::millis((value * 1_000.0) as u64).to_string(),
        _ => format!("{value}"),
    }
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
fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
