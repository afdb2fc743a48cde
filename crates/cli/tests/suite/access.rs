//! People come and go: tokens, roles and the first and the last administrator, as somebody at a terminal meets them.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{Owned, announced, program, text};

/// A server in a folder of its own, and what is asked of it.
struct Desk {
    dir: tempfile::TempDir,
    server: Option<Owned>,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a scratch folder"), server: None }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn serve(&mut self, more: &[&str]) {
        drop(self.server.take());
        let store = self.dir.path().join("store");
        let _ = std::fs::remove_file(store.join("server.json"));
        let log = std::fs::File::create(self.dir.path().join("server.log")).expect("a log file");
        let mut command = program();
        command.arg("--dir").arg(&store).args(["serve", "--listen", "127.0.0.1:0"]).args(more);
        self.server = Some(Owned(command.stdout(Stdio::null()).stderr(log).spawn().expect("the server starts")));
        announced(&store.join("server.json"), "url");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program().arg("--dir").arg(self.dir.path().join("store")).args(arguments).output().expect("the program runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// A token file for a user; returns its path and the token's id.
    fn token(&self, arguments: &[&str]) -> (String, String) {
        let made = self.json(&[&["token", "create"], arguments].concat());
        let (id, secret) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
        let file = self.path(&format!("{id}.token"));
        std::fs::write(&file, secret).expect("a token file");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("rights");
        (file, id.to_owned())
    }

    fn entries(&self) -> Vec<Value> {
        self.json(&["log", "--limit", "500"])["entries"].as_array().expect("entries").clone()
    }
}

fn holds(folder: &Path, needle: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap_or_default() } else { vec![] };
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

// PR5: what `check` calls valid is what `serve` takes, its policies included.
#[test]
fn a_folder_whose_policies_serve_would_refuse_is_not_valid() {
    let desk = Desk::new();
    let governance = desk.path("governance");
    assert!(desk.run(&["init", "governance", &governance, "--admin", "ada"]).status.success());
    let folder = std::path::Path::new(&governance).join("policy");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("h.rego"), "package h\ndeny contains {\"code\": \"x\", \"reason\": \"y\"}\n")
        .expect("a file");
    let checked = desk.run(&["check", &governance]);
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(3), "{said}");
    assert!(said.contains("h.rego") && said.contains("name it `clearway.h`"), "{said}");
}

// I10, X21: from nothing to a governance of one's own, without a word that does not work.
#[test]
fn what_init_writes_is_valid_and_serves_with_its_administrator() {
    let mut desk = Desk::new();
    let governance = desk.path("governance");
    let written = desk.run(&["init", "governance", &governance, "--admin", "ada"]);
    assert!(written.status.success() && text(&written).contains("`ada` as administrator"), "{}", text(&written));
    let again = desk.run(&["init", "governance", &governance]);
    assert!(!again.status.success() && text(&again).contains("is not empty"), "{}", text(&again));
    let checked = desk.run(&["check", &governance]);
    assert!(checked.status.success(), "{}", text(&checked));
    let found = text(&desk.run(&["access", "check", &governance]));
    assert_eq!(found.trim(), "only `ada` may `govern` everywhere: name a second one");
    assert_eq!(desk.run(&["access", "check", &governance, "--strict"]).status.code(), Some(3));
    desk.serve(&["--governance", &governance]);
    let yes = text(&desk.run(&["access", "explain", "ada", "govern"]));
    assert!(
        yes.starts_with("yes\n  + access.yaml:") && yes.contains("`administrator` allows `govern` everywhere"),
        "{yes}"
    );
    let unknown = desk.run(&["access", "explain", "bob", "approve"]);
    assert_eq!(unknown.status.code(), Some(4), "{}", text(&unknown));
    assert!(text(&desk.run(&["access", "list"])).contains("ada"), "users and what they may");
}

// I10
#[test]
fn a_token_is_limited_expires_is_revoked_and_is_in_the_log_without_its_secret() {
    let mut desk = Desk::new();
    let governance = desk.path("governance");
    assert!(desk.run(&["init", "governance", &governance, "--admin", "ada"]).status.success());
    desk.serve(&["--governance", &governance]);
    let misspelt = desk.run(&["token", "create", "adda"]);
    assert_eq!(misspelt.status.code(), Some(5));
    assert!(text(&misspelt).contains("did you mean `ada`?"), "{}", text(&misspelt));

    let (file, id) =
        desk.token(&["ada", "--name", "ci", "--may", "propose,read", "--service", "example", "--expires", "30d"]);
    let as_ci = |arguments: &[&str]| desk.run(&[&["--token-file", &file], arguments].concat());
    assert!(as_ci(&["token", "whoami"]).status.success());
    let log = as_ci(&["log"]);
    assert_eq!(log.status.code(), Some(4), "a limited token reads no log of all changes: {}", text(&log));
    let listed = text(&desk.run(&["token", "list"]));
    assert!(listed.contains(&id) && listed.contains("ci") && listed.contains("on `example`"), "{listed}");

    let (soon, soon_id) = desk.token(&["ada", "--expires", "1ms"]);
    let expired = desk.run(&["--token-file", &soon, "token", "whoami"]);
    assert_eq!(expired.status.code(), Some(6));
    assert!(text(&expired).contains(&format!("the token `{soon_id}` expired at")), "{}", text(&expired));

    assert!(desk.run(&["token", "revoke", &id]).status.success());
    let revoked = as_ci(&["token", "whoami"]);
    assert_eq!(revoked.status.code(), Some(6));
    assert!(text(&revoked).contains(&format!("the token `{id}` was revoked at")), "{}", text(&revoked));
    assert!(text(&revoked).contains("clearway token create"), "{}", text(&revoked));

    // Over the API, as from another machine: the token that is shown is one that works.
    let (mine, _) = desk.token(&["ada"]);
    let announced = std::fs::read_to_string(desk.dir.path().join("store/server.json")).expect("the address");
    let url = serde_json::from_str::<Value>(&announced).expect("JSON")["url"].as_str().expect("a url").to_owned();
    let (over_api, _) = desk.token(&["--server", &url, "--token-file", &mine, "ada", "--name", "far"]);
    let who = desk.run(&["--server", &url, "--token-file", &over_api, "token", "whoami"]);
    assert_eq!(text(&who).trim(), "ada");

    let of_token: Vec<Value> = desk.entries().into_iter().filter(|e| e["body"]["token"] == id.as_str()).collect();
    let kinds: Vec<&str> = of_token.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds, ["TokenMade", "TokenFirstUsed", "TokenRevoked"]);
    let whole = std::fs::read_to_string(&file).expect("the token");
    let secret = whole.rsplit('_').next().expect("a secret");
    assert!(!holds(&desk.dir.path().join("store"), secret), "the secret is nowhere in the store");
    // A restart tells the log nothing twice.
    desk.serve(&["--governance", &governance]);
    let again = desk.entries().into_iter().filter(|e| e["body"]["token"] == id.as_str()).count();
    assert_eq!(again, 3);
}

// I10
#[test]
fn a_governance_that_nobody_may_change_is_refused_unless_it_is_meant() {
    let desk = Desk::new();
    let governance = desk.path("governance");
    assert!(desk.run(&["init", "governance", &governance, "--admin", "ada"]).status.success());
    let file = desk.dir.path().join("governance/access.yaml");
    let access = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, access.replace("may: [govern, override", "may: [override")).expect("the file");
    let refused = desk.run(&["serve", "--listen", "127.0.0.1:0", "--governance", &governance]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(text(&refused).contains("nobody may govern") && text(&refused).contains("--without-administrator"));
    let mut desk = desk;
    desk.serve(&["--governance", &governance, "--without-administrator"]);
    assert!(desk.run(&["token", "whoami"]).status.success());
}

// X21: the administrator is lost; whoever has the rights of the store's files makes another one for a time, and everybody sees it.
#[test]
fn an_administrator_is_recovered_on_the_machine_for_a_time_and_in_the_log() {
    let mut desk = Desk::new();
    let governance = desk.path("governance");
    assert!(desk.run(&["init", "governance", &governance, "--admin", "ada"]).status.success());
    let nowhere = desk.run(&["admin", "recover", "--user", "bob", "--reason", "drill"]);
    assert!(!nowhere.status.success() && text(&nowhere).contains("there is no server's folder"), "{}", text(&nowhere));
    desk.serve(&["--governance", &governance]);
    for (arguments, why) in [
        (["--user", "Bob!", "--lasts", "1h", "--reason", "x"], "not the id of a user"),
        (["--user", "bob", "--lasts", "2d", "--reason", "x"], "for up to 1d"),
        (["--user", "bob", "--lasts", "1h", "--reason", " "], "a reason is needed"),
    ] {
        let refused = desk.run(&[&["admin", "recover"], &arguments[..]].concat());
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    }
    let recovered = desk.json(&["admin", "recover", "--user", "bob", "--lasts", "4s", "--reason", "ada has left"]);
    assert_eq!(recovered["taken_up"], true);
    let patience = Instant::now() + Duration::from_secs(3);
    while !desk.run(&["token", "create", "bob"]).status.success() {
        assert!(Instant::now() < patience, "bob is not known");
    }
    let answer = desk.json(&["access", "explain", "bob", "govern"]);
    assert_eq!(
        answer["because"][0]["sentence"].as_str().map(|s| s.contains("the recovery on the machine itself")),
        Some(true)
    );
    let entries = desk.entries();
    let entry = entries.iter().find(|e| e["type"] == "AdministratorRecovered").expect("it is in the log");
    assert_eq!((&entry["body"]["user"], &entry["body"]["reason"]), (&"bob".into(), &"ada has left".into()));
    let told = std::fs::read_to_string(desk.dir.path().join("server.log")).expect("the server's log");
    assert!(told.contains("people are asked to look at the server"), "{told}");
    // It ends by itself.
    let patience = Instant::now() + Duration::from_secs(20);
    while desk.run(&["access", "explain", "bob", "govern"]).status.success() {
        assert!(Instant::now() < patience, "it has not ended");
        std::thread::sleep(Duration::from_millis(50));
    }

    // While no server runs, the request waits for its start, and is taken up once.
    drop(desk.server.take());
    let waiting = desk.json(&["admin", "recover", "--user", "cem", "--reason", "nobody is left"]);
    assert_eq!(waiting["taken_up"], false);
    desk.serve(&["--governance", &governance]);
    let patience = Instant::now() + Duration::from_secs(20);
    while !desk.run(&["access", "explain", "cem", "govern"]).status.success() {
        assert!(Instant::now() < patience, "it was not taken up");
        std::thread::sleep(Duration::from_millis(50));
    }
    // A restart within its time keeps it.
    desk.serve(&["--governance", &governance]);
    assert!(desk.run(&["access", "explain", "cem", "govern"]).status.success());
    let times = desk.entries().iter().filter(|e| e["type"] == "AdministratorRecovered").count();
    assert_eq!(times, 2);
}
