//! Secrets: planted in every input that there is, against a real server process, and looked for in everything that it writes and says.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use drivers::read::secrets::samples::{self, Sample};
use serde_json::{Value, json};

use crate::house::{House, program, text};

/// What became of a planted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// 422, or the exit code for a refusal: nothing is kept.
    Refused,
    /// The input is turned away for another reason, or taken without its secret.
    Anything,
}

/// One way into the program. A new input is one row here.
struct Input {
    name: &'static str,
    fate: Fate,
    send: fn(&Server, &Sample) -> (u16, String),
}

const REFUSED: u16 = 422;

/// Every way by which text reaches a running server from outside, but its own files and what it reads: those are planted before it starts.
const INPUTS: &[Input] = &[
    Input { name: "title", fate: Fate::Refused, send: |s, x| s.propose("title: Change", "title: Change LINE", x) },
    Input {
        name: "description",
        fate: Fate::Refused,
        send: |s, x| s.propose("kind:", "description: 'LINE'\nkind:", x),
    },
    Input { name: "owner", fate: Fate::Refused, send: |s, x| s.propose("owner: ada", "owner: 'SECRET'", x) },
    Input { name: "service", fate: Fate::Refused, send: |s, x| s.propose("[shop]", "['SECRET']", x) },
    Input { name: "environment", fate: Fate::Refused, send: |s, x| s.propose(": production", ": 'SECRET'", x) },
    Input { name: "artifact", fate: Fate::Refused, send: |s, x| s.propose("shop@", "LINE@", x) },
    Input { name: "target option", fate: Fate::Refused, send: |s, x| s.propose("backend: b0", "backend: 'SECRET'", x) },
    Input { name: "driver", fate: Fate::Refused, send: |s, x| s.propose("driver: router", "driver: 'SECRET'", x) },
    Input { name: "query", fate: Fate::Refused, send: |s, x| s.propose("code=", "secret=\"SECRET\",code=", x) },
    Input { name: "runbook", fate: Fate::Refused, send: |s, x| s.propose("docs/back.md", "'docs/SECRET.md'", x) },
    Input {
        name: "link",
        fate: Fate::Refused,
        send: |s, x| s.propose("kind:", "links: ['https://l.invalid/?a=LINE']\nkind:", x),
    },
    Input { name: "unknown field", fate: Fate::Refused, send: |s, x| s.propose("kind:", "'SECRET': 1\nkind:", x) },
    Input {
        name: "comment of a file",
        fate: Fate::Refused,
        send: |s, x| s.propose("kind:", "# LINE clearway:allow-secret please\nkind:", x),
    },
    Input { name: "no YAML", fate: Fate::Refused, send: |s, x| s.propose("kind:", "}}} LINE\nkind:", x) },
    Input {
        name: "names of files",
        fate: Fate::Refused,
        send: |s, x| s.api("changes", &json!({"file": "x", "files": {(x.secret.as_str()): "sha256:00"}})),
    },
    Input {
        name: "reported finding",
        fate: Fate::Refused,
        send: |s, x| {
            s.api("changes", &json!({"file": s.file, "secrets": [{"rule": "jwt", "file": x.line, "place": {"line": 1, "column": 1}, "excerpt": "…"}]}))
        },
    },
    Input {
        name: "body that is no JSON",
        fate: Fate::Refused,
        send: |s, x| s.post("/api/v1/changes", "application/json", &format!("{{ {}", x.line), &[]),
    },
    Input {
        name: "field of a body",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/pause", &json!({(x.secret.as_str()): 1})),
    },
    Input {
        name: "check",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/check", &json!({"file": format!("title: {}", x.line)})),
    },
    Input {
        name: "plan",
        fate: Fate::Refused,
        send: |s, x| s.api("plans", &json!({"file": format!("title: {}", x.line), "runs": 1})),
    },
    Input {
        name: "schedule",
        fate: Fate::Refused,
        send: |s, x| s.api("schedule", &json!({"file": format!("title: {}", x.line)})),
    },
    Input {
        name: "amend",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/amend", &json!({"file": format!("title: {}", x.line)})),
    },
    Input {
        name: "vote",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/approve", &json!({"effect": s.effect, "comment": x.line})),
    },
    Input {
        name: "vote for",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/approve", &json!({"effect": x.secret})),
    },
    Input {
        name: "reject",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/reject", &json!({"reason": x.line})),
    },
    Input {
        name: "withdraw",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/withdraw", &json!({"reason": x.line})),
    },
    Input {
        name: "hold",
        fate: Fate::Refused,
        send: |s, x| s.api("holds", &json!({"services": ["shop"], "lasts": "1h", "reason": x.line})),
    },
    Input {
        name: "veto",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/veto", &json!({"lasts": "1h", "reason": x.line})),
    },
    Input { name: "pause", fate: Fate::Refused, send: |s, x| s.api("changes/CHG-1/pause", &json!({"reason": x.line})) },
    Input {
        name: "resume",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/resume", &json!({"found": x.secret})),
    },
    Input {
        name: "promote",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/promote", &json!({"reason": x.line})),
    },
    Input {
        name: "rollback",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/rollback", &json!({"reason": x.line})),
    },
    Input {
        name: "complete",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/complete", &json!({"evidence": x.line})),
    },
    Input {
        name: "review",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/review", &json!({"summary": x.line})),
    },
    Input {
        name: "exception",
        fate: Fate::Refused,
        send: |s, x| {
            let until = "2030-01-01T00:00:00Z";
            s.api("changes/CHG-1/except", &json!({"freeze": "x", "until": until, "reason": x.line}))
        },
    },
    Input {
        name: "freeze of an exception",
        fate: Fate::Refused,
        send: |s, x| {
            s.api("changes/CHG-1/grant-exception", &json!({"freeze": x.secret, "until": "2030-01-01T00:00:00Z"}))
        },
    },
    Input {
        name: "end of an exception",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/revoke-exception", &json!({"freeze": "x", "reason": x.line})),
    },
    Input {
        name: "query of the calendar",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/calendar?service={}", encoded(&x.line)), &[]),
    },
    Input {
        name: "replay",
        fate: Fate::Refused,
        send: |s, x| s.api("changes/CHG-1/replay", &json!({"strictness": {"slis": {(x.secret.as_str()): {}}}})),
    },
    Input {
        name: "release",
        fate: Fate::Refused,
        send: |s, x| s.api("releases", &json!({"file": format!("title: {}", x.line)})),
    },
    Input {
        name: "change of a release",
        fate: Fate::Refused,
        send: |s, x| s.api("releases/check", &json!({"file": "title: a", "changes": {"a": {"file": x.line}}})),
    },
    Input {
        name: "rollback of a release",
        fate: Fate::Refused,
        send: |s, x| s.api("releases/REL-1/rollback", &json!({"reason": x.line})),
    },
    Input {
        name: "idempotency key",
        fate: Fate::Refused,
        send: |s, x| {
            s.post(
                "/api/v1/changes",
                "application/json",
                &json!({"file": s.file}).to_string(),
                &[("idempotency-key", &x.secret)],
            )
        },
    },
    Input {
        name: "id in the path",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/api/v1/changes/{}", encoded(&x.secret)), &[]),
    },
    Input { name: "path", fate: Fate::Refused, send: |s, x| s.get(&format!("/{}", encoded(&x.secret)), &[]) },
    Input {
        name: "query of the list",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/api/v1/changes?service={}", encoded(&x.line)), &[]),
    },
    Input {
        name: "unknown query",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/api/v1/changes?{}=1", encoded(&x.secret)), &[]),
    },
    Input {
        name: "query of a page",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/changes?phase={}", encoded(&x.secret)), &[("accept", "text/html")]),
    },
    Input {
        name: "next of a login",
        fate: Fate::Refused,
        send: |s, x| s.get(&format!("/login?next=/{}", encoded(&x.secret)), &[("accept", "text/html")]),
    },
    Input {
        name: "form",
        fate: Fate::Anything,
        send: |s, x| {
            s.post(
                "/changes/CHG-1/pause",
                "application/x-www-form-urlencoded",
                &format!("csrf=a&effect={}&text={}", s.effect, encoded(&x.line)),
                &[("cookie", &s.cookie)],
            )
        },
    },
    Input {
        name: "form without a session",
        fate: Fate::Anything,
        send: |s, x| {
            s.post(
                "/changes/CHG-1/pause",
                "application/x-www-form-urlencoded",
                &format!("csrf=a&text={}", encoded(&x.line)),
                &[],
            )
        },
    },
    Input {
        name: "token of a login",
        fate: Fate::Anything,
        send: |s, x| {
            s.post("/login", "application/x-www-form-urlencoded", &format!("token={}", encoded(&x.secret)), &[])
        },
    },
    Input {
        name: "code of a login",
        fate: Fate::Anything,
        send: |s, x| s.get(&format!("/login?code={}", encoded(&x.secret)), &[]),
    },
    Input {
        name: "bearer token",
        fate: Fate::Anything,
        send: |s, x| s.get("/api/v1/changes", &[("authorization", &format!("Bearer {}", x.secret))]),
    },
    Input {
        name: "header",
        fate: Fate::Anything,
        send: |s, x| s.get("/api/v1/changes", &[("content-type", &x.secret), ("cookie", &format!("a={}", x.secret))]),
    },
];

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The server of a house as a stranger to the client sees it.
struct Server {
    house: House,
    http: reqwest::blocking::Client,
    url: String,
    token: String,
    file: String,
    effect: String,
    cookie: String,
}

impl Server {
    fn of(house: House, file: &str) -> Self {
        let announced = std::fs::read(house.store().join("server.json")).expect("where it is");
        let announced: Value = serde_json::from_slice(&announced).expect("JSON");
        let token = std::fs::read_to_string(house.store().join("token")).expect("a token").trim().to_owned();
        let http = reqwest::blocking::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let file = std::fs::read_to_string(file).expect("the change file");
        let effect = format!("sha256:{}", "0".repeat(64));
        let url = announced["url"].as_str().expect("an address").to_owned();
        let mut server = Self { house, http: http.expect("a client"), url, token, file, effect, cookie: String::new() };
        server.cookie = server.log_in();
        server
    }

    fn log_in(&self) -> String {
        let form = format!("token={}", self.token);
        let request = self.http.post(format!("{}/login", self.url)).body(form);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().expect("an answer");
        let cookie = answer.headers().get("set-cookie").expect("a session").to_str().expect("text");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        self.send(self.http.get(format!("{}{path}", self.url)), headers)
    }

    fn post(&self, path: &str, kind: &str, body: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request = self.http.post(format!("{}{path}", self.url)).header("content-type", kind).body(body.to_owned());
        self.send(request, headers)
    }

    fn send(&self, mut request: reqwest::blocking::RequestBuilder, headers: &[(&str, &str)]) -> (u16, String) {
        if !headers.iter().any(|(name, _)| ["authorization", "cookie"].contains(name)) {
            request = request.bearer_auth(&self.token);
        }
        let Ok(answer) = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send()
        else {
            // A header that HTTP has no form for was never sent.
            return (400, String::new());
        };
        let head = format!("{:?}", answer.headers());
        (answer.status().as_u16(), head + &answer.text().unwrap_or_default())
    }

    fn api(&self, path: &str, body: &Value) -> (u16, String) {
        self.post(&format!("/api/v1/{path}"), "application/json", &body.to_string(), &[])
    }

    fn propose(&self, from: &str, to: &str, sample: &Sample) -> (u16, String) {
        assert!(self.file.contains(from), "the change file has no `{from}`");
        let planted = to.replace("LINE", &sample.line).replace("SECRET", &sample.secret);
        self.api("changes", &json!({"file": self.file.replacen(from, &planted, 1)}))
    }
}

/// Every file below a folder, as bytes.
fn everything_below(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            everything_below(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string(), std::fs::read(entry.path()).unwrap_or_default());
        }
    }
}

/// Asserts that no secret is in anything that the server keeps, writes or shows.
fn assert_nowhere(server: &Server, planted: &[Sample]) {
    let mut places = BTreeMap::new();
    everything_below(&server.house.store(), &mut places);
    assert!(places.keys().any(|name| name.ends_with("clearway.db")), "{:?}", places.keys());
    places.insert("server.log".into(), std::fs::read(server.house.dir.path().join("server.log")).expect("a log"));
    for path in [
        "/",
        "/changes",
        "/changes/CHG-1",
        "/log",
        "/api",
        "/metrics",
        "/openapi.json",
        "/api/v1/changes",
        "/api/v1/changes/CHG-1",
        "/api/v1/changes/CHG-1/log",
        "/api/v1/changes/CHG-1/looks",
        "/api/v1/changes/CHG-1/gates",
        "/api/v1/log?limit=500",
        "/api/v1/drivers",
        "/api/v1/whoami",
        "/checkpoint",
        "/tile/entries/000",
        "/tile/0/000",
    ] {
        let headers: &[(&str, &str)] = if path.starts_with("/api/") { &[] } else { &[("cookie", &server.cookie)] };
        places.insert(format!("GET {path}"), server.get(path, headers).1.into_bytes());
    }
    for (place, bytes) in &places {
        for sample in planted {
            let secret = sample.secret.as_bytes();
            let is_there = bytes.len() >= secret.len() && bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!is_there, "a `{}` is in {place}", sample.rule);
        }
    }
}

// F7: a secret of each kind, through each input, is refused and is then nowhere.
#[test]
fn a_secret_planted_in_any_input_is_refused_and_found_nowhere() {
    let mut house = House::build(1, "good");
    let file = house.change_file("a.yaml", 0, "");
    house.start_server();
    house.json(&["propose", &file]);
    let server = Server::of(house, &file);
    // Those that stand in one line of YAML: the others are planted where lines are kept.
    let kinds: Vec<Sample> =
        samples::all(21).into_iter().filter(|s| !s.line.contains(['\n', '\'', '"', '{'])).collect();
    let names_itself = |sample: &Sample| sample.line.starts_with("value: ") || sample.line.starts_with("export A=");
    let mut planted = Vec::new();
    for input in INPUTS {
        let mut refused = 0;
        for sample in kinds.iter().filter(|sample| names_itself(sample)) {
            let (status, said) = (input.send)(&server, sample);
            assert!(!said.contains(&sample.secret), "`{}` says a `{}`: {said}", input.name, sample.rule);
            refused +=
                usize::from(status == REFUSED && said.contains("secret_found") || said.contains("looks like a secret"));
            let is_as_wanted = input.fate == Fate::Anything || status == REFUSED;
            assert!(is_as_wanted, "`{}` takes a `{}` with {status}: {said}", input.name, sample.rule);
        }
        assert!(input.fate == Fate::Anything || refused > 0, "`{}` was never refused for its secret", input.name);
    }
    for sample in &kinds {
        let (status, said) = server.api("changes/CHG-1/pause", &json!({"reason": sample.line}));
        assert_eq!(status, REFUSED, "{}: {said}", sample.rule);
    }
    planted.extend(kinds);
    assert_nowhere(&server, &planted);
    let listed = server.house.json(&["list"]);
    assert_eq!(listed["changes"].as_array().map(Vec::len), Some(1), "none of them was proposed");
}

// F7: what a server reads by itself: outputs of commands, and errors that quote them.
#[test]
fn a_secret_that_a_command_prints_is_shown_redacted_and_kept_nowhere() {
    let planted: Vec<Sample> = samples::all(33).into_iter().filter(|s| s.rule != "kubernetes-secret").collect();
    let mut house = House::build(1, "good");
    house.configure("[commands]\nallow = true\n");
    let lines: Vec<&str> = planted.iter().map(|s| s.line.as_str()).collect();
    std::fs::write(house.dir.path().join("said"), lines.join("\n") + "\nthe end of it\n").expect("a file");
    house.start_server();
    let change = |name: &str, apply: &str, observe: &str, smoke: &str| {
        let text = format!(
            "title: Raise\nkind: config\nowner: ada\nservices: [shop]\nenvironment: production\nplan:\n  strategy: canary\n  \
             target: {{driver: exec, apply: '{apply}', undo: 'true', observe: '{observe}', resource: {name}}}\n  \
             steps: [{{weight: 100%, bake: 500ms, deadline: 5s}}]\nverify:\n  commands: [{{run: '{smoke}', timeout: 5s}}]\n  every: 250ms\n  watch: 500ms\n\
             rollback: {{automatic: true, runbook: https://runbooks.example/back}}\n"
        );
        let path = house.dir.path().join(format!("{name}.yaml"));
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let files = [
        change("smoke", "true", "true", "cat said; exit 1"),
        change("apply", "cat said >&2; exit 3", "true", "true"),
        change("observe", "true", "cat said | tail -c 3000", "true"),
    ];
    for file in &files {
        house.json(&["propose", file]);
    }
    house.wait_for("CHG-1", &["rolled_back"]);
    house.wait_until("CHG-2", |view| view.to_string().contains("exit code 3"));
    house.wait_for("CHG-3", &["held"]);
    let shown = text(&house.run(&["log", "CHG-1"])) + &text(&house.run(&["show", "CHG-1"]));
    assert!(shown.contains("the end of it"), "the output is shown: {shown}");
    let why = text(&house.run(&["why", "CHG-3"]));
    assert!(why.contains("holds a secret and can't be kept for the way back"), "{why}");
    let failed = text(&house.run(&["log", "CHG-2"]));
    assert!(failed.contains("[redacted: "), "{failed}");
    let server = Server::of(house, &files[0]);
    assert_nowhere(&server, &planted);
}

// F7: the client scans before anything leaves the machine, and what it says of a secret is no secret.
#[test]
fn the_client_refuses_a_change_file_with_a_secret_and_says_where() {
    let mut house = House::build(1, "good");
    house.start_server();
    let sample = samples::all(5).into_iter().find(|s| s.rule == "stripe-key").expect("a sample");
    let file = house.change_file("a.yaml", 0, &format!("description: 'with {}'\n", sample.secret));
    for command in
        [vec!["propose", &file], vec!["check", &file], vec!["check", "--offline", &file], vec!["plan", &file]]
    {
        let output = house.run(&command);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("`sk_l…` looks like a secret (`stripe-key`)") && said.contains("a.yaml:2"), "{said}");
        assert!(said.contains("replace each secret by a new one") && !said.contains(&sample.secret), "{said}");
    }
    assert_eq!(house.json(&["list"])["changes"].as_array().map(Vec::len), Some(0));
    let mistaken = house.run(&["show", &sample.secret]);
    assert!(!mistaken.status.success());
    let listed = house.run(&["list", "--service", &sample.secret]);
    assert!(!text(&listed).contains(&sample.secret), "{}", text(&listed));
}

// F7: findings that an older client reports close the gate; what the governance allows is shown as allowed and does not.
#[test]
fn a_reported_finding_closes_the_gate_unless_the_governance_allows_it() {
    let mut house = House::build(1, "good");
    let salt = "8c1f0a97d35be2464f6a90b1c7d2e835";
    let allowed = change::secret::Fingerprint::of(salt, "jwt", "a sample");
    let list =
        format!("salt: {salt}\nallow:\n  - {{fingerprint: {allowed}, reason: a sample of the vendor, owner: ada}}\n");
    std::fs::write(house.dir.path().join("governance/secrets.yaml"), list).expect("a file");
    let file = house.change_file("a.yaml", 0, "");
    house.start_server();
    let server = Server::of(house, &file);
    let finding = |print: &str| json!({"rule": "jwt", "file": "main.tf", "place": {"line": 3, "column": 9}, "excerpt": "eyJh…", "fingerprint": print});
    let other = change::secret::Fingerprint::of(salt, "jwt", "another").to_string();
    let (status, said) = server
        .api("changes", &json!({"file": server.file, "secrets": [finding(&allowed.to_string()), finding(&other)]}));
    assert_eq!(status, 201, "{said}");
    let why = text(&server.house.run(&["why", "CHG-1"]));
    assert!(why.contains("closed  validity: main.tf:3:9: `eyJh…` looks like a secret (`jwt`)"), "{why}");
    let gates = server.get("/api/v1/changes/CHG-1/gates", &[]).1;
    assert!(gates.contains("secret_found"), "{gates}");
    let (status, said) =
        server.api("changes/CHG-1/amend", &json!({"file": server.file, "secrets": [finding(&allowed.to_string())]}));
    assert_eq!(status, 200, "{said}");
    let view = server.house.json(&["show", "CHG-1"]);
    assert_eq!(view["change"]["proposal"]["secrets"][0]["allowed"]["by"], "ada", "{view}");
    assert!(!text(&server.house.run(&["why", "CHG-1"])).contains("closed  validity"));
}

// F7: a governance with a secret in it is not put in force, and the refusal has none of it.
#[test]
fn a_governance_with_a_secret_is_refused() {
    for (path, content) in [
        ("approvals.yaml", "rules:\n  - {require: [{by: 'SECRET', count: 1}]}\n"),
        ("calendar.yaml", "freezes: SECRET\n"),
        ("conflicts.yaml", "rules: [{match: {service: SECRET}, between: service, then: sometimes}]\n"),
        ("services/shop.yaml", "name: shop\nowner: SECRET\n"),
        ("policy/a.rego", "package a\n# SECRET\n"),
        ("secrets.yaml", "allow: [{fingerprint: SECRET, reason: a, owner: ada}]\n"),
        ("slis.yaml", "slis: [{name: SECRET}]\n"),
    ] {
        let sample = samples::all(5).into_iter().find(|s| s.rule == "gitlab-token").expect("a sample");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(dir.path().join("access.yaml"), "users: [{id: ada}]\n").expect("a file");
        std::fs::write(&file, content.replace("SECRET", &sample.secret)).expect("a file");
        let mut serve = program();
        serve
            .arg("--dir")
            .arg(dir.path().join("store"))
            .args(["serve", "--listen", "127.0.0.1:0", "--governance"])
            .arg(dir.path());
        let output = serve.output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{path}: {said}");
        assert!(
            said.contains(&format!("{path}:")) && said.contains("gitlab-token") && !said.contains(&sample.secret),
            "{said}"
        );
    }
}

// F7: for a pipeline: files, a git range, an allow-list, JSON and an exit code.
#[test]
fn a_scan_of_files_and_of_a_git_range_finds_what_was_added_and_shows_what_is_allowed() {
    let dir = tempfile::tempdir().expect("a folder");
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .arg("-C")
            .arg(dir.path())
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(arguments)
            .output();
        let done = done.expect("git runs");
        assert!(done.status.success(), "{}", text(&done));
    };
    let all = samples::all(5);
    let line = |rule: &str| all.iter().find(|s| s.rule == rule).expect("a sample");
    git(&["init", "-q", "-b", "main"]);
    std::fs::write(dir.path().join("old.env"), &line("slack-token").line).expect("a file");
    git(&["add", "."]);
    git(&["commit", "-qm", "old"]);
    std::fs::write(dir.path().join("new.env"), format!("A=1\n{}\n", line("npm-token").line)).expect("a file");
    std::fs::write(
        dir.path().join("main.tf.json"),
        json!({"resource_changes": [{"change": {"after": {"password": line("password").secret}}}]}).to_string(),
    )
    .expect("a file");
    std::fs::write(dir.path().join("fixture.pem"), &line("private-key").line).expect("a file");
    git(&["add", "."]);
    git(&["commit", "-qm", "new"]);
    std::fs::write(
        dir.path().join("secrets.yaml"),
        "allow:\n  - {path: fixture.pem, rule: private-key, reason: made for tests, owner: ada}\n",
    )
    .expect("a file");
    let scan = |arguments: &[&str]| {
        let output = program()
            .current_dir(dir.path())
            .args(["--json", "secrets", "scan"])
            .args(arguments)
            .output()
            .expect("it runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(report["files"].as_u64() > Some(0), "{arguments:?}: {report}");
        let found = report["findings"].as_array().expect("findings").iter();
        let told = |f: &Value| {
            format!(
                "{}:{} {} {}",
                f["file"].as_str().unwrap_or_default(),
                f["place"]["line"],
                f["rule"].as_str().unwrap_or_default(),
                f["allowed"]["by"].as_str().unwrap_or("open")
            )
        };
        let mut told: Vec<String> = found.map(told).collect();
        told.sort();
        (output.status.code(), told)
    };
    let range = ["fixture.pem:1 private-key ada", "main.tf.json:1 password open", "new.env:2 npm-token open"];
    assert_eq!(
        scan(&["--git", "HEAD~1..HEAD", "--allow", "secrets.yaml"]),
        (Some(4), range.map(str::to_owned).to_vec())
    );
    let (code, told) = scan(&["--allow", "secrets.yaml"]);
    assert_eq!((code, told.len()), (Some(4), 4), "{told:?}");
    assert_eq!(scan(&["fixture.pem", "--allow", "secrets.yaml"]), (Some(0), vec![range[0].to_owned()]));
    let output = program().current_dir(dir.path()).args(["secrets", "scan", "new.env"]).output().expect("it runs");
    let said = text(&output);
    assert!(said.contains("new.env:2:10: `npm_…` looks like a secret (`npm-token`)"), "{said}");
    assert!(!said.contains(&line("npm-token").secret), "{said}");
    let wrong =
        program().current_dir(dir.path()).args(["secrets", "scan", "--git", "--output=x"]).output().expect("it runs");
    assert!(!wrong.status.success() && !dir.path().join("x").exists(), "{}", text(&wrong));
}

// F7: what the author of a change wrote into its repository, and the folder somebody stands in, do not decide what the scan sees; and it runs nothing.
#[test]
fn a_scan_of_a_hostile_clone_hides_nothing_and_runs_nothing() {
    let mut house = House::build(1, "good");
    let file = house.change_file("a.yaml", 0, "");
    house.start_server();
    let dir = tempfile::tempdir().expect("a folder");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(dir.path()).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
        let done = git.args(["-c", "core.fsmonitor=false"]).args(arguments).output().expect("git runs");
        assert!(done.status.success(), "{}", text(&done));
    };
    git(&["init", "-q", "-b", "main"]);
    std::fs::write(dir.path().join(".gitattributes"), "*.yaml -diff\n").expect("a file");
    std::fs::copy(&file, dir.path().join("change.yaml")).expect("a file");
    git(&["add", "."]);
    git(&["commit", "-qm", "old"]);
    let sample = samples::all(5).into_iter().find(|s| s.rule == "npm-token").expect("a sample");
    std::fs::write(dir.path().join("new.yaml"), &sample.line).expect("a file");
    git(&["add", "."]);
    git(&["commit", "-qm", "new"]);
    let mark = dir.path().join("it-ran");
    git(&["config", "core.fsmonitor", &format!("touch {}; echo", mark.display())]);
    let scan = |arguments: &[&str]| {
        let scan = program().current_dir(dir.path()).args(["secrets", "scan"]).args(arguments).output();
        text(&scan.expect("it runs"))
    };
    for arguments in [&["--git", "HEAD~1..HEAD"][..], &["."]] {
        let said = scan(arguments);
        assert!(said.contains("new.yaml:1") && said.contains("(`npm-token`)"), "{arguments:?}: {said}");
    }
    assert!(!mark.exists(), "the repository ran something");
    // The range is one of the repository in which the change file lies, not of the folder somebody stands in.
    let change = dir.path().join("change.yaml").display().to_string();
    let output = house.run(&["propose", &change, "--git", "HEAD~1..HEAD"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("new.yaml:1") && !said.contains(&sample.secret), "{said}");
}
