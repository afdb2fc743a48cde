//! Load: users of the shop, as many as asked for.
//!
//! Open loop: requests fall due by the clock, whether or not earlier ones were answered, so that a slow version does not slow its own traffic down. What would exceed the bound of requests in flight is dropped and counted, never queued. The generator judges nothing; it sends and counts.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// At 1,000 requests per second this sends five at a time: few wake-ups, and bursts far smaller than a pool of connections.
const TICK: Duration = Duration::from_millis(5);

/// A connection that could not be opened is not tried again at once.
const AFTER_A_FAULT: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub struct LoadConfig {
    pub address: SocketAddr,
    /// Value of the header `Host`.
    pub host: String,
    /// Asked for in turn.
    pub paths: Vec<String>,
    /// Requests per second.
    pub rate: f64,
    /// Keep-alive connections; each carries one request at a time.
    pub connections: usize,
    /// Requests due but not answered, at most; at least `connections`. What falls due beyond is dropped.
    pub max_in_flight: usize,
    /// Requests sent altogether, at most.
    pub total: Option<u64>,
    /// A request without its whole answer by then is an error.
    pub timeout: Duration,
    /// Can be read by others at any time.
    pub counts: Arc<Counts>,
}

impl LoadConfig {
    /// The shop's three pages over 16 connections until cancelled.
    pub fn new(address: SocketAddr, rate: f64) -> LoadConfig {
        LoadConfig {
            address,
            host: address.to_string(),
            paths: ["/", "/cart", "/checkout"].map(str::to_owned).to_vec(),
            rate,
            connections: 16,
            max_in_flight: 64,
            total: None,
            timeout: Duration::from_secs(5),
            counts: Arc::default(),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.rate > 0.0 && self.rate <= 100_000.0, "`rate` is `{}`; it is above 0, at most 100000", self.rate);
        ensure!(self.connections > 0, "`connections` is `0`; it is at least 1");
        ensure!(self.max_in_flight >= self.connections, "`max_in_flight` is less than `connections`");
        ensure!(!self.paths.is_empty(), "no path to ask for; give at least one");
        Ok(())
    }
}

/// What became of the requests so far. `sent` counts those begun; each ends as `ok` or as an error.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    ok: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
}

/// [`Counts`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent: u64,
    /// Answered in whole with a status below 400.
    pub ok: u64,
    /// Answered with 400 or more, broken off, refused or too late.
    pub errors: u64,
    /// Fell due while too many were in flight.
    pub dropped: u64,
}

impl Counts {
    pub fn tally(&self) -> Tally {
        Tally {
            sent: self.sent.load(Ordering::Relaxed),
            ok: self.ok.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// Sends until `shutdown` resolves or the total is reached, waits for the answers still due, and returns the tally.
pub async fn run(config: LoadConfig, shutdown: impl Future<Output = ()>) -> anyhow::Result<Tally> {
    config.check()?;
    let counts = Arc::clone(&config.counts);
    let before = counts.tally();
    let crew = Arc::new(Crew::new(config)?);
    let mut workers = JoinSet::new();
    for first in 0..crew.connections {
        workers.spawn(Arc::clone(&crew).work(first));
    }
    tokio::select! {
        () = crew.send_all() => {}
        () = shutdown => {}
    }
    // What is due but not begun stays unsent; what was begun is waited for.
    crew.due.close();
    while workers.join_next().await.is_some() {}
    let after = counts.tally();
    Ok(Tally {
        sent: after.sent - before.sent,
        ok: after.ok - before.ok,
        errors: after.errors - before.errors,
        dropped: after.dropped - before.dropped,
    })
}

/// The clock and its workers. A permit of `due` is a request that has fallen due; a worker that takes it sends it.
struct Crew {
    due: Semaphore,
    in_flight: AtomicU64,
    address: SocketAddr,
    host: HeaderValue,
    paths: Vec<Uri>,
    connections: usize,
    rate: f64,
    most_in_flight: u64,
    total: u64,
    timeout: Duration,
    counts: Arc<Counts>,
}

impl Crew {
    fn new(config: LoadConfig) -> anyhow::Result<Crew> {
        let parse = |path: &String| path.parse::<Uri>().with_context(|| format!("`{path}` is not a path"));
        Ok(Crew {
            due: Semaphore::new(0),
            in_flight: AtomicU64::new(0),
            address: config.address,
            host: HeaderValue::from_str(&config.host).context("the host is not a header value")?,
            paths: config.paths.iter().map(parse).collect::<anyhow::Result<_>>()?,
            connections: config.connections,
            rate: config.rate,
            most_in_flight: config.max_in_flight as u64,
            total: config.total.unwrap_or(u64::MAX),
            timeout: config.timeout,
            counts: config.counts,
        })
    }

    /// Ends when the total was sent and answered; each answer has its time limit.
    async fn send_all(&self) {
        self.pace().await;
        while self.in_flight.load(Ordering::Acquire) > 0 {
            sleep(TICK).await;
        }
    }

    /// Lets requests fall due until the total is reached.
    async fn pace(&self) {
        let begun = Instant::now();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut fallen_due, mut begun_requests) = (0, 0);
        while begun_requests < self.total {
            ticks.tick().await;
            let due_by_now = (begun.elapsed().as_secs_f64() * self.rate) as u64;
            let due = (due_by_now - fallen_due).min(self.total - begun_requests);
            fallen_due = due_by_now;
            begun_requests += self.admit(due);
        }
    }

    /// Hands out as many of `due` as there is room for in flight and drops the rest.
    fn admit(&self, due: u64) -> u64 {
        let room = self.most_in_flight - self.in_flight.load(Ordering::Acquire);
        let admitted = due.min(room);
        self.in_flight.fetch_add(admitted, Ordering::AcqRel);
        self.counts.dropped.fetch_add(due - admitted, Ordering::Relaxed);
        self.due.add_permits(usize::try_from(admitted).expect("bounded by `max_in_flight`"));
        admitted
    }

    /// One connection's life: takes what is due, sends it, reads the answer.
    async fn work(self: Arc<Crew>, first: usize) {
        let mut paths = self.paths.iter().cycle().skip(first % self.paths.len());
        let mut connection = None;
        while let Ok(permit) = self.due.acquire().await {
            permit.forget();
            let path = paths.next().expect("a cycle does not end");
            self.counts.sent.fetch_add(1, Ordering::Relaxed);
            let answered = timeout(self.timeout, self.ask(&mut connection, path)).await;
            let outcome = answered.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
            if let Err(error) = &outcome {
                tracing::debug!(%error, "a request failed");
                connection = None;
            }
            let counter = if matches!(outcome, Ok(true)) { &self.counts.ok } else { &self.counts.errors };
            counter.fetch_add(1, Ordering::Relaxed);
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether the answer was a good one. An error leaves the connection unusable.
    async fn ask(&self, connection: &mut Option<SendRequest<Empty<Bytes>>>, path: &Uri) -> anyhow::Result<bool> {
        let mut sender = match reusable(connection.take()).await {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::new(Empty::new());
        request.uri_mut().clone_from(path);
        request.headers_mut().insert(header::HOST, self.host.clone());
        let response = sender.send_request(request).await?;
        let is_good = response.status().as_u16() < 400;
        let mut body = response.into_body();
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            frame?;
        }
        *connection = Some(sender);
        Ok(is_good)
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = match TcpStream::connect(self.address).await {
            Ok(stream) => stream,
            Err(error) => {
                sleep(AFTER_A_FAULT).await;
                return Err(error.into());
            }
        };
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Ends with its sender; its errors reach the request that it carries.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// The connection once it is ready, or nothing if the other end closed it.
async fn reusable<B>(connection: Option<SendRequest<B>>) -> Option<SendRequest<B>> {
    let mut sender = connection?;
    sender.ready().await.ok()?;
    Some(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::{self, Behaviour, ShopConfig};
    use tokio::task::JoinHandle;

    struct Open {
        address: SocketAddr,
        task: JoinHandle<()>,
    }

    impl Drop for Open {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn open(median_ms: f64, error_ratio: f64) -> Open {
        let behaviour = Behaviour { median_ms, sigma: 0.0, error_ratio, slowdown: 1.0 };
        let config = ShopConfig { listen: ([127, 0, 0, 1], 0).into(), version: "v1".into(), behaviour, seed: 1 };
        let shop = shop::bind(config).await.unwrap();
        Open { address: shop.address(), task: tokio::spawn(shop.run(std::future::pending())) }
    }

    /// More in flight than these tests ever have due, so that a busy machine drops nothing.
    fn patient(address: SocketAddr, rate: f64) -> LoadConfig {
        LoadConfig { max_in_flight: 100_000, timeout: Duration::from_secs(30), ..LoadConfig::new(address, rate) }
    }

    #[tokio::test]
    async fn a_total_is_sent_exactly_and_at_the_rate() {
        let shop = open(0.0, 0.0).await;
        let config = LoadConfig { total: Some(300), ..patient(shop.address, 1_000.0) };
        let begun = Instant::now();
        let tally = run(config, std::future::pending()).await.unwrap();
        assert_eq!(tally, Tally { sent: 300, ok: 300, errors: 0, dropped: 0 });
        assert!(begun.elapsed() >= Duration::from_millis(295), "faster than the rate");
    }

    #[tokio::test]
    async fn it_sends_until_cancelled_and_counts_as_it_goes() {
        let shop = open(1.0, 0.0).await;
        let config = patient(shop.address, 500.0);
        let counts = Arc::clone(&config.counts);
        let watched = Arc::clone(&counts);
        let enough = async move {
            while watched.tally().ok < 50 {
                sleep(TICK).await;
            }
        };
        let tally = run(config, enough).await.unwrap();
        assert!(tally.sent >= 50 && tally.ok == tally.sent && tally.errors == 0, "{tally:?}");
        assert_eq!(counts.tally(), tally);
    }

    #[tokio::test]
    async fn answers_of_500_are_errors() {
        let shop = open(0.0, 1.0).await;
        let config = LoadConfig { total: Some(20), ..patient(shop.address, 1_000.0) };
        let tally = run(config, std::future::pending()).await.unwrap();
        assert_eq!(tally, Tally { sent: 20, ok: 0, errors: 20, dropped: 0 });
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_makes_errors_and_no_panic() {
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let config = LoadConfig { total: Some(20), ..patient(held.local_addr().unwrap(), 1_000.0) };
        let tally = run(config, std::future::pending()).await.unwrap();
        assert_eq!(tally, Tally { sent: 20, ok: 0, errors: 20, dropped: 0 });
    }

    #[tokio::test]
    async fn what_exceeds_the_bound_in_flight_is_dropped_not_queued() {
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = LoadConfig::new(mute.local_addr().unwrap(), 2_000.0);
        (config.connections, config.max_in_flight, config.timeout) = (2, 3, Duration::from_millis(100));
        let counts = Arc::clone(&config.counts);
        let dropping = async move {
            while counts.tally().dropped < 100 {
                sleep(TICK).await;
            }
            assert!(counts.tally().sent <= 3 * 20, "{:?}", counts.tally());
        };
        let tally = run(config, dropping).await.unwrap();
        assert_eq!((tally.ok, tally.errors), (0, tally.sent));
    }

    #[tokio::test]
    async fn a_slow_service_does_not_slow_the_load() {
        let shop = open(100.0, 0.0).await;
        let config = LoadConfig { connections: 64, total: Some(200), ..patient(shop.address, 400.0) };
        let begun = Instant::now();
        let tally = run(config, std::future::pending()).await.unwrap();
        assert_eq!(tally.ok, 200);
        // One after the other over one connection would take 20 s; 64 side by side take 0.5 s and one answer.
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_load_that_makes_no_sense_is_refused() {
        let address = ([127, 0, 0, 1], 9).into();
        for (config, reason) in [
            (LoadConfig::new(address, 0.0), "`rate` is `0`; it is above 0, at most 100000"),
            (LoadConfig { paths: vec![], ..LoadConfig::new(address, 1.0) }, "no path to ask for; give at least one"),
            (LoadConfig { connections: 0, ..LoadConfig::new(address, 1.0) }, "`connections` is `0`; it is at least 1"),
        ] {
            assert_eq!(run(config, std::future::pending()).await.unwrap_err().to_string(), reason);
        }
    }
}
