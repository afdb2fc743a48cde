//! Identity: who asks, and whether they may read at all.
//!
//! A bearer token, or the session of the pages; with a session, whatever changes something must also carry its form token, so that no other site can
//! ask in somebody's name. What a user may do to a change is asked of the core, never here.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use change::actor::Access;
use change::{Actor, Permission};

use crate::Shared;
use crate::problem::Problem;
use crate::session::{self, Session};

/// Where programs that use a session put its form token.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// An identified user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub user: String,
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor {
        Actor::User(self.user.clone())
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        if let Some(given) = parts.headers.get(header::AUTHORIZATION) {
            let token = given.to_str().ok().and_then(bearer).ok_or_else(|| {
                Problem::unauthenticated("the header `Authorization` does not have the form `Bearer <token>`")
            })?;
            let user = server.identify.user(token);
            return user.map(|user| Self { user }).ok_or_else(|| Problem::unauthenticated("the token is not known"));
        }
        let session = session_of(&parts.headers, server)
            .ok_or_else(|| Problem::unauthenticated("the request says nothing of who you are"))?;
        if !is_safe(&parts.method) && !carries(&parts.headers, &session) {
            let detail = format!("a request with a session that changes something needs its token in `{CSRF_HEADER}`");
            return Err(Problem::not_allowed(detail).help("reload the page, or use a bearer token"));
        }
        Ok(Self { user: session.user })
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

/// The id of the session that the cookies name.
pub(crate) fn session_id(headers: &HeaderMap, server: &Shared) -> Option<String> {
    let name = session::cookie_name(server.is_https());
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.filter_map(|c| session::read_cookie(c, name)).map(str::to_owned).next()
}

/// The session that the cookies name, if it is one.
pub(crate) fn session_of(headers: &HeaderMap, server: &Shared) -> Option<Session> {
    server.sessions.find(&session_id(headers, server)?, Instant::now())
}

/// A user who may read: somebody who holds any permission at all.
#[derive(Clone, Debug)]
pub(crate) struct Reader(pub Caller);

impl FromRequestParts<Shared> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, server).await?;
        may_read(server, &caller.user)?;
        Ok(Self(caller))
    }
}

pub(crate) fn may_read(server: &Shared, user: &str) -> Result<(), Problem> {
    if held(&server.handle.in_force().governance.access, user).is_empty() {
        return Err(Problem::not_allowed(format!("`user:{user}` may not read here"))
            .help("ask for a role in access.yaml; any role allows to read"));
    }
    Ok(())
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
        may_audit(server, &caller.user)?;
        Ok(Self)
    }
}

pub(crate) fn may_audit(server: &Shared, user: &str) -> Result<(), Problem> {
    if server.public_log || held(&server.handle.in_force().governance.access, user).contains(&Permission::Audit) {
        return Ok(());
    }
    Err(Problem::not_allowed(format!("`user:{user}` may not read the log of all changes"))
        .help("ask for a role with `audit` in access.yaml, or for `public_log` in clearway.toml"))
}

/// Everything that a user may do anywhere.
pub(crate) fn held(access: &Access, user: &str) -> BTreeSet<Permission> {
    let grants = access.users.iter().filter(|u| u.id == user).flat_map(|u| &u.roles);
    let roles = grants.flat_map(|grant| access.roles.iter().filter(move |role| role.id == grant.role));
    roles.flat_map(|role| role.may.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_on_one_service_is_enough_to_read_and_an_unknown_user_holds_nothing() {
        let access: Access = serde_json::from_value(serde_json::json!({
            "users": [{"id": "ada", "roles": [{"role": "operator", "on": {"services": ["checkout"], "environments": ["production"]}}]}, {"id": "bob"}],
            "roles": [{"id": "operator", "may": ["pause"]}],
        }))
        .expect("an access table");
        assert_eq!(held(&access, "ada"), [Permission::Pause].into());
        assert!(held(&access, "bob").is_empty());
        assert!(held(&access, "eve").is_empty());
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
