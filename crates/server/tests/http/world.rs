//! The made-up world: a store in memory that can be made to fail, a target that does what it is told, and requests in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use change::governance::Governance;
use change::proposal::{Claims, Closure};
use change::rollout::{Desired, Plan, Target};
use change::{ChangeId, Digest};
use engine::clock::SystemClock;
use engine::handle::Parts;
use engine::ports::*;
use engine::project::ChangeRow;
use engine::{Handle, InForce, Settings};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const FILE: &str = "title: Raise the pool\nkind: config\nowner: sre\nservices: [checkout]\nenvironment: production\n\
    plan: {strategy: canary, target: {driver: paper}}\nrollback: {automatic: true}\n";

/// A store in memory.
#[derive(Default)]
pub(crate) struct PaperStore {
    kept: Mutex<Kept>,
    pub is_broken: AtomicBool,
}

#[derive(Default)]
struct Kept {
    events: Vec<Recorded>,
    rows: BTreeMap<ChangeId, ChangeRow>,
    looks: Vec<LookRow>,
    keys: Vec<IdempotencyKey>,
}

impl PaperStore {
    fn kept(&self) -> Result<std::sync::MutexGuard<'_, Kept>, StoreError> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("the secret disk is full".into()));
        }
        Ok(self.kept.lock().expect("no panic while locked"))
    }
}

#[async_trait]
impl Store for PaperStore {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let mut kept = self.kept()?;
        if let Some(used) = &batch.idempotency
            && kept.keys.iter().any(|k| (&k.actor, &k.key) == (&used.actor, &used.key))
        {
            return Err(StoreError::KeyUsed(used.key.clone()));
        }
        for write in &batch.writes {
            let found = kept.events.iter().filter(|r| r.stream == write.stream).count() as u64;
            if found != write.expected {
                return Err(StoreError::Conflict { stream: write.stream.clone(), expected: write.expected, found });
            }
        }
        let mut positions = vec![];
        for write in batch.writes {
            for (version, new) in (write.expected + 1..).zip(write.events) {
                let NewEvent { event, actor, change, time } = new;
                let position = kept.events.len() as u64;
                positions.push(position);
                kept.events.push(Recorded {
                    position,
                    stream: write.stream.clone(),
                    version,
                    time,
                    actor,
                    change,
                    event,
                });
            }
        }
        kept.rows.extend(batch.rows.into_iter().map(|row| (row.id, row)));
        kept.looks.extend(batch.looks);
        kept.keys.extend(batch.idempotency);
        Ok(Appended { positions, size: kept.events.len() as u64 })
    }

    async fn read(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        Ok(self.kept()?.events.iter().filter(|r| r.stream == stream && r.version > after).cloned().collect())
    }

    async fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        Ok(self.kept()?.events.iter().filter(|r| r.position >= from).take(limit).cloned().collect())
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
        let kept = self.kept()?;
        let fits = |row: &&ChangeRow| {
            (query.phases.is_empty() || query.phases.contains(&row.phase))
                && query.service.as_ref().is_none_or(|s| row.services.contains(s))
                && query.before.is_none_or(|before| row.id < before)
        };
        Ok(kept.rows.values().rev().filter(fits).take(query.limit).cloned().collect())
    }

    async fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        Ok(self.kept()?.rows.get(&change).cloned())
    }

    async fn last_number(&self) -> Result<u64, StoreError> {
        Ok(self.kept()?.rows.keys().last().map_or(0, |id| id.number()))
    }

    async fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError> {
        Ok(self.kept()?.looks.iter().filter(|l| l.change == change && l.number >= from).cloned().collect())
    }

    async fn blob(&self, _: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    async fn idempotency(&self, actor: &str, key: &str) -> Result<Option<IdempotencyKey>, StoreError> {
        Ok(self.kept()?.keys.iter().find(|k| (k.actor.as_str(), k.key.as_str()) == (actor, key)).cloned())
    }

    async fn lease(&self, _: &str, _: &str, _: BootMillis, until: BootMillis) -> Result<Option<Lease>, StoreError> {
        Ok(Some(Lease { fence: 1, until }))
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        drop(self.kept()?);
        Ok(["checkpoint", "tile/0/000.p/3", "tile/entries/000"].contains(&path).then(|| path.as_bytes().to_vec()))
    }

    async fn proof(&self, position: u64) -> Result<Option<String>, StoreError> {
        let exists = position < self.kept()?.events.len() as u64;
        Ok(exists.then(|| format!("c2sp.org/tlog-proof@v1\nindex {position}\n")))
    }

    fn verifier_key(&self) -> String {
        "paper.example/log+00000000+AAAA".into()
    }

    async fn rebuild(&self) -> Result<u64, StoreError> {
        Ok(self.kept()?.rows.len() as u64)
    }
}

struct PaperDriver;

#[async_trait]
impl Driver for PaperDriver {
    fn name(&self) -> &'static str {
        "paper"
    }
    fn schema(&self) -> Value {
        json!({"type": "object"})
    }
    fn claims(&self, _: &Plan) -> Result<Claims, Vec<(String, String)>> {
        Ok(Claims {
            resources: ["paper:checkout".to_owned()].into(),
            effect: Closure::Closed,
            hands: Default::default(),
        })
    }
    fn cohorts(&self, _: &Target) -> Cohorts {
        Cohorts { canary: "v2".into(), stable: "v1".into() }
    }
    async fn ready(&self, _: &Target) -> Result<(), Vec<String>> {
        Ok(())
    }
    async fn observe(&self, _: &Target) -> Result<Value, String> {
        Ok(json!({}))
    }
    async fn ensure(&self, _: &Act, desired: &Desired) -> Outcome {
        Outcome::Applied { actual: json!({"weight": desired.weight}) }
    }
    async fn undo(&self, _: &Act, _: &Target, before: &Value) -> Outcome {
        Outcome::Applied { actual: before.clone() }
    }
}

struct Blind;

#[async_trait]
impl Eyes for Blind {
    fn sources(&self) -> Vec<String> {
        vec![]
    }
    async fn read(&self, _: &str, asks: &[Ask], _: &Glance) -> Result<Vec<engine::ports::Answer>, String> {
        let empty =
            |ask: &Ask| engine::ports::Answer { asked: ask.query.clone(), meaning: Meaning::Total, series: vec![] };
        Ok(asks.iter().map(empty).collect())
    }
    fn may_run_commands(&self) -> bool {
        false
    }
    async fn check(&self, _: &Act, _: &change::verification::CheckCommand) -> Result<Option<String>, String> {
        Ok(None)
    }
}

#[async_trait]
impl Voice for Blind {
    async fn tell(&self, _: ChangeId, _: &Message<'_>) -> Result<String, String> {
        Ok("paper".into())
    }
}

/// Every user's token is `token-of-` and their name, with the id `id-of-` and their name. With `checkout-of-` it is limited to reading and approving
/// changes of `checkout`, with `feed-of-` to the calendar feed, with `search-feed-of-` to that of `search`, with `expired-of-` it is over. The code `once` is ada's, until it is used.
#[derive(Default)]
pub(crate) struct PaperDesk {
    used: AtomicBool,
    pub revoked: Mutex<BTreeSet<String>>,
    pub made: Mutex<Vec<server::NewToken>>,
}

impl PaperDesk {
    fn identity(token: &str) -> Option<server::Identity> {
        let identity = |user: &str, limits| server::Identity {
            user: user.to_owned(),
            token: Some(format!("id-of-{user}")),
            limits,
        };
        if let Some(user) = token.strip_prefix("checkout-of-") {
            let may = Some([change::Permission::Read, change::Permission::Approve].into());
            let on = change::actor::Scope { services: vec!["checkout".into()], environments: vec![] };
            return Some(identity(user, change::actor::Limits { may, on, ..Default::default() }));
        }
        if let Some(user) = token.strip_prefix("feed-of-") {
            return Some(identity(
                user,
                change::actor::Limits { purpose: change::actor::Purpose::Feed, ..Default::default() },
            ));
        }
        if let Some(user) = token.strip_prefix("search-feed-of-") {
            let on = change::actor::Scope { services: vec!["search".into()], environments: vec![] };
            return Some(identity(
                user,
                change::actor::Limits { purpose: change::actor::Purpose::Feed, on, may: None },
            ));
        }
        token.strip_prefix("token-of-").map(|user| identity(user, change::actor::Limits::default()))
    }

    fn view(new: &server::NewToken) -> server::TokenView {
        server::TokenView {
            id: format!("id-of-{}", new.user),
            user: new.user.clone(),
            name: new.name.clone(),
            limits: new.limits.clone(),
            made_at: None,
            made_by: Some(new.made_by.clone()),
            expires: new.expires,
            revoked: None,
            last_used: None,
        }
    }
}

impl server::Identify for PaperDesk {
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<server::Identity, server::Stranger>> {
        assert_ne!(token, "poison", "this token makes the desk panic");
        let found = match token.strip_prefix("expired-of-") {
            Some(user) => {
                let at = "2026-01-01T00:00:00Z".parse().expect("an instant");
                Err(server::Stranger::Expired { token: format!("id-of-{user}"), at })
            }
            None => Self::identity(token).ok_or(server::Stranger::Unknown),
        };
        let found = found.and_then(|who| self.still(who.token.as_deref().unwrap_or_default()).map(|()| who));
        Box::pin(async move { found })
    }

    fn still(&self, token: &str) -> Result<(), server::Stranger> {
        let at = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let is_revoked = self.revoked.lock().expect("no panic").contains(token);
        if is_revoked { Err(server::Stranger::Revoked { token: token.to_owned(), at }) } else { Ok(()) }
    }

    fn one_time(&self, code: &str) -> Option<server::Identity> {
        let user = (code == "once" && !self.used.swap(true, Ordering::SeqCst)).then(|| "ada".to_owned());
        user.map(|user| server::Identity { user, ..server::Identity::default() })
    }

    fn owner(&self, token: &str) -> Option<String> {
        token.strip_prefix("id-of-").map(str::to_owned)
    }

    fn make(&self, new: server::NewToken) -> BoxFuture<'_, Result<server::Made, String>> {
        let token = Self::view(&new);
        self.made.lock().expect("no panic").push(new);
        Box::pin(async move { Ok(server::Made { secret: "cw_id_secret".into(), token }) })
    }

    fn list(&self) -> Result<Vec<server::TokenView>, String> {
        Ok(self.made.lock().expect("no panic").iter().map(Self::view).collect())
    }

    fn revoke<'a>(&'a self, token: &'a str, _: &'a str) -> BoxFuture<'a, Result<Vec<server::TokenView>, String>> {
        self.revoked.lock().expect("no panic").insert(token.to_owned());
        Box::pin(async move { Ok(vec![]) })
    }
}

/// Ada and bob may do everything, cleo only reads, dora is known and may nothing, eli reads another service, flo is an auditor, gus has left. Two approvals are always needed, so that nothing starts by itself.
fn governance() -> Governance {
    let access = json!({
        "users": [
            {"id": "ada", "name": "Ada", "roles": [{"role": "all"}]},
            {"id": "bob", "roles": [{"role": "all"}]},
            {"id": "cleo", "roles": [{"role": "reader"}]},
            {"id": "dora"},
            {"id": "eli", "roles": [{"role": "reader", "on": {"services": ["search"]}}]},
            {"id": "flo", "roles": [{"role": "auditor"}]},
            {"id": "gus", "roles": [{"role": "all"}], "deactivated": true},
        ],
        "groups": [{"id": "sre", "members": ["ada", "bob"]}],
        "roles": [{"id": "all", "may": change::Permission::ALL}, {"id": "reader", "may": ["read"]},
                  {"id": "auditor", "may": ["audit"]}],
    });
    let approvals = json!({"rules": [{"require": [{"by": "approvers", "count": 2}]}]});
    Governance {
        access: serde_json::from_value(access).expect("an access table"),
        approvals: serde_json::from_value(approvals).expect("a matrix"),
        standards: [("pool".to_owned(), standard())].into(),
        ..Governance::embedded("ada")
    }
}

/// A standard change with one parameter.
fn standard() -> change::standard::Template {
    let change: Value = change::document::Document::from_yaml(FILE).expect("YAML").value().clone();
    let mut change = change.as_object().expect("a change file").clone();
    change.insert("description".into(), json!("to ${size}"));
    let template = json!({"id": "pool", "title": "Raise the pool", "owner": "sre", "change": change,
        "parameters": {"size": {"minimum": 8, "maximum": 64}}, "review_by": "9999-12-31"});
    serde_json::from_value(template).expect("a template")
}

/// Takes one made-up form for a secret: `planted-` and eight letters.
struct OneWord;

impl Scrub for OneWord {
    fn may_hold(&self, bytes: &[u8]) -> bool {
        bytes.windows(8).any(|word| word == b"planted-")
    }

    fn spot(&self, text: &str) -> Vec<Spotted> {
        let found = text.match_indices("planted-").filter(|(at, _)| text.len() >= at + 16);
        found
            .map(|(at, _)| Spotted { rule: "planted", at: at..at + 16, excerpt: "plan…".into(), is_certain: true })
            .collect()
    }

    fn spot_under(&self, _: &str, text: &str) -> Vec<Spotted> {
        self.spot(text)
    }
}

/// A server and its store.
pub(crate) struct World {
    pub router: Router,
    pub store: Arc<PaperStore>,
    pub handle: Handle,
    pub desk: Arc<PaperDesk>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with("http://localhost:8080", false).await
    }

    /// One in which a policy answers too.
    pub(crate) async fn under(policy: &str) -> Self {
        let policies = [("policy/rules.rego".to_owned(), policy.to_owned())].into();
        Self::governed("http://localhost:8080", false, Governance { policies, ..governance() }).await
    }

    /// One with a catalog, people on call, and a freeze whose owner is bob.
    pub(crate) async fn coordinated() -> Self {
        let calendar = json!({"freezes": [{"name": "clos<i>ng", "services": ["checkout"], "start": "2020-01-01T00:00",
            "end": "2090-01-01T00:00", "tz": "UTC", "reason": "the books", "owner": "bob"}]});
        let services = json!([
            {"name": "checkout", "owner": "sre", "on_call": "primary"},
            {"name": "search", "owner": "ada"},
        ]);
        let roster = json!({"schedules": [{"name": "primary", "tz": "UTC", "shifts": [
            {"user": "cyd", "start": "2020-01-01T00:00", "end": "2090-01-01T00:00"}]}]});
        let mut governance = governance();
        governance.access.users.push(serde_json::from_value(json!({"id": "cyd"})).expect("a user"));
        governance.calendar = serde_json::from_value(calendar).expect("a calendar");
        governance.catalog = change::catalog::Catalog::new(serde_json::from_value(services).expect("services"))
            .with_schedules(["primary".to_owned()]);
        governance.roster = serde_json::from_value(roster).expect("a roster");
        Self::governed("http://localhost:8080", false, governance).await
    }

    pub(crate) async fn with(base_url: &str, public_log: bool) -> Self {
        Self::governed(base_url, public_log, governance()).await
    }

    async fn governed(base_url: &str, public_log: bool, governance: Governance) -> Self {
        let store = Arc::new(PaperStore::default());
        let driver: Arc<dyn Driver> = Arc::new(PaperDriver);
        let parts = Parts {
            store: store.clone(),
            drivers: BTreeMap::from([("paper".to_owned(), driver)]),
            eyes: Arc::new(Blind),
            voice: Arc::new(Blind),
            rosters: Arc::new(engine::ports::NoRosters),
            clock: Arc::new(SystemClock),
            scrub: Arc::new(OneWord),
            in_force: InForce::new(governance).expect("its policies compile"),
            settings: Settings::default(),
            build: "test".into(),
        };
        let handle = Handle::start(parts).await.expect("a store that works");
        let identify = Arc::new(PaperDesk::default());
        let desk = identify.clone();
        let app = server::App { handle: handle.clone(), identify, base_url: base_url.to_owned(), public_log };
        Self { router: server::router(app), store, handle, desk }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("a router always answers");
        Answer::read(response).await
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        self.send(get(path).header(header::AUTHORIZATION, bearer(user)).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, user: &str, path: &str, body: &Value) -> Answer {
        let request = post(path, "application/json").header(header::AUTHORIZATION, bearer(user));
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Proposes a change as ada, and waits until policy has answered.
    pub(crate) async fn proposed(&self) -> Value {
        self.proposed_of(FILE).await
    }

    pub(crate) async fn proposed_of(&self, file: &str) -> Value {
        let mut notices = self.handle.subscribe();
        let answer = self.post("ada", "/api/v1/changes", &json!({"file": file})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let path = format!("/api/v1/changes/{}", answer.json()["change"]["id"].as_str().expect("an id"));
        loop {
            let shown = self.get("ada", &path).await.json();
            if shown["phase"] != "proposed" {
                return shown;
            }
            let next = tokio::time::timeout(std::time::Duration::from_secs(10), notices.recv());
            next.await.expect("policy answers in time").expect("the engine runs");
        }
    }

    /// The cookie of a session of this user.
    pub(crate) async fn logged_in(&self, user: &str) -> String {
        let form = format!("token=token-of-{user}&next=%2Fchanges");
        let answer = self.form(None, "/login", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
    }

    pub(crate) async fn page(&self, cookie: &str, path: &str) -> Answer {
        self.send(get(path).header(header::COOKIE, cookie).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn form(&self, cookie: Option<&str>, path: &str, form: &str) -> Answer {
        let mut request = post(path, "application/x-www-form-urlencoded");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        self.send(request.body(Body::from(form.to_owned())).expect("a request")).await
    }
}

pub(crate) fn get(path: &str) -> axum::http::request::Builder {
    Request::get(path)
}

pub(crate) fn post(path: &str, content_type: &str) -> axum::http::request::Builder {
    Request::post(path).header(header::CONTENT_TYPE, content_type)
}

/// The header of a user, or of a token that is written out (`checkout-of-ada`).
pub(crate) fn bearer(user: &str) -> String {
    if user.contains("-of-") { format!("Bearer {user}") } else { format!("Bearer token-of-{user}") }
}

/// The token in the forms of a page.
pub(crate) fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form with a token");
    rest.split('"').next().expect("a token").to_owned()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub text: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Self { status: head.status, headers: head.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Asserts a problem in its form, and returns what it says.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), self.header("content-type")),
            (status, "application/problem+json"),
            "{}",
            self.text
        );
        let problem = self.json();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{}", self.text);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        problem
    }
}

/// The names of the headers that every answer has.
pub(crate) fn always() -> BTreeSet<&'static str> {
    ["content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options", "cache-control"].into()
}
