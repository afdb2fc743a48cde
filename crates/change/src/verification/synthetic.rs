//! Synthetic checks: requests of our own making that a version has to answer well, beside what visitors show.
//!
//! Values only: what is asked, how often, and what counts as a good answer. Nothing here reaches the network; whether an address may be asked at all is
//! the operator's word, which the probes keep. Each run is one event: three failures in a row fail the change, or, with an objective, the runs are
//! counted against it. Next room: [`verification`](crate::verification).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Objective;
use crate::rollout::PartProblem;
use crate::time::Span;

/// The most checks of a change.
pub const MOST_CHECKS: usize = 50;
/// The time-out of one try where the file names none and the interval is not shorter.
const DEFAULT_TIMEOUT: Span = Span::secs(10);
/// The longest that one run may take, all its tries together.
const LONGEST_RUN: Span = Span::secs(60);
const LONGEST_EVERY: Span = Span::secs(24 * 3_600);
/// The most headers, and the most expectations of one kind.
const MOST_PARTS: usize = 50;

/// A synthetic check. One of `http`, `tcp`, `dns`, `tls` and `command` is given. `$cohort` in an address, a name, a header or a body stands for the
/// version that is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticCheck {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"), example = "login-page")]
    pub name: String,
    /// A request and what its answer has to be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A connection that has to be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A name that has to have certain records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// A certificate that has to be trusted and to last for some days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
    /// A command that has to succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandCheck>,
    /// The time between two runs; the time between two looks by default. Looks between two runs carry no result of it, which changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// After this time a try has failed; 10s by default, or the time between two runs where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How often a run tries: it passes with its first good try. 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub tries: Option<u8>,
    /// The share of good runs that is promised. With it each run is one event of a ratio, judged by this objective in every step; without it three failed
    /// runs in a row fail the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
}

/// A request over HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    #[schemars(
        regex(pattern = "^https?://[^ ]+$"),
        length(max = 2_000),
        example = "https://$cohort.shop.internal/health"
    )]
    pub url: String,
    #[serde(default, skip_serializing_if = "Method::is_get")]
    pub method: Method,
    /// Headers of the request: a text, or `{env: NAME}` for a secret that the operator lets checks use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderText>,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub body: Option<String>,
    /// The statuses that are good: numbers and ranges; 200-399 by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub status: Vec<StatusRange>,
    /// A text that the body has to contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_000))]
    pub body_contains: Option<String>,
    /// A regular expression that the body has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_000))]
    pub body_matches: Option<String>,
    /// Values that a JSON body has to hold, by JSON pointer: `{/status: ok}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Value>,
    /// Texts that headers of the answer have to contain, by header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// The longest time to the end of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Whether a redirect is followed; it is not by default, and never to a host that the operator has not allowed.
    #[serde(default, skip_serializing_if = "Redirects::is_refuse")]
    pub redirects: Redirects,
    /// The file of the certificate authority that is trusted, in the operator's `[checks] ca_dir`; the authorities of the system by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"), example = "shop-ca.pem")]
    pub ca_file: Option<String>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn is_get(&self) -> bool {
        *self == Self::Get
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// What a header of a request says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderText {
    Plain(String),
    Secret(FromEnv),
}

/// A secret in the environment of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// A variable that `[checks] env` in clearway.toml lists.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,99}$"), example = &"SHOP_TOKEN")]
    pub env: String,
}

/// Whether redirects are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redirects {
    /// A redirect is an answer like others.
    #[default]
    Refuse,
    /// Up to five, each to a host that the operator has allowed.
    Follow,
}

impl Redirects {
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

/// One status, `200`, or a range of them, `200-299`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// The statuses that are good where a check names none.
    pub const GOOD: Self = Self { first: 200, last: 399 };

    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no status; write for example `200` or `200-299`");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |part: &str| part.parse::<u16>().ok().filter(|s| (100..=599).contains(s)).ok_or_else(bad);
        let (first, last) = (status(first)?, status(last)?);
        if first > last { Err(bad()) } else { Ok(Self { first, last }) }
    }
}

impl From<StatusRange> for Value {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last { range.first.into() } else { range.to_string().into() }
    }
}

impl TryFrom<Value> for StatusRange {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status or a range of them.",
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", "examples": ["200-299"]}
            ]
        })
    }
}

/// A connection over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    #[schemars(length(min = 1, max = 300), example = "$cohort.shop.internal:5432")]
    pub address: String,
    /// A text to send once connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub send: Option<String>,
    /// A text that has to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_000))]
    pub expect: Option<String>,
}

/// A question about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsCheck {
    #[schemars(length(min = 1, max = 253), example = "shop.example.com")]
    pub name: String,
    /// A by default.
    #[serde(default, rename = "type")]
    pub record: RecordType,
    /// The address of the resolver that is asked, `host` or `host:port`; the first of the system by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), example = "10.0.0.53")]
    pub resolver: Option<String>,
    /// Records that have to be among those found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub contains: Vec<String>,
    /// The records that have to be found, all of them and no others, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub equals: Vec<String>,
    /// The least number of records; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub at_least: Option<u16>,
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    #[default]
    A,
    Aaaa,
    Cname,
    Txt,
    Mx,
    Ns,
}

impl RecordType {
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Mx => "MX",
            Self::Ns => "NS",
        }
    }
}

/// A certificate, as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsCheck {
    #[schemars(length(min = 1, max = 300), example = "shop.example.com:443")]
    pub address: String,
    /// The name that the certificate has to be for; the host of the address by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// The least number of days for which it still has to be valid; 14 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3_650))]
    pub days_left: Option<u16>,
    /// The file of the certificate authority that is trusted, in the operator's `[checks] ca_dir`; the authorities of the system by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"), example = "shop-ca.pem")]
    pub ca_file: Option<String>,
}

impl TlsCheck {
    pub fn days_left(&self) -> u16 {
        self.days_left.unwrap_or(14)
    }
}

/// A command: exit code 0 is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    /// The command line, run by `sh -c` on the server's machine.
    #[schemars(length(min = 1, max = 4_000))]
    pub run: String,
}

/// What a check does, once it is known to do one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CheckKind<'a> {
    Http(&'a HttpCheck),
    Tcp(&'a TcpCheck),
    Dns(&'a DnsCheck),
    Tls(&'a TlsCheck),
    Command(&'a CommandCheck),
}

impl SyntheticCheck {
    /// The one thing that it does; nothing where a file names none or several, which [`SyntheticCheck::problems`] refuses.
    pub fn kind(&self) -> Option<CheckKind<'_>> {
        match (&self.http, &self.tcp, &self.dns, &self.tls, &self.command) {
            (Some(http), None, None, None, None) => Some(CheckKind::Http(http)),
            (None, Some(tcp), None, None, None) => Some(CheckKind::Tcp(tcp)),
            (None, None, Some(dns), None, None) => Some(CheckKind::Dns(dns)),
            (None, None, None, Some(tls), None) => Some(CheckKind::Tls(tls)),
            (None, None, None, None, Some(command)) => Some(CheckKind::Command(command)),
            _ => None,
        }
    }

    /// The time between two runs, where looks are this far apart.
    pub fn interval(&self, look: Span) -> Span {
        self.every.unwrap_or(look).max(look)
    }

    /// The time after which one try has failed.
    pub fn timeout(&self, look: Span) -> Span {
        self.timeout.unwrap_or_else(|| DEFAULT_TIMEOUT.min(self.interval(look)))
    }

    pub fn tries(&self) -> u8 {
        self.tries.unwrap_or(1).max(1)
    }

    /// What is wrong with it, where looks are this far apart.
    pub fn problems(&self, look: Span) -> Vec<PartProblem> {
        let mut found = self.problems_of_time(look);
        match self.kind() {
            None => found.push((
                String::new(),
                format!("the check `{}` needs one of `http`, `tcp`, `dns`, `tls` and `command`", self.name),
                None,
            )),
            Some(CheckKind::Http(http)) => found.extend(http.problems()),
            Some(CheckKind::Tcp(tcp)) => found.extend(address_problem("/tcp/address", &tcp.address)),
            Some(CheckKind::Tls(tls)) => found.extend(address_problem("/tls/address", &tls.address)),
            Some(CheckKind::Dns(dns)) => found.extend(dns.problems()),
            Some(CheckKind::Command(_)) => {}
        }
        found
    }

    fn problems_of_time(&self, look: Span) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        if let Some(every) = self.every.filter(|every| *every < look) {
            let help = Some("leave it out to run with each look, or look more often".to_owned());
            found.push((
                "/every".into(),
                format!("`{every}` is shorter than the time between two looks, `{look}`"),
                help,
            ));
        }
        if let Some(every) = self.every.filter(|every| *every > LONGEST_EVERY) {
            found.push(("/every".into(), format!("`{every}` is longer than `{LONGEST_EVERY}`, the most"), None));
        }
        let run = self.timeout(look).times(self.tries().into());
        let most = LONGEST_RUN.min(self.interval(look).max(DEFAULT_TIMEOUT));
        if self.timeout(look) == Span::ZERO || run > most {
            let at = if self.timeout.is_some() { "/timeout" } else { "/tries" };
            let message = match self.tries() {
                1 => format!("a run may take `{run}`"),
                tries => format!("a run may take `{run}`: {tries} tries of `{}`", self.timeout(look)),
            };
            found.push((at.into(), format!("{message}; a run takes more than nothing and at most `{most}`"), None));
        }
        found
    }
}

impl HttpCheck {
    /// The statuses that are good.
    pub fn good(&self) -> &[StatusRange] {
        if self.status.is_empty() { &[StatusRange::GOOD] } else { &self.status }
    }

    fn problems(&self) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        let is_name =
            |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        for (pointer, name) in
            self.headers.keys().map(|n| ("/http/headers", n)).chain(self.header.keys().map(|n| ("/http/header", n)))
        {
            if !is_name(name) {
                found.push((pointer.into(), format!("`{name}` is no name of a header"), None));
            }
        }
        let ours = ["host", "content-length", "connection", "transfer-encoding", "upgrade", "te", "trailer"];
        for name in self.headers.keys().filter(|name| ours.contains(&name.to_ascii_lowercase().as_str())) {
            let help = Some("it follows from the URL and the body".to_owned());
            found.push(("/http/headers".into(), format!("the header `{name}` can't be set"), help));
        }
        for (name, text) in &self.headers {
            if matches!(text, HeaderText::Plain(text) if text.chars().any(char::is_control)) {
                found.push(("/http/headers".into(), format!("the header `{name}` has a control character"), None));
            }
        }
        for pointer in self.json.keys().filter(|p| !p.is_empty() && !p.starts_with('/')) {
            let help = Some(format!("write `/{}`", pointer.trim_start_matches("$.").replace('.', "/")));
            found.push(("/http/json".into(), format!("`{pointer}` is no JSON pointer"), help));
        }
        for (field, count) in
            [("headers", self.headers.len()), ("json", self.json.len()), ("header", self.header.len())]
        {
            if count > MOST_PARTS {
                found.push((format!("/http/{field}"), format!("has more than {MOST_PARTS} of them"), None));
            }
        }
        if let Some(problem) = self.body_matches.as_deref().and_then(regex_problem) {
            found.push(("/http/body_matches".into(), problem, None));
        }
        let after_host = self.url.split_once("://").map_or("", |(_, rest)| rest);
        if after_host.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            let help = Some("send them in a header: `headers: {authorization: {env: NAME}}`".to_owned());
            found.push((
                "/http/url".into(),
                "a URL must not hold credentials: everybody can read a change".into(),
                help,
            ));
        }
        found
    }
}

impl DnsCheck {
    fn problems(&self) -> Vec<PartProblem> {
        let mut found: Vec<PartProblem> = Vec::new();
        let plain = self.name.replace("$cohort", "v");
        if !is_domain(&plain) {
            found.push(("/dns/name".into(), format!("`{}` is no name", self.name), None));
        }
        if !self.contains.is_empty() && !self.equals.is_empty() {
            let help = Some("`equals` says it all".to_owned());
            found.push(("/dns/contains".into(), "both `contains` and `equals` are given".into(), help));
        }
        if let Some(resolver) = &self.resolver
            && host_and_port(&resolver.replace("$cohort", "v"), Some(53)).is_none()
        {
            let help = Some("write for example `10.0.0.53` or `dns.internal:5353`".to_owned());
            found.push(("/dns/resolver".into(), format!("`{resolver}` is no address of a resolver"), help));
        }
        found
    }
}

/// What is wrong with a regular expression: the last line of what its parser says, which is the reason.
fn regex_problem(text: &str) -> Option<String> {
    let error = regex::Regex::new(text).err()?.to_string();
    let reason = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
    Some(format!("this is no regular expression: {reason}"))
}

fn address_problem(pointer: &str, address: &str) -> Option<PartProblem> {
    let help = || Some("write it as `host:port`".to_owned());
    match host_and_port(&address.replace("$cohort", "v"), None) {
        Some(_) => None,
        None => Some((pointer.to_owned(), format!("`{address}` is no address"), help())),
    }
}

/// The host and the port of `host:port`; an IPv6 address stands in brackets where a port follows.
pub fn host_and_port(text: &str, otherwise: Option<u16>) -> Option<(String, u16)> {
    let is_host = |host: &str| host.parse::<std::net::IpAddr>().is_ok() || is_domain(host);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        // Two colons without brackets: an IPv6 address and no port.
        None if text.matches(':').count() > 1 => (text, ""),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { otherwise? } else { port.parse().ok().filter(|p| *p > 0)? };
    is_host(host).then(|| (host.to_owned(), port))
}

/// Whether a text can be the name of a host: labels of letters, digits, hyphens and underscores, with or without the final dot.
pub fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label =
        |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let read = |text: &str| host_and_port(text, None).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(read("shop.internal:443").as_deref(), Some("shop.internal 443"));
        assert_eq!(read("[::1]:443").as_deref(), Some("::1 443"));
        for bad in [
            "shop",
            "shop:",
            "shop:0",
            "shop:x",
            "shop:70000",
            ":443",
            "::1",
            "[::1]",
            "[shop]:1",
            "a b:1",
            "a/b:1",
            "u@h:1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(host_and_port("::1", Some(53)), Some(("::1".into(), 53)));
        assert_eq!(host_and_port("[::1]", Some(53)), Some(("::1".into(), 53)));
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let range: StatusRange = "200-299".parse().expect("a range");
        assert!(range.contains(204) && !range.contains(300));
        assert_eq!(serde_json::from_str::<StatusRange>("404").map(|s| s.to_string()).ok().as_deref(), Some("404"));
        for bad in ["\"x\"", "\"300-200\"", "99", "600", "20.5", "true"] {
            assert!(serde_json::from_str::<StatusRange>(bad).is_err(), "{bad}");
        }
    }
}
