//! What holds for every answer, and what operators ask.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;

use crate::world::{World, always, get};

#[tokio::test]
async fn every_answer_keeps_browsers_in_bounds() {
    let world = World::new().await;
    for path in
        ["/", "/login", "/api", "/api/v1/changes", "/assets/app.css", "/nowhere", "/livez", "/log", "/openapi.json"]
    {
        let answer = world.get("ada", path).await;
        for name in always() {
            assert!(!answer.header(name).is_empty(), "{path}: {name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn a_server_whose_store_fails_lives_and_is_not_ready() {
    let world = World::new().await;
    assert_eq!(world.get("", "/readyz").await.text, "ready\n");
    world.store.is_broken.store(true, Ordering::SeqCst);
    assert_eq!(world.get("", "/livez").await.text, "ok\n");
    world.get("", "/readyz").await.problem(503, "busy");
    let failed = world.get("ada", "/api/v1/changes").await;
    failed.problem(500, "internal");
    assert!(!failed.text.contains("secret disk"), "{}", failed.text);
    world.store.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(world.get("", "/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_is_counted() {
    let world = World::new().await;
    let request =
        get("/api/v1/whoami").header("authorization", "Bearer poison").body(Body::empty()).expect("a request");
    let answer = world.send(request).await;
    answer.problem(500, "internal");
    assert!(!answer.text.contains("desk"), "{}", answer.text);
    assert!(world.get("", "/metrics").await.text.contains("clearway_http_panics_total 1"));
}

#[tokio::test]
async fn metrics_name_routes_and_never_changes() {
    let world = World::new().await;
    world.get("ada", "/api/v1/changes/770077007").await;
    world.get("ada", "/secret/path").await;
    let text = world.get("", "/metrics").await.text;
    assert!(text.contains(r#"route="/api/v1/changes/{id}",method="GET",status="4xx""#), "{text}");
    assert!(!text.contains("770077007") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn every_operation_of_the_document_is_answered() {
    let world = World::new().await;
    let document = world.get("", "/openapi.json").await.json();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for verb in item.as_object().expect("operations").keys() {
            let path = path
                .replace("{id}", "CHG-1")
                .replace("{position}", "0")
                .replace("{kind}", "change")
                .replace("{path}", "0/000");
            let method: Method = verb.to_uppercase().parse().expect("a method");
            let bare = Request::builder().method(method).uri(&path).body(Body::empty()).expect("a request");
            let answer = world.send(bare).await;
            let is_missing =
                answer.text.contains("there is nothing at") || answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert!(!is_missing, "{verb} {path}: {}", answer.text);
            let is_open =
                ["/livez", "/readyz", "/metrics", "/openapi.json", "/api/v1/schemas/change"].contains(&path.as_str());
            assert_eq!(answer.status == StatusCode::UNAUTHORIZED, !is_open, "{verb} {path}");
        }
    }
    assert!(matches!(serde_json::to_value(server::openapi()), Ok(same @ Value::Object(_)) if same == document));
}
