//! Replay: what another strictness would have decided of a change.
//!
//! The server folds its kept looks; this reads the file and prints both decisions, step by step.

use std::path::Path;

use change::ChangeId;
use change::document::Document;
use engine::replay::{Decided, Replayed, Strictness};
use serde_json::json;

use super::files::{problems_json, read_text, say};
use super::print;
use crate::args::Args;
use crate::client::Client;
use crate::exit::{ERROR, Failure, Outcome};
use crate::show::table;

pub(super) async fn run(args: &Args, change: ChangeId, policy: &Path) -> Outcome {
    let text = read_text(policy)?;
    let strictness: Strictness = match Document::from_yaml(&text).and_then(|document| document.read()) {
        Ok(strictness) => strictness,
        Err(problems) => return say(args, &policy.display().to_string(), &problems_json(&problems), None),
    };
    let answer = Client::find(args)?
        .post(&format!("/changes/{change}/replay"), &json!({"strictness": strictness}), None)
        .await?;
    let replayed: Replayed = serde_json::from_value(answer["replayed"].clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {e}")))?;
    print(args, &answer["replayed"], || shown(&replayed));
    Ok(())
}

fn shown(replayed: &Replayed) -> String {
    let decided = |it: &Decided| match it.look {
        Some(look) => format!("{} at look {look}", it.answer),
        None => it.answer.to_string(),
    };
    let rows = replayed.steps.iter().map(|step| {
        vec![
            step.step.to_string(),
            step.attempt.to_string(),
            step.looks.to_string(),
            decided(&step.was),
            decided(&step.would),
            step.would.why.clone(),
        ]
    });
    let table = table(&["Step", "Attempt", "Looks", "Was", "Would have been", "Because"], rows.collect());
    format!("{}: {} looks replayed. {}.\n{table}", replayed.change, replayed.looks, replayed.summary)
}
