//! Log: a line in the log of the server, whatever else is configured.

use change::ChangeId;
use change::lifecycle::Urgency;
use engine::ports::Message;

pub(super) const CHANNEL: &str = "log";

pub(super) fn tell(change: ChangeId, message: &Message<'_>) {
    let Message { title, reason, to, urgency } = *message;
    let to = to.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match urgency {
        Urgency::Page => tracing::warn!(%change, title, reason, to, "people are asked to look at a change"),
        Urgency::Notice => tracing::info!(%change, title, reason, to, "people are told of a change"),
    }
}

pub(super) fn alarm(title: &str, reason: &str) {
    tracing::warn!(title, reason, "people are asked to look at the server");
}
