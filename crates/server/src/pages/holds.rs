//! Holds on pages: what people on call have stopped, over the list and over a change.
//!
//! Shows and decides nothing: whether a hold covers a change was asked of the core.

use change::calendar::Passage;
use change::explain;
use change::holds::ServiceHold;
use maud::{Markup, html};

use super::words::{self, prose};

/// One line for each hold; nothing where there is none. Replaced by the script when there is news.
pub(crate) fn banner(holds: &[ServiceHold]) -> Markup {
    html! {
        div id="holds" data-live {
            @for hold in holds { p.failed role="status" { (one(hold)) } }
        }
    }
}

/// What a hold holds, by whom, until when and why.
pub(crate) fn one(hold: &ServiceHold) -> Markup {
    let order = &hold.order;
    let emergencies = if order.emergency == Passage::Allow {
        "Rollbacks and emergencies pass."
    } else {
        "Rollbacks pass, emergencies do not."
    };
    html! {
        strong { (order.hold) } ": " (prose(&format!("{} holds {}", explain::actor(&hold.by), order.in_words())))
        " until " (words::end(order.until)) ": " (prose(&order.reason)) ". " (emergencies)
    }
}

#[cfg(test)]
mod tests {
    use change::Actor;

    use super::*;
    use crate::sample;

    // A4
    #[test]
    fn a_hold_says_who_holds_what_until_when_and_stays_text() {
        let order = sample::hold_order(Passage::Forbid);
        let hold = ServiceHold { order, by: Actor::User("eve".into()), since: sample::start() };
        let text = banner(&[hold]).into_string();
        for wanted in [
            "HOLD-1",
            "eve holds <code>checkout</code>",
            "2026-09-01T09:00:00Z",
            "&lt;script&gt;",
            "emergencies do not",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!banner(&[]).into_string().contains("<p"));
    }
}
