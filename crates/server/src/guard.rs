//! Guard: no secret comes in with a request, and none goes out with an answer.
//!
//! Addresses and keys are asked before a handler runs, bodies by the extractors once it is known who sends them: a request with a secret is refused
//! before any of it is used, and the refusal quotes none of it. Answers pass once more on their way out. What is a secret the engine's port says
//! ([`Scrub`]); what a token is for, such as that of a login, is not asked here.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::ports::{Scrub, Spotted};
use engine::scrub;
use serde_json::Value;

use crate::Shared;
use crate::pages::visitor;
use crate::problem::Problem;

/// Fields of forms that are secrets by their nature: read once, compared, and kept nowhere.
const OWN_SECRETS: [&str; 3] = ["token", "csrf", "code"];

/// Refuses a request whose address or key holds a secret, and cleans its answer.
pub(crate) async fn guard(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let wants_a_page = wants_a_page(request.headers());
    if let Err(problem) = head(server.handle.scrub(), request.uri(), request.headers()) {
        return if wants_a_page { visitor::show(Err(problem), None, false, "/") } else { problem.into_response() };
    }
    let response = next.run(request).await;
    cleaned(server.handle.scrub(), response).await
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn head(scrub: &dyn Scrub, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    text(scrub, "the path", &decoded(uri.path().as_bytes()))?;
    fields(scrub, "the query", uri.query().unwrap_or_default().as_bytes())?;
    let keys = headers.get_all("idempotency-key").iter().map(|key| String::from_utf8_lossy(key.as_bytes()));
    keys.into_iter().try_for_each(|key| text(scrub, "`Idempotency-Key`", &key))
}

/// Refuses a text with a secret.
pub(crate) fn text(scrub: &dyn Scrub, place: &str, given: &str) -> Result<(), Problem> {
    under(scrub, "", place, given)
}

fn under(scrub: &dyn Scrub, name: &str, place: &str, given: &str) -> Result<(), Problem> {
    match scrub.spot_under(name, given).first() {
        Some(spotted) => Err(found(place, given, spotted)),
        None => Ok(()),
    }
}

/// Refuses the fields of a form or a query with a secret in them.
pub(crate) fn fields(scrub: &dyn Scrub, place: &str, encoded: &[u8]) -> Result<(), Problem> {
    for pair in encoded.split(|b| *b == b'&') {
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        let (name, value) = (decoded(name), decoded(value));
        text(scrub, place, &name)?;
        if !OWN_SECRETS.contains(&name.as_str()) {
            under(scrub, &name, &format!("`{}` of {place}", scrub::text(scrub, &name)), &value)?;
        }
    }
    Ok(())
}

/// Refuses a body of JSON with a secret in it; one that is no JSON is looked through as it is.
pub(crate) fn json(scrub: &dyn Scrub, bytes: &[u8]) -> Result<(), Problem> {
    if !scrub.may_hold(bytes) && !bytes.contains(&b'\\') {
        return Ok(());
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => walk(scrub, "", "", &value),
        Err(_) => text(scrub, "the body", &String::from_utf8_lossy(bytes)),
    }
}

fn walk(scrub: &dyn Scrub, name: &str, pointer: &str, value: &Value) -> Result<(), Problem> {
    match value {
        Value::String(given) => {
            let place = if pointer.is_empty() { "the body".to_owned() } else { format!("`{pointer}`") };
            under(scrub, name, &place, given)
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| walk(scrub, name, &format!("{pointer}/{i}"), item))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            text(scrub, "the name of a field", name)?;
            walk(scrub, name, &format!("{pointer}/{name}"), field)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn found(place: &str, given: &str, spotted: &Spotted) -> Problem {
    let before = given.get(..spotted.at.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let line = if given.contains('\n') { format!("line {line}, column {column}, ") } else { String::new() };
    let detail = format!("{place} holds what looks like a secret: {line}`{}` (`{}`)", spotted.excerpt, spotted.rule);
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "secret_found", detail).help(
        "nothing of it was kept; replace the secret by a new one where it was issued, and send the request without it; \
         if it is none, an owner of `secrets.yaml` can allow its fingerprint",
    )
}

/// Percent-decoded, with `+` for a space, as forms and queries are.
fn decoded(encoded: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (*first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => bytes.push(b'%'),
            },
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Marks the one answer that is a secret on purpose: that of a new token, to whoever asked for it.
#[derive(Clone, Copy)]
pub(crate) struct ShownOnce;

/// An answer without secrets. Streams and the log's own files are left alone: the first carry only what the store has, the second are proved byte by byte.
async fn cleaned(scrub: &dyn Scrub, response: Response) -> Response {
    if response.extensions().get::<ShownOnce>().is_some() {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.starts_with("application/json") || kind.starts_with("application/problem+json");
    if !is_json && !kind.starts_with("text/html") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Problem::internal().into_response() };
    match clean_body(scrub, &bytes, is_json) {
        None => Response::from_parts(parts, Body::from(bytes)),
        Some(clean) => {
            tracing::warn!("a secret was about to be shown; it is left out");
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(clean))
        }
    }
}

fn clean_body(scrub: &dyn Scrub, bytes: &Bytes, is_json: bool) -> Option<Vec<u8>> {
    if !scrub.may_hold(bytes) {
        return None;
    }
    if !is_json {
        let page = String::from_utf8_lossy(bytes);
        return match scrub::marked(scrub, &page) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(clean) => Some(clean.into_bytes()),
        };
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    scrub::value(scrub, &mut value).then(|| value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_as_a_server_reads_it() {
        assert_eq!(decoded(b"a+b%20c%2Fd%zz%4"), "a b c/d%zz%4");
        assert_eq!(decoded("ä".as_bytes()), "ä");
    }
}
