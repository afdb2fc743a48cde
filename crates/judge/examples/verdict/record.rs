//! Record: identical servers under real load on this machine, second by second.
//!
//! Each server is a process of its own that hashes a buffer of random size and now and then refuses; each has its own clients with their own whims. What is
//! measured is real: time on the wire as the client saw it, processor time and memory as the kernel counts them. A server ends when its standard input
//! does, so none is left behind. Next room: [`traces`](crate::traces).

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use rand_distr::{Distribution as _, Exp1, StandardNormal};

use crate::ticks::Side;
use crate::traces::{HEAD, write_rows};
use crate::traffic::Edges;

/// The hidden option that makes this program a server.
pub(crate) const SERVE: &str = "--serve";

const SERVERS: usize = 6;
const CLIENTS_OF_EACH: usize = 4;
/// Seconds before the rollout, and of it. A look a second: an hour of looks in six minutes.
const BEFORE_S: usize = 180;
const DURING_S: usize = 360;
const MEAN_PAUSE_MS: f64 = 40.0;
/// The share of requests that a server refuses.
const REFUSED: f64 = 0.005;

/// Serves until standard input ends.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // a client that goes away is no trouble
            std::thread::spawn(move || answer_all(stream));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer_all(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            writer.write_all(answer().as_bytes())?;
        }
    }
}

fn answer() -> String {
    let mut random = rand::rng();
    let size: f64 = StandardNormal.sample(&mut random);
    let buffer: Vec<u64> = (0..(30_000.0 * size.exp()) as u64).collect();
    let hash = buffer.iter().fold(0u64, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
    let status = if random.random_bool(REFUSED) { "503 Service Unavailable" } else { "200 OK" };
    let body = format!("{hash:016x}");
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One server that ends with this value.
struct Server {
    child: Child,
    port: u16,
    seen: Mutex<Side>,
}

impl Server {
    fn start(buckets: usize) -> Result<Server> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a server did not start")?;
        let mut port = String::new();
        let output = child.stdout.take().context("a server has no output")?;
        BufReader::new(output).read_line(&mut port)?;
        let seen = Side { buckets: vec![0; buckets], ..Side::default() };
        Ok(Server { port: port.trim().parse()?, child, seen: Mutex::new(seen) })
    }

    /// Nanoseconds of processor time so far, over all its threads.
    fn processor_ns(&self) -> Result<f64> {
        let mut sum = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += times.split_whitespace().next().context("the kernel counts no time")?.parse::<f64>()?;
        }
        Ok(sum)
    }

    fn memory_pages(&self) -> Result<f64> {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        Ok(pages.split_whitespace().nth(1).context("the kernel counts no pages")?.parse()?)
    }

    /// What came since the last time it was asked.
    fn take(&self) -> Side {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let empty = Side { buckets: vec![0; seen.buckets.len()], ..Side::default() };
        std::mem::replace(&mut seen, empty)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // it has ended by itself, or can't be waited for: either way nothing is left to do
        let _ = self.child.wait();
    }
}

/// Records every ordered pair of the servers into a folder.
pub(crate) fn record(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let edges = finer_edges();
    let servers = (0..SERVERS).map(|_| Server::start(edges.len() + 1)).collect::<Result<Vec<_>>>()?;
    let is_over = AtomicBool::new(false);
    let seconds = std::thread::scope(|scope| {
        for server in &servers {
            for _ in 0..CLIENTS_OF_EACH {
                scope.spawn(|| ask(server, &edges, &is_over));
            }
        }
        let seconds = watch(&servers);
        is_over.store(true, Ordering::Relaxed);
        seconds
    })?;
    for (b, baseline) in seconds.iter().enumerate() {
        for (c, canary) in seconds.iter().enumerate().filter(|(c, _)| *c != b) {
            let part = |from: usize, to: usize| {
                let mut text = HEAD.to_owned();
                for second in from..to {
                    write_rows(&mut text, (second - from) as f64, "baseline", &baseline[second], &edges);
                    write_rows(&mut text, (second - from) as f64, "canary", &canary[second], &edges);
                }
                text
            };
            fs::write(folder.join(format!("server-{b}-and-{c}.before.csv")), part(0, BEFORE_S))?;
            fs::write(folder.join(format!("server-{b}-and-{c}.csv")), part(BEFORE_S, BEFORE_S + DURING_S))?;
        }
    }
    Ok(())
}

/// From 0.1 to 25.6 ms: a request takes about a tenth of a millisecond.
fn finer_edges() -> Vec<f64> {
    Edges::Fine.milliseconds().iter().map(|ms| ms / 100.0).collect()
}

/// One side a second for each server.
fn watch(servers: &[Server]) -> Result<Vec<Vec<Side>>> {
    let mut seconds = vec![Vec::with_capacity(BEFORE_S + DURING_S); servers.len()];
    let mut spent = servers.iter().map(Server::processor_ns).collect::<Result<Vec<f64>>>()?;
    let mut next = Instant::now();
    for _ in 0..BEFORE_S + DURING_S {
        next += Duration::from_secs(1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        for ((server, seconds), spent) in servers.iter().zip(&mut seconds).zip(&mut spent) {
            let now = server.processor_ns()?;
            seconds.push(Side { gauges: [(now - *spent) / 1e9, server.memory_pages()?], ..server.take() });
            *spent = now;
        }
    }
    Ok(seconds)
}

/// One client: asks, waits for the answer, thinks for a while.
fn ask(server: &Server, edges: &[f64], is_over: &AtomicBool) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    let mut random = rand::rng();
    while !is_over.load(Ordering::Relaxed) {
        let pause: f64 = Exp1.sample(&mut random);
        std::thread::sleep(Duration::from_secs_f64(pause * MEAN_PAUSE_MS / 1e3));
        let start = Instant::now();
        writer.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")?;
        let is_refused = read_answer(&mut reader)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let mut seen = server.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.requests += 1;
        seen.errors += u64::from(is_refused);
        seen.buckets[edges.partition_point(|edge| *edge < ms)] += 1;
    }
    Ok(())
}

/// Whether it was refused.
fn read_answer(reader: &mut BufReader<TcpStream>) -> Result<bool> {
    let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut status)?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    Ok(status.contains(" 503 "))
}
