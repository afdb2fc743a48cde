//! `clearway.toml`: how a server is set up. Checked like every file that people write: all problems at once, each with its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use change::Span;
use change::document::{Document, Place, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// The configuration of a server. Everything has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The address to listen on.
    #[schemars(with = "String", example = "127.0.0.1:7878")]
    pub listen: SocketAddr,
    /// The address by which people reach it, for links; made from `listen` if absent.
    pub url: Option<String>,
    /// The folder of the governance files; one administrator and the default policy if absent.
    pub governance: Option<PathBuf>,
    /// Whether everybody may read the log's tiles and checkpoints. Otherwise the permission `audit` is needed.
    pub public_log: bool,
    /// Commands in change files.
    pub commands: Commands,
    /// Synthetic checks in change files.
    pub checks: Checks,
    /// Routers that the driver `router` may command, by name.
    pub routers: BTreeMap<String, Router>,
    /// Telemetry sources that SLIs may name.
    pub sources: BTreeMap<String, Source>,
    /// Rosters of other tools that schedules in roster.yaml may name as their `source`.
    pub rosters: BTreeMap<String, RosterSource>,
    /// How people are told.
    pub notify: Notify,
    /// Whether a governance is taken in which nobody may govern; said on the command line only.
    #[serde(skip)]
    pub without_administrator: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            url: None,
            governance: None,
            public_log: false,
            commands: Commands::default(),
            checks: Checks::default(),
            routers: BTreeMap::new(),
            sources: BTreeMap::new(),
            rosters: BTreeMap::new(),
            notify: Notify::default(),
            without_administrator: false,
        }
    }
}

/// Whether change files may name commands, and where they run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Commands {
    /// Off by default: whoever may propose a change could run commands on this machine.
    pub allow: bool,
    /// The folder that they run in; that of this file if absent.
    pub dir: Option<PathBuf>,
}

/// What synthetic checks in change files may ask. Nothing by default: whoever may propose a change chooses the addresses in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Checks {
    /// Hosts (`shop.internal:443`), names below a domain (`*.example.com`), addresses and networks (`10.0.0.0/8`), with or without a port. A name that
    /// leads to an address that is not public needs that address allowed as well.
    #[schemars(length(max = 1_000))]
    pub allow: Vec<String>,
    /// Variables of the server's environment that headers of checks may hold.
    #[schemars(length(max = 100), inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,99}$")))]
    pub env: Vec<String>,
    /// The folder of the certificate authorities that checks may name.
    pub ca_dir: Option<PathBuf>,
}

/// A router's admin address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Router {
    #[schemars(regex(pattern = "^https?://[^ ]+$"), example = "http://127.0.0.1:7070")]
    pub admin: String,
    /// A file that holds its token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Where telemetry comes from: pages to scrape, a Prometheus, an address that answers JSON, or a recorded file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// The addresses of pages in the Prometheus or OpenMetrics text format.
    #[schemars(inner(regex(pattern = "^https?://[^ ]+$")), length(max = 100))]
    pub scrape: Vec<String>,
    /// The address of a Prometheus.
    #[schemars(regex(pattern = "^https?://[^ ]+$"), example = "http://127.0.0.1:9090")]
    pub prometheus: Option<String>,
    /// Another kind of source.
    pub kind: Option<SourceKind>,
    /// For `kind = "json"`: the address. `$cohort`, `$canary`, `$baseline` and `$window` may stand in it, but not in its host.
    #[schemars(regex(pattern = "^https?://[^ ]+$"), example = "https://stats.example/api?v=$cohort")]
    pub url: Option<String>,
    /// For `kind = "file"`: evidence in the form `time,cohort,sli,field,value`, CSV or JSON, that is replayed from the first reading on.
    pub path: Option<PathBuf>,
    /// What `$labels` stands for in queries; `version="$cohort"` by default.
    #[schemars(example = "deployment=\"shop-$cohort\"")]
    pub labels: Option<String>,
    /// The time between two samples of the source: `$window` is never shorter, and older samples than two of them are missing.
    pub resolution: Option<Span>,
    /// A file that holds a bearer token.
    pub token_file: Option<PathBuf>,
    /// Headers to send.
    pub headers: BTreeMap<String, Header>,
}

/// The kinds of sources that are told by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    /// An address that answers JSON; queries are JSONPath.
    Json,
    /// A recorded evidence file; queries are `sli/field`.
    File,
}

/// The value of a header: as it is, or where its secret lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Header {
    Text(String),
    /// The name of an environment variable.
    Env {
        env: String,
    },
    /// A file.
    File {
        file: PathBuf,
    },
}

impl Source {
    /// What is wrong with it, and at which of its fields.
    fn problem(&self) -> Option<(&'static str, &'static str)> {
        let given = [!self.scrape.is_empty(), self.prometheus.is_some(), self.kind.is_some()];
        if given.into_iter().filter(|is| *is).count() != 1 {
            return Some(("", "a source has one of `scrape`, `prometheus` and `kind`"));
        }
        let (json, file) = (self.kind == Some(SourceKind::Json), self.kind == Some(SourceKind::File));
        match (self.url.is_some(), self.path.is_some()) {
            (false, _) if json => Some(("", "a source of JSON has a `url`")),
            (_, false) if file => Some(("", "a source that is a file has a `path`")),
            (true, _) if !json => Some(("/url", "`url` belongs to `kind = \"json\"`")),
            (_, true) if !file => Some(("/path", "`path` belongs to `kind = \"file\"`")),
            _ if self.labels.is_some() && self.kind.is_some() => {
                Some(("/labels", "`labels` belong to a Prometheus or to pages that are scraped"))
            }
            _ => None,
        }
    }
}

/// Where another tool says who is on call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RosterSource {
    /// The address, where it is no secret.
    #[serde(default)]
    #[schemars(regex(pattern = "^https?://[^ ]+$"), example = "https://pager.example/oncall.ics")]
    pub url: Option<String>,
    /// A file that holds the address, where whoever knows it may read the roster.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    #[serde(default)]
    pub form: RosterForm,
    /// A file that holds a bearer token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// How a roster is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RosterForm {
    /// An iCalendar of turns.
    #[default]
    Icalendar,
    /// `{"turns": [{"who": ["bob"], "start": "2026-12-01T09:00:00Z", "end": "2026-12-02T09:00:00Z"}]}`.
    Json,
}

/// How people are told, beside the server's own log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Notify {
    /// An address that gets each page as JSON.
    #[schemars(regex(pattern = "^https?://[^ ]+$"), example = "https://chat.example/hooks/clearway")]
    pub webhook: Option<String>,
}

/// How long a driver may take for one act.
pub(crate) const ACT_LIMIT: Span = Span::secs(120);
/// How long a command of a change file may take: an act is a check, the command and a check.
pub(crate) const LONGEST_COMMAND: Span = Span::secs(75);

impl Config {
    /// Reads a configuration; relative paths in it are relative to its own folder.
    pub(crate) fn read(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        let document = document(text)?;
        let mut config: Self = document.read()?;
        let mut problems = Vec::new();
        for (name, source) in &config.sources {
            if let Some((field, message)) = source.problem() {
                problems.push(document.problem(&format!("/sources/{name}{field}"), message, None));
            }
        }
        for (i, rule) in config.checks.allow.iter().enumerate() {
            if let Err(message) = rule.parse::<drivers::Rule>() {
                problems.push(document.problem(&format!("/checks/allow/{i}"), message, None));
            }
        }
        for (name, roster) in &config.rosters {
            if roster.url.is_some() == roster.url_file.is_some() {
                let message = "a roster has one of `url` and `url_file`";
                problems.push(document.problem(&format!("/rosters/{name}"), message, None));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let beside = |given: &mut Option<PathBuf>| {
            if let Some(relative) = given.as_mut().filter(|p| p.is_relative()) {
                *relative = path.parent().unwrap_or_else(|| Path::new(".")).join(&*relative);
            }
        };
        beside(&mut config.governance);
        config.commands.dir.get_or_insert_with(|| PathBuf::from("."));
        beside(&mut config.commands.dir);
        beside(&mut config.checks.ca_dir);
        config.routers.values_mut().for_each(|r| beside(&mut r.token_file));
        for roster in config.rosters.values_mut() {
            beside(&mut roster.token_file);
            beside(&mut roster.url_file);
        }
        for source in config.sources.values_mut() {
            beside(&mut source.token_file);
            beside(&mut source.path);
            for header in source.headers.values_mut() {
                if let Header::File { file } = header {
                    let mut given = Some(std::mem::take(file));
                    beside(&mut given);
                    *file = given.unwrap_or_default();
                }
            }
        }
        Ok(config)
    }
}

/// TOML as a document with places.
fn document(text: &str) -> Result<Document, Vec<Problem>> {
    let lines = Lines::of(text);
    let whole =
        |message: String, at: usize| Problem { place: lines.place(at), path: String::new(), message, help: None };
    if text.len() > change::document::MAX_BYTES {
        return Err(vec![whole(format!("the file has {} bytes", text.len()), 0)]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let say =
            |e: &toml::de::Error| whole(format!("this is not TOML: {}", e.message()), e.span().map_or(0, |s| s.start));
        return Err(errors.iter().take(20).map(say).collect());
    }
    let mut places = BTreeMap::new();
    let value = read_table(table.get_ref(), "", &lines, &mut places);
    Ok(Document::from_parts(value, places))
}

fn read_table(table: &DeTable<'_>, pointer: &str, lines: &Lines, places: &mut BTreeMap<String, Place>) -> Value {
    let mut map = Map::new();
    for (key, value) in table {
        let inner = format!("{pointer}/{}", key.get_ref().replace('~', "~0").replace('/', "~1"));
        map.insert(key.get_ref().to_string(), read_value(value.get_ref(), &inner, lines, places));
        places.insert(inner, lines.place(key.span().start));
    }
    Value::Object(map)
}

fn read_value(value: &DeValue<'_>, pointer: &str, lines: &Lines, places: &mut BTreeMap<String, Place>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.as_str().to_owned()), Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Array(items) => {
            let read = |(i, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                let inner = format!("{pointer}/{i}");
                places.insert(inner.clone(), lines.place(item.span().start));
                read_value(item.get_ref(), &inner, lines, places)
            };
            Value::Array(items.iter().enumerate().map(read).collect())
        }
        DeValue::Table(table) => read_table(table, pointer, lines, places),
    }
}

/// The byte offsets at which lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_a_configuration_are_said_with_their_places() {
        let text = "listn = 1\n\n[sources.shop]\nscrape = [\"ftp://x\"]\n\n[sources.both]\nscrape = [\"http://a\"]\nprometheus = 7\n";
        let problems = Config::read(text, Path::new("clearway.toml")).expect_err("it is broken");
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(
            said[0].starts_with("1:1: `listn`: there is no field `listn`\n  help: did you mean `listen`?"),
            "{said:#?}"
        );
        assert!(said[1].starts_with("4:11: `sources.shop.scrape[0]`"), "{said:#?}");
        assert!(said[2].starts_with("8:1: `sources.both.prometheus`"), "{said:#?}");
    }

    #[test]
    fn a_source_is_one_thing_or_the_other() {
        let problems = Config::read("[sources.none]\n", Path::new("x")).expect_err("it names neither");
        assert!(problems[0].message.contains("one of `scrape`, `prometheus` and `kind`"));
        let refused = |text: &str| Config::read(text, Path::new("x")).expect_err("it is broken")[0].to_string();
        assert_eq!(refused("[sources.a]\nkind = \"json\"\n"), "1:10: `sources.a`: a source of JSON has a `url`");
        let file = refused("[sources.a]\nkind = \"file\"\npath = \"x\"\nurl = \"http://a\"\n");
        assert_eq!(file, "4:1: `sources.a.url`: `url` belongs to `kind = \"json\"`");
        let labels = refused("[sources.a]\nkind = \"file\"\npath = \"x\"\nlabels = \"a\"\n");
        assert_eq!(labels, "4:1: `sources.a.labels`: `labels` belong to a Prometheus or to pages that are scraped");
    }

    #[test]
    fn every_kind_of_source_is_read() {
        let text = "
[sources.prom]
prometheus = \"http://127.0.0.1:9090\"
labels = 'deployment=\"shop-$cohort\"'
resolution = \"15s\"
[sources.stats]
kind = \"json\"
url = \"https://stats.example/api?v=$cohort\"
headers = { X-Api-Key = { env = \"STATS_KEY\" }, X-Team = \"shop\", X-More = { file = \"key\" } }
[sources.replay]
kind = \"file\"
path = \"run.csv\"
";
        let config = Config::read(text, Path::new("/etc/clearway/clearway.toml")).expect("valid");
        assert_eq!(config.sources["prom"].resolution, Some(Span::secs(15)));
        assert_eq!(config.sources["stats"].headers["X-Api-Key"], Header::Env { env: "STATS_KEY".into() });
        assert_eq!(config.sources["stats"].headers["X-More"], Header::File { file: "/etc/clearway/key".into() });
        assert_eq!(config.sources["replay"].path, Some(PathBuf::from("/etc/clearway/run.csv")));
    }

    #[test]
    fn what_checks_may_ask_is_read_and_what_is_no_rule_is_said_with_its_place() {
        let text = "[checks]\nallow = [\"shop.internal:443\", \"http://shop\"]\nenv = [\"A-B\"]\n";
        let problems = Config::read(text, Path::new("x")).expect_err("it is broken");
        assert!(problems[0].to_string().starts_with("3:"), "{problems:?}");
        let problems = Config::read(&text.replace("A-B", "AB"), Path::new("x")).expect_err("it is broken");
        assert!(problems[0].to_string().contains("`checks.allow[1]`: `http://shop` is neither a host"), "{problems:?}");
        let config =
            Config::read("[checks]\nca_dir = \"ca\"\n", Path::new("/etc/clearway/clearway.toml")).expect("valid");
        assert_eq!((config.checks.ca_dir, config.checks.allow.len()), (Some("/etc/clearway/ca".into()), 0));
    }

    #[test]
    fn what_is_not_toml_is_said_with_its_place() {
        let problems = Config::read("listen = \n", Path::new("x")).expect_err("not TOML");
        assert!(problems[0].to_string().starts_with("1:"), "{problems:?}");
        assert!(problems[0].message.contains("this is not TOML"));
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let config = Config::read("governance = \"rules\"\n", Path::new("/etc/clearway/clearway.toml")).expect("valid");
        assert_eq!(config.governance, Some(PathBuf::from("/etc/clearway/rules")));
    }
}
