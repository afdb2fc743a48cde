//! Logging in: with a token, or by a link that works once.

use maud::html;

use super::frame::{Page, Place};

/// What the form shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginPage {
    /// Why the last try did not succeed.
    pub failed: Option<String>,
    /// Where to go afterwards: a path on this server.
    pub next: String,
}

impl LoginPage {
    pub(crate) fn page(&self) -> Page {
        let main = html! {
            div.card.login {
                h1 { "Log in" }
                @if let Some(why) = &self.failed { p.failed role="alert" { (why) } }
                form method="post" action="/login" {
                    input type="hidden" name="next" value=(self.next);
                    label for="token" { "Access token" }
                    input id="token" name="token" type="password" required autocomplete="current-password" spellcheck="false" maxlength="1000";
                    div.buttons { button.strong type="submit" { "Log in" } }
                }
                p.muted { "Tokens are given out by whoever runs this server. A link that was printed for you logs you in once." }
            }
        };
        Page { title: "Log in".into(), place: Place::Elsewhere, events: None, main }
    }
}

/// A path on this server to go on with; anything else leads to the list.
pub(crate) fn local(next: Option<&str>) -> String {
    let is_local = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|b| b.is_ascii_graphic())
    };
    next.filter(is_local).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_never_led_to_another_host() {
        assert_eq!(local(Some("/changes/CHG-7?done=pause")), "/changes/CHG-7?done=pause");
        for evil in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil",
            "",
            "javascript:x",
            "/a\r\nset-cookie: x",
        ] {
            assert_eq!(local(Some(evil)), "/", "{evil}");
        }
        assert_eq!(local(None), "/");
    }

    #[test]
    fn a_failed_try_is_said_and_escaped() {
        let page = LoginPage { failed: Some("no <token>".into()), next: "/\"><script>".into() };
        let text = page.page().main.into_string();
        assert!(text.contains("role=\"alert\">no &lt;token&gt;") && !text.contains("<script>"), "{text}");
    }
}
