//! Exceptions on the page of the calendar: which change may pass which freeze, who asked, who granted it, and until when.
//!
//! Offers what the core would not refuse: asking, granting, and ending what was granted. Decides nothing; a refusal comes back beside its field.

use change::calendar::Exception;
use change::{ChangeId, explain};
use maud::{Markup, html};

use super::form::{Fields, Line, Tried};
use super::svg;
use super::words::{self, prose};

/// What the card shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExceptionsCard {
    pub rows: Vec<Row>,
    /// Whether the reader may ask for one, of some change.
    pub may_ask: bool,
    /// What stands in the form before anything is typed.
    pub about: Option<ChangeId>,
    /// The names of the freezes.
    pub freezes: Vec<String>,
    /// Changes that wait behind one.
    pub waiting: Vec<ChangeId>,
    pub csrf: String,
    pub tried: Option<Tried>,
    pub done: Option<Done>,
}

/// One exception that is asked for or counts.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub change: ChangeId,
    pub title: String,
    pub exception: Exception,
    pub may_grant: bool,
    /// Why the reader can't grant it, where they would wonder.
    pub not_grant: Option<String>,
    pub may_revoke: bool,
    /// Whether the reader asks for it.
    pub is_own: bool,
}

/// What the reader has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Asked,
    Granted,
    Revoked,
}

impl Done {
    pub(crate) const ALL: [Self; 3] = [Self::Asked, Self::Granted, Self::Revoked];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Asked => "ask",
            Self::Granted => "grant",
            Self::Revoked => "revoke",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.word() == word)
    }

    /// The word of the table of actions.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Asked => "except",
            Self::Granted => "grant-exception",
            Self::Revoked => "revoke-exception",
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::Asked => "It is asked for; the owner of the freeze is told.",
            Self::Granted => "The exception is granted, with your name.",
            Self::Revoked => "The exception counts no more.",
        }
    }
}

/// The id of the form about one exception.
pub(crate) fn form_of(done: Done, change: &str, freeze: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    match done {
        Done::Asked => "ask".into(),
        done => format!("{}-{change}-{freeze}", done.word()).chars().map(plain).collect(),
    }
}

impl ExceptionsCard {
    pub(crate) fn markup(&self) -> Markup {
        html! {
            section.card.acts id="exceptions" aria-labelledby="exceptions-h" {
                h2 id="exceptions-h" { "Exceptions" }
                @if let Some(done) = self.done { p.done role="status" { (svg::mark(svg::Mark::Check)) " " (done.said()) } }
                p.muted { "An exception lets one change pass one freeze, for a time. It is for the effect that the change has, and falls with it." }
                @if self.rows.is_empty() { p { "None is asked for, and none is granted." } }
                ul.exceptions { @for row in &self.rows { li { (self.row(row)) } } }
                (self.lost())
                @if self.may_ask { (self.ask()) }
            }
        }
    }

    fn row(&self, row: &Row) -> Markup {
        let exception = &row.exception;
        html! {
            p {
                @match &exception.granted {
                    Some(_) => span.phase."is-good" { (svg::mark(svg::Mark::Check)) span { "granted" } },
                    None => span.phase."is-waiting" { (svg::mark(svg::Mark::Hand)) span { "asked for" } },
                }
                " " a href={ "/changes/" (row.change) } { (row.change) } " " (row.title)
                " may pass " code { (exception.freeze) } " until " (words::end(exception.until))
            }
            p { (exception.reason) }
            p.muted {
                "Asked for by " (explain::actor(&exception.by)) ", " (words::time(exception.at)) "."
                @if let Some(granted) = &exception.granted {
                    " Granted by " (explain::actor(&granted.by)) " as " code { (granted.role) } ", " (words::time(granted.at)) "."
                }
            }
            @if let Some(why) = &row.not_grant { p.muted { "You can't grant it: " (prose(why)) } }
            @if row.may_grant { (self.grant(row)) }
            @if row.may_revoke { (self.revoke(row)) }
        }
    }

    fn hidden(&self, row: &Row) -> Markup {
        html! {
            input type="hidden" name="csrf" value=(self.csrf);
            input type="hidden" name="change" value=(row.change);
            input type="hidden" name="freeze" value=(row.exception.freeze);
            // What was on the page when the reader decided: something else may be asked for by then.
            input type="hidden" name="seen" value=(row.exception.until);
        }
    }

    fn grant(&self, row: &Row) -> Markup {
        let form = form_of(Done::Granted, &row.change.to_string(), &row.exception.freeze);
        let fields = Fields::of(&form, self.tried.as_ref());
        html! {
            details.act id=(form) open[fields.is_tried()] {
                summary.button.strong { "Grant it" }
                form method="post" action="/calendar/grant" {
                    (self.hidden(row))
                    (fields.whole())
                    p { (row.change) " then passes " code { (row.exception.freeze) } " until " (words::end(row.exception.until)) " with the effect " (words::digest(row.exception.effect)) ". Your name stands in the log." }
                    div.buttons { button.strong type="submit" { "Grant it for " (row.change) } }
                }
            }
        }
    }

    fn revoke(&self, row: &Row) -> Markup {
        let form = form_of(Done::Revoked, &row.change.to_string(), &row.exception.freeze);
        let fields = Fields::of(&form, self.tried.as_ref());
        let label = match (&row.exception.granted, row.is_own) {
            (Some(_), _) => "Revoke it",
            (None, true) => "Take it back",
            (None, false) => "Decline it",
        };
        html! {
            details.act id=(form) open[fields.is_tried()] {
                summary.button.danger { (label) }
                form method="post" action="/calendar/revoke" {
                    (self.hidden(row))
                    (fields.whole())
                    @if row.exception.granted.is_some() {
                        p { "The freeze holds the next step of " (row.change) " again. What has begun is finished, and a rollback passes." }
                    } @else {
                        p { "Nobody grants it then, as long as it is not asked for again." }
                    }
                    (fields.words("reason", "Reason", true))
                    div.buttons { button.danger type="submit" { (label) } }
                }
            }
        }
    }

    /// A refusal of something that is no longer on the page.
    fn lost(&self) -> Markup {
        let is_here = |tried: &Tried| {
            tried.form == "ask" && self.may_ask
                || self.rows.iter().any(|row| {
                    let form = |done| form_of(done, &row.change.to_string(), &row.exception.freeze);
                    row.may_grant && form(Done::Granted) == tried.form
                        || row.may_revoke && form(Done::Revoked) == tried.form
                })
        };
        html! {
            @if let Some(tried) = self.tried.as_ref().filter(|tried| !is_here(tried)) {
                div.failed role="alert" tabindex="-1" autofocus { p { (prose(&tried.fault.why)) } @if let Some(help) = &tried.fault.help { p.muted { (prose(help)) } } }
            }
        }
    }

    fn ask(&self) -> Markup {
        let fields = Fields::of("ask", self.tried.as_ref());
        let change = self.about.map(|change| change.to_string()).unwrap_or_default();
        let which = Line { name: "change", label: "Change", is_required: true, ..Line::default() };
        html! {
            details.act id="ask" open[fields.is_tried() || self.about.is_some()] {
                summary.button { "Ask for an exception" }
                form method="post" action="/calendar/ask" {
                    input type="hidden" name="csrf" value=(self.csrf);
                    (fields.whole())
                    (fields.line(&Line { hint: "such as `CHG-7`", list: Some("ask-changes"), value: &change, ..which }))
                    datalist id="ask-changes" { @for change in &self.waiting { option value=(change) {} } }
                    (fields.line(&Line { name: "freeze", label: "Freeze", list: Some("ask-freezes"), ..which }))
                    datalist id="ask-freezes" { @for freeze in &self.freezes { option value=(freeze) {} } }
                    (fields.end("at most 31 days ahead"))
                    (fields.words("reason", "Reason", true))
                    div.buttons { button.strong type="submit" { "Ask the owner of the freeze" } }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use change::Actor;
    use change::calendar::exception::Granted;

    use super::*;
    use crate::sample;

    /// One that is asked for and one that is granted.
    pub(crate) fn card() -> ExceptionsCard {
        let exception = |freeze: &str, granted| Exception {
            freeze: freeze.into(),
            effect: sample::proposal().effect_digest,
            by: Actor::User("ada".into()),
            reason: "the <b>tax rate</b> changes".into(),
            until: sample::start(),
            at: sample::start(),
            granted,
        };
        let row = |number, exception| Row {
            change: ChangeId::new(number),
            title: "Raise <i>it".into(),
            exception,
            may_grant: true,
            not_grant: None,
            may_revoke: true,
            is_own: false,
        };
        let granted = Granted { by: Actor::User("finn".into()), role: "finance".into(), at: sample::start() };
        ExceptionsCard {
            rows: vec![row(7, exception("year-end", None)), row(8, exception("peak", Some(granted)))],
            may_ask: true,
            freezes: vec!["peak".into(), "year-end".into()],
            waiting: vec![ChangeId::new(7)],
            csrf: "form-token".into(),
            ..ExceptionsCard::default()
        }
    }

    // LC4
    #[test]
    fn an_exception_says_who_asked_who_granted_it_and_until_when() {
        let text = card().markup().into_string();
        for wanted in [
            "asked for</span>",
            "granted</span>",
            "Granted by finn as <code>finance</code>",
            "the &lt;b&gt;tax rate&lt;/b&gt; changes",
            "Raise &lt;i&gt;it",
            "name=\"change\" value=\"CHG-7\"",
            "Decline it",
            "Revoke it",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(text.contains("until <span title=\"2026-09-01T09:00:00Z\">2026-09-01 09:00 UTC</span>"), "{text}");
        assert_eq!(text.matches("<form").count(), text.matches("name=\"csrf\" value=\"form-token\"").count());
        assert!(!text.contains("<details class=\"act\" id=\"ask\" open"), "{text}");
    }

    // LC4
    #[test]
    fn whoever_asked_for_an_exception_takes_it_back_and_does_not_decline_it() {
        let mut card = card();
        card.rows.iter_mut().for_each(|row| row.is_own = true);
        let text = card.markup().into_string();
        assert!(text.contains("Take it back") && !text.contains("Decline it"), "{text}");
    }

    #[test]
    fn whoever_may_nothing_is_shown_no_form() {
        let mut card = card();
        card.may_ask = false;
        card.rows.iter_mut().for_each(|row| (row.may_grant, row.may_revoke) = (false, false));
        assert!(!card.markup().into_string().contains("<form"));
    }
}
