//! TCP: a connection is taken, and what is sent has its answer.

use change::verification::synthetic::{TcpCheck, host_and_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{Dialer, in_words};
use super::{Miss, failed, not_run, scrap};

/// The most of an answer that is read.
const MOST_BYTES: usize = 1 << 20;

pub(super) async fn probe(check: &TcpCheck, cohort: &str, dialer: &Dialer<'_>) -> Result<(), Miss> {
    let (host, port) = address(&check.address, cohort)?;
    let mut stream = dialer.connect(&host, port).await?;
    if let Some(send) = &check.send {
        let sent = stream.write_all(send.replace("$cohort", cohort).as_bytes()).await;
        sent.map_err(|error| Miss::Failed(format!("nothing could be sent: {}", in_words(&error))))?;
    }
    let Some(expect) = &check.expect else { return Ok(()) };
    let mut received = Vec::new();
    let mut chunk = [0; 8 << 10];
    loop {
        if contains(&received, expect.as_bytes()) {
            return Ok(());
        }
        let count = stream.read(&mut chunk).await;
        match count.map_err(|error| Miss::Failed(format!("the exchange broke off: {}", in_words(&error))))? {
            0 => return failed(format!("`{expect}` did not come back, but {}", scrap::of(&received))),
            count => received.extend_from_slice(&chunk[..count]),
        }
        if received.len() > MOST_BYTES {
            return failed(format!("`{expect}` did not come back in the first {MOST_BYTES} bytes"));
        }
    }
}

/// Where a check goes for one version.
pub(super) fn address(text: &str, cohort: &str) -> Result<(String, u16), Miss> {
    let text = text.replace("$cohort", cohort);
    host_and_port(&text, None).map_or_else(|| not_run(format!("`{text}` is no address; write it as `host:port`")), Ok)
}

pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
