//! Allowed: whom the server may ask on behalf of a change, by name and by address.
//!
//! Closed by default. A name has to be allowed as a name, and the address that it resolves to as well, unless that is a public one: whoever rules over a
//! name below `*.example.com` must not reach the loopback or the private networks of the server with it. An address that stands in a file itself has to
//! be allowed as an address. Next: [`dial`](super::dial), which connects to nothing that this file did not let through.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use change::verification::synthetic::is_domain;

/// One entry of `[checks] allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    what: What,
    /// Any port where there is none.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// `shop.internal`.
    Name(String),
    /// Every name below: `*.example.com`.
    Below(String),
    /// `10.0.0.0/8`, or one address.
    Network { address: IpAddr, bits: u8 },
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is neither a host, a name with `*.` before it, an address nor a network; write for example `shop.internal:443`, \
                 `*.example.com` or `10.0.0.0/8`"
            )
        };
        let (host, port) = split(text).ok_or_else(bad)?;
        let port = port.map(|port| port.parse().ok().filter(|p| *p > 0).ok_or_else(bad)).transpose()?;
        let what = if let Some((address, bits)) = host.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| bad())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(bad)?;
            What::Network { address, bits }
        } else if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            What::Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
        } else if let Some(below) = host.strip_prefix("*.").filter(|below| is_domain(below)) {
            What::Below(plain(below))
        } else if is_domain(&host) {
            What::Name(plain(&host))
        } else {
            return Err(bad());
        };
        Ok(Self { what, port })
    }
}

/// The host or network and the port of a rule. IPv6 stands in brackets where a port follows.
fn split(text: &str) -> Option<(String, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let (bits, port) = rest.split_once(':').map_or((rest, None), |(bits, port)| (bits, Some(port)));
        return Some((format!("{address}{bits}"), port));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host.to_owned(), Some(port))),
        _ => Some((text.to_owned(), None)),
    }
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whom the server may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Rule>);

impl Allowed {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Whether a host that stands in a file may be asked at all; asked before any name is resolved.
    pub(super) fn host(&self, host: &str, port: u16) -> Result<(), Refused> {
        let is_let = match host.parse::<IpAddr>() {
            Ok(address) => self.has_address(address, port),
            Err(_) => self.has_name(host, port),
        };
        if is_let { Ok(()) } else { Err(Refused { host: plain(host), port, address: None }) }
    }

    /// Whether an allowed name may lead to this address.
    pub(super) fn address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Refused> {
        let is_literal = host.parse::<IpAddr>().is_ok();
        if self.has_address(address, port) || (!is_literal && is_public(address)) {
            Ok(())
        } else {
            Err(Refused { host: plain(host), port, address: Some(address) })
        }
    }

    fn has_name(&self, name: &str, port: u16) -> bool {
        let name = plain(name);
        self.of_port(port).any(|what| match what {
            What::Name(allowed) => name == *allowed,
            What::Below(domain) => {
                name.strip_suffix(domain.as_str()).is_some_and(|above| above.len() > 1 && above.ends_with('.'))
            }
            What::Network { .. } => false,
        })
    }

    fn has_address(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.of_port(port)
            .any(|what| matches!(what, What::Network { address: network, bits } if is_within(address, *network, *bits)))
    }

    fn of_port(&self, port: u16) -> impl Iterator<Item = &What> {
        self.0.iter().filter(move |rule| rule.port.is_none_or(|p| p == port)).map(|rule| &rule.what)
    }
}

/// Something that the operator has not allowed, with what would allow it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    host: String,
    port: u16,
    address: Option<IpAddr>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |host: &str| {
            if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
        };
        let (host, add) =
            (at(&self.host), self.address.map_or_else(|| at(&self.host), |address| at(&address.to_string())));
        match self.address {
            None => write!(f, "this server may not ask `{host}`")?,
            Some(address) => write!(f, "`{host}` leads to `{address}`, which this server may not ask")?,
        }
        write!(f, "; its operator can add `\"{add}\"` to `[checks] allow` in clearway.toml")
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let rest = width.saturating_sub(bits.into());
        a.checked_shr(rest).unwrap_or(0) == b.checked_shr(rest).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => same(a.to_bits().into(), n.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => same(a.to_bits(), n.to_bits(), 128),
        _ => false,
    }
}

/// Whether an address is one of the public internet: nothing of this machine, its networks or of their neighbours. After the special-purpose registries of
/// RFC 6890; addresses that carry others inside (6to4, Teredo, NAT64) are none.
fn is_public(address: IpAddr) -> bool {
    const V4: [(Ipv4Addr, u8); 14] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    const V6: [(Ipv6Addr, u8); 4] = [
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    ];
    match address.to_canonical() {
        IpAddr::V4(a) => !V4.iter().any(|(n, bits)| is_within(a.into(), (*n).into(), *bits)),
        IpAddr::V6(a) => {
            is_within(a.into(), Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0).into(), 3)
                && !V6.iter().any(|(n, bits)| is_within(a.into(), (*n).into(), *bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rules: &[&str]) -> Allowed {
        Allowed::new(rules.iter().map(|rule| rule.parse().expect("a rule")).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let refused = Allowed::default().host("Shop.internal.", 443).unwrap_err().to_string();
        assert_eq!(
            refused,
            "this server may not ask `shop.internal:443`; its operator can add `\"shop.internal:443\"` to `[checks] allow` in clearway.toml"
        );
        assert!(Allowed::default().host("127.0.0.1", 80).is_err());
        assert!(Allowed::default().host("::1", 80).unwrap_err().to_string().contains("`\"[::1]:80\"`"));
    }

    #[test]
    fn a_host_is_allowed_by_its_name_its_domain_or_its_network() {
        let allowed =
            allowed(&["shop.internal:443", "*.example.com", "10.0.0.0/8", "[fd00::]/8:53", "::1", "192.168.7.7:80"]);
        let may = |host: &str, port| allowed.host(host, port).is_ok();
        for (host, port) in [
            ("SHOP.internal", 443),
            ("shop.internal.", 443),
            ("a.example.com", 80),
            ("a.b.Example.com", 8080),
            ("10.1.2.3", 22),
            ("::ffff:10.1.2.3", 22),
            ("fd00::53", 53),
            ("::1", 9),
            ("192.168.7.7", 80),
        ] {
            assert!(may(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("shop.internal", 80),
            ("xshop.internal", 443),
            ("shop.internal.evil.test", 443),
            ("example.com", 80),
            (".example.com", 80),
            ("xexample.com", 80),
            ("11.1.2.3", 22),
            ("fd00::53", 80),
            ("192.168.7.7", 443),
            ("127.0.0.1", 80),
            ("2130706433", 80),
        ] {
            assert!(!may(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn an_allowed_name_leads_to_public_addresses_and_to_allowed_ones() {
        let allowed = allowed(&["*.example.com", "10.0.0.0/8"]);
        let may = |address: &str| allowed.address("a.example.com", 443, ip(address)).is_ok();
        for fine in ["93.184.215.14", "2606:2800:21f::1", "10.9.9.9", "::ffff:10.0.0.1"] {
            assert!(may(fine), "{fine}");
        }
        for wrong in [
            "127.0.0.1",
            "169.254.169.254",
            "192.168.0.1",
            "172.16.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "ff02::1",
        ] {
            assert!(!may(wrong), "{wrong}");
        }
        let refused = allowed.address("a.example.com", 443, ip("::1")).unwrap_err().to_string();
        assert_eq!(
            refused,
            "`a.example.com:443` leads to `::1`, which this server may not ask; its operator can add `\"[::1]:443\"` to `[checks] allow` in \
             clearway.toml"
        );
    }

    #[test]
    fn what_is_no_rule_is_refused_when_it_is_configured() {
        for bad in [
            "",
            "*",
            "*.",
            "a b",
            "shop:0",
            "shop:x",
            "10.0.0.0/33",
            "::/129",
            "http://shop",
            "shop/8",
            "[::1",
            "*.*.a",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
