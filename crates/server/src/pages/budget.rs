//! Error budgets on the page of a change: what is left of each of its services, and whether it burns.
//!
//! Shows what was read last and what the log says; whether that holds the change is the gate's to say.

use engine::budgets::{BudgetOverview, SliBudget};
use maud::{Markup, html};

use super::words::{self, prose};

/// The card; nothing where no budget of its services is read.
pub(crate) fn card(budgets: &[BudgetOverview]) -> Markup {
    html! {
        @if !budgets.is_empty() {
            section.card id="budgets" data-live aria-labelledby="budgets-h" {
                h2 id="budgets-h" { "Error budget" }
                @for budget in budgets { (one(budget)) }
            }
        }
    }
}

fn one(budget: &BudgetOverview) -> Markup {
    let slis = budget.reading.iter().flat_map(|reading| &reading.slis);
    html! {
        h3 { (budget.service) }
        (burn(budget))
        @if !budget.allows.is_empty() { p { "Today: " (prose(&budget.allows)) "." } }
        @match &budget.reading {
            Some(reading) => { dl { @for sli in slis { (line(sli)) } } p.muted { "Over " (reading.period) ", read at " (words::time(reading.at)) "." } }
            None => { p.muted { "Not read yet." } }
        }
        @if let Some(at) = budget.state.as_ref().and_then(|state| state.expected_at) {
            p.muted { "More is expected to be left at " (words::time(at)) ", if nothing bad happens until then." }
        }
    }
}

/// That it burns, where it does.
pub(crate) fn burn(budget: &BudgetOverview) -> Markup {
    let burning = budget.state.as_ref().and_then(|state| state.burning.as_ref());
    html! {
        @if let Some(burning) = burning {
            p.failed { "Burns " (format!("{:.1}", burning.rate)) " times as fast as expected over " (burning.window.long) ", since " (words::time(burning.since)) "." }
        }
    }
}

fn line(sli: &SliBudget) -> Markup {
    html! { dt { (sli.sli) } dd { (left(sli)) } }
}

/// What is left of one budget.
pub(crate) fn left(sli: &SliBudget) -> Markup {
    match (sli.left_percent, &sli.unreachable) {
        (_, Some(why)) => prose(&format!("nobody can say: {why}")),
        (Some(left), None) => html! { (format!("{left:.1} %")) " left of " (sli.objective) },
        (None, None) => html! { "too few events were counted" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    // A2
    #[test]
    fn a_budget_says_what_is_left_what_burns_and_what_nobody_can_say() {
        let sli = |name: &str, left: Option<f64>, unreachable: Option<&str>| SliBudget {
            sli: name.into(),
            source: "prom".into(),
            objective: "99.5%".parse().expect("an objective"),
            left_percent: left,
            bad_events: None,
            all_events: None,
            windows: vec![],
            unreachable: unreachable.map(str::to_owned),
        };
        let reading = engine::budgets::BudgetReading {
            service: "checkout".into(),
            at: sample::start(),
            period: change::Span::secs(28 * 86_400),
            slis: vec![
                sli("errors", Some(38.25), None),
                sli("latency", None, Some("`prom` <is> away")),
                sli("rare", None, None),
            ],
        };
        let budget = BudgetOverview {
            service: "checkout".into(),
            reading: Some(reading),
            state: None,
            begun_within_a_day: 0,
            allows: "all <may>".into(),
        };
        let text = card(&[budget]).into_string();
        for wanted in [
            "38.2 % left of 99.5%",
            "Today: all &lt;may&gt;.",
            "nobody can say: <code>prom</code> &lt;is&gt; away",
            "too few events",
            "Over 28d",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(card(&[]).into_string().is_empty());
    }
}
