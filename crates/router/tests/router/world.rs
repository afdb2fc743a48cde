//! A small world around one router: versions that behave as told, clients that forgive nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use router::{Addresses, Backend, Config, Route, Version};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) const NOWHERE: &str = "127.0.0.1:0";

pub(crate) type Sendable = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: impl Into<Bytes>) -> Sendable {
    Full::new(text.into()).boxed()
}

/// A version; it ends with the test.
pub(crate) struct Upstream {
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(crate) async fn start<B, F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Upstream
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
    {
        Upstream::raw(move |stream| {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            async move { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) }
        })
        .await
    }

    /// Answers every request with `text`.
    pub(crate) async fn saying(text: &'static str) -> Upstream {
        Upstream::start(move |_| async move { Response::new(full(text)) }).await
    }

    /// Handles each connection byte by byte.
    pub(crate) async fn raw<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Upstream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(NOWHERE).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(handle(stream));
            }
        });
        Upstream { address, task }
    }

    /// An address at which nobody listens, and the socket that keeps it so.
    pub(crate) fn dead() -> (String, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(NOWHERE.parse().unwrap()).unwrap();
        (socket.local_addr().unwrap().to_string(), socket)
    }
}

/// Reads one request head from a raw connection.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

pub(crate) fn backend(name: &str, versions: &[(&str, &str, u32)]) -> Backend {
    let version = |&(name, address, weight): &(&str, &str, u32)| Version {
        name: name.to_owned(),
        address: address.to_owned(),
        weight,
    };
    Backend { name: name.to_owned(), versions: versions.iter().map(version).collect(), route: Route::default() }
}

pub(crate) fn config(backends: Vec<Backend>) -> Config {
    Config::new(NOWHERE.parse().unwrap(), NOWHERE.parse().unwrap(), backends)
}

/// The backend `shop` with the given versions.
pub(crate) fn shop(versions: &[(&str, &str, u32)]) -> Config {
    config(vec![backend("shop", versions)])
}

pub(crate) struct Running {
    pub(crate) at: Addresses,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Running {
        let router = router::bind(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let at = router.addresses();
        let task = tokio::spawn(router.run(async move {
            let _ = stopped.await;
        }));
        Running { at, stop, task }
    }

    /// Asks it to stop; the result is the run itself.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.task
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        call(self.at.listen, "GET", path, "").await
    }

    pub(crate) async fn admin(&self, path: &str) -> Reply {
        call(self.at.admin, "GET", path, "").await
    }

    pub(crate) async fn put(&self, body: &str) -> Reply {
        call(self.at.admin, "PUT", "/backends/shop/weights", body).await
    }

    pub(crate) async fn metrics(&self) -> Samples {
        samples(&self.admin("/metrics").await.text())
    }

    /// Requests counted for a version of `shop` in a class.
    pub(crate) async fn counted(&self, version: &str, class: &str) -> f64 {
        let name = format!("clearway_router_requests_total{{backend=\"shop\",code=\"{class}\",version=\"{version}\"}}");
        self.metrics().await[&name]
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One keep-alive connection. It never opens a second one: a connection that the router closes fails the test.
pub(crate) struct Client {
    sender: SendRequest<Sendable>,
    host: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client { sender, host: address.to_string() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let request = Request::get(path).header("host", &self.host).body(full("")).unwrap();
        self.send(request).await.unwrap()
    }

    pub(crate) async fn send(&mut self, request: Request<Sendable>) -> hyper::Result<Reply> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }
}

pub(crate) async fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).header("host", "test.example");
    let request = request.body(full(body.to_owned())).unwrap();
    Client::connect(address).await.send(request).await.unwrap()
}

/// Series name with its labels in alphabetical order -> value.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Parses OpenMetrics text, strictly enough to refuse what a scraper would.
pub(crate) fn samples(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("ends with `# EOF`");
    let mut samples = Samples::new();
    for line in body.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').expect("series and value");
        let series = match series.split_once('{') {
            None => series.to_owned(),
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').expect("labels end");
                let mut labels: Vec<&str> = labels.split(',').collect();
                assert!(labels.iter().all(|label| label.contains("=\"") && label.ends_with('"')), "{line}");
                labels.sort_unstable();
                format!("{name}{{{}}}", labels.join(","))
            }
        };
        assert!(samples.insert(series, value.parse().expect("a number")).is_none(), "twice: {line}");
    }
    samples
}

/// Awaits a condition that others bring about.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
