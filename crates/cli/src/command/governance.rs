//! Governance: has the server load its files again, and says what became of it.
//!
//! A signal to the server of this machine, nothing more: who may signal the process may restart it too. The server decides, and keeps what it has where the
//! new files are wrong.

use std::time::Duration;

use serde_json::Value;

use super::print;
use crate::args::{Args, Governance};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome, UNREACHABLE};
use crate::place::Place;

/// How often the server is asked whether it is done, and how long.
const ASK_EVERY: Duration = Duration::from_millis(100);
const MOST_ASKS: u32 = 300;

pub(super) async fn run(args: &Args, asked: &Governance) -> Outcome {
    match asked {
        Governance::Reload => reload(args).await,
        Governance::Show => {
            let answer = Client::find(args)?.get("/governance").await?;
            print(args, &answer, || shown(&answer));
            Ok(())
        }
    }
}

async fn reload(args: &Args) -> Outcome {
    let client = Client::find(args)?;
    let running = Place::find(args.dir.as_deref())?.running().ok_or_else(|| {
        Failure::new(UNREACHABLE, "no server runs on this machine").help("send SIGHUP to the server where it runs")
    })?;
    let before = client.get("/governance").await?;
    let pid = i32::try_from(running.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new(ERROR, format!("`{}` is no process", running.pid)))?;
    rustix::process::kill_process(pid, rustix::process::Signal::HUP)
        .map_err(|e| Failure::new(ERROR, format!("the server can't be signalled: {e}")))?;
    for _ in 0..MOST_ASKS {
        let after = client.get("/governance").await?;
        if after["tried"] != before["tried"] {
            return told(args, &after);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Err(Failure::new(ERROR, "the server has not loaded its governance in time").help("its log says why"))
}

fn told(args: &Args, after: &Value) -> Outcome {
    if let Some(reason) = after["refused"]["reason"].as_str() {
        return Err(Failure::new(INVALID, reason).help("the governance before it stays in force"));
    }
    print(args, after, || shown(after));
    Ok(())
}

fn shown(answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let mut shown = format!(
        "governance {}\npolicies   {}\ntime zone  {}, database {}",
        text("digest"),
        text("policy"),
        text("time_zone"),
        text("timezones")
    );
    if let Some(reason) = answer["refused"]["reason"].as_str() {
        let at = answer["refused"]["at"].as_str().unwrap_or_default();
        shown.push_str(&format!("\nREFUSED at {at}, so that the above stays in force:\n{reason}"));
    }
    shown
}
