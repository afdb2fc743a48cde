//! The client: speaks to a server's API, and turns its problems into failures with the right exit code.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::args::Args;
use crate::exit::{ERROR, Failure, INVALID, NOT_FOUND, Outcome, REFUSED, UNREACHABLE};
use crate::place::{Place, read_private};
use crate::visible::in_lines;

/// A server, and the token that lets us in.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// Whether people read what is made of the answers.
    for_people: bool,
}

impl Client {
    /// The server that was named, or the one that runs on this machine.
    pub(crate) fn find(args: &Args) -> Outcome<Self> {
        let place = Place::find(args.dir.as_deref());
        let running = place.as_ref().ok().and_then(Place::running);
        let base = args.server.clone().or(running.map(|r| r.url));
        let base = base.ok_or_else(|| {
            let folder =
                place.as_ref().map_or_else(|_| String::new(), |p| format!(" (looked in `{}`)", p.dir.display()));
            Failure::new(UNREACHABLE, format!("no server is known{folder}"))
                .help("start one with `clearway serve`, or name one with `--server URL`")
        })?;
        let token = match (&args.token_file, &place) {
            (Some(file), _) => Some(read_token(file)?),
            (None, Ok(place)) if args.server.is_none() && place.token().exists() => Some(read_token(&place.token())?),
            _ => None,
        };
        Ok(Self { for_people: !args.json, ..Self::new(&base, token)? })
    }

    pub(crate) fn new(base: &str, token: Option<String>) -> Outcome<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none());
        let http = http.build().map_err(|e| Failure::new(ERROR, format!("the HTTP client can't be made: {e}")))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token, for_people: false })
    }

    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Outcome<Response> {
        let unreachable = |e: reqwest::Error| {
            let why = if e.is_timeout() { "it does not answer".to_owned() } else { root_cause(&e) };
            Failure::new(UNREACHABLE, format!("the server at `{}` can't be reached: {why}", self.base))
                .help("is it running? `clearway serve` starts one here")
        };
        let response = request.send().await.map_err(unreachable)?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    /// The JSON of an API path, such as `/changes/CHG-7`.
    pub(crate) async fn get(&self, path: &str) -> Outcome<Value> {
        let request = self.request(Method::GET, &format!("/api/v1{path}")).timeout(Duration::from_secs(30));
        self.answer(request).await
    }

    async fn answer(&self, request: RequestBuilder) -> Outcome<Value> {
        let answer = read_json(self.send(request).await?).await?;
        Ok(if self.for_people { in_lines(answer) } else { answer })
    }

    /// The text of a path of the server.
    pub(crate) async fn text(&self, path: &str) -> Outcome<String> {
        let response = self.send(self.request(Method::GET, path).timeout(Duration::from_secs(30))).await?;
        response.text().await.map_err(|e| Failure::new(UNREACHABLE, root_cause(&e)))
    }

    /// The bytes of a path, or nothing where there is nothing.
    pub(crate) async fn bytes(&self, path: &str) -> Outcome<Option<Vec<u8>>> {
        let request = self.request(Method::GET, path).timeout(Duration::from_secs(30));
        match self.send(request).await {
            Ok(response) => {
                response.bytes().await.map(|b| Some(b.to_vec())).map_err(|e| Failure::new(UNREACHABLE, root_cause(&e)))
            }
            Err(failure) if failure.code == NOT_FOUND => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Outcome<Value> {
        let request = self.request(Method::POST, &format!("/api/v1{path}")).json(body).timeout(Duration::from_secs(60));
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        self.answer(request).await
    }

    /// The events of a stream, as they come; ends when the server ends it.
    pub(crate) async fn events(&self, path: &str) -> Outcome<impl futures::Stream<Item = Value> + use<>> {
        let request = self.request(Method::GET, &format!("/api/v1{path}")).header("accept", "text/event-stream");
        let bytes = self.send(request).await?.bytes_stream();
        let lines = bytes.scan(Vec::new(), |rest: &mut Vec<u8>, chunk| {
            let Ok(chunk) = chunk else { return futures::future::ready(None) };
            rest.extend_from_slice(&chunk);
            let mut found = Vec::new();
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let data = std::str::from_utf8(&line).ok().and_then(|l| l.strip_prefix("data:"));
                found.extend(data.and_then(|d| serde_json::from_str(d.trim()).ok()));
            }
            futures::future::ready(Some(futures::stream::iter(found)))
        });
        let for_people = self.for_people;
        Ok(lines.flatten().map(move |event| if for_people { in_lines(event) } else { event }))
    }
}

async fn read_json(response: Response) -> Outcome<Value> {
    response
        .json()
        .await
        .map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {}", root_cause(&e))))
}

fn read_token(file: &Path) -> Outcome<String> {
    let bytes = read_private(file)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A problem+json answer as a failure.
async fn problem(response: Response) -> Failure {
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let code = match status {
        StatusCode::UNAUTHORIZED => UNREACHABLE,
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::FORBIDDEN | StatusCode::CONFLICT => REFUSED,
        StatusCode::UNPROCESSABLE_ENTITY => INVALID,
        _ => ERROR,
    };
    let detail = text("detail").or_else(|| text("title")).unwrap_or_else(|| format!("the server answered {status}"));
    let problems = body.get("problems").and_then(Value::as_array).into_iter().flatten();
    let lines: Vec<String> = problems.map(crate::show::problem_line).collect();
    let message = if lines.is_empty() { detail } else { format!("{detail}\n{}", lines.join("\n")) };
    let failure = Failure::new(code, message);
    match text("help") {
        Some(help) => failure.help(help),
        None if status == StatusCode::UNAUTHORIZED => failure.help("name the file of your token with `--token-file`"),
        None => failure,
    }
}
