//! The log of all changes: its newest entries, and what is needed to verify it without trusting this server.

use maud::{Markup, html};

use super::frame::{Page, Place, command};
use super::words::{self, prose};
use crate::view::LogEntry;

/// What the page of the log shows.
#[derive(Clone, Debug)]
pub(crate) struct LogPage {
    /// Newest first.
    pub entries: Vec<LogEntry>,
    pub size: u64,
    /// As it is signed.
    pub checkpoint: Option<String>,
    pub verifier_key: String,
    pub base_url: String,
    /// The position before which older entries are.
    pub older: Option<u64>,
}

impl LogPage {
    pub(crate) fn page(&self) -> Page {
        let main = html! {
            div.head { h1 { "Log" } p.muted { (words::count(self.size)) " entries. Each is in a Merkle tree whose root is signed: none can be altered or left out unseen." } }
            section.card aria-labelledby="verify-h" {
                h2 id="verify-h" { "Verify it yourself" }
                (command(&format!("clearway audit verify {} --key '{}'", self.base_url, self.verifier_key)))
                dl.facts {
                    dt { "Verifier key" } dd { code.long { (self.verifier_key) } }
                    dt { "Checkpoint" } dd { @match &self.checkpoint { Some(text) => pre { code { (text) } }, None => "none is signed yet" } }
                }
                p.muted { "Other tools read the same files: " a href="/checkpoint" { "/checkpoint" } " and " code { "/tile/..." } " (C2SP tlog-tiles)." }
            }
            section.card id="entries" data-live aria-labelledby="entries-h" {
                h2 id="entries-h" { "Entries" }
                @if self.entries.is_empty() { p.muted { "There is none." } } @else { (self.table()) }
            }
            nav.paging aria-label="Pages" {
                @if let Some(before) = self.older { a rel="next" href={ "/log?before=" (before) } { "Older" } }
            }
        };
        Page { title: "Log".into(), place: Place::Log, events: Some("/api/v1/events".into()), main }
    }

    fn table(&self) -> Markup {
        html! {
            table.rows {
                caption.unseen { "Entries, newest first" }
                thead { tr { @for name in ["Entry", "What", "Where", "Who", "When"] { th scope="col" { (name) } } } }
                tbody {
                    @for entry in &self.entries {
                        tr {
                            th scope="row" { a href={ "/api/v1/log/" (entry.position) "/proof" } title="Inclusion proof" { (entry.position) } }
                            td data-label="What" { (prose(&entry.sentence)) }
                            td data-label="Where" {
                                @match entry.change { Some(id) => a href={ "/changes/" (id) } { (id) }, None => span.muted { (entry.stream) } }
                            }
                            td data-label="Who" { (entry.actor) }
                            td data-label="When" { (words::time(entry.time)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample, view};

    #[test]
    fn the_page_leads_to_proofs_and_says_how_to_verify() {
        let recorded = sample::hostile();
        let page = LogPage {
            entries: recorded.iter().rev().map(|r| LogEntry::of(r, &view::no_plan())).collect(),
            size: 1_234,
            checkpoint: Some("clearway.example/log\n1234\nAAAA\n".into()),
            verifier_key: "clearway.example/log+aa+bb".into(),
            base_url: "http://localhost:8080".into(),
            older: Some(40),
        };
        let text = page.page().main.into_string();
        for wanted in [
            "/api/v1/log/40/proof",
            "clearway audit verify http://localhost:8080",
            "clearway.example/log+aa+bb",
            "1\u{202f}234 entries",
            "/log?before=40",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("<script"), "{text}");
    }
}
