//! The embedded data plane: which version answers the next request?
//!
//! A small weighted HTTP/1.1 reverse proxy. It shares the requests of each backend among that backend's versions, forwards them, counts what became of them per version, and lets an admin listener change the weights while traffic flows.
//! It knows nothing of changes, plans or verdicts and depends on no other crate of the workspace. It never hides a fault: a request that was given to a version is answered by that version or counted against it.
//!
//! Reading order: [`config`] (what is asked for), `split` (the next version), `ledger` (which weights are in force, and why a wish is refused), `table` (the two together at run time), `metrics`, `pool` and `proxy` (the way of a request), `admin` (the way of a weight), `state_file`, `listen`.

pub mod config;

mod split;

mod ledger;

mod table;

mod metrics;

mod pool;

mod proxy;

mod admin;

mod state_file;

mod listen;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use config::{AdminToken, Backend, Config, ConfigError, Route, Version};
pub use state_file::StateError;

use crate::admin::Admin;
use crate::listen::Listener;
use crate::proxy::Ingress;
use crate::table::Table;

/// Why a router could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot listen on `{address}`")]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// Where a bound router can be reached; ports that were asked for as 0 are real here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For traffic.
    pub listen: SocketAddr,
    /// For weights, metrics and health.
    pub admin: SocketAddr,
}

/// A router that holds its two ports and is ready to run.
#[derive(Debug)]
pub struct Router {
    addresses: Addresses,
    traffic: TcpListener,
    control: TcpListener,
    table: Arc<Table>,
    admin: Arc<Admin>,
    limits: listen::Limits,
}

/// Binds and runs a router until `shutdown` resolves.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    bind(config).await?.run(shutdown).await;
    Ok(())
}

/// Checks `config`, restores the weights of its state file if it names one, and takes both ports.
pub async fn bind(config: Config) -> Result<Router, Error> {
    config.check()?;
    let saved = config.state_file.as_deref().map(state_file::read).transpose()?.flatten();
    let (table, ledgers) = Table::new(&config, saved.as_ref());
    let (traffic, listen) = take_port(config.listen).await?;
    let (control, admin) = take_port(config.admin).await?;
    let table = Arc::new(table);
    Ok(Router {
        addresses: Addresses { listen, admin },
        traffic,
        control,
        admin: Arc::new(Admin::new(Arc::clone(&table), ledgers, config.admin_token, config.state_file)),
        table,
        limits: listen::Limits {
            connections: config.max_connections,
            header_bytes: config.max_header_bytes,
            drain: Duration::from_millis(config.drain_ms),
        },
    })
}

async fn take_port(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let fault = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, bound))
}

impl Router {
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` resolves, then takes no more connections, lets requests in flight finish for at most `drain_ms`, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(());
        let table = Arc::clone(&self.table);
        let traffic = Listener::new(self.traffic, self.limits).serve(stopped.clone(), move |peer| {
            let ingress = Arc::new(Ingress::new(Arc::clone(&table), peer));
            service_fn(move |request| {
                let ingress = Arc::clone(&ingress);
                async move { Ok(ingress.answer(request).await) }
            })
        });
        let admin = self.admin;
        let control = Listener::new(self.control, self.limits).serve(stopped.clone(), move |_| {
            let admin = Arc::clone(&admin);
            service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok(admin.answer(request).await) }
            })
        });
        let order = async move {
            shutdown.await;
            drop(stop);
        };
        tokio::join!(traffic, control, pool::tend(&self.table, stopped), order);
    }
}
