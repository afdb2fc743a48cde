//! Rollout: the hands, one file for each kind of target.
//!
//! A driver is told what to make true and chooses nothing. What its options may be is one type, from which both the schema and the complaints come.
//! Next: `router`, which shows the shape of a driver best.

mod exec;
mod marker;
mod pipeline;
mod router;

use change::document::Document;
use change::rollout::{Failure, Target};
use engine::ports::Outcome;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use exec::{ExecDriver, ExecSettings};
pub use pipeline::PipelineDriver;
pub use router::{RouterDriver, RouterSettings};

/// What is wrong with the options of a target: a pointer below `plan.target` and a sentence.
type OptionProblem = (String, String);

/// Reads the options of a target, or says everything that is wrong with them.
fn read_options<T: JsonSchema + DeserializeOwned>(target: &Target) -> Result<T, Vec<OptionProblem>> {
    let document = Document::from_parts(Value::Object(target.options.clone()), Default::default());
    document
        .read()
        .map_err(|problems| problems.into_iter().map(|p| option_problem(&p.path, p.message, p.help)).collect())
}

fn option_problem(path: &str, message: String, help: Option<String>) -> OptionProblem {
    let option = path.split(['.', '[']).next().unwrap_or_default();
    let pointer = if option.is_empty() { String::new() } else { format!("/{option}") };
    (pointer, help.into_iter().fold(message, |message, help| format!("{message}; {help}")))
}

/// The options of a target whose claims were accepted when it was proposed.
fn known_options<T: JsonSchema + DeserializeOwned>(target: &Target) -> Result<T, String> {
    let sentences = |problems: Vec<OptionProblem>| {
        let each = problems
            .into_iter()
            .map(|(pointer, problem)| format!("`plan.target{}`: {problem}", pointer.replace('/', ".")));
        each.collect::<Vec<_>>().join("; ")
    };
    read_options(target).map_err(sentences)
}

fn failed(failure: Failure, error: impl Into<String>) -> Outcome {
    Outcome::Failed { failure, error: error.into() }
}
