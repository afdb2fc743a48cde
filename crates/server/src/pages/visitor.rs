//! Visitors: readers of pages, by the session in their cookie, or on their way to log in.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{DOCTYPE, html};

use super::form::Typed;
use super::frame::{Page, ReaderView};
use super::list::encoded;
use super::problem;
use crate::Shared;
use crate::identity::{may_read, session_of};
use crate::problem::Problem;
use crate::session;

/// Somebody who is logged in and may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visitor(pub ReaderView);

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Turned {
    /// To the login, and back here.
    ToLogin {
        next: String,
    },
    /// The same address once more. A browser that follows a link from another site keeps a strict cookie to itself; asked by our own page, it sends it.
    Again {
        path: String,
    },
    Away(Box<Problem>, ReaderView),
}

impl FromRequestParts<Shared> for Visitor {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Turned> {
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let Some(reader) = reader(&parts.headers, server) else {
            return Err(turned(&parts.method, &parts.headers, path));
        };
        match may_read(server, &reader.caller).await {
            Ok(()) => Ok(Self(reader)),
            Err(problem) => Err(Turned::Away(Box::new(problem), reader)),
        }
    }
}

/// Who reads, if they are logged in.
pub(crate) fn reader(headers: &HeaderMap, server: &Shared) -> Option<ReaderView> {
    let session = session_of(headers, server)?;
    let recovered = server.handle.recovered().into_iter();
    let notices = recovered
        .map(|one| format!("{} may govern until {}: made an administrator on the machine itself.", one.user, one.until))
        .collect();
    Some(ReaderView { caller: session.caller, csrf: session.csrf, notices })
}

fn turned(method: &Method, headers: &HeaderMap, path: &str) -> Turned {
    let is_safe = [Method::GET, Method::HEAD].contains(method);
    if is_safe && is_cross_site(headers) {
        return Turned::Again { path: path.to_owned() };
    }
    // A form that was sent without a session is not sent again: its page is where to go on.
    let page = path.rsplit_once('/').map_or("/", |(page, _)| page);
    Turned::ToLogin { next: if is_safe { path.to_owned() } else { page.to_owned() } }
}

/// Whether the browser says that another site asked for this.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|from| from == "cross-site" || from == "same-site")
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::ToLogin { next } => Redirect::to(&format!("/login?next={}", encoded(&next))).into_response(),
            Self::Again { path } => {
                let content = format!("0;url={path}");
                let page = html! {
                    (DOCTYPE)
                    html lang="en" {
                        head { meta charset="utf-8"; meta http-equiv="refresh" content=(content); title { "Clearway" } }
                        body { a href=(path) { "Go on" } }
                    }
                };
                Html(page.into_string()).into_response()
            }
            Self::Away(problem, reader) => of_problem(&problem, Some(&reader), "/"),
        }
    }
}

impl Visitor {
    /// Whether a form comes from a page of this very session.
    pub(crate) fn sent(&self, csrf: &str) -> Result<(), Problem> {
        if session::is_same(csrf, &self.0.csrf) {
            return Ok(());
        }
        Err(Problem::not_allowed("the form was not sent by a page of your session")
            .help("reload the page and try again"))
    }

    /// What a form sent, without its token, if it comes from a page of this very session.
    pub(crate) fn sent_with(&self, mut typed: Typed) -> Result<Typed, Problem> {
        let csrf = typed.remove("csrf").unwrap_or_default();
        self.sent(&csrf).map(|()| typed)
    }

    /// A page, or what moves on it, or the problem that there is instead.
    pub(crate) fn show(&self, page: Result<Page, Problem>, fragment: bool, back: &str) -> Response {
        show(page, Some(&self.0), fragment, back)
    }
}

pub(crate) fn show(page: Result<Page, Problem>, reader: Option<&ReaderView>, fragment: bool, back: &str) -> Response {
    match page {
        Ok(page) if fragment => Html(page.main.into_string()).into_response(),
        Ok(page) => Html(page.frame(reader).into_string()).into_response(),
        Err(problem) => of_problem(&problem, reader, back),
    }
}

fn of_problem(problem: &Problem, reader: Option<&ReaderView>, back: &str) -> Response {
    (problem.status, Html(problem::page(problem, back).frame(reader).into_string())).into_response()
}

/// A page with another status than 200.
pub(crate) fn with_status(status: StatusCode, page: &Page) -> Response {
    (status, Html(page.frame(None).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn turned_with(site: Option<&'static str>, method: &Method) -> String {
        let mut headers = HeaderMap::new();
        headers.extend(
            site.map(|site| (axum::http::HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static(site))),
        );
        format!("{:?}", turned(method, &headers, "/changes/CHG-7/approve"))
    }

    #[test]
    fn a_visitor_without_a_session_logs_in_and_comes_back() {
        assert_eq!(turned_with(None, &Method::GET), "ToLogin { next: \"/changes/CHG-7/approve\" }");
        assert_eq!(turned_with(Some("same-origin"), &Method::POST), "ToLogin { next: \"/changes/CHG-7\" }");
    }

    #[test]
    fn a_link_from_another_site_is_asked_for_once_more_and_never_a_form() {
        assert_eq!(turned_with(Some("cross-site"), &Method::GET), "Again { path: \"/changes/CHG-7/approve\" }");
        assert_eq!(turned_with(Some("cross-site"), &Method::POST), "ToLogin { next: \"/changes/CHG-7\" }");
    }
}
