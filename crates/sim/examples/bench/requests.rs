//! Requests: the same closed-loop load for everyone that is measured.
//!
//! Each connection sends its next request when it has the whole answer to the last. An answer other than 200 ends the bench: a fast failure is no speed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Sends over `connections` for some time; returns how long each request took, from its first byte to the end of its answer.
pub(crate) async fn send(address: SocketAddr, connections: usize, time: Duration) -> Result<Vec<Duration>> {
    let mut under_way = JoinSet::new();
    for _ in 0..connections {
        let sender = connect(address).await?;
        under_way.spawn(send_over(sender, Instant::now() + time));
    }
    let mut times = Vec::new();
    while let Some(done) = under_way.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Ends with its sender; its errors reach the request that it carries.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn send_over(mut sender: SendRequest<Empty<Bytes>>, end: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    loop {
        sender.ready().await?;
        let begun = Instant::now();
        if begun >= end {
            return Ok(times);
        }
        let mut request = Request::new(Empty::new());
        request.headers_mut().insert(HOST, HeaderValue::from_static("shop.test"));
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == StatusCode::OK, "an answer was `{}`", answer.status());
        answer.into_body().collect().await?;
        times.push(begun.elapsed());
    }
}
