//! Config: what the router is asked to be.
//!
//! Plain values that deserialise from TOML or JSON, and one check that refuses what could not work. Nothing here opens a port or a file. Next room: `table`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::http::uri::Authority;
use serde::Deserialize;

/// A weight is a share in basis points: 10,000 is all of the traffic, as long as the weights of a backend sum to that.
pub const MAX_WEIGHT: u32 = 10_000;

/// hyper refuses to read headers into less.
const LEAST_HEADER_BYTES: usize = 8_192;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For traffic; port 0 takes a free one.
    pub listen: SocketAddr,
    /// For weights, metrics and health; port 0 takes a free one.
    pub admin: SocketAddr,
    pub backends: Vec<Backend>,
    /// Asked of every `PUT` on the admin listener as `Authorization: Bearer ...`.
    #[serde(default)]
    pub admin_token: Option<AdminToken>,
    /// Where weights survive a restart. Without it a restart goes back to the weights written here.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
    /// How long a version may take to open a connection before the request is answered with 502.
    #[serde(default = "defaults::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long a version may take to begin its answer, from the last byte of the request that it accepted, before the request is answered with 504.
    #[serde(default = "defaults::upstream_timeout_ms")]
    pub upstream_timeout_ms: u64,
    /// Longest request body; more is answered with 413.
    #[serde(default = "defaults::max_body_bytes")]
    pub max_body_bytes: u64,
    /// Longest head of a request, at least 8,192; more is answered with 431.
    #[serde(default = "defaults::max_header_bytes")]
    pub max_header_bytes: usize,
    /// Most connections of clients per listener; more wait in the kernel's queue.
    #[serde(default = "defaults::max_connections")]
    pub max_connections: usize,
    /// How long requests in flight may go on after a shutdown was asked for.
    #[serde(default = "defaults::drain_ms")]
    pub drain_ms: u64,
    /// Whether answers carry `x-clearway-version: <version>`.
    #[serde(default = "defaults::version_header")]
    pub version_header: bool,
}

/// A service behind the router: one or more versions that share its requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub name: String,
    pub versions: Vec<Version>,
    /// Which requests belong to it; by default all.
    #[serde(default)]
    pub route: Route,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    pub name: String,
    /// `host:port`; a name is resolved at each new connection.
    pub address: String,
    /// 0..=[`MAX_WEIGHT`].
    pub weight: u32,
}

/// A request matches if every part that is given matches. A host beats none, then the longer prefix wins.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Compared without port and regardless of case.
    #[serde(default)]
    pub host: Option<String>,
    /// Whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    #[serde(default)]
    pub path_prefix: Option<String>,
}

impl Route {
    pub(crate) fn matches(&self, host: &str, path: &str) -> bool {
        self.host.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
            && self.path_prefix.as_deref().is_none_or(|prefix| is_under(prefix, path))
    }

    /// Sorts the most specific route first.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let prefix = self.path_prefix.as_deref().map_or(0, |prefix| prefix.trim_end_matches('/').len());
        std::cmp::Reverse((self.host.is_some(), prefix))
    }

    fn canonical(&self) -> (Option<String>, String) {
        let prefix = self.path_prefix.as_deref().unwrap_or("/").trim_end_matches('/');
        (self.host.as_deref().map(str::to_ascii_lowercase), prefix.to_owned())
    }
}

fn is_under(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The secret of the admin listener; its `Debug` does not show it.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct AdminToken(pub String);

impl AdminToken {
    /// Compares in a time that depends on the length of `given` only.
    pub(crate) fn is(&self, given: &str) -> bool {
        let own = self.0.as_bytes();
        let differing = given.bytes().enumerate().fold(0u8, |seen, (at, byte)| seen | (byte ^ own[at % own.len()]));
        differing == 0 && own.len() == given.len()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// Why a configuration cannot work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the router has no backend; name at least one")]
    NoBackend,
    #[error("`{0}` is not a name; use 1 to 100 letters, digits, `-`, `_` or `.`")]
    BadName(String),
    #[error("two backends are named `{0}`")]
    TwoBackends(String),
    #[error("backends `{0}` and `{1}` have the same route; give one of them another host or path prefix")]
    TwoRoutes(String, String),
    #[error("backend `{backend}` has two versions named `{version}`")]
    TwoVersions { backend: String, version: String },
    #[error("the weight of `{backend}/{version}` is `{weight}`; a weight is 0 to 10000 basis points")]
    Weight { backend: String, version: String, weight: u32 },
    #[error("the weights of `{0}` sum to zero; give at least one of its versions a share")]
    NoWeight(String),
    #[error("the address of `{backend}/{version}` is `{address}`; write it as `host:port`")]
    Address { backend: String, version: String, address: String },
    #[error("the path prefix `{0}` does not begin with `/`")]
    Prefix(String),
    #[error("`{field}` is `{value}`; it is at least `{least}`")]
    TooSmall { field: &'static str, value: u64, least: u64 },
    #[error("`admin_token` is empty; leave it out to ask for none")]
    EmptyToken,
}

impl Config {
    /// A router with the default limits.
    pub fn new(listen: SocketAddr, admin: SocketAddr, backends: Vec<Backend>) -> Config {
        Config {
            listen,
            admin,
            backends,
            admin_token: None,
            state_file: None,
            connect_timeout_ms: defaults::connect_timeout_ms(),
            upstream_timeout_ms: defaults::upstream_timeout_ms(),
            max_body_bytes: defaults::max_body_bytes(),
            max_header_bytes: defaults::max_header_bytes(),
            max_connections: defaults::max_connections(),
            drain_ms: defaults::drain_ms(),
            version_header: defaults::version_header(),
        }
    }

    /// Refuses what could not work; [`bind`](crate::bind) asks it first.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.backends.is_empty() {
            return Err(ConfigError::NoBackend);
        }
        if self.admin_token.as_ref().is_some_and(|token| token.0.is_empty()) {
            return Err(ConfigError::EmptyToken);
        }
        at_least("connect_timeout_ms", self.connect_timeout_ms, 1)?;
        at_least("upstream_timeout_ms", self.upstream_timeout_ms, 1)?;
        at_least("max_connections", self.max_connections as u64, 1)?;
        at_least("max_header_bytes", self.max_header_bytes as u64, LEAST_HEADER_BYTES as u64)?;
        self.backends.iter().try_for_each(Backend::check)?;
        self.check_distinct()
    }

    fn check_distinct(&self) -> Result<(), ConfigError> {
        for (at, backend) in self.backends.iter().enumerate() {
            for earlier in &self.backends[..at] {
                if earlier.name == backend.name {
                    return Err(ConfigError::TwoBackends(backend.name.clone()));
                }
                if earlier.route.canonical() == backend.route.canonical() {
                    return Err(ConfigError::TwoRoutes(earlier.name.clone(), backend.name.clone()));
                }
            }
        }
        Ok(())
    }
}

impl Backend {
    fn check(&self) -> Result<(), ConfigError> {
        check_name(&self.name)?;
        if let Some(prefix) = self.route.path_prefix.as_deref().filter(|prefix| !prefix.starts_with('/')) {
            return Err(ConfigError::Prefix(prefix.to_owned()));
        }
        let mut seen = BTreeSet::new();
        for version in &self.versions {
            version.check(&self.name)?;
            if !seen.insert(&version.name) {
                return Err(ConfigError::TwoVersions { backend: self.name.clone(), version: version.name.clone() });
            }
        }
        match self.versions.iter().any(|version| version.weight > 0) {
            true => Ok(()),
            false => Err(ConfigError::NoWeight(self.name.clone())),
        }
    }
}

impl Version {
    fn check(&self, backend: &str) -> Result<(), ConfigError> {
        check_name(&self.name)?;
        let (backend, version) = (backend.to_owned(), self.name.clone());
        if self.weight > MAX_WEIGHT {
            return Err(ConfigError::Weight { backend, version, weight: self.weight });
        }
        match self.address.parse::<Authority>() {
            Ok(authority) if authority.port_u16().is_some() && !self.address.contains('@') => Ok(()),
            _ => Err(ConfigError::Address { backend, version, address: self.address.clone() }),
        }
    }
}

/// Names appear in paths, headers and labels, so they are kept to characters that need no escape in any of them.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=100).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(ConfigError::BadName(name.to_owned())),
    }
}

fn at_least(field: &'static str, value: u64, least: u64) -> Result<(), ConfigError> {
    if value < least { Err(ConfigError::TooSmall { field, value, least }) } else { Ok(()) }
}

mod defaults {
    pub(super) fn connect_timeout_ms() -> u64 {
        2_000
    }
    pub(super) fn upstream_timeout_ms() -> u64 {
        30_000
    }
    pub(super) fn max_body_bytes() -> u64 {
        64 << 20
    }
    pub(super) fn max_header_bytes() -> usize {
        32 << 10
    }
    pub(super) fn max_connections() -> usize {
        4_096
    }
    pub(super) fn drain_ms() -> u64 {
        30_000
    }
    pub(super) fn version_header() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(backends: &serde_json::Value) -> Result<(), String> {
        let config = serde_json::json!({"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "backends": backends});
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_that_could_not_work_is_refused_with_the_reason() {
        let version = |name: &str, address: &str, weight: u32| serde_json::json!({"name": name, "address": address, "weight": weight});
        let shop = |versions: serde_json::Value| serde_json::json!([{"name": "shop", "versions": versions}]);
        let cases = [
            (serde_json::json!([]), "the router has no backend; name at least one"),
            (
                shop(serde_json::json!([])),
                "the weights of `shop` sum to zero; give at least one of its versions a share",
            ),
            (
                shop(serde_json::json!([version("v 1", "a:1", 1)])),
                "`v 1` is not a name; use 1 to 100 letters, digits, `-`, `_` or `.`",
            ),
            (
                shop(serde_json::json!([version("v1", "a:1", 10_001)])),
                "the weight of `shop/v1` is `10001`; a weight is 0 to 10000 basis points",
            ),
            (
                shop(serde_json::json!([version("v1", "a", 1)])),
                "the address of `shop/v1` is `a`; write it as `host:port`",
            ),
            (
                shop(serde_json::json!([version("v1", "a:1", 1), version("v1", "b:1", 1)])),
                "backend `shop` has two versions named `v1`",
            ),
            (
                serde_json::json!([
                    {"name": "a", "versions": [version("v1", "a:1", 1)], "route": {"host": "A.example", "path_prefix": "/x"}},
                    {"name": "b", "versions": [version("v1", "b:1", 1)], "route": {"host": "a.example", "path_prefix": "/x/"}},
                ]),
                "backends `a` and `b` have the same route; give one of them another host or path prefix",
            ),
            (
                serde_json::json!([{"name": "a", "versions": [version("v1", "a:1", 1)], "route": {"path_prefix": "x"}}]),
                "the path prefix `x` does not begin with `/`",
            ),
        ];
        for (backends, reason) in cases {
            assert_eq!(given(&backends), Err(reason.to_owned()));
        }
        assert_eq!(
            given(&shop(serde_json::json!([version("v1", "[::1]:80", 1), version("v2", "b.local:80", 0)]))),
            Ok(())
        );
    }

    #[test]
    fn an_unknown_field_is_not_read_over() {
        let typo = serde_json::json!([{"name": "shop", "versions": [], "rout": {}}]);
        assert!(given(&typo).unwrap_err().contains("unknown field `rout`"));
    }

    #[test]
    fn a_route_matches_whole_segments_and_any_case_of_the_host() {
        let route = Route { host: Some("Shop.example".into()), path_prefix: Some("/api/".into()) };
        assert!(route.matches("shop.EXAMPLE", "/api"));
        assert!(route.matches("shop.example", "/api/x"));
        assert!(!route.matches("shop.example", "/apix"));
        assert!(!route.matches("other.example", "/api"));
        assert!(Route::default().matches("", "*"));
    }

    #[test]
    fn a_token_is_compared_whole_and_never_shown() {
        let token = AdminToken("abc".into());
        assert!(token.is("abc"));
        assert!(!token.is("ab") && !token.is("") && !token.is("abcabc") && !token.is("abd"));
        assert_eq!(format!("{token:?}"), "AdminToken(..)");
    }
}
