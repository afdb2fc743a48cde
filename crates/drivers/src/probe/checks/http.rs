//! HTTP: one request, and whether its answer is what was expected.
//!
//! A redirect is an answer like others, or is followed to hosts that are allowed, without the credentials of the first. The body is read up to 1 MiB and
//! never leaves this file but for a scrap.

use std::time::{Duration, Instant};

use change::verification::synthetic::{HeaderText, HttpCheck, Method, Redirects};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use regex::Regex;
use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::dial::Dialer;
use super::tls::{self, Trust};
use super::{Miss, Secrets, failed, not_run, scrap, tcp};

/// The most of a body that is read.
const MOST_BYTES: usize = 1 << 20;
const MOST_REDIRECTS: usize = 5;

pub(super) async fn probe(
    check: &HttpCheck,
    cohort: &str,
    dialer: &Dialer<'_>,
    trust: &Trust,
    secrets: &Secrets,
) -> Result<(), Miss> {
    let begun = Instant::now();
    let mut order = Order::of(check, cohort, secrets)?;
    for _ in 0..=MOST_REDIRECTS {
        let answer = send(&order, check, dialer, trust).await?;
        match answer.redirect(&order.url).filter(|_| check.redirects == Redirects::Follow) {
            Some(next) => order = order.redirected(next?, answer.status),
            None => return judge(check, cohort, &answer, begun.elapsed()),
        }
    }
    failed(format!("it redirects more than {MOST_REDIRECTS} times"))
}

/// What is asked next.
struct Order {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    /// The headers that hold a secret.
    secret: Vec<HeaderName>,
}

impl Order {
    fn of(check: &HttpCheck, cohort: &str, secrets: &Secrets) -> Result<Self, Miss> {
        let text = check.url.replace("$cohort", cohort);
        let url: Option<Url> = text.parse().ok().filter(is_askable);
        let Some(url) = url else { return not_run(format!("`{text}` is no address of a page")) };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("clearway/", env!("CARGO_PKG_VERSION"))));
        let mut secret = Vec::new();
        for (name, text) in &check.headers {
            let Ok(header) = name.parse::<HeaderName>() else {
                return not_run(format!("`{name}` is no name of a header"));
            };
            let value = match text {
                HeaderText::Plain(text) => text.replace("$cohort", cohort),
                HeaderText::Secret(from) => match secrets.get(&from.env) {
                    Some(value) => {
                        secret.push(header.clone());
                        value.to_owned()
                    }
                    None => {
                        let env = &from.env;
                        return not_run(format!(
                            "the header `{name}` needs `{env}`; its operator can set it for the server and add `\"{env}\"` to `[checks] env` in \
                             clearway.toml"
                        ));
                    }
                },
            };
            let Ok(mut value) = HeaderValue::from_str(&value) else {
                return not_run(format!("what the header `{name}` says can't be sent"));
            };
            value.set_sensitive(matches!(text, HeaderText::Secret(_)));
            headers.insert(header, value);
        }
        // What is matched is the text itself.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let body = Bytes::from(check.body.as_deref().unwrap_or_default().replace("$cohort", cohort));
        Ok(Self { url, method: check.method, headers, body, secret })
    }

    /// The request that follows a redirect (RFC 9110, section 15.4): elsewhere it takes no credentials along.
    fn redirected(mut self, url: Url, status: u16) -> Self {
        if url.origin() != self.url.origin() {
            for name in self.secret.drain(..).chain([AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]) {
                self.headers.remove(name);
            }
        }
        let becomes_get = status == 303 || (matches!(status, 301 | 302) && self.method == Method::Post);
        if becomes_get && self.method != Method::Head {
            self.method = Method::Get;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
        }
        Self { url, ..self }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Miss> {
        let path = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        let mut request = Request::builder().method(self.method.name()).uri(path);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            let host = match (self.url.host_str().unwrap_or_default(), self.url.port()) {
                (host, Some(port)) => format!("{host}:{port}"),
                (host, None) => host.to_owned(),
            };
            if let Ok(host) = HeaderValue::from_str(&host) {
                headers.insert(HOST, host);
            }
            if !self.body.is_empty() {
                headers.insert(CONTENT_LENGTH, self.body.len().into());
            }
        }
        request.body(Full::new(self.body.clone())).map_err(|error| Miss::NotRun(format!("it can't be asked: {error}")))
    }
}

fn is_askable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    is_whole: bool,
}

impl Answer {
    /// Where it sends us, if it does.
    fn redirect(&self, from: &Url) -> Option<Result<Url, Miss>> {
        let location = self.headers.get(LOCATION).filter(|_| matches!(self.status, 301 | 302 | 303 | 307 | 308))?;
        let next = location.to_str().ok().and_then(|to| from.join(to).ok()).filter(is_askable);
        Some(next.map_or_else(|| failed("it redirects to what is no address of a page"), Ok))
    }
}

/// The host of a URL as it is resolved: without the brackets of an IPv6 address.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

async fn send(order: &Order, check: &HttpCheck, dialer: &Dialer<'_>, trust: &Trust) -> Result<Answer, Miss> {
    let request = order.request()?;
    let port = order.url.port_or_known_default().unwrap_or(80);
    dialer.may_ask(host(&order.url), port)?;
    if order.url.scheme() == "https" {
        let config = trust.config(check.ca_file.as_deref()).await?;
        let stream = dialer.connect(host(&order.url), port).await?;
        exchange(tls::secure(stream, host(&order.url), config).await?, request).await
    } else {
        exchange(dialer.connect(host(&order.url), port).await?, request).await
    }
}

/// A task that ends with its owner.
struct Owned(tokio::task::JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Miss>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke_off = |error: hyper::Error| Miss::Failed(format!("the exchange broke off: {}", innermost(&error)));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke_off)?;
    let _driving = Owned(tokio::spawn(async move {
        // What goes wrong with the connection, the request and its body say too.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(broke_off)?;
    read(response).await.map_err(broke_off)
}

async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, mut body) = response.into_parts();
    let mut answer = Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), is_whole: true };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = MOST_BYTES - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.is_whole = false;
            break;
        }
    }
    Ok(answer)
}

fn innermost(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), super::dial::in_words)
}

/// Every expectation, in the order in which people ask: the status first, the time last.
fn judge(check: &HttpCheck, cohort: &str, answer: &Answer, took: Duration) -> Result<(), Miss> {
    status(check, answer)?;
    for (name, wanted) in &check.header {
        let wanted = wanted.replace("$cohort", cohort);
        let mut values = answer.headers.get_all(name.as_str()).iter().peekable();
        if values.peek().is_none() {
            return failed(format!("the answer has no header `{name}`"));
        }
        if !values.any(|value| tcp::contains(value.as_bytes(), wanted.as_bytes())) {
            return failed(format!("the header `{name}` does not contain `{wanted}`"));
        }
    }
    if let Some(wanted) = &check.body_contains {
        let wanted = wanted.replace("$cohort", cohort);
        if !tcp::contains(&answer.body, wanted.as_bytes()) {
            return failed(format!(
                "the {} does not contain `{wanted}`; it begins with {}",
                the_body(answer),
                scrap::of(&answer.body)
            ));
        }
    }
    if let Some(pattern) = &check.body_matches {
        let Ok(regex) = Regex::new(pattern) else { return not_run(format!("`{pattern}` is no regular expression")) };
        if !regex.is_match(&String::from_utf8_lossy(&answer.body)) {
            return failed(format!(
                "the {} does not match `{pattern}`; it begins with {}",
                the_body(answer),
                scrap::of(&answer.body)
            ));
        }
    }
    json(check, cohort, answer)?;
    match check.within.map(|span| Duration::from_millis(span.as_millis())).filter(|limit| took > *limit) {
        Some(limit) => failed(format!("took {}, {} allowed", seconds(took), seconds(limit))),
        None => Ok(()),
    }
}

fn status(check: &HttpCheck, answer: &Answer) -> Result<(), Miss> {
    if check.good().iter().any(|range| range.contains(answer.status)) {
        return Ok(());
    }
    let wanted: Vec<String> = check.good().iter().map(ToString::to_string).collect();
    failed(format!("status {} instead of {}", answer.status, wanted.join(", ")))
}

fn the_body(answer: &Answer) -> &'static str {
    if answer.is_whole { "body" } else { "first 1 MiB of the body" }
}

fn json(check: &HttpCheck, cohort: &str, answer: &Answer) -> Result<(), Miss> {
    if check.json.is_empty() {
        return Ok(());
    }
    if !answer.is_whole {
        return failed("the body is longer than 1 MiB, the most that is read as JSON");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return failed(format!("the body is no JSON; it begins with {}", scrap::of(&answer.body)));
    };
    for (pointer, wanted) in &check.json {
        let wanted = match wanted {
            Value::String(text) => Value::String(text.replace("$cohort", cohort)),
            other => other.clone(),
        };
        match body.pointer(pointer) {
            None => return failed(format!("the body has no `{pointer}`")),
            Some(found) if is_same(found, &wanted) => {}
            Some(found) => {
                return failed(format!(
                    "`{pointer}` is {} instead of `{wanted}`",
                    scrap::of(found.to_string().as_bytes())
                ));
            }
        }
    }
    Ok(())
}

/// Numbers are the same however they are written: `1` and `1.0`.
fn is_same(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => found == wanted,
    }
}

/// `2.1 s`, or `30 ms`.
fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    let text = format!("{:.1}", time.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}
