//! DNS: a name has the records that it should have.
//!
//! Asks one resolver itself, over UDP and, where an answer does not fit, over TCP: the system's own calls know addresses only. The messages are those of
//! RFC 1035, read with every length checked and no pointer followed forwards. A resolver that the check names is what is checked, so its silence is a
//! failure; the silence of the system's resolver says nothing of the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use change::verification::synthetic::{DnsCheck, RecordType, host_and_port, is_domain};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::dial::{Dialer, in_words};
use super::{Miss, failed, not_run, scrap};

const PORT: u16 = 53;
/// What a lost datagram costs before it is sent again.
const RESEND: Duration = Duration::from_secs(2);

pub(super) async fn probe(check: &DnsCheck, cohort: &str, dialer: &Dialer<'_>, resolv_conf: &Path) -> Result<(), Miss> {
    let name = check.name.replace("$cohort", cohort);
    if !is_domain(&name) {
        return not_run(format!("`{name}` is no name"));
    }
    // The question itself travels to servers of the name's owner.
    dialer.may_ask(&name, PORT)?;
    let is_checked = check.resolver.is_some();
    let resolver = match &check.resolver {
        Some(resolver) => named(&resolver.replace("$cohort", cohort), dialer).await?,
        None => of_system(resolv_conf).await?,
    };
    let trouble = |why: String| if is_checked { Miss::Failed(why) } else { Miss::NotRun(why) };
    let asked = ask(resolver, &name, check.record);
    let answered = if is_checked { asked.await } else { dialer.resolving(asked).await };
    let records = answered.map_err(|why| trouble(format!("the resolver `{resolver}` failed: {why}")))?;
    judge(check, cohort, &records)
}

async fn named(resolver: &str, dialer: &Dialer<'_>) -> Result<SocketAddr, Miss> {
    let Some((host, port)) = host_and_port(resolver, Some(PORT)) else {
        return not_run(format!("`{resolver}` is no address of a resolver"));
    };
    let addresses = dialer.addresses(&host, port).await?;
    addresses.first().copied().map_or_else(|| not_run(format!("the name `{host}` has no address")), Ok)
}

/// The first resolver that the system names.
async fn of_system(resolv_conf: &Path) -> Result<SocketAddr, Miss> {
    let text = tokio::fs::read_to_string(resolv_conf).await.unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let first = servers.filter_map(|rest| rest.trim().parse::<IpAddr>().ok()).next();
    match first {
        Some(address) => Ok(SocketAddr::new(address, PORT)),
        None => not_run(format!("`{}` names no resolver; give the check a `resolver`", resolv_conf.display())),
    }
}

fn judge(check: &DnsCheck, cohort: &str, records: &[String]) -> Result<(), Miss> {
    let kind = check.record.name();
    let found = || if records.is_empty() { "none".into() } else { scrap::of(records.join(", ").as_bytes()) };
    let of_file = |text: &String| comparable(check.record, &text.replace("$cohort", cohort));
    let here: Vec<String> = records.iter().map(|record| comparable(check.record, record)).collect();
    if let Some(missing) = check.contains.iter().chain(&check.equals).find(|wanted| !here.contains(&of_file(wanted))) {
        return failed(format!("`{missing}` is not among the {kind} records found: {}", found()));
    }
    if !check.equals.is_empty() {
        let wanted: Vec<String> = check.equals.iter().map(of_file).collect();
        if let Some(other) = here.iter().position(|record| !wanted.contains(record)) {
            return failed(format!(
                "a {kind} record that is not wanted was found: {}",
                scrap::of(records[other].as_bytes())
            ));
        }
    }
    let least = usize::from(check.at_least.unwrap_or(1));
    if records.len() < least {
        return failed(format!("{} {kind} records found instead of {least} or more", records.len()));
    }
    Ok(())
}

/// A record as it is compared: addresses by value, names without case and the final dot.
fn comparable(kind: RecordType, text: &str) -> String {
    match kind {
        RecordType::A | RecordType::Aaaa => {
            text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |ip| ip.to_string())
        }
        RecordType::Txt => text.to_owned(),
        RecordType::Cname | RecordType::Mx | RecordType::Ns => {
            text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()
        }
    }
}

/// Asks one resolver until it answers.
async fn ask(resolver: SocketAddr, name: &str, kind: RecordType) -> Result<Vec<String>, String> {
    let id: u16 = rand::random();
    let query = query(id, name, kind);
    let answer = over_udp(resolver, &query).await.map_err(|error| in_words(&error))?;
    match read(&answer, &query, kind)? {
        Read::Records(records) => Ok(records),
        Read::Truncated => {
            let answer = over_tcp(resolver, &query).await.map_err(|error| in_words(&error))?;
            match read(&answer, &query, kind)? {
                Read::Records(records) => Ok(records),
                Read::Truncated => Err("its answer is cut off even over TCP".into()),
            }
        }
    }
}

async fn over_udp(resolver: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // A connected socket hears nobody else.
    socket.connect(resolver).await?;
    let mut answer = vec![0; 4_096];
    loop {
        socket.send(query).await?;
        let heard = tokio::time::timeout(RESEND, async {
            loop {
                let count = socket.recv(&mut answer).await?;
                if answer.get(..2) == query.get(..2) {
                    return std::io::Result::Ok(count);
                }
            }
        });
        if let Ok(count) = heard.await {
            answer.truncate(count?);
            return Ok(answer);
        }
    }
}

async fn over_tcp(resolver: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[&length[..], query].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The number of a record type (RFC 1035, section 3.2.2; RFC 3596 for AAAA).
fn number(kind: RecordType) -> u16 {
    match kind {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
    }
}

const HEADER: usize = 12;
const INTERNET: u16 = 1;

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut out = Vec::with_capacity(HEADER + name.len() + 6);
    for field in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&number(kind).to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    out
}

#[derive(Debug, PartialEq)]
enum Read {
    Records(Vec<String>),
    Truncated,
}

/// The records of the kind asked for in an answer to `query`.
fn read(message: &[u8], query: &[u8], kind: RecordType) -> Result<Read, String> {
    const RESPONSE: u16 = 0x8000;
    const TRUNCATED: u16 = 0x0200;
    const NO_SUCH_NAME: u16 = 3;
    let broken = || "its answer can't be read".to_owned();
    let field = |at: usize| u16_at(message, at).ok_or_else(broken);
    let flags = field(2)?;
    let asked = message.get(HEADER..query.len()).unwrap_or_default();
    let is_ours = message.get(..2) == query.get(..2) && asked.eq_ignore_ascii_case(&query[HEADER..]);
    if !is_ours || flags & RESPONSE == 0 {
        return Err("its answer is to another question".into());
    }
    match flags & 0x000f {
        0 => {}
        NO_SUCH_NAME => return Ok(Read::Records(vec![])),
        code => return Err(format!("it answered with the code {code}")),
    }
    if flags & TRUNCATED != 0 {
        return Ok(Read::Truncated);
    }
    let mut at = HEADER;
    for _ in 0..field(4)? {
        at = name_at(message, at).ok_or_else(broken)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..field(6)? {
        at = name_at(message, at).ok_or_else(broken)?.1;
        let (found, class, length) = (field(at)?, field(at + 2)?, usize::from(field(at + 8)?));
        let data = at + 10;
        at = data + length;
        if message.len() < at {
            return Err(broken());
        }
        if found == number(kind) && class == INTERNET {
            records.push(record(message, data, length, kind).ok_or_else(broken)?);
        }
    }
    Ok(Read::Records(records))
}

/// The data of a record as text.
fn record(message: &[u8], at: usize, length: usize, kind: RecordType) -> Option<String> {
    let data = message.get(at..at + length)?;
    match kind {
        RecordType::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string()),
        RecordType::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string()),
        RecordType::Cname | RecordType::Ns => name_at(message, at).map(|(name, _)| name),
        RecordType::Mx => Some(format!("{} {}", u16_at(message, at)?, name_at(message, at + 2)?.0)),
        RecordType::Txt => {
            let mut rest = data;
            let mut text = Vec::new();
            while let Some((&length, after)) = rest.split_first() {
                let (part, after) = after.split_at_checked(length.into())?;
                text.extend_from_slice(part);
                rest = after;
            }
            Some(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// A name and where it ends. A pointer (RFC 1035, section 4.1.4) leads backwards only, so that reading ends.
fn name_at(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let (mut at, mut end) = (at, None);
    loop {
        match *message.get(at)? {
            0 => return Some((labels.join("."), end.unwrap_or(at + 1))),
            length @ 1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                labels.push(String::from_utf8_lossy(label).into_owned());
                if labels.len() > 127 {
                    return None;
                }
                at += 1 + usize::from(length);
            }
            192.. => {
                let to = usize::from(u16_at(message, at)? & 0x3fff);
                end.get_or_insert(at + 2);
                if to >= at {
                    return None;
                }
                at = to;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_broken_is_refused_and_reading_it_ends() {
        let query = query(7, "shop.example", RecordType::A);
        let mut answer = query.clone();
        answer[2] |= 0x80;
        assert_eq!(read(&answer, &query, RecordType::A), Ok(Read::Records(vec![])));
        answer[7] = 1;
        // A name that points to itself, and one that points forwards.
        for pointer in [[0xc0, u8::try_from(answer.len()).expect("short")], [0xc0, 0xff]] {
            let looped = [&answer[..], &pointer, &[0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]].concat();
            assert_eq!(read(&looped, &query, RecordType::A), Err("its answer can't be read".into()));
        }
        let whole = [&answer[..], &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(read(&whole, &query, RecordType::A), Ok(Read::Records(vec!["1.2.3.4".into()])));
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut], &query, RecordType::A).is_err(), "{cut}");
        }
    }
}
