//! The calendar: a month as a list of days with its freezes, windows and planned changes, and what waits behind each freeze.
//!
//! A list, not a grid: it reads the same on a phone, by keyboard and aloud. Shows what the API gives; decides nothing.

use change::Timestamp;
use change::backlog::Backlog;
use change::calendar::month::{Day, Mark, Month, Note};
use maud::{Markup, html};

use super::exceptions::ExceptionsCard;
use super::frame::{Page, Place, command};
use super::words::prose;
use crate::api::calendar::CalendarView;

/// What the page of the calendar shows.
#[derive(Clone, Debug)]
pub(crate) struct CalendarPage {
    pub month: Month,
    pub view: CalendarView,
    pub service: String,
    pub team: String,
    /// The services that the reader sees, to choose from.
    pub services: Vec<String>,
    pub base_url: String,
    pub user: String,
    pub exceptions: ExceptionsCard,
}

impl CalendarPage {
    pub(crate) fn page(&self) -> Page {
        let planned: Vec<(Timestamp, String)> =
            self.view.planned.iter().map(|one| (one.at, format!("{}: {}", one.change, one.title))).collect();
        let days = self.month.days(&self.view.occurrences, &planned);
        let main = html! {
            div.head {
                h1 { "Calendar" }
                p.muted { (self.month.title()) ". Times are those of " (self.month.zone()) "." }
            }
            (self.paging())
            (self.filter())
            @if !self.view.backlog.is_empty() { (backlog(&self.view.backlog)) }
            (self.exceptions.markup())
            section.card id="days" data-live aria-labelledby="days-h" {
                h2 id="days-h" { (self.month.title()) }
                @if self.view.more { p.muted { "There is more than is shown; choose a service or a team." } }
                (table(&days))
            }
            (self.paging())
            (self.feed())
        };
        Page { title: format!("Calendar, {}", self.month.title()), place: Place::Calendar, events: None, main }
    }

    fn link(&self, month: &str) -> String {
        format!("/calendar?month={month}{}", self.filters())
    }

    /// What is chosen, as a query goes on with it.
    fn filters(&self) -> String {
        let mut link = String::new();
        for (name, value) in [("service", &self.service), ("team", &self.team)] {
            if !value.is_empty() {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
                let each =
                    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
                link.push_str(&format!("&{name}={}", each.collect::<String>()));
            }
        }
        link
    }

    fn paging(&self) -> Markup {
        let (before, after) = self.month.neighbours();
        html! {
            nav.paging aria-label="Months" {
                a rel="prev" href=(self.link(&before)) { "Earlier: " (before) }
                " "
                a rel="next" href=(self.link(&after)) { "Later: " (after) }
            }
        }
    }

    fn filter(&self) -> Markup {
        html! {
            form.inline method="get" action="/calendar" {
                input type="hidden" name="month" value=(self.month.name());
                label for="service" { "Service" }
                input id="service" name="service" value=(self.service) list="services" autocomplete="off" maxlength="100";
                datalist id="services" { @for name in &self.services { option value=(name) {} } }
                label for="team" { "Team" }
                input id="team" name="team" value=(self.team) autocomplete="off" maxlength="100";
                button type="submit" { "Show" }
            }
        }
    }

    /// How to have it in a calendar of one's own: of what is shown here.
    fn feed(&self) -> Markup {
        let filter = self.filters();
        html! {
            section.card aria-labelledby="feed-h" {
                h2 id="feed-h" { "In your own calendar" }
                p { "Subscribe to this address, with a token of yours in place of the dots. It shows "
                    @if filter.is_empty() { "everything; choose a service or a team above for less." } @else { "what is chosen above." } }
                p.command { code { (self.base_url) "/api/v1/calendar.ics?token=…" (filter) } }
                p { "Many programs write addresses down: no other token is taken from one, and this one lets nobody in anywhere else. It is made once, by:" }
                (command(&format!("clearway token create {} --name calendar --feed", self.user)))
            }
        }
    }
}

/// What waits behind freezes and for batches: each with how it grows and what it would cost to let all of it go at once.
pub(super) fn backlog(all: &[Backlog]) -> Markup {
    html! {
        section.card aria-labelledby="backlog-h" {
            h2 id="backlog-h" { "Waiting behind freezes and for batches" }
            ul {
                @for one in all {
                    li {
                        (prose(&one.in_words())) ": "
                        @for (at, id) in one.changes.iter().take(20).enumerate() {
                            @if at > 0 { ", " } a href={ "/changes/" (id) } { (id) }
                        }
                        @if one.changes.len() > 20 { " and more" }
                    }
                }
            }
        }
    }
}

fn table(days: &[Day]) -> Markup {
    html! {
        table.rows {
            caption.unseen { "Days with their freezes, windows and planned changes" }
            thead { tr { th scope="col" { "Day" } th scope="col" { "What" } } }
            tbody {
                @for day in days {
                    tr {
                        // A day is a place in the month, not so many hours from now: no `time`, which the script would make relative.
                        th scope="row" { span title=(day.date) { (day.weekday) " " (day.number) } }
                        td data-label="What" {
                            @if day.notes.is_empty() { span.muted { "nothing" } } @else { ul { @for note in &day.notes { li { (line(note)) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn line(note: &Note) -> Markup {
    match note.mark {
        Mark::Freeze => html! { strong { "Freeze" } " " (note.text) ", " (note.when) },
        Mark::Window => html! { "Window " (note.text) ", " (note.when) },
        Mark::Change => {
            let (id, title) = note.text.split_once(": ").unwrap_or((&note.text, ""));
            html! { (note.when) " " a href={ "/changes/" (id) } { (id) } " " (title) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::api::calendar::PlannedView;
    use change::ChangeId;
    use change::backlog::Behind;
    use change::calendar::{Almanac, Calendar};
    use change::document::Document;
    use change::time::TimeZone;

    pub(crate) fn page() -> CalendarPage {
        let text = "freezes: [{name: \"<b>year-end\", start: \"2026-12-20T18:00\", end: \"2027-01-03T06:00\", tz: UTC, reason: r, owner: o}]\n";
        let calendar: Calendar = Document::from_yaml(text).and_then(|document| document.read()).expect("a calendar");
        let month = Month::read("2026-12", TimeZone::UTC).expect("a month");
        let (from, to) = month.range();
        let almanac = Almanac::of(&calendar);
        let planned = PlannedView {
            change: ChangeId::new(7),
            title: "<i>raise".into(),
            services: vec![],
            owner: "ada".into(),
            status: String::new(),
            at: "2026-12-02T08:30:00Z".parse().expect("an instant"),
        };
        let view = CalendarView {
            from,
            to,
            now: from,
            occurrences: almanac.between(None, from, to).iter().map(|o| o.listed()).collect(),
            planned: vec![planned],
            backlog: vec![Backlog {
                behind: Behind::Freeze,
                name: "year-end".into(),
                since: None,
                changes: vec![ChangeId::new(8)],
                count: 1,
                risk: 30,
                unassessed: 0,
                growth: None,
                more_than_once: Default::default(),
                expected_failures: Some(0.25),
                without_a_rate: Default::default(),
            }],
            more: false,
        };
        let (service, team) = ("a&b".to_owned(), String::new());
        CalendarPage {
            month,
            view,
            service,
            team,
            services: vec![],
            base_url: "https://c.example".into(),
            user: "ada".into(),
            exceptions: crate::pages::exceptions::tests::card(),
        }
    }

    // X5, D4
    #[test]
    fn a_month_is_a_list_of_days_with_links_and_what_waits() {
        let text = page().page().main.into_string();
        let days = text.split_once("id=\"days\"").map(|(_, rest)| rest.split("</section>").next().unwrap_or_default());
        let days = days.expect("the days of the month");
        assert_eq!(days.matches("<th scope=\"row\">").count(), 31);
        assert!(text.contains("<span title=\"2026-12-02\">Wed 2</span>") && !days.contains("<time"), "{text}");
        for wanted in [
            "Freeze</strong> &lt;b&gt;year-end, from 18:00",
            "Freeze</strong> &lt;b&gt;year-end, all day",
            "08:30 <a href=\"/changes/CHG-7\">CHG-7</a> &lt;i&gt;raise",
            "1 change waits behind the freeze <code>year-end</code>, with a risk of 30 together; if all went at once, 0.2 would fail: <a",
            "href=\"/calendar?month=2027-01&amp;service=a%26b\"",
            "https://c.example/api/v1/calendar.ics?token=…&amp;service=a%26b",
            "clearway token create ada --name calendar --feed",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    }
}
