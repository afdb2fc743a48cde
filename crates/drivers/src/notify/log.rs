//! Log: a line in the log of the server, whatever else is configured.

use change::ChangeId;

pub(super) const CHANNEL: &str = "log";

pub(super) fn page(change: ChangeId, title: &str, reason: &str) {
    tracing::warn!(%change, title, reason, "people are asked to look at a change");
}

pub(super) fn alarm(title: &str, reason: &str) {
    tracing::warn!(title, reason, "people are asked to look at the server");
}
