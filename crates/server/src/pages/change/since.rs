//! Since the last look: what an amendment made another, for whoever said yes before it or is asked to.

use change::diff::{Diff, Difference};
use maud::{Markup, html};

use crate::pages::words;

pub(super) fn section(diff: Option<&Diff>) -> Markup {
    let Some(diff) = diff else { return html! { section id="since" data-live {} } };
    html! {
        section.card id="since" data-live aria-labelledby="since-h" {
            h2 id="since-h" { "Changed since revision " (diff.from) }
            @if diff.effect_before == diff.effect_after { p { "The effect is the same." } }
            @else { p { "The effect was " (words::digest(diff.effect_before)) " and is " (words::digest(diff.effect_after)) " now." } }
            @if !diff.differences.is_empty() { (table(diff)) }
            @if diff.more > 0 { p.muted { (diff.more) " more differences are not listed here." } }
        }
    }
}

fn table(diff: &Diff) -> Markup {
    html! {
        table.diff {
            caption.unseen { "What is another" }
            thead { tr { th scope="col" { "What" } th scope="col" { "Before" } th scope="col" { "Now" } th scope="col" { "Effect" } } }
            tbody { @for difference in &diff.differences { (row(difference)) } }
        }
    }
}

fn row(difference: &Difference) -> Markup {
    html! {
        tr {
            th scope="row" { code { (difference.path) } }
            td data-label="Before" { (value(difference.before.as_deref())) }
            td data-label="Now" { (value(difference.after.as_deref())) }
            td data-label="Effect" { @if difference.has_effect { strong { "yes" } } @else { span.muted { "no" } } }
        }
    }
}

fn value(value: Option<&str>) -> Markup {
    html! { @match value { Some(text) => code { (text) }, None => span.muted { "nothing" } } }
}

#[cfg(test)]
mod tests {
    use change::Actor;

    use super::*;
    use crate::api::diffs::{self, tests::amended};

    #[test]
    fn what_was_amended_is_shown_with_whether_it_has_effect_and_stays_text() {
        let diff = diffs::since_vote(&amended(), &Actor::User("bob".into()));
        let text = section(diff.as_ref()).into_string();
        for wanted in [
            "Changed since revision 1",
            "<code>artifact</code>",
            "<code>checkout@sha256:ffff</code>",
            "<td data-label=\"Effect\"><strong>yes</strong>",
            "<td data-label=\"Before\">",
            "&lt;b&gt;further&lt;/b&gt;",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!section(None).into_string().contains("Changed"));
    }
}
