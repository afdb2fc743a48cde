//! Proxy: the way of a request, from a client to a version and back.
//!
//! A request that the split gave to a version is answered by it, or its failure is answered and counted against it; it is never moved to another version, since a verdict must see the truth. Bodies are streamed both ways.
//!
//! What is counted: one request per pick, with the status that the client saw. A client that leaves before its answer began counts as 4xx (499, as nginx has it); an answer that breaks off counts as 5xx.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version as Protocol};

use crate::pool::{Age, Lent};
use crate::table::{Backend, RequestLimits, Table, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const VERSION: HeaderName = HeaderName::from_static("x-clearway-version");

/// RFC 9110 section 7.6.1, and what older software sends beside it.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A connection that rested less than this was not closed for idleness: then a failure is the version's own, and is told.
const MAY_BE_STALE: Duration = Duration::from_secs(1);

pub(crate) type Answer = Either<Full<Bytes>, Relayed>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The proxy as one client's connection sees it.
#[derive(Debug)]
pub(crate) struct Ingress {
    table: Arc<Table>,
    peer: HeaderValue,
}

impl Ingress {
    pub(crate) fn new(table: Arc<Table>, peer: SocketAddr) -> Ingress {
        let peer = HeaderValue::from_str(&peer.ip().to_canonical().to_string()).expect("an address is plain text");
        Ingress { table, peer }
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let version = match self.place(&request) {
            Ok(backend) => Arc::clone(backend.next()),
            Err(refusal) => {
                self.table.metrics.count_unrouted();
                return told(refusal.status(), &refusal.to_string());
            }
        };
        let mut flight = Flight::begin(version);
        let outcome = exchange(&flight.version, self.outbound(request), self.table.limits.answer).await;
        let mut response = match outcome {
            Ok((answer, sender)) => relayed(answer, sender, &mut flight),
            Err(failure) => {
                tracing::debug!(version = flight.version.name, %failure, "a request failed");
                told(failure.status(), &format!("version `{}`: {failure}", flight.version.name))
            }
        };
        flight.status = response.status();
        if let Some(label) = &flight.version.label {
            response.headers_mut().insert(VERSION, label.clone());
        }
        if let Either::Right(body) = response.body_mut() {
            body.carry(flight);
        }
        response
    }

    /// The backend that a request belongs to. What is refused here is given to no version, so it does not disturb the split.
    fn place(&self, request: &Request<Incoming>) -> Result<&Backend, Misplaced> {
        if request.method() == Method::CONNECT {
            return Err(Misplaced::Tunnel);
        }
        if request.body().size_hint().lower() > self.table.limits.body_bytes {
            return Err(Misplaced::TooLarge { most: self.table.limits.body_bytes });
        }
        let host = host_of(request).unwrap_or("");
        let path = request.uri().path();
        self.table
            .route(host, path)
            .ok_or_else(|| Misplaced::NoBackend { host: host.to_owned(), path: path.to_owned() })
    }

    /// The request as the version shall see it.
    fn outbound(&self, request: Request<Incoming>) -> Request<Upload> {
        let (mut head, body) = request.into_parts();
        head.version = Protocol::HTTP_11;
        strip_hop_by_hop(&mut head.headers);
        // Our own server has answered `100 Continue` by the time the body is read.
        head.headers.remove(header::EXPECT);
        if let Some(authority) = head.uri.authority() {
            // RFC 9112 section 3.2.2: the absolute form overrules `Host`.
            if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                head.headers.insert(header::HOST, host);
            }
            head.uri = head.uri.path_and_query().map_or(Uri::from_static("/"), |path| Uri::from(path.clone()));
        }
        self.add_forwarded(&mut head.headers);
        Request::from_parts(head, Upload::new(body, self.table.limits))
    }

    fn add_forwarded(&self, headers: &mut HeaderMap) {
        let chain = match headers.get(FORWARDED_FOR) {
            None => self.peer.clone(),
            Some(_) => chained(headers, &self.peer),
        };
        headers.insert(FORWARDED_FOR, chain);
        if !headers.contains_key(FORWARDED_PROTO) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
        }
        if let Some(host) = headers.get(header::HOST).filter(|_| !headers.contains_key(FORWARDED_HOST)).cloned() {
            headers.insert(FORWARDED_HOST, host);
        }
    }
}

fn chained(headers: &HeaderMap, peer: &HeaderValue) -> HeaderValue {
    let hops: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().chain([peer]).map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&hops.join(&b", "[..])).expect("values joined by a comma are a value")
}

/// Host without port, from the target if it is absolute, else from the header.
fn host_of(request: &Request<Incoming>) -> Option<&str> {
    if let Some(host) = request.uri().host() {
        return Some(host);
    }
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

/// Removes what concerns one connection only: the known names, and those that `Connection` lists.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let listed: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // Without these two the message itself would be another one.
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in listed {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Sends `request` to `version`. It is sent a second time, to the same version on a new connection, only if it could not have been acted upon: it was never written; or it can be repeated, and its connection had rested so long that it was closed for idleness.
async fn exchange(
    version: &Version,
    request: Request<Upload>,
    limit: Duration,
) -> Result<(Response<Incoming>, SendRequest<Upload>), Failure> {
    let progress = request.body().progress.clone();
    let Lent { mut sender, age } = version.pool.lend().await.map_err(Failure::Unreachable)?;
    let spare = repeatable(&request, age);
    let mut fault = match within(limit, progress.as_deref(), sender.try_send_request(request)).await? {
        Ok(answer) => return Ok((answer, sender)),
        Err(fault) => fault,
    };
    let unwritten = if age == Age::Fresh { None } else { fault.take_message() };
    let Some(again) = unwritten.or_else(|| spare.filter(|_| !fault.error().is_parse())) else {
        return Err(Failure::broken(fault.into_error(), progress.as_deref()));
    };
    version.series.reconnects.inc();
    let Lent { mut sender, .. } = version.pool.connect().await.map_err(Failure::Unreachable)?;
    match within(limit, progress.as_deref(), sender.send_request(again)).await? {
        Ok(answer) => Ok((answer, sender)),
        Err(error) => Err(Failure::broken(error, progress.as_deref())),
    }
}

fn repeatable(request: &Request<Upload>, age: Age) -> Option<Request<Upload>> {
    let stale = matches!(age, Age::Idle(rest) if rest >= MAY_BE_STALE);
    if !(stale && request.method().is_idempotent() && request.body().is_end_stream()) {
        return None;
    }
    let (mut head, ()) = Request::new(()).into_parts();
    let Parts { method, uri, version, headers, .. } = &mut head;
    method.clone_from(request.method());
    uri.clone_from(request.uri());
    headers.clone_from(request.headers());
    *version = request.version();
    Some(Request::from_parts(head, Upload::default()))
}

/// Waits for an answer to begin. The limit starts anew whenever the version takes a part of the request's body.
async fn within<T>(
    limit: Duration,
    progress: Option<&Progress>,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    let Some(progress) = progress else {
        return tokio::time::timeout(limit, answer).await.map_err(|_| Failure::Silent { limit });
    };
    let mut answer = pin!(answer);
    let mut rest = limit;
    loop {
        if let Ok(answer) = tokio::time::timeout(rest, &mut answer).await {
            return Ok(answer);
        }
        rest = limit.saturating_sub(progress.stood_still());
        if rest.is_zero() {
            return Err(if progress.is(AWAITS_CLIENT) {
                Failure::Stalled { limit }
            } else {
                Failure::Silent { limit }
            });
        }
    }
}

fn relayed(answer: Response<Incoming>, sender: SendRequest<Upload>, flight: &mut Flight) -> Response<Answer> {
    let (mut head, body) = answer.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.version = Protocol::HTTP_11;
    flight.sender = Some(sender);
    Response::from_parts(head, Either::Right(Relayed { body, flight: None }))
}

/// An answer of our own.
fn told(status: StatusCode, error: &str) -> Response<Answer> {
    let text = serde_json::json!({ "error": error }).to_string();
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Why a request was given to no version.
#[derive(Debug, thiserror::Error)]
enum Misplaced {
    #[error("no backend serves `{path}` at host `{host}`")]
    NoBackend { host: String, path: String },
    #[error("the body is longer than `{most}` bytes")]
    TooLarge { most: u64 },
    #[error("this proxy opens no tunnels")]
    Tunnel,
}

impl Misplaced {
    fn status(&self) -> StatusCode {
        match self {
            Misplaced::NoBackend { .. } => StatusCode::NOT_FOUND,
            Misplaced::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Misplaced::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// Why a version gave no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot connect: {0}")]
    Unreachable(std::io::Error),
    #[error("no answer within {} ms", limit.as_millis())]
    Silent { limit: Duration },
    #[error("the connection broke before the answer: {0}")]
    Broken(hyper::Error),
    #[error("the client sent nothing of its body for {} ms", limit.as_millis())]
    Stalled { limit: Duration },
    #[error("the client broke off within its body")]
    BrokenOff,
    #[error("the body is longer than this proxy forwards")]
    TooLarge,
}

impl Failure {
    /// Tells whose fault it is when an exchange breaks.
    fn broken(error: hyper::Error, progress: Option<&Progress>) -> Failure {
        match progress {
            Some(progress) if progress.is(TOO_LARGE) => Failure::TooLarge,
            Some(progress) if progress.is(BROKEN_OFF) => Failure::BrokenOff,
            _ => Failure::Broken(error),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Failure::Unreachable(_) | Failure::Broken(_) => StatusCode::BAD_GATEWAY,
            Failure::Silent { .. } => StatusCode::GATEWAY_TIMEOUT,
            Failure::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Failure::BrokenOff => StatusCode::BAD_REQUEST,
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A request that a version has not finished. Counted when dropped, so exactly once on every path.
#[derive(Debug)]
struct Flight {
    version: Arc<Version>,
    begun: Instant,
    status: StatusCode,
    sender: Option<SendRequest<Upload>>,
}

impl Flight {
    fn begin(version: Arc<Version>) -> Flight {
        version.series.in_flight.inc();
        let left = StatusCode::from_u16(499).expect("499 is in range");
        Flight { version, begun: Instant::now(), status: left, sender: None }
    }

    /// The answer was read to the end: its connection can carry another.
    fn land(mut self) {
        if let Some(sender) = self.sender.take() {
            self.version.pool.take_back(sender);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.version.series.in_flight.dec();
        self.version.series.count(self.status, self.begun.elapsed());
    }
}

/// The body of an answer on its way to the client.
#[derive(Debug)]
pub(crate) struct Relayed {
    body: Incoming,
    flight: Option<Flight>,
}

impl Relayed {
    fn carry(&mut self, flight: Flight) {
        self.flight = Some(flight);
        self.land_at_end();
    }

    /// Counts before the last bytes go out, so that a client who has its whole answer also finds it counted.
    fn land_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(flight) = self.flight.take()
        {
            flight.land();
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.land_at_end(),
            Some(Err(_)) => {
                if let Some(mut flight) = self.flight.take() {
                    flight.status = StatusCode::BAD_GATEWAY;
                }
            }
            None => {
                if let Some(flight) = self.flight.take() {
                    flight.land();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request on its way to a version; none for most.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    room: u64,
    progress: Option<Arc<Progress>>,
}

/// Where an upload stands, shared with whoever waits for the answer.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    moved_ms: AtomicU64,
    state: AtomicU8,
}

const AWAITS_VERSION: u8 = 0;
const AWAITS_CLIENT: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN_OFF: u8 = 3;

impl Progress {
    fn begin() -> Progress {
        Progress { begun: Instant::now(), moved_ms: AtomicU64::new(0), state: AtomicU8::new(AWAITS_VERSION) }
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) == state
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }

    fn moved(&self) {
        self.moved_ms.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.set(AWAITS_VERSION);
    }

    fn stood_still(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)))
    }
}

impl Upload {
    fn new(body: Incoming, limits: RequestLimits) -> Upload {
        if body.is_end_stream() {
            return Upload::default();
        }
        Upload { body: Some(body), room: limits.body_bytes, progress: Some(Arc::new(Progress::begin())) }
    }

    fn tell(&self, state: u8) {
        if let Some(progress) = &self.progress {
            progress.set(state);
        }
    }

    fn admit(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.room.checked_sub(length) {
            Some(room) => {
                self.room = room;
                self.progress.iter().for_each(|progress| progress.moved());
                Ok(frame)
            }
            None => {
                self.tell(TOO_LARGE);
                Err(Failure::TooLarge.into())
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => {
                self.tell(AWAITS_CLIENT);
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.tell(AWAITS_VERSION);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.tell(BROKEN_OFF);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.admit(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
