//! Holds and vetoes: people on call stop the line of services, or one change.

use change::calendar::Passage;
use change::holds::ServiceHold;
use change::{ChangeId, Span, Timestamp};
use serde_json::{Value, json};

use super::print;
use crate::args::{Args, Command, HoldOptions, VetoOptions};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::{follow, show};

pub(super) async fn run(args: &Args, client: &Client) -> Outcome {
    match &args.command {
        Command::Hold(asked) => hold(args, client, asked).await,
        Command::Veto(asked) => veto(args, client, asked).await,
        _ => list(args, &client.get("/holds").await?),
    }
}

async fn hold(args: &Args, client: &Client, asked: &HoldOptions) -> Outcome {
    let HoldOptions { services, team, environment, until, lasts, reason, emergency, pause, release } = asked;
    if let Some(hold) = release {
        let view = client.post(&format!("/holds/{hold}/release"), &json!({"reason": reason}), None).await?;
        return list(args, &view);
    }
    must_end("hold", *until, *lasts)?;
    let body = json!({
        "services": services, "team": team, "environment": environment, "until": until, "lasts": lasts,
        "emergency": emergency.map(|passage| passage.word()), "pause": pause, "reason": reason,
    });
    list(args, &client.post("/holds", &without_nulls(body), None).await?)
}

async fn veto(args: &Args, client: &Client, asked: &VetoOptions) -> Outcome {
    let VetoOptions { change, until, lasts, reason, lift } = asked;
    let view = if *lift {
        client.post(&format!("/changes/{change}/lift-veto"), &json!({"reason": reason}), None).await?
    } else {
        must_end("veto", *until, *lasts)?;
        let body = without_nulls(json!({"until": until, "lasts": lasts, "reason": reason}));
        client.post(&format!("/changes/{change}/veto"), &body, None).await?
    };
    let state = follow::read_change(&view)?;
    print(args, &view, || match &state.veto {
        Some(veto) => format!("{} is vetoed until {}: {}", id(state.id), veto.until, veto.reason),
        None => format!("the veto of {} is lifted", id(state.id)),
    });
    Ok(())
}

fn id(change: ChangeId) -> String {
    change.to_string()
}

fn must_end(what: &str, until: Option<Timestamp>, lasts: Option<Span>) -> Outcome {
    if until.is_some() || lasts.is_some() {
        return Ok(());
    }
    Err(Failure::new(INVALID, format!("a {what} ends by itself")).help("add `--for 4h` or `--until TIME`"))
}

/// The same without what was not said.
fn without_nulls(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

fn list(args: &Args, view: &Value) -> Outcome {
    let held: Vec<ServiceHold> = serde_json::from_value(view["holds"].clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `holds`: {e}")))?;
    print(args, view, || {
        if held.is_empty() {
            return "no service is held".into();
        }
        show::table(&["hold", "what", "by", "until", "emergencies", "reason"], held.iter().map(row).collect())
    });
    Ok(())
}

fn row(hold: &ServiceHold) -> Vec<String> {
    let order = &hold.order;
    let emergencies = if order.emergency == Passage::Allow { "pass" } else { "are held" };
    vec![
        order.hold.clone(),
        order.in_words().replace('`', ""),
        change::explain::actor(&hold.by),
        order.until.to_string(),
        emergencies.to_owned(),
        order.reason.clone(),
    ]
}
