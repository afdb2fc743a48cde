//! Notify: the voice, one file for each channel.
//!
//! What is said goes to the server's own log always, and to every channel that is configured. Next: `webhook`.

mod log;
mod webhook;

use async_trait::async_trait;
use change::ChangeId;
use engine::ports::{Message, Voice};
use futures::future::join_all;

pub use webhook::{Webhook, WebhookSettings};

/// All channels as one voice.
pub struct Voices {
    channels: Vec<Box<dyn Voice>>,
}

impl std::fmt::Debug for Voices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voices").field("channels", &self.channels.len()).finish()
    }
}

impl Voices {
    /// The channels beside the log of the server.
    pub fn new(channels: Vec<Box<dyn Voice>>) -> Self {
        Self { channels }
    }
}

#[async_trait]
impl Voice for Voices {
    /// Tells all. Where there are channels, at least one of them has to deliver: a line in a log that nobody reads wakes nobody.
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String> {
        log::tell(change, message);
        let told = join_all(self.channels.iter().map(|channel| channel.tell(change, message))).await;
        let (told, failed): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
        let failed: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
        if told.is_empty() && !failed.is_empty() {
            return Err(failed.join("; "));
        }
        for error in failed {
            tracing::warn!(%change, error, "a channel did not deliver; another one did");
        }
        let names = [log::CHANNEL.to_owned()].into_iter().chain(told.into_iter().flatten());
        Ok(names.collect::<Vec<_>>().join(", "))
    }

    async fn alarm(&self, title: &str, reason: &str) -> Result<String, String> {
        log::alarm(title, reason);
        let told = join_all(self.channels.iter().map(|channel| channel.alarm(title, reason))).await;
        let (told, failed): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
        let failed: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
        if told.is_empty() && !failed.is_empty() {
            return Err(failed.join("; "));
        }
        let names = [log::CHANNEL.to_owned()].into_iter().chain(told.into_iter().flatten());
        Ok(names.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeSet;
    use std::sync::LazyLock;

    use change::lifecycle::Urgency;
    use engine::ports::Message;

    static NOBODY: LazyLock<BTreeSet<String>> = LazyLock::new(BTreeSet::new);

    /// A page for whoever is on duty.
    pub(super) fn message<'a>(title: &'a str, reason: &'a str) -> Message<'a> {
        Message { title, reason, to: &NOBODY, urgency: Urgency::Page }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Channel(Result<&'static str, &'static str>);

    #[async_trait]
    impl Voice for Channel {
        async fn tell(&self, _: ChangeId, _: &Message<'_>) -> Result<String, String> {
            self.0.map(str::to_owned).map_err(str::to_owned)
        }
    }

    async fn told(channels: &[Result<&'static str, &'static str>]) -> Result<String, String> {
        let channels = channels.iter().map(|answer| Box::new(Channel(*answer)) as Box<dyn Voice>).collect();
        Voices::new(channels).tell(ChangeId::new(7), &testing::message("a title", "a reason")).await
    }

    #[tokio::test]
    async fn people_are_told_if_one_channel_delivers() {
        assert_eq!(told(&[]).await, Ok("log".into()));
        assert_eq!(told(&[Ok("chat"), Ok("pager")]).await, Ok("log, chat, pager".into()));
        assert_eq!(told(&[Err("the chat is down"), Ok("pager")]).await, Ok("log, pager".into()));
    }

    #[tokio::test]
    async fn the_log_alone_does_not_stand_in_for_a_channel_that_fails() {
        assert_eq!(told(&[Err("a is down"), Err("b is down")]).await, Err("a is down; b is down".into()));
    }
}
