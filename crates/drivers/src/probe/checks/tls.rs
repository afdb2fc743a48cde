//! TLS: a certificate that is trusted, is for the right name, and lasts.
//!
//! The chain is verified as every client would; only then its end is read. Next: [`http`](super::http) speaks over the same streams.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use change::Timestamp;
use change::verification::synthetic::TlsCheck;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::{Dialer, in_words};
use super::{Miss, failed, not_run, tcp};

pub(super) async fn probe(check: &TlsCheck, cohort: &str, dialer: &Dialer<'_>, trust: &Trust) -> Result<(), Miss> {
    let (host, port) = tcp::address(&check.address, cohort)?;
    let name = check.server_name.as_deref().map_or(host.clone(), |name| name.replace("$cohort", cohort));
    let config = trust.config(check.ca_file.as_deref()).await?;
    let stream = dialer.connect(&host, port).await?;
    let stream = secure(stream, &name, config).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let ends = leaf.and_then(|leaf| not_after(leaf));
    match ends {
        None => failed("the certificate does not say when it ends"),
        Some(ends) => lasts(ends, Timestamp::now(), check.days_left()),
    }
}

const DAY: i64 = 86_400;

fn lasts(ends: Timestamp, now: Timestamp, days_wanted: u16) -> Result<(), Miss> {
    let left = ends.as_second() - now.as_second();
    if left >= i64::from(days_wanted) * DAY {
        return Ok(());
    }
    failed(format!("the certificate ends in {}, at {ends}; {days_wanted} days are wanted", length(left)))
}

/// Whole days, or hours on the last of them.
fn length(seconds: i64) -> String {
    let (count, unit) = if seconds >= 2 * DAY { (seconds / DAY, "day") } else { ((seconds / 3_600).max(0), "hour") };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// TLS over a stream, with the other side's certificate verified.
pub(super) async fn secure(
    stream: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Miss> {
    let Ok(server) = ServerName::try_from(name.to_owned()) else {
        return not_run(format!("`{name}` can't be the name of a certificate"));
    };
    let connected = TlsConnector::from(config).connect(server, stream).await;
    connected.map_err(|error| Miss::Failed(handshake_in_words(&error, name, Timestamp::now())))
}

fn handshake_in_words(error: &io::Error, name: &str, now: Timestamp) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(cause)) = inner else {
        return match inner {
            Some(other) => format!("no TLS: {other}"),
            None => format!("no TLS: {}", in_words(error)),
        };
    };
    match cause {
        CertificateError::Expired => "the certificate has ended".into(),
        CertificateError::ExpiredContext { not_after, .. } => {
            let ended = i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX);
            format!("the certificate ended {} ago", length(now.as_second().saturating_sub(ended)))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".into()
        }
        CertificateError::UnknownIssuer => "the certificate is not trusted: its issuer is unknown".into(),
        CertificateError::BadSignature => "the certificate is not trusted: its issuer did not sign it".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate is not for `{name}`")
        }
        other => format!("the certificate is not valid: {other}"),
    }
}

/// Which certificate authorities are trusted.
#[derive(Debug)]
pub(super) struct Trust {
    ca_dir: Option<PathBuf>,
    system: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    pub(super) fn new(ca_dir: Option<PathBuf>) -> Self {
        Self { ca_dir, system: OnceCell::new() }
    }

    /// Trust in one file of the operator's folder, or in the authorities of the system.
    pub(super) async fn config(&self, ca_file: Option<&str>) -> Result<Arc<ClientConfig>, Miss> {
        match ca_file {
            None => self.system.get_or_try_init(system).await.cloned(),
            Some(name) => self.of_file(name).await,
        }
    }

    async fn of_file(&self, name: &str) -> Result<Arc<ClientConfig>, Miss> {
        let Some(dir) = &self.ca_dir else {
            return not_run(format!(
                "`{name}` can't be read: its operator can name a folder with `[checks] ca_dir` in clearway.toml"
            ));
        };
        // The form of the name is checked with the change file; this is what must hold whoever calls.
        if name.contains('/') || name.starts_with('.') {
            return not_run(format!("`{name}` is no file of `[checks] ca_dir`"));
        }
        let read = tokio::fs::read(dir.join(name)).await;
        let text =
            read.map_err(|error| Miss::NotRun(format!("`{name}` in `[checks] ca_dir` can't be read: {error}")))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => trusting(certificates),
            _ => not_run(format!("`{name}` in `[checks] ca_dir` holds no certificates in PEM form")),
        }
    }
}

async fn system() -> Result<Arc<ClientConfig>, Miss> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let certificates = loaded.map(|loaded| loaded.certs).unwrap_or_default();
    if certificates.is_empty() {
        return not_run(
            "this machine has no certificate authorities; install them (`ca-certificates`), or name a `ca_file`",
        );
    }
    trusting(certificates)
}

fn trusting(certificates: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, Miss> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Miss::NotRun(format!("TLS can't be set up: {error}")))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When a certificate ends: `notAfter` of its `Validity` (RFC 5280, section 4.1).
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // The serial number, the algorithm and the issuer come before it.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (tag, validity, _) = element(fields)?;
    let (_, _, after_start) = element(validity)?;
    let (kind, end, _) = element(after_start)?;
    (tag == SEQUENCE).then(|| moment(kind, end)).flatten()
}

/// The tag and content of the first element of a DER encoding, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A `UTCTime` (of 1950 to 2049) or a `GeneralizedTime`.
fn moment(kind: u8, text: &[u8]) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?;
    let full = match kind {
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let utc = full.strip_suffix('Z')?;
    Timestamp::strptime("%Y%m%d%H%M%S %z", format!("{utc} +0000")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read_and_nothing_else() {
        let read = |kind, text: &str| moment(kind, text.as_bytes()).map(|at| at.to_string());
        assert_eq!(read(0x17, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(read(0x17, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(read(0x18, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        assert_eq!(
            (read(0x18, "2050"), read(0x0c, "500101000000Z"), read(0x17, "5Z"), read(0x17, "ä")),
            (None, None, None, None)
        );
    }

    #[test]
    fn a_broken_certificate_has_no_end_and_breaks_nothing() {
        for broken in [
            &[][..],
            &[0x30],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 0x03, 0x30, 0x01],
            &[0x30, 0x80],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(not_after(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn days_are_counted_in_words() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert_eq!(lasts(at(14 * DAY), now, 14), Ok(()));
        assert_eq!(
            lasts(at(3 * DAY + 5), now, 14),
            failed("the certificate ends in 3 days, at 1970-01-04T00:00:05Z; 14 days are wanted")
        );
        assert_eq!(length(3_600), "1 hour");
    }
}
