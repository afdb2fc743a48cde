//! Serving: puts store, drivers, probes, governance and pages together, and runs them until told to stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use audit::SigningKey;
use change::governance::Governance;
use engine::clock::SystemClock;
use engine::handle::Parts;
use engine::ports::{Clock as _, Driver, Eyes, Voice};
use engine::{Handle, InForce, Settings};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, Serve};
use crate::config::{ACT_LIMIT, Config, Header, LONGEST_COMMAND, Source};
use crate::desk::Desk;
use crate::edits;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::place::{Place, Running, read_private, write_private};
use crate::tokens::Tokens;

/// The administrator of a server without an access.yaml, and the user whose token lies beside the store.
pub(crate) const ADMIN: &str = "admin";

/// A server under way.
pub(crate) struct Serving {
    pub url: String,
    pub handle: Handle,
    pub tokens: Arc<Tokens>,
    place: Place,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Stops: no new requests, what is under way comes to a safe place.
    pub(crate) async fn stop(self) -> Outcome {
        self.stop.cancel();
        self.handle.drain().await;
        self.place.withdraw();
        match self.task.await {
            Ok(ended) => ended.map_err(|e| Failure::new(ERROR, format!("the server broke off: {e}"))),
            Err(e) => Err(Failure::new(ERROR, format!("the server broke off: {e}"))),
        }
    }

    /// Waits until the server breaks off by itself, or its store does.
    async fn broke_off(&mut self) -> Failure {
        tokio::select! {
            ended = &mut self.task => Failure::new(ERROR, format!("the server broke off: {ended:?}")),
            () = self.handle.broken() => Failure::new(ERROR, "the store can't be written any more").help("start the server again: it checks the store first"),
        }
    }
}

pub(crate) async fn serve(args: &Args, options: &Serve) -> Outcome {
    log_to_stderr("info");
    let mut config = match &options.config {
        Some(file) => read_config(file)?,
        None => {
            Config { commands: crate::config::Commands { allow: false, dir: Some(".".into()) }, ..Config::default() }
        }
    };
    config.listen = options.listen.unwrap_or(config.listen);
    config.governance = options.governance.clone().or(config.governance);
    config.without_administrator = options.without_administrator;
    let place = Place::find(args.dir.as_deref())?;
    let mut serving = start(&place, &config, ADMIN).await?;
    let reloading = tokio::spawn(reload_on_hangup(serving.handle.clone(), config.clone()));
    eprintln!("clearway {} serves {} from {}", env!("CARGO_PKG_VERSION"), serving.url, place.dir.display());
    eprintln!("the token of `{}` is in {}", admin_of(&serving.handle), place.token().display());
    if config.governance.is_none() {
        eprintln!(
            "`{ADMIN}` is the only user and may do everything; to name people and rules: `clearway init governance DIR`, then `clearway serve --governance DIR`"
        );
    }
    tokio::select! {
        () = shutdown() => {}
        failure = serving.broke_off() => return Err(failure),
    }
    reloading.abort();
    eprintln!("stopping: what is under way comes to a safe place; a second signal stops at once");
    tokio::select! {
        stopped = serving.stop() => stopped,
        // What is cut off is settled at the next start, as after a crash.
        () = shutdown() => Err(Failure::new(ERROR, "stopped in the middle of an act")),
    }
}

fn admin_of(handle: &Handle) -> String {
    first_of(&handle.in_force().governance.access).unwrap_or_else(|| ADMIN.to_owned())
}

/// The first user who has not left: the one whose token lies beside the store.
fn first_of(access: &change::actor::Access) -> Option<String> {
    access.users.iter().find(|user| access.is_active(&user.id)).map(|user| user.id.clone())
}

/// A governance in which nobody may govern could never be mended over the API, nor tokens be revoked.
fn demand_administrator(governance: &Governance, folder: &Path) -> Outcome {
    if !governance.access.governors().is_empty() {
        return Ok(());
    }
    let message = format!(
        "nobody may govern with `{}`: no user who is here holds a role with `govern` everywhere",
        folder.join("access.yaml").display()
    );
    Err(Failure::new(INVALID, message)
        .help("give somebody a role with `govern` and without `on`, or start with `--without-administrator`"))
}

/// Starts a server in a folder.
pub(crate) async fn start(place: &Place, config: &Config, admin: &str) -> Outcome<Serving> {
    // What a server writes is its own: the log holds names, and the store lies beside its key.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    place.create()?;
    let now = SystemClock.now();
    let in_force = in_force(config, admin)?;
    let store = open_store(place)?;
    let since = engine::edits::last_commit(&store).await.map_err(|e| Failure::new(ERROR, e.to_string()))?;
    let in_force = with_edits(in_force, config, since.as_deref()).await;
    let governance = &in_force.governance;
    let tokens = Arc::new(Tokens::open(place)?);
    let first = first_of(&governance.access.clone().at(now)).unwrap_or_else(|| admin.to_owned());
    let present = read_private(&place.token()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_theirs = |token: String| tokens.check(token.trim(), now).is_ok_and(|kept| kept.user == first);
    if !present.is_some_and(is_theirs) {
        let token = tokens.create_lasting(&first, "the first user's, beside the store", now)?;
        write_private(&place.token(), token.as_bytes())?;
    }
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|e| {
        Failure::new(ERROR, format!("`{}` can't be listened on: {e}", config.listen))
            .help("choose another with `--listen 127.0.0.1:0`")
    })?;
    let url = config.url.clone().map_or_else(|| listener.local_addr().map(|a| format!("http://{a}")), Ok)?;
    let scrub = Arc::new(drivers::read::secrets::Scrubber::new(governance.secrets.clone()));
    let (drivers, eyes, voice) = hands_eyes_voice(place, config, &url)?;
    // The store lets one process in at a time, so whoever opens it is the one replica there is: it need not wait for the leases of the one before.
    let settings = Settings { replica: "the-only-one".into(), act_limit: ACT_LIMIT, ..Settings::default() };
    let build = format!("clearway {}", env!("CARGO_PKG_VERSION"));
    let parts = Parts {
        store: Arc::new(store),
        drivers,
        eyes,
        voice,
        rosters: Arc::new(rosters(config)?),
        clock: Arc::new(SystemClock),
        scrub,
        in_force,
        settings,
        build,
    };
    let handle = Handle::start(parts).await.map_err(|e| Failure::new(ERROR, e.to_string()))?;
    let opened = Desk::open(tokens.clone(), handle.clone(), place.clone()).await;
    let desk = Arc::new(opened.map_err(|e| Failure::new(ERROR, e.to_string()))?);
    let app = server::App {
        handle: handle.clone(),
        identify: desk.clone(),
        base_url: url.clone(),
        public_log: config.public_log,
    };
    let stop = CancellationToken::new();
    tokio::spawn(desk.attend(stop.clone()));
    let task = tokio::spawn(server::serve(listener, app, stop.clone().cancelled_owned()));
    place.announce(&Running { url: url.clone(), pid: std::process::id() })?;
    Ok(Serving { url, handle, tokens, place: place.clone(), stop, task })
}

/// The governance of a folder with its policies compiled, to be evaluated in a process of their own.
fn in_force(config: &Config, admin: &str) -> Outcome<InForce> {
    let governance = match &config.governance {
        Some(folder) => {
            let governance = read_governance(folder)?;
            if !config.without_administrator {
                demand_administrator(&governance, folder)?;
            }
            governance
        }
        None => Governance::embedded(admin),
    };
    let in_force = InForce::new(governance).map_err(|e| Failure::new(INVALID, e.to_string()))?;
    let program =
        std::env::current_exe().map_err(|e| Failure::new(ERROR, format!("this program can't be found: {e}")))?;
    Ok(in_force.in_child(policy::Launch { program, args: vec!["policy-worker".into()] }))
}

/// The same with what its repository says of it.
async fn with_edits(in_force: InForce, config: &Config, since: Option<&str>) -> InForce {
    let Some(folder) = &config.governance else { return in_force };
    let edits = edits::of(folder, &in_force.governance, since).await;
    in_force.edited(edits)
}

/// Loads the governance anew on each SIGHUP. What is wrong with it is said loudly, and the one in force stays.
async fn reload_on_hangup(handle: Handle, config: Config) {
    let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        if config.governance.is_none() {
            handle
                .governance_refused("this server was started without a folder of governance: there is nothing to load");
            continue;
        }
        let config = config.clone();
        let from = config.clone();
        let loading = tokio::task::spawn_blocking(move || in_force(&from, ADMIN)).await;
        match loading {
            Ok(Ok(loaded)) => {
                let since = match handle.last_commit().await {
                    Ok(since) => since,
                    Err(error) => {
                        handle.governance_refused(&error.to_string());
                        continue;
                    }
                };
                let loaded = with_edits(loaded, &config, since.as_deref()).await;
                let digest = loaded.governance.digest;
                match handle.govern(loaded).await {
                    Ok(()) => tracing::info!(digest = digest.short(), "another governance is in force"),
                    Err(error) => handle.governance_refused(&error.to_string()),
                }
            }
            Ok(Err(failure)) => handle.governance_refused(&failure.message),
            Err(_) => handle.governance_refused("reading it broke off"),
        }
    }
}

pub(crate) fn open_store(place: &Place) -> Outcome<store::SqliteStore> {
    place.create()?;
    let key = signing_key(place)?;
    store::SqliteStore::open(&place.dir, key).map_err(|e| Failure::new(ERROR, e.to_string()))
}

/// The key that signs checkpoints; made at the first start. The log's name is made with it and never changes.
pub(crate) fn signing_key(place: &Place) -> Outcome<SigningKey> {
    let broken = |why: &str| Failure::new(ERROR, format!("`{}` is not a key of a log: {why}", place.key().display()));
    if !place.key().exists() {
        if place.dir.join("clearway.db").exists() {
            let message = format!("the key `{}` of this store is missing", place.key().display());
            return Err(Failure::new(ERROR, message)
                .help("bring it back from a backup: without it the log can't be continued under its name"));
        }
        let (seed, name): ([u8; 32], [u8; 8]) = (rand::random(), rand::random());
        let text = format!("clearway.local/{}\n{}\n", hex(&name), hex(&seed));
        write_private(&place.key(), text.as_bytes())?;
    }
    let text = String::from_utf8(read_private(&place.key())?).map_err(|_| broken("it is not text"))?;
    let (origin, seed) = text.trim().split_once('\n').ok_or_else(|| broken("it has no second line"))?;
    let seed = unhex(seed.trim()).ok_or_else(|| broken("the seed is not 64 hexadecimal digits"))?;
    SigningKey::from_seed(origin, seed).map_err(|e| broken(&e.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}

type Ports = (BTreeMap<String, Arc<dyn Driver>>, Arc<dyn Eyes>, Arc<dyn Voice>);

fn hands_eyes_voice(place: &Place, config: &Config, url: &str) -> Outcome<Ports> {
    let invalid = |e: drivers::SettingsError| Failure::new(INVALID, e.to_string());
    let token = |file: &Option<std::path::PathBuf>| -> Outcome<Option<drivers::Token>> {
        file.as_deref()
            .map(|f| read_private(f).map(|b| drivers::Token::new(String::from_utf8_lossy(&b).trim())))
            .transpose()
    };
    let mut routers = BTreeMap::new();
    for (name, router) in &config.routers {
        routers.insert(
            name.clone(),
            drivers::RouterSettings { admin: router.admin.clone(), token: token(&router.token_file)? },
        );
    }
    let mut sources = BTreeMap::new();
    for (name, configured) in &config.sources {
        sources.insert(name.clone(), source(name, configured, token(&configured.token_file)?)?);
    }
    let of_ours = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let commands = drivers::CommandSettings {
        allow: config.commands.allow,
        dir: config.commands.dir.clone().unwrap_or_else(|| ".".into()),
        path: of_ours("PATH", "/usr/bin:/bin"),
        home: of_ours("HOME", "/").into(),
        lang: of_ours("LANG", "C.UTF-8"),
        grace: std::time::Duration::from_secs(2),
    };
    let exec = drivers::ExecSettings {
        commands: commands.clone(),
        markers: place.dir.join("commands"),
        longest_timeout: LONGEST_COMMAND,
    };
    let mut hands: BTreeMap<String, Arc<dyn Driver>> = BTreeMap::new();
    hands.insert("router".into(), Arc::new(drivers::RouterDriver::new(routers).map_err(invalid)?));
    hands.insert("exec".into(), Arc::new(drivers::ExecDriver::new(exec)));
    hands.insert("pipeline".into(), Arc::new(drivers::PipelineDriver));
    let limits = drivers::Limits { jitter: rand::random(), ..drivers::Limits::default() };
    let eyes = drivers::Probes::new(sources, commands, limits).map_err(invalid)?;
    let eyes = eyes.with_checks(check_settings(&config.checks)?);
    let mut channels: Vec<Box<dyn Voice>> = Vec::new();
    if let Some(webhook) = &config.notify.webhook {
        let settings = drivers::WebhookSettings {
            name: "webhook".into(),
            url: webhook.clone(),
            token: None,
            server: Some(url.to_owned()),
        };
        channels.push(Box::new(drivers::Webhook::new(settings).map_err(invalid)?));
    }
    Ok((hands, Arc::new(eyes), Arc::new(drivers::Voices::new(channels))))
}

/// The sources of rosters.
fn rosters(config: &Config) -> Outcome<drivers::RosterSources> {
    let mut sources = BTreeMap::new();
    for (name, roster) in &config.rosters {
        let token = roster.token_file.as_deref().map(read_private).transpose()?;
        let token = token.map(|bytes| drivers::Token::new(String::from_utf8_lossy(&bytes).trim()));
        let url = match &roster.url_file {
            Some(file) => String::from_utf8_lossy(&read_private(file)?).trim().to_owned(),
            None => roster.url.clone().unwrap_or_default(),
        };
        let form = match roster.form {
            crate::config::RosterForm::Icalendar => drivers::RosterForm::ICalendar,
            crate::config::RosterForm::Json => drivers::RosterForm::Json,
        };
        sources.insert(name.clone(), drivers::RosterSettings { url, form, token });
    }
    drivers::RosterSources::new(sources).map_err(|e| Failure::new(INVALID, e.to_string()))
}

fn check_settings(checks: &crate::config::Checks) -> Outcome<drivers::CheckSettings> {
    let rules: Result<Vec<drivers::Rule>, String> = checks.allow.iter().map(|rule| rule.parse()).collect();
    let rules = rules.map_err(|e| Failure::new(INVALID, e))?;
    let mut secrets = BTreeMap::new();
    for name in &checks.env {
        match std::env::var(name) {
            Ok(value) => {
                secrets.insert(name.clone(), value);
            }
            Err(_) => tracing::warn!(name, "`[checks] env` names a variable that is not set"),
        }
    }
    Ok(drivers::CheckSettings {
        allow: drivers::Allowed::new(rules),
        secrets: drivers::Secrets::new(secrets),
        ca_dir: checks.ca_dir.clone(),
        ..drivers::CheckSettings::default()
    })
}

/// A telemetry source with its secrets and its file.
fn source(name: &str, configured: &Source, token: Option<drivers::Token>) -> Outcome<drivers::Source> {
    let mut headers = BTreeMap::new();
    for (header, value) in &configured.headers {
        let value = match value {
            Header::Text(text) => text.clone(),
            Header::File { file } => String::from_utf8_lossy(&read_private(file)?).trim().to_owned(),
            Header::Env { env } => std::env::var(env).map_err(|_| {
                let message = format!("the source `{name}` needs the environment variable `{env}`, which is not set");
                Failure::new(INVALID, message)
            })?,
        };
        headers.insert(header.clone(), value);
    }
    let access = drivers::Access::new(token, &headers)
        .map_err(|why| Failure::new(INVALID, format!("the source `{name}`: {why}")))?;
    let kind = match (&configured.prometheus, &configured.url, &configured.path) {
        (Some(url), ..) => drivers::SourceKind::Prometheus { url: url.clone() },
        (_, Some(url), _) => drivers::SourceKind::Json { url: url.clone() },
        (_, _, Some(path)) => drivers::SourceKind::File { evidence: read_evidence(path)? },
        _ => drivers::SourceKind::Scrape { urls: configured.scrape.clone() },
    };
    let resolution = configured.resolution.unwrap_or_default();
    Ok(drivers::Source { kind, access, labels: configured.labels.clone(), resolution })
}

/// Eyes on one telemetry source alone, which run nothing.
pub(crate) fn eyes_on(name: &str, configured: &Source) -> Outcome<drivers::Probes> {
    let token = configured.token_file.as_deref().map(read_private).transpose()?;
    let token = token.map(|bytes| drivers::Token::new(String::from_utf8_lossy(&bytes).trim()));
    let sources = BTreeMap::from([(name.to_owned(), source(name, configured, token)?)]);
    let commands = drivers::CommandSettings {
        allow: false,
        dir: ".".into(),
        path: String::new(),
        home: "/".into(),
        lang: String::new(),
        grace: std::time::Duration::ZERO,
    };
    let limits = drivers::Limits { jitter: rand::random(), ..drivers::Limits::default() };
    drivers::Probes::new(sources, commands, limits).map_err(|e| Failure::new(INVALID, e.to_string()))
}

fn read_evidence(path: &Path) -> Outcome<drivers::read::evidence::Evidence> {
    let bytes =
        std::fs::read(path).map_err(|e| Failure::new(ERROR, format!("`{}` can't be read: {e}", path.display())))?;
    drivers::read::evidence::Evidence::read(&bytes).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
        Failure::new(INVALID, format!("`{}` is no evidence\n{}", path.display(), lines.join("\n")))
    })
}

pub(crate) fn read_config(file: &Path) -> Outcome<Config> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(ERROR, format!("`{}` can't be read: {e}", file.display())))?;
    Config::read(&text, file).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
        Failure::new(INVALID, format!("{} is not valid\n{}", file.display(), lines.join("\n")))
    })
}

/// Reads a governance folder: its YAML files and policies, and nothing else that lies there.
pub(crate) fn read_governance(folder: &Path) -> Outcome<Governance> {
    let files = crate::folder::read(folder)?;
    refuse_secrets(folder, &files)?;
    let read = Governance::read_with(&files, drivers::read::readers()).map(|governance| {
        // What has an end is looked at as it is now.
        let access = governance.access.clone().at(SystemClock.now());
        Governance { access, ..governance }
    });
    read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|(file, p)| format!("  {file}:{p}")).collect();
        Failure::new(INVALID, format!("the governance in `{}` is not valid\n{}", folder.display(), lines.join("\n")))
    })
}

/// Refuses a governance that holds a secret: its files are shown to everybody who may read a change.
fn refuse_secrets(folder: &Path, files: &BTreeMap<String, String>) -> Outcome {
    // A list that can't be read allows nothing here, and is refused with its problems after.
    let list = files.get("secrets.yaml").and_then(|text| crate::command::secrets::read_list(text).ok());
    let list = list.unwrap_or_default();
    let found = files.iter().flat_map(|(path, text)| drivers::read::secrets::scan(path, text, &list));
    let open: Vec<String> = found.filter(|f| f.allowed.is_none()).map(|finding| format!("  {finding}")).collect();
    if open.is_empty() {
        return Ok(());
    }
    let message =
        format!("the governance in `{}` holds what looks like secrets\n{}", folder.display(), open.join("\n"));
    Err(Failure::new(INVALID, message).help(crate::command::secrets::HELP))
}

/// Ends when the process is told to stop.
pub(crate) async fn shutdown() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

pub(crate) fn log_to_stderr(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CLEARWAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Scrubbed).try_init();
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", drivers::read::secrets::scrub(&panic.to_string()))));
}

/// Standard error without secrets; each line of the log is written at once.
struct Scrubbed;

impl std::io::Write for Scrubbed {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let clean = String::from_utf8_lossy(line);
        std::io::stderr().write_all(drivers::read::secrets::scrub(&clean).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
