//! What the reader can do: one form for each command, each behind a word that says what follows.

use maud::{Markup, html};

use super::ChangePage;
use crate::offers::{Act, point};
use crate::pages::form::Fields;
use crate::pages::frame::command;
use crate::pages::words::{self, prose};
use change::{Change, Phase};

/// The id of the form of an act.
pub(in crate::pages) fn form_of(act: Act) -> String {
    format!("act-{}", act.word())
}

pub(super) fn section(page: &ChangePage) -> Markup {
    let (offers, change) = (&page.offers, &page.view.change);
    if offers.acts.is_empty() && offers.not_approve.is_none() {
        return html! { section id="actions" data-live {} };
    }
    html! {
        section.card.actions id="actions" data-live aria-labelledby="actions-h" {
            h2 id="actions-h" { "What you can do" }
            @if let Some(why) = &offers.not_approve { p.muted { "You can't approve it: " (prose(why)) } }
            @for act in &offers.acts { (one(page, change, *act)) }
        }
    }
}

fn one(page: &ChangePage, change: &Change, act: Act) -> Markup {
    let (name, id) = (act.word(), form_of(act));
    let fields = Fields::of(&id, page.tried.as_ref());
    html! {
        details.act id=(id) name="act" open[fields.is_tried()] {
            summary.{ "button " (weight(act)) } { (label(act)) }
            form method="post" action={ "/changes/" (change.id) "/" (name) } {
                input type="hidden" name="csrf" value=(page.csrf);
                // The effect that was on the page when the reader decided, whatever it is by then.
                input type="hidden" name="effect" value=(change.proposal.effect_digest);
                (fields.whole())
                div.consequence { (consequence(change, act)) }
                @match act {
                    Act::Resume if page.offers.asks_what_was_found => (found()),
                    Act::Override => (rules(page)),
                    Act::Tick => (points(page)),
                    _ => {}
                }
                @if act == Act::Veto { (fields.end("at most as long as `longest_hold` of the settings, 7 days by default")) }
                @if let Some((label, required)) = asks(act) {
                    (fields.words("text", label, required))
                }
                div.buttons { button.{ (weight(act)) } type="submit" { (confirmation(change, act)) } }
                p.muted { "The same on the command line:" }
                (command(&line(page, change, act)))
            }
        }
    }
}

fn found() -> Markup {
    html! {
        fieldset {
            legend { "What did you find at the target?" }
            label { input type="radio" name="found" value="applied" required; " It has happened" }
            label { input type="radio" name="found" value="not_applied" required; " It has not happened: do it again" }
        }
    }
}

/// Which of the rules; where there is one only, it is said and not asked.
fn rules(page: &ChangePage) -> Markup {
    let choices = page
        .offers
        .rules
        .iter()
        .map(|rule| (rule.code.clone(), html! { code { (rule.code) } ": " (prose(&rule.reason)) }));
    one_of("rule", "Which rule", &choices.collect::<Vec<_>>())
}

fn points(page: &ChangePage) -> Markup {
    let choices =
        page.offers.points.iter().map(|item| (point(item), html! { (prose(&item.title)) " " code { (point(item)) } }));
    one_of("point", "Which point", &choices.collect::<Vec<_>>())
}

fn one_of(name: &str, asks: &str, choices: &[(String, Markup)]) -> Markup {
    html! {
        @if let [(value, text)] = choices {
            input type="hidden" name=(name) value=(value);
            p { (text) }
        } @else {
            fieldset {
                legend { (asks) }
                @for (value, text) in choices {
                    label { input type="radio" name=(name) value=(value) required; " " (text) }
                }
            }
        }
    }
}

fn label(act: Act) -> &'static str {
    match act {
        Act::Approve => "Approve",
        Act::RequestChanges => "Ask for changes",
        Act::TakeBack => "Take back what I said",
        Act::Reject => "Reject",
        Act::Override => "Override a rule",
        Act::Tick => "Tick a point",
        Act::BreakGlass => "Break the glass",
        Act::Pause => "Pause",
        Act::Resume => "Resume",
        Act::Promote => "Promote the step",
        Act::Rollback => "Roll back",
        Act::Veto => "Veto it",
        Act::LiftVeto => "Lift the veto",
        Act::Complete => "Record the rollback by hand",
        Act::Review => "Record the review",
        Act::Withdraw => "Withdraw",
    }
}

fn weight(act: Act) -> &'static str {
    match act {
        Act::Approve | Act::Resume | Act::Review | Act::Complete => "strong",
        Act::Rollback | Act::Reject | Act::BreakGlass => "danger",
        Act::Override | Act::Tick | Act::Pause | Act::Promote | Act::Veto | Act::LiftVeto => "",
        Act::Withdraw | Act::RequestChanges | Act::TakeBack => "",
    }
}

/// What a form asks for, and whether it must be given.
fn asks(act: Act) -> Option<(&'static str, bool)> {
    match act {
        Act::Approve => Some(("Comment", false)),
        Act::Resume => None,
        Act::Complete => Some(("What was done, and how it was checked", true)),
        Act::Review => Some(("What was learnt", true)),
        Act::RequestChanges => Some(("What should be different", true)),
        Act::Withdraw | Act::TakeBack => Some(("Reason", false)),
        Act::Tick => Some(("How you know", true)),
        Act::Reject | Act::Override | Act::BreakGlass | Act::Pause => Some(("Reason", true)),
        Act::Promote | Act::Rollback | Act::Veto | Act::LiftVeto => Some(("Reason", true)),
    }
}

fn confirmation(change: &Change, act: Act) -> String {
    let id = change.id;
    match act {
        Act::Approve => format!("Approve the effect {}", change.proposal.effect_digest.short()),
        Act::RequestChanges => "Ask for changes".into(),
        Act::TakeBack => "Take it back".into(),
        Act::Reject => format!("Reject {id}"),
        Act::Override => format!("Override it for the effect {}", change.proposal.effect_digest.short()),
        Act::Tick => format!("Tick it for the effect {}", change.proposal.effect_digest.short()),
        Act::BreakGlass if change.hand.is_some() => format!("Break the glass over {id}"),
        Act::BreakGlass => "Put the first hand on the glass".into(),
        Act::Pause => format!("Pause {id}"),
        Act::Resume => format!("Resume {id}"),
        Act::Promote => format!("Promote {}", current(change)),
        Act::Rollback => format!("Roll back {id}"),
        Act::Veto => format!("Veto {id}"),
        Act::LiftVeto => format!("Lift the veto of {id}"),
        Act::Complete => "Record it as rolled back".into(),
        Act::Review => "Record the review".into(),
        Act::Withdraw => format!("Withdraw {id}"),
    }
}

fn current(change: &Change) -> String {
    change.rollout().map_or_else(|| "the step".into(), |r| change.step_name(r.step))
}

/// What follows, in so many words.
fn consequence(change: &Change, act: Act) -> Markup {
    let proposal = &change.proposal;
    let weights: Vec<String> = proposal.plan.steps.iter().map(|s| s.weight.to_string()).collect();
    match act {
        Act::Approve => html! {
            p {
                "You say yes to the effect " (words::digest(proposal.effect_digest)) ": "
                (weights.join(" → ")) " by the driver " code { (proposal.plan.target.driver) } ", on "
                @for (i, resource) in proposal.claims.resources.iter().enumerate() { @if i > 0 { ", " } code { (resource) } }
                " in " (proposal.environment) "."
            }
            p.muted { "Another effect needs another yes." }
        },
        Act::RequestChanges => {
            html! { p { (change.id) " does not go on before it is amended, or you take this back. The author is told." } }
        }
        Act::TakeBack => {
            html! { p { "Your vote no longer counts, and your request no longer stands. In a rollout, no further step begins until somebody else agrees." } }
        }
        Act::Override => html! {
            p {
                "The rule no longer stands against the effect " (words::digest(proposal.effect_digest)) ". What you give as a reason is in the log, with your name."
            }
            p.muted { "Another effect has to pass the rule again." }
        },
        Act::Tick => html! {
            p {
                "You answer for it by name: it holds for the effect " (words::digest(proposal.effect_digest)) ". How you know is in the log."
            }
            p.muted { "Another effect has to be ticked again." }
        },
        Act::BreakGlass => html! {
            p { "Two people together set aside every rule that stands against " (change.id) ". It pages, it stands in the log with both names, and it owes a review." }
        },
        Act::Reject => html! { p { "That ends " (change.id) " for good. Nothing of it is rolled out." } },
        Act::Pause => {
            html! { p { "No further step begins until somebody resumes it. What has effect stays in effect." } }
        }
        Act::Resume if change.is_rolling_back() => html! { p { "The rollback goes on." } },
        Act::Resume => html! { p { (current(change)) " goes on from where it is; its deadline counts anew." } },
        Act::Promote => html! {
            p { (current(change)) " passes now, although its verdict is not " code { "pass" } ". It stands in the log as overridden, with your name." }
        },
        Act::Rollback if change.phase() == Phase::RollbackFailed => html! { p { "The rollback is tried again." } },
        Act::Rollback => html! {
            p { "What was there before the first step is restored, on " @for (i, resource) in proposal.claims.resources.iter().enumerate() { @if i > 0 { ", " } code { (resource) } } "." }
        },
        Act::Veto => html! {
            p { "No further step of " (change.id) " begins before the end that you give. What is under way is finished and judged; a rollback passes." }
        },
        Act::LiftVeto => html! { p { (change.id) " goes on when its other gates are open." } },
        Act::Complete => html! { p { "Only if you have brought the target back by hand, and have checked it." } },
        Act::Review => html! { p { "What went wrong, and what will be different next time." } },
        Act::Withdraw => html! { p { "That ends " (change.id) ". It can be proposed anew." } },
    }
}

fn line(page: &ChangePage, change: &Change, act: Act) -> String {
    let id = change.id;
    match act {
        Act::Approve => format!("clearway approve {id} --effect {}", change.proposal.effect_digest),
        Act::Resume if page.offers.asks_what_was_found => format!("clearway resume {id} --found applied"),
        Act::Resume => format!("clearway resume {id}"),
        Act::Complete => format!("clearway complete {id} --evidence \"...\""),
        Act::Review => format!("clearway review {id} --summary \"...\""),
        Act::Override => format!(
            "clearway override {id} --rule {} --reason \"...\"",
            first(&page.offers.rules, |rule| rule.code.clone(), "CODE")
        ),
        Act::Tick => format!("clearway tick {id} {} --note \"...\"", first(&page.offers.points, point, "LIST/POINT")),
        Act::Veto => format!("clearway veto {id} --for 2h --reason \"...\""),
        Act::LiftVeto => format!("clearway veto {id} --lift --reason \"...\""),
        act => format!("clearway {} {id} --reason \"...\"", act.word()),
    }
}

/// The one that there is, or the word that stands for any.
fn first<T>(of: &[T], name: impl Fn(&T) -> String, any: &str) -> String {
    if let [one] = of { name(one) } else { any.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::change::tests::page_of;
    use crate::sample;

    #[test]
    fn what_follows_is_said_before_it_is_done() {
        let text = section(&page_of(&sample::log(), vec![], Act::ALL.into(), 0)).into_string();
        for wanted in [
            "5% → 25% → 100%",
            "<code>router:checkout</code>",
            "Promote step 2 of 3 (25%)",
            "Another effect needs another yes",
            "clearway rollback CHG-7",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn after_an_unknown_outcome_the_form_asks_what_was_found() {
        let mut page = page_of(&sample::paused(), vec![], vec![Act::Resume], 0);
        assert!(!section(&page).into_string().contains("name=\"found\""));
        page.offers.asks_what_was_found = true;
        assert!(section(&page).into_string().contains("name=\"found\" value=\"not_applied\""));
    }

    // F4, X16
    #[test]
    fn of_several_rules_or_points_one_is_chosen_and_a_single_one_is_said() {
        let mut page = page_of(&sample::denied(), vec![], vec![Act::Override, Act::Tick], 0);
        let assessed = page.view.change.assessment.clone().expect("it is assessed").assessment;
        page.offers.rules = assessed.denials;
        page.offers.points = assessed.checklist[2..].to_vec();
        let text = section(&page).into_string();
        for wanted in [
            "type=\"radio\" name=\"rule\" value=\"weekend\" required",
            "nobody is there after <code>18:00</code>",
            "type=\"hidden\" name=\"point\" value=\"before-production/rollback\"",
            "clearway override CHG-7 --rule CODE --reason",
            "clearway tick CHG-7 before-production/rollback --note",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        let effect = format!("for the effect {}", page.view.change.proposal.effect_digest.short());
        assert_eq!(text.matches(&format!("{effect}</button>")).count(), 2, "{text}");
    }

    #[test]
    fn a_reason_is_demanded_where_the_core_demands_one() {
        let text = |act| {
            one(&page_of(&sample::log(), vec![], vec![], 0), &sample::change_of(&sample::log()), act).into_string()
        };
        for act in
            [Act::Reject, Act::Override, Act::Tick, Act::Pause, Act::Promote, Act::Rollback, Act::Complete, Act::Review]
        {
            assert!(text(act).contains(" required>"), "{act:?}");
        }
        for act in [Act::Approve, Act::Withdraw] {
            assert!(!text(act).contains(" required>"), "{act:?}");
        }
    }
}
