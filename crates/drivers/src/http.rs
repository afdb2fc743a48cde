//! HTTP: requests that are bounded in time and size, and errors that people can read.
//!
//! Redirects are never followed and no proxy of the environment is used: what is asked is what the operator configured. An error shows neither
//! credentials nor the query of a URL.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use change::Timestamp;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName};
use reqwest::{Client, RequestBuilder, Url};

/// A secret that is sent as `Authorization: Bearer ...`; its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why the settings of a driver, a source or a channel can't work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the address of {what} is `{url}`; write it as `http://host:port`")]
    Url { what: String, url: String },
    #[error("{what} has no address")]
    NoUrl { what: String },
    #[error("the labels of {what} are `{labels}`: {why}")]
    Labels { what: String, labels: String, why: String },
    #[error("the address of {what} is `{url}`: {why}")]
    Template { what: String, url: String, why: String },
    #[error("the HTTP client can't start")]
    Client(#[source] reqwest::Error),
}

/// Reads the URL of something that is asked by HTTP.
pub(crate) fn url(what: &str, text: &str) -> Result<Url, SettingsError> {
    let bad = || SettingsError::Url { what: what.to_owned(), url: text.to_owned() };
    let url: Url = text.parse().map_err(|_| bad())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(bad()) }
}

/// A page below a URL, with each segment escaped.
pub(crate) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut page = url.clone();
    if let Ok(mut path) = page.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    page
}

/// A URL as an error may show it: without credentials, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

/// `host:port`.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A client for a few URLs.
pub(crate) fn client<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Result<Client, SettingsError> {
    let is_secure = urls.into_iter().any(|url| url.scheme() == "https");
    // The client asks for a provider even if it never speaks TLS. One that the program has installed is kept.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder()
        .user_agent(concat!("clearway/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(2));
    // Without TLS the certificates of the system are neither read nor needed: a bare container has none.
    let builder = if is_secure { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(SettingsError::Client)
}

/// What bounds one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From the first byte sent to the last one read.
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) date: Option<Timestamp>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same request may fare better a moment later.
    pub(crate) fn is_passing_trouble(&self) -> bool {
        self.status >= 500 || self.status == 429 || self.status == 408
    }
}

/// A request with its token.
pub(crate) fn authorized(request: RequestBuilder, token: Option<&Token>) -> RequestBuilder {
    token.iter().fold(request, |request, token| request.bearer_auth(&token.0))
}

/// Sends a request and reads the whole answer, or says why there is none.
pub(crate) async fn send(request: RequestBuilder, token: Option<&Token>, bounds: Bounds) -> Result<Answer, String> {
    let mut response =
        authorized(request, token).timeout(bounds.time).send().await.map_err(|error| sentence(&error, bounds))?;
    let headers = response.headers();
    if let Some(encoding) = header(headers, CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
        return Err(format!("the answer is encoded as `{encoding}`, which was not asked for"));
    }
    let mut answer = Answer {
        status: response.status().as_u16(),
        content_type: header(headers, CONTENT_TYPE).unwrap_or_default(),
        date: header(headers, DATE).and_then(|text| date(&text)),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| sentence(&error, bounds))? {
        if answer.body.len() + chunk.len() > bounds.bytes {
            return Err(format!("the answer is longer than {} bytes, the most that is read", bounds.bytes));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|text| text.trim().to_ascii_lowercase())
}

/// The preferred form of RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, here in lower case.
fn date(text: &str) -> Option<Timestamp> {
    let at = text.strip_suffix("gmt")?;
    Timestamp::strptime("%a, %d %b %Y %H:%M:%S %z", format!("{at}+0000")).ok()
}

/// The innermost cause, which is what an operator can act on. The outer ones only repeat the URL.
fn sentence(error: &reqwest::Error, bounds: Bounds) -> String {
    if error.is_timeout() {
        return format!("no answer within {}", change::Span::millis(millis(bounds.time)));
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "no connection" } else { "the exchange broke off" };
    format!("{what}: {cause}")
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let secret = url("a", "http://ada:pw@host/p?key=x#y").expect("is a URL");
        assert_eq!(shown(&secret), "http://host:80/p");
        assert_eq!(shown(&below(&secret, &["a/b", "c"])), "http://host:80/p/a%2Fb/c");
        assert_eq!(format!("{:?}", Token::new("pw")), "Token(..)");
    }

    #[test]
    fn what_can_not_be_asked_is_refused_when_it_is_configured() {
        for bad in ["", "host:80", "ftp://host", "http://", "/metrics"] {
            assert_eq!(
                url("the source `a`", bad).map_err(|e| e.to_string()),
                Err(format!("the address of the source `a` is `{bad}`; write it as `http://host:port`"))
            );
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let at = date("sun, 06 nov 1994 08:49:37 gmt").map(|at| at.to_string());
        assert_eq!(at.as_deref(), Some("1994-11-06T08:49:37Z"));
        assert_eq!(date("yesterday"), None);
    }
}
