//! Identity: who asks, what they can see, and whether their token leaves them what they ask for.
//!
//! A bearer token, or the session of the pages; with a session, whatever changes something must also carry its form token, so that no other site can
//! ask in somebody's name. What a user may do to a change is asked of the core, never here; a change that somebody can't see is to them as one that does
//! not exist. Refusals of identified users are entries, those of strangers are counted.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use change::actor::{Access, Limits, Reach, row};
use change::{Actor, Change, ChangeId, Permission};

use crate::Shared;
use crate::desk::{Identity, Stranger};
use crate::problem::Problem;
use crate::session::{self, Session};

/// Where programs that use a session put its form token.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// An identified user, and what their token leaves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub user: String,
    /// The public id of the token that they came with.
    pub token: Option<String>,
    pub limits: Limits,
}

impl From<Identity> for Caller {
    fn from(Identity { user, token, limits }: Identity) -> Self {
        Self { user, token, limits }
    }
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor {
        Actor::User(self.user.clone())
    }

    /// The changes that they can see now.
    pub(crate) fn reach(&self, server: &Shared) -> Reach {
        server.handle.in_force().governance.access.reach(&self.user, &self.limits)
    }

    /// Whether they see a change now: their token has not ended since, and a role of theirs touches it.
    pub(crate) fn sees(&self, server: &Shared, change: &Change) -> bool {
        let is_still = self.token.as_deref().is_none_or(|token| server.identify.still(token).is_ok());
        is_still && self.reach(server).sees(&change.proposal.services, &change.proposal.environment)
    }

    /// Whether they may do what is about no change.
    pub(crate) fn may_everywhere(&self, server: &Shared, permission: Permission) -> bool {
        let access = &server.handle.in_force().governance.access;
        access.may_everywhere(&self.user, permission) && self.limits.gap_everywhere(permission).is_none()
    }

    /// Whether their token leaves them what they ask of a change; a refusal is recorded.
    pub(crate) async fn token_leaves(
        &self,
        server: &Shared,
        action: &str,
        id: Option<ChangeId>,
        proposal: &change::proposal::Proposal,
    ) -> Result<(), Problem> {
        let gap = match row(action).map(|row| row.needs) {
            Some(None) => None,
            Some(Some(needs)) => self.limits.gap(needs, &proposal.services, &proposal.environment),
            None => self.unknown(action),
        };
        self.token_says(server, action, id, gap).await
    }

    /// Whether their token leaves them what they ask about everything; a refusal is recorded.
    pub(crate) async fn token_leaves_everywhere(&self, server: &Shared, action: &str) -> Result<(), Problem> {
        let gap = match row(action).map(|row| row.needs) {
            Some(None) => None,
            Some(Some(needs)) => self.limits.gap_everywhere(needs),
            None => self.unknown(action),
        };
        self.token_says(server, action, None, gap).await
    }

    /// A token with limits leaves nothing that the table of actions does not know.
    fn unknown(&self, action: &str) -> Option<String> {
        (!self.limits.are_none()).then(|| format!("says nothing of `{action}`"))
    }

    async fn token_says(
        &self,
        server: &Shared,
        action: &str,
        id: Option<ChangeId>,
        gap: Option<String>,
    ) -> Result<(), Problem> {
        let Some(gap) = gap else { return Ok(()) };
        let token = self.token.as_deref().unwrap_or_default();
        let detail = format!("the token `{token}` of `user:{}` {gap}", self.user);
        server.handle.refused(&self.actor(), id, action, "token_scope", &detail).await;
        Err(Problem::new(StatusCode::FORBIDDEN, "token_scope", detail)
            .help("use a token that leaves you more, or make one: `clearway token create`"))
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        if let Some(given) = parts.headers.get(header::AUTHORIZATION) {
            let token = given.to_str().ok().and_then(bearer).ok_or_else(|| {
                server.metrics.turn_away("malformed");
                Problem::unauthenticated("the header `Authorization` does not have the form `Bearer <token>`")
            })?;
            return identified(server, token).await;
        }
        let session = session_of(&parts.headers, server).ok_or_else(|| {
            server.metrics.turn_away("nobody");
            Problem::unauthenticated("the request says nothing of who you are")
        })?;
        if !is_safe(&parts.method) && !carries(&parts.headers, &session) {
            let detail = format!("a request with a session that changes something needs its token in `{CSRF_HEADER}`");
            return Err(Problem::not_allowed(detail).help("reload the page, or use a bearer token"));
        }
        Ok(session.caller)
    }
}

/// Whose token this is, if it is one that lets somebody in here: one for the calendar feed does so nowhere else.
pub(crate) async fn identified(server: &Shared, token: &str) -> Result<Caller, Problem> {
    let known = server.identify.bearer(token).await.map_err(|stranger| turned_away(server, &stranger))?;
    let caller = Caller::from(known);
    if caller.limits.purpose.is_anything() {
        return Ok(caller);
    }
    let detail = format!(
        "the token `{}` of `user:{}` is for the calendar feed alone",
        caller.token.as_deref().unwrap_or_default(),
        caller.user
    );
    server.handle.refused(&caller.actor(), None, "read", "token_scope", &detail).await;
    Err(Problem::new(StatusCode::FORBIDDEN, "token_scope", detail)
        .help("use another token, or make one: `clearway token create`"))
}

/// What somebody hears whose token lets nobody in.
pub(crate) fn turned_away(server: &Shared, stranger: &Stranger) -> Problem {
    server.metrics.turn_away(stranger.why());
    match stranger {
        Stranger::Broken => Problem::busy(stranger.to_string()),
        _ => Problem::unauthenticated(stranger.to_string()).help(stranger.help()),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty())
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

fn carries(headers: &HeaderMap, session: &Session) -> bool {
    headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).is_some_and(|token| session::is_same(token, &session.csrf))
}

/// The address that a request comes from, where it came over a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub Option<IpAddr>);

impl FromRequestParts<Shared> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|ConnectInfo(address)| address.ip())))
    }
}

/// The id of the session that the cookies name.
pub(crate) fn session_id(headers: &HeaderMap, server: &Shared) -> Option<String> {
    let name = session::cookie_name(server.is_https());
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.filter_map(|c| session::read_cookie(c, name)).map(str::to_owned).next()
}

/// The session that the cookies name, if it is one. It ends with the token that it began with.
pub(crate) fn session_of(headers: &HeaderMap, server: &Shared) -> Option<Session> {
    let id = session_id(headers, server)?;
    let session = server.sessions.find(&id, Instant::now())?;
    match session.caller.token.as_deref().map(|token| server.identify.still(token)) {
        None | Some(Ok(())) => Some(session),
        Some(Err(stranger)) => {
            server.metrics.turn_away(stranger.why());
            // What can't be checked now is not let in, and not forgotten either.
            if stranger != Stranger::Broken {
                server.sessions.end(&id);
            }
            None
        }
    }
}

/// A user who may read something: somebody who holds any permission at all. Which changes is asked for each.
#[derive(Clone, Debug)]
pub(crate) struct Reader(pub Caller);

impl FromRequestParts<Shared> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, server).await?;
        may_read(server, &caller).await?;
        Ok(Self(caller))
    }
}

pub(crate) async fn may_read(server: &Shared, caller: &Caller) -> Result<(), Problem> {
    if !caller.reach(server).is_nothing() {
        return Ok(());
    }
    let user = &caller.user;
    let detail = if has_left(&server.handle.in_force().governance.access, user) {
        format!("`user:{user}` has left and may nothing here")
    } else {
        format!("`user:{user}` may not read here")
    };
    server.handle.refused(&caller.actor(), None, "read", "not_allowed", &detail).await;
    Err(Problem::not_allowed(detail).help("ask for a role in access.yaml; any role allows to read"))
}

fn has_left(access: &Access, user: &str) -> bool {
    access.user(user).is_some() && !access.is_active(user)
}

/// Somebody who may read the log as a whole: an auditor, or anybody where the log is public.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Auditor;

impl FromRequestParts<Shared> for Auditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        if server.public_log {
            return Ok(Self);
        }
        let caller = Caller::from_request_parts(parts, server).await?;
        may_audit(server, &caller).await?;
        Ok(Self)
    }
}

pub(crate) async fn may_audit(server: &Shared, caller: &Caller) -> Result<(), Problem> {
    if server.public_log { Ok(()) } else { audits(server, caller).await }
}

/// Whether they have the right to audit themselves, whoever may read the log.
pub(crate) async fn audits(server: &Shared, caller: &Caller) -> Result<(), Problem> {
    if caller.may_everywhere(server, Permission::Audit) {
        return Ok(());
    }
    let detail = format!("`user:{}` may not read the log of all changes", caller.user);
    server.handle.refused(&caller.actor(), None, "audit", "not_allowed", &detail).await;
    Err(Problem::not_allowed(detail)
        .help("ask for a role with `audit`, everywhere, in access.yaml, or for `public_log` in clearway.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_told_apart_from_who_was_never_here() {
        let access: Access = serde_json::from_value(serde_json::json!({
            "users": [{"id": "ada", "roles": []}, {"id": "bob", "deactivated": true}],
        }))
        .expect("an access table");
        assert_eq!(["ada", "bob", "eve"].map(|user| has_left(&access, user)), [false, true, false]);
    }

    #[test]
    fn a_bearer_token_is_read_in_each_spelling_of_its_scheme() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for bad in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }
}
