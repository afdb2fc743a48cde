//! Who gets what: every route for every kind of person, tokens and what they leave, and what somebody hears who is refused.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::world::{Answer, FILE, World, bearer, csrf, get};

/// The people of the table: nobody, one who reads another service, one who reads all, an auditor, and one who may do everything.
const PEOPLE: [&str; 5] = ["", "eli", "cleo", "flo", "ada"];

/// Each route, and what each of [`PEOPLE`] is answered about a change of `checkout`. A new route has to fill its row.
const TABLE: &str = "
    get  /api/v1/changes                       401 200 200 200 200
    post /api/v1/changes                       401 403 403 403 201
    post /api/v1/changes/check                 401 200 200 200 200
    get  /api/v1/changes/{id}                  401 404 200 200 200
    post /api/v1/changes/{id}/amend            401 404 403 403 200
    post /api/v1/changes/{id}/approve          401 404 403 403 403
    post /api/v1/changes/{id}/begin            401 404 403 403 403
    post /api/v1/changes/{id}/complete         401 404 403 403 409
    get  /api/v1/changes/{id}/events           401 404 200 200 200
    post /api/v1/changes/{id}/finish           401 404 403 403 409
    get  /api/v1/changes/{id}/gates            401 404 200 200 200
    get  /api/v1/changes/{id}/log              401 404 200 200 200
    get  /api/v1/changes/{id}/looks            401 404 200 200 200
    post /api/v1/changes/{id}/pause            401 404 403 403 409
    get  /api/v1/changes/{id}/plan             401 404 422 422 422
    post /api/v1/changes/{id}/promote          401 404 403 403 409
    post /api/v1/changes/{id}/reject           401 404 403 403 200
    post /api/v1/changes/{id}/replay           401 404 400 400 400
    post /api/v1/changes/{id}/resume           401 404 403 403 409
    post /api/v1/changes/{id}/review           401 404 403 403 409
    post /api/v1/changes/{id}/rollback         401 404 403 403 409
    post /api/v1/changes/{id}/withdraw         401 404 403 403 200
    post /api/v1/changes/{id}/break-glass      401 404 403 403 200
    get  /api/v1/changes/{id}/diff             401 404 200 200 200
    post /api/v1/changes/{id}/override         401 404 403 403 409
    get  /api/v1/changes/{id}/policy           401 404 404 404 404
    post /api/v1/changes/{id}/request-changes  401 404 403 403 403
    get  /api/v1/changes/{id}/statement        401 404 200 200 200
    post /api/v1/changes/{id}/take-back        401 404 409 409 409
    post /api/v1/changes/{id}/tick             401 404 403 403 409
    post /api/v1/changes/{id}/except           401 404 403 403 409
    post /api/v1/changes/{id}/grant-exception  401 404 403 403 409
    post /api/v1/changes/{id}/revoke-exception 401 404 403 403 409
    get  /api/v1/changes/{id}/calendar         401 404 200 200 200
    get  /api/v1/calendar                      401 200 200 200 200
    get  /api/v1/calendar.ics                  401 200 200 200 200
    get  /api/v1/schedule                      401 200 200 200 200
    post /api/v1/schedule                      401 400 400 400 400
    post /api/v1/batches/{batch}/release       401 403 403 403 422
    get  /api/v1/catalog                       401 200 200 200 200
    get  /api/v1/debts                         401 200 200 200 200
    get  /api/v1/holds                         401 200 200 200 200
    post /api/v1/holds                         401 403 403 403 200
    post /api/v1/holds/{hold}/release          401 422 422 422 422
    post /api/v1/changes/{id}/veto             401 404 403 403 200
    post /api/v1/changes/{id}/lift-veto        401 404 403 403 409
    get  /api/v1/budgets                       401 200 200 200 200
    get  /api/v1/on-call                       401 200 200 200 200
    get  /api/v1/decisions                     401 403 403 200 200
    get  /api/v1/delegations                   401 200 200 200 200
    post /api/v1/delegations                   401 200 200 200 200
    post /api/v1/delegations/end               401 200 200 200 200
    post /api/v1/facts                         401 403 200 200 200
    get  /api/v1/governance                    401 200 200 200 200
    post /api/v1/policy/replay                 401 403 403 200 200
    get  /api/v1/secrets                       401 403 403 403 200
    get  /api/v1/services/{name}               401 404 404 404 404
    get  /api/v1/stop                          401 200 200 200 200
    post /api/v1/stop                          401 403 403 403 200
    post /api/v1/stop/release                  401 403 403 403 422
    get  /api/v1/access                        401 403 403 200 200
    get  /api/v1/access/explain                401 200 200 200 200
    get  /api/v1/standards                     401 200 200 200 200
    get  /api/v1/standards/{id}                401 200 200 200 200
    post /api/v1/standards/{id}/changes        401 403 403 403 201
    post /api/v1/standards/{id}/reinstate      401 403 403 403 422
    get  /api/v1/releases                      401 200 200 200 200
    post /api/v1/releases                      401 403 403 403 201
    post /api/v1/releases/check                401 200 200 200 200
    get  /api/v1/releases/{id}                 401 404 200 200 200
    get  /api/v1/releases/{id}/log             401 404 200 200 200
    post /api/v1/releases/{id}/rollback        401 404 403 403 409
    post /api/v1/releases/{id}/withdraw        401 404 403 403 200
    get  /api/v1/drivers                       401 200 200 200 200
    get  /api/v1/events                        401 200 200 200 200
    get  /api/v1/log                           401 403 403 200 200
    get  /api/v1/log/{position}/proof          401 404 200 200 200
    get  /api/v1/measures                      401 403 200 200 200
    post /api/v1/plans                         401 403 422 422 422
    get  /api/v1/schemas/{kind}                200 200 200 200 200
    get  /api/v1/tokens                        401 200 200 200 200
    post /api/v1/tokens                        401 201 201 201 201
    post /api/v1/tokens/{id}/revoke            401 404 404 404 200
    get  /api/v1/whoami                        401 200 200 200 200
    get  /checkpoint                           401 403 403 200 200
    get  /tile/{path}                          401 403 403 200 200
    get  /livez                                200 200 200 200 200
    get  /readyz                               200 200 200 200 200
    get  /metrics                              200 200 200 200 200
    get  /openapi.json                         200 200 200 200 200
";

fn rows() -> Vec<(&'static str, &'static str, Vec<u16>)> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (verb, path) = (words.next().expect("a verb"), words.next().expect("a path"));
        (verb, path, words.map(|status| status.parse().expect("a status")).collect())
    };
    TABLE.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

fn body(path: &str, effect: &Value) -> Value {
    if path.starts_with("/api/v1/standards/{id}/changes") {
        return json!({"parameters": {"size": 16}});
    }
    if ["/api/v1/releases", "/api/v1/releases/check"].contains(&path) {
        return released();
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "changes" | "check" | "plans" | "facts" => json!({"file": FILE}),
        "override" => json!({"code": "none", "reason": "because"}),
        "except" => json!({"freeze": "none", "until": "2030-01-01T00:00:00Z", "reason": "because"}),
        "grant-exception" => json!({"freeze": "none", "until": "2030-01-01T00:00:00Z"}),
        "revoke-exception" => json!({"freeze": "none", "reason": "because"}),
        "tick" => json!({"list": "none", "code": "none", "note": "seen"}),
        "delegations" => json!({"lasts": "1d"}),
        "holds" => json!({"services": ["checkout"], "lasts": "1h", "reason": "because"}),
        "veto" => json!({"lasts": "1h", "reason": "because"}),
        "end" => json!({}),
        "amend" => json!({"file": FILE.replace("Raise", "Lower")}),
        "approve" => json!({"effect": effect}),
        "complete" => json!({"evidence": "read back"}),
        "resume" | "begin" => json!({}),
        "finish" => json!({"outcome": "succeeded"}),
        "review" => json!({"summary": "learnt"}),
        "replay" if path.contains("policy") => json!({"modules": {}}),
        "replay" => json!({"strictness": {}}),
        "tokens" => json!({"name": "test"}),
        _ => json!({"reason": "because"}),
    }
}

/// A release of one change of `checkout`.
fn released() -> Value {
    let release = "title: Together\nowner: sre\nchanges: [{name: pool, change: pool.yaml}]\n";
    json!({"file": release, "changes": {"pool": {"file": FILE}}})
}

async fn ask(world: &World, verb: &str, path: &str, person: &str, effect: &Value) -> StatusCode {
    let address = match path {
        "/api/v1/access/explain" => "/api/v1/access/explain?action=read".to_owned(),
        path if path.starts_with("/api/v1/releases/") => path.replace("{id}", "REL-1"),
        path if path.starts_with("/api/v1/standards/") => path.replace("{id}", "pool"),
        "/api/v1/tokens/{id}/revoke" => "/api/v1/tokens/id-of-nobody/revoke".to_owned(),
        path => path
            .replace("{id}", "CHG-1")
            .replace("{position}", "2")
            .replace("{kind}", "change")
            .replace("{name}", "nothing")
            .replace("{hold}", "HOLD-9")
            .replace("{path}", "entries/000"),
    };
    let method: Method = verb.to_uppercase().parse().expect("a method");
    let mut request = Request::builder().method(method).uri(address);
    if !person.is_empty() {
        request = request.header(header::AUTHORIZATION, bearer(person));
    }
    let content = if verb == "post" { body(path, effect).to_string() } else { String::new() };
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(content));
    // Streams of events never end: the status is all that is waited for.
    use tower::ServiceExt as _;
    world.router.clone().oneshot(request.expect("a request")).await.expect("a router always answers").status()
}

fn effect_of(view: &Value) -> Value {
    view["change"]["proposal"]["effect_digest"].clone()
}

async fn world_released(world: &World) {
    let answer = world.post("ada", "/api/v1/releases", &released()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
}

// I10
#[tokio::test]
async fn every_route_answers_each_kind_of_person_as_the_table_says() {
    let shared = World::new().await;
    let effect = effect_of(&shared.proposed().await);
    world_released(&shared).await;
    let (shared, effect) = (&shared, &effect);
    let cells = rows().into_iter().flat_map(|(verb, path, statuses)| {
        PEOPLE.into_iter().zip(statuses).map(move |(person, expected)| async move {
            // What changes something finds a world of its own: an answer to one question must not change the next.
            let own = if verb == "post" && person == "ada" { Some(World::new().await) } else { None };
            let status = match &own {
                Some(own) => {
                    let effect = effect_of(&own.proposed().await);
                    world_released(own).await;
                    ask(own, verb, path, person, &effect).await.as_u16()
                }
                None => ask(shared, verb, path, person, effect).await.as_u16(),
            };
            (status != expected).then(|| format!("{verb} {path} for `{person}`: {status}, not {expected}"))
        })
    });
    // Several at once, since a plan takes its time where there is no telemetry; all at once, each would wait for the worlds of the others.
    let answers = futures::stream::iter(cells).buffer_unordered(12);
    let wrong: Vec<String> = answers.filter_map(std::future::ready).collect().await;
    assert_eq!(wrong, Vec::<String>::new());
}

// I10
#[tokio::test]
async fn every_route_of_the_document_has_its_row_in_the_table() {
    let document = serde_json::to_value(server::openapi()).expect("JSON");
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        described.extend(item.as_object().expect("operations").keys().map(|verb| format!("{verb} {path}")));
    }
    let mut listed: Vec<String> = rows().iter().map(|(verb, path, _)| format!("{verb} {path}")).collect();
    described.sort();
    listed.sort();
    assert_eq!(described, listed);
    assert!(rows().iter().all(|(_, _, statuses)| statuses.len() == PEOPLE.len()));
}

// I10
#[tokio::test]
async fn a_change_outside_is_as_one_that_does_not_exist() {
    let world = World::new().await;
    world.proposed().await;
    world.proposed_of(&FILE.replace("[checkout]", "[search]")).await;
    world.proposed_of(&FILE.replace("[checkout]", "[search, checkout]")).await;
    let ids = |answer: Answer| -> Vec<String> {
        let list = answer.json();
        let rows = list["changes"].as_array().expect("rows").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(world.get("eli", "/api/v1/changes").await), ["CHG-3", "CHG-2"]);
    assert_eq!(ids(world.get("eli", "/api/v1/changes?limit=1").await), ["CHG-3"]);
    assert_eq!(ids(world.get("eli", "/api/v1/changes?service=checkout").await), ["CHG-3"]);
    assert_eq!(ids(world.get("flo", "/api/v1/changes").await).len(), 3);
    let (outside, nothing) = (world.get("eli", "/api/v1/changes/1").await, world.get("eli", "/api/v1/changes/9").await);
    assert_eq!(outside.text.replace("CHG-1", "CHG-9"), nothing.text, "nobody can tell them apart");
    let cookie = world.logged_in("eli").await;
    let page = world.page(&cookie, "/changes").await.text;
    assert!(page.contains("CHG-2") && !page.contains("CHG-1"), "{page}");
    assert_eq!(world.page(&cookie, "/changes/CHG-1").await.status, StatusCode::NOT_FOUND);
    let form = format!("csrf={}&effect=sha256%3A{}", csrf(&page), "0".repeat(64));
    assert_eq!(world.form(Some(&cookie), "/changes/CHG-1/pause", &form).await.status, StatusCode::NOT_FOUND);
}

// I10
#[tokio::test]
async fn a_token_gives_less_than_its_user_has_and_never_more() {
    let world = World::new().await;
    let effect = world.proposed().await["change"]["proposal"]["effect_digest"].clone();
    let search = world.proposed_of(&FILE.replace("[checkout]", "[search]")).await;
    assert_eq!(search["change"]["id"], "CHG-2");
    let bob = "checkout-of-bob";
    world.get(bob, "/api/v1/changes/CHG-2").await.problem(404, "not_found");
    let pause = world.post(bob, "/api/v1/changes/CHG-1/reject", &json!({"reason": "no"})).await;
    assert_eq!(pause.status, StatusCode::OK, "`reject` needs `approve`, which the token leaves: {}", pause.text);
    let refused = world.post(bob, "/api/v1/changes", &json!({"file": FILE})).await.problem(403, "token_scope");
    assert_eq!(refused["detail"], "the token `id-of-bob` of `user:bob` is not for `propose`");
    let cleo = world.post("checkout-of-cleo", "/api/v1/changes/CHG-1/approve", &json!({"effect": effect})).await;
    cleo.problem(403, "not_allowed");
    let whoami = world.get(bob, "/api/v1/whoami").await.json();
    assert_eq!(whoami["may"], json!(["approve", "read"]));
    world.get(bob, "/api/v1/log").await.problem(403, "not_allowed");
    world.get(bob, "/api/v1/measures").await.problem(403, "not_allowed");
    world.post(bob, "/api/v1/tokens", &json!({"name": "more"})).await.problem(403, "not_allowed");
}

// I10
#[tokio::test]
async fn a_session_has_the_limits_of_its_token_and_ends_with_it() {
    let world = World::new().await;
    world.proposed().await;
    let form = world.form(None, "/login", "token=checkout-of-bob&next=%2F").await;
    let cookie = form.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let page = world.page(&cookie, "/changes/CHG-1").await.text;
    assert!(page.contains("/changes/CHG-1/approve") && !page.contains("/changes/CHG-1/withdraw"), "{page}");
    world.desk.revoked.lock().expect("no panic").insert("id-of-bob".into());
    let after = world.page(&cookie, "/changes/CHG-1").await;
    assert_eq!((after.status, after.header("location")), (StatusCode::SEE_OTHER, "/login?next=%2Fchanges%2FCHG-1"));
    world.desk.revoked.lock().expect("no panic").clear();
    assert_eq!(world.page(&cookie, "/changes/CHG-1").await.status, StatusCode::SEE_OTHER, "it has ended for good");
}

// I10
#[tokio::test]
async fn a_token_that_is_over_is_told_which_one_and_what_to_do() {
    let world = World::new().await;
    let expired = world.get("expired-of-ada", "/api/v1/changes").await.problem(401, "unauthenticated");
    assert_eq!(expired["detail"], "the token `id-of-ada` expired at 2026-01-01T00:00:00Z");
    assert!(expired["help"].as_str().is_some_and(|help| help.contains("clearway token create")));
    world.desk.revoked.lock().expect("no panic").insert("id-of-ada".into());
    let revoked = world.get("ada", "/api/v1/changes").await.problem(401, "unauthenticated");
    assert_eq!(revoked["detail"], "the token `id-of-ada` was revoked at 2026-01-01T00:00:00Z");
    let login = world.form(None, "/login", "token=expired-of-ada").await;
    assert!(login.status == StatusCode::UNAUTHORIZED && login.text.contains("expired at"), "{}", login.text);
    let metrics = world.get("", "/metrics").await.text;
    assert!(metrics.contains(r#"clearway_http_strangers_total{why="expired_token"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"clearway_http_strangers_total{why="revoked_token"} 1"#), "{metrics}");
}

// I10
#[tokio::test]
async fn tokens_are_made_for_oneself_and_for_others_only_by_who_governs() {
    let world = World::new().await;
    let made = world.post("cleo", "/api/v1/tokens", &json!({"name": "ci", "may": ["read"], "expires": "1h"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!((made.json()["secret"].as_str(), made.json()["user"].as_str()), (Some("cw_id_secret"), Some("cleo")));
    world.post("cleo", "/api/v1/tokens", &json!({"name": "x", "user": "ada"})).await.problem(403, "not_allowed");
    let other = world.post("ada", "/api/v1/tokens", &json!({"name": "x", "user": "cleo", "expires": "never"})).await;
    assert_eq!((other.status, &other.json()["expires"]), (StatusCode::CREATED, &Value::Null));
    for gone in ["eve", "gus"] {
        let nobody = world.post("ada", "/api/v1/tokens", &json!({"name": "x", "user": gone})).await;
        nobody.problem(422, "no_such_user");
    }
    world.post("ada", "/api/v1/tokens", &json!({"name": "x", "may": []})).await.problem(400, "malformed");
    world.post("ada", "/api/v1/tokens", &json!({"name": " "})).await.problem(400, "malformed");
    let made_with: Vec<_> = world.desk.made.lock().expect("no panic").iter().map(|n| n.made_with.clone()).collect();
    assert_eq!(made_with, [Some("id-of-cleo".to_owned()), Some("id-of-ada".to_owned())]);
    let mine = world.get("cleo", "/api/v1/tokens").await.json();
    assert!(mine["tokens"].as_array().is_some_and(|tokens| tokens.iter().all(|t| t["user"] == "cleo")), "{mine}");
    assert!(!mine.to_string().contains("secret"));
    world.post("cleo", "/api/v1/tokens/id-of-ada/revoke", &json!({})).await.problem(404, "not_found");
    assert_eq!(world.post("cleo", "/api/v1/tokens/id-of-cleo/revoke", &json!({})).await.status, StatusCode::OK);
}

// I10
#[tokio::test]
async fn who_has_left_is_refused_and_that_is_in_the_log() {
    let world = World::new().await;
    let gone = world.get("gus", "/api/v1/changes").await.problem(403, "not_allowed");
    assert_eq!(gone["detail"], "`user:gus` has left and may nothing here");
    world.post("cleo", "/api/v1/changes", &json!({"file": FILE})).await.problem(403, "not_allowed");
    world.get("cleo", "/api/v1/log").await.problem(403, "not_allowed");
    let log = world.get("flo", "/api/v1/log").await.json();
    let entries = log["entries"].as_array().expect("entries").iter().filter(|e| e["type"] == "CommandRefused");
    let refused: Vec<String> = entries.map(|e| format!("{} {}", e["actor"], e["body"]["command"])).collect();
    let expected = [r#""user:gus" "read""#, r#""user:cleo" "propose""#, r#""user:cleo" "audit""#];
    assert_eq!(refused, expected);
}

// I10, X21
#[tokio::test]
async fn refusals_that_were_not_written_are_counted_when_the_server_ends() {
    let world = World::new().await;
    for _ in 0..5 {
        world.get("cleo", "/api/v1/log").await.problem(403, "not_allowed");
    }
    world.handle.drain().await;
    let log = world.get("flo", "/api/v1/log").await.json();
    let entries = log["entries"].as_array().expect("entries").iter().filter(|e| e["type"] == "CommandRefused");
    let unwritten: Vec<u64> = entries.map(|e| e["body"]["unwritten"].as_u64().unwrap_or(0)).collect();
    assert_eq!(unwritten, [0, 4]);
}

// I10
#[tokio::test]
async fn an_answer_to_who_may_says_why() {
    let world = World::new().await;
    world.proposed().await;
    let ask = async |who: &str, query: &str| world.get(who, &format!("/api/v1/access/explain?{query}")).await;
    let told = |answer: &Value| {
        let because = answer["because"].as_array().expect("reasons").iter();
        let sentences: Vec<String> = because.map(|b| b["sentence"].as_str().unwrap_or_default().to_owned()).collect();
        (answer["allowed"] == true, sentences)
    };
    let own = ask("ada", "action=approve&change=CHG-1").await.json();
    let (allowed, why) = told(&own);
    assert!(!allowed && why[0] == "the role `all` allows `approve` everywhere", "{why:?}");
    assert!(why[1].contains("a change is approved by somebody else"), "{why:?}");
    let (allowed, why) = told(&ask("flo", "user=bob&action=approve&change=CHG-1").await.json());
    assert!(allowed && why.len() == 1, "{why:?}");
    let (allowed, why) = told(&ask("bob", "action=pause&change=CHG-1").await.json());
    assert!(allowed && why[1].starts_with("but not now: "), "{why:?}");
    let (allowed, why) = told(&ask("checkout-of-bob", "action=pause&change=CHG-1").await.json());
    assert!(!allowed && why[1] == "the token is not for `pause`", "{why:?}");
    let (allowed, why) = told(&ask("flo", "user=gus&action=read").await.json());
    assert!(!allowed && why == ["`gus` is deactivated"], "{why:?}");
    ask("eli", "action=read&change=CHG-1").await.problem(404, "not_found");
    ask("cleo", "user=ada&action=read").await.problem(403, "not_allowed");
    let unknown = ask("ada", "action=aprove").await.problem(400, "malformed");
    assert!(unknown["help"].as_str().is_some_and(|help| help.starts_with("did you mean `approve`?")), "{unknown}");
}

// X21
#[tokio::test]
async fn a_recovered_administrator_governs_and_every_page_says_so() {
    let world = World::new().await;
    world.post("cleo", "/api/v1/tokens", &json!({"name": "x", "user": "ada"})).await.problem(403, "not_allowed");
    world.handle.recover("cleo", change::Span::secs(3_600), "the administrator is gone").await.expect("in the log");
    let made = world.post("cleo", "/api/v1/tokens", &json!({"name": "x", "user": "ada"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let cookie = world.logged_in("flo").await;
    for path in ["/", "/changes", "/log", "/api", "/changes/CHG-9"] {
        let page = world.page(&cookie, path).await.text;
        assert!(page.contains("cleo may govern until"), "{path}: {page}");
    }
    let log = world.get("flo", "/api/v1/log").await.json();
    let last = log["entries"].as_array().expect("entries").iter().find(|e| e["type"] == "AdministratorRecovered");
    assert!(last.is_some_and(|e| e["body"]["reason"] == "the administrator is gone"), "{log}");
    let bare = world.send(get("/login").body(Body::empty()).expect("a request")).await;
    assert!(!bare.text.contains("cleo"), "strangers hear nothing of it");
}
