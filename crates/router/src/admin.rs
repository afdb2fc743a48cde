//! Admin: the way of a weight, and of what others want to know.
//!
//! A new weight is judged by the ledger, made durable, entered, and only then shown to traffic; once that has begun it goes through even if the asker hangs up. One lock orders all of it; traffic never takes it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::config::AdminToken;
use crate::ledger::{Applied, Judged, Ledger, Refusal, Saved, Wish, listed};
use crate::metrics;
use crate::state_file;
use crate::table::{Backend, Ledgers, Table};

/// Room for a thousand versions.
const LONGEST_BODY: usize = 64 << 10;

type Reply = Response<Full<Bytes>>;

#[derive(Debug)]
pub(crate) struct Admin {
    table: Arc<Table>,
    ledgers: Mutex<Ledgers>,
    token: Option<AdminToken>,
    state_file: Option<PathBuf>,
}

/// A backend as the API shows it.
#[derive(Debug, Serialize)]
struct State<'a> {
    name: &'a str,
    revision: u64,
    last_key: Option<&'a str>,
    versions: Vec<VersionState<'a>>,
}

#[derive(Debug, Serialize)]
struct VersionState<'a> {
    name: &'a str,
    address: &'a str,
    weight: u32,
}

/// Why the API refused; each answers `{"error": ...}`.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error(
        "no page `{0}`; there are `/backends`, `/backends/NAME`, `/backends/NAME/weights`, `/backends/NAME/applied`, `/metrics`, `/healthz`"
    )]
    NoPage(String),
    #[error("`{path}` is asked for with {allow}")]
    Method { path: String, allow: &'static str },
    #[error("weights are set with the admin token; send it as `Authorization: Bearer ...`")]
    Token,
    #[error("no backend `{name}`; known are {known}")]
    NoBackend { name: String, known: String },
    #[error("cannot read the body: {0}")]
    Body(String),
    #[error("the weights were not applied: cannot write the state file `{}`: {source}", path.display())]
    NotDurable { path: PathBuf, source: io::Error },
    #[error("the weights may not have been applied: read the state again")]
    Interrupted,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AdminError {
    fn status(&self) -> StatusCode {
        match self {
            AdminError::NoPage(_) | AdminError::NoBackend { .. } => StatusCode::NOT_FOUND,
            AdminError::Refused(Refusal::UnknownVersion { .. }) => StatusCode::NOT_FOUND,
            AdminError::Refused(Refusal::Conflict { .. }) => StatusCode::CONFLICT,
            AdminError::Refused(_) | AdminError::Body(_) => StatusCode::BAD_REQUEST,
            AdminError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            AdminError::Token => StatusCode::UNAUTHORIZED,
            AdminError::NotDurable { .. } | AdminError::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn reply(&self) -> Reply {
        let mut reply = json(self.status(), &serde_json::json!({ "error": self.to_string() }));
        match self {
            AdminError::Method { allow, .. } => {
                reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow))
            }
            AdminError::Token => {
                reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            _ => None,
        };
        reply
    }
}

impl Admin {
    pub(crate) fn new(
        table: Arc<Table>,
        ledgers: Ledgers,
        token: Option<AdminToken>,
        state_file: Option<PathBuf>,
    ) -> Admin {
        Admin { table, ledgers: Mutex::new(ledgers), token, state_file }
    }

    pub(crate) async fn answer(self: Arc<Admin>, request: Request<Incoming>) -> Reply {
        self.page(request).await.unwrap_or_else(|error| error.reply())
    }

    async fn page(self: Arc<Admin>, request: Request<Incoming>) -> Result<Reply, AdminError> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let allow = match parts[..] {
            ["healthz" | "metrics" | "backends"] | ["backends", _] | ["backends", _, "applied"] => "GET",
            ["backends", _, "weights"] => "PUT",
            _ => return Err(AdminError::NoPage(path)),
        };
        if request.method() != allow {
            return Err(AdminError::Method { path, allow });
        }
        match parts[..] {
            ["healthz"] => Ok(text("text/plain; charset=utf-8", "ok\n")),
            ["metrics"] => Ok(text(metrics::CONTENT_TYPE, self.table.metrics.text())),
            ["backends", name, "weights"] => self.clone().put_weights(name.to_owned(), request).await,
            ["backends", name, _] => self.applied(name).await,
            ["backends", name] => self.one(name).await,
            _ => Ok(self.all().await),
        }
    }

    async fn all(&self) -> Reply {
        let ledgers = self.ledgers.lock().await;
        let states: Vec<State<'_>> =
            ledgers.iter().filter_map(|(name, ledger)| Some(state(self.table.named(name)?, ledger))).collect();
        json(StatusCode::OK, &states)
    }

    async fn one(&self, name: &str) -> Result<Reply, AdminError> {
        let ledgers = self.ledgers.lock().await;
        let (backend, ledger) = self.named(&ledgers, name)?;
        Ok(json(StatusCode::OK, &state(backend, ledger)))
    }

    async fn applied(&self, name: &str) -> Result<Reply, AdminError> {
        let ledgers = self.ledgers.lock().await;
        let (_, ledger) = self.named(&ledgers, name)?;
        Ok(json(StatusCode::OK, ledger.applied()))
    }

    async fn put_weights(self: Arc<Admin>, name: String, request: Request<Incoming>) -> Result<Reply, AdminError> {
        self.authorise(&request)?;
        let wish = read_wish(request).await?;
        // A task of its own, since this one is dropped when the asker hangs up: between file and table there is no way out.
        tokio::spawn(async move { self.set_weights(&name, wish).await }).await.map_err(|_| AdminError::Interrupted)?
    }

    fn authorise(&self, request: &Request<Incoming>) -> Result<(), AdminError> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given.and_then(|value| value.split_once(' ')) {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") && token.is(secret.trim()) => Ok(()),
            _ => Err(AdminError::Token),
        }
    }

    async fn set_weights(&self, name: &str, wish: Wish) -> Result<Reply, AdminError> {
        let mut ledgers = self.ledgers.lock().await;
        let (backend, ledger) = self.named(&ledgers, name)?;
        match ledger.judge(wish) {
            Ok(Judged::Unchanged) => Ok(json(StatusCode::OK, &state(backend, ledger))),
            Ok(Judged::Next(next)) => {
                self.make_durable(&ledgers, name, &next).await?;
                backend.apply(&next.weights);
                tracing::info!(backend = name, revision = next.revision, key = next.key, weights = ?next.weights, "weights applied");
                let ledger = ledgers.get_mut(name).expect("was found above, under the same lock");
                ledger.enter(next);
                Ok(json(StatusCode::OK, &state(backend, ledger)))
            }
            Err(refusal) => Ok(refused(refusal, &state(backend, ledger))),
        }
    }

    async fn make_durable(&self, ledgers: &Ledgers, name: &str, next: &Applied) -> Result<(), AdminError> {
        let Some(path) = self.state_file.clone() else { return Ok(()) };
        let mut states: BTreeMap<String, Saved> =
            ledgers.iter().map(|(name, ledger)| (name.clone(), ledger.in_force().clone())).collect();
        states.insert(name.to_owned(), Ledger::after(next));
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || state_file::write(&target, &states)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(AdminError::NotDurable { path, source }),
            Err(_) => Err(AdminError::Interrupted),
        }
    }

    fn named<'t, 'l>(&'t self, ledgers: &'l Ledgers, name: &str) -> Result<(&'t Backend, &'l Ledger), AdminError> {
        self.table
            .named(name)
            .zip(ledgers.get(name))
            .ok_or_else(|| AdminError::NoBackend { name: name.to_owned(), known: listed(ledgers.keys()) })
    }
}

async fn read_wish(request: Request<Incoming>) -> Result<Wish, AdminError> {
    let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
    let body = body.map_err(|error| AdminError::Body(error.to_string()))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| AdminError::Body(error.to_string()))
}

/// A conflict shows the state in force beside the error, so that the asker can decide anew without another look.
fn refused(refusal: Refusal, state: &State<'_>) -> Reply {
    #[derive(Serialize)]
    struct Conflict<'a> {
        error: String,
        #[serde(flatten)]
        state: &'a State<'a>,
    }
    match refusal {
        Refusal::Conflict { .. } => json(StatusCode::CONFLICT, &Conflict { error: refusal.to_string(), state }),
        _ => AdminError::Refused(refusal).reply(),
    }
}

fn state<'a>(backend: &'a Backend, ledger: &'a Ledger) -> State<'a> {
    let in_force = ledger.in_force();
    let versions = backend.versions().map(|version| VersionState {
        name: &version.name,
        address: version.pool.address(),
        weight: in_force.weights[&version.name],
    });
    State {
        name: &backend.name,
        revision: in_force.revision,
        last_key: in_force.last_key.as_deref(),
        versions: versions.collect(),
    }
}

fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Reply {
    let text = serde_json::to_string(value).expect("plain values are JSON");
    let mut reply = self::text("application/json", text);
    *reply.status_mut() = status;
    reply
}

fn text(kind: &'static str, text: impl Into<Cow<'static, str>>) -> Reply {
    let bytes = match text.into() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let mut reply = Response::new(Full::new(bytes));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
