//! The timeline: what happened to one thing, the newest first, each entry with the way to its proof.

use maud::{Markup, html};

use super::words::{self, prose};
use crate::view::LogEntry;

/// The log of a change or of a release.
pub(crate) fn timeline(entries: &[LogEntry], says: &str) -> Markup {
    html! {
        section.card id="log" data-live aria-labelledby="log-h" {
            h2 id="log-h" { "Log" }
            p.muted { "Newest first. " (says) }
            ol.log reversed {
                @for entry in entries.iter().rev() {
                    li {
                        div.sentence { (prose(&entry.sentence)) }
                        div.muted {
                            (entry.actor) " · " (words::time(entry.time)) " · "
                            a href={ "/api/v1/log/" (entry.position) "/proof" } title="Inclusion proof" { "entry " (entry.position) }
                        }
                    }
                }
            }
        }
    }
}
