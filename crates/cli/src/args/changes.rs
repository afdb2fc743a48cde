//! The command line of the life of a change: files, proposing, deciding, watching.
//!
//! Only what can be said, and how: what follows is in [`command`](crate::command). The commands themselves are in [`args`](super).

use std::path::PathBuf;

use change::ChangeId;
use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub(crate) struct Finish {
    pub change: ChangeId,
    /// How it ended.
    #[arg(long, value_enum, default_value = "succeeded")]
    pub outcome: Ended,
    /// What there is to say of it, for those who read the log.
    #[arg(long)]
    pub note: Option<String>,
    /// The step that this speaks of, from 1; the present one if absent.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub step: Option<u64>,
    /// The attempt that this speaks of, as `begin` said it; the present one if absent.
    #[arg(long)]
    pub attempt: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Ended {
    /// It has effect; it is judged now.
    Succeeded,
    /// It has not worked: the step, or the rollback that was under way.
    Failed,
    /// What was there before is there again.
    RolledBack,
    /// Nobody can say: people are asked.
    Unknown,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    pub change: ChangeId,
    /// What is waited for.
    #[arg(long, value_enum, default_value = "done")]
    pub until: Until,
    /// How long at most, such as `30m`; for ever if absent. Exit code 13 when it is over.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<change::Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// Everybody who is asked has agreed.
    Approved,
    /// Every gate is open: the next step may begin.
    Open,
    /// It has ended, or its pipeline has to roll it back.
    Done,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delegate {
    /// Who stands in.
    #[arg(long, value_name = "USER", conflicts_with_all = ["away", "end"])]
    pub to: Option<String>,
    /// Nobody stands in; you are only away.
    #[arg(long, conflicts_with = "end")]
    pub away: bool,
    /// For how long, such as `2w`.
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
    pub lasts: Option<change::Span>,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    pub until: Option<change::Timestamp>,
    /// For this group only; can be given several times.
    #[arg(long)]
    pub group: Vec<String>,
    /// Whose place it is; your own if absent. For others it takes a role with `govern`.
    #[arg(long, value_name = "USER")]
    pub from: Option<String>,
    /// Why: it stands in the log.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// End it: you are back.
    #[arg(long)]
    pub end: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    pub change: ChangeId,
    #[arg(long)]
    pub comment: Option<String>,
    /// The effect digest that you have looked at; the present one if absent.
    #[arg(long)]
    pub effect: Option<change::Digest>,
    /// Sign the vote, with this key or with the one of yours that the server knows.
    #[arg(long, value_name = "KEYFILE", num_args = 0..=1, conflicts_with_all = ["statement", "signature"])]
    #[expect(clippy::option_option, reason = "absent, without a key, with a key")]
    pub sign: Option<Option<PathBuf>>,
    /// Print what you would sign, and cast no vote.
    #[arg(long, conflicts_with_all = ["signature", "comment"])]
    pub statement: bool,
    /// The signature of a statement that was printed before; the statement lies beside it, without `.sig`.
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// A change file, a `clearway.toml`, a `slis.yaml`, a governance folder, or a file that `clearway import` reads; `-` for standard input.
    pub file: PathBuf,
    /// Check the form only, without asking a server for the names in it.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FactsOf {
    /// The change file; `-` for standard input. With `--git` it is found at the root of the repository.
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub material: MaterialOptions,
}

/// What a change is made of; read where it lies, and sent as counts and names.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "What the change is made of")]
pub(crate) struct MaterialOptions {
    /// The commits and files of a range, `base..head`, of the clone that the change file lies in.
    #[arg(long, value_name = "RANGE")]
    pub git: Option<String>,
    /// A Terraform or OpenTofu plan, from `terraform show -json`.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Kubernetes manifests before and after: two files or folders; with `--git` one path of the repository.
    #[arg(long, value_name = "PATH", num_args = 1..=2)]
    pub manifests: Vec<PathBuf>,
    /// SQL migrations: files or folders; with `--git` those of them that the range touches.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub migrations: Vec<PathBuf>,
    /// Results of tests as JUnit XML.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub tests: Vec<PathBuf>,
    /// A cost difference, from `infracost diff --format json`.
    #[arg(long, value_name = "FILE")]
    pub cost: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Propose {
    /// The change file; `-` for standard input. With `--git` it is found at the root of the repository.
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub material: MaterialOptions,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Found {
    Applied,
    NotApplied,
}
