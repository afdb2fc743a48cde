//! Beside a pipeline that deploys by itself: it asks whether it may begin, reports how it ended, and waits for the verdict.
//!
//! Nothing is decided here: what a wait waits for is read from the state and the gates that the server shows.

use std::io::IsTerminal as _;
use std::time::Duration;

use change::gate::Gate;
use change::{Change, ChangeId, Phase};
use futures::StreamExt as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::changes::{act, read_gates};
use super::print;
use crate::args::{Args, Ended, Finish, Until, Wait};
use crate::client::Client;
use crate::exit::{ERROR, Failure, NOT_COMPLETED, Outcome, TIMED_OUT, UNREACHABLE};
use crate::follow::read_change;
use crate::visible::visible;

/// A gate may open without an event of the change: it is asked this often.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often a server that does not answer is asked again before a wait gives up, and how soon.
const MOST_FAILURES: u32 = 120;
const AFTER_FAILURE: Duration = Duration::from_millis(500);

pub(super) async fn begin(args: &Args, client: &Client, id: ChangeId) -> Outcome {
    let view = client.post(&format!("/changes/{id}/begin"), &json!({}), None).await?;
    let change = read_change(&view)?;
    let rollout = change.rollout().ok_or_else(|| Failure::new(ERROR, format!("{id} is {} already", change.phase())))?;
    let began = json!({"change": id, "step": rollout.step + 1, "attempt": rollout.attempt});
    print(args, &began, || format!("{id}: {} has begun, attempt {}", change.step_name(rollout.step), rollout.attempt));
    Ok(())
}

pub(super) async fn finish(args: &Args, client: &Client, asked: &Finish) -> Outcome {
    let outcome = match asked.outcome {
        Ended::Succeeded => "succeeded",
        Ended::Failed => "failed",
        Ended::RolledBack => "rolled_back",
        Ended::Unknown => "unknown",
    };
    let body = json!({"outcome": outcome, "note": asked.note, "step": asked.step, "attempt": asked.attempt});
    act(args, client, asked.change, "finish", body).await
}

pub(super) async fn wait(args: &Args, client: &Client, asked: &Wait) -> Outcome {
    let mut waiting = Waiting::new(asked);
    let waited = waiting.followed(client);
    let ended = match asked.timeout {
        Some(limit) => tokio::time::timeout(Duration::from_millis(limit.as_millis()), waited).await,
        None => Ok(waited.await),
    };
    waiting.bar.finish_and_clear();
    let Ok(ended) = ended else {
        let limit = asked.timeout.unwrap_or_default();
        let message = format!("{} is not {} after {limit}: {}", asked.change, waiting.wanted(), waiting.status);
        return Err(Failure::new(TIMED_OUT, message).help(format!("see why with `clearway why {}`", asked.change)));
    };
    let (view, change, end) = ended?;
    let status = change::explain::status(&change);
    match end {
        End::Come => {
            print(args, &view, || format!("{}: {status}", asked.change));
            Ok(())
        }
        End::NeverComes => {
            Err(Failure::new(NOT_COMPLETED, format!("{} is {}: {status}", asked.change, change.phase())))
        }
        End::HasToRollBack => Err(Failure::new(NOT_COMPLETED, format!("{}: {status}", asked.change))
            .help(format!("roll back, then report it with `clearway finish {} --outcome rolled-back`", asked.change))),
    }
}

/// How a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Come,
    /// What was waited for can't come any more.
    NeverComes,
    HasToRollBack,
}

fn end(until: Until, change: &Change, gates: &[Gate]) -> Option<End> {
    let phase = change.phase();
    let come = |is: bool| is.then_some(End::Come);
    match (until, phase) {
        (_, Phase::RollingBack) if change.is_outside() => Some(End::HasToRollBack),
        (_, Phase::RollbackFailed) if change.is_outside() => Some(End::NeverComes),
        // Nothing is left to begin.
        (Until::Open, Phase::Completed) if change.is_outside() => Some(End::NeverComes),
        (_, Phase::Completed) => Some(End::Come),
        _ if phase.is_terminal() => Some(End::NeverComes),
        (Until::Done, _) => None,
        (Until::Approved, _) => come(!matches!(phase, Phase::Proposed | Phase::Assessed)),
        // What a driver performs begins by itself as soon as it may.
        (Until::Open, Phase::RollingOut { .. } | Phase::Watching) if !change.is_outside() => Some(End::Come),
        (Until::Open, _) => come(change.waits_to_begin() && !gates.iter().any(Gate::holds)),
    }
}

struct Waiting {
    id: ChangeId,
    until: Until,
    status: String,
    bar: ProgressBar,
}

impl Waiting {
    fn new(asked: &Wait) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { id: asked.change, until: asked.until, status: "nothing is known of it yet".into(), bar }
    }

    fn wanted(&self) -> &'static str {
        match self.until {
            Until::Approved => "approved",
            Until::Open => "free to begin",
            Until::Done => "done",
        }
    }

    /// Waits through restarts of the server.
    async fn followed(&mut self, client: &Client) -> Outcome<(Value, Change, End)> {
        let mut failures = 0;
        loop {
            match self.while_connected(client).await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => failures = 0,
                Err(failure) if failures >= MOST_FAILURES || failure.code != UNREACHABLE => return Err(failure),
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Looks at the change after each of its events, until the stream of events ends.
    async fn while_connected(&mut self, client: &Client) -> Outcome<Option<(Value, Change, End)>> {
        let mut events = Box::pin(client.events(&format!("/changes/{}/events", self.id)).await?);
        loop {
            let view = client.get(&format!("/changes/{}", self.id)).await?;
            let change = read_change(&view)?;
            self.say(&change);
            if let Some(end) = end(self.until, &change, &read_gates(&view)) {
                return Ok(Some((view, change, end)));
            }
            if let Ok(None) = tokio::time::timeout(ASK_EVERY, events.next()).await {
                return Ok(None);
            }
        }
    }

    /// On a terminal one line that moves; in the log of a pipeline a line for each thing that is new.
    fn say(&mut self, change: &Change) {
        let status = change::explain::status(change);
        if status != self.status && !std::io::stderr().is_terminal() {
            super::aside(&format!("{}: {}", self.id, drivers::read::secrets::scrub(&status)));
        }
        self.bar.set_message(format!("{}: {}", self.id, visible(&status)));
        self.bar.tick();
        self.status = status;
    }
}
