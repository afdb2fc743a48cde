//! Following: a change live until it ends, as lines and, on a terminal, one line of progress.

use std::collections::VecDeque;
use std::time::Duration;

use change::{Change, ChangeId};
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::client::Client;
use crate::exit::{ERROR, Failure, NOT_COMPLETED, Outcome};
use crate::show;
use crate::visible::visible;

/// How to show what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    /// One JSON object a line.
    Json,
}

/// Follows a change until it ends, and hands back its last state. The server may be restarted meanwhile.
pub(crate) async fn follow(client: &Client, id: ChangeId, style: Style) -> Outcome<Change> {
    let mut follower = Follower::new(id, style);
    let mut failures = 0;
    loop {
        match follower.once(client).await {
            Ok(Some(change)) => return Ok(change),
            Ok(None) => failures = 0,
            Err(failure) if failures >= 20 || failure.code != crate::exit::UNREACHABLE => return Err(failure),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Follows a change, and fails unless it was completed.
pub(crate) async fn to_completion(client: &Client, id: ChangeId, style: Style) -> Outcome {
    let change = follow(client, id, style).await?;
    if change.phase() == change::Phase::Completed {
        return Ok(());
    }
    Err(Failure::new(NOT_COMPLETED, format!("{id} ended as {}", change.phase())))
}

struct Follower {
    id: ChangeId,
    style: Style,
    seen: u64,
    status: String,
    bar: ProgressBar,
}

impl Follower {
    fn new(id: ChangeId, style: Style) -> Self {
        let target = if style == Style::Text { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self { id, style, seen: 0, status: String::new(), bar }
    }

    /// Reads what is new and listens until the stream of events ends. The change, once it has ended.
    async fn once(&mut self, client: &Client) -> Outcome<Option<Change>> {
        let mut events = Box::pin(client.events(&format!("/changes/{}/events", self.id)).await?);
        let mut pending = VecDeque::from([None]);
        while let Some(hint) = pending.pop_front() {
            if let Some(hint) = &hint {
                self.progress(hint);
            }
            let version = hint.as_ref().and_then(|h| h.get("version")).and_then(Value::as_u64);
            let news = version.is_none_or(|v| v > self.seen);
            let ended = if news { self.read(client).await? } else { None };
            if let Some(change) = ended {
                self.bar.finish_and_clear();
                return Ok(Some(change));
            }
            // An event may be lost with the connection; asking now and then costs little.
            match tokio::time::timeout(Duration::from_secs(5), events.next()).await {
                Ok(Some(event)) => pending.push_back(Some(event)),
                Ok(None) => return Ok(None),
                Err(_) => pending.push_back(None),
            }
        }
        Ok(None)
    }

    async fn read(&mut self, client: &Client) -> Outcome<Option<Change>> {
        let log = client.get(&format!("/changes/{}/log", self.id)).await?;
        let events = log.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        for event in events.iter().filter(|e| e.get("version").and_then(Value::as_u64).is_some_and(|v| v > self.seen)) {
            self.print(event);
        }
        self.seen = events.last().and_then(|e| e.get("version")).and_then(Value::as_u64).unwrap_or(self.seen);
        let change = read_change(&client.get(&format!("/changes/{}", self.id)).await?)?;
        let status = change::explain::status(&change);
        self.bar.set_message(visible(&status).into_owned());
        self.status = status;
        Ok(change.phase().is_terminal().then_some(change))
    }

    fn print(&self, event: &Value) {
        match self.style {
            Style::Json => crate::command::exactly(&event.to_string()),
            // Evidence on record is for auditors; a person who watches sees the verdict.
            Style::Text if event.get("type").and_then(Value::as_str) == Some("EvidenceTaken") => {}
            Style::Text => {
                let line = format!("{:<7} {}", self.id.to_string(), show::event(event));
                self.bar.suspend(|| crate::command::line(&line));
            }
        }
    }

    fn progress(&self, hint: &Value) {
        let figure = |name: &str| hint.get(name).and_then(Value::as_f64);
        if let (Some(harm), Some(safety)) = (figure("harm"), figure("safety")) {
            let status = visible(&self.status);
            self.bar.set_message(format!("{}  safe {} harm {}  {status}", self.id, meter(safety), meter(harm)));
        }
        self.bar.tick();
    }
}

/// A change as the API gives it.
pub(crate) fn read_change(view: &Value) -> Outcome<Change> {
    let change = view.get("change").cloned().unwrap_or_default();
    serde_json::from_value(change).map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {e}")))
}

/// A share from 0 to 1 as ten blocks and a percentage.
fn meter(share: f64) -> String {
    let filled = (share.clamp(0.0, 1.0) * 10.0).round() as usize;
    format!("{}{} {:>3.0}%", "█".repeat(filled), "░".repeat(10 - filled), share.clamp(0.0, 1.0) * 100.0)
}
