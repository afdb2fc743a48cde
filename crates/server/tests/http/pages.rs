//! The pages as a browser sees them.

use axum::body::Body;
use axum::http::{StatusCode, header};

use crate::world::{World, csrf, get, post};

#[tokio::test]
async fn a_page_leads_to_the_login_and_back() {
    let world = World::new().await;
    let turned = world.send(get("/changes?phase=active").body(Body::empty()).expect("a request")).await;
    assert_eq!(
        (turned.status, turned.header("location")),
        (StatusCode::SEE_OTHER, "/login?next=%2Fchanges%3Fphase%3Dactive")
    );
    let login = world.send(get(turned.header("location")).body(Body::empty()).expect("a request")).await;
    assert!(login.text.contains("name=\"next\" value=\"/changes?phase=active\""), "{}", login.text);
    let wrong = world.form(None, "/login", "token=wrong&next=%2F").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.header("set-cookie").is_empty() && wrong.text.contains("the token is not known"));
    let right = world.form(None, "/login", "token=token-of-ada&next=%2F%2Fevil.example").await;
    assert_eq!((right.status, right.header("location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = right.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn over_https_the_cookie_is_for_this_host_alone() {
    let world = World::with("https://clearway.example/", false).await;
    let cookie = world.logged_in("ada").await;
    assert!(cookie.starts_with("__Host-clearway_session="), "{cookie}");
    assert_eq!(world.page(&cookie, "/").await.status, StatusCode::OK);
    assert_eq!(world.page(&cookie.replace("__Host-", ""), "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_link_logs_in_once_and_a_preview_does_not_use_it_up() {
    let world = World::new().await;
    let path = "/login?code=once&next=%2Flog";
    let head = axum::http::Request::head(path).body(Body::empty()).expect("a request");
    assert!(world.send(head).await.header("set-cookie").is_empty());
    let first = world.send(get(path).body(Body::empty()).expect("a request")).await;
    assert_eq!((first.status, first.header("location")), (StatusCode::SEE_OTHER, "/log"));
    let cookie = first.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    assert_eq!(world.page(&cookie, "/log").await.status, StatusCode::OK);
    assert_eq!(world.send(get(path).body(Body::empty()).expect("a request")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let world = World::new().await;
    for _ in 0..20 {
        assert_eq!(world.form(None, "/login", "token=guess").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.form(None, "/login", "token=token-of-ada").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_first_page_says_what_to_do_first() {
    let world = World::new().await;
    let cookie = world.logged_in("cleo").await;
    let page = world.page(&cookie, "/").await;
    assert!(page.text.contains("clearway propose change.yaml"), "{}", page.text);
    assert_eq!(page.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_form_approves_what_was_on_the_page() {
    let world = World::new().await;
    world.proposed().await;
    let cookie = world.logged_in("bob").await;
    let page = world.page(&cookie, "/changes/CHG-1").await;
    assert!(page.text.contains("action=\"/changes/CHG-1/approve\""), "{}", page.text);
    let (_, rest) = page.text.split_once("name=\"effect\" value=\"").expect("the effect");
    let effect = rest.split('"').next().expect("a digest").replace(':', "%3A");
    let token = csrf(&page.text);
    let done = world
        .form(Some(&cookie), "/changes/CHG-1/approve", &format!("csrf={token}&effect={effect}&text=looks+fine"))
        .await;
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, "/changes/CHG-1?done=approve"),
        "{}",
        done.text
    );
    let after = world.page(&cookie, "/changes/CHG-1?done=approve").await;
    assert!(after.text.contains("Your approval is in the log") && after.text.contains("looks fine"), "{}", after.text);
    assert!(!after.text.contains("action=\"/changes/CHG-1/approve\""));
}

const RULES: &str = r#"# METADATA
# custom: {level: soft, override_by: [sre]}
package clearway.shop

import rego.v1

deny contains {"code": "weekend", "reason": "the shop is full at the weekend"}
deny contains {"code": "runbook", "reason": "no runbook is named"}
checklist contains {"list": "before", "code": "told", "title": "the shift lead was told"}
checklist contains {"list": "before", "code": "tests", "title": "its tests are green", "tick": "evidence"}
"#;

/// The form of an act on a page.
fn form_of<'a>(page: &'a str, act: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!("action=\"/changes/CHG-1/{act}\"")).unwrap_or_else(|| panic!("{act}: {page}"));
    rest.split("</form>").next().unwrap_or(rest)
}

fn field(form: &str, name: &str) -> String {
    let (_, rest) = form.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {form}"));
    rest.split('"').next().expect("a value").replace(':', "%3A").replace('/', "%2F")
}

// F4, X16
#[tokio::test]
async fn a_soft_rule_is_overridden_and_a_point_ticked_on_the_page() {
    let world = World::under(RULES).await;
    world.proposed().await;
    let author = world.logged_in("ada").await;
    let page = world.page(&author, "/changes/CHG-1").await.text;
    assert!(!page.contains("action=\"/changes/CHG-1/override\""), "the author overrides nothing: {page}");
    let bob = world.logged_in("bob").await;
    let page = world.page(&bob, "/changes/CHG-1").await.text;
    let form = form_of(&page, "override");
    for wanted in ["value=\"weekend\" required", "value=\"runbook\" required", "for the effect "] {
        assert!(form.contains(wanted), "{wanted} in {form}");
    }
    let sent = format!("csrf={}&effect={}&rule=weekend&text=it+is+small", csrf(&page), field(form, "effect"));
    let without_reason = sent.replace("it+is+small", "");
    let refused = world.form(Some(&bob), "/changes/CHG-1/override", &without_reason).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    let done = world.form(Some(&bob), "/changes/CHG-1/override", &sent).await;
    assert_eq!(done.header("location"), "/changes/CHG-1?done=override", "{}", done.text);
    let page = world.page(&bob, "/changes/CHG-1?done=override").await.text;
    assert!(page.contains("The rule is set aside") && page.contains("it is small"), "{page}");
    assert!(!form_of(&page, "override").contains("value=\"weekend\""), "one rule is left: {page}");

    let form = form_of(&page, "tick");
    assert!(!form.contains("tests"), "only evidence ticks that: {form}");
    let sent = format!("csrf={}&effect={}&point={}", csrf(&page), field(form, "effect"), field(form, "point"));
    let done = world.form(Some(&bob), "/changes/CHG-1/tick", &format!("{sent}&text=she+said+yes")).await;
    assert_eq!(done.header("location"), "/changes/CHG-1?done=tick", "{}", done.text);
    let change = world.get("ada", "/api/v1/changes/1").await.json()["change"].clone();
    assert_eq!((&change["set_aside"][0]["code"], &change["ticked"][0]["code"]), (&"weekend".into(), &"told".into()));
    let page = world.page(&bob, "/changes/CHG-1").await.text;
    assert!(page.contains("she said yes") && !page.contains("action=\"/changes/CHG-1/tick\""), "{page}");
}

// F2
#[tokio::test]
async fn what_was_amended_since_the_page_was_read_is_neither_overridden_nor_ticked() {
    let world = World::under(RULES).await;
    world.proposed().await;
    let bob = world.logged_in("bob").await;
    let token = csrf(&world.page(&bob, "/changes/CHG-1").await.text);
    let seen = format!("csrf={token}&effect=sha256%3A{}&text=yes&rule=weekend&point=before%2Ftold", "0".repeat(64));
    for act in ["override", "tick", "break-glass"] {
        let refused = world.form(Some(&bob), &format!("/changes/CHG-1/{act}"), &seen).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{act}: {}", refused.text);
        assert!(refused.text.contains("has the effect"), "{act}: {}", refused.text);
    }
    let change = world.get("ada", "/api/v1/changes/1").await.json()["change"].clone();
    // Neither is written where there is none.
    assert!(
        change["proposal"].is_object() && change["set_aside"].is_null() && change["ticked"].is_null(),
        "{change:#}"
    );
}

#[tokio::test]
async fn a_form_without_the_token_of_its_session_does_nothing() {
    let world = World::new().await;
    let before = world.proposed().await;
    let (bob, other) = (world.logged_in("bob").await, world.logged_in("ada").await);
    let effect = before["change"]["proposal"]["effect_digest"].as_str().expect("a digest").replace(':', "%3A");
    let of_another = csrf(&world.page(&other, "/").await.text);
    for token in ["", "guess", &of_another] {
        let refused = world.form(Some(&bob), "/changes/CHG-1/approve", &format!("csrf={token}&effect={effect}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    let bare = world.form(None, "/changes/CHG-1/approve", &format!("csrf={of_another}&effect={effect}")).await;
    assert_eq!((bare.status, bare.header("location")), (StatusCode::SEE_OTHER, "/login?next=%2Fchanges%2FCHG-1"));
    let login = post("/login", "application/x-www-form-urlencoded").header("sec-fetch-site", "cross-site");
    let forced = world.send(login.body(Body::from("token=token-of-ada")).expect("a request")).await;
    assert!(forced.status == StatusCode::FORBIDDEN && forced.header("set-cookie").is_empty());
    assert_eq!(world.get("ada", "/api/v1/changes/1").await.json()["change"]["votes"], serde_json::json!([]));
}

#[tokio::test]
async fn a_refusal_is_a_page_with_the_reason_and_a_way_back() {
    let world = World::new().await;
    world.proposed().await;
    let cookie = world.logged_in("ada").await;
    let page = world.page(&cookie, "/changes/CHG-1").await.text;
    assert!(page.contains("You can&#39;t approve it") || page.contains("You can't approve it"), "{page}");
    let form = format!("csrf={}&effect=sha256%3A{}", csrf(&page), "0".repeat(64));
    let refused = world.form(Some(&cookie), "/changes/CHG-1/pause", &form).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused.text.contains("only a rollout can be paused") && refused.text.contains("href=\"/changes/CHG-1\""),
        "{}",
        refused.text
    );
    assert_eq!(world.form(Some(&cookie), "/changes/CHG-1/explode", &form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.page(&cookie, "/changes/CHG-9").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.page(&cookie, "/changes/nonsense").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_fragment_is_the_page_without_its_frame() {
    let world = World::new().await;
    world.proposed().await;
    let cookie = world.logged_in("cleo").await;
    for path in ["/changes/CHG-1?fragment=1", "/changes?fragment=1", "/?fragment=1"] {
        let text = world.page(&cookie, path).await.text;
        assert!(text.contains("data-live") && !text.contains("<html"), "{path}: {text}");
    }
}

#[tokio::test]
async fn who_logs_out_is_out() {
    let world = World::new().await;
    let cookie = world.logged_in("ada").await;
    let token = csrf(&world.page(&cookie, "/").await.text);
    assert_eq!(world.form(Some(&cookie), "/logout", "csrf=guess").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.page(&cookie, "/").await.status, StatusCode::OK);
    let out = world.form(Some(&cookie), "/logout", &format!("csrf={token}")).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert_eq!(world.page(&cookie, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn who_may_nothing_is_told_so_on_a_page() {
    let world = World::new().await;
    let cookie = world.logged_in("dora").await;
    let page = world.page(&cookie, "/changes").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("may not read here") && page.text.contains("Log out"), "{}", page.text);
    let reader = world.logged_in("cleo").await;
    assert_eq!(world.page(&reader, "/log").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_from_another_site_is_followed_with_the_session() {
    let world = World::new().await;
    let request = get("/changes/CHG-1").header("sec-fetch-site", "cross-site").header(header::ACCEPT, "text/html");
    let again = world.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.text.contains("http-equiv=\"refresh\" content=\"0;url=/changes/CHG-1\""), "{}", again.text);
}
