//! Standard changes: what there is and how it has fared, proposing one, and letting a suspended one count again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use change::standard::{Parameter, Standing};
use engine::standards::StandardNow;
use serde_json::{Value, json};

use super::changes::{encode, tell_of_proposal};
use super::print;
use super::secrets::{self, Sent};
use crate::args::{Args, Standard};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::follow::{self, Style};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client, asked: &Standard) -> Outcome {
    match asked {
        Standard::List => list(args, client).await,
        Standard::Show { id } => {
            let view = client.get(&path(id, "")).await?;
            let standard: StandardNow = read(&view, "standard")?;
            print(args, &view, || shown(&standard));
            Ok(())
        }
        Standard::Propose { id, set, watch, key } => propose(args, client, id, set, *watch, key.as_deref()).await,
        Standard::Reinstate { id, reason } => {
            let view = client.post(&path(id, "/reinstate"), &json!({"reason": reason}), None).await?;
            let standard: StandardNow = read(&view, "standard")?;
            print(args, &view, || format!("{id}: {}", standing(&standard)));
            Ok(())
        }
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/standards/{}{rest}", encode(id))
}

async fn list(args: &Args, client: &Client) -> Outcome {
    let view = client.get("/standards").await?;
    let standards: Vec<StandardNow> = read(&view, "standards")?;
    print(args, &view, || {
        if standards.is_empty() {
            return "there is no standard change; one is a file in `standards/` of the governance directory".into();
        }
        let row = |one: &StandardNow| {
            let (record, template) = (&one.record, &one.template);
            let used = record.last_used.map_or_else(|| "never".into(), |at| at.to_string());
            let counts = match one.standing {
                Standing::Counts { .. } => "yes",
                Standing::CountsNot { .. } => "no",
            };
            vec![
                template.id.clone(),
                counts.into(),
                record.completed.to_string(),
                record.failed.to_string(),
                used,
                template.title.clone(),
            ]
        };
        show::table(&["id", "counts", "completed", "failed", "last used", "title"], standards.iter().map(row).collect())
    });
    Ok(())
}

async fn propose(args: &Args, client: &Client, id: &str, set: &[String], watch: bool, key: Option<&str>) -> Outcome {
    // What is typed may be a secret by mistake; it would be on record as a parameter.
    secrets::before_sending(client, &[Sent::ChangeFile(Path::new("--set"), &set.join("\n"))]).await?;
    let standard: StandardNow = read(&client.get(&path(id, "")).await?, "standard")?;
    let parameters = parameters(&standard.template.parameters, set)?;
    let view = client.post(&path(id, "/changes"), &json!({"parameters": parameters}), key).await?;
    let proposed = tell_of_proposal(args, client, &view, watch)?;
    let style = if args.json { Style::Json } else { Style::Text };
    if watch { follow::to_completion(client, proposed, style).await } else { Ok(()) }
}

/// `name=value`, each as its parameter means it; the server says what it does not know.
fn parameters(known: &BTreeMap<String, Parameter>, set: &[String]) -> Outcome<BTreeMap<String, Value>> {
    let mut given = BTreeMap::new();
    for one in set {
        let (name, text) = one.split_once('=').ok_or_else(|| {
            Failure::new(INVALID, format!("`{one}` sets no parameter")).help("write it as `--set NAME=VALUE`")
        })?;
        let value = known.get(name).map_or_else(|| json!(text), |parameter| json!(parameter.meant(text)));
        if given.insert(name.to_owned(), value).is_some() {
            return Err(Failure::new(INVALID, format!("`{name}` is set twice")));
        }
    }
    Ok(given)
}

fn shown(standard: &StandardNow) -> String {
    let (template, record) = (&standard.template, &standard.record);
    let mut text = format!("{}  {}\n  {}\n", template.id, template.title, standing(standard));
    if !template.description.is_empty() {
        let _ = write!(text, "\n  {}\n", template.description.trim_end().replace('\n', "\n  "));
    }
    let for_whom = if template.may.is_empty() { "whoever may propose".into() } else { template.may.join(", ") };
    let used = record.last_used.map_or_else(|| "never".into(), |at| at.to_string());
    let _ = write!(
        text,
        "\n  owner      {}\n  for        {for_whom}\n  review by  {}\n  record     {} completed, {} failed, {} in a row; suspended after {}\n  last used  {used}\n",
        template.owner,
        template.review_by,
        record.completed,
        record.failed,
        record.failed_in_a_row,
        template.suspend_after,
    );
    if !template.parameters.is_empty() {
        let row = |(name, parameter): (&String, &Parameter)| {
            let default = parameter.default.as_ref().map_or_else(|| "-".into(), ToString::to_string);
            vec![name.clone(), bounds(parameter), default, parameter.description.clone()]
        };
        let rows = template.parameters.iter().map(row).collect();
        let _ = write!(text, "\n{}\n", show::table(&["parameter", "bounds", "default", "what it is"], rows));
    }
    text
}

fn standing(standard: &StandardNow) -> String {
    match &standard.standing {
        Standing::Counts { warning: None } => "counts: it needs no votes".into(),
        Standing::Counts { warning: Some(warning) } => format!("counts: it needs no votes; {warning}"),
        Standing::CountsNot { why } => format!("does not count, and is approved like any other change: {why}"),
    }
}

fn bounds(parameter: &Parameter) -> String {
    match (&parameter.pattern, parameter.minimum, parameter.maximum) {
        (Some(pattern), _, _) => format!("text like {pattern}"),
        (None, Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
        _ => parameter.one_of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn read<T: serde::de::DeserializeOwned>(view: &Value, field: &str) -> Outcome<T> {
    serde_json::from_value(view.get(field).cloned().unwrap_or_default())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `{field}`: {e}")))
}
