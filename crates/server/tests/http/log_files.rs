//! The log: its entries for auditors, its files for tools, and a proof for everybody who may read.

use axum::body::Body;
use axum::http::StatusCode;

use crate::world::{World, get};

#[tokio::test]
async fn the_log_of_all_changes_is_for_auditors() {
    let world = World::new().await;
    for path in ["/api/v1/log", "/checkpoint", "/tile/entries/000"] {
        world.get("cleo", path).await.problem(403, "not_allowed");
        world.send(get(path).body(Body::empty()).expect("a request")).await.problem(401, "unauthenticated");
        assert_eq!(world.get("ada", path).await.status, StatusCode::OK, "{path}");
    }
    let log = world.get("ada", "/api/v1/log?limit=1").await.json();
    assert_eq!((log["entries"][0]["type"].as_str(), log["next"].as_u64()), (Some("ServerStarted"), Some(1)));
}

#[tokio::test]
async fn a_public_log_is_for_everybody_and_for_shared_caches() {
    let world = World::with("https://clearway.example", true).await;
    let bare = async |path: &str| world.send(get(path).body(Body::empty()).expect("a request")).await;
    let checkpoint = bare("/checkpoint").await;
    assert_eq!(
        (checkpoint.header("content-type"), checkpoint.header("cache-control")),
        ("text/plain; charset=utf-8", "public, max-age=1")
    );
    let tile = bare("/tile/0/000.p/3").await;
    assert_eq!((tile.text.as_str(), tile.header("content-type")), ("tile/0/000.p/3", "application/octet-stream"));
    assert_eq!(tile.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(bare("/api/v1/log").await.status, StatusCode::OK);
    assert_eq!(bare("/log").await.status, StatusCode::OK);
    bare("/api/v1/changes").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn only_names_that_the_format_has_reach_the_store() {
    let world = World::new().await;
    for path in ["/tile/..%2F..%2Fcheckpoint", "/tile/0/001", "/tile/0/000.p/256", "/tile/checkpoint", "/tile/0"] {
        world.get("ada", path).await.problem(404, "not_found");
    }
    assert_eq!(world.get("ada", "/checkpoint").await.header("cache-control"), "private, max-age=1");
}

#[tokio::test]
async fn each_entry_has_a_proof() {
    let world = World::new().await;
    let proof = world.get("cleo", "/api/v1/log/0/proof").await;
    assert!(proof.text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"), "{}", proof.text);
    assert_eq!(proof.header("content-disposition"), "inline; filename=\"0.tlog-proof\"");
    world.get("cleo", "/api/v1/log/99/proof").await.problem(404, "not_found");
}
