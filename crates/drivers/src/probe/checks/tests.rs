//! Checks against real servers on this machine: pages, TLS with certificates made here, a resolver of our own, and ports where nobody listens.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{any, get, post};
use change::ChangeId;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::testing::{serve, serve_answer, serve_silence};

fn settings(allow: &[&str]) -> CheckSettings {
    let rules = allow.iter().map(|rule| rule.parse().expect("a rule")).collect();
    CheckSettings { allow: Allowed::new(rules), ..CheckSettings::default() }
}

fn passed() -> Probed {
    Probed::Passed
}

fn fails(why: &str) -> Probed {
    Probed::Failed { why: why.into() }
}

/// One try of a check that is written as in a change file, against the version `v2`.
async fn probe_for(settings: CheckSettings, check: serde_json::Value, limit: Span) -> Probed {
    let check: SyntheticCheck = serde_json::from_value(check).expect("a check");
    assert_eq!(check.problems(Span::secs(10)), [], "the check is valid");
    let act = Act { change: ChangeId::new(7), step: "1".into(), attempt: 1, files: BTreeMap::new() };
    Checks::new(settings).probe(&CommandSettings::allowed_in("/tmp"), &act, &check, "v2", limit).await
}

async fn probe(settings: CheckSettings, check: serde_json::Value) -> Probed {
    probe_for(settings, check, Span::secs(10)).await
}

async fn http(check: serde_json::Value) -> Probed {
    probe(settings(&["127.0.0.1"]), serde_json::json!({"name": "page", "http": check})).await
}

// LC6
#[tokio::test]
async fn a_page_that_answers_as_expected_passes_and_hears_what_the_check_says() {
    let heard = Arc::new(Mutex::new(String::new()));
    let note = heard.clone();
    let page = post(move |headers: HeaderMap, body: Bytes| async move {
        let of = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        *note.lock().expect("not poisoned") =
            format!("{} {} {} {}", of("host"), of("authorization"), of("x-version"), String::from_utf8_lossy(&body));
        (
            StatusCode::CREATED,
            [("content-type", "application/json"), ("x-shop", "open")],
            r#"{"status": "ok", "db": {"up": true, "load": 1.0}}"#,
        )
    });
    let url = serve(Router::new().route("/v2/health", page)).await;
    let mut settings = settings(&["127.0.0.1"]);
    settings.secrets = Secrets::new([("SHOP_TOKEN".to_owned(), "s3cr3t-token".to_owned())].into());
    let check = serde_json::json!({"name": "page", "http": {
        "url": format!("{url}/$cohort/health?deep=1"), "method": "POST",
        "headers": {"authorization": {"env": "SHOP_TOKEN"}, "x-version": "is $cohort"}, "body": "ask $cohort",
        "status": [201], "body_contains": "ok", "body_matches": "^\\{.*\\}$", "json": {"/status": "ok", "/db/up": true, "/db/load": 1},
        "header": {"content-type": "json", "X-Shop": "open"}, "within": "5s",
    }});
    assert_eq!(probe(settings, check).await, passed());
    let host = url.trim_start_matches("http://");
    assert_eq!(*heard.lock().expect("not poisoned"), format!("{host} s3cr3t-token is v2 ask v2"));
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_said_in_words() {
    let url = serve_answer(503, "text/plain", "out of order").await;
    let of = |more: serde_json::Value| {
        let mut check = serde_json::json!({"url": url, "status": ["500-599"]});
        check.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        http(check)
    };
    assert_eq!(http(serde_json::json!({"url": url})).await, fails("status 503 instead of 200-399"));
    assert_eq!(of(serde_json::json!({"status": [200, "300-302"]})).await, fails("status 503 instead of 200, 300-302"));
    assert_eq!(
        of(serde_json::json!({"body_contains": "in order"})).await,
        fails("the body does not contain `in order`; it begins with `out of order`")
    );
    assert_eq!(
        of(serde_json::json!({"body_matches": "^in"})).await,
        fails("the body does not match `^in`; it begins with `out of order`")
    );
    assert_eq!(
        of(serde_json::json!({"json": {"/a": 1}})).await,
        fails("the body is no JSON; it begins with `out of order`")
    );
    assert_eq!(of(serde_json::json!({"header": {"x-shop": "a"}})).await, fails("the answer has no header `x-shop`"));
    assert_eq!(
        of(serde_json::json!({"header": {"content-type": "json"}})).await,
        fails("the header `content-type` does not contain `json`")
    );
    let url = serve_answer(200, "application/json", r#"{"status": "down"}"#).await;
    let json = |pointer: &str| http(serde_json::json!({"url": url, "json": {pointer: "ok"}}));
    assert_eq!(json("/status").await, fails("`/status` is `\"down\"` instead of `\"ok\"`"));
    assert_eq!(json("/db").await, fails("the body has no `/db`"));
}

// E: what the author of a change may make the server do.
#[tokio::test]
async fn nothing_is_asked_that_the_operator_has_not_allowed() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let page = any(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "here" }
    });
    let url = serve(Router::new().fallback(page)).await;
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let refusal = format!(
        "this server may not ask `127.0.0.1:{port}`; its operator can add `\"127.0.0.1:{port}\"` to `[checks] allow` in clearway.toml"
    );
    for allow in [&[][..], &["127.0.0.1:1"], &["10.0.0.0/8"], &["*.example.com", "localhost"]] {
        let check = serde_json::json!({"name": "page", "http": {"url": url}});
        assert_eq!(probe(settings(allow), check).await, Probed::NotRun { why: refusal.clone() }, "{allow:?}");
        let address = format!("127.0.0.1:{port}");
        let tcp = serde_json::json!({"name": "port", "tcp": {"address": address}});
        assert_eq!(probe(settings(allow), tcp).await, Probed::NotRun { why: refusal.clone() });
    }
    // The loopback under another spelling is the loopback.
    for spelling in ["0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]"] {
        let check = serde_json::json!({"name": "page", "http": {"url": format!("http://{spelling}:{port}/")}});
        assert!(matches!(probe(settings(&["*.example.com"]), check).await, Probed::NotRun { .. }), "{spelling}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0, "not one request");
}

/// Answers with one set of addresses after another.
#[derive(Debug)]
struct Turning {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Turning {
    async fn lookup(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        assert_eq!(host, "shop.test");
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.get(turn).cloned().ok_or_else(|| std::io::Error::other("asked too often"))
    }
}

// E: DNS rebinding.
#[tokio::test]
async fn a_resolver_that_changes_its_answer_leads_nowhere_else() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let url = serve(Router::new().fallback(any(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "here" }
    })))
    .await;
    let port = url.rsplit(':').next().expect("a port");
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let turning = Arc::new(Turning {
        answers: vec![
            vec![ip("127.0.0.1")],
            vec![ip("127.0.0.66")],
            vec![ip("169.254.169.254"), ip("127.0.0.1")],
            vec![ip("::1")],
        ],
        asked: AtomicUsize::new(0),
    });
    let settings = || CheckSettings { resolver: turning.clone(), ..settings(&["shop.test", "127.0.0.1"]) };
    let check = || serde_json::json!({"name": "page", "http": {"url": format!("http://shop.test:{port}/")}});
    assert_eq!(probe(settings(), check()).await, passed());
    assert_eq!(turning.asked.load(Ordering::SeqCst), 1, "the name is resolved once for a request");
    let Probed::NotRun { why } = probe(settings(), check()).await else { panic!("another address was asked") };
    assert!(
        why.starts_with(&format!("`shop.test:{port}` leads to `127.0.0.66`, which this server may not ask")),
        "{why}"
    );
    assert_eq!(probe(settings(), check()).await, passed(), "the one that is allowed is asked");
    assert!(matches!(probe(settings(), check()).await, Probed::NotRun { .. }));
    assert_eq!(hits.load(Ordering::SeqCst), 2);
    let gone = probe(settings(), check()).await;
    assert_eq!(gone, Probed::NotRun { why: "the name `shop.test` could not be resolved: asked too often".into() });
}

#[tokio::test]
async fn a_redirect_is_an_answer_or_followed_to_what_is_allowed_without_credentials() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let elsewhere = serve(Router::new().fallback(any(move |headers: HeaderMap| async move {
        note.lock().expect("not poisoned").push(format!(
            "{:?} {:?} {:?}",
            headers.get("authorization"),
            headers.get("x-key"),
            headers.get("x-plain")
        ));
        "elsewhere"
    })))
    .await;
    let target = elsewhere.clone();
    let pages = Router::new()
        .route("/here", get(|| async { Redirect::to("/there") }))
        .route("/there", get(|| async { "found" }))
        .route("/round", get(|| async { Redirect::to("/round") }))
        .route("/file", get(|| async { Redirect::to("file:///etc/passwd") }))
        .route("/away", any(move || async move { Redirect::temporary(&target) }));
    let url = serve(pages).await;
    let port = url.rsplit(':').next().expect("a port");
    let ask = |path: &str, follow: bool, allow: &str| {
        let redirects = if follow { "follow" } else { "refuse" };
        let mut settings = settings(&[allow]);
        settings.secrets = Secrets::new([("KEY".to_owned(), "the-secret".to_owned())].into());
        let check = serde_json::json!({"url": format!("{url}{path}"), "redirects": redirects, "body_contains": "", "status": [200],
            "headers": {"authorization": "Bearer x", "x-key": {"env": "KEY"}, "x-plain": "p"}});
        let mut check = serde_json::json!({"name": "page", "http": check});
        check["http"].as_object_mut().expect("a mapping").remove("body_contains");
        async move { probe(settings, check).await }
    };
    let this = format!("127.0.0.1:{port}");
    assert_eq!(ask("/here", true, &this).await, passed());
    assert_eq!(ask("/here", false, &this).await, fails("status 303 instead of 200"));
    assert_eq!(ask("/round", true, &this).await, fails("it redirects more than 5 times"));
    assert_eq!(ask("/file", true, &this).await, fails("it redirects to what is no address of a page"));
    assert_eq!(ask("/away", false, "127.0.0.1").await, fails("status 307 instead of 200"));
    let Probed::NotRun { why } = ask("/away", true, &this).await else { panic!("a forbidden host was asked") };
    assert!(why.starts_with("this server may not ask `127.0.0.1:"), "{why}");
    assert_eq!(*seen.lock().expect("not poisoned"), Vec::<String>::new());
    assert_eq!(ask("/away", true, "127.0.0.1").await, passed());
    assert_eq!(*seen.lock().expect("not poisoned"), ["None None Some(\"p\")"]);
}

#[tokio::test]
async fn what_is_slow_closed_or_breaks_off_has_failed() {
    let silent = serve_silence().await;
    let check = serde_json::json!({"name": "page", "http": {"url": silent}});
    let answer = probe_for(settings(&["127.0.0.1"]), check, Span::millis(200)).await;
    assert_eq!(answer, fails("no answer within 200ms"));

    let slow = serve(Router::new().fallback(any(|| async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        "at last"
    })))
    .await;
    let Probed::Failed { why } = http(serde_json::json!({"url": slow, "within": "10ms"})).await else {
        panic!("too slow")
    };
    assert!(why.starts_with("took ") && why.ends_with(" ms, 10 ms allowed"), "{why}");

    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let refused = format!("no connection to `{closed}`: connection refused");
    assert_eq!(http(serde_json::json!({"url": format!("http://{closed}")})).await, fails(&refused));
    let tcp = serde_json::json!({"name": "port", "tcp": {"address": closed.to_string()}});
    assert_eq!(probe(settings(&["127.0.0.1"]), tcp).await, fails(&refused));

    let rude = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = rude.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = rude.accept().await {
            let _ = stream.read(&mut [0; 1_000]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        }
    });
    let Probed::Failed { why } = http(serde_json::json!({"url": format!("http://{address}")})).await else {
        panic!("half")
    };
    assert!(why.starts_with("the exchange broke off: "), "{why}");
}

#[tokio::test]
async fn of_a_body_at_most_a_mebibyte_is_read_and_a_scrap_is_shown() {
    let body = format!("{}needle", "x".repeat(1 << 20));
    let url = serve_answer(200, "application/json", body).await;
    let Probed::Failed { why } = http(serde_json::json!({"url": url, "body_contains": "needle"})).await else {
        panic!("found")
    };
    assert!(why.starts_with("the first 1 MiB of the body does not contain `needle`; it begins with `xxxx"), "{why}");
    assert!(why.chars().count() < 200, "{why}");
    assert_eq!(http(serde_json::json!({"url": url})).await, passed());
    assert_eq!(
        http(serde_json::json!({"url": url, "json": {"/a": 1}})).await,
        fails("the body is longer than 1 MiB, the most that is read as JSON")
    );
}

#[tokio::test]
async fn a_secret_is_used_by_leave_and_never_shown() {
    let url = serve(Router::new().fallback(any(|headers: HeaderMap| async move {
        format!("you said {}", headers.get("x-key").and_then(|v| v.to_str().ok()).unwrap_or_default())
    })))
    .await;
    let check = |env: &str| serde_json::json!({"name": "page", "http": {"url": url, "body_contains": "welcome", "headers": {"x-key": {"env": env}}}});
    let mut settings = settings(&["127.0.0.1"]);
    settings.secrets = Secrets::new([("SHOP_KEY".to_owned(), "sesame".to_owned())].into());
    let told = probe(settings.clone(), check("SHOP_KEY")).await;
    assert_eq!(told, fails("the body does not contain `welcome`; it begins with `you said …`"));
    let other = "the header `x-key` needs `HOME`; its operator can set it for the server and add `\"HOME\"` to `[checks] env` in clearway.toml";
    assert_eq!(probe(settings.clone(), check("HOME")).await, Probed::NotRun { why: other.into() });
    assert!(!format!("{settings:?}").contains("sesame"), "{settings:?}");
}

/// A certificate authority, and servers that show certificates of it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("is written");
        Self { issuer, dir }
    }

    fn settings(&self) -> CheckSettings {
        CheckSettings { ca_dir: Some(self.dir.path().to_owned()), ..settings(&["127.0.0.1"]) }
    }

    /// Serves pages over TLS with a certificate for `shop.test` and `127.0.0.1` that lasts for `hours`, which may be over.
    async fn serve(&self, hours: i64) -> SocketAddr {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["shop.test".into(), "127.0.0.1".into()]).expect("names");
        let away = Duration::from_secs(hours.unsigned_abs() * 3_600 + 60);
        params.not_before = (SystemTime::now() - Duration::from_secs(90 * 86_400)).into();
        params.not_after = if hours < 0 { SystemTime::now() - away } else { SystemTime::now() + away }.into();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key.into()).expect("fits");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let _ = stream.read(&mut [0; 4_096]).await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nsafe")
                        .await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        address
    }
}

#[tokio::test]
async fn a_certificate_is_trusted_for_its_name_and_lasts_or_the_reason_is_said() {
    let authority = Authority::new("the shop");
    let tls = |address: SocketAddr, more: serde_json::Value| {
        let mut check =
            serde_json::json!({"address": address.to_string(), "server_name": "shop.test", "ca_file": "ca.pem"});
        check.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        probe(authority.settings(), serde_json::json!({"name": "certificate", "tls": check}))
    };
    let none = || serde_json::json!({});
    let (long, short, over) =
        (authority.serve(90 * 24).await, authority.serve(3 * 24).await, authority.serve(-3 * 24).await);
    assert_eq!(tls(long, none()).await, passed());
    assert_eq!(tls(long, serde_json::json!({"server_name": "127.0.0.1"})).await, passed());
    let Probed::Failed { why } = tls(short, none()).await else { panic!("it ends soon") };
    assert!(why.starts_with("the certificate ends in 3 days, at ") && why.ends_with("; 14 days are wanted"), "{why}");
    assert_eq!(tls(short, serde_json::json!({"days_left": 2})).await, passed());
    assert_eq!(tls(over, none()).await, fails("the certificate ended 3 days ago"));
    assert_eq!(
        tls(long, serde_json::json!({"server_name": "other.test"})).await,
        fails("the certificate is not for `other.test`")
    );
    let stranger = Authority::new("a stranger").serve(90 * 24).await;
    assert_eq!(tls(stranger, none()).await, fails("the certificate is not trusted: its issuer is unknown"));
    let forged = Authority::new("the shop").serve(90 * 24).await;
    assert_eq!(tls(forged, none()).await, fails("the certificate is not trusted: its issuer did not sign it"));
    let missing = tls(long, serde_json::json!({"ca_file": "none.pem"})).await;
    assert!(
        matches!(&missing, Probed::NotRun { why } if why.starts_with("`none.pem` in `[checks] ca_dir` can't be read")),
        "{missing:?}"
    );
    let plain: SocketAddr =
        serve_answer(200, "text/plain", "").await.trim_start_matches("http://").parse().expect("an address");
    let Probed::Failed { why } = tls(plain, none()).await else { panic!("no TLS there") };
    assert!(why.starts_with("no TLS: "), "{why}");
    let check = serde_json::json!({"name": "certificate", "tls": {"address": long.to_string(), "ca_file": "ca.pem"}});
    let without = probe(settings(&["127.0.0.1"]), check).await;
    assert!(matches!(&without, Probed::NotRun { why } if why.contains("`[checks] ca_dir`")), "{without:?}");
}

#[tokio::test]
async fn a_page_over_tls_is_read_and_its_certificate_verified() {
    let authority = Authority::new("the shop");
    let address = authority.serve(90 * 24).await;
    let https = |more: serde_json::Value| {
        let mut check = serde_json::json!({"url": format!("https://{address}/"), "body_contains": "safe"});
        check.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        probe(authority.settings(), serde_json::json!({"name": "page", "http": check}))
    };
    assert_eq!(https(serde_json::json!({"ca_file": "ca.pem"})).await, passed());
    assert!(!matches!(https(serde_json::json!({})).await, Probed::Passed), "the system does not know this authority");
}

#[tokio::test]
async fn a_port_answers_what_is_expected_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 16];
            let count = stream.read(&mut heard).await.unwrap_or(0);
            let _ = stream.write_all(b"you said ").await;
            let _ = stream.write_all(&heard[..count]).await;
        }
    });
    let tcp = |more: serde_json::Value| {
        let mut check = serde_json::json!({"address": address});
        check.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        probe(settings(&["127.0.0.1"]), serde_json::json!({"name": "port", "tcp": check}))
    };
    assert_eq!(tcp(serde_json::json!({})).await, passed());
    assert_eq!(tcp(serde_json::json!({"send": "$cohort\r\n", "expect": "said v2"})).await, passed());
    let other = tcp(serde_json::json!({"send": "hi", "expect": "ho"})).await;
    assert_eq!(other, fails("`ho` did not come back, but `you said hi`"));
}

/// A resolver that knows a few names of `shop.test`. What does not fit into a datagram it gives over TCP.
async fn resolver() -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((count, from)) = udp.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..count], Over::Udp) {
                let _ = udp.send_to(&answer, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap_or(0);
            let mut query = vec![0; length.into()];
            let _ = stream.read_exact(&mut query).await;
            let answer = answer(&query, Over::Tcp).expect("is answered");
            let _ = stream.write_u16(u16::try_from(answer.len()).expect("short")).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    address
}

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Udp,
    Tcp,
}

fn answer(query: &[u8], over: Over) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        name += &format!("{}.", String::from_utf8_lossy(&query[at + 1..end]));
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    // `mail.shop.test` by a pointer to the name in the question.
    let mail = [&[4][..], b"mail", &[0xc0, 12]].concat();
    let (code, records): (u8, Vec<(u16, Vec<u8>)>) = match (name.as_str(), kind) {
        ("silent.shop.test.", _) => return None,
        ("broken.shop.test.", _) => (2, vec![]),
        ("v2.shop.test.", 1) => (0, vec![(1, vec![10, 0, 0, 2])]),
        ("shop.test.", 1) => (0, vec![(5, mail.clone()), (1, vec![10, 0, 0, 1]), (1, vec![10, 0, 0, 2])]),
        ("shop.test.", 28) => (0, vec![(28, std::net::Ipv6Addr::LOCALHOST.octets().to_vec())]),
        ("shop.test.", 5) => (0, vec![(5, mail)]),
        ("shop.test.", 2) => (0, vec![(2, mail)]),
        ("shop.test.", 15) => (0, vec![(15, [&[0, 10][..], &mail].concat())]),
        ("shop.test.", 16) => (0, vec![(16, [&[5][..], b"v=ok ", &[3], b"all"].concat())]),
        ("large.shop.test.", 1) => (0, (0..100).map(|i| (1, vec![10, 0, 1, i])).collect()),
        _ => (3, vec![]),
    };
    let is_cut = over == Over::Udp && records.len() > 20;
    let mut out = [&query[..2], &[0x81 | if is_cut { 2 } else { 0 }, 0x80 | code, 0, 1]].concat();
    let records = if is_cut { vec![] } else { records };
    out.extend_from_slice(&u16::try_from(records.len()).expect("few").to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&query[12..]);
    for (kind, data) in records {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}

#[tokio::test]
async fn a_name_has_the_records_that_are_wanted_or_the_reason_is_said() {
    let resolver = resolver().await;
    let dns = |more: serde_json::Value| {
        let mut check = serde_json::json!({"name": "shop.test", "resolver": resolver.to_string()});
        check.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        let check = serde_json::json!({"name": "name", "dns": check});
        probe_for(settings(&["127.0.0.1", "shop.test:53", "*.shop.test"]), check, Span::millis(700))
    };
    for good in [
        serde_json::json!({}),
        serde_json::json!({"contains": ["10.0.0.2"], "at_least": 2}),
        serde_json::json!({"equals": ["10.0.0.2", "10.0.0.1"]}),
        serde_json::json!({"type": "AAAA", "equals": ["0:0::1"]}),
        serde_json::json!({"type": "CNAME", "equals": ["Mail.shop.test."]}),
        serde_json::json!({"type": "NS", "contains": ["mail.shop.test"]}),
        serde_json::json!({"type": "MX", "equals": ["10 mail.shop.test"]}),
        serde_json::json!({"type": "TXT", "equals": ["v=ok all"]}),
        serde_json::json!({"name": "$cohort.shop.test", "equals": ["10.0.0.2"]}),
        serde_json::json!({"name": "large.shop.test", "at_least": 100}),
    ] {
        assert_eq!(dns(good.clone()).await, passed(), "{good}");
    }
    let wrong = [
        (
            serde_json::json!({"contains": ["10.0.0.3"]}),
            "`10.0.0.3` is not among the A records found: `10.0.0.1, 10.0.0.2`",
        ),
        (serde_json::json!({"equals": ["10.0.0.1"]}), "a A record that is not wanted was found: `10.0.0.2`"),
        (serde_json::json!({"at_least": 3}), "2 A records found instead of 3 or more"),
        (serde_json::json!({"name": "none.shop.test"}), "0 A records found instead of 1 or more"),
        (
            serde_json::json!({"name": "none.shop.test", "contains": ["10.0.0.1"]}),
            "`10.0.0.1` is not among the A records found: none",
        ),
        (serde_json::json!({"name": "silent.shop.test"}), "no answer within 700ms"),
    ];
    for (check, why) in wrong {
        assert_eq!(dns(check.clone()).await, fails(why), "{check}");
    }
    let broken = format!("the resolver `{resolver}` failed: it answered with the code 2");
    assert_eq!(dns(serde_json::json!({"name": "broken.shop.test"})).await, fails(&broken));
    let Probed::NotRun { why } = dns(serde_json::json!({"name": "other.test"})).await else { panic!("was asked") };
    assert!(why.starts_with("this server may not ask `other.test:53`"), "{why}");
}

#[tokio::test]
async fn the_systems_own_resolver_is_not_what_is_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("resolv.conf");
    let check = || serde_json::json!({"name": "name", "dns": {"name": "shop.test"}});
    let settings = || CheckSettings { resolv_conf: file.clone(), ..settings(&["shop.test"]) };
    let missing = probe(settings(), check()).await;
    assert!(
        matches!(&missing, Probed::NotRun { why } if why.ends_with("names no resolver; give the check a `resolver`")),
        "{missing:?}"
    );
    std::fs::write(&file, "# here\nsearch test\nnameserver 127.77.77.77\nnameserver 10.0.0.1\n").expect("is written");
    let silent = probe_for(settings(), check(), Span::millis(300)).await;
    assert!(matches!(&silent, Probed::NotRun { .. }), "{silent:?}");
}

// LC6
#[tokio::test]
async fn a_command_shows_how_it_ended_and_hides_what_it_said() {
    let run = |line: &str| serde_json::json!({"name": "smoke", "command": {"run": line}});
    assert_eq!(probe(settings(&[]), run("exit 0")).await, passed());
    assert_eq!(
        probe(settings(&[]), run("echo the shop is shut >&2; exit 3")).await,
        fails("exit code 3: the shop is shut")
    );
    // F7
    let secret = crate::read::secrets::samples::all(9).remove(1).secret;
    let said = probe(settings(&[]), run(&format!("echo shut for {secret}; exit 3"))).await;
    assert_eq!(said, fails("exit code 3: shut for [redacted: clearway-token]"));
    assert_eq!(
        probe_for(settings(&[]), run("sleep 60"), Span::millis(100)).await,
        fails("did not finish within 100ms")
    );
    let check: SyntheticCheck = serde_json::from_value(run("exit 0")).expect("a check");
    let act = Act { change: ChangeId::new(7), step: "1".into(), attempt: 1, files: BTreeMap::new() };
    let forbidden =
        Checks::new(settings(&[])).probe(&CommandSettings::forbidden(), &act, &check, "v2", Span::secs(1)).await;
    assert_eq!(forbidden, Probed::NotRun { why: NOT_ALLOWED.into() });
}
