//! The command line of what rules changes: the catalog, policies, access, standard changes, secrets.
//!
//! Only what can be said, and how: what follows is in [`command`](crate::command). The commands themselves are in [`args`](super).

use std::path::PathBuf;

use change::ChangeId;
use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Standard {
    /// List the standard changes of the server, with how each has fared.
    #[command(after_help = "Examples:\n  clearway standard list\n  clearway standard list --json")]
    List,
    /// Show one: its parameters and their bounds, its record, and whether it counts now.
    #[command(after_help = "Example:\n  clearway standard show resize-checkout-pool")]
    Show { id: String },
    /// Propose one. The server makes the change from the template that was approved.
    #[command(
        after_help = "Examples:\n  clearway standard propose resize-checkout-pool --set size=48\n  clearway standard propose resize-checkout-pool --set size=48 --set reason='sale on Friday' --watch"
    )]
    Propose {
        id: String,
        /// What a parameter is; can be given several times. What is left out is its default.
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Follow it until it ends.
        #[arg(long)]
        watch: bool,
        /// A key by which this request can be repeated safely.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Let one count again that was suspended after its failures; they are counted anew.
    #[command(
        after_help = "Example:\n  clearway standard reinstate resize-checkout-pool --reason 'the pool is drained first now'"
    )]
    Reinstate {
        id: String,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Say all that there is to say about the catalog, with file and line. Ends with exit code 3 if there is an error.
    #[command(
        after_help = "Examples:\n  clearway catalog check ./governance      a folder, without a server\n  clearway catalog check --strict          that of the server; warnings count as errors"
    )]
    Check {
        /// A governance folder; the server's catalog if absent.
        folder: Option<PathBuf>,
        /// Take warnings as errors.
        #[arg(long)]
        strict: bool,
    },
    /// Draw services and what they call, as DOT for Graphviz or as a picture.
    #[command(
        after_help = "Examples:\n  clearway catalog graph --governance ./governance > catalog.dot\n  clearway catalog graph checkout --hops 3 --out checkout.svg"
    )]
    Graph {
        /// The service in the middle; everything if absent.
        service: Option<String>,
        /// The form; that of the ending of `--out` if absent, and otherwise DOT.
        #[arg(long, value_enum)]
        format: Option<Drawing>,
        /// The file to write to; standard output if absent.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many calls away from the service, on both sides.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=1_000), requires = "service")]
        hops: u16,
        /// A governance folder; the server's catalog if absent.
        #[arg(long, value_name = "DIR")]
        governance: Option<PathBuf>,
    },
    /// Show a service: who answers for it, what it calls, who calls it, and who notices when it fails.
    #[command(after_help = "Example:\n  clearway catalog show checkout --governance ./governance")]
    Show {
        service: String,
        /// A governance folder; the server's catalog if absent.
        #[arg(long, value_name = "DIR")]
        governance: Option<PathBuf>,
    },
    /// Find what the catalog says and is no longer so: people who are gone, overdue reviews, and calls that nobody declared.
    #[command(
        after_help = "Examples:\n  clearway catalog drift\n  clearway catalog drift --observed calls.csv --governance ./governance      client,server[,calls]\n  clearway catalog drift --source prometheus --config clearway.toml --since 7d"
    )]
    Drift(Drift),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    Dot,
    Svg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drift {
    /// Calls that were seen: CSV with the columns `client,server` and maybe `calls`, or the same as JSON; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    pub observed: Option<PathBuf>,
    /// A Prometheus of clearway.toml that has the metrics of a service graph.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub source: Option<String>,
    /// The clearway.toml that names the source.
    #[arg(long, env = "CLEARWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How far back calls are counted, with `--source`.
    #[arg(long, default_value = "24h", value_name = "TIME")]
    pub since: change::Span,
    /// The counter of calls, with the labels `client` and `server`.
    #[arg(long, default_value = "traces_service_graph_request_total", value_name = "NAME")]
    pub metric: String,
    /// A governance folder; the server's catalog if absent.
    #[arg(long, value_name = "DIR")]
    pub governance: Option<PathBuf>,
    /// End with exit code 3 if there is drift.
    #[arg(long)]
    pub strict: bool,
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
pub(crate) enum Policy {
    /// Run the tests beside the policies (`*_test.rego`), and say which lines no test reaches.
    #[command(
        after_help = "Examples:\n  clearway policy test governance/\n  clearway policy test --coverage-min 90\n  clearway policy test --sweep                       when do the rules flip in a year?\n  clearway policy test --input facts.json            the same for one input"
    )]
    Test(PolicyTest),
    /// Compile the policies of a folder, without asking them anything.
    #[command(after_help = "Example:\n  clearway policy check governance/")]
    Check {
        /// A governance folder, or one of Rego files.
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Ask the policies of a folder about an input: a file of facts, or those of a past change.
    #[command(
        after_help = "Examples:\n  clearway policy eval --input facts.json governance/\n  clearway policy eval --input CHG-7 governance/       with the facts of its last assessment"
    )]
    Eval {
        #[arg(long, value_name = "FILE|CHANGE")]
        input: String,
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Say what the policies and approvals of a folder would have decided about past changes.
    #[command(
        after_help = "Examples:\n  clearway policy replay --since 90d governance/\n  clearway policy replay --show CHG-7 governance/      one of them in full"
    )]
    Replay {
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// How far back.
        #[arg(long, default_value = "90d")]
        since: change::Span,
        /// Show this change in full.
        #[arg(long, value_name = "CHANGE")]
        show: Option<ChangeId>,
    },
    /// Say which rule gave each answer about a change, in which file and line, and on which facts.
    #[command(after_help = "Example:\n  clearway policy explain CHG-7")]
    Explain { change: ChangeId },
    /// Print the policies of a folder as Markdown, from what they say of themselves.
    #[command(
        after_help = "Examples:\n  clearway policy doc governance/ > POLICIES.md\n  clearway policy doc --built-in"
    )]
    Doc {
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Print those that come with the program instead.
        #[arg(long)]
        built_in: bool,
    },
    /// Find rules that name what is gone, what no rule covers, and rules past their review.
    #[command(after_help = "Example:\n  clearway policy drift governance/")]
    Drift {
        /// A governance folder.
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Print what policies decided, in the shape of OPA's decision logs: one line of JSON each.
    #[command(after_help = "Examples:\n  clearway policy decisions\n  clearway policy decisions --from 4000")]
    Decisions {
        /// The first position of the log.
        #[arg(long, default_value_t = 0)]
        from: u64,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyTest {
    /// A governance folder, or one of Rego files.
    #[arg(id = "policies", value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Fail if the tests reach fewer of the lines than this, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub coverage_min: Option<u8>,
    /// Play the examples of the tests through a year, and show at which minute the answer changes.
    #[arg(long)]
    pub sweep: bool,
    /// Play this file of facts through a year; can be given several times.
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// The zone of the sweep; that of settings.yaml if absent.
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Governance {
    /// Have the server on this machine load its governance again. What is wrong is refused, and the one in force stays.
    #[command(after_help = "Example:\n  clearway governance reload")]
    Reload,
    /// Show the governance in force, and whether a later one was refused.
    #[command(after_help = "Example:\n  clearway governance show --json")]
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Say whether a user may do something, and why.
    #[command(
        after_help = "Examples:\n  clearway access explain ada approve CHG-7\n  clearway access explain pipeline propose --json\n\nEnds with 0 for yes and with 4 for no. `clearway access actions` lists the words."
    )]
    Explain {
        user: String,
        /// A word of the table, such as `approve`.
        action: String,
        change: Option<ChangeId>,
    },
    /// List users and what they may, where.
    #[command(after_help = "Examples:\n  clearway access list\n  clearway access list ./governance")]
    List {
        /// A governance folder; what is in force at the server if absent.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Look for what nobody can have meant: unused roles, groups without members, keys of two users, services that don't exist.
    #[command(after_help = "Examples:\n  clearway access check\n  clearway access check ./governance --strict")]
    Check {
        /// A governance folder; what is in force at the server if absent.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// End with exit code 3 if there is anything.
        #[arg(long)]
        strict: bool,
    },
    /// Print the table: what needs which permission, and where.
    #[command(after_help = "Example:\n  clearway access actions")]
    Actions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Init {
    /// Write a small, commented governance folder with yourself as its administrator.
    #[command(
        after_help = "Example:\n  clearway init governance ./governance && clearway serve --governance ./governance"
    )]
    Governance {
        /// The folder, which must be empty or not there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The id of the administrator; your name on this machine if absent.
        #[arg(long)]
        admin: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Schema {
    Change,
    Release,
    Config,
    Access,
    Approvals,
    Calendar,
    Roster,
    ErrorBudget,
    Conflicts,
    Paths,
    Slis,
    Judge,
    Service,
    Settings,
    Secrets,
    Standard,
    Policy,
    Openapi,
}
