//! The forms of what keeps changes apart, as a browser sends them: exceptions, holds and vetoes, releases.
//!
//! Each is tried by those who may and by those who may not, with the token of another session, and with what nobody types by accident.

use axum::body::Body;
use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use crate::world::{Answer, FILE, World, bearer, csrf, get};

/// A text as a form sends it.
fn sent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn form(csrf: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, text)| format!("&{name}={}", sent(text))).collect();
    format!("csrf={csrf}{fields}")
}

/// A reader with a page open.
struct Reader<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

impl<'a> Reader<'a> {
    async fn new(world: &'a World, user: &str) -> Self {
        let cookie = world.logged_in(user).await;
        let csrf = csrf(&world.page(&cookie, "/calendar").await.text);
        Self { world, cookie, csrf }
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.world.page(&self.cookie, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.world.form(Some(&self.cookie), path, &form(&self.csrf, fields)).await
    }

    /// Sends what is taken, and follows to the page that says so.
    async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.send(path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path} {fields:?}: {}", answer.text);
        self.page(answer.header("location").split('#').next().unwrap_or_default()).await
    }

    /// Sends what is refused beside a field: the form is open, and what was typed stands in it.
    async fn refused(&self, path: &str, fields: &[(&str, &str)], beside: &str, why: &str) -> Answer {
        let answer = self.send(path, fields).await;
        assert!(answer.status.is_client_error(), "{path} {fields:?}: {} {}", answer.status, answer.text);
        let said = answer.text.split_once(&format!("id=\"{beside}-fault\""));
        let said = said.map(|(_, rest)| rest.split("</div>").next().unwrap_or_default()).unwrap_or_default();
        assert!(said.contains(why), "{path} {fields:?}: `{why}` beside `{beside}` in {}", answer.text);
        assert!(answer.text.contains("aria-invalid=\"true\"") && answer.text.contains(" open>"), "{}", answer.text);
        assert!(!answer.text.contains("data-events"), "news would take away what was typed");
        answer
    }
}

async fn change(world: &World) -> Value {
    world.get("ada", "/api/v1/changes/1").await.json()["change"].clone()
}

const FREEZE: &str = "clos<i>ng";

// LC4: asked for, granted by the owner of the freeze, seen by everybody, and ended again; all on the page.
#[tokio::test]
async fn an_exception_is_asked_for_granted_and_revoked_on_the_page_of_the_calendar() {
    let world = World::coordinated().await;
    world.proposed().await;
    let ask = [("change", "CHG-1"), ("freeze", FREEZE), ("until", "2h"), ("reason", "the <b>rate</b> changes")];
    let (ada, bob, cleo) =
        (Reader::new(&world, "ada").await, Reader::new(&world, "bob").await, Reader::new(&world, "cleo").await);
    assert!(!cleo.page("/calendar").await.contains("action=\"/calendar/"), "who only reads asks for nothing");
    let page = ada.done("/calendar/ask", &ask).await;
    assert!(page.contains("It is asked for") && page.contains("the &lt;b&gt;rate&lt;/b&gt; changes"), "{page}");
    assert!(page.contains("You can't grant it") && !page.contains("action=\"/calendar/grant\""), "{page}");

    let page = bob.page("/calendar").await;
    let asked = page.split_once("name=\"seen\" value=\"").expect("when").1.split('"').next().expect("a time");
    let this = [("change", "CHG-1"), ("freeze", FREEZE)];
    let late = [this[0], this[1], ("seen", "2026-01-01T00:00:00Z")];
    let stale = bob.send("/calendar/grant", &late).await;
    assert!(stale.status == StatusCode::CONFLICT && stale.text.contains("asks for one until"));
    let own = ada.send("/calendar/grant", &[this[0], this[1], ("seen", asked)]).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "{}", own.text);
    let page = bob.done("/calendar/grant", &[this[0], this[1], ("seen", asked)]).await;
    assert!(page.contains("Granted by bob") && page.contains("with your name"), "{page}");
    assert!(cleo.page("/calendar").await.contains("Granted by bob"), "everybody sees who granted it");
    assert_eq!(change(&world).await["exceptions"][0]["granted"]["by"], "user:bob");

    bob.refused(
        "/calendar/revoke",
        &[this[0], this[1], ("reason", " ")],
        "revoke-CHG-1-clos_i_ng-reason",
        "a reason is needed",
    )
    .await;
    let page = bob.done("/calendar/revoke", &[this[0], this[1], ("reason", "it stays")]).await;
    assert!(page.contains("counts no more") && page.contains("None is asked for"), "{page}");
    assert!(change(&world).await["exceptions"].as_array().is_none_or(Vec::is_empty));
    let again = bob.send("/calendar/revoke", &[this[0], this[1], ("reason", "it stays")]).await;
    assert!(
        again.status == StatusCode::CONFLICT && again.text.contains("there is no such exception"),
        "{}",
        again.text
    );
}

// LC4
#[tokio::test]
async fn what_is_wrong_with_an_exception_is_said_beside_its_field_and_what_was_typed_is_kept() {
    let world = World::coordinated().await;
    world.proposed().await;
    let ada = Reader::new(&world, "ada").await;
    let good = [("change", "CHG-1"), ("freeze", FREEZE), ("until", "2h"), ("reason", "why")];
    let with = |field: &str, text: &'static str| good.map(|(name, was)| (name, if name == field { text } else { was }));
    let long: &'static str = "x".repeat(5_000).leak();
    for (field, text, beside, why) in [
        ("change", "", "ask-change", "name a change"),
        ("change", "CHG-9", "ask-change", "CHG-9"),
        ("change", "\"><script>", "ask-change", "&lt;script&gt;"),
        ("freeze", "clos", "ask-freeze", "clos"),
        ("freeze", "x\u{0}y", "ask-freeze", "control character"),
        ("until", "", "ask-until", "has an end"),
        ("until", "2026-01-01T00:00Z", "ask-until", "is over already"),
        ("until", "40d", "ask-until", "at most 31d"),
        ("until", "2026-12-01T10:00", "ask-until", "no time zone"),
        ("until", "2026-12-01T10:00 Mars/Base", "ask-until", "Mars/Base"),
        ("until", "25:00", "ask-until", "is not a time with its zone"),
        ("reason", "", "ask-reason", "a reason is needed"),
        ("reason", "\u{1b}[2J", "ask-reason", "control character"),
        ("reason", long, "ask-reason", "at most 4000"),
    ] {
        let fields = with(field, text);
        let answer = ada.refused("/calendar/ask", &fields, beside, why).await;
        assert!(!answer.text.contains("<script>"), "{text}: {}", answer.text);
        let kept =
            fields.iter().filter(|(name, _)| *name != field).all(|(_, kept)| answer.text.contains(&sent_back(kept)));
        assert!(kept, "{field}={text}: {}", answer.text);
    }
    assert!(change(&world).await["exceptions"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(ada.send("/calendar/explode", &good).await.status, StatusCode::NOT_FOUND);
}

/// A text as a page shows it.
fn sent_back(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

// I10: of a change that somebody does not see, and with a right that they do not have.
#[tokio::test]
async fn another_ones_change_is_as_one_that_does_not_exist_to_every_form() {
    let world = World::coordinated().await;
    world.proposed().await;
    let (eli, cleo) = (Reader::new(&world, "eli").await, Reader::new(&world, "cleo").await);
    let ask = |id| [("change", id), ("freeze", FREEZE), ("until", "2h"), ("reason", "why")];
    let (hidden, nothing) =
        (eli.send("/calendar/ask", &ask("CHG-1")).await, eli.send("/calendar/ask", &ask("CHG-9")).await);
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(hidden.text.replace("CHG-1", "CHG-9"), nothing.text, "nobody can tell them apart");
    assert_eq!(cleo.send("/calendar/ask", &ask("CHG-1")).await.status, StatusCode::FORBIDDEN);
    let effect = change(&world).await["proposal"]["effect_digest"].as_str().expect("a digest").to_owned();
    let veto = [("effect", effect.as_str()), ("until", "2h"), ("text", "no")];
    assert_eq!(eli.send("/changes/CHG-1/veto", &veto).await.status, StatusCode::NOT_FOUND);
    assert_eq!(cleo.send("/changes/CHG-1/veto", &veto).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        cleo.send("/on-call/hold", &[("services", "checkout"), ("until", "2h"), ("reason", "no")]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(change(&world).await["veto"], Value::Null);
}

#[tokio::test]
async fn no_form_is_taken_without_the_token_of_its_session() {
    let world = World::coordinated().await;
    world.proposed().await;
    let (ada, bob) = (Reader::new(&world, "ada").await, Reader::new(&world, "bob").await);
    let release = json!({"file": "title: T\nowner: sre\nchanges: [{name: pool, change: pool.yaml}]\n", "changes": {"pool": {"file": FILE}}});
    assert_eq!(world.post("ada", "/api/v1/releases", &release).await.status, StatusCode::CREATED);
    for path in [
        "/calendar/ask",
        "/calendar/grant",
        "/calendar/revoke",
        "/on-call/hold",
        "/on-call/lift",
        "/changes/CHG-1/veto",
        "/changes/CHG-1/lift-veto",
        "/releases/REL-1/rollback",
        "/releases/REL-1/withdraw",
    ] {
        let fields = "&change=CHG-1&freeze=closing&until=2h&reason=why&services=checkout&text=why&hold=HOLD-1";
        for token in ["", "guess", &bob.csrf] {
            let answer = world.form(Some(&ada.cookie), path, &format!("csrf={token}{fields}")).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", answer.text);
        }
        let nobody = world.form(None, path, &format!("csrf={}{fields}", ada.csrf)).await;
        assert_eq!(nobody.status, StatusCode::SEE_OTHER, "{path}");
        let (back, _) = path.rsplit_once('/').expect("a page");
        assert_eq!(nobody.header("location"), format!("/login?next={}", sent(back)), "{path}");
        let read = world.page(&ada.cookie, path).await.status;
        assert_eq!(read, StatusCode::METHOD_NOT_ALLOWED, "{path}: a link changes nothing");
    }
    assert_eq!(world.get("ada", "/api/v1/holds").await.json()["holds"], json!([]));
    assert_eq!(world.get("ada", "/api/v1/releases/REL-1").await.json()["phase"], "waiting");
}

// A4: stop the line, with a reason and an end.
#[tokio::test]
async fn the_line_is_stopped_and_let_go_on_the_page_of_who_is_on_call() {
    let world = World::coordinated().await;
    world.proposed().await;
    let (ada, cleo) = (Reader::new(&world, "ada").await, Reader::new(&world, "cleo").await);
    let page = ada.page("/on-call").await;
    for wanted in ["No service is held", "action=\"/on-call/hold\"", "<strong>cyd</strong>", "<strong>ada</strong>"] {
        assert!(page.contains(wanted), "{wanted} in {page}");
    }
    assert!(!cleo.page("/on-call").await.contains("method=\"post\" action=\"/on-call"));
    let good =
        [("services", "checkout, search"), ("until", "2h"), ("reason", "<b>errors</b>"), ("emergency", "forbid")];
    let page = ada.done("/on-call/hold", &good).await;
    for wanted in ["HOLD-1", "&lt;b&gt;errors&lt;/b&gt;", "emergencies do not", "The line is stopped"] {
        assert!(page.contains(wanted), "{wanted} in {page}");
    }
    let seen = cleo.page("/on-call").await;
    assert!(seen.contains("HOLD-1") && !seen.contains("action=\"/on-call/lift\""), "{seen}");
    let why = world.get("ada", "/api/v1/changes/1/gates").await.text;
    assert!(why.contains("service_hold"), "{why}");
    ada.refused("/on-call/lift", &[("hold", "HOLD-1"), ("reason", "")], "lift-HOLD-1-reason", "a reason is needed")
        .await;
    assert_eq!(
        cleo.send("/on-call/lift", &[("hold", "HOLD-1"), ("reason", "mine")]).await.status,
        StatusCode::FORBIDDEN
    );
    let other = ada.send("/on-call/lift", &[("hold", "HOLD-9\"><script>"), ("reason", "over")]).await;
    assert!(other.status.is_client_error() && !other.text.contains("<script>"), "{}", other.text);
    let page = ada.done("/on-call/lift", &[("hold", "HOLD-1"), ("reason", "it is over")]).await;
    assert!(page.contains("No service is held") && page.contains("The hold is lifted"), "{page}");
}

// A4: a hold without an end is refused.
#[tokio::test]
async fn what_is_wrong_with_a_hold_is_said_beside_its_field() {
    let world = World::coordinated().await;
    let ada = Reader::new(&world, "ada").await;
    let long: &'static str = "x".repeat(5_000).leak();
    let good = [("services", "checkout"), ("team", ""), ("until", "2h"), ("reason", "why"), ("emergency", "allow")];
    for (field, text, beside, why) in [
        ("until", "", "hold-until", "a hold has an end"),
        ("until", "2020-01-01T00:00Z", "hold-until", "is over already"),
        ("until", "8d", "hold-until", "at most 7d"),
        ("until", "9999999d", "hold-until", "ten years"),
        ("until", "2h\r\nX: y", "hold-until", "control character"),
        ("services", "", "hold-services", "name a service"),
        ("services", "chekout", "hold-services", "did you mean <code>checkout</code>"),
        ("services", "<img src=x>", "hold-services", "&lt;img"),
        ("services", long, "hold-services", "at most 400"),
        ("team", "nobody", "hold-team", "owns no service"),
        ("reason", "\n", "hold-reason", "a reason is needed"),
        ("reason", long, "hold-reason", "at most 4000"),
    ] {
        let fields = good.map(|(name, was)| (name, if name == field { text } else { was }));
        let answer = ada.refused("/on-call/hold", &fields, beside, why).await;
        assert!(!answer.text.contains("<img src=x"), "{}", answer.text);
        assert!(field == "reason" || answer.text.contains(">why</textarea>"), "{}", answer.text);
    }
    let odd = ada
        .send("/on-call/hold", &good.map(|(name, was)| (name, if name == "emergency" { "maybe" } else { was })))
        .await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.get("ada", "/api/v1/holds").await.json()["holds"], json!([]));
}

// A4
#[tokio::test]
async fn a_change_is_vetoed_and_let_go_on_its_page() {
    let world = World::coordinated().await;
    let effect = world.proposed().await["change"]["proposal"]["effect_digest"].as_str().expect("a digest").to_owned();
    let bob = Reader::new(&world, "bob").await;
    assert!(bob.page("/changes/CHG-1").await.contains("action=\"/changes/CHG-1/veto\""));
    let veto = |until: &'static str, text: &'static str| {
        [("effect", effect.clone()), ("until", until.into()), ("text", text.into())]
    };
    for (until, text, beside, why) in [
        ("", "why", "act-veto-until", "a veto has an end"),
        ("2020-01-01T00:00Z", "why", "act-veto-until", "is over already"),
        ("2h", "", "act-veto-text", "a reason is needed"),
        ("2h", "a\u{7}b", "act-veto-text", "control character"),
        ("30d", "<script>alert(1)</script>", "act-veto-until", "at most 7d"),
    ] {
        let fields = veto(until, text);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let answer = bob.refused("/changes/CHG-1/veto", &fields, beside, why).await;
        assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
    }
    let fields = veto("2h", "not in the <sale>");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let page = bob.done("/changes/CHG-1/veto", &fields).await;
    assert!(page.contains("Your veto holds the change") && page.contains("not in the &lt;sale&gt;"), "{page}");
    assert_eq!(change(&world).await["veto"]["by"], "user:bob");
    let page = bob.done("/changes/CHG-1/lift-veto", &[("effect", &effect), ("text", "it is over")]).await;
    assert!(page.contains("The veto is lifted") && !page.contains("action=\"/changes/CHG-1/lift-veto\""), "{page}");
}

// U1: a release is one thing to whoever has to take it back.
#[tokio::test]
async fn a_release_is_listed_and_withdrawn_on_its_page() {
    let world = World::coordinated().await;
    let empty = Reader::new(&world, "cleo").await.page("/releases").await;
    assert!(empty.contains("clearway release propose"), "{empty}");
    let wave = |name: &str, cells: &str| format!("  - {{name: {name}, each: [{cells}], change: cell.yaml}}\n");
    let file = format!("title: Raise <b>it\nowner: sre\nwaves:\n{}{}", wave("first", "a"), wave("rest", "b"));
    let member = json!({"file": FILE});
    let body = json!({"file": file, "changes": {"a": member, "b": member}});
    let proposed = world.post("ada", "/api/v1/releases", &body).await;
    assert_eq!(proposed.status, StatusCode::CREATED, "{}", proposed.text);
    let body = json!({"file": file, "changes": {"a": member, "b": member, "c": member}});
    let proposed = world.post("ada", "/api/v1/releases", &body).await;
    if proposed.status != StatusCode::CREATED {
        // Members of one wave on one target are refused: then one of them is enough.
        let file = format!("title: Raise <b>it\nowner: sre\nwaves:\n{}{}", wave("first", "a"), wave("rest", "b"));
        let body = json!({"file": file, "changes": {"a": member, "b": member}});
        let again = world.post("ada", "/api/v1/releases", &body).await;
        assert_eq!(again.status, StatusCode::CREATED, "{}", again.text);
    }
    let (bob, cleo, eli) =
        (Reader::new(&world, "bob").await, Reader::new(&world, "cleo").await, Reader::new(&world, "eli").await);
    let list = cleo.page("/releases").await;
    for wanted in ["href=\"/releases/REL-1\"", "Raise &lt;b&gt;it", "first, 1 of 2: 0 of 1 passed", "0 of 2 passed"] {
        assert!(list.contains(wanted), "{wanted} in {list}");
    }
    assert!(!eli.page("/releases").await.contains("REL-1"), "who sees none of its changes does not see it");
    assert_eq!(world.page(&eli.cookie, "/releases/REL-1").await.status, StatusCode::NOT_FOUND);
    assert!(!cleo.page("/releases/REL-1").await.contains("action=\"/releases/REL-1"));
    let page = bob.page("/releases/REL-1").await;
    assert!(page.contains("action=\"/releases/REL-1/withdraw\""), "{page}");
    assert!(!page.contains("action=\"/releases/REL-1/rollback\""), "nothing is rolled out: {page}");
    assert!(page.contains("/proof\" title=\"Inclusion proof\""), "{page}");
    bob.refused("/releases/REL-1/withdraw", &[("reason", "")], "act-withdraw-reason", "a reason is needed").await;
    let long = "x".repeat(5_000);
    bob.refused("/releases/REL-1/withdraw", &[("reason", &long)], "act-withdraw-reason", "at most 4000").await;
    assert_eq!(cleo.send("/releases/REL-1/withdraw", &[("reason", "mine")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(eli.send("/releases/REL-1/withdraw", &[("reason", "mine")]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.send("/releases/REL-1/rollback", &[("reason", "back")]).await.status, StatusCode::CONFLICT);
    assert_eq!(bob.send("/releases/nonsense/rollback", &[("reason", "back")]).await.status, StatusCode::BAD_REQUEST);
    let page = bob.done("/releases/REL-1/withdraw", &[("reason", "not <now>")]).await;
    assert!(page.contains("is withdrawn") && page.contains("not &lt;now&gt;"), "{page}");
}

// LC4: a token in an address leaks. It reads the feed, and opens nothing else.
#[tokio::test]
async fn a_token_of_the_feed_reads_the_feed_and_lets_nobody_in_anywhere_else() {
    let world = World::coordinated().await;
    world.proposed().await;
    let feed = |token: &str| format!("/api/v1/calendar.ics?token={token}");
    let open = async |path: String| world.send(get(&path).body(Body::empty()).expect("a request")).await;
    let file = open(feed("feed-of-ada")).await;
    assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, "text/calendar; charset=utf-8"));
    assert!(file.text.contains("SUMMARY:Freeze: clos<i>ng"), "{}", file.text);
    let of_search = open(feed("search-feed-of-ada")).await.text;
    assert!(!of_search.contains("BEGIN:VEVENT"), "the freeze is one of checkout: {of_search}");
    for token in ["token-of-ada", "checkout-of-ada"] {
        open(feed(token)).await.problem(403, "not_allowed");
    }
    for token in ["expired-of-ada", "nonsense"] {
        open(feed(token)).await.problem(401, "unauthenticated");
    }
    let routes = server_routes();
    assert!(routes.len() > 60, "{}", routes.len());
    for (verb, path) in routes {
        let method: axum::http::Method = verb.to_uppercase().parse().expect("a method");
        let request = axum::http::Request::builder().method(method).uri(&path);
        let request = request.header(header::AUTHORIZATION, bearer("feed-of-ada"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let answer = world.send(request.body(Body::from("{}")).expect("a request")).await;
        let is_for_all = ["/livez", "/readyz", "/metrics", "/openapi.json"].contains(&path.as_str());
        let is_known_form = path.starts_with("/api/v1/schemas/");
        assert!(
            is_for_all || is_known_form || answer.status == StatusCode::FORBIDDEN,
            "{verb} {path}: {}",
            answer.status
        );
    }
    let login = world.form(None, "/login", "token=feed-of-ada").await;
    assert_eq!((login.status, login.header("set-cookie")), (StatusCode::FORBIDDEN, ""), "{}", login.text);
    assert!(login.text.contains("for the calendar feed alone"), "{}", login.text);
    assert_eq!(open("/changes?token=feed-of-ada".into()).await.status, StatusCode::SEE_OTHER);
    let log = world.get("ada", "/api/v1/log").await.text;
    assert!(log.contains("token_scope") && !log.contains("feed-of-ada"), "the refusal is recorded, the secret is not");
}

/// Every operation of the API, with something in each place of its path.
fn server_routes() -> Vec<(String, String)> {
    let document = serde_json::to_value(server::openapi()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let filled = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let each = paths.flat_map(|(path, item)| {
        item.as_object().expect("operations").keys().map(move |verb| (verb.clone(), filled(path)))
    });
    each.collect()
}
