//! Webhook: a POST to a URL that the operator configured.
//!
//! The body is `{"change", "title", "reason", "to", "urgency"}`: `to` lists users and groups, `urgency` is `page` or `notice`; and `"url"` of the change's
//! page where the server's own address is known; what is about the server itself names no change. Every 2xx counts as delivered. The URL is often a
//! secret itself, so only its host is ever shown.

use std::time::Duration;

use async_trait::async_trait;
use change::ChangeId;
use engine::ports::{Message, Voice};
use reqwest::{Client, Url};
use serde_json::json;

use crate::http::{self, Bounds, SettingsError, Token};

/// Where people are told.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The name of the channel, as the log shall have it: `webhook`, `chat`.
    pub name: String,
    pub url: String,
    pub token: Option<Token>,
    /// The address of this server as people reach it, for a link to the change.
    pub server: Option<String>,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings")
            .field("name", &self.name)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The channel `webhook`.
pub struct Webhook {
    name: String,
    url: Url,
    token: Option<Token>,
    server: Option<Url>,
    client: Client,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: 1 << 20 };

impl Webhook {
    /// # Errors
    /// If an address is none.
    pub fn new(settings: WebhookSettings) -> Result<Self, SettingsError> {
        let url = http::url(&format!("the channel `{}`", settings.name), &settings.url)?;
        let server = settings.server.map(|server| http::url("this server", &server)).transpose()?;
        let client = http::client([&url])?;
        Ok(Self { name: settings.name, url, token: settings.token, server, client })
    }
}

#[async_trait]
impl Voice for Webhook {
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String> {
        let Message { title, reason, to, urgency } = message;
        let mut body = json!({"change": change, "title": title, "reason": reason, "to": to, "urgency": urgency});
        if let Some(server) = &self.server {
            body["url"] = json!(http::below(server, &["changes", &change.to_string()]).as_str());
        }
        self.post(&body).await
    }

    async fn alarm(&self, title: &str, reason: &str) -> Result<String, String> {
        let mut message = json!({"title": title, "reason": reason});
        if let Some(server) = &self.server {
            message["url"] = json!(server.as_str());
        }
        self.post(&message).await
    }
}

impl Webhook {
    async fn post(&self, message: &serde_json::Value) -> Result<String, String> {
        let request = self.client.post(self.url.clone()).json(message);
        let at = format!("the channel `{}` ({})", self.name, http::authority(&self.url));
        match http::send(request, self.token.as_ref(), BOUNDS).await {
            Ok(answer) if answer.is_success() => Ok(self.name.clone()),
            Ok(answer) => Err(format!("{at} answered {}", answer.status)),
            Err(error) => Err(format!("{at} can't be reached: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::HeaderMap;
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::Value;

    use super::*;
    use crate::testing::{nobody, serve, serve_answer, serve_silence, within};

    fn webhook(url: &str, server: Option<&str>) -> Webhook {
        let token = Some(Token::new("secret"));
        let settings =
            WebhookSettings { name: "chat".into(), url: url.into(), token, server: server.map(str::to_owned) };
        Webhook::new(settings).expect("is sound")
    }

    async fn page(url: &str, server: Option<&str>) -> Result<String, String> {
        let message = crate::notify::testing::message("Raise the pool", "the verdict is `fail`");
        within(20, webhook(url, server).tell(ChangeId::new(7), &message)).await
    }

    #[tokio::test]
    async fn a_message_carries_the_change_and_its_page() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let hook = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            let token = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
            ears.lock().expect("no test panics here").push((token, body));
            axum::http::StatusCode::ACCEPTED
        };
        let url = serve(Router::new().route("/hook", post(hook))).await;
        assert_eq!(page(&format!("{url}/hook"), Some("https://clearway.example/base/")).await, Ok("chat".into()));
        assert_eq!(page(&format!("{url}/hook"), None).await, Ok("chat".into()));
        let token = Some("Bearer secret".to_owned());
        let bare = json!({"change": "CHG-7", "title": "Raise the pool", "reason": "the verdict is `fail`", "to": [], "urgency": "page"});
        let mut linked = bare.clone();
        linked["url"] = json!("https://clearway.example/base/changes/CHG-7");
        assert_eq!(*heard.lock().expect("no test panics here"), [(token.clone(), linked), (token, bare)]);
    }

    // X21
    #[tokio::test]
    async fn an_alarm_names_no_change_and_leads_to_the_server() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let hook = move |Json(body): Json<Value>| async move {
            ears.lock().expect("no test panics here").push(body);
            axum::http::StatusCode::ACCEPTED
        };
        let url = serve(Router::new().route("/hook", post(hook))).await;
        let hook = webhook(&format!("{url}/hook"), Some("https://clearway.example/"));
        assert_eq!(within(20, hook.alarm("Recovered", "`ada` governs")).await, Ok("chat".into()));
        let wanted = json!({"title": "Recovered", "reason": "`ada` governs", "url": "https://clearway.example/"});
        assert_eq!(*heard.lock().expect("no test panics here"), [wanted]);
    }

    #[tokio::test]
    async fn a_message_that_was_not_taken_is_an_error_without_the_secret_path() {
        let refused = serve_answer(410, "text/plain", "").await;
        let at = |url: &str| format!("the channel `chat` ({})", &url[7..]);
        assert_eq!(page(&format!("{refused}/s3cret"), None).await, Err(format!("{} answered 410", at(&refused))));
        let silent = serve_silence().await;
        assert_eq!(page(&silent, None).await, Err(format!("{} can't be reached: no answer within 5s", at(&silent))));
        let gone = nobody().await;
        let error = page(&format!("{gone}/s3cret"), None).await.unwrap_err();
        assert!(error.starts_with(&format!("{} can't be reached: no connection", at(&gone))), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        assert!(!format!("{:?}", webhook("http://a/s3cret", None)).contains("s3cret"));
    }
}
