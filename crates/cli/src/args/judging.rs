//! The command line of judging and foretelling without a server, and what other tools wrote.
//!
//! Only what can be said, and how: what follows is in [`command`](crate::command). The commands themselves are in [`args`](super).

use std::path::PathBuf;

use change::ChangeId;
use clap::ValueEnum;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum JudgeCommand {
    /// Say what another strictness would have decided of a change, and when.
    #[command(
        after_help = "Example:\n  clearway judge replay CHG-7 --policy stricter.yaml\n\nThe file holds what differs: `{alpha: 5%, min_requests: 50, slis: {checkout-errors: {harm: 20%, safe: 80%}}}`."
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
