//! The command line: every command, its options, help and examples.

use std::net::SocketAddr;
use std::path::PathBuf;

use change::ChangeId;
use clap::{Parser, Subcommand, ValueEnum};

/// The control plane for changes to production.
///
/// A change is proposed, assessed, approved, scheduled, rolled out step by step, verified against live telemetry, and promoted or rolled back by
/// itself. Every fact of it is in a log that a stranger can verify.
#[derive(Debug, Parser)]
#[command(name = "clearway", version, max_term_width = 110, after_help = crate::exit::CODES)]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The server; found by itself on the machine that it runs on.
    #[arg(long, global = true, env = "CLEARWAY_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The file that holds the token; found by itself on the machine that the server runs on.
    #[arg(long, global = true, env = "CLEARWAY_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where a server on this machine keeps its store, token and address.
    #[arg(long, global = true, env = "CLEARWAY_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play three changes on a small web shop, with everything real.
    #[command(
        after_help = "Examples:\n  clearway demo            keeps running for you to look around\n  clearway demo --once     plays all three within 45 seconds, checks the log, and ends"
    )]
    Demo(Demo),
    /// Run the server.
    #[command(
        after_help = "Examples:\n  clearway serve\n  clearway serve --config /etc/clearway/clearway.toml\n  clearway serve --listen 127.0.0.1:0 --governance ./governance"
    )]
    Serve(Serve),
    /// Check a change file (or a configuration, or SLIs) without proposing it: all problems at once.
    #[command(
        after_help = "Examples:\n  clearway check change.yaml\n  clearway check --offline change.yaml      only its form, without a server\n  clearway check clearway.toml\n  clearway check slos/checkout.yaml         an OpenSLO file, with the files beside it"
    )]
    Check(Check),
    /// Foretell a rollout: how long each step needs to see harm at the present traffic, whom it would reach before, and where a step can never decide.
    #[command(
        after_help = "Examples:\n  clearway plan change.yaml\n  clearway plan change.yaml --suggest                          and steps that decide\n  clearway plan CHG-7 --strict                                 fails if a step can never decide\n  clearway plan change.yaml --traffic 100/s --bad 0.1%         what if: without a server"
    )]
    Plan(Plan),
    /// Take over SLIs, thresholds and steps from OpenSLO, Kayenta, Argo Rollouts or Flagger, and say what means something else here.
    #[command(
        after_help = "Examples:\n  clearway import canary-config.json > slis.yaml       the notes go to standard error\n  clearway import analysis-template.yaml --source prometheus --set service-name=checkout\n  clearway import canary.yaml --json                   both in one object"
    )]
    Import(Import),
    /// Propose a change.
    #[command(
        after_help = "Examples:\n  clearway propose change.yaml\n  clearway propose change.yaml --watch\n  cat change.yaml | clearway propose -"
    )]
    Propose(Propose),
    /// Replace what a change proposes, before its rollout begins. Votes for another effect are void.
    #[command(after_help = "Example:\n  clearway amend CHG-7 change.yaml")]
    Amend {
        change: ChangeId,
        /// The edited change file; `-` for standard input.
        file: PathBuf,
    },
    /// Show a change: where it stands, its gates, steps and verdict.
    #[command(after_help = "Examples:\n  clearway show CHG-7\n  clearway show 7 --json")]
    Show { change: ChangeId },
    /// List changes, newest first.
    #[command(
        after_help = "Examples:\n  clearway list\n  clearway list --phase rolling_out --phase paused\n  clearway list --service checkout --json"
    )]
    List(List),
    /// Say why a change does not go on: every gate, and what would open it.
    #[command(after_help = "Example:\n  clearway why CHG-7")]
    Why { change: ChangeId },
    /// Approve the effect that a change has now.
    #[command(
        after_help = "Examples:\n  clearway approve CHG-7\n  clearway approve CHG-7 --comment 'looked at the plan'\n  clearway approve CHG-7 --effect sha256:4f2c...   refuses if the effect is another one by now"
    )]
    Approve {
        change: ChangeId,
        #[arg(long)]
        comment: Option<String>,
        /// The effect digest that you have looked at; the present one if absent.
        #[arg(long)]
        effect: Option<change::Digest>,
    },
    /// Refuse a change.
    #[command(after_help = "Example:\n  clearway reject CHG-7 --reason 'the runbook is missing'")]
    Reject {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Pause a rollout. A failing verdict still rolls it back.
    #[command(after_help = "Example:\n  clearway pause CHG-7 --reason 'looking at the database'")]
    Pause {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Go on after a pause.
    #[command(
        after_help = "Examples:\n  clearway resume CHG-7\n  clearway resume CHG-7 --found applied       after an unknown outcome"
    )]
    Resume {
        change: ChangeId,
        /// After an unknown outcome: what you found at the target.
        #[arg(long, value_enum)]
        found: Option<Found>,
    },
    /// Take the step that is being verified as passed. Refused while its verdict is `fail`; recorded as an override.
    #[command(after_help = "Example:\n  clearway promote CHG-7 --reason 'checked by hand'")]
    Promote {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Roll a change back now.
    #[command(after_help = "Example:\n  clearway rollback CHG-7 --reason 'customers report errors'")]
    Rollback {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Withdraw a change before its rollout begins.
    #[command(after_help = "Example:\n  clearway withdraw CHG-7")]
    Withdraw {
        change: ChangeId,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Record that a failed rollback was completed by hand.
    #[command(after_help = "Example:\n  clearway complete CHG-7 --evidence 'weights read back as v1 100'")]
    Complete {
        change: ChangeId,
        /// How you know that the target is as it was.
        #[arg(long)]
        evidence: String,
    },
    /// Record the review that a change owes.
    #[command(
        after_help = "Example:\n  clearway review CHG-7 --summary 'the client had no time-out; a test covers it now'"
    )]
    Review {
        change: ChangeId,
        #[arg(long)]
        summary: String,
    },
    /// Follow a change live until it ends.
    #[command(
        after_help = "Examples:\n  clearway watch CHG-7\n  clearway watch CHG-7 --json     one JSON line per event"
    )]
    Watch { change: ChangeId },
    /// Print the log of a change, or of everything.
    #[command(after_help = "Examples:\n  clearway log CHG-7\n  clearway log --from 100 --limit 50 --json")]
    Log(Log),
    /// Figures about changes, from the log alone.
    #[command(after_help = "Examples:\n  clearway metrics\n  clearway metrics --since 90d --json")]
    Metrics {
        /// How far back.
        #[arg(long, default_value = "28d")]
        since: change::Span,
    },
    /// The drivers of this server and their options.
    Drivers,
    /// Judge a canary from a recording or a stream, without a server: is it harmful, shown safe, or not yet known?
    #[command(
        after_help = "Examples:\n  clearway judge --evidence run.csv --svg run.svg\n  clearway judge --evidence run.csv --history before.csv --config slis.yaml --json\n  clearway judge --evidence recordings/          one line of JSON for each file\n  clearway judge --ndjson < looks.ndjson         an answer after every look\n\nThe evidence is CSV, `time,cohort,sli,field,value`: seconds or RFC 3339; `baseline` or `canary`; `bad`, `good` and `total`\nof a ratio, `le=0.25` of a histogram, `value` of a gauge. Counts are those of the interval; a missing row is a missing scrape."
    )]
    Judge(JudgeOptions),
    /// Look for secrets before they leave this machine.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Verify and export the log.
    #[command(subcommand)]
    Audit(Audit),
    /// Tokens by which users and machines are known.
    #[command(subcommand)]
    Token(Token),
    /// Upkeep of a store, on its own machine.
    #[command(subcommand)]
    Admin(Admin),
    /// Run the embedded weighted HTTP router.
    #[command(
        after_help = "Examples:\n  clearway router --config router.toml\n\nrouter.toml:\n  listen = \"127.0.0.1:8080\"\n  admin = \"127.0.0.1:7070\"\n  [[backends]]\n  name = \"shop\"\n  versions = [{ name = \"v1\", address = \"127.0.0.1:9001\", weight = 10000 }, { name = \"v2\", address = \"127.0.0.1:9002\", weight = 0 }]"
    )]
    Router {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Writes the addresses that are really listened on here, as JSON, once it listens.
        #[arg(long, value_name = "FILE", hide = true)]
        announce: Option<PathBuf>,
    },
    /// Print the JSON Schema of a kind of file, for editors.
    Schema {
        #[arg(value_enum)]
        kind: Schema,
    },
    /// Print completions for a shell.
    #[command(
        after_help = "Examples:\n  clearway completions bash > /etc/bash_completion.d/clearway\n  clearway completions zsh > ~/.zfunc/_clearway"
    )]
    Completions { shell: clap_complete::Shell },
    /// The shop of the demo, as a process of its own.
    #[command(hide = true)]
    DemoShop(DemoShop),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Play all three changes, approve the third, check the log, print a summary, and end.
    #[arg(long)]
    pub once: bool,
    /// Requests a second.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(50..=5_000))]
    pub rate: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The configuration; without it everything has a default.
    #[arg(long, env = "CLEARWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The folder with access.yaml, approvals.yaml, calendar.yaml, slis.yaml, slos/, services/ and policy/.
    #[arg(long, value_name = "DIR")]
    pub governance: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum JudgeCommand {
    /// Say what another strictness would have decided of a change, and when.
    #[command(
        after_help = "The file holds what differs: `{alpha: 5%, min_requests: 50, slis: {checkout-errors: {harm: 20%, safe: 80%}}}`."
    )]
    Replay {
        change: ChangeId,
        /// The other strictness, as YAML.
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct JudgeOptions {
    #[command(subcommand)]
    pub command: Option<JudgeCommand>,
    /// Recordings of both versions: a file, several, or a folder of them; `-` for standard input.
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "ndjson", conflicts_with = "ndjson")]
    pub evidence: Vec<PathBuf>,
    /// The time before the rollout in the same form, for calibration; or a folder with a file of the same name for each recording.
    #[arg(long, value_name = "PATH", conflicts_with = "ndjson")]
    pub history: Option<PathBuf>,
    /// Which SLIs are judged and how strictly; also a canary configuration of Kayenta, an AnalysisTemplate, a Flagger Canary, or OpenSLO.
    #[arg(long, value_name = "FILE", conflicts_with = "ndjson")]
    pub config: Option<PathBuf>,
    /// Draw a picture of series, effects and evidence.
    #[arg(long, value_name = "FILE", conflicts_with = "ndjson")]
    pub svg: Option<PathBuf>,
    /// Speak the streaming protocol on standard input and output: one canary, an answer after every look.
    #[arg(long)]
    pub ndjson: bool,
    /// Which design judges: the best that is known, or the reference design alone, to compare with.
    #[arg(long, value_enum, default_value = "default")]
    pub profile: ProfileName,
    /// The most harmless canaries that may fail, over all SLIs and looks: `1%` or `0.01`, which is the default.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub alpha: Option<f64>,
    /// The time between two looks; the one between the rows by default.
    #[arg(long, value_name = "TIME", conflicts_with = "ndjson")]
    pub every: Option<change::Span>,
    /// The least time before a pass; the whole recording by default.
    #[arg(long, value_name = "TIME", conflicts_with = "ndjson")]
    pub bake: Option<change::Span>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ProfileName {
    Default,
    Reference,
}

/// A share above 0 and below 1, as `1%` or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|p| p / 100.0),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| "write a share above 0 and below 1, such as `1%` or `0.01`".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// A change file, a `clearway.toml`, a `slis.yaml`, or a file that `clearway import` reads; `-` for standard input.
    pub file: PathBuf,
    /// Check the form only, without asking a server for the names in it.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The file; `-` for standard input.
    pub file: PathBuf,
    /// The kind of file; recognised by itself if absent.
    #[arg(long = "as", value_enum, value_name = "KIND")]
    pub kind: Option<Foreign>,
    /// The telemetry source of the SLIs, as clearway.toml names it.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// The value of a placeholder, such as an argument of a template; can be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Foreign {
    Openslo,
    Kayenta,
    Argo,
    Flagger,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// A change file (`-` for standard input), or a change.
    #[arg(value_name = "FILE|CHANGE")]
    pub what: String,
    /// Look for steps that decide too, and print them for the change file.
    #[arg(long)]
    pub suggest: bool,
    /// How many synthetic rollouts are played; the more, the finer.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub runs: u32,
    /// Suppose this traffic of both versions together, such as `100/s` or `30/min`: needs no server and no telemetry.
    #[arg(long, value_name = "RATE")]
    pub traffic: Option<Rate>,
    /// With `--traffic`: the share of bad requests of the stable version.
    #[arg(long, value_name = "SHARE", default_value = "0.1%", requires = "traffic")]
    pub bad: Share,
    /// End with exit code 12 if a step can never decide.
    #[arg(long)]
    pub strict: bool,
}

/// Requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub f64);

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no traffic; write for example `100/s` or `30/min`");
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "s" => 1.0,
            "min" | "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(bad()),
        };
        let count: f64 = number.trim().parse().map_err(|_| bad())?;
        if (0.0..=1e9).contains(&count) { Ok(Self(count / seconds)) } else { Err(bad()) }
    }
}

/// A share, written in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub f64);

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no share; write for example `0.1%`");
        let percent: f64 = text.strip_suffix('%').ok_or_else(bad)?.trim().parse().map_err(|_| bad())?;
        if (0.0..100.0).contains(&percent) { Ok(Self(percent / 100.0)) } else { Err(bad()) }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Propose {
    /// The change file; `-` for standard input.
    pub file: PathBuf,
    /// Follow it until it ends.
    #[arg(long)]
    pub watch: bool,
    /// A key by which this request can be repeated safely.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only changes in this phase; can be given several times.
    #[arg(long)]
    pub phase: Vec<String>,
    /// Only changes of this service.
    #[arg(long)]
    pub service: Option<String>,
    /// Only changes with a smaller number: the next page.
    #[arg(long)]
    pub before: Option<ChangeId>,
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// The change; everything if absent.
    pub change: Option<ChangeId>,
    /// The first position, for the log of everything.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Verify a log offline: every hash, the signature, gap-free streams, and for a store that its tables are what the log says.
    #[command(
        after_help = "Examples:\n  clearway audit verify                               the store of this machine's server\n  clearway audit verify --store /var/lib/clearway\n  clearway audit verify --export ./export --key \"$(cat known.vkey)\"\n  clearway audit verify --url https://clearway.example --key \"$(cat known.vkey)\""
    )]
    Verify(Verify),
    /// Write the log as plain files in the tlog-tiles layout, with the verifier key beside them.
    Export {
        /// The folder of the store; that of this machine's server if absent.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
        /// The folder to write to. What is there already is kept; only what is new is written.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print the inclusion proof of an entry, as a `.tlog-proof` file.
    Proof { position: u64 },
    /// Print the verifier key of the log.
    Key,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The folder of a store.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["export", "url"])]
    pub store: Option<PathBuf>,
    /// A folder that `audit export` wrote.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub export: Option<PathBuf>,
    /// The address of a server that serves its log.
    #[arg(long)]
    pub url: Option<String>,
    /// The verifier key that you trust; without it the key that lies beside the log is used, and that is said.
    #[arg(long)]
    pub key: Option<String>,
    /// A checkpoint seen earlier, which this log has to continue: a file.
    #[arg(long, value_name = "FILE")]
    pub since: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Scan files, or the lines that a git range adds. Exit code 4 if anything was found that nobody allows.
    #[command(
        after_help = "Examples:\n  clearway secrets scan\n  clearway secrets scan --git origin/main..HEAD --allow governance/secrets.yaml\n  clearway secrets scan deploy/ --json"
    )]
    Scan(SecretScan),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretScan {
    /// Files and folders; `-` for standard input. This folder if neither they nor `--git` are given.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The lines that a range of commits adds.
    #[arg(long, value_name = "BASE..HEAD")]
    pub git: Option<String>,
    /// The `secrets.yaml` that allows findings by name.
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a user of access.yaml, on the server's machine. It is shown once and kept as a hash.
    Create {
        /// The id of the user.
        user: String,
    },
    /// Say who the server takes you for.
    Whoami,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Drop the tables of a store that is not being served, and make them anew from the log.
    Rebuild,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoShop {
    #[arg(long)]
    pub listen: SocketAddr,
    #[arg(long)]
    pub version: String,
    #[arg(long)]
    pub behaviour: String,
    #[arg(long)]
    pub announce: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Found {
    Applied,
    NotApplied,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Schema {
    Change,
    Config,
    Access,
    Approvals,
    Calendar,
    Slis,
    Judge,
    Service,
    Secrets,
    Policy,
    Openapi,
}
