//! Hands, eyes and voice: how the loop touches the world outside.
//!
//! Each driver makes a step true at one kind of target, each probe reads one kind of telemetry, each channel tells people in one way; all of them
//! implement the ports of `engine`. Nothing here decides: no driver picks a weight, no probe judges a value. Start with [`rollout`].

pub mod rollout;

pub mod probe;

pub mod notify;

pub mod read;

mod rosters;

pub mod conformance;
mod http;
mod process;
#[cfg(test)]
mod testing;

pub use http::{SettingsError, Token};
pub use notify::{Voices, Webhook, WebhookSettings};
pub use probe::{
    Access, Allowed, CheckSettings, Limits, Probes, Resolve, Rule, Secrets, Source, SourceKind, SystemResolver,
};
pub use process::CommandSettings;
pub use rollout::{ExecDriver, ExecSettings, PipelineDriver, RouterDriver, RouterSettings};
pub use rosters::{RosterForm, RosterSettings, RosterSources};
