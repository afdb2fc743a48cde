//! The schedule: who is expected to begin when in the next days, day by day, and why not earlier.
//!
//! A list for each day: it reads the same on a phone, by keyboard and aloud. Shows what the API gives; decides nothing.

use change::agenda::Item;
use change::agenda::days::{self, Group, Line};
use change::backlog::Backlog;
use change::time::TimeZone;
use engine::agenda::BatchNow;
use maud::{Markup, html};

use super::calendar::backlog;
use super::frame::{Page, Place, command};
use super::words::prose;
use crate::api::schedule::ScheduleView;

/// What the page of the schedule shows.
#[derive(Clone, Debug)]
pub(crate) struct SchedulePage {
    pub view: ScheduleView,
    pub zone: TimeZone,
    pub days: u64,
    pub service: String,
    pub team: String,
    pub environment: String,
    pub backlog: Vec<Backlog>,
    /// The services that the reader sees, to choose from.
    pub services: Vec<String>,
}

impl SchedulePage {
    pub(crate) fn page(&self) -> Page {
        let groups = days::groups(&self.view.agenda, &self.zone);
        let zone = self.zone.iana_name().unwrap_or("UTC");
        let main = html! {
            div.head {
                h1 { "Schedule" }
                p.muted { "What is expected if nobody does anything: estimates from the plans. Times are those of " (zone) "." }
            }
            (self.filter())
            div id="schedule" data-live {
                @if let Some(cut) = &self.view.agenda.cut { p.failed role="status" { (cut) } }
                @if groups.is_empty() { p.muted { "Nothing is under way, and nothing waits." } }
                @for (at, group) in groups.iter().enumerate() { (section(at, group)) }
                @if !self.view.batches.is_empty() { (batches(&self.view.batches, &self.zone)) }
                @if !self.backlog.is_empty() { (backlog(&self.backlog)) }
            }
            section.card aria-labelledby="try-h" {
                h2 id="try-h" { "Where would a change stand?" }
                (command("clearway schedule change.yaml --at '2026-12-01T09:00 Europe/Berlin'"))
            }
        };
        Page { title: "Schedule".into(), place: Place::Schedule, events: None, main }
    }

    fn filter(&self) -> Markup {
        html! {
            form.inline method="get" action="/schedule" {
                label { "Days " input name="days" type="number" min="1" max="92" value=(self.days); }
                label { "Service " input name="service" value=(self.service) list="services" autocomplete="off"; }
                datalist id="services" { @for name in &self.services { option value=(name) {} } }
                label { "Team " input name="team" value=(self.team) autocomplete="off"; }
                label { "Environment " input name="environment" value=(self.environment) autocomplete="off"; }
                label { "Time zone " input name="tz" value=(self.zone.iana_name().unwrap_or("UTC")) autocomplete="off" spellcheck="false" maxlength="100"; }
                button type="submit" { "Show" }
            }
        }
    }
}

fn batches(all: &[BatchNow], zone: &TimeZone) -> Markup {
    html! {
        section.card aria-labelledby="batches-h" {
            h2 id="batches-h" { "Batches" }
            ul { @for batch in all { li { (prose(&batch.in_words(zone))) } } }
        }
    }
}

fn section(at: usize, group: &Group<'_>) -> Markup {
    let id = format!("group-{at}");
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (group.title) }
            table.rows {
                caption.unseen { (group.title) ": changes, when, and why not earlier" }
                thead { tr { th scope="col" { "When" } th scope="col" { "Change" } th scope="col" { "Why not earlier" } } }
                tbody { @for line in &group.lines { (row(line)) } }
            }
        }
    }
}

fn row(line: &Line<'_>) -> Markup {
    let Item { change, title, services, environment, owner, because, batch, release, .. } = line.item;
    let services = services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    html! {
        tr {
            td data-label="When" { (line.when) }
            th scope="row" data-label="Change" {
                @if let Some(id) = change { a href={ "/changes/" (id) } { (id) } " " } (title)
                span.muted { " " (services) " in " (environment) ", " (owner)
                    @if let Some(release) = release { ", in " (release) }
                    @if let Some(batch) = batch { ", in the batch " (batch) }
                }
            }
            td data-label="Why not earlier" { (prose(because)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use change::ChangeId;
    use change::agenda::{Agenda, Expected};

    use super::*;

    // PR5, D4
    #[test]
    fn each_day_is_a_table_with_times_links_and_reasons_and_what_people_wrote_stays_text() {
        let at = |text: &str| Some(text.parse().expect("an instant"));
        let item = |id: u64, expected, starts_at, because: &str| Item {
            change: Some(ChangeId::new(id)),
            title: "<b>raise".into(),
            owner: "team-shop".into(),
            services: ["shop".to_owned()].into(),
            environment: "production".into(),
            release: None,
            batch: None,
            expected,
            starts_at,
            ends_at: starts_at.and_then(|_| at("2026-12-01T09:40:00Z")),
            because: because.into(),
            behind: None,
        };
        let items = vec![
            item(7, Expected::Planned, at("2026-12-01T08:30:00Z"), "the window `mornings` opens"),
            item(8, Expected::Unknown, None, "it is not approved yet"),
        ];
        let now = at("2026-11-30T08:00:00Z").expect("an instant");
        let agenda = Agenda { now, until: now, items, cut: None };
        let batch = BatchNow {
            name: "nightly".into(),
            window: "nights".into(),
            up_to: change::assessment::Risk::Low,
            is_open: false,
            opens_at: at("2026-12-01T22:00:00Z"),
            stopped: None,
        };
        let page = SchedulePage {
            view: ScheduleView { agenda, batches: vec![batch], at: None },
            backlog: vec![],
            zone: TimeZone::get("Europe/Berlin").expect("a zone"),
            days: 7,
            service: "a\"b".into(),
            team: String::new(),
            environment: String::new(),
            services: vec![],
        };
        let text = page.page().main.into_string();
        for wanted in [
            "Tuesday, 2026-12-01",
            "09:30 to 10:40",
            "<a href=\"/changes/CHG-7\">CHG-7</a> &lt;b&gt;raise",
            "the window <code>mornings</code> opens",
            "<h2 id=\"group-1\">Unknown</h2>",
            "<code>nightly</code> goes in the window <code>nights</code>, which opens at 2026-12-01 23:00",
            "value=\"a&quot;b\"",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    }
}
