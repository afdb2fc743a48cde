//! Problem: every answer that is not what was asked for, as `application/problem+json` (RFC 9457).
//!
//! Adapters live here: rejections of the core and faults of the store become a status, a stable code, what happened and what to do. A fault of
//! ours says nothing of its inside; the log of the server does. Pages show the same problem as a page: see [`pages`](crate::pages).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::document;
use change::lifecycle::Rejection;
use engine::ports::StoreError;
use engine::{CommandError, ProposeError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::schema::documented;

/// What went wrong, after RFC 9457.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ProblemDetails {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, with its values.
    pub detail: String,
    /// For programs; stable.
    pub code: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Every problem of a file that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<document::Problem>,
}

documented!(ProblemDetails);

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    pub help: Option<String>,
    pub problems: Vec<document::Problem>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), help: None, problems: vec![] }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not_allowed", detail)
    }

    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .help("send `Authorization: Bearer <token>`, or log in at /login")
    }

    /// A fault of ours: what it was stands in the log of the server only.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed to answer; nothing was done twice")
            .help("try again; if it stays so, ask whoever runs the server to look into its log")
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the answer took too long")
            .help("look whether it has happened before you ask again")
    }

    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).help("try again in a second")
    }

    pub(crate) fn invalid_file(problems: Vec<document::Problem>) -> Self {
        let detail = ProposeError::Invalid(problems.clone()).to_string();
        Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_file", detail) }
            .help("mend what `problems` lists; `clearway check FILE` shows the same with the lines")
    }

    pub(crate) fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    pub(crate) fn details(&self) -> ProblemDetails {
        ProblemDetails {
            kind: format!("/problems/{}", self.code),
            title: self.title().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            help: self.help.clone(),
            problems: self.problems.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // INVARIANT: strings and numbers always have a JSON form.
        let body = serde_json::to_vec(&self.details()).expect("a problem has a JSON form");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"clearway\""));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::busy("somebody else wrote to the same stream at the same moment"),
            StoreError::KeyUsed(key) => key_reused(&key),
            StoreError::TooLarge(why) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why),
            StoreError::Stopped(_) | StoreError::Failed(_) | StoreError::Damaged(_) => {
                tracing::error!(%error, "the store failed while a request was answered");
                Self::internal()
            }
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = match &rejection {
            Rejection::NotAllowed { .. }
            | Rejection::NotForPeople
            | Rejection::OwnChange { .. }
            | Rejection::OwnException { .. }
            | Rejection::NotEntitled { .. }
            | Rejection::Excluded { .. }
            | Rejection::HardRule { .. }
            | Rejection::NotAnOverrider { .. }
            | Rejection::NotFreezeOwner { .. }
            | Rejection::BadSignature { .. }
            | Rejection::SignatureNeeded { .. } => StatusCode::FORBIDDEN,
            Rejection::BadEnd { .. }
            | Rejection::ReasonNeeded
            | Rejection::ReasonTooLong { .. }
            | Rejection::OutcomeNeeded { .. }
            | Rejection::AfterUnknown { .. }
            | Rejection::AfterFellow { .. }
            | Rejection::Circle { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Rejection::WrongPhase { .. }
            | Rejection::AlreadyVoted { .. }
            | Rejection::GrantedAlready { .. }
            | Rejection::SeatTaken { .. }
            | Rejection::StaleEffect { .. }
            | Rejection::StaleRevision { .. }
            | Rejection::VerdictIsFail { .. }
            | Rejection::NothingToRollBack { .. }
            | Rejection::LaneTaken { .. }
            | Rejection::NoSuchDenial { .. }
            | Rejection::NoSuchPoint { .. }
            | Rejection::NoSuchFreeze { .. }
            | Rejection::NoSuchException { .. }
            | Rejection::StaleException { .. }
            | Rejection::EvidenceNeeded { .. }
            | Rejection::SecondPersonNeeded { .. }
            | Rejection::GatesClosed { .. }
            | Rejection::InTheWay { .. }
            | Rejection::Stale { .. } => StatusCode::CONFLICT,
        };
        Self { help: rejection.help(), ..Self::new(status, rejection.code(), rejection.to_string()) }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NoSuchChange(_) | CommandError::NoSuchRelease(_) => Self::not_found(error.to_string()),
            CommandError::Rejected(rejection) => rejection.into(),
            CommandError::OfRelease(rejection) => {
                let status = match rejection {
                    change::release::Rejection::ReasonNeeded => StatusCode::UNPROCESSABLE_ENTITY,
                    change::release::Rejection::WrongPhase { .. } => StatusCode::CONFLICT,
                };
                Self::new(status, rejection.code(), rejection.to_string())
            }
            CommandError::Busy(_) => Self::busy(error.to_string()),
            CommandError::Impossible(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "impossible", why),
            CommandError::Store(error) => error.into(),
        }
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        let detail = error.to_string();
        match error {
            ProposeError::Invalid(problems) => Self::invalid_file(problems),
            ProposeError::Parameters { problems, standard } => {
                Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_parameters", detail) }
                    .help(format!("`clearway standard show {standard}` says what each may be"))
            }
            ProposeError::Rejected(rejection) => rejection.into(),
            ProposeError::NotAllowed { permission, .. } => {
                Self::not_allowed(detail).help(format!("ask for a role with `{permission}` in access.yaml"))
            }
            ProposeError::NotForThem { .. } => {
                Self::not_allowed(detail).help("ask the owner of the standard change, or propose a change of your own")
            }
            ProposeError::NoSuchWay(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_way", why),
            ProposeError::KeyReused(key) => key_reused(&key),
            ProposeError::Store(error) => error.into(),
        }
    }
}

fn key_reused(key: &str) -> Problem {
    let detail = ProposeError::KeyReused(key.to_owned()).to_string();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
        .help("send another `Idempotency-Key` with another request")
}

#[cfg(test)]
mod tests {
    use change::{Actor, ChangeId, Permission, Phase};
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_rejection_has_a_status_a_code_and_a_sentence() {
        let (change, actor) = (ChangeId::new(7), Actor::User("ada".into()));
        let rejections = [
            Rejection::WrongPhase { change, phase: Phase::Completed, why: "it is over".into() },
            Rejection::NotAllowed { actor: actor.clone(), permission: Permission::Pause },
            Rejection::NotForPeople,
            Rejection::OwnChange { actor: actor.clone(), change },
            Rejection::AlreadyVoted { actor: actor.clone() },
            Rejection::NotEntitled { actor, asked: "`sre`".into() },
            Rejection::BadSignature { change, why: "it was made for `git`".into() },
            Rejection::SignatureNeeded { change, asked: "`sre`".into() },
            Rejection::StaleEffect { change, given: "aa".into(), now: "bb".into() },
            Rejection::StaleRevision { change, given: 1, now: 2 },
            Rejection::VerdictIsFail { step: "step 1".into() },
            Rejection::NothingToRollBack { change },
            Rejection::LaneTaken { holder: ChangeId::new(8), resource: "router:checkout".into() },
            Rejection::OutcomeNeeded { step: "step 1".into() },
            Rejection::Stale { change, what: "a rollback".into() },
            Rejection::ReasonNeeded,
        ];
        let lines: Vec<String> = rejections
            .into_iter()
            .map(Problem::from)
            .map(|p| format!("{} {}: {}", p.status.as_u16(), p.code, p.detail))
            .collect();
        expect![[r#"
            409 wrong_phase: `CHG-7` is completed: it is over
            403 not_allowed: `user:ada` may not pause changes of these services here
            403 not_for_people: only Clearway itself does this
            403 own_change: `user:ada` wrote `CHG-7` or a part of it; a change is approved by somebody else
            409 already_voted: `user:ada` has approved this effect already
            403 not_entitled: `user:ada` is in none of the groups whose approval is asked for: `sre`
            403 bad_signature: the signature does not count: it was made for `git`
            403 signature_needed: a vote for `sre` has to be signed
            409 stale_effect: this approves the effect aa, but `CHG-7` has the effect bb now
            409 stale_revision: revision 1 of `CHG-7` was edited, but it has revision 2 now
            409 verdict_is_fail: the verdict of step 1 is `fail`; a failing step can't be promoted
            409 nothing_to_roll_back: nothing of `CHG-7` has been rolled out yet
            409 lane_taken: `CHG-8` has the target `router:checkout` now; rolling back would undo its work
            422 outcome_needed: the outcome of step 1 is unknown; say what you found
            409 stale: this is about a rollback, which is not what `CHG-7` is doing now
            422 reason_needed: a reason is needed"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_fault_of_the_store_says_nothing_of_its_inside() {
        let secret = "disk /var/lib/clearway is full";
        for error in
            [StoreError::Failed(secret.into()), StoreError::Stopped(secret.into()), StoreError::Damaged(secret.into())]
        {
            let details = serde_json::to_string(&Problem::from(error).details()).expect("JSON");
            assert!(!details.contains("disk"), "{details}");
            assert!(details.contains("\"status\":500"), "{details}");
        }
    }

    #[test]
    fn a_problem_is_problem_json_and_says_how_to_log_in() {
        let response = Problem::unauthenticated("the request says nothing of who you are").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"clearway\"");
    }
}
