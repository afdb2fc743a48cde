//! On call: who answers for services at an instant.

use change::Timestamp;
use engine::rosters::OnCall;

use super::print;
use crate::args::Args;
use crate::client::Client;
use crate::exit::{ERROR, Failure, Outcome};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client, service: Option<&str>, at: Option<Timestamp>) -> Outcome {
    let service = service.map(|name| format!("service={}", super::changes::encode(name)));
    let query: Vec<String> = service.into_iter().chain(at.map(|at| format!("at={at}"))).collect();
    let path = if query.is_empty() { "/on-call".to_owned() } else { format!("/on-call?{}", query.join("&")) };
    let view = client.get(&path).await?;
    let found: Vec<OnCall> = serde_json::from_value(view["services"].clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `services`: {e}")))?;
    print(args, &view, || {
        if found.is_empty() {
            return "the catalog has no service".into();
        }
        show::table(&["service", "on call", "until", "by"], found.iter().map(row).collect())
    });
    Ok(())
}

fn row(one: &OnCall) -> Vec<String> {
    let joined = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let users = match &one.duty.unknown {
        Some(why) => format!("unknown: {why}"),
        None if one.duty.users.is_empty() => "nobody".to_owned(),
        None => joined(&one.duty.users),
    };
    let copy = one.fetched_at.map_or_else(String::new, |at| format!(", as fetched at {at}"));
    let failed = one.failed.as_ref().map_or_else(String::new, |why| format!("; it could not be fetched since: {why}"));
    let until = one.duty.until.map_or_else(String::new, |at| at.to_string());
    vec![one.name.clone(), users, until, format!("{}{copy}{failed}", joined(&one.duty.named))]
}
