//! The command `plan`: what a rollout will be able to see, from the server's telemetry or from traffic that is supposed.
//!
//! With `--traffic` it needs neither server nor telemetry. The plan itself is made by the engine; here it is asked for and shown.

use std::collections::BTreeSet;
use std::path::Path;

use change::document::Document;
use change::proposal::{self, Claims, Closure, Proposal, Surroundings};
use change::rollout::{PartProblem, Plan as RolloutPlan};
use change::verification::{Ratio, Sli};
use change::{ChangeId, Span};
use engine::planning::{self, Asked, Forecast, WhatIf};
use serde_json::{Value, json};

use super::files::{problems_json, read_change_file, read_change_file_here, say};
use super::print;
use crate::args::{Args, Plan};
use crate::client::Client;
use crate::exit::{ERROR, Failure, NEVER_DECIDES, Outcome};
use crate::forecast;

pub(super) async fn run(args: &Args, asked: &Plan) -> Outcome {
    let (answer, every) = match asked.traffic {
        Some(traffic) => supposed(args, asked, traffic.0)?,
        None => from_server(args, asked).await?,
    };
    let read = serde_json::from_value::<Forecast>(answer.clone());
    let read = read.map_err(|e| Failure::new(ERROR, format!("the server's plan can't be read: {e}")))?;
    print(args, &answer, || forecast::text(&read, every));
    if asked.strict && read.plan.never().next().is_some() {
        return Err(Failure::new(NEVER_DECIDES, if args.json { "" } else { "a step of this plan can never decide" }));
    }
    Ok(())
}

async fn from_server(args: &Args, asked: &Plan) -> Outcome<(Value, Span)> {
    let client = Client::find(args)?;
    let is_file = asked.what == "-" || Path::new(&asked.what).exists();
    let answer = match asked.what.parse::<ChangeId>().ok().filter(|_| !is_file) {
        Some(id) => client.get(&format!("/changes/{id}/plan?runs={}&suggest={}", asked.runs, asked.suggest)).await?,
        None => {
            let mut body = read_change_file(&client, Path::new(&asked.what)).await?;
            // A forecast keeps nothing, and so has nowhere to show what is allowed.
            body.as_object_mut().map(|fields| fields.remove("secrets"));
            body["runs"] = json!(asked.runs);
            body["suggest"] = json!(asked.suggest);
            if !args.json {
                eprintln!(
                    "reading what the stable version does now; up to 12 seconds where its telemetry keeps no history"
                );
            }
            client.post("/plans", &body, None).await?
        }
    };
    let interval = answer.pointer("/plan/look_interval_ms").and_then(Value::as_u64).unwrap_or(10_000);
    Ok((answer, Span::millis(interval)))
}

/// The plan at supposed traffic, without a server.
fn supposed(args: &Args, asked: &Plan, requests_per_second: f64) -> Outcome<(Value, Span)> {
    let body = read_change_file_here(Path::new(&asked.what))?;
    let text = body.get("file").and_then(Value::as_str).unwrap_or_default();
    let proposal = anywhere(args, &asked.what, text)?;
    let what_if = WhatIf { requests_per_second, bad_share: asked.bad.0 };
    let made = planning::what_if(&proposal, what_if, Asked { runs: asked.runs, suggest: asked.suggest });
    let made = made.map_err(|e| {
        Failure::new(ERROR, e.to_string()).help("name an SLI under `verify.slis`: without one there is nothing to see")
    })?;
    let answer = serde_json::to_value(&made).map_err(|e| Failure::new(ERROR, e.to_string()))?;
    Ok((answer, proposal.verify.every))
}

/// A change file read as a server would that has whatever the file names.
fn anywhere(args: &Args, name: &str, text: &str) -> Outcome<Proposal> {
    let document = Document::from_yaml(text);
    let value = document.as_ref().map(|it| it.value().clone()).unwrap_or_default();
    let driver = value.pointer("/plan/target/driver").and_then(Value::as_str).unwrap_or("router").to_owned();
    let slis = value.pointer("/verify/slis").and_then(Value::as_array).cloned().unwrap_or_default();
    let source = |sli: &Value| sli.get("source").and_then(Value::as_str).map(str::to_owned);
    let mut sources: Vec<String> = slis.iter().filter_map(source).collect();
    sources.push(ASSUMED.to_owned());
    let here = Anywhere { driver, sources };
    let names: Vec<&str> = slis.iter().filter_map(Value::as_str).collect();
    if !names.is_empty() && !args.json {
        eprintln!(
            "supposed without a server: each of {} is a ratio with the objective {ASSUMED_OBJECTIVE}",
            names.join(", ")
        );
    }
    let files = serde_json::from_value(json!({})).unwrap_or_default();
    proposal::read(text, &files, &here).map_err(|problems| match say(args, name, &problems_json(&problems), None) {
        Err(failure) => failure,
        Ok(()) => Failure::new(ERROR, format!("`{name}` can't be read")),
    })
}

/// The source of SLIs that only a server could look up.
const ASSUMED: &str = "assumed";

/// What an SLI promises that is only named.
const ASSUMED_OBJECTIVE: &str = "99%";

/// A server that has everything that a file names.
struct Anywhere {
    driver: String,
    sources: Vec<String>,
}

impl Surroundings for Anywhere {
    /// A name from the governance folder: taken for a ratio, as errors are.
    fn sli(&self, name: &str) -> Option<Sli> {
        let query = |text: &str| text.into();
        Some(Sli {
            name: name.to_owned(),
            source: ASSUMED.to_owned(),
            ratio: Some(Ratio {
                bad: Some(query("bad{version=\"$cohort\"}")),
                good: None,
                total: query("all{version=\"$cohort\"}"),
            }),
            latency: None,
            gauge: None,
            rate: None,
            objective: ASSUMED_OBJECTIVE.parse().ok(),
            against: change::verification::Against::Step,
            harm: None,
            safe: None,
            floor: None,
            weight: None,
        })
    }

    fn sli_names(&self) -> Vec<String> {
        vec![]
    }

    fn downstream(&self, _: &BTreeSet<String>, _: usize) -> Vec<(String, Sli)> {
        vec![]
    }

    fn claims(&self, _: &RolloutPlan) -> Result<Claims, Vec<(String, String)>> {
        Ok(Claims { resources: BTreeSet::new(), effect: Closure::Open, hands: Default::default() })
    }

    fn drivers(&self) -> Vec<String> {
        vec![self.driver.clone()]
    }

    fn sources(&self) -> Vec<String> {
        self.sources.clone()
    }

    fn query_problems(&self, _: &Sli) -> Vec<PartProblem> {
        vec![]
    }

    fn may_run_commands(&self) -> bool {
        true
    }

    fn is_principal(&self, _: &str) -> bool {
        true
    }

    fn principals(&self) -> Vec<String> {
        vec![]
    }
}
