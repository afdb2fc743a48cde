//! The frame: what is the same on every page. Head, landmarks, navigation, and who is logged in.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets;
use crate::identity::Caller;

/// The reader of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReaderView {
    pub caller: Caller,
    pub csrf: String,
    /// What everybody has to know while it lasts, on every page.
    pub notices: Vec<String>,
}

/// The places in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Changes,
    Releases,
    OnCall,
    Calendar,
    Schedule,
    Log,
    Api,
    Elsewhere,
}

/// A page without its frame.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub title: String,
    pub place: Place,
    /// Where the script listens for news, if anything on the page moves.
    pub events: Option<String>,
    pub main: Markup,
}

impl Page {
    /// The whole document.
    pub(crate) fn frame(&self, reader: Option<&ReaderView>) -> Markup {
        PreEscaped(unturned(self.document(reader).into_string()))
    }

    fn document(&self, reader: Option<&ReaderView>) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Clearway" }
                    link rel="icon" href=(assets::ICON.path()) type="image/svg+xml";
                    link rel="stylesheet" href=(assets::STYLE.path());
                    script src=(assets::SCRIPT.path()) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.banner(reader))
                    @for notice in reader.iter().flat_map(|r| &r.notices) { p.failed role="alert" { (notice) } }
                    main id="main" tabindex="-1" data-events=[self.events.as_deref()] { (self.main) }
                    footer { p { "Clearway " (env!("CARGO_PKG_VERSION")) } p id="live" role="status" {} }
                }
            }
        }
    }

    fn banner(&self, reader: Option<&ReaderView>) -> Markup {
        let places = [
            (Place::Changes, "/", "Changes"),
            (Place::Releases, "/releases", "Releases"),
            (Place::OnCall, "/on-call", "On call"),
            (Place::Calendar, "/calendar", "Calendar"),
            (Place::Schedule, "/schedule", "Schedule"),
            (Place::Log, "/log", "Log"),
            (Place::Api, "/api", "API"),
        ];
        html! {
            header.banner {
                a.brand href="/" { img src=(assets::ICON.path()) alt="" width="20" height="20"; "Clearway" }
                nav aria-label="Main" {
                    ul {
                        @for (place, path, name) in places {
                            li { a href=(path) aria-current=[(self.place == place).then_some("page")] { (name) } }
                        }
                    }
                }
                @match reader {
                    Some(reader) => {
                        form.who method="post" action="/logout" {
                            input type="hidden" name="csrf" value=(reader.csrf);
                            span { (reader.caller.user) }
                            button.quiet type="submit" { "Log out" }
                        }
                    }
                    None => { a.who href="/login" { "Log in" } }
                }
            }
        }
    }
}

/// A command line to copy.
pub(crate) fn command(line: &str) -> Markup {
    html! { p.command { code { (line) } } }
}

/// No page of ours turns the direction of letters; a reason that does so would turn what is said after it.
fn unturned(page: String) -> String {
    let turns = |letter: char| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !page.contains(turns) {
        return page;
    }
    let mut shown = String::with_capacity(page.len());
    for letter in page.chars() {
        if turns(letter) { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page { title: "<Title>".into(), place: Place::Log, events: None, main: html! { p { "here" } } }
    }

    #[test]
    fn a_page_has_landmarks_a_skip_link_and_nothing_inline() {
        let caller = Caller { user: "<ada>".into(), ..Caller::default() };
        let reader = ReaderView { caller, csrf: "c".into(), notices: vec!["<look>".into()] };
        let text = page().frame(Some(&reader)).into_string();
        for wanted in [
            "<main id=\"main\"",
            "<nav aria-label",
            "href=\"#main\"",
            "lang=\"en\"",
            "aria-current=\"page\"",
            "&lt;ada&gt;",
            "role=\"alert\">&lt;look&gt;",
            "&lt;Title&gt;",
        ] {
            assert!(text.contains(wanted), "{wanted}");
        }
        for unwanted in [" style=", " onclick=", "<style", "<script>", "http://", "https://"] {
            assert!(!text.contains(unwanted), "{unwanted}");
        }
    }

    #[test]
    fn what_turns_letters_around_is_shown_and_turns_nothing() {
        let main = html! { p { "it is \u{202e}desolc\u{2066}" } };
        let text = Page { main, ..page() }.frame(None).into_string();
        assert!(text.contains("it is \\u{202e}desolc\\u{2066}"), "{text}");
    }

    #[test]
    fn somebody_who_is_not_logged_in_can_log_in() {
        let text = page().frame(None).into_string();
        assert!(text.contains("href=\"/login\"") && !text.contains("/logout"));
    }
}
