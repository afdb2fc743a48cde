//! The router from outside: real sockets, real versions, and a count of everything.

mod world;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use router::{AdminToken, Route};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use world::{Client, Running, Sendable, Upstream, backend, call, config, eventually, full, read_head, shop, write};

#[tokio::test]
async fn five_percent_of_a_thousand_is_fifty() {
    let (v1, v2) = (Upstream::saying("v1").await, Upstream::saying("v2").await);
    let router = Running::start(shop(&[("v1", &v1.address, 9_500), ("v2", &v2.address, 500)])).await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let listen = router.at.listen;
        clients.spawn(async move {
            let mut client = Client::connect(listen).await;
            let mut canary = 0;
            for _ in 0..125 {
                let reply = client.get("/").await;
                assert_eq!(reply.header("x-clearway-version"), reply.text());
                canary += usize::from(reply.text() == "v2");
            }
            canary
        });
    }
    assert_eq!(clients.join_all().await.into_iter().sum::<usize>(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_weight_changes_under_load_drop_no_request() {
    let (v1, v2) = (Upstream::saying("v1").await, Upstream::saying("v2").await);
    let router = Running::start(shop(&[("v1", &v1.address, 10_000), ("v2", &v2.address, 0)])).await;
    let done = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (listen, done, sent) = (router.at.listen, Arc::clone(&done), Arc::clone(&sent));
        clients.spawn(async move {
            let mut client = Client::connect(listen).await;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.get("/").await.status, StatusCode::OK);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for n in 1..=100 {
        let before = sent.load(Ordering::Relaxed);
        let share = n * 100;
        let reply =
            router.put(&format!(r#"{{"weights":{{"v1":{},"v2":{share}}},"key":"k{n}"}}"#, 10_000 - share)).await;
        assert_eq!((reply.status, reply.json()["revision"].as_u64()), (StatusCode::OK, Some(n)));
        eventually("traffic between two changes", || async { sent.load(Ordering::Relaxed) > before }).await;
    }
    done.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let counted = router.counted("v1", "2xx").await + router.counted("v2", "2xx").await;
    assert_eq!(counted as usize, sent.load(Ordering::Relaxed));

    let v1_before = router.counted("v1", "2xx").await;
    assert_eq!(router.get("/").await.text(), "v2");
    assert_eq!(router.counted("v1", "2xx").await, v1_before, "a version at zero gets nothing");

    let applied = router.admin("/backends/shop/applied").await.json();
    let keys: Vec<&str> = applied.as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, (1..=100).map(|n| format!("k{n}")).collect::<Vec<_>>());
    assert_eq!(applied[99], json!({"revision": 100, "key": "k100", "weights": {"v1": 0, "v2": 10_000}}));
}

#[tokio::test]
async fn a_put_against_an_old_revision_is_refused_with_the_state_in_force() {
    let router = Running::start(shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)])).await;
    let state = json!({"name": "shop", "revision": 1, "last_key": "a", "versions": [
        {"name": "v1", "address": "127.0.0.1:1", "weight": 9_500},
        {"name": "v2", "address": "127.0.0.1:2", "weight": 500},
    ]});
    let granted = router.put(r#"{"weights":{"v1":9500,"v2":500},"if_revision":0,"key":"a"}"#).await;
    assert_eq!((granted.status, granted.json()), (StatusCode::OK, state.clone()));

    let refused = router.put(r#"{"weights":{"v1":5000,"v2":5000},"if_revision":0,"key":"b"}"#).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(
        refused.error(),
        "`if_revision` is `0` but the revision in force is `1`; read the state again and decide anew"
    );
    let mut shown = refused.json();
    shown.as_object_mut().unwrap().remove("error");
    assert_eq!(shown, state);
    assert_eq!(router.admin("/backends/shop").await.json(), state);
    assert_eq!(router.admin("/backends").await.json(), json!([state]));
}

#[tokio::test]
async fn a_put_repeated_under_its_key_is_applied_once() {
    let router = Running::start(shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)])).await;
    let step = r#"{"weights":{"v1":9500,"v2":500},"if_revision":0,"key":"chg-1/1/1"}"#;
    for _ in 0..3 {
        let reply = router.put(step).await;
        assert_eq!((reply.status, reply.json()["revision"].as_u64()), (StatusCode::OK, Some(1)));
    }
    let applied = router.admin("/backends/shop/applied").await.json();
    assert_eq!(applied, json!([{"revision": 1, "key": "chg-1/1/1", "weights": {"v1": 9_500, "v2": 500}}]));
}

#[tokio::test]
async fn admin_input_that_makes_no_sense_is_refused_and_changes_nothing() {
    let router = Running::start(shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)])).await;
    let before = router.admin("/backends").await.json();
    let weights = "/backends/shop/weights";
    let long = format!(r#"{{"weights":{{}},"key":"{}"}}"#, "k".repeat(70_000));
    let cases = [
        ("PUT", weights, "", 400, "cannot read the body: EOF while parsing"),
        ("PUT", weights, "{\"weights\":", 400, "cannot read the body: EOF while parsing"),
        ("PUT", weights, r#"{"weights":{"v1":1.5,"v2":1}}"#, 400, "cannot read the body: invalid type: floating point"),
        (
            "PUT",
            weights,
            r#"{"weights":{"v1":1,"v2":1},"revision":1}"#,
            400,
            "cannot read the body: unknown field `revision`",
        ),
        ("PUT", weights, &long, 400, "cannot read the body: length limit exceeded"),
        ("PUT", weights, r#"{"weights":{"v1":0,"v2":0}}"#, 400, "the weights sum to zero"),
        ("PUT", weights, r#"{"weights":{"v1":-1,"v2":1}}"#, 400, "the weight of `v1` is `-1`"),
        ("PUT", weights, r#"{"weights":{"v1":10001,"v2":1}}"#, 400, "the weight of `v1` is `10001`"),
        ("PUT", weights, r#"{"weights":{"v1":1}}"#, 400, "version `v2` has no weight in the request"),
        ("PUT", weights, r#"{"weights":{"v1":1,"v3":1}}"#, 404, "no version `v3`; known are `v1`, `v2`"),
        ("PUT", "/backends/cart/weights", r#"{"weights":{"v1":1}}"#, 404, "no backend `cart`; known are `shop`"),
        ("GET", "/backends/cart", "", 404, "no backend `cart`; known are `shop`"),
        ("GET", "/backends/cart/applied", "", 404, "no backend `cart`; known are `shop`"),
        ("GET", weights, "", 405, "`/backends/shop/weights` is asked for with PUT"),
        ("DELETE", "/backends/shop", "", 405, "`/backends/shop` is asked for with GET"),
        ("GET", "/backend", "", 404, "no page `/backend`"),
    ];
    for (method, path, body, status, error) in cases {
        let reply = call(router.at.admin, method, path, body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path} {body}");
        assert!(reply.error().starts_with(error), "{}", reply.error());
    }
    assert_eq!(router.admin("/backends").await.json(), before);
    assert_eq!(router.admin("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn weights_are_set_only_with_the_admin_token() {
    let mut config = shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)]);
    config.admin_token = Some(AdminToken("s3cret".into()));
    let router = Running::start(config).await;
    let put = |header: Option<&'static str>| {
        let mut request = Request::put("/backends/shop/weights").header("host", "test.example");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let request = request.body(full(r#"{"weights":{"v1":1,"v2":1}}"#)).unwrap();
        let admin = router.at.admin;
        async move { Client::connect(admin).await.send(request).await.unwrap().status.as_u16() }
    };
    assert_eq!(put(None).await, 401);
    assert_eq!(put(Some("Bearer s3cre")).await, 401);
    assert_eq!(put(Some("Basic s3cret")).await, 401);
    assert_eq!(router.admin("/backends/shop").await.json()["revision"], 0);
    assert_eq!(put(Some("bearer s3cret")).await, 200);
    assert_eq!(router.admin("/backends/shop").await.json()["revision"], 1);
}

#[tokio::test]
async fn a_dead_version_answers_502_and_none_of_its_share_moves() {
    let v1 = Upstream::saying("v1").await;
    let (dead, _held) = Upstream::dead();
    let router = Running::start(shop(&[("v1", &v1.address, 5_000), ("v2", &dead, 5_000)])).await;
    let mut client = Client::connect(router.at.listen).await;
    let mut statuses = BTreeMap::new();
    for _ in 0..10 {
        let reply = client.get("/").await;
        *statuses.entry((reply.status.as_u16(), reply.header("x-clearway-version").to_owned())).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([((200, "v1".to_owned()), 5), ((502, "v2".to_owned()), 5)]));
    assert_eq!(router.counted("v2", "5xx").await, 5.0);
    assert_eq!(router.counted("v1", "2xx").await, 5.0);
    assert_eq!(router.metrics().await["clearway_router_reconnects_total{backend=\"shop\",version=\"v2\"}"], 0.0);
}

#[tokio::test]
async fn a_version_that_does_not_answer_in_time_answers_504() {
    let mute = Upstream::start(|_| std::future::pending::<Response<Sendable>>()).await;
    let mut config = shop(&[("v1", &mute.address, 1)]);
    config.upstream_timeout_ms = 50;
    let router = Running::start(config).await;
    let reply = router.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.error()), (504, "version `v1`: no answer within 50 ms".to_owned()));
    let posted = call(router.at.listen, "POST", "/", "a body").await;
    assert_eq!(posted.status.as_u16(), 504);
    assert_eq!(router.counted("v1", "5xx").await, 2.0);
}

#[tokio::test]
async fn a_client_that_stops_in_mid_body_is_told_so_and_the_version_is_not_blamed() {
    let reader = Upstream::start(|request: Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        Response::new(full("read"))
    })
    .await;
    let mut config = shop(&[("v1", &reader.address, 1)]);
    config.upstream_timeout_ms = 50;
    let router = Running::start(config).await;
    let mut stream = tokio::net::TcpStream::connect(router.at.listen).await.unwrap();
    write(&mut stream, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345").await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 408 "));
    assert_eq!((router.counted("v1", "4xx").await, router.counted("v1", "5xx").await), (1.0, 0.0));
}

/// 10 MB that no two chunks of are alike.
fn pattern() -> Bytes {
    (0..10_000_000u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_pass_both_ways_unchanged_with_and_without_a_length() {
    let echo = Upstream::start(|request: Request<Incoming>| async { Response::new(request.into_body()) }).await;
    let router = Running::start(shop(&[("v1", &echo.address, 1)])).await;
    let sent = pattern();
    let mut client = Client::connect(router.at.listen).await;
    for chunked in [false, true] {
        let body = if chunked {
            let chunks: Vec<Bytes> = sent.chunks(30_011).map(|part| sent.slice_ref(part)).collect();
            Chunks(chunks.into_iter()).boxed()
        } else {
            Full::new(sent.clone()).boxed()
        };
        let request = Request::post("/echo").header("host", "test.example").body(body).unwrap();
        let reply = client.send(request).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers.contains_key("content-length"), !chunked);
        assert!(reply.body == sent, "the body came back changed");
    }
    assert_eq!(router.counted("v1", "2xx").await, 2.0);
}

/// A body without a length.
struct Chunks(std::vec::IntoIter<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Frame::data).map(Ok))
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_answered_with_413() {
    let echo = Upstream::start(|request: Request<Incoming>| async { Response::new(request.into_body()) }).await;
    let mut config = shop(&[("v1", &echo.address, 1)]);
    config.max_body_bytes = 1_000;
    let router = Running::start(config).await;
    let known = call(router.at.listen, "POST", "/", &"x".repeat(1_001)).await;
    assert_eq!((known.status.as_u16(), known.error()), (413, "the body is longer than `1000` bytes".to_owned()));
    assert_eq!(router.counted("v1", "4xx").await, 0.0, "it was given to no version");
    assert_eq!(call(router.at.listen, "POST", "/", &"x".repeat(1_000)).await.body.len(), 1_000);
    assert_eq!(router.metrics().await["clearway_router_unrouted_total"], 1.0);
}

#[tokio::test]
async fn a_body_that_outgrows_the_limit_on_its_way_is_answered_with_413() {
    let reader = Upstream::start(|request: Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        Response::new(full("read"))
    })
    .await;
    let mut config = shop(&[("v1", &reader.address, 1)]);
    config.max_body_bytes = 10;
    let router = Running::start(config).await;
    let mut stream = tokio::net::TcpStream::connect(router.at.listen).await.unwrap();
    write(
        &mut stream,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n",
    )
    .await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 413 "));
    assert_eq!((router.counted("v1", "4xx").await, router.counted("v1", "5xx").await), (1.0, 0.0));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_answered_with_431() {
    let v1 = Upstream::saying("v1").await;
    let mut config = shop(&[("v1", &v1.address, 1)]);
    config.max_header_bytes = 8_192;
    let router = Running::start(config).await;
    let request = |bytes: usize| {
        let request = Request::get("/").header("host", "a").header("x-long", "x".repeat(bytes));
        request.body(full("")).unwrap()
    };
    let mut client = Client::connect(router.at.listen).await;
    assert_eq!(client.send(request(7_000)).await.unwrap().status.as_u16(), 200);
    assert_eq!(client.send(request(9_000)).await.unwrap().status.as_u16(), 431);
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it_and_forwarded_ones_are_added() {
    let mirror = Upstream::start(|request: Request<Incoming>| async move {
        let seen: BTreeMap<&str, &str> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let target = request.uri().to_string();
        let body = full(json!({"headers": seen, "target": target}).to_string());
        Response::builder()
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("x-public", "2")
            .body(body)
            .unwrap()
    })
    .await;
    let router = Running::start(shop(&[("v1", &mirror.address, 1)])).await;
    let request = Request::get("/a?b=c")
        .header("host", "shop.example")
        .header("connection", "keep-alive, x-hop, host")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic eDp5")
        .header("te", "trailers")
        .header("upgrade", "websocket")
        .header("x-hop", "1")
        .header("x-end", "2")
        .header("x-forwarded-for", "203.0.113.9")
        .body(full(""))
        .unwrap();
    let reply = Client::connect(router.at.listen).await.send(request).await.unwrap();
    let expected = json!({"target": "/a?b=c", "headers": {
        "host": "shop.example",
        "x-end": "2",
        "x-forwarded-for": "203.0.113.9, 127.0.0.1",
        "x-forwarded-host": "shop.example",
        "x-forwarded-proto": "http",
    }});
    assert_eq!(reply.json(), expected);
    assert_eq!((reply.header("x-private"), reply.header("x-public")), ("", "2"));

    let mut stream = tokio::net::TcpStream::connect(router.at.listen).await.unwrap();
    write(&mut stream, "GET http://other.example/p HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n").await;
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
    let seen: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&seen["target"], &seen["headers"]["host"]), (&json!("/p"), &json!("other.example")));
}

#[tokio::test]
async fn the_version_header_can_be_turned_off() {
    let v1 = Upstream::saying("v1").await;
    let mut config = shop(&[("v1", &v1.address, 1)]);
    config.version_header = false;
    let router = Running::start(config).await;
    assert_eq!(router.get("/").await.header("x-clearway-version"), "");
}

#[tokio::test]
async fn a_request_goes_to_the_most_specific_route() {
    let mut texts = Vec::new();
    let mut backends = Vec::new();
    for (name, host, prefix) in [
        ("any", None, None),
        ("api", None, Some("/api")),
        ("deep", None, Some("/api/deep")),
        ("host", Some("shop.example"), None),
    ] {
        let upstream = Upstream::saying(name).await;
        let route = Route { host: host.map(str::to_owned), path_prefix: prefix.map(str::to_owned) };
        backends.push(router::Backend { route, ..backend(name, &[("v1", &upstream.address, 1)]) });
        texts.push(upstream);
    }
    let some = Running::start(config(backends[1..].to_vec())).await;
    let all = Running::start(config(backends)).await;
    let ask = |at, host: &'static str, path: &'static str| async move {
        let request = Request::get(path).header("host", host).body(full("")).unwrap();
        Client::connect(at).await.send(request).await.unwrap()
    };
    for (host, path, name) in [
        ("a", "/", "any"),
        ("a", "/apis", "any"),
        ("a", "/api", "api"),
        ("a", "/api/deep/x", "deep"),
        ("SHOP.example:8080", "/api", "host"),
    ] {
        assert_eq!(ask(all.at.listen, host, path).await.text(), name);
    }
    let lost = ask(some.at.listen, "a", "/").await;
    assert_eq!((lost.status.as_u16(), lost.error()), (404, "no backend serves `/` at host `a`".to_owned()));
    assert_eq!(some.metrics().await["clearway_router_unrouted_total"], 1.0);
}

#[tokio::test]
async fn the_metrics_agree_with_what_was_sent() {
    let by_path = Upstream::start(|request: Request<Incoming>| async move {
        let status = request.uri().path()[1..].parse::<u16>().unwrap();
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await;
    let router = Running::start(shop(&[("v1", &by_path.address, 10_000), ("v2", &by_path.address, 0)])).await;
    let mut client = Client::connect(router.at.listen).await;
    for (status, times) in [(200, 7), (204, 1), (302, 2), (404, 3), (500, 4), (503, 1)] {
        for _ in 0..times {
            assert_eq!(client.get(&format!("/{status}")).await.status.as_u16(), status);
        }
    }
    let page = router.admin("/metrics").await;
    assert_eq!(page.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let samples = world::samples(&page.text());
    for (class, count) in [("2xx", 8.0), ("3xx", 2.0), ("4xx", 3.0), ("5xx", 5.0)] {
        let series = |version| {
            format!("clearway_router_requests_total{{backend=\"shop\",code=\"{class}\",version=\"{version}\"}}")
        };
        assert_eq!((samples[&series("v1")], samples[&series("v2")]), (count, 0.0));
    }
    let of_v1 = |name: &str| samples[&format!("clearway_router_{name}{{backend=\"shop\",version=\"v1\"}}")];
    assert_eq!((of_v1("weight"), of_v1("in_flight"), of_v1("request_seconds_count")), (10_000.0, 0.0, 18.0));
    assert!(of_v1("request_seconds_sum") > 0.0);
    let bucket = "clearway_router_request_seconds_bucket{backend=\"shop\",le=\"";
    let buckets: Vec<_> = samples.range(bucket.to_owned()..).filter(|(name, _)| name.starts_with(bucket)).collect();
    assert_eq!(buckets.len(), 2 * 25, "24 edges and infinity, for two versions");
    assert_eq!(samples["clearway_router_request_seconds_bucket{backend=\"shop\",le=\"+Inf\",version=\"v1\"}"], 18.0);
}

#[tokio::test]
async fn weights_survive_a_restart_only_with_a_state_file() {
    let folder = tempfile::tempdir().unwrap();
    for state_file in [Some(folder.path().join("weights.json")), None] {
        let mut config = shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)]);
        config.state_file = state_file.clone();
        let first = Running::start(config.clone()).await;
        assert_eq!(first.put(r#"{"weights":{"v1":9500,"v2":500},"key":"a"}"#).await.status, StatusCode::OK);
        first.stop().await.unwrap();

        let second = Running::start(config).await;
        let state = second.admin("/backends/shop").await.json();
        let (kept, weight) = (state_file.is_some(), state["versions"][1]["weight"].as_u64());
        assert_eq!((state["revision"].as_u64(), weight), if kept { (Some(1), Some(500)) } else { (Some(0), Some(0)) });
        assert_eq!(state["last_key"].as_str(), kept.then_some("a"));
        let gauge = second.metrics().await["clearway_router_weight{backend=\"shop\",version=\"v2\"}"];
        assert_eq!(gauge, if kept { 500.0 } else { 0.0 });
        let again = second.put(r#"{"weights":{"v1":9500,"v2":500},"key":"a"}"#).await.json();
        assert_eq!(again["revision"], 1, "known already, or the first of a new life");
    }
}

#[tokio::test]
async fn weights_that_cannot_be_made_durable_are_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = shop(&[("v1", "127.0.0.1:1", 10_000), ("v2", "127.0.0.1:2", 0)]);
    config.state_file = Some(folder.path().join("missing").join("weights.json"));
    let router = Running::start(config).await;
    let reply = router.put(r#"{"weights":{"v1":1,"v2":1}}"#).await;
    assert_eq!(reply.status.as_u16(), 500);
    assert!(reply.error().starts_with("the weights were not applied: cannot write the state file"));
    let state = router.admin("/backends/shop").await.json();
    assert_eq!((&state["revision"], &state["versions"][0]["weight"]), (&json!(0), &json!(10_000)));
}

/// A version that answers when told.
async fn gated() -> (Upstream, Arc<Notify>, Arc<Notify>) {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, wait) = (Arc::clone(&reached), Arc::clone(&go));
    let upstream = Upstream::start(move |_| {
        let (seen, wait) = (Arc::clone(&seen), Arc::clone(&wait));
        async move {
            seen.notify_one();
            wait.notified().await;
            Response::new(full("late"))
        }
    })
    .await;
    (upstream, reached, go)
}

#[tokio::test]
async fn a_shutdown_lets_requests_in_flight_finish_and_takes_no_more() {
    let (upstream, reached, go) = gated().await;
    let router = Running::start(shop(&[("v1", &upstream.address, 1)])).await;
    let at = router.at;
    let asked = tokio::spawn(call(at.listen, "GET", "/", ""));
    reached.notified().await;
    let mut run = router.stop();
    eventually("the port is closed", || async { tokio::net::TcpStream::connect(at.listen).await.is_err() }).await;
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut run).await.is_err(), "it waits for the request");
    go.notify_one();
    assert_eq!(asked.await.unwrap().text(), "late");
    run.await.unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_beyond_its_drain() {
    let (upstream, reached, _go) = gated().await;
    let mut config = shop(&[("v1", &upstream.address, 1)]);
    config.drain_ms = 20;
    let router = Running::start(config).await;
    let mut stream = tokio::net::TcpStream::connect(router.at.listen).await.unwrap();
    write(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    reached.notified().await;
    router.stop().await.unwrap();
    assert_eq!(read_head(&mut stream).await, "", "the connection was cut");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_counted_as_4xx() {
    let (upstream, reached, _go) = gated().await;
    let router = Running::start(shop(&[("v1", &upstream.address, 1)])).await;
    let mut stream = tokio::net::TcpStream::connect(router.at.listen).await.unwrap();
    write(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    reached.notified().await;
    assert_eq!(router.metrics().await["clearway_router_in_flight{backend=\"shop\",version=\"v1\"}"], 1.0);
    drop(stream);
    eventually("the request is counted", || async { router.counted("v1", "4xx").await == 1.0 }).await;
    assert_eq!(router.metrics().await["clearway_router_in_flight{backend=\"shop\",version=\"v1\"}"], 0.0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted_as_5xx() {
    let broken = Upstream::raw(|mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
    })
    .await;
    let router = Running::start(shop(&[("v1", &broken.address, 1)])).await;
    let request = Request::get("/").header("host", "a").body(full("")).unwrap();
    assert!(Client::connect(router.at.listen).await.send(request).await.is_err());
    eventually("the request is counted", || async { router.counted("v1", "5xx").await == 1.0 }).await;
    assert_eq!(router.counted("v1", "2xx").await, 0.0);
}

/// A version that answers the first request of each connection and hangs up on the second.
async fn fickle() -> Upstream {
    Upstream::raw(|mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_version_that_hangs_up_under_load_is_not_covered_for() {
    let fickle = fickle().await;
    let router = Running::start(shop(&[("v1", &fickle.address, 1)])).await;
    let mut client = Client::connect(router.at.listen).await;
    let mut statuses = Vec::new();
    while statuses.len() < 2 || statuses.len() < 100 && statuses.last() == Some(&200) {
        statuses.push(client.get("/").await.status.as_u16());
    }
    assert_eq!(statuses.last(), Some(&502), "a busy connection that breaks is the version's own fault");
    assert_eq!(router.metrics().await["clearway_router_reconnects_total{backend=\"shop\",version=\"v1\"}"], 0.0);
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_once_for_a_request_that_can_be_repeated() {
    let fickle = fickle().await;
    let router = Running::start(shop(&[("v1", &fickle.address, 1)])).await;
    let mut client = Client::connect(router.at.listen).await;
    assert_eq!(client.get("/").await.status.as_u16(), 200);
    // Time itself is the condition here: a second of rest makes a connection suspect.
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(client.get("/").await.status.as_u16(), 200);
    assert_eq!(router.counted("v1", "2xx").await, 2.0);
    assert_eq!(router.metrics().await["clearway_router_reconnects_total{backend=\"shop\",version=\"v1\"}"], 1.0);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(call(router.at.listen, "POST", "/", "body").await.status.as_u16(), 502);
}

#[tokio::test]
async fn a_router_that_cannot_start_says_why() {
    let taken = tokio::net::TcpListener::bind(world::NOWHERE).await.unwrap();
    let mut config = shop(&[("v1", "127.0.0.1:1", 1)]);
    config.admin = taken.local_addr().unwrap();
    let error = router::bind(config.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on `{}`", config.admin));
    config.backends.clear();
    assert_eq!(router::bind(config).await.unwrap_err().to_string(), "the router has no backend; name at least one");
}
