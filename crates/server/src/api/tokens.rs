//! Tokens: making, listing and revoking them over the API. For oneself always, for others with `govern`.
//!
//! A token that is limited makes none: what leaves less must not become what leaves more. Secrets are in the answer of the request that made them, and
//! nowhere else.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use change::actor::{Limits, Purpose, Scope};
use change::time::after;
use change::{Permission, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::desk::{NewToken, TokenView};
use crate::extract::Json;
use crate::guard::ShownOnce;
use crate::identity::Caller;
use crate::ops::to_its_end;
use crate::problem::Problem;
use crate::schema::documented;

/// How long a token lasts where nobody says.
pub(crate) const LASTS: Span = Span::secs(90 * 86_400);

/// A token to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeToken {
    /// Whose; your own if absent.
    pub user: Option<String>,
    /// What it is for, in a few words.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Only these permissions; all of the user's if absent.
    #[serde(default)]
    pub may: Option<std::collections::BTreeSet<Permission>>,
    /// Only on these services and environments.
    #[serde(default)]
    pub on: Scope,
    /// `feed`: for the calendar feed alone, so that it can stand in an address.
    #[serde(default, rename = "for")]
    pub purpose: Purpose,
    /// How long it lasts, such as `30d`, or `never`; `90d` if absent.
    pub expires: Option<String>,
}

/// A token that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MadeToken {
    /// Shown once.
    pub secret: String,
    #[serde(flatten)]
    pub token: TokenView,
}

/// Tokens without their secrets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct TokenList {
    /// Oldest first, those that have ended too.
    pub tokens: Vec<TokenView>,
}

documented!(MakeToken, MadeToken, TokenList);

/// When a token ends that is made now.
///
/// # Errors
/// A sentence, where that can't be read.
fn end(expires: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    match expires {
        None => Ok(Some(after(now, LASTS))),
        Some("never") => Ok(None),
        Some(text) => match text.parse::<Span>() {
            Ok(Span::ZERO) => Err(Problem::malformed("`expires` is `0s`: the token would be over at once")),
            Ok(span) => Ok(Some(after(now, span))),
            Err(why) => Err(Problem::malformed(format!("`expires`: {why}; or write `never`"))),
        },
    }
}

async fn refused(server: &Shared, caller: &Caller, what: &str, detail: String, help: &str) -> Problem {
    server.handle.refused(&caller.actor(), None, what, "not_allowed", &detail).await;
    Problem::not_allowed(detail).help(help)
}

/// Makes a token.
///
/// Its secret is in this answer and never shown again.
#[utoipa::path(post, path = "/tokens", operation_id = "makeToken", tag = "access", request_body = MakeToken,
    responses((status = 201, description = "The token with its secret.", body = MadeToken)))]
pub(crate) async fn make(
    State(server): State<Shared>,
    caller: Caller,
    Json(given): Json<MakeToken>,
) -> Result<Response, Problem> {
    let user = given.user.unwrap_or_else(|| caller.user.clone());
    if !caller.limits.are_none() {
        let detail = format!("the token of `user:{}` is limited, and makes no other", caller.user);
        return Err(refused(&server, &caller, "make-token", detail, "use a token without limits").await);
    }
    if user != caller.user && !caller.may_everywhere(&server, Permission::Govern) {
        let detail = format!("`user:{}` may not make a token for `{user}`", caller.user);
        return Err(
            refused(&server, &caller, "make-token", detail, "ask for a role with `govern` in access.yaml").await
        );
    }
    if !server.handle.in_force().governance.access.is_active(&user) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_such_user",
            format!("there is no user `{user}`"),
        )
        .help("add the user to access.yaml first"));
    }
    let (name, limits) =
        (given.name.trim().to_owned(), Limits { may: given.may, on: given.on, purpose: given.purpose });
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Problem::malformed("`name` says in 1 to 100 characters what the token is for"));
    }
    if limits.purpose == Purpose::Feed && limits.may.is_some() {
        return Err(Problem::malformed("a token for the feed has no permissions: leave out `may`"));
    }
    if limits.may.as_ref().is_some_and(std::collections::BTreeSet::is_empty) {
        return Err(Problem::malformed("`may` is empty: the token would allow nothing"));
    }
    let expires = end(given.expires.as_deref(), server.handle.now())?;
    let new = NewToken { user, name, limits, expires, made_by: caller.user, made_with: caller.token };
    let desk = server.identify.clone();
    let made = to_its_end(async move { desk.make(new).await }).await?.map_err(|error| broken(&error))?;
    let view = MadeToken { secret: made.secret, token: made.token };
    Ok((StatusCode::CREATED, Extension(ShownOnce), axum::Json(view)).into_response())
}

fn broken(error: &str) -> Problem {
    tracing::error!(error, "tokens can't be kept");
    Problem::internal()
}

/// Lists tokens: your own, and with `govern` those of everybody.
#[utoipa::path(get, path = "/tokens", operation_id = "listTokens", tag = "access",
    responses((status = 200, description = "Tokens without their secrets.", body = TokenList)))]
pub(crate) async fn list(State(server): State<Shared>, caller: Caller) -> Result<axum::Json<TokenList>, Problem> {
    let all = caller.may_everywhere(&server, Permission::Govern);
    let tokens = server.identify.list().map_err(|error| broken(&error))?;
    let mine = tokens.into_iter().filter(|token| all || token.user == caller.user);
    Ok(axum::Json(TokenList { tokens: mine.collect() }))
}

/// Revokes a token, and those that were made with it.
#[utoipa::path(post, path = "/tokens/{id}/revoke", operation_id = "revokeToken", tag = "access",
    params(("id" = String, Path, description = "The public id of the token.")),
    responses((status = 200, description = "What was revoked.", body = TokenList)))]
pub(crate) async fn revoke(
    State(server): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<TokenList>, Problem> {
    let owner = server.identify.owner(&id);
    let may = owner.as_ref() == Some(&caller.user) || caller.may_everywhere(&server, Permission::Govern);
    // Whose tokens there are is nobody else's business: one that is not yours is as one that does not exist.
    if owner.is_none() || !may {
        return Err(
            Problem::not_found(format!("you have no token `{id}`")).help("list yours with `clearway token list`")
        );
    }
    let (desk, by) = (server.identify.clone(), caller.user.clone());
    let revoked = to_its_end(async move { desk.revoke(&id, &by).await }).await?.map_err(|error| broken(&error))?;
    Ok(axum::Json(TokenList { tokens: revoked }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lasts_ninety_days_unless_somebody_says_never() {
        let now: Timestamp = "2026-09-01T00:00:00Z".parse().expect("an instant");
        let ends = |text: Option<&str>| end(text, now).map(|at| at.map(|at| at.to_string()));
        assert_eq!(ends(None), Ok(Some("2026-11-30T00:00:00Z".into())));
        assert_eq!(ends(Some("30d")), Ok(Some("2026-10-01T00:00:00Z".into())));
        assert_eq!(ends(Some("never")), Ok(None));
        for bad in ["", "soon", "0s", "-1d"] {
            assert!(ends(Some(bad)).is_err_and(|p| p.detail.contains("`expires`")), "{bad}");
        }
    }
}
