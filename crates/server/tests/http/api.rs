//! The API as programs see it.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::world::{FILE, World, bearer, csrf, get, post};

#[tokio::test]
async fn who_is_not_known_gets_nothing_and_hears_how_to_log_in() {
    let world = World::new().await;
    let bare = world.send(get("/api/v1/changes").body(Body::empty()).expect("a request")).await;
    bare.problem(401, "unauthenticated");
    assert_eq!(bare.header("www-authenticate"), "Bearer realm=\"clearway\"");
    for wrong in ["Bearer nonsense", "Basic token-of-ada", "Bearer"] {
        let request = get("/api/v1/changes").header(header::AUTHORIZATION, wrong);
        world.send(request.body(Body::empty()).expect("a request")).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn who_may_nothing_reads_nothing_but_who_they_are() {
    let world = World::new().await;
    world.get("dora", "/api/v1/changes").await.problem(403, "not_allowed");
    world.get("eve", "/api/v1/changes").await.problem(403, "not_allowed");
    let dora = world.get("dora", "/api/v1/whoami").await.json();
    assert_eq!(dora, json!({"user": "dora", "name": null, "groups": [], "may": []}));
    let ada = world.get("ada", "/api/v1/whoami").await.json();
    assert_eq!((&ada["name"], &ada["groups"]), (&json!("Ada"), &json!(["sre"])));
}

#[tokio::test]
async fn a_file_is_checked_without_being_proposed() {
    let world = World::new().await;
    let good = world.post("cleo", "/api/v1/changes/check", &json!({"file": FILE})).await.json();
    assert_eq!(good["valid"], true);
    assert!(good["effect_digest"].as_str().is_some_and(|d| d.starts_with("sha256:")));
    assert_eq!(good["plan"]["steps"].as_array().map(Vec::len), Some(3));
    let bad = world.post("cleo", "/api/v1/changes/check", &json!({"file": FILE.replace("paper", "papier")})).await;
    assert_eq!((bad.status, &bad.json()["valid"]), (StatusCode::OK, &json!(false)));
    assert!(bad.json()["problems"][0]["place"]["line"].as_u64().is_some_and(|line| line == 6), "{}", bad.text);
    assert_eq!(world.get("ada", "/api/v1/changes").await.json(), json!({"changes": []}));
}

fn with_key(key: &str, file: &str) -> Request<Body> {
    let request = post("/api/v1/changes", "application/json").header(header::AUTHORIZATION, bearer("ada"));
    request.header("idempotency-key", key).body(Body::from(json!({"file": file}).to_string())).expect("a request")
}

#[tokio::test]
async fn the_same_key_is_the_same_change_and_never_another() {
    let world = World::new().await;
    let first = world.send(with_key("k1", FILE)).await;
    assert_eq!((first.status, first.header("location")), (StatusCode::CREATED, "/api/v1/changes/CHG-1"));
    let again = world.send(with_key("k1", FILE)).await;
    assert_eq!((again.status, again.header("location")), (StatusCode::CREATED, "/api/v1/changes/CHG-1"));
    let other = FILE.replace("Raise", "Lower");
    world.send(with_key("k1", &other)).await.problem(422, "idempotency_key_reused");
    assert_eq!(world.send(with_key("k2", &other)).await.header("location"), "/api/v1/changes/CHG-2");
    world.send(with_key(&"x".repeat(201), FILE)).await.problem(400, "malformed");
}

#[tokio::test]
async fn what_can_not_be_read_is_refused_in_words() {
    let world = World::new().await;
    let path = "/api/v1/changes";
    let invalid = world.post("ada", path, &json!({"file": "title: x\nkindd: y\n"})).await.problem(422, "invalid_file");
    assert!(invalid["problems"].as_array().is_some_and(|p| p.len() > 3), "{invalid}");
    let unknown = world.post("ada", path, &json!({"file": FILE, "fles": {}})).await.problem(400, "malformed");
    assert!(unknown["detail"].as_str().is_some_and(|d| d.contains("unknown field `fles`")), "{unknown}");
    let huge = json!({"file": "x".repeat(2_000_000)});
    world.post("ada", path, &huge).await.problem(413, "too_large");
    let text = post(path, "text/plain").header(header::AUTHORIZATION, bearer("ada"));
    world.send(text.body(Body::from("x")).expect("a request")).await.problem(415, "unsupported_media_type");
    world.get("ada", "/api/v1/changes?colour=red").await.problem(400, "malformed");
    world.get("ada", "/api/v1/changes?phase=done").await.problem(400, "malformed");
    world.get("ada", "/api/v1/changes?limit=201").await.problem(400, "malformed");
    world.get("ada", "/api/v1/changes/CHG-x").await.problem(400, "malformed");
    world.get("ada", "/api/v1/changes/CHG-9").await.problem(404, "not_found");
    world.get("ada", "/api/v1/changes/CHG-9/looks").await.problem(404, "not_found");
    world.get("ada", "/api/v1/log/x/proof").await.problem(400, "malformed");
    world.get("ada", "/api/v1/nowhere").await.problem(404, "not_found");
    world.get("ada", "/api/v1/changes/CHG-9/approve").await.problem(405, "method_not_allowed");
    world.get("ada", "/api/v1/schemas/novel").await.problem(404, "not_found");
    world.get("ada", "/api/v1/measures?from=yesterday").await.problem(400, "malformed");
}

#[tokio::test]
async fn a_change_is_shown_with_its_steps_gates_and_log() {
    let world = World::new().await;
    let shown = world.proposed().await;
    assert_eq!((&shown["phase"], &shown["url"]), (&json!("assessed"), &json!("http://localhost:8080/changes/CHG-1")));
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(4));
    assert_eq!(shown["approvals"][0]["requirement"]["count"], 2);
    let gates = world.get("cleo", "/api/v1/changes/1/gates").await.json();
    assert_eq!(gates["gates"].as_array().map(Vec::len), Some(6));
    let log = world.get("cleo", "/api/v1/changes/CHG-1/log").await.json();
    assert_eq!((&log["entries"][0]["type"], &log["entries"][0]["actor"]), (&json!("Proposed"), &json!("user:ada")));
    assert!(log["entries"][0]["sentence"].as_str().is_some_and(|s| s.starts_with("proposed `Raise the pool`")));
    let list = world.get("cleo", "/api/v1/changes?phase=waiting&service=checkout").await.json();
    assert_eq!(list["changes"][0]["id"], "CHG-1");
    assert!(list["changes"][0].get("state").is_none(), "the inside of a row is not shown");
    assert_eq!(world.get("cleo", "/api/v1/changes?phase=ended").await.json(), json!({"changes": []}));
}

#[tokio::test]
async fn an_approval_is_for_the_effect_that_was_looked_at_and_by_somebody_else() {
    let world = World::new().await;
    let shown = world.proposed().await;
    let effect = shown["change"]["proposal"]["effect_digest"].clone();
    let path = "/api/v1/changes/CHG-1/approve";
    world.post("ada", path, &json!({"effect": effect})).await.problem(403, "own_change");
    world.post("cleo", path, &json!({"effect": effect})).await.problem(403, "not_allowed");
    let other = format!("sha256:{}", "0".repeat(64));
    let stale = world.post("bob", path, &json!({"effect": other})).await.problem(409, "stale_effect");
    assert!(stale["help"].as_str().is_some_and(|h| h.contains("clearway show CHG-1")), "{stale}");
    world.post("bob", path, &json!({"effect": "yes"})).await.problem(400, "malformed");
    let approved = world.post("bob", path, &json!({"effect": effect, "comment": "fine"})).await;
    assert_eq!(approved.json()["change"]["votes"][0]["voter"], "user:bob");
    world.post("bob", path, &json!({"effect": effect})).await.problem(409, "already_voted");
}

#[tokio::test]
async fn each_command_reaches_the_core() {
    let world = World::new().await;
    world.proposed().await;
    let ask = async |what: &str, body: serde_json::Value| {
        world.post("bob", &format!("/api/v1/changes/1/{what}"), &body).await
    };
    let reason = json!({"reason": "because"});
    ask("pause", reason.clone()).await.problem(409, "wrong_phase");
    ask("resume", json!({})).await.problem(409, "wrong_phase");
    ask("promote", reason.clone()).await.problem(409, "wrong_phase");
    ask("rollback", reason.clone()).await.problem(409, "nothing_to_roll_back");
    ask("complete", json!({"evidence": "looked"})).await.problem(409, "wrong_phase");
    ask("review", json!({"summary": "learnt"})).await.problem(409, "wrong_phase");
    ask("reject", json!({"reason": " "})).await.problem(422, "reason_needed");
    let amended = ask("amend", json!({"file": FILE.replace("Raise", "Lower")})).await.json();
    assert_eq!(amended["change"]["proposal"]["title"], "Lower the pool");
    ask("amend", json!({"file": "nonsense"})).await.problem(422, "invalid_file");
    assert_eq!(ask("withdraw", reason.clone()).await.json()["phase"], "withdrawn");
    ask("reject", reason).await.problem(409, "wrong_phase");
}

#[tokio::test]
async fn a_session_of_the_pages_reads_and_changes_something_only_with_its_token() {
    let world = World::new().await;
    world.proposed().await;
    let cookie = world.logged_in("bob").await;
    assert_eq!(world.page(&cookie, "/api/v1/changes/1").await.status, StatusCode::OK);
    let withdraw = |token: &str| {
        let request = post("/api/v1/changes/1/withdraw", "application/json").header(header::COOKIE, &cookie);
        request.header("x-csrf-token", token).body(Body::from(r#"{"reason": "x"}"#)).expect("a request")
    };
    world.send(withdraw("")).await.problem(403, "not_allowed");
    world.send(withdraw("guess")).await.problem(403, "not_allowed");
    let token = csrf(&world.page(&cookie, "/").await.text);
    assert_eq!(world.send(withdraw(&token)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_listener_hears_how_a_change_stands_and_then_that_it_moves() {
    let world = World::new().await;
    world.proposed().await;
    let request = get("/api/v1/changes/1/events").header(header::AUTHORIZATION, bearer("cleo"));
    let response =
        world.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let mut heard = String::new();
    for wanted in ["\"phase\":\"assessed\"", "\"phase\":\"withdrawn\""] {
        while !heard.contains(wanted) {
            let frame = tokio::time::timeout(std::time::Duration::from_secs(10), body.frame()).await;
            let frame = frame.expect("news in time").expect("a stream that goes on").expect("a frame");
            heard.push_str(&String::from_utf8_lossy(&frame.into_data().expect("text")));
        }
        world.post("ada", "/api/v1/changes/1/withdraw", &json!({"reason": "x"})).await;
    }
    assert!(heard.contains("event: change") && heard.contains("retry: 2000"), "{heard}");
    world.get("cleo", "/api/v1/changes/9/events").await.problem(404, "not_found");
}

#[tokio::test]
async fn drivers_schemas_and_measures_are_shown() {
    let world = World::new().await;
    let drivers = world.get("cleo", "/api/v1/drivers").await.json();
    assert_eq!(drivers, json!({"drivers": [{"name": "paper", "schema": {"type": "object"}}]}));
    let schema = world.get("cleo", "/api/v1/schemas/change").await;
    assert_eq!(
        (schema.header("content-type"), &schema.json()["title"]),
        ("application/schema+json", &json!("ChangeFile"))
    );
    world.proposed().await;
    assert_eq!(world.get("cleo", "/api/v1/measures").await.status, StatusCode::OK);
}

// LC2, D4: the catalog in force can be read, and a service that is not in it is said to be missing.
#[tokio::test]
async fn the_catalog_is_shown_and_a_stranger_in_it_is_not_found() {
    let world = World::new().await;
    let catalog = world.get("ada", "/api/v1/catalog").await;
    assert_eq!((catalog.status, catalog.json()), (StatusCode::OK, json!({"services": [], "findings": []})));
    world.get("ada", "/api/v1/services/ghost").await.problem(404, "not_found");
}

// U1, I10: what others do pushes nothing out of a list that they would not see.
#[tokio::test]
async fn a_reader_sees_their_own_release_however_many_newer_ones_others_have() {
    let world = World::new().await;
    let release = |service: &str| {
        let file = "title: Together\nowner: sre\nchanges: [{name: pool, change: pool.yaml}]\n";
        let change = FILE.replace("services: [checkout]", &format!("services: [{service}]"));
        json!({"file": file, "changes": {"pool": {"file": change}}})
    };
    for service in std::iter::once("search").chain(std::iter::repeat_n("checkout", 201)) {
        let answer = world.post("ada", "/api/v1/releases", &release(service)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    let listed = async |person: &str| world.get(person, "/api/v1/releases").await.json()["releases"].clone();
    let of_eli = listed("eli").await;
    assert_eq!(of_eli.as_array().map(Vec::len), Some(1), "{of_eli}");
    assert_eq!(of_eli[0]["id"], "REL-1");
    assert_eq!(listed("cleo").await.as_array().map(Vec::len), Some(200), "at most");
}
