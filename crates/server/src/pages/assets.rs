//! Assets: the style sheet, the script and the icon, kept in the program and kept by browsers under their content's name.

use std::sync::OnceLock;

use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use change::Digest;

/// A file of the pages.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
    tag: OnceLock<String>,
}

pub(crate) static STYLE: Asset = Asset::new("app.css", "text/css; charset=utf-8", include_str!("../assets/app.css"));
pub(crate) static SCRIPT: Asset =
    Asset::new("app.js", "text/javascript; charset=utf-8", include_str!("../assets/app.js"));
pub(crate) static ICON: Asset = Asset::new("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg"));

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { name, content_type, text, tag: OnceLock::new() }
    }

    fn tag(&self) -> &str {
        self.tag.get_or_init(|| Digest::of_bytes(self.text.as_bytes()).short())
    }

    /// Where it is, with the name of its content.
    pub(crate) fn path(&self) -> String {
        format!("/assets/{}?v={}", self.name, self.tag())
    }

    pub(crate) fn respond(&self, query: Option<&str>, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", self.tag());
        let by_content = query == Some(&format!("v={}", self.tag()));
        let keep = if by_content { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
        let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
        let head = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, keep.to_owned())];
        if known.is_some_and(|known| known.split(',').any(|k| k.trim().trim_start_matches("W/") == tag)) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        (head, [(header::CONTENT_TYPE, self.content_type)], self.text).into_response()
    }
}

pub(crate) async fn style(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    STYLE.respond(query.as_deref(), &headers)
}

pub(crate) async fn script(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    SCRIPT.respond(query.as_deref(), &headers)
}

pub(crate) async fn icon(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    ICON.respond(query.as_deref(), &headers)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_that_has_it_is_not_sent_it_again() {
        let mut headers = HeaderMap::new();
        let first = STYLE.respond(None, &headers);
        assert_eq!(
            (first.status(), first.headers()[header::CACHE_CONTROL].as_bytes()),
            (StatusCode::OK, &b"public, max-age=300"[..])
        );
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(STYLE.respond(None, &headers).status(), StatusCode::NOT_MODIFIED);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(STYLE.respond(None, &headers).status(), StatusCode::OK);
    }

    #[test]
    fn under_its_content_s_name_it_is_kept_for_ever() {
        let path = SCRIPT.path();
        let query = path.split_once('?').map(|(_, query)| query);
        let kept = SCRIPT.respond(query, &HeaderMap::new());
        assert!(kept.headers()[header::CACHE_CONTROL].to_str().is_ok_and(|v| v.contains("immutable")));
        let stale = SCRIPT.respond(Some("v=old"), &HeaderMap::new());
        assert!(stale.headers()[header::CACHE_CONTROL].to_str().is_ok_and(|v| !v.contains("immutable")));
    }

    #[test]
    fn assets_ask_nothing_of_other_hosts() {
        for asset in [&STYLE, &SCRIPT, &ICON] {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://") && !text.contains("@import"), "{}", asset.name);
        }
    }
}
