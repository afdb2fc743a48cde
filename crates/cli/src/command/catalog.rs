//! The command `catalog`: checks, draws and shows services, from a folder or from a server, and finds what has become untrue.
//!
//! What is wrong is decided in the core; here it is asked for and printed. A folder is read as a server would read it, even if its other files are broken.

use std::fmt::Write as _;
use std::path::Path;

use change::catalog::{At, Catalog as Services, Entries, Entry, Finding, Observed, Portrait, Service, Severity};
use change::document::{list, nearest};
use change::governance::Survey;
use engine::clock::SystemClock;
use engine::ports::{Ask, Clock as _, Cohorts, Eyes as _, Glance, Part as AskPart, Side};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{line, print};
use crate::args::{Args, Catalog, Drawing, Drift};
use crate::client::Client;
use crate::drawing::{MOST_DRAWN, Part, dot, svg};
use crate::exit::{ERROR, Failure, INVALID, NOT_FOUND, Outcome};
use crate::{folder, serve};

/// Findings that are printed; `--json` has them all.
const MOST_LINES: usize = 200;
/// Names that a line lists.
const MOST_NAMES: usize = 40;

pub(super) async fn run(args: &Args, asked: &Catalog) -> Outcome {
    match asked {
        Catalog::Check { folder, strict } => check(args, folder.as_deref(), *strict).await,
        Catalog::Graph { service, format, out, hops, governance } => {
            let seen = Seen::find(args, governance.as_deref()).await?;
            let drawn = draw(&seen.catalog, service.as_deref(), form(*format, out.as_deref()), usize::from(*hops))?;
            write(out.as_deref(), &drawn)
        }
        Catalog::Show { service, governance } => show(args, service, governance.as_deref()).await,
        Catalog::Drift(asked) => drift(args, asked).await,
    }
}

/// A catalog and what there is to say about it.
struct Seen {
    catalog: Services,
    findings: Vec<Finding>,
}

/// What a server answers.
#[derive(Deserialize)]
struct Answer {
    services: Vec<Listed>,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Listed {
    service: Service,
    at: Option<At>,
}

impl Seen {
    async fn find(args: &Args, folder: Option<&Path>) -> Outcome<Self> {
        match folder {
            Some(folder) => Self::in_folder(folder),
            None => Self::on_server(args).await,
        }
    }

    fn in_folder(folder: &Path) -> Outcome<Self> {
        if !folder.join("services").is_dir() {
            let message = format!("there is no folder `services` in `{}`", folder.display());
            return Err(Failure::new(ERROR, message).help("name the governance folder, which holds it"));
        }
        let files = folder::read(folder)?;
        let Survey { catalog, mut findings, .. } = Survey::of(&files, drivers::read::readers());
        findings.extend(catalog.upkeep(SystemClock.now()));
        change::catalog::finding::sort(&mut findings);
        Ok(Self { catalog, findings })
    }

    async fn on_server(args: &Args) -> Outcome<Self> {
        let client = Client::find(args).map_err(|failure| match &failure.help {
            Some(help) => {
                let help = format!("{help}; or name a governance folder, which needs no server");
                failure.help(help)
            }
            None => failure,
        })?;
        let answer = client.get("/catalog").await?;
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|e| Failure::new(ERROR, format!("the server's catalog can't be read: {e}")))?;
        let entry = |listed: Listed| Entry {
            at: listed.at.unwrap_or_else(|| At::file("catalog")),
            service: listed.service,
            fields: std::collections::BTreeMap::new(),
        };
        let entries = answer.services.into_iter().map(entry).collect();
        Ok(Self { catalog: Services::assemble(entries, Entries::default()), findings: answer.findings })
    }

    fn service(&self, name: &str) -> Outcome<&Service> {
        self.catalog.service(name).ok_or_else(|| {
            let known = self.catalog.services().iter().map(|s| s.name.as_str());
            let failure = Failure::new(NOT_FOUND, format!("there is no service `{name}` in the catalog"));
            match nearest(name, known.clone()) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None if self.catalog.services().len() <= MOST_NAMES => {
                    failure.help(format!("there is {}", list(known)))
                }
                None => failure,
            }
        })
    }
}

async fn check(args: &Args, folder: Option<&Path>, strict: bool) -> Outcome {
    let seen = Seen::find(args, folder).await?;
    let worst = if strict { Severity::Warning } else { Severity::Error };
    let is_valid = seen.findings.iter().all(|finding| finding.severity > worst);
    let services = seen.catalog.services().len();
    let whole = json!({"valid": is_valid, "services": services, "findings": seen.findings});
    print(args, &whole, || lines(&seen.findings, &format!("in {}", counted(services, "service"))));
    verdict(args, is_valid, "the catalog does not stand as it is")
}

async fn drift(args: &Args, asked: &Drift) -> Outcome {
    let observed = match (&asked.observed, &asked.source) {
        (Some(file), _) => Some(read_calls(file)?),
        (None, Some(source)) => Some(ask_source(asked, source).await?),
        (None, None) => None,
    };
    let seen = Seen::find(args, asked.governance.as_deref()).await?;
    let mut found: Vec<Finding> = seen.findings.into_iter().filter(|finding| finding.kind.is_drift()).collect();
    if let Some(observed) = &observed {
        found.extend(seen.catalog.dependency_drift(observed));
        change::catalog::finding::sort(&mut found);
    } else if !args.json {
        eprintln!("no calls were given, so dependencies are not compared: name them with `--observed` or `--source`");
    }
    let has_error = found.iter().any(|finding| finding.severity == Severity::Error);
    let is_fine = !has_error && (!asked.strict || found.is_empty());
    let services = seen.catalog.services().len();
    let whole = json!({"services": services, "observed": observed.map(|o| o.len()), "findings": found});
    print(args, &whole, || lines(&found, &format!("of drift in {}", counted(services, "service"))));
    verdict(args, is_fine, "the catalog has drifted")
}

fn verdict(args: &Args, is_fine: bool, otherwise: &str) -> Outcome {
    if is_fine { Ok(()) } else { Err(Failure::new(INVALID, if args.json { "" } else { otherwise })) }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The findings, each on its line, and a summary.
fn lines(findings: &[Finding], of: &str) -> String {
    let mut out = String::new();
    for finding in findings.iter().take(MOST_LINES) {
        let _ = writeln!(out, "{}", plain(&finding.to_string()));
    }
    if findings.len() > MOST_LINES {
        let _ = writeln!(out, "and {} more; `--json` shows them all", findings.len() - MOST_LINES);
    }
    let of_severity = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, notes) =
        (of_severity(Severity::Error), of_severity(Severity::Warning), of_severity(Severity::Note));
    let (errors, warnings, notes) = (counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note"));
    let _ = write!(out, "{errors}, {warnings} and {notes} {of}");
    out
}

/// What a file says may hold anything: no character of it commands a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn read_calls(file: &Path) -> Outcome<Vec<Observed>> {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", file.display()));
    let most = drivers::read::calls::MOST_BYTES as u64 + 1;
    let mut text = String::new();
    let read: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    std::io::Read::read_to_string(&mut std::io::Read::take(read, most), &mut text).map_err(failed)?;
    drivers::read::calls::observed(&text)
        .map_err(|problem| Failure::new(INVALID, format!("{}:{problem}", file.display())))
}

/// Asks a Prometheus for the calls of a service graph.
async fn ask_source(asked: &Drift, name: &str) -> Outcome<Vec<Observed>> {
    let is_metric = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if asked.metric.is_empty() || !asked.metric.chars().all(is_metric) {
        let message = format!("`{}` is no name of a metric", asked.metric.escape_debug());
        return Err(Failure::new(ERROR, message).help("it has letters, digits, `_` and `:`"));
    }
    let config = serve::read_config(asked.config.as_deref().unwrap_or_else(|| Path::new("clearway.toml")))?;
    let configured = config.sources.get(name).ok_or_else(|| {
        let known = list(config.sources.keys().map(String::as_str));
        Failure::new(INVALID, format!("there is no source `{name}` in the configuration"))
            .help(format!("there is {known}"))
    })?;
    let eyes = serve::eyes_on(name, configured)?;
    let (metric, since) = (&asked.metric, asked.since);
    let query = format!("sum by (client, server) (increase({metric}[{since}]))");
    let cohorts = Cohorts { canary: String::new(), stable: String::new() };
    let ask = Ask { query, part: AskPart::Value, side: Side::Baseline, cohorts };
    let glance = Glance { now: SystemClock.now(), every: change::Span::secs(60) };
    let answers = eyes.read(name, &[ask], &glance).await.map_err(|why| {
        Failure::new(crate::exit::UNREACHABLE, why)
            .help("a service graph is asked of a Prometheus; a page that is scraped has none")
    })?;
    let series = answers.into_iter().flat_map(|answer| answer.series);
    let calls: Vec<Observed> = series
        .filter_map(|series| {
            let label = |name: &str| series.labels.get(name).cloned();
            Some(Observed { client: label("client")?, server: label("server")?, calls: Some(series.value) })
        })
        .collect();
    if calls.is_empty() {
        let message =
            format!("the source `{name}` knows no calls: `{metric}` has no series with `client` and `server`");
        return Err(Failure::new(ERROR, message).help("name the counter of your service graph with `--metric`"));
    }
    Ok(calls)
}

fn form(given: Option<Drawing>, out: Option<&Path>) -> Drawing {
    let by_ending = || out.and_then(Path::extension).is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));
    given.unwrap_or(if by_ending() { Drawing::Svg } else { Drawing::Dot })
}

fn draw(catalog: &Services, service: Option<&str>, form: Drawing, hops: usize) -> Outcome<String> {
    // DOT is for programs, which draw as much as they like.
    let most = if form == Drawing::Svg { MOST_DRAWN } else { usize::MAX };
    let seen = Seen { catalog: catalog.clone(), findings: vec![] };
    let part = match service {
        Some(name) => Part::around(catalog, &seen.service(name)?.name, hops, most),
        None => Part::all(catalog, most),
    };
    if let Some(left_out) = part.left_out() {
        eprintln!("{left_out}; name a service to draw what is around it");
    }
    Ok(match form {
        Drawing::Dot => dot::draw(catalog, &part),
        Drawing::Svg => svg::draw(catalog, &part),
    })
}

fn write(out: Option<&Path>, text: &str) -> Outcome {
    match out {
        None => line(text.trim_end()),
        Some(file) => std::fs::write(file, text)
            .map_err(|e| Failure::new(ERROR, format!("`{}` can't be written: {e}", file.display())))?,
    }
    Ok(())
}

async fn show(args: &Args, name: &str, folder: Option<&Path>) -> Outcome {
    let seen = Seen::find(args, folder).await?;
    let name = &seen.service(name)?.name;
    let Some(portrait) = seen.catalog.portrait(name, &seen.findings) else { return Ok(()) };
    let whole: Value = serde_json::to_value(&portrait).map_err(|e| Failure::new(ERROR, e.to_string()))?;
    print(args, &whole, || words(&portrait));
    Ok(())
}

fn words(portrait: &Portrait) -> String {
    let service = &portrait.service;
    let mut out = String::new();
    let title = service.title.as_ref().map(|title| format!("  {}", title.escape_debug())).unwrap_or_default();
    let _ = writeln!(out, "{}{title}", service.name);
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {name:<13} {value}");
        }
    };
    field("owner", service.owner.clone());
    field("on call", service.on_call.clone().unwrap_or_default());
    field("tier", format!("{}, {}", service.tier, service.lifecycle));
    field("environments", service.environments.join(", "));
    field("targets", service.targets.join(", "));
    field("data", service.data.join(", "));
    field("counted", service.indicators().collect::<Vec<_>>().join(", "));
    field("review by", service.review_by.map(|day| day.to_string()).unwrap_or_default());
    field(
        "gates",
        if service.gates == change::catalog::Gating::Observe { "observed only".into() } else { String::new() },
    );
    field("links", service.links.join(" "));
    field("described in", portrait.at.as_ref().map(ToString::to_string).unwrap_or_default());
    let _ = writeln!(out, "\n{}", radius(portrait));
    for (head, neighbours) in [("Calls", &portrait.calls), ("Called by", &portrait.called_by)] {
        let name = |n: &change::catalog::Neighbour| match n.tier {
            Some(tier) => format!("{} (tier {tier})", n.service),
            None => format!("{} (not in the catalog)", n.service.escape_debug()),
        };
        let mut names: Vec<String> = neighbours.iter().take(MOST_NAMES).map(name).collect();
        if neighbours.len() > MOST_NAMES {
            names.push(format!("and {} more", neighbours.len() - MOST_NAMES));
        }
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let _ = writeln!(out, "{head}: {names}");
    }
    for finding in portrait.findings.iter().take(MOST_NAMES) {
        let _ = writeln!(out, "\n{}", plain(&finding.to_string()));
    }
    out
}

/// The blast radius in words.
fn radius(portrait: &Portrait) -> String {
    let radius = &portrait.blast_radius;
    if radius.reached.is_empty() {
        return "Blast radius 0 of 100: no service notices when it fails.".to_owned();
    }
    let tiers = (1..=4).map(|tier| (tier, radius.of_tier(tier))).filter(|(_, count)| *count > 0);
    let tiers: Vec<String> = tiers.map(|(tier, count)| format!("{count} of tier {tier}")).collect();
    let notice = if radius.reached.len() == 1 { "service notices" } else { "services notice" };
    let farthest = counted(radius.depth(), "call");
    format!(
        "Blast radius {} of 100: {} {notice} when it fails ({}), {} of them directly, the farthest {farthest} away.",
        radius.figure,
        radius.reached.len(),
        tiers.join(", "),
        radius.direct()
    )
}
