//! The parts of the router bench that are processes of their own: the upstream, our router, HAProxy.
//!
//! Ours are this program again, told by its first argument which part to play; it says where it listens on its standard output, and ends when its
//! standard input does, so that none is left behind however the bench ends. HAProxy is killed when its [`Proxy`] is dropped.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// What the first argument of a process of ours is.
pub(crate) const UPSTREAM: &str = "--part=upstream";
pub(crate) const ROUTER: &str = "--part=router";

/// The two versions share the requests 95 to 5.
const WEIGHTS: [u32; 2] = [95, 5];

/// How long HAProxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(5);

const ANSWER: [u8; 100] = [b'x'; 100];

/// A process that listens; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub addresses: Vec<SocketAddr>,
    _child: Child,
    _files: Option<TempDir>,
}

/// Two addresses of one tiny server that answers 200 with 100 bytes.
pub(crate) async fn upstream() -> Result<Proxy> {
    part(UPSTREAM, &[]).await
}

/// Our router before both addresses of the upstream.
pub(crate) async fn ours(upstream: &Proxy) -> Result<Proxy> {
    part(ROUTER, &upstream.addresses).await
}

async fn part(name: &str, args: &[SocketAddr]) -> Result<Proxy> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(name)
        .args(args.iter().map(ToString::to_string))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = child.stdout.take().context("the part has no output")?;
    let line = BufReader::new(said).lines().next_line().await?.with_context(|| format!("`{name}` has ended"))?;
    let addresses = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    Ok(Proxy { addresses, _child: child, _files: None })
}

/// HAProxy before the same addresses, if it is installed: the same split, the same headers added, all else as it comes.
pub(crate) async fn haproxy(upstream: &Proxy) -> Result<Option<Proxy>> {
    let Some(program) = find_haproxy().await else { return Ok(None) };
    let files = tempfile::tempdir()?;
    let address = free_address()?;
    let config = files.path().join("haproxy.cfg");
    std::fs::write(&config, haproxy_config(address, &upstream.addresses))?;
    let mut child = Command::new(program)
        .args(["-db", "-f"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let begun = std::time::Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
            child.start_kill().ok();
            let said = child.wait_with_output().await?;
            bail!("haproxy does not listen: {}", String::from_utf8_lossy(&said.stderr));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(Some(Proxy { addresses: vec![address], _child: child, _files: Some(files) }))
}

/// Debian has it in a folder that is not on everyone's path.
async fn find_haproxy() -> Option<&'static str> {
    for program in ["haproxy", "/usr/sbin/haproxy"] {
        let asked = Command::new(program).arg("-v").stdin(Stdio::null()).output().await;
        if asked.is_ok_and(|said| said.status.success()) {
            return Some(program);
        }
    }
    None
}

/// HAProxy can't be asked which port it took; one that was free a moment ago will do.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn haproxy_config(listen: SocketAddr, upstream: &[SocketAddr]) -> String {
    let server = |(number, (address, weight)): (usize, (&SocketAddr, u32))| {
        format!("  server v{} {address} weight {weight}\n", number + 1)
    };
    let servers: String = upstream.iter().zip(WEIGHTS).enumerate().map(server).collect();
    format!(
        "global
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 30s
  option forwardfor
frontend shop
  bind {listen}
  default_backend shop
backend shop
  balance roundrobin
  http-reuse always
  http-response set-header x-clearway-version %s
{servers}"
    )
}

// ------------------------------------------------------------------------------------------------------------------------------- in the child process

/// Plays a part until the standard input ends.
pub(crate) fn play(part: &str, args: &[String]) -> Result<()> {
    crate::runtime()?.block_on(async {
        match part {
            UPSTREAM => play_upstream().await,
            ROUTER => play_router(args).await,
            _ => bail!("there is no part `{part}`"),
        }
    })
}

async fn input_ends() {
    let mut read = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut read).await;
}

async fn play_router(versions: &[String]) -> Result<()> {
    let version = |(number, (address, weight)): (usize, (&String, u32))| router::Version {
        name: format!("v{}", number + 1),
        address: address.clone(),
        weight: weight * 100,
    };
    let versions = versions.iter().zip(WEIGHTS).enumerate().map(version).collect();
    let backend = router::Backend { name: "shop".into(), versions, route: router::Route::default() };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let router = router::bind(router::Config::new(any, any, vec![backend])).await?;
    println!("{}", router.addresses().listen);
    router.run(input_ends()).await;
    Ok(())
}

async fn play_upstream() -> Result<()> {
    let listeners =
        [TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?];
    println!("{} {}", listeners[0].local_addr()?, listeners[1].local_addr()?);
    for listener in listeners {
        tokio::spawn(answer_all(listener));
    }
    input_ends().await;
    Ok(())
}

async fn answer_all(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service =
            service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&ANSWER)))) });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
