//! The command line: every command, with its help and examples; the options of those that have many are in the rooms below, by area.

mod changes;
mod coordination;
mod governing;
mod judging;
mod running;

use std::path::PathBuf;

use change::ChangeId;
use clap::{Parser, Subcommand};

pub(crate) use changes::{
    Approve, Check, Delegate, Ended, FactsOf, Finish, Found, List, Log, MaterialOptions, Propose, Until, Wait,
};
pub(crate) use coordination::{Batch, Calendar, HoldOptions, Release, Schedule, VetoOptions};
pub(crate) use governing::{
    Access, Catalog, Drawing, Drift, Governance, Init, Policy, PolicyTest, Schema, SecretScan, Secrets, Standard,
};
pub(crate) use judging::{Foreign, Import, JudgeCommand, JudgeOptions, Plan, ProfileName};
pub(crate) use running::{Admin, Audit, CreateToken, Demo, DemoShop, Lasts, Serve, Token, Verify};

/// The control plane for changes to production.
///
/// A change is proposed, assessed, approved, scheduled, rolled out step by step, verified against live telemetry, and promoted or rolled back by
/// itself. Every fact of it is in a log that a stranger can verify.
#[derive(Debug, Parser)]
#[command(name = "clearway", version, max_term_width = 110, after_help = crate::exit::ENDING)]
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
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Ask for changes: the change does not go on before it is amended, or you take this back.
    #[command(after_help = "Example:\n  clearway request-changes CHG-7 --reason 'make the first step smaller'")]
    RequestChanges {
        change: ChangeId,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Take back your vote, or your request for changes.
    #[command(after_help = "Example:\n  clearway take-back CHG-7 --reason 'I had not seen the migration'")]
    TakeBack {
        change: ChangeId,
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Set every rule aside that stands against a change, together with a second person. Pages, and owes a review.
    #[command(
        after_help = "Example:\n  clearway break-glass CHG-7 --reason 'the region is down'    then a second person runs the same"
    )]
    BreakGlass {
        change: ChangeId,
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
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
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Roll a change back now.
    #[command(after_help = "Example:\n  clearway rollback CHG-7 --reason 'customers report errors'")]
    Rollback {
        change: ChangeId,
        /// Why: it stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Withdraw a change before its rollout begins.
    #[command(after_help = "Example:\n  clearway withdraw CHG-7")]
    Withdraw {
        change: ChangeId,
        /// Why: it stands in the log.
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
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway calendar show --month 2026-12\n  clearway calendar next CHG-7"
    )]
    Calendar(Calendar),
    /// Who is expected to begin when in the next days, and why not earlier. Nothing is recorded.
    #[command(
        after_help = "Examples:\n  clearway schedule\n  clearway schedule --days 14 --team team-shop --tz Europe/Berlin\n  clearway schedule --at '2026-12-01T09:00 Europe/Berlin'        what may go then, and what not and why\n  clearway schedule change.yaml --at '2026-12-01T09:00 Europe/Berlin'      where it would stand if it were approved then\n  clearway schedule --service checkout --json"
    )]
    Schedule(Schedule),
    /// Batches: changes of low risk that go together in a window.
    #[command(
        subcommand,
        after_help = "Example:\n  clearway batch release nightly --reason 'CHG-7 failed by a mistake of its own'"
    )]
    Batch(Batch),
    /// Services: who answers for each, what it calls, and who notices when it fails.
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway catalog check ./governance\n  clearway catalog show checkout"
    )]
    Catalog(Catalog),
    /// Standard changes: approved once for all, within bounds, and proposed without votes.
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway standard list\n  clearway standard show checkout-release"
    )]
    Standard(Standard),
    /// Releases: several changes as one, in an order or in waves, that pass or go back together.
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway release propose release.yaml --watch\n  clearway release show REL-1"
    )]
    Release(Release),
    /// The drivers of this server and their options.
    #[command(after_help = "Examples:\n  clearway drivers\n  clearway drivers --json")]
    Drivers,
    /// Judge a canary from a recording or a stream, without a server: is it harmful, shown safe, or not yet known?
    #[command(
        after_help = "Examples:\n  clearway judge --evidence run.csv --svg run.svg\n  clearway judge --evidence run.csv --history before.csv --config slis.yaml --json\n  clearway judge --evidence recordings/          one line of JSON for each file\n  clearway judge --ndjson < looks.ndjson         an answer after every look\n\nThe evidence is CSV, `time,cohort,sli,field,value`: seconds or RFC 3339; `baseline` or `canary`; `bad`, `good` and `total`\nof a ratio, `le=0.25` of a histogram, `value` of a gauge. Counts are those of the interval; a missing row is a missing scrape."
    )]
    Judge(JudgeOptions),
    /// Look for secrets before they leave this machine.
    #[command(subcommand, after_help = "Example:\n  clearway secrets scan --git main..HEAD")]
    Secrets(Secrets),
    /// Verify and export the log.
    #[command(subcommand, after_help = "Examples:\n  clearway audit verify\n  clearway audit export --out ./log")]
    Audit(Audit),
    /// Who may what, and why.
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway access explain ada approve CHG-7\n  clearway access list"
    )]
    Access(Access),
    /// Write files to begin with.
    #[command(subcommand, after_help = "Example:\n  clearway init governance ./governance")]
    Init(Init),
    /// Write, test and try policies, and ask what they decided and why.
    #[command(
        subcommand,
        after_help = "Examples:\n  clearway policy test governance/\n  clearway policy explain CHG-7"
    )]
    Policy(Policy),
    /// The governance of a server: what is in force, and loading it again.
    #[command(subcommand, after_help = "Examples:\n  clearway governance show\n  clearway governance reload")]
    Governance(Governance),
    /// Evaluates policies for a server, line by line.
    #[command(hide = true)]
    PolicyWorker,
    /// Tokens by which users and machines are known.
    #[command(subcommand, after_help = "Examples:\n  clearway token create ada\n  clearway token list")]
    Token(Token),
    /// Upkeep of a store, on its own machine.
    #[command(
        subcommand,
        after_help = "Example:\n  clearway admin recover --user ada --reason 'the administrators have left'"
    )]
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
    #[command(after_help = "Examples:\n  clearway schema change > change.schema.json\n  clearway schema calendar")]
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

#[cfg(test)]
mod recommended;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Every command that people see, with its name in full.
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path =
            if path.is_empty() { command.get_name().to_owned() } else { format!("{path} {}", command.get_name()) };
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
        shown.for_each(|sub| walk(sub, &path, found));
        found.push((path, command.clone()));
    }

    fn all() -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        walk(&Args::command(), "", &mut found);
        assert!(found.len() > 90, "{}", found.len());
        found
    }

    // D4: nobody has to guess how a command is used.
    #[test]
    fn the_help_of_every_command_ends_with_examples_of_it() {
        for (path, command) in all() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = after.split_once("Example").unwrap_or_else(|| panic!("`{path} --help` has no example"));
            let first = examples.lines().nth(1).unwrap_or_default();
            assert!(first.contains(&path), "`{path}`: the first example is `{first}`");
        }
    }

    // D4
    #[test]
    fn every_example_that_is_a_plain_command_line_is_understood() {
        let mut tried = 0;
        for (path, command) in all() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines().filter_map(|line| line.strip_prefix("  clearway ")) {
                // What follows two blanks says what it is for; what goes through a shell is the shell's.
                let line = line.split("  ").next().unwrap_or_default();
                if line.contains(['|', '>', '<', '$', '*', '&']) || line.contains("...") {
                    continue;
                }
                let words = std::iter::once("clearway".to_owned()).chain(words(line));
                let read = Args::try_parse_from(words);
                assert!(
                    read.is_ok(),
                    "`{path}`: `clearway {line}`: {}",
                    read.err().map(|e| e.to_string()).unwrap_or_default()
                );
                tried += 1;
            }
        }
        assert!(tried > 120, "{tried}");
    }

    /// The words of a command line, with quotes as a shell takes them away.
    fn words(line: &str) -> Vec<String> {
        let (mut found, mut quote, mut word) = (Vec::new(), None, String::new());
        for letter in line.trim().chars() {
            match (quote, letter) {
                (None, '\'' | '"') => quote = Some(letter),
                (Some(open), close) if open == close => quote = None,
                (None, ' ') => found.push(std::mem::take(&mut word)),
                (_, other) => word.push(other),
            }
        }
        found.push(word);
        found
    }
}
