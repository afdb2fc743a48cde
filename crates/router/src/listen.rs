//! Listen: how does a connection become requests, and how does a listener end?
//!
//! One accept loop for both ports. Connections are bounded; a shutdown closes the port at once and lets requests in flight finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A connection that begins no request for this long is closed. Longer than the 60 s for which common load balancers keep theirs, so that the end that opened a connection is the one to close it.
const SILENCE: Duration = Duration::from_secs(75);

/// When the process has no file left, accepting again at once would only burn the processor.
const AFTER_A_FAULT: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) header_bytes: usize,
    pub(crate) drain: Duration,
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limits: Limits,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener, limits: Limits) -> Listener {
        Listener { socket, limits }
    }

    /// Serves each connection with a service of its own until `stopped`, then drains.
    pub(crate) async fn serve<S, B>(self, mut stopped: watch::Receiver<()>, service: impl Fn(SocketAddr) -> S)
    where
        S: HttpService<Incoming, ResBody = B, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_header_size(self.limits.header_bytes);
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let (end, ended) = watch::channel(());
        loop {
            let (stream, peer, place) = tokio::select! {
                accepted = accept(&self.socket, &room) => accepted,
                _ = stopped.changed() => break,
            };
            let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service(peer)));
            let mut ended = ended.clone();
            tokio::spawn(async move {
                // A client that breaks off is no news; what became of its request is in the metrics.
                tokio::select! {
                    _ = connection => {}
                    _ = ended.changed() => {}
                }
                drop(place);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(self.limits.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                drain_ms = self.limits.drain.as_millis(),
                "requests in flight were cut off at the end of the drain"
            );
        }
        drop(end);
    }
}

async fn accept(socket: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(AFTER_A_FAULT).await;
            }
        }
    }
}
