//! The command `schedule`: who is expected to begin when, what may go at an instant, and where a change would stand that nobody has proposed.
//!
//! Played by the server; here it is asked for and printed.

use std::fmt::Write as _;

use change::Timestamp;
use change::agenda::days::{self, shows};
use change::agenda::{Agenda, Item};
use change::time::TimeZone;
use engine::agenda::BatchNow;
use serde_json::{Value, json};

use super::changes::encode;
use super::files::read_change_file;
use super::print;
use crate::args::{Args, Batch, Schedule};
use crate::client::Client;
use crate::exit::{ERROR, Failure, Outcome};

pub(super) async fn run(args: &Args, asked: &Schedule) -> Outcome {
    let zone = super::calendar::zone(&asked.tz)?;
    let client = Client::find(args)?;
    let view = match &asked.file {
        Some(file) => {
            let mut body = read_change_file(&client, file).await?;
            // Nothing is kept, and so there is nowhere to show what is allowed.
            body.as_object_mut().map(|fields| fields.remove("secrets"));
            (body["at"], body["days"]) = (json!(asked.at), json!(asked.days));
            client.post("/schedule", &body, None).await?
        }
        None => client.get(&path(asked)).await?,
    };
    let agenda: Agenda = serde_json::from_value(view.clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {e}")))?;
    print(args, &view, || match (&asked.file, view.get("at").filter(|at| at.is_object())) {
        (Some(_), _) => yours(&agenda, &zone),
        (None, Some(at)) => moment(at, &zone),
        (None, None) if asked.batches => batches(&view, &agenda, &zone),
        (None, None) => days::draw(&agenda, &zone),
    });
    Ok(())
}

/// Lets the rest of a batch go on.
pub(super) async fn batch(args: &Args, client: &Client, asked: &Batch) -> Outcome {
    let Batch::Release { name, reason } = asked;
    let view = client.post(&format!("/batches/{}/release", encode(name)), &json!({"reason": reason}), None).await?;
    print(args, &view, || format!("released the batch `{name}`: what waits of it goes in its window"));
    Ok(())
}

fn batches(view: &Value, agenda: &Agenda, zone: &TimeZone) -> String {
    let all = serde_json::from_value::<Vec<BatchNow>>(view["batches"].clone()).unwrap_or_default();
    let mut text = String::new();
    for batch in &all {
        let _ = writeln!(text, "{}", batch.in_words(zone));
        for item in agenda.items.iter().filter(|item| item.batch.as_ref() == Some(&batch.name)) {
            let when = item.starts_at.map_or_else(|| "unknown".into(), |at| shows(at, zone));
            let _ = writeln!(text, "  {when}  {}\n      {}", item.name(), item.because);
        }
    }
    if all.is_empty() { "there is no batch: `batches` of calendar.yaml makes them".into() } else { text }
}

fn path(asked: &Schedule) -> String {
    let texts = [("team", &asked.team), ("service", &asked.service), ("environment", &asked.environment)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", encode(text.as_ref()?))));
    let days = asked.days.map(|days| format!("days={days}"));
    let at = asked.at.map(|at| format!("at={at}"));
    let query: Vec<String> = texts.chain(days).chain(at).collect();
    if query.is_empty() { "/schedule".into() } else { format!("/schedule?{}", query.join("&")) }
}

/// Where the change stands that nobody has proposed.
fn yours(agenda: &Agenda, zone: &TimeZone) -> String {
    let Some(item) = agenda.items.iter().find(|item| item.change.is_none()) else {
        return "the server does not say where it would stand".into();
    };
    let at = |at: Timestamp| shows(at, zone);
    let end = item.ends_at.map_or_else(|| "its end is unknown".into(), |end| format!("it ends at {}", at(end)));
    let when = match item.starts_at {
        Some(start) => format!("it would begin at {} {}, and {end}", at(start), zone.iana_name().unwrap_or("UTC")),
        None => format!("nobody can say that it begins before {}", at(agenda.until)),
    };
    format!("{when}\n  {}\n  as if it were approved: whether it will be, policy and people say", item.because)
}

fn moment(said: &Value, zone: &TimeZone) -> String {
    let items = |field: &str| serde_json::from_value::<Vec<Item>>(said[field].clone()).unwrap_or_default();
    let mut text = String::new();
    let at = said["at"].as_str().and_then(|at| at.parse().ok()).map_or_else(String::new, |at| shows(at, zone));
    let _ = writeln!(text, "At {at} {}, if nobody does anything until then:", zone.iana_name().unwrap_or("UTC"));
    for item in items("goes") {
        let since = item.starts_at.map_or_else(String::new, |at| format!(" from {}", shows(at, zone)));
        let _ = writeln!(text, "  goes{since}  {}", item.name());
    }
    for item in items("waits") {
        let _ = writeln!(text, "  waits  {}\n      {}", item.name(), item.because);
    }
    text
}
