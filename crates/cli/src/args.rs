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
        after_help = "Examples:\n  clearway check change.yaml\n  clearway check --offline change.yaml      only its form, without a server\n  clearway check release.yaml               with the change files that it names\n  clearway check clearway.toml\n  clearway check slos/checkout.yaml         an OpenSLO file, with the files beside it\n  clearway check standards/restart.yaml     a standard change"
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
        after_help = "Examples:\n  clearway propose change.yaml\n  clearway propose change.yaml --watch\n  cat change.yaml | clearway propose -\n  clearway propose --git main..HEAD                          with `.clearway/change.yaml`, and what the range does\n  clearway propose --git main.. --plan plan.json --tests 'target/junit.xml'"
    )]
    Propose(Propose),
    /// Show what policy would see of a change, without proposing it.
    #[command(
        after_help = "Examples:\n  clearway facts --git main..HEAD\n  clearway facts change.yaml --plan plan.json --migrations migrations/ --json"
    )]
    Facts(FactsOf),
    /// Replace what a change proposes, before its rollout begins. Votes for another effect are void.
    #[command(
        after_help = "Examples:\n  clearway amend CHG-7 change.yaml\n  clearway amend CHG-7 change.yaml --revision 2                 refused if it is another by now\n  clearway amend CHG-7 --git main..HEAD"
    )]
    Amend {
        change: ChangeId,
        /// The edited change file; `-` for standard input. With `--git` it is found at the root of the repository.
        file: Option<PathBuf>,
        /// The revision that you have edited; whichever it is now if absent.
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
        #[command(flatten)]
        material: MaterialOptions,
    },
    /// Show a change: where it stands, its gates, steps and verdict.
    #[command(after_help = "Examples:\n  clearway show CHG-7\n  clearway show 7 --json")]
    Show { change: ChangeId },
    /// Show what is another between two revisions of a change: by default since your last vote.
    #[command(after_help = "Examples:\n  clearway diff CHG-7\n  clearway diff CHG-7 --from 1 --to 2 --json")]
    Diff {
        change: ChangeId,
        /// A revision, from 1; the one that you voted for last, or the first, if absent.
        #[arg(long, value_name = "REVISION")]
        from: Option<u32>,
        /// A revision; the newest if absent.
        #[arg(long, value_name = "REVISION")]
        to: Option<u32>,
    },
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
        after_help = "Examples:\n  clearway approve CHG-7\n  clearway approve CHG-7 --comment 'looked at the plan'\n  clearway approve CHG-7 --effect sha256:4f2c...   refuses if the effect is another one by now\n  clearway approve CHG-7 --sign                    signs with your SSH key, in a file, an agent or hardware\n  clearway approve CHG-7 --statement > vote.txt    to sign elsewhere: ssh-keygen -Y sign -n clearway-approval@v1 -f KEY vote.txt\n  clearway approve CHG-7 --signature vote.txt.sig  with vote.txt beside it"
    )]
    Approve(Approve),
    /// Refuse a change.
    #[command(after_help = "Example:\n  clearway reject CHG-7 --reason 'the runbook is missing'")]
    Reject {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Ask for changes: the change does not go on before it is amended, or you take this back.
    #[command(after_help = "Example:\n  clearway request-changes CHG-7 --reason 'make the first step smaller'")]
    RequestChanges {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Take back your vote, or your request for changes.
    #[command(after_help = "Example:\n  clearway take-back CHG-7 --reason 'I had not seen the migration'")]
    TakeBack {
        change: ChangeId,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Set a soft rule aside for what a change does now. A hard rule takes two people: `clearway break-glass`.
    #[command(
        after_help = "Example:\n  clearway override CHG-7 --rule late_on_friday --reason 'the shop is closed this weekend'"
    )]
    Override {
        change: ChangeId,
        /// The code of the rule, as `clearway show` says it.
        #[arg(long, value_name = "CODE")]
        rule: String,
        #[arg(long)]
        reason: String,
    },
    /// Set every rule aside that stands against a change, together with a second person. Pages, and owes a review.
    #[command(
        after_help = "Example:\n  clearway break-glass CHG-7 --reason 'the region is down'    then a second person runs the same"
    )]
    BreakGlass {
        change: ChangeId,
        #[arg(long)]
        reason: String,
    },
    /// Tick a point of a checklist: you answer for it by name.
    #[command(
        after_help = "Example:\n  clearway tick CHG-7 before-production/support-told --note 'told the shift lead'"
    )]
    Tick {
        change: ChangeId,
        /// The point, as `clearway show` says it.
        #[arg(value_name = "LIST/POINT")]
        point: String,
        /// How you know.
        #[arg(long)]
        note: String,
    },
    /// Propose a change in the emergency lane: a small quorum now, the full approval and a review owed.
    #[command(after_help = "Example:\n  clearway emergency fix.yaml --incident INC-42 --reason 'checkout is down'")]
    Emergency {
        /// The change file; `-` for standard input.
        file: PathBuf,
        /// The incident that it ends.
        #[arg(long)]
        incident: String,
        #[arg(long)]
        reason: String,
        /// Follow it until it ends.
        #[arg(long)]
        watch: bool,
        /// A key by which this request can be repeated safely.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Put on record what was deployed while Clearway could not be asked: it owes an approval and a review.
    #[command(
        after_help = "Example:\n  clearway record change.yaml --deployed-at 2026-12-01T09:00Z --reason 'Clearway was down'"
    )]
    Record {
        /// The change file; `-` for standard input.
        file: PathBuf,
        /// When it was deployed.
        #[arg(long, value_name = "TIME")]
        deployed_at: change::Timestamp,
        #[arg(long)]
        reason: String,
        /// A key by which this request can be repeated safely.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// List what is owed: reviews, and approvals of what began without them.
    #[command(after_help = "Examples:\n  clearway debts\n  clearway debts --owner team-checkout --overdue")]
    Debts {
        /// Only those of this owner.
        #[arg(long)]
        owner: Option<String>,
        /// Only those that are overdue.
        #[arg(long)]
        overdue: bool,
    },
    /// Let somebody vote in your place for a while, or say that you are away.
    #[command(
        after_help = "Examples:\n  clearway delegate                                          who stands in for whom now\n  clearway delegate --to bob --for 2w --reason holidays\n  clearway delegate --to bob --group security --for 3d\n  clearway delegate --away --for 2d                          nobody stands in: those asked next are asked at once\n  clearway delegate --end"
    )]
    Delegate(Delegate),
    /// Stop everything: no step begins before it is released. Rollbacks pass.
    #[command(
        after_help = "Examples:\n  clearway stop-all --reason 'the network is unstable'\n  clearway stop-all --release --reason 'it is stable again'\n  clearway stop-all                                          says whether it is stopped"
    )]
    StopAll {
        #[arg(long)]
        reason: Option<String>,
        /// Release the stop.
        #[arg(long, requires = "reason")]
        release: bool,
    },
    /// Error budgets: how much is left, and how fast it is used up.
    #[command(after_help = "Examples:\n  clearway budget\n  clearway budget checkout --json")]
    Budget {
        /// The service; all with an objective if absent.
        service: Option<String>,
    },
    /// Say who is on call, for one service or for all.
    #[command(
        after_help = "Examples:\n  clearway on-call checkout\n  clearway on-call --at '2026-12-24T20:00 Europe/Berlin'\n  clearway on-call checkout --json"
    )]
    OnCall {
        /// The service; all of the catalog if absent.
        service: Option<String>,
        /// At this instant, with its zone; now if absent.
        #[arg(long, value_name = "TIME", value_parser = change::time::parse_instant)]
        at: Option<change::Timestamp>,
    },
    /// Hold every rollout of a service until an end: stop the line. Rollbacks pass, and emergencies unless you forbid them.
    #[command(
        after_help = "Examples:\n  clearway hold checkout --for 2h --reason 'we are looking at the payment errors'\n  clearway hold --team team-shop --environment production --until '2026-12-01T18:00 Europe/Berlin' --reason 'an incident'\n  clearway hold checkout --for 30m --pause --emergency forbid --reason 'the database is being moved'\n  clearway hold --release HOLD-3 --reason 'it is over'\n\nWhoever is on call for the services may, and whoever may `freeze` them."
    )]
    Hold(HoldOptions),
    /// List the holds that last now.
    #[command(after_help = "Example:\n  clearway holds --json")]
    Holds,
    /// Close the gate of one change until an end: it does not begin, or its next step does not. A rollback passes.
    #[command(
        after_help = "Examples:\n  clearway veto CHG-7 --for 4h --reason 'not during the incident'\n  clearway veto CHG-7 --lift --reason 'the incident is over'\n\nWhoever is on call for its services may, and whoever may `freeze` them."
    )]
    Veto(VetoOptions),
    /// Begin the step that is next, in a pipeline that deploys by itself: the gates are asked, and it is refused while one is closed.
    #[command(after_help = "Example:\n  clearway begin CHG-7      exit code 4 with the reasons while a gate is closed")]
    Begin { change: ChangeId },
    /// Report how a step that a pipeline performed has ended, or its rollback.
    #[command(
        after_help = "Examples:\n  clearway finish CHG-7\n  clearway finish CHG-7 --outcome failed --note 'the image was not there'\n  clearway finish CHG-7 --outcome rolled-back\n  clearway finish CHG-7 --step 2 --attempt 1       refuses if the change is elsewhere by now"
    )]
    Finish(Finish),
    /// Wait until a change is approved, until its next step may begin, or until it is done.
    #[command(
        after_help = "Examples:\n  clearway wait CHG-7 --until open --timeout 30m\n  clearway wait CHG-7                              until it is done: exit code 0 only if it completed\n\nA change whose pipeline has to roll back is done waiting too: exit code 7, then roll back and report it."
    )]
    Wait(Wait),
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
    /// Windows and freezes: when changes begin, and when nothing but rollbacks happens.
    #[command(subcommand)]
    Calendar(Calendar),
    /// Who is expected to begin when in the next days, and why not earlier. Nothing is recorded.
    #[command(
        after_help = "Examples:\n  clearway schedule\n  clearway schedule --days 14 --team team-shop --tz Europe/Berlin\n  clearway schedule --at '2026-12-01T09:00 Europe/Berlin'        what may go then, and what not and why\n  clearway schedule change.yaml --at '2026-12-01T09:00 Europe/Berlin'      where it would stand if it were approved then\n  clearway schedule --service checkout --json"
    )]
    Schedule(Schedule),
    /// Batches: changes of low risk that go together in a window.
    #[command(subcommand)]
    Batch(Batch),
    /// Services: who answers for each, what it calls, and who notices when it fails.
    #[command(subcommand)]
    Catalog(Catalog),
    /// Standard changes: approved once for all, within bounds, and proposed without votes.
    #[command(subcommand)]
    Standard(Standard),
    /// Releases: several changes as one, in an order or in waves, that pass or go back together.
    #[command(subcommand)]
    Release(Release),
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
    /// Who may what, and why.
    #[command(subcommand)]
    Access(Access),
    /// Write files to begin with.
    #[command(subcommand)]
    Init(Init),
    /// Write, test and try policies, and ask what they decided and why.
    #[command(subcommand)]
    Policy(Policy),
    /// The governance of a server: what is in force, and loading it again.
    #[command(subcommand)]
    Governance(Governance),
    /// Evaluates policies for a server, line by line.
    #[command(hide = true)]
    PolicyWorker,
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
    #[arg(long)]
    pub reason: String,
    /// Lift it.
    #[arg(long)]
    pub lift: bool,
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
    /// A change file, a `clearway.toml`, a `slis.yaml`, a governance folder, or a file that `clearway import` reads; `-` for standard input.
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
        #[arg(long)]
        reason: String,
    },
    /// Roll a release back: what was rolled out, the last first.
    #[command(after_help = "Example:\n  clearway release rollback REL-7 --reason 'customers can not pay'")]
    Rollback {
        release: change::ReleaseId,
        #[arg(long)]
        reason: String,
    },
}

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
        #[arg(long)]
        reason: String,
    },
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
pub(crate) enum Batch {
    /// Let the rest of a batch go on, of which one has failed.
    #[command(
        after_help = "Example:\n  clearway batch release nightly --reason 'CHG-7 failed by a mistake of its own'"
    )]
    Release {
        /// Its name in calendar.yaml.
        name: String,
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
    /// Ask that a freeze let a change pass for a time, or, as the owner of the freeze, grant what was asked.
    #[command(
        after_help = "Examples:\n  clearway calendar except CHG-7 --freeze year-end --until '2026-12-22T18:00 Europe/Berlin' --reason 'the tax rate changes'\n  clearway calendar except CHG-7 --freeze year-end --grant"
    )]
    Except {
        change: change::ChangeId,
        /// The name of the freeze.
        #[arg(long, value_name = "NAME")]
        freeze: String,
        /// Until when: a time with its zone, at most 31 days ahead.
        #[arg(long, required_unless_present = "grant", conflicts_with = "grant", value_name = "TIME")]
        until: Option<String>,
        #[arg(long, required_unless_present = "grant", conflicts_with = "grant")]
        reason: Option<String>,
        /// Grant what was asked: as the owner of the freeze, or with the permission `freeze`, and never of one's own change.
        #[arg(long)]
        grant: bool,
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
pub(crate) enum Token {
    /// Make a token for a user of access.yaml: on the server's machine, or over the API for yourself. It is shown once and kept as a hash.
    #[command(
        after_help = "Examples:\n  clearway token create ada\n  clearway token create pipeline --name ci --may propose,read --service checkout --expires 30d\n  clearway token create robot --name nightly --expires never"
    )]
    Create(CreateToken),
    /// List tokens: those of this machine's server, or over the API your own, and with `govern` those of everybody.
    List,
    /// Revoke a token by its id, and those that were made with it.
    #[command(after_help = "Example:\n  clearway token revoke k3f9xw2mta")]
    Revoke {
        /// The public id: the middle of `cw_<id>_<secret>`.
        id: String,
    },
    /// Say who the server takes you for.
    Whoami,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Run the tests beside the policies (`*_test.rego`), and say which lines no test reaches.
    #[command(
        after_help = "Examples:\n  clearway policy test governance/\n  clearway policy test --coverage-min 90\n  clearway policy test --sweep                       when do the rules flip in a year?\n  clearway policy test --input facts.json            the same for one input"
    )]
    Test(PolicyTest),
    /// Compile the policies of a folder, without asking them anything.
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
    Doc {
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Print those that come with the program instead.
        #[arg(long)]
        built_in: bool,
    },
    /// Find rules that name what is gone, what no rule covers, and rules past their review.
    Drift {
        /// A governance folder.
        #[arg(id = "policies", value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Print what policies decided, in the shape of OPA's decision logs: one line of JSON each.
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
    Reload,
    /// Show the governance in force, and whether a later one was refused.
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Drop the tables of a store that is not being served, and make them anew from the log.
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
