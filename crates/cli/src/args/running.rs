//! The command line of running a server: starting it, its log, its tokens, its upkeep.
//!
//! Only what can be said, and how: what follows is in [`command`](crate::command). The commands themselves are in [`args`](super).

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;

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
    /// The folder with access.yaml, approvals.yaml, calendar.yaml, conflicts.yaml, slis.yaml, slos/, services/ and policy/.
    #[arg(long, value_name = "DIR")]
    pub governance: Option<PathBuf>,
    /// Take a governance in which nobody may `govern`.
    #[arg(long)]
    pub without_administrator: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Verify a log offline: every hash, the signature, gap-free streams, and for a store that its tables are what the log says.
    #[command(
        after_help = "Examples:\n  clearway audit verify                               the store of this machine's server\n  clearway audit verify --store /var/lib/clearway\n  clearway audit verify --export ./export --key \"$(cat known.vkey)\"\n  clearway audit verify --url https://clearway.example --key \"$(cat known.vkey)\""
    )]
    Verify(Verify),
    /// Write the log as plain files in the tlog-tiles layout, with the verifier key beside them.
    #[command(after_help = "Example:\n  clearway audit export --out ./log")]
    Export {
        /// The folder of the store; that of this machine's server if absent.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
        /// The folder to write to. What is there already is kept; only what is new is written.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print the inclusion proof of an entry, as a `.tlog-proof` file.
    #[command(after_help = "Example:\n  clearway audit proof 40 > entry-40.tlog-proof")]
    Proof { position: u64 },
    /// Print the verifier key of the log.
    #[command(after_help = "Example:\n  clearway audit key > log.key.pub")]
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
pub(crate) enum Token {
    /// Make a token for a user of access.yaml: on the server's machine, or over the API for yourself. It is shown once and kept as a hash.
    #[command(
        after_help = "Examples:\n  clearway token create ada\n  clearway token create pipeline --name ci --may propose,read --service checkout --expires 30d\n  clearway token create ada --name calendar --feed       for /api/v1/calendar.ics, and for nothing else\n  clearway token create robot --name nightly --expires never"
    )]
    Create(CreateToken),
    /// List tokens: those of this machine's server, or over the API your own, and with `govern` those of everybody.
    #[command(
        after_help = "Examples:\n  clearway token list\n  clearway token list --server https://clearway.example --json"
    )]
    List,
    /// Revoke a token by its id, and those that were made with it.
    #[command(after_help = "Example:\n  clearway token revoke k3f9xw2mta")]
    Revoke {
        /// The public id: the middle of `cw_<id>_<secret>`.
        id: String,
    },
    /// Say who the server takes you for.
    #[command(after_help = "Example:\n  clearway token whoami")]
    Whoami,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Drop the tables of a store that is not being served, and make them anew from the log.
    #[command(after_help = "Example:\n  clearway admin rebuild --dir /var/lib/clearway")]
    Rebuild,
    /// Make a user an administrator for a time, by the rights of the store's files. It is logged, people are told, and every page says so.
    #[command(
        after_help = "Examples:\n  clearway admin recover --user ada --reason 'the administrators have left'\n  clearway admin recover --user ada --lasts 15m --reason drill\n\nA running server takes it up within a second, one that does not run when it starts. Then make a token: `clearway token create ada`."
    )]
    Recover {
        /// The id of the user; one that access.yaml does not name may be new.
        #[arg(long)]
        user: String,
        /// How long, at most a day.
        #[arg(long, default_value = "1h")]
        lasts: change::Span,
        /// Why, for those who read the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateToken {
    /// The id of the user.
    pub user: String,
    /// What it is for.
    #[arg(long, default_value = "made by hand")]
    pub name: String,
    /// Only these permissions; all of the user's if absent.
    #[arg(long, value_delimiter = ',', value_name = "PERMISSION")]
    pub may: Vec<change::Permission>,
    /// Only changes of this service; can be given several times.
    #[arg(long, value_delimiter = ',')]
    pub service: Vec<String>,
    /// Only changes in this environment; can be given several times.
    #[arg(long, value_delimiter = ',')]
    pub environment: Vec<String>,
    /// For the calendar feed and for nothing else: the only kind of token that may stand in an address.
    #[arg(long, conflicts_with = "may")]
    pub feed: bool,
    /// How long it lasts, or `never`.
    #[arg(long, default_value = "90d", value_name = "TIME")]
    pub expires: Lasts,
}

/// How long a token lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    For(change::Span),
    Always,
}

impl std::str::FromStr for Lasts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Always),
            text => match text.parse::<change::Span>() {
                Ok(change::Span::ZERO) => Err("a token has to last; or write `never`".into()),
                Ok(span) => Ok(Self::For(span)),
                Err(why) => Err(format!("{why}; or write `never`")),
            },
        }
    }
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
