//! Pages as somebody reads them: logs in with a token over HTTP, and gives the words of a page without its markup.

use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;

/// Somebody who is logged in.
pub(crate) struct Reader {
    http: Client,
    url: String,
    cookie: String,
}

impl Reader {
    /// Logs in as the user of a token. Waits for answers, so it is for threads of its own.
    pub(crate) fn log_in(url: &str, token: &str) -> Self {
        // A second installation in this process is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        let form = format!("token={token}&next=%2F");
        let login = http.post(format!("{url}/login")).header("content-type", "application/x-www-form-urlencoded");
        let answer: Response = login.body(form).send().expect("the server answers");
        let cookie = answer.headers().get("set-cookie").and_then(|c| c.to_str().ok()).unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        assert!(!cookie.is_empty(), "the login gives a session: {answer:?}");
        Self { http, url: url.to_owned(), cookie }
    }

    pub(crate) fn read(&self, path: &str) -> String {
        let asked = self.http.get(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let answer = asked.send().expect("the server answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().expect("a page")
    }
}

/// The words of a page: no tags, and its marks as they are read.
pub(crate) fn words(page: &str) -> String {
    let mut words = String::new();
    for part in page.split('<') {
        words.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    words.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
