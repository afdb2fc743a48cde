//! The desk: the port at which somebody who presents a secret becomes a user, and at which tokens are made and taken away.
//!
//! Whoever implements it keeps hashes only, compares in constant time, and puts a token into the log before it lets anybody in. What a user may do is not
//! asked here; a token's limits only ever narrow it.

use change::Timestamp;
use change::actor::Limits;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;

/// Somebody who was identified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    /// The public id of the token that was presented; nothing where there was none.
    pub token: Option<String>,
    /// What the token leaves of the user's permissions.
    pub limits: Limits,
}

/// Why somebody was not identified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    #[error("the token is not known")]
    Unknown,
    #[error("the token `{token}` expired at {at}")]
    Expired { token: String, at: Timestamp },
    #[error("the token `{token}` was revoked at {at}")]
    Revoked { token: String, at: Timestamp },
    #[error("tokens can't be checked now")]
    Broken,
}

impl Stranger {
    /// For counters: one of few.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_token",
            Self::Expired { .. } => "expired_token",
            Self::Revoked { .. } => "revoked_token",
            Self::Broken => "broken",
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Unknown => "send `Authorization: Bearer <token>`, or log in at /login",
            Self::Expired { .. } | Self::Revoked { .. } => {
                "make another with `clearway token create`, or ask an administrator for one"
            }
            Self::Broken => "try again; if it stays so, ask whoever runs the server to look into its log",
        }
    }
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    pub user: String,
    /// What it is for, in a few words.
    pub name: String,
    pub limits: Limits,
    /// Nothing for a token that never expires.
    pub expires: Option<Timestamp>,
    pub made_by: String,
    /// The token with which it was made: revoking that one revokes this one.
    pub made_with: Option<String>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenView {
    /// The public part by which it is named.
    pub id: String,
    pub user: String,
    pub name: String,
    #[serde(flatten)]
    pub limits: Limits,
    #[schemars(with = "Option<String>")]
    pub made_at: Option<Timestamp>,
    pub made_by: Option<String>,
    /// Absent for a token that never expires.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub revoked: Option<Timestamp>,
    /// To the hour.
    #[schemars(with = "Option<String>")]
    pub last_used: Option<Timestamp>,
}

/// A token that was made. Its secret is shown here and never again.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    pub secret: String,
    pub token: TokenView,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Tells who somebody is, and keeps tokens.
pub trait Identify: Send + Sync {
    /// Who presents this token.
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity, Stranger>>;
    /// Whether a token that was presented before, by its id, still lets somebody in.
    ///
    /// # Errors
    /// Why not.
    fn still(&self, token: &str) -> Result<(), Stranger>;
    /// To whom this code was given. A code works once.
    fn one_time(&self, code: &str) -> Option<Identity>;
    /// The user of a token, by its id.
    fn owner(&self, token: &str) -> Option<String>;
    fn make(&self, new: NewToken) -> BoxFuture<'_, Result<Made, String>>;
    /// All tokens, those that have ended too, oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    fn list(&self) -> Result<Vec<TokenView>, String>;
    /// Takes a token away, and those that were made with it; returns what was revoked.
    fn revoke<'a>(&'a self, token: &'a str, by: &'a str) -> BoxFuture<'a, Result<Vec<TokenView>, String>>;
}

/// The public part of a token of the form `cw_<id>_<secret>`.
pub fn public_id(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix("cw_")?.split_once('_')?;
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_plain(id) && is_plain(secret)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_public_part_alone() {
        assert_eq!(public_id("cw_k3f9_0011"), Some("k3f9"));
        for other in ["cw_0011", "k3f9_0011", "cw__0011", "cw_k3f9_", "cw_k3 f9_00"] {
            assert_eq!(public_id(other), None, "{other}");
        }
    }
}
