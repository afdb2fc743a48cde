//! The demo: three changes on a small web shop, with everything real.
//!
//! The shop's versions and the router are child processes, the traffic is real HTTP, the verdicts rest on what the processes count. The demo is a user
//! like any other: it serves, and then proposes, watches and approves over the API. Whatever way it ends, its children end with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use change::{Change, ChangeId, Phase};
use serde_json::{Value, json};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, Demo};
use crate::client::Client;
use crate::config::{Commands, Config, Router, Source};
use crate::exit::{ERROR, Failure, Outcome};
use crate::follow::{self, Style};
use crate::place::{Place, write_private};
use crate::serve::{self, Serving, shutdown};

/// The versions of the shop: name and behaviour.
const VERSIONS: [(&str, &str); 5] = [("v1", "good"), ("v2", "good"), ("v3", "failing"), ("v4", "good"), ("v5", "slow")];

const GOVERNANCE: [(&str, &str); 4] = [
    ("access.yaml", include_str!("../demo/access.yaml")),
    ("approvals.yaml", include_str!("../demo/approvals.yaml")),
    ("slis.yaml", include_str!("../demo/slis.yaml")),
    ("services/shop.yaml", include_str!("../demo/services/shop.yaml")),
];

const GOOD: &str = include_str!("../demo/good.yaml");
const FAILING: &str = include_str!("../demo/failing.yaml");
const RISKY: &str = include_str!("../demo/risky.yaml");
const SLOWER: &str = include_str!("../demo/slower.yaml");

/// Plays the demo.
pub(crate) async fn play(args: &Args, options: &Demo) -> Outcome {
    serve::log_to_stderr("warn");
    let scratch = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("clearway-demo-").tempdir()?),
    };
    let dir = scratch.as_ref().map_or_else(|| args.dir.clone().unwrap_or_default(), |s| s.path().to_owned());
    if dir.join("clearway.db").exists() {
        let message = format!("there is a store in `{}` already, and the demo begins with an empty one", dir.display());
        return Err(Failure::new(ERROR, message).help("choose another folder with `--dir`"));
    }
    let mut children = Vec::new();
    let world = World::build(&dir, options, &mut children).await?;
    let played = tokio::select! {
        played = world.play(options) => played,
        () = shutdown() => Err(Failure::new(INTERRUPTED, "")),
        failure = broke_off(&mut children) => Err(failure),
    };
    world.tear_down(children).await?;
    if args.dir.is_some() {
        println!("\nThe store is kept in {0}: `{1} audit verify --store {0}`", dir.display(), program());
    }
    played
}

/// The exit code of a program that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The processes of the demo. Waiting for a child closes the pipe to it, so the pipe is kept apart: that it closes is the child's sign to end.
struct Owned {
    name: &'static str,
    child: Child,
    pipe: Option<ChildStdin>,
}

type Children = Vec<Owned>;

/// The shop's visitors, the server, and those who use it.
struct World {
    traffic: CancellationToken,
    visitors: tokio::task::JoinHandle<anyhow::Result<sim::load::Tally>>,
    serving: Serving,
    you: Client,
    pipeline: Client,
    dir: PathBuf,
}

impl World {
    async fn build(dir: &Path, options: &Demo, children: &mut Children) -> Outcome<Self> {
        let place = Place { dir: dir.to_owned() };
        place.create()?;
        let mut shops = Vec::new();
        for (version, behaviour) in VERSIONS {
            let announce = dir.join(format!("{version}.json"));
            let arguments =
                ["demo-shop", "--listen", "127.0.0.1:0", "--version", version, "--behaviour", behaviour, "--announce"];
            children.push(spawn(version, &arguments, &announce)?);
            shops.push((version, address(&announce, "listen").await?));
        }
        let router_file = dir.join("router.toml");
        std::fs::write(&router_file, router_config(&shops))?;
        let announce = dir.join("router.json");
        let config_argument = router_file.display().to_string();
        children.push(spawn("router", &["router", "--config", &config_argument, "--announce"], &announce)?);
        let (edge, admin) = (address(&announce, "listen").await?, address(&announce, "admin").await?);

        let traffic = CancellationToken::new();
        let target = edge.parse().map_err(|e| Failure::new(ERROR, format!("the router announced `{edge}`: {e}")))?;
        let visitors = tokio::spawn(sim::load::run(
            sim::load::LoadConfig::new(target, f64::from(options.rate)),
            traffic.clone().cancelled_owned(),
        ));

        let governance = dir.join("governance");
        std::fs::create_dir_all(governance.join("services"))?;
        for (name, text) in GOVERNANCE {
            std::fs::write(governance.join(name), text)?;
        }
        for (name, text) in [("good", GOOD), ("failing", FAILING), ("risky", RISKY), ("slower", SLOWER)] {
            std::fs::write(dir.join(format!("{name}.yaml")), text)?;
        }
        let config = config(&governance, &shops, &admin);
        let serving = serve::start(&place, &config, "you").await?;
        let now = engine::ports::Clock::now(&engine::clock::SystemClock);
        let token = |user: &str| serving.tokens.create_lasting(user, "the demo's", now);
        let (yours, pipelines) = (token("you")?, token("pipeline")?);
        write_private(&place.token(), yours.as_bytes())?;
        write_private(&dir.join("pipeline.token"), pipelines.as_bytes())?;
        let you = Client::new(&serving.url, Some(yours))?;
        let pipeline = Client::new(&serving.url, Some(pipelines))?;
        Ok(Self { traffic, visitors, serving, you, pipeline, dir: dir.to_owned() })
    }

    async fn play(&self, options: &Demo) -> Outcome {
        let login = format!("{}/login?code={}", self.serving.url, self.serving.tokens.code("you"));
        println!("A web shop of five processes, a router and {} visitors a second; a look every 250 ms.", options.rate);
        println!("The page: {login}\n");
        let mut told = Vec::new();
        told.push(
            self.tell("A good change: approved by automation, verified step by step.", GOOD, Phase::Completed, false)
                .await?,
        );
        told.push(self.tell("A failing change: the verdict rolls it back.", FAILING, Phase::RolledBack, false).await?);
        told.push(self.tell("A risky change: it waits for you.", RISKY, Phase::Completed, options.once).await?);
        let summary = told.iter().map(|t| t.line.as_str()).collect::<Vec<_>>().join("\n");
        println!("Summary\n{summary}\n{}", self.check_log().await?);
        if let Some(other) = told.iter().find(|t| !t.as_wanted) {
            return Err(Failure::new(
                ERROR,
                format!("a change ended otherwise than it should have: {}", other.line.trim()),
            ));
        }
        if !options.once {
            println!("\nEverything keeps running: {}", self.serving.url);
            let (program, dir) = (program(), self.dir.display());
            println!("Try a version that is only slower:\n  {program} --dir {dir} propose {dir}/slower.yaml --watch");
            println!("Ctrl-C ends the demo.");
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn tell(&self, headline: &str, file: &str, wanted: Phase, approve: bool) -> Outcome<Told> {
        println!("{headline}");
        let begun = Instant::now();
        let view = self.pipeline.post("/changes", &json!({"file": file, "files": {}}), None).await?;
        let id = follow::read_change(&view)?.id;
        let inviting = self.invite(id, approve);
        let following = follow::follow(&self.you, id, Style::Text);
        tokio::pin!(inviting, following);
        let change = tokio::select! {
            followed = &mut following => followed?,
            invited = &mut inviting => {
                invited?;
                following.await?
            }
        };
        println!();
        let line = summary(&change, begun.elapsed());
        Ok(Told { line, as_wanted: change.phase() == wanted })
    }

    /// Invites a person to approve if the change waits for one; with `approve`, is that person.
    async fn invite(&self, id: ChangeId, approve: bool) -> Outcome {
        let change = loop {
            let change = follow::read_change(&self.you.get(&format!("/changes/{id}")).await?)?;
            match change.phase() {
                Phase::Proposed => tokio::time::sleep(Duration::from_millis(50)).await,
                Phase::Assessed => break change,
                // It needs nobody.
                _ => return std::future::pending().await,
            }
        };
        println!("{id}   {}", change::explain::status(&change));
        println!("        on its page:  {}/changes/{id}", self.serving.url);
        println!("        or here:      {} --dir {} approve {id}", program(), self.dir.display());
        if approve {
            let body =
                json!({"effect": change.proposal.effect_digest, "comment": "approved by the demo itself (--once)"});
            self.you.post(&format!("/changes/{id}/approve"), &body, None).await?;
        }
        Ok(())
    }

    async fn check_log(&self) -> Outcome<String> {
        let output = Command::new(std::env::current_exe()?)
            .args(["--json", "audit", "verify", "--store"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .output()
            .await?;
        if !output.status.success() {
            return Err(Failure::new(
                crate::exit::NOT_VERIFIED,
                format!("the log does not verify: {}", String::from_utf8_lossy(&output.stderr)),
            ));
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(format!(
            "  the log verifies: {} entries, every hash recomputed, and the tables are what it says",
            report["entries"]
        ))
    }

    async fn tear_down(self, mut children: Children) -> Outcome {
        self.traffic.cancel();
        if let Ok(Ok(tally)) = self.visitors.await {
            println!(
                "{} requests of visitors: {} answered well, {} with errors, {} not sent in time",
                tally.sent, tally.ok, tally.errors, tally.dropped
            );
        }
        self.serving.stop().await?;
        for owned in &mut children {
            drop(owned.pipe.take());
            if tokio::time::timeout(Duration::from_secs(5), owned.child.wait()).await.is_err() {
                let _ = owned.child.kill().await;
            }
        }
        Ok(())
    }
}

/// Ends only if one of the children does, which it never should.
async fn broke_off(children: &mut Children) -> Failure {
    let ends = children.iter_mut().map(|owned| {
        Box::pin(async move {
            let ended = owned.child.wait().await;
            let name = owned.name;
            Failure::new(ERROR, format!("the process `{name}` of the demo ended by itself: {ended:?}"))
        })
    });
    futures::future::select_all(ends).await.0
}

/// How a change of the demo ended.
struct Told {
    line: String,
    as_wanted: bool,
}

/// This program as it was called, for commands that are to be copied.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "clearway".into())
}

fn summary(change: &Change, took: Duration) -> String {
    let outcome = match change.phase() {
        Phase::Completed => "promoted".to_owned(),
        other => other.to_string(),
    };
    let why = match &change.stage {
        change::lifecycle::Stage::Ended { reason, .. } => reason.clone(),
        _ => change::explain::status(change),
    };
    format!(
        "  {}  {outcome:<12} after {:>4.1} s  {}\n         because: {why}",
        change.id,
        took.as_secs_f64(),
        change.proposal.title
    )
}

/// Starts a process of this very program that ends when we do, however we end: it watches its standard input.
fn spawn(name: &'static str, arguments: &[&str], announce: &Path) -> Outcome<Owned> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg(announce).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A Ctrl-C in the terminal is for us; we end them in good order.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let pipe = child.stdin.take();
    Ok(Owned { name, child, pipe })
}

/// The address that a process announces.
async fn address(announce: &Path, field: &str) -> Outcome<String> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let found = std::fs::read(announce).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(address) = found.as_ref().and_then(|v| v.get(field)).and_then(Value::as_str) {
            return Ok(address.to_owned());
        }
        if Instant::now() > patience {
            return Err(Failure::new(
                ERROR,
                format!("a process of the demo did not start: nothing in {}", announce.display()),
            ));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn router_config(shops: &[(&str, String)]) -> String {
    let versions: Vec<String> = shops
        .iter()
        .map(|(version, address)| {
            let weight = if *version == "v1" { 10_000 } else { 0 };
            format!("  {{ name = \"{version}\", address = \"{address}\", weight = {weight} }},\n")
        })
        .collect();
    format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[[backends]]\nname = \"shop\"\nversions = [\n{}]\n",
        versions.concat()
    )
}

fn config(governance: &Path, shops: &[(&str, String)], admin: &str) -> Config {
    let scrape = shops.iter().map(|(_, address)| format!("http://{address}/metrics")).collect();
    Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        governance: Some(governance.to_owned()),
        commands: Commands::default(),
        routers: [("edge".to_owned(), Router { admin: format!("http://{admin}"), token_file: None })].into(),
        sources: [("shop".to_owned(), Source { scrape, ..Source::default() })].into(),
        ..Config::default()
    }
}
