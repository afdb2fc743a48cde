//! A problem as a page.

use maud::html;

use super::frame::{Page, Place};
use super::words::prose;
use crate::problem::Problem;

/// The page of a problem, with a way back.
pub(crate) fn page(problem: &Problem, back: &str) -> Page {
    let main = html! {
        div.card.login {
            p.muted { (problem.status.as_u16()) " " (problem.title()) }
            h1 { "That did not happen" }
            p.failed role="alert" { (prose(&problem.detail)) }
            @if let Some(help) = &problem.help { p { (prose(help)) } }
            p { a href=(back) { "Back" } }
        }
    };
    Page { title: problem.title().into(), place: Place::Elsewhere, events: None, main }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_happened_and_what_to_do() {
        let problem = Problem::not_allowed("`user:<b>` may not pause").help("ask for a role");
        let text = page(&problem, "/changes/CHG-7").main.into_string();
        for wanted in
            ["403 Forbidden", "<code>user:&lt;b&gt;</code> may not pause", "ask for a role", "href=\"/changes/CHG-7\""]
        {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
