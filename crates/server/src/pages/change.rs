//! One change on one page: where it stands and why, what the reader can do, and everything that happened.
//!
//! Parts that move carry `data-live`: the script replaces them one by one when there is news.

mod about;
pub(super) mod actions;
mod since;
mod steps;
mod verdict;

use change::ChangeId;
use change::diff::Diff;
use change::gate::{Gate, GateState};
use maud::{Markup, html};

use super::budget;
use super::form::Tried;
use super::frame::{Page, Place};
use super::holds;
use super::svg;
use super::timeline::timeline;
use super::words::{self, prose};
use crate::offers::{Act, Offers};
use crate::view::{ChangeView, LogEntry, LookView};

/// What the page of a change shows.
#[derive(Clone, Debug)]
pub(crate) struct ChangePage {
    pub view: ChangeView,
    pub log: Vec<LogEntry>,
    pub looks: Vec<LookView>,
    pub offers: Offers,
    pub csrf: String,
    /// What is another since the reader's last vote; nothing where it is the same revision.
    pub since: Option<Diff>,
    /// What the reader has just done.
    pub done: Option<Act>,
    /// A form of the reader that was not taken.
    pub tried: Option<Tried>,
    /// What people on call hold of its services now.
    pub holds: Vec<change::holds::ServiceHold>,
    /// The error budgets of its services, where they are read.
    pub budgets: Vec<engine::budgets::BudgetOverview>,
}

impl ChangePage {
    pub(crate) fn page(&self) -> Page {
        let change = &self.view.change;
        let main = html! {
            @if let Some(done) = self.done { p.done role="status" { (svg::mark(svg::Mark::Check)) " " (done.done()) } }
            (self.head())
            (holds::banner(&self.holds))
            div.columns {
                div.column {
                    (since::section(self.since.as_ref()))
                    (actions::section(self))
                    (steps::section(&self.view))
                    (verdict::section(change, &self.looks))
                    (gates(change.id, &self.view.gates))
                    (timeline(&self.log, "Each entry stands in the log of the server; its number leads to the proof."))
                }
                aside.column aria-label="About this change" { (budget::card(&self.budgets)) (about::sections(&self.view)) }
            }
        };
        Page {
            title: format!("{} {}", change.id, change.proposal.title),
            place: Place::Changes,
            // What was typed into a form is not news.
            events: self.tried.is_none().then(|| format!("/api/v1/changes/{}/events", change.id)),
            main,
        }
    }

    fn head(&self) -> Markup {
        let ChangeView { change, phase, .. } = &self.view;
        // The gates below say why.
        let status = &change::explain::headline(change);
        let proposal = &change.proposal;
        html! {
            div.change-head {
                p.crumbs {
                    a href="/changes" { "Changes" } " / " span.id { (change.id) }
                    span.muted { " · " (proposal.kind) " · " (proposal.environment) " · " (services(&self.view)) }
                }
                h1 { (proposal.title) }
                p.standing id="standing" data-live role="status" { (words::phase(phase)) span.sentence { (prose(status)) } }
            }
        }
    }
}

fn services(view: &ChangeView) -> String {
    view.change.proposal.services.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The gates: what is open, and what would open the rest.
fn gates(of: ChangeId, gates: &[Gate]) -> Markup {
    html! {
        section.card id="gates" data-live aria-labelledby="gates-h" {
            h2 id="gates-h" { "Gates" }
            @if gates.is_empty() {
                p.muted { "The change has ended: it has no gate to pass." }
            } @else {
                @if gates.iter().any(|gate| gate.observed) {
                    p.muted { "The services are only observed: what would be held goes on, and the log says so." }
                }
                ol.gates { @for gate in gates { (one_gate(of, gate)) } }
            }
        }
    }
}

fn one_gate(of: ChangeId, gate: &Gate) -> Markup {
    let closed = !gate.is_open();
    html! {
        li.closed[closed] {
            @match &gate.state {
                GateState::Open => {
                    (svg::mark(svg::Mark::Check)) span.name { (gate.gate) } span.muted { "open" }
                }
                GateState::Closed { opens_at, .. } => {
                    (svg::mark(svg::Mark::Gate)) span.name { (gate.gate) }
                    span { @if gate.observed { "would be held" } @else { "closed" } }
                    div.why {
                        @for obstacle in gate.closed_by() { (one_obstacle(of, obstacle)) }
                        @if let Some(at) = opens_at { p { "It opens by itself: " (words::time(*at)) } }
                    }
                }
            }
            @if !gate.in_the_way.is_empty() {
                div.why { @for other in &gate.in_the_way { p { (prose(&other.in_words())) } } }
            }
            @if !gate.warnings.is_empty() {
                div.why { (warnings(gate)) }
            }
        }
    }
}

/// One of the things that close a gate, with the way out.
fn one_obstacle(of: ChangeId, obstacle: &GateState) -> Markup {
    let GateState::Closed { code, reason, who_can, .. } = obstacle else { return html! {} };
    html! {
        p { (prose(reason)) }
        @if code == "freeze" {
            p { a href={ "/calendar?except=" (of) "#exceptions" } { "Ask for an exception, or grant one" } }
        }
        @if let Some(who) = who_can { p.muted { "Who can open it: " (prose(who)) } }
    }
}

/// One is shown whole; of several, which may be long, how many there are until somebody opens them.
fn warnings(gate: &Gate) -> Markup {
    let each = html! { @for warning in &gate.warnings { p { "Warning: " (prose(warning)) } } };
    html! {
        @if gate.warnings.len() == 1 {
            (each)
        } @else {
            details.table id={ "warnings-" (gate.gate) } { summary { (gate.warnings.len()) " warnings" } (each) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use change::gate::GateName;
    use engine::Overview;
    use engine::ports::Recorded;

    use super::*;
    use crate::sample;

    pub(crate) fn page_of(log: &[Recorded], gates: Vec<Gate>, acts: Vec<Act>, looks: u64) -> ChangePage {
        let change = sample::change_of(log);
        let entries = log.iter().map(|r| LogEntry::of(r, &change.proposal.plan)).collect();
        let overview = Overview { change, gates, log: log.to_vec() };
        ChangePage {
            view: ChangeView::of(&overview, "http://localhost:8080"),
            log: entries,
            looks: sample::looks(looks),
            offers: Offers { acts, ..Offers::default() },
            csrf: "form-token".into(),
            since: None,
            done: None,
            tried: None,
            holds: vec![],
            budgets: vec![],
        }
    }

    fn text(page: &ChangePage) -> String {
        page.page().main.into_string()
    }

    #[test]
    fn a_page_says_where_a_change_stands_and_why() {
        let text =
            text(&page_of(&sample::log(), sample::gates("approvals are missing: 1 of `sre`"), vec![Act::Pause], 60));
        for wanted in [
            "Raise the checkout connection pool to 64",
            "step 2 of 3 (25%): insufficient: 214 of 900 requests",
            "<code>checkout</code> is of tier 1",
            "approvals are missing: 1 of <code>sre</code>",
            "checkout-availability",
            "href=\"/api/v1/log/40/proof\"",
            "clearway why CHG-7",
            "looked at the pool graphs",
            "action=\"/changes/CHG-7/pause\"",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn a_hostile_change_stays_text_everywhere() {
        let evil = "<script>alert(1)</script>";
        let page = page_of(&sample::hostile(), sample::gates(evil), Act::ALL.into(), 60);
        let text = page.page().frame(None).into_string();
        assert!(!text.contains("<script>") && !text.contains("<img src=x"), "{text}");
        assert!(!text.contains("href=\"javascript:"), "{text}");
        assert!(text.matches("&lt;script&gt;").count() > 10);
    }

    #[test]
    fn every_form_carries_the_token_and_approving_is_bound_to_the_effect() {
        let text = text(&page_of(&sample::waiting(), vec![], Act::ALL.into(), 0));
        assert_eq!(text.matches("<form").count(), text.matches("name=\"csrf\" value=\"form-token\"").count());
        let effect = sample::proposal().effect_digest;
        assert!(text.contains(&format!("name=\"effect\" value=\"{effect}\"")), "{text}");
    }

    #[test]
    fn a_closed_gate_says_who_can_open_it_and_when() {
        let opens_at = Some(sample::start());
        let state = GateState::Closed {
            code: "freeze".into(),
            reason: "a freeze".into(),
            opens_at,
            who_can: Some("`ada`".into()),
        };
        let text = gates(ChangeId::new(7), &[Gate::new(GateName::Windows, state)]).into_string();
        assert!(text.contains("It opens by itself: <time datetime=\"2026-09-01T09:00:00Z\""), "{text}");
        assert!(text.contains("Who can open it: <code>ada</code>"), "{text}");
        assert!(text.contains("href=\"/calendar?except=CHG-7#exceptions\""), "{text}");
    }

    // X20
    #[test]
    fn a_gate_that_only_observes_says_that_it_would_hold() {
        let state =
            GateState::Closed { code: "freeze".into(), reason: "a freeze".into(), opens_at: None, who_can: None };
        let mut gate = Gate::new(GateName::Windows, state);
        assert!(!gates(ChangeId::new(7), std::slice::from_ref(&gate)).into_string().contains("would be held"));
        gate.observed = true;
        let text = gates(ChangeId::new(7), &[gate]).into_string();
        assert!(
            text.contains("would be held") && text.contains("only observed") && !text.contains("closed</span>"),
            "{text}"
        );
    }

    #[test]
    fn an_open_gate_shows_its_warnings() {
        let mut gate = Gate::new(GateName::Readiness, GateState::Open);
        gate.warnings =
            vec!["the check `login` fails for the stable version already: status 503 instead of 200-399".into()];
        let text = gates(ChangeId::new(7), std::slice::from_ref(&gate)).into_string();
        assert!(text.contains("Warning: the check <code>login</code> fails for the stable version already"), "{text}");
        assert!(!text.contains("<details"), "{text}");
        gate.warnings.push("the forecast is <long>".into());
        let text = gates(ChangeId::new(7), &[gate]).into_string();
        assert!(text.contains("<summary>2 warnings</summary>") && text.contains("&lt;long&gt;"), "{text}");
    }

    #[test]
    fn a_change_without_a_rollout_shows_no_verdict() {
        let text = text(&page_of(&sample::waiting(), vec![], vec![], 0));
        assert!(!text.contains("id=\"verdict-h\"") && !text.contains("id=\"actions-h\""), "{text}");
    }

    #[test]
    fn a_step_that_was_promoted_says_why() {
        let mut page = page_of(&sample::log(), vec![], vec![], 0);
        page.view.steps[0].overridden = Some("the graphs <look> good".into());
        assert!(text(&page).contains("the graphs &lt;look&gt; good"));
    }
}
