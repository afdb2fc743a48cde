//! The steps as a line: what share of traffic, for how long, and how far it is.

use change::verification::Comparison;
use maud::{Markup, html};

use crate::pages::svg;
use crate::pages::words::{self, prose};
use crate::view::{ChangeView, StepIs, StepView};

pub(super) fn section(view: &ChangeView) -> Markup {
    html! {
        section.card id="steps" data-live aria-labelledby="steps-h" {
            h2 id="steps-h" { "Rollout" }
            ol.steps { @for step in &view.steps { (one(step)) } }
        }
    }
}

fn one(step: &StepView) -> Markup {
    let (class, mark, word) = looks(step.state);
    let under_way = matches!(step.state, StepIs::Next | StepIs::Begun | StepIs::Verified);
    html! {
        li.{ "step is-" (class) } aria-current=[under_way.then_some("step")] {
            div.track {
                (svg::mark(mark))
                @let share = step.weight.map_or(1.0, |w| w.share());
                (svg::meter("share", share, &step.weight.map_or_else(|| "all traffic".into(), |w| format!("{w} of traffic"))))
            }
            div.weight { @match step.weight { Some(weight) => (weight), None => "watch" } }
            div.word { (word) @if step.attempts > 1 { ", attempt " (step.attempts) } }
            div.muted { "at least " (step.bake) ", at most " (step.deadline) }
            div.muted { @match step.comparison { Comparison::Concurrent => "against the stable version", Comparison::Before => "against the stable version a week before", Comparison::Objective => "against the objectives" } }
            @if let Some(at) = step.began_at { div.muted { "since " (words::time(at)) } }
            @if let Some(reason) = &step.overridden { div.overridden { "overridden: " (prose(reason)) } }
        }
    }
}

fn looks(state: StepIs) -> (&'static str, svg::Mark, &'static str) {
    match state {
        StepIs::Ahead => ("ahead", svg::Mark::Ring, "ahead"),
        StepIs::Next => ("next", svg::Mark::Ring, "next"),
        StepIs::Begun => ("moving", svg::Mark::Forward, "being applied"),
        StepIs::Verified => ("moving", svg::Mark::Eye, "being verified"),
        StepIs::Passed => ("good", svg::Mark::Check, "passed"),
        StepIs::Undone => ("bad", svg::Mark::Back, "undone"),
    }
}
