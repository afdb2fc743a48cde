//! Error budgets: how much of each is left, and how fast it is used up.

use engine::budgets::{BudgetOverview, SliBudget, WindowBurn};

use super::changes::encode;
use super::print;
use crate::args::Args;
use crate::client::Client;
use crate::exit::{ERROR, Failure, Outcome};
use crate::show;

pub(super) async fn run(args: &Args, client: &Client, service: Option<&str>) -> Outcome {
    let path = service.map_or_else(|| "/budgets".to_owned(), |name| format!("/budgets?service={}", encode(name)));
    let view = client.get(&path).await?;
    let found: Vec<BudgetOverview> = serde_json::from_value(view["budgets"].clone())
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: `budgets`: {e}")))?;
    print(args, &view, || {
        if view["is_read"] == false {
            return "no error budget is read here: add an `error_budget.yaml` to the governance".into();
        }
        if found.is_empty() {
            return "no service promises anything: no SLI of a service has an `objective`".into();
        }
        let rows = found.iter().flat_map(rows).collect();
        let table = show::table(&["service", "sli", "left", "burns", "read at"], rows);
        let said = found.iter().flat_map(|budget| {
            let moved = budget.state.as_ref().map(change::budget::in_words);
            moved.into_iter().chain([format!("`{}`: {}", budget.service, budget.allows)])
        });
        format!("{table}\n{}", said.collect::<Vec<_>>().join("\n"))
    });
    Ok(())
}

fn rows(budget: &BudgetOverview) -> Vec<Vec<String>> {
    let Some(reading) = &budget.reading else {
        return vec![vec![budget.service.clone(), String::new(), "not read yet".into(), String::new(), String::new()]];
    };
    let row = |sli: &SliBudget| {
        let burns: Vec<String> = sli.windows.iter().map(burn).collect();
        vec![budget.service.clone(), sli.sli.clone(), left(sli), burns.join(", "), reading.at.to_string()]
    };
    reading.slis.iter().map(row).collect()
}

fn left(sli: &SliBudget) -> String {
    match (sli.left_percent, &sli.unreachable) {
        (_, Some(why)) => format!("unknown: {why}"),
        (Some(left), None) => format!("{left:.1} % of {}", sli.objective),
        (None, None) => "too few events".into(),
    }
}

fn burn(burn: &WindowBurn) -> String {
    let rate = burn.long_rate.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.1}x"));
    format!("{rate} over {}", burn.window.long)
}
