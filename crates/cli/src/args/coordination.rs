//! The command line of what keeps changes apart: the calendar, the schedule, holds and vetoes, releases.
//!
//! Only what can be said, and how: what follows is in [`command`](crate::command). The commands themselves are in [`args`](super).

use std::path::PathBuf;

use change::ChangeId;
use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Batch {
    /// Let the rest of a batch go on, of which one has failed.
    #[command(
        after_help = "Example:\n  clearway batch release nightly --reason 'CHG-7 failed by a mistake of its own'"
    )]
    Release {
        /// Its name in calendar.yaml.
        name: String,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    /// A change file that nobody has proposed: where it would stand.
    #[arg(value_name = "CHANGE-FILE")]
    pub file: Option<PathBuf>,
    /// How many days, from 1 to 92; 7 if absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=92))]
    pub days: Option<u64>,
    /// Only what is of this team: as the owner of the change or of a service.
    #[arg(long)]
    pub team: Option<String>,
    /// Only what changes this service.
    #[arg(long)]
    pub service: Option<String>,
    /// Only what is about this environment.
    #[arg(long)]
    pub environment: Option<String>,
    /// What may begin at this instant, with its zone, if nobody does anything until then.
    #[arg(long, value_name = "TIME", value_parser = change::time::parse_instant)]
    pub at: Option<change::Timestamp>,
    /// The batches of the calendar, when each goes, and what goes with it.
    #[arg(long, conflicts_with_all = ["file", "at"])]
    pub batches: bool,
    /// The zone in which days and times are shown.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub tz: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HoldOptions {
    /// The services.
    #[arg(value_name = "SERVICE", required_unless_present_any = ["team", "release"], conflicts_with = "release")]
    pub services: Vec<String>,
    /// All services that this team owns.
    #[arg(long, value_name = "TEAM", conflicts_with = "release")]
    pub team: Option<String>,
    /// In this environment; in all if absent.
    #[arg(long, conflicts_with = "release")]
    pub environment: Option<String>,
    /// For how long, such as `2h`.
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["until", "release"])]
    pub lasts: Option<change::Span>,
    /// Until when, with its zone.
    #[arg(long, value_name = "TIME", value_parser = change::time::parse_instant, conflicts_with = "release")]
    pub until: Option<change::Timestamp>,
    /// Why: it stands in the log.
    #[arg(long)]
    pub reason: String,
    /// Whether emergencies pass it.
    #[arg(long, value_enum, conflicts_with = "release")]
    pub emergency: Option<Emergencies>,
    /// Pause what rolls out now, too: it goes on when somebody resumes it.
    #[arg(long, conflicts_with = "release")]
    pub pause: bool,
    /// Release this hold before its end.
    #[arg(long, value_name = "HOLD")]
    pub release: Option<String>,
}

/// Whether emergencies pass a hold.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Emergencies {
    Allow,
    Forbid,
}

impl Emergencies {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Forbid => "forbid",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct VetoOptions {
    pub change: ChangeId,
    /// For how long, such as `4h`.
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["until", "lift"])]
    pub lasts: Option<change::Span>,
    /// Until when, with its zone.
    #[arg(long, value_name = "TIME", value_parser = change::time::parse_instant, conflicts_with = "lift")]
    pub until: Option<change::Timestamp>,
    /// Why: it stands in the log.
    #[arg(long)]
    pub reason: String,
    /// Lift it.
    #[arg(long)]
    pub lift: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Propose a release with all of its changes, at once or not at all.
    #[command(
        after_help = "Examples:\n  clearway release propose release.yaml\n  clearway release propose release.yaml --watch\n  clearway check release.yaml                    what the server says of it, without proposing it"
    )]
    Propose {
        /// The release file; the change files that it names are read beside it.
        file: PathBuf,
        /// Follow it until it ends.
        #[arg(long)]
        watch: bool,
        /// A key by which this request can be repeated safely.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Show a release: its members in the order in which they go, and how each stands.
    #[command(after_help = "Examples:\n  clearway release show REL-7\n  clearway release show REL-7 --json")]
    Show { release: change::ReleaseId },
    /// List releases, the newest first.
    #[command(after_help = "Examples:\n  clearway release list\n  clearway release list --json")]
    List,
    /// Follow a release until it ends; fails unless it was completed.
    #[command(after_help = "Example:\n  clearway release watch REL-7")]
    Watch { release: change::ReleaseId },
    /// Withdraw a release before anything of it has begun, and its changes with it.
    #[command(after_help = "Example:\n  clearway release withdraw REL-7 --reason 'not this week'")]
    Withdraw {
        release: change::ReleaseId,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Roll a release back: what was rolled out, the last first.
    #[command(after_help = "Example:\n  clearway release rollback REL-7 --reason 'customers can not pay'")]
    Rollback {
        release: change::ReleaseId,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Calendar {
    /// Say all that is wrong with a calendar.yaml, with its line. Ends with exit code 3 if there is something.
    #[command(
        after_help = "Examples:\n  clearway calendar check ./governance\n  clearway calendar check ./governance --strict       what is over for good counts too"
    )]
    Check {
        /// A governance folder.
        folder: PathBuf,
        /// Take warnings as errors.
        #[arg(long)]
        strict: bool,
    },
    /// Draw a month with its freezes (`#`), windows (`+`) and planned changes (`*`).
    #[command(
        after_help = "Examples:\n  clearway calendar show\n  clearway calendar show --month 2026-12 --tz Europe/Berlin --service payments\n  clearway calendar show --governance ./governance     without a server"
    )]
    Show {
        /// The month, as `2026-12`; this one if absent.
        #[arg(long)]
        month: Option<String>,
        /// The zone in which days and times are shown.
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        tz: String,
        /// Only what may be about this service.
        #[arg(long)]
        service: Option<String>,
        /// Only what may be about this team.
        #[arg(long)]
        team: Option<String>,
        /// A governance folder; the server's calendar if absent.
        #[arg(long, value_name = "DIR")]
        governance: Option<PathBuf>,
    },
    /// Say when a change could go, and why not before.
    #[command(
        after_help = "Examples:\n  clearway calendar next CHG-7\n  clearway calendar next change.yaml --governance ./governance     without a server"
    )]
    Next {
        /// `CHG-7`; with `--governance`, a change file.
        change: String,
        /// A governance folder; the server's calendar if absent.
        #[arg(long, value_name = "DIR")]
        governance: Option<PathBuf>,
    },
    /// Ask that a freeze let a change pass for a time, or, as the owner of the freeze, grant what was asked, or end it.
    #[command(
        after_help = "Examples:\n  clearway calendar except CHG-7 --freeze year-end --until '2026-12-22T18:00 Europe/Berlin' --reason 'the tax rate changes'\n  clearway calendar except CHG-7 --freeze year-end --grant --until '2026-12-22T18:00 Europe/Berlin'\n  clearway calendar except CHG-7 --freeze year-end --revoke --reason 'it is not needed any more'"
    )]
    Except {
        change: change::ChangeId,
        /// The name of the freeze.
        #[arg(long, value_name = "NAME")]
        freeze: String,
        /// Until when: a time with its zone, at most 31 days ahead. With `--grant` what was asked, as `clearway why` says it: if it is another by now,
        /// nothing is granted.
        #[arg(long, required_unless_present = "revoke", conflicts_with = "revoke", value_name = "TIME", value_parser = change::time::parse_instant)]
        until: Option<change::Timestamp>,
        /// Why: it stands in the log.
        #[arg(long, required_unless_present = "grant", conflicts_with = "grant")]
        reason: Option<String>,
        /// Grant what was asked: as the owner of the freeze, or with the permission `freeze`, and never of one's own change.
        #[arg(long, conflicts_with = "revoke")]
        grant: bool,
        /// End what was granted before its time, or take back what was asked.
        #[arg(long)]
        revoke: bool,
    },
}
