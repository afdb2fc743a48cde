//! The list of releases: what goes together, how far each is, and which wave is under way.

use change::release::Standing;
use maud::{Markup, html};

use super::frame::{Page, Place, command};
use super::release::phase;
use super::svg;
use super::words::{self, prose};
use crate::api::releases::ReleaseView;

/// What the list shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReleasesPage {
    /// The newest first.
    pub releases: Vec<ReleaseView>,
    /// Whether there are older ones that are not shown.
    pub more: bool,
}

impl ReleasesPage {
    pub(crate) fn page(&self) -> Page {
        let main = html! {
            div.head { h1 { "Releases" } p.muted { "Several changes as one: in an order, or in waves, with one verdict." } }
            section id="rows" data-live aria-label="Releases" {
                @if self.releases.is_empty() { (empty()) } @else { (table(&self.releases)) }
                @if self.more { p.muted { "There are older ones: " code { "clearway release show REL-1" } " shows any." } }
            }
        };
        Page { title: "Releases".into(), place: Place::Releases, events: Some("/api/v1/events".into()), main }
    }
}

fn empty() -> Markup {
    html! {
        div.empty {
            h2 { "No release yet" }
            p { "A release file names changes that belong together, and in which order they go. Write one, then:" }
            (command("clearway check release.yaml"))
            (command("clearway release propose release.yaml"))
        }
    }
}

fn table(releases: &[ReleaseView]) -> Markup {
    html! {
        table.rows {
            caption.unseen { "Releases, newest first" }
            thead { tr { @for name in ["Release", "Phase", "Changes", "Wave", "Status", "Proposed"] { th scope="col" { (name) } } } }
            tbody { @for release in releases { (row(release)) } }
        }
    }
}

fn row(view: &ReleaseView) -> Markup {
    let (passed, all) = (view.members.iter().filter(|member| is_through(member.standing)).count(), view.members.len());
    let share = if all == 0 { 0.0 } else { passed as f64 / all as f64 };
    let said = format!("{passed} of {all} passed");
    html! {
        tr {
            th scope="row" {
                a href={ "/releases/" (view.id) } { span.id { (view.id) } " " span.title { (view.title) } }
                div.muted { "by " (change::explain::actor(&view.author)) ", for " (view.owner) }
            }
            td data-label="Phase" { (phase(&view.phase)) }
            td.share data-label="Changes" { (said) (svg::meter("safety", share, &said)) }
            td data-label="Wave" { @match wave(view) { Some(text) => (text), None => span.muted { "none" } } }
            td.status data-label="Status" { (prose(&view.status)) }
            td.age data-label="Proposed" { (words::time(view.proposed_at)) }
        }
    }
}

fn is_through(standing: Standing) -> bool {
    matches!(standing, Standing::Passed | Standing::Completed)
}

/// Which wave is under way: the first one with a change that is not through, or the last.
fn wave(view: &ReleaseView) -> Option<String> {
    let last = view.waves.len().checked_sub(1)?;
    let at = view.waves.iter().position(|wave| in_wave(view, &wave.name).any(|is_through| !is_through)).unwrap_or(last);
    let name = &view.waves[at].name;
    let (through, all) = (in_wave(view, name).filter(|is_through| *is_through).count(), in_wave(view, name).count());
    Some(format!("{name}, {} of {}: {through} of {all} passed", at + 1, view.waves.len()))
}

/// Of each change of a wave, whether it is through.
fn in_wave<'a>(view: &'a ReleaseView, wave: &'a str) -> impl Iterator<Item = bool> + 'a {
    let of = view.members.iter().filter(move |member| member.wave.as_deref() == Some(wave));
    of.map(|member| is_through(member.standing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::release::tests::page as sample;

    #[test]
    fn a_row_says_how_far_a_release_and_its_wave_are() {
        let page = ReleasesPage { releases: vec![sample().view], more: true };
        let text = page.page().main.into_string();
        for wanted in [
            "href=\"/releases/REL-1\"",
            "Raise the pools &lt;script&gt;",
            "1 of 3 passed",
            "rest, 2 of 2: 0 of 2 passed",
            "rolling out",
            "There are older ones",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn an_empty_list_says_how_to_begin() {
        assert!(ReleasesPage::default().page().main.into_string().contains("clearway release propose"));
    }
}
