//! The calendar: a month as a list of days with its freezes, windows and planned changes, and what waits behind each freeze.
//!
//! A list, not a grid: it reads the same on a phone, by keyboard and aloud. Shows what the API gives; decides nothing.

use std::collections::BTreeSet;

use change::Timestamp;
use change::backlog::Backlog;
use change::calendar::almanac::{Listed, What};
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
                (self.days(&days))
            }
            (self.paging())
            (self.entries())
            (self.feed())
        };
        Page { title: format!("Calendar, {}", self.month.title()), place: Place::Calendar, events: None, main }
    }

    fn link(&self, month: &str) -> String {
        format!("/calendar?month={month}{}{}", self.filters(), queried("tz", self.month.zone()))
    }

    /// What is chosen, as a query goes on with it.
    fn filters(&self) -> String {
        let mut link = String::new();
        for (name, value) in [("service", &self.service), ("team", &self.team)] {
            if !value.is_empty() {
                link.push_str(&queried(name, value));
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
                span { label for="service" { "Service" } " " input id="service" name="service" value=(self.service) list="services" autocomplete="off" maxlength="100"; }
                datalist id="services" { @for name in &self.services { option value=(name) {} } }
                span { label for="team" { "Team" } " " input id="team" name="team" value=(self.team) autocomplete="off" maxlength="100"; }
                span { label for="tz" { "Time zone" } " " input id="tz" name="tz" value=(self.month.zone()) autocomplete="off" spellcheck="false" maxlength="100"; }
                button type="submit" { "Show" }
            }
        }
    }

    /// The days from today on; those that are over are there for whoever opens them.
    fn days(&self, days: &[Day]) -> Markup {
        let today = self.month.day_of(self.view.now);
        let known = self.names();
        let is_over = |day: &Day| day.date < today && days.iter().any(|other| other.date == today);
        let over = days.iter().filter(|day| is_over(day)).count();
        html! {
            @if over > 0 {
                details { summary { (over) " days before today" } (table(&days[..over], &today, &known)) }
            }
            (table(&days[over..], &today, &known))
        }
    }

    /// Each entry of the month once, by its name.
    fn names(&self) -> Vec<&Listed> {
        let mut told = BTreeSet::new();
        self.view.occurrences.iter().filter(|one| told.insert((one.what == What::Freeze, &one.name))).collect()
    }

    /// Whom each entry covers, why it is there, and whom to ask.
    fn entries(&self) -> Markup {
        let entries = self.names();
        html! {
            @if !entries.is_empty() {
                section.card id="entries" aria-labelledby="entries-h" {
                    h2 id="entries-h" { "Freezes and windows of this month" }
                    dl {
                        @for (at, one) in entries.iter().enumerate() {
                            dt id={ "entry-" (at) } { (word(one.what)) " " code { (one.name) } }
                            dd {
                                "Covers " (one.scope()) "."
                                @if !one.reason.is_empty() { " " (one.reason) "." }
                                span.muted { " Owner: " (one.owner) "." }
                            }
                        }
                    }
                }
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

fn queried(name: &str, value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let each = value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("&{name}={}", each.collect::<String>())
}

fn word(what: What) -> &'static str {
    match what {
        What::Freeze => "Freeze",
        What::Window => "Window",
    }
}

fn table(days: &[Day], today: &str, known: &[&Listed]) -> Markup {
    html! {
        table.rows {
            caption.unseen { "Days with their freezes, windows and planned changes" }
            thead { tr { th scope="col" { "Day" } th scope="col" { "What" } } }
            tbody {
                @for day in days {
                    tr {
                        // A day is a place in the month, not so many hours from now: no `time`, which the script would make relative.
                        th scope="row" aria-current=[(day.date == today).then_some("date")] {
                            span title=(day.date) { (day.weekday) " " (day.number) }
                            @if day.date == today { " " span.muted { "today" } }
                        }
                        td {
                            @if day.notes.is_empty() { span.muted { "nothing" } } @else { ul { @for note in &day.notes { li { (line(note, known)) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn line(note: &Note, known: &[&Listed]) -> Markup {
    let entry = |what: What| {
        let at = known.iter().position(|one| one.what == what && one.name == note.text);
        html! { @match at {
            Some(at) => a href={ "#entry-" (at) } title=[known.get(at).map(|one| format!("{}: {}", one.scope(), one.reason))] { (note.text) },
            None => (note.text),
        } }
    };
    match note.mark {
        Mark::Freeze => html! { strong { "Freeze" } " " (entry(What::Freeze)) ", " (note.when) },
        Mark::Window => html! { "Window " (entry(What::Window)) ", " (note.when) },
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
        assert_eq!(days.matches("<th scope=\"row\"").count(), 31);
        assert!(text.contains("<span title=\"2026-12-02\">Wed 2</span>") && !days.contains("<time"), "{text}");
        for wanted in [
            "&lt;b&gt;year-end</a>, from 18:00",
            "Freeze</strong> <a href=\"#entry-0\"",
            "<dt id=\"entry-0\">Freeze <code>&lt;b&gt;year-end</code></dt>",
            "Covers everything. r.<span class=\"muted\"> Owner: o.</span>",
            "&lt;b&gt;year-end</a>, all day",
            "id=\"tz\" name=\"tz\" value=\"UTC\"",
            "08:30 <a href=\"/changes/CHG-7\">CHG-7</a> &lt;i&gt;raise",
            "1 change waits behind the freeze <code>year-end</code>, with a risk of 30 together; if all went at once, 0.2 would fail: <a",
            "href=\"/calendar?month=2027-01&amp;service=a%26b&amp;tz=UTC\"",
            "https://c.example/api/v1/calendar.ics?token=…&amp;service=a%26b",
            "clearway token create ada --name calendar --feed",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    }

    // LC4
    #[test]
    fn a_month_that_is_under_way_begins_with_today() {
        let mut page = page();
        page.view.now = "2026-12-10T08:00:00Z".parse().expect("an instant");
        let text = page.page().main.into_string();
        assert!(text.contains("<summary>9 days before today</summary>"), "{text}");
        assert_eq!(text.matches("aria-current=\"date\"").count(), 1);
        assert!(text.contains("<span title=\"2026-12-10\">Thu 10</span> <span class=\"muted\">today</span>"), "{text}");
    }
}
