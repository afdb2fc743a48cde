//! Waiting: votes that grow old, deadlines that pass and debts that fall due, as people meet them over HTTP.
//!
//! The program and a browser's requests against a server on a socket whose clock is the runtime's. That clock stands still while somebody types and is
//! advanced by days when nobody does. Target, telemetry and tokens are made up; the rest is what a user has. What needs no time to pass is in `govern.rs`.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use audit::SigningKey;
use change::actor::Limits;
use change::governance::Governance;
use futures::future::BoxFuture;
use serde_json::Value;
use server::{Identify, Identity, Made, NewToken, Stranger, TokenView};
use sim::world::{Behaviour, World, change_file};
use store::MemoryStore;

use crate::house::{has, program, text};
use crate::pages::{self, Reader};

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];
const ACCESS: &str = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: cyd, roles: [{role: all}]}
  - {id: dan, roles: [{role: all}]}
groups: [{id: sre, members: [bob]}, {id: leads, members: [cyd]}, {id: shop, members: [ada, dan]}, {id: till, members: [cyd, dan]}]
roles: [{id: all, may: [propose, approve, emergency, read]}]
";
const ESCALATING: &str = "rules:\n  - {require: [{by: sre, count: 1, within: 4h, escalate: leads}]}\n";
const EMERGENCY: &str = "emergency: {quorum: [{by: on-call, count: 1, within: 30m}], lasts: 4h, approval_within: 1d, bake: 10s, watch: 20s}\n";

/// Every user's token is `token-of-` and their name.
pub(crate) struct Names;

impl Identify for Names {
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity, Stranger>> {
        let user = token.strip_prefix("token-of-").ok_or(Stranger::Unknown);
        let known = user.map(|user| Identity {
            user: user.to_owned(),
            token: Some(format!("id-of-{user}")),
            limits: Limits::default(),
        });
        Box::pin(async move { known })
    }

    fn still(&self, _: &str) -> Result<(), Stranger> {
        Ok(())
    }

    fn one_time(&self, _: &str) -> Option<Identity> {
        None
    }

    fn owner(&self, token: &str) -> Option<String> {
        token.strip_prefix("id-of-").map(str::to_owned)
    }

    fn make(&self, _: NewToken) -> BoxFuture<'_, Result<Made, String>> {
        Box::pin(async { Err("no tokens are made here".to_owned()) })
    }

    fn list(&self) -> Result<Vec<TokenView>, String> {
        Ok(vec![])
    }

    fn revoke<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Vec<TokenView>, String>> {
        Box::pin(async { Err("no tokens are revoked here".to_owned()) })
    }
}

/// A server in a world whose time is advanced, and the people who speak with it.
struct Town {
    world: World,
    url: String,
    folder: tempfile::TempDir,
}

impl Town {
    /// Plays a scene in a town with this approval matrix. The server ends with the runtime.
    fn play(seed: u64, approvals: &str, scene: impl AsyncFnOnce(Self)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let approvals = approvals.to_owned();
        runtime.expect("a runtime").block_on(async move { scene(Self::open(seed, &approvals).await).await });
    }

    async fn open(seed: u64, approvals: &str) -> Self {
        let service = "name: shop\nowner: sre\ntier: 3\n";
        let files = [("access.yaml", ACCESS), ("approvals.yaml", approvals), ("services/shop.yaml", service)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let governance = Governance::read(&files).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let key = SigningKey::from_seed("town.test/log", [7; 32]).expect("a key");
        let world = World::new(seed, Behaviour::GOOD);
        let handle = world.start(Arc::new(MemoryStore::new(key)), governance).await.expect("the engine starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("is bound"));
        let app = server::App { handle, identify: Arc::new(Names), base_url: url.clone(), public_log: false };
        tokio::spawn(server::serve(listener, app, std::future::pending()));
        Self { world, url, folder: tempfile::tempdir().expect("a scratch folder") }
    }

    /// Runs the program as a user. Time stands still meanwhile: it is advanced only when nothing runs.
    async fn run(&self, user: &str, arguments: &[&str]) -> Output {
        let token = self.folder.path().join(format!("{user}.token"));
        write_private(&token, &format!("token-of-{user}"));
        let mut command = program();
        command.args(["--server", &self.url, "--token-file"]).arg(token).args(arguments);
        let ran = tokio::task::spawn_blocking(move || command.output().expect("the program runs"));
        ran.await.expect("no panic")
    }

    async fn says(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments).await;
        assert!(output.status.success(), "{user} {arguments:?}: {}", text(&output));
        text(&output)
    }

    async fn refused(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments).await;
        assert_eq!(output.status.code(), Some(4), "{user} {arguments:?}: {}", text(&output));
        text(&output)
    }

    /// The page of a change as a user reads it.
    async fn page(&self, user: &str, change: &str) -> String {
        let (url, token, path) = (self.url.clone(), format!("token-of-{user}"), format!("/changes/{change}"));
        let read = tokio::task::spawn_blocking(move || Reader::log_in(&url, &token).read(&path));
        pages::words(&read.await.expect("no panic"))
    }

    fn file(&self, title: &str, owner: &str) -> String {
        let path = self.folder.path().join(format!("{title}.yaml"));
        let file = change_file(title, &STEPS, "").replace("owner: ada", &format!("owner: {owner}"));
        let file = file.replace("services: [shop]", &format!("services: [{owner}]"));
        std::fs::write(&path, file).expect("the change file is written");
        path.display().to_string()
    }

    /// Lets time pass until the change is in this phase.
    async fn until(&self, change: &str, phase: &str) {
        for _ in 0..60 {
            let view: Value =
                serde_json::from_str(&self.says("ada", &["--json", "show", change]).await).expect("a change as JSON");
            if view["phase"] == phase || view["phase"]["phase"] == phase {
                return;
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        panic!("{change} does not become {phase}: {}", self.says("ada", &["why", change]).await);
    }

    async fn propose(&self, title: &str) {
        self.says("ada", &["propose", &self.file(title, "shop")]).await;
    }

    async fn declare(&self, title: &str, owner: &str) -> Output {
        self.declare_by("ada", title, owner).await
    }

    async fn declare_by(&self, who: &str, title: &str, owner: &str) -> Output {
        let file = self.file(title, owner);
        self.run(who, &["emergency", &file, "--incident", "INC-1", "--reason", "checkout is down"]).await
    }

    fn was_told(&self, words: &str) -> bool {
        self.world.notices().iter().any(|(_, said)| said.contains(words))
    }
}

fn write_private(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a token file");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file, private).expect("rights");
}

async fn hours(hours: u64) {
    tokio::time::sleep(Duration::from_secs(hours * 3_600)).await;
}

// F2, LC3: a vote that nobody used in time counts no longer: the gate, the log and the page say so, and nothing begins before the voter agrees again.
#[test]
fn a_vote_that_is_too_old_counts_no_longer_and_everybody_can_read_why() {
    let slow = "rules:\n  - {require: [{by: approvers, count: 2, within: 30d}]}\n";
    Town::play(1, slow, async |town| {
        town.propose("a").await;
        town.until("CHG-1", "assessed").await;
        has(&town.says("bob", &["approve", "CHG-1"]).await, &["CHG-1: waits for approval by 1 of `approvers`"]);
        hours(24 * 6).await;
        has(&town.says("ada", &["why", "CHG-1"]).await, &["approvals are missing: 1 of `approvers`"]);
        hours(25).await;
        has(&town.says("ada", &["why", "CHG-1"]).await, &["approvals are missing: 2 of `approvers`"]);
        has(&town.says("cyd", &["approve", "CHG-1"]).await, &["CHG-1: waits for approval by 1 of `approvers`"]);
        let log = town.says("ada", &["log", "CHG-1"]).await;
        has(&log, &["votes of `user:bob` are void: too old", "2026-09-29 09:00:", "2026-10-06 09:00:"]);
        has(&town.page("ada", "CHG-1").await, &["votes of user:bob are void: too old", "waits for approval by 1 of"]);
        assert!(town.world.deeds().is_empty(), "no driver was called");
        town.says("bob", &["approve", "CHG-1", "--comment", "still right"]).await;
        town.until("CHG-1", "completed").await;
    });
}

// X2, LC3: silence reminds, then the next group is asked and counts, and nobody before it was asked.
#[test]
fn a_deadline_that_passes_reminds_and_then_asks_the_next_group() {
    Town::play(2, ESCALATING, async |town| {
        town.propose("a").await;
        town.until("CHG-1", "assessed").await;
        let early = town.refused("cyd", &["approve", "CHG-1"]).await;
        has(&early, &["`user:cyd` is in none of the groups whose approval is asked for: `sre`"]);
        hours(3).await;
        assert!(town.was_told("`CHG-1` waits for the approval of `sre`"), "{:?}", town.world.notices());
        assert!(!town.was_told("`leads` is asked"), "not before the time is up");
        has(&town.page("bob", "CHG-1").await, &["sre was reminded"]);
        hours(2).await;
        assert!(town.was_told("`CHG-1` waits for an approval that `sre` has not given in time; `leads` is asked"));
        let why = town.says("ada", &["why", "CHG-1"]).await;
        has(&why, &["closed  approvals: approvals are missing: 1 of `sre` or `leads`"]);
        has(&town.says("ada", &["log", "CHG-1"]).await, &["`sre` did not answer in time: `leads` is asked too"]);
        has(&town.page("cyd", "CHG-1").await, &["sre did not answer in time: leads is asked too"]);
        town.says("cyd", &["approve", "CHG-1"]).await;
        town.until("CHG-1", "completed").await;
    });
}

// X2, F2: when everybody has been asked in vain the change lapses: silence is never a yes, and a late vote is told that it is over.
#[test]
fn silence_to_the_end_is_a_lapse_and_never_an_approval() {
    Town::play(3, ESCALATING, async |town| {
        town.propose("a").await;
        town.until("CHG-1", "assessed").await;
        hours(7).await;
        has(&town.says("ada", &["show", "CHG-1"]).await, &["waits for approval by 1 of `sre` or `leads`"]);
        hours(2).await;
        let over = "nobody decided in time: the gate `approvals` stayed closed";
        has(&town.says("ada", &["show", "CHG-1"]).await, &[over]);
        has(&town.page("bob", "CHG-1").await, &[&over.replace('`', ""), "The change has ended"]);
        has(&town.refused("bob", &["approve", "CHG-1"]).await, &["`CHG-1` is lapsed"]);
        assert!(town.world.deeds().is_empty(), "no driver was called");
    });
}

// LC3, LC9, PA6: what an emergency owes falls due: it is nagged, and the lane of that team, and of no other, is shut until it is paid; the gate says so.
#[test]
fn an_overdue_debt_shuts_the_emergency_lane_of_its_team_and_the_gate_says_so() {
    Town::play(4, &format!("{ESCALATING}{EMERGENCY}"), async |town| {
        assert!(town.declare("first", "shop").await.status.success());
        town.until("CHG-1", "assessed").await;
        town.says("dan", &["approve", "CHG-1"]).await;
        town.until("CHG-1", "completed").await;
        has(&town.says("ada", &["debts"]).await, &["CHG-1", "approval", "review"]);
        has(&town.says("ada", &["debts", "--overdue"]).await, &["nothing is owed"]);
        hours(30).await;
        assert!(town.was_told("`CHG-1` owes its approval since"), "{:?}", town.world.notices());
        has(&town.says("ada", &["debts", "--overdue"]).await, &["CHG-1", "approval", "(overdue)"]);

        assert!(town.declare("second", "shop").await.status.success(), "it is taken, and held");
        assert!(town.declare_by("cyd", "third", "till").await.status.success());
        for change in ["CHG-2", "CHG-3"] {
            town.until(change, "assessed").await;
            town.says("dan", &["approve", change]).await;
        }
        town.until("CHG-3", "completed").await;
        town.until("CHG-2", "held").await;
        let why = town.says("ada", &["why", "CHG-2"]).await;
        let shut = "the emergency lane is shut while `shop` owes the approval of `CHG-1` since";
        has(&why, &[&format!("closed  approvals: {shut}"), "who can open it: whoever owes it, by paying"]);
        has(&town.page("dan", "CHG-2").await, &[&shut.replace('`', "")]);

        let paid = town.says("bob", &["approve", "CHG-1", "--comment", "it was right"]).await;
        has(&paid, &["CHG-1: completed"]);
        has(&town.says("ada", &["debts", "--overdue"]).await, &["nothing is owed"]);
        town.until("CHG-2", "completed").await;
    });
}

// PA6, LC3: an emergency is limited in time: one that nobody agreed to lapses, and says why.
#[test]
fn an_emergency_that_does_not_begin_in_time_is_over() {
    let patient = EMERGENCY.replace("30m", "9h");
    Town::play(5, &format!("{ESCALATING}{patient}"), async |town| {
        assert!(town.declare("first", "shop").await.status.success());
        town.until("CHG-1", "assessed").await;
        hours(5).await;
        let shown = town.says("ada", &["show", "CHG-1"]).await;
        has(&shown, &["lapsed: the emergency was over at `", "` before it began"]);
        has(&town.refused("dan", &["approve", "CHG-1"]).await, &["`CHG-1` is lapsed"]);
        has(&town.page("dan", "CHG-1").await, &["the emergency was over at"]);
        assert!(town.world.deeds().is_empty(), "no driver was called");
    });
}
