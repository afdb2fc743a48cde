//! Shop: a small web shop that really runs, so that there is something to change.
//!
//! One process is one version: it answers three pages with a latency and an error ratio of its own, and measures both itself, as an instrumented service would. It knows nothing of weights, changes or verdicts. Next room: [`load`](crate::load).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use tokio::net::TcpListener;

/// Seconds: the router's edges up to the longest latency that a demo waits for.
const EDGES: [f64; 22] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1,
    0.15, 0.25, 0.5, 1.0, 2.5,
];

/// No answer is slower than this, whatever the draw: a demo must not hang on the tail of a distribution.
const SLOWEST: Duration = Duration::from_millis(2_500);

/// How long requests in flight may go on after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopConfig {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The value of the label `version`, and of the field in each answer.
    pub version: String,
    #[serde(default)]
    pub behaviour: Behaviour,
    /// Equal seeds draw equal latencies and errors, in the order of the requests.
    #[serde(default)]
    pub seed: u64,
}

/// How a version behaves. Latency is lognormal, as measured services are.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Half of the requests take less, before the slowdown.
    pub median_ms: f64,
    /// Of the logarithm: 0 makes every request take the median.
    pub sigma: f64,
    /// 0 to 1: this share is answered with 500.
    pub error_ratio: f64,
    /// Every latency is multiplied by this.
    pub slowdown: f64,
}

/// A behaviour with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    Good,
    /// 1.6 times the latency.
    Slow,
    /// 8 % errors.
    Failing,
}

impl Preset {
    pub const ALL: [Preset; 3] = [Preset::Good, Preset::Slow, Preset::Failing];
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Good => "good",
            Preset::Slow => "slow",
            Preset::Failing => "failing",
        })
    }
}

impl FromStr for Preset {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Preset> {
        match Preset::ALL.into_iter().find(|preset| preset.to_string() == name) {
            Some(preset) => Ok(preset),
            None => bail!("no behaviour `{name}`; there are `good`, `slow`, `failing`"),
        }
    }
}

impl Default for Behaviour {
    /// That of [`Preset::Good`]: a median of 6 ms, p99 near 14 ms, no errors.
    fn default() -> Behaviour {
        Behaviour { median_ms: 6.0, sigma: 0.35, error_ratio: 0.0, slowdown: 1.0 }
    }
}

impl From<Preset> for Behaviour {
    fn from(preset: Preset) -> Behaviour {
        match preset {
            Preset::Good => Behaviour::default(),
            Preset::Slow => Behaviour { slowdown: 1.6, ..Behaviour::default() },
            Preset::Failing => Behaviour { error_ratio: 0.08, ..Behaviour::default() },
        }
    }
}

/// What befalls one request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fate {
    latency: Duration,
    status: StatusCode,
}

impl Behaviour {
    fn check(&self) -> anyhow::Result<()> {
        let Behaviour { median_ms, sigma, error_ratio, slowdown } = *self;
        ensure!((0.0..=2_500.0).contains(&median_ms), "`median_ms` is `{median_ms}`; it is 0 to 2500");
        ensure!((0.0..=3.0).contains(&sigma), "`sigma` is `{sigma}`; it is 0 to 3");
        ensure!((0.0..=1.0).contains(&error_ratio), "`error_ratio` is `{error_ratio}`; it is 0 to 1");
        ensure!((0.0..=100.0).contains(&slowdown), "`slowdown` is `{slowdown}`; it is 0 to 100");
        Ok(())
    }

    /// Draws three numbers whatever the behaviour, so that two versions with one seed differ in their behaviour only.
    fn draw(&self, random: &mut StdRng) -> Fate {
        // Box-Muller (Ann. Math. Stat. 29, 1958); 1 - u keeps the logarithm away from zero.
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.random::<f64>()).cos();
        let latency_ms = self.median_ms * (self.sigma * normal).exp() * self.slowdown;
        let fails = random.random::<f64>() < self.error_ratio;
        Fate {
            latency: Duration::from_secs_f64(latency_ms / 1_000.0).min(SLOWEST),
            status: if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK },
        }
    }
}

/// A shop that holds its port and is ready to run.
#[derive(Debug)]
pub struct Shop {
    listener: TcpListener,
    address: SocketAddr,
    front: Arc<Storefront>,
}

/// Binds and runs a shop until `shutdown` resolves.
pub async fn serve(config: ShopConfig, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    bind(config).await?.run(shutdown).await;
    Ok(())
}

pub async fn bind(config: ShopConfig) -> anyhow::Result<Shop> {
    config.behaviour.check()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on `{}`", config.listen))?;
    let address = listener.local_addr()?;
    Ok(Shop { listener, address, front: Arc::new(Storefront::new(config)) })
}

impl Shop {
    /// Where it can be reached; a port that was asked for as 0 is real here.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then lets requests in flight finish.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let Ok((stream, _)) = accepted else {
                // No file is left; accepting again at once would only burn the processor.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let front = Arc::clone(&self.front);
            let service = service_fn(move |request| {
                let front = Arc::clone(&front);
                async move { Ok::<_, Infallible>(front.answer(&request).await) }
            });
            let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                // A client that breaks off is no news.
                let _ = connection.await;
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    version: String,
    code: &'static str,
    path: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: String,
}

/// What stands behind the port: draws what befalls a request, waits, counts, answers.
#[derive(Debug)]
struct Storefront {
    version: String,
    behaviour: Behaviour,
    random: Mutex<StdRng>,
    registry: Registry,
    pages: [Page; 3],
    seconds: Histogram,
    in_flight: Gauge,
}

/// Counts a request as in flight until it is answered or its client leaves.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn begin(gauge: &'a Gauge) -> InFlight<'a> {
        gauge.inc();
        InFlight(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A page, with what it says and how often it did.
#[derive(Debug)]
struct Page {
    path: &'static str,
    text: Bytes,
    ok: Counter,
    failed: Counter,
}

impl Storefront {
    fn new(config: ShopConfig) -> Storefront {
        let ShopConfig { version, behaviour, seed, .. } = config;
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let durations =
            Family::<VersionLabels, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(EDGES));
        registry.register(
            "http_request_duration_seconds",
            "From the arrival of a request to its answer",
            durations.clone(),
        );
        let waiting = Family::<VersionLabels, Gauge>::default();
        registry.register("http_requests_in_flight", "Requests not answered yet", waiting.clone());
        let counter =
            |path, code| requests.get_or_create_owned(&RequestLabels { version: version.clone(), code, path });
        let page = |path, content: serde_json::Value| Page {
            path,
            text: Bytes::from(serde_json::json!({ "shop": content, "version": version }).to_string()),
            ok: counter(path, "200"),
            failed: counter(path, "500"),
        };
        let pages = [
            page("/", serde_json::json!({ "articles": ["kettle", "lamp", "stool"] })),
            page("/cart", serde_json::json!({ "items": [{ "article": "lamp", "count": 2 }] })),
            page("/checkout", serde_json::json!({ "order": "accepted" })),
        ];
        let labels = VersionLabels { version: version.clone() };
        let (seconds, in_flight) = (durations.get_or_create_owned(&labels), waiting.get_or_create_owned(&labels));
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Storefront { version, behaviour, random, registry, pages, seconds, in_flight }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match self.pages.iter().find(|page| page.path == path) {
            Some(page) => self.sell(page).await,
            None => self.tell(path),
        }
    }

    async fn sell(&self, page: &Page) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let _in_flight = InFlight::begin(&self.in_flight);
        // A poisoned generator is still one.
        let fate = self.behaviour.draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::time::sleep(fate.latency).await;
        self.seconds.observe(begun.elapsed().as_secs_f64());
        if fate.status.is_success() {
            page.ok.inc();
            return reply(StatusCode::OK, "application/json", page.text.clone());
        }
        page.failed.inc();
        let text = serde_json::json!({ "error": "the stock could not be read", "version": self.version }).to_string();
        reply(fate.status, "application/json", text.into())
    }

    /// Pages about the shop itself: neither slowed down nor counted.
    fn tell(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/healthz" => reply(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok\n")),
            "/metrics" => {
                let mut page = String::with_capacity(4 << 10);
                text::encode(&mut page, &self.registry).expect("writing to a string does not fail");
                reply(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", page.into())
            }
            _ => reply(StatusCode::NOT_FOUND, "application/json", Bytes::from_static(br#"{"error":"no such page"}"#)),
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::client::legacy::Client;
    use hyper_util::client::legacy::connect::HttpConnector;
    use hyper_util::rt::TokioExecutor;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct Open {
        address: SocketAddr,
        client: Client<HttpConnector, Empty<Bytes>>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    }

    async fn open(version: &str, behaviour: Behaviour) -> Open {
        let config = ShopConfig { listen: ([127, 0, 0, 1], 0).into(), version: version.into(), behaviour, seed: 7 };
        let shop = bind(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let address = shop.address();
        let task = tokio::spawn(shop.run(async move { drop(stopped.await) }));
        Open { address, client: Client::builder(TokioExecutor::new()).build_http(), stop, task }
    }

    impl Open {
        async fn get(&self, path: &str) -> (u16, String) {
            let uri = format!("http://{}{path}", self.address).parse().unwrap();
            let (head, body) = self.client.get(uri).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
        }

        async fn sample(&self, series: &str) -> f64 {
            let (_, page) = self.get("/metrics").await;
            assert!(page.ends_with("# EOF\n"), "{page}");
            let values: Vec<f64> =
                page.lines().filter_map(|line| line.strip_prefix(series)?.trim().parse().ok()).collect();
            assert_eq!(values.len(), 1, "`{series}` in {page}");
            values[0]
        }
    }

    const INSTANT: Behaviour = Behaviour { median_ms: 0.0, sigma: 0.0, error_ratio: 0.0, slowdown: 1.0 };

    #[tokio::test]
    async fn each_page_is_served_and_counted_under_its_version() {
        let shop = open("v7", INSTANT).await;
        for (path, times, word) in [("/", 3, "kettle"), ("/cart", 2, "lamp"), ("/checkout", 1, "accepted")] {
            for _ in 0..times {
                let (status, text) = shop.get(path).await;
                assert_eq!(status, 200);
                let text: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(text["version"], "v7");
                assert!(text["shop"].to_string().contains(word), "{text}");
            }
            let series = format!("http_requests_total{{version=\"v7\",code=\"200\",path=\"{path}\"}}");
            assert_eq!(shop.sample(&series).await, f64::from(times));
        }
        assert_eq!(shop.get("/healthz").await, (200, "ok\n".into()));
        assert_eq!(shop.get("/nothing").await.0, 404);
        assert_eq!(shop.sample("http_request_duration_seconds_count{version=\"v7\"}").await, 6.0);
        assert_eq!(shop.sample("http_request_duration_seconds_bucket{le=\"+Inf\",version=\"v7\"}").await, 6.0);
    }

    #[tokio::test]
    async fn a_failing_version_fails_and_says_so_in_its_metrics() {
        let shop = open("v2", Behaviour { error_ratio: 1.0, ..INSTANT }).await;
        for _ in 0..5 {
            assert_eq!(shop.get("/cart").await.0, 500);
        }
        assert_eq!(shop.sample("http_requests_total{version=\"v2\",code=\"500\",path=\"/cart\"}").await, 5.0);
        assert_eq!(shop.sample("http_requests_total{version=\"v2\",code=\"200\",path=\"/cart\"}").await, 0.0);
    }

    #[tokio::test]
    async fn the_latency_that_was_drawn_is_waited_for_and_measured() {
        let shop = open("v1", Behaviour { median_ms: 20.0, slowdown: 2.0, ..INSTANT }).await;
        let begun = Instant::now();
        shop.get("/").await;
        assert!(begun.elapsed() >= Duration::from_millis(40));
        assert!(shop.sample("http_request_duration_seconds_sum{version=\"v1\"}").await >= 0.04);
        assert_eq!(shop.sample("http_request_duration_seconds_bucket{le=\"0.03\",version=\"v1\"}").await, 0.0);
    }

    #[tokio::test]
    async fn a_shutdown_lets_a_request_in_flight_finish() {
        let shop = open("v1", Behaviour { median_ms: 300.0, ..INSTANT }).await;
        let uri = format!("http://{}/", shop.address).parse().unwrap();
        let asked = tokio::spawn(shop.client.get(uri));
        while shop.sample("http_requests_in_flight{version=\"v1\"}").await == 0.0 {
            tokio::task::yield_now().await;
        }
        shop.stop.send(()).unwrap();
        shop.task.await.unwrap();
        let answer = asked.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert!(answer.to_bytes().starts_with(b"{\"shop\""));
        assert!(tokio::net::TcpStream::connect(shop.address).await.is_err(), "the port is closed");
    }

    fn drawn(behaviour: Behaviour, seed: u64, count: usize) -> Vec<Fate> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| behaviour.draw(&mut random)).collect()
    }

    /// (median, 99th percentile) in milliseconds and the share of errors.
    fn profile(preset: Preset) -> (f64, f64, f64) {
        let fates = drawn(preset.into(), 1, 20_000);
        let mut latencies: Vec<f64> = fates.iter().map(|fate| fate.latency.as_secs_f64() * 1_000.0).collect();
        latencies.sort_by(f64::total_cmp);
        let errors = fates.iter().filter(|fate| fate.status.is_server_error()).count();
        (latencies[10_000], latencies[19_800], errors as f64 / 20_000.0)
    }

    #[test]
    fn the_presets_differ_as_their_names_say() {
        let (good_median, good_p99, good_errors) = profile(Preset::Good);
        // exp(2.326 * 0.35) = 2.257 times the median.
        assert!((good_median - 6.0).abs() < 0.1 && (good_p99 - 13.5).abs() < 0.5, "{good_median} {good_p99}");
        assert_eq!(good_errors, 0.0);
        let (slow_median, slow_p99, _) = profile(Preset::Slow);
        assert!((slow_median / good_median - 1.6).abs() < 1e-5 && (slow_p99 / good_p99 - 1.6).abs() < 1e-5);
        let (failing_median, _, failing_errors) = profile(Preset::Failing);
        assert_eq!(failing_median, good_median);
        assert!((failing_errors - 0.08).abs() < 0.006, "{failing_errors}");
    }

    #[test]
    fn equal_seeds_draw_equal_fates() {
        let failing = Behaviour::from(Preset::Failing);
        assert_eq!(drawn(failing, 3, 1_000), drawn(failing, 3, 1_000));
        assert_ne!(drawn(failing, 3, 1_000), drawn(failing, 4, 1_000));
    }

    #[test]
    fn a_preset_is_read_by_its_name_and_an_unknown_one_is_refused() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
        }
        let error = "bad".parse::<Preset>().unwrap_err().to_string();
        assert_eq!(error, "no behaviour `bad`; there are `good`, `slow`, `failing`");
    }

    #[tokio::test]
    async fn a_behaviour_out_of_range_does_not_open() {
        for (behaviour, reason) in [
            (Behaviour { error_ratio: 1.5, ..INSTANT }, "`error_ratio` is `1.5`; it is 0 to 1"),
            (Behaviour { median_ms: f64::NAN, ..INSTANT }, "`median_ms` is `NaN`; it is 0 to 2500"),
        ] {
            let config = ShopConfig { listen: ([127, 0, 0, 1], 0).into(), version: "v1".into(), behaviour, seed: 0 };
            assert_eq!(bind(config).await.unwrap_err().to_string(), reason);
        }
    }
}
