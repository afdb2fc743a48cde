//! The list of changes: what is going on, what waits for people, what is over.

use maud::{Markup, html};

use super::frame::{Page, Place, command};
use super::holds;
use super::words::{self, prose};
use crate::view::{ChangeList, Group, Row};

/// What the list shows, and which part of it.
#[derive(Clone, Debug)]
pub(crate) struct ListPage {
    pub list: ChangeList,
    pub group: Option<Group>,
    pub service: String,
    /// Names of services, to choose from.
    pub services: Vec<String>,
    /// Whether newer changes are left out.
    pub is_older: bool,
    /// What people on call hold now.
    pub holds: Vec<change::holds::ServiceHold>,
}

impl ListPage {
    pub(crate) fn page(&self) -> Page {
        let main = html! {
            div.head { h1 { "Changes" } (self.filter()) }
            (holds::banner(&self.holds))
            section id="rows" data-live aria-label="Changes" {
                @if self.list.changes.is_empty() { (self.empty()) } @else { (table(&self.list.changes)) }
            }
            (self.paging())
        };
        Page { title: "Changes".into(), place: Place::Changes, events: Some("/api/v1/events".into()), main }
    }

    fn filter(&self) -> Markup {
        let groups = [
            (None, "All"),
            (Some(Group::Active), "Active"),
            (Some(Group::Waiting), "Waiting for people"),
            (Some(Group::Ended), "Ended"),
        ];
        html! {
            div.filter {
                nav aria-label="Which changes" {
                    ul.tabs {
                        @for (group, name) in groups {
                            li {
                                a href=(self.link(group, None)) aria-current=[(self.group == group).then_some("true")] { (name) }
                            }
                        }
                    }
                }
                form.inline method="get" action="/changes" role="search" {
                    @if let Some(group) = self.group { input type="hidden" name="phase" value=(group.name()); }
                    label for="service" { "Service" }
                    input id="service" name="service" value=(self.service) list="services" autocomplete="off" maxlength="100";
                    datalist id="services" { @for service in &self.services { option value=(service) {} } }
                    button type="submit" { "Show" }
                }
            }
        }
    }

    fn link(&self, group: Option<Group>, before: Option<String>) -> String {
        let service = Some(self.service.clone()).filter(|s| !s.is_empty());
        let pairs = [("phase", group.map(|g| g.name().to_owned())), ("service", service), ("before", before)];
        let query: Vec<String> =
            pairs.into_iter().filter_map(|(name, v)| v.map(|v| format!("{name}={}", encoded(&v)))).collect();
        if query.is_empty() { "/changes".into() } else { format!("/changes?{}", query.join("&")) }
    }

    fn paging(&self) -> Markup {
        html! {
            nav.paging aria-label="Pages" {
                @if self.is_older { a href=(self.link(self.group, None)) { "Newest" } }
                @if let Some(next) = self.list.next { a rel="next" href=(self.link(self.group, Some(next.to_string()))) { "Older" } }
            }
        }
    }

    fn empty(&self) -> Markup {
        let all = self.group.is_none() && self.service.is_empty() && !self.is_older;
        html! {
            div.empty {
                @if all {
                    h2 { "No change yet" }
                    p { "A change file says what is to happen, in which steps, how each is verified, and how it is undone. Write one, then:" }
                    (command("clearway check change.yaml"))
                    (command("clearway propose change.yaml"))
                    p { "What a file may say stands in " a href="/api/v1/schemas/change" { "its schema" } ", which editors understand." }
                } @else {
                    h2 { "Nothing matches" }
                    p { a href="/changes" { "Show all changes" } }
                }
            }
        }
    }
}

/// A value inside a query.
pub(crate) fn encoded(text: &str) -> String {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if is_plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn table(rows: &[Row]) -> Markup {
    html! {
        table.rows {
            caption.unseen { "Changes, newest first" }
            thead { tr { @for name in ["Change", "Phase", "Where", "Risk", "Status", "Updated"] { th scope="col" { (name) } } } }
            tbody { @for row in rows { (line(row)) } }
        }
    }
}

fn line(row: &Row) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href={ "/changes/" (row.id) } { span.id { (row.id) } " " span.title { (row.title) } }
                div.muted { (row.kind) " by " (row.author) }
            }
            td data-label="Phase" { (words::phase(&row.phase)) }
            td data-label="Where" { span.where { (row.environment) } div.muted { (row.services.join(", ")) } }
            td data-label="Risk" { (words::risk(row.risk)) }
            td.status data-label="Status" { (prose(&row.status)) }
            td.age data-label="Updated" { (words::time(row.updated_at)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::project::ChangeRow;

    use super::*;
    use crate::sample;

    fn of(rows: Vec<ChangeRow>, limit: usize) -> ListPage {
        ListPage {
            list: ChangeList::page(rows, limit),
            group: Some(Group::Waiting),
            service: "a&b".into(),
            services: vec!["checkout".into()],
            is_older: false,
            holds: vec![],
        }
    }

    fn text(page: &ListPage) -> String {
        page.page().main.into_string()
    }

    #[test]
    fn a_row_says_where_a_change_stands() {
        let text = text(&of(vec![ChangeRow::of(&sample::change_of(&sample::log()))], 50));
        for wanted in [
            "href=\"/changes/CHG-7\"",
            "Raise the checkout connection pool to 64",
            "rolling out",
            "production",
            "medium",
            "step 2 of 3 (25%): insufficient",
            "datetime=\"2026-09-01T09:06:30Z\"",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn a_hostile_change_stays_text() {
        let text = text(&of(vec![ChangeRow::of(&sample::change_of(&sample::hostile()))], 50));
        assert!(!text.contains("<script") && !text.contains("<img") && text.contains("&lt;script&gt;"));
    }

    #[test]
    fn filters_stay_while_pages_are_turned() {
        let row = ChangeRow::of(&sample::change_of(&sample::log()));
        let text = text(&of(vec![row.clone(), row], 1));
        assert!(text.contains("href=\"/changes?phase=waiting&amp;service=a%26b&amp;before=CHG-7\""), "{text}");
    }

    #[test]
    fn an_empty_list_says_what_to_do_first() {
        let mut page = of(vec![], 50);
        assert!(text(&page).contains("Nothing matches"));
        (page.group, page.service) = (None, String::new());
        assert!(text(&page).contains("clearway propose change.yaml"));
    }
}
