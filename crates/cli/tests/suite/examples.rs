//! The examples as a user finds them: a server takes them as they lie there, every change file in them is valid, and every rule is tested.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::house::{Owned, announced, program, text};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn files_in(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(examples().join(folder)).expect("the folder").map(|e| e.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "there are files in `{folder}`");
    files
}

/// A server on the examples, with a home and a store of its own.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    _process: Owned,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::on(&examples())
    }

    /// A server on a copy of the examples.
    pub(crate) fn on(examples: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut command = program();
        command.env("HOME", dir.path()).arg("--dir").arg(dir.path().join("store"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(examples.join("clearway.toml"));
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let process =
            Owned(command.stdout(std::process::Stdio::null()).stderr(log).spawn().expect("the server starts"));
        announced(&dir.path().join("store/server.json"), "url");
        Self { dir, _process: process }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command.arg("--dir").arg(self.dir.path().join("store"));
        command
    }
}

/// The blocks of a guide in this language, in their order.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(examples().join("../docs/guide").join(guide)).expect("the guide");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

// PR1: what the guide shows is a rule that works, with tests that reach all of it.
#[test]
fn the_rule_of_the_guide_passes_its_tests_and_an_answer_of_another_form_is_named() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let [rule, tests] = blocks("write-a-rule.md", "rego").try_into().expect("a rule and its tests");
    std::fs::create_dir(folder.path().join("policy")).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join("policy").join(name), text).expect("a file");
    write("regions.rego", &rule);
    write("regions_test.rego", &tests);
    let run = |action: &str, more: &[&str]| {
        program().args(["policy", action]).arg(folder.path()).args(more).output().expect("it runs")
    };
    let tested = run("test", &["--coverage-min", "100"]);
    assert!(tested.status.success(), "{}", text(&tested));
    assert!(text(&tested).contains("4 of 4 tests passed"), "{}", text(&tested));
    assert!(run("check", &[]).status.success(), "{}", text(&run("check", &[])));
    for (wrong, said) in [
        ("deny := 7", "`deny` of `clearway.odd` is not a set"),
        ("deny contains {\"code\": \"x\", \"message\": \"y\"}", "not `{\"code\": \"...\", \"reason\": \"...\"}`"),
    ] {
        write("odd.rego", &format!("package clearway.odd\n\n{wrong}\n"));
        let refused = run("check", &[]);
        assert_eq!(refused.status.code(), Some(3), "{wrong}: {}", text(&refused));
        assert!(text(&refused).contains(said), "{wrong}: {}", text(&refused));
    }
}

// LC1, LC2: what a user starts from works as it is: configuration, governance and every change file.
#[test]
fn a_server_takes_the_examples_and_every_change_file_in_them_is_valid() {
    let config = program().arg("check").arg(examples().join("clearway.toml")).output().expect("it runs");
    assert!(config.status.success(), "{}", text(&config));
    let server = Server::start();
    for file in files_in("changes", ".yaml") {
        let checked = server.command().arg("check").arg(&file).output().expect("it runs");
        assert!(checked.status.success(), "{}", text(&checked));
        assert!(text(&checked).contains("is valid (effect sha256:"), "{}", text(&checked));
    }
    for file in files_in("releases", ".yaml") {
        let checked = server.command().arg("check").arg(&file).output().expect("it runs");
        assert!(checked.status.success(), "{}", text(&checked));
    }
}

// LC5, LC6: the change of documents needs nobody, no router and no telemetry: it is rolled out as it lies there.
#[test]
fn the_example_of_a_change_of_documents_completes() {
    let server = Server::start();
    let proposed = server
        .command()
        .args(["propose", "--watch"])
        .arg(examples().join("changes/handbook.yaml"))
        .output()
        .expect("it runs");
    assert!(proposed.status.success(), "{}", text(&proposed));
    let page = std::fs::read(server.dir.path().join("clearway-example/handbook/checkout-back.md")).expect("the page");
    assert_eq!(page, std::fs::read(examples().join("changes/checkout-back.md")).expect("its source"));
    let log = server.command().args(["--json", "log", "CHG-1"]).output().expect("it runs");
    let log: Value = serde_json::from_slice(&log.stdout).expect("JSON");
    let approved =
        log["entries"].as_array().expect("events").iter().find(|e| e["type"] == "Approved").expect("an approval");
    assert_eq!(approved["actor"], "clearway:policy", "policy asks for nobody");
}

/// Serves the handbook of this home until the test ends; every page but the published one is missing.
fn serve_handbook(listener: TcpListener, home: &Path) {
    let page = home.join("clearway-example/handbook/checkout-back.md");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            if stream.read(&mut request).is_ok_and(|count| count > 0) {
                let (status, body) = std::fs::read(&page).map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        }
    });
}

/// A copy of the examples in which the handbook is served on another port.
fn examples_with_handbook_on(port: u16) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a scratch folder");
    let copied = Command::new("cp").arg("-R").arg(examples()).arg(copy.path()).status().expect("cp runs");
    assert!(copied.success());
    for name in ["changes/handbook-read.yaml", "clearway.toml"] {
        let path = copy.path().join("examples").join(name);
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::write(&path, text.replace("9010", &port.to_string())).expect("is written");
    }
    copy
}

// LC6: synthetic checks judge a rollout; what fails before it is named as a warning.
#[test]
fn the_example_with_checks_completes_where_what_it_publishes_can_be_read() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let copy = examples_with_handbook_on(listener.local_addr().expect("is bound").port());
    let examples = copy.path().join("examples");
    let server = Server::on(&examples);
    serve_handbook(listener, server.dir.path());
    let change = examples.join("changes/handbook-read.yaml");
    let proposed = server.command().args(["propose", "--watch"]).arg(change).output().expect("it runs");
    assert!(proposed.status.success(), "{}", text(&proposed));
    let log = text(&server.command().args(["--json", "log", "CHG-1"]).output().expect("it runs"));
    assert!(
        log.contains(
            "`page` passed when it last ran. `port` passed when it last ran. `published` passed when it last ran."
        ),
        "{log}"
    );
    let warned = std::fs::read_to_string(server.dir.path().join("log")).expect("the server's log");
    assert!(
        warned.contains("the check `page` fails for the stable version already: status 404 instead of 200"),
        "{warned}"
    );
}

// X13: an address that the operator has not allowed closes the gate, and the reason says what would open it.
#[test]
fn the_example_with_checks_is_held_where_the_server_may_ask_nobody() {
    let copy = examples_with_handbook_on(9010);
    let examples = copy.path().join("examples");
    let config = examples.join("clearway.toml");
    let allowed = std::fs::read_to_string(&config).expect("the file");
    std::fs::write(&config, allowed.replace("allow = [\"127.0.0.1:9010\"]", "allow = []")).expect("is written");
    let server = Server::on(&examples);
    let proposed =
        server.command().arg("propose").arg(examples.join("changes/handbook-read.yaml")).output().expect("it runs");
    assert!(proposed.status.success(), "{}", text(&proposed));
    let why = || text(&server.command().args(["why", "CHG-1"]).output().expect("it runs"));
    let is_held = |_: &i32| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        why().contains("closed  readiness: the check `page`")
    };
    assert!((0..200).any(|i| is_held(&i)), "{}", why());
    let wanted = "can't be run: this server may not ask `127.0.0.1:9010`; its operator can add `\"127.0.0.1:9010\"` to `[checks] allow`";
    assert!(why().contains(wanted), "{}", why());
}

// I5: the rules of the organisation come with tests, and all of them pass.
#[test]
fn every_policy_test_of_the_examples_passes() {
    let read = |path: PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
        (format!("policy/{name}"), std::fs::read_to_string(&path).expect("a module"))
    };
    let modules: BTreeMap<String, String> = files_in("governance/policy", ".rego").into_iter().map(read).collect();
    let runs = policy::TestRun::all(&modules).expect("the modules compile");
    let written: usize = modules.values().map(|text| text.lines().filter(|l| l.starts_with("test_")).count()).sum();
    assert_eq!((runs.len(), written > 0), (written, true), "every test is run");
    let failed: Vec<_> = runs.iter().filter(|run| run.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

// LC5: the router takes its file, and has every backend and version that the change files name.
#[test]
fn the_router_of_the_examples_has_every_version_that_a_change_file_names() {
    let text = std::fs::read_to_string(examples().join("router.toml")).expect("the file");
    let config: router::Config = toml::from_str(&text).expect("its form is right");
    config.check().expect("it can work");
    let versions: BTreeMap<&str, Vec<&str>> = config
        .backends
        .iter()
        .map(|b| (b.name.as_str(), b.versions.iter().map(|v| v.name.as_str()).collect()))
        .collect();
    let mut canaries = 0;
    for file in files_in("changes", ".yaml") {
        let text = std::fs::read_to_string(&file).expect("the file");
        let document = change::document::Document::from_yaml(&text).expect("YAML");
        let target = &document.value()["plan"]["target"];
        if target["driver"] != "router" {
            continue;
        }
        canaries += 1;
        let backend = versions.get(target["backend"].as_str().expect("a backend")).expect("a backend of the router");
        for cohort in ["canary", "stable"] {
            let version = target[cohort].as_str().expect("a version");
            assert!(backend.contains(&version), "`{version}` of {}", file.display());
        }
    }
    assert!(canaries > 0, "there is a canary among the examples");
}
