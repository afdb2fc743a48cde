//! People and everything: who stands in for whom, the stop of everything, what is owed.

use std::fmt::Write as _;

use change::circumstances::{Delegation, OpenDebt, Stopped};
use serde_json::{Value, json};

use super::print;
use crate::args::{Args, Command, Delegate};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client) -> Outcome {
    match &args.command {
        Command::Delegate(asked) => delegate(args, client, asked).await,
        Command::StopAll { reason, release } => stop(args, client, reason.as_deref(), *release).await,
        Command::Debts { owner, overdue } => debts(args, client, owner.as_deref(), *overdue).await,
        // The rest are handled elsewhere.
        _ => Ok(()),
    }
}

async fn delegate(args: &Args, client: &Client, asked: &Delegate) -> Outcome {
    let Delegate { to, away, lasts, until, group, from, reason, end } = asked;
    let view = if *end {
        client.post("/delegations/end", &json!({"from": from, "to": to}), None).await?
    } else if to.is_none() && !away {
        client.get("/delegations").await?
    } else if lasts.is_none() && until.is_none() {
        return Err(Failure::new(INVALID, "a delegation ends by itself").help("add `--for 2w` or `--until TIME`"));
    } else {
        let body = json!({"from": from, "to": to, "groups": group, "until": until, "lasts": lasts, "reason": reason});
        client.post("/delegations", &body, None).await?
    };
    let held: Vec<Delegation> = read(&view, "delegations")?;
    print(args, &view, || {
        if held.is_empty() {
            return "nobody stands in for anybody".into();
        }
        let row = |d: &Delegation| {
            let groups = if d.groups.is_empty() { "all".into() } else { join(d.groups.iter()) };
            vec![
                d.from.clone(),
                d.to.clone().unwrap_or_else(|| "(away)".into()),
                groups,
                d.until.to_string(),
                d.reason.clone(),
            ]
        };
        show::table(&["in place of", "stands in", "groups", "until", "reason"], held.iter().map(row).collect())
    });
    Ok(())
}

fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

async fn stop(args: &Args, client: &Client, reason: Option<&str>, release: bool) -> Outcome {
    let view = match reason {
        None => client.get("/stop").await?,
        Some(reason) => {
            let path = if release { "/stop/release" } else { "/stop" };
            client.post(path, &json!({"reason": reason}), None).await?
        }
    };
    let stopped: Option<Stopped> = read(&view, "stopped")?;
    print(args, &view, || match stopped {
        None => "nothing is stopped".into(),
        Some(stopped) => {
            let who = change::explain::actor(&stopped.by);
            let mut said = format!("everything is stopped since {}, by {who}: {}", stopped.since, stopped.reason);
            let _ = write!(said, "\nrelease it with `clearway stop-all --release --reason \"...\"`");
            said
        }
    });
    Ok(())
}

async fn debts(args: &Args, client: &Client, owner: Option<&str>, overdue: bool) -> Outcome {
    let mut view = client.get("/debts").await?;
    let now: change::Timestamp = read(&view, "now")?;
    let mut owed: Vec<OpenDebt> = read(&view, "debts")?;
    owed.retain(|debt| owner.is_none_or(|o| o == debt.owner) && (!overdue || debt.due <= now));
    view["debts"] = json!(owed);
    print(args, &view, || {
        if owed.is_empty() {
            return "nothing is owed".into();
        }
        let row = |debt: &OpenDebt| {
            let late = if debt.due <= now { " (overdue)" } else { "" };
            let due = format!("{}{late}", debt.due);
            vec![debt.change.to_string(), debt.debt.to_string(), debt.owner.clone(), due, debt.reason.clone()]
        };
        show::table(&["change", "owes", "owner", "due", "because"], owed.iter().map(row).collect())
    });
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(view: &Value, field: &str) -> Outcome<T> {
    serde_json::from_value(view.get(field).cloned().unwrap_or_default())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `{field}`: {e}")))
}
