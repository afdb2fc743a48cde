//! Extracting: the parts of a request as values, or a problem that says what is wrong with them.
//!
//! Nothing here knows what a value means. Unknown fields are refused, so that a misspelt one is never taken for an absent one.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use change::{ChangeId, Timestamp};
use serde::de::DeserializeOwned;

use crate::Shared;
use crate::guard;
use crate::problem::Problem;

/// The largest body: a change file of the largest size, escaped as JSON.
pub(crate) const MOST_BYTES: usize = 3 << 19;

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Shared) -> Result<Self, Problem> {
        demand_type(request.headers(), "application/json")?;
        let bytes = body(request, server).await?;
        guard::json(server.handle.scrub(), &bytes)?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))
    }
}

/// A body that a form of the pages sent.
#[derive(Debug)]
pub(crate) struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Shared> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Shared) -> Result<Self, Problem> {
        demand_type(request.headers(), "application/x-www-form-urlencoded")?;
        let (parts, sent) = request.into_parts();
        let bytes = body(Request::from_parts(parts.clone(), sent), server).await?;
        guard::fields(server.handle.scrub(), "the form", &bytes)?;
        let form = axum::extract::Form::<T>::from_request(Request::from_parts(parts, bytes.into()), server).await;
        form.map(|axum::extract::Form(value)| Self(value)).map_err(|rejection| match rejection {
            axum::extract::rejection::FormRejection::BytesRejection(_) => too_large(),
            other => Problem::malformed(other.body_text()),
        })
    }
}

async fn body(request: Request, server: &Shared) -> Result<Bytes, Problem> {
    Bytes::from_request(request, server).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::malformed("the body ended before it was complete"),
    })
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body has more than {MOST_BYTES} bytes"))
}

fn demand_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let detail = format!("the body is declared as `{given}`, and `{wanted}` is read here");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        .help(format!("send `Content-Type: {wanted}`")))
}

/// The query of a request.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|e| Problem::malformed(e.body_text()))
    }
}

/// The change that the path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub ChangeId);

impl FromRequestParts<Shared> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Problem> {
        let path = Path::<std::collections::BTreeMap<String, String>>::from_request_parts(parts, server).await;
        let Ok(Path(named)) = path else { return Err(Problem::malformed("the path can't be read")) };
        let text = named.get("id").map(String::as_str).unwrap_or_default();
        text.parse().map(Self).map_err(Problem::malformed)
    }
}

/// The key by which a request may be repeated, if it carries one.
#[derive(Clone, Debug)]
pub(crate) struct Idempotency(pub Option<String>);

impl FromRequestParts<Shared> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        idempotency_key(&parts.headers).map(Self)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return if headers.contains_key("idempotency-key") { Err(bad_key()) } else { Ok(None) };
    };
    let bytes = key.as_bytes();
    let is_fine = (1..=200).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    // INVARIANT: graphic ASCII is text.
    if is_fine { Ok(Some(String::from_utf8_lossy(bytes).into_owned())) } else { Err(bad_key()) }
}

fn bad_key() -> Problem {
    Problem::malformed("`Idempotency-Key` is one header of 1 to 200 visible ASCII characters")
}

/// An instant of a query.
pub(crate) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    change::time::parse_instant(text).map_err(|why| Problem::malformed(format!("`{name}`: {why}")))
}

/// A limit of a query, from 1 to `most`.
pub(crate) fn limit(given: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    match given {
        None => Ok(default),
        Some(n) if (1..=most).contains(&n) => Ok(n),
        Some(n) => Err(Problem::malformed(format!("`limit` is from 1 to {most}, not `{n}`"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("idempotency-key", HeaderValue::from_bytes(value).expect("a header value"));
        }
        idempotency_key(&headers)
    }

    #[test]
    fn an_idempotency_key_is_one_of_up_to_200_visible_characters() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"a-1"]), Ok(Some("a-1".into())));
        assert_eq!(key(&[&[b'x'; 200]]), Ok(Some("x".repeat(200))));
        for bad in [&[b"".as_slice()] as &[&[u8]], &[&[b'x'; 201]], &[b"a b"], &["ä".as_bytes()], &[b"a", b"b"]] {
            assert_eq!(key(bad), Err(bad_key()), "{bad:?}");
        }
    }

    #[test]
    fn a_limit_out_of_range_is_refused_and_not_bent() {
        assert_eq!(limit(None, 50, 200), Ok(50));
        assert_eq!(limit(Some(200), 50, 200), Ok(200));
        assert!(limit(Some(0), 50, 200).is_err());
        assert!(limit(Some(201), 50, 200).is_err());
    }
}
