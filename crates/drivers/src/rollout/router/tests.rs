//! The driver against a fake that keeps the router's contract: compare-and-set on the revision, one key one effect, a weight for every version.
//!
//! The real router is tested with this driver where both may be used: in `sim`.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use change::rollout::Strategy;

use super::*;
use crate::conformance::{self, World};
use crate::testing::{nobody, serve, serve_answer, serve_silence, target, within};

/// What a router would do wrong.
const NOTHING: u8 = 0;
const REFUSES_ALL: u8 = 1;
const LOSES_ONE_ANSWER: u8 = 2;
const CONFLICTS_ONCE: u8 = 3;
const ALWAYS_OVERWRITTEN: u8 = 4;

struct Fake {
    state: Mutex<Kept>,
    fault: AtomicU8,
    token: Option<&'static str>,
}

struct Kept {
    revision: u64,
    last_key: Option<String>,
    weights: Weights,
    applied: Vec<Weights>,
}

impl Fake {
    fn new(weights: &[(&str, u32)]) -> Arc<Self> {
        let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        let state = Kept { revision: 7, last_key: None, weights, applied: vec![] };
        Arc::new(Self { state: Mutex::new(state), fault: AtomicU8::new(NOTHING), token: None })
    }

    fn now(&self) -> Weights {
        self.state.lock().expect("no test panics here").weights.clone()
    }

    fn applied(&self) -> Vec<Weights> {
        self.state.lock().expect("no test panics here").applied.clone()
    }

    fn fails(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    async fn serve(self: &Arc<Self>) -> String {
        let pages = axum::Router::new()
            .route("/backends/{name}", get(read))
            .route("/backends/{name}/weights", put(set))
            .with_state(self.clone());
        serve(pages).await
    }
}

impl Kept {
    fn json(&self) -> Value {
        let versions =
            self.weights.iter().map(|(name, weight)| json!({"name": name, "address": "a:1", "weight": weight}));
        json!({"name": "shop", "revision": self.revision, "last_key": self.last_key, "versions": versions.collect::<Vec<_>>()})
    }

    fn enter(&mut self, weights: Weights, key: Option<String>) {
        (self.revision, self.last_key, self.weights) = (self.revision + 1, key, weights.clone());
        self.applied.push(weights);
    }
}

fn refuse(status: u16, error: &str) -> Response {
    (StatusCode::from_u16(status).expect("is a status"), Json(json!({"error": error}))).into_response()
}

async fn read(Shared(fake): Shared<Arc<Fake>>, Path(name): Path<String>) -> Response {
    if fake.fault.load(Ordering::SeqCst) == REFUSES_ALL {
        return refuse(503, "not today");
    }
    if name != "shop" {
        return refuse(404, "no backend `x`; known are `shop`");
    }
    Json(fake.state.lock().expect("no test panics here").json()).into_response()
}

#[derive(Deserialize)]
struct Wish {
    weights: Weights,
    if_revision: Option<u64>,
    key: Option<String>,
}

async fn set(Shared(fake): Shared<Arc<Fake>>, headers: HeaderMap, Json(wish): Json<Wish>) -> Response {
    if fake
        .token
        .is_some_and(|token| headers.get("authorization").is_none_or(|given| given != &format!("Bearer {token}")))
    {
        return refuse(401, "weights are set with the admin token");
    }
    let mut state = fake.state.lock().expect("no test panics here");
    let fault = fake.fault.load(Ordering::SeqCst);
    if fault == CONFLICTS_ONCE {
        fake.fails(NOTHING);
        let same = state.weights.clone();
        state.enter(same, None);
    }
    if !state.weights.keys().eq(wish.weights.keys()) {
        return refuse(400, "a version has no weight in the request");
    }
    if wish.weights == state.weights && wish.key == state.last_key {
        return Json(state.json()).into_response();
    }
    if wish.if_revision.is_some_and(|revision| revision != state.revision) {
        return refuse(409, "`if_revision` is not the revision in force");
    }
    state.enter(wish.weights, wish.key);
    match fault {
        LOSES_ONE_ANSWER => {
            fake.fails(NOTHING);
            refuse(500, "the weights may not have been applied: read the state again")
        }
        ALWAYS_OVERWRITTEN => {
            let same = state.weights.clone();
            state.enter(same, Some("another".into()));
            Json(state.json()).into_response()
        }
        _ => Json(state.json()).into_response(),
    }
}

fn driver(admin: &str) -> RouterDriver {
    let settings = RouterSettings { admin: admin.to_owned(), token: Some(Token::new("secret")) };
    RouterDriver::new(BTreeMap::from([("edge".to_owned(), settings)])).expect("the settings are sound")
}

fn shop() -> Target {
    target(json!({"driver": "router", "backend": "shop", "canary": "v2", "stable": "v1"}))
}

fn act(step: &str) -> Act {
    Act { change: change::ChangeId::new(7), step: step.to_owned(), attempt: 1, files: BTreeMap::new() }
}

fn five() -> Desired {
    Desired { target: shop(), weight: Weight::percent(5) }
}

fn weights(v1: u32, v2: u32) -> Weights {
    Weights::from([("v1".to_owned(), v1), ("v2".to_owned(), v2)])
}

struct Site(Arc<Fake>);

#[async_trait]
impl World for Site {
    async fn weight(&self) -> Weight {
        Weight::percent(u16::try_from(self.0.now()["v2"] / 100).unwrap_or(u16::MAX))
    }

    async fn effects(&self) -> usize {
        self.0.applied().len()
    }

    fn observation(&self, weight: Weight) -> Value {
        let canary = u32::from(weight.basis_points());
        json!({"weights": {"v1": 10_000 - canary, "v2": canary}})
    }

    async fn cut(&self) {
        self.0.fails(REFUSES_ALL);
    }

    async fn mend(&self) {
        self.0.fails(NOTHING);
    }
}

#[tokio::test]
async fn the_router_driver_conforms() {
    let fake = Fake::new(&[("v1", 10_000), ("v2", 0)]);
    let driver = driver(&fake.serve().await);
    conformance::run(&driver, &shop(), &Site(fake)).await;
}

#[tokio::test]
async fn a_step_is_applied_with_revision_and_weights() {
    let fake = Fake::new(&[("v1", 10_000), ("v2", 0), ("v3", 0)]);
    let driver = driver(&fake.serve().await);
    let actual = json!({"revision": 8, "weights": {"v1": 9_500, "v2": 500, "v3": 0}});
    assert_eq!(driver.ensure(&act("1"), &five()).await, Outcome::Applied { actual });
    assert_eq!(fake.state.lock().expect("no test panics here").last_key.as_deref(), Some("CHG-7/1/1"));
}

#[tokio::test]
async fn other_versions_keep_their_weight_and_are_named() {
    let fake = Fake::new(&[("v1", 8_000), ("v2", 0), ("v3", 2_000)]);
    let driver = driver(&fake.serve().await);
    let problem = "the backend `shop` at the router `edge`: the version `v3`, which is not part of this change, gets 20%; set it to 0%";
    assert_eq!(driver.ready(&shop()).await, Err(vec![problem.into()]));
    let before = driver.observe(&shop()).await.expect("is reachable");
    assert!(matches!(driver.ensure(&act("1"), &five()).await, Outcome::Applied { .. }));
    assert_eq!(fake.now()["v3"], 2_000);
    assert!(matches!(driver.undo(&act("undo"), &shop(), &before).await, Outcome::Applied { .. }));
    assert_eq!(json!({"weights": fake.now()}), before);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_read_and_not_repeated() {
    let fake = Fake::new(&[("v1", 10_000), ("v2", 0)]);
    let driver = driver(&fake.serve().await);
    fake.fails(LOSES_ONE_ANSWER);
    assert!(matches!(driver.ensure(&act("1"), &five()).await, Outcome::Applied { .. }));
    assert_eq!(fake.applied(), [weights(9_500, 500)]);
}

#[tokio::test]
async fn a_conflict_is_decided_anew_and_a_quarrel_is_given_up() {
    let fake = Fake::new(&[("v1", 10_000), ("v2", 0)]);
    let driver = driver(&fake.serve().await);
    fake.fails(CONFLICTS_ONCE);
    assert!(matches!(driver.ensure(&act("1"), &five()).await, Outcome::Applied { .. }));
    fake.fails(ALWAYS_OVERWRITTEN);
    let error =
        "the backend `shop` at the router `edge` does not keep the weights: somebody else sets them too".to_owned();
    assert_eq!(driver.ensure(&act("2"), &five()).await, Outcome::Failed { failure: Failure::Retry, error });
}

#[tokio::test]
async fn right_weights_under_another_key_are_put_again() {
    let fake = Fake::new(&[("v1", 9_500), ("v2", 500)]);
    let driver = driver(&fake.serve().await);
    assert!(matches!(driver.ensure(&act("1"), &five()).await, Outcome::Applied { .. }));
    assert_eq!(fake.applied().len(), 1, "a request that is still on its way carries an old revision now");
}

async fn failure(admin: &str, target: Target) -> (Failure, String) {
    match within(10, driver(admin).ensure(&act("1"), &Desired { target, weight: Weight::percent(5) })).await {
        Outcome::Failed { failure, error } => (failure, error),
        outcome => panic!("it can't be applied: {outcome:?}"),
    }
}

#[tokio::test]
async fn what_may_pass_is_retried() {
    let (failed, error) = failure(&nobody().await, shop()).await;
    assert_eq!(failed, Failure::Retry);
    assert!(error.contains("can't be reached: no connection: Connection refused"), "{error}");
    let (failed, error) = failure(&serve_silence().await, shop()).await;
    assert_eq!(failed, Failure::Retry);
    assert!(error.ends_with("can't be reached: no answer within 2s"), "{error}");
    let (failed, error) = failure(&serve_answer(502, "text/plain", "bad gateway").await, shop()).await;
    assert_eq!(failed, Failure::Retry);
    assert!(error.ends_with("answered 502: no reason given"), "{error}");
}

#[tokio::test]
async fn what_will_not_pass_is_final_and_in_the_routers_words() {
    let fake = Fake::new(&[("v1", 10_000), ("v2", 0)]);
    let admin = fake.serve().await;
    let other = |options: Value| target(options);
    let backend = other(json!({"driver": "router", "backend": "x", "canary": "v2", "stable": "v1"}));
    let (failed, error) = failure(&admin, backend).await;
    assert_eq!(failed, Failure::Final);
    assert!(error.ends_with("answered 404: no backend `x`; known are `shop`"), "{error}");
    let version = other(json!({"driver": "router", "backend": "shop", "canary": "v9", "stable": "v1"}));
    let no_version = "the backend `shop` at the router `edge` has no version `v9`; it has `v1` or `v2`".to_owned();
    assert_eq!(failure(&admin, version).await, (Failure::Final, no_version));
    let (failed, error) = failure(&serve_answer(200, "text/html", "<html>").await, shop()).await;
    assert_eq!(failed, Failure::Final);
    assert!(error.contains("does not answer as a router does"), "{error}");
    let outcome = driver(&admin).undo(&act("undo"), &shop(), &Value::Null).await;
    assert!(
        matches!(outcome, Outcome::Failed { failure: Failure::Final, error } if error.starts_with("nobody saw what weight"))
    );
    assert!(fake.applied().is_empty());
}

#[tokio::test]
async fn a_wrong_token_is_found_before_the_rollout() {
    let mut fake = Fake::new(&[("v1", 10_000), ("v2", 0)]);
    Arc::get_mut(&mut fake).expect("is not shared yet").token = Some("another");
    let problems = driver(&fake.serve().await).ready(&shop()).await.unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("answered 401: weights are set with the admin token"), "{problems:?}");
}

#[tokio::test]
async fn a_rollout_begins_with_all_traffic_on_stable() {
    let fake = Fake::new(&[("v1", 0), ("v2", 10_000)]);
    let problems = driver(&fake.serve().await).ready(&shop()).await.unwrap_err().join("\n");
    assert_eq!(
        problems,
        "the backend `shop` at the router `edge`: the stable version `v1` gets no traffic: there is nothing to compare with and to go back to\n\
         the backend `shop` at the router `edge`: the canary `v2` gets 100% already; set it to 0% before it is rolled out"
    );
    assert!(fake.applied().is_empty());
}

fn claims(routers: &[&str], options: Value) -> Result<Claims, Vec<(String, String)>> {
    let settings = RouterSettings { admin: "http://127.0.0.1:1".into(), token: None };
    let routers = routers.iter().map(|name| ((*name).to_owned(), settings.clone())).collect();
    let plan = Plan { strategy: Strategy::Canary, target: target(options), steps: vec![] };
    RouterDriver::new(routers).expect("the settings are sound").claims(&plan)
}

#[test]
fn a_claim_names_router_and_backend() {
    let options = json!({"driver": "router", "backend": "shop", "canary": "v2", "stable": "v1"});
    let expected = Claims {
        resources: ["router:edge/shop".to_owned()].into(),
        effect: Closure::Closed,
        hands: Default::default(),
    };
    assert_eq!(claims(&["edge"], options), Ok(expected));
}

#[test]
fn what_is_wrong_with_the_options_is_said_at_its_place() {
    let with = |more: Value| {
        let mut options = json!({"driver": "router", "backend": "shop", "canary": "v2", "stable": "v1"});
        options.as_object_mut().expect("is a map").extend(more.as_object().expect("is a map").clone());
        options
    };
    let cases = [
        (
            vec!["edge"],
            with(json!({"bakend": "x"})),
            ("/bakend", "there is no field `bakend`; did you mean `backend`?"),
        ),
        (vec!["edge"], with(json!({"backend": 7})), ("/backend", "expected text, found the number `7`")),
        (vec!["edge"], with(json!({"backend": "a/b"})), ("/backend", "`a/b` ")),
        (vec!["edge"], with(json!({"canary": "v1"})), ("/canary", "`v1` is both canary and stable")),
        (
            vec!["edge"],
            with(json!({"router": "egde"})),
            ("/router", "there is no router `egde`; did you mean `edge`? the routers in clearway.toml: `edge`"),
        ),
        (vec!["a", "b"], with(json!({})), ("/router", "say which router is meant: `a` or `b`")),
        (vec![], with(json!({})), ("/router", "no router is named in clearway.toml")),
        (vec!["edge"], json!({"driver": "router", "backend": "shop", "stable": "v1"}), ("", "`canary` is missing")),
    ];
    for (routers, options, (pointer, sentence)) in cases {
        let found = claims(&routers, options).unwrap_err();
        let [(at, problem)] = &found[..] else { panic!("one problem for `{sentence}`: {found:?}") };
        assert!(at == pointer && problem.starts_with(sentence), "{at}: {problem}");
    }
}
