//! Pool: which connection to a version carries the next request?
//!
//! Connections are reused last in, first out, so that surplus ones grow old and are closed. A connection comes back only when its answer was read to the end. The pool opens a connection when none is idle; it never decides whether to send again.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::proxy::Upload;
use crate::table::Table;

/// Just under the shortest idle limit in common use (Node.js closes after 5 s), so that we close first and no request meets a closing connection.
const IDLE: Duration = Duration::from_secs(4);

/// Idle connections kept per version; more are closed at once.
const KEPT: usize = 512;

#[derive(Debug)]
pub(crate) struct Pool {
    address: String,
    patience: Duration,
    idle: Mutex<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Upload>,
    since: Instant,
}

/// A connection for one request.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) sender: SendRequest<Upload>,
    pub(crate) age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    Idle(Duration),
}

impl Pool {
    pub(crate) fn new(address: String, patience: Duration) -> Pool {
        Pool { address, patience, idle: Mutex::default() }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn lend(&self) -> io::Result<Lent> {
        match self.reuse() {
            Some(lent) => Ok(lent),
            None => self.connect().await,
        }
    }

    fn reuse(&self) -> Option<Lent> {
        let mut idle = self.lock();
        while let Some(Idle { sender, since }) = idle.pop_back() {
            let rest = since.elapsed();
            if sender.is_ready() && rest < IDLE {
                return Some(Lent { sender, age: Age::Idle(rest) });
            }
        }
        None
    }

    pub(crate) async fn connect(&self) -> io::Result<Lent> {
        let opened = tokio::time::timeout(self.patience, TcpStream::connect(&self.address)).await;
        let stream = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Ends when the version or the sender does. Its errors reach the request that it carries.
            let _ = connection.await;
        });
        Ok(Lent { sender, age: Age::Fresh })
    }

    /// Takes back a connection whose answer was read to the end. The connection's own task may still have to notice that; until then it is not lent.
    pub(crate) fn take_back(self: &Arc<Pool>, mut sender: SendRequest<Upload>) {
        if sender.is_ready() {
            return self.keep(sender);
        }
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.keep(sender);
            }
        });
    }

    fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = self.lock();
        if idle.len() < KEPT {
            idle.push_back(Idle { sender, since: Instant::now() });
        }
    }

    fn close_old(&self) {
        self.lock().retain(|idle| idle.since.elapsed() < IDLE && !idle.sender.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that nobody has needed for a while, until `stopped`.
pub(crate) async fn tend(table: &Table, mut stopped: watch::Receiver<()>) {
    while tokio::time::timeout(IDLE / 2, stopped.changed()).await.is_err() {
        table.pools().for_each(Pool::close_old);
    }
}
