//! A house of real processes for tests: router, shops, server, traffic. Everything listens where the system picks, and ends with the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearway"));
    for inherited in ["CLEARWAY_DIR", "CLEARWAY_SERVER", "CLEARWAY_TOKEN_FILE", "CLEARWAY_CONFIG"] {
        command.env_remove(inherited);
    }
    command.stdin(Stdio::null());
    command
}

/// A child that is killed when the test ends, whatever way it ends.
pub(crate) struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One backend of the router with two versions of the shop behind it.
pub(crate) struct House {
    pub dir: tempfile::TempDir,
    pub router_admin: String,
    pub edge: String,
    server: Option<Owned>,
    _children: Vec<Owned>,
    traffic: Vec<CancellationToken>,
}

impl House {
    /// Builds a house with this many backends, each with `v1` (good) and `v2` of the behaviour given.
    pub(crate) fn build(backends: usize, behaviour: &str) -> Self {
        // A second installation in this process is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut children = Vec::new();
        let mut shops = BTreeMap::new();
        for (version, behaviour) in [("v1", "good"), ("v2", behaviour)] {
            let announce = dir.path().join(format!("{version}.json"));
            let mut command = program();
            command
                .args([
                    "demo-shop",
                    "--listen",
                    "127.0.0.1:0",
                    "--version",
                    version,
                    "--behaviour",
                    behaviour,
                    "--announce",
                ])
                .arg(&announce);
            children.push(Owned(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the shop starts")));
            shops.insert(version, announced(&announce, "listen"));
        }
        let mut config = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n".to_owned();
        for i in 0..backends {
            config.push_str(&format!(
                "[[backends]]\nname = \"b{i}\"\nroute = {{ host = \"b{i}.test\" }}\nversions = [{{ name = \"v1\", address = \"{}\", weight = 10000 }}, {{ name = \"v2\", address = \"{}\", weight = 0 }}]\n",
                shops["v1"], shops["v2"]
            ));
        }
        std::fs::write(dir.path().join("router.toml"), config).expect("the router's file is written");
        let announce = dir.path().join("router.json");
        let mut command = program();
        command.args(["router", "--config"]).arg(dir.path().join("router.toml")).arg("--announce").arg(&announce);
        children.push(Owned(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the router starts"),
        ));
        let (edge, router_admin) = (announced(&announce, "listen"), announced(&announce, "admin"));
        let server_config = format!(
            "listen = \"127.0.0.1:0\"\ngovernance = \"governance\"\npublic_log = true\n[routers.edge]\nadmin = \"http://{router_admin}\"\n[sources.edge]\nscrape = [\"http://{router_admin}/metrics\"]\n"
        );
        std::fs::write(dir.path().join("clearway.toml"), server_config).expect("the server's file is written");
        std::fs::create_dir_all(dir.path().join("governance")).expect("a folder");
        std::fs::write(dir.path().join("governance/access.yaml"), ACCESS).expect("a file");
        std::fs::write(dir.path().join("governance/approvals.yaml"), APPROVALS).expect("a file");
        Self { dir, router_admin, edge, server: None, _children: children, traffic: vec![] }
    }

    /// Adds to the server's configuration; before it is started.
    pub(crate) fn configure(&self, more: &str) {
        let file = self.dir.path().join("clearway.toml");
        let text = std::fs::read_to_string(&file).expect("the server's file");
        std::fs::write(&file, text + more).expect("the server's file is written");
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Sends visitors to a backend until the house falls.
    pub(crate) fn send_visitors(&mut self, backend: usize, rate: f64) {
        let stop = CancellationToken::new();
        let mut config = sim::load::LoadConfig::new(self.edge.parse().expect("an address"), rate);
        config.host = format!("b{backend}.test");
        config.connections = 4;
        tokio::spawn(sim::load::run(config, stop.clone().cancelled_owned()));
        self.traffic.push(stop);
    }

    /// Starts the server, and waits until it says where it is.
    pub(crate) fn start_server(&mut self) {
        let _ = std::fs::remove_file(self.store().join("server.json"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("server.log"))
            .expect("a log file");
        let mut command = program();
        command.arg("--dir").arg(self.store()).args(["serve", "--config"]).arg(self.dir.path().join("clearway.toml"));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the server starts");
        self.server = Some(Owned(child));
        announced(&self.store().join("server.json"), "url");
    }

    /// kill -9.
    pub(crate) fn kill_server(&mut self) {
        drop(self.server.take());
    }

    pub(crate) fn server_log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|l| !l.contains(" serves ") && !l.contains("the token of")).collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Runs a command against this house, as whoever the store's token belongs to.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program().arg("--dir").arg(self.store()).args(arguments).output().expect("the program runs")
    }

    /// Runs a command that has to succeed, and reads its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.server_log()
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    pub(crate) fn phase(&self, change: &str) -> Option<String> {
        let output = self.run(&["--json", "show", change]);
        let view: Value = serde_json::from_slice(&output.stdout).ok()?;
        view.get("phase").and_then(|p| p.as_str().or_else(|| p.get("phase")?.as_str())).map(str::to_owned)
    }

    /// Waits until a change is in one of these phases.
    pub(crate) fn wait_for(&self, change: &str, phases: &[&str]) -> String {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let phase = self.phase(change);
            if let Some(phase) = phase.as_ref().filter(|p| phases.contains(&p.as_str())) {
                return phase.clone();
            }
            assert!(Instant::now() < patience, "{change} is {phase:?}, not {phases:?}\n{}", self.server_log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the view of a change is as wanted.
    pub(crate) fn wait_until(&self, change: &str, wanted: impl Fn(&Value) -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let view = self.json(&["show", change]);
            if wanted(&view) {
                return;
            }
            assert!(
                Instant::now() < patience,
                "{change} did not become what was wanted: {view:#}\n{}",
                self.server_log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a change file for a backend and gives its path.
    pub(crate) fn change_file(&self, name: &str, backend: usize, more: &str) -> String {
        let path = self.dir.path().join(name);
        // Each backend serves a service of its own: changes of one service queue.
        let service = if backend == 0 { "shop".to_owned() } else { format!("shop-{backend}") };
        let labels = format!("backend=\"b{backend}\",version=\"$cohort\"");
        let text = format!(
            "title: Change {name}
kind: config
owner: ada
services: [{service}]
environment: production
artifact: shop@sha256:0000
plan:
  strategy: canary
  target: {{driver: router, router: edge, backend: b{backend}, canary: v2, stable: v1}}
  steps: [{{weight: 50%, bake: 1s, deadline: 60s}}, {{weight: 100%, bake: 1s, deadline: 60s}}]
verify:
  slis:
    - name: errors
      source: edge
      ratio: {{bad: 'clearway_router_requests_total{{{labels},code=\"5xx\"}}', total: 'clearway_router_requests_total{{{labels}}}'}}
      objective: 95%
  every: 250ms
  watch: 1s
rollback: {{automatic: true, runbook: docs/back.md}}
{more}"
        );
        std::fs::write(&path, text).expect("the change file is written");
        path.display().to_string()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.traffic.iter().for_each(CancellationToken::cancel);
    }
}

/// Everything that a command said.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that a text has each of these parts.
pub(crate) fn has(text: &str, wanted: &[&str]) {
    wanted.iter().for_each(|part| assert!(text.contains(part), "`{part}` is missing in:\n{text}"));
}

/// Runs a command that ends with this code, and gives what it said.
pub(crate) fn ends_with(house: &House, code: i32, arguments: &[&str]) -> String {
    let output = house.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}\n{}", text(&output), house.server_log());
    text(&output)
}

/// The file with the token of a user, made when it is first asked for.
pub(crate) fn token(house: &House, user: &str) -> String {
    let file = house.dir.path().join(format!("{user}.token"));
    if !file.exists() {
        let made = house.json(&["token", "create", user]);
        std::fs::write(&file, made["token"].as_str().expect("a token")).expect("a token file");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("rights");
    }
    file.display().to_string()
}

/// Runs a command as another user of the house than its first one.
pub(crate) fn as_user(house: &House, user: &str, arguments: &[&str]) -> Output {
    house.run(&[&["--token-file", token(house, user).as_str()], arguments].concat())
}

/// What a process announced in a file, once it has.
pub(crate) fn announced(file: &Path, field: &str) -> String {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let found = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(value) = found.as_ref().and_then(|v| v.get(field)).and_then(Value::as_str) {
            return value.to_owned();
        }
        assert!(Instant::now() < patience, "nothing was announced in {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

const ACCESS: &str = "
users:
  - {id: ada, name: Ada, roles: [{role: all}]}
  - {id: bob, name: Bob, roles: [{role: all}]}
  - {id: eve, name: Eve, roles: [{role: reader}]}
roles:
  - {id: all, may: [propose, approve, pause, resume, rollback, promote, read, audit, govern]}
  - {id: reader, may: [read]}
";

const APPROVALS: &str = "
rules:
  - {match: {kind: [access, data, secret]}, require: [{by: approvers, count: 1, within: 4h}]}
  - {require: []}
";

/// Whether a real part is there. With `CI=true` a missing one is a failure; elsewhere the test says loudly that it was skipped.
pub(crate) fn part(name: &str, there: bool) -> bool {
    if !there {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the real part `{name}` is missing: run `make test`");
        eprintln!("SKIPPED: `{name}` is not installed on this machine; `make test` installs it");
    }
    there
}
