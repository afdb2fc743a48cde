//! Signed votes, with the real `ssh-keygen` and the real agent: who signs what, and what a stranger can check of it later.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{House, Owned, program, text};

const NAMESPACE: &str = "clearway-approval@v1";

fn ssh(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("OpenSSH is installed")
}

/// A house whose changes of data need two signed votes, and people with keys.
struct Office {
    house: House,
    folder: PathBuf,
}

impl Office {
    fn open() -> Self {
        let house = House::build(1, "good");
        let folder = house.dir.path().to_owned();
        std::fs::create_dir(folder.join("home")).expect("a home");
        let office = Self { house, folder };
        let key = |name: &str, kind: &str| office.make_key(name, kind);
        let (bob, cyd, dan, eve) =
            (key("bob", "ed25519"), key("cyd", "ecdsa"), key("dan", "rsa"), key("eve", "ed25519"));
        let user = |id: &str, keys: &str| {
            format!("  - {{id: {id}, emails: [{id}@example.com], keys: [{keys}], roles: [{{role: all}}]}}\n")
        };
        let users =
            [user("ada", ""), user("bob", &format!("'{bob}'")), user("cyd", ""), user("dan", ""), user("fay", "")]
                .concat();
        let roles = "roles: [{id: all, may: [propose, approve, read, audit, govern]}]\n";
        office.governance("access.yaml", &format!("users:\n{users}{roles}"));
        office.governance(
            "approvals.yaml",
            "rules: [{match: {kind: data}, require: [{by: approvers, count: 2, signature: required}]}, {require: []}]\n",
        );
        office.governance(
            "allowed_signers",
            &format!("cyd@example.com namespaces=\"git,clearway-*\" {cyd}\ndan@example.com valid-before=\"20260101Z\" {dan}\nfay@example.com namespaces=\"git\" {eve}\n"),
        );
        office
    }

    fn governance(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join("governance").join(name), text).expect("a governance file");
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Makes a key pair, and gives the public line without its comment.
    fn make_key(&self, name: &str, kind: &str) -> String {
        let made = ssh("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", name, "-f", &self.path(name)]);
        assert!(made.status.success(), "{}", text(&made));
        let line = std::fs::read_to_string(self.folder.join(format!("{name}.pub"))).expect("a public key");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// A command of a user, in a home of its own without keys.
    fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let token = self.folder.join(format!("{user}.token"));
        if !token.exists() {
            let made = self.house.json(&["token", "create", user]);
            std::fs::write(&token, made["token"].as_str().expect("a token")).expect("a token file");
            std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("rights");
        }
        let mut command = program();
        command.arg("--dir").arg(self.house.store()).arg("--token-file").arg(token).args(arguments);
        command.env("HOME", self.folder.join("home")).env_remove("SSH_AUTH_SOCK");
        command
    }

    fn run(&self, user: &str, arguments: &[&str]) -> Output {
        self.command(user, arguments).output().expect("the program runs")
    }

    fn refused(&self, user: &str, arguments: &[&str], why: &str) {
        let output = self.run(user, arguments);
        assert_eq!(output.status.code(), Some(4), "{user} {arguments:?}: {}", text(&output));
        assert!(text(&output).contains(why), "{why} in {}", text(&output));
    }

    /// Prints the statement of a user to a file, and signs it there with ssh-keygen alone.
    fn sign_elsewhere(&self, user: &str, key: &str, namespace: &str) -> String {
        let file = self.path(&format!("vote-of-{user}.txt"));
        let printed = self.run(user, &["approve", "CHG-1", "--statement"]);
        assert!(printed.status.success(), "{}", text(&printed));
        std::fs::write(&file, &printed.stdout).expect("a statement");
        let _ = std::fs::remove_file(format!("{file}.sig"));
        let signed = ssh("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", &self.path(key), &file]);
        assert!(signed.status.success(), "{}", text(&signed));
        format!("{file}.sig")
    }

    /// An agent that holds one key, on a socket of its own.
    fn agent(&self, key: &str) -> (Owned, String) {
        let socket = self.path("agent");
        let child =
            Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().expect("an agent");
        let agent = Owned(child);
        let patience = Instant::now() + Duration::from_secs(10);
        while !Path::new(&socket).exists() {
            assert!(Instant::now() < patience, "the agent does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        let added =
            Command::new("ssh-add").arg(self.path(key)).env("SSH_AUTH_SOCK", &socket).output().expect("ssh-add");
        assert!(added.status.success(), "{}", text(&added));
        (agent, socket)
    }

    fn propose(&self) -> String {
        let file = self.house.change_file("data.yaml", 0, "");
        let risky = std::fs::read_to_string(&file).expect("the file").replace("kind: config", "kind: data");
        std::fs::write(&file, risky).expect("the file");
        self.house.json(&["propose", &file]);
        self.house.wait_for("CHG-1", &["assessed"]);
        file
    }
}

// F2, I10: a policy demands signatures. A vote counts with the signature of the voter's own key, valid now, for exactly this effect; anything else is
// refused with its reason, and is never taken for an unsigned vote. A stranger verifies it from the log with ssh-keygen alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_has_to_be_signed_counts_only_with_the_voters_own_key_for_exactly_this_effect() {
    let mut office = Office::open();
    office.house.send_visitors(0, 200.0);
    office.house.start_server();
    let file = office.propose();
    let why = text(&office.house.run(&["why", "CHG-1"]));
    assert!(why.contains("approvals are missing: 2 of `approvers`, signed"), "{why}");

    office.refused("bob", &["approve", "CHG-1"], "a vote for `approvers` has to be signed");
    office.refused("bob", &["approve", "CHG-1"], "clearway approve CHG-1 --sign");
    office.refused("bob", &["approve", "CHG-1", "--sign", &office.path("eve")], "the key is not one of `bob`");
    office.refused(
        "dan",
        &["approve", "CHG-1", "--sign", &office.path("dan")],
        "has counted until `2026-01-01T00:00:00Z` only",
    );
    office.refused("fay", &["approve", "CHG-1", "--sign", &office.path("eve")], "lists the key for other purposes");
    office.refused(
        "ada",
        &["approve", "CHG-1", "--sign", &office.path("bob")],
        "a change is approved by somebody else",
    );
    let none = office.run("fay", &["approve", "CHG-1", "--sign"]);
    assert!(text(&none).contains("the server knows no key of yours that can sign now"), "{}", text(&none));

    let other = office.sign_elsewhere("bob", "bob", "git");
    office.refused("bob", &["approve", "CHG-1", "--signature", &other], "was made for the namespace `git`");
    let stale = office.sign_elsewhere("bob", "bob", NAMESPACE);
    let statement = stale.trim_end_matches(".sig");
    let said = std::fs::read_to_string(statement).expect("the statement");
    std::fs::write(statement, said.replace("revision: 1", "revision: 9")).expect("a forged statement");
    office.refused(
        "bob",
        &["approve", "CHG-1", "--signature", &stale],
        "it says `revision: 9`, where it should say `revision: 1`",
    );
    std::fs::write(statement, &said).expect("the statement as it was");
    office.refused("cyd", &["approve", "CHG-1", "--signature", &stale], "where it should say `voter: user:cyd`");

    // Another artifact is another effect: what was signed before is for the old one.
    let amended = std::fs::read_to_string(&file).expect("the file").replace("sha256:0000", "sha256:1111");
    std::fs::write(&file, amended).expect("the file");
    office.house.json(&["amend", "CHG-1", &file]);
    office.house.wait_for("CHG-1", &["assessed"]);
    office.refused("bob", &["approve", "CHG-1", "--signature", &stale], "it says `effect: sha256:");

    // X2, F2: whoever approves is shown what is another since the revision that they have seen.
    let diff = text(&office.run("bob", &["diff", "CHG-1"]));
    assert!(diff.starts_with("CHG-1, revision 1 to 2: the effect was "), "{diff}");
    assert!(diff.contains("\n  effect  artifact: shop@sha256:0000 -> shop@sha256:1111\n"), "{diff}");
    let none = office.run("bob", &["diff", "CHG-1", "--from", "1", "--to", "3"]);
    assert_eq!(none.status.code(), Some(5), "{}", text(&none));

    let fresh = office.sign_elsewhere("bob", "bob", NAMESPACE);
    let yes = office.run("bob", &["approve", "CHG-1", "--signature", &fresh]);
    assert!(yes.status.success(), "{}", text(&yes));
    // What was taken back is not said again by whoever has the old signature.
    assert!(office.run("bob", &["take-back", "CHG-1"]).status.success());
    let replayed = office.run("bob", &["approve", "CHG-1", "--signature", &fresh]);
    assert!(text(&replayed).contains("has been used, or what it said was taken back"), "{}", text(&replayed));
    // Statements name whole seconds: one of the same second is the same statement, however fast the machine is.
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let newer = office.sign_elsewhere("bob", "bob", NAMESPACE);
        let again = office.run("bob", &["approve", "CHG-1", "--signature", &newer]);
        if again.status.success() {
            break;
        }
        assert!(Instant::now() < patience, "a new signature is a new yes: {}", text(&again));
    }
    let (agent, socket) = office.agent("cyd");
    let by_agent = office.command("cyd", &["approve", "CHG-1", "--sign"]).env("SSH_AUTH_SOCK", socket).output();
    let by_agent = by_agent.expect("the program runs");
    assert!(by_agent.status.success(), "{}", text(&by_agent));
    assert!(text(&by_agent).contains("You sign this with the key `cyd` of your agent"), "{}", text(&by_agent));
    assert!(text(&by_agent).contains("  decision: approve\n  change: CHG-1\n"), "{}", text(&by_agent));
    drop(agent);
    office.house.wait_for("CHG-1", &["scheduled", "held", "rolling_out", "watching", "completed"]);

    let seen = text(&office.run("bob", &["diff", "CHG-1"]));
    assert!(seen.starts_with("CHG-1, revision 2 to 2: the effect is the same"), "{seen}");
    let page = office.page_of("bob").await;
    assert!(page.contains("signed with <code>SHA256:"), "{page}");
    assert!(office.page_of("ada").await.contains("Changed since revision 1"));
    // M4, M6, M7, M12: in the answer for programs and in the tables for people.
    let figures = office.house.json(&["metrics"]);
    assert_eq!(figures["M4"]["by_group"]["approvers"]["count"], 1, "{figures:#}");
    assert!(["M6", "M7", "M12"].iter().all(|name| figures[name].is_object()), "{figures:#}");
    let tables = text(&office.house.run(&["metrics"]));
    assert!(tables.contains("group approvers") && tables.contains("user cyd"), "{tables}");

    let log = office.house.json(&["log", "CHG-1"]);
    let votes: Vec<&Value> =
        log["entries"].as_array().expect("entries").iter().filter(|e| e["type"] == "Approved").collect();
    assert_eq!(votes.len(), 3, "nothing that was refused became a vote");
    for (vote, who) in votes.iter().zip(["bob", "bob", "cyd"]) {
        assert!(vote["sentence"].as_str().is_some_and(|s| s.contains("signed with SHA256:")), "{vote}");
        office.verify_alone(&vote["body"]["signature"], who);
    }
}

impl Office {
    /// The page of the change as a user sees it.
    async fn page_of(&self, user: &str) -> String {
        let made = self.house.json(&["token", "create", user]);
        let token = made["token"].as_str().expect("a token").to_owned();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let running = std::fs::read(self.house.store().join("server.json")).expect("the server is running");
        let running: Value = serde_json::from_slice(&running).expect("JSON");
        let url = running["url"].as_str().expect("a URL").trim_end_matches('/').to_owned();
        let login = http
            .post(format!("{url}/login"))
            .header("origin", &url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}"));
        let login = login.send().await;
        let cookie = login.expect("an answer").headers()["set-cookie"].to_str().expect("a cookie").to_owned();
        let page =
            http.get(format!("{url}/changes/CHG-1")).header("cookie", cookie.split(';').next().unwrap_or_default());
        page.send().await.expect("an answer").text().await.expect("a page")
    }

    /// Verifies a signature out of the log as a stranger would: with ssh-keygen, and a list of whose key is whose.
    fn verify_alone(&self, signature: &Value, who: &str) {
        let public = std::fs::read_to_string(self.folder.join(format!("{who}.pub"))).expect("a public key");
        std::fs::write(self.folder.join("strangers"), format!("{who} {public}")).expect("a list");
        let sig = self.folder.join("of-the-log.sig");
        std::fs::write(&sig, signature["armored"].as_str().expect("a signature")).expect("a file");
        let verify = |statement: &str| {
            let file = self.folder.join("of-the-log");
            std::fs::write(&file, statement).expect("a statement");
            let stdin = std::fs::File::open(file).expect("the statement");
            let mut command = Command::new("ssh-keygen");
            command.args(["-Y", "verify", "-f", &self.path("strangers"), "-I", who, "-n", NAMESPACE, "-s"]).arg(&sig);
            command.stdin(stdin).output().expect("ssh-keygen runs")
        };
        let statement = signature["statement"].as_str().expect("a statement");
        let good = verify(statement);
        assert!(good.status.success(), "{}", text(&good));
        assert!(text(&good).contains(signature["key"].as_str().expect("a fingerprint")), "{}", text(&good));
        assert!(!verify(&statement.replace("approve", "refuse")).status.success());
    }
}

// F2: where OpenSSH is missing, or a file is not what it should be, nothing is sent and the message says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_of_signing_is_said_before_anything_is_sent() {
    let mut office = Office::open();
    office.house.start_server();
    office.propose();
    let without = office.command("bob", &["approve", "CHG-1", "--sign", &office.path("bob")]).env("PATH", "").output();
    let without = text(&without.expect("the program runs"));
    assert!(without.contains("`ssh-keygen` is not installed") && without.contains("openssh-client"), "{without}");
    let lost = text(&office.run("bob", &["approve", "CHG-1", "--sign", "/no/such/key"]));
    assert!(lost.contains("there is no key `/no/such/key`"), "{lost}");
    let not_a_key = text(&office.run("bob", &["approve", "CHG-1", "--sign", &office.path("clearway.toml")]));
    assert!(not_a_key.contains("`ssh-keygen` did not sign with"), "{not_a_key}");
    for (name, bytes) in [("huge.txt.sig", vec![b'x'; 100_000]), ("binary.txt.sig", vec![0xff; 10])] {
        std::fs::write(office.folder.join(name), bytes).expect("a file");
        std::fs::write(office.folder.join(name.trim_end_matches(".sig")), "time: 2026-09-01T00:00:00Z\n")
            .expect("a file");
        let refused = office.run("bob", &["approve", "CHG-1", "--signature", &office.path(name)]);
        assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    }
    let nameless = text(&office.run("bob", &["approve", "CHG-1", "--signature", &office.path("bob")]));
    assert!(nameless.contains("does not end in `.sig`"), "{nameless}");
    let effect = format!("sha256:{}", "0".repeat(64));
    office.refused("bob", &["approve", "CHG-1", "--sign", "--effect", &effect], "not 000000000000");
    let log = office.house.json(&["log", "CHG-1"]);
    assert!(log["entries"].as_array().is_some_and(|entries| entries.iter().all(|e| e["type"] != "Approved")));
}
