//! On call: who answers for each service now and next, what they hold, and what is left of the error budgets.
//!
//! Here people stop the line of services and let it go on. Shows what the core and the log say, as `clearway on-call`, `holds` and `budget` do.

use change::Span;
use change::holds::ServiceHold;
use engine::budgets::{BudgetOverview, SliBudget, WindowBurn};
use engine::rosters::OnCall;
use maud::{Markup, html};

use super::budget;
use super::form::{Fields, Line, Tried};
use super::frame::{Page, Place};
use super::holds;
use super::svg;
use super::words::{self, prose};

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnCallPage {
    pub turns: Vec<Turn>,
    pub holds: Vec<Held>,
    /// Nothing where no budget is read.
    pub budgets: Option<Vec<BudgetOverview>>,
    /// Whether the reader may hold something.
    pub may_hold: bool,
    /// The service that is asked for; all if empty.
    pub service: String,
    pub services: Vec<String>,
    /// The longest that a hold lasts.
    pub longest: Span,
    pub csrf: String,
    pub tried: Option<Tried>,
    pub done: Option<Done>,
}

/// Who is on call for a service, and who after them.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub now: OnCall,
    pub next: Option<OnCall>,
}

/// A hold that lasts, and whether the reader may lift it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub hold: ServiceHold,
    pub may_lift: bool,
}

/// What the reader has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Held,
    Lifted,
}

impl Done {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Held => "hold",
            Self::Lifted => "lift",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Held, Self::Lifted].into_iter().find(|done| done.word() == word)
    }

    fn said(self) -> &'static str {
        match self {
            Self::Held => "The line is stopped: no step begins before the end of your hold.",
            Self::Lifted => "The hold is lifted, and that is in the log.",
        }
    }
}

/// The id of the form that lifts a hold.
pub(crate) fn lift_form(hold: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    format!("lift-{}", hold.chars().map(plain).collect::<String>())
}

impl OnCallPage {
    pub(crate) fn page(&self) -> Page {
        let main = html! {
            div.head { h1 { "On call" } (self.filter()) }
            @if let Some(done) = self.done { p.done role="status" { (svg::mark(svg::Mark::Check)) " " (done.said()) } }
            (self.line())
            (self.turns())
            (self.budgets())
        };
        // What was typed into a form is not news.
        let events = self.tried.is_none().then(|| "/api/v1/events".into());
        Page { title: "On call".into(), place: Place::OnCall, events, main }
    }

    fn filter(&self) -> Markup {
        html! {
            form.inline method="get" action="/on-call" role="search" {
                label for="service" { "Service" }
                input id="service" name="service" value=(self.service) list="services" autocomplete="off" maxlength="100";
                datalist id="services" { @for service in &self.services { option value=(service) {} } }
                button type="submit" { "Show" }
                @if !self.service.is_empty() { a href="/on-call" { "All services" } }
            }
        }
    }

    /// What is held, and the form that holds more.
    fn line(&self) -> Markup {
        html! {
            section.card.acts id="line" data-live aria-labelledby="line-h" {
                h2 id="line-h" { "Stop the line" }
                @if self.holds.is_empty() { p { "No service is held." } }
                ul.exceptions {
                    @for held in &self.holds {
                        li { p.failed { (holds::one(&held.hold)) } @if held.may_lift { (self.lift(held)) } }
                    }
                }
                (self.lost())
                @if self.may_hold { (self.hold()) }
                @else { p.muted { "Whoever is on call for a service, or may freeze it, holds its rollouts here." } }
            }
        }
    }

    fn lift(&self, held: &Held) -> Markup {
        let name = &held.hold.order.hold;
        let form = lift_form(name);
        let fields = Fields::of(&form, self.tried.as_ref());
        html! {
            details.act id=(form) open[fields.is_tried()] {
                summary.button { "Lift " (name) }
                form method="post" action="/on-call/lift" {
                    input type="hidden" name="csrf" value=(self.csrf);
                    input type="hidden" name="hold" value=(name);
                    (fields.whole())
                    p { "Changes of " (prose(&held.hold.order.in_words())) " go on when their other gates are open. What was paused waits for somebody who resumes it." }
                    (fields.words("reason", "Reason", true))
                    div.buttons { button.strong type="submit" { "Lift " (name) } }
                }
            }
        }
    }

    /// A refusal to lift what is no longer on the page.
    fn lost(&self) -> Markup {
        let is_here = |tried: &Tried| {
            tried.form == "hold" && self.may_hold
                || self.holds.iter().any(|held| held.may_lift && lift_form(&held.hold.order.hold) == tried.form)
        };
        html! {
            @if let Some(tried) = self.tried.as_ref().filter(|tried| !is_here(tried)) {
                div.failed role="alert" { p { (prose(&tried.fault.why)) } @if let Some(help) = &tried.fault.help { p.muted { (prose(help)) } } }
            }
        }
    }

    fn hold(&self) -> Markup {
        let fields = Fields::of("hold", self.tried.as_ref());
        html! {
            details.act id="hold" open[fields.is_tried()] {
                summary.button.danger { "Hold rollouts" }
                form method="post" action="/on-call/hold" {
                    input type="hidden" name="csrf" value=(self.csrf);
                    (fields.whole())
                    p { "No step of a change that touches what you name begins before the end that you give. What is under way is finished and judged; rollbacks pass." }
                    (fields.line(&Line { name: "services", label: "Services", hint: "names, with commas between them", value: &self.service, list: Some("services"), ..Line::default() }))
                    (fields.line(&Line { name: "team", label: "All services of a team", ..Line::default() }))
                    (fields.line(&Line { name: "environment", label: "Only in this environment", ..Line::default() }))
                    (fields.end(&format!("at most {} from now", self.longest)))
                    (fields.words("reason", "Reason", true))
                    (fields.one_of("emergency", "Emergencies", &[("allow", "pass it"), ("forbid", "are held too")]))
                    (fields.tick("pause", "Pause at once what rolls out; it then waits for somebody who resumes it"))
                    div.buttons { button.danger type="submit" { "Stop the line" } }
                }
            }
        }
    }

    fn turns(&self) -> Markup {
        html! {
            section.card aria-labelledby="turns-h" {
                h2 id="turns-h" { "Now and next" }
                @if self.turns.is_empty() {
                    p { "The catalog has no service." }
                } @else {
                    table.rows {
                        caption.unseen { "Who is on call for each service, now and next" }
                        thead { tr { @for name in ["Service", "On call now", "Until", "Next", "By"] { th scope="col" { (name) } } } }
                        tbody { @for turn in &self.turns { (row(turn)) } }
                    }
                }
            }
        }
    }

    fn budgets(&self) -> Markup {
        html! {
            section.card id="budgets" data-live aria-labelledby="budgets-h" {
                h2 id="budgets-h" { "Error budgets" }
                @match &self.budgets {
                    None => p { "No error budget is read here: add an " code { "error_budget.yaml" } " to the governance." },
                    Some(all) if all.is_empty() => p { "No service that is shown promises anything: no SLI of it has an " code { "objective" } "." },
                    Some(all) => { @for one in all { (one_budget(one)) } }
                }
            }
        }
    }
}

fn row(turn: &Turn) -> Markup {
    let now = &turn.now;
    html! {
        tr {
            th scope="row" { (now.name) }
            td data-label="On call now" { (people(now)) }
            td data-label="Until" { @match now.duty.until { Some(until) => (words::time(until)), None => span.muted { "no end is known" } } }
            td data-label="Next" { @match &turn.next { Some(next) => (people(next)), None => span.muted { "the same" } } }
            td data-label="By" {
                @for (i, name) in now.duty.named.iter().enumerate() { @if i > 0 { ", " } code { (name) } }
                @if let Some(at) = now.fetched_at { div.muted { "as fetched " (words::time(at)) } }
                @if let Some(why) = &now.failed { div.warning { (svg::mark(svg::Mark::Alarm)) " it could not be fetched since: " (prose(why)) } }
            }
        }
    }
}

/// Nobody is not the same as not known.
fn people(one: &OnCall) -> Markup {
    let users: Vec<&str> = one.duty.users.iter().map(String::as_str).collect();
    html! {
        @match &one.duty.unknown {
            Some(why) => span.warning { (svg::mark(svg::Mark::Alarm)) " unknown: " (prose(why)) },
            None if users.is_empty() => span.warning { (svg::mark(svg::Mark::Alarm)) " nobody" },
            None => strong { (users.join(", ")) },
        }
    }
}

fn one_budget(one: &BudgetOverview) -> Markup {
    html! {
        h3 { (one.service) }
        (budget::burn(one))
        p { strong { "Today: " } (prose(&one.allows)) "." }
        @if let Some(band) = one.state.as_ref().and_then(|state| state.band) { p.muted { "In the band of at most " (band) " % left." } }
        @match &one.reading {
            None => p.muted { "Not read yet." },
            Some(reading) => {
                table.rows.figures {
                    caption.unseen { "What is left of each budget of " (one.service) }
                    thead { tr { @for name in ["SLI", "Left", "Burns", "Source"] { th scope="col" { (name) } } } }
                    tbody { @for sli in &reading.slis { (figures(sli)) } }
                }
                p.muted { "Over " (reading.period) ", read " (words::time(reading.at)) "." }
            }
        }
        @if let Some(at) = one.state.as_ref().and_then(|state| state.expected_at) {
            p.muted { "More is expected to be left " (words::time(at)) ", if nothing bad happens until then." }
        }
    }
}

fn figures(sli: &SliBudget) -> Markup {
    let burns: Vec<String> = sli.windows.iter().map(burn).collect();
    html! {
        tr {
            th scope="row" { (sli.sli) }
            td data-label="Left" { (budget::left(sli)) @if let Some(left) = sli.left_percent { (svg::meter("safety", left / 100.0, &format!("{left:.1} % left"))) } }
            td data-label="Burns" { (burns.join(", ")) }
            td data-label="Source" { code { (sli.source) } }
        }
    }
}

fn burn(burn: &WindowBurn) -> String {
    let rate = burn.long_rate.map_or_else(|| "unknown".to_owned(), |rate| format!("{rate:.1}×"));
    format!("{rate} over {}", burn.window.long)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use change::Actor;
    use change::budget::{BudgetState, BurnWindow, Burning};
    use change::calendar::Passage;
    use change::on_call::Duty;
    use engine::budgets::BudgetReading;

    use super::*;
    use crate::pages::form::Fault;
    use crate::sample;

    fn on_call(name: &str, users: &[&str], unknown: Option<&str>) -> OnCall {
        let users: BTreeSet<String> = users.iter().map(|user| (*user).to_owned()).collect();
        let named = ["<primary>".to_owned()].into();
        let duty = Duty { named, users, until: Some(sample::start()), unknown: unknown.map(str::to_owned) };
        OnCall { name: name.into(), duty, fetched_at: Some(sample::start()), failed: Some("it is <away>".into()) }
    }

    fn budget() -> BudgetOverview {
        let window = BurnWindow { long: Span::secs(3_600), short: Span::secs(300), factor: 2.0 };
        let burn = WindowBurn { window, long_rate: Some(3.46), short_rate: None, burns: Some(true) };
        let sli = SliBudget {
            sli: "errors".into(),
            source: "prom".into(),
            objective: "99.5%".parse().expect("an objective"),
            left_percent: Some(38.25),
            bad_events: None,
            all_events: None,
            windows: vec![burn],
            unreachable: None,
        };
        let away =
            SliBudget { sli: "latency".into(), left_percent: None, unreachable: Some("<away>".into()), ..sli.clone() };
        let slis = vec![sli, away];
        let reading =
            BudgetReading { service: "checkout".into(), at: sample::start(), period: Span::secs(28 * 86_400), slis };
        let burning = Burning { sli: "errors".into(), window, rate: 3.46, since: sample::start() };
        let state = BudgetState {
            service: "checkout".into(),
            sli: Some("errors".into()),
            left_percent: Some(38.25),
            band: Some(50),
            burning: Some(burning),
            unknown: None,
            expected_at: Some(sample::start()),
            measured: "m".into(),
        };
        let allows = "it burns: nothing begins until that is over".into();
        BudgetOverview {
            service: "checkout".into(),
            reading: Some(reading),
            state: Some(state),
            begun_within_a_day: 1,
            allows,
        }
    }

    /// One service with a next turn, one of which nobody knows who is on call, one with nobody; a hold; a budget that burns.
    pub(crate) fn page() -> OnCallPage {
        let order = sample::hold_order(Passage::Allow);
        let hold = ServiceHold { order, by: Actor::User("eve".into()), since: sample::start() };
        let next = Some(on_call("checkout", &["bob"], None));
        OnCallPage {
            turns: vec![
                Turn { now: on_call("checkout", &["ada", "<eve>"], None), next },
                Turn { now: on_call("search", &[], Some("the roster is <too old>")), next: None },
                Turn { now: on_call("mail", &[], None), next: None },
            ],
            holds: vec![Held { hold, may_lift: true }],
            budgets: Some(vec![budget()]),
            may_hold: true,
            services: vec!["checkout".into()],
            longest: Span::secs(7 * 86_400),
            csrf: "form-token".into(),
            ..OnCallPage::default()
        }
    }

    // A4, A2
    #[test]
    fn who_is_on_call_what_is_held_and_what_is_left_stand_on_one_page() {
        let text = page().page().main.into_string();
        for wanted in [
            "&lt;eve&gt;, ada",
            "<strong>bob</strong>",
            "unknown: the roster is &lt;too old&gt;",
            " nobody",
            "could not be fetched since: it is &lt;away&gt;",
            "HOLD-1",
            "&lt;script&gt;",
            "at most 7d from now",
            "38.2 % left of 99.5%",
            "3.5× over 1h",
            "nobody can say: &lt;away&gt;",
            "Today: </strong>it burns",
            "band of at most 50 % left",
            "Burns 3.5 times as fast",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert_eq!(text.matches("method=\"post\"").count(), text.matches("name=\"csrf\" value=\"form-token\"").count());
    }

    #[test]
    fn without_a_right_there_is_no_form_and_without_a_file_no_budget() {
        let mut page = page();
        (page.may_hold, page.budgets) = (false, None);
        page.holds[0].may_lift = false;
        let text = page.page().main.into_string();
        assert!(!text.contains("method=\"post\"") && text.contains("error_budget.yaml"), "{text}");
    }

    #[test]
    fn a_refusal_of_what_is_gone_is_said_all_the_same() {
        let mut page = page();
        page.holds.clear();
        let fault = Fault { field: None, ..Fault::of("reason", "no hold `HOLD-9` lasts now") };
        page.tried = Some(Tried { form: lift_form("HOLD-9"), typed: Default::default(), fault });
        assert!(page.page().main.into_string().contains("no hold <code>HOLD-9</code> lasts now"));
        assert_eq!(lift_form("\"><script>"), "lift-___script_");
    }
}
