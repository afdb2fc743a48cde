//! Dial: a name becomes an address, the address is checked, and that address is connected to.
//!
//! A name is resolved once for each connection, and what was resolved is what is checked and used: a second answer of another resolver (DNS rebinding)
//! has no way in. Next: the files of the kinds, which get a stream and nothing else.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::net::TcpStream;

use super::{CheckSettings, Miss};

/// How names become addresses.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Connects to what may be connected to, for one try.
#[derive(Debug)]
pub(super) struct Dialer<'a> {
    settings: &'a CheckSettings,
    resolving: AtomicBool,
}

impl<'a> Dialer<'a> {
    pub(super) fn new(settings: &'a CheckSettings) -> Self {
        Self { settings, resolving: AtomicBool::new(false) }
    }

    /// Whether a name is being resolved just now.
    pub(super) fn is_resolving(&self) -> bool {
        self.resolving.load(Ordering::Relaxed)
    }

    /// Waits for a resolver of our own: if time runs out meanwhile, nothing is known of what is checked.
    pub(super) async fn resolving<T>(&self, lookup: impl Future<Output = T>) -> T {
        self.resolving.store(true, Ordering::Relaxed);
        let found = lookup.await;
        self.resolving.store(false, Ordering::Relaxed);
        found
    }

    /// Whether a name may be asked about.
    pub(super) fn may_ask(&self, host: &str, port: u16) -> Result<(), Miss> {
        self.settings.allow.host(host, port).map_err(|refused| Miss::NotRun(refused.to_string()))
    }

    /// The addresses of a host that may be connected to; at least one.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Miss> {
        self.may_ask(host, port)?;
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolve(host).await?,
        };
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.settings.allow.address(host, port, address) {
                Ok(()) => allowed.push(SocketAddr::new(address, port)),
                Err(why) => refused = Some(why.to_string()),
            }
        }
        match refused {
            Some(why) if allowed.is_empty() => Err(Miss::NotRun(why)),
            None if allowed.is_empty() => Err(Miss::NotRun(format!("the name `{host}` has no address"))),
            _ => Ok(allowed),
        }
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Miss> {
        let found = self.resolving(self.settings.resolver.lookup(host)).await;
        found.map_err(|error| Miss::NotRun(format!("the name `{host}` could not be resolved: {error}")))
    }

    /// A connection to the first address that takes one.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Miss> {
        let mut last = Miss::NotRun(format!("the name `{host}` has no address"));
        for address in self.addresses(host, port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Miss::Failed(format!("no connection to `{address}`: {}", in_words(&error))),
            }
        }
        Err(last)
    }
}

/// What went wrong with a stream, without the number of the system's error.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => "the connection broke off".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        io::ErrorKind::TimedOut => "no answer".into(),
        _ => error.to_string(),
    }
}
