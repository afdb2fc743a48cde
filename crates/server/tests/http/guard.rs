//! The guard over HTTP: what is refused, how that is said, and that nothing is quoted. Which texts are secrets is not its matter: here one made-up form is.

use axum::body::Body;
use serde_json::json;

use crate::world::{FILE, World, bearer, csrf, get};

const PLANTED: &str = "planted-abcdefgh";

// F7
#[tokio::test]
async fn a_request_with_a_secret_is_refused_with_its_place_and_without_its_words() {
    let world = World::new().await;
    let file = format!("{FILE}# here: {PLANTED}\n");
    let refused = world.post("ada", "/api/v1/changes", &json!({"file": file})).await;
    let problem = refused.problem(422, "secret_found");
    let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
    assert_eq!(detail, "`/file` holds what looks like a secret: line 8, column 9, `plan…` (`planted`)");
    assert!(problem["help"].as_str().is_some_and(|help| help.contains("replace the secret by a new one")));
    assert!(!refused.text.contains(PLANTED));
    let refused = world.get("ada", "/api/v1/changes?service=planted%2Dabcdefgh").await;
    assert_eq!(
        refused.problem(422, "secret_found")["detail"],
        "`service` of the query holds what looks like a secret: `plan…` (`planted`)"
    );
    assert_eq!(
        world.handle.log(0, 100).await.map(|log| log.iter().filter(|r| r.change.is_some()).count()).ok(),
        Some(0)
    );
}

#[tokio::test]
async fn who_may_not_ask_is_told_so_before_anything_is_read() {
    let world = World::new().await;
    let refused = world.post("dora", "/api/v1/changes", &json!({"file": PLANTED})).await;
    refused.problem(403, "not_allowed");
}

// F7: a form too, and as a page.
#[tokio::test]
async fn a_form_with_a_secret_is_refused_with_a_page() {
    let world = World::new().await;
    world.proposed().await;
    let cookie = world.logged_in("ada").await;
    let token = csrf(&world.page(&cookie, "/").await.text);
    let effect = format!("sha256%3A{}", "0".repeat(64));
    let sent = world
        .form(Some(&cookie), "/changes/CHG-1/pause", &format!("csrf={token}&effect={effect}&text=it+is+{PLANTED}"))
        .await;
    assert_eq!(sent.status, 422);
    assert!(sent.text.contains("looks like a secret") && !sent.text.contains(PLANTED), "{}", sent.text);
    let request = get(&format!("/{PLANTED}")).header("accept", "text/html").header("authorization", bearer("ada"));
    let page = world.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (422, "text/html; charset=utf-8"));
    assert!(!page.text.contains(PLANTED));
}

// F7: the list of what is allowed has the salt, and is for those who need it.
#[tokio::test]
async fn the_allow_list_is_for_those_who_may_propose() {
    let world = World::new().await;
    assert_eq!(world.get("ada", "/api/v1/secrets").await.json(), json!({"allow": []}));
    let refused = world.get("cleo", "/api/v1/secrets").await;
    refused.problem(403, "not_allowed");
}
