//! The server: HTTP over the engine's handle. A JSON API with its OpenAPI document, server-sent events, the log's files, and pages for people.
//!
//! Parse, handle, render: no rule of a change lives here, and nothing is decided twice. What may happen is asked of the core; what is a sentence comes
//! from it. Start with [`router`]; then `api` for programs, `pages` for people, `problem` for whatever goes wrong.

mod api;
mod events;
mod ops;
mod tiles;

mod pages;

mod desk;
mod evidence;
mod offers;
mod view;
mod visible;

mod extract;
mod guard;
mod identity;
mod problem;
mod run;
mod schema;
mod session;

#[cfg(test)]
mod sample;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use api::document::openapi;
pub use desk::{Identify, Identity, Made, NewToken, Stranger, TokenView, public_id};
pub use run::serve;

/// What a server is made of.
#[derive(Clone)]
pub struct App {
    pub handle: engine::Handle,
    /// Who somebody is, by what they present.
    pub identify: Arc<dyn Identify>,
    /// Where people reach the server, such as `https://clearway.example`; without a slash at its end.
    pub base_url: String,
    /// Whether anybody may read the log of all changes, without logging in.
    pub public_log: bool,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base_url, public_log, .. } = self;
        f.debug_struct("App").field("base_url", base_url).field("public_log", public_log).finish_non_exhaustive()
    }
}

/// Everything that the server answers.
pub fn router(app: App) -> axum::Router {
    let server = Arc::new(Server {
        handle: app.handle,
        identify: app.identify,
        base_url: app.base_url.trim_end_matches('/').to_owned(),
        public_log: app.public_log,
        sessions: session::Sessions::default(),
        tries: session::Tries::default(),
        listeners: Arc::new(Semaphore::new(events::MOST_LISTENERS)),
        metrics: ops::Metrics::default(),
    });
    let (api, _) = api::document::routes().split_for_parts();
    let routes = api.merge(pages::routes::routes());
    ops::around(routes, &server).with_state(server)
}

/// What every handler sees.
pub(crate) struct Server {
    handle: engine::Handle,
    identify: Arc<dyn Identify>,
    base_url: String,
    public_log: bool,
    sessions: session::Sessions,
    tries: session::Tries,
    listeners: Arc<Semaphore>,
    metrics: ops::Metrics,
}

pub(crate) type Shared = Arc<Server>;

impl Server {
    fn is_https(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}
